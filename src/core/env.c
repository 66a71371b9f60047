/* env: see env.h. */
#include "env.h"

wf_status wfi_env_text(wfi_env *e, wf_str text, uint64_t *at) {
    wfi_sha256 sha;
    uint8_t hash[32];
    wfi_sha256_init(&sha);
    wfi_sha256_add(&sha, text.ptr, text.len);
    wfi_sha256_end(&sha, hash);
    /* A short probe: when the table is full, a text is simply stored again. */
    wfi_text_slot *slot = NULL;
    for (uint32_t i = 0; i < 8 && !slot; i++) {
        wfi_text_slot *s = &e->texts[(wfi_get32(hash) + i) & e->text_mask];
        if (s->at != 0 && s->len == text.len && wfi_compare(s->hash, hash, sizeof s->hash) == 0) {
            *at = s->at;
            return WF_OK;
        }
        if (s->at == 0) slot = s;
    }
    wf_status s = wfi_log_append(&e->log, WFI_REC_TEXT, 0, wf_str_of("", 0), &text, 1, at, NULL);
    if (s == WF_OK && slot) {
        wfi_copy(slot->hash, hash, sizeof slot->hash);
        slot->at = *at;
        slot->len = (uint32_t)text.len;
    }
    return s;
}

wf_status wfi_env_record(wfi_env *e, wfi_rec type, uint32_t call, const void *meta, wf_str payload, uint64_t *at,
                         uint64_t *end) {
    char buf[WFI_LOG_META_MAX];
    wf_str text;
    wf_status s = wfi_meta_put(type, meta, buf, &text);
    return s == WF_OK ? wfi_log_append(&e->log, type, call, text, &payload, 1, at, end) : s;
}

wf_status wfi_env_meta(wfi_env *e, uint64_t at, wfi_log_rec *rec, char buf[WFI_LOG_META_MAX], void *meta) {
    uint32_t len;
    wf_status s = wfi_log_peek(&e->log, at, rec, &len);
    if (s != WF_OK) return s;
    if (len > WFI_LOG_META_MAX) return WF_E_INTERNAL;
    s = wfi_log_read(&e->log, at + WFI_LOG_HEAD, buf, len);
    if (s != WF_OK) return s;
    return wfi_meta_get(rec->type, buf, len, meta) == WF_OK ? WF_OK : WF_E_INTERNAL;
}

wf_status wfi_env_payload(wfi_env *e, const wfi_log_rec *rec, size_t spare, char **out) {
    *out = wfi_heap_alloc(&e->heap, rec->payload_len + spare);
    if (!*out) return WF_E_MEMORY;
    wf_status s = wfi_log_read(&e->log, rec->payload, *out, rec->payload_len);
    if (s != WF_OK) {
        wfi_heap_free(&e->heap, *out);
        *out = NULL;
    }
    return s;
}

void wfi_env_stop(wfi_env *e, wf_outcome reason, wf_str text) {
    if (reason <= e->stop) return;
    e->stop = reason;
    wf_str cut = wfi_utf8_clip(text, sizeof e->stop_text - 1);
    wfi_copy(e->stop_text, cut.ptr, cut.len);
    e->stop_text[cut.len] = 0;
    wf_trace event = {.type = WF_TRACE_STOP, .text = cut};
    wfi_env_trace(e, &event);
}

void wfi_env_trace(const wfi_env *e, const wf_trace *event) {
    if (e->os->trace) e->os->trace(e->os->ctx, event);
}

void wfi_usage_add(wf_usage *to, const wf_usage *from) {
    to->input = wfi_add_sat(to->input, from->input);
    to->output = wfi_add_sat(to->output, from->output);
    to->cache_read = wfi_add_sat(to->cache_read, from->cache_read);
    to->cache_write = wfi_add_sat(to->cache_write, from->cache_write);
    to->nano_usd = wfi_add_sat(to->nano_usd, from->nano_usd);
}

uint64_t wfi_usage_tokens(const wf_usage *u) {
    return wfi_add_sat(wfi_add_sat(u->input, u->output), wfi_add_sat(u->cache_read, u->cache_write));
}

/* xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016). */
uint64_t wfi_env_random(wfi_env *e, uint64_t below) {
    e->rng ^= e->rng >> 12;
    e->rng ^= e->rng << 25;
    e->rng ^= e->rng >> 27;
    return below ? (e->rng * 0x2545f4914f6cdd1dull >> 11) % below : 0;
}
