/* replay: see replay.h. */
#include "replay.h"

void wfi_replay_identity(const wf_str *parts, size_t count, uint8_t out[32]) {
    wfi_sha256 sha;
    uint8_t len[8];
    wfi_sha256_init(&sha);
    for (size_t i = 0; i < count; i++) {
        wfi_put64(len, parts[i].len);
        wfi_sha256_add(&sha, len, sizeof len);
        wfi_sha256_add(&sha, parts[i].ptr, parts[i].len);
    }
    wfi_sha256_end(&sha, out);
}

uint64_t wfi_replay_place(wf_str path) {
    uint8_t hash[32];
    wfi_replay_identity(&path, 1, hash);
    return wfi_get64(hash);
}

/* ---- the log, record by record ---- */

static bool replay_hex(wf_str hex, uint8_t *out, size_t n) {
    if (hex.len < 2 * n) return false;
    for (size_t i = 0; i < 2 * n; i++) {
        char c = hex.ptr[i];
        uint8_t digit = (uint8_t)(c >= 'a' ? c - 'a' + 10 : c - '0');
        if (digit > 15) return false;
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | digit);
    }
    return true;
}

static wf_status replay_call(wfi_sched *s, wfi_run *run, const wfi_log_rec *rec, const wfi_meta_call *meta) {
    uint8_t content[16] = {0};
    bool told = run->told; /* it was asked for after the script had been told of a stop, and will be asked for anew */
    uint64_t at = rec->offset;
    if (meta->prompt >= at || meta->system >= at || meta->tools >= at || meta->schema >= at) return WF_E_CORRUPT;
    if (rec->call != s->slots.count + 1 || !replay_hex(meta->hash, content, sizeof content)) return WF_E_CORRUPT;
    uint32_t slot = wfi_slots_add(&s->slots, wfi_replay_place(meta->path), content, meta->effect.len > 0);
    if (slot == WFI_NO_SLOT) return WF_E_LIMIT;
    s->slots.slots[slot].call_at = rec->offset;
    s->slots.slots[slot].replaced = told;
    if (meta->replaces > slot) return WF_E_CORRUPT;
    if (meta->replaces > 0 && !told) {
        run->unlike |= s->slots.slots[meta->replaces - 1].delivered;
        s->slots.slots[meta->replaces - 1].replaced = true;
    }
    return WF_OK;
}

static void replay_turn(wfi_runtime *rt, wfi_slot *r, const wfi_log_rec *rec, const wfi_meta_turn *meta) {
    wfi_usage_add(&rt->spent, &meta->usage);
    r->started = true;
    r->finished = r->delivered = false;
    if (!wfi_stop_continues((wfi_stop)meta->stop) || rec->payload_len == 0) { /* no part of the conversation */
        r->aside = rec->offset;
        return;
    }
    r->last_item = rec->offset;
    r->turns++;
}

static wf_status replay_moved(wfi_sched *s, wfi_slot *r, const wfi_meta_moved *meta) {
    if (meta->from == 0 || meta->from > s->slots.count) return WF_E_CORRUPT;
    wfi_slots_move(&s->slots.slots[meta->from - 1], r);
    return WF_OK;
}

/* Whether a delivered failure stopped the run: logs of the first rules do not tell, and knew no other of these kinds. */
static bool replay_stopped(const wfi_run *run, const wfi_slot *r) {
    return run->rules < 2 && (r->kind == WF_KIND_QUOTA || r->kind == WF_KIND_AUTH);
}

