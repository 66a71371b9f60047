/* agent: see agent.h. The functions stand in the order of a task's life: start, request, reply, turn, tools, finish. */
#include "agent.h"
#include "request.h"

#define AGENT_NUDGES             2u     /* reminders to call the result tool */
#define AGENT_USES_MAX           128u   /* tool calls in one reply */
#define AGENT_ID_MAX             256u   /* bytes of a tool call's id */
#define AGENT_REPLY_FIRST        8192u  /* bytes of the first reply buffer */
#define AGENT_ERROR_MAX          65536u /* of an unsuccessful response's body that are kept */
#define AGENT_BACKOFF_CAP_MS     8000u
#define AGENT_RETRY_AFTER_MAX_MS 600000 /* who is asked to wait longer gives up */

static wfi_pace agent_request(wfi_env *e, wfi_task *t);
static wfi_pace agent_turn(wfi_env *e, wfi_task *t);
static wfi_pace agent_lost(wfi_env *e, wfi_task *t);

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

/* Gives the reservation back; but that of a request which went out and got no answer stays spent, since it may be billed. */
static void agent_settle(wfi_env *e, wfi_task *t) {
    if (t->reserved == 0) return;
    e->reserved -= t->reserved;
    if (t->state == WFI_TASK_HEAD || t->state == WFI_TASK_BODY) e->lost = wfi_add_sat(e->lost, t->reserved);
    e->settles++;
    t->reserved = 0;
}

static void agent_end_exchange(wfi_task *t) {
    if (t->exchange) t->provider->ops->end(t->provider->ctx, t->lane);
    t->exchange = false;
}

static void agent_end_tool(wfi_env *e, wfi_task *t) {
    if (t->tool) e->os->tool_ops->end(e->os->tool_ctx, t->lane);
    t->tool = false;
}

