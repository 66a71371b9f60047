/* alike: see alike.h. A text is looked for by its skeleton: without blanks and marks, with one character for all that look like it. */
#include "alike.h"
#include "encoding.h"
#include "names.h"
#include <string.h>

/* ---- characters ---- */

static bool alike_is_blank(uint32_t c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool alike_is_mark(uint32_t c) {
    return (c >= 0x300 && c <= 0x36f) || c == 0x3099 || c == 0x309a || (c >= 0x653 && c <= 0x655);
}

/* Ranges of characters, and what they look like; 0: nothing at all, or a blank. */
static const struct {
    uint16_t from, to;
    uint8_t like;
} alike_rows[] = {
    {0x00a0, 0x00a0, 0},    {0x00ab, 0x00ab, '"'},  {0x00ad, 0x00ad, 0},    {0x00b4, 0x00b4, '\''},
    {0x00bb, 0x00bb, '"'},  {0x02b9, 0x02b9, '\''}, {0x02ba, 0x02ba, '"'},  {0x02bb, 0x02bd, '\''},
    {0x02c8, 0x02c8, '\''}, {0x02cb, 0x02cb, '`'},  {0x037e, 0x037e, ';'},  {0x05f3, 0x05f3, '\''},
    {0x05f4, 0x05f4, '"'},  {0x061c, 0x061c, 0},    {0x1680, 0x1680, 0},    {0x180e, 0x180e, 0},
    {0x2000, 0x200f, 0},    {0x2010, 0x2015, '-'},  {0x2018, 0x201b, '\''}, {0x201c, 0x201f, '"'},
    {0x2024, 0x2024, '.'},  {0x2028, 0x202f, 0},    {0x2032, 0x2032, '\''}, {0x2033, 0x2033, '"'},
    {0x2035, 0x2035, '\''}, {0x2036, 0x2036, '"'},  {0x2039, 0x2039, '<'},  {0x203a, 0x203a, '>'},
    {0x2043, 0x2043, '-'},  {0x2044, 0x2044, '/'},  {0x205f, 0x2064, 0},    {0x2066, 0x206f, 0},
    {0x2212, 0x2212, '-'},  {0x2215, 0x2215, '/'},  {0x2217, 0x2217, '*'},  {0x2223, 0x2223, '|'},
    {0x2236, 0x2236, ':'},  {0x223c, 0x223c, '~'},  {0x2500, 0x2501, '-'},  {0x3000, 0x3000, 0},
    {0x3001, 0x3001, ','},  {0x3002, 0x3002, '.'},  {0x301c, 0x301c, '~'},  {0x301d, 0x301f, '"'},
    {0xfe00, 0xfe0f, 0},    {0xfe58, 0xfe58, '-'},  {0xfe63, 0xfe63, '-'},  {0xfeff, 0xfeff, 0},
};

/* What a character looks like: a blank, nothing, or one of those with many guises. */
static uint32_t alike_looks(uint32_t c) {
    if (alike_is_blank(c) || alike_is_mark(c)) return 0;
    if (c < 0x80) return c;
    if (c >= 0xff01 && c <= 0xff5e) return c - 0xfee0;
    for (size_t i = 0; i < sizeof alike_rows / sizeof alike_rows[0] && c >= alike_rows[i].from; i++)
        if (c <= alike_rows[i].to) return alike_rows[i].like;
    return c;
}

/* Puts the skeleton of one character, which has n bytes; at most three times as many. */
static size_t alike_put(uint32_t c, const char *p, size_t n, char *out) {
    uint32_t bases[WFI_NAMES_SPLIT], looks = alike_looks(c);
    if (looks != c) return looks > 0 ? wfi_encoding_put_char(looks, out) : 0;
    bool dots = c == 0x2026;
    if (dots || c < 0x80 || c >= WFI_ENCODING_BAD) {
        memcpy(out, dots ? "..." : p, dots ? 3 : n);
        return dots ? 3 : n;
    }
    uint32_t count = wfi_names_split(c, bases);
    size_t put = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!alike_is_mark(bases[i])) put += wfi_encoding_put_char(bases[i], out + put);
    return put;
}

static wf_str alike_skeleton(wf_str text, char *out) {
    size_t put = 0;
    uint32_t c;
    for (size_t i = 0, n; i < text.len; i += n) {
        n = wfi_encoding_take(text.ptr + i, text.len - i, &c);
        put += alike_put(c, text.ptr + i, n, out + put);
    }
    return wf_str_of(out, put);
}

/* Where the character stands that the n-th byte of the text's skeleton comes from. */
static size_t alike_origin(wf_str text, size_t n) {
    char some[16];
    uint32_t c;
    size_t put = 0;
    for (size_t i = 0, len; i < text.len; i += len) {
        len = wfi_encoding_take(text.ptr + i, text.len - i, &c);
        put += alike_put(c, text.ptr + i, len, some);
        if (put > n) return i;
    }
    return text.len;
}

/* ---- what differs ---- */

