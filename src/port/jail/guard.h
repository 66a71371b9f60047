/* guard: the `.git` and the `.wf` at the top of a tree, which tools and commands may read and not write: whoever writes there
 * decides what runs the next time that the user starts git or wf. So does who writes the run's own log, wherever it lies.
 *
 * Either is a folder, or a link to one, or a file that names one ("gitdir: PATH", as worktrees and submodules have it). What
 * must be guarded is the folder that is meant:
 *   1. tools know it by its identity, whatever path leads there (confine.h);
 *   2. in a jail it is mounted read-only where it lies (jail.h);
 *   3. no mount keeps a .git from being made where there is none, a link from being replaced, or a folder that the meant one
 *      lies in from being renamed. So a command's supervisor looks before and after: a .git that came meanwhile, or that leads
 *      to another folder now, is put aside, as `.git.refused-HEX`, and a link that went is made again. Nothing is deleted: the
 *      user may have made it. The same for a .wf that is a link. (One is there before the first command: wfi_guard_settle.
 *      Where agents have another root it may come later, but then by another wf as well.)
 *
 * A folder with HEAD, objects and refs, or with HEAD and commondir, is a repository to git as well, whatever its name is.
 *   4. tools write neither the part that would complete one nor anything inside of one (confine.h);
 *   5. no command runs in one, and where a command made its tree one, a part of that is put aside as in 3.
 *
 * No malloc, no stdio: it runs in forked children. */
#ifndef WFI_GUARD_H
#define WFI_GUARD_H

#include "../os/sys.h"

#define WFI_GUARDS     2    /* .git, .wf */
#define WFI_GUARD_PATH 4096 /* bytes of a path, with its terminator */
#define WFI_GUARD_NAME 32   /* bytes of a name that something was put aside under */

typedef struct wfi_guard_id {
    uint64_t dev, ino;
    bool there;
} wfi_guard_id;

/* The folders that are meant, as things are now. tree: an open directory. */
WFI void wfi_guard_ids(int tree, wfi_guard_id out[WFI_GUARDS]);
/* Whether the open directory is one of them. */
WFI bool wfi_guard_is(const wfi_guard_id ids[WFI_GUARDS], int fd);
/* Whether the open directory is a repository to git; also: as if it had an entry of that name, or NULL. */
WFI bool wfi_guard_is_repository(int dir, const char *also);
/* Whether a file system might take the n bytes of a name for `low`: case aside, and bytes aside that are no ASCII, for some
 * systems pass over characters without width. */
WFI bool wfi_guard_is_like(const char *name, size_t n, const char *low);
/* Makes a .wf if there is none, if it can be made. */
WFI void wfi_guard_settle(int tree);

/* Where a file is, or will be if its folder is there, as an absolute path without links. False: it cannot be told. */
WFI bool wfi_guard_place(const char *file, char out[WFI_GUARD_PATH]);
/* Whether the name in the open directory is that file. */
WFI bool wfi_guard_is_file(const char *file, int dir, const char *name);

/* What a mount can guard, as absolute paths; answers how many there are. */
WFI uint32_t wfi_guard_paths(const char *tree, char out[WFI_GUARDS + 1][WFI_GUARD_PATH]);

typedef struct wfi_guard_seen {
    wfi_guard_id id;    /* of the thing itself: the link, not its target */
    wfi_guard_id meant; /* of the folder that it leads to */
    uint32_t type;      /* S_IF... */
    bool link;
    uint32_t parts; /* of .git: what the tree itself has of a repository, a bit for each part */
    char target[WFI_GUARD_PATH];
} wfi_guard_seen;

WFI void wfi_guard_look(int tree, wfi_guard_seen seen[WFI_GUARDS]);
/* Sees to it that both are what they were, and that the tree is no repository itself. first: what they meant before the first command, or NULL; what was seen may have
 * been another command's, still at work then. aside: the name that another one has now, or "". */
WFI void wfi_guard_restore(int tree, const wfi_guard_seen seen[WFI_GUARDS], const wfi_guard_id *first,
                           char aside[WFI_GUARD_NAME]);

#endif
