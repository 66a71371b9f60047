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
#include <sys/resource.h>
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
    setenv("HOME", "/", 1); /* none to show: its own layer is for test_home */
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

/* Commands of a script at the same time, in the one directory, which is as it should be or spoilt. */
static void test_own_together(void **state) {
    (void)state;
    open_programs();
    for (int round = 0; round < 12; round++) {
        if (round % 3 == 2) has(exec_sh("cd $TMPDIR/..; rm -rf home shm; ln -s / home; ln -s / shm"), "");
        for (uint32_t i = 0; i < 4; i++)
            start(i, "exec", true, "{\"cmd\":\"echo x >>$HOME/f; echo x\"}", 0);
        for (uint32_t i = 0; i < 4; i++)
            has(finish(i), "\"out\":\"x\\n\",\"err\":\"\"");
    }
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
        prctl(PR_SET_PDEATHSIG, SIGKILL);
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

/* ---- nobody to ask ---- */

/* A program that a person would have to answer. */
static const char *waits(const char *name) {
    FILE *f = fopen(tmp(name), "w");
    assert_non_null(f);
    fputs("#!/bin/sh\nexec sleep 100\n", f);
    fclose(f);
    chmod(tmp(name), 0755);
    return tmp(name);
}

/* A repository of the agents' own, in a folder, whose settings name programs that wait. */
static void make_repository(void) {
    static const char *const settings[] = {"core.editor", "sequence.editor", "core.pager", "core.askPass",
                                           "gpg.program"};
    assert_int_equal(system(at("../make")), 0);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char command[1000];
        snprintf(command, sizeof command, "git -C %s config %s %s", at("own"), settings[i], waits("w"));
        assert_int_equal(system(command), 0);
    }
    char command[1000];
    snprintf(command, sizeof command, "git -C %s config commit.gpgSign true", at("own"));
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "git -C %s config credential.helper '!%s;'", at("own"), waits("w"));
    assert_int_equal(system(command), 0);
}

static void put_make(void) {
    put("../make", "#!/bin/sh\nexport HOME=/nowhere\ncd $(dirname $0)/tree && git init -q own && cd own && "
                   "git config user.name A && git config user.email a@b.example && "
                   "for i in 1 2 3; do echo $i >f; git add f; git commit -qm $i; done\n");
    chmod(at("../make"), 0755);
}

static const char *const askers[] = {"EDITOR",    "VISUAL",        "GIT_EDITOR",  "GIT_SEQUENCE_EDITOR", "PAGER",
                                     "GIT_PAGER", "GIT_ASKPASS",   "SSH_ASKPASS", "SUDO_ASKPASS",        "MANPAGER",
                                     "HGEDITOR",  "SYSTEMD_PAGER", "BROWSER"};

static void test_alone(void **state) {
    (void)state;
    if (system("git --version >/dev/null") != 0) skip();
    put_make();
    open_programs();
    make_repository();
    for (size_t i = 0; i < sizeof askers / sizeof *askers; i++)
        setenv(askers[i], waits("w"), 1);
    setenv("SSH_ASKPASS_REQUIRE", "force", 1);
    setenv("GIT_TERMINAL_PROMPT", "1", 1);
    has(sh("cd own; git commit --amend 2>&1; git log --format=%s | head -1"),
        "(there is no editor and nobody to ask: give the text with -m, or --no-edit)");
    assert_non_null(strstr(answer, "\n3\n"));
    has(sh("cd own; git rebase -i HEAD~2 2>&1; echo code $?"), "code 1");
    good(sh("cd own; git commit --amend --no-edit >/dev/null && git tag -am x x && git log --format=%s | head -1"),
         "3\n");
    good(sh("env | grep -c /w$; echo $TERM $DEBIAN_FRONTEND $SSH_ASKPASS_REQUIRE $GIT_OPTIONAL_LOCKS $GIT_SSH_COMMAND"),
         "0\ndumb noninteractive never 0 ssh -oBatchMode=yes\n");
    has(sh("cd own; printf 'protocol=http%b' '\\\\nhost=127.0.0.1:1\\\\n\\\\n' | git credential fill; echo code $?"),
        "terminal prompts disabled\ncode 128");
    has(exec_sh("cd own; git commit --amend"), "give the text with -m");
    good(sh("EDITOR=./ed GIT_EDITOR='echo new >' git -C own commit -q --amend; git -C own log --format=%s | head -1"),
         "new\n");
    setenv("GIT_SSH_COMMAND", "ssh -v", 1);
    good(sh("echo $GIT_SSH_COMMAND"), "ssh -v\n");
    unsetenv("GIT_SSH_COMMAND");
    unsetenv("SSH_ASKPASS_REQUIRE");
    unsetenv("GIT_TERMINAL_PROMPT");
    for (size_t i = 0; i < sizeof askers / sizeof *askers; i++)
        unsetenv(askers[i]);
}