/* A record that belongs to a call which the table has. */
static wf_status replay_row(wfi_runtime *rt, wfi_sched *s, wfi_run *run, wfi_slot *r, const wfi_log_rec *rec,
                            const wfi_meta *meta) {
    run->unlike |= r->delivered && (rec->type == WFI_REC_TURN || rec->type == WFI_REC_DONE);
    switch (rec->type) {
    case WFI_REC_TURN:
        replay_turn(rt, r, rec, &meta->turn);
        return WF_OK;
    case WFI_REC_BLOCK:
        r->last_item = rec->offset;
        r->intent_at = 0;
        return WF_OK;
    case WFI_REC_INTENT:
        r->intent_at = meta->intent.name.len > 0 ? rec->offset : 0;
        return WF_OK;
    case WFI_REC_DONE:
        r->finished = r->started = true;
        r->delivered = false;
        r->kind = meta->done.kind < WF_KIND_COUNT ? (uint8_t)meta->done.kind : WF_KIND_PROVIDER;
        r->blind = meta->done.blind;
        r->done_at = rec->offset;
        r->done_end = rec->next;
        return WF_OK;
    case WFI_REC_MOVED:
        return replay_moved(s, r, &meta->moved);
    case WFI_REC_DELIVER:
        if (run->told || replay_stopped(run, r)) return WF_OK;
        r->delivered = true;
        r->order = ++s->deliveries;
        r->wall = meta->deliver.wall;
        return WF_OK;
    default:
        return WF_E_CORRUPT;
    }
}

static wf_status replay_record(wfi_runtime *rt, wfi_sched *s, wfi_run *run, const wfi_log_rec *rec,
                               const wfi_meta *meta) {
    run->end = 0;
    run->outcome = WF_RUN_OPEN;
    switch (rec->type) {
    case WFI_REC_RUN:
        if (rec->offset != WFI_LOG_FIRST) return WF_E_CORRUPT;
        run->header = rec->offset;
        run->started = meta->run.wall;
        run->rules = meta->run.rules > 0 ? meta->run.rules : 1;
        return WF_OK;
    case WFI_REC_STOP:
        run->told = true;
        return WF_OK;
    case WFI_REC_RESUME:
        run->told = false;
        if (meta->run.sha256.len > 0) run->header = rec->offset; /* it is whole: script or args were others */
        return WF_OK;
    case WFI_REC_TEXT:
        return WF_OK;
    case WFI_REC_CALL:
        return replay_call(s, run, rec, &meta->call);
    case WFI_REC_NOTE:
        run->notes += !meta->note.error && !run->told;
        return WF_OK;
    case WFI_REC_RESERVE:
        rt->ceiling = meta->reserve.ceiling;
        rt->more = meta->reserve.more;
        return WF_OK;
    case WFI_REC_END:
        run->end = rec->offset;
        run->census = meta->end;
        run->outcome = meta->end.outcome <= WF_RUN_CANCELLED ? (wf_outcome)meta->end.outcome : WF_RUN_FAILED;
        return WF_OK;
    default:
        break;
    }
    if (rec->call == 0 || rec->call > s->slots.count) return WF_E_CORRUPT;
    return replay_row(rt, s, run, &s->slots.slots[rec->call - 1], rec, meta);
}

/* Whether the log answers with this failure. What the script has seen is delivered again, for what it did then depends on
 * it; but not what stopped the run. Of what nobody saw, that is asked anew which a new try may cure. */
static bool replay_keeps(const wfi_slot *r) {
    switch ((wf_kind)r->kind) {
    case WF_KIND_MEMORY:
    case WF_KIND_CANCELLED: /* who replays the race that it lost gives it up again before anything is sent */
        return false;
    case WF_KIND_DEADLINE:
    case WF_KIND_STALL:
    case WF_KIND_PROVIDER:
    case WF_KIND_CONTEXT:
    case WF_KIND_BUDGET:
    case WF_KIND_QUOTA:
    case WF_KIND_AUTH: /* of one agent alone; after one that stops the run nothing counts as delivered */
        return r->delivered;
    default:
        return true;
    }
}

static bool replay_answers(const wfi_runtime *rt, const wfi_slot *r) {
    if (r->kind == WF_KIND_NONE) return true;
    return (rt->config.retry_kinds >> r->kind & 1) == 0 && replay_keeps(r);
}

