/* confine: opens paths below a root directory and nowhere else, whatever `..` and links in them say, and finds the
 * places of files to be written there.
 *
 * Invariants:
 *   1. No open ever goes outside of the root, even while somebody swaps directories for links: each step is relative
 *      to an open directory and follows no link by itself.
 *   2. Links that stay inside are followed, at most WFI_CONFINE_LINKS of them, and no path takes more than WFI_CONFINE_STEPS
 *      directories to be opened, whatever links and dots a hostile tree puts in the way.
 *   3. Only regular files and directories come out; opening never waits (FIFO), and a device is closed unread.
 *   4. No place to write at lies in a .git of any depth or in the root's .wf, by whatever way a path gets there: what
 *      counts are the names of the directories and links that were really passed through, and what directories they were
 *      (guard.h). Nor does one lie in a folder that git would take for a repository with it. */
#ifndef WFI_CONFINE_H
#define WFI_CONFINE_H

#include "../jail/guard.h"

#define WFI_CONFINE_PATH  4096 /* bytes of a path, with its terminator */
#define WFI_CONFINE_LINKS 40
#define WFI_CONFINE_STEPS 16384

typedef struct wfi_confine {
    int fd;                      /* the root, open */
    char root[WFI_CONFINE_PATH]; /* its absolute path without links; "" if it has none */
    bool guarded;                /* it lies itself where nothing may be written, or is a repository to git */
    bool below;                  /* a folder of another root; the guard is that one's */
    wfi_guard_id guard[WFI_GUARDS];
    const char *log; /* the run's own log, which no place to write at is; or NULL. Lives as long */
} wfi_confine;

/* 0 or an errno. */
WFI int wfi_confine_init(wfi_confine *c, const char *root);
/* Takes note of what .git and .wf are now. */
WFI void wfi_confine_guard(wfi_confine *c);
/* A directory below the root as a root of its own. 0 or an errno. */
WFI int wfi_confine_below(const wfi_confine *c, const char *path, wfi_confine *out);
WFI void wfi_confine_close(wfi_confine *c);

/* Makes a path as a model writes it relative to the root: absolute paths inside the root lose it, "" and "." stay ".".
 * 0; EXDEV: it is absolute and leads outside; ENAMETOOLONG; EINVAL: it holds a zero byte. */
WFI int wfi_confine_relative(const wfi_confine *c, wf_str path, char out[WFI_CONFINE_PATH]);

/* Opens a relative path for reading (dirfd: the root's descriptor, which the child has under another number).
 * The descriptor, or minus an errno: EXDEV means that the path leads outside. */
WFI int wfi_confine_open(const wfi_confine *c, int dirfd, const char *path);
/* The same; `real` becomes the path without links and dots, "" for the root. */
WFI int wfi_confine_open_real(const wfi_confine *c, int dirfd, const char *path, char real[WFI_CONFINE_PATH]);

/* The place of a file to be written. */
typedef struct wfi_spot {
    int dir;                     /* the file's directory, open: only to go from; or -1 */
    char path[WFI_CONFINE_PATH]; /* of the file, from the root, without links and dots */
    const char *name;            /* its last part; no link stood there */
    size_t dir_len;              /* bytes of path that are its directory's */
    uint32_t made;               /* how many of the last directories were made for it */
} wfi_spot;

/* No errnos: the path leads into .git or .wf; git would take a folder that the path leads into for a repository. */
#define WFI_CONFINE_GUARDED    (-1)
#define WFI_CONFINE_REPOSITORY (-2)

/* Finds the place that a relative path names, whether a file is there or not; a link is followed to where it leads.
 * `make`: makes the directories that are missing on the way. 0, an errno (EISDIR: the path ends in a slash or dots)
 * or one of the two; then spot->dir is -1, and what was made is gone again. */
WFI int wfi_confine_spot(const wfi_confine *c, int dirfd, const char *path, bool make, wfi_spot *spot);
/* Removes the directories that were made for it, as long as they are empty. */
WFI void wfi_confine_unmake(const wfi_confine *c, int dirfd, const wfi_spot *spot);

/* Whether an open file is a regular file or a directory; size may be NULL. */
WFI bool wfi_confine_is_file(int fd, uint64_t *size);
WFI bool wfi_confine_is_dir(int fd);

#endif
