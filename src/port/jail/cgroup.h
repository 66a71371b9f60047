/* cgroup: a group of processes whose number the kernel bounds, where we may make one: below our own group of version 2, or of
 * version 1's pids. It is the only bound that holds for root too. */
#ifndef WFI_CGROUP_H
#define WFI_CGROUP_H

#include "../os/sys.h"

#define WFI_CGROUP_PATH 512

typedef struct wfi_cgroup {
    char path[WFI_CGROUP_PATH]; /* "": there is none */
} wfi_cgroup;

/* name: "/" and a name of its own. False: nothing was made. */
WFI bool wfi_cgroup_make(wfi_cgroup *g, const char *name, uint32_t most);
WFI bool wfi_cgroup_join(const wfi_cgroup *g);
/* Whether a process could not be made in it for the bound. */
WFI bool wfi_cgroup_was_full(const wfi_cgroup *g);
/* No process can be made in it from now on. */
WFI void wfi_cgroup_freeze(const wfi_cgroup *g);
WFI void wfi_cgroup_remove(wfi_cgroup *g); /* when it is empty */

#endif
