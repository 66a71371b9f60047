/* retry: whether a failure calls for another try, and after how long; agent.c and limiter.c decide.
 * All providers share it. Pure functions. */
#ifndef WFI_RETRY_H
#define WFI_RETRY_H

#include "../base/base.h"

/* Whether a response with this status calls for another try. should_retry: 1, 0, or -1 for not said. */
WFI bool wfi_retry_wanted(uint32_t status, int32_t should_retry);
/* The wait that a refusal speaks of in its text ("try again in 3.2s", "retry after 20 seconds"), in
 * ms; -1: it speaks of none. Who writes a text for people promises nothing: it is a hint, and never
 * more than a minute. */
WFI int64_t wfi_retry_hint(wf_str text);
/* Whether a refusal's text says that what is used up was paid for: waiting does not help then. */
WFI bool wfi_retry_is_spent(wf_str text);
/* Milliseconds before retry number n (from 0): what was asked for, or 0.5 s doubled each time up to 8 s, shortened by up to a quarter.
 * random: 0 .. 2^32-1, the larger the shorter. */
WFI uint64_t wfi_retry_wait(uint32_t n, int64_t asked_ms, uint32_t random);

#endif
