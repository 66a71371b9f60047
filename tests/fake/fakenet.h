/* fakenet: a network in memory, with wf_net_ops on one side and scripted peers on the other. A peer is a function that is called for
 * each whole request; it queues bytes, an end or a reset. Knobs cut reads and writes into pieces, answer AGAIN where nothing is
 * wrong, and close windows. Its clock moves only by hand. TLS is a note that it was asked for. */
#ifndef WF_FAKENET_H
#define WF_FAKENET_H

#include "src/api/net.h"

#define FAKENET_CONNS 1000
#define FAKENET_HOST  256

typedef struct fakenet fakenet;

/* A request as it lies in what the client wrote; slices live until the next write to the connection. */
typedef struct fakenet_request {
    wf_str text; /* all of it */
    wf_str method, target;
    wf_str head; /* the lines after the first, each with its CR LF, without the empty one */
    wf_str body;
} fakenet_request;

typedef struct fakenet_conn {
    bool open, secured;
    char host[FAKENET_HOST], secure_host[FAKENET_HOST]; /* of open and of secure */
    uint32_t secure_port;
    uint32_t port;
    char *in; /* all that the client wrote since open */
    size_t in_len, in_cap;
    size_t in_done; /* of it: requests that were served */
    uint32_t served;
    char *out; /* for the client to read */
    size_t out_at, out_len, out_cap;
    bool end, reset;      /* what comes after that */
    bool vanished;        /* the reset is WF_E_STALE */
    bool write_fails;     /* the peer no longer reads: writes fail */
    uint64_t window;      /* bytes that the peer still takes */
    const size_t *pieces; /* sizes in which reads come, over and over; NULL: as large as may be */
    size_t piece_count, piece, piece_left;
    bool news; /* `ready` will name it */
    const char *why;
    char error[FAKENET_HOST + 64];
} fakenet_conn;

struct fakenet {
    /* what a test sets */
    void *user;
    bool (*opened)(fakenet *net, uint32_t conn);                                /* may be NULL; false: refused */
    void (*serve)(fakenet *net, uint32_t conn, const fakenet_request *request); /* may be NULL: nobody answers */
    size_t read_max, write_max;                                                 /* bytes at a time; 0: no limit */
    bool stutter;    /* every second read and every second write answers AGAIN */
    bool untrusted;  /* TLS is refused: WF_E_CONFIG as soon as bytes are to go */
    uint64_t now;    /* both clocks */
    uint64_t window; /* of new connections; 0: endless */
    /* what it may look at */
    fakenet_conn conn[FAKENET_CONNS];
    uint32_t opens, closes, reads, writes, open_now, open_most;
    wf_net_ops ops;
    wf_platform platform; /* clocks alone */
};

fakenet *fakenet_new(void); /* with malloc */
void fakenet_free(fakenet *net);

/* What a peer does. Bytes are copied. */
void fakenet_reply(fakenet *net, uint32_t conn, const void *p, size_t n);
void fakenet_reply_text(fakenet *net, uint32_t conn, const char *text);
void fakenet_end(fakenet *net, uint32_t conn);   /* after what is queued */
void fakenet_reset(fakenet *net, uint32_t conn); /* likewise */

/* The value of the first header of that name (any case), without blanks around it; ptr NULL: there is none. */
wf_str fakenet_header(const fakenet_request *request, const char *name);

#endif
