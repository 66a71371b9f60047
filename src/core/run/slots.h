/* slots: the agent table. One slot for every call of the run, agents and effects alike, in the order in which the log numbers
 * them: slot i is call i+1. Slots are never given back while the wf lives, so a run can always say what became of every call.
 *
 * Invariants:
 *   1. A slot's state moves only forward through the list below (a slot that is asked for again starts over at QUEUED).
 *   2. `finished` if and only if a done record of the call is in the log and no turn after it (done_at says where).
 *   3. A handle names its slot only while the slot is QUEUED .. READY: later its generation has moved on. */
#ifndef WFI_SLOTS_H
#define WFI_SLOTS_H

#include "../base/heap.h"

typedef enum wfi_call_state {
    WFI_CALL_LOGGED,    /* known from the log, not asked for by this process (yet) */
    WFI_CALL_QUEUED,    /* waits for a lane */
    WFI_CALL_RUNNING,   /* has one */
    WFI_CALL_SEALING,   /* finished; its record is not yet durable */
    WFI_CALL_READY,     /* durable; waits to be delivered */
    WFI_CALL_DELIVERED, /* the script has it */
    WFI_CALL_GONE       /* given up, or told that the run stops */
} wfi_call_state;

#define WFI_NO_SLOT UINT32_MAX

/* Of one call, as this process was asked for it: a resumed run may have raised them. WF_NONE: none. */
typedef struct wfi_limits {
    uint32_t max_turns, max_tokens, retries, agent_ms, stall_ms;
    uint64_t budget_tokens, budget_nano_usd; /* 0: none */
} wfi_limits;

/* Where a call waits for its turn. */
typedef enum wfi_queue {
    WFI_QUEUE_AGENTS,
    WFI_QUEUE_CHANGES, /* effects that change the world */
    WFI_QUEUE_READS,   /* those that only read: taken and answered while the run stops, too */
    WFI_QUEUE_OTHERS,
    WFI_QUEUES
} wfi_queue;

typedef struct wfi_slot {
    uint64_t place;                                            /* hash of the path */
    uint8_t content[16];                                       /* leading half of the SHA-256 of the identity */
    uint64_t call_at, done_at, done_end, last_item, intent_at; /* offsets of records; 0 for none */
    uint64_t aside;                                            /* offset of its last turn outside of the conversation */
    uint64_t order;                                            /* of delivery: smaller first */
    uint64_t wall;                                             /* of the delivery, if delivered */
    wfi_limits limits;
    uint32_t generation;
    uint32_t next_place;   /* chain of slots with the same hash bucket */
    uint32_t next_content; /* likewise, by content */
    uint32_t next;         /* in the queue of calls that wait for a lane, or in that of those that are sealing */
    uint32_t turns;
    uint8_t state;     /* enum wfi_call_state */
    uint8_t kind;      /* enum wf_kind, when finished */
    uint8_t queue : 2; /* enum wfi_queue */
    bool effect : 1;
    bool finished : 1;
    bool hit : 1;       /* answered from the log */
    bool moved : 1;     /* its answer was given to another place: not to be matched by content again */
    bool replaced : 1;  /* asked anew from the start, as another slot: not to be matched again */
    bool delivered : 1; /* order is that of a deliver record */
    bool blind : 1;     /* finished well, but all its tool calls failed */
    bool stops : 1;     /* its failure stopped the run, or is of that kind: the script is told of a stop */
    bool started : 1;   /* was given a lane, now or before, and not only to wait for a rate limit */
} wfi_slot;

typedef struct wfi_slots {
    wfi_slot *slots;
    uint32_t count, cap;
    uint32_t *buckets, *contents;
    uint32_t bucket_mask;
} wfi_slots;

WFI void wfi_slots_carve(wfi_slots *t, wfi_arena *a, uint32_t cap);
/* A new slot, WFI_NO_SLOT if the table is full. */
WFI uint32_t wfi_slots_add(wfi_slots *t, uint64_t place, const uint8_t content[16], bool effect);
WFI uint32_t wfi_slots_first(const wfi_slots *t, uint64_t place); /* slots of a place, newest first; WFI_NO_SLOT ends */
WFI uint32_t wfi_slots_next(const wfi_slots *t, uint32_t slot);
WFI uint32_t wfi_slots_first_like(const wfi_slots *t, const wfi_slot *slot); /* slots of its content, newest first */
WFI uint32_t wfi_slots_next_like(const wfi_slots *t, uint32_t slot);

/* Whether the log has an answer of this slot that its place has yet to ask for. */
WFI bool wfi_slot_unasked(const wfi_slot *slot);

/* Whether a new try goes on with its conversation, since it did not come to an end. */
WFI bool wfi_slot_goes_on(const wfi_slot *slot);

/* Gives what a slot has, its answer or its unfinished conversation, to another one, a fresh one. */
WFI void wfi_slots_move(wfi_slot *from, wfi_slot *to);

WFI wf_call wfi_slots_handle(const wfi_slots *t, uint32_t slot);
WFI uint32_t wfi_slots_find(const wfi_slots *t, wf_call call); /* WFI_NO_SLOT: stale */

#endif
