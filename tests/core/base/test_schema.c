/* Tests of the schema check: tables of schemas and values with the exact reason, bounds, hostile input, examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "src/core/base/schema.h"

static uint64_t rng_state;

static uint32_t rng(uint32_t below) {
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return (uint32_t)((rng_state >> 20) % below);
}

/* The texts go into exact heap blocks, so that the sanitizer sees every read beyond them. */
static wf_status check_slices(wf_str schema, wf_str value, wf_schema_error *e) {
    char *s = malloc(schema.len + 1), *v = malloc(value.len + 1);
    s = realloc(s, schema.len ? schema.len : 1);
    v = realloc(v, value.len ? value.len : 1);
    memcpy(s, schema.ptr, schema.len);
    memcpy(v, value.ptr, value.len);
    memset(e, 'Z', sizeof *e);
    wf_status status = wf_schema_check(wf_str_of(s, schema.len), wf_str_of(v, value.len), e);
    assert_non_null(memchr(e->path, 0, sizeof e->path));
    assert_non_null(memchr(e->reason, 0, sizeof e->reason));
    assert_true(wfi_utf8_valid(wfi_str_z(e->path)) && wfi_utf8_valid(wfi_str_z(e->reason)));
    assert_int_equal(status != WF_OK, e->reason[0] != 0);
    free(s);
    free(v);
    return status;
}

static wf_status check(const char *schema, const char *value, wf_schema_error *e) {
    return check_slices(wfi_str_z(schema), wfi_str_z(value), e);
}

/* path NULL: must match. reason NULL: any. */
typedef struct row {
    const char *schema, *value, *path, *reason;
} row;

static void run_rows(const row *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        wf_schema_error e;
        wf_status status = check(rows[i].schema, rows[i].value, &e);
        if (status != (rows[i].path ? WF_E_SCHEMA : WF_OK) || (rows[i].path && strcmp(rows[i].path, e.path) != 0) ||
            (rows[i].reason && strcmp(rows[i].reason, e.reason) != 0))
            fail_msg("%s on %s: %d, '%s', '%s'", rows[i].schema, rows[i].value, (int)status, e.path, e.reason);
    }
}

#define RUN(rows) run_rows((rows), WFI_COUNT(rows))

static void test_types(void **state) {
    static const row rows[] = {
        {"true", "1", NULL, NULL},
        {"{}", " [1] ", NULL, NULL},
        {" { } ", "null", NULL, NULL},
        {"false", "1", "", "no value is allowed here"},
        {"{\"type\":\"string\"}", "\"\"", NULL, NULL},
        {"{\"type\":\"string\"}", "[]", "", "expected string, got array"},
        {"{\"type\":\"string\"}", "1.50", "", "expected string, got the number 1.50"},
        {"{\"type\":\"object\"}", "{}", NULL, NULL},
        {"{\"type\":\"object\"}", "\"{}\"", "", "expected object, got string"},
        {"{\"type\":\"array\"}", "{}", "", "expected array, got object"},
        {"{\"type\":\"null\"}", "null", NULL, NULL},
        {"{\"type\":\"null\"}", "false", "", "expected null, got boolean"},
        {"{\"type\":\"boolean\"}", "false", NULL, NULL},
        {"{\"type\":\"boolean\"}", "null", "", "expected boolean, got null"},
        {"{\"type\":\"number\"}", "-1e5", NULL, NULL},
        {"{\"type\":\"integer\"}", "1.0", NULL, NULL},
        {"{\"type\":\"integer\"}", "0.0", NULL, NULL},
        {"{\"type\":\"integer\"}", "-0e-5", NULL, NULL},
        {"{\"type\":\"integer\"}", "1.5e1", NULL, NULL},
        {"{\"type\":\"integer\"}", "12300e-2", NULL, NULL},
        {"{\"type\":\"integer\"}", "12300e-3", "", "expected integer, got the number 12300e-3"},
        {"{\"type\":\"integer\"}", "1e400", NULL, NULL},
        {"{\"type\":\"integer\"}", "1e-400", "", NULL},
        {"{\"type\":\"integer\"}", "1.5", "", "expected integer, got the number 1.5"},
        {"{\"type\":\"integer\"}", "\"1\"", "", "expected integer, got string"},
        {"{\"type\":[\"string\",\"null\"]}", "null", NULL, NULL},
        {"{\"type\":[\"string\",\"null\"]}", "1", "", "expected one of \"string\", \"null\", got number"},
        {"{\"\\u0074ype\":\"s\\u0074ring\"}", "1", "", NULL},
    };
    (void)state;
    RUN(rows);
}

