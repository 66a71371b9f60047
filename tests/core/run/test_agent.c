/* The agent's machine, conversation by conversation: the model says what the test has written down. */
#include "tests/fake/rig.h"

/* Lines of a conversation name only what matters. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define CACHE                "\"cache_control\":{\"type\":\"ephemeral\"}"
#define OBJECT               "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},\"required\":[\"n\"]}"
#define TEXT(t)              "[{\"type\":\"text\",\"text\":\"" t "\"}]"
#define USE(id, name, input) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"" name "\",\"input\":" input "}"

/* What the model says next, in order, whoever asks. */
typedef struct line {
    const char *stop, *content; /* stop NULL: the answer is an error */
    uint32_t status;
    int64_t retry_after_ms;
    int32_t should_retry;
    fake_drop drop;
    uint64_t delay_ms;
    const char *body; /* raw */
} line;

typedef struct script {
    const line *lines;
    size_t count, next;
    char last[65536]; /* the last request's body */
    uint64_t at[64];  /* when each request came */
    char tool_log[4096];
} script;

static script play;

static void say(fake *f, const fake_request *r, fake_answer *out) {
    assert_true(play.next < play.count);
    const line *l = &play.lines[play.next];
    play.at[play.next++] = f->now;
    snprintf(play.last, sizeof play.last, "%s", r->body);
    out->delay_ms = l->delay_ms;
    out->drop = l->drop;
    out->retry_after_ms = l->retry_after_ms ? l->retry_after_ms : -1;
    out->should_retry = l->should_retry == 2 ? 0 : l->should_retry ? l->should_retry : -1;
    if (l->body) {
        out->status = l->status ? l->status : 200;
        fake_body(out, "%s", l->body);
    } else if (l->stop) {
        fake_reply(out, l->stop, "%s", l->content);
    } else {
        fake_error(out, l->status, "so it is");
    }
}

static void note_tool(fake *f, const wf_tool_call *call, fake_ticket *out) {
    size_t n = strlen(play.tool_log);
    (void)f;
    snprintf(play.tool_log + n, sizeof play.tool_log - n, "%.*s %.*s\n", (int)call->name.len, call->name.ptr,
             (int)call->input.len, call->input.ptr);
    snprintf(out->text, 1024, "the tool says \"hi\"");
}

static void begin(rig *r, const line *lines, size_t count) {
    rig_init(r, 1, NULL, 0);
    r->f->model = say;
    r->f->tool = note_tool;
    memset(&play, 0, sizeof play);
    play.lines = lines;
    play.count = count;
}

#define BEGIN(r, lines)                                                                                                \
    do {                                                                                                               \
        begin(r, lines, sizeof(lines) / sizeof(lines)[0]);                                                             \
        rig_start(r);                                                                                                  \
    } while (0)

static wf_delivery ask(rig *r, const wf_agent_spec *spec) {
    wf_call call;
    wf_error error;
    if (wf_agent_start(r->w, spec, &call) != WF_OK) {
        wf_last_error(r->w, &error);
        fail_msg("wf_agent_start: %s", error.text);
    }
    return rig_take(r);
}

static wf_delivery ask_object(rig *r) {
    wf_agent_spec spec = {.prompt = WF_STR("go"), .schema = WF_STR(OBJECT)};
    return ask(r, &spec);
}

/* ---- turns and tools ---- */

static void test_first_request(void **state) {
    static const line lines[] = {{"end_turn",
                                  "[{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"x\"},{\"type\":\"text\","
                                  "\"text\":\"one \\u00e9\"},{\"type\":\"text\",\"text\":\"\\ntwo\"}]"}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_agent_spec spec = {.prompt = WF_STR("say \"hi\"\n"),
                          .model = WF_STR("fake:some-model"),
                          .effort = WF_STR("low"),
                          .system = WF_STR("be brief"),
                          .tools = WF_STR("look"),
                          .max_tokens = 77};
    wf_delivery d = ask(&r, &spec);
    assert_int_equal(d.kind, WF_KIND_NONE);
    assert_false(d.json || d.cached);
    assert_text(d.value, "one \xc3\xa9\ntwo");
    assert_int_equal(d.turns, 1);
    assert_int_equal(d.attempts, 1);
    assert_int_equal(d.usage.input, 10);
    assert_int_equal(d.usage.output, 5);
    assert_string_equal(
        play.last, "{\"model\":\"some-model\",\"max_tokens\":77,\"output_config\":{\"effort\":\"low\"}," CACHE
                   ",\"system\":[{\"type\":\"text\",\"text\":\"be brief\"," CACHE
                   "}],\"tools\":[{\"name\":\"look\",\"description\":\"Looks.\",\"input_schema\":{\"type\":\"object\","
                   "\"properties\":{}}," CACHE
                   "}],\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"say "
                   "\\\"hi\\\"\\n\"}]}]}");
    rig_end(&r);
}

static void test_tool_turn(void **state) {
    static const line lines[] = {
        {"tool_use", "[" USE("a\\\"1", "look", "{\"x\":1}") "," USE("b2", "nothing", "{}") "," USE(
                         "c3", "change", "{}") "," USE("d4", "change", "{}") "]"},
        {"end_turn", TEXT("done")}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_delivery d = rig_do(&r, "go");
    assert_text(d.value, "done");
    assert_int_equal(d.turns, 2);
    assert_string_equal(play.tool_log, "look {\"x\":1}\nchange {}\nchange {}\n");
    assert_non_null(strstr(
        play.last,
        ",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"go\"}]},{\"role\":\"assistant\","
        "\"content\":[{\"type\":\"tool_use\""));
    assert_non_null(strstr(play.last,
                           "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\\\"1\","
                           "\"content\":\"the tool says \\\"hi\\\"\"},{\"type\":\"tool_result\",\"tool_use_id\":"
                           "\"b2\",\"content\":\"the fake has no nothing"));
    assert_non_null(strstr(play.last, "\"is_error\":true},{\"type\":\"tool_result\",\"tool_use_id\":\"c3\""));
    rig_end(&r);
}

static void test_tools_not_offered(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "change", "{}") "]"}, {"end_turn", TEXT("ok")}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_agent_spec spec = {.prompt = WF_STR("go"), .tools = WF_STR("look")};
    assert_int_equal(ask(&r, &spec).kind, WF_KIND_NONE);
    assert_string_equal(play.tool_log, "");
    assert_non_null(strstr(play.last, "was not given to you")); /* not: that there is none */
    wf_call call;
    spec.tools = WF_STR("look,nonsense");
    assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_E_CONFIG);
    rig_end(&r);
}

static void test_no_tools_at_all(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "look", "{}") "]"}, {"tool_use", TEXT("no call in it")}};
    rig r;
    (void)state;
    begin(&r, lines, 2);
    r.f->platform.tool_ops = NULL;
    rig_start(&r);
    wf_agent_spec spec = {.prompt = WF_STR("go"), .tools = WF_STR("none")};
    wf_delivery d = ask(&r, &spec);
    assert_text(d.value, "no call in it");
    assert_null(strstr(play.last, "\"tools\""));
    assert_non_null(strstr(play.last, "there is no such tool; use only those"));
    wf_call call;
    wf_effect_spec effect = {.path = WF_STR("p"), .name = WF_STR("probe"), .input = WF_STR("1")};
    assert_int_equal(wf_effect_start(r.w, &effect, &call), WF_E_CONFIG);
    rig_end(&r);
}

