/* gitrules: see gitrules.h. No malloc: it runs in forked children. */
#include "gitrules.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define GITRULES_LEVELS  128u              /* folders looked at above the root */
#define GITRULES_CONFIG  ((size_t)1 << 20) /* bytes of a configuration that are read */
#define GITRULES_INCLUDE 8u                /* configurations within each other */
#define GITRULES_ENV     64u               /* settings of the environment that are looked at */
#if defined(O_PATH)
#define GITRULES_STEP (O_PATH | O_DIRECTORY | O_CLOEXEC)
#else
#define GITRULES_STEP (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#endif
#define GITRULES_FILE (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* ---- files ---- */

/* A regular file, or -1. */
static int gitrules_file(int dir, const char *name, int more) {
    int fd = openat(dir, name, GITRULES_FILE | more);
    if (fd >= 0 && !wfi_confine_is_file(fd, NULL)) wfi_sys_close(&fd);
    return fd;
}

/* The first line of a file that holds a path, without `lead`. False: there is no such file. */
static bool gitrules_line(int dir, const char *name, const char *lead, char path[WFI_CONFINE_PATH]) {
    char text[WFI_CONFINE_PATH];
    int fd = gitrules_file(dir, name, 0);
    if (fd < 0) return false;
    size_t n = wfi_sys_read(fd, text, sizeof text - 1), m = strlen(lead);
    close(fd);
    text[n] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    if (strncmp(text, lead, m) != 0) return false;
    memcpy(path, text + m, strlen(text + m) + 1);
    return path[0] != '\0';
}

/* ---- the repository ---- */

/* The folder that .git is or names; -1: there is none. */
static int gitrules_git(int at) {
    char path[WFI_CONFINE_PATH];
    int git = openat(at, ".git", GITRULES_STEP);
    if (git < 0 && gitrules_line(at, ".git", "gitdir: ", path)) git = openat(at, path, GITRULES_STEP);
    return git;
}

/* The folder that all worktrees share. */
static int gitrules_common(int git) {
    char path[WFI_CONFINE_PATH];
    return openat(git, gitrules_line(git, "commondir", "", path) ? path : ".", GITRULES_STEP);
}

/* One folder up, if that is on the same file system and not at its end; -1: it is not. */
static int gitrules_up(int at) {
    struct stat below, above;
    int up = openat(at, "..", GITRULES_STEP);
    if (up < 0) return -1;
    bool further = fstat(at, &below) == 0 && fstat(up, &above) == 0 && below.st_dev == above.st_dev &&
                   below.st_ino != above.st_ino;
    if (!further) wfi_sys_close(&up);
    return up;
}

/* Finds the top; its .git, or -1: the root belongs to no repository. */
static int gitrules_top(wfi_gitrules *g, int root, const char *path) {
    struct stat st;
    size_t end = strlen(path), from = end;
    int at = openat(root, ".", GITRULES_STEP), git = -1;
    for (uint32_t i = 0; i < GITRULES_LEVELS && at >= 0; i++) {
        git = gitrules_git(at);
        if (git >= 0 && i > 0 && fstatat(git, "HEAD", &st, 0) != 0) wfi_sys_close(&git); /* is none to git */
        if (git >= 0 || from <= 1) break;
        int up = gitrules_up(at);
        close(at);
        at = up;
        do
            from--;
        while (from > 0 && path[from] != '/');
    }
    if (git < 0) {
        wfi_sys_close(&at);
        return -1;
    }
    g->top = at;
    g->above = end - from > 0 ? end - from - 1 : 0;
    return git;
}

/* ---- configurations ---- */

typedef struct gitrules_config {
    char *room;
    size_t size;
    uint32_t depth;
    bool worktree;               /* there is one of the worktree's own */
    bool named;                  /* the user's file is, */
    char file[WFI_CONFINE_PATH]; /* ... so */
} gitrules_config;

/* What a setting names: ~ is the home. False: it does not fit, or there is no home. */
static bool gitrules_expand(const char *value, char out[WFI_CONFINE_PATH]) {
    bool home = value[0] == '~' && (value[1] == '/' || value[1] == '\0');
    const char *dir = home ? getenv("HOME") : "";
    size_t n = dir != NULL ? strlen(dir) : 0, m = strlen(value + home);
    if (dir == NULL || n + m >= WFI_CONFINE_PATH) return false;
    memcpy(out, dir, n);
    memcpy(out + n, value + home, m + 1);
    return true;
}

