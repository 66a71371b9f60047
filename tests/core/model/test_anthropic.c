/* The Messages codec against recorded replies (tests/wire), and what money and odd bodies come to. */
#include "tests/fake/rig.h"

#include "src/core/model/known.h"
#include "src/core/model/anthropic.h"

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
    const wfi_codec *c = wfi_anthropic_codec();
    wfi_reader r;
    c->reader_begin(&r, NULL, SIZE_MAX, false);
    r.body = (wfi_buf){(char *)(uintptr_t)body.ptr, body.len, body.len};
    return c->reader_end(&r, true, reply);
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
    while ((s = wfi_anthropic_codec()->block(&j, &b)) == WF_OK && n < cap) {
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
    wfi_anthropic_codec()->fault(rig_str(column[4]), &fault);
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
                 {"{\"error\":{\"message\":\"no\"}}", WF_E_IO},
                 {"{\"type\":\"error\",\"error\":\"no\"}", WF_E_IO},
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
        assert_int_equal(reply.stop, WFI_STOP_END);
        assert_int_equal(reply.usage.input + reply.usage.output, 0);
    }
}

/* A request over all kinds of items is one valid JSON text, whatever stands next to what. */
static void test_glue(void **state) {
    const wfi_codec *c = wfi_anthropic_codec();
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
                    c->result_block(&o, wf_str_of(&"\"id\""[1], 2), WF_STR("r\n"), i % 3 == 0);
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

/* The head of a request, closed. */
static const char *head_of(const wfi_ask *ask) {
    static char buf[1024];
    wf_json_out o;
    wf_json_out_init(&o, buf, sizeof buf - 1);
    wfi_anthropic_codec()->head(&o, ask);
    wf_json_finish(&o);
    assert_true(wf_json_ok(&o));
    buf[o.len] = 0;
    return buf;
}

#define MARK          "\"cache_control\":{\"type\":\"ephemeral\"}"
#define MARKED_END    "," MARK "}]"
#define ADAPTIVE      "\"thinking\":{\"type\":\"adaptive\"},"
#define BUDGET(n)     "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":" #n "},"
#define EFFORT(e)     "\"output_config\":{\"effort\":\"" e "\"},"
#define ERROR_TEXT(t) "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"" t "\"}}"
#define FORCED        "\"tool_choice\":{\"type\":\"tool\",\"name\":\"result\"},"

static void test_head(void **state) {
    static const struct {
        const char *model, *effort;
        uint32_t max_tokens;
        bool stream, force;
        const char *sent, *rest; /* max_tokens as a text; what follows */
    } cases[] = {{"claude-opus-5-5", "", 100, false, false, "100", ""},
                 {"claude-opus-5-5", "", 100, true, true, "100", "\"stream\":true,"}, /* thinks always: is not forced */
                 {"claude-opus-5-5", "max", 200000, false, true, "128000", ADAPTIVE EFFORT("max")},
                 {"claude-sonnet-5-5", "low", 128001, false, false, "128000", ADAPTIVE EFFORT("low")},
                 {"claude-sonnet-5-5", "low", 100, false, true, "100", ADAPTIVE EFFORT("low")},
                 {"claude-sonnet-5-5", "", 100, false, true, "100", FORCED},
                 {"claude-haiku-4-5", "", 70000, true, true, "64000", "\"stream\":true," FORCED},
                 {"claude-haiku-4-5", "low", 16000, false, true, "16000", FORCED},
                 {"claude-haiku-4-5", "medium", 16000, false, true, "16000", BUDGET(4096)},
                 {"claude-haiku-4-5-20251001", "high", 16384, false, false, "16384", BUDGET(8192)},
                 {"claude-haiku-4-5", "xhigh", 64000, false, false, "64000", BUDGET(16384)},
                 {"claude-haiku-4-5", "max", 99999, false, false, "64000", BUDGET(32000)},
                 {"claude-haiku-4-5", "max", 16000, false, false, "16000", BUDGET(8000)},
                 {"claude-haiku-4-5", "high", 2048, false, false, "2048", BUDGET(1024)},
                 {"claude-haiku-4-5", "high", 2047, false, true, "2047", FORCED},
                 {"claude-haiku-4-5", "extreme", 16000, false, false, "16000", ""},
                 {"claude-next-9", "high", 4000000000u, false, true, "4000000000", EFFORT("high") FORCED},
                 {"local-7b", "", 100, false, true, "100", FORCED},
                 {"gpt\"", "a\"b", 1, false, false, "1", EFFORT("a\\\"b")}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char want[1024], model[100];
        wfi_ask ask = {.model = rig_str(cases[i].model),
                       .effort = rig_str(cases[i].effort),
                       .max_tokens = cases[i].max_tokens,
                       .stream = cases[i].stream,
                       .force = rig_str(cases[i].force ? "result" : "")};
        snprintf(model, sizeof model, "%s", strcmp(cases[i].model, "gpt\"") ? cases[i].model : "gpt\\\"");
        snprintf(want, sizeof want, "{\"model\":\"%s\",\"max_tokens\":%s,%s" MARK "}", model, cases[i].sent,
                 cases[i].rest);
        assert_string_equal(head_of(&ask), want);
    }
}

/* What is left out is left out, and what is there is told. */
static void test_head_without_extras(void **state) {
    (void)state;
    for (uint32_t without = 0; without < 16; without++) {
        wfi_ask ask = {.model = WF_STR("claude-sonnet-5-5"),
                       .effort = WF_STR("high"),
                       .max_tokens = 9,
                       .force = WF_STR("result"),
                       .without = without};
        char buf[512], want[512];
        wf_json_out o;
        wf_json_out_init(&o, buf, sizeof buf);
        uint32_t extras = wfi_anthropic_codec()->head(&o, &ask);
        wf_json_finish(&o);
        bool thinks = !(without & WFI_EXTRA_THINKING), forced = !thinks && !(without & WFI_EXTRA_FORCE);
        bool effort = !(without & WFI_EXTRA_EFFORT), mark = !(without & WFI_EXTRA_CACHE);
        snprintf(want, sizeof want, "{\"model\":\"claude-sonnet-5-5\",\"max_tokens\":9%s%s%s%s}",
                 thinks ? ",\"thinking\":{\"type\":\"adaptive\"}" : "",
                 effort ? ",\"output_config\":{\"effort\":\"high\"}" : "",
                 forced ? ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"result\"}" : "", mark ? "," MARK : "");
        assert_text(wf_str_of(buf, o.len), want);
        assert_int_equal(extras, (thinks ? WFI_EXTRA_THINKING : 0) | (effort ? WFI_EXTRA_EFFORT : 0) |
                                     (forced ? WFI_EXTRA_FORCE : 0) | (mark ? WFI_EXTRA_CACHE : 0));
    }
}

/* What a refusal is about, in the words of several servers. */
static void test_what_is_refused(void **state) {
    static const struct {
        const char *body;
        uint32_t extras;
        const char *hint; /* a part of it */
    } cases[] = {
        {ERROR_TEXT("cache_control: Extra inputs are not permitted"), WFI_EXTRA_CACHE, ""},
        {ERROR_TEXT("system.0.cache_control: Extra inputs are not permitted"), WFI_EXTRA_CACHE, ""},
        {ERROR_TEXT("tools.2.cache_control.ttl: no"), WFI_EXTRA_CACHE, ""},
        {"{\"detail\":[{\"loc\":[\"body\",\"system\",0,\"cache_control\"],\"msg\":\"extra fields not permitted\"}]}",
         WFI_EXTRA_CACHE, ""},
        {"{\"error\":{\"message\":\"Unknown parameter\",\"param\":\"tool_choice\"}}", WFI_EXTRA_FORCE, ""},
        {ERROR_TEXT("Thinking may not be enabled when tool_choice forces tool use."),
         WFI_EXTRA_FORCE | WFI_EXTRA_THINKING, ""},
        {ERROR_TEXT("output_config.effort: unknown"), WFI_EXTRA_EFFORT, ""},
        {ERROR_TEXT("This model does not support the effort parameter."), WFI_EXTRA_EFFORT, ""},
        {ERROR_TEXT("does not support parameters: ['thinking']"), WFI_EXTRA_THINKING, ""},
        {ERROR_TEXT("messages.1.content.0: Invalid signature in thinking block"), 0, ""},
        {ERROR_TEXT("my_cache_control and rethinking"), 0, ""},
        {ERROR_TEXT("prompt is too long, thinking included"), 0, ""},
        {"Bad Request: cache_control", WFI_EXTRA_CACHE, ""},
        {"", 0, ""},
        {ERROR_TEXT("anthropic-version: not supported"), 0, "WF_ANTHROPIC_VERSION"},
        {ERROR_TEXT("'2026-10-21' is not a valid version"), 0, "WF_ANTHROPIC_VERSION"},
        {ERROR_TEXT("Unexpected value(s) `x` for the `anthropic-beta` header"), 0, "ANTHROPIC_BETAS"},
        {ERROR_TEXT("model version too old"), 0, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wfi_fault fault;
        wfi_anthropic_codec()->fault(rig_str(cases[i].body), &fault);
        if (fault.extras != cases[i].extras) fail_msg("%s: %u", cases[i].body, fault.extras);
        if (cases[i].hint[0] ? !strstr(fault.hint, cases[i].hint) : fault.hint[0] != 0)
            fail_msg("%s: %s", cases[i].body, fault.hint);
    }
    assert_string_equal(wfi_anthropic_codec()->extra(WFI_EXTRA_EFFORT), "output_config");
}

static void test_models(void **state) {
    static const struct {
        const char *name;
        wfi_thinking thinking;
        uint32_t max_output;
    } cases[] = {{"claude-fable-5-2", WFI_THINKING_ALWAYS, 128000},
                 {"claude-fable-5-1", WFI_THINKING_ALWAYS, 128000},
                 {"claude-opus-5-5-20260922", WFI_THINKING_ALWAYS, 128000},
                 {"anthropic.claude-opus-5-5", WFI_THINKING_ALWAYS, 128000},
                 {"us.anthropic.claude-opus-5-5-v1:0", WFI_THINKING_ALWAYS, 128000},
                 {"global.anthropic.claude-haiku-4-5-20251001-v1:0", WFI_THINKING_MANUAL, 64000},
                 {"arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0",
                  WFI_THINKING_MANUAL, 64000},
                 {"anthropic/claude-haiku-4-5", WFI_THINKING_MANUAL, 64000},
                 {"claude-haiku-4-5@20251001", WFI_THINKING_MANUAL, 64000},
                 {"claude-opus-5", WFI_THINKING_ADAPTIVE, 128000},
                 {"claude-sonnet-5-5", WFI_THINKING_ADAPTIVE, 128000},
                 {"claude-opus-5-6", WFI_THINKING_UNKNOWN, 0},
                 {"claude-mythos-5-2", WFI_THINKING_UNKNOWN, 0},
                 {"my-claude-haiku-4-5", WFI_THINKING_UNKNOWN, 0},
                 {"claude-haiku-4-5-2025100", WFI_THINKING_UNKNOWN, 0},
                 {"claude-haiku-4-5-2025100x", WFI_THINKING_UNKNOWN, 0},
                 {"claude-", WFI_THINKING_UNKNOWN, 0},
                 {"-20251001", WFI_THINKING_UNKNOWN, 0},
                 {"@", WFI_THINKING_UNKNOWN, 0},
                 {"", WFI_THINKING_UNKNOWN, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n = strlen(cases[i].name);
        char *name = malloc(n + (n == 0)); /* of its own, so that a byte too many is seen */
        memcpy(name, cases[i].name, n);
        wfi_model m = wfi_model_find(wf_str_of(name, n));
        if (m.thinking != cases[i].thinking || m.max_output != cases[i].max_output) fail_msg("%s", cases[i].name);
        free(name);
    }
}

static const char *written(wf_json_out *o) {
    assert_true(wf_json_ok(o));
    o->buf[o->len] = 0;
    return o->buf;
}

static void test_parts(void **state) {
    const wfi_codec *c = wfi_anthropic_codec();
    char buf[512];
    wf_json_out o;
    wf_tool tool = {.name = WF_STR("n"), .description = WF_STR("d\n"), .input_schema = WF_STR("{\"type\":\"object\"}")};
    (void)state;
    wf_json_out_init(&o, buf, sizeof buf - 1);
    c->system(&o, WF_STR("be \"brief\""));
    assert_string_equal(written(&o), "[{\"type\":\"text\",\"text\":\"be \\\"brief\\\"\"," MARK "}]");
    assert_text(wf_str_of(buf + o.len - c->marked.len, c->marked.len), MARKED_END);
    assert_text(c->marked, MARKED_END);
    assert_text(c->unmarked, "}]");
    for (int last = 0; last < 2; last++) {
        wf_json_out_init(&o, buf, sizeof buf - 1);
        c->tool(&o, &tool, last);
        assert_string_equal(written(&o), last ? "{\"name\":\"n\",\"description\":\"d\\n\",\"input_schema\":{\"type\":"
                                                "\"object\"}," MARK "}"
                                              : "{\"name\":\"n\",\"description\":\"d\\n\",\"input_schema\":{\"type\":"
                                                "\"object\"}}");
    }
}

static void test_server_tools(void **state) {
    static const char *const good[] = {"web_search_20260318", "web_fetch_20250910", "code_execution_20260521",
                                       "tool_search_tool_regex_20251119", "tool_search_tool_bm25_20251119"};
    static const char *const bad[] = {"",
                                      "_20260318",
                                      "20260318",
                                      "web_search",
                                      "web_search_",
                                      "web_search_2026031",
                                      "web_search_202603180",
                                      "web_search_2026031x",
                                      "web_search20260318",
                                      "web_searches_20260318",
                                      "bash_20250124",
                                      "Web_search_20260318"};
    const wfi_codec *c = wfi_anthropic_codec();
    char buf[512], want[512];
    wf_json_out o;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        for (int last = 0; last < 2; last++) {
            wf_json_out_init(&o, buf, sizeof buf - 1);
            assert_true(c->server_tool(&o, rig_str(good[i]), last));
            snprintf(want, sizeof want, "{\"type\":\"%s\",\"name\":\"%.*s\"%s}", good[i], (int)strlen(good[i]) - 9,
                     good[i], last ? "," MARK : "");
            assert_string_equal(written(&o), want);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        wf_json_out_init(&o, buf, sizeof buf - 1);
        assert_false(c->server_tool(&o, rig_str(bad[i]), true));
        assert_int_equal(o.len, 0);
    }
}

#define ERROR_BODY(type, message, more)                                                                                \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"" more                            \
    "},\"request_id\":\"req_1\"}"

static void test_faults(void **state) {
    static const struct {
        const char *body, *type, *code;
        bool spent, context;
        uint32_t status;
    } cases[] = {
        {ERROR_BODY("overloaded_error", "m", ""), "overloaded_error", "", false, false, 529},
        {ERROR_BODY("api_error", "m", ""), "api_error", "", false, false, 500},
        {ERROR_BODY("timeout_error", "m", ""), "timeout_error", "", false, false, 504},
        {ERROR_BODY("rate_limit_error", "m", ""), "rate_limit_error", "", false, false, 429},
        {ERROR_BODY("rate_limit_error", "m", ",\"details\":{\"error_code\":\"ramp_limit_exceeded\"}"),
         "rate_limit_error", "ramp_limit_exceeded", true, false, 429},
        {ERROR_BODY("billing_error", "m", ",\"details\":null"), "billing_error", "", false, false, 402},
        {ERROR_BODY("authentication_error", "m", ""), "authentication_error", "", false, false, 401},
        {ERROR_BODY("permission_error", "m", ""), "permission_error", "", false, false, 403},
        {ERROR_BODY("not_found_error", "m", ""), "not_found_error", "", false, false, 404},
        {ERROR_BODY("conflict_error", "m", ""), "conflict_error", "", false, false, 409},
        {ERROR_BODY("invalid_request_error", "Your Credit balance is too low to go on.", ""), "invalid_request_error",
         "", true, false, 400},
        {ERROR_BODY("invalid_request_error", "You have reached your specified API usage limits.", ""),
         "invalid_request_error", "", true, false, 400},
        {ERROR_BODY("api_error", "credit balance is too low", ""), "api_error", "", false, false, 500},
        {ERROR_BODY("request_too_large", "m", ""), "request_too_large", "", false, true, 413},
        {ERROR_BODY("x", "m", ",\"details\":{\"error_code\":\"request_body_too_large_after_decoding\"}"), "x",
         "request_body_too_large_after_decoding", false, true, 0},
        {ERROR_BODY("invalid_request_error", "Prompt is TOO LONG: 9 > 8", ""), "invalid_request_error", "", false, true,
         400},
        {ERROR_BODY("invalid_request_error", "input and `max_tokens` exceed context limit", ""),
         "invalid_request_error", "", false, true, 400},
        {ERROR_BODY("invalid_request_error", "larger than the context window", ""), "invalid_request_error", "", false,
         true, 400},
        {ERROR_BODY("invalid_request_error", "prompt is too lon", ""), "invalid_request_error", "", false, false, 400},
        {ERROR_BODY("api_error", "prompt is too long", ""), "api_error", "", false, false, 500},
        {"{\"error\":{\"type\":7,\"message\":[],\"details\":{\"error_code\":1}}}", "", "", false, false, 0},
        {"{\"error\":\"overloaded_error\"}", "", "", false, false, 0},
        {"{\"type\":\"overloaded_error\",\"message\":\"flat\"}", "", "", false, false, 0},
        {"<html>prompt is too long</html>", "", "", false, false, 0},
        {"{\"error\":{\"type\":\"api_error\"", "", "", false, false, 0},
        {"", "", "", false, false, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wfi_fault fault;
        wfi_anthropic_codec()->fault(rig_str(cases[i].body), &fault);
        assert_text(fault.type, cases[i].type);
        assert_text(fault.code, cases[i].code);
        if (fault.spent != cases[i].spent || fault.context != cases[i].context || fault.status != cases[i].status)
            fail_msg("%s", cases[i].body);
        if (strstr(cases[i].body, "req_1")) {
            assert_text(fault.request_id, "req_1");
            assert_true(fault.message.len > 0);
        }
    }
}

/* The parts of a reply that only some have. */
static void test_more_of_replies(void **state) {
    static const struct {
        const char *details, *want;
    } cases[] = {{"{\"type\":\"refusal\",\"category\":\"cyber\",\"explanation\":\"Policy.\"}", "Policy."},
                 {"{\"type\":\"refusal\",\"category\":\"cyber\",\"explanation\":null}", "cyber"},
                 {"{\"category\":null}", ""},
                 {"null", ""},
                 {"\"x\"", ""}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[400];
        wfi_reply reply;
        snprintf(body, sizeof body,
                 "{\"stop_reason\":\"refusal\",\"stop_details\":%s,\"content\":[],\"usage\":{\"cache_creation_input_"
                 "tokens\":9,"
                 "\"cache_creation\":{\"ephemeral_5m_input_tokens\":5,\"ephemeral_1h_input_tokens\":4}}}",
                 cases[i].details);
        assert_int_equal(read_body(rig_str(body), &reply), WF_OK);
        assert_text(reply.details, cases[i].want);
        assert_int_equal(reply.usage.cache_write, 9);
        assert_int_equal(reply.write_1h, 4);
    }
}

/* A body that comes in pieces, in the heap. */
static void test_body_in_pieces(void **state) {
    const wfi_codec *c = wfi_anthropic_codec();
    wf_str body = WF_STR("{\"content\":[{\"type\":\"text\",\"text\":\"hi\"}],\"stop_reason\":\"end_turn\"}");
    static uint64_t memory[8192];
    wfi_heap heap;
    (void)state;
    assert_int_equal(wfi_heap_init(&heap, memory, sizeof memory), WF_OK);
    for (size_t step = 1; step <= body.len; step++) {
        for (size_t max = body.len - 1; max <= body.len; max++) {
            wfi_reader r;
            wfi_reply reply;
            wf_status s = WF_OK;
            c->reader_begin(&r, &heap, max, false);
            for (size_t at = 0; at < body.len && s == WF_OK; at += step) {
                size_t n = step < body.len - at ? step : body.len - at, used = 0;
                s = c->reader_feed(&r, body.ptr + at, n, &used);
                assert_int_equal(used, s == WF_OK ? n : 0);
                assert_int_equal(r.event.len, 0);
            }
            assert_int_equal(s, max == body.len ? WF_OK : WF_E_LIMIT);
            if (s == WF_OK) {
                assert_int_equal(c->reader_end(&r, true, &reply), WF_OK);
                assert_text(reply.content, "[{\"type\":\"text\",\"text\":\"hi\"}]");
            } else {
                assert_int_equal(c->reader_end(&r, true, &reply), WF_E_SYNTAX);
                assert_string_equal(r.why, "the reply is no message of this API");
            }
            c->reader_free(&r);
            c->reader_free(&r);
            assert_int_equal(heap.used, 0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_replies),
                                       cmocka_unit_test(test_errors),
                                       cmocka_unit_test(test_money),
                                       cmocka_unit_test(test_odd_replies),
                                       cmocka_unit_test(test_glue),
                                       cmocka_unit_test(test_head),
                                       cmocka_unit_test(test_head_without_extras),
                                       cmocka_unit_test(test_what_is_refused),
                                       cmocka_unit_test(test_models),
                                       cmocka_unit_test(test_parts),
                                       cmocka_unit_test(test_server_tools),
                                       cmocka_unit_test(test_faults),
                                       cmocka_unit_test(test_more_of_replies),
                                       cmocka_unit_test(test_body_in_pieces)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
