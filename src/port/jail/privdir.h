/* privdir: a private directory of commands, with a home, a tmp, a shm (jail.c) and an empty
 * directory in it, and its removal whatever commands left there: trees deeper than descriptors
 * or paths reach, directories without permissions. It belongs to one command, or to those of an
 * agent one after the other (keeper.h). */
#ifndef WFI_PRIVDIR_H
#define WFI_PRIVDIR_H

#include "../os/sys.h"

#define WFI_PRIVDIR_PATH 512 /* bytes of the longest path in it that we name */
#define WFI_PRIVDIR_ROOM 24u /* of it, for a name inside */

typedef struct wfi_privdir {
    int fd; /* -1: there is none */
    char path[WFI_PRIVDIR_PATH];
} wfi_privdir;

/* A new path in $TMPDIR, or /tmp, with `digits` random ones behind "wf-". False: with errno. */
WFI bool wfi_privdir_choose(char path[WFI_PRIVDIR_PATH], size_t digits);
/* Makes one. False with errno: nothing was made. */
WFI bool wfi_privdir_make(wfi_privdir *d);
/* Opens the one at that path, making it and what must be in it if it is not there, or if a command
 * has put something else in its place. Until it is closed others see that it is in use. False: with
 * errno. */
WFI bool wfi_privdir_enter(wfi_privdir *d, const char *path);
WFI void wfi_privdir_leave(wfi_privdir *d);
/* Opens one that is there, to remove it; false: there is none, or (EWOULDBLOCK) it is in use. */
WFI bool wfi_privdir_claim(wfi_privdir *d, const char *path);
/* path and "/" and name. */
WFI void wfi_privdir_name(const wfi_privdir *d, const char *name, char out[WFI_PRIVDIR_PATH]);
/* Nobody may be at work in it any more. */
WFI void wfi_privdir_remove(wfi_privdir *d);

#endif
