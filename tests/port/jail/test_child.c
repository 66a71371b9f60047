/* test_child: the supervisor of child processes. */
#include "src/port/jail/child.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static wfi_children cs;
static char out[65536];

static wfi_child_job job_of(void (*run)(void *), void *arg) {
    wfi_child_job j = {.run = run, .arg = arg, .keep = -1, .out = out, .cap = sizeof out, .cpu_s = 10};
    j.deadline = wfi_sys_now_ms() + 100000;
    return j;
}

static void wait_once(void) {
    struct pollfd p[WFI_CHILD_MAX];
    int fds[WFI_CHILD_MAX];
    uint32_t n = wfi_children_fds(&cs, fds);
    uint64_t now = wfi_sys_now_ms(), due = wfi_children_due(&cs, now);
    for (uint32_t i = 0; i < n; i++)
        p[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    poll(p, n, due == UINT64_MAX ? 5000 : due <= now ? 0 : (int)(due - now));
    wfi_children_pump(&cs, wfi_sys_now_ms());
}

static const wfi_child *run_job(wfi_child_job j) {
    uint32_t place;
    assert_int_equal(wfi_child_start(&cs, &j, &place), WF_OK);
    while (cs.at[place].state != WFI_CHILD_DONE)
        wait_once();
    static wfi_child ended;
    ended = cs.at[place];
    wfi_child_release(&cs, place);
    assert_int_equal(cs.at[place].state, WFI_CHILD_FREE);
    return &ended;
}

static int open_fds(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static int fds_before;
static int setup(void **state) {
    (void)state;
    fds_before = open_fds();
    wfi_children_init(&cs, 4);
    return 0;
}

/* Whatever a test did, nothing is left: no descriptor, no child, no zombie. */
static int teardown(void **state) {
    (void)state;
    wfi_children_close(&cs);
    if (open_fds() != fds_before) return -1;
    return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD ? 0 : -1;
}

static void say(const char *text) {
    if (write(1, text, strlen(text)) < 0) _exit(9);
}

static void do_echo(void *arg) {
    say(arg);
}

static void do_die(void *arg) {
    (void)arg;
    say("half");
    raise(SIGSEGV);
}

static void do_sleep(void *arg) {
    (void)arg;
    say("x");
    for (;;)
        pause();
}

static void do_stubborn(void *arg) {
    signal(SIGTERM, SIG_IGN);
    do_sleep(arg);
}

static void do_flood(void *arg) {
    (void)arg;
    for (;;)
        say("0123456789");
}

static void do_spin(void *arg) {
    (void)arg;
    for (volatile unsigned i = 0;; i++)
        continue;
}

static void do_mute(void *arg) {
    (void)arg;
    close(1);
    for (;;)
        pause();
}

static void do_runaway(void *arg) {
    if (fork() == 0) {
        setsid(); /* leaves the group and keeps the pipe */
        usleep(300 * 1000);
        _exit(0);
    }
    do_stubborn(arg);
}

static void test_output(void **state) {
    (void)state;
    const wfi_child *c = run_job(job_of(do_echo, "hello"));
    assert_int_equal(c->len, 5);
    assert_memory_equal(out, "hello", 5);
    assert_true(WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0);
    assert_false(c->timed_out || c->overflow);
}

static void test_dies(void **state) {
    (void)state;
    const wfi_child *c = run_job(job_of(do_die, NULL));
    assert_int_equal(c->len, 4);
    assert_false(WIFEXITED(c->status));
}

static void test_deadline(void **state) {
    (void)state;
    uint64_t before = wfi_sys_now_ms();
    wfi_child_job j = job_of(do_sleep, NULL);
    j.deadline = before + 100;
    const wfi_child *c = run_job(j);
    assert_true(c->timed_out);
    assert_int_equal(WTERMSIG(c->status), SIGTERM);
    assert_true(wfi_sys_now_ms() - before >= 100);
    before = wfi_sys_now_ms();
    j.run = do_stubborn;
    j.deadline = before + 1000; /* time enough to begin on a busy machine */
    c = run_job(j);
    assert_int_equal(WTERMSIG(c->status), SIGKILL);
    assert_true(wfi_sys_now_ms() - before >= 1500);
    before = wfi_sys_now_ms();
    j.run = do_mute; /* a closed pipe alone does not end the matter */
    j.deadline = before + 100;
    assert_int_equal(WTERMSIG(run_job(j)->status), SIGTERM);
}

static void test_cap(void **state) {
    (void)state;
    wfi_child_job j = job_of(do_echo, "12345");
    j.cap = 5;
    const wfi_child *c = run_job(j);
    assert_int_equal(c->len, 5);
    assert_false(c->overflow);
    j.cap = 4;
    out[4] = '!';
    c = run_job(j);
    assert_int_equal(c->len, 4);
    assert_true(c->overflow);
    assert_int_equal(out[4], '!');
    j = job_of(do_flood, NULL);
    c = run_job(j);
    assert_true(c->overflow);
    assert_int_equal(c->len, sizeof out);
}

static void test_cpu_limit(void **state) {
    (void)state;
    wfi_child_job j = job_of(do_spin, NULL);
    j.cpu_s = 1;
    const wfi_child *c = run_job(j);
    assert_false(c->timed_out);
    assert_true(WIFSIGNALED(c->status));
}

static void test_runaway(void **state) {
    (void)state;
    uint64_t before = wfi_sys_now_ms();
    wfi_child_job j = job_of(do_runaway, NULL);
    j.deadline = before + 50;
    const wfi_child *c = run_job(j);
    assert_true(c->timed_out);
    usleep(400 * 1000);
}

static void test_places_and_release(void **state) {
    (void)state;
    uint32_t place[4], fifth;
    wfi_child_job j = job_of(do_sleep, NULL);
    for (int i = 0; i < 4; i++)
        assert_int_equal(wfi_child_start(&cs, &j, &place[i]), WF_OK);
    assert_int_equal(wfi_child_start(&cs, &j, &fifth), WF_AGAIN);
    memset(out, 'z', sizeof out);
    wfi_child_release(&cs, place[2]);
    for (int i = 0; i < 60000 && cs.at[place[2]].state != WFI_CHILD_FREE; i++) {
        usleep(1000);
        wfi_children_pump(&cs, wfi_sys_now_ms());
    }
    assert_int_equal(wfi_child_start(&cs, &j, &fifth), WF_OK);
    assert_int_equal(fifth, place[2]);
}

static void test_fifty(void **state) {
    (void)state;
    uint32_t started = 0, ended = 0;
    static char text[50][16];
    while (ended < 50) {
        uint32_t place;
        wfi_child_job j = job_of(do_echo, "done");
        if (started < 50) {
            j.out = text[started];
            j.cap = sizeof text[0];
            if (wfi_child_start(&cs, &j, &place) == WF_OK) {
                started++;
                continue;
            }
        }
        wait_once();
        for (place = 0; place < 4; place++) {
            if (cs.at[place].state != WFI_CHILD_DONE) continue;
            wfi_child_release(&cs, place);
            ended++;
        }
    }
    for (int i = 0; i < 50; i++)
        assert_memory_equal(text[i], "done", 4);
}

/* What a child has: its output, `keep`, and nothing else of ours; no handler, no core, its own group. */
static void do_look(void *arg) {
    struct rlimit r;
    struct sigaction sa;
    sigset_t mask;
    (void)arg;
    bool good = getpgrp() == getpid();
    for (int fd = WFI_CHILD_KEEP + 1; fd < 64; fd++)
        good = good && fcntl(fd, F_GETFD) == -1;
    good = good && fcntl(WFI_CHILD_KEEP, F_GETFD) != -1;
    good = good && getrlimit(RLIMIT_FSIZE, &r) == 0 && r.rlim_cur == 0;
#if WFI_LINUX
    int created = open("/tmp/wf-test-child", O_CREAT | O_WRONLY, 0600); /* Landlock, where there is one */
    good = good && (created == -1 || syscall(444 /* landlock_create_ruleset */, NULL, 0, 1) < 1);
#endif
    good = good && sigaction(SIGUSR1, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL;
    good = good && sigprocmask(SIG_SETMASK, NULL, &mask) == 0 && !sigismember(&mask, SIGUSR1);
    say(good ? "good" : "bad");
}

static void on_signal(int sig) {
    (void)sig;
}

static void test_surroundings(void **state) {
    (void)state;
    signal(SIGUSR1, on_signal);
    int keep = open("/", O_RDONLY);
    int other = open("/", O_RDONLY); /* inheritable on purpose */
    wfi_child_job j = job_of(do_look, NULL);
    j.keep = keep;
    j.reads_only = true;
    const wfi_child *c = run_job(j);
    assert_int_equal(c->len, 4);
    assert_memory_equal(out, "good", 4);
    close(keep);
    close(other);
    signal(SIGUSR1, SIG_DFL);
}

/* A killed parent takes its children along (Linux). */
static void test_dies_with_parent(void **state) {
    (void)state;
#if WFI_LINUX
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t parent = fork();
    if (parent == 0) {
        uint32_t place;
        wfi_child_job j = job_of(do_stubborn, NULL);
        j.keep = fds[1]; /* the child holds the writing end: its end is our end of file */
        if (wfi_child_start(&cs, &j, &place) != WF_OK) _exit(1);
        while (cs.at[place].len == 0)
            wait_once();
        if (write(fds[1], "r", 1) != 1) _exit(1);
        for (;;)
            pause();
    }
    char c;
    close(fds[1]);
    assert_int_equal(read(fds[0], &c, 1), 1);
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    alarm(120);
    assert_int_equal(read(fds[0], &c, 1), 0);
    alarm(0);
    close(fds[0]);
#else
    skip();
#endif
}

static void test_no_process(void **state) {
    (void)state;
    struct rlimit old, none;
    uint32_t place;
    getrlimit(RLIMIT_NOFILE, &old);
    none = old;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    wfi_child_job j = job_of(do_echo, "x");
    wf_status status = wfi_child_start(&cs, &j, &place);
    setrlimit(RLIMIT_NOFILE, &old);
    assert_int_equal(status, WF_E_IO);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_output),
        CASE(test_dies),
        CASE(test_deadline),
        CASE(test_cap),
        CASE(test_cpu_limit),
        CASE(test_runaway),
        CASE(test_places_and_release),
        CASE(test_fifty),
        CASE(test_surroundings),
        CASE(test_dies_with_parent),
        CASE(test_no_process),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
