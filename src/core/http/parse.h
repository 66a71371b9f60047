/* http: HTTP/1.1 messages (RFC 9112) as text: addresses, the head of a request, and a response read as its bytes come. No I/O, no
 * allocation, nothing kept but what the structs hold. Addresses are in url.c, messages in http.c. */
#ifndef WFI_HTTP_H
#define WFI_HTTP_H

#include "../../api/net.h"
#include "../base/base.h"

/* ---- addresses: scheme://host[:port][/path], no user, no query, no fragment ---- */
typedef struct wfi_url {
    bool tls;
    wf_str host; /* without the brackets of an IPv6 address */
    bool bracketed;
    uint32_t port;
    wf_str path;     /* "" or begins with "/"; no "/" at its end */
    wf_str userinfo; /* user[:password]; only proxies may have it */
} wfi_url;
/* WF_E_CONFIG: *why (constant) says what is wrong with it. */
WFI wf_status wfi_url_parse(wf_str text, wfi_url *out, const char **why);
/* Whether a host is this machine: localhost, *.localhost, 127/8, ::1. */
WFI bool wfi_host_is_loopback(wf_str host);
/* Whether a list like NO_PROXY covers the host. */
WFI bool wfi_host_is_listed(wf_str list, wf_str host, uint32_t port);
/* Whether two names are the same but for the case of ASCII letters. */
WFI bool wfi_same_name(wf_str a, wf_str b);

/* ---- responses ---- */
#define WFI_HTTP_NAME_MAX  64u    /* longer header names are passed over */
#define WFI_HTTP_VALUE_MAX 512u   /* longer values are cut, and say so */
#define WFI_HTTP_HEAD_MAX  65536u /* bytes of a head, with those of the 1xx before it and the trailers after it */
#define WFI_HTTP_LINES_MAX 200u   /* ... and lines */

typedef enum wfi_http_event {
    WFI_HTTP_MORE,   /* all input is used up */
    WFI_HTTP_STATUS, /* the status line is complete: `status` */
    WFI_HTTP_HEADER, /* a header is complete: `name` (in lower case), `value`, `cut` */
    WFI_HTTP_HEAD,   /* the head is complete; never for 1xx, which are passed over (all but 101) */
    WFI_HTTP_BODY,   /* `body` is the next piece of the body: a slice of the input */
    WFI_HTTP_END,    /* the response is complete; what input is left does not belong to it */
    WFI_HTTP_BAD     /* not HTTP, or over a limit: `why` (constant) */
} wfi_http_event;

typedef struct wfi_http_reader {
    uint32_t status;
    wf_str name, value; /* live until the next call */
    bool cut;
    wf_str body;
    const char *why;
    bool keep; /* after END: the connection may carry another request */
    /* private */
    uint32_t state, head_bytes, lines, chunk_bytes, digits, name_len, value_len;
    bool tunnel, cr, trailer, chunked, has_length, http10, closing, keep_alive;
    uint64_t left; /* bytes of the body, or of its chunk */
    char name_buf[WFI_HTTP_NAME_MAX], value_buf[WFI_HTTP_VALUE_MAX];
} wfi_http_reader;

/* tunnel: the response to CONNECT, which has no body if it is 2xx (RFC 9110, 9.3.6). */
WFI void wfi_http_begin(wfi_http_reader *r, bool tunnel);
/* Reads on in p[0..n); *used says how far it got. Stops after each event. */
WFI wfi_http_event wfi_http_read(wfi_http_reader *r, const char *p, size_t n, size_t *used);
/* The connection was closed by the peer: END if that is how this response may end, else BAD. */
WFI wfi_http_event wfi_http_eof(wfi_http_reader *r);

/* ---- requests ---- */
/* Whether bytes may stand in a header's value (no control characters but tab), or are a header's name. */
WFI bool wfi_http_value_ok(wf_str value);
WFI bool wfi_http_name_ok(wf_str name);

#endif
