/* The HTTP client over a network in memory: the bytes of its requests, what becomes of responses however they are cut, kept
 * connections and dead ones, tunnels, early answers, limits, and 1,000 lanes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/core/http/client.h"
#include "tests/fake/chance.h"
#include "tests/fake/fakenet.h"

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
    wf_endpoint e = {.url = wfi_str_z(url), .path = wfi_str_z(path), .headers = headers, .header_count = n};
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
        if (s == WF_END) break; /* the answer is there already */
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

/* Every header of a long head goes out whole, whatever a write takes, and the body after it. */
static void long_heads_go_out_in_pieces(void **state) {
    static const size_t sizes[] = {1, 7, 100, 4095, 4096, 4097, 0};
    static char key[20000], body[5000];
    static outcome o;
    wf_header h[] = {{WF_STR("authorization"), {key, sizeof key}}, {WF_STR("x-last"), WF_STR("1")}};
    (void)state;
    memset(key, 'k', sizeof key);
    memset(body, 'b', sizeof body);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        rig *r = rig_new();
        r->net->write_max = sizes[i];
        r->net->stutter = i % 2 == 0;
        rig_open(r, "https://h", "p", h, 2);
        assert_int_equal(run_on(r, 0, body, sizeof body, &o), WF_END);
        static char expected[1 << 16];
        int n = snprintf(expected, sizeof expected,
                         "POST /p HTTP/1.1\r\nhost: h\r\nuser-agent: workflow.h/" WF_VERSION
                         "\r\nauthorization: %.*s\r\nx-last: 1\r\ncontent-length: 5000\r\n\r\n%.*s",
                         (int)sizeof key, key, (int)sizeof body, body);
        assert_int_equal(r->seen_len, n);
        assert_memory_equal(r->seen, expected, (size_t)n);
        rig_free(r);
    }
}

static void calls_without_a_body(void **state) {
    static outcome o;
    rig *r = rig_new();
    wf_response head;
    size_t got;
    char buf[8];
    (void)state;
    rig_open(r, "http://localhost", "/x", NULL, 0);
    assert_int_equal(run_on(r, 0, "", 0, &o), WF_END); /* POST of nothing */
    assert_non_null(strstr(r->seen, "content-length: 0\r\n"));
    wf_http_call call = {
        .method = WF_STR("GET"), .url = WF_STR("http://localhost/"), .path = WF_STR("v1/models?limit=2")};
    assert_int_equal(wf_http_begin(r->http, 3, &call), WF_OK);
    assert_int_equal(wf_http_head(r->http, 3, &head), WF_OK);
    assert_int_equal(wf_http_recv(r->http, 3, buf, sizeof buf, &got), WF_OK);
    assert_int_equal(got, 2);
    assert_int_equal(wf_http_recv(r->http, 3, buf, sizeof buf, &got), WF_END);
    wf_http_end(r->http, 3);
    assert_string_equal(
        r->seen, "GET /v1/models?limit=2 HTTP/1.1\r\nhost: localhost\r\nuser-agent: workflow.h/" WF_VERSION "\r\n\r\n");
    assert_int_equal(r->net->opens, 1); /* lanes share what is kept */
    r->net->stutter = true;
    r->net->write_max = 3;
    for (uint32_t lane = 0; lane < 2; lane++)
        assert_int_equal(run_on(r, lane, "", 0, &o), WF_END);
    assert_string_equal(o.body, "{}");
    rig_free(r);
}

/* ---- responses ---- */

#define OK200 "HTTP/1.1 200 OK\r\n"

static const struct {
    const char *text, *body;
    bool end, kept;
    uint32_t status;
} answers[] = {
    {OK200 "content-length: 11\r\n\r\nhello world", "hello world", false, true, 200},
    {OK200 "content-length: 0\r\n\r\n", "", false, true, 200},
    {"HTTP/1.1 204 No\r\n\r\n", "", false, true, 204},
    {OK200 "transfer-encoding: chunked\r\n\r\n5;x\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n", "hello world", false,
     true, 200},
    {OK200 "transfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", "abc", false, true, 200},
    {OK200 "\r\nhello world", "hello world", true, false, 200},
    {"HTTP/1.0 200 OK\r\n\r\nhello", "hello", true, false, 200},
    {OK200 "connection: close\r\ncontent-length: 2\r\n\r\nhi", "hi", false, false, 200},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 529 Overloaded\r\ncontent-length: 2\r\n\r\n{}", "{}", false, true, 529},
    {OK200 "content-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsmuggled!", "hi", false, false, 200},
    {OK200 "transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nx", "hi", false, false, 200},
};
#define ANSWERS (sizeof answers / sizeof answers[0])
#define EXTRA   9 /* from this one on, more bytes come than belong to the answer */

static void responses_in_any_pieces(void **state) {
    static const size_t ones[] = {1}, odd[] = {3, 1, 2}, large[] = {40, 1};
    static const struct {
        const size_t *sizes;
        size_t n;
    } pieces[] = {{NULL, 0}, {ones, 1}, {odd, 3}, {large, 2}};
    static outcome o;
    (void)state;
    for (size_t i = 0; i < ANSWERS * 8; i++) {
        size_t a = i / 8;
        if (i % 2 && a >= EXTRA) continue; /* AGAIN would hide what came beyond the answer */
        rig *r = rig_new();
        answer_with(r, answers[a].text);
        r->end = answers[a].end;
        r->net->stutter = i % 2;
        rig_open(r, "https://h", "/", NULL, 0);
        for (uint32_t round = 0; round < 2; round++) { /* pieces are a connection's, so set them when it is there */
            wf_request request = {.body_len = 1};
            memset(&o, 0, sizeof o);
            assert_int_equal(r->provider.ops->begin(r->provider.ctx, 0, &request), WF_OK);
            for (uint32_t c = 0; c < 2; c++) {
                r->net->conn[c].pieces = pieces[i / 2 % 4].sizes;
                r->net->conn[c].piece_count = pieces[i / 2 % 4].n;
            }
            assert_int_equal(run_begun(r, 0, "x", 1, &o), WF_END);
            r->provider.ops->end(r->provider.ctx, 0);
            assert_int_equal(o.head.status, answers[a].status);
            o.body[o.len] = 0;
            assert_string_equal(o.body, answers[a].body);
            /* what came beyond the answer may be seen at once, or when the connection is to be used again */
            if (answers[a].kept) assert_int_equal(r->net->open_now, 1);
        }
        assert_int_equal(r->net->opens, answers[a].kept ? 1 : 2);
        assert_int_equal(r->served, 2);
        rig_free(r);
    }
}

