/* Tests of price: the built-in list against figures written down apart from it, tiers and their edges, lists of one's own, what is
 * wrong with a list, and sums that do not fit. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/core/model/price.h"

#include <cmocka.h>

#define NONE WF_STR("")

static wfi_tariff find(wf_str list, const char *model) {
    wfi_tariff t;
    wfi_price_find(list, wfi_str_z(model), &t);
    return t;
}

static uint64_t cost(wf_str list, const char *model, wf_usage usage, uint64_t write_1h) {
    wfi_tariff t = find(list, model);
    assert_true(t.count > 0);
    return wfi_price_of(&t, &usage, write_1h);
}

/* One token of each kind, in nano-USD of a million: the list's own figures again. */
static void built_in_prices(void **state) {
    (void)state;
    static const struct {
        const char *model;
        uint64_t input, output, write_5m, write_1h, read; /* thousandths of a USD per million tokens */
    } rows[] = {
        {"claude-fable-5-2", 8000, 40000, 10000, 16000, 200},   {"claude-fable-5-1", 10000, 50000, 12500, 20000, 250},
        {"claude-mythos-5-1", 10000, 50000, 12500, 20000, 250}, {"claude-fable-5", 10000, 50000, 12500, 20000, 1000},
        {"claude-mythos-5", 10000, 50000, 12500, 20000, 1000},  {"claude-opus-5-5", 4000, 20000, 5000, 8000, 200},
        {"claude-opus-5", 5000, 25000, 6250, 10000, 500},       {"claude-opus-4-8", 5000, 25000, 6250, 10000, 500},
        {"claude-opus-4-7", 5000, 25000, 6250, 10000, 500},     {"claude-opus-4-6", 5000, 25000, 6250, 10000, 500},
        {"claude-opus-4-5", 5000, 25000, 6250, 10000, 500},     {"claude-sonnet-5-5", 2000, 10000, 2500, 4000, 100},
        {"claude-sonnet-5", 2000, 10000, 2500, 4000, 200},      {"claude-sonnet-4-6", 3000, 15000, 3750, 6000, 300},
        {"claude-sonnet-4-5", 3000, 15000, 3750, 6000, 300},    {"claude-haiku-5-5", 100, 500, 125, 200, 10},
        {"claude-haiku-4-5", 1000, 5000, 1250, 2000, 100},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *m = rows[i].model;
        assert_int_equal(cost(NONE, m, (wf_usage){.input = 1000}, 0), rows[i].input * 1000);
        assert_int_equal(cost(NONE, m, (wf_usage){.output = 1000}, 0), rows[i].output * 1000);
        assert_int_equal(cost(NONE, m, (wf_usage){.cache_write = 1000}, 0), rows[i].write_5m * 1000);
        assert_int_equal(cost(NONE, m, (wf_usage){.cache_write = 1000}, 1000), rows[i].write_1h * 1000);
        assert_int_equal(cost(NONE, m, (wf_usage){.cache_write = 1000}, 1001), rows[i].write_1h * 1000);
        assert_int_equal(cost(NONE, m, (wf_usage){.cache_read = 1000}, 0), rows[i].read * 1000);
    }
}

/* The worked examples of the price survey. */
static void worked_examples(void **state) {
    (void)state;
    assert_int_equal(cost(NONE, "claude-opus-5-5",
                          (wf_usage){.input = 1000, .cache_write = 2000, .cache_read = 50000, .output = 800}, 0),
                     40000000);
    assert_int_equal(cost(NONE, "claude-haiku-5-5", (wf_usage){.input = 90000, .cache_read = 20000, .output = 1000}, 0),
                     48500000);
    assert_int_equal(cost(NONE, "claude-sonnet-5-5", (wf_usage){.input = 10000, .output = 2000}, 0), 40000000);
    assert_int_equal(
        cost(NONE, "claude-fable-5-2", (wf_usage){.cache_write = 100000, .cache_read = 400000, .output = 5000}, 100000),
        1880000000);
}

