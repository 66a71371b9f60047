/* match: see match.h.
 *
 * A recursive-descent compiler writes steps into `code`. Jumps are relative to their own step, so that a piece of
 * code can be moved and copied, which is how x{2,5} is made. Invariants of a finished program: every jump lands
 * inside of it, and its last step is END.
 *
 *   CHAR a        the character a                  SPLIT a b    go on at +a and at +b (both signed)
 *   ANY           any character                    JUMP a       go on at +a
 *   CLASS a b     one of the ranges a..b           BOL EOL      at the text's begin, end
 *   NCLASS a b    none of them                     WORD a       at a word's edge: 1 its begin, 2 its end, 0 either
 *                                                  NWORD        at none
 *   END                                         the pattern is found */
#include "encoding.h"
#include "fold.h"
#include "match.h"
#include <string.h>

enum {
    MATCH_CHAR,
    MATCH_ANY,
    MATCH_CLASS,
    MATCH_NCLASS,
    MATCH_SPLIT,
    MATCH_JUMP,
    MATCH_BOL,
    MATCH_EOL,
    MATCH_WORD,
    MATCH_NWORD,
    MATCH_END
};

#define MATCH_NEST   64u
#define MATCH_REPEAT 255u
#define MATCH_NONE   UINT32_MAX /* no character: before the first, behind the last */
#define MATCH_LAST   0x1100ffu
#define MATCH_CASED  0x1e944u /* characters from here on have no case */

typedef struct match_parser {
    wfi_match *m;
    wf_str in;
    size_t pos;
    uint32_t nest;
    const char *error;
} match_parser;

/* ---- characters ---- */

