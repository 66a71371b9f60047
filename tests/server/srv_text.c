/* text: see text.h. */
#include "srv_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define JSON_DEPTH 100

slice slice_of(const char *s) {
    return (slice){s, strlen(s)};
}

bool slice_is(slice a, const char *b) {
    return a.n == strlen(b) && memcmp(a.p, b, a.n) == 0;
}

bool slice_is_word(slice a, const char *b) {
    return a.n == strlen(b) && strncasecmp(a.p, b, a.n) == 0;
}

bool slice_has(slice hay, slice needle) {
    return needle.n == 0 || (hay.n > 0 && memmem(hay.p, hay.n, needle.p, needle.n) != NULL);
}

slice slice_trim(slice s) {
    while (s.n && (*s.p == ' ' || *s.p == '\t'))
        s.p++, s.n--;
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

slice header_value(slice head, const char *name) {
    for (const char *p = head.p, *end = head.p + head.n, *stop; p < end; p = stop + 1) {
        stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) break;
        const char *colon = memchr(p, ':', (size_t)(stop - p));
        if (colon && slice_is_word((slice){p, (size_t)(colon - p)}, name))
            return slice_trim((slice){colon + 1, (size_t)(stop - colon - 1 - (stop[-1] == '\r'))});
    }
    return (slice){"", 0};
}

bool slice_number(slice s, uint64_t *out) {
    uint64_t value = 0;
    if (s.n == 0 || s.n > 18) return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        value = value * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = value;
    return true;
}

void *must_alloc(void *old, size_t size) {
    void *p = realloc(old, size);
    if (!p) {
        fputs("wf-server: out of memory\n", stderr);
        abort();
    }
    return p;
}

char *text_room(text *t, size_t more) {
    if (t->cap - t->n < more) {
        t->cap = (t->n + more) * 2;
        t->p = must_alloc(t->p, t->cap);
    }
    return t->p + t->n;
}

void text_add(text *t, const void *bytes, size_t n) {
    if (n == 0) return;
    memcpy(text_room(t, n), bytes, n);
    t->n += n;
}

void text_str(text *t, const char *s) {
    text_add(t, s, strlen(s));
}

void text_slice(text *t, slice s) {
    text_add(t, s.p, s.n);
}

void text_number(text *t, uint64_t value) {
    char digits[20], *p = digits + sizeof digits;
    do
        *--p = (char)('0' + value % 10);
    while (value /= 10);
    text_add(t, p, (size_t)(digits + sizeof digits - p));
}

void text_format(text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text_room(t, 512), 512, format, args);
    va_end(args);
    if (n >= 512) {
        va_start(args, format);
        vsnprintf(text_room(t, (size_t)n + 1), (size_t)n + 1, format, args);
        va_end(args);
    }
    if (n > 0) t->n += (size_t)n;
}

void text_drop(text *t, size_t n) {
    t->n -= n;
    if (t->n) memmove(t->p, t->p + n, t->n);
}

void text_free(text *t) {
    free(t->p);
    *t = (text){0};
}

slice text_view(const text *t) {
    return (slice){t->p, t->n};
}

static size_t utf8_length(const char *p, size_t n) { /* 0: not UTF-8 (near enough: no check of overlong forms) */
    unsigned char c = (unsigned char)*p;
    size_t want = c < 0x80 ? 1 : c >= 0xf0 && c < 0xf5 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
    if (want == 0 || want > n || c >= 0xf5) return 0;
    for (size_t i = 1; i < want; i++)
        if (((unsigned char)p[i] & 0xc0) != 0x80) return 0;
    return want;
}

void text_escape(text *t, slice s) {
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        size_t length = utf8_length(s.p + i, s.n - i);
        if (c == '"' || c == '\\')
            text_format(t, "\\%c", c);
        else if (c == '\n')
            text_str(t, "\\n");
        else if (c < 0x20 || length == 0)
            text_format(t, "\\u%04x", c);
        else
            text_add(t, s.p + i, length);
        i += length ? length : 1;
    }
}

void text_quote(text *t, slice s) {
    text_str(t, "\"");
    text_escape(t, s);
    text_str(t, "\"");
}

static const char *json_space(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

static const char *json_string(const char *p, const char *end) {
    for (p++; p < end && *p != '"'; p++) {
        if ((unsigned char)*p < 0x20) return NULL;
        if (*p == '\\') p++;
    }
    return p < end ? p + 1 : NULL;
}

static const char *json_word(const char *p, const char *end) {
    const char *start = p;
    while (p < end && memchr("+-.0123456789Eaeflnrstu", *p, 23))
        p++;
    size_t n = (size_t)(p - start);
    bool number = n > 0 && (*start == '-' || (*start >= '0' && *start <= '9'));
    bool name =
        (n == 4 && (!memcmp(start, "true", 4) || !memcmp(start, "null", 4))) || (n == 5 && !memcmp(start, "false", 5));
    return number || name ? p : NULL;
}

static const char *json_value(const char *p, const char *end, int depth) {
    p = json_space(p, end);
    if (p == end || depth == JSON_DEPTH) return NULL;
    if (*p == '"') return json_string(p, end);
    if (*p != '{' && *p != '[') return json_word(p, end);
    char close = *p == '{' ? '}' : ']';
    p = json_space(p + 1, end);
    if (p < end && *p == close) return p + 1;
    for (;;) {
        if (close == '}') {
            p = json_space(p, end);
            if (p == end || *p != '"' || !(p = json_string(p, end))) return NULL;
            p = json_space(p, end);
            if (p == end || *p++ != ':') return NULL;
        }
        if (!(p = json_value(p, end, depth + 1))) return NULL;
        p = json_space(p, end);
        if (p == end) return NULL;
        if (*p == close) return p + 1;
        if (*p++ != ',') return NULL;
    }
}

const char *json_end(const char *p, const char *end) {
    return json_value(p, end, 0);
}

bool json_valid(slice s) {
    const char *end = s.n ? json_end(s.p, s.p + s.n) : NULL;
    return end && json_space(end, s.p + s.n) == s.p + s.n;
}

slice json_inside(slice string) {
    return string.n >= 2 ? (slice){string.p + 1, string.n - 2} : (slice){"", 0};
}

slice json_member(slice object, const char *name) {
    const char *p = json_space(object.p, object.p + object.n), *end = object.p + object.n;
    if (p == end || *p != '{') return (slice){"", 0};
    while (++p < end) {
        const char *key = json_space(p, end);
        if (key == end || *key != '"' || !(p = json_string(key, end))) break;
        bool found = slice_is((slice){key + 1, (size_t)(p - key) - 2}, name);
        p = json_space(p, end);
        if (p == end || *p != ':') break;
        const char *value = json_space(p + 1, end);
        if (!(p = json_end(value, end))) break;
        if (found) return (slice){value, (size_t)(p - value)};
        p = json_space(p, end);
        if (p == end || *p != ',') break;
    }
    return (slice){"", 0};
}

bool json_element(slice array, size_t *at, slice *out) {
    const char *end = array.p + array.n, *p = array.p + *at;
    if (*at == 0) {
        p = json_space(p, end);
        if (p == end || *p != '[') return false;
    } else if (p == end || *p != ',') {
        return false;
    }
    const char *value = json_space(p + 1, end);
    if (!(p = json_end(value, end))) return false;
    *out = (slice){value, (size_t)(p - value)};
    *at = (size_t)(json_space(p, end) - array.p);
    return true;
}
