/* match: regular expressions and file globs, matched in linear time.
 *
 * Both compile to one program for a set of threads that advance together over the text (K. Thompson, "Regular
 * expression search algorithm", CACM 11(6), 1968). Work is bounded by program length times text length whatever the
 * pattern; nothing backtracks and nothing is allocated, so it may run in a forked child.
 *
 * Patterns are POSIX extended ones: . [] [^] [:class:] * + ? {m,n} | () ^ $, plus \d \w \s \D \W \S \b \B \n \t
 * \xHH, backslash escapes inside of [] too, (?:...) and (?i) at the front. Lazy quantifiers are accepted; they find
 * the same lines. Globs: * ? [..] [!..] {a,b}, and ** as a whole name for any number of directories.
 * Text is UTF-8; a byte that is not part of it counts as one character of its own. Case is that of Unicode, one character for one; \d
 * \w \s, \b and the named classes are ASCII. */
#ifndef WFI_MATCH_H
#define WFI_MATCH_H

#include "../../api/core.h"

#ifndef WFI
#define WFI extern
#endif

#define WFI_MATCH_CODE   4096 /* steps of a program */
#define WFI_MATCH_RANGES 1024 /* character ranges of all its classes */

typedef struct wfi_match_step {
    uint8_t op;
    uint32_t a, b; /* see the list of ops in match.c */
} wfi_match_step;

typedef struct wfi_match_set {
    uint32_t n;
    uint16_t at[WFI_MATCH_CODE];
    uint32_t mark[WFI_MATCH_CODE]; /* == the matcher's turn: is in the set */
} wfi_match_set;

/* A compiled pattern, and the room to run it. About 100 KB: not for the stack. */
typedef struct wfi_match {
    uint32_t code_len, range_len;
    bool fold;         /* letters match without case: see fold.h */
    bool begins, ends; /* the text at hand begins a line, ends one */
    size_t end;        /* where the shortest match ends that was found last */
    bool any_first;
    bool first[256]; /* bytes that can begin a match, unless any_first */
    uint32_t turn;
    wfi_match_step code[WFI_MATCH_CODE];
    uint32_t range[WFI_MATCH_RANGES][2];
    wfi_match_set now, next;
    uint16_t stack[WFI_MATCH_CODE * 2];
} wfi_match;

/* NULL, or why the pattern is not valid (constant); *at is where. */
WFI const char *wfi_match_regex(wfi_match *m, wf_str pattern, bool fold, size_t *at);
WFI const char *wfi_match_glob(wfi_match *m, wf_str pattern, size_t *at);

/* The class [:alpha:] or another one that text begins with: its ranges as pairs of bytes, and its length. NULL: none. */
WFI const char *wfi_match_class(wf_str text, size_t *len);

/* Whether the pattern of wfi_match_regex occurs in the line. */
WFI bool wfi_match_search(wfi_match *m, wf_str line);
/* The same for a part of a line: ^ and $ match only where it is the line's begin or end. */
WFI bool wfi_match_part(wfi_match *m, wf_str part, bool begins, bool ends);
/* Whether the character is one that some match of the pattern may need; in a class it is not. */
WFI bool wfi_match_wants(const wfi_match *m, char c);
/* Whether the glob matches the whole path. */
WFI bool wfi_match_whole(wfi_match *m, wf_str path);
/* Whether the glob may match a path that begins with `prefix`. */
WFI bool wfi_match_prefix(wfi_match *m, wf_str prefix);

#endif
