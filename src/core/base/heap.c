/* heap: the arena carves the caller's block into zeroed, aligned pieces; the heap is a two-level segregated-fit allocator.
 *
 * Contract and invariants: heap.h.
 *
 * A heap's region is a row of blocks. A block is a header of one unit (WFI_ALIGN bytes) and a payload of whole units;
 * all sizes below are in units unless a name says bytes. The header holds the block's own size and that of the block
 * before it, which is all that finding either neighbour takes; both are 32 bits wide, on every target. A free block
 * keeps the links of its list in its payload. The row ends with a header of size 0, in use, that stops every merge.
 *
 * A list holds the free blocks of one class of sizes. Sizes below SL have a class each; above, every power of two is
 * cut into SL equal classes. Two levels of bitmaps find the first non-empty class at or above a given one in a few
 * instructions, and any block of a class above the request's own fits: nothing ever walks a list. */
#include "heap.h"

/* ---- arena ---- */

WFI void wfi_arena_init(wfi_arena *a, void *base, size_t size) {
    a->base = base;
    a->size = base != NULL ? size : SIZE_MAX;
    a->used = 0;
    a->full = false;
}

/* Bytes to pass over before the next piece. One that only counts takes the worst alignment that a block can have, so
 * that what it counts suffices everywhere. */
static size_t arena_pad(const wfi_arena *a) {
    uintptr_t at = a->base != NULL ? (uintptr_t)a->base : 1;
    return (size_t)(0 - (at + a->used)) & (WFI_ALIGN - 1);
}

WFI size_t wfi_arena_left(const wfi_arena *a) {
    size_t left = a->size - a->used, pad = arena_pad(a);
    return left > pad ? left - pad : 0;
}

WFI void *wfi_arena_take_raw(wfi_arena *a, size_t count, size_t size) {
    size_t bytes, pad = arena_pad(a);
    if (!wfi_mul_size(count, size, &bytes) || bytes > wfi_arena_left(a) || pad > a->size - a->used) {
        a->full = true;
        return NULL;
    }
    size_t at = a->used + pad;
    a->used = at + bytes;
    return a->base == NULL ? NULL : a->base + at;
}

WFI void *wfi_arena_take(wfi_arena *a, size_t count, size_t size) {
    void *p = wfi_arena_take_raw(a, count, size);
    if (p) wfi_zero(p, count * size);
    return p;
}

/* ---- heap: blocks ---- */

struct wfi_block {
    uint32_t tag;                  /* payload * 2, plus 1 if free */
    uint32_t before;               /* payload of the block before; 0: this is the first */
    struct wfi_block *next, *back; /* only while free: neighbours on the list */
};

#define HEAP_MIN_BYTES (2 * sizeof(struct wfi_block *)) /* the links must fit into the payload */
#define HEAP_MIN       ((uint32_t)((HEAP_MIN_BYTES + WFI_ALIGN - 1) / WFI_ALIGN))
#define HEAP_MAX       0x7FFFFFFFu /* what a tag can hold, and the end of the last class */
#define HEAP_SL_LOG2   4u

_Static_assert(offsetof(struct wfi_block, next) == WFI_ALIGN, "a header is one unit");
_Static_assert(WFI_HEAP_SL == 1u << HEAP_SL_LOG2, "the second level is a power of two");
_Static_assert(WFI_HEAP_FL + HEAP_SL_LOG2 - 1 == 31, "the classes end where the tag does");

static uint32_t heap_len(const struct wfi_block *b) {
    return b->tag >> 1;
}

static bool heap_is_free(const struct wfi_block *b) {
    return (b->tag & 1) != 0;
}

static size_t heap_bytes(const struct wfi_block *b) {
    return heap_len(b) * WFI_ALIGN;
}

static void *heap_payload(const struct wfi_block *b) {
    return (uint8_t *)(uintptr_t)b + WFI_ALIGN;
}

static struct wfi_block *heap_block(const void *payload) {
    return (struct wfi_block *)((uintptr_t)payload - WFI_ALIGN);
}

