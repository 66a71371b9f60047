/* order: the one order in which scripts see the keys of a table. Numbers ascending by value, then strings by their
 * bytes, then false, true. At most one key of another type may be there; it comes last. */
#ifndef WFI_ORDER_H
#define WFI_ORDER_H

#include "luaaux.h"

/* Pushes the keys of the table at `index`, metamethods aside: the integer n if they are exactly 1..n (0 for an empty
 * table), else a list of them in order. O(n log n). Raises if there is no stable order. */
WFI void wfi_order_keys(lua_State *L, int index);
/* Pops a key and pushes the one that follows it in the table at `index`, and its value; answers false, and pushes
 * nothing, if there is none. nil: the first. The key itself need not be there any more. O(n). */
WFI bool wfi_order_next(lua_State *L, int index);
/* Whether the value at a goes before the one at b: *less is set if both are numbers or both are strings. */
WFI bool wfi_order_less(lua_State *L, int a, int b, bool *less);

#endif
