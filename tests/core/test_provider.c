/* The Messages codec against recorded replies (tests/wire), and what money and odd bodies come to. */
#include "../fake/rig.h"

#include "../../src/core/provider.h"

#define COLUMNS 8

/* Calls `each` for every line that is no comment; its columns are terminated. */
static void each_case(const char *path, size_t columns, void (*each)(char **column)) {
    static char line[65536];
    FILE *file = fopen(path, "r");
    uint32_t n = 0;
    if (!file) fail_msg("%s: run the tests from the project's top folder", path);
    while (fgets(line, sizeof line, file)) {
        char *column[COLUMNS], *at = line;
        if (line[0] == '#') continue;
        line[strcspn(line, "\n")] = 0;
        for (size_t i = 0; i < columns; i++) {
            column[i] = at;
            at += strcspn(at, "\t");
            if (*at) *at++ = 0;
        }
        each(column);
        n++;
    }
    fclose(file);
    assert_true(n > 10);
}

/* Reads a whole JSON body. The slices of *reply are those of `body`. */
static wf_status read_body(wf_str body, wfi_reply *reply) {
    const wfi_codec *c = wfi_messages_codec();
    wfi_reader r;
    c->reader_begin(&r, NULL, SIZE_MAX, false);
    r.body = (wfi_buf){(char *)(uintptr_t)body.ptr, body.len, body.len};
    return c->reader_end(&r, reply);
}

static wfi_stop stop_named(const char *name) {
    static const char *const names[] = {"end_turn", "tool_use", "max_tokens", "pause_turn", "refusal"};
    static const wfi_stop stops[] = {WFI_STOP_END, WFI_STOP_TOOL, WFI_STOP_CUT, WFI_STOP_PAUSE, WFI_STOP_REFUSED};
    for (size_t i = 0; i < 5; i++)
        if (strcmp(names[i], name) == 0) return stops[i];
    return WFI_STOP_OTHER;
}

/* The blocks of a content in the notation of the case file. */
static void describe(wf_str content, char *out, size_t cap) {
    wf_json j;
    wfi_block_view b;
    wf_status s;
    size_t n = 0;
    out[0] = 0;
    wf_json_init(&j, content);
    while ((s = wfi_messages_codec()->block(&j, &b)) == WF_OK && n < cap) {
        const char *comma = n ? "," : "";
        char text[4096];
        if (b.type == WFI_BLOCK_TEXT)
            n += (size_t)snprintf(out + n, cap - n, "%sT%zu", comma, wf_json_unescape(b.text, text));
        else if (b.type == WFI_BLOCK_TOOL)
            n += (size_t)snprintf(out + n, cap - n, "%sU%.*s", comma, (int)b.name.len, b.name.ptr);
        else
            n += (size_t)snprintf(out + n, cap - n, "%sO", comma);
    }
    assert_int_equal(s, WF_END);
    if (n == 0) snprintf(out, cap, "-");
}

static void check_reply(char **column) {
    wfi_reply reply;
    wf_str body = rig_str(column[7]);
    char blocks[512];
    assert_int_equal(read_body(body, &reply), WF_OK);
    assert_int_equal(reply.stop, stop_named(column[1]));
    assert_text(reply.reason, column[1]);
    assert_int_equal(reply.usage.input, strtoull(column[2], NULL, 10));
    assert_int_equal(reply.usage.output, strtoull(column[3], NULL, 10));
    assert_int_equal(reply.usage.cache_read, strtoull(column[4], NULL, 10));
    assert_int_equal(reply.usage.cache_write, strtoull(column[5], NULL, 10));
    assert_int_equal(reply.usage.nano_usd, 0);
    describe(reply.content, blocks, sizeof blocks);
    assert_string_equal(blocks, column[6]);
    assert_true(reply.content.ptr >= body.ptr && reply.content.ptr[0] == '[');
    for (size_t n = 0; n < body.len; n++) { /* a copy of its own, so that a byte too many is seen */
        char *part = malloc(n + 1);
        memcpy(part, body.ptr, n);
        part = realloc(part, n ? n : 1);
        assert_int_equal(read_body(wf_str_of(part, n), &reply), WF_E_SYNTAX);
        free(part);
    }
}

static void test_replies(void **state) {
    (void)state;
    each_case("tests/wire/messages.tsv", 8, check_reply);
}

static void check_error(char **column) {
    wfi_fault fault;
    wfi_messages_codec()->fault(rig_str(column[4]), &fault);
    assert_int_equal(fault.spent, column[2][0] == '1');
    assert_text(fault.message, strcmp(column[3], "-") ? column[3] : "");
}

static void test_errors(void **state) {
    (void)state;
    each_case("tests/wire/errors.tsv", 5, check_error);
}

