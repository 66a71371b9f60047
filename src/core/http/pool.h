/* pool: the connections of a client, and which of them are kept open for the next request to the same origin.
 *
 * Invariants:
 *   1. A connection is FREE (closed, on the free list), IDLE (open, on the idle list) or USED (open, of one lane), never two.
 *   2. The idle list is in the order of use, last used first; so the first that expires is its last.
 *   3. No bytes of a response are outstanding on an idle connection. One on which bytes, the end or an error turn up is closed. */
#ifndef WFI_POOL_H
#define WFI_POOL_H

#include "../base/heap.h"
#include "../../api/net.h"
#include "url.h"

#define WFI_NO_CONN  UINT32_MAX
#define WFI_NO_LANE  UINT32_MAX
#define WFI_HOST_MAX 253u

typedef enum wfi_pool_state { WFI_POOL_FREE, WFI_POOL_IDLE, WFI_POOL_USED } wfi_pool_state;

typedef struct wfi_pool_conn {
    wfi_pool_state state;
    uint32_t lane;         /* USED: whose */
    uint32_t newer, older; /* IDLE: neighbours; FREE: older is the next of the free list */
    uint64_t idle_since;
    bool tls; /* origin: scheme, host, port. Whether a proxy is between follows from it */
    uint32_t port, host_len;
    char host[WFI_HOST_MAX];
} wfi_pool_conn;

typedef struct wfi_pool {
    const wf_net_ops *net;
    void *net_ctx;
    wfi_pool_conn *conns;
    uint32_t count, free, newest, oldest;
    uint64_t idle_ms;
    uint64_t opened; /* how many ever */
} wfi_pool;

WFI void wfi_pool_carve(wfi_pool *p, wfi_arena *a, uint32_t count);
/* A kept connection to the origin that still seems alive, now of this lane; WFI_NO_CONN: none. */
WFI uint32_t wfi_pool_reuse(wfi_pool *p, const wfi_url *origin, uint32_t lane);
/* A number for a new connection of this lane to the origin, not yet opened. There always is one if no lane has two. */
WFI uint32_t wfi_pool_take(wfi_pool *p, const wfi_url *origin, uint32_t lane);
/* Gives a used connection back: kept, or closed. */
WFI void wfi_pool_keep(wfi_pool *p, uint32_t conn, uint64_t now);
WFI void wfi_pool_drop(wfi_pool *p, uint32_t conn);
/* Closes what has been idle for too long; and says when that will next be so, UINT64_MAX: never. */
WFI void wfi_pool_expire(wfi_pool *p, uint64_t now);
WFI uint64_t wfi_pool_due(const wfi_pool *p);
/* The lane to which news of a connection matter; WFI_NO_LANE: none. An idle one that is no longer good is closed. */
WFI uint32_t wfi_pool_news(wfi_pool *p, uint32_t conn);
WFI void wfi_pool_close(wfi_pool *p); /* all of them */

#endif
