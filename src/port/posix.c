/* posix: puts the parts of the hosted port together: clock, random, log file, tools, and the one wait for all of them.
 *
 * Invariants:
 *   1. Everything lives in the caller's block: this struct, then what its config makes variable, in the order of posix_size.
 *   2. Every descriptor is close-on-exec and at least 3.
 *   3. wf_posix_wake only writes one byte to a pipe that does not block: safe in a signal handler.
 *   4. The platform's clock stands still while this process does not run (Ctrl-Z, a frozen container), and where news waits
 *      for it after a wait it is not yet the time at which the wait was to end: nobody is judged by the clock before he was heard. */
#include "../api/posix.h"
#include "jail/jail.h"
#include "os/logfile.h"
#include "net/sockets.h"
#include "os/sys.h"
#include "tools/tools.h"
#include "exec/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define POSIX_ALIGN     ((size_t)16)
#define POSIX_ABSENT_MS 250u /* later than it should, a wait ends in a process that was stopped */
#define POSIX_LONG_MS   50u  /* in shorter waits nobody's silence is measured */
#define POSIX_CHILDREN  (WFI_TOOLS_FDS + WFI_CHILD_MAX) /* descriptors: of tools, of workers */

struct wf_posix {
    wf_posix_config config; /* with its defaults */
    wfi_logfile log;
    wfi_tools tools;     /* if there is a root */
    wfi_workers workers; /* if there are any */
    wfi_sockets *net;    /* NULL: no connections */
    struct pollfd *fds;
    int wake[2];
    uint64_t absent; /* ms by which the platform's clock is behind the system's: invariant 4 */
    char holds[WFI_JAIL_TEXT];
    char error[1024];
};

static size_t posix_align(size_t n) {
    return (n + POSIX_ALIGN - 1) & ~(POSIX_ALIGN - 1);
}

/* Where the variable parts begin, from the struct's address; `end` is their size and its. */
typedef struct posix_layout {
    size_t tools, workers, net, fds, end;
} posix_layout;

static posix_layout posix_size(const wf_posix_config *c) {
    posix_layout at;
    size_t fds = 1 + POSIX_CHILDREN + (c->conns > 0 ? wfi_sockets_fds_max(c->conns) : 0);
    at.tools = posix_align(sizeof(wf_posix));
    at.workers = at.tools + (c->root != NULL ? wfi_tools_size(c->tickets) : 0);
    at.net = at.workers + wfi_workers_size(c->workers);
    at.fds = at.net + (c->conns > 0 ? wfi_sockets_size(c->conns) : 0);
    at.end = at.fds + fds * sizeof(struct pollfd);
    return at;
}

static bool posix_settle(const wf_posix_config *config, wf_posix_config *out) {
    if (config == NULL) return false;
    *out = *config;
    if (out->allow == 0) out->allow = WF_ALLOW_READ;
    if (out->tickets == 0) out->tickets = 40;
    if (out->children == 0) out->children = 8;
    if (out->commands == 0) out->commands = WFI_CHILD_MAX;
    if (out->tool_ms == 0) out->tool_ms = 60000;
    if (out->allow > (WF_ALLOW_READ | WF_ALLOW_WRITE | WF_ALLOW_BASH | WF_ALLOW_EXEC)) return false;
    if (out->tickets > 65536 || out->children > WFI_CHILD_MAX || out->mode > WF_POSIX_READ) return false;
    if (out->commands > WFI_CHILD_MAX || out->conns > WFI_SOCKETS_CONNS || out->workers > 4096) return false;
    if (out->workers > 0 && out->root == NULL) return false;
    return (out->mode == WF_POSIX_TEMPORARY) == (out->log == NULL);
}

size_t wf_posix_size(const wf_posix_config *config) {
    wf_posix_config c;
    if (!posix_settle(config, &c)) return 0;
    return posix_size(&c).end + POSIX_ALIGN - 1;
}

static wf_status posix_open_wake(wf_posix *p) {
    if (wfi_sys_pipe(p->wake) && fcntl(p->wake[1], F_SETFL, O_NONBLOCK) == 0) return WF_OK;
    snprintf(p->error, sizeof p->error, "cannot make a pipe: %s", strerror(errno));
    return WF_E_IO;
}

