/* agent: see agent.h. The functions stand in the order of a task's life: start, request, reply, turn, tools, finish. */
#include "agent.h"
#include "budget.h"
#include "exchange.h"
#include "request.h"
#include "retry.h"
#include "toolcalls.h"

#define AGENT_INTERRUPTED                                                                                              \
    "interrupted, state unknown: this was under way when the run was killed or its time was up; look at what it left " \
    "before doing it again"
#define AGENT_NUDGES      2u     /* reminders to call the result tool */
#define AGENT_USES_MAX    128u   /* tool calls in one reply */
#define AGENT_ID_MAX      256u   /* bytes of a tool call's id */
#define AGENT_WAIT_MAX_MS 600000 /* who is asked to wait longer gives up */

static wfi_pace agent_request(wfi_env *e, wfi_task *t);
static wfi_pace agent_reply(wfi_env *e, wfi_task *t);
static wfi_pace agent_turn(wfi_env *e, wfi_task *t);
static wfi_pace agent_progress(wfi_env *e, wfi_task *t, wfi_progress progress, const wfi_failure *f);

static wf_trace agent_event(const wfi_task *t, wf_trace_type type) {
    wf_trace event = {.type = type,
                      .id = t->row_index + 1,
                      .effect = t->row->effect,
                      .label = t->call.label,
                      .phase = t->call.phase,
                      .usage = t->usage};
    return event;
}

/* ---- the end of a task ---- */

void wfi_task_drop(wfi_env *e, wfi_task *t) {
    wfi_exchange_end(e, t);
    while (wfi_tooling_runs(t))
        wfi_tooling_end(e, t);
    wfi_budget_settle(e, t);
    wfi_heap_free(&e->heap, t->meta);
    wfi_heap_free(&e->heap, (void *)(uintptr_t)t->schema.ptr);
    wfi_heap_free(&e->heap, (void *)(uintptr_t)t->effect_input.ptr);
    wfi_heap_free(&e->heap, t->items);
    wfi_exchange_forget(e, t);
    t->meta = NULL;
    t->items = NULL;
    t->schema = t->effect_input = wf_str_of(NULL, 0);
    t->state = WFI_TASK_FREE;
}

wf_status wfi_row_finish(wfi_env *e, wfi_row *row, uint32_t row_index, const wfi_meta_done *done, wf_str value) {
    wf_status s = wfi_env_record(e, WFI_REC_DONE, row_index + 1, done, value, &row->done_at, &row->done_end);
    if (s != WF_OK) return s;
    row->finished = true;
    row->delivered = false;
    row->kind = (uint8_t)done->kind;
    row->state = WFI_CALL_SEALING;
    wfi_log_want(&e->log);
    return WF_OK;
}

static wfi_pace agent_finish(wfi_env *e, wfi_task *t, wf_kind kind, wf_str value, bool json) {
    wfi_meta_done done = {.kind = kind,
                          .json = json,
                          .attempts = t->attempts,
                          .turns = t->turns,
                          .ms = e->now - t->started,
                          .usage = t->usage};
    wf_trace event = agent_event(t, WF_TRACE_DONE);
    event.kind = kind;
    event.ms = done.ms;
    event.n = t->turns;
    if (kind != WF_KIND_NONE) event.text = value;
    if (kind == WF_KIND_QUOTA) wfi_env_stop(e, WF_RUN_PAUSED, value);
    if (kind == WF_KIND_AUTH) wfi_env_stop(e, WF_RUN_REFUSED, value);
    if (wfi_row_finish(e, t->row, t->row_index, &done, value) != WF_OK) return WFI_PACE_BROKEN;
    wfi_env_trace(e, &event);
    wfi_task_drop(e, t);
    return WFI_PACE_DONE;
}

static wfi_pace agent_fail(wfi_env *e, wfi_task *t, wf_kind kind, const char *message) {
    return agent_finish(e, t, kind, wfi_str_z(message), false);
}

/* Heap exhausted, or the log broken: the two things that a wf_status of the parts below can mean here. */
static wfi_pace agent_trouble(wfi_env *e, wfi_task *t, wf_status s) {
    if (s == WF_E_MEMORY)
        return agent_fail(e, t, WF_KIND_MEMORY, "the message heap is exhausted; give more --memory or fewer --lanes");
    return WFI_PACE_BROKEN;
}

/* ---- start ---- */