/* A buffer of one byte at a time is as good as a large one. */
static void bodies_into_small_buffers(void **state) {
    (void)state;
    for (size_t a = 0; a < ANSWERS; a++) {
        rig *r = rig_new();
        wf_request request = {.body_len = 0};
        wf_response head;
        char body[64];
        size_t len = 0, got;
        wf_status s;
        answer_with(r, answers[a].text);
        r->end = answers[a].end;
        rig_open(r, "http://[::1]:1", "/", NULL, 0);
        assert_int_equal(r->provider.ops->begin(r->provider.ctx, 15, &request), WF_OK);
        assert_int_equal(r->provider.ops->head(r->provider.ctx, 15, &head), WF_OK);
        while ((s = r->provider.ops->recv(r->provider.ctx, 15, body + len, 1, &got)) == WF_OK)
            len += got;
        assert_int_equal(s, WF_END);
        assert_int_equal(r->provider.ops->recv(r->provider.ctx, 15, body, 1, &got), WF_END);
        body[len] = 0;
        assert_string_equal(body, answers[a].body);
        r->provider.ops->end(r->provider.ctx, 15);
        rig_free(r);
    }
}

/* A response larger than every buffer, in chunks of all sizes. */
static void large_bodies_arrive(void **state) {
    static char text[1 << 17], body[1 << 16];
    static outcome o;
    uint64_t seed = 7;
    (void)state;
    rig *r = rig_new();
    size_t n = (size_t)sprintf(text, OK200 "transfer-encoding: chunked\r\n\r\n"), len = 0;
    while (len < 60000) {
        size_t size = 1 + (size_t)fake_below(&seed, 700);
        n += (size_t)sprintf(text + n, "%zx\r\n", size);
        for (size_t i = 0; i < size; i++)
            text[n++] = body[len++] = (char)fake_below(&seed, 256);
        n += (size_t)sprintf(text + n, "\r\n");
    }
    n += (size_t)sprintf(text + n, "0\r\n\r\n");
    r->answer = text;
    r->answer_len = n;
    rig_open(r, "https://h", "/", NULL, 0);
    for (size_t max = 0; max < 3000; max += 611) {
        r->net->read_max = max;
        assert_int_equal(run(r, "{}", &o), WF_END);
        assert_int_equal(o.len, len);
        assert_memory_equal(o.body, body, len);
    }
    assert_int_equal(r->net->opens, 1);
    rig_free(r);
}

static void heads_are_told(void **state) {
    static outcome o;
    rig *r = rig_new();
    wf_rates rates;
    (void)state;
    answer_with(
        r, "HTTP/1.1 429 Too Many\r\nretry-after: 4\r\nx-should-retry: false\r\nrequest-id: req_011\r\n"
           "anthropic-ratelimit-tokens-remaining: 12\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}");
    rig_open(r, "https://h", "/", NULL, 0);
    wf_http_rates(&r->provider, &rates);
    assert_false(rates.tokens.known);
    assert_int_equal(run(r, "{}", &o), WF_END);
    assert_int_equal(o.head.status, 429);
    assert_int_equal(o.head.retry_after_ms, 4000);
    assert_int_equal(o.head.should_retry, 0);
    assert_string_equal(o.id, "req_011");
    wf_http_rates(&r->provider, &rates);
    assert_true(rates.tokens.known && rates.tokens.remaining == 12 && !rates.requests.known);

    answer_with(r, OK200 "content-length: 2\r\n\r\nhi"); /* nothing is left over from the answer before */
    assert_int_equal(run(r, "{}", &o), WF_END);
    assert_true(o.head.retry_after_ms == -1 && o.head.should_retry == -1 && o.id[0] == 0 && o.type[0] == 0 &&
                !o.error[0]);

    answer_with(r, "HTTP/1.1 308 Moved\r\nlocation: https://new.example/\tv1\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(run(r, "{}", &o), WF_END);
    assert_int_equal(o.head.status, 308);
    assert_string_equal(
        o.error, "h redirects to https://new.example/?v1, which is not followed: give that address, if it is right");

    answer_with(r, "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno");
    assert_int_equal(run(r, "{}", &o), WF_END);
    assert_string_equal(o.error, "POST https://h/"); /* what was asked for */

    answer_with(r, OK200 "content-encoding: gzip\r\ncontent-length: 2\r\n\r\nhi");
    assert_int_equal(run(r, "{}", &o), WF_E_IO);
    assert_string_equal(o.error, "h: the server compressed its answer though not asked to");
    assert_int_equal(r->net->open_now, 0);
    rig_free(r);
}

/* ---- trouble ---- */

/* Cut short at each byte, by an end or a reset, on a new connection: an error that says so, and never WF_E_STALE. */
static void answers_cut_short(void **state) {
    static outcome o;
    (void)state;
    for (size_t a = 0; a < 5; a++)
        for (size_t k = 0; k < strlen(answers[a].text); k++)
            for (uint32_t how = 0; how < 4; how++) {
                rig *r = rig_new();
                r->answer = answers[a].text;
                r->answer_len = k;
                r->end = how % 2 == 0;
                r->reset = !r->end;
                r->net->read_max = how < 2 ? 0 : 1;
                rig_open(r, "https://api.example:444", "/", NULL, 0);
                assert_int_equal(run(r, "{}", &o), WF_E_IO);
                assert_string_equal(o.error,
                                    r->end ? "api.example:444: the connection was closed before the answer was complete"
                                           : "api.example: connection reset by peer");
                assert_int_equal(r->net->open_now, 0);
                answer_with(r, answers[a].text);
                r->end = r->reset = false;
                assert_int_equal(run(r, "{}", &o), WF_END);
                rig_free(r);
            }
}

static void garbage_is_named(void **state) {
    static outcome o;
    rig *r = rig_new();
    (void)state;
    answer_with(r, "220 mail.example ESMTP\r\n");
    rig_open(r, "http://localhost:25", "/", two_headers, 2);
    assert_int_equal(run(r, "{}", &o), WF_E_IO);
    assert_string_equal(o.error, "localhost:25: the answer is not HTTP/1.1");
    answer_with(r, OK200 "transfer-encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n");
    assert_int_equal(run(r, "{}", &o), WF_E_IO);
    assert_string_equal(o.error, "localhost:25: the answer has a chunk whose size is no number");
    assert_int_equal(r->net->open_now, 0);
    rig_free(r);
}

/* What no other try would cure is told apart. */
static void peers_not_to_be_trusted(void **state) {
    static const char *const proxies[] = {"", "http://proxy"};
    static outcome o;
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        rig *r = rig_new();
        r->config.proxy = wfi_str_z(proxies[i]);
        r->net->untrusted = true;
        rig_open(r, "https://[2001:db8::1]", "/", NULL, 0);
        if (i == 1) answer_with(r, "HTTP/1.1 200 OK\r\n\r\n"); /* to CONNECT */
        assert_int_equal(run(r, "{}", &o), WF_E_CONFIG);
        assert_string_equal(o.error, i == 0 ? "2001:db8::1: the certificate is not to be trusted"
                                            : "proxy: the certificate is not to be trusted");
        assert_int_equal(r->net->open_now, 0);
        r->net->untrusted = false;
        answer_with(r, "no HTTP");
        if (i == 0) {
            assert_int_equal(run(r, "{}", &o), WF_E_IO);
            assert_string_equal(o.error, "[2001:db8::1]: the answer is not HTTP/1.1");
        }
        rig_free(r);
    }
}

