/* confine: opens paths below a root directory and nowhere else, whatever `..` and links in them say.
 *
 * Invariants:
 *   1. No open ever goes outside of the root, even while somebody swaps directories for links: each step is relative
 *      to an open directory and follows no link by itself.
 *   2. Links that stay inside are followed, at most WFI_CONFINE_LINKS of them.
 *   3. Only regular files and directories come out; opening never waits (FIFO), and a device is closed unread. */
#ifndef WFI_CONFINE_H
#define WFI_CONFINE_H

#include "sys.h"

#define WFI_CONFINE_PATH  4096 /* bytes of a path, with its terminator */
#define WFI_CONFINE_LINKS 40

typedef struct wfi_confine {
    int fd;                      /* the root, open */
    char root[WFI_CONFINE_PATH]; /* its absolute path without links; "" if it has none */
} wfi_confine;

/* 0 or an errno. */
WFI int wfi_confine_init(wfi_confine *c, const char *root);
/* A directory below the root as a root of its own. 0 or an errno. */
WFI int wfi_confine_below(const wfi_confine *c, const char *path, wfi_confine *out);
WFI void wfi_confine_close(wfi_confine *c);

/* Makes a path as a model writes it relative to the root: absolute paths inside the root lose it, "" and "." stay ".".
 * 0; EXDEV: it is absolute and leads outside; ENAMETOOLONG; EINVAL: it holds a zero byte. */
WFI int wfi_confine_relative(const wfi_confine *c, wf_str path, char out[WFI_CONFINE_PATH]);

/* Opens a relative path for reading (dirfd: the root's descriptor, which the child has under another number).
 * The descriptor, or minus an errno: EXDEV means that the path leads outside. */
WFI int wfi_confine_open(const wfi_confine *c, int dirfd, const char *path);

/* Whether an open file is a regular file or a directory; size may be NULL. */
WFI bool wfi_confine_is_file(int fd, uint64_t *size);
WFI bool wfi_confine_is_dir(int fd);

#endif
