/* What a resumed run answers from its log, what it asks again, and what can be read out of a log. */
#include "tests/fake/rig.h"

#include "src/core/run/replay.h"

static wf_run_status status_of(const rig *r) {
    wf_run_status s;
    wf_run_status_get(r->w, &s);
    return s;
}

static wf_delivery at_place(rig *r, const char *path, const char *prompt) {
    wf_agent_spec spec = {.path = rig_str(path), .prompt = rig_str(prompt)};
    wf_call call;
    assert_int_equal(wf_agent_start(r->w, &spec, &call), WF_OK);
    return rig_take(r);
}

static char kept_body[65536]; /* of the last request */

static void keep_body(fake *f, const fake_request *r) {
    (void)f;
    snprintf(kept_body, sizeof kept_body, "%s", r->body);
}

/* Kills the rig; the next life runs this script text. */
static void edit(rig *r, const char *script) {
    rig old = *r;
    size_t size;
    uint8_t *log = fake_crash(old.f, FAKE_SYNCED, 0, &size);
    rig_end(&old);
    rig_init(r, 77, log, size);
    free(log);
    rig_block(r);
    wf_run_spec spec = {{"test", 4}, rig_str(script), {"null", 4}, {"{}", 2}};
    assert_int_equal(fake_open(r->f, r->w, &spec), WF_OK);
}

/* ---- failures ---- */

static void test_which_failures_are_answered(void **state) {
    static const struct {
        const char *prompt;
        wf_kind kind;
        bool answered;
    } cases[] = {{"stop=refusal;", WF_KIND_REFUSED, true},
                 {"tools=9;", WF_KIND_TURNS, true},
                 {"status=400;", WF_KIND_PROVIDER, true},
                 {"delay=5000;", WF_KIND_DEADLINE, true},
                 {"stop=max_tokens;", WF_KIND_CONTEXT, true}};
    (void)state;
    for (size_t i = 0; i < 5; i++)
        for (int retry = 0; retry < 2; retry++) {
            rig r;
            rig_init(&r, 1, NULL, 0);
            r.config.max_turns = 2;
            r.config.agent_ms = 1000;
            rig_start(&r);
            assert_int_equal(rig_do(&r, cases[i].prompt).kind, cases[i].kind);
            assert_int_equal(rig_do(&r, "fine").kind, WF_KIND_NONE);
            r.config.retry_kinds = retry ? UINT32_MAX : 0;
            rig_crash(&r, FAKE_SYNCED);
            wf_delivery d = rig_do(&r, cases[i].prompt);
            assert_int_equal(d.kind, cases[i].kind);
            bool answered = cases[i].answered && !retry;
            assert_int_equal(d.cached, answered);
            assert_int_equal(r.f->requests == 0, answered);
            if (cases[i].kind == WF_KIND_TURNS && retry) assert_int_equal(d.turns, 2); /* from the start */
            uint64_t before = r.f->requests;
            d = rig_do(&r, "fine");
            assert_true(d.cached);
            assert_int_equal(r.f->requests, before);
            assert_int_equal(status_of(&r).census.failed, 1);
            assert_int_equal(status_of(&r).census.cached, 1 + answered);
            rig_end(&r);
        }
}

/* A refused key of one agent alone, after another had its answer, is a failure like others: the next process, which has no
 * answer yet, does not ask for it again. */
static void test_a_refusal_of_one_is_an_answer(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    assert_int_equal(rig_do(&r, "first").kind, WF_KIND_NONE);
    wf_delivery d = rig_do(&r, "status=403;");
    assert_int_equal(d.kind, WF_KIND_AUTH);
    assert_false(d.stopped);
    assert_int_equal(rig_do(&r, "after").kind, WF_KIND_NONE);
    rig_crash(&r, FAKE_SYNCED);
    assert_true(rig_do(&r, "first").cached);
    d = rig_do(&r, "status=403;");
    assert_true(d.cached && d.kind == WF_KIND_AUTH);
    assert_true(rig_do(&r, "after").cached);
    assert_int_equal(r.f->requests, 0);
    rig_end(&r);
}

/* Limits are not part of a call's identity: raised ones hold for what goes on. */
static void test_raised_limits(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.config.agent_ms = 1000;
    rig_start(&r);
    assert_int_equal(rig_do(&r, "tools=1;delay=900;").kind, WF_KIND_DEADLINE);
    r.config.agent_ms = 5000;
    rig_crash(&r, FAKE_SYNCED);
    wf_delivery d = rig_do(&r, "tools=1;delay=900;");
    assert_int_equal(d.kind, WF_KIND_NONE);
    assert_int_equal(r.f->requests, 1); /* its first turn was paid for already */
    assert_int_equal(d.turns, 2);
    rig_end(&r);
}

static void test_no_cache(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    for (int life = 0; life < 3; life++) {
        wf_agent_spec spec = {.path = WF_STR("p"), .prompt = WF_STR("again"), .no_cache = true};
        wf_call call;
        if (life > 0) rig_crash(&r, FAKE_SYNCED);
        assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
        assert_false(rig_take(&r).cached);
        assert_int_equal(r.f->requests, 1);
        assert_int_equal(status_of(&r).census.done, 1);
        assert_int_equal(status_of(&r).agents, 1);
    }
    rig_end(&r);
}

