/* test_write: the tools write and edit through the public platform: what they store, what they refuse, and that nothing
 * outside of the workspace, in .git or in .wf is touched, whatever paths and links say. */
#include "tests/port/toolbox.h"
#include "src/port/tools/confine.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define OUTSIDE    "path leads outside the workspace: "
#define GUARDED    "tools do not write to .git, to .wf and to the run's log: "
#define REPOSITORY "git would take the folder for a repository, which tools do not write to: "

static char text[17 << 20];

static const char *content(const char *name) {
    FILE *f = fopen(at("%s", name), "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    return text;
}

static bool exists(const char *name) {
    struct stat st;
    return lstat(at("%s", name), &st) == 0;
}

static unsigned mode_of(const char *name) {
    struct stat st;
    assert_int_equal(lstat(at("%s", name), &st), 0);
    return st.st_mode & 07777;
}

/* Entries below the workspace and beside it: nothing is left behind by a call that failed. */
static int entries(void) {
    char command[200];
    int n = 0;
    snprintf(command, sizeof command, "find %s | wc -l", base);
    FILE *p = popen(command, "r");
    assert_int_equal(fscanf(p, "%d", &n), 1);
    pclose(p);
    return n;
}

static const char *write_to(const char *path, const char *words) {
    char input[9000];
    snprintf(input, sizeof input, "{\"path\":\"%s\",\"content\":\"%s\"}", path, words);
    return ask("write", input);
}

static const char *edit(const char *path, const char *old, const char *new) {
    char input[9000];
    snprintf(input, sizeof input, "{\"path\":\"%s\",\"old\":\"%s\",\"new\":\"%s\"}", path, old, new);
    return ask("edit", input);
}

static const char *edit_all(const char *path, const char *old, const char *new) {
    char input[9000];
    snprintf(input, sizeof input, "{\"path\":\"%s\",\"old\":\"%s\",\"new\":\"%s\",\"all\":true}", path, old, new);
    return ask("edit", input);
}

/* ---- write ---- */

static void test_write(void **state) {
    (void)state;
    int before = entries();
    good(write_to("new.txt", "one\\ntwo\\n"), "made new.txt: 2 lines, 8 bytes\n");
    assert_string_equal(content("new.txt"), "one\ntwo\n");
    good(write_to("./src/../new.txt", "three"), "replaced new.txt: 1 lines, 5 bytes\n");
    assert_string_equal(content("new.txt"), "three");
    good(write_to("new.txt", ""), "replaced new.txt: 0 lines, 0 bytes\n");
    assert_string_equal(content("new.txt"), "");
    char path[200];
    snprintf(path, sizeof path, "%s/new.txt", root);
    good(write_to(path, "x\\u0000y\\r\\n"), "replaced new.txt: 1 lines, 5 bytes\n");
    content("new.txt");
    assert_memory_equal(text, "x\0y\r\n", 6);
    write_to("new.txt", "\\ud800\\u00e9");
    assert_string_equal(content("new.txt"), "\xef\xbf\xbd\xc3\xa9");
    assert_int_equal(entries(), before + 1);
    good(write_to("a/b/c/d.txt", "deep"), "made a/b/c/d.txt: 1 lines, 4 bytes\n");
    assert_string_equal(content("a/b/c/d.txt"), "deep");
    good(write_to("e/../f/g", "x"), "made f/g: 1 lines, 1 bytes\n");
    assert_int_equal(chdir("/"), 0);
    good(ask_in("src", "write", "{\"path\":\"n\",\"content\":\"x\"}"), "made n: 1 lines, 1 bytes\n");
    assert_string_equal(content("src/n"), "x");
}

static void test_write_refusals(void **state) {
    (void)state;
    int before = entries();
    bad(ask("write", "{\"content\":\"x\"}"), "write: \"path\" is missing");
    bad(ask("write", "{\"path\":\"x\"}"), "write: \"content\" is missing");
    bad(ask("write", "{\"path\":\"x\",\"content\":7}"), "write: \"content\" must be a string");
    bad(write_to("src", "x"), "it is a directory, not a file: src");
    bad(write_to("", "x"), "it is a directory, not a file: .");
    bad(write_to(".", "x"), "it is a directory");
    bad(write_to("src/..", "x"), "it is a directory");
    bad(write_to("fresh/", "x"), "it is a directory, not a file: fresh/");
    bad(write_to("fresh/more/.", "x"), "it is a directory");
    bad(write_to("README.md/x", "x"), "not a directory: README.md/x");
    bad(write_to("fresh/more/a\\u0000b", "x"), "zero byte");
    char name[400], long_path[8500];
    memset(name, 'n', 300);
    strcpy(name + 300, "");
    snprintf(long_path, sizeof long_path, "fresh/more/%s", name);
    bad(write_to(long_path, "x"), "path is too long");
    memset(long_path, 'p', 5000);
    strcpy(long_path + 5000, "");
    bad(write_to(long_path, "x"), "path is too long");
    assert_int_equal(entries(), before);
    assert_int_equal(mkfifo(at("fifo"), 0666), 0);
    assert_int_equal(symlink("fifo", at("to-fifo")), 0);
    bad(write_to("fifo", "x"), "neither a regular file nor a directory: fifo");
    bad(write_to("to-fifo", "x"), "neither a regular file nor a directory");
    bad(edit("fifo", "x", "y"), "neither a regular file nor a directory: fifo");
    if (mknod(at("null"), S_IFCHR | 0666, makedev(1, 3)) == 0) bad(write_to("null", "x"), "neither a regular file");
    size_t big = (4 << 20) + 1;
    char *input = malloc(big + 100), *end = input + sprintf(input, "{\"path\":\"big\",\"content\":\"");
    memset(end, 'b', big);
    strcpy(end + big, "\"}");
    bad(ask("write", input), "\"content\" is longer than 4 MiB");
    assert_false(exists("big"));
    strcpy(end + big - 1, "\"}");
    good(ask("write", input), "made big: 1 lines, 4194304 bytes\n");
    free(input);
}

static void test_not_allowed(void **state) {
    (void)state;
    close_posix();
    allow = WF_ALLOW_READ;
    open_posix(0, 0, 0);
    allow = 0;
    bad(write_to("x", "x"), "--allow write gives that right");
    bad(edit("README.md", "hello", "x"), "--allow write gives that right");
    assert_false(exists("x"));
    assert_string_equal(content("README.md"), "hello\nworld\n");
}

/* ---- what stays ---- */

static void test_modes(void **state) {
    (void)state;
    mode_t mask = umask(027);
    write_to("new", "x");
    write_to("dir/new", "x");
    umask(mask);
    assert_int_equal(mode_of("new"), 0640);
    assert_int_equal(mode_of("dir"), 0750);
    static const unsigned modes[] = {0755, 0600, 0666, 0700, 0777, 0644};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        put("m", "old\n");
        chmod(at("m"), modes[i]);
        has(write_to("m", "old\\n"), "replaced");
        assert_int_equal(mode_of("m"), modes[i]);
        has(edit("m", "old", "new"), "edited");
        assert_int_equal(mode_of("m"), modes[i]);
    }
    chmod(at("m"), 06755);
    has(write_to("m", "x"), "replaced");
    assert_int_equal(mode_of("m"), 0755);
    if (geteuid() != 0) return;
    assert_int_equal(chown(at("m"), 1234, 4321), 0);
    has(edit("m", "x", "y"), "edited");
    struct stat st;
    stat(at("m"), &st);
    assert_int_equal(st.st_uid, 1234);
    assert_int_equal(st.st_gid, 4321);
}

