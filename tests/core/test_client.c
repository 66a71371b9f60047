/* The HTTP client over a network in memory: the bytes of its requests, what becomes of responses however they are cut, kept
 * connections and dead ones, tunnels, early answers, limits, and 1,000 lanes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../../src/core/client.h"
#include "../fake/fakenet.h"

#include <cmocka.h>

#define TURNS 200000

/* ---- a client, its network and one request ---- */

typedef struct rig {
    fakenet *net;
    wf_http_config config;
    wf_http *http;
    void *memory;
    wf_provider provider;
    /* what the peer answers, whole and then maybe cut short */
    const char *answer;
    size_t answer_len;
    bool end, reset;
    uint32_t served;
    char seen[1 << 16]; /* the last request */
    size_t seen_len;
} rig;

typedef struct outcome {
    wf_status status; /* WF_END: all went well */
    wf_response head;
    char body[1 << 16];
    size_t len;
    char error[1024], type[128], id[160];
} outcome;

static void serve_answer(fakenet *net, uint32_t conn, const fakenet_request *request) {
    rig *r = net->user;
    r->served++;
    assert_true(request->text.len < sizeof r->seen);
    memcpy(r->seen, request->text.ptr, request->text.len);
    r->seen[r->seen_len = request->text.len] = 0;
    if (r->answer) fakenet_reply(net, conn, r->answer, r->answer_len);
    if (r->end) fakenet_end(net, conn);
    if (r->reset) fakenet_reset(net, conn);
}

static void answer_with(rig *r, const char *text) {
    r->answer = text;
    r->answer_len = strlen(text);
}

/* Fills in the config where a test has not, opens the client and adds one endpoint. */
static void rig_open(rig *r, const char *url, const char *path, const wf_header *headers, uint32_t n) {
    wf_error error = {WF_OK, "", 0};
    r->net->user = r;
    r->net->serve = serve_answer;
    r->config.platform = &r->net->platform;
    r->config.net = &r->net->ops;
    r->config.net_ctx = r->net;
    size_t size = wf_http_size(&r->config);
    assert_true(size > 0);
    r->memory = malloc(size);
    assert_int_equal(wf_http_open(&r->http, r->memory, size, &r->config, &error), WF_OK);
    wf_endpoint e = {wfi_str_z(url), wfi_str_z(path), headers, n};
    if (wf_http_add(r->http, &e, &r->provider, &error) != WF_OK) fail_msg("%s: %s", url, error.text);
}

static rig *rig_new(void) {
    rig *r = calloc(1, sizeof *r);
    r->net = fakenet_new();
    answer_with(r, "HTTP/1.1 200 OK\r\ncontent-type: Application/JSON; charset=utf-8\r\ncontent-length: 2\r\n\r\n{}");
    return r;
}

static void rig_free(rig *r) {
    wf_http_close(r->http);
    assert_int_equal(r->net->open_now, 0);
    free(r->memory);
    fakenet_free(r->net);
    free(r);
}

static wf_status again(wf_status s, uint32_t *turns) {
    if (s == WF_AGAIN && --*turns == 0) fail_msg("it waits for ever");
    return s;
}

/* The part of an exchange after `begin`, without its `end`. */
static wf_status run_begun(rig *r, uint32_t lane, const char *body, size_t n, outcome *o) {
    const wf_model_ops *ops = r->provider.ops;
    void *ctx = r->provider.ctx;
    uint32_t turns = TURNS;
    wf_status s = WF_OK;
    for (size_t at = 0, sent; at < n; at += sent) {
        while ((s = again(ops->send(ctx, lane, body + at, n - at, &sent), &turns)) == WF_AGAIN)
            ;
        if (s != WF_OK) return s;
        assert_true(sent > 0 && sent <= n - at);
    }
    while ((s = again(ops->head(ctx, lane, &o->head), &turns)) == WF_AGAIN)
        ;
    if (s != WF_OK) return s;
    for (size_t got = 0;; o->len += got) {
        while ((s = again(ops->recv(ctx, lane, o->body + o->len, sizeof o->body - o->len, &got), &turns)) == WF_AGAIN)
            ;
        if (s != WF_OK) return s;
        assert_true(got > 0 && got <= sizeof o->body - o->len);
    }
}

