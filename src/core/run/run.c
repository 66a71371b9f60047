/* run: the run as a whole: its header in the log, opening and resuming, what became of it so far, notes, its end. */
#include "budget.h"
#include "workflow.h"

wf_status wf_run_load(wf *w) {
    if (w->stage != WFI_STAGE_NEW) return wfi_workflow_fail(w, WF_E_CONFIG, "the log was loaded already");
    wf_status s = wfi_replay_load(&w->rt, &w->sched, &w->run);
    if (s != WF_OK) return wfi_workflow_below(w, s);
    w->stage = WFI_STAGE_LOADED;
    return WF_OK;
}

/* Loads the header in force once, for as long as the wf lives. */
static wf_status run_header(wf *w) {
    wfi_log_rec rec;
    if (w->header) return WF_OK;
    wf_status s = wfi_runtime_meta(&w->rt, w->run.header, &rec, w->header_json, &w->header_meta);
    if (s != WF_OK) return s;
    const wfi_meta_run *m = &w->header_meta;
    if (m->script > rec.payload_len || m->args > rec.payload_len - m->script ||
        m->settings > rec.payload_len - m->script - m->args)
        return wfi_runtime_astray(&w->rt, w->run.header);
    s = wfi_runtime_payload(&w->rt, &rec, m->name.len + 1, &w->header);
    if (s == WF_OK)
        wfi_copy(w->header + rec.payload_len, m->name.ptr, m->name.len); /* header_json serves the next one */
    return s;
}

wf_status wf_run_header(wf *w, wf_run_spec *out, uint64_t *started_wall_ms) {
    if (w->run.header == 0) return wfi_workflow_fail(w, WF_E_NOT_FOUND, "there is no run yet");
    wf_status s = run_header(w);
    if (s != WF_OK) return wfi_workflow_below(w, s);
    const wfi_meta_run *m = &w->header_meta;
    out->name = wf_str_of(w->header + m->script + m->args + m->settings, m->name.len);
    out->script = wf_str_of(w->header, (size_t)m->script);
    out->args = wf_str_of(w->header + m->script, (size_t)m->args);
    out->settings = wf_str_of(w->header + m->script + m->args, (size_t)m->settings);
    if (started_wall_ms) *started_wall_ms = w->run.started;
    return WF_OK;
}

uint32_t wf_run_rules(const wf *w) {
    return w->run.rules;
}

/* Writes the run or resume record. */
static wf_status run_put_header(wf *w, wfi_rec type, const wf_run_spec *spec, bool whole) {
    char hex[64], buf[WFI_LOG_META_MAX];
    uint8_t hash[32];
    uint64_t at;
    wf_str meta_text;
    const wf_str none = {"", 0};
    wf_str parts[3] = {whole ? spec->script : none, whole ? spec->args : none, spec ? spec->settings : none};
    wfi_sha256 sha;
    wfi_sha256_init(&sha);
    wfi_sha256_add(&sha, parts[0].ptr, parts[0].len);
    wfi_sha256_end(&sha, hash);
    wfi_hex(hash, sizeof hash, hex);
    wfi_meta_run meta = {.wall = w->rt.os->wall_ms(w->rt.os->ctx),
                         .script = parts[0].len,
                         .args = parts[1].len,
                         .settings = parts[2].len};
    if (type == WFI_REC_RUN) meta.rules = WF_RULES;
    if (whole) {
        meta.name = wfi_utf8_clip(spec->name, WFI_LABEL_MAX);
        meta.sha256 = wf_str_of(hex, sizeof hex);
    }
    wf_status s = wfi_meta_put(type, &meta, buf, &meta_text);
    if (s == WF_OK) s = wfi_log_append(&w->rt.log, type, 0, meta_text, parts, 3, &at, NULL);
    if (s != WF_OK) return s;
    if (whole) {
        w->run.header = at;
        w->old_header = w->header; /* the caller may still look at it, and have taken the args from it */
        w->header = NULL;
    }
    if (type == WFI_REC_RUN) {
        w->run.started = meta.wall;
        w->run.rules = meta.rules;
    }
    return WF_OK;
}

static wf_status run_differs(wf *w, const wf_run_spec *spec, bool *out) {
    wf_run_spec old;
    *out = false;
    if (!spec) return WF_OK;
    wf_status s = wf_run_header(w, &old, NULL);
    if (s == WF_OK) *out = !wfi_str_eq(old.script, spec->script) || !wfi_str_eq(old.args, spec->args);
    return s;
}

