/* luapattern: see luapattern.h. Owns the matching of Lua patterns.
 *
 * Invariants:
 *   1. trail[0..depth) undoes, from its end, everything that the attempt did since its start.
 *   2. capture[0..captures) are in order of their opening parentheses.
 *   3. Along an attempt p never moves back but by the trail, so depth is bounded by the items of the pattern.
 *   4. Every loop over text or pattern pays into `left`, or is bounded by their length and paid as a whole. */
#include "luapattern.h"

#include <string.h>

typedef enum luapattern_move { LUAPATTERN_ON, LUAPATTERN_FAIL, LUAPATTERN_STOP } luapattern_move;

static uint8_t luapattern_char(wf_str s, size_t i) {
    return (uint8_t)s.ptr[i];
}

static bool luapattern_between(uint8_t c, char low, char high) {
    return c >= (uint8_t)low && c <= (uint8_t)high;
}

static luapattern_move luapattern_bad(wfi_luapattern *m, const char *error) {
    m->error = error;
    return LUAPATTERN_STOP;
}

/* Whether c is of the class %class; a letter that names no class, and all else, stands for itself. */
static bool luapattern_class(uint8_t c, uint8_t class) {
    bool alpha = luapattern_between(c | 32, 'a', 'z'), digit = luapattern_between(c, '0', '9'),
         graph = c > 32 && c < 127;
    bool upper_class = luapattern_between(class, 'A', 'Z'), in;
    switch (upper_class ? class + 32 : class) {
    case 'a':
        in = alpha;
        break;
    case 'c':
        in = c < 32 || c == 127;
        break;
    case 'd':
        in = digit;
        break;
    case 'g':
        in = graph;
        break;
    case 'l':
        in = luapattern_between(c, 'a', 'z');
        break;
    case 'p':
        in = graph && !alpha && !digit;
        break;
    case 's':
        in = c == ' ' || (c >= 9 && c <= 13);
        break;
    case 'u':
        in = luapattern_between(c, 'A', 'Z');
        break;
    case 'w':
        in = alpha || digit;
        break;
    case 'x':
        in = digit || luapattern_between(c | 32, 'a', 'f');
        break;
    case 'z':
        in = c == 0;
        break;
    default:
        return c == class;
    }
    return in != upper_class;
}

/* The end of the set whose [ is at p, behind its ]; 0 (and an error) if it has none. */
static size_t luapattern_set_end(wfi_luapattern *m, size_t p) {
    size_t n = m->pattern.len;
    p++;
    if (p < n && m->pattern.ptr[p] == '^') p++;
    do { /* the first member may be a ] */
        if (p >= n) break;
        p += m->pattern.ptr[p] == '%' && p + 1 < n ? 2 : 1;
    } while (p < n && m->pattern.ptr[p] != ']');
    if (p < n) return p + 1;
    luapattern_bad(m, "malformed pattern (missing ']')");
    return 0;
}

/* The end of the single-character item at p; 0 (and an error) if it is malformed. */
static size_t luapattern_item_end(wfi_luapattern *m, size_t p) {
    if (m->pattern.ptr[p] == '[') {
        size_t end = luapattern_set_end(m, p);
        m->left -= (int64_t)(end - (end ? p : 0));
        return end;
    }
    if (m->pattern.ptr[p] != '%') return p + 1;
    if (p + 1 < m->pattern.len) return p + 2;
    luapattern_bad(m, "malformed pattern (ends with '%')");
    return 0;
}

/* Whether c is in the set whose [ is at p and whose ] is at `close`. */
static bool luapattern_in_set(wfi_luapattern *m, uint8_t c, size_t p, size_t close) {
    wf_str pat = m->pattern;
    bool negated = pat.ptr[p + 1] == '^';
    m->left -= (int64_t)(close - p);
    for (p += negated ? 2 : 1; p < close; p++) {
        if (pat.ptr[p] == '%') {
            if (luapattern_class(c, luapattern_char(pat, ++p))) return !negated;
        } else if (pat.ptr[p + 1] == '-' && p + 2 < close) {
            if (luapattern_char(pat, p) <= c && c <= luapattern_char(pat, p + 2)) return !negated;
            p += 2;
        } else if (luapattern_char(pat, p) == c) {
            return !negated;
        }
    }
    return negated;
}

