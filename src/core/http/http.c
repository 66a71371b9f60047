/* http: the public face of the HTTP client: carving, providers made of fixed addresses, what their servers say of limits.
 *
 * Contract: net.h. */
#include "client.h"

#define HTTP_LANES_MAX 1000u
#define HTTP_MAX       256u

/* ---- configuration ---- */

static void http_defaults(wf_http_config *c) {
    if (c->lanes == 0) c->lanes = 16;
    if (c->endpoints == 0) c->endpoints = 8;
    if (c->idle_ms == 0) c->idle_ms = 60000;
}

static const char *http_check(const wf_http_config *c) {
    const char *why;
    wfi_url proxy;
    if (!c->platform || !c->net) return "the HTTP client needs a platform and a network";
    if (c->lanes > HTTP_LANES_MAX) return "lanes must be 1 to 1000";
    if (c->endpoints > HTTP_MAX) return "endpoints must be 1 to 256";
    if (c->proxy.len == 0) return NULL;
    if (wfi_url_parse_proxy(c->proxy, &proxy, &why) != WF_OK) return why;
    if (proxy.userinfo.len > WFI_PROXY_USER_MAX) return "the proxy's user and password are longer than 255 bytes";
    return NULL;
}

static wf_http *http_carve(wfi_arena *a, const wf_http_config *c) {
    wf_http *http = wfi_arena_take(a, 1, sizeof *http);
    wfi_pool counted;
    wfi_pool_carve(http ? &http->pool : &counted, a, c->lanes);
    wfi_client_lane *lanes = wfi_arena_take(a, c->lanes, sizeof *lanes);
    wfi_endpoint *endpoints = wfi_arena_take(a, c->endpoints, sizeof *endpoints);
    if (!http) return NULL;
    http->lanes = lanes;
    http->endpoints = endpoints;
    return http;
}

size_t wf_http_size(const wf_http_config *config) {
    wf_http_config c = *config;
    wfi_arena a;
    http_defaults(&c);
    if (http_check(&c)) return 0;
    wfi_arena_init(&a, NULL, 0);
    (void)http_carve(&a, &c);
    return a.full ? 0 : a.used;
}

/* ---- the proxy's credential ---- */

static uint32_t http_hex(char c) {
    if (c >= '0' && c <= '9') return (uint32_t)(c - '0');
    if (c >= 'a' && c <= 'f') return (uint32_t)(c - 'a') + 10;
    return c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A') + 10 : 16;
}

/* What %XX stands for; a % without two digits stands for itself. Answers the length, no more than s.len. */
static size_t http_unescape(wf_str s, uint8_t *out) {
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint32_t high = i + 2 < s.len && s.ptr[i] == '%' ? http_hex(s.ptr[i + 1]) : 16;
        uint32_t low = high < 16 ? http_hex(s.ptr[i + 2]) : 16;
        out[n++] = low < 16 ? (uint8_t)(high << 4 | low) : (uint8_t)s.ptr[i];
        if (low < 16) i += 2;
    }
    return n;
}

/* RFC 4648, section 4. */
static uint32_t http_base64(const uint8_t *p, size_t n, char *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t len = 0;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = (uint32_t)p[i] << 16;
        if (i + 1 < n) bits |= (uint32_t)p[i + 1] << 8;
        if (i + 2 < n) bits |= p[i + 2];
        out[len++] = digits[bits >> 18];
        out[len++] = digits[bits >> 12 & 63];
        out[len++] = i + 1 < n ? digits[bits >> 6 & 63] : '=';
        out[len++] = i + 2 < n ? digits[bits & 63] : '=';
    }
    return len;
}

static void http_proxy(wf_http *http) {
    const char *why;
    uint8_t plain[WFI_PROXY_USER_MAX + 1];
    if (http->config.proxy.len == 0) return;
    (void)wfi_url_parse_proxy(http->config.proxy, &http->proxy, &why);
    wf_str user = http->proxy.userinfo;
    if (user.len == 0) return;
    size_t n = http_unescape(user, plain);
    if (wfi_str_find(user, ':') == user.len) plain[n++] = ':'; /* no password */
    http->credential_len = http_base64(plain, n, http->credential);
}

wf_str wf_http_no_proxy_fault(wf_str list) {
    return wfi_host_list_fault(list);
}

/* ---- life ---- */

wf_status wf_http_open(wf_http **out, void *memory, size_t size, const wf_http_config *config, wf_error *error) {
    wf_http_config c = *config;
    wfi_arena a;
    http_defaults(&c);
    const char *why = http_check(&c);
    wf_status s = why ? WF_E_CONFIG : WF_OK;
    *out = NULL;
    if (s == WF_OK && (!memory || size < wf_http_size(&c))) {
        why = "the block is too small: wf_http_size says how much this config takes";
        s = WF_E_MEMORY;
    }
    if (s != WF_OK) {
        if (error) *error = (wf_error){s, why, WF_NO_OFFSET};
        return s;
    }
    wfi_arena_init(&a, memory, size);
    wf_http *http = http_carve(&a, &c);
    WFI_ASSERT(!a.full);
    http->config = c;
    http->pool.net = c.net;
    http->pool.net_ctx = c.net_ctx;
    http->pool.idle_ms = c.idle_ms;
    for (uint32_t i = 0; i < c.lanes; i++)
        http->lanes[i].conn = WFI_NO_CONN;
    http_proxy(http);
    *out = http;
    return WF_OK;
}

