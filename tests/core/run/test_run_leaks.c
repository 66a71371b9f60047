/* Runs and connections that are over leave nothing: 10,000 runs one after the other in the same block, and 1,000 requests of each
 * kind over the HTTP client, with the blocks and bytes of the message heap and the open connections before and after. */
#include "tests/fake/counts.h"
#include "tests/fake/fakenet.h"
#include "tests/fake/rig.h"

#include "src/core/run/runtime.h"

#define RUNS  10000u
#define WARM  100u
#define TIMES 1000u

static wf_heap_use messages(const wf *w) {
    wf_memory memory;
    wf_memory_stats(w, &memory);
    return memory.heap;
}

/* ---- run after run in one block ---- */

static const wf_run_spec spec = {{"leaks", 5}, {"script", 6}, {"null", 4}, {"{}", 2}};

/* Another disk, empty. The fake's memory stays. */
static void new_disk(fake *f) {
    fake_disk *d = &f->disk;
    d->size = d->synced = d->sync_target = d->unsynced_count = 0;
    d->sync_due = 0;
}

static void open_run(rig *r) {
    assert_int_equal(wf_init(&r->w, r->block, r->size, &r->config, NULL), WF_OK);
    assert_int_equal(fake_open(r->f, r->w, &spec), WF_OK);
}

/* The most that the run has ever had in its heap: the same for every run of a kind. */
static size_t close_run(rig *r) {
    wf_close(r->w);
    wf_heap_use use = messages(r->w);
    assert_true(use.blocks == 0 && use.used == 0);
    assert_true(wfi_heap_check(&((const wfi_runtime *)(const void *)r->w)->heap));
    assert_true(r->f->open_lanes == 0 && r->f->open_tickets == 0);
    return use.high;
}

static void answered(rig *r, const char *prompt, wf_kind kind) {
    rig_ask(r, prompt);
    assert_int_equal(rig_take(r).kind, kind);
}

static size_t run_well(rig *r) {
    open_run(r);
    answered(r, "one", WF_KIND_NONE);
    answered(r, "tools=2; two", WF_KIND_NONE);
    answered(r, "stop=refusal; three", WF_KIND_REFUSED);
    assert_int_equal(wf_note(r->w, false, WF_STR("a note")), WF_OK);
    assert_int_equal(fake_finish(r->f, r->w, WF_RUN_DONE, "value"), WF_OK);
    return close_run(r);
}

/* Stopped by a key that is refused, with agents under way and waiting. */
static size_t run_stopped(rig *r) {
    wf_delivery d;
    open_run(r);
    for (int i = 0; i < 6; i++)
        rig_ask(r, i == 2 ? "status=401; x" : "delay=50; y");
    while (fake_deliver(r->f, r->w, &d) == WF_OK)
        continue;
    assert_int_equal(wf_run_stopping(r->w), WF_RUN_REFUSED);
    assert_int_equal(fake_finish(r->f, r->w, WF_RUN_REFUSED, ""), WF_OK);
    return close_run(r);
}

/* Closed in the middle of everything. */
static size_t run_closed(rig *r) {
    uint32_t wait;
    open_run(r);
    for (int i = 0; i < 6; i++)
        rig_ask(r, "tools=3; delay=50; z");
    answered(r, "first", WF_KIND_NONE);
    wf_call call = rig_ask(r, "given up");
    assert_int_equal(wf_call_cancel(r->w, call), WF_OK);
    for (int i = 0; i < 20; i++)
        assert_int_equal(wf_step(r->w, 3, &wait), WF_OK);
    return close_run(r);
}

