/* privdir: see privdir.h. A tree is removed without walking down: what is a directory within a
 * directory moves up to the top, until nothing but the top is left. */
#include "privdir.h"
#include "../os/dir.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat */
#include <stdlib.h>
#include <string.h>
#include <sys/file.h> /* flock */
#include <sys/stat.h>
#include <unistd.h>

#define PRIVDIR_PASSES 1000000u /* over the top, each of which makes it smaller */
#define PRIVDIR_TRIES  8
#define PRIVDIR_OPEN   (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

void wfi_privdir_name(const wfi_privdir *d, const char *name, char out[WFI_PRIVDIR_PATH]) {
    (void)wfi_sys_join(d->path, name, out, WFI_PRIVDIR_PATH); /* it fits: room was kept */
}

bool wfi_privdir_choose(char path[WFI_PRIVDIR_PATH], size_t digits) {
    const char *base = getenv("TMPDIR");
    uint64_t number;
    if (base == NULL || base[0] != '/') base = "/tmp";
    size_t n = strlen(base);
    errno = ENAMETOOLONG;
    if (n + 2 * WFI_PRIVDIR_ROOM > WFI_PRIVDIR_PATH || !wfi_sys_random(&number, sizeof number)) return false;
    memcpy(path, base, n);
    memcpy(path + n, "/wf-", 4);
    wfi_sys_hex(number, path + n + 4, digits);
    return true;
}

/* A folder of that name, whatever an earlier command has put in its place; false: with errno. Others may do the same at
 * the time, for another command of the same agent. */
static bool privdir_settle(int fd, const char *name, mode_t mode) {
    struct stat st;
    for (int i = 0; i < PRIVDIR_TRIES; i++) {
        if (mkdirat(fd, name, mode) == 0) return true;
        if (errno != EEXIST) return false;
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) return true;
        (void)unlinkat(fd, name, 0);
    }
    return false;
}

static bool privdir_settle_all(int fd) {
    return privdir_settle(fd, "home", 0700) && privdir_settle(fd, "tmp", 0700) && privdir_settle(fd, "shm", 0700) &&
           privdir_settle(fd, "empty", 0500);
}

bool wfi_privdir_make(wfi_privdir *d) {
    d->fd = -1;
    if (!wfi_privdir_choose(d->path, 16) || mkdir(d->path, 0700) != 0) return false;
    d->fd = wfi_sys_high(open(d->path, PRIVDIR_OPEN));
    if (d->fd >= 0 && privdir_settle_all(d->fd)) return true;
    int saved = errno;
    wfi_privdir_remove(d);
    errno = saved;
    return false;
}

/* Its commands may have closed it to themselves. */
static int privdir_open(const char *path) {
    int fd = open(path, PRIVDIR_OPEN);
    if (fd >= 0 || errno != EACCES || chmod(path, 0700) != 0) return fd;
    return open(path, PRIVDIR_OPEN);
}

bool wfi_privdir_enter(wfi_privdir *d, const char *path) {
    d->fd = -1;
    if (strlen(path) + WFI_PRIVDIR_ROOM > WFI_PRIVDIR_PATH) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(d->path, path);
    if (mkdir(path, 0700) != 0 && errno != EEXIST) return false;
    d->fd = wfi_sys_high(privdir_open(path));
    if (d->fd < 0) return false;
    (void)flock(d->fd, LOCK_SH | LOCK_NB); /* some file systems have no locks: then nobody waits */
    if (fchmod(d->fd, 0700) == 0 && privdir_settle_all(d->fd)) return true;
    int saved = errno;
    wfi_privdir_leave(d);
    errno = saved;
    return false;
}

void wfi_privdir_leave(wfi_privdir *d) {
    wfi_sys_close(&d->fd);
}

bool wfi_privdir_claim(wfi_privdir *d, const char *path) {
    (void)wfi_sys_join("", path, d->path, WFI_PRIVDIR_PATH); /* it is absolute */
    d->fd = privdir_open(path);
    if (d->fd < 0 || flock(d->fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return d->fd >= 0;
    wfi_sys_close(&d->fd);
    errno = EWOULDBLOCK;
    return false;
}

/* ---- removal ---- */

typedef struct privdir_pass {
    int top, dir; /* what is in dir is removed or moves to the top */
    uint64_t moved;
    bool progress;
} privdir_pass;

/* Of a directory alone: another command may have put a link in its place where TMPDIR lies in the workspace. (C libraries that cannot
 * tell the two apart say so.) */
static bool privdir_open_up(int dir, const char *name) {
    if (fchmodat(dir, name, 0700, AT_SYMLINK_NOFOLLOW) == 0) return true;
    return (errno == ENOTSUP || errno == EOPNOTSUPP) && fchmodat(dir, name, 0700, 0) == 0;
}

/* A directory moves only if we may write to it. */
static bool privdir_lift(void *ctx, const char *name, wfi_entry_type type) {
    privdir_pass *p = ctx;
    char to[18] = "~";
    (void)type;
    if (unlinkat(p->dir, name, 0) == 0) return true;
    privdir_open_up(p->dir, name);
    do
        wfi_sys_hex(p->moved++, to + 1, 16);
    while (renameat(p->dir, name, p->top, to) != 0 && (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR));
    return true;
}

static bool privdir_clear(void *ctx, const char *name, wfi_entry_type type) {
    uint64_t room[512];
    privdir_pass *p = ctx;
    (void)type;
    if (unlinkat(p->top, name, 0) == 0) {
        p->progress = true;
        return true;
    }
    p->dir = openat(p->top, name, PRIVDIR_OPEN);
    if (p->dir < 0 && privdir_open_up(p->top, name)) p->dir = openat(p->top, name, PRIVDIR_OPEN);
    if (p->dir < 0) return true;
    fchmod(p->dir, 0700);
    wfi_entries(p->dir, room, sizeof room, privdir_lift, p);
    wfi_sys_close(&p->dir);
    if (unlinkat(p->top, name, AT_REMOVEDIR) == 0) p->progress = true;
    return true;
}

void wfi_privdir_remove(wfi_privdir *d) {
    uint64_t room[512];
    privdir_pass p = {.top = d->fd, .dir = -1, .progress = true};
    if (d->fd >= 0) fchmod(d->fd, 0700);
    for (uint32_t i = 0; d->fd >= 0 && p.progress && i < PRIVDIR_PASSES; i++) {
        p.progress = false;
        lseek(d->fd, 0, SEEK_SET);
        wfi_entries(d->fd, room, sizeof room, privdir_clear, &p);
    }
    wfi_sys_close(&d->fd);
    rmdir(d->path);
}
