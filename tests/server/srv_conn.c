/* conn: one connection: accepting it, its bytes in and out, its pauses, its end. */
#include "srv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 65536, LINGER_US = 2000000, INPUT_MAX = 256 << 20 };

static void conn_ready(source *s, uint32_t events);

static void conn_watch(conn *c, uint32_t events) {
    if (c->watched == events) return;
    c->watched = events;
    rewatch(c->fd, &c->source, events);
}

conn *conn_new(port *p, int fd) {
    conn *c = must_alloc(NULL, sizeof *c);
    *c = (conn){.source.ready = conn_ready, .port = p, .fd = fd, .state = READ, .watched = EPOLLIN};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    watch(fd, &c->source, c->watched);
    return c;
}

static bool counted(const conn *c) {
    return c->number > 0;
}

/* ---- the end ---- */

static void inactive(conn *c) {
    if (c->active) srv.active--;
    c->active = false;
}

void conn_fail(conn *c) {
    if (c->dead) return;
    c->dead = true;
    if (c->active && c->state != LINGER) srv.aborted++;
    inactive(c);
    if (counted(c)) srv.open--;
    conn_due(c, 0);
    tls_close(c->tls);
    close(c->fd);
    c->next = srv.dead;
    srv.dead = c;
    if (c->peer) {
        c->peer->peer = NULL;
        if (c->peer->sent == c->peer->reply.bytes.n) conn_fail(c->peer);
    }
}

void conn_free_dead(void) {
    while (srv.dead) {
        conn *c = srv.dead;
        srv.dead = c->next;
        text_free(&c->in);
        reply_free(&c->reply);
        free(c);
    }
}

static void conn_reset(conn *c) {
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    inactive(c);
    conn_fail(c);
}

/* A close that takes nothing back: what the peer is still sending would otherwise answer with a reset, which overtakes
 * what we have sent. */
static void conn_linger(conn *c, bool farewell) {
    inactive(c);
    c->state = LINGER;
    c->in.n = 0;
    if (farewell && c->tls) tls_farewell(c->tls);
    shutdown(c->fd, SHUT_WR);
    conn_due(c, srv.now + LINGER_US);
}

/* ---- out ---- */

static ssize_t conn_write(conn *c, const char *p, size_t n) {
    if (c->tls) return tls_write(c->tls, p, n);
    ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);
    return sent > 0 ? sent : errno == EAGAIN || errno == EINTR ? TLS_AGAIN : TLS_FAILED;
}

static void conn_replied(conn *c) {
    bool mine = counted(c);
    switch (c->reply.ending) {
    case END_RESET:
        conn_reset(c);
        return;
    case END_HANG:
        c->state = SILENT;
        return;
    case END_CUT:
    case END_CLOSE:
        conn_linger(c, c->reply.ending == END_CLOSE);
        return;
    case END_KEEP:
        break;
    }
    if (mine) inactive(c);
    c->state = READ;
    c->judged = false;
    if (c->reply.idle_close >= 0) conn_due(c, srv.now + (uint64_t)c->reply.idle_close * 1000 + 1);
}

/* What is due of the reply; then its end. */
void conn_flush(conn *c) {
    reply *r = &c->reply;
    while (!c->dead) {
        if (c->pause < r->count && r->pauses[c->pause].at <= c->sent) {
            conn_watch(c, EPOLLIN);
            conn_due(c, srv.now + r->pauses[c->pause++].ms * 1000);
            return;
        }
        if (c->sent == r->bytes.n) break;
        size_t stop = c->pause < r->count && r->pauses[c->pause].at < r->bytes.n ? r->pauses[c->pause].at : r->bytes.n;
        ssize_t n = conn_write(c, r->bytes.p + c->sent, stop - c->sent);
        if (n == TLS_AGAIN) {
            conn_watch(c, EPOLLIN | EPOLLOUT);
            return;
        }
        if (n <= 0) {
            conn_fail(c);
            return;
        }
        c->sent += (size_t)n;
        if (counted(c)) srv.out += (uint64_t)n;
    }
    if (c->dead) return;
    conn_watch(c, EPOLLIN);
    if (c->state == REPLY) conn_replied(c);
}

/* ---- in ---- */

static ssize_t conn_take(conn *c, char *p, size_t n) {
    if (c->tls && c->state != LINGER) return tls_read(c->tls, p, n);
    ssize_t got = recv(c->fd, p, n, 0);
    return got >= 0 ? got : errno == EAGAIN || errno == EINTR ? TLS_AGAIN : TLS_FAILED;
}

