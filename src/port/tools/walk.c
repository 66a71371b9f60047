/* walk: see walk.h. A directory is read whole, sorted, then worked through; its names lie on the stack `room` while
 * that goes on. A directory sorts as its name with '/' behind it: then the files come out in the order of their
 * whole paths.
 *
 * Layout of a directory's piece of room: records of a type byte, a name, a zero; behind them, aligned, the array of
 * their offsets. */
#include "walk.h"
#include "../os/dir.h"
#include "gitrules.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WALK_DIR_ROOM 32768u /* for reading one directory's entries */
#define WALK_RULES    ".gitignore"
#define WALK_FLAGS    (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#if defined(O_PATH)
#define WALK_STEP (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#else
#define WALK_STEP WALK_FLAGS
#endif

/* ---- one directory ---- */

typedef struct walk_list {
    wfi_walk *w;
    size_t first; /* of its records in room */
    uint32_t count;
    bool full, rules; /* rules: there is a .gitignore */
} walk_list;

static bool walk_add(void *ctx, const char *name, wfi_entry_type type) {
    walk_list *l = ctx;
    wfi_walk *w = l->w;
    size_t n = strlen(name) + 2;
    if (type == WFI_ENTRY_OTHER || strcmp(name, ".git") == 0 || strcmp(name, ".wf") == 0) return true;
    /* Each record will need a place in the array of offsets too. */
    size_t array = ((size_t)l->count + 2) * sizeof(uint32_t);
    l->full = w->size - w->used < n + array || w->used + n > UINT32_MAX;
    if (l->full) return false;
    w->room[w->used] = (char)type;
    memcpy(w->room + w->used + 1, name, n - 1);
    w->used += n;
    l->count++;
    l->rules |= type == WFI_ENTRY_FILE && strcmp(name, WALK_RULES) == 0;
    return true;
}

/* Compares two records by name, a directory's ending with '/'. */
static int walk_compare(const char *a, const char *b) {
    size_t i = 1;
    while (a[i] == b[i] && a[i] != '\0')
        i++;
    int x = (unsigned char)a[i], y = (unsigned char)b[i];
    if (x == 0 && a[0] == (char)WFI_ENTRY_DIR) x = '/';
    if (y == 0 && b[0] == (char)WFI_ENTRY_DIR) y = '/';
    return x - y;
}

static void walk_sift(const char *room, uint32_t *at, uint32_t root, uint32_t n) {
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= n) return;
        if (child + 1 < n && walk_compare(room + at[child], room + at[child + 1]) < 0) child++;
        if (walk_compare(room + at[root], room + at[child]) >= 0) return;
        uint32_t swap = at[root];
        at[root] = at[child];
        at[child] = swap;
        root = child;
    }
}

/* Heap sort: qsort may call malloc. */
static void walk_sort(const char *room, uint32_t *at, uint32_t n) {
    for (uint32_t i = n / 2; i > 0; i--)
        walk_sift(room, at, i - 1, n);
    for (uint32_t i = n; i > 1; i--) {
        uint32_t swap = at[0];
        at[0] = at[i - 1];
        at[i - 1] = swap;
        walk_sift(room, at, 0, i - 1);
    }
}

/* Reads and sorts a directory; NULL: it cannot be read, or does not fit. */
static uint32_t *walk_load(wfi_walk *w, int fd, walk_list *l) {
    uint64_t entries[WALK_DIR_ROOM / sizeof(uint64_t)];
    *l = (walk_list){.w = w, .first = w->used};
    if (wfi_entries(fd, entries, sizeof entries, walk_add, l) != 0 || l->full) return NULL;
    w->used = (w->used + sizeof(uint32_t) - 1) & ~(sizeof(uint32_t) - 1);
    uint32_t *at = (uint32_t *)(void *)(w->room + w->used);
    w->used += l->count * sizeof at[0];
    size_t from = l->first;
    for (uint32_t i = 0; i < l->count; i++) {
        at[i] = (uint32_t)from;
        from += strlen(w->room + from + 1) + 2;
    }
    walk_sort(w->room, at, l->count);
    return at;
}

/* ---- rules ---- */

/* Adds the rules of a file in the directory dir. Rules that are a link do not count. */
static void walk_rules(wfi_walk *w, int dir, const char *name, size_t base) {
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) return;
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        w->rules = wfi_ignore_load(w->rules, fd, base, w->room, w->size, &w->used);
    close(fd);
}

static void walk_rules_of(wfi_walk *w, int fd) {
    if (fd >= 0) w->rules = wfi_ignore_load(w->rules, fd, 0, w->room, w->size, &w->used);
}

