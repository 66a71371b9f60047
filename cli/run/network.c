/* network: see network.h. Nothing of it is done before it is needed: no TLS for http:// addresses, and none of it for a run of
 * rules until an agent names another model. */
#include "network.h"
#include "../base/environ.h"
#include "model.h"
#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define NETWORK_OLD_API "2023-06-01"
#define NETWORK_SPARE   64u /* bytes beside a key in the values of headers */

static const char *network_url(void) {
    const char *url = cli_env(ENV_BASE_URL);
    return url ? url : WF_MESSAGES_URL;
}

static bool network_is_plain(void) {
    return strncasecmp(network_url(), "http://", 7) == 0;
}

/* Keeps why, without the settings' values where these may be secrets. */
static bool network_fail(cli_network *n, const char *format, ...) CLI_PRINTF(2, 3);
static bool network_fail(cli_network *n, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(n->why, sizeof n->why, format, args);
    va_end(args);
    n->failed = true;
    return false;
}

/* ---- the settings ---- */

/* What goes into a header: visible characters and nothing else. */
static bool network_check_value(cli_network *n, cli_variable variable) {
    const char *value = cli_env(variable);
    size_t at = 0;
    while (value && value[at] > ' ' && value[at] < 0x7f)
        at++;
    if (!value || value[at] == '\0') return true;
    const char *what = value[at] == '\n' || value[at] == '\r' ? "a line break"
                       : value[at] == ' '                     ? "a blank"
                                                              : "a byte";
    return network_fail(n, "%s: character %zu is %s that it cannot have; set it again, from its text alone",
                        cli_env_name(variable), at + 1, what);
}

static bool network_check_version(cli_network *n) {
    const char *version = cli_env(ENV_VERSION), *form = "0000-00-00";
    bool ok = !version || strlen(version) == strlen(form);
    for (size_t i = 0; version && ok && form[i]; i++)
        ok = form[i] == '0' ? version[i] >= '0' && version[i] <= '9' : version[i] == form[i];
    if (ok) return true;
    return network_fail(n, "%s=%.40s: not a version of the API, such as 2026-10-21 or " NETWORK_OLD_API,
                        cli_env_name(ENV_VERSION), version);
}

static bool network_key_header(cli_network *n, bool *x_api_key) {
    const char *header = cli_env(ENV_KEY_HEADER), *version = cli_env(ENV_VERSION);
    *x_api_key = version && strcmp(version, NETWORK_OLD_API) == 0;
    if (!header) return true;
    *x_api_key = strcasecmp(header, "x-api-key") == 0;
    if (*x_api_key || strcasecmp(header, "authorization") == 0) return true;
    return network_fail(n, "%s=%.40s: x-api-key or authorization", cli_env_name(ENV_KEY_HEADER), header);
}

static bool network_settings(cli_network *n, wf_messages_settings *s) {
    static const cli_variable values[] = {ENV_API_KEY, ENV_AUTH_TOKEN, ENV_BETAS, ENV_WORKSPACE_ID};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (!network_check_value(n, values[i])) return false;
    *s = (wf_messages_settings){.key = cli_str(cli_env(ENV_API_KEY)),
                                .token = cli_str(cli_env(ENV_AUTH_TOKEN)),
                                .version = cli_str(cli_env(ENV_VERSION)),
                                .betas = cli_str(cli_env(ENV_BETAS)),
                                .workspace_id = cli_str(cli_env(ENV_WORKSPACE_ID))};
    return network_check_version(n) && network_key_header(n, &s->x_api_key);
}

/* ---- the user's own headers: a line for each, "Name: value" ---- */

/* Neither a value nor what is no header is ever shown. */
static bool network_fail_custom(cli_network *n, uint32_t line, const char *why) {
    return network_fail(n, "%s, line %" PRIu32 ": %s; a line is `Name: value`", cli_env_name(ENV_CUSTOM_HEADERS), line,
                        why);
}

