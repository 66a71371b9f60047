/* command: the tool bash, for models, and the effect exec, for scripts: a command in the jail, what
 * it printed, how it ended. */
#include "../jail/program.h"
#include "tool.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define COMMAND_SECONDS      120u /* of a command of bash; */
#define COMMAND_SECONDS_MOST 600u
#define COMMAND_MS           600000u /* ... of exec */
#define COMMAND_MS_MOST      86400000u
#define COMMAND_WORDS        256u              /* of a command as a list, variables of env */
#define COMMAND_KEEP         ((size_t)1 << 20) /* bytes that a script gets of each stream */
#define COMMAND_GAP          160u              /* kept free for the line about what is left out, */
#define COMMAND_NOTES        1200u             /* ... and for those about its end */

static uint64_t command_deadline(const wfi_tool *w, uint64_t ms) {
    uint64_t own = wfi_sys_now_ms() + ms;
    return own < w->deadline ? own : w->deadline;
}

/* The program's part that all commands have in common. */
static bool command_place(wfi_tool *w, wfi_program *p) {
    p->jail = w->jail;
    p->own = w->own;
    p->alone = true;
    p->tree = p->dir = w->root->root;
    p->tree_fd = w->dirfd;
    p->first = w->root->below ? NULL : w->root->guard;
    if (w->root->guarded) { /* the jail opens all of that folder */
        wfi_tool_error(
            w, "no command runs in .git, in .wf and in what is a repository itself to git (HEAD, objects, refs); "
               "give the agent another cwd, or the run another --root");
        return false;
    }
    if (w->root->root[0] != '\0') return true;
    wfi_tool_error(w, "the workspace has no path any more: was it moved or deleted?");
    return false;
}

static bool command_stream(wfi_tool *w, wfi_gather *g, size_t cap) {
    g->buf = wfi_tool_take(w, cap);
    g->cap = cap;
    return g->buf != NULL;
}

/* "could not ACTION: REASON". The numbers that a user can fix have words of their own. */
static void command_failed(wfi_tool *w, const wfi_program_end *end, const char *name) {
    if (strcmp(end->failed, WFI_PROGRAM_EXEC) != 0) {
        wfi_tool_error(w, "the command was not started, for we could not ");
        wfi_tool_puts(w, end->failed);
        wfi_tool_puts(w, ": ");
        wfi_tool_puts(w, strerror(end->error));
        return;
    }
    wfi_tool_error(w, "cannot run \"");
    wfi_tool_put(w, wfi_tool_clip(wf_str_of(name, strlen(name)), 256));
    if (end->error == ENOENT)
        wfi_tool_puts(w, "\": there is no such program; install it, or fix its name or PATH");
    else if (end->error == EACCES)
        wfi_tool_puts(w, "\": it is not executable; chmod +x it, or name the interpreter before it");
    else if (end->error == ENOEXEC)
        wfi_tool_puts(w, "\": it is no program; name the interpreter before it");
    else if (end->error == E2BIG)
        wfi_tool_puts(w,
                      "\": the command and its variables are too long for this system; put what is long into a file");
    else
        wfi_tool_puts(w, "\": it cannot be started here");
}

/* ---- what its output tells ---- */

enum { COMMAND_EDITOR = 1, COMMAND_GIT = 2, COMMAND_FILES = 4, COMMAND_PROCESSES = 8, COMMAND_FILE = 16 };

/* Words that tell of something that we know more of than the command does. */
static const struct {
    const char *word, *with; /* in one line; NULL: the word is enough */
    uint32_t tells;
} command_signs[] = {{"problem with the editor 'false'", NULL, COMMAND_EDITOR},
                     {".git", "Read-only file system", COMMAND_GIT},
                     {"unable to create temporary file", "Read-only file system", COMMAND_GIT},
                     {"Too many open files", NULL, COMMAND_FILES},
                     {"EMFILE: too many", NULL, COMMAND_FILES},
                     {"Resource temporarily unavailable", NULL, COMMAND_PROCESSES},
                     {"can't start new thread", NULL, COMMAND_PROCESSES},
                     {"unable to create native thread", NULL, COMMAND_PROCESSES},
                     {"annot fork", NULL, COMMAND_PROCESSES},
                     {"File too large", NULL, COMMAND_FILE}};

