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
 *      Lost is, of a request of which nothing was heard, all of its reservation; of a reply that began, its input and what had come
 *      of it, as its usage says or its bytes, rounded up. The rest of such a reservation is not held, or a few broken replies would
 *      end a run that has used up little; it is summed up in `more` and shown: so much may be billed beyond the budget at most.
 *   4. What a log's ceiling lies above the replies that it holds is lost to a resumed run. After an end in good order, that is what
 *      was lost before; after a kill, also what was under way and the little ahead; after a power cut, also what was under way
 *      not long before.
 *   5. What a reply does not say of its tokens is estimated from its bytes and the request's, rounded up and at most what was set
 *      aside for it, and marked so. Of providers without prices nothing is estimated: what they do not say is nothing.
 *   6. A request whose worst case a budget does not cover is sent with lower max_tokens, if at least BUDGET_LEAST fit and no other
 *      request is under way whose end could make room. A reply that is cut there fails its agent for the budget. */
#ifndef WFI_BUDGET_H
#define WFI_BUDGET_H

#include "task.h"

#define WFI_BUDGET_MEND "resume with a higher --budget-usd or --budget-tokens"

/* Sets the cost of the task's next request aside. WFI_PACE_MORE: it may be sent now; DURABLE: when the log is durable up to
 * t->durable; BUDGET: others must settle first; STOPPED: the budget is spent, and the run stops; BROKEN: the log failed. */
WFI wfi_pace wfi_budget_reserve(wfi_runtime *rt, wfi_task *t, uint64_t body_len);
/* Lowers t->fitted to what is left near the end of a budget; answers whether it did, and the body is to be begun anew. */
WFI bool wfi_budget_fit(const wfi_runtime *rt, wfi_task *t, uint64_t body_len);
/* Completes what a reply with so many bytes of content says of its usage: its tokens, if it does not tell, and its cost. */
WFI void wfi_budget_complete(const wfi_task *t, uint64_t bytes, uint64_t write_1h, wf_usage *usage);
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
