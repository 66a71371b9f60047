/* luaaux: what the C functions of the script layer share. Errors that point at the script, the text of a value,
 * protected calls of stock functions, the special value `null`; and the meter: the memory of a Lua state, its garbage
 * collector's pace, and how often running code is looked at.
 *
 * Everything here may raise, so it runs in protected mode. Only Lua's public C API is used. */
#ifndef WFI_LUAAUX_H
#define WFI_LUAAUX_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "../api/json.h"
#include "../api/lua.h"

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

/* luaL_loadbufferx of a text, for whatever people and models write into a file: a byte order mark and a first line that begins with
 * "#" are passed over, lines keep their numbers, and an error that meets one of Lua's limits says what to write instead. */
WFI int wfi_lua_load(lua_State *L, wf_str text, const char *chunk);

/* What a C function does that works for long, after each piece of about a millisecond. True: it is to yield by wfi_lua_give_way.
 * False: nothing can be yielded here; it works on, unless it has for too long, which is raised. */
WFI bool wfi_lua_pause(lua_State *L);
/* Yields no values, with the n bytes of the function's state kept on top of the stack. `k` begins with wfi_lua_go_on, which brings
 * them back. */
WFI int wfi_lua_give_way(lua_State *L, const void *state, size_t n, lua_KFunction k);
WFI void wfi_lua_go_on(lua_State *L, lua_KContext context, void *state, size_t n);

/* Pushes the text of the value at `index` and answers true; or its __tostring and the value, and answers false: the
 * caller then calls with one argument, in a way that can yield, and passes the result through wfi_lua_text_check. */
WFI bool wfi_lua_text(lua_State *L, int index);
WFI void wfi_lua_text_check(lua_State *L);

/* The memory of a Lua state, and the pace of what runs in it. Its allocator takes a meter as its context.
 *
 * Out of memory is nobody's to catch, for what depends on memory must not become a result: wfi_lua_caught tells it from
 * other errors. `starved` is set before the error is raised, for <close> variables run on its way, and stays set. A text
 * longer than `text_max` is an ordinary error.
 *
 * The collector is run by wfi_meter_turn, in short pieces: Lua's own would do a whole cycle at once behind a large
 * allocation, which nothing can interrupt. `hook`, a count hook of the state's owner, calls it and then judges by the
 * clock whether the code has run for long enough. It is called every so many instructions, and at once when much was
 * allocated: a single instruction can be expensive, and the larger the texts around, the more so. */
typedef struct wfi_meter {
    wf_heap *heap;
    uint64_t (*now_ms)(void *ctx); /* the platform's clock */
    void *ctx;
    lua_Hook hook;
    lua_State *running; /* the coroutine that runs; NULL: none */
    size_t text_max;    /* bytes of one text */
    size_t fresh;       /* bytes allocated that the collector has not worked for yet */
    size_t due;         /* bytes in use from which on the next cycle begins */
    size_t largest;     /* text ever made */
    int interval;       /* of the hook's calls, in instructions */
    const void *wanted; /* of the allocation refused last: what it was to enlarge, */
    size_t wanted_n;    /* ... and to how much */
    uint64_t looked;    /* when the clock was last read */
    uint64_t busy;      /* ms that code has worked since the owner set it to 0 */
    uint64_t stuck;     /* ... of them, without a break, where it could not be interrupted */
    bool collecting;    /* a cycle is under way */
    bool wanting;       /* the last allocation was refused: the next one, or the error, shows whether for good */
    bool starved;       /* memory ran out, and code is being ended by it, or was */
} wfi_meter;

/* Of text_max: Lua compares two such texts of zero bytes in some 90 ms, and nothing can interrupt it. */
#define WFI_TEXT_MAX ((size_t)12 << 20)

WFI void *wfi_meter_alloc(void *meter, void *p, size_t old, size_t n);
WFI wfi_meter *wfi_meter_of(lua_State *L);
/* Takes the collector of a new state over. Protected, before any code runs that is to be measured. */
WFI void wfi_meter_adopt(lua_State *L);
/* The clock, for `busy` and `stuck`. It cannot tell work from waiting for a processor, so each look charges little at most: a
 * process that was suspended for an hour is not charged with that. */
WFI void wfi_meter_begin(wfi_meter *m);
WFI void wfi_meter_look(wfi_meter *m, bool interruptible);
/* A turn of the collector, if one is due. */
WFI void wfi_meter_turn(lua_State *L);
/* When the hook is to be called next, in instructions. */
WFI int wfi_meter_interval(const wfi_meter *m);
/* Has the running coroutine's hook called every `count` instructions. */
WFI void wfi_meter_hook(lua_State *L, int count);
/* Whether memory is short: little more is to be begun that keeps some. Looks for garbage first, for a few milliseconds. */
WFI bool wfi_meter_short(lua_State *L);
/* Whether memory has run out: then nothing that code still does may be recorded. */
WFI bool wfi_meter_out(wfi_meter *m);
/* How a protected call failed, its status not LUA_OK: true: memory ran out; what was called must be given up, and so must the
 * caller. False: an error like others, on top of the stack. */
WFI bool wfi_lua_caught(lua_State *L, int status);
/* Raises that a text is too long if one of n bytes is: before it is made, which takes its time. */
WFI void wfi_lua_check_text(lua_State *L, size_t n, const char *what);
/* As luaL_checkstack, but that want of memory is not called a stack overflow. */
WFI void wfi_lua_room(lua_State *L, int n, const char *what);

/* JSON's null, a light userdata with no address. */
WFI void wfi_lua_push_null(lua_State *L);
WFI bool wfi_lua_is_null(lua_State *L, int index);

#endif
