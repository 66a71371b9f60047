/* Caller memory and nothing else: how much a wf needs, at any alignment; that it is enough; what a small one can do. */
#include <stdlib.h>

#include "harness.h"

/* The configurations of which the sizes are asked. */
static wf_config config_number(const world *o, int i) {
    wf_config c = o->config;
    if (i == 1) c.max_agents = 1, c.max_calls = 1, c.lanes = 1, c.effects = 1;
    if (i == 2) c.max_agents = 1000, c.lanes = 0, c.log_buffer = 0;
    if (i == 3) c.lanes = 250, c.max_agents = 251, c.max_calls = 777, c.heap = 100001;
    if (i == 4) c.max_agents = 16, c.max_calls = 32, c.lanes = 1, c.effects = 1, c.heap = 24 * 1024;
    return c;
}

static void test_needed_is_least_at_any_alignment(void **state) {
    const world *o = world_new();
    (void)state;
    for (int i = 0; i < 5; i++) {
        wf_config c = config_number(o, i);
        size_t needed = wf_memory_needed(&c);
        assert_true(needed > 0);
        for (size_t shift = 0; shift < 64; shift++) {
            char *block = malloc(needed + shift); /* exactly: a byte beyond is the sanitizer's */
            wf_error error;
            wf *w;
            wf_memory m;
            assert_non_null(block);
            assert_int_equal(wf_init(&w, block + shift, needed, &c, &error), WF_OK);
            wf_memory_stats(w, &m);
            assert_int_equal(m.block, needed);
            assert_true(m.fixed + m.heap.limit <= needed && m.heap.limit > 0);
            if (c.heap) assert_true(m.heap.limit <= c.heap && m.heap.limit + 16 > c.heap); /* whole units */
            wf_close(w);
            assert_int_equal(wf_init(&w, block + shift, needed - 1, &c, &error), WF_E_MEMORY);
            assert_null(w);
            assert_int_equal(error.code, WF_E_MEMORY);
            assert_non_null(strstr(error.text, "wf_memory_needed"));
            free(block);
        }
    }
}

static void test_bad_configs(void **state) {
    const world *o = world_new();
    char block[64];
    wf *w;
    wf_error error;
    (void)state;
    for (int i = 0; i < 7; i++) {
        wf_config c = o->config;
        wf_platform p = *c.platform;
        if (i == 0) c.platform = NULL;
        if (i == 1) c.lanes = 1001;
        if (i == 2) c.max_agents = 10, c.max_calls = 9;
        if (i == 3) c.log_buffer = 4095;
        if (i == 4) c.tool_count = 33;
        if (i == 5) p.version = 0, c.platform = &p;
        if (i == 6) p.log = NULL, c.platform = &p;
        assert_int_equal(wf_memory_needed(&c), 0);
        assert_int_equal(wf_init(&w, block, sizeof block, &c, &error), WF_E_CONFIG);
        assert_non_null(strstr(error.text, "config."));
        assert_int_equal(wf_init(&w, block, sizeof block, &c, NULL), WF_E_CONFIG);
    }
    assert_int_equal(wf_init(&w, NULL, 1u << 20, &o->config, &error), WF_E_MEMORY);
}

static void test_settings_have_the_defaults(void **state) {
    world *o = world_new();
    (void)state;
    o->config.lanes = o->config.max_agents = o->config.log_buffer = 0;
    size_t needed = wf_memory_needed(&o->config);
    char *block = malloc(needed);
    assert_non_null(block);
    assert_int_equal(wf_init(&o->w, block, needed, &o->config, NULL), WF_OK);
    const wf_config *c = wf_settings(o->w);
    assert_int_equal(c->lanes, 16);
    assert_int_equal(c->max_agents, 1000);
    assert_int_equal(c->max_turns, 50);
    assert_int_equal(c->max_tokens, 16000);
    assert_int_equal(c->retries, 5);
    assert_int_equal(c->agent_ms, 30 * 60 * 1000);
    assert_int_equal(c->stall_ms, 180 * 1000);
    assert_int_equal(c->tool_output_max, 32 * 1024);
    wf_close(o->w);
    free(block);
}

