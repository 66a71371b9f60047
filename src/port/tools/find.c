/* find: the tools that look through the tree: grep and glob for models, files for scripts. They run in a child; their
 * order is that of the paths' bytes, so the same tree gives the same answer.
 *
 * What was not looked at is said: what could not be read, what is no text, what would have taken too long. A search that comes to its
 * time's end answers with what it has, and no one file gets more than a part of that time; only files() fails then, for a script
 * takes its list for whole. */
#include "match.h"
#include "walk.h"
#include "tool.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FIND_GLOBS       64u  /* of one files() */
#define FIND_LINE_MAX    300u /* bytes shown of a line */
#define FIND_CONTEXT_MAX 10u
#define FIND_MATCHES     100u
#define FIND_MATCHES_MAX 1000u

#define FIND_FIRST_MAX  256u
#define FIND_FIRST      80u               /* bytes shown of such a path */
#define FIND_WINDOW     ((size_t)8 << 20) /* longer lines are searched in parts */
#define FIND_BEFORE     200u   /* bytes shown before the end of a match that lies far behind its line's begin */
#define FIND_LOOK       65536u /* bytes, and lines, of a file between two looks at the clock */
#define FIND_LOOK_LINES 64u
#define FIND_SHARE      4u /* a file gets a fourth of the time */

typedef struct find_line {
    uint64_t number;
    size_t len;
    bool cut;
    char text[FIND_LINE_MAX];
} find_line;

/* Files that something is to be said of: how many, and the first. */
typedef struct find_tally {
    uint32_t count;
    size_t len;
    char first[FIND_FIRST_MAX];
} find_tally;

/* What grep answers. */
typedef enum find_mode { FIND_LINES, FIND_FILES, FIND_COUNTS } find_mode;

typedef struct find {
    wfi_tool *w;
    wfi_match *glob[FIND_GLOBS]; /* a file is wanted if one of them matches */
    uint32_t globs;
    bool glob_base; /* the glob has no '/': it is matched with the file's name alone */
    bool from_root; /* a glob was absolute: all are matched with paths from the root */
    size_t prefix;  /* bytes of a path before what globs are matched with */
    uint64_t found; /* files or lines */
    uint64_t shown; /* of them; grep ends at the first that it does not show */
    find_tally unreadable, binaries, partly, matched;
    find_tally stopped; /* where the search was, when its time was over */
    uint64_t began;     /* on the clock of wfi_sys_now_ms */
    bool ignored;       /* something was passed over because of .gitignore */
    /* grep */
    wfi_match *regex;
    find_mode mode;
    uint64_t back, ahead; /* lines shown before and after a match */
    uint64_t max;
    char *window;
    uint64_t printed; /* number of the last line shown of this file, 0: none yet */
    uint64_t after;   /* lines still to be shown */
    find_line before[FIND_CONTEXT_MAX];
    uint32_t held, oldest;
    uint64_t searched; /* files */
    uint64_t parts;    /* lines that were searched in parts */
    bool hit;          /* the line at hand has a match */
    bool binary;       /* the last file was */
} find;

static void find_note(find_tally *t, wf_str path) {
    if (t->count++ > 0) return;
    wf_str shown = wfi_tool_clip(path, sizeof t->first);
    if (shown.len > 0) memcpy(t->first, shown.ptr, shown.len);
    t->len = shown.len;
}

/* Whether the time is over; path: where that is. */
static bool find_late(find *f, wf_str path) {
    if (f->stopped.count == 0 && f->w->enough != UINT64_MAX && wfi_sys_now_ms() > f->w->enough)
        find_note(&f->stopped, path);
    return f->stopped.count > 0;
}

/* ---- globs ---- */

static bool find_bad_glob(wfi_tool *w, const char *why, wf_str glob) {
    wfi_tool_error(w, "glob \"");
    wfi_tool_put_short(w, glob);
    wfi_tool_puts(w, "\": ");
    wfi_tool_puts(w, why);
    return false;
}

