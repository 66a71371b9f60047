/* pattern: owns the matching of Lua patterns.
 *
 * Invariants:
 *   1. trail[0..depth) undoes, from its end, everything that the attempt did since its start.
 *   2. capture[0..captures) are in order of their opening parentheses.
 *   3. Along an attempt p never moves back but by the trail, so depth is bounded by the items of the pattern.
 *   4. Every loop over text or pattern pays into `left`, or is bounded by their length and paid as a whole. */
#include "luapattern.h"

#include <string.h>

typedef enum pattern_move { PATTERN_ON, PATTERN_FAIL, PATTERN_STOP } pattern_move;

static uint8_t pattern_char(wf_str s, size_t i) {
    return (uint8_t)s.ptr[i];
}

static bool pattern_between(uint8_t c, char low, char high) {
    return c >= (uint8_t)low && c <= (uint8_t)high;
}

static pattern_move pattern_bad(wfi_pattern *m, const char *error) {
    m->error = error;
    return PATTERN_STOP;
}

/* Whether c is of the class %class; a letter that names no class, and all else, stands for itself. */
static bool pattern_class(uint8_t c, uint8_t class) {
    bool alpha = pattern_between(c | 32, 'a', 'z'), digit = pattern_between(c, '0', '9'), graph = c > 32 && c < 127;
    bool upper_class = pattern_between(class, 'A', 'Z'), in;
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
        in = pattern_between(c, 'a', 'z');
        break;
    case 'p':
        in = graph && !alpha && !digit;
        break;
    case 's':
        in = c == ' ' || (c >= 9 && c <= 13);
        break;
    case 'u':
        in = pattern_between(c, 'A', 'Z');
        break;
    case 'w':
        in = alpha || digit;
        break;
    case 'x':
        in = digit || pattern_between(c | 32, 'a', 'f');
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
static size_t pattern_set_end(wfi_pattern *m, size_t p) {
    size_t n = m->pattern.len;
    p++;
    if (p < n && m->pattern.ptr[p] == '^') p++;
    do { /* the first member may be a ] */
        if (p >= n) break;
        p += m->pattern.ptr[p] == '%' && p + 1 < n ? 2 : 1;
    } while (p < n && m->pattern.ptr[p] != ']');
    if (p < n) return p + 1;
    pattern_bad(m, "malformed pattern (missing ']')");
    return 0;
}

/* The end of the single-character item at p; 0 (and an error) if it is malformed. */
static size_t pattern_item_end(wfi_pattern *m, size_t p) {
    if (m->pattern.ptr[p] == '[') {
        size_t end = pattern_set_end(m, p);
        m->left -= (int64_t)(end - (end ? p : 0));
        return end;
    }
    if (m->pattern.ptr[p] != '%') return p + 1;
    if (p + 1 < m->pattern.len) return p + 2;
    pattern_bad(m, "malformed pattern (ends with '%')");
    return 0;
}

/* Whether c is in the set whose [ is at p and whose ] is at `close`. */
static bool pattern_in_set(wfi_pattern *m, uint8_t c, size_t p, size_t close) {
    wf_str pat = m->pattern;
    bool negated = pat.ptr[p + 1] == '^';
    m->left -= (int64_t)(close - p);
    for (p += negated ? 2 : 1; p < close; p++) {
        if (pat.ptr[p] == '%') {
            if (pattern_class(c, pattern_char(pat, ++p))) return !negated;
        } else if (pat.ptr[p + 1] == '-' && p + 2 < close) {
            if (pattern_char(pat, p) <= c && c <= pattern_char(pat, p + 2)) return !negated;
            p += 2;
        } else if (pattern_char(pat, p) == c) {
            return !negated;
        }
    }
    return negated;
}

/* Whether the item at [p, end) matches the character at s. */
static bool pattern_single(wfi_pattern *m, size_t s, size_t p, size_t end) {
    m->left--;
    if (s >= m->text.len) return false;
    uint8_t c = pattern_char(m->text, s);
    switch (m->pattern.ptr[p]) {
    case '.':
        return true;
    case '%':
        return pattern_class(c, pattern_char(m->pattern, p + 1));
    case '[':
        return pattern_in_set(m, c, p, end - 1);
    default:
        return pattern_char(m->pattern, p) == c;
    }
}

static pattern_move pattern_push(wfi_pattern *m, wfi_pattern_undo undo) {
    if (m->depth == WFI_PATTERN_TRAIL) return pattern_bad(m, "pattern too complex");
    m->trail[m->depth++] = undo;
    return PATTERN_ON;
}

static pattern_move pattern_open(wfi_pattern *m) {
    if (m->captures == WFI_PATTERN_CAPTURES) return pattern_bad(m, "too many captures");
    bool position = m->p + 1 < m->pattern.len && m->pattern.ptr[m->p + 1] == ')';
    m->capture[m->captures].at = m->s;
    m->capture[m->captures++].len = position ? WFI_PATTERN_POSITION : WFI_PATTERN_OPEN;
    m->p += position ? 2 : 1;
    return pattern_push(m, (wfi_pattern_undo){.kind = WFI_PATTERN_UNDO_OPEN});
}

static pattern_move pattern_close(wfi_pattern *m) {
    uint32_t i = m->captures;
    while (i > 0 && m->capture[i - 1].len != WFI_PATTERN_OPEN)
        i--;
    if (i == 0) return pattern_bad(m, "invalid pattern capture");
    m->capture[i - 1].len = m->s - m->capture[i - 1].at;
    m->p++;
    return pattern_push(m, (wfi_pattern_undo){.kind = WFI_PATTERN_UNDO_CLOSE, .low = i - 1});
}

/* %bxy */
static pattern_move pattern_balance(wfi_pattern *m) {
    if (m->pattern.len - m->p < 4) return pattern_bad(m, "malformed pattern (missing arguments to '%b')");
    char open = m->pattern.ptr[m->p + 2], close = m->pattern.ptr[m->p + 3];
    if (m->s >= m->text.len || m->text.ptr[m->s] != open) return PATTERN_FAIL;
    size_t level = 1, s = m->s + 1;
    for (; s < m->text.len; s++) {
        if (m->text.ptr[s] == close) {
            if (--level == 0) break;
        } else if (m->text.ptr[s] == open) {
            level++;
        }
    }
    m->left -= (int64_t)(s - m->s);
    if (s == m->text.len) return PATTERN_FAIL;
    m->s = s + 1;
    m->p += 4;
    return PATTERN_ON;
}

/* %f[set]; beyond either end of the text there is a zero byte */
static pattern_move pattern_frontier(wfi_pattern *m) {
    size_t set = m->p + 2;
    if (set >= m->pattern.len || m->pattern.ptr[set] != '[') {
        return pattern_bad(m, "missing '[' after '%f' in pattern");
    }
    size_t end = pattern_item_end(m, set);
    if (end == 0) return PATTERN_STOP;
    uint8_t before = m->s > 0 ? pattern_char(m->text, m->s - 1) : 0;
    uint8_t here = m->s < m->text.len ? pattern_char(m->text, m->s) : 0;
    if (pattern_in_set(m, before, set, end - 1) || !pattern_in_set(m, here, set, end - 1)) return PATTERN_FAIL;
    m->p = end;
    return PATTERN_ON;
}

/* %1 to %9 */
static pattern_move pattern_back_reference(wfi_pattern *m) {
    uint32_t i = (uint32_t)(m->pattern.ptr[m->p + 1] - '1'); /* %0 becomes huge */
    if (i >= m->captures || m->capture[i].len == WFI_PATTERN_OPEN) {
        return pattern_bad(m, "invalid capture index in pattern");
    }
    size_t len = m->capture[i].len;
    if (len > m->text.len - m->s) return PATTERN_FAIL; /* positions are longer than any text */
    m->left -= (int64_t)len;
    if (memcmp(m->text.ptr + m->capture[i].at, m->text.ptr + m->s, len) != 0) return PATTERN_FAIL;
    m->s += len;
    m->p += 2;
    return PATTERN_ON;
}

/* One single-character item with its quantifier. */
static pattern_move pattern_item(wfi_pattern *m) {
    size_t end = pattern_item_end(m, m->p);
    if (end == 0) return PATTERN_STOP;
    char quantifier = end < m->pattern.len ? m->pattern.ptr[end] : 0;
    wfi_pattern_undo undo = {.low = m->s, .at = m->s, .item = m->p, .after = end + 1};
    switch (quantifier) {
    case '-':
        undo.kind = WFI_PATTERN_LAZY;
        m->p = end + 1;
        return pattern_push(m, undo);
    case '*':
        undo.kind = WFI_PATTERN_GROWING;
        return pattern_push(m, undo);
    case '?':
        m->p = end + 1;
        if (!pattern_single(m, m->s, undo.item, end)) return PATTERN_ON;
        undo.kind = WFI_PATTERN_GREEDY;
        undo.at = ++m->s;
        return pattern_push(m, undo);
    default:
        if (!pattern_single(m, m->s, m->p, end)) return PATTERN_FAIL;
        m->s++;
        if (quantifier == '+') {
            undo.kind = WFI_PATTERN_GROWING;
            undo.low = undo.at = m->s;
            return pattern_push(m, undo);
        }
        m->p = end;
        return PATTERN_ON;
    }
}

/* Lets the greedy repeat on top of the trail take more, as far as the slice goes. */
static void pattern_grow(wfi_pattern *m, wfi_pattern_undo *top) {
    while (pattern_single(m, top->at, top->item, top->after - 1)) {
        top->at++;
        if (m->left < 0) return;
    }
    top->kind = WFI_PATTERN_GREEDY;
    m->s = top->at;
    m->p = top->after;
    if (top->at == top->low) m->depth--; /* nothing to give back */
}

/* One step of the attempt. The pattern is not over, and no repeat is growing. */
static pattern_move pattern_step(wfi_pattern *m) {
    size_t next = m->p + 1;
    switch (m->pattern.ptr[m->p]) {
    case '(':
        return pattern_open(m);
    case ')':
        return pattern_close(m);
    case '$':
        if (next < m->pattern.len) break;
        if (m->s < m->text.len) return PATTERN_FAIL;
        m->p = next;
        return PATTERN_ON;
    case '%':
        if (next == m->pattern.len) break;
        if (m->pattern.ptr[next] == 'b') return pattern_balance(m);
        if (m->pattern.ptr[next] == 'f') return pattern_frontier(m);
        if (pattern_between(pattern_char(m->pattern, next), '0', '9')) return pattern_back_reference(m);
        break;
    default:
        break;
    }
    return pattern_item(m);
}

/* Goes back to the latest choice that has something left. */
static bool pattern_backtrack(wfi_pattern *m) {
    for (; m->depth > 0; m->depth--) {
        wfi_pattern_undo *top = &m->trail[m->depth - 1];
        switch (top->kind) {
        case WFI_PATTERN_UNDO_OPEN:
            m->captures--;
            break;
        case WFI_PATTERN_UNDO_CLOSE:
            m->capture[top->low].len = WFI_PATTERN_OPEN;
            break;
        case WFI_PATTERN_LAZY:
            if (!pattern_single(m, top->at, top->item, top->after - 1)) break;
            m->s = ++top->at;
            m->p = top->after;
            return true;
        case WFI_PATTERN_GREEDY:
            if (top->at == top->low) break;
            m->s = --top->at;
            m->p = top->after;
            return true;
        case WFI_PATTERN_GROWING:
            break; /* cannot be: only failed steps come here */
        }
    }
    return false;
}

/* Goes on with the attempt at `start` until it is decided or the slice is used up. */
static wfi_pattern_status pattern_attempt(wfi_pattern *m) {
    while (m->left > 0) {
        m->left--;
        if (m->depth > 0 && m->trail[m->depth - 1].kind == WFI_PATTERN_GROWING) {
            pattern_grow(m, &m->trail[m->depth - 1]);
            continue;
        }
        if (m->p == m->pattern.len) return WFI_PATTERN_MATCH;
        pattern_move move = pattern_step(m);
        if (move == PATTERN_STOP) return WFI_PATTERN_BAD;
        if (move == PATTERN_FAIL && !pattern_backtrack(m)) return WFI_PATTERN_NONE;
    }
    return WFI_PATTERN_PAUSED;
}

/* The same for a pattern that is just text: p and s walk along both. */
static wfi_pattern_status pattern_attempt_plain(wfi_pattern *m) {
    if (m->pattern.len > m->text.len - m->start) return WFI_PATTERN_NONE;
    while (m->left > 0) {
        if (m->p == m->pattern.len) return WFI_PATTERN_MATCH;
        size_t block = m->pattern.len - m->p < 64 ? m->pattern.len - m->p : 64;
        m->left -= 8;
        if (memcmp(m->text.ptr + m->s, m->pattern.ptr + m->p, block) != 0) return WFI_PATTERN_NONE;
        m->s += block;
        m->p += block;
    }
    return WFI_PATTERN_PAUSED;
}

/* The character that every match begins with, -1 if there is no single one. */
static int pattern_first(const wfi_pattern *m) {
    if (m->anchored || m->pattern.len == 0) return -1;
    if (m->plain) return pattern_char(m->pattern, 0);
    if (memchr("^$*+?.([%-)", m->pattern.ptr[0], 11)) return -1;
    if (m->pattern.len > 1 && memchr("*?-", m->pattern.ptr[1], 3)) return -1;
    return pattern_char(m->pattern, 0);
}

/* Sets out for an attempt at `start` or, where that is easily told, at the next place that stands a chance. */
static bool pattern_restart(wfi_pattern *m) {
    int first = pattern_first(m);
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

WFI void wfi_pattern_init(wfi_pattern *m, wf_str text, wf_str pattern, size_t start, bool plain, bool anchors) {
    m->text = text;
    m->pattern = pattern;
    m->start = start;
    m->last = WFI_PATTERN_NOWHERE;
    m->plain = plain;
    m->anchored = anchors && !plain && pattern.len > 0 && pattern.ptr[0] == '^';
    m->trying = false;
    m->error = NULL;
    m->captures = m->depth = 0;
}

WFI wfi_pattern_status wfi_pattern_run(wfi_pattern *m, int64_t slice) {
    m->left = slice;
    while (m->left > 0) {
        if (!m->trying && !pattern_restart(m)) return WFI_PATTERN_NONE;
        wfi_pattern_status status = m->plain ? pattern_attempt_plain(m) : pattern_attempt(m);
        if (status == WFI_PATTERN_PAUSED || status == WFI_PATTERN_BAD) return status;
        m->trying = false;
        if (status == WFI_PATTERN_MATCH && m->s != m->last) {
            m->end = m->s;
            return WFI_PATTERN_MATCH;
        }
        if (m->anchored || m->start == m->text.len) return WFI_PATTERN_NONE;
        m->start++;
        m->left--;
    }
    return WFI_PATTERN_PAUSED;
}
