/* ask: see ask.h. */
#include "ask.h"
#include "../base/terminal.h"
#include "status.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define ASK_MOST  ((size_t)1 << 20) /* bytes of a file of answers */
#define ASK_SHOWN 4000              /* bytes of a question or a choice */
#define ASK_ERROR 1000
#define ASK_DRY   "(an answer of the dry run)"

/* ---- replies ---- */

void cli_reply_text(cli_reply *r, wf_str text) {
    wf_json_out out;
    wf_json_out_init(&out, NULL, 0);
    wf_json_str(&out, text);
    r->len = out.len;
    r->text = cli_take(r->len);
    wf_json_out_init(&out, r->text, r->len);
    wf_json_str(&out, text);
    r->done = true;
}

void cli_reply_error(cli_reply *r, const char *format, ...) {
    va_list args;
    r->text = cli_take(ASK_ERROR);
    va_start(args, format);
    vsnprintf(r->text, ASK_ERROR, format, args);
    va_end(args);
    r->len = strlen(r->text);
    r->done = r->is_error = true;
}

/* A text of the question, unescaped; its memory is the caller's to free. NULL: it has none of this name. */
static char *ask_member(const cli_reply *r, const char *name, size_t *len) {
    wf_str escaped;
    *len = 0;
    if (!wf_json_member_str(r->input, cli_str(name), &escaped)) return NULL;
    char *text = cli_take(escaped.len + 1);
    *len = wf_json_unescape(escaped, text);
    return text;
}

/* Its next choice, escaped; false: there is no more. */
static bool ask_next_choice(wf_json *j, wf_str *escaped) {
    bool more = wf_json_next(j) == WF_JSON_STRING;
    *escaped = j->raw;
    return more;
}

/* Stands before the first choice; false: any answer will do. */
static bool ask_choices(const cli_reply *r, wf_json *j) {
    wf_str list;
    if (!wf_json_member(r->input, WF_STR("choices"), &list)) return false;
    wf_json_init(j, list);
    return wf_json_next(j) == WF_JSON_ARRAY;
}

/* Answers with the choice that this is, or whose number it is; free text is taken as it is. False: it is none. */
static bool ask_take(cli_reply *r, wf_str text, bool numbers) {
    wf_json j;
    wf_str choice, chosen = {NULL, 0};
    char digits[24];
    if (!ask_choices(r, &j)) return cli_reply_text(r, text), true;
    for (unsigned i = 1; ask_next_choice(&j, &choice); i++) {
        snprintf(digits, sizeof digits, "%u", i);
        bool is = wf_json_equals(choice, text);
        if (is || (numbers && !chosen.ptr && cli_same(text, cli_str(digits)))) chosen = choice;
        if (is) break;
    }
    if (!chosen.ptr) return false;
    char *plain = cli_take(chosen.len + 1);
    cli_reply_text(r, wf_str_of(plain, wf_json_unescape(chosen, plain)));
    free(plain);
    return true;
}

static bool ask_take_default(cli_reply *r) {
    size_t len;
    char *text = ask_member(r, "default", &len);
    if (text) cli_reply_text(r, wf_str_of(text, len));
    free(text);
    return text != NULL;
}

/* ---- the file of answers ---- */

/* A text, or a number or word as it stands. */
static bool ask_is_answer(wf_json_token t) {
    return t == WF_JSON_STRING || t == WF_JSON_NUMBER || t == WF_JSON_TRUE || t == WF_JSON_FALSE;
}