static struct wfi_block *heap_after(const struct wfi_block *b) {
    return (struct wfi_block *)((uintptr_t)b + WFI_ALIGN + heap_bytes(b));
}

static struct wfi_block *heap_before(const struct wfi_block *b) {
    return b->before == 0 ? NULL : (struct wfi_block *)((uintptr_t)b - (1 + (size_t)b->before) * WFI_ALIGN);
}

static void heap_mark(struct wfi_block *b, uint32_t len, bool is_free) {
    b->tag = len * 2 + is_free;
    heap_after(b)->before = len;
}

/* Units that hold n bytes; 0: no block can be so large. */
static uint32_t heap_units(size_t n) {
    size_t units = n / WFI_ALIGN + (n % WFI_ALIGN != 0);
    if (units < HEAP_MIN) return HEAP_MIN;
    return units <= HEAP_MAX ? (uint32_t)units : 0;
}

/* ---- heap: classes and lists ---- */

typedef struct heap_class {
    uint32_t fl, sl;
} heap_class;

static uint32_t heap_log2(uint32_t v) {
    return 31u - (uint32_t)__builtin_clz(v);
}

static heap_class heap_class_of(uint32_t len) {
    heap_class c = {0, len};
    if (len >= WFI_HEAP_SL) {
        uint32_t power = heap_log2(len);
        c.fl = power - HEAP_SL_LOG2 + 1;
        c.sl = len >> (power - HEAP_SL_LOG2) & (WFI_HEAP_SL - 1);
    }
    return c;
}

/* The least size that begins a class and is no less than len; so every block of that class holds len. */
static uint32_t heap_class_up(uint32_t len) {
    return len < WFI_HEAP_SL ? len : len + (1u << (heap_log2(len) - HEAP_SL_LOG2)) - 1;
}

static void heap_insert(wfi_heap *h, struct wfi_block *b) {
    heap_class c = heap_class_of(heap_len(b));
    struct wfi_block **head = &h->free[c.fl][c.sl];
    b->back = NULL;
    b->next = *head;
    if (b->next != NULL) b->next->back = b;
    *head = b;
    h->sl_map[c.fl] = (uint16_t)(h->sl_map[c.fl] | 1u << c.sl);
    h->fl_map |= 1u << c.fl;
}

static void heap_remove(wfi_heap *h, struct wfi_block *b) {
    heap_class c = heap_class_of(heap_len(b));
    if (b->next != NULL) b->next->back = b->back;
    if (b->back != NULL)
        b->back->next = b->next;
    else
        h->free[c.fl][c.sl] = b->next;
    if (h->free[c.fl][c.sl] != NULL) return;
    h->sl_map[c.fl] = (uint16_t)(h->sl_map[c.fl] & ~(1u << c.sl));
    if (h->sl_map[c.fl] == 0) h->fl_map &= ~(1u << c.fl);
}

/* The head of the first non-empty list from class c up. */
static struct wfi_block *heap_first_from(const wfi_heap *h, heap_class c) {
    if (c.fl >= WFI_HEAP_FL) return NULL;
    uint32_t sl_map = h->sl_map[c.fl] & ~0u << c.sl;
    if (sl_map == 0) {
        uint32_t fl_map = h->fl_map & ~0u << (c.fl + 1);
        if (fl_map == 0) return NULL;
        c.fl = (uint32_t)__builtin_ctz(fl_map);
        sl_map = h->sl_map[c.fl];
    }
    return h->free[c.fl][__builtin_ctz(sl_map)];
}

/* A free block of at least len. The class that len falls into may hold some that are too small, so only its head is
 * looked at: what was freed last is often what is wanted next, and a heap made for one allocation can serve it. */
static struct wfi_block *heap_find(const wfi_heap *h, uint32_t len) {
    heap_class own = heap_class_of(len);
    struct wfi_block *b = h->free[own.fl][own.sl];
    if (b != NULL && heap_len(b) >= len) return b;
    return heap_first_from(h, heap_class_of(heap_class_up(len)));
}

