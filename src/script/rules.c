/* rules: models written in Lua, as a transport behind the Messages codec: exact request JSON in, response JSON out.
 *
 * Each file has its own Lua state, in the sandbox that scripts have. Its function is a pure function of the request, so the
 * requests of a file are answered one after the other (one decoded request in memory at a time), in slices, so that a slow
 * model does not hold up the pump; each has a budget of time. The text of a file that an agent names is run in slices too, as
 * the first part of the first request to it. An answer that asks for a delay waits on a timer.
 *
 * Mistakes of the model (it raises, runs too long, answers rubbish) come out as a response with status 400 and the
 * message, so the agent fails at once: a pure function would only fail again. Memory that runs out is no mistake of its: the
 * heap is shared. The request then fails with WF_E_MEMORY. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sandbox.h"

#include "gen_answer.h"
#include "gen_stdlib.h"

#define RULES_FILES     4u
#define RULES_FILE_MAX  (1u << 20)
#define RULES_NAME_MAX  256u
#define RULES_ERROR_MAX 512u
#define RULES_WORK      8u     /* times its size is what working on a request takes, or so */
#define RULES_SLICE_MS  2      /* before the pump has its turn */
#define RULES_BUSY_MS   10000u /* default of max_ms */

typedef struct rules_file {
    char name[RULES_NAME_MAX]; /* terminated; empty: free */
    char *text;                /* while it is being loaded */
    size_t text_len;
    lua_State *L; /* NULL: it could not be loaded, see error */
    bool loaded;  /* its text was run; before that, the text stands in the model's place */
    wfi_meter meter;
    char error[RULES_ERROR_MAX];
} rules_file;

typedef enum rules_state {
    RULES_IDLE,
    RULES_FILLING,  /* the body comes in */
    RULES_WAITING,  /* it is there; another request is being answered */
    RULES_THINKING, /* the model's function runs */
    RULES_STARVED,  /* there was no memory to answer it */
    RULES_ANSWERED  /* the response is there, from `due` on */
} rules_state;

typedef struct rules_lane {
    rules_state state;
    rules_file *file;
    char *body, *reply;
    size_t body_len, got, reply_len, sent;
    uint64_t arrival, due;
    uint32_t status;
    int64_t retry_after;
    uint64_t tried; /* the rules' `freed` when it last found no room */
} rules_lane;

struct wf_rules {
    wf_rules_config config;
    wf_heap *heap;
    rules_lane *lanes;
    rules_file files[RULES_FILES];
    uint64_t arrivals;
    uint64_t freed;    /* how often a request or an answer was given back */
    rules_file *file;  /* that works, or did last */
    uint64_t slice;    /* the meter's busy time when it began */
    uint32_t thinking; /* lane whose request is being answered, or `lanes` for none */
    lua_State *co;     /* the coroutine that does it */
};

#define RULES_ENDLESS  "the model worked longer than one request may take: an endless loop?"
#define RULES_NO_MODEL "the rules model does not load"
#define RULES_MEMORY   "not enough memory for the file; give more --memory"

static const char rules_model = 'm', rules_answer = 'a', rules_thread = 't'; /* keys of the registry */

static wf_rules *rules_of(lua_State *L) {
    return *(wf_rules **)lua_getextraspace(L);
}

/* Memory for texts. What the models left behind makes room if need be. */
static char *rules_take(wf_rules *r, size_t n) {
    char *p = wf_heap_resize(r->heap, NULL, n ? n : 1);
    if (p) return p;
    wf_rules_collect(r);
    return wf_heap_resize(r->heap, NULL, n ? n : 1);
}

static void rules_free(wf_rules *r, char **text) {
    r->freed += *text != NULL;
    wf_heap_resize(r->heap, *text, 0);
    *text = NULL;
}

/* ---- files ---- */

static bool rules_over(const wf_rules *r, const rules_file *f) {
    return f->meter.busy > r->config.max_ms;
}