void wfi_task_drop(wfi_env *e, wfi_task *t) {
    agent_end_exchange(t);
    agent_end_tool(e, t);
    agent_settle(e, t);
    wfi_heap_free(&e->heap, t->meta);
    wfi_heap_free(&e->heap, (void *)(uintptr_t)t->schema.ptr);
    wfi_heap_free(&e->heap, (void *)(uintptr_t)t->effect_input.ptr);
    wfi_heap_free(&e->heap, t->items);
    wfi_heap_free(&e->heap, t->reply);
    t->meta = t->reply = NULL;
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

/* "TEXT: DETAIL (request ID)" in the scratch buffer. The detail is JSON-escaped when it comes from a body. */
static wf_str agent_message(wfi_env *e, const char *text, wf_str detail, bool escaped, wf_str request_id) {
    const size_t cap = 4096;
    char *to = (char *)e->scratch;
    wf_str head = wfi_str_z(text), id = wfi_utf8_clip(request_id, 200);
    if (detail.len > cap - 400) {
        escaped = false; /* a cut could fall inside an escape */
        detail = wfi_utf8_clip(detail, cap - 400);
    }
    wfi_copy(to, head.ptr, head.len);
    size_t n = head.len;
    if (detail.len > 0) {
        wfi_copy(to + n, ": ", 2);
        n += 2;
        if (escaped) {
            n += wf_json_unescape(detail, to + n);
        } else {
            wfi_copy(to + n, detail.ptr, detail.len);
            n += detail.len;
        }
    }
    if (id.len > 0) {
        wfi_copy(to + n, " (request ", 10);
        wfi_copy(to + n + 10, id.ptr, id.len);
        to[n + 10 + id.len] = ')';
        n += id.len + 11;
    }
    return wfi_utf8_clip(wf_str_of(to, n), n);
}

/* ---- start ---- */

const wf_provider *wfi_provider_find(const wf_config *config, wf_str model, wf_str *rest) {
    size_t n = wfi_str_find(model, ':');
    for (uint32_t i = 0; i < config->provider_count && n < model.len; i++) {
        if (!wfi_str_eq(config->providers[i].name, wfi_str_cut(model, 0, n))) continue;
        *rest = wfi_str_cut(model, n + 1, model.len);
        return &config->providers[i];
    }
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
    wf_status s = wfi_env_payload(e, &rec, 1, &t->reply);
    if (s != WF_OK) return s;
    t->reply_len = t->reply_cap = rec.payload_len;
    t->turn.content = wf_str_of(t->reply, t->reply_len);
    t->turn.stop = (wfi_stop)meta.stop;
    return WF_OK;
}

static wfi_pace agent_start_effect(wfi_env *e, wfi_task *t) {
    wf_tool_call call = {.name = t->call.effect,
                         .input = t->effect_input,
                         .script = true,
                         .deadline = t->deadline,
                         .output_max = e->config.reply_max};
    wf_status s = e->os->tool_ops->start(e->os->tool_ctx, t->lane, &call);
    if (s != WF_OK) return agent_fail(e, t, WF_KIND_TOOL, "the effect could not be started");
    t->tool = true;
    t->state = WFI_TASK_TOOL;
    return WFI_PACE_MORE;
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
    if (row->effect) return agent_start_effect(e, t);

    t->codec = wfi_messages_codec();
    t->provider = wfi_provider_find(&e->config, t->call.model, &t->model);
    if (!t->provider)
        return agent_finish(e, t, WF_KIND_PROVIDER,
                            agent_message(e, "no provider serves this model", t->call.model, false, wf_str_of("", 0)),
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
    t->row->intent_at = 0;
    return agent_add_item(e, t, rec.payload, rec.payload_len, false);
}

static bool agent_hurry_due(const wfi_env *e, const wfi_task *t) {
    return !t->hurried && t->turns > 0 && t->deadline != UINT64_MAX &&
           e->now - t->started >= (t->deadline - t->started) / 5 * 4;
}

/* What the next request may use up at worst: a token is at least a byte. */
static uint64_t agent_worst_case(const wfi_task *t, uint64_t body_len) {
    return body_len + (uint64_t)t->row->limits.max_tokens * (t->raised ? 2 : 1);
}

static bool agent_over_budget(const wfi_task *t, uint64_t body_len) {
    const wfi_limits *l = &t->row->limits;
    uint64_t worst = wfi_add_sat(wfi_usage_tokens(&t->usage), agent_worst_case(t, body_len));
    return (l->budget_tokens > 0 && worst > l->budget_tokens) ||
           (l->budget_nano_usd > 0 && t->usage.nano_usd >= l->budget_nano_usd);
}

/* Sets budget aside for the worst case of the next request: a token is at least a byte. */
static wfi_pace agent_reserve(wfi_env *e, wfi_task *t, uint64_t body_len) {
    uint64_t need = agent_worst_case(t, body_len);
    uint64_t spent = wfi_add_sat(wfi_usage_tokens(&e->spent), e->lost);
    if (e->config.budget_nano_usd > 0 && e->spent.nano_usd >= e->config.budget_nano_usd) {
        wfi_env_stop(e, WF_RUN_BUDGET, WF_STR("the budget in USD is spent; resume with a higher --budget-usd"));
        return WFI_PACE_STOPPED;
    }
    if (e->config.budget_tokens == 0 || t->reserved >= need) return WFI_PACE_MORE; /* a retry keeps what it has */
    agent_settle(e, t);
    if (wfi_add_sat(wfi_add_sat(spent, e->reserved), need) > e->config.budget_tokens) {
        if (e->reserved > 0) return WFI_PACE_BUDGET;
        wfi_env_stop(e, WF_RUN_BUDGET,
                     WF_STR("the next request could overshoot the token budget; resume with a higher --budget-tokens"));
        return WFI_PACE_STOPPED;
    }
    wfi_meta_reserve meta = {.tokens = need};
    if (wfi_env_record(e, WFI_REC_RESERVE, t->row_index + 1, &meta, wf_str_of("", 0), NULL, &t->durable) != WF_OK)
        return WFI_PACE_BROKEN;
    wfi_log_want(&e->log);
    e->reserved += need;
    t->reserved = need;
    return WFI_PACE_DURABLE;
}

/* Begins the exchange. The body's length was known before; what is streamed now cannot change. */
static wfi_pace agent_send(wfi_env *e, wfi_task *t, uint64_t body_len) {
    wf_request request = {.model = t->model, .body_len = body_len, .attempt = t->attempt};
    t->attempts++;
    t->progress = e->now;
    t->reply_len = 0;
    wfi_zero(&t->response, sizeof t->response);
    t->exchange = true;
    t->state = WFI_TASK_SEND;
    if (t->provider->ops->begin(t->provider->ctx, t->lane, &request) != WF_OK) return agent_lost(e, t);
    return WFI_PACE_MORE;
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
    if (agent_over_budget(t, body_len))
        return agent_fail(e, t, WF_KIND_BUDGET, "the next request could overshoot the agent's own budget; raise it");
    t->state = WFI_TASK_RESERVE;
    wfi_pace pace = agent_reserve(e, t, body_len);
    if (pace == WFI_PACE_STOPPED) wfi_task_drop(e, t);
    return pace == WFI_PACE_MORE ? agent_send(e, t, body_len) : pace;
}

/* Tells the log that what it last saw reserved was answered at no cost; without it a resume would count it as spent. */
static wf_status agent_unreserve(wfi_env *e, const wfi_task *t) {
    wfi_meta_reserve none = {.tokens = 0};
    if (t->reserved == 0) return WF_OK;
    return wfi_env_record(e, WFI_REC_RESERVE, t->row_index + 1, &none, wf_str_of("", 0), NULL, NULL);
}

/* A request failed in a way that sending it again may cure. */
static wfi_pace agent_retry(wfi_env *e, wfi_task *t, wf_kind kind, wf_str why, int64_t retry_after_ms) {
    uint32_t retries = t->row->limits.retries;
    agent_end_exchange(t);
    bool last = t->attempt >= retries || retries == WF_NONE || retry_after_ms > AGENT_RETRY_AFTER_MAX_MS;
    if (t->state != WFI_TASK_BACKOFF)
        agent_settle(e, t);
    else if ((last || e->stop != WF_RUN_OPEN) && agent_unreserve(e, t) != WF_OK)
        return WFI_PACE_BROKEN;
    if (e->stop != WF_RUN_OPEN) {
        wfi_task_drop(e, t);
        return WFI_PACE_STOPPED;
    }
    if (last) return agent_finish(e, t, kind, why, false);
    uint64_t wait = t->attempt < 4 ? 500u << t->attempt : AGENT_BACKOFF_CAP_MS;
    wait -= wfi_env_random(e, wait / 4 + 1);
    if (retry_after_ms > 0) wait = (uint64_t)retry_after_ms;
    t->attempt++;
    t->wake = e->now + wait;
    t->state = WFI_TASK_BACKOFF;
    wf_trace event = agent_event(t, WF_TRACE_RETRY);
    event.kind = kind;
    event.n = t->attempt;
    event.ms = wait;
    event.text = why;
    wfi_env_trace(e, &event);
    return WFI_PACE_WAIT;
}

static wfi_pace agent_lost(wfi_env *e, wfi_task *t) {
    wf_str why = wf_str_of("", 0);
    if (t->provider->ops->error) why = t->provider->ops->error(t->provider->ctx, t->lane);
    why = agent_message(e, "the request got no whole answer", why, false, t->response.request_id);
    return agent_retry(e, t, WF_KIND_PROVIDER, why, -1);
}

static wfi_pace agent_step_send(wfi_env *e, wfi_task *t) {
    wf_str bytes;
    size_t sent = 0;
    if (wfi_request_next(e, t, &bytes) != WF_OK) return WFI_PACE_BROKEN;
    if (bytes.len == 0) {
        t->state = WFI_TASK_HEAD;
        return WFI_PACE_MORE;
    }
    wf_status s = t->provider->ops->send(t->provider->ctx, t->lane, bytes.ptr, bytes.len, &sent);
    if (s == WF_AGAIN) return WFI_PACE_WAIT;
    if (s != WF_OK || sent == 0 || sent > bytes.len) return agent_lost(e, t);
    t->progress = e->now;
    wfi_request_sent(t, sent);
    return WFI_PACE_MORE;
}

static wfi_pace agent_step_head(wfi_env *e, wfi_task *t) {
    wf_status s = t->provider->ops->head(t->provider->ctx, t->lane, &t->response);
    if (s == WF_AGAIN) return WFI_PACE_WAIT;
    if (s != WF_OK) return agent_lost(e, t);
    t->progress = e->now;
    t->state = WFI_TASK_BODY;
    return WFI_PACE_MORE;
}

/* ---- reply ---- */

/* What an unsuccessful response means for the agent; quota and auth stop the run too. */
static wf_kind agent_kind_of(uint32_t status, bool spent) {
    if (spent || status == 402 || status == 429) return WF_KIND_QUOTA;
    if (status == 401 || status == 403 || status == 404) return WF_KIND_AUTH;
    return status == 413 ? WF_KIND_CONTEXT : WF_KIND_PROVIDER;
}

static wfi_pace agent_refused(wfi_env *e, wfi_task *t) {
    const wf_response *r = &t->response;
    wf_str body = wf_str_of(t->reply, t->reply_len);
    wfi_fault fault;
    t->codec->fault(body, &fault);
    bool escaped = fault.message.len > 0;
    wf_str message = escaped ? fault.message : wfi_str_cut(body, 0, 200);
    char head[48] = "the provider answered ";
    size_t n = 22 + wfi_u64_str(r->status, head + 22);
    head[n] = 0;
    wf_str why = agent_message(e, head, message, escaped, r->request_id);
    wf_kind kind = agent_kind_of(r->status, fault.spent);
    bool again = r->status == 408 || r->status == 409 || r->status == 429 || r->status >= 500;
    if (r->should_retry >= 0) again = r->should_retry == 1;
    t->state = WFI_TASK_BACKOFF; /* it was answered, so it costs nothing */
    if (again && !fault.spent) return agent_retry(e, t, kind, why, r->retry_after_ms);
    if (agent_unreserve(e, t) != WF_OK) return WFI_PACE_BROKEN;
    return agent_finish(e, t, kind, why, false);
}

static bool agent_is_empty(const wfi_task *t) {
    wf_json j;
    wfi_block_view block;
    wf_json_init(&j, t->turn.content);
    return t->codec->block(&j, &block) == WF_END;
}

/* A whole reply: its turn goes into the log with its cost; only what belongs to the conversation is linked into it:
 * the wire takes no message without content. */
static wfi_pace agent_reply(wfi_env *e, wfi_task *t) {
    wfi_reader reader;
    t->codec->reader_begin(&reader, &e->heap, e->config.reply_max, false);
    reader.body = (wfi_buf){t->reply, t->reply_len, t->reply_cap}; /* stays the task's */
    if (t->codec->reader_end(&reader, &t->turn) != WF_OK) {
        wf_str start = wfi_str_cut(wf_str_of(t->reply, t->reply_len), 0, 200);
        wf_str why = agent_message(e, "the reply is no message of this API", start, false, t->response.request_id);
        return agent_retry(e, t, WF_KIND_PROVIDER, why, -1);
    }
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
    agent_end_exchange(t);
    t->state = WFI_TASK_TURN;
    agent_settle(e, t);
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

/* Makes room for more of the reply. */
static wf_status agent_grow_reply(wfi_env *e, wfi_task *t, size_t max) {
    if (t->reply_len < t->reply_cap) return WF_OK;
    if (t->reply_cap >= max) return WF_E_LIMIT;
    size_t cap = t->reply_cap < AGENT_REPLY_FIRST ? AGENT_REPLY_FIRST : t->reply_cap * 2;
    if (cap > max) cap = max;
    char *reply = wfi_heap_realloc(&e->heap, t->reply, cap);
    if (!reply) return WF_E_MEMORY;
    t->reply = reply;
    t->reply_cap = cap;
    return WF_OK;
}

static wfi_pace agent_step_body(wfi_env *e, wfi_task *t) {
    bool good = t->response.status >= 200 && t->response.status < 300;
    size_t max = good || e->config.reply_max < AGENT_ERROR_MAX ? e->config.reply_max : AGENT_ERROR_MAX;
    size_t got = 0;
    wf_status s = agent_grow_reply(e, t, max);
    if (s == WF_E_LIMIT) {
        if (!good) return agent_refused(e, t);
        return agent_fail(e, t, WF_KIND_PROVIDER, "the reply is longer than the limit for one reply");
    }
    if (s != WF_OK) return agent_trouble(e, t, s);
    s = t->provider->ops->recv(t->provider->ctx, t->lane, t->reply + t->reply_len, t->reply_cap - t->reply_len, &got);
    if (s == WF_AGAIN) return WFI_PACE_WAIT;
    if (s == WF_END) return good ? agent_reply(e, t) : agent_refused(e, t);
    if (s != WF_OK || got == 0 || got > t->reply_cap - t->reply_len) return agent_lost(e, t);
    t->reply_len += got;
    t->progress = e->now;
    return WFI_PACE_MORE;
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
            return agent_fail(e, t, WF_KIND_CONTEXT,
                              "the reply was cut at max_tokens, and again at twice that; raise max_tokens");
        t->raised = true;
        return agent_request(e, t);
    case WFI_STOP_REFUSED:
        return agent_fail(e, t, WF_KIND_REFUSED, "the model declined to answer");
    case WFI_STOP_CONTEXT:
        return agent_fail(e, t, WF_KIND_CONTEXT, "the conversation has outgrown the model's context window");
    case WFI_STOP_OTHER:
        break;
    }
    return agent_finish(
        e, t, WF_KIND_PROVIDER,
        agent_message(e, "the reply ended for a reason that is not known here", t->turn.reason, true, wf_str_of("", 0)),
        false);
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
    agent_end_tool(e, t);
    if (s != WF_OK) return agent_trouble(e, t, s);
    t->use++;
    t->progress = e->now;
    t->state = WFI_TASK_TURN;
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

static const wf_tool *agent_tool_named(const wfi_env *e, wf_str escaped) {
    for (uint32_t i = 0; i < e->config.tool_count; i++)
        if (wf_json_equals(escaped, e->config.tools[i].name)) return &e->config.tools[i];
    return NULL;
}

static wfi_pace agent_start_tool(wfi_env *e, wfi_task *t, const wf_tool *tool, const wfi_block_view *use) {
    wf_tool_call call = {.name = tool->name,
                         .input = use->input,
                         .cwd = t->call.cwd,
                         .deadline = t->deadline,
                         .output_max = e->config.tool_output_max};
    if (e->os->tool_ops->start(e->os->tool_ctx, t->lane, &call) != WF_OK)
        return agent_tool_answer(e, t, "tool", use->id, WF_STR("the tool could not be started"), true);
    t->tool = true;
    t->state = WFI_TASK_TOOL;
    return WFI_PACE_MORE;
}

static wfi_pace agent_next_tool(wfi_env *e, wfi_task *t) {
    wfi_block_view use;
    bool offered = false;
    /* on a resume t->use also counts blocks of ours that follow the tools' results */
    if (!agent_find_use(t, t->use, &use)) return t->use > 0 ? agent_request(e, t) : agent_ended(e, t);
    if (t->use >= AGENT_USES_MAX)
        return agent_fail(e, t, WF_KIND_PROVIDER, "one reply asked for more tools than this runtime allows (128)");
    if (use.id.len > AGENT_ID_MAX)
        return agent_fail(e, t, WF_KIND_PROVIDER, "a tool call's id is longer than this runtime allows (256)");
    if (t->schema.len > 0 && wf_json_equals(use.name, WF_STR("result"))) return agent_result(e, t, &use);
    const wf_tool *tool = agent_tool_named(e, use.name);
    if (tool && e->os->tool_ops) {
        wf_status s = wfi_request_offers(e, &t->tools, tool->name, &offered);
        if (s != WF_OK) return agent_trouble(e, t, s);
    }
    if (!offered)
        return agent_tool_answer(e, t, "tool", use.id, WF_STR("there is no such tool; use only those you were given"),
                                 true);
    wf_trace event = agent_event(t, WF_TRACE_TOOL);
    event.text = tool->name;
    wfi_env_trace(e, &event);
    if (!tool->effect) return agent_start_tool(e, t, tool, &use);
    if (t->row->intent_at != 0)
        return agent_tool_answer(e, t, "tool", use.id,
                                 WF_STR("interrupted, state unknown: the run was killed while this was under way; "
                                        "look at what it left before doing it again"),
                                 true);
    wfi_meta_intent meta = {.id = use.id, .name = tool->name};
    wf_status s =
        wfi_env_record(e, WFI_REC_INTENT, t->row_index + 1, &meta, use.input, &t->row->intent_at, &t->durable);
    if (s != WF_OK) return WFI_PACE_BROKEN;
    wfi_log_want(&e->log);
    t->state = WFI_TASK_INTENT;
    return WFI_PACE_DURABLE;
}

static wfi_pace agent_step_tool(wfi_env *e, wfi_task *t) {
    wf_tool_result result;
    wfi_block_view use;
    wf_status s = e->os->tool_ops->result(e->os->tool_ctx, t->lane, &result);
    if (s == WF_AGAIN) return WFI_PACE_WAIT;
    if (t->row->effect) {
        if (s != WF_OK) return agent_fail(e, t, WF_KIND_TOOL, "the effect gave no result");
        return agent_finish(e, t, result.is_error ? WF_KIND_TOOL : WF_KIND_NONE, result.text, !result.is_error);
    }
    if (!agent_find_use(t, t->use, &use)) return WFI_PACE_BROKEN;
    if (s != WF_OK) return agent_tool_answer(e, t, "tool", use.id, WF_STR("the tool gave no result"), true);
    return agent_tool_answer(e, t, "tool", use.id, result.text, result.is_error);
}

/* ---- the machine ---- */

static wfi_pace agent_stalled(wfi_env *e, wfi_task *t) {
    wfi_block_view use;
    if (t->state != WFI_TASK_TOOL)
        return agent_retry(e, t, WF_KIND_STALL, WF_STR("no byte from the model for longer than the stall limit"), -1);
    if (t->row->effect || !agent_find_use(t, t->use, &use))
        return agent_fail(e, t, WF_KIND_STALL, "the effect made no progress for longer than the stall limit");
    return agent_tool_answer(e, t, "tool", use.id,
                             WF_STR("the tool made no progress for longer than the stall limit and was ended"), true);
}

static bool agent_may_stall(const wfi_task *t) {
    return t->row->limits.stall_ms != WF_NONE && (t->state == WFI_TASK_SEND || t->state == WFI_TASK_HEAD ||
                                                  t->state == WFI_TASK_BODY || t->state == WFI_TASK_TOOL);
}

uint64_t wfi_task_due(const wfi_task *t) {
    uint64_t due = t->deadline;
    if (t->state == WFI_TASK_BACKOFF && t->wake < due) due = t->wake;
    if (agent_may_stall(t) && t->progress + t->row->limits.stall_ms < due) due = t->progress + t->row->limits.stall_ms;
    return due;
}

wfi_pace wfi_task_step(wfi_env *e, wfi_task *t) {
    if (e->now >= t->deadline)
        return agent_fail(e, t, WF_KIND_DEADLINE,
                          "the agent's deadline passed; raise --agent-deadline or narrow the task");
    if (agent_may_stall(t) && e->now - t->progress >= t->row->limits.stall_ms) return agent_stalled(e, t);
    switch (t->state) {
    case WFI_TASK_RESERVE:
        if (t->reserved == 0) return agent_request(e, t);
        if (!wfi_log_durable(&e->log, t->durable)) return WFI_PACE_DURABLE;
        return agent_send(e, t, wfi_request_begin(t));
    case WFI_TASK_SEND:
        return agent_step_send(e, t);
    case WFI_TASK_HEAD:
        return agent_step_head(e, t);
    case WFI_TASK_BODY:
        return agent_step_body(e, t);
    case WFI_TASK_BACKOFF:
        return e->now >= t->wake || e->stop != WF_RUN_OPEN ? agent_request(e, t) : WFI_PACE_WAIT;
    case WFI_TASK_INTENT: {
        wfi_block_view use;
        if (!wfi_log_durable(&e->log, t->durable)) return WFI_PACE_DURABLE;
        if (!agent_find_use(t, t->use, &use)) return WFI_PACE_BROKEN;
        return agent_start_tool(e, t, agent_tool_named(e, use.name), &use);
    }
    case WFI_TASK_TOOL:
        return agent_step_tool(e, t);
    case WFI_TASK_TURN:
        return agent_next_tool(e, t);
    case WFI_TASK_FREE:
        break;
    }
    return WFI_PACE_BROKEN;
}
