/* script: see script.h. Lua as the orchestration language, over the public API and Lua's public C
 * API: the functions of src/api/lua.h for scripts, the branches and their queue, and running them. */
#include "script.h"

#include <string.h>

#include "host.h"
#include "report.h"
#include "sandbox.h"

#include "gen_effects.h"
#include "gen_flow.h"
#include "gen_agents.h"
#include "gen_verify.h"
#include "gen_stdlib.h"

#define SCRIPT_SLICE_MS   10     /* before a branch is pre-empted, and I/O has its turn */
#define SCRIPT_STUCK_MS   100    /* that code which cannot be pre-empted may take */
#define SCRIPT_RESUMES    256    /* branches resumed in one step */
#define SCRIPT_BUSY_MS    30000u /* default of max_ms */
#define SCRIPT_STOPPED_MS 1000u  /* that a script may still work once the run stops */
#define SCRIPT_PATH_MAX   400u
#define SCRIPT_NAMED      (1u << 20) /* bytes of a source that are searched for what it names */

/* Keys of the registry, by their addresses. */
static const char script_branches = 'b', script_calls = 'c', script_meta = 'm', script_env = 'e', script_begin = 'g';

static void script_anchor(lua_State *L, const char *key) {
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

/* ---- branches ---- */

WFI void wfi_script_enqueue(wf_script *s, wfi_script_branch *b, bool front) {
    b->queued = true;
    b->blocked = false;
    b->next = front ? s->first : NULL;
    if (front || !s->first) {
        s->first = b;
        if (!b->next) s->last = b;
    } else {
        s->last->next = b;
        s->last = b;
    }
}

/* Lets go of a branch that has ended or was killed. */
static void script_release(wf_script *s, wfi_script_branch *b) {
    lua_rawgetp(s->L, LUA_REGISTRYINDEX, &script_branches);
    lua_pushnil(s->L);
    lua_rawsetp(s->L, -2, b); /* an existing key: nothing is allocated */
    lua_pop(s->L, 1);
}

static void script_unlink(wfi_script_branch *b) {
    if (b->older) b->older->younger = b->younger;
    if (b->younger) b->younger->older = b->older;
    if (b->parent && b->parent->child == b) b->parent->child = b->older;
    b->parent = b->older = b->younger = NULL;
}

static uint64_t script_fnv(const char *p) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    while (*p)
        h = (h ^ (uint8_t)*p++) * UINT64_C(0x100000001b3);
    return h;
}

WFI void wfi_script_push_branch(lua_State *L, const wfi_script_branch *b) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &script_branches);
    lua_rawgetp(L, -1, b);
    lua_remove(L, -2);
}

/* Gives the branch on top of the stack what it inherits from the current one: the phase, the workflow. */
static void script_inherit(lua_State *L) {
    wfi_script_push_branch(L, wfi_script_of(L)->current);
    for (int value = WFI_SCRIPT_PHASE; value <= WFI_SCRIPT_WORKFLOW; value++) {
        lua_getiuservalue(L, -1, value);
        lua_setiuservalue(L, -3, value);
    }
    lua_pop(L, 1);
}

WFI wfi_script_branch *wfi_script_new_branch(lua_State *L, const char *path) {
    wf_script *s = wfi_script_of(L);
    wfi_script_branch *b = lua_newuserdatauv(L, sizeof *b, WFI_SCRIPT_VALUES);
    memset(b, 0, sizeof *b);
    b->random = s->seed ^ script_fnv(path);
    b->co = lua_newthread(L);
    lua_setiuservalue(L, -2, WFI_SCRIPT_THREAD);
    lua_pushstring(L, path);
    lua_setiuservalue(L, -2, WFI_SCRIPT_PATH);
    if (s->current) script_inherit(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &script_branches);
    lua_insert(L, -2);
    lua_rawsetp(L, -2, b);
    lua_pop(L, 1);
    lua_xmove(L, b->co, 1);
    b->parent = s->current;
    if (b->parent) {
        b->older = b->parent->child;
        if (b->older) b->older->younger = b;
        b->parent->child = b;
    }
    return b;
}

/* The path of a branch; lives as long as the branch. */
static const char *script_path(lua_State *L, const wfi_script_branch *b) {
    wfi_script_push_branch(L, b);
    lua_getiuservalue(L, -1, WFI_SCRIPT_PATH);
    const char *path = lua_tostring(L, -1);
    lua_pop(L, 2);
    return path;
}

