/* status: see status.h. */
#include "status.h"
#include "../base/terminal.h"
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STATUS_REDRAW_MS 200u
#define STATUS_SECOND_MS 1000u
#define STATUS_QUICK_MS  700u   /* a run that has ended by then had none */
#define STATUS_FIRST_MS  10000u /* of silence, where it is printed line by line, before the first one, */
#define STATUS_SILENT_MS 30000u /* and before others */
#define STATUS_WORKING   2048u  /* calls whose age is known: lanes and effects */
#define STATUS_LINE      1024u  /* bytes */
#define STATUS_NARROW    60u    /* columns with which less is said */
#define STATUS_LABEL     8u     /* columns that a label should have */
#define STATUS_PRINTED   100u   /* columns of a line without a terminal */

static const char status_erase[] = "\r\033[J";

typedef struct status_call {
    uint32_t id;
    bool effect;
    uint64_t since;
} status_call;

/* The trace hook is handed the port's context, so the line cannot come with it. */
static struct status {
    bool live, terminal, held;
    bool said;    /* something else was printed */
    bool changed; /* since the line was drawn */
    uint64_t began, now, last;
    uint32_t silence_ms; /* before it is printed */
    uint32_t count;
    status_call working[STATUS_WORKING]; /* the oldest first */
    char line[STATUS_LINE];              /* as it was drawn */
    size_t len;
} status;

static volatile sig_atomic_t status_drawn;

