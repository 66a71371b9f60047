/* Tests of retry: every form of the two headers, what of them cannot be used, which statuses are tried again, the curve. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/core/base/date.h"
#include "src/core/http/headers.h"
#include "src/core/model/retry.h"

#include <cmocka.h>

#define NOW UINT64_C(1795178096000) /* 2026-11-20 12:34:56 UTC, a Friday */

typedef struct after_case {
    const char *ms, *seconds;
    int64_t want;
} after_case;

static void check_after(const after_case *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int64_t got = wfi_retry_after(wfi_str_z(cases[i].ms), wfi_str_z(cases[i].seconds), NOW);
        if (got != cases[i].want)
            fail_msg("retry-after-ms '%s', retry-after '%s': %lld", cases[i].ms, cases[i].seconds, (long long)got);
    }
}

static void asked_in_numbers(void **state) {
    (void)state;
    static const after_case cases[] = {
        {"", "", -1},
        {"", "7", 7000},
        {"", "1.5", 1500},
        {"", ".25", 250},
        {"", "1e1", 10000},
        {"", "4 seconds", 4000},
        {"", " 4", 4000},
        {"", "+4", 4000},
        {"", "3600", 3600000},
        {"", "0.0001", 1},
        {"", "0", -1},
        {"", "-0", -1},
        {"", "-5", -1},
        {"", "soon", -1},
        {"", "NaN", -1},
        {"", "2147483.647", 2147483647},
        {"", "2147483.648", 2147483647}, /* no less than what can be waited */
        {"", "99999999999999999999999", 2147483647},
        {"350", "", 350},
        {"120", "9", 120},
        {"0.4", "9", 1},
        {"0", "3", 3000},
        {"0", "", -1},
        {"soon", "3", 3000},
        {"soon", "", -1},
        {"-1", "3", -1}, /* said, and not to be used */
        {"2147483648", "3", 2147483647},
        {"2147483647", "", 2147483647},
    };
    check_after(cases, sizeof cases / sizeof *cases);
}

static void asked_in_dates(void **state) {
    (void)state;
    static const after_case cases[] = {
        {"", "Fri, 20 Nov 2026 12:35:10 GMT", 14000},
        {"0", "Fri, 20 Nov 2026 12:35:10 GMT", 14000},
        {"", "Friday, 20-Nov-26 12:35:10 GMT", 14000},
        {"", "Fri Nov 20 12:35:10 2026", 14000},
        {"", "Tue Dec  1 12:34:56 2026", 11 * 86400000},
        {"", "Fri, 20 Nov 2026 12:34:56 GMT", -1},
        {"", "Fri, 20 Nov 2026 12:00:00 GMT", -1},
        {"", "Sun, 06 Nov 1994 08:49:37 GMT", -1},
        {"", "Sunday, 06-Nov-94 08:49:37 GMT", -1},
        {"", "Fri, 20 Nov 2026 12:35:60 GMT", 64000}, /* a leap second */
        {"", "Fri, 01 Jan 0000 00:00:00 GMT", -1},
        {"", "Fri, 31 Dec 9999 23:59:59 GMT", 2147483647},
        {"", "Fri, 20 Nov 2026 12:35:10", -1},
        {"", "Fri, 20 Nov 2026 12:35:10 GMT+1", -1},
        {"", "Fri, 20 Nov 2026 12:35:10 CET", -1},
        {"", "Fri, 20 Nov 2026 24:35:10 GMT", -1},
        {"", "Fri, 20 Nov 2026 12:60:10 GMT", -1},
        {"", "Fri, 20 Nov 2026 12:35:61 GMT", -1},
        {"", "Fri, 00 Nov 2026 12:35:10 GMT", -1},
        {"", "Fri, 32 Nov 2026 12:35:10 GMT", -1},
        {"", "Fri, 20 Nox 2026 12:35:10 GMT", -1},
        {"", ", 20 Nov 2026 12:35:10 GMT", -1},
    };
    check_after(cases, sizeof cases / sizeof *cases);
    char text[] = "Fri, 20 Nov 2026 12:35:10 GMT";
    for (size_t n = 0; n < sizeof text - 1; n++) /* cut anywhere: no date, and nothing is read behind it */
        assert_int_equal(wfi_retry_after(WF_STR(""), wf_str_of(text, n), NOW), -1);
    assert_int_equal(wfi_retry_after(WF_STR(""), WF_STR("Fri, 20 Nov 2026 12:35:10 GMT"), UINT64_MAX), -1);
}

/* Every day of the Gregorian cycle, counted one by one. */
static void dates_follow_the_calendar(void **state) {
    (void)state;
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t wall = 0;
    for (int year = 1970; year < 2371; year++)
        for (int month = 0; month < 12; month++) {
            bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            int days = lengths[month] + (month == 1 && leap ? 1 : 0);
            for (int day = 1; day <= days; day++, wall += 86400000) {
                char text[40];
                int n = snprintf(text, sizeof text, "Mon, %02d %s %04d 00:00:01 GMT", day, months[month], year);
                assert_int_equal(wfi_retry_after(WF_STR(""), wf_str_of(text, (size_t)n), wall), 1000);
            }
        }
}

