/* confine: see confine.h for its contract and invariants. Two ways to open: the kernel's (openat2, Linux 5.6) for
 * the common case, and a walk of our own that also follows absolute links into the root and works everywhere. No
 * malloc: it runs in forked children. */
#include "confine.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONFINE_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
#if defined(O_PATH)
#define CONFINE_STEP O_PATH
#elif defined(O_SEARCH)
#define CONFINE_STEP O_SEARCH
#else
#define CONFINE_STEP O_RDONLY
#endif

int wfi_confine_init(wfi_confine *c, const char *root) {
    memset(c, 0, sizeof *c);
    c->fd = wfi_sys_high(open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (c->fd < 0) return errno;
    if (realpath(root, c->root) == NULL) c->root[0] = '\0';
    c->guarded = wfi_guard_is_repository(c->fd, NULL);
    return 0;
}

void wfi_confine_guard(wfi_confine *c) {
    wfi_guard_ids(c->fd, c->guard);
}

void wfi_confine_close(wfi_confine *c) {
    wfi_sys_close(&c->fd);
}

/* What is left of the absolute path after the root, or NULL if it lies outside. The root "/" leaves all of it. */
static const char *confine_inside(const wfi_confine *c, const char *path) {
    size_t n = strlen(c->root);
    if (n == 0) return NULL;
    if (n == 1) n = 0;
    if (strncmp(path, c->root, n) != 0 || (path[n] != '/' && path[n] != '\0')) return NULL;
    path += n;
    while (*path == '/')
        path++;
    return path;
}

int wfi_confine_relative(const wfi_confine *c, wf_str path, char out[WFI_CONFINE_PATH]) {
    char given[WFI_CONFINE_PATH];
    if (path.len >= sizeof given) return ENAMETOOLONG;
    if (path.len > 0 && memchr(path.ptr, '\0', path.len) != NULL) return EINVAL;
    if (path.len > 0) memcpy(given, path.ptr, path.len);
    given[path.len] = '\0';
    const char *from = given[0] == '/' ? confine_inside(c, given) : given;
    if (from == NULL) return EXDEV;
    while (from[0] == '.' && from[1] == '/') {
        from++;
        while (*from == '/')
            from++;
    }
    if (from[0] == '\0') from = ".";
    memcpy(out, from, strlen(from) + 1);
    return 0;
}

#if defined(PATH_MAX) && PATH_MAX > WFI_CONFINE_PATH
#error "realpath may need more room than WFI_CONFINE_PATH"
#endif

/* ---- the walk ---- */

/* Where a walk stands: `at` is open and is the directory `done` (no links, no dots, "" is the root); `todo` is what
 * is left. */
typedef struct confine_walk {
    const wfi_confine *c;
    int dirfd, at;
    uint32_t links, steps;
    uint32_t made; /* of the last directories of `done`, how many were made on the way */
    size_t deep;   /* bytes of `done` that are `at`; behind them may stand a name that is tried */
    int guarded;   /* it came through something that is guarded: WFI_CONFINE_GUARDED or the other one; or 0 */
    bool judges;   /* it matters to whom asks whether it came through a repository */
    bool spot;     /* the last name is not opened but pushed */
    bool make;     /* directories that are missing are made */
    char done[WFI_CONFINE_PATH];
    char todo[WFI_CONFINE_PATH];
} confine_walk;

/* Whether a name in the directory `done` stands for something that nothing may be written to. */
static bool confine_is_guarded(const char *done, const char *name) {
    size_t n = strlen(name);
    return wfi_guard_is_like(name, n, ".git") || (done[0] == '\0' && wfi_guard_is_like(name, n, ".wf"));
}

/* Takes note of what going on to `name`, or to none, would lead into or make. */
static void confine_judge(confine_walk *w, int at, const char *name) {
    if (name != NULL && confine_is_guarded(w->done, name)) w->guarded = WFI_CONFINE_GUARDED;
    if (!w->judges || w->guarded != 0) return;
    if (wfi_guard_is_repository(at, w->spot ? name : NULL)) w->guarded = WFI_CONFINE_REPOSITORY;
}

/* Opens one name below w->at, following no link. A directory on the way needs only to be passed through. */
static int confine_step(confine_walk *w, const char *name, bool last) {
    int flags = last ? CONFINE_FLAGS : CONFINE_STEP | O_DIRECTORY | O_CLOEXEC;
    if (++w->steps > WFI_CONFINE_STEPS) return -ELOOP;
    int fd = openat(w->at, name, flags | O_NOFOLLOW);
    return fd >= 0 ? fd : -errno;
}

static int confine_push(confine_walk *w, const char *name) {
    size_t n = strlen(w->done), m = strlen(name);
    if (n + m + 2 > sizeof w->done) return ENAMETOOLONG;
    if (n > 0) w->done[n++] = '/';
    memcpy(w->done + n, name, m + 1);
    return 0;
}

/* Opens the directory `done` again from the root. */
static int confine_reopen(confine_walk *w) {
    char name[WFI_CONFINE_PATH];
    const char *from = w->done;
    wfi_sys_close(&w->at);
    w->at = fcntl(w->dirfd, F_DUPFD_CLOEXEC, 3);
    if (w->at < 0) return errno;
    while (*from != '\0') {
        size_t n = strcspn(from, "/");
        if (n >= sizeof name) return ENAMETOOLONG;
        memcpy(name, from, n);
        name[n] = '\0';
        int fd = confine_step(w, name, false);
        if (fd < 0) return -fd;
        wfi_sys_close(&w->at);
        w->at = fd;
        from += n + (from[n] == '/');
    }
    return 0;
}

/* Takes the last name off `done`; it stays where it was, behind a zero. */
static const char *confine_pop(confine_walk *w) {
    char *slash = strrchr(w->done, '/');
    if (slash == NULL) {
        memmove(w->done + 1, w->done, strlen(w->done) + 1);
        slash = w->done;
    }
    *slash = '\0';
    return slash + 1;
}

static int confine_up(confine_walk *w) {
    if (w->done[0] == '\0') return EXDEV;
    const char *name = confine_pop(w);
    w->deep = strlen(w->done);
    int error = confine_reopen(w);
    if (error != 0 || w->made == 0) return error;
    w->made--;
    unlinkat(w->at, name, AT_REMOVEDIR); /* it was made for nothing */
    return 0;
}

/* Takes the first name off `todo`. */
static void confine_shift(confine_walk *w, char *name) {
    char *from = w->todo;
    size_t n = strcspn(from, "/");
    memcpy(name, from, n);
    name[n] = '\0';
    from += n;
    while (*from == '/')
        from++;
    memmove(w->todo, from, strlen(from) + 1);
}

/* Puts a link's target before what is left. */
static int confine_follow(confine_walk *w, const char *target) {
    char rest[WFI_CONFINE_PATH];
    if (++w->links > WFI_CONFINE_LINKS) return ELOOP;
    if (target[0] == '/') {
        target = confine_inside(w->c, target);
        if (target == NULL) return EXDEV;
        w->done[0] = '\0';
        w->made = 0;
        w->deep = 0;
        int error = confine_reopen(w);
        if (error != 0) return error;
    }
    size_t n = strlen(target), m = strlen(w->todo);
    if (n + m + 2 > sizeof rest) return ENAMETOOLONG;
    memcpy(rest, w->todo, m + 1);
    memcpy(w->todo, target, n + 1);
    if (m > 0) {
        w->todo[n] = '/';
        memcpy(w->todo + n + 1, rest, m + 1);
    }
    return 0;
}

/* Goes into the directory `name`, which is the last of `done` now; makes it if need be. */
static int confine_enter(confine_walk *w, const char *name) {
    int fd = confine_step(w, name, false);
    bool missing = fd == -ENOENT && w->make;
    if (fd < 0 && w->spot && w->guarded != 0) return w->guarded; /* .git may also be a file */
    if (missing && mkdirat(w->at, name, 0777) != 0 && errno != EEXIST) return errno;
    if (missing) fd = confine_step(w, name, false);
    if (fd < 0) return -fd;
    w->made = missing ? w->made + 1 : 0;
    w->deep = strlen(w->done);
    wfi_sys_close(&w->at);
    w->at = fd;
    if (wfi_guard_is(w->c->guard, fd)) w->guarded = WFI_CONFINE_GUARDED;
    return 0;
}

/* The last name, which is no link. */
static int confine_arrive(confine_walk *w, const char *name, int *out) {
    if (w->spot && name[0] == '\0') return EISDIR;
    if (w->spot && w->guarded != 0) return w->guarded;
    if (w->spot && w->c->log != NULL && wfi_guard_is_file(w->c->log, w->at, name)) return WFI_CONFINE_GUARDED;
    *out = w->spot ? w->at : name[0] == '\0' ? openat(w->at, ".", CONFINE_FLAGS) : confine_step(w, name, true);
    if (w->spot)
        w->at = -1;
    else if (*out >= 0 && wfi_guard_is(w->c->guard, *out))
        w->guarded = WFI_CONFINE_GUARDED;
    else if (*out >= 0)
        confine_judge(w, *out, NULL);
    return *out >= 0 ? 0 : name[0] == '\0' ? errno : -*out;
}

/* One name further. 0 with *out >= 0: arrived; 0 with *out -1: go on; or an errno, or why nothing is written there. */
static int confine_next(confine_walk *w, int *out) {
    char name[WFI_CONFINE_PATH], target[WFI_CONFINE_PATH];
    confine_shift(w, name);
    bool last = w->todo[0] == '\0';
    int error = 0;
    if (strcmp(name, "..") == 0) error = confine_up(w);
    if (error != 0) return error;
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return last ? confine_arrive(w, "", out) : 0;
    confine_judge(w, w->at, name);
    ssize_t n = readlinkat(w->at, name, target, sizeof target - 1);
    if (n >= 0) {
        target[n] = '\0';
        return n == 0 ? ENOENT : confine_follow(w, target);
    }
    error = confine_push(w, name);
    if (error != 0) return error;
    return last ? confine_arrive(w, name, out) : confine_enter(w, name);
}

/* 0 and *out, an errno, or why nothing is written there. */
static int confine_walk_run(confine_walk *w, const char *path, int *out) {
    *out = -1;
    w->at = -1;
    w->done[0] = '\0';
    memcpy(w->todo, path, strlen(path) + 1);
    int error = confine_reopen(w);
    /* Each round takes a name off todo or follows one of the few links: it ends. */
    while (error == 0 && *out < 0)
        error = confine_next(w, out);
    wfi_sys_close(&w->at);
    return error;
}

/* real and guarded may be NULL. */
static int confine_walk_open(const wfi_confine *c, int dirfd, const char *path, char *real, bool *guarded) {
    confine_walk w = {.c = c, .dirfd = dirfd, .judges = guarded != NULL};
    int out, error = confine_walk_run(&w, path, &out);
    if (error != 0) return -error;
    if (real != NULL) memcpy(real, w.done, strlen(w.done) + 1);
    if (guarded != NULL) *guarded = w.guarded != 0;
    return out;
}

/* ---- opening ---- */

#if WFI_LINUX
#if !defined(SYS_openat2)
#define CONFINE_OPENAT2 437
#else
#define CONFINE_OPENAT2 SYS_openat2
#endif
/* The kernel answers EXDEV for absolute links too, which may well lead inside: then, as where it cannot, the walk
 * decides. */
static int confine_kernel_open(int dirfd, const char *path) {
    const uint64_t beneath_no_magic = 0x08 | 0x02; /* RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS */
    const uint64_t how[3] = {CONFINE_FLAGS, 0, beneath_no_magic};
    long fd = syscall(CONFINE_OPENAT2, dirfd, path, how, sizeof how);
    return fd >= 0 ? (int)fd : -errno;
}
#endif

/* Lets nothing out but files and directories. */
static int confine_sift(int fd) {
    if (fd < 0 || wfi_confine_is_file(fd, NULL) || wfi_confine_is_dir(fd)) return fd;
    close(fd);
    return -ENXIO;
}

int wfi_confine_open(const wfi_confine *c, int dirfd, const char *path) {
    if (strlen(path) >= WFI_CONFINE_PATH) return -ENAMETOOLONG;
#if WFI_LINUX
    int fd = confine_kernel_open(dirfd, path);
    if (fd < 0 && fd != -ENOENT && fd != -EACCES && fd != -ENOTDIR) fd = confine_walk_open(c, dirfd, path, NULL, NULL);
#else
    int fd = confine_walk_open(c, dirfd, path, NULL, NULL);
#endif
    return confine_sift(fd);
}

int wfi_confine_open_real(const wfi_confine *c, int dirfd, const char *path, char real[WFI_CONFINE_PATH]) {
    if (strlen(path) >= WFI_CONFINE_PATH) return -ENAMETOOLONG;
    return confine_sift(confine_walk_open(c, dirfd, path, real, NULL));
}

bool wfi_confine_is_file(int fd, uint64_t *size) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return false;
    if (size != NULL) *size = (uint64_t)st.st_size;
    return true;
}

