/* host: see host.h. The comment of a function here shows how our Lua code calls it. */
#include "host.h"

#include <string.h>

#include "report.h"
#include "sandbox.h"
#include "script.h"

#define HOST_NOTED    (64u << 20) /* bytes of all lines: they go to the disk, which others use too */
#define HOST_NOTE     64u         /* ... and what a record adds to each */
#define HOST_REFUSALS 10000u      /* calls after a stop */

static wf_str host_arg(lua_State *L, int arg) {
    size_t n = 0;
    const char *p = lua_isnoneornil(L, arg) ? NULL : luaL_checklstring(L, arg, &n);
    return wf_str_of(p, n);
}

static uint32_t host_arg_u32(lua_State *L, int arg) {
    return (uint32_t)luaL_optinteger(L, arg, 0);
}

static int host_block_here(lua_State *L) {
    lua_pushboolean(L, true); /* a yield of no values would be a pre-emption */
    return lua_yield(L, 1);
}

static void host_check_yieldable(lua_State *L, const char *what) {
    if (!lua_isyieldable(L))
        wfi_lua_error(L,
                      "%s cannot be called here: a function that cannot wait is in between (a metamethod or a callback "
                      "called from C)",
                      what);
}

/* ---- calls ---- */

/* Pushes the kind and the text of the stop that refuses calls now; false: none does, and nothing is pushed. A script that
 * goes on calling is ended: it knows better. */
static bool host_push_stop(lua_State *L, uint32_t count) {
    wf_script *s = wfi_script_of(L);
    wf_kind kind;
    wf_str text;
    wf_status status = wf_run_refuses(s->config.run, count, &kind, &text);
    if (status == WF_OK) return false;
    if (status != WF_E_STOPPED) s->broken = status;
    if (++s->refused > HOST_REFUSALS)
        wfi_report_fail(s, "the run has stopped, and the script goes on calling: 10,000 calls were refused");
    lua_pushstring(L, wf_kind_name(kind));
    lua_pushlstring(L, text.ptr, text.len);
    return true;
}

/* A call is refused: kind, text, no agent, no attempts, true. */
static int host_refuse(lua_State *L) {
    wf_script *s = wfi_script_of(L);
    if (!host_push_stop(L, 0)) return luaL_error(L, "internal error: a call was refused, and nothing refuses it");
    if (s->ended || s->broken != WF_OK) return host_block_here(L);
    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushboolean(L, true);
    return 5;
}

/* refuses(n): the kind and the text of the stop that n calls would meet now, which then count as not run; nothing: none. */
static int host_refuses(lua_State *L) {
    const wf_script *s = wfi_script_of(L);
    if (!host_push_stop(L, host_arg_u32(L, 1))) return 0;
    return s->ended || s->broken != WF_OK ? host_block_here(L) : 2;
}

static int host_decode(lua_State *L) {
    wf_str json = host_arg(L, 1);
    return wfi_lua_return_json(L, json);
}

static int host_decoded(lua_State *L, int status, lua_KContext context) {
    (void)context;
    if (status != LUA_OK && status != LUA_YIELD) { /* the answer cannot be had: that is a failure of its own */
        if (wfi_lua_caught(L, status)) return lua_error(L);
        wfi_lua_where(L, 1); /* the mistake is not that line's */
        size_t n = lua_rawlen(L, -1);
        const char *message = lua_tostring(L, -2);
        if (message && strncmp(message, lua_tostring(L, -1), n) == 0) lua_pushstring(L, message + n);
        lua_replace(L, -2);
        lua_pushstring(L, wf_kind_name(WF_KIND_SCHEMA));
        lua_replace(L, 1);
    }
    lua_replace(L, 2);
    lua_settop(L, 5);
    return 5;
}

/* A call was answered: kind, text, agent, attempts, stopped, whether the text is the JSON of the value. It is read here, in the
 * branch, which can give way meanwhile. */
static int host_delivered(lua_State *L, int status, lua_KContext context) {
    (void)status;
    (void)context;
    if (!lua_toboolean(L, 6)) {
        lua_settop(L, 5);
        return 5;
    }
    lua_pushcfunction(L, host_decode);
    lua_pushvalue(L, 2);
    return host_decoded(L, lua_pcallk(L, 1, 1, 0, 0, host_decoded), 0);
}

