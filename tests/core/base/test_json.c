/* Tests of the JSON reader and writer: the grammar by tables and by mutation, memory by guard pages, the writer by
 * round trips of random documents. Everything random comes from fixed seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/core/base/base.h"

/* ---- helpers ---- */

static uint64_t rng_state;

static uint32_t rng(uint32_t below) {
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return (uint32_t)((rng_state >> 20) % below);
}

/* Memory whose end touches a page that cannot be read or written. */
typedef struct guard {
    char *base;
    size_t size, page;
} guard;

static guard guard_make(size_t size) {
    guard g;
    g.page = (size_t)sysconf(_SC_PAGESIZE);
    g.size = (size + g.page - 1) / g.page * g.page;
    g.base = mmap(NULL, g.size + g.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.base != MAP_FAILED);
    assert_int_equal(mprotect(g.base + g.size, g.page, PROT_NONE), 0);
    return g;
}

static void guard_free(guard g) {
    munmap(g.base, g.size + g.page);
}

/* n bytes that end where the guard begins. */
static char *guard_end(guard g, size_t n) {
    assert_true(n <= g.size);
    return g.base + g.size - n;
}

/* Reads all tokens; checks the promises that hold for every text on the way. */
static wf_error read_all(wf_str text) {
    wf_json j;
    wf_json_token token;
    size_t tokens = 0;
    wf_json_init(&j, text);
    do {
        size_t before = j.pos;
        token = wf_json_next(&j);
        assert_true(j.pos <= text.len && j.pos >= before);
        assert_true(j.depth <= WF_JSON_DEPTH);
        assert_true(++tokens <= text.len + 2);
        if (token == WF_JSON_KEY || token == WF_JSON_STRING) {
            assert_true(wfi_utf8_valid(j.raw));
            assert_int_equal(j.escaped, memchr(j.raw.ptr, '\\', j.raw.len) != NULL);
            char *out = malloc(j.raw.len + 1);
            size_t n = wf_json_unescape(j.raw, out);
            assert_true(n <= j.raw.len && wfi_utf8_valid(wf_str_of(out, n)));
            assert_true(wf_json_equals(j.raw, wf_str_of(out, n)));
            assert_false(wf_json_equals(j.raw, wf_str_of("\xff", 1)));
            free(out);
        }
    } while (token != WF_JSON_END && token != WF_JSON_ERROR);
    assert_int_equal(wf_json_next(&j), token); /* final */
    assert_int_equal(token == WF_JSON_ERROR, j.error.code != WF_OK);
    assert_int_equal(token == WF_JSON_ERROR, j.error.offset != WF_NO_OFFSET);
    assert_true(token == WF_JSON_END || (j.error.offset <= text.len && j.error.text[0]));
    return j.error;
}

static bool valid(wf_str text) {
    return read_all(text).code == WF_OK;
}

#define TEXT(literal)                                                                                                  \
    { literal, sizeof(literal) - 1 }

/* ---- the grammar ---- */

static void test_valid(void **state) {
    static const wf_str texts[] = {
        TEXT("null"),
        TEXT("true"),
        TEXT("false"),
        TEXT("0"),
        TEXT("-0"),
        TEXT("-0.0"),
        TEXT("1"),
        TEXT("10"),
        TEXT("123456789012345678901234567890"),
        TEXT("0.1"),
        TEXT("-1.25"),
        TEXT("1e1"),
        TEXT("1E+1"),
        TEXT("1e-1"),
        TEXT("0e0"),
        TEXT("1.000e0001"),
        TEXT("1e999999999"),
        TEXT("\"\""),
        TEXT("\"a\""),
        TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uabCD\""),
        TEXT("\"\\ud83d\\ude00\""),
        TEXT("\"\\ud83d\""),
        TEXT("\"\\ude00\\ud83d\""),
        TEXT("\"\\ud83d\\n\""),
        TEXT("\"\x7f\""),
        TEXT("\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""),
        TEXT("\"\xEF\xBF\xBF\xF4\x8F\xBF\xBF\""),
        TEXT("\"\xEF\xBB\xBF\""),
        TEXT("[]"),
        TEXT("{}"),
        TEXT(" \t\r\n[ \t\r\n] \t\r\n"),
        TEXT("{ }"),
        TEXT("[1,2]"),
        TEXT("[[],[[]],{}]"),
        TEXT("[ 1 , \"a\" , null ]"),
        TEXT("{\"a\":1}"),
        TEXT("{\"\":{\"\":[]}}"),
        TEXT("{\"a\":1,\"a\":2}"),
        TEXT("{ \"a\" : 1 , \"b\" : [ { } ] }"),
        TEXT("{\"\\u0061\":true}"),
    };
    (void)state;
    for (size_t i = 0; i < WFI_COUNT(texts); i++)
        if (!valid(texts[i])) fail_msg("refused: %s", texts[i].ptr);
}

