/* ignore: see ignore.h. A pattern is matched by the set of the places in it that can be reached with the text so far. */
#include "ignore.h"
#include "match.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    IGNORE_NOT = 1,   /* what matches is not ignored */
    IGNORE_DIR = 2,   /* matches directories only */
    IGNORE_NAME = 4,  /* no slash: matches with the last name of a path */
    IGNORE_PLAIN = 8, /* no wildcard in it */
    IGNORE_TAIL = 16  /* `*`, and then no wildcard and no slash */
};

/* ---- one pattern ---- */

typedef struct ignore_set {
    uint32_t n;
    uint16_t at[WFI_IGNORE_PATTERN + 1];
} ignore_set;

typedef struct ignore_run {
    wf_str pattern;
    uint16_t turn;
    uint16_t mark[WFI_IGNORE_PATTERN + 1]; /* == turn: the place is in the set */
} ignore_run;

static char ignore_at(wf_str p, size_t i) {
    return i < p.len ? p.ptr[i] : '\0';
}

/* Behind the slash at i, which may have a backslash; 0: there is none. */
static size_t ignore_slash(wf_str p, size_t i) {
    i += ignore_at(p, i) == '\\';
    return ignore_at(p, i) == '/' ? i + 1 : 0;
}

static size_t ignore_stars(wf_str p, size_t i) {
    while (ignore_at(p, i) == '*')
        i++;
    return i;
}

/* Whether the stars from i to end are a whole name of at least two. */
static bool ignore_is_deep(wf_str p, size_t i, size_t end) {
    return end - i >= 2 && (i == 0 || p.ptr[i - 1] == '/') && (end == p.len || ignore_slash(p, end) > 0);
}

/* Adds a place, and those that are reached from it without a character. A deep name may be passed over with its slash where a
 * name of the text begins. */
static void ignore_add(ignore_run *r, ignore_set *set, size_t i, bool begins) {
    if (r->mark[i] == r->turn) return;
    r->mark[i] = r->turn;
    set->at[set->n++] = (uint16_t)i;
    if (ignore_at(r->pattern, i) != '*') return;
    size_t end = ignore_stars(r->pattern, i), behind = ignore_slash(r->pattern, end);
    ignore_add(r, set, end, begins);
    if (begins && behind > 0 && ignore_is_deep(r->pattern, i, end)) ignore_add(r, set, behind, begins);
}

/* The class [:name:] at i: its ranges, and its end. NULL: there is none; *end 0: and the pattern can never match. */
static const char *ignore_class(wf_str p, size_t i, size_t *end) {
    size_t n;
    *end = i;
    if (ignore_at(p, i) != '[' || ignore_at(p, i + 1) != ':') return NULL;
    const char *close = memchr(p.ptr + i, ']', p.len - i);
    size_t at = close != NULL ? (size_t)(close - p.ptr) : 0;
    if (close != NULL && (at < i + 3 || p.ptr[at - 1] != ':')) return NULL;
    const char *pairs = wfi_match_class(wf_str_of(p.ptr + i, p.len - i), &n);
    *end = pairs != NULL ? i + n : 0;
    return pairs;
}

/* Whether c is among the brackets whose inside begins at i; *end becomes the place behind them, 0 if they never match. */
static bool ignore_bracket(wf_str p, size_t i, uint8_t c, size_t *end) {
    bool inverted = ignore_at(p, i) == '!' || ignore_at(p, i) == '^', hit = false;
    int before = -1; /* what may begin a range */
    i += inverted;
    for (bool first = true; i < p.len && (first || p.ptr[i] != ']'); first = false) {
        bool range = p.ptr[i] == '-' && before >= 0 && i + 1 < p.len && p.ptr[i + 1] != ']';
        i += range;
        const char *pairs = range ? NULL : ignore_class(p, i, end);
        if (!range && *end == 0) return false;
        for (const char *pair = pairs; pair != NULL && pair[0] != '\0'; pair += 2)
            hit |= c >= (uint8_t)pair[0] && c <= (uint8_t)pair[1];
        if (pairs != NULL) {
            before = -1;
            i = *end;
            continue;
        }
        i += p.ptr[i] == '\\';
        if (i == p.len) break;
        int to = (uint8_t)p.ptr[i++], from = range ? before : to;
        hit |= c >= from && c <= to;
        before = range ? -1 : to;
    }
    *end = i < p.len ? i + 1 : 0;
    return *end > 0 && hit != inverted;
}

/* Adds to `next` where the character c leads from place i. */
static void ignore_step(ignore_run *r, ignore_set *next, size_t i, char c) {
    wf_str p = r->pattern;
    size_t end;
    switch (ignore_at(p, i)) {
    case '*':
        if (c != '/' || ignore_is_deep(p, i, ignore_stars(p, i))) ignore_add(r, next, i, c == '/');
        break;
    case '?':
        if (c != '/') ignore_add(r, next, i + 1, c == '/');
        break;
    case '[':
        if (ignore_bracket(p, i + 1, (uint8_t)c, &end) && c != '/') ignore_add(r, next, end, c == '/');
        break;
    case '\\':
        if (i + 1 < p.len && p.ptr[i + 1] == c) ignore_add(r, next, i + 2, c == '/');
        break;
    default:
        if (i < p.len && p.ptr[i] == c) ignore_add(r, next, i + 1, c == '/');
    }
}

