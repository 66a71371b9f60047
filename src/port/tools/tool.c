/* tool: see tool.h. Output, errors, near names, input and lines for the tools. */
#include "../os/dir.h"
#include "tool.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define TOOL_NEAR_NAMES 3
#define TOOL_NEAR_LEN   64u /* names longer than this are not compared */

/* ---- output ---- */

bool wfi_tool_put(wfi_tool *w, wf_str text) {
    if (text.len > w->cap - w->len) {
        w->full = true;
        return false;
    }
    if (text.len > 0) memcpy(w->out + w->len, text.ptr, text.len);
    w->len += text.len;
    return true;
}

bool wfi_tool_puts(wfi_tool *w, const char *text) {
    return wfi_tool_put(w, wf_str_of(text, strlen(text)));
}

bool wfi_tool_putn(wfi_tool *w, uint64_t n) {
    char room[WFI_SYS_DECIMAL];
    return wfi_tool_puts(w, wfi_sys_decimal(n, room));
}

bool wfi_tool_put_path(wfi_tool *w, wf_str path) {
    char shown[1024];
    size_t start = w->len;
    for (size_t at = 0; at < path.len && !w->full;) { /* name by name: how one is shown does not depend on others */
        wf_str rest = wf_str_of(path.ptr + at, path.len - at);
        const char *slash = memchr(rest.ptr, '/', rest.len);
        if (slash != NULL) rest.len = (size_t)(slash - rest.ptr) + 1;
        wf_str piece = wfi_tool_clip(rest, sizeof shown / 4);
        wfi_tool_put(w, wf_str_of(shown, wfi_names_show(piece, true, shown)));
        at += piece.len;
    }
    if (w->full) w->len = start;
    return !w->full;
}

void wfi_tool_put_short(wfi_tool *w, wf_str path) {
    wfi_tool_put_path(w, wfi_tool_clip(path, 256));
    if (path.len > 256) wfi_tool_puts(w, "...");
}

void wfi_tool_foot(wfi_tool *w) {
    w->cap += WFI_TOOL_FOOT;
}

void wfi_tool_error(wfi_tool *w, const char *text) {
    w->len = 0;
    w->is_error = true;
    wfi_tool_puts(w, text);
}

wf_str wfi_tool_clip(wf_str text, size_t max) {
    if (text.len <= max) return text;
    size_t n = max;
    for (int i = 0; i < 3 && n > 0 && ((uint8_t)text.ptr[n] & 0xc0) == 0x80; i++)
        n--;
    return wf_str_of(text.ptr, n);
}

