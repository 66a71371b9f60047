/* agent: see agent.h. The functions stand in the order of a task's life: start, request, reply, turn, tools, finish. */
#include "../base/date.h"
#include "../base/schema.h"
#include "../model/anthropic.h"
#include "../model/retry.h"
#include "agent.h"
#include "budget.h"
#include "exchange.h"
#include "request.h"
#include "toolcalls.h"

#define AGENT_UNKNOWN                                                                                                  \
    "state unknown: this was under way when the run was killed or its time was up, or gave no result; look at what "   \
    "it left "                                                                                                         \
    "before doing it again"
#define AGENT_NUDGES      2u      /* reminders to call the result tool */
#define AGENT_USES_MAX    128u    /* tool calls in one reply */
#define AGENT_EMPTY       2u      /* bytes of a content without blocks */
#define AGENT_ID_MAX      256u    /* bytes of a tool call's id */
#define AGENT_WAIT_MAX_MS 600000  /* who is asked to wait longer gives up */
#define AGENT_PATIENCE_MS 1800000 /* with refusals alone, for a rate limit, in a run without a deadline */
#define AGENT_PASSED      4u      /* so often a request is refused for a limit of all, while others are served, */
#define AGENT_PASSED_MAX  32u     /* ... and so often for one of its own, before its retries decide */
#define AGENT_CUTS        3u      /* replies cut in a tool call of which the model is told */
#define AGENT_CUT_BYTES   1024u   /* a reply that is cut earlier tells nothing of limits, */
#define AGENT_CUT_MS      3000u   /* ... nor does one that is cut sooner */
#define AGENT_SHOWN       200u    /* bytes of a wrong answer that are shown to the model */
#define AGENT_ALIKE       "; cut at the same place twice: a limit of a proxy? Ask for less at once"
#define AGENT_BLIND       "answered after tool errors only"

static wfi_pace agent_request(wfi_runtime *rt, wfi_task *t);
static wfi_pace agent_reply(wfi_runtime *rt, wfi_task *t);
static wfi_pace agent_turn(wfi_runtime *rt, wfi_task *t);
static wfi_pace agent_progress(wfi_runtime *rt, wfi_task *t, wfi_progress progress, const wfi_failure *f);

static wf_trace agent_event(const wfi_task *t, wf_trace_type type) {
    wf_trace event = {.type = type,
                      .id = t->slot_index + 1,
                      .effect = t->slot->effect,
                      .label = t->call.label,
                      .phase = t->call.phase,
                      .usage = t->usage};
    return event;
}

static wf_str agent_join(const wf_str *parts, size_t count, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < count; n += parts[i++].len)
        wfi_copy(out + n, parts[i].ptr, parts[i].len);
    return wf_str_of(out, n);
}

/* ---- the end of a task ---- */

/* What was intended was not begun, and so is not "interrupted". If the log fails, the next thing that needs it will say so. */
static void agent_withdraw(wfi_runtime *rt, wfi_task *t) {
    wfi_meta_intent none = {.name = wf_str_of("", 0)};
    if (t->slot->intent_at == 0) return;
    (void)wfi_runtime_record(rt, WFI_REC_INTENT, t->slot_index + 1, &none, wf_str_of("", 0), NULL, NULL);
    t->slot->intent_at = 0;
}

/* Whether nothing came of the lane that it had: it waited for a rate limit, or one paused the run before its request was out. */
static bool agent_has_not_run(const wfi_runtime *rt, const wfi_task *t) {
    bool unsent = rt->stop == WF_RUN_PAUSED && t->fate == WFI_FATE_FREE && t->attempt == 0 && !t->slot->effect;
    return (t->state == WFI_TASK_LIMIT || unsent) && t->turns == 0 && t->slot->aside == 0 && !t->slot->finished;
}

void wfi_task_drop(wfi_runtime *rt, wfi_task *t) {
    if (t->state == WFI_TASK_INTENT) agent_withdraw(rt, t);
    if (t->state == WFI_TASK_LIMIT) t->limiter->waiting--;
    if (agent_has_not_run(rt, t)) t->slot->started = false;
    wfi_exchange_end(rt, t);
    while (wfi_toolcalls_runs(t))
        wfi_toolcalls_end(rt, t);
    wfi_toolcalls_leave(rt, t);
    wfi_budget_settle(rt, t);
    wfi_heap_free(&rt->heap, t->meta);
    wfi_heap_free(&rt->heap, (void *)(uintptr_t)t->schema.ptr);
    wfi_heap_free(&rt->heap, (void *)(uintptr_t)t->effect_input.ptr);
    wfi_heap_free(&rt->heap, t->items);
    wfi_exchange_forget(rt, t);
    t->meta = NULL;
    t->items = NULL;
    t->schema = t->effect_input = wf_str_of(NULL, 0);
    t->state = WFI_TASK_FREE;
}

wf_status wfi_slot_finish(wfi_runtime *rt, wfi_slot *slot, uint32_t slot_index, const wfi_meta_done *done,
                          wf_str value) {
    wf_status s = wfi_runtime_record(rt, WFI_REC_DONE, slot_index + 1, done, value, &slot->done_at, &slot->done_end);
    if (s != WF_OK) return s;
    slot->finished = true;
    slot->delivered = false;
    slot->kind = (uint8_t)done->kind;
    slot->blind = done->blind;
    slot->state = WFI_CALL_SEALING;
    wfi_log_want(&rt->log);
    return WF_OK;
}

/* What it fails for is at an end for all. */
static void agent_stops(wfi_runtime *rt, wfi_task *t, wf_outcome reason, wf_str why) {
    t->slot->stops = true;
    wfi_runtime_stop(rt, reason, why);
}

static wfi_pace agent_finish(wfi_runtime *rt, wfi_task *t, wf_kind kind, wf_str value, bool json) {
    wfi_meta_done done = {.kind = kind,
                          .json = json,
                          .attempts = t->attempts,
                          .turns = t->turns,
                          .ms = rt->now - t->started,
                          .blind = kind == WF_KIND_NONE && t->tools_failed > 0 && t->tools_worked == 0,
                          .usage = t->usage};
    wf_trace event = agent_event(t, WF_TRACE_DONE);
    event.kind = kind;
    event.ms = done.ms;
    event.n = t->turns;
    if (kind != WF_KIND_NONE) event.text = value;
    if (done.blind) event.text = WF_STR(AGENT_BLIND);
    if (kind == WF_KIND_QUOTA) agent_stops(rt, t, WF_RUN_PAUSED, value);
    if (kind == WF_KIND_AUTH && !t->alone) agent_stops(rt, t, WF_RUN_REFUSED, value);
    if (wfi_slot_finish(rt, t->slot, t->slot_index, &done, value) != WF_OK) return WFI_PACE_BROKEN;
    wfi_runtime_trace(rt, &event);
    wfi_task_drop(rt, t);
    return WFI_PACE_DONE;
}

static wfi_pace agent_fail(wfi_runtime *rt, wfi_task *t, wf_kind kind, const char *message) {
    return agent_finish(rt, t, kind, wfi_str_z(message), false);
}

/* Heap exhausted, or the log broken: the two things that a wf_status of the parts below can mean here. */
static wfi_pace agent_trouble(wfi_runtime *rt, wfi_task *t, wf_status s) {
    if (s == WF_E_MEMORY)
        return agent_fail(rt, t, WF_KIND_MEMORY, "the message heap is exhausted; give more --memory or fewer --lanes");
    return WFI_PACE_BROKEN;
}