const wf_provider *wfi_provider_find(const wf_config *config, wf_str model, wf_str *rest) {
    size_t n = wfi_str_find(model, ':');
    wf_str name = n < model.len ? wfi_str_cut(model, 0, n) : WF_STR(WF_BARE_PROVIDER);
    *rest = n < model.len ? wfi_str_cut(model, n + 1, model.len) : model;
    for (uint32_t i = 0; i < config->provider_count; i++)
        if (wfi_str_eq(config->providers[i].name, name)) return &config->providers[i];
    return NULL;
}

static wf_status agent_add_item(wfi_env *e, wfi_task *t, uint64_t payload, uint32_t len, bool turn) {
    if (t->item_count == t->item_cap) {
        uint32_t cap = t->item_cap ? t->item_cap * 2 : 8;
        wfi_item *items = wfi_heap_realloc(&e->heap, t->items, cap * sizeof *items);
        if (!items) return WF_E_MEMORY;
        t->items = items;
        t->item_cap = cap;
    }
    t->items[t->item_count++] = (wfi_item){payload, len, turn};
    return WF_OK;
}

/* The text record at `at` into the heap. */
static wf_status agent_load_text(wfi_env *e, uint64_t at, wf_str *out) {
    wfi_log_rec rec;
    uint32_t meta_len;
    char *text;
    wf_status s = wfi_log_peek(&e->log, at, &rec, &meta_len);
    if (s == WF_OK) s = wfi_env_payload(e, &rec, 1, &text);
    if (s == WF_OK) *out = wf_str_of(text, rec.payload_len);
    return s;
}

/* Reads the conversation's chain, last item first, and turns it round. */
static wf_status agent_load_items(wfi_env *e, wfi_task *t) {
    char buf[WFI_LOG_META_MAX];
    wfi_log_rec rec;
    wfi_meta meta;
    wf_status s = WF_OK;
    for (uint64_t at = t->row->last_item, after = UINT64_MAX; at != 0 && s == WF_OK;) {
        if ((s = wfi_env_meta(e, at, &rec, buf, &meta)) != WF_OK) return s;
        if (at >= after || rec.call != t->row_index + 1 || (rec.type != WFI_REC_TURN && rec.type != WFI_REC_BLOCK))
            return WF_E_CORRUPT; /* only in a log that was not written by us */
        after = at;
        s = agent_add_item(e, t, rec.payload, rec.payload_len, rec.type == WFI_REC_TURN);
        if (rec.type == WFI_REC_TURN) {
            t->turns++;
            wfi_usage_add(&t->usage, &meta.turn.usage);
            at = meta.turn.prev;
        } else {
            t->misses += wfi_str_eq(meta.block.why, WF_STR("schema"));
            t->nudges += wfi_str_eq(meta.block.why, WF_STR("nudge"));
            t->hurried |= wfi_str_eq(meta.block.why, WF_STR("hurry"));
            at = meta.block.prev;
        }
    }
    uint32_t meta_len;
    if (s == WF_OK) s = wfi_log_peek(&e->log, t->call.prompt, &rec, &meta_len);
    if (s == WF_OK) s = agent_add_item(e, t, rec.payload, rec.payload_len, false);
    for (uint32_t i = 0, j = t->item_count; i + 1 < j; i++) {
        wfi_item swap = t->items[i];
        t->items[i] = t->items[--j];
        t->items[j] = swap;
    }
    return s;
}

static wf_status agent_load(wfi_env *e, wfi_task *t) {
    wfi_log_rec rec;
    uint32_t meta_len;
    wf_status s = WF_OK;
    if (!(t->meta = wfi_heap_alloc(&e->heap, WFI_LOG_META_MAX))) return WF_E_MEMORY;
    if ((s = wfi_env_meta(e, t->row->call_at, &rec, t->meta, &t->call)) != WF_OK) return s;
    if (t->row->effect) {
        char *input;
        s = wfi_env_payload(e, &rec, 1, &input);
        if (s == WF_OK) t->effect_input = wf_str_of(input, rec.payload_len);
        return s;
    }
    if (t->call.schema != 0 && (s = agent_load_text(e, t->call.schema, &t->schema)) != WF_OK) return s;
    t->wrapped = t->schema.len > 0 && !wfi_schema_is_object(t->schema);
    if (t->call.system != 0 && (s = wfi_log_peek(&e->log, t->call.system, &t->system, &meta_len)) != WF_OK) return s;
    if (t->call.tools != 0 && (s = wfi_log_peek(&e->log, t->call.tools, &t->tools, &meta_len)) != WF_OK) return s;
    return agent_load_items(e, t);
}