static void test_invalid(void **state) {
    static const struct {
        wf_str text;
        uint64_t offset;
        const char *why;
    } cases[] = {
        {TEXT(""), 0, "the text ends too early"},
        {TEXT("  "), 2, "the text ends too early"},
        {TEXT("nul"), 3, "the text ends too early"},
        {TEXT("nulL"), 3, "expected true, false or null"},
        {TEXT("True"), 0, "expected a value"},
        {TEXT("NaN"), 0, "expected a value"},
        {TEXT("Infinity"), 0, "expected a value"},
        {TEXT("-Infinity"), 1, "expected a digit"},
        {TEXT("nullx"), 4, "text after the value"},
        {TEXT("truetrue"), 4, "text after the value"},
        {TEXT("'a'"), 0, "expected a value"},
        {TEXT("01"), 1, "text after the value"},
        {TEXT("-01"), 2, "text after the value"},
        {TEXT("+1"), 0, "expected a value"},
        {TEXT(".5"), 0, "expected a value"},
        {TEXT("-"), 1, "the text ends too early"},
        {TEXT("-a"), 1, "expected a digit"},
        {TEXT("1."), 2, "the text ends too early"},
        {TEXT("[1.]"), 3, "expected a digit after the point"},
        {TEXT("1.e1"), 2, "expected a digit after the point"},
        {TEXT("1e"), 2, "the text ends too early"},
        {TEXT("[1e]"), 3, "expected a digit in the exponent"},
        {TEXT("1e+ "), 3, "expected a digit in the exponent"},
        {TEXT("1e1.5"), 3, "text after the value"},
        {TEXT("0x10"), 1, "text after the value"},
        {TEXT("1 2"), 2, "text after the value"},
        {TEXT("\""), 1, "the text ends inside a string"},
        {TEXT("\"a"), 2, "the text ends inside a string"},
        {TEXT("\"a\0\""), 2, "control character in a string"},
        {TEXT("\"\n\""), 1, "control character in a string"},
        {TEXT("\"0123456\x1f\""), 8, "control character in a string"},
        {TEXT("\"\\\""), 3, "the text ends inside a string"},
        {TEXT("\"\\"), 1, "invalid escape in a string"},
        {TEXT("\"\\x41\""), 1, "invalid escape in a string"},
        {TEXT("\"\\'\""), 1, "invalid escape in a string"},
        {TEXT("\"\\U0041\""), 1, "invalid escape in a string"},
        {TEXT("\"\\u12\""), 1, "invalid escape in a string"},
        {TEXT("\"\\u12g4\""), 1, "invalid escape in a string"},
        {TEXT("\"\\u/123\""), 1, "invalid escape in a string"},
        {TEXT("\"\\u-123\""), 1, "invalid escape in a string"},
        {TEXT("\"\\ud83d\\u\""), 7, "invalid escape in a string"},
        {TEXT("\"\\\0\""), 1, "invalid escape in a string"},
        {TEXT("\"\x80\""), 1, "invalid UTF-8 in a string"},
        {TEXT("\"\xC0\xAF\""), 1, "invalid UTF-8 in a string"},
        {TEXT("\"\xE0\x80\xAF\""), 1, "invalid UTF-8 in a string"},
        {TEXT("\"\xED\xA0\x80\""), 1, "invalid UTF-8 in a string"},
        {TEXT("\"\xF4\x90\x80\x80\""), 1, "invalid UTF-8 in a string"},
        {TEXT("\"\xFF\""), 1, "invalid UTF-8 in a string"},
        {TEXT("\"\xE2\x82\""), 1, "invalid UTF-8 in a string"},
        {TEXT("\"ab\xC3"), 3, "invalid UTF-8 in a string"},
        {TEXT("\xEF\xBB\xBF{}"), 0, "expected a value"},
        {TEXT("\xFF\xFE[\0]\0"), 0, "expected a value"},
        {TEXT("\0"), 0, "expected a value"},
        {TEXT("1\0"), 1, "text after the value"},
        {TEXT("[1\0]"), 2, "expected ',' or ']'"},
        {TEXT("[\f1]"), 1, "expected a value"},
        {TEXT("[\xC2\xA0]"), 1, "expected a value"},
        {TEXT("["), 1, "the text ends too early"},
        {TEXT("]"), 0, "expected a value"},
        {TEXT("[}"), 1, "expected a value"},
        {TEXT("[1}"), 2, "expected ',' or ']'"},
        {TEXT("[1"), 2, "the text ends too early"},
        {TEXT("[1,"), 3, "the text ends too early"},
        {TEXT("[1,]"), 3, "expected a value"},
        {TEXT("[,1]"), 1, "expected a value"},
        {TEXT("[1,,2]"), 3, "expected a value"},
        {TEXT("[1 2]"), 3, "expected ',' or ']'"},
        {TEXT("[1:2]"), 2, "expected ',' or ']'"},
        {TEXT("[]]"), 2, "text after the value"},
        {TEXT("[] // x"), 3, "text after the value"},
        {TEXT("{"), 1, "the text ends too early"},
        {TEXT("{]"), 1, "expected a key in quotes"},
        {TEXT("{1:2}"), 1, "expected a key in quotes"},
        {TEXT("{a:2}"), 1, "expected a key in quotes"},
        {TEXT("{\"a\"}"), 4, "expected ':'"},
        {TEXT("{\"a\" 1}"), 5, "expected ':'"},
        {TEXT("{\"a\",1}"), 4, "expected ':'"},
        {TEXT("{\"a\":}"), 5, "expected a value"},
        {TEXT("{\"a\"::1}"), 5, "expected a value"},
        {TEXT("{\"a\":1,}"), 7, "expected a key in quotes"},
        {TEXT("{,\"a\":1}"), 1, "expected a key in quotes"},
        {TEXT("{\"a\":1 \"b\":2}"), 7, "expected ',' or '}'"},
        {TEXT("{\"a\":1]"), 6, "expected ',' or '}'"},
        {TEXT("{\"a\":[1}"), 7, "expected ',' or ']'"},
        {TEXT("{}{}"), 2, "text after the value"},
        {TEXT("{\"\x01\":1}"), 2, "control character in a string"},
    };
    (void)state;
    for (size_t i = 0; i < WFI_COUNT(cases); i++) {
        wf_error e = read_all(cases[i].text);
        if (e.code != WF_E_SYNTAX || e.offset != cases[i].offset || strcmp(e.text, cases[i].why) != 0)
            fail_msg("case %zu '%s': code %d, offset %llu, '%s'", i, cases[i].text.ptr, (int)e.code,
                     (unsigned long long)e.offset, e.text);
    }
}

