/* heapq: see heapq.h. Sift up and down on an array, with the places kept in step. */
#include "heapq.h"

void wfi_heapq_carve(wfi_heapq *q, wfi_arena *a, uint32_t cap) {
    q->keys = wfi_arena_take(a, cap, sizeof *q->keys);
    q->ids = wfi_arena_take(a, cap, sizeof *q->ids);
    q->at = wfi_arena_take(a, cap, sizeof *q->at);
    q->count = 0;
    q->cap = cap;
}

static bool heapq_before(const wfi_heapq *q, uint32_t a, uint32_t b) {
    return q->keys[a] != q->keys[b] ? q->keys[a] < q->keys[b] : a < b;
}

static void heapq_place(wfi_heapq *q, uint32_t i, uint32_t id) {
    q->ids[i] = id;
    q->at[id] = i + 1;
}

static void heapq_sift(wfi_heapq *q, uint32_t i, uint32_t id) {
    while (i > 0 && heapq_before(q, id, q->ids[(i - 1) / 2])) {
        heapq_place(q, i, q->ids[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= q->count) break;
        if (child + 1 < q->count && heapq_before(q, q->ids[child + 1], q->ids[child])) child++;
        if (!heapq_before(q, q->ids[child], id)) break;
        heapq_place(q, i, q->ids[child]);
        i = child;
    }
    heapq_place(q, i, id);
}

void wfi_heapq_set(wfi_heapq *q, uint32_t id, uint64_t key) {
    WFI_ASSERT(id < q->cap);
    q->keys[id] = key;
    if (q->at[id] == 0) q->at[id] = ++q->count;
    heapq_sift(q, q->at[id] - 1, id);
}

void wfi_heapq_remove(wfi_heapq *q, uint32_t id) {
    WFI_ASSERT(id < q->cap);
    if (q->at[id] == 0) return;
    uint32_t i = q->at[id] - 1, last = q->ids[--q->count];
    q->at[id] = 0;
    if (last != id) heapq_sift(q, i, last);
}

bool wfi_heapq_first(const wfi_heapq *q, uint32_t *id, uint64_t *key) {
    if (q->count == 0) return false;
    *id = q->ids[0];
    if (key) *key = q->keys[q->ids[0]];
    return true;
}
