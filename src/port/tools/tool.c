/* work: see work.h. Output, input, errors and lines for the tools. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#include "tool.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- output ---- */

bool wfi_work_put(wfi_work *w, wf_str text) {
    if (text.len > w->cap - w->len) {
        w->full = true;
        return false;
    }
    if (text.len > 0) memcpy(w->out + w->len, text.ptr, text.len);
    w->len += text.len;
    return true;
}

bool wfi_work_puts(wfi_work *w, const char *text) {
    return wfi_work_put(w, wf_str_of(text, strlen(text)));
}

bool wfi_work_putn(wfi_work *w, uint64_t n) {
    char room[WFI_SYS_DECIMAL];
    return wfi_work_puts(w, wfi_sys_decimal(n, room));
}

void wfi_work_foot(wfi_work *w) {
    w->cap += WFI_WORK_FOOT;
}

void wfi_work_error(wfi_work *w, const char *text) {
    w->len = 0;
    w->is_error = true;
    wfi_work_puts(w, text);
}

wf_str wfi_work_clip(wf_str text, size_t max) {
    if (text.len <= max) return text;
    size_t n = max;
    for (int i = 0; i < 3 && n > 0 && ((uint8_t)text.ptr[n] & 0xc0) == 0x80; i++)
        n--;
    return wf_str_of(text.ptr, n);
}

static const char *work_why(int error) {
    switch (error) {
    case EXDEV:
        return "path leads outside the workspace: ";
    case ENOENT:
        return "no such file or directory: ";
    case ENOTDIR:
        return "a part of the path is not a directory: ";
    case EACCES:
    case EPERM:
        return "no permission to read: ";
    case ELOOP:
        return "too many symbolic links: ";
    case ENAMETOOLONG:
        return "path is too long: ";
    case EINVAL:
        return "path holds a zero byte: ";
    case ENXIO:
        return "neither a regular file nor a directory: ";
    default:
        return "cannot be read: ";
    }
}

void wfi_work_path_bad(wfi_work *w, const char *text, wf_str path, const char *mend) {
    wfi_work_error(w, text);
    wfi_work_put(w, wfi_work_clip(path, 256));
    if (path.len > 256) wfi_work_puts(w, "...");
    wfi_work_puts(w, mend);
}

void wfi_work_path_error(wfi_work *w, int error, wf_str path) {
    wfi_work_path_bad(w, work_why(error), path, error == EXDEV ? "; give a path relative to it" : "");
}

bool wfi_work_line(wfi_work *w, wf_str text, uint64_t number, size_t max, bool whole) {
    size_t start = w->len;
    wf_str shown = wfi_work_clip(text, max);
    for (uint64_t pad = number; pad < 10000; pad = pad * 10 + 9)
        wfi_work_put(w, WF_STR(" "));
    wfi_work_putn(w, number);
    wfi_work_put(w, WF_STR("\t"));
    wfi_work_put(w, shown);
    if (shown.len < text.len || !whole) wfi_work_put(w, WF_STR(" ... (long line, cut)"));
    if (wfi_work_put(w, WF_STR("\n")) && !w->full) return true;
    w->len = start;
    return false;
}

/* ---- input ---- */

void *wfi_work_take(wfi_work *w, size_t n) {
    size_t aligned = (n + 7) & ~(size_t)7;
    if (aligned > w->size - w->used) {
        wfi_work_error(w, "the input is too large");
        return NULL;
    }
    void *p = w->room + w->used;
    w->used += aligned;
    return p;
}

static bool work_bad(wfi_work *w, const char *key, const char *what) {
    wfi_work_error(w, "");
    wfi_work_put(w, w->tool);
    wfi_work_puts(w, ": \"");
    wfi_work_puts(w, key);
    wfi_work_puts(w, "\" ");
    wfi_work_puts(w, what);
    return false;
}

/* The member's text; empty if it is absent or null. */
static wf_str work_member(const wfi_work *w, const char *key) {
    wf_str value = {NULL, 0};
    if (!wf_json_member(w->input, wf_str_of(key, strlen(key)), &value)) return wf_str_of(NULL, 0);
    bool null = value.len == 4 && memcmp(value.ptr, "null", 4) == 0;
    return null ? wf_str_of(NULL, 0) : value;
}