/* ---- start ---- */

/* Which provider serves a model; NULL: none. *rest: the model's name without the prefix. */
static const wf_provider *agent_provider(const wf_config *config, wf_str model, wf_str *rest) {
    size_t n = wfi_str_find(model, ':');
    wf_str name = n < model.len ? wfi_str_cut(model, 0, n) : WF_STR(WF_BARE_PROVIDER);
    *rest = n < model.len ? wfi_str_cut(model, n + 1, model.len) : model;
    for (uint32_t i = 0; i < config->provider_count; i++)
        if (wfi_str_eq(config->providers[i].name, name)) return &config->providers[i];
    return NULL;
}

static wf_status agent_add_item(wfi_runtime *rt, wfi_task *t, uint64_t payload, uint32_t len, bool turn) {
    if (turn && len <= AGENT_EMPTY) len = 0;
    if (t->item_count == t->item_cap) {
        uint32_t cap = t->item_cap ? t->item_cap * 2 : 8;
        wfi_item *items = wfi_heap_realloc(&rt->heap, t->items, cap * sizeof *items);
        if (!items) return WF_E_MEMORY;
        t->items = items;
        t->item_cap = cap;
    }
    t->items[t->item_count++] = (wfi_item){payload, len, turn};
    return WF_OK;
}

/* The text record at `at` into the heap. */
static wf_status agent_load_text(wfi_runtime *rt, uint64_t at, wf_str *out) {
    wfi_log_rec rec;
    uint32_t meta_len;
    char *text;
    wf_status s = wfi_log_peek(&rt->log, at, &rec, &meta_len);
    if (s == WF_OK) s = wfi_runtime_payload(rt, &rec, 1, &text);
    if (s == WF_OK) *out = wf_str_of(text, rec.payload_len);
    return s;
}

/* Whether a record is of this conversation: the call's own, or of one with the same content whose place it took (WFI_REC_MOVED). */
static bool agent_owns(const wfi_task *t, const wfi_log_rec *rec) {
    if (rec->call == t->slot_index + 1) return true;
    if (rec->call == 0 || rec->call > t->slots->count) return false;
    const wfi_slot *old = &t->slots->slots[rec->call - 1];
    return old->moved && wfi_compare(old->content, t->slot->content, sizeof old->content) == 0;
}

/* Replies that are no part of the conversation are paid for all the same, and one that was cut has had max_tokens raised. */
static wf_status agent_load_asides(wfi_runtime *rt, wfi_task *t) {
    char buf[WFI_LOG_META_MAX];
    wfi_log_rec rec;
    wfi_meta meta;
    for (uint64_t at = t->slot->aside, after = UINT64_MAX; at != 0; at = meta.turn.aside) {
        wf_status s = wfi_runtime_meta(rt, at, &rec, buf, &meta);
        if (s != WF_OK) return s;
        if (at >= after || !agent_owns(t, &rec) || rec.type != WFI_REC_TURN) return wfi_runtime_astray(rt, at);
        after = at;
        wfi_usage_add(&t->usage, &meta.turn.usage);
        t->raised |= meta.turn.stop == WFI_STOP_CUT && !meta.turn.fitted;
    }
    return WF_OK;
}

/* The text that goes back in place of the turn at `at`. */
static wf_status agent_load_sent(wfi_runtime *rt, uint64_t sent, uint64_t at, wfi_log_rec *rec) {
    uint32_t meta_len;
    if (sent >= at) return wfi_runtime_astray(rt, at);
    wf_status s = wfi_log_peek(&rt->log, sent, rec, &meta_len);
    return s == WF_OK && rec->type != WFI_REC_TEXT ? wfi_runtime_astray(rt, at) : s;
}

static void agent_count_tool(wfi_task *t, wf_str why, bool is_error) {
    if (!wfi_str_eq(why, WF_STR("tool"))) return;
    t->tools_failed += is_error;
    t->tools_worked += !is_error;
}

/* Reads the conversation's chain, last item first, and turns it round. */
static wf_status agent_load_items(wfi_runtime *rt, wfi_task *t) {
    char buf[WFI_LOG_META_MAX];
    wfi_log_rec rec;
    wfi_meta meta;
    wf_status s = WF_OK;
    for (uint64_t at = t->slot->last_item, after = UINT64_MAX; at != 0 && s == WF_OK;) {
        if ((s = wfi_runtime_meta(rt, at, &rec, buf, &meta)) != WF_OK) return s;
        if (at >= after || !agent_owns(t, &rec) || (rec.type != WFI_REC_TURN && rec.type != WFI_REC_BLOCK))
            return wfi_runtime_astray(rt, at);
        after = at;
        bool turn = rec.type == WFI_REC_TURN;
        if (turn && meta.turn.sent != 0 && (s = agent_load_sent(rt, meta.turn.sent, at, &rec)) != WF_OK) return s;
        s = agent_add_item(rt, t, rec.payload, rec.payload_len, turn);
        if (turn) {
            t->turns++;
            wfi_usage_add(&t->usage, &meta.turn.usage);
            at = meta.turn.prev;
        } else {
            t->misses += wfi_str_eq(meta.block.why, WF_STR("schema"));
            t->nudges += wfi_str_eq(meta.block.why, WF_STR("nudge"));
            t->hurried |= wfi_str_eq(meta.block.why, WF_STR("hurry"));
            t->cuts += wfi_str_eq(meta.block.why, WF_STR("cut"));
            agent_count_tool(t, meta.block.why, meta.block.error);
            at = meta.block.prev;
        }
    }
    uint32_t meta_len;
    if (s == WF_OK) s = wfi_log_peek(&rt->log, t->call.prompt, &rec, &meta_len);
    if (s == WF_OK) s = agent_add_item(rt, t, rec.payload, rec.payload_len, false);
    for (uint32_t i = 0, j = t->item_count; i + 1 < j; i++) {
        wfi_item swap = t->items[i];
        t->items[i] = t->items[--j];
        t->items[j] = swap;
    }
    return s;
}

static wf_status agent_load(wfi_runtime *rt, wfi_task *t) {
    wfi_log_rec rec;
    uint32_t meta_len;
    wf_status s = WF_OK;
    if (!(t->meta = wfi_heap_alloc(&rt->heap, WFI_LOG_META_MAX))) return WF_E_MEMORY;
    if ((s = wfi_runtime_meta(rt, t->slot->call_at, &rec, t->meta, &t->call)) != WF_OK) return s;
    if (t->slot->effect) {
        char *input;
        s = wfi_runtime_payload(rt, &rec, 1, &input);
        if (s == WF_OK) t->effect_input = wf_str_of(input, rec.payload_len);
        return s;
    }
    if (t->call.schema != 0 && (s = agent_load_text(rt, t->call.schema, &t->schema)) != WF_OK) return s;
    t->wrapped = t->schema.len > 0 && !wfi_schema_is_object(t->schema);
    if (t->call.system != 0 && (s = wfi_log_peek(&rt->log, t->call.system, &t->system, &meta_len)) != WF_OK) return s;
    if (t->call.tools != 0 && (s = wfi_log_peek(&rt->log, t->call.tools, &t->tools, &meta_len)) != WF_OK) return s;
    s = agent_load_asides(rt, t);
    return s == WF_OK ? agent_load_items(rt, t) : s;
}

