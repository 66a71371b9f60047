/* Random workflows against a fake platform: run, crash, resume, as often as the seed says. A printed seed makes the same again. */
#include "tests/fake/driver.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MEMORY ((size_t)3 << 19)

static const wf_run_spec the_spec = {{"test", 4}, {"script", 6}, {"null", 4}, {"{}", 2}};

/* ---- what a log says, for the oracle ---- */

typedef struct known {
    char prompt[200];
    uint32_t turns;
    bool finished, effect;
} known;

typedef struct story {
    known calls[DRIVER_CALLS + 8];
    uint32_t count;
    uint32_t ids[DRIVER_CALLS]; /* of the deliveries */
    uint32_t delivered;
    bool unique; /* no path twice */
    uint32_t dispatched_twice;
    uint32_t same_asked, same_finished;
} story;

static wf *open_block(fake *f, const wf_config *c, void **block) {
    wf *w;
    wf_error error = {0};
    (void)f;
    *block = malloc(MEMORY);
    if (wf_init(&w, *block, MEMORY, c, &error) != WF_OK) fail_msg("wf_init: %s", error.text);
    return w;
}

/* Reads a log as `wf show` and `wf log` do. */
static wf_status read_story(const uint8_t *data, size_t size, story *out) {
    fake *f = fake_new(5, data, size);
    wf_config c = fake_config(f);
    c.max_agents = c.max_calls = DRIVER_CALLS + 8;
    void *block;
    wf *w = open_block(f, &c, &block);
    wf_call_info info;
    wf_record rec;
    uint64_t at = 0;
    char paths[DRIVER_CALLS + 8][64];
    memset(out, 0, sizeof *out);
    out->unique = true;
    wf_status s = wf_run_load(w);
    while (s == WF_OK && wf_call_get(w, out->count, &info) == WF_OK) {
        known *k = &out->calls[out->count];
        k->effect = info.effect;
        k->turns = info.turns;
        k->finished = info.finished;
        snprintf(k->prompt, sizeof k->prompt, "%.*s", (int)info.prompt.len, info.prompt.ptr);
        if (strcmp(k->prompt, "p=same;") == 0) {
            out->same_asked++;
            out->same_finished += k->finished;
        }
        snprintf(paths[out->count], 64, "%.*s", (int)info.path.len, info.path.ptr);
        for (uint32_t i = 0; i < out->count; i++)
            if (strcmp(paths[i], paths[out->count]) == 0) out->unique = false;
        out->count++;
    }
    while (s == WF_OK && wf_record_next(w, &at, &rec) == WF_OK)
        if (strcmp(rec.type, "deliver") == 0) out->ids[out->delivered++] = rec.call;
    if (s == WF_OK) {
        wf_error error;
        wf_last_error(w, &error);
    }
    wf_close(w);
    free(block);
    fake_free(f);
    return s;
}

/* The oracle: nothing finished is asked of the model again, neither a whole call nor a turn of an unfinished one. */
static void watch(fake *f, const fake_request *r) {
    story *told = f->user;
    if (!told || strcmp(r->prompt, "p=same;") == 0) return;
    for (uint32_t i = 0; i < told->count; i++) {
        char escaped[220];
        size_t n = 0;
        for (const char *p = told->calls[i].prompt; *p && n + 2 < sizeof escaped; p++) {
            if (*p == '"') escaped[n++] = '\\';
            escaped[n++] = *p;
        }
        escaped[n] = 0;
        if (told->calls[i].effect || strcmp(escaped, r->prompt) != 0) continue;
        if (told->calls[i].finished || told->calls[i].turns > r->turns) told->dispatched_twice++;
    }
}

/* Starts of tools that change the world and of finished script effects: never twice over all lives. */
#define EFFECTS 4096
static uint64_t effects_started[EFFECTS];
static uint32_t effects_count, effects_twice;
static bool effects_watched;

static void count_effects(fake *f, const wf_tool_call *call, fake_ticket *out) {
    uint64_t h = fake_hash(fake_hash(1, call->name.ptr, call->name.len), call->input.ptr, call->input.len);
    (void)f;
    snprintf(out->text, 64, call->script ? "{\"effect\":\"%016llx\"}" : "tool:%016llx", (unsigned long long)h);
    if (call->name.len != 6 || memcmp(call->name.ptr, "change", 6) != 0) return;
    for (uint32_t i = 0; i < effects_count; i++)
        if (effects_watched && effects_started[i] == h) effects_twice++;
    if (effects_count < EFFECTS) effects_started[effects_count++] = h;
}