/* ---- edited scripts ---- */

static void test_moved_calls(void **state) {
    rig r;
    wf_delivery d;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    at_place(&r, "a", "one");
    at_place(&r, "b", "two");
    at_place(&r, "c", "two");
    edit(&r, "script 2");
    assert_true(at_place(&r, "x", "two").cached);
    assert_true(at_place(&r, "y", "two").cached);  /* two such calls had finished */
    assert_false(at_place(&r, "z", "two").cached); /* a third had not */
    assert_int_equal(r.f->requests, 1);
    rig_crash(&r, FAKE_SYNCED); /* rig's spec: back to the first script */
    assert_true(at_place(&r, "a", "one").cached);
    edit(&r, "script 3");
    assert_true(at_place(&r, "q", "one").cached);
    assert_false(at_place(&r, "s", "fresh").cached); /* by which the edit is durable */
    edit(&r, "script 3"); /* killed, and started again unchanged: what was not taken yet may still be */
    assert_true(at_place(&r, "q", "one").cached);
    d = at_place(&r, "w", "two");
    assert_true(d.cached);
    assert_int_equal(r.f->requests, 0);
    rig_end(&r);
}

/* Without an edit nothing moves: the same words at another place are another question. */
static void test_same_script_moves_nothing(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    at_place(&r, "a", "one");
    rig_crash(&r, FAKE_SYNCED);
    assert_false(at_place(&r, "b", "one").cached);
    assert_true(at_place(&r, "a", "one").cached);
    rig_end(&r);
}

/* What the run says for all agents is recorded, not part of what a call is: with other defaults the finished calls stay, and
 * an agent already in conversation keeps its own. */
static void test_defaults_are_no_identity(void **state) {
    rig r;
    wf_delivery d;
    uint32_t wait;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.config.system = WF_STR("the old text");
    rig_start(&r);
    assert_int_equal(rig_do(&r, "one").kind, WF_KIND_NONE);
    rig_ask(&r, "tools=1;delay=500;");
    while (r.f->requests < 3) { /* its second turn is under way */
        assert_int_equal(wf_step(r.w, 64, &wait), WF_OK);
        if (wait) fake_sleep(r.f, wait);
    }
    r.config.system = WF_STR("the new text");
    r.config.effort = WF_STR("low");
    r.config.tool_count = 1;
    rig_crash(&r, FAKE_ALL);
    assert_true(rig_do(&r, "one").cached);
    assert_int_equal(r.f->requests, 0);
    r.f->on_request = keep_body;
    d = rig_do(&r, "tools=1;delay=500;");
    assert_int_equal(d.turns, 2);
    assert_int_equal(r.f->requests, 1);
    assert_non_null(strstr(kept_body, "the old text"));
    assert_non_null(strstr(kept_body, "\"change\""));
    assert_null(strstr(kept_body, "effort"));
    assert_int_equal(rig_do(&r, "three").kind, WF_KIND_NONE);
    assert_non_null(strstr(kept_body, "the new text"));
    rig_end(&r);
}

/* A place is asked for first, then content: a place's own answer is not given away while the script may come to it. */
static void test_places_come_first(void **state) {
    rig r;
    wf_call call;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    at_place(&r, "a", "one");
    edit(&r, "script 2");
    wf_agent_spec stranger = {.path = WF_STR("new"), .prompt = WF_STR("one")},
                  own = {.path = WF_STR("a"), .prompt = WF_STR("one")};
    assert_int_equal(wf_agent_start(r.w, &stranger, &call), WF_OK);
    assert_int_equal(wf_agent_start(r.w, &own, &call), WF_OK);
    wf_delivery d = rig_take(&r);
    assert_true(d.cached);
    assert_int_equal(d.call.bits, call.bits);
    assert_false(rig_take(&r).cached);
    assert_int_equal(r.f->requests, 1);
    rig_end(&r);
}

static void test_changed_prompt(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    at_place(&r, "a", "one");
    rig_crash(&r, FAKE_SYNCED);
    assert_false(at_place(&r, "a", "another").cached);
    rig_crash(&r, FAKE_SYNCED);
    assert_true(at_place(&r, "a", "another").cached);
    rig_crash(&r, FAKE_SYNCED);
    assert_true(at_place(&r, "a", "one").cached); /* both are kept */
    rig_end(&r);
}

/* ---- what is sent, and when ---- */

static void steps(rig *r, uint32_t n) {
    uint32_t wait;
    while (n-- > 0)
        assert_int_equal(wf_step(r->w, 64, &wait), WF_OK);
}

static wf_call ask_at(rig *r, const char *path, const char *prompt) {
    wf_agent_spec spec = {.path = rig_str(path), .prompt = rig_str(prompt)};
    wf_call call;
    assert_int_equal(wf_agent_start(r->w, &spec, &call), WF_OK);
    return call;
}

