/* test_jail: commands that try to get out, to stay, to flood and to pry, as the tool bash and as bare programs, with all that this
 * system has and with less. Whatever they do: no process, no file outside, no key. The test is its own attacker: with an
 * argument it does one hostile thing. */
#include "src/port/jail/child.h"
#include "src/port/jail/program.h"
#include "src/api/posix.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static char self[96], base[64], root[80], mark[64], where[40];
static wfi_jail jail; /* as it is in the test at hand */
static wfi_jail best; /* as the system has it */
static wfi_children children;
static char buf[1 << 20];
static pid_t first; /* this process, not its forks */

/* ---- surroundings ---- */

static char *at(const char *format, ...) {
    static char out[8][4500];
    static int turn;
    va_list args;
    turn = (turn + 1) % 8;
    va_start(args, format);
    vsnprintf(out[turn], sizeof out[turn], format, args);
    va_end(args);
    return out[turn];
}

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static const char *get(const char *path) {
    static char text[4096];
    FILE *f = fopen(path, "r");
    if (f == NULL) return "(none)";
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return text;
}

/* Processes whose environment has this test's mark: all that descend from its commands, wherever they hide. */
static int marked(void) {
    int found = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        static char text[65536];
        if (e->d_name[0] < '1' || e->d_name[0] > '9') continue;
        int fd = open(at("/proc/%s/environ", e->d_name), O_RDONLY);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
        if (fd >= 0) close(fd);
        if (n > 0 && memmem(text, (size_t)n, mark, strlen(mark)) != NULL) found++;
    }
    closedir(d);
    return found;
}

static int entries(const char *dir) {
    int n = -2;
    DIR *d = opendir(dir);
    while (d != NULL && readdir(d) != NULL)
        n++;
    if (d != NULL) closedir(d);
    return n;
}

/* A failed assertion in a fork jumps back to the list of tests: it must not go on with it. */
static void leave_if_forked(void) {
    if (getpid() == first) return;
    fflush(stdout);
    _exit(1);
}

static int setup(void **state) {
    static int number;
    (void)state;
    leave_if_forked();
    snprintf(base, sizeof base, "%s/wf-jail-XXXXXX", where);
    if (mkdtemp(base) == NULL) return -1;
    chmod(base, 0755);
    snprintf(root, sizeof root, "%s/tree", base);
    snprintf(mark, sizeof mark, "WF_MARK=%d.%d.", (int)getpid(), ++number);
    putenv(mark);
    mkdir(root, 0777);
    mkdir(at("%s/tmp", base), 0777);
    mkdir(at("%s/home", base), 0755);
    mkdir(at("%s/home/.ssh", base), 0755);
    chmod(root, 0777);
    chmod(at("%s/tmp", base), 0777);
    put(at("%s/home/.ssh/id", base), "privatestuff\n");
    put(at("%s/home/.netrc", base), "privatestuff\n");
    put(at("%s/secret", base), "outside\n");
    mkdir(at("%s/.git", root), 0777);
    mkdir(at("%s/.wf", root), 0777);
    put(at("%s/.git/config", root), "git\n");
    put(at("%s/.wf/log", root), "log\n");
    chmod(at("%s/.git/config", root), 0666);
    chmod(at("%s/.wf/log", root), 0666);
    setenv("TMPDIR", at("%s/tmp", base), 1);
    setenv("HOME", at("%s/home", base), 1);
    setenv("WF_TEST_API_KEY", "plantedkey", 1);
    setenv("PLAIN", "plainvalue", 1);
    setenv("DATABASE", "db://user:plantedkey@host/", 1);
    wfi_children_init(&children, 8);
    jail = best;
    return 0;
}

/* What holds after every test: nobody is left, nothing is left, and what is outside is as it was. */
static int teardown(void **state) {
    (void)state;
    int bad = 0;
    leave_if_forked();
    wfi_children_close(&children);
    if (marked() != 0) bad = printf("# %d processes are left\n", marked());
    if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD) bad = printf("# a child is left\n");
    if (entries(at("%s/tmp", base)) != 0) bad = printf("# something is left in TMPDIR\n");
    if (entries(base) != 4) bad = printf("# something is new outside of the root\n");
    if (strcmp(get(at("%s/secret", base)), "outside\n") != 0) bad = printf("# the file outside changed\n");
    if (system(at("chmod -R u+rwx %s; rm -rf %s", base, base)) != 0) bad = 1;
    return bad == 0 ? 0 : -1;
}

/* ---- programs ---- */

#define PATIENCE 100000 /* ms, for what ends by itself, on the busiest machine */

typedef struct spec {
    wfi_program p;
    wfi_program_end end;
    size_t out_len, err_len;
    uint64_t missing;
} spec;

static void say(const void *from, size_t n) {
    for (const char *p = from; n > 0;) {
        ssize_t w = write(1, p, n);
        if (w <= 0) _exit(9);
        p += w;
        n -= (size_t)w;
    }
}

static void run_spec(void *arg) {
    spec *s = arg;
    static char out[2][300000];
    wf_str head, tail;
    s->p.tree_fd = WFI_CHILD_KEEP;
    s->p.out.buf = out[0];
    s->p.err.buf = out[1];
    wfi_program_run(&s->p, &s->end);
    s->missing = wfi_gather_parts(&s->p.out, &head, &tail);
    s->out_len = head.len + tail.len;
    say(s, sizeof *s);
    say(head.ptr, head.len);
    say(tail.ptr, tail.len);
    wfi_gather_parts(&s->p.err, &head, &tail);
    say(head.ptr, head.len);
    say(tail.ptr, tail.len);
}

static char *out; /* what the last program printed */

static uint32_t start(spec *s) {
    uint32_t place;
    int low = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = fcntl(low, F_DUPFD_CLOEXEC, 32);
    close(low); /* where the child wants it: as in wf, it is to be moved there */
    wfi_child_job j = {.run = run_spec, .arg = s, .keep = fd, .out = buf, .cap = sizeof buf - 1, .programs = true};
    j.deadline = s->p.deadline + 10000;
    if (s->p.jail != NULL) j.spaces = s->p.jail->spaces;
    assert_int_equal(wfi_child_start(&children, &j, &place), WF_OK);
    close(fd);
    return place;
}

static void turn(void) {
    struct pollfd p[WFI_CHILD_MAX];
    int fds[WFI_CHILD_MAX];
    uint32_t n = wfi_children_fds(&children, fds);
    uint64_t now = wfi_sys_now_ms(), due = wfi_children_due(&children, now);
    for (uint32_t i = 0; i < n; i++)
        p[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    poll(p, n, due == UINT64_MAX ? 5000 : due <= now ? 0 : due - now > 5000 ? 5000 : (int)(due - now));
    wfi_children_pump(&children, wfi_sys_now_ms());
}

static wfi_guard_id first_guard[WFI_GUARDS]; /* what .git and .wf meant before a test's commands */

static spec spec_of(const char *const *argv, uint64_t ms) {
    spec s;
    memset(&s, 0, sizeof s);
    s.p.argv = argv;
    s.p.jail = &jail;
    s.p.tree = s.p.dir = root;
    s.p.first = first_guard[1].there ? first_guard : NULL;
    s.p.out.cap = 100000;
    s.p.deadline = wfi_sys_now_ms() + ms;
    return s;
}

static spec run(spec s) {
    uint32_t place = start(&s);
    while (children.at[place].state != WFI_CHILD_DONE)
        turn();
    assert_true(children.at[place].len >= sizeof s);
    buf[children.at[place].len] = '\0';
    wfi_child_release(&children, place);
    memcpy(&s, buf, sizeof s);
    out = buf + sizeof s;
    return s;
}

/* A command of the shell; the attacker is $W. */
static spec sh(const char *command, uint64_t ms) {
    const char *argv[] = {"sh", "-c", command, NULL};
    setenv("W", self, 1);
    return run(spec_of(argv, ms));
}

static void prints(const char *command, const char *expected) {
    spec s = sh(command, PATIENCE);
    if (s.end.failed != NULL) print_error("%s: %s\n", s.end.failed, strerror(s.end.error));
    assert_null(s.end.failed);
    assert_string_equal(out, expected);
}

/* As where namespaces are not to be had. */
static void no_spaces(void) {
    jail.spaces = 0;
    jail.holds &= ~(uint32_t)WF_HOLDS_SPACES;
}

/* ---- attackers ---- */

static int attack_kill(void) {
    pid_t victim = (pid_t)atoi(getenv("VICTIM")), watcher = getppid();
    int refused = kill(victim, SIGKILL) != 0;
    /* in a PID namespace its first process cannot be killed from within: the call succeeds, and does nothing */
    refused += kill(getppid() > 1 ? watcher : 1, SIGKILL) != 0 || watcher <= 1 || getenv("SPACES") != NULL;
    puts(refused == 2 ? "refused" : "killed");
    return 0;
}

static int attack_ptrace(void) {
    pid_t victim = (pid_t)atoi(getenv("VICTIM"));
    int seized = ptrace(PTRACE_SEIZE, victim, NULL, NULL) == 0;
    seized += ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0;
    seized += ptrace(PTRACE_ATTACH, 1, NULL, NULL) == 0;
    puts(seized == 0 ? "refused" : "traced");
    return 0;
}

/* Reads whatever of other processes opens. */
static int attack_pry(void) {
    static const char *const names[] = {"environ", "mem", "maps", "fd/0", "root", "cwd"};
    int opened = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9') continue;
        if (atoi(e->d_name) != atoi(getenv("VICTIM")) && atoi(e->d_name) != getppid()) continue;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            char text[16];
            int fd = open(at("/proc/%s/%s", e->d_name, names[i]), O_RDONLY);
            if (fd < 0 || (i < 3 && read(fd, text, sizeof text) <= 0)) continue;
            printf("opened %s/%s ", e->d_name, names[i]);
            opened++;
        }
    }
    puts(opened == 0 ? "refused" : "");
    return 0;
}

