/* Who works when: lanes, order, cancel, stops, budget, deadlines, limits, and a thousand agents on the fake clock. */
#include "tests/fake/rig.h"

static wf_run_status status_of(const rig *r) {
    wf_run_status s;
    wf_run_status_get(r->w, &s);
    return s;
}

static uint32_t take_all(rig *r) {
    wf_delivery d;
    uint32_t n = 0;
    wf_status s;
    while ((s = fake_deliver(r->f, r->w, &d)) == WF_OK)
        n++;
    assert_int_equal(s, WF_END);
    return n;
}

/* ---- a thousand agents ---- */

static uint64_t thousand(uint32_t lanes, uint64_t seed, uint64_t sync_ms, bool mute, uint64_t *wall) {
    rig r;
    char prompt[40];
    rig_init(&r, seed, NULL, 0);
    r.f->sync_ms = sync_ms;
    r.f->mute = mute;
    r.config.lanes = lanes;
    r.config.max_agents = 1000;
    r.config.max_calls = 1000;
    r.size = (size_t)16 << 20;
    rig_start(&r);
    uint64_t begun = r.f->now;
    for (int i = 0; i < 1000; i++) {
        snprintf(prompt, sizeof prompt, "agent %d delay=50;", i);
        rig_ask(&r, prompt);
    }
    assert_int_equal(take_all(&r), 1000);
    *wall = r.f->now - begun;
    wf_run_status s = status_of(&r);
    assert_int_equal(s.census.done, 1000);
    assert_int_equal(s.running + s.queued, 0);
    assert_true(r.f->open_lanes_high <= lanes);
    assert_true(s.syncs <= 2000); /* group commit: turns and results share them */
    assert_int_equal(s.log_bytes, s.log_bytes & ~7ull);
    uint64_t hash = r.f->trace_hash;
    rig_end(&r);
    return hash;
}

static void test_thousand(void **state) {
    static const uint32_t lanes[] = {16, 250, 1000, 1};
    (void)state;
    for (size_t i = 0; i < 4; i++)
        for (uint64_t sync = 0; sync <= 5; sync += 5) {
            uint64_t wall, again, ideal = (1000 + lanes[i] - 1) / lanes[i] * 50;
            uint64_t hash = thousand(lanes[i], 3, sync, sync > 0, &wall);
            /* only the last results wait for a sync that nothing hides; and requests begin one by
             * one, by the limiter */
            uint64_t begin = lanes[i] == 1 ? 0 : lanes[i] == 16 ? ideal / 100 : 4 * lanes[i];
            assert_in_range(wall, ideal, ideal + 2 * sync + begin);
            if (i < 2) {
                assert_int_equal(thousand(lanes[i], 3, sync, sync > 0, &again), hash);
                assert_int_equal(again, wall);
            }
        }
}

/* ---- order and lanes ---- */

static void test_order_of_delivery(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    rig_ask(&r, "slow delay=30;");
    rig_ask(&r, "quick delay=10;");
    rig_ask(&r, "middle delay=20;");
    assert_int_equal(rig_take(&r).id, 2);
    assert_int_equal(rig_take(&r).id, 3);
    assert_int_equal(rig_take(&r).id, 1);
    wf_delivery d;
    assert_int_equal(wf_deliver(r.w, &d), WF_END);
    rig_end(&r);
}

static void test_one_lane(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.config.lanes = 1;
    rig_start(&r);
    for (int i = 0; i < 9; i++)
        rig_ask(&r, "tools=1;delay=3;");
    assert_int_equal(take_all(&r), 9);
    assert_int_equal(r.f->open_lanes_high, 1);
    rig_end(&r);
}

/* ---- cancel ---- */

