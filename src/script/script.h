/* script: what is private to a script and shared by script.c, host.c and report.c: the struct
 * behind wf_script, its branches, and what is done with them. Its public face is src/api/lua.h.
 *
 * A script is a tree of branches, each a coroutine; the script's main chunk is the root. Branches
 * that can go on stand in one queue, first come first served. They all run until they block; then
 * exactly one result is delivered (wf_deliver), and the branch that waited for it runs on. So the
 * order of things is a function of the order of deliveries, which is the log's.
 *
 * Invariants:
 *   1. A branch is in the queue, or blocked (in block(), held, or on a call), or the current one;
 *      never two of these.
 *   2. A pre-empted branch goes to the front of the queue, so pre-emption changes nothing that the
 *      script can see.
 *   3. A branch's userdata is anchored in the registry as long as anything of ours points at it.
 *   4. Nothing of Lua that may raise is called outside of a protected call, but lua_resume and what
 *      cannot raise.
 *   5. Once ended, no code of the script runs any more: a stop needs no cooperation and cannot be
 *      caught.
 *   6. When memory runs out, the script ends there and then: nothing that depends on it is recorded
 *      or returned.
 *
 * Who knows whom: report.c knows the structs below and calls no function of the other two. host.c
 * calls report.c, and the functions declared here, which are script.c's. script.c calls report.c,
 * and of host.c only wfi_host_open: that one call makes the arrows between these two a circle. */
#ifndef WFI_SCRIPT_H
#define WFI_SCRIPT_H

#include "luaaux.h"

/* Lives in a userdata, with the user values below. */
typedef struct wfi_script_branch {
    lua_State *co;                     /* its coroutine */
    struct wfi_script_branch *parent;  /* NULL: the main branch, or no longer in the tree */
    struct wfi_script_branch *child;   /* the last one that it spawned */
    struct wfi_script_branch *older;   /* sibling, spawned before it */
    struct wfi_script_branch *younger; /* sibling, spawned after it */
    struct wfi_script_branch *next;    /* in the queue, or among the held ones */
    wf_call call;                      /* waited for; bits 0: none */
    uint64_t random;                   /* the state of its random numbers */
    uint32_t counter;                  /* of calls and fan-outs made here */
    int args;                          /* on co's stack, for the next resume */
    bool queued;                       /* it is in the queue */
    bool blocked;                      /* it waits in block() */
    bool held;                         /* ... and for memory */
    bool dead;                         /* it was killed */
} wfi_script_branch;

/* User values of a branch's userdata. */
enum {
    WFI_SCRIPT_THREAD = 1, /* anchors co */
    WFI_SCRIPT_PATH,       /* its place in the script, a text */
    WFI_SCRIPT_PHASE,      /* the phase that it is in, inherited by what it spawns */
    WFI_SCRIPT_WORKFLOW,   /* the workflow that it runs, likewise; nil: the script itself */
    WFI_SCRIPT_RAISED,     /* where the error that try caught was raised, as "NAME:LINE: " */
    WFI_SCRIPT_VALUES = WFI_SCRIPT_RAISED
};

struct wf_script {
    wf_script_config config;    /* with defaults filled in; max_ms is cut once the run stops */
    wfi_meter meter;            /* of memory and time, for all branches */
    lua_State *L;               /* the main state: for protected calls of ours, runs no branch */
    wfi_script_branch *main;    /* runs the script's main chunk */
    wfi_script_branch *current; /* the one that runs; NULL: none */
    wfi_script_branch *first;   /* of the queue; NULL: it is empty */
    wfi_script_branch *last;    /* of the queue, if it is not empty */
    uint64_t seed;              /* of all random numbers: the run's start, from the log */
    uint64_t slice;             /* the meter's busy time at the begin of this step */
    wfi_script_branch *next_up; /* spawned by the branch that runs; goes before it */
    wfi_script_branch *held;    /* fan-outs that wait for memory, through `next` */
    bool changed;               /* something was delivered since they looked */
    uint32_t dropped;           /* branches that dropped out on purpose */
    uint32_t rejected;          /* agents whose last answer a check rejected */
    uint32_t errors;            /* branches that a mistake of the script ended */
    uint32_t refused;           /* calls that a stop refused */
    uint64_t noted;             /* bytes of lines */
    wf_status broken;           /* of the run, met inside a call of the script */
    bool ended;                 /* result holds */
    wf_script_result result;    /* its text is a constant, or anchored in the registry */
    const char *meta;           /* JSON, anchored in the registry; NULL: not yet */
    size_t meta_len;            /* its bytes */
};

/* The script that a state, or a coroutine of it, belongs to. */
static inline wf_script *wfi_script_of(lua_State *L) {
    return *(wf_script **)lua_getextraspace(L);
}

/* Pops a function and makes a branch of it, which is in no queue yet. */
WFI wfi_script_branch *wfi_script_new_branch(lua_State *L, const char *path);
/* Pushes a branch's userdata. */
WFI void wfi_script_push_branch(lua_State *L, const wfi_script_branch *b);
/* Puts a branch into the queue, at its front or its end. */
WFI void wfi_script_enqueue(wf_script *s, wfi_script_branch *b, bool front);
/* Pushes the next place in the current branch: "3", or "2[7]/3". */
WFI const char *wfi_script_next_place(lua_State *L);
/* The current branch waits for a call. Empties the stack. */
WFI void wfi_script_await(lua_State *L, wf_call call);
/* A blocked branch waits for memory too; and no longer, if it did. */
WFI void wfi_script_hold(wf_script *s, wfi_script_branch *b);
WFI void wfi_script_unhold(wf_script *s, wfi_script_branch *b);
/* Cancels a branch with all below it. Depth is bounded by the length of paths. */
WFI void wfi_script_kill(wf_script *s, wfi_script_branch *b);
/* Loads a source: its function, or why it is none, on the stack. */
WFI int wfi_script_load_text(lua_State *L, wf_str source, wf_str name);

#endif
