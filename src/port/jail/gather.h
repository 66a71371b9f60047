/* gather: the head and the tail of a stream, kept in a buffer of the caller's; what came between
 * them is only counted. No malloc, no stdio: it runs in forked children. */
#ifndef WFI_GATHER_H
#define WFI_GATHER_H

#include "../os/sys.h"

typedef struct wfi_gather {
    char *buf;
    size_t cap;
    uint64_t total; /* bytes that came */
} wfi_gather;

WFI void wfi_gather_add(wfi_gather *g, const char *from, size_t n);
/* What was gathered: all of it in head, or the beginning and the end of it, without cut characters,
 * and the number of bytes between them. Once, at the end: it turns the ring round. */
WFI uint64_t wfi_gather_parts(wfi_gather *g, wf_str *head, wf_str *tail);

#endif
