/* The limiter: by itself, where its invariants are watched; and in whole runs against servers with
 * limits of all kinds. */
#include "tests/fake/rig.h"

#include "src/core/run/runtime.h"

#include <inttypes.h>

/* ---- by itself ---- */

#define NOW 1000000u

/* Begins a request that is allowed, and answers its round. */
static uint32_t go(wfi_limiter *l, uint64_t now) {
    assert_int_equal(wfi_limiter_due(l, now), now);
    return wfi_limiter_begin(l, now);
}

static void few_begin_at_once(void **state) {
    wfi_limiter l;
    uint32_t begun = 0;
    (void)state;
    wfi_limiter_init(&l);
    for (uint64_t ms = 0; ms < 100; ms++) {
        for (; wfi_limiter_due(&l, NOW + ms) == NOW + ms; begun++)
            (void)go(&l, NOW + ms);
        assert_int_equal(begun, ms < 48 ? 4 + ms / 4 : 16 + (ms - 48) / 8);
    }
    for (uint32_t i = 0; i < begun; i++) /* none of them was refused: as many again, and an eighth more */
        wfi_limiter_accept(&l, NOW + 100, 0);
    uint32_t again = 0;
    for (; wfi_limiter_due(&l, NOW + 100) == NOW + 100; again++)
        (void)wfi_limiter_begin(&l, NOW + 100);
    assert_in_range(again, begun + begun / 8, begun + begun / 8 + 3);
    for (uint32_t i = 0; i < again; i++)
        wfi_limiter_accept(&l, NOW + 200, 0);
    assert_int_equal(go(&l, NOW + 5000), 0); /* after a rest it is like the first time */
    for (uint32_t i = 0; i < 3; i++)
        (void)go(&l, NOW + 5000);
    assert_int_equal(wfi_limiter_due(&l, NOW + 5000), NOW + 5004);
}

/* After a refusal nobody goes before the time, then one, and when it was accepted the rest. */
static void one_goes_first(void **state) {
    wfi_limiter l;
    (void)state;
    wfi_limiter_init(&l);
    for (int i = 0; i < 4; i++)
        assert_int_equal(go(&l, NOW), 0);
    assert_true(wfi_limiter_refuse(&l, NOW + 10, 0, 1000, UINT32_MAX / 2));
    assert_false(wfi_limiter_refuse(&l, NOW + 20, 0, 1000, UINT32_MAX / 2)); /* the same refusal, a little later */
    assert_int_equal(wfi_limiter_due(&l, NOW + 30), NOW + 20 + 1062);
    wfi_limiter_accept(&l, NOW + 40, 0); /* a reply that comes meanwhile opens nothing */
    assert_int_equal(wfi_limiter_due(&l, NOW + 40), NOW + 20 + 1062);
    wfi_limiter_lose(&l, 0);
    assert_int_equal(wfi_limiter_due(&l, NOW + 40), NOW + 20 + 1062);
    assert_int_equal(l.pending, 0);
    assert_int_equal(go(&l, NOW + 2000), 1);
    assert_int_equal(wfi_limiter_due(&l, NOW + 2000), NOW + 5000); /* not before something is heard, or for long not */
    wfi_limiter_lose(&l, 1);
    assert_int_equal(go(&l, NOW + 2100), 1); /* it tells nothing */
    wfi_limiter_accept(&l, NOW + 2200, 1);
    assert_int_equal(wfi_limiter_due(&l, NOW + 2200), NOW + 2325); /* eight in a second */
    assert_int_equal(l.since, UINT64_MAX);
}

