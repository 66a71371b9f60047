/* scratch: see scratch.h. A tree is removed without walking down: what is a directory within a directory moves up to the top,
 * until nothing but the top is left. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#include "privdir.h"
#include "../os/dir.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRATCH_NAME   24u      /* bytes of "/wf-" and 16 digits, and of what we name inside */
#define SCRATCH_PASSES 1000000u /* over the top, each of which makes it smaller */
#define SCRATCH_OPEN   (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

void wfi_scratch_name(const wfi_scratch *s, const char *name, char out[WFI_SCRATCH_PATH]) {
    (void)wfi_sys_join(s->path, name, out, WFI_SCRATCH_PATH); /* it fits: scratch_choose kept room */
}

static bool scratch_choose(wfi_scratch *s) {
    const char *base = getenv("TMPDIR");
    uint64_t number;
    if (base == NULL || base[0] != '/') base = "/tmp";
    size_t n = strlen(base);
    errno = ENAMETOOLONG;
    if (n + 2 * SCRATCH_NAME > WFI_SCRATCH_PATH || !wfi_sys_random(&number, sizeof number)) return false;
    memcpy(s->path, base, n);
    memcpy(s->path + n, "/wf-", 4);
    wfi_sys_hex(number, s->path + n + 4, 16);
    return true;
}

bool wfi_scratch_make(wfi_scratch *s) {
    s->fd = -1;
    if (!scratch_choose(s) || mkdir(s->path, 0700) != 0) return false;
    s->fd = wfi_sys_high(open(s->path, SCRATCH_OPEN));
    if (s->fd >= 0 && mkdirat(s->fd, "home", 0700) == 0 && mkdirat(s->fd, "tmp", 0700) == 0 &&
        mkdirat(s->fd, "shm", 0700) == 0 && mkdirat(s->fd, "empty", 0500) == 0)
        return true;
    int saved = errno;
    wfi_scratch_remove(s);
    errno = saved;
    return false;
}

/* ---- removal ---- */

typedef struct scratch_pass {
    int top, dir; /* what is in dir is removed or moves to the top */
    uint64_t moved;
    bool progress;
} scratch_pass;

/* Of a directory alone: another command may have put a link in its place where TMPDIR lies in the workspace. (C libraries that cannot
 * tell the two apart say so.) */
static bool scratch_open_up(int dir, const char *name) {
    if (fchmodat(dir, name, 0700, AT_SYMLINK_NOFOLLOW) == 0) return true;
    return (errno == ENOTSUP || errno == EOPNOTSUPP) && fchmodat(dir, name, 0700, 0) == 0;
}

/* A directory moves only if we may write to it. */
static bool scratch_lift(void *ctx, const char *name, wfi_entry_type type) {
    scratch_pass *p = ctx;
    char to[18] = "~";
    (void)type;
    if (unlinkat(p->dir, name, 0) == 0) return true;
    scratch_open_up(p->dir, name);
    do
        wfi_sys_hex(p->moved++, to + 1, 16);
    while (renameat(p->dir, name, p->top, to) != 0 && (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR));
    return true;
}

static bool scratch_clear(void *ctx, const char *name, wfi_entry_type type) {
    uint64_t room[512];
    scratch_pass *p = ctx;
    (void)type;
    if (unlinkat(p->top, name, 0) == 0) {
        p->progress = true;
        return true;
    }
    p->dir = openat(p->top, name, SCRATCH_OPEN);
    if (p->dir < 0 && scratch_open_up(p->top, name)) p->dir = openat(p->top, name, SCRATCH_OPEN);
    if (p->dir < 0) return true;
    fchmod(p->dir, 0700);
    wfi_entries(p->dir, room, sizeof room, scratch_lift, p);
    wfi_sys_close(&p->dir);
    if (unlinkat(p->top, name, AT_REMOVEDIR) == 0) p->progress = true;
    return true;
}

void wfi_scratch_remove(wfi_scratch *s) {
    uint64_t room[512];
    scratch_pass p = {.top = s->fd, .dir = -1, .progress = true};
    if (s->fd >= 0) fchmod(s->fd, 0700);
    for (uint32_t i = 0; s->fd >= 0 && p.progress && i < SCRATCH_PASSES; i++) {
        p.progress = false;
        lseek(s->fd, 0, SEEK_SET);
        wfi_entries(s->fd, room, sizeof room, scratch_clear, &p);
    }
    wfi_sys_close(&s->fd);
    rmdir(s->path);
}
