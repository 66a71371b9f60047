/* keeper: the private directories of a run's agents, below one of the run's, and the child that
 * removes them: each when its agent has ended, all when this process has, however that came about.
 *
 * Invariants:
 *   1. A directory is removed when it was dropped and no command is at work in it (privdir.h).
 *   2. The child outlives this process for as long as the removal takes, and gets no signal of a
 *      terminal. It is made early, while there is little memory to share with it.
 *   3. Nothing here blocks but wfi_keeper_close. */
#ifndef WFI_KEEPER_H
#define WFI_KEEPER_H

#include "child.h"
#include "privdir.h"

typedef struct wfi_keeper {
    wfi_children child; /* one */
    int ask[2];         /* numbers of directories to be removed; both ends, so that none is broken */
    uint32_t last;      /* number given out; 0: the run's directory is not made yet */
    char base[WFI_PRIVDIR_PATH];
} wfi_keeper;

WFI void wfi_keeper_init(wfi_keeper *k); /* one that keeps nothing */
/* Starts the child. What goes wrong is told by wfi_keeper_new. */
WFI void wfi_keeper_open(wfi_keeper *k);
/* The number of a new directory, which its first command makes; 0: errno says why there is none. */
WFI uint32_t wfi_keeper_new(wfi_keeper *k);
WFI void wfi_keeper_name(const wfi_keeper *k, uint32_t number, char out[WFI_PRIVDIR_PATH]);
/* No command will begin in it any more. */
WFI void wfi_keeper_drop(wfi_keeper *k, uint32_t number);
/* Removes all, whose commands must have been ended. */
WFI void wfi_keeper_close(wfi_keeper *k);

#endif