static void test_null_slice(void **state) {
    wf_str none = {NULL, 0};
    (void)state;
    assert_int_equal(read_all(none).code, WF_E_SYNTAX);
    assert_int_equal(wf_json_unescape(none, NULL), 0);
    assert_true(wf_json_equals(none, none));
}

static void test_depth(void **state) {
    char text[2 * WF_JSON_DEPTH + 4];
    (void)state;
    for (size_t depth = WF_JSON_DEPTH - 1; depth <= WF_JSON_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        wf_error e = read_all(wf_str_of(text, 2 * depth));
        assert_int_equal(e.code, depth <= WF_JSON_DEPTH ? WF_OK : WF_E_LIMIT);
        assert_true(depth <= WF_JSON_DEPTH || e.offset == WF_JSON_DEPTH);
    }
    size_t huge = 1000000;
    char *deep = malloc(5 * huge);
    for (size_t i = 0; i < huge; i++)
        memcpy(deep + 5 * i, "{\"\":[", 5);
    assert_int_equal(read_all(wf_str_of(deep, 5 * huge)).code, WF_E_LIMIT);
    free(deep);
}

/* Objects and arrays mixed at random, so that every bit of the stack is put to use. */
static void test_stack_bits(void **state) {
    char text[8 * WF_JSON_DEPTH];
    (void)state;
    rng_state = 77;
    for (int round = 0; round < 500; round++) {
        bool object[WF_JSON_DEPTH];
        size_t n = 0;
        for (size_t i = 0; i < WF_JSON_DEPTH; i++) {
            object[i] = rng(2);
            n += (size_t)sprintf(text + n, "%s", object[i] ? "{\"\":" : "[");
        }
        text[n++] = '0';
        for (size_t i = WF_JSON_DEPTH; i-- > 0;)
            text[n++] = object[i] ? '}' : ']';
        assert_true(valid(wf_str_of(text, n)));
        size_t flip = n - 1 - rng(WF_JSON_DEPTH);
        text[flip] = text[flip] == '}' ? ']' : '}';
        assert_int_equal(read_all(wf_str_of(text, n)).offset, flip);
    }
}

