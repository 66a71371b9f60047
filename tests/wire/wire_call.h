/* call: one case of client and server: what the client sends, how often, when, and what it makes of the answers. */
#ifndef WIRE_CALL_H
#define WIRE_CALL_H

#include "wire_answer.h"
#include "wire_reply.h"
#include "wire_tree.h"

#define CALL_STEPS  16
#define CALL_SCRAPS 128

/* One operation that was answered well. */
typedef struct call_step {
    wf_messages_call call;
    text path, body; /* of the last request sent; of the answer */
    bool stream, has_reply;
    reply reply;
} call_step;

/* Why the client gave up. kind NULL: it did not. */
typedef struct call_error {
    const char *kind;
    int64_t status;
    bool retryable;
    text type, message, code, request_id;
} call_error;

typedef struct call_run {
    const tree *c;
    text *differs;
    /* the client */
    wf_messages_settings settings;
    const tree *extra[2]; /* headers of the client's and of the call's own */
    wf_str url;
    uint32_t retries, random;
    uint64_t timeout, now;
    bool patient;
    /* what happened */
    const tree *exchange; /* the next one */
    uint32_t attempts, step_count;
    text sleeps; /* as a JSON array, without its end */
    call_step steps[CALL_STEPS];
    call_error error;
    text request_id, workspace_id; /* of the last answer */
    text events;                   /* of the last stream, well or not */
    text scraps[CALL_SCRAPS];      /* texts that live as long as the run */
    uint32_t scrap_count;
} call_run;

/* Adds a line for each thing that is not as the case expects it. about: what its file says of all its cases. */
void call_check(const tree *c, wf_str about, text *differs);

/* What one request looked like, against the exchange's. In expect.c, as the next. */
void expect_request(call_run *run, const tree *request, const link_result *seen);
/* How it all ended. */
void expect_outcome(call_run *run);

#endif
