/* heapq: a priority queue of small numbered things (rows, tasks) by a 64-bit key; equal keys leave in order of number.
 *
 * An indexed binary heap over caller memory: `ids[0..count)` is the heap, `at[id]` is one more than an id's place in it, 0 if it
 * is not in the queue. All but init take O(log n). */
#ifndef WFI_HEAPQ_H
#define WFI_HEAPQ_H

#include "heap.h"

typedef struct wfi_heapq {
    uint64_t *keys; /* by id */
    uint32_t *ids, *at;
    uint32_t count, cap;
} wfi_heapq;

WFI void wfi_heapq_carve(wfi_heapq *q, wfi_arena *a, uint32_t cap); /* ids are 0..cap-1; the arena tells of failure */
WFI void wfi_heapq_set(wfi_heapq *q, uint32_t id, uint64_t key);    /* puts it in, or moves it */
WFI void wfi_heapq_remove(wfi_heapq *q, uint32_t id);               /* fine if it is not in */
WFI bool wfi_heapq_first(const wfi_heapq *q, uint32_t *id, uint64_t *key);

#endif
