/* The life of a run through the public functions alone, with a model that is a C function: start to end, resume, cancel, stop,
 * budget, deadline, notes, looking at a run, handles. */
#include "harness.h"

static wf_run_status status_of(const world *o) {
    wf_run_status s;
    wf_run_status_get(o->w, &s);
    return s;
}

static void test_life(void **state) {
    world *o = world_new();
    wf_delivery d;
    wf_str value;
    bool json;
    (void)state;
    world_open(o);
    assert_int_equal(wf_deliver(o->w, &d), WF_END);
    wf_call a = world_ask(o, "one"), b = world_ask(o, "two");
    assert_true(a.bits != b.bits);
    assert_int_equal(status_of(o).queued, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(world_next(o, &d), WF_OK);
        assert_int_equal(d.kind, WF_KIND_NONE);
        assert_false(d.cached || d.json || d.stopped);
        assert_int_equal(d.turns, 1);
        assert_int_equal(d.attempts, 1);
        assert_int_equal(d.usage.input, 10);
        assert_int_equal(d.usage.nano_usd, 1000000);
        assert_true(d.call.bits == (d.id == 1 ? a.bits : b.bits));
        world_same(d.value, d.id == 1 ? "re: one" : "re: two");
    }
    assert_int_equal(world_next(o, &d), WF_END);
    assert_int_equal(wf_run_value(o->w, &value, &json), WF_E_NOT_FOUND);
    world_finish(o, WF_RUN_DONE, "both");
    assert_int_equal(wf_run_value(o->w, &value, &json), WF_OK);
    world_same(value, "both");
    assert_false(json);
    wf_run_status s = status_of(o);
    assert_int_equal(s.outcome, WF_RUN_DONE);
    assert_int_equal(s.census.done, 2);
    assert_int_equal(s.census.failed + s.census.cached + s.census.cancelled + s.census.not_run, 0);
    assert_int_equal(s.usage.output, 6);
    assert_int_equal(s.log_bytes, s.synced_bytes);
    assert_int_equal(s.log_bytes, o->file_len);
    assert_true(o->traces > 0 && o->requests == 2);
    world_close(o);
}

static void test_same_seed_same_log(void **state) {
    static char first[WORLD_FILE];
    size_t len = 0;
    (void)state;
    for (int round = 0; round < 2; round++) {
        world *o = world_new();
        wf_delivery d;
        world_open(o);
        world_ask(o, "one");
        assert_int_equal(world_next(o, &d), WF_OK);
        world_finish(o, WF_RUN_DONE, "x");
        world_close(o);
        if (round == 1) {
            assert_int_equal(o->file_len, len);
            assert_memory_equal(o->file, first, len);
        }
        len = o->file_len;
        memcpy(first, o->file, len);
    }
}

/* ---- resume ---- */

static void test_resume_interrupted(void **state) {
    world *o = world_new();
    wf_delivery d;
    (void)state;
    world_open(o);
    world_ask(o, "one");
    assert_int_equal(world_next(o, &d), WF_OK);
    world_ask(o, "two");
    world_kill(o);
    world_open(o);
    world_ask(o, "one");
    world_ask(o, "two");
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_true(d.cached && d.id == 1);
    world_same(d.value, "re: one");
    assert_int_equal(o->requests, 1);
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_false(d.cached);
    world_same(d.value, "re: two");
    assert_int_equal(o->requests, 2);
    world_finish(o, WF_RUN_DONE, "");
    assert_int_equal(status_of(o).census.cached, 1);
    assert_int_equal(status_of(o).census.done, 2);
    world_close(o);
}

