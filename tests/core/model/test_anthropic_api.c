/* Tests of messages_calls: every operation under both versions, headers and their order of precedence, bodies brought into the form
 * of the wire, what is refused, and every size of buffer that is too small. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/api/net.h"
#include "src/core/base/base.h"

#include <cmocka.h>

#define NEW WF_STR("")
#define OLD WF_STR("2023-06-01")

static wf_header headers[WF_MESSAGES_HEADERS];

/* All of a request as one text: METHOD URL PATH, a line for each header, an empty line and the body if there may be one. */
static const char *show(const wf_messages_request *r) {
    static char text[8192];
    size_t n = (size_t)snprintf(text, sizeof text, "%.*s %.*s %.*s\n", (int)r->method.len, r->method.ptr,
                                (int)r->url.len, r->url.ptr, (int)r->path.len, r->path.ptr);
    for (uint32_t i = 0; i < r->header_count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%.*s: %.*s\n", (int)r->headers[i].name.len,
                              r->headers[i].name.ptr, (int)r->headers[i].value.len, r->headers[i].value.ptr);
    if (r->has_body) snprintf(text + n, sizeof text - n, "\n%.*s", (int)r->body.len, r->body.ptr);
    return text;
}

/* The buffer is exactly as large as api.h says it must be, and no byte behind it is touched (the sanitizer looks). */
static wf_status render(const wf_messages_settings *s, const char *url, const wf_messages_call *call,
                        const char **shown) {
    size_t cap = 2 * (call->body.len + s->key.len + s->token.len + s->betas.len) + 1024;
    char *buf = malloc(cap);
    wf_messages_request r;
    wf_error error = {WF_OK, "", 0};
    wf_status status = wf_messages_render(s, wfi_str_z(url), call, buf, cap, &r, &error);
    if (status != WF_OK) assert_true(strlen(error.text) > 10 && error.code == status);
    *shown = status == WF_OK ? show(&r) : error.text;
    free(buf);
    return status;
}

static void is(wf_messages_settings s, const char *url, wf_messages_call call, const char *want) {
    const char *shown;
    wf_status status = render(&s, url, &call, &shown);
    if (status != WF_OK || strcmp(shown, want) != 0) fail_msg("%s\nwanted\n%s", shown, want);
}

static void refused(wf_messages_call call, wf_status want) {
    wf_messages_settings s = {.key = WF_STR("k")};
    const char *shown;
    wf_status status = render(&s, "", &call, &shown);
    if (status != want) fail_msg("%s: %s", wf_status_name(status), shown);
}

#define GET "accept: application/json\nanthropic-version: 2026-10-21\nauthorization: Bearer k\n"
#define POST                                                                                                           \
    "accept: application/json\ncontent-type: application/json\nanthropic-version: 2026-10-21\nauthorization: Bearer "  \
    "k\n"
#define OLDGET "accept: application/json\nanthropic-version: 2023-06-01\nx-api-key: k\n"
#define OLDPOST                                                                                                        \
    "accept: application/json\ncontent-type: application/json\nanthropic-version: 2023-06-01\nx-api-key: k\n"
#define API "https://api.anthropic.com "

