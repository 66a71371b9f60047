/* fakenet: see fakenet.h. */
#include "fakenet.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- peers ---- */

static void fakenet_append(char **to, size_t *len, size_t *cap, const void *p, size_t n) {
    if (*len + n > *cap) {
        *cap = (*len + n) * 2;
        *to = realloc(*to, *cap);
        if (!*to) abort();
    }
    if (n > 0) memcpy(*to + *len, p, n);
    *len += n;
}

void fakenet_reply(fakenet *net, uint32_t conn, const void *p, size_t n) {
    fakenet_conn *c = &net->conn[conn];
    fakenet_append(&c->out, &c->out_len, &c->out_cap, p, n);
    c->news = true;
}

void fakenet_reply_text(fakenet *net, uint32_t conn, const char *text) {
    fakenet_reply(net, conn, text, strlen(text));
}

void fakenet_end(fakenet *net, uint32_t conn) {
    net->conn[conn].end = net->conn[conn].news = true;
}

void fakenet_reset(fakenet *net, uint32_t conn) {
    net->conn[conn].reset = net->conn[conn].news = true;
}

wf_str fakenet_header(const fakenet_request *request, const char *name) {
    const char *p = request->head.ptr, *end = p + request->head.len;
    size_t n = strlen(name);
    while (p < end) {
        const char *line = memchr(p, '\r', (size_t)(end - p));
        if ((size_t)(line - p) > n && p[n] == ':' && strncasecmp(p, name, n) == 0) {
            for (p += n + 1; p < line && *p == ' '; p++)
                ;
            return wf_str_of(p, (size_t)(line - p));
        }
        p = line + 2;
    }
    return wf_str_of(NULL, 0);
}

/* The first request that was not served, if all of it has come. */
static bool fakenet_whole(const fakenet_conn *c, fakenet_request *r) {
    const char *p = c->in + c->in_done;
    size_t n = c->in_len - c->in_done;
    const char *end = n > 0 ? memmem(p, n, "\r\n\r\n", 4) : NULL;
    if (!end) return false;
    const char *line = memchr(p, '\r', n);
    const char *blank = memchr(p, ' ', n), *second = memchr(blank + 1, ' ', n - (size_t)(blank + 1 - p));
    size_t head = (size_t)(end - p) + 4, body = 0;
    r->method = wf_str_of(p, (size_t)(blank - p));
    r->target = wf_str_of(blank + 1, (size_t)(second - blank - 1));
    r->head = wf_str_of(line + 2, (size_t)(end - line));
    wf_str length = fakenet_header(r, "content-length");
    if (length.ptr) body = strtoull(length.ptr, NULL, 10);
    if (n < head + body) return false;
    r->body = wf_str_of(p + head, body);
    r->text = wf_str_of(p, head + body);
    return true;
}

static void fakenet_serve(fakenet *net, uint32_t conn) {
    fakenet_conn *c = &net->conn[conn];
    fakenet_request request;
    while (net->serve && c->open && fakenet_whole(c, &request)) {
        c->in_done += request.text.len;
        c->served++;
        net->serve(net, conn, &request);
    }
}

/* ---- wf_net_ops ---- */

static wf_status fakenet_fails(fakenet_conn *c, const char *why) {
    c->why = why;
    return WF_E_IO;
}

static wf_status fakenet_open(void *ctx, uint32_t conn, wf_str host, uint32_t port) {
    fakenet *net = ctx;
    fakenet_conn *c = &net->conn[conn];
    if (conn >= FAKENET_CONNS || c->open || host.len >= FAKENET_HOST) abort();
    free(c->in);
    free(c->out);
    memset(c, 0, sizeof *c);
    memcpy(c->host, host.ptr, host.len);
    c->port = port;
    c->window = net->window ? net->window : UINT64_MAX;
    c->open = c->news = true;
    net->opens++;
    if (++net->open_now > net->open_most) net->open_most = net->open_now;
    if (net->opened && !net->opened(net, conn)) return fakenet_fails(c, "connection refused");
    return WF_OK;
}

static wf_status fakenet_secure(void *ctx, uint32_t conn, wf_str host, uint32_t port) {
    fakenet_conn *c = &((fakenet *)ctx)->conn[conn];
    if (!c->open || c->secured || host.len >= FAKENET_HOST) abort();
    c->secured = true;
    c->secure_port = port;
    memcpy(c->secure_host, host.ptr, host.len);
    return WF_OK;
}

