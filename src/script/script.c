/* script: Lua as the orchestration language, over the public API and Lua's public C API.
 *
 * A script is a tree of branches, each a coroutine; the script's main chunk is the root. Branches that can go on stand in one
 * queue, first come first served. They all run until they block; then exactly one result is delivered (wf_deliver), and the
 * branch that waited for it runs on. So the order of things is a function of the order of deliveries, which is the log's.
 *
 * Invariants:
 *   1. A branch is in the queue, or blocked (in block(), held, or on a call), or the current one; never two of these.
 *   2. A pre-empted branch goes to the front of the queue, so pre-emption changes nothing that the script can see.
 *   3. A branch's userdata is anchored in the registry as long as anything of ours points at it.
 *   4. Nothing of Lua that may raise is called outside of a protected call, but lua_resume and what cannot raise.
 *   5. Once ended, no code of the script runs any more: a stop needs no cooperation and cannot be caught.
 *   6. When memory runs out, the script ends there and then: nothing that depends on it is recorded or returned. */
#include <stdlib.h>
#include <string.h>

#include "sandbox.h"

#include "gen_effects.h"
#include "gen_flow.h"
#include "gen_agents.h"
#include "gen_verify.h"
#include "gen_stdlib.h"

#define SCRIPT_SLICE_MS   10     /* before a branch is pre-empted, and I/O has its turn */
#define SCRIPT_STUCK_MS   100    /* that code which cannot be pre-empted may take */
#define SCRIPT_LINE_MAX   200u   /* bytes shown of a line */
#define SCRIPT_FRAMES     20     /* shown of a traceback */
#define SCRIPT_RESUMES    256    /* branches resumed in one step */
#define SCRIPT_BUSY_MS    30000u /* default of max_ms */
#define SCRIPT_STOPPED_MS 1000u  /* that a script may still work once the run stops */
#define SCRIPT_PATH_MAX   400u
#define SCRIPT_NAMED      (1u << 20)  /* bytes of a source that are searched for what it names */
#define SCRIPT_NOTED      (64u << 20) /* bytes of all lines: they go to the disk, which others use too */
#define SCRIPT_NOTE       64u         /* ... and what a record adds to each */

typedef struct script_branch {
    lua_State *co;
    struct script_branch *parent, *child, *older, *younger; /* the tree: first child, its siblings */
    struct script_branch *next;                             /* in the queue */
    wf_call call;                                           /* waited for; bits 0: none */
    uint64_t random;
    uint32_t counter; /* of calls and fan-outs made here */
    int args;         /* on co's stack, for the next resume */
    bool queued, blocked, held, dead;
} script_branch;

struct wf_script {
    wf_script_config config;
    wfi_meter meter;
    lua_State *L;
    script_branch *main, *current, *first, *last;
    uint64_t seed;
    uint64_t slice;         /* the meter's busy time at the begin of this step */
    script_branch *next_up; /* spawned by the branch that runs; goes before it */
    script_branch *held;    /* fan-outs that wait for memory, through `next` */
    bool changed;           /* something was delivered since they looked */
    uint32_t dropped, rejected, errors;
    uint64_t noted;   /* bytes of lines */
    wf_status broken; /* of the run, met inside a call of the script */
    bool ended;
    wf_script_result result;
    const char *meta; /* JSON, anchored in the registry */
    size_t meta_len;
};

/* Keys of the registry, by their addresses. */
static const char script_branches = 'b', script_calls = 'c', script_result = 'r', script_meta = 'm', script_env = 'e',
                  script_begin = 'g', script_sources = 's';

static wf_script *script_of(lua_State *L) {
    return *(wf_script **)lua_getextraspace(L);
}

