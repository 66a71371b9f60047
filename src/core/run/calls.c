/* calls: agents and effects, from what the caller asks for to the delivery in the caller's hands. A call is first looked
 * for in the log; what is not there gets a slot and a record, and waits for a lane. */
#include "../base/schema.h"
#include "../model/anthropic.h"
#include "request.h"
#include "workflow.h"

#define CALLS_PATH_MAX 512u
#define CALLS_FULL     "the table of calls is full; resume with a higher --agents, or make fewer calls"

/* A call's place and identity, as match and record need them. */
typedef struct calls_id {
    char path[CALLS_PATH_MAX];
    wf_str path_text;
    uint64_t place;
    uint8_t hash[32];
    char hex[64];
    wfi_queue queue;
} calls_id;

static wf_status calls_identify(wf *w, calls_id *id, wf_str path, const wf_str *parts, size_t count) {
    if (path.len > sizeof id->path)
        return wfi_workflow_fail(w, WF_E_CONFIG, "the call's path is longer than 512 bytes");
    if (path.len == 0) {
        id->path[0] = '#';
        path = wf_str_of(id->path, 1 + wfi_u64_str(++w->pathless, id->path + 1));
    }
    /* the log holds UTF-8: other bytes would not come back from it as they were */
    if (!wfi_utf8_valid(path))
        return wfi_workflow_fail(w, WF_E_CONFIG, "the call's path is not UTF-8; give it another");
    id->path_text = path;
    id->place = wfi_replay_place(path);
    wfi_replay_identity(parts, count, id->hash);
    wfi_hex(id->hash, sizeof id->hash, id->hex);
    return WF_OK;
}

static void calls_trace_miss(const wf *w, const wfi_meta_call *meta, bool effect) {
    wf_trace event = {
        .type = WF_TRACE_MISS, .effect = effect, .label = meta->label, .phase = meta->phase, .text = meta->miss};
    wfi_runtime_trace(&w->rt, &event);
}

static void calls_trace_hit(const wf *w, uint32_t slot, const wfi_meta_call *meta) {
    const wfi_slot *r = &w->sched.slots.slots[slot];
    wf_trace event = {.type = WF_TRACE_HIT,
                      .id = slot + 1,
                      .effect = r->effect,
                      .kind = (wf_kind)r->kind,
                      .label = meta->label,
                      .phase = meta->phase};
    wfi_runtime_trace(&w->rt, &event);
}

/* A new slot, with its record. replaced: the slot that it is a fresh try of, or WFI_NO_SLOT. */
static wf_status calls_add_slot(wf *w, const calls_id *id, wfi_meta_call *meta, wf_str input, uint32_t replaced,
                                uint32_t *slot) {
    wfi_sched *s = &w->sched;
    bool effect = meta->effect.len > 0;
    uint64_t at;
    meta->path = id->path_text;
    meta->hash = wf_str_of(id->hex, sizeof id->hex);
    meta->replaces = replaced == WFI_NO_SLOT ? 0 : replaced + 1;
    if (w->run.valid == 0) meta->miss = wf_str_of("", 0); /* in a first run everything is new */
    wf_status status = wfi_runtime_record(&w->rt, WFI_REC_CALL, s->slots.count + 1, meta, input, &at, NULL);
    if (status == WF_E_LIMIT)
        return wfi_workflow_fail(w, WF_E_CONFIG, "the call's path, label, phase and model are too long taken together");
    if (status != WF_OK) return wfi_workflow_below(w, status);
    *slot = wfi_slots_add(&s->slots, id->place, id->hash, effect);
    s->slots.slots[*slot].call_at = at;
    if (replaced != WFI_NO_SLOT) {
        s->unasked -= wfi_slot_unasked(&s->slots.slots[replaced]);
        s->slots.slots[replaced].replaced = true;
        w->run.unlike |= s->slots.slots[replaced].delivered;
    }
    if (meta->miss.len > 0) calls_trace_miss(w, meta, effect);
    return WF_OK;
}

/* Says which tool the run does not have. */
static wf_status calls_no_tool(wf *w, wf_str name) {
    static const char before[] = "tools: this run has no '",
                      after[] = "'; fix its name, or allow it: --allow read,write,bash";
    char *out = w->no_tool;
    name = wfi_utf8_clip(name, sizeof w->no_tool - sizeof before - sizeof after);
    wfi_copy(out, before, sizeof before - 1);
    out += sizeof before - 1;
    wfi_copy(out, name.ptr, name.len);
    wfi_copy(out + name.len, after, sizeof after);
    return wfi_workflow_fail(w, WF_E_CONFIG, w->no_tool);
}

