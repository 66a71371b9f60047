/* jail: see jail.h. Raw system calls, so that it builds with headers older than the kernel. Nothing here calls malloc or
 * stdio: most of it runs between fork and exec. */
#include "jail.h"
#include "cgroup.h"
#include "guard.h"
#include "home.h"
#include <stdlib.h>
#include <string.h>
#if WFI_LINUX
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <net/if.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Landlock ---- */

#define JAIL_CREATE_RULESET 444
#define JAIL_ADD_RULE       445
#define JAIL_RESTRICT_SELF  446

#define JAIL_WRITE_FILE ((uint64_t)1 << 1)
#define JAIL_REMOVE_DIR ((uint64_t)1 << 4)
#define JAIL_MAKE_CHAR  ((uint64_t)1 << 6)
#define JAIL_MAKE_BLOCK ((uint64_t)1 << 11)
#define JAIL_MAKE_SYM   ((uint64_t)1 << 12)
#define JAIL_REFER      ((uint64_t)1 << 13) /* since ABI 2 */
#define JAIL_TRUNCATE   ((uint64_t)1 << 14) /* 3 */
#define JAIL_IOCTL_DEV  ((uint64_t)1 << 15) /* 5 */
#define JAIL_TCP        ((uint64_t)3)       /* bind and connect, 4 */
#define JAIL_SCOPE      ((uint64_t)3)       /* abstract sockets and signals, 6 */

static int jail_abi(void) {
    long abi = syscall(JAIL_CREATE_RULESET, NULL, 0, 1);
    return abi > 0 ? (int)abi : 0;
}

/* All the rights that change something: bits 1 and 4 to 12, and what came later. Reading is not asked about. */
static uint64_t jail_rights(int abi) {
    uint64_t rights = JAIL_WRITE_FILE | (2 * JAIL_MAKE_SYM - JAIL_REMOVE_DIR);
    if (abi >= 2) rights |= JAIL_REFER;
    if (abi >= 3) rights |= JAIL_TRUNCATE;
    if (abi >= 5) rights |= JAIL_IOCTL_DEV;
    return rights;
}

/* A ruleset's descriptor, or -1. no_tcp: since ABI 4. */
static int jail_ruleset(int abi, bool scoped, bool no_tcp) {
    const uint64_t attr[3] = {jail_rights(abi), no_tcp ? JAIL_TCP : 0, scoped && abi >= 6 ? JAIL_SCOPE : 0};
    size_t size = abi >= 6 ? sizeof attr : no_tcp ? 2 * sizeof attr[0] : sizeof attr[0];
    return (int)syscall(JAIL_CREATE_RULESET, attr, size, 0);
}

static bool jail_allow(int rules, int fd, uint64_t rights) {
    struct {
        uint64_t rights;
        int32_t fd;
    } beneath = {rights, fd};
    return fd >= 0 && syscall(JAIL_ADD_RULE, rules, 1, &beneath, 0) == 0;
}

/* A device that is not there needs no right. */
static void jail_allow_devices(int rules, int abi) {
    static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
    uint64_t rights = jail_rights(abi) & (JAIL_WRITE_FILE | JAIL_TRUNCATE | JAIL_IOCTL_DEV);
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        int fd = open(devices[i], O_PATH | O_CLOEXEC);
        if (fd >= 0) jail_allow(rules, fd, rights);
        wfi_sys_close(&fd);
    }
}

static bool jail_restrict(int rules) {
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(JAIL_RESTRICT_SELF, rules, 0) == 0;
}