/* Where the word begins, or NULL. */
static const char *command_search(const char *from, const char *end, const char *word) {
    size_t n = strlen(word);
    while ((size_t)(end - from) >= n && (from = memchr(from, word[0], (size_t)(end - from) - n + 1)) != NULL) {
        if (memcmp(from, word, n) == 0) return from;
        from++;
    }
    return NULL;
}

static bool command_has(wf_str text, const char *word, const char *with) {
    const char *end = text.ptr + text.len, *found = text.ptr;
    if (text.len == 0) return false;
    while ((found = command_search(found, end, word)) != NULL) {
        const char *line = found, *after = memchr(found, '\n', (size_t)(end - found));
        if (with == NULL) return true;
        while (line > text.ptr && line[-1] != '\n')
            line--;
        if (after == NULL) after = end;
        if (command_search(line, after, with) != NULL) return true;
        found = after;
    }
    return false;
}

static uint32_t command_tells(wf_str text) {
    uint32_t tells = 0;
    for (size_t i = 0; i < sizeof command_signs / sizeof *command_signs; i++)
        if ((tells & command_signs[i].tells) == 0 && command_has(text, command_signs[i].word, command_signs[i].with))
            tells |= command_signs[i].tells;
    return tells;
}

/* Where the middle of a stream is. */
static void command_say_kept(wfi_tool *w, const wfi_kept *k) {
    switch (k->state) {
    case WFI_KEPT_WHOLE:
        wfi_tool_puts(w, ", all of it is in $TMPDIR/");
        break;
    case WFI_KEPT_BEGINNING:
        wfi_tool_puts(w, ", the first ");
        wfi_tool_putn(w, k->len >> 20);
        wfi_tool_puts(w, " MB of it are in $TMPDIR/");
        break;
    case WFI_KEPT_CROWDED:
        wfi_tool_puts(w, " and not kept, for $TMPDIR has too many out-* of before: rm some");
        return;
    case WFI_KEPT_FAILED:
        wfi_tool_puts(w, " and not kept: ");
        wfi_tool_puts(w, strerror(k->error));
        return;
    default:
        return;
    }
    wfi_tool_puts(w, k->name);
    wfi_tool_puts(w, " (grep or sed it)");
}

/* What a stream brought, with a line in the place of what is left out; and what it tells. False: something is left out. */
static bool command_show(wfi_tool *w, wfi_gather *g, const wfi_kept *k, uint32_t *tells) {
    wf_str head, tail;
    uint64_t missing = wfi_gather_parts(g, &head, &tail);
    *tells |= command_tells(head) | command_tells(tail);
    wfi_tool_put(w, head);
    if (missing == 0) return true;
    wfi_tool_puts(w, "\n... ");
    wfi_tool_putn(w, missing);
    wfi_tool_puts(w, " bytes left out");
    command_say_kept(w, k);
    wfi_tool_puts(w, " ...\n");
    wfi_tool_put(w, tail);
    return false;
}

/* Text as C has it; NULL: an error was set. */
static const char *command_terminated(wfi_tool *w, wf_str text, const char *error) {
    char *copy = wfi_tool_take(w, text.len + 1);
    if (copy == NULL) return NULL;
    if (text.len > 0) memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (strlen(copy) == text.len) return copy;
    wfi_tool_error(w, error);
    return NULL;
}

/* ---- what there is to say about it ---- */

/* A line of its own, whatever the command printed last. */
static void command_line(wfi_tool *w, const char *text) {
    if (w->len > 0 && w->out[w->len - 1] != '\n') wfi_tool_puts(w, "\n");
    wfi_tool_puts(w, text);
}

static void command_line_n(wfi_tool *w, const char *before, uint64_t n, const char *after) {
    command_line(w, before);
    wfi_tool_putn(w, n);
    wfi_tool_puts(w, after);
}

static void command_say_aside(wfi_tool *w, const char *name) {
    command_line(w, name[0] != '.'   ? "(it made this folder a repository to git"
                    : name[1] == 'w' ? "(it made .wf"
                                     : "(it made .git");
    wfi_tool_puts(w, ", which is not its to make; ");
    wfi_tool_puts(w, name[0] != '.' ? "a part of that is now " : "that is now ");
    wfi_tool_puts(w, name);
    wfi_tool_puts(w, ")");
}

