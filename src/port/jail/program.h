/* program: runs one program to its end, inside a child of ours (child.h, `programs`), which waits for it, gathers what it prints
 * and cleans up behind it. Blocking, and without malloc, stdio or threads.
 *
 * Invariants:
 *   1. When wfi_program_run returns, no process that descends from the program is left: the child is their reaper (subreaper, or
 *      first of a PID namespace), whatever they do (daemons, double forks, new sessions). One case is weak: neither a
 *      cgroup nor namespaces. Then processes are ended one by one, and a fork bomb can outrun that. At a timeout
 *      they get SIGTERM and PROGRAM_GRACE_MS later SIGKILL; what the program leaves behind when it ends by itself is
 *      treated likewise, with less patience. (A process that the kernel cannot end, waiting for a disk, is given up after PROGRAM_GIVE_UP_MS; where
 *      nobody tells who descends from whom, without /proc and namespaces, only the program's process group is reached.)
 *   2. The same happens when nobody reads descriptor 1 any more, our parent died or lost interest: at once in a jail; without
 *      one SIGTERM comes first, as at a timeout.
 *   3. The program has a session of its own and so no terminal; stdin is /dev/null or `input`; no descriptor of ours.
 *   4. Its environment holds no secret (wf_posix_is_secret). In a jail it has a TMPDIR in a private directory (privdir.h), HOME
 *      as home.h says, settings by which git works in a tree of whomever, and no way to the user's session (agents of
 *      keys, display, bus).
 *   5. In a jail, `.git` at the top of the tree is afterwards what it was before, and a `.wf` that is a link too (guard.h).
 *   6. Of what it prints, head and tail are kept up to the size of the buffers; all is read, so it never waits for us.
 *      What is more than that is in a file too, if its private directory stays. */
#ifndef WFI_PROGRAM_H
#define WFI_PROGRAM_H

#include "gather.h"
#include "guard.h"
#include "jail.h"
#include "kept.h"

#define WFI_PROGRAM_FILE ((uint64_t)4 << 30) /* bytes of the largest file that a program in a jail can write */

typedef struct wfi_program {
    const char *const *argv;   /* NULL-terminated; [0] without a '/' is searched for in PATH */
    const char *const *env;    /* NULL-terminated "NAME=value" that go before all others, unfiltered; or NULL */
    const wfi_jail *jail;      /* NULL: runs as the user would, with their HOME and session, yet without secrets */
    const char *tree;          /* the absolute path of the directory below which a jail lets it write, */
    int tree_fd;               /* and the same, open */
    const wfi_guard_id *first; /* what its .git and .wf meant before the first command of all; or NULL */
    /* the absolute path of its private directory, made if it is not there, which stays (keeper.h); NULL: in a jail one
     * of its own, which goes with it */
    const char *own;
    bool alone;      /* nobody is there to be asked: editors, pagers and prompts end at once */
    const char *dir; /* the absolute path of the directory where it starts */
    wf_str input;
    wfi_gather out, err; /* err.cap 0: both go to out, in their order */
    uint64_t deadline;   /* on the clock of wfi_sys_now_ms */
} wfi_program;

typedef struct wfi_program_end {
    const char *failed; /* what could not be done, so that nothing ran; or NULL */
    int error;          /* the errno of that */
    int code;           /* exit code, or 128 and the signal's number */
    int signal;         /* that ended it, or 0 */
    wfi_kept out, err;  /* files that have all of it, where it stays in `own` */
    uint64_t cpu_s;     /* the most processor time that one of its processes could use */
    bool timed_out;
    bool crowded;  /* ended for having too many processes, as counted */
    bool bounded;  /* the bound of its cgroup kept it from making one */
    bool starved;  /* ended by the system, which had no memory left */
    bool left;     /* it left processes behind, which were ended */
    bool survived; /* ... but for some that could not be */
    /* the name under which the .git, the .wf or the part of a repository that it made was put aside; "": it made none */
    char aside[WFI_GUARD_NAME];
} wfi_program_end;

WFI void wfi_program_run(wfi_program *p, wfi_program_end *end);
/* The most that a program in a jail may have at a time: threads, where the kernel bounds them, else processes, and more
 * are its end. */
WFI uint32_t wfi_program_processes(void);

/* wfi_program_end.failed when the program itself is at fault, */
#define WFI_PROGRAM_EXEC "start"
/* ... and when there is no private directory */
#define WFI_PROGRAM_OWN "make a directory for it in $TMPDIR, or /tmp"

#endif
