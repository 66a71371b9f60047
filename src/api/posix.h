/* posix: the hosted platform for Linux and other POSIX systems. Opt-in: define WF_PORT_POSIX before including.
 *
 *     wf_posix_config pc = {.root = ".", .log = "run.wflog", .mode = WF_POSIX_CREATE, .tickets = 40};
 *     wf_posix *posix;
 *     wf_posix_open(&posix, memory, wf_posix_size(&pc), &pc, &error);
 *     wf_posix_platform(posix, &platform);                      hand this to wf_init
 *     while (wf_step(w, 64, &wait_ms) == WF_OK) ... wf_posix_wait(posix, wait_ms);
 *     wf_close(w);
 *     wf_posix_close(posix);
 *
 * It holds file descriptors, one helper thread (log sync, where the disk is slow; started by the
 * first slow one) and short-lived child processes (grep, glob, name look-up). Where commands are
 * allowed two more children live as long as it: one removes what commands leave, one holds the
 * user's HOME for them. It takes no memory from malloc; running tools borrow pages from the system
 * and give them back.
 * One thread uses it, wf_posix_wake apart. A program that limits file sizes should ignore SIGXFSZ, so that a full
 * file is an error and not its death. */
#ifndef WF_POSIX_H
#define WF_POSIX_H

#include "net.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum wf_posix_mode {
    WF_POSIX_TEMPORARY = 0, /* a file without a name that ends with the process; `log` must be NULL */
    WF_POSIX_CREATE,        /* a new log; its name appears when the first sync is done, and must be free until then */
    WF_POSIX_OPEN,          /* an existing log, read and written */
    WF_POSIX_READ           /* an existing log, only read; no lock, so a live one may be watched */
} wf_posix_mode;

/* What agents and scripts may do, bits of wf_posix_config.allow. */
enum {
    WF_ALLOW_READ = 1,  /* the tools read, grep, glob */
    WF_ALLOW_WRITE = 2, /* the tools write, edit */
    WF_ALLOW_BASH = 4,  /* the tool bash */
    WF_ALLOW_EXEC = 8   /* the effect exec, for scripts */
};

/* What keeps commands (bash, exec) in on this system: wf_posix_holds. With neither of the last two, which is root without a writable
 * cgroup, nothing bounds the number of their processes: they are counted now and then. With namespaces all of them are ended at one
 * blow even so; without, a fork bomb can outrun the counting, and only a bound from outside (of the container) stops it. */
enum {
    WF_HOLDS_FILES = 1,   /* Landlock: no writing outside of the workspace and a private directory */
    WF_HOLDS_SIGNALS = 2, /* no signalling and tracing of other processes */
    WF_HOLDS_SPACES = 4, /* own namespaces: outside, .git and .wf read-only, keys in HOME hidden, no process survives */
    WF_HOLDS_PRIVILEGES =
        8, /* no new privileges; no capabilities, but CAP_DAC_OVERRIDE for root where Landlock confines all writing */
    WF_HOLDS_CGROUP = 16,  /* processes are bounded by a cgroup, ... */
    WF_HOLDS_NPROC = 32,   /* ... or by RLIMIT_NPROC */
    WF_HOLDS_NETWORK = 64, /* as asked: no network but a loopback of its own, ... */
    WF_HOLDS_TCP = 128     /* ... or no TCP, by Landlock; UDP and other sockets are open */
};

/* The strings must outlive the wf_posix. Zero means the default. */
typedef struct wf_posix_config {
    const char *root; /* the workspace: tools see nothing outside of it; NULL: no tools, no effects */
    const char *log;
    wf_posix_mode mode;
    bool no_sync;     /* syncs only give a new log its name: nothing is forced to disk */
    uint32_t allow;   /* WF_ALLOW_...; default WF_ALLOW_READ */
    bool offline;     /* commands get no network: WF_HOLDS_NETWORK or WF_HOLDS_TCP, else it cannot be opened */
    uint32_t tickets; /* tools under way at a time: lanes + effects + extra_tools of the wf_config; default 40 */
    uint32_t
        children; /* searches (grep, glob, large reads) at a time, 1..64, each a process; what is more waits; default 8 */
    uint32_t commands; /* commands (bash, exec) at a time, likewise; default 64 */
    uint32_t tool_ms;  /* longest search; default 60000. Commands have timeouts of their own */
    uint32_t conns;    /* network connections 0 .. conns-1, at most 4096; 0: no network */
    uint32_t workers;  /* exchanges 0 .. workers-1 with models that are programs, at most 4096; 0: none. Needs a root */
    const char *
        worker; /* the command of such a model that runs whatever `allow` says, outside of the jail: the user's; or NULL */
} wf_posix_config;

