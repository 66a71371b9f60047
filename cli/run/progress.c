/* progress: see progress.h. */
#include "progress.h"
#include "../base/terminal.h"
#include "status.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROGRESS_LINES 20                    /* that are still on the screen at the end */
#define PROGRESS_TEXT  400                   /* bytes of other people's text on a line */
#define PROGRESS_EVENT 65536                 /* bytes of an event */
#define PROGRESS_LIMIT 10                    /* seconds from one word of a rate limit to the next */
#define PROGRESS_PART  (PROGRESS_EVENT / 20) /* of each of its three texts, whose bytes take up to six each */

/* The trace hook is handed the port's context, so the view cannot come with it. */
static struct progress {
    bool json, quiet, color;
    uint32_t finished; /* agents, answers from the log included */
    uint32_t failed;
    uint32_t again; /* of these, how many the log answered */
    uint32_t ids[CLI_FAILURES];
    uint32_t lines; /* printed since the first failure */
    bool untold;    /* a failure was not printed in full */
    time_t limited; /* when a rate limit was spoken of last */
    bool stop;      /* the reason of a stop was: */
    char why[PROGRESS_TEXT];
    size_t why_len;
    int error;
    char event[PROGRESS_EVENT];
} progress;

bool cli_progress_color(const cli_options *o) {
    const char *none = getenv("NO_COLOR");
    return !o->number[OPT_NO_COLOR] && !(none && none[0]) && cli_terminal_takes_codes();
}

void cli_progress_begin(const cli_options *o) {
    memset(&progress, 0, sizeof progress);
    progress.json = o->number[OPT_JSON] != 0;
    progress.quiet = o->number[OPT_QUIET] != 0;
    progress.color = cli_progress_color(o);
    cli_status_begin(o);
}

uint32_t cli_progress_failures(uint32_t ids[CLI_FAILURES], bool *recent) {
    memcpy(ids, progress.ids, sizeof progress.ids);
    *recent = !progress.untold && progress.lines <= PROGRESS_LINES;
    return progress.failed;
}

uint32_t cli_progress_again(void) {
    return progress.again;
}

bool cli_progress_stop(void) {
    return progress.stop;
}

int cli_progress_error(void) {
    return progress.error == EPIPE ? 0 : progress.error;
}

/* ---- JSON ---- */

void cli_progress_line(const wf_json_out *out) {
    if (progress.error != 0) return;
    cli_terminal_put(wf_str_of(out->buf, out->len));
    if (fputc('\n', stdout) == EOF || fflush(stdout) != 0) progress.error = errno ? errno : EIO;
}

static const char *progress_name(wf_trace_type type) {
    static const char *const names[] = {"start", "resume", "turn", "tool",  "retry", "done", "hit",
                                        "miss",  "phase",  "note", "error", "stop",  "limit"};
    return (size_t)type < sizeof names / sizeof *names ? names[type] : "?";
}

static void progress_text(wf_json_out *out, const char *key, wf_str text) {
    if (text.len > PROGRESS_PART) text.len = PROGRESS_PART;
    if (text.len > 0) cli_json_text(out, key, text);
}

static void progress_json(const wf_trace *e) {
    wf_json_out out;
    bool ends = e->type == WF_TRACE_DONE || e->type == WF_TRACE_HIT;
    wf_json_out_init(&out, progress.event, sizeof progress.event);
    wf_json_begin(&out, true);
    cli_json_text(&out, "event", cli_str(progress_name(e->type)));
    if (e->id > 0) cli_json_member(&out, "id", e->id);
    if (e->effect) {
        wf_json_key(&out, WF_STR("effect"));
        wf_json_bool(&out, true);
    }
    progress_text(&out, "label", e->label);
    progress_text(&out, "phase", e->phase);
    if (ends) cli_json_text(&out, "kind", cli_str(wf_kind_name(e->kind)));
    progress_text(&out, "text", e->text);
    if (e->n > 0) cli_json_member(&out, "n", e->n);
    if (e->ms > 0) cli_json_member(&out, "ms", e->ms);
    if (e->type == WF_TRACE_DONE && !e->effect) cli_json_usage(&out, &e->usage);
    wf_json_finish(&out);
    if (wf_json_ok(&out)) cli_progress_line(&out);
}

/* ---- lines ---- */

static void progress_paint(const char *code, const char *text) {
    if (progress.color)
        fprintf(stderr, "\033[%sm%s\033[0m", code, text);
    else
        fputs(text, stderr);
}

static void progress_label(const wf_trace *e) {
    if (e->label.len > 0)
        cli_put(stderr, e->label, PROGRESS_TEXT);
    else if (e->id > 0)
        fprintf(stderr, "agent %" PRIu32, e->id);
    else
        fputs("an agent", stderr);
}

