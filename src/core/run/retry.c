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

/* Whether a text begins with these words, in lower case; blanks stand for themselves, hyphens and underscores. */
static bool retry_begins(wf_str text, wf_str words) {
    if (text.len < words.len) return false;
    for (size_t i = 0; i < words.len; i++) {
        char c = wfi_lower(text.ptr[i]);
        if (c != words.ptr[i] && (words.ptr[i] != ' ' || (c != '-' && c != '_'))) return false;
    }
    return true;
}

/* What follows the first of these words, NULL-terminated, that the text holds; false: it holds none. */
static bool retry_find(wf_str *text, const char *const *words) {
    for (; text->len > 0; *text = wfi_str_cut(*text, 1, text->len))
        for (size_t i = 0; words[i]; i++)
            if (retry_begins(*text, wfi_str_z(words[i]))) {
                *text = wfi_str_cut(*text, wfi_str_z(words[i]).len, text->len);
                return true;
            }
    return false;
}

static wf_str retry_skip(wf_str text) {
    static const char *const fillers[] = {" ", "\t", "\"",   "\\",   "'",      ":",
                                          "=", "~",  "and ", "for ", "about ", "at least "};
    for (size_t i = 0; i < WFI_COUNT(fillers); i++)
        if (retry_begins(text, wfi_str_z(fillers[i]))) {
            text = wfi_str_cut(text, wfi_str_z(fillers[i]).len, text.len);
            i = SIZE_MAX; /* from the first one again */
        }
    return text;
}

/* The ms of the unit of time whose name has these letters, or begins with them; 0: there is no such unit. */
static uint64_t retry_unit(wf_str name) {
    static const struct {
        const char *letter, *begin;
        uint32_t ms;
    } units[] = {
        {"ms", "milli", 1}, {"s", "sec", 1000}, {"m", "min", 60000}, {"h", "h", 3600000}, {"d", "day", 86400000}};
    for (size_t i = 0; i < WFI_COUNT(units); i++) {
        wf_str letter = wfi_str_z(units[i].letter);
        bool whole = name.len == letter.len && retry_begins(name, letter);
        if (whole || retry_begins(name, wfi_str_z(units[i].begin))) return units[i].ms;
    }
    return 0;
}

/* The time that a text begins with, as "3.2s", "1m30s", "1 minute and 20 seconds" or, in seconds, "20"; -1: with none. */
static int64_t retry_time(wf_str text) {
    uint64_t sum = 0, n, ms;
    bool any = false;
    for (size_t len; (len = wfi_decimal(text, 3, &n)) > 0; any = true) {
        wf_str rest = wfi_str_cut(text, len, text.len);
        bool date = rest.len > 0 && (*rest.ptr == '-' || *rest.ptr == ':' || *rest.ptr == '/');
        rest = retry_skip(rest);
        size_t letters = 0;
        while (letters < rest.len && wfi_lower(rest.ptr[letters]) >= 'a' && wfi_lower(rest.ptr[letters]) <= 'z')
            letters++;
        ms = letters > 0 ? retry_unit(wfi_str_cut(rest, 0, letters)) : any || date ? 0 : 1000;
        if (ms == 0) break; /* a number of something else */
        if (n > RETRY_HINT_MAX * 1000) n = RETRY_HINT_MAX * 1000; /* thousandths of the unit */
        sum = wfi_add_sat(sum, n * ms / 1000);
        text = retry_skip(wfi_str_cut(rest, letters, rest.len));
    }
    if (!any) return -1;
    return sum < RETRY_HINT_MAX ? (int64_t)sum : RETRY_HINT_MAX;
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
                                        "billing",
                                        NULL};
    return retry_find(&text, words);
}

/* ---- waits ---- */

WFI uint64_t wfi_retry_wait(uint32_t n, int64_t asked_ms, uint32_t random) {
    if (asked_ms > 0) return (uint64_t)asked_ms;
    uint64_t ms = (uint64_t)RETRY_FIRST_MS << (n < RETRY_DOUBLED ? n : RETRY_DOUBLED);
    return ms - ((ms * random + (UINT64_C(1) << 33)) >> 34); /* a quarter of random / 2^32, rounded */
}
