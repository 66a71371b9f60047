/* net: see net.h for its contract and invariants. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#include "net.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#if WFI_LINUX
#include <sys/epoll.h>
#endif

#define NET_ALIGN       ((size_t)16)
#define NET_NONE        UINT32_MAX
#define NET_CONNECT_MS  30000u
#define NET_ATTEMPT_MS  250u
#define NET_PATIENCE_MS 2000u
#define NET_KEEPIDLE_S  60 /* below what middleboxes forget after */
#define NET_HOSTS_MIN   8u
#define NET_HOSTS_MAX   64u
#define NET_BATCH       64 /* events taken at a time */
#define NET_HOST_SHOWN  54 /* bytes of a host's name in messages */
#if defined(MSG_NOSIGNAL)
#define NET_SEND_FLAGS MSG_NOSIGNAL
#else
#define NET_SEND_FLAGS 0 /* SO_NOSIGPIPE does it */
#endif

enum { NET_IN = 1, NET_OUT = 2, NET_HANG_UP = 4, NET_ERROR = 8 }; /* what an event says */

/* ---- queues ---- */

static void net_queue(wfi_net *n, wfi_conn *c) {
    uint32_t index = (uint32_t)(c - n->conn);
    if (c->queued) return;
    c->queued = true;
    c->after = NET_NONE;
    if (n->ready_first == NET_NONE)
        n->ready_first = index;
    else
        n->conn[n->ready_last].after = index;
    n->ready_last = index;
}

static uint32_t net_unqueue(wfi_net *n) {
    uint32_t index = n->ready_first;
    n->ready_first = n->conn[index].after;
    n->conn[index].queued = false;
    return index;
}

static void net_list(wfi_net *n, wfi_conn *c) {
    c->previous = NET_NONE;
    c->next = n->connecting;
    n->connecting = (uint32_t)(c - n->conn);
    if (c->next != NET_NONE) n->conn[c->next].previous = n->connecting;
}

static void net_unlist(wfi_net *n, const wfi_conn *c) {
    if (c->previous != NET_NONE)
        n->conn[c->previous].next = c->next;
    else
        n->connecting = c->next;
    if (c->next != NET_NONE) n->conn[c->next].previous = c->previous;
}

/* ---- failing ---- */

static void net_drop(wfi_conn *c, uint32_t k) {
    close(c->attempt[k].fd);
    c->attempts--;
    for (; k < c->attempts; k++)
        c->attempt[k] = c->attempt[k + 1];
}

/* Out of the state it is in, with nothing left open. */
static void net_leave(wfi_net *n, wfi_conn *c, wfi_conn_state state) {
    while (c->attempts > 0)
        net_drop(c, c->attempts - 1u);
    if (c->state == WFI_CONN_CONNECTING) {
        wfi_lookup_release(&n->lookup, c->host);
        net_unlist(n, c);
        if (n->connecting == NET_NONE) n->due = UINT64_MAX;
    }
    c->state = (uint8_t)state;
}

static const char *net_hint(int error) {
    switch (error) {
    case ECONNREFUSED:
        return "; is the server running?";
    case ENETUNREACH:
    case EHOSTUNREACH:
        return "; is the network up?";
    case ETIMEDOUT:
        return "; does a firewall stand between?";
    case EMFILE:
    case ENFILE:
        return "; raise the limit of open files (ulimit -n)";
    case EACCES:
    case EPERM:
        return "; does a firewall or a sandbox forbid it?";
    default:
        return "";
    }
}

static void net_failed(wfi_net *n, wfi_conn *c) {
    net_leave(n, c, WFI_CONN_FAILED);
    net_queue(n, c);
}

static void net_fail(wfi_net *n, wfi_conn *c, const char *why, const char *hint) {
    snprintf(c->error, sizeof c->error, "cannot connect to %s: %s%s", c->peer, why, hint);
    net_failed(n, c);
}

