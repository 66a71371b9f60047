/* sandbox: owns the script's globals: which stock functions go in as they are, the C functions that replace others,
 * and the guard that makes undefined globals an error. The rest is Lua, in stdlib.lua.
 *
 * Invariants:
 *   1. Nothing in env or reachable from it is a stock function that calls back into the script, shows an address,
 *      depends on the order of a hash, or works without bound.
 *   2. After the seal the registry's table of globals is env, so no stock library stays in reach. */
#include "sandbox.h"

#include <string.h>

#include "luastring.h"
#include "next.h"
#include "order.h"

#define SANDBOX_NAME    32       /* longer names get no suggestion */
#define SANDBOX_UNPACK  1000000u /* results; no stack has room for more */
#define SANDBOX_REMOVED 20000    /* keys that pairs passes over at a time */

static const char sandbox_pristine = 'p'; /* its address: where the registry keeps a copy of env */

/* ---- base functions ---- */

static int sandbox_front_called(lua_State *L, int status, lua_KContext context) {
    (void)status;
    (void)context;
    return lua_gettop(L);
}

static int sandbox_front_call(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, sandbox_front_called);
    return lua_gettop(L);
}

/* front(f): a C function that calls f. `return f(x)` in the script, a tail call, would leave errors no line to name if
 * f were Lua; behind a C function the caller's frame stays. */
static int sandbox_front(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_pushcclosure(L, sandbox_front_call, 1);
    return 1;
}

static int sandbox_text_called(lua_State *L, int status, lua_KContext context) {
    (void)status;
    (void)context;
    wfi_lua_text_check(L);
    return 1;
}

static int sandbox_tostring(lua_State *L) {
    luaL_checkany(L, 1);
    if (wfi_lua_text(L, 1)) return 1;
    lua_callk(L, 1, 1, 0, sandbox_text_called);
    return sandbox_text_called(L, LUA_OK, 0);
}

/* Like stock's, but a level that falls into our own Lua code means the script's line behind it. */
static int sandbox_error(lua_State *L) {
    int level = (int)luaL_optinteger(L, 2, 1);
    lua_settop(L, 1);
    if (lua_type(L, 1) == LUA_TSTRING && level > 0) {
        wfi_lua_where(L, level);
        lua_insert(L, 1);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

/* fail(message): an error that begins with the script's line. */
static int sandbox_fail(lua_State *L) {
    return wfi_lua_error(L, "%s", luaL_checkstring(L, 1));
}

/* metamethod(value, event): the raw field of its metatable, or nil. */
static int sandbox_metamethod(lua_State *L) {
    if (luaL_getmetafield(L, 1, luaL_checkstring(L, 2)) == LUA_TNIL) lua_pushnil(L);
    return 1;
}

/* Pushes the metatable of the value at 1 as the script may see it, or answers false. */
static bool sandbox_visible_metatable(lua_State *L) {
    if (!lua_getmetatable(L, 1)) return false;
    wfi_luajson_mark(L);
    bool mark = lua_rawequal(L, -1, -2);
    lua_pop(L, mark ? 2 : 1);
    return !mark;
}

static int sandbox_getmetatable(lua_State *L) {
    luaL_checkany(L, 1);
    wfi_next_forget(L, 1);
    if (!sandbox_visible_metatable(L)) {
        lua_pushnil(L);
    } else {
        luaL_getmetafield(L, 1, "__metatable");
    }
    return 1;
}

static void sandbox_refuse_field(lua_State *L, const char *field, const char *why) {
    lua_pushstring(L, field);
    if (lua_rawget(L, 2) != LUA_TNIL) wfi_lua_error(L, "setmetatable: %s is not allowed here: %s", field, why);
    lua_pop(L, 1);
}

static int sandbox_setmetatable(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
    lua_settop(L, 2);
    wfi_next_forget(L, 1);
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) {
        return wfi_lua_error(L, "cannot change a protected metatable");
    }
    if (lua_istable(L, 2)) {
        sandbox_refuse_field(L, "__gc", "when it runs would differ from run to run; use a <close> variable");
        sandbox_refuse_field(L, "__mode",
                             "what is collected when would differ from run to run; remove entries yourself");
    }
    lua_setmetatable(L, 1);
    return 1;
}

static int sandbox_rawset(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    wfi_next_forget(L, 1);
    lua_rawset(L, 1);
    return 1;
}

/* json.array(t), the upvalue, of a table that bears no metatable but the script's. */
static int sandbox_array(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    wfi_next_forget(L, 1);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* ---- protected calls ---- */

static int sandbox_called(lua_State *L, int status, lua_KContext context) {
    (void)context;
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L);
    if (wfi_lua_caught(L, status)) return lua_error(L);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

/* pcall(f, ...): but that memory ran out is nobody's to catch. */
static int sandbox_pcall(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1); /* stands before the results */
    lua_insert(L, 1);
    return sandbox_called(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, sandbox_called), 0);
}

