/* cmd_run: `wf run` and `wf resume`: from a script or a log to a result on stdout, a census on stderr and an exit code. */
#include "run/advice.h"
#include "cmd_check.h"
#include "commands.h"
#include "run/consent.h"
#include "run/drive.h"
#include "base/logs.h"
#include "base/terminal.h"
#include "base/title.h"
#include "run/model.h"
#include "run/progress.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN_SETTINGS 16384
#define RUN_LARGE    100 /* agents of a dry run from which a known script is asked about as well */
#define RUN_MESSAGE  1000
#define RUN_SERVER   200
#define RUN_LABEL    160

typedef struct run_job {
    const cli_options *options;
    wf_run_spec spec;
    const char *log;
    wf_posix_mode mode;
    int out; /* descriptor of -o, or -1 */
    uint64_t began;
    wf_run_spec past; /* of the log that is there, */
    uint64_t started; /* and when it began, or 0 */
} run_job;

/* ---- the result ---- */

static bool run_write(int fd, wf_str text) {
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        text.ptr += n;
        text.len -= (size_t)n;
    }
    return true;
}

static cli_exit run_cannot_write(const run_job *job, int error) {
    const char *where = job->out >= 0 ? job->options->text[OPT_OUT] : "standard output";
    return cli_fail(CLI_IO, "cannot write the result to %s: %s; it is in the log: wf resume %s prints it again", where,
                    strerror(error), cli_word(cli_str(job->log)));
}

/* A run that leaves no result leaves none of an earlier run in its place. */
static bool run_empty_out(const run_job *job) {
    return job->out < 0 || ftruncate(job->out, 0) == 0 || errno == EINVAL; /* a pipe or device has no length */
}

/* Harmless to the terminal. One that was closed, which stopped the run, gets nothing, and that is no fault of ours. */
static cli_exit run_show_result(const run_job *job, wf_str value) {
    cli_put_text(stdout, value);
    if (value.len > 0 && value.ptr[value.len - 1] != '\n') putchar('\n');
    if (fflush(stdout) == 0 && !ferror(stdout)) return CLI_OK;
    int error = errno;
    clearerr(stdout);
    return cli_drive_hung_up() ? CLI_OK : run_cannot_write(job, error);
}

/* Text as it is, with a newline at its end; a file gets no more than the text. */
static cli_exit run_put_result(const run_job *job, wf_str value) {
    bool ok = true;
    if (job->out >= 0) {
        ok = run_empty_out(job) && run_write(job->out, value);
    } else if (!job->options->number[OPT_JSON] && isatty(STDOUT_FILENO) == 1) {
        return run_show_result(job, value);
    } else if (!job->options->number[OPT_JSON]) {
        ok = run_write(STDOUT_FILENO, value);
        if (ok && value.len > 0 && value.ptr[value.len - 1] != '\n') ok = run_write(STDOUT_FILENO, WF_STR("\n"));
    }
    return ok ? CLI_OK : run_cannot_write(job, errno);
}

/* The last event of --json carries all that the end has. */
static void run_event(wf_json_out *out, const run_job *job, const wf_run_status *s, wf_str value, bool json, int code) {
    wf_json_begin(out, true);
    cli_json_text(out, "event", WF_STR("end"));
    cli_json_text(out, "outcome", cli_str(wf_outcome_name(s->outcome)));
    cli_json_member(out, "exit", (uint64_t)code);
    cli_json_text(out, "log", cli_str(job->log));
    if (s->text.len > 0) cli_json_text(out, "text", s->text);
    cli_json_census(out, &s->census);
    cli_json_usage(out, &s->usage);
    if (s->outcome > WF_RUN_FAILED) {
        wf_json_key(out, WF_STR("partial"));
        wf_json_bool(out, true);
    }
    cli_json_lost(out, s);
    wf_json_key(out, s->outcome == WF_RUN_FAILED ? WF_STR("error") : WF_STR("value"));
    if (json)
        wf_json_raw(out, value);
    else
        wf_json_str(out, value);
    wf_json_finish(out);
}