/* The job that a microcontroller would have: 16 agents, one at a time, in one block of 64 KiB. */
static void test_sixteen_agents_in_64k(void **state) {
    world *o = world_new();
    wf_delivery d;
    wf_memory m;
    wf_status s;
    wf_run_spec spec;
    static char block[64 * 1024];
    (void)state;
    memset(&spec, 0, sizeof spec);
    spec.name = WF_STR("small");
    o->config.lanes = o->config.effects = 1;
    o->config.max_agents = 16;
    o->config.max_calls = 32;
    print_message("# wf_memory_needed, 16 agents, 1 lane: %u bytes\n", (unsigned)wf_memory_needed(&o->config));
    assert_int_equal(wf_init(&o->w, block, sizeof block, &o->config, NULL), WF_OK);
    while ((s = wf_run_open(o->w, &spec)) == WF_AGAIN)
        continue;
    assert_int_equal(s, WF_OK);
    for (int i = 0; i < 16; i++)
        world_ask(o, "Is the valve at 3 bar still within its limits? Answer yes or no, and why.");
    for (int i = 0; i < 16; i++) {
        assert_int_equal(world_next(o, &d), WF_OK);
        assert_int_equal(d.kind, WF_KIND_NONE);
    }
    world_finish(o, WF_RUN_DONE, "");
    wf_memory_stats(o->w, &m);
    print_message("# in 65536 bytes: %u fixed, heap of %u, at most %u of it used\n", (unsigned)m.fixed,
                  (unsigned)m.heap.limit, (unsigned)m.heap.high);
    assert_true(m.heap.high < m.heap.limit);
    world_close(o);
}

static void body_large(world *o, wf_str request, char *out, size_t cap) {
    (void)o, (void)request;
    int n = snprintf(out, cap, "{\"content\":[{\"type\":\"text\",\"text\":\"");
    memset(out + n, 'x', cap - 200);
    snprintf(out + (size_t)n + cap - 200, 200 - (size_t)n, "\"}],\"stop_reason\":\"end_turn\"}");
}

static void test_exhaustion_is_an_agents_error(void **state) {
    world *o = world_new();
    wf_delivery d;
    (void)state;
    o->config.lanes = 1;
    o->config.heap = 9000; /* not enough for the buffer of a reply */
    world_open(o);
    o->body = body_large;
    world_ask(o, "long");
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_int_equal(d.kind, WF_KIND_MEMORY);
    assert_int_equal(world_next(o, &d), WF_END);
    world_kill(o);
    o->config.heap = 0; /* the same job with enough */
    world_open(o);
    world_ask(o, "long");
    assert_int_equal(world_next(o, &d), WF_OK);
    assert_int_equal(d.kind, WF_KIND_NONE);
    world_close(o);
}

static void test_heap(void **state) {
    static char memory[16384];
    wf_heap_use use;
    (void)state;
    assert_null(wf_heap_open(memory, 16));
    for (size_t shift = 0; shift < 17; shift++) {
        wf_heap *h = wf_heap_open(memory + shift, sizeof memory - shift);
        assert_non_null(h);
        char *a = wf_heap_resize(h, NULL, 100), *b = wf_heap_resize(h, NULL, 200);
        assert_true(a && b && ((uintptr_t)a & 7) == 0 && ((uintptr_t)b & 7) == 0);
        memset(a, 'a', 100);
        memset(b, 'b', 200);
        assert_null(wf_heap_resize(h, a, sizeof memory)); /* a is untouched by that */
        assert_true(a[0] == 'a' && a[99] == 'a');
        a = wf_heap_resize(h, a, 1000);
        assert_true(a && a[0] == 'a' && a[99] == 'a' && b[0] == 'b' && b[199] == 'b');
        wf_heap_stats(h, &use);
        assert_int_equal(use.blocks, 2);
        assert_null(wf_heap_resize(h, a, 0));
        assert_null(wf_heap_resize(h, b, 0));
        assert_null(wf_heap_resize(h, NULL, 0));
        wf_heap_stats(h, &use);
        assert_true(use.used == 0 && use.blocks == 0);
        assert_true(use.high >= 1100 && use.high <= use.limit && use.limit <= sizeof memory);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_needed_is_least_at_any_alignment), cmocka_unit_test(test_bad_configs),
        cmocka_unit_test(test_settings_have_the_defaults),       cmocka_unit_test(test_sixteen_agents_in_64k),
        cmocka_unit_test(test_exhaustion_is_an_agents_error),    cmocka_unit_test(test_heap),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
