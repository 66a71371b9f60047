/* workflow: see workflow.h. Here: a wf's configuration, memory, life, and its pump. */
#include "workflow.h"
#include "toolcalls.h"

WFI wf_status wfi_workflow_fail(wf *w, wf_status code, const char *text) {
    w->error = (wf_error){code, text, WF_NO_OFFSET};
    return code;
}

WFI wf_status wfi_workflow_below(wf *w, wf_status code) {
    if (code >= 0) return code;
    if (w->rt.log.error.code == code)
        w->error = w->rt.log.error;
    else
        wfi_workflow_fail(w, code, wf_status_text(code));
    return code;
}

/* ---- configuration and memory ---- */

static void workflow_defaults(wf_config *c) {
    c->lanes = wfi_workflow_default(c->lanes, 16);
    c->max_agents = wfi_workflow_default(c->max_agents, 1000);
    c->max_calls = wfi_workflow_default(c->max_calls, c->max_agents < 1u << 24 ? c->max_agents * 16 : UINT32_MAX);
    c->effects = wfi_workflow_default(c->effects, 8);
    c->extra_tools = c->extra_tools == WF_NONE ? WF_NONE : wfi_workflow_default(c->extra_tools, c->lanes);
    c->max_turns = wfi_workflow_default(c->max_turns, 50);
    c->max_tokens = wfi_workflow_default(c->max_tokens, 16000);
    c->retries = wfi_workflow_default(c->retries, 5);
    c->agent_ms = wfi_workflow_default(c->agent_ms, 30 * 60 * 1000);
    c->stall_ms = wfi_workflow_default(c->stall_ms, 180000);
    c->tool_output_max = wfi_workflow_default(c->tool_output_max, 32768);
    c->schema_tries = wfi_workflow_default(c->schema_tries, 5);
    c->reply_max = wfi_workflow_default(c->reply_max, 4u << 20);
    c->log_buffer = wfi_workflow_default(c->log_buffer, 64u << 10);
}

#define WORKFLOW_HEAP_MIN 4096u

static const char *workflow_check(const wf_config *c) {
    const wf_platform *p = c->platform;
    if (!p || p->version != WF_PLATFORM_VERSION) return "config.platform: missing, or of another version";
    if (!p->now_ms || !p->wall_ms || !p->random || !p->log) return "config.platform: a hook is missing";
    if (c->lanes > 1000) return "config.lanes: 1 to 1000";
    if (c->effects > 1000) return "config.effects: 1 to 1000";
    if (c->extra_tools > 1000 && c->extra_tools != WF_NONE) return "config.extra_tools: 1 to 1000, or WF_NONE";
    if (c->max_calls > 1u << 26 || c->max_calls < c->max_agents) return "config.max_calls: max_agents to 2^26";
    if (c->tool_count > 32) return "config.tools: at most 32";
    if (c->log_buffer < WFI_LOG_BUFFER_MIN) return "config.log_buffer: at least 4096";
    if (c->heap > 0 && c->heap < wfi_heap_needed(WORKFLOW_HEAP_MIN)) return "config.heap: room for at least 4096 bytes";
    if (c->max_tokens > 1u << 30) return "config.max_tokens: at most 2^30";
    if (c->model.len > WF_MODEL_MAX) return "config.model: too long";
    return NULL;
}

static wf *workflow_carve(wfi_arena *a, const wf_config *c) {
    uint32_t texts = 16;
    while (texts < c->max_agents && texts < 4096)
        texts *= 2;
    wf *w = wfi_arena_take(a, 1, sizeof *w);
    wfi_sched sched = {
        0}; /* for counting: a wf that is not there cannot be filled in, and a whole one is too much stack */
    wfi_spares spares = {0};
    wfi_sched_carve(w ? &w->sched : &sched, a, c);
    wfi_spares_carve(w ? &w->rt.spares : &spares, a, c);
    uint8_t *scratch = wfi_arena_take_raw(a, 1, WFI_SCRATCH);
    wfi_limiter *limiters = wfi_arena_take(a, c->provider_count, sizeof *limiters);
    wfi_text_slot *slots = wfi_arena_take(a, texts, sizeof *slots);
    uint8_t *log = wfi_arena_take_raw(a, 1, c->log_buffer);
    uint8_t *kept = wfi_arena_take_raw(a, 1, c->log_buffer / 4);
    if (!w || a->full) return w;
    w->rt.scratch = scratch;
    w->rt.limiters = limiters;
    for (uint32_t i = 0; i < c->provider_count; i++)
        wfi_limiter_init(&limiters[i]);
    w->rt.texts = slots;
    w->rt.text_mask = texts - 1;
    wfi_log_init(&w->rt.log, c->platform->log, c->platform->log_ctx, log, c->log_buffer, c->sync);
    wfi_log_keep(&w->rt.log, kept, c->log_buffer / 4);
    return w;
}

