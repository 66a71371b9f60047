/* JSON, JSON Schema as an embedder uses them: basics and edges of the public functions. The grammar in full is the business of
 * tests/core. */
#include "harness.h"

static void test_reader(void **state) {
    const wf_str text = WF_STR(" {\"a\": [1, -2.5e3, true, null], \"b\\u0021\": \"x\\ny\"} ");
    const wf_json_token want[] = {WF_JSON_OBJECT,     WF_JSON_KEY,  WF_JSON_ARRAY,     WF_JSON_NUMBER, WF_JSON_NUMBER,
                                  WF_JSON_TRUE,       WF_JSON_NULL, WF_JSON_ARRAY_END, WF_JSON_KEY,    WF_JSON_STRING,
                                  WF_JSON_OBJECT_END, WF_JSON_END,  WF_JSON_END};
    wf_json j;
    (void)state;
    wf_json_init(&j, text);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_int_equal(wf_json_next(&j), want[i]);
        if (i == 4) world_same(j.raw, "-2.5e3");
        if (i == 8) assert_true(j.escaped && wf_json_equals(j.raw, WF_STR("b!")));
        if (i == 9) {
            char out[8];
            size_t n = wf_json_unescape(j.raw, out);
            world_same(wf_str_of(out, n), "x\ny");
        }
    }
}

static void test_reader_refuses(void **state) {
    static const char *const bad[] = {"",       "{",       "[1,]",     "{\"a\":}",  "01",    "1 2", "nul",
                                      "\"\t\"", "\"\\x\"", "\"\xff\"", "[",         "{1:2}", "-",   "\"",
                                      "1e",     "'a'",     "[1 2]",    "{\"a\" 1}", "]",     "+1",  ".5"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wf_json j;
        wf_json_token t;
        wf_json_init(&j, wf_str_of(bad[i], strlen(bad[i])));
        while ((t = wf_json_next(&j)) != WF_JSON_ERROR)
            assert_int_not_equal(t, WF_JSON_END);
        assert_true(j.error.code < 0 && j.error.offset <= strlen(bad[i]));
        assert_int_equal(wf_json_next(&j), WF_JSON_ERROR); /* and stays there */
    }
}

static void test_depth(void **state) {
    char text[2 * (WF_JSON_DEPTH + 1)];
    (void)state;
    for (size_t depth = WF_JSON_DEPTH; depth <= WF_JSON_DEPTH + 1; depth++) {
        wf_json j;
        wf_json_token t;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        wf_json_init(&j, wf_str_of(text, 2 * depth));
        do
            t = wf_json_next(&j);
        while (t != WF_JSON_END && t != WF_JSON_ERROR);
        assert_int_equal(t, depth <= WF_JSON_DEPTH ? WF_JSON_END : WF_JSON_ERROR);
    }
}

static void test_members(void **state) {
    const wf_str object =
        WF_STR("{\"n\":18446744073709551615,\"m\":-1,\"s\":\"a\\\"b\",\"t\":true,\"o\":{\"x\": [1]},\"n2\":1,"
               "\"n2\":2,\"f\":1.5}");
    wf_str v;
    uint64_t n;
    bool b;
    (void)state;
    assert_true(wf_json_member_u64(object, WF_STR("n"), &n) && n == UINT64_MAX);
    assert_true(wf_json_member_u64(object, WF_STR("n2"), &n) && n == 2);
    assert_false(wf_json_member_u64(object, WF_STR("m"), &n));
    assert_false(wf_json_member_u64(object, WF_STR("f"), &n));
    assert_false(wf_json_member_u64(object, WF_STR("s"), &n));
    assert_true(wf_json_member_str(object, WF_STR("s"), &v));
    world_same(v, "a\\\"b");
    assert_true(wf_json_member_bool(object, WF_STR("t"), &b) && b);
    assert_true(wf_json_member(object, WF_STR("o"), &v));
    world_same(v, "{\"x\": [1]}");
    assert_false(wf_json_member(object, WF_STR("x"), &v)); /* only its own members */
    assert_false(wf_json_member(WF_STR("[]"), WF_STR("o"), &v));
    assert_false(wf_json_member(WF_STR("{\"o\":"), WF_STR("o"), &v));
}

static void write_sample(wf_json_out *o) {
    wf_json_begin(o, true);
    wf_json_key(o, WF_STR("list"));
    wf_json_begin(o, false);
    wf_json_u64(o, UINT64_MAX);
    wf_json_i64(o, INT64_MIN);
    wf_json_bool(o, false);
    wf_json_null(o);
    wf_json_raw(o, WF_STR("1.50"));
    wf_json_finish(o);
    wf_json_key(o, WF_STR("q\""));
    wf_json_str(o, WF_STR("\x01\xff\\\xc3\xa9"));
    wf_json_finish(o);
}