static const char *tool_why(int error) {
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
        return "too many symbolic links, or \"..\" in them: ";
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

void wfi_tool_path_bad(wfi_tool *w, const char *text, wf_str path, const char *mend) {
    wfi_tool_error(w, text);
    wfi_tool_put_short(w, path);
    wfi_tool_puts(w, mend);
}

void wfi_tool_path_error(wfi_tool *w, int error, wf_str path) {
    wfi_tool_path_bad(w, tool_why(error), path, error == EXDEV ? "; give a path relative to it" : "");
}

bool wfi_tool_line(wfi_tool *w, wf_str text, uint64_t number, size_t max, bool whole) {
    size_t start = w->len;
    wf_str shown = wfi_tool_clip(text, max);
    for (uint64_t pad = number; pad < 10000; pad = pad * 10 + 9)
        wfi_tool_put(w, WF_STR(" "));
    wfi_tool_putn(w, number);
    wfi_tool_put(w, WF_STR("\t"));
    wfi_tool_put(w, shown);
    if (shown.len < text.len || !whole) wfi_tool_put(w, WF_STR(" ... (long line, cut)"));
    if (wfi_tool_put(w, WF_STR("\n")) && !w->full) return true;
    w->len = start;
    return false;
}

/* ---- near names ---- */

typedef struct tool_near {
    wf_str name; /* that is not there */
    uint32_t count;
    char found[TOOL_NEAR_NAMES][TOOL_NEAR_LEN + 1];
} tool_near;

static char tool_low(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Changed, added and lost characters between two names, case aside. */
static uint32_t tool_distance(wf_str a, wf_str b) {
    uint32_t row[TOOL_NEAR_LEN + 1];
    for (uint32_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= a.len; i++) {
        uint32_t corner = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b.len; j++) {
            uint32_t change = corner + (tool_low(a.ptr[i - 1]) != tool_low(b.ptr[j - 1]));
            uint32_t least = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            corner = row[j];
            row[j] = change < least ? change : least;
        }
    }
    return row[b.len];
}

static bool tool_compare_name(void *ctx, const char *name, wfi_entry_type type) {
    tool_near *near = ctx;
    size_t n = strlen(name);
    (void)type;
    if (n > TOOL_NEAR_LEN) return true;
    if (tool_distance(near->name, wf_str_of(name, n)) > 2 || n <= 2) return true;
    memcpy(near->found[near->count++], name, n + 1);
    return near->count < TOOL_NEAR_NAMES;
}

/* Looks in the directory where the name should be. */
void wfi_tool_suggest(wfi_tool *w, const char *path) {
    uint64_t entries[1024];
    char dir[WFI_CONFINE_PATH];
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    tool_near near = {.name = wf_str_of(name, strlen(name))};
    if (near.name.len == 0 || near.name.len > TOOL_NEAR_LEN) return;
    size_t n = slash != NULL ? (size_t)(slash - path) : 0;
    if (n >= sizeof dir) return;
    memcpy(dir, n > 0 ? path : ".", n > 0 ? n : 1);
    dir[n > 0 ? n : 1] = '\0';
    int fd = wfi_confine_open(w->root, w->dirfd, dir);
    if (fd < 0) return;
    wfi_entries(fd, entries, sizeof entries, tool_compare_name, &near);
    close(fd);
    for (uint32_t i = 0; i < near.count; i++) {
        wfi_tool_puts(w, i == 0 ? "; there is " : ", ");
        wfi_tool_put_path(w, wf_str_of(path, n + (slash != NULL ? 1 : 0)));
        wfi_tool_put_path(w, wf_str_of(near.found[i], strlen(near.found[i])));
    }
}

/* ---- input ---- */

void *wfi_tool_take(wfi_tool *w, size_t n) {
    size_t aligned = (n + 7) & ~(size_t)7;
    if (aligned > w->size - w->used) {
        wfi_tool_error(w, "the input is too large");
        return NULL;
    }
    void *p = w->room + w->used;
    w->used += aligned;
    return p;
}

static bool tool_bad(wfi_tool *w, const char *key, const char *what) {
    wfi_tool_error(w, "");
    wfi_tool_put(w, w->tool);
    wfi_tool_puts(w, ": \"");
    wfi_tool_puts(w, key);
    wfi_tool_puts(w, "\" ");
    wfi_tool_puts(w, what);
    return false;
}

/* The member's text; empty if it is absent or null. */
static wf_str tool_member(const wfi_tool *w, const char *key) {
    wf_str value = {NULL, 0};
    if (!wf_json_member(w->input, wf_str_of(key, strlen(key)), &value)) return wf_str_of(NULL, 0);
    bool null = value.len == 4 && memcmp(value.ptr, "null", 4) == 0;
    return null ? wf_str_of(NULL, 0) : value;
}

static bool tool_lists(const char *names, wf_str name) {
    for (const char *at = names; *at != '\0'; at += strspn(at, ",")) {
        size_t n = strcspn(at, ",");
        if (n == name.len && memcmp(at, name.ptr, n) == 0) return true;
        at += n;
    }
    return false;
}

/* A member that would be passed over may be what the model relies on: {"append":true}. */
static void tool_unknown(wfi_tool *w, const wf_tool *tool, wf_str key, wf_str properties) {
    wf_json j;
    const char *glue = "";
    wf_json_init(&j, properties);
    (void)wf_json_next(&j);
    wfi_tool_error(w, "");
    wfi_tool_put(w, tool->name);
    wfi_tool_puts(w, ": there is no \"");
    wfi_tool_put(w, wfi_tool_clip(key, 64));
    wfi_tool_puts(w, "\", and nothing was done; it takes ");
    while (wf_json_next(&j) == WF_JSON_KEY) {
        wfi_tool_puts(w, glue);
        wfi_tool_put(w, j.raw);
        wf_json_skip(&j, wf_json_next(&j), NULL);
        glue = ", ";
    }
    wfi_tool_puts(w, ". ");
    wfi_tool_put(w, tool->description);
}

bool wfi_tool_knows(wfi_tool *w, const wf_tool *tool, const char *also) {
    wf_json j;
    wf_str properties = WF_STR("{}"), value;
    (void)wf_json_member(tool->input_schema, WF_STR("properties"), &properties);
    wf_json_init(&j, w->input);
    if (wf_json_next(&j) != WF_JSON_OBJECT) return true; /* what it needs is missing, then */
    while (wf_json_next(&j) == WF_JSON_KEY) {
        wf_str key = j.raw;
        wf_json_token token = wf_json_next(&j);
        bool known = token == WF_JSON_NULL || tool_lists(also, key) || wf_json_member(properties, key, &value);
        if (!known) {
            tool_unknown(w, tool, key, properties);
            return false;
        }
        if (wf_json_skip(&j, token, NULL) != WF_OK) return true;
    }
    return true;
}

bool wfi_tool_str(wfi_tool *w, const char *key, bool needed, wf_str *out) {
    wf_str escaped;
    if (tool_member(w, key).len == 0) return !needed || tool_bad(w, key, "is missing: give a string");
    if (!wf_json_member_str(w->input, wf_str_of(key, strlen(key)), &escaped))
        return tool_bad(w, key, "must be a string");
    char *text = wfi_tool_take(w, escaped.len + 1);
    if (text == NULL) return false;
    *out = wf_str_of(text, wf_json_unescape(escaped, text));
    return true;
}

bool wfi_tool_u64(wfi_tool *w, const char *key, uint64_t least, uint64_t most, uint64_t *out) {
    uint64_t v = 0;
    if (tool_member(w, key).len == 0) return true;
    bool good = wf_json_member_u64(w->input, wf_str_of(key, strlen(key)), &v);
    if (good && v >= least && v <= most) {
        *out = v;
        return true;
    }
    tool_bad(w, key, "must be a whole number from ");
    wfi_tool_putn(w, least);
    wfi_tool_puts(w, most == UINT64_MAX ? " up" : " to ");
    if (most != UINT64_MAX) wfi_tool_putn(w, most);
    return false;
}

bool wfi_tool_bool(wfi_tool *w, const char *key, bool *out) {
    if (tool_member(w, key).len == 0) return true;
    return wf_json_member_bool(w->input, wf_str_of(key, strlen(key)), out) || tool_bad(w, key, "must be true or false");
}

bool wfi_tool_path(wfi_tool *w, bool needed, char path[WFI_CONFINE_PATH]) {
    wf_str given = {".", 1};
    if (!wfi_tool_str(w, "path", needed, &given)) return false;
    int error = wfi_confine_relative(w->root, given, path);
    if (error != 0) wfi_tool_path_error(w, error, given);
    if (error == 0) wfi_names_find(w->root, w->dirfd, path);
    return error == 0;
}

/* ---- lines ---- */

/* Reads up to n bytes; none are left, or it failed: 0. */
static size_t tool_read(wfi_lines *l, char *to, size_t n) {
    ssize_t got;
    do
        got = read(l->fd, to, n);
    while (got < 0 && errno == EINTR);
    l->eof = got <= 0;
    l->failed = got < 0;
    l->bytes += got > 0 ? (size_t)got : 0;
    return got > 0 ? (size_t)got : 0;
}

#define TOOL_UTF16 8192u /* bytes decoded at a time */
#define TOOL_FULL  16u   /* bytes that a window need not hold to be full: a character more, decoded, has room in them */

static void tool_fill_utf16(wfi_lines *l) {
    char raw[TOOL_UTF16];
    size_t most = ((l->size - l->len) / 3 - 3) * 2;
    size_t n = tool_read(l, raw, most < sizeof raw ? most : sizeof raw);
    l->len += n > 0 ? wfi_utf16_decode(&l->decoder, raw, n, l->window + l->len)
                    : wfi_utf16_end(&l->decoder, l->window + l->len);
}

/* Moves what is left to the window's start and reads more behind it. */
static void tool_fill(wfi_lines *l) {
    memmove(l->window, l->window + l->at, l->len - l->at);
    l->len -= l->at;
    l->at = 0;
    if (wfi_encoding_is_16(l->encoding)) {
        tool_fill_utf16(l);
        return;
    }
    size_t room = l->size - l->len;
    l->len += tool_read(l, l->window + l->len, room < WFI_LINES_WINDOW ? room : WFI_LINES_WINDOW);
}

void wfi_lines_init(wfi_lines *l, int fd, char *window, size_t size, bool keep_mark) {
    char begin[WFI_ENCODING_MARK];
    size_t mark = 0;
    memset(l, 0, sizeof *l);
    l->fd = fd;
    l->window = window;
    l->size = size;
    l->ended = true;
    ssize_t n = pread(fd, begin, sizeof begin, 0);
    if (n > 0) l->encoding = wfi_encoding_of(begin, (size_t)n, &mark);
    if (l->encoding == WFI_ENCODING_UTF8 && keep_mark) mark = 0;
    l->decoder.big = l->encoding == WFI_ENCODING_BIG;
    if (mark > 0) l->failed = l->eof = lseek(fd, (off_t)mark, SEEK_SET) < 0;
}

bool wfi_lines_binary(wfi_lines *l) {
    while (!l->eof && l->len < WFI_TOOL_PROBE)
        tool_fill(l);
    size_t n = l->len < WFI_TOOL_PROBE ? l->len : WFI_TOOL_PROBE;
    return n > 0 && memchr(l->window, '\0', n) != NULL;
}

/* The length of the next piece, filling the window as needed; whether a newline follows it. */
static size_t tool_piece(wfi_lines *l, bool *ended) {
    size_t seen = 0;
    for (;;) {
        const char *from = l->window + l->at;
        const char *newline = seen < l->len - l->at ? memchr(from + seen, '\n', l->len - l->at - seen) : NULL;
        *ended = newline != NULL;
        if (newline != NULL) return (size_t)(newline - from);
        seen = l->len - l->at;
        if (l->eof) return seen;
        if (seen + TOOL_FULL > l->size) return wfi_tool_clip(wf_str_of(from, seen), seen - 4).len;
        tool_fill(l);
    }
}

bool wfi_lines_next(wfi_lines *l) {
    bool ended;
    size_t n = tool_piece(l, &ended);
    if (l->failed || (n == 0 && !ended)) return false;
    l->first = l->ended;
    l->number += l->first;
    l->text = wf_str_of(l->window + l->at, n);
    l->ended = ended;
    l->at += n + (ended ? 1 : 0);
    return true;
}