/* While a recorded answer waits nothing new is sent: the script may be about to give it up. */
static void test_nothing_is_sent_before_recorded_answers(void **state) {
    rig r;
    wf_delivery d;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    at_place(&r, "a", "one");
    at_place(&r, "b", "two");
    rig_crash(&r, FAKE_SYNCED);
    ask_at(&r, "new", "three");
    steps(&r, 20);
    assert_int_equal(r.f->requests, 0); /* the log has answers that the script may yet ask for */
    ask_at(&r, "a", "one");
    ask_at(&r, "b", "two");
    steps(&r, 20);
    assert_int_equal(r.f->requests, 0);
    assert_int_equal(wf_deliver(r.w, &d), WF_OK);
    assert_true(d.cached);
    steps(&r, 20);
    assert_int_equal(r.f->requests, 0);
    assert_int_equal(wf_deliver(r.w, &d), WF_OK);
    steps(&r, 20);
    assert_int_equal(r.f->requests, 0); /* it may be the race that "new" loses */
    assert_int_equal(wf_deliver(r.w, &d), WF_AGAIN);
    steps(&r, 20);
    assert_int_equal(r.f->requests, 1); /* all were asked for and told */
    rig_crash(&r, FAKE_ALL);
    ask_at(&r, "a", "one");
    assert_true(rig_take(&r).cached);
    ask_at(&r, "new", "four");
    steps(&r, 20);
    assert_int_equal(r.f->requests, 0);
    assert_int_equal(wf_deliver(r.w, &d), WF_AGAIN); /* it goes no further, so "b" will not be asked for */
    steps(&r, 20);
    assert_int_equal(r.f->requests, 1);
    rig_end(&r);
}

static void test_a_moved_answer_goes_first(void **state) {
    rig r;
    wf_delivery d;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    at_place(&r, "a", "one");
    edit(&r, "script 2");
    wf_call moved = ask_at(&r, "x", "one");
    ask_at(&r, "y", "fresh");
    assert_int_equal(wf_deliver(r.w, &d), WF_AGAIN);
    steps(&r, 20);
    assert_int_equal(r.f->requests, 0);
    assert_int_equal(wf_deliver(r.w, &d), WF_OK);
    assert_int_equal(d.call.bits, moved.bits);
    assert_int_equal(rig_take(&r).kind, WF_KIND_NONE);
    rig_end(&r);
}

static void slow_tool(fake *f, const wf_tool_call *call, fake_ticket *out) {
    (void)call;
    out->due = f->now + 9;
    strcpy(out->text, "slow");
}

/* A turn is paid for when it has come, so it is made durable then, not when the agent ends. */
static void test_a_turn_is_durable_soon(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.f->tool = slow_tool;
    rig_start(&r);
    rig_ask(&r, "tools=1;");
    while (r.f->tool_starts == 0)
        steps(&r, 1);
    steps(&r, 1);
    rig_crash(&r, FAKE_SYNCED);
    wf_delivery d = rig_do(&r, "tools=1;");
    assert_int_equal(d.turns, 2);
    assert_int_equal(r.f->requests, 1);
    rig_end(&r);
}

/* A process that is killed, at whatever step, loses the reply in flight on each lane and no more: the others are in the
 * file, though a sync may still gather them. */
static void test_a_kill_costs_a_reply_a_lane(void **state) {
    (void)state;
    bool done = false;
    for (uint32_t n = 1; !done; n++) {
        rig r;
        char path[16];
        rig_init(&r, 1, NULL, 0);
        r.config.lanes = 2;
        r.f->sync_ms = 20;
        rig_start(&r);
        for (uint32_t i = 0; i < 12; i++) {
            snprintf(path, sizeof path, "%u", (unsigned)i);
            ask_at(&r, path, path);
        }
        for (uint32_t i = 0; i < n; i++) {
            uint32_t wait;
            assert_int_equal(wf_step(r.w, 1, &wait), WF_OK);
            if (wait > 0) fake_sleep(r.f, wait);
        }
        uint64_t before = r.f->requests;
        done = before == 12;
        rig_crash(&r, FAKE_ALL);
        for (uint32_t i = 0; i < 12; i++) {
            snprintf(path, sizeof path, "%u", (unsigned)i);
            at_place(&r, path, path);
        }
        assert_in_range(before + r.f->requests, 12, 14);
        rig_end(&r);
    }
}

/* ---- the end, and looking at logs ---- */

static void test_completed_log(void **state) {
    rig r;
    wf_str value;
    bool json;
    size_t size;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    rig_do(&r, "one");
    rig_do(&r, "stop=refusal;");
    assert_int_equal(wf_run_value(r.w, &value, &json), WF_E_NOT_FOUND);
    assert_int_equal(fake_finish(r.f, r.w, WF_RUN_DONE, "the value"), WF_OK);
    assert_int_equal(wf_run_value(r.w, &value, &json), WF_OK);
    assert_text(value, "the value");
    wf_call call;
    wf_agent_spec spec = {.prompt = WF_STR("late")};
    assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_E_CONFIG);
    wf_delivery d;
    assert_int_equal(wf_deliver(r.w, &d), WF_E_CONFIG);
    assert_int_equal(wf_note(r.w, WF_NOTE_LINE, WF_STR("late")), WF_E_CONFIG);
    assert_int_equal(wf_run_finish(r.w, WF_RUN_DONE, value, false, 0, 0, 0), WF_E_CONFIG);
    uint8_t *log = fake_crash(r.f, FAKE_SYNCED, 0, &size);
    rig_end(&r);
    rig_init(&r, 2, log, size);
    free(log);
    rig_block(&r);
    assert_int_equal(wf_run_load(r.w), WF_OK);
    assert_int_equal(wf_run_value(r.w, &value, &json), WF_OK);
    assert_text(value, "the value");
    assert_int_equal(status_of(&r).outcome, WF_RUN_DONE);
    assert_int_equal(status_of(&r).census.done, 1);
    assert_int_equal(status_of(&r).census.failed, 1);
    assert_int_equal(status_of(&r).usage.input, 20);
    assert_int_equal(r.f->disk.writes + r.f->disk.syncs, 0); /* looking changes nothing */
    rig_end(&r);
}