static void test_resume_ended(void **state) {
    world *o = world_new();
    wf_delivery d;
    wf_run_spec spec;
    wf_str value;
    bool json;
    uint64_t started;
    (void)state;
    world_open(o);
    world_ask(o, "one");
    assert_int_equal(world_next(o, &d), WF_OK);
    world_finish(o, WF_RUN_DONE, "the end");
    world_kill(o);

    world_init(o); /* only to look */
    assert_int_equal(wf_run_load(o->w), WF_OK);
    assert_int_equal(wf_run_value(o->w, &value, &json), WF_OK);
    world_same(value, "the end");
    assert_int_equal(wf_run_header(o->w, &spec, &started), WF_OK);
    world_same(spec.name, "test");
    world_same(spec.script, "no script");
    world_same(spec.args, "null");
    world_same(spec.settings, "{}");
    assert_true(started >= UINT64_C(1700000000000));
    assert_int_equal(status_of(o).outcome, WF_RUN_DONE);
    assert_int_equal(status_of(o).census.done, 1);
    world_kill(o);

    world_open(o); /* and to go on with, should the caller want to */
    world_ask(o, "one");
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_true(d.cached);
    assert_int_equal(o->requests, 1);
    world_close(o);
}

static void test_changed_prompt_is_asked_anew(void **state) {
    world *o = world_new();
    wf_delivery d;
    (void)state;
    world_open(o);
    world_ask(o, "one");
    assert_int_equal(world_next(o, &d), WF_OK);
    world_kill(o);
    world_open(o);
    world_ask(o, "another");
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_false(d.cached);
    world_same(d.value, "re: another");
    world_close(o);
}

static void test_torn_tail_is_cut(void **state) {
    world *o = world_new();
    wf_delivery d;
    (void)state;
    world_open(o);
    world_ask(o, "one");
    assert_int_equal(world_next(o, &d), WF_OK);
    size_t whole = o->file_len;
    world_ask(o, "two");
    assert_int_equal(world_next(o, &d), WF_OK);
    world_kill(o);
    o->file_len = whole + (o->file_len - whole) / 2 + 1;
    world_open(o);
    world_ask(o, "one");
    world_ask(o, "two");
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_true(d.cached);
    assert_int_equal(world_next(o, &d), WF_OK);
    world_same(d.value, "re: two");
    world_close(o);
}

static void test_strange_logs(void **state) {
    world *o = world_new();
    wf_run_spec spec;
    (void)state;
    memset(&spec, 0, sizeof spec);
    world_init(o);
    assert_int_equal(wf_run_load(o->w), WF_END);
    assert_int_equal(wf_run_header(o->w, &spec, NULL), WF_E_NOT_FOUND);
    assert_int_equal(wf_run_open(o->w, NULL), WF_E_NOT_FOUND); /* nothing to go on with */
    memset(o->file, 'x', 4096);
    o->file_len = 4096;
    world_init(o);
    assert_int_equal(wf_run_load(o->w), WF_E_FOREIGN);
    wf_error error;
    wf_last_error(o->w, &error);
    assert_int_equal(error.code, WF_E_FOREIGN);
    assert_true(strlen(error.text) > 0);
}

/* ---- how agents fail ---- */

static void body_rubbish(world *o, wf_str request, char *out, size_t cap) {
    (void)o, (void)request;
    snprintf(out, cap, "{\"error\":{\"type\":\"overloaded_error\",\"message\":\"too \\\"many\\\"\"}}");
}

static void test_retries_then_fails(void **state) {
    world *o = world_new();
    wf_delivery d;
    (void)state;
    o->status = 503;
    o->body = body_rubbish;
    o->config.retries = 2;
    world_open(o);
    world_ask(o, "one");
    uint64_t before = o->now;
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_int_equal(d.kind, WF_KIND_PROVIDER);
    assert_int_equal(o->requests, 3);
    assert_int_equal(d.attempts, 3);
    assert_true(o->now - before >= 1000); /* it waited in between */
    assert_true(world_has(d.value, "503"));
    assert_true(world_has(d.value, "too \"many\""));
    wf_call_info info;
    assert_int_equal(wf_call_get(o->w, 0, &info), WF_OK);
    assert_true(info.finished && info.kind == WF_KIND_PROVIDER && info.attempts == 3);
    assert_true(world_has(info.message, "503"));
    world_finish(o, WF_RUN_DONE, "");
    assert_int_equal(status_of(o).census.failed, 1);
    world_close(o);
}

