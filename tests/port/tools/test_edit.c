/* test_edit: how edit (and write) treat line ends, marks and encodings, attributes, and what is said where a text only looks like what
 * is there. */
#include "tests/port/toolbox.h"
#include <errno.h>
#include <sys/xattr.h>

static char text[1 << 20];
static size_t text_len;

static void holds(const char *name, const char *bytes, size_t n) {
    FILE *f = fopen(at("%s", name), "r");
    assert_non_null(f);
    text_len = fread(text, 1, sizeof text, f);
    fclose(f);
    if (text_len != n || memcmp(text, bytes, n) != 0) {
        text[text_len < 200 ? text_len : 200] = '\0';
        fail_msg("%s holds %zu bytes: %s", name, text_len, text);
    }
}
#define HOLDS(name, literal) holds(name, literal, sizeof(literal) - 1)
#define PUT(name, literal)   put_bytes(name, literal, sizeof(literal) - 1)

static const char *edit_with(const char *path, const char *old, const char *new, const char *more) {
    static char input[9000];
    snprintf(input, sizeof input, "{\"path\":\"%s\",\"old\":\"%s\",\"new\":\"%s\"%s}", path, old, new, more);
    return ask("edit", input);
}

static const char *edit(const char *path, const char *old, const char *new) {
    return edit_with(path, old, new, "");
}

static const char *write_to(const char *path, const char *words) {
    char input[300];
    snprintf(input, sizeof input, "{\"path\":\"%s\",\"content\":\"%s\"}", path, words);
    return ask("write", input);
}

/* ---- line ends ---- */

static void test_places_of_both_kinds(void **state) {
    (void)state;
    PUT("f", "a\r\nX\r\nb\nX\n");
    bad(edit("f", "X\\n", "Y\\n"), "\"old\" is there 2 times, in lines 2, 4");
    bad(edit("f", "X\\r\\n", "Y\\r\\n"), "\"old\" is there 2 times, in lines 2, 4");
    HOLDS("f", "a\r\nX\r\nb\nX\n");
    has(edit_with("f", "X\\n", "Y\\nZ\\n", ",\"all\":true"), "2 places, before in lines 2, 4");
    HOLDS("f", "a\r\nY\r\nZ\r\nb\nY\nZ\n"); /* each with the line ends of its place */
    PUT("g", "a\r\nX\r\nb\nZ\n");
    has(edit("g", "X\\n", "Y\\n"), "1 place, in line 2");
    HOLDS("g", "a\r\nY\r\nb\nZ\n");
    has(edit("g", "b\\r\\nZ", "c\\r\\nd"), "1 place, in line 3");
    HOLDS("g", "a\r\nY\r\nc\nd\n");
    has(edit("g", "Y", "Y\\nY"), "edited");
    HOLDS("g", "a\r\nY\r\nY\r\nc\nd\n");
    has(edit("g", "d", "d\\nd"), "edited");
    HOLDS("g", "a\r\nY\r\nY\r\nc\nd\nd\n");
    PUT("last", "a\r\nb");
    has(edit("last", "b", "b\\nc"), "edited"); /* the last line has no end: as those before it */
    HOLDS("last", "a\r\nb\r\nc");
}

/* Only the line ends are to change: then they count. */
static void test_line_ends_themselves(void **state) {
    (void)state;
    PUT("f", "a\r\nb\nc\r\n");
    has(edit_with("f", "\\r\\n", "\\n", ",\"all\":true"), "2 places");
    HOLDS("f", "a\nb\nc\n");
    has(edit("f", "a\\n", "a\\r\\n"), "1 place, in line 1");
    HOLDS("f", "a\r\nb\nc\n");
    PUT("cr", "a\rb\r\nc\n");
    has(edit("cr", "a\\rb", "d"), "edited");
    HOLDS("cr", "d\r\nc\n");
    PUT("cr", "x\r\r\ny\n");
    has(edit("cr", "x\\r", "z"), "edited");
    HOLDS("cr", "z\r\ny\n");
}

/* ---- marks and encodings ---- */