static void test_writer(void **state) {
    const char want[] = "{\"list\":[18446744073709551615,-9223372036854775808,false,null,1.50],"
                        "\"q\\\"\":\"\\u0001\xef\xbf\xbd\\\\\xc3\xa9\"}";
    char buf[sizeof want];
    wf_json_out o;
    (void)state;
    for (size_t cap = 0; cap < sizeof want; cap++) {
        memset(buf, '#', sizeof buf);
        wf_json_out_init(&o, buf, cap);
        write_sample(&o);
        assert_int_equal(o.len, sizeof want - 1);
        assert_int_equal(wf_json_ok(&o), cap >= sizeof want - 1);
        assert_true(buf[cap] == '#'); /* never past cap */
    }
    assert_memory_equal(buf, want, sizeof want - 1);
    wf_json_out_init(&o, NULL, 0); /* to measure */
    write_sample(&o);
    assert_int_equal(o.len, sizeof want - 1);
}

static void test_writer_misuse(void **state) {
    char buf[64];
    wf_json_out o;
    (void)state;
    wf_json_out_init(&o, buf, sizeof buf);
    wf_json_begin(&o, true);
    assert_false(wf_json_ok(&o)); /* open */
    wf_json_null(&o);             /* a value without a key */
    wf_json_finish(&o);
    assert_true(o.bad && !wf_json_ok(&o));
    wf_json_out_init(&o, buf, sizeof buf);
    wf_json_finish(&o);
    assert_false(wf_json_ok(&o));
}

#define SCHEMA                                                                                                         \
    "{\"type\":\"object\",\"properties\":{\"list\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/n\"},"            \
    "\"maxItems\":2}},\"required\":[\"list\"],\"additionalProperties\":false,"                                         \
    "\"$defs\":{\"n\":{\"type\":\"integer\",\"minimum\":1}}}"

static void test_schema_check(void **state) {
    static const struct {
        const char *value, *path;
        wf_status status;
    } cases[] = {
        {"{\"list\":[1,2]}", "", WF_OK},
        {"{\"list\":[]}", "", WF_OK},
        {"{\"list\":[1,0]}", "/list/1", WF_E_SCHEMA},
        {"{\"list\":[1.5]}", "/list/0", WF_E_SCHEMA},
        {"{\"list\":[1,2,3]}", "/list", WF_E_SCHEMA},
        {"{\"list\":\"1\"}", "/list", WF_E_SCHEMA},
        {"{}", "", WF_E_SCHEMA},
        {"[]", "", WF_E_SCHEMA},
        {"{\"list\":[1", NULL, WF_E_SYNTAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wf_schema_error e;
        memset(&e, 0, sizeof e);
        wf_str value = wf_str_of(cases[i].value, strlen(cases[i].value));
        assert_int_equal(wf_schema_check(WF_STR(SCHEMA), value, &e), cases[i].status);
        if (cases[i].status != WF_E_SCHEMA) continue;
        assert_string_equal(e.path, cases[i].path);
        assert_true(strlen(e.reason) > 0);
    }
    wf_schema_error e;
    assert_int_equal(wf_schema_check(WF_STR("{\"type\":\"objekt\"}"), WF_STR("1"), &e), WF_E_SYNTAX);
    assert_int_equal(wf_schema_check(WF_STR("true"), WF_STR("1"), &e), WF_OK);
}

static void test_schema_help(void **state) {
    char out[256];
    wf_schema_error e;
    (void)state;
    size_t n = wf_schema_example(WF_STR(SCHEMA), out, sizeof out);
    assert_true(n > 0 && n <= sizeof out);
    assert_int_equal(wf_schema_check(WF_STR(SCHEMA), wf_str_of(out, n), &e), WF_OK);
    assert_int_equal(wf_schema_example(WF_STR("false"), out, sizeof out), 0);
    assert_int_equal(wf_schema_ignored(WF_STR(SCHEMA), out, sizeof out), 0);
    assert_string_equal(out, "");
    assert_int_equal(wf_schema_ignored(WF_STR("{\"pattern\":\"a\",\"uniqueItems\":true}"), out, sizeof out), 2);
    assert_non_null(strstr(out, "pattern"));
    assert_non_null(strstr(out, "uniqueItems"));
    assert_int_equal(wf_schema_ignored(WF_STR("{\"pattern\":\"a\",\"uniqueItems\":true}"), out, 4), 2);
    assert_true(strlen(out) < 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader),       cmocka_unit_test(test_reader_refuses),
        cmocka_unit_test(test_depth),        cmocka_unit_test(test_members),
        cmocka_unit_test(test_writer),       cmocka_unit_test(test_writer_misuse),
        cmocka_unit_test(test_schema_check), cmocka_unit_test(test_schema_help),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
