/* tls: TLS 1.2 and 1.3 as a client, over mbedTLS 3.6: a layer with the shape of wf_net_ops, between an HTTP client and a network.
 * Opt-in: define WF_PORT_MBEDTLS before including.
 *
 *     wf_tls_config tc = {.net = net, .net_ctx = ctx, .conns = 16};
 *     wf_tls_open(&tls, memory, size, &tc, &error);
 *     http_config.net = wf_tls_ops();
 *     http_config.net_ctx = tls;
 *
 * The peer's certificate is always verified, name or address included; there is no way to switch that off. Roots come from a
 * bundle of certificates in PEM, of which only what a chain needs is ever parsed. Sessions are resumed. A connection that is not
 * secured is passed through as it is.
 *
 * All memory is the caller's block. mbedTLS's allocator and its cryptography are global to the process, so only one wf_tls can be
 * open in it at a time. One thread. */
#ifndef WF_TLS_H
#define WF_TLS_H

#include "net.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Pointers must outlive the wf_tls. Zero means the default. */
typedef struct wf_tls_config {
    const wf_net_ops *net; /* below */
    void *net_ctx;
    uint32_t conns; /* connections 0 .. conns-1; default 16 */
    uint64_t (*now_ms)(
        void *ctx); /* the platform's clock. With it, connections to a host whose session is not known yet wait
                                    * half a second at most for the first of them to bring it; NULL: none waits */
    void *now_ctx;
    const char *ca_file; /* PEM bundle of roots; NULL: the first of the system's usual places that is there */
} wf_tls_config;

typedef struct wf_tls wf_tls; /* lives in the caller's block */

typedef struct wf_tls_stats {
    uint64_t handshakes, resumed; /* completed; of these, with an earlier session */
    wf_heap_use heap;
} wf_tls_stats;

/* Bytes that are enough for `conns` connections at once, at any alignment; pages that are not needed are not touched. */
size_t wf_tls_size(uint32_t conns);

/* WF_E_CONFIG; WF_E_MEMORY; WF_E_BUSY: one is open already; WF_E_NOT_FOUND: there is no bundle of roots, or ca_file cannot be read or
 * holds no certificate. wf_tls_error says more, of a failed open as well (static text or in the block). */
wf_status wf_tls_open(wf_tls **out, void *memory, size_t size, const wf_tls_config *config, wf_error *error);
void wf_tls_close(wf_tls *t); /* connections first, each without ceremony */

const wf_net_ops *wf_tls_ops(void); /* their ctx is the wf_tls */
void wf_tls_stats_get(const wf_tls *t, wf_tls_stats *out);
const char *wf_tls_error(const wf_tls *t);

#ifdef __cplusplus
}
#endif

#endif