cli_exit cli_ask_open(cli_ask *a, const cli_options *o, bool dry) {
    static const char form[] =
        "a JSON object of questions (or labels) with their answers, {\"Go on?\": \"yes\"}, or a list "
        "of answers in order";
    const char *path = o->text[OPT_ANSWERS];
    wf_json j;
    memset(a, 0, sizeof *a);
    a->dry = dry;
    a->quiet = o->number[OPT_QUIET] != 0;
    if (!path) return CLI_OK;
    if (!cli_read_file(path, ASK_MOST, &a->answers)) return CLI_USAGE;
    wf_json_init(&j, a->answers);
    wf_json_token t = wf_json_next(&j), end = t == WF_JSON_ARRAY ? WF_JSON_ARRAY_END : WF_JSON_OBJECT_END;
    a->list = t == WF_JSON_ARRAY;
    if (!a->list && t != WF_JSON_OBJECT) return cli_fail(CLI_USAGE, "--answers %s: it must hold %s", path, form);
    while ((t = wf_json_next(&j)) != end) {
        if (t == WF_JSON_KEY) t = wf_json_next(&j);
        if (!ask_is_answer(t))
            return cli_fail(CLI_USAGE, "--answers %s: at byte %zu: %s; it must hold %s", path, j.pos,
                            t == WF_JSON_ERROR ? j.error.text : "an answer is a text", form);
    }
    if (wf_json_next(&j) == WF_JSON_END) return CLI_OK;
    return cli_fail(CLI_USAGE, "--answers %s: at byte %zu: %s", path, j.pos, j.error.text);
}

void cli_ask_resume(cli_ask *a, wf *run) {
    wf_call_info call;
    for (uint32_t i = 0; a->list && wf_call_get(run, i, &call) == WF_OK; i++)
        a->taken += call.effect && cli_same(call.label, WF_STR("ask")) && call.finished && call.kind == WF_KIND_NONE;
}

/* The next of a list. */
static bool ask_in_list(const cli_ask *a, wf_json *j) {
    wf_json_init(j, a->answers);
    (void)wf_json_next(j);
    for (uint32_t i = 0; i <= a->taken; i++)
        if (!ask_is_answer(wf_json_next(j))) return false;
    return true;
}

/* The answer to a question, or to its label. */
static bool ask_in_object(const cli_ask *a, const cli_reply *r, wf_json *j) {
    static const char *const names[] = {"question", "label"};
    wf_str value;
    bool found = false;
    for (size_t i = 0; i < 2 && !found; i++) {
        size_t len;
        char *key = ask_member(r, names[i], &len);
        found = key && wf_json_member(a->answers, wf_str_of(key, len), &value);
        free(key);
    }
    if (!found) return false;
    wf_json_init(j, value);
    return ask_is_answer(wf_json_next(j));
}

/* False: the file has nothing to say. */
static bool ask_from_file(cli_ask *a, cli_reply *r) {
    wf_json j;
    size_t len = 0;
    if (a->answers.len == 0 || !(a->list ? ask_in_list(a, &j) : ask_in_object(a, r, &j))) return false;
    char *text = cli_take(j.raw.len + 1);
    wf_str answer = wf_str_of(text, wf_json_unescape(j.raw, text));
    if (ask_take(r, answer, false)) {
        a->taken++;
    } else {
        char *question = ask_member(r, "question", &len);
        cli_reply_error(
            r,
            "--answers: \"%.*s\" is none of the choices of the question \"%.*s\"; fix the file, then resume with "
            "--retry-failed",
            (int)(answer.len < 200 ? answer.len : 200), answer.ptr, (int)(len < 300 ? len : 300), question);
        free(question);
    }
    free(text);
    return true;
}

/* ---- the terminal ---- */

/* A person sits there: what is asked can be seen and answered, and this process may read. */
static bool ask_has_terminal(void) {
    if (!cli_terminal_has_person()) return false;
    pid_t front = tcgetpgrp(STDIN_FILENO);
    return front == -1 || front == getpgrp(); /* -1: a terminal that rules no jobs */
}

static void ask_show_text(const char *before, const char *text, size_t len, const char *after) {
    fputs(before, stderr);
    cli_put(stderr, wf_str_of(text, len), ASK_SHOWN);
    fputs(after, stderr);
}

static void ask_show(cli_ask *a) {
    const cli_reply *r = a->first;
    size_t len;
    wf_json j;
    wf_str choice;
    bool has = ask_choices(r, &j);
    cli_status_hold(true);
    tcflush(STDIN_FILENO, TCIFLUSH); /* invariant 2 */
    char *text = ask_member(r, "question", &len);
    ask_show_text("? ", text, len, "\n");
    free(text);
    for (unsigned i = 1; has && ask_next_choice(&j, &choice); i++) {
        text = cli_take(choice.len + 1);
        fprintf(stderr, "  %u) ", i);
        ask_show_text("", text, wf_json_unescape(choice, text), "\n");
        free(text);
    }
    fputs(has ? "  number or text, then Enter" : "  your answer, then Enter", stderr);
    text = ask_member(r, "default", &len);
    if (text) ask_show_text("; Enter alone: ", text, len, "");
    free(text);
    fputc('\n', stderr);
    a->len = 0;
    a->too_long = false;
}

