/* order: owns the order of keys. Lua's own order of traversal depends on addresses and seeds; nothing of it may show.
 *
 * A table may have millions of keys, so all work on them is done in pieces of about a millisecond. Invariants:
 *   1. The table does not change between two pieces: the branch that gives way in between goes on first.
 *   2. Strings and values in keys are anchored, so they outlive their place in the table. */
#include "order.h"

#include <string.h>

typedef enum order_rank { ORDER_INTEGER, ORDER_FLOAT, ORDER_STRING, ORDER_BOOLEAN, ORDER_OTHER } order_rank;

#define ORDER_PIECE  INT64_C(20000) /* keys looked at or compared at a time */
#define ORDER_WEIGH  64             /* bytes of text whose comparison counts as one more */
#define ORDER_ANCHOR 4096           /* keys in one table of anchors */

typedef struct order_key {
    order_rank rank;
    uint32_t anchor; /* of a string or other value: its number among those */
    union {
        lua_Integer integer;
        lua_Number number;
        wf_str string;
        bool boolean;
    } as;
} order_key;

static order_key order_read(lua_State *L, int index) {
    order_key key = {.rank = ORDER_OTHER};
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
        key.rank = lua_isinteger(L, index) ? ORDER_INTEGER : ORDER_FLOAT;
        if (key.rank == ORDER_INTEGER) {
            key.as.integer = lua_tointeger(L, index);
        } else {
            key.as.number = lua_tonumber(L, index);
        }
        break;
    case LUA_TSTRING:
        key.rank = ORDER_STRING;
        key.as.string.ptr = lua_tolstring(L, index, &key.as.string.len);
        break;
    case LUA_TBOOLEAN:
        key.rank = ORDER_BOOLEAN;
        key.as.boolean = lua_toboolean(L, index);
        break;
    default:
        break;
    }
    return key;
}

/* Exact, also where a float cannot hold the integer: -1, 0, 1 as i is below, equal to, above x; 1 for NaN. */
static int order_integer_float(lua_Integer i, lua_Number x) {
    if (x >= 0x1p63) return -1;
    if (!(x >= -0x1p63)) return 1;
    lua_Integer whole = (lua_Integer)x;
    if (i != whole) return i < whole ? -1 : 1;
    lua_Number fraction = x - (lua_Number)whole;
    return (fraction < 0) - (fraction > 0);
}

static bool order_string_less(wf_str a, wf_str b) {
    int c = a.ptr == b.ptr ? 0 : memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return c != 0 ? c < 0 : a.len < b.len;
}

static bool order_before(const order_key *a, const order_key *b) {
    if (a->rank == ORDER_INTEGER && b->rank == ORDER_FLOAT) {
        return order_integer_float(a->as.integer, b->as.number) < 0;
    }
    if (a->rank == ORDER_FLOAT && b->rank == ORDER_INTEGER) {
        return order_integer_float(b->as.integer, a->as.number) > 0 && a->as.number == a->as.number;
    }
    if (a->rank != b->rank) return a->rank < b->rank;
    switch (a->rank) {
    case ORDER_INTEGER:
        return a->as.integer < b->as.integer;
    case ORDER_FLOAT:
        return a->as.number < b->as.number;
    case ORDER_STRING:
        return order_string_less(a->as.string, b->as.string);
    case ORDER_BOOLEAN:
        return !a->as.boolean && b->as.boolean;
    case ORDER_OTHER:
        break;
    }
    return false;
}

/* What comparing a key costs, in keys. */
static int64_t order_weight(const order_key *key) {
    return 1 + (key->rank == ORDER_STRING ? (int64_t)(key->as.string.len / ORDER_WEIGH) : 0);
}

/* A userdata; its user value holds the anchors: a list of them, or, of many, a list of such lists. */
typedef struct order_list {
    size_t n, anchored;
    order_key keys[];
} order_list;

static int64_t order_sift(order_key *keys, size_t root, size_t n) {
    int64_t work = 1;
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        work += 2 * order_weight(&keys[child]);
        if (child + 1 < n && order_before(&keys[child], &keys[child + 1])) child++;
        if (!order_before(&keys[root], &keys[child])) break;
        order_key t = keys[root];
        keys[root] = keys[child];
        keys[child] = t;
    }
    return work;
}