static void test_objects(void **state) {
#define AB "{\"properties\":{\"a\":{\"type\":\"number\"},\"b\":{\"items\":{\"type\":\"null\"}}}"
    static const row rows[] = {
        {AB "}", "{}", NULL, NULL},
        {AB "}", "[7]", NULL, NULL},
        {AB "}", "{\"a\":1,\"c\":true}", NULL, NULL},
        {AB "}", "{\"a\":\"x\"}", "/a", "expected number, got string"},
        {AB "}", "{\"a\":\"x\",\"a\":1}", NULL, NULL},
        {AB "}", "{\"a\":1,\"\\u0061\":\"x\"}", "/a", NULL},
        {AB "}", "{\"b\":[null,null,3]}", "/b/2", "expected null, got the number 3"},
        {AB ",\"additionalProperties\":false}", "{\"a\":1}", NULL, NULL},
        {AB ",\"additionalProperties\":false}", "{\"foo\":1}", "", "property \"foo\" is not allowed; allowed: a, b"},
        {AB ",\"additionalProperties\":true}", "{\"foo\":1}", NULL, NULL},
        {AB ",\"additionalProperties\":{\"type\":\"null\"}}", "{\"foo\":1}", "/foo", NULL},
        {AB ",\"additionalProperties\":{\"type\":\"null\"}}", "{\"foo\":null,\"a\":2}", NULL, NULL},
        {"{\"additionalProperties\":false}", "{\"x\":1}", "", "property \"x\" is not allowed; allowed: none"},
        {"{\"additionalProperties\":false,\"patternProperties\":{\"^x\":true}}", "{\"x\":1}", NULL, NULL},
        {"{\"required\":[\"line\",\"file\"]}", "{\"line\":1,\"file\":2}", NULL, NULL},
        {"{\"required\":[\"line\",\"file\"]}", "{\"file\":2}", "", "missing required property \"line\""},
        {"{\"required\":[\"a\\n\"]}", "{\"a\\u000a\":2}", NULL, NULL},
        {"{\"required\":[]}", "{}", NULL, NULL},
        {"{\"required\":[\"a\"]}", "3", NULL, NULL},
        {"{\"properties\":{\"a/b~c\":false}}", "{\"a/b~c\":1}", "/a~1b~0c", "no value is allowed here"},
        {"{\"properties\":{\"\":{\"properties\":{\"\\u00e9\":false}}}}", "{\"\":{\"\xC3\xA9\":1}}", "//\xC3\xA9", NULL},
    };
    (void)state;
    RUN(rows);
}

static void test_arrays(void **state) {
    static const row rows[] = {
        {"{\"items\":{\"type\":\"number\"}}", "[]", NULL, NULL},
        {"{\"items\":{\"type\":\"number\"}}", "[1,2 , 3]", NULL, NULL},
        {"{\"items\":{\"type\":\"number\"}}", "[1,[2]]", "/1", "expected number, got array"},
        {"{\"items\":false}", "[]", NULL, NULL},
        {"{\"items\":false}", "[0]", "/0", "no value is allowed here"},
        {"{\"items\":[{\"type\":\"null\"},{\"type\":\"number\"}]}", "[null,1,\"x\"]", NULL, NULL},
        {"{\"items\":[{\"type\":\"null\"},{\"type\":\"number\"}]}", "[null,null]", "/1", NULL},
        {"{\"prefixItems\":[{\"type\":\"null\"}],\"items\":{\"type\":\"number\"}}", "[null,1,2]", NULL, NULL},
        {"{\"prefixItems\":[{\"type\":\"null\"}],\"items\":{\"type\":\"number\"}}", "[null,1,null]", "/2", NULL},
        {"{\"prefixItems\":[{\"type\":\"null\"}]}", "[1]", "/0", NULL},
        {"{\"minItems\":2}", "[[],[]]", NULL, NULL},
        {"{\"minItems\":2}", "{}", NULL, NULL},
        {"{\"minItems\":2}", "[[[],[]]]", "", "the array has 1 items, fewer than the minimum 2"},
        {"{\"maxItems\":1.0}", "[1]", NULL, NULL},
        {"{\"maxItems\":1}", "[1,2]", "", "the array has 2 items, more than the maximum 1"},
        {"{\"maxItems\":0}", "[]", NULL, NULL},
    };
    (void)state;
    RUN(rows);
}

static void test_bounds(void **state) {
    static const row rows[] = {
        {"{\"minLength\":2}", "\"ab\"", NULL, NULL},
        {"{\"minLength\":2}", "\"\xF0\x9F\x98\x80\"", "", "the string has 1 characters, fewer than the minimum 2"},
        {"{\"maxLength\":1}", "\"\\ud83d\\ude00\"", NULL, NULL},
        {"{\"maxLength\":1}", "\"\\n\"", NULL, NULL},
        {"{\"maxLength\":1}", "\"\\nx\"", "", "the string has 2 characters, more than the maximum 1"},
        {"{\"maxLength\":0}", "\"\"", NULL, NULL},
        {"{\"maxLength\":0}", "12", NULL, NULL},
        {"{\"minimum\":5}", "3", "", "3 is less than the minimum 5"},
        {"{\"minimum\":5}", "5.0", NULL, NULL},
        {"{\"minimum\":5}", "\"a\"", NULL, NULL},
        {"{\"maximum\":-1.5}", "-1.4", "", "-1.4 is greater than the maximum -1.5"},
        {"{\"maximum\":-1.5}", "-15e-1", NULL, NULL},
        {"{\"maximum\":-1,\"minimum\":9}", "null", NULL, NULL},
        {"{\"maxLength\":0,\"maxItems\":0,\"minimum\":9}", "true", NULL, NULL},
        {"{\"maxLength\":0,\"maxItems\":0,\"minimum\":9}", "{\"a\":1}", NULL, NULL},
        {"{\"exclusiveMinimum\":0}", "0.0", "", "0.0 is not greater than 0"},
        {"{\"exclusiveMinimum\":0}", "1e-999", NULL, NULL},
        {"{\"exclusiveMaximum\":1}", "1", "", "1 is not less than 1"},
        {"{\"exclusiveMaximum\":1}", "0.99999999999999999999999999", NULL, NULL},
    };
    (void)state;
    RUN(rows);
}