/* A tool call wants its answer, whatever stop reason comes with it. */
static void test_tool_call_at_end_turn(void **state) {
    static const line lines[] = {{"end_turn", "[" USE("a", "look", "{}") "]"}, {"end_turn", TEXT("seen")}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    assert_text(rig_do(&r, "go").value, "seen");
    rig_end(&r);
}

static void many_uses(char *out, size_t n) {
    size_t len = (size_t)sprintf(out, "[");
    for (size_t i = 0; i < n; i++)
        len += (size_t)sprintf(out + len, "%s" USE("u%zu", "look", "{}"), i ? "," : "", i);
    sprintf(out + len, "]");
}

static void test_many_tool_calls(void **state) {
    static char enough[20000], many[20000];
    line lines[] = {{"tool_use", enough}, {"end_turn", TEXT("ok")}, {"tool_use", many}};
    rig r;
    (void)state;
    many_uses(enough, 128);
    many_uses(many, 129);
    BEGIN(&r, lines);
    assert_int_equal(rig_do(&r, "a").kind, WF_KIND_NONE);
    wf_delivery d = rig_do(&r, "b");
    assert_int_equal(d.kind, WF_KIND_PROVIDER);
    assert_true(rig_has(d.value, "128"));
    assert_int_equal((int)r.f->tool_starts, 128); /* of the second reply none was */
    rig_end(&r);
}

static void test_odd_ids(void **state) {
    static char content[1000];
    line lines[] = {{"tool_use", "[" USE("", "look", "{}") "]"}, {"end_turn", TEXT("ok")}, {"tool_use", content}};
    rig r;
    (void)state;
    sprintf(content, "[{\"type\":\"tool_use\",\"id\":\"%0300d\",\"name\":\"look\",\"input\":{}}]", 7);
    BEGIN(&r, lines);
    assert_int_equal(rig_do(&r, "a").kind, WF_KIND_NONE);
    assert_non_null(strstr(play.last, "\"tool_use_id\":\"\""));
    wf_delivery d = rig_do(&r, "b");
    assert_int_equal(d.kind, WF_KIND_PROVIDER);
    assert_true(rig_has(d.value, "id is longer"));
    rig_end(&r);
}

/* ---- results and schemas ---- */

static void test_result(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "result", "{\"n\": 4}") "]"}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_delivery d = ask_object(&r);
    assert_int_equal(d.kind, WF_KIND_NONE);
    assert_true(d.json);
    assert_text(d.value, "{\"n\": 4}");
    assert_non_null(strstr(play.last, "{\"name\":\"result\",\"description\":\""));
    assert_non_null(strstr(play.last, "\"input_schema\":" OBJECT "," CACHE "}]"));
    rig_end(&r);
}

static void test_wrapped_result(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "result", "[1]") "]"},
                                 {"tool_use", "[" USE("b", "result", "{\"value\":[1,\"x\"]}") "]"},
                                 {"tool_use", "[" USE("c", "result", "{\"value\":[1,2]}") "]"}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_agent_spec spec = {.prompt = WF_STR("go"),
                          .schema = WF_STR("{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}")};
    wf_delivery d = ask(&r, &spec);
    assert_text(d.value, "[1,2]");
    assert_true(d.json);
    assert_int_equal(d.turns, 3);
    assert_non_null(strstr(play.last, "does not match the schema at /1: "));
    rig_end(&r);
}

static void test_schema_misses(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "result", "{}") "]"},
                                 {"tool_use", "[" USE("b", "result", "{\"n\":\"x\"}") "]"},
                                 {"tool_use", "[" USE("c", "result", "{\"n\":null}") "]"},
                                 {"tool_use", "[" USE("d", "result", "[]") "]"},
                                 {"tool_use", "[" USE("e", "result", "{\"n\":1.5}") "]"}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_delivery d = ask_object(&r);
    assert_int_equal(d.kind, WF_KIND_SCHEMA);
    assert_int_equal(play.next, 5);
    assert_int_equal(d.turns, 5);
    assert_true(rig_has(d.value, "/n"));
    assert_non_null(strstr(play.last, "\"is_error\":true"));
    rig_end(&r);
}

static void test_nudges(void **state) {
    static const line lines[] = {{"end_turn", TEXT("I think it is 4")},
                                 {"end_turn", "[]"}, /* no content: it must not go back as an empty message */
                                 {"end_turn", TEXT("4!")}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_delivery d = ask_object(&r);
    assert_int_equal(d.kind, WF_KIND_SCHEMA);
    assert_true(rig_has(d.value, "never called the result tool"));
    assert_null(strstr(play.last, "\"content\":[]"));
    assert_non_null(strstr(play.last, "is not seen.\"},{\"type\":\"text\",\"text\":\"Call the tool"));
    rig_end(&r);
}

/* Nothing said is no answer: an agent is reminded once. */
static void test_an_empty_reply_is_no_answer(void **state) {
    static const char *const empty[] = {"[]", TEXT(""), TEXT(" \\n\\t"), TEXT("\\u00a0"),
                                        "[{\"type\":\"thinking\",\"thinking\":\"hm\"}]"};
    (void)state;
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        const line lines[] = {{"tool_use", "[" USE("a", "look", "{}") "]"},
                              {"end_turn", empty[i]},
                              {"end_turn", TEXT("the answer")},
                              {"end_turn", empty[i]},
                              {"end_turn", empty[i]}};
        rig r;
        BEGIN(&r, lines);
        wf_delivery d = rig_do(&r, "a");
        assert_text(d.value, "the answer");
        assert_non_null(strstr(play.last, "Your reply was empty."));
        assert_null(strstr(play.last, "\"tool_choice\""));
        d = rig_do(&r, "b");
        assert_int_equal(d.kind, WF_KIND_PROVIDER);
        assert_true(rig_has(d.value, "the reply is empty"));
        rig_end(&r);
    }
}

