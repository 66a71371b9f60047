/* edit: the tool that replaces a part of a file. What is looked for and what takes its place are texts with LF at the ends of their
 * lines, as models write them; a line end of either kind in the file is found by it, and the new text gets the line ends of the place
 * that it comes to. So all places count, however their lines end. Only where old and new differ in line ends alone do these count as
 * they are. See write.c for what else holds. */
#include "alike.h"
#include "write.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define EDIT_AROUND 2u                /* lines shown before and behind a change */
#define EDIT_SHOWN  12u               /* lines shown at most */
#define EDIT_NAMED  10u               /* line numbers named at most */
#define EDIT_LINE   300u              /* bytes shown of a line */
#define EDIT_PLACES 64u               /* places of a line looked at for the best */
#define EDIT_UTF16  ((size_t)4 << 20) /* bytes of a UTF-16 file that can be edited */

typedef struct edit_job {
    wfi_tool *w;
    wf_str bytes; /* of the file */
    wf_str text;  /* of it: UTF-8, without a mark */
    wf_str flat;  /* ... with LF; the text itself if there is no CRLF in it, or if line ends count */
    wf_str from, to;
    bool all;
    uint64_t count;          /* of matches */
    size_t at[EDIT_NAMED];   /* where the first of them are in `flat` */
    size_t first, first_len; /* of the first, in the new text */
} edit_job;

/* ---- the text that is looked for ---- */

static size_t edit_find(wf_str text, size_t from, wf_str what) {
    const char *p = what.len <= text.len - from ? memmem(text.ptr + from, text.len - from, what.ptr, what.len) : NULL;
    return p != NULL ? (size_t)(p - text.ptr) : text.len;
}

/* Matches do not overlap; but one that is to be the only one may not have another begin within it. */
static void edit_count_matches(edit_job *e) {
    e->count = 0;
    for (size_t at = 0; (at = edit_find(e->flat, at, e->from)) < e->flat.len; at += e->from.len) {
        if (e->count < EDIT_NAMED) e->at[e->count] = at;
        e->count++;
    }
    if (e->count != 1 || e->all) return;
    e->at[1] = edit_find(e->flat, e->at[0] + 1, e->from);
    e->count += e->at[1] < e->flat.len;
}

static bool edit_is_crlf(wf_str text, size_t i) {
    return text.ptr[i] == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n';
}

/* The text with LF for CRLF; itself, if there is none. False: the room is used up. */
static bool edit_flatten(wfi_tool *w, wf_str text, wf_str *out) {
    *out = text;
    if (edit_find(text, 0, WF_STR("\r\n")) == text.len) return true;
    char *to = wfi_tool_take(w, text.len);
    size_t n = 0;
    if (to == NULL) return false;
    for (size_t i = 0; i < text.len; i++)
        if (!edit_is_crlf(text, i)) to[n++] = text.ptr[i];
    *out = wf_str_of(to, n);
    return true;
}

