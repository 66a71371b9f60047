/* toolcalls: the tool calls that a task has under way, each on a ticket of the platform's. It decides nothing: which calls may run
 * together is the agent's business.
 *
 * Invariants:
 *   1. The first call has the ticket that is numbered like the task's lane and always free for it; those that run beside it have
 *      spare ones, as long as there are any. So no task waits for another's tools.
 *   2. Calls are answered in the order in which they were begun, and none is begun while some of those before are answered already.
 *   3. A ticket that was begun is ended once, before what its call points to goes away. */
#ifndef WFI_TOOLCALLS_H
#define WFI_TOOLCALLS_H

#include "task.h"

WFI void wfi_spares_carve(wfi_spares *s, wfi_arena *a, const wf_config *config);

/* Whether some call is begun and not ended. */
static inline bool wfi_toolcalls_runs(const wfi_task *t) {
    return t->ended < t->begun;
}
/* Whether one more can be begun now. */
WFI bool wfi_toolcalls_room(const wfi_runtime *rt, const wfi_task *t);
/* Begins it; there must be room. Not WF_OK: it could not be, and nothing has changed. */
WFI wf_status wfi_toolcalls_begin(wfi_runtime *rt, wfi_task *t, const wf_tool_call *call);
/* What became of the first that runs; WF_AGAIN: nothing yet. */
WFI wf_status wfi_toolcalls_result(const wfi_runtime *rt, const wfi_task *t, wf_tool_result *out);
/* Ends the first that runs, whatever it is doing. */
WFI void wfi_toolcalls_end(wfi_runtime *rt, wfi_task *t);
/* The task makes no more of them. */
WFI void wfi_toolcalls_leave(const wfi_runtime *rt, const wfi_task *t);
/* Whose ticket it is: a lane, or another task's number; any, if it is nobody's now. */
WFI uint32_t wfi_toolcalls_task(const wfi_runtime *rt, uint32_t ticket);

#endif