static int attack_abstract(void) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strcpy(a.sun_path + 1, getenv("ABSTRACT"));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(a.sun_path + 1));
    puts(connect(fd, (struct sockaddr *)&a, n) == 0 ? "connected" : "refused");
    return 0;
}

static int attack_named(void) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strcpy(a.sun_path, getenv("NAMED"));
    puts(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof a) == 0 ? "connected" : "refused");
    return 0;
}

static int loopback(int port, bool listens) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int bad = listens ? bind(fd, (struct sockaddr *)&a, sizeof a) + listen(fd, 1)
                      : connect(fd, (struct sockaddr *)&a, sizeof a);
    if (bad == 0) return fd;
    close(fd);
    return -1;
}

/* Calls the test's own server; then serves, and calls itself. */
static int attack_call(void) {
    bool reached = loopback(atoi(getenv("PORT")), false) >= 0;
    bool served = loopback(7777, true) >= 0 && loopback(7777, false) >= 0;
    printf("%s, %s\n", reached ? "reached" : "refused", served ? "served" : "not served");
    return 0;
}

static int attack_memory(void) {
    puts(shmget((key_t)atoi(getenv("SHARED")), 1, 0) < 0 ? "refused" : "reached");
    return shmget(IPC_PRIVATE, 4096, 0600) < 0; /* and leaves some behind */
}

/* Every process of a bomb ends by itself this long after the first, should nobody end it: by looking, and by alarm. */
#define BOMB_MS 3000u

static uint64_t bomb_end;

static pid_t bomb_fork(void) {
    uint64_t now = wfi_sys_now_ms();
    if (now >= bomb_end) _exit(0);
    pid_t pid = fork();
    if (pid == 0) alarm((unsigned)(bomb_end - now) / 1000 + 1);
    return pid;
}

static void bomb_begin(void) {
    bomb_end = wfi_sys_now_ms() + BOMB_MS;
    alarm(BOMB_MS / 1000);
}

/* Forks until it is stopped, each child a session of its own that ignores what can be ignored. */
static int attack_bomb(void) {
    for (int s = 1; s < 32; s++)
        if (s != SIGALRM) signal(s, SIG_IGN);
    bomb_begin();
    for (;;) {
        if (bomb_fork() == 0) setsid();
    }
    return 0;
}

/* The same, but each parent ends at once, so that nobody stands still. */
static int attack_comet(void) {
    signal(SIGTERM, SIG_IGN);
    bomb_begin();
    for (;;) {
        if (bomb_fork() > 0 && bomb_fork() > 0) _exit(0);
        setsid();
    }
    return 0;
}

/* A daemon by the book. */
static int attack_daemon(void) {
    signal(SIGTERM, SIG_IGN);
    if (fork() > 0) return 0;
    setsid();
    if (fork() > 0) _exit(0);
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    for (;;)
        pause();
}

/* Directories in directories, further down than paths and descriptors reach. */
static int attack_deep(void) {
    for (int i = 0; i < 5000; i++)
        if (mkdir("d", 0755) != 0 || chdir("d") != 0) return 1;
    puts("deep");
    return 0;
}

static int attack(const char *name) {
    static const struct {
        const char *name;
        int (*run)(void);
    } attacks[] = {{"kill", attack_kill},         {"ptrace", attack_ptrace}, {"pry", attack_pry},
                   {"abstract", attack_abstract}, {"bomb", attack_bomb},     {"comet", attack_comet},
                   {"daemon", attack_daemon},     {"deep", attack_deep},     {"memory", attack_memory},
                   {"named", attack_named},       {"call", attack_call}};
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++)
        if (strcmp(attacks[i].name, name) == 0) return attacks[i].run();
    return 2;
}

/* ---- what a program gets ---- */

static void test_ends(void **state) {
    (void)state;
    spec s = sh("echo out; echo err >&2; exit 3", 10000);
    assert_string_equal(out, "out\nerr\n");
    assert_int_equal(s.end.code, 3);
    assert_int_equal(s.end.signal, 0);
    assert_false(s.end.left || s.end.timed_out || s.end.crowded);
    s = sh("kill -9 $$", PATIENCE);
    assert_int_equal(s.end.signal, SIGKILL);
    assert_int_equal(s.end.code, 137);
    const char *argv[] = {"no-such-program", NULL};
    s = run(spec_of(argv, PATIENCE));
    assert_string_equal(s.end.failed, WFI_PROGRAM_EXEC);
    assert_int_equal(s.end.error, ENOENT);
    argv[0] = "/etc/passwd";
    assert_int_equal(run(spec_of(argv, PATIENCE)).end.error, EACCES);
    const char *both[] = {"sh", "-c", "echo out; echo err >&2", NULL};
    s = spec_of(both, PATIENCE);
    s.p.err.cap = 1000;
    run(s);
    assert_string_equal(out, "out\nerr\n");
}

static void test_input(void **state) {
    (void)state;
    static char text[3000000];
    memset(text, 'x', sizeof text);
    const char *argv[] = {"wc", "-c", NULL};
    spec s = spec_of(argv, PATIENCE);
    s.p.input = wf_str_of(text, sizeof text);
    run(s);
    assert_int_equal(atoi(out), 3000000);
    argv[0] = "true"; /* does not read it */
    argv[1] = NULL;
    s = run(s);
    assert_int_equal(s.end.code, 0);
    prints("cat", "");
}

static void test_surroundings(void **state) {
    (void)state;
    put(at("%s/planted", root), "");
    prints("pwd", at("%s\n", root));
    prints("env | grep -c -e planted -e privatestuff", "0\n");
    prints("echo $PLAIN", "plainvalue\n");
    prints("test -d \"$HOME\" && test -d \"$TMPDIR\" && test \"$HOME\" != \"$TMPDIR\" && echo own; ls -A \"$HOME\" "
           "\"$TMPDIR\" | grep -vc -e : -e ^$",
           "own\n0\n");
    prints("(: </dev/tty) 2>/dev/null || echo no terminal", "no terminal\n");
    prints("ls /proc/self/fd | wc -l", "4\n"); /* three, and that of ls */
    prints("ulimit -c; ps -o sid= -o pgid= -p $$ | awk '{ print ($1 == $2) }'", "0\n1\n");
    char kept =
        jail.uid == 0 && jail.abi >= 3 && (jail.spaces & CLONE_NEWUSER) == 0 ? '2' : '0'; /* to read as tools do */
    prints("grep -h -e NoNewPrivs -e 'Cap[PEBA]' /proc/self/status | tr -d '\\t\\n'",
           at("CapPrm:000000000000000%cCapEff:000000000000000%cCapBnd:000000000000000%cCapAmb:"
              "0000000000000000NoNewPrivs:1",
              kept, kept, kept));
}

/* POSIX's shared memory and semaphores are files in /dev/shm: programs that are built of several processes need them. */
static void test_own_shm(void **state) {
    (void)state;
    if (jail.spaces == 0 || access("/dev/shm", F_OK) != 0) skip();
    prints("mkdir /dev/shm/wf-d && echo x >/dev/shm/wf-d/f && mv /dev/shm/wf-d/f /dev/shm/wf-f && cat /dev/shm/wf-f; "
           "ls -A $TMPDIR; ls -A /dev/shm",
           "x\nwf-d\nwf-f\n");
    assert_int_equal(access("/dev/shm/wf-f", F_OK), -1);
}

/* Wherever TMPDIR leads. */
static void test_own_in_guarded(void **state) {
    (void)state;
    setenv("TMPDIR", at("%s/.wf", root), 1);
    prints("echo x >$TMPDIR/f && echo y >$HOME/f && cat $TMPDIR/f $HOME/f", "x\ny\n");
    prints("(mkdir .wf/new) 2>/dev/null || echo refused", jail.spaces != 0 ? "refused\n" : "");
    if (jail.spaces == 0) return;
    assert_int_equal(entries(at("%s/.wf", root)), 1);
    assert_string_equal(get(at("%s/.wf/log", root)), "log\n");
}

