/* rig: see rig.h. */
#include "rig.h"

#include "src/core/run/runtime.h"

static const wf_run_spec rig_spec = {{"test", 4}, {"script", 6}, {"null", 4}, {"{}", 2}};

void rig_init(rig *r, uint64_t seed, const void *log, size_t size) {
    memset(r, 0, sizeof *r);
    r->f = fake_new(seed, log, size);
    r->config = fake_config(r->f);
    r->config.max_agents = 64;
    r->config.max_calls = 128;
    r->config.lanes = 4;
    r->size = (size_t)768 << 10;
}

void rig_block(rig *r) {
    wf_error error = {0};
    r->block = malloc(r->size);
    if (wf_init(&r->w, r->block, r->size, &r->config, &error) != WF_OK) fail_msg("wf_init: %s", error.text);
}

void rig_start(rig *r) {
    rig_block(r);
    wf_status s = fake_open(r->f, r->w, &rig_spec);
    wf_error error;
    wf_last_error(r->w, &error);
    if (s != WF_OK) fail_msg("wf_run_open: %s: %s", wf_status_name(s), error.text ? error.text : "");
}

void rig_end(rig *r) {
    if (r->w) {
        const wfi_runtime *env = (const wfi_runtime *)(const void *)r->w; /* a wf begins with it */
        wf_close(r->w);
        assert_true(wfi_heap_check(&env->heap));
        assert_true(env->heap.used == 0 && env->heap.blocks == 0);
    }
    assert_int_equal(r->f->open_lanes, 0);
    assert_int_equal(r->f->open_tickets, 0);
    free(r->block);
    fake_free(r->f);
    memset(r, 0, sizeof *r);
}

void rig_crash(rig *r, fake_survival how) {
    rig old = *r;
    size_t size;
    uint8_t *log = fake_crash(old.f, how, old.f->seed, &size);
    rig_init(r, old.f->seed + 1, log, size);
    free(log);
    const fake *a = old.f;
    fake *b = r->f;
    b->now = a->now;
    b->sync_ms = a->sync_ms;
    b->delay_max = a->delay_max;
    b->tool_delay = a->tool_delay;
    b->model = a->model;
    b->tool = a->tool;
    b->on_request = a->on_request;
    b->user = a->user;
    wf_config fresh = r->config;
    r->config = old.config;
    r->config.platform = fresh.platform;
    r->config.providers = fresh.providers;
    r->config.tools = fresh.tools;
    r->size = old.size;
    rig_end(&old);
    rig_start(r);
}

wf_str rig_str(const char *z) {
    return wf_str_of(z, strlen(z));
}

wf_call rig_ask(rig *r, const char *prompt) {
    wf_agent_spec spec = {.prompt = rig_str(prompt)};
    wf_call call = {0};
    wf_error error;
    wf_status s = wf_agent_start(r->w, &spec, &call);
    wf_last_error(r->w, &error);
    if (s != WF_OK) fail_msg("wf_agent_start: %s: %s", wf_status_name(s), error.text ? error.text : "");
    return call;
}

wf_delivery rig_take(rig *r) {
    wf_delivery d;
    wf_error error;
    wf_status s = fake_deliver(r->f, r->w, &d);
    wf_last_error(r->w, &error);
    if (s != WF_OK) fail_msg("no delivery: %s: %s", wf_status_name(s), error.text ? error.text : "");
    return d;
}

wf_delivery rig_do(rig *r, const char *prompt) {
    rig_ask(r, prompt);
    return rig_take(r);
}

bool rig_has(wf_str text, const char *what) {
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= text.len; i++)
        if (memcmp(text.ptr + i, what, n) == 0) return true;
    return false;
}