/* A piece of a heap sort: no stack, no memory, no bad case. Keys are distinct, so it need not be stable. i counts down, through
 * the roots of what is to become a heap, then through the places that are still to get their key. True: it is sorted. */
static bool order_sort(wfi_order *o, order_list *list) {
    order_key *keys = list->keys;
    int64_t left = ORDER_PIECE;
    for (; o->stage == WFI_ORDER_HEAPING && left > 0; o->i--) {
        if (o->i == 0) {
            o->stage = WFI_ORDER_SORTING;
            o->i = list->n;
            break;
        }
        left -= order_sift(keys, o->i - 1, list->n);
    }
    for (; o->stage == WFI_ORDER_SORTING && left > 0; o->i--) {
        if (o->i <= 1) return true;
        order_key t = keys[0];
        keys[0] = keys[o->i - 1];
        keys[o->i - 1] = t;
        left -= order_sift(keys, 0, o->i - 1);
    }
    return false;
}

static void order_refuse(lua_State *L) {
    wfi_lua_error(L, "the table has no stable order: more than one of its keys is a table, function or userdata; "
                     "use strings or numbers as keys, or keep such values in a list");
}

/* A piece of the first walk, its last key on top: counts the keys, tells whether they are exactly 1..n, and refuses what cannot be
 * ordered. True: it is over, and the key gone. */
static bool order_count(lua_State *L, wfi_order *o) {
    lua_Unsigned length = lua_rawlen(L, o->table);
    for (int64_t left = ORDER_PIECE; left > 0; left--) {
        if (lua_next(L, o->table) == 0) {
            if (o->others > 1) order_refuse(L);
            o->sequence = o->sequence && o->n == length;
            return true;
        }
        order_key key = order_read(L, -2);
        o->sequence = o->sequence && key.rank == ORDER_INTEGER && (lua_Unsigned)key.as.integer - 1 < length;
        o->others += key.rank == ORDER_OTHER;
        o->n++;
        lua_pop(L, 1);
    }
    return false;
}

/* Pushes the list of anchors that number `at` is in, and makes *at its place there. */
static void order_anchors(lua_State *L, int keys, size_t n, size_t *at) {
    lua_getiuservalue(L, keys, 1);
    if (n > ORDER_ANCHOR) {
        lua_rawgeti(L, -1, (lua_Integer)(*at / ORDER_ANCHOR + 1));
        lua_remove(L, -2);
        *at %= ORDER_ANCHOR;
    }
    ++*at;
}

/* Anchors the key on top of the stack. */
static void order_anchor(lua_State *L, const wfi_order *o, order_list *list) {
    size_t at = list->anchored++;
    if (o->n > ORDER_ANCHOR && at % ORDER_ANCHOR == 0) {
        lua_getiuservalue(L, o->keys, 1);
        lua_createtable(L, ORDER_ANCHOR, 0);
        lua_rawseti(L, -2, (lua_Integer)(at / ORDER_ANCHOR + 1));
        lua_pop(L, 1);
    }
    order_anchors(L, o->keys, o->n, &at);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, (lua_Integer)at);
    lua_pop(L, 1);
}

/* A piece of the second walk: takes the keys down. True: it is over. */
static bool order_fill(lua_State *L, wfi_order *o, order_list *list) {
    for (int64_t left = ORDER_PIECE; left > 0; left--) {
        if (lua_next(L, o->table) == 0) return true;
        lua_pop(L, 1);
        order_key key = order_read(L, -1);
        if (key.rank == ORDER_STRING || key.rank == ORDER_OTHER) {
            key.anchor = (uint32_t)list->anchored;
            order_anchor(L, o, list);
        }
        list->keys[list->n++] = key;
    }
    return false;
}

/* The first walk is over: what is to be sorted needs a place. */
static void order_make_list(lua_State *L, wfi_order *o) {
    if (o->n > UINT32_MAX) wfi_lua_error(L, "the table has too many keys");
    order_list *list = lua_newuserdatauv(L, sizeof *list + o->n * sizeof *list->keys, 1);
    list->n = list->anchored = 0;
    lua_createtable(L, o->n <= ORDER_ANCHOR ? (int)o->n : 0, 0);
    lua_setiuservalue(L, -2, 1);
    lua_replace(L, o->keys);
    lua_pushnil(L);
    o->stage = WFI_ORDER_FILLING;
}