WFI const char *wfi_script_next_place(lua_State *L) {
    wfi_script_branch *b = wfi_script_of(L)->current;
    if (wfi_meter_out(&wfi_script_of(L)->meter))
        luaL_error(L, "not enough memory"); /* a <close> variable begins nothing more */
    const char *path = script_path(L, b);
    if (strlen(path) > SCRIPT_PATH_MAX)
        wfi_lua_error(L, "fan-outs are nested too deep: the place has no room for more");
    return lua_pushfstring(L, "%s%s%I", path, *path ? "/" : "", (LUAI_UACINT)++b->counter);
}

WFI void wfi_script_await(lua_State *L, wf_call call) {
    wf_script *s = wfi_script_of(L);
    s->current->call = call;
    s->meter.busy = s->slice = 0;
    lua_settop(L, 0); /* the texts are in the log: a call that waits keeps no copies */
    lua_rawgetp(L, LUA_REGISTRYINDEX, &script_calls);
    lua_pushlightuserdata(L, s->current);
    lua_rawseti(L, -2, (lua_Integer)call.bits);
    lua_pop(L, 1);
}

static void script_forget_call(wf_script *s, wfi_script_branch *b) {
    lua_rawgetp(s->L, LUA_REGISTRYINDEX, &script_calls);
    lua_pushnil(s->L);
    lua_rawseti(s->L, -2, (lua_Integer)b->call.bits);
    lua_pop(s->L, 1);
    b->call.bits = 0;
}

/* Fan-outs that wait for memory. */

WFI void wfi_script_hold(wf_script *s, wfi_script_branch *b) {
    b->held = true;
    b->next = s->held;
    s->held = b;
}

WFI void wfi_script_unhold(wf_script *s, wfi_script_branch *b) {
    wfi_script_branch **at = &s->held;
    if (!b->held) return;
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    b->held = false;
}

/* One looks again, if memory is no longer short. */
static void script_wake_held(wf_script *s) {
    wfi_script_branch *b = s->held;
    if (!b || (!s->changed && !s->meter.collecting)) return;
    s->changed = false;
    if (wfi_meter_short(s->L)) return;
    wfi_script_unhold(s, b); /* one at a time: it may make memory short again */
    wfi_script_enqueue(s, b, false);
}

WFI void wfi_script_kill(wf_script *s, wfi_script_branch *b) {
    while (b->child)
        wfi_script_kill(s, b->child);
    script_unlink(b);
    b->dead = true;
    if (b->call.bits != 0) {
        wf_status status = wf_call_cancel(s->config.run, b->call);
        if (status < 0 && status != WF_E_STALE) s->broken = status;
        script_forget_call(s, b);
    }
    wfi_script_unhold(s, b);
    if (!b->queued) script_release(s, b); /* else when it comes out of the queue */
}

/* ---- opening ---- */

static bool script_endless(const wf_script *s) {
    return s->meter.busy > s->config.max_ms;
}

/* Whether it is I/O's turn. */
static bool script_slice_over(const wf_script *s) {
    return s->meter.busy - s->slice >= SCRIPT_SLICE_MS;
}

/* Looks at running code now and then: pre-empts it, and ends what takes too long. */
static void script_hook(lua_State *L, lua_Debug *frame) {
    wf_script *s = wfi_script_of(L);
    bool can_yield = lua_isyieldable(L);
    (void)frame;
    wfi_meter_look(&s->meter, can_yield);
    wfi_meter_turn(L);
    wfi_meter_hook(L, wfi_meter_interval(&s->meter));
    if (can_yield) {
        if (script_endless(s) || script_slice_over(s)) lua_yield(L, 0);
        return;
    }
    if (s->meter.stuck < SCRIPT_STUCK_MS && !script_endless(s)) return;
    lua_sethook(L, script_hook, LUA_MASKCOUNT, 1); /* no pcall in there gets far */
    luaL_error(L, "code that cannot be interrupted (a metamethod or callback called from C) ran for too long");
}

WFI int wfi_script_load_text(lua_State *L, wf_str source, wf_str name) {
    lua_pushliteral(L, "@");
    lua_pushlstring(L, name.ptr, name.len);
    lua_concat(L, 2);
    int status = wfi_lua_load(L, source, lua_tostring(L, -1));
    lua_remove(L, -2);
    return status;
}

static int script_load(lua_State *L) {
    const wf_script_config *c = &wfi_script_of(L)->config;
    return wfi_script_load_text(L, c->source, c->name.len > 0 ? c->name : WF_STR("script"));
}

static int script_decode_args(lua_State *L) {
    wfi_lua_push_json(L, wfi_script_of(L)->config.args);
    return 1;
}

