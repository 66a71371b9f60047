/* counts: what work that is over must leave as it found it. Every heap lies inside the caller's block, where no sanitizer sees a
 * leak, so tests count the blocks and bytes of each heap, and what the process holds, before and after many repetitions. */
#ifndef TEST_COUNTS_H
#define TEST_COUNTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include "children.h"
#include "src/api/core.h"

#define COUNTS_HEAPS 4

typedef struct counts {
    const char *name[COUNTS_HEAPS]; /* of each heap, in the same order before and after */
    wf_heap_use use[COUNTS_HEAPS];
    size_t heaps;
    int files;      /* descriptors of this process */
    bool own_child; /* the test itself has one */
    int children;   /* that stay, for they belong to what is not over */
} counts;

static inline int counts_files(void) {
    int n = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL) return 0; /* not Linux: nothing is counted */
    while (readdir(folder) != NULL)
        n++;
    closedir(folder);
    return n;
}

static inline void counts_begin(counts *c) {
    *c = (counts){.files = counts_files()};
}

static inline void counts_add(counts *c, const char *heap, wf_heap_use use) {
    assert_true(c->heaps < COUNTS_HEAPS);
    c->name[c->heaps] = heap;
    c->use[c->heaps++] = use;
}

/* A child that has ended and was not waited for, or runs on, is a leak as well. */
static inline bool counts_childless(const counts *c) {
    return c->own_child || children_count() <= c->children;
}

/* Prints a row per heap; false: something is not as it was. */
static inline bool counts_same(const char *work, uint32_t times, const counts *before, const counts *after) {
    bool childless = counts_childless(before);
    bool same = before->files == after->files && before->heaps == after->heaps && childless;
    for (size_t i = 0; i < before->heaps; i++) {
        const wf_heap_use *b = &before->use[i], *a = &after->use[i];
        /* A block may be a unit or two larger than was asked for, where the rest would be too small for another: so the bytes of
         * the same blocks vary a little, but not with each repetition. */
        bool kept = b->blocks == a->blocks && a->used < b->used + times;
        print_message("# %-40s x%-5u %-8s blocks %6zu -> %6zu, bytes %8zu -> %8zu%s\n", work, times, before->name[i],
                      b->blocks, a->blocks, b->used, a->used, kept ? "" : "  LEAK");
        same = same && kept;
    }
    if (before->files != after->files)
        print_message("# %-40s x%-5u descriptors %d -> %d  LEAK\n", work, times, before->files, after->files);
    if (!childless) print_message("# %-40s x%-5u a child is left  LEAK\n", work, times);
    return same;
}

#endif