static void test_tokens(void **state) {
    static const char text[] = " {\"k\\n\" : [ -1.5e3 , \"v\" ],\"n\":null, \"t\":true,\"f\":false} ";
    static const struct {
        wf_json_token token;
        const char *raw;
        bool escaped;
    } want[] = {
        {WF_JSON_OBJECT, "{", false},      {WF_JSON_KEY, "k\\n", true},   {WF_JSON_ARRAY, "[", false},
        {WF_JSON_NUMBER, "-1.5e3", false}, {WF_JSON_STRING, "v", false},  {WF_JSON_ARRAY_END, "]", false},
        {WF_JSON_KEY, "n", false},         {WF_JSON_NULL, "null", false}, {WF_JSON_KEY, "t", false},
        {WF_JSON_TRUE, "true", false},     {WF_JSON_KEY, "f", false},     {WF_JSON_FALSE, "false", false},
        {WF_JSON_OBJECT_END, "}", false},  {WF_JSON_END, "", false},
    };
    wf_json j;
    (void)state;
    wf_json_init(&j, wf_str_of(text, sizeof text - 1));
    for (size_t i = 0; i < WFI_COUNT(want); i++) {
        assert_int_equal(wf_json_next(&j), want[i].token);
        assert_true(wfi_str_eq(j.raw, wfi_str_z(want[i].raw)));
        assert_int_equal(j.escaped, want[i].escaped);
    }
}

/* Every prefix of a document is refused, and the reader never looks past its end. */
static void test_truncation(void **state) {
    static const char text[] =
        "{\"a\\u00e9\\ud83d\\ude00\":[1.5e-3,true,null,\"\xF0\x9F\x98\x80 plain text, long\"],\"b\":{}}";
    guard g = guard_make(sizeof text);
    (void)state;
    for (size_t n = 0; n < sizeof text; n++) {
        char *p = guard_end(g, n);
        memcpy(p, text, n);
        assert_int_equal(valid(wf_str_of(p, n)), n == sizeof text - 1);
    }
    guard_free(g);
}

static void test_skip(void **state) {
    static const char *values[] = {"null",
                                   "true",
                                   "-1.5",
                                   "\"a\\\"b\"",
                                   "\"\"",
                                   "[]",
                                   "{}",
                                   "[1,[2,{\"x\":[]}]]",
                                   "{ \"a\" : [ 1 ] , \"b\" : \"]\" }"};
    (void)state;
    for (size_t i = 0; i < WFI_COUNT(values); i++) {
        char text[128];
        wf_str raw;
        wf_json j;
        int n = snprintf(text, sizeof text, "[ %s , 7]", values[i]);
        wf_json_init(&j, wf_str_of(text, (size_t)n));
        assert_int_equal(wf_json_next(&j), WF_JSON_ARRAY);
        assert_int_equal(wf_json_skip(&j, wf_json_next(&j), &raw), WF_OK);
        assert_true(wfi_str_eq(raw, wfi_str_z(values[i])));
        assert_int_equal(wf_json_next(&j), WF_JSON_NUMBER);
        wf_json_init(&j, wfi_str_z(values[i]));
        assert_int_equal(wf_json_skip(&j, wf_json_next(&j), NULL), WF_OK);
        assert_int_equal(wf_json_next(&j), WF_JSON_END);
        assert_int_equal(wf_json_skip(&j, WF_JSON_END, &raw), WF_E_CONFIG);
    }
    wf_json j;
    wf_json_init(&j, WF_STR("[[1,}]"));
    assert_int_equal(wf_json_skip(&j, wf_json_next(&j), NULL), WF_E_SYNTAX);
    assert_int_equal(wf_json_skip(&j, wf_json_next(&j), NULL), WF_E_SYNTAX);
    wf_json_init(&j, WF_STR("{\"a\":1}"));
    wf_json_next(&j);
    assert_int_equal(wf_json_skip(&j, wf_json_next(&j), NULL), WF_E_CONFIG); /* a key is no value */
}