/* What the API would refuse in a request: blank texts, halves of characters. The log keeps the original. */
static void test_what_goes_back(void **state) {
#define CALL  USE("a", "look", "{}")
#define BLOCK "{\"type\":\"text\",\"text\":\""
    static const char *const cases[][2] = {
        {"[" BLOCK "\\n\\n\"}," CALL "]", "[" CALL "]"},
        {"[" CALL "," BLOCK "\"}]", "[" CALL "]"},
        {"[" BLOCK " \\u00a0\\u2003\xe3\x80\x80\"}," BLOCK "so\"}," CALL "]", "[" BLOCK "so\"}," CALL "]"},
        {"[" BLOCK "ok \\ud83d\"}," CALL "]", "[" BLOCK "ok \\ufffd\"}," CALL "]"},
        {"[" BLOCK "\\uDE00 \\ud83d\\ude00 \\ud83d\\n\"}," CALL "]",
         "[" BLOCK "\\ufffd \\ud83d\\ude00 \\ufffd\\n\"}," CALL "]"},
        {"[" USE("a", "look", "{\"k\":\"\\ud800\",\"\\udfff\":1}") "]",
         "[" USE("a", "look", "{\"k\":\"\\ufffd\",\"\\ufffd\":1}") "]"},
        {"[" BLOCK "\\\\ud83d \\uFFFD\"}," CALL "]", NULL}, /* no half: a backslash; what was said */
        {"[{\"type\":\"thinking\",\"thinking\":\"\\ud83d\",\"signature\":\"s\"}," CALL "]", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *sent = cases[i][1] ? cases[i][1] : cases[i][0];
        const line lines[] = {{"tool_use", cases[i][0]}, {"end_turn", TEXT("done")}};
        char expected[512];
        rig r;
        BEGIN(&r, lines);
        assert_text(rig_do(&r, "a").value, "done");
        snprintf(expected, sizeof expected, "{\"role\":\"assistant\",\"content\":%s}", sent);
        assert_non_null(strstr(play.last, expected));
        assert_non_null(memmem(r.f->disk.data, r.f->disk.size, cases[i][0], strlen(cases[i][0])));
        rig_end(&r);
    }
}

/* A result inside of strings is taken where only that fits; the script gets the value itself. */
static void test_result_in_a_string(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "result", "{\"n\":\"4\"}") "]"},
                                 {"tool_use", "[" USE("b", "result", "{\"value\":\"[1,2]\"}") "]"}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_delivery d = ask_object(&r);
    assert_true(d.kind == WF_KIND_NONE && d.json);
    assert_text(d.value, "{\"n\":4}");
    wf_agent_spec spec = {.prompt = WF_STR("list"),
                          .schema = WF_STR("{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}")};
    d = ask(&r, &spec);
    assert_text(d.value, "[1,2]");
    assert_int_equal(d.turns, 1);
    rig_end(&r);
}

/* Who makes the same mistake again is told so, and shown what stands there. */
static void test_the_same_mistake_again(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "result", "{\"n\":\"four\"}") "]"},
                                 {"tool_use", "[" USE("b", "result", "{\"n\":\"IV\"}") "]"},
                                 {"tool_use", "[" USE("c", "result", "{}") "]"},
                                 {"tool_use", "[" USE("d", "result", "{\"n\":4}") "]"}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    assert_text(ask_object(&r).value, "{\"n\":4}");
    const char *first = strstr(play.last, "\"does not match the schema at /n: expected integer, got string\"");
    const char *second =
        strstr(play.last, "\"the same mistake again: does not match the schema at /n: expected integer, got "
                          "string; what you sent there is: \\\"IV\\\"\"");
    const char *third =
        strstr(play.last, "\"does not match the schema at the top: missing required property \\\"n\\\"\"");
    assert_true(first && second > first && third > second);
    rig_end(&r);
}

/* An answer of an agent whose tool calls all failed is marked, in a resumed run as well; one success is enough. */
static void half_blind(fake *f, const wf_tool_call *call, fake_ticket *out) {
    (void)f;
    out->error = rig_has(call->input, "gone");
    snprintf(out->text, 1024, out->error ? "there is no such file" : "text");
}

static void test_answers_after_tool_errors_only(void **state) {
    static const line lines[] = {
        {"tool_use", "[" USE("a", "look", "{\"p\":\"gone\"}") "," USE("b", "nothing", "{}") "]"},
        {"end_turn", TEXT("fine")},
        {"tool_use", "[" USE("a", "look", "{\"p\":\"gone\"}") "," USE("b", "look", "{}") "]"},
        {"end_turn", TEXT("seen")},
        {"end_turn", TEXT("no tools")},
        {"tool_use", "[" USE("a", "look", "{\"p\":\"gone\"}") "]"},
        {.delay_ms = 1000000, .stop = "end_turn", .content = TEXT("x")},
        {"end_turn", TEXT("after a crash")}};
    rig r;
    wf_run_status status;
    wf_call_info info;
    (void)state;
    begin(&r, lines, sizeof lines / sizeof lines[0]);
    r.f->tool = half_blind;
    rig_start(&r);
    for (uint32_t i = 0; i < 3; i++) {
        rig_do(&r, "go");
        assert_int_equal(wf_call_get(r.w, i, &info), WF_OK);
        assert_int_equal(info.blind, i == 0);
    }
    rig_ask(&r, "late");
    while (play.next < 7) {
        uint32_t wait;
        assert_int_equal(wf_step(r.w, 100, &wait), WF_OK);
        assert_true(fake_sleep(r.f, wait < 100 ? wait : 100));
    }
    rig_crash(&r, FAKE_ALL);
    for (uint32_t i = 0; i < 3; i++)
        rig_do(&r, "go");
    rig_do(&r, "late");
    wf_run_status_get(r.w, &status);
    assert_true(status.census.done == 4 && status.census.blind == 2);
    assert_int_equal(fake_finish(r.f, r.w, WF_RUN_DONE, "x"), WF_OK);
    rig_end(&r);
}

/* ---- what a server refuses ---- */

static uint32_t notes;

static void count_notes(void *ctx, const wf_trace *event) {
    (void)ctx;
    notes += event->type == WF_TRACE_NOTE && rig_has(event->text, "its server refuses");
}

/* A server that knows less: each field is refused until it is gone. */
static void picky(fake *f, const fake_request *r, fake_answer *out) {
    static const char *const refused[] = {"cache_control", "tool_choice", "output_config"};
    (void)f;
    snprintf(play.last, sizeof play.last, "%s", r->body);
    for (size_t i = 0; i < 3; i++) {
        if (!strstr(r->body, refused[i])) continue;
        out->status = i == 1 ? 422 : 400;
        fake_body(out,
                  "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"tools.0.%s: Extra inputs are not "
                  "permitted\"}}",
                  refused[i]);
        return;
    }
    if (r->turns + (strstr(r->body, "Call the tool") != NULL) == 0)
        fake_reply(out, "end_turn", "%s", TEXT("talk"));
    else
        fake_reply(out, "tool_use", "%s", "[" USE("a", "result", "{\"n\":1}") "]");
}

/* What a request can do without is left out after the server has refused it, once for all agents with this model. */
static void test_refused_extras_are_left_out(void **state) {
    rig r;
    (void)state;
    begin(&r, NULL, 0);
    r.f->model = picky;
    r.f->platform.trace = count_notes;
    r.config.retries = WF_NONE;
    r.config.system = WF_STR("be brief");
    r.config.lanes = 3;
    rig_start(&r);
    notes = 0;
    wf_agent_spec spec = {.prompt = WF_STR("go"), .schema = WF_STR(OBJECT), .effort = WF_STR("high")};
    wf_call call;
    for (int i = 0; i < 3; i++) /* at the same time */
        assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
    for (int i = 0; i < 3; i++)
        assert_text(rig_take(&r).value, "{\"n\":1}");
    assert_int_equal(notes, 3);
    assert_null(strstr(play.last, "cache_control"));
    assert_non_null(strstr(play.last, "\"system\":[{\"type\":\"text\",\"text\":\"be brief\"}],\"tools\":[{"));
    assert_non_null(strstr(play.last, "}],\"messages\":["));
    uint64_t before = r.f->requests;
    assert_int_equal(ask(&r, &spec).attempts, 2);
    assert_int_equal(r.f->requests - before, 2);
    spec.model = WF_STR("fake:other");
    assert_int_equal(ask(&r, &spec).attempts, 5); /* nothing is known of this one */
    assert_int_equal(notes, 6);
    rig_end(&r);
}

