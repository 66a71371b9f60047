/* An agent's exchanges with a provider that streams and has prices: events, failures in the middle, dead connections, money. */
#include "tests/fake/rig.h"

#include "src/core/base/base.h"

#include <strings.h>

/* Lines of a conversation name only what matters. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define PRICED   "anthropic:claude-sonnet-5-5" /* 2 USD in, 10 USD out a million */
#define TEXT(t)  "[{\"type\":\"text\",\"text\":\"" t "\"}]"
#define EVENT(s) "event: " s "\n"
#define START                                                                                                          \
    EVENT("message_start")                                                                                             \
    "data: {\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":10,"                    \
    "\"output_tokens\":1}}}\n\n"
#define HELLO                                                                                                          \
    EVENT("content_block_start")                                                                                       \
    "data: "                                                                                                           \
    "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n" EVENT(    \
        "content_block_delta") "data: "                                                                                \
                               "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","     \
                               "\"text\":\"hello\"}}\n\n" EVENT("content_block_stop") "data: "                         \
                                                                                      "{\"type\":\"content_block_"     \
                                                                                      "stop\",\"index\":0}\n\n"
#define DELTA(d)                                                                                                       \
    EVENT("message_delta")                                                                                             \
    "data: {\"type\":\"message_delta\",\"delta\":" d ",\"usage\":{\"output_tokens\":5}}\n\n"
#define STOP EVENT("message_stop") "data: {\"type\":\"message_stop\"}\n\n"
#define END  DELTA("{\"stop_reason\":\"end_turn\"}") STOP
#define ERROR(type)                                                                                                    \
    EVENT("error")                                                                                                     \
    "data: {\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"no "                                     \
    "more\"},\"request_id\":\"req_e\"}\n\n"

/* What the model says next, in order, whoever asks. */
typedef struct line {
    const char *stop, *content; /* a reply */
    const char *events;         /* or exact events */
    const char *body, *type;    /* or a body of this content type */
    uint32_t status;
    fake_drop drop;
} line;

static const line *lines;
static size_t line_count, line_next;
static uint64_t line_at[16];
static char last[16384];

static void say(fake *f, const fake_request *r, fake_answer *out) {
    assert_true(line_next < line_count);
    const line *l = &lines[line_next];
    snprintf(last, sizeof last, "%s", r->body);
    line_at[line_next++] = f->now;
    out->drop = l->drop;
    if (l->events) {
        fake_body(out, "%s", l->events);
        out->type = l->type ? l->type : "text/event-stream";
    } else if (l->body) {
        fake_body(out, "%s", l->body);
        out->type = l->type;
    } else if (l->stop) {
        fake_reply(out, l->stop, "%s", l->content);
    }
    if (l->status) out->status = l->status;
}

static void serve(rig *r) {
    r->f->provider.name = WF_STR("anthropic");
    r->f->provider.stream = r->f->provider.priced = true;
    r->config.model = WF_STR(PRICED);
}

static void begin(rig *r, const line *said, size_t count) {
    rig_init(r, 1, NULL, 0);
    r->f->model = say;
    serve(r);
    lines = said;
    line_count = count;
    line_next = 0;
}

#define BEGIN(r, said) begin(r, said, sizeof(said) / sizeof(said)[0])

static wf_run_status status_of(rig *r) {
    wf_run_status s;
    wf_run_status_get(r->w, &s);
    return s;
}

/* ---- streams ---- */

