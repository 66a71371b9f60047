/* workflow.h: dynamic workflows of model agents, from one block of memory and one log file.
 *
 * A run launches agents (sub-tasks given to a model), up to `lanes` of them working at a time. Every effect of
 * the run is a record in one append-only log, durable before anybody sees it; a run that was killed is started
 * again on its log and goes on: what had finished is answered from the log and never asked of a model again.
 *
 * Life of a run:
 *
 *     wf_init      carve everything out of the caller's block; nothing is allocated afterwards
 *     wf_run_open  start a new log, or recover the one that is there
 *     loop:        wf_agent_start / wf_effect_start     ask for work
 *                  wf_step                              one bounded turn of the pump; never blocks
 *                  wf_deliver                           take exactly one finished result
 *     wf_run_finish, then wf_step until it says WF_END  the census and the run's value become durable
 *     wf_close     give up what the platform holds; the block is the caller's again
 *
 * Rules that hold everywhere:
 *   - One thread. No function blocks, sleeps or calls back into the caller except through the platform's hooks.
 *   - Slices (wf_str) given to a function are read during the call and never kept, unless its text says so.
 *   - Slices received from a function live until the time its text names.
 *   - Zero in a config field means the default; WF_NONE switches the thing off where that makes sense.
 *   - Times are milliseconds; sizes are bytes; money is billionths of a US dollar (nano-USD).
 *   - Strings are UTF-8 with a length; they need no terminator and may hold zero bytes.
 */
#ifndef WORKFLOW_H
#define WORKFLOW_H

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WF_VERSION          "0.1.0"
#define WF_PLATFORM_VERSION 1u

#define WF_MODEL_MAX 400u /* bytes of a model's name, its provider's included */

/* Switches a limit off, where zero would mean its default. */
#define WF_NONE UINT32_MAX

/* ---- slices, status, errors ---------------------------------------------------------------------------------- */

/* A run of bytes that somebody else owns. ptr may be NULL when len is 0. */
typedef struct wf_str {
    const char *ptr;
    size_t len;
} wf_str;

/* A slice of a string literal. */
#define WF_STR(literal) (wf_str_of((literal), sizeof(literal) - 1))

static inline wf_str wf_str_of(const char *ptr, size_t len) {
    wf_str s;
    s.ptr = ptr;
    s.len = len;
    return s;
}

/* What every function answers. Not negative: no error. The list yields the enum, the names and the texts. */
#define WF_STATUS_LIST(X)                                                                                              \
    X(WF_OK, 0, "done")                                                                                                \
    X(WF_AGAIN, 1, "not yet: call again later")                                                                        \
    X(WF_END, 2, "there is no more")                                                                                   \
    X(WF_E_MEMORY, -1, "out of memory: the block, or the heap named in the message, is too small")                     \
    X(WF_E_CONFIG, -2, "the configuration or an argument is not valid")                                                \
    X(WF_E_STALE, -3, "the handle names something that is gone")                                                       \
    X(WF_E_IO, -4, "the platform could not read or write")                                                             \
    X(WF_E_SYNTAX, -5, "the text is not well-formed")                                                                  \
    X(WF_E_CORRUPT, -6, "the log is damaged")                                                                          \
    X(WF_E_FOREIGN, -7, "the file is not a workflow log")                                                              \
    X(WF_E_FUTURE, -8, "the log was written by a newer version")                                                       \
    X(WF_E_BUSY, -9, "another process holds the log")                                                                  \
    X(WF_E_LIMIT, -10, "a stated limit is reached")                                                                    \
    X(WF_E_STOPPED, -11, "the run is stopping: nothing new is started")                                                \
    X(WF_E_SCHEMA, -12, "the value does not match its schema")                                                         \
    X(WF_E_NOT_FOUND, -13, "there is no such thing")                                                                   \
    X(WF_E_INTERNAL, -14, "internal error: please report it")

typedef enum wf_status {
#define WF_STATUS_ENUM(name, value, text) name = (value),
    WF_STATUS_LIST(WF_STATUS_ENUM)
#undef WF_STATUS_ENUM
} wf_status;

/* The name ("WF_E_MEMORY") and the constant text of a status; "?" for a value that is not one. */
const char *wf_status_name(wf_status status);
const char *wf_status_text(wf_status status);

/* An error with its place. `text` is constant; `offset` is where in the input or file, or WF_NO_OFFSET. */
#define WF_NO_OFFSET UINT64_MAX
typedef struct wf_error {
    wf_status code;
    const char *text;
    uint64_t offset;
} wf_error;

/* Why an agent failed. The names are what scripts see as error.kind. */
#define WF_KIND_LIST(X)                                                                                                \
    X(WF_KIND_NONE, "none")                                                                                            \
    X(WF_KIND_SCHEMA, "schema")       /* no answer matched the schema */                                               \
    X(WF_KIND_DEADLINE, "deadline")   /* the agent's own deadline passed */                                            \
    X(WF_KIND_STALL, "stall")         /* silence longer than the stall limit, on every try */                          \
    X(WF_KIND_REFUSED, "refused")     /* the model declined */                                                         \
    X(WF_KIND_PROVIDER, "provider")   /* an error of the provider that retries did not cure */                         \
    X(WF_KIND_QUOTA, "quota")         /* paid-for quota is used up: pauses the run */                                  \
    X(WF_KIND_AUTH, "auth")           /* key, permission or model name refused: stops the run */                       \
    X(WF_KIND_CONTEXT, "context")     /* the conversation or the reply outgrew the model */                            \
    X(WF_KIND_BUDGET, "budget")       /* the budget would be overshot */                                               \
    X(WF_KIND_TOOL, "tool")           /* a tool or an effect failed in a way no model can fix */                       \
    X(WF_KIND_TURNS, "turns")         /* more turns than max_turns */                                                  \
    X(WF_KIND_CANCELLED, "cancelled") /* cancelled by the script or the caller */                                      \
    X(WF_KIND_SKIPPED, "skipped")     /* passed over by a person */                                                    \
    X(WF_KIND_MEMORY, "memory")       /* a heap was exhausted */