/* Whether this call shall find nothing, although it might. */
static bool fakenet_stutters(const fakenet *net, fakenet_conn *c, uint32_t calls) {
    if (!net->stutter || calls % 2 == 0) return false;
    c->news = true;
    return true;
}

static wf_status fakenet_write(void *ctx, uint32_t conn, const void *buf, size_t n, size_t *put) {
    fakenet *net = ctx;
    fakenet_conn *c = &net->conn[conn];
    if (!c->open || n == 0) abort();
    net->writes++;
    if (c->why) return WF_E_IO;
    if (c->secured && net->untrusted) c->why = "the certificate is not to be trusted";
    if (c->secured && net->untrusted) return WF_E_CONFIG;
    if (c->write_fails) return fakenet_fails(c, "broken pipe");
    if (c->window == 0 || fakenet_stutters(net, c, net->writes)) return WF_AGAIN;
    if (net->write_max && n > net->write_max) n = net->write_max;
    if (n > c->window) n = (size_t)c->window;
    c->window -= n;
    fakenet_append(&c->in, &c->in_len, &c->in_cap, buf, n);
    *put = n;
    fakenet_serve(net, conn);
    return WF_OK;
}

/* How many bytes the next read may have, in the pieces that were set. */
static size_t fakenet_piece(fakenet_conn *c, size_t n) {
    if (!c->pieces) return n;
    while (c->piece_left == 0)
        c->piece_left = c->pieces[c->piece++ % c->piece_count];
    if (n > c->piece_left) n = c->piece_left;
    c->piece_left -= n;
    return n;
}

static wf_status fakenet_read(void *ctx, uint32_t conn, void *buf, size_t n, size_t *got) {
    fakenet *net = ctx;
    fakenet_conn *c = &net->conn[conn];
    size_t left = c->out_len - c->out_at;
    if (!c->open || n == 0) abort();
    net->reads++;
    if (fakenet_stutters(net, c, net->reads)) return WF_AGAIN;
    if (left == 0 && c->end) return WF_END;
    if (left == 0 && c->reset) {
        wf_status s = fakenet_fails(c, "connection reset by peer");
        return c->vanished ? WF_E_STALE : s;
    }
    if (left == 0) return c->why ? WF_E_IO : WF_AGAIN;
    if (n > left) n = left;
    if (net->read_max && n > net->read_max) n = net->read_max;
    n = fakenet_piece(c, n);
    memcpy(buf, c->out + c->out_at, n);
    c->out_at += n;
    *got = n;
    return WF_OK;
}

static void fakenet_close(void *ctx, uint32_t conn) {
    fakenet *net = ctx;
    if (!net->conn[conn].open) return;
    net->conn[conn].open = false;
    net->closes++;
    net->open_now--;
}

static uint32_t fakenet_ready(void *ctx, uint32_t *conns, uint32_t max) {
    fakenet *net = ctx;
    uint32_t n = 0;
    for (uint32_t i = 0; i < FAKENET_CONNS && n < max; i++) {
        if (!net->conn[i].open || !net->conn[i].news) continue;
        net->conn[i].news = false;
        conns[n++] = i;
    }
    return n;
}

static uint64_t fakenet_due(void *ctx) {
    (void)ctx;
    return UINT64_MAX;
}

static wf_str fakenet_error(void *ctx, uint32_t conn) {
    fakenet_conn *c = &((fakenet *)ctx)->conn[conn];
    size_t n = strlen(c->host);
    memcpy(c->error, c->host, n);
    n += (size_t)snprintf(c->error + n, sizeof c->error - n, ": %s", c->why ? c->why : "no error");
    return wf_str_of(c->error, n);
}

static uint64_t fakenet_now(void *ctx) {
    return ((fakenet *)ctx)->now;
}

fakenet *fakenet_new(void) {
    fakenet *net = calloc(1, sizeof *net);
    if (!net) abort();
    net->ops = (wf_net_ops){fakenet_open,  fakenet_secure, fakenet_write, fakenet_read,
                            fakenet_close, fakenet_ready,  fakenet_due,   fakenet_error};
    net->platform =
        (wf_platform){.version = WF_PLATFORM_VERSION, .ctx = net, .now_ms = fakenet_now, .wall_ms = fakenet_now};
    return net;
}

void fakenet_free(fakenet *net) {
    for (uint32_t i = 0; i < FAKENET_CONNS; i++) {
        free(net->conn[i].in);
        free(net->conn[i].out);
    }
    free(net);
}
