/* next: the function of that name. To find the key that follows another takes a look at all of them; a work list that is
 * emptied with it would take ages. So the order of the table that it was asked of twice in a row is remembered, until a key
 * comes into the table: to see that, it bears a metatable of ours meanwhile, which the script is not shown. */
#ifndef WFI_NEXT_H
#define WFI_NEXT_H

#include "luajson.h"

/* Sets `next` in the table at `env`. After wfi_luajson_open. */
WFI void wfi_next_open(lua_State *L, int env);
/* To be called before the metatable of the table at `index` is read or changed, and before a raw write to it: it bears none of
 * ours then. */
WFI void wfi_next_forget(lua_State *L, int index);

#endif
