/* luaaux: see luaaux.h.
 *
 * Invariant: no text that leaves here holds an address or depends on the machine (NaN has no sign). */
#include "luaaux.h"

#include <math.h>
#include <string.h>

#define LUAAUX_FRAMES 64 /* looked at for the script's line; our own never nest that deep */

#define LUAAUX_FRESH ((size_t)32 << 10) /* bytes allocated from which on the collector has a turn */
#define LUAAUX_SHARE 32                 /* ... or this part of those in use, where that is more */
#define LUAAUX_PACE  ((size_t)16 << 10) /* bytes allocated for which it takes a step: a cycle is over long before */
                                        /* the memory in use has doubled */
#define LUAAUX_STEP_LOG2 11             /* bytes of a step, as LUA_GCINC takes them: about 0.2 ms */
#define LUAAUX_TURN_MS   5              /* of its steps at a time */
#define LUAAUX_GAP_MS    100            /* more between two looks is not the code's doing: of `busy`, */
#define LUAAUX_STUCK_MS  20             /* ... and of `stuck`, so that one bad moment of the machine ends nothing */
#define LUAAUX_LEAST     ((size_t)256 << 10) /* bytes in use that are no reason to collect */
#define LUAAUX_LOOK      10000               /* instructions between two looks, */
#define LUAAUX_LARGE     ((size_t)8 << 10)   /* ... where no text is larger; the larger, the fewer */
#define LUAAUX_BEHIND    100                 /* ... and where the collector has more to do */
#define LUAAUX_SLOW_MS   4                   /* between two looks: then the next one comes sooner */

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
    if (wfi_lua_caught(L, status)) return lua_error(L);
    if (status == LUA_ERRRUN && lua_type(L, -1) == LUA_TSTRING) {
        /* Called from C, the stock function found neither a line nor a name for itself. */
        const char *quoted = lua_pushfstring(L, "'%s'", name);
        const char *message = luaL_gsub(L, lua_tostring(L, -2), "'?'", quoted);
        return wfi_lua_error(L, "%s", message);
    }
    return lua_error(L);
}

WFI bool wfi_lua_pause(lua_State *L) {
    wfi_meter *m = wfi_meter_of(L);
    if (lua_isyieldable(L)) return true;
    if (m->running) m->hook(L, NULL);
    return false;
}

WFI int wfi_lua_give_way(lua_State *L, const void *state, size_t n, lua_KFunction k) {
    wfi_lua_room(L, 1, "a long call");
    memcpy(lua_newuserdatauv(L, n, 0), state, n);
    return lua_yieldk(L, 0, lua_gettop(L), k);
}

