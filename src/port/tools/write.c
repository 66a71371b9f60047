/* write: the tools that change files, write and edit.
 *
 * Invariants:
 *   1. A file is changed whole or not at all: its new text goes to a new file beside it, which then takes its name. On
 *      failure nothing is left, neither that file nor a directory that was made for it. What a kill leaves has a name that
 *      comes from the call, so that who learns of that can remove it.
 *   2. All goes by the descriptor of the directory and a name in it: whatever is swapped for a link meanwhile, nothing
 *      outside of the root is touched.
 *   3. The file keeps its mode, and its owner, group and access list where the system lets us. Where group or list cannot
 *      be kept, the group gets no more than everybody; setuid and setgid bits go, as they do with any write.
 *   4. Of a file with several names (hard links) only the one that was given gets the new text. */
#include "tool.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#if WFI_LINUX
#include <sys/xattr.h>
#endif

#define WRITE_AROUND   2u   /* lines shown before and behind a change */
#define WRITE_SHOWN    12u  /* lines shown at most */
#define WRITE_NAMED    10u  /* line numbers named at most */
#define WRITE_LINE     300u /* bytes shown of a line */
#define WRITE_TRIES    8u   /* for a free name */
#define WRITE_NEW_NAME 24u
#define WRITE_LIST     8192u /* bytes of an access list */

typedef struct write_file {
    wfi_spot spot;
    int fd; /* the file that is there, open, or -1 */
    struct stat st;
} write_file;

/* ---- errors ---- */

static bool write_path_error(wfi_tool *w, int error, const char *path) {
    wf_str shown = wf_str_of(path, strlen(path));
    switch (error) {
    case WFI_CONFINE_GUARDED:
        wfi_tool_path_bad(w, "tools do not write to .git, to .wf and to the run's log: ", shown, "");
        break;
    case WFI_CONFINE_REPOSITORY:
        wfi_tool_path_bad(w, "git would take the folder for a repository, which tools do not write to: ", shown,
                          "; choose another folder, or a name that is not HEAD, commondir, objects or refs");
        break;
    case EISDIR:
        wfi_tool_path_bad(w, "it is a directory, not a file: ", shown, "");
        break;
    case EACCES:
    case EPERM:
        wfi_tool_path_bad(w, "no permission to write: ", shown, "");
        break;
    case EROFS:
        wfi_tool_path_bad(w, "on a file system that is only read: ", shown, "");
        break;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        wfi_tool_path_bad(w, "no room left on the disk for: ", shown, "; nothing was changed");
        break;
    case ETXTBSY:
        wfi_tool_path_bad(w, "it is a program that is running: ", shown, "");
        break;
    case ENOENT:
    case ENOTDIR:
    case EXDEV:
    case ELOOP:
    case ENAMETOOLONG:
    case ENXIO:
        wfi_tool_path_error(w, error, shown);
        break;
    default:
        wfi_tool_path_bad(w, "cannot be written: ", shown, "; nothing was changed");
    }
    return false;
}

/* ---- the file ---- */

static void write_close(write_file *f) {
    wfi_sys_close(&f->fd);
    wfi_sys_close(&f->spot.dir);
}

/* Opens the file in its place, if one is there. The system says in this way whether it may be written, though it will
 * be another one that is written to. 0 or an errno. */
static int write_open_there(write_file *f, int flags) {
    if (fstatat(f->spot.dir, f->spot.name, &f->st, AT_SYMLINK_NOFOLLOW) != 0) return errno;
    if (S_ISDIR(f->st.st_mode)) return EISDIR;
    if (!S_ISREG(f->st.st_mode)) return ENXIO;
    f->fd = openat(f->spot.dir, f->spot.name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (f->fd < 0 || fstat(f->fd, &f->st) != 0) return errno;
    return S_ISREG(f->st.st_mode) ? 0 : ENXIO;
}

/* Finds the file; it need not exist with O_CREAT among the flags. False: an error was set, and nothing is open. */
static bool write_open(wfi_tool *w, const char *path, int flags, write_file *f) {
    bool make = (flags & O_CREAT) != 0;
    f->fd = -1;
    memset(&f->st, 0, sizeof f->st);
    int error = wfi_confine_spot(w->root, w->dirfd, path, make, &f->spot);
    if (error != 0) {
        write_path_error(w, error, path);
        if (error == ENOENT) wfi_tool_suggest(w, path);
        return false;
    }
    error = write_open_there(f, flags & ~O_CREAT);
    if (error == 0 || (error == ENOENT && make)) return true;
    write_path_error(w, error, path);
    if (error == ENOENT) wfi_tool_suggest(w, f->spot.path);
    wfi_confine_unmake(w->root, w->dirfd, &f->spot);
    write_close(f);
    return false;
}

/* ---- the new text ---- */

static int write_all(int fd, wf_str text) {
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n < 0 && errno != EINTR) return errno;
        if (n == 0) return ENOSPC;
        if (n > 0) text = wf_str_of(text.ptr + n, text.len - (size_t)n);
    }
    return 0;
}