static bool refuse(fakenet *net, uint32_t conn) {
    (void)net;
    (void)conn;
    return false;
}

static void refused_connections(void **state) {
    static outcome o;
    rig *r = rig_new();
    wf_http_stats stats;
    (void)state;
    r->net->opened = refuse;
    rig_open(r, "https://api.example", "/", NULL, 0);
    for (uint32_t i = 0; i < 40; i++) /* more often than there are connections */
        assert_int_equal(run(r, "{}", &o), WF_E_IO);
    assert_string_equal(o.error, "api.example: connection refused");
    r->net->opened = NULL;
    assert_int_equal(run(r, "{}", &o), WF_END);
    assert_string_equal(o.error, "");
    wf_http_stats_get(r->http, &stats);
    assert_true(stats.requests == 41 && stats.connections == 41 && stats.resends == 0);
    rig_free(r);
}

static void misuse_is_refused(void **state) {
    rig *r = rig_new();
    wf_request request = {.body_len = 2};
    wf_response head;
    size_t n;
    (void)state;
    rig_open(r, "https://h", "/", NULL, 0);
    const wf_model_ops *ops = r->provider.ops;
    assert_int_equal(ops->begin(r->provider.ctx, 0, &request), WF_OK);
    assert_int_equal(ops->send(r->provider.ctx, 0, "abc", 3, &n), WF_E_CONFIG);
    assert_int_equal(ops->send(r->provider.ctx, 0, "ab", 2, &n), WF_E_IO);
    assert_int_equal(ops->head(r->provider.ctx, 0, &head), WF_E_IO);
    assert_int_equal(ops->recv(r->provider.ctx, 0, &head, 1, &n), WF_E_IO);
    ops->end(r->provider.ctx, 0);
    ops->end(r->provider.ctx, 0); /* twice does no harm */
    assert_int_equal(ops->begin(r->provider.ctx, 0, &request), WF_OK);
    assert_int_equal(ops->send(r->provider.ctx, 0, "a", 1, &n), WF_OK);
    assert_int_equal(ops->head(r->provider.ctx, 0, &head), WF_E_CONFIG);
    ops->end(r->provider.ctx, 0);
    assert_int_equal(r->net->open_now, 0);
    rig_free(r);
}

/* `end` may come after every step; only a response that was read to its end leaves its connection behind. */
static void ends_at_every_step(void **state) {
    (void)state;
    for (uint32_t steps = 0; steps < 6; steps++) {
        rig *r = rig_new();
        wf_request request = {.body_len = 4};
        wf_response head;
        char body[8];
        size_t n;
        rig_open(r, "https://h", "/", NULL, 0);
        const wf_model_ops *ops = r->provider.ops;
        assert_int_equal(ops->begin(r->provider.ctx, 0, &request), WF_OK);
        if (steps > 0) assert_int_equal(ops->send(r->provider.ctx, 0, "ab", 2, &n), WF_OK);
        if (steps > 1) assert_int_equal(ops->send(r->provider.ctx, 0, "cd", 2, &n), WF_OK);
        if (steps > 2) assert_int_equal(ops->head(r->provider.ctx, 0, &head), WF_OK);
        if (steps > 3) assert_int_equal(ops->recv(r->provider.ctx, 0, body, 1, &n), WF_OK);
        if (steps > 4) assert_int_equal(ops->recv(r->provider.ctx, 0, body, 8, &n), WF_OK);
        ops->end(r->provider.ctx, 0);
        assert_int_equal(r->net->open_now, steps == 5);
        rig_free(r);
    }
}

/* ---- kept connections ---- */

static uint32_t ready(rig *r) {
    uint32_t lanes[FAKENET_CONNS];
    return r->provider.ops->ready(r->provider.ctx, lanes, FAKENET_CONNS);
}

/* What befalls an idle connection is seen by `ready`, or at the latest before it is used again: no WF_E_STALE for it. */
static void idle_connections_die(void **state) {
    static outcome o;
    (void)state;
    for (uint32_t how = 0; how < 6; how++) {
        rig *r = rig_new();
        rig_open(r, "https://h", "/", NULL, 0);
        assert_int_equal(run(r, "{}", &o), WF_END);
        assert_int_equal(r->net->open_now, 1);
        ready(r);
        assert_int_equal(r->net->open_now, 1);
        if (how / 2 == 0) fakenet_end(r->net, 0);
        if (how / 2 == 1) fakenet_reset(r->net, 0);
        if (how / 2 == 2) fakenet_reply_text(r->net, 0, "HTTP/1.1 408 Request Timeout\r\n\r\n");
        if (how % 2 == 0) {
            assert_int_equal(ready(r), 0);
            assert_int_equal(r->net->open_now, 0);
        }
        assert_int_equal(run(r, "{}", &o), WF_END);
        assert_string_equal(o.body, "{}");
        assert_int_equal(r->net->opens, 2);
        rig_free(r);
    }
}

