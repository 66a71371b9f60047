/* fake: see fake.h. */
#include "fake.h"
#include "fakestream.h"

#include <stdarg.h>

#define FAKE_SPIN 200000 /* steps without a sleep that count as a hang */

static void *fake_grow(void *p, size_t n) {
    void *q = realloc(p, n ? n : 1);
    if (!q) abort();
    return q;
}

static bool fake_fails(fake *f) {
    f->calls++;
    return f->fail_call != 0 && (f->calls == f->fail_call || (f->fail_on && f->calls > f->fail_call));
}

/* How many of n bytes a call moves. */
static size_t fake_some(fake *f, size_t n) {
    if (!f->small) return n;
    size_t few = 1 + fake_below(&f->rng, 40);
    return few < n ? few : n;
}

/* ---- clock ---- */

static uint64_t fake_now(void *ctx) {
    fake *f = ctx;
    return f->now += f->tick;
}

static uint64_t fake_wall(void *ctx) {
    fake *f = ctx;
    return f->wall + f->now;
}

static wf_status fake_random(void *ctx, void *buf, size_t n) {
    fake *f = ctx;
    if (fake_fails(f)) return WF_E_IO;
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)buf)[i] = (uint8_t)fake_next(&f->rng);
    return WF_OK;
}

static void fake_trace(void *ctx, const wf_trace *e) {
    fake *f = ctx;
    f->traces++;
    f->trace_hash = fake_mix(f->trace_hash ^ e->id ^ (uint64_t)e->type << 32 ^ (uint64_t)e->kind << 40 ^ f->now << 44);
    f->trace_hash = fake_hash(f->trace_hash, e->text.ptr, e->text.len);
}

/* ---- disk ---- */

static wf_status fake_size(void *ctx, uint64_t *out) {
    fake *f = ctx;
    *out = f->disk.size;
    return fake_fails(f) ? WF_E_IO : WF_OK;
}

static wf_status fake_read(void *ctx, uint64_t at, void *buf, size_t n, size_t *got) {
    fake *f = ctx;
    if (fake_fails(f)) return WF_E_IO;
    if (at >= f->disk.size) return WF_END;
    size_t left = f->disk.size - (size_t)at;
    *got = fake_some(f, n < left ? n : left);
    memcpy(buf, f->disk.data + at, *got);
    return WF_OK;
}

static wf_status fake_log_write(void *ctx, uint64_t at, const void *buf, size_t n, size_t *put) {
    fake *f = ctx;
    fake_disk *d = &f->disk;
    if (fake_fails(f)) return WF_E_IO;
    if (at != d->size) {
        fprintf(stderr, "fake: write at %llu, size %zu\n", (unsigned long long)at, d->size);
        abort();
    }
    *put = fake_some(f, n);
    if (d->size + *put > d->cap) d->data = fake_grow(d->data, d->cap = (d->size + *put) * 2);
    memcpy(d->data + d->size, buf, *put);
    if (d->unsynced_count == d->unsynced_cap) {
        d->unsynced_cap = d->unsynced_cap * 2 + 16;
        d->unsynced = fake_grow(d->unsynced, d->unsynced_cap * sizeof *d->unsynced);
    }
    d->unsynced[d->unsynced_count++] = (fake_write){at, *put};
    d->size += *put;
    d->writes++;
    return WF_OK;
}

static wf_status fake_sync(void *ctx) {
    fake *f = ctx;
    fake_disk *d = &f->disk;
    if (d->sync_due == 0) {
        if (fake_fails(f)) return WF_E_IO;
        d->sync_target = d->size;
        d->sync_due = f->now + f->sync_ms;
        if (f->sync_ms > 0) return WF_AGAIN;
    }
    if (f->now < d->sync_due) return WF_AGAIN;
    d->sync_due = 0;
    d->synced = d->sync_target;
    d->syncs++;
    size_t keep = 0;
    for (size_t i = 0; i < d->unsynced_count; i++)
        if (d->unsynced[i].at + d->unsynced[i].len > d->synced) d->unsynced[keep++] = d->unsynced[i];
    d->unsynced_count = keep;
    return WF_OK;
}

