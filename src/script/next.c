/* next: see next.h.
 *
 * Invariants:
 *   1. Only the table remembered bears a watch, and only while its keys are remembered.
 *   2. Each key that is in that table is among those remembered; the other way round it need not be. */
#include "next.h"

#include "order.h"

#define NEXT_FEW   32    /* keys that are faster looked at than remembered */
#define NEXT_PIECE 20000 /* keys without a value that are passed over at a time */

/* A userdata in the registry. */
typedef struct next_memo {
    bool watched;
    lua_Integer first; /* no key before this one is in the table any more */
    lua_Integer at;    /* the one answered last */
} next_memo;

enum { NEXT_TABLE = 1, NEXT_KEYS, NEXT_VALUES = NEXT_KEYS };

/* Keys of the registry, by their addresses. The watches: metatables of plain tables, and of those marked as arrays. */
static const char next_key = 'n', next_plain = 'p', next_marked = 'm';

static next_memo *next_push_memo(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &next_key);
    return lua_touserdata(L, -1);
}

/* Whether the table at `index` is the one in the memo on top. */
static bool next_is_it(lua_State *L, int index) {
    lua_getiuservalue(L, -1, NEXT_TABLE);
    bool it = lua_rawequal(L, index, -1);
    lua_pop(L, 1);
    return it;
}

/* The memo is on top: takes the watch off, so that the table is as the script made it. */
static void next_unwatch(lua_State *L, next_memo *m) {
    if (!m->watched) return;
    m->watched = false;
    lua_getiuservalue(L, -1, NEXT_TABLE);
    lua_getmetatable(L, -1);
    if (lua_getmetatable(L, -1)) { /* the mark */
        lua_setmetatable(L, -3);
    } else {
        lua_pushnil(L);
        lua_setmetatable(L, -3);
    }
    lua_pop(L, 2);
    lua_pushnil(L);
    lua_setiuservalue(L, -2, NEXT_KEYS);
}

/* The memo is on top: from now on it is of this table (0: of none), whose keys are not known yet. */
static void next_turn_to(lua_State *L, next_memo *m, int table) {
    next_unwatch(L, m);
    if (table != 0)
        lua_pushvalue(L, table);
    else
        lua_pushnil(L);
    lua_setiuservalue(L, -2, NEXT_TABLE);
}

WFI void wfi_next_forget(lua_State *L, int index) {
    index = lua_absindex(L, index);
    wfi_lua_room(L, 8, "next");
    next_memo *m = next_push_memo(L);
    if (m->watched && next_is_it(L, index)) next_turn_to(L, m, 0);
    lua_pop(L, 1);
}

/* __newindex of a watch: a key comes in. */
static int next_write(lua_State *L) {
    lua_settop(L, 3);
    if (lua_isnil(L, 2)) return wfi_lua_error(L, "table index is nil");
    if (!lua_rawequal(L, 2, 2)) return wfi_lua_error(L, "table index is NaN");
    if (lua_isnil(L, 3)) return 0;
    wfi_next_forget(L, 1);
    lua_rawset(L, 1);
    return 0;
}

/* Pushes the watch that the table at 1 can bear; false: it has a metatable of its own. */
static bool next_push_watch(lua_State *L) {
    if (!lua_getmetatable(L, 1)) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &next_plain);
        return true;
    }
    wfi_luajson_mark(L);
    bool marked = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (marked) lua_rawgetp(L, LUA_REGISTRYINDEX, &next_marked);
    return marked;
}

/* ---- with the keys remembered: the table is at 1, the key at 2, the memo at 3, its keys at 4 ---- */

static int next_seek_on(lua_State *L, int status, lua_KContext i);

/* The first key from number i on that is in the table, and its value. */
static int next_seek(lua_State *L, lua_Integer i) {
    next_memo *m = lua_touserdata(L, 3);
    for (int left = NEXT_PIECE;; left--, i++) {
        if (left <= 0) {
            if (lua_isnil(L, 2)) m->first = i;
            if (wfi_lua_pause(L)) return lua_yieldk(L, 0, (lua_KContext)i, next_seek_on);
            left = NEXT_PIECE;
        }
        wfi_order_key(L, 4, i);
        if (lua_isnil(L, -1)) break;
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 1) != LUA_TNIL) {
            m->at = i;
            if (lua_isnil(L, 2)) m->first = i;
            return 2;
        }
        lua_pop(L, 2);
    }
    lua_settop(L, 3);
    next_turn_to(L, m, 0); /* it is over, and the table need not be kept */
    lua_pushnil(L);
    return 1;
}

