/* Exhaustion and failure, at every point: blocks that are too small, heaps that run out, platform calls that fail. Whatever
 * happens has a name, nothing is lost or left open, and the same job succeeds afterwards on the same log. */
#include "tests/fake/driver.h"
#include "tests/fake/rig.h"

#include "src/core/run/runtime.h"

#define SCRIPT 11 /* seed of the driver's job: tools, effects, schemas, refusals */
#define LIMIT  DRIVER_CALLS

static char the_value[17];

static void small_rig(rig *r, const uint8_t *log, size_t size) {
    rig_init(r, 5, log, size);
    r->config.lanes = 3;
    r->config.log_buffer = 4096;
    r->config.max_agents = r->config.max_calls = LIMIT;
    r->config.stall_ms = 2000;
    r->config.retry_kinds = UINT32_MAX; /* an effect that could not be started is a tool's failure */
    r->f->sync_ms = 1;
    r->f->tool_delay = 2;
    r->f->delay_max = 9;
    r->size = (size_t)512 << 10;
}

/* The job without any fault, as a resume of what the disk has. */
static void succeeds(const uint8_t *log, size_t size, uint64_t where) {
    rig r;
    driver d;
    small_rig(&r, log, size);
    rig_start(&r);
    driver_init(&d, SCRIPT, LIMIT, true, r.w);
    wf_status s = driver_run(&d, r.f, UINT32_MAX);
    char value[17];
    driver_value(&d, value);
    if (s != WF_END || strcmp(value, the_value) != 0)
        fail_msg("after fault %llu: %s, %s", (unsigned long long)where, wf_status_name(s), value);
    assert_int_equal(fake_finish(r.f, r.w, WF_RUN_DONE, value), WF_OK);
    rig_end(&r);
}

/* A first run of the job under whatever the rig was set up with: every way to end it must be a clean one. */
static wf_status run_job(rig *r) {
    static const wf_run_spec spec = {{"test", 4}, {"script", 6}, {"null", 4}, {"{}", 2}};
    driver d;
    wf_error error = {0};
    wf_status s = fake_open(r->f, r->w, &spec);
    if (s == WF_OK) {
        driver_init(&d, SCRIPT, LIMIT, true, r->w);
        s = driver_run(&d, r->f, UINT32_MAX);
        if (s == WF_E_MEMORY || s == WF_E_STOPPED ||
            s == WF_E_CONFIG) { /* a call refused: the script fails, the run ends well */
            wf_status end = fake_finish(r->f, r->w, WF_RUN_FAILED, "x");
            if (end < 0) s = end;
        } else if (s == WF_END) {
            s = fake_finish(r->f, r->w, WF_RUN_DONE, "x");
        }
    }
    wf_last_error(r->w, &error);
    if (s < 0 && (!error.text || !error.text[0])) fail_msg("%s without a text", wf_status_name(s));
    if (s == WF_E_LIMIT || s == WF_E_INTERNAL) fail_msg("a hang, or a state that cannot be: %s", wf_status_name(s));
    return s;
}

/* Crashes the rig's disk as a killed process leaves it, and proves that the job goes on from there. */
static void then_succeeds(rig *r, uint64_t where) {
    size_t size;
    uint8_t *log = fake_crash(r->f, FAKE_SYNCED, 0, &size);
    rig_end(r);
    succeeds(log, size, where);
    free(log);
}

/* ---- the block ---- */

