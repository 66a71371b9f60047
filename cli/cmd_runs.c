/* cmd_runs: looking back: `wf runs` lists logs, `wf show` prints one run, `wf log` its records. Nothing here writes. */
#include "commands.h"
#include "base/logs.h"
#include "base/terminal.h"
#include "base/title.h"
#include "run/world.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS_LABEL   100
#define RUNS_PHASES  64
#define RUNS_MESSAGE 1000
#define RUNS_PAYLOAD 100 /* of a record, in the form for people */
#define RUNS_COLUMNS 80u /* of a line of a run, whose name gets what is left, */
#define RUNS_NAME    8u  /* ... and at least so many */
#define RUNS_AGE     32u
#define RUNS_SUMS    120u

/* ---- what a look at the table finds ---- */

typedef struct runs_phase {
    char title[RUNS_LABEL];
    size_t title_len;
    uint32_t agents, done, failed;
    uint64_t tokens;
} runs_phase;

typedef struct runs_summary {
    wf_census census; /* counted from the rows: an ended run's own census is in its status */
    uint32_t unfinished;
    runs_phase phases[RUNS_PHASES];
    size_t phase_count;
} runs_summary;

/* The row of a phase; what does not fit any more is counted in the last one. */
static runs_phase *runs_phase_of(runs_summary *s, wf_str title) {
    size_t i = 0;
    if (title.len > RUNS_LABEL) title.len = RUNS_LABEL;
    while (i < s->phase_count && !cli_same(title, wf_str_of(s->phases[i].title, s->phases[i].title_len)))
        i++;
    if (i == RUNS_PHASES) i--;
    runs_phase *p = &s->phases[i];
    if (i == s->phase_count) {
        if (title.len > 0) memcpy(p->title, title.ptr, title.len);
        p->title_len = title.len;
        s->phase_count++;
    }
    return p;
}

static void runs_count(runs_summary *s, const wf_call_info *call) {
    runs_phase *p = runs_phase_of(s, call->phase);
    bool done = call->finished && call->kind == WF_KIND_NONE, failed = call->finished && !done && !call->cancelled;
    p->agents++;
    p->done += done;
    p->failed += failed;
    p->tokens += cli_tokens(&call->usage);
    s->census.done += done;
    s->census.failed += failed;
    s->census.cancelled += call->cancelled;
    s->unfinished += !call->finished;
}

/* The next row that is an agent's and counts; false: there is none. */
static bool runs_next_agent(wf *run, uint32_t *row, wf_call_info *call) {
    while (wf_call_get(run, (*row)++, call) == WF_OK)
        if (!call->effect && !call->superseded) return true;
    return false;
}

static void runs_summarize(wf *run, runs_summary *out) {
    wf_call_info call;
    uint32_t row = 0;
    memset(out, 0, sizeof *out);
    while (runs_next_agent(run, &row, &call))
        runs_count(out, &call);
}

/* A log without an end belongs to a run that is going on, or was killed: whether somebody holds its lock tells. */
static const char *runs_state(const char *log, wf_outcome outcome) {
    if (outcome != WF_RUN_OPEN) return wf_outcome_name(outcome);
    return cli_world_is_busy(log) ? "running" : "interrupted";
}

/* A run is not simply done if agents or branches failed: it ended with another exit code. */
static bool runs_is_partial(const wf_run_status *s) {
    return s->outcome == WF_RUN_DONE && s->census.failed + s->census.script_errors > 0;
}

static uint32_t runs_agents(const wf_census *c) {
    return c->done + c->failed + c->cancelled + c->not_run;
}

/* ---- runs ---- */

static void runs_put_census(const cli_world *w, const wf_run_status *status) {
    runs_summary s;
    if (status->outcome != WF_RUN_OPEN) {
        cli_put_census(stdout, &status->census);
        return;
    }
    runs_summarize(w->run, &s);
    printf("%" PRIu32 " done, %" PRIu32 " failed, %" PRIu32 " unfinished", s.census.done, s.census.failed,
           s.unfinished);
}

