/* date: see date.h. */
#include "date.h"

#define DATE_LAST UINT64_C(253402300799) /* the last second of the year 9999 */

/* Days since 1970-01-01 by the Gregorian calendar. Years begin in March here, so that the odd day is last. */
static int32_t date_days(int32_t year, int32_t month, int32_t day) {
    int32_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* ---- the three forms of RFC 9110, 5.6.7, each as a pattern of fields ---- */

typedef struct date_fields {
    int32_t year, month, day, hour, minute, second;
} date_fields;

static bool date_month(wf_str s, int32_t *out) {
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int32_t i = 0; i < 12; i++)
        if (wfi_str_eq(s, wf_str_of(names + 3 * i, 3))) {
            *out = i + 1;
            return true;
        }
    return false;
}

/* A number of exactly `digits` digits; a day may begin with a blank instead. */
static bool date_field(wf_str s, size_t *at, size_t digits, int32_t *out) {
    wf_str field = wfi_str_cut(s, *at, digits);
    *at += digits;
    if (digits == 2 && field.len == 2 && *field.ptr == ' ') field = wf_str_of(field.ptr + 1, 1);
    uint64_t v;
    if (*at > s.len || !wfi_str_u64(field, &v)) return false;
    *out = (int32_t)v;
    return true;
}

/* Reads one field of a pattern; what is no field stands for itself. */
static bool date_part(char part, wf_str s, size_t *at, date_fields *d) {
    switch (part) {
    case 'W': { /* the name of a day of the week, which tells nothing new */
        size_t from = *at;
        while (*at < s.len && ((s.ptr[*at] | 0x20) >= 'a' && (s.ptr[*at] | 0x20) <= 'z'))
            ++*at;
        return *at > from;
    }
    case 'B':
        *at += 3;
        return date_month(wfi_str_cut(s, *at - 3, 3), &d->month);
    case 'D':
        return date_field(s, at, 2, &d->day);
    case 'Y':
        return date_field(s, at, 4, &d->year);
    case 'y': /* two digits: of this century, or from 70 on of the last one, as everybody reads them */
        if (!date_field(s, at, 2, &d->year)) return false;
        d->year += d->year < 70 ? 2000 : 1900;
        return true;
    case 'h':
        return date_field(s, at, 2, &d->hour);
    case 'm':
        return date_field(s, at, 2, &d->minute);
    case 's':
        return date_field(s, at, 2, &d->second);
    default:
        return *at < s.len && s.ptr[(*at)++] == part;
    }
}

static bool date_matches(const char *pattern, wf_str s, date_fields *d) {
    size_t at = 0;
    for (; *pattern; pattern++)
        if (!date_part(*pattern, s, &at, d)) return false;
    return at == s.len && d->day >= 1 && d->day <= 31 && d->hour < 24 && d->minute < 60 && d->second <= 60;
}

WFI bool wfi_http_date(wf_str s, int64_t *ms) {
    static const char *const patterns[] = {"W, D B Y h:m:s GMT", "W, D-B-y h:m:s GMT", "W B D h:m:s Y"};
    for (size_t i = 0; i < WFI_COUNT(patterns); i++) {
        date_fields d = {0};
        if (!date_matches(patterns[i], s, &d)) continue;
        *ms = ((((int64_t)date_days(d.year, d.month, d.day) * 24 + d.hour) * 60 + d.minute) * 60 + d.second) * 1000;
        return true;
    }
    return false;
}

/* ---- RFC 3339 ---- */

/* `digits` digits at *s, a number from least to most, cut off. */
static bool date_number(wf_str *s, size_t digits, uint64_t least, uint64_t most, uint64_t *out) {
    if (s->len < digits || !wfi_str_u64(wfi_str_cut(*s, 0, digits), out)) return false;
    *s = wfi_str_cut(*s, digits, s->len);
    return *out >= least && *out <= most;
}

static bool date_char(wf_str *s, const char *any) {
    wf_str chars = wfi_str_z(any);
    if (s->len == 0 || wfi_str_find(chars, s->ptr[0]) == chars.len) return false;
    *s = wfi_str_cut(*s, 1, s->len);
    return true;
}

/* Up to milliseconds; what is finer is passed over. */
static bool date_fraction(wf_str *s, uint64_t *ms) {
    uint64_t unit = 100, digit;
    *ms = 0;
    if (!date_char(s, ".")) return true;
    if (!date_number(s, 1, 0, 9, &digit)) return false;
    do {
        *ms += digit * unit;
        unit /= 10;
    } while (date_number(s, 1, 0, 9, &digit));
    return true;
}

/* Z, or the offset of local time, in minutes. */
static bool date_zone(wf_str *s, bool *east, uint64_t *minutes) {
    uint64_t m;
    *minutes = 0;
    *east = false;
    if (date_char(s, "Zz")) return true;
    *east = s->len > 0 && s->ptr[0] == '+';
    if (!date_char(s, "+-") || !date_number(s, 2, 0, 23, minutes) || !date_char(s, ":") ||
        !date_number(s, 2, 0, 59, &m))
        return false;
    *minutes = *minutes * 60 + m;
    return true;
}

WFI bool wfi_rfc3339(wf_str s, uint64_t *out) {
    uint64_t year, month, day, hour, minute, second, ms, zone;
    bool east;
    if (!date_number(&s, 4, 1970, 9999, &year) || !date_char(&s, "-") || !date_number(&s, 2, 1, 12, &month) ||
        !date_char(&s, "-") || !date_number(&s, 2, 1, 31, &day) || !date_char(&s, "Tt ") ||
        !date_number(&s, 2, 0, 23, &hour) || !date_char(&s, ":") || !date_number(&s, 2, 0, 59, &minute) ||
        !date_char(&s, ":") || !date_number(&s, 2, 0, 60, &second) || !date_fraction(&s, &ms) ||
        !date_zone(&s, &east, &zone) || s.len != 0)
        return false;
    uint64_t days = (uint64_t)date_days((int32_t)year, (int32_t)month, (int32_t)day);
    uint64_t minutes = (days * 24 + hour) * 60 + minute;
    if (east && zone > minutes) return false;
    minutes = east ? minutes - zone : minutes + zone;
    *out = (minutes * 60 + second) * 1000 + ms;
    return true;
}

/* ---- for people ---- */

WFI size_t wfi_date_text(uint64_t ms, char out[WFI_DATE_TEXT]) {
    static const char form[] = "0000-00-00 00:00:00 UTC";
    static const uint8_t at[] = {0, 2, 5, 8, 11, 14, 17};
    uint64_t seconds = ms / 1000 < DATE_LAST ? ms / 1000 : DATE_LAST;
    uint32_t time = (uint32_t)(seconds % 86400), days = (uint32_t)(seconds / 86400) + 719468; /* since 0000-03-01 */
    uint32_t era = days / 146097, of_era = days % 146097;
    uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint32_t day = of_era - (365 * year + year / 4 - year / 100), month = (5 * day + 2) / 153;
    day -= (153 * month + 2) / 5;
    month = month < 10 ? month + 3 : month - 9;
    year += era * 400 + (month <= 2);
    const uint32_t fields[] = {year / 100, year % 100, month, day + 1, time / 3600, time / 60 % 60, time % 60};
    wfi_copy(out, form, sizeof form - 1);
    for (size_t i = 0; i < WFI_COUNT(fields); i++) {
        out[at[i]] = (char)('0' + fields[i] / 10);
        out[at[i] + 1] = (char)('0' + fields[i] % 10);
    }
    return sizeof form - 1;
}
