/* intercept: see intercept.h. */
#include "intercept.h"
#include "../base/environ.h"
#include "../base/logs.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INTERCEPT_SOURCE ((size_t)4 << 20) /* bytes of a saved workflow */
#define INTERCEPT_NAME   200u

/* ---- saved workflows ---- */

/* No path leads out of the folder. */
static bool intercept_is_name(wf_str name) {
    if (name.len == 0 || name.len > INTERCEPT_NAME) return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && c != '_' && c != '-' && c != '.') return false;
    }
    return true;
}

/* The whole of a regular file, malloced; NULL: it cannot be had. */
static char *intercept_read(const char *path, size_t *len) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would wait for a writer */
    if (fd < 0) return NULL;
    char *text = NULL;
    *len = 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size <= INTERCEPT_SOURCE) {
        size_t size = (size_t)st.st_size;
        text = cli_take(size);
        for (ssize_t n = 1; n > 0 && *len<size; *len += n> 0 ? (size_t)n : 0)
            n = read(fd, text + *len, size - *len);
    }
    close(fd);
    return text;
}

/* Whether the run's agents may have written the file: the user's folder may lie in the workspace. */
static bool intercept_in_root(const cli_intercept *e, const char *path) {
    char *file = realpath(path, NULL), *root = realpath(e->root, NULL);
    size_t n = root ? strlen(root) : 0;
    if (n == 1) n = 0; /* of "/" itself */
    bool in = file && root && strncmp(file, root, n) == 0 && file[n] == '/';
    free(file);
    free(root);
    return in;
}

/* late: agents have begun. */
static void intercept_saved(const cli_intercept *e, cli_reply *r) {
    wf_str name, late;
    char file[INTERCEPT_NAME + 32], path[CLI_PATH];
    size_t len = 0;
    if (!wf_json_member_str(r->input, WF_STR("name"), &name) || !intercept_is_name(name)) {
        cli_reply_error(r, "a saved workflow's name has letters, digits, _, - and . only");
        return;
    }
    snprintf(file, sizeof file, "workflows/%.*s.lua", (int)name.len, name.ptr);
    bool known = cli_env_config(file, path, sizeof path);
    if (known && wf_json_member(r->input, WF_STR("late"), &late) && intercept_in_root(e, path)) {
        cli_reply_error(r,
                        "%s lies in the workspace, where agents may have written it: ask for it before the first agent "
                        "begins, or by its name in so many words",
                        path);
        return;
    }
    char *text = known ? intercept_read(path, &len) : NULL;
    if (text)
        cli_reply_text(r, wf_str_of(text, len));
    else
        cli_reply_error(r, "no readable file %.*s.lua in ~/.config/wf/workflows", (int)name.len, name.ptr);
    free(text);
}

/* ---- the ops ---- */

/* Whether the command answers this effect; if so, it has begun to. */
static bool intercept_begin(cli_intercept *e, wf_str name, cli_reply *r) {
    bool ask = cli_same(name, WF_STR("ask")), exec = cli_same(name, WF_STR("exec"));
    e->asked += ask;
    e->ran += exec;
    if (ask) {
        cli_ask_begin(&e->ask, r);
    } else if (cli_same(name, WF_STR("saved"))) {
        intercept_saved(e, r);
    } else if (exec && e->dry) {
        static const char nothing[] = "{\"code\":0,\"out\":\"\",\"err\":\"\",\"truncated\":false}";
        r->len = sizeof nothing - 1;
        r->text = cli_take(r->len);
        memcpy(r->text, nothing, r->len);
        r->done = true;
    } else {
        return false;
    }
    return true;
}

/* The slot of a ticket, or a free one: CLI_INTERCEPTED if there is none. */
static size_t intercept_slot(const cli_intercept *e, bool taken, uint32_t ticket) {
    size_t i = 0;
    while (i < CLI_INTERCEPTED && (e->slot[i].taken != taken || (taken && e->slot[i].ticket != ticket)))
        i++;
    return i;
}

static wf_status intercept_start(void *ctx, uint32_t ticket, const wf_tool_call *call) {
    cli_intercept *e = ctx;
    size_t i = intercept_slot(e, false, ticket);
    if (!call->script || i == CLI_INTERCEPTED) return e->below->start(e->below_ctx, ticket, call);
    e->slot[i].ticket = ticket;
    e->slot[i].reply = (cli_reply){.input = call->input};
    e->slot[i].taken = intercept_begin(e, call->name, &e->slot[i].reply);
    return e->slot[i].taken ? WF_OK : e->below->start(e->below_ctx, ticket, call);
}

static wf_status intercept_result(void *ctx, uint32_t ticket, wf_tool_result *out) {
    cli_intercept *e = ctx;
    size_t i = intercept_slot(e, true, ticket);
    if (i == CLI_INTERCEPTED) return e->below->result(e->below_ctx, ticket, out);
    const cli_reply *r = &e->slot[i].reply;
    if (!r->done) return WF_AGAIN;
    *out = (wf_tool_result){.text = wf_str_of(r->text, r->len), .is_error = r->is_error};
    return WF_OK;
}

static void intercept_end(void *ctx, uint32_t ticket) {
    cli_intercept *e = ctx;
    size_t i = intercept_slot(e, true, ticket);
    if (i == CLI_INTERCEPTED) {
        e->below->end(e->below_ctx, ticket);
        return;
    }
    cli_ask_drop(&e->ask, &e->slot[i].reply);
    free(e->slot[i].reply.text);
    e->slot[i].taken = false;
}

static uint32_t intercept_ready(void *ctx, uint32_t *tickets, uint32_t max) {
    cli_intercept *e = ctx;
    uint32_t n = e->below->ready(e->below_ctx, tickets, max);
    cli_ask_look(&e->ask);
    for (size_t i = 0; i < CLI_INTERCEPTED && n < max; i++)
        if (e->slot[i].taken && e->slot[i].reply.done) tickets[n++] = e->slot[i].ticket;
    return n;
}

static uint64_t intercept_due(void *ctx) {
    cli_intercept *e = ctx;
    uint64_t due = e->below->due(e->below_ctx), look = UINT64_MAX;
    if (e->ask.first) look = e->platform->now_ms(e->platform->ctx) + CLI_ASK_LOOK_MS;
    return look < due ? look : due;
}

static wf_str intercept_refusal(void *ctx, wf_str name) {
    cli_intercept *e = ctx;
    return e->below->refusal(e->below_ctx, name);
}

static void intercept_interrupted(void *ctx, const wf_tool_call *call) {
    cli_intercept *e = ctx;
    e->below->interrupted(e->below_ctx, call);
}

static void intercept_left(void *ctx, uint32_t ticket) {
    cli_intercept *e = ctx;
    e->below->left(e->below_ctx, ticket);
}

cli_exit cli_intercept_open(cli_intercept *e, wf_platform *platform, const cli_options *o, bool dry) {
    static const wf_tool_ops ops = {intercept_start, intercept_result,  intercept_end,         intercept_ready,
                                    intercept_due,   intercept_refusal, intercept_interrupted, intercept_left};
    memset(e, 0, sizeof *e);
    e->platform = platform;
    e->below = platform->tool_ops;
    e->below_ctx = platform->tool_ctx;
    e->dry = dry;
    e->root = o->text[OPT_ROOT];
    platform->tool_ops = &ops;
    platform->tool_ctx = e;
    return cli_ask_open(&e->ask, o, dry);
}