/* A kept connection that dies under a request: WF_E_STALE once, then a new one, whatever else is kept. */
static void stale_once_then_fresh(void **state) {
    static outcome o;
    wf_request request = {.body_len = 2};
    wf_http_stats stats;
    wf_response head;
    size_t n;
    (void)state;
    for (uint32_t how = 0; how < 5; how++) {
        rig *r = rig_new();
        rig_open(r, "https://h", "/", NULL, 0);
        const wf_model_ops *ops = r->provider.ops;
        void *ctx = r->provider.ctx;
        bool seen = how >= 3;                       /* or may have been */
        for (uint32_t lane = 0; lane < 2; lane++) { /* two connections */
            assert_int_equal(ops->begin(ctx, lane, &request), WF_OK);
            assert_int_equal(run_begun(r, lane, "{}", 2, &o), WF_END);
        }
        ops->end(ctx, 0);
        ops->end(ctx, 1);
        assert_int_equal(r->net->open_now, 2);
        assert_int_equal(ops->begin(ctx, 5, &request), WF_OK);
        assert_int_equal(r->net->opens, 2);
        r->answer = NULL;
        if (how == 0) { /* the last used: connection 1 */
            r->net->conn[1].write_fails = true;
            assert_int_equal(ops->send(ctx, 5, "{}", 2, &n), WF_E_STALE);
        } else {
            assert_int_equal(ops->send(ctx, 5, "{}", 2, &n), WF_OK);
            if (how == 1) fakenet_end(r->net, 1);
            if (how == 2) fakenet_reset(r->net, 1);
            if (how == 3) {
                fakenet_reply_text(r->net, 1, "H");
                fakenet_end(r->net, 1);
            }
            if (how == 4) { /* the server had a second and more to work on it */
                assert_int_equal(ops->head(ctx, 5, &head), WF_AGAIN);
                r->net->now += 1001;
                fakenet_end(r->net, 1);
            }
            /* with a byte of an answer, somebody has seen the request */
            assert_int_equal(ops->head(ctx, 5, &head), seen ? WF_E_IO : WF_E_STALE);
        }
        ops->end(ctx, 5);
        assert_int_equal(r->net->open_now, 1);
        assert_int_equal(ops->begin(ctx, 5, &request), WF_OK);
        assert_int_equal(r->net->opens, seen ? 2 : 3);
        r->reset = true;
        memset(&o, 0, sizeof o);
        assert_int_equal(run_begun(r, 5, "{}", 2, &o), seen ? WF_E_STALE : WF_E_IO); /* a new one never is */
        ops->end(ctx, 5);
        wf_http_stats_get(r->http, &stats);
        assert_int_equal(stats.resends, seen ? 0 : 1);
        rig_free(r);
    }
}

/* The network says that a peer has vanished: asked again at no cost, on any connection, if nothing
 * of an answer was heard, and once however often it is tried. */
static void vanished_once_then_an_error(void **state) {
    static outcome o;
    wf_request request = {.body_len = 2};
    wf_response head;
    size_t n;
    (void)state;
    for (uint32_t how = 0; how < 4; how++) {
        rig *r = rig_new();
        rig_open(r, "https://h", "/", NULL, 0);
        const wf_model_ops *ops = r->provider.ops;
        void *ctx = r->provider.ctx;
        bool kept = how % 2 == 1, heard = how / 2 == 1;
        if (kept) assert_int_equal(run(r, "{}", &o), WF_END);
        r->answer = NULL;
        for (uint32_t round = 0; round < 4; round++) {
            uint32_t opens = r->net->opens;
            assert_int_equal(ops->begin(ctx, 0, &request), WF_OK);
            assert_int_equal(r->net->opens, kept && round == 0 ? opens : opens + 1);
            assert_int_equal(ops->send(ctx, 0, "{}", 2, &n), WF_OK);
            if (heard) fakenet_reply_text(r->net, 0, "HTTP/1.1 200 OK\r\n");
            assert_int_equal(ops->head(ctx, 0, &head), WF_AGAIN);
            r->net->now += 20000;
            r->net->conn[0].vanished = true;
            fakenet_reset(r->net, 0);
            assert_int_equal(ops->head(ctx, 0, &head), round == 0 && !heard ? WF_E_STALE : WF_E_IO);
            if (round > 0 || heard) assert_non_null(strstr(ops->error(ctx, 0).ptr, "reset by peer"));
            ops->end(ctx, 0);
        }
        rig_free(r);
    }
}

static void idle_connections_expire(void **state) {
    static outcome o;
    rig *r = rig_new();
    wf_request request = {.body_len = 2};
    (void)state;
    r->config.idle_ms = 1000;
    rig_open(r, "https://h", "/", NULL, 0);
    const wf_model_ops *ops = r->provider.ops;
    void *ctx = r->provider.ctx;
    assert_true(ops->due(ctx) == UINT64_MAX);
    for (uint32_t lane = 0; lane < 3; lane++) {
        assert_int_equal(ops->begin(ctx, lane, &request), WF_OK);
        assert_int_equal(run_begun(r, lane, "{}", 2, &o), WF_END);
    }
    r->net->now = 5000;
    ops->end(ctx, 1);
    r->net->now = 5400;
    ops->end(ctx, 0);
    assert_int_equal(ops->due(ctx), 6000);
    r->net->now = 5999;
    ready(r);
    assert_int_equal(r->net->open_now, 3);
    r->net->now = 6000;
    ready(r);
    assert_int_equal(r->net->open_now, 2);
    assert_false(r->net->conn[1].open);
    assert_int_equal(ops->due(ctx), 6400);
    ops->end(ctx, 2); /* used last, taken first */
    assert_int_equal(run_on(r, 7, "{}", 2, &o), WF_END);
    assert_int_equal(r->net->conn[2].served, 2);
    r->net->now = 9000;
    ready(r);
    assert_int_equal(r->net->open_now, 0);
    assert_true(ops->due(ctx) == UINT64_MAX);
    assert_int_equal(run(r, "{}", &o), WF_END);
    rig_free(r);
}

/* As many connections as lanes, for any number of origins: the one that was idle longest makes room. */
static void origins_share_the_connections(void **state) {
    static const char *const urls[] = {"https://a",         "https://b",     "http://localhost",
                                       "https://localhost", "https://a:444", "http://localhost:443"};
    static outcome o;
    (void)state;
    for (uint32_t lanes = 1; lanes <= 6; lanes++) {
        rig *r = rig_new();
        wf_provider p[6];
        r->config.lanes = lanes;
        r->config.endpoints = 7;
        rig_open(r, "https://a", "/", NULL, 0);
        for (uint32_t i = 0; i < 6; i++) {
            wf_endpoint e = {.url = wfi_str_z(urls[i]), .path = WF_STR("/")};
            assert_int_equal(wf_http_add(r->http, &e, &p[i], NULL), WF_OK);
        }
        for (uint32_t round = 0; round < 3; round++)
            for (uint32_t i = 0; i < 6; i++) {
                r->provider = p[i];
                assert_int_equal(run_on(r, lanes - 1, "{}", 2, &o), WF_END);
            }
        assert_int_equal(r->net->open_most, lanes);
        assert_int_equal(r->net->opens, lanes == 6 ? 6 : 18);
        rig_free(r);
    }
}

/* ---- tunnels ---- */

static const char *proxy_says;
static char proxy_saw[1024];

