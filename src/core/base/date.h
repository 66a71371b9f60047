/* date: times as text in headers. Pure functions. */
#ifndef WFI_DATE_H
#define WFI_DATE_H

#include "base.h"

/* A date of HTTP (RFC 9110, 5.6.7), as milliseconds since 1970, which may be negative; false: it is none. */
WFI bool wfi_http_date(wf_str text, int64_t *ms);
/* A time of RFC 3339, as milliseconds since 1970; false: it is none, or before 1970. */
WFI bool wfi_rfc3339(wf_str text, uint64_t *ms);

#endif