static void net_fail_late(wfi_net *n, wfi_conn *c) {
    char why[40];
    snprintf(why, sizeof why, "no answer within %u s", n->connect_ms / 1000u);
    net_fail(n, c, why, net_hint(ETIMEDOUT));
}

static void net_fail_lookup(wfi_net *n, wfi_conn *c) {
    int host = (int)(strrchr(c->peer, ':') - c->peer);
    snprintf(c->error, sizeof c->error, "cannot look up %.*s: %s; is the name right, and the network up?", host,
             c->peer, n->lookup.host[c->host].reason);
    net_failed(n, c);
}

static wf_status net_broke(wfi_conn *c, int error) {
    snprintf(c->error, sizeof c->error, "the connection to %s broke: %s", c->peer, strerror(error));
    return WF_E_IO;
}

/* ---- one attempt ---- */

static socklen_t net_address(const wfi_address *a, uint16_t port, struct sockaddr_storage *out) {
    memset(out, 0, sizeof *out);
    if (a->six != 0) {
        struct sockaddr_in6 six;
        memset(&six, 0, sizeof six);
        six.sin6_family = AF_INET6;
        six.sin6_port = htons(port);
        six.sin6_scope_id = a->scope;
        memcpy(&six.sin6_addr, a->bytes, sizeof six.sin6_addr);
        memcpy(out, &six, sizeof six);
        return sizeof six;
    }
    struct sockaddr_in four;
    memset(&four, 0, sizeof four);
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    memcpy(&four.sin_addr, a->bytes, sizeof four.sin_addr);
    memcpy(out, &four, sizeof four);
    return sizeof four;
}

static void net_option(int fd, int level, int name, int value) {
    setsockopt(fd, level, name, &value, sizeof value); /* one that fails costs comfort only */
}

static int net_socket(int family) {
#if WFI_LINUX
    int fd = wfi_sys_high(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
#else
    int fd = socket(family, SOCK_STREAM, IPPROTO_TCP);
    if (fd >= 0) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    fd = wfi_sys_high(fd);
#endif
    if (fd < 0) return -1;
    net_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    net_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#if defined(TCP_KEEPIDLE)
    net_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, NET_KEEPIDLE_S);
#endif
#if defined(SO_NOSIGPIPE)
    net_option(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
#endif
    return fd;
}

static bool net_register(const wfi_net *n, int fd, uint32_t serial, uint32_t index) {
#if WFI_LINUX
    struct epoll_event e;
    memset(&e, 0, sizeof e);
    e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    e.data.u64 = (uint64_t)serial << 32 | index;
    return epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &e) == 0;
#else
    (void)n, (void)fd, (void)serial, (void)index;
    return true;
#endif
}

/* Answers an errno. Registered after connect: a socket that has not begun counts as hung up. */
static int net_connect(wfi_net *n, wfi_conn *c, uint32_t address) {
    struct sockaddr_storage to;
    const wfi_address *a = &n->lookup.host[c->host].answer.at[address];
    socklen_t size = net_address(a, c->port, &to);
    int fd = net_socket(a->six != 0 ? AF_INET6 : AF_INET);
    if (fd < 0) return errno;
    uint32_t serial = ++n->serial;
    bool begun = connect(fd, (const struct sockaddr *)&to, size) == 0 || errno == EINPROGRESS || errno == EINTR;
    if (!begun || !net_register(n, fd, serial, (uint32_t)(c - n->conn))) {
        int error = errno;
        close(fd);
        return error;
    }
    c->attempt[c->attempts++] = (wfi_attempt){fd, serial, address};
    return 0;
}

/* ---- all attempts of a connection ---- */

static bool net_untried(const wfi_conn *c, const wfi_host *h, uint32_t *address) {
    *address = h->answer.count;
    for (uint32_t i = h->answer.count; i-- > 0;) {
        if ((c->tried >> i & 1u) != 0) continue;
        *address = i;
        if (h->has_worked && memcmp(&h->worked, &h->answer.at[i], sizeof h->worked) == 0) break;
    }
    return *address < h->answer.count;
}