/* ---- keys in order ---- */

static int sandbox_pairs_on(lua_State *L, int status, lua_KContext context);
static int sandbox_pairs_resumed(lua_State *L, int status, lua_KContext context);

/* Upvalues: the table, its keys in order, how many have been visited. */
static int sandbox_pairs_step(lua_State *L) {
    lua_Integer i = lua_tointeger(L, lua_upvalueindex(3));
    lua_settop(L, 0);
    for (int left = SANDBOX_REMOVED; lua_gettop(L) == 0; left--) {
        if (left == 0 && wfi_lua_pause(L)) break;
        wfi_order_key(L, lua_upvalueindex(2), ++i);
        if (lua_isnil(L, -1)) return 1;
        lua_pushvalue(L, -1);
        if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL) lua_pop(L, 2); /* removed meanwhile */
    }
    lua_pushinteger(L, i);
    lua_replace(L, lua_upvalueindex(3));
    return lua_gettop(L) > 0 ? 2 : lua_yieldk(L, 0, 0, sandbox_pairs_on);
}

static int sandbox_pairs_on(lua_State *L, int status, lua_KContext context) {
    (void)status;
    (void)context;
    return sandbox_pairs_step(L);
}

static int sandbox_pairs_called(lua_State *L, int status, lua_KContext context) {
    (void)L;
    (void)status;
    (void)context;
    return 3;
}

/* The keys are being put in order. */
static int sandbox_pairs_run(lua_State *L, wfi_order *o) {
    while (!wfi_order_run(L, o))
        if (wfi_lua_pause(L)) return wfi_lua_give_way(L, o, sizeof *o, sandbox_pairs_resumed);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, sandbox_pairs_step, 3);
    lua_insert(L, 1);
    lua_pushnil(L);
    return 3;
}

static int sandbox_pairs_resumed(lua_State *L, int status, lua_KContext context) {
    wfi_order o;
    (void)status;
    wfi_lua_go_on(L, context, &o, sizeof o);
    return sandbox_pairs_run(L, &o);
}

static int sandbox_pairs(lua_State *L) {
    wfi_order o;
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_callk(L, 1, 3, 0, sandbox_pairs_called);
        return 3;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    wfi_order_begin(L, &o, 1);
    return sandbox_pairs_run(L, &o);
}

