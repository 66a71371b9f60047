/* find: the tools that look through the tree: grep and glob for models, files for scripts. They run in a child; their
 * order is that of the paths' bytes, so the same tree gives the same answer. */
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

#define FIND_FIRST_MAX 256u

typedef struct find_line {
    uint64_t number;
    size_t len;
    bool cut;
    char text[FIND_LINE_MAX];
} find_line;

/* What grep answers. */
typedef enum find_mode { FIND_LINES, FIND_FILES, FIND_COUNTS } find_mode;

typedef struct find {
    wfi_tool *w;
    wfi_match *glob[FIND_GLOBS]; /* a file is wanted if one of them matches */
    uint32_t globs;
    bool glob_base; /* the glob has no '/': it is matched with the file's name alone */
    size_t prefix;  /* bytes of a path before what globs are matched with */
    uint64_t found; /* files or lines */
    uint64_t shown; /* of them; grep ends at the first that it does not show */
    uint32_t unreadable;
    size_t first_len; /* the first of them, clipped */
    char first[FIND_FIRST_MAX];
    bool ignored; /* something was passed over because of .gitignore */
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
    uint64_t clipped; /* lines of which only the beginning was searched */
    bool binary;      /* the last file was */
} find;

/* ---- globs ---- */

static bool find_bad_glob(wfi_tool *w, const char *why, wf_str glob) {
    wfi_tool_error(w, "glob \"");
    wfi_tool_put(w, wfi_tool_clip(glob, 256));
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
    if (glob.ptr[0] == '/' || find_has_dots(glob))
        return find_bad_glob(f->w, "it leads outside the workspace; give it relative, without ..", glob);
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
    if (f->glob_base || f->globs == 0) return true;
    for (uint32_t i = 0; i < f->globs; i++)
        if (wfi_match_prefix(f->glob[i], wf_str_of(dir.ptr + f->prefix, dir.len - f->prefix))) return true;
    return false;
}

/* ---- walking ---- */

typedef bool (*find_file_fn)(void *ctx, wf_str path, int dirfd, const char *name);

static void find_unreadable(void *ctx, wf_str path) {
    find *f = ctx;
    if (f->unreadable++ > 0) return;
    wf_str shown = path.len > 0 ? wfi_tool_clip(path, sizeof f->first) : WF_STR("./");
    memcpy(f->first, shown.ptr, shown.len);
    f->first_len = shown.len;
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
    f->prefix = n;
    wfi_walk_run(walk, f->w->dirfd, fd, wf_str_of(prefix, n));
    f->ignored = walk->ignored;
}

/* The end of an answer without results. */
static void find_nothing_foot(find *f, const char *what) {
    wfi_tool_puts(f->w, what);
    if (f->ignored) wfi_tool_puts(f->w, " (not looked at: what .gitignore names; give its path to do so)");
    wfi_tool_puts(f->w, "\n");
}

static void find_unreadable_foot(find *f) {
    if (f->unreadable == 0) return;
    wfi_tool_puts(f->w, "(");
    wfi_tool_putn(f->w, f->unreadable);
    wfi_tool_puts(f->w, " files or directories could not be read, first: ");
    wfi_tool_put(f->w, wf_str_of(f->first, f->first_len));
    wfi_tool_puts(f->w, ")\n");
}

static find *find_begin(wfi_tool *w) {
    find *f = wfi_tool_take(w, sizeof *f);
    if (f == NULL) return NULL;
    memset(f, 0, sizeof *f);
    f->w = w;
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
    if (!find_wants(f, path)) return true;
    size_t start = f->w->len;
    f->found++;
    if (f->w->full) return true;
    if (wfi_tool_put(f->w, path) && wfi_tool_puts(f->w, "\n")) {
        f->shown++;
    } else {
        f->w->len = start;
    }
    return true;
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
    if (f->found == 0) find_nothing_foot(f, "no file matches");
    find_unreadable_foot(f);
    if (f->shown == f->found) return;
    wfi_tool_puts(w, "... ");
    wfi_tool_putn(w, f->found - f->shown);
    wfi_tool_puts(w, " more files; narrow the pattern");
}

/* ---- files ---- */

static bool find_put_json(wfi_tool *w, wf_str text) {
    wf_json_out o;
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
    if (!find_wants(f, path)) return true;
    wfi_tool_put(f->w, f->found++ == 0 ? WF_STR("") : WF_STR(","));
    return find_put_json(f->w, path);
}

/* An array of paths, or of what could not be read as well: {"paths":[…],"unreadable":N,"first":PATH}. */
static void find_end_json(find *f, size_t start) {
    wfi_tool *w = f->w;
    const wf_str lead = WF_STR("{\"paths\":");
    wfi_tool_puts(w, "]");
    if (f->unreadable == 0) return;
    size_t len = w->len - start;
    if (!wfi_tool_put(w, lead)) return; /* the room for it */
    memmove(w->out + start + lead.len, w->out + start, len);
    memcpy(w->out + start, lead.ptr, lead.len);
    wfi_tool_puts(w, ",\"unreadable\":");
    wfi_tool_putn(w, f->unreadable);
    wfi_tool_puts(w, ",\"first\":");
    if (find_put_json(w, wf_str_of(f->first, f->first_len))) wfi_tool_puts(w, "}");
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
    if (!w->is_error) find_end_json(f, start);
}

