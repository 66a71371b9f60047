/* client: the HTTP/1.1 client over wf_net_ops: exchanges by lane, over the kept connections of pool.h, through a proxy or not. See
 * client.c; the public face is wf_http in src/api/net.h and in http.c. */
#ifndef WFI_CLIENT_H
#define WFI_CLIENT_H

#include "pool.h"
#include "headers.h"
#include "parse.h"

#define WFI_CLIENT_IN    2048u /* bytes of a head, and of the body's beginning, that are read at a time */
#define WFI_CLIENT_OUT   4096u /* the least that one write takes along with a head */
#define WFI_CLIENT_ERROR 768u

typedef enum wfi_phase {
    WFI_PHASE_NONE,   /* no exchange */
    WFI_PHASE_TUNNEL, /* a proxy is asked for a tunnel */
    WFI_PHASE_SEND,   /* the head, then the body goes out */
    WFI_PHASE_HEAD,   /* the head of the response comes in */
    WFI_PHASE_BODY,
    WFI_PHASE_DONE,  /* the response is complete */
    WFI_PHASE_BROKEN /* only `end` is left */
} wfi_phase;

typedef struct wfi_client_lane {
    wfi_phase phase;
    uint32_t conn; /* WFI_NO_CONN: none (yet) */
    wf_http_call call;
    wfi_url url;
    bool reused;        /* the connection has carried a request before */
    bool fresh;         /* the one before was dead: the next request must not meet such a one again */
    bool spared;        /* the request had its WF_E_STALE before: a loss is WF_E_IO now */
    bool head_sent;     /* all of the request's head is written */
    bool answered;      /* the status of the response is known */
    bool heard;         /* some byte of an answer has come */
    bool extra;         /* bytes have come that belong to no answer */
    uint64_t head_at;   /* bytes of the request's head that are written */
    uint64_t body_left; /* bytes of its body that are not */
    uint64_t sent_at;   /* when the last byte of the request was */
    wfi_parser reader;
    uint32_t in_at, in_len; /* what of `in` has not been read */
    wfi_headers response;
    uint32_t error_len;
    char error[WFI_CLIENT_ERROR];
    char in[WFI_CLIENT_IN];
} wfi_client_lane;

/* What wf_http_add makes: the ctx of a provider. */
typedef struct wfi_endpoint {
    wf_http *http;
    wf_endpoint endpoint;
    wf_rates rates;
} wfi_endpoint;

#define WFI_PROXY_USER_MAX 255u

struct wf_http {
    wf_http_config config; /* with its defaults filled in */
    wfi_pool pool;
    wfi_client_lane *lanes;
    wfi_endpoint *endpoints;
    uint32_t endpoint_count;
    wf_http_stats stats; /* `connections` is the pool's */
    wfi_url proxy;       /* no host: none */
    uint32_t credential_len;
    char credential[(WFI_PROXY_USER_MAX + 1 + 2) / 3 * 4]; /* proxy user and password, in base64 */
    char out[WFI_CLIENT_OUT];                              /* what is being written; nobody's between two calls */
};

/* Why a call could not be sent, NULL: it can. */
WFI const char *wfi_client_check(const wf_http *http, const wf_http_call *call, wfi_url *url);

#endif