/* ---- strings and members ---- */

static void test_unescape(void **state) {
    static const struct {
        wf_str raw, plain;
    } cases[] = {
        {TEXT(""), TEXT("")},
        {TEXT("plain"), TEXT("plain")},
        {TEXT("\\\"\\\\\\/\\b\\f\\n\\r\\t"), TEXT("\"\\/\b\f\n\r\t")},
        {TEXT("a\\u0000b"), TEXT("a\0b")},
        {TEXT("\\u00e9\\u20AC"), TEXT("\xC3\xA9\xE2\x82\xAC")},
        {TEXT("\\ud83d\\ude00!"), TEXT("\xF0\x9F\x98\x80!")},
        {TEXT("\\uD800\\uDC00\\udbff\\udfff"), TEXT("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF")},
        {TEXT("\\ud83d"), TEXT("\xEF\xBF\xBD")},
        {TEXT("\\ud83dx"), TEXT("\xEF\xBF\xBDx")},
        {TEXT("\\ude00\\ud83d"), TEXT("\xEF\xBF\xBD\xEF\xBF\xBD")},
        {TEXT("\\ud83d\\ud83d\\ude00"), TEXT("\xEF\xBF\xBD\xF0\x9F\x98\x80")},
        {TEXT("\\ude00\\ude00"), TEXT("\xEF\xBF\xBD\xEF\xBF\xBD")},
        {TEXT("\\ud83d\\u0041"), TEXT("\xEF\xBF\xBD\x41")},
        {TEXT("\\ud83d\\n"), TEXT("\xEF\xBF\xBD\n")},
        {TEXT("\xC3\xA9\\n"), TEXT("\xC3\xA9\n")},
        /* no reader lets these through; still nothing may be read or written beyond the ends */
        {TEXT("a\\"), TEXT("a\\")},
        {TEXT("\\q"), TEXT("\\q")},
        {TEXT("\\u12"), TEXT("\\u12")},
        {TEXT("\\ud83d\\u12"), TEXT("\xEF\xBF\xBD\\u12")},
    };
    guard raws = guard_make(64), outs = guard_make(64);
    (void)state;
    for (size_t i = 0; i < WFI_COUNT(cases); i++) {
        wf_str raw = cases[i].raw, plain = cases[i].plain;
        char *in = guard_end(raws, raw.len), *out = guard_end(outs, raw.len);
        memcpy(in, raw.ptr, raw.len);
        raw.ptr = in;
        assert_int_equal(wf_json_unescape(raw, out), plain.len);
        assert_memory_equal(out, plain.ptr, plain.len);
        assert_true(wf_json_equals(raw, plain));
        assert_false(wf_json_equals(raw, WF_STR("something else")));
        if (plain.len) {
            out = guard_end(outs, plain.len - 1);
            memcpy(out, plain.ptr, plain.len - 1);
            assert_false(wf_json_equals(raw, wf_str_of(out, plain.len - 1)));
        }
    }
    guard_free(raws);
    guard_free(outs);
    assert_false(wf_json_equals(WF_STR("a"), WF_STR("ab")));
    assert_false(wf_json_equals(WF_STR("ab"), WF_STR("a")));
}

static void test_member(void **state) {
    wf_str o = WF_STR("{\"a\":1,\"b\":{\"a\":9},\"\\u0063\":\"x\\ty\",\"a\": [2] ,\"t\":true,\"\":0,"
                      "\"n\":-1,\"r\":1.0,\"big\":18446744073709551615,\"over\":18446744073709551616}");
    wf_str v;
    uint64_t u;
    bool b;
    (void)state;
    assert_true(wf_json_member(o, WF_STR("a"), &v) && wfi_str_eq(v, WF_STR("[2]")));
    assert_true(wf_json_member(o, WF_STR("b"), &v) && wfi_str_eq(v, WF_STR("{\"a\":9}")));
    assert_true(wf_json_member(o, WF_STR("c"), &v) && wfi_str_eq(v, WF_STR("\"x\\ty\"")));
    assert_true(wf_json_member(o, WF_STR(""), &v) && wfi_str_eq(v, WF_STR("0")));
    assert_false(wf_json_member(o, WF_STR("d"), &v));
    assert_false(wf_json_member(WF_STR("[{\"a\":1}]"), WF_STR("a"), &v));
    assert_false(wf_json_member(WF_STR("{\"a\":1"), WF_STR("a"), &v));
    assert_false(wf_json_member(WF_STR("{\"a\":1} x"), WF_STR("a"), &v));
    assert_false(wf_json_member(WF_STR(""), WF_STR("a"), &v));
    assert_true(wf_json_member_str(o, WF_STR("c"), &v) && wfi_str_eq(v, WF_STR("x\\ty")));
    assert_false(wf_json_member_str(o, WF_STR("a"), &v));
    assert_true(wf_json_member_u64(o, WF_STR(""), &u) && u == 0);
    assert_true(wf_json_member_u64(o, WF_STR("big"), &u) && u == UINT64_MAX);
    assert_false(wf_json_member_u64(o, WF_STR("over"), &u));
    assert_false(wf_json_member_u64(o, WF_STR("n"), &u));
    assert_false(wf_json_member_u64(o, WF_STR("r"), &u));
    assert_true(wf_json_member_bool(o, WF_STR("t"), &b) && b);
    assert_false(wf_json_member_bool(o, WF_STR("a"), &b));
}