static void operations(void **state) {
    (void)state;
    wf_messages_settings s = {.key = WF_STR("k")};
    wf_str body = WF_STR("{\"a\":1}"), id = WF_STR("b1");
    is(s, "", (wf_messages_call){.op = WF_MESSAGES_CREATE, .body = body},
       "POST " API "/v1/messages\n" POST "\n{\"a\":1}");
    is(s, "", (wf_messages_call){.op = WF_MESSAGES_COUNT_TOKENS, .body = body},
       "POST " API "/v1/messages/count_tokens\n" POST "\n{\"a\":1}");
    is(s, "", (wf_messages_call){.op = WF_MODELS_LIST}, "GET " API "/v1/models\n" GET);
    is(s, "",
       (wf_messages_call){
           .op = WF_MODELS_LIST, .limit = 2, .after_id = WF_STR("m&1"), .before_id = WF_STR("\xC3\xA9 ")},
       "GET " API "/v1/models?limit=2&after_id=m%261&before_id=%C3%A9%20\n" GET);
    is(s, "", (wf_messages_call){.op = WF_MODELS_GET, .id = WF_STR("a/b?c:d@1%")},
       "GET " API "/v1/models/a%2Fb%3Fc:d@1%25\n" GET);
    is(s, "", (wf_messages_call){.op = WF_BATCHES_CREATE, .body = body},
       "POST " API "/v1/messages/batches\n" POST "\n{\"a\":1}");
    is(s, "", (wf_messages_call){.op = WF_BATCHES_LIST, .before_id = id},
       "GET " API "/v1/messages/batches?before_id=b1\n" GET);
    is(s, "", (wf_messages_call){.op = WF_BATCHES_GET, .id = id}, "GET " API "/v1/messages/batches/b1\n" GET);
    is(s, "", (wf_messages_call){.op = WF_BATCHES_CANCEL, .id = id},
       "POST " API "/v1/messages/batches/b1/cancel\n" GET "\n");
    is(s, "", (wf_messages_call){.op = WF_BATCHES_DELETE, .id = id}, "DELETE " API "/v1/messages/batches/b1\n" GET);
    is(s, "http://h:1/x/", (wf_messages_call){.op = WF_MODELS_LIST}, "GET http://h:1/x/ /v1/models\n" GET);
}

static void earlier_version(void **state) {
    (void)state;
    wf_messages_settings s = {.key = WF_STR("k"), .version = OLD, .x_api_key = true};
    wf_str plain = WF_STR("{}"), beta = WF_STR("{\"betas\":[\"b\"]}");
    is(s, "", (wf_messages_call){.op = WF_MESSAGES_CREATE, .body = plain}, "POST " API "/v1/messages\n" OLDPOST "\n{}");
    is(s, "", (wf_messages_call){.op = WF_MESSAGES_CREATE, .body = beta},
       "POST " API "/v1/messages?beta=true\n" OLDPOST "anthropic-beta: b\n\n{}");
    is(s, "", (wf_messages_call){.op = WF_MESSAGES_CREATE, .body = plain, .beta = true},
       "POST " API "/v1/messages?beta=true\n" OLDPOST "\n{}");
    is(s, "", (wf_messages_call){.op = WF_MODELS_LIST, .limit = 1, .beta = true},
       "GET " API "/v1/models?beta=true&limit=1\n" OLDGET);
    is(s, "", (wf_messages_call){.op = WF_BATCHES_CREATE, .body = plain},
       "POST " API "/v1/messages/batches\n" OLDPOST "\n{}");
    is(s, "", (wf_messages_call){.op = WF_BATCHES_CREATE, .body = plain, .beta = true},
       "POST " API "/v1/messages/batches?beta=true\n" OLDPOST "anthropic-beta: message-batches-2024-09-24\n\n{}");
    is(s, "", (wf_messages_call){.op = WF_BATCHES_CREATE, .body = beta},
       "POST " API "/v1/messages/batches?beta=true\n" OLDPOST "anthropic-beta: b,message-batches-2024-09-24\n\n{}");
    is(s, "", (wf_messages_call){.op = WF_BATCHES_DELETE, .id = WF_STR("i"), .beta = true},
       "DELETE " API "/v1/messages/batches/i?beta=true\n" OLDGET "anthropic-beta: message-batches-2024-09-24\n");
    is(s, "", (wf_messages_call){.op = WF_MESSAGES_COUNT_TOKENS, .body = plain, .beta = true},
       "POST " API "/v1/messages/count_tokens?beta=true\n" OLDPOST "anthropic-beta: token-counting-2024-11-01\n\n{}");
    s.betas = WF_STR("s1,s2");
    is(s, "", (wf_messages_call){.op = WF_BATCHES_CANCEL, .id = WF_STR("i")},
       "POST " API "/v1/messages/batches/i/cancel?beta=true\n" OLDGET
       "anthropic-beta: s1,s2,message-batches-2024-09-24\n\n");
}