/* Whatever it leaves in its own directories goes. */
static void test_privdir(void **state) {
    (void)state;
    prints("cd $TMPDIR; mkdir -p a/b c; echo x >a/b/f; chmod 0 a/b/f a/b a; ln -s / c/link; mkfifo c/fifo; chmod 0 . ; "
           "echo ok",
           "ok\n");
    prints("cd \"$HOME\"; $W deep", "deep\n");
    prints("cd $TMPDIR; i=0; while [ $i -lt 2000 ]; do : >f$i; i=$((i+1)); done; mkdir '~0000000000000000'; echo "
           ">'~0000000000000000/x'; "
           "mkdir -p z/y/x/w; echo ok",
           "ok\n");
}

static void test_flood(void **state) {
    (void)state;
    spec s = sh("seq 1 2000000", PATIENCE);
    assert_int_equal(s.missing, 14888896 - 100000);
    assert_int_equal(strncmp(out, "1\n2\n3\n", 6), 0);
    assert_string_equal(out + s.out_len - 8, "2000000\n");
    s = sh("yes", 2000);
    assert_true(s.end.timed_out);
    assert_true(s.missing > 0);
    s = sh("awk 'BEGIN { for (i = 0; i < 100001; i++) printf \"\\303\\251\" }'", 10000); /* cut between characters */
    assert_int_equal(s.out_len % 2, 0);
    for (size_t i = 0; i < s.out_len; i += 2)
        assert_memory_equal(out + i, "\xc3\xa9", 2);
}

static void test_timeout(void **state) {
    (void)state;
    uint64_t before = wfi_sys_now_ms();
    spec s = sh("echo begun; sleep 1000", 2000); /* time enough to begin on a busy machine */
    assert_true(s.end.timed_out);
    assert_int_equal(s.end.signal, SIGTERM);
    assert_string_equal(out, "begun\n");
    assert_true(wfi_sys_now_ms() - before >= 2000);
    before = wfi_sys_now_ms();
    s = sh("trap '' TERM; echo begun; while :; do sleep 100; done", 2000);
    assert_true(s.end.timed_out);
    assert_int_equal(s.end.signal, SIGKILL);
    assert_true(wfi_sys_now_ms() - before >= 2400);
}

/* ---- what it leaves ---- */

static void daemons(void) {
    spec s = sh("$W daemon; echo done", 20000);
    assert_string_equal(out, "done\n");
    assert_true(s.end.left);
    assert_false(s.end.survived || s.end.timed_out);
    assert_int_equal(marked(), 0);
    s = sh("sleep 100 & sleep 100 & (setsid sleep 100 &) ; echo done", 20000);
    assert_true(s.end.left);
    s = sh("$W daemon; sleep 100", 300);
    assert_true(s.end.timed_out);
    assert_false(s.end.survived);
    assert_int_equal(marked(), 0);
}

/* ---- bombs: each behind a bound that the code under test has no part in, or not at all ---- */

#define BOUND 800 /* processes */

static bool set(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) close(fd);
    return good;
}

/* A cgroup below ours; "": none can be made. */
static const char *bound_make(void) {
    static char path[4500];
    char line[4096], *rest;
    FILE *f = fopen("/proc/self/cgroup", "r");
    bool made = false;
    while (!made && f != NULL && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if ((rest = strstr(line, ":pids:")) != NULL)
            snprintf(path, sizeof path, "/sys/fs/cgroup/pids%s%s", rest + 6, strrchr(base, '/'));
        else if (strncmp(line, "0::", 3) == 0)
            snprintf(path, sizeof path, "/sys/fs/cgroup%s%s", line + 3, strrchr(base, '/'));
        else
            continue;
        if (mkdir(path, 0755) != 0) continue;
        made = set(at("%s/pids.max", path), at("%d", BOUND));
        if (!made) rmdir(path);
    }
    if (f != NULL) fclose(f);
    if (!made) path[0] = '\0';
    return path;
}

/* Whoever is in it ends, without the help of the code under test. */
static void bound_end(const char *path) {
    set(at("%s/pids.max", path), "0");
    for (int i = 0; i < 60000 && rmdir(path) != 0; i++) {
        FILE *f = fopen(at("%s/cgroup.procs", path), "r");
        for (int pid; f != NULL && fscanf(f, "%d", &pid) == 1 && pid > 1;)
            kill(pid, SIGKILL);
        if (f != NULL) fclose(f);
        usleep(1000);
    }
}

/* The system's limit on the processes of a user, which does not hold root: all that there are, and BOUND. */
static bool bound_by_limit(void) {
    unsigned threads = 0;
    FILE *f = fopen("/proc/loadavg", "r");
    if (geteuid() == 0 || f == NULL || fscanf(f, "%*s %*s %*s %*u/%u", &threads) != 1) return false;
    fclose(f);
    struct rlimit limit = {threads + BOUND, threads + BOUND};
    return setrlimit(RLIMIT_NPROC, &limit) == 0;
}

/* Shell functions that halve what is to do: 2,048 processes, if they may. */
#define SHELL_BOMB "b() { if [ $1 -gt 0 ]; then b $(($1-1)) | b $(($1-1)) & wait; else sleep 2; fi; }; b 10"

static void explode(void) {
    static const char *const commands[] = {"$W bomb", "$W comet", SHELL_BOMB, "$W bomb & $W comet & sleep 0.2"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        uint64_t before = wfi_sys_now_ms();
        spec s = sh(commands[i], 1500);
        uint64_t took = wfi_sys_now_ms() - before;
        printf("# %-28.28s %5u ms%s%s%s\n", commands[i], (unsigned)took, s.end.crowded ? ", crowded" : "",
               s.end.timed_out ? ", timed out" : "", s.end.left ? ", left" : "");
        assert_null(s.end.failed);
        assert_false(s.end.survived);
        assert_int_equal(marked(), 0);
    }
}

/* counted: as where no cgroup is to be had. That and what finds none takes seconds of the whole machine: long campaigns only. */
static int bombs_in_bounds(const char *path, bool counted) {
    const char *campaign = getenv("WF_CAMPAIGN");
    wfi_jail here;
    if (path[0] != '\0' && !set(at("%s/cgroup.procs", path), "0")) return 2;
    if (path[0] == '\0' && !bound_by_limit()) return 77;
    wfi_jail_probe(&here, "/tmp"); /* there may be no cgroup to be had in a cgroup */
    if (counted || (here.holds & WF_HOLDS_CGROUP) == 0) jail.holds &= ~(uint32_t)WF_HOLDS_CGROUP;
    bool bounded = (jail.holds & (WF_HOLDS_CGROUP | WF_HOLDS_NPROC)) != 0;
    if (!bounded && (campaign == NULL || strcmp(campaign, "full") != 0)) return 77;
    explode();
    return 0;
}

/* False: not done here. */
static bool bombs(bool counted) {
    const char *path = bound_make();
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int code = bombs_in_bounds(path, counted);
        fflush(stdout);
        _exit(code);
    }
    waitpid(pid, &status, 0);
    if (path[0] != '\0') bound_end(path);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        puts("# no bombs here: nothing else would bound them, or they would be counted (WF_CAMPAIGN=full)");
        return false;
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return true;
}

static void test_daemons(void **state) {
    (void)state;
    daemons();
}

static void test_bombs(void **state) {
    (void)state;
    if (!bombs(false)) skip();
}

static void test_bombs_counted(void **state) {
    (void)state;
    if (jail.spaces == 0 || !bombs(true)) skip();
}

static void test_daemons_without_spaces(void **state) {
    (void)state;
    no_spaces();
    daemons();
}

static void test_bombs_without_spaces(void **state) {
    (void)state;
    if ((jail.holds & WF_HOLDS_CGROUP) == 0) skip(); /* nobody stops them for certain: see program.h */
    no_spaces();
    if (!bombs(false)) skip();
}

/* ---- escapes ---- */

static void writes(void) {
    if ((jail.holds & WF_HOLDS_FILES) == 0) skip();
    setenv("B", base, 1);
    static const char *const attempts[] = {"echo x >../secret",
                                           "echo x >$B/secret",
                                           "echo x >>$B/secret",
                                           "echo x >$B/new",
                                           "ln -s $B/secret link; echo x >link",
                                           "ln -sf .. up; echo x >up/secret",
                                           "rm -f $B/secret",
                                           "mv $B/secret .",
                                           "ln $B/secret hard; echo x >hard",
                                           "mkdir $B/dir",
                                           "mkfifo $B/fifo",
                                           "ln -s x $B/sym",
                                           "truncate -s 0 $B/secret",
                                           "chmod 777 $B && echo x >$B/new",
                                           "mount -t tmpfs none $B",
                                           "umount -l .git && echo x >.git/config",
                                           "unshare -Urm umount -l .git",
                                           "echo x >/proc/self/root$B/secret",
                                           "cd /proc/self/cwd/..; echo x >secret",
                                           "echo x >$B/tmp/other",
                                           "echo x >$B/home/x",
                                           "echo x >/dev/shm/wf-jail-test",
                                           "mv $B/tree $B/moved"};
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        sh(at("(%s) >/dev/null 2>&1", attempts[i]), PATIENCE);
        if (strcmp(get(at("%s/secret", base)), "outside\n") != 0) print_error("%s\n", attempts[i]);
        assert_string_equal(get(at("%s/secret", base)), "outside\n");
        assert_int_equal(entries(base), 4);
        assert_int_equal(entries(at("%s/tmp", base)), 0);
        assert_int_equal(entries(at("%s/home", base)), 2);
        assert_int_equal(access("/dev/shm/wf-jail-test", F_OK), -1);
    }
    prints("echo x >new && mkdir sub && echo y >sub/z && mv new sub/ && mv sub/z . && rm -r sub && cat z && rm z",
           "y\n");
    prints("echo x >/dev/null; echo x >$TMPDIR/t && mv $TMPDIR/t . && cat t && rm t", "x\n");
    prints("head -c 3 /dev/urandom | wc -c; head -c 3 /dev/zero | wc -c", "3\n3\n");
}

