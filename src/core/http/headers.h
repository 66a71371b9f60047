/* headers: what the head of a response says to an API's client, put together header by header. Pure functions. */
#ifndef WFI_HEADERS_H
#define WFI_HEADERS_H

#include "../../api/net.h"
#include "../base/base.h"

typedef struct wfi_headers {
    bool packed; /* the body has a content-encoding */
    uint32_t id_rank, type_len, id_len, retry_ms_len, retry_len, date_len;
    int32_t should_retry;
    char type[96], id[128], retry_ms[32], retry[48], date[48];
} wfi_headers;

WFI void wfi_headers_begin(wfi_headers *r);
/* name in lower case; cut: there was more of the value. rates (may be NULL) takes the anthropic-ratelimit headers. */
WFI void wfi_headers_header(wfi_headers *r, wf_str name, wf_str value, bool cut, wf_rates *rates);
/* The slices of *out live as long as r. A date is compared with the response's own, if it has one: wall_ms may be off. */
WFI void wfi_headers_get(const wfi_headers *r, uint32_t status, uint64_t wall_ms, wf_response *out);

/* The wait that a response asks for, in ms, from its headers retry-after-ms and retry-after (empty: absent); the latter is
 * seconds, fractions allowed, or an HTTP date (RFC 9110, 5.6.7), counted from wall_ms. At most some 24 days. -1: it asks for none,
 * or not for one that can be used. */
WFI int64_t wfi_retry_after(wf_str retry_after_ms, wf_str retry_after, uint64_t wall_ms);

#endif