static bool match_is_word(uint32_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* ---- writing code ---- */

static uint32_t match_emit(match_parser *p, uint8_t op, uint32_t a, uint32_t b) {
    if (p->m->code_len >= WFI_MATCH_CODE - 1) {
        p->error = "the pattern is too large";
        return p->m->code_len - 1;
    }
    wfi_match_step *s = &p->m->code[p->m->code_len];
    s->op = op;
    s->a = a;
    s->b = b;
    return p->m->code_len++;
}

/* Makes room for one step before the code at `at`. Jumps are relative, and none leads from before `at` into what
 * moves. */
static void match_insert(match_parser *p, uint32_t at, uint8_t op, uint32_t a, uint32_t b) {
    wfi_match *m = p->m;
    match_emit(p, op, a, b);
    if (p->error != NULL) return;
    memmove(&m->code[at + 1], &m->code[at], (m->code_len - 1 - at) * sizeof m->code[0]);
    m->code[at] = (wfi_match_step){op, a, b};
}

static void match_char(match_parser *p, uint32_t c) {
    match_emit(p, MATCH_CHAR, p->m->fold ? wfi_fold(c) : c, 0);
}

static void match_range(match_parser *p, uint32_t from, uint32_t to) {
    wfi_match *m = p->m;
    if (m->range_len == WFI_MATCH_RANGES) {
        p->error = "the pattern has too many character ranges";
        return;
    }
    m->range[m->range_len][0] = from;
    m->range[m->range_len][1] = to;
    m->range_len++;
}

/* Adds one character, to the range before it if that ends there. */
static void match_fold_range(match_parser *p, uint32_t c) {
    uint32_t *last = p->m->range[p->m->range_len - 1];
    if (last[1] + 1 == c)
        last[1] = c;
    else
        match_range(p, c, c);
}

static bool match_in_ranges(const wfi_match *m, uint32_t first, uint32_t last, uint32_t c) {
    for (uint32_t i = first; i < last; i++)
        if (c >= m->range[i][0] && c <= m->range[i][1]) return true;
    return false;
}

/* Adds what differs from a range of characters in case only. A large range has most of that in it already. */
static void match_range_folded(match_parser *p, uint32_t from, uint32_t to) {
    uint32_t first = p->m->range_len, all[WFI_FOLD_MOST];
    match_range(p, from, to);
    if (!p->m->fold) return;
    for (uint32_t c = from; c <= to && c < MATCH_CASED && p->error == NULL; c++) {
        uint32_t n = wfi_fold_all(c, all);
        for (uint32_t i = 0; i < n && p->error == NULL; i++)
            if (!match_in_ranges(p->m, first, p->m->range_len, all[i])) match_fold_range(p, all[i]);
    }
}

/* Adds the ranges of a class, given as pairs of bytes, or of what is not in it. */
static void match_ranges(match_parser *p, const char *pairs, bool negated) {
    uint32_t next = 0;
    for (; pairs[0] != '\0'; pairs += 2) {
        uint32_t from = (uint8_t)pairs[0], to = (uint8_t)pairs[1];
        if (!negated) match_range_folded(p, from, to);
        if (negated && from > next) match_range(p, next, from - 1);
        next = to + 1;
    }
    if (negated) match_range(p, next, MATCH_LAST);
}

/* Pairs in ascending order, or NULL if the letter names no class. */
static const char *match_escape_class(char c) {
    switch (c | 0x20) {
    case 'd':
        return "09";
    case 'w':
        return "09AZ__az";
    case 's':
        return "\t\r  ";
    default:
        return NULL;
    }
}

/* ---- parsing: pieces ---- */

static bool match_more(const match_parser *p) {
    return p->error == NULL && p->pos < p->in.len;
}

static bool match_at(const match_parser *p, char c) {
    return p->pos < p->in.len && p->in.ptr[p->pos] == c;
}

static bool match_at_text(const match_parser *p, const char *text) {
    size_t n = strlen(text);
    return p->in.len - p->pos >= n && memcmp(p->in.ptr + p->pos, text, n) == 0;
}

static bool match_take(match_parser *p, char c) {
    if (!match_at(p, c)) return false;
    p->pos++;
    return true;
}

static uint32_t match_take_char(match_parser *p) {
    uint32_t c = 0;
    p->pos += wfi_encoding_take(p->in.ptr + p->pos, p->in.len - p->pos, &c);
    return c;
}

static bool match_hex(match_parser *p, uint32_t *out) {
    if (p->pos >= p->in.len) return false;
    char c = p->in.ptr[p->pos];
    char low = (char)(c | 0x20);
    if (c >= '0' && c <= '9') {
        *out = *out << 4 | (uint32_t)(c - '0');
    } else if (low >= 'a' && low <= 'f') {
        *out = *out << 4 | (uint32_t)(low - 'a' + 10);
    } else {
        return false;
    }
    p->pos++;
    return true;
}

/* The character that an escape stands for; the backslash is already taken. */
static uint32_t match_escape_char(match_parser *p) {
    uint32_t v = 0;
    if (p->pos >= p->in.len) {
        p->error = "the pattern ends with a lone backslash";
        return 0;
    }
    uint32_t c = match_take_char(p);
    if (!match_is_word(c) || c == '_') return c;
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'f':
        return '\f';
    case 'v':
        return '\v';
    case 'x':
        if (match_hex(p, &v) && match_hex(p, &v)) return v;
        p->error = "\\x needs two hexadecimal digits";
        return 0;
    default:
        p->pos--;
        p->error = c >= '1' && c <= '9' ? "back references are not supported" : "unknown escape";
        return 0;
    }
}

const char *wfi_match_class(wf_str text, size_t *len) {
    static const struct {
        const char *name, *pairs;
    } named[] = {{"[:alpha:]", "AZaz"},    {"[:digit:]", "09"},
                 {"[:alnum:]", "09AZaz"},  {"[:upper:]", "AZ"},
                 {"[:lower:]", "az"},      {"[:space:]", "\t\r  "},
                 {"[:blank:]", "\t\t  "},  {"[:punct:]", "!/:@[`{~"},
                 {"[:xdigit:]", "09AFaf"}, {"[:cntrl:]", "\001\037\177\177"},
                 {"[:print:]", " ~"},      {"[:graph:]", "!~"}};
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        *len = strlen(named[i].name);
        if (text.len >= *len && memcmp(text.ptr, named[i].name, *len) == 0) return named[i].pairs;
    }
    return NULL;
}

/* [:alpha:] and its kin inside of brackets. */
static bool match_named_class(match_parser *p) {
    size_t n;
    const char *pairs = wfi_match_class(wf_str_of(p->in.ptr + p->pos, p->in.len - p->pos), &n);
    if (pairs == NULL) return false;
    match_ranges(p, pairs, false);
    p->pos += n;
    return true;
}