static void test_writes(void **state) {
    (void)state;
    writes();
}

/* Root writes in a tree of somebody else, and nowhere else, not by modes either. */
static void test_tree_of_others(void **state) {
    (void)state;
    if (geteuid() != 0 || jail.abi < 3) skip();
    setenv("B", base, 1);
    mkdir(at("%s/d", root), 0700);
    put(at("%s/d/f", root), "theirs\n");
    chmod(at("%s/d/f", root), 0600);
    chmod(root, 0755);
    assert_int_equal(system(at("chown -R 65534:65534 %s %s/secret; chmod 600 %s/secret", root, base, base)), 0);
    prints("echo x >new && mkdir e && echo y >>d/f && cat d/f new && rm -r new e && mv d/f g && cat g",
           "theirs\ny\nx\ntheirs\ny\n");
    prints("grep -h -e 'Cap[PEBAI]' /proc/self/status | tr -d '\\t\\n'",
           "CapInh:0000000000000000CapPrm:0000000000000002CapEff:0000000000000002CapBnd:0000000000000002CapAmb:"
           "0000000000000000");
    prints(
        "(echo x >$B/secret || chmod 666 $B/secret || chown 0 $B/secret || truncate -s 0 $B/secret || rm -f $B/secret) "
        "2>/dev/null || echo refused",
        "refused\n");
    prints("(chmod 777 g || chown 0 g) 2>/dev/null || echo refused", "refused\n");
    prints("(echo x >.git/config) 2>/dev/null; cat .git/config", "git\n");
    struct stat st;
    assert_int_equal(stat(at("%s/secret", base), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_uid, 65534);
}

/* What is in root's own tree may have several owners: commands can what tools can, and tar unpacks
 * as for a user. */
static void test_tree_of_several(void **state) {
    (void)state;
    if (geteuid() != 0 || jail.abi < 3) skip();
    mkdir(at("%s/d", root), 0755);
    put(at("%s/d/f", root), "theirs\n");
    assert_int_equal(system(at("cd %s && chown 1001 d/f && chmod 600 d/f && tar cf a.tar d", root)), 0);
    prints("cat d/f && echo y >>d/f && rm -r d && tar xf a.tar && cat d/f && stat -c %u d/f", "theirs\ntheirs\n0\n");
}

static void test_writes_without_spaces(void **state) {
    (void)state;
    no_spaces();
    writes();
}

static void test_git_and_wf(void **state) {
    (void)state;
    if (jail.spaces == 0) skip();
    static const char *const attempts[] = {"echo x >.git/config",
                                           "echo x >.git/hook",
                                           "rm -rf .git",
                                           "mv .git git2",
                                           "ln .git/config c; echo x >c",
                                           "echo x >.wf/log",
                                           "rm -rf .wf",
                                           "mv .wf wf2",
                                           "mkdir .wf/agents",
                                           "chmod 777 .git/config; echo x >.git/config",
                                           "umount .git; echo x >.git/config",
                                           "ln -s .git g; echo x >g/config",
                                           "cd .git; echo x >config",
                                           "for f in /proc/self/fd/*; do echo x >$f/.git/config; done"};
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        sh(at("(%s) >/dev/null 2>&1", attempts[i]), PATIENCE);
        assert_string_equal(get(at("%s/.git/config", root)), "git\n");
        assert_string_equal(get(at("%s/.wf/log", root)), "log\n");
        assert_int_equal(entries(at("%s/.git", root)), 1);
        assert_int_equal(entries(at("%s/.wf", root)), 1);
    }
    prints("cat .git/config .wf/log", "git\nlog\n");
}

/* Neither the run's log changes nor what its path leads to. */
static void test_log(void **state) {
    (void)state;
    if (jail.spaces == 0) skip();
    static const char *const attempts[] = {"echo x >>logs/a/log",
                                           "rm -f logs/a/log",
                                           "mv logs/a/log logs/a/b",
                                           "ln logs/a/log l; echo x >l",
                                           "mv logs/a logs/b; mkdir logs/a; echo x >logs/a/log",
                                           "mv logs old; mkdir -p logs/a; echo x >logs/a/log",
                                           "umount logs/a/log; echo x >logs/a/log",
                                           "mv .wf old"};
    char log[128];
    snprintf(log, sizeof log, "%s/logs/a/log", root);
    jail.log = log;
    assert_int_equal(system(at("mkdir -p %s/logs/a; chmod 777 %s/logs %s/logs/a; echo log >%s", root, root, root, log)),
                     0);
    chmod(log, 0666);
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        sh(at("(%s) >/dev/null 2>&1", attempts[i]), PATIENCE);
        assert_string_equal(get(log), "log\n");
    }
    prints("echo x >logs/a/f && mv logs/a/f logs/f && mv logs/f . && cat f", "x\n");
    snprintf(log, sizeof log, "%s/.wf/log", root); /* where it lies if nobody says otherwise */
    sh("mv .wf old; echo x >.wf/log", 10000);
    assert_string_equal(get(log), "log\n");
}

/* A descriptor from before the mounts would lead around them. */
static void test_descriptors(void **state) {
    (void)state;
    prints("for fd in 3 4 5 6 7 8 9 63; do readlink /proc/$$/fd/$fd; done; ls /proc/self/fd | tr '\\n' ' '",
           "0 1 2 3 ");
    sh("for fd in /proc/[0-9]*/fd/* /proc/[0-9]*/root$PWD /proc/[0-9]*/cwd; do echo x >$fd/.git/config; "
       "echo x >$fd/.wf/log; chmod 600 $fd/../secret; done 2>/dev/null",
       10000);
    struct stat st;
    assert_int_equal(stat(at("%s/secret", base), &st), 0);
    if (jail.spaces != 0) {
        assert_string_equal(get(at("%s/.git/config", root)), "git\n");
        assert_string_equal(get(at("%s/.wf/log", root)), "log\n");
        assert_int_equal(st.st_mode & 0777, 0644);
    }
}

/* Landlock knows no right to change these. */
static void test_modes(void **state) {
    (void)state;
    struct stat before, after;
    if (jail.spaces == 0 || !jail.frozen) skip();
    setenv("B", base, 1);
    static const char *const attempts[] = {"chmod 600 $B/secret",
                                           "chown 65534 $B/secret",
                                           "touch -d 2001-01-01 $B/secret",
                                           "chmod 700 $B/home",
                                           "chmod 700 ..",
                                           "for f in /proc/self/fd/*; do chmod 600 $f/../secret; done",
                                           "mount -o remount,rw / && chmod 600 $B/secret",
                                           "unshare -Ur chmod 600 $B/secret",
                                           "unshare -Urm sh -c 'mount -o remount,bind,rw / && chmod 600 $B/secret'"};
    assert_int_equal(stat(at("%s/secret", base), &before), 0);
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++)
        sh(at("(%s) >/dev/null 2>&1", attempts[i]), PATIENCE);
    assert_int_equal(stat(at("%s/secret", base), &after), 0);
    assert_int_equal(before.st_mode, after.st_mode);
    assert_int_equal(before.st_uid, after.st_uid);
    assert_int_equal(before.st_mtime, after.st_mtime);
    assert_int_equal(stat(at("%s/home", base), &after), 0);
    assert_int_equal(after.st_mode & 0777, 0755);
    for (int i = 0; i < 2; i++) /* the kernel keeps such a mode for all that come later */
        prints("chmod 400 /proc/version 2>/dev/null; stat -c %a /proc/version", "444\n");
    prints("touch f && chmod 640 f && stat -c %a f && rm f && touch $TMPDIR/g && chmod 604 $TMPDIR/g && stat -c %a "
           "$TMPDIR/g",
           "640\n604\n");
}