static uint64_t status_clock(void) {
    struct timespec t = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

void cli_status_begin(const cli_options *o) {
    memset(&status, 0, sizeof status);
    status.began = status.last = status_clock();
    status.silence_ms = STATUS_FIRST_MS;
    status.live = o->number[OPT_QUIET] == 0;
    status.terminal = cli_terminal_is_live() && o->number[OPT_JSON] == 0;
}

void cli_status_clear(void) {
    status.said = true;
    if (!status_drawn) return;
    status_drawn = 0;
    fputs(status_erase, stderr);
}

void cli_status_wipe(void) {
    ssize_t n = status_drawn ? write(STDERR_FILENO, status_erase, sizeof status_erase - 1) : 0;
    (void)n;
}

void cli_status_end(void) {
    cli_status_clear();
    fflush(stderr);
    status.live = false;
}

void cli_status_hold(bool held) {
    if (held) cli_status_clear();
    status.held = held;
}

/* ---- who works ---- */

static void status_remove(uint32_t id) {
    uint32_t i = 0;
    while (i < status.count && status.working[i].id != id)
        i++;
    if (i == status.count) return;
    status.count--;
    memmove(status.working + i, status.working + i + 1, (status.count - i) * sizeof *status.working);
}

void cli_status_trace(const wf_trace *e) {
    if (!status.live) return;
    status.changed = true;
    if (e->type == WF_TRACE_DONE) status_remove(e->id);
    if (e->type != WF_TRACE_START && e->type != WF_TRACE_RESUME) return;
    status_remove(e->id);
    if (status.count < STATUS_WORKING) status.working[status.count++] = (status_call){e->id, e->effect, status_clock()};
}

/* The agent that has worked longest; if none does, the effect. NULL: nobody works. */
static const status_call *status_oldest(wf *run, wf_call_info *call) {
    const status_call *effect = NULL;
    for (uint32_t i = 0; i < status.count;) {
        const status_call *c = &status.working[i];
        if (wf_call_get(run, c->id - 1, call) != WF_OK || call->finished) {
            status_remove(c->id);
            continue;
        }
        if (!c->effect) return c;
        if (!effect) effect = c;
        i++;
    }
    if (effect) (void)wf_call_get(run, effect->id - 1, call);
    return effect;
}

/* ---- the line ---- */

/* A piece of the line; what it takes goes off the columns that are left. */
static void status_add(char line[STATUS_LINE], size_t *len, unsigned *columns, wf_str text) {
    *len += cli_terminal_clip(text, columns, line + *len, STATUS_LINE - *len);
}

static void status_put_head(const wf_run_status *s, bool narrow, char out[128]) {
    int n = snprintf(out, 128, "%" PRIu32 " done", s->census.done);
    if (s->census.failed > 0) n += snprintf(out + n, 128 - (size_t)n, ", %" PRIu32 " failed", s->census.failed);
    n += snprintf(out + n, 128 - (size_t)n, ", %" PRIu32 " working", s->running);
    if (s->queued > 0 && !narrow) snprintf(out + n, 128 - (size_t)n, ", %" PRIu32 " waiting", s->queued);
}

static void status_put_spent(const wf_usage *u, char out[64]) {
    cli_amount a;
    out[0] = '\0';
    if (u->nano_usd > 0)
        snprintf(out, 64, " | %s", cli_money(&a, u->nano_usd));
    else if (cli_tokens(u) > 0)
        snprintf(out, 64, " | %s tokens", cli_count(&a, cli_tokens(u)));
}

/* "12 done, 4 working, 9 waiting | LABEL 35 s | 0.0123 USD" */
static size_t status_compose(wf *run, unsigned columns, char line[STATUS_LINE]) {
    char head[128], seconds[32] = "", spent[64], name[32];
    size_t len = 0;
    wf_run_status s;
    wf_call_info call;
    wf_run_status_get(run, &s);
    status_put_head(&s, columns < STATUS_NARROW, head);
    status_put_spent(&s.usage, spent);
    const status_call *oldest = status_oldest(run, &call);
    if (oldest) snprintf(seconds, sizeof seconds, " %" PRIu64 " s", (status.now - oldest->since) / 1000);
    status_add(line, &len, &columns, cli_str(head));
    if (oldest && columns > strlen(seconds) + 3) {
        unsigned rest = columns - (unsigned)strlen(seconds) - 3;
        bool room = rest >= strlen(spent) + STATUS_LABEL;
        unsigned label = room ? rest - (unsigned)strlen(spent) : rest;
        snprintf(name, sizeof name, "agent %" PRIu32, call.id);
        status_add(line, &len, &columns, WF_STR(" | "));
        columns -= label;
        status_add(line, &len, &label, call.label.len > 0 ? call.label : cli_str(name));
        columns += label;
        status_add(line, &len, &columns, cli_str(seconds));
    }
    if (columns >= strlen(spent)) status_add(line, &len, &columns, cli_str(spent));
    return len;
}

/* One write: half a line is never seen. */
static void status_draw(wf *run) {
    char line[STATUS_LINE], out[STATUS_LINE + 16];
    size_t len = status_compose(run, cli_terminal_columns() - 1, line);
    status.last = status.now;
    status.changed = status.said = false;
    if (status_drawn && len == status.len && memcmp(line, status.line, len) == 0) return;
    memcpy(status.line, line, status.len = len);
    int n = snprintf(out, sizeof out, "%s%.*s\r", status_drawn ? status_erase : "\r", (int)len, line);
    fflush(stderr);
    status_drawn = 1;
    ssize_t put = write(STDERR_FILENO, out, (size_t)n);
    (void)put;
}

static void status_print(wf *run) {
    char line[STATUS_LINE];
    size_t len = status_compose(run, STATUS_PRINTED, line);
    fprintf(stderr, "working: %.*s\n", (int)len, line);
    status.last = status.now;
    status.silence_ms = STATUS_SILENT_MS;
}

static uint32_t status_left(uint64_t due) {
    return due > status.now ? (uint32_t)(due - status.now) : 0;
}

static uint32_t status_tick_terminal(wf *run) {
    if (status.held) return UINT32_MAX;
    if (!cli_terminal_is_live()) { /* in the background: its line stays where it was */
        status_drawn = 0;
        return STATUS_SECOND_MS;
    }
    bool early = status.changed || status.said;
    uint64_t due = status.last + (early ? STATUS_REDRAW_MS : STATUS_SECOND_MS);
    if (due < status.began + STATUS_QUICK_MS) due = status.began + STATUS_QUICK_MS;
    if (status.now >= due) {
        status_draw(run);
        return STATUS_SECOND_MS;
    }
    return status_left(due);
}

uint32_t cli_status_tick(wf *run) {
    if (!status.live) return UINT32_MAX;
    status.now = status_clock();
    if (status.terminal) return status_tick_terminal(run);
    if (status.said) status.last = status.now;
    status.said = false;
    if (status.now - status.last >= status.silence_ms) status_print(run);
    return status_left(status.last + status.silence_ms);
}
