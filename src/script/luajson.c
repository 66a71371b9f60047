/* luajson: owns the mapping between Lua values and JSON. Metamethods play no part in it; work and memory are linear
 * in the size of the value (keys are sorted), depth is at most WF_JSON_DEPTH. Both ways are walked in pieces of about a
 * millisecond, with a stack of frames in a struct: so a long walk gives way between two of them.
 *
 * A table becomes an array if it is marked as one, or has the keys 1..n and n > 0; else an object, whose keys must be
 * strings and are written in byte order. Floats are written with the fewest digits that read back equal. */
#include "luajson.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "order.h"

static const char luajson_mark_key = 0; /* its address is the mark's key in the registry */

WFI void wfi_luajson_mark(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &luajson_mark_key);
}

/* Its metatable is the mark, or is itself marked: so our own lists can have a metatable and be arrays. */
static bool luajson_marked(lua_State *L, int index) {
    int top = lua_gettop(L);
    bool marked = false;
    index = lua_absindex(L, index);
    wfi_luajson_mark(L);
    if (lua_getmetatable(L, index)) {
        marked = lua_rawequal(L, -1, top + 1);
        if (!marked && lua_getmetatable(L, -1)) marked = lua_rawequal(L, -1, top + 1);
    }
    lua_settop(L, top);
    return marked;
}

/* ---- reading ---- */

#define LUAJSON_PIECE 200000 /* bytes of JSON at a time, and */
#define LUAJSON_TOKEN 16     /* so many more for each token */

typedef struct luajson_frame {
    bool object;
    lua_Integer count;
} luajson_frame;

typedef struct luajson_reader {
    wf_json j;
    size_t depth;
    luajson_frame frames[WF_JSON_DEPTH];
} luajson_reader;