static void rules_hook(lua_State *L, lua_Debug *frame) {
    wf_rules *r = rules_of(L);
    rules_file *f = r->file;
    (void)frame;
    wfi_meter_look(&f->meter, true);
    bool over = rules_over(r, f);
    wfi_meter_turn(L);
    wfi_meter_hook(L, over ? 1 : wfi_meter_interval(&f->meter)); /* no pcall gets far */
    if (over) luaL_error(L, RULES_ENDLESS);
    if (lua_isyieldable(L) && f->meter.busy - r->slice >= RULES_SLICE_MS) lua_yield(L, 0);
}

/* Starts the clock, and forgets what befell the request before. */
static void rules_begin_work(wf_rules *r, rules_file *f) {
    r->file = f;
    r->slice = 0;
    f->meter.busy = 0;
    f->meter.starved = f->meter.wanting = false;
    wfi_meter_begin(&f->meter);
}

/* It is no part of an answer: a model is a pure function. */
static int rules_print(lua_State *L) {
    const wf_rules_config *c = &rules_of(L)->config;
    wf_str line;
    line.ptr = lua_tolstring(L, 1, &line.len);
    if (c->print && line.ptr) c->print(c->print_ctx, line);
    return 0;
}

/* Protected: (file) -> sets the state up, and compiles the file's text. */
static int rules_setup(lua_State *L) {
    const rules_file *f = lua_touserdata(L, 1);
    const char *chunk = lua_pushfstring(L, "@%s", f->name);
    wfi_sandbox_open(L);
    lua_pushcfunction(L, rules_print);
    lua_setfield(L, -3, "print");
    wfi_sandbox_load(L, wfi_stdlib);
    wfi_sandbox_load(L, wfi_answer);
    lua_getfield(L, -2, "answer");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &rules_answer);
    wfi_sandbox_seal(L);
    if (wfi_lua_load(L, wf_str_of(f->text, f->text_len), chunk) != LUA_OK) return lua_error(L);
    wfi_meter_adopt(L);
    lua_sethook(L, rules_hook, LUA_MASKCOUNT, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &rules_model);
    return 0;
}

static void rules_set_error(rules_file *f, const char *what, const char *why) {
    snprintf(f->error, sizeof f->error, "%s: %s", what, why);
}

/* The file that the user named, wherever it lies. */
static bool rules_read_any(rules_file *f) {
    FILE *in = fopen(f->name, "rb");
    if (!in) {
        snprintf(f->error, sizeof f->error, "%s: %s; check the path of the rules file", f->name, strerror(errno));
        return false;
    }
    f->text_len = fread(f->text, 1, RULES_FILE_MAX, in);
    bool bad = ferror(in) != 0;
    fclose(in);
    if (bad) rules_set_error(f, f->name, "this is no rules file: it cannot be read as one");
    return !bad;
}

/* One that an agent names. */
static bool rules_read_named(wf_rules *r, rules_file *f) {
    const char *why = "";
    wf_str path = wf_str_of(f->name, strlen(f->name));
    if (r->config.read(r->config.read_ctx, path, f->text, RULES_FILE_MAX, &f->text_len, &why) == WF_OK) return true;
    snprintf(f->error, sizeof f->error, "%s: %s; an agent's rules file is named from the root", f->name, why);
    return false;
}

/* Reads the whole file into the heap. */
static bool rules_read(wf_rules *r, rules_file *f, bool named) {
    f->text = rules_take(r, RULES_FILE_MAX);
    if (!f->text) {
        rules_set_error(f, f->name, "not enough memory to read it; give more --memory");
        return false;
    }
    if (!(named && r->config.read ? rules_read_named(r, f) : rules_read_any(f))) return false;
    f->text = wf_heap_resize(r->heap, f->text, f->text_len + 1); /* gives the rest back: shrinking cannot fail */
    if (f->text_len == RULES_FILE_MAX) rules_set_error(f, f->name, "this is no rules file: it is over 1 MiB");
    return f->text_len < RULES_FILE_MAX;
}

/* The error on top of the stack if it is a text: no conversion, which could fail for want of memory. LUA_YIELD: its time is up. */
static const char *rules_why(lua_State *L, int status) {
    if (status == LUA_YIELD) return RULES_ENDLESS;
    if (wfi_lua_caught(L, status)) return RULES_MEMORY;
    return lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "it raised a value that is no text";
}