/* Pushes the script's args: a table that may be empty, or whatever JSON was given. */
static void script_push_args(lua_State *L) {
    if (wfi_script_of(L)->config.args.len == 0) {
        lua_newtable(L);
        return;
    }
    lua_pushcfunction(L, script_decode_args);
    if (lua_pcall(L, 0, 1, 0) == LUA_OK) return;
    if (lua_type(L, -1) == LUA_TSTRING) lua_pushfstring(L, "the args given to the script: %s", lua_tostring(L, -1));
    lua_error(L);
}

/* Puts what goes before the script in front of its function. */
static void script_prepare(lua_State *L) {
    const wf_script_config *c = &wfi_script_of(L)->config;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &script_begin);
    lua_insert(L, -2);
    lua_pushlstring(L, c->source.ptr, c->source.len < SCRIPT_NAMED ? c->source.len : SCRIPT_NAMED);
    lua_call(L, 2, 1);
}

/* Protected: builds the environment and the main branch. A script that does not compile gets one that raises why. */
static int script_setup(lua_State *L) {
    wf_script *s = wfi_script_of(L);
    lua_settop(L, 0);
    lua_newtable(L);
    script_anchor(L, &script_branches);
    lua_newtable(L);
    script_anchor(L, &script_calls);
    wfi_report_open(L);
    wfi_sandbox_open(L);
    wfi_host_open(L, 1);
    lua_pushvalue(L, 2);
    script_anchor(L, &script_env);
    script_push_args(L);
    lua_setfield(L, 2, "args");
    wfi_sandbox_load(L, wfi_stdlib);
    wfi_sandbox_load(L, wfi_flow);
    wfi_sandbox_load(L, wfi_effects);
    wfi_sandbox_load(L, wfi_agents);
    wfi_sandbox_load(L, wfi_verify);
    lua_getfield(L, 1, "begin");
    script_anchor(L, &script_begin);
    wfi_sandbox_seal(L);

    int status = script_load(L);
    if (status != LUA_OK) {
        if (wfi_lua_caught(L, status)) return lua_error(L);
        s->result.failed = true;
        return 1;
    }
    script_prepare(L);
    lua_sethook(L, script_hook, LUA_MASKCOUNT, 1); /* branches inherit it */
    s->main = wfi_script_new_branch(L, "");
    lua_sethook(L, NULL, 0, 0);
    wfi_script_enqueue(s, s->main, false);
    wfi_meter_adopt(L);
    return 0;
}

/* ---- running ---- */

/* A branch gave way: it was pre-empted, or lets one that it spawned go first; neither can be seen by the script. */
static void script_give_way(wf_script *s, wfi_script_branch *b) {
    wfi_script_enqueue(s, b, true);
    if (s->next_up) wfi_script_enqueue(s, s->next_up, true);
    s->next_up = NULL;
}

static void script_resume(wf_script *s, wfi_script_branch *b) {
    int results = 0, args = b->args;
    s->current = b;
    s->meter.running = b->co;
    b->args = 0;
    int status = lua_resume(b->co, s->L, args, &results);
    s->current = NULL;
    s->meter.running = NULL;
    if (status == LUA_YIELD) {
        if (results == 0) script_give_way(s, b);
        lua_pop(b->co, results);
        return;
    }
    if (status != LUA_OK && wfi_lua_caught(b->co, status)) return;
    while (b->child) /* none, unless its fan-out broke off in the middle */
        wfi_script_kill(s, b->child);
    if (status != LUA_OK) {
        wfi_report_fail_error(s, b->co);
    } else if (b == s->main) {
        wfi_report_ended(s);
    } else {
        script_unlink(b);
        script_release(s, b);
    }
}

/* Protected: puts a delivery's values on the stack of the branch that waits for it (host_delivered). */
static int script_hand_over(lua_State *L) {
    const wf_delivery *d = lua_touserdata(L, 1);
    wfi_script_branch *b = lua_touserdata(L, 2);
    lua_pushlstring(L, d->value.ptr, d->value.len);
    wfi_lua_room(b->co, 8, "delivery");
    lua_pushstring(L, wf_kind_name(d->kind));
    lua_insert(L, -2);
    lua_pushinteger(L, d->id);
    lua_pushinteger(L, d->attempts);
    lua_pushboolean(L, d->stopped);
    lua_pushboolean(L, d->kind == WF_KIND_NONE && d->json);
    lua_xmove(L, b->co, 6);
    b->args = 6;
    return 0;
}