void conn_read(conn *c) {
    for (;;) {
        ssize_t n = conn_take(c, text_room(&c->in, READ_SIZE), READ_SIZE);
        if (n == TLS_AGAIN) return;
        if (n <= 0 || c->in.n > INPUT_MAX) {
            conn_fail(c);
            return;
        }
        if (c->state == LINGER) continue;
        c->in.n += (size_t)n;
        if (counted(c)) srv.in += (uint64_t)n;
        if (!c->tls && n < READ_SIZE) return;
    }
}

static void conn_handshake(conn *c) {
    int done = tls_handshake(c->tls);
    if (done == TLS_AGAIN) return;
    if (done <= 0)
        conn_linger(c, false); /* the alert must arrive */
    else
        c->state = READ;
}

/* ---- faults of connections ---- */

static void say_hello_of_tls11(int fd) {
    unsigned char hello[5 + 4 + 38] = {0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2};
    memset(hello + 11, 0x5a, 32); /* random; then no session, cipher 002f, no compression */
    hello[45] = 0x2f;
    send(fd, hello, sizeof hello, MSG_NOSIGNAL);
}

static void fault_bytes(conn *c) {
    static const char garbage[] = "220 this is another protocol\r\n";
    c->in.n = 0;
    ssize_t n = recv(c->fd, text_room(&c->in, READ_SIZE), READ_SIZE, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        conn_fail(c);
    } else if (n > 0 && c->fault.garbage) {
        send(c->fd, garbage, sizeof garbage - 1, MSG_NOSIGNAL);
        conn_linger(c, false);
    } else if (n > 0 && c->fault.tls11) {
        say_hello_of_tls11(c->fd);
        conn_linger(c, false);
    } else if (n > 0 && c->fault.reset_after >= 0) {
        c->requests += (uint64_t)n; /* bytes so far; it will see no request */
        if ((int64_t)c->requests >= c->fault.reset_after) conn_reset(c);
    }
}

/* True: the connection is the fault's. */
static bool fault_accept(conn *c) {
    event e = {.accept = true, .port = slice_of(c->port->name), .now = srv.now / 1000};
    const answer *a = scenario_match(&srv.scenario, &e);
    if (!a) return false;
    c->fault = *a;
    c->state = ACCEPT_FAULT;
    if (a->reset || a->deaf >= 0) {
        srv.refused++;
        if (a->deaf > 0) port_pause(c->port, (uint64_t)a->deaf);
        conn_reset(c);
        return true;
    }
    if (a->close) conn_linger(c, false);
    return a->close || a->hang || a->garbage || a->tls11 || a->reset_after >= 0;
}

void conn_accept(port *p, int fd) {
    conn *c = conn_new(p, fd);
    if (p->number && strcmp(p->name, "control") != 0) {
        c->number = ++srv.connections;
        if (++srv.open > srv.open_max) srv.open_max = srv.open;
        if (fault_accept(c)) return;
    }
    c->state = p->tls ? HANDSHAKE : READ;
    if (!p->tls) return;
    c->tls = tls_open(p->tls, fd);
    if (!c->tls) conn_fail(c);
}

/* ---- events ---- */

void conn_timeout(conn *c) {
    conn_due(c, 0);
    if (c->state == REPLY) {
        conn_flush(c);
        if (!c->dead && c->state == READ) exchange_ready(c);
    } else if (c->state == READ) {
        conn_linger(c, false); /* idle, and nothing is said about it */
    } else {
        conn_fail(c);
    }
}

static void conn_ready(source *s, uint32_t events) {
    conn *c = (conn *)s;
    if (c->dead) return;
    if (c->state == CONNECT || c->state == TUNNEL) {
        proxy_ready(c, events);
        return;
    }
    if (c->state == ACCEPT_FAULT) {
        if (events & EPOLLIN || !(events & (EPOLLERR | EPOLLHUP)))
            fault_bytes(c);
        else
            conn_fail(c);
        return;
    }
    if (c->state == HANDSHAKE) {
        conn_handshake(c);
        if (c->dead || c->state != READ) return;
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) conn_read(c);
    if (!c->dead && events & EPOLLOUT && c->state == REPLY) conn_flush(c);
    if (!c->dead && c->state == READ) exchange_ready(c);
}
