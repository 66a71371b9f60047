/* sandbox: the standard library that scripts see. Deterministic, bounded, pre-emptible; nothing else is in reach.
 *
 * In order, all in protected mode:
 *
 *     wfi_sandbox_open(L)            pushes two tables: `host`, what our own Lua code may use, and `env`, the globals
 *     ...                            the caller adds to host (print(text) at least) and to env (random, agent, ...)
 *     wfi_sandbox_load(L, chunk)     runs our own Lua code with (host, env), once for each chunk
 *     wfi_sandbox_seal(L)            pops both; env becomes the table of globals of every chunk loaded from then on
 *     wfi_sandbox_globals(L)         pushes another such table, as env was when it was sealed
 *
 * host holds: fail(message), raises with the script's line; front(f), a C function that calls f, without which a tail
 * call `return f(x)` in the script leaves an error in f no line to name; metamethod(value, event); less(a, b), the order
 * of keys; join(list, separator, i, j); unpack(list, i, j); scan, the step of gsub; pcall; text_max, of the meter.
 *
 * What the scheduler must know:
 *   - A yield of no values is a pre-emption, by its own count hook or by a long call of ours (wfi_lua_give_way): resume it as it is.
 *   - Everything that calls back into the script can yield. Where it yields inside a call of pcall or of a metamethod
 *     the C stack is given up, so "C stack overflow" (200 such calls inside each other) may come later, never sooner.
 *   - pcall and xpcall do not keep a branch going whose memory ran out (wfi_lua_caught). The state's allocator is a wfi_meter. */
#ifndef WFI_SANDBOX_H
#define WFI_SANDBOX_H

#include "luaaux.h"
#include "luajson.h"

WFI void wfi_sandbox_open(lua_State *L);
/* chunk: pieces of Lua text, ended by NULL. Its errors are raised. */
WFI void wfi_sandbox_load(lua_State *L, const char *const *chunk);
WFI void wfi_sandbox_seal(lua_State *L);
WFI void wfi_sandbox_globals(lua_State *L);

#endif