static wf_status fake_cut(void *ctx, uint64_t size) {
    fake *f = ctx;
    if (fake_fails(f)) return WF_E_IO;
    if (size > f->disk.size) abort();
    f->disk.size = (size_t)size;
    if (f->disk.synced > size) f->disk.synced = (size_t)size;
    return WF_OK;
}

uint8_t *fake_crash(const fake *f, fake_survival how, uint64_t seed, size_t *size) {
    const fake_disk *d = &f->disk;
    uint8_t *out = fake_grow(NULL, d->size);
    size_t n = d->size;
    uint64_t rng = seed;
    if (d->size > 0) memcpy(out, d->data, d->size);
    if (how == FAKE_SYNCED) n = d->synced;
    if (how == FAKE_TORN) n = d->synced + (size_t)fake_below(&rng, d->size - d->synced + 1);
    for (size_t i = 0; (how == FAKE_DROPPED || how == FAKE_GARBLED) && i < d->unsynced_count; i++) {
        fake_write w = d->unsynced[i];
        size_t from = w.at < d->synced ? d->synced : (size_t)w.at;
        size_t to = (size_t)w.at + w.len < n ? (size_t)w.at + w.len : n;
        if (from >= to) continue;
        if (fake_below(&rng, 2)) memset(out + from, 0, to - from);
        if (how == FAKE_GARBLED && fake_below(&rng, 2))
            out[from + (size_t)fake_below(&rng, to - from)] ^= (uint8_t)(1 + fake_below(&rng, 255));
    }
    *size = n;
    return out;
}

/* ---- model ---- */

static void fake_vbody(fake_answer *out, const char *before, const char *format, va_list args, const char *after) {
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    size_t b = strlen(before), a = strlen(after);
    free(out->body);
    out->body = fake_grow(NULL, b + (size_t)n + a + 1);
    memcpy(out->body, before, b);
    vsnprintf(out->body + b, (size_t)n + 1, format, args);
    memcpy(out->body + b + (size_t)n, after, a + 1);
    out->len = b + (size_t)n + a;
}

void fake_body(fake_answer *out, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fake_vbody(out, "", format, args, "");
    va_end(args);
}

void fake_reply(fake_answer *out, const char *stop, const char *format, ...) {
    char head[256];
    va_list args;
    snprintf(head, sizeof head,
             "{\"id\":\"msg\",\"type\":\"message\",\"role\":\"assistant\",\"stop_reason\":\"%s\",\"usage\":"
             "{\"input_tokens\":10,\"output_tokens\":5},\"content\":",
             stop);
    va_start(args, format);
    fake_vbody(out, head, format, args, "}");
    va_end(args);
}

void fake_error(fake_answer *out, uint32_t status, const char *message) {
    out->status = status;
    fake_body(out, "{\"type\":\"error\",\"error\":{\"type\":\"some_error\",\"message\":\"%s\"}}", message);
}

/* The value of "key=value;" in the prompt into buf; false: it is not there. */
static bool fake_directive(const char *prompt, const char *key, char *buf, size_t cap) {
    const char *at = strstr(prompt, key);
    if (!at) return false;
    at += strlen(key);
    size_t n = strcspn(at, ";"), used = 0;
    for (size_t i = 0; i < n && used + 1 < cap; i++)
        if (at[i] != '\\') buf[used++] = at[i]; /* the prompt is JSON-escaped */
    buf[used] = 0;
    return true;
}

static uint64_t fake_number(const char *prompt, const char *key, uint64_t standard) {
    char buf[32];
    return fake_directive(prompt, key, buf, sizeof buf) ? strtoull(buf, NULL, 10) : standard;
}

/* A turn that asks for several tools. */
static void fake_calls(const fake_request *r, const char *letters, fake_answer *out) {
    char content[8192];
    size_t n = (size_t)sprintf(content, "[");
    uint64_t by = fake_hash(0, r->prompt, strlen(r->prompt));
    for (size_t i = 0; letters[i] && n < sizeof content - 300; i++)
        n += (size_t)sprintf(content + n,
                             "%s{\"type\":\"tool_use\",\"id\":\"use_%u_%zu\",\"name\":\"%s\",\"input\":{\"turn\":%u,"
                             "\"call\":%zu,\"by\":\"%016llx\"}}",
                             i ? "," : "", r->turns, i,
                             letters[i] == 'l'   ? "look"
                             : letters[i] == 'c' ? "change"
                                                 : "nothing",
                             r->turns, i, (unsigned long long)by);
    fake_reply(out, "tool_use", "%s]", content);
}