static void names(void **state) {
    (void)state;
    static const char *const known[] = {"claude-haiku-4-5", "claude-haiku-4-5-20251001", "claude-opus-4-5-20251101"};
    static const char *const unknown[] = {"",
                                          "claude-mythos-5-2",
                                          "claude-mythos-preview",
                                          "claude-haiku-4",
                                          "claude-haiku-4-5-2025100",
                                          "claude-haiku-4-5-202510011",
                                          "claude-haiku-4-5-2025100x",
                                          "claude-haiku-4-5x20251001",
                                          "claude-haiku-4-5-20251001-20251001",
                                          "-20251001",
                                          "20251001",
                                          "anthropic.claude-haiku-4-5",
                                          "CLAUDE-HAIKU-4-5"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_true(wf_prices_known(NONE, wfi_str_z(known[i])));
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_false(wf_prices_known(NONE, wfi_str_z(unknown[i])));
}

/* The whole request has the price of its size: prompt tokens of every kind count, the reply's do not. */
static void tiers(void **state) {
    (void)state;
    const char *m = "claude-haiku-5-5";
    assert_int_equal(cost(NONE, m, (wf_usage){.input = 100000, .output = 1000000}, 0), 10000000 + 500000000);
    assert_int_equal(cost(NONE, m, (wf_usage){.input = 100001, .output = 1000000}, 0), 50000500 + UINT64_C(2500000000));
    assert_int_equal(cost(NONE, m, (wf_usage){.input = 1, .cache_read = 50000, .cache_write = 50000}, 50000),
                     500 + 2500000 + 50000000);
    assert_int_equal(cost(NONE, m, (wf_usage){.cache_read = 50000, .cache_write = 50000}, 50000), 500000 + 10000000);
}

#define TARIFF(model, above, in)                                                                                       \
    "{\"model\":\"" model "\"" above ",\"input\":" in ",\"output\":2,\"write_5m\":3,\"write_1h\":4,\"read\":5}\n"

static void own_list(void **state) {
    (void)state;
    wf_str list = WF_STR("# mine\n\n  # indented\r\n" TARIFF("mine", "", "1") TARIFF("mine", "", "1.5")
                             TARIFF("claude-haiku-5-5", "", "7") TARIFF("claude-haiku-4-5", "", "8")
                                 TARIFF("claude-haiku-4-5-20251001", "", "9") TARIFF("esc\\u0061ped", "", "1"));
    assert_int_equal(wf_prices_check(list, NULL), WF_OK);
    assert_int_equal(cost(list, "mine", (wf_usage){.input = 2}, 0), 3000); /* later lines win */
    assert_int_equal(cost(list, "mine-20270101", (wf_usage){.input = 2}, 0), 3000);
    assert_int_equal(find(list, "claude-haiku-5-5").count, 1); /* no tier of the built-in list is left */
    assert_int_equal(cost(list, "claude-haiku-5-5", (wf_usage){.input = 1000000}, 0), UINT64_C(7000000000));
    assert_int_equal(cost(list, "claude-haiku-4-5-20251001", (wf_usage){.input = 1}, 0), 9000);
    assert_int_equal(cost(list, "claude-haiku-4-5-20260101", (wf_usage){.input = 1}, 0), 8000);
    assert_int_equal(cost(list, "claude-opus-5", (wf_usage){.input = 1}, 0), 5000);
    assert_true(wf_prices_known(list, WF_STR("escaped")));
    wf_str cut = WF_STR(TARIFF("mine", "", "1") "{\"model\":\"mine\",\"input\":2");
    assert_int_equal(cost(cut, "mine", (wf_usage){.input = 1}, 0), 1000); /* what is no line is passed over */
}

static void wrong_lists(void **state) {
    (void)state;
    static const struct {
        const char *list;
        uint64_t line;
    } cases[] = {
        {"{", 1},
        {"[]", 1},
        {"# fine\n\n7\n", 3},
        {"{}", 1},
        {TARIFF("a", "", "1") TARIFF("a", "", "-1"), 2},
        {TARIFF("a", "", "\"1\""), 1},
        {TARIFF("a", "", "null"), 1},
        {TARIFF("a", "", "1000000.1"), 1},
        {TARIFF("a", "", "1e999"), 1},
        {TARIFF("", "", "1"), 1},
        {TARIFF("a", ",\"above\":1.5", "1"), 1},
        {TARIFF("a", ",\"above\":-1", "1"), 1},
        {TARIFF("a", ",\"abvoe\":1", "1"), 1},
        {TARIFF("a", ",\"source\":1", "1"), 1},
        {TARIFF("a", ",\"output\":[1]", "1"), 1},
        {"{\"model\":\"a\",\"input\":1,\"output\":2,\"write_5m\":3,\"write_1h\":4}", 1},
        {"{\"input\":1,\"output\":2,\"write_5m\":3,\"write_1h\":4,\"read\":5}", 1},
        {TARIFF("a", "", "1") "{\"model\":\"a\"} x", 2},
        {TARIFF("b", "", "1") TARIFF("a", ",\"above\":1", "1"), 2},
        {TARIFF("a", "", "1") TARIFF("a", ",\"above\":1", "1") TARIFF("a", ",\"above\":2", "1")
             TARIFF("a", ",\"above\":3", "1") TARIFF("a", ",\"above\":4", "1"),
         2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wf_error error = {WF_OK, NULL, 0};
        if (wf_prices_check(wfi_str_z(cases[i].list), &error) != WF_E_SYNTAX || error.offset != cases[i].line)
            fail_msg("%s: %s, line %llu", cases[i].list, error.text, (unsigned long long)error.offset);
        assert_int_equal(error.code, WF_E_SYNTAX);
        assert_true(strlen(error.text) > 10);
    }
    /* Too many sizes, or none for small requests: not known, rather than wrong. */
    assert_false(wf_prices_known(wfi_str_z(cases[18].list), WF_STR("a")));
    assert_true(wf_prices_known(wfi_str_z(cases[18].list), WF_STR("b")));
    assert_false(wf_prices_known(wfi_str_z(cases[19].list), WF_STR("a")));
    assert_int_equal(wf_prices_check(NONE, NULL), WF_OK);
    assert_int_equal(wf_prices_check(WF_STR("# only\n#this"), NULL), WF_OK);
    assert_int_equal(wf_prices_check(WF_STR(TARIFF("a", "", "1000000")), NULL), WF_OK);
}

/* Every model of every vendor: reading it must not take the square of its length. */
static void long_list(void **state) {
    enum { LINES = 4000, LINE = 100 };
    (void)state;
    char *text = malloc(LINES * LINE);
    size_t len = 0;
    for (int i = 0; i < LINES; i++)
        len += (size_t)snprintf(text + len, LINE, TARIFF("model-%d", "", "1"), i);
    clock_t began = clock();
    assert_int_equal(wf_prices_check(wf_str_of(text, len), NULL), WF_OK);
    assert_true(clock() - began < CLOCKS_PER_SEC);
    free(text);
}

static void sums(void **state) {
    (void)state;
    wf_str list = WF_STR(TARIFF("big", "", "1000000") TARIFF("small", "", "0.0001") TARIFF("free", "", "0") TARIFF(
        "three", "", "1") TARIFF("three", ",\"above\":10", "9") TARIFF("three", ",\"above\":20", "0"));
    assert_int_equal(cost(list, "small", (wf_usage){.input = 1}, 0), 1); /* 100 pico-USD, rounded up */
    assert_int_equal(cost(list, "small", (wf_usage){.input = 10}, 0), 1);
    assert_int_equal(cost(list, "small", (wf_usage){.input = 11}, 0), 2);
    assert_int_equal(cost(list, "free", (wf_usage){.input = UINT64_MAX}, 0), 0);
    assert_int_equal(cost(list, "big", (wf_usage){.input = UINT64_MAX}, 0), UINT64_MAX / 1000 + 1);
    assert_int_equal(cost(list, "big", (wf_usage){.input = UINT64_MAX, .cache_read = 9, .output = UINT64_MAX}, 0),
                     UINT64_MAX / 1000 + 1);
    wfi_tariff t = find(list, "three");
    assert_int_equal(t.count, 3);
    assert_int_equal(wfi_price_worst(&t, 10, 0), 10 * 5000); /* its dearest kind of input is a cache read */
    assert_int_equal(wfi_price_worst(&t, 11, 1), 11 * 9000 + 2000);
    assert_int_equal(wfi_price_worst(&t, 20, 0), 20 * 9000);
    assert_int_equal(wfi_price_worst(&t, 21, 0), 20 * 9000); /* beyond 20 it is cheaper: 20 cost more than 21 */
    assert_int_equal(wfi_price_worst(&t, 1000, 0), 1000 * 5000);
    wfi_tariff unknown = find(list, "unknown");
    assert_int_equal(unknown.count, 0);
    assert_int_equal(wfi_price_worst(&unknown, 10, 10), 0);
    assert_int_equal(wfi_price_of(&unknown, &(wf_usage){.input = 5}, 0), 0);
}

static void cost_for_everybody(void **state) {
    (void)state;
    uint64_t nano = 1;
    const wf_usage usage = {.input = 1000, .output = 10, .cache_write = 100};
    assert_true(wf_prices_cost(NONE, WF_STR("claude-sonnet-5-5"), &usage, &nano));
    assert_int_equal(nano, 1000 * 2000 + 10 * 10000 + 100 * 2500);
    assert_false(wf_prices_cost(NONE, WF_STR("nobody's"), &usage, &nano));
    assert_int_equal(nano, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_in_prices),
        cmocka_unit_test(worked_examples),
        cmocka_unit_test(names),
        cmocka_unit_test(tiers),
        cmocka_unit_test(own_list),
        cmocka_unit_test(wrong_lists),
        cmocka_unit_test(long_list),
        cmocka_unit_test(sums),
        cmocka_unit_test(cost_for_everybody),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
