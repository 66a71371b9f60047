/* agent: one agent (or one effect of the script) at work on a lane, as a state machine that never blocks.
 *
 *   RESERVE -> SEND -> HEAD -> BODY -> (turn) -> TOOL ... -> SEND -> ... -> finished
 *                 \______ BACKOFF ______/          INTENT before a tool that changes the world
 *   LIMIT before RESERVE, where the provider's rate limit keeps requests from beginning
 *
 * Its conversation is not in memory: it is a list of offsets of log records (items), and each request's body is streamed from
 * them. In memory are the settings, one reply at a time, and the list. A task that ends without finishing (a stop, a crash)
 * leaves all it has paid for in the log, and a later task for the same slot goes on from there. */
#ifndef WFI_AGENT_H
#define WFI_AGENT_H

#include "task.h"

/* Gives the slot's call to the task: reads its record and the conversation so far. */
WFI wfi_pace wfi_task_start(wfi_runtime *rt, wfi_task *t, const wfi_slots *slots, uint32_t slot_index);
/* One bounded piece of work. */
WFI wfi_pace wfi_task_step(wfi_runtime *rt, wfi_task *t);
/* When the task wants a step even if nothing becomes ready; UINT64_MAX: never. */
WFI uint64_t wfi_task_due(const wfi_task *t);
/* Ends it where it is, unfinished; frees all it holds. */
WFI void wfi_task_drop(wfi_runtime *rt, wfi_task *t);

/* Writes the done record of a slot that has no task (cancelled while queued). */
WFI wf_status wfi_slot_finish(wfi_runtime *rt, wfi_slot *slot, uint32_t slot_index, const wfi_meta_done *done,
                              wf_str value);

#endif
