/* caches: see caches.h. */
#include "caches.h"
#include "../os/dir.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHES_PATH  4096
#define CACHES_PARTS 8
#define CACHES_LINKS 50000u          /* made for one run; what is beyond is not found */
#define CACHES_COPY  ((size_t)65536) /* bytes of a file that is copied rather than linked */

typedef enum caches_way {
    CACHES_LINK,   /* folders down to a depth, links below and for files */
    CACHES_COPIES, /* the same, but small files are copies, for the tool appends to them */
    CACHES_SITES   /* of Python: packages of one's own go before those of the user's */
} caches_way;

/* A part of what the user has. Deeper parts stand first: what is there already is left alone. */
typedef struct caches_part {
    const char *path; /* NULL: no more */
    uint32_t depth;   /* of folders that new things are put into */
    caches_way way;
} caches_part;

typedef enum caches_when {
    CACHES_ALWAYS, /* where HOME cannot be written to, */
    CACHES_SET     /* ... but only if the user says a place by the variable */
} caches_when;

/* value: what stands before the place in the variable's value. also: a second variable, for what
 * the tool only reads, and where in the user's place that is. */
typedef struct caches_kind {
    const char *variable, *usual, *place, *value, *also, *also_path, *skip;
    caches_when when;
    caches_part parts[CACHES_PARTS];
} caches_kind;

#define CACHES_ALL 16u /* as deep as such places are */

static const caches_kind caches_kinds[] = {
    {"XDG_CACHE_HOME", ".cache", "cache", "", NULL, NULL, ":go-build:ccache:pip:wf:", CACHES_ALWAYS, {{"", 1, 0}}},
    {"CARGO_HOME",
     ".cargo",
     "cargo",
     "",
     NULL,
     NULL,
     "",
     CACHES_ALWAYS,
     {{"registry/index", CACHES_ALL, 0},
      {"registry/cache", 1, 0},
      {"registry/src", 1, 0},
      {"registry", 0, 0},
      {"git/db", 0, 0},
      {"git/checkouts", 1, 0},
      {"git", 0, 0},
      {"", 0, 0}}},
    {"GOPATH",
     "go",
     "go",
     "",
     NULL,
     NULL,
     "",
     CACHES_ALWAYS,
     {{"pkg/mod/cache/download", CACHES_ALL, 0}, {"bin", 0, 0}, {"src", 0, 0}}},
    {"GOMODCACHE", NULL, "gomod", "", NULL, NULL, "", CACHES_SET, {{"cache/download", CACHES_ALL, 0}}},
    {"GOCACHE", NULL, "gobuild", "", NULL, NULL, "", CACHES_SET, {{NULL, 0, 0}}},
    {"npm_config_cache",
     ".npm",
     "npm",
     "",
     NULL,
     NULL,
     "",
     CACHES_ALWAYS,
     {{"_cacache/content-v2", CACHES_ALL, 0}, {"_cacache/index-v5", CACHES_ALL, CACHES_COPIES}, {"_npx", 0, 0}}},
    {"PIP_CACHE_DIR", NULL, "pip", "", NULL, NULL, "", CACHES_SET, {{NULL, 0, 0}}},
    {"PYTHONUSERBASE",
     ".local",
     "python",
     "",
     NULL,
     NULL,
     "",
     CACHES_ALWAYS,
     {{"lib", 0, CACHES_SITES}, {"bin", 0, 0}}},
    {"CCACHE_DIR", ".ccache", "ccache", "", NULL, NULL, "", CACHES_ALWAYS, {{NULL, 0, 0}}},
    {"GRADLE_USER_HOME",
     ".gradle",
     "gradle",
     "",
     "GRADLE_RO_DEP_CACHE",
     "caches",
     "",
     CACHES_ALWAYS,
     {{"wrapper/dists", 2, 0}, {"init.d", 0, 0}, {"jdks", 0, 0}}},
    {"MAVEN_OPTS",
     ".m2/repository",
     "maven",
     "-Dmaven.repo.local=",
     NULL,
     NULL,
     "",
     CACHES_ALWAYS,
     {{"", CACHES_ALL, 0}}},
};
#define CACHES_KINDS ((uint32_t)(sizeof caches_kinds / sizeof caches_kinds[0]))

/* ---- the variables ---- */