void fake_directed(fake *f, const fake_request *r, fake_answer *out) {
    char text[512];
    uint64_t by_prompt = fake_hash(r->turns + 1, r->prompt, strlen(r->prompt)), by_seed = fake_mix(by_prompt ^ f->seed);
    out->delay_ms = fake_number(r->prompt, "delay=", f->delay_max ? by_seed % (f->delay_max + 1) : 0);
    if (f->fault_chance > 0 && r->tries < 2 && fake_below(&f->rng, 100) < f->fault_chance) {
        static const uint32_t statuses[] = {408, 409, 429, 500, 503, 529};
        uint64_t fault = fake_below(&f->rng, 12);
        out->retry_after_ms = fault < 3 ? (int64_t)fake_below(&f->rng, 2000) : -1;
        if (fault < 6) fake_error(out, statuses[fault], "an injected fault");
        if (fault >= 6 && fault < 10) out->drop = (fake_drop)(FAKE_DROP_BEGIN + fault - 6);
        if (fault == 10) out->drop = FAKE_HANG;
        if (fault == 11) fake_body(out, "<html>not what was asked for");
        if (fault < 6 || fault >= 10) return;
    }
    if ((out->status = (uint32_t)fake_number(r->prompt, "status=", 200)) != 200) {
        fake_error(out, out->status, "as the prompt wished");
        return;
    }
    bool tools = r->turns < fake_number(r->prompt, "tools=", 0);
    if (tools && fake_directive(r->prompt, "calls=", text, sizeof text)) {
        fake_calls(r, text, out);
    } else if (tools) {
        if (!fake_directive(r->prompt, "tool=", text, sizeof text)) strcpy(text, "look");
        fake_reply(
            out, "tool_use",
            "[{\"type\":\"text\",\"text\":\"let me see\"},{\"type\":\"tool_use\",\"id\":\"use_%u\",\"name\":\"%s\","
            "\"input\":{\"turn\":%u,\"by\":\"%016llx\"}}]",
            r->turns, text, r->turns, (unsigned long long)fake_hash(0, r->prompt, strlen(r->prompt)));
    } else if (fake_directive(r->prompt, "result=", text, sizeof text)) {
        fake_reply(out, "tool_use", "[{\"type\":\"tool_use\",\"id\":\"use_r\",\"name\":\"result\",\"input\":%s}]",
                   text);
    } else {
        if (!fake_directive(r->prompt, "stop=", text, sizeof text)) strcpy(text, "end_turn");
        size_t big = (size_t)fake_number(r->prompt, "big=", 0);
        char *pad = fake_grow(NULL, big + 1);
        memset(pad, 'x', big);
        pad[big] = 0;
        fake_reply(out, text, "[{\"type\":\"text\",\"text\":\"re:%016llx%s\"}]", (unsigned long long)by_prompt, pad);
        free(pad);
    }
}

static fake_tally *fake_tally_of(fake *f, uint64_t key) {
    for (size_t i = 0; i < f->tally_count; i++)
        if (f->tallies[i].key == key) return &f->tallies[i];
    if (f->tally_count == f->tally_cap) {
        f->tally_cap = f->tally_cap * 2 + 64;
        f->tallies = fake_grow(f->tallies, f->tally_cap * sizeof *f->tallies);
    }
    f->tallies[f->tally_count] = (fake_tally){key, 0};
    return &f->tallies[f->tally_count++];
}

static uint64_t fake_tally_key(const char *prompt, uint32_t turn) {
    return fake_hash(turn + 77, prompt, strlen(prompt));
}

uint32_t fake_count(const fake *f, const char *prompt, uint32_t turn) {
    uint64_t key = fake_tally_key(prompt, turn);
    for (size_t i = 0; i < f->tally_count; i++)
        if (f->tallies[i].key == key) return f->tallies[i].count;
    return 0;
}