/* ---- lives ---- */

typedef struct weather { /* all that may differ between two lives of a run */
    uint32_t lanes, effects;
    uint64_t sync_ms, delay_max, tool_delay;
    bool again, small, mute;
    uint32_t fault_chance;
    wf_sync sync;
} weather;

static weather random_weather(uint64_t *rng) {
    static const uint64_t syncs[] = {0, 0, 1, 7, 40};
    return (weather){.lanes = 1 + (uint32_t)fake_below(rng, 8),
                     .effects = 1 + (uint32_t)fake_below(rng, 3),
                     .sync_ms = syncs[fake_below(rng, 5)],
                     .delay_max = fake_below(rng, 2) ? 0 : fake_below(rng, 200),
                     .tool_delay = fake_below(rng, 3) ? 0 : fake_below(rng, 50),
                     .again = fake_below(rng, 4) == 0,
                     .small = fake_below(rng, 6) == 0,
                     .mute = fake_below(rng, 2) == 0,
                     .fault_chance = fake_below(rng, 3) == 0 ? 20 : 0,
                     .sync = fake_below(rng, 4) == 0 ? WF_SYNC_ALWAYS : WF_SYNC_BATCH};
}

typedef struct life {
    fake *f;
    wf *w;
    void *block;
    driver d;
} life;

static void begin_life(life *l, uint64_t seed, const uint8_t *data, size_t size, const weather *k, story *told) {
    l->f = fake_new(seed, data, size);
    wf_config c = fake_config(l->f);
    c.lanes = k->lanes;
    c.effects = k->effects;
    c.sync = k->sync;
    c.log_buffer = 4096;
    c.max_agents = c.max_calls = DRIVER_CALLS + 8;
    c.stall_ms = 5000;
    l->f->sync_ms = k->sync_ms;
    l->f->delay_max = k->delay_max;
    l->f->tool_delay = k->tool_delay;
    l->f->again = k->again;
    l->f->small = k->small;
    l->f->mute = k->mute;
    l->f->fault_chance = k->fault_chance;
    l->f->on_request = watch;
    l->f->tool = count_effects;
    l->f->user = told;
    l->w = open_block(l->f, &c, &l->block);
}

static void end_life(life *l) {
    wf_close(l->w);
    assert_int_equal(l->f->open_lanes, 0);
    assert_int_equal(l->f->open_tickets, 0);
    free(l->block);
    fake_free(l->f);
}

/* The deliveries of this life begin as the log told. */
static void check_order(const driver *d, const story *told, uint64_t seed) {
    uint32_t n = told->delivered < d->delivered ? told->delivered : d->delivered;
    for (uint32_t i = 0; i < n; i++)
        if (d->ids[i] != told->ids[i])
            fail_msg("seed %llu: delivery %u is call %u, in the log it was %u", (unsigned long long)seed, i, d->ids[i],
                     told->ids[i]);
}

static void check_life(const life *l, const story *told, uint64_t seed, wf_status s) {
    wf_error error;
    wf_last_error(l->w, &error);
    if (s < 0) fail_msg("seed %llu: %s: %s", (unsigned long long)seed, wf_status_name(s), error.text);
    if (told->dispatched_twice) fail_msg("seed %llu: a finished call was asked again", (unsigned long long)seed);
    if (effects_twice) fail_msg("seed %llu: an effect was repeated", (unsigned long long)seed);
    check_order(&l->d, told, seed);
}

/* A whole run over the log: no request, the same deliveries, the same value. */
static void check_replay(uint64_t seed, uint64_t script, uint32_t limit, bool tree, const uint8_t *data, size_t size,
                         const char *value) {
    static story told;
    uint64_t rng = seed;
    life l;
    char again[17];
    weather k = random_weather(&rng);
    assert_int_equal(read_story(data, size, &told), WF_OK);
    if (!told.unique) fail_msg("seed %llu: a path was asked twice", (unsigned long long)seed);
    begin_life(&l, seed, data, size, &k, &told);
    assert_int_equal(fake_open(l.f, l.w, &the_spec), WF_OK);
    driver_init(&l.d, script, limit, tree, l.w);
    l.d.changes = !tree;
    wf_status s = driver_run(&l.d, l.f, UINT32_MAX);
    check_life(&l, &told, seed, s);
    driver_value(&l.d, again);
    if (strcmp(again, value) != 0 || l.f->requests > 0 || l.f->tool_starts > 0)
        fail_msg("seed %llu: replay gives %s for %s, %llu requests", (unsigned long long)seed, again, value,
                 (unsigned long long)l.f->requests);
    end_life(&l);
}

