/* jail: what keeps a command in, strongest first: namespaces of its own, Landlock, no capabilities and no new privileges.
 * What of it there is depends on kernel, user and container: it is tried out once, and what was found then must hold for
 * every command, or it does not start.
 *
 * Inside, a command
 *   1. writes below its tree, its private directory and the run's layer of HOME only (home.h), and
 *      to null, zero, full, random, urandom in /dev (Landlock); /dev/shm is its own, and so are
 *      /tmp and /var/tmp, but for the tree and folders of PATH that lie there. All other file
 *      systems are read-only to it (mount namespace), for Landlock says nothing of modes, owners
 *      and times;
 *   2. reads what its user may, but for `.ssh` and the like in the user's home, and reaches no daemon that runs commands
 *      for others, see jail_secrets and jail_sockets (mount namespace);
 *   3. finds `.git` and `.wf` at the top of its tree read-only (mount namespace), see guard.h, and the run's log, whose
 *      folders in the tree it cannot rename. Deeper ones are its own. Without that namespace nothing guards what is in
 *      them: Landlock only adds rights to a directory's, so it cannot spare one and still allow new files beside it;
 *   4. signals and traces nobody but its own (PID namespace, Landlock), talks to no abstract socket from outside, and shares
 *      no memory by System V's numbers (IPC namespace);
 *   5. gains nothing by set-uid programs and has no capability, even as root; but for
 *      CAP_DAC_OVERRIDE as root where Landlock confines all writing: what is in the tree may have
 *      several owners. */
#ifndef WFI_JAIL_H
#define WFI_JAIL_H

#include "../../api/posix.h"
#include "../os/sys.h"

#define WFI_JAIL_TEXT 512  /* bytes of wfi_jail_text */
#define WFI_JAIL_HOME 1024 /* bytes of a home directory that the system's list of users has, with its terminator */

typedef struct wfi_jail {
    uint32_t holds;               /* WF_HOLDS_... */
    int abi;                      /* Landlock's version; 0: the kernel has none, or it is off */
    uint32_t spaces;              /* for wfi_sys_fork; 0: none to be had */
    bool frozen;                  /* with them: what lies outside of the tree can be made read-only */
    const struct wfi_home *shown; /* how commands see the user's home; lives as long; NULL: an empty one */
    const char *log;              /* the run's own, where it may be written to; or NULL. Lives as long */
    uint32_t uid, gid;            /* ours, before a user namespace hides them */
    bool hides;                   /* with namespaces: there is a home to hide keys in */
    char home[WFI_JAIL_HOME];     /* the user's, where no HOME says it; or "" */
    bool counts;                  /* the system tells who descends from whom */
} wfi_jail;

/* Finds out what there is, in children that end at once. root: a directory of the kind that commands will have. */
WFI void wfi_jail_probe(wfi_jail *j, const char *root);
/* Keeps commands off the network from now on, by a namespace with nothing but a loopback, else by Landlock, which knows of TCP
 * alone. False: neither is to be had. */
WFI bool wfi_jail_cut(wfi_jail *j, const char *root);
WFI void wfi_jail_text(const wfi_jail *j, char out[WFI_JAIL_TEXT]);

/* The user's home directory as HOME says it, or the system; NULL: nobody says where it is. */
WFI const char *wfi_jail_home(const wfi_jail *j);
/* The steps into the jail; each answers NULL, or what could not be done (errno says why).
 * The first in a process just made by wfi_sys_fork(j->spaces). */
WFI const char *wfi_jail_begin(const wfi_jail *j);
/* The others in a child of it, which becomes the command. Its network, with WF_HOLDS_NETWORK; */
WFI const char *wfi_jail_unplug(const wfi_jail *j);
/* its mounts; absolute paths: of
 * the tree, its own directory, an empty one (NULL: this is only to see whether it can be done).
 * A home that is shown is asked for here, without namespaces too. */
WFI const char *wfi_jail_mounts(const wfi_jail *j, const char *tree, const char *own, const char *empty);
/* What the command shares with us without need. Where that cannot be had nothing is said. */
WFI void wfi_jail_part(const wfi_jail *j);
/* With nothing but exec to follow. Both are open directories. */
WFI const char *wfi_jail_enter(const wfi_jail *j, int tree, int own);
/* Whether a variable ("NAME=value", the name has len bytes) says where a daemon listens that runs commands for others. */
WFI bool wfi_jail_is_daemon(const char *variable, size_t len);
/* For a process that writes no file at all. Where it cannot be had nothing is said: it is our own code. */
WFI void wfi_jail_reads_only(void);
/* Nobody of the same user may look into this process, nor do the command's children. */
WFI void wfi_jail_shut(void);

#endif
