/* world: what a public test runs in: a log file in memory that outlives the wf on it, a clock that moves when a test says so,
 * and a model that is a C function. Public API only, so that it serves the split tree and workflow.h alike. */
#ifndef WORLD_H
#define WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "workflow.h"

#define WORLD_LANES 4
#define WORLD_FILE  (1u << 20)

typedef struct world world;

typedef struct world_exchange {
    char request[16384], reply[4096];
    size_t request_len, reply_len, sent;
    uint64_t due;
    bool open;
} world_exchange;

struct world {
    char file[WORLD_FILE];
    size_t file_len;
    wf_status write_status; /* WF_OK, or what every write answers */
    uint64_t now;
    unsigned requests, traces;
    uint64_t delay; /* of every reply */
    uint32_t status;
    /* Writes the text of the answer for the request; default: "re: " and its last text. */
    void (*answer)(world *world, wf_str text, char *out, size_t cap);
    void (*body)(world *world, wf_str request, char *out, size_t cap); /* instead: the whole reply */
    world_exchange lanes[WORLD_LANES];
    wf_platform platform;
    wf_provider provider;
    wf_config config;
    wf *w;
    char *block; /* of the wf, aligned for nothing in particular */
    char memory[1u << 20];
};

/* ---- platform ---- */

static uint64_t world_now(void *ctx) {
    return ((world *)ctx)->now;
}

static uint64_t world_wall(void *ctx) {
    return UINT64_C(1700000000000) + ((world *)ctx)->now;
}

static wf_status world_random(void *ctx, void *buf, size_t n) {
    (void)ctx;
    memset(buf, 0x5a, n);
    return WF_OK;
}

static void world_trace(void *ctx, const wf_trace *event) {
    assert_true(event->type <= WF_TRACE_STOP);
    ((world *)ctx)->traces++;
}

static wf_status world_size(void *ctx, uint64_t *out) {
    *out = ((world *)ctx)->file_len;
    return WF_OK;
}

static wf_status world_read(void *ctx, uint64_t at, void *buf, size_t n, size_t *got) {
    world *o = ctx;
    if (at >= o->file_len) return WF_END;
    *got = o->file_len - (size_t)at < n ? o->file_len - (size_t)at : n;
    memcpy(buf, o->file + at, *got);
    return WF_OK;
}

static wf_status world_write(void *ctx, uint64_t at, const void *buf, size_t n, size_t *put) {
    world *o = ctx;
    if (o->write_status != WF_OK) return o->write_status;
    assert_true(at == o->file_len && n <= WORLD_FILE - o->file_len);
    memcpy(o->file + at, buf, n);
    o->file_len += n;
    *put = n;
    return WF_OK;
}

static wf_status world_sync(void *ctx) {
    (void)ctx;
    return WF_OK;
}

static wf_status world_cut(void *ctx, uint64_t size) {
    world *o = ctx;
    assert_true(size <= o->file_len);
    o->file_len = (size_t)size;
    return WF_OK;
}

/* ---- model ---- */

static wf_status world_begin(void *ctx, uint32_t lane, const wf_request *request) {
    world *o = ctx;
    assert_true(lane < WORLD_LANES && !o->lanes[lane].open);
    assert_true(request->body_len > 0 && request->body_len <= sizeof o->lanes[lane].request);
    o->lanes[lane].request_len = o->lanes[lane].sent = 0;
    o->lanes[lane].open = true;
    o->lanes[lane].due = o->now + o->delay;
    o->requests++;
    return WF_OK;
}

static wf_status world_send(void *ctx, uint32_t lane, const void *buf, size_t n, size_t *sent) {
    world_exchange *x = &((world *)ctx)->lanes[lane];
    *sent = n < 100 ? n : 100; /* short writes are usual */
    memcpy(x->request + x->request_len, buf, *sent);
    x->request_len += *sent;
    return WF_OK;
}

/* The last member "text" of a request. */
static wf_str world_text(wf_str request) {
    wf_json j;
    wf_json_token t;
    wf_str text = {"", 0};
    wf_json_init(&j, request);
    while ((t = wf_json_next(&j)) != WF_JSON_END) {
        assert_int_not_equal(t, WF_JSON_ERROR);
        if (t != WF_JSON_KEY || !wf_json_equals(j.raw, WF_STR("text"))) continue;
        assert_int_equal(wf_json_next(&j), WF_JSON_STRING);
        text = j.raw;
    }
    return text;
}

static void world_reply(world *o, world_exchange *x) {
    wf_str request = wf_str_of(x->request, x->request_len), text = world_text(request);
    char answer[1024];
    if (o->body) {
        o->body(o, request, x->reply, sizeof x->reply);
    } else {
        if (o->answer)
            o->answer(o, text, answer, sizeof answer);
        else
            snprintf(answer, sizeof answer, "re: %.*s", (int)text.len, text.ptr);
        snprintf(x->reply, sizeof x->reply,
                 "{\"content\":[{\"type\":\"text\",\"text\":\"%s\"}],\"stop_reason\":\"end_turn\","
                 "\"usage\":{\"input_tokens\":10,\"output_tokens\":3,\"usd\":0.001}}",
                 answer);
    }
    x->reply_len = strlen(x->reply);
}

static wf_status world_head(void *ctx, uint32_t lane, wf_response *out) {
    world *o = ctx;
    if (o->now < o->lanes[lane].due) return WF_AGAIN;
    world_reply(o, &o->lanes[lane]);
    memset(out, 0, sizeof *out);
    out->status = o->status;
    out->retry_after_ms = out->should_retry = -1;
    return WF_OK;
}