/* One run, crashed `crashes` times, each crash after some deliveries. Its value goes to `value`. */
static void run_lives(uint64_t seed, uint64_t script, uint32_t crashes, bool tree, bool cut_anywhere, char value[17]) {
    static story told;
    uint64_t rng = fake_mix(seed);
    uint8_t *data = NULL;
    size_t size = 0;
    const uint32_t limit = tree ? DRIVER_CALLS : 40;
    memset(&told, 0, sizeof told);
    effects_count = effects_twice = 0;
    effects_watched = !cut_anywhere;
    for (uint32_t i = 0;; i++) {
        bool last = i >= crashes;
        life l;
        weather k = random_weather(&rng);
        begin_life(&l, seed + i, data, size, &k, &told);
        wf_status s = fake_open(l.f, l.w, &the_spec);
        driver_init(&l.d, script, limit, tree, l.w);
        l.d.changes = !tree;
        if (s == WF_OK) s = driver_run(&l.d, l.f, last ? UINT32_MAX : (uint32_t)fake_below(&rng, 40));
        check_life(&l, &told, seed, s);
        free(data);
        if (last) {
            assert_int_equal(s, WF_END);
            driver_value(&l.d, value);
            assert_int_equal(fake_finish(l.f, l.w, WF_RUN_DONE, value), WF_OK);
            data = fake_crash(l.f, FAKE_SYNCED, 0, &size); /* what is said to be ended is durable */
            end_life(&l);
            break;
        }
        /* some steps more, so that the crash finds work under way */
        for (uint64_t n = fake_below(&rng, 30); n > 0 && s == WF_OK; n--) {
            uint32_t wait;
            s = wf_step(l.w, 1 + (uint32_t)fake_below(&rng, 8), &wait);
            if (s == WF_OK && wait > 0 && !fake_sleep(l.f, wait)) break;
        }
        data = fake_crash(l.f, cut_anywhere ? FAKE_ALL : (fake_survival)fake_below(&rng, FAKE_SURVIVALS),
                          fake_next(&rng), &size);
        size_t first = l.f->disk.synced; /* for a cut: the header must stay */
        if (cut_anywhere && size > 600 && first > 0) size = 600 + (size_t)fake_below(&rng, size - 600);
        end_life(&l);
        s = read_story(data, size, &told);
        if (s != WF_OK) fail_msg("seed %llu: the crashed log: %s", (unsigned long long)seed, wf_status_name(s));
    }
    check_replay(fake_next(&rng), script, limit, tree, data, size, value);
    free(data);
}

static uint32_t rounds(uint32_t few, uint32_t many) {
    return fake_full() ? many : few;
}

static void test_crashes(void **state) {
    char value[17];
    (void)state;
    for (uint32_t i = 0; i < rounds(60, 5000); i++)
        run_lives(1000 + i, 50 + i, 1 + i % 4, false, false, value);
}

static void test_cuts(void **state) {
    char value[17];
    (void)state;
    for (uint32_t i = 0; i < rounds(60, 5000); i++)
        run_lives(900000 + i, 7000 + i, 1 + i % 4, false, true, value);
}

/* Where no delivery matters to another, the result is that of a run that nothing disturbed. */
static void test_same_result(void **state) {
    char calm[17], value[17];
    (void)state;
    for (uint32_t i = 0; i < rounds(25, 2000); i++) {
        run_lives(1, 300 + i, 0, true, false, calm);
        run_lives(5000 + i, 300 + i, 1 + i % 3, true, i % 2, value);
        if (strcmp(calm, value) != 0) fail_msg("seed %u: %s, undisturbed %s", 5000 + i, value, calm);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_crashes), cmocka_unit_test(test_cuts),
                                       cmocka_unit_test(test_same_result)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