/* What follows a start: wait for the call, or answer in its stead. */
static int host_started(lua_State *L, const char *what, wf_status status, wf_call call) {
    wf_script *s = wfi_script_of(L);
    wf_error error;
    if (status == WF_OK) {
        wfi_script_await(L, call);
        lua_pushboolean(L, true);
        return lua_yieldk(L, 1, 0, host_delivered);
    }
    if (status == WF_E_STOPPED || status == WF_E_LIMIT) return host_refuse(L);
    wf_last_error(s->config.run, &error);
    switch (status) {
    case WF_E_MEMORY:
        s->meter.starved = true;
        return luaL_error(L, "%s", error.text);
    case WF_E_CONFIG:
        return wfi_lua_error(L, "%s: %s", what, error.text);
    default:
        s->broken = status;
        return host_block_here(L);
    }
}

static int host_agent(lua_State *L) {
    wf_agent_spec spec = {.prompt = host_arg(L, 1),
                          .identity = host_arg(L, 2),
                          .label = host_arg(L, 3),
                          .phase = host_arg(L, 4),
                          .schema = host_arg(L, 5),
                          .model = host_arg(L, 6),
                          .effort = host_arg(L, 7),
                          .system = host_arg(L, 8),
                          .tools = host_arg(L, 9),
                          .max_turns = host_arg_u32(L, 10),
                          .max_tokens = host_arg_u32(L, 11),
                          .retries = host_arg_u32(L, 12),
                          .agent_ms = host_arg_u32(L, 13),
                          .stall_ms = host_arg_u32(L, 14),
                          .no_cache = lua_toboolean(L, 15),
                          .budget_tokens = (uint64_t)luaL_optinteger(L, 16, 0),
                          .budget_nano_usd = (uint64_t)luaL_optinteger(L, 17, 0),
                          .cwd = host_arg(L, 18)};
    wf_call call = {0};
    host_check_yieldable(L, "agent");
    const char *place = wfi_script_next_place(L);
    spec.path = wf_str_of(place, strlen(place));
    return host_started(L, "agent", wf_agent_start(wfi_script_of(L)->config.run, &spec, &call), call);
}

static int host_effect(lua_State *L) {
    wf_str name = host_arg(L, 1), input = host_arg(L, 2);
    wf_call call = {0};
    host_check_yieldable(L, name.ptr);
    const char *place = wfi_script_next_place(L);
    wf_effect_spec spec = {.path = wf_str_of(place, strlen(place)), .name = name, .input = input};
    spec.ms = host_arg_u32(L, 3);
    spec.changes = lua_toboolean(L, 4);
    spec.reads = lua_toboolean(L, 5);
    return host_started(L, name.ptr, wf_effect_start(wfi_script_of(L)->config.run, &spec, &call), call);
}

/* ---- branches ---- */

/* spawn(place, i, f): a branch that runs f. It goes on to run at the next yield of this one, which comes right after it. */
static int host_spawn(lua_State *L) {
    const char *place = luaL_checkstring(L, 1);
    lua_Integer i = luaL_checkinteger(L, 2);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    const char *path = lua_pushfstring(L, "%s[%I]", place, (LUAI_UACINT)i);
    lua_pushvalue(L, 3);
    wfi_script_branch *b = wfi_script_new_branch(L, path);
    wfi_script_of(L)->next_up = b;
    lua_pushlightuserdata(L, b);
    return 1;
}

/* Lets the branch that was spawned last run until it waits. */
static int host_start(lua_State *L) {
    return lua_yield(L, 0);
}

/* Whether memory is short: then this fan-out, some of whose branches run, begins no more of them for now. */
static int host_short(lua_State *L) {
    lua_pushboolean(L, wfi_meter_short(L));
    return 1;
}

static int host_scope(lua_State *L) {
    host_check_yieldable(L, "a fan-out");
    wfi_script_next_place(L);
    return 1;
}

static int host_self(lua_State *L) {
    lua_pushlightuserdata(L, wfi_script_of(L)->current);
    return 1;
}

/* block(held): until somebody wakes it; held: or memory is no longer short. */
static int host_block(lua_State *L) {
    wf_script *s = wfi_script_of(L);
    s->current->blocked = true;
    if (lua_toboolean(L, 1)) wfi_script_hold(s, s->current);
    return host_block_here(L);
}

static int host_wake(lua_State *L) {
    wfi_script_branch *b = lua_touserdata(L, 1);
    if (!b->blocked) return 0;
    wfi_script_unhold(wfi_script_of(L), b);
    wfi_script_enqueue(wfi_script_of(L), b, false);
    return 0;
}

static int host_kill(lua_State *L) {
    wfi_script_kill(wfi_script_of(L), lua_touserdata(L, 1));
    return 0;
}

