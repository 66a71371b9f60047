/* text: see text.h. */
#include "wire_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void text_room(text *t, size_t n) {
    if (t->len + n + 1 <= t->cap) return;
    t->cap = 2 * (t->len + n + 1);
    t->ptr = realloc(t->ptr, t->cap);
    if (!t->ptr) abort();
}

void text_add(text *t, wf_str s) {
    text_room(t, s.len);
    if (s.len > 0) memcpy(t->ptr + t->len, s.ptr, s.len);
    t->len += s.len;
    t->ptr[t->len] = 0;
}

void text_say(text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    text_room(t, (size_t)n);
    va_start(args, format);
    vsnprintf(t->ptr + t->len, (size_t)n + 1, format, args);
    va_end(args);
    t->len += (size_t)n;
}

void text_clear(text *t) {
    t->len = 0;
}

void text_free(text *t) {
    free(t->ptr);
    *t = (text){0};
}

wf_str text_str(const text *t) {
    return wf_str_of(t->ptr, t->len);
}

bool text_file(const char *path, text *out) {
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    char piece[4096];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        text_add(out, wf_str_of(piece, n));
    bool ok = !ferror(f);
    fclose(f);
    return ok;
}

bool text_base64(wf_str s, text *out) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0, count = 0;
    while (s.len > 0 && s.ptr[s.len - 1] == '=')
        s.len--;
    for (size_t i = 0; i < s.len; i++) {
        const char *at = s.ptr[i] ? strchr(letters, s.ptr[i]) : NULL;
        if (!at) return false;
        bits = bits << 6 | (uint32_t)(at - letters);
        count += 6;
        if (count < 8) continue;
        count -= 8;
        char byte = (char)(bits >> count);
        text_add(out, wf_str_of(&byte, 1));
    }
    return true;
}