/* ---- heap: taking and giving back ---- */

/* Whether b can be a block of h: in its region, and believed by the block after it. */
static bool heap_is_block(const wfi_heap *h, const struct wfi_block *b) {
    uintptr_t first = (uintptr_t)h->base, last = first + h->size - WFI_ALIGN, at = (uintptr_t)b;
    if (at < first || at >= last || at % WFI_ALIGN != 0) return false;
    return heap_len(b) >= HEAP_MIN && heap_bytes(b) <= last - at - WFI_ALIGN && heap_after(b)->before == heap_len(b);
}

/* Makes b, which is on no list, free and merges it with its neighbours. */
static void heap_release(wfi_heap *h, struct wfi_block *b) {
    heap_mark(b, heap_len(b), true); /* even if it merges to the left, so that a second free is noticed */
    struct wfi_block *left = heap_before(b), *right = heap_after(b);
    if (heap_is_free(right)) {
        heap_remove(h, right);
        heap_mark(b, heap_len(b) + 1 + heap_len(right), true);
    }
    if (left != NULL && heap_is_free(left)) {
        heap_remove(h, left);
        heap_mark(left, heap_len(left) + 1 + heap_len(b), true);
        b = left;
    }
    heap_insert(h, b);
}

/* Gives back what block b, in use, has beyond len, if that makes a block. */
static void heap_trim(wfi_heap *h, struct wfi_block *b, uint32_t len) {
    uint32_t rest = heap_len(b) - len;
    if (rest < 1 + HEAP_MIN) return;
    heap_mark(b, len, false);
    heap_mark(heap_after(b), rest - 1, false);
    heap_release(h, heap_after(b));
}

/* Keeps the account of a heap, and of the one that it shares: bytes no longer and newly in use, blocks more (or, less than 0,
 * fewer). */
static void heap_account(wfi_heap *h, size_t less, size_t more, int blocks) {
    for (; h != NULL; h = h->from) {
        h->used = h->used - less + more;
        h->blocks += (size_t)blocks;
        if (h->used > h->high) h->high = h->used;
    }
}

/* The heap whose region the blocks lie in. */
static wfi_heap *heap_region(wfi_heap *h) {
    while (h->from != NULL)
        h = h->from;
    return h;
}

/* Whether the limits of shared heaps allow so many bytes more. */
static bool heap_allows(const wfi_heap *h, size_t more) {
    for (; h->from != NULL; h = h->from)
        if (h->used >= h->size || more > h->size - h->used) return false;
    return true;
}

static void *heap_take(wfi_heap *h, uint32_t len) {
    wfi_heap *region = heap_region(h);
    struct wfi_block *b = heap_allows(h, len * WFI_ALIGN) ? heap_find(region, len) : NULL;
    if (b == NULL) return NULL;
    heap_remove(region, b);
    heap_mark(b, heap_len(b), false);
    heap_trim(region, b, len);
    heap_account(h, 0, heap_bytes(b), 1);
    return heap_payload(b);
}

/* Counts a request for memory; true: a test wants it to fail. */
static bool heap_injected(wfi_heap *h) {
    h->allocs++;
    return h->fail_at != 0 && (h->allocs == h->fail_at || (h->fail_on && h->allocs > h->fail_at));
}

/* ---- heap: the public face ---- */

WFI size_t wfi_heap_needed(size_t n) {
    uint32_t units = heap_units(n);
    size_t bytes;
    if (units == 0 || !wfi_mul_size((size_t)units + 2, WFI_ALIGN, &bytes)) return SIZE_MAX;
    return bytes;
}

