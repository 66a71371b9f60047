/* runtime: what the parts above the log share: the resolved configuration, the platform, the message heap, the log, the clock of
 * this step, and what has been spent. One per wf; passed down as a pointer, never kept by what is below. */
#ifndef WFI_RUNTIME_H
#define WFI_RUNTIME_H

#include "../base/heap.h"
#include "log.h"
#include "../model/limiter.h"
#include "../model/price.h"
#include "records.h"

#define WFI_SCRATCH 16384u /* bytes moved at a time between log, models and heap */

typedef struct wfi_text_slot {
    uint8_t hash[16];
    uint64_t at; /* of the text record, 0: free */
    uint32_t len;
} wfi_text_slot;

/* The platform's tickets beyond those that lanes and effects have for themselves. */
typedef struct wfi_spares {
    uint32_t first;  /* number of the first one */
    uint32_t *free;  /* stack of tickets */
    uint32_t *owner; /* by ticket - first: the lane that had it last */
    uint32_t count, free_count;
} wfi_spares;

#define WFI_REFUSALS 16u

/* What a model's server has refused, so that it is not sent again. */
typedef struct wfi_refusal {
    uint32_t model;  /* CRC of its name, the provider's prefix included */
    uint32_t extras; /* WFI_EXTRA_...; 0: nothing */
} wfi_refusal;

typedef struct wfi_runtime {
    wf_config config; /* with defaults filled in */
    const wf_platform *os;
    wfi_heap heap;
    wfi_log log;
    wfi_spares spares;
    uint8_t *scratch; /* WFI_SCRATCH bytes, nobody's between two calls */
    wfi_text_slot *texts;
    uint32_t text_mask;
    wfi_limiter *limiters; /* by provider */
    uint64_t now;          /* monotonic, taken once a step */
    uint64_t due;          /* the run's deadline; UINT64_MAX: none */
    uint64_t rng;          /* jitter only: nothing that a replay must repeat */
    wf_usage spent;        /* by all replies, from the log and in this process */
    wfi_cost reserved;     /* set aside for requests under way */
    wfi_cost lost;         /* held for requests whose replies were lost: paid for or not, nobody can tell */
    wfi_cost more;         /* what these may have cost beyond that: shown, not held */
    wfi_cost ahead;        /* the part of the ceiling that was ahead of need when it was raised */
    wfi_cost ceiling;     /* no more than this can be spent, lost and reserved, as the log's last reserve record says */
    uint64_t ceiling_end; /* the last that raised it is durable when the log is up to here */
    uint32_t exchanges;   /* under way */
    uint64_t proved;      /* providers that have answered with a reply, by bit; those from 63 on share one */
    uint64_t doubted;     /* ... of them, those that have refused an agent's key since */
    wfi_refusal refusals[WFI_REFUSALS]; /* by model; a newer one may take the place of an older one */
    uint64_t settles;      /* how often a reservation was given back, so that those who wait for one look again */
    wfi_tariff tariff;     /* of the model looked up last, */
    wf_str tariff_model;   /* ... which has this name, */
    char tariff_name[128]; /* ... kept here */
    wf_outcome stop;       /* WF_RUN_OPEN: not stopping */
    char stop_text[256];   /* why, terminated */
} wfi_runtime;

/* A text that others refer to, stored once however often it is used. */
WFI wf_status wfi_runtime_text(wfi_runtime *rt, wf_str text, uint64_t *at);
/* Appends a record made of a metadata struct and one payload. */
WFI wf_status wfi_runtime_record(wfi_runtime *rt, wfi_rec type, uint32_t call, const void *meta, wf_str payload,
                                 uint64_t *at, uint64_t *end);
/* Reads a record's metadata into the struct of its type; strings live in buf. */
WFI wf_status wfi_runtime_meta(wfi_runtime *rt, uint64_t at, wfi_log_rec *rec, char buf[WFI_LOG_META_MAX], void *meta);
/* What a record of the log refers to, at this place, is not what it should be: only in a log that was not written by us. Fails the
 * log; answers WF_E_CORRUPT. */
WFI wf_status wfi_runtime_astray(wfi_runtime *rt, uint64_t at);
/* A record's payload in the heap, with `spare` bytes more; the caller frees it. */
WFI wf_status wfi_runtime_payload(wfi_runtime *rt, const wfi_log_rec *rec, size_t spare, char **out);
/* "TEXT: DETAIL (request ID)" in the scratch buffer; the detail may be JSON-escaped. */
WFI wf_str wfi_runtime_message(wfi_runtime *rt, const char *text, wf_str detail, bool escaped, wf_str request_id);
/* Stops the run for a reason, if none as strong is there. */
WFI void wfi_runtime_stop(wfi_runtime *rt, wf_outcome reason, wf_str text);
WFI void wfi_runtime_trace(const wfi_runtime *rt, const wf_trace *event);
WFI void wfi_usage_add(wf_usage *to, const wf_usage *from);
/* What a model costs, from the config's list or the built-in one; the last answer is kept, for most agents have the same model. */
WFI const wfi_tariff *wfi_runtime_tariff(wfi_runtime *rt, wf_str model);
/* The WFI_EXTRA_... that requests to this model go without. */
WFI uint32_t wfi_runtime_without(const wfi_runtime *rt, wf_str model);
/* ... from here on also `extra`. */
WFI void wfi_runtime_refused(wfi_runtime *rt, wf_str model, uint32_t extra);
/* 0..below-1, for jitter. */
WFI uint64_t wfi_runtime_random(wfi_runtime *rt, uint64_t below);

#endif
