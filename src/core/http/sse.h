/* sse: server-sent events (WHATWG HTML, 9.2) as the vendors' libraries read them: bytes in, one event at a time out. */
#ifndef WFI_SSE_H
#define WFI_SSE_H

#include "../base/heap.h"

#define WFI_SSE_NAME_MAX 64u /* longer event names are cut */

typedef struct wfi_sse {
    wf_str event, data; /* of the event just read; live until the next call */
    bool named;         /* an event name was there (it may be empty) */
    /* private */
    wfi_heap *heap;
    wfi_buf gathered; /* data lines of the event under way, joined */
    size_t max;
    uint32_t place, flags, field_len, name_len;
    char field[8]; /* the line's field name, as far as it matters */
    char name[WFI_SSE_NAME_MAX];
} wfi_sse;

/* max: bytes of one event's data. Memory comes from the heap as it is needed; what an unusually large event took is given back
 * before the next one. */
WFI void wfi_sse_begin(wfi_sse *s, wfi_heap *heap, size_t max);
/* Reads on in p[0..n); *used says how far it got. WF_OK: an event is complete; WF_AGAIN: all is used up; WF_E_MEMORY and
 * WF_E_LIMIT are final. An event that has no blank line after it when the input ends is never complete, and so is dropped.
 * What is no UTF-8 is made so with U+FFFD. */
WFI wf_status wfi_sse_read(wfi_sse *s, const char *p, size_t n, size_t *used);
WFI void wfi_sse_free(wfi_sse *s); /* may be called twice */

#endif
