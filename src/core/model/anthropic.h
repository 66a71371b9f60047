/* messages: what the two halves of the Messages codec share. provider_messages.c renders requests and reads whole bodies;
 * messages_stream.c puts a reply together from its events. */
#ifndef WFI_MESSAGES_H
#define WFI_MESSAGES_H

#include "codec.h"

WFI wfi_stop wfi_messages_stop(wf_str escaped_reason);
/* Overwrites those numbers of a usage that the JSON object has. */
WFI void wfi_messages_usage(wf_str json, wf_usage *out, uint64_t *write_1h);
/* A sentence, or at least a word, from a stop_details: why a reply was refused. Escaped; empty if nothing is said. */
WFI wf_str wfi_messages_details(wf_str json);

/* The stream side of the codec's reader_feed and reader_end. */
WFI wf_status wfi_messages_stream_feed(wfi_reader *r, const char *p, size_t n, size_t *used);
WFI wf_status wfi_messages_stream_end(wfi_reader *r, wfi_reply *out);

#endif