/* .git as a link to a folder, and as a file that names one: what is guarded is that folder. */
static void linked_git(const char *how) {
    static const char *const attempts[] = {"echo x >.git/config",
                                           "echo x >real/config",
                                           "echo x >real/hook",
                                           "rm -rf real",
                                           "mv real moved; echo x >moved/config",
                                           "rm .git; mkdir .git; echo x >.git/config",
                                           "rm -f .git; ln -s other .git; mkdir other; echo x >other/config",
                                           "mv .git old; mkdir .git",
                                           "rm .git"};
    char link[64];
    assert_int_equal(system(at("cd %s && mv .git real && %s", root, how)), 0);
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        sh(at("(%s) >/dev/null 2>&1", attempts[i]), PATIENCE);
        assert_string_equal(get(at("%s/real/config", root)), "git\n");
        assert_int_equal(entries(at("%s/real", root)), 1);
        ssize_t n = readlink(at("%s/.git", root), link, sizeof link);
        if (strncmp(how, "ln", 2) == 0)
            assert_true(n == 4 && memcmp(link, "real", 4) == 0);
        else
            assert_string_equal(get(at("%s/.git", root)), "gitdir: real\n");
    }
}

static void test_git_as_link(void **state) {
    (void)state;
    if (jail.spaces == 0) skip();
    linked_git("ln -s real .git");
}

static void test_git_as_file(void **state) {
    (void)state;
    if (jail.spaces == 0) skip();
    linked_git("echo 'gitdir: real' >.git");
}

/* What the environment tells git comes as numbered pairs: none of them is missed where one is a secret. */
static void test_git_settings(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"core.abbrev", "12"},
                                           {"http.extraheader", "Authorization: Basic planted"},
                                           {"core.pager", "cat"},
                                           {"url.https://me:planted@host/.insteadof", "x"}};
    static const char echo[] = "for i in 0 1 2; do eval echo \\$GIT_CONFIG_KEY_$i=\\$GIT_CONFIG_VALUE_$i; done; "
                               "echo $GIT_CONFIG_COUNT; env | grep -c planted";
    char name[32];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (size_t k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "GIT_CONFIG_%s_%zu", k == 0 ? "KEY" : "VALUE", i);
            setenv(name, pairs[i][k], 1);
        }
    setenv("GIT_CONFIG_COUNT", "4", 1);
    prints(echo, "core.abbrev=12\ncore.pager=cat\nsafe.directory=*\n3\n0\n");
    unsetenv("GIT_CONFIG_VALUE_0"); /* half a pair, as another filter leaves it */
    setenv("GIT_CONFIG_COUNT", "1000000000", 1);
    prints(echo, "core.pager=cat\nsafe.directory=*\n=\n2\n0\n");
    unsetenv("GIT_CONFIG_COUNT");
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (size_t k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "GIT_CONFIG_%s_%zu", k == 0 ? "KEY" : "VALUE", i);
            unsetenv(name);
        }
}

/* A tree with HEAD, objects and refs is a repository itself, to git. */
static void test_repository_by_shape(void **state) {
    (void)state;
    static const struct {
        const char *before, *command, *aside;
    } rows[] = {{"true", "mkdir objects refs; echo x >HEAD; echo x >config", "HEAD.refused-"},
                {"true", "echo x >commondir; echo x >HEAD; echo x >config", "HEAD.refused-"},
                {"echo x >HEAD", "mkdir objects refs", "refs.refused-"},
                {"mkdir objects refs", "echo x >HEAD", "HEAD.refused-"},
                {"echo x >HEAD", "echo x >commondir", "commondir.refused-"},
                {"mkdir objects refs; echo x >HEAD", "echo y >config", ""}, /* the user's own */
                {"true", "mkdir objects; echo x >HEAD; echo x >config", ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(system(at("cd %s && %s && chmod -R a+rwX . 2>/dev/null; true", root, rows[i].before)), 0);
        spec s = sh(rows[i].command, PATIENCE);
        assert_null(s.end.failed);
        assert_int_equal(s.end.code, 0);
        assert_memory_equal(s.end.aside, rows[i].aside, strlen(rows[i].aside) + (rows[i].aside[0] == '\0'));
        if (s.end.aside[0] != '\0') assert_int_equal(access(at("%s/%s", root, s.end.aside), F_OK), 0);
        assert_string_equal(sh("true", PATIENCE).end.aside, "");
        assert_int_equal(system(at("cd %s && rm -rf HEAD* objects* refs* commondir* config", root)), 0);
    }
}

/* The folder that a link or a file .git means is mounted, but not those that it lies in: another one in its place is found by
 * nobody. The same for a link .wf. */
static void moved_git(const char *how) {
    struct stat st;
    assert_int_equal(system(at("cd %s && mkdir deep && mv .git deep/real && %s", root, how)), 0);
    spec s = sh("mv deep moved && mkdir -p deep/real && echo x >deep/real/config", PATIENCE);
    assert_null(s.end.failed);
    assert_int_equal(s.end.code, 0);
    assert_memory_equal(s.end.aside, ".git.refused-", 13);
    assert_int_equal(lstat(at("%s/.git", root), &st), -1);
    assert_int_equal(lstat(at("%s/%s", root, s.end.aside), &st), 0);
    assert_string_equal(get(at("%s/moved/real/config", root)), "git\n");
    assert_string_equal(sh("true", PATIENCE).end.aside, "");
}

static void test_git_as_link_moved(void **state) {
    (void)state;
    if (jail.spaces == 0) skip();
    moved_git("ln -s deep/real .git");
}

static void test_git_as_file_moved(void **state) {
    (void)state;
    if (jail.spaces == 0) skip();
    moved_git("echo 'gitdir: deep/real' >.git");
}

/* Two commands at a time: what the second one finds is the first one's, and not to be made again. */
static void git_overlapping(const char *how, const char *expected) {
    const char *const argv[2][4] = {{"sh", "-c",
                                     "mkdir evil; echo evil >evil/config; rm -f .git; ln -s evil .git; touch first; "
                                     "while [ -e first ]; do sleep 0.02; done",
                                     NULL},
                                    {"sh", "-c", "touch second; while [ -e second ]; do sleep 0.02; done", NULL}};
    static const char *const begun[] = {"first", "second"};
    uint32_t place[2];
    assert_int_equal(system(at("cd %s && %s", root, how)), 0);
    int fd = open(root, O_RDONLY | O_DIRECTORY);
    wfi_guard_ids(fd, first_guard);
    close(fd);
    for (size_t i = 0; i < 2; i++) {
        spec s = spec_of(argv[i], PATIENCE);
        place[i] = start(&s);
        while (access(at("%s/%s", root, begun[i]), F_OK) != 0)
            usleep(1000);
    }
    assert_string_equal(get(at("%s/.git/config", root)), "evil\n");
    for (size_t i = 0; i < 2; i++) {
        unlink(at("%s/%s", root, begun[i]));
        while (children.at[place[i]].state != WFI_CHILD_DONE)
            turn();
    }
    assert_string_equal(get(at("%s/.git/config", root)), expected);
    memset(first_guard, 0, sizeof first_guard);
    for (size_t i = 0; i < 2; i++)
        wfi_child_release(&children, place[i]);
}

static void test_git_overlapping(void **state) {
    (void)state;
    git_overlapping("rm -r .git", "(none)");
}

static void test_git_link_overlapping(void **state) {
    (void)state;
    git_overlapping("mv .git real && ln -s real .git", "git\n");
}

static void test_wf_as_link(void **state) {
    (void)state;
    static const char *const attempts[] = {"rm .wf; mkdir .wf; echo x >.wf/log",
                                           "mv .wf old; ln -s other .wf; mkdir other", "rm .wf",
                                           "echo x >.wf/log; echo x >deep/real/log; rm -rf deep"};
    if (jail.spaces == 0) skip();
    assert_int_equal(system(at("cd %s && mkdir deep && mv .wf deep/real && ln -s deep/real .wf", root)), 0);
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        spec s = sh(at("(%s) 2>/dev/null", attempts[i]), PATIENCE);
        assert_string_equal(get(at("%s/.wf/log", root)), "log\n");
        assert_int_equal(strncmp(s.end.aside, ".wf.refused-", 12) == 0, i < 2);
    }
    sh("rm .wf; mv deep moved; mkdir -p deep/real; echo x >deep/real/log", 10000);
    assert_int_equal(access(at("%s/.wf", root), F_OK), -1);
}

/* A .git where there was none is put aside: what it holds is not lost, but no git finds it. */
static void made_git(void) {
    static const char *const attempts[] = {"mkdir .git && echo x >.git/config",
                                           "echo 'gitdir: evil' >.git",
                                           "ln -s evil .git",
                                           "ln -s nowhere .git",
                                           "ln -s . .git",
                                           "ln -s .git .git",
                                           "mkdir -m 0 .git",
                                           "(sleep 0.05; mkdir .git) & exec sleep 0.2"};
    assert_int_equal(system(at("rm -rf %s/.git", root)), 0);
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        int before = entries(root);
        spec s = sh(attempts[i], PATIENCE);
        struct stat st;
        assert_null(s.end.failed);
        assert_memory_equal(s.end.aside, ".git.refused-", 13);
        assert_int_equal(lstat(at("%s/.git", root), &st), -1);
        assert_int_equal(lstat(at("%s/%s", root, s.end.aside), &st), 0);
        assert_int_equal(entries(root), before + 1);
    }
    prints("mkdir sub && mkdir sub/.git && ls -A sub", ".git\n"); /* deeper ones are its own */
    assert_string_equal(sh("true", PATIENCE).end.aside, "");
}