/* Waits that nobody asked for grow while even the first one is refused, and not at once. */
static void barren_waits(void **state) {
    static const uint64_t waits[] = {500, 1000, 2000, 4000, 8000, 8000, 8000};
    wfi_limiter l;
    (void)state;
    for (int asked = -1; asked <= 0; asked++) {
        uint64_t now = NOW;
        wfi_limiter_init(&l);
        for (size_t i = 0; i < 10 + sizeof waits / sizeof *waits; i++) {
            assert_true(wfi_limiter_refuse(&l, now, go(&l, now), asked, 0));
            assert_int_equal(l.since, NOW);
            uint64_t due = wfi_limiter_due(&l, now);
            assert_int_equal(due - now, i < 10 ? 500 : waits[i - 10]);
            now = due;
        }
        wfi_limiter_accept(&l, now, go(&l, now));
        assert_int_equal(l.since, UINT64_MAX);
        now = wfi_limiter_due(&l, now);
        assert_true(wfi_limiter_refuse(&l, now, go(&l, now), asked, 0));
        assert_int_equal(wfi_limiter_due(&l, now), now + 500);
    }
}

/* ... and where what is asked for is too little, time after time. */
static void asked_too_little(void **state) {
    static const uint64_t waits[] = {10, 10, 10, 500, 1000, 2000, 4000, 8000};
    wfi_limiter l;
    uint64_t now = NOW;
    (void)state;
    wfi_limiter_init(&l);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        assert_true(wfi_limiter_refuse(&l, now, go(&l, now), 10, 0));
        assert_int_equal(wfi_limiter_due(&l, now) - now, waits[i]);
        now = wfi_limiter_due(&l, now);
    }
}

/* A rate that was learned gives way when nothing is refused any more, but only for those who want
 * more. */
static void a_limit_goes_away(void **state) {
    static const uint32_t refusals[] = {1, 2, 5, 20};
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        wfi_limiter l;
        uint64_t now = NOW;
        wfi_limiter_init(&l);
        for (uint32_t n = 0; n < refusals[i]; n++) {
            if (n > 0) wfi_limiter_accept(&l, now, go(&l, now));
            now = wfi_limiter_due(&l, now);
            (void)wfi_limiter_refuse(&l, now, go(&l, now), 1000, 0);
            now = wfi_limiter_due(&l, now);
        }
        uint64_t since = now;
        uint32_t rate = l.rate;
        for (int n = 0; n < 30; n++, now = wfi_limiter_due(&l, now))
            wfi_limiter_accept(&l, now, go(&l, now));
        assert_int_equal(l.rate, rate);
        for (l.waiting = 1; l.rate > 0; now = wfi_limiter_due(&l, now))
            wfi_limiter_accept(&l, now, go(&l, now));
        assert_in_range(now - since, 1, 200000);
        for (int n = 0; n < 1000; n++)
            (void)go(&l, now);
    }
}

/* Anything at all, with the invariants of limiter.h watched. */
static void anything(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t rng = seed, now = NOW, closed = 0, probe = 0;
        uint32_t rounds[64], count = 0;
        wfi_limiter l;
        wfi_limiter_init(&l);
        for (int n = 0; n < 400; n++) {
            uint64_t due = wfi_limiter_due(&l, now);
            assert_true(due >= now);
            assert_int_equal(l.pending, count);
            l.waiting = (uint32_t)fake_below(&rng, 3);
            if (due == now && count < 64) {
                assert_true(now >= closed);
                if (l.probing) {
                    bool lost = l.until == 0;
                    assert_true(lost || probe == 0 || now - probe >= 3000);
                    probe = now;
                }
                rounds[count++] = wfi_limiter_begin(&l, now);
            }
            now += fake_below(&rng, 4) ? fake_below(&rng, 20) : due - now;
            if (count == 0 || fake_below(&rng, 2)) continue;
            uint32_t which = (uint32_t)fake_below(&rng, count), round = rounds[which];
            rounds[which] = rounds[--count];
            int64_t asked = fake_below(&rng, 2) ? (int64_t)fake_below(&rng, 3000) : -1;
            switch (fake_below(&rng, 4)) {
            case 0:
                if (wfi_limiter_refuse(&l, now, round, asked, (uint32_t)fake_below(&rng, UINT32_MAX))) {
                    probe = 0;
                    closed = now + (asked > 0 ? (uint64_t)asked : 375);
                }
                assert_true(l.rate >= 333);
                break;
            case 1:
                wfi_limiter_lose(&l, round);
                break;
            default:
                wfi_limiter_accept(&l, now, round);
            }
        }
    }
}

