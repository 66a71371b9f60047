/* test_search: what grep, glob and read say of what they did not look at, of empty answers, of long lines and huge files. */
#include "tests/port/toolbox.h"
#include <fcntl.h>

static const char *grep(const char *pattern) {
    char input[300];
    snprintf(input, sizeof input, "{\"pattern\":\"%s\"}", pattern);
    return ask("grep", input);
}

static const char *glob(const char *pattern) {
    char input[400];
    snprintf(input, sizeof input, "{\"pattern\":\"%s\"}", pattern);
    return ask("glob", input);
}

#define DEPTH " (* stays in one folder, **/ goes through all below)\n"

static void test_empty_glob(void **state) {
    (void)state;
    char absolute[200], input[400];
    good(glob("*.c"), "no file matches; 2 files match **/*.c, the first is src/deep/util.c" DEPTH);
    good(glob("util.h"), "no file matches; 1 file matches **/util.h: src/util.h" DEPTH);
    good(glob("[a-n]*.{c,h}"), "no file matches; 1 file matches **/[a-n]*.{c,h}: src/main.c" DEPTH);
    good(glob("deep/*.c"), "no file matches; 1 file matches **/deep/*.c: src/deep/util.c" DEPTH);
    unlink(at("src/main.c"));
    good(glob("src/*.c"), "no file matches; 1 file matches src/**/*.c: src/deep/util.c" DEPTH);
    good(glob("src"), "no file matches; src is a folder: src/** lists the files in it\n");
    good(glob("./src/deep/"), "no file matches; src/deep is a folder: src/deep/** lists the files in it\n");
    good(glob("*.rs"), "no file matches\n");
    good(glob("none/*.c"), "no file matches\n");
    good(glob("none/ut*.c"), "no file matches; 1 file matches **/ut*.c: src/deep/util.c\n");
    good(ask("glob", "{\"pattern\":\"src/util.*\",\"path\":\"src\"}"),
         "no file matches; 1 file matches src/util.*: src/util.h (the pattern is matched below `path`; leave that "
         "out)\n");
    good(ask("glob", "{\"pattern\":\"deep\",\"path\":\"src\"}"),
         "no file matches; deep is a folder: deep/** lists the files in it\n");
    snprintf(absolute, sizeof absolute, "%s/src/**/*.c", root);
    good(glob(absolute), "src/deep/util.c\n");
    snprintf(input, sizeof input, "{\"globs\":[\"%s\",\"*.md\"]}", absolute);
    good(effect("files", input), "[\"README.md\",\"src/deep/util.c\"]");
    snprintf(input, sizeof input, "{\"pattern\":\"strcpy.x\",\"path\":\"src\",\"glob\":\"%s\"}", absolute);
    good(ask("grep", input), "src/deep/util.c:2:strcpy(x, y);\n");
    snprintf(absolute, sizeof absolute, "%sx/*.c", root);
    bad(glob(absolute), "it leads outside the workspace");
    bad(glob("/*.c"), "it leads outside the workspace");
    bad(glob("/etc/../**"), "it leads outside the workspace");
}

static void test_empty_grep(void **state) {
    (void)state;
    good(ask("grep", "{\"pattern\":\"x\",\"glob\":\"*.rs\"}"), "no match: no file has a name that `glob` matches\n");
    good(ask("grep", "{\"pattern\":\"nowhere\",\"glob\":\"*.c\"}"), "no match\n");
    bad(grep("hello\\nworld"), "the pattern has a line end in it, and lines are searched one by one");
    bad(grep("hello\\\\nworld"), "the pattern has a line end in it");
    bad(grep("hello\\\\x0a"), "the pattern has a line end in it");
    good(grep("hel[^\\\\n]o"), "README.md:1:hello\n");
    good(grep("w[\\\\n\\\\r ]*orld"), "README.md:2:world\n");
}

static void test_marks(void **state) {
    (void)state;
    put("bom.c", "\xef\xbb\xbfint a;\r\nint b;\r\n");
    good(grep("^int [ab];$"), "bom.c:1:int a;\nbom.c:2:int b;\n");
    put_bytes("one", "word\0", 5);
    put_bytes("two", "\0word", 5);
    good(grep("word"), "no match\n(2 binary files were not searched, first: one)\n");
    put("text", "word\n");
    unlink(at("two"));
    good(grep("word"), "text:1:word\n(1 binary file was not searched: one)\n");
    good(ask("grep", "{\"pattern\":\"word\",\"glob\":\"t*\"}"), "text:1:word\n");
    good(ask("read", "{\"path\":\"bom.c\"}"), "    1\tint a;\n    2\tint b;\n(lines end with CRLF)\n");
    put("mixed", "a\nb\r\nc\r\nd");
    good(ask("read", "{\"path\":\"mixed\"}"),
         "    1\ta\n    2\tb\n    3\tc\n    4\td\n(of these lines 2 end with CRLF, 1 with LF)\n");
}