/* One end of a range; false: it was a whole class. */
static bool match_bracket_item(match_parser *p, uint32_t *c) {
    if (match_at(p, '[') && match_named_class(p)) return false;
    if (!match_take(p, '\\')) {
        *c = match_take_char(p);
        return true;
    }
    char e = p->pos < p->in.len ? p->in.ptr[p->pos] : '\0';
    const char *pairs = match_escape_class(e);
    if (pairs != NULL) {
        match_ranges(p, pairs, e < 'a');
        p->pos++;
        return false;
    }
    if (e == 'b') {
        p->pos++;
        *c = '\b';
        return true;
    }
    *c = match_escape_char(p);
    return true;
}

static void match_bracket_range(match_parser *p) {
    uint32_t from = 0, to = 0;
    if (!match_bracket_item(p, &from)) return;
    to = from;
    bool range = match_at(p, '-') && p->pos + 1 < p->in.len && p->in.ptr[p->pos + 1] != ']';
    if (range) {
        p->pos++;
        if (!match_bracket_item(p, &to)) p->error = "a class cannot end a range";
    }
    if (p->error == NULL && from > to) p->error = "a range runs backwards";
    if (p->error == NULL) match_range_folded(p, from, to);
}

/* [...]; the opening bracket is already taken. In a glob no class matches '/'. */
static void match_bracket(match_parser *p, bool glob) {
    uint32_t first = p->m->range_len;
    size_t open = p->pos;
    bool negated = match_take(p, '^') || (glob && match_take(p, '!'));
    if (negated && glob) match_range(p, '/', '/');
    for (bool begin = true; match_more(p) && (begin || !match_at(p, ']')); begin = false)
        match_bracket_range(p);
    if (p->error == NULL && !match_take(p, ']')) {
        p->pos = open - 1;
        p->error = "a [ is never closed; write \\[ for the character";
    }
    match_emit(p, negated ? MATCH_NCLASS : MATCH_CLASS, first, p->m->range_len);
}

static void match_escape(match_parser *p) {
    char e = p->pos < p->in.len ? p->in.ptr[p->pos] : '\0';
    const char *pairs = match_escape_class(e);
    if (pairs != NULL) {
        uint32_t first = p->m->range_len;
        match_ranges(p, pairs, false);
        match_emit(p, e >= 'a' ? MATCH_CLASS : MATCH_NCLASS, first, p->m->range_len);
    } else if (e == 'b' || e == 'B') {
        match_emit(p, e == 'b' ? MATCH_WORD : MATCH_NWORD, 0, 0);
    } else if (e == '<' || e == '>') {
        match_emit(p, MATCH_WORD, e == '<' ? 1 : 2, 0);
    } else {
        match_char(p, match_escape_char(p));
        return;
    }
    p->pos++;
}

/* ---- parsing: repetition ---- */

static uint32_t match_number(match_parser *p) {
    uint32_t v = 0;
    while (p->pos < p->in.len && p->in.ptr[p->pos] >= '0' && p->in.ptr[p->pos] <= '9') {
        if (v <= MATCH_REPEAT) v = v * 10 + (uint32_t)(p->in.ptr[p->pos] - '0');
        p->pos++;
    }
    return v;
}

static bool match_digit_at(const match_parser *p, size_t pos) {
    return pos < p->in.len && p->in.ptr[pos] >= '0' && p->in.ptr[pos] <= '9';
}