static bool find_has_dots(wf_str glob) {
    for (size_t i = 0; i + 1 < glob.len; i++) {
        bool begins = i == 0 || glob.ptr[i - 1] == '/';
        bool ends = i + 2 == glob.len || glob.ptr[i + 2] == '/';
        if (begins && ends && glob.ptr[i] == '.' && glob.ptr[i + 1] == '.') return true;
    }
    return false;
}

static bool find_add_glob(find *f, wf_str glob) {
    size_t at;
    if (f->globs == FIND_GLOBS) return find_bad_glob(f->w, "more than 64 globs", glob);
    while (glob.len > 1 && glob.ptr[0] == '.' && glob.ptr[1] == '/')
        glob = wf_str_of(glob.ptr + 2, glob.len - 2);
    if (glob.len == 0) return find_bad_glob(f->w, "it is empty; ** stands for all files", glob);
    bool whole = glob.ptr[0] == '/';
    char inside[WFI_CONFINE_PATH];
    if (find_has_dots(glob) || (whole && wfi_confine_relative(f->w->root, glob, inside) != 0))
        return find_bad_glob(f->w, "it leads outside the workspace; give it relative, without ..", glob);
    if (whole) glob = wf_str_of(inside, strlen(inside));
    f->from_root = f->from_root || whole;
    wfi_match *m = wfi_tool_take(f->w, sizeof *m);
    if (m == NULL) return false;
    const char *error = wfi_match_glob(m, glob, &at);
    if (error != NULL) return find_bad_glob(f->w, error, glob);
    f->glob[f->globs++] = m;
    return true;
}

#if WFI_WALK_PATH <= WFI_CONFINE_PATH
#error "a walk must be able to begin in every folder that can be opened"
#endif

static bool find_wants(const find *f, wf_str path) {
    path = wf_str_of(path.ptr + f->prefix, path.len - f->prefix);
    size_t base = path.len;
    while (f->glob_base && base > 0 && path.ptr[base - 1] != '/')
        base--;
    if (f->glob_base) path = wf_str_of(path.ptr + base, path.len - base);
    for (uint32_t i = 0; i < f->globs; i++)
        if (wfi_match_whole(f->glob[i], path)) return true;
    return f->globs == 0;
}

/* Passes directories over in which no glob can match. */
static bool find_enter(void *ctx, wf_str dir) {
    find *f = ctx;
    if (find_late(f, dir)) return false;
    if (f->glob_base || f->globs == 0) return true;
    for (uint32_t i = 0; i < f->globs; i++)
        if (wfi_match_prefix(f->glob[i], wf_str_of(dir.ptr + f->prefix, dir.len - f->prefix))) return true;
    return false;
}

/* ---- walking ---- */

typedef bool (*find_file_fn)(void *ctx, wf_str path, int dirfd, const char *name);

static void find_unreadable(void *ctx, wf_str path) {
    find *f = ctx;
    find_note(&f->unreadable, path.len > 0 ? path : WF_STR("./"));
}

/* Walks the open directory at `real`, a path without links, taking all the room that is left. */
static void find_walk(find *f, int fd, const char *real, find_file_fn file) {
    char prefix[WFI_CONFINE_PATH + 1];
    size_t n = strlen(real);
    memcpy(prefix, real, n);
    if (n > 0) prefix[n++] = '/';
    wfi_walk *walk = wfi_tool_take(f->w, sizeof *walk);
    if (walk == NULL) return;
    memset(walk, 0, sizeof *walk);
    walk->enter = find_enter;
    walk->file = file;
    walk->unreadable = find_unreadable;
    walk->ctx = f;
    walk->room = f->w->room + f->w->used;
    walk->size = f->w->size - f->w->used;
    f->prefix = f->from_root ? 0 : n;
    wfi_walk_run(walk, f->w->root, f->w->dirfd, fd, wf_str_of(prefix, n));
    f->ignored = walk->ignored;
}

