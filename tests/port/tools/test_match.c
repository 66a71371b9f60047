/* test_match: regular expressions and globs. Tables, every error, linear time, and a comparison with the system's
 * own regexec on random patterns. */
#include "src/port/tools/fold.h"
#include "src/port/tools/match.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static wfi_match m;

static wf_str z(const char *s) {
    return wf_str_of(s, strlen(s));
}

typedef struct expectation {
    const char *pattern, *text;
    bool match;
} expectation;

static void test_regex_table(void **state) {
    static const expectation t[] = {
        {"abc", "xabcx", true},
        {"a|b|cd", "xcd", true},
        {"^(a|b|cd)$", "c", false},
        {"^a(b|c)*d$", "abcbd", true},
        {"^a(b|c)*d$", "abxd", false},
        {"x{2,3}y", "xxy", true},
        {"^x{2,3}y", "xxxxy", false},
        {"^x{2,}$", "x", false},
        {"^x{2,}$", "xxxxx", true},
        {"^x{,2}$", "xx", true},
        {"^x{,2}$", "xxx", false},
        {"x{0}y", "y", true},
        {"^(ab){2}{2}$", "abababab", true},
        {"\\bfoo\\b", "a foo.", true},
        {"\\bfoo\\b", "afoo", false},
        {"\\<foo", "a foobar", true},
        {"\\<foo", "afoo", false},
        {"\\<foo", "<foo", true},
        {"foo\\>", "afoo.", true},
        {"foo\\>", "foobar", false},
        {"\\>foo", "foo", false},
        {"foo\\<", "foo", false},
        {"a\\<|\\>b", "ab", false},
        {"\\Boo", "foo", true},
        {"\\Bfoo", "foo", false},
        {"func() {", "func {", true},
        {"func\\(\\) \\{", "func() {", true},
        {"a{b", "a{b", true},
        {"a{,}", "a{,}", true},
        {"[^\\]]x", "]x", false},
        {"[^]]x", "]x", false},
        {"[]a]", "]", true},
        {"[a-]", "-", true},
        {"[\\w.]+@", "a.b@", true},
        {"[\\s\\S]z", "\tz", true},
        {"^[\\W]$", "_", false},
        {"^[^\\d]$", "5", false},
        {"^\\D+$", "12a", false},
        {"\\S\\s", "a b", true},
        {"[[:alpha:]_]+[[:digit:]]", "_a9", true},
        {"^[[:punct:]]$", "_", true},
        {"(?i)HELLO", "hello", true},
        {"(?:ab)+$", "ababab", true},
        {"a+?b", "aab", true},
        {"a+?", "b", false},
        {"^(a?){5}a{5}$", "aaaaa", true},
        {"", "abc", true},
        {"$^", "", true},
        {"a||b", "zzz", true},
        {"\\x41\\t", "A\t", true},
        {"^.{3}$", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", true},
        {"^.$", "\xff", true},
        {"^[\xc3\xa0-\xc3\xaf]$", "\xc3\xa9", true},
        {"^[^a]$", "\xc3\xa9", true},
        {"\xc3\xa9", "x\xc3\xa9", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        size_t at;
        const char *error = wfi_match_regex(&m, z(t[i].pattern), false, &at);
        if (error != NULL) fail_msg("%s: %s", t[i].pattern, error);
        if (wfi_match_search(&m, z(t[i].text)) != t[i].match) fail_msg("%s on %s", t[i].pattern, t[i].text);
    }
}

static void test_fold(void **state) {
    size_t at;
    (void)state;
    assert_null(wfi_match_regex(&m, WF_STR("^a[B-D]\\x5b$"), true, &at));
    assert_true(wfi_match_search(&m, WF_STR("Ac[")));
    assert_false(wfi_match_search(&m, WF_STR("ac{"))); /* '[' and '{' differ by the same bit as letters do */
    assert_null(wfi_match_regex(&m, WF_STR("^[^b]$"), true, &at));
    assert_false(wfi_match_search(&m, WF_STR("B")));
}

/* Case beyond ASCII: one character for one. */
static void test_fold_unicode(void **state) {
    (void)state;
    static const expectation t[] = {
        {"GR\xc3\x96\xc3\x9f"
         "E",
         "gr\xc3\xb6\xc3\x9f"
         "e",
         true}, /* ö, ß */
        {"gr\xc3\xb6\xc3\x9f"
         "e",
         "GR\xc3\x96\xe1\xba\x9e"
         "E",
         true}, /* ẞ is a ß */
        {"stra\xc3\x9f"
         "e",
         "STRASSE", false},                                                             /* ... and no two characters */
        {"\xce\xb1\xce\xbb\xcf\x86\xce\xb1", "\xce\x91\xce\x9b\xce\xa6\xce\x91", true}, /* αλφα */
        {"\xcf\x83", "\xcf\x82", true},                                                 /* both small sigmas */
        {"\xd0\x9f\xd0\xa0\xd0\x98", "\xd0\xbf\xd1\x80\xd0\xb8", true},                 /* при */
        {"\xc3\xa9"
         "cole",
         "\xc3\x89"
         "COLE",
         true},
        {"k", "\xe2\x84\xaa", true},                /* the Kelvin sign */
        {"[a-z]{2}", "\xc5\xbf\xe2\x84\xaa", true}, /* ſ and it */
        {"S", "\xc5\xbf", true},
        {"[\xd0\xb0-\xd1\x8f]", "\xd0\x96", true}, /* [а-я], Ж */
        {"[^\xd0\xb0-\xd1\x8f]", "\xd0\x96", false},
        {"[\xd0\x90-\xd0\xaf]+$", "\xd0\xb6\xd0\xb7", true},
        {"\xf0\x90\x90\x80", "\xf0\x90\x90\xa8", true}, /* Deseret, beyond the first plane */
        {"\xf0\x9e\xa4\xa2", "\xf0\x9e\xa4\x80", true}, /* Adlam, the last with case */
        {"\xe1\xa0\xb0", "\xe1\xa0\xb1", false},
        {"\xea\xad\xb0", "\xe1\x8e\xa0", true}, /* Cherokee: the small ones are the younger */
        {"i", "\xc4\xb0", false},               /* Turkish ones are their own */
        {"[[:upper:]]", "q", true},
        {"\\W", "\xc3\xa9", true},
        {"[\\W]", "s", false},
        {"[\\W]", "k", false},
    };
    size_t at;
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        assert_null(wfi_match_regex(&m, z(t[i].pattern), true, &at));
        if (wfi_match_search(&m, z(t[i].text)) != t[i].match) fail_msg("%s in %s", t[i].pattern, t[i].text);
    }
    assert_null(wfi_match_regex(&m, z("\xc3\xa9"), false, &at));
    assert_false(wfi_match_search(&m, z("\xc3\x89")));
}

/* All characters: folding twice is folding once, all of a set have one folded form, and the set holds each of them. */
static void test_fold_sets(void **state) {
    (void)state;
    uint32_t cased = 0;
    for (uint32_t c = 0; c < 0x20000; c++) {
        uint32_t all[WFI_FOLD_MOST], folded = wfi_fold(c), n = folded != c ? wfi_fold_all(c, all) : 0;
        bool self = n == 0;
        assert_int_equal(wfi_fold(folded), folded);
        cased += n > 0;
        for (uint32_t i = 0; i < n; i++) {
            assert_int_equal(wfi_fold(all[i]), folded);
            self = self || all[i] == c;
        }
        assert_true(self);
    }
    assert_int_equal(cased, 1454); /* lines of CaseFolding.txt 14.0 with C or S */
}

/* A line in parts: its begin and its end are where they are. */
static void test_parts(void **state) {
    (void)state;
    size_t at;
    assert_null(wfi_match_regex(&m, z("^ab|cd$"), false, &at));
    assert_true(wfi_match_part(&m, z("abx"), true, false));
    assert_int_equal(m.end, 2);
    assert_false(wfi_match_part(&m, z("abx"), false, false));
    assert_true(wfi_match_part(&m, z("xcd"), false, true));
    assert_int_equal(m.end, 3);
    assert_false(wfi_match_part(&m, z("xcd"), false, false));
    assert_true(wfi_match_search(&m, z("xcd")));
    assert_null(wfi_match_regex(&m, z(""), false, &at));
    assert_true(wfi_match_part(&m, z(""), false, false));
    assert_null(wfi_match_regex(&m, z("a[\n]*b|\\s"), false, &at));
    assert_false(wfi_match_wants(&m, '\n'));
    assert_null(wfi_match_regex(&m, z("a(x|\\n)*b"), true, &at));
    assert_true(wfi_match_wants(&m, '\n'));
}

static void test_regex_errors(void **state) {
    static const struct {
        const char *pattern, *part;
        size_t at;
    } t[] = {
        {"a(b", "( is never closed", 1},
        {"a)", ") closes nothing", 1},
        {"*a", "nothing to repeat", 0},
        {"a|+", "nothing to repeat", 2},
        {"({2})", "nothing to repeat", 4},
        {"x[a", "[ is never closed", 1},
        {"[]", "[ is never closed", 0},
        {"a{2,1}", "backwards", 6},
        {"a{256}", "over 255", 6},
        {"a{99999999999999999999}", "over 255", 23},
        {"\\", "lone backslash", 1},
        {"(a)\\1", "back references", 4},
        {"\\q", "unknown escape", 1},
        {"\\x4", "two hexadecimal", 3},
        {"(?=a)", "(?", 1},
        {"(?<n>a)", "(?", 1},
        {"[z-a]", "backwards", 4},
        {"[a-\\d]", "cannot end a range", 5},
        {"((a{200}){200})", "too large", 14},
    };
    size_t at;
    char many[9000];
    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        const char *error = wfi_match_regex(&m, z(t[i].pattern), false, &at);
        if (error == NULL || strstr(error, t[i].part) == NULL) fail_msg("%s: %s", t[i].pattern, error);
        if (at != t[i].at) fail_msg("%s: at %zu", t[i].pattern, at);
    }
    memset(many, '(', sizeof many);
    assert_string_equal(wfi_match_regex(&m, wf_str_of(many, sizeof many), false, &at), "groups are nested too deep");
    memset(many, 'a', sizeof many);
    assert_string_equal(wfi_match_regex(&m, wf_str_of(many, sizeof many), false, &at), "the pattern is too large");
    assert_null(wfi_match_regex(&m, wf_str_of(many, WFI_MATCH_CODE - 1), false, &at));
    for (size_t i = 0; i < sizeof many; i += 2)
        memcpy(many + i, "a|", 2);
    assert_null(wfi_match_regex(&m, wf_str_of(many, 2000), false, &at)); /* alternatives do not nest */
    for (size_t i = 0; i < sizeof many; i += 4)
        memcpy(many + i, "[^b]", 4);
    assert_string_equal(wfi_match_regex(&m, wf_str_of(many, 8000), false, &at),
                        "the pattern has too many character ranges");
}

