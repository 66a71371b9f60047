/* retry: the vendors' libraries agree on when to try again and for how long to wait; this is that policy, to the letter.
 *
 * Contract: retry.h. Nothing is kept. */
#include "retry.h"

#define RETRY_FIRST_MS 500u
#define RETRY_DOUBLED  4u /* times: 8 s */
#define RETRY_HINT_MAX 60000

WFI bool wfi_retry_wanted(uint32_t status, int32_t should_retry) {
    if (should_retry >= 0) return should_retry > 0;
    return status == 408 || status == 409 || status == 429 || status >= 500;
}

/* ---- texts ---- */

/* Whether a text begins with these words, in lower case; blanks stand for themselves, hyphens and
 * underscores. */
static bool retry_begins(wf_str text, wf_str words) {
    if (text.len < words.len) return false;
    for (size_t i = 0; i < words.len; i++) {
        char c = wfi_lower(text.ptr[i]);
        if (c != words.ptr[i] && (words.ptr[i] != ' ' || (c != '-' && c != '_'))) return false;
    }
    return true;
}

/* What follows the first of these words, NULL-terminated, that the text holds; false: it holds
 * none. */
static bool retry_find(wf_str *text, const char *const *words) {
    for (; text->len > 0; *text = wfi_str_cut(*text, 1, text->len))
        for (size_t i = 0; words[i]; i++)
            if (retry_begins(*text, wfi_str_z(words[i]))) {
                *text = wfi_str_cut(*text, wfi_str_z(words[i]).len, text->len);
                return true;
            }
    return false;
}

static bool retry_is_letter(char c) {
    return wfi_lower(c) >= 'a' && wfi_lower(c) <= 'z';
}

/* Without what may stand before a number: anything that is neither a letter nor a digit, and some
 * words. */
static wf_str retry_skip(wf_str text) {
    static const char *const fillers[] = {"and ", "for ", "about "};
    for (size_t i = 0; text.len > 0 && i < WFI_COUNT(fillers);) {
        wf_str filler = wfi_str_z(fillers[i]);
        bool sign = !retry_is_letter(*text.ptr) && (*text.ptr < '0' || *text.ptr > '9');
        bool word = retry_begins(text, filler);
        if (sign || word) text = wfi_str_cut(text, sign ? 1 : filler.len, text.len);
        i = sign || word ? 0 : i + 1;
    }
    return text;
}

/* The ms of the unit of time with this name; 0: there is no such unit. */
static uint64_t retry_unit(wf_str name) {
    char second = name.len > 1 ? wfi_lower(name.ptr[1]) : 0, third = name.len > 2 ? wfi_lower(name.ptr[2]) : 0;
    switch (wfi_lower(*name.ptr)) {
    case 's':
        return 1000;
    case 'm': /* m, min, ms, milliseconds */
        if (second == 's' || third == 'l') return 1;
        return second == 0 || second == 'i' ? 60000 : 0;
    case 'h':
        return 3600000;
    case 'd':
        return 86400000;
    default:
        return 0;
    }
}

/* The time that a text begins with, as "3.2s", "1m30s", "1 minute and 20 seconds" or, in seconds,
 * "20"; -1: with none. */
static int64_t retry_time(wf_str text) {
    int64_t sum = -1;
    for (uint64_t n, ms; sum < RETRY_HINT_MAX; sum = (sum < 0 ? 0 : sum) + (int64_t)(n * ms / 1000)) {
        size_t len = wfi_decimal(text, 3, &n), letters = 0;
        wf_str rest = wfi_str_cut(text, len, text.len), name = retry_skip(rest);
        while (letters < name.len && retry_is_letter(name.ptr[letters]))
            letters++;
        bool date = rest.len > 0 && (*rest.ptr == '-' || *rest.ptr == ':' || *rest.ptr == '/');
        ms = letters > 0 ? retry_unit(wfi_str_cut(name, 0, letters)) : sum < 0 && !date ? 1000 : 0;
        if (len == 0 || ms == 0) return sum;                      /* no number, or one of something else */
        if (n > RETRY_HINT_MAX * 1000) n = RETRY_HINT_MAX * 1000; /* thousandths of the unit */
        text = retry_skip(wfi_str_cut(name, letters, name.len));
    }
    return RETRY_HINT_MAX;
}

WFI int64_t wfi_retry_hint(wf_str text) {
    static const char *const words[] = {"again in ",     "again after ",  "retry in ", "retry after", "retryafter",
                                        "retrydelay",    "wait ",         "reset in ", "resets in ",  "reset after ",
                                        "resets after ", "available in ", NULL};
    while (retry_find(&text, words)) {
        int64_t ms = retry_time(retry_skip(text));
        if (ms > 0) return ms;
    }
    return -1;
}

WFI bool wfi_retry_is_spent(wf_str text) {
    static const char *const words[] = {"insufficient quota",
                                        "exceeded your current quota",
                                        "credit balance",
                                        "out of credits",
                                        "spend limit",
                                        "spending limit",
                                        NULL};
    return retry_find(&text, words);
}

/* ---- waits ---- */

WFI uint64_t wfi_retry_wait(uint32_t n, int64_t asked_ms, uint32_t random) {
    if (asked_ms > 0) return (uint64_t)asked_ms;
    uint64_t ms = (uint64_t)RETRY_FIRST_MS << (n < RETRY_DOUBLED ? n : RETRY_DOUBLED);
    return ms - ((ms * random + (UINT64_C(1) << 33)) >> 34); /* a quarter of random / 2^32, rounded */
}