static void serve_proxy(fakenet *net, uint32_t conn, const fakenet_request *request) {
    if (!wfi_str_eq(request->method, WF_STR("CONNECT"))) {
        serve_answer(net, conn, request);
        return;
    }
    keep(proxy_saw, sizeof proxy_saw, request->text);
    fakenet_reply_text(net, conn, proxy_says);
}

static rig *proxy_rig(const char *proxy, const char *no_proxy, const char *url) {
    rig *r = rig_new();
    r->config.proxy = wfi_str_z(proxy);
    r->config.no_proxy = wfi_str_z(no_proxy);
    proxy_says = "HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n";
    proxy_saw[0] = 0;
    rig_open(r, url, "/v1", two_headers, 2);
    r->net->serve = serve_proxy;
    return r;
}

static void tunnels_are_dug(void **state) {
    static const struct {
        const char *proxy, *credential;
    } cases[] = {
        {"http://proxy:3128", NULL},
        {"http://Aladdin:open%20sesame@proxy:3128/", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
        {"http://user@proxy:3128", "dXNlcjo="},
        {"http://a:b%2@proxy:3128", "YTpiJTI="},
        {"http://u:%c3%A4@proxy:3128", "dTrDpA=="},
    };
    static outcome o;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig *r = proxy_rig(cases[i].proxy, "", "https://api.example");
        char expected[512];
        r->net->read_max = i % 2;
        r->net->stutter = i % 2;
        for (uint32_t round = 0; round < 2; round++)
            assert_int_equal(run(r, "{}", &o), WF_END);
        snprintf(expected, sizeof expected,
                 "CONNECT api.example:443 HTTP/1.1\r\nhost: api.example:443\r\nuser-agent: workflow.h/" WF_VERSION
                 "\r\n%s%s%s\r\n",
                 cases[i].credential ? "proxy-authorization: Basic " : "",
                 cases[i].credential ? cases[i].credential : "", cases[i].credential ? "\r\n" : "");
        assert_string_equal(proxy_saw, expected);
        assert_non_null(strstr(r->seen, "POST /v1 HTTP/1.1\r\nhost: api.example\r\n"));
        assert_null(strstr(r->seen, "proxy-auth"));
        assert_string_equal(r->net->conn[0].host, "proxy");
        assert_int_equal(r->net->conn[0].port, 3128);
        assert_string_equal(r->net->conn[0].secure_host, "api.example");
        assert_int_equal(r->net->conn[0].secure_port, 443);
        assert_int_equal(r->net->opens, 1); /* the second goes through the same tunnel */
        rig_free(r);
    }
}

static void some_hosts_need_no_proxy(void **state) {
    static const struct {
        const char *url, *no_proxy;
        bool proxied;
    } cases[] = {
        {"https://api.example", "", true},
        {"https://api.example", "other.example, .example", false},
        {"https://api.example", "api.example:444", true},
        {"https://api.example:444", "api.example:444", false},
        {"https://api.example", "*", false},
        {"https://localhost", "", false},
        {"https://127.0.0.1:8443", "", false},
        {"https://[::1]:8443", "", false},
        {"http://localhost", "", false},
        {"https://[2001:db8::1]", "", true},
    };
    static outcome o;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig *r = proxy_rig("http://proxy", cases[i].no_proxy, cases[i].url);
        assert_int_equal(run(r, "{}", &o), WF_END);
        assert_int_equal(strcmp(r->net->conn[0].host, "proxy") == 0, cases[i].proxied);
        assert_int_equal(r->net->conn[0].port == 80, cases[i].proxied || i == 8);
        assert_int_equal(proxy_saw[0] != 0, cases[i].proxied);
        if (i == 9)
            assert_non_null(strstr(proxy_saw, "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nhost: [2001:db8::1]:443\r\n"));
        rig_free(r);
    }
}

static void a_proxy_wants_a_login(void **state) {
    static outcome o;
    (void)state;
    rig *r = proxy_rig("proxy:3128", "", "https://api.example");
    proxy_says = "HTTP/1.1 407 Auth\r\ncontent-length: 0\r\n\r\n";
    assert_int_equal(run(r, "{}", &o), WF_E_CONFIG);
    assert_string_equal(o.error, "the proxy proxy:3128 answered 407 to CONNECT; give user:password in HTTPS_PROXY");
    rig_free(r);
}

static void tunnels_fail(void **state) {
    static const struct {
        const char *says, *error;
        wf_status status;
    } cases[] = {
        {"HTTP/1.1 407 Auth\r\ncontent-length: 3\r\n\r\nno!",
         "the proxy proxy:3128 answered 407 to CONNECT; it does not accept the user and password of HTTPS_PROXY",
         WF_E_CONFIG},
        {"HTTP/1.1 403 Forbidden\r\n\r\n", "the proxy proxy:3128 answered 403 to CONNECT api.example:443", WF_E_CONFIG},
        {"HTTP/1.1 302 Found\r\nlocation: http://x\r\n\r\n",
         "the proxy proxy:3128 answered 302 to CONNECT api.example:443", WF_E_CONFIG},
        {"HTTP/1.1 503 Busy\r\n\r\n", "the proxy proxy:3128 answered 503 to CONNECT api.example:443", WF_E_IO},
        {"HTTP/1.1 429 Busy\r\n\r\n", "the proxy proxy:3128 answered 429 to CONNECT api.example:443", WF_E_IO},
        {"220 mail\r\n", "the proxy proxy:3128: the answer is not HTTP/1.1", WF_E_IO},
        {"HTTP/1.1 200 OK\r\n\r\nhello", "the proxy proxy:3128: bytes came before the tunnel was used", WF_E_IO},
        {"HTTP/1.1 200 OK\r\nx", NULL, WF_E_IO},
    };
    static outcome o;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig *r = proxy_rig("http://user:hunter2@proxy:3128", "", "https://api.example");
        proxy_says = cases[i].says;
        if (cases[i].error) {
            assert_int_equal(run(r, "{}", &o), cases[i].status);
            assert_string_equal(o.error, cases[i].error);
        } else {
            wf_request request = {.body_len = 0};
            wf_response head;
            assert_int_equal(r->provider.ops->begin(r->provider.ctx, 0, &request), WF_OK);
            assert_int_equal(r->provider.ops->head(r->provider.ctx, 0, &head), WF_AGAIN);
            fakenet_end(r->net, 0);
            assert_int_equal(r->provider.ops->head(r->provider.ctx, 0, &head), WF_E_IO);
            keep(o.error, sizeof o.error, r->provider.ops->error(r->provider.ctx, 0));
            assert_string_equal(o.error,
                                "the proxy proxy:3128: the connection was closed before the answer was complete");
            r->provider.ops->end(r->provider.ctx, 0);
        }
        assert_int_equal(r->net->open_now, 0);
        assert_false(r->net->conn[0].secured);
        assert_int_equal(r->served, 0); /* nobody saw the request */
        rig_free(r);
    }
    rig *r = proxy_rig("http://proxy:3128", "", "https://api.example");
    r->net->opened = refuse;
    assert_int_equal(run(r, "{}", &o), WF_E_IO);
    assert_string_equal(o.error, "the proxy: proxy: connection refused");
    rig_free(r);
}

