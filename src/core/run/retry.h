/* retry: whether a status calls for another try, and after how long; agent.c decides. All providers share it. Pure functions. */
#ifndef WFI_RETRY_H
#define WFI_RETRY_H

#include "../base/base.h"

/* Whether a response with this status calls for another try. should_retry: 1, 0, or -1 for not said. */
WFI bool wfi_retry_wanted(uint32_t status, int32_t should_retry);
/* Milliseconds before retry number n (from 0): what was asked for, or 0.5 s doubled each time up to 8 s, shortened by up to a quarter.
 * random: 0 .. 2^32-1, the larger the shorter. */
WFI uint64_t wfi_retry_wait(uint32_t n, int64_t asked_ms, uint32_t random);

#endif
