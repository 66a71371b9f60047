/* pool: see pool.h. Every operation is a few steps, but wfi_pool_reuse, which passes idle connections to other origins. */
#include "pool.h"

WFI void wfi_pool_carve(wfi_pool *p, wfi_arena *a, uint32_t count) {
    p->conns = wfi_arena_take(a, count, sizeof *p->conns);
    p->count = count;
    p->free = p->newest = p->oldest = WFI_NO_CONN;
    for (uint32_t i = count; p->conns && i > 0; i--) {
        p->conns[i - 1].older = p->free;
        p->free = i - 1;
    }
}

/* ---- the lists ---- */

static void pool_unlink(wfi_pool *p, uint32_t conn) {
    wfi_pool_conn *c = &p->conns[conn];
    *(c->newer != WFI_NO_CONN ? &p->conns[c->newer].older : &p->newest) = c->older;
    *(c->older != WFI_NO_CONN ? &p->conns[c->older].newer : &p->oldest) = c->newer;
}

static void pool_free(wfi_pool *p, uint32_t conn) {
    wfi_pool_conn *c = &p->conns[conn];
    p->net->close(p->net_ctx, conn);
    c->state = WFI_POOL_FREE;
    c->older = p->free;
    p->free = conn;
}

static void pool_discard(wfi_pool *p, uint32_t idle) {
    pool_unlink(p, idle);
    pool_free(p, idle);
}

/* ---- idle connections ---- */

/* Nothing is due on an idle connection. A read shows what has come all the same; it also takes in what is TLS's own. */
static bool pool_alive(const wfi_pool *p, uint32_t conn) {
    char byte;
    size_t got = 0;
    return p->net->read(p->net_ctx, conn, &byte, 1, &got) == WF_AGAIN;
}

static bool pool_serves(const wfi_pool_conn *c, const wfi_url *origin) {
    return c->port == origin->port && c->tls == origin->tls &&
           wfi_same_name(wf_str_of(c->host, c->host_len), origin->host);
}

WFI uint32_t wfi_pool_reuse(wfi_pool *p, const wfi_url *origin, uint32_t lane) {
    for (uint32_t conn = p->newest, next; conn != WFI_NO_CONN; conn = next) {
        wfi_pool_conn *c = &p->conns[conn];
        next = c->older;
        if (!pool_serves(c, origin)) continue;
        if (!pool_alive(p, conn)) {
            pool_discard(p, conn);
            continue;
        }
        pool_unlink(p, conn);
        c->state = WFI_POOL_USED;
        c->lane = lane;
        return conn;
    }
    return WFI_NO_CONN;
}

WFI uint32_t wfi_pool_take(wfi_pool *p, const wfi_url *origin, uint32_t lane) {
    if (p->free == WFI_NO_CONN && p->oldest != WFI_NO_CONN) pool_discard(p, p->oldest);
    uint32_t conn = p->free;
    WFI_ASSERT(conn != WFI_NO_CONN && origin->host.len <= WFI_HOST_MAX);
    wfi_pool_conn *c = &p->conns[conn];
    p->free = c->older;
    p->opened++;
    c->state = WFI_POOL_USED;
    c->lane = lane;
    c->tls = origin->tls;
    c->port = origin->port;
    c->host_len = (uint32_t)origin->host.len;
    wfi_copy(c->host, origin->host.ptr, origin->host.len);
    return conn;
}

WFI void wfi_pool_keep(wfi_pool *p, uint32_t conn, uint64_t now) {
    wfi_pool_conn *c = &p->conns[conn];
    WFI_ASSERT(c->state == WFI_POOL_USED);
    c->state = WFI_POOL_IDLE;
    c->idle_since = now;
    c->newer = WFI_NO_CONN;
    c->older = p->newest;
    *(p->newest != WFI_NO_CONN ? &p->conns[p->newest].newer : &p->oldest) = conn;
    p->newest = conn;
}

WFI void wfi_pool_drop(wfi_pool *p, uint32_t conn) {
    WFI_ASSERT(p->conns[conn].state == WFI_POOL_USED);
    pool_free(p, conn);
}

/* ---- time and news ---- */

WFI uint64_t wfi_pool_due(const wfi_pool *p) {
    return p->oldest == WFI_NO_CONN ? UINT64_MAX : wfi_add_sat(p->conns[p->oldest].idle_since, p->idle_ms);
}

WFI void wfi_pool_expire(wfi_pool *p, uint64_t now) {
    while (p->oldest != WFI_NO_CONN && wfi_pool_due(p) <= now)
        pool_discard(p, p->oldest);
}

WFI uint32_t wfi_pool_news(wfi_pool *p, uint32_t conn) {
    if (conn >= p->count || p->conns[conn].state == WFI_POOL_FREE) return WFI_NO_LANE;
    if (p->conns[conn].state == WFI_POOL_USED) return p->conns[conn].lane;
    if (!pool_alive(p, conn)) pool_discard(p, conn);
    return WFI_NO_LANE;
}

WFI void wfi_pool_close(wfi_pool *p) {
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->conns[i].state == WFI_POOL_IDLE) pool_unlink(p, i);
        if (p->conns[i].state != WFI_POOL_FREE) pool_free(p, i);
    }
}
