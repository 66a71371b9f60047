/* parse: HTTP/1.1 messages (RFC 9112) as text: a response read as its bytes come, and what may stand in
 * the head of a request. No I/O, no allocation, nothing kept but what the structs hold. */
#ifndef WFI_PARSE_H
#define WFI_PARSE_H

#include "../base/base.h"

/* ---- responses ---- */
#define WFI_PARSE_NAME_MAX  64u    /* longer header names are passed over */
#define WFI_PARSE_VALUE_MAX 512u   /* longer values are cut, and say so */
#define WFI_PARSE_HEAD_MAX  65536u /* bytes of a head, with those of the 1xx before it and the trailers after it */
#define WFI_PARSE_LINES_MAX 200u   /* ... and lines */

typedef enum wfi_parse_event {
    WFI_PARSE_MORE,   /* all input is used up */
    WFI_PARSE_STATUS, /* the status line is complete: `status` */
    WFI_PARSE_HEADER, /* a header is complete: `name` (in lower case), `value`, `cut` */
    WFI_PARSE_HEAD,   /* the head is complete; never for 1xx, which are passed over (all but 101) */
    WFI_PARSE_BODY,   /* `body` is the next piece of the body: a slice of the input */
    WFI_PARSE_END,    /* the response is complete; what input is left does not belong to it */
    WFI_PARSE_BAD     /* not HTTP, or over a limit: `why` (constant) */
} wfi_parse_event;

typedef struct wfi_parser {
    uint32_t status;
    wf_str name, value; /* live until the next call */
    bool cut;
    wf_str body;
    const char *why;
    bool keep;     /* after END: the connection may carry another request */
    bool bodiless; /* to be set after begin: it answers HEAD, so no body follows (RFC 9110, 9.3.2) */
    /* private */
    uint32_t state, head_bytes, lines, chunk_bytes, digits, name_len, value_len;
    bool tunnel, cr, trailer, chunked, has_length, http10, closing, keep_alive;
    uint64_t left; /* bytes of the body, or of its chunk */
    char name_buf[WFI_PARSE_NAME_MAX], value_buf[WFI_PARSE_VALUE_MAX];
} wfi_parser;

/* tunnel: the response to CONNECT, which has no body if it is 2xx (RFC 9110, 9.3.6). */
WFI void wfi_parse_begin(wfi_parser *r, bool tunnel);
/* Reads on in p[0..n); *used says how far it got. Stops after each event. */
WFI wfi_parse_event wfi_parse_read(wfi_parser *r, const char *p, size_t n, size_t *used);
/* The connection was closed by the peer: END if that is how this response may end, else BAD. */
WFI wfi_parse_event wfi_parse_eof(wfi_parser *r);

/* Of a response whose head was read: only the end of its connection ends it. */
WFI bool wfi_parse_open_ended(const wfi_parser *r);

/* ---- requests ---- */
/* Whether bytes may stand in a header's value (no control characters but tab), or are a header's name. */
WFI bool wfi_parse_value_ok(wf_str value);
WFI bool wfi_parse_name_ok(wf_str name);

#endif