/* Pairs in rising order, compared both ways by way of minimum and exclusiveMinimum. */
static void test_decimals(void **state) {
    static const char *rising[] = {"-1e99999999999999999999",
                                   "-1e400",
                                   "-123456789012345678901234567891",
                                   "-123456789012345678901234567890",
                                   "-10.01",
                                   "-10",
                                   "-9.99",
                                   "-1.5",
                                   "-1",
                                   "-0.1",
                                   "-0.01",
                                   "-1e-400",
                                   "0",
                                   "1e-400",
                                   "0.0099",
                                   "0.01",
                                   "0.1",
                                   "0.11",
                                   "1",
                                   "1.0000000000000000000000000001",
                                   "1.5",
                                   "2",
                                   "9.99",
                                   "10",
                                   "10.5",
                                   "99",
                                   "100",
                                   "101",
                                   "1000",
                                   "9007199254740992",
                                   "9007199254740993",
                                   "123456789012345678901234567890",
                                   "123456789012345678901234567891",
                                   "1e400",
                                   "1e99999999999999999999"};
    static const char *equal[][2] = {{"0", "-0"},         {"0", "0e999999999999999999999"},
                                     {"0.00", "-0.0e5"},  {"1", "1.000"},
                                     {"1", "10e-1"},      {"1", "0.01e2"},
                                     {"-15e-1", "-1.5"},  {"100", "1E+2"},
                                     {"100.0", "1e2"},    {"0.001", "1e-3"},
                                     {"1200", "1.2e3"},   {"10.10", "10.1"},
                                     {"0.0012", "12E-4"}, {"1e400", "10e399"}};
    char schema[128];
    wf_schema_error e;
    (void)state;
    for (size_t i = 0; i < WFI_COUNT(rising); i++)
        for (size_t k = 0; k < WFI_COUNT(rising); k++) {
            snprintf(schema, sizeof schema, "{\"minimum\":%s}", rising[i]);
            assert_int_equal(check(schema, rising[k], &e), k >= i ? WF_OK : WF_E_SCHEMA);
            snprintf(schema, sizeof schema, "{\"exclusiveMinimum\":%s}", rising[i]);
            assert_int_equal(check(schema, rising[k], &e), k > i ? WF_OK : WF_E_SCHEMA);
            snprintf(schema, sizeof schema, "{\"const\":%s}", rising[i]);
            assert_int_equal(check(schema, rising[k], &e), k == i ? WF_OK : WF_E_SCHEMA);
        }
    for (size_t i = 0; i < WFI_COUNT(equal); i++)
        for (size_t swap = 0; swap < 2; swap++) {
            const char *a = equal[i][swap], *b = equal[i][!swap];
            snprintf(schema, sizeof schema, "{\"minimum\":%s,\"maximum\":%s,\"const\":%s}", a, a, a);
            if (check(schema, b, &e) != WF_OK) fail_msg("%s and %s: %s", a, b, e.reason);
        }
}

static void test_equality(void **state) {
    static const row rows[] = {
        {"{\"const\":{\"a\":[1,{\"b\":\"x\"}],\"c\":null}}", "{\"c\":null, \"a\":[1.0,{\"b\":\"\\u0078\"}]}", NULL,
         NULL},
        {"{\"const\":{\"a\":1}}", "{\"a\":1,\"b\":2}", "", "expected {\"a\":1}, got {\"a\":1,\"b\":2}"},
        {"{\"const\":{\"a\":1,\"b\":2}}", "{\"a\":1}", "", NULL},
        {"{\"const\":{\"a\":1}}", "{\"b\":1}", "", NULL},
        {"{\"const\":[1,2]}", "[2,1]", "", NULL},
        {"{\"const\":[1,2]}", "[1]", "", NULL},
        {"{\"const\":[1]}", "[1,2]", "", NULL},
        {"{\"const\":[]}", "{}", "", NULL},
        {"{\"const\":[]}", "[ ]", NULL, NULL},
        {"{\"const\":true}", "false", "", "expected true, got false"},
        {"{\"const\":null}", "null", NULL, NULL},
        {"{\"const\":\"1\"}", "1", "", NULL},
        {"{\"const\":\"a\"}", "\"ab\"", "", NULL},
        {"{\"const\":\"ab\"}", "\"a\"", "", NULL},
        {"{\"const\":\"\"}", "\"\"", NULL, NULL},
        {"{\"enum\":[\"a\",\"b\"]}", "\"b\"", NULL, NULL},
        {"{\"enum\":[\"a\",\"b\"]}", "\"x\"", "", "\"x\" is not one of: \"a\", \"b\""},
        {"{\"enum\":[1,[2],{\"k\":3}]}", "{\"k\":3e0}", NULL, NULL},
        {"{\"enum\":[\"]\",\"\\\"\",\"\\\\\"]}", "\"\\\\\"", NULL, NULL},
        {"{\"enum\":[\"a\\n\"]}", "[\n1\n]", "", "[ 1 ] is not one of: \"a\\n\""},
    };
    (void)state;
    RUN(rows);
}