static wf_status posix_open_root(wf_posix *p) {
    const wf_posix_config *c = &p->config;
    if (c->root == NULL) return WF_OK;
    int error = wfi_tools_init(&p->tools, (char *)p + posix_size(c).tools, c);
    if (error == 0 && (c->allow & (WF_ALLOW_BASH | WF_ALLOW_EXEC)) != 0) wfi_jail_text(&p->tools.jail, p->holds);
    if (error == 0 && c->workers > 0) wfi_workers_init(&p->workers, (char *)p + posix_size(c).workers, &p->tools, c);
    if (error == 0 && p->tools.plugged) {
        wfi_tools_close(&p->tools);
        snprintf(p->error, sizeof p->error,
                 "this system has no way to keep commands off the network: neither network namespaces for this user "
                 "nor Landlock 4 (Linux 6.7)");
        return WF_E_CONFIG;
    }
    if (error == 0) return WF_OK;
    snprintf(p->error, sizeof p->error, "cannot open the workspace %s: %s", c->root, strerror(error));
    return error == ENOENT || error == ENOTDIR || error == EACCES ? WF_E_NOT_FOUND : WF_E_IO;
}

static wf_status posix_open_net(wf_posix *p) {
    if (p->config.conns == 0) return WF_OK;
    p->net = wfi_sockets_open((char *)p + posix_size(&p->config).net, p->config.conns);
    if (p->net != NULL) return WF_OK;
    snprintf(p->error, sizeof p->error, "cannot wait for connections: %s", strerror(errno));
    return WF_E_IO;
}

static void posix_close_wake(wf_posix *p) {
    wfi_sys_close(&p->wake[0]);
    wfi_sys_close(&p->wake[1]);
}

/* Gives back what posix_open_parts got, however far it came. */
static void posix_close_parts(wf_posix *p, bool root) {
    if (p->net != NULL) wfi_sockets_close(p->net);
    if (root) wfi_workers_close(&p->workers);
    if (root) wfi_tools_close(&p->tools);
    posix_close_wake(p);
}

static wf_status posix_open_parts(wf_posix *p) {
    wf_status status = posix_open_wake(p);
    if (status != WF_OK) return status;
    status = posix_open_root(p);
    bool root = status == WF_OK && p->config.root != NULL;
    if (status == WF_OK) status = posix_open_net(p);
    if (status == WF_OK) status = wfi_logfile_open(&p->log, &p->config, p->wake[1], p->error, sizeof p->error);
    if (status != WF_OK) posix_close_parts(p, root);
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
        return posix_answer(
            error, WF_E_CONFIG,
            "posix: a log needs a mode, and only a temporary one has no path; "
            "tickets are at most 65536, children and commands 64, connections and workers 4096, these with a root");
    if (memory == NULL || size < needed)
        return posix_answer(error, WF_E_MEMORY, "posix: the block is smaller than wf_posix_size says");
    wf_posix *p = (wf_posix *)(((uintptr_t)memory + POSIX_ALIGN - 1) & ~(uintptr_t)(POSIX_ALIGN - 1));
    memset(p, 0, sizeof *p);
    posix_settle(config, &p->config);
    p->fds = (struct pollfd *)(void *)((char *)p + posix_size(&p->config).fds);
    *out = p;
    wf_status status = posix_open_parts(p);
    return posix_answer(error, status, status == WF_OK ? "" : wf_status_text(status));
}

void wf_posix_close(wf_posix *p) {
    wfi_logfile_close(&p->log);
    posix_close_parts(p, p->config.root != NULL);
}

/* ---- clock, random ---- */

static uint64_t posix_now_ms(void *ctx) {
    const wf_posix *p = ctx;
    return wfi_sys_now_ms() - p->absent;
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
    if (p->config.root == NULL) return;
    out->tool_ops = wfi_tools_ops();
    out->tool_ctx = &p->tools;
}

const wf_net_ops *wf_posix_net(wf_posix *p, void **ctx) {
    *ctx = p->net;
    return p->net != NULL ? wfi_sockets_ops() : NULL;
}

const wf_model_ops *wf_posix_workers(wf_posix *p, void **ctx) {
    *ctx = &p->workers;
    return p->config.workers > 0 ? wfi_workers_ops() : NULL;
}

/* ---- files of the workspace ---- */

static wf_status posix_read_failed(int error, const char **why) {
    *why = error == ENOENT || error == ENOTDIR ? "there is no such file in the workspace"
           : error == EXDEV                    ? "it lies outside of the workspace"
                                               : "it cannot be read";
    return error == ENOENT || error == ENOTDIR ? WF_E_NOT_FOUND : error == EXDEV ? WF_E_CONFIG : WF_E_IO;
}

