/* tool: one call of a tool, whether in this process (a small file) or in a child: reads its JSON
 * input, looks at the workspace, and leaves a text in one buffer. What several tools need is here;
 * read.c, find.c, write.c and command.c hold the tools themselves; tools.c has the table of them
 * and the children that they run in.
 *
 * Contract: the function of a tool reads w->input, writes w->out, and sets w->is_error. It calls
 * neither malloc nor stdio, takes memory only from w->room, and ends: its loops are bounded by the
 * files it looks at and by the child's deadline. */
#ifndef WFI_TOOL_H
#define WFI_TOOL_H

#include "../../api/json.h"
#include "confine.h"
#include "encoding.h"
#include "names.h"
#include "seen.h"
#include "../jail/jail.h"

#define WFI_TOOL_SMALL      ((size_t)1 << 20)              /* files up to here are read without a child */
#define WFI_TOOL_READ_MAX   ((size_t)4 << 20)              /* bytes that a script gets in one read */
#define WFI_TOOL_SCRIPT_MAX (6 * WFI_TOOL_READ_MAX + 4096) /* the same as JSON, every byte escaped */
#define WFI_TOOL_OUT_MIN    512u                           /* the least output_max that tools can work with */
#define WFI_TOOL_OUT        32768u                         /* the one that 0 stands for */
#define WFI_TOOL_FOOT       400u                           /* of it, kept free for the lines that say what is missing */
#define WFI_TOOL_ROOM       ((size_t)256 << 10)            /* what read needs; */
#define WFI_TOOL_FIND_ROOM  ((size_t)96 << 20) /* ... the others, for huge directories, for a file to edit */
#define WFI_TOOL_WRITE_MAX  ((size_t)4 << 20)  /* bytes of a text to be written */
#define WFI_TOOL_EDIT_MAX   ((size_t)16 << 20) /* bytes of a file that can be edited, before and after */
#define WFI_TOOL_PROBE      8192u              /* of a file, looked at to tell whether it is text */
#define WFI_TOOL_LINE_MAX   2000u              /* bytes shown of a line */

typedef struct wfi_tool {
    const wfi_confine *root;
    int dirfd; /* the root's descriptor in this process */
    wf_str tool, input;
    bool script;          /* asked by a script: the answer is JSON */
    const wfi_jail *jail; /* for commands, */
    const char *own;      /* ... their private directory, */
    uint64_t deadline;    /* and the call's, on the clock of wfi_sys_now_ms */
    uint64_t enough;      /* when a search is to answer with what it has, likewise; UINT64_MAX: at its end only */
    wfi_seen *seen;       /* what agents know of files, asked and told by what changes them, */
    uint32_t agent;       /* ... this one, 0: nobody is told apart; */
    wfi_seen_mark mark;   /* ... out: the file that was read */
    char *out;            /* cap + WFI_TOOL_FOOT bytes */
    size_t cap, len;
    bool full; /* something did not fit */
    bool is_error;
    char *room; /* 8-aligned */
    size_t size, used;
} wfi_tool;

typedef void (*wfi_tool_fn)(wfi_tool *w);
WFI void wfi_tool_read(wfi_tool *w);
WFI void wfi_tool_grep(wfi_tool *w);
WFI void wfi_tool_glob(wfi_tool *w);
WFI void wfi_tool_files(wfi_tool *w);
/* These change the workspace. They neither wait nor take long, and go by w->dirfd and names below it alone. */
WFI void wfi_tool_write(wfi_tool *w);
WFI void wfi_tool_edit(wfi_tool *w);
/* Removes what such a call left that was killed: the file that was to take the place of the other. No answer, no error. */
WFI void wfi_tool_write_clear(wfi_tool *w);
/* These run programs: only in a child that was started for it, once. */
WFI void wfi_tool_bash(wfi_tool *w);
WFI void wfi_tool_exec(wfi_tool *w);
/* Whether `read` can be done at once: its file is small, or it will fail anyway. */
WFI bool wfi_tool_read_is_small(wfi_tool *w);