static void net_note_due(wfi_net *n, const wfi_conn *c) {
    uint64_t due = c->again < c->limit ? c->again : c->limit;
    if (due < n->due) n->due = due;
}

/* Begins one more attempt, if there is an address left; fails the connection when nothing is. */
static void net_attempt(wfi_net *n, wfi_conn *c, uint64_t now) {
    const wfi_host *h = &n->lookup.host[c->host];
    uint32_t address;
    c->again = UINT64_MAX;
    while (net_untried(c, h, &address)) {
        if (c->attempts == WFI_NET_ATTEMPTS) net_drop(c, 0);
        c->tried = (uint16_t)(c->tried | 1u << address);
        int error = net_connect(n, c, address);
        if (error == 0) break;
        c->failed = error;
    }
    if (c->attempts == 0) {
        net_fail(n, c, strerror(c->failed), net_hint(c->failed));
        return;
    }
    if (net_untried(c, h, &address)) c->again = now + (c->attempts < WFI_NET_ATTEMPTS ? n->attempt_ms : n->patience_ms);
    net_note_due(n, c);
}

static void net_advance(wfi_net *n, wfi_conn *c, uint64_t now) {
    wfi_host_state host = n->lookup.host[c->host].state;
    if (host == WFI_HOST_FAILED)
        net_fail_lookup(n, c);
    else if (now >= c->limit)
        net_fail_late(n, c);
    else if (host == WFI_HOST_FOUND && (c->attempts == 0 || now >= c->again))
        net_attempt(n, c, now);
    else
        net_note_due(n, c);
}

static void net_won(wfi_net *n, wfi_conn *c, uint32_t k) {
    wfi_host *h = &n->lookup.host[c->host];
    wfi_attempt won = c->attempt[k];
    h->worked = h->answer.at[won.address];
    h->has_worked = true;
    c->attempt[k] = c->attempt[c->attempts - 1u];
    c->attempts--;
    net_leave(n, c, WFI_CONN_OPEN);
    c->attempt[c->attempts++] = won;
    c->can_write = true;
}