static void script_anchor(lua_State *L, const char *key) {
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

/* ---- branches ---- */

static void script_enqueue(wf_script *s, script_branch *b, bool front) {
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
static void script_release(wf_script *s, script_branch *b) {
    lua_rawgetp(s->L, LUA_REGISTRYINDEX, &script_branches);
    lua_pushnil(s->L);
    lua_rawsetp(s->L, -2, b); /* an existing key: nothing is allocated */
    lua_pop(s->L, 1);
}

static void script_unlink(script_branch *b) {
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

/* User values of a branch's userdata. */
enum { SCRIPT_THREAD = 1, SCRIPT_PATH, SCRIPT_PHASE, SCRIPT_WORKFLOW, SCRIPT_RAISED, SCRIPT_VALUES = SCRIPT_RAISED };

static void script_push_branch(lua_State *L, const script_branch *b) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &script_branches);
    lua_rawgetp(L, -1, b);
    lua_remove(L, -2);
}

/* Gives the branch on top of the stack what it inherits from the current one: the phase, the workflow. */
static void script_inherit(lua_State *L) {
    script_push_branch(L, script_of(L)->current);
    for (int value = SCRIPT_PHASE; value <= SCRIPT_WORKFLOW; value++) {
        lua_getiuservalue(L, -1, value);
        lua_setiuservalue(L, -3, value);
    }
    lua_pop(L, 1);
}

/* Pops a function and makes a branch of it, which is in no queue yet. */
static script_branch *script_new_branch(lua_State *L, const char *path) {
    wf_script *s = script_of(L);
    script_branch *b = lua_newuserdatauv(L, sizeof *b, SCRIPT_VALUES);
    memset(b, 0, sizeof *b);
    b->random = s->seed ^ script_fnv(path);
    b->co = lua_newthread(L);
    lua_setiuservalue(L, -2, SCRIPT_THREAD);
    lua_pushstring(L, path);
    lua_setiuservalue(L, -2, SCRIPT_PATH);
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
static const char *script_path(lua_State *L, const script_branch *b) {
    script_push_branch(L, b);
    lua_getiuservalue(L, -1, SCRIPT_PATH);
    const char *path = lua_tostring(L, -1);
    lua_pop(L, 2);
    return path;
}

/* Pushes the next place in the current branch: "3", or "2[7]/3". */
static const char *script_next_place(lua_State *L) {
    script_branch *b = script_of(L)->current;
    if (wfi_meter_out(&script_of(L)->meter))
        luaL_error(L, "not enough memory"); /* a <close> variable begins nothing more */
    const char *path = script_path(L, b);
    if (strlen(path) > SCRIPT_PATH_MAX)
        wfi_lua_error(L, "fan-outs are nested too deep: the place has no room for more");
    return lua_pushfstring(L, "%s%s%I", path, *path ? "/" : "", (LUAI_UACINT)++b->counter);
}

static void script_forget_call(wf_script *s, script_branch *b) {
    lua_rawgetp(s->L, LUA_REGISTRYINDEX, &script_calls);
    lua_pushnil(s->L);
    lua_rawseti(s->L, -2, (lua_Integer)b->call.bits);
    lua_pop(s->L, 1);
    b->call.bits = 0;
}

/* Fan-outs that wait for memory. */

static void script_hold(wf_script *s, script_branch *b) {
    b->held = true;
    b->next = s->held;
    s->held = b;
}

static void script_unhold(wf_script *s, script_branch *b) {
    script_branch **at = &s->held;
    if (!b->held) return;
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    b->held = false;
}

/* One looks again, if memory is no longer short. */
static void script_wake_held(wf_script *s) {
    script_branch *b = s->held;
    if (!b || (!s->changed && !s->meter.collecting)) return;
    s->changed = false;
    if (wfi_meter_short(s->L)) return;
    script_unhold(s, b); /* one at a time: it may make memory short again */
    script_enqueue(s, b, false);
}

/* Cancels a branch with all below it. Depth is bounded by the length of paths. */
static void script_kill(wf_script *s, script_branch *b) {
    while (b->child)
        script_kill(s, b->child);
    script_unlink(b);
    b->dead = true;
    if (b->call.bits != 0) {
        wf_status status = wf_call_cancel(s->config.run, b->call);
        if (status < 0 && status != WF_E_STALE) s->broken = status;
        script_forget_call(s, b);
    }
    script_unhold(s, b);
    if (!b->queued) script_release(s, b); /* else when it comes out of the queue */
}

/* ---- what our own Lua code calls ---- */

static int script_block_here(lua_State *L) {
    lua_pushboolean(L, true); /* a yield of no values would be a pre-emption */
    return lua_yield(L, 1);
}

static void script_check_yieldable(lua_State *L, const char *what) {
    if (!lua_isyieldable(L))
        wfi_lua_error(L,
                      "%s cannot be called here: a function that cannot wait is in between (a metamethod or a callback "
                      "called from C)",
                      what);
}

static const char *script_stop_kind(wf_outcome outcome) {
    switch (outcome) {
    case WF_RUN_BUDGET:
        return "budget";
    case WF_RUN_DEADLINE:
        return "deadline";
    case WF_RUN_PAUSED:
        return "quota";
    case WF_RUN_REFUSED:
        return "auth";
    default:
        return "cancelled";
    }
}

/* What follows a start: wait for the call, or answer in its stead. */
static int script_started(lua_State *L, const char *what, wf_status status, wf_call call) {
    wf_script *s = script_of(L);
    wf_error error;
    if (status == WF_OK) {
        s->current->call = call;
        s->meter.busy = s->slice = 0;
        lua_settop(L, 0); /* the texts are in the log: a call that waits keeps no copies */
        lua_rawgetp(L, LUA_REGISTRYINDEX, &script_calls);
        lua_pushlightuserdata(L, s->current);
        lua_rawseti(L, -2, (lua_Integer)call.bits);
        lua_pop(L, 1);
        return script_block_here(L);
    }
    wf_last_error(s->config.run, &error);
    switch (status) {
    case WF_E_STOPPED:
        lua_pushstring(L, script_stop_kind(wf_run_stopping(s->config.run)));
        lua_pushstring(L, error.text);
        return 2;
    case WF_E_LIMIT:
        lua_pushliteral(L, "budget");
        lua_pushstring(L, error.text);
        return 2;
    case WF_E_MEMORY:
        s->meter.starved = true;
        return luaL_error(L, "%s", error.text);
    case WF_E_CONFIG:
        return wfi_lua_error(L, "%s: %s", what, error.text);
    default:
        s->broken = status;
        return script_block_here(L);
    }
}

static wf_str script_arg(lua_State *L, int arg) {
    size_t n = 0;
    const char *p = lua_isnoneornil(L, arg) ? NULL : luaL_checklstring(L, arg, &n);
    return wf_str_of(p, n);
}

static uint32_t script_arg_u32(lua_State *L, int arg) {
    return (uint32_t)luaL_optinteger(L, arg, 0);
}

static int script_agent(lua_State *L) {
    wf_agent_spec spec = {.prompt = script_arg(L, 1),
                          .identity = script_arg(L, 2),
                          .label = script_arg(L, 3),
                          .phase = script_arg(L, 4),
                          .schema = script_arg(L, 5),
                          .model = script_arg(L, 6),
                          .effort = script_arg(L, 7),
                          .system = script_arg(L, 8),
                          .tools = script_arg(L, 9),
                          .max_turns = script_arg_u32(L, 10),
                          .max_tokens = script_arg_u32(L, 11),
                          .retries = script_arg_u32(L, 12),
                          .agent_ms = script_arg_u32(L, 13),
                          .stall_ms = script_arg_u32(L, 14),
                          .no_cache = lua_toboolean(L, 15),
                          .budget_tokens = (uint64_t)luaL_optinteger(L, 16, 0),
                          .budget_nano_usd = (uint64_t)luaL_optinteger(L, 17, 0),
                          .cwd = script_arg(L, 18)};
    wf_call call = {0};
    script_check_yieldable(L, "agent");
    const char *place = script_next_place(L);
    spec.path = wf_str_of(place, strlen(place));
    return script_started(L, "agent", wf_agent_start(script_of(L)->config.run, &spec, &call), call);
}

static int script_effect(lua_State *L) {
    wf_str name = script_arg(L, 1), input = script_arg(L, 2);
    wf_call call = {0};
    script_check_yieldable(L, name.ptr);
    const char *place = script_next_place(L);
    wf_effect_spec spec = {.path = wf_str_of(place, strlen(place)), .name = name, .input = input};
    spec.ms = script_arg_u32(L, 3);
    spec.changes = lua_toboolean(L, 4);
    return script_started(L, name.ptr, wf_effect_start(script_of(L)->config.run, &spec, &call), call);
}

/* spawn(place, i, f): a branch that runs f. It goes on to run at the next yield of this one, which comes right after it. */
static int script_spawn(lua_State *L) {
    const char *place = luaL_checkstring(L, 1);
    lua_Integer i = luaL_checkinteger(L, 2);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    const char *path = lua_pushfstring(L, "%s[%I]", place, (LUAI_UACINT)i);
    lua_pushvalue(L, 3);
    script_branch *b = script_new_branch(L, path);
    script_of(L)->next_up = b;
    lua_pushlightuserdata(L, b);
    return 1;
}

/* Lets the branch that was spawned last run until it waits. */
static int script_start(lua_State *L) {
    return lua_yield(L, 0);
}

/* Whether memory is short: then this fan-out, some of whose branches run, begins no more of them for now. */
static int script_short(lua_State *L) {
    lua_pushboolean(L, wfi_meter_short(L));
    return 1;
}

static int script_scope(lua_State *L) {
    script_check_yieldable(L, "a fan-out");
    script_next_place(L);
    return 1;
}

static int script_self(lua_State *L) {
    lua_pushlightuserdata(L, script_of(L)->current);
    return 1;
}

/* block(held): until somebody wakes it; held: or memory is no longer short. */
static int script_block(lua_State *L) {
    wf_script *s = script_of(L);
    s->current->blocked = true;
    if (lua_toboolean(L, 1)) script_hold(s, s->current);
    return script_block_here(L);
}

static int script_wake(lua_State *L) {
    script_branch *b = lua_touserdata(L, 1);
    if (!b->blocked) return 0;
    script_unhold(script_of(L), b);
    script_enqueue(script_of(L), b, false);
    return 0;
}

static int script_kill_branch(lua_State *L) {
    script_kill(script_of(L), lua_touserdata(L, 1));
    return 0;
}

/* With an argument: sets a value of the current branch; without: what it is. */
static int script_value(lua_State *L, int value) {
    bool ask = lua_gettop(L) == 0;
    script_push_branch(L, script_of(L)->current);
    if (ask) {
        lua_getiuservalue(L, -1, value);
        return 1;
    }
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, value);
    return 0;
}

static int script_phase(lua_State *L) {
    return script_value(L, SCRIPT_PHASE);
}

/* Of a branch of the script itself: nil. */
static int script_workflow(lua_State *L) {
    return script_value(L, SCRIPT_WORKFLOW);
}

/* globals(): a table of globals as the script found its own. */
static int script_globals(lua_State *L) {
    wfi_sandbox_globals(L);
    return 1;
}

static int script_drop(lua_State *L) {
    script_of(L)->dropped++;
    return 0;
}

static int script_reject(lua_State *L) {
    script_of(L)->rejected++;
    return 0;
}

/* The number of the line that a message of the form "NAME:NUMBER: ..." names; 0: it names none of this file. */
static unsigned long script_line_number(const char *message, wf_str name) {
    const bool cut = name.len >= LUA_IDSIZE; /* Lua shows the end of a long name */
    const size_t dots = cut ? 3 : 0, shown = cut ? LUA_IDSIZE - 1 - dots : name.len;
    if (name.len == 0 || strncmp(message, "...", dots) != 0) return 0;
    message += dots;
    if (strncmp(message, name.ptr + (name.len - shown), shown) != 0 || message[shown] != ':') return 0;
    return strtoul(message + shown + 1, NULL, 10);
}

/* The same for the script and all workflows that it has loaded, with the source. */
static unsigned long script_find_line(lua_State *L, const char *message, wf_str *source) {
    const wf_script_config *c = &script_of(L)->config;
    unsigned long number = script_line_number(message, c->name);
    *source = c->source;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &script_sources) != LUA_TTABLE) lua_newtable(L);
    for (lua_pushnil(L); number == 0 && lua_next(L, -2) != 0; lua_pop(L, 1)) {
        wf_str name;
        name.ptr = lua_tolstring(L, -2, &name.len);
        source->ptr = lua_tolstring(L, -1, &source->len); /* anchored where it is */
        number = script_line_number(message, name);
    }
    return number;
}