static void keys_and_ids(void **state) {
    (void)state;
    char buf[16];
    wf_messages_settings s = {.key = WF_STR("key"), .token = WF_STR("token")};
    assert_int_equal(wf_messages_headers(&s, buf, 3 + 8, headers), 4);
    assert_memory_equal(headers[3].value.ptr, "Bearer key", headers[3].value.len);
    assert_int_equal(wf_messages_headers(&s, buf, 9, headers), 0);
    s.x_api_key = true; /* a token never goes there */
    assert_int_equal(wf_messages_headers(&s, buf, 0, headers), 4);
    assert_memory_equal(headers[3].name.ptr, "x-api-key", 9);
    s.key = WF_STR("");
    assert_int_equal(wf_messages_headers(&s, buf, 5 + 8, headers), 4);
    assert_memory_equal(headers[3].value.ptr, "Bearer token", headers[3].value.len);
    s = (wf_messages_settings){.token = WF_STR("t"),
                               .version = WF_STR("v"),
                               .betas = WF_STR("b,c"),
                               .workspace_id = WF_STR("w"),
                               .user_profile_id = WF_STR("u")};
    assert_int_equal(wf_messages_headers(&s, buf, sizeof buf, headers), 7);
    assert_int_equal(wf_messages_headers(&(wf_messages_settings){0}, NULL, 0, headers), 3);
    static const char *const bad[] = {"a\r\nx: y", "a\nb", "a\rb"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(
            wf_messages_headers(&(wf_messages_settings){.key = wfi_str_z(bad[i])}, buf, sizeof buf, headers), 0);
        assert_int_equal(
            wf_messages_headers(&(wf_messages_settings){.betas = wfi_str_z(bad[i])}, buf, sizeof buf, headers), 0);
    }
    assert_int_equal(
        wf_messages_headers(&(wf_messages_settings){.key = wf_str_of("a\0b", 3)}, buf, sizeof buf, headers), 0);
    wf_messages_settings own = {
        .key = WF_STR("k"), .betas = WF_STR("s"), .workspace_id = WF_STR("sw"), .user_profile_id = WF_STR("su")};
    is(own, "", (wf_messages_call){.op = WF_MESSAGES_CREATE, .body = WF_STR("{\"betas\":null,\"workspace_id\":null}")},
       "POST " API "/v1/messages\n" POST
       "anthropic-beta: s\nanthropic-workspace-id: sw\nanthropic-user-profile-id: su\n\n{}");
    is(own, "",
       (wf_messages_call){
           WF_MESSAGES_CREATE,
           .body = WF_STR(
               "{\"workspace_id\":\"w\", \"m\":{\"betas\":1}, \"betas\":[\"x\",\"y\"],\"user_profile_id\":\"u\"}")},
       "POST " API "/v1/messages\n" POST
       "anthropic-beta: x,y\nanthropic-workspace-id: w\nanthropic-user-profile-id: u\n\n{\"m\":{\"betas\":1}}");
    is(own, "", (wf_messages_call){.op = WF_MESSAGES_CREATE, .body = WF_STR("{\"betas\":[],\"n\":1}")},
       "POST " API "/v1/messages\n" POST "anthropic-workspace-id: sw\nanthropic-user-profile-id: su\n\n{\"n\":1}");
}

static void bodies(void **state) {
    (void)state;
    wf_messages_settings s = {.key = WF_STR("k")};
#define BODY(in, out)                                                                                                  \
    is(s, "", (wf_messages_call){.op = WF_MESSAGES_CREATE, .body = WF_STR(in)},                                        \
       "POST " API "/v1/messages\n" POST "\n" out)
    BODY(" { \"a\" : [ 1 , 2.50 , -0e1, true,false , null, {} , [] ] }\n",
         "{\"a\":[1,2.50,-0e1,true,false,null,{},[]]}");
    BODY("{\"\\u0061\\/\":\"\\u00e9 \\ud83d\\ude42 \\u2028 \\t\\u0000\\u001f\\\"\\\\ \\/\"}",
         "{\"a/\":\"\xC3\xA9 \xF0\x9F\x99\x82 \xE2\x80\xA8 \\t\\u0000\\u001f\\\"\\\\ /\"}");
    BODY("{\"\\u0000\":\"\\u0001\\u0002\\u0003\"}", "{\"\\u0000\":\"\\u0001\\u0002\\u0003\"}");
    BODY("{\"n\":123456789012345678901234567890.123456789}", "{\"n\":123456789012345678901234567890.123456789}");
#undef BODY
}

