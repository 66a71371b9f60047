/* tools: the platform's tool ops. A ticket goes FREE -> WAITING (for a place among its kind of children) -> RUNNING ->
 * DONE -> FREE, or straight to DONE when the work is small.
 *
 * Invariants:
 *   1. A ticket holds pages of the system from its start to its end, and nothing else does; a descriptor of its cwd it has only
 *      while it starts, for many may wait and few descriptors may be open.
 *      What its agent's commands keep for each other outlives it, until the agent has left.
 *   2. In a crew's `waiting` stand its WAITING tickets, each once. A DONE one that was not yet named stands in `done`, at most
 *      once; what else stands there was ended meanwhile and is passed over.
 *   3. Waiting tickets start in the order in which they came to their crew. A search keeps a processor busy, so few run at a
 *      time; a command mostly waits, and however long some take, no search waits for them. */
#ifndef WFI_TOOLS_H
#define WFI_TOOLS_H

#include "../jail/child.h"
#include "confine.h"
#include "seen.h"
#include "../jail/jail.h"
#include "../jail/keeper.h"
#include "../../api/posix.h"

#define WFI_TOOLS_FDS (2 * WFI_CHILD_MAX)

typedef enum wfi_ticket_state {
    WFI_TICKET_FREE = 0,
    WFI_TICKET_WAITING,
    WFI_TICKET_RUNNING,
    WFI_TICKET_DONE
} wfi_ticket_state;

typedef struct wfi_ticket {
    wfi_ticket_state state;
    uint32_t kind;  /* which tool */
    uint32_t place; /* of its child */
    wf_tool_call call;
    char *pages; /* the answer, then room */
    size_t size;
    wfi_confine *cwd; /* in the pages; NULL: the root, or not open now */
    uint32_t own;     /* the private directory of the agent that has it for its commands; 0: none */
    wf_tool_result result;
    bool in_done;
} wfi_ticket;

typedef struct wfi_ring {
    uint32_t *at; /* `tickets` of them */
    uint32_t head, count;
} wfi_ring;

/* Children for one kind of work, and who waits for one. */
typedef struct wfi_crew {
    wfi_children children;
    uint32_t owner[WFI_CHILD_MAX]; /* ticket of the child in each place */
    wfi_ring waiting;
} wfi_crew;

typedef struct wfi_tools {
    wfi_confine root;
    wfi_crew searches, commands;
    uint32_t tickets, tool_ms;
    uint32_t allow;
    uint64_t absent; /* ms by which deadlines that come from outside are behind the clock of wfi_sys_now_ms */
    wfi_jail jail;   /* if commands are allowed, */
    bool plugged;    /* they would have a network, and must not: nothing is to begin */
    wfi_home home;
    wfi_keeper keeper;
    uint32_t own; /* the private directory of the script's commands; 0: none yet */
    wfi_ticket *ticket;
    wfi_ring done;
    wfi_seen seen;
    char refusal[200];        /* the last one */
    char log[WFI_GUARD_PATH]; /* the run's own; "": it has no name */
} wfi_tools;

/* Bytes that the tables need, 16-aligned. */
WFI size_t wfi_tools_size(uint32_t tickets);
/* config: without zeros that stand for defaults. 0 or an errno: the root cannot be opened. */
WFI int wfi_tools_init(wfi_tools *t, void *tables, const wf_posix_config *config);
WFI void wfi_tools_close(wfi_tools *t);
WFI void wfi_tools_pump(wfi_tools *t);
WFI bool wfi_tools_have_news(wfi_tools *t);
WFI uint64_t wfi_tools_due(const wfi_tools *t, uint64_t now);
/* A deadline on the platform's clock, on that of wfi_sys_now_ms. */
WFI uint64_t wfi_tools_deadline(const wfi_tools *t, uint64_t deadline);
/* Descriptors to wait for; fds has room for WFI_TOOLS_FDS. */
WFI uint32_t wfi_tools_fds(const wfi_tools *t, int *fds);
WFI const wf_tool_ops *wfi_tools_ops(void); /* their ctx is the wfi_tools */
/* See wf_posix_tools. */
WFI uint32_t wfi_tools_list(uint32_t allow, wf_tool *out);

#endif
