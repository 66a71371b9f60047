/* test_home: the user's home directory as commands see it, in each of the ways that there are: what
 * is read, what is written and where that goes, what stays hidden, who can get at what lies below,
 * and what is left. And /tmp, which is their own. */
#include "src/port/jail/child.h"
#include "src/port/jail/home.h"
#include "src/port/jail/program.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE 100000 /* ms, for what ends by itself, on the busiest machine */

static char base[96], home[128], root[160]; /* where all lies, the user's home, the workspace */
static wfi_jail best, jail;
static wfi_home shown;
static wfi_children children;
static char buf[1 << 18];
static char *out;
static pid_t first;

static char *at(const char *format, ...) {
    static char room[8][4500];
    static int turn;
    va_list args;
    turn = (turn + 1) % 8;
    va_start(args, format);
    vsnprintf(room[turn], sizeof room[turn], format, args);
    va_end(args);
    return room[turn];
}

/* A file, with the folders that it lies in. */
static void put(const char *path, const char *text) {
    char folder[4500];
    strcpy(folder, path);
    for (char *slash = folder; (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
        *slash = '\0';
        mkdir(folder, 0755);
    }
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

static int entries(const char *dir) {
    int n = -2;
    DIR *d = opendir(dir);
    while (d != NULL && readdir(d) != NULL)
        n++;
    if (d != NULL) closedir(d);
    return n;
}

/* Names, kinds, sizes and times of all that is in the home: nothing of a command's may get there.
 * */
static void survey(char *text, size_t size) {
    FILE *p = popen(at("cd '%s' && find . -printf '%%p %%y %%s %%T@ %%m\\n' | sort", home), "r");
    assert_non_null(p);
    text[fread(text, 1, size - 1, p)] = '\0';
    pclose(p);
}

static char before[65536], after[65536];

static int setup(void **state) {
    (void)state;
    if (getpid() != first) _exit(1);
    const char *own = getenv("WF_TEST_WHERE");
    snprintf(base, sizeof base, "%s/wf-home-XXXXXX", own);
    if (mkdtemp(base) == NULL || chmod(base, 0755) != 0) return -1;
    snprintf(home, sizeof home, "%s/home", base);
    snprintf(root, sizeof root, "%s/tree", base);
    put(at("%s/.wf/log", root), "log\n");
    mkdir(at("%s/tmp", base), 0777);
    chmod(at("%s/tmp", base), 0777);
    put(at("%s/.tools/settings", home), "stable\n");
    put(at("%s/.tools/bin/tool", home), "#!/bin/sh\ncat \"$HOME/.tools/settings\"\n");
    chmod(at("%s/.tools/bin/tool", home), 0755);
    put(at("%s/.cache/old", home), "old\n");
    put(at("%s/.ssh/id", home), "private\n");
    put(at("%s/.netrc", home), "private\n");
    put(at("%s/.config/gh/hosts", home), "private\n");
    put(at("%s/.config/plain", home), "plain\n");
    setenv("TMPDIR", at("%s/tmp", base), 1);
    setenv("HOME", home, 1);
    setenv("B", base, 1);
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("CARGO_HOME");
    wfi_children_init(&children, 8);
    jail = best;
    shown.holder = shown.dir.fd = -1;
    return 0;
}

/* Nothing is left of the run. */
static int teardown(void **state) {
    (void)state;
    int bad = 0;
    if (getpid() != first) _exit(1);
    wfi_children_close(&children);
    wfi_home_close(&shown);
    if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD) bad = printf("# a child is left\n");
    if (entries(at("%s/tmp", base)) != 0) bad = printf("# something is left in TMPDIR\n");
    if (system(at("chmod -R u+rwx %s; rm -rf %s", base, base)) != 0) bad = 1;
    return bad == 0 ? 0 : -1;
}

/* ---- commands ---- */

typedef struct spec {
    wfi_program p;
    wfi_program_end end;
} spec;

static void run_spec(void *arg) {
    spec *s = arg;
    static char room[200000];
    wf_str head, tail;
    s->p.tree_fd = WFI_CHILD_KEEP;
    s->p.out.buf = room;
    wfi_program_run(&s->p, &s->end);
    wfi_gather_parts(&s->p.out, &head, &tail);
    if (write(1, s, sizeof *s) < 0 || write(1, head.ptr, head.len) < 0) _exit(9);
}

static uint32_t start(spec *s) {
    uint32_t place;
    int low = open(s->p.tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = fcntl(low, F_DUPFD_CLOEXEC, 32);
    close(low);
    wfi_child_job j = {.run = run_spec, .arg = s, .keep = fd, .out = buf, .cap = sizeof buf - 1, .programs = true};
    j.deadline = s->p.deadline + 10000;
    j.spaces = jail.spaces;
    j.home = jail.shown;
    assert_int_equal(wfi_child_start(&children, &j, &place), WF_OK);
    close(fd);
    return place;
}

static void wait_for(uint32_t place) {
    while (children.at[place].state != WFI_CHILD_DONE) {
        struct pollfd p[WFI_CHILD_MAX];
        int fds[WFI_CHILD_MAX];
        uint32_t n = wfi_children_fds(&children, fds);
        for (uint32_t i = 0; i < n; i++)
            p[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
        poll(p, n, n > 0 ? 100 : 1);
        wfi_children_pump(&children, wfi_sys_now_ms());
    }
}

static wfi_program_end sh_in(const char *tree, const char *command) {
    const char *argv[] = {"sh", "-c", command, NULL};
    spec s;
    memset(&s, 0, sizeof s);
    s.p.argv = argv;
    s.p.jail = &jail;
    s.p.tree = s.p.dir = tree;
    s.p.out.cap = 100000;
    s.p.deadline = wfi_sys_now_ms() + PATIENCE;
    uint32_t place = start(&s);
    wait_for(place);
    assert_true(children.at[place].len >= sizeof s);
    buf[children.at[place].len] = '\0';
    wfi_child_release(&children, place);
    memcpy(&s, buf, sizeof s);
    out = buf + sizeof s;
    if (s.end.failed != NULL) print_error("%s: %s\n", s.end.failed, strerror(s.end.error));
    return s.end;
}

static void prints_in(const char *tree, const char *command, const char *expected) {
    assert_null(sh_in(tree, command).failed);
    assert_string_equal(out, expected);
}

static void prints(const char *command, const char *expected) {
    prints_in(root, command, expected);
}

static void open_home(wfi_home_kind kind) {
    wfi_home_open(&shown, &jail, root);
    jail.shown = &shown;
    assert_int_equal(shown.kind, kind);
}

/* Skips where this system has none. */
static void open_layers(void) {
    if (best.spaces == 0) skip();
    wfi_home_open(&shown, &jail, root);
    jail.shown = &shown;
    if (shown.kind != WFI_HOME_LAYERS) skip();
}

/* As somebody else, in mounts of their own, after `prepare`: root alone can. */
static void as_nobody(void (*prepare)(void), void (*what)(void)) {
    fflush(stdout);
    if (geteuid() != 0) skip();
    assert_int_equal(system(at("chown -R 65534:65534 %s", base)), 0);
    pid_t pid = fork();
    if (pid == 0) {
        first = getpid();
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) _exit(3);
        if (prepare != NULL) prepare();
        if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
        wfi_jail_probe(&jail, root);
        best = jail;
        wfi_jail_shut();
        what();
        wfi_children_close(&children);
        wfi_home_close(&shown);
        fflush(stdout);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 3) skip();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- layers ---- */

static void toolchain(void) {
    survey(before, sizeof before);
    open_layers();
    prints("echo $HOME; PATH=$HOME/.tools/bin:$PATH; tool", at("%s\nstable\n", home));
    prints("echo new >~/.cache/new && mv ~/.cache/old ~/.cache/older && echo more >>~/.tools/settings && mkdir -p "
           "~/go/pkg && "
           "echo x >~/go/pkg/x && rm -r ~/.tools/bin && mkdir ~/.tools/bin && ls -A ~/.tools/bin && echo done",
           "done\n");
    prints("cat ~/.cache/new ~/.cache/older ~/.tools/settings ~/go/pkg/x; ls ~/.cache ~/.tools/bin",
           at("new\nold\nstable\nmore\nx\n%s/.cache:\nnew\nolder\n\n%s/.tools/bin:\n", home, home));
    prints("cat ~/.ssh/id ~/.netrc ~/.config/gh/hosts 2>/dev/null; cat ~/.config/plain", "plain\n");
    survey(after, sizeof after);
    assert_string_equal(after, before);
}

static void test_layers(void **state) {
    (void)state;
    toolchain();
}

static void test_layers_as_nobody(void **state) {
    (void)state;
    as_nobody(NULL, toolchain);
}

/* Two at a time write to one layer. */
static void at_once(void) {
    open_layers();
    spec s[4];
    uint32_t place[4];
    const char *argv[] = {"sh", "-c", "i=0; while [ $i -lt 50 ]; do echo x >>~/.cache/many; i=$((i+1)); done", NULL};
    for (int i = 0; i < 4; i++) {
        static char room[4][8192];
        memset(&s[i], 0, sizeof s[i]);
        s[i].p.argv = argv;
        s[i].p.jail = &jail;
        s[i].p.tree = s[i].p.dir = root;
        s[i].p.out.cap = 1000;
        s[i].p.deadline = wfi_sys_now_ms() + PATIENCE;
        place[i] = start(&s[i]);
        children.at[place[i]].out = room[i];
        children.at[place[i]].cap = sizeof room[i];
    }
    for (int i = 0; i < 4; i++) {
        wait_for(place[i]);
        wfi_child_release(&children, place[i]);
    }
    prints("wc -l <~/.cache/many", "200\n");
}

static void test_layers_at_once(void **state) {
    (void)state;
    at_once();
}

/* The workspace lies in the home, which is the usual case: it is itself there, and what is around
 * it is a layer. */
static void workspace_inside(void) {
    snprintf(root, sizeof root, "%s/src/work", home);
    put(at("%s/.wf/log", root), "log\n");
    mkdir(at("%s/sub", root), 0755);
    put(at("%s/f", root), "one\n");
    if (geteuid() == 65534) assert_int_equal(access(root, W_OK), 0);
    open_layers();
    prints("pwd; echo new >made; echo x >../beside; (echo x >.wf/log) 2>/dev/null; cat ../beside .wf/log",
           at("%s\nx\nlog\n", root));
    assert_string_equal(get(at("%s/made", root)), "new\n");
    assert_int_equal(access(at("%s/src/beside", home), F_OK), -1);
    prints_in(at("%s/sub", root), "cat ../f; (echo x >../f) 2>/dev/null; echo y >g; cat ../f ../../beside",
              "one\none\nx\n");
    put(at("%s/f.new", root), "two\n"); /* by another agent, as tools write */
    assert_int_equal(rename(at("%s/f.new", root), at("%s/f", root)), 0);
    prints_in(at("%s/sub", root), "cat ../f g", "two\ny\n");
    assert_string_equal(get(at("%s/sub/g", root)), "y\n");
}

static void test_workspace_inside(void **state) {
    (void)state;
    workspace_inside();
}

static void test_workspace_inside_as_nobody(void **state) {
    (void)state;
    as_nobody(NULL, workspace_inside);
}

/* ... or is the home, or has it in it: then it is the real one, and keys stay hidden. */
static void test_workspace_is_home(void **state) {
    (void)state;
    static const char *const roots[] = {"%s/home", "%s"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(root, sizeof root, roots[i], base);
        open_layers();
        char text[WFI_JAIL_TEXT];
        wfi_jail_text(&jail, text);
        assert_non_null(strstr(text, "HOME is in the workspace"));
        prints("echo new >~/made; cat ~/.ssh/id ~/.netrc 2>/dev/null; cat ~/.tools/settings ~/made", "stable\nnew\n");
        assert_string_equal(get(at("%s/made", home)), "new\n");
        wfi_home_close(&shown);
    }
}

/* What a command leaves in the layer leads the next one nowhere, and shows no key. */
static void test_links_in_layer(void **state) {
    (void)state;
    mkdir(at("%s/elsewhere", base), 0755);
    put(at("%s/elsewhere/key", base), "private\n");
    assert_int_equal(symlink(at("%s/elsewhere", base), at("%s/.aws", home)), 0);
    put(at("%s/open/file", base), "open\n");
    open_layers();
    prints("cat ~/.aws/key 2>/dev/null; rm ~/.aws && ln -s $B/open ~/.aws && cat ~/.aws/file", "open\n");
    prints("cat $B/elsewhere/key ~/.ssh/id 2>/dev/null; cat $B/open/file", "open\n");
    prints("(rm -rf ~/.config || mv ~/.config ~/c || mv ~/.ssh ~/s || umount ~/.ssh) 2>/dev/null; cat "
           "~/.config/gh/hosts ~/c/gh/hosts "
           "~/s/id ~/.ssh/id 2>/dev/null; ln ~/.netrc ~/n 2>/dev/null; cat ~/n 2>/dev/null; echo none",
           "none\n");
    prints("cat ~/.config/gh/hosts 2>/dev/null; rm -rf ~/.gnupg; ln -s / ~/.gnupg; echo none", "none\n");
    prints("echo mine >~/.azure; mkdir ~/.vault-token; cat ~/.azure", "mine\n");
    put(at("%s/.kube/config", home), "private\n"); /* made while the run goes on */
    put(at("%s/.azure/key", home), "private\n");
    put(at("%s/.vault-token", home), "private\n");
    prints("cat ~/.kube/config ~/.azure/key ~/.vault-token 2>/dev/null; cat ~/.azure; ls / | grep -c -x usr",
           "mine\n1\n");
}

/* Who keeps the layer is out of reach, and so is the layer but through the overlay. */
static void attacks(void) {
    open_layers();
    setenv("KEEPER", at("%ld", shown.pid), 1);
    setenv("RUN", shown.dir.path, 1);
    prints("echo x >~/made; kill -9 $KEEPER 2>/dev/null; kill -0 $KEEPER 2>/dev/null && echo reached; "
           "ls /proc/$KEEPER/root /proc/$KEEPER/cwd /proc/$KEEPER/fd 2>/dev/null; "
           "ls $RUN/layers/upper $RUN/layers/work $RUN/layers/lower 2>/dev/null; "
           "(mkdir $RUN/new || touch $RUN/layers/new || rmdir $RUN/layers || mv $RUN $RUN.x) 2>/dev/null; "
           "(umount ~ || umount -l ~ || mount -o remount,rw / || mount --bind / ~/.cache) 2>/dev/null; "
           "unshare -Urm sh -c 'umount ~; umount -l ~/.ssh; cat ~/.ssh/id; mount -o remount,rw /' 2>/dev/null; "
           "nsenter -t $KEEPER -m ls 2>/dev/null; cat ~/made",
           "x\n");
    assert_int_equal(kill((pid_t)shown.pid, 0), 0);
    assert_int_equal(access(at("%s/made", home), F_OK), -1);
    prints("cat ~/made", "x\n");
    prints("ls /proc/self/fd | wc -l", "4\n");
}

static void test_attacks(void **state) {
    (void)state;
    attacks();
}

static void test_attacks_as_nobody(void **state) {
    (void)state;
    as_nobody(NULL, attacks);
}

/* A holder that is gone is named, and what it kept is removed all the same. */
static void test_holder_killed(void **state) {
    (void)state;
    open_layers();
    kill((pid_t)shown.pid, SIGKILL);
    wfi_program_end end = sh_in(root, "echo");
    assert_non_null(end.failed);
    assert_non_null(strstr(end.failed, "has that been killed?"));
}

/* The run is killed at once, with much in the layer. */
static void dies(void) {
    int fds[2];
    char c;
    assert_int_equal(pipe(fds), 0);
    pid_t parent = fork();
    if (parent == 0) {
        first = getpid();
        wfi_home_open(&shown, &jail, root);
        jail.shown = &shown;
        sh_in(root, "mkdir -p ~/.cache/a/b && rm -r ~/.tools && chmod 0 ~/.cache/a");
        if (write(fds[1], "r", 1) != 1) _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(fds[0], &c, 1), 1);
    close(fds[0]);
    close(fds[1]);
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    for (int i = 0; i < 60000 && entries(at("%s/tmp", base)) > 0; i++)
        usleep(1000);
    assert_int_equal(entries(at("%s/tmp", base)), 0);
}

static void test_run_killed(void **state) {
    (void)state;
    dies();
}

static void test_run_killed_as_nobody(void **state) {
    (void)state;
    as_nobody(NULL, dies);
}

/* ---- other mounts ---- */

static void mount_in_home(void) {
    if (mkdir(at("%s/disk", home), 0777) != 0 || mount("none", at("%s/disk", home), "tmpfs", 0, "mode=777") != 0)
        _exit(3);
    put(at("%s/disk/f", home), "there\n");
}

/* What is mounted in the home is seen, and not written to. */
static void test_mounts_below(void **state) {
    (void)state;
    fflush(stdout);
    if (geteuid() != 0) skip();
    pid_t pid = fork();
    if (pid == 0) {
        first = getpid();
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) _exit(3);
        mount_in_home();
        open_layers();
        prints("cat ~/disk/f; (echo x >~/disk/g) 2>/dev/null || echo refused; echo x >~/beside && cat ~/beside",
               "there\nrefused\nx\n");
        wfi_children_close(&children);
        wfi_home_close(&shown);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 3) skip();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void mount_overlay(void) {
    char *o = at("lowerdir=%s/tmp,upperdir=%s/o/u,workdir=%s/o/w", base, base, base);
    if (system(at("mkdir -p %s/o/u %s/o/w", base, base)) != 0 || chmod(at("%s/o/u", base), 0777) != 0) _exit(3);
    if (mount("overlay", at("%s/tmp", base), "overlay", 0, o) != 0) _exit(3);
}

/* Containers have an overlay below all: no layer can lie on it, but in memory. */
static void small(void) {
    open_home(WFI_HOME_LAYERS);
    assert_true(shown.small);
    prints("echo x >~/made; rm -r ~/.tools; cat ~/made", "x\n");
    prints("cat ~/made; ls -d ~/.tools 2>/dev/null", "x\n");
    assert_int_equal(access(at("%s/made", home), F_OK), -1);
}

static void test_layer_on_overlay(void **state) {
    (void)state;
    if (best.spaces == 0) skip();
    as_nobody(mount_overlay, small);
}

/* ---- without an overlay ---- */

static void put_caches(void) {
    put(at("%s/.cargo/registry/cache/x/a.crate", home), "crate\n");
    put(at("%s/.cargo/bin/cargo", home), "cargo\n");
    put(at("%s/.cargo/.package-cache", home), "");
    put(at("%s/.npm/_cacache/index-v5/aa/bb/cc", home), "index\n");
    put(at("%s/.npm/_cacache/content-v2/sha512/aa/bb/cc", home), "content\n");
    put(at("%s/.m2/repository/org/a/1/a.jar", home), "jar\n");
    put(at("%s/go/pkg/mod/cache/download/x.org/m/@v/v1.zip", home), "zip\n");
    put(at("%s/.local/lib/python3.9/site-packages/mod/__init__.py", home), "py\n");
}

/* The home is read-only; toolchains find what the user has, and what an earlier command has added.
 * */
static void caches(void) {
    open_home(WFI_HOME_CACHES);
    prints("cat ~/.tools/settings; (echo x >~/made || echo x >~/.cargo/made) 2>/dev/null || echo refused",
           "stable\nrefused\n");
    prints(
        "cat $CARGO_HOME/registry/cache/x/a.crate $CARGO_HOME/bin/cargo "
        "$npm_config_cache/_cacache/content-v2/sha512/aa/bb/cc "
        "${MAVEN_OPTS#*=}/org/a/1/a.jar $GOPATH/pkg/mod/cache/download/x.org/m/@v/v1.zip "
        "$PYTHONUSERBASE/lib/python3.9/site-packages/users.pth",
        at("crate\ncargo\ncontent\njar\nzip\nimport site; site.addsitedir(r'%s/.local/lib/python3.9/site-packages')\n",
           home));
    prints("set -e; echo more >>$npm_config_cache/_cacache/index-v5/aa/bb/cc; echo b "
           ">$CARGO_HOME/registry/cache/x/b.crate; "
           "echo lock >$CARGO_HOME/.package-cache; mkdir $XDG_CACHE_HOME/go-build; echo c >$XDG_CACHE_HOME/go-build/c; "
           "mkdir -p ${MAVEN_OPTS#*=}/org/a/2; echo done",
           "done\n");
    prints("cat $npm_config_cache/_cacache/index-v5/aa/bb/cc $CARGO_HOME/registry/cache/x/b.crate "
           "$XDG_CACHE_HOME/go-build/c",
           "index\nmore\nb\nc\n");
}

static void test_caches_without_spaces(void **state) {
    (void)state;
    if ((best.holds & WF_HOLDS_FILES) == 0) skip();
    put_caches();
    survey(before, sizeof before);
    jail.spaces = 0;
    jail.frozen = false;
    jail.holds &= ~(uint32_t)WF_HOLDS_SPACES;
    caches();
    survey(after, sizeof after);
    assert_string_equal(after, before);
}

/* With namespaces, but no overlay: mounts below the home are not this user's to part from it. Keys
 * are hidden all the same. */
static void caches_and_keys(void) {
    caches();
    prints("cat ~/.ssh/id ~/.netrc 2>/dev/null; cat ~/disk/f", "there\n");
}

static void test_caches_in_spaces(void **state) {
    (void)state;
    if (best.spaces == 0) skip();
    put_caches();
    as_nobody(mount_in_home, caches_and_keys);
}

/* TMPDIR lies in the home: a layer below itself there cannot be. */
static void tmp_in_home(void) {
    mkdir(at("%s/tmp", home), 0777);
    setenv("TMPDIR", at("%s/tmp", home), 1);
    open_layers();
    prints("echo x >~/made; echo y >$TMPDIR/f; cat ~/made $TMPDIR/f; ls ~/tmp/*/layers", "x\ny\n");
    prints("cat ~/made", "x\n");
    wfi_home_close(&shown);
    assert_int_equal(entries(at("%s/tmp", home)), 0);
    assert_int_equal(access(at("%s/made", home), F_OK), -1);
}

static void test_tmp_in_home(void **state) {
    (void)state;
    tmp_in_home();
}

static void test_tmp_in_home_as_nobody(void **state) {
    (void)state;
    as_nobody(NULL, tmp_in_home);
}

/* Nothing would keep what commands write out of the home: they see an empty one. */
static void test_no_protection(void **state) {
    (void)state;
    jail.spaces = 0;
    jail.frozen = false;
    jail.holds = WF_HOLDS_PRIVILEGES;
    open_home(WFI_HOME_PRIVATE);
    prints("ls -A ~ | wc -l; echo x >~/made", "0\n");
    assert_int_equal(access(at("%s/made", home), F_OK), -1);
}

/* What variables say lies elsewhere gets a place as well, though the home has a layer. */
static void test_caches_elsewhere(void **state) {
    (void)state;
    put(at("%s/cargo/registry/cache/x/a.crate", base), "crate\n");
    setenv("CARGO_HOME", at("%s/cargo", base), 1);
    open_layers();
    prints("cat $CARGO_HOME/registry/cache/x/a.crate; echo x >$CARGO_HOME/new; echo ${GOPATH-unset}", "crate\nunset\n");
    prints("cat $CARGO_HOME/new", "x\n");
    assert_int_equal(entries(at("%s/cargo", base)), 1);
}

/* ---- which home ---- */

static void test_odd_homes(void **state) {
    (void)state;
    static const char *const empty[] = {"/", "/nowhere/at/all", "/dev/null"};
    for (size_t i = 0; i < 3; i++) {
        setenv("HOME", empty[i], 1);
        open_home(WFI_HOME_PRIVATE);
        prints("ls -A ~ | wc -l; echo x >~/made", "0\n");
        wfi_home_close(&shown);
    }
    assert_int_equal(symlink("home", at("%s/link", base)), 0);
    setenv("HOME", at("%s/link", base), 1);
    open_layers();
    prints("echo $HOME; echo x >~/made; cat ~/.ssh/id ~/made $B/home/made 2>/dev/null", at("%s/link\nx\nx\n", base));
    assert_int_equal(access(at("%s/made", home), F_OK), -1);
}

/* Settings of the user's that lie elsewhere are found, and keys among them hidden. */
static void test_config_elsewhere(void **state) {
    (void)state;
    put(at("%s/config/git/config", base), "[user]\n");
    put(at("%s/config/gh/hosts", base), "private\n");
    setenv("XDG_CONFIG_HOME", at("%s/config", base), 1);
    setenv("XDG_RUNTIME_DIR", at("%s/runtime", base), 1);
    open_layers();
    prints("cat $XDG_CONFIG_HOME/git/config; cat $XDG_CONFIG_HOME/gh/hosts 2>/dev/null; echo ${XDG_RUNTIME_DIR-unset}",
           "[user]\nunset\n");
}

/* ---- /tmp ---- */

static void test_tmp(void **state) {
    (void)state;
    char place[] = "/tmp/wf-home-XXXXXX";
    if (best.spaces == 0 || mkdtemp(place) == NULL) skip();
    chmod(place, 0755);
    put(at("%s/env/bin/there", place), "#!/bin/sh\ncat ${0%/bin/*}/lib\n");
    put(at("%s/env/lib", place), "library\n");
    put(at("%s/secret", place), "outside\n");
    mkdir(at("%s/tree", place), 0755);
    chmod(at("%s/env/bin/there", place), 0755);
    char *path = strdup(getenv("PATH"));
    setenv("PATH", at("%s/env/bin:%s", place, path), 1);
    unsetenv("TMPDIR");
    setenv("P", place, 1);
    open_home(best.spaces != 0 ? shown.kind : WFI_HOME_PRIVATE);
    snprintf(root, sizeof root, "%s/tree", place);
    prints("echo x >/tmp/f && mktemp /tmp/XXXXXX >/dev/null && cat $TMPDIR/f /var/tmp/f; there; cat $P/secret "
           "2>/dev/null; "
           "echo y >made; pwd",
           at("x\nx\nlibrary\n%s\n", root));
    assert_string_equal(get(at("%s/made", root)), "y\n");
    prints("(echo x >$P/env/new) 2>/dev/null || echo refused; ls -d /tmp/.X11-unix 2>/dev/null; ls -A $P | grep -v -e "
           "env -e tree",
           "refused\n");
    setenv("PATH", path, 1);
    free(path);
    setenv("TMPDIR", at("%s/tmp", base), 1);
    wfi_home_close(&shown);
    assert_int_equal(access("/tmp/f", F_OK), -1);
    assert_int_equal(system(at("rm -rf %s", place)), 0);
}

static void test_text(void **state) {
    (void)state;
    static const char *const said[] = {"HOME empty", "no overlay: HOME yours, read-only",
                                       "HOME yours, written to a layer"};
    char text[WFI_JAIL_TEXT];
    for (int kind = 0; kind < 3; kind++) {
        shown =
            (wfi_home){.kind = (wfi_home_kind)kind, .root = "/tree", .real = "/home/me", .holder = -1, .dir.fd = -1};
        jail.shown = &shown;
        wfi_jail_text(&jail, text);
        assert_non_null(strstr(text, said[kind]));
    }
    shown.kind = WFI_HOME_PRIVATE;
}

int main(void) {
    const char *user = getenv("HOME"); /* not /tmp, which commands have their own of */
    bool fits = user != NULL && user[0] == '/' && strlen(user) < 60;
    setenv("WF_TEST_WHERE", access("/srv", W_OK) == 0 ? "/srv" : fits ? user : "/var/tmp", 1);
    first = getpid();
    wfi_jail_probe(&best, "/");
    wfi_jail_shut();
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_layers),
        CASE(test_layers_as_nobody),
        CASE(test_layers_at_once),
        CASE(test_workspace_inside),
        CASE(test_workspace_inside_as_nobody),
        CASE(test_workspace_is_home),
        CASE(test_links_in_layer),
        CASE(test_attacks),
        CASE(test_attacks_as_nobody),
        CASE(test_holder_killed),
        CASE(test_run_killed),
        CASE(test_run_killed_as_nobody),
        CASE(test_mounts_below),
        CASE(test_layer_on_overlay),
        CASE(test_caches_without_spaces),
        CASE(test_caches_in_spaces),
        CASE(test_tmp_in_home),
        CASE(test_tmp_in_home_as_nobody),
        CASE(test_no_protection),
        CASE(test_caches_elsewhere),
        CASE(test_odd_homes),
        CASE(test_config_elsewhere),
        CASE(test_tmp),
        CASE(test_text),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