static void test_cancel_everywhere(void **state) {
    (void)state;
    /* the victim is given up after n steps, for every n until it is delivered: every state comes by */
    for (uint32_t n = 0;; n++) {
        rig r;
        wf_delivery d;
        uint32_t wait;
        bool gone = false;
        rig_init(&r, 1, NULL, 0);
        r.config.lanes = 1;
        r.f->sync_ms = 2;
        r.f->again = true;
        r.f->tool_delay = 3;
        rig_start(&r);
        wf_call victim = rig_ask(&r, "tools=1;tool=change;delay=5;"), other = rig_ask(&r, "other");
        for (uint32_t i = 0; i < n; i++) {
            assert_int_equal(wf_step(r.w, 1, &wait), WF_OK);
            if (wait > 0) fake_sleep(r.f, wait);
            if (wf_deliver(r.w, &d) == WF_OK && d.call.bits == victim.bits) gone = true;
            if (gone) break;
        }
        if (gone) {
            assert_int_equal(wf_call_cancel(r.w, victim), WF_E_STALE);
            rig_end(&r);
            assert_true(n > 10);
            break;
        }
        assert_int_equal(wf_call_cancel(r.w, victim), WF_OK);
        assert_int_equal(wf_call_cancel(r.w, victim), WF_E_STALE);
        wf_run_status s = status_of(&r);
        assert_in_range(s.census.cancelled + s.census.done, 1, 2);
        assert_true(s.running <= 1); /* the other one */
        d = rig_take(&r);            /* the lane is free for the other one */
        assert_int_equal(d.call.bits, other.bits);
        assert_int_equal(d.kind, WF_KIND_NONE);
        assert_int_equal(wf_call_cancel(r.w, other), WF_E_STALE);
        assert_int_equal(wf_deliver(r.w, &d), WF_END);
        wf_memory m;
        assert_int_equal(fake_finish(r.f, r.w, WF_RUN_DONE, "x"), WF_OK);
        wf_memory_stats(r.w, &m);
        rig_crash(&r, FAKE_SYNCED);
        rig_end(&r);
    }
}

static void test_stale_handles(void **state) {
    rig r;
    wf_call none = {0}, odd = {UINT64_MAX};
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    wf_call call = rig_ask(&r, "a");
    wf_call wrong = {call.bits + (UINT64_C(1) << 32)};
    assert_int_equal(wf_call_cancel(r.w, none), WF_E_STALE);
    assert_int_equal(wf_call_cancel(r.w, odd), WF_E_STALE);
    assert_int_equal(wf_call_cancel(r.w, wrong), WF_E_STALE);
    rig_take(&r);
    assert_int_equal(wf_call_cancel(r.w, call), WF_E_STALE);
    rig_ask(&r, "b");
    assert_int_equal(fake_finish(r.f, r.w, WF_RUN_DONE, "x"), WF_OK);
    uint64_t size = status_of(&r).log_bytes;
    assert_int_equal(wf_call_cancel(r.w, call), WF_E_STALE);
    wf_run_stop(r.w, WF_RUN_CANCELLED, WF_STR("too late"));
    assert_int_equal(status_of(&r).outcome, WF_RUN_DONE);
    assert_int_equal(status_of(&r).log_bytes, size); /* nothing is written after the end */
    rig_end(&r);
}

/* ---- stops ---- */