/* A checkout of somebody else's, as in a container. */
static void test_git_works(void **state) {
    (void)state;
    if (geteuid() != 0 || system("git --version >/dev/null 2>&1") != 0) skip();
    assert_int_equal(system(at("cd %s && rm -rf .git && git init -q . && git -c user.name=n -c user.email=e commit -q "
                               "--allow-empty -m first && chown -R 65534:65534 . && echo x >f",
                               root)),
                     0);
    prints("git status --short f && git log --format=%s && git config safe.directory", "?? f\nfirst\n*\n");
}

static void test_git_made(void **state) {
    (void)state;
    made_git();
}

static void test_git_made_without_spaces(void **state) {
    (void)state;
    no_spaces();
    made_git();
}

/* Links that lead nowhere, or around in a circle, or to the tree itself, were there before: commands run all the same. */
static void test_git_as_bad_link(void **state) {
    (void)state;
    static const char *const targets[] = {"nowhere", ".git", ".", "/nowhere/at/all"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        assert_int_equal(system(at("rm -rf %s/.git; ln -s %s %s/.git", root, targets[i], root)), 0);
        spec s = sh("echo x >f && cat f && rm f", PATIENCE);
        assert_null(s.end.failed);
        assert_string_equal(out, "x\n");
        assert_string_equal(s.end.aside, "");
    }
}

/* What commands of older kernels may do, each with the rights that its Landlock knows. */
static void test_writes_of_older_kernels(void **state) {
    (void)state;
    no_spaces();
    for (int abi = jail.abi - 1; abi >= 3; abi--) { /* before 3, nothing keeps them from truncating what is outside */
        jail.abi = abi;
        writes();
    }
}

static void test_hidden(void **state) {
    (void)state;
    if (jail.spaces == 0) skip();
    setenv("B", base, 1);
    static const char *const files[] = {".pgpass",          ".cargo/credentials.toml",     ".claude/.credentials.json",
                                        ".m2/settings.xml", ".local/share/keyrings/login", ".vault-token"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        assert_int_equal(system(at("mkdir -p $(dirname %s/home/%s)", base, files[i])), 0);
        put(at("%s/home/%s", base, files[i]), "privatestuff\n");
        prints(at("cat $B/home/%s 2>/dev/null; echo end", files[i]), "end\n");
    }
    prints("cat $B/home/.ssh/id $B/home/.netrc 2>/dev/null; ls $B/home/.ssh 2>/dev/null; echo end", "end\n");
    unsetenv("HOME"); /* then it is where the system's list of users has it */
    snprintf(jail.home, sizeof jail.home, "%s/home", base);
    prints("cat $B/home/.ssh/id 2>/dev/null; echo end", "end\n");
    setenv("HOME", jail.home, 1);
}

/* Who listens there does for others what the user may do: the terminals of tmux, the keys of ssh's agent. */
static void test_hidden_sockets(void **state) {
    (void)state;
    static const char *const variables[][2] = {{"TMUX", "%s/home/other,1234,0"},
                                               {"SSH_AUTH_SOCK", "%s/home/agent"},
                                               {"DOCKER_HOST", "unix://%s/home/docker"},
                                               {"CONTAINER_HOST", "unix://%s/home/podman"},
                                               {"NOMAD_HOST", "unix://%s/home/nomad"},
                                               {"XDG_RUNTIME_DIR", "%s/home/runtime"},
                                               {"DBUS_SESSION_BUS_ADDRESS", "unix:path=%s/home/bus,guid=1"}};
    static const char *const sockets[] = {"tmux",   "other", "agent",          "docker",
                                          "podman", "nomad", "runtime/socket", "bus"};
    if (jail.spaces == 0) skip();
    mkdir(at("%s/home/tmux-%u", base, (unsigned)geteuid()), 0700);
    setenv("TMUX_TMPDIR", at("%s/home", base), 1);
    mkdir(at("%s/home/runtime", base), 0700);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        setenv(variables[i][0], at(variables[i][1], base), 1);
    setenv("PLAIN_HOST", "example.com", 1);
    for (size_t i = 0; i < sizeof sockets / sizeof *sockets; i++) {
        char named[128], name[32];
        snprintf(name, sizeof name, "%s", sockets[i]);
        if (i == 0) snprintf(name, sizeof name, "tmux-%u/default", (unsigned)geteuid());
        snprintf(named, sizeof named, "%s/home/%s", base, name);
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        strcpy(a.sun_path, named);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
        assert_int_equal(listen(fd, 1), 0);
        setenv("NAMED", named, 1);
        prints("$W named; echo $TMUX$SSH_AUTH_SOCK$DOCKER_HOST$CONTAINER_HOST$NOMAD_HOST$PLAIN_HOST",
               "refused\nexample.com\n");
        close(fd);
    }
    unsetenv("TMUX_TMPDIR");
    unsetenv("PLAIN_HOST");
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i][0]);
}

/* A /var/run that is a folder of its own, as busybox has it, and sockets that are mounted there. */
static void test_hidden_in_var_run(void **state) {
    (void)state;
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/var/run/docker.sock"};
    int status;
    if (jail.spaces == 0) skip();
    pid_t pid = fork();
    if (pid == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("var", "/var", "tmpfs", 0, NULL) != 0 || mkdir("/var/run", 0755) != 0 ||
            bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || chmod(a.sun_path, 0666) != 0 || listen(fd, 1) != 0)
            _exit(77);
        setenv("NAMED", a.sun_path, 1);
        sh("$W named", PATIENCE);
        _exit(strcmp(out, "refused\n") == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Where the workspace lies in a folder that would be hidden, that one is not. */
static void test_tree_in_hidden(void **state) {
    (void)state;
    if (jail.spaces == 0) skip();
    char *old = strdup(root);
    snprintf(root, sizeof root, "%s/home/.ssh/tree", base);
    mkdir(root, 0777);
    wfi_jail_probe(&jail, root);
    assert_int_equal(jail.spaces, best.spaces);
    prints("echo x >f && cat f", "x\n");
    /* nor if HOME and TMPDIR lead there by links, and with no /dev/shm of its own over its directory */
    symlink(".", at("%s/home/again", base));
    setenv("HOME", at("%s/home/again", base), 1);
    wfi_jail_probe(&jail, root);
    assert_int_equal(jail.spaces, best.spaces);
    prints("echo x >f && cat f", "x\n");
    symlink(".ssh", at("%s/home/tmp", base));
    setenv("TMPDIR", at("%s/home/tmp", base), 1);
    strcpy(root, old);
    free(old);
    prints("echo x >$TMPDIR/f && cat $TMPDIR/f", "x\n");
    char shared[] = "/dev/shm/wf-jail-XXXXXX";
    if (mkdtemp(shared) == NULL) return;
    symlink(shared, at("%s/home/shared", base));
    setenv("TMPDIR", at("%s/home/shared", base), 1);
    prints("echo x >$TMPDIR/f && cat $TMPDIR/f", "x\n");
    assert_int_equal(rmdir(shared), 0);
}

/* Memory that processes share by numbers outlives them, and has no path that Landlock could know. */
static void test_shared_memory(void **state) {
    (void)state;
    if (jail.spaces == 0) skip();
    struct shm_info before, after;
    key_t key = (key_t)getpid();
    int ours = shmget(key, 4096, IPC_CREAT | 0600);
    assert_true(ours >= 0);
    setenv("SHARED", at("%d", (int)key), 1);
    assert_true(shmctl(0, SHM_INFO, (struct shmid_ds *)&before) >= 0);
    spec s = sh("exec $W memory", PATIENCE);
    assert_true(shmctl(0, SHM_INFO, (struct shmid_ds *)&after) >= 0);
    shmctl(ours, IPC_RMID, NULL);
    assert_string_equal(out, "refused\n");
    assert_int_equal(s.end.code, 0);
    assert_int_equal(before.used_ids, after.used_ids);
}

static void prying(void) {
    char text[20];
    snprintf(text, sizeof text, "%d", (int)getpid());
    setenv("VICTIM", text, 1);
    if (jail.spaces != 0) setenv("SPACES", "1", 1);
    prints("exec $W ptrace", "refused\n");
    prints("exec $W pry", "refused\n");
    if ((jail.holds & WF_HOLDS_SIGNALS) != 0) prints("exec $W kill", "refused\n");
    unsetenv("SPACES");
    prints("grep -la plantedkey /proc/[0-9]*/environ 2>/dev/null | wc -l", "0\n");
    if (jail.abi < 6) return;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(a.sun_path + 1, mark);
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(mark));
    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(fd, 1), 0);
    setenv("ABSTRACT", mark, 1);
    prints("exec $W abstract", "refused\n");
    close(fd);
}

static void test_prying(void **state) {
    (void)state;
    prying();
}

static void test_prying_without_spaces(void **state) {
    (void)state;
    no_spaces();
    prying();
}

/* ---- ends of ours ---- */

