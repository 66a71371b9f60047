/* read: the tool and the effect that show a file. A model gets numbered lines, a window of the file at a time, told
 * how to get the next; a script gets the exact text as a JSON string. Works through a fixed window whatever the
 * file's size. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#include "../os/dir.h"
#include "tool.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define READ_LINES      400u /* when no end is asked for */
#define READ_NEAR_NAMES 3
#define READ_NEAR_LEN   64u /* names longer than this are not compared */

typedef struct read_args {
    char path[WFI_CONFINE_PATH];
    uint64_t from, to; /* line numbers, both shown; to is UINT64_MAX for all */
} read_args;

/* ---- near names ---- */

typedef struct read_near {
    wf_str name; /* that is not there */
    uint32_t count;
    char found[READ_NEAR_NAMES][READ_NEAR_LEN + 1];
} read_near;

static char read_low(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Changed, added and lost characters between two names, case aside. */
static uint32_t read_distance(wf_str a, wf_str b) {
    uint32_t row[READ_NEAR_LEN + 1];
    for (uint32_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= a.len; i++) {
        uint32_t corner = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b.len; j++) {
            uint32_t change = corner + (read_low(a.ptr[i - 1]) != read_low(b.ptr[j - 1]));
            uint32_t least = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            corner = row[j];
            row[j] = change < least ? change : least;
        }
    }
    return row[b.len];
}

static bool read_compare_name(void *ctx, const char *name, wfi_entry_type type) {
    read_near *near = ctx;
    size_t n = strlen(name);
    (void)type;
    if (n > READ_NEAR_LEN) return true;
    if (read_distance(near->name, wf_str_of(name, n)) > 2 || n <= 2) return true;
    memcpy(near->found[near->count++], name, n + 1);
    return near->count < READ_NEAR_NAMES;
}

/* Looks in the directory where the name should be. */
void wfi_work_suggest(wfi_work *w, const char *path) {
    uint64_t entries[1024];
    char dir[WFI_CONFINE_PATH];
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    read_near near = {.name = wf_str_of(name, strlen(name))};
    if (near.name.len == 0 || near.name.len > READ_NEAR_LEN) return;
    size_t n = slash != NULL ? (size_t)(slash - path) : 0;
    if (n >= sizeof dir) return;
    memcpy(dir, n > 0 ? path : ".", n > 0 ? n : 1);
    dir[n > 0 ? n : 1] = '\0';
    int fd = wfi_confine_open(w->root, w->dirfd, dir);
    if (fd < 0) return;
    wfi_entries(fd, entries, sizeof entries, read_compare_name, &near);
    close(fd);
    for (uint32_t i = 0; i < near.count; i++) {
        wfi_work_puts(w, i == 0 ? "; there is " : ", ");
        wfi_work_put(w, wf_str_of(path, n + (slash != NULL ? 1 : 0)));
        wfi_work_puts(w, near.found[i]);
    }
}

/* ---- opening ---- */

static bool read_parse(wfi_work *w, read_args *a) {
    a->from = 1;
    a->to = 0;
    if (!wfi_work_path(w, true, a->path) || !wfi_work_u64(w, "from", 1, UINT64_MAX, &a->from) ||
        !wfi_work_u64(w, "to", 1, UINT64_MAX, &a->to))
        return false;
    if (a->to == 0) a->to = w->script || a->from > UINT64_MAX - READ_LINES ? UINT64_MAX : a->from + READ_LINES - 1;
    if (a->to >= a->from) return true;
    wfi_work_error(w, "\"to\" comes before \"from\"");
    return false;
}

/* The open regular file, or -1 with the error set. */
static int read_open(wfi_work *w, const char *path) {
    wf_str shown = wf_str_of(path, strlen(path));
    int fd = wfi_confine_open(w->root, w->dirfd, path);
    if (fd >= 0 && wfi_confine_is_file(fd, NULL)) return fd;
    if (fd >= 0) {
        close(fd);
        wfi_work_path_bad(w, "it is a directory, not a file: ", shown,
                          w->script ? "; list it with files()" : "; list it with glob");
        return -1;
    }
    wfi_work_path_error(w, -fd, shown);
    if (fd == -ENOENT) wfi_work_suggest(w, path);
    return -1;
}

