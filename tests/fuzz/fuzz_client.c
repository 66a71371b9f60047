/* fuzz_client: the HTTP client with a hostile network below it: what comes of each open, write and read, which bytes arrive and
 * which lane goes on are the fuzzer's. Two lanes carry requests one after the other, on connections kept or not, through a
 * proxy or not.
 *
 * Judges: the network is used by its rules; answers keep those of wf_model_ops (pieces of 1..n bytes, a dead connection told
 * once in a row and before any answer); no error repeats a secret that the server has not said itself; all is closed at the end. */
#include "input.h"

#include "src/api/net.h"

#define CLIENT_LANES 2u
#define CLIENT_TURNS 600u
#define CLIENT_KEY   "Bearer sesame-sesame"

static const wf_header client_headers[] = {{{"authorization", 13}, {CLIENT_KEY, sizeof CLIENT_KEY - 1}},
                                           {{"x-name", 6}, {"value", 5}}};

/* ---- the network ---- */

typedef struct network {
    input in;
    bool open[CLIENT_LANES], secured[CLIENT_LANES];
    uint64_t now;
} network;

static wf_status client_net_open(void *ctx, uint32_t conn, wf_str host, uint32_t port) {
    network *net = ctx;
    FUZZ_MUST(conn < CLIENT_LANES && !net->open[conn] && host.len > 0 && port > 0);
    net->open[conn] = true;
    net->secured[conn] = false;
    return input_below(&net->in, 16) == 0 ? WF_E_IO : WF_OK;
}

static wf_status client_net_secure(void *ctx, uint32_t conn, wf_str host, uint32_t port) {
    network *net = ctx;
    (void)port;
    FUZZ_MUST(net->open[conn] && !net->secured[conn] && host.len > 0);
    net->secured[conn] = true;
    return WF_OK;
}

static wf_status client_net_write(void *ctx, uint32_t conn, const void *buf, size_t n, size_t *put) {
    network *net = ctx;
    FUZZ_MUST(net->open[conn] && buf && n > 0);
    uint32_t dice = input_byte(&net->in);
    if (net->in.left == 0 || dice == 255) return WF_E_IO;
    if (dice == 254) return WF_E_CONFIG;
    if (dice > 230) return WF_AGAIN;
    *put = dice > 200 ? 1 + n / 2 : n;
    return WF_OK;
}

static wf_status client_net_read(void *ctx, uint32_t conn, void *buf, size_t n, size_t *got) {
    network *net = ctx;
    FUZZ_MUST(net->open[conn] && n > 0);
    uint32_t dice = input_byte(&net->in);
    if (net->in.left == 0 || dice == 255) return WF_END;
    if (dice == 254) return WF_E_IO;
    if (dice == 253) return WF_E_CONFIG;
    if (dice > 230) return WF_AGAIN;
    wf_str bytes = input_take(&net->in, n < 2 * dice + 1 ? n : 2 * dice + 1);
    memcpy(buf, bytes.ptr, bytes.len);
    *got = bytes.len;
    return WF_OK;
}

static void client_net_close(void *ctx, uint32_t conn) {
    ((network *)ctx)->open[conn] = false;
}

static uint32_t client_net_ready(void *ctx, uint32_t *conns, uint32_t max) {
    network *net = ctx;
    uint32_t n = 0;
    for (uint32_t i = 0; i < CLIENT_LANES && n < max; i++)
        if (net->open[i] && input_byte(&net->in) & 1) conns[n++] = i;
    return n;
}

static uint64_t client_net_due(void *ctx) {
    (void)ctx;
    return UINT64_MAX;
}

static wf_str client_net_error(void *ctx, uint32_t conn) {
    (void)ctx;
    (void)conn;
    return WF_STR("h.test: the network broke");
}

static uint64_t client_now(void *ctx) {
    return ((network *)ctx)->now += 500; /* now and then a kept connection is too old */
}

static const wf_net_ops client_ops = {client_net_open,  client_net_secure, client_net_write, client_net_read,
                                      client_net_close, client_net_ready,  client_net_due,   client_net_error};

/* ---- the requests of one lane ---- */

typedef struct exchange {
    wf_http_call call;
    wf_rates rates;
    uint64_t left; /* of the body */
    bool under_way, sent, answered, stale;
} exchange;