/* ---- grep: one file ---- */

/* "path:12:text"; false: it does not fit. */
static bool find_show(find *f, wf_str path, uint64_t number, wf_str text, bool cut, const char *mark) {
    wfi_tool *w = f->w;
    size_t start = w->len;
    if (f->back + f->ahead > 0 && f->printed + 1 != number && (f->printed > 0 || w->len > 0)) wfi_tool_puts(w, "--\n");
    wfi_tool_put(w, path);
    wfi_tool_puts(w, mark);
    wfi_tool_putn(w, number);
    wfi_tool_puts(w, mark);
    wfi_tool_put(w, text);
    if (cut) wfi_tool_puts(w, "...");
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

/* Shows the lines held back before a match. */
static bool find_show_held(find *f, wf_str path) {
    for (; f->held > 0; f->held--) {
        const find_line *line = &f->before[f->oldest];
        if (!find_show(f, path, line->number, wf_str_of(line->text, line->len), line->cut, "-")) return false;
        f->oldest = (f->oldest + 1) % (uint32_t)f->back;
    }
    return true;
}

/* False: enough was found, or nothing more fits. */
static bool find_line_of(find *f, wf_str path, wf_str text, uint64_t number) {
    wf_str shown = wfi_tool_clip(text, FIND_LINE_MAX);
    if (wfi_match_search(f->regex, text)) {
        f->after = f->ahead;
        f->found++;
        if (f->shown == f->max || !find_show_held(f, path) ||
            !find_show(f, path, number, shown, shown.len < text.len, ":"))
            return false;
        f->shown++;
        return true;
    }
    if (f->after > 0) {
        f->after--;
        return find_show(f, path, number, shown, shown.len < text.len, "-");
    }
    find_hold(f, text, number);
    return true;
}

/* "path", or "path:12" with the number of its matches; false: enough was found, or nothing more fits. */
static bool find_show_file(find *f, wf_str path, uint64_t matches) {
    wfi_tool *w = f->w;
    size_t start = w->len;
    f->found++;
    if (f->shown == f->max) return false;
    wfi_tool_put(w, path);
    if (f->mode == FIND_COUNTS) wfi_tool_puts(w, ":");
    if (f->mode == FIND_COUNTS) wfi_tool_putn(w, matches);
    wfi_tool_puts(w, "\n");
    if (w->full)
        w->len = start;
    else
        f->shown++;
    return !w->full;
}

/* Of a line longer than the window only the first piece is searched. */
static bool find_lines(find *f, wf_str path, wfi_lines *l) {
    bool rest = false;
    uint64_t matches = 0;
    f->printed = f->after = f->held = f->oldest = 0;
    while (wfi_lines_next(l)) {
        size_t n = l->text.len;
        f->clipped += !l->first && !rest;
        rest = !l->first;
        if (n > 0 && l->text.ptr[n - 1] == '\r') n--;
        wf_str text = wf_str_of(l->text.ptr, n);
        if (l->first && f->mode == FIND_LINES && !find_line_of(f, path, text, l->number)) return false;
        matches += l->first && f->mode != FIND_LINES && wfi_match_search(f->regex, text);
        if (f->mode == FIND_FILES && matches > 0) break;
    }
    if (l->failed) find_unreadable(f, path);
    return matches == 0 || find_show_file(f, path, matches);
}

static bool find_grep_fd(find *f, wf_str path, int fd) {
    wfi_lines l = {.fd = fd, .window = f->window, .ended = true};
    f->binary = wfi_lines_binary(&l);
    return f->binary || find_lines(f, path, &l);
}

static bool find_grep_file(void *ctx, wf_str path, int dirfd, const char *name) {
    find *f = ctx;
    if (!find_wants(f, path)) return true;
    int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || !wfi_confine_is_file(fd, NULL)) {
        find_unreadable(f, path);
        wfi_sys_close(&fd);
        return true;
    }
    bool more = find_grep_fd(f, path, fd);
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
    f->window = wfi_tool_take(w, WFI_LINES_WINDOW);
    return f->window != NULL && find_regex(f, pattern, fold);
}

static void find_grep_foot(find *f) {
    wfi_tool *w = f->w;
    bool full = w->full;
    wfi_tool_foot(w);
    if (f->found == 0) find_nothing_foot(f, "no match");
    find_unreadable_foot(f);
    if (f->clipped > 0) {
        wfi_tool_puts(w, "(of ");
        wfi_tool_putn(w, f->clipped);
        wfi_tool_puts(w, " lines longer than 64 KiB only the beginning was searched)\n");
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
