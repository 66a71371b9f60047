/* home: see home.h for its invariants. The holder is a fork of a process that may have threads: no
 * malloc, no stdio. */
#include "home.h"
#include "child.h"
#include "jail.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#if WFI_LINUX
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#endif

#define HOME_HOLDER    3  /* where the holder has its end of the socket, */
#define HOME_FOLDER    4  /* ... and the run's folder */
#define HOME_PATIENCE  60 /* seconds for the holder to answer, on the busiest machine */
#define HOME_MOUNTINFO ((size_t)4 << 20)
#define HOME_MOUNTS    ((size_t)16384) /* below HOME */

#if !defined(MSG_NOSIGNAL) /* there SIGPIPE is ignored, or ends a child that has nothing left to do */
#define MSG_NOSIGNAL 0
#endif

/* ---- a descriptor through a socket ---- */

typedef union home_control {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(int))];
} home_control;

/* One byte, and a descriptor unless it is -1. */
static bool home_send(int socket, char byte, int fd) {
    home_control control;
    struct iovec part = {&byte, 1};
    struct msghdr m;
    memset(&m, 0, sizeof m);
    memset(&control, 0, sizeof control);
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    if (fd >= 0) {
        m.msg_control = control.room;
        m.msg_controllen = sizeof control.room;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    return sendmsg(socket, &m, MSG_NOSIGNAL) == 1;
}

/* False: nobody is at the other end any more, or errno says what. fd: -1 if none came. */
static bool home_receive(int socket, char *byte, int *fd) {
    home_control control;
    struct iovec part = {byte, 1};
    struct msghdr m;
    ssize_t n;
    memset(&m, 0, sizeof m);
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    m.msg_control = control.room;
    m.msg_controllen = sizeof control.room;
    *fd = -1;
    do
        n = recvmsg(socket, &m, 0);
    while (n < 0 && errno == EINTR);
    if (n == 0) errno = ESRCH;
    if (n <= 0) return false;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) return true;
    memcpy(fd, CMSG_DATA(c), sizeof *fd);
    fcntl(*fd, F_SETFD, FD_CLOEXEC);
    return true;
}

static bool home_socket(int ends[2]) {
    const struct timeval patience = {HOME_PATIENCE, 0};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return false;
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        ends[i] = wfi_sys_high(ends[i]);
    }
    if (ends[0] >= 0 && ends[1] >= 0 && setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0)
        return true;
    wfi_sys_close(&ends[0]);
    wfi_sys_close(&ends[1]);
    return false;
}

/* ---- the holder ---- */

#if WFI_LINUX

#define HOME_OPEN_TREE 428

#define HOME_PLACES  "redirect_dir=nofollow,index=off,lowerdir=lower,upperdir=upper,workdir=work"
#define HOME_TRUSTED "metacopy=off"
#define HOME_USER    "userxattr" /* which takes no metacopy */

/* What it is told in: the names lie in the folder that the holder is in, so that no path needs
 * escapes. With a user namespace attributes have another prefix; nothing is followed or shared that
 * a layer could name; and as it ends with the run nothing of it is synced. */
static bool home_overlay(bool apart) {
    static const char *const options[2][2] = {{HOME_TRUSTED "," HOME_PLACES ",volatile", HOME_TRUSTED "," HOME_PLACES},
                                              {HOME_USER "," HOME_PLACES ",volatile", HOME_USER "," HOME_PLACES}};
    for (int i = 0; i < 2; i++)
        if (mount("overlay", "lower", "overlay", MS_NOSUID | MS_NODEV, options[apart][i]) == 0) return true;
    return false;
}

/* The folders of one, in the folder that the holder is in. */
static bool home_layers(const wfi_home *h, bool apart) {
    struct stat st;
    if (mkdir("lower", 0700) != 0 || mkdir("upper", 0700) != 0 || mkdir("work", 0700) != 0) return false;
    if (stat(h->real, &st) != 0 || chmod("upper", st.st_mode & 07777) != 0) return false;
    if (mount(h->real, "lower", NULL, MS_BIND, NULL) != 0) return false;
    if (home_overlay(apart)) return true;
    int saved = errno;
    umount2("lower", MNT_DETACH);
    errno = saved;
    return false;
}

/* In namespaces of its own. '\0', or how: on disk, or in memory where that file system can be no
 * upper layer. */
static char home_mount(const wfi_home *h, const wfi_jail *j) {
    bool apart = (j->spaces & CLONE_NEWUSER) != 0;
    if (wfi_jail_begin(j) != NULL || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0) return '\0';
    /* by its path: an open folder is still one among the mounts that we come from */
    if (chdir(h->dir.path) != 0 || mkdir(WFI_HOME_LAYERS_DIR, 0700) != 0 || chdir(WFI_HOME_LAYERS_DIR) != 0)
        return '\0';
    if (home_layers(h, apart)) return 'L';
    if (chdir(h->dir.path) != 0 ||
        mount("none", WFI_HOME_LAYERS_DIR, "tmpfs", MS_NOSUID | MS_NODEV, "mode=700,size=25%") != 0)
        return '\0';
    if (chdir(WFI_HOME_LAYERS_DIR) == 0 && home_layers(h, apart)) return 'M';
    if (chdir(h->dir.path) == 0) umount2(WFI_HOME_LAYERS_DIR, MNT_DETACH);
    return '\0';
}

