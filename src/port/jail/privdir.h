/* scratch: a directory for one command alone, with a home, a tmp, a shm (jail.c) and an empty directory in it, and its removal whatever the
 * command left there: trees deeper than descriptors or paths reach, directories without permissions. */
#ifndef WFI_SCRATCH_H
#define WFI_SCRATCH_H

#include "../os/sys.h"

#define WFI_SCRATCH_PATH 512 /* bytes of the longest path in it that we name */

typedef struct wfi_scratch {
    int fd; /* -1: there is none */
    char path[WFI_SCRATCH_PATH];
} wfi_scratch;

/* In $TMPDIR, or /tmp. False with errno: nothing was made. */
WFI bool wfi_scratch_make(wfi_scratch *s);
/* path and "/" and name. */
WFI void wfi_scratch_name(const wfi_scratch *s, const char *name, char out[WFI_SCRATCH_PATH]);
/* Nobody may be at work in it any more. */
WFI void wfi_scratch_remove(wfi_scratch *s);

#endif
