/* write: see write.h, and the tool write. edit.c has the tool edit.
 *
 * Invariants:
 *   1. A file is changed whole or not at all: its new text goes to a new file beside it, which then takes its name. On
 *      failure nothing is left, neither that file nor a directory that was made for it. What a kill leaves has a name that
 *      comes from the call, so that who learns of that can remove it.
 *   2. All goes by the descriptor of the directory and a name in it: whatever is swapped for a link meanwhile, nothing
 *      outside of the root is touched.
 *   3. The file keeps its mode, its encoding, and its owner, group, access list and the user's attributes where the system lets us.
 *      Where group or list cannot be kept, the group gets no more than everybody; setuid and setgid bits go, as they do with any
 *      write.
 *   4. Of a file with several names (hard links) only the one that was given gets the new text.
 *   5. An agent does not replace what it has not seen: not what changed since it read or wrote it, and not what another agent wrote
 *      (seen.h). What is the same already may always be written. */
#include "write.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if WFI_LINUX
#include <sys/xattr.h>
#endif

#define WRITE_TRIES      8u /* for a free name */
#define WRITE_NEW_NAME   24u
#define WRITE_LIST       8192u /* bytes of an access list, or of an attribute that is kept */
#define WRITE_ATTRIBUTES 64u   /* of the user's, that are kept */

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

void wfi_write_close(wfi_write_file *f) {
    wfi_sys_close(&f->fd);
    wfi_sys_close(&f->spot.dir);
}

/* Opens the file in its place, if one is there. The system says in this way whether it may be written, though it will
 * be another one that is written to. 0 or an errno. */
static int write_open_there(wfi_write_file *f, int flags) {
    if (fstatat(f->spot.dir, f->spot.name, &f->st, AT_SYMLINK_NOFOLLOW) != 0) return errno;
    if (S_ISDIR(f->st.st_mode)) return EISDIR;
    if (!S_ISREG(f->st.st_mode)) return ENXIO;
    const int more = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    f->fd = openat(f->spot.dir, f->spot.name, O_RDWR | more);
    f->reads = f->fd >= 0;
    if (f->fd < 0 && errno == EACCES) f->fd = openat(f->spot.dir, f->spot.name, flags | more);
    if (f->fd < 0 || fstat(f->fd, &f->st) != 0) return errno;
    return S_ISREG(f->st.st_mode) ? 0 : ENXIO;
}

/* Takes note of what it holds. */
static void write_look(const wfi_tool *w, wfi_write_file *f) {
    char begin[WFI_ENCODING_MARK];
    size_t mark;
    f->mark.file = wfi_seen_path(w->root->root, f->spot.path);
    f->encoding = WFI_ENCODING_PLAIN;
    if (f->fd < 0 || !f->reads) return;
    ssize_t n = pread(f->fd, begin, sizeof begin, 0);
    if (n > 0) f->encoding = wfi_encoding_of(begin, (size_t)n, &mark);
    f->reads = wfi_seen_content(f->fd, &f->mark.content);
}