/* A folder in an open one, or anywhere; one that is not there needs no right. */
static void jail_allow_at(int rules, int dir, const char *path, uint64_t rights) {
    int fd = openat(dir, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    jail_allow(rules, fd, rights);
    wfi_sys_close(&fd);
}

/* The home, where a layer takes what is written, and the places of toolchains. */
static void jail_allow_home(int rules, const wfi_home *h, uint64_t rights) {
    char path[WFI_PRIVDIR_PATH];
    if (h->kind == WFI_HOME_LAYERS) jail_allow_at(rules, AT_FDCWD, h->real, rights);
    if (h->caches.count == 0) return;
    wfi_privdir_name(&h->dir, WFI_HOME_CACHES_DIR, path);
    jail_allow_at(rules, AT_FDCWD, path, rights);
}

static const char *jail_landlock(int abi, bool no_tcp, int tree, int own, const wfi_home *home) {
    uint64_t rights = jail_rights(abi) & ~(JAIL_MAKE_CHAR | JAIL_MAKE_BLOCK);
    int rules = jail_ruleset(abi, true, no_tcp);
    if (rules < 0) return "make Landlock's rules";
    jail_allow_devices(rules, abi);
    if (!jail_allow(rules, tree, rights) || !jail_allow(rules, own, rights)) return "add Landlock's rules";
    jail_allow_at(rules, own, "shm", rights); /* they may be mounted elsewhere: jail_share, jail_cover_tmp */
    jail_allow_at(rules, own, "tmp", rights);
    if (home != NULL) jail_allow_home(rules, home, rights);
    return jail_restrict(rules) ? NULL : "enter Landlock";
}

void wfi_jail_reads_only(void) {
    int abi = jail_abi(), rules = abi > 0 ? jail_ruleset(abi, false, false) : -1;
    if (rules < 0) return;
    jail_restrict(rules);
    wfi_sys_close(&rules);
}

/* ---- capabilities ---- */

#define JAIL_DAC_OVERRIDE 1u

/* Root could not read or write the files of others in its tree without this one, as its tools can.
 * It opens what the others' modes close, so it is kept only where Landlock confines all of writing.
 * (CAP_FOWNER and CAP_CHOWN are not: Landlock knows no right to change modes and owners.) */
static uint32_t jail_capabilities(const wfi_jail *j) {
    bool root = j->uid == 0 && (j->spaces & CLONE_NEWUSER) == 0;
    return root && j->abi >= 3 ? 1u << JAIL_DAC_OVERRIDE : 0;
}

static bool jail_drop_capabilities(uint32_t kept) {
    const struct {
        uint32_t version;
        int pid;
    } header = {0x20080522, 0};
    const uint32_t sets[6] = {kept, kept, 0}; /* effective, permitted, inheritable; and those from 32 on */
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (cap >= 32 || (kept >> cap & 1) == 0) prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* who may not has none */
    if (syscall(SYS_capset, &header, sets) == 0) return true;
    static const uint32_t none[6]; /* some systems refuse this even to who has nothing to drop */
    uint32_t have[6];
    return syscall(SYS_capget, &header, have) == 0 && memcmp(have, none, sizeof none) == 0;
}

void wfi_jail_shut(void) {
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

const char *wfi_jail_enter(const wfi_jail *j, int tree, int own) {
    if (!jail_drop_capabilities(jail_capabilities(j))) return "drop capabilities";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return "rule out new privileges";
    bool no_tcp = (j->holds & WF_HOLDS_TCP) != 0;
    return (j->holds & WF_HOLDS_FILES) != 0 ? jail_landlock(j->abi, no_tcp, tree, own, j->shown) : NULL;
}

/* ---- namespaces ---- */

#define JAIL_OPEN_TREE     428
#define JAIL_MOVE_MOUNT    429
#define JAIL_MOUNT_SETATTR 442
#define JAIL_RECURSIVE     0x8000u /* AT_RECURSIVE */

static bool jail_write(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : -1;
    wfi_sys_close(&fd);
    return n == (ssize_t)strlen(text);
}

/* "ID ID 1": everybody keeps their number. */
static bool jail_map(const char *path, uint32_t id) {
    char room[WFI_SYS_DECIMAL], line[32];
    const char *digits = wfi_sys_decimal(id, room);
    strcpy(line, digits);
    strcat(line, " ");
    strcat(line, digits);
    strcat(line, " 1");
    return jail_write(path, line);
}

/* The maps of a process that is shut belong to root, so it opens for as long as it takes. Commands of ours cannot use that: they
 * are in other user namespaces. */
static bool jail_map_user(const wfi_jail *j) {
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    bool good = jail_write("/proc/self/setgroups", "deny") && jail_map("/proc/self/uid_map", j->uid) &&
                jail_map("/proc/self/gid_map", j->gid);
    wfi_jail_shut();
    return good;
}

/* What is mounted there, and below. */
static bool jail_read_only(const char *path) {
    const uint64_t attr[4] = {1, 0, 0, 0}; /* MOUNT_ATTR_RDONLY set, nothing cleared */
    return syscall(JAIL_MOUNT_SETATTR, AT_FDCWD, path, JAIL_RECURSIVE, attr, sizeof attr) == 0;
}

/* The same before Linux 5.12, but what is mounted below. Who is not root must leave the other flags as they are. */
static bool jail_remount(const char *path) {
    struct statvfs v;
    if (statvfs(path, &v) != 0) return false;
    unsigned long flags = v.f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC); /* ST_... are the same numbers */
    return mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) == 0;
}

static bool jail_freeze(const char *path) {
    if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) != 0) return false;
    return jail_read_only(path) || (errno == ENOSYS && jail_remount(path));
}

/* A copy of the mounts at a path, which keeps what they allow. */
static int jail_copy(const char *path) {
    return (int)syscall(JAIL_OPEN_TREE, AT_FDCWD, path, 1u /* OPEN_TREE_CLONE */ | O_CLOEXEC | JAIL_RECURSIVE);
}

static bool jail_lay(int *copy, const char *path) {
    bool good = syscall(JAIL_MOVE_MOUNT, *copy, "", AT_FDCWD, path, 4u /* MOVE_MOUNT_F_EMPTY_PATH */) == 0;
    wfi_sys_close(copy);
    return good;
}

static bool jail_freeze_guarded(const char *tree) {
    char paths[WFI_GUARDS + 1][WFI_GUARD_PATH];
    uint32_t count = wfi_guard_paths(tree, paths);
    for (uint32_t i = 0; i < count; i++)
        if (!jail_freeze(paths[i])) return false;
    return true;
}

/* The run's log, unless it lies where nothing is written anyway. Nor is a folder between the tree and it renamed, which
 * would make room for another log: what is mounted stays where it is. */
static bool jail_freeze_log(const char *log, const char *tree) {
    char path[4096];
    size_t n = strcmp(tree, "/") == 0 ? 0 : strlen(tree), len = log != NULL ? strlen(log) : 0;
    if (len == 0 || len >= sizeof path || access(log, F_OK) != 0) return true;
    if (access(log, W_OK) != 0 && errno == EROFS) return true;
    memcpy(path, log, len + 1);
    if (strncmp(path, tree, n) != 0 || path[n] != '/') return jail_freeze(log);
    for (char *slash = path + n; (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
        *slash = '\0';
        if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) != 0) return false;
    }
    return jail_freeze(log);
}