/* The end of an answer without results. */
static void find_ignored_foot(find *f) {
    if (f->ignored) wfi_tool_puts(f->w, " (not looked at: what .gitignore names; give its path to do so)");
    wfi_tool_puts(f->w, "\n");
}

/* "(3 THEY, first: PATH)" or, if there is IT, "(1 IT: PATH)"; whole or not at all. */
static void find_tally_foot(find *f, const find_tally *t, const char *they, const char *it) {
    wfi_tool *w = f->w;
    size_t start = w->len;
    bool full = w->full;
    if (t->count == 0) return;
    w->full = false;
    wfi_tool_puts(w, "(");
    wfi_tool_putn(w, t->count);
    bool one = t->count == 1 && it != NULL;
    wfi_tool_puts(w, one ? it : they);
    wfi_tool_puts(w, one ? ": " : ", first: ");
    wfi_tool_put_path(w, wfi_tool_clip(wf_str_of(t->first, t->len), FIND_FIRST));
    wfi_tool_puts(w, ")\n");
    if (w->full) w->len = start;
    w->full = w->full || full;
}

/* What the search did not look at. */
static void find_rest_foot(find *f) {
    wfi_tool *w = f->w;
    if (f->stopped.count > 0) {
        wfi_tool_puts(w, "(stopped, it took too long; what comes from here on was not looked at: ");
        wfi_tool_put_path(w, wfi_tool_clip(wf_str_of(f->stopped.first, f->stopped.len), FIND_FIRST));
        wfi_tool_puts(w, ")\n");
    }
    find_tally_foot(f, &f->partly, " files take too long and were searched in part",
                    " file takes too long and was searched in part");
    find_tally_foot(f, &f->unreadable, " files or directories could not be read", NULL);
    find_tally_foot(f, &f->binaries, " binary files were not searched", " binary file was not searched");
}

static find *find_begin(wfi_tool *w) {
    find *f = wfi_tool_take(w, sizeof *f);
    if (f == NULL) return NULL;
    memset(f, 0, sizeof *f);
    f->w = w;
    f->began = wfi_sys_now_ms();
    return f;
}

/* The directory of a search; -1: an error was set. */
static int find_open_dir(wfi_tool *w, const char *path, char real[WFI_CONFINE_PATH]) {
    int fd = wfi_confine_open_real(w->root, w->dirfd, path, real);
    if (fd >= 0 && wfi_confine_is_dir(fd)) return fd;
    wfi_tool_path_error(w, fd < 0 ? -fd : ENOTDIR, wf_str_of(path, strlen(path)));
    wfi_sys_close(&fd);
    return -1;
}

/* ---- glob ---- */

static bool find_list(void *ctx, wf_str path, int dirfd, const char *name) {
    find *f = ctx;
    (void)dirfd;
    (void)name;
    if (find_late(f, path)) return false;
    if (!find_wants(f, path)) return true;
    size_t start = f->w->len;
    f->found++;
    if (f->w->full) return true;
    if (wfi_tool_put_path(f->w, path) && wfi_tool_puts(f->w, "\n")) {
        f->shown++;
    } else {
        f->w->len = start;
    }
    return true;
}

/* ---- glob: what would match, where nothing does ---- */

static bool find_count(void *ctx, wf_str path, int dirfd, const char *name) {
    find *f = ctx;
    (void)dirfd;
    (void)name;
    if (find_late(f, path)) return false;
    if (find_wants(f, path)) find_note(&f->matched, path);
    return true;
}

/* "; 12 files match PATTERN, the first is PATH", and the text; false: none does. */
static bool find_offer(find *f, const char *path, wf_str pattern, const char *text) {
    char real[WFI_CONFINE_PATH];
    wfi_tool *w = f->w;
    size_t used = w->used;
    find *g = find_begin(w);
    if (g == NULL || !find_add_glob(g, pattern)) return false;
    int fd = find_open_dir(w, path, real);
    if (fd < 0) return false;
    find_walk(g, fd, real, find_count);
    close(fd);
    w->used = used;
    if (g->matched.count == 0) return false;
    wfi_tool_puts(w, "; ");
    wfi_tool_putn(w, g->matched.count);
    wfi_tool_puts(w, g->matched.count > 1 ? " files match " : " file matches ");
    wfi_tool_put_short(w, pattern);
    wfi_tool_puts(w, g->matched.count > 1 ? ", the first is " : ": ");
    wfi_tool_put_path(w, wfi_tool_clip(wf_str_of(g->matched.first, g->matched.len), FIND_FIRST));
    wfi_tool_puts(w, text);
    return true;
}

