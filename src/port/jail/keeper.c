/* keeper: see keeper.h. */
#include "keeper.h"
#include "../os/dir.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEEPER_DIGITS  10u    /* of the run's directory: TMPDIR should be short */
#define KEEPER_BUSY    64u    /* directories at a time that wait for their last command to end */
#define KEEPER_LOOK_MS 20u    /* between two looks at these */
#define KEEPER_END_MS  11000u /* at the end, until they are removed whoever is in them */

void wfi_keeper_init(wfi_keeper *k) {
    memset(k, 0, sizeof *k);
    wfi_children_init(&k->child, 1);
    k->ask[0] = k->ask[1] = -1;
}

void wfi_keeper_name(const wfi_keeper *k, uint32_t number, char out[WFI_PRIVDIR_PATH]) {
    char room[WFI_SYS_DECIMAL];
    (void)wfi_sys_join(k->base, wfi_sys_decimal(number, room), out, WFI_PRIVDIR_PATH);
}

/* ---- in the child ---- */

typedef struct keeper_run {
    const wfi_keeper *k;
    uint32_t busy[KEEPER_BUSY], count;
} keeper_run;

/* False: it is in use. */
static bool keeper_remove(const wfi_keeper *k, uint32_t number) {
    char path[WFI_PRIVDIR_PATH];
    wfi_privdir d;
    wfi_keeper_name(k, number, path);
    if (!wfi_privdir_claim(&d, path)) return errno != EWOULDBLOCK;
    wfi_privdir_remove(&d);
    return true;
}

/* Where there is no room to note one that is in use, it stays until the end. */
static void keeper_take(keeper_run *r) {
    uint32_t number;
    while (read(WFI_CHILD_KEEP, &number, sizeof number) == (ssize_t)sizeof number)
        if (!keeper_remove(r->k, number) && r->count < KEEPER_BUSY) r->busy[r->count++] = number;
}

static void keeper_look(keeper_run *r) {
    for (uint32_t i = r->count; i > 0; i--)
        if (keeper_remove(r->k, r->busy[i - 1])) r->busy[i - 1] = r->busy[--r->count];
}

typedef struct keeper_search {
    const wfi_keeper *k;
    bool busy; /* one that is in use was found */
} keeper_search;

static bool keeper_try(void *ctx, const char *name, wfi_entry_type type) {
    keeper_search *s = ctx;
    char path[WFI_PRIVDIR_PATH];
    wfi_privdir d = {.fd = -1};
    (void)type;
    errno = 0;
    if (wfi_sys_join(s->k->base, name, path, sizeof path) && !wfi_privdir_claim(&d, path))
        s->busy = errno == EWOULDBLOCK;
    wfi_privdir_leave(&d);
    return !s->busy;
}

/* Whether a command is at work in one of them. */
static bool keeper_is_busy(const wfi_keeper *k, int fd) {
    uint64_t room[512];
    keeper_search s = {.k = k};
    lseek(fd, 0, SEEK_SET);
    wfi_entries(fd, room, sizeof room, keeper_try, &s);
    return s.busy;
}

static void keeper_remove_all(const wfi_keeper *k) {
    wfi_privdir d;
    uint64_t late = wfi_sys_now_ms() + KEEPER_END_MS;
    if (!wfi_privdir_claim(&d, k->base)) return;
    while (keeper_is_busy(k, d.fd) && wfi_sys_now_ms() < late)
        poll(NULL, 0, KEEPER_LOOK_MS);
    wfi_privdir_remove(&d);
}

static void keeper_child(void *arg) {
    static const int deaf[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    keeper_run r = {.k = arg};
    for (size_t i = 0; i < sizeof deaf / sizeof *deaf; i++)
        signal(deaf[i], SIG_IGN);
    for (;;) {
        struct pollfd fds[2] = {{.fd = WFI_CHILD_KEEP, .events = POLLIN}, {.fd = 1}};
        if (poll(fds, 2, r.count > 0 ? (int)KEEPER_LOOK_MS : -1) < 0 && errno != EINTR) break;
        if (fds[1].revents != 0) break; /* nobody listens: this run is over */
        if (fds[0].revents != 0) keeper_take(&r);
        keeper_look(&r);
    }
    keeper_remove_all(r.k);
}

/* ---- here ---- */

void wfi_keeper_open(wfi_keeper *k) {
    uint32_t place;
    wfi_child_job job = {.run = keeper_child, .arg = k, .deadline = UINT64_MAX, .programs = true};
    if (!wfi_privdir_choose(k->base, KEEPER_DIGITS) || !wfi_sys_pipe(k->ask)) return;
    job.keep = k->ask[0];
    if (fcntl(k->ask[1], F_SETFL, O_NONBLOCK) == 0 && wfi_child_start(&k->child, &job, &place) == WF_OK) return;
    wfi_sys_close(&k->ask[0]);
    wfi_sys_close(&k->ask[1]);
}

/* A start that failed is tried again, for it may have been for want of a process. */
uint32_t wfi_keeper_new(wfi_keeper *k) {
    if (k->ask[0] < 0) wfi_keeper_open(k);
    if (k->ask[0] < 0) return 0;
    if (k->last == 0 && mkdir(k->base, 0700) != 0) return 0;
    return ++k->last;
}

/* A request that does not fit has time until the end. */
void wfi_keeper_drop(wfi_keeper *k, uint32_t number) {
    ssize_t ignored = write(k->ask[1], &number, sizeof number);
    (void)ignored;
}

void wfi_keeper_close(wfi_keeper *k) {
    wfi_children_close(&k->child);
    wfi_sys_close(&k->ask[0]);
    wfi_sys_close(&k->ask[1]);
    if (k->last > 0) keeper_remove_all(k); /* if the child did not live to do it */
    k->last = 0;
}