/* Leaves the error on the stack if there is one. The JSON of a value may be longer than any text in it. */
static int script_try_hand_over(lua_State *L, const wf_delivery *d, wfi_script_branch *b) {
    wfi_meter *m = wfi_meter_of(L);
    if (d->json) m->text_max = SIZE_MAX;
    lua_pushcfunction(L, script_hand_over);
    lua_pushlightuserdata(L, (void *)(uintptr_t)d);
    lua_pushlightuserdata(L, b);
    int status = lua_pcall(L, 2, 0, 0);
    m->text_max = WFI_TEXT_MAX;
    return status;
}

static void script_deliver(wf_script *s, const wf_delivery *d) {
    lua_State *L = s->L;
    lua_settop(L, 0);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &script_calls);
    lua_rawgeti(L, -1, (lua_Integer)d->call.bits);
    wfi_script_branch *b = lua_touserdata(L, -1);
    lua_settop(L, 0);
    if (!b) return; /* given up meanwhile */
    script_forget_call(s, b);
    if (d->kind ==
        WF_KIND_MEMORY) { /* an agent's want of memory is the run's: with more of it, there will be an answer */
        s->meter.starved = true;
        return;
    }
    int status = script_try_hand_over(L, d, b);
    if (status != LUA_OK && !wfi_lua_caught(L, status)) { /* the answer cannot be had: that is a failure of its own */
        wf_delivery failed = *d;
        failed.kind = WF_KIND_SCHEMA;
        failed.json = false;
        failed.value.ptr = lua_tolstring(L, -1, &failed.value.len);
        status = script_try_hand_over(L, &failed, b);
    }
    if (status != LUA_OK) {
        s->meter.starved = true; /* it is in the log, and so it is not lost */
        return;
    }
    wfi_script_enqueue(s, b, false);
    s->meter.busy = 0;
    s->changed = true;
}

/* A run that stops gives the script a last, short time to return what it has. */
static void script_mind_stop(wf_script *s) {
    if (wf_run_stopping(s->config.run) != WF_RUN_OPEN && s->config.max_ms > SCRIPT_STOPPED_MS)
        s->config.max_ms = SCRIPT_STOPPED_MS;
}

/* Runs branches until all wait, or for a slice: then it is I/O's turn. */
static void script_run(wf_script *s) {
    wfi_meter_begin(&s->meter);
    s->slice = s->meter.busy;
    for (int i = 0; s->first && i < SCRIPT_RESUMES; i++) {
        wfi_script_branch *b = s->first;
        s->first = b->next;
        b->queued = false;
        if (b->dead) {
            script_release(s, b);
            continue;
        }
        script_resume(s, b);
        if (s->ended || s->broken != WF_OK || s->meter.starved) return;
        wfi_meter_look(&s->meter, true);
        wfi_meter_turn(s->L);
        if (script_slice_over(s)) break;
    }
    if (script_endless(s))
        wfi_report_fail(s,
                        "the script ran too long without waiting for anything: an endless loop? (the limit is the time "
                        "that it works between two results)");
}

static wf_status script_wait(wf_script *s) {
    wf_delivery delivery;
    script_wake_held(s);
    if (s->first) return WF_OK;
    wf_status status = wf_deliver(s->config.run, &delivery);
    if (status == WF_OK) script_deliver(s, &delivery);
    if (status == WF_END) wfi_report_fail(s, "internal error: the script waits for nothing; please report it");
    return s->meter.starved ? WF_E_MEMORY : s->ended ? WF_END : status;
}

/* Memory ran out. What the branches held is given back: agents that are under way can then be heard. */
static wf_status script_give_up(wf_script *s) {
    lua_State *L = s->L;
    s->first = s->held = NULL;
    for (const char *const *key = (const char *const[]){&script_branches, &script_calls, NULL}; *key; key++) {
        lua_pushnil(L);
        lua_rawsetp(L, LUA_REGISTRYINDEX, *key); /* an existing key: nothing is allocated */
    }
    lua_settop(L, 0);
    lua_gc(L, LUA_GCCOLLECT);
    return WF_E_MEMORY;
}

wf_status wf_script_step(wf_script *s) {
    if (s->ended) return WF_END;
    if (s->meter.starved) return WF_E_MEMORY;
    script_mind_stop(s);
    script_run(s);
    if (s->broken != WF_OK) return s->broken;
    wf_status status = s->meter.starved ? WF_E_MEMORY : s->ended ? WF_END : s->first ? WF_OK : script_wait(s);
    return status == WF_E_MEMORY ? script_give_up(s) : status;
}

/* ---- the other public functions ---- */