typedef enum wf_kind {
#define WF_KIND_ENUM(name, text) name,
    WF_KIND_LIST(WF_KIND_ENUM)
#undef WF_KIND_ENUM
        WF_KIND_COUNT
} wf_kind;

const char *wf_kind_name(wf_kind kind);
/* Whether a resumed run delivers such a failure again from its log, unless retry_failed is set; any
 * other failed call is made again. */
bool wf_kind_is_kept(wf_kind kind);

/* ---- the platform: the only way out of the core ------------------------------------------------------------------ */

/* The log file. All calls concern one file, opened and locked by the platform before wf_run_open.
 * Every function answers WF_OK, or WF_E_IO (final: the run ends with it). Offsets are from the file's start. */
typedef struct wf_log_ops {
    wf_status (*size)(void *ctx, uint64_t *out);
    /* Reads 1..n bytes at `at` into buf, *got says how many; WF_END at or past the end of the file. */
    wf_status (*read)(void *ctx, uint64_t at, void *buf, size_t n, size_t *got);
    /* Writes 1..n bytes at `at` (always the end of what was written), *put says how many. */
    wf_status (*write)(void *ctx, uint64_t at, const void *buf, size_t n, size_t *put);
    /* Makes durable all that was written before the sync began. Begins one, or asks after the one under way:
     * WF_AGAIN while it runs. Writes may go on meanwhile; they are not covered. A failed sync is never retried. */
    wf_status (*sync)(void *ctx);
    /* Drops everything from `size` on. Durable no later than the next sync. */
    wf_status (*cut)(void *ctx, uint64_t size);
} wf_log_ops;

/* A request to a model: the body's bytes follow through `send`, exactly body_len of them. */
typedef struct wf_request {
    wf_str model;      /* as in the spec, without the provider's prefix; lives until `end` */
    uint64_t body_len; /* known beforehand */
    uint32_t attempt;  /* 0 for the first */
    uint64_t deadline; /* the agent's, on the clock of now_ms; UINT64_MAX: none */
    wf_str cwd;        /* the agent's folder below the root, empty: the root. Lives until `end` */
} wf_request;

/* Head of a response. Slices may be empty and live until `end`. */
typedef struct wf_response {
    uint32_t status;        /* HTTP status */
    int64_t retry_after_ms; /* > 0, or -1: not said */
    int32_t should_retry;   /* 1, 0, or -1: not said */
    wf_str request_id;
    wf_str content_type; /* media type in lower case, without parameters; empty: JSON */
    wf_str key;          /* that the request had, so that a server which repeats it is not quoted; empty: none */
} wf_response;

/* How requests reach a model and replies come back: an HTTPS client, a function in this program, ...
 * Exchanges are numbered by lane: 0 .. lanes-1, one exchange on a lane at a time, in the order
 * begin, send..., head, recv..., end. `end` may come at any point after `begin`, also a failed one, and drops the rest.
 * WF_AGAIN means: nothing now; the lane will be named by `ready` when asking is worth it.
 * WF_E_STALE from send, head or recv, before any byte of a response: a kept connection turned out to be dead, nobody has seen
 * the request; `end` it and begin the same one again at once, which is no retry. It is answered at most once in a row.
 * WF_E_IO: the exchange is broken, another may succeed; WF_E_CONFIG: none will, until somebody fixes something. */
typedef struct wf_model_ops {
    wf_status (*begin)(void *ctx, uint32_t lane, const wf_request *request);
    /* 1..n bytes, AGAIN; WF_END: the answer is there already, so nothing more need be sent */
    wf_status (*send)(void *ctx, uint32_t lane, const void *buf, size_t n, size_t *sent);
    wf_status (*head)(void *ctx, uint32_t lane, wf_response *out);                 /* OK, AGAIN, error (E_MEMORY: the
                                                                                      agent fails, of kind `memory`) */
    wf_status (*recv)(void *ctx, uint32_t lane, void *buf, size_t n, size_t *got); /* 1..n bytes, AGAIN, END, error */
    void (*end)(void *ctx, uint32_t lane);
    /* Fills up to `max` lanes that may go on; answers how many. A lane named in vain does no harm. */
    uint32_t (*ready)(void *ctx, uint32_t *lanes, uint32_t max);
    /* When `ready` will name a lane without any input, on the clock of now_ms; UINT64_MAX: not by itself. */
    uint64_t (*due)(void *ctx);
    /* Why the last call for the lane answered an error, or where a redirection (3xx) leads to; constant or living until
     * `end`. May be NULL. */
    wf_str (*error)(void *ctx, uint32_t lane);
} wf_model_ops;

/* A tool that agents may use. All slices must outlive the wf. */
typedef struct wf_tool {
    wf_str name;
    wf_str description;
    wf_str input_schema; /* a JSON Schema of type object */
    bool effect;         /* changes the world: a durable intent goes before it, and it is never silently repeated */
    bool silent;         /* it may be long at work without a sign and ends by itself: the stall limit is not for it */
} wf_tool;