static wf_str network_trim(wf_str s) {
    while (s.len > 0 && strchr(" \t\r", s.ptr[0]))
        s = wf_str_of(s.ptr + 1, s.len - 1);
    while (s.len > 0 && strchr(" \t\r", s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static bool network_is_name(wf_str s) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < s.len; i++)
        if (!s.ptr[i] || !strchr(letters, s.ptr[i])) return false;
    return s.len > 0;
}

static bool network_same_name(wf_str a, wf_str b) {
    return a.len == b.len && strncasecmp(a.ptr, b.ptr, a.len) == 0;
}

static const char *network_custom_fault(wf_str name, wf_str value) {
    static const char *const own[] = {"host",       "content-length", "content-type",    "transfer-encoding",
                                      "connection", "user-agent",     "accept-encoding", "accept",
                                      "upgrade",    "expect"};
    if (!network_is_name(name)) return "the name of a header has letters, digits and - alone";
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (network_same_name(name, cli_str(own[i])))
            return "wf itself writes a header of this name; leave the line out";
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.ptr[i] < ' ' || value.ptr[i] == 0x7f) return "its value has a control character";
    return value.len == 0 ? "the value is missing" : NULL;
}

/* Takes the place of ours with the same name: a gateway may want its own authorization. */
static void network_put_custom(cli_network *n, wf_header header) {
    uint32_t to = 0;
    for (uint32_t i = 0; i < n->header_count; i++) {
        bool same = network_same_name(n->headers[i].name, header.name);
        n->custom -= same && i + n->custom >= n->header_count;
        if (!same) n->headers[to++] = n->headers[i];
    }
    n->headers[to] = header;
    n->header_count = to + 1;
    n->custom++;
}

static bool network_custom(cli_network *n) {
    const char *at = cli_env(ENV_CUSTOM_HEADERS);
    for (uint32_t line = 1; at && *at; line++) {
        wf_str text = network_trim(wf_str_of(at, strcspn(at, "\n")));
        at += strcspn(at, "\n");
        at += *at == '\n';
        if (text.len == 0) continue;
        const char *colon = memchr(text.ptr, ':', text.len);
        if (!colon) return network_fail_custom(n, line, "there is no colon");
        size_t len = (size_t)(colon - text.ptr);
        wf_header h = {network_trim(wf_str_of(text.ptr, len)), network_trim(wf_str_of(colon + 1, text.len - len - 1))};
        const char *why = network_custom_fault(h.name, h.value);
        if (!why && n->custom == CLI_NETWORK_CUSTOM) why = "there are more than 16";
        if (why) return network_fail_custom(n, line, why);
        network_put_custom(n, h);
    }
    return true;
}

/* ---- memory: the HTTP client, the values of headers, the rest for TLS ---- */

/* "1" and nothing else: who writes 0 or "no" does not want it. */
static bool network_allows_plain(void) {
    const char *value = cli_env(ENV_ALLOW_HTTP);
    return value && strcmp(value, "1") == 0;
}

/* Of the client's size the proxy is no part. */
static wf_http_config network_http_config(const cli_network *n) {
    wf_http_config config = {.platform = n->platform,
                             .lanes = (uint32_t)n->options->number[OPT_LANES],
                             .endpoints = 1,
                             .plain = network_allows_plain()};
    config.net = wf_posix_net(n->posix, &config.net_ctx);
    return config;
}

static size_t network_http_size(const cli_network *n) {
    wf_http_config config = network_http_config(n);
    return wf_http_size(&config);
}

static size_t network_values_size(void) {
    return cli_str(cli_env(ENV_API_KEY)).len + cli_str(cli_env(ENV_AUTH_TOKEN)).len + NETWORK_SPARE;
}

static size_t network_tls_size(const cli_network *n) {
    return network_is_plain() ? 0 : wf_tls_size((uint32_t)n->options->number[OPT_LANES]);
}

size_t cli_network_size(const cli_network *n, size_t *least) {
    size_t fixed = network_http_size(n) + network_values_size(), tls = network_tls_size(n);
    *least = fixed + tls / 2; /* a handshake takes twice what its connection does afterwards */
    return fixed + tls;
}

static void *network_carve(cli_network *n, size_t size) {
    n->used += size;
    return (char *)n->memory + n->used - size;
}

/* ---- opening ---- */

static bool network_open_tls(cli_network *n, wf_http_config *http) {
    const char *given = n->options->text[OPT_CA], *file = given ? given : cli_env(ENV_CERT_FILE);
    wf_tls_config config = {.net = http->net,
                            .net_ctx = http->net_ctx,
                            .conns = http->lanes,
                            .now_ms = n->platform->now_ms,
                            .now_ctx = n->platform->ctx,
                            .ca_file = file};
    size_t size = n->size - n->used; /* what the others leave */
    wf_error error = {WF_OK, "", WF_NO_OFFSET};
    wf_tls *tls = NULL;
    wf_status status = wf_tls_open(&tls, network_carve(n, size), size, &config, &error);
    if (status != WF_OK) {
        const char *why = tls && wf_tls_error(tls)[0] ? wf_tls_error(tls) : error.text;
        if (!file) return network_fail(n, "%s; name a bundle of root certificates in PEM with --ca FILE", why);
        return network_fail(n, "%s %s: %s; name a bundle of root certificates in PEM", given ? "--ca" : "SSL_CERT_FILE",
                            file, why);
    }
    n->tls = tls;
    http->net = wf_tls_ops();
    http->net_ctx = tls;
    return true;
}