/* ".wf-" and a hash (FNV-1a) of the call; a name of its own for each try. */
static void write_name(wf_str input, uint32_t i, char name[WRITE_NEW_NAME]) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325) + i;
    for (size_t k = 0; k < input.len; k++)
        hash = (hash ^ (uint8_t)input.ptr[k]) * UINT64_C(0x100000001b3);
    memcpy(name, ".wf-", 4);
    wfi_sys_hex(hash, name + 4, 16);
}

/* Makes the file that will take the place of f, under a name that nobody has. The descriptor or -1. */
static int write_make(const write_file *f, wf_str input, char name[WRITE_NEW_NAME]) {
    int fd = -1;
    errno = EEXIST;
    for (uint32_t i = 0; i < WRITE_TRIES && fd < 0 && errno == EEXIST; i++) {
        write_name(input, i, name);
        fd = openat(f->spot.dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, f->fd < 0 ? 0666 : 0600);
    }
    return fd;
}

/* The old file's access list, and none that is for new files of its directory. False: it could not be kept. */
static bool write_keep_list(const write_file *f, int fd) {
#if WFI_LINUX
    static const char name[] = "system.posix_acl_access";
    char list[WRITE_LIST];
    ssize_t n = fgetxattr(f->fd, name, list, sizeof list);
    if (n >= 0) return fsetxattr(fd, name, list, (size_t)n, 0) == 0;
    if (errno != ENODATA) return errno == ENOTSUP;
    return fremovexattr(fd, name) == 0 || errno == ENODATA || errno == ENOTSUP;
#else
    (void)f;
    (void)fd;
    return true;
#endif
}

/* Gives the new file what the old one has. */
static int write_keep(const write_file *f, int fd) {
    struct stat st;
    mode_t mode = f->st.st_mode & 0777;
    if (f->fd < 0) return 0;
    if (fstat(fd, &st) != 0) return errno;
    bool same = st.st_uid == f->st.st_uid && st.st_gid == f->st.st_gid;
    bool group = same || fchown(fd, f->st.st_uid, f->st.st_gid) == 0 || fchown(fd, (uid_t)-1, f->st.st_gid) == 0;
    if (!write_keep_list(f, fd) || !group) mode &= (mode_t)(0707 | (mode & 07) << 3);
    return fchmod(fd, mode) == 0 ? 0 : errno;
}

/* Puts the text in the file's place. 0 or an errno. */
static int write_put(const write_file *f, wf_str input, wf_str text) {
    char name[WRITE_NEW_NAME];
    int fd = write_make(f, input, name);
    if (fd < 0) return errno;
    int error = write_all(fd, text);
    if (error == 0) error = write_keep(f, fd);
    if (close(fd) != 0 && error == 0) error = errno;
    if (error == 0 && renameat(f->spot.dir, name, f->spot.dir, f->spot.name) != 0) error = errno;
    if (error != 0) unlinkat(f->spot.dir, name, 0);
    return error;
}

/* Stores the text and closes the file. False: an error was set. */
static bool write_store(wfi_tool *w, write_file *f, wf_str text) {
    int error = write_put(f, w->input, text);
    if (error != 0) wfi_confine_unmake(w->root, w->dirfd, &f->spot);
    write_close(f);
    return error == 0 || write_path_error(w, error, f->spot.path);
}

/* ---- write ---- */

static uint64_t write_count(wf_str text, char c) {
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == c;
    return n;
}

static void write_put_path(wfi_tool *w, const write_file *f) {
    wfi_tool_put(w, wfi_tool_clip(wf_str_of(f->spot.path, strlen(f->spot.path)), 256));
}

static void write_links_foot(wfi_tool *w, const write_file *f) {
    if (f->st.st_nlink < 2) return;
    wfi_tool_puts(w, "(the file had ");
    wfi_tool_putn(w, f->st.st_nlink);
    wfi_tool_puts(w, " names; under the others it is as it was)\n");
}

