/* worker: models that are programs, "exec:COMMAND" (wf_posix_workers). A request becomes a spec, JSON for the program's stdin;
 * what it prints becomes a reply of the Messages API; so an agent of this kind is like any other to the core. `wf help agent`
 * has both shapes.
 *
 * A lane goes FREE -> FILLING (the request comes in) -> WAITING (for a place among the children) -> RUNNING -> ANSWERED -> FREE,
 * or straight to ANSWERED when the answer is an error.
 *
 * Invariants:
 *   1. Reading the request, making the spec and waiting for the program are the work of a child (program.h): nothing here
 *      blocks, whatever the program does.
 *   2. When a lane ends before its program, its child is given up, and ends the program with all that descends from it.
 *   3. The command that the user named (`own`) runs as the user would, outside of any jail; any other one needs WF_ALLOW_EXEC
 *      and runs in the jail, as the effect exec does. Neither gets a secret of our environment.
 *   4. A lane holds pages of the system from begin to end, and nothing else does. */
#ifndef WFI_WORKER_H
#define WFI_WORKER_H

#include "../jail/child.h"
#include "../tools/tools.h"

typedef struct wfi_worker_lane wfi_worker_lane;

typedef struct wfi_workers {
    const wfi_tools *tools; /* root, jail, rights */
    const char *own;        /* or NULL */
    uint32_t lanes;
    uint64_t arrivals;
    wfi_worker_lane *lane;
    uint32_t owner[WFI_CHILD_MAX]; /* lane of the child in each place */
    wfi_children children;
} wfi_workers;

/* Bytes that the table needs, 16-aligned. */
WFI size_t wfi_workers_size(uint32_t lanes);
WFI void wfi_workers_init(wfi_workers *w, void *table, const wfi_tools *tools, const wf_posix_config *config);
WFI void wfi_workers_close(wfi_workers *w);
WFI const wf_model_ops *wfi_workers_ops(void); /* their ctx is the wfi_workers */

#endif
