/* test_posix: the log file (locking, naming, failing), clock, random and waiting of the POSIX port. */
#include "src/port/os/logfile.h"
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static char path[96];

static char *in_dir(const char *name) {
    static char out[4][160];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(out[turn], sizeof out[turn], "%s/%s", dir, name);
    return out[turn];
}

static int setup(void **state) {
    (void)state;
    strcpy(dir, "/tmp/wf-posix-XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    snprintf(path, sizeof path, "%s/run.wflog", dir);
    return 0;
}

static int teardown(void **state) {
    char command[96];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static int open_fds(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

/* Names in dir that begin with `prefix`. */
static int names(const char *prefix) {
    int n = 0;
    struct dirent *e;
    DIR *d = opendir(dir);
    while ((e = readdir(d)) != NULL)
        n += e->d_name[0] != '.' && strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    closedir(d);
    return n;
}

static wf_status open_log(wf_posix **p, wf_posix_mode mode, const char *log) {
    wf_posix_config c = {.log = log, .mode = mode};
    size_t size = wf_posix_size(&c);
    wf_error error;
    wf_status status = wf_posix_open(p, malloc(size), size, &c, &error);
    assert_int_equal(error.code, status);
    return status;
}

static wf_status sync_all(wf_posix *p, wf_platform *pl) {
    for (int i = 0; i < 1000; i++) {
        wf_status status = pl->log->sync(pl->log_ctx);
        if (status != WF_AGAIN) return status;
        wf_posix_wait(p, 5000);
    }
    return WF_AGAIN;
}

/* Blocks of these tests are not given back: the sanitizer's leak check is off for them, the fd count is not. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "detect_leaks=0";
}

static void put(wf_platform *pl, uint64_t at, const char *text) {
    size_t n = 0;
    assert_int_equal(pl->log->write(pl->log_ctx, at, text, strlen(text), &n), WF_OK);
    assert_int_equal(n, strlen(text));
}

static void test_size_and_config(void **state) {
    (void)state;
    wf_posix_config c = {.log = path, .mode = WF_POSIX_CREATE};
    char block[65536];
    wf_posix *p = NULL;
    wf_error error;
    size_t size = wf_posix_size(&c);
    assert_true(size > 0 && size < sizeof block);
    assert_int_equal(wf_posix_open(&p, block, size - 1, &c, &error), WF_E_MEMORY);
    assert_null(p);
    for (size_t shift = 0; shift < 17; shift++) {
        assert_int_equal(wf_posix_open(&p, block + shift, size, &c, NULL), WF_OK);
        assert_int_equal((uintptr_t)p % 16, 0);
        assert_true((char *)p + size - 15 <= block + shift + size);
        wf_posix_close(p);
    }
    c.mode = WF_POSIX_TEMPORARY;
    assert_int_equal(wf_posix_size(&c), 0);
    assert_int_equal(wf_posix_open(&p, block, sizeof block, &c, &error), WF_E_CONFIG);
    c = (wf_posix_config){.mode = WF_POSIX_CREATE};
    assert_int_equal(wf_posix_size(&c), 0);
    c = (wf_posix_config){.workers = 1}; /* it works nowhere */
    assert_int_equal(wf_posix_size(&c), 0);
    c = (wf_posix_config){.children = 65};
    assert_int_equal(wf_posix_size(&c), 0);
    assert_int_equal(wf_posix_size(NULL), 0);
}

static void test_name_appears_with_first_sync(void **state) {
    (void)state;
    wf_posix *p;
    wf_platform pl;
    assert_int_equal(open_log(&p, WF_POSIX_CREATE, path), WF_OK);
    wf_posix_platform(p, &pl);
    put(&pl, 0, "header");
    assert_int_equal(names("run.wflog"), 1);
    assert_int_equal(names("run.wflog.tmp-"), 1);
    assert_int_equal(sync_all(p, &pl), WF_OK);
    assert_int_equal(names("run.wflog"), 1);
    assert_int_equal(names("run.wflog.tmp-"), 0);
    put(&pl, 6, "more");
    assert_int_equal(sync_all(p, &pl), WF_OK);
    wf_posix_close(p);
    assert_int_equal(names("run.wflog"), 1);

    char buf[16];
    size_t n;
    uint64_t size;
    assert_int_equal(open_log(&p, WF_POSIX_OPEN, path), WF_OK);
    wf_posix_platform(p, &pl);
    assert_int_equal(pl.log->size(pl.log_ctx, &size), WF_OK);
    assert_int_equal(size, 10);
    assert_int_equal(pl.log->read(pl.log_ctx, 4, buf, sizeof buf, &n), WF_OK);
    assert_memory_equal(buf, "ermore", n);
    assert_int_equal(n, 6);
    assert_int_equal(pl.log->read(pl.log_ctx, 10, buf, sizeof buf, &n), WF_END);
    assert_int_equal(pl.log->read(pl.log_ctx, UINT64_MAX, buf, sizeof buf, &n), WF_END);
    assert_int_equal(pl.log->cut(pl.log_ctx, 6), WF_OK);
    assert_int_equal(pl.log->size(pl.log_ctx, &size), WF_OK);
    assert_int_equal(size, 6);
    wf_posix_close(p);
}

static void test_unnamed_is_removed(void **state) {
    (void)state;
    wf_posix *p;
    wf_platform pl;
    assert_int_equal(open_log(&p, WF_POSIX_CREATE, path), WF_OK);
    wf_posix_platform(p, &pl);
    put(&pl, 0, "header");
    wf_posix_close(p);
    assert_int_equal(names(""), 0);
}

static void test_close_waits_for_sync(void **state) {
    (void)state;
    wf_posix *p;
    wf_platform pl;
    assert_int_equal(open_log(&p, WF_POSIX_CREATE, path), WF_OK);
    wf_posix_platform(p, &pl);
    put(&pl, 0, "header");
    ((wfi_logfile *)pl.log_ctx)->slow = true;
    assert_int_equal(pl.log->sync(pl.log_ctx), WF_AGAIN);
    wf_posix_close(p);
    assert_int_equal(names("run.wflog"), 1);
    assert_int_equal(names("run.wflog.tmp-"), 0);
}

/* Where no thread can be started, for want of a process or of memory, slow syncs are done in place. */
static void test_no_thread(void **state) {
    (void)state;
    int status;
    chmod(dir, 0777);
    pid_t pid = fork();
    if (pid == 0) {
        wf_posix *p;
        wf_platform pl;
        struct rlimit none = {0, 0};
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) _exit(77);
        bool open = open_log(&p, WF_POSIX_CREATE, path) == WF_OK;
        if (!open || setrlimit(RLIMIT_NPROC, &none) != 0) _exit(77);
        wf_posix_platform(p, &pl);
        wfi_logfile *f = pl.log_ctx;
        for (uint64_t i = 0; i < 3; i++) {
            put(&pl, i, "x");
            f->slow = true;
            if (pl.log->sync(pl.log_ctx) != WF_OK) _exit(1);
        }
        _exit(f->threaded ? 77 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) skip();
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(names("run.wflog"), 1);
}

/* Prompts and what agents read are nobody else's business, whatever the umask allows. */
static void test_mode(void **state) {
    (void)state;
    wf_posix *p;
    struct stat st;
    mode_t mask = umask(0);
    assert_int_equal(open_log(&p, WF_POSIX_CREATE, path), WF_OK);
    wf_platform pl;
    wf_posix_platform(p, &pl);
    assert_int_equal(sync_all(p, &pl), WF_OK);
    wf_posix_close(p);
    umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

/* What runs left that were killed before their first sync goes when the next log is made; nothing else does. */
static void test_leavings(void **state) {
    (void)state;
    static const char *const dead[] = {"old.wflog.tmp-0123abcd", "run.wflog.tmp-00000000"};
    static const char *const kept[] = {"old.wflog.tmp-0123abc",  "old.wflog.tmp-0123abcx", "notes.tmp-0123abcd",
                                       ".wflog.tmp-0123abcd",    "old.wflog.tmp-",         "old.wflog",
                                       "old.wflog.tmp-0123abcd~"};
    struct stat st;
    wf_posix *p, *q;
    for (size_t i = 0; i < sizeof dead / sizeof *dead; i++)
        close(open(in_dir(dead[i]), O_WRONLY | O_CREAT, 0600));
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        close(open(in_dir(kept[i]), O_WRONLY | O_CREAT, 0600));
    assert_int_equal(symlink("old.wflog", in_dir("link.wflog.tmp-0123abcd")), 0);
    assert_int_equal(open_log(&p, WF_POSIX_CREATE, in_dir("first.wflog")), WF_OK);
    for (size_t i = 0; i < sizeof dead / sizeof *dead; i++)
        assert_int_equal(lstat(in_dir(dead[i]), &st), -1);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        assert_int_equal(lstat(in_dir(kept[i]), &st), 0);
    assert_int_equal(lstat(in_dir("link.wflog.tmp-0123abcd"), &st), 0);
    assert_int_equal(names("first.wflog.tmp-"), 1);
    assert_int_equal(open_log(&q, WF_POSIX_CREATE, path), WF_OK);
    assert_int_equal(names("first.wflog.tmp-"), 1); /* its run lives */
    wf_posix_close(q);
    wf_posix_close(p);
    assert_int_equal(names("first.wflog"), 0);
}

/* A slow sync sends the next one to the thread, whose answer is waited for; after a quick one there they are done in place again. */
static void test_slow_syncs_go_to_a_thread(void **state) {
    (void)state;
    wf_posix *p;
    wf_platform pl;
    assert_int_equal(open_log(&p, WF_POSIX_CREATE, path), WF_OK);
    wf_posix_platform(p, &pl);
    wfi_logfile *f = pl.log_ctx;
    put(&pl, 0, "header");
    assert_int_equal(pl.log->sync(pl.log_ctx), WF_OK);
    assert_false(f->threaded);
    f->slow = true;
    for (int i = 0; i < 2; i++) {
        put(&pl, 6 + 4 * (uint64_t)i, "more");
        assert_int_equal(sync_all(p, &pl), WF_OK);
        assert_true(f->threaded);
        f->slow = i == 0; /* whatever this disk is like */
    }
    assert_int_equal(pl.log->sync(pl.log_ctx), WF_OK);
    wf_posix_close(p);
}

static void test_no_sync_still_names(void **state) {
    (void)state;
    wf_posix_config c = {.log = path, .mode = WF_POSIX_CREATE, .no_sync = true};
    char block[65536];
    wf_posix *p;
    wf_platform pl;
    assert_int_equal(wf_posix_open(&p, block, sizeof block, &c, NULL), WF_OK);
    wf_posix_platform(p, &pl);
    assert_int_equal(pl.log->sync(pl.log_ctx), WF_OK);
    assert_int_equal(names("run.wflog.tmp-"), 0);
    assert_int_equal(names("run.wflog"), 1);
    wf_posix_close(p);
}

static void test_create_refuses_existing(void **state) {
    (void)state;
    wf_posix *p, *q;
    wf_platform pl, ql;
    close(creat(path, 0644));
    assert_int_equal(open_log(&p, WF_POSIX_CREATE, path), WF_E_IO);
    assert_non_null(strstr(wf_posix_error(p), "exists already"));
    assert_non_null(strstr(wf_posix_error(p), path));
    unlink(path);
    assert_int_equal(symlink("nowhere", path), 0); /* a dangling link is a name that is taken */
    assert_int_equal(open_log(&p, WF_POSIX_CREATE, path), WF_E_IO);
    unlink(path);

    /* Two create the same name: the first sync wins, the second fails for good, and the winner's file stays. */
    assert_int_equal(open_log(&p, WF_POSIX_CREATE, path), WF_OK);
    assert_int_equal(open_log(&q, WF_POSIX_CREATE, path), WF_OK);
    wf_posix_platform(p, &pl);
    wf_posix_platform(q, &ql);
    put(&pl, 0, "first");
    put(&ql, 0, "second");
    assert_int_equal(sync_all(p, &pl), WF_OK);
    assert_int_equal(sync_all(q, &ql), WF_E_IO);
    assert_non_null(strstr(wf_posix_error(q), "another file took its name"));
    assert_int_equal(sync_all(q, &ql), WF_E_IO);
    wf_posix_close(q);
    wf_posix_close(p);
    assert_int_equal(names(""), 1);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 5);
}

static void test_lock_same_process(void **state) {
    (void)state;
    wf_posix *p, *q;
    wf_platform pl;
    assert_int_equal(open_log(&p, WF_POSIX_CREATE, path), WF_OK);
    wf_posix_platform(p, &pl);
    assert_int_equal(sync_all(p, &pl), WF_OK);
    assert_int_equal(open_log(&q, WF_POSIX_OPEN, path), WF_E_BUSY); /* the lock came along with the name */
    assert_non_null(strstr(wf_posix_error(q), path));
    assert_int_equal(symlink("run.wflog", in_dir("alias")), 0);
    assert_int_equal(open_log(&q, WF_POSIX_OPEN, in_dir("alias")), WF_E_BUSY);
    assert_int_equal(open_log(&q, WF_POSIX_READ, path), WF_OK); /* reading is free */
    wf_posix_close(q);
    wf_posix_close(p);
    assert_int_equal(open_log(&q, WF_POSIX_OPEN, path), WF_OK);
    wf_posix_close(q);
}

static void test_lock_other_process(void **state) {
    (void)state;
    wf_posix *p;
    int pipes[2];
    close(creat(path, 0644));
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c = open_log(&p, WF_POSIX_OPEN, path) == WF_OK ? 'y' : 'n';
        if (write(pipes[1], &c, 1) != 1) _exit(1);
        for (;;)
            pause();
    }
    char c = 0;
    assert_int_equal(read(pipes[0], &c, 1), 1);
    assert_int_equal(c, 'y');
    assert_int_equal(open_log(&p, WF_POSIX_OPEN, path), WF_E_BUSY);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(open_log(&p, WF_POSIX_OPEN, path), WF_OK); /* a killed process leaves no lock behind */
    wf_posix_close(p);
    close(pipes[0]);
    close(pipes[1]);
}

static void test_open_refusals(void **state) {
    (void)state;
    wf_posix *p;
    assert_int_equal(open_log(&p, WF_POSIX_OPEN, path), WF_E_NOT_FOUND);
    assert_int_equal(open_log(&p, WF_POSIX_READ, path), WF_E_NOT_FOUND);
    assert_int_equal(open_log(&p, WF_POSIX_CREATE, in_dir("no/such/log")), WF_E_NOT_FOUND);
    assert_non_null(strstr(wf_posix_error(p), "directory does not exist"));
    assert_int_equal(open_log(&p, WF_POSIX_OPEN, in_dir("")), WF_E_CONFIG);
    assert_int_equal(open_log(&p, WF_POSIX_READ, dir), WF_E_IO);
    assert_int_equal(mkfifo(path, 0644), 0);
    assert_int_equal(open_log(&p, WF_POSIX_READ, path), WF_E_IO);
    assert_non_null(strstr(wf_posix_error(p), "not a regular file"));
    assert_int_equal(open_log(&p, WF_POSIX_OPEN, path), WF_E_IO);
    char name[400];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(open_log(&p, WF_POSIX_CREATE, name), WF_E_IO);
    name[250] = '\0'; /* fits, but not with its temporary suffix */
    assert_int_equal(open_log(&p, WF_POSIX_CREATE, name), WF_E_IO);
}

static void test_read_only(void **state) {
    (void)state;
    wf_posix *p;
    wf_platform pl;
    size_t n;
    close(creat(path, 0644));
    assert_int_equal(open_log(&p, WF_POSIX_READ, path), WF_OK);
    wf_posix_platform(p, &pl);
    assert_int_equal(pl.log->write(pl.log_ctx, 0, "x", 1, &n), WF_E_IO);
    assert_non_null(strstr(wf_posix_error(p), "cannot write"));
    assert_int_equal(pl.log->cut(pl.log_ctx, 0), WF_E_IO);
    assert_int_equal(pl.log->sync(pl.log_ctx), WF_E_IO);
    wf_posix_close(p);
}

static void test_temporary(void **state) {
    (void)state;
    wf_posix *p;
    wf_platform pl;
    char buf[8];
    size_t n;
    setenv("TMPDIR", dir, 1);
    assert_int_equal(open_log(&p, WF_POSIX_TEMPORARY, NULL), WF_OK);
    wf_posix_platform(p, &pl);
    assert_int_equal(names(""), 0);
    put(&pl, 0, "dry");
    assert_int_equal(pl.log->sync(pl.log_ctx), WF_OK);
    assert_int_equal(pl.log->read(pl.log_ctx, 0, buf, sizeof buf, &n), WF_OK);
    assert_int_equal(n, 3);
    wf_posix_close(p);
    setenv("TMPDIR", in_dir("missing"), 1);
    assert_int_equal(open_log(&p, WF_POSIX_TEMPORARY, NULL), WF_E_IO);
    unsetenv("TMPDIR");
}

/* A file-size limit gives a short write first, then a clean error, and an error sentence with the path. */
static void test_full(void **state) {
    (void)state;
    wf_posix *p;
    wf_platform pl;
    struct rlimit old, small;
    static char big[8192];
    size_t n;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(open_log(&p, WF_POSIX_CREATE, path), WF_OK);
    wf_posix_platform(p, &pl);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 5000;
    setrlimit(RLIMIT_FSIZE, &small);
    wf_status first = pl.log->write(pl.log_ctx, 0, big, sizeof big, &n);
    size_t first_n = n;
    wf_status second = pl.log->write(pl.log_ctx, n, big, sizeof big, &n);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(first, WF_OK);
    assert_int_equal(first_n, 5000);
    assert_int_equal(second, WF_E_IO);
    assert_int_equal(n, 0);
    assert_non_null(strstr(wf_posix_error(p), path));
    assert_non_null(strstr(wf_posix_error(p), strerror(EFBIG)));
    wf_posix_close(p);
}

static void test_clock_and_random(void **state) {
    (void)state;
    wf_posix *p;
    wf_platform pl;
    uint8_t a[64] = {0}, b[64] = {0};
    assert_int_equal(open_log(&p, WF_POSIX_TEMPORARY, NULL), WF_OK);
    wf_posix_platform(p, &pl);
    assert_int_equal(pl.version, WF_PLATFORM_VERSION);
    assert_null(pl.trace);
    uint64_t before = pl.now_ms(pl.ctx);
    wf_posix_wait(p, 30);
    assert_true(pl.now_ms(pl.ctx) - before >= 29);
    assert_true(pl.wall_ms(pl.ctx) > UINT64_C(1600000000000));
    assert_int_equal(pl.random(pl.ctx, a, sizeof a), WF_OK);
    assert_int_equal(pl.random(pl.ctx, b, sizeof b), WF_OK);
    assert_memory_not_equal(a, b, sizeof a);
    wf_posix_close(p);
}

static wf_posix *woken;
static void on_alarm(int sig) {
    (void)sig;
    wf_posix_wake(woken);
}

static void test_wake(void **state) {
    (void)state;
    wf_posix *p;
    wf_platform pl;
    assert_int_equal(open_log(&p, WF_POSIX_TEMPORARY, NULL), WF_OK);
    wf_posix_platform(p, &pl);
    for (int i = 0; i < 100000; i++)
        wf_posix_wake(p); /* never blocks, however full the pipe */
    wf_posix_wait(p, UINT32_MAX);
    uint64_t before = pl.now_ms(pl.ctx);
    wf_posix_wait(p, 20); /* one wait took them all */
    assert_true(pl.now_ms(pl.ctx) - before >= 19);
    woken = p;
    struct sigaction sa = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &sa, NULL);
    alarm(1);
    wf_posix_wait(p, UINT32_MAX);
    signal(SIGALRM, SIG_DFL);
    wf_posix_close(p);
}