WFI void wfi_lua_go_on(lua_State *L, lua_KContext context, void *state, size_t n) {
    memcpy(state, lua_touserdata(L, (int)context), n);
    lua_settop(L, (int)context - 1);
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

/* ---- loading ---- */

/* Hands out a text line by line, so that the lines handed out tell where the parser is. */
typedef struct luaaux_reader {
    wf_str left;
    lua_Integer lines;
} luaaux_reader;

static const char *luaaux_read(lua_State *L, void *ctx, size_t *n) {
    luaaux_reader *r = ctx;
    const char *from = r->left.ptr;
    (void)L;
    if (r->left.len == 0) return NULL;
    const char *end = memchr(from, '\n', r->left.len);
    *n = end ? (size_t)(end - from) + 1 : r->left.len;
    r->left = wf_str_of(from + *n, r->left.len - *n);
    r->lines++;
    return from;
}

/* What to write instead of what has met a limit of Lua's. */
static const char *luaaux_remedy(const char *message) {
    static const char *const remedies[][2] = {
        {"C stack overflow",
         "; write it as a table and join it, table.concat({ \"a\", \"b\" }), or take it apart with locals"},
        {"too many local variables", "; keep them in one table: local t = {}, then t.a, t.b"},
        {"too many upvalues", "; keep them in one table, which is one upvalue"},
        {"needs too many registers", "; write the values as a table, and join texts with table.concat"},
        {"control structure too long", "; move its body into a function"},
        {"too many ", "; take it apart into several functions, and keep values in tables"}};
    for (size_t i = 0; i < sizeof remedies / sizeof *remedies; i++)
        if (strstr(message, remedies[i][0])) return remedies[i][1];
    return "";
}

/* The message on top of the stack, with its line and with what to write instead. */
static void luaaux_explain(lua_State *L, const char *chunk, lua_Integer line) {
    static const char deep[] = "C stack overflow";
    lua_Debug frame;
    if (lua_type(L, -1) != LUA_TSTRING) return;
    const char *message = lua_tostring(L, -1), *remedy = luaaux_remedy(message);
    if (!remedy[0]) return;
    if (strncmp(message, deep, sizeof deep - 1) != 0) {
        lua_pushfstring(L, "%s%s", message, remedy);
    } else {
        if (luaL_loadbufferx(L, "", 0, chunk, "t") != LUA_OK) lua_error(L);
        lua_getinfo(L, ">S", &frame);
        lua_pushfstring(L, "%s:%I: nested too deeply, or too many pieces in one expression (Lua takes some 200)%s",
                        frame.short_src, (LUAI_UACINT)line, remedy);
    }
    lua_remove(L, -2);
}

WFI int wfi_lua_load(lua_State *L, wf_str text, const char *chunk) {
    luaaux_reader r = {text, 0};
    if (text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0) r.left = wf_str_of(text.ptr + 3, text.len - 3);
    if (r.left.len > 0 && r.left.ptr[0] == '#') { /* the line's end stays */
        const char *end = memchr(r.left.ptr, '\n', r.left.len);
        r.left = end ? wf_str_of(end, (size_t)(r.left.ptr + r.left.len - end)) : wf_str_of("", 0);
    }
    int status = lua_load(L, luaaux_read, &r, chunk, "t");
    if (status != LUA_OK && status != LUA_ERRMEM) luaaux_explain(L, chunk, r.lines);
    return status;
}

/* ---- memory ---- */

static const char meter_too_long = 't'; /* key of the message in the registry */

WFI wfi_meter *wfi_meter_of(lua_State *L) {
    void *meter;
    lua_getallocf(L, &meter);
    return meter;
}

static size_t meter_used(const wfi_meter *m, size_t *limit) {
    wf_heap_use use;
    wf_heap_stats(m->heap, &use);
    *limit = use.limit;
    return use.used;
}

static void meter_set_hook(const wfi_meter *m, lua_State *L, int count) {
    if (lua_gethookcount(L) == count) return; /* it takes a walk over all calls, of which a recursion has many */
    lua_sethook(L, m->hook, LUA_MASKCOUNT, count);
}

/* Much was allocated: the hook runs next. Of small pieces, as a deep recursion takes, more is much where more is in use. */
static void meter_hurry(const wfi_meter *m, size_t more) {
    size_t limit;
    if (more >= LUAAUX_FRESH || m->fresh >= meter_used(m, &limit) / LUAAUX_SHARE) meter_set_hook(m, m->running, 1);
}

/* Of every allocation that is to give more: whether an earlier one was refused for good. Lua answers a refusal with a full
 * collection, which asks for nothing, and then asks for the same again. The auxiliary library's buffers ask once: then the
 * next request is another one. */
static void meter_judge(wfi_meter *m, const void *p, size_t n, bool refused) {
    bool again = m->wanting && p == m->wanted && n == m->wanted_n;
    m->starved |= m->wanting && (refused || !again);
    m->wanting = refused;
    m->wanted = p;
    m->wanted_n = n;
}

/* For p NULL, `old` is the type of what the memory is for. */
WFI void *wfi_meter_alloc(void *meter, void *p, size_t old, size_t n) {
    wfi_meter *m = meter;
    bool text = !p && old == LUA_TSTRING;
    if (text && n > m->text_max) return NULL;
    void *q = wf_heap_resize(m->heap, p, n);
    size_t more = p && n <= old ? 0 : n;
    if (more > 0) meter_judge(m, p, n, !q);
    m->fresh += more;
    if (text && n > m->largest) m->largest = n;
    if (m->running && m->fresh >= LUAAUX_FRESH) meter_hurry(m, more);
    return q;
}

WFI bool wfi_meter_out(wfi_meter *m) {
    m->starved |= m->wanting;
    return m->starved;
}

/* An error of memory that is not short was of a text over text_max. */
WFI bool wfi_lua_caught(lua_State *L, int status) {
    bool out = wfi_meter_out(wfi_meter_of(L));
    if (out || status != LUA_ERRMEM) return out;
    lua_pop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &meter_too_long); /* allocates nothing */
    return false;
}