/* A parent killed at once, with a daemon, a deaf one and files: all goes. */
static void dies_with_parent(void) {
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t parent = fork();
    if (parent == 0) {
        const char *argv[] = {
            "sh", "-c",
            "$W daemon; trap '' TERM; mkdir -p $TMPDIR/a/b; echo >$TMPDIR/a/b/c; sleep 100 & echo >ready; sleep 100",
            NULL};
        setenv("W", self, 1);
        spec s = spec_of(argv, 100000);
        start(&s);
        while (access(at("%s/ready", root), F_OK) != 0)
            usleep(1000);
        if (write(fds[1], "r", 1) != 1) _exit(1);
        for (;;)
            pause();
    }
    char c;
    assert_int_equal(read(fds[0], &c, 1), 1);
    close(fds[0]);
    close(fds[1]);
    assert_true(marked() > 0);
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    for (int i = 0; i < 60000 && (marked() > 0 || entries(at("%s/tmp", base)) > 0); i++)
        usleep(1000);
    assert_int_equal(marked(), 0);
    assert_int_equal(entries(at("%s/tmp", base)), 0);
    unlink(at("%s/ready", root));
}

static void test_dies_with_parent(void **state) {
    (void)state;
    dies_with_parent();
}

static void test_dies_with_parent_without_spaces(void **state) {
    (void)state;
    no_spaces();
    dies_with_parent();
}

/* Given up half way: the same. */
static void test_given_up(void **state) {
    (void)state;
    const char *argv[] = {"sh", "-c", "$W daemon; echo >ready; sleep 100", NULL};
    setenv("W", self, 1);
    spec s = spec_of(argv, 100000);
    uint32_t place = start(&s);
    while (access(at("%s/ready", root), F_OK) != 0)
        usleep(1000);
    wfi_child_release(&children, place);
    for (int i = 0; i < 60000 && children.at[place].state != WFI_CHILD_FREE; i++)
        turn();
    assert_int_equal(children.at[place].state, WFI_CHILD_FREE);
    assert_int_equal(marked(), 0);
}

/* Without a jail: for git and for programs that stand in for models. */
static void test_trusted(void **state) {
    (void)state;
    const char *argv[] = {
        "sh", "-c", "echo $HOME; env | grep -c planted; echo x >$B/home/made; cat $B/home/.netrc; echo $EXTRA", NULL};
    const char *env[] = {"EXTRA=more", NULL};
    setenv("B", base, 1);
    spec s = spec_of(argv, PATIENCE);
    s.p.jail = NULL;
    s.p.env = env;
    run(s);
    assert_string_equal(out, at("%s/home\n0\nprivatestuff\nmore\n", base));
    assert_string_equal(get(at("%s/home/made", base)), "x\n");
}

/* ---- as somebody else ---- */

static void mount_below(void) {
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) _exit(3);
    if (mkdir(at("%s/sub", root), 0777) != 0 || mount("none", at("%s/sub", root), "tmpfs", 0, "mode=777") != 0)
        _exit(3);
}

/* What is mounted there, as a container's volumes are, cannot be parted from the tree by who is not root. */
static void mounts_below(void) {
    assert_int_equal(jail.spaces != 0, best.spaces != 0);
    prints("echo x >sub/f && mv sub/f f && cat f && rm f", "x\n");
    assert_int_equal(entries(at("%s/sub", root)), 0);
}

static void as_nobody_in_child(bool spaces, void (*what)(void)) {
    fflush(stdout);
    if (geteuid() != 0) skip();
    pid_t pid = fork();
    if (pid == 0) {
        if (what == mounts_below) mount_below();
        if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
        wfi_jail_probe(&jail, root);
        wfi_jail_shut();
        if (!spaces) no_spaces();
        what();
        wfi_children_close(&children);
        fflush(stdout);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void all_of_it(void) {
    char text[WFI_JAIL_TEXT];
    wfi_jail_text(&jail, text);
    printf("# as nobody%s: %s\n", jail.spaces == 0 ? ", without namespaces" : "", text);
    if (jail.spaces != 0) bombs(false); /* without, nobody stops them for certain: see program.h */
    daemons();
    prying();
    writes();
    if (jail.spaces != 0) prints("cat /proc/self/oom_score_adj", "800\n");
    prints("id -u; touch mine; ls -ln mine | awk '{ print $3 }'; rm mine", "65534\n65534\n");
    if (jail.spaces != 0) prints("(echo x >.git/config) 2>/dev/null; cat .git/config", "git\n");
    prints("cd $TMPDIR; mkdir -p a/b; chmod 0 a/b; chmod 0 a; cd ..; chmod 0 tmp .; echo ok", "ok\n");
    assert_int_equal(entries(at("%s/tmp", base)), 0);
}

static void test_nobody(void **state) {
    (void)state;
    as_nobody_in_child(true, all_of_it);
}

static void test_nobody_mounts_below(void **state) {
    (void)state;
    as_nobody_in_child(true, mounts_below);
}

static void test_nobody_without_spaces(void **state) {
    (void)state;
    as_nobody_in_child(false, all_of_it);
}

/* ---- hosts with less ---- */

/* In a child that has no /proc: nobody knows who descends from whom. */
static void without_proc(void (*what)(void)) {
    fflush(stdout);
    if (geteuid() != 0) skip();
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) _exit(3);
        if (umount2("/proc", MNT_DETACH) != 0) _exit(3);
        wfi_jail_probe(&jail, root);
        wfi_jail_shut();
        no_spaces();
        what();
        wfi_children_close(&children);
        fflush(stdout);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 3) skip();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(marked(), 0);
}

/* What stays in its process group is ended all the same, and no promise is made for the rest. */
static void stay_without_proc(void) {
    char text[WFI_JAIL_TEXT];
    wfi_jail_text(&jail, text);
    assert_non_null(strstr(text, "no /proc"));
    assert_null(strstr(text, "only counted"));
    assert_true(sh("sleep 100; sleep 100", 300).end.timed_out);
    assert_true(sh("trap '' TERM; echo deaf; while :; do sleep 1; done", 300).end.timed_out);
    assert_int_equal(sh("sleep 100 & sleep 100 & echo left", PATIENCE).end.code, 0);
    assert_true(sh("setsid sleep 10 & sleep 0.2; echo left", PATIENCE).end.survived); /* it ends by itself */
    sleep(11);
}

static void test_stay_without_proc(void **state) {
    (void)state;
    without_proc(stay_without_proc);
}

/* Given up after it was silent for longer than its end may take: what it started is ended all the same. */
static void given_up_late(void) {
    const char *argv[] = {"sh", "-c", "sleep 100; echo", NULL};
    assert_true(setgid(65534) == 0 && setuid(65534) == 0); /* root's processes are counted all the time */
    wfi_jail_probe(&jail, root);
    wfi_jail_shut();
    no_spaces();
    spec s = spec_of(argv, 100000);
    uint32_t place = start(&s);
    sleep(1);
    wfi_child_release(&children, place);
    for (int i = 0; i < 60000 && children.at[place].state != WFI_CHILD_FREE; i++)
        turn();
    assert_int_equal(children.at[place].state, WFI_CHILD_FREE);
}

static void test_given_up_late(void **state) {
    (void)state;
    without_proc(given_up_late);
}

/* The line says of each protection what holds, and never of one that there is none where another does the same. */
static void test_text(void **state) {
    (void)state;
    char text[WFI_JAIL_TEXT], home[4096];
    wfi_jail bare = {.holds = WF_HOLDS_PRIVILEGES};
    wfi_jail spaces = {.holds = WF_HOLDS_PRIVILEGES | WF_HOLDS_SPACES | WF_HOLDS_SIGNALS, .spaces = 1, .frozen = true};
    wfi_jail_text(&bare, text);
    assert_non_null(strstr(text, "wherever you may"));
    wfi_jail_text(&spaces, text);
    assert_null(strstr(text, "wherever you may"));
    assert_non_null(strstr(text, "no Landlock"));
    if (best.spaces == 0) skip();
    strcpy(home, getenv("HOME"));
    wfi_jail_text(&best, text);
    assert_non_null(strstr(text, "keys in HOME hidden"));
    unsetenv("HOME");
    wfi_jail_probe(&jail, root);
    setenv("HOME", home, 1);
    wfi_jail_text(&jail, text);
    const struct passwd *user = getpwuid(geteuid());
    bool known = user != NULL && strlen(user->pw_dir) > 1;
    assert_string_equal(jail.home, known ? user->pw_dir : "");
    assert_non_null(strstr(text, known ? "keys in HOME hidden" : "keys not hidden for want of a HOME"));
}

/* What is missing is named. */
static void without_null(void) {
    wfi_program_end end;
    if (mount("none", "/dev", "tmpfs", 0, NULL) != 0) _exit(3);
    end = sh("true", PATIENCE).end;
    assert_non_null(end.failed);
    assert_string_equal(end.failed, "open /dev/null");
    assert_int_equal(end.error, ENOENT);
}

static void test_without_null(void **state) {
    (void)state;
    without_proc(without_null);
}

static void few_files(void) {
    const struct rlimit few = {40, 40};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    wfi_program_end end = sh("true", PATIENCE).end;
    assert_non_null(end.failed);
    assert_non_null(strstr(end.failed, "ulimit -n"));
}

