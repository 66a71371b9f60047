/* host: what our own Lua code (flow.lua, effects.lua, agents.lua, ...) calls: the functions of the
 * table `host` that start calls, make and move branches, tell where an error was raised, and ask
 * the run. Knows the branches (script.h) and report.h; script.c knows of it the one function
 * below. */
#ifndef WFI_HOST_H
#define WFI_HOST_H

#include "luaaux.h"

/* Fills the table at `host`. */
WFI void wfi_host_open(lua_State *L, int host);

#endif