static bool edit_same(wf_str a, wf_str b) {
    return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

/* Finds the matches. False: the room is used up. */
static bool edit_match(edit_job *e) {
    wf_str from = e->from, to = e->to;
    if (!edit_flatten(e->w, e->text, &e->flat) || !edit_flatten(e->w, from, &e->from) ||
        !edit_flatten(e->w, to, &e->to))
        return false;
    bool ends = edit_same(e->from, e->to);
    if (!ends) edit_count_matches(e);
    if (!ends && (e->count > 0 || memchr(from.ptr, '\r', from.len) == NULL)) return true;
    wf_str flat = e->flat; /* as they are */
    e->flat = e->text;
    e->from = from;
    e->to = to;
    edit_count_matches(e);
    if (e->count == 0) e->flat = flat;
    return true;
}

/* ---- lines ---- */

static uint64_t edit_line_of(wf_str text, size_t at) {
    return 1 + wfi_write_count(wf_str_of(text.ptr, at), '\n');
}

/* Shows the lines that hold from..to, and some around them. */
static void edit_show(wfi_tool *w, wf_str text, size_t from, size_t to) {
    for (uint32_t i = 0; from > 0; from--)
        if (text.ptr[from - 1] == '\n' && i++ == EDIT_AROUND) break;
    uint64_t number = edit_line_of(text, from);
    uint32_t behind = 0;
    for (uint32_t i = 0; i < EDIT_SHOWN && from < text.len && behind <= EDIT_AROUND; i++) {
        size_t end = edit_find(text, from, WF_STR("\n"));
        size_t n = end - from - (end > from && text.ptr[end - 1] == '\r');
        if (!wfi_tool_line(w, wf_str_of(text.ptr + from, n), number++, EDIT_LINE, true)) return;
        behind += end >= to;
        from = end + 1;
    }
}

/* "s 3, 17, 20" behind the word line. */
static void edit_put_lines(const edit_job *e) {
    uint64_t last = 0;
    wfi_tool_puts(e->w, e->count > 1 ? "s" : "");
    for (uint64_t i = 0; i < e->count && i < EDIT_NAMED; i++) {
        uint64_t line = edit_line_of(e->flat, e->at[i]);
        if (line == last) continue;
        wfi_tool_puts(e->w, i == 0 ? " " : ", ");
        wfi_tool_putn(e->w, line);
        last = line;
    }
    if (e->count > EDIT_NAMED) wfi_tool_puts(e->w, " ...");
}

/* ---- what may be said when nothing matches ---- */

static bool edit_is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The first line of old that holds more than blanks, without those around it. */
static wf_str edit_first_line(wf_str from) {
    size_t at = 0, end;
    while (at < from.len && edit_is_blank(from.ptr[at]))
        at++;
    for (end = at; end < from.len && from.ptr[end] != '\n';)
        end++;
    while (end > at && edit_is_blank(from.ptr[end - 1]))
        end--;
    return wf_str_of(from.ptr + at, end - at);
}

/* Whether old begins as `read` shows a line. */
static bool edit_has_number(wf_str line) {
    size_t i = 0;
    while (i < line.len && line.ptr[i] >= '0' && line.ptr[i] <= '9')
        i++;
    return i > 0 && i < line.len && line.ptr[i] == '\t';
}

/* "“ (U+201C)", or where the text ends. */
static void edit_put_char(wfi_tool *w, const wfi_alike_char *c) {
    if (c->text.len == 0) {
        wfi_tool_puts(w, "the end");
        return;
    }
    bool shown = c->c > ' ' && c->c < WFI_ENCODING_BAD && c->c != 0x7f && c->c != 0xa0 && c->c != 0xad &&
                 !(c->c >= 0x2000 && c->c <= 0x200f) && !(c->c >= 0x2028 && c->c <= 0x202f) &&
                 !(c->c >= 0x205f && c->c <= 0x206f) && c->c != 0x3000 && c->c != 0xfeff;
    char digits[7];
    if (shown) wfi_tool_put(w, c->text);
    wfi_tool_puts(w, shown ? " (U+" : "U+");
    wfi_sys_hex(c->c, digits, c->c > 0xffff ? 6 : 4);
    for (char *p = digits; *p != '\0'; p++)
        *p = *p >= 'a' ? (char)(*p - 0x20) : *p;
    wfi_tool_puts(w, digits);
    if (c->mark != 0) {
        wfi_sys_hex(c->mark, digits, 4);
        wfi_tool_puts(w, " with the mark U+0");
        wfi_tool_puts(w, digits + 1);
    }
    if (shown) wfi_tool_puts(w, ")");
}

/* "line 3, character 5 is “ (U+201C), in "old" it is ..." */
static void edit_put_differ(wfi_tool *w, wf_str text, const wfi_alike *a) {
    size_t begin = a->at, n = 1;
    while (begin > 0 && text.ptr[begin - 1] != '\n')
        begin--;
    for (size_t i = begin; i < a->at; i++)
        n += ((uint8_t)text.ptr[i] & 0xc0) != 0x80;
    wfi_tool_puts(w, "line ");
    wfi_tool_putn(w, edit_line_of(text, a->at));
    wfi_tool_puts(w, ", character ");
    wfi_tool_putn(w, n);
    wfi_tool_puts(w, " is ");
    edit_put_char(w, &a->is);
    wfi_tool_puts(w, "; in \"old\" it is ");
    edit_put_char(w, &a->wanted);
}

/* The place that only looks like it. */
static bool edit_near(edit_job *e) {
    wfi_tool *w = e->w;
    wfi_alike a;
    size_t used = (w->used + 7) & ~(size_t)7;
    if (used > w->size || !wfi_alike_find(e->flat, e->from, w->room + used, w->size - used, &a)) return false;
    wfi_tool_puts(w, ". ");
    if (a.blanks) {
        wfi_tool_puts(w, "Line ");
        wfi_tool_putn(w, edit_line_of(e->flat, a.from));
        wfi_tool_puts(w, " differs from it only in spaces, tabs or line ends; copy exactly, without the numbers:\n");
    } else {
        wfi_tool_puts(w, "A place looks like it: ");
        edit_put_differ(w, e->flat, &a);
        wfi_tool_puts(w, ". Copy exactly, without the numbers:\n");
    }
    edit_show(w, e->flat, a.from, a.to);
    return true;
}

/* What differs first behind the first line of old, which is at `at`; false: nothing does, or nothing is behind it. */
static bool edit_differs_behind(const edit_job *e, size_t at, wf_str line, wfi_alike *a) {
    size_t next = edit_find(e->flat, at, WF_STR("\n"));
    size_t rest = edit_find(e->from, (size_t)(line.ptr - e->from.ptr), WF_STR("\n"));
    if (next == e->flat.len || rest == e->from.len) return false;
    wf_str behind = wf_str_of(e->from.ptr + rest + 1, e->from.len - rest - 1);
    return wfi_alike_lines(e->flat, next + 1, behind, a);
}

/* Its first line is there: shows the place where most of what follows is there too, and what differs. */
static void edit_near_lines(edit_job *e, size_t at, wf_str line) {
    wfi_tool *w = e->w;
    wfi_alike best, a;
    bool differs = edit_differs_behind(e, at, line, &best);
    size_t place = at;
    for (uint32_t i = 0; differs && i < EDIT_PLACES && at < e->flat.len; i++) {
        at = edit_find(e->flat, at + 1, line);
        if (at == e->flat.len || !edit_differs_behind(e, at, line, &a) || a.at - at <= best.at - place) continue;
        best = a;
        place = at;
    }
    wfi_tool_puts(w, "; its first line is there, in line ");
    wfi_tool_putn(w, edit_line_of(e->flat, place));
    wfi_tool_puts(w, ", but not what follows:\n");
    edit_show(w, e->flat, place, place);
    if (!differs) return;
    wfi_tool_puts(w, "(");
    edit_put_differ(w, e->flat, &best);
    wfi_tool_puts(w, ")\n");
}

static void edit_not_found(edit_job *e, const wfi_write_file *f) {
    wfi_tool *w = e->w;
    wfi_alike a;
    wf_str line = edit_first_line(e->from);
    wfi_tool_error(w, "\"old\" is not in ");
    wfi_write_put_path(w, f);
    if (edit_has_number(line)) {
        wfi_tool_puts(w, "; leave out the line numbers that read shows");
        return;
    }
    if (edit_near(e)) return;
    size_t at = line.len > 0 ? edit_find(e->flat, 0, line) : e->flat.len;
    if (at < e->flat.len) {
        edit_near_lines(e, at, line);
    } else if (line.len > 0 && wfi_alike_line(e->flat, line, &a) && !a.blanks) {
        wfi_tool_puts(w, ". The nearest is ");
        edit_put_differ(w, e->flat, &a);
        wfi_tool_puts(w, ":\n");
        edit_show(w, e->flat, a.from, a.to);
    } else {
        wfi_tool_puts(w, "; read the file again");
    }
}

/* ---- edit ---- */

static bool edit_parse(edit_job *e, char *path) {
    wfi_tool *w = e->w;
    if (!wfi_tool_path(w, true, path) || !wfi_tool_str(w, "old", true, &e->from) ||
        !wfi_tool_str(w, "new", true, &e->to) || !wfi_tool_bool(w, "all", &e->all) ||
        !wfi_write_fits(w, "old", e->from) || !wfi_write_fits(w, "new", e->to))
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
static bool edit_read(edit_job *e, const wfi_write_file *f, wf_str shown) {
    wfi_tool *w = e->w;
    size_t size = (size_t)f->st.st_size, n = 0;
    if ((uint64_t)f->st.st_size > WFI_TOOL_EDIT_MAX) {
        wfi_tool_path_bad(w, "it is larger than 16 MiB: ", shown, "; a command can change it");
        return false;
    }
    char *text = wfi_tool_take(w, size);
    if (text == NULL) return false;
    while (n < size) {
        ssize_t got = pread(f->fd, text + n, size - n, (off_t)n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) wfi_tool_path_error(w, errno, shown);
        if (got < 0) return false;
        if (got == 0) break;
        n += (size_t)got;
    }
    e->bytes = wf_str_of(text, n);
    return true;
}

/* The text of its bytes. */
static bool edit_decode(edit_job *e, wfi_write_file *f, wf_str shown) {
    wfi_tool *w = e->w;
    size_t mark;
    f->encoding = wfi_encoding_of(e->bytes.ptr, e->bytes.len, &mark);
    wf_str body = wf_str_of(e->bytes.ptr + mark, e->bytes.len - mark);
    e->text = body;
    if (!wfi_encoding_is_16(f->encoding)) return true;
    if (body.len > EDIT_UTF16) {
        wfi_tool_path_bad(w, "it is UTF-16 and larger than 4 MiB: ", shown, "; a command can change it");
        return false;
    }
    wfi_utf16 d = {.big = f->encoding == WFI_ENCODING_BIG};
    char *to = wfi_tool_take(w, WFI_UTF16_ROOM(body.len));
    if (to == NULL) return false;
    size_t n = wfi_utf16_decode(&d, body.ptr, body.len, to);
    n += wfi_utf16_end(&d, to + n);
    e->text = wf_str_of(to, n);
    if (d.bad) wfi_tool_path_bad(w, "it is UTF-16 with errors in it: ", shown, "; a command can change it");
    return !d.bad;
}

static bool edit_load(edit_job *e, wfi_write_file *f, const char *path) {
    wf_str shown = wf_str_of(path, strlen(path));
    if (!edit_read(e, f, shown) || !edit_decode(e, f, shown)) return false;
    size_t n = e->text.len < WFI_TOOL_PROBE ? e->text.len : WFI_TOOL_PROBE;
    if (n == 0 || memchr(e->text.ptr, '\0', n) == NULL) return true;
    wfi_tool_path_bad(e->w, "it is a binary file, not text: ", shown, "; a command can change it");
    return false;
}

/* Whether the matches are what was asked for. */
static bool edit_found(edit_job *e, const wfi_write_file *f) {
    wfi_tool *w = e->w;
    if (e->count == 0) {
        edit_not_found(e, f);
        return false;
    }
    if (e->count == 1 || e->all) return true;
    wfi_tool_error(w, "\"old\" is there ");
    wfi_tool_putn(w, e->count);
    wfi_tool_puts(w, " times, in line");
    edit_put_lines(e);
    wfi_tool_puts(w, "; add lines around it to name one place, or set \"all\"");
    return false;
}

/* ---- the new text ---- */

/* A place in the text, and the same one in the flat text. */
typedef struct edit_place {
    size_t text, flat;
    size_t newline; /* where a line ends, not before `text`, if that was looked for */
    bool looked, crlf;
} edit_place;

/* Goes on to a place of the flat text; before a line end of two characters, it is before both. */
static void edit_seek(const edit_job *e, edit_place *p, size_t flat) {
    if (e->flat.ptr == e->text.ptr) p->text = p->flat = flat;
    for (; p->flat < flat; p->flat++)
        p->text += 1 + edit_is_crlf(e->text, p->text);
}

/* Whether lines end with CRLF at p: where a line ends first from there on, or else where one ends last. */
static bool edit_ends_crlf(const edit_job *e, edit_place *p) {
    wf_str text = e->text;
    if (e->flat.ptr == text.ptr) return false;
    if (p->looked && p->newline >= p->text) return p->crlf;
    size_t at = p->newline = edit_find(text, p->text, WF_STR("\n"));
    for (size_t i = text.len; at == text.len && i > 0; i--)
        if (text.ptr[i - 1] == '\n') at = i - 1;
    p->looked = true;
    p->crlf = at > 0 && at < text.len && text.ptr[at - 1] == '\r';
    return p->crlf;
}

/* Puts `to` with the line ends wanted; out NULL: only counts. */
static size_t edit_put_to(wf_str to, bool crlf, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < to.len; i++) {
        if (crlf && to.ptr[i] == '\n') {
            if (out != NULL) out[n] = '\r';
            n++;
        }
        if (out != NULL) out[n] = to.ptr[i];
        n++;
    }
    return n;
}

/* The text with all matches replaced; out NULL: only its length. */
static size_t edit_compose(edit_job *e, char *out) {
    edit_place p = {0, 0, 0, false, false};
    size_t flat = 0, n = 0, from = 0;
    uint64_t lines = wfi_write_count(e->to, '\n');
    for (uint64_t i = 0; i < e->count; i++) {
        flat = edit_find(e->flat, flat, e->from);
        edit_seek(e, &p, flat);
        if (out != NULL) memcpy(out + n, e->text.ptr + from, p.text - from);
        n += p.text - from;
        bool crlf = lines > 0 && edit_ends_crlf(e, &p);
        size_t put = out != NULL || i == 0 ? edit_put_to(e->to, crlf, out != NULL ? out + n : NULL)
                                           : e->to.len + (crlf ? lines : 0);
        if (i == 0) e->first = n;
        if (i == 0) e->first_len = put;
        n += put;
        flat += e->from.len;
        edit_seek(e, &p, flat);
        from = p.text;
        if (out == NULL && n > WFI_TOOL_EDIT_MAX) return n;
    }
    if (out != NULL) memcpy(out + n, e->text.ptr + from, e->text.len - from);
    return n + (e->text.len - from);
}

/* The file's text with all matches replaced, and its bytes. */
static bool edit_replace(edit_job *e, const wfi_write_file *f, wf_str *text, wf_str *bytes) {
    wfi_tool *w = e->w;
    size_t size = edit_compose(e, NULL);
    if (size > WFI_TOOL_EDIT_MAX) {
        wfi_tool_error(w, "the file would become larger than 16 MiB; nothing was changed");
        return false;
    }
    char *to = wfi_tool_take(w, size);
    if (to == NULL) return false;
    *text = *bytes = wf_str_of(to, edit_compose(e, to));
    if (f->encoding == WFI_ENCODING_PLAIN) return true;
    char *coded = wfi_tool_take(w, (wfi_encoding_is_16(f->encoding) ? 2 * size : size) + WFI_ENCODING_MARK);
    if (coded == NULL) return false;
    *bytes = wf_str_of(coded, wfi_encoding_put(f->encoding, *text, coded));
    return true;
}

static void edit_answer(edit_job *e, const wfi_write_file *f, wf_str text) {
    wfi_tool *w = e->w;
    wfi_tool_puts(w, "edited ");
    wfi_write_put_path(w, f);
    wfi_tool_puts(w, ": ");
    wfi_tool_putn(w, e->count);
    wfi_tool_puts(w, e->count > 1 ? " places, before in line" : " place, in line");
    edit_put_lines(e);
    wfi_tool_puts(w, e->count > 1 ? "; the first is now\n" : "; now\n");
    wfi_write_foot(w, f);
    edit_show(w, text, e->first, e->first + e->first_len);
}

void wfi_tool_edit(wfi_tool *w) {
    char path[WFI_CONFINE_PATH];
    edit_job e = {.w = w};
    wfi_write_file f;
    wf_str text, bytes;
    if (!edit_parse(&e, path) || !wfi_write_open(w, path, O_RDWR, &f)) return;
    if (!edit_load(&e, &f, path) || !edit_match(&e) || !edit_found(&e, &f) || !edit_replace(&e, &f, &text, &bytes)) {
        wfi_write_close(&f);
        return;
    }
    if (wfi_write_store(w, &f, bytes, false)) edit_answer(&e, &f, text);
}