/* ---- whole runs ---- */

typedef struct server {
    uint32_t rate, burst; /* requests in 1000 s; tokens */
    int64_t wait_ms;      /* what a refusal asks for; -1: nothing, 0: what is missing */
    uint32_t status;
    uint64_t opens, first; /* refuses all for so long, since the first request */
    const char *message;
    double tokens;
    uint64_t at, accepted, refused;
    uint64_t times[4096]; /* of the requests */
} server;

static void serve(fake *f, const fake_request *r, fake_answer *out) {
    server *s = f->user;
    uint64_t n = s->accepted + s->refused;
    (void)r;
    if (n == 0) {
        s->tokens = s->burst;
        s->first = s->at = f->now;
    }
    if (n < sizeof s->times / sizeof *s->times) s->times[n] = f->now;
    s->tokens += (double)(f->now - s->at) * s->rate / 1e6;
    if (s->tokens > s->burst) s->tokens = s->burst;
    s->at = f->now;
    if (s->tokens < 0.9999 || f->now - s->first < s->opens) {
        s->refused++;
        out->delay_ms = 1 + fake_below(&f->rng, 5);
        out->retry_after_ms = s->wait_ms != 0 ? s->wait_ms : (int64_t)((1 - s->tokens) * 1e6 / s->rate) + 1;
        fake_error(out, s->status ? s->status : 429, s->message ? s->message : "slow down");
        return;
    }
    s->tokens -= 1;
    s->accepted++;
    out->delay_ms = 1 + fake_below(&f->rng, 20);
    fake_reply(out, "end_turn", "[{\"type\":\"text\",\"text\":\"ok\"}]");
}

static void begin(rig *r, server *s, uint64_t seed, uint32_t lanes) {
    rig_init(r, seed, NULL, 0);
    r->f->model = serve;
    r->f->user = s;
    r->config.lanes = lanes;
    r->config.max_agents = 256;
    r->config.max_calls = 512;
    r->size = (size_t)4 << 20;
}

static void ask_for(rig *r, uint32_t agents) {
    char prompt[32];
    for (uint32_t i = 0; i < agents; i++) {
        snprintf(prompt, sizeof prompt, "agent %u", i);
        rig_ask(r, prompt);
    }
}

/* Agents that ended well; of the others, the last kind. */
static uint32_t take_all(rig *r, wf_kind *kind) {
    wf_delivery d;
    uint32_t done = 0;
    while (fake_deliver(r->f, r->w, &d) == WF_OK) {
        done += d.kind == WF_KIND_NONE;
        if (kind && d.kind != WF_KIND_NONE) *kind = d.kind;
    }
    return done;
}

static wf_run_status status_of(const rig *r) {
    wf_run_status s;
    wf_run_status_get(r->w, &s);
    return s;
}

