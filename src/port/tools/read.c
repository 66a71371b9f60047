/* read: the tool and the effect that show a file. A model gets numbered lines, a window of the file at a time, told
 * how to get the next; a script gets the exact text as a JSON string (of UTF-16: the text in UTF-8). Works through a fixed window
 * whatever the file's size. */
#include "tool.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define READ_LINES 400u /* when no end is asked for */
#define READ_AHEAD                                                                                                     \
    ((uint64_t)64 << 20) /* bytes behind the last line shown, looked at to count the lines and to find the next */

#define READ_LOOK ((uint64_t)1 << 20) /* bytes between two looks at the clock */

typedef struct read_args {
    char path[WFI_CONFINE_PATH];
    uint64_t from, to; /* line numbers, both shown; to is UINT64_MAX for all */
} read_args;

/* ---- opening ---- */

/* Models that know other products' tools give the first line as `offset`, which may be 0, and a number of lines. */
static bool read_parse_window(wfi_tool *w, read_args *a) {
    uint64_t offset = 0, limit = 0;
    if (!wfi_tool_u64(w, "offset", 0, UINT32_MAX, &offset) || !wfi_tool_u64(w, "limit", 1, UINT32_MAX, &limit))
        return false;
    if (offset > 0) a->from = offset;
    if (limit > 0) a->to = a->from + limit - 1;
    return true;
}

static bool read_parse(wfi_tool *w, read_args *a) {
    a->from = 1;
    a->to = 0;
    if (!wfi_tool_path(w, true, a->path) || !wfi_tool_u64(w, "from", 1, UINT64_MAX, &a->from) ||
        !wfi_tool_u64(w, "to", 1, UINT64_MAX, &a->to) || (!w->script && !read_parse_window(w, a)))
        return false;
    if (a->to == 0) a->to = w->script || a->from > UINT64_MAX - READ_LINES ? UINT64_MAX : a->from + READ_LINES - 1;
    if (a->to >= a->from) return true;
    wfi_tool_error(w, "\"to\" comes before \"from\"");
    return false;
}

/* Takes note of what the file holds, before it is read: what changes meanwhile has changed since. */
static void read_mark(wfi_tool *w, const char *real, int fd) {
    if (w->agent == 0 || !wfi_seen_content(fd, &w->mark.content)) return;
    w->mark.file = wfi_seen_path(w->root->root, real);
}

/* The open regular file, or -1 with the error set. */
static int read_open(wfi_tool *w, const char *path) {
    char real[WFI_CONFINE_PATH];
    wf_str shown = wf_str_of(path, strlen(path));
    int fd = w->agent == 0 ? wfi_confine_open(w->root, w->dirfd, path)
                           : wfi_confine_open_real(w->root, w->dirfd, path, real);
    if (fd >= 0 && wfi_confine_is_file(fd, NULL)) {
        read_mark(w, real, fd);
        return fd;
    }
    if (fd >= 0) {
        close(fd);
        wfi_tool_path_bad(w, "it is a directory, not a file: ", shown,
                          w->script ? "; list it with files()" : "; list it with glob");
        return -1;
    }
    wfi_tool_path_error(w, -fd, shown);
    if (fd == -ENOENT) wfi_tool_suggest(w, path);
    return -1;
}

bool wfi_tool_read_is_small(wfi_tool *w) {
    read_args a;
    uint64_t size = 0;
    wfi_tool probe = *w;
    if (!read_parse(&probe, &a)) return true;
    int fd = wfi_confine_open(w->root, w->dirfd, a.path);
    if (fd < 0) return true;
    bool small = !wfi_confine_is_file(fd, &size) || size <= WFI_TOOL_SMALL;
    close(fd);
    return small;
}

/* ---- for models ---- */

typedef struct read_view {
    const read_args *args;
    wfi_lines *lines;
    uint64_t shown;    /* number of the last line that was */
    uint64_t at;       /* bytes of the file read until then */
    uint64_t looked;   /* ... when the clock was looked at */
    uint64_t crlf, lf; /* how lines that were shown end */
    bool stopped;      /* before the file's end */
} read_view;

static wf_str read_chomp(read_view *v, wf_str text) {
    bool crlf = text.len > 0 && text.ptr[text.len - 1] == '\r';
    v->crlf += crlf && v->lines->ended;
    v->lf += !crlf && v->lines->ended;
    return wf_str_of(text.ptr, text.len - crlf);
}

static void read_ends_foot(wfi_tool *w, const read_view *v) {
    if (v->crlf == 0) return;
    if (v->lf == 0) {
        wfi_tool_puts(w, "(lines end with CRLF)\n");
        return;
    }
    wfi_tool_puts(w, "(of these lines ");
    wfi_tool_putn(w, v->crlf);
    wfi_tool_puts(w, " end with CRLF, ");
    wfi_tool_putn(w, v->lf);
    wfi_tool_puts(w, " with LF)\n");
}

