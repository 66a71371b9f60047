/* runtime: see runtime.h. */
#include "runtime.h"

wf_status wfi_runtime_text(wfi_runtime *rt, wf_str text, uint64_t *at) {
    wfi_sha256 sha;
    uint8_t hash[32];
    wfi_sha256_init(&sha);
    wfi_sha256_add(&sha, text.ptr, text.len);
    wfi_sha256_end(&sha, hash);
    /* A short probe: when the table is full, a text is simply stored again. */
    wfi_text_slot *slot = NULL;
    for (uint32_t i = 0; i < 8 && !slot; i++) {
        wfi_text_slot *s = &rt->texts[(wfi_get32(hash) + i) & rt->text_mask];
        if (s->at != 0 && s->len == text.len && wfi_compare(s->hash, hash, sizeof s->hash) == 0) {
            *at = s->at;
            return WF_OK;
        }
        if (s->at == 0) slot = s;
    }
    wf_status s = wfi_log_append(&rt->log, WFI_REC_TEXT, 0, wf_str_of("", 0), &text, 1, at, NULL);
    if (s == WF_OK && slot) {
        wfi_copy(slot->hash, hash, sizeof slot->hash);
        slot->at = *at;
        slot->len = (uint32_t)text.len;
    }
    return s;
}

wf_status wfi_runtime_record(wfi_runtime *rt, wfi_rec type, uint32_t call, const void *meta, wf_str payload,
                             uint64_t *at, uint64_t *end) {
    char buf[WFI_LOG_META_MAX];
    wf_str text;
    wf_status s = wfi_meta_put(type, meta, buf, &text);
    return s == WF_OK ? wfi_log_append(&rt->log, type, call, text, &payload, 1, at, end) : s;
}

wf_status wfi_runtime_astray(wfi_runtime *rt, uint64_t at) {
    rt->log.error = (wf_error){WF_E_CORRUPT, "a record of the log refers to what is not what it should be", at};
    return WF_E_CORRUPT;
}

wf_status wfi_runtime_meta(wfi_runtime *rt, uint64_t at, wfi_log_rec *rec, char buf[WFI_LOG_META_MAX], void *meta) {
    uint32_t len;
    wf_status s = wfi_log_peek(&rt->log, at, rec, &len);
    if (s != WF_OK) return s;
    if (len > WFI_LOG_META_MAX) return wfi_runtime_astray(rt, at);
    s = wfi_log_read(&rt->log, at + WFI_LOG_HEAD, buf, len);
    if (s != WF_OK) return s;
    return wfi_meta_get(rec->type, buf, len, meta) == WF_OK ? WF_OK : wfi_runtime_astray(rt, at);
}

wf_status wfi_runtime_payload(wfi_runtime *rt, const wfi_log_rec *rec, size_t spare, char **out) {
    *out = wfi_heap_alloc(&rt->heap, rec->payload_len + spare);
    if (!*out) return WF_E_MEMORY;
    wf_status s = wfi_log_read(&rt->log, rec->payload, *out, rec->payload_len);
    if (s != WF_OK) {
        wfi_heap_free(&rt->heap, *out);
        *out = NULL;
    }
    return s;
}

void wfi_runtime_stop(wfi_runtime *rt, wf_outcome reason, wf_str text) {
    if (reason <= rt->stop) return;
    rt->stop = reason;
    wf_str cut = wfi_utf8_clip(text, sizeof rt->stop_text - 1);
    wfi_copy(rt->stop_text, cut.ptr, cut.len);
    rt->stop_text[cut.len] = 0;
    wf_trace event = {.type = WF_TRACE_STOP, .text = cut};
    wfi_runtime_trace(rt, &event);
}

void wfi_runtime_trace(const wfi_runtime *rt, const wf_trace *event) {
    if (rt->os->trace) rt->os->trace(rt->os->ctx, event);
}

void wfi_usage_add(wf_usage *to, const wf_usage *from) {
    to->input = wfi_add_sat(to->input, from->input);
    to->output = wfi_add_sat(to->output, from->output);
    to->cache_read = wfi_add_sat(to->cache_read, from->cache_read);
    to->cache_write = wfi_add_sat(to->cache_write, from->cache_write);
    to->nano_usd = wfi_add_sat(to->nano_usd, from->nano_usd);
    to->unpriced = wfi_add_sat(to->unpriced, from->unpriced);
    to->estimated = wfi_add_sat(to->estimated, from->estimated);
}

wf_str wfi_runtime_message(wfi_runtime *rt, const char *text, wf_str detail, bool escaped, wf_str request_id) {
    const size_t cap = 4096;
    char *to = (char *)rt->scratch;
    wf_str head = wfi_str_z(text), id = wfi_utf8_clip(request_id, 200);
    if (detail.len > cap - 400) {
        escaped = false; /* a cut could fall inside an escape */
        detail = wfi_utf8_clip(detail, cap - 400);
    }
    wfi_copy(to, head.ptr, head.len);
    size_t n = head.len;
    if (detail.len > 0) {
        wfi_copy(to + n, ": ", 2);
        n += n > 0 ? 2 : 0;
        if (escaped) {
            n += wf_json_unescape(detail, to + n);
        } else {
            wfi_copy(to + n, detail.ptr, detail.len);
            n += detail.len;
        }
    }
    if (id.len > 0) {
        wfi_copy(to + n, " (request ", 10);
        wfi_copy(to + n + 10, id.ptr, id.len);
        to[n + 10 + id.len] = ')';
        n += id.len + 11;
    }
    for (size_t i = 0, len; i < n; i += len) { /* a server may write in any charset */
        len = wfi_utf8_len((const uint8_t *)to + i, n - i);
        if (len > 0) continue;
        to[i] = '?';
        len = 1;
    }
    return wf_str_of(to, n);
}

const wfi_tariff *wfi_runtime_tariff(wfi_runtime *rt, wf_str model) {
    if (rt->tariff_model.len == 0 || !wfi_str_eq(rt->tariff_model, model)) {
        wfi_price_find(rt->config.prices, model, &rt->tariff);
        size_t n = model.len <= sizeof rt->tariff_name ? model.len : 0;
        wfi_copy(rt->tariff_name, model.ptr, n);
        rt->tariff_model = wf_str_of(rt->tariff_name, n);
    }
    return &rt->tariff;
}

WFI uint32_t wfi_runtime_without(const wfi_runtime *rt, wf_str model) {
    uint32_t crc = wfi_crc32c(0, model.ptr, model.len);
    for (uint32_t i = 0; i < WFI_REFUSALS; i++)
        if (rt->refusals[i].model == crc) return rt->refusals[i].extras;
    return 0;
}

WFI void wfi_runtime_refused(wfi_runtime *rt, wf_str model, uint32_t extra) {
    uint32_t crc = wfi_crc32c(0, model.ptr, model.len), to = 0;
    while (to + 1 < WFI_REFUSALS && rt->refusals[to].extras != 0 && rt->refusals[to].model != crc)
        to++;
    rt->refusals[to] = (wfi_refusal){crc, wfi_runtime_without(rt, model) | extra};
}

/* xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016). */
uint64_t wfi_runtime_random(wfi_runtime *rt, uint64_t below) {
    rt->rng ^= rt->rng >> 12;
    rt->rng ^= rt->rng << 25;
    rt->rng ^= rt->rng >> 27;
    return below ? (rt->rng * 0x2545f4914f6cdd1dull >> 11) % below : 0;
}