static bool ignore_glob(wf_str pattern, wf_str text) {
    ignore_run r;
    ignore_set set[2];
    r.pattern = pattern;
    r.turn = 1;
    memset(r.mark, 0, (pattern.len + 1) * sizeof r.mark[0]);
    set[0].n = set[1].n = 0;
    ignore_add(&r, &set[0], 0, true);
    for (size_t k = 0; k < text.len; k++) {
        const ignore_set *now = &set[k & 1];
        ignore_set *next = &set[~k & 1];
        next->n = 0;
        r.turn++;
        for (uint32_t i = 0; i < now->n; i++)
            ignore_step(&r, next, now->at[i], text.ptr[k]);
        if (next->n == 0) return false;
    }
    return r.mark[pattern.len] == r.turn;
}

/* ---- rules ---- */

static bool ignore_ends(wf_str text, wf_str tail) {
    return text.len >= tail.len && memcmp(text.ptr + text.len - tail.len, tail.ptr, tail.len) == 0;
}

static bool ignore_matches(const wfi_ignore_rule *rule, wf_str path, wf_str name) {
    wf_str text = (rule->flags & IGNORE_NAME) != 0 ? name : path, p = rule->pattern;
    if (p.len == 0) return false;
    if ((rule->flags & IGNORE_PLAIN) != 0) return text.len == p.len && ignore_ends(text, p);
    if ((rule->flags & IGNORE_TAIL) != 0) return ignore_ends(text, wf_str_of(p.ptr + 1, p.len - 1));
    return ignore_glob(p, text);
}

bool wfi_ignored(const wfi_ignore *level, wf_str path, bool dir) {
    size_t from = path.len;
    while (from > 0 && path.ptr[from - 1] != '/')
        from--;
    wf_str name = wf_str_of(path.ptr + from, path.len - from);
    for (; level != NULL; level = level->up) {
        wf_str below = wf_str_of(path.ptr + level->base, path.len - level->base);
        for (uint32_t i = level->count; i > 0; i--) {
            const wfi_ignore_rule *rule = &level->rule[i - 1];
            if ((rule->flags & IGNORE_DIR) != 0 && !dir) continue;
            if (ignore_matches(rule, below, name)) return (rule->flags & IGNORE_NOT) == 0;
        }
    }
    return false;
}

/* ---- files of rules ---- */

/* The line without blanks at its end, but one behind a backslash. */
static wf_str ignore_trim(wf_str line) {
    size_t n = 0;
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] == ' ') continue;
        i += line.ptr[i] == '\\';
        n = i < line.len ? i + 1 : line.len;
    }
    return wf_str_of(line.ptr, n);
}

static bool ignore_has(wf_str text, const char *any) {
    for (size_t i = 0; i < text.len; i++)
        if (strchr(any, text.ptr[i]) != NULL) return true;
    return false;
}

/* False: the line holds no rule. */
static bool ignore_parse(wf_str line, wfi_ignore_rule *rule) {
    rule->flags = 0;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') line.len--;
    const char *zero = line.len > 0 ? memchr(line.ptr, '\0', line.len) : NULL;
    if (zero != NULL) line.len = (size_t)(zero - line.ptr);
    if (line.len == 0 || line.ptr[0] == '#') return false;
    line = ignore_trim(line);
    if (line.len > 0 && line.ptr[0] == '!') {
        rule->flags |= IGNORE_NOT;
        line = wf_str_of(line.ptr + 1, line.len - 1);
    }
    if (line.len > 0 && line.ptr[line.len - 1] == '/') {
        rule->flags |= IGNORE_DIR;
        line.len--;
    }
    if (!ignore_has(line, "/")) rule->flags |= IGNORE_NAME;
    if (line.len > 0 && line.ptr[0] == '/') line = wf_str_of(line.ptr + 1, line.len - 1);
    if (!ignore_has(line, "*?[\\")) rule->flags |= IGNORE_PLAIN;
    if ((rule->flags & IGNORE_NAME) != 0 && line.len > 0 && line.ptr[0] == '*' &&
        !ignore_has(wf_str_of(line.ptr + 1, line.len - 1), "*?[\\"))
        rule->flags |= IGNORE_TAIL;
    rule->pattern = line;
    return line.len > 0 && line.len <= WFI_IGNORE_PATTERN;
}

/* Takes the next line off *text. */
static wf_str ignore_line(wf_str *text) {
    const char *newline = memchr(text->ptr, '\n', text->len);
    size_t n = newline != NULL ? (size_t)(newline - text->ptr) : text->len;
    wf_str line = wf_str_of(text->ptr, n);
    n += newline != NULL;
    *text = wf_str_of(text->ptr + n, text->len - n);
    return line;
}

const wfi_ignore *wfi_ignore_load(const wfi_ignore *up, int fd, size_t base, char *room, size_t size, size_t *used) {
    size_t at = (*used + 7) & ~(size_t)7, most = size > at ? size - at : 0;
    if (most <= sizeof(wfi_ignore)) return up;
    wfi_ignore *level = (wfi_ignore *)(void *)(room + at);
    at += sizeof *level;
    most -= sizeof *level;
    wf_str text = wf_str_of(room + at, wfi_sys_read(fd, room + at, most < WFI_IGNORE_FILE ? most : WFI_IGNORE_FILE));
    at = (at + text.len + 7) & ~(size_t)7;
    if (text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0) text = wf_str_of(text.ptr + 3, text.len - 3);
    wfi_ignore_rule *rule = (wfi_ignore_rule *)(void *)(room + at);
    uint32_t count = 0;
    while (text.len > 0) {
        if (at + (count + 1) * sizeof *rule > size) return up;
        count += ignore_parse(ignore_line(&text), &rule[count]);
    }
    if (count == 0) return up;
    *level = (wfi_ignore){up, base, rule, count};
    *used = at + count * sizeof *rule;
    return level;
}
