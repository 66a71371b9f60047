/* kept: a file for all that a command prints, made when it is more than its gather.h keeps, in the tmp of
 * its private directory, for later commands of its agent. No malloc, no stdio: it runs in forked children. */
#ifndef WFI_KEPT_H
#define WFI_KEPT_H

#include "gather.h"

#define WFI_KEPT_MOST ((uint64_t)64 << 20)  /* bytes of one such file, */
#define WFI_KEPT_ALL  ((uint64_t)256 << 20) /* ... and of all in the directory */

typedef enum wfi_kept_state {
    WFI_KEPT_UNNEEDED = 0, /* all is in the buffer */
    WFI_KEPT_WHOLE,
    WFI_KEPT_BEGINNING, /* what came first, up to the bound */
    WFI_KEPT_CROWDED,   /* nothing: there are too many such files */
    WFI_KEPT_FAILED     /* nothing: errno says why */
} wfi_kept_state;

typedef struct wfi_kept {
    wfi_kept_state state;
    int error, fd; /* fd: if it is WHOLE */
    uint64_t len, most;
    char name[32]; /* in tmp */
} wfi_kept;

/* Takes what g is about to take. own: the private directory; stream: "out" or "err". */
WFI void wfi_kept_add(wfi_kept *k, int own, const char *stream, const wfi_gather *g, const char *from, size_t n);
/* No more comes. */
WFI void wfi_kept_end(wfi_kept *k);

#endif