/* less(a, b): for two numbers or two strings; else nil. */
static int sandbox_less(lua_State *L) {
    bool less;
    if (wfi_order_less(L, 1, 2, &less)) {
        lua_pushboolean(L, less);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

/* ---- the raw parts of table functions; stdlib.lua has seen to types and metamethods ---- */

/* join(list, separator, i, j): the text of list[i..j] one after the other. */
static int sandbox_join(lua_State *L) {
    size_t len;
    const char *separator = luaL_checklstring(L, 2, &len);
    lua_Integer i = luaL_checkinteger(L, 3), j = luaL_checkinteger(L, 4);
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    for (lua_Integer k = i; k <= j; k++) {
        wfi_lua_check_text(L, luaL_bufflen(&out), "table.concat");
        lua_rawgeti(L, 1, k);
        if (!lua_isstring(L, -1)) {
            const char *type = luaL_typename(L, -1);
            return wfi_lua_error(L, "invalid value (a %s, at index %I) in table for 'concat'", type, k);
        }
        luaL_addvalue(&out);
        if (k == j) break; /* j + 1 may not exist */
        luaL_addlstring(&out, separator, len);
    }
    luaL_pushresult(&out);
    return 1;
}

/* unpack(list, i, j) */
static int sandbox_unpack(lua_State *L) {
    lua_Integer i = luaL_checkinteger(L, 2), j = luaL_checkinteger(L, 3);
    if (i > j) return 0;
    lua_Unsigned n = (lua_Unsigned)j - (lua_Unsigned)i;
    if (n >= SANDBOX_UNPACK) return wfi_lua_error(L, "too many results to unpack");
    wfi_lua_room(L, (int)n + 1, "too many results to unpack");
    for (lua_Unsigned k = 0; k <= n; k++)
        lua_rawgeti(L, 1, (lua_Integer)((lua_Unsigned)i + k));
    return (int)n + 1;
}

/* ---- undefined globals ---- */

/* Edits (insert, delete, replace, swap neighbours) that turn a into b; both at most SANDBOX_NAME long. */
static unsigned sandbox_distance(wf_str a, wf_str b) {
    unsigned rows[3][SANDBOX_NAME + 1];
    for (unsigned j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            unsigned best = above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1] &&
                above2[j - 2] + 1 < best) {
                best = above2[j - 2] + 1;
            }
            row[j] = best;
        }
    }
    return rows[a.len % 3][b.len];
}

/* Pushes the key of the table (at 1) nearest to the one at 2, or answers false if none is near. */
static bool sandbox_suggest(lua_State *L) {
    wf_str name, other;
    unsigned least = 3, distance;
    name.ptr = lua_tolstring(L, 2, &name.len);
    if (name.len > SANDBOX_NAME) return false;
    if (name.len <= least) least = (unsigned)name.len; /* "x" is not near to "y" */
    lua_pushnil(L);
    int best = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) continue;
        other.ptr = lua_tolstring(L, -2, &other.len);
        if (other.len > SANDBOX_NAME || (distance = sandbox_distance(name, other)) > least) continue;
        if (distance == least && (lua_isnil(L, best) || strcmp(other.ptr, lua_tostring(L, best)) > 0)) continue;
        least = distance;
        lua_pushvalue(L, -2);
        lua_replace(L, best);
    }
    return !lua_isnil(L, best);
}

/* near(name, table): " (did you mean 'key'?)" for the key nearest to the name, or "". */
static int sandbox_near(lua_State *L) {
    luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    lua_rotate(L, 1, 1);
    if (sandbox_suggest(L))
        lua_pushfstring(L, " (did you mean '%s'?)", lua_tostring(L, -1));
    else
        lua_pushliteral(L, "");
    return 1;
}

/* What scripts of other hosts look for, and what there is in its place. */
static const char *sandbox_instead(const char *name) {
    static const char *const table[][2] = {
        {"io", "use read() and files()"},
        {"os", "use now(), or exec() for commands"},
        {"require", "use workflow()"},
        {"coroutine", "use parallel() or pipeline()"},
        {"debug", "use log()"},
        {"load", "write the function out"},
        {"unpack", "use table.unpack"},
        {"collectgarbage", "memory is managed"},
        {"_G", "name the globals one by one"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i][0], name) == 0) return table[i][1];
    }
    return NULL;
}

