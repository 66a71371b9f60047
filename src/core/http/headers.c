/* headers: see headers.h. Values that are longer than their place, or make no sense, count as absent. */
#include "headers.h"
#include "url.h"
#include "../base/date.h"

#define HEADERS_NO_ID UINT32_MAX
#define HEADERS_WAIT_MAX                                                                                               \
    INT64_C(2147483647) /* what timers of the vendors' libraries can hold; more is as good as this */

WFI void wfi_headers_begin(wfi_headers *r) {
    wfi_zero(r, offsetof(wfi_headers, type)); /* what the buffers hold is said by their lengths */
    r->id_rank = HEADERS_NO_ID;
    r->should_retry = -1;
}

static uint32_t headers_keep(char *to, size_t cap, wf_str value, bool cut) {
    if (cut || value.len > cap) return 0;
    wfi_copy(to, value.ptr, value.len);
    return (uint32_t)value.len;
}

/* ---- the wait that is asked for. Fractions of a millisecond are rounded up, so that nobody is asked too early and a wait that is
 * asked for is never taken for none. ---- */

/* The number that a header begins with, times 10^shift; false: it begins with none. Anything below zero reads as -1, anything too
 * large as HEADERS_WAIT_MAX + 1: neither can be used, but both have been said. */
static bool headers_number(wf_str text, int32_t shift, int64_t *out) {
    while (text.len > 0 && (*text.ptr == ' ' || *text.ptr == '\t'))
        text = wf_str_of(text.ptr + 1, text.len - 1);
    bool minus = text.len > 0 && *text.ptr == '-';
    if (minus || (text.len > 0 && *text.ptr == '+')) text = wf_str_of(text.ptr + 1, text.len - 1);
    uint64_t v;
    if (wfi_decimal(text, shift, &v) == 0) return false;
    if (v > (uint64_t)HEADERS_WAIT_MAX) v = (uint64_t)HEADERS_WAIT_MAX + 1;
    *out = minus && v > 0 ? -1 : (int64_t)v;
    return true;
}

WFI int64_t wfi_retry_after(wf_str retry_after_ms, wf_str retry_after, uint64_t wall_ms) {
    int64_t ms = 0;
    if (!headers_number(retry_after_ms, 0, &ms) || ms == 0) {
        if (!headers_number(retry_after, 3, &ms)) {
            if (!wfi_http_date(retry_after, &ms) || wall_ms > INT64_MAX) return -1;
            ms -= (int64_t)wall_ms;
        }
    }
    if (ms > HEADERS_WAIT_MAX) return HEADERS_WAIT_MAX;
    return ms > 0 ? ms : -1;
}

/* ---- headers ---- */

static void headers_type(wfi_headers *r, wf_str value, bool cut) {
    size_t n = wfi_str_find(value, ';');
    cut = cut && n == value.len;
    while (n > 0 && (value.ptr[n - 1] == ' ' || value.ptr[n - 1] == '\t'))
        n--;
    r->type_len = headers_keep(r->type, sizeof r->type, wfi_str_cut(value, 0, n), cut);
    for (uint32_t i = 0; i < r->type_len; i++)
        r->type[i] = wfi_lower(r->type[i]);
}

static bool headers_id(wfi_headers *r, wf_str name, wf_str value) {
    static const char *const names[] = {"request-id", "x-request-id", "x-amzn-requestid"};
    for (uint32_t i = 0; i < WFI_COUNT(names); i++) {
        if (!wfi_str_eq(name, wfi_str_z(names[i]))) continue;
        if (i < r->id_rank && value.len > 0) {
            r->id_rank = i;
            r->id_len = headers_keep(r->id, sizeof r->id, wfi_str_cut(value, 0, sizeof r->id), false);
        }
        return true;
    }
    return false;
}

static void headers_rate(wf_rates *rates, wf_str name, wf_str value) {
    static const char *const kinds[] = {"requests-", "tokens-", "input-tokens-", "output-tokens-"};
    wf_rate *const slots[] = {&rates->requests, &rates->tokens, &rates->input_tokens, &rates->output_tokens};
    uint64_t n;
    for (size_t i = 0; i < WFI_COUNT(kinds); i++) {
        wf_str kind = wfi_str_z(kinds[i]), what = wfi_str_cut(name, kind.len, name.len);
        if (!wfi_str_eq(wfi_str_cut(name, 0, kind.len), kind)) continue;
        bool reset = wfi_str_eq(what, WF_STR("reset")), limit = wfi_str_eq(what, WF_STR("limit"));
        if (!reset && !limit && !wfi_str_eq(what, WF_STR("remaining"))) return;
        if (!(reset ? wfi_rfc3339(value, &n) : wfi_str_u64(value, &n))) return;
        *(reset ? &slots[i]->reset_ms : limit ? &slots[i]->limit : &slots[i]->remaining) = n;
        slots[i]->known = true;
        return;
    }
}

WFI void wfi_headers_header(wfi_headers *r, wf_str name, wf_str value, bool cut, wf_rates *rates) {
    const wf_str limits = WF_STR("anthropic-ratelimit-");
    if (headers_id(r, name, value)) return;
    if (wfi_str_eq(name, WF_STR("content-type")))
        headers_type(r, value, cut);
    else if (wfi_str_eq(name, WF_STR("retry-after-ms")))
        r->retry_ms_len = headers_keep(r->retry_ms, sizeof r->retry_ms, value, cut);
    else if (wfi_str_eq(name, WF_STR("retry-after")))
        r->retry_len = headers_keep(r->retry, sizeof r->retry, value, cut);
    else if (wfi_str_eq(name, WF_STR("date")))
        r->date_len = headers_keep(r->date, sizeof r->date, value, cut);
    else if (wfi_str_eq(name, WF_STR("x-should-retry")))
        r->should_retry = wfi_str_eq(value, WF_STR("true")) ? 1 : wfi_str_eq(value, WF_STR("false")) ? 0 : -1;
    else if (wfi_str_eq(name, WF_STR("content-encoding")))
        r->packed |= value.len > 0 && !wfi_same_name(value, WF_STR("identity"));
    else if (rates && !cut && wfi_str_eq(wfi_str_cut(name, 0, limits.len), limits))
        headers_rate(rates, wfi_str_cut(name, limits.len, name.len), value);
}

WFI void wfi_headers_get(const wfi_headers *r, uint32_t status, uint64_t wall_ms, wf_response *out) {
    wf_str retry_ms = wf_str_of(r->retry_ms, r->retry_ms_len), retry = wf_str_of(r->retry, r->retry_len);
    int64_t date;
    if (wfi_http_date(wf_str_of(r->date, r->date_len), &date) && date > 0) wall_ms = (uint64_t)date;
    out->status = status;
    out->retry_after_ms = wfi_retry_after(retry_ms, retry, wall_ms);
    out->should_retry = r->should_retry;
    out->request_id = wf_str_of(r->id, r->id_len);
    out->content_type = wf_str_of(r->type, r->type_len);
}