/* What lies in a home and opens doors elsewhere. It is read by nobody who only builds and tests. */
static const char *const jail_secrets[] = {".ssh",
                                           ".gnupg",
                                           ".aws",
                                           ".azure",
                                           ".kube",
                                           ".docker",
                                           ".config/gcloud",
                                           ".config/gh",
                                           ".netrc",
                                           ".git-credentials",
                                           ".npmrc",
                                           ".pypirc",
                                           ".config/git/credentials",
                                           ".config/wf",
                                           ".config/rclone",
                                           ".config/op",
                                           ".config/hub",
                                           ".config/glab-cli",
                                           ".config/containers/auth.json",
                                           ".config/doctl",
                                           ".config/heroku",
                                           ".local/share/keyrings",
                                           ".local/share/kwalletd",
                                           ".password-store",
                                           ".pgpass",
                                           ".my.cnf",
                                           ".mylogin.cnf",
                                           ".cargo/credentials",
                                           ".cargo/credentials.toml",
                                           ".gem/credentials",
                                           ".m2/settings.xml",
                                           ".m2/settings-security.xml",
                                           ".gradle/gradle.properties",
                                           ".nuget/NuGet/NuGet.Config",
                                           ".composer/auth.json",
                                           ".yarnrc.yml",
                                           ".terraform.d/credentials.tfrc.json",
                                           ".terraformrc",
                                           ".vault-token",
                                           ".s3cfg",
                                           ".boto",
                                           ".oci",
                                           ".claude/.credentials.json",
                                           ".claude.json",
                                           ".codex/auth.json"};

typedef struct jail_view {
    const char *tree, *own, *empty; /* of wfi_jail_mounts; no empty one in a trial */
} jail_view;

/* Whether the directory is that one or lies in it: paths do not tell, for links lead to either. */
static bool jail_is_in(const char *path, const struct stat *dir) {
    struct stat st, last = {.st_ino = 0};
    int at = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool found = false;
    while (!found && at >= 0 && fstat(at, &st) == 0 && (st.st_dev != last.st_dev || st.st_ino != last.st_ino)) {
        found = st.st_dev == dir->st_dev && st.st_ino == dir->st_ino;
        last = st;
        int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        wfi_sys_close(&at);
        at = up;
    }
    wfi_sys_close(&at);
    return found;
}

/* What the command works in stays in sight, wherever the user has put it. */
static bool jail_works_in(const jail_view *v, const struct stat *dir) {
    return S_ISDIR(dir->st_mode) && (jail_is_in(v->tree, dir) || jail_is_in(v->own, dir));
}

static bool jail_hide(const jail_view *v, const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) return true; /* not there, or not to be reached by the command either */
    if (jail_works_in(v, &st)) return true;
    const char *over = !S_ISDIR(st.st_mode) ? "/dev/null"
                       : v->empty != NULL   ? v->empty
                                            : path; /* a trial hides nothing */
    return mount(over, path, NULL, MS_BIND | MS_REC, NULL) == 0;
}

const char *wfi_jail_home(const wfi_jail *j) {
    const char *home = getenv("HOME");
    if (home != NULL && home[0] == '/') return home;
    return j->home[0] == '/' ? j->home : NULL;
}

/* Before there are children, which may not call malloc. */
static void jail_find_home(wfi_jail *j) {
    struct passwd entry, *user = NULL;
    char room[4096];
    if (getpwuid_r((uid_t)j->uid, &entry, room, sizeof room, &user) != 0 || user == NULL || user->pw_dir == NULL)
        return;
    size_t n = strlen(user->pw_dir);
    if (n > 1 && n < sizeof j->home) memcpy(j->home, user->pw_dir, n + 1); /* daemons have "/" */
}

static bool jail_hide_secrets(const wfi_jail *j, const jail_view *v) {
    char path[4096];
    const char *home = wfi_jail_home(j), *config = getenv("XDG_CONFIG_HOME");
    bool moved = config != NULL && config[0] == '/';
    for (size_t i = 0; i < sizeof jail_secrets / sizeof *jail_secrets; i++) {
        const char *name = jail_secrets[i];
        if (home != NULL && wfi_sys_join(home, name, path, sizeof path) && !jail_hide(v, path)) return false;
        if (!moved || strncmp(name, ".config/", 8) != 0) continue;
        if (wfi_sys_join(config, name + 8, path, sizeof path) && !jail_hide(v, path)) return false;
    }
    return true;
}

/* Who may speak there has commands run outside of the jail, as root or as the user; a mount that is read-only is no hindrance. */
static const char *const jail_sockets[] = {"docker.sock",     "podman", "containerd", "crio",
                                           "systemd/private", "dbus",   "user",       "screen"};
static const char *const jail_runs[] = {"/run", "/var/run"}; /* one is often a link to the other */

/* Hides what a variable's value names, up to a comma, if it does. */
static bool jail_hide_value(const jail_view *v, const char *value) {
    char path[4096];
    static const char *const schemes[] = {"unix://", "unix:path="};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (strncmp(value, schemes[i], strlen(schemes[i])) == 0) value += strlen(schemes[i]);
    size_t n = strcspn(value, ",");
    if (n == 0 || n >= sizeof path || value[0] != '/') return true;
    memcpy(path, value, n);
    path[n] = '\0';
    return jail_hide(v, path);
}