/* The turn that the log ends with, as if it had just come. */
static wf_status agent_load_turn(wfi_env *e, wfi_task *t) {
    char buf[WFI_LOG_META_MAX];
    wfi_log_rec rec;
    wfi_meta_turn meta;
    uint64_t at = t->row->last_item;
    for (;;) { /* the last turn: back over the blocks after it */
        wfi_meta any;
        wf_status s = wfi_env_meta(e, at, &rec, buf, &any);
        if (s != WF_OK) return s;
        if (rec.type == WFI_REC_TURN) {
            meta = any.turn;
            break;
        }
        at = any.block.prev;
    }
    wf_status s = wfi_env_payload(e, &rec, 1, &t->reply.ptr);
    if (s != WF_OK) return s;
    t->reply.len = t->reply.cap = rec.payload_len;
    t->turn.content = wf_str_of(t->reply.ptr, t->reply.len);
    t->turn.stop = (wfi_stop)meta.stop;
    return WF_OK;
}

static wfi_pace agent_start_effect(wfi_env *e, wfi_task *t) {
    wf_tool_call call = {.name = t->call.effect,
                         .input = t->effect_input,
                         .script = true,
                         .deadline = t->deadline,
                         .output_max = e->config.reply_max};
    if (wfi_tooling_begin(e, t, &call) != WF_OK)
        return agent_fail(e, t, WF_KIND_TOOL, "the effect could not be started");
    t->state = WFI_TASK_TOOL;
    return WFI_PACE_MORE;
}

/* What changes the world leaves a durable intent first, and is not begun again where there is one. */
static wfi_pace agent_intend(wfi_env *e, wfi_task *t, wf_str id, wf_str name, wf_str input) {
    wfi_meta_intent meta = {.id = id, .name = name};
    wf_status s = wfi_env_record(e, WFI_REC_INTENT, t->row_index + 1, &meta, input, &t->row->intent_at, &t->durable);
    if (s != WF_OK) return WFI_PACE_BROKEN;
    wfi_log_want(&e->log);
    t->state = WFI_TASK_INTENT;
    return WFI_PACE_DURABLE;
}

static wfi_pace agent_begin_effect(wfi_env *e, wfi_task *t) {
    if (!t->call.changes) return agent_start_effect(e, t);
    if (t->row->intent_at != 0) return agent_fail(e, t, WF_KIND_TOOL, AGENT_INTERRUPTED);
    return agent_intend(e, t, wf_str_of("", 0), t->call.effect, wf_str_of("", 0));
}

static uint32_t agent_blocks_after_turn(const wfi_task *t) {
    uint32_t n = 0;
    while (n < t->item_count && !t->items[t->item_count - 1 - n].turn)
        n++;
    return n;
}

wfi_pace wfi_task_start(wfi_env *e, wfi_task *t, wfi_row *row, uint32_t row_index) {
    uint32_t lane = t->lane;
    wfi_zero(t, sizeof *t);
    t->lane = lane;
    t->row = row;
    t->row_index = row_index;
    t->started = t->progress = e->now;
    t->deadline = UINT64_MAX;
    t->state = WFI_TASK_TURN;
    row->started = true;
    row->state = WFI_CALL_RUNNING;
    wf_status s = agent_load(e, t);
    if (s != WF_OK) return agent_trouble(e, t, s);
    wf_trace event = agent_event(t, t->turns > 0 ? WF_TRACE_RESUME : WF_TRACE_START);
    event.n = t->turns;
    event.text = row->effect ? t->call.effect : t->call.model;
    wfi_env_trace(e, &event);
    if (row->limits.agent_ms != WF_NONE) t->deadline = e->now + row->limits.agent_ms;
    if (row->effect) return agent_begin_effect(e, t);

    t->codec = wfi_messages_codec();
    t->provider = wfi_provider_find(&e->config, t->call.model, &t->model);
    if (t->provider && t->provider->priced) t->tariff = *wfi_env_tariff(e, t->model);
    if (!t->provider)
        return agent_finish(e, t, WF_KIND_PROVIDER,
                            wfi_env_message(e, "no provider serves this model", t->call.model, false, wf_str_of("", 0)),
                            false);
    if (t->turns == 0) return agent_request(e, t);
    if ((s = agent_load_turn(e, t)) != WF_OK) return agent_trouble(e, t, s);
    t->use = agent_blocks_after_turn(t);
    return agent_turn(e, t);
}

/* ---- request ---- */