/* Refused for ever, or for something else: an error as any. */
static void test_refusals_that_stay(void **state) {
    static const char again[] = "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"cache_control: no\"}}";
    static const char version[] = "{\"error\":{\"message\":\"anthropic-version: not supported\"}}";
    static const line lines[] = {
        {.status = 400, .body = again}, {.status = 400, .body = again}, {.status = 400, .body = version}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_delivery d = rig_do(&r, "a");
    assert_int_equal(d.kind, WF_KIND_PROVIDER);
    assert_int_equal(d.attempts, 2);
    d = rig_do(&r, "b");
    assert_true(d.attempts == 1 && rig_has(d.value, "not supported") && rig_has(d.value, "WF_ANTHROPIC_VERSION"));
    rig_end(&r);
}

/* ---- stop reasons ---- */

#define CUT_USE "[{\"type\":\"text\",\"text\":\"t\"}," USE("a", "change", "{}") "]"

/* A reply cut in a tool call, and again with more room: nothing of it is done; the model is told, and goes on. */
static void test_a_cut_tool_call_is_told(void **state) {
    static const line lines[] = {
        {"max_tokens", CUT_USE},    {"max_tokens", CUT_USE}, {"tool_use", "[" USE("b", "change", "{\"s\":1}") "]"},
        {"end_turn", TEXT("done")}, {"max_tokens", CUT_USE}, {"max_tokens", CUT_USE},
        {"max_tokens", CUT_USE},    {"max_tokens", CUT_USE}, {"max_tokens", CUT_USE}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_delivery d = rig_do(&r, "a");
    assert_text(d.value, "done");
    assert_string_equal(play.tool_log, "change {\"s\":1}\n");
    assert_non_null(
        strstr(play.last, "cut at 32000 tokens, in a tool call; nothing of it was done. Write it in pieces"));
    assert_int_equal(d.attempts, 4);
    d = rig_do(&r, "b"); /* who does not listen fails as before */
    assert_int_equal(d.kind, WF_KIND_CONTEXT);
    assert_int_equal(d.attempts, 5);
    rig_end(&r);
}

static void test_max_tokens_raised_once(void **state) {
    static const line lines[] = {{"max_tokens", TEXT("cut")},
                                 {"end_turn", TEXT("whole")},
                                 {"max_tokens", TEXT("cut")},
                                 {"max_tokens", TEXT("cut again")}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_delivery d = rig_do(&r, "a");
    assert_text(d.value, "whole");
    assert_non_null(strstr(play.last, "\"max_tokens\":32000,"));
    assert_null(strstr(play.last, "cut"));
    assert_int_equal(d.usage.output, 10);
    assert_int_equal(d.attempts, 2);
    d = rig_do(&r, "b");
    assert_int_equal(d.kind, WF_KIND_CONTEXT);
    rig_end(&r);
}

static void test_stop_reasons(void **state) {
    static const line lines[] = {
        {"refusal", TEXT("partial")},
        {"model_context_window_exceeded", TEXT("x")},
        {"brand_new_reason", TEXT("said")},
        {"stop_sequence", TEXT("fine")},
        {"pause_turn", "[{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web\",\"input\":{}}]"},
        {"end_turn", TEXT("searched")},
        {"pause_turn", "[]"}};
    static const wf_kind kinds[] = {WF_KIND_REFUSED, WF_KIND_CONTEXT, WF_KIND_NONE, WF_KIND_NONE, WF_KIND_NONE};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    for (size_t i = 0; i < 5; i++) {
        wf_delivery d = rig_do(&r, "go");
        assert_int_equal(d.kind, kinds[i]);
        if (i == 0) assert_false(rig_has(d.value, "partial"));
        if (i == 2) assert_text(d.value, "said"); /* the blocks decide */
    }
    assert_non_null(
        strstr(play.last, "\"name\":\"web\",\"input\":{}}]}]}")); /* the pause went back, nothing after it */
    assert_int_equal(rig_do(&r, "go").kind, WF_KIND_PROVIDER);
    rig_end(&r);
}

static void test_turns_run_out(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "look", "{}") "]"},
                                 {"tool_use", "[" USE("b", "look", "{}") "]"}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_agent_spec spec = {.prompt = WF_STR("go"), .max_turns = 2};
    wf_delivery d = ask(&r, &spec);
    assert_int_equal(d.kind, WF_KIND_TURNS);
    assert_int_equal(d.turns, 2);
    rig_end(&r);
}

/* ---- errors and retries ---- */

static void test_retries_cure(void **state) {
    static const line lines[] = {
        {.status = 503},
        {.status = 500},
        {.drop = FAKE_DROP_HEAD, .stop = "end_turn", .content = "[]"},
        {.body = "<html>"},
        {.drop = FAKE_DROP_BODY, .body = "{\"stop_reason\":\"end_turn\",\"content\":[{\"type\":\"text\","},
        {"end_turn", TEXT("at last")}};
    static const uint64_t least[] = {375, 750, 1500, 3000, 6000}, most[] = {500, 1000, 2000, 4000, 8000};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_delivery d = rig_do(&r, "go");
    assert_text(d.value, "at last");
    assert_int_equal(d.attempts, 6);
    for (size_t i = 0; i < 5; i++)
        assert_in_range(play.at[i + 1] - play.at[i], least[i], most[i]);
    rig_end(&r);
}

/* What the last exchange said is gone with it: the next one fails before it has said anything. */
static void test_lost_after_a_refusal(void **state) {
    static const line lines[] = {{.status = 503}, {"end_turn", TEXT("x"), .drop = FAKE_DROP_HEAD}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_agent_spec spec = {.prompt = WF_STR("go"), .retries = 1};
    assert_text(ask(&r, &spec).value, "the request got no whole answer: the fake dropped it");
    rig_end(&r);
}

static void test_retries_end(void **state) {
    static const line lines[] = {{.status = 503}, {.status = 503}, {.status = 503}, {.status = 503}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_agent_spec spec = {.prompt = WF_STR("go"), .retries = 2};
    wf_delivery d = ask(&r, &spec);
    assert_int_equal(d.kind, WF_KIND_PROVIDER);
    assert_text(d.value, "the provider answered 503: so it is (request req_1)");
    assert_int_equal(d.attempts, 3);
    spec.retries = WF_NONE;
    assert_int_equal(ask(&r, &spec).attempts, 1);
    rig_end(&r);
}

static void test_retry_after(void **state) {
    static const line lines[] = {{.status = 429, .retry_after_ms = 12345}, {"end_turn", TEXT("ok")},
                                 {.status = 400, .should_retry = 1},       {"end_turn", TEXT("ok")},
                                 {.status = 503, .should_retry = 2},       {.status = 503, .retry_after_ms = 3600000}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    assert_int_equal(rig_do(&r, "a").kind, WF_KIND_NONE);
    assert_in_range(play.at[1] - play.at[0], 12345, 12345 / 8 * 9); /* a minimum */
    assert_int_equal(rig_do(&r, "b").kind, WF_KIND_NONE);
    assert_int_equal(rig_do(&r, "c").kind, WF_KIND_PROVIDER);
    assert_int_equal(rig_do(&r, "d").attempts, 1); /* nobody waits an hour for one request */
    rig_end(&r);
}

static void test_error_kinds(void **state) {
    static const struct {
        line line;
        wf_kind kind;
        wf_outcome outcome;
    } cases[] = {
        {{.status = 400}, WF_KIND_PROVIDER, WF_RUN_OPEN},
        {{.status = 413}, WF_KIND_CONTEXT, WF_RUN_OPEN},
        {{.status = 301}, WF_KIND_PROVIDER, WF_RUN_OPEN},
        {{.status = 401}, WF_KIND_AUTH, WF_RUN_REFUSED},
        {{.status = 404}, WF_KIND_AUTH, WF_RUN_REFUSED},
        {{.status = 402}, WF_KIND_QUOTA, WF_RUN_PAUSED},
        {{.status = 429, .should_retry = 2}, WF_KIND_QUOTA, WF_RUN_PAUSED},
        {{.status = 429, .retry_after_ms = 7200000}, WF_KIND_QUOTA, WF_RUN_PAUSED},
        {{.status = 429,
          .body = "{\"error\":{\"message\":\"gone\",\"details\":{\"error_code\":\"enforced_spend_limit_reached\"}}}"},
         WF_KIND_QUOTA,
         WF_RUN_PAUSED},
        {{.status = 400,
          .body = "{\"error\":{\"message\":\"gone\",\"details\":{\"error_code\":\"ramp_limit_exceeded\"}}}"},
         WF_KIND_QUOTA,
         WF_RUN_PAUSED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig r;
        wf_run_status status;
        begin(&r, &cases[i].line, 1);
        rig_start(&r);
        wf_delivery d = rig_do(&r, "go");
        assert_int_equal(d.kind, cases[i].kind);
        wf_run_status_get(r.w, &status);
        assert_int_equal(status.outcome, cases[i].outcome);
        rig_end(&r);
    }
}

static void test_error_bodies(void **state) {
    static char page[70000];
    line lines[] = {{.status = 400, .body = "<html>Bad \xff gateway</html>"},
                    {.status = 400, .body = ""},
                    {.status = 400, .body = page},
                    {.status = 400, .body = "{\"error\":{\"message\":\"caf\\u00e9 \\\"x\\\"\"}}"},
                    {.status = 400, .body = "{\"error\":\"just text\"}"}};
    rig r;
    (void)state;
    memset(page, 'x', sizeof page - 1); /* longer than is kept */
    BEGIN(&r, lines);
    assert_true(rig_has(rig_do(&r, "a").value, "the provider answered 400: <html>Bad"));
    assert_text(rig_do(&r, "b").value, "the provider answered 400 (request req_1)");
    assert_true(rig_do(&r, "c").value.len < 400);
    assert_text(rig_do(&r, "d").value, "the provider answered 400: caf\xc3\xa9 \"x\" (request req_1)");
    assert_true(rig_has(rig_do(&r, "e").value, "just text"));
    rig_end(&r);
}

static void test_endless_reply(void **state) {
    static char page[40000];
    line lines[] = {{.body = page}};
    rig r;
    (void)state;
    memset(page, '[', sizeof page - 1);
    begin(&r, lines, 1);
    r.config.reply_max = 20000;
    rig_start(&r);
    wf_delivery d = rig_do(&r, "go");
    assert_int_equal(d.kind, WF_KIND_PROVIDER);
    assert_true(rig_has(d.value, "longer than the limit"));
    rig_end(&r);
}

static void test_malformed_content(void **state) {
    static const line lines[] = {
        {"end_turn", "[1]"}, {"end_turn", "[{\"type\":\"text\"}]"}, {"tool_use", "[{\"type\":\"tool_use\"}]"}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    for (size_t i = 0; i < 3; i++) {
        wf_delivery d = rig_do(&r, "go");
        assert_int_equal(d.kind, WF_KIND_PROVIDER);
        assert_true(rig_has(d.value, "malformed"));
    }
    rig_end(&r);
}

/* ---- time ---- */

static void test_stall(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "look", "{}") "]"},
                                 {"end_turn", TEXT("x"), .drop = FAKE_HANG},
                                 {"end_turn", TEXT("went on")},
                                 {"end_turn", TEXT("x"), .drop = FAKE_HANG}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    wf_agent_spec spec = {.prompt = WF_STR("go"), .stall_ms = 7000};
    wf_delivery d = ask(&r, &spec);
    assert_text(d.value, "went on");
    assert_non_null(strstr(play.last, "tool_result")); /* its transcript, not from blank */
    assert_in_range(play.at[2] - play.at[1], 7375, 7500);
    spec.retries = WF_NONE;
    assert_int_equal(ask(&r, &spec).kind, WF_KIND_STALL);
    rig_end(&r);
}

static void slow_tool(fake *f, const wf_tool_call *call, fake_ticket *out) {
    (void)call;
    out->due = f->now + 100000;
    strcpy(out->text, "late");
}

static void test_tool_stall(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "look", "{}") "]"}, {"end_turn", TEXT("ok")}};
    rig r;
    (void)state;
    begin(&r, lines, 2);
    r.f->tool = slow_tool;
    r.config.stall_ms = 5000;
    rig_start(&r);
    assert_text(rig_do(&r, "go").value, "ok");
    assert_non_null(strstr(play.last, "no progress for longer"));
    assert_int_equal(play.at[1] - play.at[0], 5000);
    rig_end(&r);
}

static void fatal_tool(fake *f, const wf_tool_call *call, fake_ticket *out) {
    (void)f;
    (void)call;
    out->error = out->fatal = true;
    strcpy(out->text, "nowhere to work");
}

/* What no turn can mend ends the agent. */
static void test_fatal_tool(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "look", "{}") "," USE("b", "look", "{}") "]"}};
    rig r;
    (void)state;
    begin(&r, lines, 1);
    r.f->tool = fatal_tool;
    rig_start(&r);
    wf_delivery d = rig_do(&r, "go");
    assert_int_equal(d.kind, WF_KIND_TOOL);
    assert_text(d.value, "nowhere to work");
    rig_end(&r);
}