static void test_block_is_exact(void **state) {
    static const wf_config shapes[] = {
        {.lanes = 1, .max_agents = 16, .max_calls = 32, .effects = 1, .log_buffer = 4096},
        {.lanes = 16},
        {.lanes = 1000, .heap = 100000}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        fake *f = fake_new(1, NULL, 0);
        wf_config c = fake_config(f);
        c.lanes = shapes[i].lanes;
        c.max_agents = shapes[i].max_agents;
        c.max_calls = shapes[i].max_calls;
        c.effects = shapes[i].effects;
        c.log_buffer = shapes[i].log_buffer;
        c.heap = shapes[i].heap;
        size_t need = wf_memory_needed(&c);
        if (i == 0) assert_true(need + 12 * 1024 <= 65536); /* 16 slots and a working heap in 64 KiB */
        uint8_t *block = malloc(need + 64);
        wf *w;
        wf_error error;
        wf_memory m;
        for (size_t shift = 0; shift < 32; shift++) {
            assert_int_equal(wf_init(&w, block + shift, need, &c, &error), WF_OK);
            wf_memory_stats(w, &m);
            assert_true(m.heap.limit >= 4096 && m.fixed + m.heap.limit <= need);
            assert_int_equal(wf_init(&w, block + shift, need - 1, &c, &error), WF_E_MEMORY);
            assert_null(w);
            assert_non_null(strstr(error.text, "wf_memory_needed"));
        }
        for (size_t size = 0; size < need && i == 0; size += 8)
            assert_int_equal(wf_init(&w, block, size, &c, &error), WF_E_MEMORY);
        assert_int_equal(wf_init(&w, NULL, 1u << 20, &c, &error), WF_E_MEMORY);
        free(block);
        fake_free(f);
    }
}

static void test_bad_configs(void **state) {
    fake *f = fake_new(1, NULL, 0);
    wf *w;
    wf_error error;
    char *block = malloc(1u << 20);
    wf_config good = fake_config(f), c;
    wf_platform odd = f->platform;
    static const char *const names[] = {"platform", "lanes", "effects", "max_calls", "tools", "log_buffer", "heap"};
    (void)state;
    odd.version = 99;
    for (size_t i = 0; i < 7; i++) {
        c = good;
        if (i == 0) c.platform = &odd;
        if (i == 1) c.lanes = 1001;
        if (i == 2) c.effects = 5000;
        if (i == 3) c.max_calls = 2, c.max_agents = 3;
        if (i == 4) c.tool_count = 33;
        if (i == 5) c.log_buffer = 4095;
        if (i == 6) c.heap = 100;
        assert_int_equal(wf_memory_needed(&c), 0);
        assert_int_equal(wf_init(&w, block, 1u << 20, &c, &error), WF_E_CONFIG);
        assert_non_null(strstr(error.text, names[i]));
    }
    c = good;
    c.platform = NULL;
    assert_int_equal(wf_init(&w, block, 1u << 20, &c, NULL), WF_E_CONFIG);
    free(block);
    fake_free(f);
}

/* From the least block upward until the job succeeds: on the way every failure is a clean one. */
static void test_block_grows_until_the_job_succeeds(void **state) {
    rig r;
    wf_status s = WF_E_MEMORY;
    uint32_t failed = 0;
    (void)state;
    small_rig(&r, NULL, 0);
    size_t size = wf_memory_needed(&r.config), most = size + 200000;
    rig_end(&r);
    for (; size < most; size += fake_full() ? 8 : 1608) {
        small_rig(&r, NULL, 0);
        r.size = size;
        rig_block(&r);
        s = run_job(&r);
        wf_run_status status;
        wf_run_status_get(r.w, &status);
        if (s == WF_OK && status.census.failed == 0) break;
        uint32_t fails = status.census.failed;
        failed += s != WF_OK || fails > 0;
        if (failed % 8 == 1 || fake_full())
            then_succeeds(&r, size);
        else
            rig_end(&r);
        if (s == WF_OK && size > most - 100000) break;
    }
    assert_true(failed > 3);
    assert_true(size < most);
    if (r.f) rig_end(&r);
}

/* ---- the n-th allocation ---- */

static void test_heap_fails_at_every_allocation(void **state) {
    (void)state;
    for (int persistent = 0; persistent < 2; persistent++) {
        uint64_t step = fake_full() ? 1 : persistent ? 11 : 5;
        for (uint64_t n = 1;; n += step) {
            rig r;
            small_rig(&r, NULL, 0);
            rig_block(&r);
            wfi_runtime *env = (wfi_runtime *)(void *)r.w; /* a wf begins with it */
            env->heap.fail_at = n;
            env->heap.fail_on = persistent;
            run_job(&r);
            assert_true(wfi_heap_check(&env->heap));
            bool over = env->heap.fail_at != 0 && env->heap.allocs < n;
            then_succeeds(&r, n);
            if (over) break; /* a round that injected nothing */
        }
    }
}

