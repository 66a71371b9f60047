/* net: the HTTP client for models that are served over a network, and the Anthropic Messages API. */
#ifndef WF_NET_H
#define WF_NET_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- network ----------------------------------------------------------------------------------------------------- */

/* Connections, numbered 0 .. n-1 by their user, one byte stream each. The HTTP client stands on this; TLS is a layer that has
 * the same shape and stands between. The contract of every stream here:
 *   WF_OK     1..n bytes were moved; ask again
 *   WF_AGAIN  nothing now (it is still being opened or secured, too): `ready` names the connection once when asking is worth it
 *   WF_END    of read: the peer has closed its side in good order
 *   WF_E_IO   refused or broken: `error` says why, and only `close` is left
 *   WF_E_STALE   the same, and what was asked may be asked again on another connection without counting as a retry: the peer has
 *             vanished before it said anything, or wants something of the connection that is not supported
 *   WF_E_CONFIG  the same, and another try cannot help: the peer's certificate is not to be trusted */
typedef struct wf_net_ops {
    /* Begins to connect, name look-up included; never blocks. host: a name or an address, without brackets; read during the
     * call. WF_E_CONFIG: that is no host or port; WF_E_IO, WF_E_MEMORY; WF_OK: trouble may also show later, in read and
     * write. */
    wf_status (*open)(void *ctx, uint32_t conn, wf_str host, uint32_t port);
    /* From here on the bytes go through TLS: before the first one, or after a proxy has opened its tunnel. `host` is what the
     * peer's certificate must be made out to; read during the call. `port`: the peer's, not the proxy's. NULL: there is no
     * TLS. */
    wf_status (*secure)(void *ctx, uint32_t conn, wf_str host, uint32_t port);
    wf_status (*write)(void *ctx, uint32_t conn, const void *buf, size_t n, size_t *put);
    wf_status (*read)(void *ctx, uint32_t conn, void *buf, size_t n, size_t *got);
    void (*close)(void *ctx, uint32_t conn); /* at once; one that is not open is left alone */
    /* Fills up to `max` connections that may go on; answers how many. One named in vain does no harm. */
    uint32_t (*ready)(void *ctx, uint32_t *conns, uint32_t max);
    /* When `ready` will name one without any input, on the clock of now_ms; UINT64_MAX: not by itself. */
    uint64_t (*due)(void *ctx);
    /* Why the connection failed: a sentence with host and cause; lives until its next open. */
    wf_str (*error)(void *ctx, uint32_t conn);
} wf_net_ops;

/* ---- HTTP/1.1 client (RFC 9110, RFC 9112) ---------------------------------------------------------------------------- */

/* One client serves any number of providers: it keeps connections alive per origin, speaks through a proxy, and reads
 * responses as they come. It does no I/O but through wf_net_ops, and takes no memory but what it is given. */
typedef struct wf_http wf_http;

typedef struct wf_header {
    wf_str name, value;
} wf_header;

/* Slices and pointers must outlive the client. Zero means the default. */
typedef struct wf_http_config {
    const wf_platform *platform; /* its clocks */
    const wf_net_ops *net;       /* with connections 0 .. lanes-1 */
    void *net_ctx;
    uint32_t lanes;     /* as in the wf's config; default 16 */
    uint32_t endpoints; /* at most so many; default 8 */
    uint32_t idle_ms;   /* how long an unused connection is kept; default 60000 */
    wf_str proxy;       /* [http://][user:password@]host[:port], for https:// addresses; empty: none */
    wf_str
        no_proxy; /* hosts not for it, comma-separated: names, .suffixes, addresses, address/bits; with :port or not; or * */
    bool plain; /* http:// may go to hosts other than this machine's loopback */
} wf_http_config;

/* Bytes that wf_http_open needs, at any alignment. 0: the config is not valid. */
size_t wf_http_size(const wf_http_config *config);
/* WF_E_CONFIG (error, if not NULL, says what), WF_E_MEMORY. */
wf_status wf_http_open(wf_http **out, void *memory, size_t size, const wf_http_config *config, wf_error *error);
/* The first entry of such a list that is not understood, and so covers nothing; empty: all are. */
wf_str wf_http_no_proxy_fault(wf_str no_proxy);
/* Closes its connections. */
void wf_http_close(wf_http *http);

/* An API reached through the client: every request is POST to url + path with these headers, and those that HTTP itself needs.
 * The struct is copied; what it points to must outlive the client. */
typedef struct wf_endpoint {
    wf_str url;  /* http:// or https://, host, port and a path to begin with; "/" at the end or not */
    wf_str path; /* joined with exactly one "/" */
    const wf_header *headers;
    uint32_t header_count;
    uint32_t secrets; /* so many of the last headers have values that are secrets, whatever they are called */
} wf_endpoint;

/* Makes the endpoint the transport of a provider: sets its ops and ctx. WF_E_CONFIG: the address or a header cannot be used
 * (*error, if not NULL, says why); WF_E_LIMIT: more than the config's endpoints. */
wf_status wf_http_add(wf_http *http, const wf_endpoint *endpoint, wf_provider *provider, wf_error *error);

/* What an endpoint's server last said of its limits (headers anthropic-ratelimit-*). */
typedef struct wf_rate {
    bool known;
    uint64_t limit, remaining;
    uint64_t reset_ms; /* wall time, ms since 1970; 0: not said */
} wf_rate;
typedef struct wf_rates {
    wf_rate requests, tokens, input_tokens, output_tokens;
} wf_rates;
void wf_http_rates(const wf_provider *provider, wf_rates *out); /* of a provider that wf_http_add has filled in */