/* Takes the model's function, which the file's text left on top of L with this status. False: it is none, error says why. */
static bool rules_take_model(rules_file *f, lua_State *L, int status) {
    if (status == LUA_OK && lua_isfunction(L, -1)) {
        lua_rawsetp(L, LUA_REGISTRYINDEX, &rules_model);
        f->loaded = true;
        return true;
    }
    if (status == LUA_OK)
        snprintf(f->error, sizeof f->error, "%s: the file must return function(request), it returned a %s",
                 RULES_NO_MODEL, luaL_typename(L, -1));
    else
        rules_set_error(f, RULES_NO_MODEL, rules_why(L, status));
    return false;
}

static void rules_unload(rules_file *f) {
    lua_close(f->L);
    f->L = NULL;
}

/* Sets the file's state up; runs its text, too, unless that is left to the first request. */
static void rules_start(wf_rules *r, rules_file *f, bool later) {
    f->meter = (wfi_meter){
        .heap = r->heap, .now_ms = r->config.now_ms, .ctx = r->config.ctx, .hook = rules_hook, .text_max = SIZE_MAX};
    f->L = lua_newstate(wfi_meter_alloc, &f->meter);
    if (!f->L) {
        rules_set_error(f, f->name, "not enough memory for its Lua state; give more --memory");
        return;
    }
    *(wf_rules **)lua_getextraspace(f->L) = r;
    rules_begin_work(r, f);
    lua_pushcfunction(f->L, rules_setup);
    lua_pushlightuserdata(f->L, f);
    int status = lua_pcall(f->L, 1, 0, 0);
    if (status == LUA_OK && later) return;
    if (status == LUA_OK) {
        lua_rawgetp(f->L, LUA_REGISTRYINDEX, &rules_model);
        status = lua_pcall(f->L, 0, 1, 0);
    }
    if (!rules_take_model(f, f->L, status)) rules_unload(f);
}

/* named: by an agent. Its text is run by the first request. */
static void rules_open_file(wf_rules *r, rules_file *f, bool named) {
    if (rules_read(r, f, named)) rules_start(r, f, named);
    wf_heap_resize(r->heap, f->text, 0);
    f->text = NULL;
}

/* The file of this name, opened if need be; NULL: there is no room for more. Its L is NULL if it did not load. */
static rules_file *rules_find(wf_rules *r, wf_str name, bool named) {
    rules_file *f = NULL;
    if (name.len == 0 || name.len >= RULES_NAME_MAX || memchr(name.ptr, '\0', name.len)) return NULL;
    for (uint32_t i = 0; i < RULES_FILES && !f; i++) {
        size_t n = strlen(r->files[i].name);
        if (n == 0 || (n == name.len && memcmp(r->files[i].name, name.ptr, n) == 0)) f = &r->files[i];
    }
    if (f && !f->name[0]) {
        memcpy(f->name, name.ptr, name.len);
        rules_open_file(r, f, named);
    }
    return f;
}

wf_status wf_rules_load(wf_rules *r, wf_str file, wf_str *why) {
    rules_file *f = rules_find(r, file, false);
    if (!f) {
        *why = WF_STR("the rules file's name is empty, too long, or the fifth of one run");
        return WF_E_LIMIT;
    }
    *why = wf_str_of(f->error, strlen(f->error));
    return f->L ? WF_OK : WF_E_CONFIG;
}

/* ---- answering ---- */

static void rules_answered(wf_rules *r, rules_lane *l, uint32_t status, uint64_t delay) {
    rules_free(r, &l->body);
    l->status = status;
    l->due = r->config.now_ms(r->config.ctx) + delay;
    l->state = RULES_ANSWERED;
    l->sent = 0;
}

/* An answer that tells of a mistake. The text is quoted as JSON. */
static void rules_fail(wf_rules *r, rules_lane *l, uint32_t status, const char *why) {
    wf_json_out o;
    for (int pass = 0; pass < 2; pass++) {
        wf_json_out_init(&o, l->reply, pass ? l->reply_len : 0);
        wf_json_begin(&o, true);
        wf_json_key(&o, WF_STR("error"));
        wf_json_begin(&o, true);
        wf_json_key(&o, WF_STR("message"));
        wf_json_str(&o, wf_str_of(why, strlen(why)));
        wf_json_finish(&o);
        wf_json_finish(&o);
        if (pass == 0) l->reply = rules_take(r, o.len);
        l->reply_len = l->reply ? o.len : 0;
        if (!l->reply) break;
    }
    l->retry_after = -1;
    rules_answered(r, l, status, 0);
}

