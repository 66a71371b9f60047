/* luajson: JSON for scripts, over the public reader and writer.
 *
 * Arrays bear an invisible mark (a metatable of ours that getmetatable does not show), so that [] and {} come back as
 * what they were. null is the value `null`. */
#ifndef WFI_LUAJSON_H
#define WFI_LUAJSON_H

#include "luaaux.h"

/* Fills the table at `json` with encode, decode, array. Must come before all else here: it makes the mark. */
WFI void wfi_luajson_open(lua_State *L, int json);
/* Pushes the value of a JSON text. Raises "bad JSON at line 1, column 2: ..." if it is none. */
WFI void wfi_lua_push_json(lua_State *L, wf_str json);
/* The same as the end of a C function, which answers what this does: a long text gives way. json lives until then. */
WFI int wfi_lua_return_json(lua_State *L, wf_str json);
/* Pushes the JSON text of the value at `index`. Raises "WHAT: ..." naming the path of what has no JSON form. */
WFI void wfi_lua_encode(lua_State *L, int index, const char *what);
WFI int wfi_lua_return_encoded(lua_State *L, int index, const char *what);
/* Pushes the mark of arrays, a metatable. */
WFI void wfi_luajson_mark(lua_State *L);

#endif
