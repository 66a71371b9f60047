/* proxy: CONNECT. Leads to loopback alone: names that are not it are taken for our own port otherhost, or https. */
#include "srv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static bool proxy_allowed(const request *q) {
    slice given = header_value(q->head, "proxy-authorization");
    return srv.proxy_user.n == 0 || (given.n == srv.proxy_user.n && !memcmp(given.p, srv.proxy_user.p, given.n));
}

/* Where a target leads: a loopback address and a port; 0: nowhere. */
static uint16_t proxy_target(slice target) {
    const char *colon = target.n ? memrchr(target.p, ':', target.n) : NULL;
    uint64_t number;
    if (!colon) return 0;
    slice host = {target.p, (size_t)(colon - target.p)};
    if (!slice_number((slice){colon + 1, target.n - host.n - 1}, &number) || number > 65535) return 0;
    bool loopback = slice_is(host, "localhost") || slice_is(host, "127.0.0.1") || slice_is(host, "[::1]");
    if (loopback) return (uint16_t)number;
    uint16_t other = port_number("otherhost");
    return other ? other : port_number("https");
}

static void proxy_say(conn *c, uint32_t status, const char *lines, bool close) {
    reply_plain(&c->reply, status, (slice){NULL, 0});
    c->reply.bytes.n -= 2;
    text_str(&c->reply.bytes, lines);
    text_str(&c->reply.bytes, "\r\n");
    c->reply.ending = close ? END_CLOSE : END_KEEP;
    srv.by_status[status]++;
    c->sent = c->pause = 0;
}

static void proxy_refuse(conn *c, uint32_t status, const char *lines) {
    proxy_say(c, status, lines, true);
    c->state = REPLY;
    conn_flush(c);
}

void proxy_connect(conn *c, const request *q) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(proxy_target(q->target))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!proxy_allowed(q)) {
        proxy_refuse(c, 407, "proxy-authenticate: Basic realm=\"test\"\r\ncontent-length: 0\r\n");
        return;
    }
    int fd = to.sin_port ? socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    if (fd < 0) {
        proxy_refuse(c, 502, "content-length: 0\r\n");
        return;
    }
    srv.tunnels++;
    c->peer = conn_new(c->port, fd);
    c->peer->peer = c;
    c->peer->state = CONNECT;
    c->peer->watched = EPOLLOUT;
    rewatch(fd, &c->peer->source, EPOLLOUT);
    c->state = TUNNEL;
    c->in.n = 0; /* nothing may follow before our answer */
}

/* What c has read goes out at the other end. */
static void proxy_move(conn *c) {
    conn *to = c->peer;
    if (!to || !c->in.n) return;
    text_drop(&to->reply.bytes, to->sent);
    to->sent = 0;
    text_add(&to->reply.bytes, c->in.p, c->in.n);
    c->in.n = 0;
    conn_flush(to);
}

static void proxy_connected(conn *up) {
    int bad = 0;
    conn *c = up->peer;
    getsockopt(up->fd, SOL_SOCKET, SO_ERROR, &bad, &(socklen_t){sizeof bad});
    if (bad) {
        c->peer = up->peer = NULL;
        conn_fail(up);
        proxy_refuse(c, 502, "content-length: 0\r\n");
        return;
    }
    up->state = TUNNEL;
    up->watched = EPOLLIN;
    rewatch(up->fd, &up->source, EPOLLIN);
    proxy_say(c, 200, "", false);
    conn_flush(c);
}

void proxy_ready(conn *c, uint32_t events) {
    if (c->state == CONNECT) {
        proxy_connected(c);
        return;
    }
    if (events & EPOLLOUT) conn_flush(c);
    if (!c->dead && !c->peer && c->sent == c->reply.bytes.n) conn_fail(c);
    if (c->dead || !(events & (EPOLLIN | EPOLLERR | EPOLLHUP))) return;
    char buf[65536];
    ssize_t n = recv(c->fd, buf, sizeof buf, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n > 0) {
        text_add(&c->in, buf, (size_t)n);
        proxy_move(c);
    }
    if (n <= 0 || !c->peer) conn_fail(c);
}
