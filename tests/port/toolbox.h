/* toolbox: a small workspace in a folder that goes away again, and ways to ask the tools about it. For the tests of tools;
 * each includes it once. */
#ifndef TESTS_TOOLBOX_H
#define TESTS_TOOLBOX_H

#include "src/api/json.h"
#include "src/api/posix.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[64], root[80]; /* base holds the root and what must stay out of reach */
static void *block;
static wf_posix *posix;
static wf_platform pl;
static char answer[4 << 20];
static bool answer_is_error, answer_is_fatal;
static uint32_t allow; /* of the next open_posix */

static inline char *at(const char *format, ...) {
    static char out[8][4500];
    static int turn;
    turn = (turn + 1) % 8;
    int n = snprintf(out[turn], sizeof out[turn], "%s/", root);
    va_list args;
    va_start(args, format);
    vsnprintf(out[turn] + n, sizeof out[turn] - (size_t)n, format, args);
    va_end(args);
    return out[turn];
}

static inline void put_bytes(const char *name, const void *bytes, size_t n) {
    FILE *f = fopen(at("%s", name), "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static inline void put(const char *name, const char *text) {
    put_bytes(name, text, strlen(text));
}

static inline void open_posix(uint32_t tickets, uint32_t children, uint32_t tool_ms) {
    wf_posix_config c = {.root = root, .allow = allow, .tickets = tickets, .children = children, .tool_ms = tool_ms};
    block = malloc(wf_posix_size(&c));
    assert_int_equal(wf_posix_open(&posix, block, wf_posix_size(&c), &c, NULL), WF_OK);
    wf_posix_platform(posix, &pl);
}

static inline void close_posix(void) {
    if (block == NULL) return;
    wf_posix_close(posix);
    free(block);
    block = NULL;
}

static inline int setup(void **state) {
    (void)state;
    const char *home = getenv("HOME"); /* not in /tmp, of which commands have their own */
    bool fits = home != NULL && home[0] == '/' && home[1] != '\0' && strlen(home) < 40 && access(home, W_OK) == 0;
    snprintf(base, sizeof base, "%s/wf-tools-XXXXXX", access("/srv", W_OK) == 0 ? "/srv" : fits ? home : "/var/tmp");
    if (mkdtemp(base) == NULL) return -1;
    snprintf(root, sizeof root, "%s/tree", base);
    mkdir(root, 0755);
    mkdir(at("src"), 0755);
    mkdir(at("src/deep"), 0755);
    mkdir(at(".git"), 0755);
    mkdir(at(".wf"), 0755);
    put("../secret", "outside\n");
    put("README.md", "hello\nworld\n");
    put("src/main.c", "int main(void) {\n    return strcpy(a, b);\n}\n");
    put("src/util.h", "#define STRCPY\n");
    put("src/deep/util.c", "// strcpy in a comment\nstrcpy(x, y);\n");
    put(".git/config", "strcpy\n");
    put(".wf/log", "strcpy\n");
    open_posix(0, 0, 0);
    return 0;
}

static inline int teardown(void **state) {
    char command[200];
    (void)state;
    close_posix();
    snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", base, base);
    return system(command);
}

static inline void start(uint32_t ticket, const char *tool, bool script, const char *input, uint32_t output_max) {
    wf_tool_call call = {.name = wf_str_of(tool, strlen(tool)),
                         .input = wf_str_of(input, strlen(input)),
                         .script = script,
                         .deadline = UINT64_MAX,
                         .output_max = output_max};
    assert_int_equal(pl.tool_ops->start(pl.tool_ctx, ticket, &call), WF_OK);
}

/* Waits for a ticket as the core would, and keeps its answer. */
static inline const char *finish(uint32_t ticket) {
    wf_tool_result r;
    wf_status status;
    uint32_t ready[8];
    while ((status = pl.tool_ops->result(pl.tool_ctx, ticket, &r)) == WF_AGAIN) {
        wf_posix_wait(posix, 10000);
        pl.tool_ops->ready(pl.tool_ctx, ready, 8);
    }
    assert_int_equal(status, WF_OK);
    assert_true(r.text.len < sizeof answer);
    memcpy(answer, r.text.ptr, r.text.len);
    answer[r.text.len] = '\0';
    answer_is_error = r.is_error;
    answer_is_fatal = r.is_fatal;
    pl.tool_ops->end(pl.tool_ctx, ticket);
    return answer;
}

static inline const char *ask(const char *tool, const char *input) {
    start(0, tool, false, input, 0);
    return finish(0);
}

static inline const char *effect(const char *tool, const char *input) {
    start(0, tool, true, input, 0);
    return finish(0);
}

static inline void good(const char *text, const char *expected) {
    assert_string_equal(text, expected);
    assert_false(answer_is_error);
}

static inline void bad(const char *text, const char *part) {
    if (strstr(text, part) == NULL) print_error("wanted \"%s\" in: %s\n", part, text);
    assert_non_null(strstr(text, part));
    assert_true(answer_is_error);
}

static inline void has(const char *text, const char *part) {
    if (strstr(text, part) == NULL) print_error("wanted \"%s\" in: %s\n", part, text);
    assert_non_null(strstr(text, part));
    assert_false(answer_is_error);
}

static inline int open_fds(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static inline const char *ask_in(const char *cwd, const char *tool, const char *input) {
    wf_tool_call call = {.name = wf_str_of(tool, strlen(tool)),
                         .input = wf_str_of(input, strlen(input)),
                         .cwd = wf_str_of(cwd, strlen(cwd)),
                         .deadline = UINT64_MAX};
    assert_int_equal(pl.tool_ops->start(pl.tool_ctx, 0, &call), WF_OK);
    return finish(0);
}

/* Root reads everything: then the test goes on as nobody. */
static inline bool as_nobody(bool on) {
    static bool was_root;
    if (on) was_root = geteuid() == 0;
    if (!was_root) return true;
    return on ? setegid(65534) == 0 && seteuid(65534) == 0 : seteuid(0) == 0 && setegid(0) == 0;
}

#endif