/* A command may compile for minutes without a word, and ends by its own timeout. */
static void test_silent_tool_does_not_stall(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "look", "{}") "]"}, {"end_turn", TEXT("ok")}};
    rig r;
    (void)state;
    begin(&r, lines, 2);
    r.f->tool = slow_tool;
    r.f->tools[0].silent = true;
    r.config.stall_ms = 5000;
    rig_start(&r);
    assert_text(rig_do(&r, "go").value, "ok");
    assert_non_null(strstr(play.last, "late"));
    assert_int_equal(play.at[1] - play.at[0], 100000);
    rig_end(&r);
}

static void test_deadline_and_hurry(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "look", "{}") "]", .delay_ms = 100},
                                 {"tool_use", "[" USE("b", "look", "{}") "]", .delay_ms = 700},
                                 {"tool_use", "[" USE("c", "look", "{}") "]", .delay_ms = 50},
                                 {"end_turn", TEXT("too late"), .delay_ms = 5000}};
    rig r;
    (void)state;
    BEGIN(&r, lines);
    uint64_t begun = r.f->now;
    wf_agent_spec spec = {.prompt = WF_STR("go"), .agent_ms = 1000};
    wf_delivery d = ask(&r, &spec);
    assert_int_equal(d.kind, WF_KIND_DEADLINE);
    assert_int_equal(r.f->now - begun, 1000);
    const char *first = strstr(play.last, "Time is nearly up");
    assert_non_null(first);
    assert_null(strstr(first + 1, "Time is nearly up")); /* told once */
    rig_end(&r);
}