static cli_exit run_put_event(const run_job *job, const wf_run_status *s, wf_str value, bool json, cli_exit code) {
    wf_json_out out;
    if (!job->options->number[OPT_JSON]) return code;
    wf_json_out_init(&out, NULL, 0);
    run_event(&out, job, s, value, json, (int)code);
    size_t size = out.len;
    char *text = cli_take(size);
    wf_json_out_init(&out, text, size);
    run_event(&out, job, s, value, json, (int)code);
    cli_progress_line(&out);
    free(text);
    return cli_progress_error() ? run_cannot_write(job, cli_progress_error()) : code;
}

/* A failure that the script passed on is printed elsewhere: an agent's among the failures, a stop on
 * its own line. */
static void run_put_error(cli_world *w, const wf_run_status *s, const wf_script_result *r) {
    wf_call_info call;
    bool stopped = s->outcome > WF_RUN_FAILED;
    if (stopped && r->kind != WF_KIND_NONE) return;
    if (r->call > 0 && wf_call_get(w->run, r->call - 1, &call) == WF_OK && !call.effect) {
        fputs("wf: the script ended with the failure of ", stderr);
        if (call.label.len > 0)
            cli_put(stderr, call.label, RUN_LABEL);
        else
            fprintf(stderr, "agent %" PRIu32, call.id);
        fputc('\n', stderr);
        return;
    }
    fputs(stopped ? "wf: stopped, the script ended with an error: " : "wf: the script failed: ", stderr);
    cli_put_lines(stderr, r->value);
}

/* What a script left: its value on stdout, or its error on stderr. */
static cli_exit run_put_end(const run_job *job, cli_world *w, const cli_drive_end *end) {
    const wf_run_status *s = &end->status;
    const wf_script_result *r = &end->result;
    cli_exit code = cli_exit_of(s->outcome, cli_unwell(&s->census)), written = CLI_OK;
    if (r->failed)
        run_put_error(w, s, r);
    else if (!end->starved)
        written = run_put_result(job, r->value);
    if (!r->failed && !end->starved && s->outcome > WF_RUN_FAILED && !job->options->number[OPT_JSON])
        fputs("wf: the result is partial: the run stopped before it was complete\n", stderr);
    code = run_put_event(job, s, r->value, r->json, code);
    return written != CLI_OK ? written : code;
}

/* ---- what is said at the end ---- */

static void run_put_failures(cli_world *w, const run_job *job) {
    bool recent;
    uint32_t ids[CLI_FAILURES], count = cli_progress_failures(ids, &recent);
    if (recent) return;
    for (uint32_t i = 0; i < count && i < CLI_FAILURES; i++) {
        wf_call_info call;
        if (wf_call_get(w->run, ids[i] - 1, &call) != WF_OK) continue;
        fprintf(stderr, "  failed: ");
        cli_put(stderr, call.label.len > 0 ? call.label : call.path, RUN_LABEL);
        fprintf(stderr, ": %s: ", wf_kind_name(call.kind));
        cli_put(stderr, call.message, RUN_MESSAGE);
        fputc('\n', stderr);
    }
    if (count > CLI_FAILURES)
        fprintf(stderr, "  %" PRIu32 " more: wf show %s\n", count - CLI_FAILURES, cli_word(cli_str(job->log)));
}

static void run_put_log(const run_job *job) {
    fprintf(stderr, "log: %s (wf show %s)\n", job->log, cli_word(cli_str(job->log)));
}