/* A file of another group that we may write and not give away again: its group's rights must not go to our group. */
static void test_foreign_group(void **state) {
    (void)state;
    if (geteuid() != 0) skip();
    put("foreign", "x\n");
    chmod(at("foreign"), 0666 & ~04);
    assert_int_equal(chown(at("foreign"), 1234, 4321), 0);
    chmod(at("foreign"), 0662);
    chmod(base, 0755);
    chmod(root, 0777);
    as_nobody(true);
    write_to("foreign", "y");
    as_nobody(false);
    assert_false(answer_is_error);
    assert_int_equal(mode_of("foreign"), 0622);
}

/* Version 2; owner rw, user 1234 rw, group nothing, mask rw, others nothing; little endian, as all file systems keep it. */
static const unsigned char access_list[] = {2, 0,   0,   0,   1,   0,   6,  0, 255, 255, 255, 255, 2,   0,  6,
                                            0, 210, 4,   0,   0,   4,   0,  0, 0,   255, 255, 255, 255, 16, 0,
                                            6, 0,   255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255};

/* With an access list, the group's bits of the mode are the list's mask: without it they would be the group's own. */
static void test_access_list(void **state) {
    (void)state;
#if defined(WFI_PLAIN_POSIX)
    skip(); /* the lists are Linux's */
#endif
    static const char *const lists[] = {"system.posix_acl_access", "system.posix_acl_default"};
    char list[256];
    put("listed", "x\n");
    if (setxattr(at("listed"), lists[0], access_list, sizeof access_list, 0) != 0) skip();
    assert_int_equal(mode_of("listed"), 0660);
    has(edit("listed", "x", "y"), "edited");
    has(write_to("listed", "z"), "replaced");
    assert_int_equal(getxattr(at("listed"), lists[0], list, sizeof list), sizeof access_list);
    assert_memory_equal(list, access_list, sizeof access_list);
    put("plain", "x\n");
    chmod(at("plain"), 0640);
    assert_int_equal(setxattr(root, lists[1], access_list, sizeof access_list, 0), 0); /* for new files there */
    has(edit("plain", "x", "y"), "edited");
    has(write_to("new", "z"), "made");
    assert_int_equal(getxattr(at("plain"), lists[0], list, sizeof list), -1);
    assert_int_equal(mode_of("plain"), 0640);
    assert_int_equal(getxattr(at("new"), lists[0], list, sizeof list), sizeof access_list);
}

static void test_hard_links(void **state) {
    (void)state;
    put("one", "old\n");
    assert_int_equal(link(at("one"), at("two")), 0);
    good(write_to("one", "new\\n"), "replaced one: 1 lines, 4 bytes\n"
                                    "(the file had 2 names; under the others it is as it was)\n");
    assert_string_equal(content("one"), "new\n");
    assert_string_equal(content("two"), "old\n");
}