/* Calls of the script API that a later version has: a script that was written for it is told so. */
static bool sandbox_is_later(const char *name) {
    static const char *const names[] = {"judge",    "tournament", "critic",   "until_dry", "repair_loop", "sweep",
                                        "exists",   "write",      "worktree", "apply",     "stopped",     "map",
                                        "filter",   "flat",       "uniq",     "sort_by",   "keys",        "chunk",
                                        "group_by", "range",      "slice",    "join",      "split",       "lines",
                                        "trim",     "contains",   "clip",     "fill",      "starts_with", "ends_with"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

/* __index of env. Upvalue: the set of names that have ever been assigned. */
static int sandbox_global_read(lua_State *L) {
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) {
        lua_pushnil(L);
        return 1;
    }
    if (lua_type(L, 2) != LUA_TSTRING) return wfi_lua_error(L, "undefined global (a %s)", luaL_typename(L, 2));
    const char *name = lua_tostring(L, 2), *instead = sandbox_instead(name);
    if (instead) return wfi_lua_error(L, "there is no '%s' in workflow scripts: %s", name, instead);
    if (sandbox_is_later(name)) return wfi_lua_error(L, "'%s' is not in this version of wf", name);
    if (!sandbox_suggest(L)) return wfi_lua_error(L, "undefined global '%s'", name);
    return wfi_lua_error(L, "undefined global '%s' (did you mean '%s'?)", name, lua_tostring(L, -1));
}

/* __newindex of env: remembers the name. */
static int sandbox_global_write(lua_State *L) {
    lua_pushvalue(L, 2);
    lua_pushboolean(L, 1);
    lua_rawset(L, lua_upvalueindex(1));
    lua_rawset(L, 1);
    return 0;
}

/* ---- putting it together ---- */

/* Calls a stock library's opener and copies fields out of it into the table at `to`; `names` end with NULL. */
static void sandbox_take(lua_State *L, lua_CFunction open, int to, const char *const *names) {
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
    for (; *names; names++) {
        lua_getfield(L, -1, *names);
        lua_setfield(L, to, *names);
    }
    lua_pop(L, 1);
}

/* A new table as env's field `name`; stays on the stack. */
static int sandbox_library(lua_State *L, int env, const char *name) {
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, env, name);
    return lua_gettop(L);
}

static void sandbox_libraries(lua_State *L, int host, int env) {
    static const char *const base[] = {"assert", "rawequal", "rawget", "rawlen", "select", "tonumber", "type", NULL};
    static const char *const math[] = {"abs",        "acos",      "asin", "atan", "ceil", "cos", "deg",
                                       "exp",        "floor",     "fmod", "huge", "log",  "max", "maxinteger",
                                       "mininteger", "min",       "modf", "pi",   "rad",  "sin", "sqrt",
                                       "tan",        "tointeger", "type", "ult",  NULL};
    static const char *const utf8[] = {"char", "charpattern", "codepoint", "codes", "len", "offset", NULL};
    static const char *const table[] = {"pack", NULL};
    sandbox_take(L, luaopen_base, env, base);
    sandbox_take(L, luaopen_math, sandbox_library(L, env, "math"), math);
    sandbox_take(L, luaopen_utf8, sandbox_library(L, env, "utf8"), utf8);
    sandbox_take(L, luaopen_table, sandbox_library(L, env, "table"), table);
    wfi_luajson_open(L, sandbox_library(L, env, "json"));
    lua_getfield(L, -1, "array");
    lua_pushcclosure(L, sandbox_array, 1);
    lua_setfield(L, -2, "array");
    wfi_next_open(L, env);
    wfi_luastring_open(L, sandbox_library(L, env, "string"), host);
    lua_settop(L, env);
}

/* Takes weak tables from the language: when their entries vanish would differ from run to run. setmetatable refuses a __mode that
 * is there, but one may be added later. So the collector's own name for it, which a state makes once and compares by address, is
 * made another, while "__mode" becomes a text like others. The other one is found by no text of a script: its hash is that of
 * "__mode", from which one that differs in the first byte alone differs in the bits that choose the bucket. Nor by one of C:
 * those are compared up to their end, so it must not begin with one. */
static void sandbox_forget_weakness(lua_State *L) {
    lua_pushliteral(L, "__mode");
    char *name = (char *)(uintptr_t)lua_tostring(L, -1);
    name[0] = '\1';
    lua_pop(L, 1);
}

