/* limiter: a provider's rate limit as all lanes see it together: when the next request may begin.
 * One for each provider. A server tells its limit by refusals alone (429, 529), so the limiter learns
 * it as congestion control in TCP learns a path's:
 *
 *   open     no limit is known. Few requests begin at once, then more and more, so that few meet a
 *            limit (slow start).
 *   closed   one was refused: nobody begins before the time that it asked for and a little longer,
 *            by chance; where it asked for none, before that of the curve of retry.h.
 *   probing  then one goes first; if it is refused, that closes again. One of which nothing is heard
 *            for some seconds lets another go.
 *   paced    requests begin one by one at a rate that grows while somebody waits and none is
 *            refused: in proportion while it is not known to be too fast, slowly up to where the last
 *            refusal came, in proportion beyond, until it is no limit any more. A refusal cuts it to
 *            two thirds, or to half if hardly a request had been accepted. Where it asked for no wait,
 *            the rate comes back in proportion: it may have been chance.
 *
 * A single refusal that asks for no wait, after some that were accepted, is taken for chance: an
 * overloaded server refuses some. It closes nothing.
 *
 * Invariants:
 *   1. While closed nothing begins. From then until one is accepted no other begins within PROBE_MS,
 *      but in the place of one that was lost.
 *   2. A refusal closes once for all requests that began before it: theirs only prolong the wait.
 *   3. `pending` is the number of requests that began and were not yet accepted, refused or lost.
 *   4. The rate is never lower than one request in 2 s, or in the wait that was asked for last, if
 *      that is longer.
 *
 * Times are ms of the monotonic clock. Pure functions over the struct; integers only. */
#ifndef WFI_LIMITER_H
#define WFI_LIMITER_H

#include "../base/base.h"

typedef struct wfi_limiter {
    uint64_t until;   /* nothing begins before; while probing, no second probe */
    uint64_t next;    /* us: nor, when paced, before this */
    uint64_t began;   /* the burst of requests under way, when open */
    uint64_t last;    /* ... and the last request */
    uint64_t since;   /* since when none was accepted, but refused; UINT64_MAX: one was */
    uint64_t tickets; /* places in the line that were given out */
    uint64_t served;  /* requests accepted */
    uint32_t waiting; /* tasks in the line; they are served by their places */
    uint32_t pending;
    uint32_t window;   /* when open: how many may be pending, and more with the time since `began` */
    uint32_t rate;     /* requests in 1000 s; 0: no limit is known */
    uint32_t ceiling;  /* the rate at which one was refused last; 0: not known */
    uint32_t round;    /* how often it has closed */
    uint32_t accepted; /* in this round */
    uint32_t barren;   /* rounds in a row without one */
    uint32_t run;      /* accepted in a row */
    bool told;         /* the last refusal asked for a wait */
    bool probing;      /* closed, or nothing was accepted since */
} wfi_limiter;

WFI void wfi_limiter_init(wfi_limiter *l);
/* When the next request may begin; now: at once. */
WFI uint64_t wfi_limiter_due(const wfi_limiter *l, uint64_t now);
/* A request begins, which due allowed. Answers its round, for the three below, one of which
 * follows. */
WFI uint32_t wfi_limiter_begin(wfi_limiter *l, uint64_t now);
/* It is being answered. */
WFI void wfi_limiter_accept(wfi_limiter *l, uint64_t now, uint32_t round);
/* Whether a refusal is taken for chance. It has to end as lost, then. */
WFI bool wfi_limiter_excuse(wfi_limiter *l, int64_t wait_ms);
/* It was refused for the limit. wait_ms: how long it asks to wait, <= 0: not said; random: 0 ..
 * 2^32-1. Whether this has closed the limiter anew. */
WFI bool wfi_limiter_refuse(wfi_limiter *l, uint64_t now, uint32_t round, int64_t wait_ms, uint32_t random);
/* It came to another end, which tells nothing of a limit. */
WFI void wfi_limiter_lose(wfi_limiter *l, uint32_t round);

#endif