/* A copy of the overlay alone. */
static int home_copy(void) {
    return (int)syscall(HOME_OPEN_TREE, AT_FDCWD, "lower", 1u /* OPEN_TREE_CLONE */ | O_CLOEXEC);
}

static void home_end_layers(const wfi_home *h) {
    if (chdir("/") != 0 || h->kind != WFI_HOME_LAYERS) return;
    char path[WFI_PRIVDIR_PATH];
    wfi_privdir_name(&h->dir, WFI_HOME_LAYERS_DIR "/lower", path);
    umount2(path, MNT_DETACH);
    umount2(path, MNT_DETACH);
    wfi_privdir_name(&h->dir, WFI_HOME_LAYERS_DIR, path);
    if (h->small) umount2(path, MNT_DETACH);
}

static uint32_t home_spaces(const wfi_jail *j) {
    return j->spaces == 0 ? 0 : (j->spaces & CLONE_NEWUSER) | CLONE_NEWNS;
}

#else

static char home_mount(const wfi_home *h, const wfi_jail *j) {
    (void)h;
    (void)j;
    return '\0';
}

static int home_copy(void) {
    return -1;
}

static void home_end_layers(const wfi_home *h) {
    (void)h;
}

static uint32_t home_spaces(const wfi_jail *j) {
    (void)j;
    return 0;
}

#endif

/* Answers whoever asks, until nobody can any more. The places are made for the first. */
static void home_serve(wfi_home *h, int socket) {
    bool ready = false;
    char byte;
    int answer;
    while (home_receive(socket, &byte, &answer)) {
        int caches =
            ready ? -1 : openat(h->dir.fd, WFI_HOME_CACHES_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (caches >= 0) wfi_caches_make(&h->caches, h->path, caches);
        ready = true;
        int copy = h->kind == WFI_HOME_LAYERS ? home_copy() : -1;
        home_send(answer, '+', copy);
        wfi_sys_close(&caches);
        wfi_sys_close(&copy);
        wfi_sys_close(&answer);
    }
}

/* Nobody's signals are for it: it ends when its work is done. Of ours it holds no stream, for whose
 * end somebody may wait, and nothing but the socket and the folder, which are moved to these
 * places. False: there are no descriptors for that. */
static bool home_settle(int socket, int folder) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), high = fcntl(folder, F_DUPFD_CLOEXEC, HOME_FOLDER + 1);
    for (int fd = 0; fd < 3; fd++)
        if (null >= 0) dup2(null, fd);
    bool good = high >= 0 && dup2(socket, HOME_HOLDER) == HOME_HOLDER && dup2(high, HOME_FOLDER) == HOME_FOLDER;
    wfi_child_close_from(HOME_FOLDER + 1);
    return good;
}

static void home_keep(wfi_home *h, const wfi_jail *j, int socket) {
    if (!home_settle(socket, h->dir.fd)) _exit(1);
    socket = HOME_HOLDER;
    h->dir.fd = HOME_FOLDER;
    char how = home_spaces(j) != 0 ? home_mount(h, j) : '\0';
    if (how != '\0') h->kind = WFI_HOME_LAYERS;
    h->small = how == 'M';
    wfi_caches_plan(&h->caches, h->path, h->kind != WFI_HOME_LAYERS, "", h->root); /* which, not where */
    if (home_send(socket, how != '\0' ? how : '-', -1)) home_serve(h, socket);
    wfi_sys_close(&socket);
    home_end_layers(h);
    wfi_privdir_remove(&h->dir);
    _exit(0);
}

/* ---- the run's side ---- */

/* False: there is none to show. */
static bool home_find(wfi_home *h, const wfi_jail *j) {
    char real[4096];
    struct stat st;
    const char *home = wfi_jail_home(j);
    if (home == NULL || strlen(home) >= sizeof h->path || realpath(home, real) == NULL) return false;
    if (strlen(real) >= sizeof h->real || strcmp(real, "/") == 0 || stat(real, &st) != 0 || !S_ISDIR(st.st_mode))
        return false;
    strcpy(h->path, home);
    strcpy(h->real, real);
    return true;
}

/* What could not be had is not tried again: commands have an empty home. */
static void home_give_up(wfi_home *h) {
    h->kind = WFI_HOME_PRIVATE;
    wfi_home_close(h);
}

static bool home_start(wfi_home *h, const wfi_jail *j) {
    int ends[2];
    sigset_t all, old;
    if (!home_socket(ends)) return false;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old);
    h->pid = wfi_sys_fork(home_spaces(j));
    if (h->pid == 0) home_keep(h, j, ends[1]);
    sigprocmask(SIG_SETMASK, &old, NULL);
    wfi_sys_close(&ends[1]);
    h->holder = ends[0];
    return h->pid > 0;
}

