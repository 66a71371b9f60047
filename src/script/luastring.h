/* luastring: the C part of the script's string library. */
#ifndef WFI_LUASTRING_H
#define WFI_LUASTRING_H

#include "luaaux.h"

/* Fills the table at `strings` with the safe functions (gsub is Lua, over host.scan, and comes with stdlib.lua) and
 * the one at `host` with scan. Makes `strings` what methods of strings are looked up in. */
WFI void wfi_luastring_open(lua_State *L, int strings, int host);

#endif
