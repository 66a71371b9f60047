/* retry: the vendors' libraries agree on when to try again and for how long to wait; this is that policy, to the letter.
 *
 * Contract: retry.h. Nothing is kept. Fractions of a millisecond are rounded up, so that nobody is asked too early and a wait that is
 * asked for is never taken for none. */
#include "retry.h"

#define RETRY_MAX_MS                                                                                                   \
    INT64_C(2147483647) /* what timers of the vendors' libraries can hold; more counts as nothing said */
#define RETRY_FIRST_MS 500u
#define RETRY_DOUBLED  4u /* times: 8 s */

/* The number that a header begins with, times 10^shift; false: it begins with none. Anything below zero reads as -1, anything too
 * large as RETRY_MAX_MS + 1: neither can be used, but both have been said. */
static bool retry_number(wf_str text, int32_t shift, int64_t *out) {
    while (text.len > 0 && (*text.ptr == ' ' || *text.ptr == '\t'))
        text = wf_str_of(text.ptr + 1, text.len - 1);
    bool minus = text.len > 0 && *text.ptr == '-';
    if (minus || (text.len > 0 && *text.ptr == '+')) text = wf_str_of(text.ptr + 1, text.len - 1);
    uint64_t v;
    if (wfi_decimal(text, shift, &v) == 0) return false;
    if (v > (uint64_t)RETRY_MAX_MS) v = (uint64_t)RETRY_MAX_MS + 1;
    *out = minus && v > 0 ? -1 : (int64_t)v;
    return true;
}

/* ---- dates: the three forms of RFC 9110, 5.6.7, each as a pattern of fields ---- */

typedef struct retry_date {
    int64_t year, month, day, hour, minute, second;
} retry_date;

static bool retry_month(wf_str s, int64_t *out) {
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int64_t i = 0; i < 12; i++)
        if (wfi_str_eq(s, wf_str_of(names + 3 * i, 3))) {
            *out = i + 1;
            return true;
        }
    return false;
}

/* A number of exactly `digits` digits; a day may begin with a blank instead. */
static bool retry_field(wf_str s, size_t *at, size_t digits, int64_t *out) {
    wf_str field = wfi_str_cut(s, *at, digits);
    *at += digits;
    if (digits == 2 && field.len == 2 && *field.ptr == ' ') field = wf_str_of(field.ptr + 1, 1);
    uint64_t v;
    if (*at > s.len || !wfi_str_u64(field, &v)) return false;
    *out = (int64_t)v;
    return true;
}

/* Reads one field of a pattern; what is no field stands for itself. */
static bool retry_part(char part, wf_str s, size_t *at, retry_date *d) {
    switch (part) {
    case 'W': { /* the name of a day of the week, which tells nothing new */
        size_t from = *at;
        while (*at < s.len && ((s.ptr[*at] | 0x20) >= 'a' && (s.ptr[*at] | 0x20) <= 'z'))
            ++*at;
        return *at > from;
    }
    case 'B':
        *at += 3;
        return retry_month(wfi_str_cut(s, *at - 3, 3), &d->month);
    case 'D':
        return retry_field(s, at, 2, &d->day);
    case 'Y':
        return retry_field(s, at, 4, &d->year);
    case 'y': /* two digits: of this century, which is right or long ago or far too late */
        if (!retry_field(s, at, 2, &d->year)) return false;
        d->year += 2000;
        return true;
    case 'h':
        return retry_field(s, at, 2, &d->hour);
    case 'm':
        return retry_field(s, at, 2, &d->minute);
    case 's':
        return retry_field(s, at, 2, &d->second);
    default:
        return *at < s.len && s.ptr[(*at)++] == part;
    }
}

static bool retry_matches(const char *pattern, wf_str s, retry_date *d) {
    size_t at = 0;
    for (; *pattern; pattern++)
        if (!retry_part(*pattern, s, &at, d)) return false;
    return at == s.len && d->day >= 1 && d->day <= 31 && d->hour < 24 && d->minute < 60 && d->second <= 60;
}

/* Seconds since 1970 of a day and time in UTC, by the Gregorian calendar. Years begin in March here, so that the odd day is last. */
static int64_t retry_seconds(const retry_date *d) {
    int64_t year = d->month > 2 ? d->year : d->year - 1, month = d->month > 2 ? d->month - 3 : d->month + 9;
    int64_t days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + d->day - 1 - 719468;
    return ((days * 24 + d->hour) * 60 + d->minute) * 60 + d->second;
}

static bool retry_http_date(wf_str s, int64_t *ms) {
    static const char *const patterns[] = {"W, D B Y h:m:s GMT", "W, D-B-y h:m:s GMT", "W B D h:m:s Y"};
    for (size_t i = 0; i < WFI_COUNT(patterns); i++) {
        retry_date d = {0};
        if (!retry_matches(patterns[i], s, &d)) continue;
        *ms = retry_seconds(&d) * 1000;
        return true;
    }
    return false;
}

/* ---- the policy ---- */

WFI int64_t wfi_retry_after(wf_str retry_after_ms, wf_str retry_after, uint64_t wall_ms) {
    int64_t ms = 0;
    if (!retry_number(retry_after_ms, 0, &ms) || ms == 0) {
        if (!retry_number(retry_after, 3, &ms)) {
            if (!retry_http_date(retry_after, &ms) || wall_ms > INT64_MAX) return -1;
            ms -= (int64_t)wall_ms;
        }
    }
    return ms > 0 && ms <= RETRY_MAX_MS ? ms : -1;
}

WFI bool wfi_retry_wanted(uint32_t status, int32_t should_retry) {
    if (should_retry >= 0) return should_retry > 0;
    return status == 408 || status == 409 || status == 429 || status >= 500;
}

WFI uint64_t wfi_retry_wait(uint32_t n, int64_t asked_ms, uint32_t random) {
    if (asked_ms > 0) return (uint64_t)asked_ms;
    uint64_t ms = (uint64_t)RETRY_FIRST_MS << (n < RETRY_DOUBLED ? n : RETRY_DOUBLED);
    return ms - ((ms * random + (UINT64_C(1) << 33)) >> 34); /* a quarter of random / 2^32, rounded */
}