/* Sockets, and folders of them, that variables name. */
static bool jail_hide_named(const jail_view *v) {
    static const char *const names[] = {"TMUX", "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && !jail_hide_value(v, value)) return false;
    }
    for (char **e = environ; e != NULL && *e != NULL; e++) {
        size_t n = strcspn(*e, "=");
        if ((*e)[n] == '=' && wfi_jail_is_daemon(*e, n) && !jail_hide_value(v, *e + n + 1)) return false;
    }
    return true;
}

static bool jail_hide_tmux(const jail_view *v, uint32_t uid) {
    char path[4096], name[18] = "tmux-", room[WFI_SYS_DECIMAL];
    const char *dir = getenv("TMUX_TMPDIR");
    strcat(name, wfi_sys_decimal(uid, room));
    return !wfi_sys_join(dir != NULL && dir[0] == '/' ? dir : "/tmp", name, path, sizeof path) || jail_hide(v, path);
}

static bool jail_hide_sockets(const jail_view *v, uint32_t uid) {
    char path[64];
    for (size_t k = 0; k < sizeof jail_runs / sizeof *jail_runs; k++)
        for (size_t i = 0; i < sizeof jail_sockets / sizeof *jail_sockets; i++)
            if (wfi_sys_join(jail_runs[k], jail_sockets[i], path, sizeof path) && !jail_hide(v, path)) return false;
    return jail_hide(v, "/tmp/.X11-unix") && jail_hide_tmux(v, uid) && jail_hide_named(v);
}

/* POSIX's shared memory and semaphores are files in /dev/shm: the command has its own, which go with its directory. */
static void jail_share(const jail_view *v) {
    struct stat st;
    char path[4096];
    if (stat("/dev/shm", &st) != 0 || jail_works_in(v, &st)) return;
    if (wfi_sys_join(v->own, "shm", path, sizeof path)) mount(path, "/dev/shm", NULL, MS_BIND, NULL);
}

void wfi_jail_part(const wfi_jail *j) {
    bool apart =
        (j->spaces & CLONE_NEWUSER) != 0; /* see jail_map_user: else it stays shut, and root's files are its own */
    if (apart) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    jail_write("/proc/self/oom_score_adj", "800"); /* if memory runs out, it is not us who goes first */
    if (apart) wfi_jail_shut();
#if defined(SYS_keyctl)
    syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL); /* one of its own */
#endif
}

/* ---- the network ---- */

/* The loopback of a new namespace is down. */
static bool jail_raise_loopback(void) {
    struct ifreq lo;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memset(&lo, 0, sizeof lo);
    strcpy(lo.ifr_name, "lo");
    lo.ifr_flags = IFF_UP | IFF_RUNNING;
    bool good = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
    wfi_sys_close(&fd);
    return good;
}

const char *wfi_jail_unplug(const wfi_jail *j) {
    if ((j->holds & WF_HOLDS_NETWORK) == 0) return NULL;
    return unshare(CLONE_NEWNET) == 0 && jail_raise_loopback() ? NULL : "take the network away";
}

