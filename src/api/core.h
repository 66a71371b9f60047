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
    X(WF_KIND_SCHEMA, "schema")           /* no answer matched the schema */                                           \
    X(WF_KIND_DEADLINE, "deadline")       /* the agent's own deadline passed */                                        \
    X(WF_KIND_STALL, "stall")             /* silence longer than the stall limit, on every try */                      \
    X(WF_KIND_REFUSED, "refused")         /* the model declined */                                                     \
    X(WF_KIND_PROVIDER, "provider")       /* an error of the provider that retries did not cure */                     \
    X(WF_KIND_QUOTA, "quota")             /* paid-for quota is used up: pauses the run */                              \
    X(WF_KIND_AUTH, "auth")               /* key, permission or model name refused: stops the run */                   \
    X(WF_KIND_CONTEXT, "context")         /* the conversation or the reply outgrew the model */                        \
    X(WF_KIND_BUDGET, "budget")           /* the budget would be overshot */                                           \
    X(WF_KIND_TOOL, "tool")               /* a tool or an effect failed in a way no model can fix */                   \
    X(WF_KIND_TURNS, "turns")             /* more turns than max_turns */                                              \
    X(WF_KIND_CANCELLED, "cancelled")     /* cancelled by the script or the caller */                                  \
    X(WF_KIND_SKIPPED, "skipped")         /* passed over by a person */                                                \
    X(WF_KIND_MEMORY, "memory")           /* a heap was exhausted */                                                   \
    X(WF_KIND_AGENTS, "agents")           /* the run's number of agents or calls is used up: a stop */                 \
    X(WF_KIND_INTERRUPTED, "interrupted") /* an effect was under way when the run was killed: its state is unknown */

typedef enum wf_kind {
#define WF_KIND_ENUM(name, text) name,
    WF_KIND_LIST(WF_KIND_ENUM)
#undef WF_KIND_ENUM
        WF_KIND_COUNT
} wf_kind;

const char *wf_kind_name(wf_kind kind);

#define WF_SHA256_TEXT 65u
/* SHA-256 of the parts one after the other, as hex digits, terminated. */
void wf_sha256(const wf_str *parts, size_t count, char out[WF_SHA256_TEXT]);

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

#define WF_KEYS_MAX 20u

/* Head of a response. Slices may be empty and live until `end`. */
typedef struct wf_response {
    uint32_t status;        /* HTTP status */
    int64_t retry_after_ms; /* > 0, or -1: not said */
    int32_t should_retry;   /* 1, 0, or -1: not said */
    wf_str request_id;
    wf_str content_type;      /* media type in lower case, without parameters; empty: JSON */
    bool open_ended;          /* nothing says where the body ends but that its connection closes, which may be a cut */
    wf_str keys[WF_KEYS_MAX]; /* that the request had, so that a server which repeats one is not quoted; empty: none */
} wf_response;

/* How requests reach a model and replies come back: an HTTPS client, a function in this program, ...
 * Exchanges are numbered by lane: 0 .. lanes-1, one exchange on a lane at a time, in the order
 * begin, send..., head, recv..., end. `end` may come at any point after `begin`, also a failed one, and drops the rest.
 * WF_AGAIN means: nothing now; the lane will be named by `ready` when asking is worth it.
 * WF_E_STALE from send, head or recv: a kept connection turned out to be dead before the whole request was out, or at once after,
 * or the network says so of any connection (net.h); `end` it and begin the same one again at once, which is no retry. It is
 * answered at most once in a row. Only what was not sent whole is known not to be billed.
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
    /* Why the last call for the lane answered an error, or where a redirection (3xx) leads to, or what was asked
     * for that is not there (404: "POST https://host/path"; may be empty); constant or living until `end`. May be
     * NULL. */
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
    /* Who asks: one number for all calls of an agent, another for any other one; 0: nobody is told
     * apart. */
    uint32_t agent;
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
    /* The agent whose first tool calls had this ticket has ended, in this process: what one of its
     * calls has kept for the next may go. All its tickets were ended before. May be NULL. */
    void (*left)(void *ctx, uint32_t ticket);
} wf_tool_ops;

/* Tokens and money of one reply, one agent or a whole run. */
typedef struct wf_usage {
    uint64_t input;       /* prompt tokens that no cache served or took in */
    uint64_t output;      /* reply tokens, thinking included */
    uint64_t cache_read;  /* prompt tokens served by the provider's cache */
    uint64_t cache_write; /* prompt tokens taken into it */
    uint64_t nano_usd;    /* cost, where known */
    uint64_t unpriced;    /* of all these tokens: those whose price is not known */
    uint64_t estimated;   /* of all these tokens: those that the reply did not tell, and that its bytes stand for */
} wf_usage;