static wf_status run_open_new(wf *w, const wf_run_spec *spec) {
    uint32_t salt;
    if (!spec) return wfi_workflow_fail(w, WF_E_NOT_FOUND, "the log is empty: there is no run to go on with");
    if (w->rt.os->random(w->rt.os->ctx, &salt, sizeof salt) != WF_OK)
        return wfi_workflow_fail(w, WF_E_IO, "the platform has no random bytes");
    wf_status s = wfi_log_create(&w->rt.log, salt);
    if (s == WF_OK) s = run_put_header(w, WFI_REC_RUN, spec, true);
    return wfi_workflow_below(w, s);
}

static wf_status run_open_again(wf *w, const wf_run_spec *spec) {
    wf_status s = run_differs(w, spec, &w->replacing);
    if (s == WF_OK) s = wfi_log_resume(&w->rt.log, w->run.valid);
    /* a run whose script was replaced once may have answers left over that no place of the new one has taken yet */
    w->sched.by_content = w->replacing || w->run.header != WFI_LOG_FIRST;
    w->run.outcome = WF_RUN_OPEN;
    return wfi_workflow_below(w, s);
}

static wf_status run_open(wf *w, const wf_run_spec *spec) {
    wf_status s = WF_OK;
    if (w->stage > WFI_STAGE_LOADED) return wfi_workflow_fail(w, WF_E_CONFIG, "the run is open already");
    if (w->stage == WFI_STAGE_NEW) s = wf_run_load(w);
    if (s < 0) return s;
    s = s == WF_END ? run_open_new(w, spec) : run_open_again(w, spec);
    if (s != WF_OK) return s;
    wfi_log_want(&w->rt.log);
    w->stage = WFI_STAGE_HEADER;
    uint64_t run_ms = w->rt.config.run_ms;
    w->rt.due = run_ms > 0 ? wfi_add_sat(w->rt.os->now_ms(w->rt.os->ctx), run_ms) : UINT64_MAX;
    w->sched.clock = w->run.started;
    return WF_OK;
}

wf_status wf_run_open(wf *w, const wf_run_spec *spec) {
    wf_status s = WF_OK;
    if (w->stage != WFI_STAGE_HEADER && (s = run_open(w, spec)) != WF_OK) return s;
    s = wfi_log_pump(&w->rt.log);
    /* only now is the recovered prefix known durable, and may records say so */
    if (s == WF_OK && w->run.valid > 0) s = run_put_header(w, WFI_REC_RESUME, spec, w->replacing);
    if (s != WF_OK) return wfi_workflow_below(w, s);
    w->stage = WFI_STAGE_RUNNING;
    return WF_OK;
}

const char *wf_outcome_name(wf_outcome outcome) {
    static const char *const names[] = {"open",     "done",   "failed",  "budget",
                                        "deadline", "paused", "refused", "cancelled"};
    return (size_t)outcome < WFI_COUNT(names) ? names[outcome] : "?";
}

/* Of a log that is only looked at, what it holds; of a run, what the script has asked for. */
static void run_census(const wf *w, wf_run_status *out) {
    const wfi_slots *t = &w->sched.slots;
    bool looking = w->stage <= WFI_STAGE_LOADED;
    for (uint32_t i = 0; i < t->count; i++) {
        const wfi_slot *r = &t->slots[i];
        if (r->effect || (looking ? r->replaced || r->moved : r->state == WFI_CALL_LOGGED)) continue;
        out->agents++;
        out->running += r->state == WFI_CALL_RUNNING;
        out->queued += r->state == WFI_CALL_QUEUED;
        if (!r->finished) {
            out->census.cancelled += r->state == WFI_CALL_GONE && r->started;
            out->census.not_run += r->state == WFI_CALL_GONE && !r->started;
        } else if (r->kind == WF_KIND_CANCELLED) {
            out->census.cancelled++;
        } else {
            out->census.done += r->kind == WF_KIND_NONE;
            out->census.failed += r->kind != WF_KIND_NONE;
            out->census.cached += r->hit;
            out->census.blind += r->blind;
        }
    }
    for (uint32_t i = 0; i < w->sched.task_count; i++)
        out->effects += w->sched.tasks[i].state != WFI_TASK_FREE && w->sched.tasks[i].call.changes;
}

