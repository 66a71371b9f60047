/* fuzz_patterns: feeds a pattern, which is the first line, and a text, the rest, to the matchers: Lua's patterns for scripts,
 * regular expressions and globs for tools.
 *
 * Judges: Lua's patterns find what stock Lua finds, in one slice of work or in many; a pattern that is refused has a reason and a
 * place; a glob that matches a path may match in each folder on the way; matching twice gives the same. */
#include "input.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "src/port/tools/match.h"
#include "src/script/luapattern.h"

#define PATTERNS_REPEATS 5u  /* with more, stock Lua may be at it for ever */
#define PATTERNS_STOCK   40u /* bytes of a text, and of a pattern, that it is asked about */

/* ---- Lua's patterns ---- */

typedef struct found {
    bool bad, match;
    size_t start, end;
    uint32_t captures;
    struct {
        size_t at, len; /* len WFI_LUAPATTERN_POSITION: just a place */
    } capture[WFI_LUAPATTERN_CAPTURES];
} found;

/* As string.find sees it: a pattern without these is just text, even with a ")". */
static bool patterns_is_plain(wf_str pattern) {
    for (size_t i = 0; i < pattern.len; i++)
        if (pattern.ptr[i] && strchr("^$*+?.([%-", pattern.ptr[i])) return false;
    return true;
}

static void patterns_mine(wf_str text, wf_str pattern, int64_t slice, found *out) {
    static wfi_luapattern m;
    wfi_luapattern_status status;
    memset(out, 0, sizeof *out);
    wfi_luapattern_init(&m, text, pattern, 0, patterns_is_plain(pattern), true);
    while ((status = wfi_luapattern_run(&m, slice)) == WFI_LUAPATTERN_PAUSED) {
    }
    out->bad = status == WFI_LUAPATTERN_BAD;
    out->match = status == WFI_LUAPATTERN_MATCH;
    FUZZ_MUST(!out->bad || (m.error && m.error[0]));
    if (!out->match) return;
    FUZZ_MUST(m.start <= m.end && m.end <= text.len);
    out->start = m.start;
    out->end = m.end;
    out->captures = m.captures;
    for (uint32_t i = 0; i < m.captures; i++) {
        out->capture[i].at = m.capture[i].at;
        out->capture[i].len = m.capture[i].len;
        if (m.capture[i].len == WFI_LUAPATTERN_OPEN) out->bad = true; /* told when it is asked for */
    }
    if (out->bad) out->match = false;
}

static void patterns_same(const found *a, const found *b) {
    FUZZ_MUST(a->bad == b->bad && a->match == b->match);
    if (!a->match) return;
    FUZZ_MUST(a->start == b->start && a->end == b->end && a->captures == b->captures);
    for (uint32_t i = 0; i < a->captures; i++)
        FUZZ_MUST(a->capture[i].at == b->capture[i].at && a->capture[i].len == b->capture[i].len);
}

/* Whether stock Lua, which backtracks, will come to an end with it. */
static bool patterns_is_cheap(wf_str text, wf_str pattern) {
    uint32_t repeats = 0;
    for (size_t i = 0; i < pattern.len; i++)
        repeats += strchr("*+-?", pattern.ptr[i]) != NULL && pattern.ptr[i];
    return repeats <= PATTERNS_REPEATS && text.len <= PATTERNS_STOCK && pattern.len <= PATTERNS_STOCK;
}

static void patterns_stock(wf_str text, wf_str pattern, const found *mine) {
    static lua_State *L; /* kept: making one takes longer than asking it */
    if (!L) {
        L = luaL_newstate();
        luaL_openlibs(L);
    }
    lua_settop(L, 0);
    lua_getglobal(L, "string");
    lua_getfield(L, -1, "find");
    lua_replace(L, 1);
    lua_pushlstring(L, text.ptr, text.len);
    lua_pushlstring(L, pattern.ptr, pattern.len);
    bool bad = lua_pcall(L, 2, LUA_MULTRET, 0) != LUA_OK;
    FUZZ_MUST(mine->bad == bad);
    if (bad) return;
    FUZZ_MUST(mine->match == !lua_isnil(L, 1));
    if (!mine->match) return;
    FUZZ_MUST(lua_tointeger(L, 1) == (lua_Integer)mine->start + 1 && lua_tointeger(L, 2) == (lua_Integer)mine->end);
    FUZZ_MUST(lua_gettop(L) == 2 + (int)mine->captures);
    for (uint32_t i = 0; i < mine->captures; i++) {
        int at = 3 + (int)i;
        if (mine->capture[i].len == WFI_LUAPATTERN_POSITION) {
            FUZZ_MUST(lua_tointeger(L, at) == (lua_Integer)mine->capture[i].at + 1);
            continue;
        }
        wf_str stock;
        stock.ptr = lua_tolstring(L, at, &stock.len);
        FUZZ_MUST(input_same(stock, wf_str_of(text.ptr + mine->capture[i].at, mine->capture[i].len)));
    }
}

static void patterns_lua(wf_str text, wf_str pattern) {
    found whole, sliced;
    if (!patterns_is_cheap(text, pattern)) return;
    patterns_mine(text, pattern, 1 << 20, &whole);
    patterns_mine(text, pattern, 1, &sliced);
    patterns_same(&whole, &sliced);
    patterns_stock(text, pattern, &whole);
}

/* ---- regular expressions and globs ---- */

static wfi_match patterns_match;

static void patterns_regex(wf_str text, wf_str pattern) {
    for (int fold = 0; fold < 2; fold++) {
        size_t at = 0;
        const char *why = wfi_match_regex(&patterns_match, pattern, fold, &at);
        if (why) {
            FUZZ_MUST(why[0] && at <= pattern.len);
            continue;
        }
        bool there = wfi_match_search(&patterns_match, text);
        FUZZ_MUST(!there || patterns_match.end <= text.len);
        FUZZ_MUST(wfi_match_search(&patterns_match, text) == there);
    }
}

static void patterns_glob(wf_str path, wf_str pattern) {
    size_t at = 0;
    const char *why = wfi_match_glob(&patterns_match, pattern, &at);
    if (why) {
        FUZZ_MUST(why[0] && at <= pattern.len);
        return;
    }
    bool whole = wfi_match_whole(&patterns_match, path);
    for (size_t n = 1; whole && n < path.len; n++)
        if (path.ptr[n - 1] == '/') FUZZ_MUST(wfi_match_prefix(&patterns_match, wf_str_of(path.ptr, n)));
}

int fuzz_patterns(const uint8_t *data, size_t size) {
    if (size > 400) return 0;
    input in = {data, size};
    wf_str line = input_line(&in), rest = input_take(&in, in.left);
    char *pattern = input_copy(line), *text = input_copy(rest);
    patterns_lua(wf_str_of(text, rest.len), wf_str_of(pattern, line.len));
    patterns_regex(wf_str_of(text, rest.len), wf_str_of(pattern, line.len));
    patterns_glob(wf_str_of(text, rest.len), wf_str_of(pattern, line.len));
    free(pattern);
    free(text);
    return 0;
}