static void keep(char *to, size_t cap, wf_str s) {
    assert_true(s.len < cap);
    if (s.len > 0) memcpy(to, s.ptr, s.len);
    to[s.len] = 0;
}

static wf_status run_on(rig *r, uint32_t lane, const char *body, size_t n, outcome *o) {
    wf_request request = {.model = WF_STR("m"), .body_len = n};
    memset(o, 0, sizeof *o);
    o->status = r->provider.ops->begin(r->provider.ctx, lane, &request);
    if (o->status == WF_OK) o->status = run_begun(r, lane, body, n, o);
    keep(o->error, sizeof o->error, r->provider.ops->error(r->provider.ctx, lane));
    if (o->status == WF_END) {
        keep(o->type, sizeof o->type, o->head.content_type);
        keep(o->id, sizeof o->id, o->head.request_id);
    }
    o->body[o->len < sizeof o->body ? o->len : sizeof o->body - 1] = 0;
    r->provider.ops->end(r->provider.ctx, lane);
    return o->status;
}

static wf_status run(rig *r, const char *body, outcome *o) {
    return run_on(r, 0, body, strlen(body), o);
}

/* ---- requests ---- */

static const wf_header two_headers[] = {{{"x-api-key", 9}, {"sk-ant-TEST-THROWAWAY-0000", 26}},
                                        {{"content-type", 12}, {"application/json", 16}}};

static void requests_are_these_bytes(void **state) {
    static const struct {
        const char *url, *path, *line, *host;
    } cases[] = {
        {"http://localhost", "/v1/messages", "POST /v1/messages HTTP/1.1", "localhost"},
        {"http://localhost/", "v1/messages", "POST /v1/messages HTTP/1.1", "localhost"},
        {"http://127.0.0.1:8080/base/", "/v1/messages?beta=true", "POST /base/v1/messages?beta=true HTTP/1.1",
         "127.0.0.1:8080"},
        {"http://127.0.0.1:80/base", "v1", "POST /base/v1 HTTP/1.1", "127.0.0.1"},
        {"http://[::1]:9/x", "", "POST /x HTTP/1.1", "[::1]:9"},
        {"http://[::1]", "", "POST / HTTP/1.1", "[::1]"},
        {"https://api.example.com", "/v1/messages", "POST /v1/messages HTTP/1.1", "api.example.com"},
        {"https://api.example.com:8443", "/v1/messages", "POST /v1/messages HTTP/1.1", "api.example.com:8443"},
        {"HTTPS://api.example.com:443//", "/v1/messages", "POST /v1/messages HTTP/1.1", "api.example.com"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig *r = rig_new();
        static outcome o;
        char expected[1024];
        rig_open(r, cases[i].url, cases[i].path, two_headers, 2);
        assert_int_equal(run(r, "{\"a\":1}", &o), WF_END);
        snprintf(expected, sizeof expected,
                 "%s\r\nhost: %s\r\nuser-agent: workflow.h/" WF_VERSION "\r\nx-api-key: sk-ant-TEST-THROWAWAY-0000\r\n"
                 "content-type: application/json\r\ncontent-length: 7\r\n\r\n{\"a\":1}",
                 cases[i].line, cases[i].host);
        assert_string_equal(r->seen, expected);
        assert_int_equal(o.head.status, 200);
        assert_string_equal(o.type, "application/json");
        assert_string_equal(o.body, "{}");
        assert_int_equal(r->net->writes, 1); /* head and body together */
        assert_int_equal(r->net->conn[0].secured, strncasecmp(cases[i].url, "https", 5) == 0);
        rig_free(r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_these_bytes),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