bool wfi_write_open(wfi_tool *w, const char *path, int flags, wfi_write_file *f) {
    bool make = (flags & O_CREAT) != 0;
    memset(f, 0, sizeof *f);
    f->fd = -1;
    int error = wfi_confine_spot(w->root, w->dirfd, path, make, &f->spot);
    if (error != 0) {
        write_path_error(w, error, path);
        if (error == ENOENT) wfi_tool_suggest(w, path);
        return false;
    }
    error = write_open_there(f, flags & ~O_CREAT);
    if (error == 0 || (error == ENOENT && make)) {
        write_look(w, f);
        return true;
    }
    write_path_error(w, error, path);
    if (error == ENOENT) wfi_tool_suggest(w, f->spot.path);
    wfi_confine_unmake(w->root, w->dirfd, &f->spot);
    wfi_write_close(f);
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
static int write_make(const wfi_write_file *f, wf_str input, char name[WRITE_NEW_NAME]) {
    int fd = -1;
    errno = EEXIST;
    for (uint32_t i = 0; i < WRITE_TRIES && fd < 0 && errno == EEXIST; i++) {
        write_name(input, i, name);
        fd = openat(f->spot.dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, f->fd < 0 ? 0666 : 0600);
    }
    return fd;
}

/* The old file's access list, and none that is for new files of its directory. False: it could not be kept. */
static bool write_keep_list(const wfi_write_file *f, int fd) {
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

#if WFI_LINUX
/* One of the old file's attributes, if it is the user's. False: it could not be kept. */
static bool write_keep_attribute(const wfi_write_file *f, int fd, const char *name) {
    char value[WRITE_LIST];
    if (strncmp(name, "user.", 5) != 0) return true;
    ssize_t n = fgetxattr(f->fd, name, value, sizeof value);
    return n >= 0 && fsetxattr(fd, name, value, (size_t)n, 0) == 0;
}
#endif

/* The user's attributes; counts those that could not be kept. */
static void write_keep_attributes(wfi_write_file *f, int fd) {
#if WFI_LINUX
    char names[WRITE_LIST];
    ssize_t n = flistxattr(f->fd, names, sizeof names);
    if (n < 0) f->lost += errno == ERANGE;
    uint32_t count = 0;
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1)
        f->lost += ++count > WRITE_ATTRIBUTES || !write_keep_attribute(f, fd, names + at);
#else
    (void)f;
    (void)fd;
#endif
}

/* Gives the new file what the old one has. */
static int write_keep(wfi_write_file *f, int fd) {
    struct stat st;
    mode_t mode = f->st.st_mode & 0777;
    if (f->fd < 0) return 0;
    if (fstat(fd, &st) != 0) return errno;
    write_keep_attributes(f, fd);
    bool same = st.st_uid == f->st.st_uid && st.st_gid == f->st.st_gid;
    bool group = same || fchown(fd, f->st.st_uid, f->st.st_gid) == 0 || fchown(fd, (uid_t)-1, f->st.st_gid) == 0;
    if (!write_keep_list(f, fd) || !group) mode &= (mode_t)(0707 | (mode & 07) << 3);
    return fchmod(fd, mode) == 0 ? 0 : errno;
}

/* Puts the text in the file's place. 0 or an errno. */
static int write_put(wfi_write_file *f, wf_str input, wf_str text) {
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

bool wfi_write_store(wfi_tool *w, wfi_write_file *f, wf_str text, bool whole) {
    int error = write_put(f, w->input, text);
    if (error != 0) wfi_confine_unmake(w->root, w->dirfd, &f->spot);
    wfi_write_close(f);
    if (error != 0) return write_path_error(w, error, f->spot.path);
    wfi_seen_mark mark = {f->mark.file, wfi_seen_text(text)};
    wfi_seen_wrote(w->seen, w->agent, f->mark.content, mark, whole);
    return true;
}

/* ---- answers ---- */

uint64_t wfi_write_count(wf_str text, char c) {
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == c;
    return n;
}

void wfi_write_put_path(wfi_tool *w, const wfi_write_file *f) {
    wfi_tool_put_short(w, wf_str_of(f->spot.path, strlen(f->spot.path)));
}

void wfi_write_foot(wfi_tool *w, const wfi_write_file *f) {
    if (f->st.st_nlink >= 2) {
        wfi_tool_puts(w, "(the file had ");
        wfi_tool_putn(w, f->st.st_nlink);
        wfi_tool_puts(w, " names; under the others it is as it was)\n");
    }
    if (f->lost == 0) return;
    wfi_tool_puts(w, "(extended attributes of it that could not be kept: ");
    wfi_tool_putn(w, f->lost);
    wfi_tool_puts(w, ")\n");
}

bool wfi_write_fits(wfi_tool *w, const char *key, wf_str text) {
    if (text.len <= WFI_TOOL_WRITE_MAX) return true;
    wfi_tool_error(w, "\"");
    wfi_tool_puts(w, key);
    wfi_tool_puts(w, "\" is longer than 4 MiB; write less at once");
    return false;
}

/* ---- the tool write ---- */

/* Whether the agent may replace what is there by this. False: an error was set. */
static bool write_may(wfi_tool *w, const wfi_write_file *f, wf_str bytes) {
    if (f->fd < 0 || !f->reads || wfi_seen_text(bytes) == f->mark.content) return true;
    wfi_seen_state state = wfi_seen_judge(w->seen, w->agent, f->mark);
    if (state == WFI_SEEN_FREE) return true;
    wfi_tool_error(w, "");
    wfi_write_put_path(w, f);
    if (state == WFI_SEEN_CHANGED) {
        wfi_tool_puts(w, " changed since you read it: read it again, then write. Nothing was changed");
    } else if (state == WFI_SEEN_OTHERS) {
        wfi_tool_puts(
            w, " was written by another agent, and you have not read it: read it first, then write, or take another "
               "name. Nothing was changed");
    } else { /* told once: then it knows */
        wfi_tool_puts(
            w, " is there, and nobody knows any more whether it is as you saw it: read it again, or write the same "
               "once more to replace it. Nothing was changed");
        wfi_seen_read(w->seen, w->agent, f->mark);
    }
    return false;
}

/* The text as the bytes that the file is to have. */
static bool write_encode(wfi_tool *w, const wfi_write_file *f, wf_str text, wf_str *bytes) {
    const wf_str mark = WF_STR("\xef\xbb\xbf");
    bool marked = text.len >= mark.len && memcmp(text.ptr, mark.ptr, mark.len) == 0;
    *bytes = text;
    if (f->encoding == WFI_ENCODING_PLAIN || (f->encoding == WFI_ENCODING_UTF8 && marked)) return true;
    if (marked) text = wf_str_of(text.ptr + mark.len, text.len - mark.len);
    char *to = wfi_tool_take(w, 2 * text.len + WFI_ENCODING_MARK);
    if (to != NULL) *bytes = wf_str_of(to, wfi_encoding_put(f->encoding, text, to));
    return to != NULL;
}

/* Whether the lines of the file that is there end with CRLF. */
static bool write_had_crlf(const wfi_write_file *f) {
    char begin[4096];
    ssize_t n = f->fd >= 0 && f->reads ? pread(f->fd, begin, sizeof begin, 0) : 0;
    const char *newline = n > 0 ? memchr(begin, '\n', (size_t)n) : NULL;
    return newline != NULL && newline > begin && newline[-1] == '\r';
}

static void write_answer(wfi_tool *w, const wfi_write_file *f, wf_str text, bool there, bool crlf) {
    wfi_tool_puts(w, there ? "replaced " : "made ");
    wfi_write_put_path(w, f);
    wfi_tool_puts(w, ": ");
    wfi_tool_putn(w, wfi_write_count(text, '\n') + (text.len > 0 && text.ptr[text.len - 1] != '\n'));
    wfi_tool_puts(w, " lines, ");
    wfi_tool_putn(w, text.len);
    wfi_tool_puts(w, " bytes\n");
    if (wfi_encoding_is_16(f->encoding)) wfi_tool_puts(w, "(stored as UTF-16, as the file was)\n");
    if (crlf && text.len > 0 && memmem(text.ptr, text.len, "\r\n", 2) == NULL)
        wfi_tool_puts(w, "(the file's lines ended with CRLF, and end with LF now; write \\r\\n to have CRLF)\n");
    wfi_write_foot(w, f);
}

void wfi_tool_write(wfi_tool *w) {
    char path[WFI_CONFINE_PATH];
    wfi_write_file f;
    wf_str text, bytes;
    if (!wfi_tool_path(w, true, path) || !wfi_tool_str(w, "content", true, &text) ||
        !wfi_write_fits(w, "content", text) || !wfi_write_open(w, path, O_WRONLY | O_CREAT, &f))
        return;
    bool there = f.fd >= 0, crlf = write_had_crlf(&f);
    if (!write_encode(w, &f, text, &bytes) || !write_may(w, &f, bytes)) {
        wfi_write_close(&f);
        return;
    }
    if (wfi_write_store(w, &f, bytes, true)) write_answer(w, &f, text, there, crlf);
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