static bool write_fits(wfi_tool *w, const char *key, wf_str text) {
    if (text.len <= WFI_TOOL_WRITE_MAX) return true;
    wfi_tool_error(w, "\"");
    wfi_tool_puts(w, key);
    wfi_tool_puts(w, "\" is longer than 4 MiB; write less at once");
    return false;
}

void wfi_tool_write(wfi_tool *w) {
    char path[WFI_CONFINE_PATH];
    write_file f;
    wf_str text;
    if (!wfi_tool_path(w, true, path) || !wfi_tool_str(w, "content", true, &text) || !write_fits(w, "content", text) ||
        !write_open(w, path, O_WRONLY | O_CREAT, &f))
        return;
    bool there = f.fd >= 0;
    if (!write_store(w, &f, text)) return;
    wfi_tool_puts(w, there ? "replaced " : "made ");
    write_put_path(w, &f);
    wfi_tool_puts(w, ": ");
    wfi_tool_putn(w, write_count(text, '\n') + (text.len > 0 && text.ptr[text.len - 1] != '\n'));
    wfi_tool_puts(w, " lines, ");
    wfi_tool_putn(w, text.len);
    wfi_tool_puts(w, " bytes\n");
    write_links_foot(w, &f);
}

void wfi_tool_write_clear(wfi_tool *w) {
    char path[WFI_CONFINE_PATH], name[WRITE_NEW_NAME];
    wfi_spot spot;
    if (!wfi_tool_path(w, true, path) || wfi_confine_spot(w->root, w->dirfd, path, false, &spot) != 0) return;
    for (uint32_t i = 0; i < WRITE_TRIES; i++) {
        write_name(w->input, i, name);
        unlinkat(spot.dir, name, 0);
    }
    wfi_sys_close(&spot.dir);
}

/* ---- edit: the text that is looked for ---- */

typedef struct write_edit {
    wfi_tool *w;
    wf_str text; /* of the file */
    wf_str from, to;
    bool all;
    uint64_t count;         /* of matches */
    size_t at[WRITE_NAMED]; /* where the first of them are */
} write_edit;

static size_t write_find(wf_str text, size_t from, wf_str what) {
    const char *p = what.len <= text.len - from ? memmem(text.ptr + from, text.len - from, what.ptr, what.len) : NULL;
    return p != NULL ? (size_t)(p - text.ptr) : text.len;
}

/* Matches do not overlap; but one that is to be the only one may not have another begin within it. */
static void write_count_matches(write_edit *e) {
    e->count = 0;
    for (size_t at = 0; (at = write_find(e->text, at, e->from)) < e->text.len; at += e->from.len) {
        if (e->count < WRITE_NAMED) e->at[e->count] = at;
        e->count++;
    }
    if (e->count != 1 || e->all) return;
    e->at[1] = write_find(e->text, e->at[0] + 1, e->from);
    e->count += e->at[1] < e->text.len;
}

/* The text with CRLF where it has a bare LF. False: the room is used up. */
static bool write_crlf(wfi_tool *w, wf_str text, wf_str *out) {
    char *to = wfi_tool_take(w, text.len + write_count(text, '\n'));
    size_t n = 0;
    if (to == NULL) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n' && (i == 0 || text.ptr[i - 1] != '\r')) to[n++] = '\r';
        to[n++] = text.ptr[i];
    }
    *out = wf_str_of(to, n);
    return true;
}

static bool write_is_crlf(wf_str text) {
    size_t at = write_find(text, 0, WF_STR("\n"));
    return at > 0 && at < text.len && text.ptr[at - 1] == '\r';
}

/* Finds the matches. Models write LF: with the line ends of the file's first line, old and new are tried first, then with
 * the other ones. False: the room is used up. */
static bool write_match(write_edit *e) {
    wf_str given[2] = {e->from, e->to}, crlf[2];
    bool crlf_first = write_is_crlf(e->text);
    if (!write_crlf(e->w, given[0], &crlf[0]) || !write_crlf(e->w, given[1], &crlf[1])) return false;
    for (int turn = 0; turn < 2; turn++) {
        const wf_str *form = (turn == 0) == crlf_first ? crlf : given;
        e->from = form[0];
        e->to = form[1];
        write_count_matches(e);
        if (e->count > 0) return true;
    }
    e->from = given[0];
    return true;
}

/* ---- edit: lines ---- */

static uint64_t write_line_of(wf_str text, size_t at) {
    return 1 + write_count(wf_str_of(text.ptr, at), '\n');
}

