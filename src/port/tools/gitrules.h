/* gitrules: which files of rules git heeds beside the .gitignore files: the repository's info/exclude and the user's own
 * (core.excludesFile), and how far up the repository goes that a folder lies in.
 *
 * As git has it: the nearest folder at or above the root that has a `.git`, on the same file system, is the top; `.git` may be a file
 * that names the folder (a worktree, a submodule), and that folder may name another one that holds what all worktrees share. The
 * user's file is the last that a configuration names, of the system's, the user's, the repository's, the worktree's and the
 * environment's, with the files that these include (but not includeIf); else git/ignore in XDG_CONFIG_HOME or ~/.config. */
#ifndef WFI_GITRULES_H
#define WFI_GITRULES_H

#include "confine.h"

typedef struct wfi_gitrules {
    int top;      /* the repository's top, open to go from; the root, if there is no repository */
    size_t above; /* bytes at the end of the root's path that lead from the top to it; 0: it is the top */
    int exclude;  /* info/exclude, open, or -1 */
    int user;     /* the user's own, open, or -1 */
} wfi_gitrules;

/* root: an open folder and its absolute path, "" if that is not known. room: memory that is free again afterwards. */
WFI void wfi_gitrules_open(wfi_gitrules *g, int root, const char *path, char *room, size_t size);
WFI void wfi_gitrules_close(wfi_gitrules *g);

#endif
