/* sockets: see sockets.h for its contract and invariants. */
#include "sockets.h"
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
#include <sys/ioctl.h>
#endif

#define SOCKETS_ALIGN       ((size_t)16)
#define SOCKETS_NONE        UINT32_MAX
#define SOCKETS_CONNECT_MS  30000u
#define SOCKETS_ATTEMPT_MS  250u
#define SOCKETS_PATIENCE_MS 2000u
#define SOCKETS_KEEPIDLE_S  8 /* below what middleboxes forget after; with the next two, 20 s */
#define SOCKETS_KEEPINTVL_S 2
#define SOCKETS_KEEPCNT     6
#define SOCKETS_LOOK_MS     4000u
#define SOCKETS_LOOKS       5u /* without a sign of life: 20 s */
#define SOCKETS_HOSTS_MIN   8u
#define SOCKETS_HOSTS_MAX   64u
#define SOCKETS_BATCH       64 /* events taken at a time */
#define SOCKETS_HOST_SHOWN  54 /* bytes of a host's name in messages */
#if defined(MSG_NOSIGNAL)
#define SOCKETS_SEND_FLAGS MSG_NOSIGNAL
#else
#define SOCKETS_SEND_FLAGS 0 /* SO_NOSIGPIPE does it */
#endif

#define SOCKETS_SILENCE "no acknowledgement for 20 s"

enum { SOCKETS_IN = 1, SOCKETS_OUT = 2, SOCKETS_HANG_UP = 4, SOCKETS_ERROR = 8 }; /* what an event says */

/* ---- queues ---- */

static void sockets_queue(wfi_sockets *n, wfi_conn *c) {
    uint32_t index = (uint32_t)(c - n->conn);
    if (c->queued) return;
    c->queued = true;
    c->after = SOCKETS_NONE;
    if (n->ready_first == SOCKETS_NONE)
        n->ready_first = index;
    else
        n->conn[n->ready_last].after = index;
    n->ready_last = index;
}

static uint32_t sockets_unqueue(wfi_sockets *n) {
    uint32_t index = n->ready_first;
    n->ready_first = n->conn[index].after;
    n->conn[index].queued = false;
    return index;
}

static void sockets_list(wfi_sockets *n, wfi_conn *c) {
    c->previous = SOCKETS_NONE;
    c->next = n->connecting;
    n->connecting = (uint32_t)(c - n->conn);
    if (c->next != SOCKETS_NONE) n->conn[c->next].previous = n->connecting;
}

static void sockets_unlist(wfi_sockets *n, const wfi_conn *c) {
    if (c->previous != SOCKETS_NONE)
        n->conn[c->previous].next = c->next;
    else
        n->connecting = c->next;
    if (c->next != SOCKETS_NONE) n->conn[c->next].previous = c->previous;
}

/* ---- failing ---- */

static void sockets_drop(wfi_conn *c, uint32_t k) {
    close(c->attempt[k].fd);
    c->attempts--;
    for (; k < c->attempts; k++)
        c->attempt[k] = c->attempt[k + 1];
}

/* Out of the state it is in, with nothing left open. */
static void sockets_leave(wfi_sockets *n, wfi_conn *c, wfi_conn_state state) {
    while (c->attempts > 0)
        sockets_drop(c, c->attempts - 1u);
    if (c->state == WFI_CONN_CONNECTING) {
        wfi_lookup_release(&n->lookup, c->host);
        sockets_unlist(n, c);
        if (n->connecting == SOCKETS_NONE) n->due = UINT64_MAX;
    }
    c->state = (uint8_t)state;
}