/* Traffic with keys goes to the proxy though somebody meant to spare it that: said once in a run. */
static void network_note_no_proxy(wf_str list) {
    wf_str odd = wf_http_no_proxy_fault(list);
    if (odd.len == 0 || !cli_env(ENV_PROXY)) return;
    fputs("wf: NO_PROXY: ", stderr);
    cli_put(stderr, odd, 100);
    fputs(": passed over; it is no name, address or ADDRESS/BITS\n", stderr);
}

static bool network_open_http(cli_network *n) {
    wf_http_config config = network_http_config(n);
    wf_error error = {WF_OK, "", WF_NO_OFFSET};
    size_t size = network_http_size(n);
    void *memory = network_carve(n, size);
    n->values = network_carve(n, network_values_size());
    if (!network_is_plain() && !network_open_tls(n, &config)) return false;
    config.proxy = cli_str(cli_env(ENV_PROXY));
    config.no_proxy = cli_str(cli_env(ENV_NO_PROXY));
    network_note_no_proxy(config.no_proxy);
    wf_status status = wf_http_open(&n->http, memory, size, &config, &error);
    if (status == WF_OK) return true;
    n->http = NULL;
    return network_fail(n, "HTTPS_PROXY: %s", error.text);
}

/* Whether the address is https://IPV6 without the brackets. */
static bool network_lacks_brackets(const char *url, char host[64]) {
    const char *begin = strstr(url, "://");
    uint8_t address[16];
    if (!begin) return false;
    snprintf(host, 64, "%.*s", (int)strcspn(begin + 3, "/"), begin + 3);
    return inet_pton(AF_INET6, host, address) == 1;
}

/* An address with a login in it is not shown, nor one with a query, which may hold a key. */
static bool network_fail_url(cli_network *n, const char *why) {
    const char *url = network_url();
    char host[64];
    const char *plain = network_is_plain() && !network_allows_plain() ? "; WF_ALLOW_HTTP=1 allows it" : "";
    if (strpbrk(url, "@?")) return network_fail(n, "ANTHROPIC_BASE_URL: %s", why);
    if (network_lacks_brackets(url, host))
        return network_fail(n, "ANTHROPIC_BASE_URL=%.200s: an IPv6 address needs brackets: write [%s]", url, host);
    return network_fail(n, "ANTHROPIC_BASE_URL=%.200s: %s%s", url, why, plain);
}

static bool network_open(cli_network *n) {
    wf_messages_settings settings;
    wf_error error = {WF_OK, "", WF_NO_OFFSET};
    if (!network_settings(n, &settings) || !network_open_http(n)) return false;
    n->header_count = wf_messages_headers(&settings, n->values, network_values_size(), n->headers);
    if (!network_custom(n)) return false;
    if (n->header_count == n->custom)
        return network_fail(n, "the key or another setting of the Messages API cannot be used in a header");
    /* under the older version, betas have an address of their own */
    bool old = settings.betas.len > 0 && cli_same(settings.version, WF_STR(NETWORK_OLD_API));
    wf_endpoint endpoint = {.url = wf_messages_base(cli_str(network_url())),
                            .path = old ? WF_STR(WF_MESSAGES_PATH "?beta=true") : WF_STR(WF_MESSAGES_PATH),
                            .headers = n->headers,
                            .header_count = n->header_count,
                            .secrets = n->custom};
    if (wf_http_add(n->http, &endpoint, &n->served, &error) == WF_OK) return true;
    return network_fail_url(n, error.text);
}

void cli_network_init(cli_network *n, const cli_options *options, wf_posix *posix, const wf_platform *platform) {
    memset(n, 0, sizeof *n);
    n->options = options;
    n->posix = posix;
    n->platform = platform;
    n->served = (wf_provider){.name = WF_STR("anthropic"), .stream = true, .priced = true};
}