/* Appends a content block of ours to the conversation; without an id it is text. */
static wf_status agent_block(wfi_env *e, wfi_task *t, const char *why, wf_str id, wf_str text, bool is_error) {
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
        if (!(buf = wfi_heap_alloc(&e->heap, cap))) return WF_E_MEMORY;
    }
    wfi_meta_block meta = {.prev = t->row->last_item, .why = wfi_str_z(why), .id = id};
    uint64_t at = 0, end = 0;
    wf_status s = wfi_env_record(e, WFI_REC_BLOCK, t->row_index + 1, &meta, wf_str_of(buf, o.len), &at, &end);
    wfi_heap_free(&e->heap, buf);
    if (s != WF_OK) return s == WF_E_LIMIT ? WF_E_INTERNAL : s;
    wfi_log_rec rec;
    uint32_t meta_len;
    if ((s = wfi_log_peek(&e->log, at, &rec, &meta_len)) != WF_OK) return s;
    t->row->last_item = at;
    if (t->row->intent_at != 0)
        wfi_log_want(&e->log); /* that a change is done is worth knowing after a power cut too */
    t->row->intent_at = 0;
    return agent_add_item(e, t, rec.payload, rec.payload_len, false);
}

static bool agent_hurry_due(const wfi_env *e, const wfi_task *t) {
    return !t->hurried && t->turns > 0 && t->deadline != UINT64_MAX &&
           e->now - t->started >= (t->deadline - t->started) / 5 * 4;
}

static wfi_pace agent_send(wfi_env *e, wfi_task *t, uint64_t body_len) {
    wfi_failure failure;
    t->attempts++;
    return agent_progress(e, t, wfi_exchange_begin(e, t, body_len, &failure), &failure);
}

/* A new request for the conversation as it stands, or the reason why there is none. */
static wfi_pace agent_request(wfi_env *e, wfi_task *t) {
    if (e->stop != WF_RUN_OPEN) {
        wfi_task_drop(e, t);
        return WFI_PACE_STOPPED;
    }
    if (t->turns >= t->row->limits.max_turns)
        return agent_fail(e, t, WF_KIND_TURNS, "the agent used up its turns; raise max_turns or narrow the task");
    if (agent_hurry_due(e, t)) {
        t->hurried = true;
        wf_status s = agent_block(e, t, "hurry", wf_str_of(NULL, 0),
                                  WF_STR("Time is nearly up. Answer now with what you have."), false);
        if (s != WF_OK) return agent_trouble(e, t, s);
    }
    uint64_t body_len = wfi_request_begin(t);
    if (body_len == 0) return agent_fail(e, t, WF_KIND_PROVIDER, "the model's and effort's names are too long");
    const char *forbidden = wfi_budget_forbids(e, t, body_len);
    if (forbidden) return agent_fail(e, t, WF_KIND_BUDGET, forbidden);
    t->state = WFI_TASK_RESERVE;
    wfi_pace pace = wfi_budget_reserve(e, t, body_len);
    if (pace == WFI_PACE_STOPPED) wfi_task_drop(e, t);
    return pace == WFI_PACE_MORE ? agent_send(e, t, body_len) : pace;
}

/* ---- failed requests ---- */

/* Waits, then sends the request again. */
static wfi_pace agent_retry(wfi_env *e, wfi_task *t, const wfi_failure *f) {
    uint64_t wait = wfi_retry_wait(t->attempt, f->wait_ms, (uint32_t)wfi_env_random(e, (uint64_t)UINT32_MAX + 1));
    t->attempt++;
    t->wake = e->now + wait;
    t->state = WFI_TASK_BACKOFF;
    wf_trace event = agent_event(t, WF_TRACE_RETRY);
    event.kind = f->kind;
    event.n = t->attempt;
    event.ms = wait;
    event.text = f->why;
    wfi_env_trace(e, &event);
    return WFI_PACE_WAIT;
}

/* A request failed; whether it goes out again is decided here, for all causes. */
static wfi_pace agent_failed(wfi_env *e, wfi_task *t, const wfi_failure *f) {
    uint32_t retries = t->row->limits.retries;
    bool tired = retries == WF_NONE || t->attempt >= retries || f->wait_ms > AGENT_WAIT_MAX_MS;
    bool last = !f->again || tired || e->stop != WF_RUN_OPEN;
    if (f->answered) t->state = WFI_TASK_BACKOFF; /* so its reservation is not lost */
    wfi_exchange_end(e, t);
    if (!f->answered) wfi_budget_settle(e, t);
    if (!last) return agent_retry(e, t, f);
    if (f->again && e->stop != WF_RUN_OPEN) {
        wfi_task_drop(e, t);
        return WFI_PACE_STOPPED;
    }
    return agent_finish(e, t, f->kind, f->why, false);
}

