/* test_seen: what agents know of files: none replaces what it has not seen, by content, and nothing else is refused. */
#include "tests/port/toolbox.h"
#include "src/port/tools/seen.h"
#include <time.h>
#include <utime.h>

static const char *ask_as(uint32_t agent, const char *cwd, const char *tool, const char *input) {
    wf_tool_call call = {.name = wf_str_of(tool, strlen(tool)),
                         .input = wf_str_of(input, strlen(input)),
                         .cwd = wf_str_of(cwd, strlen(cwd)),
                         .agent = agent,
                         .deadline = UINT64_MAX};
    assert_int_equal(pl.tool_ops->start(pl.tool_ctx, 0, &call), WF_OK);
    return finish(0);
}

static const char *reads(uint32_t agent, const char *path) {
    char input[300];
    snprintf(input, sizeof input, "{\"path\":\"%s\"}", path);
    return ask_as(agent, "", "read", input);
}

static const char *writes(uint32_t agent, const char *path, const char *text) {
    char input[300];
    snprintf(input, sizeof input, "{\"path\":\"%s\",\"content\":\"%s\"}", path, text);
    return ask_as(agent, "", "write", input);
}

static const char *edits(uint32_t agent, const char *path, const char *old, const char *new) {
    char input[300];
    snprintf(input, sizeof input, "{\"path\":\"%s\",\"old\":\"%s\",\"new\":\"%s\"}", path, old, new);
    return ask_as(agent, "", "edit", input);
}

static void holds(const char *name, const char *text) {
    char have[300] = "";
    FILE *f = fopen(at("%s", name), "r");
    assert_non_null(f);
    have[fread(have, 1, sizeof have - 1, f)] = '\0';
    fclose(f);
    assert_string_equal(have, text);
}

#define CHANGED "f changed since you read it: read it again"
#define OTHERS  "f was written by another agent, and you have not read it: read it first"

static void test_two_agents(void **state) {
    (void)state;
    put("f", "old\n");
    has(reads(1, "f"), "old");
    has(reads(2, "f"), "old");
    has(writes(1, "f", "one\\n"), "replaced f");
    bad(writes(2, "f", "two\\n"), CHANGED);
    bad(writes(2, "f", "two\\n"), CHANGED); /* as often as it tries */
    holds("f", "one\n");
    has(reads(2, "f"), "one");
    has(writes(2, "f", "one and two\\n"), "replaced f");
    bad(writes(1, "f", "one again\\n"), CHANGED); /* its own was replaced */
    holds("f", "one and two\n");
    has(writes(1, "f", "one and two\\n"), "replaced f"); /* nothing is lost by what is there already */
}

static void test_own_and_fresh(void **state) {
    (void)state;
    put("f", "old\n");
    has(writes(1, "f", "a\\n"), "replaced f"); /* never read: nobody in this run wrote it */
    has(writes(1, "f", "b\\n"), "replaced f");
    has(edits(1, "f", "b", "c"), "edited f");
    has(writes(1, "f", "d\\n"), "replaced f");
    has(writes(1, "made", "x\\n"), "made made");
    struct utimbuf then = {1000000, 1000000};
    assert_int_equal(utime(at("f"), &then), 0);
    has(writes(1, "f", "e\\n"), "replaced f"); /* touched only */
    put("f", "from outside\n");
    bad(writes(1, "f", "g\\n"), CHANGED);
    unlink(at("f"));
    has(writes(1, "f", "h\\n"), "made f");
    holds("f", "h\n");
}

static void test_never_read(void **state) {
    (void)state;
    has(writes(1, "f", "one\\n"), "made f");
    bad(writes(2, "f", "two\\n"), OTHERS);
    has(edits(3, "f", "one", "three"), "edited f");
    bad(writes(2, "f", "two\\n"), OTHERS);
    bad(writes(1, "f", "one more\\n"), CHANGED); /* an edit of another agent counts */
    has(writes(3, "f", "3\\n"), "replaced f");   /* who edited it last has lost nothing */
    has(reads(2, "f"), "3");
    has(writes(2, "f", "two\\n"), "replaced f");
}

/* An edit is held against the text itself; it does not show its agent what others have changed elsewhere. */
static void test_edit_shows_a_place(void **state) {
    (void)state;
    put("f", "a\nb\n");
    reads(1, "f");
    reads(2, "f");
    has(edits(2, "f", "b", "B"), "edited f");
    has(edits(1, "f", "a", "A"), "edited f");
    holds("f", "A\nB\n");
    bad(writes(1, "f", "A\\nb\\n"), CHANGED);
    bad(writes(2, "f", "a\\nB\\n"), CHANGED);
}

/* One file has one identity, whatever way leads to it. */
static void test_ways(void **state) {
    (void)state;
    put("src/f", "old\n");
    symlink("src/f", at("link"));
    has(reads(1, "link"), "old");
    has(ask_as(2, "src", "read", "{\"path\":\"f\"}"), "old");
    has(ask_as(1, "", "write", "{\"path\":\"src/../src/f\",\"content\":\"1\\n\"}"), "replaced");
    bad(ask_as(2, "src", "write", "{\"path\":\"f\",\"content\":\"2\\n\"}"), CHANGED);
    bad(ask_as(3, "src", "write", "{\"path\":\"f\",\"content\":\"3\\n\"}"), OTHERS);
}