void wf_run_status_get(const wf *w, wf_run_status *out) {
    wfi_zero(out, sizeof *out);
    out->outcome = w->rt.stop != WF_RUN_OPEN ? w->rt.stop : w->run.outcome;
    run_census(w, out);
    out->census.not_run += w->turned_away;
    out->census.dropped = w->run.census.dropped;
    out->census.script_errors = w->run.census.script_errors;
    uint32_t rejected = w->rejected < out->census.done ? w->rejected : out->census.done;
    out->census.done -= rejected;
    out->census.failed += rejected;
    if (w->run.end != 0 && w->stage <= WFI_STAGE_LOADED) {
        const wfi_meta_end *m = &w->run.census;
        out->census = (wf_census){m->done,      m->failed,  m->cached,        m->dropped,
                                  m->cancelled, m->not_run, m->script_errors, m->blind};
    }
    out->usage = w->rt.spent;
    out->delivered = w->delivered;
    out->lost_tokens = w->rt.lost.tokens;
    out->lost_nano_usd = w->rt.lost.nano_usd;
    out->more_tokens = w->rt.more.tokens;
    out->more_nano_usd = w->rt.more.nano_usd;
    out->now_ms = w->sched.clock;
    out->started_ms = w->run.started;
    out->log_bytes = wfi_log_end(&w->rt.log);
    out->synced_bytes = w->rt.log.synced;
    out->syncs = w->rt.log.syncs;
    out->text = wfi_str_z(w->rt.stop == WF_RUN_OPEN && w->capped ? w->capped : w->rt.stop_text);
}

wf_outcome wf_run_stopping(const wf *w) {
    return w->rt.stop;
}

void wf_run_stop(wf *w, wf_outcome reason, wf_str text) {
    if (w->stage <= WFI_STAGE_RUNNING) wfi_runtime_stop(&w->rt, reason, text);
}

static void run_lower(uint64_t *budget, uint64_t cap) {
    if (cap > 0 && (*budget == 0 || cap < *budget)) *budget = cap;
}

void wf_run_cap(wf *w, uint64_t tokens, uint64_t nano_usd) {
    run_lower(&w->rt.config.budget_tokens, tokens);
    run_lower(&w->rt.config.budget_nano_usd, nano_usd);
}

wf_status wf_run_finish(wf *w, wf_outcome outcome, wf_str value, bool json, uint32_t dropped, uint32_t rejected,
                        uint32_t script_errors) {
    wf_run_status status;
    uint64_t at;
    if (w->stage != WFI_STAGE_RUNNING) return wfi_workflow_fail(w, WF_E_CONFIG, "the run is not open");
    wfi_sched_drop_all(&w->rt, &w->sched);
    for (uint32_t i = 0; i < w->sched.slots.count; i++) /* what nobody will be told of any more */
        if (w->sched.slots.slots[i].state == WFI_CALL_QUEUED) w->sched.slots.slots[i].state = WFI_CALL_GONE;
    w->run.census.dropped = dropped;
    w->run.census.script_errors = script_errors;
    w->rejected = rejected;
    if (w->capped && outcome < WF_RUN_BUDGET) outcome = WF_RUN_BUDGET;
    w->run.outcome = w->rt.stop > outcome ? w->rt.stop : outcome;
    wf_run_status_get(w, &status);
    const wf_census *c = &status.census;
    wfi_meta_end meta = {.outcome = w->run.outcome,
                         .json = json,
                         .done = c->done,
                         .failed = c->failed,
                         .cached = c->cached,
                         .dropped = dropped,
                         .cancelled = c->cancelled,
                         .not_run = c->not_run,
                         .script_errors = script_errors,
                         .blind = c->blind,
                         .usage = status.usage,
                         .wall = w->rt.os->wall_ms(w->rt.os->ctx)};
    wf_status s = wfi_budget_close(&w->rt);
    if (s == WF_OK) s = wfi_runtime_record(&w->rt, WFI_REC_END, 0, &meta, value, &at, NULL);
    if (s != WF_OK) return wfi_workflow_below(w, s);
    w->run.end = at;
    wfi_log_want(&w->rt.log);
    w->stage = WFI_STAGE_ENDING;
    return WF_OK;
}

