/* Long conversations with tools that read and change in one turn, killed and gone on with: the next request is the one that a run
 * without a kill sends, no finished turn is sent again, no change is begun twice, no recorded result is asked for again. */
#include "tests/fake/rig.h"

#define AGENTS 3u
#define TURNS  40u
#define CALLS  "llcxlc"

/* ---- what happens ---- */

typedef struct agent_log {  /* what the surviving log holds of an agent */
    uint32_t turns, blocks; /* blocks: since the last turn */
} agent_log;

static char prompts[AGENTS][64];
static char *bodies[AGENTS][TURNS + 1]; /* requests of the run without a kill, by agent and turn */
static char *last[AGENTS];              /* the latest request of each */
static agent_log kept[AGENTS];
static bool calm;                             /* the run without a kill is under way */
static bool changed[AGENTS][TURNS][8];        /* begun, in whichever life */
static uint32_t repeats, stale_turns, reruns; /* what must not be */
static char first[65536 * 4];                 /* the first request of this life, of agent 0 */

static uint32_t who(const char *prompt) {
    for (uint32_t i = 0; i < AGENTS; i++)
        if (strcmp(prompts[i], prompt) == 0) return i;
    fail_msg("nobody has the prompt %s", prompt);
    return 0;
}

static char *copy(const char *text, size_t n) {
    char *out = malloc(n + 1);
    memcpy(out, text, n);
    out[n] = 0;
    return out;
}

static void on_request(fake *f, const fake_request *r) {
    uint32_t i = who(r->prompt);
    (void)f;
    stale_turns += r->turns < kept[i].turns;
    free(last[i]);
    last[i] = copy(r->body, r->len);
    if (i == 0 && !first[0]) snprintf(first, sizeof first, "%s", r->body);
    if (!calm) return;
    free(bodies[i][r->turns]);
    bodies[i][r->turns] = copy(r->body, r->len);
}

static void work(fake *f, const wf_tool_call *call, fake_ticket *out) {
    char input[256];
    unsigned turn, number;
    unsigned long long by;
    (void)f;
    snprintf(input, sizeof input, "%.*s", (int)call->input.len, call->input.ptr);
    assert_int_equal(sscanf(input, "{\"turn\":%u,\"call\":%u,\"by\":\"%llx\"}", &turn, &number, &by), 3);
    uint32_t i = 0;
    while (fake_hash(0, prompts[i], strlen(prompts[i])) != by)
        i++;
    snprintf(out->text, 64, "tool:%u %u %u", i, turn, number);
    reruns += turn + 1 < kept[i].turns || (turn + 1 == kept[i].turns && number < kept[i].blocks);
    if (call->name.ptr[0] != 'c') return;
    repeats += changed[i][turn][number];
    changed[i][turn][number] = true;
}

/* ---- lives ---- */

static void start_over(void) {
    memset(kept, 0, sizeof kept);
    memset(changed, 0, sizeof changed);
    repeats = stale_turns = reruns = 0;
    first[0] = 0;
}

static void open_rig(rig *r, uint64_t seed) {
    rig_init(r, seed, NULL, 0);
    r->f->provider.stream = true; /* a run keeps to it: it is in the request */
    r->f->on_request = on_request;
    r->f->tool = work;
    r->config.max_agents = r->config.max_calls = 8;
    rig_start(r);
}

static void ask_all(rig *r) {
    for (uint32_t i = 0; i < AGENTS; i++)
        rig_ask(r, prompts[i]);
}

/* Steps until the run is over or `most` are done; answers how many. */
static uint32_t steps(rig *r, uint32_t most) {
    wf_delivery d;
    uint32_t n = 0, wait;
    for (; n < most; n++) {
        wf_status s = wf_deliver(r->w, &d);
        if (s == WF_END) return n;
        if (s == WF_AGAIN)
            s = wf_step(r->w, 1, &wait);
        else
            wait = 0;
        if (s != WF_OK) fail_msg("%s", wf_status_name(s));
        if (wait > 0 && !fake_sleep(r->f, wait)) fail_msg("it hangs");
    }
    return n;
}

/* Crashes it, and notes what the log holds. */
static void crash(rig *r, fake_survival how) {
    size_t size;
    uint8_t *log = fake_crash(r->f, how, r->f->seed, &size);
    rig look;
    wf_record rec;
    uint64_t at = 0;
    memset(kept, 0, sizeof kept);
    rig_init(&look, 9, log, size);
    rig_block(&look);
    if (wf_run_load(look.w) == WF_OK)
        while (wf_record_next(look.w, &at, &rec) == WF_OK) {
            agent_log *k = rec.call > 0 ? &kept[rec.call - 1] : NULL;
            if (k && strcmp(rec.type, "turn") == 0) *k = (agent_log){k->turns + 1, 0};
            if (k && strcmp(rec.type, "block") == 0) k->blocks++;
        }
    rig_end(&look);
    free(log);
    first[0] = 0;
    rig_crash(r, how);
    r->f->provider.stream = true;
    ask_all(r);
}

