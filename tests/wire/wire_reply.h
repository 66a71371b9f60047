/* reply: a reply's body through the codec's reader, cut anywhere, and what came of it. */
#ifndef WIRE_REPLY_H
#define WIRE_REPLY_H

#include "src/core/model/anthropic.h"
#include "wire_text.h"

/* Slices are the texts'. */
typedef struct reply {
    wf_status status; /* WF_OK: `value`; WF_E_IO: an error event; else the reader's */
    bool cut;         /* WF_E_SYNTAX: all of it was well, but it is not all */
    wfi_reply value;
    text content, reason, details;
    text events; /* one a line, without ping and error */
    text error;  /* data of an error event */
    const char *why;
} reply;

#define REPLY_WHOLE    ((size_t)0)
#define REPLY_BY_BYTES SIZE_MAX

/* first: bytes of the first piece; the second has the rest. */
void reply_read(bool stream, wf_str body, size_t first, reply *out);
void reply_free(reply *r);

/* Reads it whole, byte by byte and at every two-way split; *where (empty: nowhere) says which of them gave something else. */
void reply_splits(bool stream, wf_str body, text *where);

/* The same of the event reader alone: "NAME\nDATA\n\n" for each event, with "-" for no name. */
void reply_events(wf_str input, size_t first, text *out);

#endif
