/* luaaux: what the C functions of the script layer share. Errors that point at the script, the text of a value,
 * protected calls of stock functions, and the two special values `null` and `stop`.
 *
 * Everything here may raise, so it runs in protected mode. Only Lua's public C API is used. */
#ifndef WFI_LUAAUX_H
#define WFI_LUAAUX_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "../api.h"

#ifndef WFI
#define WFI extern
#endif

/* The chunk name of our own Lua code. Frames that bear it are passed over when an error looks for its line. */
#define WFI_LUA_PRELUDE "=workflow"

/* Pushes "file:line: " of the innermost frame of the script at or above `level`, or "". */
WFI void wfi_lua_where(lua_State *L, int level);
/* Raises a message (lua_pushfstring's directives) that begins with the script's line. Never returns. */
WFI int wfi_lua_error(lua_State *L, const char *format, ...);
/* Calls the stock function below its `args` arguments. Answers the number of results, which lie where it lay. Its
 * errors get the script's line and `name`. The function must not call back into the script. */
WFI int wfi_lua_stock(lua_State *L, int args, const char *name);

/* Pushes the text of the value at `index` and answers true; or its __tostring and the value, and answers false: the
 * caller then calls with one argument, in a way that can yield, and passes the result through wfi_lua_text_check. */
WFI bool wfi_lua_text(lua_State *L, int index);
WFI void wfi_lua_text_check(lua_State *L);

/* Counts the work of a state. One instruction is a step; the hook counts them. The allocator (meter as its context) counts what
 * instructions do not tell: long strings and tables, and full memory, where every allocation that fails has Lua collect all
 * garbage and try again. Then the hook of the running coroutine looks at once. */
typedef struct wfi_meter {
    wf_heap *heap;
    uint64_t steps;
    lua_State *running; /* NULL: none */
    lua_Hook hook;
} wfi_meter;

WFI void *wfi_meter_alloc(void *meter, void *p, size_t old, size_t n);

/* JSON's null, a light userdata with no address. */
WFI void wfi_lua_push_null(lua_State *L);
WFI bool wfi_lua_is_null(lua_State *L, int index);
/* The error value that no pcall of the script keeps. */
WFI void wfi_lua_push_stop(lua_State *L);

#endif
