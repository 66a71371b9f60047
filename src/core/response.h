/* response: what the head of a response says to an API's client, put together header by header. Pure functions. */
#ifndef WFI_RESPONSE_H
#define WFI_RESPONSE_H

#include "http.h"

typedef struct wfi_response {
    bool packed; /* the body has a content-encoding */
    uint32_t id_rank, type_len, id_len, retry_ms_len, retry_len;
    int32_t should_retry;
    char type[96], id[128], retry_ms[32], retry[48];
} wfi_response;

WFI void wfi_response_begin(wfi_response *r);
/* name in lower case; cut: there was more of the value. rates (may be NULL) takes the anthropic-ratelimit headers. */
WFI void wfi_response_header(wfi_response *r, wf_str name, wf_str value, bool cut, wf_rates *rates);
/* The slices of *out live as long as r. */
WFI void wfi_response_get(const wfi_response *r, uint32_t status, uint64_t wall_ms, wf_response *out);

/* A time of RFC 3339, as milliseconds since 1970; false: it is none, or before 1970. */
WFI bool wfi_rfc3339(wf_str text, uint64_t *ms);

#endif