static void test_mark(void **state) {
    (void)state;
    PUT("f", "\xef\xbb\xbfone\r\ntwo\r\n");
    good(ask("read", "{\"path\":\"f\"}"), "    1\tone\n    2\ttwo\n(lines end with CRLF)\n");
    has(edit("f", "one\\ntwo", "1\\n2"), "    1\t1\n    2\t2\n");
    HOLDS("f", "\xef\xbb\xbf"
               "1\r\n2\r\n");
    has(write_to("f", "3\\r\\n"), "replaced f: 1 lines, 3 bytes\n");
    HOLDS("f", "\xef\xbb\xbf"
               "3\r\n");
    has(write_to("f", "\\ufeff4\\r\\n"), "replaced f");
    HOLDS("f", "\xef\xbb\xbf"
               "4\r\n");
    good(write_to("f", "5\\n"), "replaced f: 1 lines, 2 bytes\n"
                                "(the file's lines ended with CRLF, and end with LF now; write \\r\\n to have CRLF)\n");
    HOLDS("f", "\xef\xbb\xbf"
               "5\n");
    good(effect("read", "{\"path\":\"f\"}"), "\"\xef\xbb\xbf"
                                             "5\\n\""); /* scripts get the exact text */
    put("new", "x");
    has(write_to("new", "\\ufeffy"), "replaced");
    HOLDS("new", "\xef\xbb\xbfy");
    put("mark", "\xef\xbb\xbf");
    good(ask("read", "{\"path\":\"mark\"}"), "(the file is empty)");
}

static void test_utf16(void **state) {
    (void)state;
    PUT("le", "\xff\xfe"
              "a\0\xe9\0\r\0\n\0=\xd8\0\xde"
              "b\0\n\0");
    good(ask("read", "{\"path\":\"le\"}"), "    1\ta\xc3\xa9\n    2\t\xf0\x9f\x98\x80"
                                           "b\n(of these lines 1 end with CRLF, 1 with LF)\n(the file is UTF-16)\n");
    good(effect("read", "{\"path\":\"le\"}"), "\"a\xc3\xa9\\r\\n\xf0\x9f\x98\x80"
                                              "b\\n\"");
    has(edit("le", "\\u00e9\\n\\ud83d\\ude00", "\\n\\ud83d\\ude01"), "edited");
    HOLDS("le", "\xff\xfe"
                "a\0\r\0\n\0=\xd8\x01\xde"
                "b\0\n\0");
    PUT("be", "\xfe\xff\0k\0=\0\x31\0\n");
    good(ask("grep", "{\"pattern\":\"^k=1$\"}"), "be:1:k=1\n");
    good(ask("grep", "{\"pattern\":\"k\",\"path\":\"be\"}"), "be:1:k=1\n");
    has(edit("be", "1", "2"), "edited");
    HOLDS("be", "\xfe\xff\0k\0=\0\x32\0\n");
    good(write_to("be", "x\\ud83d\\ude00"), "replaced be: 1 lines, 5 bytes\n(stored as UTF-16, as the file was)\n");
    HOLDS("be", "\xfe\xff\0x\xd8=\xde\0");
    PUT("half", "\xff\xfe"
                "a\0\0\xdcz");
    bad(edit("half", "a", "b"), "it is UTF-16 with errors in it: half");
    good(ask("read", "{\"path\":\"half\"}"),
         "    1\ta\xef\xbf\xbd\xef\xbf\xbd\n(the file is UTF-16, with errors in it)\n");
    PUT("zero", "\xff\xfe"
                "a\0\0\0");
    bad(ask("read", "{\"path\":\"zero\"}"), "it is a binary file, not text: zero");
    put("bare", "\xff\xfe");
    good(ask("read", "{\"path\":\"bare\"}"), "(the file is empty)(the file is UTF-16)\n");
}

/* Through windows and pieces: characters and pairs stay whole. */
static void test_utf16_large(void **state) {
    (void)state;
    static char raw[400002], line[64];
    memcpy(raw, "\xff\xfe", 2);
    for (size_t i = 0; i < 50000; i++)
        memcpy(raw + 2 + 8 * i, i % 1000 == 999 ? "=\xd8\0\xde\n\0\n\0" : "=\xd8\0\xde\xac\x20x\0", 8);
    put_bytes("f", raw, sizeof raw);
    ask("read", "{\"path\":\"f\",\"from\":99,\"to\":99}");
    snprintf(line, sizeof line, "   99\t\xf0\x9f\x98\x80\xe2\x82\xacx");
    has(answer, line);
    assert_null(strstr(answer, "\xef\xbf\xbd"));
    good(ask("grep", "{\"pattern\":\"^(\xf0\x9f\x98\x80\xe2\x82\xacx)+\xf0\x9f\x98\x80$\",\"output_mode\":\"count\"}"),
         "f:50\n");
}

/* ---- what looks alike ---- */