/* ---- early answers ---- */

static uint64_t early_after;
static const char *early_text;

/* Answers as soon as the request's head is there, and reads no more than its window. */
static bool early_opened(fakenet *net, uint32_t conn) {
    net->conn[conn].window = early_after;
    fakenet_reply_text(net, conn, early_text);
    return true;
}

static void answers_before_the_body_is_sent(void **state) {
    static char body[100000];
    static outcome o;
    (void)state;
    for (uint32_t how = 0; how < 8; how++) {
        rig *r = rig_new();
        early_text = "HTTP/1.1 413 Too Large\r\ncontent-length: 9\r\n\r\ntoo large";
        early_after = how % 2 ? 5000 : 300;
        r->net->opened = early_opened;
        r->net->read_max = how / 2 % 2;
        r->net->stutter = how / 4;
        rig_open(r, "https://h", "/", two_headers, 2);
        assert_int_equal(run_on(r, 0, body, sizeof body, &o), WF_END);
        assert_int_equal(o.head.status, 413);
        assert_string_equal(o.body, "too large");
        assert_int_equal(r->net->conn[0].in_len, early_after);
        assert_int_equal(r->net->open_now, 0); /* it is owed a body */
        rig_free(r);
    }
}

/* The peer has answered and hung up: the next write fails. */
static void answers_of_peers_that_hang_up(void **state) {
    static char body[9000];
    static outcome o;
    wf_request request = {.body_len = sizeof body};
    size_t n;
    (void)state;
    for (uint32_t how = 0; how < 2; how++) {
        rig *r = rig_new();
        rig_open(r, "https://h", "/", NULL, 0);
        r->net->write_max = 1000;
        r->net->window = 1500;
        assert_int_equal(r->provider.ops->begin(r->provider.ctx, 0, &request), WF_OK);
        assert_int_equal(r->provider.ops->send(r->provider.ctx, 0, body, sizeof body, &n), WF_OK);
        assert_true(n < 1500);
        if (how == 0) fakenet_reply_text(r->net, 0, "HTTP/1.1 503 Busy\r\nretry-after-ms: 20\r\n\r\nbusy");
        fakenet_end(r->net, 0);
        r->net->conn[0].write_fails = true;
        memset(&o, 0, sizeof o);
        assert_int_equal(run_begun(r, 0, body + n, sizeof body - n, &o), how == 0 ? WF_END : WF_E_IO);
        if (how == 0) {
            assert_int_equal(o.head.status, 503);
            assert_int_equal(o.head.retry_after_ms, 20);
            assert_memory_equal(o.body, "busy", 5);
        }
        r->provider.ops->end(r->provider.ctx, 0);
        rig_free(r);
    }
}

/* 100 Continue, or half a status line, is no answer yet: the body goes on. */
static void interim_answers_stop_nothing(void **state) {
    static char body[6000];
    static outcome o;
    wf_request request = {.body_len = sizeof body};
    size_t n;
    (void)state;
    rig *r = rig_new();
    early_text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2";
    early_after = 2000;
    r->net->opened = early_opened;
    answer_with(r, "00 OK\r\ncontent-length: 2\r\n\r\nhi");
    rig_open(r, "https://h", "/", NULL, 0);
    assert_int_equal(r->provider.ops->begin(r->provider.ctx, 0, &request), WF_OK);
    assert_int_equal(r->provider.ops->send(r->provider.ctx, 0, body, sizeof body, &n), WF_OK);
    size_t at = n;
    assert_int_equal(r->provider.ops->send(r->provider.ctx, 0, body + at, sizeof body - at, &n), WF_AGAIN);
    r->net->conn[0].window = 100000;
    memset(&o, 0, sizeof o);
    assert_int_equal(run_begun(r, 0, body + at, sizeof body - at, &o), WF_END);
    assert_int_equal(o.head.status, 200);
    assert_memory_equal(o.body, "hi", 3);
    r->provider.ops->end(r->provider.ctx, 0);
    assert_int_equal(r->net->open_now, 1);
    rig_free(r);
}

/* ---- configuration ---- */

