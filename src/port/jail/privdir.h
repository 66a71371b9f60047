/* privdir: the private directory of one command, with a home, a tmp, a shm (jail.c) and an empty
 * directory in it, and its removal whatever the command left there: trees deeper than descriptors
 * or paths reach, directories without permissions. */
#ifndef WFI_PRIVDIR_H
#define WFI_PRIVDIR_H

#include "../os/sys.h"

#define WFI_PRIVDIR_PATH 512 /* bytes of the longest path in it that we name */

typedef struct wfi_privdir {
    int fd; /* -1: there is none */
    char path[WFI_PRIVDIR_PATH];
} wfi_privdir;

/* In $TMPDIR, or /tmp. False with errno: nothing was made. */
WFI bool wfi_privdir_make(wfi_privdir *d);
/* path and "/" and name. */
WFI void wfi_privdir_name(const wfi_privdir *d, const char *name, char out[WFI_PRIVDIR_PATH]);
/* Nobody may be at work in it any more. */
WFI void wfi_privdir_remove(wfi_privdir *d);

#endif
