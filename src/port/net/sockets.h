/* sockets: TCP connections over IPv4 and IPv6 as wf_net_ops, without TLS.
 *
 * Life of a connection: CLOSED -> CONNECTING (name look-up, then attempts) -> OPEN -> FAILED, each -> CLOSED.
 *
 * Connecting (RFC 8305 in small): all addresses of a host are tried, families in turn, beginning with the one that answered last
 * time. The next attempt starts when one fails, or attempt_ms after the last one while that is kept open; the first to answer
 * wins. Of WFI_SOCKETS_ATTEMPTS that are open, the oldest makes room after patience_ms.
 *
 * Waiting: on Linux a socket is registered once, edge-triggered, for everything; no further epoll_ctl is needed, and close takes
 * it out. Each side of a connection has a flag that says whether a system call may move bytes. It falls when a call says
 * EAGAIN, or has moved less than asked for: whatever comes later makes a new edge. Elsewhere (WFI_PLAIN_POSIX) the same flags
 * rise from poll, asked for those sides alone that somebody waits for.
 *
 * Invariants:
 *   1. Nothing here blocks. No call allocates.
 *   2. Every descriptor is close-on-exec, at least 3, and in exactly one attempt; an OPEN connection has one attempt, its socket.
 *   3. Each socket has a serial of its own, which events carry: an event of one that is gone is passed over, however late it
 *      comes (a forked child keeps a closed socket alive for a moment).
 *   4. A side that answered AGAIN is wanted, and a wanted side that may move bytes puts its connection into the ready queue,
 *      where each stands at most once. No more than that is named, but for connections that have just opened or failed.
 *   5. After a hang-up was seen the reading side stays up: there will be no edge for an end of stream that was announced.
 *   6. CONNECTING connections, and no others, are users of a host and stand in the list `connecting`.
 *   7. Sockets are looked at when a wait has seen news of them, and by those who do not wait once in a millisecond: the pump asks
 *      far more often than there is something to see.
 *   8. `due` is never later than the first timer of a CONNECTING connection.
 *   9. On Linux, a peer that has vanished is noticed within some 20 s, by keepalive while nothing is on its way to it, else by `look`; one that
 *      acknowledges is never given up, however slow. It is WF_E_STALE if nothing has been read since the last write. `look` is no
 *      later than look_ms after the first write that is not known to have arrived. */
#ifndef WFI_SOCKETS_H
#define WFI_SOCKETS_H

#include "../../api/net.h"
#include "lookup.h"

struct pollfd;

#define WFI_SOCKETS_CONNS    4096 /* at most */
#define WFI_SOCKETS_ATTEMPTS 3    /* open at a time, of one connection */

typedef enum wfi_conn_state {
    WFI_CONN_CLOSED = 0,
    WFI_CONN_CONNECTING,
    WFI_CONN_OPEN,
    WFI_CONN_FAILED /* error says why */
} wfi_conn_state;

typedef struct wfi_attempt {
    int fd;
    uint32_t serial;
    uint32_t address; /* number in the host's answer */
} wfi_attempt;

typedef struct wfi_conn {
    uint8_t state; /* wfi_conn_state */
    bool can_read, can_write;
    bool want_read, want_write;
    bool hung_up;
    bool queued;
    bool owes;        /* something written may not have arrived */
    bool heard;       /* something was read since the last write */
    bool unheard;     /* FAILED: its peer vanished before it was heard */
    uint8_t deaf;     /* looks in a row without a sign of life */
    uint8_t attempts; /* in use below, the oldest first */
    uint16_t tried;   /* a bit for each address */
    uint16_t port;
    int failed; /* errno of the last attempt that failed */
    uint32_t host;
    wfi_attempt attempt[WFI_SOCKETS_ATTEMPTS];
    uint32_t previous, next; /* in `connecting` */
    uint32_t after;          /* in the ready queue */
    uint64_t limit;          /* of connecting */
    uint64_t again;          /* next attempt */
    char peer[64];           /* host:port, for messages; a long host is cut */
    char error[200];
} wfi_conn;

typedef struct wfi_sockets {
    wfi_conn *conn;
    uint32_t conns;
    int epoll; /* -1: poll instead */
    uint32_t serial;
    uint32_t connecting; /* first of the list */
    uint32_t ready_first, ready_last;
    uint64_t due, look;
    bool news;                                             /* a wait has seen that sockets have some */
    uint64_t gathered;                                     /* when they were last looked at */
    uint32_t connect_ms, attempt_ms, patience_ms, look_ms; /* tests shorten them */
    wfi_lookup lookup;
} wfi_sockets;

WFI size_t wfi_sockets_size(uint32_t conns); /* 16-aligned */
/* NULL with errno: the system has no epoll descriptor left. */
WFI wfi_sockets *wfi_sockets_open(void *memory, uint32_t conns);
WFI void wfi_sockets_close(wfi_sockets *n);
WFI const wf_net_ops *wfi_sockets_ops(void); /* their ctx is the wfi_sockets */
/* Whether `ready` would name a connection without looking at sockets. */
WFI bool wfi_sockets_have_news(const wfi_sockets *n);
/* When `ready` has something to do without any input; UINT64_MAX: not by itself. */
WFI uint64_t wfi_sockets_due(const wfi_sockets *n, uint64_t now);
/* Descriptors to wait for; fds has room for wfi_sockets_fds_max. */
WFI uint32_t wfi_sockets_fds_max(uint32_t conns);
WFI uint32_t wfi_sockets_fds(const wfi_sockets *n, struct pollfd *fds);
/* The same descriptors after the wait. */
WFI void wfi_sockets_waited(wfi_sockets *n, const struct pollfd *fds, uint32_t count);

#endif