static wf_status client_begin(wf_http *http, uint32_t lane, exchange *x, uint32_t how) {
    x->call = (wf_http_call){.method = WF_STR("POST"),
                             .url = how & 1 ? WF_STR("https://h.test/v") : WF_STR("http://h.test"),
                             .path = WF_STR("/m"),
                             .headers = client_headers,
                             .header_count = 2,
                             .has_body = true,
                             .body_len = how & 2 ? 9000 : 10,
                             .rates = &x->rates};
    if (how & 4) x->call.method = WF_STR("HEAD"), x->call.has_body = false, x->call.body_len = 0;
    x->left = x->call.body_len;
    x->sent = x->left == 0;
    x->under_way = true;
    x->answered = false;
    return wf_http_begin(http, lane, &x->call);
}

static wf_status client_send(wf_http *http, uint32_t lane, exchange *x) {
    static const char body[700];
    size_t put = 0, n = x->left < sizeof body ? (size_t)x->left : sizeof body;
    wf_status status = wf_http_send(http, lane, body, n, &put);
    if (status == WF_OK) {
        FUZZ_MUST(put > 0 && put <= n);
        x->left -= put;
    }
    x->sent = x->left == 0 || status == WF_END;
    return status == WF_END ? WF_OK : status;
}

static wf_status client_head(wf_http *http, uint32_t lane, exchange *x) {
    wf_response head;
    wf_status status = wf_http_head(http, lane, &head);
    if (status != WF_OK) return status;
    x->answered = true;
    FUZZ_MUST(head.status >= 200 && head.status <= 999);
    FUZZ_MUST(head.retry_after_ms == -1 || head.retry_after_ms > 0);
    return WF_OK;
}

static wf_status client_recv(wf_http *http, uint32_t lane, input *in) {
    size_t room = 1 + input_below(in, 200), got = 0;
    char *buf = input_alloc(room);
    wf_status status = wf_http_recv(http, lane, buf, room, &got);
    if (status == WF_OK) FUZZ_MUST(got > 0 && got <= room);
    free(buf);
    return status;
}

/* One call of the client for this lane; whatever comes of it ends the exchange, or lets it go on. */
static void client_turn(wf_http *http, uint32_t lane, exchange *x, input *in) {
    wf_status status = !x->under_way  ? client_begin(http, lane, x, input_byte(in))
                       : !x->sent     ? client_send(http, lane, x)
                       : !x->answered ? client_head(http, lane, x)
                                      : client_recv(http, lane, in);
    if (status == WF_E_STALE) FUZZ_MUST(!x->stale && !x->answered);
    if (status == WF_OK || status == WF_AGAIN) return;
    x->stale = status == WF_E_STALE;
    (void)wf_http_error(http, lane);
    wf_http_end(http, lane);
    x->under_way = false;
}

static void client_judge_error(wf_http *http, uint32_t lane, wf_str all) {
    wf_str error = wf_http_error(http, lane), secret = WF_STR("sesame");
    FUZZ_MUST(input_holds(all, secret) || !input_holds(error, secret));
}

int fuzz_client(const uint8_t *data, size_t size) {
    network net = {.in = {data, size}, .now = 1};
    wf_platform platform = {.version = WF_PLATFORM_VERSION, .ctx = &net, .now_ms = client_now, .wall_ms = client_now};
    wf_http_config config = {
        .platform = &platform, .net = &client_ops, .net_ctx = &net, .lanes = CLIENT_LANES, .plain = true};
    exchange lanes[CLIENT_LANES] = {{.under_way = false}};
    uint32_t ready[CLIENT_LANES];
    wf_http *http;
    if (input_byte(&net.in) & 1) config.proxy = WF_STR("http://user:sesame@proxy:1");
    void *memory = input_alloc(wf_http_size(&config));
    FUZZ_MUST(wf_http_open(&http, memory, wf_http_size(&config), &config, NULL) == WF_OK);
    for (uint32_t turn = 0; turn < CLIENT_TURNS && net.in.left > 0; turn++) {
        uint32_t lane = input_byte(&net.in) & 1;
        client_turn(http, lane, &lanes[lane], &net.in);
        client_judge_error(http, lane, wf_str_of((const char *)data, size));
        if (turn % 8 == 0) wf_http_ready(http, ready, CLIENT_LANES);
    }
    for (uint32_t lane = 0; lane < CLIENT_LANES; lane++)
        if (lanes[lane].under_way) wf_http_end(http, lane);
    wf_http_close(http);
    FUZZ_MUST(!net.open[0] && !net.open[1]);
    free(memory);
    return 0;
}