/* The turn that the log ends with, as if it had just come. */
static wf_status agent_load_turn(wfi_runtime *rt, wfi_task *t) {
    char buf[WFI_LOG_META_MAX];
    wfi_log_rec rec;
    wfi_meta_turn meta;
    uint64_t at = t->slot->last_item;
    for (;;) { /* the last turn: back over the blocks after it */
        wfi_meta any;
        wf_status s = wfi_runtime_meta(rt, at, &rec, buf, &any);
        if (s != WF_OK) return s;
        if (rec.type == WFI_REC_TURN) {
            meta = any.turn;
            break;
        }
        at = any.block.prev;
    }
    wf_status s = wfi_runtime_payload(rt, &rec, 1, &t->reply.ptr);
    if (s != WF_OK) return s;
    t->reply.len = t->reply.cap = rec.payload_len;
    t->turn.content = wf_str_of(t->reply.ptr, t->reply.len);
    t->turn.stop = (wfi_stop)meta.stop;
    return WF_OK;
}

static wfi_pace agent_start_effect(wfi_runtime *rt, wfi_task *t) {
    wf_tool_call call = {.name = t->call.effect,
                         .input = t->effect_input,
                         .script = true,
                         .deadline = t->deadline,
                         .output_max = rt->config.reply_max};
    if (wfi_toolcalls_begin(rt, t, &call) != WF_OK)
        return agent_fail(rt, t, WF_KIND_TOOL, "the effect could not be started");
    t->state = WFI_TASK_TOOL;
    return WFI_PACE_MORE;
}

/* What changes the world leaves a durable intent first, and is not begun again where there is one. */
static wfi_pace agent_intend(wfi_runtime *rt, wfi_task *t, wf_str id, wf_str name, wf_str input) {
    wfi_meta_intent meta = {.id = id, .name = name};
    wf_status s =
        wfi_runtime_record(rt, WFI_REC_INTENT, t->slot_index + 1, &meta, input, &t->slot->intent_at, &t->durable);
    if (s != WF_OK) return WFI_PACE_BROKEN;
    wfi_log_want(&rt->log);
    t->state = WFI_TASK_INTENT;
    return WFI_PACE_DURABLE;
}

static wfi_pace agent_begin_effect(wfi_runtime *rt, wfi_task *t) {
    if (!t->call.changes) return agent_start_effect(rt, t);
    if (t->slot->intent_at != 0) return agent_fail(rt, t, WF_KIND_INTERRUPTED, AGENT_UNKNOWN);
    return agent_intend(rt, t, wf_str_of("", 0), t->call.effect, wf_str_of("", 0));
}

static uint32_t agent_blocks_after_turn(const wfi_task *t) {
    uint32_t n = 0;
    while (n < t->item_count && !t->items[t->item_count - 1 - n].turn)
        n++;
    return n;
}

wfi_pace wfi_task_start(wfi_runtime *rt, wfi_task *t, const wfi_slots *slots, uint32_t slot_index) {
    uint32_t lane = t->lane;
    wfi_slot *slot = &slots->slots[slot_index];
    wfi_zero(t, sizeof *t);
    t->lane = lane;
    t->slots = slots;
    t->slot = slot;
    t->slot_index = slot_index;
    t->started = t->progress = rt->now;
    t->deadline = UINT64_MAX;
    t->state = WFI_TASK_TURN;
    slot->started = true;
    slot->state = WFI_CALL_RUNNING;
    wf_status s = agent_load(rt, t);
    if (s != WF_OK) return agent_trouble(rt, t, s);
    wf_trace event = agent_event(t, t->turns > 0 ? WF_TRACE_RESUME : WF_TRACE_START);
    event.n = t->turns;
    event.text = slot->effect ? t->call.effect : t->call.model;
    wfi_runtime_trace(rt, &event);
    if (slot->limits.agent_ms != WF_NONE) t->deadline = rt->now + slot->limits.agent_ms;
    if (slot->effect) return agent_begin_effect(rt, t);

    t->codec = wfi_anthropic_codec();
    t->provider = agent_provider(&rt->config, t->call.model, &t->model);
    if (t->provider && t->provider->priced) t->tariff = *wfi_runtime_tariff(rt, t->model);
    if (!t->provider)
        return agent_finish(
            rt, t, WF_KIND_PROVIDER,
            wfi_runtime_message(rt, "no provider serves this model", t->call.model, false, wf_str_of("", 0)), false);
    t->limiter = &rt->limiters[t->provider - rt->config.providers];
    if (t->turns == 0) return agent_request(rt, t);
    if ((s = agent_load_turn(rt, t)) != WF_OK) return agent_trouble(rt, t, s);
    t->use = agent_blocks_after_turn(t);
    return agent_turn(rt, t);
}

/* ---- request ---- */

/* Appends a content block of ours to the conversation; without an id it is text. */
static wf_status agent_block(wfi_runtime *rt, wfi_task *t, const char *why, wf_str id, wf_str text, bool is_error) {
    wf_json_out o;
    char *buf = NULL;
    size_t cap = 0;
    for (;;) { /* once to measure, once to write */
        wf_json_out_init(&o, buf, cap);
        if (id.ptr)
            t->codec->result_block(&o, id, text, is_error);
        else
            t->codec->text_block(&o, text);
        if (buf) break;
        cap = o.len;
        if (!(buf = wfi_heap_alloc(&rt->heap, cap))) return WF_E_MEMORY;
    }
    wfi_meta_block meta = {.prev = t->slot->last_item, .why = wfi_str_z(why), .id = id, .error = is_error};
    uint64_t at = 0, end = 0;
    wf_status s = wfi_runtime_record(rt, WFI_REC_BLOCK, t->slot_index + 1, &meta, wf_str_of(buf, o.len), &at, &end);
    wfi_heap_free(&rt->heap, buf);
    if (s != WF_OK) return s == WF_E_LIMIT ? WF_E_INTERNAL : s;
    wfi_log_rec rec;
    uint32_t meta_len;
    if ((s = wfi_log_peek(&rt->log, at, &rec, &meta_len)) != WF_OK) return s;
    t->slot->last_item = at;
    if (t->slot->intent_at != 0)
        wfi_log_want(&rt->log); /* that a change is done is worth knowing after a power cut too */
    t->slot->intent_at = 0;
    agent_count_tool(t, meta.why, is_error);
    return agent_add_item(rt, t, rec.payload, rec.payload_len, false);
}

static bool agent_hurry_due(const wfi_runtime *rt, const wfi_task *t) {
    return !t->hurried && t->turns > 0 && t->deadline != UINT64_MAX &&
           rt->now - t->started >= (t->deadline - t->started) / 5 * 4;
}

/* Leaves the call as it is in the log, for a resumed run to go on with. */
static wfi_pace agent_leave(wfi_runtime *rt, wfi_task *t) {
    wfi_task_drop(rt, t);
    return WFI_PACE_STOPPED;
}

/* Joins the line of those who wait for their provider's limiter, with nothing of the budget. */
static wfi_pace agent_queue(wfi_runtime *rt, wfi_task *t) {
    wfi_limiter *l = t->limiter;
    wfi_budget_settle(rt, t);
    if (t->state == WFI_TASK_LIMIT) return WFI_PACE_WAIT;
    if (t->place == 0) t->place = ++l->tickets;
    l->waiting++;
    t->queued = rt->now;
    t->state = WFI_TASK_LIMIT;
    return WFI_PACE_WAIT;
}