size_t wf_memory_needed(const wf_config *config) {
    wf_config c = *config;
    wfi_arena a;
    workflow_defaults(&c);
    if (workflow_check(&c)) return 0;
    wfi_arena_init(&a, NULL, 0);
    workflow_carve(&a, &c);
    if (!c.shared) (void)wfi_arena_take_raw(&a, 1, c.heap ? c.heap : wfi_heap_needed(WORKFLOW_HEAP_MIN));
    return a.full ? 0 : a.used;
}

wf_status wf_init(wf **out, void *memory, size_t size, const wf_config *config, wf_error *error) {
    wf_config c = *config;
    wfi_arena a;
    uint64_t seed = 0;
    workflow_defaults(&c);
    const char *why = workflow_check(&c);
    wf_status s = why ? WF_E_CONFIG : WF_OK;
    *out = NULL;
    if (s == WF_OK && (!memory || size < wf_memory_needed(&c))) {
        why = "the block is too small: wf_memory_needed says how much this config takes";
        s = WF_E_MEMORY;
    }
    if (s == WF_OK && c.platform->random(c.platform->ctx, &seed, sizeof seed) != WF_OK) {
        why = "the platform has no random bytes";
        s = WF_E_IO;
    }
    if (s != WF_OK) {
        if (error) *error = (wf_error){s, why, WF_NO_OFFSET};
        return s;
    }
    wfi_arena_init(&a, memory, size);
    wf *w = workflow_carve(&a, &c);
    w->memory.block = size;
    w->memory.fixed = a.used;
    size_t heap = c.heap ? c.heap : wfi_arena_left(&a);
    WFI_ASSERT(!a.full);
    if (c.shared)
        wfi_heap_share(&w->rt.heap, &c.shared->heap, c.heap ? c.heap : SIZE_MAX);
    else
        (void)wfi_heap_init(&w->rt.heap, wfi_arena_take_raw(&a, 1, heap), heap);
    w->rt.config = c;
    w->rt.os = c.platform;
    w->rt.rng = seed | 1;
    *out = w;
    return WF_OK;
}

const wf_config *wf_settings(const wf *w) {
    return &w->rt.config;
}

void wf_close(wf *w) {
    wfi_sched_drop_all(&w->rt, &w->sched);
    if (w->stage == WFI_STAGE_RUNNING) (void)wfi_log_flush(&w->rt.log); /* if it cannot be: a sync would have said so */
    wfi_heap_free(&w->rt.heap, w->recorded);
    wfi_heap_free(&w->rt.heap, w->old_header);
    wfi_heap_free(&w->rt.heap, w->header);
    wfi_heap_free(&w->rt.heap, w->value);
    wfi_heap_free(&w->rt.heap, w->info);
    w->recorded = NULL;
    w->old_header = w->header = w->value = w->info = NULL;
    w->stage = WFI_STAGE_ENDED;
}

void wf_last_error(const wf *w, wf_error *out) {
    *out = w->error;
}

void wf_memory_stats(const wf *w, wf_memory *out) {
    *out = w->memory;
    out->heap = wfi_heap_use(&w->rt.heap);
}

/* ---- the pump ---- */

wf_status wf_step(wf *w, uint32_t max_work, uint32_t *wait_ms) {
    wf_status s;
    *wait_ms = 0;
    if (w->stage == WFI_STAGE_RUNNING)
        return wfi_workflow_below(w, wfi_sched_step(&w->rt, &w->sched, max_work, wait_ms));
    if (w->stage == WFI_STAGE_ENDED) return WF_END;
    if (w->stage != WFI_STAGE_ENDING) return wfi_workflow_fail(w, WF_E_CONFIG, "the run is not open");
    s = wfi_log_pump(&w->rt.log);
    if (s == WF_AGAIN) {
        *wait_ms = UINT32_MAX;
        return WF_OK;
    }
    if (s != WF_OK) return wfi_workflow_below(w, s);
    w->stage = WFI_STAGE_ENDED;
    return WF_END;
}
