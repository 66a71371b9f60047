/* budget: what the requests under way may use up at worst is set aside before they are sent, and settled when they are answered, so
 * that nothing is ever overshot. Reservations are durable: a killed run knows what may have been billed.
 *
 * Invariants:
 *   1. spent + lost + reserved never exceeds the run's budget; of a model that tells its cost only in its replies, one reply may.
 *   2. A request goes out only when its reservation is durable.
 *   3. A reservation ends as nothing (answered, or never sent), or as lost (sent, but the answer never came whole: it may be billed). */
#ifndef WFI_BUDGET_H
#define WFI_BUDGET_H

#include "agent.h"

/* Sets the cost of the task's next request aside. WFI_PACE_MORE: it may be sent now; DURABLE: when the log is durable up to
 * t->durable; BUDGET: others must settle first; STOPPED: the budget is spent, and the run stops; BROKEN: the log failed. */
WFI wfi_pace wfi_budget_reserve(wfi_env *e, wfi_task *t, uint64_t body_len);
/* Why the agent's own budget, or the lack of a price, forbids the next request; NULL: nothing does. */
WFI const char *wfi_budget_forbids(const wfi_env *e, const wfi_task *t, uint64_t body_len);
/* Gives the reservation back; what went out without being answered stays spent. */
WFI void wfi_budget_settle(wfi_env *e, wfi_task *t);
/* Tells the log that what it last saw reserved was answered at no cost; without it a resume would count it as spent. */
WFI wf_status wfi_budget_unreserve(wfi_env *e, const wfi_task *t);

#endif