static void gitrules_load(gitrules_config *c, int dir, const char *path);

/* A file that is included, beside the one at dir/path. */
static void gitrules_include(gitrules_config *c, int dir, const char *path, const char *value) {
    char name[WFI_CONFINE_PATH], folder[WFI_CONFINE_PATH];
    if (!gitrules_expand(value, name)) return;
    const char *slash = strrchr(path, '/');
    size_t n = slash != NULL ? (size_t)(slash - path) : 0;
    memcpy(folder, slash == NULL ? "." : n == 0 ? "/" : path, n > 0 ? n : 1);
    folder[n > 0 ? n : 1] = '\0';
    int beside = openat(dir, folder, GITRULES_STEP);
    if (beside < 0) return;
    gitrules_load(c, beside, name);
    close(beside);
}

/* What one setting says; section and key as they are written, section with its sub-section. */
static void gitrules_set(gitrules_config *c, int dir, const char *path, const char *section, const char *key,
                         const char *value) {
    if (strcasecmp(section, "core") == 0 && strcasecmp(key, "excludesfile") == 0) {
        c->named = true;
        if (!gitrules_expand(value, c->file)) c->file[0] = '\0';
    } else if (strcasecmp(section, "extensions") == 0 && strcasecmp(key, "worktreeconfig") == 0) {
        c->worktree = value[0] == '\0' || strcasecmp(value, "true") == 0 || strcasecmp(value, "yes") == 0 ||
                      strcasecmp(value, "on") == 0 || strcmp(value, "1") == 0;
    } else if (strcasecmp(section, "include") == 0 && strcasecmp(key, "path") == 0) {
        gitrules_include(c, dir, path, value);
    }
}

static bool gitrules_is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool gitrules_is_key(char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-';
}

/* Takes [section "sub"] at *at; what does not fit is no section of ours. */
static void gitrules_section(wf_str text, size_t *at, char *out, size_t size) {
    size_t n = 0, i = *at + 1;
    bool quoted = false;
    for (; i < text.len && text.ptr[i] != '\n' && (quoted || text.ptr[i] != ']'); i++) {
        quoted = quoted != (text.ptr[i] == '"');
        if (n < size - 1) out[n++] = text.ptr[i];
    }
    out[n] = '\0';
    *at = i < text.len ? i + 1 : i;
}

/* Takes a value up to its line's end: quotes, escapes, comments, lines that go on. */
static void gitrules_value(wf_str text, size_t *at, char *out, size_t size) {
    size_t n = 0, keep = 0, i = *at;
    bool quoted = false;
    for (; i < text.len && text.ptr[i] != '\n'; i++) {
        char c = text.ptr[i];
        if (!quoted && (c == '#' || c == ';')) break;
        if (c == '"') {
            quoted = !quoted;
            continue;
        }
        bool escaped = c == '\\' && i + 1 < text.len;
        if (escaped) c = text.ptr[++i];
        if (escaped && c == '\n') continue;
        if (escaped) c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'b' ? '\b' : c;
        if (n == 0 && !quoted && !escaped && gitrules_is_blank(c)) continue;
        if (n < size - 1) out[n++] = c;
        if (quoted || escaped || !gitrules_is_blank(c)) keep = n;
    }
    out[keep] = '\0';
    while (i < text.len && text.ptr[i] != '\n')
        i++;
    *at = i;
}

static void gitrules_parse(gitrules_config *c, int dir, const char *path, wf_str text) {
    char section[128] = "", key[64], value[WFI_CONFINE_PATH];
    for (size_t i = 0; i < text.len;) {
        size_t n = 0;
        if (gitrules_is_blank(text.ptr[i])) {
            i++;
            continue;
        }
        if (text.ptr[i] == '[') {
            gitrules_section(text, &i, section, sizeof section);
            continue;
        }
        for (; i < text.len && gitrules_is_key(text.ptr[i]); i++)
            if (n < sizeof key - 1) key[n++] = text.ptr[i];
        key[n] = '\0';
        while (i < text.len && (text.ptr[i] == ' ' || text.ptr[i] == '\t'))
            i++;
        bool given = i < text.len && text.ptr[i] == '=';
        i += given;
        gitrules_value(text, &i, value, sizeof value); /* or the rest of a comment */
        if (n > 0) gitrules_set(c, dir, path, section, key, given ? value : "");
    }
}