bool wfi_confine_is_dir(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

int wfi_confine_below(const wfi_confine *c, const char *path, wfi_confine *out) {
    char real[WFI_CONFINE_PATH];
    memset(out, 0, sizeof *out);
    if (strlen(path) >= sizeof real) return ENAMETOOLONG;
    out->fd = confine_sift(confine_walk_open(c, c->fd, path, real, &out->guarded));
    if (out->fd < 0) return -out->fd;
    if (!wfi_confine_is_dir(out->fd)) {
        wfi_sys_close(&out->fd);
        return ENOTDIR;
    }
    if (c->guarded) out->guarded = true;
    out->below = c->below || real[0] != '\0';
    memcpy(out->guard, c->guard, sizeof out->guard);
    out->log = c->log;
    /* only for absolute paths that a model writes; opening goes by the descriptor */
    size_t n = strcmp(c->root, "/") == 0 ? 0 : strlen(c->root), m = strlen(real);
    if (c->root[0] == '\0' || n + m + 2 > sizeof out->root) return 0;
    memcpy(out->root, c->root, n);
    out->root[n] = '/';
    memcpy(out->root + n + 1, real, m + 1);
    if (m == 0) memcpy(out->root, c->root, strlen(c->root) + 1);
    return 0;
}

/* ---- writing ---- */

int wfi_confine_spot(const wfi_confine *c, int dirfd, const char *path, bool make, wfi_spot *spot) {
    confine_walk w = {.c = c, .dirfd = dirfd, .judges = true, .spot = true, .make = make};
    size_t n = strlen(path);
    spot->dir = -1;
    if (n >= WFI_CONFINE_PATH) return ENAMETOOLONG;
    if (c->guarded) return WFI_CONFINE_GUARDED;
    if (n == 0 || path[n - 1] == '/') return EISDIR;
    int error = confine_walk_run(&w, path, &spot->dir);
    memcpy(spot->path, w.done, strlen(w.done) + 1);
    const char *slash = strrchr(spot->path, '/');
    spot->name = slash != NULL ? slash + 1 : spot->path;
    spot->made = w.made;
    spot->dir_len = w.deep;
    if (error != 0) wfi_confine_unmake(c, dirfd, spot);
    return error;
}

void wfi_confine_unmake(const wfi_confine *c, int dirfd, const wfi_spot *spot) {
    confine_walk w = {.c = c, .dirfd = dirfd, .at = -1};
    memcpy(w.done, spot->path, spot->dir_len);
    w.done[spot->dir_len] = '\0';
    for (uint32_t i = 0; i < spot->made && w.done[0] != '\0'; i++) {
        const char *name = confine_pop(&w);
        if (confine_reopen(&w) != 0 || unlinkat(w.at, name, AT_REMOVEDIR) != 0) break;
    }
    wfi_sys_close(&w.at);
}