/* The character at `at`, before `end`, with a mark behind it. */
static wfi_alike_char alike_char(wf_str text, size_t at, size_t end) {
    wfi_alike_char out = {.text = wf_str_of(text.ptr + at, 0)};
    uint32_t next = 0;
    if (at >= end) return out;
    out.text.len = wfi_encoding_take(text.ptr + at, end - at, &out.c);
    size_t behind = at + out.text.len;
    if (behind < end) out.text.len += wfi_encoding_take(text.ptr + behind, end - behind, &next) * alike_is_mark(next);
    out.mark = alike_is_mark(next) ? next : 0;
    return out;
}

static size_t alike_skip(wf_str text, size_t at, size_t end) {
    while (at < end && alike_is_blank((uint8_t)text.ptr[at]))
        at++;
    return at;
}

/* Goes through both places to the first character that differs, blanks of ASCII aside. False: none does. Where one of them has such a
 * blank just before that, and the other has none, it is the blank that differs. */
static bool alike_differ(wf_str text, size_t at, size_t end, wf_str what, wfi_alike *out) {
    size_t k = 0, was = at, k_was = 0, from = at;
    for (;;) {
        uint32_t c = 0, d = 0;
        at = alike_skip(text, was, end);
        k = alike_skip(what, k_was, what.len);
        size_t n = at < end ? wfi_encoding_take(text.ptr + at, end - at, &c) : 0;
        size_t m = k < what.len ? wfi_encoding_take(what.ptr + k, what.len - k, &d) : 0;
        if (n == 0 && m == 0) return false;
        if (c != d || n == 0 || m == 0) break;
        was = at + n;
        k_was = k + m;
    }
    if (was > from && at > was && k == k_was) at = was;
    if (was > from && k > k_was && at == was) k = k_was;
    out->at = at;
    out->is = alike_char(text, at, end);
    out->wanted = alike_char(what, k, what.len);
    return true;
}

bool wfi_alike_find(wf_str text, wf_str what, char *room, size_t size, wfi_alike *out) {
    if (text.len > size / 3 || what.len > (size - 3 * text.len) / 3) return false;
    wf_str in = alike_skeleton(text, room), of = alike_skeleton(what, room + in.len);
    const char *found = of.len > 0 && of.len <= in.len ? memmem(in.ptr, in.len, of.ptr, of.len) : NULL;
    if (found == NULL) return false;
    out->from = alike_origin(text, (size_t)(found - in.ptr));
    size_t last = alike_origin(text, (size_t)(found - in.ptr) + of.len - 1);
    uint32_t c = 0;
    out->to = last + (last < text.len ? wfi_encoding_take(text.ptr + last, text.len - last, &c) : 0);
    while (out->to < text.len) { /* marks belong to it */
        size_t n = wfi_encoding_take(text.ptr + out->to, text.len - out->to, &c);
        if (!alike_is_mark(c)) break;
        out->to += n;
    }
    out->blanks = !alike_differ(text, out->from, out->to, what, out);
    return true;
}

/* ---- lines ---- */

static size_t alike_line_end(wf_str text, size_t at) {
    const char *newline = at < text.len ? memchr(text.ptr + at, '\n', text.len - at) : NULL;
    return newline != NULL ? (size_t)(newline - text.ptr) : text.len;
}

/* How many bytes at the begin and the end of both are the same. */
static size_t alike_score(wf_str line, wf_str what) {
    size_t most = line.len < what.len ? line.len : what.len, n = 0, m = 0;
    while (n < most && line.ptr[n] == what.ptr[n])
        n++;
    while (m < most - n && line.ptr[line.len - 1 - m] == what.ptr[what.len - 1 - m])
        m++;
    return n + m;
}

static wf_str alike_trim(wf_str text, size_t from, size_t end) {
    from = alike_skip(text, from, end);
    while (end > from && alike_is_blank((uint8_t)text.ptr[end - 1]))
        end--;
    return wf_str_of(text.ptr + from, end - from);
}

bool wfi_alike_line(wf_str text, wf_str what, wfi_alike *out) {
    size_t best = 0, place = 0;
    what = alike_trim(what, 0, what.len);
    for (size_t at = 0, end; at < text.len; at = end + 1) {
        end = alike_line_end(text, at);
        wf_str line = alike_trim(text, at, end);
        size_t score = alike_score(line, what), longer = line.len > what.len ? line.len : what.len;
        if (score <= best || score < 3 || 2 * score < longer) continue;
        best = score;
        place = at;
    }
    if (best == 0) return false;
    out->from = place;
    out->to = alike_line_end(text, place);
    out->blanks = !alike_differ(text, out->from, out->to, what, out);
    return true;
}

bool wfi_alike_lines(wf_str text, size_t from, wf_str what, wfi_alike *out) {
    for (size_t k = 0; k < what.len && from <= text.len;) {
        size_t end = alike_line_end(text, from), stop = alike_line_end(what, k);
        out->from = from;
        out->to = end;
        out->blanks = false;
        if (alike_differ(text, from, end, wf_str_of(what.ptr + k, stop - k), out))
            return stop < what.len || out->wanted.text.len > 0; /* its last line may go on in the text */
        from = end + 1;
        k = stop + 1;
    }
    return false;
}
