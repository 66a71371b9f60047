/* date: times as text in headers. Pure functions. */
#ifndef WFI_DATE_H
#define WFI_DATE_H

#include "base.h"

/* A date of HTTP (RFC 9110, 5.6.7), as milliseconds since 1970, which may be negative; false: it is none. */
WFI bool wfi_http_date(wf_str text, int64_t *ms);
/* A time of RFC 3339, as milliseconds since 1970; false: it is none, or before 1970. */
WFI bool wfi_rfc3339(wf_str text, uint64_t *ms);
/* "2026-11-30 12:04:10 UTC", for people, unterminated; answers its length. */
#define WFI_DATE_TEXT 32u
WFI size_t wfi_date_text(uint64_t ms, char out[WFI_DATE_TEXT]);

#endif