/* Leaves the line, if it is in it. The agent's time has stood still meanwhile. */
static void agent_unqueue(wfi_runtime *rt, wfi_task *t) {
    uint64_t waited = rt->now - t->queued;
    if (t->state != WFI_TASK_LIMIT) return;
    t->limiter->waiting--;
    t->state = WFI_TASK_RESERVE;
    t->started += waited;
    t->deadline = wfi_add_sat(t->deadline, waited);
}

/* Whether the task's next request may begin now, as far as its provider's limiter is concerned: the
 * scheduler wakes who is first in the line, and nobody goes past it. */
static bool agent_may_begin(const wfi_runtime *rt, const wfi_task *t) {
    const wfi_limiter *l = t->limiter;
    if (wfi_limiter_due(l, rt->now) > rt->now) return false;
    return l->waiting == 0 || t->state == WFI_TASK_LIMIT || t->place > 0;
}

/* The one place where requests begin: after a stop none does, however long this one has waited for its turn. */
static wfi_pace agent_send(wfi_runtime *rt, wfi_task *t, uint64_t body_len) {
    wfi_failure failure;
    if (rt->stop != WF_RUN_OPEN) return agent_leave(rt, t);
    if (!agent_may_begin(rt, t)) return agent_queue(rt, t); /* others went while it waited for budget */
    t->attempts++;
    return agent_progress(rt, t, wfi_exchange_begin(rt, t, body_len, &failure), &failure);
}

/* A new request for the conversation as it stands, or the reason why there is none. */
static wfi_pace agent_request(wfi_runtime *rt, wfi_task *t) {
    if (rt->stop != WF_RUN_OPEN) return agent_leave(rt, t);
    if (t->turns >= t->slot->limits.max_turns)
        return agent_fail(rt, t, WF_KIND_TURNS, "the agent used up its turns; raise max_turns or narrow the task");
    if (!agent_may_begin(rt, t)) return agent_queue(rt, t);
    agent_unqueue(rt, t);
    if (agent_hurry_due(rt, t)) {
        t->hurried = true;
        wf_status s = agent_block(rt, t, "hurry", wf_str_of(NULL, 0),
                                  WF_STR("Time is nearly up. Answer now with what you have."), false);
        if (s != WF_OK) return agent_trouble(rt, t, s);
    }
    t->fitted = 0;
    uint64_t body_len = wfi_request_begin(rt, t);
    if (body_len > 0 && wfi_budget_fit(rt, t, body_len)) body_len = wfi_request_begin(rt, t);
    if (body_len == 0) return agent_fail(rt, t, WF_KIND_PROVIDER, "the model's and effort's names are too long");
    const char *forbidden = wfi_budget_forbids(rt, t, body_len);
    if (forbidden) return agent_fail(rt, t, WF_KIND_BUDGET, forbidden);
    t->state = WFI_TASK_RESERVE;
    wfi_pace pace = wfi_budget_reserve(rt, t, body_len);
    if (pace == WFI_PACE_STOPPED) wfi_task_drop(rt, t);
    return pace == WFI_PACE_MORE ? agent_send(rt, t, body_len) : pace;
}

/* ---- failed requests ---- */

/* Sends it again after the curve's n-th wait, or the one that was asked for. */
static wfi_pace agent_retry(wfi_runtime *rt, wfi_task *t, const wfi_failure *f, uint32_t n) {
    uint64_t wait = wfi_retry_wait(n, f->wait_ms, (uint32_t)wfi_runtime_random(rt, (uint64_t)UINT32_MAX + 1));
    t->wake = rt->now + wait;
    t->state = WFI_TASK_BACKOFF;
    wf_trace event = agent_event(t, WF_TRACE_RETRY);
    event.kind = f->kind;
    event.n = n + 1;
    event.ms = wait;
    event.text = f->why;
    wfi_runtime_trace(rt, &event);
    return WFI_PACE_WAIT;
}

static uint64_t agent_provider_bit(const wfi_runtime *rt, const wfi_task *t) {
    uint32_t i = (uint32_t)(t->provider - rt->config.providers);
    return UINT64_C(1) << (i < 63 ? i : 63);
}

/* One odd refusal does not end a run whose key was good: it fails its agent. A second one, with no reply in between, does. */
static bool agent_is_odd(const wfi_runtime *rt, const wfi_task *t, const wfi_failure *f) {
    return f->kind == WF_KIND_AUTH && (f->refused || f->foreign) && (rt->proved & agent_provider_bit(rt, t));
}

/* Everybody waits for longer than the run will last, or has done so: it pauses, and says when to
 * come back. */
static void agent_pause(wfi_runtime *rt, const wfi_limiter *l, int64_t asked, wf_str why) {
    static const char head[] = "rate limit: resume after ";
    char text[sizeof rt->stop_text];
    size_t n = sizeof head - 1;
    uint64_t wait = asked > 0 ? (uint64_t)asked : l->until > rt->now ? l->until - rt->now : 0;
    wfi_copy(text, head, n);
    n += wfi_date_text(wfi_add_sat(rt->os->wall_ms(rt->os->ctx), wait), text + n);
    wfi_copy(text + n, ": ", 2);
    why = wfi_utf8_clip(why, sizeof text - n - 2);
    wfi_copy(text + n + 2, why.ptr, why.len);
    wfi_runtime_stop(rt, WF_RUN_PAUSED, wf_str_of(text, n + 2 + why.len));
}

/* Whether this refusal is one too many. asked: how long the provider itself says to wait; what is
 * only guessed is tried out. */
static bool agent_is_impatient(const wfi_runtime *rt, const wfi_limiter *l, int64_t asked) {
    uint64_t until = rt->now + (asked > 0 ? (uint64_t)asked : 0);
    if (rt->due != UINT64_MAX) return until > rt->due;
    return until - l->since > AGENT_PATIENCE_MS;
}

/* Refused by chance, most likely, or for a limit of its own: it goes out again by itself, and that is no try. */
static wfi_pace agent_excused(wfi_runtime *rt, wfi_task *t, const wfi_failure *f) {
    wfi_exchange_end(rt, t);
    wfi_budget_settle(rt, t);
    return agent_retry(rt, t, f, t->refused++);
}

/* The provider's limit has refused the request: it is no failure of this one, and all wait. */
static wfi_pace agent_limited(wfi_runtime *rt, wfi_task *t, const wfi_failure *f) {
    wfi_limiter *l = t->limiter;
    int64_t wait = f->wait_ms > 0 ? f->wait_ms : f->hint_ms;
    t->passed += t->served != l->served || t->passed >= AGENT_PASSED;
    t->served = l->served;
    bool alone = wfi_limiter_excuse(l, wait) || (t->passed > AGENT_PASSED && !l->probing);
    if (alone && rt->stop == WF_RUN_OPEN) return agent_excused(rt, t, f);
    uint32_t random = (uint32_t)wfi_runtime_random(rt, (uint64_t)UINT32_MAX + 1);
    bool closed = wfi_limiter_refuse(l, rt->now, t->round, wait, random);
    t->pending = false;
    wfi_exchange_end(rt, t);
    t->place = 0; /* at the end of the line: one that is never let through keeps nobody waiting */
    t->refused++;
    if (rt->stop == WF_RUN_OPEN && agent_is_impatient(rt, l, f->wait_ms)) agent_pause(rt, l, f->wait_ms, f->why);
    if (closed && rt->stop == WF_RUN_OPEN) {
        wf_trace event = {.type = WF_TRACE_LIMIT, .kind = f->kind, .text = f->why};
        event.n = l->waiting + l->pending + 1;
        event.ms = l->until - rt->now;
        wfi_runtime_trace(rt, &event);
    }
    wfi_pace pace = agent_queue(rt, t);
    return rt->stop == WF_RUN_OPEN ? pace : agent_leave(rt, t);
}

