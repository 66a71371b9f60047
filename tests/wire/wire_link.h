/* link: one request through the real HTTP client, over a network in memory, to a peer that gives one answer. */
#ifndef WIRE_LINK_H
#define WIRE_LINK_H

#include "tests/fake/fakenet.h"
#include "wire_text.h"

typedef enum link_action { LINK_ANSWER, LINK_RESET, LINK_HANG, LINK_RESET_AFTER } link_action;

/* What the peer does with a request. */
typedef struct link_answer {
    link_action action;
    wf_str bytes;         /* the whole response, head and body; with LINK_RESET_AFTER its end is missing */
    const size_t *pieces; /* sizes in which the client may read it, over and over; NULL: all at once */
    size_t piece_count;
} link_answer;

/* What the peer saw, and what came of it. */
typedef struct link_result {
    text url, method, path, head, request_body; /* url: scheme, host, port as dialled */
    uint32_t requests;
    wf_status status; /* WF_END: the response is whole; WF_AGAIN: nothing more will come; else what the client said */
    bool answered;    /* the head of a response is there: */
    wf_response response; /* its slices live in the texts below */
    text request_id, content_type, body, error;
} link_result;

/* now: both clocks. */
void link_exchange(const wf_messages_request *request, const wf_header *headers, uint32_t header_count, uint64_t now,
                   const link_answer *answer, link_result *out);
void link_result_free(link_result *r);

#endif
