/* caches: where toolchains keep what they have downloaded and built, and the variables that say so.
 * Where commands cannot write to such a place they get one of the run's instead; what the user has
 * is found there through links, or, where the toolchain knows a second place that it only reads,
 * through that.
 *
 * No malloc, no stdio: places are made in a forked child. */
#ifndef WFI_CACHES_H
#define WFI_CACHES_H

#include "../os/sys.h"

#define WFI_CACHES      24   /* variables at most */
#define WFI_CACHES_ROOM 8192 /* bytes of them */

typedef struct wfi_caches {
    const char *env[WFI_CACHES]; /* "NAME=value", for commands; they lie in room */
    uint32_t count;
    size_t used;
    uint32_t places; /* bit i: caches_kinds[i] has a place of the run's */
    char room[WFI_CACHES_ROOM];
} wfi_caches;

/* Decides and names them. home: the user's. all: HOME cannot be written to; else only what lies
 * outside of it, by the user's variables, is moved. dir: a folder of the run's, for the places.
 * writable: a folder that commands may write to (the workspace). */
WFI void wfi_caches_plan(wfi_caches *c, const char *home, bool all, const char *dir, const char *writable);
/* Makes the places in dir (open), once. */
WFI void wfi_caches_make(const wfi_caches *c, const char *home, int dir);

#endif
