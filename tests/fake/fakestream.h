/* stream: a reply's JSON body as server-sent events, as a provider would have streamed it. */
#ifndef FAKE_STREAM_H
#define FAKE_STREAM_H

#include "src/api/json.h"

/* Malloced; NULL: the body is no reply. */
char *fake_stream(wf_str body, size_t *len);

#endif