static void test_links_inside(void **state) {
    (void)state;
    symlink("src/main.c", at("link"));
    symlink("src", at("dir"));
    symlink("../README.md", at("src/up"));
    symlink("link", at("link2"));
    symlink("src/deep/new.c", at("dangling"));
    symlink("missing/way/new.c", at("dangling2"));
    char whole[200];
    snprintf(whole, sizeof whole, "%s/src/util.h", root);
    symlink(whole, at("whole"));
    good(write_to("link", "1"), "replaced src/main.c: 1 lines, 1 bytes\n");
    good(write_to("dir/main.c", "2"), "replaced src/main.c: 1 lines, 1 bytes\n");
    good(write_to("link2", "3"), "replaced src/main.c: 1 lines, 1 bytes\n");
    assert_string_equal(content("src/main.c"), "3");
    good(write_to("dir/up", "4"), "replaced README.md: 1 lines, 1 bytes\n");
    good(write_to("whole", "5"), "replaced src/util.h: 1 lines, 1 bytes\n");
    good(write_to("dangling", "6"), "made src/deep/new.c: 1 lines, 1 bytes\n");
    good(write_to("dangling2", "7"), "made missing/way/new.c: 1 lines, 1 bytes\n");
    has(edit("link2", "3", "8"), "edited src/main.c");
    static const char *const links[] = {"link", "dir", "src/up", "link2", "dangling", "dangling2", "whole"};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        struct stat st;
        assert_int_equal(lstat(at("%s", links[i]), &st), 0);
        assert_true(S_ISLNK(st.st_mode));
    }
}

/* ---- the way out ---- */

static void test_escapes(void **state) {
    (void)state;
    char path[300];
    symlink("../secret", at("rel"));
    symlink("/etc/passwd", at("abs"));
    symlink("..", at("up"));
    symlink("../fresh", at("dangling"));
    symlink("/tmp/wf-never/x", at("dangling2"));
    symlink("loop", at("loop"));
    symlink("/proc/self/root", at("proc"));
    symlink("/proc/self/cwd", at("cwd"));
    symlink("/dev/fd/1", at("fd"));
    symlink("/dev/stdout", at("stdout"));
    symlink("../../tree/src", at("src/round"));
    snprintf(path, sizeof path, "%sx/new", root);
    const char *const out[] = {"../secret",
                               "../new",
                               "src/../../new",
                               "/etc/wf-new",
                               "/",
                               "rel",
                               "abs",
                               "up/secret",
                               "up/new",
                               "dangling",
                               "dangling2",
                               "proc/tmp/x",
                               "cwd/x",
                               "fd",
                               "stdout",
                               "src/round/x",
                               "/proc/self/root/tmp/x",
                               "/dev/fd/1",
                               path,

                               "src/deep/../../../x"};
    int before = entries();
    for (size_t i = 0; i < sizeof out / sizeof out[0]; i++) {
        bad(write_to(out[i], "broken out"), OUTSIDE);
        bad(edit(out[i], "outside", "broken out"), OUTSIDE);
    }
    bad(write_to("loop", "x"), "too many symbolic links");
    bad(write_to("new/../../../x", "x"), OUTSIDE);
    bad(write_to("new/more/../../up/x", "x"), OUTSIDE);
    assert_int_equal(entries(), before);
    assert_string_equal(content("../secret"), "outside\n");
}

static void test_guarded(void **state) {
    (void)state;
    mkdir(at("sub"), 0755);
    mkdir(at("sub/.git"), 0755);
    put("sub/.git/config", "strcpy\n");
    mkdir(at("tree"), 0755);
    put("tree/.git", "gitdir: ../.git\n");
    symlink(".git", at("g"));
    symlink(".git/config", at("config"));
    symlink("../.git/hooks/pre-commit", at("src/hook"));
    symlink(".wf", at("w"));
    symlink("tree/.git", at("file"));
    static const char *const paths[] = {".git/config",
                                        ".git/hooks/pre-commit",
                                        ".git/new",
                                        ".git",
                                        "./.git/config",
                                        "src/../.git/config",
                                        "sub/.git/config",
                                        "sub/.git/hooks/x",
                                        "tree/.git",
                                        "src/.git",
                                        "new/.git",
                                        "new/.git/hooks/x",
                                        "g/config",
                                        "g/hooks/x",
                                        "config",
                                        "src/hook",
                                        "file",
                                        ".wf/log",
                                        ".wf/new",
                                        ".wf",
                                        "w/log",
                                        "w/agents/x",
                                        ".GIT/config",
                                        ".Git/new",
                                        "src/.gIT/x",
                                        ".WF/x",
                                        ".g\\u200cit/config",
                                        ".git\\u200d"};
    int before = entries();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        bad(write_to(paths[i], "broken in"), GUARDED);
        edit(paths[i], "strcpy", "broken in");
        assert_true(answer_is_error);
    }
    bad(edit(".git/config", "strcpy", "x"), GUARDED);
    bad(edit("g/config", "strcpy", "x"), GUARDED);
    char path[300];
    snprintf(path, sizeof path, "%s/.git/config", root);
    bad(write_to(path, "x"), GUARDED);
    bad(ask_in(".git", "write", "{\"path\":\"config\",\"content\":\"x\"}"), GUARDED);
    bad(ask_in("g", "write", "{\"path\":\"config\",\"content\":\"x\"}"), GUARDED);
    bad(ask_in(".wf", "edit", "{\"path\":\"log\",\"old\":\"strcpy\",\"new\":\"x\"}"), GUARDED);
    bad(ask_in("sub", "write", "{\"path\":\".git/config\",\"content\":\"x\"}"), GUARDED);
    assert_int_equal(entries(), before);
    assert_string_equal(content(".git/config"), "strcpy\n");
    assert_string_equal(content(".wf/log"), "strcpy\n");
    assert_string_equal(content("tree/.git"), "gitdir: ../.git\n");
    static const char *const fine[] = {".gitignore", ".github/x", "src/.wf", ".wfx", "git", "x.git", ".git2/x", ".gi"};
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
        has(write_to(fine[i], "x"), "made");
}

