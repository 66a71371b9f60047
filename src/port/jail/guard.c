/* guard: see guard.h. */
#include "guard.h"
#include <fcntl.h>
#include <stdio.h> /* renameat */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GUARD_GIT     ".git"
#define GUARD_WF      ".wf"
#define GUARD_ASIDE   ".refused-"
#define GUARD_POINTER "gitdir:"

static const char *const guard_names[WFI_GUARDS] = {GUARD_GIT, GUARD_WF};

/* What git looks for in a folder that might be a repository. */
typedef struct guard_part {
    const char *name, *low;
} guard_part;
enum { GUARD_HEAD, GUARD_COMMONDIR, GUARD_REFS, GUARD_OBJECTS, GUARD_PARTS };
static const guard_part guard_parts[GUARD_PARTS] = {
    {"HEAD", "head"}, {"commondir", "commondir"}, {"refs", "refs"}, {"objects", "objects"}};

static wfi_guard_id guard_id(const struct stat *st) {
    return (wfi_guard_id){(uint64_t)st->st_dev, (uint64_t)st->st_ino, true};
}

static bool guard_same(const wfi_guard_id *a, const wfi_guard_id *b) {
    return a->there && b->there && a->dev == b->dev && a->ino == b->ino;
}

/* The folder that a file .git names, as it is written there; false: it names none. */
static bool guard_pointer(int tree, char out[WFI_GUARD_PATH]) {
    struct stat st;
    const size_t mark = sizeof GUARD_POINTER - 1;
    int fd = openat(tree, GUARD_GIT, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n = -1;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) n = read(fd, out, WFI_GUARD_PATH - 1);
    wfi_sys_close(&fd);
    if (n <= (ssize_t)mark || memcmp(out, GUARD_POINTER, mark) != 0) return false;
    out[n] = '\0';
    char *from = out + mark + strspn(out + mark, " \t");
    size_t len = strcspn(from, "\r\n");
    memmove(out, from, len);
    out[len] = '\0';
    return len > 0;
}

/* The folder that the path means; the tree itself and what is no folder are not to be guarded. */
static wfi_guard_id guard_folder(int tree, const char *path) {
    const wfi_guard_id none = {0, 0, false};
    struct stat st, top;
    if (fstatat(tree, path, &st, 0) != 0 || !S_ISDIR(st.st_mode) || fstat(tree, &top) != 0) return none;
    wfi_guard_id id = guard_id(&st), own = guard_id(&top);
    return guard_same(&id, &own) ? none : id;
}

static wfi_guard_id guard_meant(int tree, uint32_t i) {
    char pointed[WFI_GUARD_PATH];
    return guard_folder(tree, i == 0 && guard_pointer(tree, pointed) ? pointed : guard_names[i]);
}

void wfi_guard_ids(int tree, wfi_guard_id out[WFI_GUARDS]) {
    for (uint32_t i = 0; i < WFI_GUARDS; i++)
        out[i] = guard_meant(tree, i);
}

bool wfi_guard_is(const wfi_guard_id ids[WFI_GUARDS], int fd) {
    struct stat st;
    if ((!ids[0].there && !ids[1].there) || fstat(fd, &st) != 0) return false;
    wfi_guard_id id = guard_id(&st);
    return guard_same(&id, &ids[0]) || guard_same(&id, &ids[1]);
}

/* ---- repositories by their shape ---- */

bool wfi_guard_is_like(const char *name, size_t n, const char *low) {
    for (size_t i = 0; i < n; i++) {
        char c = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
        if ((uint8_t)c >= 0x80) continue;
        if (*low == '\0' || c != *low++) return false;
    }
    return *low == '\0';
}

