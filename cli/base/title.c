/* title: see title.h. It reads as many words of Lua as stand in meta, and knows of the language no more than where they end. */
#include "title.h"
#include <string.h>

typedef struct title_word {
    wf_str text;  /* of a string what stands between its quotes */
    bool is_text; /* a string */
} title_word;

static bool title_is(const title_word *w, const char *text) {
    return !w->is_text && cli_same(w->text, cli_str(text));
}

static bool title_is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static void title_skip(wf_str *at, size_t n) {
    if (n > at->len) n = at->len;
    at->ptr += n;
    at->len -= n;
}

/* Takes a long bracket, [[...]] or [=[...]=], if one begins here. */
static bool title_take_long(wf_str *at, wf_str *inside) {
    size_t level = 1, i;
    while (level < at->len && at->ptr[level] == '=')
        level++;
    if (at->len <= level || at->ptr[0] != '[' || at->ptr[level] != '[') return false;
    for (i = level + 1; i + level < at->len; i++) {
        size_t k = 1;
        if (at->ptr[i] != ']') continue;
        while (k < level && at->ptr[i + k] == '=')
            k++;
        if (k == level && at->ptr[i + k] == ']') break;
    }
    *inside = wf_str_of(at->ptr + level + 1, i - level - 1);
    title_skip(at, i + level + 1);
    return true;
}

static void title_skip_line(wf_str *at) {
    while (at->len > 0 && at->ptr[0] != '\n')
        title_skip(at, 1);
}

/* White space and comments. */
static void title_skip_blanks(wf_str *at) {
    wf_str comment;
    for (;;) {
        while (at->len > 0 && strchr(" \t\r\n\f\v", at->ptr[0]) && at->ptr[0])
            title_skip(at, 1);
        if (at->len < 2 || memcmp(at->ptr, "--", 2) != 0) return;
        title_skip(at, 2);
        if (!title_take_long(at, &comment)) title_skip_line(at);
    }
}

static bool title_next(wf_str *at, title_word *w) {
    size_t n = 0;
    title_skip_blanks(at);
    w->is_text = false;
    if (at->len == 0) return false;
    char first = at->ptr[0];
    if (title_take_long(at, &w->text)) return w->is_text = true;
    if (first == '"' || first == '\'') {
        for (n = 1; n < at->len && at->ptr[n] != first && at->ptr[n] != '\n'; n++)
            n += at->ptr[n] == '\\';
        w->is_text = true;
        if (n > at->len) n = at->len;
        w->text = wf_str_of(at->ptr + 1, n - 1);
        title_skip(at, n + 1);
        return true;
    }
    while (n < at->len && title_is_letter(at->ptr[n]))
        n++;
    if (n == 0) n = 1;
    w->text = wf_str_of(at->ptr, n);
    title_skip(at, n);
    return true;
}

static bool title_next_is(wf_str *at, const char *text) {
    title_word w;
    return title_next(at, &w) && title_is(&w, text);
}

wf_str cli_title(wf_str script, wf_str file) {
    title_word w, before = {.is_text = true};
    wf_str at = script;
    if (at.len >= 3 && memcmp(at.ptr, "\xef\xbb\xbf", 3) == 0) title_skip(&at, 3);
    if (at.len > 0 && at.ptr[0] == '#') title_skip_line(&at);
    if (!title_next_is(&at, "meta") || !title_next_is(&at, "=") || !title_next_is(&at, "{")) return file;
    for (int depth = 1; depth > 0 && title_next(&at, &w); before = w) {
        bool opens = title_is(&w, "{") || title_is(&w, "(") || title_is(&w, "[");
        bool closes = title_is(&w, "}") || title_is(&w, ")") || title_is(&w, "]");
        depth += opens - closes;
        if (depth != 1 || !title_is(&before, "name") || !title_is(&w, "=")) continue;
        if (!title_next(&at, &w) || !w.is_text || w.text.len == 0) return file;
        char *name = cli_take(w.text.len);
        memcpy(name, w.text.ptr, w.text.len);
        return wf_str_of(name, w.text.len);
    }
    return file;
}
