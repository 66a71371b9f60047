/* anthropic: the codec of the Anthropic Messages API, in two files: anthropic.c renders requests and reads whole bodies,
 * anthropic_stream.c puts a reply together from its events. The API's other operations are in anthropic_api.c. */
#ifndef WFI_ANTHROPIC_H
#define WFI_ANTHROPIC_H

#include "codec.h"

#define WFI_ANTHROPIC_VERSION "2026-10-21" /* of the API, unless another is asked for */

/* Versions 2026-10-21 and 2023-06-01. */
WFI const wfi_codec *wfi_anthropic_codec(void);

/* ---- what the two files share ---- */

WFI wfi_stop wfi_anthropic_stop(wf_str escaped_reason);
/* Overwrites those numbers of a usage that the JSON object has. */
WFI void wfi_anthropic_usage(wf_str json, wf_usage *out, uint64_t *write_1h);
/* A sentence, or at least a word, from a stop_details: why a reply was refused. Escaped; empty if nothing is said. */
WFI wf_str wfi_anthropic_details(wf_str json);

/* The stream side of the codec's reader_feed and reader_end. */
WFI wf_status wfi_anthropic_stream_feed(wfi_reader *r, const char *p, size_t n, size_t *used);
WFI wf_status wfi_anthropic_stream_end(wfi_reader *r, bool clean, wfi_reply *out);
/* After an error event: puts what came whole into the body, without its closing bracket. A tool call that did not is left out. */
WFI void wfi_anthropic_stream_rescue(wfi_reader *r);
WFI void wfi_anthropic_stream_free(wfi_reader *r);

#endif