static void check(uint64_t seed) {
    if (stale_turns || repeats || reruns)
        fail_msg("seed %llu: %u finished turns sent again, %u changes repeated, %u recorded results asked for again",
                 (unsigned long long)seed, stale_turns, repeats, reruns);
}

/* For texts that are too long to be shown. */
static void same_bytes(const char *got, const char *want) {
    size_t i = 0;
    while (got[i] && got[i] == want[i])
        i++;
    if (got[i] != want[i]) fail_msg("at %zu: %.80s\n# wanted: %.80s", i, got + i, want + i);
}

/* ---- tests ---- */

/* Killed while the request of turn N is under way. */
static void test_goes_on_at_the_next_turn(void **state) {
    (void)state;
    for (uint32_t n = 1; n <= TURNS; n++) {
        rig r;
        uint32_t wait;
        start_over();
        open_rig(&r, 3);
        r.f->delay_max = 1000; /* so that it waits for the answer when it is killed */
        rig_ask(&r, prompts[0]);
        while (r.f->requests < n + 1) {
            assert_int_equal(wf_step(r.w, 64, &wait), WF_OK);
            if (wait > 0 && r.f->requests < n + 1) fake_sleep(r.f, wait);
        }
        uint64_t before = r.f->tool_starts;
        crash(&r, FAKE_ALL);
        steps(&r, UINT32_MAX);
        check(n);
        same_bytes(first, bodies[0][n]);
        same_bytes(last[0], bodies[0][TURNS]);
        assert_int_equal(before, n * 5); /* one of the six calls is for a tool that is not there */
        assert_int_equal(kept[0].turns, n);
        rig_end(&r);
    }
}

/* Killed again and again, in every way that a disk may look afterwards. */
static void test_killed_at_random_moments(void **state) {
    uint32_t interrupted = 0, same = 0, kills = 0;
    rig r;
    (void)state;
    open_rig(&r, 4);
    ask_all(&r);
    uint32_t whole = steps(&r, UINT32_MAX);
    rig_end(&r);
    for (uint64_t seed = 0; seed < (fake_full() ? 3000 : 40); seed++) {
        uint64_t rng = fake_mix(seed);
        start_over();
        open_rig(&r, seed);
        r.f->sync_ms = fake_below(&rng, 4);
        r.f->tool_delay = fake_below(&rng, 2) * 6;
        r.f->delay_max = fake_below(&rng, 2) * 20;
        r.f->again = fake_below(&rng, 4) == 0;
        ask_all(&r);
        for (uint64_t n = 1 + fake_below(&rng, 5); n > 0; n--) {
            steps(&r, (uint32_t)fake_below(&rng, whole));
            crash(&r, (fake_survival)fake_below(&rng, FAKE_SURVIVALS));
            kills++;
        }
        wf_delivery d;
        for (uint32_t i = 0; i < AGENTS; i++) {
            char value[32];
            d = rig_take(&r);
            assert_int_equal(d.kind, WF_KIND_NONE);
            assert_int_equal(d.turns, TURNS + 1);
            snprintf(value, sizeof value, "re:%016llx",
                     (unsigned long long)fake_hash(TURNS + 1, prompts[d.id - 1], strlen(prompts[d.id - 1])));
            assert_text(d.value, value);
        }
        check(seed);
        for (uint32_t i = 0; i < AGENTS; i++) {
            bool told = strstr(last[i], "interrupted, state unknown") != NULL;
            if (!told) same_bytes(last[i], bodies[i][TURNS]);
            interrupted += told;
            same += !told;
        }
        rig_end(&r);
    }
    print_message("# %u kills, %u conversations were told of an interrupted change, %u are the same bytes\n", kills,
                  interrupted, same);
    assert_true(interrupted > 0 && same > 0);
}

static int setup(void **state) {
    rig r;
    (void)state;
    for (uint32_t i = 0; i < AGENTS; i++)
        snprintf(prompts[i], sizeof prompts[i], "p=%u;tools=%u;calls=" CALLS ";", i, TURNS);
    start_over();
    calm = true;
    open_rig(&r, 2);
    ask_all(&r);
    steps(&r, UINT32_MAX);
    calm = false;
    rig_end(&r);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (uint32_t i = 0; i < AGENTS; i++) {
        free(last[i]);
        for (uint32_t n = 0; n <= TURNS; n++)
            free(bodies[i][n]);
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on_at_the_next_turn),
        cmocka_unit_test(test_killed_at_random_moments),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, teardown);
}