/* Limits, and whose they are. What the kernel tells is said to be so; words in the output may be about something else: then
 * the limit is named, and no more. The signals of some come through a shell as codes. */
static void command_say_limits(wfi_tool *w, const wfi_program *p, const wfi_program_end *end, uint32_t tells) {
    struct rlimit files;
    bool held = (p->jail->holds & WF_HOLDS_NPROC) != 0;
    if (end->bounded)
        command_line_n(w, "(wf's limit of ", wfi_program_processes(), " processes and threads at a time was hit)");
    else if (held && (tells & COMMAND_PROCESSES) != 0)
        command_line_n(w, "(wf's limit is ", wfi_program_processes(), " processes and threads at a time)");
    if ((tells & COMMAND_FILES) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0)
        command_line_n(w, "(the limit of ", (uint64_t)files.rlim_cur, " open files is not wf's: see ulimit -n)");
    if (end->code == 128 + SIGXCPU)
        command_line_n(w, "(wf's limit of processor time for one process was hit: ", end->cpu_s, " s)");
    if (end->code == 128 + SIGXFSZ || (tells & COMMAND_FILE) != 0)
        command_line_n(w, "(wf's limit for one file is ", WFI_PROGRAM_FILE >> 30, " GB)");
    if (end->starved) command_line(w, "(the system ended it for want of memory; let it do less at a time)");
}

/* Rather a line than turns in which a model finds it out. */
static void command_say_mends(wfi_tool *w, const wfi_program *p, uint32_t tells) {
    if ((tells & COMMAND_EDITOR) != 0)
        command_line(w, "(there is no editor and nobody to ask: give the text with -m, or --no-edit)");
    if ((tells & COMMAND_GIT) != 0 && (p->jail->holds & WF_HOLDS_SPACES) != 0)
        command_line(w, "(git's folder is read-only to commands here: edit files, do not commit; the user commits)");
}

/* This one fails without a word. */
static bool command_stashes(const wfi_program *p) {
    bool found = false;
    for (const char *const *word = p->argv; *word != NULL; word++)
        found = found || strstr(*word, "git stash") != NULL || strcmp(*word, "stash") == 0;
    return found;
}

/* All that is said of bash and exec alike. */
static void command_say_more(wfi_tool *w, const wfi_program *p, const wfi_program_end *end, uint32_t tells) {
    if (end->code != 0 && command_stashes(p)) tells |= COMMAND_GIT;
    command_say_limits(w, p, end, tells);
    command_say_mends(w, p, tells);
    if (end->aside[0] != '\0') command_say_aside(w, end->aside);
    if (end->survived)
        command_line(w, "(some of its processes could not be ended)");
    else if (end->left)
        command_line(w, "(what it left running was ended)");
}

#define COMMAND_CROWDED "stopped: wf's limit is "

/* ---- bash ---- */

static const char *command_shell(void) {
    return access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
}

/* How it ended, if there is something to say about it. */
static void command_say_end(wfi_tool *w, const wfi_program_end *end, uint64_t seconds) {
    if (end->crowded)
        command_line_n(w, "(" COMMAND_CROWDED, wfi_program_processes(), " processes at a time)");
    else if (end->timed_out && wfi_sys_now_ms() >= w->deadline)
        command_line(w, "(stopped: the time for this agent is over; answer with what you have)");
    else if (end->timed_out)
        command_line_n(w, "(stopped after ", seconds, " s; do less, or give `timeout` in seconds, up to 600)");
    else if (end->signal != 0)
        command_line_n(w, "(killed by signal ", (uint64_t)end->signal, ")");
    else if (end->code != 0)
        command_line_n(w, "(exit code ", (uint64_t)end->code, ")");
}