static void endpoints_are_checked(void **state) {
    static const struct {
        const char *url, *path;
        wf_header header;
        bool plain, no_tls;
        const char *why; /* NULL: it is taken */
    } cases[] = {
        {"https://h", "/", {{"a", 1}, {"b", 1}}, false, false, NULL},
        {"http://h", "/", {{"a", 1}, {"b", 1}}, true, false, NULL},
        {"http://127.0.0.1", "/", {{"a", 1}, {"b", 1}}, false, true, NULL},
        {"http://h", "/", {{"a", 1}, {"b", 1}}, false, false, "would show keys and prompts"},
        {"http://192.168.1.5:8080", "/", {{"a", 1}, {"b", 1}}, false, false, "use https://"},
        {"https://h", "/", {{"a", 1}, {"b", 1}}, false, true, "no TLS"},
        {"https://u:p@h", "/", {{"a", 1}, {"b", 1}}, false, false, "user or a password"},
        {"h", "/", {{"a", 1}, {"b", 1}}, false, false, "begins with https://"},
        {"https://h", "/a b", {{"a", 1}, {"b", 1}}, false, false, "the path"},
        {"https://h", "/a\r\nb", {{"a", 1}, {"b", 1}}, false, false, "the path"},
        {"https://h", "/a#b", {{"a", 1}, {"b", 1}}, false, false, "the path"},
        {"https://h", "/", {{"a b", 3}, {"b", 1}}, false, false, "name of a header"},
        {"https://h", "/", {{"a", 1}, {"b\r\nc: d", 7}}, false, false, "value of a header"},
        {"https://h", "/", {{"Content-Length", 14}, {"b", 1}}, false, false, "HTTP itself"},
        {"https://h", "/", {{"host", 4}, {"b", 1}}, false, false, "HTTP itself"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fakenet *net = fakenet_new();
        wf_http_config config = {.platform = &net->platform, .net = &net->ops, .net_ctx = net, .plain = cases[i].plain};
        wf_endpoint e = {wfi_str_z(cases[i].url), wfi_str_z(cases[i].path), &cases[i].header, 1, 0};
        wf_provider p;
        wf_error error = {WF_OK, "", 0};
        wf_http *http;
        if (cases[i].no_tls) net->ops.secure = NULL;
        size_t size = wf_http_size(&config);
        void *memory = malloc(size);
        assert_int_equal(wf_http_open(&http, memory, size, &config, NULL), WF_OK);
        wf_status s = wf_http_add(http, &e, &p, &error);
        if (s != (cases[i].why ? WF_E_CONFIG : WF_OK)) fail_msg("%s: %s", cases[i].url, error.text);
        if (cases[i].why && !strstr(error.text, cases[i].why)) fail_msg("%s: %s", cases[i].url, error.text);
        for (uint32_t n = s == WF_OK; n < 8; n++) {
            e = (wf_endpoint){WF_STR("http://localhost"), WF_STR(""), NULL, 0, 0};
            assert_int_equal(wf_http_add(http, &e, &p, NULL), WF_OK);
        }
        assert_int_equal(wf_http_add(http, &e, &p, &error), WF_E_LIMIT);
        assert_int_equal(error.code, WF_E_LIMIT);
        /* a call of one's own is checked as well */
        wf_http_call call = {.method = WF_STR("GE T"), .url = WF_STR("http://localhost")};
        assert_int_equal(wf_http_begin(http, 0, &call), WF_E_CONFIG);
        assert_true(wf_http_error(http, 0).len > 0);
        wf_http_end(http, 0);
        wf_http_close(http);
        assert_int_equal(net->opens, 0);
        free(memory);
        fakenet_free(net);
    }
}

static void configs_are_checked(void **state) {
    static const struct {
        uint32_t lanes, endpoints;
        const char *proxy;
        bool good;
    } cases[] = {
        {0, 0, "", true},
        {1, 1, "http://proxy", true},
        {1000, 256, "http://u:p@proxy:1/", true},
        {1001, 0, "", false},
        {0, 257, "", false},
        {0, 0, "proxy:3128", true},
        {0, 0, "http://u:#@proxy:3128", false},
        {0, 0, "https://proxy", false},
        {0, 0, "socks5://proxy", false},
        {0, 0, "http://proxy/path", false},
    };
    (void)state;
    fakenet *net = fakenet_new();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wf_http_config config = {.platform = &net->platform,
                                 .net = &net->ops,
                                 .net_ctx = net,
                                 .lanes = cases[i].lanes,
                                 .endpoints = cases[i].endpoints,
                                 .proxy = wfi_str_z(cases[i].proxy)};
        wf_error error = {WF_OK, "", 0};
        wf_http *http;
        size_t size = wf_http_size(&config);
        assert_int_equal(size > 0, cases[i].good);
        if (!cases[i].good) {
            assert_int_equal(wf_http_open(&http, &error, sizeof error, &config, &error), WF_E_CONFIG);
            assert_true(error.code == WF_E_CONFIG && error.text[0] && !http);
            continue;
        }
        char *memory = malloc(size + 16);
        for (size_t shift = 0; shift < 16; shift++) {
            assert_int_equal(wf_http_open(&http, memory + shift, size - 1, &config, &error), WF_E_MEMORY);
            assert_int_equal(error.code, WF_E_MEMORY);
            assert_int_equal(wf_http_open(&http, memory + shift, size, &config, &error), WF_OK);
            wf_http_close(http);
        }
        free(memory);
    }
    wf_http *http;
    wf_http_config none = {.net = &net->ops};
    assert_int_equal(wf_http_size(&none), 0);
    wf_http_config config = {.platform = &net->platform, .net = &net->ops, .net_ctx = net};
    assert_int_equal(wf_http_open(&http, NULL, 1 << 20, &config, NULL), WF_E_MEMORY);
    char proxy[400] = "http://";
    memset(proxy + 7, 'u', 255);
    strcpy(proxy + 7 + 255, "@proxy");
    config.proxy = wfi_str_z(proxy);
    size_t size = wf_http_size(&config);
    void *memory = malloc(size);
    assert_int_equal(wf_http_open(&http, memory, size, &config, NULL), WF_OK);
    assert_int_equal(http->credential_len, 344);
    free(memory);
    strcpy(proxy + 7 + 255, "u@proxy");
    config.proxy = wfi_str_z(proxy);
    assert_int_equal(wf_http_size(&config), 0);
    fakenet_free(net);
}

/* ---- many ---- */

/* 1,000 exchanges at once, driven by `ready` alone, twice: the second time nothing is opened. */
static void a_thousand_lanes(void **state) {
    static uint32_t lanes[1000], at[1000], done;
    rig *r = rig_new();
    wf_request request = {.body_len = 2};
    wf_response head;
    char body[64];
    size_t n;
    (void)state;
    r->config.lanes = 1000;
    r->net->stutter = true;
    r->net->read_max = 50;
    rig_open(r, "https://h", "/", NULL, 0);
    const wf_model_ops *ops = r->provider.ops;
    void *ctx = r->provider.ctx;
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 1000; i++) {
            assert_int_equal(ops->begin(ctx, i, &request), WF_OK);
            at[i] = 0;
        }
        done = 0;
        uint32_t count = 1000;
        for (uint32_t i = 0; i < 1000; i++)
            lanes[i] = i;
        for (uint32_t turns = 0; done < 1000; turns++) {
            assert_true(turns < 1000);
            for (uint32_t k = 0; k < count; k++) {
                uint32_t lane = lanes[k];
                wf_status s = WF_OK;
                while (s == WF_OK && at[lane] < 4) {
                    if (at[lane] < 2)
                        s = ops->send(ctx, lane, "{}", 2 - at[lane], &n);
                    else if (at[lane] == 2)
                        s = ops->head(ctx, lane, &head);
                    else
                        s = ops->recv(ctx, lane, body, sizeof body, &n);
                    if (s == WF_OK && at[lane] < 3) at[lane] += at[lane] < 2 ? (uint32_t)n : 1;
                    if (s == WF_END) at[lane] = 4;
                }
                assert_true(s == WF_AGAIN || s == WF_END || at[lane] == 4);
                if (at[lane] == 4) {
                    at[lane] = 5;
                    done++;
                }
            }
            count = ops->ready(ctx, lanes, 1000);
        }
        for (uint32_t i = 0; i < 1000; i++)
            ops->end(ctx, i);
        assert_int_equal(r->net->open_now, 1000);
    }
    assert_int_equal(r->net->opens, 1000);
    assert_int_equal(r->served, 2000);
    rig_free(r);
}

