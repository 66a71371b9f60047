/* json: what other parts of the core may use of the JSON part besides its public face in api.h. */
#ifndef WFI_JSON_H
#define WFI_JSON_H

#include "base.h"

/* The code point at raw.ptr[*pos], which must be inside the slice, of a still escaped string; moves *pos behind it.
 * A lone surrogate is U+FFFD. In text that no reader has passed, a broken escape yields its backslash. */
WFI uint32_t wfi_json_char(wf_str raw, size_t *pos);

#endif
