/* test_names: names that are not plain text: what is listed opens, one name is one line, and composed and decomposed names are the
 * same. */
#include "tests/port/toolbox.h"
#include "src/port/tools/names.h"

static const char *with_path(const char *tool, const char *path) {
    char input[300];
    snprintf(input, sizeof input, "{\"path\":\"%s\"}", path);
    return ask(tool, input);
}

/* Each name, how it is listed to a model, and to a script; as JSON. */
static void test_listed_opens(void **state) {
    (void)state;
    static const struct {
        const char *name, *listed, *json;
    } rows[] = {
        {"caf\xe9.t", "caf\\xe9.t", "caf\\\\xe9.t"},
        {"a\nb.t", "a\\x0ab.t", "a\\nb.t"},
        {"tab\tb.t", "tab\\x09b.t", "tab\\tb.t"},
        {"\x1b[31m.t", "\\x1b[31m.t", "\\u001b[31m.t"},
        {"back\\slash.t", "back\\slash.t", "back\\\\slash.t"},
        {"like\\x41.t", "like\\x5cx41.t", "like\\\\x5cx41.t"},
        {"\xc3\xa9\xff\xc3\xa9.t", "\xc3\xa9\\xff\xc3\xa9.t", "\xc3\xa9\\\\xff\xc3\xa9.t"},
        {"new\nline \xe9.t", "new\\x0aline \\xe9.t", "new\\nline \\\\xe9.t"},
        {"\xe6\x97\xa5\xe6\x9c\xac.t", "\xe6\x97\xa5\xe6\x9c\xac.t", "\xe6\x97\xa5\xe6\x9c\xac.t"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char lines[100], input[300], list[300], text[100];
        put(rows[i].name, "text\n");
        snprintf(lines, sizeof lines, "%s\n", rows[i].listed);
        good(ask("glob", "{\"pattern\":\"*.t\"}"), lines);
        snprintf(lines, sizeof lines, "%s:1:text\n", rows[i].listed);
        good(ask("grep", "{\"pattern\":\"text\",\"glob\":\"*.t\"}"), lines);
        snprintf(list, sizeof list, "[\"%s\"]", rows[i].json);
        good(effect("files", "{\"globs\":[\"*.t\"]}"), list);
        snprintf(input, sizeof input, "{\"path\":\"%s\"}", rows[i].json);
        good(effect("read", input), "\"text\\n\"");
        size_t n = 0; /* the listed name as JSON */
        for (const char *p = rows[i].listed; *p != '\0'; p++) {
            if (*p == '\\') text[n++] = '\\';
            text[n++] = *p;
        }
        text[n] = '\0';
        good(with_path("read", text), "    1\ttext\n");
        snprintf(input, sizeof input, "{\"path\":\"%s\",\"old\":\"text\",\"new\":\"texts\"}", text);
        has(ask("edit", input), "edited ");
        has(answer, rows[i].listed);
        snprintf(input, sizeof input, "{\"path\":\"%s\",\"content\":\"\"}", text);
        has(ask("write", input), "replaced ");
        unlink(at("%s", rows[i].name)); /* the one that was listed, and no other */
        good(ask("glob", "{\"pattern\":\"*.t\"}"), "no file matches\n");
    }
}

/* Both names are there: each is shown and opened as itself. */
static void test_two_that_look_alike(void **state) {
    (void)state;
    put("x\\xe9", "backslash\n");
    put("x\xe9", "byte\n");
    good(ask("glob", "{\"pattern\":\"x*\"}"), "x\\x5cxe9\nx\\xe9\n");
    good(with_path("read", "x\\\\xe9"), "    1\tbyte\n");
    good(with_path("read", "x\\\\x5cxe9"), "    1\tbackslash\n");
    put("cafe\xcc\x81", "decomposed\n");
    good(with_path("read", "caf\xc3\xa9"), "    1\tdecomposed\n");
    put("caf\xc3\xa9", "composed\n");
    good(with_path("read", "caf\xc3\xa9"), "    1\tcomposed\n");
    good(with_path("read", "cafe\xcc\x81"), "    1\tdecomposed\n");
}

static void test_folders(void **state) {
    (void)state;
    mkdir(at("r\xe9p"), 0755);
    mkdir(at("r\xe9p/\xcf\x8c"), 0755); /* composed */
    put("r\xe9p/\xcf\x8c/n\xc3\xbc", "deep\n");
    good(with_path("read", "r\\\\xe9p/\xce\xbf\xcc\x81/nu\xcc\x88"), "    1\tdeep\n");
    good(ask("glob", "{\"pattern\":\"*\",\"path\":\"r\\\\xe9p/\xce\xbf\xcc\x81\"}"), "r\\xe9p/\xcf\x8c/n\xc3\xbc\n");
    good(ask("grep", "{\"pattern\":\"deep\",\"path\":\"r\\\\xe9p\"}"), "r\\xe9p/\xcf\x8c/n\xc3\xbc:1:deep\n");
    has(ask("write", "{\"path\":\"r\\\\xe9p/new\",\"content\":\"x\"}"), "made r\\xe9p/new");
    assert_int_equal(access(at("r\xe9p/new"), F_OK), 0);
    has(ask("write", "{\"path\":\"e\xcc\x81/new\",\"content\":\"x\"}"),
        "made "); /* a name that is nowhere is as it was written */
    assert_int_equal(access(at("e\xcc\x81/new"), F_OK), 0);
    bad(with_path("read", "../\xc3\xa9"), "leads outside");
    bad(with_path("read", "..\\\\x2fsecret"), "no such file");
    bad(with_path("read", "none\xc3\xa9"), "no such file or directory: none\xc3\xa9");
    bad(with_path("read", "a\\nb"), "no such file or directory: a\\x0ab");
}

/* How a name is shown does not depend on how long its path is. */
static void test_long_path(void **state) {
    (void)state;
    char path[600] = "", listed[700];
    for (int i = 0; i < 4; i++) {
        char *end = path + strlen(path);
        memset(end, 'a' + i, 125 + (size_t)i);
        end[125 + i] = '\0';
        mkdir(at("%s", path), 0755);
        strcat(path, "/");
    }
    strcat(path, "\\x41");
    put(path, "");
    snprintf(listed, sizeof listed, "%.*s\\x5cx41\n", (int)strlen(path) - 4, path);
    good(ask("glob", "{\"pattern\":\"a*/**\"}"), listed);
}

static bool same(const char *a, const char *b) {
    bool one = wfi_names_same(wf_str_of(a, strlen(a)), wf_str_of(b, strlen(b)));
    assert_int_equal(one, wfi_names_same(wf_str_of(b, strlen(b)), wf_str_of(a, strlen(a))));
    return one;
}

static void test_same(void **state) {
    (void)state;
    assert_true(same("", "") && same("abc", "abc"));
    assert_true(same("\xc3\xa9", "e\xcc\x81"));                                /* é */
    assert_true(same("\xe1\xbb\x87", "e\xcc\xa3\xcc\x82"));                    /* ệ */
    assert_true(same("\xe1\xba\xb9\xcc\x82", "\xe1\xbb\x87"));                 /* ... half composed */
    assert_true(same("\xd0\xb9", "\xd0\xb8\xcc\x86"));                         /* й */
    assert_true(same("\xea\xb0\x81", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8")); /* gag */
    assert_true(same("\xea\xb0\x80", "\xe1\x84\x80\xe1\x85\xa1"));             /* ga */
    assert_true(same("\xe3\x81\x8c", "\xe3\x81\x8b\xe3\x82\x99"));             /* ga */
    assert_true(same("\xe3\x81\xb1", "\xe3\x81\xaf\xe3\x82\x9a"));             /* pa */
    assert_true(same("\xe3\x81\xb0", "\xe3\x81\xaf\xe3\x82\x99"));             /* ba */
    assert_true(same("\xe3\x83\x89", "\xe3\x83\x88\xe3\x82\x99"));             /* do */
    assert_true(same("\xe3\x83\xb4", "\xe3\x82\xa6\xe3\x82\x99"));             /* vu */
    assert_true(same("\xe3\x83\xba", "\xe3\x83\xb2\xe3\x82\x99"));             /* vo */
    assert_true(same("\xe3\x82\x9e", "\xe3\x82\x9d\xe3\x82\x99"));             /* iteration */
    assert_false(same("\xc3\xa8", "e\xcc\x81"));
    assert_false(same("\xc3\xa9", "e"));
    assert_false(same("a", "ab") || same("", "a") || same("\xff", "\xfe") || same("\xe3\x81\x8b", "\xe3\x81\x8c"));
    assert_true(same("\xff", "\xff"));
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
        CASE(test_listed_opens), CASE(test_two_that_look_alike), CASE(test_folders), CASE(test_long_path),
        CASE(test_same),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
