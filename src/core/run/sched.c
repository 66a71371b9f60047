/* sched: see sched.h. */
#include "sched.h"
#include "budget.h"
#include "toolcalls.h"

#define SCHED_SHARED (WFI_QUEUES - 1) /* with so many tasks for effects one can be kept for each queue */
#define SCHED_LIVE_ORDER                                                                                               \
    (UINT64_C(1) << 62) /* undelivered answers come after all that were delivered, by place in the log */

void wfi_sched_carve(wfi_sched *s, wfi_arena *a, const wf_config *config) {
    uint32_t n = config->lanes + config->effects;
    wfi_slots_carve(&s->slots, a, config->max_calls);
    s->tasks = wfi_arena_take(a, n, sizeof *s->tasks);
    s->free_tasks = wfi_arena_take(a, n, sizeof *s->free_tasks);
    s->active = wfi_arena_take(a, n, sizeof *s->active);
    s->is_active = wfi_arena_take(a, n, sizeof *s->is_active);
    s->ready_tickets = wfi_arena_take(a, n, sizeof *s->ready_tickets);
    wfi_heapq_carve(&s->due, a, n);
    wfi_heapq_carve(&s->ready, a, config->max_calls);
    s->lanes = s->free_lanes = config->lanes;
    s->free_effects = config->effects;
    s->task_count = n;
    s->sealing.first = s->stopped.first = WFI_NO_SLOT;
    for (uint32_t i = 0; i < WFI_QUEUES; i++)
        s->queued[i].first = WFI_NO_SLOT;
    if (a->full || !a->base) return;
    for (uint32_t i = 0; i < n; i++) {
        s->tasks[i].lane = i;
        /* stacks grow upward, so the lowest number is on top */
        s->free_tasks[i] = i < s->lanes ? s->lanes - 1 - i : n - 1 - (i - s->lanes);
    }
}

/* ---- lists of slots ---- */

static void sched_append(wfi_sched *s, wfi_list *list, uint32_t slot) {
    s->slots.slots[slot].next = WFI_NO_SLOT;
    if (list->first == WFI_NO_SLOT)
        list->first = slot;
    else
        s->slots.slots[list->last].next = slot;
    list->last = slot;
}

static uint32_t sched_pop(wfi_sched *s, wfi_list *list) {
    uint32_t slot = list->first;
    list->first = s->slots.slots[slot].next;
    return slot;
}

/* The script has come to ask for this slot. */
static void sched_claim(wfi_sched *s, wfi_slot *r) {
    s->unasked -= wfi_slot_unasked(r);
    s->waiting++;
    s->agents += !r->effect;
}

void wfi_sched_queue(wfi_sched *s, uint32_t slot, wfi_queue queue) {
    wfi_slot *r = &s->slots.slots[slot];
    sched_claim(s, r);
    r->finished = false;
    r->state = WFI_CALL_QUEUED;
    r->queue = queue & (WFI_QUEUES - 1);
    sched_append(s, &s->queued[queue], slot);
}

static void sched_make_ready(wfi_sched *s, uint32_t slot) {
    wfi_slot *r = &s->slots.slots[slot];
    r->state = WFI_CALL_READY;
    if (!r->delivered) r->order = SCHED_LIVE_ORDER + r->done_at;
    wfi_heapq_set(&s->ready, slot, r->order);
    s->hits_ready += r->hit;
}

void wfi_sched_hit(wfi_sched *s, uint32_t slot) {
    wfi_slot *r = &s->slots.slots[slot];
    sched_claim(s, r);
    r->hit = true;
    sched_make_ready(s, slot);
}

uint32_t wfi_sched_next(const wfi_sched *s) {
    uint32_t slot;
    return wfi_heapq_first(&s->ready, &slot, NULL) ? slot : WFI_NO_SLOT;
}

uint32_t wfi_sched_take(wfi_sched *s) {
    uint32_t slot = wfi_sched_next(s);
    if (slot == WFI_NO_SLOT) return slot;
    wfi_slot *r = &s->slots.slots[slot];
    wfi_heapq_remove(&s->ready, slot);
    r->state = WFI_CALL_DELIVERED;
    r->generation++;
    s->hits_ready -= r->hit;
    s->replays = r->hit;
    s->waiting--;
    return slot;
}

