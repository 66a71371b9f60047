/* sched: see sched.h. */
#include "sched.h"
#include "budget.h"
#include "toolcalls.h"

#define SCHED_LIVE_ORDER                                                                                               \
    (UINT64_C(1) << 62) /* undelivered answers come after all that were delivered, by place in the log */

void wfi_sched_carve(wfi_sched *s, wfi_arena *a, const wf_config *config) {
    uint32_t n = config->lanes + config->effects;
    wfi_table_carve(&s->table, a, config->max_calls);
    s->tasks = wfi_arena_take(a, n, sizeof *s->tasks);
    s->free_tasks = wfi_arena_take(a, n, sizeof *s->free_tasks);
    s->active = wfi_arena_take(a, n, sizeof *s->active);
    s->is_active = wfi_arena_take(a, n, sizeof *s->is_active);
    s->ready_tickets = wfi_arena_take(a, n, sizeof *s->ready_tickets);
    wfi_queue_carve(&s->due, a, n);
    wfi_queue_carve(&s->ready, a, config->max_calls);
    s->lanes = s->free_lanes = config->lanes;
    s->free_effects = config->effects;
    s->task_count = n;
    s->queued_agents.first = s->queued_effects.first = s->sealing.first = s->stopped.first = WFI_NO_ROW;
    if (a->full || !a->base) return;
    for (uint32_t i = 0; i < n; i++) {
        s->tasks[i].lane = i;
        /* stacks grow upward, so the lowest number is on top */
        s->free_tasks[i] = i < s->lanes ? s->lanes - 1 - i : n - 1 - (i - s->lanes);
    }
}

/* ---- lists of rows ---- */

static void sched_append(wfi_sched *s, wfi_list *list, uint32_t row) {
    s->table.rows[row].next = WFI_NO_ROW;
    if (list->first == WFI_NO_ROW)
        list->first = row;
    else
        s->table.rows[list->last].next = row;
    list->last = row;
}

static uint32_t sched_pop(wfi_sched *s, wfi_list *list) {
    uint32_t row = list->first;
    list->first = s->table.rows[row].next;
    return row;
}

/* The script has come to ask for this row. */
static void sched_claim(wfi_sched *s, wfi_row *r) {
    s->unasked -= wfi_row_unasked(r);
    s->waiting++;
    s->agents += !r->effect;
}

void wfi_sched_queue(wfi_sched *s, uint32_t row) {
    wfi_row *r = &s->table.rows[row];
    sched_claim(s, r);
    r->finished = false;
    r->state = WFI_CALL_QUEUED;
    sched_append(s, r->effect ? &s->queued_effects : &s->queued_agents, row);
}

static void sched_make_ready(wfi_sched *s, uint32_t row) {
    wfi_row *r = &s->table.rows[row];
    r->state = WFI_CALL_READY;
    if (!r->delivered) r->order = SCHED_LIVE_ORDER + r->done_at;
    wfi_queue_set(&s->ready, row, r->order);
    s->hits_ready += r->hit;
}

void wfi_sched_hit(wfi_sched *s, uint32_t row) {
    wfi_row *r = &s->table.rows[row];
    sched_claim(s, r);
    r->hit = true;
    sched_make_ready(s, row);
}

uint32_t wfi_sched_next(const wfi_sched *s) {
    uint32_t row;
    return wfi_queue_first(&s->ready, &row, NULL) ? row : WFI_NO_ROW;
}

uint32_t wfi_sched_take(wfi_sched *s) {
    uint32_t row = wfi_sched_next(s);
    if (row == WFI_NO_ROW) return row;
    wfi_row *r = &s->table.rows[row];
    wfi_queue_remove(&s->ready, row);
    r->state = WFI_CALL_DELIVERED;
    r->generation++;
    s->hits_ready -= r->hit;
    s->waiting--;
    return row;
}

uint32_t wfi_sched_take_stopped(const wfi_env *e, wfi_sched *s) {
    wfi_list *const lists[] = {&s->stopped, &s->queued_effects, &s->queued_agents};
    if (e->stop == WF_RUN_OPEN) return WFI_NO_ROW;
    for (size_t i = 0; i < WFI_COUNT(lists);) {
        if (lists[i]->first == WFI_NO_ROW) {
            i++;
            continue;
        }
        uint32_t row = sched_pop(s, lists[i]);
        wfi_row *r = &s->table.rows[row];
        if (r->state != WFI_CALL_QUEUED) continue; /* cancelled meanwhile */
        r->state = WFI_CALL_GONE;
        r->generation++;
        s->waiting--;
        return row;
    }
    return WFI_NO_ROW;
}