static void test_branches(void **state) {
#define KINDS                                                                                                          \
    "{\"oneOf\":[{\"type\":\"object\",\"required\":[\"kind\"],\"properties\":{\"kind\":{\"const\":\"a\"}}},"           \
    "{\"type\":\"object\",\"required\":[\"kind\",\"n\"],\"properties\":{\"kind\":{\"const\":\"b\"},"                   \
    "\"n\":{\"type\":\"number\"}}}]}"
    static const row rows[] = {
        {"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "null", NULL, NULL},
        {"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "[]", "",
         "expected string, got array (nor does any other branch match)"},
        {"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"object\",\"required\":[\"a\"]}]}", "{}", "",
         "missing required property \"a\""},
        {"{\"anyOf\":[{\"type\":\"string\"}]}", "true", "", "expected string, got boolean"},
        {"{\"anyOf\":[false,true]}", "1", NULL, NULL},
        {"{\"oneOf\":[{\"minimum\":1},{\"maximum\":3}]}", "0", NULL, NULL},
        {"{\"oneOf\":[{\"minimum\":1},{\"maximum\":3}]}", "2", "",
         "matches more than one branch of oneOf; exactly one must match"},
        {KINDS, "{\"kind\":\"a\"}", NULL, NULL},
        {KINDS, "{\"kind\":\"b\",\"n\":1}", NULL, NULL},
        {KINDS, "{\"kind\":\"b\",\"n\":\"1\"}", "/n", "expected number, got string"},
        {KINDS, "{\"kind\":\"c\"}", "/kind", "expected \"a\", got \"c\""},
        {"{\"allOf\":[{\"minimum\":1},{\"maximum\":3}]}", "2", NULL, NULL},
        {"{\"allOf\":[{\"minimum\":1},{\"maximum\":3}]}", "4", "", "4 is greater than the maximum 3"},
        {"{\"items\":{\"anyOf\":[{\"anyOf\":[{\"type\":\"array\",\"items\":{\"minimum\":2}}]}]}}", "[[3],[3,1]]",
         "/1/1", "1 is less than the minimum 2"},
    };
    (void)state;
    RUN(rows);
}

static void test_refs(void **state) {
#define TREE "{\"type\":\"object\",\"properties\":{\"kids\":{\"items\":{\"$ref\":\"#\"}},\"v\":{\"type\":\"number\"}}}"
    static const row rows[] = {
        {TREE, "{\"kids\":[{},{\"kids\":[{\"v\":1}]}]}", NULL, NULL},
        {TREE, "{\"kids\":[{},{\"kids\":[{\"v\":\"x\"}]}]}", "/kids/1/kids/0/v", "expected number, got string"},
        {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"type\":\"null\"}}}", "null", NULL, NULL},
        {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"type\":\"null\"}}}", "1", "", NULL},
        {"{\"$ref\":\"#/definitions/a~1b~0c\",\"definitions\":{\"a/b~c\":{\"type\":\"null\"}}}", "1", "", NULL},
        {"{\"$ref\":\"#/definitions/a%20%C3%A9%7E1\",\"definitions\":{\"a \\u00e9/\":{\"type\":\"null\"}}}", "1", "",
         NULL},
        {"{\"$ref\":\"\\u0023/anyOf/1\",\"anyOf\":[true,{\"type\":\"null\"}]}", "1", "", NULL},
        {"{\"$ref\":\"#/definitions/\",\"definitions\":{\"\":{\"type\":\"null\"}}}", "1", "", NULL},
    };
    (void)state;
    RUN(rows);
}

static void test_malformed(void **state) {
    static const char *cases[][3] = {
        {"", "1", "the schema is not valid JSON: the text ends too early at byte 0"},
        {"{}", "[1", "the value is not valid JSON: the text ends too early at byte 2"},
        {"{},", "1", "the schema is not valid JSON: text after the value at byte 2"},
        {"5", "1", "5 is no schema: it must be an object or a boolean"},
        {"{\"type\":5}", "1",
         "schema keyword \"type\" must be a type's name or an array of them (in the schema at #/type)"},
        {"{\"type\":\"str\"}", "1", NULL},
        {"{\"type\":[]}", "1", NULL},
        {"{\"type\":[\"string\",1]}", "1", NULL},
        {"{\"properties\":[]}", "1",
         "schema keyword \"properties\" must be an object of schemas (in the schema at #/properties)"},
        {"{\"properties\":{\"a\":{\"items\":3}}}", "1",
         "schema keyword \"items\" must be a schema or an array of schemas (in the schema at #/properties/a/items)"},
        {"{\"properties\":{\"a\":7}}", "1",
         "7 is no schema: it must be an object or a boolean (in the schema at #/properties/a)"},
        {"{\"required\":true}", "1", NULL},
        {"{\"required\":[1]}", "1", NULL},
        {"{\"enum\":[]}", "1", NULL},
        {"{\"enum\":1}", "1", NULL},
        {"{\"anyOf\":[]}", "1", NULL},
        {"{\"anyOf\":[1]}", "1", NULL},
        {"{\"oneOf\":{}}", "1", NULL},
        {"{\"minLength\":-1}", "1", NULL},
        {"{\"minLength\":1.5}", "1", NULL},
        {"{\"maxItems\":\"1\"}", "1", NULL},
        {"{\"minimum\":\"1\"}", "1", NULL},
        {"{\"exclusiveMinimum\":true}", "1", NULL},
        {"{\"additionalProperties\":1}", "1", NULL},
        {"{\"$ref\":1}", "1", NULL},
        {"{\"$ref\":\"other.json\"}", "1",
         "$ref \"other.json\" is not local: only \"#\" and \"#/...\" can be followed (in the schema at #/$ref)"},
        {"{\"$ref\":\"\"}", "1", NULL},
        {"{\"$ref\":\"#name\"}", "1", NULL},
        {"{\"$ref\":\"#/$defs/no\"}", "1", "$ref \"#/$defs/no\" names nothing in the schema (in the schema at #/$ref)"},
        {"{\"$ref\":\"#/anyOf/1\",\"anyOf\":[true]}", "1", NULL},
        {"{\"$ref\":\"#/title\",\"title\":\"x\"}", "1",
         "the schema for this place is \"x\"; it must be an object or a boolean"},
        {"{\"$ref\":\"#/x\",\"x\":{\"type\":9}}", "1",
         "schema keyword \"type\" must be a type's name or an array of them"},
        {"{\"$ref\":\"#/x\",\"x\":{\"properties\":{\"a\":4}}}", "{\"a\":1}", NULL},
    };
    wf_schema_error e;
    (void)state;
    for (size_t i = 0; i < WFI_COUNT(cases); i++) {
        wf_status status = check(cases[i][0], cases[i][1], &e);
        if (status != WF_E_SYNTAX || (cases[i][2] && strcmp(cases[i][2], e.reason) != 0))
            fail_msg("%s on %s: %d, '%s'", cases[i][0], cases[i][1], (int)status, e.reason);
    }
    assert_int_equal(wf_schema_check(WF_STR("{\"type\":\"null\"}"), WF_STR("1"), NULL), WF_E_SCHEMA);
}

/* A long $ref, a long path, a long list: cut, terminated, never split inside a character. */
static void test_cuts(void **state) {
    char schema[8192], value[4096];
    wf_schema_error e;
    (void)state;
    for (size_t n = 1; n < 600; n++) {
        char name[1300];
        for (size_t i = 0; i < n; i++)
            memcpy(name + 2 * i, "\xC3\xA9", 3);
        snprintf(schema, sizeof schema, "{\"properties\":{\"x%s\":{\"type\":\"null\"}}}", name);
        snprintf(value, sizeof value, "{\"x%s\":1}", name);
        assert_int_equal(check(schema, value, &e), WF_E_SCHEMA);
        size_t want = 2 + 2 * n < 255 ? 2 + 2 * n : 254;
        assert_int_equal(strlen(e.path), want);
        snprintf(schema, sizeof schema, "{\"enum\":[\"%s\",\"%s\",\"%s\",\"%s\",\"%s\"]}", name, name, name, name,
                 name);
        assert_int_equal(check(schema, "\"x\"", &e), WF_E_SCHEMA);
        snprintf(schema, sizeof schema, "{\"$ref\":\"#/%s\"}", name);
        assert_int_equal(check(schema, "1", &e), WF_E_SYNTAX);
    }
}

static void test_limits(void **state) {
    wf_schema_error e;
    (void)state;
    assert_int_equal(check("{\"$ref\":\"#\"}", "1", &e), WF_E_LIMIT);
    assert_non_null(strstr(e.reason, "$ref"));
    assert_int_equal(
        check("{\"anyOf\":[{\"$ref\":\"#/$defs/a\"}],\"$defs\":{\"a\":{\"allOf\":[{\"$ref\":\"#\"}]}}}", "1", &e),
        WF_E_LIMIT);
    /* work that doubles at every level, in the check */
    assert_int_equal(check("{\"allOf\":[{\"items\":{\"$ref\":\"#\"}},{\"items\":{\"$ref\":\"#\"}}]}",
                           "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", &e),
                     WF_E_LIMIT);
    assert_non_null(strstr(e.reason, "more work"));
    /* and a long way in equality */
    size_t n = 20000;
    char *big = malloc(n * 12 + 64);
    size_t len = (size_t)sprintf(big, "{\"const\":{");
    for (size_t i = 0; i < n; i++)
        len += (size_t)sprintf(big + len, "%s\"%zu\":1", i ? "," : "", i);
    memcpy(big + len, "}}", 2);
    len += 2;
    assert_int_equal(check_slices(wf_str_of(big, len), wf_str_of(big + 9, len - 10), &e), WF_E_LIMIT);
    free(big);
    /* and in one long number looked at again and again */
    size_t digits = 1000000;
    char *number = malloc(digits);
    memset(number, '7', digits);
    char many[3000] = "{\"allOf\":[true";
    for (int i = 0; i < 100; i++)
        strcat(many, i & 1 ? ",{\"type\":\"integer\"}" : ",{\"minimum\":7}");
    strcat(many, "]}");
    assert_int_equal(check_slices(wfi_str_z(many), wf_str_of(number, digits), &e), WF_E_LIMIT);
    assert_string_equal(e.path, "");
    assert_int_equal(check_slices(wfi_str_z(many), wf_str_of(number, 1000), &e), WF_OK);
    free(number);
    /* deep value, deep schema */
    char deep[600];
    memset(deep, '[', 129);
    memset(deep + 129, ']', 129);
    assert_int_equal(check_slices(WF_STR("true"), wf_str_of(deep, 258), &e), WF_E_LIMIT);
    assert_int_equal(check_slices(WF_STR("true"), wf_str_of(deep + 1, 256), &e), WF_OK);
    assert_int_equal(check_slices(WF_STR("{\"items\":{\"$ref\":\"#\"}}"), wf_str_of(deep + 100, 58), &e), WF_OK);
}

/* A reply of the size that models give, against a schema such as people write, is far inside the bound. */
static void test_large_reply(void **state) {
    static const char schema[] =
        "{\"type\":\"object\",\"required\":[\"findings\"],\"additionalProperties\":false,\"properties\":{\"findings\":"
        "{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/finding\"}}},\"$defs\":{\"finding\":{\"type\":\"object\","
        "\"required\":[\"file\",\"line\",\"severity\",\"text\"],\"additionalProperties\":false,\"properties\":{"
        "\"file\":{\"type\":\"string\",\"minLength\":1,\"description\":\"where\"},\"line\":{\"type\":\"integer\","
        "\"minimum\":1},"
        "\"severity\":{\"enum\":[\"low\",\"medium\",\"high\"]},\"text\":{\"type\":[\"string\",\"null\"]}}}}}";
    size_t n = 3000;
    char *big = malloc(n * 160 + 64);
    size_t len = (size_t)sprintf(big, "{\"findings\":[");
    wf_schema_error e;
    (void)state;
    for (size_t i = 0; i < n; i++)
        len += (size_t)sprintf(
            big + len,
            "%s{\"file\":\"src/core/json.c\",\"line\":%zu,\"severity\":\"high\",\"text\":\"The length is "
            "not checked before the copy, so that a long name overruns it.\"}",
            i ? "," : "", i + 1);
    len += (size_t)sprintf(big + len, "]}");
    assert_int_equal(check_slices(wf_str_of(schema, sizeof schema - 1), wf_str_of(big, len), &e), WF_OK);
    char *last = strstr(big + len - 200, "high");
    memcpy(last, "hihg", 4);
    assert_int_equal(check_slices(wf_str_of(schema, sizeof schema - 1), wf_str_of(big, len), &e), WF_E_SCHEMA);
    assert_string_equal(e.path, "/findings/2999/severity");
    assert_string_equal(e.reason, "\"hihg\" is not one of: \"low\", \"medium\", \"high\"");
    free(big);
}

static void test_ignored(void **state) {
    char out[64];
    (void)state;
    assert_int_equal(wf_schema_ignored(WF_STR("{\"title\":\"t\",\"type\":\"string\",\"$comment\":1}"), out, sizeof out),
                     0);
    assert_string_equal(out, "");
    wf_str s = WF_STR("{\"pattern\":\"x\",\"properties\":{\"pattern\":{\"format\":\"date\",\"pattern\":\"y\"}},"
                      "\"$defs\":{\"a\":{\"not\":true}},\"items\":[{\"multipleOf\":2}],\"const\":{\"if\":1}}");
    assert_int_equal(wf_schema_ignored(s, out, sizeof out), 4);
    assert_string_equal(out, "pattern, format, not, multipleOf");
    for (size_t cap = 0; cap < sizeof out; cap++) {
        memset(out, 'Z', sizeof out);
        assert_in_range(wf_schema_ignored(s, cap ? out : NULL, cap), 4, 5);
        assert_true(cap == 0 || memchr(out, 0, cap));
        assert_int_equal(out[cap], 'Z');
    }
    assert_int_equal(wf_schema_ignored(WF_STR("{"), out, sizeof out), 0);
    assert_string_equal(out, "");
}

static void test_example(void **state) {
    static const char *cases[][2] = {
        {"true", "null"},
        {"{}", "null"},
        {"false", ""},
        {"{\"type\":\"string\"}", "\"\""},
        {"{\"type\":\"string\",\"minLength\":3}", "\"xxx\""},
        {"{\"type\":\"integer\"}", "0"},
        {"{\"minimum\":5}", "5"},
        {"{\"type\":\"integer\",\"minimum\":5.5}", "6"},
        {"{\"type\":\"integer\",\"exclusiveMinimum\":5}", "6"},
        {"{\"type\":\"integer\",\"maximum\":-5.5}", "-6"},
        {"{\"exclusiveMaximum\":-5}", "-6"},
        {"{\"exclusiveMinimum\":0,\"exclusiveMaximum\":1}", "0.5"},
        {"{\"type\":\"boolean\"}", "false"},
        {"{\"type\":[\"null\",\"integer\"]}", "0"},
        {"{\"type\":[\"null\"]}", "null"},
        {"{\"const\":{\"a\":[1]}}", "{\"a\":[1]}"},
        {"{\"enum\":[\"b\",\"a\"]}", "\"b\""},
        {"{\"type\":\"array\"}", "[]"},
        {"{\"minItems\":2,\"items\":{\"type\":\"string\"}}", "[\"\",\"\"]"},
        {"{\"minItems\":2,\"prefixItems\":[{\"const\":1}],\"items\":{\"const\":2}}", "[1,2]"},
        {"{\"minItems\":1,\"items\":[{\"const\":1}]}", "[1]"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}", "{}"},
        {"{\"required\":[\"b\",\"a\\n\",\"b\"],\"properties\":{\"a\\n\":{\"type\":\"string\"},\"b\":{\"type\":"
         "\"object\"}}}",
         "{\"b\":{},\"a\\n\":\"\"}"},
        {"{\"required\":[\"z\"],\"additionalProperties\":{\"type\":\"integer\"}}", "{\"z\":0}"},
        {"{\"minItems\":2,\"items\":{\"required\":[\"a\"]}}", "[{\"a\":null},{\"a\":null}]"},
        {"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "\"\""},
        {"{\"anyOf\":[false,{\"type\":\"boolean\"}]}", "false"},
        {"{\"allOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\",\"a\"],\"properties\":{\"a\":{\"const\":1}}}]}",
         "{\"a\":1,\"b\":null}"},
        {"{\"$ref\":\"#/$defs/x\",\"$defs\":{\"x\":{\"type\":\"array\",\"minItems\":1}}}", "[null]"},
        {"{\"required\":[\"next\"],\"properties\":{\"next\":{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}}}",
         "{\"next\":null}"},
        {"{\"required\":[\"next\"],\"properties\":{\"next\":{\"$ref\":\"#\"}}}", ""},
        {"{\"$ref\":\"#\"}", ""},
        {"{\"minItems\":3,\"items\":{\"$ref\":\"#\"}}", ""},
        {"{\"type\":\"string\",\"minLength\":1000000}", ""},
        {"{\"type\":\"array\",\"minItems\":1e9}", ""},
        {"{\"type\":\"array\",\"minItems\":1000000000}", ""},
        {"{\"type\":\"integer\",\"minimum\":1,\"maximum\":0}", ""},
        {"{\"type\":5}", ""},
        {"{", ""},
    };
    (void)state;
    for (size_t i = 0; i < WFI_COUNT(cases); i++) {
        char out[256];
        wf_str want = wfi_str_z(cases[i][1]);
        size_t n = wf_schema_example(wfi_str_z(cases[i][0]), out, sizeof out);
        if (!wfi_str_eq(wf_str_of(out, n), want)) fail_msg("%s: '%.*s'", cases[i][0], (int)n, out);
    }
    /* every capacity: all or nothing, and never a byte too many */
    for (size_t cap = 0; cap < 128; cap++) {
        char *out = malloc(cap ? cap : 1);
        size_t n = wf_schema_example(
            WF_STR("{\"required\":[\"name\",\"k\"],\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":9}}}"),
            out, cap);
        assert_true(n == 0 || n == 29);
        assert_true(n == 29 || cap < 64);
        free(out);
    }
}