/* Tells that requests to this model go without something from here on. */
static void agent_note_refused(wfi_runtime *rt, const wfi_task *t, uint32_t extra) {
    const wf_str said[] = {wfi_utf8_clip(t->call.model, WF_MODEL_MAX), WF_STR(": its server refuses "),
                           wfi_str_z(t->codec->extra(extra)), WF_STR("; requests go without it from here on")};
    wf_trace event = agent_event(t, WF_TRACE_NOTE);
    char text[WF_MODEL_MAX + 128];
    event.text = agent_join(said, WFI_COUNT(said), text);
    wfi_runtime_trace(rt, &event);
}

/* Whether the request was refused for something that it can do without: it is sent without. */
static bool agent_goes_without(wfi_task *t, const wfi_failure *f) {
    uint32_t extra = f->extras & t->extras;
    extra &= 0u - extra; /* one at a time: the lowest bit */
    t->given_up |= extra;
    return extra != 0;
}

/* A request without what was refused is answered: so that was the reason, and all others go without it, too. */
static void agent_learn(wfi_runtime *rt, wfi_task *t) {
    uint32_t left = t->given_up & ~wfi_runtime_without(rt, t->call.model);
    for (uint32_t extra = 1; left != 0; left &= ~extra, extra <<= 1) {
        if (!(left & extra)) continue;
        wfi_runtime_refused(rt, t->call.model, extra);
        agent_note_refused(rt, t, extra);
    }
    t->given_up = 0;
}

/* Whether the reply was cut where the one before was: after as many bytes, or as long. A third one would end
 * there, too. */
static bool agent_cut_alike(const wfi_runtime *rt, wfi_task *t, const wfi_failure *f) {
    uint64_t bytes = t->received, ms = rt->now - t->asked, before = t->cut_bytes, before_ms = t->cut_ms;
    bool cut = f->cut && t->fate == WFI_FATE_BEGUN && bytes > 0;
    t->cut_bytes = cut ? bytes : 0;
    t->cut_ms = ms;
    if (!cut || before == 0) return false;
    return (bytes >= AGENT_CUT_BYTES && bytes == before) || (ms >= AGENT_CUT_MS && ms / 1000 == before_ms / 1000);
}

/* A request failed; whether it goes out again is decided here, for all causes. */
static wfi_pace agent_failed(wfi_runtime *rt, wfi_task *t, const wfi_failure *f) {
    uint32_t retries = t->slot->limits.retries;
    bool tired = retries == WF_NONE || t->attempt >= retries || f->wait_ms > AGENT_WAIT_MAX_MS;
    bool alike = agent_cut_alike(rt, t, f);
    bool odd = agent_is_odd(rt, t, f), again = (f->again && !alike) || (odd && f->foreign);
    bool last = !again || tired || rt->stop != WF_RUN_OPEN;
    if (f->limited && t->passed < AGENT_PASSED_MAX) return agent_limited(rt, t, f);
    wfi_exchange_end(rt, t);
    if (t->fate != WFI_FATE_FREE) wfi_budget_settle(rt, t); /* else the next try has it */
    if (agent_goes_without(t, f)) return agent_request(rt, t);
    if (!last) return agent_retry(rt, t, f, t->attempt++);
    if (again && rt->stop != WF_RUN_OPEN) return agent_leave(rt, t);
    t->alone = odd && !(rt->doubted & agent_provider_bit(rt, t));
    if (odd) rt->doubted |= agent_provider_bit(rt, t);
    wf_str why = alike ? wfi_exchange_add(rt, f->why, WF_STR(AGENT_ALIKE)) : f->why;
    return agent_finish(rt, t, f->limited ? WF_KIND_PROVIDER : f->kind, why, false); /* a limit of its own */
}

/* Acts on what a step of the exchange said. */
static wfi_pace agent_progress(wfi_runtime *rt, wfi_task *t, wfi_progress progress, const wfi_failure *f) {
    switch (progress) {
    case WFI_PROGRESS_MORE:
        return WFI_PACE_MORE;
    case WFI_PROGRESS_WAIT:
        return WFI_PACE_WAIT;
    case WFI_PROGRESS_REPLY:
        return agent_reply(rt, t);
    case WFI_PROGRESS_STALE:
        wfi_exchange_end(rt, t);
        if (t->fate != WFI_FATE_FREE) wfi_budget_settle(rt, t);
        return agent_request(rt, t);
    case WFI_PROGRESS_FAILED:
        return agent_failed(rt, t, f);
    case WFI_PROGRESS_MEMORY:
        return agent_trouble(rt, t, WF_E_MEMORY);
    case WFI_PROGRESS_BROKEN:
        break;
    }
    return WFI_PACE_BROKEN;
}

static wfi_pace agent_step_exchange(wfi_runtime *rt, wfi_task *t) {
    wfi_failure failure;
    return agent_progress(rt, t, wfi_exchange_step(rt, t, &failure), &failure);
}

/* ---- reply ---- */

/* Stores what goes back in the reply's place, if the provider would not take it as it came; else *at is 0. */
static wf_status agent_resend(wfi_runtime *rt, const wfi_task *t, uint64_t *at) {
    bool differs;
    size_t len = t->codec->resend(t->turn.content, NULL, &differs);
    *at = 0;
    if (!differs) return WF_OK;
    char *copy = wfi_heap_alloc(&rt->heap, len);
    if (!copy) return WF_E_MEMORY;
    (void)t->codec->resend(t->turn.content, copy, &differs);
    wf_status s = wfi_runtime_text(rt, wf_str_of(copy, len), at);
    wfi_heap_free(&rt->heap, copy);
    return s;
}

/* The turn at `at` becomes the conversation's last item. */
static wf_status agent_add_turn(wfi_runtime *rt, wfi_task *t, uint64_t at, uint64_t sent) {
    wfi_log_rec rec;
    uint32_t meta_len;
    wf_status s = wfi_log_peek(&rt->log, sent ? sent : at, &rec, &meta_len);
    if (s != WF_OK) return s;
    t->slot->last_item = at;
    t->slot->turns = ++t->turns;
    return agent_add_item(rt, t, rec.payload, rec.payload_len, true);
}