static void ask_next_question(cli_ask *a) {
    a->first = a->first->next;
    cli_status_hold(a->first != NULL);
    if (a->first) ask_show(a);
}

/* A whole line; false: it is no answer, and the question is put again. */
static bool ask_take_line(cli_ask *a) {
    wf_str line = wf_str_of(a->line, a->len);
    if (a->too_long) return false;
    while (line.len > 0 && strchr(" \t\r", line.ptr[line.len - 1]))
        line.len--;
    while (line.len > 0 && strchr(" \t", *line.ptr))
        line.ptr++, line.len--;
    if (line.len == 0 && ask_take_default(a->first)) return true;
    return ask_take(a->first, line, true);
}

static void ask_closed(cli_ask *a) {
    if (!ask_take_default(a->first))
        cli_reply_error(a->first,
                        "the terminal gave no answer, and the question has no default; answer it in a file: --answers "
                        "FILE (after a resume with --retry-failed)");
    ask_next_question(a);
}

void cli_ask_look(cli_ask *a) {
    char bytes[CLI_ASK_LINE];
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    if (!a->first || !ask_has_terminal() || poll(&fd, 1, 0) <= 0) return;
    ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) {
        ask_closed(a);
        return;
    }
    for (ssize_t i = 0; i < n && a->first; i++) {
        if (bytes[i] != '\n') {
            if (a->len < sizeof a->line)
                a->line[a->len++] = bytes[i];
            else
                a->too_long = true;
            continue;
        }
        if (ask_take_line(a)) {
            ask_next_question(a);
        } else {
            fputs(a->too_long ? "  (that is too long)\n" : "  (that is none of the choices)\n", stderr);
            ask_show(a);
        }
        return; /* what stands behind it was typed before the next question did */
    }
}

/* ---- the order of things ---- */

static void ask_nobody(cli_reply *r) {
    size_t len = 0;
    char *question = ask_member(r, "question", &len);
    cli_reply_error(
        r,
        "nobody can be asked \"%.*s\": there is no terminal, and the question has no default; answer it in a file, "
        "{\"QUESTION\": \"ANSWER\"}: --answers FILE (on a resume with --retry-failed)",
        (int)(len < 300 ? len : 300), question);
    free(question);
}

static void ask_dry(cli_reply *r) {
    wf_json j;
    wf_str choice;
    if (ask_take_default(r)) return;
    if (ask_choices(r, &j) && ask_next_choice(&j, &choice))
        (void)ask_take(r, WF_STR("1"), true);
    else
        cli_reply_text(r, WF_STR(ASK_DRY));
}

/* Whoever hands over a file of answers may have misspelt a question. */
static void ask_tell_default(const cli_ask *a, const cli_reply *r) {
    size_t len;
    if (a->answers.len == 0 || a->quiet) return;
    cli_status_clear();
    char *question = ask_member(r, "question", &len);
    ask_show_text("  --answers has nothing for \"", question, len, "\": the default is taken\n");
    free(question);
}

void cli_ask_begin(cli_ask *a, cli_reply *r) {
    if (ask_from_file(a, r)) return;
    if (a->dry) {
        ask_dry(r);
    } else if (ask_has_terminal()) {
        cli_reply **last = &a->first;
        while (*last)
            last = &(*last)->next;
        *last = r;
        if (a->first == r) ask_show(a);
    } else if (ask_take_default(r)) {
        ask_tell_default(a, r);
    } else {
        ask_nobody(r);
    }
}

void cli_ask_drop(cli_ask *a, cli_reply *r) {
    bool shown = a->first == r;
    for (cli_reply **p = &a->first; *p; p = &(*p)->next) {
        if (*p != r) continue;
        *p = r->next;
        break;
    }
    if (shown) cli_status_hold(a->first != NULL);
    if (shown && a->first) ask_show(a);
}