static void refusals(void **state) {
    (void)state;
    static const char *const no_object[] = {"", "{", "[]", "7", "{}x", "{\"betas\":}", "{\"a\":\"\x80\"}"};
    for (size_t i = 0; i < sizeof no_object / sizeof *no_object; i++)
        refused((wf_messages_call){.op = WF_MESSAGES_CREATE, .body = wfi_str_z(no_object[i])}, WF_E_SYNTAX);
    static const char *const bad_values[] = {
        "{\"betas\":\"x\"}",        "{\"betas\":[1]}",          "{\"betas\":[\"a\\nb\"]}",
        "{\"betas\":[[]]}",         "{\"workspace_id\":1}",     "{\"workspace_id\":\"a\\nb\"}",
        "{\"user_profile_id\":[]}", "{\"betas\":[\"a\",null]}", "{\"workspace_id\":\"a\x7f\"}"};
    for (size_t i = 0; i < sizeof bad_values / sizeof *bad_values; i++)
        refused((wf_messages_call){.op = WF_MESSAGES_CREATE, .body = wfi_str_z(bad_values[i])}, WF_E_CONFIG);
    static const char *const ids[] = {"", ".", ".."};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        refused((wf_messages_call){.op = WF_BATCHES_DELETE, .id = wfi_str_z(ids[i])}, WF_E_CONFIG);
    refused((wf_messages_call){.op = (wf_messages_op)(WF_BATCHES_RESULTS + 1)}, WF_E_CONFIG);
    wf_messages_call longest = {.op = WF_MESSAGES_CREATE, .body = WF_STR("{\"max_tokens\":21333}")};
    wf_messages_call longer = {.op = WF_MESSAGES_CREATE, .body = WF_STR("{\"max_tokens\":21334,\"stream\":false}")};
    refused(longest, WF_OK);
    refused(longer, WF_E_LIMIT);
    longer.patient = true;
    refused(longer, WF_OK);
    refused((wf_messages_call){.op = WF_MESSAGES_CREATE, .body = WF_STR("{\"max_tokens\":21334,\"stream\":true}")},
            WF_OK);
    refused((wf_messages_call){.op = WF_MESSAGES_COUNT_TOKENS, .body = WF_STR("{\"max_tokens\":21334}")}, WF_OK);
}

#define RESULTS "accept: application/binary\nanthropic-version: 2026-10-21\n"

static void results(void **state) {
    (void)state;
    wf_messages_settings s = {.key = WF_STR("k"), .betas = WF_STR("b"), .workspace_id = WF_STR("w")};
    const char *want = "GET https://api.anthropic.com /r?a=1/2\n" RESULTS
                       "authorization: Bearer k\nanthropic-beta: b\nanthropic-workspace-id: w\n";
#define AT(address) ((wf_messages_call){.op = WF_BATCHES_RESULTS, .body = WF_STR("{\"results_url\":\"" address "\"}")})
    is(s, "", AT("https://api.anthropic.com/r?a=1/2"), want);
    is(s, "https://API.anthropic.com:443/base/", AT("https://api.anthropic.com/r?a=1/2"), want);
    /* Anybody else gets no key, no ids. */
    is(s, "", AT("https://api.anthropic.com:444/r"), "GET https://api.anthropic.com:444 /r\n" RESULTS);
    is(s, "", AT("http://api.anthropic.com/r"), "GET http://api.anthropic.com /r\n" RESULTS);
    is(s, "", AT("https://api.anthropic.com.evil.example/r"),
       "GET https://api.anthropic.com.evil.example /r\n" RESULTS);
    is(s, "", AT("https://evil.example/https://api.anthropic.com/r"),
       "GET https://evil.example /https://api.anthropic.com/r\n" RESULTS);
    is(s, "http://h:1", AT("http://h:10/r"), "GET http://h:10 /r\n" RESULTS);
#undef AT
}

