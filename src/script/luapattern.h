/* luapattern: Lua 5.4's patterns, matched in slices of bounded work.
 *
 * The matcher backtracks with a trail of its own instead of the C stack, so it can pause anywhere and go on later: an
 * expensive pattern blocks nobody. It knows nothing of Lua states. Texts and patterns are borrowed for its life.
 *
 * Differences from the stock matcher: classes are ASCII whatever the locale; at most WFI_LUAPATTERN_TRAIL choices and
 * captures may be open at once (stock counts its C calls instead, to the same number). */
#ifndef WFI_LUAPATTERN_H
#define WFI_LUAPATTERN_H

#include "../api/core.h"

#ifndef WFI
#define WFI extern
#endif

#define WFI_LUAPATTERN_CAPTURES 32u
#define WFI_LUAPATTERN_TRAIL    200u
#define WFI_LUAPATTERN_NOWHERE  SIZE_MAX

/* Lengths of captures that are no lengths. */
#define WFI_LUAPATTERN_OPEN     SIZE_MAX
#define WFI_LUAPATTERN_POSITION (SIZE_MAX - 1)

typedef enum wfi_luapattern_status {
    WFI_LUAPATTERN_MATCH,  /* start, end and capture[0..captures) tell what */
    WFI_LUAPATTERN_NONE,   /* no match from here on */
    WFI_LUAPATTERN_PAUSED, /* the slice is used up: run it again */
    WFI_LUAPATTERN_BAD     /* the pattern is malformed: error tells why */
} wfi_luapattern_status;

/* What to do when the match under way fails: undo a step, or try another choice. */
typedef struct wfi_luapattern_undo {
    enum {
        WFI_LUAPATTERN_UNDO_OPEN,  /* forget the last capture */
        WFI_LUAPATTERN_UNDO_CLOSE, /* open capture number `low` again */
        WFI_LUAPATTERN_GROWING,    /* a greedy repeat still takes what it can */
        WFI_LUAPATTERN_GREEDY,     /* give back one character, down to `low` */
        WFI_LUAPATTERN_LAZY        /* take one character more */
    } kind;
    size_t low, at;     /* in the text */
    size_t item, after; /* in the pattern: the repeated item, what follows its quantifier */
} wfi_luapattern_undo;

typedef struct wfi_luapattern {
    wf_str text, pattern;
    size_t start;  /* where the attempt under way began */
    size_t end;    /* of the match */
    size_t last;   /* a match that ends here does not count; WFI_LUAPATTERN_NOWHERE: all count */
    bool plain;    /* the pattern is just text */
    bool anchored; /* only one attempt */
    bool trying;   /* an attempt is under way: s and p hold */
    size_t s, p;
    int64_t left; /* work left in this slice; may end a little below zero */
    const char *error;
    uint32_t captures, depth;
    struct {
        size_t at, len;
    } capture[WFI_LUAPATTERN_CAPTURES];
    wfi_luapattern_undo trail[WFI_LUAPATTERN_TRAIL];
} wfi_luapattern;

/* Begins a search for the first match at or after `start` (<= text.len). `anchors`: a leading ^ is an anchor. */
WFI void wfi_luapattern_init(wfi_luapattern *m, wf_str text, wf_str pattern, size_t start, bool plain, bool anchors);
/* Works on it for about `slice` elementary comparisons. */
WFI wfi_luapattern_status wfi_luapattern_run(wfi_luapattern *m, int64_t slice);

#endif