static void luajson_bad(lua_State *L, const wf_json *j, size_t offset, const char *text) {
    lua_Integer line = 1, column = 1;
    for (size_t i = 0; i < offset && i < j->text.len; i++) {
        if (j->text.ptr[i] == '\n') {
            line++;
            column = 1;
        } else if (((uint8_t)j->text.ptr[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    wfi_lua_error(L, "bad JSON at line %I, column %I: %s", line, column, text);
}

static void luajson_push_string(lua_State *L, const wf_json *j) {
    if (!j->escaped) {
        lua_pushlstring(L, j->raw.ptr, j->raw.len);
        return;
    }
    luaL_Buffer buffer;
    char *out = luaL_buffinitsize(L, &buffer, j->raw.len);
    luaL_pushresultsize(&buffer, wf_json_unescape(j->raw, out));
}

/* An integer if it is written as one and fits, else a float. */
static void luajson_push_number(lua_State *L, const wf_json *j) {
    lua_pushlstring(L, j->raw.ptr, j->raw.len);
    if (lua_stringtonumber(L, lua_tostring(L, -1)) == 0 || isinf(lua_tonumber(L, -1))) {
        luajson_bad(L, j, (size_t)(j->raw.ptr - j->text.ptr), "the number is out of range");
    }
    lua_remove(L, -2);
}

static void luajson_push_scalar(lua_State *L, const wf_json *j, wf_json_token token) {
    switch (token) {
    case WF_JSON_STRING:
        luajson_push_string(L, j);
        break;
    case WF_JSON_NUMBER:
        luajson_push_number(L, j);
        break;
    case WF_JSON_NULL:
        wfi_lua_push_null(L);
        break;
    default:
        lua_pushboolean(L, token == WF_JSON_TRUE);
    }
}

/* Pops a finished value into the container (and, in an object, the key) below it. */
static void luajson_store(lua_State *L, luajson_frame *frame) {
    if (frame->object) {
        lua_rawset(L, -3);
    } else {
        lua_rawseti(L, -2, ++frame->count);
    }
}

/* Takes one token in; the containers that are open lie on the stack. */
static void luajson_take(lua_State *L, luajson_reader *r, wf_json_token token) {
    wf_json *j = &r->j;
    switch (token) {
    case WF_JSON_ERROR:
        luajson_bad(L, j, (size_t)j->error.offset, j->error.text);
        return;
    case WF_JSON_KEY:
        luajson_push_string(L, j);
        return;
    case WF_JSON_OBJECT:
    case WF_JSON_ARRAY:
        if (r->depth == WF_JSON_DEPTH) luajson_bad(L, j, j->pos, "nested too deeply");
        r->frames[r->depth++] = (luajson_frame){.object = token == WF_JSON_OBJECT};
        lua_newtable(L);
        if (token == WF_JSON_ARRAY) {
            wfi_luajson_mark(L);
            lua_setmetatable(L, -2);
        }
        return;
    case WF_JSON_OBJECT_END:
    case WF_JSON_ARRAY_END:
        r->depth--;
        break;
    default:
        luajson_push_scalar(L, j, token);
    }
    if (r->depth > 0) luajson_store(L, &r->frames[r->depth - 1]);
}

static void luajson_begin_reading(lua_State *L, luajson_reader *r, wf_str json) {
    wf_json_init(&r->j, json);
    r->depth = 0;
    wfi_lua_room(L, 2 * WF_JSON_DEPTH + 8, "JSON");
}

/* A piece of reading. True: the value lies on top of the stack. */
static bool luajson_read(lua_State *L, luajson_reader *r) {
    size_t end = r->j.pos + LUAJSON_PIECE;
    for (size_t tokens = 0; r->j.pos + tokens * LUAJSON_TOKEN < end; tokens++) {
        wf_json_token token = wf_json_next(&r->j);
        if (token == WF_JSON_END) return true;
        luajson_take(L, r, token);
    }
    return false;
}

WFI void wfi_lua_push_json(lua_State *L, wf_str json) {
    luajson_reader reader;
    luajson_begin_reading(L, &reader, json);
    while (!luajson_read(L, &reader)) {
    }
}

static int luajson_reading_on(lua_State *L, int status, lua_KContext context);

static int luajson_reading(lua_State *L, luajson_reader *r) {
    while (!luajson_read(L, r))
        if (wfi_lua_pause(L)) return wfi_lua_give_way(L, r, sizeof *r, luajson_reading_on);
    return 1;
}

static int luajson_reading_on(lua_State *L, int status, lua_KContext context) {
    luajson_reader reader;
    (void)status;
    wfi_lua_go_on(L, context, &reader, sizeof reader);
    return luajson_reading(L, &reader);
}

WFI int wfi_lua_return_json(lua_State *L, wf_str json) {
    luajson_reader reader;
    luajson_begin_reading(L, &reader, json);
    return luajson_reading(L, &reader);
}

/* ---- writing ---- */

#define LUAJSON_SLOTS 3 /* of the stack for each container under way: the table, its keys, the key of the member */

/* A container under way. */
typedef struct luajson_level {
    bool object, marked;
    lua_Integer i, n; /* of the member under way; of all, of an array */
} luajson_level;

typedef struct luajson_writer {
    const char *what;
    lua_State *L;
    wf_json_out out;
    int buffer;    /* stack index of the userdata that out.buf lies in; the levels' slots follow */
    bool ordering; /* the keys of the innermost container are being put in order */
    wfi_order order;
    uint32_t depth;
    int64_t left; /* of this piece */
    luajson_level levels[WF_JSON_DEPTH];
} luajson_writer;

/* The stack index of a level's first slot. */
static int luajson_slot(const luajson_writer *w, uint32_t level) {
    return w->buffer + 1 + LUAJSON_SLOTS * (int)level;
}

/* Raises "what: PATH reason". */
static void luajson_refuse(luajson_writer *w, const char *reason, ...) {
    lua_State *L = w->L;
    luaL_Buffer path;
    va_list args;
    wfi_lua_room(L, 16, "JSON");
    va_start(args, reason);
    lua_pushvfstring(L, reason, args);
    va_end(args);
    luaL_buffinit(L, &path);
    for (uint32_t i = 0; i < w->depth; i++) {
        if (i >= 8) {
            luaL_addstring(&path, "...");
            break;
        }
        if (w->levels[i].object) {
            lua_pushfstring(L, ".%s", lua_tostring(L, luajson_slot(w, i) + 2));
        } else {
            lua_pushfstring(L, "[%I]", w->levels[i].i);
        }
        luaL_addvalue(&path);
    }
    luaL_pushresult(&path);
    const char *where = lua_rawlen(L, -1) > 0 ? lua_tostring(L, -1) : "the value";
    wfi_lua_error(L, "%s: %s %s", w->what, where, lua_tostring(L, -2));
}

static void luajson_grow(luajson_writer *w, size_t needed) {
    size_t cap = w->out.cap > SIZE_MAX / 2 || needed > 2 * w->out.cap ? needed : 2 * w->out.cap;
    wfi_lua_check_text(w->L, needed, w->what);
    char *buf = lua_newuserdatauv(w->L, cap, 0);
    memcpy(buf, w->out.buf, w->out.len);
    w->out.buf = buf;
    w->out.cap = cap;
    lua_replace(w->L, w->buffer);
}

/* What a token is made of, so that it can be written again after the buffer has grown. */
typedef enum luajson_kind {
    LUAJSON_BEGIN_ARRAY,
    LUAJSON_BEGIN_OBJECT,
    LUAJSON_FINISH,
    LUAJSON_KEY,
    LUAJSON_STRING,
    LUAJSON_RAW
} luajson_kind;

static void luajson_put(luajson_writer *w, luajson_kind kind, wf_str text) {
    w->left -= (int64_t)text.len + LUAJSON_TOKEN;
    for (;;) {
        wf_json_out out = w->out;
        switch (kind) {
        case LUAJSON_BEGIN_ARRAY:
            wf_json_begin(&out, false);
            break;
        case LUAJSON_BEGIN_OBJECT:
            wf_json_begin(&out, true);
            break;
        case LUAJSON_FINISH:
            wf_json_finish(&out);
            break;
        case LUAJSON_KEY:
            wf_json_key(&out, text);
            break;
        case LUAJSON_STRING:
            wf_json_str(&out, text);
            break;
        case LUAJSON_RAW:
            wf_json_raw(&out, text);
            break;
        }
        if (out.len <= out.cap) {
            w->out = out;
            return;
        }
        luajson_grow(w, out.len);
    }
}

static wf_str luajson_slice(lua_State *L, int index) {
    wf_str s;
    s.ptr = lua_tolstring(L, index, &s.len);
    return s;
}

static void luajson_number(luajson_writer *w, int index) {
    char text[48];
    int n = 0;
    if (lua_isinteger(w->L, index)) {
        n = snprintf(text, sizeof text, LUA_INTEGER_FMT, lua_tointeger(w->L, index));
    } else {
        lua_Number x = lua_tonumber(w->L, index), back = 0;
        if (!isfinite(x)) luajson_refuse(w, "is %s, which JSON cannot say; use null", isnan(x) ? "NaN" : "infinite");
        for (int digits = 15; digits <= 17; digits++) {
            n = snprintf(text, sizeof text, "%.*g", digits, x);
            char *point = strchr(text, localeconv()->decimal_point[0]);
            if (point) *point = '.';
            if (lua_stringtonumber(w->L, text) == 0) continue;
            back = lua_tonumber(w->L, -1);
            lua_pop(w->L, 1);
            if (back == x) break;
        }
    }
    luajson_put(w, LUAJSON_RAW, wf_str_of(text, (size_t)n));
}

static void luajson_bad_key(luajson_writer *w, int key) {
    lua_State *L = w->L;
    w->depth--; /* the key is no part of the path */
    if (lua_type(L, key) == LUA_TNUMBER) {
        luajson_refuse(w,
                       "has the number %s among its keys, and they are not 1..n without holes: for an object use "
                       "strings as keys, for an array put null into the holes",
                       lua_tostring(L, key));
    }
    luajson_refuse(w, "has a key that is a %s; JSON's keys are strings", luaL_typename(L, key));
}

/* The table on top of the stack becomes a level. */
static void luajson_enter(luajson_writer *w) {
    lua_State *L = w->L;
    wfi_lua_room(L, 16, "JSON");
    if (w->depth == WF_JSON_DEPTH) luajson_refuse(w, "is nested deeper than 128 (a cycle?)");
    w->levels[w->depth] = (luajson_level){.marked = luajson_marked(L, -1)};
    wfi_order_begin(L, &w->order, -1);
    w->ordering = true;
}

/* The keys of the table that is to be entered are in order: what it is. */
static void luajson_entered(luajson_writer *w) {
    luajson_level *level = &w->levels[w->depth];
    lua_State *L = w->L;
    w->ordering = false;
    level->n = lua_tointeger(L, -1);
    level->object = !lua_isinteger(L, -1) || (level->n == 0 && !level->marked);
    if (level->object && level->marked)
        luajson_refuse(w, "is marked as an array, but its keys are not 1..n: put null into holes, or copy it into a "
                          "fresh table");
    lua_pushnil(L); /* the key */
    luajson_put(w, level->object ? LUAJSON_BEGIN_OBJECT : LUAJSON_BEGIN_ARRAY, wf_str_of(NULL, 0));
    w->depth++;
}

/* Pushes the next member of the innermost container; false: it has no more. */
static bool luajson_next(luajson_writer *w) {
    luajson_level *level = &w->levels[w->depth - 1];
    lua_State *L = w->L;
    int table = luajson_slot(w, w->depth - 1), key = table + 2;
    level->i++;
    if (!level->object) {
        if (level->i > level->n) return false;
        lua_rawgeti(L, table, level->i);
        return true;
    }
    wfi_order_key(L, table + 1, level->i);
    if (lua_isnil(L, -1)) return false;
    lua_replace(L, key);
    if (lua_type(L, key) != LUA_TSTRING) luajson_bad_key(w, key);
    luajson_put(w, LUAJSON_KEY, luajson_slice(L, key));
    lua_pushvalue(L, key);
    lua_rawget(L, table);
    return true;
}

/* Writes the value on top of the stack, which is no table, and pops it. */
static void luajson_scalar(luajson_writer *w) {
    lua_State *L = w->L;
    switch (lua_type(L, -1)) {
    case LUA_TNIL:
        luajson_put(w, LUAJSON_RAW, WF_STR("null"));
        break;
    case LUA_TBOOLEAN:
        luajson_put(w, LUAJSON_RAW, lua_toboolean(L, -1) ? WF_STR("true") : WF_STR("false"));
        break;
    case LUA_TNUMBER:
        luajson_number(w, lua_gettop(L));
        break;
    case LUA_TSTRING:
        luajson_put(w, LUAJSON_STRING, luajson_slice(L, -1));
        break;
    default:
        if (!wfi_lua_is_null(L, -1)) luajson_refuse(w, "is a %s, which has no JSON form", luaL_typename(L, -1));
        luajson_put(w, LUAJSON_RAW, WF_STR("null"));
    }
    lua_pop(L, 1);
}

static void luajson_member(luajson_writer *w) {
    if (lua_istable(w->L, -1))
        luajson_enter(w);
    else
        luajson_scalar(w);
}

/* A piece of writing. True: the text is whole. */
static bool luajson_write(luajson_writer *w) {
    lua_State *L = w->L;
    w->left = LUAJSON_PIECE;
    while (w->left > 0) {
        if (w->ordering) {
            if (!wfi_order_run(L, &w->order)) return false;
            luajson_entered(w);
        } else if (w->depth == 0) {
            return true;
        } else if (luajson_next(w)) {
            luajson_member(w);
        } else {
            luajson_put(w, LUAJSON_FINISH, wf_str_of(NULL, 0));
            w->depth--;
            lua_settop(L, luajson_slot(w, w->depth) - 1);
        }
    }
    return false;
}

static void luajson_begin_writing(luajson_writer *w, lua_State *L, int index, const char *what) {
    index = lua_absindex(L, index);
    w->what = what;
    w->L = L;
    w->depth = 0;
    w->ordering = false;
    wfi_lua_room(L, 16, "JSON");
    wf_json_out_init(&w->out, lua_newuserdatauv(L, 256, 0), 256);
    w->buffer = lua_gettop(L);
    lua_pushvalue(L, index);
    luajson_member(w);
}

/* The whole text in the place of the buffer. */
static void luajson_push_written(const luajson_writer *w) {
    lua_pushlstring(w->L, w->out.buf, w->out.len);
    lua_replace(w->L, w->buffer);
    lua_settop(w->L, w->buffer);
}

WFI void wfi_lua_encode(lua_State *L, int index, const char *what) {
    luajson_writer writer;
    luajson_begin_writing(&writer, L, index, what);
    while (!luajson_write(&writer)) {
    }
    luajson_push_written(&writer);
}

static int luajson_writing_on(lua_State *L, int status, lua_KContext context);

static int luajson_writing(luajson_writer *w) {
    while (!luajson_write(w))
        if (wfi_lua_pause(w->L)) return wfi_lua_give_way(w->L, w, sizeof *w, luajson_writing_on);
    luajson_push_written(w);
    return 1;
}

static int luajson_writing_on(lua_State *L, int status, lua_KContext context) {
    luajson_writer writer;
    (void)status;
    wfi_lua_go_on(L, context, &writer, sizeof writer);
    return luajson_writing(&writer);
}

WFI int wfi_lua_return_encoded(lua_State *L, int index, const char *what) {
    luajson_writer writer;
    luajson_begin_writing(&writer, L, index, what);
    return luajson_writing(&writer);
}

/* ---- the script's functions ---- */

static int luajson_encode(lua_State *L) {
    luaL_checkany(L, 1);
    return wfi_lua_return_encoded(L, 1, "json.encode");
}

static int luajson_decode(lua_State *L) {
    luaL_checktype(L, 1, LUA_TSTRING);
    lua_settop(L, 1);
    return wfi_lua_return_json(L, luajson_slice(L, 1));
}

static int luajson_mark_array(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (lua_getmetatable(L, 1) && !luajson_marked(L, 1)) {
        return wfi_lua_error(L, "json.array: the table has a metatable already; mark a plain copy");
    }
    wfi_luajson_mark(L);
    lua_setmetatable(L, 1);
    lua_settop(L, 1);
    return 1;
}

WFI void wfi_luajson_open(lua_State *L, int json) {
    static const luaL_Reg own[] = {
        {"encode", luajson_encode}, {"decode", luajson_decode}, {"array", luajson_mark_array}, {NULL, NULL}};
    lua_pushvalue(L, json);
    luaL_setfuncs(L, own, 0);
    lua_pop(L, 1);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &luajson_mark_key);
}