/* Reads a quantifier into least..most (MATCH_NONE: no end). A brace that begins no interval is a plain character. */
static bool match_quantifier(match_parser *p, uint32_t *least, uint32_t *most) {
    size_t start = p->pos;
    *least = 0;
    *most = MATCH_NONE;
    if (match_take(p, '*')) return true;
    if (match_take(p, '+')) {
        *least = 1;
        return true;
    }
    if (match_take(p, '?')) {
        *most = 1;
        return true;
    }
    if (!match_at(p, '{') || !(match_digit_at(p, p->pos + 1) || match_at_text(p, "{,"))) return false;
    p->pos++;
    bool open_start = !match_digit_at(p, p->pos);
    *least = match_number(p);
    *most = *least;
    if (match_take(p, ',')) *most = match_digit_at(p, p->pos) ? match_number(p) : MATCH_NONE;
    if (!match_take(p, '}') || (open_start && *most == MATCH_NONE)) {
        p->pos = start;
        return false;
    }
    if (*least > MATCH_REPEAT || (*most != MATCH_NONE && *most > MATCH_REPEAT)) p->error = "a repetition is over 255";
    if (*most != MATCH_NONE && *most < *least) p->error = "a repetition runs backwards";
    return true;
}

static void match_copy(match_parser *p, uint32_t from, uint32_t len) {
    for (uint32_t i = 0; i < len && p->error == NULL; i++) {
        wfi_match_step s = p->m->code[from + i];
        match_emit(p, s.op, s.a, s.b);
    }
}

/* Makes the code from `at` to the end optional, or repeated from zero times on. */
static void match_optional(match_parser *p, uint32_t at, bool loop) {
    uint32_t len = p->m->code_len - at;
    match_insert(p, at, MATCH_SPLIT, 1, len + 1 + (loop ? 1 : 0));
    if (loop) match_emit(p, MATCH_JUMP, (uint32_t) - (int32_t)(len + 1), 0);
}

/* Repeats the piece at code[at..]: `least` copies, then a loop or optional copies. */
static void match_repeat(match_parser *p, uint32_t at, uint32_t least, uint32_t most) {
    uint32_t len = p->m->code_len - at;
    uint32_t optional = most == MATCH_NONE ? 1 : most - least;
    uint32_t copies = least + optional;
    if (copies == 0) {
        p->m->code_len = at;
        return;
    }
    for (uint32_t i = 1; i < copies && p->error == NULL; i++)
        match_copy(p, at, len);
    /* From the last to the first, so that what is still to be wrapped keeps its place. */
    for (uint32_t i = copies; i > least && p->error == NULL; i--)
        match_optional(p, at + (i - 1) * len, most == MATCH_NONE);
}

/* ---- parsing: expressions ---- */

static void match_alternatives(match_parser *p);

static void match_group(match_parser *p) {
    size_t open = p->pos - 1;
    if (match_at(p, '?') && !match_at_text(p, "?:")) {
        p->error = "only (?:...) and a leading (?i) are supported of the (? forms";
        return;
    }
    if (match_at_text(p, "?:")) p->pos += 2;
    if (++p->nest > MATCH_NEST) {
        p->error = "groups are nested too deep";
        return;
    }
    match_alternatives(p);
    p->nest--;
    if (p->error != NULL || match_take(p, ')')) return;
    p->pos = open;
    p->error = "a ( is never closed; write \\( for the character";
}

static void match_atom(match_parser *p) {
    uint32_t least, most;
    if (match_at(p, '*') || match_at(p, '+') || match_at(p, '?') || match_quantifier(p, &least, &most)) {
        p->error = "nothing to repeat; put a backslash before the character";
    } else if (match_take(p, '(')) {
        match_group(p);
    } else if (match_take(p, '[')) {
        match_bracket(p, false);
    } else if (match_take(p, '\\')) {
        match_escape(p);
    } else if (match_take(p, '.')) {
        match_emit(p, MATCH_ANY, 0, 0);
    } else if (match_take(p, '^')) {
        match_emit(p, MATCH_BOL, 0, 0);
    } else if (match_take(p, '$')) {
        match_emit(p, MATCH_EOL, 0, 0);
    } else {
        match_char(p, match_take_char(p));
    }
}

static void match_sequence(match_parser *p) {
    while (match_more(p) && !match_at(p, '|') && !match_at(p, ')')) {
        uint32_t at = p->m->code_len, least, most;
        match_atom(p);
        while (match_more(p) && match_quantifier(p, &least, &most)) {
            if (p->error == NULL) match_repeat(p, at, least, most);
            match_take(p, '?'); /* lazy: finds the same lines */
        }
    }
}

/* Opens one more alternative behind the code from `at` on: SPLIT to it and past it, and a JUMP from its end to the
 * end of the new one. Answers where the JUMP is, for match_join. */
