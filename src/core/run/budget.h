/* budget: what the requests under way may use up at worst is set aside before they are sent, and settled when they are answered, so
 * that nothing is ever overshot. What may have been billed is known to a killed run by a ceiling in its log: no more can have been
 * used up than it says. It is raised ahead of need, a little, so that few requests wait for a sync.
 *
 * Invariants:
 *   1. spent + lost + reserved never exceeds the run's budget. One reply may whose cost nobody can know before: of a model that tells
 *      it only in its replies, or with tools that the provider runs itself.
 *   2. spent + lost + reserved never exceeds the ceiling, and a request goes out only when the ceiling above it is durable.
 *   3. A reservation ends as nothing (answered, or its last byte is not out), or as lost (the model has the whole request, but the
 *      answer never came whole: it may be billed). Also if the same request is then sent again at once.
 *   4. What a log's ceiling lies above the replies that it holds is lost to a resumed run. After an end in good order, that is what
 *      was lost before; after a kill, also what was under way and the little ahead; after a power cut, also what was under way
 *      not long before. */
#ifndef WFI_BUDGET_H
#define WFI_BUDGET_H

#include "task.h"

/* Sets the cost of the task's next request aside. WFI_PACE_MORE: it may be sent now; DURABLE: when the log is durable up to
 * t->durable; BUDGET: others must settle first; STOPPED: the budget is spent, and the run stops; BROKEN: the log failed. */
WFI wfi_pace wfi_budget_reserve(wfi_runtime *rt, wfi_task *t, uint64_t body_len);
/* Why the agent's own budget, or the lack of a price, forbids the next request; NULL: nothing does. */
WFI const char *wfi_budget_forbids(const wfi_runtime *rt, const wfi_task *t, uint64_t body_len);
/* Gives the reservation back; what may have been billed, by t->fate, stays spent. */
WFI void wfi_budget_settle(wfi_runtime *rt, wfi_task *t);
/* The run has nothing to do for a while: takes the ceiling down if it is higher than it was raised ahead of need. Unlike a raise
 * this waits for no sync: a log that does not have it yet says too much, never too little. */
WFI wf_status wfi_budget_rest(wfi_runtime *rt);
/* Nothing is under way any more, and the run ends: takes it down to what was spent and lost. */
WFI wf_status wfi_budget_close(wfi_runtime *rt);

#endif