static void run_put_summary(cli_world *w, const run_job *job, const cli_drive_end *end) {
    const wf_run_status *s = &end->status;
    bool well = s->outcome == WF_RUN_DONE && cli_unwell(&s->census) == 0;
    if (job->options->number[OPT_QUIET] && well) return;
    fprintf(stderr, "%s: ", wf_outcome_name(s->outcome));
    cli_put_census(stderr, &s->census);
    fputc('\n', stderr);
    run_put_failures(w, job);
    bool money = s->usage.nano_usd > 0 || s->usage.unpriced > 0 || s->lost_nano_usd > 0;
    if (money && !job->options->number[OPT_STATS]) { /* which tell it as well */
        fputs("spend: ", stderr);
        cli_put_spend(stderr, s);
        fputc('\n', stderr);
    }
    if (s->outcome > WF_RUN_FAILED && !cli_progress_stop()) {
        fputs("stopped: ", stderr);
        cli_put(stderr, s->text, RUN_MESSAGE);
        fputc('\n', stderr);
    }
    uint32_t again = cli_progress_again();
    if (again == 1) fputs("1 failure was delivered again; --retry-failed asks it anew\n", stderr);
    if (again > 1) fprintf(stderr, "%" PRIu32 " failures were delivered again; --retry-failed asks them anew\n", again);
    cli_advice_put(w, &job->spec, end);
    run_put_log(job);
}