/* ---- tasks ---- */

static void sched_activate(wfi_sched *s, uint32_t task) {
    if (task >= s->task_count || s->is_active[task] || s->tasks[task].state == WFI_TASK_FREE) return;
    s->is_active[task] = 1;
    s->active[(s->active_at + s->active_count++) % s->task_count] = task;
}

/* A row whose task ended unfinished: the script is yet to be told. */
static void sched_stop_row(wfi_sched *s, uint32_t row) {
    s->table.rows[row].state = WFI_CALL_QUEUED;
    sched_append(s, &s->stopped, row);
}

static void sched_free_task(wfi_sched *s, uint32_t task) {
    wfi_queue_remove(&s->due, task);
    if (task < s->lanes)
        s->free_tasks[s->free_lanes++] = task;
    else
        s->free_tasks[s->lanes + s->free_effects++] = task;
}

/* Acts on what a step of a task said. */
static wf_status sched_after(const wfi_env *e, wfi_sched *s, uint32_t task, wfi_pace pace) {
    const wfi_task *t = &s->tasks[task];
    switch (pace) {
    case WFI_PACE_MORE:
        sched_activate(s, task);
        return WF_OK;
    case WFI_PACE_DURABLE:
    case WFI_PACE_BUDGET:
        s->blocked++;
        wfi_queue_set(&s->due, task, wfi_task_due(t));
        return WF_OK;
    case WFI_PACE_WAIT:
        wfi_queue_set(&s->due, task, wfi_task_due(t));
        return WF_OK;
    case WFI_PACE_DONE:
        sched_append(s, &s->sealing, t->row_index);
        sched_free_task(s, task);
        return WF_OK;
    case WFI_PACE_STOPPED:
        sched_stop_row(s, t->row_index);
        sched_free_task(s, task);
        return WF_OK;
    case WFI_PACE_BROKEN:
        break;
    }
    return e->log.error.code != WF_OK ? e->log.error.code : WF_E_INTERNAL;
}

void wfi_sched_drop_all(wfi_env *e, wfi_sched *s) {
    for (uint32_t i = 0; i < s->task_count; i++) {
        if (s->tasks[i].state == WFI_TASK_FREE) continue;
        wfi_task_drop(e, &s->tasks[i]);
        sched_stop_row(s, s->tasks[i].row_index);
        sched_free_task(s, i);
    }
}

wf_status wfi_sched_cancel(wfi_env *e, wfi_sched *s, uint32_t row) {
    wfi_row *r = &s->table.rows[row];
    wfi_meta_done done = {.kind = WF_KIND_CANCELLED};
    bool unfinished = !r->finished;
    if (r->state == WFI_CALL_READY) {
        wfi_queue_remove(&s->ready, row);
        s->hits_ready -= r->hit;
    }
    for (uint32_t i = 0; r->state == WFI_CALL_RUNNING && i < s->task_count; i++) {
        wfi_task *t = &s->tasks[i];
        if (t->state == WFI_TASK_FREE || t->row != r) continue;
        done.attempts = t->attempts;
        done.turns = t->turns;
        done.ms = e->now - t->started;
        done.usage = t->usage;
        wfi_task_drop(e, t);
        sched_free_task(s, i);
        break;
    }
    /* a SEALING row stays on its list and is passed over there, as a QUEUED one is */
    wf_status status = WF_OK;
    if (unfinished && e->stop == WF_RUN_OPEN)
        status = wfi_row_finish(e, r, row, &done, WF_STR("cancelled by the script"));
    r->state = WFI_CALL_GONE;
    r->generation++;
    s->waiting--;
    return status;
}

/* ---- dispatch ---- */

/* An edited script: a finished call that no place has asked for, with the same content. */
static uint32_t sched_same_content(const wfi_sched *s, const wfi_row *want) {
    for (uint32_t i = 0; i < s->table.count; i++) {
        const wfi_row *r = &s->table.rows[i];
        if (wfi_row_unasked(r) && r->kind == WF_KIND_NONE && r->effect == want->effect &&
            wfi_compare(r->content, want->content, sizeof r->content) == 0)
            return i;
    }
    return WFI_NO_ROW;
}