static void progress_done(const wf_trace *e) {
    cli_amount tokens, time;
    bool ok = e->kind == WF_KIND_NONE;
    fprintf(stderr, "%6" PRIu32 " ", progress.finished);
    progress_paint(ok ? "32" : "31", ok ? "ok  " : e->kind == WF_KIND_CANCELLED ? "cut " : "FAIL");
    fputc(' ', stderr);
    progress_label(e);
    if (!ok) fprintf(stderr, ": %s", wf_kind_name(e->kind));
    if (e->text.len > 0 && !(progress.stop && cli_same(e->text, wf_str_of(progress.why, progress.why_len)))) {
        fputs(": ", stderr);
        cli_put(stderr, e->text, PROGRESS_TEXT);
    }
    fprintf(stderr, " (%" PRIu32 " %s, %s tokens, %s)\n", e->n, e->n == 1 ? "turn" : "turns",
            cli_count(&tokens, cli_tokens(&e->usage)), cli_time(&time, e->ms));
}

static void progress_say(const char *head, wf_str text) {
    fputs(head, stderr);
    cli_put(stderr, text, PROGRESS_TEXT);
    fputc('\n', stderr);
}

/* Kept, as it may be the reason of agents' failures too: those do not repeat it. */
static void progress_stop(wf_str why) {
    progress.stop = why.len <= PROGRESS_TEXT;
    progress.why_len = progress.stop ? why.len : 0;
    if (progress.why_len > 0) memcpy(progress.why, why.ptr, progress.why_len);
}

/* One line for all who wait, and not each time that a limit is met again. */
static void progress_limit(const wf_trace *e) {
    char at[16] = "";
    struct tm tm;
    time_t now = time(NULL), until = now + (time_t)((e->ms + 999) / 1000);
    if (progress.limited != 0 && now - progress.limited < PROGRESS_LIMIT && until - now < PROGRESS_LIMIT) return;
    progress.limited = now;
    if (localtime_r(&until, &tm)) strftime(at, sizeof at, "%H:%M:%S", &tm);
    fprintf(stderr, "rate limit: waiting until %s, %" PRIu32 " %s queued: ", at, e->n,
            e->n == 1 ? "request" : "requests");
    progress_say("", e->text);
}

static bool progress_has_line(const wf_trace *e) {
    switch (e->type) {
    case WF_TRACE_START:
    case WF_TRACE_RESUME:
    case WF_TRACE_TURN:
    case WF_TRACE_TOOL:
    case WF_TRACE_HIT:
        return false;
    case WF_TRACE_DONE:
    case WF_TRACE_MISS:
        return !e->effect;
    default:
        return true;
    }
}

static void progress_print(const wf_trace *e) {
    cli_amount wait;
    if (!progress_has_line(e)) return;
    cli_status_clear();
    switch (e->type) {
    case WF_TRACE_PHASE:
        progress_paint("1", "== ");
        progress_say("", e->text);
        return;
    case WF_TRACE_NOTE:
        progress_say("   ", e->text);
        return;
    case WF_TRACE_ERROR:
        progress_paint("31", "script error: ");
        progress_say("", e->text);
        return;
    case WF_TRACE_STOP:
        progress_stop(e->text);
        progress_say("stopping: ", e->text);
        return;
    case WF_TRACE_DONE:
        progress_done(e);
        return;
    case WF_TRACE_RETRY:
        fprintf(stderr, "       retry of ");
        progress_label(e);
        fprintf(stderr, " in %s: ", cli_time(&wait, e->ms));
        progress_say("", e->text);
        return;
    case WF_TRACE_LIMIT:
        progress_limit(e);
        return;
    case WF_TRACE_MISS:
        fprintf(stderr, "       asks anew: ");
        progress_label(e);
        progress_say(": ", e->text);
        return;
    default:
        return;
    }
}

void cli_progress_trace(void *ctx, const wf_trace *e) {
    (void)ctx;
    bool ends = !e->effect && (e->type == WF_TRACE_DONE || e->type == WF_TRACE_HIT);
    progress.finished += ends;
    if (ends && e->kind != WF_KIND_NONE && e->kind != WF_KIND_CANCELLED) {
        if (progress.failed < CLI_FAILURES) progress.ids[progress.failed] = e->id;
        progress.failed++;
        progress.again += e->type == WF_TRACE_HIT;
        progress.untold |= progress.json || progress.quiet || e->type == WF_TRACE_HIT || e->text.len > PROGRESS_TEXT;
    }
    progress.lines += progress.failed > 0;
    cli_status_trace(e);
    if (progress.json) progress_json(e);
    if (!progress.json && (!progress.quiet || e->type == WF_TRACE_ERROR)) progress_print(e);
}

void cli_progress_print(wf_str line) {
    cli_status_clear();
    fputs("model: ", stderr);
    cli_put_lines(stderr, line);
}

void cli_progress_script_error(wf_str text) {
    const wf_trace event = {.type = WF_TRACE_ERROR, .text = text};
    cli_progress_trace(NULL, &event);
}
