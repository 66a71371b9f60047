/* luastring: owns find, match, gmatch, format, rep and the arithmetic of numeric strings for scripts; takes from the
 * stock library what is bounded and calls nothing back.
 *
 * A long search gives way to other branches: it yields no values, which is also what the scheduler's hook does to
 * pre-empt a branch, and goes on when resumed. Where it cannot yield it works on, up to its budget and its time (wfi_lua_pause). */
#include "luastring.h"

#include <math.h>
#include <string.h>

#include "luapattern.h"

#define LUASTRING_SLICE  200000             /* comparisons between yields: about a millisecond */
#define LUASTRING_BUDGET INT64_C(100000000) /* comparisons of one search, and */
#define LUASTRING_A_BYTE 64                 /* so many more for each byte of text */
#define LUASTRING_COPIED ((size_t)4 << 20)  /* bytes of captures copied at a time */

typedef enum luastring_mode {
    LUASTRING_FIND,  /* first, last, captures */
    LUASTRING_MATCH, /* captures, or the whole */
    LUASTRING_EACH,  /* the same, and moves the iterator (upvalues: text, pattern, at, last) on */
    LUASTRING_SCAN   /* first, last, then as MATCH */
} luastring_mode;

typedef struct luastring_search {
    wfi_luapattern m;
    int64_t spent;
    luastring_mode mode;
    int base;        /* below the results */
    uint32_t pushed; /* captures that are among them */
} luastring_search;

static wf_str luastring_arg(lua_State *L, int index) {
    wf_str s;
    s.ptr = luaL_checklstring(L, index, &s.len);
    return s;
}

static void luastring_push_capture(lua_State *L, const wfi_luapattern *m, uint32_t i) {
    if (m->capture[i].len == WFI_LUAPATTERN_OPEN) wfi_lua_error(L, "malformed pattern (unfinished capture)");
    if (m->capture[i].len == WFI_LUAPATTERN_POSITION) {
        lua_pushinteger(L, (lua_Integer)m->capture[i].at + 1);
    } else {
        lua_pushlstring(L, m->text.ptr + m->capture[i].at, m->capture[i].len);
    }
}

static int luastring_captured(lua_State *L, int status, lua_KContext context);