uint32_t wfi_sched_take_stopped(const wfi_runtime *rt, wfi_sched *s) {
    wfi_list *const lists[] = {&s->stopped, &s->queued[WFI_QUEUE_CHANGES], &s->queued[WFI_QUEUE_OTHERS],
                               &s->queued[WFI_QUEUE_AGENTS]};
    if (rt->stop == WF_RUN_OPEN) return WFI_NO_SLOT;
    for (size_t i = 0; i < WFI_COUNT(lists);) {
        if (lists[i]->first == WFI_NO_SLOT) {
            i++;
            continue;
        }
        uint32_t slot = sched_pop(s, lists[i]);
        wfi_slot *r = &s->slots.slots[slot];
        if (r->state != WFI_CALL_QUEUED) continue; /* cancelled meanwhile */
        r->state = WFI_CALL_GONE;
        r->generation++;
        s->waiting--;
        return slot;
    }
    return WFI_NO_SLOT;
}

/* ---- tasks ---- */

static void sched_activate(wfi_sched *s, uint32_t task) {
    if (task >= s->task_count || s->is_active[task] || s->tasks[task].state == WFI_TASK_FREE) return;
    s->is_active[task] = 1;
    s->active[(s->active_at + s->active_count++) % s->task_count] = task;
}

/* A slot whose task ended unfinished: the script is yet to be told. */
static void sched_stop_slot(wfi_sched *s, uint32_t slot) {
    s->slots.slots[slot].state = WFI_CALL_QUEUED;
    sched_append(s, &s->stopped, slot);
}

static void sched_free_task(wfi_sched *s, uint32_t task) {
    wfi_heapq_remove(&s->due, task);
    if (task < s->lanes) {
        s->free_tasks[s->free_lanes++] = task;
        return;
    }
    s->free_tasks[s->lanes + s->free_effects++] = task;
    s->running[s->slots.slots[s->tasks[task].slot_index].queue]--;
}

/* Acts on what a step of a task said. */
static wf_status sched_after(const wfi_runtime *rt, wfi_sched *s, uint32_t task, wfi_pace pace) {
    const wfi_task *t = &s->tasks[task];
    switch (pace) {
    case WFI_PACE_MORE:
        sched_activate(s, task);
        return WF_OK;
    case WFI_PACE_DURABLE:
    case WFI_PACE_BUDGET:
        s->blocked++;
        wfi_heapq_set(&s->due, task, wfi_task_due(t));
        return WF_OK;
    case WFI_PACE_WAIT:
        wfi_heapq_set(&s->due, task, wfi_task_due(t));
        return WF_OK;
    case WFI_PACE_DONE:
        sched_append(s, &s->sealing, t->slot_index);
        sched_free_task(s, task);
        return WF_OK;
    case WFI_PACE_STOPPED:
        sched_stop_slot(s, t->slot_index);
        sched_free_task(s, task);
        return WF_OK;
    case WFI_PACE_BROKEN:
        break;
    }
    return rt->log.error.code != WF_OK ? rt->log.error.code : WF_E_INTERNAL;
}

/* Ends the tasks where they are; `reads`: but for those that only read. */
static void sched_drop(wfi_runtime *rt, wfi_sched *s, bool reads) {
    for (uint32_t i = 0; i < s->task_count; i++) {
        if (s->tasks[i].state == WFI_TASK_FREE || (reads && s->tasks[i].slot->queue == WFI_QUEUE_READS)) continue;
        wfi_task_drop(rt, &s->tasks[i]);
        sched_stop_slot(s, s->tasks[i].slot_index);
        sched_free_task(s, i);
    }
}

void wfi_sched_drop_all(wfi_runtime *rt, wfi_sched *s) {
    sched_drop(rt, s, false);
}