static void test_alike(void **state) {
    (void)state;
    static const struct {
        const char *text, *old, *said;
    } rows[] = {
        {"first\nsay \xe2\x80\x9cx\xe2\x80\x9d now\n", "say \\\"x\\\" now",
         "line 2, character 5 is \xe2\x80\x9c (U+201C); in \"old\" it is \" (U+0022)"},
        {"it\xe2\x80\x99s\n", "it's", "line 1, character 3 is \xe2\x80\x99 (U+2019); in \"old\" it is ' (U+0027)"},
        {"it's\n", "it\\u2019s", "line 1, character 3 is ' (U+0027); in \"old\" it is \xe2\x80\x99 (U+2019)"},
        {"a\xc2\xa0"
         "b\n",
         "a b", "line 1, character 2 is U+00A0; in \"old\" it is U+0020"},
        {"a b\n", "a\\u00a0b", "line 1, character 2 is U+0020; in \"old\" it is U+00A0"},
        {"1 \xe2\x80\x93 2\n", "1 - 2", "character 3 is \xe2\x80\x93 (U+2013); in \"old\" it is - (U+002D)"},
        {"one\ntw\xe2\x80\x8bo\nthree\n", "two\\nthree", "line 2, character 3 is U+200B; in \"old\" it is o (U+006F)"},
        {"two\n", "tw\\u200bo", "line 1, character 3 is o (U+006F); in \"old\" it is U+200B"},
        {"\xef\xbc\xa1\xef\xbc\x88x\xef\xbc\x89\n", "A(x)",
         "character 1 is \xef\xbc\xa1 (U+FF21); in \"old\" it is A (U+0041)"},
        {"cafe\xcc\x81\n", "caf\\u00e9",
         "character 4 is e\xcc\x81 (U+0065 with the mark U+0301); in \"old\" it is \xc3\xa9 (U+00E9)"},
        {"caf\xc3\xa9\n", "cafe\\u0301",
         "character 4 is \xc3\xa9 (U+00E9); in \"old\" it is e\xcc\x81 (U+0065 with the mark U+0301)"},
        {"wait\xe2\x80\xa6\n", "wait...", "character 5 is \xe2\x80\xa6 (U+2026); in \"old\" it is . (U+002E)"},
        {"int total = count + 1;\n", "int total = counts + 1;",
         "The nearest is line 1, character 18 is U+0020; in \"old\" it is s (U+0073)"},
        {"void f(int a)\n{\n    return 1;\n}\n", "void f(int a)\\n{\\n    return 2;\\n}",
         "(line 3, character 12 is 1 (U+0031); in \"old\" it is 2 (U+0032))"},
        {"{\n    b();\n}\n{\n    a();\n    c();\n}\n", "{\\n    a();\\n    d();\\n}",
         "in line 4, but not what follows:\n"}, /* the place where more of it is */
        {"{\n    b();\n}\n{\n    a();\n    c();\n}\n", "{\\n    a();\\n    d();\\n}",
         "(line 6, character 5 is c (U+0063); in \"old\" it is d (U+0064))"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put("f", rows[i].text);
        bad(edit("f", rows[i].old, "new"), rows[i].said);
        holds("f", rows[i].text, strlen(rows[i].text));
    }
    put("f", "\xea\xb0\x81\n"); /* a Korean syllable, in pieces */
    bad(edit("f", "\\u1100\\u1161\\u11a8", "x"),
        "character 1 is \xea\xb0\x81 (U+AC01); in \"old\" it is \xe1\x84\x80 (U+1100)");
    put("f", "nothing alike\n");
    bad(edit("f", "quite another text", "x"), "\"old\" is not in f; read the file again");
    put_bytes("f", "a\xff\xfe z", 5);
    bad(edit("f", "a\\ufffd z", "x"), "\"old\" is not in f");
}

/* ---- attributes ---- */

static void test_attributes(void **state) {
    (void)state;
#if defined(WFI_PLAIN_POSIX)
    skip(); /* they are Linux's */
#endif
    char value[16];
    put("f", "old\n");
    if (setxattr(at("f"), "user.tag", "blue", 4, 0) != 0) skip();
    assert_int_equal(setxattr(at("f"), "user.none", "", 0, 0), 0);
    has(edit("f", "old", "new"), "edited");
    has(write_to("f", "newer\\n"), "replaced");
    assert_int_equal(getxattr(at("f"), "user.tag", value, sizeof value), 4);
    assert_memory_equal(value, "blue", 4);
    assert_int_equal(getxattr(at("f"), "user.none", value, sizeof value), 0);
    for (int i = 0; i < 70; i++) {
        char name[20];
        snprintf(name, sizeof name, "user.%02d", i);
        if (setxattr(at("f"), name, "", 0, 0) != 0) return; /* not every file system has room for so many */
    }
    has(write_to("f", "newest\\n"), "(extended attributes of it that could not be kept: ");
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
        CASE(test_places_of_both_kinds),
        CASE(test_line_ends_themselves),
        CASE(test_mark),
        CASE(test_utf16),
        CASE(test_utf16_large),
        CASE(test_alike),
        CASE(test_attributes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