static void test_stop_is_told_once_each(void **state) {
    static const wf_outcome reasons[] = {WF_RUN_CANCELLED, WF_RUN_PAUSED, WF_RUN_BUDGET};
    static const wf_kind kinds[] = {WF_KIND_CANCELLED, WF_KIND_QUOTA, WF_KIND_BUDGET};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        rig r;
        wf_delivery d;
        uint32_t told = 0, done = 0;
        wf_status s;
        rig_init(&r, 1, NULL, 0);
        r.config.lanes = 2;
        rig_start(&r);
        for (int n = 0; n < 6; n++)
            rig_ask(&r, n == 0 ? "first" : "delay=100;tools=1;");
        assert_int_equal(rig_take(&r).id, 1);
        uint64_t begun = r.f->now;
        wf_run_stop(r.w, reasons[i], WF_STR("because"));
        wf_agent_spec spec = {.prompt = WF_STR("late")};
        wf_call call;
        assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_E_STOPPED);
        while ((s = fake_deliver(r.f, r.w, &d)) == WF_OK) {
            told += d.stopped;
            done += !d.stopped;
            if (d.stopped) {
                assert_int_equal(d.kind, kinds[i]);
                assert_text(d.value, "because");
            }
        }
        assert_int_equal(s, WF_END);
        assert_int_equal(told, 5);
        assert_int_equal(done, 0);
        if (reasons[i] == WF_RUN_CANCELLED) assert_int_equal(r.f->now, begun); /* nobody waits for what is dropped */
        wf_run_status st = status_of(&r);
        assert_int_equal(st.outcome, reasons[i]);
        assert_int_equal(st.running + st.queued, 0);
        assert_int_equal(st.census.done, 1);
        assert_int_equal(st.census.cancelled, 1); /* it had a lane */
        assert_int_equal(st.census.not_run, 5);   /* the late one, turned away, among them */
        rig_crash(&r, FAKE_ALL);                  /* and the run goes on from there */
        for (int n = 0; n < 6; n++)
            rig_ask(&r, n == 0 ? "first" : "delay=100;tools=1;");
        assert_int_equal(take_all(&r), 6);
        assert_int_equal(status_of(&r).census.done, 6);
        rig_end(&r);
    }
}

/* A stop that comes from below while the caller sleeps on nothing else must wake it. */
static void test_auth_stops_the_run(void **state) {
    static const uint32_t statuses[] = {401, 403, 404, 402};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        rig r;
        char prompt[40];
        rig_init(&r, 1, NULL, 0);
        r.config.lanes = 1;
        rig_start(&r);
        snprintf(prompt, sizeof prompt, "status=%u;", statuses[i]);
        rig_ask(&r, prompt);
        for (int n = 0; n < 5; n++)
            rig_ask(&r, "another");
        wf_delivery d = rig_take(&r);
        assert_int_equal(d.kind, i < 3 ? WF_KIND_AUTH : WF_KIND_QUOTA);
        assert_true(d.stopped); /* a resume asks it anew */
        assert_true(rig_has(d.value, "as the prompt wished"));
        assert_int_equal(take_all(&r), 5);
        assert_int_equal(status_of(&r).outcome, i < 3 ? WF_RUN_REFUSED : WF_RUN_PAUSED);
        assert_int_equal(r.f->requests, 1);
        rig_end(&r);
    }
}

static void test_stronger_reason_wins(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    wf_run_stop(r.w, WF_RUN_DEADLINE, WF_STR("late"));
    wf_run_stop(r.w, WF_RUN_BUDGET, WF_STR("poor"));
    assert_text(status_of(&r).text, "late");
    wf_run_stop(r.w, WF_RUN_CANCELLED, WF_STR("enough"));
    assert_text(status_of(&r).text, "enough");
    assert_int_equal(fake_finish(r.f, r.w, WF_RUN_FAILED, "x"), WF_OK);
    assert_int_equal(status_of(&r).outcome, WF_RUN_CANCELLED);
    rig_end(&r);
}

static void test_run_deadline(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.config.run_ms = 120;
    r.config.lanes = 1;
    r.f->sync_ms = 60; /* when the deadline passes, an answer waits for its sync */
    rig_start(&r);
    uint64_t begun = r.f->now;
    for (int i = 0; i < 5; i++)
        rig_ask(&r, "delay=50;");
    wf_delivery d;
    uint32_t stopped = 0, steps = 0, wait;
    wf_status s;
    while ((s = wf_deliver(r.w, &d)) != WF_END) { /* by hand: waiting must not be a busy loop */
        assert_true(s >= 0 && steps++ < 500);
        stopped += s == WF_OK && d.stopped;
        if (s == WF_OK) continue;
        assert_int_equal(wf_step(r.w, 64, &wait), WF_OK);
        if (wait > 0) assert_true(fake_sleep(r.f, wait));
    }
    assert_int_equal(stopped, 4); /* it counts from wf_run_open, whose sync took 60 */
    assert_int_equal(r.f->now - begun, 110);
    assert_int_equal(status_of(&r).outcome, WF_RUN_DEADLINE);
    rig_end(&r);
}