/* A folder with HEAD, objects and refs, or with HEAD and commondir, is a repository to git, whatever its name: the part that
 * would complete one is not written, and nothing inside of one. */
static void test_repository_by_shape(void **state) {
    (void)state;
    static const struct {
        const char *before[4], *last;
    } rows[] = {{{"config", "objects/x", "refs/x"}, "HEAD"},
                {{"config", "objects/x", "refs/x"}, "head"},
                {{"config", "HEAD", "refs/x"}, "objects/x"},
                {{"config", "HEAD", "objects/x"}, "refs/heads/main"},
                {{"config", "HEAD", "objects/x"}, "refs"},
                {{"config", "HEAD"}, "commondir"},
                {{"config", "commondir"}, "HEAD"}};
    char path[64];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t k = 0; k < 4 && rows[i].before[k] != NULL; k++) {
            snprintf(path, sizeof path, "docs%zu/%s", i, rows[i].before[k]);
            has(write_to(path, "x"), "made");
        }
        snprintf(path, sizeof path, "docs%zu/%s", i, rows[i].last);
        int before = entries();
        bad(write_to(path, "x"), REPOSITORY);
        assert_int_equal(entries(), before);
        snprintf(path, sizeof path, "docs%zu/other", i);
        has(write_to(path, "x"), "made");
    }
    static const char *const dirs[] = {"bare", "bare/objects", "bare/refs", "bare/hooks"};
    for (size_t i = 0; i < 4; i++)
        mkdir(at("%s", dirs[i]), 0755);
    put("bare/HEAD", "ref: refs/heads/main\n");
    put("bare/config", "strcpy\n");
    symlink("bare/config", at("bareconfig"));
    static const char *const inside[] = {"bare/config", "bare/hooks/post-checkout", "bare/new", "bareconfig",
                                         "src/../bare/refs/x"};
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++)
        bad(write_to(inside[i], "x"), REPOSITORY);
    bad(edit("bare/config", "strcpy", "x"), REPOSITORY);
    bad(ask_in("bare", "write", "{\"path\":\"config\",\"content\":\"x\"}"), GUARDED);
    bad(ask_in("bare/hooks", "write", "{\"path\":\"x\",\"content\":\"x\"}"), GUARDED);
    has(write_to("bare/../src/HEAD", "x"), "made");
    assert_string_equal(content("bare/config"), "strcpy\n");
}

/* Each ".." opens the way from the root again: a tree made for that must not hold up the one process that all lanes share. */
static void test_dots(void **state) {
    (void)state;
    static char deep[700], target[4096];
    for (size_t i = 0; i < 300; i++) {
        strcat(deep, i > 0 ? "/d" : "d");
        mkdir(at("%s", deep), 0755);
    }
    for (size_t i = 0; i < 800; i++)
        strcat(target, "../d/");
    strcat(target, "f");
    symlink(target, at("%s/many", deep));
    symlink(target + 5 * 790, at("%s/few", deep));
    char path[1500];
    snprintf(path, sizeof path, "%s/few", deep);
    has(write_to(path, "x"), "made");
    int before = entries();
    snprintf(path, sizeof path, "%s/many", deep);
    bad(write_to(path, "x"), "too many symbolic links, or \"..\" in them");
    assert_int_equal(entries(), before);
}

/* Where .git is a link or a file that names a folder, that folder is guarded, whatever way leads there. */
static void guarded_elsewhere(const char *how) {
    static const char *const paths[] = {".git/config",     ".git/hooks/x", "real/config", "real/hooks/x",
                                        "src/../real/new", "in/config",    "in/new",      "src/in/x"};
    char command[300];
    close_posix();
    snprintf(command, sizeof command, "cd %s && mv .git real && %s", root, how);
    assert_int_equal(system(command), 0);
    symlink("real", at("in"));
    symlink("../real", at("src/in"));
    allow = WF_ALLOW_READ | WF_ALLOW_WRITE;
    open_posix(0, 0, 0);
    allow = 0;
    int before = entries();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        bad(write_to(paths[i], "broken in"), GUARDED);
    bad(ask_in("real", "write", "{\"path\":\"config\",\"content\":\"x\"}"), GUARDED);
    bad(ask_in("src/in", "write", "{\"path\":\"config\",\"content\":\"x\"}"), GUARDED);
    assert_int_equal(entries(), before);
    assert_string_equal(content("real/config"), "strcpy\n");
    has(write_to("src/fine", "x"), "made");
}

static void test_git_as_link(void **state) {
    (void)state;
    guarded_elsewhere("ln -s real .git");
    symlink("deep", at("src/.git")); /* one deeper in the tree */
    bad(write_to("src/.git/config", "x"), GUARDED);
}

static void test_git_as_file(void **state) {
    (void)state;
    guarded_elsewhere("echo 'gitdir: real' >.git");
}