static bool caches_is_below(const char *path, const char *folder) {
    size_t n = strlen(folder);
    while (n > 0 && folder[n - 1] == '/')
        n--;
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Where the user has it; false: nowhere. Options are a value of their own, and name no place. */
static bool caches_from(const caches_kind *k, const char *home, char out[CACHES_PATH]) {
    const char *value = k->value[0] == '\0' ? getenv(k->variable) : NULL;
    if (value != NULL && value[0] == '/' && strlen(value) < CACHES_PATH) {
        strcpy(out, value);
        out[strcspn(out, ":")] = '\0'; /* GOPATH may be a list, whose first is written to */
        return true;
    }
    return k->usual != NULL && wfi_sys_join(home, k->usual, out, CACHES_PATH);
}

/* Whether commands need a place of their own for it. */
static bool caches_moves(const caches_kind *k, const char *home, bool all, const char *writable) {
    char from[CACHES_PATH];
    const char *value = getenv(k->variable);
    if (k->value[0] != '\0') return all && (value == NULL || strstr(value, k->value) == NULL);
    if (k->when == CACHES_SET && value == NULL) return false;
    if (strncmp(k->variable, "XDG_", 4) == 0) return all; /* the user's own is not passed on */
    if (!caches_from(k, home, from) || caches_is_below(from, writable)) return false;
    return all || (value != NULL && value[0] == '/' && !caches_is_below(from, home));
}

static void caches_add(wfi_caches *c, const char *name, const char *before, const char *value, const char *path) {
    size_t need = strlen(name) + strlen(before) + strlen(value) + strlen(path) + 3;
    char *at = c->room + c->used;
    if (c->count == WFI_CACHES || need > sizeof c->room - c->used) return;
    strcat(strcat(strcpy(at, name), "="), before);
    if (before[0] != '\0') strcat(at, " ");
    strcat(strcat(at, value), path);
    c->env[c->count++] = at;
    c->used += need;
}

void wfi_caches_plan(wfi_caches *c, const char *home, bool all, const char *dir, const char *writable) {
    char from[CACHES_PATH], path[CACHES_PATH];
    c->count = c->places = 0;
    c->used = 0;
    for (uint32_t i = 0; i < CACHES_KINDS; i++) {
        const caches_kind *k = &caches_kinds[i];
        if (!caches_moves(k, home, all, writable) || !wfi_sys_join(dir, k->place, path, sizeof path)) continue;
        const char *options = k->value[0] != '\0' ? getenv(k->variable) : NULL;
        caches_add(c, k->variable, options != NULL ? options : "", k->value, path);
        c->places |= UINT32_C(1) << i;
        if (k->also == NULL || getenv(k->also) != NULL || !caches_from(k, home, from)) continue;
        if (wfi_sys_join(from, k->also_path, path, sizeof path)) caches_add(c, k->also, "", "", path);
    }
}

/* ---- the places ---- */

typedef struct caches_walk {
    const char *skip;
    caches_way way;
    uint32_t links;
    uint32_t depth;
    int from, to;
    char path[CACHES_PATH]; /* of from */
} caches_walk;

/* Locks and lists of what is in use are the tools' own, and made anew. */
static bool caches_is_lock(const char *name) {
    const char *dot = strrchr(name, '.');
    if (dot != NULL && (strcmp(dot, ".lock") == 0 || strcmp(dot, ".lck") == 0)) return true;
    return strncmp(name, ".package-cache", 14) == 0 || strncmp(name, ".global-cache", 13) == 0;
}

static bool caches_skips(const caches_walk *w, const char *name) {
    char key[280] = ":";
    if (strlen(name) > sizeof key - 3 || caches_is_lock(name)) return true;
    return w->skip[0] != '\0' && strstr(w->skip, strcat(strcat(key, name), ":")) != NULL;
}

/* False: it is no small file, or could not be copied. */
static bool caches_copy(const caches_walk *w, const char *name) {
    struct stat st;
    char room[4096];
    int from = openat(w->from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), to = -1;
    bool good = from >= 0 && fstat(from, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= (off_t)CACHES_COPY;
    if (good) to = openat(w->to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    good = good && to >= 0;
    for (ssize_t n = 1; good && n > 0;) {
        n = read(from, room, sizeof room);
        good = n >= 0 && (n == 0 || write(to, room, (size_t)n) == n);
    }
    wfi_sys_close(&from);
    wfi_sys_close(&to);
    return good;
}

static void caches_walk_in(caches_walk *w, wfi_entry_fn each);
static bool caches_entry(void *ctx, const char *name, wfi_entry_type type);

/* The same one folder further down. */
static void caches_descend(caches_walk *w, const char *name) {
    size_t n = strlen(w->path);
    int from = w->from, to = w->to;
    if (w->depth == 0 || !wfi_sys_join(w->path, name, w->path, sizeof w->path)) return;
    mkdirat(to, name, 0700);
    w->from = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    w->to = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    w->depth--;
    if (w->from >= 0 && w->to >= 0) caches_walk_in(w, caches_entry);
    w->depth++;
    wfi_sys_close(&w->from);
    wfi_sys_close(&w->to);
    w->from = from;
    w->to = to;
    w->path[n] = '\0';
}

static bool caches_entry(void *ctx, const char *name, wfi_entry_type type) {
    caches_walk *w = ctx;
    char target[CACHES_PATH];
    struct stat st;
    if (w->links == 0) return false;
    if (caches_skips(w, name)) return true;
    bool folder = type == WFI_ENTRY_DIR;
    if (type == WFI_ENTRY_OTHER && fstatat(w->from, name, &st, AT_SYMLINK_NOFOLLOW) == 0) folder = S_ISDIR(st.st_mode);
    if (folder && w->depth > 0) {
        caches_descend(w, name);
        return true;
    }
    w->links--;
    if (w->way == CACHES_COPIES && caches_copy(w, name)) return true;
    if (wfi_sys_join(w->path, name, target, sizeof target)) (void)symlinkat(target, w->to, name);
    return true;
}

static void caches_walk_in(caches_walk *w, wfi_entry_fn each) {
    uint64_t room[512];
    (void)wfi_entries(w->from, room, sizeof room, each, w);
}

/* Opens a folder below, making what is missing of it; -1: it cannot be had. */
static int caches_way_to(int dir, const char *path) {
    char name[CACHES_PATH];
    int at = fcntl(dir, F_DUPFD_CLOEXEC, 3);
    while (at >= 0 && path[0] != '\0') {
        size_t n = strcspn(path, "/");
        memcpy(name, path, n);
        name[n] = '\0';
        mkdirat(at, name, 0700);
        int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        wfi_sys_close(&at);
        at = next;
        path += n + (path[n] == '/');
    }
    return at;
}

/* Python looks where a file of this kind says, behind the packages that lie beside it. */
static bool caches_site(void *ctx, const char *name, wfi_entry_type type) {
    caches_walk *w = ctx;
    char line[CACHES_PATH + 64] = "import site; site.addsitedir(r'", path[CACHES_PATH];
    (void)type;
    if (strncmp(name, "python", 6) != 0 || !wfi_sys_join(w->path, name, path, sizeof path)) return true;
    if (!wfi_sys_join(path, "site-packages", path, sizeof path) || strchr(path, '\'') != NULL) return true;
    int version = caches_way_to(w->to, name), site = version >= 0 ? caches_way_to(version, "site-packages") : -1;
    int fd = site >= 0 ? openat(site, "users.pth", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    strcat(strcat(line, path), "')\n");
    if (fd >= 0 && write(fd, line, strlen(line)) < 0) unlinkat(site, "users.pth", 0);
    wfi_sys_close(&fd);
    wfi_sys_close(&site);
    wfi_sys_close(&version);
    return true;
}

static void caches_fill(const caches_kind *k, const caches_part *part, const char *from, int place, uint32_t *links) {
    caches_walk w = {.skip = k->skip, .way = part->way, .links = *links, .depth = part->depth};
    if (part->path[0] == '\0' && strlen(from) < sizeof w.path)
        strcpy(w.path, from);
    else if (!wfi_sys_join(from, part->path, w.path, sizeof w.path))
        return;
    w.from = open(w.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    w.to = w.from >= 0 ? caches_way_to(place, part->path) : -1;
    if (w.to >= 0) caches_walk_in(&w, part->way == CACHES_SITES ? caches_site : caches_entry);
    *links = w.links;
    wfi_sys_close(&w.from);
    wfi_sys_close(&w.to);
}

void wfi_caches_make(const wfi_caches *c, const char *home, int dir) {
    char from[CACHES_PATH];
    uint32_t links = CACHES_LINKS;
    for (uint32_t i = 0; i < CACHES_KINDS; i++) {
        const caches_kind *k = &caches_kinds[i];
        if ((c->places & UINT32_C(1) << i) == 0) continue;
        int place = caches_way_to(dir, k->place);
        bool there = place >= 0 && caches_from(k, home, from);
        for (uint32_t n = 0; there && n < CACHES_PARTS && k->parts[n].path != NULL; n++)
            caches_fill(k, &k->parts[n], from, place, &links);
        wfi_sys_close(&place);
    }
}