/* Stopped after any number of steps: from then on no request and no tool begins, whatever they were waiting for; and what was
 * only intended is done by a resumed run, not reported as interrupted. */
static void stop_after(uint32_t steps, bool effect, bool *over) {
    rig r;
    wf_delivery d;
    wf_call call;
    uint32_t wait;
    wf_effect_spec spec = {.name = WF_STR("deploy"), .input = WF_STR("1"), .changes = true};
    rig_init(&r, 1, NULL, 0);
    r.f->sync_ms = 30;
    r.config.budget_tokens = 1000000;
    rig_start(&r);
    for (int life = 0;; life++) {
        if (effect)
            assert_int_equal(wf_effect_start(r.w, &spec, &call), WF_OK);
        else
            rig_ask(&r, "tools=1;calls=llcl;delay=5;");
        if (life == 1) break;
        for (uint32_t i = 0; i < steps; i++) {
            *over |= wf_deliver(r.w, &d) == WF_OK;
            assert_int_equal(wf_step(r.w, 1, &wait), WF_OK);
            if (wait > 0 && !*over) fake_sleep(r.f, wait);
        }
        wf_run_stop(r.w, WF_RUN_PAUSED, WF_STR("quota"));
        uint64_t requests = r.f->requests, tools = r.f->tool_starts;
        take_all(&r);
        assert_int_equal(r.f->requests, requests);
        assert_int_equal(r.f->tool_starts, tools);
        assert_int_equal(fake_finish(r.f, r.w, WF_RUN_PAUSED, "x"), WF_OK);
        rig_crash(&r, FAKE_ALL);
    }
    d = rig_take(&r);
    assert_int_equal(d.kind, WF_KIND_NONE);
    assert_string_equal(r.f->interrupted, "");
    rig_end(&r);
}

static void test_nothing_begins_after_a_stop(void **state) {
    (void)state;
    for (int effect = 0; effect < 2; effect++) {
        bool over = false;
        uint32_t n = 0;
        while (!over)
            stop_after(n++, effect != 0, &over);
        assert_true(n > (effect ? 3 : 10));
    }
}

/* ---- budget ---- */

/* A model that bills the worst case for whatever reached it, also if its answer gets lost; errors are free. */
static void greedy(fake *f, const fake_request *r, fake_answer *out) {
    uint64_t dice = fake_below(&f->rng, 10);
    uint64_t most = strtoull(strstr(r->body, "\"max_tokens\":") + 13, NULL, 10);
    out->delay_ms = fake_below(&f->rng, 20);
    if (dice == 0) {
        fake_error(out, 529, "busy");
        return;
    }
    *(uint64_t *)f->user += r->len + most;
    fake_body(out,
              "{\"content\":[{\"type\":\"text\",\"text\":\"x\"}],\"stop_reason\":\"end_turn\",\"usage\":"
              "{\"input_tokens\":%zu,\"output_tokens\":%llu}}",
              r->len, (unsigned long long)most);
    if (dice == 1) out->drop = FAKE_DROP_HEAD;
    if (dice == 2) out->drop = FAKE_DROP_BODY;
    if (dice == 3) out->drop = FAKE_HANG;
    if (dice == 4) out->drop = FAKE_STALE; /* it has the request whole all the same */
}

/* One life of the run, up to anywhere: agents are cancelled, and the run is stopped, between any two pieces of work. */
static void budget_life(rig *r, uint64_t *rng) {
    wf_call calls[12];
    uint32_t wait, work = fake_below(rng, 2) ? 1 : 4;
    for (int i = 0; i < 12; i++)
        calls[i] = rig_ask(r, "short");
    for (uint64_t n = fake_below(rng, 60); n > 0; n--) {
        wf_delivery d;
        uint64_t dice = fake_below(rng, 40);
        wf_deliver(r->w, &d);
        if (dice < 3) wf_call_cancel(r->w, calls[fake_below(rng, 12)]);
        if (dice == 3) wf_run_stop(r->w, WF_RUN_PAUSED, WF_STR("enough for now"));
        assert_int_equal(wf_step(r->w, work, &wait), WF_OK);
        if (wait > 0 && !fake_sleep(r->f, wait)) break;
    }
}