/* An attempt has an answer: a hang-up without an error is a server that took the connection and threw it away. */
static void net_answered(wfi_net *n, wfi_conn *c, uint32_t k, unsigned news) {
    int error = 0;
    socklen_t size = sizeof error;
    if ((news & (NET_OUT | NET_ERROR)) == 0) return;
    if ((news & NET_ERROR) == 0) {
        net_won(n, c, k);
        net_queue(n, c);
        return;
    }
    if (getsockopt(c->attempt[k].fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    c->failed = error != 0 ? error : ECONNRESET;
    net_drop(c, k);
    net_attempt(n, c, wfi_sys_now_ms());
}

/* ---- events ---- */

static void net_event(wfi_net *n, uint32_t index, uint32_t serial, unsigned news) {
    wfi_conn *c = &n->conn[index];
    uint32_t k = 0;
    while (k < c->attempts && c->attempt[k].serial != serial)
        k++;
    if (k == c->attempts) return;
    if (c->state == WFI_CONN_CONNECTING) net_answered(n, c, k, news);
    if (c->state != WFI_CONN_OPEN) return;
    if ((news & (NET_HANG_UP | NET_ERROR)) != 0) c->hung_up = true;
    if ((news & (NET_IN | NET_HANG_UP | NET_ERROR)) != 0) c->can_read = true;
    if ((news & (NET_OUT | NET_ERROR)) != 0) c->can_write = true;
    if ((c->want_read && c->can_read) || (c->want_write && c->can_write)) net_queue(n, c);
}

#if WFI_LINUX

static unsigned net_news(uint32_t events) {
    return ((events & EPOLLIN) != 0 ? NET_IN : 0u) | ((events & EPOLLOUT) != 0 ? NET_OUT : 0u) |
           ((events & EPOLLRDHUP) != 0 ? NET_HANG_UP : 0u) | ((events & (EPOLLHUP | EPOLLERR)) != 0 ? NET_ERROR : 0u);
}

static void net_gather(wfi_net *n) {
    struct epoll_event events[NET_BATCH];
    for (uint32_t taken = 0; taken <= n->conns; taken += NET_BATCH) {
        int got = epoll_wait(n->epoll, events, NET_BATCH, 0);
        for (int i = 0; i < got; i++)
            net_event(n, (uint32_t)events[i].data.u64, (uint32_t)(events[i].data.u64 >> 32),
                      net_news(events[i].events));
        if (got < NET_BATCH) break;
    }
}

uint32_t wfi_net_fds_max(uint32_t conns) {
    (void)conns;
    return WFI_LOOKUP_CHILDREN + 1;
}

static uint32_t net_fds(const wfi_net *n, struct pollfd *fds) {
    *fds = (struct pollfd){.fd = n->epoll, .events = POLLIN};
    return 1;
}

#else

static unsigned net_news(int events) {
    return ((events & POLLIN) != 0 ? NET_IN : 0u) | ((events & POLLOUT) != 0 ? NET_OUT : 0u) |
           ((events & (POLLHUP | POLLERR | POLLNVAL)) != 0 ? NET_ERROR : 0u);
}

/* What a connection waits for; at most WFI_NET_ATTEMPTS. */
static uint32_t net_interest(const wfi_conn *c, struct pollfd *fds) {
    int events = POLLOUT;
    if (c->state == WFI_CONN_OPEN)
        events = (c->want_read && !c->can_read ? POLLIN : 0) | (c->want_write && !c->can_write ? POLLOUT : 0);
    for (uint32_t k = 0; events != 0 && k < c->attempts; k++)
        fds[k] = (struct pollfd){.fd = c->attempt[k].fd, .events = (short)events};
    return events != 0 ? c->attempts : 0;
}

static void net_gather_from(wfi_net *n, struct pollfd *fds, const uint64_t *whose, uint32_t count) {
    if (count == 0 || poll(fds, count, 0) <= 0) return;
    for (uint32_t i = 0; i < count; i++)
        if (fds[i].revents != 0) net_event(n, (uint32_t)whose[i], (uint32_t)(whose[i] >> 32), net_news(fds[i].revents));
}

static void net_gather(wfi_net *n) {
    struct pollfd fds[NET_BATCH + WFI_NET_ATTEMPTS];
    uint64_t whose[NET_BATCH + WFI_NET_ATTEMPTS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->conns; i++) {
        const wfi_conn *c = &n->conn[i];
        uint32_t more = net_interest(c, fds + count);
        for (uint32_t k = 0; k < more; k++)
            whose[count + k] = (uint64_t)c->attempt[k].serial << 32 | i;
        count += more;
        if (count < NET_BATCH) continue;
        net_gather_from(n, fds, whose, count);
        count = 0;
    }
    net_gather_from(n, fds, whose, count);
}

uint32_t wfi_net_fds_max(uint32_t conns) {
    return WFI_LOOKUP_CHILDREN + conns * WFI_NET_ATTEMPTS;
}

static uint32_t net_fds(const wfi_net *n, struct pollfd *fds) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->conns; i++)
        count += net_interest(&n->conn[i], fds + count);
    return count;
}

#endif

uint32_t wfi_net_fds(const wfi_net *n, struct pollfd *fds) {
    int children[WFI_CHILD_MAX];
    uint32_t count = wfi_lookup_fds(&n->lookup, children);
    for (uint32_t i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = children[i], .events = POLLIN};
    return count + net_fds(n, fds + count);
}

void wfi_net_waited(wfi_net *n, const struct pollfd *fds, uint32_t count) {
    for (uint32_t i = 0; i < count && !n->news; i++)
        n->news = fds[i].revents != 0;
}