static void test_key_refused_stops_the_run(void **state) {
    world *o = world_new();
    wf_delivery d;
    (void)state;
    o->status = 401;
    o->body = body_rubbish;
    o->config.lanes = 1;
    world_open(o);
    world_ask(o, "one");
    world_ask(o, "two");
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_int_equal(d.kind, WF_KIND_AUTH);
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_true(d.stopped);
    assert_int_equal(d.kind, WF_KIND_AUTH);
    assert_int_equal(world_next(o, &d), WF_END);
    assert_int_equal(o->requests, 1);
    world_finish(o, WF_RUN_DONE, "");
    assert_int_equal(status_of(o).outcome, WF_RUN_REFUSED);
    assert_int_equal(status_of(o).census.not_run, 1);
    world_close(o);
}

static void body_result(world *o, wf_str request, char *out, size_t cap) {
    (void)request;
    snprintf(out, cap,
             "{\"content\":[{\"type\":\"tool_use\",\"id\":\"t%u\",\"name\":\"result\",\"input\":{\"n\":%s}}],"
             "\"stop_reason\":\"tool_use\",\"usage\":{}}",
             o->requests, o->requests == 1 ? "\"seven\"" : "7");
}

static void test_schema(void **state) {
    world *o = world_new();
    wf_agent_spec spec;
    wf_delivery d;
    wf_call call;
    (void)state;
    memset(&spec, 0, sizeof spec);
    spec.prompt = WF_STR("a number");
    spec.schema = WF_STR("{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},\"required\":[\"n\"]}");
    o->body = body_result;
    world_open(o);
    assert_int_equal(wf_agent_start(o->w, &spec, &call), WF_OK);
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_int_equal(d.kind, WF_KIND_NONE);
    assert_true(d.json);
    world_same(d.value, "{\"n\":7}");
    assert_int_equal(d.turns, 2);
    /* the second request told why the first answer would not do */
    wf_str request = wf_str_of(o->lanes[0].request, o->lanes[0].request_len);
    assert_true(world_has(request, "/n"));
    assert_true(world_has(request, "\"is_error\":true"));
    world_close(o);
}

static void test_bad_specs(void **state) {
    world *o = world_new();
    wf_agent_spec spec;
    wf_call call;
    wf_error error;
    (void)state;
    memset(&spec, 0, sizeof spec);
    world_init(o);
    spec.prompt = WF_STR("p");
    assert_int_equal(wf_agent_start(o->w, &spec, &call), WF_E_CONFIG); /* no open run */
    world_open(o);
    spec.prompt = wf_str_of(NULL, 0);
    assert_int_equal(wf_agent_start(o->w, &spec, &call), WF_E_CONFIG);
    spec.prompt = WF_STR("p");
    spec.schema = WF_STR("{\"type\":");
    assert_int_equal(wf_agent_start(o->w, &spec, &call), WF_E_CONFIG);
    spec.schema = wf_str_of(NULL, 0);
    spec.tools = WF_STR("hammer");
    assert_int_equal(wf_agent_start(o->w, &spec, &call), WF_E_CONFIG);
    wf_last_error(o->w, &error);
    assert_non_null(strstr(error.text, "tool"));
    const wf_effect_spec effect = {.name = WF_STR("read"), .input = WF_STR("{}")};
    assert_int_equal(wf_effect_start(o->w, &effect, &call), WF_E_CONFIG);
    wf_delivery d;
    assert_int_equal(wf_deliver(o->w, &d), WF_END);
    world_close(o);
}

static void test_agent_deadline(void **state) {
    world *o = world_new();
    wf_delivery d;
    (void)state;
    o->delay = 5000;
    o->config.agent_ms = 1000;
    world_open(o);
    world_ask(o, "slow");
    uint64_t before = o->now;
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_int_equal(d.kind, WF_KIND_DEADLINE);
    assert_int_equal(o->now - before, 1000);
    world_close(o);
}

static void test_agent_cap(void **state) {
    world *o = world_new();
    wf_agent_spec spec;
    wf_call call;
    (void)state;
    memset(&spec, 0, sizeof spec);
    spec.prompt = WF_STR("p");
    o->config.max_agents = 2;
    world_open(o);
    world_ask(o, "one");
    world_ask(o, "two");
    assert_int_equal(wf_agent_start(o->w, &spec, &call), WF_E_LIMIT);
    wf_delivery d;
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_int_equal(wf_agent_start(o->w, &spec, &call), WF_E_LIMIT);
    world_close(o);
}