/* With an argument: sets a value of the current branch; without: what it is. */
static int host_value(lua_State *L, int value) {
    bool ask = lua_gettop(L) == 0;
    wfi_script_push_branch(L, wfi_script_of(L)->current);
    if (ask) {
        lua_getiuservalue(L, -1, value);
        return 1;
    }
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, value);
    return 0;
}

static int host_phase(lua_State *L) {
    return host_value(L, WFI_SCRIPT_PHASE);
}

/* Of a branch of the script itself: nil. */
static int host_workflow(lua_State *L) {
    return host_value(L, WFI_SCRIPT_WORKFLOW);
}

/* splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014), one stream for each branch. */
static int host_random(lua_State *L) {
    uint64_t z = wfi_script_of(L)->current->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    lua_pushinteger(L, (lua_Integer)(z ^ z >> 31));
    return 1;
}

/* ---- errors, and what is counted ---- */

static int host_drop(lua_State *L) {
    wfi_script_of(L)->dropped++;
    return 0;
}

static int host_reject(lua_State *L) {
    wfi_script_of(L)->rejected++;
    return 0;
}

/* A branch was ended by a mistake of the script. */
static int host_count_error(lua_State *L) {
    wfi_script_of(L)->errors++;
    return 0;
}

/* names_line(message): whether it begins with a line of the script, or of a workflow that it loaded. */
static int host_names_line(lua_State *L) {
    wf_str source;
    lua_pushboolean(L, wfi_report_find_line(L, luaL_checkstring(L, 1), &source) > 0);
    return 1;
}

/* The message handler of try: keeps the place, which is gone once the error is caught. */
static int host_raised(lua_State *L) {
    const wfi_script_branch *b = wfi_script_of(L)->current;
    wfi_script_push_branch(L, b);
    wfi_report_push_where(L, b);
    lua_setiuservalue(L, -2, WFI_SCRIPT_RAISED);
    lua_settop(L, 1);
    return 1;
}

static int host_tried(lua_State *L, int status, lua_KContext context) {
    const wfi_script_branch *b = wfi_script_of(L)->current;
    (void)context;
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 1;
    if (wfi_lua_caught(L, status)) return lua_error(L);
    lua_pushboolean(L, false);
    lua_insert(L, -2);
    wfi_script_push_branch(L, b);
    if (lua_getiuservalue(L, -1, WFI_SCRIPT_RAISED) != LUA_TSTRING) { /* no handler saw it */
        lua_pop(L, 1);
        wfi_report_push_where(L, b);
    }
    lua_replace(L, -2);
    return 3;
}

/* try(f, ...), once in a branch: as pcall, but the line that raised an error stands behind it, as "NAME:LINE: ". */
static int host_try(lua_State *L) {
    lua_pushcfunction(L, host_raised);
    lua_insert(L, 1);
    lua_pushboolean(L, true); /* stands before the results */
    lua_insert(L, 2);
    return host_tried(L, lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 1, 0, host_tried), 0);
}

/* ---- the run ---- */

/* encode_result(value): the JSON of what the script returned. No longer text is made of it, so it may have any length. */
static int host_encode_result(lua_State *L) {
    wfi_meter_of(L)->text_max = SIZE_MAX;
    return wfi_lua_return_encoded(L, 1, "the script's result");
}

/* note(kind, text): a wf_note_kind. */
static int host_note(lua_State *L) {
    wf_script *s = wfi_script_of(L);
    wf_str line = host_arg(L, 2);
    if (wfi_meter_out(&s->meter))
        return 0; /* a <close> variable's last words: the resumed run will not say them here */
    s->noted += HOST_NOTE + line.len;
    if (s->noted > HOST_NOTED) return wfi_lua_error(L, "log and phase: more than 64 MiB of lines in one run");
    wf_status status = wf_note(s->config.run, (wf_note_kind)lua_tointeger(L, 1), line);
    if (status < 0) s->broken = status;
    return 0;
}

static int host_print(lua_State *L) {
    lua_settop(L, 1);
    lua_pushinteger(L, WF_NOTE_LINE);
    lua_insert(L, 1);
    return host_note(L);
}