/* The whole line is searched, and what is shown of it has the match in it. */
static void test_long_lines(void **state) {
    (void)state;
    size_t n = 5 << 20;
    char *line = malloc(n + 100);
    memset(line, 'x', n);
    memcpy(line + 3000000, " TODO: this ", 12);
    memcpy(line + n, "END\nshort TODO\n", 16);
    put("f", line);
    ask("grep", "{\"pattern\":\"TODO\",\"path\":\"f\"}");
    has(answer, "f:1:...xxx");
    has(answer, " TODO: this xxx");
    has(answer, "xxx...\nf:2:short TODO\n");
    assert_true(strlen(answer) < 400);
    has(ask("grep", "{\"pattern\":\"xEND$\",\"path\":\"f\"}"), "xEND\n");
    has(ask("grep", "{\"pattern\":\"^x+ TODO\",\"path\":\"f\",\"output_mode\":\"count\"}"), "f:1\n");
    for (size_t i = 0; i + 2 <= 3000000; i += 2)
        memcpy(line + i, "\xc3\xa9", 2);
    put("f", line);
    ask("grep", "{\"pattern\":\"TODO\",\"path\":\"f\"}");
    has(answer, "f:1:...\xc3\xa9");
    assert_null(strchr(answer, '\xff'));
    free(line);
}

/* Longer than the window: in parts, each line counted once. */
static void test_parts(void **state) {
    (void)state;
    size_t n = 20 << 20;
    char *line = malloc(n + 100);
    memset(line, 'x', n);
    memcpy(line + 9000000, "needle", 6);
    memcpy(line + 18000000, "needle", 6);
    memcpy(line + n, "\nafter\n", 8);
    put("f", line);
    free(line);
    ask("grep", "{\"pattern\":\"needle\",\"path\":\"f\",\"context\":1}");
    has(answer, "...\nf-2-after\n(1 line is longer than 8 MiB and was searched in parts)\n");
    has(answer, "xxxneedlexxx");
    good(ask("grep", "{\"pattern\":\"needle\",\"path\":\"f\",\"output_mode\":\"count\"}"),
         "f:1\n(1 line is longer than 8 MiB and was searched in parts)\n");
    has(ask("grep", "{\"pattern\":\"^needle|needle$\",\"path\":\"f\"}"), "no match\n");
}

/* A file that nobody can read to its end does not cost the others their matches, nor its first lines. */
static void test_huge(void **state) {
    (void)state;
    char lines[20016];
    for (int i = 0; i < 1000; i++)
        snprintf(lines + 20 * i, 28, "needle in line %04d\n", i);
    put("huge", lines);
    if (truncate(at("huge"), (off_t)1 << 40) != 0) skip();
    put("zz", "needle\n");
    close_posix();
    open_posix(0, 0, 2000);
    ask("grep", "{\"pattern\":\"needle|zz\",\"output_mode\":\"count\"}");
    has(answer, "huge:1000\n");
    has(answer, "zz:1\n(1 file takes too long and was searched in part: huge)\n");
    has(ask("read", "{\"path\":\"huge\",\"from\":2,\"to\":3}"),
        "    2\tneedle in line 0001\n    3\tneedle in line 0002\n... more lines; read again with from=4");
    assert_true(strlen(answer) < 200);
    has(ask("read", "{\"path\":\"huge\",\"from\":999}"), " 1000\tneedle in line 0999\n");
    const char foot[] = "... line 1001 goes on; what follows it was not looked at: the file is too large";
    assert_non_null(memmem(answer, 4000, foot, sizeof foot - 1)); /* there are zero bytes before it */
    bad(ask("read", "{\"path\":\"huge\",\"from\":2000}"), "it takes too long to find line \"from\"");
    good(effect("read", "{\"path\":\"huge\",\"from\":1,\"to\":1}"), "\"needle in line 0000\\n\"");
}

/* A tree that takes too long: what was found is told; a script's list fails rather than be short. */
static void test_late(void **state) {
    (void)state;
    close_posix();
    open_posix(0, 0, 1);
    for (int i = 0; i < 3000; i++) {
        char name[40];
        snprintf(name, sizeof name, "f%d", i);
        put(name, "x\n");
    }
    ask("glob", "{\"pattern\":\"**\"}");
    assert_non_null(strstr(answer, answer_is_error
                                       ? "it took too long"
                                       : "(stopped, it took too long; what comes from here on was not looked at: "));
    bad(effect("files", "{\"globs\":[\"**\"]}"), "too long");
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_empty_glob), CASE(test_empty_grep), CASE(test_marks), CASE(test_long_lines),
        CASE(test_parts),      CASE(test_huge),       CASE(test_late),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