/* The pattern with two stars and a slash before its name, or before all of it. */
static wf_str find_deeper(wf_str pattern, bool name, char out[WFI_CONFINE_PATH]) {
    size_t at = name ? pattern.len : 0;
    while (at > 0 && pattern.ptr[at - 1] != '/')
        at--;
    if (at > 0) memcpy(out, pattern.ptr, at);
    memcpy(out + at, "**/", 3);
    memcpy(out + at + 3, pattern.ptr + at, pattern.len - at);
    return wf_str_of(out, pattern.len + 3);
}

static bool find_is_folder(const find *f, const char *path, wf_str pattern) {
    char whole[2 * WFI_CONFINE_PATH];
    size_t n = strlen(path);
    memcpy(whole, path, n);
    whole[n] = '/';
    memcpy(whole + n + 1, pattern.ptr, pattern.len);
    whole[n + 1 + pattern.len] = '\0';
    int fd = wfi_confine_open(f->w->root, f->w->dirfd, whole);
    bool folder = fd >= 0 && wfi_confine_is_dir(fd);
    wfi_sys_close(&fd);
    return folder;
}

/* How the pattern was understood, if another one would match something. */
static void find_hint(find *f, const char *path, wf_str pattern) {
    static const char depth[] = " (* stays in one folder, **/ goes through all below)";
    char out[WFI_CONFINE_PATH];
    wfi_tool *w = f->w;
    while (pattern.len > 1 && pattern.ptr[pattern.len - 1] == '/')
        pattern.len--;
    while (pattern.len > 2 && pattern.ptr[0] == '.' && pattern.ptr[1] == '/')
        pattern = wf_str_of(pattern.ptr + 2, pattern.len - 2);
    if (pattern.len + 4 > sizeof out || pattern.ptr[0] == '/') return;
    if (find_is_folder(f, path, pattern)) {
        wfi_tool_puts(w, "; ");
        wfi_tool_put_short(w, pattern);
        wfi_tool_puts(w, " is a folder: ");
        wfi_tool_put_short(w, pattern);
        wfi_tool_puts(w, "/** lists the files in it");
        return;
    }
    if (strcmp(path, ".") != 0 && find_offer(f, ".", pattern, " (the pattern is matched below `path`; leave that out)"))
        return;
    size_t name = pattern.len;
    while (name > 0 && pattern.ptr[name - 1] != '/')
        name--;
    if (name > 0 && find_offer(f, path, find_deeper(pattern, true, out), depth)) return;
    if (find_offer(f, path, find_deeper(pattern, false, out), depth) || name == 0 || pattern.ptr[name] == '*') return;
    find_offer(f, path, find_deeper(wf_str_of(pattern.ptr + name, pattern.len - name), false, out), "");
}

void wfi_tool_glob(wfi_tool *w) {
    char path[WFI_CONFINE_PATH], real[WFI_CONFINE_PATH];
    wf_str pattern;
    find *f = find_begin(w);
    if (f == NULL || !wfi_tool_str(w, "pattern", true, &pattern) || !wfi_tool_path(w, false, path) ||
        !find_add_glob(f, pattern))
        return;
    int fd = find_open_dir(w, path, real);
    if (fd < 0) return;
    find_walk(f, fd, real, find_list);
    close(fd);
    if (w->is_error) return;
    wfi_tool_foot(w);
    if (f->found == 0) {
        wfi_tool_puts(w, "no file matches");
        if (f->stopped.count == 0) find_hint(f, path, pattern);
        find_ignored_foot(f);
    }
    find_rest_foot(f);
    if (f->shown == f->found) return;
    wfi_tool_puts(w, "... ");
    wfi_tool_putn(w, f->found - f->shown);
    wfi_tool_puts(w, " more files; narrow the pattern");
}