static void test_glob_table(void **state) {
    static const expectation t[] = {
        {"**/*.c", "a.c", true},
        {"**/*.c", "x/y/a.c", true},
        {"src/**/*.c", "src/a.c", true},
        {"src/**/*.c", "src/x/y/a.c", true},
        {"src/**/*.c", "srcx/a.c", false},
        {"src/**", "src/a/b", true},
        {"src/**", "src", false},
        {"*.{c,h}", "a.h", true},
        {"*.{c,h}", "a.x", false},
        {"{a,b/**}/*.c", "b/q/r/z.c", true},
        {"{a,{b,c}d}", "cd", true},
        {"{a,}b", "b", true},
        {"*", "a/b", false},
        {"*", ".hidden", true},
        {"[!a]b", "ab", false},
        {"[^a]b", "cb", true},
        {"[!a]b", "/b", false},
        {"[a-c]", "b", true},
        {"**", "a/b/c", true},
        {"a**b", "axxb", true},
        {"a**b", "a/b", false},
        {"**/**/**", "a/b", true},
        {"**/x/**/y", "x/y", true},
        {"**/x/**/y", "q/x/r/s/y", true},
        {"{**/a,b}", "q/a", true},
        {"?", "\xc3\xa9", true},
        {"?", "/", false},
        {"a\\*", "a*", true},
        {"a\\*", "ab", false},
        {"a.c", "abc", false},
        {"a}b,c", "a}b,c", true},
    };
    size_t at;
    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        const char *error = wfi_match_glob(&m, z(t[i].pattern), &at);
        if (error != NULL) fail_msg("%s: %s", t[i].pattern, error);
        if (wfi_match_whole(&m, z(t[i].text)) != t[i].match) fail_msg("%s on %s", t[i].pattern, t[i].text);
        /* Every directory above a match may hold it. */
        for (size_t n = 0; t[i].match && t[i].text[n] != '\0'; n++)
            if (t[i].text[n] == '/') assert_true(wfi_match_prefix(&m, wf_str_of(t[i].text, n + 1)));
    }
    assert_non_null(strstr(wfi_match_glob(&m, WF_STR("a{b,c"), &at), "{ is never closed"));
    assert_int_equal(at, 1);
    assert_non_null(strstr(wfi_match_glob(&m, WF_STR("[x"), &at), "[ is never closed"));
}

