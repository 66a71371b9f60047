/* walk: the files below a directory, in the order of their paths' bytes. Links are listed by nobody and followed by
 * nobody; .git and .wf are passed over, and so is what git would not see: by the rules of .gitignore files, from the top of the
 * repository on that the root lies in, of its info/exclude and of the user's own file. Where the walk begins is never passed over: if it is ignored itself, rules from above it do not count. Memory is
 * one block of the caller's, used as a stack; no malloc where the system lets us read directories without it (Linux), so it
 * may run in a forked child. */
#ifndef WFI_WALK_H
#define WFI_WALK_H

#include "confine.h"
#include "ignore.h"

#define WFI_WALK_PATH  4097 /* longer paths are counted as unreadable, as is what lies deeper than the depth */
#define WFI_WALK_DEPTH 128u

typedef struct wfi_walk {
    /* in */
    bool (*enter)(void *ctx, wf_str dir); /* dir ends with '/'; false: pass it over; may be NULL */
    bool (*file)(void *ctx, wf_str path, int dirfd, const char *name); /* false: end the walk */
    void (*unreadable)(void *ctx, wf_str path); /* a directory (ends with '/'; empty: the root), or what did not fit */
    void *ctx;
    char *room; /* 8-aligned */
    size_t size;
    /* out */
    bool ignored; /* rules made it pass something over */
    /* own */
    size_t used;
    char path[2 * WFI_WALK_PATH]; /* from the repository's top; */
    size_t path_len, above;       /* ... so many bytes of it lead to the root */
    const wfi_ignore *rules;
} wfi_walk;

/* Walks the directory fd, which stays open, as does dirfd, the root's descriptor here. Paths begin with `prefix`, the way from the root to
 * fd without links ("" or ending with '/'); one that does not fit is unreadable like any other. */
WFI void wfi_walk_run(wfi_walk *w, const wfi_confine *root, int dirfd, int fd, wf_str prefix);

#endif