/* Lets the row take over the answer of another place. */
static wf_status sched_move(wfi_env *e, wfi_sched *s, uint32_t to, uint32_t from) {
    wfi_row *r = &s->table.rows[to], *old = &s->table.rows[from];
    wfi_meta_moved meta = {.from = from + 1};
    wf_status status = wfi_env_record(e, WFI_REC_MOVED, to + 1, &meta, wf_str_of("", 0), NULL, NULL);
    if (status != WF_OK) return status;
    s->unasked -= wfi_row_unasked(old);
    old->moved = true;
    r->finished = r->hit = true;
    r->kind = old->kind;
    r->done_at = old->done_at;
    sched_make_ready(s, to);
    wf_trace event = {.type = WF_TRACE_HIT, .id = to + 1, .effect = r->effect, .kind = (wf_kind)r->kind};
    wfi_env_trace(e, &event);
    return WF_OK;
}

static wf_status sched_start(wfi_env *e, wfi_sched *s, uint32_t row) {
    wfi_row *r = &s->table.rows[row];
    uint32_t task = r->effect ? s->free_tasks[s->lanes + --s->free_effects] : s->free_tasks[--s->free_lanes];
    return sched_after(e, s, task, wfi_task_start(e, &s->tasks[task], r, row));
}

static wf_status sched_dispatch(wfi_env *e, wfi_sched *s, wfi_list *list, const uint32_t *room, uint32_t *work) {
    while (list->first != WFI_NO_ROW && *work > 0) {
        wfi_row *r = &s->table.rows[list->first];
        wf_status status = WF_OK;
        if (r->state != WFI_CALL_QUEUED) { /* cancelled meanwhile */
            sched_pop(s, list);
            continue;
        }
        bool fresh = r->turns == 0 && !r->started;
        uint32_t from = s->by_content && fresh ? sched_same_content(s, r) : WFI_NO_ROW;
        if (from != WFI_NO_ROW)
            status = sched_move(e, s, sched_pop(s, list), from);
        else if (*room > 0)
            status = sched_start(e, s, sched_pop(s, list));
        else
            break;
        if (status != WF_OK) return status;
        (*work)--;
        if (s->hits_ready > 0) break; /* invariant 2 */
    }
    return WF_OK;
}

static bool sched_may_send(const wfi_env *e, const wfi_sched *s) {
    return e->stop == WF_RUN_OPEN && s->hits_ready == 0 && (s->settled || s->unasked == 0);
}

/* ---- the turn ---- */

static void sched_wake(const wfi_env *e, wfi_sched *s) {
    uint32_t id;
    uint64_t at;
    for (uint32_t p = 0; p < e->config.provider_count; p++) {
        const wf_provider *provider = &e->config.providers[p];
        uint32_t n = provider->ops->ready(provider->ctx, s->ready_tickets, s->task_count);
        for (uint32_t i = 0; i < n; i++)
            sched_activate(s, s->ready_tickets[i]);
    }
    if (e->os->tool_ops) {
        uint32_t n = e->os->tool_ops->ready(e->os->tool_ctx, s->ready_tickets, s->task_count);
        for (uint32_t i = 0; i < n; i++)
            sched_activate(s, wfi_tooling_task(e, s->ready_tickets[i]));
    }
    while (wfi_queue_first(&s->due, &id, &at) && at <= e->now) {
        wfi_queue_remove(&s->due, id);
        sched_activate(s, id);
    }
}

/* Tasks that wait for the log or for budget look again when something may have changed for them. */
static void sched_wake_blocked(const wfi_env *e, wfi_sched *s) {
    if (s->blocked == 0 || (s->blocked_settles == e->settles && s->blocked_synced == e->log.synced)) return;
    s->blocked = 0;
    s->blocked_synced = e->log.synced;
    s->blocked_settles = e->settles;
    for (uint32_t i = 0; i < s->task_count; i++)
        if (s->tasks[i].state == WFI_TASK_RESERVE || s->tasks[i].state == WFI_TASK_INTENT) sched_activate(s, i);
}

/* A run that stops sends nothing again: what waits to do so need not wait its time. */
static void sched_wake_backoffs(const wfi_env *e, wfi_sched *s) {
    for (uint32_t i = 0; e->stop != WF_RUN_OPEN && i < s->task_count; i++)
        if (s->tasks[i].state == WFI_TASK_BACKOFF) sched_activate(s, i);
}

static wf_status sched_run(wfi_env *e, wfi_sched *s, uint32_t *work) {
    while (s->active_count > 0 && *work > 0) {
        uint32_t task = s->active[s->active_at];
        s->active_at = (s->active_at + 1) % s->task_count;
        s->active_count--;
        s->is_active[task] = 0;
        if (s->tasks[task].state == WFI_TASK_FREE) continue; /* cancelled meanwhile */
        (*work)--;
        wf_status status = sched_after(e, s, task, wfi_task_step(e, &s->tasks[task]));
        if (status != WF_OK) return status;
    }
    return WF_OK;
}

