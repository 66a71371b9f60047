/* report: see report.h. Which line an error is of is known only by what Lua has put in front of its
 * message, "NAME:NUMBER: ", so it is read back from there. Our own frames are known by the name of
 * their chunk. */
#include "report.h"

#include <stdlib.h>
#include <string.h>

#define REPORT_LINE_MAX 200u /* bytes shown of a line */
#define REPORT_FRAMES   20   /* shown of a traceback */

/* Keys of the registry, by their addresses. */
static const char report_result = 'r', report_sources = 's';
static const char report_json = 'j'; /* its address is the mark of JSON */

WFI void wfi_report_open(lua_State *L) {
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &report_sources);
    lua_pushboolean(L, false); /* room for the result, which must need none later */
    lua_rawsetp(L, LUA_REGISTRYINDEX, &report_result);
}

WFI void wfi_report_keep_source(lua_State *L, int name, int source) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &report_sources);
    lua_pushvalue(L, name);
    lua_pushvalue(L, source);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/* ---- naming the line ---- */

/* The number of the line that a message of the form "NAME:NUMBER: ..." names; 0: it names none of this file. */
static unsigned long report_line_number(const char *message, wf_str name) {
    const bool cut = name.len >= LUA_IDSIZE; /* Lua shows the end of a long name */
    const size_t dots = cut ? 3 : 0, shown = cut ? LUA_IDSIZE - 1 - dots : name.len;
    if (name.len == 0 || strncmp(message, "...", dots) != 0) return 0;
    message += dots;
    if (strncmp(message, name.ptr + (name.len - shown), shown) != 0 || message[shown] != ':') return 0;
    return strtoul(message + shown + 1, NULL, 10);
}

WFI unsigned long wfi_report_find_line(lua_State *L, const char *message, wf_str *source) {
    const wf_script_config *c = &wfi_script_of(L)->config;
    unsigned long number = report_line_number(message, c->name);
    *source = c->source;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &report_sources) != LUA_TTABLE) lua_newtable(L);
    for (lua_pushnil(L); number == 0 && lua_next(L, -2) != 0; lua_pop(L, 1)) {
        wf_str name;
        name.ptr = lua_tolstring(L, -2, &name.len);
        source->ptr = lua_tolstring(L, -1, &source->len); /* anchored where it is */
        number = report_line_number(message, name);
    }
    return number;
}

WFI void wfi_report_push_where(lua_State *L, const wfi_script_branch *b) {
    lua_Debug frame;
    for (; b; b = b->parent) {
        for (int i = 0; i < REPORT_FRAMES && lua_getstack(b->co, i, &frame); i++) {
            lua_getinfo(b->co, "Sl", &frame);
            if (frame.currentline <= 0 || strcmp(frame.source, WFI_LUA_PRELUDE) == 0) continue;
            lua_pushfstring(L, "%s:%d: ", frame.short_src, frame.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

/* ---- the text of an error ---- */

/* Adds "\nNUMBER | the line" for the line that a message names. */
static void report_add_line(luaL_Buffer *out, const char *message) {
    wf_str source;
    lua_State *L = out->L;
    int top = lua_gettop(L);
    unsigned long number = wfi_report_find_line(L, message, &source);
    const char *line = source.ptr, *end = line + source.len;
    lua_settop(L, top);
    if (number == 0) return;
    for (unsigned long i = 1; i < number; i++) {
        const char *newline = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
        if (!newline) return;
        line = newline + 1;
    }
    const char *newline = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
    size_t n = (size_t)((newline ? newline : end) - line);
    lua_pushfstring(out->L, "\n%I | ", (LUAI_UACINT)number);
    luaL_addvalue(out);
    luaL_addlstring(out, line, n < REPORT_LINE_MAX ? n : REPORT_LINE_MAX);
}

/* Adds the traceback of a dead branch, without our own frames. */
static void report_add_traceback(luaL_Buffer *out, lua_State *co) {
    lua_Debug frame;
    for (int level = 0, shown = 0; shown < REPORT_FRAMES && lua_getstack(co, level, &frame); level++) {
        lua_getinfo(co, "Sln", &frame);
        if (frame.currentline <= 0 || strcmp(frame.source, WFI_LUA_PRELUDE) == 0) continue;
        if (strcmp(frame.what, "main") == 0) frame.name = NULL; /* it would be one of ours */
        lua_pushfstring(out->L, "\n  at %s:%d%s%s", frame.short_src, frame.currentline, frame.name ? " in " : "",
                        frame.name ? frame.name : "");
        luaL_addvalue(out);
        shown++;
    }
}

static wf_kind report_kind(const char *name) {
    for (int kind = WF_KIND_NONE + 1; name && kind < WF_KIND_COUNT; kind++)
        if (strcmp(name, wf_kind_name((wf_kind)kind)) == 0) return (wf_kind)kind;
    return WF_KIND_NONE;
}

/* Pushes a field of an error, or of a list of failures, which has them in its metatable. Calls no
 * metamethod: nothing here could end one that loops. */
static void report_push_field(lua_State *L, int error, const char *name) {
    lua_pushstring(L, name);
    lua_rawget(L, error);
    if (!lua_isnil(L, -1) || !lua_getmetatable(L, error)) return;
    lua_pushliteral(L, "__index");
    if (lua_rawget(L, -2) == LUA_TTABLE) {
        lua_pushstring(L, name);
        lua_rawget(L, -2);
        lua_replace(L, -4);
    }
    lua_pop(L, 2);
}

/* The text of a table as an error, NULL if it is none. Notes the failure that it passes on. */
static const char *report_table(lua_State *L, int error) {
    wf_script_result *result = &wfi_script_of(L)->result;
    report_push_field(L, error, "kind");
    report_push_field(L, error, "message");
    if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1)) return NULL;
    result->kind = report_kind(lua_tostring(L, -2));
    lua_pushliteral(L, "agent");
    lua_rawget(L, error);
    result->call = (uint32_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_pushliteral(L, "kind");
    /* a list's message has the kind in it, and a script's begins with the line */
    bool own = lua_rawget(L, error) != LUA_TNIL && strcmp(lua_tostring(L, -1), "script") != 0;
    lua_pop(L, 1);
    return own ? lua_pushfstring(L, "%s: %s", lua_tostring(L, -2), lua_tostring(L, -1)) : lua_tostring(L, -1);
}

WFI int wfi_report_text(lua_State *L) {
    lua_State *co = lua_touserdata(L, 2);
    const char *message = lua_tostring(L, 1);
    luaL_Buffer out;
    if (!message && lua_istable(L, 1)) message = report_table(L, 1);
    if (!message) message = "the script raised a value that is neither a text nor an error";
    luaL_buffinit(L, &out);
    luaL_addstring(&out, message);
    report_add_line(&out, message);
    if (co) report_add_traceback(&out, co);
    luaL_pushresult(&out);
    return 1;
}

/* ---- the end ---- */

WFI void wfi_report_push_json(lua_State *L) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)&report_json);
}