/* The tools of an agent, made anew only if they are not those of the agent before. */
static wf_status calls_tools(wf *w, wf_str names, wf_str schema, wfi_meta_call *meta) {
    wf_str unknown;
    if (w->tools.known && w->tools.schema == meta->schema &&
        wfi_str_eq(names, wf_str_of(w->tools.names, w->tools.names_len))) {
        meta->tools = w->tools.at;
        return WF_OK;
    }
    wf_status s = wfi_request_tools(&w->rt, wfi_anthropic_codec(), names, schema, &meta->tools, &unknown);
    if (s == WF_E_NOT_FOUND) return calls_no_tool(w, unknown);
    w->tools.known = s == WF_OK && names.len <= sizeof w->tools.names;
    if (!w->tools.known) return wfi_workflow_below(w, s);
    wfi_copy(w->tools.names, names.ptr, names.len);
    w->tools.names_len = names.len;
    w->tools.schema = meta->schema;
    w->tools.at = meta->tools;
    return WF_OK;
}

/* The texts of an agent, into the log; the call record refers to them. */
static wf_status calls_texts(wf *w, const wf_agent_spec *spec, wf_str system, wfi_meta_call *meta) {
    const wfi_codec *codec = wfi_anthropic_codec();
    wfi_runtime *rt = &w->rt;
    if (spec->schema.len > 0 && !wfi_schema_names(spec->schema, &w->unfit)) /* an answer in the log needs no request */
        return wfi_workflow_fail(w, WF_E_CONFIG, w->unfit.reason);
    wf_status s = wfi_request_text(rt, codec->text_block, spec->prompt, &meta->prompt);
    if (s == WF_OK && system.len > 0) s = wfi_request_text(rt, codec->system, system, &meta->system);
    if (s == WF_OK && spec->schema.len > 0) s = wfi_runtime_text(rt, spec->schema, &meta->schema);
    return s == WF_OK ? calls_tools(w, spec->tools, spec->schema, meta) : wfi_workflow_below(w, s);
}

static wf_status calls_check_spec(wf *w, const wf_agent_spec *spec, wf_str model) {
    wf_schema_error *unfit = &w->unfit;
    wf_status s;
    if (spec->prompt.len == 0) return wfi_workflow_fail(w, WF_E_CONFIG, "the prompt is empty");
    if (model.len == 0) return wfi_workflow_fail(w, WF_E_CONFIG, "no model: name one for the run or the agent");
    if (model.len > WF_MODEL_MAX || spec->effort.len > 32)
        return wfi_workflow_fail(w, WF_E_CONFIG,
                                 "the model's or effort's name is too long; a model's has at most 400 bytes");
    if (spec->cwd.len > CALLS_PATH_MAX)
        return wfi_workflow_fail(w, WF_E_CONFIG, "cwd: the path is longer than 512 bytes");
    if (!wfi_utf8_valid(spec->cwd))
        return wfi_workflow_fail(w, WF_E_CONFIG, "cwd: the path is not UTF-8; rename the folder, or use another");
    if (!wfi_utf8_valid(model) || !wfi_utf8_valid(spec->effort))
        return wfi_workflow_fail(w, WF_E_CONFIG, "the model's or effort's name is not UTF-8");
    if (spec->max_tokens > 1u << 30) return wfi_workflow_fail(w, WF_E_CONFIG, "max_tokens: at most 2^30");
    if (spec->schema.len > 0 && (s = wf_schema_check(spec->schema, WF_STR("null"), unfit)) != WF_OK && s != WF_E_SCHEMA)
        return wfi_workflow_fail(w, WF_E_CONFIG,
                                 unfit->reason[0] ? unfit->reason : "the schema is not a valid JSON Schema");
    return WF_OK;
}

/* ---- stops ---- */

static wf_kind calls_stop_kind(const wf *w) {
    static const wf_kind kinds[] = {WF_KIND_AGENTS,   WF_KIND_CANCELLED, WF_KIND_CANCELLED, WF_KIND_BUDGET,
                                    WF_KIND_DEADLINE, WF_KIND_QUOTA,     WF_KIND_AUTH,      WF_KIND_CANCELLED};
    return kinds[w->rt.stop];
}