/* "3 min": how long ago it began. */
static void runs_put_age(uint64_t started_ms, char out[RUNS_AGE]) {
    static const struct {
        uint64_t s;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    uint64_t now = (uint64_t)time(NULL), then = started_ms / 1000, age = now > then ? now - then : 0;
    size_t i = 0;
    while (i < 3 && age < 2 * units[i].s)
        i++;
    snprintf(out, RUNS_AGE, "%" PRIu64 " %s", age / units[i].s, units[i].name);
}

/* What of a run's agents and money is worth a place on a line. */
static void runs_put_sums(const cli_world *w, const wf_run_status *status, char out[RUNS_SUMS]) {
    runs_summary s;
    cli_amount money;
    const wf_census *c = &status->census;
    bool open = status->outcome == WF_RUN_OPEN;
    runs_summarize(w->run, &s);
    if (open) c = &s.census;
    int n = snprintf(out, RUNS_SUMS, "%" PRIu32 " done, %" PRIu32 " failed", c->done, c->failed);
    if (open && s.unfinished > 0)
        n += snprintf(out + n, RUNS_SUMS - (size_t)n, ", %" PRIu32 " unfinished", s.unfinished);
    if (!open && c->not_run > 0) n += snprintf(out + n, RUNS_SUMS - (size_t)n, ", %" PRIu32 " not run", c->not_run);
    if (status->usage.nano_usd > 0)
        snprintf(out + n, RUNS_SUMS - (size_t)n, ", %s", cli_money(&money, status->usage.nano_usd));
}

/* A line of at most RUNS_COLUMNS, then where its log is. */
static void runs_put_line(const cli_log_entry *entry) {
    cli_world w;
    cli_amount size;
    wf_run_status status;
    wf_run_spec spec = {.name = WF_STR("?")};
    char age[RUNS_AGE], sums[RUNS_SUMS], name[RUNS_COLUMNS * 4], head[64];
    if (cli_world_read(&w, entry->path, true) != CLI_OK) {
        printf("%8s  %-11s  %s; cannot be read: wf show tells why\n    %s\n", "?", "?", cli_bytes(&size, entry->size),
               entry->path);
        return;
    }
    wf_run_status_get(w.run, &status);
    (void)wf_run_header(w.run, &spec, NULL);
    runs_put_age(status.started_ms, age);
    runs_put_sums(&w, &status, sums);
    const char *state = runs_is_partial(&status) ? "some failed" : runs_state(entry->path, status.outcome);
    size_t used = (size_t)snprintf(head, sizeof head, "%8s  %-11s  ", age, state) + strlen(sums) + 2;
    unsigned columns = used + RUNS_NAME < RUNS_COLUMNS ? RUNS_COLUMNS - (unsigned)used : RUNS_NAME;
    size_t n = cli_terminal_clip(cli_title(spec.script, spec.name), &columns, name, sizeof name);
    printf("%s%.*s: %s\n    %s\n", head, (int)n, name, sums, entry->path);
    if (status.census.script_errors > 0)
        printf("    %" PRIu32 " %s failed: script errors\n", status.census.script_errors,
               status.census.script_errors == 1 ? "branch" : "branches");
    cli_world_close(&w);
}

cli_exit cli_runs(const cli_options *o) {
    cli_log_list list;
    cli_exit code = cli_logs_list(o->text[OPT_ROOT], &list);
    if (code != CLI_OK) return code;
    if (list.count == 0) fprintf(stderr, "no runs in %s/.wf/runs yet; start one: wf run SCRIPT\n", o->text[OPT_ROOT]);
    for (size_t i = 0; i < list.count; i++)
        runs_put_line(&list.entries[i]);
    return CLI_OK;
}

/* The log that was named, or the last run's. */
static cli_exit runs_log(const cli_options *o, const char **log) {
    *log = o->operand;
    return *log ? CLI_OK : cli_logs_last(o->text[OPT_ROOT], cli_command_name(o->command), log);
}

/* ---- show ---- */

/* What kept commands in, a line for each part of the run in which it was something else. */
static void runs_show_sandbox(const cli_world *w) {
    char text[RUNS_MESSAGE], told[RUNS_MESSAGE];
    size_t len, told_len = 0;
    uint64_t at = 0, size;
    wf_record r;
    wf_str raw;
    while (wf_record_next(w->run, &at, &r) == WF_OK) {
        bool resumed = strcmp(r.type, "resume") == 0;
        if (!resumed && strcmp(r.type, "run") != 0) continue;
        if (!wf_json_member_u64(r.json, WF_STR("settings"), &size) || size > r.payload.len) continue;
        wf_str settings = wf_str_of(r.payload.ptr + (r.payload.len - size), (size_t)size); /* they come last */
        if (!wf_json_member_str(settings, WF_STR(CLI_SANDBOX), &raw) || raw.len > sizeof text) continue;
        len = wf_json_unescape(raw, text);
        if (cli_same(wf_str_of(text, len), wf_str_of(told, told_len))) continue;
        memcpy(told, text, told_len = len);
        printf("sandbox:  ");
        cli_put(stdout, wf_str_of(text, len), RUNS_MESSAGE);
        puts(resumed ? " (resumed)" : "");
    }
}

/* Why a run is stopped that is: the word that its script had last. */
static void runs_show_stop(const cli_world *w, const wf_run_status *status) {
    char text[RUNS_MESSAGE];
    size_t len = 0;
    uint64_t at = 0;
    wf_record r;
    while (status->outcome > WF_RUN_FAILED && wf_record_next(w->run, &at, &r) == WF_OK) {
        if (strcmp(r.type, "resume") == 0) len = 0;
        if (strcmp(r.type, "stop") != 0 || r.payload.len > sizeof text) continue;
        memcpy(text, r.payload.ptr, len = r.payload.len);
    }
    if (len == 0) return;
    printf("stopped:  ");
    cli_put(stdout, wf_str_of(text, len), RUNS_MESSAGE);
    putchar('\n');
}

static void runs_show_head(const cli_world *w, const wf_run_status *status) {
    cli_amount a;
    wf_run_spec spec;
    if (wf_run_header(w->run, &spec, NULL) != WF_OK) return;
    printf("name:     ");
    cli_put(stdout, cli_title(spec.script, spec.name), RUNS_LABEL);
    printf(" (");
    cli_put(stdout, spec.name, RUNS_LABEL);
    printf(")\nstatus:   %s", runs_state(w->log, status->outcome));
    if (runs_is_partial(status) && status->census.failed > 0)
        printf(", but %" PRIu32 " of %" PRIu32 " agents failed", status->census.failed, runs_agents(&status->census));
    else if (runs_is_partial(status))
        printf(", but with script errors");
    putchar('\n');
    runs_show_stop(w, status);
    printf("started:  %s\n", cli_date(&a, status->started_ms));
    printf("log:      %s, ", w->log);
    printf("%s\n", cli_bytes(&a, status->log_bytes));
    printf("script:   %s\n", cli_bytes(&a, spec.script.len));
    printf("args:     ");
    cli_put(stdout, spec.args.len > 0 ? spec.args : WF_STR("null"), RUNS_MESSAGE);
    printf("\nsettings: ");
    cli_put(stdout, spec.settings, RUNS_MESSAGE);
    putchar('\n');
    runs_show_sandbox(w);
    printf("agents:   ");
    runs_put_census(w, status);
    printf("\nspend:    ");
    cli_put_spend(stdout, status);
    putchar('\n');
}

static void runs_show_phases(const runs_summary *s) {
    cli_amount tokens;
    if (s->phase_count == 0) return;
    printf("\n  agents    done  failed        tokens  phase\n");
    for (size_t i = 0; i < s->phase_count; i++) {
        const runs_phase *p = &s->phases[i];
        printf("  %6" PRIu32 "  %6" PRIu32 "  %6" PRIu32 "  %12s  ", p->agents, p->done, p->failed,
               cli_count(&tokens, p->tokens));
        cli_put(stdout, p->title_len ? wf_str_of(p->title, p->title_len) : WF_STR("(no phase)"), RUNS_LABEL);
        putchar('\n');
    }
}

static const char *runs_kind(const wf_call_info *call) {
    if (!call->finished) return "unfinished";
    return call->kind == WF_KIND_NONE ? "done" : wf_kind_name(call->kind);
}

static void runs_put_label(const wf_call_info *call) {
    cli_put(stdout, call->label.len > 0 ? call->label : call->prompt, RUNS_LABEL);
}

static void runs_show_agents(const cli_world *w) {
    cli_amount tokens, time;
    wf_call_info call;
    uint32_t row = 0;
    printf("\n    call  result      turns        tokens        time  agent\n");
    while (runs_next_agent(w->run, &row, &call)) {
        printf("  %6" PRIu32 "  %-10s  %5" PRIu32 "  %12s  %10s  ", call.id, runs_kind(&call), call.turns,
               cli_count(&tokens, cli_tokens(&call.usage)), call.finished ? cli_time(&time, call.ms) : "");
        runs_put_label(&call);
        puts(call.blind ? " (answered after tool errors only)" : "");
    }
}

/* rejected: agents that the census has as failed and that did well by themselves. */
static void runs_show_failures(const cli_world *w, uint32_t rejected) {
    wf_call_info call;
    uint32_t row = 0;
    bool any = false;
    while (runs_next_agent(w->run, &row, &call)) {
        if (!call.finished || call.cancelled || call.kind == WF_KIND_NONE) continue;
        if (!any) printf("\nfailed:\n");
        any = true;
        printf("  ");
        runs_put_label(&call);
        printf(": %s: ", wf_kind_name(call.kind));
        cli_put(stdout, call.message, RUNS_MESSAGE);
        printf(" (%" PRIu32 " %s)\n", call.attempts, call.attempts == 1 ? "request" : "requests");
    }
    if (rejected > 0)
        printf("%s  %" PRIu32 " more, whose answers the script's check rejected for good\n", any ? "" : "\nfailed:\n",
               rejected);
}

static void runs_show_error(wf_str text) {
    printf("  script error: ");
    cli_put(stdout, text, RUNS_MESSAGE);
    putchar('\n');
}

static void runs_show_value(const cli_world *w, const wf_run_status *status) {
    wf_str value;
    bool json;
    if (wf_run_value(w->run, &value, &json) != WF_OK) {
        printf("\nIt has not ended; wf resume %s goes on.\n", cli_word(cli_str(w->log)));
        return;
    }
    printf("\n%s (%zu bytes):\n", status->outcome == WF_RUN_FAILED ? "error" : "value", value.len);
    cli_put_lines(stdout, value);
    if (status->outcome > WF_RUN_FAILED) printf("\nIt was stopped; wf resume %s goes on.\n", cli_word(cli_str(w->log)));
}

cli_exit cli_show(const cli_options *o) {
    cli_world w;
    wf_run_status status;
    runs_summary summary;
    const char *log;
    cli_exit code = runs_log(o, &log);
    if (code == CLI_OK) code = cli_world_read(&w, log, false);
    if (code != CLI_OK) return code;
    wf_run_status_get(w.run, &status);
    runs_show_head(&w, &status);
    runs_summarize(w.run, &summary);
    runs_show_phases(&summary);
    if (summary.phase_count > 0) runs_show_agents(&w);
    uint32_t failed = status.census.failed, seen = summary.census.failed;
    runs_show_failures(&w, failed > seen ? failed - seen : 0);
    if (status.census.script_errors > 0) printf("\nbranches failed: script errors:\n");
    cli_logs_errors(w.run, runs_show_error);
    runs_show_value(&w, &status);
    if (runs_is_partial(&status) && seen > 0)
        printf("\nwf resume %s --retry-failed asks the failed agents again.\n", cli_word(cli_str(w.log)));
    cli_world_close(&w);
    return CLI_OK;
}

/* ---- log ---- */

static void runs_put_record(const wf_record *r) {
    printf("%10" PRIu64 "  %-7s  %6" PRIu32 "  ", r->offset, r->type, r->call);
    cli_put(stdout, r->json, SIZE_MAX);
    if (r->payload.len > 0) printf("  %zu: ", r->payload.len);
    cli_put(stdout, r->payload, RUNS_PAYLOAD);
    putchar('\n');
}

static void runs_write_record(const wf_record *r, wf_json_out *out) {
    wf_json_begin(out, true);
    cli_json_member(out, "offset", r->offset);
    cli_json_text(out, "type", cli_str(r->type));
    cli_json_member(out, "call", r->call);
    cli_json_member(out, "synced", r->synced);
    wf_json_key(out, WF_STR("meta"));
    if (r->json.len > 0)
        wf_json_raw(out, r->json);
    else
        wf_json_null(out);
    cli_json_text(out, "payload", r->payload);
    wf_json_finish(out);
}

static void runs_put_record_json(const wf_record *r) {
    wf_json_out out;
    wf_json_out_init(&out, NULL, 0);
    runs_write_record(r, &out);
    size_t size = out.len;
    char *text = cli_take(size);
    wf_json_out_init(&out, text, size);
    runs_write_record(r, &out);
    cli_terminal_put(wf_str_of(text, size));
    putchar('\n');
    free(text);
}

cli_exit cli_log(const cli_options *o) {
    cli_world w;
    wf_record record;
    uint64_t at = 0;
    wf_status status;
    const char *log;
    cli_exit code = runs_log(o, &log);
    if (code == CLI_OK) code = cli_world_read(&w, log, false);
    if (code != CLI_OK) return code;
    while ((status = wf_record_next(w.run, &at, &record)) == WF_OK && !ferror(stdout)) {
        if (o->number[OPT_JSON])
            runs_put_record_json(&record);
        else
            runs_put_record(&record);
    }
    if (status < 0) code = cli_world_fail(&w, status);
    cli_world_close(&w);
    return code;
}