static void test_streamed_conversation(void **state) {
    static const line said[] = {
        {"tool_use", "[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"c2ln\"},{\"type\":\"text\",\"text\":"
                     "\"L\\u00f6ok: \\ud83d\\ude42\"},{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"look\",\"input\":"
                     "{\"a\":[1,2.50,\"\\\"\"]}}]"},
        {"end_turn", TEXT("seen")}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    r.f->small = true;
    rig_start(&r);
    assert_text(rig_do(&r, "go").value, "seen");
    assert_non_null(strstr(last, "\"stream\":true"));
    assert_non_null(strstr(last, "{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"c2ln\"}"));
    assert_non_null(strstr(last, "L\\u00f6ok: \\ud83d\\ude42"));
    assert_non_null(strstr(last, "\"input\":{\"a\":[1,2.50,\"\\\"\"]}"));
    assert_int_equal(status_of(&r).usage.input, 20);
    assert_int_equal(status_of(&r).usage.output, 10);
    rig_end(&r);
}

/* A provider that was asked for events may answer in one body all the same. */
static void test_one_body_instead(void **state) {
    static const line said[] = {{.body = "{\"content\":" TEXT("whole") ",\"stop_reason\":\"end_turn\",\"usage\":{}}",
                                 .type = "application/json"}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    rig_start(&r);
    assert_text(rig_do(&r, "go").value, "whole");
    rig_end(&r);
}

static void test_wrong_content_type(void **state) {
    static const line said[] = {{.body = "<html>Log in</html>", .type = "text/html"}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    rig_start(&r);
    wf_delivery d = rig_do(&r, "go");
    assert_int_equal(d.kind, WF_KIND_PROVIDER);
    assert_int_equal(d.attempts, 1);
    assert_text(d.value, "the answer is no message of this API, but: text/html (request req_1)");
    rig_end(&r);
}

/* Whatever comes after message_stop, and if nothing comes. */
static void test_the_end_is_message_stop(void **state) {
    static const line said[] = {{.events = START HELLO END, .drop = FAKE_LINGER},
                                {.events = START HELLO END "event: ping\ndata: {}\n\n"}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    rig_start(&r);
    assert_text(rig_do(&r, "a").value, "hello");
    assert_text(rig_do(&r, "b").value, "hello");
    assert_in_range(line_at[1] - line_at[0], 1, 50); /* not for long */
    rig_end(&r);
}

/* A server that goes on sending after message_stop holds nobody up. */
static void test_nothing_after_message_stop_counts(void **state) {
    static const line said[] = {{.events = START HELLO END, .drop = FAKE_DRIP}, {.events = START HELLO END}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    rig_start(&r);
    assert_text(rig_do(&r, "a").value, "hello");
    assert_text(rig_do(&r, "b").value, "hello");
    assert_in_range(line_at[1] - line_at[0], 1, 60);
    rig_end(&r);
}

/* What is complete when the deadline passes is no less so for an end that is still awaited. */
static void test_complete_by_the_deadline(void **state) {
    static const line said[] = {{.events = START HELLO END, .drop = FAKE_LINGER}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    r.config.agent_ms = 20;
    rig_start(&r);
    assert_text(rig_do(&r, "a").value, "hello");
    rig_end(&r);
}

/* Proxies answer with pages for people. */
static void test_pages(void **state) {
    static const struct {
        const char *body, *says;
    } cases[] = {
        {"<html>\r\n<head><title>\n 502 Bad Gateway </title></head><body><h1>x</h1></body>", "502 Bad Gateway"},
        {"\n <!DOCTYPE HTML><HTML><HEAD><META x><TITLE lang=en>Off &amp; on</TITLE>", "Off &amp; on"},
        {"<html><body><h1>503 Service Unavailable</h1>\nNo server is available.\n", "503 Service Unavailable"},
        {"<html><title></title><body><H1>Sorry</H1>", "Sorry"},
        {"<html><title>never ends", "<html><title>never ends"},
        {"<p>nothing of that</p>", "<p>nothing of that</p>"},
        {"<", "<"},
        {"a title is <title>no</title> page", "a title is <title>no</title> page"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const line said[] = {{.body = cases[i].body, .type = "text/html", .status = 400}};
        char want[200];
        rig r;
        BEGIN(&r, said);
        rig_start(&r);
        wf_delivery d = rig_do(&r, "go");
        snprintf(want, sizeof want, "the provider answered 400: %s (request req_1)", cases[i].says);
        assert_int_equal(d.kind, WF_KIND_PROVIDER);
        assert_text(d.value, want);
        rig_end(&r);
    }
}

/* The status says enough, though the text that goes with it breaks off, stops or never ends. */
static void test_refusals_with_half_a_body(void **state) {
    static const fake_drop ends[] = {FAKE_DROP_BODY, FAKE_LINGER, FAKE_DRIP};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const line said[] = {{.body = "{\"error\":{\"message\":", .status = 401, .drop = ends[i]}};
        rig r;
        (void)state;
        BEGIN(&r, said);
        r.config.stall_ms = 2000;
        rig_start(&r);
        wf_delivery d = rig_do(&r, "go");
        assert_int_equal(d.kind, WF_KIND_AUTH);
        assert_int_equal(d.attempts, 1);
        assert_true(rig_has(d.value, "the provider answered 401"));
        rig_end(&r);
    }
}

static void test_cut_streams_are_asked_again(void **state) {
    static const line said[] = {{.events = START HELLO},
                                {.events = START HELLO DELTA("{\"stop_reason\":null}"), .drop = FAKE_DROP_BODY},
                                {.events = START "event: content_block_delta\ndata: {]\n\n"},
                                {.events = START HELLO ERROR("overloaded_error")},
                                {.events = START HELLO END}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    rig_start(&r);
    wf_delivery d = rig_do(&r, "go");
    assert_text(d.value, "hello");
    assert_int_equal(d.attempts, 5);
    rig_end(&r);
}

/* Events up to `bytes` of them, then nothing: after so many ms, if those are not 0. */
static char long_reply[8192];

static void cut_after(fake *f, const fake_request *r, fake_answer *out) {
    static const struct {
        size_t bytes;
        uint64_t ms;
    } cuts[] = {{3000, 100},  {3000, 200},                       /* a */
                {3000, 100},  {4000, 100},  {3000, 100}, {0, 0}, /* b */
                {500, 100},   {500, 100},   {0, 0},              /* c: too early to tell anything */
                {2000, 5100}, {3000, 5900},                      /* d */
                {2000, 5100}, {3000, 6100}, {0, 0}};             /* e */
    (void)f;
    (void)r;
    size_t n = cuts[line_next].bytes;
    out->delay_ms = cuts[line_next++].ms;
    if (n == 0)
        fake_body(out, "%s", START HELLO END);
    else
        fake_body(out, "%.*s", (int)n, long_reply);
    out->type = "text/event-stream";
}

/* Two replies that end at the same place, by bytes or by time, are not followed by a third: something cuts them there. */
static void test_cut_at_the_same_place_twice(void **state) {
    static const uint32_t attempts[] = {2, 4, 3, 2, 3};
    rig r;
    (void)state;
    begin(&r, NULL, 0);
    r.f->model = cut_after;
    strcpy(long_reply, START);
    while (strlen(long_reply) < 6000)
        strcat(long_reply, HELLO);
    rig_start(&r);
    for (int i = 0; i < 5; i++) {
        bool alike = i == 0 || i == 3;
        wf_delivery d = rig_do(&r, "go");
        assert_int_equal(d.attempts, attempts[i]);
        assert_int_equal(d.kind, alike ? WF_KIND_PROVIDER : WF_KIND_NONE);
        assert_int_equal(rig_has(d.value, "cut at the same place twice"), alike);
    }
    rig_end(&r);
}

/* What came is whole in substance, however it ended and whatever it was called. */
static void test_whole_in_substance(void **state) {
    static const line said[] = {
        {.events = START HELLO DELTA("{\"stop_reason\":\"end_turn\"}")},
        {.events = START HELLO DELTA("{\"stop_reason\":\"end_turn\"}"), .drop = FAKE_DROP_BODY},
        {.events = START HELLO DELTA("{\"stop_reason\":\"end_turn\"}"), .drop = FAKE_LINGER},
        {.events = START HELLO DELTA("{\"stop_reason\":null}")},
        {.events = START HELLO END, .type = "text/plain"},
        {.events = "\r\n" START HELLO END, .type = "application/octet-stream"},
        {.events = START HELLO END, .type = "application/json"},
        {.body = "\xef\xbb\xbf{\"content\":[{\"type\":\"text\",\"text\":\"hello\"}]}", .type = "text/plain"},
        {.body = "\n{\"content\":[{\"type\":\"text\",\"text\":\"hello\"}]}", .type = "text/event-stream"},
        {.body = "{\"content\":[{\"type\":\"text\",\"text\":\"hello\"}]}", .type = "text/html"},
        {.body = "{\"content\":[{\"type\":\"text\",\"text\":\"hello\"}]}", .drop = FAKE_DROP_BODY}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    rig_start(&r);
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        wf_delivery d = rig_do(&r, "go");
        assert_text(d.value, "hello");
        assert_int_equal(d.attempts, 1);
    }
    rig_end(&r);
}

/* An error is one whatever its status: its type says what it means. */
static void test_errors_under_200(void **state) {
    static const struct {
        const char *body;
        wf_kind kind;
        uint32_t attempts;
    } cases[] = {
        {"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"bad\"}}", WF_KIND_PROVIDER,
         1},
        {"{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"bad\"}}", WF_KIND_AUTH, 1},
        {"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"bad\"}}", WF_KIND_NONE, 2},
        {"{\"error\":{\"message\":\"bad\"}}", WF_KIND_NONE, 2},
        {"{\"error\":\"bad\"}", WF_KIND_NONE, 2}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const line said[] = {{.body = cases[i].body}, {.events = START HELLO END}};
        rig r;
        BEGIN(&r, said);
        rig_start(&r);
        wf_delivery d = rig_do(&r, "go");
        assert_int_equal(d.kind, cases[i].kind);
        assert_int_equal(d.attempts, cases[i].attempts);
        if (d.kind != WF_KIND_NONE) assert_true(rig_has(d.value, "the provider answered with an error: bad"));
        assert_int_equal(d.usage.output, d.kind == WF_KIND_NONE ? 5 : 0);
        rig_end(&r);
    }
}

static void test_error_events(void **state) {
    static const line said[] = {{.events = START HELLO ERROR("invalid_request_error")},
                                {.events = START HELLO ERROR("api_error")}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    rig_start(&r);
    wf_delivery d = rig_do(&r, "a");
    assert_int_equal(d.kind, WF_KIND_PROVIDER);
    assert_text(d.value, "the provider broke its reply off: no more (request req_1)");
    wf_agent_spec spec = {.prompt = WF_STR("b"), .retries = WF_NONE};
    wf_call call;
    assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
    assert_int_equal(rig_take(&r).attempts, 1);
    rig_end(&r);
}

/* An agent's result that came whole is its answer, though the provider broke its reply off after it. */
static void test_error_after_the_result(void **state) {
#define CALL(i, name, json)                                                                                            \
    "data: {\"type\":\"content_block_start\",\"index\":" i ",\"content_block\":{\"type\":\"tool_use\",\"id\":\"u" i    \
    "\",\"name\":\"" name "\"}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":" i                               \
    ",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"" json "\"}}\n\n"
    static const struct {
        const char *events;
        bool rescued;
    } cases[] = {
        {START HELLO CALL("1", "result", "{\\\"n\\\":1}") ERROR("api_error"), true},
        {START CALL("0", "result", "{\\\"n\\\":1}") CALL("1", "look", "{\\\"q") ERROR("api_error"), true},
        {START CALL("3", "look", "{\\\"q") CALL("1", "result", "{\\\"n\\\":1}") HELLO ERROR("api_error"), true},
        {START CALL("0", "result", "{\\\"n\\\":1") ERROR("api_error"), false},
        {START CALL("0", "look", "{}") ERROR("api_error"), false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const line said[] = {{.events = cases[i].events}};
        rig r;
        BEGIN(&r, said);
        rig_start(&r);
        wf_agent_spec spec = {.prompt = WF_STR("a"),
                              .retries = WF_NONE,
                              .schema = WF_STR("{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}}}")};
        wf_call call;
        assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
        wf_delivery d = rig_take(&r);
        assert_int_equal(d.kind, cases[i].rescued ? WF_KIND_NONE : WF_KIND_PROVIDER);
        if (cases[i].rescued) assert_text(d.value, "{\"n\":1}");
        if (cases[i].rescued) assert_true(d.usage.output > 5 && d.usage.estimated > 0);
        rig_end(&r);
    }
}

static void test_refusal_says_why(void **state) {
    static const line said[] = {
        {.events = START HELLO DELTA("{\"stop_reason\":\"refusal\",\"stop_details\":{\"type\":\"refusal\",\"category\":"
                                     "\"cyber\",\"explanation\":\"It would be \\\"unsafe\\\".\"}}") STOP}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    rig_start(&r);
    wf_delivery d = rig_do(&r, "go");
    assert_int_equal(d.kind, WF_KIND_REFUSED);
    assert_true(rig_has(d.value, "It would be \"unsafe\"."));
    assert_true(rig_has(d.value, "(request req_1)"));
    rig_end(&r);
}

/* ---- transport ---- */

static void test_stale_connection_is_no_retry(void **state) {
    static const line said[] = {{"end_turn", TEXT("x"), .drop = FAKE_STALE}, {"end_turn", TEXT("fresh")}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    rig_start(&r);
    wf_agent_spec spec = {.prompt = WF_STR("go"), .retries = WF_NONE};
    wf_call call;
    assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
    assert_text(rig_take(&r).value, "fresh");
    assert_int_equal(line_at[1], line_at[0]);
    rig_end(&r);
}

/* It is sent again at once; but who had the request whole may bill it. */
static void test_stale_connection_may_be_billed(void **state) {
    static const line said[] = {{"end_turn", TEXT("x"), .drop = FAKE_STALE}, {"end_turn", TEXT("fresh")}};
    rig r;
    (void)state;
    for (uint64_t worst = 1; worst < 3; worst++) {
        BEGIN(&r, said);
        r.config.budget_nano_usd = worst * UINT64_C(170000000); /* so many worst cases */
        rig_start(&r);
        rig_ask(&r, "go");
        assert_int_equal(rig_take(&r).stopped, worst == 1);
        assert_int_equal(line_next, worst);
        rig_end(&r);
    }
}

/* A peer that cannot be trusted will not be trusted later: the run stops, to be mended and resumed. */
static void test_final_failure_stops_the_run(void **state) {
    static const line said[] = {{"end_turn", TEXT("x"), .drop = FAKE_FINAL}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    rig_start(&r);
    wf_delivery d = rig_do(&r, "go");
    assert_int_equal(d.kind, WF_KIND_AUTH);
    assert_true(rig_has(d.value, "the provider cannot be reached"));
    assert_int_equal(wf_run_stopping(r.w), WF_RUN_REFUSED);
    rig_end(&r);
}

static void test_context_error(void **state) {
    static const line said[] = {
        {.body = "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: "
                 "210000 tokens > 200000 maximum\"},\"request_id\":\"req_b\"}",
         .status = 400}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    rig_start(&r);
    wf_delivery d = rig_do(&r, "go");
    assert_int_equal(d.kind, WF_KIND_CONTEXT);
    assert_true(rig_has(d.value, "the provider answered 400: prompt is too long"));
    rig_end(&r);
}

/* ---- tools of the provider's own ---- */

static void test_server_tools(void **state) {
    static const line said[] = {
        {"pause_turn", "[{\"type\":\"server_tool_use\",\"id\":\"s1\",\"name\":\"web_search\",\"input\":{\"q\":1}}]"},
        {"end_turn", TEXT("found")}};
    rig r;
    wf_call call;
    (void)state;
    BEGIN(&r, said);
    rig_start(&r);
    wf_agent_spec spec = {.prompt = WF_STR("go"), .tools = WF_STR("look,web_search_20260318")};
    assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
    assert_text(rig_take(&r).value, "found");
    assert_non_null(strstr(last, "{\"type\":\"web_search_20260318\",\"name\":\"web_search\""));
    assert_non_null(
        strstr(last, "{\"type\":\"server_tool_use\",\"id\":\"s1\",\"name\":\"web_search\",\"input\":{\"q\":1}}"));
    spec.tools = WF_STR("web_surf_20260318");
    assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_E_CONFIG);
    rig_end(&r);
}

/* ---- money ---- */

static void test_cost_by_the_list(void **state) {
    static const line said[] = {{"end_turn", TEXT("x")}, {"end_turn", TEXT("y")}};
    rig r;
    wf_call call;
    (void)state;
    BEGIN(&r, said);
    rig_start(&r);
    wf_delivery d = rig_do(&r, "go");
    assert_int_equal(d.usage.nano_usd, 10 * 2000 + 5 * 10000);
    assert_int_equal(d.usage.unpriced, 0);
    wf_agent_spec spec = {.prompt = WF_STR("go"), .model = WF_STR("claude-unheard-of")};
    assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
    d = rig_take(&r);
    assert_int_equal(d.usage.nano_usd, 0);
    assert_int_equal(d.usage.unpriced, 15);
    rig_end(&r);
}

static void test_prices_of_the_config(void **state) {
    static const line said[] = {{"end_turn", TEXT("x")}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    r.config.prices = WF_STR("{\"model\":\"claude-sonnet-5-5\",\"input\":1,\"output\":3,\"write_5m\":1,\"write_1h\":1,"
                             "\"read\":1,\"source\":\"a contract\"}\n");
    rig_start(&r);
    assert_int_equal(rig_do(&r, "go").usage.nano_usd, 10 * 1000 + 5 * 3000);
    rig_end(&r);
}

static void test_no_budget_without_a_price(void **state) {
    static const line said[] = {{"end_turn", TEXT("x")}};
    rig r;
    wf_call call;
    (void)state;
    BEGIN(&r, said);
    rig_start(&r);
    wf_agent_spec spec = {
        .prompt = WF_STR("go"), .model = WF_STR("claude-unheard-of"), .budget_nano_usd = UINT64_C(1000000000000)};
    assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
    wf_delivery d = rig_take(&r);
    assert_int_equal(d.kind, WF_KIND_BUDGET);
    assert_true(rig_has(d.value, "--prices FILE"));
    assert_int_equal(line_next, 0);
    rig_end(&r);
}

/* The worst case of a request is 16,000 tokens out at 10 USD a million, and its bytes: a little more than 0.16 USD. Of a budget of
 * 0.4 USD never more than two are out at once, and none that could overshoot is ever sent. */
static void test_budget_in_usd_is_never_overshot(void **state) {
    rig r;
    uint64_t budget = UINT64_C(400000000);
    (void)state;
    rig_init(&r, 1, NULL, 0);
    serve(&r);
    r.config.budget_nano_usd = budget;
    rig_start(&r);
    for (int i = 0; i < 20; i++)
        rig_ask(&r, "delay=10;");
    for (int i = 0; i < 20; i++)
        assert_int_equal(rig_take(&r).kind, WF_KIND_NONE);
    assert_int_equal(r.f->open_lanes_high, 2);
    assert_int_equal(status_of(&r).usage.nano_usd, 20 * 70000);
    rig_end(&r);
}

static void test_lost_money_stays_spent(void **state) {
    static const line said[] = {{"end_turn", TEXT("x"), .drop = FAKE_DROP_HEAD}, {"end_turn", TEXT("y")}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    r.config.budget_nano_usd = UINT64_C(170000000); /* one worst case, and less than the least beside it */
    rig_start(&r);
    rig_ask(&r, "go");
    wf_delivery d = rig_take(&r);
    assert_true(d.stopped);
    assert_int_equal(wf_run_stopping(r.w), WF_RUN_BUDGET);
    assert_int_equal(line_next, 1);
    rig_crash(&r, FAKE_SYNCED);
    serve(&r);
    rig_ask(&r, "go");
    assert_true(rig_take(&r).stopped); /* the log remembers */
    assert_int_equal(line_next, 1);
    rig_end(&r);
}

/* Of a reply that broke off its input and what had come is held; what it may have cost beyond is shown, over a resume too. */
static void test_a_broken_reply_costs_what_came(void **state) {
    static const line said[] = {{.events = START HELLO START, .drop = FAKE_DROP_BODY}, {"end_turn", TEXT("y")}};
    rig r;
    (void)state;
    BEGIN(&r, said);
    r.config.budget_nano_usd = UINT64_C(200000000); /* one worst case, not two */
    rig_start(&r);
    assert_text(rig_do(&r, "go").value, "y");
    wf_run_status s = status_of(&r);
    assert_in_range(s.lost_nano_usd, 10 * 2000 + 10000, 10 * 2000 + 50 * 10000);
    assert_in_range(s.lost_nano_usd + s.more_nano_usd, 160000000, 165000000);
    assert_int_equal(fake_finish(r.f, r.w, WF_RUN_DONE, "x"), WF_OK);
    rig_crash(&r, FAKE_ALL);
    wf_run_status again = status_of(&r);
    assert_int_equal(again.lost_nano_usd, s.lost_nano_usd);
    assert_int_equal(again.more_nano_usd, s.more_nano_usd);
    rig_end(&r);
}

/* A gateway that never tells: tokens are estimated, so that a budget holds, and are marked so. */
static void test_replies_without_usage(void **state) {
    char text[3001] = "", body[4096];
    line said[12] = {{0}};
    rig r;
    (void)state;
    memset(text, 'w', sizeof text - 1);
    snprintf(body, sizeof body, "{\"stop_reason\":\"end_turn\",\"content\":" TEXT("%s") "}", text);
    for (size_t i = 0; i < 12; i++)
        said[i] = (line){.body = body, .type = "application/json"};
    BEGIN(&r, said);
    r.config.budget_tokens = 8000;
    r.config.max_tokens = 1500;
    rig_start(&r);
    wf_delivery d = rig_do(&r, "go");
    assert_in_range(d.usage.output, 1000, 1100); /* three bytes a token */
    assert_in_range(d.usage.input, 100, 1000);
    assert_int_equal(d.usage.estimated, d.usage.input + d.usage.output);
    assert_int_equal(d.usage.nano_usd, d.usage.input * 2000 + d.usage.output * 10000);
    while (!rig_do(&r, "more").stopped)
        assert_true(line_next < 12);
    wf_usage u = status_of(&r).usage;
    assert_in_range(u.input + u.output, 5000, 8000);
    assert_true(rig_has(status_of(&r).text, "it sets aside "));
    rig_end(&r);
}

/* Near the end of a budget a reply may be no longer than what fits; one that is cut there fails for the budget, and is asked again
 * by a run that has more. */
static void test_max_tokens_is_lowered_to_what_fits(void **state) {
    static const line said[] = {{"end_turn", TEXT("x")}, {"max_tokens", TEXT("y")}, {"end_turn", TEXT("z")}};
    rig r;
    (void)state;
    for (int own = 0; own < 2; own++) {
        wf_call call;
        BEGIN(&r, said);
        wf_agent_spec spec = {.prompt = WF_STR("go")};
        uint64_t budget = UINT64_C(50000000); /* some 4,900 tokens out */
        if (own)
            spec.budget_nano_usd = budget;
        else
            r.config.budget_nano_usd = budget;
        rig_start(&r);
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
            wf_delivery d = rig_take(&r);
            const char *most = strstr(last, "\"max_tokens\":");
            assert_in_range(strtoull(most + 13, NULL, 10), 4500, 5000);
            assert_int_equal(d.kind, i == 0 ? WF_KIND_NONE : WF_KIND_BUDGET);
            assert_int_equal(d.stopped, i == 1 && !own); /* what stops the run is no answer */
        }
        uint32_t wait;
        assert_int_equal(wf_step(r.w, 1, &wait), WF_OK); /* the deliveries are in the file */
        assert_int_equal(wf_run_stopping(r.w), own ? WF_RUN_OPEN : WF_RUN_BUDGET);
        r.config.budget_nano_usd = 0;
        rig_crash(&r, FAKE_ALL);
        serve(&r);
        spec.budget_nano_usd = 0;
        for (uint32_t i = 0; i < 2; i++)
            assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
        assert_text(rig_take(&r).value, "x");
        wf_delivery d = rig_take(&r);
        assert_int_equal(d.kind, own ? WF_KIND_BUDGET : WF_KIND_NONE); /* its own limit was an answer */
        if (!own) assert_text(d.value, "z");
        if (!own) assert_non_null(strstr(last, "\"max_tokens\":16000")); /* nor was it raised for the cut */
        rig_end(&r);
    }
}

/* ---- keys ---- */

#define KEY "sk-ant-Abcdef0123456789/Ghijklmnop0123456789-Qrstuvwxyz0123456789_The-End"

/* Whether eight bytes of the key in a row are there, in any case. */
static bool has_key(const void *text, size_t n) {
    const char *p = text;
    for (size_t at = 0; at + 8 <= n; at++)
        for (size_t k = 0; k + 8 < sizeof KEY; k++)
            if (strncasecmp(p + at, KEY + k, 8) == 0) return true;
    return false;
}

/* A server that repeats the key, at each place around all cuts that a message may meet: nobody sees a part of it. */
static void test_no_part_of_a_key_is_shown(void **state) {
    static const size_t cuts[] = {100, 200, 256, 3696, 4096};
    static const struct {
        const char *before, *after, *type;
        uint32_t status;
    } ways[] = {
        {EVENT("error") "data: {\"error\":{\"type\":\"invalid_request_error\",\"message\":\"", "\"}}\n\n",
         "text/event-stream", 200},
        {EVENT("error") "data: ", "\n\n", "text/event-stream", 200},
        {START HELLO EVENT("message_delta") "data: {\"delta\":{\"stop_reason\":\"", "\"}}\n\n" STOP,
         "text/event-stream", 200},
        {"", "", "text/plain", 400},
        {"{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"", "\"}}", NULL, 400},
        {"{\"stop_reason\":\"end_turn\",\"content\":[{\"type\":\"text\",\"text\":\"", "\"}]}", NULL, 200},
    };
    (void)state;
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++)
        for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
            for (size_t pad = cuts[i] < sizeof KEY ? 0 : cuts[i] - sizeof KEY; pad < cuts[i] + 8; pad += 3) {
                char body[8192], xs[4200];
                size_t size;
                rig r;
                memset(xs, 'x', pad);
                xs[pad] = 0;
                snprintf(body, sizeof body, "%s%s%s%s", ways[way].before, xs, KEY, ways[way].after);
                const line said[] = {{.body = body, .type = ways[way].type, .status = ways[way].status}};
                BEGIN(&r, said);
                r.f->key = KEY;
                r.config.retries = WF_NONE;
                rig_start(&r);
                wf_delivery d = rig_do(&r, "go");
                if (has_key(d.value.ptr, d.value.len)) fail_msg("way %zu, after %zu: %s", way, pad, d.value.ptr);
                uint8_t *log = fake_crash(r.f, FAKE_ALL, 0, &size);
                assert_false(has_key(log, size));
                free(log);
                rig_end(&r);
            }
}

/* Writes the key with the characters that `which` picks as \uXXXX; other digits are in upper case where `upper`. */
static void escape_key(char *out, bool (*which)(char), bool upper) {
    for (const char *k = KEY; *k; k++)
        out += which(*k) ? sprintf(out, upper ? "\\u%04X" : "\\u%04x", (unsigned)*k) : sprintf(out, "%c", *k);
}

static bool any_char(char c) {
    return c != 0;
}

static bool a_dash(char c) {
    return c == '-';
}

/* Takes the escapes out of a log, so that nothing hides in them. */
static size_t unescape(uint8_t *p, size_t n) {
    size_t to = 0;
    for (size_t i = 0; i < n; to++) {
        unsigned code;
        bool escaped = i + 6 <= n && p[i] == '\\' && p[i + 1] == 'u' && sscanf((char *)p + i + 2, "%4x", &code) == 1;
        p[to] = escaped ? (uint8_t)code : p[i];
        i += escaped ? 6 : 1;
    }
    return to;
}

/* A model that has learnt the key writes it with escapes, in a text or for a tool. */
static void test_no_escaped_key_is_kept(void **state) {
    static const char *const blocks[] = {"{\"type\":\"text\",\"text\":\"%s\"}",
                                         "{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"tool_use\",\"id\":\"t\","
                                         "\"name\":\"none\",\"input\":{\"a\":\"%s\"}}"};
    (void)state;
    for (unsigned form = 0; form < 8; form++) {
        char key[6 * sizeof KEY], content[1024], body[2048];
        size_t size;
        rig r;
        escape_key(key, (form & 1) ? any_char : a_dash, (form & 2) != 0);
        snprintf(content, sizeof content, blocks[form >> 2], key);
        snprintf(body, sizeof body, "{\"stop_reason\":\"%s\",\"content\":[%s]}", form >> 2 ? "tool_use" : "end_turn",
                 content);
        const line said[] = {{.body = body, .status = 200}, {"end_turn", TEXT("done")}};
        BEGIN(&r, said);
        r.f->key = KEY;
        rig_start(&r);
        wf_delivery d = rig_do(&r, "go");
        assert_int_equal(d.kind, WF_KIND_NONE);
        assert_false(has_key(d.value.ptr, d.value.len));
        uint8_t *log = fake_crash(r.f, FAKE_ALL, 0, &size);
        if (has_key(log, unescape(log, size))) fail_msg("form %u", form);
        free(log);
        rig_end(&r);
    }
}

/* Whatever charset a server's error is in, the message is text. */
static void test_messages_are_utf8(void **state) {
    char body[400];
    (void)state;
    for (size_t pad = 190; pad < 204; pad++) {
        rig r;
        size_t n = 0;
        memset(body, 'x', sizeof body);
        memcpy(body + pad, "\xc3\xa9\xe9t\xe9", 6);
        const line said[] = {{.body = body, .type = "text/plain", .status = 400}};
        BEGIN(&r, said);
        rig_start(&r);
        wf_delivery d = rig_do(&r, "go");
        for (size_t i = 0; i < d.value.len; n++) {
            size_t len = wfi_utf8_len((const uint8_t *)d.value.ptr + i, d.value.len - i);
            assert_true(len > 0);
            i += len;
        }
        assert_true(n > 190);
        rig_end(&r);
    }
}

/* ---- refusals ---- */

/* What the run makes of refusals: after a success, one fails its agent, and what is no error of the API is asked again. */
static void test_one_odd_refusal_fails_its_agent(void **state) {
    static const line ok = {"end_turn", TEXT("x")};
    static const line api = {.body = "{\"error\":{\"type\":\"permission_error\",\"message\":\"no\"}}", .status = 403};
    static const line wall = {.body = "upstream connect error", .type = "text/plain", .status = 403};
    static const struct {
        const char *replies; /* o: fine, a: an error of the API, w: something else's */
        uint32_t agents, failed;
        wf_outcome outcome;
    } cases[] = {{"oao", 3, 1, WF_RUN_OPEN},  {"oaoao", 5, 2, WF_RUN_OPEN},   {"oaa", 3, 2, WF_RUN_REFUSED},
                 {"a", 1, 1, WF_RUN_REFUSED}, {"w", 1, 1, WF_RUN_REFUSED},    {"owo", 2, 0, WF_RUN_OPEN},
                 {"owwo", 2, 1, WF_RUN_OPEN}, {"owwww", 3, 2, WF_RUN_REFUSED}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        line said[8];
        rig r;
        uint32_t failed = 0;
        size_t n = strlen(cases[i].replies);
        for (size_t k = 0; k < n; k++)
            said[k] = cases[i].replies[k] == 'o' ? ok : cases[i].replies[k] == 'a' ? api : wall;
        if (i == 6) said[3] = ok;
        begin(&r, said, n);
        r.config.retries = 1;
        r.config.lanes = 1;
        rig_start(&r);
        for (uint32_t k = 0; k < cases[i].agents; k++)
            failed += rig_do(&r, "go").kind == WF_KIND_AUTH;
        if (i == 6) assert_int_equal(rig_do(&r, "go").kind, WF_KIND_NONE);
        assert_int_equal(failed, cases[i].failed);
        assert_int_equal(wf_run_stopping(r.w), cases[i].outcome);
        assert_int_equal(line_next, n);
        rig_end(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streamed_conversation),
        cmocka_unit_test(test_one_body_instead),
        cmocka_unit_test(test_wrong_content_type),
        cmocka_unit_test(test_the_end_is_message_stop),
        cmocka_unit_test(test_nothing_after_message_stop_counts),
        cmocka_unit_test(test_complete_by_the_deadline),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_refusals_with_half_a_body),
        cmocka_unit_test(test_cut_streams_are_asked_again),
        cmocka_unit_test(test_cut_at_the_same_place_twice),
        cmocka_unit_test(test_whole_in_substance),
        cmocka_unit_test(test_errors_under_200),
        cmocka_unit_test(test_error_events),
        cmocka_unit_test(test_error_after_the_result),
        cmocka_unit_test(test_refusal_says_why),
        cmocka_unit_test(test_stale_connection_is_no_retry),
        cmocka_unit_test(test_stale_connection_may_be_billed),
        cmocka_unit_test(test_final_failure_stops_the_run),
        cmocka_unit_test(test_context_error),
        cmocka_unit_test(test_server_tools),
        cmocka_unit_test(test_cost_by_the_list),
        cmocka_unit_test(test_prices_of_the_config),
        cmocka_unit_test(test_no_budget_without_a_price),
        cmocka_unit_test(test_budget_in_usd_is_never_overshot),
        cmocka_unit_test(test_lost_money_stays_spent),
        cmocka_unit_test(test_a_broken_reply_costs_what_came),
        cmocka_unit_test(test_replies_without_usage),
        cmocka_unit_test(test_max_tokens_is_lowered_to_what_fits),
        cmocka_unit_test(test_no_part_of_a_key_is_shown),
        cmocka_unit_test(test_no_escaped_key_is_kept),
        cmocka_unit_test(test_messages_are_utf8),
        cmocka_unit_test(test_one_odd_refusal_fails_its_agent),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