static void test_glob_prefix(void **state) {
    size_t at;
    (void)state;
    assert_null(wfi_match_glob(&m, WF_STR("src/*.c"), &at));
    assert_true(wfi_match_prefix(&m, WF_STR("src/")));
    assert_false(wfi_match_prefix(&m, WF_STR("lib/")));
    assert_false(wfi_match_prefix(&m, WF_STR("src/x/")));
    assert_null(wfi_match_glob(&m, WF_STR("src/**/t/*"), &at));
    assert_true(wfi_match_prefix(&m, WF_STR("src/a/b/c/")));
}

static void test_linear(void **state) {
    static char text[1 << 20];
    static const char *slow[] = {"(a*)*b", "(a|aa)+$b", "(a?){100}a{100}b", "(.*)(.*)(.*)(.*)(.*)[xy]", "((a+)+)+b"};
    size_t at;
    (void)state;
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++) {
        assert_null(wfi_match_regex(&m, z(slow[i]), false, &at));
        clock_t before = clock();
        assert_false(wfi_match_search(&m, wf_str_of(text, i == 2 ? 10000 : sizeof text)));
        assert_true(clock() - before < 8 * CLOCKS_PER_SEC);
    }
}

/* Where both dialects mean the same, our answer must be the system's. */
static void test_against_regexec(void **state) {
    static const char letters[] = "ab|()*+?.^$";
    static const char *differ[] = {"*?", "+?", "??", "()", "^*", "^+", "^?", "$*", "$+", "$?"};
    uint32_t seed = 1, compared = 0;
    (void)state;
    for (uint32_t n = 0; n < 60000; n++) {
        char pattern[10] = "", text[8] = "";
        size_t at;
        regex_t r;
        bool same = true;
        uint32_t length = 1 + n % 8;
        for (uint32_t i = 0; i < length; i++) {
            seed = seed * 1664525u + 1013904223u;
            pattern[i] = letters[(seed >> 16) % 11];
        }
        for (size_t i = 0; i < sizeof differ / sizeof differ[0]; i++)
            same = same && !strstr(pattern, differ[i]);
        if (!same || wfi_match_regex(&m, z(pattern), false, &at) != NULL) continue;
        if (regcomp(&r, pattern, REG_EXTENDED | REG_NOSUB) != 0) continue;
        for (uint32_t k = 0; k < 40; k++) {
            for (uint32_t i = 0, v = k; i < 4; i++, v /= 3)
                text[i] = "abc"[v % 3];
            text[k % 5] = '\0';
            compared++;
            bool ours = wfi_match_search(&m, z(text)), theirs = regexec(&r, text, 0, NULL, 0) == 0;
            if (ours != theirs) fail_msg("%s on '%s': %d", pattern, text, ours);
        }
        regfree(&r);
    }
    assert_true(compared > 100000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regex_table),     cmocka_unit_test(test_fold),        cmocka_unit_test(test_fold_unicode),
        cmocka_unit_test(test_fold_sets),       cmocka_unit_test(test_parts),       cmocka_unit_test(test_regex_errors),
        cmocka_unit_test(test_glob_table),      cmocka_unit_test(test_glob_prefix), cmocka_unit_test(test_linear),
        cmocka_unit_test(test_against_regexec),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
