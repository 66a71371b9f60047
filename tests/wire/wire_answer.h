/* answer: a case's response as the bytes that a server would write. */
#ifndef WIRE_ANSWER_H
#define WIRE_ANSWER_H

#include "wire_link.h"
#include "wire_tree.h"

typedef struct answer {
    link_answer link;
    text bytes, body; /* body: without the framing of HTTP */
    size_t *pieces;
} answer;

/* False: the case's response is of no form that is known here. */
bool answer_make(const tree *response, answer *out);
void answer_free(answer *a);

/* A header of the answer, read from its bytes with the core's reader; false: it has none of that name. */
bool answer_header(const answer *a, const char *name, text *value);

/* Sends the request again and again, each time with the answer cut at another place, and byte by byte. *where (empty: nowhere) says
 * which of them came out other than the whole one did. Cut are the first ANSWER_SPLITS bytes. */
#define ANSWER_SPLITS 8192u
void answer_splits(const answer *a, const wf_messages_request *request, uint64_t now, text *where);

#endif