/* ---- crashes ---- */

static void test_hurried_once_over_a_crash(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "look", "{}") "]", .delay_ms = 900},
                                 {"end_turn", TEXT("x"), .drop = FAKE_HANG},
                                 {"tool_use", "[" USE("b", "look", "{}") "]", .delay_ms = 900},
                                 {"end_turn", TEXT("ok")}};
    rig r;
    uint32_t wait;
    (void)state;
    begin(&r, lines, 4);
    r.config.agent_ms = 1000;
    rig_start(&r);
    rig_ask(&r, "go");
    while (play.next < 2) {
        assert_int_equal(wf_step(r.w, 64, &wait), WF_OK);
        if (wait) fake_sleep(r.f, wait);
    }
    assert_non_null(strstr(play.last, "Time is nearly up"));
    rig_crash(&r, FAKE_ALL);
    assert_text(rig_do(&r, "go").value, "ok");
    const char *first = strstr(play.last, "Time is nearly up");
    assert_non_null(first);
    assert_null(strstr(first + 1, "Time is nearly up"));
    rig_end(&r);
}

static void test_resume_in_the_middle(void **state) {
    static const line lines[] = {{"tool_use", "[{\"type\":\"text\",\"text\":\"\\n\\n\"}," USE(
                                                  "a", "look", "{}") "," USE("b", "change", "{\"q\":1}") "]"},
                                 {"end_turn", TEXT("x"), .delay_ms = 1000000},
                                 {"end_turn", TEXT("went on")}};
    rig r;
    wf_delivery d;
    uint32_t wait;
    (void)state;
    begin(&r, lines, 3);
    r.f->sync_ms = 3;
    r.config.stall_ms = WF_NONE;
    rig_start(&r);
    rig_ask(&r, "go");
    while (play.next < 2) {
        assert_int_equal(wf_step(r.w, 64, &wait), WF_OK);
        if (wait) fake_sleep(r.f, wait);
    }
    assert_int_equal(wf_deliver(r.w, &d), WF_AGAIN);
    rig_crash(&r, FAKE_ALL);
    rig_ask(&r, "go");
    d = rig_take(&r);
    assert_text(d.value, "went on");
    assert_int_equal(play.next, 3); /* only the request under way was asked again */
    assert_string_equal(play.tool_log, "look {}\nchange {\"q\":1}\n");
    assert_non_null(strstr(play.last, "\"tool_use_id\":\"b\",\"content\":\"the tool says"));
    assert_non_null(
        strstr(play.last, "\"assistant\",\"content\":[{\"type\":\"tool_use\"")); /* without the blank text */
    assert_int_equal(d.turns, 2);
    assert_int_equal(d.usage.output, 10); /* both turns, though one was paid for by a process that died */
    rig_end(&r);
}

/* Crash after n steps of a run with an effect, for every n and every way the disk may look afterwards. */
static void test_effect_is_never_repeated(void **state) {
    static const line lines[] = {{"tool_use", "[" USE("a", "change", "{\"q\":1}") "]"},
                                 {"end_turn", TEXT("ok")},
                                 {"end_turn", TEXT("ok")},
                                 {"end_turn", TEXT("ok")}};
    bool interrupted = false;
    (void)state;
    for (int how = FAKE_ALL; how < FAKE_SURVIVALS; how++)
        for (uint32_t n = 0; n < 60; n++) {
            rig r;
            uint32_t wait;
            begin(&r, lines, 4);
            r.f->sync_ms = 2;
            r.f->tool_delay = 5;
            rig_start(&r);
            rig_ask(&r, "go");
            for (uint32_t i = 0; i < n; i++) {
                assert_int_equal(wf_step(r.w, 1, &wait), WF_OK);
                if (wait && !fake_sleep(r.f, wait)) break;
            }
            bool started = play.tool_log[0] != 0;
            if (!started) play.next = 0; /* the model starts over, if it is asked again */
            rig_crash(&r, (fake_survival)how);
            rig_ask(&r, "go");
            wf_delivery d = rig_take(&r);
            assert_text(d.value, "ok");
            if (started) {
                assert_string_equal(play.tool_log, "change {\"q\":1}\n");
                bool told = strstr(play.last, "interrupted, state unknown") != NULL;
                if (told) assert_string_equal(r.f->interrupted, "change {\"q\":1}"); /* and so is the platform */
                interrupted |= told;
            }
            rig_end(&r);
        }
    assert_true(interrupted);
}

/* ---- effects of the script that change the world ---- */

static void start_effect(rig *r, uint32_t ms) {
    wf_effect_spec spec = {.path = WF_STR("1"), .name = WF_STR("exec"), .input = WF_STR("{\"cmd\":\"x\"}"), .ms = ms};
    wf_call call;
    spec.changes = true;
    assert_int_equal(wf_effect_start(r->w, &spec, &call), WF_OK);
}

static void answer_json(fake *f, const wf_tool_call *call, fake_ticket *out) {
    note_tool(f, call, out);
    strcpy(out->text, "{\"code\":0}");
}

/* Crash after n steps, for every n and every way the disk may look afterwards: begun once at most, and what was begun and has no
 * answer is reported. */
static void test_script_effect_is_never_repeated(void **state) {
    uint32_t interrupted = 0, answered = 0, fresh = 0;
    (void)state;
    for (int how = FAKE_ALL; how < FAKE_SURVIVALS; how++)
        for (uint32_t n = 0; n < 40; n++) {
            rig r;
            uint32_t wait;
            begin(&r, NULL, 0);
            r.f->tool = answer_json;
            r.f->sync_ms = 2;
            r.f->tool_delay = 5;
            rig_start(&r);
            start_effect(&r, 0);
            for (uint32_t i = 0; i < n; i++) {
                assert_int_equal(wf_step(r.w, 1, &wait), WF_OK);
                if (wait && !fake_sleep(r.f, wait)) break;
            }
            bool started = play.tool_log[0] != 0;
            rig_crash(&r, (fake_survival)how);
            start_effect(&r, 0);
            wf_delivery d = rig_take(&r);
            bool well = d.kind == WF_KIND_NONE;
            if (!well) assert_true(d.kind == WF_KIND_INTERRUPTED && rig_has(d.value, "state unknown: "));
            assert_string_equal(play.tool_log, started || well ? "exec {\"cmd\":\"x\"}\n" : "");
            if (started && well) assert_true(d.cached);
            interrupted += !well;
            answered += started && well;
            fresh += !started && well;
            /* whatever it was, a third life is told the same */
            rig_crash(&r, FAKE_ALL);
            start_effect(&r, 0);
            wf_delivery again = rig_take(&r);
            assert_true(again.cached && (again.kind == WF_KIND_NONE) == well);
            rig_end(&r);
        }
    assert_true(interrupted > 0 && answered > 0 && fresh > 0);
}