/* Adds the rules that hold where the walk begins: git's other ones, and those of the directories before it, from the top on. */
static void walk_rules_above(wfi_walk *w, wfi_gitrules *g) {
    int at = g->top;
    g->top = -1;
    walk_rules_of(w, g->user);
    walk_rules_of(w, g->exclude);
    for (size_t from = 0; from < w->path_len && at >= 0;) {
        char name[WFI_WALK_PATH];
        const char *slash = memchr(w->path + from, '/', w->path_len - from);
        size_t n = (size_t)(slash - w->path) - from;
        memcpy(name, w->path + from, n);
        name[n] = '\0';
        walk_rules(w, at, WALK_RULES, from);
        from += n + 1;
        if (wfi_ignored(w->rules, wf_str_of(w->path, from - 1), true)) w->rules = NULL;
        int below = openat(at, name, WALK_STEP);
        close(at);
        at = below;
    }
    wfi_sys_close(&at);
}

/* ---- the walk ---- */

static bool walk_dir(wfi_walk *w, int fd, uint32_t depth);

/* The path as others see it, from the root. */
static wf_str walk_path(const wfi_walk *w) {
    return wf_str_of(w->path + w->above, w->path_len - w->above);
}

static void walk_unreadable(wfi_walk *w) {
    w->unreadable(w->ctx, walk_path(w));
}

static bool walk_below(wfi_walk *w, int fd, const char *name, uint32_t depth) {
    if (w->enter != NULL && !w->enter(w->ctx, walk_path(w))) return true;
    int below = depth < WFI_WALK_DEPTH ? openat(fd, name, WALK_FLAGS) : -1;
    if (below < 0) {
        walk_unreadable(w);
        return true;
    }
    bool more = walk_dir(w, below, depth + 1);
    close(below);
    return more;
}

static bool walk_entry(wfi_walk *w, int fd, const char *record, uint32_t depth) {
    const char *name = record + 1;
    bool dir = record[0] == (char)WFI_ENTRY_DIR;
    size_t before = w->path_len, n = strlen(name);
    if (before - w->above + n + 2 > WFI_WALK_PATH) {
        walk_unreadable(w); /* names its directory: there is no room for more */
        return true;
    }
    memcpy(w->path + before, name, n);
    if (wfi_ignored(w->rules, wf_str_of(w->path, before + n), dir)) {
        w->ignored = true;
        return true;
    }
    w->path_len = before + n;
    if (dir) w->path[w->path_len++] = '/';
    bool more = dir ? walk_below(w, fd, name, depth) : w->file(w->ctx, walk_path(w), fd, name);
    w->path_len = before;
    return more;
}

static bool walk_dir(wfi_walk *w, int fd, uint32_t depth) {
    size_t before = w->used;
    const wfi_ignore *above = w->rules;
    walk_list l;
    bool more = true;
    uint32_t *at = walk_load(w, fd, &l);
    if (at == NULL) walk_unreadable(w);
    if (at != NULL && l.rules) walk_rules(w, fd, WALK_RULES, w->path_len);
    for (uint32_t i = 0; at != NULL && i < l.count && more; i++)
        more = walk_entry(w, fd, w->room + at[i], depth);
    w->rules = above;
    w->used = before;
    return more;
}

/* The path begins with the way from the top to the root. False: it is too long. */
static bool walk_begin(wfi_walk *w, const wfi_gitrules *g, const wfi_confine *root, wf_str prefix) {
    size_t n = g->above, len = strlen(root->root);
    w->path_len = w->above = 0;
    if (prefix.len >= WFI_WALK_PATH) return false;
    if (n > 0) memcpy(w->path, root->root + len - n, n);
    if (n > 0) w->path[n++] = '/';
    if (prefix.len > 0) memcpy(w->path + n, prefix.ptr, prefix.len);
    w->above = n;
    w->path_len = n + prefix.len;
    return true;
}

void wfi_walk_run(wfi_walk *w, const wfi_confine *root, int dirfd, int fd, wf_str prefix) {
    wfi_gitrules g;
    w->used = 0;
    w->ignored = false;
    w->rules = NULL;
    wfi_gitrules_open(&g, dirfd, root->root, w->room, w->size);
    if (walk_begin(w, &g, root, prefix)) {
        walk_rules_above(w, &g);
        walk_dir(w, fd, 0);
    } else {
        w->unreadable(w->ctx, prefix);
    }
    wfi_gitrules_close(&g);
}