WFI void wfi_sandbox_open(lua_State *L) {
    static const luaL_Reg for_host[] = {{"fail", sandbox_fail},
                                        {"front", sandbox_front},
                                        {"near", sandbox_near},
                                        {"metamethod", sandbox_metamethod},
                                        {"less", sandbox_less},
                                        {"join", sandbox_join},
                                        {"pcall", sandbox_pcall},
                                        {"unpack", sandbox_unpack},
                                        {NULL, NULL}};
    static const luaL_Reg for_env[] = {{"tostring", sandbox_tostring},
                                       {"error", sandbox_error},
                                       {"getmetatable", sandbox_getmetatable},
                                       {"setmetatable", sandbox_setmetatable},
                                       {"rawset", sandbox_rawset},
                                       {"pairs", sandbox_pairs},
                                       {NULL, NULL}};
    wfi_lua_room(L, 20, "sandbox");
    sandbox_forget_weakness(L);
    luaL_newlib(L, for_host);
    luaL_newlib(L, for_env);
    int env = lua_gettop(L), host = env - 1;
    sandbox_libraries(L, host, env);
    wfi_lua_push_null(L);
    lua_setfield(L, env, "null");
    lua_pushinteger(L, wfi_meter_of(L)->text_max < LUA_MAXINTEGER ? (lua_Integer)wfi_meter_of(L)->text_max
                                                                  : LUA_MAXINTEGER);
    lua_setfield(L, host, "text_max");
}

static const char *sandbox_piece(lua_State *L, void *pieces, size_t *size) {
    const char *const **next = pieces;
    (void)L;
    if (**next == NULL) return NULL;
    *size = strlen(**next);
    return *(*next)++;
}

WFI void wfi_sandbox_load(lua_State *L, const char *const *chunk) {
    if (lua_load(L, sandbox_piece, &chunk, WFI_LUA_PRELUDE, "t") != LUA_OK) lua_error(L);
    lua_pushvalue(L, -3);
    lua_pushvalue(L, -3);
    lua_call(L, 2, 0);
}

/* Tells the auxiliary library where functions have their names from, for its messages and tracebacks. */
static void sandbox_name_libraries(lua_State *L, int env) {
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    int loaded = lua_gettop(L);
    lua_pushvalue(L, env);
    lua_setfield(L, loaded, LUA_GNAME);
    for (lua_pushnil(L); lua_next(L, env) != 0;) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        if (lua_istable(L, -1)) {
            lua_rawset(L, loaded);
        } else {
            lua_pop(L, 2);
        }
    }
    lua_settop(L, loaded - 1);
}

/* Makes the table at `env` answer for globals that it does not have. */
static void sandbox_guard(lua_State *L, int env) {
    lua_newtable(L); /* the names known */
    int names = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, env) != 0;) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, names);
    }
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, names);
    lua_pushcclosure(L, sandbox_global_read, 1);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, names);
    lua_pushcclosure(L, sandbox_global_write, 1);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, env);
    lua_settop(L, names - 1);
}

/* Pushes a copy of the table at `from`, and of the tables in it as far as `depth` goes. */
static void sandbox_copy(lua_State *L, int from, int depth) {
    lua_newtable(L);
    int to = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, from) != 0;) {
        if (depth > 0 && lua_istable(L, -1)) {
            sandbox_copy(L, lua_gettop(L), depth - 1);
            lua_remove(L, -2);
        }
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, to);
    }
}

WFI void wfi_sandbox_seal(lua_State *L) {
    int env = lua_gettop(L);
    wfi_lua_room(L, 20, "sandbox");
    sandbox_name_libraries(L, env);
    sandbox_copy(L, env, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &sandbox_pristine);
    sandbox_guard(L, env);
    lua_pushvalue(L, env);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_settop(L, env - 2);
}

WFI void wfi_sandbox_globals(lua_State *L) {
    wfi_lua_room(L, 20, "sandbox");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &sandbox_pristine);
    sandbox_copy(L, lua_gettop(L), 1);
    lua_remove(L, -2);
    sandbox_guard(L, lua_gettop(L));
}