WFI wf_status wfi_heap_init(wfi_heap *h, void *memory, size_t size) {
    size_t pad = (size_t)(0 - (uintptr_t)memory) & (WFI_ALIGN - 1);
    size_t units = size > pad ? (size - pad) / WFI_ALIGN : 0;
    wfi_zero(h, sizeof *h);
    if (memory == NULL || units < 2 + HEAP_MIN) return WF_E_MEMORY;
    if (units - 2 > HEAP_MAX) units = (size_t)HEAP_MAX + 2; /* what lies beyond is never used */
    h->base = (uint8_t *)memory + pad;
    h->size = units * WFI_ALIGN;
    struct wfi_block *first = heap_block(h->base + WFI_ALIGN);
    first->before = 0;
    heap_mark(first, (uint32_t)(units - 2), true);
    heap_after(first)->tag = 0; /* the sentinel; its `before` is set already */
    heap_insert(h, first);
    return WF_OK;
}

WFI void wfi_heap_share(wfi_heap *h, wfi_heap *of, size_t limit) {
    wfi_zero(h, sizeof *h);
    h->from = of;
    h->size = limit;
}

WFI void *wfi_heap_alloc(wfi_heap *h, size_t n) {
    uint32_t len = heap_units(n);
    if (heap_injected(h) || len == 0) return NULL;
    return heap_take(h, len);
}

WFI void wfi_heap_free(wfi_heap *h, void *p) {
    if (p == NULL) return;
    struct wfi_block *b = heap_block(p);
    WFI_ASSERT(heap_is_block(heap_region(h), b) && !heap_is_free(b));
    heap_account(h, heap_bytes(b), 0, -1);
    heap_release(heap_region(h), b);
}

/* Makes block b at least len long where it lies, and gives back what is over; false: there is no room. */
static bool heap_resize(wfi_heap *h, struct wfi_block *b, uint32_t len) {
    wfi_heap *region = heap_region(h);
    struct wfi_block *right = heap_after(b);
    size_t before = heap_bytes(b);
    uint32_t room = heap_len(b) + (heap_is_free(right) ? 1 + heap_len(right) : 0);
    if (room < len) return false;
    if (heap_is_free(right)) {
        heap_remove(region, right);
        heap_mark(b, room, false);
    }
    heap_trim(region, b, len);
    heap_account(h, before, heap_bytes(b), 0);
    return true;
}

/* Shrinking, and growing inside the block, asks for no memory and cannot fail: Lua counts on the former. */
WFI void *wfi_heap_realloc(wfi_heap *h, void *p, size_t n) {
    if (n == 0) {
        wfi_heap_free(h, p);
        return NULL;
    }
    if (p == NULL) return wfi_heap_alloc(h, n);
    struct wfi_block *b = heap_block(p);
    WFI_ASSERT(heap_is_block(heap_region(h), b) && !heap_is_free(b));
    uint32_t len = heap_units(n);
    if (n > heap_bytes(b) && (heap_injected(h) || len == 0)) return NULL;
    if ((n <= heap_bytes(b) || heap_allows(h, n - heap_bytes(b))) && heap_resize(h, b, len)) return p;
    void *moved = heap_take(h, len);
    if (moved != NULL) {
        wfi_copy(moved, p, heap_bytes(b));
        wfi_heap_free(h, p);
    }
    return moved;
}

WFI size_t wfi_heap_size(const void *p) {
    return heap_bytes(heap_block(p));
}

/* ---- heap: proof of the invariants ---- */

/* 1, 2 and 5; *frees becomes the number of free blocks. */
static bool heap_check_row(const wfi_heap *h, size_t *frees) {
    const struct wfi_block *b = heap_block(h->base + WFI_ALIGN);
    size_t used = 0, blocks = 0;
    uint32_t before = 0;
    bool after_free = false;
    for (*frees = 0; heap_len(b) != 0; b = heap_after(b)) {
        if (!heap_is_block(h, b) || b->before != before || (after_free && heap_is_free(b))) return false;
        before = heap_len(b);
        after_free = heap_is_free(b);
        used += after_free ? 0 : heap_bytes(b);
        blocks += !after_free;
        *frees += after_free;
    }
    bool at_end = (const uint8_t *)b == h->base + h->size - WFI_ALIGN;
    bool counted = used == h->used && used <= h->high && blocks == h->blocks;
    return at_end && b->tag == 0 && b->before == before && counted;
}