/* Acts on what a step of the exchange said. */
static wfi_pace agent_progress(wfi_env *e, wfi_task *t, wfi_progress progress, const wfi_failure *f) {
    switch (progress) {
    case WFI_PROGRESS_MORE:
        return WFI_PACE_MORE;
    case WFI_PROGRESS_WAIT:
        return WFI_PACE_WAIT;
    case WFI_PROGRESS_REPLY:
        return agent_reply(e, t);
    case WFI_PROGRESS_STALE:
        wfi_exchange_end(e, t);
        return agent_send(e, t, wfi_request_begin(t));
    case WFI_PROGRESS_FAILED:
        return agent_failed(e, t, f);
    case WFI_PROGRESS_MEMORY:
        return agent_trouble(e, t, WF_E_MEMORY);
    case WFI_PROGRESS_BROKEN:
        break;
    }
    return WFI_PACE_BROKEN;
}

static wfi_pace agent_step_exchange(wfi_env *e, wfi_task *t) {
    wfi_failure failure;
    return agent_progress(e, t, wfi_exchange_step(e, t, &failure), &failure);
}

/* ---- reply ---- */

static bool agent_is_empty(const wfi_task *t) {
    wf_json j;
    wfi_block_view block;
    wf_json_init(&j, t->turn.content);
    return t->codec->block(&j, &block) == WF_END;
}

/* What the reply cost: as it says itself, or by the price list. */
static void agent_price(const wfi_task *t, const wfi_reply *reply, wf_usage *usage) {
    if (!t->provider->priced) return;
    if (t->tariff.count > 0)
        usage->nano_usd = wfi_price_of(&t->tariff, usage, reply->write_1h);
    else
        usage->unpriced = wfi_cost_of(usage).tokens;
}

/* A whole reply: its turn goes into the log with its cost; only what belongs to the conversation is linked into it:
 * the wire takes no message without content. */
static wfi_pace agent_reply(wfi_env *e, wfi_task *t) {
    agent_price(t, &t->turn, &t->turn.usage);
    bool empty = agent_is_empty(t);
    if (empty && t->turn.stop == WFI_STOP_PAUSE) t->turn.stop = WFI_STOP_OTHER; /* there is nothing to send back */
    bool item = !empty && wfi_stop_continues(t->turn.stop);
    wfi_meta_turn meta = {.prev = t->row->last_item,
                          .stop = (uint32_t)t->turn.stop,
                          .reason = wfi_str_cut(t->turn.reason, 0, 100),
                          .usage = t->turn.usage};
    uint64_t at;
    wf_str content = empty ? wf_str_of("", 0) : t->turn.content;
    wf_status s = wfi_env_record(e, WFI_REC_TURN, t->row_index + 1, &meta, content, &at, NULL);
    if (s != WF_OK) return WFI_PACE_BROKEN;
    wfi_log_want(&e->log); /* it is paid for */
    wfi_exchange_end(e, t);
    t->state = WFI_TASK_TURN;
    wfi_budget_settle(e, t);
    wfi_usage_add(&t->usage, &t->turn.usage);
    wfi_usage_add(&e->spent, &t->turn.usage);
    t->attempt = 0;
    if (item) {
        wfi_log_rec rec;
        uint32_t meta_len;
        if (wfi_log_peek(&e->log, at, &rec, &meta_len) != WF_OK) return WFI_PACE_BROKEN;
        t->row->last_item = at;
        t->row->turns = ++t->turns;
        if ((s = agent_add_item(e, t, rec.payload, rec.payload_len, true)) != WF_OK) return agent_trouble(e, t, s);
    }
    wf_trace event = agent_event(t, WF_TRACE_TURN);
    event.n = t->turns;
    wfi_env_trace(e, &event);
    t->use = 0;
    return agent_turn(e, t);
}

/* ---- turn ---- */

/* The answer of an agent without a schema: its last turn's text blocks, joined. */
static wfi_pace agent_answer_text(wfi_env *e, wfi_task *t) {
    wf_json j;
    wfi_block_view block;
    wf_status s;
    size_t n = 0;
    char *text = wfi_heap_alloc(&e->heap, t->turn.content.len + 1);
    if (!text) return agent_trouble(e, t, WF_E_MEMORY);
    wf_json_init(&j, t->turn.content);
    while ((s = t->codec->block(&j, &block)) == WF_OK)
        if (block.type == WFI_BLOCK_TEXT) n += wf_json_unescape(block.text, text + n);
    wfi_pace pace = s == WF_END ? agent_finish(e, t, WF_KIND_NONE, wf_str_of(text, n), false)
                                : agent_fail(e, t, WF_KIND_PROVIDER, "the reply's content has a malformed block");
    wfi_heap_free(&e->heap, text);
    return pace;
}