static void test_budget_is_never_overshot(void **state) {
    uint32_t all = 0;
    (void)state;
    for (uint64_t budget = 1; budget < 9000; budget += 59) {
        rig r;
        uint64_t paid = 0, more = 0, rng = budget;
        rig_init(&r, budget, NULL, 0);
        r.config.budget_tokens = budget;
        r.config.max_tokens = budget % 2 ? 100 : 3000;
        r.config.tool_count = 0;
        r.config.stall_ms = 1000;
        r.config.agent_ms = budget % 3 == 0 ? 40 : WF_NONE;
        r.f->model = greedy;
        r.f->user = &paid;
        r.f->sync_ms = 3;
        for (int life = 0; life < 4; life++) {
            if (life == 0)
                rig_start(&r);
            else
                rig_crash(&r, (fake_survival)fake_below(&rng, FAKE_SURVIVALS));
            uint64_t before = status_of(&r).more_tokens;
            if (life < 3) budget_life(&r, &rng); /* and killed there */
            more += status_of(&r).more_tokens - before;
        }
        uint64_t before = status_of(&r).more_tokens;
        for (int i = 0; i < 12; i++)
            rig_ask(&r, "short");
        take_all(&r);
        more += status_of(&r).more_tokens - before;
        if (paid > budget + more)
            fail_msg("budget %llu, and %llu shown beyond it: %llu", (unsigned long long)budget,
                     (unsigned long long)more, (unsigned long long)paid);
        wf_census c = status_of(&r).census;
        if (c.done + c.failed + c.cancelled < 12) assert_int_equal(status_of(&r).outcome, WF_RUN_BUDGET);
        all += c.done + c.cancelled == 12;
        rig_end(&r);
    }
    assert_in_range(all, 20, 140); /* neither always enough nor never */
}

/* What a cancel gives back is what the model has not got: with its last byte out, a request may be billed. */
static void test_a_whole_request_is_not_given_back(void **state) {
    rig r;
    wf_delivery d;
    uint32_t wait;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.config.max_tokens = 1000;
    r.config.budget_tokens = 1800; /* one request, not two */
    r.config.tool_count = 0;
    rig_start(&r);
    wf_call call = rig_ask(&r, "first delay=5;");
    assert_int_equal(wf_deliver(r.w, &d), WF_AGAIN);
    while (!r.f->lanes[0].answered)
        assert_int_equal(wf_step(r.w, 1, &wait), WF_OK);
    assert_int_equal(wf_call_cancel(r.w, call), WF_OK);
    rig_ask(&r, "second");
    assert_true(rig_take(&r).stopped);
    assert_int_equal(status_of(&r).outcome, WF_RUN_BUDGET);
    assert_int_equal(r.f->requests, 1);
    rig_end(&r);

    rig_init(&r, 1, NULL, 0); /* but for a byte: nothing is billed */
    r.config.max_tokens = 1000;
    r.config.budget_tokens = 1800;
    r.config.tool_count = 0;
    r.f->clog = "first";
    rig_start(&r);
    call = rig_ask(&r, "first");
    assert_int_equal(wf_deliver(r.w, &d), WF_AGAIN);
    while (!r.f->lanes[0].clogged)
        assert_int_equal(wf_step(r.w, 1, &wait), WF_OK);
    assert_int_equal(wf_call_cancel(r.w, call), WF_OK);
    assert_int_equal(rig_do(&r, "second").kind, WF_KIND_NONE);
    rig_end(&r);
}

/* A run with room for `spare` worst cases beyond four replies, cut short twice with nothing under way; answers how many of the
 * replies that the budget would cover came after that. */