/* ---- files ---- */

/* A path as scripts see it: exact where it is UTF-8. */
static bool find_put_json(wfi_tool *w, wf_str text) {
    char shown[4 * WFI_WALK_PATH];
    wf_json_out o;
    text = wf_str_of(shown, wfi_names_show(text, false, shown));
    wf_json_out_init(&o, w->out + w->len, w->cap - w->len);
    wf_json_str(&o, text);
    if (wf_json_ok(&o)) {
        w->len += o.len;
        return true;
    }
    wfi_tool_error(w, "the globs match more paths than fit; narrow them");
    return false;
}

static bool find_list_json(void *ctx, wf_str path, int dirfd, const char *name) {
    find *f = ctx;
    (void)dirfd;
    (void)name;
    if (find_late(f, path)) return false;
    if (!find_wants(f, path)) return true;
    wfi_tool_put(f->w, f->found++ == 0 ? WF_STR("") : WF_STR(","));
    return find_put_json(f->w, path);
}

/* An array of paths, or of what could not be read as well: {"paths":[…],"unreadable":N,"first":PATH}. */
static void find_end_json(find *f, size_t start) {
    wfi_tool *w = f->w;
    const wf_str lead = WF_STR("{\"paths\":");
    wfi_tool_puts(w, "]");
    if (f->unreadable.count == 0) return;
    size_t len = w->len - start;
    if (!wfi_tool_put(w, lead)) return; /* the room for it */
    memmove(w->out + start + lead.len, w->out + start, len);
    memcpy(w->out + start, lead.ptr, lead.len);
    wfi_tool_puts(w, ",\"unreadable\":");
    wfi_tool_putn(w, f->unreadable.count);
    wfi_tool_puts(w, ",\"first\":");
    if (find_put_json(w, wf_str_of(f->unreadable.first, f->unreadable.len))) wfi_tool_puts(w, "}");
}

static bool find_bad_globs(wfi_tool *w) {
    wfi_tool_error(w, "files: \"globs\" must be an array of at least one string");
    return false;
}

static bool find_parse_globs(find *f) {
    wf_str array;
    wf_json j;
    if (!wf_json_member(f->w->input, WF_STR("globs"), &array)) return find_bad_globs(f->w);
    wf_json_init(&j, array);
    if (wf_json_next(&j) != WF_JSON_ARRAY) return find_bad_globs(f->w);
    wf_json_token token;
    while ((token = wf_json_next(&j)) == WF_JSON_STRING) {
        char *text = wfi_tool_take(f->w, j.raw.len + 1);
        if (text == NULL || !find_add_glob(f, wf_str_of(text, wf_json_unescape(j.raw, text)))) return false;
    }
    return (token == WF_JSON_ARRAY_END && f->globs > 0) || find_bad_globs(f->w);
}

void wfi_tool_files(wfi_tool *w) {
    char path[WFI_CONFINE_PATH], real[WFI_CONFINE_PATH];
    find *f = find_begin(w);
    if (f == NULL || !find_parse_globs(f) || !wfi_tool_path(w, false, path)) return;
    int fd = find_open_dir(w, path, real);
    if (fd < 0) return;
    size_t start = w->len;
    wfi_tool_puts(w, "[");
    find_walk(f, fd, real, find_list_json);
    close(fd);
    if (!w->is_error && f->stopped.count > 0)
        wfi_tool_path_bad(w, "stopped, it takes too long; not looked at: ", wf_str_of(f->stopped.first, f->stopped.len),
                          " and what follows; narrow the globs");
    if (!w->is_error) find_end_json(f, start);
}

/* ---- grep: one file ---- */

/* A line, or what is shown of it. */
typedef struct find_text {
    wf_str text;
    bool behind, cut; /* something is missing before it, behind it */
} find_text;