/* The log of the run before, gone on with and then read. */
static size_t run_resumed(rig *r) {
    wf_call_info info;
    wf_record record;
    wf_run_spec old;
    wf_str value;
    bool json;
    uint64_t at = 0, started;
    size_t high;
    open_run(r);
    for (int i = 0; i < 6; i++)
        answered(r, "tools=3; delay=50; z", WF_KIND_NONE);
    assert_int_equal(fake_finish(r->f, r->w, WF_RUN_DONE, "value"), WF_OK);
    high = close_run(r);
    assert_int_equal(wf_init(&r->w, r->block, r->size, &r->config, NULL), WF_OK);
    assert_int_equal(wf_run_load(r->w), WF_OK);
    assert_int_equal(wf_run_header(r->w, &old, &started), WF_OK);
    assert_int_equal(wf_run_value(r->w, &value, &json), WF_OK);
    for (uint32_t row = 0; wf_call_get(r->w, row, &info) == WF_OK; row++)
        assert_true(info.path.len > 0);
    while (wf_record_next(r->w, &at, &record) == WF_OK)
        assert_non_null(record.type);
    (void)close_run(r);
    return high;
}

static void runs_leave_nothing(void **state) {
    static size_t (*const kinds[])(rig *) = {run_well, run_stopped, run_closed, run_resumed};
    size_t highs[WFI_COUNT(kinds)] = {0};
    rig r;
    counts before, after;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.block = malloc(r.size);
    assert_non_null(r.block);
    memset(r.block, 0xa5, r.size);
    counts_begin(&before);
    for (uint32_t i = 0; i < RUNS; i++) {
        size_t kind = i % WFI_COUNT(kinds);
        if (kinds[kind] != run_resumed) new_disk(r.f);
        size_t high = kinds[kind](&r);
        if (highs[kind] == 0) highs[kind] = high;
        if (high != highs[kind]) fail_msg("run %u of kind %zu took %zu bytes, not %zu", i, kind, high, highs[kind]);
    }
    counts_begin(&after);
    assert_true(counts_same("runs in one block", RUNS, &before, &after));
    print_message("# %u runs in one block: 0 blocks after each; at most %zu, %zu, %zu, %zu bytes in each kind\n", RUNS,
                  highs[0], highs[1], highs[2], highs[3]);
    free(r.block);
    fake_free(r.f);
}

/* ---- requests over connections ---- */

#define MESSAGE                                                                                                        \
    "{\"content\":[{\"type\":\"text\",\"text\":\"well\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":1," \
    "\"output_tokens\":1}}"
#define HEAD(more) "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" more "\r\n"

typedef struct fault {
    const char *name;
    const char *answer; /* to every second request, the others are answered well; NULL: none */
    bool ends, resets;  /* the connection, behind that */
    bool refused;       /* instead: every second connection */
} fault;

static const fault *met;
static uint32_t asked, opened;

static void answer(fakenet *net, uint32_t conn, const fakenet_request *request) {
    char text[512];
    bool well = met->refused || ++asked % 2 == 0;
    (void)request;
    snprintf(text, sizeof text, HEAD("content-length: %zu\r\n") "%s", strlen(MESSAGE), MESSAGE);
    if (well || met->answer) fakenet_reply_text(net, conn, well ? text : met->answer);
    if (met->ends && (!well || met->refused)) fakenet_end(net, conn);
    if (met->resets && !well) fakenet_reset(net, conn);
}

static bool opens(fakenet *net, uint32_t conn) {
    (void)net, (void)conn;
    return !met->refused || ++opened % 2 == 0;
}

typedef struct line {
    rig r;
    fakenet *net;
    wf_http *http;
    void *memory;
    wf_provider provider;
} line;

