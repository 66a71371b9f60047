/* Rules models as a transport: answers, delays, errors, mistakes of every kind, lanes that are given up, memory, many lanes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/api/json.h"
#include "src/api/lua.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define LANES    1000u
#define TURNS    2000000u

typedef struct bench {
    uint64_t now, tick; /* tick: ms that pass at each look at the clock */
    wf_rules *rules;
    void *memory;
    char file[64]; /* of the model */
} bench;

static uint64_t bench_now(void *ctx) {
    bench *b = ctx;
    return b->now += b->tick;
}

static void write_model(const char *file, const char *text, size_t n) {
    FILE *f = fopen(file, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static bench *bench_open(const char *model, size_t memory) {
    bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    strcpy(b->file, "/tmp/rules-XXXXXX");
    int fd = mkstemp(b->file);
    assert_true(fd >= 0);
    close(fd);
    write_model(b->file, model, strlen(model));
    b->now = 1000;
    b->memory = malloc(memory);
    assert_non_null(b->memory);
    wf_rules_config config = {
        .now_ms = bench_now, .ctx = b, .lanes = LANES, .memory = b->memory, .memory_size = memory, .max_ms = 500};
    assert_int_equal(wf_rules_open(&b->rules, &config), WF_OK);
    return b;
}

static void bench_close(bench *b) {
    wf_rules_close(b->rules);
    unlink(b->file);
    free(b->memory);
    free(b);
}

typedef struct reply {
    wf_response head;
    char *body;
    size_t len;
} reply;

static void begin(bench *b, uint32_t lane, const char *file, const char *body, size_t len) {
    wf_request request = {.model = wf_str_of(file, strlen(file)), .body_len = len};
    assert_int_equal(wf_rules_ops()->begin(b->rules, lane, &request), WF_OK);
    for (size_t at = 0, sent; at < len; at += sent) {
        size_t n = len - at < 5000 ? len - at : 5000;
        assert_int_equal(wf_rules_ops()->send(b->rules, lane, body + at, n, &sent), WF_OK);
        assert_in_range(sent, 1, n);
    }
}

static void ask(bench *b, uint32_t lane, const char *body) {
    begin(b, lane, b->file, body, strlen(body));
}

static bool is_ready(bench *b, uint32_t lane) {
    static uint32_t lanes[LANES];
    uint32_t n = wf_rules_ops()->ready(b->rules, lanes, LANES);
    for (uint32_t i = 0; i < n; i++)
        if (lanes[i] == lane) return true;
    return false;
}

/* Reads the reply as the core does: asks a lane when it is named, sleeps until what is due. Status 0: memory ran out. */
static reply take(bench *b, uint32_t lane) {
    const wf_model_ops *ops = wf_rules_ops();
    reply r = {.body = malloc(1 << 16)};
    assert_non_null(r.body);
    wf_status s = WF_AGAIN;
    for (uint32_t turn = 0; s == WF_AGAIN; turn++) {
        static uint32_t lanes[LANES];
        assert_true(turn < TURNS);
        uint32_t n = ops->ready(b->rules, lanes, LANES);
        for (uint32_t i = 0; i < n; i++) {
            wf_response other;
            if (lanes[i] == lane)
                s = ops->head(b->rules, lane, &r.head);
            else
                (void)ops->head(b->rules, lanes[i], &other);
        }
        if (n > 0) continue;
        assert_true(ops->due(b->rules) != UINT64_MAX);
        if (ops->due(b->rules) > b->now) b->now = ops->due(b->rules);
    }
    if (s == WF_E_MEMORY) {
        r.len = (size_t)sprintf(r.body, "\"not enough memory\"");
        ops->end(b->rules, lane);
        return r;
    }
    assert_int_equal(s, WF_OK);
    size_t cap = 1 << 16, got;
    while ((s = ops->recv(b->rules, lane, r.body + r.len, cap - r.len - 1, &got)) == WF_OK) {
        r.len += got;
        if (r.len + 1 == cap) r.body = realloc(r.body, cap *= 2);
        assert_non_null(r.body);
    }
    assert_int_equal(s, WF_END);
    r.body[r.len] = 0;
    ops->end(b->rules, lane);
    return r;
}

static const char hello[] = "{\"model\":\"m\",\"max_tokens\":5,\"system\":\"sys\",\"tools\":[{\"name\":\"read\"}],"
                            "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hello\"}]}]}";

typedef struct rules_case {
    const char *model;
    uint32_t status;
    const char *want; /* part of the body */
} rules_case;

static void check_cases(const rules_case *cases, size_t count) {
    bool fine = true;
    for (size_t i = 0; i < count; i++) {
        bench *b = bench_open(cases[i].model, 4u << 20);
        b->tick = 1;
        ask(b, 3, hello);
        reply r = take(b, 3);
        wf_json j;
        wf_json_init(&j, wf_str_of(r.body, r.len));
        bool one = r.head.status == cases[i].status && strstr(r.body, cases[i].want) != NULL &&
                   wf_json_skip(&j, wf_json_next(&j), NULL) == WF_OK && wf_json_next(&j) == WF_JSON_END;
        if (!one)
            print_error("%s\n  wanted: %u %s\n  got:    %u %s\n", cases[i].model, cases[i].status, cases[i].want,
                        r.head.status, r.body);
        fine &= one;
        free(r.body);
        bench_close(b);
    }
    assert_true(fine);
}

#define MODEL(answer) "return function(r) return " answer " end"

static void answers_become_messages(void **state) {
    (void)state;
    static const rules_case cases[] = {
        {MODEL("{ text = 'hi' }"), 200, "\"content\":[{\"text\":\"hi\",\"type\":\"text\"}]"},
        {MODEL("{ text = 'hi' }"), 200, "\"stop_reason\":\"end_turn\""},
        {MODEL("{ text = '' }"), 200, "\"content\":[{\"text\":\"\",\"type\":\"text\"}]"},
        {MODEL("{ text = r.messages[1].content[1].text .. r.system .. r.tools[1].name .. r.max_tokens .. r.model }"),
         200, "hellosysread5m"},
        {MODEL("{ tool = { name = 'read', input = { path = 'a' } } }"), 200,
         "{\"id\":\"toolu_1_1\",\"input\":{\"path\":\"a\"},\"name\":\"read\",\"type\":\"tool_use\"}"},
        {MODEL("{ tool = { name = 'read' } }"), 200, "\"input\":{}"},
        {MODEL("{ tool = { name = 'read' } }"), 200, "\"stop_reason\":\"tool_use\""},
        {MODEL("{ text = 'x', tools = { { name = 'a' }, { name = 'b' } } }"), 200, "\"id\":\"toolu_1_2\""},
        {MODEL("{ text = 'x', stop_reason = 'refusal' }"), 200, "\"stop_reason\":\"refusal\""},
        {MODEL("{ text = 'x', usage = { input_tokens = 7, output_tokens = 8, usd = 0.25 } }"), 200,
         "\"usage\":{\"input_tokens\":7,\"output_tokens\":8,\"usd\":0.25}"},
        {MODEL("{ error = { status = 529, message = 'busy' } }"), 529, "\"message\":\"busy\""},
        {MODEL("{ error = {} }"), 500, "an error of the rules model"},
        {"local n = 0 " MODEL("{ text = json.encode(r.messages) }"), 200, "hello"},
        {MODEL("{ text = '\\xff' }"), 200, "\xef\xbf\xbd"},
        {"print('said to nobody') " MODEL("{ text = 'hi' }"), 200, "hi"},
    };
    check_cases(cases, COUNT(cases));
}

static void malformed_answers_fail_at_once(void **state) {
    (void)state;
#define BAD "the model's answer is not valid: "
    static const rules_case cases[] = {
        {MODEL("nil"), 400, BAD "a table is expected, got nil"},
        {MODEL("'text'"), 400, BAD "a table is expected, got string"},
        {MODEL("{}"), 400, BAD "it has none of text, tool, tools, error"},
        {MODEL("{ text = 3 }"), 400, BAD "text must be a text"},
        {MODEL("{ txt = 'x' }"), 400, BAD "there is no field 'txt'"},
        {MODEL("{ 'x' }"), 400, BAD "there is no field '1'"},
        {MODEL("{ tool = 'x' }"), 400, BAD "a tool needs a name"},
        {MODEL("{ tool = {} }"), 400, BAD "a tool needs a name"},
        {MODEL("{ tool = { name = 3 } }"), 400, BAD "a tool needs a name"},
        {MODEL("{ tool = { name = 'x', input = 3 } }"), 400, BAD "a tool's input must be a table"},
        {MODEL("{ tool = { name = 'x', input = { print } } }"), 400, "no JSON form"},
        {"local t = {} t.t = t " MODEL("{ tool = { name = 'x', input = t } }"), 400, "nested deeper than 128"},
        {MODEL("{ tools = 3 }"), 400, BAD "tools must be a list"},
        {MODEL("{ tools = { 3 } }"), 400, BAD "a tool needs a name"},
        {MODEL("{ tools = {} }"), 400, BAD "it has none of"},
        {MODEL("{ text = 'x', delay = 'x' }"), 400, BAD "delay must be a number from 0 to 86400"},
        {MODEL("{ text = 'x', delay = -1 }"), 400, BAD "delay must be"},
        {MODEL("{ text = 'x', delay = 1/0 }"), 400, BAD "delay must be"},
        {MODEL("{ text = 'x', delay = 0/0 }"), 400, BAD "delay must be"},
        {MODEL("{ text = 'x', usage = 3 }"), 400, BAD "usage must be a table"},
        {MODEL("{ text = 'x', usage = { input_tokens = -1 } }"), 400, BAD "usage.input_tokens must be a number"},
        {MODEL("{ text = 'x', usage = { input_tokens = 1.5 } }"), 400, BAD "usage.input_tokens must be a whole number"},
        {MODEL("{ text = 'x', usage = { usd = '1' } }"), 400, BAD "usage.usd must be a number"},
        {MODEL("{ text = 'x', stop_reason = {} }"), 400, BAD "stop_reason must be a text"},
        {MODEL("{ error = 'x' }"), 400, BAD "error must be a table"},
        {MODEL("{ error = { status = 200 } }"), 400, BAD "error.status must be 400 to 599"},
        {MODEL("{ error = { status = '429' } }"), 400, BAD "error.status must be 400 to 599"},
        {MODEL("{ error = { status = 429, retry_after = -1 } }"), 400, BAD "error.retry_after must be"},
        {MODEL("{ error = { status = 429, message = setmetatable({}, { __tostring = error }) } }"), 400, "\"error\""},
        {MODEL("setmetatable({}, { __index = function() error('hidden') end })"), 400, "hidden"},
    };
    check_cases(cases, COUNT(cases));
}

static void models_that_misbehave_fail_at_once(void **state) {
    (void)state;
#define ENDLESS "longer than one request may take"
    static const rules_case cases[] = {
        {MODEL("error('oops')"), 400, ":1: oops"},
        {MODEL("error({})"), 400, "a value that is no text"},
        {MODEL("error(42)"), 400, "a value that is no text"},
        {MODEL("error()"), 400, "a value that is no text"},
        {MODEL("r.messages.nothing.here"), 400, "attempt to index a nil value"},
        {MODEL("now()"), 400, "undefined global 'now'"},
        {MODEL("random()"), 400, "undefined global 'random'"},
        {MODEL("math.random()"), 400, "attempt to call a nil value"},
        {MODEL("agent('x')"), 400, "undefined global 'agent'"},
        {MODEL("io.read()"), 400, "there is no 'io'"},
        {"return function() while true do end end", 400, ENDLESS},
        {"return function() while true do pcall(function() while true do end end) end end", 400, ENDLESS},
        {"return function() ('a'):rep(300000):find('.-.-.-b') end", 400, ENDLESS},
        {"return function() table.sort({ 3, 1, 2 }, function() while true do end end) end", 400, ENDLESS},
        {"return function() local s = ('x'):rep(1e6) while true do local u = s .. 'y' end end", 400, ENDLESS},
        {"return function() return setmetatable({}, { __pairs = function() while true do end end }) end", 400, ENDLESS},
        {"local function f() return 1 + f() end return f", 0, "not enough memory"},
        {"return function() return ('x'):rep(1 << 30) end", 0, "not enough memory"},
        {"return function() local t = {} while true do t[#t + 1] = {} end end", 0, "not enough memory"},
        {"local t = {} return function() t[1] = t[1] and error('kept') or true return { text = 'x' } end", 200, "x"},
    };
    check_cases(cases, COUNT(cases));
}

static void files_that_do_not_load_say_why(void **state) {
    (void)state;
    static const rules_case cases[] = {
        {"return function(", 404, ":1: "},
        {"", 404, "the file must return function(request), it returned a nil"},
        {"return 3", 404, "the file must return function(request), it returned a number"},
        {"error('at once')", 404, ":1: at once"},
        {"error({})", 404, "it raised a value that is no text"},
        {"error(7)", 404, "it raised a value that is no text"},
        {"while true do end", 404, ENDLESS},
        {"local t = {} while true do t[#t + 1] = {} end", 404, "not enough memory"},
        {"\x1bLua", 404, "binary chunk"},
    };
    check_cases(cases, COUNT(cases));

    bench *b = bench_open(MODEL("{ text = 'x' }"), 4u << 20);
    begin(b, 0, "/nowhere/at/all.lua", "{}", 2);
    reply r = take(b, 0);
    assert_int_equal(r.head.status, 404);
    assert_non_null(strstr(r.body, "/nowhere/at/all.lua: No such file or directory; check the path of the rules file"));
    free(r.body);
    char longer[400];
    memset(longer, 'n', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    begin(b, 0, longer, "{}", 2);
    r = take(b, 0);
    assert_int_equal(r.head.status, 404);
    assert_non_null(strstr(r.body, "empty, too long, or the fifth"));
    free(r.body);
    begin(b, 0, "", "{}", 2);
    r = take(b, 0);
    assert_int_equal(r.head.status, 404);
    free(r.body);
    wf_request odd = {.model = wf_str_of(b->file, strlen(b->file) + 1),
                      .body_len = 2}; /* its zero byte is in the name */
    assert_int_equal(wf_rules_ops()->begin(b->rules, 0, &odd), WF_OK);
    r = take(b, 0);
    assert_int_equal(r.head.status, 404);
    free(r.body);
    const size_t big = (1u << 20) + 10;
    char *text = malloc(big);
    assert_non_null(text);
    memset(text, '-', big);
    write_model(b->file, text, big);
    free(text);
    ask(b, 0, hello);
    r = take(b, 0);
    assert_int_equal(r.head.status, 404);
    assert_non_null(strstr(r.body, "is over 1 MiB"));
    free(r.body);
    bench_close(b);
}

static void four_files_and_no_fifth(void **state) {
    (void)state;
    bench *b = bench_open(MODEL("{ text = 'first' }"), 8u << 20);
    char files[5][80];
    wf_str why;
    for (int i = 0; i < 5; i++) {
        char text[80];
        snprintf(files[i], sizeof files[i], "%s.%d", b->file, i);
        snprintf(text, sizeof text, MODEL("{ text = 'file %d' }"), i);
        write_model(files[i], text, strlen(text));
        wf_status s = wf_rules_load(b->rules, wf_str_of(files[i], strlen(files[i])), &why);
        assert_int_equal(s, i < 4 ? WF_OK : WF_E_LIMIT);
        assert_int_equal(why.len > 0, i == 4);
    }
    for (uint32_t i = 0; i < 5; i++)
        begin(b, i, files[i], hello, strlen(hello));
    for (uint32_t i = 0; i < 5; i++) {
        char want[20];
        reply r = take(b, i);
        snprintf(want, sizeof want, "file %u", i);
        assert_int_equal(r.head.status, i < 4 ? 200 : 404);
        assert_non_null(strstr(r.body, i < 4 ? want : "the fifth"));
        free(r.body);
        unlink(files[i]);
    }
    bench_close(b);
}

static void delays_wait_on_the_clock(void **state) {
    (void)state;
    bench *b = bench_open(MODEL("{ text = 'x', delay = tonumber(r.messages[1].content) }"), 4u << 20);
    const wf_model_ops *ops = wf_rules_ops();
    wf_response head;
    ask(b, 0, "{\"messages\":[{\"content\":\"0.5\"}]}");
    ask(b, 1, "{\"messages\":[{\"content\":\"0.0501\"}]}");
    ask(b, 2, "{\"messages\":[{\"content\":\"0\"}]}");
    for (uint32_t lane = 0; lane < 3; lane++)
        while (ops->due(b->rules) == 0) /* somebody thinks */
            for (uint32_t i = 0; i < 3; i++)
                (void)ops->head(b->rules, i, &head);
    assert_true(is_ready(b, 2) && !is_ready(b, 1) && !is_ready(b, 0));
    assert_int_equal(ops->due(b->rules), 1000);
    ops->end(b->rules, 2);
    assert_int_equal(ops->due(b->rules), 1050);
    assert_int_equal(ops->head(b->rules, 1, &head), WF_AGAIN);
    b->now = 1049;
    assert_int_equal(ops->head(b->rules, 1, &head), WF_AGAIN);
    b->now = 1050;
    assert_true(is_ready(b, 1));
    assert_int_equal(ops->head(b->rules, 1, &head), WF_OK);
    ops->end(b->rules, 1);
    assert_int_equal(ops->due(b->rules), 1500);
    ops->end(b->rules, 0);
    assert_int_equal(ops->due(b->rules), UINT64_MAX);
    bench_close(b);
}

static void errors_carry_retry_after(void **state) {
    (void)state;
    static const struct {
        const char *model;
        int64_t after;
    } cases[] = {{MODEL("{ error = { status = 429, retry_after = 1.5 } }"), 1500},
                 {MODEL("{ error = { status = 429, retry_after = 0 } }"), 0},
                 {MODEL("{ error = { status = 429 } }"), -1},
                 {MODEL("{ text = 'x' }"), -1},
                 {MODEL("nil"), -1}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        bench *b = bench_open(cases[i].model, 4u << 20);
        b->tick = 1;
        ask(b, 0, hello);
        reply r = take(b, 0);
        assert_int_equal(r.head.retry_after_ms, cases[i].after);
        assert_int_equal(r.head.should_retry, -1);
        free(r.body);
        bench_close(b);
    }
}

static void the_same_request_has_the_same_answer(void **state) {
    (void)state;
    bench *b = bench_open(
        MODEL("{ text = json.encode(r), tools = { { name = 'a', input = { 1, 2 } }, { name = 'b' } } }"), 4u << 20);
    ask(b, 0, hello);
    reply first = take(b, 0);
    for (uint32_t i = 1; i < 50; i++) {
        ask(b, i, hello);
        reply r = take(b, i);
        assert_string_equal(r.body, first.body);
        free(r.body);
    }
    free(first.body);
    bench_close(b);
}

static void requests_that_are_no_json_are_refused(void **state) {
    (void)state;
    bench *b = bench_open(MODEL("{ text = 'x' }"), 4u << 20);
    const char *const bad[] = {"{", "nonsense", "{\"messages\":[}", "[1e999]"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        ask(b, 0, bad[i]);
        reply r = take(b, 0);
        assert_int_equal(r.head.status, 400);
        assert_non_null(strstr(r.body, "bad JSON"));
        free(r.body);
    }
    ask(b, 0, "[]"); /* no request, but JSON: the model's own affair */
    reply r = take(b, 0);
    assert_int_equal(r.head.status, 200);
    free(r.body);
    bench_close(b);
}

/* Large requests one after the other: what one leaves behind makes room for the next. */
static void large_requests_fit_or_say_so(void **state) {
    (void)state;
    const size_t size = 10u << 20;
    char *body = malloc(size + 100);
    assert_non_null(body);
    int n = sprintf(body, "{\"messages\":[{\"content\":\"");
    memset(body + n, 'x', size);
    strcpy(body + n + size, "\"}]}");
    bench *b = bench_open(MODEL("{ text = 'seen ' .. #r.messages[1].content }"), 32u << 20);
    for (uint32_t i = 0; i < 5; i++) {
        ask(b, i, body);
        reply r = take(b, i);
        if (r.head.status != 200) fail_msg("request %u: %u %s", i, r.head.status, r.body);
        assert_non_null(strstr(r.body, "seen 10485760"));
        free(r.body);
    }
    bench_close(b);
    b = bench_open(MODEL("{ text = 'x' }"), 4u << 20);
    ask(b, 0, body);
    reply r = take(b, 0);
    assert_int_equal(r.head.status, 0);
    free(r.body);
    ask(b, 0, hello); /* and it goes on */
    r = take(b, 0);
    assert_int_equal(r.head.status, 200);
    free(r.body);
    bench_close(b);
    b = bench_open(MODEL("{ text = 'x' }"), 12u << 20); /* the text fits, but not decoded beside it */
    ask(b, 0, body);
    r = take(b, 0);
    assert_int_equal(r.head.status, 0);
    free(r.body);
    bench_close(b);
    free(body);
}

static void lanes_may_be_given_up_at_any_time(void **state) {
    (void)state;
    const wf_model_ops *ops = wf_rules_ops();
    bench *b = bench_open(
        "return function(r) local n = 0 for i = 1, 500000 do n = n + i end return { text = 'done', delay = 1 } end",
        4u << 20);
    wf_request request = {.model = wf_str_of(b->file, strlen(b->file)), .body_len = strlen(hello)};
    wf_response head;
    size_t sent;
    b->tick = 1;
    /* while it is filling */
    assert_int_equal(ops->begin(b->rules, 0, &request), WF_OK);
    assert_int_equal(ops->send(b->rules, 0, hello, 10, &sent), WF_OK);
    ops->end(b->rules, 0);
    /* at once */
    assert_int_equal(ops->begin(b->rules, 0, &request), WF_OK);
    ops->end(b->rules, 0);
    /* while it thinks; the one behind it is next, the one that waits third is given up too */
    ask(b, 0, hello);
    ask(b, 1, hello);
    ask(b, 2, hello);
    assert_int_equal(ops->head(b->rules, 0, &head), WF_AGAIN);
    assert_int_equal(ops->head(b->rules, 1, &head), WF_AGAIN);
    ops->end(b->rules, 2);
    ops->end(b->rules, 0);
    assert_int_equal(ops->due(b->rules), 0);
    reply r = take(b, 1);
    assert_int_equal(r.head.status, 200);
    free(r.body);
    /* while its delay runs */
    ask(b, 0, hello);
    while (ops->due(b->rules) == 0)
        assert_int_equal(ops->head(b->rules, 0, &head), WF_AGAIN);
    ops->end(b->rules, 0);
    assert_int_equal(ops->due(b->rules), UINT64_MAX);
    /* half read */
    char some[8];
    ask(b, 0, hello);
    while (ops->head(b->rules, 0, &head) == WF_AGAIN)
        if (ops->due(b->rules) > 0) b->now = ops->due(b->rules);
    assert_int_equal(ops->recv(b->rules, 0, some, sizeof some, &sent), WF_OK);
    ops->end(b->rules, 0);
    ask(b, 0, hello);
    r = take(b, 0);
    assert_int_equal(r.head.status, 200);
    free(r.body);
    bench_close(b);
}

static void many_lanes_are_answered_in_turn(void **state) {
    (void)state;
    bench *b = bench_open(MODEL("{ text = 'x', delay = 0.05 }"), 16u << 20);
    for (uint32_t i = 0; i < LANES; i++)
        ask(b, i, hello);
    for (uint32_t i = LANES; i-- > 0;) {
        reply r = take(b, i);
        assert_int_equal(r.head.status, 200);
        free(r.body);
    }
    assert_int_equal(b->now, 1050); /* all at the same time */
    bench_close(b);
}

static void too_little_memory_is_told(void **state) {
    (void)state;
    uint32_t fine = 0, told = 0;
    for (size_t size = 1024; size < 3u << 20; size += size < 65536 ? 1024 : 32768) {
        void *memory = malloc(size);
        bench b = {.now = 1};
        wf_rules_config config = {.now_ms = bench_now, .ctx = &b, .lanes = 4, .memory = memory, .memory_size = size};
        wf_status s = wf_rules_open(&b.rules, &config);
        if (s == WF_OK) {
            bench *model = bench_open(MODEL("{ text = 'x' }"), 2u << 20);
            begin(&b, 0, model->file, hello, strlen(hello));
            reply r = take(&b, 0);
            assert_true(r.head.status == 200 || r.head.status == 404 || r.head.status == 400 || r.head.status == 413);
            fine += r.head.status == 200;
            told += r.head.status != 200;
            free(r.body);
            wf_rules_close(b.rules);
            bench_close(model);
        } else {
            assert_int_equal(s, WF_E_MEMORY);
        }
        free(memory);
    }
    assert_true(fine > 0 && told > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_become_messages),
        cmocka_unit_test(malformed_answers_fail_at_once),
        cmocka_unit_test(models_that_misbehave_fail_at_once),
        cmocka_unit_test(files_that_do_not_load_say_why),
        cmocka_unit_test(four_files_and_no_fifth),
        cmocka_unit_test(delays_wait_on_the_clock),
        cmocka_unit_test(errors_carry_retry_after),
        cmocka_unit_test(the_same_request_has_the_same_answer),
        cmocka_unit_test(requests_that_are_no_json_are_refused),
        cmocka_unit_test(large_requests_fit_or_say_so),
        cmocka_unit_test(lanes_may_be_given_up_at_any_time),
        cmocka_unit_test(many_lanes_are_answered_in_turn),
        cmocka_unit_test(too_little_memory_is_told),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