/* Mutated schemas against mutated values: no crash, and what the maker makes is accepted. */
static void test_mutation(void **state) {
    static const char *seeds[] = {TREE, KINDS, AB ",\"additionalProperties\":false,\"required\":[\"a\"]}",
                                  "{\"$ref\":\"#/$defs/a%7e~1\",\"$defs\":{\"a~/"
                                  "\":{\"minItems\":1,\"items\":{\"enum\":[1,\"x\",{\"a\":1.50e3}]}}}}",
                                  "{\"anyOf\":[{\"minLength\":2,\"type\":\"string\"},{\"exclusiveMinimum\":-1.5,"
                                  "\"maximum\":1e3},{\"const\":[null]}]}"};
    static const char *values[] = {"{\"kids\":[{\"v\":1},{}],\"v\":2}",
                                   "{\"kind\":\"b\",\"n\":1}",
                                   "{\"a\":1,\"b\":[null]}",
                                   "[1,\"x\",{\"a\":1500}]",
                                   "-12.50e-1",
                                   "\"\\u00e9x\""};
    static const char spice[] = "{}[]\",:0159.e-tfn\\#/~%$a";
    uint32_t seen[3] = {0, 0, 0};
    (void)state;
    rng_state = 31337;
    for (int i = 0; i < 100000; i++) {
        char s[512], v[128], out[512];
        size_t n = (size_t)sprintf(s, "%s", seeds[rng(WFI_COUNT(seeds))]);
        size_t k = (size_t)sprintf(v, "%s", values[rng(WFI_COUNT(values))]);
        for (uint32_t r = rng(4); r > 0; r--)
            s[rng((uint32_t)n)] = spice[rng(sizeof spice - 1)];
        if (rng(2)) v[rng((uint32_t)k)] = spice[rng(sizeof spice - 1)];
        wf_schema_error e;
        wf_status status = check_slices(wf_str_of(s, n), wf_str_of(v, k), &e);
        seen[status == WF_OK ? 0 : status == WF_E_SCHEMA ? 1 : 2]++;
        if (status != WF_E_SYNTAX) {
            size_t made = wf_schema_example(wf_str_of(s, n), out, sizeof out);
            assert_true(made == 0 || check_slices(wf_str_of(s, n), wf_str_of(out, made), &e) == WF_OK);
        }
    }
    assert_true(seen[0] > 1000 && seen[1] > 1000 && seen[2] > 1000);
}