/* "path:12:text"; false: it does not fit. */
static bool find_show(find *f, wf_str path, uint64_t number, find_text line, const char *mark) {
    wfi_tool *w = f->w;
    size_t start = w->len;
    bool gap = f->printed + 1 != number && f->printed != number;
    if (f->back + f->ahead > 0 && gap && (f->printed > 0 || w->len > 0)) wfi_tool_puts(w, "--\n");
    wfi_tool_put_path(w, path);
    wfi_tool_puts(w, mark);
    wfi_tool_putn(w, number);
    wfi_tool_puts(w, mark);
    if (line.behind) wfi_tool_puts(w, "...");
    wfi_tool_put(w, line.text);
    if (line.cut) wfi_tool_puts(w, "...");
    wfi_tool_puts(w, "\n");
    f->printed = number;
    if (!w->full) return true;
    w->len = start;
    return false;
}

static void find_hold(find *f, wf_str text, uint64_t number) {
    if (f->back == 0) return;
    uint32_t room = (uint32_t)f->back;
    find_line *line = &f->before[(f->oldest + f->held) % room];
    if (f->held == room) f->oldest = (f->oldest + 1) % room;
    if (f->held < room) f->held++;
    wf_str shown = wfi_tool_clip(text, FIND_LINE_MAX);
    if (shown.len > 0) memcpy(line->text, shown.ptr, shown.len);
    line->len = shown.len;
    line->cut = shown.len < text.len;
    line->number = number;
}

/* Shows the lines held back before a match in line `number`; a part of that one may be among them. */
static bool find_show_held(find *f, wf_str path, uint64_t number) {
    for (; f->held > 0; f->held--) {
        const find_line *line = &f->before[f->oldest];
        const find_text shown = {wf_str_of(line->text, line->len), false, line->cut};
        if (line->number < number && !find_show(f, path, line->number, shown, "-")) return false;
        f->oldest = (f->oldest + 1) % (uint32_t)f->back;
    }
    return true;
}

/* What is shown of a line, or of the last part of it: its begin, or a match that ends far behind that. */
static find_text find_excerpt(const wfi_lines *l, wf_str text, size_t end) {
    size_t from = end > FIND_LINE_MAX ? end - FIND_BEFORE : 0;
    while (from > 0 && from < text.len && ((uint8_t)text.ptr[from] & 0xc0) == 0x80)
        from++;
    wf_str rest = wf_str_of(text.ptr + from, text.len - from), shown = wfi_tool_clip(rest, FIND_LINE_MAX);
    return (find_text){shown, from > 0 || !l->first, shown.len < rest.len || !(l->ended || l->eof)};
}

/* A line, or a part of one that had no match so far. False: enough was found, or nothing more fits. */
static bool find_line_of(find *f, wf_str path, wf_str text, const wfi_lines *l) {
    if (f->hit) {
        f->after = f->ahead;
        f->found++;
        if (f->shown == f->max || !find_show_held(f, path, l->number) ||
            !find_show(f, path, l->number, find_excerpt(l, text, f->regex->end), ":"))
            return false;
        f->shown++;
        return true;
    }
    if (!l->first) return true;
    if (f->after > 0) {
        f->after--;
        return find_show(f, path, l->number, find_excerpt(l, text, 0), "-");
    }
    find_hold(f, text, l->number);
    return true;
}

/* "path", or "path:12" with the number of its matches; false: enough was found, or nothing more fits. */
static bool find_show_file(find *f, wf_str path, uint64_t matches) {
    wfi_tool *w = f->w;
    size_t start = w->len;
    f->found++;
    if (f->shown == f->max) return false;
    wfi_tool_put_path(w, path);
    if (f->mode == FIND_COUNTS) wfi_tool_puts(w, ":");
    if (f->mode == FIND_COUNTS) wfi_tool_putn(w, matches);
    wfi_tool_puts(w, "\n");
    if (w->full)
        w->len = start;
    else
        f->shown++;
    return !w->full;
}