/* There is no memory for a request: that says nothing of the model, and with more there will be an answer. */
static void rules_starve(wf_rules *r, rules_lane *l) {
    rules_free(r, &l->body);
    l->state = RULES_STARVED;
}

/* The request that is being answered, as a table. */
static int rules_request(lua_State *L) {
    const wf_rules *r = rules_of(L);
    const rules_lane *l = &r->lanes[r->thinking];
    return wfi_lua_return_json(L, wf_str_of(l->body, l->body_len));
}

/* Protected: (lane) -> a coroutine, anchored, that is ready to call answer(model, read, bytes), or to run the file's text. */
static int rules_prepare(lua_State *L) {
    wf_rules *r = rules_of(L);
    const rules_lane *l = lua_touserdata(L, 1);
    r->co = lua_newthread(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &rules_thread);
    wfi_lua_room(r->co, 10, "request");
    if (!l->file->loaded) {
        lua_rawgetp(r->co, LUA_REGISTRYINDEX, &rules_model);
        return 0;
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rules_answer);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rules_model);
    lua_pushcfunction(L, rules_request);
    lua_pushinteger(L, (lua_Integer)l->body_len);
    lua_xmove(L, r->co, 4);
    return 0;
}

/* False: it was answered at once, with a mistake. */
static bool rules_begin_thinking(wf_rules *r, uint32_t lane) {
    rules_lane *l = &r->lanes[lane];
    lua_State *L = l->file->L;
    if (!L) {
        rules_fail(r, l, 404, l->file->error);
        return false;
    }
    lua_settop(L, 0);
    lua_pushcfunction(L, rules_prepare);
    lua_pushlightuserdata(L, l);
    rules_begin_work(r, l->file);
    int status = lua_pcall(L, 1, 0, 0);
    if (status != LUA_OK) {
        if (wfi_lua_caught(L, status))
            rules_starve(r, l);
        else
            rules_fail(r, l, 400, rules_why(L, status));
        return false;
    }
    r->thinking = lane;
    l->state = RULES_THINKING;
    return true;
}

static uint32_t rules_oldest(const wf_rules *r) {
    uint32_t oldest = r->config.lanes;
    for (uint32_t i = 0; i < r->config.lanes; i++) {
        if (r->lanes[i].state != RULES_WAITING) continue;
        if (oldest == r->config.lanes || r->lanes[i].arrival < r->lanes[oldest].arrival) oldest = i;
    }
    return oldest;
}

/* The oldest request that waits goes next; one that cannot be taken up does not keep the others waiting. */
static void rules_next(wf_rules *r) {
    uint32_t next;
    do
        next = rules_oldest(r);
    while (next < r->config.lanes && !rules_begin_thinking(r, next));
}

static void rules_take_answer(wf_rules *r, rules_lane *l) {
    size_t n;
    const char *body = lua_tolstring(r->co, 4, &n);
    l->reply = rules_take(r, n);
    if (!l->reply) {
        rules_starve(r, l);
        return;
    }
    memcpy(l->reply, body, n);
    l->reply_len = n;
    l->retry_after = (int64_t)lua_tointeger(r->co, 3);
    rules_answered(r, l, (uint32_t)lua_tointeger(r->co, 1), (uint64_t)lua_tointeger(r->co, 2));
}

/* Drops the coroutine. */
static void rules_stop_thinking(wf_rules *r, lua_State *L) {
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &rules_thread);
    r->co = NULL;
    r->thinking = r->config.lanes;
}

/* The file's text has ended with this status: the request that began it is the first one to the model. */
static void rules_end_text(wf_rules *r, rules_lane *l, int status) {
    rules_file *f = l->file;
    uint32_t lane = r->thinking;
    if (status == LUA_OK) lua_settop(r->co, 1); /* whatever it returned */
    bool loaded = rules_take_model(f, r->co, status);
    rules_stop_thinking(r, f->L);
    if (!loaded) rules_unload(f);
    if (!rules_begin_thinking(r, lane)) rules_next(r);
}