wf_status wfi_sched_cancel(wfi_runtime *rt, wfi_sched *s, uint32_t slot) {
    wfi_slot *r = &s->slots.slots[slot];
    wfi_meta_done done = {.kind = WF_KIND_CANCELLED};
    bool again = r->state == WFI_CALL_QUEUED && r->kind == WF_KIND_CANCELLED; /* as the log says already */
    bool unfinished = !r->finished && !again;
    r->finished |= again;
    if (r->state == WFI_CALL_READY) {
        wfi_heapq_remove(&s->ready, slot);
        s->hits_ready -= r->hit;
    }
    for (uint32_t i = 0; r->state == WFI_CALL_RUNNING && i < s->task_count; i++) {
        wfi_task *t = &s->tasks[i];
        if (t->state == WFI_TASK_FREE || t->slot != r) continue;
        done.attempts = t->attempts;
        done.turns = t->turns;
        done.ms = rt->now - t->started;
        done.usage = t->usage;
        wfi_task_drop(rt, t);
        sched_free_task(s, i);
        break;
    }
    /* a SEALING slot stays on its list and is passed over there, as a QUEUED one is */
    wf_status status = WF_OK;
    if (unfinished && rt->stop == WF_RUN_OPEN)
        status = wfi_slot_finish(rt, r, slot, &done, WF_STR("cancelled by the script"));
    r->state = WFI_CALL_GONE;
    r->generation++;
    s->waiting--;
    return status;
}

/* ---- dispatch ---- */

/* ---- an edited script: what the log has of a call whose place has moved ---- */

static bool sched_moves(const wfi_runtime *rt, const wfi_slot *r) {
    if (r->kind == WF_KIND_NONE) return true;
    bool begun = r->kind == WF_KIND_INTERRUPTED || (r->kind == WF_KIND_TOOL && r->intent_at != 0);
    return begun && (rt->config.retry_kinds >> r->kind & 1) == 0;
}

/* A finished call that no place has asked for, with the same content; of several the oldest. A failure is asked anew, but an
 * effect that was begun is not done again. */
static uint32_t sched_same_answer(const wfi_runtime *rt, const wfi_sched *s, const wfi_slot *want) {
    uint32_t found = WFI_NO_SLOT;
    for (uint32_t i = wfi_slots_first_like(&s->slots, want); i != WFI_NO_SLOT; i = wfi_slots_next_like(&s->slots, i)) {
        const wfi_slot *r = &s->slots.slots[i];
        if (wfi_slot_unasked(r) && r->effect == want->effect && sched_moves(rt, r)) found = i;
    }
    return found;
}

/* One that did not come to an end: its conversation is paid for, and its effect may have been done. */
static uint32_t sched_same_open(const wfi_sched *s, const wfi_slot *want) {
    uint32_t found = WFI_NO_SLOT;
    for (uint32_t i = wfi_slots_first_like(&s->slots, want); i != WFI_NO_SLOT; i = wfi_slots_next_like(&s->slots, i)) {
        const wfi_slot *r = &s->slots.slots[i];
        bool begun = (r->turns > 0 || r->intent_at != 0) && r->state == WFI_CALL_LOGGED;
        if (begun && wfi_slot_goes_on(r) && !r->moved && !r->replaced && r->effect == want->effect) found = i;
    }
    return found;
}

/* Lets the slot take over what the log has of another place. */
static wf_status sched_move(wfi_runtime *rt, wfi_sched *s, uint32_t to, uint32_t from) {
    wfi_slot *r = &s->slots.slots[to], *old = &s->slots.slots[from];
    wfi_meta_moved meta = {.from = from + 1};
    wf_status status = wfi_runtime_record(rt, WFI_REC_MOVED, to + 1, &meta, wf_str_of("", 0), NULL, NULL);
    if (status != WF_OK) return status;
    s->unasked -= wfi_slot_unasked(old);
    wfi_slots_move(old, r);
    if (!r->finished) return WF_OK; /* it waits for a lane as before */
    r->hit = true;
    sched_make_ready(s, to);
    wf_trace event = {.type = WF_TRACE_HIT, .id = to + 1, .effect = r->effect, .kind = (wf_kind)r->kind};
    wfi_runtime_trace(rt, &event);
    return WF_OK;
}