/* ---- lanes and time ---- */

static void test_lanes_work_at_once(void **state) {
    world *o = world_new();
    wf_delivery d;
    (void)state;
    o->delay = 50;
    world_open(o);
    for (int i = 0; i < 8; i++) {
        char prompt[32];
        snprintf(prompt, sizeof prompt, "agent %d", i);
        world_ask(o, prompt);
    }
    uint64_t before = o->now;
    for (int i = 0; i < 8; i++)
        assert_int_equal(world_next(o, &d), WF_OK);
    assert_int_equal(o->now - before, 100); /* 8 agents, 4 lanes, 50 ms each */
    world_close(o);
}

static void test_run_deadline(void **state) {
    world *o = world_new();
    wf_delivery d;
    (void)state;
    o->delay = 50;
    o->config.lanes = 1;
    o->config.run_ms = 70;
    world_open(o);
    world_ask(o, "one");
    world_ask(o, "two");
    world_ask(o, "three");
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_false(d.stopped);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(world_next(o, &d), WF_OK);
        assert_true(d.stopped);
        assert_int_equal(d.kind, WF_KIND_DEADLINE);
    }
    assert_int_equal(world_next(o, &d), WF_END);
    assert_int_equal(status_of(o).outcome, WF_RUN_DEADLINE);
    world_close(o);
}

/* ---- cancel and stop ---- */

static void test_cancel(void **state) {
    world *o = world_new();
    wf_delivery d;
    uint32_t wait_ms;
    (void)state;
    o->delay = 50;
    o->config.lanes = 1;
    world_open(o);
    wf_call running = world_ask(o, "one"), queued = world_ask(o, "two"), kept = world_ask(o, "three");
    assert_int_equal(wf_deliver(o->w, &d), WF_AGAIN);
    for (int i = 0; i < 10; i++)
        assert_int_equal(wf_step(o->w, 8, &wait_ms), WF_OK);
    assert_int_equal(status_of(o).running, 1);
    assert_int_equal(wf_call_cancel(o->w, running), WF_OK);
    assert_int_equal(wf_call_cancel(o->w, queued), WF_OK);
    assert_int_equal(wf_call_cancel(o->w, queued), WF_E_STALE);
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_true(d.call.bits == kept.bits);
    assert_int_equal(wf_call_cancel(o->w, kept), WF_E_STALE); /* delivered */
    assert_int_equal(world_next(o, &d), WF_END);
    world_finish(o, WF_RUN_DONE, "");
    assert_int_equal(status_of(o).census.done, 1);
    assert_int_equal(status_of(o).census.cancelled, 2);
    world_close(o);
}

static void test_stale_handles(void **state) {
    world *o = world_new();
    (void)state;
    world_open(o);
    wf_call call = world_ask(o, "one"), none = {0}, wild = {UINT64_MAX}, next = {call.bits + 1};
    assert_int_equal(wf_call_cancel(o->w, none), WF_E_STALE);
    assert_int_equal(wf_call_cancel(o->w, wild), WF_E_STALE);
    assert_int_equal(wf_call_cancel(o->w, next), WF_E_STALE);
    assert_int_equal(wf_call_cancel(o->w, call), WF_OK);
    world_close(o);
}

static void test_stop(void **state) {
    world *o = world_new();
    wf_agent_spec spec;
    wf_delivery d;
    wf_call call;
    uint32_t wait_ms;
    (void)state;
    memset(&spec, 0, sizeof spec);
    spec.prompt = WF_STR("too late");
    o->delay = 50;
    world_open(o);
    world_ask(o, "one");
    world_ask(o, "two");
    assert_int_equal(wf_deliver(o->w, &d), WF_AGAIN);
    assert_int_equal(wf_step(o->w, 8, &wait_ms), WF_OK);
    wf_run_stop(o->w, WF_RUN_CANCELLED, WF_STR("somebody pressed a key"));
    assert_int_equal(wf_agent_start(o->w, &spec, &call), WF_E_STOPPED);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(world_next(o, &d), WF_OK);
        assert_true(d.stopped);
        assert_int_equal(d.kind, WF_KIND_CANCELLED);
        world_same(d.value, "somebody pressed a key");
    }
    assert_int_equal(world_next(o, &d), WF_END);
    world_finish(o, WF_RUN_DONE, "what there is");
    assert_int_equal(status_of(o).outcome, WF_RUN_CANCELLED); /* the stronger reason */
    world_close(o);

    world_kill(o);
    world_init(o);
    assert_int_equal(wf_run_load(o->w), WF_OK);
    assert_int_equal(status_of(o).outcome, WF_RUN_CANCELLED);                         /* in the log, too */
    assert_int_equal(status_of(o).census.cancelled + status_of(o).census.not_run, 3); /* the one turned away too */
    world_kill(o);

    world_open(o); /* a stopped run goes on where it was */
    o->delay = 0;
    world_ask(o, "one");
    world_ask(o, "two");
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_int_equal(d.kind, WF_KIND_NONE);
    world_close(o);
}