static void test_looking_at_a_killed_run(void **state) {
    rig r;
    wf_call_info info;
    wf_record rec;
    wf_run_spec spec;
    uint64_t started, at = 0;
    size_t size;
    uint32_t records = 0;
    char types[200] = "";
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    assert_int_equal(wf_note(r.w, WF_NOTE_PHASE, WF_STR("Find")), WF_OK);
    wf_agent_spec ask = {
        .path = WF_STR("a/1"), .prompt = WF_STR("one \"quoted\""), .label = WF_STR("L"), .phase = WF_STR("Find")};
    wf_call call;
    assert_int_equal(wf_agent_start(r.w, &ask, &call), WF_OK);
    rig_take(&r);
    rig_do(&r, "status=400;");
    rig_ask(&r, "delay=1000;");
    for (uint32_t wait = 0; wait == 0;) /* a run that rests has written all it knows */
        assert_int_equal(wf_step(r.w, 64, &wait), WF_OK);
    uint8_t *log = fake_crash(r.f, FAKE_ALL, 0, &size);
    rig_end(&r);
    rig_init(&r, 2, log, size);
    free(log);
    rig_block(&r);
    assert_int_equal(wf_run_load(r.w), WF_OK);
    wf_run_status s = status_of(&r);
    assert_int_equal(s.outcome, WF_RUN_OPEN);
    assert_int_equal(s.agents, 3);
    assert_int_equal(s.census.done, 1);
    assert_int_equal(s.census.failed, 1);
    assert_int_equal(wf_run_header(r.w, &spec, &started), WF_OK);
    assert_text(spec.script, "script");
    assert_text(spec.name, "test");
    assert_text(spec.settings, "{}");
    assert_true(started > 1600000000000u);
    assert_int_equal(wf_call_get(r.w, 0, &info), WF_OK);
    assert_text(info.path, "a/1");
    assert_text(info.label, "L");
    assert_text(info.phase, "Find");
    assert_text(info.model, "fake:m");
    assert_text(info.prompt, "one \"quoted\"");
    assert_true(info.finished && !info.cancelled && info.kind == WF_KIND_NONE && info.turns == 1);
    assert_int_equal(wf_call_get(r.w, 1, &info), WF_OK);
    assert_int_equal(info.kind, WF_KIND_PROVIDER);
    assert_true(rig_has(info.message, "400"));
    assert_int_equal(wf_call_get(r.w, 2, &info), WF_OK);
    assert_false(info.finished);
    assert_int_equal(wf_call_get(r.w, 3, &info), WF_END);
    while (wf_record_next(r.w, &at, &rec) == WF_OK && records++ < 50) {
        if (strlen(types) < 150) strcat(strcat(types, rec.type), " ");
        wf_json j;
        wf_json_init(&j, rec.json);
        if (rec.json.len > 0) assert_int_equal(wf_json_next(&j), WF_JSON_OBJECT);
    }
    assert_string_equal(types, "run note text text call turn done deliver text call done deliver text call ");
    rig_end(&r);
}

static void test_empty_and_foreign_logs(void **state) {
    static const wf_status wants[] = {WF_E_FOREIGN, WF_E_NOT_FOUND};
    static const char *const logs[] = {"no log at all", "wf.log\r\n"};
    wf_error error;
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_block(&r);
    assert_int_equal(wf_run_load(r.w), WF_END);
    assert_int_equal(wf_run_open(r.w, NULL), WF_E_NOT_FOUND);
    wf_last_error(r.w, &error);
    assert_non_null(strstr(error.text, "no run"));
    rig_end(&r);
    for (size_t i = 0; i < 2; i++) {
        rig_init(&r, 1, logs[i], strlen(logs[i]));
        rig_block(&r);
        assert_int_equal(wf_run_open(r.w, NULL), wants[i]);
        assert_int_equal(r.f->disk.writes, 0);
        assert_int_equal(r.f->disk.size, strlen(logs[i]));
        rig_end(&r);
    }
}