/* One that its time ended may have done anything: a resumed run does not begin it again. */
static void test_script_effect_out_of_time(void **state) {
    rig r;
    (void)state;
    begin(&r, NULL, 0);
    r.f->tool = answer_json;
    r.f->tool_delay = 1000000;
    rig_start(&r);
    start_effect(&r, 20);
    assert_int_equal(rig_take(&r).kind, WF_KIND_DEADLINE);
    rig_crash(&r, FAKE_ALL);
    start_effect(&r, WF_NONE);
    wf_delivery d = rig_take(&r);
    assert_int_equal(d.kind, WF_KIND_INTERRUPTED);
    assert_true(rig_has(d.value, "its time was up"));
    assert_string_equal(play.tool_log, "exec {\"cmd\":\"x\"}\n");
    rig_end(&r);
}

static void test_bad_specs(void **state) {
    rig r;
    wf_call call;
    wf_error error;
    char model[WF_MODEL_MAX + 1];
    static const char *const names[] = {"prompt", "no model", "too long", "max_tokens", "schema", "named \"a/b\""};
    (void)state;
    begin(&r, NULL, 0);
    r.config.model = wf_str_of("", 0);
    rig_start(&r);
    memset(model, 'm', sizeof model);
    memcpy(model, "fake:", 5);
    wf_agent_spec bad[] = {{.model = WF_STR("fake:m")},
                           {.prompt = WF_STR("a")},
                           {.prompt = WF_STR("a"), .model = wf_str_of(model, sizeof model)},
                           {.prompt = WF_STR("a"), .model = WF_STR("fake:m"), .max_tokens = UINT32_MAX},
                           {.prompt = WF_STR("a"), .model = WF_STR("fake:m"), .schema = WF_STR("{")},
                           {.prompt = WF_STR("a"),
                            .model = WF_STR("fake:m"),
                            .schema = WF_STR("{\"type\":\"object\",\"properties\":{\"a/b\":{}}}")}};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(wf_agent_start(r.w, &bad[i], &call), WF_E_CONFIG);
        wf_last_error(r.w, &error);
        assert_non_null(strstr(error.text, names[i]));
    }
    wf_agent_spec nobody = {.prompt = WF_STR("a"), .model = WF_STR("other:m")};
    wf_delivery d = ask(&r, &nobody);
    assert_int_equal(d.kind, WF_KIND_PROVIDER);
    assert_text(d.value, "no provider serves this model: other:m");
    memset(model + 5, 1, 155); /* as long as may be, and six times that when escaped */
    wf_agent_spec odd = {.prompt = WF_STR("a"), .model = wf_str_of(model, 160)};
    assert_int_equal(ask(&r, &odd).kind, WF_KIND_PROVIDER);
    char label[600];
    memset(label, 1, sizeof label);
    wf_agent_spec wide = {.prompt = WF_STR("a"),
                          .model = wf_str_of(model, 160),
                          .path = wf_str_of(label, 512),
                          .label = wf_str_of(label, 600),
                          .phase = wf_str_of(label, 600)};
    assert_int_equal(wf_agent_start(r.w, &wide, &call), WF_E_CONFIG);
    wide.path = wf_str_of(label, 513);
    assert_int_equal(wf_agent_start(r.w, &wide, &call), WF_E_CONFIG);
    rig_end(&r);
}

static char result_schema[4096]; /* of the last request's result tool */

static void keep_result_schema(fake *f, const fake_request *r) {
    static const char mark[] = "{\"name\":\"result\"";
    wf_json j;
    wf_str raw;
    (void)f;
    const char *at = strstr(r->body, mark);
    at = strstr(at, "\"input_schema\":") + 15;
    wf_json_init(&j, wf_str_of(at, strlen(at)));
    assert_int_equal(wf_json_skip(&j, wf_json_next(&j), &raw), WF_OK);
    snprintf(result_schema, sizeof result_schema, "%.*s", (int)raw.len, raw.ptr);
}

/* What is sent as the result tool's input is a schema of a plain object that means what was asked for, wrapped or not. */
static void test_what_is_sent_is_a_schema(void **state) {
    static const struct {
        const char *schema, *good, *bad;
        bool wrapped;
    } cases[] = {
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/"
         "n\"}},\"$defs\":{\"n\":{\"type\":\"integer\"}}}",
         "{\"a\":1}", "{\"a\":\"x\"}", false},
        {"{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/n\"},\"$defs\":{\"n\":{\"type\":\"integer\"}}}", "[1]",
         "[\"x\"]", true},
        {"{\"type\":[\"array\",\"integer\"],\"items\":{\"$ref\":\"#\"}}", "[1,[2]]", "[1,[\"x\"]]", true},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"$ref\":\"#\\/definitions\\/"
         "n\"}],\"definitions\":{\"n\":{\"type\":\"integer\"}}}",
         "1", "\"x\"", true},
        {"{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/"
         "n\"},\"b\":{\"$ref\":\"#/$defs/n\"}}},\"$defs\":{\"n\":{\"type\":\"integer\"}}}",
         "[{\"a\":1,\"b\":2}]", "[{\"a\":1,\"b\":\"x\"}]", true}, /* more than one */
        {"{\"type\":\"object\",\"oneOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}", "{\"a\":1}", "{}", true},
        {"{\"enum\":[{\"$ref\":\"#\"},1]}", "{\"$ref\":\"#\"}", "2", true},
        {"{\"const\":{\"$ref\":\"#/a\"}}", "{\"$ref\":\"#/a\"}", "{\"$ref\":\"#/b\"}", true},
        {"{\"anyOf\":[{\"properties\":{\"const\":{\"$ref\":\"#/$defs/n\"},\"enum\":{\"$ref\":\"#/$defs/"
         "n\"}}}],\"$defs\":{"
         "\"n\":{\"type\":\"integer\"}}}",
         "{\"const\":1,\"enum\":2}", "{\"const\":1,\"enum\":\"x\"}", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r;
        wf_call call;
        char value[256];
        wf_schema_error error;
        rig_init(&r, 1, NULL, 0);
        r.f->on_request = keep_result_schema;
        rig_start(&r);
        wf_agent_spec spec = {.prompt = WF_STR("go"), .schema = rig_str(cases[i].schema)};
        assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
        (void)rig_take(&r);
        const char *format = cases[i].wrapped ? "{\"value\":%s}" : "%s";
        assert_int_equal(strstr(result_schema, "\"value\":") != NULL, cases[i].wrapped);
        snprintf(value, sizeof value, format, cases[i].good);
        if (wf_schema_check(rig_str(result_schema), rig_str(value), &error) != WF_OK)
            fail_msg("%s: %s: %s", result_schema, value, error.reason);
        snprintf(value, sizeof value, format, cases[i].bad);
        if (wf_schema_check(rig_str(result_schema), rig_str(value), &error) != WF_E_SCHEMA)
            fail_msg("%s: %s", result_schema, value);
        rig_end(&r);
    }
}

