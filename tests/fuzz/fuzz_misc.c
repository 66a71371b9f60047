/* fuzz_misc: feeds any text to the small readers of text: addresses, lists of hosts, dates, waits, decimal numbers, prices, and to
 * the renderer of API calls. The first byte says which call.
 *
 * Judges: an address has a host and a port that can be, and is in a list of itself; a wait is none or positive and bounded; a
 * number takes no more than there is, and grows with its shift; a model with a date has a price if its model has; a rendered
 * request has only bytes that a head may have, and room enough where the header promises it. */
#include "input.h"

#include "src/api/net.h"
#include "src/core/base/date.h"
#include "src/core/http/headers.h"
#include "src/core/http/parse.h"
#include "src/core/http/url.h"

static void misc_address(wf_str text) {
    wfi_url url;
    const char *why = NULL;
    if (wfi_url_parse(text, &url, &why) != WF_OK) {
        FUZZ_MUST(why && why[0]);
        return;
    }
    FUZZ_MUST(url.host.len > 0 && url.host.len <= 253 && url.port > 0 && url.port <= 65535);
    FUZZ_MUST(url.path.len == 0 || url.path.ptr[0] == '/');
    (void)wfi_host_is_loopback(url.host);
    FUZZ_MUST(wfi_host_is_listed(url.host, url.host, url.port));
    FUZZ_MUST(wfi_host_is_listed(WF_STR("*"), url.host, url.port));
}

static void misc_wait(wf_str retry_after_ms, wf_str retry_after) {
    int64_t wait = wfi_retry_after(retry_after_ms, retry_after, 1700000000000u);
    FUZZ_MUST(wait == -1 || (wait > 0 && wait <= INT32_MAX));
}

static void misc_numbers(wf_str text) {
    uint64_t time, number, larger;
    int64_t date;
    (void)wfi_rfc3339(text, &time);
    (void)wfi_http_date(text, &date);
    for (int32_t shift = -3; shift < 12; shift++) {
        size_t n = wfi_decimal(text, shift, &number);
        FUZZ_MUST(n <= text.len && wfi_decimal(text, shift + 1, &larger) == n);
        if (n > 0) FUZZ_MUST(larger >= number);
    }
}

static void misc_prices(wf_str list) {
    wf_error error = {WF_OK, NULL, 0};
    wf_usage usage = {.input = 1000, .output = 1u << 30, .cache_read = 5, .cache_write = 6};
    uint64_t cost = 0;
    wf_status status = wf_prices_check(list, &error);
    FUZZ_MUST(status == WF_OK || (status == WF_E_SYNTAX && error.text && error.offset > 0));
    FUZZ_MUST(wf_prices_cost(list, WF_STR("m"), &usage, &cost) == wf_prices_known(list, WF_STR("m")));
    FUZZ_MUST(!wf_prices_known(list, WF_STR("m")) || wf_prices_known(list, WF_STR("m-20250101")));
}

static void misc_judge_request(const wf_messages_request *q, wf_status status) {
    if (status != WF_OK) return;
    FUZZ_MUST(q->method.len > 0 && q->path.len > 0 && q->path.ptr[0] == '/');
    FUZZ_MUST(q->header_count <= WF_MESSAGES_HEADERS);
    for (uint32_t i = 0; i < q->header_count; i++)
        FUZZ_MUST(wfi_parse_name_ok(q->headers[i].name) && wfi_parse_value_ok(q->headers[i].value));
    for (size_t i = 0; i < q->path.len; i++)
        FUZZ_MUST((uint8_t)q->path.ptr[i] > ' ' && (uint8_t)q->path.ptr[i] < 0x7f);
}

/* Renders into this much room, which ends where its memory does. */
static wf_status misc_render_into(const wf_messages_settings *settings, const wf_messages_call *call, size_t room) {
    wf_messages_request request;
    wf_error error;
    char *buf = input_alloc(room);
    memset(&request, 0, sizeof request);
    wf_status status = wf_messages_render(settings, WF_STR(""), call, buf, room, &request, &error);
    misc_judge_request(&request, status);
    free(buf);
    return status;
}

static void misc_render(uint32_t which, wf_str text) {
    wf_messages_settings settings = {.key = WF_STR("k"), .version = which & 16 ? WF_STR("2023-06-01") : WF_STR("")};
    size_t half = text.len / 2, enough = 2 * text.len + 1024;
    wf_messages_call call = {.op = (wf_messages_op)(which % 10),
                             .body = text,
                             .id = wfi_str_cut(text, 0, half),
                             .after_id = wfi_str_cut(text, half, text.len)};
    wf_status status = misc_render_into(&settings, &call, enough);
    FUZZ_MUST(status != WF_E_MEMORY);
    for (size_t room = 0; room < enough; room += 1 + enough / 8) {
        wf_status less = misc_render_into(&settings, &call, room);
        FUZZ_MUST(less == status || less == WF_E_MEMORY);
    }
}

int fuzz_misc(const uint8_t *data, size_t size) {
    if (size > 4000) return 0;
    input in = {data, size};
    uint32_t which = input_byte(&in);
    wf_str rest = input_take(&in, in.left);
    char *copy = input_copy(rest);
    wf_str text = wf_str_of(copy, rest.len), first = wfi_str_cut(text, 0, text.len / 2);
    misc_address(text);
    (void)wfi_host_is_listed(first, wfi_str_cut(text, first.len, text.len), 443);
    misc_wait(first, wfi_str_cut(text, first.len, text.len));
    misc_wait(WF_STR(""), text);
    misc_numbers(text);
    misc_prices(text);
    misc_render(which, text);
    free(copy);
    return 0;
}