static int next_seek_on(lua_State *L, int status, lua_KContext i) {
    (void)status;
    return next_seek(L, (lua_Integer)i);
}

static int next_remembered(lua_State *L) {
    const next_memo *m = lua_touserdata(L, 3);
    lua_getiuservalue(L, 3, NEXT_KEYS);
    if (lua_isnil(L, 2)) return next_seek(L, m->first);
    wfi_order_key(L, 4, m->at);
    bool last = lua_rawequal(L, 2, -1);
    lua_pop(L, 1);
    return next_seek(L, last ? m->at + 1 : wfi_order_after(L, 4, 2));
}

/* ---- remembering: the table at 1, the key at 2, the memo at 3, its keys becoming at 4 ---- */

static int next_learn_on(lua_State *L, int status, lua_KContext context);

static int next_learn(lua_State *L, wfi_order *o) {
    while (!wfi_order_run(L, o))
        if (wfi_lua_pause(L)) return wfi_lua_give_way(L, o, sizeof *o, next_learn_on);
    next_memo *m = lua_touserdata(L, 3);
    lua_setiuservalue(L, 3, NEXT_KEYS);
    if (next_push_watch(L)) lua_setmetatable(L, 1);
    m->watched = true;
    m->first = m->at = 1;
    return next_remembered(L);
}

static int next_learn_on(lua_State *L, int status, lua_KContext context) {
    wfi_order o;
    (void)status;
    wfi_lua_go_on(L, context, &o, sizeof o);
    return next_learn(L, &o);
}

/* ---- without: the table at 1, the memo at 2, the key at 3, what the walk needs above ---- */

static int next_walk(lua_State *L, int status, lua_KContext others) {
    (void)status;
    while (!wfi_order_next_run(L, 1, &others))
        if (wfi_lua_pause(L)) return lua_yieldk(L, 0, others, next_walk);
    return lua_gettop(L) - 2;
}

/* Whether the table at 1 has many keys. */
static bool next_many(lua_State *L) {
    int n = 0;
    lua_pushnil(L);
    while (n < NEXT_FEW && lua_next(L, 1) != 0) {
        lua_pop(L, 1);
        n++;
    }
    if (n == NEXT_FEW) lua_pop(L, 1);
    return n == NEXT_FEW;
}

static int next_call(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    wfi_lua_room(L, 16, "next");
    next_memo *m = next_push_memo(L);
    bool again = next_is_it(L, 1), odd = !lua_rawequal(L, 2, 2); /* NaN follows nothing */
    if (again && m->watched && !odd) return next_remembered(L);
    if (again && !odd && next_push_watch(L)) {
        wfi_order o;
        lua_pop(L, 1);
        if (next_many(L)) {
            wfi_order_begin(L, &o, 1);
            return next_learn(L, &o);
        }
    }
    if (!again) next_turn_to(L, m, 1);
    lua_insert(L, 2);
    wfi_order_next_begin(L);
    return next_walk(L, LUA_OK, 0);
}

/* ---- opening ---- */

static void next_open_watch(lua_State *L, const char *key) {
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, next_write);
    lua_setfield(L, -2, "__newindex");
    if (key == &next_marked) {
        wfi_luajson_mark(L);
        lua_setmetatable(L, -2);
    }
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

WFI void wfi_next_open(lua_State *L, int env) {
    next_memo *m = lua_newuserdatauv(L, sizeof *m, NEXT_VALUES);
    *m = (next_memo){.watched = false};
    lua_rawsetp(L, LUA_REGISTRYINDEX, &next_key);
    next_open_watch(L, &next_plain);
    next_open_watch(L, &next_marked);
    lua_pushcfunction(L, next_call);
    lua_setfield(L, env, "next");
}