static uint32_t budget_after_crashes(fake_survival how, uint32_t spare) {
    rig r;
    uint32_t done = 0;
    rig_init(&r, 1, NULL, 0);
    r.config.budget_tokens = 12 * 15 + spare * 300;
    r.config.retries = 1;
    r.config.max_tokens = 100;
    r.config.tool_count = 0;
    r.config.retry_kinds = UINT32_MAX; /* the refused request goes out in each life */
    rig_start(&r);
    for (int life = 0; life < 3; life++) {
        if (life > 0) rig_crash(&r, how);
        rig_do(&r, "status=503;"); /* refused requests cost nothing */
        for (int i = 0; i < 4; i++)
            if (status_of(&r).outcome == WF_RUN_OPEN) done += rig_do(&r, "a").kind == WF_KIND_NONE;
        for (uint32_t wait = 0; wait == 0;)
            assert_int_equal(wf_step(r.w, 64, &wait), WF_OK);
    }
    rig_end(&r);
    return done;
}

/* A reservation that a reply has settled does not count again after a kill; a power cut may cost one, and no more. */
static void test_budget_after_a_resume(void **state) {
    (void)state;
    assert_int_equal(budget_after_crashes(FAKE_ALL, 1), 12);
    assert_in_range(budget_after_crashes(FAKE_SYNCED, 1), 4, 11);
    assert_int_equal(budget_after_crashes(FAKE_SYNCED, 3), 12);
}

/* What a lower ceiling covers need not wait for the record that took it down, which nobody syncs. */
static void test_budget_after_a_rest(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.config.budget_tokens = 100000;
    r.config.max_tokens = 1000;
    r.config.lanes = 4;
    r.config.stall_ms = 500;
    rig_start(&r);
    for (int i = 0; i < 3; i++)
        rig_ask(&r, "short");
    r.f->clog = "stuck";
    rig_ask(&r, "stuck"); /* the ceiling is taken down while it hangs; then it is sent again */
    assert_int_equal(take_all(&r), 4);
    assert_int_equal(status_of(&r).census.done, 4);
    rig_end(&r);
}

/* Many requests share a sync of the ceiling: it is not raised for each of them. */
static void test_budget_is_raised_ahead(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.config.budget_tokens = 1000000;
    r.config.max_tokens = 1000;
    r.config.lanes = 4;
    r.config.max_agents = 200;
    r.config.max_calls = 200;
    rig_start(&r);
    for (int i = 0; i < 200; i++)
        rig_ask(&r, "delay=10;");
    assert_int_equal(take_all(&r), 200);
    uint32_t raised = 0;
    uint64_t at = 0;
    wf_record rec;
    rig old = r;
    size_t size;
    uint8_t *log = fake_crash(old.f, FAKE_ALL, 0, &size);
    rig_end(&old);
    rig_init(&r, 2, log, size);
    free(log);
    r.config.max_calls = 200;
    rig_block(&r);
    assert_int_equal(wf_run_load(r.w), WF_OK);
    while (wf_record_next(r.w, &at, &rec) == WF_OK)
        raised += strcmp(rec.type, "reserve") == 0;
    assert_in_range(raised, 1, 20);
    rig_end(&r);
}

/* What is reserved makes others wait, not fail: with room for one worst case at a time all get their turn. */
static void test_budget_waits_for_settling(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.config.budget_tokens = 1500;
    r.config.max_tokens = 800;
    r.config.tool_count = 0;
    rig_start(&r);
    for (int i = 0; i < 8; i++)
        rig_ask(&r, "delay=10;");
    assert_int_equal(take_all(&r), 8);
    assert_int_equal(status_of(&r).census.done, 8);
    assert_int_equal(r.f->open_lanes_high, 1);
    rig_end(&r);
}

static void test_budget_in_usd(void **state) {
    rig r;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.config.budget_nano_usd = 1;
    rig_start(&r);
    assert_int_equal(rig_do(&r, "a").kind, WF_KIND_NONE); /* the fake names no price */
    rig_end(&r);
}

/* ---- limits ---- */