static uint32_t draw_state;

static uint32_t draw(uint32_t below) {
    draw_state = draw_state * 1664525u + 1013904223u;
    return (draw_state >> 8) % below;
}

/* A schema with references, definitions, and names and values that look like keywords. Answers its length. */
static size_t draw_schema(char *to, uint32_t depth) {
    static const char *const names[] = {"a",           "const",      "enum",     "default",
                                        "definitions", "properties", "examples", "items"};
    static const char *const leaves[] = {"{\"type\":\"integer\"}",
                                         "{\"$ref\":\"#/$defs/n\"}",
                                         "{\"$ref\":\"#/$defs/o\"}",
                                         "{\"enum\":[{\"$ref\":\"#/$defs/n\"},{\"$ref\":\"#\"}]}",
                                         "{\"const\":{\"$ref\":\"#/x\"}}",
                                         "{\"default\":{\"$ref\":\"#/x\"},\"type\":[\"string\",\"integer\"]}",
                                         "{\"$ref\":\"#/$defs/o/properties/enum\"}"};
    size_t n = 0;
    switch (depth == 0 ? 0 : draw(4)) {
    case 0:
        return (size_t)sprintf(to, "%s", leaves[draw(sizeof leaves / sizeof *leaves)]);
    case 1:
        n = (size_t)sprintf(to, "{\"items\":");
        n += draw_schema(to + n, depth - 1);
        return n + (size_t)sprintf(to + n, "}");
    case 2:
        n = (size_t)sprintf(to, "{\"anyOf\":[");
        n += draw_schema(to + n, depth - 1);
        n += (size_t)sprintf(to + n, ",");
        n += draw_schema(to + n, depth - 1);
        return n + (size_t)sprintf(to + n, "]}");
    default:
        n = (size_t)sprintf(to, "{\"type\":\"object\",\"properties\":{");
        for (uint32_t i = 0, first = draw(6); i < 3; i++) {
            n += (size_t)sprintf(to + n, "%s\"%s\":", i ? "," : "", names[first + i]);
            n += draw_schema(to + n, depth - 1);
        }
        return n + (size_t)sprintf(to + n, "}}");
    }
}

/* A value that such a schema may be asked about. */
static size_t draw_value(char *to, uint32_t depth) {
    static const char *const leaves[] = {"1",   "\"x\"", "{\"$ref\":\"#/x\"}", "{\"$ref\":\"#\"}", "{\"enum\":1}",
                                         "null"};
    if (depth == 0 || draw(3) == 0) return (size_t)sprintf(to, "%s", leaves[draw(6)]);
    bool list = draw(2);
    size_t n = (size_t)sprintf(to, list ? "[" : "{\"%s\":", draw(2) ? "const" : "enum");
    n += draw_value(to + n, depth - 1);
    return n + (size_t)sprintf(to + n, list ? "]" : "}");
}

/* Whatever the schema: what is sent accepts, in its wrapper, exactly what the schema itself accepts. */
static void test_wrapped_schemas_mean_the_same(void **state) {
    rig r;
    (void)state;
    draw_state = 7;
    rig_init(&r, 1, NULL, 0);
    r.f->on_request = keep_result_schema;
    r.config.max_agents = r.config.max_calls = 200;
    rig_start(&r);
    for (int i = 0; i < 150; i++) {
        char schema[4096], value[512], wrapped[600];
        wf_call call;
        wf_schema_error error;
        size_t n = (size_t)sprintf(schema, "{\"$defs\":{\"n\":{\"type\":\"integer\"},\"o\":{\"type\":\"object\","
                                           "\"properties\":{\"enum\":{\"$ref\":\"#/$defs/n\"}}}},\"allOf\":[");
        n += draw_schema(schema + n, 3);
        sprintf(schema + n, "]}");
        wf_agent_spec spec = {.prompt = WF_STR("go"), .schema = rig_str(schema)};
        assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
        (void)rig_take(&r);
        for (int k = 0; k < 20; k++) {
            value[draw_value(value, 3)] = 0;
            snprintf(wrapped, sizeof wrapped, "{\"value\":%s}", value);
            wf_status own = wf_schema_check(rig_str(schema), rig_str(value), &error);
            wf_status sent = wf_schema_check(rig_str(result_schema), rig_str(wrapped), &error);
            if (own != sent || own == WF_E_SYNTAX) fail_msg("%s\n%s\n%s", schema, result_schema, value);
        }
    }
    rig_end(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_request),
        cmocka_unit_test(test_tool_turn),
        cmocka_unit_test(test_tools_not_offered),
        cmocka_unit_test(test_no_tools_at_all),
        cmocka_unit_test(test_tool_call_at_end_turn),
        cmocka_unit_test(test_many_tool_calls),
        cmocka_unit_test(test_odd_ids),
        cmocka_unit_test(test_result),
        cmocka_unit_test(test_wrapped_result),
        cmocka_unit_test(test_schema_misses),
        cmocka_unit_test(test_nudges),
        cmocka_unit_test(test_result_in_a_string),
        cmocka_unit_test(test_the_same_mistake_again),
        cmocka_unit_test(test_answers_after_tool_errors_only),
        cmocka_unit_test(test_refused_extras_are_left_out),
        cmocka_unit_test(test_refusals_that_stay),
        cmocka_unit_test(test_a_cut_tool_call_is_told),
        cmocka_unit_test(test_max_tokens_raised_once),
        cmocka_unit_test(test_stop_reasons),
        cmocka_unit_test(test_an_empty_reply_is_no_answer),
        cmocka_unit_test(test_what_goes_back),
        cmocka_unit_test(test_turns_run_out),
        cmocka_unit_test(test_retries_cure),
        cmocka_unit_test(test_lost_after_a_refusal),
        cmocka_unit_test(test_retries_end),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_error_kinds),
        cmocka_unit_test(test_error_bodies),
        cmocka_unit_test(test_endless_reply),
        cmocka_unit_test(test_malformed_content),
        cmocka_unit_test(test_stall),
        cmocka_unit_test(test_tool_stall),
        cmocka_unit_test(test_silent_tool_does_not_stall),
        cmocka_unit_test(test_fatal_tool),
        cmocka_unit_test(test_deadline_and_hurry),
        cmocka_unit_test(test_hurried_once_over_a_crash),
        cmocka_unit_test(test_resume_in_the_middle),
        cmocka_unit_test(test_effect_is_never_repeated),
        cmocka_unit_test(test_script_effect_is_never_repeated),
        cmocka_unit_test(test_script_effect_out_of_time),
        cmocka_unit_test(test_bad_specs),
        cmocka_unit_test(test_what_is_sent_is_a_schema),
        cmocka_unit_test(test_wrapped_schemas_mean_the_same),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
