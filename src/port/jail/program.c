/* program: see program.h for its contract and invariants. */
#include "program.h"
#include "cgroup.h"
#include "descendants.h"
#include "guard.h"
#include "home.h"
#include "privdir.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#if WFI_LINUX
#include <sys/prctl.h>
#endif

#define PROGRAM_GIT_PAIRS      256u /* of the user's, that git is told of in its environment */
#define PROGRAM_GRACE_MS       500u /* from SIGTERM to SIGKILL at a timeout, */
#define PROGRAM_LEFT_MS        100u /* ... for what is left when the program has ended, */
#define PROGRAM_AGAIN_MS       2u   /* ... and from one SIGKILL for all to the next */
#define PROGRAM_GIVE_UP_MS     10000u
#define PROGRAM_UNFOUND_MS     500u /* the same where it cannot find whom to end */
#define PROGRAM_COUNT_MS       10u
#define PROGRAM_NEWS           63 /* descriptor: nothing static, and no other way to reach a handler */
#define PROGRAM_NICE           19 /* of a program whose processes must be counted, and the opposite of who counts */
#define PROGRAM_READS          16 /* of one stream between two looks around */
#define PROGRAM_CHUNK          65536u
#define PROGRAM_CPUS           16u /* processors that one of its processes may keep busy until the deadline, at least */
#define PROGRAM_PROCESSES      512u /* at a time, */
#define PROGRAM_PROCESSES_EACH 64u  /* ... and so many for each processor */
#define PROGRAM_PATH           "/usr/local/bin:/usr/bin:/bin"

extern char **environ;

typedef struct program_run {
    wfi_program *p;
    wfi_program_end *end;
    wfi_privdir privdir;
    wfi_cgroup group;
    wfi_guard_seen guard[WFI_GUARDS];
    const char **env;
    size_t env_size; /* bytes of its pages */
    char *git;       /* what of it are git's settings, on pages of their own */
    size_t git_size, git_used;
    int in, out, err; /* our ends */
    int failed;       /* tells why the program could not be started */
    int news[2];      /* a byte for each SIGCHLD */
    int reader;       /* of our own output: descriptor 1, or -1 when it was seen to be gone */
    size_t fed;       /* bytes of the input */
    pid_t pid;
    bool finds;       /* whoever descends from it; else we reach its process group only */
    bool ended;       /* the program itself */
    bool frozen;      /* its cgroup */
    uint64_t starved; /* processes that the system had ended for want of memory when it began */
    uint64_t kill_at; /* the next SIGKILL; UINT64_MAX: none was planned yet */
    uint64_t give_up, count_at;
    char *chunk;
    uint32_t *pids; /* room for its descendants */
    char home[WFI_HOME_PATH + 8], tmp[WFI_PRIVDIR_PATH + 8];
} program_run;

/* ---- its environment ---- */

static bool program_shows_home(const wfi_jail *j) {
    return j->shown != NULL && j->shown->kind != WFI_HOME_PRIVATE;
}

/* By these a command would act outside of its jail, on the user's display or with their keys, or read their start files. */
static bool program_is_session(const char *name, size_t len) { /* "NAME=value" */
    static const char *const names[] = {"SSH_AUTH_SOCK",
                                        "SSH_AGENT_PID",
                                        "GPG_AGENT_INFO",
                                        "DBUS_SESSION_BUS_ADDRESS",
                                        "DISPLAY",
                                        "XAUTHORITY",
                                        "WAYLAND_DISPLAY",
                                        "TMUX",
                                        "STY",
                                        "BASH_ENV",
                                        "ENV",
                                        "TMP",
                                        "TEMP"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) return true;
    return wfi_jail_is_daemon(name, len);
}

/* Whether that one of the user's says where settings and data are, which belong to a home that is
 * shown. */