/* Pushes the captures that are missing among the results, each of which may be a whole text; answers how many results there are. */
static int luastring_captures(lua_State *L, luastring_search *search) {
    const wfi_luapattern *m = &search->m;
    size_t copied = 0;
    for (; search->pushed < m->captures; search->pushed++) {
        if (copied > LUASTRING_COPIED && wfi_lua_pause(L))
            return wfi_lua_give_way(L, search, sizeof *search, luastring_captured);
        luastring_push_capture(L, m, search->pushed);
        copied += lua_rawlen(L, -1);
    }
    if (search->mode == LUASTRING_EACH) {
        lua_pushinteger(L, (lua_Integer)m->end);
        lua_copy(L, -1, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
    }
    return lua_gettop(L) - search->base;
}

static int luastring_captured(lua_State *L, int status, lua_KContext context) {
    luastring_search search;
    (void)status;
    wfi_lua_go_on(L, context, &search, sizeof search);
    return luastring_captures(L, &search);
}

/* Pushes the results of a search that found something; answers how many. */
static int luastring_found(lua_State *L, luastring_search *search) {
    const wfi_luapattern *m = &search->m;
    search->base = lua_gettop(L);
    search->pushed = 0;
    wfi_lua_room(L, (int)WFI_LUAPATTERN_CAPTURES + 4, "captures");
    if (search->mode == LUASTRING_FIND || search->mode == LUASTRING_SCAN) {
        lua_pushinteger(L, (lua_Integer)m->start + 1);
        lua_pushinteger(L, (lua_Integer)m->end);
    }
    if (m->captures == 0 && search->mode != LUASTRING_FIND) {
        lua_pushlstring(L, m->text.ptr + m->start, m->end - m->start);
    }
    return luastring_captures(L, search);
}

static int luastring_resumed(lua_State *L, int status, lua_KContext context);

/* Works on a search until it ends, giving way between slices. Answers the number of results. */
static int luastring_go(lua_State *L, luastring_search *search) {
    wfi_luapattern *m = &search->m;
    int64_t budget = LUASTRING_BUDGET + LUASTRING_A_BYTE * (int64_t)m->text.len;
    for (;;) {
        wfi_luapattern_status status = wfi_luapattern_run(m, LUASTRING_SLICE);
        search->spent += LUASTRING_SLICE - m->left;
        if (status == WFI_LUAPATTERN_MATCH) return luastring_found(L, search);
        if (status == WFI_LUAPATTERN_BAD) return wfi_lua_error(L, "%s", m->error);
        if (status == WFI_LUAPATTERN_NONE) {
            lua_pushnil(L);
            return 1;
        }
        if (search->spent > budget) {
            return wfi_lua_error(L,
                                 "pattern took more than %I steps on a string of %I bytes; simplify it (fewer "
                                 "repeats that can match the same text, or an anchor), or work line by line",
                                 (lua_Integer)budget, (lua_Integer)m->text.len);
        }
        if (wfi_lua_pause(L)) return wfi_lua_give_way(L, search, sizeof *search, luastring_resumed);
    }
}

static int luastring_resumed(lua_State *L, int status, lua_KContext context) {
    luastring_search search;
    (void)status;
    wfi_lua_go_on(L, context, &search, sizeof search);
    return luastring_go(L, &search);
}

/* A position counted from the end if negative, as an offset; `length + 1` for anything beyond the end. */
static size_t luastring_offset(lua_Integer position, size_t length) {
    lua_Integer n = (lua_Integer)length;
    if (position > n) return position - 1 == n ? length : length + 1;
    if (position > 0) return (size_t)position - 1;
    return position == 0 || position < -n ? 0 : (size_t)(n + position);
}

/* Like stock, find takes a pattern without any of these for text, so that a lone ) is no error. */
static bool luastring_is_text(wf_str pattern) {
    for (size_t i = 0; i < pattern.len; i++) {
        if (memchr("^$*+?.([%-", pattern.ptr[i], 10)) return false;
    }
    return true;
}

static int luastring_search_from(lua_State *L, luastring_mode mode) {
    luastring_search search;
    search.mode = mode;
    search.spent = 0;
    wf_str text = luastring_arg(L, 1), pattern = luastring_arg(L, 2);
    size_t at = luastring_offset(luaL_optinteger(L, 3, 1), text.len);
    if (at > text.len) {
        lua_pushnil(L);
        return 1;
    }
    bool plain = mode == LUASTRING_FIND && (lua_toboolean(L, 4) || luastring_is_text(pattern));
    wfi_luapattern_init(&search.m, text, pattern, at, plain, true);
    return luastring_go(L, &search);
}

static int luastring_find(lua_State *L) {
    return luastring_search_from(L, LUASTRING_FIND);
}

static int luastring_match(lua_State *L) {
    return luastring_search_from(L, LUASTRING_MATCH);
}

/* scan(text, pattern, at, last): the first match from the byte after offset `at` on, other than one ending at `last`. */
static int luastring_scan(lua_State *L) {
    luastring_search search;
    search.mode = LUASTRING_SCAN;
    search.spent = 0;
    wf_str text = luastring_arg(L, 1), pattern = luastring_arg(L, 2);
    wfi_luapattern_init(&search.m, text, pattern, (size_t)luaL_checkinteger(L, 3), false, true);
    search.m.last = (size_t)luaL_optinteger(L, 4, -1);
    return luastring_go(L, &search);
}

static int luastring_each(lua_State *L) {
    luastring_search search;
    search.mode = LUASTRING_EACH;
    search.spent = 0;
    lua_settop(L, 0);
    wf_str text = luastring_arg(L, lua_upvalueindex(1)), pattern = luastring_arg(L, lua_upvalueindex(2));
    size_t at = (size_t)lua_tointeger(L, lua_upvalueindex(3));
    if (at > text.len) return 0;
    wfi_luapattern_init(&search.m, text, pattern, at, false, false);
    search.m.last = (size_t)lua_tointeger(L, lua_upvalueindex(4));
    return luastring_go(L, &search);
}

static int luastring_gmatch(lua_State *L) {
    wf_str text = luastring_arg(L, 1);
    luastring_arg(L, 2);
    size_t at = luastring_offset(luaL_optinteger(L, 3, 1), text.len);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)at);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, luastring_each, 4);
    return 1;
}