/* Shows the lines that hold from..to, and some around them. */
static void write_show(wfi_tool *w, wf_str text, size_t from, size_t to) {
    for (uint32_t i = 0; from > 0; from--)
        if (text.ptr[from - 1] == '\n' && i++ == WRITE_AROUND) break;
    uint64_t number = write_line_of(text, from);
    uint32_t behind = 0;
    for (uint32_t i = 0; i < WRITE_SHOWN && from < text.len && behind <= WRITE_AROUND; i++) {
        size_t end = write_find(text, from, WF_STR("\n"));
        size_t n = end - from - (end > from && text.ptr[end - 1] == '\r');
        if (!wfi_tool_line(w, wf_str_of(text.ptr + from, n), number++, WRITE_LINE, true)) return;
        behind += end >= to;
        from = end + 1;
    }
}

/* "s 3, 17, 20" behind the word line. */
static void write_put_lines(const write_edit *e) {
    uint64_t last = 0;
    wfi_tool_puts(e->w, e->count > 1 ? "s" : "");
    for (uint64_t i = 0; i < e->count && i < WRITE_NAMED; i++) {
        uint64_t line = write_line_of(e->text, e->at[i]);
        if (line == last) continue;
        wfi_tool_puts(e->w, i == 0 ? " " : ", ");
        wfi_tool_putn(e->w, line);
        last = line;
    }
    if (e->count > WRITE_NAMED) wfi_tool_puts(e->w, " ...");
}

/* ---- edit: what may be said when nothing matches ---- */

static bool write_is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The text without its blanks. */
static bool write_squeeze(wfi_tool *w, wf_str text, wf_str *out) {
    char *to = wfi_tool_take(w, text.len);
    size_t n = 0;
    if (to == NULL) return false;
    for (size_t i = 0; i < text.len; i++)
        if (!write_is_blank(text.ptr[i])) to[n++] = text.ptr[i];
    *out = wf_str_of(to, n);
    return true;
}

/* Where the n-th byte that is no blank stands. */
static size_t write_unsqueeze(wf_str text, size_t n) {
    size_t i = 0;
    while (i < text.len && (write_is_blank(text.ptr[i]) || n-- > 0))
        i++;
    return i;
}

/* Shows the place that differs in blanks only, if there is one. */
static bool write_near_blanks(write_edit *e) {
    wf_str text, from;
    if (!write_squeeze(e->w, e->text, &text) || !write_squeeze(e->w, e->from, &from) || from.len == 0) return false;
    size_t at = write_find(text, 0, from);
    if (at == text.len) return false;
    size_t first = write_unsqueeze(e->text, at), last = write_unsqueeze(e->text, at + from.len - 1);
    wfi_tool_puts(e->w, ". Line ");
    wfi_tool_putn(e->w, write_line_of(e->text, first));
    wfi_tool_puts(e->w, " differs from it only in spaces, tabs or line ends; copy exactly, without the numbers:\n");
    write_show(e->w, e->text, first, last);
    return true;
}

/* The first line of old that holds more than blanks, without those around it. */
static wf_str write_first_line(wf_str from) {
    size_t at = 0, end;
    while (at < from.len && write_is_blank(from.ptr[at]))
        at++;
    for (end = at; end < from.len && from.ptr[end] != '\n';)
        end++;
    while (end > at && write_is_blank(from.ptr[end - 1]))
        end--;
    return wf_str_of(from.ptr + at, end - at);
}

/* Whether old begins as `read` shows a line. */
static bool write_has_number(wf_str line) {
    size_t i = 0;
    while (i < line.len && line.ptr[i] >= '0' && line.ptr[i] <= '9')
        i++;
    return i > 0 && i < line.len && line.ptr[i] == '\t';
}

static void write_not_found(write_edit *e, const write_file *f) {
    wfi_tool *w = e->w;
    wf_str line = write_first_line(e->from);
    wfi_tool_error(w, "\"old\" is not in ");
    write_put_path(w, f);
    if (write_has_number(line)) {
        wfi_tool_puts(w, "; leave out the line numbers that read shows");
        return;
    }
    if (write_near_blanks(e)) return;
    size_t at = line.len > 0 ? write_find(e->text, 0, line) : e->text.len;
    if (at == e->text.len) {
        wfi_tool_puts(w, "; read the file again");
        return;
    }
    wfi_tool_puts(w, "; its first line is there, in line ");
    wfi_tool_putn(w, write_line_of(e->text, at));
    wfi_tool_puts(w, ", but not what follows:\n");
    write_show(w, e->text, at, at);
}

/* ---- edit ---- */

