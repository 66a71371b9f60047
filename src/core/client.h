/* client: the HTTP/1.1 client over wf_net_ops: exchanges by lane, a pool of kept connections per origin, proxies. See client.c; the
 * public face is wf_http in api.h. Below is what providers other than one fixed endpoint, and tests, use besides. */
#ifndef WFI_CLIENT_H
#define WFI_CLIENT_H

#include "http.h"

/* One request; slices live until wfi_client_end. */
typedef struct wfi_http_call {
    wf_str method;
    wf_str url;  /* base address */
    wf_str path; /* joined with exactly one "/"; may carry a query */
    const wf_header *headers;
    uint32_t header_count;
    bool has_body;
    uint64_t body_len;
} wfi_http_call;

/* The functions of wf_model_ops for any call; the lane says which exchange. */
WFI wf_status wfi_client_begin(wf_http *http, uint32_t lane, const wfi_http_call *call);
WFI wf_status wfi_client_send(wf_http *http, uint32_t lane, const void *buf, size_t n, size_t *sent);
WFI wf_status wfi_client_head(wf_http *http, uint32_t lane, wf_response *out);
WFI wf_status wfi_client_recv(wf_http *http, uint32_t lane, void *buf, size_t n, size_t *got);
WFI void wfi_client_end(wf_http *http, uint32_t lane);
WFI uint32_t wfi_client_ready(wf_http *http, uint32_t *lanes, uint32_t max);
WFI uint64_t wfi_client_due(wf_http *http);
WFI wf_str wfi_client_error(wf_http *http, uint32_t lane);

#endif
