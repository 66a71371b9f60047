/* inspect: looking at a run, or at a log that is only loaded: one call, one record. */
#include "workflow.h"

/* Shows a text that a wire block holds: {"type":"text","text":"..."} */
static wf_str inspect_prompt(wf *w, uint64_t at, char *buf, size_t cap) {
    wfi_log_rec rec;
    uint32_t meta_len;
    char *block;
    wf_str text = {"", 0};
    if (at == 0 || wfi_log_peek(&w->rt.log, at, &rec, &meta_len) != WF_OK) return text;
    if (wfi_runtime_payload(&w->rt, &rec, 1, &block) != WF_OK) return text;
    wf_str escaped;
    if (wf_json_member_str(wf_str_of(block, rec.payload_len), WF_STR("text"), &escaped)) {
        size_t n = wf_json_unescape(escaped, block); /* in place: never longer */
        text = wfi_utf8_clip(wf_str_of(block, n), cap);
        wfi_copy(buf, text.ptr, text.len);
        text.ptr = buf;
    }
    wfi_heap_free(&w->rt.heap, block);
    return text;
}

#define INSPECT_SHOWN 4096u /* bytes of a prompt or message */

wf_status wf_call_get(wf *w, uint32_t number, wf_call_info *out) {
    char buf[WFI_LOG_META_MAX];
    wfi_log_rec rec;
    wfi_meta meta;
    wfi_zero(out, sizeof *out);
    if (number >= w->sched.slots.count) return WF_END;
    const wfi_slot *r = &w->sched.slots.slots[number];
    wfi_heap_free(&w->rt.heap, w->info);
    w->info = wfi_heap_alloc(&w->rt.heap, WFI_LOG_META_MAX + 2 * INSPECT_SHOWN);
    if (!w->info) return wfi_workflow_fail(w, WF_E_MEMORY, "the message heap is exhausted");
    wf_status s = wfi_runtime_meta(&w->rt, r->call_at, &rec, w->info, &meta);
    if (s != WF_OK) return wfi_workflow_below(w, s);
    char *prompt = w->info + WFI_LOG_META_MAX, *message = prompt + INSPECT_SHOWN;
    out->id = number + 1;
    out->effect = r->effect;
    out->turns = r->turns;
    out->path = meta.call.path;
    out->label = r->effect ? meta.call.effect : meta.call.label;
    out->phase = meta.call.phase;
    out->model = meta.call.model;
    out->prompt = inspect_prompt(w, meta.call.prompt, prompt, INSPECT_SHOWN);
    out->finished = r->finished;
    out->superseded = r->replaced || r->moved;
    out->delivered = r->delivered;
    out->blind = r->finished && r->blind;
    out->kind = r->finished ? (wf_kind)r->kind : WF_KIND_NONE;
    out->cancelled = r->finished && r->kind == WF_KIND_CANCELLED;
    if (!r->finished) return WF_OK;
    s = wfi_runtime_meta(&w->rt, r->done_at, &rec, buf, &meta);
    if (s != WF_OK) return wfi_workflow_below(w, s);
    out->attempts = meta.done.attempts;
    out->turns = meta.done.turns;
    out->ms = meta.done.ms;
    out->usage = meta.done.usage;
    if (r->kind != WF_KIND_NONE) {
        size_t n = rec.payload_len < INSPECT_SHOWN ? rec.payload_len : INSPECT_SHOWN;
        s = wfi_log_read(&w->rt.log, rec.payload, message, n);
        out->message = wfi_utf8_clip(wf_str_of(message, n), n);
    }
    return wfi_workflow_below(w, s);
}

wf_status wf_record_next(wf *w, uint64_t *at, wf_record *out) {
    wfi_log_rec rec;
    if (w->stage != WFI_STAGE_LOADED)
        return wfi_workflow_fail(w, WF_E_CONFIG, "records are read from a log that is only loaded");
    if (*at == 0) *at = WFI_LOG_FIRST;
    wf_status s = wfi_log_scan(&w->rt.log, *at, &rec);
    if (s != WF_OK) return wfi_workflow_below(w, s);
    wfi_heap_free(&w->rt.heap, w->info);
    w->info = wfi_heap_alloc(&w->rt.heap, rec.meta.len + rec.payload_len + 1);
    if (!w->info)
        return wfi_workflow_fail(w, WF_E_MEMORY, "a record is larger than the message heap; give more --memory");
    s = wfi_log_read(&w->rt.log, rec.offset + WFI_LOG_HEAD, w->info, rec.meta.len + rec.payload_len);
    if (s != WF_OK) return wfi_workflow_below(w, s);
    *out = (wf_record){.offset = rec.offset,
                       .type = wfi_rec_name(rec.type),
                       .call = rec.call,
                       .synced = rec.synced,
                       .json = wf_str_of(w->info, rec.meta.len),
                       .payload = wf_str_of(w->info + rec.meta.len, rec.payload_len)};
    *at = rec.next;
    return WF_OK;
}
