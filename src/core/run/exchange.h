/* exchange: one request and its response, from the first byte out to a whole reply or to the reason why there is none. It says
 * whether another try may help; whether there is one, and what a failure means for the agent and the run, is the agent's business. */
#ifndef WFI_EXCHANGE_H
#define WFI_EXCHANGE_H

#include "task.h"

typedef enum wfi_progress {
    WFI_PROGRESS_MORE,   /* call again */
    WFI_PROGRESS_WAIT,   /* when the model is ready */
    WFI_PROGRESS_REPLY,  /* t->turn is a whole reply */
    WFI_PROGRESS_STALE,  /* the connection was dead: begin it again at once */
    WFI_PROGRESS_FAILED, /* *failure says how */
    WFI_PROGRESS_MEMORY, /* the heap is exhausted */
    WFI_PROGRESS_BROKEN  /* the log could not be read */
} wfi_progress;

typedef struct wfi_failure {
    wf_kind kind;
    wf_str why;      /* a sentence, in the scratch buffer */
    bool again;      /* sending the request again may help */
    bool limited;    /* ... and it was refused for the provider's rate limit, before anything of a reply */
    bool refused;    /* the key was: 401, 403 */
    bool foreign;    /* an error that is none of this API: something between here and there may have said it */
    bool cut;        /* the response ended, or its connection did, before it was whole */
    uint32_t extras; /* WFI_EXTRA_... that it refuses, as far as it names them */
    int64_t wait_ms; /* how long it asks to wait; -1: it does not say */
    int64_t hint_ms; /* how long its text speaks of, if it does not */
} wfi_failure;

/* A reply that is complete waits so long for the end of its response: then the connection can be used again. What comes instead of
 * the end does not prolong that, and the agent's deadline shortens it. */
#define WFI_EXCHANGE_LINGER_MS 50u
static inline uint64_t wfi_exchange_enough(const wfi_task *t) {
    if (t->state != WFI_TASK_BODY || !t->reader.complete) return UINT64_MAX;
    return t->progress + WFI_EXCHANGE_LINGER_MS < t->deadline ? t->progress + WFI_EXCHANGE_LINGER_MS : t->deadline;
}

/* Begins the exchange for the conversation as it stands; the body's length is known and cannot change. Until the exchange ends,
 * t->fate says what it may have cost. */
WFI wfi_progress wfi_exchange_begin(wfi_runtime *rt, wfi_task *t, uint64_t body_len, wfi_failure *failure);
/* One bounded piece of work, in the states SEND, HEAD and BODY. */
WFI wfi_progress wfi_exchange_step(wfi_runtime *rt, wfi_task *t, wfi_failure *failure);
/* Nothing has come for longer than the stall limit: what has come may be whole all the same. Or an error's text comes so slowly:
 * then what there is of it must do. */
WFI wfi_progress wfi_exchange_stall(wfi_runtime *rt, wfi_task *t, wfi_failure *failure);
/* Stars in the place of the request's keys, wherever the text repeats one: all that comes from a server goes through this once,
 * before anything cuts it; what is known to have been cut before may end with a part of one. */
WFI void wfi_exchange_mask(const wfi_task *t, char *text, size_t n);
/* As wfi_runtime_message, with stars in the place of the key of the exchange under way or just over. */
WFI wf_str wfi_exchange_message(wfi_runtime *rt, const wfi_task *t, const char *text, wf_str detail, bool escaped,
                                wf_str request_id);
/* A message in the scratch buffer, with a text behind it. */
WFI wf_str wfi_exchange_add(wfi_runtime *rt, wf_str message, wf_str text);
WFI void wfi_exchange_end(wfi_runtime *rt, wfi_task *t);
/* Frees the reply. */
WFI void wfi_exchange_forget(wfi_runtime *rt, wfi_task *t);

#endif