/* status(unit): the total or nil, what is spent or nil for an unknown unit, and the run's clock in seconds. */
static int host_status(lua_State *L) {
    const char *unit = luaL_checkstring(L, 1);
    wf_run_status run;
    wf_run_status_get(wfi_script_of(L)->config.run, &run);
    const wf_config *c = wf_settings(wfi_script_of(L)->config.run);
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

static int host_check_schema(lua_State *L) {
    wf_schema_error error;
    wf_status status = wf_schema_check(host_arg(L, 1), host_arg(L, 2), &error);
    if (status == WF_OK) return 0;
    lua_pushfstring(L, "%s%s%s", error.path, *error.path ? ": " : "", error.reason);
    return 1;
}

/* schema_ignored(schema): the keywords that are not checked, or nothing. */
static int host_schema_ignored(lua_State *L) {
    char names[200];
    if (wf_schema_ignored(host_arg(L, 1), names, sizeof names) == 0) return 0;
    lua_pushstring(L, names);
    return 1;
}

static int host_cap(lua_State *L) {
    wf_run_cap(wfi_script_of(L)->config.run, (uint64_t)luaL_optinteger(L, 1, 0), (uint64_t)luaL_optinteger(L, 2, 0));
    return 0;
}

/* The names of the run's tools. */
static int host_tools(lua_State *L) {
    const wf_config *c = wf_settings(wfi_script_of(L)->config.run);
    lua_newtable(L);
    for (uint32_t i = 0; i < c->tool_count; i++) {
        lua_pushlstring(L, c->tools[i].name.ptr, c->tools[i].name.len);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int host_may_exec(lua_State *L) {
    lua_pushboolean(L, wfi_script_of(L)->config.exec);
    return 1;
}

/* The run's model. */
static int host_model(lua_State *L) {
    wf_str model = wf_settings(wfi_script_of(L)->config.run)->model;
    lua_pushlstring(L, model.ptr, model.len);
    return 1;
}

/* The rules that identities follow in this log: WF_RULES of the release that began it. */
static int host_rules(lua_State *L) {
    lua_pushinteger(L, wf_run_rules(wfi_script_of(L)->config.run));
    return 1;
}

/* ---- workflows ---- */

/* globals(): a table of globals as the script found its own. */
static int host_globals(lua_State *L) {
    wfi_sandbox_globals(L);
    return 1;
}

/* Answers what stands behind the three arguments of load. */
static int host_loaded(lua_State *L, int status, lua_KContext ctx) {
    (void)status;
    (void)ctx;
    return lua_gettop(L) - 3;
}

/* load(source, name, globals): the function, or nil and why it is none. The source is kept, for errors to show its lines. */
static int host_load(lua_State *L) {
    wf_str source = host_arg(L, 1);
    host_check_yieldable(L, "workflow");
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 3);
    wfi_report_keep_source(L, 2, 1);
    int status = wfi_script_load_text(L, source, host_arg(L, 2));
    if (status == LUA_OK) {
        lua_pushvalue(L, 3);
        lua_setupvalue(L, -2, 1);
    } else {
        if (wfi_lua_caught(L, status)) return lua_error(L);
        lua_pushnil(L);
        lua_insert(L, -2);
    }
    return lua_yieldk(L, 0, 0, host_loaded); /* a long text took its time: I/O may have its turn */
}

/* ---- opening ---- */

WFI void wfi_host_open(lua_State *L, int host) {
    static const luaL_Reg functions[] = {{"agent", host_agent},
                                         {"effect", host_effect},
                                         {"refuses", host_refuses},
                                         {"spawn", host_spawn},
                                         {"start", host_start},
                                         {"short", host_short},
                                         {"scope", host_scope},
                                         {"self", host_self},
                                         {"block", host_block},
                                         {"wake", host_wake},
                                         {"kill", host_kill},
                                         {"phase", host_phase},
                                         {"drop", host_drop},
                                         {"reject", host_reject},
                                         {"count_error", host_count_error},
                                         {"try", host_try},
                                         {"names_line", host_names_line},
                                         {"note", host_note},
                                         {"print", host_print},
                                         {"status", host_status},
                                         {"check_schema", host_check_schema},
                                         {"schema_ignored", host_schema_ignored},
                                         {"cap", host_cap},
                                         {"tools", host_tools},
                                         {"may_exec", host_may_exec},
                                         {"model", host_model},
                                         {"rules", host_rules},
                                         {"workflow", host_workflow},
                                         {"globals", host_globals},
                                         {"load", host_load},
                                         {"random", host_random},
                                         {"encode_result", host_encode_result},
                                         {NULL, NULL}};
    lua_pushvalue(L, host);
    luaL_setfuncs(L, functions, 0);
    wfi_report_push_json(L);
    lua_setfield(L, -2, "is_json");
    lua_pop(L, 1);
}
