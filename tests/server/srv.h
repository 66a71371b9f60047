/* server: connections and what they share. One thread, one epoll; nothing blocks. */
#ifndef SERVER_H
#define SERVER_H

#include "srv_reply.h"
#include "srv_tls.h"

#include <stdio.h>

typedef struct source source; /* something that epoll watches */
struct source {
    void (*ready)(source *s, uint32_t events);
};

typedef struct port {
    source source;
    const char *name; /* as the scenario's port= has it */
    int fd;
    int family;
    uint16_t number;
    tls_port *tls; /* NULL: plain */
    uint64_t deaf_until;
} port;

typedef struct conn conn;

typedef struct server {
    int epoll, timer;
    bool ended;
    uint64_t now;      /* microseconds, steady */
    uint64_t timer_at; /* what the timer is set to; 0: off */
    scenario scenario;
    FILE *record;
    slice proxy_user; /* "Basic " and user:password in base64, or empty: open to all */
    port *ports;
    uint32_t port_count;
    conn **timers; /* a heap by due time */
    size_t timer_count, timer_cap;
    conn *dead; /* freed when the round is over: events for them may still be in hand */
    uint64_t serial, connections, requests, in, out, refused, bad, aborted, tunnels;
    uint64_t open, open_max, active, active_max;
    uint64_t by_status[1000];
} server;

extern server srv;

uint64_t clock_us(void);
void watch(int fd, source *s, uint32_t events);
void rewatch(int fd, source *s, uint32_t events);
void port_pause(port *p, uint64_t ms); /* refuses connections for so long */
uint16_t port_number(const char *name);
void stats_json(text *out);

/* ---- conn.c ---- */

typedef enum state {
    ACCEPT_FAULT, /* its rule is at work: nothing is answered */
    HANDSHAKE,
    READ,   /* waiting for a request, or in it */
    REPLY,  /* being answered */
    SILENT, /* a fault: never answered */
    LINGER, /* closed by us; what the peer still sends is dropped */
    CONNECT,
    TUNNEL
} state;

struct conn {
    source source;
    port *port;
    int fd;
    tls *tls;
    state state;
    uint32_t watched; /* events */
    bool active;      /* a request is under way */
    bool dead;
    bool judged; /* the head has been asked about early answers */
    uint64_t number, requests;
    answer fault; /* in ACCEPT_FAULT */
    text in;
    size_t scanned; /* no end of the head before */
    reply reply;
    size_t sent, pause; /* bytes; the next pause */
    conn *peer;         /* of a tunnel */
    uint64_t due;       /* 0: no timer */
    size_t timer;
    conn *next; /* in srv.dead */
};

conn *conn_new(port *p, int fd);
void conn_accept(port *p, int fd);
void conn_timeout(conn *c);
void conn_flush(conn *c);
void conn_fail(conn *c);             /* closes now */
void conn_read(conn *c);             /* what has come in */
void conn_due(conn *c, uint64_t at); /* microseconds; 0: never */
void conn_free_dead(void);

/* ---- exchange.c ---- */

void exchange_ready(conn *c); /* looks for a request in what has come in, and answers it */

/* ---- proxy.c ---- */

void proxy_connect(conn *c, const request *q);
void proxy_ready(conn *c, uint32_t events);

#endif
