/* records: the metadata of log records as structs. Each kind has a list of fields; one writer and one reader serve all. A
 * field that is zero, false or empty is left out; an unknown one is passed over. */
#ifndef WFI_RECORDS_H
#define WFI_RECORDS_H

#include "log.h"

typedef struct wfi_meta_run { /* run, resume */
    wf_str name, sha256;
    uint64_t wall, script, args, settings; /* script, args, settings: bytes of the payload, in this order */
    uint32_t rules; /* WF_RULES of the release that began the log; 0: an older one. Only in run */
} wfi_meta_run;

typedef struct wfi_meta_call {
    wf_str path, hash, effect; /* hash: identity, 64 hex digits; effect: its name, empty for an agent */
    wf_str label, phase, model, effort, cwd, miss;
    uint64_t prompt, system, tools, schema; /* offsets of text records, 0 for none */
    uint32_t replaces;                      /* number of the failed call that this one is a fresh try of */
    uint32_t max_turns, max_tokens, retries, agent_ms, stall_ms;
    bool changes; /* an effect that changes the world */
} wfi_meta_call;

typedef struct wfi_meta_turn {
    uint64_t prev; /* offset of the item before it in the conversation, 0 for none */
    uint64_t
        aside; /* offset of the call's last turn that is no part of the conversation, 0 for none. Only in such turns */
    uint32_t stop; /* enum wfi_stop */
    bool fitted;   /* max_tokens was lowered to what a budget left */
    uint64_t
        sent; /* offset of the text that goes back in its place, if the provider would not take it as it came; else 0 */
    wf_str reason;
    wf_usage usage;
} wfi_meta_turn;

typedef struct wfi_meta_block {
    uint64_t prev;
    wf_str why; /* "tool", "schema", "nudge", "hurry", "cut" */
    wf_str id;  /* of the tool call that it answers */
    bool error; /* ... with an error */
} wfi_meta_block;

typedef struct wfi_meta_intent {
    wf_str id, name;
} wfi_meta_intent;

typedef struct wfi_meta_reserve {
    wfi_cost ceiling;
    wfi_cost more; /* that lost replies may have cost beyond what is held for them */
} wfi_meta_reserve;

typedef struct wfi_meta_done {
    uint32_t kind; /* enum wf_kind */
    bool json;
    bool blind; /* it has done well, but every tool call of it failed */
    uint32_t attempts, turns;
    uint64_t ms;
    wf_usage usage;
} wfi_meta_done;

typedef struct wfi_meta_moved {
    uint32_t from; /* number of the call whose answer it is */
} wfi_meta_moved;

typedef struct wfi_meta_deliver {
    uint64_t wall;
} wfi_meta_deliver;

typedef struct wfi_meta_note {
    bool phase, error; /* neither: a line */
} wfi_meta_note;

typedef struct wfi_meta_end {
    uint32_t outcome; /* enum wf_outcome */
    bool json;
    uint32_t done, failed, cached, dropped, cancelled, not_run, script_errors, blind;
    wf_usage usage;
    uint64_t wall;
} wfi_meta_end;

typedef struct wfi_meta_stop {
    uint32_t outcome; /* enum wf_outcome */
} wfi_meta_stop;

typedef union wfi_meta {
    wfi_meta_run run;
    wfi_meta_call call;
    wfi_meta_turn turn;
    wfi_meta_block block;
    wfi_meta_intent intent;
    wfi_meta_reserve reserve;
    wfi_meta_done done;
    wfi_meta_moved moved;
    wfi_meta_deliver deliver;
    wfi_meta_note note;
    wfi_meta_end end;
    wfi_meta_stop stop;
} wfi_meta;

/* Writes the metadata of a record of this type. WF_E_LIMIT: more than WFI_LOG_META_MAX bytes. */
WFI wf_status wfi_meta_put(wfi_rec type, const void *meta, char buf[WFI_LOG_META_MAX], wf_str *out);
/* Reads it. Strings are decoded in place, so they live in `json`, which is spoilt. WF_E_SYNTAX: not an object. */
WFI wf_status wfi_meta_get(wfi_rec type, char *json, size_t len, void *meta);

#endif