/* Gateways let so many through, and the run finds out how many. */
static void known_limits(void **state) {
    static const struct {
        const char *what;
        uint32_t rate, burst;
        int64_t wait_ms;
        uint64_t most_ms;
        uint32_t most_refused;
    } cases[] = {
        {"20 a second, each by itself", 20000, 1, 1000, 10000, 11},
        {"20 a second, 20 at once", 20000, 20, 1000, 10000, 11},
        {"50 a minute, 50 at once, which asks for a second", 833, 50, 1000, 75000, 20},
        {"50 a minute, 50 at once, which says how long", 833, 50, 0, 75000, 20},
        {"50 a minute, 50 at once, which says nothing", 833, 50, -1, 75000, 22},
        {"10 a second, which asks for more than it takes", 10000, 10, 5000, 40000, 10},
    };
    static const uint32_t lanes[] = {16, 64};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < 2; k++) {
            uint64_t slowest = 0, refused = 0;
            for (uint64_t seed = 1; seed <= 8; seed++) {
                server s = {.rate = cases[i].rate, .burst = cases[i].burst, .wait_ms = cases[i].wait_ms};
                rig r;
                begin(&r, &s, seed, lanes[k]);
                rig_start(&r);
                uint64_t begun = r.f->now;
                ask_for(&r, 100);
                assert_int_equal(take_all(&r, NULL), 100);
                if (r.f->now - begun > slowest) slowest = r.f->now - begun;
                if (s.refused > refused) refused = s.refused;
                rig_end(&r);
            }
            print_message("# %s, %u lanes: at most %" PRIu64 " ms, %" PRIu64 " refused\n", cases[i].what, lanes[k],
                          slowest, refused);
            assert_in_range(slowest, 0, cases[i].most_ms);
            assert_in_range(refused, 0, cases[i].most_refused);
        }
}

/* A limit by the minute: nobody fails of it, it takes none of the retries and of the agents' time,
 * and few requests. */
static void a_minute_of_refusals(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        server s = {.rate = 1000000, .burst = 100, .wait_ms = -1, .opens = 45000, .status = seed & 1 ? 429 : 529};
        rig r;
        begin(&r, &s, seed, 32);
        r.config.retries = WF_NONE;
        r.config.agent_ms = 10000;
        rig_start(&r);
        uint64_t begun = r.f->now;
        ask_for(&r, 32);
        assert_int_equal(take_all(&r, NULL), 32);
        assert_in_range(r.f->now - begun, 45000, 57000);
        assert_in_range(s.refused, 1, 28);
        rig_end(&r);
    }
}

/* An overloaded service, which answers one of three by chance: slowness is all that it costs. */
static void serve_by_chance(fake *f, const fake_request *r, fake_answer *out) {
    server *s = f->user;
    if (fake_below(&f->rng, 3) == 0) {
        serve(f, r, out);
        return;
    }
    s->refused++;
    out->delay_ms = 5;
    fake_error(out, 529, "overloaded");
}

static void refusals_by_chance(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        server s = {.rate = 1000000, .burst = 1000};
        rig r;
        begin(&r, &s, seed, 64);
        r.f->model = serve_by_chance;
        rig_start(&r);
        uint64_t begun = r.f->now;
        ask_for(&r, 200);
        assert_int_equal(take_all(&r, NULL), 200);
        print_message("# %" PRIu64 " ms, %" PRIu64 " refused\n", r.f->now - begun, s.refused);
        assert_in_range(r.f->now - begun, 0, 800000);
        rig_end(&r);
    }
}

static uint32_t limits, retries, queued;
static uint64_t limit_ms;

static void listen(void *ctx, const wf_trace *e) {
    (void)ctx;
    limits += e->type == WF_TRACE_LIMIT;
    retries += e->type == WF_TRACE_RETRY;
    if (e->type != WF_TRACE_LIMIT) return;
    queued = e->n;
    limit_ms = e->ms;
    assert_true(rig_has(e->text, "the provider answered 429"));
}

/* Everybody waits, and nothing is held for them: the budget covers one of them at a time. */
static void waiting_holds_nothing(void **state) {
    server s = {.rate = 20000, .burst = 1, .wait_ms = 3000, .opens = 1};
    rig r;
    uint32_t wait;
    (void)state;
    begin(&r, &s, 1, 16);
    r.config.max_tokens = 100;
    r.config.tool_count = 0;
    r.config.budget_tokens = 16 * 15 + 600;
    r.f->platform.trace = listen;
    limits = retries = 0;
    rig_start(&r);
    ask_for(&r, 16);
    const wfi_runtime *rt = (const wfi_runtime *)(const void *)r.w; /* a wf begins with it */
    uint64_t begun = r.f->now;
    while (r.f->now < begun + 1000) {
        assert_int_equal(wf_step(r.w, 64, &wait), WF_OK);
        fake_sleep(r.f, wait < 50 ? wait : 50);
        if (limits > 0 && rt->limiters[0].pending == 0) assert_int_equal(rt->reserved.tokens, 0);
    }
    assert_true(limits == 1 && retries == 0);
    assert_in_range(limit_ms, 3000, 3375);
    assert_in_range(queued, 2, 16);
    assert_int_equal(rt->limiters[0].waiting, 16);
    assert_int_equal(take_all(&r, NULL), 16);
    assert_int_equal(status_of(&r).outcome, WF_RUN_OPEN);
    rig_end(&r);
}

