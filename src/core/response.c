/* response: see response.h. Values that are longer than their place, or make no sense, count as absent. */
#include "response.h"
#include "retry.h"

#define RESPONSE_NO_ID UINT32_MAX

WFI void wfi_response_begin(wfi_response *r) {
    wfi_zero(r, offsetof(wfi_response, type)); /* what the buffers hold is said by their lengths */
    r->id_rank = RESPONSE_NO_ID;
    r->should_retry = -1;
}

static uint32_t response_keep(char *to, size_t cap, wf_str value, bool cut) {
    if (cut || value.len > cap) return 0;
    wfi_copy(to, value.ptr, value.len);
    return (uint32_t)value.len;
}

/* ---- dates ---- */

/* `digits` digits at *s, a number from least to most, cut off. */
static bool response_number(wf_str *s, size_t digits, uint64_t least, uint64_t most, uint64_t *out) {
    if (s->len < digits || !wfi_str_u64(wfi_str_cut(*s, 0, digits), out)) return false;
    *s = wfi_str_cut(*s, digits, s->len);
    return *out >= least && *out <= most;
}

static bool response_char(wf_str *s, const char *any) {
    wf_str chars = wfi_str_z(any);
    if (s->len == 0 || wfi_str_find(chars, s->ptr[0]) == chars.len) return false;
    *s = wfi_str_cut(*s, 1, s->len);
    return true;
}

/* Days since 1970-01-01. Years are counted from March, so that the day of a leap year comes last. */
static uint64_t response_days(uint64_t year, uint64_t month, uint64_t day) {
    uint64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

/* Up to milliseconds; what is finer is passed over. */
static bool response_fraction(wf_str *s, uint64_t *ms) {
    uint64_t unit = 100, digit;
    *ms = 0;
    if (!response_char(s, ".")) return true;
    if (!response_number(s, 1, 0, 9, &digit)) return false;
    do {
        *ms += digit * unit;
        unit /= 10;
    } while (response_number(s, 1, 0, 9, &digit));
    return true;
}

/* Z, or the offset of local time, in minutes. */
static bool response_zone(wf_str *s, bool *east, uint64_t *minutes) {
    uint64_t m;
    *minutes = 0;
    *east = false;
    if (response_char(s, "Zz")) return true;
    *east = s->len > 0 && s->ptr[0] == '+';
    if (!response_char(s, "+-") || !response_number(s, 2, 0, 23, minutes) || !response_char(s, ":") ||
        !response_number(s, 2, 0, 59, &m))
        return false;
    *minutes = *minutes * 60 + m;
    return true;
}

WFI bool wfi_rfc3339(wf_str s, uint64_t *out) {
    uint64_t year, month, day, hour, minute, second, ms, zone;
    bool east;
    if (!response_number(&s, 4, 1970, 9999, &year) || !response_char(&s, "-") ||
        !response_number(&s, 2, 1, 12, &month) || !response_char(&s, "-") || !response_number(&s, 2, 1, 31, &day) ||
        !response_char(&s, "Tt ") || !response_number(&s, 2, 0, 23, &hour) || !response_char(&s, ":") ||
        !response_number(&s, 2, 0, 59, &minute) || !response_char(&s, ":") || !response_number(&s, 2, 0, 60, &second) ||
        !response_fraction(&s, &ms) || !response_zone(&s, &east, &zone) || s.len != 0)
        return false;
    uint64_t minutes = (response_days(year, month, day) * 24 + hour) * 60 + minute;
    if (east && zone > minutes) return false;
    minutes = east ? minutes - zone : minutes + zone;
    *out = (minutes * 60 + second) * 1000 + ms;
    return true;
}

/* ---- headers ---- */

static void response_type(wfi_response *r, wf_str value, bool cut) {
    size_t n = wfi_str_find(value, ';');
    cut = cut && n == value.len;
    while (n > 0 && (value.ptr[n - 1] == ' ' || value.ptr[n - 1] == '\t'))
        n--;
    r->type_len = response_keep(r->type, sizeof r->type, wfi_str_cut(value, 0, n), cut);
    for (uint32_t i = 0; i < r->type_len; i++)
        if (r->type[i] >= 'A' && r->type[i] <= 'Z') r->type[i] = (char)(r->type[i] + ('a' - 'A'));
}

static bool response_id(wfi_response *r, wf_str name, wf_str value) {
    static const char *const names[] = {"request-id", "x-request-id", "x-amzn-requestid"};
    for (uint32_t i = 0; i < WFI_COUNT(names); i++) {
        if (!wfi_str_eq(name, wfi_str_z(names[i]))) continue;
        if (i < r->id_rank && value.len > 0) {
            r->id_rank = i;
            r->id_len = response_keep(r->id, sizeof r->id, wfi_str_cut(value, 0, sizeof r->id), false);
        }
        return true;
    }
    return false;
}

static void response_rate(wf_rates *rates, wf_str name, wf_str value) {
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

WFI void wfi_response_header(wfi_response *r, wf_str name, wf_str value, bool cut, wf_rates *rates) {
    const wf_str limits = WF_STR("anthropic-ratelimit-");
    if (response_id(r, name, value)) return;
    if (wfi_str_eq(name, WF_STR("content-type")))
        response_type(r, value, cut);
    else if (wfi_str_eq(name, WF_STR("retry-after-ms")))
        r->retry_ms_len = response_keep(r->retry_ms, sizeof r->retry_ms, value, cut);
    else if (wfi_str_eq(name, WF_STR("retry-after")))
        r->retry_len = response_keep(r->retry, sizeof r->retry, value, cut);
    else if (wfi_str_eq(name, WF_STR("x-should-retry")))
        r->should_retry = wfi_str_eq(value, WF_STR("true")) ? 1 : wfi_str_eq(value, WF_STR("false")) ? 0 : -1;
    else if (wfi_str_eq(name, WF_STR("content-encoding")))
        r->packed |= value.len > 0 && !wfi_same_name(value, WF_STR("identity"));
    else if (rates && !cut && wfi_str_eq(wfi_str_cut(name, 0, limits.len), limits))
        response_rate(rates, wfi_str_cut(name, limits.len, name.len), value);
}

WFI void wfi_response_get(const wfi_response *r, uint32_t status, uint64_t wall_ms, wf_response *out) {
    wf_str retry_ms = wf_str_of(r->retry_ms, r->retry_ms_len), retry = wf_str_of(r->retry, r->retry_len);
    out->status = status;
    out->retry_after_ms = wfi_retry_after(retry_ms, retry, wall_ms);
    out->should_retry = r->should_retry;
    out->request_id = wf_str_of(r->id, r->id_len);
    out->content_type = wf_str_of(r->type, r->type_len);
}