WFI void wfi_lua_check_text(lua_State *L, size_t n, const char *what) {
    size_t most = wfi_meter_of(L)->text_max;
    if (n > most) wfi_lua_error(L, "%s: a text of more than %I bytes; build it in parts", what, (LUAI_UACINT)most);
}

WFI void wfi_lua_room(lua_State *L, int n, const char *what) {
    if (lua_checkstack(L, n)) return;
    if (wfi_meter_out(wfi_meter_of(L))) luaL_error(L, "not enough memory");
    wfi_lua_error(L, "stack overflow (%s)", what);
}

/* ---- the clock ---- */

WFI void wfi_meter_begin(wfi_meter *m) {
    m->looked = m->now_ms(m->ctx);
    m->stuck = 0;
}

/* Charges the time since the last look, and returns it. */
static uint64_t meter_charge(wfi_meter *m) {
    uint64_t now = m->now_ms(m->ctx), passed = now - m->looked, most = passed < LUAAUX_GAP_MS ? passed : LUAAUX_GAP_MS;
    m->looked = now;
    m->busy += most;
    m->stuck += most < LUAAUX_STUCK_MS ? most : LUAAUX_STUCK_MS;
    return passed;
}

WFI void wfi_meter_look(wfi_meter *m, bool interruptible) {
    int most = m->largest <= LUAAUX_LARGE ? LUAAUX_LOOK : (int)(LUAAUX_LOOK / (m->largest / LUAAUX_LARGE + 1)) + 1;
    m->interval = meter_charge(m) >= LUAAUX_SLOW_MS ? m->interval / 8 + 1 : m->interval * 2;
    if (m->interval > most || m->interval <= 0) m->interval = most;
    if (interruptible) m->stuck = 0;
}

WFI void wfi_meter_hook(lua_State *L, int count) {
    wfi_meter *m = wfi_meter_of(L);
    meter_set_hook(m, L, count);
    (void)meter_charge(m); /* the hook's own time says nothing of the code's pace */
}

/* ---- the collector ---- */

WFI void wfi_meter_adopt(lua_State *L) {
    wfi_meter *m = wfi_meter_of(L);
    lua_pushfstring(L, "a text of more than %I bytes; build it in parts", (LUAI_UACINT)m->text_max);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &meter_too_long);
    lua_gc(L, LUA_GCINC, 0, 0, LUAAUX_STEP_LOG2);
    lua_gc(L, LUA_GCSTOP);
    m->due = LUAAUX_LEAST;
}

/* The end of a cycle: the next begins when as much again is in use, or, where that is too much, well before the limit. */
static void meter_rest(wfi_meter *m) {
    size_t limit, used = meter_used(m, &limit), more = used, most = used < limit ? (limit - used) / 4 : 0;
    if (more < LUAAUX_LEAST) more = LUAAUX_LEAST;
    m->due = used + (more < most ? more : most);
    m->collecting = false;
    m->fresh = 0;
}

/* Steps of the collector, as far as `fresh` makes them due, but no longer than a few milliseconds. */
static void meter_collect(lua_State *L, wfi_meter *m) {
    uint64_t end = m->now_ms(m->ctx) + LUAAUX_TURN_MS;
    m->collecting = true;
    while (m->fresh >= LUAAUX_PACE) {
        m->fresh -= LUAAUX_PACE;
        if (lua_gc(L, LUA_GCSTEP, 0)) {
            meter_rest(m);
            return;
        }
        if (m->now_ms(m->ctx) >= end) return;
    }
}

WFI void wfi_meter_turn(lua_State *L) {
    wfi_meter *m = wfi_meter_of(L);
    size_t limit;
    if (m->fresh < LUAAUX_FRESH) return;
    if (m->collecting || meter_used(m, &limit) >= m->due)
        meter_collect(L, m);
    else
        m->fresh = 0;
}

WFI int wfi_meter_interval(const wfi_meter *m) {
    return m->fresh >= LUAAUX_FRESH && m->interval > LUAAUX_BEHIND ? LUAAUX_BEHIND : m->interval;
}

WFI bool wfi_meter_short(lua_State *L) {
    wfi_meter *m = wfi_meter_of(L);
    size_t limit, used = meter_used(m, &limit), enough = limit / 4 * 3;
    if (used <= enough) return false;
    m->fresh = limit;
    meter_collect(L, m);
    return meter_used(m, &limit) > enough;
}