/* The model has answered, or ended with this status. */
static void rules_end_request(wf_rules *r, rules_lane *l, int status) {
    if (status == LUA_OK)
        rules_take_answer(r, l);
    else if (status != LUA_YIELD && wfi_lua_caught(r->co, status))
        rules_starve(r, l);
    else
        rules_fail(r, l, 400, rules_why(r->co, status));
    rules_stop_thinking(r, l->file->L);
    rules_next(r);
}

/* One slice of the request that is being answered. */
static void rules_think(wf_rules *r) {
    rules_lane *l = &r->lanes[r->thinking];
    lua_State *L = l->file->L;
    int results = 0, args = lua_status(r->co) == LUA_YIELD || !l->file->loaded ? 0 : 3;
    wfi_meter *m = &l->file->meter;
    r->file = l->file;
    r->slice = m->busy;
    wfi_meter_begin(m);
    m->running = r->co;
    int status = lua_resume(r->co, L, args, &results);
    m->running = NULL;
    wfi_meter_look(m, true);
    if (status == LUA_YIELD) {
        lua_pop(r->co, results);
        if (!rules_over(r, l->file)) return;
    }
    if (l->file->loaded)
        rules_end_request(r, l, status);
    else
        rules_end_text(r, l, status);
}

/* ---- the transport ---- */

static wf_status rules_begin(void *ctx, uint32_t lane, const wf_request *request) {
    wf_rules *r = ctx;
    rules_lane *l = &r->lanes[lane];
    memset(l, 0, sizeof *l);
    l->state = RULES_FILLING;
    l->body_len = (size_t)request->body_len;
    l->file = rules_find(r, request->model, true);
    if (!l->file || !l->file->L) {
        rules_fail(r, l, 404,
                   l->file ? l->file->error : "the rules file's name is empty, too long, or the fifth of one run");
        return WF_OK;
    }
    return WF_OK;
}

/* Whether another request holds memory that it will give back. */
static bool rules_others_hold(const wf_rules *r, const rules_lane *l) {
    for (uint32_t i = 0; i < r->config.lanes; i++)
        if (&r->lanes[i] != l && (r->lanes[i].body || r->lanes[i].reply)) return true;
    return false;
}

/* Whether there is memory for a request and for the model to work on it. */
static bool rules_has_room(wf_rules *r, size_t body_len) {
    wf_heap_use use;
    for (int pass = 0; pass < 2; pass++) {
        wf_heap_stats(r->heap, &use);
        if (use.used < use.limit && body_len <= (use.limit - use.used) / RULES_WORK) return true;
        if (pass == 0) wf_rules_collect(r);
    }
    return false;
}

/* Takes the memory for a whole request. WF_AGAIN: when another one has given its own back. */
static wf_status rules_make_room(wf_rules *r, rules_lane *l) {
    l->tried = r->freed;
    if (rules_others_hold(r, l) && !rules_has_room(r, l->body_len)) return WF_AGAIN;
    l->body = rules_take(r, l->body_len);
    if (l->body) return WF_OK;
    if (rules_others_hold(r, l)) return WF_AGAIN;
    rules_starve(r, l);
    return WF_OK;
}

static wf_status rules_send(void *ctx, uint32_t lane, const void *buf, size_t n, size_t *sent) {
    wf_rules *r = ctx;
    rules_lane *l = &r->lanes[lane];
    *sent = n;
    if (l->state == RULES_FILLING && !l->body && rules_make_room(r, l) == WF_AGAIN) {
        *sent = 0;
        return WF_AGAIN;
    }
    if (l->state != RULES_FILLING) return WF_OK; /* the answer is known already */
    if (n > l->body_len - l->got) return WF_E_IO;
    memcpy(l->body + l->got, buf, n);
    l->got += n;
    if (l->got < l->body_len) return WF_OK;
    l->state = RULES_WAITING;
    l->arrival = ++r->arrivals;
    if (r->thinking == r->config.lanes) rules_next(r);
    return WF_OK;
}