static void test_caps(void **state) {
    rig r;
    wf_call call;
    wf_error error;
    wf_agent_spec spec = {.prompt = WF_STR("a")};
    wf_effect_spec effect = {.name = WF_STR("probe"), .input = WF_STR("1"), .reads = true};
    wf_effect_spec change = {.name = WF_STR("probe"), .input = WF_STR("1"), .changes = true};
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.config.max_agents = 3;
    r.config.max_calls = 5;
    rig_start(&r);
    for (int i = 0; i < 3; i++)
        rig_ask(&r, "a");
    assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_E_LIMIT);
    wf_last_error(r.w, &error);
    assert_non_null(strstr(error.text, "--agents"));
    assert_int_equal(wf_effect_start(r.w, &change, &call), WF_E_LIMIT);
    for (int i = 0; i < 2; i++)
        assert_int_equal(wf_effect_start(r.w, &effect, &call), WF_OK);
    uint64_t size = status_of(&r).log_bytes;
    assert_int_equal(wf_effect_start(r.w, &effect, &call), WF_E_LIMIT);
    assert_int_equal(status_of(&r).log_bytes, size);
    assert_int_equal(take_all(&r), 5);
    /* a log with more calls than the table is refused, and by name */
    size_t n;
    uint8_t *log = fake_crash(r.f, FAKE_ALL, 0, &n);
    rig_end(&r);
    rig_init(&r, 1, log, n);
    r.config.max_agents = 2;
    r.config.max_calls = 4;
    rig_block(&r);
    assert_int_equal(wf_run_load(r.w), WF_E_LIMIT);
    wf_last_error(r.w, &error);
    assert_non_null(strstr(error.text, "--agents"));
    rig_end(&r);
    free(log);
}

static void test_effects(void **state) {
    rig r;
    wf_call call;
    wf_effect_spec spec = {.name = WF_STR("probe"), .input = WF_STR("{\"a\":1}")};
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.config.effects = 2;
    r.f->tool_delay = 20;
    rig_start(&r);
    for (int i = 0; i < 7; i++)
        assert_int_equal(wf_effect_start(r.w, &spec, &call), WF_OK);
    for (int i = 0; i < 7; i++) {
        wf_delivery d = rig_take(&r);
        assert_true(d.json);
        assert_true(rig_has(d.value, "{\"effect\":\""));
    }
    assert_int_equal(status_of(&r).agents, 0);
    rig_end(&r);
}

static void slow_tool(fake *f, const wf_tool_call *call, fake_ticket *out) {
    (void)call;
    out->due = f->now + 1000;
    snprintf(out->text, 64, "1");
}

static void step(const rig *r) {
    uint32_t wait;
    for (int i = 0; i < 20; i++)
        assert_int_equal(wf_step(r->w, 64, &wait), WF_OK);
}

/* Effects that take long keep none of another kind from beginning. */
static void test_no_effect_starves_another_kind(void **state) {
    (void)state;
    const wf_effect_spec kinds[3] = {{.name = WF_STR("probe"), .input = WF_STR("1"), .changes = true},
                                     {.name = WF_STR("probe"), .input = WF_STR("2"), .reads = true},
                                     {.name = WF_STR("probe"), .input = WF_STR("3")}};
    for (uint32_t effects = 2; effects < 5; effects++)
        for (size_t greedy = 0; greedy < 3; greedy++) {
            rig r;
            wf_call call;
            rig_init(&r, 1, NULL, 0);
            r.config.effects = effects;
            r.f->tool = slow_tool;
            rig_start(&r);
            for (int i = 0; i < 20; i++)
                assert_int_equal(wf_effect_start(r.w, &kinds[greedy], &call), WF_OK);
            step(&r);
            assert_int_equal(r.f->open_tickets, effects < 3 ? effects : effects - 2);
            for (size_t other = 0; other < 3; other++)
                if (other != greedy) assert_int_equal(wf_effect_start(r.w, &kinds[other], &call), WF_OK);
            step(&r);
            assert_int_equal(r.f->open_tickets, effects);
            assert_int_equal(take_all(&r), 22);
            rig_end(&r);
        }
}