/* Looks for the call at the list's head elsewhere in the log. *held: it may be found, but a branch may yet ask for it at its
 * own place. */
static wf_status sched_find(wfi_runtime *rt, wfi_sched *s, wfi_list *list, bool *found, bool *held) {
    wfi_slot *r = &s->slots.slots[list->first];
    *found = *held = false;
    if (!s->by_content || r->intent_at != 0) return WF_OK;
    uint32_t from = sched_same_answer(rt, s, r);
    if (from != WFI_NO_SLOT) {
        *found = true;
        return sched_move(rt, s, sched_pop(s, list), from);
    }
    if (r->turns > 0 || r->started) return WF_OK;
    from = sched_same_open(s, r);
    *held = from != WFI_NO_SLOT && !s->settled;
    return from == WFI_NO_SLOT || *held ? WF_OK : sched_move(rt, s, list->first, from);
}

static wf_status sched_start(wfi_runtime *rt, wfi_sched *s, uint32_t slot) {
    wfi_slot *r = &s->slots.slots[slot];
    uint32_t task = r->effect ? s->free_tasks[s->lanes + --s->free_effects] : s->free_tasks[--s->free_lanes];
    s->running[r->queue] += r->effect;
    return sched_after(rt, s, task, wfi_task_start(rt, &s->tasks[task], &s->slots, slot));
}

/* Whether there is a task for the next call of a queue: invariant 4. */
static bool sched_has_room(const wfi_sched *s, wfi_queue queue) {
    uint32_t kept = 0;
    if (queue == WFI_QUEUE_AGENTS) return s->free_lanes > 0;
    for (uint32_t i = WFI_QUEUE_CHANGES; i < WFI_QUEUES && s->task_count - s->lanes >= SCHED_SHARED; i++)
        kept += i != queue && s->running[i] == 0;
    return s->free_effects > kept;
}

static wf_status sched_dispatch(wfi_runtime *rt, wfi_sched *s, wfi_queue queue, uint32_t *work) {
    wfi_list *list = &s->queued[queue];
    while (list->first != WFI_NO_SLOT && *work > 0) {
        wf_status status;
        if (s->slots.slots[list->first].state != WFI_CALL_QUEUED) { /* cancelled meanwhile */
            sched_pop(s, list);
            continue;
        }
        bool found, held;
        status = sched_find(rt, s, list, &found, &held);
        if (status == WF_OK && !found && !held && sched_has_room(s, queue))
            status = sched_start(rt, s, sched_pop(s, list));
        else if (!found)
            return status;
        if (status != WF_OK) return status;
        (*work)--;
        if (s->hits_ready > 0) break; /* invariant 2 */
    }
    return WF_OK;
}

/* While the run stops. */
static wf_status sched_dispatch_reads(wfi_runtime *rt, wfi_sched *s) {
    wfi_list *list = &s->queued[WFI_QUEUE_READS];
    while (list->first != WFI_NO_SLOT && sched_has_room(s, WFI_QUEUE_READS)) {
        uint32_t slot = sched_pop(s, list);
        wf_status status = s->slots.slots[slot].state == WFI_CALL_QUEUED ? sched_start(rt, s, slot) : WF_OK;
        if (status != WF_OK) return status;
    }
    return WF_OK;
}

/* Invariant 2. */
static bool sched_is_live(const wfi_sched *s) {
    return s->hits_ready == 0 && (s->settled || (s->unasked == 0 && !s->replays));
}

static bool sched_may_send(const wfi_runtime *rt, const wfi_sched *s) {
    return rt->stop == WF_RUN_OPEN && sched_is_live(s);
}

/* ---- the turn ---- */

static void sched_wake(const wfi_runtime *rt, wfi_sched *s) {
    uint32_t id;
    uint64_t at;
    for (uint32_t p = 0; p < rt->config.provider_count; p++) {
        const wf_provider *provider = &rt->config.providers[p];
        uint32_t n = provider->ops->ready(provider->ctx, s->ready_tickets, s->task_count);
        for (uint32_t i = 0; i < n; i++)
            sched_activate(s, s->ready_tickets[i]);
    }
    if (rt->os->tool_ops) {
        uint32_t n = rt->os->tool_ops->ready(rt->os->tool_ctx, s->ready_tickets, s->task_count);
        for (uint32_t i = 0; i < n; i++)
            sched_activate(s, wfi_toolcalls_task(rt, s->ready_tickets[i]));
    }
    while (wfi_heapq_first(&s->due, &id, &at) && at <= rt->now) {
        wfi_heapq_remove(&s->due, id);
        sched_activate(s, id);
    }
}