static wf_str calls_stop_text(const wf *w) {
    return wfi_str_z(w->rt.stop != WF_RUN_OPEN || !w->capped ? w->rt.stop_text : w->capped);
}

/* From here on the script knows that the run stops. */
static wf_status calls_told(wf *w) {
    wfi_meta_stop meta = {.outcome = w->rt.stop};
    if (w->told) return WF_OK;
    w->told = true;
    return wfi_workflow_below(w, wfi_runtime_record(&w->rt, WFI_REC_STOP, 0, &meta, calls_stop_text(w), NULL, NULL));
}

/* A start is turned away; the script is told. */
static wf_status calls_turn_away(wf *w, wf_status why, bool agent) {
    w->turned_away += agent;
    if (why == WF_E_LIMIT && !w->capped)
        w->capped = w->sched.slots.count == w->sched.slots.cap ? CALLS_FULL : WFI_WORKFLOW_CAP;
    wf_status s = calls_told(w);
    return s != WF_OK ? s : wfi_workflow_fail(w, why, calls_stop_text(w).ptr);
}

wf_status wf_run_refuses(wf *w, uint32_t count, wf_kind *kind, wf_str *text) {
    if (w->rt.stop == WF_RUN_OPEN && !w->capped) return WF_OK;
    *kind = calls_stop_kind(w);
    *text = calls_stop_text(w);
    w->turned_away += count;
    wf_status s = calls_told(w);
    return s != WF_OK ? s : WF_E_STOPPED;
}

static wf_status calls_may_start(wf *w, bool effect, bool reads) {
    if (w->stage != WFI_STAGE_RUNNING) return wfi_workflow_fail(w, WF_E_CONFIG, "the run is not open");
    if (reads) return WF_OK;
    if (w->rt.stop != WF_RUN_OPEN) return WF_E_STOPPED;
    if (w->capped || (!effect && w->sched.agents >= w->rt.config.max_agents)) return WF_E_LIMIT;
    return WF_OK;
}

/* Whether an agent that has not yet said a word is to ask another model now. */
static wf_status calls_model_differs(wf *w, const wfi_slot *r, const wfi_meta_call *meta, bool *out) {
    char buf[WFI_LOG_META_MAX];
    wfi_log_rec rec;
    wfi_meta old;
    *out = false;
    if (r->effect || r->turns > 0) return WF_OK;
    wf_status s = wfi_runtime_meta(&w->rt, r->call_at, &rec, buf, &old);
    if (s == WF_OK) *out = !wfi_str_eq(old.call.model, meta->model) || !wfi_str_eq(old.call.effort, meta->effort);
    return wfi_workflow_below(w, s);
}

/* Answers a call from the log, or goes on with it there; WF_END: neither, a slot is to be added. */
static wf_status calls_match(wf *w, const calls_id *id, bool no_cache, uint32_t *slot, wfi_meta_call *meta,
                             uint32_t *replaced) {
    const char *why;
    bool differs = false;
    wfi_recall recall = wfi_replay_recall(&w->rt, &w->sched, id->place, id->hash, slot, &why);
    *replaced = WFI_NO_SLOT;
    if (recall == WFI_RECALL_ANSWER && no_cache) {
        why = "the script says cache = false";
        recall = WFI_RECALL_NONE;
    }
    if (recall == WFI_RECALL_ANSWER) {
        wfi_sched_hit(&w->sched, *slot);
        calls_trace_hit(w, *slot, meta);
        return WF_OK;
    }
    if (recall == WFI_RECALL_OPEN) {
        wf_status s = calls_model_differs(w, &w->sched.slots.slots[*slot], meta, &differs);
        if (s != WF_OK) return s;
        if (!differs) {
            wfi_sched_queue(&w->sched, *slot, id->queue);
            return WF_OK;
        }
    }
    if (w->sched.slots.count == w->sched.slots.cap) return WF_E_LIMIT;
    *replaced = *slot;
    /* with the script as it was, a place that the log does not have is simply one that it had not reached */
    if (!why[0] && w->replacing) why = "the log has no call at this place";
    meta->miss = wfi_str_z(why);
    return WF_END;
}