typedef struct wf_posix wf_posix; /* lives in the caller's block */

/* Bytes that wf_posix_open needs, at any alignment. 0: the config is not valid. */
size_t wf_posix_size(const wf_posix_config *config);

/* Opens root and log, and locks the log. On failure everything is closed again and wf_posix_error(*out) says why
 * (*out is NULL if the block is too small or the config not valid); it needs no wf_posix_close.
 * WF_E_CONFIG, also where nothing can keep commands offline; WF_E_MEMORY; WF_E_NOT_FOUND: no such log
 * or root; WF_E_BUSY: somebody else, in this process or another, writes this log; WF_E_IO: anything
 * else. error may be NULL. */
wf_status wf_posix_open(wf_posix **out, void *memory, size_t size, const wf_posix_config *config, wf_error *error);

/* Kills children, waits for a sync under way, closes all. A new log that never got its name is removed. */
void wf_posix_close(wf_posix *p);

/* Fills in all of *out but `trace`, which becomes NULL. */
void wf_posix_platform(wf_posix *p, wf_platform *out);

/* The network: TCP over IPv4 and IPv6, without TLS. NULL if the config has no connections. */
const wf_net_ops *wf_posix_net(wf_posix *p, void **ctx);

/* Models that are programs, for a provider "exec" that is `silent`; the model's name is a command for `sh -c`. It gets
 * the agent's spec as JSON on stdin, and its stdout is the answer (`wf help agent` has both shapes); up to 64 run at a time. When
 * the exchange ends before it, it is killed with all that it has started. The config's `worker` starts in the root; any other
 * command needs WF_ALLOW_EXEC, runs in the jail, and starts in the agent's folder. NULL if the config has no workers. */
const wf_model_ops *wf_posix_workers(wf_posix *p, void **ctx);

/* Reads the first `size` bytes of a file below the root, at once; for wf_rules_config.read, with the wf_posix as its ctx.
 * WF_E_NOT_FOUND: there is no such file; WF_E_CONFIG: it lies outside of the root, or there is none; WF_E_IO. *why: a constant. */
wf_status wf_posix_read(void *posix, wf_str path, char *buf, size_t size, size_t *len, const char **why);

/* A block of memory for a run. It is reserved only: what is never used costs nothing. *size: the bytes wanted; 0: as many as suit
 * this machine (a quarter of what it, or the cgroup, has, or where that is little 64 MiB; at most 4 GiB, and half of what RLIMIT_AS leaves; half as many as
 * long as the system does not give them), and *size becomes that. NULL: the system does not give it. */
void *wf_posix_reserve(size_t *size);
void wf_posix_release(void *block, size_t size); /* NULL is fine */

/* Sleeps until a sync, a child or a connection has news, `ms` are over (UINT32_MAX: no limit), a signal came or wf_posix_wake was
 * called. If it ends much too late, this process was stopped meanwhile (Ctrl-Z, a frozen container): the platform's clock then
 * stands where it stood, so that the models' silence is not measured by ours and nothing is overdue that could not be read. */
void wf_posix_wait(wf_posix *p, uint32_t ms);

/* Ends the present or the next wf_posix_wait. For signal handlers and other threads. */
void wf_posix_wake(wf_posix *p);

/* What went wrong last, as a sentence with the path and the system's reason. "" if nothing did. */
const char *wf_posix_error(const wf_posix *p);

/* What keeps commands in, as bits (WF_HOLDS_...) and as a line of text that lives as long as p; text may be NULL. 0 and "" if
 * they are not allowed. Where they are, wf_posix_open makes this process undumpable: no core file, and nobody but root may look
 * into its memory. */
uint32_t wf_posix_holds(const wf_posix *p, const char **text);

/* Whether a variable of the environment, by its name (len bytes) or value, looks like a key, a token, a password. Commands do not
 * get such ones. */
bool wf_posix_is_secret(const char *name, size_t len, const char *value);

#define WF_POSIX_TOOLS 8u /* at most */

/* The tools for agents that the bits of `allow` (0: WF_ALLOW_READ) give; answers how many. Scripts have the effects `read` and
 * `files`, which need no entry here. */
uint32_t wf_posix_tools(uint32_t allow, wf_tool out[WF_POSIX_TOOLS]);

#ifdef __cplusplus
}
#endif

#endif