static void sched_unseal(const wfi_env *e, wfi_sched *s) {
    while (s->sealing.first != WFI_NO_ROW) {
        wfi_row *r = &s->table.rows[s->sealing.first];
        if (r->state == WFI_CALL_SEALING && !wfi_log_durable(&e->log, r->done_end)) return;
        uint32_t row = sched_pop(s, &s->sealing);
        if (r->state == WFI_CALL_SEALING) sched_make_ready(s, row);
    }
}

static uint32_t sched_wait(const wfi_env *e, const wfi_sched *s) {
    uint64_t due = UINT64_MAX, at;
    uint32_t id;
    bool stopped = e->stop != WF_RUN_OPEN && (s->stopped.first != WFI_NO_ROW || s->queued_agents.first != WFI_NO_ROW ||
                                              s->queued_effects.first != WFI_NO_ROW);
    bool room = (s->queued_agents.first != WFI_NO_ROW && s->free_lanes > 0) ||
                (s->queued_effects.first != WFI_NO_ROW && s->free_effects > 0);
    if (s->active_count > 0 || s->ready.count > 0 || stopped || (room && sched_may_send(e, s))) return 0;
    if (wfi_queue_first(&s->due, &id, &at)) due = at;
    for (uint32_t p = 0; p < e->config.provider_count; p++) {
        at = e->config.providers[p].ops->due(e->config.providers[p].ctx);
        if (at < due) due = at;
    }
    if (e->os->tool_ops && (at = e->os->tool_ops->due(e->os->tool_ctx)) < due) due = at;
    if (e->config.run_ms > 0 && e->stop == WF_RUN_OPEN && s->started + e->config.run_ms < due)
        due = s->started + e->config.run_ms;
    if (due == UINT64_MAX) return UINT32_MAX;
    if (due <= e->now) return 0;
    return due - e->now < UINT32_MAX ? (uint32_t)(due - e->now) : UINT32_MAX - 1;
}

/* Whether a sync that is asked for waits, for other lanes to put something of theirs into it: no more than one begins in a
 * millisecond, unless nobody is left who could bring something. */
static bool sched_gathers(const wfi_env *e, wfi_sched *s) {
    bool asked = e->log.wanted > e->log.synced && !e->log.syncing;
    if (asked && e->exchanges > 0 && s->sync_began == e->now && e->config.sync != WF_SYNC_ALWAYS) return true;
    if (asked) s->sync_began = e->now;
    return false;
}

/* There is nothing to do for a while: leaves a log that a killed process would want to find. */
static wf_status sched_rest(wfi_env *e, const wfi_sched *s) {
    wf_status status = s->sealing.first == WFI_NO_ROW ? wfi_budget_rest(e) : WF_OK;
    return status == WF_OK ? wfi_log_flush(&e->log) : status;
}

wf_status wfi_sched_step(wfi_env *e, wfi_sched *s, uint32_t max_work, uint32_t *wait_ms) {
    uint32_t work = max_work ? max_work : 1;
    wf_status status = WF_OK;
    e->now = e->os->now_ms(e->os->ctx);
    *wait_ms = 0;
    if (e->config.run_ms > 0 && e->now - s->started >= e->config.run_ms)
        wfi_env_stop(e, WF_RUN_DEADLINE, WF_STR("the run's deadline passed; resume with a later --deadline"));
    if (e->stop == WF_RUN_CANCELLED || e->stop == WF_RUN_DEADLINE) wfi_sched_drop_all(e, s);
    sched_wake(e, s);
    if (sched_may_send(e, s)) status = sched_dispatch(e, s, &s->queued_effects, &s->free_effects, &work);
    if (status == WF_OK && sched_may_send(e, s))
        status = sched_dispatch(e, s, &s->queued_agents, &s->free_lanes, &work);
    if (status == WF_OK) status = sched_run(e, s, &work);
    if (status != WF_OK) return status;
    sched_wake_backoffs(e, s);
    bool gathers = sched_gathers(e, s);
    status = gathers ? WF_OK : wfi_log_pump(&e->log);
    if (status < 0) return status;
    sched_unseal(e, s);
    sched_wake_blocked(e, s);
    *wait_ms = sched_wait(e, s);
    if (gathers && *wait_ms > 1) *wait_ms = 1;
    return *wait_ms > 0 ? sched_rest(e, s) : WF_OK;
}
