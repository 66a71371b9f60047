/* luaaux: owns how the script layer reports errors and describes values. No state.
 *
 * Invariant: no text that leaves here holds an address or depends on the machine (NaN has no sign). */
#include "luaaux.h"

#include <math.h>
#include <string.h>

#define LUAAUX_DEAR   65536u /* bytes of an allocation from which on its work counts */
#define LUAAUX_BYTES  16u    /* that are as dear as one instruction */
#define LUAAUX_FRAMES 64     /* looked at for the script's line; our own never nest that deep */

static const char luaaux_stop = 0; /* its address is the value */

WFI void wfi_lua_where(lua_State *L, int level) {
    lua_Debug frame;
    for (int i = 0; i < LUAAUX_FRAMES && lua_getstack(L, level + i, &frame); i++) {
        lua_getinfo(L, "Sl", &frame);
        if (frame.currentline > 0 && strcmp(frame.source, WFI_LUA_PRELUDE) != 0) {
            lua_pushfstring(L, "%s:%d: ", frame.short_src, frame.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

WFI int wfi_lua_error(lua_State *L, const char *format, ...) {
    va_list args;
    va_start(args, format);
    wfi_lua_where(L, 1);
    lua_pushvfstring(L, format, args);
    va_end(args);
    lua_concat(L, 2);
    return lua_error(L);
}

WFI int wfi_lua_stock(lua_State *L, int args, const char *name) {
    int function = lua_gettop(L) - args;
    int status = lua_pcall(L, args, LUA_MULTRET, 0);
    if (status == LUA_OK) return lua_gettop(L) - function + 1;
    if (status == LUA_ERRRUN && lua_type(L, -1) == LUA_TSTRING) {
        /* Called from C, the stock function found neither a line nor a name for itself. */
        const char *quoted = lua_pushfstring(L, "'%s'", name);
        const char *message = luaL_gsub(L, lua_tostring(L, -2), "'?'", quoted);
        return wfi_lua_error(L, "%s", message);
    }
    return lua_error(L);
}

WFI bool wfi_lua_text(lua_State *L, int index) {
    index = lua_absindex(L, index);
    if (luaL_getmetafield(L, index, "__tostring") != LUA_TNIL) {
        lua_pushvalue(L, index);
        return false;
    }
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
        if (isnan(lua_tonumber(L, index))) {
            lua_pushliteral(L, "nan"); /* some machines say "-nan" */
            return true;
        }
        luaL_tolstring(L, index, NULL);
        return true;
    case LUA_TNIL:
    case LUA_TBOOLEAN:
    case LUA_TSTRING:
        luaL_tolstring(L, index, NULL);
        return true;
    default:
        if (wfi_lua_is_null(L, index)) {
            lua_pushliteral(L, "null");
            return true;
        }
        int named = luaL_getmetafield(L, index, "__name");
        if (named == LUA_TSTRING) return true;
        if (named != LUA_TNIL) lua_pop(L, 1);
        lua_pushstring(L, luaL_typename(L, index));
        return true;
    }
}

WFI void wfi_lua_text_check(lua_State *L) {
    if (lua_type(L, -1) != LUA_TSTRING) wfi_lua_error(L, "'__tostring' must return a string");
}

WFI void wfi_lua_push_null(lua_State *L) {
    lua_pushlightuserdata(L, NULL);
}

WFI bool wfi_lua_is_null(lua_State *L, int index) {
    return lua_islightuserdata(L, index) && lua_touserdata(L, index) == NULL;
}

WFI void wfi_lua_push_stop(lua_State *L) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)&luaaux_stop);
}

WFI void *wfi_meter_alloc(void *meter, void *p, size_t old, size_t n) {
    wfi_meter *m = meter;
    void *q = wf_heap_resize(m->heap, p, n);
    size_t work = n;
    if (n == 0 || (q && (n < LUAAUX_DEAR || (p && n <= old)))) return q;
    if (!q) {
        wf_heap_use use;
        wf_heap_stats(m->heap, &use);
        work = use.used;
    }
    m->steps += work / LUAAUX_BYTES;
    if (m->running) lua_sethook(m->running, m->hook, LUA_MASKCOUNT, 1);
    return q;
}