/* Read in a child, and of a size of which only the dates are looked at. */
static void test_large(void **state) {
    (void)state;
    char *text = malloc(2 << 20);
    memset(text, 'x', 2 << 20);
    put_bytes("f", text, 2 << 20);
    has(reads(1, "f"), "xxx");
    has(reads(2, "f"), "xxx");
    has(writes(1, "f", "one\\n"), "replaced");
    bad(writes(2, "f", "two\\n"), CHANGED);
    free(text);
    put("g", "a\n");
    assert_int_equal(truncate(at("g"), 20 << 20), 0);
    put_bytes("lines", "a\nb\n", 4);
    has(reads(1, "lines"), "b");
    FILE *f = fopen(at("g"), "w");
    for (int i = 0; i < 1100000; i++)
        fputs("line of some text\n", f);
    fclose(f);
    has(reads(1, "g"), "line");
    f = fopen(at("g"), "r+");
    fputs("LINE", f);
    fclose(f);
    bad(writes(1, "g", "one\\n"), "g changed since you read it");
}

/* A run that goes on knows nothing of what its agents saw before: it asks once. */
static void test_resumed(void **state) {
    (void)state;
    char log[100];
    wf_posix_config c = {.root = root, .log = log, .mode = WF_POSIX_OPEN, .allow = WF_ALLOW_READ | WF_ALLOW_WRITE};
    snprintf(log, sizeof log, "%s/log", base);
    put("../log", "");
    put("f", "old\n");
    close_posix();
    block = malloc(wf_posix_size(&c));
    assert_int_equal(wf_posix_open(&posix, block, wf_posix_size(&c), &c, NULL), WF_OK);
    wf_posix_platform(posix, &pl);
    has(writes(1, "f", "old\\n"), "replaced");
    put("f", "older\n");
    bad(writes(2, "f", "two\\n"),
        "f is there, and nobody knows any more whether it is as you saw it: read it again, or write "
        "the same once more to replace it");
    holds("f", "older\n");
    put("f", "newer\n");
    bad(writes(2, "f", "two\\n"), CHANGED); /* the second time it must be what was there the first */
    has(reads(2, "f"), "newer");
    has(writes(2, "f", "two\\n"), "replaced");
    put("g", "old\n");
    bad(writes(2, "g", "two\\n"), "nobody knows");
    has(writes(2, "g", "two\\n"), "replaced");
    has(writes(2, "made", "x\\n"), "made");
}

/* The table alone: it is bounded, and says that it forgot. */
static void test_bounds(void **state) {
    (void)state;
    wfi_seen s;
    char *table = calloc(1, wfi_seen_size(4));
    wfi_seen_init(&s, table, 4, false);
    for (uint64_t i = 1; i <= 8; i++)
        wfi_seen_read(&s, 1, (wfi_seen_mark){i, i});
    for (uint64_t i = 1; i <= 8 && !s.forgot; i++) {
        assert_int_equal(wfi_seen_judge(&s, 1, (wfi_seen_mark){i, i}), WFI_SEEN_FREE);
        assert_int_equal(wfi_seen_judge(&s, 1, (wfi_seen_mark){i, 99}), WFI_SEEN_CHANGED);
    }
    assert_int_equal(wfi_seen_judge(&s, 1, (wfi_seen_mark){77, 1}), s.forgot ? WFI_SEEN_FORGOT : WFI_SEEN_FREE);
    for (uint64_t i = 1; i <= 1000; i++)
        wfi_seen_read(&s, 1, (wfi_seen_mark){i, i});
    assert_true(s.forgot);
    assert_int_equal(wfi_seen_judge(&s, 1, (wfi_seen_mark){1, 1}), WFI_SEEN_FORGOT);
    assert_int_equal(wfi_seen_judge(&s, 1, (wfi_seen_mark){1000, 1}), WFI_SEEN_CHANGED);
    assert_int_equal(wfi_seen_judge(&s, 0, (wfi_seen_mark){1000, 1}), WFI_SEEN_FREE);
    free(table);
    assert_true(wfi_seen_text(WF_STR("")) != wfi_seen_text(WF_STR("\0")));
    assert_true(wfi_seen_text(WF_STR("12345678")) != wfi_seen_text(WF_STR("12345678\0")));
}

static int setup_write(void **state) {
    allow = WF_ALLOW_READ | WF_ALLOW_WRITE;
    int result = setup(state);
    allow = 0;
    return result;
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup_write, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_two_agents), CASE(test_own_and_fresh), CASE(test_never_read), CASE(test_edit_shows_a_place),
        CASE(test_ways),       CASE(test_large),         CASE(test_resumed),    CASE(test_bounds),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