wf_status wf_run_value(wf *w, wf_str *value, bool *json) {
    char buf[WFI_LOG_META_MAX];
    wfi_log_rec rec;
    wfi_meta meta;
    if (w->run.end == 0) return wfi_workflow_fail(w, WF_E_NOT_FOUND, "the run has not finished");
    wfi_heap_free(&w->rt.heap, w->value);
    w->value = NULL;
    wf_status s = wfi_runtime_meta(&w->rt, w->run.end, &rec, buf, &meta);
    if (s == WF_OK) s = wfi_runtime_payload(&w->rt, &rec, 1, &w->value);
    if (s != WF_OK) return wfi_workflow_below(w, s);
    *value = wf_str_of(w->value, rec.payload_len);
    *json = meta.end.json;
    return WF_OK;
}

/* Never 0. */
static uint64_t run_note_hash(bool phase, wf_str text) {
    wf_str parts[] = {phase ? WF_STR("phase") : WF_STR("line"), text};
    uint8_t hash[32];
    wfi_replay_identity(parts, WFI_COUNT(parts), hash);
    return wfi_get64(hash) | 1;
}

/* Fills w->recorded from the log. */
static wf_status run_read_notes(wf *w) {
    char buf[WFI_LOG_META_MAX], *text;
    wfi_log_rec rec;
    wfi_meta meta;
    uint32_t meta_len, n = 0;
    bool told = false; /* see wfi_run */
    if (!(w->recorded = wfi_heap_alloc(&w->rt.heap, w->run.notes * sizeof *w->recorded))) return WF_E_MEMORY;
    for (uint64_t at = WFI_LOG_FIRST; at < w->run.valid && n < w->run.notes; at = rec.next) {
        wf_status s = wfi_log_peek(&w->rt.log, at, &rec, &meta_len);
        told = s == WF_OK && (rec.type == WFI_REC_STOP || (told && rec.type != WFI_REC_RESUME));
        if (s == WF_OK && (told || rec.type != WFI_REC_NOTE)) continue;
        if (s == WF_OK) s = wfi_runtime_meta(&w->rt, at, &rec, buf, &meta);
        if (s == WF_OK && meta.note.error) continue;
        if (s == WF_OK) s = wfi_runtime_payload(&w->rt, &rec, 1, &text);
        if (s != WF_OK) return s;
        w->recorded[n++] = run_note_hash(meta.note.phase, wf_str_of(text, rec.payload_len));
        wfi_heap_free(&w->rt.heap, text);
    }
    w->run.notes = n;
    return WF_OK;
}

/* Whether the log has the note from an earlier life. A replay says its notes in their order; where the script was edited, or
 * what it has seen is asked anew, each is looked for, once for each time that it was said. */
static wf_status run_note_is_recorded(wf *w, bool phase, wf_str text, bool *out) {
    *out = ++w->notes <= w->run.notes;
    if ((!w->sched.by_content && !w->run.unlike) || w->run.notes == 0) return WF_OK;
    if (!w->recorded) {
        wf_status s = run_read_notes(w);
        if (s != WF_OK) return s;
        for (uint32_t said = 0; said + 1 < w->notes && said < w->run.notes; said++)
            w->recorded[said] = 0;
    }
    uint64_t hash = run_note_hash(phase, text);
    uint32_t i = 0;
    while (i < w->run.notes && w->recorded[i] != hash)
        i++;
    *out = i < w->run.notes;
    if (*out) w->recorded[i] = 0;
    return WF_OK;
}

wf_status wf_note(wf *w, wf_note_kind kind, wf_str text) {
    static const wf_trace_type types[] = {WF_TRACE_NOTE, WF_TRACE_PHASE, WF_TRACE_ERROR};
    wfi_meta_note meta = {.phase = kind == WF_NOTE_PHASE, .error = kind == WF_NOTE_ERROR};
    if ((size_t)kind >= WFI_COUNT(types)) return wfi_workflow_fail(w, WF_E_CONFIG, "there is no such kind of note");
    if (w->stage != WFI_STAGE_RUNNING) return wfi_workflow_fail(w, WF_E_CONFIG, "the run is not open");
    bool recorded = false; /* a replay says it again */
    if (kind != WF_NOTE_ERROR) {
        wf_status s = run_note_is_recorded(w, meta.phase, text, &recorded);
        if (s != WF_OK) return wfi_workflow_below(w, s);
    }
    if (recorded) return WF_OK;
    wf_trace event = {.type = types[kind], .text = text};
    wfi_runtime_trace(&w->rt, &event);
    return wfi_workflow_below(w, wfi_runtime_record(&w->rt, WFI_REC_NOTE, 0, &meta, text, NULL, NULL));
}
