/* logfile: see logfile.h for its invariants. Reads and writes are done at once, on the caller's thread, EINTR retried;
 * a sync that is not quick goes to the helper thread, which touches nothing but this struct and calls neither malloc nor stdio, so that a
 * fork at any moment finds no lock of ours held that the child could want. */
#include "logfile.h"
#include "dir.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOGFILE_IO_MAX     ((size_t)1 << 30) /* of one read or write; the caller asks again for the rest */
#define LOGFILE_LOCK_TRIES 20                /* 10 ms apart */
#define LOGFILE_TEMP_TRIES 16
#define LOGFILE_TEMP       ".tmp-"
#define LOGFILE_TEMP_HEX   8
#define LOGFILE_SWEEP      4096 /* entries of a directory that are looked at for what dead runs have left */

/* ---- errors ---- */

static wf_status logfile_say(wfi_logfile *f, wf_status status, const char *what, const char *why) {
    const char *path = f->path != NULL ? f->path : "the temporary log";
    snprintf(f->error, f->error_size, "cannot %s %s: %s", what, path, why);
    return status;
}

static wf_status logfile_fail(wfi_logfile *f, const char *what, int error) {
    return logfile_say(f, WF_E_IO, what, strerror(error));
}

/* ---- opening ---- */

/* Splits path into an open directory and a name in it. */
static wf_status logfile_locate(wfi_logfile *f) {
    const char *slash = strrchr(f->path, '/');
    const char *name = slash != NULL ? slash + 1 : f->path;
    size_t length = strlen(name);
    size_t head = (size_t)(name - f->path);
    char dir[4096] = ".";
    if (length == 0) return logfile_say(f, WF_E_CONFIG, "open", "the path names a directory, not a file");
    if (length >= sizeof f->name || head >= sizeof dir) return logfile_fail(f, "open", ENAMETOOLONG);
    memcpy(f->name, name, length + 1);
    if (head > 0) {
        memcpy(dir, f->path, head);
        dir[head] = '\0';
    }
    f->dir = wfi_sys_high(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (f->dir >= 0) return WF_OK;
    return errno == ENOENT ? logfile_say(f, WF_E_NOT_FOUND, "open", "its directory does not exist")
                           : logfile_fail(f, "open", errno);
}

/* Opens a fresh file BASE.tmp-XXXXXXXX in dir and leaves its name in f->temp. */
static int logfile_make(wfi_logfile *f, const char *base) {
    for (int i = 0; i < LOGFILE_TEMP_TRIES; i++) {
        uint32_t r;
        if (!wfi_sys_random(&r, sizeof r)) return -1;
        int n = snprintf(f->temp, sizeof f->temp, "%s" LOGFILE_TEMP "%08x", base, (unsigned)r);
        if (n < 0 || (size_t)n >= sizeof f->temp) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = openat(f->dir, f->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 || errno != EEXIST) return wfi_sys_high(fd);
    }
    return -1;
}

/* ---- what dead runs have left ---- */

static int logfile_try_lock(int fd) {
#if WFI_LINUX && defined(F_OFD_SETLK)
    struct flock l;
    memset(&l, 0, sizeof l);
    l.l_type = F_WRLCK;
    l.l_whence = SEEK_SET;
    if (fcntl(fd, F_OFD_SETLK, &l) == 0) return 0;
    if (errno != EINVAL) return errno;
#endif
    return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
}

typedef struct logfile_leavings {
    const wfi_logfile *f;
    uint32_t seen;
} logfile_leavings;

/* Whether it is a name as logfile_make gives one to a log: to this one, or to whatever is called a log. */
static bool logfile_is_temp(const wfi_logfile *f, const char *name) {
    static const char suffix[] = ".wflog";
    size_t n = strlen(name), mark = sizeof LOGFILE_TEMP - 1, tail = mark + LOGFILE_TEMP_HEX, own = strlen(f->name);
    if (n <= tail || memcmp(name + n - tail, LOGFILE_TEMP, mark) != 0) return false;
    if (strspn(name + n - LOGFILE_TEMP_HEX, "0123456789abcdef") != LOGFILE_TEMP_HEX) return false;
    n -= tail;
    if (n == own && memcmp(name, f->name, n) == 0) return true;
    return n >= sizeof suffix && memcmp(name + n - (sizeof suffix - 1), suffix, sizeof suffix - 1) == 0;
}

/* Removes it while its lock is held, which a run that lives would hold. */
static bool logfile_sweep_one(void *ctx, const char *name, wfi_entry_type type) {
    logfile_leavings *l = ctx;
    struct stat st;
    if (++l->seen > LOGFILE_SWEEP) return false;
    if (type != WFI_ENTRY_FILE || !logfile_is_temp(l->f, name)) return true;
    int fd = openat(l->f->dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool dead = fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && st.st_nlink == 1;
    if (dead && logfile_try_lock(fd) == 0) (void)unlinkat(l->f->dir, name, 0);
    wfi_sys_close(&fd);
    return true;
}

/* What cannot be removed stays, and stops nothing. */
static void logfile_sweep(const wfi_logfile *f) {
    uint64_t room[2048];
    logfile_leavings l = {f, 0};
    (void)wfi_entries(f->dir, room, sizeof room, logfile_sweep_one, &l);
}

static wf_status logfile_create(wfi_logfile *f) {
    struct stat st;
    wf_status status = logfile_locate(f);
    if (status != WF_OK) return status;
    if (fstatat(f->dir, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return logfile_say(f, WF_E_IO, "create", "it exists already; resume it, or name another file");
    logfile_sweep(f);
    f->fd = logfile_make(f, f->name);
    return f->fd >= 0 ? WF_OK : logfile_fail(f, "create", errno);
}

/* Where there is no folder for temporary files, as in a container with nothing but the program: one in memory. */
static int logfile_in_memory(void) {
#if WFI_LINUX
    return wfi_sys_high(memfd_create("wf", MFD_CLOEXEC));
#else
    errno = ENOENT;
    return -1;
#endif
}

static wf_status logfile_temporary(wfi_logfile *f) {
    const char *where = getenv("TMPDIR");
    bool given = where != NULL && where[0] != '\0';
    if (!given) where = "/tmp";
    f->dir = wfi_sys_high(open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (f->dir < 0 && errno == ENOENT && !given) {
        f->fd = logfile_in_memory();
        f->named = f->fd >= 0;
        return f->named ? WF_OK : logfile_fail(f, "create", errno);
    }
    if (f->dir >= 0) f->fd = logfile_make(f, "wf");
    if (f->fd < 0) return logfile_fail(f, "create", errno);
    f->named = unlinkat(f->dir, f->temp, 0) == 0;
    return f->named ? WF_OK : logfile_fail(f, "unlink", errno);
}

static wf_status logfile_existing(wfi_logfile *f) {
    struct stat st;
    int access = f->mode == WF_POSIX_READ ? O_RDONLY : O_RDWR;
    wf_status status = logfile_locate(f);
    if (status != WF_OK) return status;
    f->named = true;
    /* Links are followed: a log may live on another disk. O_NONBLOCK keeps a FIFO from holding us up. */
    f->fd = wfi_sys_high(openat(f->dir, f->name, access | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (f->fd < 0 && errno == ENOENT) return logfile_say(f, WF_E_NOT_FOUND, "open", "there is no such file");
    if (f->fd < 0 || fstat(f->fd, &st) != 0) return logfile_fail(f, "open", errno);
    if (!S_ISREG(st.st_mode)) return logfile_say(f, WF_E_IO, "open", "it is not a regular file");
    return WF_OK;
}

/* A killed process may leave a child that has not yet noticed and holds the lock for some milliseconds: hence tries. */
static wf_status logfile_lock(wfi_logfile *f) {
    int error = 0;
    bool taken = false;
    for (int i = 0; i < LOGFILE_LOCK_TRIES; i++) {
        error = logfile_try_lock(f->fd);
        if (error == 0) return WF_OK;
        taken = error == EAGAIN || error == EACCES;
        if (!taken && error != EINTR) break;
        struct timespec pause = {0, 10 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
    if (taken) return logfile_say(f, WF_E_BUSY, "lock", "another run is writing it; let it end, or name another log");
    return logfile_fail(f, "lock", error);
}

static wf_status logfile_open_mode(wfi_logfile *f) {
    switch (f->mode) {
    case WF_POSIX_TEMPORARY:
        return logfile_temporary(f);
    case WF_POSIX_CREATE:
        return logfile_create(f);
    default:
        return logfile_existing(f);
    }
}

/* Another run that made its log at the same time may have taken ours for a dead one's, before it was locked. */
static wf_status logfile_lock_new(wfi_logfile *f) {
    struct stat st;
    wf_status status = logfile_lock(f);
    for (int i = 0; i < LOGFILE_TEMP_TRIES; i++) {
        bool gone = status == WF_E_BUSY || (status == WF_OK && fstat(f->fd, &st) == 0 && st.st_nlink == 0);
        if (!gone) return status;
        wfi_sys_close(&f->fd);
        f->fd = logfile_make(f, f->name);
        status = f->fd >= 0 ? logfile_lock(f) : logfile_fail(f, "create", errno);
    }
    return status;
}

wf_status wfi_logfile_open(wfi_logfile *f, const wf_posix_config *config, int wake, char *error, size_t error_size) {
    memset(f, 0, sizeof *f);
    f->path = config->log;
    f->mode = config->mode;
    f->no_sync = config->no_sync || config->mode == WF_POSIX_TEMPORARY;
    f->fd = f->dir = -1;
    f->wake = wake;
    f->error = error;
    f->error_size = error_size;
    pthread_mutex_init(&f->mutex, NULL);
    pthread_cond_init(&f->cond, NULL);
    wf_status status = logfile_open_mode(f);
    if (status == WF_OK && f->mode == WF_POSIX_CREATE)
        status = logfile_lock_new(f);
    else if (status == WF_OK && f->mode != WF_POSIX_READ)
        status = logfile_lock(f);
    if (status != WF_OK) wfi_logfile_close(f);
    return status;
}

/* ---- naming and syncing ---- */

/* Gives the file its name unless that is taken. Renaming is one step; linking serves where it is not offered. */
static int logfile_rename(const wfi_logfile *f) {
#if WFI_LINUX && defined(SYS_renameat2)
    const unsigned no_replace = 1; /* RENAME_NOREPLACE */
    if (syscall(SYS_renameat2, f->dir, f->temp, f->dir, f->name, no_replace) == 0) return 0;
    if (errno != ENOSYS && errno != EINVAL && errno != EPERM) return errno;
#endif
    if (linkat(f->dir, f->temp, f->dir, f->name, 0) != 0) return errno;
    return unlinkat(f->dir, f->temp, 0) == 0 ? 0 : errno;
}

static int logfile_fsync(int fd) {
    int r;
    do
        r = fsync(fd);
    while (r != 0 && errno == EINTR);
    return r == 0 ? 0 : errno;
}

static int logfile_fdatasync(int fd) {
#if WFI_LINUX
    int r;
    do
        r = fdatasync(fd);
    while (r != 0 && errno == EINTR);
    return r == 0 ? 0 : errno;
#else
    return logfile_fsync(fd);
#endif
}

/* Makes the file's bytes durable and, the first time, its name. Answers an errno. */
static int logfile_flush(wfi_logfile *f) {
    int error = f->no_sync ? 0 : logfile_fdatasync(f->fd);
    if (error != 0 || f->named) return error;
    error = logfile_rename(f);
    if (error != 0) return error;
    f->named = true;
    return f->no_sync ? 0 : logfile_fsync(f->dir);
}

static uint64_t logfile_now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void *logfile_thread(void *arg) {
    wfi_logfile *f = arg;
    pthread_mutex_lock(&f->mutex);
    while (f->state != WFI_SYNC_QUIT) {
        if (f->state != WFI_SYNC_ASKED) {
            pthread_cond_wait(&f->cond, &f->mutex);
            continue;
        }
        pthread_mutex_unlock(&f->mutex);
        uint64_t begun = logfile_now_us();
        int error = logfile_flush(f);
        uint64_t took = logfile_now_us() - begun;
        pthread_mutex_lock(&f->mutex);
        f->failed = error;
        f->slow = took > WFI_LOGFILE_QUICK_US;
        f->state = WFI_SYNC_DONE;
        pthread_cond_broadcast(&f->cond);
        ssize_t ignored = write(f->wake, "", 1); /* a full pipe wakes as well */
        (void)ignored;
    }
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

/* Signals are the embedder's: none of them is to be handled on our thread. */
static int logfile_start_thread(wfi_logfile *f) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&f->thread, NULL, logfile_thread, f);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    f->threaded = error == 0;
    return error;
}

static wf_status logfile_sync_failed(wfi_logfile *f) {
    f->state = WFI_SYNC_FAILED;
    if (f->failed == EEXIST) return logfile_say(f, WF_E_IO, "create", "another file took its name meanwhile");
    return logfile_fail(f, "sync", f->failed);
}

static wf_status logfile_sync_locked(wfi_logfile *f) {
    switch (f->state) {
    case WFI_SYNC_IDLE:
        f->state = WFI_SYNC_ASKED;
        pthread_cond_broadcast(&f->cond);
        return WF_AGAIN;
    case WFI_SYNC_ASKED:
        return WF_AGAIN;
    case WFI_SYNC_DONE:
        if (f->failed != 0) return logfile_sync_failed(f);
        f->state = WFI_SYNC_IDLE;
        return WF_OK;
    default:
        return logfile_sync_failed(f);
    }
}

/* In place. */
static wf_status logfile_sync_here(wfi_logfile *f) {
    uint64_t begun = logfile_now_us();
    if (f->failed == 0) f->failed = logfile_flush(f);
    f->slow = !f->no_sync && logfile_now_us() - begun > WFI_LOGFILE_QUICK_US;
    return f->failed == 0 ? WF_OK : logfile_sync_failed(f);
}

static wf_status logfile_sync(void *ctx) {
    wfi_logfile *f = ctx;
    if (f->mode == WF_POSIX_READ) return logfile_fail(f, "sync", EBADF);
    pthread_mutex_lock(&f->mutex);
    bool here = f->state == WFI_SYNC_IDLE && (!f->slow || f->alone);
    pthread_mutex_unlock(&f->mutex);
    if (!here && !f->threaded) here = f->alone = logfile_start_thread(f) != 0;
    if (here) return logfile_sync_here(f);
    pthread_mutex_lock(&f->mutex);
    wf_status status = logfile_sync_locked(f);
    pthread_mutex_unlock(&f->mutex);
    return status;
}

void wfi_logfile_close(wfi_logfile *f) {
    if (f->threaded) {
        pthread_mutex_lock(&f->mutex);
        while (f->state == WFI_SYNC_ASKED)
            pthread_cond_wait(&f->cond, &f->mutex);
        f->state = WFI_SYNC_QUIT;
        pthread_cond_broadcast(&f->cond);
        pthread_mutex_unlock(&f->mutex);
        pthread_join(f->thread, NULL);
        f->threaded = false;
    }
    if (!f->named && f->fd >= 0) unlinkat(f->dir, f->temp, 0);
    wfi_sys_close(&f->fd);
    wfi_sys_close(&f->dir);
    pthread_cond_destroy(&f->cond);
    pthread_mutex_destroy(&f->mutex);
}

/* ---- bytes ---- */

static wf_status logfile_size(void *ctx, uint64_t *out) {
    wfi_logfile *f = ctx;
    struct stat st;
    if (fstat(f->fd, &st) != 0) return logfile_fail(f, "measure", errno);
    *out = (uint64_t)st.st_size;
    return WF_OK;
}

static wf_status logfile_read(void *ctx, uint64_t at, void *buf, size_t n, size_t *got) {
    wfi_logfile *f = ctx;
    ssize_t r;
    *got = 0;
    if (at > INT64_MAX) return WF_END;
    do
        r = pread(f->fd, buf, n < LOGFILE_IO_MAX ? n : LOGFILE_IO_MAX, (off_t)at);
    while (r < 0 && errno == EINTR);
    if (r < 0) return logfile_fail(f, "read", errno);
    *got = (size_t)r;
    return r == 0 ? WF_END : WF_OK;
}

static wf_status logfile_write(void *ctx, uint64_t at, const void *buf, size_t n, size_t *put) {
    wfi_logfile *f = ctx;
    ssize_t r;
    *put = 0;
    if (at > INT64_MAX) return logfile_fail(f, "write", EFBIG);
    do
        r = pwrite(f->fd, buf, n < LOGFILE_IO_MAX ? n : LOGFILE_IO_MAX, (off_t)at);
    while (r < 0 && errno == EINTR);
    if (r <= 0) return logfile_fail(f, "write", r < 0 ? errno : ENOSPC);
    *put = (size_t)r;
    return WF_OK;
}

static wf_status logfile_cut(void *ctx, uint64_t size) {
    wfi_logfile *f = ctx;
    int r;
    if (size > INT64_MAX) return logfile_fail(f, "cut", EFBIG);
    do
        r = ftruncate(f->fd, (off_t)size);
    while (r != 0 && errno == EINTR);
    return r == 0 ? WF_OK : logfile_fail(f, "cut", errno);
}

const wf_log_ops *wfi_logfile_ops(void) {
    static const wf_log_ops ops = {logfile_size, logfile_read, logfile_write, logfile_sync, logfile_cut};
    return &ops;
}