/* ---- the n-th platform call ---- */

static void fail_calls(bool persistent, bool again, bool small, uint64_t step) {
    for (uint64_t n = 1;; n += step) {
        rig r;
        wf_error error = {0};
        small_rig(&r, NULL, 0);
        r.f->fail_call = n;
        r.f->fail_on = persistent;
        r.f->again = again;
        r.f->small = small;
        r.block = malloc(r.size);
        wf_status s = wf_init(&r.w, r.block, r.size, &r.config, &error);
        if (s != WF_OK) {
            assert_int_equal(s, WF_E_IO);
            assert_non_null(error.text);
        } else {
            run_job(&r);
        }
        bool over = r.f->calls < n;
        then_succeeds(&r, n);
        if (over) break;
    }
}

static void test_every_platform_call_fails_once(void **state) {
    (void)state;
    fail_calls(false, false, false, fake_full() ? 1 : 17);
}

static void test_every_platform_call_fails_from_then_on(void **state) {
    (void)state;
    fail_calls(true, false, false, fake_full() ? 1 : 17);
}

static void test_calls_fail_in_pieces(void **state) {
    (void)state;
    fail_calls(false, true, true, fake_full() ? 3 : 1201);
}

/* ---- large texts ---- */

static void test_megabytes(void **state) {
    const size_t n = (size_t)3 << 20;
    char *prompt = malloc(n + 64);
    rig r;
    (void)state;
    memset(prompt, 'p', n);
    strcpy(prompt + n, "tools=1;big=2000000;");
    for (int heap = 0; heap < 2; heap++) {
        rig_init(&r, 1, NULL, 0);
        r.size = heap ? (size_t)16 << 20 : (size_t)1 << 20;
        rig_start(&r);
        wf_agent_spec spec = {.prompt = rig_str(prompt)};
        wf_call call;
        wf_error error;
        if (!heap) { /* a prompt that does not fit fails by itself; a small one still works */
            assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_E_MEMORY);
            wf_last_error(r.w, &error);
            assert_non_null(strstr(error.text, "memory"));
            wf_delivery d = rig_do(&r, "p=x;big=2000000;");
            assert_int_equal(d.kind, WF_KIND_MEMORY);
            assert_int_equal(rig_do(&r, "small").kind, WF_KIND_NONE);
            rig_end(&r);
            continue;
        }
        assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
        wf_delivery d = rig_take(&r);
        assert_int_equal(d.kind, WF_KIND_NONE);
        assert_int_equal(d.value.len, 2000000 + 19);
        rig_crash(&r, FAKE_SYNCED);
        assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
        d = rig_take(&r);
        assert_true(d.cached);
        assert_int_equal(d.value.len, 2000000 + 19);
        assert_int_equal(r.f->requests, 0);
        wf_call_info info;
        assert_int_equal(wf_call_get(r.w, 0, &info), WF_OK);
        assert_int_equal(info.prompt.len, 4096);
        rig_end(&r);
    }
    free(prompt);
}

static int setup(void **state) {
    rig r;
    driver d;
    (void)state;
    small_rig(&r, NULL, 0);
    rig_start(&r);
    driver_init(&d, SCRIPT, LIMIT, true, r.w);
    assert_int_equal(driver_run(&d, r.f, UINT32_MAX), WF_END);
    driver_value(&d, the_value);
    assert_in_range(d.delivered, 15, 80); /* a job worth its name, and a quick one */
    rig_end(&r);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_is_exact),
        cmocka_unit_test(test_bad_configs),
        cmocka_unit_test(test_block_grows_until_the_job_succeeds),
        cmocka_unit_test(test_heap_fails_at_every_allocation),
        cmocka_unit_test(test_every_platform_call_fails_once),
        cmocka_unit_test(test_every_platform_call_fails_from_then_on),
        cmocka_unit_test(test_calls_fail_in_pieces),
        cmocka_unit_test(test_megabytes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, NULL);
}
