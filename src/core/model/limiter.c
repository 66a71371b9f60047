/* limiter: see limiter.h. */
#include "limiter.h"
#include "retry.h"

#define LIMITER_OPEN     4u       /* requests of a burst that begin at once; */
#define LIMITER_FEW      16u      /* up to so many */
#define LIMITER_FEW_MS   4u       /* ... one more so often; */
#define LIMITER_MANY     64u      /* up to so many */
#define LIMITER_MANY_MS  8u       /* ... so often, and beyond, for those who ask for hundreds, one in a ms; */
#define LIMITER_IDLE_MS  1000u    /* ... again after so long without any */
#define LIMITER_TRIED    32u      /* ... counted anew with each of the first so many accepted, */
#define LIMITER_FAST_MS  16u      /* ... if that was as soon as this: who answers fast needs few at once */
#define LIMITER_OPEN_MAX 2048u    /* more than there are lanes */
#define LIMITER_PROBE_MS 3000u    /* from one that is not answered to another */
#define LIMITER_FIRST    8000u    /* the rate that a limit is first tried with */
#define LIMITER_NONE     1000000u /* one that is no limit */
#define LIMITER_STEP     1500u    /* growth with each request that is accepted: at most so much; */
#define LIMITER_SLOW     12u      /* ... below the ceiling: a third of it in some 30 s, whatever the rate */
#define LIMITER_BACK     32u      /* ... if the refusal asked for no wait: by such a part of the rate */
#define LIMITER_RUN      8u       /* so many accepted in a row make a refusal chance */
#define LIMITER_GAP_MS   2000u    /* the longest from one request to the next, where no longer wait was asked for */
#define LIMITER_BARREN   2u       /* rounds in a row without a request accepted that are as asked */
#define LIMITER_EARLY_MS 5000u    /* refusals by chance end by themselves: so long waits do not grow */
#define LIMITER_SPREAD   30000u   /* at most, added to a wait that is asked for */

void wfi_limiter_init(wfi_limiter *l) {
    wfi_zero(l, sizeof *l);
    l->since = UINT64_MAX;
    l->window = LIMITER_OPEN;
}

static uint32_t limiter_least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static bool limiter_is_idle(const wfi_limiter *l, uint64_t now) {
    return l->pending == 0 && (l->last == 0 || now - l->last >= LIMITER_IDLE_MS);
}

/* How long after the beginning of a burst its n-th request beyond those that begin at once does. */
static uint64_t limiter_ramp(uint32_t n) {
    uint32_t few = limiter_least(n, LIMITER_FEW - LIMITER_OPEN), some = limiter_least(n, LIMITER_MANY - LIMITER_OPEN);
    return (uint64_t)LIMITER_FEW_MS * few + (uint64_t)LIMITER_MANY_MS * (some - few) + (n - some);
}

uint64_t wfi_limiter_due(const wfi_limiter *l, uint64_t now) {
    if (l->probing) return l->until > now ? l->until : now;
    if (l->rate > 0) return l->next > now * 1000 ? (l->next + 999) / 1000 : now;
    if (limiter_is_idle(l, now) || l->pending < l->window) return now;
    uint64_t due = l->began + limiter_ramp(l->pending - l->window + 1);
    return due > now ? due : now;
}

/* The us between two requests. */
static uint64_t limiter_gap(const wfi_limiter *l) {
    return UINT64_C(1000000000) / l->rate;
}

uint32_t wfi_limiter_begin(wfi_limiter *l, uint64_t now) {
    if (limiter_is_idle(l, now)) {
        l->began = now;
        l->window = LIMITER_OPEN;
    }
    l->last = now;
    l->pending++;
    if (l->probing) {
        l->until = now + LIMITER_PROBE_MS;
    } else if (l->rate > 0) { /* what the clock rounds is made up for, a delay is not */
        bool late = l->next + 1000 < now * 1000;
        l->next = (late ? now * 1000 : l->next) + limiter_gap(l);
    }
    return l->round;
}

