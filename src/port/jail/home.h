/* home: the user's home directory as commands in a jail see it. Toolchains, their settings and what
 * they have downloaded lie there; without it next to nothing builds. What commands write there is
 * the run's alone, ends with it, and is found by the run's next command.
 *
 * In three ways, the best that there is (wfi_home_kind):
 *   LAYERS   an overlay: below it the user's home, to be read, above it a layer of the run's, which
 *            takes what is written;
 *   CACHES   the user's home itself, which a command cannot write to. What toolchains must write to
 *            lies in a folder of the run's, to which their own variables lead, with links to what
 *            the user has (caches.h);
 *   PRIVATE  an empty one for each command, where there is none to show, or where nothing would
 *            keep commands from writing to the user's.
 * A home that lies in the workspace, or is the workspace, is the real one: commands write to it,
 * for the user said so.
 *
 * Two overlays with one upper layer at a time are undefined, so there is one for the run, in the
 * holder: a process with a user namespace (but as root) and mounts of its own. A command asks it
 * through a socket for a copy of that one mount, gets a descriptor, and lays it over HOME among its
 * own mounts. So no command enters a namespace of the holder's, none sees its PID, and the socket
 * closes with exec.
 *
 * Invariants:
 *   1. What is below is never written to by the overlay, and by commands neither: it is covered, or
 *      read-only.
 *   2. The holder ends when nobody holds the other end of its socket any more: neither the run nor
 *      a supervisor of commands, however they ended. Then it removes the folder, whatever is in it.
 *   3. Layers are seen by nobody but through the overlay: in a command their folder is hidden.
 *   4. Mounts below HOME are still seen, read-only: the overlay would show the empty folders below
 *      them. Among them are those that hide secrets, which so hide in the overlay what they hide in
 *      the home.
 *   5. Only what was in HOME says where secrets are: nothing that a command wrote there is
 *      followed.
 * Where mounts below HOME cannot be parted from it (a user namespace, somebody else's mounts) there
 * is no overlay. Files that the user replaces during the run may be seen as they were: an overlay
 * does not look again. The workspace is laid over it as it is, and so is all of the run's root. */
#ifndef WFI_HOME_H
#define WFI_HOME_H

#include "caches.h"
#include "privdir.h"

#define WFI_HOME_SOCKET     4        /* where a command has its end of the holder's socket, until exec */
#define WFI_HOME_CACHES_DIR "caches" /* in the run's folder: the places of toolchains */
#define WFI_HOME_LAYERS_DIR "layers" /* ... and what the overlay consists of */

#define WFI_HOME_PATH 1024

struct wfi_jail;

typedef enum wfi_home_kind { WFI_HOME_PRIVATE = 0, WFI_HOME_CACHES, WFI_HOME_LAYERS } wfi_home_kind;

typedef struct wfi_home {
    wfi_home_kind kind;
    bool small;               /* the layer lies in memory, and is bounded by that */
    char path[WFI_HOME_PATH]; /* as the user says it */
    char real[WFI_HOME_PATH]; /* without links */
    const char *root;         /* of the run, absolute; lives as long */
    wfi_caches caches;
    wfi_privdir dir; /* the run's folder; no fd: there is none */
    int holder;      /* our end of its socket, or -1 */
    long pid;        /* of the holder */
} wfi_home;

/* Starts the holder. Without one, and on any failure, the kind is PRIVATE. root: of the run, for as
 * long as this lives. */
WFI void wfi_home_open(wfi_home *h, const struct wfi_jail *j, const char *root);
/* When no command is at work any more. */
WFI void wfi_home_close(wfi_home *h);

/* Whether it lies in the run's root, or is that. */
WFI bool wfi_home_is_of_run(const wfi_home *h);

/* In a command, before it enters its jail: makes sure that all is ready. LAYERS: the descriptor of
 * a mount, or -1 with errno.
 */
WFI bool wfi_home_take(const wfi_home *h, int *mount);

/* The mounts below a folder, as relative paths, the outermost alone; false ends the matter. Needs
 * /proc. */
typedef bool (*wfi_home_fn)(void *ctx, const char *relative);
WFI bool wfi_home_mounts(const char *folder, wfi_home_fn each, void *ctx);

#endif