bool wfi_work_str(wfi_work *w, const char *key, bool needed, wf_str *out) {
    wf_str escaped;
    if (work_member(w, key).len == 0) return !needed || work_bad(w, key, "is missing: give a string");
    if (!wf_json_member_str(w->input, wf_str_of(key, strlen(key)), &escaped))
        return work_bad(w, key, "must be a string");
    char *text = wfi_work_take(w, escaped.len + 1);
    if (text == NULL) return false;
    *out = wf_str_of(text, wf_json_unescape(escaped, text));
    return true;
}

bool wfi_work_u64(wfi_work *w, const char *key, uint64_t least, uint64_t most, uint64_t *out) {
    uint64_t v = 0;
    if (work_member(w, key).len == 0) return true;
    bool good = wf_json_member_u64(w->input, wf_str_of(key, strlen(key)), &v);
    if (good && v >= least && v <= most) {
        *out = v;
        return true;
    }
    work_bad(w, key, "must be a whole number from ");
    wfi_work_putn(w, least);
    wfi_work_puts(w, most == UINT64_MAX ? " up" : " to ");
    if (most != UINT64_MAX) wfi_work_putn(w, most);
    return false;
}

bool wfi_work_bool(wfi_work *w, const char *key, bool *out) {
    if (work_member(w, key).len == 0) return true;
    return wf_json_member_bool(w->input, wf_str_of(key, strlen(key)), out) || work_bad(w, key, "must be true or false");
}

bool wfi_work_path(wfi_work *w, bool needed, char path[WFI_CONFINE_PATH]) {
    wf_str given = {".", 1};
    if (!wfi_work_str(w, "path", needed, &given)) return false;
    int error = wfi_confine_relative(w->root, given, path);
    if (error != 0) wfi_work_path_error(w, error, given);
    return error == 0;
}

/* ---- lines ---- */

/* Moves what is left to the window's start and reads more behind it. */
static void work_fill(wfi_lines *l) {
    memmove(l->window, l->window + l->at, l->len - l->at);
    l->len -= l->at;
    l->at = 0;
    ssize_t n;
    do
        n = read(l->fd, l->window + l->len, WFI_LINES_WINDOW - l->len);
    while (n < 0 && errno == EINTR);
    if (n > 0) l->len += (size_t)n;
    l->eof = n <= 0;
    l->failed = n < 0;
}

bool wfi_lines_init(wfi_lines *l, wfi_work *w, int fd) {
    memset(l, 0, sizeof *l);
    l->fd = fd;
    l->ended = true;
    l->window = wfi_work_take(w, WFI_LINES_WINDOW);
    return l->window != NULL;
}

bool wfi_lines_binary(wfi_lines *l) {
    while (!l->eof && l->len < WFI_WORK_PROBE)
        work_fill(l);
    size_t n = l->len < WFI_WORK_PROBE ? l->len : WFI_WORK_PROBE;
    return n > 0 && memchr(l->window, '\0', n) != NULL;
}

/* The length of the next piece, filling the window as needed; whether a newline follows it. */
static size_t work_piece(wfi_lines *l, bool *ended) {
    size_t seen = 0;
    for (;;) {
        const char *from = l->window + l->at;
        const char *newline = seen < l->len - l->at ? memchr(from + seen, '\n', l->len - l->at - seen) : NULL;
        *ended = newline != NULL;
        if (newline != NULL) return (size_t)(newline - from);
        seen = l->len - l->at;
        if (l->eof) return seen;
        if (seen == WFI_LINES_WINDOW) return wfi_work_clip(wf_str_of(from, seen), seen - 4).len;
        work_fill(l);
    }
}

bool wfi_lines_next(wfi_lines *l) {
    bool ended;
    size_t n = work_piece(l, &ended);
    if (l->failed || (n == 0 && !ended)) return false;
    l->first = l->ended;
    l->number += l->first;
    l->text = wf_str_of(l->window + l->at, n);
    l->ended = ended;
    l->at += n + (ended ? 1 : 0);
    return true;
}