wf_status wf_posix_read(void *posix, wf_str path, char *buf, size_t size, size_t *len, const char **why) {
    const wf_posix *p = posix;
    char relative[WFI_CONFINE_PATH];
    *len = 0;
    int error = p->config.root == NULL ? EXDEV : wfi_confine_relative(&p->tools.root, path, relative);
    if (error != 0) return posix_read_failed(error, why);
    int fd = wfi_confine_open(&p->tools.root, p->tools.root.fd, relative);
    if (fd < 0) return posix_read_failed(-fd, why);
    ssize_t n = 1;
    while (n > 0 && *len < size) {
        n = read(fd, buf + *len, size - *len);
        if (n > 0) *len += (size_t)n;
        if (n < 0 && errno == EINTR) n = 1;
    }
    close(fd);
    return n < 0 ? posix_read_failed(EIO, why) : WF_OK;
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

/* Milliseconds for poll: until `ms` are over or a child or a connection needs attention, whichever is first. */
static int posix_timeout(const wf_posix *p, uint32_t ms) {
    uint64_t now = wfi_sys_now_ms();
    uint64_t due = p->config.root != NULL ? wfi_tools_due(&p->tools, now) : UINT64_MAX;
    uint64_t workers_due = wfi_children_due(&p->workers.children, now);
    uint64_t net_due = p->net != NULL ? wfi_sockets_due(p->net, now) : UINT64_MAX;
    if (net_due < due) due = net_due;
    if (workers_due < due) due = workers_due;
    uint64_t wait = ms == UINT32_MAX ? UINT64_MAX : ms;
    if (due != UINT64_MAX && (due <= now || due - now < wait)) wait = due <= now ? 0 : due - now;
    return wait == UINT64_MAX ? -1 : wait > INT_MAX ? INT_MAX : (int)wait;
}

/* poll, up to the tick of now_ms at which `ms` are over: whole milliseconds from here would come up to one too late. */
static int posix_poll(struct pollfd *fds, nfds_t n, int ms) {
#if defined(__linux__) && !defined(WFI_PLAIN_POSIX)
    struct timespec t;
    if (ms > 0) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        int64_t left = (int64_t)ms * 1000000 - t.tv_nsec % 1000000;
        t.tv_sec = (time_t)(left / 1000000000);
        t.tv_nsec = (long)(left % 1000000000);
        return ppoll(fds, n, &t, NULL);
    }
#endif
    return poll(fds, n, ms);
}

/* Invariant 4: after a wait of `ms` (-1: no limit) that began at `from`, on the system's clock. */
static void posix_mind_absence(wf_posix *p, uint64_t from, int ms, bool news) {
    uint64_t waited = wfi_sys_now_ms() - from, wanted = ms < 0 ? UINT64_MAX : (uint64_t)ms, late = 0;
    if (waited >= wanted && waited - wanted > POSIX_ABSENT_MS)
        late = waited;
    else if (waited >= wanted && news && wanted >= POSIX_LONG_MS)
        late = waited - wanted + 1;
    p->absent += late;
    p->tools.absent = p->absent;
}

void wf_posix_wait(wf_posix *p, uint32_t ms) {
    struct pollfd *fds = p->fds;
    int children[POSIX_CHILDREN];
    uint32_t n = 0;
    if (p->config.root != NULL) n = wfi_tools_fds(&p->tools, children);
    n += wfi_children_fds(&p->workers.children, children + n);
    bool news = p->config.root != NULL && wfi_tools_have_news(&p->tools);
    fds[0] = (struct pollfd){.fd = p->wake[0], .events = POLLIN};
    for (uint32_t i = 0; i < n; i++)
        fds[1 + i] = (struct pollfd){.fd = children[i], .events = POLLIN};
    n++;
    uint32_t sockets = p->net != NULL ? wfi_sockets_fds(p->net, fds + n) : 0;
    uint64_t from = wfi_sys_now_ms();
    int timeout = news ? 0 : posix_timeout(p, ms), found = posix_poll(fds, n + sockets, timeout);
    posix_mind_absence(p, from, timeout, found > 0);
    if (found <= 0) return;
    if (fds[0].revents != 0) posix_drain_wake(p);
    if (p->net != NULL) wfi_sockets_waited(p->net, fds + n, sockets);
}

uint32_t wf_posix_tools(uint32_t allow, wf_tool out[WF_POSIX_TOOLS]) {
    return wfi_tools_list(allow, out);
}

uint32_t wf_posix_holds(const wf_posix *p, const char **text) {
    bool commands = p->holds[0] != 0;
    if (text != NULL) *text = p->holds;
    return commands ? p->tools.jail.holds : 0;
}