static wf_status rules_head(void *ctx, uint32_t lane, wf_response *out) {
    wf_rules *r = ctx;
    rules_lane *l = &r->lanes[lane];
    if (l->state == RULES_THINKING) rules_think(r);
    if (l->state == RULES_STARVED) return WF_E_MEMORY;
    if (l->state != RULES_ANSWERED || r->config.now_ms(r->config.ctx) < l->due) return WF_AGAIN;
    *out = (wf_response){.status = l->status, .retry_after_ms = l->retry_after, .should_retry = -1};
    return WF_OK;
}

static wf_status rules_recv(void *ctx, uint32_t lane, void *buf, size_t n, size_t *got) {
    rules_lane *l = &((wf_rules *)ctx)->lanes[lane];
    size_t left = l->reply_len - l->sent;
    if (left == 0) return WF_END;
    *got = left < n ? left : n;
    memcpy(buf, l->reply + l->sent, *got);
    l->sent += *got;
    return WF_OK;
}

static void rules_end(void *ctx, uint32_t lane) {
    wf_rules *r = ctx;
    rules_lane *l = &r->lanes[lane];
    bool thinking = l->state == RULES_THINKING;
    rules_free(r, &l->body);
    rules_free(r, &l->reply);
    lua_State *L = thinking ? l->file->L : NULL;
    memset(l, 0, sizeof *l);
    if (!thinking) return;
    rules_stop_thinking(r, L);
    rules_next(r);
}

/* Whether it can go on now: works, has no memory, or found no room, and there may be some now. */
static bool rules_goes_on(const wf_rules *r, const rules_lane *l) {
    bool waits = l->state == RULES_FILLING && !l->body && l->body_len > 0;
    return l->state == RULES_THINKING || l->state == RULES_STARVED || (waits && l->tried != r->freed);
}

static uint32_t rules_ready(void *ctx, uint32_t *lanes, uint32_t max) {
    wf_rules *r = ctx;
    uint64_t now = r->config.now_ms(r->config.ctx);
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->config.lanes && n < max; i++) {
        const rules_lane *l = &r->lanes[i];
        if (rules_goes_on(r, l) || (l->state == RULES_ANSWERED && l->due <= now)) lanes[n++] = i;
    }
    return n;
}

static uint64_t rules_due(void *ctx) {
    wf_rules *r = ctx;
    uint64_t due = UINT64_MAX;
    for (uint32_t i = 0; i < r->config.lanes; i++) {
        const rules_lane *l = &r->lanes[i];
        if (rules_goes_on(r, l)) return 0;
        if (l->state == RULES_ANSWERED && l->due < due) due = l->due;
    }
    return due;
}

const wf_model_ops *wf_rules_ops(void) {
    static const wf_model_ops ops = {.begin = rules_begin,
                                     .send = rules_send,
                                     .head = rules_head,
                                     .recv = rules_recv,
                                     .end = rules_end,
                                     .ready = rules_ready,
                                     .due = rules_due};
    return &ops;
}

wf_status wf_rules_open(wf_rules **out, const wf_rules_config *config) {
    wf_heap *heap = config->heap ? config->heap : wf_heap_open(config->memory, config->memory_size);
    wf_rules *r = heap ? wf_heap_resize(heap, NULL, sizeof *r) : NULL;
    *out = NULL;
    if (!r) return WF_E_MEMORY;
    memset(r, 0, sizeof *r);
    r->config = *config;
    r->heap = heap;
    if (r->config.max_ms == 0) r->config.max_ms = RULES_BUSY_MS;
    r->thinking = r->config.lanes;
    r->lanes = wf_heap_resize(heap, NULL, r->config.lanes * sizeof *r->lanes);
    if (!r->lanes) return WF_E_MEMORY;
    memset(r->lanes, 0, r->config.lanes * sizeof *r->lanes);
    *out = r;
    return WF_OK;
}

void wf_rules_memory(const wf_rules *r, wf_heap_use *out) {
    wf_heap_stats(r->heap, out);
}

void wf_rules_collect(wf_rules *r) {
    for (uint32_t i = 0; i < RULES_FILES; i++)
        if (r->files[i].L) lua_gc(r->files[i].L, LUA_GCCOLLECT);
}

void wf_rules_close(wf_rules *r) {
    for (uint32_t i = 0; i < RULES_FILES; i++)
        if (r->files[i].L) lua_close(r->files[i].L);
}
