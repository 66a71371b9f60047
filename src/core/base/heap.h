/* heap: the arena, the caller's block, carved once; and the heap, a bounded-time allocator over one piece of it.
 *
 * The arena only ever hands out; nothing is given back. A heap is a two-level segregated-fit allocator (Masmano et al.,
 * "TLSF", ECRTS 2004): alloc, realloc and free take a bounded number of steps whatever the history. Each heap has its own limit
 * and high-water mark; exhaustion answers NULL and changes nothing.
 *
 * Invariants of a heap (wfi_heap_check proves them):
 *   1. The blocks tile the region: each begins where the one before it ends, the last is a sentinel of size 0 in use.
 *   2. No two neighbours are both free.
 *   3. A block is free if and only if it is on exactly one free list, the one of its size class.
 *   4. A bitmap bit is set if and only if its list is not empty.
 *   5. `used` is the sum of the payload sizes of the blocks in use, `blocks` their number. */
#ifndef WFI_HEAP_H
#define WFI_HEAP_H

#include "base.h"

#define WFI_ALIGN ((size_t)(sizeof(void *) > 8 ? sizeof(void *) : 8)) /* of all that arenas and heaps hand out */

typedef struct wfi_arena {
    uint8_t *base; /* NULL: only counts, for wf_memory_needed */
    size_t size, used;
    bool full; /* some take has failed */
} wfi_arena;

/* With base NULL the arena only counts, without limit: `used` ends as the least size that is enough at any alignment. */
WFI void wfi_arena_init(wfi_arena *a, void *base, size_t size);
/* A zeroed piece of `count` objects of `size` bytes, or NULL (and `full`). With base NULL: NULL, and `used` grows. */
WFI void *wfi_arena_take(wfi_arena *a, size_t count, size_t size);
/* The same, not zeroed: for large regions whose pages should stay untouched until they are used. */
WFI void *wfi_arena_take_raw(wfi_arena *a, size_t count, size_t size);
WFI size_t wfi_arena_left(const wfi_arena *a); /* the most that one more take can give */

#define WFI_HEAP_FL 28u /* first level: powers of two; sizes below 2^(FL+3) units of WFI_ALIGN */
#define WFI_HEAP_SL 16u /* second level: linear steps inside a power */

struct wfi_block; /* private to heap.c */

typedef struct wfi_heap {
    uint8_t *base;         /* first block */
    size_t size;           /* of the region; or the limit of a heap that shares another's */
    size_t used, high;     /* payload bytes in use now; at most ever */
    size_t blocks;         /* in use now: what a leak adds to, however small it is */
    uint64_t allocs;       /* calls that asked for memory, for tests (a realloc only if it outgrows its block) */
    uint64_t fail_at;      /* tests: the allocation of this number fails (1 is the next one); 0 never */
    bool fail_on;          /* tests: and all that follow it */
    struct wfi_heap *from; /* the heap that its blocks lie in; NULL: its own region. Then what follows is unused */
    uint32_t fl_map;
    uint16_t sl_map[WFI_HEAP_FL];
    struct wfi_block *free[WFI_HEAP_FL][WFI_HEAP_SL];
} wfi_heap;

/* The least region that can hold one allocation of n bytes, if it begins aligned; SIZE_MAX: none can. */
WFI size_t wfi_heap_needed(size_t n);
/* Takes over [memory, memory+size). WF_E_MEMORY: too small to hold anything. */
WFI wf_status wfi_heap_init(wfi_heap *h, void *memory, size_t size);
/* A heap with an account of its own whose blocks lie in another's region: at most `limit` bytes of it at a time. */
WFI void wfi_heap_share(wfi_heap *h, wfi_heap *of, size_t limit);
WFI void *wfi_heap_alloc(wfi_heap *h, size_t n);            /* n 0: as 1. Not zeroed. */
WFI void *wfi_heap_realloc(wfi_heap *h, void *p, size_t n); /* n 0: free, NULL; p NULL: alloc. On failure p stays.
                                                              Shrinking cannot fail. */
WFI void wfi_heap_free(wfi_heap *h, void *p);               /* NULL is fine */
WFI size_t wfi_heap_size(const void *p);                    /* usable size of an allocation */
WFI wf_heap_use wfi_heap_use(const wfi_heap *h);

/* The public face. */
struct wf_heap {
    wfi_heap heap;
};

/* Bytes that grow in a heap. Zeroed: empty. */
typedef struct wfi_buf {
    char *ptr;
    size_t len, cap;
} wfi_buf;
/* Room for n more bytes, doubling. WF_E_LIMIT: that would be more than max in all; WF_E_MEMORY. On failure nothing changes. */
WFI wf_status wfi_buf_reserve(wfi_heap *h, wfi_buf *b, size_t n, size_t max);
WFI wf_status wfi_buf_add(wfi_heap *h, wfi_buf *b, const void *p, size_t n, size_t max);
WFI void wfi_buf_free(wfi_heap *h, wfi_buf *b);
WFI bool wfi_heap_check(const wfi_heap *h); /* the invariants; linear in the number of blocks */

#endif