WFI void wfi_order_begin(lua_State *L, wfi_order *o, int table) {
    *o = (wfi_order){.table = lua_absindex(L, table), .stage = WFI_ORDER_COUNTING, .sequence = true};
    wfi_lua_room(L, 8, "keys of a table");
    lua_pushnil(L); /* the keys */
    o->keys = lua_gettop(L);
    lua_pushnil(L); /* where the walk is */
}

WFI bool wfi_order_run(lua_State *L, wfi_order *o) {
    if (o->stage == WFI_ORDER_COUNTING) {
        if (!order_count(L, o)) return false;
        if (o->sequence) {
            lua_pushinteger(L, (lua_Integer)o->n);
            lua_replace(L, o->keys);
            return true;
        }
        order_make_list(L, o);
    }
    order_list *list = lua_touserdata(L, o->keys);
    if (o->stage == WFI_ORDER_FILLING) {
        if (!order_fill(L, o, list)) return false;
        o->stage = WFI_ORDER_HEAPING;
        o->i = list->n / 2;
    }
    return order_sort(o, list);
}

WFI void wfi_order_key(lua_State *L, int keys, lua_Integer i) {
    const order_list *list = lua_touserdata(L, keys);
    lua_Integer n = list ? (lua_Integer)list->n : lua_tointeger(L, keys);
    if (i > n) {
        lua_pushnil(L);
        return;
    }
    const order_key *key = list ? &list->keys[i - 1] : NULL;
    switch (key ? key->rank : ORDER_INTEGER) {
    case ORDER_INTEGER:
        lua_pushinteger(L, key ? key->as.integer : i);
        break;
    case ORDER_FLOAT:
        lua_pushnumber(L, key->as.number);
        break;
    case ORDER_BOOLEAN:
        lua_pushboolean(L, key->as.boolean);
        break;
    case ORDER_STRING:
    case ORDER_OTHER: {
        size_t at = key->anchor;
        order_anchors(L, keys, list->n, &at);
        lua_rawgeti(L, -1, (lua_Integer)at);
        lua_remove(L, -2);
    }
    }
}

WFI lua_Integer wfi_order_after(lua_State *L, int keys, int value) {
    const order_list *list = lua_touserdata(L, keys);
    order_key low = order_read(L, value);
    size_t from = 0, to = list ? list->n : (size_t)lua_tointeger(L, keys);
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        order_key whole = {.rank = ORDER_INTEGER, .as.integer = (lua_Integer)middle + 1};
        if (order_before(&low, list ? &list->keys[middle] : &whole))
            to = middle;
        else
            from = middle + 1;
    }
    return (lua_Integer)from + 1;
}

WFI void wfi_order_next_begin(lua_State *L) {
    wfi_lua_room(L, 8, "keys of a table");
    lua_pushnil(L); /* the best key so far */
    lua_pushnil(L); /* where the walk is */
}

WFI bool wfi_order_next_run(lua_State *L, int table, lua_KContext *others) {
    int after = lua_gettop(L) - 2, best_at = after + 1;
    bool first = lua_isnil(L, after), found = !lua_isnil(L, best_at);
    order_key low = order_read(L, after), best = order_read(L, best_at);
    for (int64_t left = ORDER_PIECE; lua_next(L, table) != 0; lua_pop(L, 1)) {
        order_key key = order_read(L, -2);
        left -= order_weight(&key);
        *others += key.rank == ORDER_OTHER;
        if ((first || order_before(&low, &key)) && !(found && !order_before(&key, &best))) {
            found = true;
            best = key;
            lua_pushvalue(L, -2);
            lua_replace(L, best_at);
        }
        if (left > 0) continue;
        lua_pop(L, 1);
        return false;
    }
    if (*others > 1) order_refuse(L);
    lua_remove(L, after);
    if (!found) return true;
    lua_pushvalue(L, -1);
    lua_rawget(L, table);
    return true;
}

WFI bool wfi_order_less(lua_State *L, int a, int b, bool *less) {
    order_key x = order_read(L, a), y = order_read(L, b);
    if ((x.rank == ORDER_STRING) != (y.rank == ORDER_STRING) || x.rank > ORDER_STRING || y.rank > ORDER_STRING) {
        return false;
    }
    *less = order_before(&x, &y);
    return true;
}