/* Whether the item at [p, end) matches the character at s. */
static bool luapattern_single(wfi_luapattern *m, size_t s, size_t p, size_t end) {
    m->left--;
    if (s >= m->text.len) return false;
    uint8_t c = luapattern_char(m->text, s);
    switch (m->pattern.ptr[p]) {
    case '.':
        return true;
    case '%':
        return luapattern_class(c, luapattern_char(m->pattern, p + 1));
    case '[':
        return luapattern_in_set(m, c, p, end - 1);
    default:
        return luapattern_char(m->pattern, p) == c;
    }
}

static luapattern_move luapattern_push(wfi_luapattern *m, wfi_luapattern_undo undo) {
    if (m->depth == WFI_LUAPATTERN_TRAIL) return luapattern_bad(m, "pattern too complex");
    m->trail[m->depth++] = undo;
    return LUAPATTERN_ON;
}

static luapattern_move luapattern_open(wfi_luapattern *m) {
    if (m->captures == WFI_LUAPATTERN_CAPTURES) return luapattern_bad(m, "too many captures");
    bool position = m->p + 1 < m->pattern.len && m->pattern.ptr[m->p + 1] == ')';
    m->capture[m->captures].at = m->s;
    m->capture[m->captures++].len = position ? WFI_LUAPATTERN_POSITION : WFI_LUAPATTERN_OPEN;
    m->p += position ? 2 : 1;
    return luapattern_push(m, (wfi_luapattern_undo){.kind = WFI_LUAPATTERN_UNDO_OPEN});
}

static luapattern_move luapattern_close(wfi_luapattern *m) {
    uint32_t i = m->captures;
    while (i > 0 && m->capture[i - 1].len != WFI_LUAPATTERN_OPEN)
        i--;
    if (i == 0) return luapattern_bad(m, "invalid pattern capture");
    m->capture[i - 1].len = m->s - m->capture[i - 1].at;
    m->p++;
    return luapattern_push(m, (wfi_luapattern_undo){.kind = WFI_LUAPATTERN_UNDO_CLOSE, .low = i - 1});
}

/* %bxy */
static luapattern_move luapattern_balance(wfi_luapattern *m) {
    if (m->pattern.len - m->p < 4) return luapattern_bad(m, "malformed pattern (missing arguments to '%b')");
    char open = m->pattern.ptr[m->p + 2], close = m->pattern.ptr[m->p + 3];
    if (m->s >= m->text.len || m->text.ptr[m->s] != open) return LUAPATTERN_FAIL;
    size_t level = 1, s = m->s + 1;
    for (; s < m->text.len; s++) {
        if (m->text.ptr[s] == close) {
            if (--level == 0) break;
        } else if (m->text.ptr[s] == open) {
            level++;
        }
    }
    m->left -= (int64_t)(s - m->s);
    if (s == m->text.len) return LUAPATTERN_FAIL;
    m->s = s + 1;
    m->p += 4;
    return LUAPATTERN_ON;
}

/* %f[set]; beyond either end of the text there is a zero byte */
static luapattern_move luapattern_frontier(wfi_luapattern *m) {
    size_t set = m->p + 2;
    if (set >= m->pattern.len || m->pattern.ptr[set] != '[') {
        return luapattern_bad(m, "missing '[' after '%f' in pattern");
    }
    size_t end = luapattern_item_end(m, set);
    if (end == 0) return LUAPATTERN_STOP;
    uint8_t before = m->s > 0 ? luapattern_char(m->text, m->s - 1) : 0;
    uint8_t here = m->s < m->text.len ? luapattern_char(m->text, m->s) : 0;
    if (luapattern_in_set(m, before, set, end - 1) || !luapattern_in_set(m, here, set, end - 1)) return LUAPATTERN_FAIL;
    m->p = end;
    return LUAPATTERN_ON;
}