static double run_seconds(struct timeval t) {
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void run_put_stats(const cli_world *w, const run_job *job, const cli_drive_end *end) {
    wf_memory memory;
    struct rusage used;
    wf_heap_use script;
    cli_amount a, b, c;
    uint64_t wall = w->platform.now_ms(w->platform.ctx) - job->began;
    wf_memory_stats(w->run, &memory);
    wf_script_memory(end->script, &script);
    getrusage(RUSAGE_SELF, &used);
    fprintf(stderr, "memory: tables %s, messages %s at most, script %s at most", cli_bytes(&a, memory.fixed),
            cli_bytes(&b, memory.heap.high), cli_bytes(&c, script.high));
    if (w->rules) {
        wf_rules_memory(w->rules, &script);
        fprintf(stderr, ", models %s at most", cli_bytes(&a, script.high));
    }
    fprintf(stderr, ", process %s at most\n", cli_bytes(&a, (uint64_t)used.ru_maxrss * 1024));
    fprintf(stderr, "log: %s, %" PRIu64 " syncs\n", cli_bytes(&a, end->status.log_bytes), end->status.syncs);
    fprintf(stderr, "time: %s, processor %.3f s user, %.3f s system\n", cli_time(&a, wall), run_seconds(used.ru_utime),
            run_seconds(used.ru_stime));
    cli_network_put_stats(&w->network, stderr);
    fputs("spend: ", stderr);
    cli_put_spend(stderr, &end->status);
    fputc('\n', stderr);
}

/* ---- the run ---- */

/* What keeps commands in; "" if there are none. */
static const char *run_sandbox(const cli_world *w) {
    const char *text;
    wf_posix_holds(w->posix, &text);
    return text;
}

static wf_str run_settings(const cli_options *o, const char *sandbox) {
    wf_json_out out;
    char *text = cli_take(RUN_SETTINGS);
    wf_json_out_init(&out, text, RUN_SETTINGS);
    cli_options_record(o, sandbox, &out);
    return wf_json_ok(&out) ? wf_str_of(text, out.len) : WF_STR("{}");
}

static bool run_same_file(const char *a, const char *b) {
    struct stat x, y;
    if (!a || !b) return false;
    if (strcmp(a, b) == 0) return true;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Found out now, while nothing has been run. */
static cli_exit run_open_out(run_job *job) {
    const char *path = job->options->text[OPT_OUT];
    job->out = -1;
    if (!path) return CLI_OK;
    if (run_same_file(path, job->log) || run_same_file(path, job->options->operand))
        return cli_fail(CLI_USAGE, "-o %s: the result would overwrite the run's own log or script; name another file",
                        path);
    job->out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    return job->out >= 0 ? CLI_OK
                         : cli_fail(CLI_USAGE, "-o %s: cannot write it: %s; name another file", path, strerror(errno));
}

static cli_exit run_close_out(const run_job *job, cli_exit code) {
    if (job->out < 0 || close(job->out) == 0 || errno == EINTR) return code;
    return run_cannot_write(job, errno);
}

static void run_announce(const run_job *job) {
    char buf[CLI_PATH * 2];
    wf_json_out out;
    if (!job->options->number[OPT_JSON]) return;
    wf_json_out_init(&out, buf, sizeof buf);
    wf_json_begin(&out, true);
    cli_json_text(&out, "event", WF_STR("run"));
    cli_json_text(&out, "name", wf_str_of(job->spec.name.ptr, job->spec.name.len < 200 ? job->spec.name.len : 200));
    cli_json_text(&out, "log", cli_str(job->log));
    const char *model = job->options->text[OPT_MODEL];
    if (model) cli_json_text(&out, "model", cli_str(model)); /* a completed run asks none */
    wf_json_finish(&out);
    if (wf_json_ok(&out)) cli_progress_line(&out);
}

/* The first line: which run this is, and what it works with. */
static void run_put_first(const run_job *job) {
    const cli_options *o = job->options;
    if (o->number[OPT_QUIET] || o->number[OPT_JSON]) return;
    cli_put(stderr, cli_title(job->spec.script, job->spec.name), RUN_LABEL);
    fputs(": model: ", stderr);
    cli_put(stderr, cli_str(o->text[OPT_MODEL]), RUN_SERVER);
    if (o->server.len > 0) {
        fputs(" at ", stderr);
        cli_put(stderr, o->server, RUN_SERVER);
    }
    fprintf(stderr, "; lanes: %s; log: ", o->text[OPT_LANES]);
    cli_put(stderr, cli_str(job->log), CLI_PATH);
    fputc('\n', stderr);
}

/* At most how much of its money a run may use. */
static void run_put_terms(const run_job *job) {
    const cli_options *o = job->options;
    const char *usd = o->text[OPT_BUDGET_USD], *tokens = o->text[OPT_BUDGET_TOKENS];
    if (o->number[OPT_RETRY_FAILED] && !o->number[OPT_QUIET])
        fputs("--retry-failed: finished work that came after a failure may be asked again\n", stderr);
    if (o->number[OPT_QUIET] || o->number[OPT_JSON] || (cli_model_is_rules(o) && !o->own_budget)) return;
    fputs("budget: ", stderr);
    if (usd)
        fprintf(stderr, "%s USD at list price%s", usd,
                !o->own_budget       ? ""
                : o->number[OPT_YES] ? " (for --yes; --budget-usd X changes it)"
                                     : " (without a terminal; --budget-usd X changes it)");
    if (tokens) fprintf(stderr, "%s%s tokens", usd ? " and " : "", tokens);
    if (!usd && !tokens)
        fputs(wf_prices_known(o->prices, cli_str(cli_model_name(o)))
                  ? "none (--budget-usd X)"
                  : "none, its price is not known (--budget-tokens N)",
              stderr);
    fputc('\n', stderr);
}

static void run_put_sandbox(const run_job *job, const char *sandbox) {
    if (sandbox[0] && !job->options->number[OPT_QUIET] && !job->options->number[OPT_JSON])
        fprintf(stderr, "sandbox: %s\n", sandbox);
}

static cli_exit run_go(run_job *job, cli_world *w) {
    cli_drive_end end;
    if (!run_empty_out(job)) return run_cannot_write(job, errno);
    job->spec.settings = run_settings(job->options, run_sandbox(w));
    job->began = w->platform.now_ms(w->platform.ctx);
    cli_progress_begin(job->options);
    run_announce(job);
    run_put_first(job);
    run_put_terms(job);
    run_put_sandbox(job, run_sandbox(w));
    cli_exit code = cli_drive(w, &job->spec, &end);
    if (code != CLI_OK) return code;
    code = run_put_end(job, w, &end);
    run_put_summary(w, job, &end);
    if (job->options->number[OPT_STATS]) run_put_stats(w, job, &end);
    return code;
}

/* ---- a log that is there already ---- */

/* Copies a slice for the life of the process. */
static wf_str run_keep(wf_str text) {
    char *copy = cli_take(text.len + 1);
    if (text.len > 0) memcpy(copy, text.ptr, text.len);
    return wf_str_of(copy, text.len);
}

static bool run_same(const wf_run_spec *a, const wf_run_spec *b) {
    return cli_same(a->script, b->script) && cli_same(a->args, b->args);
}

static cli_exit run_print_again(const run_job *job, cli_world *w, const wf_run_status *status) {
    cli_drive_end end = {.status = *status};
    wf_status s = wf_run_value(w->run, &end.result.value, &end.result.json);
    if (s != WF_OK) return cli_world_fail(w, s);
    cli_progress_begin(job->options);
    run_announce(job);
    cli_logs_errors(w->run, cli_progress_script_error);
    cli_exit code = run_put_end(job, w, &end);
    if (!job->options->number[OPT_QUIET] || cli_unwell(&status->census) > 0) {
        fprintf(stderr, "completed before: ");
        cli_put_census(stderr, &status->census);
        fputc('\n', stderr);
        cli_advice_put(w, &job->spec, &end);
        run_put_log(job);
    }
    return code;
}

/* Reads the log's past. If it is completed by what is asked for now (spec NULL: by whatever it ran), prints its result again:
 * *again, and the answer is the exit code. */
static cli_exit run_look_back(run_job *job, const wf_run_spec *spec, wf_run_spec *past, bool *again) {
    cli_world w;
    wf_run_status status;
    cli_exit code = cli_world_read(&w, job->log, false);
    *again = false;
    if (code != CLI_OK) return code;
    w.options = job->options;
    wf_status s = wf_run_header(w.run, past, &job->started);
    if (s != WF_OK) code = cli_world_fail(&w, s);
    wf_run_status_get(w.run, &status);
    bool retry = (job->options->number[OPT_RETRY_FAILED] && status.census.failed > 0) || status.census.not_run > 0;
    if (code == CLI_OK && status.outcome == WF_RUN_DONE && !retry && (!spec || run_same(spec, past))) {
        *again = true;
        job->spec = *past;
        code = run_open_out(job);
        if (code == CLI_OK) code = run_close_out(job, run_print_again(job, &w, &status));
    } else if (code == CLI_OK) {
        past->name = run_keep(past->name);
        past->script = run_keep(past->script);
        past->args = run_keep(past->args);
        past->settings = run_keep(past->settings);
        job->past = *past;
    }
    cli_world_close(&w);
    return code;
}

/* ---- may it run? ---- */

static cli_exit run_ask(const char *question) {
    char line[16] = "";
    fprintf(stderr, "%s [y/N] ", question);
    fflush(stderr);
    if (fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y')) return CLI_OK;
    return cli_fail(CLI_CANCELLED, "not run");
}

static cli_exit run_fail_new(const cli_options *o) {
    fputs("wf: ", stderr);
    cli_put(stderr, cli_str(o->operand), CLI_PATH);
    fputs(": a new script, and this is not a terminal: pass --yes to run it without a preview", stderr);
    cli_consent_put_trouble(stderr, o->text[OPT_ROOT]);
    fputc('\n', stderr);
    return CLI_USAGE;
}

/* Real answers may do better than the stub's: a script that fails on these may run. One that was stopped there is large. */
static cli_exit run_preview(const run_job *job, FILE *to, uint32_t *agents) {
    cli_preview preview = {0};
    cli_exit code = cli_check_preview(job->options, &job->spec, to, &preview);
    bool stopped = code == CLI_BUDGET || code == CLI_DEADLINE;
    *agents = stopped && preview.agents <= RUN_LARGE ? RUN_LARGE + 1 : preview.agents;
    return code == CLI_SCRIPT || stopped ? CLI_OK : code;
}

/* Of a known script only a large run is worth a question, and its preview is shown then alone. */
static cli_exit run_confirm_known(const run_job *job) {
    uint32_t agents;
    const cli_options *o = job->options;
    cli_exit code = run_preview(job, NULL, &agents);
    if (code != CLI_OK || agents <= RUN_LARGE) return code;
    if (!cli_terminal_has_person())
        return cli_fail(CLI_USAGE,
                        "%s: a large run, %" PRIu32 " agents in a dry run, and this is no terminal: pass --yes",
                        o->operand, agents);
    if (o->number[OPT_QUIET])
        fprintf(stderr, "A large run: %" PRIu32 " agents in a dry run.\n", agents);
    else
        code = run_preview(job, stderr, &agents);
    return code == CLI_OK ? run_ask("Run it?") : code;
}

/* A new script, or a large run, is shown first. */
static cli_exit run_confirm(const run_job *job) {
    uint32_t agents;
    const cli_options *o = job->options;
    if (o->number[OPT_YES]) return CLI_OK;
    if (cli_consent_script(o->text[OPT_ROOT], job->spec.script)) return run_confirm_known(job);
    if (!cli_terminal_has_person()) return run_fail_new(o);
    cli_exit code = run_preview(job, stderr, &agents);
    return code == CLI_OK ? run_ask("Run it?") : code;
}

/* What a log from elsewhere would do with this user's rights. */
static void run_put_foreign(const run_job *job) {
    static const struct {
        cli_option option;
        const char *name;
    } shown[] = {
        {OPT_MODEL, "--model"}, {OPT_ALLOW, "--allow"}, {OPT_NET, "--net"}, {OPT_ROOT, "--root"}, {OPT_CA, "--ca"}};
    const cli_options *o = job->options;
    fputs("wf: ", stderr);
    cli_put(stderr, cli_str(job->log), CLI_PATH);
    fputs(": this log was not made by you on this machine; it would run the script ", stderr);
    cli_put(stderr, job->past.name, RUN_LABEL);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        if (!o->text[shown[i].option]) continue;
        fprintf(stderr, " %s ", shown[i].name);
        cli_put(stderr, cli_str(cli_word(cli_str(o->text[shown[i].option]))), RUN_MESSAGE);
    }
}

/* A log brings a script, rights and a model along, and exec: models are commands: one that came with a repository is asked about. */
static cli_exit run_confirm_log(const run_job *job) {
    const cli_options *o = job->options;
    if (job->mode != WF_POSIX_OPEN || o->number[OPT_YES]) return CLI_OK;
    if (cli_consent_log(o->text[OPT_ROOT], job->log, &job->past, job->started)) return CLI_OK;
    run_put_foreign(job);
    if (cli_terminal_has_person()) {
        fputc('\n', stderr);
        return run_ask("Go on with it?");
    }
    fputs("; if that is what you want, pass --yes", stderr);
    cli_consent_put_trouble(stderr, o->text[OPT_ROOT]);
    fputc('\n', stderr);
    return CLI_USAGE;
}

/* ---- the commands ---- */

static cli_exit run_open_and_go(run_job *job) {
    cli_world w;
    cli_exit code = run_open_out(job);
    if (code != CLI_OK) return code;
    code = cli_world_open(&w, job->options, job->mode, job->log, NULL, cli_progress_trace);
    if (code != CLI_OK) return run_close_out(job, code);
    code = run_go(job, &w);
    cli_world_close(&w);
    return run_close_out(job, code);
}

/* The folder whose .wf/runs the log lies in, malloced; NULL: it lies elsewhere. */
static char *run_home(const char *log) {
    static const char runs[] = "/.wf/runs";
    char *path = realpath(log, NULL), *slash = path ? strrchr(path, '/') : NULL;
    size_t n = slash ? (size_t)(slash - path) : 0, m = sizeof runs - 1;
    if (n > m && memcmp(slash - m, runs, m) == 0) {
        slash[-(ptrdiff_t)m] = '\0';
        return path;
    }
    free(path);
    return NULL;
}

/* The run goes on in its workspace, from whatever folder that is asked for, and wherever both have been moved together. */
static cli_exit run_restore(const run_job *job, cli_options *o, wf_str settings) {
    struct stat st;
    cli_exit code = cli_options_restore(o, settings);
    if (code != CLI_OK || o->given[OPT_ROOT]) return code;
    const char *home = run_home(job->log);
    if (home) o->text[OPT_ROOT] = home; /* for the life of the process */
    if (stat(o->text[OPT_ROOT], &st) == 0 && S_ISDIR(st.st_mode)) return CLI_OK;
    return cli_fail(CLI_USAGE, "%s: the run's workspace %s is not there; say where it is now: --root DIR", job->log,
                    o->text[OPT_ROOT]);
}

/* A log that --log names may be there already: then its run goes on with its settings, or is completed. */
static cli_exit run_look_at_log(run_job *job, cli_options *o, bool *again) {
    wf_run_spec past;
    *again = false;
    job->mode = WF_POSIX_CREATE;
    job->log = o->text[OPT_LOG];
    if (!job->log || !cli_logs_exists(job->log)) return CLI_OK;
    job->mode = WF_POSIX_OPEN;
    cli_exit code = run_look_back(job, &job->spec, &past, again);
    return code == CLI_OK && !*again ? run_restore(job, o, past.settings) : code;
}

cli_exit cli_run(cli_options *o) {
    run_job job = {.options = o, .out = -1};
    char path[CLI_PATH];
    bool again = false;
    cli_exit code = cli_script_read(o, &job.spec);
    if (code == CLI_OK) code = cli_check_compile(&job.spec);
    if (code == CLI_OK) code = run_look_at_log(&job, o, &again);
    if (code != CLI_OK || again) return code;
    code = run_confirm_log(&job);
    if (code == CLI_OK) code = cli_model_settle(o);
    if (code == CLI_OK) code = run_confirm(&job);
    if (code == CLI_OK) cli_consent_add_script(o->text[OPT_ROOT], job.spec.script);
    if (code == CLI_OK && !job.log) {
        code = cli_logs_new_path(o->text[OPT_ROOT], job.spec.name, path);
        job.log = path;
    }
    return code == CLI_OK ? run_open_and_go(&job) : code;
}

/* Whether `wf resume` has something to do there: a run that was killed or stopped, or whose failures are to be asked again. */
static bool run_goes_on(const cli_options *o, const char *log) {
    cli_world w;
    wf_run_status status;
    if (cli_world_read(&w, log, true) != CLI_OK) return false;
    wf_run_status_get(w.run, &status);
    cli_world_close(&w);
    if (status.outcome == WF_RUN_OPEN) return !cli_world_is_busy(log);
    bool again = o->number[OPT_RETRY_FAILED] && status.census.failed > 0;
    return again || status.outcome > WF_RUN_FAILED || (status.outcome == WF_RUN_DONE && status.census.not_run > 0);
}

/* The newest run that has not ended; if all have, the last one. */
static cli_exit run_choose_log(const cli_options *o, const char **log) {
    cli_log_list list;
    cli_exit code = cli_logs_last(o->text[OPT_ROOT], "resume", log);
    if (code == CLI_OK) code = cli_logs_list(o->text[OPT_ROOT], &list);
    for (size_t i = 0; code == CLI_OK && i < list.count; i++) {
        if (!run_goes_on(o, list.entries[i].path)) continue;
        *log = list.entries[i].path;
        return CLI_OK;
    }
    if (code == CLI_OK && !o->number[OPT_QUIET])
        fprintf(stderr, "all runs have ended; the last result is that of %s\n", *log);
    return code;
}

cli_exit cli_resume(cli_options *o) {
    run_job job = {.options = o, .log = o->operand, .mode = WF_POSIX_OPEN, .out = -1};
    wf_run_spec past;
    bool again;
    cli_exit code = job.log ? CLI_OK : run_choose_log(o, &job.log);
    if (code == CLI_OK) code = run_look_back(&job, NULL, &past, &again);
    if (code != CLI_OK || again) return code;
    job.spec = past;
    code = run_restore(&job, o, past.settings);
    if (code == CLI_OK) code = run_confirm_log(&job);
    if (code == CLI_OK) code = cli_model_settle(o);
    return code == CLI_OK ? run_open_and_go(&job) : code;
}