/* A table that is full ends a run as its cap does, though the script may have caught the error. */
static void test_a_full_table_is_told_at_the_end(void **state) {
    (void)state;
    for (int agent = 0; agent < 2; agent++) {
        rig r;
        wf_call call;
        wf_effect_spec effect = {.name = WF_STR("probe"), .input = WF_STR("1")};
        wf_agent_spec spec = {.prompt = WF_STR("a")};
        rig_init(&r, 1, NULL, 0);
        r.config.max_agents = r.config.max_calls = 3;
        rig_start(&r);
        for (int i = 0; i < 3; i++)
            assert_int_equal(wf_effect_start(r.w, &effect, &call), WF_OK);
        assert_int_equal(agent ? wf_agent_start(r.w, &spec, &call) : wf_effect_start(r.w, &effect, &call), WF_E_LIMIT);
        assert_int_equal(take_all(&r), 3);
        assert_int_equal(fake_finish(r.f, r.w, WF_RUN_DONE, "x"), WF_OK);
        wf_run_status s = status_of(&r);
        assert_int_equal(s.outcome, WF_RUN_BUDGET);
        assert_int_equal(s.census.not_run, agent);
        assert_true(rig_has(s.text, "the table of calls is full"));
        rig_end(&r);
    }
}

static void test_an_endless_deadline(void **state) {
    rig r;
    wf_delivery d;
    uint32_t wait = 0;
    (void)state;
    rig_init(&r, 1, NULL, 0);
    r.config.run_ms = UINT64_MAX - 5;
    rig_start(&r);
    rig_ask(&r, "delay=5000;");
    for (int i = 0; i < 100 && wait == 0; i++) {
        assert_int_equal(wf_deliver(r.w, &d), WF_AGAIN);
        assert_int_equal(wf_step(r.w, 64, &wait), WF_OK);
    }
    assert_int_equal(wait, 5000);
    rig_end(&r);
}

/* The log is UTF-8: what would not come back from it as it was is refused. */
static void test_names_are_utf8(void **state) {
    rig r;
    wf_call call;
    wf_str bad = WF_STR("caf\xe9");
    (void)state;
    rig_init(&r, 1, NULL, 0);
    rig_start(&r);
    const wf_agent_spec agents[] = {{.prompt = WF_STR("a"), .cwd = bad},
                                    {.prompt = WF_STR("a"), .path = bad},
                                    {.prompt = WF_STR("a"), .model = bad},
                                    {.prompt = WF_STR("a"), .effort = bad}};
    for (size_t i = 0; i < sizeof agents / sizeof *agents; i++) {
        wf_error error;
        assert_int_equal(wf_agent_start(r.w, &agents[i], &call), WF_E_CONFIG);
        wf_last_error(r.w, &error);
        assert_non_null(strstr(error.text, "UTF-8"));
    }
    wf_effect_spec effect = {.name = bad, .input = WF_STR("1")};
    assert_int_equal(wf_effect_start(r.w, &effect, &call), WF_E_CONFIG);
    rig_end(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thousand),
        cmocka_unit_test(test_order_of_delivery),
        cmocka_unit_test(test_one_lane),
        cmocka_unit_test(test_cancel_everywhere),
        cmocka_unit_test(test_stale_handles),
        cmocka_unit_test(test_stop_is_told_once_each),
        cmocka_unit_test(test_auth_stops_the_run),
        cmocka_unit_test(test_stronger_reason_wins),
        cmocka_unit_test(test_run_deadline),
        cmocka_unit_test(test_nothing_begins_after_a_stop),
        cmocka_unit_test(test_budget_is_never_overshot),
        cmocka_unit_test(test_a_whole_request_is_not_given_back),
        cmocka_unit_test(test_budget_after_a_resume),
        cmocka_unit_test(test_budget_after_a_rest),
        cmocka_unit_test(test_budget_is_raised_ahead),
        cmocka_unit_test(test_budget_waits_for_settling),
        cmocka_unit_test(test_budget_in_usd),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_effects),
        cmocka_unit_test(test_no_effect_starves_another_kind),
        cmocka_unit_test(test_a_full_table_is_told_at_the_end),
        cmocka_unit_test(test_an_endless_deadline),
        cmocka_unit_test(test_names_are_utf8),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