static void report_finish(wf_script *s, bool failed, const char *text, size_t len, bool json) {
    s->ended = true;
    s->result.failed = failed;
    s->result.value = wf_str_of(text, len);
    s->result.json = json;
    s->result.dropped = s->dropped;
    s->result.rejected = s->rejected;
    s->result.script_errors = s->errors;
}

WFI void wfi_report_fail(wf_script *s, const char *text) {
    report_finish(s, true, text, strlen(text), false);
}

WFI void wfi_report_finish_top(wf_script *s, bool failed, bool json) {
    size_t n;
    const char *text = lua_tolstring(s->L, -1, &n);
    lua_pushvalue(s->L, -1);
    lua_rawsetp(s->L, LUA_REGISTRYINDEX, &report_result); /* the key was made at the start: nothing is allocated */
    report_finish(s, failed, text, n, json);
}

WFI void wfi_report_fail_error(wf_script *s, lua_State *co) {
    lua_State *L = s->L;
    lua_settop(L, 0);
    lua_pushcfunction(L, wfi_report_text);
    lua_xmove(co, L, 1);
    lua_pushlightuserdata(L, co);
    int status = lua_pcall(L, 2, 1, 0);
    if (status != LUA_OK && wfi_lua_caught(L, status)) return;
    wfi_report_finish_top(s, true, false);
}

/* Protected: (what the main branch returned first and second) -> the result's text, whether it is a failure, whether JSON. */
static int report_take_value(lua_State *L) {
    if (lua_isnil(L, 1) && !lua_isnil(L, 2)) {
        lua_pushcfunction(L, wfi_report_text);
        lua_insert(L, 2);
        lua_pushlightuserdata(L, NULL);
        lua_call(L, 2, 1);
        lua_pushboolean(L, true);
        lua_pushboolean(L, false);
        return 3;
    }
    if (lua_isnil(L, 1)) {
        lua_pushliteral(L, "");
        lua_replace(L, 1);
    }
    wfi_report_push_json(L);
    bool json = lua_rawequal(L, 2, 3);
    lua_settop(L, 1);
    lua_pushboolean(L, false);
    lua_pushboolean(L, json);
    return 3;
}

WFI void wfi_report_ended(wf_script *s) {
    lua_State *L = s->L;
    lua_settop(L, 0);
    lua_pushcfunction(L, report_take_value);
    lua_settop(s->main->co, 2);
    lua_xmove(s->main->co, L, 2);
    int status = lua_pcall(L, 2, 3, 0);
    if (status != LUA_OK) {
        if (!wfi_lua_caught(L, status)) wfi_report_finish_top(s, true, false);
        return;
    }
    bool failed = lua_toboolean(L, 2), json = lua_toboolean(L, 3);
    lua_settop(L, 1);
    wfi_report_finish_top(s, failed, json);
}