/* The args of the log may be handed back as those of an edited run. */
static void test_header_outlives_the_edit(void **state) {
    rig r;
    wf_run_spec old, now;
    size_t size;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    uint8_t *log = fake_crash(r.f, FAKE_SYNCED, 0, &size);
    rig_end(&r);
    rig_init(&r, 2, log, size);
    free(log);
    rig_block(&r);
    assert_int_equal(wf_run_load(r.w), WF_OK);
    assert_int_equal(wf_run_header(r.w, &old, NULL), WF_OK);
    wf_run_spec edited = old;
    edited.script = WF_STR("another text");
    assert_int_equal(fake_open(r.f, r.w, &edited), WF_OK);
    assert_int_equal(wf_run_header(r.w, &now, NULL), WF_OK);
    assert_text(now.script, "another text");
    assert_text(old.script, "script");
    assert_text(old.args, "null");
    wf_error error;
    assert_int_equal(wf_run_open(r.w, &edited), WF_E_CONFIG);
    wf_last_error(r.w, &error);
    assert_non_null(strstr(error.text, "open already"));
    rig_end(&r);
}

/* Notes are recorded once, however often the run is killed and replayed; errors in each life. */
static void test_notes_once(void **state) {
    rig r;
    uint32_t notes = 0, errors = 0;
    wf_str error;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    for (int life = 0; life < 4; life++) {
        if (life > 0) rig_crash(&r, FAKE_SYNCED);
        assert_int_equal(wf_note(r.w, WF_NOTE_ERROR, WF_STR("error")), WF_OK);
        for (int i = 0; i <= life; i++)
            assert_int_equal(wf_note(r.w, WF_NOTE_LINE, WF_STR("line")), WF_OK);
        at_place(&r, life % 2 ? "odd" : "even",
                 life < 2 ? "sync, please" : "and again"); /* by which they are durable */
    }
    size_t size;
    uint8_t *log = fake_crash(r.f, FAKE_ALL, 0, &size);
    rig_end(&r);
    rig_init(&r, 2, log, size);
    free(log);
    rig_block(&r);
    assert_int_equal(wf_run_load(r.w), WF_OK);
    wf_record rec;
    for (uint64_t at = 0; wf_record_next(r.w, &at, &rec) == WF_OK;) {
        bool note = strcmp(rec.type, "note") == 0, is_error = wf_json_member(rec.json, WF_STR("error"), &error);
        notes += note && !is_error;
        errors += note && is_error;
    }
    assert_int_equal(notes, 4);
    assert_int_equal(errors, 4);
    rig_end(&r);
}

/* A reply that was cut is no part of the conversation; but it was paid for, and the next one may be longer, also in another life. */
static void test_cut_replies_are_remembered(void **state) {
    rig r;
    wf_delivery d;
    uint32_t wait;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.f->sync_ms = 0;
    rig_start(&r);
    rig_ask(&r, "stop=max_tokens;");
    assert_int_equal(wf_deliver(r.w, &d), WF_AGAIN);
    while (r.f->requests < 2)
        assert_int_equal(wf_step(r.w, 1, &wait), WF_OK);
    rig_crash(&r, FAKE_SYNCED);
    rig_ask(&r, "stop=max_tokens;");
    d = rig_take(&r);
    assert_int_equal(d.kind, WF_KIND_CONTEXT);
    assert_int_equal(r.f->requests, 1); /* the longer one, at once */
    assert_int_equal(d.usage.input, 20);
    assert_int_equal(d.usage.output, 10);
    rig_end(&r);
}

/* Notes of an edited script are told unless they were recorded, each as often as it was; also in the lives after. */
static void test_notes_of_an_edited_script(void **state) {
    static const char *const said[][6] = {{"one", "two", "two", NULL},
                                          {"zero", "one", "two", "three", NULL},
                                          {"zero", "one", "two", "three", "two", NULL}};
    static const uint32_t told[] = {3, 5, 5};
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    for (int life = 0; life < 3; life++) {
        uint32_t notes = 0;
        if (life > 0) edit(&r, "script b");
        for (size_t i = 0; said[life][i]; i++)
            assert_int_equal(wf_note(r.w, WF_NOTE_LINE, rig_str(said[life][i])), WF_OK);
        assert_int_equal(wf_note(r.w, WF_NOTE_PHASE, WF_STR("one")), WF_OK); /* a line of the same text is another */
        at_place(&r, "sync", life == 0 ? "a" : life == 1 ? "b" : "c");       /* a new one: by it they are durable */
        size_t size;
        wf_record rec;
        uint8_t *log = fake_crash(r.f, FAKE_ALL, 0, &size);
        rig look;
        rig_init(&look, 2, log, size);
        free(log);
        rig_block(&look);
        assert_int_equal(wf_run_load(look.w), WF_OK);
        for (uint64_t at = 0; wf_record_next(look.w, &at, &rec) == WF_OK;)
            notes += strcmp(rec.type, "note") == 0;
        assert_int_equal(notes, told[life] + 1);
        rig_end(&look);
    }
    rig_end(&r);
}

