/* Tests of arena and heap: exhaustion at every size, a shadow model under random traffic, injected failures, damage
 * that wfi_heap_check must see, and a proof by page protection that no operation walks a list. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/core/base/heap.h"

#include <cmocka.h>

/* ---- arena ---- */

static void arena_takes_are_aligned_zeroed_and_apart(void **state) {
    (void)state;
    uint8_t block[256];
    for (size_t shift = 0; shift < 16; shift++) {
        memset(block, 0xEE, sizeof block);
        wfi_arena a;
        wfi_arena_init(&a, block + shift, 200);
        uint8_t *one = wfi_arena_take(&a, 3, 5), *two = wfi_arena_take(&a, 1, 64);
        assert_non_null(one);
        assert_non_null(two);
        assert_int_equal((uintptr_t)one % WFI_ALIGN, 0);
        assert_int_equal((uintptr_t)two % WFI_ALIGN, 0);
        assert_true(two >= one + 15 && one >= block + shift);
        for (size_t i = 0; i < 64; i++)
            assert_true(two[i] == 0 && (i >= 15 || one[i] == 0));
        size_t left = wfi_arena_left(&a);
        uint8_t *rest = wfi_arena_take(&a, 1, left);
        assert_non_null(rest);
        assert_ptr_equal(rest + left, block + shift + 200);
        assert_int_equal(block[shift + 200], 0xEE);
        assert_false(a.full);
        assert_int_equal(wfi_arena_left(&a), 0);
        assert_null(wfi_arena_take(&a, 1, 1));
        assert_true(a.full);
    }
}

static void arena_refuses_what_does_not_fit(void **state) {
    (void)state;
    uint64_t block[8];
    wfi_arena a;
    wfi_arena_init(&a, block, sizeof block);
    assert_null(wfi_arena_take(&a, SIZE_MAX, 2));
    assert_true(a.full);
    assert_null(wfi_arena_take(&a, 1, SIZE_MAX));
    assert_null(wfi_arena_take(&a, 1, sizeof block + 1));
    assert_int_equal(a.used, 0);
    assert_ptr_equal(wfi_arena_take(&a, 0, 8), block);
    assert_ptr_equal(wfi_arena_take(&a, 1, sizeof block), block);
    wfi_arena_init(&a, (uint8_t *)block + 1, 3); /* all padding */
    assert_int_equal(wfi_arena_left(&a), 0);
    assert_null(wfi_arena_take(&a, 1, 1));
    assert_null(wfi_arena_take(&a, 0, 1));
    assert_int_equal(a.used, 0);
}

static bool take_a_few(wfi_arena *a, size_t n) {
    (void)wfi_arena_take(a, n, 3);
    (void)wfi_arena_take(a, 1, 24);
    (void)wfi_arena_take(a, 2, n);
    return !a->full;
}

/* What a counting arena counts is enough at every alignment, and one byte less is not, at the worst. */
static void arena_counts_the_least_size(void **state) {
    (void)state;
    static uint64_t block[64];
    for (size_t n = 0; n < 40; n++) {
        wfi_arena count;
        wfi_arena_init(&count, NULL, 0);
        assert_true(take_a_few(&count, n));
        bool one_less_always_fits = true;
        for (size_t shift = 0; shift < 2 * WFI_ALIGN; shift++) {
            wfi_arena a;
            wfi_arena_init(&a, (uint8_t *)block + shift, count.used);
            assert_true(take_a_few(&a, n));
            wfi_arena_init(&a, (uint8_t *)block + shift, count.used - 1);
            one_less_always_fits &= take_a_few(&a, n);
        }
        assert_false(one_less_always_fits);
    }
    wfi_arena count;
    wfi_arena_init(&count, NULL, 0);
    assert_null(wfi_arena_take(&count, 1, SIZE_MAX));
    assert_true(count.full);
}

/* ---- heap: helpers ---- */

static uint32_t next_random(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33);
}