void wfi_home_open(wfi_home *h, const struct wfi_jail *j, const char *root) {
    char how = '-', caches[WFI_PRIVDIR_PATH];
    int none;
    memset(h, 0, sizeof *h);
    h->holder = h->dir.fd = -1;
    h->root = root;
    if (!home_find(h, j) || !wfi_privdir_make(&h->dir)) return;
    if (mkdirat(h->dir.fd, WFI_HOME_CACHES_DIR, 0700) != 0 || !home_start(h, j) ||
        !home_receive(h->holder, &how, &none)) {
        home_give_up(h);
        return;
    }
    bool confined = j->frozen || (j->holds & WF_HOLDS_FILES) != 0;
    h->small = how == 'M';
    h->kind = how != '-' ? WFI_HOME_LAYERS : confined ? WFI_HOME_CACHES : WFI_HOME_PRIVATE;
    wfi_privdir_name(&h->dir, WFI_HOME_CACHES_DIR, caches);
    if (h->kind != WFI_HOME_PRIVATE)
        wfi_caches_plan(&h->caches, h->path, h->kind == WFI_HOME_CACHES, caches, root);
    else
        home_give_up(h);
}

void wfi_home_close(wfi_home *h) {
    wfi_sys_close(&h->holder);
    while (h->pid > 0 && waitpid((pid_t)h->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    if (h->dir.fd >= 0) wfi_privdir_remove(&h->dir); /* the holder has done so, if it was not killed */
    h->pid = 0;
}

bool wfi_home_is_of_run(const wfi_home *h) {
    size_t n = strlen(h->root);
    return strncmp(h->real, h->root, n) == 0 && (n <= 1 || h->real[n] == '/' || h->real[n] == '\0');
}

/* ---- in a command ---- */

bool wfi_home_take(const wfi_home *h, int *mount) {
    int ends[2];
    char byte;
    *mount = -1;
    if (!home_socket(ends)) return false;
    bool good = home_send(WFI_HOME_SOCKET, '?', ends[1]);
    wfi_sys_close(&ends[1]);
    good = good && home_receive(ends[0], &byte, mount);
    int saved = errno;
    wfi_sys_close(&ends[0]);
    errno = saved;
    return good && (h->kind != WFI_HOME_LAYERS || *mount >= 0);
}

/* ---- mounts below a folder ---- */

/* The field of a line that is a path, with its escapes (\040) undone in place; NULL: the line has
 * none. */
static char *home_mountpoint(char *line) {
    for (int i = 0; i < 4 && line != NULL; i++)
        line = strchr(line, ' ') != NULL ? strchr(line, ' ') + 1 : NULL;
    if (line == NULL) return NULL;
    char *to = line;
    for (const char *from = line; *from != '\0' && *from != ' '; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] != '\0' && from[3] != '\0') {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
    return line;
}

/* All of a file of /proc, terminated. False: it cannot be read, or has more. */
static bool home_read(const char *path, char *out, size_t size) {
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (ssize_t got = 1; fd >= 0 && got > 0 && n<size - 1; n += got> 0 ? (size_t)got : 0)
        got = read(fd, out + n, size - 1 - n);
    out[n] = '\0';
    bool all = fd >= 0 && n < size - 1;
    wfi_sys_close(&fd);
    return all;
}

static size_t home_collect(char *text, const char *folder, const char **seen) {
    size_t count = 0;
    for (char *line = text, *next; line[0] != '\0' && count < HOME_MOUNTS; line = next) {
        size_t n = strcspn(line, "\n");
        next = line + n + (line[n] == '\n');
        line[n] = '\0';
        const char *path = home_mountpoint(line);
        bool take = path != NULL && wfi_sys_is_below(path, folder);
        for (size_t i = 0; take && i < count; i++)
            take = strcmp(path, seen[i]) != 0 && !wfi_sys_is_below(path, seen[i]);
        if (take) seen[count++] = path;
    }
    return count;
}

bool wfi_home_mounts(const char *folder, wfi_home_fn each, void *ctx) {
    char *text = wfi_sys_pages(HOME_MOUNTINFO);
    const char **seen = wfi_sys_pages(HOME_MOUNTS * sizeof *seen);
    bool good = text != NULL && seen != NULL && home_read("/proc/self/mountinfo", text, HOME_MOUNTINFO);
    size_t count = good ? home_collect(text, folder, seen) : 0;
    good = good && count < HOME_MOUNTS;
    for (size_t i = 0; good && i < count; i++)
        good = each(ctx, seen[i] + strlen(folder) + 1);
    wfi_sys_pages_end(seen, HOME_MOUNTS * sizeof *seen);
    wfi_sys_pages_end(text, HOME_MOUNTINFO);
    return good;
}