static void line_open(line *l) {
    rig_init(&l->r, 1, NULL, 0);
    l->net = fakenet_new();
    l->net->serve = answer;
    l->net->opened = opens;
    wf_http_config config = {.platform = &l->r.f->platform, .net = &l->net->ops, .net_ctx = l->net, .lanes = 4};
    size_t size = wf_http_size(&config);
    l->memory = malloc(size);
    assert_non_null(l->memory);
    assert_int_equal(wf_http_open(&l->http, l->memory, size, &config, NULL), WF_OK);
    wf_endpoint endpoint = {.url = WF_STR("https://h"), .path = WF_STR("/")};
    l->provider = (wf_provider){.name = WF_STR("net")};
    assert_int_equal(wf_http_add(l->http, &endpoint, &l->provider, NULL), WF_OK);
    l->r.config.providers = &l->provider;
    l->r.config.model = WF_STR("net:m");
    l->r.config.max_agents = l->r.config.max_calls = WARM + TIMES;
    l->r.config.heap = (size_t)256 << 10;
    l->r.config.stall_ms = 1000;
    l->r.size = wf_memory_needed(&l->r.config);
    rig_start(&l->r);
}

static void line_close(line *l) {
    wf_close(l->r.w);
    assert_int_equal(messages(l->r.w).blocks, 0);
    wf_http_close(l->http);
    assert_int_equal(l->net->open_now, 0);
    assert_int_equal(l->net->opens, l->net->closes);
    free(l->memory);
    free(l->r.block);
    fakenet_free(l->net);
    fake_free(l->r.f);
}

static void line_ask(line *l, uint32_t times) {
    for (uint32_t i = 0; i < times; i++) {
        wf_delivery d = rig_do(&l->r, "a question of the same length");
        if (d.kind != WF_KIND_NONE) fail_msg("%s: %.*s", met->name, (int)d.value.len, d.value.ptr);
    }
}

static bool line_leaves_nothing(const fault *f) {
    line l;
    counts before, after;
    met = f;
    asked = opened = 0;
    line_open(&l);
    line_ask(&l, WARM);
    counts_begin(&before);
    counts_add(&before, "messages", messages(l.r.w));
    uint32_t open_before = l.net->open_now;
    line_ask(&l, TIMES);
    counts_begin(&after);
    counts_add(&after, "messages", messages(l.r.w));
    bool same = counts_same(f->name, TIMES, &before, &after) && l.net->open_now == open_before;
    print_message("#   %u connections opened and %u closed in all, %u kept\n", l.net->opens, l.net->closes,
                  l.net->open_now);
    line_close(&l);
    return same;
}

static void connections_leave_nothing(void **state) {
    static const fault faults[] = {
        {"kept connections", HEAD("content-length: 113\r\n") MESSAGE, false, false, false},
        {"connections closed by us", HEAD("connection: close\r\n") MESSAGE, true, false, false},
        {"chunks", HEAD("transfer-encoding: chunked\r\n") "71\r\n" MESSAGE "\r\n0\r\n\r\n", false, false, false},
        {"kept ones that die", HEAD("content-length: 113\r\n") MESSAGE, true, false, false},
        {"errors of the server", "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", false, false, false},
        {"errors, then closed", "HTTP/1.1 529 No\r\nconnection: close\r\n\r\n<html>", true, false, false},
        {"rate limits", "HTTP/1.1 429 No\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\n{}", false, false, false},
        {"replies cut in the head", "HTTP/1.1 200 OK\r\ncontent-ty", true, false, false},
        {"replies cut in the body", HEAD("content-length: 113\r\n") "{\"content\":[", true, false, false},
        {"resets", HEAD("content-length: 113\r\n") "{\"content\":[", false, true, false},
        {"chunks cut", HEAD("transfer-encoding: chunked\r\n") "71\r\n{\"con", false, true, false},
        {"no answer at all", NULL, true, false, false},
        {"garbage", "SSH-2.0-server\r\n\r\n", false, false, false},
        {"stalls before the head", NULL, false, false, false},
        {"stalls in the body", HEAD("content-length: 113\r\n") "{\"content\":[", false, false, false},
        {"refused connections", NULL, true, false, true},
    };
    bool fine = true;
    (void)state;
    assert_int_equal(strlen(MESSAGE), 0x71);
    for (size_t i = 0; i < WFI_COUNT(faults); i++)
        fine &= line_leaves_nothing(&faults[i]);
    assert_true(fine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_leave_nothing),
        cmocka_unit_test(connections_leave_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