static void results_refused(void **state) {
    (void)state;
    static const char *const early[] = {"{\"results_url\":null,\"processing_status\":\"in_progress\"}", "{}"};
    for (size_t i = 0; i < sizeof early / sizeof *early; i++)
        refused((wf_messages_call){.op = WF_BATCHES_RESULTS, .body = wfi_str_z(early[i])}, WF_E_NOT_FOUND);
    static const char *const addresses[] = {"",
                                            "x",
                                            "https://",
                                            "https:/api.anthropic.com/r",
                                            "https://api.anthropic.com",
                                            "ftp://api.anthropic.com/r",
                                            "https://u:p@api.anthropic.com/r",
                                            "https://api.anthropic.com/r r",
                                            "https://api.anthropic.com/\\u000d\\u000ax: y",
                                            "https://api.anthropic.com\\\\@evil.example/r",
                                            "//api.anthropic.com/r"};
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"results_url\":\"%s\"}", addresses[i]);
        refused((wf_messages_call){.op = WF_BATCHES_RESULTS, .body = wfi_str_z(body)}, WF_E_CONFIG);
    }
    refused((wf_messages_call){.op = WF_BATCHES_RESULTS, .body = WF_STR("{\"results_url\":7}")}, WF_E_CONFIG);
}

/* Buffers of every size: refused, or right. */
static void small_buffers(void **state) {
    (void)state;
    wf_messages_settings s = {.key = WF_STR("key")};
    wf_messages_call call = {.op = WF_MESSAGES_CREATE,
                             .body = WF_STR("{\"betas\":[\"x\"],\"a\":\"\\u0001\\u00e9\\n\\n\",\"b\":[1,\"c\"]}")};
    uint32_t fits = 0;
    for (size_t cap = 0; cap < 200; cap++) {
        char *buf = malloc(cap + 1); /* at least one byte; the last is not ours */
        wf_messages_request r;
        wf_status status = wf_messages_render(&s, NEW, &call, buf, cap, &r, NULL);
        assert_true(status == WF_OK || (status == WF_E_MEMORY && fits == 0));
        if (status == WF_OK) {
            fits++;
            assert_string_equal(show(&r), "POST https://api.anthropic.com /v1/messages\naccept: application/json\n"
                                          "content-type: application/json\nanthropic-version: 2026-10-21\n"
                                          "authorization: Bearer key\nanthropic-beta: x\n\n"
                                          "{\"a\":\"\\u0001\xC3\xA9\\n\\n\",\"b\":[1,\"c\"]}");
        }
        free(buf);
    }
    assert_true(fits > 50);
}

/* Which addresses mean the same server. */
static void base_addresses(void **state) {
    static const char *const table[][2] = {
        {"", "https://api.anthropic.com"},
        {"https://h", "https://h"},
        {"https://h/", "https://h/"},
        {"https://h/v1", "https://h"},
        {"https://h/v1/", "https://h"},
        {"https://h/v1//", "https://h"},
        {"https://h/v1/messages", "https://h"},
        {"https://h/a/v1/messages/", "https://h/a"},
        {"https://h:8080/openai/v1", "https://h:8080/openai"},
        {"https://h/av1", "https://h/av1"},
        {"https://h/v1/x", "https://h/v1/x"},
        {"https://h/messages", "https://h/messages"},
        {"https://v1", "https://v1"},
        {"/v1", ""},
        {"v1", "v1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        wf_str base = wf_messages_base(wfi_str_z(table[i][0]));
        if (!wfi_str_eq(base, wfi_str_z(table[i][1]))) fail_msg("%s: %.*s", table[i][0], (int)base.len, base.ptr);
    }
    is((wf_messages_settings){.key = WF_STR("k")}, "https://h/v1/",
       (wf_messages_call){.op = WF_MODELS_GET, .id = WF_STR("m")}, "GET https://h /v1/models/m\n" GET);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations),      cmocka_unit_test(earlier_version), cmocka_unit_test(keys_and_ids),
        cmocka_unit_test(bodies),          cmocka_unit_test(refusals),        cmocka_unit_test(results),
        cmocka_unit_test(results_refused), cmocka_unit_test(small_buffers),   cmocka_unit_test(base_addresses),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