/* A whole reply: its turn goes into the log with its cost; only what belongs to the conversation is linked into it. */
static wfi_pace agent_reply(wfi_runtime *rt, wfi_task *t) {
    bool differs, empty = t->codec->resend(t->turn.content, NULL, &differs) <= AGENT_EMPTY;
    rt->proved |= agent_provider_bit(rt, t);
    rt->doubted &= ~agent_provider_bit(rt, t);
    agent_learn(rt, t);
    wfi_budget_complete(t, empty ? 0 : t->turn.content.len, t->turn.write_1h, &t->turn.usage);
    if (empty && t->turn.stop == WFI_STOP_PAUSE) t->turn.stop = WFI_STOP_OTHER; /* there is nothing to send back */
    bool item = wfi_stop_continues(t->turn.stop);
    wfi_meta_turn meta = {.prev = t->slot->last_item,
                          .aside = item ? 0 : t->slot->aside,
                          .fitted = t->fitted > 0,
                          .stop = (uint32_t)t->turn.stop,
                          .reason = wfi_str_cut(t->turn.reason, 0, 100),
                          .usage = t->turn.usage};
    uint64_t at;
    wf_status s = item ? agent_resend(rt, t, &meta.sent) : WF_OK;
    if (s == WF_OK) s = wfi_runtime_record(rt, WFI_REC_TURN, t->slot_index + 1, &meta, t->turn.content, &at, NULL);
    if (s != WF_OK) return agent_trouble(rt, t, s);
    wfi_log_want(&rt->log); /* it is paid for */
    wfi_exchange_end(rt, t);
    t->state = WFI_TASK_TURN;
    t->fate = WFI_FATE_FREE;
    wfi_budget_settle(rt, t);
    wfi_usage_add(&t->usage, &t->turn.usage);
    wfi_usage_add(&rt->spent, &t->turn.usage);
    t->attempt = t->refused = t->passed = 0;
    t->place = 0;
    t->cut_bytes = 0;
    if (!item) t->slot->aside = at;
    if (item && (s = agent_add_turn(rt, t, at, meta.sent)) != WF_OK) return agent_trouble(rt, t, s);
    wf_trace event = agent_event(t, WF_TRACE_TURN);
    event.n = t->turns;
    wfi_runtime_trace(rt, &event);
    t->use = 0;
    return agent_turn(rt, t);
}

/* ---- turn ---- */

/* The model has ended without an answer: it is reminded once. */
static wfi_pace agent_said_nothing(wfi_runtime *rt, wfi_task *t) {
    if (t->nudges > 0 || t->provider->silent) /* a program would only do the same again */
        return agent_fail(rt, t, WF_KIND_PROVIDER, "the reply is empty: nothing was said");
    t->nudges++;
    wf_status s = agent_block(rt, t, "nudge", wf_str_of(NULL, 0),
                              WF_STR("Your reply was empty. Say your final answer now, as text."), false);
    return s == WF_OK ? agent_request(rt, t) : agent_trouble(rt, t, s);
}

/* The answer of an agent without a schema: its last turn's text blocks, joined. */
static wfi_pace agent_answer_text(wfi_runtime *rt, wfi_task *t) {
    wf_json j;
    wfi_block_view block;
    wf_status s;
    bool blank = true;
    size_t n = 0;
    char *text = wfi_heap_alloc(&rt->heap, t->turn.content.len + 1);
    if (!text) return agent_trouble(rt, t, WF_E_MEMORY);
    wf_json_init(&j, t->turn.content);
    while ((s = t->codec->block(&j, &block)) == WF_OK) {
        if (block.type != WFI_BLOCK_TEXT) continue;
        n += wf_json_unescape(block.text, text + n);
        blank = blank && wfi_json_blank(block.text);
    }
    wfi_exchange_mask(t, text, n); /* where escapes hid a key */
    wfi_pace pace = WFI_PACE_BROKEN;
    if (s != WF_END)
        pace = agent_fail(rt, t, WF_KIND_PROVIDER, "the reply's content has a malformed block");
    else if (!blank)
        pace = agent_finish(rt, t, WF_KIND_NONE, wf_str_of(text, n), false);
    wfi_heap_free(&rt->heap, text);
    return s == WF_END && blank ? agent_said_nothing(rt, t) : pace;
}

/* The model has ended its turn without asking for a tool. */
static wfi_pace agent_ended(wfi_runtime *rt, wfi_task *t) {
    if (t->schema.len == 0) return agent_answer_text(rt, t);
    if (t->nudges >= AGENT_NUDGES)
        return agent_fail(rt, t, WF_KIND_SCHEMA, "the agent never called the result tool, though reminded of it");
    t->nudges++;
    wf_status s =
        agent_block(rt, t, "nudge", wf_str_of(NULL, 0),
                    WF_STR("Call the tool `result` now with your final answer; text alone is not seen."), false);
    return s == WF_OK ? agent_request(rt, t) : agent_trouble(rt, t, s);
}

/* The reply says why there is no answer. */
static wfi_pace agent_stopped(wfi_runtime *rt, wfi_task *t, wf_kind kind, const char *text, wf_str detail) {
    return agent_finish(rt, t, kind, wfi_exchange_message(rt, t, text, detail, true, t->response.request_id), false);
}

/* The reply was cut where the budget ends. */
static wfi_pace agent_cut_to_fit(wfi_runtime *rt, wfi_task *t) {
    static const char run[] = "the reply was cut at max_tokens, lowered to what the budget leaves; " WFI_BUDGET_MEND;
    static const char own[] =
        "the reply was cut at max_tokens, lowered to what the agent's own budget leaves; raise it";
    if (t->fitted_to_run) agent_stops(rt, t, WF_RUN_BUDGET, WF_STR(run));
    return agent_fail(rt, t, WF_KIND_BUDGET, t->fitted_to_run ? run : own);
}

static wfi_pace agent_next_tool(wfi_runtime *rt, wfi_task *t);
static bool agent_find_use(const wfi_task *t, uint32_t use, wfi_block_view *out);

/* The reply was cut although max_tokens had been raised. In a tool call: the model is told, and may do with
 * smaller ones. */
static wfi_pace agent_cut(wfi_runtime *rt, wfi_task *t) {
    wfi_block_view use;
    if (t->cuts >= AGENT_CUTS || !agent_find_use(t, 0, &use))
        return agent_stopped(rt, t, WF_KIND_CONTEXT,
                             "the reply was cut at max_tokens, and again at twice that; raise max_tokens",
                             wf_str_of("", 0));
    t->cuts++;
    char digits[20], text[160];
    const wf_str said[] = {WF_STR("Your last reply was cut at "),
                           wf_str_of(digits, wfi_u64_str(wfi_task_max_tokens(t), digits)),
                           WF_STR(" tokens, in a tool call; nothing of it was done. Write it in pieces, in several "
                                  "shorter calls.")};
    wf_status s = agent_block(rt, t, "cut", wf_str_of(NULL, 0), agent_join(said, WFI_COUNT(said), text), false);
    return s == WF_OK ? agent_request(rt, t) : agent_trouble(rt, t, s);
}

/* Acts on the turn in t->turn, of whose tool calls the first t->use are answered. */
static wfi_pace agent_turn(wfi_runtime *rt, wfi_task *t) {
    switch (t->turn.stop) {
    case WFI_STOP_TOOL:
    case WFI_STOP_END: /* whatever it says, a tool call wants its answer */
        return agent_next_tool(rt, t);
    case WFI_STOP_PAUSE:
        return agent_request(rt, t);
    case WFI_STOP_CUT:
        if (t->fitted > 0) return agent_cut_to_fit(rt, t);
        if (t->raised) return agent_cut(rt, t);
        t->raised = true;
        return agent_request(rt, t);
    case WFI_STOP_REFUSED:
        return agent_stopped(rt, t, WF_KIND_REFUSED, "the model declined to answer", t->turn.details);
    case WFI_STOP_CONTEXT:
        return agent_stopped(rt, t, WF_KIND_CONTEXT, "the conversation has outgrown the model's context window",
                             wf_str_of("", 0));
    case WFI_STOP_OTHER:
        break;
    }
    return agent_stopped(rt, t, WF_KIND_PROVIDER, "the reply ended for a reason that is not known here",
                         t->turn.reason);
}