static const char *sockets_hint(int error) {
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

static void sockets_failed(wfi_sockets *n, wfi_conn *c) {
    sockets_leave(n, c, WFI_CONN_FAILED);
    sockets_queue(n, c);
}

static void sockets_fail(wfi_sockets *n, wfi_conn *c, const char *why, const char *hint) {
    snprintf(c->error, sizeof c->error, "cannot connect to %s: %s%s", c->peer, why, hint);
    sockets_failed(n, c);
}

static void sockets_fail_late(wfi_sockets *n, wfi_conn *c) {
    char why[40];
    snprintf(why, sizeof why, "no answer within %u s", n->connect_ms / 1000u);
    sockets_fail(n, c, why, sockets_hint(ETIMEDOUT));
}

static void sockets_fail_lookup(wfi_sockets *n, wfi_conn *c) {
    int host = (int)(strrchr(c->peer, ':') - c->peer);
    snprintf(c->error, sizeof c->error, "cannot look up %.*s: %s; is the name right, and the network up?", host,
             c->peer, n->lookup.host[c->host].reason);
    sockets_failed(n, c);
}

/* Of a connection that is not open. */
static wf_status sockets_not_open(const wfi_conn *c) {
    if (c->state == WFI_CONN_CONNECTING) return WF_AGAIN;
    return c->unheard ? WF_E_STALE : WF_E_IO;
}

/* The other end has not refused: it is no longer there. */
static wf_status sockets_vanished(wfi_sockets *n, wfi_conn *c, const char *why) {
    snprintf(c->error, sizeof c->error, "the connection to %s broke: %s", c->peer, why);
    c->unheard = !c->heard;
    sockets_leave(n, c, WFI_CONN_FAILED);
    return sockets_not_open(c);
}

static wf_status sockets_broke(wfi_sockets *n, wfi_conn *c, int error) {
    if (error == ETIMEDOUT) return sockets_vanished(n, c, SOCKETS_SILENCE);
    if (error == EHOSTUNREACH || error == ENETUNREACH) return sockets_vanished(n, c, strerror(error));
    snprintf(c->error, sizeof c->error, "the connection to %s broke: %s", c->peer, strerror(error));
    return WF_E_IO;
}

/* ---- one attempt ---- */

static socklen_t sockets_address(const wfi_address *a, uint16_t port, struct sockaddr_storage *out) {
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

static void sockets_option(int fd, int level, int name, int value) {
    setsockopt(fd, level, name, &value, sizeof value); /* one that fails costs comfort only */
}

static int sockets_socket(int family) {
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
    sockets_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    sockets_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#if defined(TCP_KEEPIDLE)
    sockets_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, SOCKETS_KEEPIDLE_S);
#elif defined(TCP_KEEPALIVE)
    sockets_option(fd, IPPROTO_TCP, TCP_KEEPALIVE, SOCKETS_KEEPIDLE_S);
#endif
#if defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
    sockets_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, SOCKETS_KEEPINTVL_S);
    sockets_option(fd, IPPROTO_TCP, TCP_KEEPCNT, SOCKETS_KEEPCNT);
#endif
#if defined(SO_NOSIGPIPE)
    sockets_option(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
#endif
    return fd;
}

static bool sockets_register(const wfi_sockets *n, int fd, uint32_t serial, uint32_t index) {
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
static int sockets_connect(wfi_sockets *n, wfi_conn *c, uint32_t address) {
    struct sockaddr_storage to;
    const wfi_address *a = &n->lookup.host[c->host].answer.at[address];
    socklen_t size = sockets_address(a, c->port, &to);
    int fd = sockets_socket(a->six != 0 ? AF_INET6 : AF_INET);
    if (fd < 0) return errno;
    uint32_t serial = ++n->serial;
    bool begun = connect(fd, (const struct sockaddr *)&to, size) == 0 || errno == EINPROGRESS || errno == EINTR;
    if (!begun || !sockets_register(n, fd, serial, (uint32_t)(c - n->conn))) {
        int error = errno;
        close(fd);
        return error;
    }
    c->attempt[c->attempts++] = (wfi_attempt){fd, serial, address};
    return 0;
}

/* ---- all attempts of a connection ---- */

static bool sockets_untried(const wfi_conn *c, const wfi_host *h, uint32_t *address) {
    *address = h->answer.count;
    for (uint32_t i = h->answer.count; i-- > 0;) {
        if ((c->tried >> i & 1u) != 0) continue;
        *address = i;
        if (h->has_worked && memcmp(&h->worked, &h->answer.at[i], sizeof h->worked) == 0) break;
    }
    return *address < h->answer.count;
}

static void sockets_note_due(wfi_sockets *n, const wfi_conn *c) {
    uint64_t due = c->again < c->limit ? c->again : c->limit;
    if (due < n->due) n->due = due;
}

/* Begins one more attempt, if there is an address left; fails the connection when nothing is. */
static void sockets_attempt(wfi_sockets *n, wfi_conn *c, uint64_t now) {
    const wfi_host *h = &n->lookup.host[c->host];
    uint32_t address;
    c->again = UINT64_MAX;
    while (sockets_untried(c, h, &address)) {
        if (c->attempts == WFI_SOCKETS_ATTEMPTS) sockets_drop(c, 0);
        c->tried = (uint16_t)(c->tried | 1u << address);
        int error = sockets_connect(n, c, address);
        if (error == 0) break;
        c->failed = error;
    }
    if (c->attempts == 0) {
        sockets_fail(n, c, strerror(c->failed), sockets_hint(c->failed));
        return;
    }
    if (sockets_untried(c, h, &address))
        c->again = now + (c->attempts < WFI_SOCKETS_ATTEMPTS ? n->attempt_ms : n->patience_ms);
    sockets_note_due(n, c);
}

static void sockets_advance(wfi_sockets *n, wfi_conn *c, uint64_t now) {
    wfi_host_state host = n->lookup.host[c->host].state;
    if (host == WFI_HOST_FAILED)
        sockets_fail_lookup(n, c);
    else if (now >= c->limit)
        sockets_fail_late(n, c);
    else if (host == WFI_HOST_FOUND && (c->attempts == 0 || now >= c->again))
        sockets_attempt(n, c, now);
    else
        sockets_note_due(n, c);
}

static void sockets_won(wfi_sockets *n, wfi_conn *c, uint32_t k) {
    wfi_host *h = &n->lookup.host[c->host];
    wfi_attempt won = c->attempt[k];
    h->worked = h->answer.at[won.address];
    h->has_worked = true;
    c->attempt[k] = c->attempt[c->attempts - 1u];
    c->attempts--;
    sockets_leave(n, c, WFI_CONN_OPEN);
    c->attempt[c->attempts++] = won;
    c->can_write = true;
}

/* An attempt has an answer: a hang-up without an error is a server that took the connection and threw it away. */
static void sockets_answered(wfi_sockets *n, wfi_conn *c, uint32_t k, unsigned news) {
    int error = 0;
    socklen_t size = sizeof error;
    if ((news & (SOCKETS_OUT | SOCKETS_ERROR)) == 0) return;
    if ((news & SOCKETS_ERROR) == 0) {
        sockets_won(n, c, k);
        sockets_queue(n, c);
        return;
    }
    if (getsockopt(c->attempt[k].fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    c->failed = error != 0 ? error : ECONNRESET;
    sockets_drop(c, k);
    sockets_attempt(n, c, wfi_sys_now_ms());
}

/* ---- peers that vanish. Who waits for a reply is told by keepalive. What was written and never acknowledged is asked for here:
 * TCP_USER_TIMEOUT would also break with a living server that leaves a long request unread for a while. ---- */

#if WFI_LINUX
/* Whether something written is still on its way; *deaf: and no acknowledgement of any kind has come for `ms`. */
static bool sockets_owes(int fd, uint32_t ms, bool *deaf) {
    struct tcp_info info;
    socklen_t size = sizeof info;
    int queued = 0;
    memset(&info, 0, sizeof info);
    if (ioctl(fd, TIOCOUTQ, &queued) != 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
    *deaf = (info.tcpi_unacked > 0 || info.tcpi_probes > 0) && info.tcpi_last_ack_recv >= ms;
    return queued > 0;
}
#else
static bool sockets_owes(int fd, uint32_t ms, bool *deaf) {
    (void)fd, (void)ms, (void)deaf;
    return false;
}
#endif

static void sockets_look_at(wfi_sockets *n, wfi_conn *c) {
    bool deaf = false;
    c->owes = sockets_owes(c->attempt[0].fd, n->look_ms, &deaf);
    c->deaf = (uint8_t)(deaf && !c->can_read ? c->deaf + 1u : 0u);
    if (c->deaf < SOCKETS_LOOKS) return;
    (void)sockets_vanished(n, c, SOCKETS_SILENCE);
    sockets_queue(n, c);
}

static void sockets_look(wfi_sockets *n, uint64_t now) {
    n->look = UINT64_MAX;
    for (uint32_t i = 0; i < n->conns; i++) {
        wfi_conn *c = &n->conn[i];
        if (c->state == WFI_CONN_OPEN && c->owes) sockets_look_at(n, c);
        if (c->state == WFI_CONN_OPEN && c->owes) n->look = now + n->look_ms;
    }
}

/* Bytes were written. */
static void sockets_owe(wfi_sockets *n, wfi_conn *c) {
    c->owes = true;
    c->heard = false;
    if (n->look == UINT64_MAX) n->look = wfi_sys_now_ms() + n->look_ms;
}

/* ---- events ---- */

static void sockets_event(wfi_sockets *n, uint32_t index, uint32_t serial, unsigned news) {
    wfi_conn *c = &n->conn[index];
    uint32_t k = 0;
    while (k < c->attempts && c->attempt[k].serial != serial)
        k++;
    if (k == c->attempts) return;
    if (c->state == WFI_CONN_CONNECTING) sockets_answered(n, c, k, news);
    if (c->state != WFI_CONN_OPEN) return;
    if ((news & (SOCKETS_HANG_UP | SOCKETS_ERROR)) != 0) c->hung_up = true;
    if ((news & (SOCKETS_IN | SOCKETS_HANG_UP | SOCKETS_ERROR)) != 0) c->can_read = true;
    if ((news & (SOCKETS_OUT | SOCKETS_ERROR)) != 0) c->can_write = true;
    if ((c->want_read && c->can_read) || (c->want_write && c->can_write)) sockets_queue(n, c);
}

#if WFI_LINUX

static unsigned sockets_news(uint32_t events) {
    return ((events & EPOLLIN) != 0 ? SOCKETS_IN : 0u) | ((events & EPOLLOUT) != 0 ? SOCKETS_OUT : 0u) |
           ((events & EPOLLRDHUP) != 0 ? SOCKETS_HANG_UP : 0u) |
           ((events & (EPOLLHUP | EPOLLERR)) != 0 ? SOCKETS_ERROR : 0u);
}

static void sockets_gather(wfi_sockets *n) {
    struct epoll_event events[SOCKETS_BATCH];
    for (uint32_t taken = 0; taken <= n->conns; taken += SOCKETS_BATCH) {
        int got = epoll_wait(n->epoll, events, SOCKETS_BATCH, 0);
        for (int i = 0; i < got; i++)
            sockets_event(n, (uint32_t)events[i].data.u64, (uint32_t)(events[i].data.u64 >> 32),
                          sockets_news(events[i].events));
        if (got < SOCKETS_BATCH) break;
    }
}

uint32_t wfi_sockets_fds_max(uint32_t conns) {
    (void)conns;
    return WFI_LOOKUP_CHILDREN + 1;
}

static uint32_t sockets_fds(const wfi_sockets *n, struct pollfd *fds) {
    *fds = (struct pollfd){.fd = n->epoll, .events = POLLIN};
    return 1;
}

#else

static unsigned sockets_news(int events) {
    return ((events & POLLIN) != 0 ? SOCKETS_IN : 0u) | ((events & POLLOUT) != 0 ? SOCKETS_OUT : 0u) |
           ((events & (POLLHUP | POLLERR | POLLNVAL)) != 0 ? SOCKETS_ERROR : 0u);
}

/* What a connection waits for; at most WFI_SOCKETS_ATTEMPTS. */
static uint32_t sockets_interest(const wfi_conn *c, struct pollfd *fds) {
    int events = POLLOUT;
    if (c->state == WFI_CONN_OPEN)
        events = (c->want_read && !c->can_read ? POLLIN : 0) | (c->want_write && !c->can_write ? POLLOUT : 0);
    for (uint32_t k = 0; events != 0 && k < c->attempts; k++)
        fds[k] = (struct pollfd){.fd = c->attempt[k].fd, .events = (short)events};
    return events != 0 ? c->attempts : 0;
}

static void sockets_gather_from(wfi_sockets *n, struct pollfd *fds, const uint64_t *whose, uint32_t count) {
    if (count == 0 || poll(fds, count, 0) <= 0) return;
    for (uint32_t i = 0; i < count; i++)
        if (fds[i].revents != 0)
            sockets_event(n, (uint32_t)whose[i], (uint32_t)(whose[i] >> 32), sockets_news(fds[i].revents));
}

static void sockets_gather(wfi_sockets *n) {
    struct pollfd fds[SOCKETS_BATCH + WFI_SOCKETS_ATTEMPTS];
    uint64_t whose[SOCKETS_BATCH + WFI_SOCKETS_ATTEMPTS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->conns; i++) {
        const wfi_conn *c = &n->conn[i];
        uint32_t more = sockets_interest(c, fds + count);
        for (uint32_t k = 0; k < more; k++)
            whose[count + k] = (uint64_t)c->attempt[k].serial << 32 | i;
        count += more;
        if (count < SOCKETS_BATCH) continue;
        sockets_gather_from(n, fds, whose, count);
        count = 0;
    }
    sockets_gather_from(n, fds, whose, count);
}

uint32_t wfi_sockets_fds_max(uint32_t conns) {
    return WFI_LOOKUP_CHILDREN + conns * WFI_SOCKETS_ATTEMPTS;
}

static uint32_t sockets_fds(const wfi_sockets *n, struct pollfd *fds) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->conns; i++)
        count += sockets_interest(&n->conn[i], fds + count);
    return count;
}

#endif

uint32_t wfi_sockets_fds(const wfi_sockets *n, struct pollfd *fds) {
    int children[WFI_CHILD_MAX];
    uint32_t count = wfi_lookup_fds(&n->lookup, children);
    for (uint32_t i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = children[i], .events = POLLIN};
    return count + sockets_fds(n, fds + count);
}

void wfi_sockets_waited(wfi_sockets *n, const struct pollfd *fds, uint32_t count) {
    for (uint32_t i = 0; i < count && !n->news; i++)
        n->news = fds[i].revents != 0;
}

bool wfi_sockets_have_news(const wfi_sockets *n) {
    return n->ready_first != SOCKETS_NONE;
}

uint64_t wfi_sockets_due(const wfi_sockets *n, uint64_t now) {
    if (wfi_sockets_have_news(n)) return now;
    uint64_t due = wfi_lookup_due(&n->lookup, now), own = n->due < n->look ? n->due : n->look;
    return due < own ? due : own;
}

/* ---- the ops ---- */

static void sockets_name(wfi_conn *c, wf_str host) {
    int length = host.len <= SOCKETS_HOST_SHOWN ? (int)host.len : SOCKETS_HOST_SHOWN - 3;
    const char *cut = host.len <= SOCKETS_HOST_SHOWN ? "" : "...";
    bool six = host.len > 0 && memchr(host.ptr, ':', host.len) != NULL;
    snprintf(c->peer, sizeof c->peer, six ? "[%.*s%s]:%u" : "%.*s%s:%u", length, host.ptr, cut, (unsigned)c->port);
}

static void sockets_close(void *ctx, uint32_t conn) {
    wfi_sockets *n = ctx;
    sockets_leave(n, &n->conn[conn], WFI_CONN_CLOSED);
}

/* A place in the ready queue outlives close and open; the connection is then named in vain. */
static wfi_conn *sockets_reset(wfi_sockets *n, uint32_t conn) {
    wfi_conn *c = &n->conn[conn];
    bool queued = c->queued;
    uint32_t after = c->after;
    sockets_close(n, conn);
    memset(c, 0, sizeof *c);
    c->queued = queued;
    c->after = after;
    return c;
}

static wf_status sockets_refuse(wfi_conn *c, wf_status status, const char *why) {
    c->state = WFI_CONN_FAILED;
    snprintf(c->error, sizeof c->error, "cannot connect to %s: %s", c->peer, why);
    return status;
}

static wf_status sockets_open(void *ctx, uint32_t conn, wf_str host, uint32_t port) {
    wfi_sockets *n = ctx;
    uint64_t now = wfi_sys_now_ms();
    wfi_conn *c = sockets_reset(n, conn);
    c->port = (uint16_t)port;
    sockets_name(c, host);
    if (port == 0 || port > UINT16_MAX) return sockets_refuse(c, WF_E_CONFIG, "a port is a number from 1 to 65535");
    wf_status status = wfi_lookup_get(&n->lookup, host, now, &c->host);
    if (status == WF_E_CONFIG) return sockets_refuse(c, status, "this is no name of a host");
    if (status != WF_OK)
        return sockets_refuse(c, status, "too many other hosts are being connected to; try again later");
    c->state = WFI_CONN_CONNECTING;
    c->limit = now + n->connect_ms;
    c->again = UINT64_MAX;
    sockets_list(n, c);
    sockets_advance(n, c, now);
    return c->state == WFI_CONN_FAILED ? WF_E_IO : WF_OK;
}

/* A failed write leaves the reading side alone: an answer that came before the peer hung up can still be read. */
static wf_status sockets_write(void *ctx, uint32_t conn, const void *buf, size_t size, size_t *put) {
    wfi_sockets *n = ctx;
    wfi_conn *c = &n->conn[conn];
    ssize_t r;
    *put = 0;
    if (c->state != WFI_CONN_OPEN) return sockets_not_open(c);
    if (!c->can_write) {
        c->want_write = true;
        return WF_AGAIN;
    }
    do
        r = send(c->attempt[0].fd, buf, size, SOCKETS_SEND_FLAGS);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
        c->can_read = c->hung_up = true; /* no need to wait until it is announced */
        return sockets_broke(n, c, errno);
    }
    c->can_write = r == (ssize_t)size;
    c->want_write = r < 0;
    if (r < 0) return WF_AGAIN;
    sockets_owe(n, c);
    *put = (size_t)r;
    return WF_OK;
}

static wf_status sockets_read(void *ctx, uint32_t conn, void *buf, size_t size, size_t *got) {
    wfi_sockets *n = ctx;
    wfi_conn *c = &n->conn[conn];
    ssize_t r;
    *got = 0;
    if (c->state != WFI_CONN_OPEN) return sockets_not_open(c);
    if (!c->can_read) {
        c->want_read = true;
        return WF_AGAIN;
    }
    do
        r = recv(c->attempt[0].fd, buf, size, 0);
    while (r < 0 && errno == EINTR);
    if (r == 0) return WF_END;
    if (r < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
        wf_status status = sockets_broke(n, c, errno);
        sockets_leave(n, c, WFI_CONN_FAILED);
        return status;
    }
    c->can_read = r == (ssize_t)size || (r > 0 && c->hung_up);
    c->want_read = r < 0;
    if (r < 0) return WF_AGAIN;
    c->heard = true;
    *got = (size_t)r;
    return WF_OK;
}

static uint32_t sockets_ready(void *ctx, uint32_t *conns, uint32_t max) {
    wfi_sockets *n = ctx;
    uint32_t count = 0;
    uint64_t now = wfi_sys_now_ms();
    if (n->news || now != n->gathered) {
        n->news = false;
        n->gathered = now;
        sockets_gather(n);
    }
    if (now >= n->look) sockets_look(n, now);
    if (wfi_lookup_pump(&n->lookup, now) || now >= n->due) {
        n->due = UINT64_MAX;
        for (uint32_t i = n->connecting, next; i != SOCKETS_NONE; i = next) {
            next = n->conn[i].next;
            sockets_advance(n, &n->conn[i], now);
        }
    }
    while (count < max && n->ready_first != SOCKETS_NONE) {
        uint32_t index = sockets_unqueue(n);
        if (n->conn[index].state != WFI_CONN_CLOSED) conns[count++] = index;
    }
    return count;
}

static uint64_t sockets_due(void *ctx) {
    return wfi_sockets_due(ctx, wfi_sys_now_ms());
}

static wf_str sockets_error(void *ctx, uint32_t conn) {
    const wfi_sockets *n = ctx;
    return wf_str_of(n->conn[conn].error, strlen(n->conn[conn].error));
}

const wf_net_ops *wfi_sockets_ops(void) {
    static const wf_net_ops ops = {sockets_open,  NULL,          sockets_write, sockets_read,
                                   sockets_close, sockets_ready, sockets_due,   sockets_error};
    return &ops;
}

/* ---- life ---- */

static size_t sockets_align(size_t n) {
    return (n + SOCKETS_ALIGN - 1) & ~(SOCKETS_ALIGN - 1);
}

static uint32_t sockets_hosts(uint32_t conns) {
    return conns < SOCKETS_HOSTS_MIN ? SOCKETS_HOSTS_MIN : conns > SOCKETS_HOSTS_MAX ? SOCKETS_HOSTS_MAX : conns;
}

size_t wfi_sockets_size(uint32_t conns) {
    return sockets_align(sizeof(wfi_sockets)) + sockets_align(conns * sizeof(wfi_conn)) +
           sockets_align(wfi_lookup_size(sockets_hosts(conns)));
}

wfi_sockets *wfi_sockets_open(void *memory, uint32_t conns) {
    wfi_sockets *n = memory;
    char *rest = (char *)memory + sockets_align(sizeof *n);
    memset(memory, 0, wfi_sockets_size(conns));
    n->conns = conns;
    n->conn = (wfi_conn *)(void *)rest;
    n->connecting = n->ready_first = SOCKETS_NONE;
    n->due = n->look = UINT64_MAX;
    n->look_ms = SOCKETS_LOOK_MS;
    n->connect_ms = SOCKETS_CONNECT_MS;
    n->attempt_ms = SOCKETS_ATTEMPT_MS;
    n->patience_ms = SOCKETS_PATIENCE_MS;
    wfi_lookup_init(&n->lookup, rest + sockets_align(conns * sizeof(wfi_conn)), sockets_hosts(conns));
    n->epoll = -1;
#if WFI_LINUX
    n->epoll = wfi_sys_high(epoll_create1(EPOLL_CLOEXEC));
    if (n->epoll < 0) return NULL;
#endif
    return n;
}

void wfi_sockets_close(wfi_sockets *n) {
    for (uint32_t i = 0; i < n->conns; i++)
        sockets_close(n, i);
    wfi_lookup_close(&n->lookup);
    wfi_sys_close(&n->epoll);
}