typedef struct wf_tool_call {
    wf_str name;
    wf_str input; /* JSON; lives until `end` */
    wf_str cwd;   /* a folder below the root that is all this call sees; empty: the root. Lives until `end` */
    bool script;  /* asked for by the script (an effect; the answer is JSON), not by a model (the answer is text) */
    uint64_t deadline;   /* on the clock of now_ms; UINT64_MAX: none */
    uint32_t output_max; /* longer answers are cut, saying so */
} wf_tool_call;

typedef struct wf_tool_result {
    wf_str text;   /* lives until `end` */
    bool is_error; /* goes back to the model as an error it can act on; fails a script's effect */
    bool is_fatal; /* no call of this agent can go well: the agent fails, of kind `tool`, with the text */
} wf_tool_result;

/* How tools and effects are done. One at a time per ticket; tickets are 0 .. lanes+effects+extra_tools-1. Tool calls of one turn
 * that change nothing may be under way together, and are answered in their order; one that does has its agent's turn for
 * itself. `start` may do the work at once. `result` answers WF_AGAIN until it is done; `ready` and `due` as for models. `end`
 * kills what still runs. */
typedef struct wf_tool_ops {
    wf_status (*start)(void *ctx, uint32_t ticket, const wf_tool_call *call);
    wf_status (*result)(void *ctx, uint32_t ticket, wf_tool_result *out);
    void (*end)(void *ctx, uint32_t ticket);
    uint32_t (*ready)(void *ctx, uint32_t *tickets, uint32_t max);
    uint64_t (*due)(void *ctx);
    /* A model asked for a tool that is not among the config's; `name` is as it wrote it, JSON-escaped. Why there is none, and what
     * would fix that, in words for the model; constant or living until the next call of these ops. May be NULL. */
    wf_str (*refusal)(void *ctx, wf_str name);
    /* A call was under way when an earlier process ended, and will not be done again unless the model asks anew: clears away
     * what it may have left half made. May be NULL. */
    void (*interrupted)(void *ctx, const wf_tool_call *call);
} wf_tool_ops;

/* Tokens and money of one reply, one agent or a whole run. */
typedef struct wf_usage {
    uint64_t input;       /* prompt tokens that no cache served or took in */
    uint64_t output;      /* reply tokens, thinking included */
    uint64_t cache_read;  /* prompt tokens served by the provider's cache */
    uint64_t cache_write; /* prompt tokens taken into it */
    uint64_t nano_usd;    /* cost, where known */
    uint64_t unpriced;    /* of all these tokens: those whose price is not known */
} wf_usage;

/* What a run tells while it goes, for progress views. Nothing depends on anybody listening. */
typedef enum wf_trace_type {
    WF_TRACE_START,  /* a call was given a lane; text: the model, or the effect's name */
    WF_TRACE_RESUME, /* ... and goes on with a conversation that the log holds; n: turns there */
    WF_TRACE_TURN,   /* a reply came; n: its number */
    WF_TRACE_TOOL,   /* a tool starts; text: its name */
    WF_TRACE_RETRY,  /* a request failed and will be sent again; n: try, ms: wait, text: why */
    WF_TRACE_DONE,   /* a call finished; kind tells how, text: the error's message */
    WF_TRACE_HIT,    /* a call was answered from the log; kind as in DONE */
    WF_TRACE_MISS,   /* a resumed run asks anew; text: the reason */
    WF_TRACE_PHASE,  /* text: the phase's title */
    WF_TRACE_NOTE,   /* text: a line of the script's log() */
    WF_TRACE_ERROR,  /* text: a script error that ended a branch */
    WF_TRACE_STOP    /* the run stops; text: why */
} wf_trace_type;

typedef struct wf_trace {
    wf_trace_type type;
    uint32_t id; /* the call's number in the log, 0 for none yet */
    bool effect; /* a script's effect, not an agent */
    wf_kind kind;
    wf_str label, phase, text;
    uint32_t n;
    uint64_t ms;
    wf_usage usage;
} wf_trace;

typedef struct wf_platform {
    uint32_t version;               /* WF_PLATFORM_VERSION */
    void *ctx;                      /* first argument of the functions below */
    uint64_t (*now_ms)(void *ctx);  /* monotonic */
    uint64_t (*wall_ms)(void *ctx); /* since 1970-01-01 UTC */
    wf_status (*random)(void *ctx, void *buf, size_t n);
    void (*trace)(void *ctx, const wf_trace *event); /* may be NULL; must not call back into the wf */
    const wf_log_ops *log;
    void *log_ctx;
    const wf_tool_ops *tool_ops; /* may be NULL: no tools, no effects */
    void *tool_ctx;
} wf_platform;

/* Who serves models whose name begins with "NAME:". A name without a provider is one of WF_BARE_PROVIDER's. */
#define WF_BARE_PROVIDER "anthropic"
typedef struct wf_provider {
    wf_str name;
    const wf_model_ops *ops;
    void *ctx;
    bool stream; /* replies are asked for as server-sent events; else as one JSON body */
    bool priced; /* what a reply costs is looked up in the price list; else it costs what it says itself, or nothing */
    bool silent; /* it works for long and answers at once: silence is no stall, only the deadline ends it */
} wf_provider;

/* ---- network ----------------------------------------------------------------------------------------------------- */

/* Connections, numbered 0 .. n-1 by their user, one byte stream each. The HTTP client stands on this; TLS is a layer that has
 * the same shape and stands between. The contract of every stream here:
 *   WF_OK     1..n bytes were moved; ask again
 *   WF_AGAIN  nothing now (it is still being opened or secured, too): `ready` names the connection once when asking is worth it
 *   WF_END    of read: the peer has closed its side in good order
 *   WF_E_IO   refused or broken: `error` says why, and only `close` is left
 *   WF_E_CONFIG  the same, and another try cannot help: the peer's certificate is not to be trusted */