wf_status wf_script_open(wf_script **out, const wf_script_config *config) {
    wf_run_spec spec;
    uint64_t started = 0;
    wf_heap *heap = config->heap ? config->heap : wf_heap_open(config->memory, config->memory_size);
    wf_script *s = heap ? wf_heap_resize(heap, NULL, sizeof *s) : NULL;
    *out = NULL;
    if (!s) return WF_E_MEMORY;
    memset(s, 0, sizeof *s);
    s->config = *config;
    if (s->config.max_ms == 0) s->config.max_ms = SCRIPT_BUSY_MS;
    const wf_platform *os = wf_settings(config->run)->platform;
    s->meter =
        (wfi_meter){.heap = heap, .now_ms = os->now_ms, .ctx = os->ctx, .hook = script_hook, .text_max = WFI_TEXT_MAX};
    if (wf_run_header(config->run, &spec, &started) == WF_OK) s->seed = started;
    s->L = lua_newstate(wfi_meter_alloc, &s->meter);
    if (!s->L) return WF_E_MEMORY;
    *(wf_script **)lua_getextraspace(s->L) = s;
    lua_State *L = s->L;
    lua_pushcfunction(L, script_setup);
    int status = lua_pcall(L, 0, 1, 0);
    if (status != LUA_OK && wfi_lua_caught(L, status)) return WF_E_MEMORY;
    *out = s;
    if (status == LUA_OK && !s->result.failed) {
        lua_settop(L, 0);
        return WF_OK;
    }
    s->result.failed = false;
    lua_State *holder = L; /* the message is on its stack; wfi_report_fail_error takes it from there */
    lua_pushcfunction(L, wfi_report_text);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, NULL);
    if (lua_pcall(holder, 2, 1, 0) == LUA_OK)
        wfi_report_finish_top(s, true, false);
    else
        wfi_report_fail(s, "the script does not compile");
    return WF_OK;
}

/* Protected: nothing, or the message why the source is no program. */
static int script_compile(lua_State *L) {
    if (script_load(L) == LUA_OK) return 0;
    lua_pushcfunction(L, wfi_report_text);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, NULL);
    lua_call(L, 2, 1);
    return 1;
}

wf_status wf_script_compile(wf_str source, wf_str name, void *memory, size_t size, char *buf, size_t cap) {
    wf_script s;
    memset(&s, 0, sizeof s);
    s.meter.heap = wf_heap_open(memory, size);
    s.meter.text_max = SIZE_MAX;
    lua_State *L = s.meter.heap ? lua_newstate(wfi_meter_alloc, &s.meter) : NULL;
    if (cap > 0) buf[0] = '\0';
    if (!L) return WF_E_MEMORY;
    s.config.source = source;
    s.config.name = name;
    *(wf_script **)lua_getextraspace(L) = &s;
    lua_pushcfunction(L, script_compile);
    int status = lua_pcall(L, 0, 1, 0);
    wf_status answer = status == LUA_OK && lua_isnil(L, -1) ? WF_OK : WF_E_SYNTAX;
    if (status == LUA_ERRMEM) answer = WF_E_MEMORY;
    if (answer == WF_E_SYNTAX && cap > 0) snprintf(buf, cap, "%s", lua_tostring(L, -1));
    lua_close(L);
    return answer;
}

void wf_script_result_get(const wf_script *script, wf_script_result *out) {
    *out = script->result;
}

/* Protected: the script's meta as JSON, anchored; false while there is none. */
static int script_encode_meta(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &script_env);
    lua_pushliteral(L, "meta");
    if (lua_rawget(L, -2) != LUA_TTABLE) return 0;
    wfi_lua_encode(L, -1, "meta");
    lua_pushvalue(L, -1);
    script_anchor(L, &script_meta);
    return 1;
}

bool wf_script_meta(wf_script *s, wf_str *json) {
    lua_State *L = s->L;
    if (!s->meta) {
        lua_settop(L, 0);
        lua_pushcfunction(L, script_encode_meta);
        if (lua_pcall(L, 0, 1, 0) == LUA_OK && lua_isstring(L, -1)) s->meta = lua_tolstring(L, -1, &s->meta_len);
        lua_settop(L, 0);
    }
    *json = wf_str_of(s->meta, s->meta_len);
    return s->meta != NULL;
}

void wf_script_memory(const wf_script *script, wf_heap_use *out) {
    wf_heap_stats(script->meter.heap, out);
}

void wf_script_collect(wf_script *script) {
    lua_gc(script->L, LUA_GCCOLLECT);
}
