/* sched: who works now. Lanes, the queue, timers, durability, the order of delivery.
 *
 * Invariants:
 *   1. A task is on at most one of: a free list, the ring of active tasks, or asleep (woken by ready, a timer, the log).
 *   2. Nothing is sent while a recorded answer waits to be delivered; nor, after one was delivered and while answers that the
 *      log has were not yet asked for, before the script has gone as far as it can (it may be about to ask for them, or to
 *      cancel what is queued).
 *   3. Slots become READY in the order of their done records, and leave in the order of `order`. So the order of deliveries is a
 *      function of the log: live it is the order of the done records; in a replay that of the deliver records, then of the rest.
 *   4. Effects of one queue never keep those of another from beginning: where there are tasks for it (three or more), one is
 *      kept for each of the other queues of which none is under way. */
#ifndef WFI_SCHED_H
#define WFI_SCHED_H

#include "agent.h"
#include "../base/heapq.h"

typedef struct wfi_list { /* of slots, through slot.next */
    uint32_t first, last;
} wfi_list;

typedef struct wfi_sched {
    wfi_slots slots;
    wfi_task *tasks; /* `lanes` for agents, then `effects` */
    uint32_t lanes, task_count;
    uint32_t *free_tasks; /* two stacks: agents' from the bottom, effects' from `lanes` on */
    uint32_t free_lanes, free_effects;
    uint32_t running[WFI_QUEUES]; /* effects under way, by the queue they came from */
    uint32_t *active;             /* ring of tasks that can go on */
    uint32_t active_at, active_count;
    uint8_t *is_active;      /* by task */
    uint32_t *ready_tickets; /* room for what `ready` names */
    wfi_heapq due;           /* tasks by time */
    wfi_heapq ready;         /* slots by order */
    wfi_list queued[WFI_QUEUES], sealing;
    wfi_list stopped;                         /* slots that lost their task to a stop */
    uint32_t blocked;                         /* tasks that wait for the log or for budget */
    uint64_t sync_began;                      /* when the last one did */
    uint64_t blocked_synced, blocked_settles; /* how things stood when they were last looked at */
    uint32_t waiting;                         /* slots asked for, not yet delivered or gone */
    uint32_t agents;                          /* agent slots asked for by this process */
    uint32_t hits_ready;                      /* READY slots that the log answered */
    uint32_t unasked;                         /* finished slots of the log that nobody has asked for yet */
    uint64_t deliveries;                      /* made so far, in all processes */
    uint64_t clock;                           /* wall time of the last delivery */
    bool settled;                             /* the script can go no further without a delivery */
    bool replays;                             /* the last delivery was an answer of the log */
    bool by_content; /* script or args differ from the log's: match finished calls by content too */
} wfi_sched;

WFI void wfi_sched_carve(wfi_sched *s, wfi_arena *a, const wf_config *config);
/* Puts a slot into a queue that is new, unfinished, or to be asked again. */
WFI void wfi_sched_queue(wfi_sched *s, uint32_t slot, wfi_queue queue);
/* The log has the answer of this slot: it waits to be delivered. */
WFI void wfi_sched_hit(wfi_sched *s, uint32_t slot);
/* Gives a slot up. */
WFI wf_status wfi_sched_cancel(wfi_runtime *rt, wfi_sched *s, uint32_t slot);
/* A bounded turn: wakes, dispatches, steps tasks, pumps the log. */
WFI wf_status wfi_sched_step(wfi_runtime *rt, wfi_sched *s, uint32_t max_work, uint32_t *wait_ms);
/* The slot to deliver next; WFI_NO_SLOT: none now. */
WFI uint32_t wfi_sched_next(const wfi_sched *s);
/* The same, taken out. */
WFI uint32_t wfi_sched_take(wfi_sched *s);
/* While the run stops: a slot that will never be answered, taken out. WFI_NO_SLOT: none now. */
WFI uint32_t wfi_sched_take_stopped(const wfi_runtime *rt, wfi_sched *s);
/* Ends all tasks where they are. */
WFI void wfi_sched_drop_all(wfi_runtime *rt, wfi_sched *s);

#endif