/* While a directory is swapped for a link that leads out, or into .git, nothing there may change. */
static volatile bool swapping;
static void *swap_loop(void *arg) {
    (void)arg;
    while (swapping)
        if (renameat2(AT_FDCWD, at("sub"), AT_FDCWD, at("sub.link"), RENAME_EXCHANGE) != 0) break;
    return NULL;
}

static void swap_against(const char *target, const char *victim, const char *was) {
    pthread_t thread;
    int good_ones = 0, refused = 0;
    unlink(at("sub.link"));
    assert_int_equal(symlink(target, at("sub.link")), 0);
    swapping = true;
    assert_int_equal(pthread_create(&thread, NULL, swap_loop, NULL), 0);
    for (int i = 0; i < 4000; i++) {
        if (i % 3 == 0) write_to("sub/secret", "inside\\n");
        if (i % 3 == 1) edit("sub/secret", "inside", "inside");
        if (i % 3 == 1) edit("sub/secret", "inside", "inward");
        if (i % 3 == 2) write_to("sub/new/deep/file", "inside\\n");
        good_ones += !answer_is_error;
        refused += answer_is_error;
    }
    swapping = false;
    pthread_join(thread, NULL);
    struct stat st;
    if (lstat(at("sub"), &st) == 0 && S_ISLNK(st.st_mode))
        renameat2(AT_FDCWD, at("sub"), AT_FDCWD, at("sub.link"), RENAME_EXCHANGE);
    if (good_ones == 0 || refused == 0) fail_msg("%d went well, %d were refused", good_ones, refused);
    assert_string_equal(content(victim), was);
}

static void test_swapped_links(void **state) {
    (void)state;
    mkdir(at("sub"), 0755);
    put("sub/secret", "inside\n");
    swap_against("..", "../secret", "outside\n");
    assert_false(exists("../new"));
    put(".git/secret", "outside\n");
    swap_against(".git", ".git/secret", "outside\n");
    assert_false(exists(".git/new"));
}

/* ---- trouble ---- */

static void test_permissions(void **state) {
    (void)state;
    mkdir(at("shut"), 0);
    mkdir(at("fixed"), 0755);
    put("fixed/file", "old\n");
    chmod(at("fixed/file"), 0666);
    chmod(at("fixed"), 0555); /* for the tests' own user too, who may not be root */
    chmod(at("src"), 0555);
    mkdir(at("open"), 0777);
    chmod(at("open"), 0777);
    put("open/fixed", "old\n");
    chmod(at("open/fixed"), 0444);
    chmod(base, 0755);
    int before = entries();
    static const char *const paths[] = {"shut/x", "fixed/new", "fixed/file", "fixed/new/x", "open/fixed", "src/main.c"};
    char said[6][200];
    bool errors[6];
    as_nobody(true);
    for (int i = 0; i < 6; i++) {
        if (geteuid() == 0) continue;
        snprintf(said[i], sizeof said[i], "%s", write_to(paths[i], "x"));
        errors[i] = answer_is_error;
    }
    edit("open/fixed", "old", "new");
    as_nobody(false);
    bad(answer, "no permission to write: open/fixed");
    for (int i = 0; i < 6; i++) {
        assert_true(errors[i]);
        if (strstr(said[i], "no permission to write: ") == NULL) fail_msg("%s: %s", paths[i], said[i]);
    }
    assert_int_equal(entries(), before);
    assert_string_equal(content("fixed/file"), "old\n");
    assert_string_equal(content("open/fixed"), "old\n");
}

static void test_disk_full(void **state) {
    (void)state;
    mkdir(at("small"), 0755);
    if (geteuid() != 0 || mount("none", at("small"), "tmpfs", 0, "size=64k,nr_inodes=8") != 0) skip();
    put("small/file", "old\n");
    char *input = malloc(300000), *end = input + sprintf(input, "{\"path\":\"small/file\",\"content\":\"");
    memset(end, 'x', 200000);
    strcpy(end + 200000, "\"}");
    int before = entries();
    ask("write", input);
    bool full = answer_is_error && strstr(answer, "no room left on the disk for: small/file; nothing was changed");
    memcpy(input, "{\"path\":\"small/a/b/c\",  \"content\":\"", 35);
    ask("write", input);
    bool full2 = answer_is_error && strstr(answer, "no room left on the disk for: small/a/b/c");
    int after = entries();
    write_to("small/a/b/c/d/e/f/g/h/i/j", "x"); /* no inode left on the way */
    bool full3 = answer_is_error && strstr(answer, "no room left on the disk");
    int after2 = entries();
    bool kept = strcmp(content("small/file"), "old\n") == 0;
    mount("none", at("small"), "tmpfs", MS_REMOUNT | MS_RDONLY, NULL);
    write_to("small/file", "x");
    bool fixed = answer_is_error && strstr(answer, "on a file system that is only read: small/file");
    umount(at("small"));
    free(input);
    assert_true(full && full2 && full3 && kept && fixed);
    assert_int_equal(before, after);
    assert_int_equal(before, after2);
}

static void test_file_limit(void **state) {
    (void)state;
    struct rlimit was, low = {1000, RLIM_INFINITY};
    char words[3000];
    int before = entries();
    memset(words, 'x', 2000);
    words[2000] = '\0';
    getrlimit(RLIMIT_FSIZE, &was);
    low.rlim_max = was.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &low);
    write_to("README.md", words);
    setrlimit(RLIMIT_FSIZE, &was);
    bad(answer, "no room left on the disk for: README.md; nothing was changed");
    assert_string_equal(content("README.md"), "hello\nworld\n");
    assert_int_equal(entries(), before);
}