/* ---- the writer ---- */

static void write_sample(wf_json_out *o) {
    wf_json_begin(o, true);
    wf_json_key(o, WF_STR("s\n"));
    wf_json_str(o, wf_str_of("\"\\/\b\f\n\r\t\v\x01\x1f\x7f\0\xC3\xA9\xFFz", 17));
    wf_json_key(o, WF_STR("a"));
    wf_json_begin(o, false);
    wf_json_u64(o, UINT64_MAX);
    wf_json_i64(o, INT64_MIN);
    wf_json_i64(o, 0);
    wf_json_i64(o, 7);
    wf_json_bool(o, true);
    wf_json_bool(o, false);
    wf_json_null(o);
    wf_json_begin(o, false);
    wf_json_finish(o);
    wf_json_begin(o, true);
    wf_json_finish(o);
    wf_json_finish(o);
    wf_json_key(o, WF_STR(""));
    wf_json_raw(o, WF_STR("[1.5]"));
    wf_json_finish(o);
}

static const char sample[] =
    "{\"s\\n\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u000b\\u0001\\u001f\x7f\\u0000\xC3\xA9\xEF\xBF\xBDz\","
    "\"a\":[18446744073709551615,-9223372036854775808,0,7,true,false,null,[],{}],\"\":[1.5]}";

/* At every capacity: the same length wanted, exactly the prefix written, nothing beyond it. */
static void test_writer(void **state) {
    guard g = guard_make(sizeof sample);
    wf_json_out o;
    (void)state;
    for (size_t cap = 0; cap <= sizeof sample; cap++) {
        char *buf = guard_end(g, cap);
        wf_json_out_init(&o, cap ? buf : NULL, cap);
        write_sample(&o);
        assert_false(o.bad);
        assert_int_equal(o.len, sizeof sample - 1);
        assert_int_equal(wf_json_ok(&o), cap >= sizeof sample - 1);
        assert_memory_equal(buf, sample, cap < sizeof sample ? cap : sizeof sample - 1);
    }
    guard_free(g);
    assert_true(valid(wf_str_of(sample, sizeof sample - 1)));
}