/* ---- the middle of a long output ---- */

static void test_kept(void **state) {
    (void)state;
    open_programs();
    has(sh("seq 1 99999; echo the cause; seq 1 99999 >&2"),
        " bytes left out, all of it is in $TMPDIR/out-1 (grep or sed it) ...\n");
    assert_null(strstr(answer, "the cause"));
    good(sh("sed -n '/cause/p' $TMPDIR/out-1; (seq 1 99999; echo the cause; seq 1 99999) | cmp - $TMPDIR/out-1"),
         "the cause\n");
    good(sh("seq 1 9; ls $TMPDIR"), "1\n2\n3\n4\n5\n6\n7\n8\n9\nout-1\n");
    good(sh("rm $TMPDIR/out-1; ln -s $PWD/README.md $TMPDIR/out-1; mkdir $TMPDIR/out-2"), "(no output)");
    has(sh("seq 1 99999"), "$TMPDIR/out-3 (");
    good(sh("cat README.md; wc -l <$TMPDIR/out-3"), "hello\nworld\n99999\n");
    has(exec_sh("seq 1 200000; seq 1 200000 >&2; exit 3"), "all of it is in $TMPDIR/out-1 (grep or sed it) ...");
    assert_non_null(strstr(answer, "all of it is in $TMPDIR/err-2 (grep or sed it) ..."));
    has(exec_sh("cat $TMPDIR/out-1 $TMPDIR/err-2 | wc -l"), "\"out\":\"400000\\n\"");
}

static void test_kept_bounds(void **state) {
    (void)state;
    open_programs();
    has(sh("yes | head -c 80000000"), " bytes left out, the first 64 MB of it are in $TMPDIR/out-1 (");
    good(sh("stat -c %s $TMPDIR/out-1"), "67108864\n");
    has(sh("truncate -s 250000000 $TMPDIR/out-2; seq 1 99999"),
        " bytes left out and not kept, for $TMPDIR has too many out-*");
    good(sh("rm $TMPDIR/*"), "(no output)");
    has(sh("seq 1 99999"), "$TMPDIR/out-1 (");
    has(sh("rm -r $TMPDIR; seq 1 99999"), " bytes left out and not kept: No such file or directory ...\n");
}

/* Disks that are full: /dev/full cannot stand for a directory, so a limit on the size of files does. */
static void test_kept_on_full_disk(void **state) {
    (void)state;
    struct rlimit before, small;
    signal(SIGXFSZ, SIG_IGN);
    open_programs();
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 100000;
    setrlimit(RLIMIT_FSIZE, &small);
    has(sh("seq 1 99999"), " bytes left out and not kept: File too large ...\n");
    setrlimit(RLIMIT_FSIZE, &before);
    has(sh("seq 1 99999; stat -c %s $TMPDIR/out-1"), "$TMPDIR/out-2 (");
    assert_non_null(strstr(answer, "\n0\n"));
    signal(SIGXFSZ, SIG_DFL);
}

/* ---- limits ---- */

static void test_files_of_the_user(void **state) {
    (void)state;
    struct rlimit before, files;
    open_programs();
    getrlimit(RLIMIT_NOFILE, &before);
    files = before;
    if (files.rlim_max < 3000) skip();
    files.rlim_cur = 3000;
    setrlimit(RLIMIT_NOFILE, &files);
    good(sh("ulimit -n"), "3000\n");
    has(sh("ulimit -n 8; cat 9<README.md; echo x: Too many open files"),
        "(the limit of 3000 open files is not wf's: see ulimit -n)");
    setrlimit(RLIMIT_NOFILE, &before);
}

