/* logfile: the log as a file. Opening, locking, naming, reading, writing, syncing.
 *
 * A sync of a quick disk takes less time than handing it to another thread and back, and costs half as much: it is done in place.
 * One that took longer than WFI_LOGFILE_QUICK_US sends the next to a helper thread, until that sees a quick one.
 *
 * Invariants:
 *   1. Who may write holds an advisory lock on the file; the lock belongs to the open file, not to the process, so the
 *      same process cannot open it twice either.
 *   2. A new log is its owner's alone to read (mode 0600), and lives under NAME.tmp-XXXXXXXX until
 *      its first sync is done; only then it is NAME, and that sync answers WF_OK only after the
 *      directory is on disk as well.
 *   3. An existing file is never replaced.
 *   4. `state`, `failed` and `slow` are used under the mutex; `fd`, `dir` and the names do not change while the thread runs;
 *      `named` is the thread's while a sync runs, and the caller's otherwise.
 *   5. After a failed sync every further one fails.
 *   6. What runs that died before their first sync have left under such names is removed when a log is made beside it; never
 *      what somebody has locked. Who makes a file looks, once it has the lock, whether it was taken for one of these.
 *   7. Where no thread can be had all syncs are done in place. */
#ifndef WFI_LOGFILE_H
#define WFI_LOGFILE_H

#include "../../api/posix.h"
#include <pthread.h>

#ifndef WFI
#define WFI extern
#endif

#define WFI_LOGFILE_QUICK_US 1000u
#define WFI_LOGFILE_NAME     256 /* bytes of a file name, with its terminator */

typedef enum wfi_logfile_state {
    WFI_SYNC_IDLE = 0,
    WFI_SYNC_ASKED,  /* handed to the thread */
    WFI_SYNC_DONE,   /* the thread's answer waits in `failed` */
    WFI_SYNC_FAILED, /* for good */
    WFI_SYNC_QUIT    /* the thread is to end */
} wfi_logfile_state;

typedef struct wfi_logfile {
    const char *path; /* as the caller named it; NULL: temporary */
    wf_posix_mode mode;
    bool no_sync;
    bool named; /* the file has its name, or needs none */
    int fd, dir;
    int wake; /* a byte written here ends the caller's wait */
    char *error;
    size_t error_size;
    bool slow;     /* the last sync was not quick */
    bool threaded; /* the thread was started */
    bool alone;    /* it could not be */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    wfi_logfile_state state;
    int failed;                  /* errno of the last sync */
    char name[WFI_LOGFILE_NAME]; /* in dir */
    char temp[WFI_LOGFILE_NAME]; /* likewise, until named */
} wfi_logfile;

/* error: where sentences go; wake: see above. */
WFI wf_status wfi_logfile_open(wfi_logfile *f, const wf_posix_config *config, int wake, char *error, size_t error_size);
WFI void wfi_logfile_close(wfi_logfile *f);
WFI const wf_log_ops *wfi_logfile_ops(void); /* their ctx is the wfi_logfile */

#endif