/* (text, separator, bytes in all, with a last separator): stock copies the text n times, this doubles what there is. */
static int luastring_doubled(lua_State *L) {
    wf_str text = luastring_arg(L, 1), separator = luastring_arg(L, 2);
    size_t total = (size_t)lua_tointeger(L, 3);
    luaL_Buffer out;
    char *to = luaL_buffinitsize(L, &out, total);
    memcpy(to, text.ptr, text.len);
    memcpy(to + text.len, separator.ptr, separator.len);
    for (size_t done = text.len + separator.len; done < total;) {
        size_t more = done < total - done ? done : total - done;
        memcpy(to + done, to, more);
        done += more;
    }
    luaL_pushresultsize(&out, total - separator.len);
    return 1;
}

static int luastring_rep(lua_State *L) {
    luastring_arg(L, 1);
    lua_Integer n = luaL_checkinteger(L, 2);
    if (lua_isnoneornil(L, 3)) {
        lua_settop(L, 2);
        lua_pushliteral(L, "");
    }
    size_t each = luastring_arg(L, 1).len + luastring_arg(L, 3).len;
    if (each == 0 || n <= 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    size_t total = (lua_Unsigned)n > SIZE_MAX / each ? SIZE_MAX : (size_t)n * each;
    wfi_lua_check_text(L, total, "string.rep");
    if (total > INT_MAX) return wfi_lua_error(L, "resulting string too large");
    lua_pushcfunction(L, luastring_doubled);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 3);
    lua_pushinteger(L, (lua_Integer)total);
    return wfi_lua_stock(L, 3, "rep");
}

/* The conversion letter of the next directive in *format, which moves behind it; 0: none. %% is none. */
static char luastring_directive(wf_str *format) {
    for (;;) {
        const char *percent = format->len > 0 ? memchr(format->ptr, '%', format->len) : NULL;
        if (!percent) return 0;
        size_t n = format->len - (size_t)(percent - format->ptr), i = 1;
        while (i < n && memchr("-+ #0123456789.", percent[i], 15))
            i++;
        char letter = i < n ? percent[i] : 0;
        size_t used = i < n ? i + 1 : n;
        *format = wf_str_of(percent + used, n - used);
        if (letter != '%') return letter;
    }
}

static int luastring_format_go(lua_State *L, int status, lua_KContext done);

/* Makes the argument of one directive what the stock format takes. Pushes nothing; may yield. */
static void luastring_format_arg(lua_State *L, int arg, char letter) {
    if (letter == 'p') wfi_lua_error(L, "bad conversion '%%p' to 'format': addresses differ from run to run");
    if (arg > lua_gettop(L)) return; /* stock complains */
    if (lua_type(L, arg) == LUA_TNUMBER && isnan(lua_tonumber(L, arg))) {
        lua_pushnumber(L, (lua_Number)NAN); /* without the sign that some machines give it */
        lua_replace(L, arg);
    }
    if (letter != 's' || lua_isstring(L, arg)) return;
    if (!wfi_lua_text(L, arg)) {
        lua_callk(L, 1, 1, arg, luastring_format_go);
        wfi_lua_text_check(L);
    }
    lua_replace(L, arg);
}