/* The model has ended its turn without asking for a tool. */
static wfi_pace agent_ended(wfi_env *e, wfi_task *t) {
    if (t->schema.len == 0) return agent_answer_text(e, t);
    if (t->nudges >= AGENT_NUDGES)
        return agent_fail(e, t, WF_KIND_SCHEMA, "the agent never called the result tool, though reminded of it");
    t->nudges++;
    wf_status s =
        agent_block(e, t, "nudge", wf_str_of(NULL, 0),
                    WF_STR("Call the tool `result` now with your final answer; text alone is not seen."), false);
    return s == WF_OK ? agent_request(e, t) : agent_trouble(e, t, s);
}

/* The reply says why there is no answer. */
static wfi_pace agent_stopped(wfi_env *e, wfi_task *t, wf_kind kind, const char *text, wf_str detail) {
    return agent_finish(e, t, kind, wfi_exchange_message(e, t, text, detail, true, t->response.request_id), false);
}

static wfi_pace agent_next_tool(wfi_env *e, wfi_task *t);

/* Acts on the turn in t->turn, of whose tool calls the first t->use are answered. */
static wfi_pace agent_turn(wfi_env *e, wfi_task *t) {
    switch (t->turn.stop) {
    case WFI_STOP_TOOL:
    case WFI_STOP_END: /* whatever it says, a tool call wants its answer */
        return agent_next_tool(e, t);
    case WFI_STOP_PAUSE:
        return agent_request(e, t);
    case WFI_STOP_CUT:
        if (t->raised)
            return agent_stopped(e, t, WF_KIND_CONTEXT,
                                 "the reply was cut at max_tokens, and again at twice that; raise max_tokens",
                                 wf_str_of("", 0));
        t->raised = true;
        return agent_request(e, t);
    case WFI_STOP_REFUSED:
        return agent_stopped(e, t, WF_KIND_REFUSED, "the model declined to answer", t->turn.details);
    case WFI_STOP_CONTEXT:
        return agent_stopped(e, t, WF_KIND_CONTEXT, "the conversation has outgrown the model's context window",
                             wf_str_of("", 0));
    case WFI_STOP_OTHER:
        break;
    }
    return agent_stopped(e, t, WF_KIND_PROVIDER, "the reply ended for a reason that is not known here", t->turn.reason);
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
static wfi_pace agent_tool_answer(wfi_env *e, wfi_task *t, const char *why, wf_str id, wf_str text, bool is_error) {
    wf_status s = agent_block(e, t, why, id, text, is_error);
    if (s != WF_OK) return agent_trouble(e, t, s);
    if (wfi_tooling_runs(t)) wfi_tooling_end(e, t);
    t->use++;
    t->state = wfi_tooling_runs(t) ? WFI_TASK_TOOL : WFI_TASK_TURN;
    return WFI_PACE_MORE;
}

/* The result tool: a value that fits ends the agent; a misfit goes back with place and reason. */
static wfi_pace agent_result(wfi_env *e, wfi_task *t, const wfi_block_view *use) {
    wf_str value = use->input, text;
    wf_schema_error error = {0};
    wf_status s;
    if (t->wrapped && !wf_json_member(use->input, WF_STR("value"), &value)) {
        s = WF_E_SCHEMA;
        text = WF_STR("the answer goes into the property \"value\"");
    } else {
        s = wf_schema_check(t->schema, value, &error);
        if (s == WF_OK) return agent_finish(e, t, WF_KIND_NONE, value, true);
        wf_str path = wfi_str_z(error.path), reason = wfi_str_z(error.reason);
        char *to = (char *)e->scratch;
        static const char at[] = "does not match the schema at ", root[] = "the top";
        if (path.len == 0) path = WF_STR(root);
        wfi_copy(to, at, sizeof at - 1);
        wfi_copy(to + sizeof at - 1, path.ptr, path.len);
        wfi_copy(to + sizeof at - 1 + path.len, ": ", 2);
        wfi_copy(to + sizeof at + 1 + path.len, reason.ptr, reason.len);
        text = wf_str_of(to, sizeof at + 1 + path.len + reason.len);
    }
    if (++t->misses >= e->config.schema_tries) return agent_finish(e, t, WF_KIND_SCHEMA, text, false);
    return agent_tool_answer(e, t, "schema", use->id, text, true);
}

static bool agent_is_result(const wfi_task *t, const wfi_block_view *use) {
    return t->schema.len > 0 && wf_json_equals(use->name, WF_STR("result"));
}

static const wf_tool *agent_tool_named(const wfi_env *e, wf_str escaped) {
    for (uint32_t i = 0; e->os->tool_ops && i < e->config.tool_count; i++)
        if (wf_json_equals(escaped, e->config.tools[i].name)) return &e->config.tools[i];
    return NULL;
}

/* The tool that a call asks for; *tool NULL: this agent may not have it, and *why says so. */
static wf_status agent_tool_of(wfi_env *e, const wfi_task *t, const wfi_block_view *use, const wf_tool **tool,
                               wf_str *why) {
    bool given = false;
    *tool = agent_tool_named(e, use->name);
    if (!*tool) {
        *why = WF_STR("there is no such tool; use only those that you were given");
        if (e->os->tool_ops && e->os->tool_ops->refusal) *why = e->os->tool_ops->refusal(e->os->tool_ctx, use->name);
        return WF_OK;
    }
    wf_status s = wfi_request_offers(e, &t->tools, (*tool)->name, &given);
    if (!given) {
        *tool = NULL;
        *why = WF_STR(
            "this tool was not given to you, though others in this run have it; use only those that you were given");
    }
    return s;
}

/* Call number `use` of the turn, if it may run beside those before it: its tool, which only reads. NULL: it may not. */
static const wf_tool *agent_beside(wfi_env *e, const wfi_task *t, uint32_t use, wfi_block_view *out) {
    const wf_tool *tool;
    wf_str why;
    if (use >= AGENT_USES_MAX || !agent_find_use(t, use, out) || out->id.len > AGENT_ID_MAX || agent_is_result(t, out))
        return NULL;
    return agent_tool_of(e, t, out, &tool, &why) == WF_OK && tool && !tool->effect ? tool : NULL;
}

static wf_status agent_begin_tool(wfi_env *e, wfi_task *t, const wf_tool *tool, const wfi_block_view *use) {
    wf_tool_call call = {.name = tool->name,
                         .input = use->input,
                         .cwd = t->call.cwd,
                         .deadline = t->deadline,
                         .output_max = e->config.tool_output_max};
    wf_status s = wfi_tooling_begin(e, t, &call);
    if (s != WF_OK) return s;
    wf_trace event = agent_event(t, WF_TRACE_TOOL);
    event.text = tool->name;
    wfi_env_trace(e, &event);
    t->silent_tool = t->silent_tool || tool->silent;
    t->state = WFI_TASK_TOOL;
    return WF_OK;
}

/* Begins the current tool call and, if it only reads, those after it that only read as well. */
static wfi_pace agent_begin_tools(wfi_env *e, wfi_task *t, const wf_tool *tool, const wfi_block_view *use) {
    wfi_block_view next;
    bool reads = !tool->effect;
    t->silent_tool = false;
    if (agent_begin_tool(e, t, tool, use) != WF_OK)
        return agent_tool_answer(e, t, "tool", use->id, WF_STR("the tool could not be started"), true);
    while (reads && wfi_tooling_room(e, t)) {
        tool = agent_beside(e, t, t->use + t->begun, &next);
        if (!tool || agent_begin_tool(e, t, tool, &next) != WF_OK) break; /* its turn will come */
    }
    return WFI_PACE_MORE;
}

/* Nobody knows what became of it. */
static wfi_pace agent_interrupted(wfi_env *e, wfi_task *t, const wfi_block_view *use) {
    const wf_tool_ops *ops = e->os->tool_ops;
    wf_tool_call call = {.name = use->name, .input = use->input, .cwd = t->call.cwd, .deadline = t->deadline};
    if (ops && ops->interrupted) ops->interrupted(e->os->tool_ctx, &call);
    return agent_tool_answer(e, t, "tool", use->id, WF_STR(AGENT_INTERRUPTED), true);
}

static wfi_pace agent_next_tool(wfi_env *e, wfi_task *t) {
    wfi_block_view use;
    const wf_tool *tool;
    wf_str why;
    if (t->use == 0 && agent_find_use(t, AGENT_USES_MAX, &use)) /* before any of them is done */
        return agent_fail(e, t, WF_KIND_PROVIDER, "one reply asked for more tools than this runtime allows (128)");
    /* on a resume t->use also counts blocks of ours that follow the tools' results */
    if (!agent_find_use(t, t->use, &use)) return t->use > 0 ? agent_request(e, t) : agent_ended(e, t);
    if (use.id.len > AGENT_ID_MAX)
        return agent_fail(e, t, WF_KIND_PROVIDER, "a tool call's id is longer than this runtime allows (256)");
    if (agent_is_result(t, &use)) return agent_result(e, t, &use);
    /* ahead of what this run allows: a tool that it no longer has may have done its work all the same */
    if (t->row->intent_at != 0) return agent_interrupted(e, t, &use);
    wf_status s = agent_tool_of(e, t, &use, &tool, &why);
    if (s != WF_OK) return agent_trouble(e, t, s);
    if (!tool) return agent_tool_answer(e, t, "tool", use.id, why, true);
    if (!tool->effect) return agent_begin_tools(e, t, tool, &use);
    return agent_intend(e, t, use.id, tool->name, use.input);
}

/* The first tool that runs; late: it has told nothing for longer than it may. */
static wfi_pace agent_step_tool(wfi_env *e, wfi_task *t, bool late) {
    wf_tool_result result;
    wfi_block_view use;
    wf_status s = wfi_tooling_result(e, t, &result);
    if (s == WF_AGAIN && !late) return WFI_PACE_WAIT;
    if (t->row->effect) { /* it has no stall limit */
        if (s != WF_OK) return agent_fail(e, t, WF_KIND_TOOL, "the effect gave no result");
        return agent_finish(e, t, result.is_error ? WF_KIND_TOOL : WF_KIND_NONE, result.text, !result.is_error);
    }
    if (!agent_find_use(t, t->use, &use)) return WFI_PACE_BROKEN;
    if (s == WF_AGAIN)
        return agent_tool_answer(e, t, "tool", use.id,
                                 WF_STR("the tool made no progress for longer than the stall limit and was ended"),
                                 true);
    if (!late) t->progress = e->now; /* else those beside it, which were begun with it, have had their time as well */
    if (s != WF_OK) return agent_tool_answer(e, t, "tool", use.id, WF_STR("the tool gave no result"), true);
    if (result.is_fatal) return agent_finish(e, t, WF_KIND_TOOL, result.text, false);
    return agent_tool_answer(e, t, "tool", use.id, result.text, result.is_error);
}

/* ---- the machine ---- */

/* The model has said nothing for longer than it may. */
static wfi_pace agent_stalled(wfi_env *e, wfi_task *t) {
    wfi_failure failure;
    return agent_progress(e, t, wfi_exchange_stall(e, t, &failure), &failure);
}

static bool agent_may_stall(const wfi_task *t) {
    bool exchange = t->state == WFI_TASK_SEND || t->state == WFI_TASK_HEAD || t->state == WFI_TASK_BODY;
    if (t->row->limits.stall_ms == WF_NONE) return false;
    return (t->state == WFI_TASK_TOOL && !t->silent_tool) || (exchange && !t->provider->silent);
}

uint64_t wfi_task_due(const wfi_task *t) {
    uint64_t due = t->deadline;
    if (t->state == WFI_TASK_BACKOFF && t->wake < due) due = t->wake;
    if (wfi_exchange_enough(t) < due) due = wfi_exchange_enough(t);
    if (agent_may_stall(t) && t->progress + t->row->limits.stall_ms < due) due = t->progress + t->row->limits.stall_ms;
    return due;
}

wfi_pace wfi_task_step(wfi_env *e, wfi_task *t) {
    if (e->now >= t->deadline && e->now < wfi_exchange_enough(t)) /* what is complete by then still counts */
        return agent_fail(e, t, WF_KIND_DEADLINE,
                          "the agent's deadline passed; raise --agent-deadline or narrow the task");
    bool late = agent_may_stall(t) && e->now - t->progress >= t->row->limits.stall_ms;
    if (late && t->state != WFI_TASK_TOOL) return agent_stalled(e, t);
    switch (t->state) {
    case WFI_TASK_RESERVE:
        if (t->reserved.tokens == 0) return agent_request(e, t);
        if (!wfi_log_durable(&e->log, t->durable)) return WFI_PACE_DURABLE;
        return agent_send(e, t, wfi_request_begin(t));
    case WFI_TASK_SEND:
    case WFI_TASK_HEAD:
    case WFI_TASK_BODY:
        return agent_step_exchange(e, t);
    case WFI_TASK_BACKOFF:
        return e->now >= t->wake || e->stop != WF_RUN_OPEN ? agent_request(e, t) : WFI_PACE_WAIT;
    case WFI_TASK_INTENT: {
        wfi_block_view use;
        if (!wfi_log_durable(&e->log, t->durable)) return WFI_PACE_DURABLE;
        if (t->row->effect) return agent_start_effect(e, t);
        if (!agent_find_use(t, t->use, &use)) return WFI_PACE_BROKEN;
        return agent_begin_tools(e, t, agent_tool_named(e, use.name), &use);
    }
    case WFI_TASK_TOOL:
        return agent_step_tool(e, t, late);
    case WFI_TASK_TURN:
        return agent_next_tool(e, t);
    case WFI_TASK_FREE:
        break;
    }
    return WFI_PACE_BROKEN;
}