wf_status wf_agent_start(wf *w, const wf_agent_spec *spec, wf_call *out) {
    const wf_config *c = &w->rt.config;
    calls_id id = {.queue = WFI_QUEUE_AGENTS};
    uint32_t slot, replaced;
    wf_str model = spec->model.len ? spec->model : c->model, system = spec->system.len ? spec->system : c->system;
    wf_str fields[] = {spec->prompt, spec->schema, spec->system, spec->model, spec->effort, spec->tools, spec->cwd};
    bool own = spec->identity.len > 0;
    wf_status s = calls_may_start(w, false, false);
    if (s == WF_E_STOPPED || s == WF_E_LIMIT) return calls_turn_away(w, s, true);
    if (s == WF_OK) s = calls_check_spec(w, spec, model);
    if (s == WF_OK) s = calls_identify(w, &id, spec->path, own ? &spec->identity : fields, own ? 1 : WFI_COUNT(fields));
    if (s != WF_OK) return s;
    wfi_meta_call meta = {.label = wfi_utf8_clip(spec->label, WFI_LABEL_MAX),
                          .phase = wfi_utf8_clip(spec->phase, WFI_LABEL_MAX),
                          .model = model,
                          .effort = spec->effort.len ? spec->effort : c->effort,
                          .cwd = spec->cwd,
                          .max_turns = wfi_workflow_default(spec->max_turns, c->max_turns),
                          .max_tokens = wfi_workflow_default(spec->max_tokens, c->max_tokens),
                          .retries = wfi_workflow_default(spec->retries, c->retries),
                          .agent_ms = wfi_workflow_default(spec->agent_ms, c->agent_ms),
                          .stall_ms = wfi_workflow_default(spec->stall_ms, c->stall_ms)};
    s = calls_match(w, &id, spec->no_cache, &slot, &meta, &replaced);
    if (s == WF_E_LIMIT) return calls_turn_away(w, s, true);
    if (s == WF_END) {
        s = calls_texts(w, spec, system, &meta);
        if (s == WF_OK) s = calls_add_slot(w, &id, &meta, wf_str_of("", 0), replaced, &slot);
        if (s == WF_OK) wfi_sched_queue(&w->sched, slot, id.queue);
    }
    if (s != WF_OK) return s;
    w->sched.slots.slots[slot].limits =
        (wfi_limits){meta.max_turns, meta.max_tokens,     meta.retries,         meta.agent_ms,
                     meta.stall_ms,  spec->budget_tokens, spec->budget_nano_usd};
    *out = wfi_slots_handle(&w->sched.slots, slot);
    return WF_OK;
}

wf_status wf_effect_start(wf *w, const wf_effect_spec *spec, wf_call *out) {
    calls_id id = {.queue = spec->reads ? WFI_QUEUE_READS : spec->changes ? WFI_QUEUE_CHANGES : WFI_QUEUE_OTHERS};
    uint32_t slot, replaced;
    wf_str parts[] = {spec->name, spec->input};
    wfi_meta_call meta = {.effect = spec->name,
                          .agent_ms = wfi_workflow_default(spec->ms, w->rt.config.agent_ms),
                          .changes = spec->changes};
    wf_status s = calls_may_start(w, true, spec->reads);
    if (s == WF_E_STOPPED || s == WF_E_LIMIT) return calls_turn_away(w, s, false);
    if (s == WF_OK && !w->rt.os->tool_ops)
        s = wfi_workflow_fail(w, WF_E_CONFIG, "the platform does no effects: it has no tool_ops");
    if (s == WF_OK && (spec->name.len == 0 || spec->name.len > 64 || !wfi_utf8_valid(spec->name)))
        s = wfi_workflow_fail(w, WF_E_CONFIG, "the effect's name is empty, longer than 64 bytes or not UTF-8");
    if (s == WF_OK) s = calls_identify(w, &id, spec->path, parts, WFI_COUNT(parts));
    if (s != WF_OK) return s;
    s = calls_match(w, &id, false, &slot, &meta, &replaced);
    if (s == WF_E_LIMIT) return calls_turn_away(w, s, false);
    if (s == WF_END) {
        s = calls_add_slot(w, &id, &meta, spec->input, replaced, &slot);
        if (s == WF_OK) wfi_sched_queue(&w->sched, slot, id.queue);
    }
    if (s != WF_OK) return s;
    w->sched.slots.slots[slot].limits = (wfi_limits){.agent_ms = meta.agent_ms, .stall_ms = WF_NONE};
    *out = wfi_slots_handle(&w->sched.slots, slot);
    return WF_OK;
}