/* One list: free blocks of class c, linked both ways; *left is the number of free blocks not yet seen on a list. */
static bool heap_check_list(const wfi_heap *h, heap_class c, size_t *left) {
    const struct wfi_block *back = NULL;
    for (const struct wfi_block *b = h->free[c.fl][c.sl]; b != NULL; back = b, b = b->next) {
        if (*left == 0 || !heap_is_block(h, b) || !heap_is_free(b) || b->back != back) return false;
        heap_class own = heap_class_of(heap_len(b));
        if (own.fl != c.fl || own.sl != c.sl) return false;
        --*left;
    }
    return true;
}

WFI bool wfi_heap_check(const wfi_heap *h) {
    size_t left;
    while (h->from != NULL)
        h = h->from;
    if (!heap_check_row(h, &left)) return false;
    for (uint32_t fl = 0; fl < WFI_HEAP_FL; fl++) {
        if ((h->fl_map >> fl & 1) != (h->sl_map[fl] != 0)) return false;
        for (uint32_t sl = 0; sl < WFI_HEAP_SL; sl++) {
            heap_class c = {fl, sl};
            if ((h->sl_map[fl] >> sl & 1) != (h->free[fl][sl] != NULL) || !heap_check_list(h, c, &left)) return false;
        }
    }
    return left == 0 && h->fl_map >> WFI_HEAP_FL == 0;
}

/* ---- the public face of a heap ---- */

wf_heap *wf_heap_open(void *memory, size_t size) {
    wfi_arena a;
    wfi_arena_init(&a, memory, size);
    wf_heap *h = wfi_arena_take(&a, 1, sizeof *h);
    if (!h) return NULL;
    size_t left = wfi_arena_left(&a);
    return wfi_heap_init(&h->heap, wfi_arena_take_raw(&a, 1, left), left) == WF_OK ? h : NULL;
}

void *wf_heap_resize(wf_heap *heap, void *p, size_t n) {
    return wfi_heap_realloc(&heap->heap, p, n);
}

WFI wf_heap_use wfi_heap_use(const wfi_heap *h) {
    wf_heap_use use = {.limit = h->size, .used = h->used, .high = h->high, .blocks = h->blocks};
    for (const wfi_heap *of = h->from; of != NULL; of = of->from) { /* what others took of it cannot be had */
        size_t left = of->used < of->size ? of->size - of->used : 0;
        if (use.used + left < use.limit) use.limit = use.used + left;
    }
    return use;
}

wf_heap *wf_heap_share(wf_heap *of, size_t limit) {
    wf_heap *h = wfi_heap_alloc(&of->heap, sizeof *h);
    if (h) wfi_heap_share(&h->heap, &of->heap, limit);
    return h;
}

void wf_heap_stats(const wf_heap *heap, wf_heap_use *out) {
    *out = wfi_heap_use(&heap->heap);
}

/* ---- growing bytes ---- */

wf_status wfi_buf_reserve(wfi_heap *h, wfi_buf *b, size_t n, size_t max) {
    if (n <= b->cap - b->len) return WF_OK;
    if (b->len > max || n > max - b->len) return WF_E_LIMIT;
    size_t least = b->len + n, cap = b->cap > max / 2 ? max : b->cap * 2;
    if (cap < 256) cap = max < 256 ? max : 256;
    if (cap < least) cap = least;
    char *ptr = wfi_heap_realloc(h, b->ptr, cap);
    if (!ptr) return WF_E_MEMORY;
    b->ptr = ptr;
    b->cap = cap;
    return WF_OK;
}

wf_status wfi_buf_add(wfi_heap *h, wfi_buf *b, const void *p, size_t n, size_t max) {
    wf_status s = wfi_buf_reserve(h, b, n, max);
    if (s != WF_OK || n == 0) return s;
    wfi_copy(b->ptr + b->len, p, n);
    b->len += n;
    return WF_OK;
}

void wfi_buf_free(wfi_heap *h, wfi_buf *b) {
    wfi_heap_free(h, b->ptr);
    wfi_zero(b, sizeof *b);
}