/* Responses with bytes changed, lost and doubled, in random pieces, on kept connections and new ones. Whatever comes, each exchange
 * ends, connections are accounted for, and an honest answer is read right afterwards. */
static void mutants_do_no_harm(void **state) {
    static outcome o;
    uint64_t seed = 3141592653;
    uint32_t good = 0, stale = 0;
    size_t sizes[3];
    char text[512];
    (void)state;
    rig *r = rig_new();
    r->config.lanes = 3;
    rig_open(r, "https://h", "/", NULL, 0);
    for (uint32_t round = 0; round < 20000; round++) {
        const char *from = answers[fake_below(&seed, ANSWERS)].text;
        size_t n = strlen(from);
        memcpy(text, from, n);
        for (uint64_t edits = fake_below(&seed, 3); edits > 0 && n > 0; edits--) {
            size_t at = (size_t)fake_below(&seed, n);
            if (fake_below(&seed, 2)) {
                text[at] = (char)fake_below(&seed, 256);
            } else {
                memmove(text + at, text + at + 1, n - at - 1);
                n--;
            }
        }
        r->answer = text;
        r->answer_len = (size_t)fake_below(&seed, 8) ? n : (size_t)fake_below(&seed, n + 1);
        r->end = fake_below(&seed, 2);
        r->reset = !r->end; /* so that none waits for ever */
        r->net->stutter = fake_below(&seed, 2);
        r->net->read_max = (size_t)fake_below(&seed, 50);
        for (uint32_t i = 0; i < 3; i++)
            sizes[i] = 1 + (size_t)fake_below(&seed, 30);
        for (uint32_t i = 0; i < 3; i++) {
            r->net->conn[i].pieces = sizes;
            r->net->conn[i].piece_count = 3;
        }
        wf_status s = run_on(r, round % 3, "{}", 2, &o);
        assert_true(s == WF_END || s == WF_E_IO || s == WF_E_STALE);
        assert_int_equal(o.error[0] == 0, s == WF_END && o.head.status / 100 != 3);
        good += s == WF_END;
        stale += s == WF_E_STALE;
        assert_true(r->net->open_now <= 3);
        if (round % 100) continue;
        r->end = r->reset = false;
        r->net->stutter = false;
        answer_with(r, OK200 "content-length: 6\r\n\r\nhonest");
        assert_int_equal(run_on(r, round % 3, "{}", 2, &o), WF_END);
        assert_string_equal(o.body, "honest");
    }
    assert_true(good > 1000 && stale > 0);
    rig_free(r);
}

/* HEAD has no body, whatever length its answer names; and the connection can be used again. */
static void head_has_no_body(void **state) {
    wf_response head;
    size_t n;
    char buf[8];
    (void)state;
    rig *r = rig_new();
    rig_open(r, "http://localhost", "/", NULL, 0);
    answer_with(r, "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
    wf_http_call call = {.method = WF_STR("HEAD"), .url = WF_STR("http://localhost"), .path = WF_STR("/")};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wf_http_begin(r->http, 0, &call), WF_OK);
        assert_int_equal(wf_http_head(r->http, 0, &head), WF_OK);
        assert_int_equal(wf_http_recv(r->http, 0, buf, sizeof buf, &n), WF_END);
        wf_http_end(r->http, 0);
    }
    assert_int_equal(r->net->opens, 1);
    rig_free(r);
}

/* Whatever header a key is in, the answer says what must not be quoted. */
static void keys_of_all_headers_are_named(void **state) {
    static const wf_header headers[] = {{{"x-team", 6}, {"platform", 8}},
                                        {{"Api-Key", 7}, {"secret-of-azure", 15}},
                                        {{"x-goog-api-key", 14}, {"secret-of-google", 16}},
                                        {{"authorization", 13}, {"Bearer secret-of-all", 20}}};
    static outcome o;
    (void)state;
    rig *r = rig_new();
    rig_open(r, "https://h", "/", headers, 4);
    answer_with(r, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(run(r, "{}", &o), WF_END);
    assert_true(wfi_str_eq(o.head.keys[0], WF_STR("secret-of-azure")));
    assert_true(wfi_str_eq(o.head.keys[1], WF_STR("secret-of-google")));
    assert_true(wfi_str_eq(o.head.keys[2], WF_STR("secret-of-all")));
    assert_int_equal(o.head.keys[3].len, 0);
    wf_endpoint secret = {.url = WF_STR("https://h"), .headers = headers, .header_count = 4, .secrets = 4};
    assert_int_equal(wf_http_add(r->http, &secret, &r->provider, NULL), WF_OK);
    answer_with(r, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_int_equal(run(r, "{}", &o), WF_END);
    assert_true(wfi_str_eq(o.head.keys[0], WF_STR("platform"))); /* all of it, whatever it is called, */
    assert_true(wfi_str_eq(o.head.keys[3], WF_STR("Bearer secret-of-all")));
    assert_true(wfi_str_eq(o.head.keys[5], WF_STR("secret-of-all"))); /* ... and each word */
    rig_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_these_bytes),
        cmocka_unit_test(long_heads_go_out_in_pieces),
        cmocka_unit_test(calls_without_a_body),
        cmocka_unit_test(responses_in_any_pieces),
        cmocka_unit_test(bodies_into_small_buffers),
        cmocka_unit_test(large_bodies_arrive),
        cmocka_unit_test(heads_are_told),
        cmocka_unit_test(answers_cut_short),
        cmocka_unit_test(garbage_is_named),
        cmocka_unit_test(peers_not_to_be_trusted),
        cmocka_unit_test(refused_connections),
        cmocka_unit_test(misuse_is_refused),
        cmocka_unit_test(ends_at_every_step),
        cmocka_unit_test(idle_connections_die),
        cmocka_unit_test(stale_once_then_fresh),
        cmocka_unit_test(vanished_once_then_an_error),
        cmocka_unit_test(idle_connections_expire),
        cmocka_unit_test(origins_share_the_connections),
        cmocka_unit_test(tunnels_are_dug),
        cmocka_unit_test(some_hosts_need_no_proxy),
        cmocka_unit_test(a_proxy_wants_a_login),
        cmocka_unit_test(tunnels_fail),
        cmocka_unit_test(answers_before_the_body_is_sent),
        cmocka_unit_test(answers_of_peers_that_hang_up),
        cmocka_unit_test(interim_answers_stop_nothing),
        cmocka_unit_test(endpoints_are_checked),
        cmocka_unit_test(configs_are_checked),
        cmocka_unit_test(a_thousand_lanes),
        cmocka_unit_test(mutants_do_no_harm),
        cmocka_unit_test(head_has_no_body),
        cmocka_unit_test(keys_of_all_headers_are_named),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
