/* child: the one supervisor of child processes. A child runs a function of ours in its own process group; what it writes to
 * descriptor 1 is gathered, up to a cap, in memory of whoever asked for it. Programs run below such a child: its function
 * starts them, watches over them and cleans up behind them, see program.h.
 *
 * Life of a child: FREE -> RUNNING -> DRAINED (its pipe is closed) -> DONE (reaped) -> FREE.
 *
 * Invariants:
 *   1. Nothing here blocks but wfi_children_close, which first kills what it waits for.
 *   2. At the deadline the group gets SIGTERM, CHILD_GRACE_MS later SIGKILL; a child that wrote more than its cap
 *      gets SIGKILL. One that runs programs (`programs`) gets no signal but loses its reader, which is its sign to end them all
 *      and itself; SIGKILL comes only if it has not done so after CHILD_END_MS. Its own deadline should come first.
 *   3. A signal is sent only to a group whose leader has not been reaped, so never to a stranger of the same number.
 *   4. A child given up before it ended (wfi_child_release) is killed, or loses its reader, never touches its owner's memory again, and
 *      keeps its place until it is reaped.
 *   5. Between fork and the function, and in the function, only what is safe after fork in a process with threads:
 *      no malloc, no stdio; name look-up is the exception, see lookup.h. The function gets no signal handler of ours and
 *      none of our descriptors but `keep`.
 *   6. A child dies with its parent (Linux): by a signal, or, if it runs programs, by itself when these are ended. */
#ifndef WFI_CHILD_H
#define WFI_CHILD_H

#include "home.h"

#define WFI_CHILD_KEEP 3 /* where the child finds job.keep */
#define WFI_CHILD_MAX  64

typedef struct wfi_child_job {
    void (*run)(void *arg); /* in the child; its output goes to descriptor 1 */
    void *arg;              /* copied with the whole process */
    int keep;               /* a descriptor that the child needs, or -1 */
    const wfi_home *home;   /* then: whose holder its program asks; or NULL */
    char *out;              /* cap bytes, the owner's until wfi_child_release */
    size_t cap;
    uint64_t deadline; /* on the clock of wfi_sys_now_ms */
    uint32_t cpu_s;    /* processor seconds; 0: no limit */
    bool reads_only;   /* it writes no file: seen to by a limit, and by Landlock */
    bool programs;     /* run is about to call wfi_program_run */
    uint32_t spaces;   /* then: of the jail, for wfi_sys_fork */
} wfi_child_job;

typedef enum wfi_child_state {
    WFI_CHILD_FREE = 0,
    WFI_CHILD_RUNNING,
    WFI_CHILD_DRAINED,
    WFI_CHILD_DONE
} wfi_child_state;

typedef struct wfi_child {
    wfi_child_state state;
    long pid;
    int fd; /* reading end of its output, or -1 */
    char *out;
    size_t cap, len;
    uint64_t deadline; /* of the next signal */
    int signal;        /* the last one sent, or 0 */
    bool timed_out;    /* its deadline passed while it ran */
    bool overflow;     /* it wrote more than cap bytes */
    bool given_up;     /* nobody waits for it */
    bool programs;
    int status; /* as waitpid says; -1: somebody else reaped it */
} wfi_child;

typedef struct wfi_children {
    uint32_t count; /* of places in use, 1..WFI_CHILD_MAX */
    wfi_child at[WFI_CHILD_MAX];
} wfi_children;

WFI void wfi_children_init(wfi_children *cs, uint32_t count);
/* WF_OK and the place; WF_AGAIN: all places are taken; WF_E_IO: no process or pipe to be had (errno says why). */
WFI wf_status wfi_child_start(wfi_children *cs, const wfi_child_job *job, uint32_t *place);
/* Reads, kills and reaps whatever is due. */
WFI void wfi_children_pump(wfi_children *cs, uint64_t now);
/* Frees the place of a child that is DONE, or gives it up. */
WFI void wfi_child_release(wfi_children *cs, uint32_t place);
/* When wfi_children_pump has something to do without any input; UINT64_MAX: not by itself. */
WFI uint64_t wfi_children_due(const wfi_children *cs, uint64_t now);
/* Descriptors to wait for; fds has room for WFI_CHILD_MAX. */
WFI uint32_t wfi_children_fds(const wfi_children *cs, int *fds);
WFI void wfi_children_close(wfi_children *cs);
/* In a child: all descriptors from this one on. */
WFI void wfi_child_close_from(int first);

#endif