static void test_writer_bad_utf8(void **state) {
    static const struct {
        wf_str in;
        const char *out;
    } cases[] = {
        {TEXT("\x80"), "\"\xEF\xBF\xBD\""},
        {TEXT("a\xE2\x82"), "\"a\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {TEXT("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {TEXT("\xC3\xC3\xA9"), "\"\xEF\xBF\xBD\xC3\xA9\""},
    };
    char buf[64];
    wf_json_out o;
    (void)state;
    for (size_t i = 0; i < WFI_COUNT(cases); i++) {
        wf_json_out_init(&o, buf, sizeof buf);
        wf_json_str(&o, cases[i].in);
        assert_true(wf_json_ok(&o));
        assert_true(wfi_str_eq(wf_str_of(buf, o.len), wfi_str_z(cases[i].out)));
    }
}

static void misuse_two_values(wf_json_out *o) {
    wf_json_null(o);
    wf_json_null(o);
}
static void misuse_value_without_key(wf_json_out *o) {
    wf_json_begin(o, true);
    wf_json_null(o);
    wf_json_finish(o);
}
static void misuse_key_in_array(wf_json_out *o) {
    wf_json_begin(o, false);
    wf_json_key(o, WF_STR("a"));
    wf_json_finish(o);
}
static void misuse_key_at_top(wf_json_out *o) {
    wf_json_key(o, WF_STR("a"));
}
static void misuse_two_keys(wf_json_out *o) {
    wf_json_begin(o, true);
    wf_json_key(o, WF_STR("a"));
    wf_json_key(o, WF_STR("b"));
    wf_json_null(o);
    wf_json_finish(o);
}
static void misuse_key_without_value(wf_json_out *o) {
    wf_json_begin(o, true);
    wf_json_key(o, WF_STR("a"));
    wf_json_finish(o);
}
static void misuse_unclosed(wf_json_out *o) {
    wf_json_begin(o, false);
}
static void misuse_closed_twice(wf_json_out *o) {
    wf_json_begin(o, false);
    wf_json_finish(o);
    wf_json_finish(o);
}
static void misuse_nothing(wf_json_out *o) {
    (void)o;
}
static void misuse_empty_raw(wf_json_out *o) {
    wf_json_raw(o, WF_STR(""));
}
static void misuse_too_deep(wf_json_out *o) {
    for (int i = 0; i <= WF_JSON_DEPTH; i++)
        wf_json_begin(o, false);
    for (int i = 0; i <= WF_JSON_DEPTH; i++)
        wf_json_finish(o);
}

static void test_writer_misuse(void **state) {
    static void (*const cases[])(wf_json_out *) = {
        misuse_two_values, misuse_value_without_key, misuse_key_in_array, misuse_key_at_top,
        misuse_two_keys,   misuse_key_without_value, misuse_unclosed,     misuse_closed_twice,
        misuse_nothing,    misuse_empty_raw,         misuse_too_deep,
    };
    char buf[1024];
    wf_json_out o;
    (void)state;
    for (size_t i = 0; i < WFI_COUNT(cases); i++) {
        wf_json_out_init(&o, buf, sizeof buf);
        cases[i](&o);
        if (wf_json_ok(&o)) fail_msg("misuse %zu passed", i);
    }
    wf_json_out_init(&o, buf, sizeof buf);
    for (int i = 0; i < WF_JSON_DEPTH; i++)
        wf_json_begin(&o, false);
    for (int i = 0; i < WF_JSON_DEPTH; i++)
        wf_json_finish(&o);
    assert_true(wf_json_ok(&o) && valid(wf_str_of(buf, o.len)));
}

/* ---- random documents ---- */

static void random_string(wf_json_out *o, bool key) {
    char s[96];
    size_t n = 0, parts = rng(12);
    for (size_t i = 0; i < parts; i++) {
        static const uint32_t tops[] = {0x20, 0x80, 0x80, 0x80, 0x800, 0x10000, 0x110000};
        n += wfi_utf8_put(rng(tops[rng(WFI_COUNT(tops))]), s + n);
    }
    if (key)
        wf_json_key(o, wf_str_of(s, n));
    else
        wf_json_str(o, wf_str_of(s, n));
}

static void random_value(wf_json_out *o, uint32_t depth) {
    static const wf_str raws[] = {TEXT("-0"), TEXT("1.5e-300"), TEXT("123456789012345678901234567890"),
                                  TEXT("-0.10E+5")};
    uint32_t kind = rng(depth ? 10 : 6);
    switch (kind) {
    case 0:
        wf_json_null(o);
        return;
    case 1:
        wf_json_bool(o, rng(2));
        return;
    case 2:
        wf_json_i64(o, (int64_t)rng(2000) - 1000);
        return;
    case 3:
        wf_json_raw(o, raws[rng(WFI_COUNT(raws))]);
        return;
    case 4:
    case 5:
        random_string(o, false);
        return;
    default:
        wf_json_begin(o, kind & 1);
        for (uint32_t n = rng(5); n > 0; n--) {
            if (kind & 1) random_string(o, true);
            random_value(o, depth - 1);
        }
        wf_json_finish(o);
    }
}

/* Writes again what the reader sees; strings by way of their decoded form. */
static void rewrite(wf_str text, wf_json_out *o) {
    wf_json j;
    char s[1024];
    wf_json_init(&j, text);
    for (;;) {
        wf_json_token token = wf_json_next(&j);
        switch (token) {
        case WF_JSON_END:
            return;
        case WF_JSON_ERROR:
            fail_msg("%s at %llu", j.error.text, (unsigned long long)j.error.offset);
            return;
        case WF_JSON_OBJECT:
        case WF_JSON_ARRAY:
            wf_json_begin(o, token == WF_JSON_OBJECT);
            break;
        case WF_JSON_OBJECT_END:
        case WF_JSON_ARRAY_END:
            wf_json_finish(o);
            break;
        case WF_JSON_KEY:
            wf_json_key(o, wf_str_of(s, wf_json_unescape(j.raw, s)));
            break;
        case WF_JSON_STRING:
            wf_json_str(o, wf_str_of(s, wf_json_unescape(j.raw, s)));
            break;
        case WF_JSON_NUMBER:
        case WF_JSON_TRUE:
        case WF_JSON_FALSE:
        case WF_JSON_NULL:
            wf_json_raw(o, j.raw);
        }
    }
}

#define DOC 65536

static size_t random_document(char *buf, size_t cap, uint32_t depth) {
    wf_json_out o;
    do {
        wf_json_out_init(&o, buf, cap);
        random_value(&o, depth);
        assert_false(o.bad);
    } while (!wf_json_ok(&o));
    return o.len;
}

static void test_round_trip(void **state) {
    static char first[DOC], second[DOC];
    (void)state;
    rng_state = 20240101;
    for (int i = 0; i < 20000; i++) {
        size_t n = random_document(first, DOC, 6);
        wf_json_out o;
        wf_json_out_init(&o, second, DOC);
        rewrite(wf_str_of(first, n), &o);
        assert_true(wf_json_ok(&o));
        assert_true(wfi_str_eq(wf_str_of(first, n), wf_str_of(second, o.len)));
    }
}

/* A mutated document flush against the guard: read to its end or its error, with all promises kept. What is accepted
 * must come out of the writer and be accepted again. */
static void test_mutation(void **state) {
    static const char spice[] = "{}[]\",:\\u0-.eE+tfn \n\x80\xC3\xED\xF4\x1f";
    static char doc[DOC], again[DOC];
    guard g = guard_make(DOC);
    uint32_t accepted = 0, refused = 0;
    (void)state;
    rng_state = 424242;
    for (int i = 0; i < 100000; i++) {
        size_t n = random_document(doc, 300, 4);
        char *p = guard_end(g, n);
        memcpy(p, doc, n);
        for (uint32_t k = rng(4); k > 0; k--)
            p[rng((uint32_t)n)] = rng(3) ? spice[rng(sizeof spice - 1)] : (char)rng(256);
        if (rng(8) == 0) {
            size_t cut = rng((uint32_t)n);
            memmove(p + cut, p, n - cut);
            p += cut;
            n -= cut;
        }
        if (!valid(wf_str_of(p, n))) {
            refused++;
            continue;
        }
        accepted++;
        wf_json_out o;
        wf_json_out_init(&o, again, DOC);
        rewrite(wf_str_of(p, n), &o);
        assert_true(wf_json_ok(&o) && valid(wf_str_of(again, o.len)));
    }
    guard_free(g);
    assert_true(accepted > 1000 && refused > 1000);
}

/* Random bytes where a string may hold them: the eight-at-a-time path against a check byte by byte. */
static void test_string_bytes(void **state) {
    guard g = guard_make(64);
    (void)state;
    rng_state = 99;
    for (int i = 0; i < 200000; i++) {
        size_t n = 2 + rng(30);
        char *p = guard_end(g, n);
        bool plain = true;
        p[0] = p[n - 1] = '"';
        for (size_t k = 1; k < n - 1; k++) {
            p[k] = rng(24) ? (char)('a' + rng(26)) : (char)rng(256);
            uint8_t c = (uint8_t)p[k];
            plain = plain && c >= 0x20 && c != '"' && c != '\\';
        }
        bool want = plain && wfi_utf8_valid(wf_str_of(p, n));
        if (memchr(p + 1, '\\', n - 2) == NULL) assert_int_equal(valid(wf_str_of(p, n)), want);
    }
    guard_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),         cmocka_unit_test(test_invalid),    cmocka_unit_test(test_null_slice),
        cmocka_unit_test(test_depth),         cmocka_unit_test(test_stack_bits), cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_truncation),    cmocka_unit_test(test_skip),       cmocka_unit_test(test_unescape),
        cmocka_unit_test(test_member),        cmocka_unit_test(test_writer),     cmocka_unit_test(test_writer_bad_utf8),
        cmocka_unit_test(test_writer_misuse), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_mutation),
        cmocka_unit_test(test_string_bytes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