/* ---- tools ---- */

/* Number `use` of the turn's tool calls; false: there are no more. */
static bool agent_find_use(const wfi_task *t, uint32_t use, wfi_block_view *out) {
    wf_json j;
    wf_json_init(&j, t->turn.content);
    while (t->codec->block(&j, out) == WF_OK)
        if (out->type == WFI_BLOCK_TOOL && use-- == 0) return true;
    return false;
}

/* Answers the current tool call and goes on to the next one. */
static wfi_pace agent_tool_answer(wfi_runtime *rt, wfi_task *t, const char *why, wf_str id, wf_str text,
                                  bool is_error) {
    wf_status s = agent_block(rt, t, why, id, text, is_error);
    if (s != WF_OK) return agent_trouble(rt, t, s);
    if (wfi_toolcalls_runs(t)) wfi_toolcalls_end(rt, t);
    t->use++;
    t->state = wfi_toolcalls_runs(t) ? WFI_TASK_TOOL : WFI_TASK_TURN;
    return WFI_PACE_MORE;
}

#define AGENT_MISFIT 640u /* what is wrong with an answer: more than path and reason together */

/* "does not match the schema at PATH: REASON" */
static wf_str agent_misfit(const wf_schema_error *error, char out[AGENT_MISFIT]) {
    wf_str path = error->path[0] ? wfi_str_z(error->path) : WF_STR("the top");
    const wf_str said[] = {WF_STR("does not match the schema at "), path, WF_STR(": "), wfi_str_z(error->reason)};
    return agent_join(said, WFI_COUNT(said), out);
}

/* The same was wrong with the answer before: other words, and what stands at that place. */
static wf_str agent_misfit_again(wfi_runtime *rt, wf_str misfit, wf_str value, const wf_schema_error *error) {
    wf_str there = value, none = wf_str_of("", 0);
    if (!wfi_schema_place(value, error, &there)) there = value;
    wf_str text = wfi_runtime_message(rt, "the same mistake again", misfit, false, none);
    text = wfi_exchange_add(rt, text, WF_STR("; what you sent there is: "));
    text = wfi_exchange_add(rt, text, wfi_utf8_clip(there, AGENT_SHOWN));
    return there.len > AGENT_SHOWN ? wfi_exchange_add(rt, text, WF_STR("...")) : text;
}

/* A value that does not fit goes back with place and reason, until that has happened too often. */
static wfi_pace agent_missed(wfi_runtime *rt, wfi_task *t, wf_str id, wf_str text, wf_str value,
                             const wf_schema_error *error) {
    uint32_t crc = wfi_crc32c(0, text.ptr, text.len);
    bool again = crc == t->last_miss;
    t->last_miss = crc;
    if (++t->misses >= rt->config.schema_tries) return agent_finish(rt, t, WF_KIND_SCHEMA, text, false);
    if (again) text = agent_misfit_again(rt, text, value, error);
    return agent_tool_answer(rt, t, "schema", id, text, true);
}

/* The result tool: a value that fits ends the agent. */
static wfi_pace agent_result(wfi_runtime *rt, wfi_task *t, const wfi_block_view *use) {
    wf_str value = use->input;
    wf_schema_error error = {0};
    char misfit[AGENT_MISFIT], *unquoted;
    bool bare = t->wrapped && !wf_json_member(use->input, WF_STR("value"), &value);
    if (bare && (value.ptr[0] != '{' || wf_schema_check(t->schema, value, &error) != WF_OK)) { /* else: an older log */
        error.path[0] = 0;
        return agent_missed(rt, t, use->id, WF_STR("the answer goes into the property \"value\""), value, &error);
    }
    wf_status s = wfi_schema_unquote(&rt->heap, t->schema, &value, &unquoted, &error);
    if (unquoted) wfi_exchange_mask(t, unquoted, value.len); /* where escapes in escapes hid a key */
    wfi_pace pace = s == WF_OK         ? agent_finish(rt, t, WF_KIND_NONE, value, true)
                    : s == WF_E_MEMORY ? agent_trouble(rt, t, s)
                                       : agent_missed(rt, t, use->id, agent_misfit(&error, misfit), value, &error);
    wfi_heap_free(&rt->heap, unquoted);
    return pace;
}

static bool agent_is_result(const wfi_task *t, const wfi_block_view *use) {
    return t->schema.len > 0 && wf_json_equals(use->name, WF_STR("result"));
}

static const wf_tool *agent_tool_named(const wfi_runtime *rt, wf_str escaped) {
    for (uint32_t i = 0; rt->os->tool_ops && i < rt->config.tool_count; i++)
        if (wf_json_equals(escaped, rt->config.tools[i].name)) return &rt->config.tools[i];
    return NULL;
}

/* The tool that a call asks for; *tool NULL: this agent may not have it, and *why says so. */
static wf_status agent_tool_of(wfi_runtime *rt, const wfi_task *t, const wfi_block_view *use, const wf_tool **tool,
                               wf_str *why) {
    bool given = false;
    *tool = agent_tool_named(rt, use->name);
    if (!*tool) {
        *why = WF_STR("there is no such tool; use only those that you were given");
        if (rt->os->tool_ops && rt->os->tool_ops->refusal)
            *why = rt->os->tool_ops->refusal(rt->os->tool_ctx, use->name);
        return WF_OK;
    }
    wf_status s = wfi_request_offers(rt, &t->tools, (*tool)->name, &given);
    if (!given) {
        *tool = NULL;
        *why = WF_STR(
            "this tool was not given to you, though others in this run have it; use only those that you were given");
    }
    return s;
}

/* Call number `use` of the turn, if it may run beside those before it: its tool, which only reads. NULL: it may not. */
static const wf_tool *agent_beside(wfi_runtime *rt, const wfi_task *t, uint32_t use, wfi_block_view *out) {
    const wf_tool *tool;
    wf_str why;
    if (use >= AGENT_USES_MAX || !agent_find_use(t, use, out) || out->id.len > AGENT_ID_MAX || agent_is_result(t, out))
        return NULL;
    return agent_tool_of(rt, t, out, &tool, &why) == WF_OK && tool && !tool->effect ? tool : NULL;
}

static wf_status agent_begin_tool(wfi_runtime *rt, wfi_task *t, const wf_tool *tool, const wfi_block_view *use) {
    wf_tool_call call = {.name = tool->name,
                         .input = use->input,
                         .cwd = t->call.cwd,
                         .agent = t->slot_index + 1,
                         .deadline = t->deadline,
                         .output_max = rt->config.tool_output_max};
    wf_status s = wfi_toolcalls_begin(rt, t, &call);
    if (s != WF_OK) return s;
    wf_trace event = agent_event(t, WF_TRACE_TOOL);
    event.text = tool->name;
    wfi_runtime_trace(rt, &event);
    t->silent_tool = t->silent_tool || tool->silent;
    t->state = WFI_TASK_TOOL;
    return WF_OK;
}