static void limiter_grow(wfi_limiter *l) {
    if (l->rate < l->ceiling)
        l->rate += l->told ? LIMITER_SLOW : l->rate / LIMITER_BACK + 1;
    else
        l->rate += limiter_least(l->rate / (l->ceiling > 0 ? 16 : 8), LIMITER_STEP);
    if (l->rate < LIMITER_NONE) return;
    l->rate = l->ceiling = 0;
    l->window = LIMITER_OPEN_MAX;
}

void wfi_limiter_accept(wfi_limiter *l, uint64_t now, uint32_t round) {
    l->pending--;
    l->served++;
    l->run++;
    l->since = UINT64_MAX;
    if (round != l->round) return; /* it began before the refusal */
    l->accepted++;
    l->barren = 0;
    if (l->probing) {
        l->probing = false;
        l->next = now * 1000 + limiter_gap(l);
    } else if (l->rate == 0) {
        if (l->window < LIMITER_OPEN_MAX) l->window += l->accepted % (2 * LIMITER_OPEN) == 0;
        if (l->accepted < LIMITER_TRIED && now - l->began < LIMITER_FAST_MS) l->began = now;
    } else if (l->waiting > 0) {
        limiter_grow(l);
    }
}

/* The rate after a refusal in this round. */
static uint32_t limiter_cut(wfi_limiter *l, int64_t wait_ms) {
    uint32_t rate = l->rate;
    if (rate == 0) { /* one request in each such wait is what the server itself has in mind, at least */
        uint32_t asked = wait_ms > 0 ? (uint32_t)(LIMITER_NONE / (uint64_t)wait_ms) : 0;
        return asked > LIMITER_FIRST ? asked : LIMITER_FIRST;
    }
    if (!l->probing) {
        l->ceiling = rate;
        rate = l->accepted > 2 ? rate / 3 * 2 : rate / 2;
    }
    uint64_t gap = wait_ms > LIMITER_GAP_MS ? (uint64_t)wait_ms : LIMITER_GAP_MS;
    uint32_t least = (uint32_t)(LIMITER_NONE / gap) + 1;
    return rate > least ? rate : least;
}

/* How long nothing begins: as asked, and a little longer, lest all processes with this key come
 * back together; or by the curve, also where what is asked for has proved too little several times
 * in a row. */
static uint64_t limiter_wait(const wfi_limiter *l, int64_t wait_ms, uint32_t random) {
    if (wait_ms <= 0) return wfi_retry_wait(l->barren, -1, random);
    uint64_t wait = (uint64_t)wait_ms, part = wait / 8 < LIMITER_SPREAD ? wait / 8 : LIMITER_SPREAD;
    uint64_t least = l->barren < LIMITER_BARREN ? 0 : wfi_retry_wait(l->barren - LIMITER_BARREN, -1, random);
    wait += part * random >> 32;
    return wait > least ? wait : least;
}

bool wfi_limiter_excuse(wfi_limiter *l, int64_t wait_ms) {
    bool chance = wait_ms <= 0 && l->run >= LIMITER_RUN;
    if (chance) l->run = 0;
    return chance;
}

bool wfi_limiter_refuse(wfi_limiter *l, uint64_t now, uint32_t round, int64_t wait_ms, uint32_t random) {
    uint64_t wait = limiter_wait(l, wait_ms, random);
    l->pending--;
    if (l->since == UINT64_MAX) l->since = now;
    if (round != l->round) {
        if (l->probing && now + wait > l->until) l->until = now + wait;
        return false;
    }
    l->rate = limiter_cut(l, wait_ms);
    l->told = wait_ms > 0;
    l->run = 0;
    l->barren += l->probing && (wait_ms > 0 || now - l->since >= LIMITER_EARLY_MS);
    l->accepted = 0;
    l->probing = true;
    l->until = now + wait;
    l->round++;
    return true;
}

void wfi_limiter_lose(wfi_limiter *l, uint32_t round) {
    l->pending--;
    if (l->probing && round == l->round) l->until = 0; /* it was the probe: another one may go */
}