void wfi_tool_bash(wfi_tool *w) {
    wfi_program p = {.deadline = 0};
    wfi_program_end end;
    wf_str command = {"", 0};
    uint64_t seconds = COMMAND_SECONDS;
    uint32_t tells = 0;
    if (!wfi_tool_str(w, "command", true, &command) || !command_place(w, &p)) return;
    if (!wfi_tool_u64(w, "timeout", 1, COMMAND_SECONDS_MOST, &seconds)) return;
    size_t notes = w->cap / 8 < COMMAND_NOTES / 2 ? w->cap / 8 : COMMAND_NOTES / 2; /* and the foot */
    if (!command_stream(w, &p.out, w->cap - COMMAND_GAP - notes)) return;
    const char *text = command_terminated(w, command, "bash: \"command\" holds a zero byte");
    const char *const argv[] = {command_shell(), "-c", text, NULL};
    if (text == NULL) return;
    p.argv = argv;
    p.deadline = command_deadline(w, seconds * 1000);
    wfi_program_run(&p, &end);
    if (end.failed != NULL) {
        command_failed(w, &end, argv[0]);
        return;
    }
    command_show(w, &p.out, &end.out, &tells);
    wfi_tool_foot(w);
    command_say_end(w, &end, seconds);
    command_say_more(w, &p, &end, tells);
    if (w->len == 0) wfi_tool_puts(w, "(no output)");
}

/* ---- exec ---- */

/* A string of the input; NULL: an error was set. */
static const char *command_string(wfi_tool *w, wf_str raw, const char *error) {
    char *text = wfi_tool_take(w, raw.len);
    return text != NULL ? command_terminated(w, wf_str_of(text, wf_json_unescape(raw, text)), error) : NULL;
}

static bool command_bad(wfi_tool *w, const char *text) {
    wfi_tool_error(w, text);
    return false;
}

#define COMMAND_CMD                                                                                                    \
    "exec: \"cmd\" must be a string or a list of strings, not empty, up to 255 of them, without zero bytes"
#define COMMAND_ENV                                                                                                    \
    "exec: \"env\" must be a table of strings, up to 255 of them, whose names hold no \"=\" and no zero byte"

/* A list runs as it is, a string goes to sh. */
static bool command_argv(wfi_tool *w, const char **argv) {
    wf_json j;
    wf_str list;
    wf_json_token t;
    uint32_t n = 0;
    if (!wf_json_member(w->input, WF_STR("cmd"), &list)) return command_bad(w, COMMAND_CMD);
    wf_json_init(&j, list);
    t = wf_json_next(&j);
    if (t == WF_JSON_STRING) {
        argv[0] = "/bin/sh";
        argv[1] = "-c";
        argv[2] = command_string(w, j.raw, COMMAND_CMD);
        argv[3] = NULL;
        return argv[2] != NULL;
    }
    if (t != WF_JSON_ARRAY) return command_bad(w, COMMAND_CMD);
    while ((t = wf_json_next(&j)) == WF_JSON_STRING && n + 1 < COMMAND_WORDS) {
        argv[n] = command_string(w, j.raw, COMMAND_CMD);
        if (argv[n++] == NULL) return false;
    }
    argv[n] = NULL;
    return (t == WF_JSON_ARRAY_END && n > 0 && argv[0][0] != '\0') || command_bad(w, COMMAND_CMD);
}

/* One "NAME=value"; NULL: an error was set. */
static const char *command_variable(wfi_tool *w, const char *name, const char *value) {
    if (name == NULL || value == NULL) return NULL;
    size_t n = strlen(name), m = strlen(value);
    char *text = wfi_tool_take(w, n + m + 2);
    if (text == NULL) return NULL;
    memcpy(text, name, n);
    text[n] = '=';
    memcpy(text + n + 1, value, m + 1);
    if (n > 0 && strchr(name, '=') == NULL) return text;
    wfi_tool_error(w, COMMAND_ENV);
    return NULL;
}

static bool command_environment(wfi_tool *w, const char **env) {
    wf_json j;
    wf_str object;
    wf_json_token t;
    uint32_t n = 0;
    env[0] = NULL;
    if (!wf_json_member(w->input, WF_STR("env"), &object)) return true;
    wf_json_init(&j, object);
    t = wf_json_next(&j);
    if (t == WF_JSON_NULL) return true;
    if (t != WF_JSON_OBJECT) return command_bad(w, COMMAND_ENV);
    while ((t = wf_json_next(&j)) == WF_JSON_KEY && n + 1 < COMMAND_WORDS) {
        const char *name = command_string(w, j.raw, COMMAND_ENV);
        if (wf_json_next(&j) != WF_JSON_STRING) return command_bad(w, COMMAND_ENV);
        env[n] = command_variable(w, name, command_string(w, j.raw, COMMAND_ENV));
        if (env[n++] == NULL) return false;
    }
    env[n] = NULL;
    return t == WF_JSON_OBJECT_END || command_bad(w, COMMAND_ENV);
}