cli_exit cli_network_open(cli_network *n, void *memory, size_t size, wf_provider *out) {
    n->memory = memory;
    n->size = size;
    if (!network_open(n)) return cli_fail(CLI_USAGE, "%s", n->why);
    *out = n->served;
    return CLI_OK;
}

/* What the client sent last is still in its memory, with the key. */
void cli_network_close(cli_network *n) {
    if (n->http) {
        wf_http_close(n->http);
        cli_wipe(n->memory, network_http_size(n));
    }
    if (n->tls) wf_tls_close(n->tls);
    if (n->values) cli_wipe(n->values, network_values_size());
    memset(n, 0, sizeof *n);
}

/* ---- opening later: the provider's functions, behind a look whether it is open ---- */

static wf_status network_later_begin(void *ctx, uint32_t lane, const wf_request *request) {
    cli_network *n = ctx;
    if (!n->http && !n->failed) (void)network_open(n);
    return n->failed ? WF_E_CONFIG : n->served.ops->begin(n->served.ctx, lane, request);
}

static wf_status network_later_send(void *ctx, uint32_t lane, const void *buf, size_t len, size_t *sent) {
    cli_network *n = ctx;
    return n->served.ops->send(n->served.ctx, lane, buf, len, sent);
}

static wf_status network_later_head(void *ctx, uint32_t lane, wf_response *out) {
    cli_network *n = ctx;
    return n->served.ops->head(n->served.ctx, lane, out);
}

static wf_status network_later_recv(void *ctx, uint32_t lane, void *buf, size_t len, size_t *got) {
    cli_network *n = ctx;
    return n->served.ops->recv(n->served.ctx, lane, buf, len, got);
}

static void network_later_end(void *ctx, uint32_t lane) {
    cli_network *n = ctx;
    if (n->served.ops) n->served.ops->end(n->served.ctx, lane);
}

static uint32_t network_later_ready(void *ctx, uint32_t *lanes, uint32_t max) {
    cli_network *n = ctx;
    return n->served.ops ? n->served.ops->ready(n->served.ctx, lanes, max) : 0;
}

static uint64_t network_later_due(void *ctx) {
    cli_network *n = ctx;
    return n->served.ops ? n->served.ops->due(n->served.ctx) : UINT64_MAX;
}

static wf_str network_later_error(void *ctx, uint32_t lane) {
    cli_network *n = ctx;
    return n->failed ? cli_str(n->why) : n->served.ops->error(n->served.ctx, lane);
}

void cli_network_open_later(cli_network *n, void *memory, size_t size, wf_provider *out) {
    static const wf_model_ops ops = {network_later_begin, network_later_send,  network_later_head, network_later_recv,
                                     network_later_end,   network_later_ready, network_later_due,  network_later_error};
    n->memory = memory;
    n->size = size;
    if (!memory) network_fail(n, "--memory has no room for the network; give more");
    *out = n->served;
    out->ops = &ops;
    out->ctx = n;
}

/* ---- what --stats tells ---- */

static void network_put_rates(const cli_network *n, FILE *to) {
    wf_rates rates;
    cli_amount left, limit;
    const char *between = "rate limits, as last told: ";
    wf_http_rates(&n->served, &rates);
    const wf_rate *const each[] = {&rates.requests, &rates.tokens, &rates.input_tokens, &rates.output_tokens};
    static const char *const names[] = {"requests", "tokens", "input tokens", "output tokens"};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        if (!each[i]->known) continue;
        fprintf(to, "%s%s of %s %s left", between, cli_count(&left, each[i]->remaining),
                cli_count(&limit, each[i]->limit), names[i]);
        between = ", ";
    }
    if (between[0] == ',') fputc('\n', to);
}

void cli_network_put_stats(const cli_network *n, FILE *to) {
    wf_http_stats http;
    wf_tls_stats tls;
    cli_amount a, b;
    if (!n->http) return;
    wf_http_stats_get(n->http, &http);
    fprintf(to, "network: %s requests over %s connections", cli_count(&a, http.requests),
            cli_count(&b, http.connections));
    fprintf(to, ", %s sent again since the connection was dead\n", cli_count(&a, http.resends));
    if (n->tls) {
        wf_tls_stats_get(n->tls, &tls);
        fprintf(to, "TLS: %s handshakes, %s resumed", cli_count(&a, tls.handshakes), cli_count(&b, tls.resumed));
        fprintf(to, ", memory %s at most of %s\n", cli_bytes(&a, tls.heap.high), cli_bytes(&b, tls.heap.limit));
    }
    network_put_rates(n, to);
}