static uint32_t match_fork(match_parser *p, uint32_t at) {
    match_insert(p, at, MATCH_SPLIT, 1, p->m->code_len - at + 2);
    return match_emit(p, MATCH_JUMP, 0, 0);
}

static void match_join(match_parser *p, uint32_t jump) {
    if (p->error == NULL) p->m->code[jump].a = p->m->code_len - jump;
}

static void match_alternatives(match_parser *p) {
    uint32_t at = p->m->code_len;
    match_sequence(p);
    while (match_more(p) && match_take(p, '|')) {
        uint32_t jump = match_fork(p, at);
        match_sequence(p);
        match_join(p, jump);
    }
}

/* ---- parsing: globs ---- */

static void match_glob_sequence(match_parser *p, bool in_braces);

static void match_not_slash(match_parser *p, uint32_t least, uint32_t most) {
    uint32_t at = p->m->code_len, first = p->m->range_len;
    match_range(p, '/', '/');
    match_emit(p, MATCH_NCLASS, first, p->m->range_len);
    if (p->error == NULL) match_repeat(p, at, least, most);
}

/* Stars: alone in their name, two of them stand for any number of directories, or for all that is below at the end. */
static void match_stars(match_parser *p) {
    size_t start = p->pos;
    while (match_take(p, '*'))
        continue;
    bool begins = start == 0 || strchr("/{,", p->in.ptr[start - 1]) != NULL;
    bool ends = p->pos == p->in.len || strchr("/},", p->in.ptr[p->pos]) != NULL;
    uint32_t at = p->m->code_len;
    if (p->pos - start < 2 || !begins || !ends) {
        match_not_slash(p, 0, MATCH_NONE);
    } else if (match_take(p, '/')) {
        match_not_slash(p, 1, MATCH_NONE);
        match_emit(p, MATCH_CHAR, '/', 0);
        if (p->error == NULL) match_repeat(p, at, 0, MATCH_NONE);
    } else {
        match_emit(p, MATCH_ANY, 0, 0);
        if (p->error == NULL) match_repeat(p, at, 1, MATCH_NONE);
    }
}

static void match_braces(match_parser *p) {
    size_t open = p->pos - 1;
    uint32_t at = p->m->code_len;
    if (++p->nest > MATCH_NEST) {
        p->error = "braces are nested too deep";
        return;
    }
    match_glob_sequence(p, true);
    while (match_more(p) && match_take(p, ',')) {
        uint32_t jump = match_fork(p, at);
        match_glob_sequence(p, true);
        match_join(p, jump);
    }
    p->nest--;
    if (p->error != NULL || match_take(p, '}')) return;
    p->pos = open;
    p->error = "a { is never closed; write \\{ for the character";
}

static void match_glob_sequence(match_parser *p, bool in_braces) {
    while (match_more(p) && !(in_braces && (match_at(p, ',') || match_at(p, '}')))) {
        if (match_at(p, '*')) {
            match_stars(p);
        } else if (match_take(p, '?')) {
            match_not_slash(p, 1, 1);
        } else if (match_take(p, '[')) {
            match_bracket(p, true);
        } else if (match_take(p, '{')) {
            match_braces(p);
        } else {
            if (match_at(p, '\\') && p->pos + 1 < p->in.len) p->pos++;
            match_emit(p, MATCH_CHAR, match_take_char(p), 0);
        }
    }
}

/* ---- first bytes ---- */

static void match_first_byte(wfi_match *m, uint32_t c) {
    if (c < 0x80)
        m->first[c] = true;
    else
        memset(m->first + 0x80, 1, 0x80);
}

static void match_first_char(wfi_match *m, uint32_t c) {
    uint32_t all[WFI_FOLD_MOST], n = m->fold ? wfi_fold_all(c, all) : 0;
    match_first_byte(m, c);
    for (uint32_t i = 0; i < n; i++)
        match_first_byte(m, all[i]);
}

static void match_first_class(wfi_match *m, const wfi_match_step *s) {
    for (uint32_t i = s->a; i < s->b; i++) {
        for (uint32_t c = m->range[i][0]; c <= m->range[i][1] && c < 0x80; c++)
            match_first_byte(m, c);
        if (m->range[i][1] >= 0x80) match_first_byte(m, 0x80);
    }
}

