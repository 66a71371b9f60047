/* write: what the tools that change files share: finding one, and giving it another text. See write.c for what holds. */
#ifndef WFI_WRITE_H
#define WFI_WRITE_H

#include "tool.h"
#include <sys/stat.h>

typedef struct wfi_write_file {
    wfi_spot spot;
    int fd; /* the file that is there, open, or -1 */
    struct stat st;
    bool reads;            /* it may be read */
    wfi_encoding encoding; /* it has */
    wfi_seen_mark mark;    /* what it holds; file 0: not known, since it cannot be read */
    uint32_t lost;         /* attributes that could not be kept */
} wfi_write_file;

/* Finds the file; it need not exist with O_CREAT among the flags. False: an error was set, and nothing is open. */
WFI bool wfi_write_open(wfi_tool *w, const char *path, int flags, wfi_write_file *f);
WFI void wfi_write_close(wfi_write_file *f);
/* Stores the text, as bytes, and closes the file. whole: the agent knows all of it. False: an error was set. */
WFI bool wfi_write_store(wfi_tool *w, wfi_write_file *f, wf_str text, bool whole);

/* What an answer says of it. */
WFI void wfi_write_put_path(wfi_tool *w, const wfi_write_file *f);
WFI void wfi_write_foot(wfi_tool *w, const wfi_write_file *f);
WFI bool wfi_write_fits(wfi_tool *w, const char *key,
                        wf_str text); /* false: the member is too long, an error was set */
WFI uint64_t wfi_write_count(wf_str text, char c);

#endif