/* First text of the first message, still escaped. */
static char *fake_prompt(const char *body) {
    static const char mark[] = "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"";
    const char *at = strstr(body, mark);
    size_t n = 0;
    if (at) {
        at += sizeof mark - 1;
        while (at[n] && at[n] != '"')
            n += at[n] == '\\' && at[n + 1] ? 2 : 1;
    }
    char *out = fake_grow(NULL, n + 1);
    if (n) memcpy(out, at, n);
    out[n] = 0;
    return out;
}

static uint32_t fake_occurs(const char *text, const char *what) {
    uint32_t n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

static void fake_answer_streamed(const fake *f, fake_answer *a) {
    size_t len;
    char *events =
        f->provider.stream && a->status == 200 && !a->type ? fake_stream(wf_str_of(a->body, a->len), &len) : NULL;
    if (!events) return;
    free(a->body);
    a->body = events;
    a->len = len;
    a->type = "text/event-stream";
}

static void fake_answer_request(fake *f, fake_exchange *x) {
    x->body[x->body_len] = 0;
    fake_request r = {.body = x->body, .len = x->body_len, .prompt = fake_prompt(x->body)};
    r.turns = fake_occurs(x->body, "\"role\":\"assistant\"");
    fake_tally *tally = fake_tally_of(f, fake_tally_key(r.prompt, r.turns));
    r.tries = tally->count++;
    x->answer = (fake_answer){.status = 200, .retry_after_ms = -1, .should_retry = -1};
    if (f->on_request) f->on_request(f, &r);
    f->model(f, &r, &x->answer);
    fake_answer_streamed(f, &x->answer);
    if (x->answer.status == 200 && (x->answer.drop < FAKE_DROP_SEND || x->answer.drop >= FAKE_LINGER)) f->tokens += 15;
    x->answered = true;
    x->due = x->answer.drop == FAKE_HANG ? UINT64_MAX : f->now + x->answer.delay_ms;
    f->trace_hash = fake_hash(f->trace_hash, x->body, x->body_len);
    free(r.prompt);
}

static bool fake_again(fake *f, fake_exchange *x) {
    if (!f->again || x->calls++ % 2) return false;
    x->armed = true;
    x->due = x->due > f->now ? x->due : f->now;
    return true;
}

static wf_status fake_begin(void *ctx, uint32_t lane, const wf_request *request) {
    fake *f = ctx;
    fake_exchange *x = &f->lanes[lane];
    if (lane >= FAKE_LANES || x->open) abort();
    memset(x, 0, sizeof *x);
    x->open = true;
    x->body_want = request->body_len;
    if (++f->open_lanes > f->open_lanes_high) f->open_lanes_high = f->open_lanes;
    f->requests++;
    return fake_fails(f) ? WF_E_IO : WF_OK;
}

static wf_status fake_send(void *ctx, uint32_t lane, const void *buf, size_t n, size_t *sent) {
    fake *f = ctx;
    fake_exchange *x = &f->lanes[lane];
    if (!x->open || x->answered || n == 0) abort();
    if (fake_fails(f)) return WF_E_IO;
    if (x->clogged || fake_again(f, x)) return WF_AGAIN;
    *sent = f->small ? fake_some(f, n) : n;
    if (x->body_len + *sent > x->body_want) {
        fprintf(stderr, "fake: a body is longer than was said\n");
        abort();
    }
    if (x->body_len + *sent + 1 > x->body_cap) {
        x->body_cap = (x->body_len + *sent + 1) * 2;
        x->body = fake_grow(x->body, x->body_cap);
    }
    memcpy(x->body + x->body_len, buf, *sent);
    x->body_len += *sent;
    if (f->clog && x->body_len == x->body_want && memmem(x->body, x->body_len, f->clog, strlen(f->clog))) {
        f->clog = NULL;
        x->clogged = true;
        x->body_len--;
        return --*sent > 0 ? WF_OK : WF_AGAIN;
    }
    if (x->body_len == x->body_want) fake_answer_request(f, x);
    return x->answered && x->answer.drop == FAKE_DROP_SEND ? WF_E_IO : WF_OK;
}

static wf_status fake_head(void *ctx, uint32_t lane, wf_response *out) {
    fake *f = ctx;
    fake_exchange *x = &f->lanes[lane];
    if (!x->open || !x->answered) abort(); /* asked before the body was sent */
    if (fake_fails(f)) return WF_E_IO;
    if (fake_again(f, x)) return WF_AGAIN;
    if (f->now < x->due) {
        x->armed = true;
        return WF_AGAIN;
    }
    if (x->answer.drop == FAKE_STALE) return WF_E_STALE;
    if (x->answer.drop == FAKE_FINAL) return WF_E_CONFIG;
    if (x->answer.drop == FAKE_DROP_BEGIN || x->answer.drop == FAKE_DROP_HEAD) return WF_E_IO;
    free(x->id);
    x->id = fake_grow(NULL, 5);
    memcpy(x->id, "req_1", 5);
    *out = (wf_response){.status = x->answer.status,
                         .retry_after_ms = x->answer.retry_after_ms,
                         .should_retry = x->answer.should_retry,
                         .request_id = wf_str_of(x->id, 5)};
    if (f->key) out->keys[1] = wf_str_of(f->key, strlen(f->key));
    if (x->answer.type) out->content_type = wf_str_of(x->answer.type, strlen(x->answer.type));
    return WF_OK;
}

static wf_status fake_recv(void *ctx, uint32_t lane, void *buf, size_t n, size_t *got) {
    fake *f = ctx;
    fake_exchange *x = &f->lanes[lane];
    if (!x->open || n == 0) abort();
    if (fake_fails(f)) return WF_E_IO;
    if (fake_again(f, x)) return WF_AGAIN;
    size_t left = x->answer.len - x->sent;
    if (x->answer.drop == FAKE_DROP_BODY && x->sent >= x->answer.len / 2) return WF_E_IO;
    if (left == 0 && x->answer.drop == FAKE_LINGER) return WF_AGAIN;
    if (left == 0 && x->answer.drop == FAKE_DRIP) {
        f->now++;
        *(char *)buf = '\n';
        *got = 1;
        return WF_OK;
    }
    if (left == 0) {
        f->replies++;
        x->heard = true;
        return WF_END;
    }
    *got = fake_some(f, n < left ? n : left);
    memcpy(buf, x->answer.body + x->sent, *got);
    x->sent += *got;
    return WF_OK;
}

static void fake_end(void *ctx, uint32_t lane) {
    fake *f = ctx;
    fake_exchange *x = &f->lanes[lane];
    if (!x->open) abort();
    if (f->on_end && x->answered) f->on_end(f, x);
    free(x->body);
    free(x->answer.body);
    free(x->id);
    memset(x, 0, sizeof *x);
    f->open_lanes--;
}

static uint32_t fake_ready(void *ctx, uint32_t *lanes, uint32_t max) {
    fake *f = ctx;
    uint32_t n = 0;
    for (uint32_t i = 0; f->open_lanes > 0 && i < FAKE_LANES && n < max; i++) {
        fake_exchange *x = &f->lanes[i];
        if (!x->open || !x->armed || x->due > f->now) continue;
        x->armed = false; /* named once: who forgets it, loses it */
        lanes[n++] = i;
    }
    return n;
}

static uint64_t fake_next_lane(const fake *f) {
    uint64_t due = UINT64_MAX;
    for (uint32_t i = 0; f->open_lanes > 0 && i < FAKE_LANES; i++)
        if (f->lanes[i].open && f->lanes[i].armed && f->lanes[i].due < due) due = f->lanes[i].due;
    return due;
}

static uint64_t fake_due(void *ctx) {
    const fake *f = ctx;
    return f->mute ? UINT64_MAX : fake_next_lane(f);
}

static wf_str fake_why(void *ctx, uint32_t lane) {
    (void)ctx;
    (void)lane;
    return WF_STR("the fake dropped it");
}

/* ---- tools ---- */

static void fake_default_tool(fake *f, const wf_tool_call *call, fake_ticket *out) {
    uint64_t h = fake_hash(fake_hash(1, call->name.ptr, call->name.len), call->input.ptr, call->input.len);
    (void)f;
    snprintf(out->text, 64, call->script ? "{\"effect\":\"%016llx\"}" : "tool:%016llx", (unsigned long long)h);
}

static wf_status fake_tool_start(void *ctx, uint32_t ticket, const wf_tool_call *call) {
    fake *f = ctx;
    fake_ticket *t = &f->tickets[ticket];
    if (ticket >= FAKE_TICKETS || t->open) abort();
    if (fake_fails(f)) return WF_E_IO;
    memset(t, 0, sizeof *t);
    t->open = true;
    t->script = call->script;
    t->text = fake_grow(NULL, 65536);
    t->due = f->now + fake_below(&f->rng, f->tool_delay + 1);
    if (++f->open_tickets > f->open_tickets_high) f->open_tickets_high = f->open_tickets;
    f->tool_starts++;
    f->tool(f, call, t);
    return WF_OK;
}

static wf_status fake_tool_result(void *ctx, uint32_t ticket, wf_tool_result *out) {
    fake *f = ctx;
    fake_ticket *t = &f->tickets[ticket];
    if (!t->open) abort();
    if (fake_fails(f)) return WF_E_IO;
    if (f->now < t->due) {
        t->armed = true;
        return WF_AGAIN;
    }
    out->text = wf_str_of(t->text, strlen(t->text));
    out->is_error = t->error;
    out->is_fatal = t->fatal;
    return WF_OK;
}

static void fake_tool_end(void *ctx, uint32_t ticket) {
    fake *f = ctx;
    fake_ticket *t = &f->tickets[ticket];
    if (!t->open) abort();
    free(t->text);
    memset(t, 0, sizeof *t);
    f->open_tickets--;
}

static uint32_t fake_tool_ready(void *ctx, uint32_t *tickets, uint32_t max) {
    fake *f = ctx;
    uint32_t n = 0;
    for (uint32_t i = 0; f->open_tickets > 0 && i < FAKE_TICKETS && n < max; i++) {
        fake_ticket *t = &f->tickets[i];
        if (!t->open || !t->armed || t->due > f->now) continue;
        t->armed = false;
        tickets[n++] = i;
    }
    return n;
}

static uint64_t fake_next_ticket(const fake *f) {
    uint64_t due = UINT64_MAX;
    for (uint32_t i = 0; f->open_tickets > 0 && i < FAKE_TICKETS; i++)
        if (f->tickets[i].open && f->tickets[i].armed && f->tickets[i].due < due) due = f->tickets[i].due;
    return due;
}

static uint64_t fake_tool_due(void *ctx) {
    const fake *f = ctx;
    return f->mute ? UINT64_MAX : fake_next_ticket(f);
}

static wf_str fake_refusal(void *ctx, wf_str name) {
    fake *f = ctx;
    int n = snprintf(f->refusal, sizeof f->refusal, "the fake has no %.*s", (int)name.len, name.ptr);
    return wf_str_of(f->refusal, (size_t)n);
}

static void fake_interrupted(void *ctx, const wf_tool_call *call) {
    fake *f = ctx;
    snprintf(f->interrupted, sizeof f->interrupted, "%.*s %.*s", (int)call->name.len, call->name.ptr,
             (int)call->input.len, call->input.ptr);
}

static void fake_tool_left(void *ctx, uint32_t ticket) {
    fake *f = ctx;
    if (ticket >= FAKE_TICKETS || f->tickets[ticket].open) abort(); /* its calls are ended before */
    f->tool_left++;
}

/* ---- all together ---- */

static const wf_log_ops fake_log_ops = {fake_size, fake_read, fake_log_write, fake_sync, fake_cut};
static const wf_model_ops fake_model_ops = {fake_begin, fake_send,  fake_head, fake_recv,
                                            fake_end,   fake_ready, fake_due,  fake_why};
static const wf_tool_ops fake_tool_ops = {fake_tool_start, fake_tool_result, fake_tool_end,    fake_tool_ready,
                                          fake_tool_due,   fake_refusal,     fake_interrupted, fake_tool_left};

fake *fake_new(uint64_t seed, const void *data, size_t size) {
    fake *f = calloc(1, sizeof *f);
    if (!f) abort();
    f->seed = seed;
    f->rng = fake_mix(seed);
    f->now = 1000;
    f->wall = 1700000000000u;
    f->model = fake_directed;
    f->tool = fake_default_tool;
    if (size > 0) {
        f->disk.data = fake_grow(NULL, size);
        memcpy(f->disk.data, data, size);
        f->disk.size = f->disk.cap = f->disk.synced = size;
    }
    f->platform = (wf_platform){.version = WF_PLATFORM_VERSION,
                                .ctx = f,
                                .now_ms = fake_now,
                                .wall_ms = fake_wall,
                                .random = fake_random,
                                .trace = fake_trace,
                                .log = &fake_log_ops,
                                .log_ctx = f,
                                .tool_ops = &fake_tool_ops,
                                .tool_ctx = f};
    wf_str schema = WF_STR("{\"type\":\"object\",\"properties\":{}}");
    f->tools[0] = (wf_tool){WF_STR("look"), WF_STR("Looks."), schema, false, false};
    f->tools[1] = (wf_tool){WF_STR("change"), WF_STR("Changes."), schema, true, false};
    f->provider = (wf_provider){.name = WF_STR("fake"),
                                .ops = &fake_model_ops,
                                .ctx = f,
                                .stream = seed % 2 == 0 /* as good as whole bodies */};
    return f;
}

void fake_free(fake *f) {
    for (uint32_t i = 0; f->open_lanes > 0 && i < FAKE_LANES; i++) {
        free(f->lanes[i].body);
        free(f->lanes[i].answer.body);
        free(f->lanes[i].id);
    }
    for (uint32_t i = 0; f->open_tickets > 0 && i < FAKE_TICKETS; i++)
        free(f->tickets[i].text);
    free(f->disk.data);
    free(f->disk.unsynced);
    free(f->tallies);
    free(f);
}

wf_config fake_config(fake *f) {
    wf_config c = {.platform = &f->platform,
                   .providers = &f->provider,
                   .provider_count = 1,
                   .tools = f->tools,
                   .tool_count = 2,
                   .model = WF_STR("fake:m")};
    return c;
}

bool fake_sleep(fake *f, uint32_t wait_ms) {
    uint64_t until = wait_ms == UINT32_MAX ? UINT64_MAX : f->now + wait_ms;
    uint64_t lane = fake_next_lane(f), ticket = fake_next_ticket(f);
    if (lane < until) until = lane;
    if (ticket < until) until = ticket;
    if (f->disk.sync_due != 0 && f->disk.sync_due < until) until = f->disk.sync_due;
    if (until == UINT64_MAX) return false;
    if (until > f->now) f->now = until;
    return true;
}

wf_status fake_open(fake *f, wf *w, const wf_run_spec *spec) {
    wf_status s;
    while ((s = wf_run_open(w, spec)) == WF_AGAIN)
        if (!fake_sleep(f, UINT32_MAX)) return WF_E_LIMIT;
    return s;
}

static wf_status fake_step(fake *f, wf *w) {
    uint32_t wait;
    wf_status s = wf_step(w, 64, &wait);
    if (s != WF_OK) return s;
    if (wait > 0 && !fake_sleep(f, wait)) return WF_E_LIMIT;
    return WF_OK;
}

wf_status fake_deliver(fake *f, wf *w, wf_delivery *out) {
    uint64_t begun = f->now;
    for (uint32_t spin = 0; spin < FAKE_SPIN; spin++) {
        wf_status s = wf_deliver(w, out);
        if (s != WF_AGAIN) return s;
        s = fake_step(f, w);
        if (s < 0) return s;
        if (f->now != begun) spin = 0;
        begun = f->now;
    }
    return WF_E_LIMIT;
}

wf_status fake_finish(fake *f, wf *w, wf_outcome outcome, const char *value) {
    wf_status s = wf_run_finish(w, outcome, wf_str_of(value, strlen(value)), false, 0, 0, 0);
    for (uint32_t spin = 0; s == WF_OK && spin < FAKE_SPIN; spin++)
        s = fake_step(f, w);
    return s == WF_END ? WF_OK : s;
}

bool fake_full(void) {
    const char *campaign = getenv("WF_CAMPAIGN");
    return campaign && strcmp(campaign, "full") == 0;
}