static void test_budget_of_tokens(void **state) {
    world *o = world_new();
    wf_delivery d;
    (void)state;
    o->config.lanes = 1;
    o->config.max_tokens = 100;
    o->config.budget_tokens = 400;
    world_open(o);
    for (int i = 0; i < 30; i++)
        world_ask(o, "spend");
    unsigned done = 0, stopped = 0;
    while (world_next(o, &d) == WF_OK) {
        done += !d.stopped;
        stopped += d.stopped;
        if (d.stopped) assert_int_equal(d.kind, WF_KIND_BUDGET);
    }
    assert_true(done > 0 && stopped > 0 && done + stopped == 30);
    wf_run_status s = status_of(o);
    assert_int_equal(s.outcome, WF_RUN_BUDGET);
    assert_true(s.usage.input + s.usage.output <= 400);
    assert_int_equal(s.usage.input + s.usage.output, o->requests * 13);
    world_close(o);
}

static void test_budget_of_money(void **state) {
    world *o = world_new();
    wf_delivery d;
    unsigned done = 0;
    (void)state;
    o->config.lanes = 1;
    o->config.budget_nano_usd = 2000000; /* two replies */
    world_open(o);
    for (int i = 0; i < 5; i++)
        world_ask(o, "spend");
    while (world_next(o, &d) == WF_OK)
        done += !d.stopped;
    assert_int_equal(done, 2);
    assert_int_equal(status_of(o).usage.nano_usd, 2000000);
    assert_int_equal(status_of(o).outcome, WF_RUN_BUDGET);
    world_close(o);
}

/* ---- looking at a run ---- */

static unsigned count_records(world *o, const char *type) {
    wf_record r;
    uint64_t at = 0, last = 0;
    unsigned n = 0;
    wf_status s;
    while ((s = wf_record_next(o->w, &at, &r)) == WF_OK) {
        wf_json j;
        wf_json_token t;
        assert_true(n == 0 || r.offset >= last);
        assert_true(at > r.offset && at <= o->file_len && r.synced <= r.offset);
        last = r.offset;
        if (r.json.len > 0) {
            wf_json_init(&j, r.json);
            assert_int_equal(wf_json_next(&j), WF_JSON_OBJECT);
            assert_int_equal(wf_json_skip(&j, WF_JSON_OBJECT, NULL), WF_OK);
            t = wf_json_next(&j);
            assert_int_equal(t, WF_JSON_END);
        }
        n += strcmp(r.type, type) == 0;
    }
    assert_int_equal(s, WF_END);
    assert_int_equal(at, o->file_len);
    return n;
}

static void test_notes_and_records(void **state) {
    world *o = world_new();
    wf_delivery d;
    wf_record r;
    uint64_t at = 0;
    (void)state;
    for (int round = 0; round < 2; round++) {
        world_open(o);
        assert_int_equal(wf_note(o->w, WF_NOTE_PHASE, WF_STR("Phase one")), WF_OK);
        assert_int_equal(wf_note(o->w, WF_NOTE_LINE, WF_STR("a line")), WF_OK);
        world_ask(o, "one");
        assert_int_equal(world_next(o, &d), WF_OK);
        assert_int_equal(wf_record_next(o->w, &at, &r), WF_E_CONFIG); /* not while it runs */
        world_finish(o, WF_RUN_DONE, "");
        world_close(o);
        world_kill(o);
    }
    world_init(o);
    assert_int_equal(wf_run_load(o->w), WF_OK);
    assert_int_equal(count_records(o, "note"), 2); /* a replay says nothing twice */
    assert_int_equal(count_records(o, "run"), 1);
    assert_int_equal(count_records(o, "resume"), 1);
    assert_int_equal(count_records(o, "call"), 1);
    assert_int_equal(count_records(o, "turn"), 1);
    assert_int_equal(count_records(o, "end"), 2);
    assert_int_equal(wf_note(o->w, WF_NOTE_LINE, WF_STR("late")), WF_E_CONFIG);
}