typedef struct wf_net_ops {
    /* Begins to connect, name look-up included; never blocks. host: a name or an address, without brackets; read during the
     * call. WF_E_CONFIG: that is no host or port; WF_E_IO, WF_E_MEMORY; WF_OK: trouble may also show later, in read and
     * write. */
    wf_status (*open)(void *ctx, uint32_t conn, wf_str host, uint32_t port);
    /* From here on the bytes go through TLS: before the first one, or after a proxy has opened its tunnel. `host` is what the
     * peer's certificate must be made out to; read during the call. NULL: there is no TLS. */
    wf_status (*secure)(void *ctx, uint32_t conn, wf_str host);
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
    wf_str proxy;       /* http://[user:password@]host[:port], for https:// addresses; empty: none */
    wf_str no_proxy;    /* hosts not for it, comma-separated: names, .suffixes, addresses; with :port or not; or * */
    bool plain;         /* http:// may go to hosts other than this machine's loopback */
} wf_http_config;

/* Bytes that wf_http_open needs, at any alignment. 0: the config is not valid. */
size_t wf_http_size(const wf_http_config *config);
/* WF_E_CONFIG (error, if not NULL, says what), WF_E_MEMORY. */
wf_status wf_http_open(wf_http **out, void *memory, size_t size, const wf_http_config *config, wf_error *error);
/* Closes its connections. */
void wf_http_close(wf_http *http);

/* An API reached through the client: every request is POST to url + path with these headers, and those that HTTP itself needs.
 * The struct is copied; what it points to must outlive the client. */
