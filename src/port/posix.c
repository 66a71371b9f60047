/* posix: puts the parts of the hosted port together: clock, random, log file, tools, and the one wait for all of them.
 *
 * Invariants:
 *   1. Everything lives in the caller's block: this struct, then what its config makes variable.
 *   2. Every descriptor is close-on-exec and at least 3.
 *   3. wf_posix_wake only writes one byte to a pipe that does not block: safe in a signal handler. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#include "posix.h"
#include "logfile.h"
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define POSIX_ALIGN ((size_t)16)

struct wf_posix {
    wf_posix_config config; /* with its defaults */
    wfi_logfile log;
    int wake[2];
    char error[1024];
};

static bool posix_settle(const wf_posix_config *config, wf_posix_config *out) {
    if (config == NULL) return false;
    *out = *config;
    if (out->tickets == 0) out->tickets = 24;
    if (out->children == 0) out->children = 8;
    if (out->tool_ms == 0) out->tool_ms = 60000;
    if (out->tickets > 65536 || out->children > 64 || out->mode > WF_POSIX_READ) return false;
    return (out->mode == WF_POSIX_TEMPORARY) == (out->log == NULL);
}

size_t wf_posix_size(const wf_posix_config *config) {
    wf_posix_config c;
    if (!posix_settle(config, &c)) return 0;
    return sizeof(wf_posix) + POSIX_ALIGN - 1;
}

static wf_status posix_open_wake(wf_posix *p) {
    if (wfi_sys_pipe(p->wake) && fcntl(p->wake[1], F_SETFL, O_NONBLOCK) == 0) return WF_OK;
    snprintf(p->error, sizeof p->error, "cannot make a pipe: %s", strerror(errno));
    return WF_E_IO;
}

static wf_status posix_open_parts(wf_posix *p) {
    wf_status status = posix_open_wake(p);
    if (status == WF_OK) status = wfi_logfile_open(&p->log, &p->config, p->wake[1], p->error, sizeof p->error);
    if (status == WF_OK) return WF_OK;
    wfi_sys_close(&p->wake[0]);
    wfi_sys_close(&p->wake[1]);
    return status;
}

static wf_status posix_answer(wf_error *error, wf_status status, const char *text) {
    if (error != NULL) {
        error->code = status;
        error->text = text;
        error->offset = WF_NO_OFFSET;
    }
    return status;
}

wf_status wf_posix_open(wf_posix **out, void *memory, size_t size, const wf_posix_config *config, wf_error *error) {
    size_t needed = wf_posix_size(config);
    *out = NULL;
    if (needed == 0)
        return posix_answer(error, WF_E_CONFIG,
                            "posix: a log needs a mode, and only a temporary one has no path; "
                            "tickets are at most 65536, children 64");
    if (memory == NULL || size < needed)
        return posix_answer(error, WF_E_MEMORY, "posix: the block is smaller than wf_posix_size says");
    wf_posix *p = (wf_posix *)(((uintptr_t)memory + POSIX_ALIGN - 1) & ~(uintptr_t)(POSIX_ALIGN - 1));
    memset(p, 0, sizeof *p);
    posix_settle(config, &p->config);
    *out = p;
    wf_status status = posix_open_parts(p);
    return posix_answer(error, status, status == WF_OK ? "" : wf_status_text(status));
}

void wf_posix_close(wf_posix *p) {
    wfi_logfile_close(&p->log);
    wfi_sys_close(&p->wake[0]);
    wfi_sys_close(&p->wake[1]);
}

/* ---- clock, random ---- */

static uint64_t posix_now_ms(void *ctx) {
    (void)ctx;
    return wfi_sys_now_ms();
}

static uint64_t posix_wall_ms(void *ctx) {
    struct timespec t;
    (void)ctx;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec < 0 ? 0 : (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static wf_status posix_random(void *ctx, void *buf, size_t n) {
    wf_posix *p = ctx;
    if (wfi_sys_random(buf, n)) return WF_OK;
    snprintf(p->error, sizeof p->error,
             "cannot get random bytes: the system offers neither getrandom nor /dev/urandom");
    return WF_E_IO;
}

void wf_posix_platform(wf_posix *p, wf_platform *out) {
    memset(out, 0, sizeof *out);
    out->version = WF_PLATFORM_VERSION;
    out->ctx = p;
    out->now_ms = posix_now_ms;
    out->wall_ms = posix_wall_ms;
    out->random = posix_random;
    out->log = wfi_logfile_ops();
    out->log_ctx = &p->log;
}

const char *wf_posix_error(const wf_posix *p) {
    return p->error;
}

/* ---- waiting ---- */

void wf_posix_wake(wf_posix *p) {
    int saved = errno;
    ssize_t ignored = write(p->wake[1], "", 1); /* full: the wait ends anyway */
    (void)ignored;
    errno = saved;
}

static void posix_drain_wake(wf_posix *p) {
    char bytes[64];
    while (read(p->wake[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes)
        continue;
}

static int posix_timeout(uint32_t ms) {
    return ms == UINT32_MAX ? -1 : ms > INT_MAX ? INT_MAX : (int)ms;
}

void wf_posix_wait(wf_posix *p, uint32_t ms) {
    struct pollfd fds[1] = {{.fd = p->wake[0], .events = POLLIN}};
    if (poll(fds, 1, posix_timeout(ms)) > 0) posix_drain_wake(p);
}