/* Asked for its failures anew, a script may say other lines, and none is taken for one that it said then. */
static void test_notes_after_failures_are_asked_again(void **state) {
    static const char *const said[][3] = {{"failed", "went on", NULL}, {"well", "went on", NULL}};
    rig r;
    char notes[100] = "";
    size_t size;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    for (int life = 0; life < 2; life++) {
        if (life == 1) {
            r.config.retry_kinds = UINT32_MAX;
            rig_crash(&r, FAKE_SYNCED);
        }
        at_place(&r, "a", "status=400;");
        for (size_t i = 0; said[life][i]; i++)
            assert_int_equal(wf_note(r.w, WF_NOTE_LINE, rig_str(said[life][i])), WF_OK);
        at_place(&r, "sync", life == 0 ? "one" : "two");
    }
    uint8_t *log = fake_crash(r.f, FAKE_ALL, 0, &size);
    rig_end(&r);
    rig_init(&r, 2, log, size);
    free(log);
    rig_block(&r);
    assert_int_equal(wf_run_load(r.w), WF_OK);
    wf_record rec;
    for (uint64_t at = 0; wf_record_next(r.w, &at, &rec) == WF_OK;)
        if (strcmp(rec.type, "note") == 0)
            sprintf(notes + strlen(notes), "%.*s|", (int)rec.payload.len, rec.payload.ptr);
    assert_string_equal(notes, "failed|went on|well|");
    rig_end(&r);
}

/* A C program may have no script: its args are remembered all the same, and so is its name over an edit. */
static void test_args_without_a_script(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_block(&r);
    wf_run_spec spec = {WF_STR("first name"), WF_STR(""), WF_STR("[1]"), WF_STR("{}")}, old;
    assert_int_equal(fake_open(r.f, r.w, &spec), WF_OK);
    for (int life = 0; life < 2; life++) {
        size_t size;
        uint8_t *log = fake_crash(r.f, FAKE_ALL, 0, &size);
        rig_end(&r);
        rig_init(&r, 2, log, size);
        free(log);
        rig_block(&r);
        assert_int_equal(wf_run_load(r.w), WF_OK);
        assert_int_equal(wf_run_header(r.w, &old, NULL), WF_OK);
        assert_text(old.name, life == 0 ? "first name" : "second");
        assert_text(old.args, life == 0 ? "[1]" : "[2]");
        spec.name = WF_STR("second");
        spec.args = WF_STR("[2]");
        assert_int_equal(fake_open(r.f, r.w, &spec), WF_OK);
        wf_run_spec now;
        assert_int_equal(wf_run_header(r.w, &now, NULL), WF_OK);
        assert_text(now.name, "second");
        assert_text(old.name, life == 0 ? "first name" : "second"); /* it lives on */
        assert_int_equal(fake_finish(r.f, r.w, WF_RUN_DONE, "x"), WF_OK);
    }
    rig_end(&r);
}

/* Cut anywhere in its very first write, before anybody saw anything of it, a log is an empty one. */
static void test_a_torn_first_write(void **state) {
    rig r;
    size_t size;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    uint8_t *log = fake_crash(r.f, FAKE_ALL, 0, &size);
    rig_end(&r);
    for (size_t n = 1; n < size; n++) {
        rig_init(&r, 2, log, n);
        rig_start(&r);
        assert_int_equal(rig_do(&r, "a").kind, WF_KIND_NONE);
        rig_crash(&r, FAKE_SYNCED);
        assert_true(rig_do(&r, "a").cached);
        rig_end(&r);
    }
    free(log);
}

/* A tail of bytes that each look like a record's head costs no more than a few times its length, and is not cut unread. */
static void test_a_tail_made_to_be_slow(void **state) {
    rig r;
    size_t size, tail = 600000;
    wf_error error;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    uint8_t *log = fake_crash(r.f, FAKE_ALL, 0, &size);
    rig_end(&r);
    log = realloc(log, size + tail);
    assert_non_null(log);
    memset(log + size, 0, tail);
    for (size_t at = size + 24; at + 24 < size + tail; at += 24) {
        wfi_put32(log + at, (uint32_t)(size + tail - at - 32)); /* to the end, and wrong */
        log[at + 4] = 1;
        wfi_put64(log + at + 16, size + 8);
    }
    rig_init(&r, 2, log, size + tail);
    rig_block(&r);
    assert_int_equal(wf_run_load(r.w), WF_E_CORRUPT);
    wf_last_error(r.w, &error);
    assert_int_equal(error.offset, size);
    assert_non_null(strstr(error.text, "cut the file"));
    rig_end(&r);
    free(log);
}

/* Adds to a log, behind a text, a call whose prompt, or whose one reply's predecessor, is said to lie inside of that text. */
static void refer_into(fake *f, wf_str text, bool prompt) {
    static uint8_t buffer[WFI_LOG_BUFFER_MIN];
    char buf[WFI_LOG_META_MAX], hex[64];
    uint8_t hash[32];
    uint64_t at = WFI_LOG_FIRST, good, bad;
    wfi_log log;
    wfi_log_rec rec;
    wf_str json, content = WF_STR("{\"type\":\"text\",\"text\":\"x\"}"), reply = WF_STR("[]");
    wfi_log_init(&log, f->platform.log, f, buffer, sizeof buffer, WF_SYNC_OFF);
    assert_int_equal(wfi_log_load(&log), WF_OK);
    while (wfi_log_scan(&log, at, &rec) == WF_OK)
        at = rec.next;
    assert_int_equal(wfi_log_resume(&log, at), WF_OK);
    assert_int_equal(wfi_log_append(&log, WFI_REC_TEXT, 0, WF_STR(""), &content, 1, &good, NULL), WF_OK);
    assert_int_equal(wfi_log_append(&log, WFI_REC_TEXT, 0, WF_STR(""), &text, 1, &bad, NULL), WF_OK);
    bad += WFI_LOG_HEAD;
    wfi_replay_identity(&(wf_str){"x", 1}, 1, hash);
    wfi_hex(hash, sizeof hash, hex);
    wfi_meta_call call = {
        .path = WF_STR("/a"), .model = WF_STR("fake:m"), .hash = wf_str_of(hex, 64), .prompt = prompt ? bad : good};
    assert_int_equal(wfi_meta_put(WFI_REC_CALL, &call, buf, &json), WF_OK);
    assert_int_equal(wfi_log_append(&log, WFI_REC_CALL, 1, json, &reply, 0, NULL, NULL), WF_OK);
    wfi_meta_turn turn = {.prev = bad, .stop = WFI_STOP_TOOL};
    assert_int_equal(wfi_meta_put(WFI_REC_TURN, &turn, buf, &json), WF_OK);
    if (!prompt) assert_int_equal(wfi_log_append(&log, WFI_REC_TURN, 1, json, &reply, 1, NULL, NULL), WF_OK);
    assert_int_equal(wfi_log_flush(&log), WF_OK);
}