/* ---- running ---- */

static void match_set_clear(wfi_match *m, wfi_match_set *set) {
    set->n = 0;
    if (++m->turn != 0) return;
    memset(m->now.mark, 0, sizeof m->now.mark);
    memset(m->next.mark, 0, sizeof m->next.mark);
    m->turn = 1;
}

static bool match_word_at(wf_str text, size_t pos, uint32_t which) {
    bool before = pos > 0 && match_is_word((uint8_t)text.ptr[pos - 1]);
    bool after = pos < text.len && match_is_word((uint8_t)text.ptr[pos]);
    return before != after && (which == 0 || after == (which == 1));
}

/* Whether a step that takes no character lets a thread at `pos` pass. */
static bool match_passes(const wfi_match *m, const wfi_match_step *s, wf_str text, size_t pos) {
    switch (s->op) {
    case MATCH_BOL:
        return pos == 0 && m->begins;
    case MATCH_EOL:
        return pos == text.len && m->ends;
    case MATCH_WORD:
        return match_word_at(text, pos, s->a);
    case MATCH_NWORD:
        return !match_word_at(text, pos, 0);
    default:
        return true;
    }
}

/* Adds a thread at step `pc`, and all that it reaches without a character. In the set are only steps that take one,
 * and END. Each step enters at most once a turn, so the stack cannot overflow. Answers whether END was reached. */
static bool match_add(wfi_match *m, wfi_match_set *set, uint32_t pc, wf_str text, size_t pos) {
    uint32_t depth = 0;
    bool end = false;
    m->stack[depth++] = (uint16_t)pc;
    while (depth > 0) {
        uint32_t at = m->stack[--depth];
        const wfi_match_step *s = &m->code[at];
        if (set->mark[at] == m->turn) continue;
        set->mark[at] = m->turn;
        if (s->op == MATCH_SPLIT) {
            m->stack[depth++] = (uint16_t)(at + s->b);
            m->stack[depth++] = (uint16_t)(at + s->a);
        } else if (s->op == MATCH_JUMP) {
            m->stack[depth++] = (uint16_t)(at + s->a);
        } else if (s->op >= MATCH_BOL && s->op <= MATCH_NWORD) {
            if (match_passes(m, s, text, pos)) m->stack[depth++] = (uint16_t)(at + 1);
        } else {
            set->at[set->n++] = (uint16_t)at;
            end = end || s->op == MATCH_END;
        }
    }
    return end;
}

/* folded: c without its case, if that does not matter. */
static bool match_takes(const wfi_match *m, const wfi_match_step *s, uint32_t c, uint32_t folded) {
    switch (s->op) {
    case MATCH_CHAR:
        return s->a == folded;
    case MATCH_ANY:
        return true;
    case MATCH_CLASS:
        return match_in_ranges(m, s->a, s->b, c);
    case MATCH_NCLASS:
        return !match_in_ranges(m, s->a, s->b, c);
    default:
        return false;
    }
}

/* Moves the threads of `from` over the character c into `to`; they are then at pos. */
static bool match_move(wfi_match *m, const wfi_match_set *from, wfi_match_set *to, uint32_t c, wf_str text,
                       size_t pos) {
    bool end = false;
    uint32_t folded = m->fold ? wfi_fold(c) : c;
    match_set_clear(m, to);
    for (uint32_t i = 0; i < from->n; i++) {
        uint32_t at = from->at[i];
        if (match_takes(m, &m->code[at], c, folded) && match_add(m, to, at + 1, text, pos)) end = true;
    }
    return end;
}

bool wfi_match_part(wfi_match *m, wf_str line, bool begins, bool ends) {
    wfi_match_set *now = &m->now, *next = &m->next;
    size_t pos = 0;
    uint32_t c;
    m->begins = begins;
    m->ends = ends;
    match_set_clear(m, now);
    for (;;) {
        if (now->n == 0 && !m->any_first) {
            while (pos < line.len && !m->first[(uint8_t)line.ptr[pos]])
                pos++;
            if (pos == line.len) return false;
        }
        m->end = pos;
        if (match_add(m, now, 0, line, pos)) return true;
        if (pos == line.len) return false;
        pos += wfi_encoding_take(line.ptr + pos, line.len - pos, &c);
        m->end = pos;
        if (match_move(m, now, next, c, line, pos)) return true;
        wfi_match_set *swap = now;
        now = next;
        next = swap;
    }
}

