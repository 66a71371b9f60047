/* descendants: the processes that descend from this one, children of children included, found in
 * /proc (Linux) and signalled. Where the system does not tell them (wfi_sys_knows_children) none
 * is found. One that is made while we look may be missed: who wants to end all of them asks again,
 * until nobody is left. No malloc, no stdio: it runs in forked children. */
#ifndef WFI_DESCENDANTS_H
#define WFI_DESCENDANTS_H

#include "../os/sys.h"

#define WFI_DESCENDANTS_MAX 16384u /* reached at a time: more are for the next time */

/* Both answer how many were found; `pids` is room for their work. */

/* Looks no further as soon as there are more than `most`. */
WFI uint32_t wfi_descendants_count(uint32_t pids[WFI_DESCENDANTS_MAX], uint32_t most);
/* Sends the signal to each: SIGKILL as soon as it is found, any other to children before their
 * parents. */
WFI uint32_t wfi_descendants_signal(uint32_t pids[WFI_DESCENDANTS_MAX], int number);

#endif