/* Another process sees the old text or the new one, never a part, never none. */
static void *look_loop(void *arg) {
    static char seen[70000];
    long *odd = arg;
    while (swapping) {
        int fd = open(at("atomic"), O_RDONLY);
        ssize_t n = fd >= 0 ? read(fd, seen, sizeof seen) : -1;
        if (fd >= 0) close(fd);
        if ((n != 8000 && n != 7000) || memchr(seen, n == 8000 ? 'b' : 'a', 7000) != NULL) ++*odd;
    }
    return NULL;
}

static void test_atomic(void **state) {
    (void)state;
    pthread_t thread;
    char a[8001], b[8001];
    long odd = 0;
    memset(a, 'a', 8000);
    memset(b, 'b', 8000);
    a[8000] = b[7000] = '\0';
    write_to("atomic", a);
    swapping = true;
    pthread_create(&thread, NULL, look_loop, &odd);
    for (int i = 0; i < 2000; i++)
        write_to("atomic", i % 2 == 0 ? b : a);
    swapping = false;
    pthread_join(thread, NULL);
    assert_int_equal(odd, 0);
}

/* ---- edit ---- */

static void test_edit(void **state) {
    (void)state;
    put("f", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    good(edit("f", "5\\n", "five\\nand\\n"),
         "edited f: 1 place, in line 5; now\n"
         "    3\t3\n    4\t4\n    5\tfive\n    6\tand\n    7\t6\n    8\t7\n    9\t8\n");
    assert_string_equal(content("f"), "1\n2\n3\n4\nfive\nand\n6\n7\n8\n9\n");
    good(edit("f", "1", "one"), "edited f: 1 place, in line 1; now\n    1\tone\n    2\t2\n    3\t3\n");
    good(edit("f", "9\\n", "nine"), "edited f: 1 place, in line 10; now\n    8\t7\n    9\t8\n   10\tnine\n");
    assert_string_equal(content("f"), "one\n2\n3\n4\nfive\nand\n6\n7\n8\nnine");
    has(edit("f", "nine", "9"), "edited");
    assert_string_equal(content("f"), "one\n2\n3\n4\nfive\nand\n6\n7\n8\n9"); /* still no newline at its end */
    has(edit("f", "2\\n3\\n4\\n", ""), "edited");
    assert_string_equal(content("f"), "one\nfive\nand\n6\n7\n8\n9");
    put("g", "x");
    good(edit("g", "x", ""), "edited g: 1 place, in line 1; now\n");
    assert_string_equal(content("g"), "");
    bad(edit("g", "x", "y"), "\"old\" is not in g; read the file again");
    put("h", "a.b*c\\d\te\n");
    has(edit("h", "a.b*c\\\\d\\te", "\\\"quoted\\\"\\t\\u00e9"), "edited");
    assert_string_equal(content("h"), "\"quoted\"\t\xc3\xa9\n");
    char *many = malloc(100000);
    many[0] = '\0';
    for (int i = 0; i < 500; i++)
        strcat(many, "more\\n");
    char *input = malloc(200000);
    sprintf(input, "{\"path\":\"h\",\"old\":\"quoted\",\"new\":\"%s\"}", many);
    ask("edit", input);
    assert_true(strlen(answer) < 300); /* the answer stays short */
    free(many);
    free(input);
}

static void test_edit_refusals(void **state) {
    (void)state;
    int before = entries();
    bad(ask("edit", "{\"path\":\"README.md\",\"old\":\"x\"}"), "edit: \"new\" is missing");
    bad(ask("edit", "{\"path\":\"README.md\",\"new\":\"x\"}"), "edit: \"old\" is missing");
    bad(ask("edit", "{\"path\":\"README.md\",\"old\":\"a\",\"new\":\"x\",\"all\":1}"), "\"all\" must be true or false");
    bad(edit("README.md", "", "x"), "\"old\" is empty; give the text to replace, or make the whole file with write");
    bad(edit("README.md", "hello", "hello"), "\"old\" and \"new\" are the same");
    bad(edit("src", "a", "b"), "it is a directory, not a file: src");
    bad(edit("readme.mod", "a", "b"), "no such file or directory: readme.mod; there is README.md");
    bad(edit("nowhere/x", "a", "b"), "no such file or directory: nowhere/x");
    bad(edit("src/mein.c", "a", "b"), "; there is src/main.c");
    bad(edit("README.md/x", "a", "b"), "not a directory");
    assert_int_equal(entries(), before);
    put_bytes("bin", "ab\0cd", 5);
    bad(edit("bin", "ab", "x"), "it is a binary file, not text: bin");
    int fd = open(at("huge"), O_CREAT | O_RDWR, 0644);
    assert_int_equal(ftruncate(fd, (16 << 20) + 1), 0);
    close(fd);
    bad(edit("huge", "a", "b"), "it is larger than 16 MiB: huge; a command can change it");
}

static void test_edit_several(void **state) {
    (void)state;
    put("f", "x = 1\ny = 1\nz = 1; w = 1\n");
    bad(edit("f", " = 1", " = 2"), "\"old\" is there 4 times, in lines 1, 2, 3; add lines around it to name one place, "
                                   "or set \"all\"");
    assert_string_equal(content("f"), "x = 1\ny = 1\nz = 1; w = 1\n");
    good(edit_all("f", " = 1", " = 22"), "edited f: 4 places, before in lines 1, 2, 3; the first is now\n"
                                         "    1\tx = 22\n    2\ty = 22\n    3\tz = 22; w = 22\n");
    assert_string_equal(content("f"), "x = 22\ny = 22\nz = 22; w = 22\n");
    put("a", "aaaaa\n");
    bad(edit("a", "aa", "b"), "there 2 times, in lines 1;");
    has(edit_all("a", "aa", "b"), "2 places");
    assert_string_equal(content("a"), "bba\n");
    put("a", "}\n}\n}\n"); /* once, and once more over that */
    bad(edit("a", "}\\n}\\n", "b"), "there 2 times, in lines 1, 2; add lines around it");
    assert_string_equal(content("a"), "}\n}\n}\n");
    has(edit_all("a", "}\\n}\\n", "b"), "1 place,");
    assert_string_equal(content("a"), "b}\n");
    put("many", "q\nq\nq\nq\nq\nq\nq\nq\nq\nq\nq\nq\n");
    bad(edit("many", "q", "r"), "12 times, in lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 ...;");
    has(edit_all("many", "q\\n", ""), "12 places");
    assert_string_equal(content("many"), "");
    char *input = malloc(5 << 20);
    char *end = input + sprintf(input, "{\"path\":\"f\",\"all\":true,\"old\":\"2\",\"new\":\"");
    memset(end, 'x', 3 << 20);
    strcpy(end + (3 << 20), "\"}");
    bad(ask("edit", input), "would become larger than 16 MiB");
    free(input);
    assert_string_equal(content("f"), "x = 22\ny = 22\nz = 22; w = 22\n");
}

static void test_edit_crlf(void **state) {
    (void)state;
    put("f", "one\r\ntwo\r\nthree\r\n");
    good(edit("f", "one\\ntwo\\n", "1\\n2\\nand\\n"), "edited f: 1 place, in line 1; now\n"
                                                      "    1\t1\n    2\t2\n    3\tand\n    4\tthree\n");
    assert_string_equal(content("f"), "1\r\n2\r\nand\r\nthree\r\n");
    has(edit("f", "and", "a\\nb"), "edited"); /* no line end in old, one in new */
    assert_string_equal(content("f"), "1\r\n2\r\na\r\nb\r\nthree\r\n");
    has(edit("f", "a\\r\\nb", "c\\r\\nd"), "edited");
    assert_string_equal(content("f"), "1\r\n2\r\nc\r\nd\r\nthree\r\n");
    has(edit("f", "\\nthree\\n", "\\nend"), "edited");
    assert_string_equal(content("f"), "1\r\n2\r\nc\r\nd\r\nend");
    put("mixed", "a\r\nb\nc\nd\r\ne\r\n");
    has(edit("mixed", "b\\nc", "B\\nC"), "edited"); /* here LF */
    has(edit("mixed", "d\\ne", "D\\nE"), "edited"); /* here CRLF */
    assert_string_equal(content("mixed"), "a\r\nB\nC\nD\r\nE\r\n");
    put("lf", "a\nb\r\nc\r\n");
    has(edit("lf", "b\\nc", "B\\nC"), "edited");
    assert_string_equal(content("lf"), "a\nB\r\nC\r\n");
    has(edit("lf", "a", "A\\nA"), "edited");
    assert_string_equal(content("lf"), "A\nA\nB\r\nC\r\n");
}

static void test_edit_near(void **state) {
    (void)state;
    put("f", "int f(int a, int b)\n{\n\tif (a) {\n\t\treturn b;\n\t}\n}\n");
    bad(edit("f", "    if (a) {\\n        return b;", "x"),
        "\"old\" is not in f. Line 3 differs from it only in spaces, tabs or line ends; copy exactly, without the "
        "numbers:\n    1\tint f(int a, int b)\n    2\t{\n    3\t\tif (a) {\n    4\t\t\treturn b;\n");
    bad(edit("f", "f(int a,int b)", "x"), "Line 1 differs from it only in spaces");
    bad(edit("f", "}\\n\\n", "x"), "Line 5 differs from it only in spaces");
    bad(edit("f", "    3\\tif (a) {", "x"), "leave out the line numbers that read shows");
    bad(edit("f", "if (a) {\\n\\t\\treturn a;", "x"),
        "its first line is there, in line 3, but not what follows:\n    1\t");
    bad(edit("f", "nothing like it", "x"), "\"old\" is not in f; read the file again");
    bad(edit("f", " \\t \\n", "x"), "\"old\" is not in f; read the file again");
    assert_string_equal(content("f"), "int f(int a, int b)\n{\n\tif (a) {\n\t\treturn b;\n\t}\n}\n");
}

/* Files of many lines and of one, and hostile pairs of text and old: all in little time. */
static void test_edit_large(void **state) {
    (void)state;
    FILE *f = fopen(at("lines"), "w");
    for (int i = 1; i <= 500000; i++)
        fprintf(f, "line number %07d\n", i);
    fclose(f); /* 10 MB */
    has(edit("lines", "number 0400000\\n", "found\\n"), "1 place, in line 400000; now\n399998\tline number 0399998\n");
    bad(edit("lines", "line  number 0000001", "x"), "Line 1 differs");
    char *line = malloc(10 << 20), *input = malloc(3 << 20);
    memset(line, 'a', 10 << 20);
    put_bytes("line", line, 10 << 20);
    char *end = input + sprintf(input, "{\"path\":\"line\",\"new\":\"\",\"old\":\"");
    memset(end, 'a', 1 << 20);
    memcpy(end + (1 << 19), "b", 1);
    strcpy(end + (1 << 20), "\"}");
    bad(ask("edit", input), "\"old\" is not in line");
    memset(line, '\n', 10 << 20);
    put_bytes("blank", line, 10 << 20);
    bad(edit("blank", " \\n", "x"), "\"old\" is not in blank");
    put_bytes("blank", line, 32768); /* each step of a search costs the sanitizer all that is left of the text */
    has(edit_all("blank", "\\n\\n", ""), "16384 places");
    free(line);
    free(input);
    put("wide", "");
    f = fopen(at("wide"), "w");
    for (int i = 0; i < 300000; i++)
        fputs("word ", f);
    fputs("end of it", f);
    fclose(f);
    has(edit("wide", "end of", "END of"), " ... (long line, cut)\n");
    assert_true(strlen(answer) < 500);
}

/* Nothing stays open or mapped, and no child was started. */
static void test_leaves_nothing(void **state) {
    (void)state;
    int fds = open_fds();
    for (int i = 0; i < 100; i++) {
        write_to("a/b/c", "x\\ny\\n");
        edit("a/b/c", "x", "z");
        edit("a/b/c", "nothing", "z");
        write_to("../x", "x");
        write_to(".git/x", "x");
        edit("missing", "x", "y");
    }
    assert_int_equal(open_fds(), fds);
    put_bytes("small", "", 0);
    start(0, "edit", false, "{\"path\":\"README.md\",\"old\":\"hello\",\"new\":\"bye\"}", 512);
    has(finish(0), "edited README.md");
}

/* A tool's texts are in every request. */
static void test_texts(void **state) {
    (void)state;
    wf_tool tools[WF_POSIX_TOOLS];
    size_t bytes = 0;
    uint32_t count = wf_posix_tools(WF_ALLOW_READ | WF_ALLOW_WRITE, tools);
    assert_int_equal(count, 5);
    for (uint32_t i = 0; i < count; i++) {
        wf_json j;
        wf_json_token t;
        wf_json_init(&j, tools[i].input_schema);
        do
            t = wf_json_next(&j);
        while (t != WF_JSON_END && t != WF_JSON_ERROR);
        assert_int_equal(t, WF_JSON_END);
        assert_int_equal(tools[i].effect, i >= 3);
        bytes += tools[i].name.len + tools[i].description.len + tools[i].input_schema.len +
                 strlen("{\"name\":\"\",\"description\":\"\",\"input_schema\":},");
    }
    print_message("# texts of read, grep, glob, write, edit: %zu bytes of JSON\n", bytes);
    assert_true(bytes <= 2200);
}

static int strays(void) {
    char command[200];
    int n = 0;
    snprintf(command, sizeof command, "find %s -name '.wf-*' | wc -l", base);
    FILE *p = popen(command, "r");
    assert_int_equal(fscanf(p, "%d", &n), 1);
    pclose(p);
    return n;
}

/* Killed while it writes, by a limit on file sizes half way: the file is whole, and what lies beside it
 * goes when the call is known to be interrupted. */
static void test_killed(void **state) {
    (void)state;
    const size_t n = 3000000;
    const struct rlimit half = {n / 2, n / 2};
    char *input = malloc(n + 100);
    size_t head = (size_t)sprintf(input, "{\"path\":\"big\",\"content\":\"");
    memset(input + head, 'y', n);
    strcpy(input + head + n, "\"}");
    put("src/big", "old\n");
    wf_tool_call call = {.name = WF_STR("write"), .input = wf_str_of(input, strlen(input)), .cwd = WF_STR("src")};
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGXFSZ, SIG_DFL);
        setrlimit(RLIMIT_FSIZE, &half);
        (void)ask_in("src", "write", input);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
    assert_int_equal(strays(), 1);
    assert_string_equal(content("src/big"), "old\n");
    pl.tool_ops->interrupted(pl.tool_ctx, &call);
    assert_int_equal(strays(), 0);
    call.input = WF_STR("{\"path\":\"../out\"}");
    pl.tool_ops->interrupted(pl.tool_ctx, &call); /* what is no good call left nothing */
    free(input);
}

static int setup_write(void **state) {
    allow = WF_ALLOW_READ | WF_ALLOW_WRITE;
    int result = setup(state);
    allow = 0;
    return result;
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup_write, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_write),
        CASE(test_write_refusals),
        CASE(test_not_allowed),
        CASE(test_modes),
        CASE(test_foreign_group),
        CASE(test_access_list),
        CASE(test_hard_links),
        CASE(test_links_inside),
        CASE(test_escapes),
        CASE(test_guarded),
        CASE(test_repository_by_shape),
        CASE(test_dots),
        CASE(test_git_as_link),
        CASE(test_git_as_file),
        CASE(test_swapped_links),
        CASE(test_permissions),
        CASE(test_disk_full),
        CASE(test_file_limit),
        CASE(test_atomic),
        CASE(test_edit),
        CASE(test_edit_refusals),
        CASE(test_edit_several),
        CASE(test_edit_crlf),
        CASE(test_edit_near),
        CASE(test_edit_large),
        CASE(test_leaves_nothing),
        CASE(test_killed),
        CASE(test_texts),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