/* Tasks that wait for the log or for budget look again when something may have changed for them. */
static void sched_wake_blocked(const wfi_runtime *rt, wfi_sched *s) {
    if (s->blocked == 0 || (s->blocked_settles == rt->settles && s->blocked_synced == rt->log.synced)) return;
    s->blocked = 0;
    s->blocked_synced = rt->log.synced;
    s->blocked_settles = rt->settles;
    for (uint32_t i = 0; i < s->task_count; i++)
        if (s->tasks[i].state == WFI_TASK_RESERVE || s->tasks[i].state == WFI_TASK_INTENT) sched_activate(s, i);
}

/* A run that stops sends nothing again: what waits to do so need not wait its time. */
static void sched_wake_backoffs(const wfi_runtime *rt, wfi_sched *s) {
    for (uint32_t i = 0; rt->stop != WF_RUN_OPEN && i < s->task_count; i++)
        if (s->tasks[i].state == WFI_TASK_BACKOFF || s->tasks[i].state == WFI_TASK_LIMIT) sched_activate(s, i);
}

/* The first in the line of each provider that may be asked now: one at a time, as each one that
 * goes may close it for the next. */
static void sched_wake_limited(const wfi_runtime *rt, wfi_sched *s) {
    for (uint32_t p = 0; p < rt->config.provider_count; p++) {
        uint32_t first = s->lanes;
        if (rt->limiters[p].waiting == 0 || wfi_limiter_due(&rt->limiters[p], rt->now) > rt->now) continue;
        for (uint32_t i = 0; i < s->lanes; i++) {
            const wfi_task *t = &s->tasks[i];
            if (t->state != WFI_TASK_LIMIT || t->limiter != &rt->limiters[p]) continue;
            if (first == s->lanes || t->place < s->tasks[first].place) first = i;
        }
        sched_activate(s, first);
    }
}

static uint64_t sched_limiters_due(const wfi_runtime *rt) {
    uint64_t due = UINT64_MAX, at;
    for (uint32_t p = 0; p < rt->config.provider_count; p++)
        if (rt->limiters[p].waiting > 0 && (at = wfi_limiter_due(&rt->limiters[p], rt->now)) < due) due = at;
    return due;
}

static wf_status sched_run(wfi_runtime *rt, wfi_sched *s, uint32_t *work) {
    while (s->active_count > 0 && *work > 0) {
        uint32_t task = s->active[s->active_at];
        s->active_at = (s->active_at + 1) % s->task_count;
        s->active_count--;
        s->is_active[task] = 0;
        if (s->tasks[task].state == WFI_TASK_FREE) continue; /* cancelled meanwhile */
        (*work)--;
        wf_status status = sched_after(rt, s, task, wfi_task_step(rt, &s->tasks[task]));
        if (status != WF_OK) return status;
    }
    return WF_OK;
}

static void sched_unseal(const wfi_runtime *rt, wfi_sched *s) {
    while (s->sealing.first != WFI_NO_SLOT) {
        wfi_slot *r = &s->slots.slots[s->sealing.first];
        if (r->state == WFI_CALL_SEALING && !wfi_log_durable(&rt->log, r->done_end)) return;
        uint32_t slot = sched_pop(s, &s->sealing);
        if (r->state == WFI_CALL_SEALING) sched_make_ready(s, slot);
    }
}

/* Whether somebody waits to be told that the run stops. */
static bool sched_refuses(const wfi_sched *s) {
    bool refuses = s->stopped.first != WFI_NO_SLOT;
    for (uint32_t i = 0; i < WFI_QUEUES; i++)
        refuses |= i != WFI_QUEUE_READS && s->queued[i].first != WFI_NO_SLOT;
    return refuses;
}

