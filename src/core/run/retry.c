/* retry: the vendors' libraries agree on when to try again and for how long to wait; this is that policy, to the letter.
 *
 * Contract: retry.h. Nothing is kept. */
#include "retry.h"

#define RETRY_FIRST_MS 500u
#define RETRY_DOUBLED  4u /* times: 8 s */

WFI bool wfi_retry_wanted(uint32_t status, int32_t should_retry) {
    if (should_retry >= 0) return should_retry > 0;
    return status == 408 || status == 409 || status == 429 || status >= 500;
}

WFI uint64_t wfi_retry_wait(uint32_t n, int64_t asked_ms, uint32_t random) {
    if (asked_ms > 0) return (uint64_t)asked_ms;
    uint64_t ms = (uint64_t)RETRY_FIRST_MS << (n < RETRY_DOUBLED ? n : RETRY_DOUBLED);
    return ms - ((ms * random + (UINT64_C(1) << 33)) >> 34); /* a quarter of random / 2^32, rounded */
}