/* A large value against many properties: the work grows with their sizes, not with the product of these. */
static void large_values_are_checked(void **state) {
    static const struct { uint32_t properties, kib; } cases[] = {{32, 512}, {16, 1024}, {8, 2048}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wf_schema_error error = {0};
        size_t pad = (size_t)cases[i].kib << 10, n = 0, m = 0;
        char schema[4096], *value = malloc(pad + 4096);
        assert_non_null(value);
        m += (size_t)sprintf(schema + m, "{\"type\":\"object\",\"properties\":{\"a0\":{\"type\":\"string\"}");
        for (uint32_t k = 1; k < cases[i].properties; k++)
            m += (size_t)sprintf(schema + m, ",\"a%u\":{\"type\":\"integer\"}", k);
        m += (size_t)sprintf(schema + m, "},\"required\":[\"a0\"");
        n += (size_t)sprintf(value, "{\"a0\":\"");
        memset(value + n, 'x', pad);
        n += pad;
        n += (size_t)sprintf(value + n, "\"");
        for (uint32_t k = 1; k < cases[i].properties; k++) {
            m += (size_t)sprintf(schema + m, ",\"a%u\"", k);
            n += (size_t)sprintf(value + n, ",\"a%u\":%u", k, k);
        }
        m += (size_t)sprintf(schema + m, "]}");
        n += (size_t)sprintf(value + n, "}");
        assert_int_equal(wf_schema_check(wf_str_of(schema, m), wf_str_of(value, n), &error), WF_OK);
        value[n - 2] = 'x'; /* the last number is none: no JSON */
        assert_int_equal(wf_schema_check(wf_str_of(schema, m), wf_str_of(value, n), &error), WF_E_SYNTAX);
        free(value);
    }
}