static bool guard_has(int dir, const char *also, uint32_t part) {
    struct stat st;
    if (also != NULL && wfi_guard_is_like(also, strlen(also), guard_parts[part].low)) return true;
    return fstatat(dir, guard_parts[part].name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool guard_is_whole(uint32_t parts) {
    const uint32_t head = 1u << GUARD_HEAD, common = 1u << GUARD_COMMONDIR;
    const uint32_t own = 1u << GUARD_OBJECTS | 1u << GUARD_REFS;
    return (parts & head) != 0 && ((parts & common) != 0 || (parts & own) == own);
}

static uint32_t guard_parts_of(int dir, const char *also) {
    uint32_t parts = 0;
    for (uint32_t i = 0; i < GUARD_PARTS; i++)
        if (guard_has(dir, also, i)) parts |= UINT32_C(1) << i;
    return parts;
}

bool wfi_guard_is_repository(int dir, const char *also) {
    return guard_is_whole(guard_parts_of(dir, also));
}

void wfi_guard_settle(int tree) {
    (void)mkdirat(tree, GUARD_WF, 0777); /* it is there, or the tree is not ours to write: then nobody else's either */
}

/* ---- the log ---- */

bool wfi_guard_place(const char *file, char out[WFI_GUARD_PATH]) {
    char folder[WFI_GUARD_PATH];
    const char *slash = strrchr(file, '/'), *name = slash != NULL ? slash + 1 : file;
    size_t n = slash == NULL ? 1 : slash > file ? (size_t)(slash - file) : 1;
    if (realpath(file, out) != NULL) return true;
    if (n >= sizeof folder) return false;
    memcpy(folder, slash == NULL ? "." : file, n);
    folder[n] = '\0';
    return realpath(folder, out) != NULL && wfi_sys_join(out, name, out, WFI_GUARD_PATH);
}

bool wfi_guard_is_file(const char *file, int dir, const char *name) {
    struct stat a, b;
    if (stat(file, &a) != 0 || fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) != 0) return false;
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* ---- for mounts ---- */

uint32_t wfi_guard_paths(const char *tree, char out[WFI_GUARDS + 1][WFI_GUARD_PATH]) {
    const char *names[WFI_GUARDS + 1] = {GUARD_GIT, GUARD_WF, NULL};
    char pointed[WFI_GUARD_PATH];
    struct stat st, top;
    uint32_t count = 0;
    int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && guard_pointer(fd, pointed)) names[WFI_GUARDS] = pointed;
    for (uint32_t i = 0; fd >= 0 && i < WFI_GUARDS + 1 && names[i] != NULL; i++) {
        /* what cannot be reached is nobody's to write; a link to the tree itself guards nothing */
        if (fstatat(fd, names[i], &st, 0) != 0 || fstat(fd, &top) != 0) continue;
        if (st.st_dev == top.st_dev && st.st_ino == top.st_ino) continue;
        count += wfi_sys_join(tree, names[i], out[count], WFI_GUARD_PATH);
    }
    wfi_sys_close(&fd);
    return count;
}

/* ---- before and after a command ---- */

static void guard_look(int tree, uint32_t i, wfi_guard_seen *seen) {
    struct stat st;
    memset(seen, 0, sizeof *seen);
    if (fstatat(tree, guard_names[i], &st, AT_SYMLINK_NOFOLLOW) != 0) return;
    seen->id = guard_id(&st);
    seen->meant = guard_meant(tree, i);
    seen->type = (uint32_t)(st.st_mode & S_IFMT);
    seen->link = S_ISLNK(st.st_mode) && readlinkat(tree, guard_names[i], seen->target, WFI_GUARD_PATH - 1) > 0;
}

void wfi_guard_look(int tree, wfi_guard_seen seen[WFI_GUARDS]) {
    for (uint32_t i = 0; i < WFI_GUARDS; i++)
        guard_look(tree, i, &seen[i]);
    seen[0].parts = guard_parts_of(tree, NULL);
}

static void guard_name_aside(const char *name, char out[WFI_GUARD_NAME]) {
    uint64_t number = 0;
    (void)wfi_sys_random(&number, sizeof number);
    strcpy(out, name);
    strcat(out, GUARD_ASIDE);
    wfi_sys_hex(number, out + strlen(out), 8);
}

static bool guard_alike(const wfi_guard_id *a, const wfi_guard_id *b) {
    return guard_same(a, b) || (!a->there && !b->there);
}

/* A link is what it says and where it leads; of all else the number alone would not do, for numbers are given out again. */
static bool guard_unchanged(const wfi_guard_seen *a, const wfi_guard_seen *b) {
    if (!a->id.there || !b->id.there) return a->id.there == b->id.there;
    if (!guard_alike(&a->meant, &b->meant)) return false;
    if (a->link || b->link) return a->link && b->link && strcmp(a->target, b->target) == 0;
    return a->type == b->type && guard_same(&a->id, &b->id);
}

static void guard_put_aside(int tree, const char *name, char *aside) {
    guard_name_aside(name, aside);
    if (renameat(tree, name, tree, aside) != 0) aside[0] = '\0';
}

/* Puts parts aside that are new, as long as they make a repository. One that was there before is the user's own, or another
 * command's, whose supervisor sees to it. */
static void guard_unmake_repository(int tree, uint32_t before, char *aside) {
    if (guard_is_whole(before)) return;
    for (uint32_t i = 0; i < GUARD_PARTS && wfi_guard_is_repository(tree, NULL); i++)
        if ((before & UINT32_C(1) << i) == 0 && guard_has(tree, NULL, i))
            guard_put_aside(tree, guard_parts[i].name, aside);
}

static void guard_restore(int tree, uint32_t i, const wfi_guard_seen *seen, const wfi_guard_id *first, char *aside) {
    wfi_guard_seen now;
    guard_look(tree, i, &now);
    if (guard_unchanged(seen, &now)) return;
    if (first != NULL && guard_same(&first[i], &now.meant)) return; /* another command's supervisor has done it */
    if (now.id.there) guard_put_aside(tree, guard_names[i], aside);
    if (!seen->link || symlinkat(seen->target, tree, guard_names[i]) != 0) return;
    guard_look(tree, i, &now);
    if (guard_unchanged(seen, &now) && (first == NULL || guard_alike(&first[i], &now.meant))) return;
    unlinkat(tree, guard_names[i], 0); /* what it led to has been replaced, or it was another command's */
}

void wfi_guard_restore(int tree, const wfi_guard_seen seen[WFI_GUARDS], const wfi_guard_id *first,
                       char aside[WFI_GUARD_NAME]) {
    char other[WFI_GUARD_NAME] = "", part[WFI_GUARD_NAME] = "";
    aside[0] = '\0';
    guard_restore(tree, 0, &seen[0], first, aside);
    if (seen[1].link) guard_restore(tree, 1, &seen[1], first, other);
    guard_unmake_repository(tree, seen[0].parts, part);
    if (aside[0] == '\0') memcpy(aside, other, sizeof other);
    if (aside[0] == '\0') memcpy(aside, part, sizeof part);
}