static void test_limits_have_names(void **state) {
    (void)state;
    char expected[100];
    open_programs();
    uint32_t processors = wfi_sys_processors();
    snprintf(expected, sizeof expected, "[ $(ulimit -t) -ge %u ] && echo enough",
             100 * (processors > 16 ? processors : 16));
    good(sh(expected), "enough\n");
    has(sh("kill -XCPU $$"), "(killed by signal 24)\n(wf's limit of processor time for one process was hit: ");
    has(sh("(ulimit -f 1; yes >$TMPDIR/x); exit $?"), "(wf's limit for one file is 4 GB)");
    const char *text;
    uint32_t holds = wf_posix_holds(posix, &text);
    static const char many[] = "i=0; while [ $i -lt %u ]; do sleep 100 & i=$((i+1)); done 2>&1 | tail -1; kill 0";
    static char command[300];
    snprintf(command, sizeof command, many, 600 + 70 * processors);
    if ((holds & WF_HOLDS_CGROUP) != 0) {
        snprintf(expected, sizeof expected, "(wf's limit of %u processes and threads at a time was hit)",
                 512 + 64 * processors);
        has(sh(command), expected);
    }
}

/* A limit that holds for all that a user has: only what the command prints tells that it was hit. */
static void limit_of_nobody(void) {
    char expected[100];
    const char *text;
    open_programs();
    if ((wf_posix_holds(posix, &text) & WF_HOLDS_NPROC) == 0) return;
    uint32_t most = 512 + 64 * wfi_sys_processors();
    snprintf(expected, sizeof expected, "(wf's limit is %u processes and threads at a time)", most);
    has(sh("echo bash: fork: retry: Resource temporarily unavailable"), expected);
    has(exec_sh("echo OutOfMemoryError: unable to create native thread >&2"), expected);
    has(sh("true"), "(no output)");
}

static void test_limit_of_nobody(void **state) {
    (void)state;
    if (geteuid() != 0) skip();
    close_posix();
    chmod(base, 0777);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
        limit_of_nobody();
        close_posix();
        fflush(stdout);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- git ---- */

static void test_git_is_read_only(void **state) {
    (void)state;
    static const char line[] =
        "(git's folder is read-only to commands here: edit files, do not commit; the user commits)";
    const char *text;
    if (system("git --version >/dev/null") != 0) skip();
    put("../make",
        "#!/bin/sh\nexport HOME=/nowhere\ncd $(dirname $0)/tree && rm -rf .git && git init -q . && "
        "git config user.name A && git config user.email a@b.example && git add README.md && git commit -qm 1\n");
    chmod(at("../make"), 0755);
    assert_int_equal(system(at("../make")), 0);
    open_programs();
    if ((wf_posix_holds(posix, &text) & WF_HOLDS_SPACES) == 0) skip();
    static const char *const writes[] = {"echo >>README.md; git add README.md",
                                         "git commit -qam x",
                                         "git stash",
                                         "git checkout -b y",
                                         "git tag x",
                                         "git config a.b c",
                                         "git rm -q README.md",
                                         "git hash-object -w README.md"};
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++)
        has(sh(writes[i]), line);
    has(exec_sh("git add README.md"), line);
    has(sh("git status --short; git diff | wc -l; git log --format=%s"), "README.md");
    assert_null(strstr(answer, "git's folder"));
}

/* ---- what is left running ---- */

static void test_exec_tells_what_it_ended(void **state) {
    (void)state;
    open_programs();
    has(exec_sh("sleep 100 & echo x"), "\"err\":\"(what it left running was ended)\"");
    has(exec_sh("sleep 100 & printf y >&2"), "\"err\":\"y\\n(what it left running was ended)\"");
    has(exec_sh("true"), "\"err\":\"\"");
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, clear)
    const struct CMUnitTest tests[] = {
        CASE(test_own_lasts),
        CASE(test_own_spoilt),
        CASE(test_own_together),
        CASE(test_own_of_the_given_up),
        CASE(test_own_cannot_be_made),
        CASE(test_own_after_a_kill),
        CASE(test_alone),
        CASE(test_kept),
        CASE(test_kept_bounds),
        CASE(test_kept_on_full_disk),
        CASE(test_files_of_the_user),
        CASE(test_limits_have_names),
        CASE(test_limit_of_nobody),
        CASE(test_git_is_read_only),
        CASE(test_exec_tells_what_it_ended),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
#if defined(__linux__)
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* the leak checker looks into us */
#endif
    return failed;
}
