/* queue: a priority queue of small numbered things (rows, tasks) by a 64-bit key; equal keys leave in order of number.
 *
 * An indexed binary heap over caller memory: `ids[0..count)` is the heap, `at[id]` is one more than an id's place in it, 0 if it
 * is not in the queue. All but init take O(log n). */
#ifndef WFI_QUEUE_H
#define WFI_QUEUE_H

#include "heap.h"

typedef struct wfi_queue {
    uint64_t *keys; /* by id */
    uint32_t *ids, *at;
    uint32_t count, cap;
} wfi_queue;

WFI void wfi_queue_carve(wfi_queue *q, wfi_arena *a, uint32_t cap); /* ids are 0..cap-1; the arena tells of failure */
WFI void wfi_queue_set(wfi_queue *q, uint32_t id, uint64_t key);    /* puts it in, or moves it */
WFI void wfi_queue_remove(wfi_queue *q, uint32_t id);               /* fine if it is not in */
WFI bool wfi_queue_first(const wfi_queue *q, uint32_t *id, uint64_t *key);

#endif