/* %1 to %9 */
static luapattern_move luapattern_back_reference(wfi_luapattern *m) {
    uint32_t i = (uint32_t)(m->pattern.ptr[m->p + 1] - '1'); /* %0 becomes huge */
    if (i >= m->captures || m->capture[i].len == WFI_LUAPATTERN_OPEN) {
        return luapattern_bad(m, "invalid capture index in pattern");
    }
    size_t len = m->capture[i].len;
    if (len > m->text.len - m->s) return LUAPATTERN_FAIL; /* positions are longer than any text */
    m->left -= (int64_t)len;
    if (memcmp(m->text.ptr + m->capture[i].at, m->text.ptr + m->s, len) != 0) return LUAPATTERN_FAIL;
    m->s += len;
    m->p += 2;
    return LUAPATTERN_ON;
}

/* One single-character item with its quantifier. */
static luapattern_move luapattern_item(wfi_luapattern *m) {
    size_t end = luapattern_item_end(m, m->p);
    if (end == 0) return LUAPATTERN_STOP;
    char quantifier = end < m->pattern.len ? m->pattern.ptr[end] : 0;
    wfi_luapattern_undo undo = {.low = m->s, .at = m->s, .item = m->p, .after = end + 1};
    switch (quantifier) {
    case '-':
        undo.kind = WFI_LUAPATTERN_LAZY;
        m->p = end + 1;
        return luapattern_push(m, undo);
    case '*':
        undo.kind = WFI_LUAPATTERN_GROWING;
        return luapattern_push(m, undo);
    case '?':
        m->p = end + 1;
        if (!luapattern_single(m, m->s, undo.item, end)) return LUAPATTERN_ON;
        undo.kind = WFI_LUAPATTERN_GREEDY;
        undo.at = ++m->s;
        return luapattern_push(m, undo);
    default:
        if (!luapattern_single(m, m->s, m->p, end)) return LUAPATTERN_FAIL;
        m->s++;
        if (quantifier == '+') {
            undo.kind = WFI_LUAPATTERN_GROWING;
            undo.low = undo.at = m->s;
            return luapattern_push(m, undo);
        }
        m->p = end;
        return LUAPATTERN_ON;
    }
}

/* Lets the greedy repeat on top of the trail take more, as far as the slice goes. */
static void luapattern_grow(wfi_luapattern *m, wfi_luapattern_undo *top) {
    while (luapattern_single(m, top->at, top->item, top->after - 1)) {
        top->at++;
        if (m->left < 0) return;
    }
    top->kind = WFI_LUAPATTERN_GREEDY;
    m->s = top->at;
    m->p = top->after;
    if (top->at == top->low) m->depth--; /* nothing to give back */
}

/* One step of the attempt. The pattern is not over, and no repeat is growing. */
static luapattern_move luapattern_step(wfi_luapattern *m) {
    size_t next = m->p + 1;
    switch (m->pattern.ptr[m->p]) {
    case '(':
        return luapattern_open(m);
    case ')':
        return luapattern_close(m);
    case '$':
        if (next < m->pattern.len) break;
        if (m->s < m->text.len) return LUAPATTERN_FAIL;
        m->p = next;
        return LUAPATTERN_ON;
    case '%':
        if (next == m->pattern.len) break;
        if (m->pattern.ptr[next] == 'b') return luapattern_balance(m);
        if (m->pattern.ptr[next] == 'f') return luapattern_frontier(m);
        if (luapattern_between(luapattern_char(m->pattern, next), '0', '9')) return luapattern_back_reference(m);
        break;
    default:
        break;
    }
    return luapattern_item(m);
}

/* Goes back to the latest choice that has something left. */
static bool luapattern_backtrack(wfi_luapattern *m) {
    for (; m->depth > 0; m->depth--) {
        wfi_luapattern_undo *top = &m->trail[m->depth - 1];
        switch (top->kind) {
        case WFI_LUAPATTERN_UNDO_OPEN:
            m->captures--;
            break;
        case WFI_LUAPATTERN_UNDO_CLOSE:
            m->capture[top->low].len = WFI_LUAPATTERN_OPEN;
            break;
        case WFI_LUAPATTERN_LAZY:
            if (!luapattern_single(m, top->at, top->item, top->after - 1)) break;
            m->s = ++top->at;
            m->p = top->after;
            return true;
        case WFI_LUAPATTERN_GREEDY:
            if (top->at == top->low) break;
            m->s = --top->at;
            m->p = top->after;
            return true;
        case WFI_LUAPATTERN_GROWING:
            break; /* cannot be: only failed steps come here */
        }
    }
    return false;
}