static uint32_t sched_wait(const wfi_runtime *rt, const wfi_sched *s) {
    uint64_t due = UINT64_MAX, at;
    uint32_t id;
    bool stopped = rt->stop != WF_RUN_OPEN && sched_refuses(s);
    bool room = false;
    for (uint32_t i = 0; i < WFI_QUEUES; i++)
        room |= s->queued[i].first != WFI_NO_SLOT && sched_has_room(s, i);
    if (s->active_count > 0 || s->ready.count > 0 || stopped || (room && sched_may_send(rt, s))) return 0;
    if (wfi_heapq_first(&s->due, &id, &at)) due = at;
    for (uint32_t p = 0; p < rt->config.provider_count; p++) {
        at = rt->config.providers[p].ops->due(rt->config.providers[p].ctx);
        if (at < due) due = at;
    }
    if (rt->os->tool_ops && (at = rt->os->tool_ops->due(rt->os->tool_ctx)) < due) due = at;
    if (rt->stop == WF_RUN_OPEN && rt->due < due) due = rt->due;
    if ((at = sched_limiters_due(rt)) < due) due = at;
    if (due == UINT64_MAX) return UINT32_MAX;
    if (due <= rt->now) return 0;
    return due - rt->now < UINT32_MAX ? (uint32_t)(due - rt->now) : UINT32_MAX - 1;
}

/* Whether a sync that is asked for waits, for other lanes to put something of theirs into it: no more than one begins in a
 * millisecond, unless nobody is left who could bring something. */
static bool sched_gathers(const wfi_runtime *rt, wfi_sched *s) {
    bool asked = rt->log.wanted > rt->log.synced && !rt->log.syncing;
    if (asked && rt->exchanges > 0 && s->sync_began == rt->now && rt->config.sync != WF_SYNC_ALWAYS) return true;
    if (asked) s->sync_began = rt->now;
    return false;
}

/* Leaves a log that a killed process would want to find: what was paid for at once, all else when there is nothing to do. */
static wf_status sched_leave(wfi_runtime *rt, const wfi_sched *s, bool rests) {
    wf_status status = rests && s->sealing.first == WFI_NO_SLOT ? wfi_budget_rest(rt) : WF_OK;
    bool flush = rests || rt->log.wanted > rt->log.flushed;
    return status == WF_OK && flush ? wfi_log_flush(&rt->log) : status;
}

wf_status wfi_sched_step(wfi_runtime *rt, wfi_sched *s, uint32_t max_work, uint32_t *wait_ms) {
    uint32_t work = max_work ? max_work : 1;
    wf_status status = WF_OK;
    rt->now = rt->os->now_ms(rt->os->ctx);
    *wait_ms = 0;
    if (rt->now >= rt->due)
        wfi_runtime_stop(rt, WF_RUN_DEADLINE, WF_STR("the run's deadline passed; resume with a later --deadline"));
    if (rt->stop == WF_RUN_CANCELLED || rt->stop == WF_RUN_DEADLINE) sched_drop(rt, s, true);
    sched_wake(rt, s);
    sched_wake_limited(rt, s);
    if (rt->stop != WF_RUN_OPEN && sched_is_live(s)) status = sched_dispatch_reads(rt, s);
    for (uint32_t i = WFI_QUEUES; i > 0 && status == WF_OK && sched_may_send(rt, s); i--)
        status = sched_dispatch(rt, s, i - 1, &work); /* effects first: agents may wait for them */
    if (status == WF_OK) status = sched_run(rt, s, &work);
    if (status != WF_OK) return status;
    sched_wake_backoffs(rt, s);
    bool gathers = sched_gathers(rt, s);
    status = gathers ? WF_OK : wfi_log_pump(&rt->log);
    if (status < 0) return status;
    sched_unseal(rt, s);
    sched_wake_blocked(rt, s);
    *wait_ms = sched_wait(rt, s);
    if (gathers && *wait_ms > 1) *wait_ms = 1;
    return sched_leave(rt, s, *wait_ms > 0);
}