#define LISTS                                                                                                          \
    "{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"   \
    "\"n\":{\"type\":\"integer\"}},\"required\":[\"n\"]}}}}"

/* JSON inside of a string is taken for what it is where nothing else fits, and nowhere else. */
static void test_unquote(void **state) {
    static const struct {
        const char *schema, *value;
        const char *taken; /* NULL: it does not fit */
        const char *path;  /* where it does not */
    } cases[] = {
        {LISTS, "{\"l\":[{\"n\":1}]}", "{\"l\":[{\"n\":1}]}", ""},
        {LISTS, "{\"l\":\"[{\\\"n\\\":1}]\"}", "{\"l\":[{\"n\":1}]}", ""},
        {LISTS, "{ \"l\" : \" [ {\\\"n\\\": 1} ]\\n\" }", "{ \"l\" : [ {\"n\": 1} ] }", ""},
        {LISTS, "{\"l\":[\"{\\\"n\\\":1}\",\"{\\\"n\\\":\\\"2\\\"}\",{\"n\":\"3\"}]}",
         "{\"l\":[{\"n\":1},{\"n\":2},{\"n\":3}]}", ""},
        {LISTS, "{\"l\":\"[{\\\"n\\\":\\\"three\\\"}]\"}", NULL, "/l/0/n"},
        {LISTS, "{\"l\":\"none\"}", NULL, "/l"},
        {LISTS, "{\"l\":\"[1,\"}", NULL, "/l"},
        {LISTS, "{\"l\":\"[] []\"}", NULL, "/l"},
        {LISTS, "{\"l\":\"{}\"}", NULL, "/l"},
        {LISTS, "{\"l\":\"\\\"[]\\\"\"}", NULL, "/l"},
        {LISTS, "{\"l\":\"\"}", NULL, "/l"},
        {"{\"type\":\"boolean\"}", "\"true\"", "true", ""},
        {"{\"type\":\"number\"}", "\"-1.5e3\"", "-1.5e3", ""},
        {"{\"type\":\"integer\"}", "\"1.5\"", NULL, ""},
        {"{\"type\":\"integer\",\"minimum\":5}", "\"4\"", NULL, ""},
        {"{\"enum\":[1,2]}", "\"2\"", "2", ""},
        {"{\"type\":[\"integer\",\"null\"]}", "\"null\"", "null", ""},
        {"{\"type\":[\"string\",\"array\"]}", "\"[1]\"", "\"[1]\"", ""}, /* a string that may be one stays */
        {"{\"type\":\"string\",\"minLength\":3}", "\"12\"", NULL, ""},
        {"{}", "\"{}\"", "\"{}\"", ""},
        {"{\"properties\":{\"a\":{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"object\",\"required\":[\"b\"],"
         "\"properties\":"
         "{\"b\":{\"type\":\"integer\"}}}]}}}",
         "{\"a\":\"{\\\"b\\\":\\\"7\\\"}\"}", "{\"a\":{\"b\":7}}", ""},
        {"{\"anyOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}}},{\"properties\":{\"a\":{\"type\":\"string\"}}}]}",
         "{\"a\":\"7\"}", "{\"a\":\"7\"}", ""},
        {"{\"properties\":{\"a/b~\":{\"type\":\"integer\"}}}", "{\"a/b~\":\"7\"}", "{\"a/b~\":7}", ""},
    };
    static uint64_t memory[1 << 16];
    wfi_heap heap;
    (void)state;
    wfi_heap_init(&heap, memory, sizeof memory);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wf_str value = wfi_str_z(cases[i].value), want = wfi_str_z(cases[i].taken);
        wf_schema_error error;
        char *buf;
        wf_status s = wfi_schema_unquote(&heap, wfi_str_z(cases[i].schema), &value, &buf, &error);
        if (s != (cases[i].taken ? WF_OK : WF_E_SCHEMA) || strcmp(error.path, cases[i].path) != 0)
            fail_msg("%s: %s at '%s': %s", cases[i].value, wf_status_name(s), error.path, error.reason);
        if (cases[i].taken && !wfi_str_eq(value, want)) fail_msg("%s: %.*s", cases[i].value, (int)value.len, value.ptr);
        wfi_heap_free(&heap, buf);
        assert_int_equal(heap.blocks, 0);
    }
}