/* Whether the file has had its share of the time, or all of that is over. */
static bool find_file_late(find *f, wf_str path, const wfi_lines *l, uint64_t *looked, uint64_t until) {
    if (until == UINT64_MAX || (l->bytes - *looked < FIND_LOOK && l->number % FIND_LOOK_LINES != 0)) return false;
    *looked = l->bytes;
    if (wfi_sys_now_ms() <= until) return false;
    find_note(&f->partly, path);
    return true;
}

/* When a file that is begun now has had its share. */
static uint64_t find_until(const find *f) {
    uint64_t now = wfi_sys_now_ms(), enough = f->w->enough;
    if (enough == UINT64_MAX) return enough;
    uint64_t share = enough > f->began ? (enough - f->began) / FIND_SHARE : 0;
    return now + share < enough ? now + share : enough;
}

/* Of a line longer than the window the parts are searched. */
static bool find_lines(find *f, wf_str path, wfi_lines *l) {
    uint64_t matches = 0, looked = 0, until = find_until(f);
    f->printed = f->after = f->held = f->oldest = 0;
    while (wfi_lines_next(l) && !find_file_late(f, path, l, &looked, until)) {
        size_t n = l->text.len;
        bool ends = l->ended || l->eof, had = !l->first && f->hit;
        f->parts += l->first && !ends;
        if (had) continue;
        if (n > 0 && ends && l->text.ptr[n - 1] == '\r') n--;
        wf_str text = wf_str_of(l->text.ptr, n);
        f->hit = wfi_match_part(f->regex, text, l->first, ends);
        if (f->mode == FIND_LINES && !find_line_of(f, path, text, l)) return false;
        matches += f->mode != FIND_LINES && f->hit;
        if (f->mode == FIND_FILES && matches > 0) break;
    }
    if (l->failed) find_unreadable(f, path);
    return matches == 0 || find_show_file(f, path, matches);
}

static bool find_grep_fd(find *f, wf_str path, int fd) {
    wfi_lines l;
    wfi_lines_init(&l, fd, f->window, FIND_WINDOW, false);
    f->binary = wfi_lines_binary(&l);
    f->searched++;
    return f->binary || find_lines(f, path, &l);
}

static bool find_grep_file(void *ctx, wf_str path, int dirfd, const char *name) {
    find *f = ctx;
    if (find_late(f, path)) return false;
    if (!find_wants(f, path)) return true;
    int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || !wfi_confine_is_file(fd, NULL)) {
        find_unreadable(f, path);
        wfi_sys_close(&fd);
        return true;
    }
    bool more = find_grep_fd(f, path, fd);
    if (f->binary) find_note(&f->binaries, path);
    close(fd);
    return more;
}

/* ---- grep ---- */

static bool find_regex(find *f, wf_str pattern, bool fold) {
    size_t at;
    const char *error;
    f->regex = wfi_tool_take(f->w, sizeof *f->regex);
    if (f->regex == NULL) return false;
    error = wfi_match_regex(f->regex, pattern, fold, &at);
    if (error == NULL && wfi_match_wants(f->regex, '\n')) {
        wfi_tool_error(
            f->w, "the pattern has a line end in it, and lines are searched one by one: search for the text of one of "
                  "the lines, with \"context\" to see those around it");
        return false;
    }
    if (error == NULL) return true;
    wfi_tool_error(f->w, "pattern, at character ");
    wfi_tool_putn(f->w, at + 1);
    wfi_tool_puts(f->w, ": ");
    wfi_tool_puts(f->w, error);
    return false;
}

static bool find_parse_mode(find *f) {
    static const char *const modes[] = {"content", "files_with_matches", "count"};
    wf_str mode = WF_STR("content");
    if (!wfi_tool_str(f->w, "output_mode", false, &mode)) return false;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (mode.len != strlen(modes[i]) || memcmp(mode.ptr, modes[i], mode.len) != 0) continue;
        f->mode = (find_mode)i;
        return true;
    }
    wfi_tool_error(f->w, "grep: \"output_mode\" must be content, files_with_matches or count");
    return false;
}