static void fill(uint8_t *p, size_t n, uint32_t key) {
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(key + i * 31);
}

static bool filled(const uint8_t *p, size_t n, uint32_t key) {
    for (size_t i = 0; i < n; i++)
        if (p[i] != (uint8_t)(key + i * 31)) return false;
    return true;
}

/* The largest allocation that succeeds now. */
static size_t largest(wfi_heap *h) {
    size_t low = 0, high = h->size;
    while (low < high) {
        size_t middle = high - (high - low) / 2;
        void *p = wfi_heap_alloc(h, middle);
        wfi_heap_free(h, p);
        if (p != NULL)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static void assert_pristine(wfi_heap *h) {
    assert_true(wfi_heap_check(h));
    assert_true(h->used == 0 && h->blocks == 0);
    void *all = wfi_heap_alloc(h, h->size - 2 * WFI_ALIGN);
    assert_non_null(all);
    assert_int_equal(wfi_heap_size(all), h->size - 2 * WFI_ALIGN);
    assert_null(wfi_heap_alloc(h, 1));
    wfi_heap_free(h, all);
}

/* ---- heap ---- */

static void heap_needed_is_exact(void **state) {
    (void)state;
    static uint64_t region[1024];
    wfi_heap h;
    for (size_t n = 0; n <= 4096; n++) {
        size_t need = wfi_heap_needed(n);
        assert_int_equal(wfi_heap_init(&h, region, need), WF_OK);
        uint8_t *p = wfi_heap_alloc(&h, n);
        assert_non_null(p);
        memset(p, 0xFF, n);
        assert_true(wfi_heap_size(p) >= n && wfi_heap_check(&h));
        bool less = wfi_heap_init(&h, region, need - 1) == WF_OK && wfi_heap_alloc(&h, n) != NULL;
        assert_false(less);
    }
    assert_true(wfi_heap_needed(SIZE_MAX) == SIZE_MAX);
    assert_true(wfi_heap_needed(SIZE_MAX - 8) == SIZE_MAX);
}

static void heap_init_bounds(void **state) {
    (void)state;
    uint64_t region[8];
    wfi_heap h;
    assert_int_equal(wfi_heap_init(&h, NULL, 4096), WF_E_MEMORY);
    assert_null(wfi_heap_alloc(&h, 1)); /* a heap that got nothing has nothing */
    for (size_t n = 0; n < wfi_heap_needed(1); n++)
        assert_int_equal(wfi_heap_init(&h, region, n), WF_E_MEMORY);
    assert_int_equal(wfi_heap_init(&h, region, wfi_heap_needed(1)), WF_OK);
    assert_int_equal(wfi_heap_init(&h, (uint8_t *)region + 1, wfi_heap_needed(1)), WF_E_MEMORY);
    assert_int_equal(wfi_heap_init(&h, (uint8_t *)region + 1, wfi_heap_needed(1) + WFI_ALIGN - 1), WF_OK);
}

#if SIZE_MAX > UINT32_MAX
/* A region beyond what a block can be is taken as far as that goes. The pages are never touched, so they cost nothing. */
static void heap_huge_region(void **state) {
    (void)state;
    const size_t most = (size_t)0x7FFFFFFF * WFI_ALIGN, bytes = most + (1u << 20);
    uint8_t *region = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED) skip();
    wfi_heap h;
    assert_int_equal(wfi_heap_init(&h, region, bytes), WF_OK);
    assert_true(h.size == most + 2 * WFI_ALIGN && wfi_heap_check(&h));
    assert_null(wfi_heap_alloc(&h, most + 1));
    void *small = wfi_heap_alloc(&h, 8);
    assert_null(wfi_heap_alloc(&h, most)); /* above the last class */
    wfi_heap_free(&h, small);
    uint8_t *all = wfi_heap_alloc(&h, most);
    assert_true(all != NULL && wfi_heap_size(all) == most && wfi_heap_check(&h));
    all[most - 1] = 1;
    assert_ptr_equal(wfi_heap_realloc(&h, all, 100), all);
    wfi_heap_free(&h, all);
    assert_pristine(&h);
    assert_int_equal(munmap(region, bytes), 0);
}
#endif

/* A job of some allocations, as far as it gets. Whatever fails, nothing is lost and the heap is whole again after. */
static bool job(wfi_heap *h) {
    static const size_t sizes[] = {1, 24, 100, 0, 333, 8, 640};
    uint8_t *p[WFI_COUNT(sizes)];
    size_t kept[WFI_COUNT(sizes)];
    bool all = true;
    for (size_t i = 0; i < WFI_COUNT(sizes); i++) {
        kept[i] = sizes[i];
        p[i] = wfi_heap_alloc(h, sizes[i]);
        all &= p[i] != NULL;
        if (p[i] != NULL) fill(p[i], kept[i], (uint32_t)i);
    }
    for (size_t i = 0; i < WFI_COUNT(sizes); i++) {
        size_t grown = sizes[i] * 2 + 50;
        uint8_t *q = p[i] != NULL ? wfi_heap_realloc(h, p[i], grown) : NULL;
        all &= q != NULL;
        if (q != NULL) {
            assert_true(filled(q, kept[i], (uint32_t)i));
            fill(q, grown, (uint32_t)i);
            p[i] = q;
            kept[i] = grown;
        }
        assert_true(wfi_heap_check(h));
    }
    for (size_t i = 0; i < WFI_COUNT(sizes); i++) {
        if (p[i] != NULL) assert_true(filled(p[i], kept[i], (uint32_t)i));
        wfi_heap_free(h, p[i]);
    }
    return all;
}

static void heap_exhaustion_at_every_size(void **state) {
    (void)state;
    uint8_t *memory = malloc(4096 + 64);
    assert_non_null(memory);
    size_t odd = (size_t)(0 - (uintptr_t)memory) % 16;
    size_t least = 0;
    for (size_t size = 0; size <= 4096; size += 8)
        for (size_t shift = 0; shift < 8; shift += 3) {
            memset(memory, 0xEE, 4096 + 64);
            uint8_t *base = memory + odd + shift;
            wfi_heap h;
            bool done = false;
            if (wfi_heap_init(&h, base, size) == WF_OK) {
                done = job(&h);
                assert_true(h.base >= base && h.base + h.size <= base + size);
                assert_pristine(&h);
            }
            assert_int_equal(base[size], 0xEE);
            assert_true(shift + odd == 0 || base[-1] == 0xEE);
            if (shift == 0 && done && least == 0) least = size;
            if (shift == 0 && least != 0) assert_true(done); /* more memory never makes it fail */
        }
    assert_true(least > 1000 && least < 4096);
    free(memory);
}

static void heap_realloc_in_place(void **state) {
    (void)state;
    static uint64_t region[256];
    wfi_heap h;
    assert_int_equal(wfi_heap_init(&h, region, sizeof region), WF_OK);
    uint8_t *a = wfi_heap_realloc(&h, NULL, 64), *b = wfi_heap_alloc(&h, 64), *c = wfi_heap_alloc(&h, 64);
    assert_true(a != NULL && b != NULL && c != NULL);
    fill(a, 64, 1);
    fill(c, 64, 3);
    uint64_t allocs = h.allocs;
    wfi_heap_free(&h, b);
    size_t joined = 64 + WFI_ALIGN + 64;
    assert_ptr_equal(wfi_heap_realloc(&h, a, joined), a); /* exactly into the right neighbour */
    assert_int_equal(wfi_heap_size(a), joined);
    assert_int_equal(h.allocs, allocs + 1);
    assert_int_equal(h.used, joined + 64);
    assert_true(filled(a, 64, 1) && wfi_heap_check(&h));
    assert_ptr_equal(wfi_heap_realloc(&h, a, 64), a); /* shrinking gives the rest back ... */
    assert_int_equal(wfi_heap_size(a), 64);
    assert_ptr_equal(wfi_heap_alloc(&h, 64), b); /* ... as a block of its own */
    allocs = h.allocs;
    assert_ptr_equal(wfi_heap_realloc(&h, a, 1), a);
    assert_ptr_equal(wfi_heap_realloc(&h, a, 64), a); /* there is a free block now between a and b */
    uint8_t *moved = wfi_heap_realloc(&h, a, 65);     /* no room: moves */
    assert_true(moved != NULL && moved != a && filled(moved, 1, 1));
    assert_int_equal(h.allocs, allocs + 2); /* shrinking asks for nothing */
    assert_null(wfi_heap_realloc(&h, moved, sizeof region));
    assert_null(wfi_heap_realloc(&h, moved, SIZE_MAX));
    assert_null(wfi_heap_alloc(&h, SIZE_MAX));
    assert_true(wfi_heap_size(moved) >= 65 && wfi_heap_check(&h));
    assert_true(filled(c, 64, 3));
    assert_null(wfi_heap_realloc(&h, moved, 0));
    size_t blocks = h.blocks;
    assert_null(wfi_heap_realloc(&h, NULL, 0)); /* frees nothing, and takes nothing */
    assert_int_equal(h.blocks, blocks);
    wfi_heap_free(&h, b);
    wfi_heap_free(&h, c);
    wfi_heap_free(&h, NULL);
    assert_pristine(&h);
}

static void heap_counts_used_and_high(void **state) {
    (void)state;
    static uint64_t region[256];
    wfi_heap h;
    assert_int_equal(wfi_heap_init(&h, region, sizeof region), WF_OK);
    void *a = wfi_heap_alloc(&h, 100), *b = wfi_heap_alloc(&h, 200);
    size_t both = wfi_heap_size(a) + wfi_heap_size(b);
    assert_int_equal(h.used, both);
    assert_int_equal(h.high, both);
    wfi_heap_free(&h, a);
    assert_int_equal(h.used, wfi_heap_size(b));
    assert_int_equal(h.high, both);
    assert_null(wfi_heap_alloc(&h, sizeof region));
    assert_int_equal(h.used, wfi_heap_size(b));
    assert_int_equal(h.high, both);
    assert_int_equal(h.allocs, 3);
}

static void heap_fails_when_told(void **state) {
    (void)state;
    static uint64_t region[2048];
    wfi_heap h;
    for (int stay = 0; stay <= 1; stay++) {
        bool injected = true;
        for (uint64_t n = 1; injected; n++) {
            assert_true(n < 100);
            assert_int_equal(wfi_heap_init(&h, region, sizeof region), WF_OK);
            h.fail_at = n;
            h.fail_on = stay != 0;
            bool done = job(&h);
            injected = h.allocs >= n;
            assert_true(done == !injected);
            h.fail_at = 0;
            assert_true(job(&h)); /* the same job succeeds afterwards */
            assert_pristine(&h);
        }
    }
    assert_int_equal(wfi_heap_init(&h, region, sizeof region), WF_OK);
    void *p = wfi_heap_alloc(&h, 50);
    h.fail_at = 2;
    assert_non_null(wfi_heap_realloc(&h, p, 10)); /* not a request for memory */
    assert_null(wfi_heap_realloc(&h, p, 500));
    assert_non_null(wfi_heap_alloc(&h, 5)); /* once only */
    assert_int_equal(h.allocs, 3);
    h.fail_at = 2;
    h.fail_on = true;
    assert_null(wfi_heap_alloc(&h, 5)); /* past it already, and it stays */
}

#define SHADOW_MAX 512
#define SHADOW_OPS 200000

typedef struct shadow {
    uint8_t *p;
    size_t n;
    uint32_t key;
} shadow;

static void shadow_step(wfi_heap *h, shadow *s, uint32_t action, size_t n, uint32_t key) {
    if (s->p != NULL) assert_true(filled(s->p, s->n, s->key));
    if (s->p != NULL && action < 5) {
        wfi_heap_free(h, s->p);
        s->p = NULL;
        return;
    }
    size_t used = h->used;
    bool grows = s->p == NULL || n > wfi_heap_size(s->p);
    uint8_t *p = wfi_heap_realloc(h, s->p, n);
    if (p == NULL) {
        assert_true(grows && h->used == used);
        if (s->p != NULL) assert_true(filled(s->p, s->n, s->key));
        return;
    }
    assert_int_equal((uintptr_t)p % WFI_ALIGN, 0);
    assert_true(p >= h->base + WFI_ALIGN && p + n <= h->base + h->size - WFI_ALIGN && wfi_heap_size(p) >= n);
    if (s->p != NULL) assert_true(filled(p, n < s->n ? n : s->n, s->key));
    fill(p, n, key);
    *s = (shadow){p, n, key};
}

static void shadow_run(size_t region, size_t places, size_t size_max, uint64_t seed) {
    static shadow live[SHADOW_MAX];
    uint8_t *memory = malloc(region);
    wfi_heap h;
    assert_non_null(memory);
    memset(live, 0, sizeof live);
    assert_int_equal(wfi_heap_init(&h, memory + seed % 8, region - seed % 8), WF_OK);
    for (uint32_t op = 0; op < SHADOW_OPS; op++) {
        shadow *s = &live[next_random(&seed) % places];
        size_t n = 1 + next_random(&seed) % size_max;
        if (next_random(&seed) % 4 != 0) n = 1 + n % 64; /* mostly small ones */
        shadow_step(&h, s, next_random(&seed) % 10, n, op);
        if (op % 256 == 0) assert_true(wfi_heap_check(&h));
        if (op % 8192 == 0) {
            size_t used = 0, blocks = 0;
            for (size_t i = 0; i < places; i++) {
                used += live[i].p != NULL ? wfi_heap_size(live[i].p) : 0;
                blocks += live[i].p != NULL;
            }
            assert_true(used == h.used && blocks == h.blocks);
        }
    }
    for (size_t i = 0; i < places; i++) {
        if (live[i].p != NULL) assert_true(filled(live[i].p, live[i].n, live[i].key));
        wfi_heap_free(&h, live[i].p);
    }
    assert_pristine(&h);
    free(memory);
}

static void heap_random_traffic(void **state) {
    (void)state;
    shadow_run(600, 20, 200, 1);
    shadow_run(4096, 60, 500, 2);
    shadow_run(65536, 300, 2000, 3);
    shadow_run(1 << 20, SHADOW_MAX, 16000, 4);
    shadow_run(1 << 18, SHADOW_MAX, 4000, 5);
}

/* Any free block at least one class step larger than the request is found, whatever the sizes. */
static void heap_finds_what_it_must(void **state) {
    (void)state;
    static uint64_t region[16384];
    wfi_heap h;
    for (size_t n = 1; n < 60000; n += 1 + n / 50) {
        assert_int_equal(wfi_heap_init(&h, region, sizeof region), WF_OK);
        void *hole = wfi_heap_alloc(&h, n), *fence = wfi_heap_alloc(&h, 1);
        void *rest = wfi_heap_alloc(&h, largest(&h));
        assert_true(hole != NULL && fence != NULL && rest != NULL);
        wfi_heap_free(&h, hole);
        size_t best = largest(&h);
        assert_true(best >= n); /* the only one of its class: exact */
        assert_true(wfi_heap_check(&h));
        wfi_heap_free(&h, rest);
        wfi_heap_free(&h, fence);
        assert_pristine(&h);
    }
}

/* Damage of each kind is noticed. Every byte of the bookkeeping of a small heap is flipped, one bit at a time. */
static void heap_check_sees_damage(void **state) {
    (void)state;
    static uint64_t region[64];
    uint8_t *const raw = (uint8_t *)region;
    wfi_heap h;
    memset(region, 0, sizeof region);
    assert_int_equal(wfi_heap_init(&h, region, sizeof region), WF_OK);
    void *a = wfi_heap_alloc(&h, 40), *b = wfi_heap_alloc(&h, 40), *c = wfi_heap_alloc(&h, 40);
    assert_true(a != NULL && b != NULL && c != NULL);
    wfi_heap_free(&h, a);
    wfi_heap_free(&h, c);
    assert_true(wfi_heap_check(&h));
    const size_t headers[] = {0, (size_t)((uint8_t *)b - raw) - WFI_ALIGN, (size_t)((uint8_t *)c - raw) - WFI_ALIGN,
                              sizeof region - WFI_ALIGN};
    for (size_t i = 0; i < WFI_COUNT(headers); i++)
        for (size_t bit = 0; bit < 64; bit++) {
            raw[headers[i] + bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(wfi_heap_check(&h));
            raw[headers[i] + bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    for (size_t bit = 0; bit < 32; bit++) {
        h.fl_map ^= 1u << bit;
        assert_false(wfi_heap_check(&h));
        h.fl_map ^= 1u << bit;
    }
    for (size_t bit = 0; bit < WFI_HEAP_FL * 16; bit++) {
        h.sl_map[bit / 16] = (uint16_t)(h.sl_map[bit / 16] ^ 1u << bit % 16);
        assert_false(wfi_heap_check(&h));
        h.sl_map[bit / 16] = (uint16_t)(h.sl_map[bit / 16] ^ 1u << bit % 16);
    }
    h.used += 8;
    assert_false(wfi_heap_check(&h));
    h.used -= 8;
    h.blocks++;
    assert_false(wfi_heap_check(&h));
    h.blocks--;
    size_t high = h.high;
    h.high = h.used - 1;
    assert_false(wfi_heap_check(&h));
    h.high = high;
    void *links[2]; /* of the free block that a was */
    memcpy(links, a, sizeof links);
    memcpy(a, &a, sizeof a); /* next: not a block */
    assert_false(wfi_heap_check(&h));
    void *self = raw;
    memcpy(a, &self, sizeof self); /* next: itself, a ring */
    assert_false(wfi_heap_check(&h));
    memcpy(a, links, sizeof links);
    assert_true(wfi_heap_check(&h));
}

#if !defined(NDEBUG)
/* A child does what must not be done; its assertion stops it. */
static bool dies(void (*deed)(wfi_heap *h, uint8_t *p)) {
    static uint64_t region[64];
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static const int signals[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT};
        for (size_t i = 0; i < WFI_COUNT(signals); i++)
            (void)signal(signals[i], SIG_DFL); /* the test runner's would go on with the next test, in the child */
        wfi_heap h;
        (void)!freopen("/dev/null", "w", stderr);
        (void)wfi_heap_init(&h, region, sizeof region);
        uint8_t *p = wfi_heap_alloc(&h, 40);
        void *q = wfi_heap_alloc(&h, 40);
        deed(&h, p);
        _exit(p == q);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void deed_none(wfi_heap *h, uint8_t *p) {
    wfi_heap_free(h, p);
}

static void deed_twice(wfi_heap *h, uint8_t *p) {
    wfi_heap_free(h, p);
    wfi_heap_free(h, p);
}

static void deed_twice_merged(wfi_heap *h, uint8_t *p) {
    uint8_t *right = p + wfi_heap_size(p) + WFI_ALIGN;
    wfi_heap_free(h, p);
    wfi_heap_free(h, right); /* its header lies inside a free block now */
    wfi_heap_free(h, right);
}

static void deed_odd(wfi_heap *h, uint8_t *p) {
    wfi_heap_free(h, p + 1);
}

static void deed_inside(wfi_heap *h, uint8_t *p) {
    memset(p, 0x55, 40);
    wfi_heap_free(h, p + WFI_ALIGN);
}

static void deed_outside(wfi_heap *h, uint8_t *p) {
    (void)p;
    static uint64_t other[8];
    wfi_heap_free(h, other + 2);
}

static void deed_overrun(wfi_heap *h, uint8_t *p) {
    memset(p, 0x55, 48 + WFI_ALIGN);
    wfi_heap_free(h, p);
}

static void heap_stops_at_wild_frees(void **state) {
    (void)state;
    assert_false(dies(deed_none));
    assert_true(dies(deed_twice));
    assert_true(dies(deed_twice_merged));
    assert_true(dies(deed_odd));
    assert_true(dies(deed_inside));
    assert_true(dies(deed_outside));
    assert_true(dies(deed_overrun));
}
#endif

/* Every block is a page of its own and all free ones are of one class: on one list. All but the first three of that list
 * are made unreadable (unlinking the second writes to the third). An operation that walked further would be killed. */
static void heap_walks_no_list(void **state) {
    (void)state;
    enum { PAIRS = 200 };
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (2 * PAIRS + 4) * page;
    uint8_t *region = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(region != MAP_FAILED);
    wfi_heap h;
    assert_int_equal(wfi_heap_init(&h, region, bytes), WF_OK);
    static void *p[2 * PAIRS];
    for (size_t i = 0; i < 2 * PAIRS; i++) {
        p[i] = wfi_heap_alloc(&h, page - WFI_ALIGN);
        assert_ptr_equal(p[i], region + i * page + WFI_ALIGN);
    }
    for (size_t i = 0; i < 2 * PAIRS; i += 2)
        wfi_heap_free(&h, p[i]);
    assert_true(wfi_heap_check(&h));
    for (size_t i = 0; i < 2 * PAIRS - 6; i += 2)
        assert_int_equal(mprotect(region + i * page, page, PROT_NONE), 0);

    void *head = wfi_heap_alloc(&h, page - WFI_ALIGN);
    assert_ptr_equal(head, p[2 * PAIRS - 2]);
    assert_ptr_equal(wfi_heap_realloc(&h, head, 100), head); /* splits: inserts and merges */
    assert_ptr_equal(wfi_heap_realloc(&h, head, page - WFI_ALIGN), head);
    wfi_heap_free(&h, head);
    assert_null(wfi_heap_alloc(&h, 4 * page)); /* none is large enough: says so without looking at any */
    head = wfi_heap_alloc(&h, page - WFI_ALIGN - 8);
    assert_ptr_equal(head, p[2 * PAIRS - 2]);
    assert_null(wfi_heap_realloc(&h, head, 4 * page));
    wfi_heap_free(&h, p[2 * PAIRS - 3]); /* merges with the free ones on both sides, or what is left of them */
    wfi_heap_free(&h, head);

    for (size_t i = 0; i < 2 * PAIRS - 6; i += 2)
        assert_int_equal(mprotect(region + i * page, page, PROT_READ | PROT_WRITE), 0);
    assert_true(wfi_heap_check(&h));
    assert_int_equal(munmap(region, bytes), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_takes_are_aligned_zeroed_and_apart),
        cmocka_unit_test(arena_refuses_what_does_not_fit),
        cmocka_unit_test(arena_counts_the_least_size),
        cmocka_unit_test(heap_needed_is_exact),
        cmocka_unit_test(heap_init_bounds),
#if SIZE_MAX > UINT32_MAX
        cmocka_unit_test(heap_huge_region),
#endif
        cmocka_unit_test(heap_exhaustion_at_every_size),
        cmocka_unit_test(heap_realloc_in_place),
        cmocka_unit_test(heap_counts_used_and_high),
        cmocka_unit_test(heap_fails_when_told),
        cmocka_unit_test(heap_random_traffic),
        cmocka_unit_test(heap_finds_what_it_must),
        cmocka_unit_test(heap_check_sees_damage),
        cmocka_unit_test(heap_walks_no_list),
#if !defined(NDEBUG)
        cmocka_unit_test(heap_stops_at_wild_frees),
#endif
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