bool wfi_match_search(wfi_match *m, wf_str line) {
    return wfi_match_part(m, line, true, true);
}

bool wfi_match_wants(const wfi_match *m, char c) {
    for (uint32_t i = 0; i < m->code_len; i++)
        if (m->code[i].op == MATCH_CHAR && m->code[i].a == (uint8_t)c) return true;
    return false;
}

/* Runs the whole text from its start. *alive: a thread could go on. Answers whether one has reached END. */
static bool match_anchored(wfi_match *m, wf_str text, bool *alive) {
    wfi_match_set *now = &m->now, *next = &m->next;
    uint32_t c;
    match_set_clear(m, now);
    bool end = match_add(m, now, 0, text, 0);
    for (size_t pos = 0; pos < text.len && now->n > 0;) {
        pos += wfi_encoding_take(text.ptr + pos, text.len - pos, &c);
        end = match_move(m, now, next, c, text, pos);
        wfi_match_set *swap = now;
        now = next;
        next = swap;
    }
    *alive = now->n > (end ? 1u : 0u);
    return end;
}

bool wfi_match_whole(wfi_match *m, wf_str path) {
    bool alive;
    return match_anchored(m, path, &alive);
}

bool wfi_match_prefix(wfi_match *m, wf_str prefix) {
    bool alive;
    match_anchored(m, prefix, &alive);
    return alive;
}

/* ---- compiling ---- */

static void match_begin(match_parser *p, wfi_match *m, wf_str pattern) {
    memset(m, 0, sizeof *m);
    memset(p, 0, sizeof *p);
    p->m = m;
    p->in = pattern;
}

/* Which bytes can begin a match, from the steps that a fresh thread reaches. Edges count as passed. */
static void match_find_first(wfi_match *m) {
    uint32_t depth = 0;
    match_set_clear(m, &m->now);
    m->stack[depth++] = 0;
    while (depth > 0) {
        uint32_t at = m->stack[--depth];
        const wfi_match_step *s = &m->code[at];
        if (m->now.mark[at] == m->turn) continue;
        m->now.mark[at] = m->turn;
        if (s->op == MATCH_SPLIT) m->stack[depth++] = (uint16_t)(at + s->b);
        if (s->op == MATCH_SPLIT || s->op == MATCH_JUMP) m->stack[depth++] = (uint16_t)(at + s->a);
        if (s->op >= MATCH_BOL && s->op <= MATCH_NWORD) m->stack[depth++] = (uint16_t)(at + 1);
        if (s->op == MATCH_CHAR) match_first_char(m, s->a);
        if (s->op == MATCH_CLASS) match_first_class(m, s);
        if (s->op == MATCH_ANY || s->op == MATCH_NCLASS || s->op == MATCH_END) m->any_first = true;
    }
}

static const char *match_finish(match_parser *p, size_t *at) {
    *at = p->pos;
    if (p->error != NULL) return p->error;
    p->m->code[p->m->code_len].op = MATCH_END; /* match_emit keeps this place free */
    p->m->code_len++;
    match_find_first(p->m);
    return NULL;
}

const char *wfi_match_regex(wfi_match *m, wf_str pattern, bool fold, size_t *at) {
    match_parser p;
    match_begin(&p, m, pattern);
    bool fold_inside = match_at_text(&p, "(?i)");
    if (fold_inside) p.pos = 4;
    m->fold = fold || fold_inside;
    match_alternatives(&p);
    if (p.error == NULL && p.pos < pattern.len) p.error = "a ) closes nothing; write \\) for the character";
    return match_finish(&p, at);
}

const char *wfi_match_glob(wfi_match *m, wf_str pattern, size_t *at) {
    match_parser p;
    match_begin(&p, m, pattern);
    match_glob_sequence(&p, false);
    return match_finish(&p, at);
}