/* ---- output. Text that does not fit is left out whole and sets `full`. ---- */
WFI bool wfi_tool_put(wfi_tool *w, wf_str text);
WFI bool wfi_tool_puts(wfi_tool *w, const char *text);
WFI bool wfi_tool_putn(wfi_tool *w, uint64_t n);
/* A path or a name, as it is shown: see names.h; for messages, which are cut where it is longer than 256 bytes. */
WFI bool wfi_tool_put_path(wfi_tool *w, wf_str path);
WFI void wfi_tool_put_short(wfi_tool *w, wf_str path);
/* Opens the room for the last line. */
WFI void wfi_tool_foot(wfi_tool *w);
/* Throws the output away and begins an error. What follows is put behind it, cut where it does not fit. */
WFI void wfi_tool_error(wfi_tool *w, const char *text);
/* The error for a path that could not be opened; error is an errno. */
WFI void wfi_tool_path_error(wfi_tool *w, int error, wf_str path);
/* An error about a path: the text, the path, and what may be done. */
WFI void wfi_tool_path_bad(wfi_tool *w, const char *text, wf_str path, const char *mend);
/* Adds "; there is a, b": names like the one that is missing. */
WFI void wfi_tool_suggest(wfi_tool *w, const char *path);
/* "   12<tab>text", cut where it is longer than max or not `whole`; false: it does not fit and is left out. */
WFI bool wfi_tool_line(wfi_tool *w, wf_str text, uint64_t number, size_t max, bool whole);
/* The longest part of text up to max bytes that does not cut a UTF-8 sequence. */
WFI wf_str wfi_tool_clip(wf_str text, size_t max);

/* ---- input. False: an error was set. An absent or null member leaves *out alone; `needed` makes that an error.
 * ---- */
WFI bool wfi_tool_str(wfi_tool *w, const char *key, bool needed, wf_str *out); /* lives in room */
WFI bool wfi_tool_u64(wfi_tool *w, const char *key, uint64_t least, uint64_t most, uint64_t *out);
WFI bool wfi_tool_bool(wfi_tool *w, const char *key, bool *out);
/* The member "path" made relative to the root and, if it is there, as it is there; "." if there is none. */
WFI bool wfi_tool_path(wfi_tool *w, bool needed, char path[WFI_CONFINE_PATH]);

/* Whether the input has no member but the properties of the tool's own schema, and those of `also`, a
 * comma-separated list. False: the error names the first that is too many, and those that there are. */
WFI bool wfi_tool_knows(wfi_tool *w, const wf_tool *tool, const char *also);

WFI void *wfi_tool_take(wfi_tool *w, size_t n); /* 8-aligned; NULL: room is used up, and an error was set */

/* ---- lines of a file, through a fixed window. Lines longer than the window come in pieces, cut between characters.
 * ---- */
#define WFI_LINES_WINDOW 65536u

typedef struct wfi_lines {
    int fd;
    char *window;
    size_t size, at, len;
    bool eof, failed;
    uint64_t bytes; /* of the file, read so far */
    wfi_encoding encoding;
    wfi_utf16 decoder;
    /* the piece that wfi_lines_next found */
    wf_str text; /* without its newline */
    bool first;  /* begins a line */
    bool ended;  /* a newline followed */
    uint64_t number;
} wfi_lines;

/* Begins at the file's first line. A mark at its begin is passed over, but with keep_mark that of UTF-8 is not. UTF-16 behind a mark
 * comes as UTF-8. window: size bytes, at least WFI_LINES_WINDOW. */
WFI void wfi_lines_init(wfi_lines *l, int fd, char *window, size_t size, bool keep_mark);
WFI bool wfi_lines_next(wfi_lines *l);   /* false: the end, or `failed` */
WFI bool wfi_lines_binary(wfi_lines *l); /* before the first line: there is a zero byte in the first WFI_TOOL_PROBE */

#endif
