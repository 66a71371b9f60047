/* client: exchanges with servers over HTTP/1.1, one on a lane at a time.
 *
 * Contract: client.h and wf_model_ops in net.h. A request's head is never in memory as a whole: each write renders it anew from the
 * slices of the call and skips what is written already (usually nothing), and takes the body's first bytes along, so that a small
 * request is one write. A response's head is read into `in` of the lane; what has come of the body with it is handed out from
 * there, the rest is read into the caller's buffer and its chunks are joined in place.
 *
 * Invariants:
 *   1. A lane has a connection exactly from a `begin` that answered WF_OK until `end` or the first failure.
 *   2. A connection is kept only if the request is written and the response read to the last byte, and no byte came after it.
 *   3. WF_E_STALE comes from a connection that had been kept, before any byte of a response, while a part of the request is still
 *      here or at once after its last byte is out; or from the network. The lane's next request opens a new connection, and is not
 *      answered so: never twice in a row.
 *   4. No value of a request's header gets into an error's text. */
#include "client.h"

#define CLIENT_AT_ONCE_MS 1000u

/* ---- error texts ---- */

static void client_say(wfi_client_lane *x, wf_str s) {
    s = wfi_utf8_clip(s, WFI_CLIENT_ERROR - x->error_len);
    for (size_t i = 0; i < s.len; i++) {
        bool control = (unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7F;
        x->error[x->error_len++] = control ? '?' : s.ptr[i];
    }
}

static void client_say_number(wfi_client_lane *x, uint32_t n) {
    char digits[20];
    client_say(x, wf_str_of(digits, wfi_u64_str(n, digits)));
}

static void client_say_host(wfi_client_lane *x, const wfi_url *url, bool port) {
    if (url->bracketed) client_say(x, WF_STR("["));
    client_say(x, url->host);
    if (url->bracketed) client_say(x, WF_STR("]"));
    if (!port && url->port == (url->tls ? 443u : 80u)) return;
    client_say(x, WF_STR(":"));
    client_say_number(x, url->port);
}

/* What was asked for; a query is left out, as it may hold a key. */
static void client_say_request(wfi_client_lane *x) {
    wf_str path = wfi_str_cut(x->call.path, 0, wfi_str_find(x->call.path, '?'));
    x->error_len = 0;
    client_say(x, x->call.method);
    client_say(x, x->url.tls ? WF_STR(" https://") : WF_STR(" http://"));
    client_say_host(x, &x->url, false);
    client_say(x, x->url.path);
    if (path.len > 0 && path.ptr[0] != '/') client_say(x, WF_STR("/"));
    client_say(x, path);
}

/* Begins a text with who it is about. */
static void client_say_who(const wf_http *http, wfi_client_lane *x) {
    x->error_len = 0;
    if (x->phase == WFI_PHASE_TUNNEL) client_say(x, WF_STR("the proxy "));
    client_say_host(x, x->phase == WFI_PHASE_TUNNEL ? &http->proxy : &x->url, x->phase == WFI_PHASE_TUNNEL);
}

/* The end of an exchange whose text is written. */
static wf_status client_break(wf_http *http, wfi_client_lane *x, wf_status status) {
    if (x->conn != WFI_NO_CONN) wfi_pool_drop(&http->pool, x->conn);
    x->conn = WFI_NO_CONN;
    x->phase = WFI_PHASE_BROKEN;
    return status;
}

static wf_status client_fail(wf_http *http, wfi_client_lane *x, wf_status status, const char *why) {
    client_say_who(http, x);
    client_say(x, WF_STR(": "));
    client_say(x, wfi_str_z(why));
    return client_break(http, x, status);
}

/* Whether a connection that is lost now was dead when its last use began, as far as one can tell. A server that has the whole
 * request for longer may be at work on it. */
static bool client_at_once(const wf_http *http, const wfi_client_lane *x) {
    const wf_platform *os = http->config.platform;
    return x->body_left > 0 || !x->head_sent || os->now_ms(os->ctx) - x->sent_at <= CLIENT_AT_ONCE_MS;
}

/* The connection failed or was closed. why: how, NULL: the network knows. Of all its answers only that no try will help matters. */
static wf_status client_lost(wf_http *http, wfi_client_lane *x, wf_status status, const char *why) {
    bool stale = status == WF_E_STALE && !x->spared && !x->heard;
    if (status != WF_E_CONFIG) status = WF_E_IO;
    x->fresh = x->spared && !x->heard; /* once for a request, however often it is tried */
    if (stale || (x->reused && !x->heard && client_at_once(http, x))) {
        x->fresh = true;
        return client_fail(http, x, WF_E_STALE, "the connection was dead");
    }
    wf_str text = why ? wf_str_of(NULL, 0) : http->config.net->error(http->config.net_ctx, x->conn);
    if (text.len == 0) return client_fail(http, x, status, why ? why : "the connection failed");
    x->error_len = 0;
    if (x->phase == WFI_PHASE_TUNNEL) client_say(x, WF_STR("the proxy: ")); /* the network knows its address alone */
    client_say(x, text);
    return client_break(http, x, status);
}

/* ---- beginning ---- */

static void client_begin_answer(wfi_client_lane *x) {
    wfi_parse_begin(&x->reader, false);
    x->reader.bodiless = wfi_str_eq(x->call.method, WF_STR("HEAD"));
}

/* Headers that say how the message is framed and kept are written by this client alone. */
static const char *client_check_header(const wf_header *h) {
    static const char *const own[] = {"host",       "content-length", "transfer-encoding", "connection",
                                      "user-agent", "expect",         "accept-encoding",   "upgrade"};
    if (!wfi_parse_name_ok(h->name)) return "the name of a header is empty or has a byte that it may not have";
    if (!wfi_parse_value_ok(h->value)) return "the value of a header has a control character, such as a line feed";
    for (size_t i = 0; i < WFI_COUNT(own); i++)
        if (wfi_same_name(h->name, wfi_str_z(own[i]))) return "a header is given that HTTP itself must write";
    return NULL;
}

WFI const char *wfi_client_check(const wf_http *http, const wf_http_call *call, wfi_url *url) {
    const char *why;
    if (wfi_url_parse(call->url, url, &why) != WF_OK) return why;
    if (url->userinfo.ptr) return "the address has a user or a password in it: give a key by its own setting";
    if (!url->tls && !http->config.plain && !wfi_host_is_loopback(url->host))
        return "http:// to another machine would show keys and prompts to the network: use https://, or allow plain "
               "HTTP";
    if (url->tls && !http->config.net->secure) return "https:// needs TLS, and this build has no TLS";
    if (!wfi_parse_name_ok(call->method)) return "the request's method is no word";
    for (size_t i = 0; i < call->path.len; i++)
        if (call->path.ptr[i] <= ' ' || call->path.ptr[i] > '~' || call->path.ptr[i] == '#')
            return "the path has a blank, a # or a byte that is not ASCII";
    why = NULL;
    for (uint32_t i = 0; i < call->header_count && !why; i++)
        why = client_check_header(&call->headers[i]);
    return why;
}

static bool client_proxied(const wf_http *http, const wfi_url *url) {
    return url->tls && http->proxy.host.len > 0 && !wfi_host_is_loopback(url->host) &&
           !wfi_host_is_listed(http->config.no_proxy, url->host, url->port);
}

static wf_status client_connect(wf_http *http, wfi_client_lane *x, uint32_t lane) {
    const wf_net_ops *net = http->config.net;
    bool proxied = client_proxied(http, &x->url);
    const wfi_url *to = proxied ? &http->proxy : &x->url;
    x->conn = wfi_pool_take(&http->pool, &x->url, lane);
    x->phase = proxied ? WFI_PHASE_TUNNEL : WFI_PHASE_SEND;
    if (proxied)
        wfi_parse_begin(&x->reader, true);
    else
        client_begin_answer(x);
    wf_status s = net->open(http->config.net_ctx, x->conn, to->host, to->port);
    if (s == WF_OK && x->url.tls && !proxied) s = net->secure(http->config.net_ctx, x->conn, x->url.host, x->url.port);
    return s == WF_OK ? WF_OK : client_lost(http, x, s, NULL);
}

wf_status wf_http_begin(wf_http *http, uint32_t lane, const wf_http_call *call) {
    wfi_client_lane *x = &http->lanes[lane];
    WFI_ASSERT(lane < http->config.lanes && x->phase == WFI_PHASE_NONE);
    bool fresh = x->fresh;
    wfi_zero(x, offsetof(wfi_client_lane, reader)); /* the rest is said by lengths, or begun anew */
    x->conn = WFI_NO_CONN;
    x->spared = fresh;
    x->call = *call;
    x->body_left = call->has_body ? call->body_len : 0;
    x->in_at = x->in_len = x->error_len = 0;
    x->phase = WFI_PHASE_SEND;
    wfi_headers_begin(&x->response);
    const char *why = wfi_client_check(http, call, &x->url);
    if (why) {
        x->phase = WFI_PHASE_BROKEN;
        client_say(x, wfi_str_z(why));
        return WF_E_CONFIG;
    }
    http->stats.requests++;
    http->stats.resends += fresh;
    if (!fresh) x->conn = wfi_pool_reuse(&http->pool, &x->url, lane);
    if (x->conn == WFI_NO_CONN) return client_connect(http, x, lane);
    x->reused = true;
    client_begin_answer(x);
    return WF_OK;
}

/* ---- sending ---- */

/* Takes text in, but for its first `skip` bytes, as long as there is room. */
typedef struct client_sink {
    char *buf;
    size_t cap, len;
    uint64_t skip;
    bool full;
} client_sink;

static void client_put(client_sink *out, wf_str s) {
    if (out->skip >= s.len) {
        out->skip -= s.len;
        return;
    }
    s = wfi_str_cut(s, (size_t)out->skip, s.len);
    out->skip = 0;
    if (s.len > out->cap - out->len) out->full = true;
    if (out->full) s = wfi_str_cut(s, 0, out->cap - out->len);
    wfi_copy(out->buf + out->len, s.ptr, s.len);
    out->len += s.len;
}

static void client_put_number(client_sink *out, uint64_t n) {
    char digits[20];
    client_put(out, wf_str_of(digits, wfi_u64_str(n, digits)));
}

static void client_put_host(client_sink *out, const wfi_url *url, bool port) {
    if (url->bracketed) client_put(out, WF_STR("["));
    client_put(out, url->host);
    if (url->bracketed) client_put(out, WF_STR("]"));
    if (!port && url->port == (url->tls ? 443u : 80u)) return;
    client_put(out, WF_STR(":"));
    client_put_number(out, url->port);
}

/* host and user-agent, with which the headers of every request begin. */
static void client_put_first(client_sink *out, const wfi_url *url, bool port) {
    client_put(out, WF_STR(" HTTP/1.1\r\nhost: "));
    client_put_host(out, url, port);
    client_put(out, WF_STR("\r\nuser-agent: workflow.h/" WF_VERSION "\r\n"));
}

static void client_put_connect(const wf_http *http, const wfi_client_lane *x, client_sink *out) {
    client_put(out, WF_STR("CONNECT "));
    client_put_host(out, &x->url, true);
    client_put_first(out, &x->url, true);
    if (http->credential_len > 0) {
        client_put(out, WF_STR("proxy-authorization: Basic "));
        client_put(out, wf_str_of(http->credential, http->credential_len));
        client_put(out, WF_STR("\r\n"));
    }
    client_put(out, WF_STR("\r\n"));
}

static void client_put_request(const wfi_client_lane *x, client_sink *out) {
    const wf_http_call *call = &x->call;
    bool slash = call->path.len > 0 && call->path.ptr[0] == '/';
    client_put(out, call->method);
    client_put(out, WF_STR(" "));
    client_put(out, x->url.path);
    if (!slash && (call->path.len > 0 || x->url.path.len == 0)) client_put(out, WF_STR("/"));
    client_put(out, call->path);
    client_put_first(out, &x->url, false);
    for (uint32_t i = 0; i < call->header_count; i++) {
        client_put(out, call->headers[i].name);
        client_put(out, WF_STR(": "));
        client_put(out, call->headers[i].value);
        client_put(out, WF_STR("\r\n"));
    }
    if (call->has_body) {
        client_put(out, WF_STR("content-length: "));
        client_put_number(out, call->body_len);
        client_put(out, WF_STR("\r\n"));
    }
    client_put(out, WF_STR("\r\n"));
}

/* One write of what is left of the head, with as much of the body as there is room for. */
static wf_status client_write_head(wf_http *http, wfi_client_lane *x, wf_str body, size_t *sent) {
    client_sink out = {.buf = http->out, .cap = sizeof http->out, .skip = x->head_at};
    size_t put = 0;
    if (x->phase == WFI_PHASE_TUNNEL)
        client_put_connect(http, x, &out);
    else
        client_put_request(x, &out);
    size_t head = out.len;
    bool last = !out.full;
    client_put(&out, body); /* `full` by now cuts this to nothing */
    wf_status s = http->config.net->write(http->config.net_ctx, x->conn, http->out, out.len, &put);
    if (s != WF_OK) return s;
    WFI_ASSERT(put > 0 && put <= out.len);
    x->head_at += put < head ? put : head;
    x->head_sent = last && put >= head;
    *sent += put > head ? put - head : 0;
    return WF_OK;
}

/* Writes the head, if that is still to be done, and the body's bytes, until all is written or nothing goes. */
static wf_status client_write(wf_http *http, wfi_client_lane *x, wf_str body, size_t *sent) {
    while (!x->head_sent || *sent < body.len) {
        wf_str rest = wfi_str_cut(body, *sent, body.len);
        size_t put = 0;
        wf_status s = x->head_sent ? http->config.net->write(http->config.net_ctx, x->conn, rest.ptr, rest.len, &put)
                                   : client_write_head(http, x, rest, &put);
        if (s != WF_OK) return s;
        WFI_ASSERT(put <= rest.len);
        *sent += put;
        x->sent_at = http->config.platform->now_ms(http->config.platform->ctx);
    }
    return WF_OK;
}

/* ---- the head of the response ---- */

static void client_header(wf_http *http, wfi_client_lane *x) {
    const wfi_parser *r = &x->reader;
    if (x->phase == WFI_PHASE_TUNNEL) return;
    wfi_headers_header(&x->response, r->name, r->value, r->cut, x->call.rates);
    if (r->status / 100 != 3 || !wfi_str_eq(r->name, WF_STR("location"))) return;
    client_say_who(http, x);
    client_say(x, WF_STR(" redirects to "));
    client_say(x, r->cut ? WF_STR("a long address") : r->value); /* a part of a key in it could not be told */
    client_say(x, WF_STR(", which is not followed: give that address, if it is right"));
}

static wf_status client_head_end(wfi_client_lane *x) {
    size_t used;
    if (x->phase == WFI_PHASE_TUNNEL) return WF_OK;
    if (x->reader.status == 404) client_say_request(x);
    x->phase = wfi_parse_read(&x->reader, x->in, 0, &used) == WFI_PARSE_END ? WFI_PHASE_DONE : WFI_PHASE_BODY;
    return WF_OK;
}

/* Goes through what is in `in`. WF_OK: the head is complete. WF_AGAIN: more is needed. */
static wf_status client_parse_head(wf_http *http, wfi_client_lane *x) {
    for (;;) {
        size_t used;
        wfi_parse_event e = wfi_parse_read(&x->reader, x->in + x->in_at, x->in_len - x->in_at, &used);
        x->in_at += (uint32_t)used;
        switch (e) {
        case WFI_PARSE_MORE:
            return WF_AGAIN;
        case WFI_PARSE_STATUS:
            x->answered = true;
            break;
        case WFI_PARSE_HEADER:
            client_header(http, x);
            break;
        case WFI_PARSE_HEAD:
            return client_head_end(x);
        default:
            return client_fail(http, x, WF_E_IO, x->reader.why);
        }
    }
}

/* Reads on in the head. WF_OK: it is complete. */
static wf_status client_read_head(wf_http *http, wfi_client_lane *x) {
    for (;;) {
        size_t got = 0;
        wf_status s = client_parse_head(http, x);
        if (s != WF_AGAIN) return s;
        s = http->config.net->read(http->config.net_ctx, x->conn, x->in, sizeof x->in, &got);
        if (s == WF_AGAIN) return s;
        if (s == WF_END) (void)wfi_parse_eof(&x->reader);
        if (s != WF_OK) return client_lost(http, x, s, s == WF_END ? x->reader.why : NULL);
        WFI_ASSERT(got > 0 && got <= sizeof x->in);
        x->heard = true;
        x->in_at = 0;
        x->in_len = (uint32_t)got;
    }
}

/* A write answered s, not WF_OK. A server may answer before it has read all, or anything, and then stop reading or hang up; that
 * answer is worth more than the trouble. On a kept connection it is none to this request as long as nothing of it is out. WF_OK:
 * it is there, or begins to be. */
static wf_status client_blocked(wf_http *http, wfi_client_lane *x, wf_status s) {
    if (x->head_at > 0 || (s == WF_E_IO && !x->reused)) {
        wf_status in = client_read_head(http, x);
        if (in == WF_AGAIN && x->answered) {
            x->phase = WFI_PHASE_HEAD;
            return WF_OK;
        }
        if (in != WF_AGAIN) return in;
    }
    return s == WF_AGAIN ? s : client_lost(http, x, s, NULL);
}

/* ---- tunnels ---- */

static wf_status client_refused(wf_http *http, wfi_client_lane *x) {
    uint32_t status = x->reader.status;
    bool passing = status >= 500 || status == 408 || status == 429;
    client_say_who(http, x);
    client_say(x, WF_STR(" answered "));
    client_say_number(x, status);
    client_say(x, WF_STR(" to CONNECT"));
    if (status == 407) {
        client_say(x, http->credential_len > 0 ? WF_STR("; it does not accept the user and password of HTTPS_PROXY")
                                               : WF_STR("; give user:password in HTTPS_PROXY"));
    } else {
        client_say(x, WF_STR(" "));
        client_say_host(x, &x->url, true);
    }
    return client_break(http, x, passing ? WF_E_IO : WF_E_CONFIG);
}

/* Brings the tunnel about. WF_OK: from here on the server is at the other end. */
static wf_status client_tunnel(wf_http *http, wfi_client_lane *x) {
    size_t none = 0;
    wf_status s = client_write(http, x, wf_str_of(NULL, 0), &none);
    if (s != WF_OK) return s == WF_AGAIN ? s : client_lost(http, x, s, NULL);
    s = client_read_head(http, x);
    if (s != WF_OK) return s;
    if (x->reader.status >= 300) return client_refused(http, x);
    if (x->in_at < x->in_len) return client_fail(http, x, WF_E_IO, "bytes came before the tunnel was used");
    x->phase = WFI_PHASE_SEND;
    s = http->config.net->secure(http->config.net_ctx, x->conn, x->url.host, x->url.port);
    if (s != WF_OK) return client_lost(http, x, s, NULL);
    client_begin_answer(x);
    x->head_at = 0;
    x->head_sent = x->answered = x->heard = false;
    return WF_OK;
}

/* ---- the exchange ---- */

wf_status wf_http_send(wf_http *http, uint32_t lane, const void *buf, size_t n, size_t *sent) {
    wfi_client_lane *x = &http->lanes[lane];
    wf_status s = x->phase == WFI_PHASE_TUNNEL ? client_tunnel(http, x) : WF_OK;
    *sent = 0;
    if (s != WF_OK) return s;
    if (x->phase == WFI_PHASE_SEND) {
        if (n > x->body_left) return client_fail(http, x, WF_E_CONFIG, "the body is longer than was said");
        s = client_write(http, x, wf_str_of(buf, n), sent);
        x->body_left -= *sent;
        if (s == WF_OK || (s == WF_AGAIN && *sent > 0)) return WF_OK;
        s = client_blocked(http, x, s);
        if (s != WF_OK) return s;
    }
    return x->phase >= WFI_PHASE_HEAD && x->phase <= WFI_PHASE_DONE ? WF_END : WF_E_IO;
}

wf_status wf_http_head(wf_http *http, uint32_t lane, wf_response *out) {
    wfi_client_lane *x = &http->lanes[lane];
    const wf_platform *os = http->config.platform;
    size_t none = 0;
    wf_status s = x->phase == WFI_PHASE_TUNNEL ? client_tunnel(http, x) : WF_OK;
    if (s == WF_OK && x->phase == WFI_PHASE_SEND) {
        if (x->body_left > 0) return client_fail(http, x, WF_E_CONFIG, "the body is shorter than was said");
        s = client_write(http, x, wf_str_of(NULL, 0), &none);
        if (s == WF_OK)
            x->phase = WFI_PHASE_HEAD;
        else
            s = client_blocked(http, x, s);
    }
    if (s == WF_OK && x->phase == WFI_PHASE_HEAD) s = client_read_head(http, x);
    if (s != WF_OK) return s;
    if (x->phase != WFI_PHASE_BODY && x->phase != WFI_PHASE_DONE) return WF_E_IO;
    wfi_headers_get(&x->response, x->reader.status, os->wall_ms(os->ctx), out);
    out->open_ended = !x->url.tls && wfi_parse_open_ended(&x->reader); /* TLS says when a peer closes in good order */
    return WF_OK;
}

/* Bytes of the body as they are on the wire: those that came with the head, then from the network. */
static wf_status client_raw(wf_http *http, wfi_client_lane *x, char *buf, size_t n, size_t *got) {
    wf_str rest = wfi_str_cut(wf_str_of(x->in, x->in_len), x->in_at, n);
    if (rest.len == 0) return http->config.net->read(http->config.net_ctx, x->conn, buf, n, got);
    wfi_copy(buf, rest.ptr, rest.len);
    x->in_at += (uint32_t)rest.len;
    *got = rest.len;
    return WF_OK;
}

/* Takes the coding off buf[0..n) in place: *out bytes of the body are left. */
static wf_status client_decode(wf_http *http, wfi_client_lane *x, char *buf, size_t n, size_t *out) {
    size_t at = 0, used;
    *out = 0;
    for (;;) {
        wfi_parse_event e = wfi_parse_read(&x->reader, buf + at, n - at, &used);
        at += used;
        if (e == WFI_PARSE_MORE) return WF_OK;
        if (e == WFI_PARSE_BAD) return client_fail(http, x, WF_E_IO, x->reader.why);
        if (e == WFI_PARSE_END) {
            x->phase = WFI_PHASE_DONE;
            x->extra = at < n;
            return WF_OK;
        }
        if (buf + *out != x->reader.body.ptr) wfi_move(buf + *out, x->reader.body.ptr, x->reader.body.len);
        *out += x->reader.body.len;
    }
}

wf_status wf_http_recv(wf_http *http, uint32_t lane, void *buf, size_t n, size_t *got) {
    wfi_client_lane *x = &http->lanes[lane];
    *got = 0;
    if (x->response.packed) /* said here, when the head with its status and request id is known */
        return client_fail(http, x, WF_E_IO, "the server compressed its answer though not asked to");
    while (x->phase == WFI_PHASE_BODY && *got == 0) {
        size_t raw = 0;
        wf_status s = client_raw(http, x, buf, n, &raw);
        if (s == WF_AGAIN) return s;
        if (s == WF_END && wfi_parse_eof(&x->reader) != WFI_PARSE_END)
            return client_fail(http, x, WF_E_IO, x->reader.why);
        if (s != WF_OK && s != WF_END) return client_lost(http, x, s, NULL);
        WFI_ASSERT(raw <= n);
        s = client_decode(http, x, buf, raw, got);
        if (s != WF_OK) return s;
    }
    if (*got > 0) return WF_OK;
    return x->phase == WFI_PHASE_DONE ? WF_END : WF_E_IO;
}

void wf_http_end(wf_http *http, uint32_t lane) {
    wfi_client_lane *x = &http->lanes[lane];
    const wf_platform *os = http->config.platform;
    bool whole = x->phase == WFI_PHASE_DONE && x->head_sent && x->body_left == 0 && !x->extra && x->in_at == x->in_len;
    if (x->conn != WFI_NO_CONN && whole && x->reader.keep)
        wfi_pool_keep(&http->pool, x->conn, os->now_ms(os->ctx));
    else if (x->conn != WFI_NO_CONN)
        wfi_pool_drop(&http->pool, x->conn);
    x->conn = WFI_NO_CONN;
    x->phase = WFI_PHASE_NONE;
}

/* ---- readiness ---- */

uint32_t wf_http_ready(wf_http *http, uint32_t *lanes, uint32_t max) {
    const wf_platform *os = http->config.platform;
    uint32_t named = 0;
    wfi_pool_expire(&http->pool, os->now_ms(os->ctx));
    uint32_t n = http->config.net->ready(http->config.net_ctx, lanes, max); /* connections first, lanes after */
    for (uint32_t i = 0; i < n && i < max; i++) {
        uint32_t lane = wfi_pool_news(&http->pool, lanes[i]);
        if (lane != WFI_NO_LANE) lanes[named++] = lane;
    }
    return named;
}

uint64_t wf_http_due(wf_http *http) {
    uint64_t pool = wfi_pool_due(&http->pool), net = http->config.net->due(http->config.net_ctx);
    return pool < net ? pool : net;
}

wf_str wf_http_error(wf_http *http, uint32_t lane) {
    return wf_str_of(http->lanes[lane].error, http->lanes[lane].error_len);
}
