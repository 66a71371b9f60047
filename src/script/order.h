/* order: the one order in which scripts see the keys of a table. Numbers ascending by value, then strings by their
 * bytes, then false, true. At most one key of another type may be there; it comes last. */
#ifndef WFI_ORDER_H
#define WFI_ORDER_H

#include "luaaux.h"

/* Putting the keys of a table in order is done in pieces, between which a long one may give way (wfi_lua_pause):
 *
 *     wfi_order_begin(L, &o, index)      pushes what it needs
 *     while (!wfi_order_run(L, &o)) ...  one piece; raises if there is no stable order
 *
 * In the end one value has been pushed: the keys. Meanwhile nothing else may lie above, and the table must not change. */
typedef struct wfi_order {
    int table, keys; /* stack indices */
    enum { WFI_ORDER_COUNTING, WFI_ORDER_FILLING, WFI_ORDER_HEAPING, WFI_ORDER_SORTING } stage;
    bool sequence; /* the keys are exactly 1..n */
    size_t n, others, i;
} wfi_order;

/* Metamethods aside. O(n log n) in all. */
WFI void wfi_order_begin(lua_State *L, wfi_order *o, int table);
WFI bool wfi_order_run(lua_State *L, wfi_order *o);
/* Pushes the i-th of the keys at `keys`, from 1 on; nil: there are less. They are the integer n if they are exactly 1..n (0
 * for an empty table), else a userdata, which keeps them whatever becomes of the table. */
WFI void wfi_order_key(lua_State *L, int keys, lua_Integer i);

/* The number of the first of the keys at `keys` that goes behind the value at `value`. O(log n). */
WFI lua_Integer wfi_order_after(lua_State *L, int keys, int value);

/* The key that follows the one on top of the stack in the table at the index `table`, likewise: begin pushes two values; each run
 * is a piece, O(n) in all, *others 0 before the first. In the end the three values have become the key that follows and its
 * value, or nil alone. After nil comes the first. The key itself need not be there any more. */
WFI void wfi_order_next_begin(lua_State *L);
WFI bool wfi_order_next_run(lua_State *L, int table, lua_KContext *others);

/* Whether the value at a goes before the one at b: *less is set if both are numbers or both are strings. */
WFI bool wfi_order_less(lua_State *L, int a, int b, bool *less);

#endif
