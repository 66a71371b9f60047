/* child: see child.h for its contract and invariants. */
#include "child.h"
#include "jail.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#if WFI_LINUX
#include <sys/prctl.h>
#endif

#define CHILD_GRACE_MS 500u
#define CHILD_END_MS   12000u /* for one that runs programs to end them */
#define CHILD_REAP_MS  1      /* between a closed pipe and the exit it announces */
#define CHILD_READS    16     /* of one child in one pump, so that a chatty one cannot hold it up */
#define CHILD_FD_MAX   65536  /* highest descriptor closed one by one */

void wfi_children_init(wfi_children *cs, uint32_t count) {
    memset(cs, 0, sizeof *cs);
    cs->count = count;
    for (uint32_t i = 0; i < WFI_CHILD_MAX; i++)
        cs->at[i].fd = -1;
}

/* ---- in the child ---- */

static void child_default_signals(void) {
    struct sigaction sa;
    sigset_t none;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = SIG_DFL;
    for (int s = 1; s < NSIG; s++)
        sigaction(s, &sa, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void wfi_child_close_from(int first) {
#if WFI_LINUX && defined(SYS_close_range)
    if (syscall(SYS_close_range, (unsigned)first, ~0u, 0u) == 0) return;
#endif
    long max = sysconf(_SC_OPEN_MAX);
    for (int fd = first; fd < CHILD_FD_MAX && fd < max; fd++)
        close(fd);
}

/* No limit on address space: the child starts as a copy of a process of unknown size, and its functions bound
 * what they take themselves. */
static void child_limits(const wfi_child_job *job) {
    WFI_SYS_LIMIT(RLIMIT_CORE, 0);
    if (job->cpu_s > 0) WFI_SYS_LIMIT(RLIMIT_CPU, job->cpu_s);
    if (!job->reads_only) return;
    WFI_SYS_LIMIT(RLIMIT_FSIZE, 0);
    wfi_jail_reads_only();
}

/* One that runs programs outlives its parent for as long as it takes to end them. */
static void child_bind(const wfi_child_job *job, long parent) {
    if (job->programs) return;
#if WFI_LINUX
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if (getppid() != (pid_t)parent) _exit(1); /* it died before the line above */
}

static bool child_keep_at(int fd, int place) {
    if (fd != place && dup2(fd, place) != place) return false;
    return fcntl(place, F_SETFD, FD_CLOEXEC) == 0;
}

/* They go with exec: what was opened outside of a program's jail would lead out of it. The first to
 * close, or -1. */
static int child_keep(const wfi_child_job *job) {
    int holder = job->home != NULL ? job->home->holder : -1;
    if (job->keep < 0) return WFI_CHILD_KEEP;
    if (holder >= 0 && (holder = fcntl(holder, F_DUPFD_CLOEXEC, WFI_HOME_SOCKET + 1)) < 0) return -1;
    if (!child_keep_at(job->keep, WFI_CHILD_KEEP)) return -1;
    if (holder < 0) return WFI_CHILD_KEEP + 1;
    return child_keep_at(holder, WFI_HOME_SOCKET) ? WFI_HOME_SOCKET + 1 : -1;
}

static void child_main(const wfi_child_job *job, int out, long parent) {
    setpgid(0, 0);
    child_default_signals();
    child_bind(job, parent);
    if (dup2(out, 1) != 1) _exit(1);
    int rest = child_keep(job);
    if (rest < 0) _exit(1);
    wfi_child_close_from(rest);
    child_limits(job);
    job->run(job->arg);
    _exit(0);
}

/* ---- starting ---- */

/* All signals wait while the child still has the parent's handlers. */
static pid_t child_fork(const wfi_child_job *job, int out) {
    sigset_t all, old;
    long parent = (long)getpid();
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old);
    pid_t pid = job->programs ? (pid_t)wfi_sys_fork(job->spaces) : fork();
    if (pid == 0) child_main(job, out, parent);
    int saved = errno;
    sigprocmask(SIG_SETMASK, &old, NULL);
    errno = saved;
    return pid;
}

wf_status wfi_child_start(wfi_children *cs, const wfi_child_job *job, uint32_t *place) {
    uint32_t i = 0;
    int fds[2];
    while (i < cs->count && cs->at[i].state != WFI_CHILD_FREE)
        i++;
    if (i == cs->count) return WF_AGAIN;
    if (!wfi_sys_pipe(fds)) return WF_E_IO;
    pid_t pid = child_fork(job, fds[1]);
    int saved = errno;
    wfi_sys_close(&fds[1]);
    if (pid < 0) {
        wfi_sys_close(&fds[0]);
        errno = saved;
        return WF_E_IO;
    }
    setpgid(pid, pid); /* the child does the same: whoever comes first */
    wfi_child c = {.state = WFI_CHILD_RUNNING, .pid = (long)pid, .fd = fds[0], .out = job->out};
    c.programs = job->programs;
    c.cap = job->cap;
    c.deadline = job->deadline;
    cs->at[i] = c;
    *place = i;
    return WF_OK;
}

/* ---- supervising ---- */

static void child_signal(wfi_child *c, int signal, uint64_t again) {
    kill((pid_t)-c->pid, signal);
    c->signal = signal;
    c->deadline = again;
}

/* Nobody listens any more: one that runs programs ends them, and itself. */
static void child_deafen(wfi_child *c, uint64_t now) {
    wfi_sys_close(&c->fd);
    c->state = WFI_CHILD_DRAINED;
    c->deadline = now + CHILD_END_MS;
}

static void child_overdue(wfi_child *c, uint64_t now) {
    if (now < c->deadline) return;
    if (c->programs && c->fd >= 0) {
        c->timed_out = true;
        child_deafen(c, now);
    } else if (c->signal == 0 && !c->programs) {
        c->timed_out = true;
        child_signal(c, SIGTERM, now + CHILD_GRACE_MS);
    } else {
        child_signal(c, SIGKILL, UINT64_MAX);
    }
}

/* One read; false: nothing more for now. Beyond the cap one byte is read aside, to tell "full" from "too much". */
static bool child_read_once(wfi_child *c) {
    char aside;
    bool full = c->len == c->cap || c->given_up;
    ssize_t n = full ? read(c->fd, &aside, 1) : read(c->fd, c->out + c->len, c->cap - c->len);
    if (n < 0) return errno == EINTR;
    if (n == 0) {
        wfi_sys_close(&c->fd);
        c->state = WFI_CHILD_DRAINED;
        return false;
    }
    if (!full) {
        c->len += (size_t)n;
        return true;
    }
    c->overflow = true;
    if (c->signal != SIGKILL) child_signal(c, SIGKILL, UINT64_MAX);
    wfi_sys_close(&c->fd);
    c->state = WFI_CHILD_DRAINED;
    return false;
}

static void child_reap(wfi_child *c) {
    int status = 0;
    pid_t pid = waitpid((pid_t)c->pid, &status, WNOHANG);
    if (pid == 0 || (pid < 0 && errno == EINTR)) return;
    c->status = pid > 0 ? status : -1;
    wfi_sys_close(&c->fd);
    c->state = c->given_up ? WFI_CHILD_FREE : WFI_CHILD_DONE;
}

void wfi_children_pump(wfi_children *cs, uint64_t now) {
    for (uint32_t i = 0; i < cs->count; i++) {
        wfi_child *c = &cs->at[i];
        if (c->state != WFI_CHILD_RUNNING && c->state != WFI_CHILD_DRAINED) continue;
        for (int reads = 0; reads < CHILD_READS && c->state == WFI_CHILD_RUNNING; reads++)
            if (!child_read_once(c)) break;
        child_overdue(c, now);
        /* A killed child whose pipe a runaway of its own still holds open is done all the same. */
        if (c->state == WFI_CHILD_DRAINED || c->signal == SIGKILL) child_reap(c);
    }
}

void wfi_child_release(wfi_children *cs, uint32_t place) {
    wfi_child *c = &cs->at[place];
    c->given_up = true;
    c->out = NULL;
    if (c->state == WFI_CHILD_DONE) {
        c->state = WFI_CHILD_FREE;
    } else if (c->state != WFI_CHILD_FREE) {
        if (!c->programs) child_signal(c, SIGKILL, UINT64_MAX);
        if (c->fd >= 0 || !c->programs) child_deafen(c, wfi_sys_now_ms());
        child_reap(c);
    }
}

uint64_t wfi_children_due(const wfi_children *cs, uint64_t now) {
    uint64_t due = UINT64_MAX;
    for (uint32_t i = 0; i < cs->count; i++) {
        const wfi_child *c = &cs->at[i];
        if (c->state != WFI_CHILD_RUNNING && c->state != WFI_CHILD_DRAINED) continue;
        bool reaping = c->state == WFI_CHILD_DRAINED || c->signal == SIGKILL;
        uint64_t next = reaping ? now + (uint64_t)CHILD_REAP_MS : c->deadline;
        if (next < due) due = next;
    }
    return due;
}

uint32_t wfi_children_fds(const wfi_children *cs, int *fds) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < cs->count; i++)
        if (cs->at[i].state == WFI_CHILD_RUNNING) fds[n++] = cs->at[i].fd;
    return n;
}

void wfi_children_close(wfi_children *cs) {
    for (uint32_t i = 0; i < cs->count; i++)
        wfi_child_release(cs, i);
    while (wfi_children_due(cs, 0) != UINT64_MAX) {
        wfi_children_pump(cs, wfi_sys_now_ms());
        poll(NULL, 0, CHILD_REAP_MS);
    }
}