/* Begins the current tool call and, if it only reads, those after it that only read as well. */
static wfi_pace agent_begin_tools(wfi_runtime *rt, wfi_task *t, const wf_tool *tool, const wfi_block_view *use) {
    wfi_block_view next;
    bool reads = !tool->effect;
    t->silent_tool = false;
    if (agent_begin_tool(rt, t, tool, use) != WF_OK)
        return agent_tool_answer(rt, t, "tool", use->id, WF_STR("the tool could not be started"), true);
    while (reads && wfi_toolcalls_room(rt, t)) {
        tool = agent_beside(rt, t, t->use + t->begun, &next);
        if (!tool || agent_begin_tool(rt, t, tool, &next) != WF_OK) break; /* its turn will come */
    }
    return WFI_PACE_MORE;
}

/* Nobody knows what became of it. */
static wfi_pace agent_interrupted(wfi_runtime *rt, wfi_task *t, const wfi_block_view *use) {
    const wf_tool_ops *ops = rt->os->tool_ops;
    wf_tool_call call = {.name = use->name, .input = use->input, .cwd = t->call.cwd, .deadline = t->deadline};
    if (ops && ops->interrupted) ops->interrupted(rt->os->tool_ctx, &call);
    return agent_tool_answer(rt, t, "tool", use->id, WF_STR("interrupted, " AGENT_UNKNOWN), true);
}

static wfi_pace agent_next_tool(wfi_runtime *rt, wfi_task *t) {
    wfi_block_view use;
    const wf_tool *tool;
    wf_str why;
    if (t->use == 0 && agent_find_use(t, AGENT_USES_MAX, &use)) /* before any of them is done */
        return agent_fail(rt, t, WF_KIND_PROVIDER, "one reply asked for more tools than this runtime allows (128)");
    /* on a resume t->use also counts blocks of ours that follow the tools' results */
    if (!agent_find_use(t, t->use, &use)) return t->use > 0 ? agent_request(rt, t) : agent_ended(rt, t);
    if (use.id.len > AGENT_ID_MAX)
        return agent_fail(rt, t, WF_KIND_PROVIDER, "a tool call's id is longer than this runtime allows (256)");
    if (agent_is_result(t, &use)) return agent_result(rt, t, &use);
    /* ahead of what this run allows: a tool that it no longer has may have done its work all the same */
    if (t->slot->intent_at != 0) return agent_interrupted(rt, t, &use);
    wf_status s = agent_tool_of(rt, t, &use, &tool, &why);
    if (s != WF_OK) return agent_trouble(rt, t, s);
    if (!tool) return agent_tool_answer(rt, t, "tool", use.id, why, true);
    if (rt->stop != WF_RUN_OPEN) return agent_leave(rt, t);
    if (!tool->effect) return agent_begin_tools(rt, t, tool, &use);
    return agent_intend(rt, t, use.id, tool->name, use.input);
}

/* The first tool that runs; late: it has told nothing for longer than it may. */
static wfi_pace agent_step_tool(wfi_runtime *rt, wfi_task *t, bool late) {
    wf_tool_result result;
    wfi_block_view use;
    wf_status s = wfi_toolcalls_result(rt, t, &result);
    if (s == WF_AGAIN && !late) return WFI_PACE_WAIT;
    if (t->slot->effect) { /* it has no stall limit */
        if (s != WF_OK && t->call.changes) return agent_fail(rt, t, WF_KIND_INTERRUPTED, AGENT_UNKNOWN);
        if (s != WF_OK) return agent_fail(rt, t, WF_KIND_TOOL, "the effect gave no result");
        return agent_finish(rt, t, result.is_error ? WF_KIND_TOOL : WF_KIND_NONE, result.text, !result.is_error);
    }
    if (!agent_find_use(t, t->use, &use)) return WFI_PACE_BROKEN;
    if (s == WF_AGAIN)
        return agent_tool_answer(rt, t, "tool", use.id,
                                 WF_STR("the tool made no progress for longer than the stall limit and was ended"),
                                 true);
    if (!late) t->progress = rt->now; /* else those beside it, which were begun with it, have had their time as well */
    if (s != WF_OK) return agent_tool_answer(rt, t, "tool", use.id, WF_STR("the tool gave no result"), true);
    if (result.is_fatal) return agent_finish(rt, t, WF_KIND_TOOL, result.text, false);
    return agent_tool_answer(rt, t, "tool", use.id, result.text, result.is_error);
}

/* ---- the machine ---- */

/* The model has said nothing for longer than it may. */
static wfi_pace agent_stalled(wfi_runtime *rt, wfi_task *t) {
    wfi_failure failure;
    return agent_progress(rt, t, wfi_exchange_stall(rt, t, &failure), &failure);
}

static bool agent_may_stall(const wfi_task *t) {
    bool exchange = t->state == WFI_TASK_SEND || t->state == WFI_TASK_HEAD || t->state == WFI_TASK_BODY;
    if (t->slot->limits.stall_ms == WF_NONE) return false;
    return (t->state == WFI_TASK_TOOL && !t->silent_tool) || (exchange && !t->provider->silent);
}

uint64_t wfi_task_due(const wfi_task *t) {
    uint64_t due = t->deadline;
    if (t->state == WFI_TASK_LIMIT) return UINT64_MAX; /* its time stands still, and the scheduler wakes it */
    if (t->state == WFI_TASK_BACKOFF && t->wake < due) due = t->wake;
    if (wfi_exchange_enough(t) < due) due = wfi_exchange_enough(t);
    if (agent_may_stall(t) && t->progress + t->slot->limits.stall_ms < due)
        due = t->progress + t->slot->limits.stall_ms;
    return due;
}

wfi_pace wfi_task_step(wfi_runtime *rt, wfi_task *t) {
    if (t->state == WFI_TASK_LIMIT) return agent_request(rt, t);
    if (rt->now >= t->deadline && rt->now < wfi_exchange_enough(t)) /* what is complete by then still counts */
        return agent_fail(rt, t, WF_KIND_DEADLINE,
                          "the agent's deadline passed; raise --agent-deadline or narrow the task");
    bool late = agent_may_stall(t) && rt->now - t->progress >= t->slot->limits.stall_ms;
    if (late && t->state != WFI_TASK_TOOL) return agent_stalled(rt, t);
    switch (t->state) {
    case WFI_TASK_RESERVE:
        if (t->reserved.tokens == 0) return agent_request(rt, t);
        if (!wfi_log_durable(&rt->log, t->durable)) return WFI_PACE_DURABLE;
        return agent_send(rt, t, wfi_request_begin(rt, t));
    case WFI_TASK_SEND:
    case WFI_TASK_HEAD:
    case WFI_TASK_BODY:
        return agent_step_exchange(rt, t);
    case WFI_TASK_BACKOFF:
        return rt->now >= t->wake || rt->stop != WF_RUN_OPEN ? agent_request(rt, t) : WFI_PACE_WAIT;
    case WFI_TASK_INTENT: {
        wfi_block_view use;
        if (!wfi_log_durable(&rt->log, t->durable)) return WFI_PACE_DURABLE;
        if (rt->stop != WF_RUN_OPEN) return agent_leave(rt, t);
        if (t->slot->effect) return agent_start_effect(rt, t);
        if (!agent_find_use(t, t->use, &use)) return WFI_PACE_BROKEN;
        return agent_begin_tools(rt, t, agent_tool_named(rt, use.name), &use);
    }
    case WFI_TASK_TOOL:
        return agent_step_tool(rt, t, late);
    case WFI_TASK_TURN:
        return agent_next_tool(rt, t);
    case WFI_TASK_LIMIT:
    case WFI_TASK_FREE:
        break;
    }
    return WFI_PACE_BROKEN;
}