/* The flags of the program grep, as models know them from other products. */
static bool find_parse_flags(find *f, bool *fold) {
    wfi_tool *w = f->w;
    bool numbers = true; /* they are always shown */
    uint64_t both = 0;
    if (!wfi_tool_u64(w, "context", 0, FIND_CONTEXT_MAX, &both) || !wfi_tool_u64(w, "-C", 0, FIND_CONTEXT_MAX, &both))
        return false;
    f->back = f->ahead = both;
    return wfi_tool_u64(w, "-B", 0, FIND_CONTEXT_MAX, &f->back) &&
           wfi_tool_u64(w, "-A", 0, FIND_CONTEXT_MAX, &f->ahead) && wfi_tool_bool(w, "-n", &numbers) &&
           wfi_tool_bool(w, "-i", fold) && wfi_tool_bool(w, "ignore_case", fold) &&
           wfi_tool_u64(w, "head_limit", 1, FIND_MATCHES_MAX, &f->max) && find_parse_mode(f);
}

static bool find_grep_parse(find *f, char *path) {
    wfi_tool *w = f->w;
    wf_str pattern, glob = {NULL, 0};
    bool fold = false;
    f->max = FIND_MATCHES;
    if (!wfi_tool_str(w, "pattern", true, &pattern) || !wfi_tool_path(w, false, path) ||
        !wfi_tool_str(w, "glob", false, &glob) || !find_parse_flags(f, &fold) ||
        !wfi_tool_u64(w, "max", 1, FIND_MATCHES_MAX, &f->max))
        return false;
    f->glob_base = glob.len > 0 && memchr(glob.ptr, '/', glob.len) == NULL;
    if (glob.len > 0 && !find_add_glob(f, glob)) return false;
    f->window = wfi_tool_take(w, FIND_WINDOW);
    return f->window != NULL && find_regex(f, pattern, fold);
}

static void find_grep_foot(find *f) {
    wfi_tool *w = f->w;
    bool full = w->full;
    wfi_tool_foot(w);
    w->full = false;
    if (f->found == 0) {
        wfi_tool_puts(w, f->searched > 0 || f->globs == 0 ? "no match"
                                                          : "no match: no file has a name that `glob` matches");
        find_ignored_foot(f);
    }
    find_rest_foot(f);
    if (f->parts > 0) {
        wfi_tool_puts(w, "(");
        wfi_tool_putn(w, f->parts);
        wfi_tool_puts(w, f->parts > 1 ? " lines are longer than 8 MiB and were searched in parts)\n"
                                      : " line is longer than 8 MiB and was searched in parts)\n");
    }
    if (!full && f->found == f->shown) return;
    wfi_tool_puts(w, "... cut at ");
    wfi_tool_putn(w, f->shown);
    wfi_tool_puts(w, f->mode == FIND_LINES ? " matches" : " files");
    wfi_tool_puts(w, full ? ", the answer is full; narrow pattern, path or glob"
                          : "; narrow pattern, path or glob, or raise max");
}

void wfi_tool_grep(wfi_tool *w) {
    char path[WFI_CONFINE_PATH], real[WFI_CONFINE_PATH];
    find *f = find_begin(w);
    if (f == NULL || !find_grep_parse(f, path)) return;
    int fd = wfi_confine_open_real(w->root, w->dirfd, path, real);
    if (fd < 0) {
        wfi_tool_path_error(w, -fd, wf_str_of(path, strlen(path)));
        return;
    }
    if (wfi_confine_is_dir(fd)) {
        find_walk(f, fd, real, find_grep_file);
    } else {
        wf_str shown = wf_str_of(path, strlen(path));
        find_grep_fd(f, shown, fd);
        if (f->binary) wfi_tool_path_bad(w, "it is a binary file, not text: ", shown, "");
    }
    close(fd);
    if (!w->is_error) find_grep_foot(f);
}