/* names_line(message): whether it begins with a line of the script, or of a workflow that it loaded. */
static int script_names_line(lua_State *L) {
    wf_str source;
    lua_pushboolean(L, script_find_line(L, luaL_checkstring(L, 1), &source) > 0);
    return 1;
}

/* Pushes "NAME:LINE: " of the line that a branch is at, or, where it runs none of the script's, the one that started it. */
static void script_push_where(lua_State *L, const script_branch *b) {
    lua_Debug frame;
    for (; b; b = b->parent) {
        for (int i = 0; i < SCRIPT_FRAMES && lua_getstack(b->co, i, &frame); i++) {
            lua_getinfo(b->co, "Sl", &frame);
            if (frame.currentline <= 0 || strcmp(frame.source, WFI_LUA_PRELUDE) == 0) continue;
            lua_pushfstring(L, "%s:%d: ", frame.short_src, frame.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

/* The message handler of try: keeps the place, which is gone once the error is caught. */
static int script_raised(lua_State *L) {
    const script_branch *b = script_of(L)->current;
    script_push_branch(L, b);
    script_push_where(L, b);
    lua_setiuservalue(L, -2, SCRIPT_RAISED);
    lua_settop(L, 1);
    return 1;
}

static int script_tried(lua_State *L, int status, lua_KContext context) {
    const script_branch *b = script_of(L)->current;
    (void)context;
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 1;
    if (wfi_lua_caught(L, status)) return lua_error(L);
    lua_pushboolean(L, false);
    lua_insert(L, -2);
    script_push_branch(L, b);
    if (lua_getiuservalue(L, -1, SCRIPT_RAISED) != LUA_TSTRING) script_push_where(L, b); /* no handler saw it */
    lua_replace(L, -2);
    return 3;
}

/* try(f, ...), once in a branch: as pcall, but the line that raised an error stands behind it, as "NAME:LINE: ". */
static int script_try(lua_State *L) {
    lua_pushcfunction(L, script_raised);
    lua_insert(L, 1);
    lua_pushboolean(L, true); /* stands before the results */
    lua_insert(L, 2);
    return script_tried(L, lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 1, 0, script_tried), 0);
}

/* A branch was ended by a mistake of the script. */
static int script_count_error(lua_State *L) {
    script_of(L)->errors++;
    return 0;
}

/* note(kind, text): a wf_note_kind. */
static int script_note(lua_State *L) {
    wf_script *s = script_of(L);
    wf_str line = script_arg(L, 2);
    if (wfi_meter_out(&s->meter))
        return 0; /* a <close> variable's last words: the resumed run will not say them here */
    s->noted += SCRIPT_NOTE + line.len;
    if (s->noted > SCRIPT_NOTED) return wfi_lua_error(L, "log and phase: more than 64 MiB of lines in one run");
    wf_status status = wf_note(s->config.run, (wf_note_kind)lua_tointeger(L, 1), line);
    if (status < 0) s->broken = status;
    return 0;
}

static int script_print(lua_State *L) {
    lua_settop(L, 1);
    lua_pushinteger(L, WF_NOTE_LINE);
    lua_insert(L, 1);
    return script_note(L);
}

/* status(unit): the total or nil, what is spent or nil for an unknown unit, and the run's clock in seconds. */
static int script_status(lua_State *L) {
    const char *unit = luaL_checkstring(L, 1);
    wf_run_status run;
    wf_run_status_get(script_of(L)->config.run, &run);
    const wf_config *c = wf_settings(script_of(L)->config.run);
    const wf_usage *u = &run.delivered;
    lua_settop(L, 0);
    if (strcmp(unit, "tokens") == 0) {
        if (c->budget_tokens > 0) lua_pushinteger(L, (lua_Integer)c->budget_tokens);
        lua_settop(L, 1);
        lua_pushinteger(L, (lua_Integer)(u->input + u->output + u->cache_read + u->cache_write));
    } else if (strcmp(unit, "usd") == 0) {
        if (c->budget_nano_usd > 0) lua_pushnumber(L, (lua_Number)c->budget_nano_usd / 1e9);
        lua_settop(L, 1);
        lua_pushnumber(L, (lua_Number)u->nano_usd / 1e9);
    } else if (strcmp(unit, "seconds") == 0) {
        if (c->run_ms > 0) lua_pushnumber(L, (lua_Number)c->run_ms / 1e3);
        lua_settop(L, 1);
        lua_pushnumber(L, (lua_Number)(run.now_ms - run.started_ms) / 1e3);
    }
    lua_settop(L, 2);
    lua_pushnumber(L, (lua_Number)run.now_ms / 1e3);
    return 3;
}

static int script_check_schema(lua_State *L) {
    wf_schema_error error;
    wf_status status = wf_schema_check(script_arg(L, 1), script_arg(L, 2), &error);
    if (status == WF_OK) return 0;
    lua_pushfstring(L, "%s%s%s", error.path, *error.path ? ": " : "", error.reason);
    return 1;
}

/* schema_ignored(schema): the keywords that are not checked, or nothing. */
static int script_schema_ignored(lua_State *L) {
    char names[200];
    if (wf_schema_ignored(script_arg(L, 1), names, sizeof names) == 0) return 0;
    lua_pushstring(L, names);
    return 1;
}

static int script_cap(lua_State *L) {
    wf_run_cap(script_of(L)->config.run, (uint64_t)luaL_optinteger(L, 1, 0), (uint64_t)luaL_optinteger(L, 2, 0));
    return 0;
}

/* The names of the run's tools. */
static int script_tools(lua_State *L) {
    const wf_config *c = wf_settings(script_of(L)->config.run);
    lua_newtable(L);
    for (uint32_t i = 0; i < c->tool_count; i++) {
        lua_pushlstring(L, c->tools[i].name.ptr, c->tools[i].name.len);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int script_may_exec(lua_State *L) {
    lua_pushboolean(L, script_of(L)->config.exec);
    return 1;
}

/* The run's model. */
static int script_model(lua_State *L) {
    wf_str model = wf_settings(script_of(L)->config.run)->model;
    lua_pushlstring(L, model.ptr, model.len);
    return 1;
}

/* splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014), one stream for each branch. */
static int script_random(lua_State *L) {
    uint64_t z = script_of(L)->current->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    lua_pushinteger(L, (lua_Integer)(z ^ z >> 31));
    return 1;
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
    wf_script *s = script_of(L);
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

/* Loads a source: its function, or why it is none, on the stack. */
static int script_load_text(lua_State *L, wf_str source, wf_str name) {
    lua_pushliteral(L, "@");
    lua_pushlstring(L, name.ptr, name.len);
    lua_concat(L, 2);
    int status = luaL_loadbufferx(L, source.ptr, source.len, lua_tostring(L, -1), "t");
    lua_remove(L, -2);
    return status;
}

static int script_load(lua_State *L) {
    const wf_script_config *c = &script_of(L)->config;
    return script_load_text(L, c->source, c->name.len > 0 ? c->name : WF_STR("script"));
}

/* Answers what stands behind the three arguments of load. */
static int script_loaded(lua_State *L, int status, lua_KContext ctx) {
    (void)status;
    (void)ctx;
    return lua_gettop(L) - 3;
}

/* load(source, name, globals): the function, or nil and why it is none. The source is kept, for errors to show its lines. */
static int script_load_workflow(lua_State *L) {
    wf_str source = script_arg(L, 1);
    script_check_yieldable(L, "workflow");
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 3);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &script_sources);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 1);
    lua_rawset(L, -3);
    lua_settop(L, 3);
    int status = script_load_text(L, source, script_arg(L, 2));
    if (status == LUA_OK) {
        lua_pushvalue(L, 3);
        lua_setupvalue(L, -2, 1);
    } else {
        if (wfi_lua_caught(L, status)) return lua_error(L);
        lua_pushnil(L);
        lua_insert(L, -2);
    }
    return lua_yieldk(L, 0, 0, script_loaded); /* a long text took its time: I/O may have its turn */
}

static void script_open_host(lua_State *L, int host) {
    static const luaL_Reg functions[] = {{"agent", script_agent},
                                         {"effect", script_effect},
                                         {"spawn", script_spawn},
                                         {"start", script_start},
                                         {"short", script_short},
                                         {"scope", script_scope},
                                         {"self", script_self},
                                         {"block", script_block},
                                         {"wake", script_wake},
                                         {"kill", script_kill_branch},
                                         {"phase", script_phase},
                                         {"drop", script_drop},
                                         {"reject", script_reject},
                                         {"count_error", script_count_error},
                                         {"try", script_try},
                                         {"names_line", script_names_line},
                                         {"note", script_note},
                                         {"print", script_print},
                                         {"status", script_status},
                                         {"check_schema", script_check_schema},
                                         {"schema_ignored", script_schema_ignored},
                                         {"cap", script_cap},
                                         {"tools", script_tools},
                                         {"may_exec", script_may_exec},
                                         {"model", script_model},
                                         {"workflow", script_workflow},
                                         {"globals", script_globals},
                                         {"load", script_load_workflow},
                                         {"random", script_random},
                                         {NULL, NULL}};
    lua_pushvalue(L, host);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}

static int script_decode_args(lua_State *L) {
    wfi_lua_push_json(L, script_of(L)->config.args);
    return 1;
}

/* Pushes the script's args: a table that may be empty, or whatever JSON was given. */
static void script_push_args(lua_State *L) {
    if (script_of(L)->config.args.len == 0) {
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
    const wf_script_config *c = &script_of(L)->config;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &script_begin);
    lua_insert(L, -2);
    lua_pushlstring(L, c->source.ptr, c->source.len < SCRIPT_NAMED ? c->source.len : SCRIPT_NAMED);
    lua_call(L, 2, 1);
}

/* Protected: builds the environment and the main branch. A script that does not compile gets one that raises why. */
static int script_setup(lua_State *L) {
    wf_script *s = script_of(L);
    lua_settop(L, 0);
    lua_newtable(L);
    script_anchor(L, &script_branches);
    lua_newtable(L);
    script_anchor(L, &script_calls);
    lua_newtable(L);
    script_anchor(L, &script_sources);
    lua_pushboolean(L, false); /* room for the result, which must need none later */
    script_anchor(L, &script_result);
    wfi_sandbox_open(L);
    script_open_host(L, 1);
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
    s->main = script_new_branch(L, "");
    lua_sethook(L, NULL, 0, 0);
    script_enqueue(s, s->main, false);
    wfi_meter_adopt(L);
    return 0;
}

/* ---- the end ---- */

/* Adds "\nNUMBER | the line" for the line that a message names. */
static void script_add_line(luaL_Buffer *out, const char *message) {
    wf_str source;
    lua_State *L = out->L;
    int top = lua_gettop(L);
    unsigned long number = script_find_line(L, message, &source);
    const char *line = source.ptr, *end = line + source.len;
    lua_settop(L, top);
    if (number == 0) return;
    for (unsigned long i = 1; i < number; i++) {
        const char *newline = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
        if (!newline) return;
        line = newline + 1;
    }
    const char *newline = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
    size_t n = (size_t)((newline ? newline : end) - line);
    lua_pushfstring(out->L, "\n%I | ", (LUAI_UACINT)number);
    luaL_addvalue(out);
    luaL_addlstring(out, line, n < SCRIPT_LINE_MAX ? n : SCRIPT_LINE_MAX);
}

/* Adds the traceback of a dead branch, without our own frames. */
static void script_add_traceback(luaL_Buffer *out, lua_State *co) {
    lua_Debug frame;
    for (int level = 0, shown = 0; shown < SCRIPT_FRAMES && lua_getstack(co, level, &frame); level++) {
        lua_getinfo(co, "Sln", &frame);
        if (frame.currentline <= 0 || strcmp(frame.source, WFI_LUA_PRELUDE) == 0) continue;
        if (strcmp(frame.what, "main") == 0) frame.name = NULL; /* it would be one of ours */
        lua_pushfstring(out->L, "\n  at %s:%d%s%s", frame.short_src, frame.currentline, frame.name ? " in " : "",
                        frame.name ? frame.name : "");
        luaL_addvalue(out);
        shown++;
    }
}

static wf_kind script_kind(const char *name) {
    for (int kind = WF_KIND_NONE + 1; name && kind < WF_KIND_COUNT; kind++)
        if (strcmp(name, wf_kind_name((wf_kind)kind)) == 0) return (wf_kind)kind;
    return WF_KIND_NONE;
}

/* Pushes a field of an error, or of a list of failures, which has them in its metatable. Calls no
 * metamethod: nothing here could end one that loops. */
static void script_push_field(lua_State *L, int error, const char *name) {
    lua_pushstring(L, name);
    lua_rawget(L, error);
    if (!lua_isnil(L, -1) || !lua_getmetatable(L, error)) return;
    lua_pushliteral(L, "__index");
    if (lua_rawget(L, -2) == LUA_TTABLE) {
        lua_pushstring(L, name);
        lua_rawget(L, -2);
        lua_replace(L, -4);
    }
    lua_pop(L, 2);
}

/* The text of a table as an error, NULL if it is none. Notes the failure that it passes on. */
static const char *script_report_table(lua_State *L, int error) {
    wf_script_result *result = &script_of(L)->result;
    script_push_field(L, error, "kind");
    script_push_field(L, error, "message");
    if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1)) return NULL;
    result->kind = script_kind(lua_tostring(L, -2));
    lua_pushliteral(L, "agent");
    lua_rawget(L, error);
    result->call = (uint32_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_pushliteral(L, "kind");
    /* a list's message has the kind in it, and a script's begins with the line */
    bool own = lua_rawget(L, error) != LUA_TNIL && strcmp(lua_tostring(L, -1), "script") != 0;
    lua_pop(L, 1);
    return own ? lua_pushfstring(L, "%s: %s", lua_tostring(L, -2), lua_tostring(L, -1)) : lua_tostring(L, -1);
}

/* Protected: (error, coroutine or nil) -> its text as people should see it: message, the line that it names, traceback. */
static int script_report(lua_State *L) {
    lua_State *co = lua_touserdata(L, 2);
    const char *message = lua_tostring(L, 1);
    luaL_Buffer out;
    if (!message && lua_istable(L, 1)) message = script_report_table(L, 1);
    if (!message) message = "the script raised a value that is neither a text nor an error";
    luaL_buffinit(L, &out);
    luaL_addstring(&out, message);
    script_add_line(&out, message);
    if (co) script_add_traceback(&out, co);
    luaL_pushresult(&out);
    return 1;
}

static void script_finish(wf_script *s, bool failed, const char *text, size_t len, bool json) {
    s->ended = true;
    s->result.failed = failed;
    s->result.value = wf_str_of(text, len);
    s->result.json = json;
    s->result.dropped = s->dropped;
    s->result.rejected = s->rejected;
    s->result.script_errors = s->errors;
}

static void script_fail(wf_script *s, const char *text) {
    script_finish(s, true, text, strlen(text), false);
}

/* Ends the script with the text on top of the main state's stack. */
static void script_finish_top(wf_script *s, bool failed, bool json) {
    size_t n;
    const char *text = lua_tolstring(s->L, -1, &n);
    lua_pushvalue(s->L, -1);
    lua_rawsetp(s->L, LUA_REGISTRYINDEX, &script_result); /* the key was made at the start: nothing is allocated */
    script_finish(s, failed, text, n, json);
}

static void script_fail_error(wf_script *s, lua_State *co) {
    lua_State *L = s->L;
    lua_settop(L, 0);
    lua_pushcfunction(L, script_report);
    lua_xmove(co, L, 1);
    lua_pushlightuserdata(L, co);
    int status = lua_pcall(L, 2, 1, 0);
    if (status != LUA_OK && wfi_lua_caught(L, status)) return;
    script_finish_top(s, true, false);
}

/* Protected: the main chunk's first result as text or JSON; nil and an error as a failure. */
static int script_take_value(lua_State *L) {
    wf_script *s = script_of(L);
    lua_State *co = s->main->co;
    int n = lua_gettop(co);
    lua_settop(co, 2);
    lua_xmove(co, L, 2);
    if (n >= 2 && lua_isnil(L, -2) && !lua_isnil(L, -1)) {
        lua_pushcfunction(L, script_report);
        lua_insert(L, -2);
        lua_pushlightuserdata(L, NULL);
        lua_call(L, 2, 1);
        lua_pushinteger(L, 2);
        return 2;
    }
    lua_pop(L, 1);
    if (lua_isnil(L, -1)) {
        lua_pushliteral(L, "");
        lua_pushinteger(L, 0);
        return 2;
    }
    bool text = lua_type(L, -1) == LUA_TSTRING;
    if (!text) wfi_lua_encode(L, -1, "the script's result");
    lua_pushinteger(L, text ? 0 : 1);
    return 2;
}

static void script_ended(wf_script *s) {
    lua_State *L = s->L;
    lua_settop(L, 0);
    lua_pushcfunction(L, script_take_value);
    s->meter.text_max = SIZE_MAX; /* nothing is done with it any more */
    int status = lua_pcall(L, 0, 2, 0);
    if (status != LUA_OK) {
        if (!wfi_lua_caught(L, status)) script_finish_top(s, true, false);
        return;
    }
    lua_Integer how = lua_tointeger(L, -1);
    lua_pop(L, 1);
    script_finish_top(s, how == 2, how == 1);
}

/* ---- running ---- */

/* A branch gave way: it was pre-empted, or lets one that it spawned go first; neither can be seen by the script. */
static void script_give_way(wf_script *s, script_branch *b) {
    script_enqueue(s, b, true);
    if (s->next_up) script_enqueue(s, s->next_up, true);
    s->next_up = NULL;
}

static void script_resume(wf_script *s, script_branch *b) {
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
        script_kill(s, b->child);
    if (status != LUA_OK) {
        script_fail_error(s, b->co);
    } else if (b == s->main) {
        script_ended(s);
    } else {
        script_unlink(b);
        script_release(s, b);
    }
}

/* Protected: puts a delivery's values on the stack of the branch that waits for it. */
static int script_hand_over(lua_State *L) {
    const wf_delivery *d = lua_touserdata(L, 1);
    script_branch *b = lua_touserdata(L, 2);
    if (d->kind == WF_KIND_NONE && d->json)
        wfi_lua_push_json(L, d->value);
    else
        lua_pushlstring(L, d->value.ptr, d->value.len);
    wfi_lua_room(b->co, 8, "delivery");
    lua_pushstring(L, wf_kind_name(d->kind));
    lua_insert(L, -2);
    lua_pushinteger(L, d->id);
    if (d->stopped)
        lua_pushnil(L);
    else
        lua_pushinteger(L, d->attempts);
    lua_xmove(L, b->co, 4);
    b->args = 4;
    return 0;
}

/* Leaves the error on the stack if there is one. */
static int script_try_hand_over(lua_State *L, const wf_delivery *d, script_branch *b) {
    lua_pushcfunction(L, script_hand_over);
    lua_pushlightuserdata(L, (void *)(uintptr_t)d);
    lua_pushlightuserdata(L, b);
    return lua_pcall(L, 2, 0, 0);
}

static void script_deliver(wf_script *s, const wf_delivery *d) {
    lua_State *L = s->L;
    lua_settop(L, 0);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &script_calls);
    lua_rawgeti(L, -1, (lua_Integer)d->call.bits);
    script_branch *b = lua_touserdata(L, -1);
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
    script_enqueue(s, b, false);
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
        script_branch *b = s->first;
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
        script_fail(s, "the script ran too long without waiting for anything: an endless loop? (the limit is the time "
                       "that it works between two results)");
}

static wf_status script_wait(wf_script *s) {
    wf_delivery delivery;
    script_wake_held(s);
    if (s->first) return WF_OK;
    wf_status status = wf_deliver(s->config.run, &delivery);
    if (status == WF_OK) script_deliver(s, &delivery);
    if (status == WF_END) script_fail(s, "internal error: the script waits for nothing; please report it");
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
    lua_State *holder = L; /* the message is on its stack; script_fail_error takes it from there */
    lua_pushcfunction(L, script_report);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, NULL);
    if (lua_pcall(holder, 2, 1, 0) == LUA_OK)
        script_finish_top(s, true, false);
    else
        script_fail(s, "the script does not compile");
    return WF_OK;
}

/* Protected: nothing, or the message why the source is no program. */
static int script_compile(lua_State *L) {
    if (script_load(L) == LUA_OK) return 0;
    lua_pushcfunction(L, script_report);
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