static void test_few_files(void **state) {
    (void)state;
    as_nobody_in_child(false, few_files);
}

static void deny(unsigned number, unsigned error) {
    struct sock_filter f[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                              BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
                              BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
                              BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog filter = {sizeof f / sizeof f[0], f};
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
    wfi_jail_probe(&jail, root);
}

/* Where the system refuses capset (SystemCallFilter=~@privileged): who has no capability has none to drop. */
static void no_capset(void) {
    deny(SYS_capset, EPERM);
    assert_int_equal(jail.spaces, 0); /* there it would have some */
    prints("grep CapEff /proc/self/status", "CapEff:\t0000000000000000\n");
}

/* Before Linux 5.12 not all mounts become read-only at once, but one does. */
static void no_mount_setattr(void) {
    deny(442, ENOSYS);
    assert_int_equal(jail.spaces, best.spaces == 0 ? 0 : CLONE_NEWPID | CLONE_NEWUSER);
    assert_false(jail.frozen);
    prints("(echo x >.git/config; mv .wf w; echo x >.wf/log) 2>/dev/null; cat .git/config .wf/log", "git\nlog\n");
}

/* A container may refuse what its kernel knows: then it is not claimed, and commands run all the same. */
static void no_landlock(void) {
    char text[WFI_JAIL_TEXT];
    deny(446, EPERM);
    wfi_jail_text(&jail, text);
    assert_int_equal(jail.abi, 0);
    assert_memory_equal(text, "no Landlock", 11);
    prints("echo x >f && cat f && rm f", "x\n");
}

static void test_no_landlock(void **state) {
    (void)state;
    if (best.abi == 0) skip();
    as_nobody_in_child(true, no_landlock);
}

static void test_no_mount_setattr(void **state) {
    (void)state;
    as_nobody_in_child(true, no_mount_setattr);
}

static void test_no_capset(void **state) {
    (void)state;
    as_nobody_in_child(true, no_capset);
}

/* ---- no network ---- */

/* jail: of a command that must not reach a server of ours. */
static void calls(const char *expected) {
    int port = 20000 + (int)getpid() % 10000, server = -1;
    while (server < 0)
        server = loopback(++port, true);
    setenv("PORT", at("%d", port), 1);
    prints("$W call", expected);
    struct pollfd p = {.fd = server, .events = POLLIN};
    bool reached = poll(&p, 1, 0) == 1;
    close(server);
    assert_int_equal(reached, strncmp(expected, "reached", 7) == 0);
}

static void offline(void) {
    char text[WFI_JAIL_TEXT];
    assert_true(wfi_jail_cut(&jail, root));
    if ((jail.holds & WF_HOLDS_NETWORK) == 0) return;
    wfi_jail_text(&jail, text);
    assert_non_null(strstr(text, "; no network but their own loopback"));
    calls("refused, served\n");
    uint64_t before = wfi_sys_now_ms();
    prints("getent hosts wf.example.com; echo end", "end\n");
    assert_true(wfi_sys_now_ms() - before < 20000);
}

static void test_offline(void **state) {
    (void)state;
    calls("reached, served\n");
    if (best.spaces == 0 && best.abi < 4) skip();
    offline();
}

static void test_offline_as_nobody(void **state) {
    (void)state;
    if (best.spaces == 0 && best.abi < 4) skip();
    as_nobody_in_child(true, offline);
}

/* Landlock knows of TCP alone, and of no loopback. */
static void offline_by_landlock(void) {
    char text[WFI_JAIL_TEXT];
    deny(SYS_unshare, EPERM);
    assert_true(wfi_jail_cut(&jail, root));
    assert_int_equal(jail.holds & (WF_HOLDS_TCP | WF_HOLDS_NETWORK), WF_HOLDS_TCP);
    wfi_jail_text(&jail, text);
    assert_non_null(strstr(text, "; no TCP, but UDP and other sockets are open"));
    calls("refused, not served\n");
}

static void offline_by_nothing(void) {
    deny(SYS_unshare, EPERM);
    deny(446, EPERM);
    assert_false(wfi_jail_cut(&jail, root));
    assert_int_equal(jail.holds & (WF_HOLDS_TCP | WF_HOLDS_NETWORK), 0);
}

static void test_offline_by_landlock(void **state) {
    (void)state;
    if (best.abi < 4) skip();
    as_nobody_in_child(true, offline_by_landlock);
}

static void test_offline_by_nothing(void **state) {
    (void)state;
    as_nobody_in_child(true, offline_by_nothing);
}

/* ---- what it costs ---- */

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void measure(const char *name, const wfi_jail *j) {
    static uint64_t us[200];
    const char *argv[] = {"/bin/true", NULL};
    for (size_t i = 0; i < 200; i++) {
        spec s = spec_of(argv, PATIENCE);
        s.p.jail = j;
        us[i] = now_us();
        assert_int_equal(run(s).end.code, 0);
        us[i] = now_us() - us[i];
    }
    qsort(us, 200, sizeof us[0], compare);
    printf("# spawn, %s: median of 200: %u us\n", name, (unsigned)us[100]);
}

static void test_cost(void **state) {
    (void)state;
    measure("all", &best);
    no_spaces();
    measure("without namespaces", &jail);
    measure("without a jail", NULL);
}

/* This program, where everybody may run it: the tree may lie below a folder that is root's alone. */
static void copy_self(char *place) {
    static char bytes[65536];
    size_t n;
    if (mkdtemp(place) == NULL || chmod(place, 0755) != 0) exit(1);
    snprintf(self, sizeof self, "%s/attack", place);
    FILE *from = fopen("/proc/self/exe", "r"), *to = fopen(self, "w");
    if (from == NULL || to == NULL) exit(1);
    while ((n = fread(bytes, 1, sizeof bytes, from)) > 0)
        fwrite(bytes, 1, n, to);
    fclose(from);
    if (fclose(to) != 0 || chmod(self, 0755) != 0) exit(1);
}

int main(int argc, char **argv) {
    char text[WFI_JAIL_TEXT];
    if (argc > 1) {
        int code = attack(argv[1]);
        fflush(stdout);
        _exit(code); /* no look for leaks */
    }
    const char *home = getenv("HOME"); /* not /tmp, of which commands have their own, and so could do no harm there */
    bool fits = home != NULL && home[0] == '/' && strlen(home) < 40;
    strcpy(where, access("/srv", W_OK) == 0 ? "/srv" : fits && access(home, W_OK) == 0 ? home : "/tmp");
    char place[64];
    snprintf(place, sizeof place, "%s/wf-attack-XXXXXX", where);
    copy_self(place);
    first = getpid();
    wfi_jail_probe(&best, "/tmp");
    wfi_jail_text(&best, text);
    printf("# here: %s\n", text);
    wfi_jail_shut();
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_ends),
        CASE(test_input),
        CASE(test_surroundings),
        CASE(test_own_shm),
        CASE(test_own_in_guarded),
        CASE(test_repository_by_shape),
        CASE(test_git_settings),
        CASE(test_privdir),
        CASE(test_flood),
        CASE(test_timeout),
        CASE(test_daemons),
        CASE(test_daemons_without_spaces),
        CASE(test_writes),
        CASE(test_writes_without_spaces),
        CASE(test_tree_of_others),
        CASE(test_tree_of_several),
        CASE(test_git_and_wf),
        CASE(test_log),
        CASE(test_descriptors),
        CASE(test_git_as_link),
        CASE(test_git_as_file),
        CASE(test_git_as_bad_link),
        CASE(test_git_as_link_moved),
        CASE(test_git_as_file_moved),
        CASE(test_git_overlapping),
        CASE(test_git_link_overlapping),
        CASE(test_wf_as_link),
        CASE(test_git_works),
        CASE(test_git_made),
        CASE(test_git_made_without_spaces),
        CASE(test_writes_of_older_kernels),
        CASE(test_modes),
        CASE(test_hidden),
        CASE(test_hidden_sockets),
        CASE(test_hidden_in_var_run),
        CASE(test_tree_in_hidden),
        CASE(test_shared_memory),
        CASE(test_prying),
        CASE(test_prying_without_spaces),
        CASE(test_dies_with_parent),
        CASE(test_dies_with_parent_without_spaces),
        CASE(test_given_up),
        CASE(test_trusted),
        CASE(test_bombs),
        CASE(test_bombs_without_spaces),
        CASE(test_bombs_counted),
        CASE(test_nobody),
        CASE(test_nobody_mounts_below),
        CASE(test_nobody_without_spaces),
        CASE(test_stay_without_proc),
        CASE(test_given_up_late),
        CASE(test_text),
        CASE(test_without_null),
        CASE(test_few_files),
        CASE(test_no_capset),
        CASE(test_no_mount_setattr),
        CASE(test_no_landlock),
        CASE(test_offline),
        CASE(test_offline_as_nobody),
        CASE(test_offline_by_landlock),
        CASE(test_offline_by_nothing),
        CASE(test_cost),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* the leak checker looks into us */
    unlink(self);
    rmdir(place);
    return failed;
}