static void read_encoding_foot(wfi_tool *w, const read_view *v) {
    if (!wfi_encoding_is_16(v->lines->encoding)) return;
    wfi_tool_puts(w, v->lines->decoder.bad ? "(the file is UTF-16, with errors in it)\n" : "(the file is UTF-16)\n");
}

/* What follows the last line that was shown. */
static void read_more_foot(wfi_tool *w, const read_view *v) {
    uint64_t lines = v->lines->number;
    if (v->stopped && lines == v->shown && !v->lines->ended) {
        wfi_tool_puts(w, "... line ");
        wfi_tool_putn(w, lines);
        wfi_tool_puts(w, " goes on; what follows it was not looked at: the file is too large");
        return;
    }
    if (v->shown >= lines && !v->stopped) return;
    wfi_tool_puts(w, "... ");
    if (!v->stopped) wfi_tool_putn(w, lines - v->shown);
    wfi_tool_puts(w, v->stopped ? "more lines; read again with from=" : " more lines; read again with from=");
    wfi_tool_putn(w, v->shown + 1);
}

static void read_model_foot(wfi_tool *w, const read_view *v) {
    uint64_t lines = v->lines->number;
    wfi_tool_foot(w);
    if (lines == 0) {
        wfi_tool_puts(w, "(the file is empty)");
    } else if (v->args->from > lines) {
        wfi_tool_error(w, v->stopped ? "stopped: it takes too long to find line \"from\"; until then there are "
                                     : "\"from\" is beyond the end: the file has ");
        wfi_tool_putn(w, lines);
        wfi_tool_puts(w, " lines");
        return;
    }
    read_ends_foot(w, v);
    read_encoding_foot(w, v);
    read_more_foot(w, v);
}

/* Whether enough of a huge file was looked at. */
static bool read_stops(const wfi_tool *w, read_view *v) {
    uint64_t bytes = v->lines->bytes;
    if (v->shown >= v->args->from && bytes - v->at > READ_AHEAD) return true;
    if (bytes - v->looked < READ_LOOK || w->enough == UINT64_MAX) return false;
    v->looked = bytes;
    return wfi_sys_now_ms() > w->enough;
}

static void read_for_model(wfi_tool *w, const read_args *a, wfi_lines *l) {
    read_view v = {.args = a, .lines = l, .shown = a->from - 1};
    size_t max = w->cap / 2 < WFI_TOOL_LINE_MAX ? w->cap / 2 : WFI_TOOL_LINE_MAX;
    while (!v.stopped && wfi_lines_next(l)) {
        v.stopped = read_stops(w, &v);
        if (!l->first || l->number < a->from || l->number > a->to || w->full) continue;
        if (!wfi_tool_line(w, read_chomp(&v, l->text), l->number, max, l->ended || l->eof)) continue;
        v.shown = l->number;
        v.at = l->bytes;
    }
    read_model_foot(w, &v);
}

/* ---- for scripts ---- */

/* Appends text to the open JSON string at the output's end: the writer puts its quotes over the byte before and the
 * one behind. */
static bool read_escape(wfi_tool *w, wf_str text) {
    wf_json_out o;
    char before = w->out[w->len - 1];
    wf_json_out_init(&o, w->out + w->len - 1, w->cap - w->len + 1);
    wf_json_str(&o, text);
    w->out[w->len - 1] = before;
    if (!wf_json_ok(&o)) return false;
    w->len += o.len - 2;
    return true;
}

static bool read_too_large(wfi_tool *w) {
    wfi_tool_error(w, "more than 4 MiB: read a part of it, with from and to");
    return false;
}

/* One piece, and the newline behind it. */
static bool read_script_piece(wfi_tool *w, const wfi_lines *l, size_t *total) {
    *total += l->text.len + 1;
    if (*total > WFI_TOOL_READ_MAX + 1) return read_too_large(w);
    return (read_escape(w, l->text) && (!l->ended || read_escape(w, WF_STR("\n")))) || read_too_large(w);
}

static void read_for_script(wfi_tool *w, const read_args *a, wfi_lines *l) {
    size_t total = 0;
    wfi_tool_put(w, WF_STR("\""));
    while (wfi_lines_next(l) && l->number <= a->to)
        if (l->number >= a->from && !read_script_piece(w, l, &total)) return;
    wfi_tool_put(w, WF_STR("\""));
}

void wfi_tool_read(wfi_tool *w) {
    read_args a;
    wfi_lines l;
    if (!read_parse(w, &a)) return;
    int fd = read_open(w, a.path);
    if (fd < 0) return;
    char *window = wfi_tool_take(w, WFI_LINES_WINDOW);
    if (window != NULL) {
        wfi_lines_init(&l, fd, window, WFI_LINES_WINDOW, w->script);
        if (w->script) {
            read_for_script(w, &a, &l);
        } else if (wfi_lines_binary(&l)) {
            wfi_tool_path_bad(w, "it is a binary file, not text: ", wf_str_of(a.path, strlen(a.path)), "");
        } else {
            read_for_model(w, &a, &l);
        }
        if (l.failed) wfi_tool_path_error(w, EIO, wf_str_of(a.path, strlen(a.path)));
    }
    close(fd);
}