/* Who looks up names and hosts for others does so outside. */
static bool jail_hide_lookups(const jail_view *v) {
    static const char *const names[] = {"nscd", "systemd/resolve/io.systemd.Resolve",
                                        "systemd/resolve/io.systemd.Resolve.Monitor"};
    char path[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (wfi_sys_join("/run", names[i], path, sizeof path) && !jail_hide(v, path)) return false;
    return jail_hide(v, "/var/run/nscd");
}

const char *wfi_jail_begin(const wfi_jail *j) {
    return (j->spaces & CLONE_NEWUSER) == 0 || jail_map_user(j) ? NULL : "map the user";
}

/* ---- what covers what ---- */

#define JAIL_COVERED  2u   /* folders that the command's own tmp may cover */
#define JAIL_PROGRAMS 8u   /* folders of PATH below them */
#define JAIL_PROGRAM  512u /* bytes of their paths */

typedef struct jail_programs {
    int copy;
    char path[JAIL_PROGRAM];
} jail_programs;

/* Copies of what must be seen where something covers it; -1: there is none. */
typedef struct jail_copies {
    int own, tree, caches, root, home;          /* root, home: read-only, where HOME or the own tmp would cover them */
    int layers;                                 /* the overlay itself */
    int below;                                  /* what it covers, open */
    int tmp[JAIL_COVERED];                      /* of the own tmp, for each folder that it covers */
    char covered[JAIL_COVERED][WFI_GUARD_PATH]; /* those; "" behind the last */
    uint32_t programs;
    jail_programs program[JAIL_PROGRAMS];
} jail_copies;

/* A folder of an open one, made if it is missing. What else has that name is the command's own, and
 * must not lead elsewhere. */
static int jail_step(int dir, const char *name) {
    const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    mkdirat(dir, name, 0755);
    int fd = openat(dir, name, flags);
    if (fd >= 0 || unlinkat(dir, name, 0) != 0 || mkdirat(dir, name, 0755) != 0) return fd;
    return openat(dir, name, flags);
}

/* Folders in the own tmp on which what it covers is laid again. */
static bool jail_make_way(const jail_copies *c, const char *path) {
    for (uint32_t i = 0; i < JAIL_COVERED; i++) {
        if (!wfi_sys_is_below(path, c->covered[i])) continue;
        int at = open(c->covered[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        for (const char *from = path + strlen(c->covered[i]); at >= 0 && *from != '\0';) {
            char name[256];
            size_t n = strcspn(++from, "/");
            if (n >= sizeof name) break;
            memcpy(name, from, n);
            name[n] = '\0';
            int next = n > 0 ? jail_step(at, name) : fcntl(at, F_DUPFD_CLOEXEC, 3);
            wfi_sys_close(&at);
            at = next;
            from += n;
        }
        bool good = at >= 0;
        wfi_sys_close(&at);
        return good;
    }
    return true;
}

static bool jail_lay_again(const jail_copies *c, int *copy, const char *path) {
    return *copy >= 0 && jail_make_way(c, path) && jail_lay(copy, path);
}

/* Whether the folder is the workspace, or lies in it, and so stays what it is. */
static bool jail_is_workspace(const jail_view *v, const char *folder) {
    struct stat tree;
    return stat(v->tree, &tree) == 0 && jail_is_in(folder, &tree);
}

/* Which of /tmp and /var/tmp the own tmp covers. Where a link leads to the own directory that link
 * may be covered, so none is. */
static void jail_choose_covered(jail_copies *c, const jail_view *v) {
    static const char *const names[JAIL_COVERED] = {"/tmp", "/var/tmp"};
    char real[WFI_GUARD_PATH];
    uint32_t count = 0;
    if (v->empty == NULL || realpath(v->own, real) == NULL || strcmp(real, v->own) != 0) return;
    for (uint32_t i = 0; i < JAIL_COVERED; i++) {
        if (realpath(names[i], real) == NULL || strcmp(real, "/") == 0 || jail_is_workspace(v, real)) continue;
        if (count > 0 && (strcmp(real, c->covered[0]) == 0 || wfi_sys_is_below(real, c->covered[0]))) continue;
        strcpy(c->covered[count++], real);
    }
}

static bool jail_is_covered(const jail_copies *c, const char *path) {
    return wfi_sys_is_below(path, c->covered[0]) || wfi_sys_is_below(path, c->covered[1]);
}

/* The command has its own temporary files, as TMPDIR says, under the names that programs have built
 * in. */
static bool jail_cover_tmp(jail_copies *c) {
    for (uint32_t i = 0; i < JAIL_COVERED && c->covered[i][0] != '\0'; i++)
        if (c->tmp[i] < 0 || !jail_lay(&c->tmp[i], c->covered[i])) return false;
    return true;
}

typedef struct jail_home {
    int below; /* the home that is covered */
    const char *path;
} jail_home;

/* The folder or file of that relative path, with no link on the way; -1 with errno. */
static int jail_find(const char *home, const char *relative) {
    char name[256];
    int at = open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (at >= 0 && *relative != '\0') {
        struct stat st;
        size_t n = strcspn(relative, "/");
        if (n >= sizeof name) n = 0; /* no such name */
        memcpy(name, relative, n);
        name[n] = '\0';
        int next = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), error = errno;
        wfi_sys_close(&at);
        bool link = next >= 0 && (fstat(next, &st) != 0 || S_ISLNK(st.st_mode));
        if (link) wfi_sys_close(&next);
        at = next;
        errno = link ? ENOENT : error;
        relative += n + (relative[n] == '/');
    }
    return at;
}

static bool jail_is_same_kind(int a, int b) {
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && S_ISDIR(x.st_mode) == S_ISDIR(y.st_mode);
}

/* Lays a mount of the home over the same place of the overlay. Where commands have removed that
 * place, or put something else there, what it was is not to be seen. */
static bool jail_lay_below(void *ctx, const char *relative) {
    const jail_home *h = ctx;
    int to = jail_find(h->path, relative);
    if (to < 0) return errno == ENOENT || errno == ENOTDIR;
    int copy = (int)syscall(JAIL_OPEN_TREE, h->below, relative, 1u | O_CLOEXEC | JAIL_RECURSIVE);
    bool good = copy >= 0;
    if (good && jail_is_same_kind(copy, to))
        good = syscall(JAIL_MOVE_MOUNT, copy, "", to, "", 4u | 0x40u /* MOVE_MOUNT_..._EMPTY_PATH */) == 0;
    wfi_sys_close(&copy);
    wfi_sys_close(&to);
    return good;
}

static bool jail_cover_home(const wfi_jail *j, jail_copies *c) {
    const wfi_home *h = j->shown;
    if (c->home >= 0) return jail_lay_again(c, &c->home, h->real);
    if (c->layers < 0) return true;
    jail_home home = {c->below, h->real};
    return jail_lay_again(c, &c->layers, h->real) && wfi_home_mounts(h->real, jail_lay_below, &home);
}

/* The folder of PATH, and with a bin what it stands in, as virtual environments are laid out. */
static bool jail_program_folder(const jail_copies *c, const char *from, size_t n, char out[WFI_GUARD_PATH]) {
    char path[WFI_GUARD_PATH];
    if (n == 0 || n >= sizeof path || from[0] != '/') return false;
    memcpy(path, from, n);
    path[n] = '\0';
    if (realpath(path, out) == NULL || !jail_is_covered(c, out)) return false;
    char *slash = strrchr(out, '/');
    if (strcmp(slash, "/bin") != 0 && strcmp(slash, "/sbin") != 0) return true;
    *slash = '\0';
    if (!jail_is_covered(c, out)) *slash = '/';
    return true;
}

/* Programs that the user has below /tmp are still found. */
static void jail_copy_programs(jail_copies *c) {
    char path[WFI_GUARD_PATH];
    const char *at = getenv("PATH");
    while (at != NULL && *at != '\0' && c->programs < JAIL_PROGRAMS) {
        size_t n = strcspn(at, ":");
        jail_programs *p = &c->program[c->programs];
        if (jail_program_folder(c, at, n, path) && strlen(path) < sizeof p->path) {
            strcpy(p->path, path);
            p->copy = jail_copy(path);
            c->programs += p->copy >= 0;
        }
        at += n + (at[n] == ':');
    }
}

/* What is to be laid again, while it is to be had. Where nothing covers anything only the tree and
 * the own directory are. */
static void jail_copy_all(const wfi_jail *j, const jail_view *v, jail_copies *c) {
    const wfi_home *h = j->shown;
    char path[WFI_PRIVDIR_PATH];
    c->own = jail_copy(v->own);
    c->tree = jail_copy(v->tree);
    jail_choose_covered(c, v);
    for (uint32_t i = 0; i < JAIL_COVERED && c->covered[i][0] != '\0'; i++)
        if (wfi_sys_join(v->own, "tmp", path, sizeof path)) c->tmp[i] = jail_copy(path);
    if (h == NULL) return;
    if (h->caches.count > 0) {
        wfi_privdir_name(&h->dir, WFI_HOME_CACHES_DIR, path);
        c->caches = jail_copy(path);
    }
    if (c->layers >= 0 && jail_is_workspace(v, h->real)) wfi_sys_close(&c->layers);
    if (c->layers >= 0) c->below = open(h->real, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* The same of what stays read-only. */
static void jail_copy_frozen(const wfi_jail *j, const jail_view *v, jail_copies *c) {
    const wfi_home *h = j->shown;
    jail_copy_programs(c);
    if (h == NULL) return;
    if (c->layers < 0 && h->kind != WFI_HOME_PRIVATE && jail_is_covered(c, h->real) && !jail_is_workspace(v, h->real))
        c->home = jail_copy(h->real);
    bool lost = jail_is_covered(c, h->root) || (c->layers >= 0 && wfi_sys_is_below(h->root, h->real));
    if (lost && strcmp(h->root, v->tree) != 0) c->root = jail_copy(h->root);
}

/* Lays what was covered, the outer before the inner. */
static const char *jail_lay_all(const wfi_jail *j, const jail_view *v, jail_copies *c) {
    if (!jail_cover_tmp(c)) return "make /tmp its own";
    for (uint32_t i = 0; i < c->programs; i++)
        if (!jail_lay_again(c, &c->program[i].copy, c->program[i].path)) return "keep the programs of PATH in sight";
    if (!jail_cover_home(j, c)) return "lay a layer of its own over HOME";
    if (c->root >= 0 && !jail_lay_again(c, &c->root, j->shown->root)) return "keep the run's root in sight";
    return jail_lay_again(c, &c->tree, v->tree) ? NULL : "keep the workspace in sight";
}

/* The folders that are the command's to write, which may lie in what is read-only: last. */
static const char *jail_lay_own(const wfi_jail *j, const jail_view *v, jail_copies *c) {
    char path[WFI_PRIVDIR_PATH];
    if (c->own < 0) return j->frozen ? "keep its own directory writable" : NULL;
    if (!jail_lay_again(c, &c->own, v->own)) return "keep its own directory writable";
    if (c->caches < 0) return NULL;
    wfi_privdir_name(&j->shown->dir, WFI_HOME_CACHES_DIR, path);
    return jail_lay_again(c, &c->caches, path) ? NULL : "keep the folder of toolchains writable";
}

/* All but the tree becomes read-only (one that is everything leaves nothing), or is covered by
 * something of the command's own. */
static const char *jail_arrange(const wfi_jail *j, const jail_view *v, jail_copies *c) {
    jail_copy_all(j, v, c);
    if (strcmp(v->tree, "/") == 0) return NULL;
    if (c->tree < 0 || c->own < 0) /* a system without such copies can do without, unless they are needed */
        return j->frozen || c->layers >= 0 ? "copy the mounts of the workspace" : NULL;
    if (j->frozen && !jail_read_only("/")) return "make all but the workspace read-only";
    jail_copy_frozen(j, v, c);
    return jail_lay_all(j, v, c);
}

static const char *jail_guard(const wfi_jail *j, const char *tree) {
    if (!jail_freeze_guarded(tree)) return "make .git and .wf read-only";
    return jail_freeze_log(j->log, tree) ? NULL : "make the run's log read-only";
}

/* What is still in sight, and should not be. */
static const char *jail_hide_rest(const wfi_jail *j, const jail_view *v) {
    char path[WFI_PRIVDIR_PATH];
    if (j->shown != NULL && j->shown->kind == WFI_HOME_LAYERS) {
        wfi_privdir_name(&j->shown->dir, WFI_HOME_LAYERS_DIR, path);
        if (!jail_hide(v, path)) return "hide the layer below its HOME";
    }
    return jail_hide_sockets(v, j->uid) ? NULL : "hide the sockets of daemons";
}

/* In mounts of its own. Secrets are hidden before anything covers them: see home.h. */
static const char *jail_remake(const wfi_jail *j, const jail_view *v, jail_copies *c) {
    if (!jail_hide_secrets(j, v)) return "hide the secrets of the home directory";
    const char *failed = jail_arrange(j, v, c);
    if (failed == NULL) failed = jail_guard(j, v->tree);
    if (failed == NULL) failed = jail_lay_own(j, v, c);
    if (failed == NULL) failed = jail_hide_rest(j, v);
    if (failed != NULL) return failed;
    if ((j->holds & (WF_HOLDS_NETWORK | WF_HOLDS_TCP)) != 0 && !jail_hide_lookups(v)) return "hide who looks names up";
    jail_share(v);
    /* Only its own processes. Some containers do not allow it: then it sees the others, and can do
     * nothing to them. Read-only as all that is outside: the kernel's settings are root's files,
     * and the modes of files there are those of every /proc. */
    mount("proc", "/proc", "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    return NULL;
}

/* Copies that are left open go with exec. */
const char *wfi_jail_mounts(const wfi_jail *j, const char *tree, const char *own, const char *empty) {
    const jail_view view = {tree, own, empty};
    jail_copies c = {-1, -1, -1, -1, -1, -1, -1, {-1, -1}, {"", ""}, 0, {{-1, ""}}};
    if (j->shown != NULL && j->shown->kind != WFI_HOME_PRIVATE && !wfi_home_take(j->shown, &c.layers))
        return "get its HOME from the process that keeps it (has that been killed?)";
    if (j->spaces == 0) return NULL;
    /* and shared memory of its own, which ends with it; a kernel without has none to share */
    if (unshare(CLONE_NEWNS | CLONE_NEWIPC) != 0 && unshare(CLONE_NEWNS) != 0) return "get mounts of its own";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return "make the mounts private";
    return jail_remake(j, &view, &c);
}

/* ---- what there is ---- */

/* In such namespaces: what commands will need. */
static bool jail_has_spaces(const wfi_jail *j, const char *root) {
    return wfi_jail_begin(j) == NULL && wfi_jail_mounts(j, root, root, NULL) == NULL && jail_freeze(root) &&
           jail_drop_capabilities(0);
}

/* That a kernel knows it does not say that a container lets us. */
static bool jail_has_landlock(const wfi_jail *j, const char *root) {
    int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && jail_landlock(j->abi, false, fd, fd, NULL) == NULL;
}

/* Whether a child that ends at once can do this, told by a byte through a pipe. */
static bool jail_try(const wfi_jail *j, const char *root, uint32_t spaces,
                     bool (*has)(const wfi_jail *, const char *)) {
    int fds[2];
    char byte = 0;
    sigset_t all, old;
    if (pipe(fds) != 0) return false;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old);
    long pid = wfi_sys_fork(spaces);
    if (pid == 0) {
        if (has(j, root) && write(fds[1], "+", 1) != 1) _exit(1);
        _exit(0);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    wfi_sys_close(&fds[1]);
    if (pid > 0) {
        while (read(fds[0], &byte, 1) < 0 && errno == EINTR)
            continue;
        while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    wfi_sys_close(&fds[0]);
    return byte == '+';
}

/* The strongest that there is. */
static bool jail_find_spaces(wfi_jail *j, const char *root) {
    static const uint32_t kinds[] = {CLONE_NEWPID, CLONE_NEWPID | CLONE_NEWUSER};
    for (int i = 0; i < 4; i++) {
        j->spaces = kinds[i & 1];
        j->frozen = i < 2;
        if (jail_try(j, root, j->spaces, jail_has_spaces)) return true;
    }
    j->spaces = 0;
    return j->frozen = false;
}

/* Root is exempt from the limit. */
static uint32_t jail_bound(uint32_t uid) {
    wfi_cgroup g;
    uint64_t number = 0;
    char name[27] = "/wf-probe-";
    if (!wfi_sys_random(&number, sizeof number)) return 0;
    wfi_sys_hex(number, name + strlen(name), 16);
    bool made = wfi_cgroup_make(&g, name, 1);
    wfi_cgroup_remove(&g);
    return made ? WF_HOLDS_CGROUP : uid != 0 ? WF_HOLDS_NPROC : 0;
}

void wfi_jail_probe(wfi_jail *j, const char *root) {
    memset(j, 0, sizeof *j);
    j->uid = geteuid();
    j->gid = getegid();
    j->abi = jail_abi();
    jail_find_home(j);
    j->hides = wfi_jail_home(j) != NULL;
    j->counts = wfi_sys_knows_children();
    if (j->abi > 0 && !jail_try(j, root, 0, jail_has_landlock)) j->abi = 0;
    j->holds = WF_HOLDS_PRIVILEGES;
    if (j->abi >= 1) j->holds |= WF_HOLDS_FILES;
    if (j->abi >= 6) j->holds |= WF_HOLDS_SIGNALS;
    if (jail_find_spaces(j, root)) j->holds |= WF_HOLDS_SPACES | WF_HOLDS_SIGNALS;
    j->holds |= jail_bound(j->uid);
}

static bool jail_has_no_network(const wfi_jail *j, const char *root) {
    (void)root;
    return wfi_jail_begin(j) == NULL && wfi_jail_unplug(j) == NULL;
}

bool wfi_jail_cut(wfi_jail *j, const char *root) {
    j->holds |= WF_HOLDS_NETWORK;
    if (jail_try(j, root, j->spaces, jail_has_no_network)) return true;
    j->holds &= ~(uint32_t)WF_HOLDS_NETWORK;
    if (j->abi >= 4) j->holds |= WF_HOLDS_TCP;
    return j->abi >= 4;
}

#else

bool wfi_jail_cut(wfi_jail *j, const char *root) {
    (void)j;
    (void)root;
    return false;
}

const char *wfi_jail_unplug(const wfi_jail *j) {
    (void)j;
    return NULL;
}

void wfi_jail_probe(wfi_jail *j, const char *root) {
    (void)root;
    memset(j, 0, sizeof *j);
    j->counts = wfi_sys_knows_children();
}

const char *wfi_jail_home(const wfi_jail *j) {
    (void)j;
    return getenv("HOME");
}

const char *wfi_jail_begin(const wfi_jail *j) {
    (void)j;
    return NULL;
}

const char *wfi_jail_mounts(const wfi_jail *j, const char *tree, const char *own, const char *empty) {
    (void)j;
    (void)tree;
    (void)own;
    (void)empty;
    return NULL;
}

const char *wfi_jail_enter(const wfi_jail *j, int tree, int own) {
    (void)j;
    (void)tree;
    (void)own;
    return NULL;
}

void wfi_jail_part(const wfi_jail *j) {
    (void)j;
}

void wfi_jail_reads_only(void) {
}

void wfi_jail_shut(void) {
}

#endif

/* ---- daemons ---- */

bool wfi_jail_is_daemon(const char *variable, size_t len) {
    static const char *const names[] = {"DOCKER_HOST", "CONTAINER_HOST"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == len && memcmp(variable, names[i], len) == 0) return true;
    return len > 5 && memcmp(variable + len - 5, "_HOST", 5) == 0 && strncmp(variable + len, "=unix://", 8) == 0;
}

/* ---- in words ---- */

static void jail_say(char out[WFI_JAIL_TEXT], const char *text) {
    size_t n = strlen(out), m = strlen(text);
    if (n + m < WFI_JAIL_TEXT) memcpy(out + n, text, m + 1);
}

/* What namespaces do; without Landlock they alone keep files as they are, but for devices. */
static void jail_say_spaces(const wfi_jail *j, char out[WFI_JAIL_TEXT]) {
    if ((j->holds & WF_HOLDS_SPACES) == 0) {
        jail_say(out, "; no namespaces: .git and .wf may be written");
        return;
    }
    jail_say(out, j->frozen ? "; own namespaces: .git, .wf and all outside read-only, "
                            : "; own namespaces: .git and .wf read-only, ");
    jail_say(out, j->hides ? "keys in HOME hidden" : "keys not hidden for want of a HOME");
}

static void jail_say_bound(const wfi_jail *j, char out[WFI_JAIL_TEXT]) {
    bool spaces = (j->holds & WF_HOLDS_SPACES) != 0;
    if (!j->counts && !spaces) jail_say(out, "; no /proc: what leaves its process group survives");
    if ((j->holds & WF_HOLDS_CGROUP) != 0) {
        jail_say(out, "; processes bounded by a cgroup");
    } else if ((j->holds & WF_HOLDS_NPROC) != 0) {
        jail_say(out, "; processes bounded by RLIMIT_NPROC");
    } else {
        jail_say(out, j->counts ? "; processes only counted" : "; processes not even counted");
        jail_say(out, spaces ? ", and all ended at one blow"
                             : ": a fork bomb can outrun that; do not run as root, or bound the container's processes");
    }
}

/* How commands see the user's home and /tmp. */
static void jail_say_home(const wfi_jail *j, char out[WFI_JAIL_TEXT]) {
    if (j->shown == NULL) return;
    if (j->shown->kind != WFI_HOME_PRIVATE && wfi_home_is_of_run(j->shown)) {
        jail_say(out, "; HOME is in the workspace, and written to");
        return;
    }
    switch (j->shown->kind) {
    case WFI_HOME_LAYERS:
        jail_say(out, j->shown->small ? "; HOME yours, written to a layer of the run's in memory (a quarter of it)"
                                      : "; HOME yours, written to a layer of the run's");
        break;
    case WFI_HOME_CACHES:
        jail_say(out, "; no overlay: HOME yours, read-only, caches of toolchains the run's");
        break;
    case WFI_HOME_PRIVATE:
        jail_say(out, "; HOME empty");
        break;
    }
}

void wfi_jail_text(const wfi_jail *j, char out[WFI_JAIL_TEXT]) {
    const char version[] = {'L', 'a', 'n', 'd', 'l', 'o', 'c', 'k', ' ', (char)('0' + j->abi % 10), '\0'};
    out[0] = '\0';
    jail_say(out, (j->holds & WF_HOLDS_FILES) != 0 ? version
                  : j->frozen                      ? "no Landlock: devices may be written"
                                                   : "no Landlock: commands may write wherever you may");
    jail_say_spaces(j, out);
    jail_say_home(j, out);
    if ((j->holds & WF_HOLDS_SIGNALS) == 0) jail_say(out, "; signals may leave");
    jail_say_bound(j, out);
    if ((j->holds & WF_HOLDS_NETWORK) != 0) jail_say(out, "; no network but their own loopback");
    if ((j->holds & WF_HOLDS_TCP) != 0) jail_say(out, "; no TCP, but UDP and other sockets are open");
}