/* One request of any kind, for what agents do not need; slices live until wf_http_end. */
typedef struct wf_http_call {
    wf_str method;
    wf_str url;  /* base address */
    wf_str path; /* joined with exactly one "/"; may carry a query */
    const wf_header *headers;
    uint32_t header_count;
    bool has_body;
    uint64_t body_len;
    wf_rates *rates; /* where what the server says of its limits is noted; NULL: nowhere */
} wf_http_call;

/* The functions of wf_model_ops, by their rules, for any call. A lane carries one exchange at a time, an endpoint's or one of these. */
wf_status wf_http_begin(wf_http *http, uint32_t lane, const wf_http_call *call);
wf_status wf_http_send(wf_http *http, uint32_t lane, const void *buf, size_t n, size_t *sent);
wf_status wf_http_head(wf_http *http, uint32_t lane, wf_response *out);
wf_status wf_http_recv(wf_http *http, uint32_t lane, void *buf, size_t n, size_t *got);
void wf_http_end(wf_http *http, uint32_t lane);
uint32_t wf_http_ready(wf_http *http, uint32_t *lanes, uint32_t max);
uint64_t wf_http_due(wf_http *http);
wf_str wf_http_error(wf_http *http, uint32_t lane);

typedef struct wf_http_stats {
    uint64_t requests, connections; /* begun; opened */
    uint64_t resends;               /* requests sent again since the connection was dead */
} wf_http_stats;
void wf_http_stats_get(const wf_http *http, wf_http_stats *out);

/* ---- the Anthropic Messages API ---------------------------------------------------------------------------------------- */

/* How to talk to it. Zero means the default. */
typedef struct wf_messages_settings {
    wf_str key, token; /* ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN; with both the key wins */
    wf_str version;    /* of the API; default 2026-10-21; also 2023-06-01 */
    bool x_api_key; /* the key goes into x-api-key, as gateways and the older version want it, not into authorization */
    wf_str betas;   /* comma-separated values for anthropic-beta */
    wf_str workspace_id, user_profile_id;
} wf_messages_settings;

#define WF_MESSAGES_URL     "https://api.anthropic.com"
#define WF_MESSAGES_PATH    "/v1/messages"
#define WF_MESSAGES_HEADERS 8u /* at most */

/* The base address of a server, as people write it: "/v1" or "/v1/messages" at its end, which the paths here
 * begin with, is cut off. A part of url; empty: WF_MESSAGES_URL. For wf_endpoint; wf_messages_render does it by
 * itself. */
wf_str wf_messages_base(wf_str url);

/* The headers of a request, for wf_endpoint. Values that are put together live in buf, the others in the settings. Answers how
 * many there are; 0: buf is too small (key or token + 8 bytes is enough), or a value has bytes that no header may have. */
uint32_t wf_messages_headers(const wf_messages_settings *settings, char *buf, size_t cap,
                             wf_header out[WF_MESSAGES_HEADERS]);

/* The whole API, for programs that want more of it than agents: an operation becomes an HTTP request, to be sent by wf_http_begin
 * or any other means. */
typedef enum wf_messages_op {
    WF_MESSAGES_CREATE,       /* body: a message; with "stream":true the answer is an event stream */
    WF_MESSAGES_COUNT_TOKENS, /* body: what is to be counted */
    WF_MODELS_LIST,           /* limit, after_id, before_id */
    WF_MODELS_GET,            /* id */
    WF_BATCHES_CREATE,        /* body: {"requests":[{"custom_id":...,"params":{a message}}]} */
    WF_BATCHES_LIST,          /* limit, after_id, before_id */
    WF_BATCHES_GET,           /* id */
    WF_BATCHES_CANCEL,        /* id */
    WF_BATCHES_DELETE,        /* id */
    WF_BATCHES_RESULTS /* body: the batch, as WF_BATCHES_GET was answered; the answer is lines of JSON, in any order */
} wf_messages_op;

/* What an operation does not need is left empty, or 0: not said. */
typedef struct wf_messages_call {
    wf_messages_op op;
    wf_str
        body; /* JSON; its members betas, user_profile_id and workspace_id become headers, in the place of the settings' own */
    wf_str id;
    wf_str after_id, before_id;
    uint32_t limit;
    bool beta; /* a beta operation; naming betas makes it one too. Only the version 2023-06-01 tells them from others */
    bool patient; /* the program waits longer than ten minutes for a long message that is no stream */
} wf_messages_call;

/* Slices live in the settings, the url, the call and buf. */
typedef struct wf_messages_request {
    wf_str method, url, path; /* url: the base address; path begins with "/" and goes behind it */
    wf_header headers[WF_MESSAGES_HEADERS];
    uint32_t header_count; /* host and content-length are the sender's business */
    bool has_body;         /* it may be empty: then content-length is 0 */
    wf_str body;           /* compact JSON */
} wf_messages_request;

/* url: empty: WF_MESSAGES_URL. Twice the length of call->body and of the settings, and 1 KiB, is enough for buf. WF_E_MEMORY: it is not;
 * WF_E_SYNTAX: body is no JSON object; WF_E_CONFIG: a value cannot be used; WF_E_LIMIT: a message of more than 21333 tokens that is no
 * stream: servers and proxies give up after ten minutes; WF_E_NOT_FOUND: the batch has no results yet. *error, if not NULL, says what.
 * Results that lie with another host than url are asked for without key and ids: they are nobody else's business. */
wf_status wf_messages_render(const wf_messages_settings *settings, wf_str url, const wf_messages_call *call, char *buf,
                             size_t cap, wf_messages_request *out, wf_error *error);

#ifdef __cplusplus
}
#endif

#endif
