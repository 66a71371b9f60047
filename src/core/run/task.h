/* task: an agent (or an effect of the script) while it has a lane: its settings, its conversation, the request and the
 * reply under way. Plain data, which agent.c steps and request, exchange, budget and toolcalls each do a part of. */
#ifndef WFI_TASK_H
#define WFI_TASK_H

#include "../model/codec.h"
#include "runtime.h"
#include "slots.h"

typedef enum wfi_task_state {
    WFI_TASK_FREE,
    WFI_TASK_RESERVE, /* a reservation of budget becomes durable, or waits for others to settle */
    WFI_TASK_SEND,    /* the request's body goes out */
    WFI_TASK_HEAD,    /* the response's head is awaited */
    WFI_TASK_BODY,    /* its body comes in */
    WFI_TASK_BACKOFF, /* the request failed and waits to be sent again */
    WFI_TASK_LIMIT,   /* a request waits in the line of its provider's limiter */
    WFI_TASK_INTENT,  /* the intent of an effect becomes durable */
    WFI_TASK_TOOL,    /* tools run */
    WFI_TASK_TURN     /* the next tool call of the turn is looked at */
} wfi_task_state;

/* What the request under way may have cost so far. It follows from bytes alone, so it never lags behind what the model has. */
typedef enum wfi_fate {
    WFI_FATE_FREE, /* nothing: the model has not all of it, or said no before any work, or its reply is accounted for */
    WFI_FATE_UNHEARD, /* its last byte is out, and nothing of a reply has come */
    WFI_FATE_BEGUN    /* a reply has begun */
} wfi_fate;

/* One item of the conversation: a block of ours or a turn of the model. */
typedef struct wfi_item {
    uint64_t at;  /* of the payload */
    uint32_t len; /* 0: it is not sent, a reply that says nothing */
    bool turn;
} wfi_item;

#define WFI_TOOLS_TOGETHER 8u /* of one agent */

typedef struct wfi_task {
    wfi_task_state state;
    uint32_t lane; /* ticket for models and tools */
    uint32_t slot_index;
    const wfi_slots *slots;
    wfi_slot *slot; /* of them */

    /* settings, from the call record; strings live in `meta` */
    char *meta; /* heap */
    wfi_meta_call call;
    wf_str schema;       /* heap; empty: the answer is text */
    bool wrapped;        /* the schema is no object, so the result tool takes {"value": ...} */
    wf_str effect_input; /* heap; an effect's input */
    const wf_provider *provider;
    const wfi_codec *codec;
    wf_str model;      /* without the provider's prefix */
    wfi_tariff tariff; /* none known, or the provider has no prices: count 0 */
    wfi_log_rec system, tools;

    /* the conversation */
    wfi_item *items; /* heap */
    uint32_t item_count, item_cap;
    uint32_t turns, misses, nudges, cuts;
    uint32_t tools_failed, tools_worked; /* tool calls answered */
    uint32_t last_miss;                  /* CRC of what was wrong with the last answer; 0: none was */
    bool hurried, raised;

    /* the request under way */
    char head[640];
    size_t head_len;
    uint32_t given_up;        /* WFI_EXTRA_...: refused, and no reply has come since */
    uint32_t extras, without; /* WFI_EXTRA_...: which the request has, and which it may not have */
    uint32_t piece;           /* of the body */
    uint64_t piece_pos;       /* bytes of it that are sent */
    uint64_t body_len;        /* all of them, */
    uint64_t unsent;          /* ... and those that the provider has not taken */
    uint32_t fitted;          /* max_tokens, lowered to what a budget leaves; 0: it is not */
    bool fitted_to_run;       /* ... and that is the run's, not the agent's own */
    bool exchange;            /* begun, not ended */
    wfi_fate fate;
    wf_response response;
    char request_id[64];
    uint32_t attempt, attempts; /* of this request; of all */
    uint64_t asked, received;   /* when it began; bytes of the response's body */
    uint64_t cut_bytes, cut_ms; /* of the try before that was cut: what had come, how long it took; 0: there is none */
    wfi_cost reserved;

    /* its provider's rate limit */
    wfi_limiter *limiter;
    uint64_t place;   /* in the line, kept until the request is answered or refused; 0: none yet */
    uint64_t queued;  /* when it joined the line */
    uint64_t served;  /* how many were served when this request was refused last */
    uint32_t refused; /* tries of this request that were; */
    uint32_t passed;  /* ... that were while others were served */
    uint32_t round;   /* of the limiter, in which it began */
    bool pending;     /* it is neither accepted nor refused */

    /* the reply under way, or whose tools are being run */
    wfi_reader reader;
    wfi_buf reply;  /* heap: the body of a response that is no success, or a turn read from the log */
    wfi_reply turn; /* slices of reader or reply */
    uint32_t use;   /* which of its tool calls is to be answered next */

    /* the tools under way, see toolcalls.h */
    uint32_t tickets[WFI_TOOLS_TOGETHER];
    uint32_t begun, ended; /* how many of the tickets */
    bool silent_tool;      /* one of them is, see wf_tool */

    uint64_t started, deadline, progress, wake;
    uint64_t durable; /* offset that INTENT and RESERVE wait for */
    wf_usage usage;

    bool alone; /* it fails by itself: what refused it has served others with the same key */
} wfi_task;

typedef enum wfi_pace {
    WFI_PACE_MORE,    /* call again */
    WFI_PACE_WAIT,    /* when the model or tool is ready, or at wfi_task_due */
    WFI_PACE_DURABLE, /* when the log is durable up to task->durable */
    WFI_PACE_BUDGET,  /* when another task has settled its reservation */
    WFI_PACE_DONE,    /* finished: the slot says how; the task is free */
    WFI_PACE_STOPPED, /* ended unfinished since the run stops; the task is free */
    WFI_PACE_BROKEN   /* the log failed: the run cannot go on */
} wfi_pace;

/* The most tokens that its next reply may have. */
static inline uint32_t wfi_task_max_tokens(const wfi_task *t) {
    uint32_t most = t->slot->limits.max_tokens;
    if (t->fitted > 0) return t->fitted;
    return !t->raised ? most : most < UINT32_MAX / 2 ? most * 2 : UINT32_MAX;
}

#endif