static void test_money(void **state) {
    static const struct {
        const char *text;
        uint64_t nano;
    } cases[] = {{"0", 0},
                 {"1", 1000000000},
                 {"0.000015", 15000},
                 {"1.5e-3", 1500000},
                 {"2E+1", 20000000000u},
                 {"1e-9", 1},
                 {"1e-10", 1}, /* rounded up: money is never less than was said */
                 {"1.0000000001", 1000000001},
                 {"0.1234567891", 123456790},
                 {"123456789.987654321", 123456789987654321u},
                 {"0.00000000000000000000000000000000000001", 1},
                 {"3.141592653589793238462643383279", 3141592654},
                 {"0.0000000000000000000000000000e30", 0},
                 {"1e30", 0}, /* what does not fit is not believed */
                 {"99999999999999999999999", 0},
                 {"-1", 0},
                 {"\"1\"", 0},
                 {"null", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[200];
        wfi_reply reply;
        snprintf(body, sizeof body, "{\"content\":[],\"usage\":{\"usd\":%s,\"input_tokens\":7}}", cases[i].text);
        assert_int_equal(read_body(rig_str(body), &reply), WF_OK);
        if (reply.usage.nano_usd != cases[i].nano)
            fail_msg("%s: %llu", cases[i].text, (unsigned long long)reply.usage.nano_usd);
        assert_int_equal(reply.usage.input, 7);
    }
}

static void test_odd_replies(void **state) {
    static const struct {
        const char *body;
        wf_status status;
    } cases[] = {{"", WF_E_SYNTAX},
                 {"[]", WF_E_SYNTAX},
                 {"{}", WF_E_SYNTAX},
                 {"null", WF_E_SYNTAX},
                 {"{\"content\":{}}", WF_E_SYNTAX},
                 {"{\"content\":[]} x", WF_E_SYNTAX},
                 {"{\"content\":[],\"usage\":null,\"stop_reason\":null}", WF_OK},
                 {"{\"content\":[],\"usage\":{\"input_tokens\":-3,\"output_tokens\":1.5,\"x\":[{}]}}", WF_OK},
                 {"{\"content\":[],\"usage\":{\"input_tokens\":99999999999999999999}}", WF_OK},
                 {"{\"usage\":[1],\"content\":[]}", WF_OK}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wfi_reply reply;
        assert_int_equal(read_body(rig_str(cases[i].body), &reply), cases[i].status);
        if (cases[i].status != WF_OK) continue;
        assert_int_equal(reply.stop, WFI_STOP_OTHER);
        assert_int_equal(reply.usage.input + reply.usage.output, 0);
    }
}

/* A request over all kinds of items is one valid JSON text, whatever stands next to what. */
static void test_glue(void **state) {
    const wfi_codec *c = wfi_messages_codec();
    (void)state;
    for (uint32_t pattern = 0; pattern < 1u << 6; pattern++) {
        char body[4096];
        size_t n = 0;
        wf_json_out o;
        wf_json j;
        wf_json_token t;
        wfi_joint last = WFI_JOINT_EDGE;
        wf_json_out_init(&o, body, sizeof body);
        wfi_ask ask = {.model = WF_STR("m\"x"), .max_tokens = 5, .effort = rig_str(pattern & 1 ? "high" : "")};
        c->head(&o, &ask);
        n = o.len;
        n += (size_t)sprintf(body + n, "%.*s", (int)c->before_items.len, c->before_items.ptr);
        for (uint32_t i = 0; i <= 6; i++) {
            wfi_joint next = i == 6                       ? WFI_JOINT_EDGE
                             : i == 0 || pattern >> i & 1 ? WFI_JOINT_USER
                                                          : WFI_JOINT_ASSISTANT;
            wf_str glue = c->glue(last, next);
            n += (size_t)sprintf(body + n, "%.*s", (int)glue.len, glue.ptr);
            if (next == WFI_JOINT_USER) {
                wf_json_out_init(&o, body + n, sizeof body - n);
                if (i % 2)
                    c->result_block(&o, wf_str_of("\"id\"" + 1, 2), WF_STR("r\n"), i % 3 == 0);
                else
                    c->text_block(&o, WF_STR("t"));
                assert_true(wf_json_ok(&o));
                n += o.len;
            } else if (next == WFI_JOINT_ASSISTANT) {
                n += (size_t)sprintf(body + n, "[{\"type\":\"text\",\"text\":\"a\"}]");
            }
            last = next;
        }
        wf_json_init(&j, wf_str_of(body, n));
        while ((t = wf_json_next(&j)) != WF_JSON_END)
            if (t == WF_JSON_ERROR) fail_msg("%.*s", (int)n, body);
        wf_str messages;
        assert_true(wf_json_member(wf_str_of(body, n), WF_STR("messages"), &messages));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_replies), cmocka_unit_test(test_errors),
                                       cmocka_unit_test(test_money), cmocka_unit_test(test_odd_replies),
                                       cmocka_unit_test(test_glue)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