/* Reads a configuration; what it includes lies in the room behind it. */
static void gitrules_load(gitrules_config *c, int dir, const char *path) {
    int fd = c->depth < GITRULES_INCLUDE ? gitrules_file(dir, path, 0) : -1;
    if (fd < 0) return;
    size_t n = wfi_sys_read(fd, c->room, c->size < GITRULES_CONFIG ? c->size : GITRULES_CONFIG);
    wf_str text = wf_str_of(c->room, n);
    close(fd);
    c->room += n;
    c->size -= n;
    c->depth++;
    if (text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0) text = wf_str_of(text.ptr + 3, text.len - 3);
    gitrules_parse(c, dir, path, text);
    c->depth--;
    c->room -= n;
    c->size += n;
}

/* A file in the user's folder of configurations. False: there is no such folder. */
static bool gitrules_own(const char *name, char out[WFI_CONFINE_PATH]) {
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char dir[WFI_CONFINE_PATH];
    if (xdg != NULL && xdg[0] != '\0') return wfi_sys_join(xdg, name, out, WFI_CONFINE_PATH);
    return home != NULL && home[0] != '\0' && wfi_sys_join(home, ".config", dir, sizeof dir) &&
           wfi_sys_join(dir, name, out, WFI_CONFINE_PATH);
}

static bool gitrules_is_set(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' && strcmp(value, "0") != 0 && strcasecmp(value, "false") != 0 &&
           strcasecmp(value, "no") != 0;
}

/* Those outside of the repository. */
static void gitrules_users(gitrules_config *c) {
    char path[WFI_CONFINE_PATH];
    const char *all = getenv("GIT_CONFIG_SYSTEM"), *global = getenv("GIT_CONFIG_GLOBAL"), *home = getenv("HOME");
    if (!gitrules_is_set("GIT_CONFIG_NOSYSTEM")) gitrules_load(c, AT_FDCWD, all != NULL ? all : "/etc/gitconfig");
    if (global != NULL) {
        gitrules_load(c, AT_FDCWD, global);
        return;
    }
    if (gitrules_own("git/config", path)) gitrules_load(c, AT_FDCWD, path);
    if (home != NULL && wfi_sys_join(home, ".gitconfig", path, sizeof path)) gitrules_load(c, AT_FDCWD, path);
}

/* GIT_CONFIG_COUNT, with GIT_CONFIG_KEY_0, GIT_CONFIG_VALUE_0 and so on. */
static void gitrules_environment(gitrules_config *c) {
    const char *count = getenv("GIT_CONFIG_COUNT");
    uint64_t n = count != NULL ? wfi_sys_number(count) : 0;
    for (uint64_t i = 0; i < n && i < GITRULES_ENV; i++) {
        char key[64] = "GIT_CONFIG_KEY_", value[64] = "GIT_CONFIG_VALUE_", room[WFI_SYS_DECIMAL];
        const char *number = wfi_sys_decimal(i, room);
        memcpy(key + strlen(key), number, strlen(number) + 1);
        memcpy(value + strlen(value), number, strlen(number) + 1);
        const char *k = getenv(key), *v = getenv(value);
        if (k != NULL && v != NULL && strcasecmp(k, "core.excludesfile") == 0)
            gitrules_set(c, AT_FDCWD, "", "core", "excludesfile", v);
    }
}

/* ---- all of it ---- */

static int gitrules_user(const wfi_gitrules *g, gitrules_config *c, int git, int common) {
    gitrules_users(c);
    gitrules_load(c, common, "config");
    if (c->worktree) gitrules_load(c, git, "config.worktree");
    gitrules_environment(c);
    if (!c->named && !gitrules_own("git/ignore", c->file)) return -1;
    return c->file[0] != '\0' ? gitrules_file(g->top, c->file, 0) : -1;
}

void wfi_gitrules_open(wfi_gitrules *g, int root, const char *path, char *room, size_t size) {
    gitrules_config c = {.room = room, .size = size};
    *g = (wfi_gitrules){.top = -1, .exclude = -1, .user = -1};
    int git = gitrules_top(g, root, path);
    if (git < 0) {
        g->top = openat(root, ".", GITRULES_STEP);
        return;
    }
    int common = gitrules_common(git);
    if (common >= 0) {
        g->exclude = gitrules_file(common, "info/exclude", O_NOFOLLOW);
        g->user = gitrules_user(g, &c, git, common);
    }
    wfi_sys_close(&common);
    close(git);
}

void wfi_gitrules_close(wfi_gitrules *g) {
    wfi_sys_close(&g->top);
    wfi_sys_close(&g->exclude);
    wfi_sys_close(&g->user);
}
