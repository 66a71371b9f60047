/* test_commands: what commands of agents and scripts find around them: a private directory that lasts from one
 * command to the next, nobody to ask, limits that have names; and what is said of what they did. */
#include "tests/port/toolbox.h"
#include "src/port/os/sys.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif
#include <sys/socket.h>
#include <sys/wait.h>
#include <netinet/in.h>

/* TMPDIR, and with a name something in it. */
static const char *tmp(const char *name) {
    static char out[4][400];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(out[turn], sizeof out[turn], *name == '\0' ? "%s/tmp" : "%s/tmp/%s", base, name);
    return out[turn];
}

static int clear(void **state) {
    setenv("TMPDIR", "/tmp", 1);
    return teardown(state);
}

static void open_programs(void) {
    close_posix();
    mkdir(tmp(""), 0755);
    setenv("TMPDIR", tmp(""), 1);
    setenv("HOME", base, 1);
    allow = WF_ALLOW_READ | WF_ALLOW_BASH | WF_ALLOW_EXEC;
    open_posix(0, 0, 0);
    allow = 0;
}

/* A command given as a line of the shell: no quotes but single ones, no backslashes. */
static const char *sh_on(uint32_t ticket, const char *command) {
    static char input[4000];
    snprintf(input, sizeof input, "{\"command\":\"%s\"}", command);
    start(ticket, "bash", false, input, 0);
    return finish(ticket);
}

static const char *sh(const char *command) {
    return sh_on(0, command);
}

static const char *exec_sh(const char *command) {
    static char input[4000];
    snprintf(input, sizeof input, "{\"cmd\":\"%s\"}", command);
    return effect("exec", input);
}

static int entries(const char *dir) {
    int n = -2;
    DIR *d = opendir(dir);
    while (d != NULL && readdir(d) != NULL)
        n++;
    if (d != NULL) closedir(d);
    return n;
}

/* Until the directory has so many entries, for removal happens elsewhere. */
static bool comes_to(const char *dir, int count) {
    for (int i = 0; i < 3000 && entries(dir) != count; i++)
        poll(NULL, 0, 10);
    return entries(dir) == count;
}

/* The one directory of the run, below TMPDIR. */
static const char *run_dir(void) {
    static char path[300];
    path[0] = '\0';
    DIR *d = opendir(tmp(""));
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') snprintf(path, sizeof path, "%s", tmp(e->d_name));
    if (d != NULL) closedir(d);
    return path;
}

/* ---- the private directory ---- */

static void test_own_lasts(void **state) {
    (void)state;
    open_programs();
    has(sh("echo kept >$TMPDIR/f; echo $HOME >$TMPDIR/home; echo $TMPDIR"), tmp("wf-"));
    assert_true(strlen(answer) <= strlen(tmp("")) + 21);
    good(sh("cat $TMPDIR/f; [ $HOME = $(cat $TMPDIR/home) ] && echo same"), "kept\nsame\n");
    good(sh_on(1, "ls $TMPDIR; echo other >$TMPDIR/f"), "(no output)");
    has(exec_sh("ls $TMPDIR; echo script >$TMPDIR/f"), "\"out\":\"\"");
    has(exec_sh("cat $TMPDIR/f"), "script");
    good(sh("cat $TMPDIR/f"), "kept\n");
    char dir[300];
    snprintf(dir, sizeof dir, "%s", run_dir());
    assert_int_equal(entries(dir), 3);
    pl.tool_ops->left(pl.tool_ctx, 0);
    assert_true(comes_to(dir, 2));
    good(sh_on(1, "cat $TMPDIR/f"), "other\n");
    good(sh("ls $TMPDIR"), "(no output)"); /* another agent on the same lane */
    close_posix();
    assert_int_equal(entries(tmp("")), 0);
}

/* Whatever a command does to its directory, the next one finds what it needs, and nothing but that. */
static void test_own_spoilt(void **state) {
    (void)state;
    open_programs();
    has(sh("cd $TMPDIR/..; rm -rf tmp shm home empty; ln -s / tmp; ln -s /etc shm; echo x >home; "
           "mkdir empty; ln -s /etc empty/x; ls"),
        "tmp");
    good(sh("cd $TMPDIR/..; for i in tmp shm home empty; do [ -L $i ] || [ ! -d $i ] || echo $i; done; ls -A tmp home; "
            "echo x >$TMPDIR/x; chmod 0 .; echo end"),
         "tmp\nshm\nhome\nempty\nhome:\n\ntmp:\nend\n");
    good(sh("cat $TMPDIR/x; chmod 0 ."), "x\n");
    char dir[300];
    snprintf(dir, sizeof dir, "%s", run_dir());
    pl.tool_ops->left(pl.tool_ctx, 0);
    assert_true(comes_to(dir, 0));
}

/* An agent that is given up while its command runs: the directory goes when that has ended. */
static void test_own_of_the_given_up(void **state) {
    (void)state;
    open_programs();
    start(0, "bash", false, "{\"command\":\"echo x >$TMPDIR/x; echo x >began; trap '' TERM; while :; do :; done\"}", 0);
    while (access(at("began"), F_OK) != 0)
        wf_posix_wait(posix, 10);
    char dir[300];
    snprintf(dir, sizeof dir, "%s", run_dir());
    pl.tool_ops->end(pl.tool_ctx, 0);
    pl.tool_ops->left(pl.tool_ctx, 0);
    assert_true(comes_to(dir, 0));
}

static void test_own_cannot_be_made(void **state) {
    (void)state;
    open_programs();
    rmdir(tmp(""));
    bad(sh("true"), "could not make a directory for it in $TMPDIR, or /tmp: No such file or directory");
    mkdir(tmp(""), 0755);
    good(sh("true"), "(no output)");
}

/* The process that has the tools dies; between two commands, and while one runs. */
static void own_after_a_kill(const char *command, bool running) {
    int fds[2];
    char byte;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        open_programs();
        sh("echo x >$TMPDIR/x");
        if (running) start(0, "bash", false, command, 0);
        while (running && access(at("began"), F_OK) != 0)
            wf_posix_wait(posix, 10);
        if (write(fds[1], "+", 1) != 1) _exit(1);
        for (;;)
            pause();
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(entries(tmp("")), 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_true(comes_to(tmp(""), 0));
    close(fds[0]);
}

static void test_own_after_a_kill(void **state) {
    (void)state;
    close_posix();
    own_after_a_kill("", false);
    own_after_a_kill("{\"command\":\"echo x >began; sleep 100\"}", true);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, clear)
    const struct CMUnitTest tests[] = {
        CASE(test_own_lasts),          CASE(test_own_spoilt),       CASE(test_own_of_the_given_up),
        CASE(test_own_cannot_be_made), CASE(test_own_after_a_kill),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
#if defined(__linux__)
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* the leak checker looks into us */
#endif
    return failed;
}