/* With `done` > 0, continues behind the call of the __tostring of argument `done`. */
static int luastring_format_go(lua_State *L, int status, lua_KContext done) {
    wf_str format = luastring_arg(L, 1);
    (void)status;
    if (done > 0) {
        wfi_lua_text_check(L);
        lua_replace(L, (int)done);
    }
    int arg = 1;
    size_t n = 0; /* bytes of the texts that go in */
    for (char letter; (letter = luastring_directive(&format)) != 0;) {
        luastring_format_arg(L, ++arg, letter);
        if (letter == 's' || letter == 'q') n += lua_rawlen(L, arg);
        wfi_lua_check_text(L, n, "string.format");
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    return wfi_lua_stock(L, lua_gettop(L) - 1, "format");
}

static int luastring_format(lua_State *L) {
    return luastring_format_go(L, LUA_OK, 0);
}

static int luastring_called(lua_State *L, int status, lua_KContext context) {
    (void)L;
    (void)status;
    (void)context;
    return 1;
}

/* Arithmetic with a string in it (upvalues: stock's metamethod, the event). Stock's calls the other operand's
 * metamethod in a way that cannot yield; this does not. */
static int luastring_arithmetic(lua_State *L) {
    const char *event = lua_tostring(L, lua_upvalueindex(2));
    lua_settop(L, 2);
    if (lua_isnumber(L, 1) && lua_isnumber(L, 2)) {
        lua_pushvalue(L, lua_upvalueindex(1));
        lua_insert(L, 1);
        return wfi_lua_stock(L, 2, event);
    }
    if (lua_type(L, 2) == LUA_TSTRING || luaL_getmetafield(L, 2, event) == LUA_TNIL) {
        const char *type = luaL_typename(L, lua_isnumber(L, 1) ? 2 : 1);
        return wfi_lua_error(L, "attempt to perform arithmetic on a %s value", type);
    }
    lua_insert(L, 1);
    lua_callk(L, 2, 1, 0, luastring_called);
    return 1;
}

/* Replaces the metatable of strings, stock's at `stock`, by one that the script cannot reach. */
static void luastring_metatable(lua_State *L, int strings) {
    static const char *const events[] = {"__add", "__sub", "__mul", "__mod", "__pow", "__div", "__idiv", "__unm"};
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_createtable(L, 0, 10);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        lua_getfield(L, -2, events[i]);
        lua_pushstring(L, events[i]);
        lua_pushcclosure(L, luastring_arithmetic, 2);
        lua_setfield(L, -2, events[i]);
    }
    lua_pushvalue(L, strings);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -3);
    lua_pop(L, 2);
}

WFI void wfi_luastring_open(lua_State *L, int strings, int host) {
    static const char *const stock[] = {"byte",  "char", "len",    "lower",    "reverse",
                                        "upper", "pack", "unpack", "packsize", "sub"};
    static const luaL_Reg own[] = {{"find", luastring_find},
                                   {"match", luastring_match},
                                   {"gmatch", luastring_gmatch},
                                   {"rep", luastring_rep},
                                   {NULL, NULL}};
    strings = lua_absindex(L, strings);
    host = lua_absindex(L, host);
    lua_pushcfunction(L, luaopen_string);
    lua_call(L, 0, 1);
    for (size_t i = 0; i < sizeof stock / sizeof *stock; i++) {
        lua_getfield(L, -1, stock[i]);
        lua_setfield(L, strings, stock[i]);
    }
    lua_getfield(L, -1, "format");
    lua_pushcclosure(L, luastring_format, 1);
    lua_setfield(L, strings, "format");
    lua_pop(L, 1);
    lua_pushvalue(L, strings);
    luaL_setfuncs(L, own, 0);
    lua_pop(L, 1);
    lua_pushcfunction(L, luastring_scan);
    lua_setfield(L, host, "scan");
    luastring_metatable(L, strings);
}
