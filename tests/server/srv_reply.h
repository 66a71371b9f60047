/* reply: the bytes of a response, where they pause, and how they end. */
#ifndef REPLY_H
#define REPLY_H

#include "srv_scenario.h"

typedef struct request {
    slice method, target, head, body;
    uint64_t serial; /* of the process, from 1 */
} request;

typedef enum ending {
    END_KEEP,  /* the connection serves the next request */
    END_CLOSE, /* it closes, in TLS with a farewell */
    END_CUT,   /* it closes without */
    END_RESET, /* RST */
    END_HANG   /* nothing more is said */
} ending;

typedef struct rest {
    size_t at;
    uint64_t ms;
} rest;

typedef struct reply {
    text bytes;
    rest *pauses;
    size_t count, cap;
    ending ending;
    int64_t idle_close; /* ms after the end, or -1 */
    uint32_t status;    /* 0: none was said */
} reply;

/* Fills r anew. */
void reply_make(reply *r, const answer *a, const request *q);
void reply_plain(reply *r, uint32_t status, slice json); /* of the control port and of CONNECT */
void reply_free(reply *r);

/* The body of a model's answer: the text of a message, or of its events with the end of each in ends. */
typedef struct body {
    text bytes;
    size_t *ends;
    size_t count, cap;
} body;

void body_part(body *b); /* what was added since the last one is a part */
void message_make(body *b, const answer *a, const request *q, bool stream);

#endif
