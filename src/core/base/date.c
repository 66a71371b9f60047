/* date: see date.h. */
#include "date.h"

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

static size_t date_put(char *to, uint64_t n, char after) {
    to[0] = (char)('0' + n / 10 % 10);
    to[1] = (char)('0' + n % 10);
    to[2] = after;
    return 3;
}

WFI size_t wfi_date_text(uint64_t ms, char out[WFI_DATE_TEXT]) {
    uint64_t minutes = ms / 60000, last = (uint64_t)date_days(9999, 12, 31) * 1440 + 1439;
    if (minutes > last) minutes = last;
    int32_t days = (int32_t)(minutes / 1440), year = 1970 + days / 366, month = 1;
    while (days >= date_days(year + 1, 1, 1))
        year++;
    while (month < 12 && days >= date_days(year, month + 1, 1))
        month++;
    size_t n = wfi_u64_str((uint64_t)year, out);
    out[n++] = '-';
    n += date_put(out + n, (uint64_t)month, '-');
    n += date_put(out + n, (uint64_t)(days - date_days(year, month, 1) + 1), ' ');
    n += date_put(out + n, minutes / 60 % 24, ':');
    n += date_put(out + n, minutes % 60, ':');
    n += date_put(out + n, ms / 1000 % 60, ' ');
    wfi_copy(out + n, "UTC", 3);
    return n + 3;
}
