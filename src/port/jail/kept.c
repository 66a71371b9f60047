/* kept: see kept.h. */
#include "kept.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_NUMBERS 10000u /* of files in one directory */

static const char *const kept_streams[] = {"out", "err"};

static void kept_name(const char *stream, uint64_t number, char out[32]) {
    char room[WFI_SYS_DECIMAL];
    strcat(strcat(strcpy(out, stream), "-"), wfi_sys_decimal(number, room));
}

/* Bytes of the files that have the number; false: there is none. */
static bool kept_has(int tmp, uint64_t number, uint64_t *bytes) {
    char name[32];
    struct stat st;
    bool has = false;
    for (size_t i = 0; i < sizeof kept_streams / sizeof *kept_streams; i++) {
        kept_name(kept_streams[i], number, name);
        if (fstatat(tmp, name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
        *bytes += (uint64_t)st.st_size;
        has = true;
    }
    return has;
}

static void kept_fail(wfi_kept *k) {
    k->error = errno;
    k->state = WFI_KEPT_FAILED;
}

/* The first name that is free. Commands may write there too: nothing of theirs is opened. */
static void kept_open(wfi_kept *k, int tmp, const char *stream) {
    uint64_t used = 0, number = 1;
    while (number < KEPT_NUMBERS && kept_has(tmp, number, &used))
        number++;
    k->state = WFI_KEPT_CROWDED;
    if (used >= WFI_KEPT_ALL || number == KEPT_NUMBERS) return;
    k->most = WFI_KEPT_ALL - used < WFI_KEPT_MOST ? WFI_KEPT_ALL - used : WFI_KEPT_MOST;
    kept_name(stream, number, k->name);
    k->state = WFI_KEPT_WHOLE;
    k->fd = wfi_sys_high(openat(tmp, k->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (k->fd < 0) kept_fail(k);
}

/* A file that cannot be written on is no use, and its room may be needed. */
static void kept_write(wfi_kept *k, const char *from, size_t n) {
    if (n > k->most - k->len) {
        n = (size_t)(k->most - k->len);
        k->state = WFI_KEPT_BEGINNING;
    }
    while (n > 0) {
        ssize_t w = write(k->fd, from, n);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) {
            kept_fail(k);
            (void)ftruncate(k->fd, 0);
            return;
        }
        from += w;
        n -= (size_t)w;
        k->len += (uint64_t)w;
    }
}

/* What g has so far, which is all there was, and in its order. */
static void kept_begin(wfi_kept *k, int own, const char *stream, const wfi_gather *g) {
    int tmp = openat(own, "tmp", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (tmp < 0) {
        kept_fail(k);
        return;
    }
    kept_open(k, tmp, stream);
    wfi_sys_close(&tmp);
    if (k->state == WFI_KEPT_WHOLE) kept_write(k, g->buf, (size_t)g->total);
}

void wfi_kept_add(wfi_kept *k, int own, const char *stream, const wfi_gather *g, const char *from, size_t n) {
    if (g->total + n <= g->cap) return;
    if (k->state == WFI_KEPT_UNNEEDED) kept_begin(k, own, stream, g);
    if (k->state == WFI_KEPT_WHOLE) kept_write(k, from, n);
    if (k->state != WFI_KEPT_WHOLE) wfi_kept_end(k);
}

void wfi_kept_end(wfi_kept *k) {
    if (k->name[0] != '\0') wfi_sys_close(&k->fd);
}