static wf_status world_recv(void *ctx, uint32_t lane, void *buf, size_t n, size_t *got) {
    world_exchange *x = &((world *)ctx)->lanes[lane];
    if (x->sent == x->reply_len) return WF_END;
    *got = x->reply_len - x->sent < n ? x->reply_len - x->sent : n;
    if (*got > 7) *got = 7;
    memcpy(buf, x->reply + x->sent, *got);
    x->sent += *got;
    return WF_OK;
}

static void world_end(void *ctx, uint32_t lane) {
    ((world *)ctx)->lanes[lane].open = false;
}

static uint32_t world_ready(void *ctx, uint32_t *lanes, uint32_t max) {
    world *o = ctx;
    uint32_t n = 0;
    for (uint32_t i = 0; i < WORLD_LANES && n < max; i++)
        if (o->lanes[i].open && o->now >= o->lanes[i].due) lanes[n++] = i;
    return n;
}

static uint64_t world_due(void *ctx) {
    const world *o = ctx;
    uint64_t due = UINT64_MAX;
    for (uint32_t i = 0; i < WORLD_LANES; i++)
        if (o->lanes[i].open && o->lanes[i].due > o->now && o->lanes[i].due < due) due = o->lanes[i].due;
    return due;
}

/* ---- a test's own words ---- */

/* A new world with an empty log. Static: it is large, and one test runs at a time. */
static inline world *world_new(void) {
    static const wf_log_ops log = {world_size, world_read, world_write, world_sync, world_cut};
    static const wf_model_ops model = {world_begin, world_send,  world_head, world_recv,
                                       world_end,   world_ready, world_due,  NULL};
    static world o;
    memset(&o, 0, sizeof o);
    o.now = 1000;
    o.status = 200;
    o.platform.version = WF_PLATFORM_VERSION;
    o.platform.ctx = o.platform.log_ctx = &o;
    o.platform.now_ms = world_now;
    o.platform.wall_ms = world_wall;
    o.platform.random = world_random;
    o.platform.trace = world_trace;
    o.platform.log = &log;
    o.provider.name = WF_STR("c");
    o.provider.ops = &model;
    o.provider.ctx = &o;
    o.config.platform = &o.platform;
    o.config.providers = &o.provider;
    o.config.provider_count = 1;
    o.config.model = WF_STR("c:model");
    o.config.lanes = WORLD_LANES;
    o.config.max_agents = 32;
    o.config.log_buffer = 4096;
    return &o;
}

static inline void world_init(world *o) {
    wf_error error;
    o->block = o->memory + 3;
    assert_int_equal(wf_init(&o->w, o->block, sizeof o->memory - 3, &o->config, &error), WF_OK);
}

/* A wf on the world's log, its run open. */
static inline wf *world_open(world *o) {
    wf_run_spec spec = {WF_STR("test"), WF_STR("no script"), WF_STR("null"), WF_STR("{}")};
    wf_status s;
    world_init(o);
    while ((s = wf_run_open(o->w, &spec)) == WF_AGAIN)
        continue;
    assert_int_equal(s, WF_OK);
    return o->w;
}

/* The process dies: the wf is gone, what was written stays. */
static inline void world_kill(world *o) {
    memset(o->memory, 0xa5, sizeof o->memory);
    memset(o->lanes, 0, sizeof o->lanes);
    o->w = NULL;
}

static inline wf_call world_ask(world *o, const char *prompt) {
    wf_agent_spec spec;
    wf_call call;
    memset(&spec, 0, sizeof spec);
    spec.prompt = wf_str_of(prompt, strlen(prompt));
    spec.label = WF_STR("label");
    assert_int_equal(wf_agent_start(o->w, &spec, &call), WF_OK);
    assert_true(call.bits != 0);
    return call;
}

/* Steps until there is a delivery, moving the clock over each wait; else the status that ended it. */
static inline wf_status world_next(world *o, wf_delivery *out) {
    uint32_t wait_ms;
    for (int i = 0; i < 100000; i++) {
        wf_status s = wf_deliver(o->w, out);
        if (s != WF_AGAIN) return s;
        if ((s = wf_step(o->w, 8, &wait_ms)) != WF_OK) return s;
        if (wait_ms != UINT32_MAX) o->now += wait_ms;
    }
    fail_msg("no delivery within 100000 steps");
    return WF_AGAIN;
}

static inline void world_finish(world *o, wf_outcome outcome, const char *value) {
    uint32_t wait_ms;
    wf_status s = wf_run_finish(o->w, outcome, wf_str_of(value, strlen(value)), false, 0, 0, 0);
    assert_int_equal(s, WF_OK);
    for (int i = 0; i < 1000 && s == WF_OK; i++)
        s = wf_step(o->w, 8, &wait_ms);
    assert_int_equal(s, WF_END);
}

static inline void world_close(world *o) {
    wf_close(o->w);
    for (uint32_t i = 0; i < WORLD_LANES; i++)
        assert_false(o->lanes[i].open);
}

static inline void world_same(wf_str got, const char *want) {
    assert_int_equal(got.len, strlen(want));
    if (got.len > 0) assert_memory_equal(got.ptr, want, got.len);
}

static inline bool world_has(wf_str text, const char *part) {
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= text.len; i++)
        if (memcmp(text.ptr + i, part, n) == 0) return true;
    return false;
}

#endif