static void test_call_get(void **state) {
    world *o = world_new();
    wf_agent_spec spec;
    wf_delivery d;
    wf_call call;
    wf_call_info info;
    (void)state;
    memset(&spec, 0, sizeof spec);
    spec.path = WF_STR("main/1");
    spec.prompt = WF_STR("look \"here\"");
    spec.label = WF_STR("looker");
    spec.phase = WF_STR("Look");
    o->delay = 20;
    world_open(o);
    assert_int_equal(wf_agent_start(o->w, &spec, &call), WF_OK);
    assert_int_equal(wf_call_get(o->w, 0, &info), WF_OK);
    assert_false(info.finished);
    assert_int_equal(world_next(o, &d), WF_OK);
    world_kill(o);
    world_init(o);
    assert_int_equal(wf_run_load(o->w), WF_OK);
    assert_int_equal(wf_call_get(o->w, 1, &info), WF_END);
    assert_int_equal(wf_call_get(o->w, UINT32_MAX, &info), WF_END);
    assert_int_equal(wf_call_get(o->w, 0, &info), WF_OK);
    assert_true(info.id == 1 && info.finished && !info.cancelled && !info.effect);
    assert_int_equal(info.kind, WF_KIND_NONE);
    assert_int_equal(info.turns, 1);
    assert_int_equal(info.ms, 20);
    assert_int_equal(info.usage.output, 3);
    world_same(info.path, "main/1");
    world_same(info.label, "looker");
    world_same(info.phase, "Look");
    world_same(info.model, "c:model");
    world_same(info.prompt, "look \"here\"");
    world_same(info.message, "");
}

static void test_log_cannot_be_written(void **state) {
    world *o = world_new();
    wf_delivery d;
    (void)state;
    world_open(o);
    world_ask(o, "one");
    o->write_status = WF_E_IO;
    assert_int_equal(world_next(o, &d), WF_E_IO);
    wf_error error;
    wf_last_error(o->w, &error);
    assert_int_equal(error.code, WF_E_IO);
    world_close(o);
}

static void test_names(void **state) {
    (void)state;
    assert_string_equal(wf_status_name(WF_E_MEMORY), "WF_E_MEMORY");
    assert_string_equal(wf_status_text(WF_OK), "done");
    assert_string_equal(wf_status_name((wf_status)77), "?");
    assert_string_equal(wf_kind_name(WF_KIND_SCHEMA), "schema");
    assert_string_equal(wf_outcome_name(WF_RUN_PAUSED), "paused");
    assert_string_equal(wf_outcome_name((wf_outcome)99), "?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_same_seed_same_log),
        cmocka_unit_test(test_resume_interrupted),
        cmocka_unit_test(test_resume_ended),
        cmocka_unit_test(test_changed_prompt_is_asked_anew),
        cmocka_unit_test(test_torn_tail_is_cut),
        cmocka_unit_test(test_strange_logs),
        cmocka_unit_test(test_retries_then_fails),
        cmocka_unit_test(test_key_refused_stops_the_run),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_bad_specs),
        cmocka_unit_test(test_agent_deadline),
        cmocka_unit_test(test_agent_cap),
        cmocka_unit_test(test_lanes_work_at_once),
        cmocka_unit_test(test_run_deadline),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_stale_handles),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_budget_of_tokens),
        cmocka_unit_test(test_budget_of_money),
        cmocka_unit_test(test_notes_and_records),
        cmocka_unit_test(test_call_get),
        cmocka_unit_test(test_log_cannot_be_written),
        cmocka_unit_test(test_names),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