/* The directory `cwd`, below the root. */
static bool command_directory(wfi_tool *w, wfi_program *p) {
    wf_str given = {".", 1};
    char path[WFI_CONFINE_PATH];
    wfi_confine root = *w->root, *dir = wfi_tool_take(w, sizeof *dir);
    root.fd = w->dirfd;
    if (dir == NULL || !wfi_tool_str(w, "cwd", false, &given)) return false;
    int error = wfi_confine_relative(&root, given, path);
    if (error == 0) error = wfi_confine_below(&root, path, dir);
    if (error != 0) {
        wfi_tool_path_error(w, error, given);
        return false;
    }
    wfi_confine_close(dir);
    if (dir->root[0] != '\0') p->dir = dir->root;
    return true;
}

/* What a stream brought, in room for the notes that may follow; text->out NULL: an error was set. */
static void command_stream_text(wfi_tool *w, wfi_tool *text, wfi_gather *g, const wfi_kept *k, uint32_t *tells,
                                bool *truncated) {
    *text = (wfi_tool){.cap = g->cap + COMMAND_GAP + COMMAND_NOTES};
    text->out = wfi_tool_take(w, text->cap);
    if (text->out != NULL && !command_show(text, g, k, tells)) *truncated = true;
}

static void command_put_text(wf_json_out *o, wf_str key, const wfi_tool *text) {
    wf_json_key(o, key);
    wf_json_str(o, wf_str_of(text->out, text->len));
}

/* What there is to say follows stderr. */
static void command_answer(wfi_tool *w, wfi_program *p, const wfi_program_end *end) {
    wf_json_out o;
    wfi_tool out, err;
    uint32_t tells = 0;
    bool truncated = false;
    command_stream_text(w, &out, &p->out, &end->out, &tells, &truncated);
    command_stream_text(w, &err, &p->err, &end->err, &tells, &truncated);
    if (w->is_error) return;
    command_say_more(&err, p, end, tells);
    wf_json_out_init(&o, w->out, w->cap);
    wf_json_begin(&o, true);
    wf_json_key(&o, WF_STR("code"));
    wf_json_u64(&o, (uint64_t)end->code);
    command_put_text(&o, WF_STR("out"), &out);
    command_put_text(&o, WF_STR("err"), &err);
    wf_json_key(&o, WF_STR("truncated"));
    wf_json_bool(&o, truncated);
    if (end->signal != 0) {
        wf_json_key(&o, WF_STR("signal"));
        wf_json_u64(&o, (uint64_t)end->signal);
    }
    if (end->timed_out) {
        wf_json_key(&o, WF_STR("timed_out"));
        wf_json_bool(&o, true);
    }
    wf_json_finish(&o);
    if (wf_json_ok(&o))
        w->len = o.len;
    else
        wfi_tool_error(w, "exec: the answer is too large");
}

void wfi_tool_exec(wfi_tool *w) {
    const char *argv[COMMAND_WORDS], *env[COMMAND_WORDS];
    wfi_program p = {.argv = argv, .env = env};
    wfi_program_end end;
    uint64_t ms = COMMAND_MS;
    if (!command_place(w, &p) || !command_argv(w, argv) || !command_environment(w, env)) return;
    if (!command_directory(w, &p) || !wfi_tool_str(w, "input", false, &p.input)) return;
    if (!wfi_tool_u64(w, "timeout", 1, COMMAND_MS_MOST, &ms)) return;
    if (!command_stream(w, &p.out, COMMAND_KEEP) || !command_stream(w, &p.err, COMMAND_KEEP)) return;
    p.deadline = command_deadline(w, ms);
    wfi_program_run(&p, &end);
    if (end.failed != NULL)
        command_failed(w, &end, argv[0]);
    else if (!end.crowded)
        command_answer(w, &p, &end);
    else {
        wfi_tool_error(w, "exec: " COMMAND_CROWDED);
        wfi_tool_putn(w, wfi_program_processes());
        wfi_tool_puts(w, " processes at a time");
    }
}