static wf_status replay_fail(wfi_runtime *rt, wf_status code, uint64_t offset) {
    rt->log.error.code = code;
    rt->log.error.offset = offset;
    rt->log.error.text = code == WF_E_LIMIT ? "the log holds more calls than the table; give a higher --agents"
                                            : "a record of the log contradicts those before it";
    return code;
}

/* What may have been used up beyond the replies that are there: budget.h, invariant 4. */
static void replay_lost(wfi_runtime *rt) {
    wfi_cost spent = wfi_cost_of(&rt->spent);
    if (rt->ceiling.tokens > spent.tokens) rt->lost.tokens = rt->ceiling.tokens - spent.tokens;
    if (rt->ceiling.nano_usd > spent.nano_usd) rt->lost.nano_usd = rt->ceiling.nano_usd - spent.nano_usd;
}

wf_status wfi_replay_load(wfi_runtime *rt, wfi_sched *s, wfi_run *run) {
    wfi_log_rec rec;
    wf_status status = wfi_log_load(&rt->log);
    uint64_t at = WFI_LOG_FIRST;
    while (status == WF_OK && (status = wfi_log_scan(&rt->log, at, &rec)) == WF_OK) {
        char json[WFI_LOG_META_MAX];
        wfi_meta meta;
        wfi_copy(json, rec.meta.ptr, rec.meta.len);
        if (rec.type != WFI_REC_TEXT && wfi_meta_get(rec.type, json, rec.meta.len, &meta) != WF_OK)
            return replay_fail(rt, WF_E_CORRUPT, at);
        status = replay_record(rt, s, run, &rec, &meta);
        if (status != WF_OK) return replay_fail(rt, status, at);
        at = rec.next;
    }
    if (status != WF_END || rt->log.file_size == 0) return status;
    if (run->header == 0 && wfi_log_is_cut_off(&rt->log, WFI_LOG_FIRST)) return WF_END; /* log.c, invariant 8 */
    if (run->header == 0) return replay_fail(rt, WF_E_CORRUPT, WFI_LOG_FIRST);
    run->valid = at;
    for (uint32_t i = 0; i < s->slots.count; i++) {
        wfi_slot *r = &s->slots.slots[i];
        s->unasked += wfi_slot_unasked(r);
        run->unlike |= r->delivered && !replay_answers(rt, r);
    }
    replay_lost(rt);
    return WF_OK;
}

/* ---- matching ---- */

static int replay_rank(const wfi_runtime *rt, const wfi_slot *r) {
    if (!r->finished) return 2;
    return replay_answers(rt, r) ? 3 : 1;
}

wfi_recall wfi_replay_recall(const wfi_runtime *rt, const wfi_sched *s, uint64_t place, const uint8_t content[16],
                             uint32_t *slot, const char **why) {
    const wfi_slots *t = &s->slots;
    uint32_t best = WFI_NO_SLOT;
    *why = "";
    for (uint32_t i = wfi_slots_first(t, place); i != WFI_NO_SLOT; i = wfi_slots_next(t, i)) {
        const wfi_slot *r = &t->slots[i];
        bool answers = r->finished && replay_answers(rt, r);
        if (r->state != WFI_CALL_LOGGED || r->replaced || (r->moved && !answers && wfi_slot_goes_on(r))) continue;
        if (wfi_compare(r->content, content, sizeof r->content) != 0) {
            *why = "prompt or options differ from the log's at this place";
            continue;
        }
        /* slots come newest first; of equals the oldest is taken, as it was asked for first */
        if (best == WFI_NO_SLOT || replay_rank(rt, r) >= replay_rank(rt, &t->slots[best])) best = i;
    }
    *slot = best;
    if (best == WFI_NO_SLOT) return WFI_RECALL_NONE;
    const wfi_slot *r = &t->slots[best];
    if (!r->finished) return WFI_RECALL_OPEN;
    if (replay_answers(rt, r)) return WFI_RECALL_ANSWER;
    *why = wf_kind_name((wf_kind)r->kind);
    return wfi_slot_goes_on(r) ? WFI_RECALL_OPEN : WFI_RECALL_NONE;
}
