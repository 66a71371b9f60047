/* lookup: the addresses of hosts, found without ever holding up the caller, and kept for a minute.
 *
 * Each family is looked up for itself, both at once: a server that fails for one, or never answers, does not hold up the other.
 *
 * Addresses in digits are taken as they are, and localhost (with all below it) is this machine: RFC 6761 wants that of us, and it
 * holds where there is no /etc/hosts. Everything else is asked of getaddrinfo in a short-lived child under the supervisor.
 *
 * Why a child and not a thread: getaddrinfo has no limit and cannot be broken off. A thread stuck in it would outlive
 * wf_posix_close, or hold it up; it would take memory from the program's malloc, and be inside it when the tools fork. A child is
 * killed at its deadline or when nobody waits for it any longer, and what a name service does to it dies with it.
 *
 * Why that child may allocate, which child.h forbids in general: what forbids it are locks of libc that another thread held at
 * the fork. Our only other thread syncs the log: it takes a mutex of ours and else makes plain system calls, so it holds no lock
 * that getaddrinfo could want. The lock of malloc itself is looked after by fork in glibc, musl (from 1.2.2) and the BSDs. If
 * threads of the embedder resolve names by themselves, a child can at worst inherit a held lock and wait for it: it is killed
 * at its deadline, and the connection fails with an error that says so. This process is never touched.
 *
 * Invariants:
 *   1. A host with users is not replaced: its addresses stay as they are while anybody tries them.
 *   2. There is one look-up for a name at a time, however many wait for it.
 *   3. WAITING and RUNNING hosts have users; the child of a host that nobody waits for is killed.
 *   4. Answers are served for keep_ms, failures for LOOKUP_RETRY_MS, so that a crowd of retries asks once a second. */
#ifndef WFI_LOOKUP_H
#define WFI_LOOKUP_H

#include "../jail/child.h"

#define WFI_LOOKUP_NAME      254 /* bytes of a name, with its terminator */
#define WFI_LOOKUP_ADDRESSES 16  /* of one host; what is more is not tried */
#define WFI_LOOKUP_CHILDREN  8   /* look-ups at a time; what is more waits */

typedef struct wfi_address {
    uint8_t bytes[16]; /* IPv4: the first four */
    uint32_t scope;    /* IPv6: the interface of a link-local address */
    uint32_t six;      /* 1: IPv6 */
} wfi_address;

/* What the child says. Families alternate, beginning with IPv6: without a way there, connecting fails at once. */
typedef struct wfi_lookup_answer {
    int32_t code;  /* of getaddrinfo */
    int32_t error; /* errno, if the code says so */
    uint32_t count;
    wfi_address at[WFI_LOOKUP_ADDRESSES];
} wfi_lookup_answer;

typedef enum wfi_host_state {
    WFI_HOST_FREE = 0,
    WFI_HOST_WAITING, /* for a place among the children */
    WFI_HOST_RUNNING,
    WFI_HOST_FOUND, /* answer holds at least one address */
    WFI_HOST_FAILED /* reason says why */
} wfi_host_state;

typedef struct wfi_host {
    wfi_host_state state;
    uint32_t users;
    uint32_t place; /* of its child */
    uint64_t until; /* when what is known is too old */
    wfi_lookup_answer answer;
    bool has_worked;
    wfi_address worked; /* the address that answered last */
    char name[WFI_LOOKUP_NAME];
    char reason[72];
} wfi_host;

typedef struct wfi_lookup {
    wfi_host *host;
    uint32_t hosts;
    uint32_t open;          /* hosts that are WAITING or RUNNING */
    uint32_t limit_ms;      /* longest look-up */
    uint32_t keep_ms;       /* how long an answer serves */
    void (*run)(void *arg); /* in the child, with the host; tests put others here */
    wfi_children children;
} wfi_lookup;

WFI size_t wfi_lookup_size(uint32_t hosts); /* bytes of the table */
WFI void wfi_lookup_init(wfi_lookup *l, void *table, uint32_t hosts);
/* Finds a host, or begins to look it up; its user until wfi_lookup_release. WF_E_CONFIG: this is no name;
 * WF_E_IO: all places of the table are in use. */
WFI wf_status wfi_lookup_get(wfi_lookup *l, wf_str name, uint64_t now, uint32_t *host);
WFI void wfi_lookup_release(wfi_lookup *l, uint32_t host);
/* Goes on with what is under way; true: a look-up has ended. */
WFI bool wfi_lookup_pump(wfi_lookup *l, uint64_t now);
WFI uint64_t wfi_lookup_due(const wfi_lookup *l, uint64_t now); /* as wfi_children_due */
WFI uint32_t wfi_lookup_fds(const wfi_lookup *l, int *fds);     /* at most WFI_LOOKUP_CHILDREN */
WFI void wfi_lookup_close(wfi_lookup *l);

#endif