wf_status wf_call_cancel(wf *w, wf_call call) {
    uint32_t slot = w->stage == WFI_STAGE_RUNNING ? wfi_slots_find(&w->sched.slots, call) : WFI_NO_SLOT;
    if (slot == WFI_NO_SLOT) return WF_E_STALE;
    return wfi_workflow_below(w, wfi_sched_cancel(&w->rt, &w->sched, slot));
}

/* ---- deliveries ---- */

static void calls_deliver_stopped(const wf *w, uint32_t slot, wf_delivery *out) {
    out->id = slot + 1;
    out->kind = calls_stop_kind(w);
    out->value = calls_stop_text(w);
    out->stopped = true;
}

/* Reads the answer that is next. Where there is no memory for it, it stays next. */
static wf_status calls_read_answer(wf *w, uint32_t slot) {
    char buf[WFI_LOG_META_MAX];
    wfi_log_rec rec;
    wfi_meta meta;
    wf_status s = wfi_runtime_meta(&w->rt, w->sched.slots.slots[slot].done_at, &rec, buf, &meta);
    if (s == WF_OK) s = wfi_runtime_payload(&w->rt, &rec, 1, &w->value);
    if (s != WF_E_MEMORY) return wfi_workflow_below(w, s);
    return wfi_workflow_fail(w, s, "an answer does not fit the memory for messages");
}

/* Hands out what was read; the record of the delivery needs no sync of its own: whatever the script does next stands after it. */
static wf_status calls_deliver_slot(wf *w, uint32_t slot, wf_delivery *out) {
    char buf[WFI_LOG_META_MAX];
    wfi_slot *r = &w->sched.slots.slots[slot];
    wfi_log_rec rec;
    wfi_meta meta;
    wf_status s = wfi_runtime_meta(&w->rt, r->done_at, &rec, buf, &meta);
    if (s != WF_OK) return s;
    if (!r->delivered) {
        wfi_meta_deliver deliver = {.wall = w->rt.os->wall_ms(w->rt.os->ctx)};
        s = wfi_runtime_record(&w->rt, WFI_REC_DELIVER, slot + 1, &deliver, wf_str_of("", 0), NULL, NULL);
        if (s != WF_OK) return s;
        r->delivered = true;
        r->order = ++w->sched.deliveries;
        r->wall = deliver.wall;
    }
    if (r->wall > w->sched.clock) w->sched.clock = r->wall;
    out->id = slot + 1;
    out->kind = (wf_kind)r->kind;
    out->json = meta.done.json;
    out->cached = r->hit;
    out->attempts = meta.done.attempts;
    out->turns = meta.done.turns;
    out->usage = meta.done.usage;
    wfi_usage_add(&w->delivered, &meta.done.usage);
    out->value = wf_str_of(w->value, rec.payload_len);
    return WF_OK;
}

wf_status wf_deliver(wf *w, wf_delivery *out) {
    wfi_zero(out, sizeof *out);
    wfi_heap_free(&w->rt.heap, w->value);
    w->value = NULL;
    if (w->stage != WFI_STAGE_RUNNING) return wfi_workflow_fail(w, WF_E_CONFIG, "the run is not open");
    uint32_t slot = wfi_sched_next(&w->sched);
    bool stopped = slot == WFI_NO_SLOT;
    wf_status s = stopped ? WF_OK : calls_read_answer(w, slot);
    if (s != WF_OK) return s;
    out->stopped = !stopped && w->sched.slots.slots[slot].stops;
    slot = stopped ? wfi_sched_take_stopped(&w->rt, &w->sched) : wfi_sched_take(&w->sched);
    if (slot == WFI_NO_SLOT) {
        w->sched.settled = true;
        return w->sched.waiting > 0 ? WF_AGAIN : WF_END;
    }
    w->sched.settled = false;
    out->call = wfi_slots_handle(&w->sched.slots, slot);
    out->call.bits -= UINT64_C(1) << 32; /* the generation under which the caller knows it */
    if ((stopped || out->stopped) && (s = calls_told(w)) != WF_OK) return s;
    if (stopped) {
        calls_deliver_stopped(w, slot, out);
        return WF_OK;
    }
    return wfi_workflow_below(w, calls_deliver_slot(w, slot, out));
}