bool wfi_net_have_news(const wfi_net *n) {
    return n->ready_first != NET_NONE;
}

uint64_t wfi_net_due(const wfi_net *n, uint64_t now) {
    if (wfi_net_have_news(n)) return now;
    uint64_t due = wfi_lookup_due(&n->lookup, now);
    return due < n->due ? due : n->due;
}

/* ---- the ops ---- */

static void net_name(wfi_conn *c, wf_str host) {
    int length = host.len <= NET_HOST_SHOWN ? (int)host.len : NET_HOST_SHOWN - 3;
    const char *cut = host.len <= NET_HOST_SHOWN ? "" : "...";
    bool six = host.len > 0 && memchr(host.ptr, ':', host.len) != NULL;
    snprintf(c->peer, sizeof c->peer, six ? "[%.*s%s]:%u" : "%.*s%s:%u", length, host.ptr, cut, (unsigned)c->port);
}

static void net_close(void *ctx, uint32_t conn) {
    wfi_net *n = ctx;
    net_leave(n, &n->conn[conn], WFI_CONN_CLOSED);
}

/* A place in the ready queue outlives close and open; the connection is then named in vain. */
static wfi_conn *net_reset(wfi_net *n, uint32_t conn) {
    wfi_conn *c = &n->conn[conn];
    bool queued = c->queued;
    uint32_t after = c->after;
    net_close(n, conn);
    memset(c, 0, sizeof *c);
    c->queued = queued;
    c->after = after;
    return c;
}

static wf_status net_refuse(wfi_conn *c, wf_status status, const char *why) {
    c->state = WFI_CONN_FAILED;
    snprintf(c->error, sizeof c->error, "cannot connect to %s: %s", c->peer, why);
    return status;
}

static wf_status net_open(void *ctx, uint32_t conn, wf_str host, uint32_t port) {
    wfi_net *n = ctx;
    uint64_t now = wfi_sys_now_ms();
    wfi_conn *c = net_reset(n, conn);
    c->port = (uint16_t)port;
    net_name(c, host);
    if (port == 0 || port > UINT16_MAX) return net_refuse(c, WF_E_CONFIG, "a port is a number from 1 to 65535");
    wf_status status = wfi_lookup_get(&n->lookup, host, now, &c->host);
    if (status == WF_E_CONFIG) return net_refuse(c, status, "this is no name of a host");
    if (status != WF_OK) return net_refuse(c, status, "too many other hosts are being connected to; try again later");
    c->state = WFI_CONN_CONNECTING;
    c->limit = now + n->connect_ms;
    c->again = UINT64_MAX;
    net_list(n, c);
    net_advance(n, c, now);
    return c->state == WFI_CONN_FAILED ? WF_E_IO : WF_OK;
}

/* Of a connection that is not open. */
static wf_status net_not_open(const wfi_conn *c) {
    return c->state == WFI_CONN_CONNECTING ? WF_AGAIN : WF_E_IO;
}

/* A failed write leaves the reading side alone: an answer that came before the peer hung up can still be read. */
static wf_status net_write(void *ctx, uint32_t conn, const void *buf, size_t size, size_t *put) {
    wfi_net *n = ctx;
    wfi_conn *c = &n->conn[conn];
    ssize_t r;
    *put = 0;
    if (c->state != WFI_CONN_OPEN) return net_not_open(c);
    if (!c->can_write) {
        c->want_write = true;
        return WF_AGAIN;
    }
    do
        r = send(c->attempt[0].fd, buf, size, NET_SEND_FLAGS);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
        c->can_read = c->hung_up = true; /* no need to wait until it is announced */
        return net_broke(c, errno);
    }
    c->can_write = r == (ssize_t)size;
    c->want_write = r < 0;
    if (r < 0) return WF_AGAIN;
    *put = (size_t)r;
    return WF_OK;
}