static bool write_edit_parse(write_edit *e, char *path) {
    wfi_tool *w = e->w;
    if (!wfi_tool_path(w, true, path) || !wfi_tool_str(w, "old", true, &e->from) ||
        !wfi_tool_str(w, "new", true, &e->to) || !wfi_tool_bool(w, "all", &e->all) || !write_fits(w, "old", e->from) ||
        !write_fits(w, "new", e->to))
        return false;
    if (e->from.len == 0) {
        wfi_tool_error(w, "\"old\" is empty; give the text to replace, or make the whole file with write");
        return false;
    }
    if (e->from.len != e->to.len || memcmp(e->from.ptr, e->to.ptr, e->to.len) != 0) return true;
    wfi_tool_error(w, "\"old\" and \"new\" are the same: nothing to do");
    return false;
}

/* Reads the whole file. */
static bool write_load(write_edit *e, const write_file *f, const char *path) {
    wfi_tool *w = e->w;
    size_t size = (size_t)f->st.st_size, n = 0;
    wf_str shown = wf_str_of(path, strlen(path));
    if ((uint64_t)f->st.st_size > WFI_TOOL_EDIT_MAX) {
        wfi_tool_path_bad(w, "it is larger than 16 MiB: ", shown, "; a command can change it");
        return false;
    }
    char *text = wfi_tool_take(w, size);
    if (text == NULL) return false;
    while (n < size) {
        ssize_t got = read(f->fd, text + n, size - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) wfi_tool_path_error(w, errno, shown);
        if (got < 0) return false;
        if (got == 0) break;
        n += (size_t)got;
    }
    e->text = wf_str_of(text, n);
    if (n == 0 || memchr(text, '\0', n < WFI_TOOL_PROBE ? n : WFI_TOOL_PROBE) == NULL) return true;
    wfi_tool_path_bad(w, "it is a binary file, not text: ", shown, "; a command can change it");
    return false;
}

/* Whether the matches are what was asked for. */
static bool write_found(write_edit *e, const write_file *f) {
    wfi_tool *w = e->w;
    if (e->count == 0) {
        write_not_found(e, f);
        return false;
    }
    if (e->count == 1 || e->all) return true;
    wfi_tool_error(w, "\"old\" is there ");
    wfi_tool_putn(w, e->count);
    wfi_tool_puts(w, " times, in line");
    write_put_lines(e);
    wfi_tool_puts(w, "; add lines around it to name one place, or set \"all\"");
    return false;
}

/* The file's text with all matches replaced. */
static bool write_replace(write_edit *e, wf_str *out) {
    wfi_tool *w = e->w;
    uint64_t size = e->text.len - e->count * e->from.len + e->count * e->to.len;
    if (size > WFI_TOOL_EDIT_MAX) {
        wfi_tool_error(w, "the file would become larger than 16 MiB; nothing was changed");
        return false;
    }
    char *to = wfi_tool_take(w, (size_t)size);
    size_t from = 0, n = 0;
    if (to == NULL) return false;
    for (uint64_t i = 0; i <= e->count; i++) {
        size_t at = i < e->count ? write_find(e->text, from, e->from) : e->text.len;
        memcpy(to + n, e->text.ptr + from, at - from);
        n += at - from;
        if (i == e->count) break;
        memcpy(to + n, e->to.ptr, e->to.len);
        n += e->to.len;
        from = at + e->from.len;
    }
    *out = wf_str_of(to, n);
    return true;
}

static void write_edit_answer(write_edit *e, const write_file *f, wf_str text) {
    wfi_tool *w = e->w;
    wfi_tool_puts(w, "edited ");
    write_put_path(w, f);
    wfi_tool_puts(w, ": ");
    wfi_tool_putn(w, e->count);
    wfi_tool_puts(w, e->count > 1 ? " places, before in line" : " place, in line");
    write_put_lines(e);
    wfi_tool_puts(w, e->count > 1 ? "; the first is now\n" : "; now\n");
    write_links_foot(w, f);
    write_show(w, text, e->at[0], e->at[0] + e->to.len);
}

void wfi_tool_edit(wfi_tool *w) {
    char path[WFI_CONFINE_PATH];
    write_edit e = {.w = w};
    write_file f;
    wf_str text;
    if (!write_edit_parse(&e, path) || !write_open(w, path, O_RDWR, &f)) return;
    if (!write_load(&e, &f, path) || !write_match(&e) || !write_found(&e, &f) || !write_replace(&e, &text)) {
        write_close(&f);
        return;
    }
    if (write_store(w, &f, text)) write_edit_answer(&e, &f, text);
}