void wf_http_close(wf_http *http) {
    wfi_pool_close(&http->pool);
    for (uint32_t i = 0; i < http->config.lanes; i++) {
        http->lanes[i].conn = WFI_NO_CONN;
        http->lanes[i].phase = WFI_PHASE_NONE;
    }
}

void wf_http_stats_get(const wf_http *http, wf_http_stats *out) {
    *out = http->stats;
    out->connections = http->pool.opened;
}

/* ---- endpoints as providers ---- */

static wf_http_call http_call(wfi_endpoint *e) {
    return (wf_http_call){.method = WF_STR("POST"),
                          .url = e->endpoint.url,
                          .path = e->endpoint.path,
                          .headers = e->endpoint.headers,
                          .header_count = e->endpoint.header_count,
                          .has_body = true,
                          .rates = &e->rates};
}

static wf_status http_begin(void *ctx, uint32_t lane, const wf_request *request) {
    wfi_endpoint *e = ctx;
    wf_http_call call = http_call(e);
    call.body_len = request->body_len;
    return wf_http_begin(e->http, lane, &call);
}

static wf_status http_send(void *ctx, uint32_t lane, const void *buf, size_t n, size_t *sent) {
    return wf_http_send(((wfi_endpoint *)ctx)->http, lane, buf, n, sent);
}

/* Whether a header's name says that its value is a secret: x-api-key, authorization, x-goog-api-key, cookie, ... */
static bool http_is_key(wf_str name) {
    static const char *const words[] = {"key", "auth", "token", "secret", "password", "cookie"};
    for (size_t i = 0; i < WFI_COUNT(words); i++)
        if (wfi_find_name(name, wfi_str_z(words[i])) < name.len) return true;
    return false;
}

static void http_add_key(wf_str keys[WF_KEYS_MAX], uint32_t *n, wf_str key) {
    if (*n < WF_KEYS_MAX) keys[(*n)++] = key;
}

/* Of the headers that have keys the last words; of other secrets all, and each word. */
static void http_keys(const wf_endpoint *endpoint, wf_str keys[WF_KEYS_MAX]) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < endpoint->header_count; i++) {
        wf_str value = endpoint->headers[i].value, key = value;
        bool secret = i + endpoint->secrets >= endpoint->header_count;
        if (!secret && !http_is_key(endpoint->headers[i].name)) continue;
        if (secret) http_add_key(keys, &n, key);
        for (size_t at; (at = wfi_str_find(key, ' ')) < key.len; key = wfi_str_cut(key, at + 1, key.len))
            if (secret) http_add_key(keys, &n, wfi_str_cut(key, 0, at));
        if (!secret || key.len < value.len) http_add_key(keys, &n, key);
    }
}

static wf_status http_head(void *ctx, uint32_t lane, wf_response *out) {
    wfi_endpoint *e = ctx;
    wf_status s = wf_http_head(e->http, lane, out);
    if (s == WF_OK) http_keys(&e->endpoint, out->keys);
    return s;
}

static wf_status http_recv(void *ctx, uint32_t lane, void *buf, size_t n, size_t *got) {
    return wf_http_recv(((wfi_endpoint *)ctx)->http, lane, buf, n, got);
}

static void http_end(void *ctx, uint32_t lane) {
    wf_http_end(((wfi_endpoint *)ctx)->http, lane);
}

static uint32_t http_ready(void *ctx, uint32_t *lanes, uint32_t max) {
    return wf_http_ready(((wfi_endpoint *)ctx)->http, lanes, max);
}

static uint64_t http_due(void *ctx) {
    return wf_http_due(((wfi_endpoint *)ctx)->http);
}

static wf_str http_error(void *ctx, uint32_t lane) {
    return wf_http_error(((wfi_endpoint *)ctx)->http, lane);
}

wf_status wf_http_add(wf_http *http, const wf_endpoint *endpoint, wf_provider *provider, wf_error *error) {
    static const wf_model_ops ops = {http_begin, http_send,  http_head, http_recv,
                                     http_end,   http_ready, http_due,  http_error};
    wfi_endpoint e = {.http = http, .endpoint = *endpoint};
    wf_http_call call = http_call(&e);
    wfi_url url;
    const char *why = wfi_client_check(http, &call, &url);
    wf_status s = why ? WF_E_CONFIG : WF_OK;
    if (s == WF_OK && http->endpoint_count == http->config.endpoints) {
        why = "there are more endpoints than the config of the HTTP client allows";
        s = WF_E_LIMIT;
    }
    if (s != WF_OK) {
        if (error) *error = (wf_error){s, why, WF_NO_OFFSET};
        return s;
    }
    wfi_endpoint *slot = &http->endpoints[http->endpoint_count++];
    *slot = e;
    provider->ops = &ops;
    provider->ctx = slot;
    return WF_OK;
}

void wf_http_rates(const wf_provider *provider, wf_rates *out) {
    *out = ((const wfi_endpoint *)provider->ctx)->rates;
}