/* A log that somebody made, whose checksums are right: it is at fault, not this program. */
static void test_references_to_what_is_no_record(void **state) {
    static const struct {
        char text[40]; /* a record's head as it would be, and what follows */
        bool prompt;
    } cases[] = {
        {"\xff\xff\xff\x7f\3\0\0\0"
         "0000000000000000"
         "{}",
         true}, /* longer than the log */
        {"\x10\0\0\0\5\0\xff\xff"
         "0000000000000000"
         "{}",
         false}, /* metadata longer than any may be */
        {"\xff\xff\0\0\5\0\0\x0b"
         "0000000000000000"
         "{}",
         false}, /* ... longer than the log */
        {"\x10\0\0\0\3\0\2\0"
         "0000000000000000"
         "{}",
         false}, /* of a type that is no part of a conversation */
        {"\x10\0\0\0\5\0\4\0"
         "0000000000000000"
         "no JSON",
         false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r;
        wf_error error;
        wf_call call;
        wf_delivery d;
        rig_init(&r, 1, NULL, 0);
        rig_start(&r);
        size_t size;
        uint8_t *log = fake_crash(r.f, FAKE_ALL, 0, &size);
        rig_end(&r);
        rig_init(&r, 2, log, size);
        free(log);
        refer_into(r.f, wf_str_of(cases[i].text, sizeof cases[i].text), cases[i].prompt);
        rig_start(&r);
        wf_agent_spec spec = {.path = WF_STR("/a"), .identity = WF_STR("x"), .prompt = WF_STR("x")};
        assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
        assert_int_equal(fake_deliver(r.f, r.w, &d), WF_E_CORRUPT);
        wf_last_error(r.w, &error);
        assert_non_null(strstr(error.text, "of the log refers to"));
        assert_true(error.offset != WF_NO_OFFSET && error.offset > 0);
        rig_end(&r);
    }
}

/* An edited script moves a conversation that was under way: it goes on where it was, and so it does in the life after. A
 * finished answer of the same content goes before it. */
static void test_a_conversation_moves(void **state) {
    static const char talk[] = "tools=3;delay=400;";
    wf_call call;
    (void)state;
    for (int finished = 0; finished < 2; finished++) {
        rig r;
        rig_init(&r, 1, NULL, 0);
        rig_start(&r);
        if (finished) assert_int_equal(at_place(&r, "a", talk).kind, WF_KIND_NONE);
        wf_agent_spec spec = {.path = WF_STR("b"), .prompt = rig_str(talk)};
        assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
        uint64_t before = r.f->requests;
        wf_delivery d;
        uint32_t wait;
        while (r.f->requests < before + 3) { /* two turns are paid for */
            assert_int_equal(wf_deliver(r.w, &d), WF_AGAIN);
            assert_int_equal(wf_step(r.w, 64, &wait), WF_OK);
            if (wait > 0) assert_true(fake_sleep(r.f, wait));
        }
        edit(&r, "with a line above");
        spec.path = finished ? WF_STR("b") : WF_STR("c");
        assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
        if (!finished) {
            while (r.f->requests < 1) {
                assert_int_equal(wf_deliver(r.w, &d), WF_AGAIN);
                assert_int_equal(wf_step(r.w, 64, &wait), WF_OK);
                if (wait > 0 && r.f->requests < 1) assert_true(fake_sleep(r.f, wait));
            }
            rig_crash(&r, FAKE_ALL);
            spec.path = WF_STR("c");
            assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
        }
        d = rig_take(&r);
        assert_int_equal(d.kind, WF_KIND_NONE);
        assert_int_equal(d.turns, 4);
        assert_int_equal(r.f->requests, finished ? 0 : 2); /* the two turns that nobody has heard */
        rig_end(&r);
    }
}

/* Until the model has been asked so often in this life. */
static void run_to_request(rig *r, uint64_t requests) {
    wf_delivery d;
    uint32_t wait;
    while (r->f->requests < requests) {
        assert_int_equal(wf_deliver(r->w, &d), WF_AGAIN);
        assert_int_equal(wf_step(r->w, 64, &wait), WF_OK);
        if (wait > 0 && r->f->requests < requests) assert_true(fake_sleep(r->f, wait));
    }
}

static uint64_t log_bytes(const rig *r) {
    return status_of(r).log_bytes;
}

/* The loser of a race: replayed it is given up again, with nothing sent and nothing written; waited for, by a script that was
 * edited or that went another way, it goes on with its conversation, at its place or at another. */
static void test_a_cancelled_call_may_be_wanted(void **state) {
    static const char talk[] = "tools=2;delay=50;";
    (void)state;
    for (int where = 0; where < 3; where++) {
        rig r;
        rig_init(&r, 1, NULL, 0);
        rig_start(&r);
        wf_call loser = ask_at(&r, "a", talk);
        run_to_request(&r, 2);
        assert_int_equal(wf_call_cancel(r.w, loser), WF_OK);
        at_place(&r, "b", "one");
        steps(&r, 2);
        rig_crash(&r, FAKE_ALL);
        loser = ask_at(&r, "a", talk);
        uint64_t before = log_bytes(&r);
        ask_at(&r, "b", "one");
        assert_true(rig_take(&r).cached);
        steps(&r, 20);
        assert_int_equal(wf_call_cancel(r.w, loser), WF_OK);
        assert_int_equal(r.f->requests, 0);
        assert_int_equal(log_bytes(&r), before);
        assert_int_equal(status_of(&r).census.cancelled, 1);
        if (where == 0)
            rig_crash(&r, FAKE_SYNCED);
        else
            edit(&r, "script 2");
        wf_delivery d = at_place(&r, where == 2 ? "c" : "a", talk);
        assert_int_equal(d.kind, WF_KIND_NONE);
        assert_int_equal(d.turns, 3);
        assert_int_equal(r.f->requests, 2); /* its first turn is there */
        rig_end(&r);
    }
}

/* What was begun and never told its end is not done again for a script that has moved it: neither when the script was told so
 * already, nor when it had given it up. */
static void test_an_interrupted_effect_moves(void **state) {
    wf_effect_spec spec = {.path = WF_STR("a"), .name = WF_STR("deploy"), .input = WF_STR("1"), .changes = true};
    wf_delivery d;
    wf_call call;
    (void)state;
    for (int given_up = 0; given_up < 2; given_up++) {
        rig r;
        rig_init(&r, 1, NULL, 0);
        r.f->tool = slow_tool;
        rig_start(&r);
        spec.path = WF_STR("a");
        assert_int_equal(wf_effect_start(r.w, &spec, &call), WF_OK);
        while (r.f->tool_starts == 0) {
            assert_int_equal(wf_deliver(r.w, &d), WF_AGAIN);
            steps(&r, 1);
        }
        if (given_up) {
            assert_int_equal(wf_call_cancel(r.w, call), WF_OK);
            at_place(&r, "sync", "one");
        } else {
            rig_crash(&r, FAKE_ALL);
            assert_int_equal(wf_effect_start(r.w, &spec, &call), WF_OK);
            assert_int_equal(rig_take(&r).kind, WF_KIND_INTERRUPTED);
        }
        edit(&r, "script 2");
        spec.path = WF_STR("b");
        assert_int_equal(wf_effect_start(r.w, &spec, &call), WF_OK);
        assert_int_equal(rig_take(&r).kind, WF_KIND_INTERRUPTED);
        assert_int_equal(r.f->tool_starts, 0);
        rig_end(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_conversation_moves),
        cmocka_unit_test(test_a_cancelled_call_may_be_wanted),
        cmocka_unit_test(test_an_interrupted_effect_moves),
        cmocka_unit_test(test_notes_after_failures_are_asked_again),
        cmocka_unit_test(test_which_failures_are_answered),
        cmocka_unit_test(test_a_refusal_of_one_is_an_answer),
        cmocka_unit_test(test_raised_limits),
        cmocka_unit_test(test_no_cache),
        cmocka_unit_test(test_moved_calls),
        cmocka_unit_test(test_same_script_moves_nothing),
        cmocka_unit_test(test_defaults_are_no_identity),
        cmocka_unit_test(test_places_come_first),
        cmocka_unit_test(test_changed_prompt),
        cmocka_unit_test(test_nothing_is_sent_before_recorded_answers),
        cmocka_unit_test(test_a_moved_answer_goes_first),
        cmocka_unit_test(test_a_turn_is_durable_soon),
        cmocka_unit_test(test_a_kill_costs_a_reply_a_lane),
        cmocka_unit_test(test_completed_log),
        cmocka_unit_test(test_looking_at_a_killed_run),
        cmocka_unit_test(test_empty_and_foreign_logs),
        cmocka_unit_test(test_header_outlives_the_edit),
        cmocka_unit_test(test_notes_once),
        cmocka_unit_test(test_cut_replies_are_remembered),
        cmocka_unit_test(test_notes_of_an_edited_script),
        cmocka_unit_test(test_args_without_a_script),
        cmocka_unit_test(test_a_torn_first_write),
        cmocka_unit_test(test_a_tail_made_to_be_slow),
        cmocka_unit_test(test_references_to_what_is_no_record),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