/* Goes on with the attempt at `start` until it is decided or the slice is used up. */
static wfi_luapattern_status luapattern_attempt(wfi_luapattern *m) {
    while (m->left > 0) {
        m->left--;
        if (m->depth > 0 && m->trail[m->depth - 1].kind == WFI_LUAPATTERN_GROWING) {
            luapattern_grow(m, &m->trail[m->depth - 1]);
            continue;
        }
        if (m->p == m->pattern.len) return WFI_LUAPATTERN_MATCH;
        luapattern_move move = luapattern_step(m);
        if (move == LUAPATTERN_STOP) return WFI_LUAPATTERN_BAD;
        if (move == LUAPATTERN_FAIL && !luapattern_backtrack(m)) return WFI_LUAPATTERN_NONE;
    }
    return WFI_LUAPATTERN_PAUSED;
}

/* The same for a pattern that is just text: p and s walk along both. */
static wfi_luapattern_status luapattern_attempt_plain(wfi_luapattern *m) {
    if (m->pattern.len > m->text.len - m->start) return WFI_LUAPATTERN_NONE;
    while (m->left > 0) {
        if (m->p == m->pattern.len) return WFI_LUAPATTERN_MATCH;
        size_t block = m->pattern.len - m->p < 64 ? m->pattern.len - m->p : 64;
        m->left -= 8;
        if (memcmp(m->text.ptr + m->s, m->pattern.ptr + m->p, block) != 0) return WFI_LUAPATTERN_NONE;
        m->s += block;
        m->p += block;
    }
    return WFI_LUAPATTERN_PAUSED;
}

/* The character that every match begins with, -1 if there is no single one. */
static int luapattern_first(const wfi_luapattern *m) {
    if (m->anchored || m->pattern.len == 0) return -1;
    if (m->plain) return luapattern_char(m->pattern, 0);
    if (memchr("^$*+?.([%-)", m->pattern.ptr[0], 11)) return -1;
    if (m->pattern.len > 1 && memchr("*?-", m->pattern.ptr[1], 3)) return -1;
    return luapattern_char(m->pattern, 0);
}

/* Sets out for an attempt at `start` or, where that is easily told, at the next place that stands a chance. */
static bool luapattern_restart(wfi_luapattern *m) {
    int first = luapattern_first(m);
    if (first >= 0) {
        size_t rest = m->text.len - m->start;
        const char *found = rest > 0 ? memchr(m->text.ptr + m->start, first, rest) : NULL;
        size_t at = found ? (size_t)(found - m->text.ptr) : m->text.len;
        m->left -= (int64_t)((at - m->start) / 16);
        m->start = at;
        if (!found) return false;
    }
    m->trying = true;
    m->s = m->start;
    m->p = m->anchored ? 1 : 0;
    m->captures = m->depth = 0;
    return true;
}

WFI void wfi_luapattern_init(wfi_luapattern *m, wf_str text, wf_str pattern, size_t start, bool plain, bool anchors) {
    m->text = text;
    m->pattern = pattern;
    m->start = start;
    m->last = WFI_LUAPATTERN_NOWHERE;
    m->plain = plain;
    m->anchored = anchors && !plain && pattern.len > 0 && pattern.ptr[0] == '^';
    m->trying = false;
    m->error = NULL;
    m->captures = m->depth = 0;
}

WFI wfi_luapattern_status wfi_luapattern_run(wfi_luapattern *m, int64_t slice) {
    m->left = slice;
    while (m->left > 0) {
        if (!m->trying && !luapattern_restart(m)) return WFI_LUAPATTERN_NONE;
        wfi_luapattern_status status = m->plain ? luapattern_attempt_plain(m) : luapattern_attempt(m);
        if (status == WFI_LUAPATTERN_PAUSED || status == WFI_LUAPATTERN_BAD) return status;
        m->trying = false;
        if (status == WFI_LUAPATTERN_MATCH && m->s != m->last) {
            m->end = m->s;
            return WFI_LUAPATTERN_MATCH;
        }
        if (m->anchored || m->start == m->text.len) return WFI_LUAPATTERN_NONE;
        m->start++;
        m->left--;
    }
    return WFI_LUAPATTERN_PAUSED;
}