typedef struct wf_endpoint {
    wf_str url;  /* http:// or https://, host, port and a path to begin with; "/" at the end or not */
    wf_str path; /* joined with exactly one "/" */
    const wf_header *headers;
    uint32_t header_count;
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
    uint64_t resends;               /* requests sent again since a kept connection was dead */
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

/* ---- prices ---------------------------------------------------------------------------------------------------------------- */

/* A price list is lines of JSON objects; "#" begins a line of comment:
 *   {"model":"claude-haiku-5-5","above":100000,"input":0.5,"output":2.5,"write_5m":0.625,"write_1h":1,"read":0.05,"source":"..."}
 * in USD per million tokens. `above`: for requests with more prompt tokens, cached ones counted. A dated id (MODEL-20251001)
 * has the price of its model. Later lines win, and lines of the config's list win over the built-in one.
 * Checks a list: WF_E_SYNTAX: error, if not NULL, has the reason and the line's number (from 1) as its offset. */
wf_status wf_prices_check(wf_str list, wf_error *error);
/* Whether a model's price is known. list: as in the config; the built-in list is looked at as well. */
bool wf_prices_known(wf_str list, wf_str model);
/* What a reply of this usage costs, in nano-USD, if what it put into the cache is kept for five minutes. False: not known. */
bool wf_prices_cost(wf_str list, wf_str model, const wf_usage *usage, uint64_t *nano_usd);

/* ---- configuration and life ---------------------------------------------------------------------------------------- */

typedef enum wf_sync { WF_SYNC_BATCH = 0, WF_SYNC_ALWAYS, WF_SYNC_OFF } wf_sync;

typedef struct wf_config {
    const wf_platform *platform; /* must outlive the wf, as must all that this struct points to */
    const wf_provider *providers;
    uint32_t provider_count;
    const wf_tool *tools; /* offered to agents; at most 32 */
    uint32_t tool_count;
    wf_str model;  /* default worker, "PROVIDER:MODEL" */
    wf_str effort; /* default effort; empty: the model's own */
    wf_str system; /* default system prompt */
    wf_str prices; /* a price list to go before the built-in one; empty: none */

    uint32_t lanes;       /* agents working at a time, 1..1000; default 16 */
    uint32_t max_agents;  /* rows of the agent table; default 1000 */
    uint32_t max_calls;   /* rows for agents and effects together; default 16 x max_agents */
    uint32_t effects;     /* effects under way at a time; default 8 */
    uint32_t extra_tools; /* a turn's tool calls that run beside its first; default: lanes; WF_NONE: none */

    uint32_t max_turns;       /* per agent; default 50 */
    uint32_t max_tokens;      /* per turn; default 16000; raised once when a reply is cut */
    uint32_t retries;         /* of one request; default 5; WF_NONE: none */
    uint32_t agent_ms;        /* an agent's deadline; default 30 min; WF_NONE: none */
    uint32_t stall_ms;        /* silence before a request is given up; default 180000; WF_NONE: none */
    uint32_t tool_output_max; /* kept of a tool's answer; default 32768 */
    uint32_t schema_tries;    /* answers that miss the schema; default 5 */
    uint64_t run_ms;          /* the run's deadline from wf_run_open; 0: none */
    uint64_t budget_tokens;   /* of all agents, input and output; 0: none */
    uint64_t budget_nano_usd; /* 0: none */

    uint32_t reply_max;  /* bytes of one reply; default 4 MiB */
    uint32_t log_buffer; /* bytes that gather before a write; default 64 KiB, least 4 KiB. A quarter more for reading */
    size_t heap;         /* bytes for messages in flight; default: what the block leaves */
    struct wf_heap *shared; /* where messages lie, in `heap` bytes of it at most; NULL: in a part of the block */
    wf_sync sync;
    bool retry_failed; /* a resumed run asks every failed call again, not only those that a new try may cure */
} wf_config;

typedef struct wf wf; /* lives in the caller's block */

/* The least size of block with which wf_init succeeds for this config, at any alignment of the block.
 * 0: the config is not valid. */
size_t wf_memory_needed(const wf_config *config);

/* Carves a wf out of the block [memory, memory+size). The config struct itself is copied.
 * WF_E_CONFIG: a field is out of range (error, if not NULL, says which); WF_E_MEMORY: the block is too small. */
wf_status wf_init(wf **out, void *memory, size_t size, const wf_config *config, wf_error *error);

/* The config with every default filled in; lives as long as the wf. */
const wf_config *wf_settings(const wf *w);

/* Ends every exchange and tool under way. The log stays resumable: what was in flight is asked again. */
void wf_close(wf *w);

/* What went wrong last, for a negative status of any function of this wf. */
void wf_last_error(const wf *w, wf_error *out);

/* How much of a heap is in use. Blocks are allocations that live: work that is over has left none, so a count
 * that grows from one repetition of the same work to the next is a leak, however few bytes it is. */
typedef struct wf_heap_use {
    size_t limit;      /* bytes that there are */
    size_t used, high; /* bytes in use now; at most ever */
    size_t blocks;     /* allocations in use now */
} wf_heap_use;

/* Memory in use, for --stats. */
typedef struct wf_memory {
    size_t block, fixed; /* the whole; tables and buffers */
    wf_heap_use heap;    /* messages in flight */
} wf_memory;
void wf_memory_stats(const wf *w, wf_memory *out);

/* ---- the run ---------------------------------------------------------------------------------------------------------- */

/* What a run was started from. In a log it is the first record. */
typedef struct wf_run_spec {
    wf_str name;     /* for people */
    wf_str script;   /* the script's text; may be empty for a C program */
    wf_str args;     /* JSON; empty means null */
    wf_str settings; /* a JSON object of the flags in force; recorded, no part of any call's identity */
} wf_run_spec;

/* Reads the log and recovers its tables: cuts a torn tail, refuses damage. WF_END: the log is empty.
 * Read-only use (to show a log) ends here. The platform's random and sync are not touched. */
wf_status wf_run_load(wf *w);

/* The run's first record, after a load or an open; slices live until wf_close. WF_E_NOT_FOUND: no log yet. */
wf_status wf_run_header(wf *w, wf_run_spec *out, uint64_t *started_wall_ms);

/* Opens the run: writes the header of a new log, or goes on with the one that is there (loading it, if wf_run_load
 * has not). With a spec whose script or args differ from the log's, calls that do not match by place are matched by
 * content. spec NULL: as recorded. The header is durable before anything is sent; WF_AGAIN: call again. */
wf_status wf_run_open(wf *w, const wf_run_spec *spec);

/* How a run stands or ended. Precedence is the order of the list, last wins. */
typedef enum wf_outcome {
    WF_RUN_OPEN = 0, /* not ended: running, or killed */
    WF_RUN_DONE,     /* completed */
    WF_RUN_FAILED,   /* the script failed */
    WF_RUN_BUDGET,
    WF_RUN_DEADLINE,
    WF_RUN_PAUSED,  /* quota or rate limit: resume later */
    WF_RUN_REFUSED, /* key, permission or model name refused */
    WF_RUN_CANCELLED
} wf_outcome;
const char *wf_outcome_name(wf_outcome outcome); /* "open", "done", "failed", ... */

typedef struct wf_census {
    uint32_t done;          /* finished well in this run or before */
    uint32_t failed;        /* failed, whether or not the script handled it */
    uint32_t cached;        /* of done and failed: answered from the log */
    uint32_t dropped;       /* branches that dropped out on purpose */
    uint32_t cancelled;     /* race losers and the like, and what a stop cut short */
    uint32_t not_run;       /* asked for, never given a lane; those that the run's cap or stop turned away too */
    uint32_t script_errors; /* branches that a mistake of the script ended; agents are not counted here */
} wf_census;

typedef struct wf_run_status {
    wf_outcome outcome; /* of the run on its log, or the reason it is stopping */
    wf_census census;   /* agents only, effects are not counted */
    wf_usage usage;     /* of all replies paid for, retries included */
    wf_usage delivered; /* of delivered results only: what the script may see */
    uint32_t agents;    /* rows taken */
    uint32_t running, queued;
    uint32_t effects;    /* under way that change the world: broken off, they would be "interrupted, state unknown" */
    uint64_t now_ms;     /* the run's own clock: wall time of the last delivery, in ms since 1970 */
    uint64_t started_ms; /* wall time of the run's start */
    uint64_t log_bytes, synced_bytes;
    uint64_t syncs; /* made by this process */
    wf_str text;    /* why it stopped, where known; lives until the next call that changes the run */
} wf_run_status;
void wf_run_status_get(const wf *w, wf_run_status *out);

/* Why the run is stopping; WF_RUN_OPEN: it is not. Unlike wf_run_status_get, which counts, this costs nothing. */
wf_outcome wf_run_stopping(const wf *w);

/* Stops the run for a reason: nothing more is sent; waiting calls are answered by wf_deliver with WF_E_STOPPED, once
 * each. A later, stronger reason replaces a weaker one. */
void wf_run_stop(wf *w, wf_outcome reason, wf_str text);

/* Lowers the run's budget to these caps where they are below it; 0: no cap. For caps that a script brings along: what the
 * person who started the run allowed is never raised. Counts from the run's beginning, as the config's budget does. */
void wf_run_cap(wf *w, uint64_t tokens, uint64_t nano_usd);

/* Ends the run. value: text, or JSON if json; for a failed script its error text. dropped: branches that dropped out;
 * rejected: agents that did well by themselves and whose answer the script rejected for good, which makes them failed ones;
 * script_errors: branches that a mistake of the script ended.
 * Then call wf_step until it answers WF_END: the end is durable. */
wf_status wf_run_finish(wf *w, wf_outcome outcome, wf_str value, bool json, uint32_t dropped, uint32_t rejected,
                        uint32_t script_errors);

/* The value of a finished run (from this process or from the log). Lives until wf_close. WF_E_NOT_FOUND: not finished. */
wf_status wf_run_value(wf *w, wf_str *value, bool *json);

/* ---- calls ------------------------------------------------------------------------------------------------------------ */

/* A call under way. Slot and generation: a handle of a call that is gone is refused, never mistaken for another. */
typedef struct wf_call {
    uint64_t bits; /* 0: none */
} wf_call;

typedef struct wf_agent_spec {
    wf_str path;     /* the call's logical place; empty: its number among the path-less ones */
    wf_str identity; /* bytes that identify prompt and options as their author wrote them; empty: prompt, schema,
                      * system, model, effort, tools as given here */
    wf_str prompt;
    wf_str label, phase;          /* for people; no part of the identity */
    wf_str schema;                /* JSON Schema of the answer; empty: the answer is text */
    wf_str model, effort, system; /* empty: the run's */
    wf_str tools;                 /* names, comma-separated; empty: all of the config; "none": no tool */
    uint32_t max_turns, max_tokens, retries, agent_ms, stall_ms; /* 0: the run's */
    wf_str cwd; /* a folder below the root: all that the agent's tools see; empty: the root */
    uint64_t budget_tokens, budget_nano_usd; /* of this agent alone; 0: none. Checked as the run's */
    bool no_cache;                           /* never answered from the log */
} wf_agent_spec;

/* Asks for an agent. WF_E_LIMIT: the agent or call table is full (a run-level stop); WF_E_STOPPED; WF_E_CONFIG. */
wf_status wf_agent_start(wf *w, const wf_agent_spec *spec, wf_call *out);

typedef struct wf_effect_spec {
    wf_str path;  /* as an agent's */
    wf_str name;  /* at most 64 bytes */
    wf_str input; /* JSON; with the name it identifies the effect */
    uint32_t ms;  /* its deadline; 0: an agent's; WF_NONE: none */
    bool
        changes; /* it changes the world: a durable intent goes before it. One that was under way when the run was killed
                   * fails as "interrupted, state unknown", and is never silently repeated */
} wf_effect_spec;

/* Asks for an effect of the script (files, read, exec, ...); the answer is JSON. Errors as above. */
wf_status wf_effect_start(wf *w, const wf_effect_spec *spec, wf_call *out);

/* Gives a call up. It is never delivered; its slot stays taken for the census. WF_E_STALE: already delivered or gone. */
wf_status wf_call_cancel(wf *w, wf_call call);

typedef enum wf_note_kind {
    WF_NOTE_LINE = 0, /* a line for people */
    WF_NOTE_PHASE,    /* a phase's title */
    WF_NOTE_ERROR     /* a mistake of the script that ended a branch of it */
} wf_note_kind;

/* A line of the run's story. Recorded once, however often the run is replayed; an error in each replay that meets it, so that
 * those of the script in force stand after the log's last "run" or "resume". */
wf_status wf_note(wf *w, wf_note_kind kind, wf_str text);

/* One bounded turn of the pump: at most about max_work small pieces of work. *wait_ms: how long the caller may sleep
 * if nothing becomes ready meanwhile (0: call again at once; UINT32_MAX: until something does).
 * WF_OK; WF_END once the run's end is durable; WF_E_IO, WF_E_MEMORY, ...: the run cannot go on (exit 74 or 70). */
wf_status wf_step(wf *w, uint32_t max_work, uint32_t *wait_ms);

typedef struct wf_delivery {
    wf_call call;
    uint32_t id;  /* number in the log */
    wf_kind kind; /* WF_KIND_NONE: value is the answer; else value is the error's message */
    wf_str value; /* text, or JSON if json; lives until the next wf_deliver, wf_run_finish or wf_close */
    bool json;
    bool cached; /* answered from the log */
    uint32_t attempts, turns;
    wf_usage usage;
    bool stopped; /* the run is stopping and this call will not be answered; kind and value say why */
} wf_delivery;

/* Hands out exactly one durable result, in the order of the log. Call it only when the script can go no further:
 * WF_AGAIN (nothing to deliver) lets new work be sent. While recorded answers wait, nothing is sent.
 * WF_END: no call is waiting, so nothing will ever come. WF_E_MEMORY: there is no memory for the answer; it stays next. */
wf_status wf_deliver(wf *w, wf_delivery *out);

/* One row of the table, from 0 up: for `show` and progress views. Texts live until the next call of this function.
 * WF_END: no such row. */
typedef struct wf_call_info {
    uint32_t id;
    bool effect;
    bool finished, cancelled;
    bool superseded; /* a later row is a fresh try of it, or has taken its answer over */
    wf_kind kind;
    uint32_t turns, attempts;
    uint64_t ms; /* from lane to finish */
    wf_usage usage;
    wf_str path, label, phase, model, prompt, message; /* prompt: its first 4 KiB; message: of a failure */
} wf_call_info;
wf_status wf_call_get(wf *w, uint32_t row, wf_call_info *out);

/* One record of the log, for `wf log`. *at: 0 to begin, moved on by each call; payload lives until the next call.
 * WF_END: no more records. */
typedef struct wf_record {
    uint64_t offset;
    const char *type; /* "run", "call", "turn", ... */
    uint32_t call;
    uint64_t synced;
    wf_str json;    /* the record's metadata as a JSON object */
    wf_str payload; /* its exact bytes after the metadata: a turn's content, a tool's block, a value */
} wf_record;
wf_status wf_record_next(wf *w, uint64_t *at, wf_record *out);

/* ---- JSON (RFC 8259) ---------------------------------------------------------------------------------------------------- */

/* What wf_json_next found. A container's members follow its start token; values are then at `raw`. */
typedef enum wf_json_token {
    WF_JSON_END, /* the text is over and was well-formed */
    WF_JSON_ERROR,
    WF_JSON_OBJECT,
    WF_JSON_OBJECT_END,
    WF_JSON_ARRAY,
    WF_JSON_ARRAY_END,
    WF_JSON_KEY, /* followed by the member's value */
    WF_JSON_STRING,
    WF_JSON_NUMBER, /* kept as text: raw */
    WF_JSON_TRUE,
    WF_JSON_FALSE,
    WF_JSON_NULL
} wf_json_token;

#define WF_JSON_DEPTH 128 /* containers inside containers */

/* Pull reader over a text in memory. Strict: one value, no trailing text, valid UTF-8, no lone surrogate escapes
 * (they read as U+FFFD), no duplicate check. Fields are read-only for the user. */
typedef struct wf_json {
    wf_str text;
    size_t pos;
    wf_str raw;   /* the token: a string or key without its quotes, still escaped; a number; a literal */
    bool escaped; /* raw holds escapes: use wf_json_unescape */
    wf_error error;
    uint32_t depth;
    uint32_t state;
    uint8_t stack[WF_JSON_DEPTH / 8]; /* bit set: object */
} wf_json;

void wf_json_init(wf_json *j, wf_str text);
wf_json_token wf_json_next(wf_json *j);
/* Passes over the value whose first token was just read; *raw (may be NULL) becomes its exact text. */
wf_status wf_json_skip(wf_json *j, wf_json_token first, wf_str *raw);
/* Writes the decoded form of an escaped string or key; out needs room for raw.len bytes, and may lie before raw or at its start.
 * Answers the length. */
size_t wf_json_unescape(wf_str raw, char *out);
/* Whether an escaped string or key decodes to exactly `plain`. */
bool wf_json_equals(wf_str raw, wf_str plain);
/* Exact text of a member's value in the object `object` (last of equal keys); false: none, or not an object. */
bool wf_json_member(wf_str object, wf_str key, wf_str *value);
/* Like wf_json_member for values of one type. A string comes without quotes, still escaped. */
bool wf_json_member_str(wf_str object, wf_str key, wf_str *escaped);
bool wf_json_member_u64(wf_str object, wf_str key, uint64_t *out); /* a non-negative integer that fits */
bool wf_json_member_bool(wf_str object, wf_str key, bool *out);

/* Bounded writer. Never writes past cap; `len` counts on, so that len > cap tells how much was wanted. Commas and
 * colons are its own business. Misuse (a value without a key in an object, ...) sets `bad`. */
typedef struct wf_json_out {
    char *buf;
    size_t cap, len;
    bool bad;
    uint32_t depth;
    bool comma, key;
    uint8_t stack[WF_JSON_DEPTH / 8];
} wf_json_out;

void wf_json_out_init(wf_json_out *o, char *buf, size_t cap);
void wf_json_begin(wf_json_out *o, bool object);
void wf_json_finish(wf_json_out *o); /* ends the innermost container */
void wf_json_key(wf_json_out *o, wf_str key);
void wf_json_str(wf_json_out *o, wf_str s); /* quotes and escapes; bad UTF-8 becomes U+FFFD */
void wf_json_u64(wf_json_out *o, uint64_t v);
void wf_json_i64(wf_json_out *o, int64_t v);
void wf_json_bool(wf_json_out *o, bool v);
void wf_json_null(wf_json_out *o);
void wf_json_raw(wf_json_out *o, wf_str json); /* one value, taken as it is */
/* Whether everything fitted and all containers are closed. */
bool wf_json_ok(const wf_json_out *o);

/* ---- JSON Schema ---------------------------------------------------------------------------------------------------------- */

/* Where and why a value misses its schema: a sentence for the model or the user, cut to fit. */
typedef struct wf_schema_error {
    char path[256]; /* JSON Pointer of the place in the value; "" is the whole */
    char reason[256];
} wf_schema_error;

/* Checks a value against a schema: type, properties, required, additionalProperties, items, enum, const,
 * anyOf/oneOf/allOf, local $ref, minimum/maximum/exclusive*, minLength/maxLength, minItems/maxItems.
 * Work is bounded. WF_OK; WF_E_SCHEMA (error says where and why); WF_E_SYNTAX: the schema or the value is no JSON or
 * the schema contradicts its own form; WF_E_LIMIT: more work than the bound. */
wf_status wf_schema_check(wf_str schema, wf_str value, wf_schema_error *error);

/* Names keywords of the schema that wf_schema_check passes over, comma-separated, into out (cut to cap, always
 * terminated). Answers how many there are. */
uint32_t wf_schema_ignored(wf_str schema, char *out, size_t cap);

/* A self-made value that the schema accepts, as dull as can be (but an array has an item, where it may): for dry runs. Answers its length, 0: cannot. */
size_t wf_schema_example(wf_str schema, char *out, size_t cap);

/* ---- heap: a bounded-time allocator over caller memory ---------------------------------------------------------- */

/* For libraries that want an allocator (Lua, TLS). Lives at the front of its memory; exhaustion answers NULL. */
typedef struct wf_heap wf_heap;
wf_heap *wf_heap_open(void *memory, size_t size); /* NULL: too small */
/* A heap that takes its bytes out of another, at most `limit` of them at a time, so that several users share one block by what
 * each of them asks for. Lives in the other. NULL: that has no room. */
wf_heap *wf_heap_share(wf_heap *of, size_t limit);
/* As realloc: p NULL allocates. n 0 frees p, if there is one, and answers NULL. */
void *wf_heap_resize(wf_heap *heap, void *p, size_t n);
void wf_heap_stats(const wf_heap *heap, wf_heap_use *out);

/* ---- scripts in Lua (part WF_PORT_LUA) -------------------------------------------------------------------------- */

/* A workflow script over an open run. It is stepped next to wf_step and never blocks:
 *
 *     while ((s = wf_script_step(script)) != WF_END) {
 *         if (wf_step(w, 64, &wait_ms) < 0) ...the run cannot go on...
 *         if (s == WF_AGAIN && wait_ms > 0) ...sleep until something is ready, at most wait_ms...
 *     }
 *     wf_script_result_get(script, &result);
 *     wf_run_finish(w, result.failed ? WF_RUN_FAILED : WF_RUN_DONE, result.value, result.json, result.dropped,
 *                   result.rejected, result.script_errors); */
typedef struct wf_script wf_script;

typedef struct wf_script_config {
    wf *run;       /* open; outlives the script */
    wf_str source; /* Lua text; outlives the script */
    wf_str name;   /* the file's name, for messages */
    wf_str args;   /* JSON; empty: null */
    wf_heap *heap; /* all that the script may use; outlives it. NULL: it is in memory */
    void *memory;
    size_t memory_size; /* at least 256 KiB */
    uint64_t max_ms;    /* of work between two results before the script counts as endless; default 30000 */
    bool exec;          /* it may run commands: exec(). Whether the platform does the effect is another matter */
} wf_script_config;

typedef struct wf_script_result {
    bool failed;
    wf_str value; /* text, or JSON if json; of a failed script: the error with file, line and traceback */
    bool json;
    uint32_t dropped;       /* branches that dropped out on purpose */
    uint32_t rejected;      /* agents whose last answer a `check` rejected */
    uint32_t script_errors; /* branches that a mistake of the script ended; each was noted (WF_NOTE_ERROR) */
    wf_kind kind;           /* of a failure that the script passed on; none: the error is its own */
    uint32_t call;          /* that failed; 0: several, or a stop of the run */
} wf_script_result;

/* WF_E_MEMORY: the memory is too small. A script that does not compile is opened, and fails at its first step. */
wf_status wf_script_open(wf_script **out, const wf_script_config *config);
/* WF_OK: it is busy, do not sleep; WF_AGAIN: it waits for a delivery; WF_END: it has ended; < 0: the run cannot go on.
 * WF_E_MEMORY: its memory, or the run's for what it asked, ran out. Nothing was lost: stop the run as paused, and resume
 * the log with more memory; the result will be that of a run that had it from the start. */
wf_status wf_script_step(wf_script *script);
/* After WF_END; lives as long as the script's memory. */
void wf_script_result_get(const wf_script *script, wf_script_result *out);
/* The script's `meta` as JSON, as soon as it is set (in the middle of the run too); false: not yet. */
bool wf_script_meta(wf_script *script, wf_str *json);
/* What the script has dropped counts as used until it is collected, which happens now and then, and here at once. */
void wf_script_memory(const wf_script *script, wf_heap_use *out);
void wf_script_collect(wf_script *script);
/* Whether a text is a program at all; if not, error (lives in buf) names file and line and shows the line. Nothing is run. */
wf_status wf_script_compile(wf_str source, wf_str name, void *memory, size_t size, char *buf, size_t cap);

/* Models written in Lua: `rules:FILE.lua`. Serves provider name "rules" with wf_rules_ops and a wf_rules as its ctx. The file
 * returns function(request), a pure function of the request; `wf help run` describes it. Each file
 * has its own Lua state and heap. */
typedef struct wf_rules wf_rules;

typedef struct wf_rules_config {
    uint64_t (*now_ms)(void *ctx); /* the platform's clock, for delays */
    void *ctx;
    uint32_t lanes; /* as in the wf's config */
    wf_heap *heap;  /* of at most 4 files together; outlives it. NULL: it is in memory */
    void *memory;
    size_t memory_size; /* at least 1 MiB; 16 MiB is comfortable */
    uint64_t max_ms;    /* of work for one request; default 10000 */
    /* Reads a file that an agent names and wf_rules_load did not, of which buf takes the first `size` bytes; not WF_OK: *why, a
     * constant, says why it cannot be had. Scripts name such files, so it should read in the workspace alone, see
     * wf_posix_read. NULL: any file is read. */
    wf_status (*read)(void *read_ctx, wf_str path, char *buf, size_t size, size_t *len, const char **why);
    void *read_ctx;
} wf_rules_config;

wf_status wf_rules_open(wf_rules **out, const wf_rules_config *config);
/* Loads FILE.lua beforehand, wherever it lies, to find mistakes early. Not WF_OK: *why (lives as long as the rules) names the mistake. */
wf_status wf_rules_load(wf_rules *rules, wf_str file, wf_str *why);
const wf_model_ops *wf_rules_ops(void);
void wf_rules_memory(const wf_rules *rules, wf_heap_use *out); /* of all files; as wf_script_memory */
void wf_rules_collect(wf_rules *rules);
void wf_rules_close(wf_rules *rules);

#ifdef __cplusplus
}
#endif

#endif /* WORKFLOW_H */