/* What could not be sent has neither failed nor been cancelled, and a resumed run asks for it. */
static void check_not_run(rig *r, uint32_t done, uint32_t not_run, wf_outcome outcome) {
    wf_run_status status = status_of(r);
    assert_int_equal(status.outcome, outcome);
    assert_int_equal(status.census.done, done);
    assert_int_equal(status.census.failed, 0);
    assert_int_equal(status.census.cancelled, 0);
    assert_int_equal(status.census.not_run, not_run);
    assert_int_equal(fake_finish(r->f, r->w, WF_RUN_DONE, ""), WF_OK);
    server *s = r->f->user;
    *s = (server){.rate = 1000000, .burst = 1000};
    rig_crash(r, FAKE_SYNCED);
    ask_for(r, done + not_run);
    assert_int_equal(take_all(r, NULL), done + not_run);
    assert_int_equal(s->accepted, not_run);
    rig_end(r);
}

/* A wait that is longer than the run's patience pauses it at once; one that is told by nobody does
 * so when patience ends. */
static void patience(void **state) {
    static const struct {
        const char *what;
        int64_t wait_ms;
        uint64_t opens, run_ms, least, most; /* ms until the run stops */
        wf_outcome outcome;
    } cases[] = {
        {"a day", 86400000, 1000, 0, 0, 100, WF_RUN_PAUSED},
        {"longer than the run may last", 30000, 1000, 20000, 0, 100, WF_RUN_PAUSED},
        {"half an hour in waits of a minute", 60000, UINT64_MAX, 0, 1700000, 1900000, WF_RUN_PAUSED},
        {"half an hour in waits of our own", -1, UINT64_MAX, 0, 1800000, 1810000, WF_RUN_PAUSED},
        {"until the deadline", -1, UINT64_MAX, 20000, 20000, 20000, WF_RUN_DEADLINE},
        {"until a late deadline", -1, UINT64_MAX, 7200000, 7200000, 7200000, WF_RUN_DEADLINE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        server s = {.rate = 1000000, .burst = 100, .wait_ms = cases[i].wait_ms, .opens = cases[i].opens};
        wf_kind kind = WF_KIND_NONE, want = cases[i].outcome == WF_RUN_PAUSED ? WF_KIND_QUOTA : WF_KIND_DEADLINE;
        rig r;
        begin(&r, &s, 1, 16);
        r.config.run_ms = cases[i].run_ms;
        rig_start(&r);
        uint64_t begun = r.f->now;
        ask_for(&r, 40);
        assert_int_equal(take_all(&r, &kind), 0);
        print_message("# %s: %" PRIu64 " ms, %" PRIu64 " requests\n", cases[i].what, r.f->now - begun, s.refused);
        assert_int_equal(kind, want);
        assert_in_range(r.f->now - begun, cases[i].least, cases[i].most);
        if (want == WF_KIND_QUOTA) {
            wf_run_status status = status_of(&r);
            assert_true(rig_has(status.text, "rate limit: resume after 20"));
            assert_true(rig_has(status.text, " UTC: the provider answered 429") && rig_has(status.text, "slow down"));
        }
        check_not_run(&r, 0, 40, cases[i].outcome);
    }
}

/* Before all lanes have begun a stop comes, as from a signal: who waits has not run. */
static void cancelled_while_all_wait(void **state) {
    static const wf_outcome stops[] = {WF_RUN_CANCELLED, WF_RUN_BUDGET, WF_RUN_REFUSED};
    (void)state;
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        server s = {.rate = 1, .burst = 5, .wait_ms = 60000};
        rig r;
        uint32_t wait, done = 0;
        wf_delivery d;
        begin(&r, &s, 1, 16);
        rig_start(&r);
        ask_for(&r, 20);
        uint64_t begun = r.f->now;
        while (r.f->now < begun + 5000) {
            if (wf_deliver(r.w, &d) == WF_OK) done++;
            assert_int_equal(wf_step(r.w, 64, &wait), WF_OK);
            fake_sleep(r.f, wait < 100 ? wait : 100);
        }
        assert_int_equal(done, 5);
        wf_run_stop(r.w, stops[i], WF_STR("enough"));
        uint64_t stopped = r.f->now;
        assert_int_equal(take_all(&r, NULL), 0);
        assert_in_range(r.f->now - stopped, 0, 5);
        check_not_run(&r, 5, 15, stops[i]);
    }
}