bool wfi_work_read_is_small(wfi_work *w) {
    read_args a;
    uint64_t size = 0;
    wfi_work probe = *w;
    if (!read_parse(&probe, &a)) return true;
    int fd = wfi_confine_open(w->root, w->dirfd, a.path);
    if (fd < 0) return true;
    bool small = !wfi_confine_is_file(fd, &size) || size <= WFI_WORK_SMALL;
    close(fd);
    return small;
}

/* ---- for models ---- */

static wf_str read_chomp(wf_str text, bool *crlf) {
    if (text.len == 0 || text.ptr[text.len - 1] != '\r') return text;
    *crlf = true;
    return wf_str_of(text.ptr, text.len - 1);
}

static void read_model_foot(wfi_work *w, const read_args *a, uint64_t shown, uint64_t lines, bool crlf) {
    wfi_work_foot(w);
    if (lines == 0) {
        wfi_work_puts(w, "(the file is empty)");
    } else if (a->from > lines) {
        wfi_work_error(w, "\"from\" is beyond the end: the file has ");
        wfi_work_putn(w, lines);
        wfi_work_puts(w, " lines");
        return;
    }
    if (crlf) wfi_work_puts(w, "(lines end with CRLF)\n");
    if (shown >= lines) return;
    wfi_work_puts(w, "... ");
    wfi_work_putn(w, lines - shown);
    wfi_work_puts(w, " more lines; read again with from=");
    wfi_work_putn(w, shown + 1);
}

static void read_for_model(wfi_work *w, const read_args *a, wfi_lines *l) {
    uint64_t shown = a->from - 1;
    size_t max = w->cap / 2 < WFI_WORK_LINE_MAX ? w->cap / 2 : WFI_WORK_LINE_MAX;
    bool crlf = false;
    while (wfi_lines_next(l)) {
        if (!l->first || l->number < a->from || l->number > a->to || w->full) continue;
        if (wfi_work_line(w, read_chomp(l->text, &crlf), l->number, max, l->ended || l->eof)) shown = l->number;
    }
    read_model_foot(w, a, shown, l->number, crlf);
}

/* ---- for scripts ---- */

/* Appends text to the open JSON string at the output's end: the writer puts its quotes over the byte before and the
 * one behind. */
static bool read_escape(wfi_work *w, wf_str text) {
    wf_json_out o;
    char before = w->out[w->len - 1];
    wf_json_out_init(&o, w->out + w->len - 1, w->cap - w->len + 1);
    wf_json_str(&o, text);
    w->out[w->len - 1] = before;
    if (!wf_json_ok(&o)) return false;
    w->len += o.len - 2;
    return true;
}

static bool read_too_large(wfi_work *w) {
    wfi_work_error(w, "more than 4 MiB: read a part of it, with from and to");
    return false;
}

/* One piece, and the newline behind it. */
static bool read_script_piece(wfi_work *w, const wfi_lines *l, size_t *total) {
    *total += l->text.len + 1;
    if (*total > WFI_WORK_READ_MAX + 1) return read_too_large(w);
    return (read_escape(w, l->text) && (!l->ended || read_escape(w, WF_STR("\n")))) || read_too_large(w);
}

static void read_for_script(wfi_work *w, const read_args *a, wfi_lines *l) {
    size_t total = 0;
    wfi_work_put(w, WF_STR("\""));
    while (wfi_lines_next(l) && l->number <= a->to)
        if (l->number >= a->from && !read_script_piece(w, l, &total)) return;
    wfi_work_put(w, WF_STR("\""));
}

void wfi_work_read(wfi_work *w) {
    read_args a;
    wfi_lines l;
    if (!read_parse(w, &a)) return;
    int fd = read_open(w, a.path);
    if (fd < 0) return;
    if (wfi_lines_init(&l, w, fd)) {
        if (w->script) {
            read_for_script(w, &a, &l);
        } else if (wfi_lines_binary(&l)) {
            wfi_work_path_bad(w, "it is a binary file, not text: ", wf_str_of(a.path, strlen(a.path)), "");
        } else {
            read_for_model(w, &a, &l);
        }
        if (l.failed) wfi_work_path_error(w, EIO, wf_str_of(a.path, strlen(a.path)));
    }
    close(fd);
}