static void statuses(void **state) {
    (void)state;
    for (uint32_t status = 100; status < 1000; status++) {
        bool want = status == 408 || status == 409 || status == 429 || status >= 500;
        assert_int_equal(wfi_retry_wanted(status, -1), want);
        assert_true(wfi_retry_wanted(status, 1));
        assert_false(wfi_retry_wanted(status, 0));
    }
}

typedef struct text_case {
    const char *text;
    int64_t want;
} text_case;

static void waits_in_texts(void **state) {
    (void)state;
    static const text_case cases[] = {
        {"Rate limit reached. Please try again in 3.2s.", 3200},
        {"Please try again in 120ms. Visit", 120},
        {"Please try again in 1m30s.", 60000},
        {"try again in 0m20.5s", 20500},
        {"Try Again In 1 minute and 5 seconds", 60000},
        {"Please retry after 20 seconds.", 20000},
        {"Retry after 20 secs", 20000},
        {"retry after 7", 7000},
        {"retry after: 7.", 7000},
        {"Retry-After: 12", 12000},
        {"{\"error\":\"busy\",\"retry_after\":2.5}", 2500},
        {"{\"retryDelay\": \"34.074824224s\"}", 34075},
        {"{\\\"retryDelay\\\": \\\"34s\\\"}", 34000},
        {"Please wait 30 seconds before you ask again", 30000},
        {"wait for about 5 sec", 5000},
        {"too many requests; limit resets in 45s", 45000},
        {"expected available in 12 seconds", 12000},
        {"you must wait until the retries end, then try again in 2 s", 2000},
        {"try again in 7h12m", 60000},
        {"try again in 2 days", 60000},
        {"try again in 99999999999999999999999999 hours", 60000},
        {"try again in 0 seconds", -1},
        {"try again in a minute", -1},
        {"retry after 3 attempts", -1},
        {"try again in 5 months", -1},
        {"retry after 2026-12-01T10:00:00Z", -1},
        {"retry after 10:30", -1},
        {"limit of 50 requests per 1 minute", -1},
        {"try again in ", -1},
        {"wait 3", 3000},
        {"wait", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wf_str text = wfi_str_z(cases[i].text);
        int64_t got = wfi_retry_hint(text);
        if (got != cases[i].want) fail_msg("'%s': %lld", cases[i].text, (long long)got);
        for (size_t n = 0; n < text.len; n++) { /* cut anywhere: nothing is read behind it */
            char *cut = malloc(n + 1);
            memcpy(cut, text.ptr, n);
            assert_in_range(wfi_retry_hint(wf_str_of(cut, n)) + 1, 0, 60001);
            free(cut);
        }
    }
}

static void texts_of_a_quota(void **state) {
    (void)state;
    static const text_case cases[] = {
        {"You exceeded your current quota, please check your plan and billing details.", true},
        {"{\"error\":{\"code\":\"insufficient_quota\"}}", true},
        {"Your Credit Balance is too low", true},
        {"the monthly spend limit is reached", true},
        {"Number of request tokens has exceeded your per-minute rate limit", false},
        {"Quota exceeded for requests per minute", false},
        {"Overloaded", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (wfi_retry_is_spent(wfi_str_z(cases[i].text)) != (cases[i].want == true)) fail_msg("'%s'", cases[i].text);
}

/* Every day of some centuries, counted one by one. */
static void times_of_day(void **state) {
    (void)state;
    char text[WFI_DATE_TEXT], want[80];
    for (uint64_t day = 0; day < 150000; day++) {
        time_t at = (time_t)(day * 86400 + day * 7919 % 86400);
        struct tm tm;
        assert_non_null(gmtime_r(&at, &tm));
        size_t n = strftime(want, sizeof want, "%Y-%m-%d %H:%M:%S UTC", &tm);
        assert_int_equal(wfi_date_text((uint64_t)at * 1000 + 999, text), n);
        assert_memory_equal(text, want, n);
    }
    assert_in_range(wfi_date_text(UINT64_MAX, text), 23, sizeof text);
}

static void curve(void **state) {
    (void)state;
    static const uint64_t full[] = {500, 1000, 2000, 4000, 8000, 8000, 8000},
                          least[] = {375, 750, 1500, 3000, 6000, 6000, 6000};
    for (uint32_t n = 0; n < sizeof full / sizeof *full; n++) {
        assert_int_equal(wfi_retry_wait(n, -1, 0), full[n]);
        assert_int_equal(wfi_retry_wait(n, -1, UINT32_MAX), least[n]);
        assert_int_equal(wfi_retry_wait(n, -1, UINT32_MAX / 2), (full[n] + least[n] + 1) / 2);
        assert_int_equal(wfi_retry_wait(n, 0, 0), full[n]);
    }
    assert_int_equal(wfi_retry_wait(UINT32_MAX, -1, 0), 8000);
    assert_int_equal(wfi_retry_wait(3, 1, UINT32_MAX), 1); /* what is asked for is not shortened */
    assert_int_equal(wfi_retry_wait(0, 3600000, 0), 3600000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asked_in_numbers),
        cmocka_unit_test(asked_in_dates),
        cmocka_unit_test(dates_follow_the_calendar),
        cmocka_unit_test(statuses),
        cmocka_unit_test(waits_in_texts),
        cmocka_unit_test(texts_of_a_quota),
        cmocka_unit_test(times_of_day),
        cmocka_unit_test(curve),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