/* The embedder may have closed its standard descriptors: nothing of ours may then become stdout. */
/* Runs in a child. 0: the clock has not gone past a wait during which the process was stopped. */
static int wait_stopped(int told) {
    wf_posix *p;
    wf_platform pl;
    if (open_log(&p, WF_POSIX_TEMPORARY, NULL) != WF_OK) return 2;
    wf_posix_platform(p, &pl);
    uint64_t from = pl.now_ms(pl.ctx);
    if (write(told, "", 1) != 1) return 3;
    wf_posix_wait(p, 100);
    uint64_t waited = pl.now_ms(pl.ctx) - from;
    wf_posix_close(p);
    return waited <= 100 ? 0 : 1;
}

/* A stopped process is no silence of those that it waits for: its clock stands still. */
static void test_absence(void **state) {
    const struct timespec asleep = {0, 20000000}, away = {0, 700000000};
    int told[2], status;
    char byte;
    (void)state;
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    if (child == 0) _exit(wait_stopped(told[1]));
    assert_int_equal(read(told[0], &byte, 1), 1);
    nanosleep(&asleep, NULL);
    kill(child, SIGSTOP);
    nanosleep(&away, NULL);
    kill(child, SIGCONT);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    close(told[0]);
    close(told[1]);
}

static void test_descriptors_are_high(void **state) {
    (void)state;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        wf_posix *p;
        bool before[32];
        for (int fd = 0; fd < 32; fd++)
            before[fd] = fcntl(fd, F_GETFD) != -1;
        close(0);
        close(1);
        close(2);
        if (open_log(&p, WF_POSIX_CREATE, path) != WF_OK) _exit(2);
        for (int fd = 0; fd < 3; fd++)
            if (fcntl(fd, F_GETFD) != -1) _exit(3);
        for (int fd = 3; fd < 32; fd++) {
            int flags = fcntl(fd, F_GETFD);
            if (!before[fd] && flags != -1 && (flags & FD_CLOEXEC) == 0) _exit(4);
        }
        wf_posix_close(p);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_no_leaks(void **state) {
    (void)state;
    int before = open_fds();
    for (int i = 0; i < 50; i++) {
        wf_posix *p;
        wf_platform pl;
        char name[32];
        snprintf(name, sizeof name, "log-%d", i);
        char *log = in_dir(name);
        assert_int_equal(open_log(&p, WF_POSIX_CREATE, log), WF_OK);
        wf_posix_platform(p, &pl);
        put(&pl, 0, "x");
        assert_int_equal(sync_all(p, &pl), WF_OK);
        wf_posix *q;
        if (i == 0) assert_int_equal(open_log(&q, WF_POSIX_OPEN, log), WF_E_BUSY);
        assert_int_equal(open_log(&q, WF_POSIX_CREATE, log), WF_E_IO);
        wf_posix_close(p);
    }
    assert_int_equal(open_fds(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_size_and_config, setup, teardown),
        cmocka_unit_test_setup_teardown(test_name_appears_with_first_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unnamed_is_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_waits_for_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_syncs_go_to_a_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mode, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leavings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_sync_still_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create_refuses_existing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lock_same_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lock_other_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_temporary, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock_and_random, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wake, setup, teardown),
        cmocka_unit_test_setup_teardown(test_absence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptors_are_high, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_leaks, setup, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