/* One request that is refused whenever it comes, as when it is larger than the limit by itself. */
static void serve_all_but_one(fake *f, const fake_request *r, fake_answer *out) {
    server *s = f->user;
    if (strcmp(r->prompt, "agent 3") != 0) {
        serve(f, r, out);
        return;
    }
    s->refused++;
    out->retry_after_ms = s->wait_ms;
    fake_error(out, 429, "larger than the limit");
}

static void one_is_always_refused(void **state) {
    server s = {.rate = 1000000, .burst = 1000, .wait_ms = 100};
    wf_kind kind = WF_KIND_NONE;
    rig r;
    (void)state;
    begin(&r, &s, 1, 2);
    r.f->model = serve_all_but_one;
    rig_start(&r);
    ask_for(&r, 250);
    assert_int_equal(take_all(&r, &kind), 249);
    assert_int_equal(kind, WF_KIND_PROVIDER);
    assert_in_range(s.refused, 32, 45);
    rig_end(&r);
}

/* Answers that are like a refusal and are none that others share. */
static void what_is_no_limit(void **state) {
    static const struct {
        const char *what, *message;
        uint32_t status;
        bool silent;
        uint32_t requests;
        wf_kind kind;
    } cases[] = {
        {"a quota that is used up", "You exceeded your current quota, please check your plan.", 429, false, 1,
         WF_KIND_QUOTA},
        {"no money", "insufficient_quota", 429, false, 1, WF_KIND_QUOTA},
        {"a program's own word", "quota: no more", 429, true, 6, WF_KIND_QUOTA},
        {"a failure", "slow down", 500, false, 6, WF_KIND_PROVIDER},
        {"a service that is not there", "try again in 3s", 503, false, 6, WF_KIND_PROVIDER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        server s = {
            .rate = 1, .opens = UINT64_MAX, .wait_ms = -1, .status = cases[i].status, .message = cases[i].message};
        rig r;
        begin(&r, &s, 1, 4);
        r.f->provider.silent = cases[i].silent;
        rig_start(&r);
        assert_int_equal(rig_do(&r, "one").kind, cases[i].kind);
        assert_int_equal(s.refused, cases[i].requests);
        rig_end(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_begin_at_once),
        cmocka_unit_test(one_goes_first),
        cmocka_unit_test(barren_waits),
        cmocka_unit_test(asked_too_little),
        cmocka_unit_test(a_limit_goes_away),
        cmocka_unit_test(anything),
        cmocka_unit_test(known_limits),
        cmocka_unit_test(a_minute_of_refusals),
        cmocka_unit_test(refusals_by_chance),
        cmocka_unit_test(waiting_holds_nothing),
        cmocka_unit_test(patience),
        cmocka_unit_test(cancelled_while_all_wait),
        cmocka_unit_test(one_is_always_refused),
        cmocka_unit_test(what_is_no_limit),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