static bool program_is_of_home(const wfi_jail *j, const char *name, size_t len) {
    static const char *const names[] = {"XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_DATA_DIRS",
                                        "XDG_CONFIG_DIRS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) return program_shows_home(j);
    return false;
}

static bool program_passes(const wfi_jail *j, const char *name, size_t len) {
    if (j == NULL) return true;
    if (len >= 4 && memcmp(name, "XDG_", 4) == 0) return program_is_of_home(j, name, len);
    return !program_is_session(name, len);
}

/* Where nobody is to be asked: editors fail, pagers pass on, and who wants a password or a yes ends. `false` tells
 * more than `true` would: git takes an unchanged message for an answer. An empty GIT_ASKPASS goes before the setting
 * core.askPass, and is none. */
static const char *const program_alone[] = {"GIT_EDITOR=false",
                                            "GIT_SEQUENCE_EDITOR=false",
                                            "EDITOR=false",
                                            "VISUAL=false",
                                            "GIT_MERGE_AUTOEDIT=no",
                                            "GIT_PAGER=cat",
                                            "PAGER=cat",
                                            "MANPAGER=cat",
                                            "TERM=dumb",
                                            "BROWSER=false",
                                            "GIT_TERMINAL_PROMPT=0",
                                            "GIT_ASKPASS=",
                                            "SSH_ASKPASS_REQUIRE=never",
                                            "GCM_INTERACTIVE=never",
                                            "DEBIAN_FRONTEND=noninteractive",
                                            "npm_config_yes=true",
                                            "PIP_NO_INPUT=1",
                                            "COMPOSER_NO_INTERACTION=1",
                                            "GIT_OPTIONAL_LOCKS=0"}; /* .git may be read-only */
#define PROGRAM_ALONE (sizeof program_alone / sizeof *program_alone)
#define PROGRAM_SSH   "GIT_SSH_COMMAND=ssh -oBatchMode=yes"

/* The same for what has no variable of its own: git's settings, which go before those of files. */
static const struct {
    const char *key, *value;
} program_git_alone[] = {{"credential.helper", ""}, /* none, whatever was named before */
                         {"credential.interactive", "false"}, {"commit.gpgSign", "false"}, {"tag.gpgSign", "false"},
                         {"tag.forceSignAnnotated", "false"}, {"push.gpgSign", "false"}};
#define PROGRAM_GIT_ALONE (sizeof program_git_alone / sizeof *program_git_alone)

/* Names a program that shows something to a person, or asks them. */
static bool program_asks(const char *name, size_t len) {
    static const char *const ends[] = {"EDITOR", "VISUAL", "PAGER", "ASKPASS", "GPG_TTY"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t n = strlen(ends[i]);
        if (len >= n && memcmp(name + len - n, ends[i], n) == 0) return true;
    }
    return false;
}

/* The variable among the first n, or NULL. */
static const char *program_getenv(const char *const *env, size_t n, const char *name, size_t len) {
    for (size_t i = 0; i < n; i++)
        if (strncmp(env[i], name, len) == 0 && env[i][len] == '=') return env[i] + len + 1;
    return NULL;
}

static void program_own(program_run *r, const char *name, const char *dir, char *out, size_t *n) {
    char path[WFI_PRIVDIR_PATH];
    size_t len = strlen(name);
    if (program_getenv(r->env, *n, name, len) != NULL) return;
    wfi_privdir_name(&r->privdir, dir, path);
    memcpy(out, name, len);
    out[len] = '=';
    strcpy(out + len + 1, path);
    r->env[(*n)++] = out;
}

static void program_set(program_run *r, const char *variable, size_t *n) {
    if (program_getenv(r->env, *n, variable, strcspn(variable, "=")) == NULL) r->env[(*n)++] = variable;
}

static void program_leave_alone(program_run *r, size_t *n) {
    for (size_t i = 0; i < PROGRAM_ALONE; i++)
        program_set(r, program_alone[i], n);
    if (getenv("GIT_SSH_COMMAND") == NULL && getenv("GIT_SSH") == NULL) program_set(r, PROGRAM_SSH, n);
}

/* The user's home where it can be shown, and where toolchains write instead; else an empty one.
 * Root in a jail gives files to nobody else, so tar must not try. */
static void program_home(program_run *r, size_t *n) {
    const wfi_jail *j = r->p->jail;
    if (j->uid == 0 && getenv("TAR_OPTIONS") == NULL) program_set(r, "TAR_OPTIONS=--no-same-owner", n);
    if (!program_shows_home(j)) {
        program_own(r, "HOME", "home", r->home, n);
        return;
    }
    program_set(r, strcat(strcpy(r->home, "HOME="), j->shown->path), n);
    for (uint32_t i = 0; i < j->shown->caches.count; i++)
        program_set(r, j->shown->caches.env[i], n);
}

/* ---- what the environment tells git: numbered pairs, of which none may be missing ---- */

static bool program_is_git_pair(const char *variable) {
    return strncmp(variable, "GIT_CONFIG_KEY_", 15) == 0 || strncmp(variable, "GIT_CONFIG_VALUE_", 17) == 0;
}

static const char *program_git_part(const char *what, uint64_t i) {
    char name[48] = "GIT_CONFIG_", room[WFI_SYS_DECIMAL];
    strcat(strcat(name, what), wfi_sys_decimal(i, room));
    return getenv(name);
}

/* The user's pair number i; false: it is not whole, or one of them is a secret. */
static bool program_git_pair(uint64_t i, const char **key, const char **value) {
    *key = program_git_part("KEY_", i);
    *value = program_git_part("VALUE_", i);
    if (*key == NULL || *value == NULL) return false;
    return !wf_posix_is_secret(*key, strlen(*key), *value) && !wf_posix_is_secret("", 0, *key);
}

/* what: the name's end, to which the number i belongs; or "COUNT", which has none. */
static void program_git_put(program_run *r, const char *what, uint64_t i, const char *value, size_t *n) {
    char room[WFI_SYS_DECIMAL], *at = r->git + r->git_used;
    bool numbered = what[strlen(what) - 1] == '_';
    strcat(strcpy(at, "GIT_CONFIG_"), what);
    if (numbered) strcat(at, wfi_sys_decimal(i, room));
    strcat(strcat(at, "="), value);
    r->git_used += strlen(at) + 1;
    r->env[(*n)++] = at;
}

static void program_git_put_pair(program_run *r, uint64_t *kept, const char *key, const char *value, size_t *n) {
    program_git_put(r, "KEY_", *kept, key, n);
    program_git_put(r, "VALUE_", (*kept)++, value, n);
}

/* Numbers the user's pairs anew, without secrets. Those of program_git_alone follow, and in a jail one more: git would not
 * look at a workspace of somebody else, as root in a container often has it. */
static bool program_git_settings(program_run *r, size_t *n) {
    char room[WFI_SYS_DECIMAL];
    const char *count = getenv("GIT_CONFIG_COUNT"), *key, *value;
    uint64_t most = count != NULL ? wfi_sys_number(count) : 0, kept = 0;
    if (most > PROGRAM_GIT_PAIRS) most = PROGRAM_GIT_PAIRS;
    if (most == 0 && r->p->jail == NULL && !r->p->alone) return true;
    r->git_size = 256 + PROGRAM_GIT_ALONE * 128;
    for (uint64_t i = 0; i < most; i++)
        if (program_git_pair(i, &key, &value)) r->git_size += strlen(key) + strlen(value) + 128;
    r->git = wfi_sys_pages(r->git_size);
    if (r->git == NULL) return false;
    for (uint64_t i = 0; i < most; i++)
        if (program_git_pair(i, &key, &value)) program_git_put_pair(r, &kept, key, value, n);
    if (r->p->jail != NULL) program_git_put_pair(r, &kept, "safe.directory", "*", n);
    for (size_t i = 0; r->p->alone && i < PROGRAM_GIT_ALONE; i++)
        program_git_put_pair(r, &kept, program_git_alone[i].key, program_git_alone[i].value, n);
    program_git_put(r, "COUNT", 0, wfi_sys_decimal(kept, room), n);
    return true;
}

static bool program_environment(program_run *r) {
    /* HOME, TMPDIR, TAR_OPTIONS, the end; git's pairs, ours, their count; and what is for who is alone */
    size_t n = 0, most = 4 + WFI_CACHES + 2 * PROGRAM_GIT_PAIRS + 3 + PROGRAM_ALONE + 1 + 2 * PROGRAM_GIT_ALONE;
    for (const char *const *e = r->p->env; e != NULL && *e != NULL; e++)
        most++;
    for (char **e = environ; e != NULL && *e != NULL; e++)
        most++;
    r->env_size = most * sizeof *r->env;
    r->env = wfi_sys_pages(r->env_size); /* zeroed: it ends by itself */
    if (r->env == NULL) return false;
    for (const char *const *e = r->p->env; e != NULL && *e != NULL; e++)
        r->env[n++] = *e;
    if (r->p->jail != NULL) program_home(r, &n);
    if (r->p->jail != NULL) program_own(r, "TMPDIR", "tmp", r->tmp, &n);
    if (r->p->alone) program_leave_alone(r, &n);
    if (program_getenv(r->env, n, "GIT_CONFIG_COUNT", 16) == NULL && !program_git_settings(r, &n)) return false;
    size_t set = n;
    for (char **e = environ; e != NULL && *e != NULL; e++) {
        size_t len = strcspn(*e, "=");
        if ((*e)[len] == '\0' || program_getenv(r->env, set, *e, len) != NULL) continue;
        if (wf_posix_is_secret(*e, len, *e + len + 1) || program_is_git_pair(*e)) continue;
        if (r->p->alone && program_asks(*e, len)) continue;
        if (program_passes(r->p->jail, *e, len)) r->env[n++] = *e;
    }
    return true;
}

/* ---- becoming the program ---- */

uint32_t wfi_program_processes(void) {
    return PROGRAM_PROCESSES + PROGRAM_PROCESSES_EACH * wfi_sys_processors();
}

/* All threads of the system and what the program may have besides: the user's own are among them, and the limit is on all that
 * the user has. */
static uint64_t program_most(void) {
    char text[128];
    int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    wfi_sys_close(&fd);
    text[n > 0 ? n : 0] = '\0';
    const char *slash = strchr(text, '/');
    return wfi_program_processes() + (slash != NULL ? wfi_sys_number(slash + 1) : 4096);
}

static bool program_must_count(const wfi_program *p) {
    return p->jail != NULL && (p->jail->holds & (WF_HOLDS_CGROUP | WF_HOLDS_NPROC)) == 0;
}

/* Seconds of processor time that one of its processes may use: a bound for what escapes the deadline. */
static uint64_t program_cpu_s(const wfi_program *p) {
    uint64_t now = wfi_sys_now_ms(), ms = p->deadline > now ? p->deadline - now : 0;
    uint32_t processors = wfi_sys_processors();
    return (ms / 1000 + 1) * (processors > PROGRAM_CPUS ? processors : PROGRAM_CPUS);
}

static void program_limits(const program_run *r) {
    const wfi_program *p = r->p;
    WFI_SYS_LIMIT(RLIMIT_CPU, r->end->cpu_s);
    WFI_SYS_LIMIT(RLIMIT_CORE, 0);
    if (p->jail == NULL) return;
    if (program_must_count(p)) setpriority(PRIO_PROCESS, 0, PROGRAM_NICE);
    WFI_SYS_LIMIT(RLIMIT_FSIZE, WFI_PROGRAM_FILE);
#if defined(RLIMIT_NPROC)
    if ((p->jail->holds & WF_HOLDS_NPROC) != 0) WFI_SYS_LIMIT(RLIMIT_NPROC, program_most());
#endif
}

/* Descriptors 0 to 2 from these; all others close with exec. */
static bool program_streams(int in, int out, int err) {
    return dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2;
}

static bool program_is_there(const char *path, int fd) {
    struct stat a, b;
    if (stat(path, &a) != 0 || fstat(fd, &b) != 0) return false;
    errno = ESTALE;
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Its mounts. They go by paths, which others may swap: those that its rights to write were taken from must be what is there. */
static const char *program_mounts(const program_run *r) {
    const wfi_program *p = r->p;
    char empty[WFI_PRIVDIR_PATH];
    wfi_privdir_name(&r->privdir, "empty", empty);
    const char *failed = wfi_jail_mounts(p->jail, p->tree, r->privdir.path, empty);
    if (failed != NULL) return failed;
    if (!program_is_there(p->tree, p->tree_fd)) return "find the workspace where it was";
    return program_is_there(r->privdir.path, r->privdir.fd) ? NULL : "find its own directory where it was";
}

static const char *program_settle(const program_run *r, int in, int out, int err) {
    const wfi_program *p = r->p;
    const char *failed = NULL;
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (setsid() < 0) return "begin a session";
    if (!program_streams(in, out, err)) return "connect its streams";
#if WFI_LINUX
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if (r->group.path[0] != '\0' && !wfi_cgroup_join(&r->group)) return "enter its cgroup";
    if (p->jail != NULL) wfi_jail_part(p->jail);
    if (p->jail != NULL) failed = wfi_jail_unplug(p->jail);
    if (p->jail != NULL && failed == NULL) failed = program_mounts(r);
    if (failed != NULL) return failed;
    if (chdir(p->dir) != 0) return "enter its directory";
    program_limits(r);
    return p->jail != NULL ? wfi_jail_enter(p->jail, p->tree_fd, r->privdir.fd) : NULL;
}

/* execvpe, which may call malloc. Returns with errno. */
static void program_exec(char *const *argv, char *const *env, const char *path) {
    char file[4096];
    size_t m = strlen(argv[0]);
    int error = ENOENT;
    if (strchr(argv[0], '/') != NULL) {
        execve(argv[0], argv, env);
        return;
    }
    for (const char *at = path; m > 0; at++) {
        size_t n = strcspn(at, ":");
        if (n > 0 && n + m + 2 <= sizeof file) {
            memcpy(file, at, n);
            file[n] = '/';
            memcpy(file + n + 1, argv[0], m + 1);
            execve(file, argv, env);
            if (errno != ENOENT && errno != ENOTDIR) error = errno;
        }
        at += n;
        if (*at == '\0') break;
    }
    errno = error;
}

typedef struct program_failure {
    const char *failed; /* of constants only: the same address on both sides */
    int error;
} program_failure;

static void program_child(const program_run *r, int in, int out, int err, int failed) {
    union { /* exec promises not to change them */
        const char *const *from;
        char *const *to;
    } argv = {r->p->argv}, env = {r->env};
    program_failure f = {program_settle(r, in, out, err), 0};
    if (f.failed == NULL) {
        size_t n = 0;
        while (r->env[n] != NULL)
            n++;
        const char *path = program_getenv(r->env, n, "PATH", 4);
        program_exec(argv.to, env.to, path != NULL ? path : PROGRAM_PATH);
        f.failed = WFI_PROGRAM_EXEC;
    }
    f.error = errno;
    if (write(failed, &f, sizeof f) < 0) _exit(126);
    _exit(127);
}

/* ---- starting ---- */

static void program_on_child(int number) {
    int saved = errno;
    (void)number;
    if (write(PROGRAM_NEWS, "", 1) < 0) errno = 0; /* full: there is news already */
    errno = saved;
}

static bool program_catch(int news) {
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = program_on_child;
    sigemptyset(&sa.sa_mask);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* of files that are ours: kept.h */
#if WFI_LINUX
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
#endif
    if (dup2(news, PROGRAM_NEWS) < 0 || fcntl(PROGRAM_NEWS, F_SETFD, FD_CLOEXEC) != 0) return false;
    return fcntl(news, F_SETFL, O_NONBLOCK) == 0 && sigaction(SIGCHLD, &sa, NULL) == 0;
}

static bool program_fail(program_run *r, const char *failed) {
    r->end->error = errno;
    r->end->failed = failed;
    return false;
}

static bool program_bound(program_run *r) {
    uint64_t number;
    char name[4 + 17] = "/wf-";
    if ((r->p->jail->holds & WF_HOLDS_CGROUP) == 0) return true;
    if (!wfi_sys_random(&number, sizeof number)) return false;
    wfi_sys_hex(number, name + 4, 16);
    return wfi_cgroup_make(&r->group, name, wfi_program_processes());
}

/* What must be there before the program: its place in the jail, its environment. */
static bool program_prepare(program_run *r) {
    wfi_program *p = r->p;
    if (p->jail != NULL) {
        const char *failed = wfi_jail_begin(p->jail);
        if (failed != NULL) return program_fail(r, failed);
        bool made = p->own != NULL ? wfi_privdir_enter(&r->privdir, p->own) : wfi_privdir_make(&r->privdir);
        if (!made) return program_fail(r, WFI_PROGRAM_OWN);
        if (!program_bound(r)) return program_fail(r, "make a cgroup for it");
        wfi_guard_look(p->tree_fd, r->guard);
    }
    r->end->cpu_s = program_cpu_s(p);
    r->finds = (p->jail != NULL && p->jail->spaces != 0) || wfi_sys_knows_children();
    if (program_must_count(p)) setpriority(PRIO_PROCESS, 0, -PROGRAM_NICE); /* if we may: a bomb must not starve us */
    r->chunk = wfi_sys_pages(PROGRAM_CHUNK);
    r->pids = wfi_sys_pages(WFI_DESCENDANTS_MAX * sizeof *r->pids);
    if (r->chunk == NULL || r->pids == NULL || !program_environment(r)) return program_fail(r, "get memory");
    return true;
}

/* A pipe for its stdin: our end is the one that does not block. */
static bool program_pipe_in(int fds[2]) {
    return wfi_sys_pipe(fds) && fcntl(fds[0], F_SETFL, 0) == 0 && fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0;
}

typedef struct program_ends {
    int in[2], out[2], err[2], failed[2];
} program_ends;

/* NULL, or what could not be done. */
static const char *program_pipes(const wfi_program *p, program_ends *e) {
    bool good = wfi_sys_pipe(e->out) && wfi_sys_pipe(e->failed);
    if (good && p->err.cap > 0) good = wfi_sys_pipe(e->err);
    if (good && p->input.len > 0) good = program_pipe_in(e->in);
    if (!good) return "make its pipes";
    if (p->input.len == 0) e->in[0] = wfi_sys_high(open("/dev/null", O_RDONLY | O_CLOEXEC));
    return e->in[0] >= 0 ? NULL : "open /dev/null";
}

static bool program_start(program_run *r) {
    program_ends e = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    const char *failed = program_pipes(r->p, &e);
    if (failed == NULL && !(wfi_sys_pipe(r->news) && program_catch(r->news[1])))
        failed = "hear of its processes, which takes 64 open files (ulimit -n)";
    if (failed == NULL && (r->pid = (pid_t)wfi_sys_fork(0)) < 0) failed = "make a process";
    if (failed != NULL) program_fail(r, failed);
    if (failed == NULL && r->pid == 0)
        program_child(r, e.in[0], e.out[1], r->p->err.cap > 0 ? e.err[1] : e.out[1], e.failed[1]);
    wfi_sys_close(&e.in[0]);
    wfi_sys_close(&e.out[1]);
    wfi_sys_close(&e.err[1]);
    wfi_sys_close(&e.failed[1]);
    r->in = e.in[1];
    r->out = e.out[0];
    r->err = e.err[0];
    r->failed = e.failed[0];
    return r->end->failed == NULL;
}

/* ---- watching ---- */

/* First of a PID namespace, we reach all that is in it, at one blow. */
static void program_signal(const program_run *r, int number) {
    if (r->p->jail != NULL && r->p->jail->spaces != 0)
        kill(-1, number);
    else if (wfi_descendants_signal(r->pids, number) == 0 && !r->ended)
        kill(-r->pid, number);
}

static void program_ended(program_run *r, int status) {
    r->ended = true;
    if (WIFSIGNALED(status)) r->end->signal = WTERMSIG(status);
    r->end->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Where its descendants are not to be found, its group goes while its number is still held. */
static void program_before_reaping(program_run *r) {
    siginfo_t info;
    if (r->ended || r->finds) return;
    memset(&info, 0, sizeof info);
    if (waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == r->pid)
        kill(-r->pid, SIGKILL);
}

/* Takes in whoever has ended; false: nobody is left. */
static bool program_reap(program_run *r) {
    for (;;) {
        int status = 0;
        program_before_reaping(r);
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == 0) return true;
        if (pid == r->pid && (WIFEXITED(status) || WIFSIGNALED(status))) program_ended(r, status);
        if (pid < 0 && errno != EINTR) return false;
    }
}

static void program_stop(program_run *r, uint64_t now, uint64_t grace) {
    if (grace > 0) program_signal(r, SIGTERM);
    r->kill_at = now + grace;
    if (r->give_up == UINT64_MAX) r->give_up = r->kill_at + (r->finds ? PROGRAM_GIVE_UP_MS : PROGRAM_UNFOUND_MS);
}

/* Nobody listens any more. The user's own program may have something to end elsewhere, a container or a jail of its own, and
 * gets the time for that; if it is being asked already, that goes on. */
static void program_abandon(program_run *r) {
    bool own = r->p->jail == NULL;
    if (!own || r->kill_at == UINT64_MAX) program_stop(r, wfi_sys_now_ms(), own ? PROGRAM_GRACE_MS : 0);
}

/* Before the bound becomes none at all. */
static void program_note_bound(program_run *r) {
    if (!r->frozen) r->end->bounded = wfi_cgroup_was_full(&r->group);
    r->frozen = true;
}

static void program_look(program_run *r, uint64_t now) {
    if (r->kill_at == UINT64_MAX && r->ended) {
        r->end->left = true;
        program_stop(r, now, PROGRAM_LEFT_MS);
    } else if (r->kill_at == UINT64_MAX && now >= r->p->deadline) {
        r->end->timed_out = true;
        program_stop(r, now, PROGRAM_GRACE_MS);
    }
    if (now >= r->count_at && program_must_count(r->p)) {
        r->count_at = now + PROGRAM_COUNT_MS;
        uint32_t most = wfi_program_processes();
        if (!r->end->crowded && wfi_descendants_count(r->pids, most) > most) {
            r->end->crowded = true;
            program_stop(r, now, 0);
        }
    }
    if (now < r->kill_at) return;
    program_note_bound(r);
    wfi_cgroup_freeze(&r->group);
    program_signal(r, SIGKILL);
    r->kill_at = now + PROGRAM_AGAIN_MS;
}

static int program_timeout(const program_run *r, uint64_t now) {
    uint64_t due = r->kill_at < UINT64_MAX ? r->kill_at : r->p->deadline;
    if (program_must_count(r->p) && r->count_at < due) due = r->count_at;
    if (due <= now) return 0;
    return due - now < 60000 ? (int)(due - now) : 60000;
}

/* One turn at a stream; false: nothing more for now. */
static bool program_read(program_run *r, int *fd) {
    bool out = fd == &r->out;
    wfi_gather *g = out ? &r->p->out : &r->p->err;
    ssize_t n = read(*fd, r->chunk, PROGRAM_CHUNK);
    if (n < 0) return errno == EINTR;
    if (n == 0) wfi_sys_close(fd);
    if (r->p->own != NULL)
        wfi_kept_add(out ? &r->end->out : &r->end->err, r->privdir.fd, out ? "out" : "err", g, r->chunk, (size_t)n);
    wfi_gather_add(g, r->chunk, (size_t)n);
    return n > 0;
}

static void program_read_some(program_run *r, int *fd) {
    for (int i = 0; i < PROGRAM_READS && *fd >= 0; i++)
        if (!program_read(r, fd)) return;
}

static void program_feed(program_run *r) {
    wf_str left = wf_str_of(r->p->input.ptr + r->fed, r->p->input.len - r->fed);
    ssize_t n = write(r->in, left.ptr, left.len);
    if (n > 0) r->fed += (size_t)n;
    if (r->fed == r->p->input.len || (n < 0 && errno != EAGAIN && errno != EINTR)) wfi_sys_close(&r->in);
}

/* Sleeps until something is to be done, and does what the streams want. */
static void program_wait(program_run *r, uint64_t now) {
    char news[64];
    struct pollfd fds[5] = {{.fd = r->news[0], .events = POLLIN},
                            {.fd = r->reader}, /* an error there: nobody listens */
                            {.fd = r->out, .events = POLLIN},
                            {.fd = r->err, .events = POLLIN},
                            {.fd = r->in, .events = POLLOUT}};
    if (poll(fds, 5, program_timeout(r, now)) <= 0) return;
    if (fds[0].revents != 0 && read(r->news[0], news, sizeof news) < 0) return;
    if (fds[1].revents != 0) {
        r->reader = -1;
        program_abandon(r); /* `now` was before we slept */
    }
    if (fds[2].revents != 0) program_read_some(r, &r->out);
    if (fds[3].revents != 0) program_read_some(r, &r->err);
    if (fds[4].revents != 0) program_feed(r);
}

static void program_watch(program_run *r) {
    r->kill_at = r->give_up = UINT64_MAX;
    while (program_reap(r)) {
        uint64_t now = wfi_sys_now_ms();
        r->end->survived = now >= r->give_up;
        if (r->end->survived) return;
        program_look(r, now);
        program_wait(r, now);
    }
}

/* How many processes the system has ended for want of memory, its own or a container's. */
static uint64_t program_starved(void) {
    char text[16384];
    int fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    wfi_sys_close(&fd);
    text[n > 0 ? n : 0] = '\0';
    const char *line = strstr(text, "\noom_kill ");
    return line != NULL ? wfi_sys_number(line + 10) : 0;
}

/* All writers are gone: what they wrote is in the pipes. */
static void program_drain(program_run *r) {
    program_failure f;
    program_read_some(r, &r->out);
    program_read_some(r, &r->err);
    wfi_kept_end(&r->end->out);
    wfi_kept_end(&r->end->err);
    if (read(r->failed, &f, sizeof f) != (ssize_t)sizeof f) return;
    r->end->failed = f.failed;
    r->end->error = f.error;
}

void wfi_program_run(wfi_program *p, wfi_program_end *end) {
    program_run r = {.p = p, .end = end, .in = -1, .out = -1, .err = -1, .failed = -1, .news = {-1, -1}, .reader = 1};
    r.privdir.fd = -1;
    memset(end, 0, sizeof *end);
    signal(SIGTERM, SIG_IGN); /* meant for programs: another supervisor, above us, sends it to all below it */
    r.starved = program_starved();
    if (program_prepare(&r) && program_start(&r)) {
        program_watch(&r);
        program_drain(&r);
        program_note_bound(&r);
        r.end->starved = r.end->code == 128 + SIGKILL && !r.end->timed_out && program_starved() > r.starved;
        if (p->jail != NULL) wfi_guard_restore(p->tree_fd, r.guard, p->first, end->aside);
    }
    wfi_cgroup_remove(&r.group);
    if (p->own != NULL)
        wfi_privdir_leave(&r.privdir);
    else if (r.privdir.fd >= 0)
        wfi_privdir_remove(&r.privdir);
    wfi_sys_pages_end(r.env, r.env_size);
    wfi_sys_pages_end(r.git, r.git_size);
    wfi_sys_pages_end(r.chunk, PROGRAM_CHUNK);
    wfi_sys_pages_end(r.pids, WFI_DESCENDANTS_MAX * sizeof *r.pids);
    wfi_sys_close(&r.in);
    wfi_sys_close(&r.out);
    wfi_sys_close(&r.err);
    wfi_sys_close(&r.failed);
    signal(SIGCHLD, SIG_DFL);
    close(PROGRAM_NEWS);
    wfi_sys_close(&r.news[0]);
    wfi_sys_close(&r.news[1]);
}