/* What a run tells while it goes, for progress views. Nothing depends on anybody listening. */
typedef enum wf_trace_type {
    WF_TRACE_START,  /* a call was given a lane; text: the model, or the effect's name */
    WF_TRACE_RESUME, /* ... and goes on with a conversation that the log holds; n: turns there */
    WF_TRACE_TURN,   /* a reply came; n: its number */
    WF_TRACE_TOOL,   /* a tool starts; text: its name */
    WF_TRACE_RETRY,  /* a request failed, for no rate limit, and will be sent again; n: try, ms: wait, text: why */
    WF_TRACE_DONE,   /* a call finished; kind tells how, text: the error's message, or what is odd about it */
    WF_TRACE_HIT,    /* a call was answered from the log; kind as in DONE */
    WF_TRACE_MISS,   /* a resumed run asks anew; text: the reason */
    WF_TRACE_PHASE,  /* text: the phase's title */
    WF_TRACE_NOTE,   /* text: a line of the script's log() */
    WF_TRACE_ERROR,  /* text: a script error that ended a branch */
    WF_TRACE_STOP,   /* the run stops; text: why */
    WF_TRACE_LIMIT   /* a provider's rate limit: nothing is sent for ms; n: requests that wait, text: what it said */
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
    bool local;  /* no limit is behind it that its agents share: a 429 or 529 is an error like any other */
} wf_provider;

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

    uint32_t lanes;      /* agents working at a time, 1..1000; default 16 */
    uint32_t max_agents; /* rows of the agent table; default 1000 */
    uint32_t max_calls;  /* rows for agents and effects together; default 16 x max_agents */
    /* Effects under way at a time; default 8. Of three or more, one is kept for effects that change the world, one for
     * those that only read and one for the others, so that none has to wait for another kind alone. */
    uint32_t effects;
    uint32_t extra_tools; /* a turn's tool calls that run beside its first; default: lanes; WF_NONE: none */

    uint32_t max_turns;       /* per agent; default 50 */
    uint32_t max_tokens;      /* per turn; default 16000; raised once when a reply is cut */
    uint32_t retries;         /* of one request that failed for no rate limit; default 5; WF_NONE: none */
    uint32_t agent_ms;        /* an agent's deadline; waits for rate limits do not count; default 30 min; WF_NONE */
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
    /* Kinds of failures (bits 1 << wf_kind) that a resumed run asks again although its script has seen
     * them; finished work that came after may then be asked again too. 0: such failures are delivered
     * again, in their place. UINT32_MAX: all kinds. With WF_KIND_INTERRUPTED an effect whose state is
     * unknown is done again. */
    uint32_t retry_kinds;
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

/* Which rules this release's scripts follow when they form the identities of their calls. A new log records the number and
 * keeps to it, so that a later release finds its calls again. 1, or not recorded: an agent type stood for what the run's
 * flags made of it; 2: for its name and text. */
#define WF_RULES 2u
uint32_t wf_run_rules(const wf *w); /* the log's, after a load or an open; 0: no log yet */

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
    uint32_t done;      /* finished well in this run or before */
    uint32_t failed;    /* failed, whether or not the script handled it */
    uint32_t cached;    /* of done and failed: answered from the log */
    uint32_t dropped;   /* branches that dropped out on purpose */
    uint32_t cancelled; /* race losers and the like, and what a stop cut short */
    /* Asked for, never given a lane, or only to wait there for a rate limit; also those that the run's cap or
     * stop turned away. */
    uint32_t not_run;
    uint32_t script_errors; /* branches that a mistake of the script ended; agents are not counted here */
    uint32_t blind;         /* of done: answered although every tool call of theirs failed */
} wf_census;

typedef struct wf_run_status {
    wf_outcome outcome; /* of the run on its log, or the reason it is stopping */
    wf_census census;   /* agents only, effects are not counted */
    wf_usage usage;     /* of all replies paid for, retries included */
    wf_usage delivered; /* of delivered results only: what the script may see */
    /* Of requests whose replies were lost: what they count in the budget, and what they may have cost beyond that at most. */
    uint64_t lost_tokens, lost_nano_usd, more_tokens, more_nano_usd;
    uint32_t agents; /* rows taken */
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

/* What a call would be told now: WF_OK: it would be taken; WF_E_STOPPED: the run is stopping, or its number of agents is
 * used up; *kind and *text (lives as long as the wf) say why, and `count` calls that are not made for that are counted
 * as not run.
 *
 * Stops are values: whoever has been told of one, here, by WF_E_STOPPED or WF_E_LIMIT of a start, or by a delivery, may go
 * on and end the run with a partial value. What it did from there on is in the log, and is discarded by a resume: the
 * calls that were refused are asked for, notes are made again, and the result is that of a run that never stopped. */
wf_status wf_run_refuses(wf *w, uint32_t count, wf_kind *kind, wf_str *text);

/* Asks for an agent. WF_E_LIMIT: the agent or call table is full (a run-level stop); WF_E_STOPPED; WF_E_CONFIG. */
wf_status wf_agent_start(wf *w, const wf_agent_spec *spec, wf_call *out);

typedef struct wf_effect_spec {
    wf_str path;  /* as an agent's */
    wf_str name;  /* at most 64 bytes */
    wf_str input; /* JSON; with the name it identifies the effect */
    uint32_t ms;  /* its deadline; 0: an agent's; WF_NONE: none */
    bool reads;   /* it only reads: it is also taken, and answered, while the run stops */
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
    bool stopped; /* the run is stopping, and a resume will answer this call; kind and value say why */
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
    bool delivered;  /* the script has seen its answer, or its failure */
    bool blind;      /* it has done well, but every tool call of it failed: an answer of one who has seen nothing */
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

#ifdef __cplusplus
}
#endif

#endif /* WORKFLOW_H */
