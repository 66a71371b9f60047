/* order: owns the order of keys. Lua's own order of traversal depends on addresses and seeds; nothing of it may show.
 *
 * Strings in an order_key are borrowed from the table, which holds them while no script code runs. */
#include "order.h"

#include <string.h>

typedef enum order_rank { ORDER_INTEGER, ORDER_FLOAT, ORDER_STRING, ORDER_BOOLEAN, ORDER_OTHER } order_rank;

typedef struct order_key {
    order_rank rank;
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

static void order_sift(order_key *keys, size_t root, size_t n) {
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && order_before(&keys[child], &keys[child + 1])) child++;
        if (!order_before(&keys[root], &keys[child])) return;
        order_key t = keys[root];
        keys[root] = keys[child];
        keys[child] = t;
    }
}

/* Heap sort: no stack, no memory, no bad case. Keys are distinct, so it need not be stable. */
static void order_sort(order_key *keys, size_t n) {
    for (size_t i = n / 2; i > 0; i--)
        order_sift(keys, i - 1, n);
    for (size_t end = n; end > 1; end--) {
        order_key t = keys[0];
        keys[0] = keys[end - 1];
        keys[end - 1] = t;
        order_sift(keys, 0, end - 1);
    }
}

static void order_push(lua_State *L, const order_key *key, int other) {
    switch (key->rank) {
    case ORDER_INTEGER:
        lua_pushinteger(L, key->as.integer);
        break;
    case ORDER_FLOAT:
        lua_pushnumber(L, key->as.number);
        break;
    case ORDER_STRING:
        lua_pushlstring(L, key->as.string.ptr, key->as.string.len);
        break;
    case ORDER_BOOLEAN:
        lua_pushboolean(L, key->as.boolean);
        break;
    case ORDER_OTHER:
        lua_pushvalue(L, other);
        break;
    }
}

static void order_refuse(lua_State *L) {
    wfi_lua_error(L, "the table has no stable order: more than one of its keys is a table, function or userdata; "
                     "use strings or numbers as keys, or keep such values in a list");
}

/* Counts the keys of the table at `index`, tells whether they are exactly 1..n, and refuses what cannot be ordered. */
static size_t order_count(lua_State *L, int index, bool *sequence) {
    size_t n = 0, others = 0;
    lua_Unsigned length = lua_rawlen(L, index);
    *sequence = true;
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1), n++) {
        order_key key = order_read(L, -2);
        *sequence = *sequence && key.rank == ORDER_INTEGER && (lua_Unsigned)key.as.integer - 1 < length;
        others += key.rank == ORDER_OTHER;
    }
    if (others > 1) order_refuse(L);
    *sequence = *sequence && n == length;
    return n;
}

WFI void wfi_order_keys(lua_State *L, int index) {
    bool sequence;
    index = lua_absindex(L, index);
    wfi_lua_room(L, 8, "keys of a table");
    size_t n = order_count(L, index, &sequence), i = 0;
    if (sequence) {
        lua_pushinteger(L, (lua_Integer)n);
        return;
    }
    order_key *keys = lua_newuserdatauv(L, n * sizeof *keys, 0);
    lua_pushnil(L); /* the key that is like no other */
    int other = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        keys[i++] = order_read(L, -2);
        if (keys[i - 1].rank != ORDER_OTHER) continue;
        lua_pushvalue(L, -2);
        lua_replace(L, other);
    }
    order_sort(keys, n);
    lua_createtable(L, n < INT_MAX ? (int)n : 0, 0);
    for (i = 0; i < n; i++) {
        order_push(L, &keys[i], other);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_replace(L, other - 1);
    lua_settop(L, other - 1);
}

WFI bool wfi_order_next(lua_State *L, int index) {
    index = lua_absindex(L, index);
    wfi_lua_room(L, 8, "keys of a table");
    int after = lua_gettop(L), others = 0;
    bool first = lua_isnil(L, after), found = false;
    order_key low = order_read(L, after), best = low;
    lua_pushnil(L); /* the best key so far, in after + 1 */
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        order_key key = order_read(L, -2);
        others += key.rank == ORDER_OTHER;
        if ((!first && !order_before(&low, &key)) || (found && !order_before(&key, &best))) continue;
        found = true;
        best = key;
        lua_pushvalue(L, -2);
        lua_replace(L, after + 1);
    }
    if (others > 1) order_refuse(L);
    lua_remove(L, after);
    if (!found) {
        lua_pop(L, 1);
        return false;
    }
    lua_pushvalue(L, -1);
    lua_rawget(L, index);
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