/* However many strings there are, the work has a bound, and without memory it says so. */
static void test_unquote_is_bounded(void **state) {
    static uint64_t memory[1 << 17];
    static char value[400000];
    wfi_heap heap;
    wf_schema_error error;
    char *buf;
    (void)state;
    for (uint32_t count = 100; count <= 30000; count *= 300) {
        size_t n = (size_t)sprintf(value, "[");
        for (uint32_t i = 0; i < count; i++)
            n += (size_t)sprintf(value + n, "%s\"%u\"", i ? "," : "", i);
        n += (size_t)sprintf(value + n, "]");
        wfi_heap_init(&heap, memory, sizeof memory);
        wf_str v = wf_str_of(value, n);
        wf_status s = wfi_schema_unquote(&heap, WF_STR("{\"items\":{\"type\":\"integer\"}}"), &v, &buf, &error);
        assert_int_equal(s, count == 100 ? WF_OK : WF_E_SCHEMA);
        wfi_heap_free(&heap, buf);
        assert_int_equal(heap.blocks, 0);
    }
    wfi_heap_init(&heap, memory, 1024);
    wf_str v = wf_str_of(value, strlen(value));
    assert_int_equal(wfi_schema_unquote(&heap, WF_STR("{\"items\":{\"type\":\"integer\"}}"), &v, &buf, &error),
                     WF_E_MEMORY);
    assert_null(buf);
}

/* Which names providers take, wherever a property stands; what is no property may be called anything. */
static void test_names(void **state) {
    static const struct {
        const char *schema, *said; /* NULL: they are all good */
    } cases[] = {
        {"{\"properties\":{\"a\":{},\"A-b_c.9\":{}}}", NULL},
        {"{\"properties\":{\"\\u0061\":{}}}", NULL},
        {"{\"properties\":{\"src/a.c\":{}}}",
         "named \"src/a.c\": a name has 1 to 64 letters, digits, _ . and - (in the schema at #/properties/src~1a.c)"},
        {"{\"properties\":{\"na\xc3\xafve\":{}}}", "named \"na\xc3\xafve\""},
        {"{\"properties\":{\"a b\":{}}}", "named \"a b\""},
        {"{\"properties\":{\"\":{}}}", "named \"\""},
        {"{\"properties\":{\"a\\n\":{}}}", "named \"a\\n\""},
        {"{\"properties\":{\"0123456789012345678901234567890123456789012345678901234567890123\":{}}}", NULL},
        {"{\"properties\":{\"01234567890123456789012345678901234567890123456789012345678901234\":{}}}", "0123456789"},
        {"{\"items\":{\"anyOf\":[{\"properties\":{\"ok\":{\"properties\":{\"a:b\":{}}}}}]}}",
         "#/items/anyOf/0/properties/ok/properties/a:b)"},
        {"{\"$defs\":{\"a b\":{\"properties\":{\"x y\":{}}}}}", "named \"x y\""},
        {"{\"$defs\":{\"a b\":{}},\"enum\":[{\"properties\":{\"c d\":1}}],\"default\":{\"properties\":{\"c d\":1}}}",
         NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wf_schema_error error;
        bool good = wfi_schema_names(wfi_str_z(cases[i].schema), &error);
        if (good != !cases[i].said || (cases[i].said && !strstr(error.reason, cases[i].said)))
            fail_msg("%s: %s", cases[i].schema, error.reason);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),     cmocka_unit_test(test_objects),
        cmocka_unit_test(test_arrays),    cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_decimals),  cmocka_unit_test(test_equality),
        cmocka_unit_test(test_branches),  cmocka_unit_test(test_refs),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_limits),    cmocka_unit_test(test_large_reply),
        cmocka_unit_test(test_ignored),   cmocka_unit_test(test_example),
        cmocka_unit_test(test_mutation),  cmocka_unit_test(large_values_are_checked),
        cmocka_unit_test(test_unquote),   cmocka_unit_test(test_unquote_is_bounded),
        cmocka_unit_test(test_names),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