static wf_status net_read(void *ctx, uint32_t conn, void *buf, size_t size, size_t *got) {
    wfi_net *n = ctx;
    wfi_conn *c = &n->conn[conn];
    ssize_t r;
    *got = 0;
    if (c->state != WFI_CONN_OPEN) return net_not_open(c);
    if (!c->can_read) {
        c->want_read = true;
        return WF_AGAIN;
    }
    do
        r = recv(c->attempt[0].fd, buf, size, 0);
    while (r < 0 && errno == EINTR);
    if (r == 0) return WF_END;
    if (r < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
        net_broke(c, errno);
        net_leave(n, c, WFI_CONN_FAILED);
        return WF_E_IO;
    }
    c->can_read = r == (ssize_t)size || (r > 0 && c->hung_up);
    c->want_read = r < 0;
    if (r < 0) return WF_AGAIN;
    *got = (size_t)r;
    return WF_OK;
}

static uint32_t net_ready(void *ctx, uint32_t *conns, uint32_t max) {
    wfi_net *n = ctx;
    uint32_t count = 0;
    uint64_t now = wfi_sys_now_ms();
    if (n->news || now != n->gathered) {
        n->news = false;
        n->gathered = now;
        net_gather(n);
    }
    if (wfi_lookup_pump(&n->lookup, now) || now >= n->due) {
        n->due = UINT64_MAX;
        for (uint32_t i = n->connecting, next; i != NET_NONE; i = next) {
            next = n->conn[i].next;
            net_advance(n, &n->conn[i], now);
        }
    }
    while (count < max && n->ready_first != NET_NONE) {
        uint32_t index = net_unqueue(n);
        if (n->conn[index].state != WFI_CONN_CLOSED) conns[count++] = index;
    }
    return count;
}

static uint64_t net_due(void *ctx) {
    return wfi_net_due(ctx, wfi_sys_now_ms());
}

static wf_str net_error(void *ctx, uint32_t conn) {
    const wfi_net *n = ctx;
    return wf_str_of(n->conn[conn].error, strlen(n->conn[conn].error));
}

const wf_net_ops *wfi_net_ops(void) {
    static const wf_net_ops ops = {net_open, NULL, net_write, net_read, net_close, net_ready, net_due, net_error};
    return &ops;
}

/* ---- life ---- */

static size_t net_align(size_t n) {
    return (n + NET_ALIGN - 1) & ~(NET_ALIGN - 1);
}

static uint32_t net_hosts(uint32_t conns) {
    return conns < NET_HOSTS_MIN ? NET_HOSTS_MIN : conns > NET_HOSTS_MAX ? NET_HOSTS_MAX : conns;
}

size_t wfi_net_size(uint32_t conns) {
    return net_align(sizeof(wfi_net)) + net_align(conns * sizeof(wfi_conn)) +
           net_align(wfi_lookup_size(net_hosts(conns)));
}

wfi_net *wfi_net_open(void *memory, uint32_t conns) {
    wfi_net *n = memory;
    char *rest = (char *)memory + net_align(sizeof *n);
    memset(memory, 0, wfi_net_size(conns));
    n->conns = conns;
    n->conn = (wfi_conn *)(void *)rest;
    n->connecting = n->ready_first = NET_NONE;
    n->due = UINT64_MAX;
    n->connect_ms = NET_CONNECT_MS;
    n->attempt_ms = NET_ATTEMPT_MS;
    n->patience_ms = NET_PATIENCE_MS;
    wfi_lookup_init(&n->lookup, rest + net_align(conns * sizeof(wfi_conn)), net_hosts(conns));
    n->epoll = -1;
#if WFI_LINUX
    n->epoll = wfi_sys_high(epoll_create1(EPOLL_CLOEXEC));
    if (n->epoll < 0) return NULL;
#endif
    return n;
}

void wfi_net_close(wfi_net *n) {
    for (uint32_t i = 0; i < n->conns; i++)
        net_close(n, i);
    wfi_lookup_close(&n->lookup);
    wfi_sys_close(&n->epoll);
}
