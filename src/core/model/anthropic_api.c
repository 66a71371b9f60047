/* anthropic_api: the operations of the Anthropic API as HTTP requests: method, path, headers, body.
 *
 * Contract: wf_messages_headers and wf_messages_render in net.h. Pure functions: all that is put together goes into the caller's
 * buffer, front to back; its end serves as scratch while a JSON string is unescaped. What differs between the two versions of the
 * API is in api_path and api_betas. A value that could break out of its header or its place in the path is refused. */
#include "../../api/net.h"
#include "../http/parse.h"
#include "../http/url.h"
#include "anthropic.h"

#define ANTHROPIC_EARLIER "2023-06-01"
#define ANTHROPIC_AT_ONCE 21333u /* tokens of a message that is no stream: ten minutes at 128,000 tokens an hour */

/* A text that grows in the caller's buffer. Once something did not fit, `full` stays set. */
typedef struct api_text {
    char *buf;
    size_t cap, len;
    bool full;
} api_text;

static void api_add(api_text *t, wf_str s) {
    if (t->full || s.len > t->cap - t->len) {
        t->full = true;
        return;
    }
    if (s.len > 0) wfi_copy(t->buf + t->len, s.ptr, s.len);
    t->len += s.len;
}

/* What was added since `from`. */
static wf_str api_since(const api_text *t, size_t from) {
    return wf_str_of(t->buf + from, t->len - from);
}

static wf_status api_fail(wf_error *error, wf_status code, const char *text) {
    if (error) *error = (wf_error){code, text, WF_NO_OFFSET};
    return code;
}

/* ---- the address ---- */

wf_str wf_messages_base(wf_str url) {
    static const char *const ends[] = {WF_MESSAGES_PATH, "/v1"};
    size_t n = url.len;
    if (n == 0) return WF_STR(WF_MESSAGES_URL);
    while (n > 0 && url.ptr[n - 1] == '/')
        n--;
    for (size_t i = 0; i < WFI_COUNT(ends); i++) {
        wf_str end = wfi_str_z(ends[i]);
        if (n < end.len || wfi_compare(url.ptr + n - end.len, end.ptr, end.len) != 0) continue;
        n -= end.len;
        return n > 0 && url.ptr[n - 1] == '/' ? url : wfi_str_cut(url, 0, n); /* else: a host of this name */
    }
    return url;
}

/* ---- headers ---- */

typedef struct api_headers {
    wf_header *out;
    uint32_t count;
    bool bad; /* a value has bytes that no header may have */
} api_headers;

/* Empty values make no header. */
static void api_header(api_headers *h, wf_str name, wf_str value) {
    if (value.len == 0) return;
    WFI_ASSERT(h->count < WF_MESSAGES_HEADERS);
    h->bad = h->bad || !wfi_parse_value_ok(value);
    h->out[h->count++] = (wf_header){name, value};
}

static void api_auth(api_headers *h, const wf_messages_settings *s, api_text *t) {
    if (s->key.len > 0 && s->x_api_key) {
        api_header(h, WF_STR("x-api-key"), s->key);
        return;
    }
    wf_str secret = s->key.len > 0 ? s->key : s->token;
    if (secret.len == 0) return;
    size_t from = t->len;
    api_add(t, WF_STR("Bearer "));
    api_add(t, secret);
    api_header(h, WF_STR("authorization"), api_since(t, from));
}

static void api_put_headers(api_headers *h, const wf_messages_settings *s, wf_str accept, bool json, api_text *t) {
    api_header(h, WF_STR("accept"), accept);
    if (json) api_header(h, WF_STR("content-type"), WF_STR("application/json"));
    api_header(h, WF_STR("anthropic-version"), s->version.len > 0 ? s->version : WF_STR(WFI_ANTHROPIC_VERSION));
    api_auth(h, s, t);
    api_header(h, WF_STR("anthropic-beta"), s->betas);
    api_header(h, WF_STR("anthropic-workspace-id"), s->workspace_id);
    api_header(h, WF_STR("anthropic-user-profile-id"), s->user_profile_id);
}

uint32_t wf_messages_headers(const wf_messages_settings *settings, char *buf, size_t cap,
                             wf_header out[WF_MESSAGES_HEADERS]) {
    api_text t = {buf, cap, 0, false};
    api_headers h = {out, 0, false};
    api_put_headers(&h, settings, WF_STR("application/json"), true, &t);
    return t.full || h.bad ? 0 : h.count;
}

/* ---- the body: compact, in raw UTF-8, without the members that are not the server's ---- */

/* What is taken out of the body. Raw JSON; empty: it was not there. */
typedef struct api_extras {
    wf_str betas, user_profile_id, workspace_id;
} api_extras;

static wf_str *api_extra(api_extras *e, wf_str key) {
    if (wf_json_equals(key, WF_STR("betas"))) return &e->betas;
    if (wf_json_equals(key, WF_STR("user_profile_id"))) return &e->user_profile_id;
    if (wf_json_equals(key, WF_STR("workspace_id"))) return &e->workspace_id;
    return NULL;
}

/* A string's plain text. Escaped ones are unescaped at the end of the buffer, if what is written of them cannot reach that far. */
static bool api_plain(const wf_json *j, const wf_json_out *o, wf_str *out) {
    *out = j->raw;
    if (!j->escaped) return true;
    size_t free = o->len < o->cap ? o->cap - o->len : 0;
    if (j->raw.len > free / 2 || free - 2 * j->raw.len < 4) return false;
    char *scratch = o->buf + o->cap - j->raw.len;
    *out = wf_str_of(scratch, wf_json_unescape(j->raw, scratch));
    return true;
}

static void api_token(const wf_json *j, wf_json_token token, wf_str plain, wf_json_out *o) {
    switch (token) {
    case WF_JSON_OBJECT:
    case WF_JSON_ARRAY:
        wf_json_begin(o, token == WF_JSON_OBJECT);
        break;
    case WF_JSON_OBJECT_END:
    case WF_JSON_ARRAY_END:
        wf_json_finish(o);
        break;
    case WF_JSON_KEY:
        wf_json_key(o, plain);
        break;
    case WF_JSON_STRING:
        wf_json_str(o, plain);
        break;
    default:
        wf_json_raw(o, j->raw);
        break;
    }
}

static wf_status api_body(wf_str body, api_extras *extras, api_text *t, wf_str *out, wf_error *error) {
    wf_json j;
    wf_json_out o;
    wf_json_init(&j, body);
    wf_json_out_init(&o, t->buf + t->len, t->cap - t->len);
    wf_json_token token = wf_json_next(&j);
    bool object = token == WF_JSON_OBJECT;
    for (; token != WF_JSON_END; token = wf_json_next(&j)) {
        if (token == WF_JSON_ERROR || !object)
            return api_fail(error, WF_E_SYNTAX, "the body of the call is not a JSON object");
        wf_str *extra = token == WF_JSON_KEY && j.depth == 1 ? api_extra(extras, j.raw) : NULL, plain = j.raw;
        if (extra) {
            wf_json_skip(&j, wf_json_next(&j), extra);
            continue;
        }
        if ((token == WF_JSON_KEY || token == WF_JSON_STRING) && !api_plain(&j, &o, &plain))
            return api_fail(error, WF_E_MEMORY, "the buffer for the request is too small");
        api_token(&j, token, plain, &o);
    }
    if (!wf_json_ok(&o)) return api_fail(error, WF_E_MEMORY, "the buffer for the request is too small");
    *out = wf_str_of(o.buf, o.len);
    t->len += o.len;
    return WF_OK;
}

/* A string member that becomes a header: it has no escapes, as no header value needs any. null and absent: the setting stays. */
static bool api_take(wf_str raw, wf_str *setting) {
    if (raw.len == 0 || wfi_str_eq(raw, WF_STR("null"))) return true;
    if (raw.len < 2 || *raw.ptr != '"' || wfi_str_find(raw, '\\') < raw.len) return false;
    *setting = wfi_str_cut(raw, 1, raw.len - 2);
    return true;
}

/* Puts the list for anthropic-beta together: the call's, or else the settings', and what the earlier version wants besides. */
static bool api_betas(const wf_messages_call *call, wf_str raw, bool earlier, api_text *t, wf_str *betas) {
    size_t from = t->len;
    if (raw.len == 0 || wfi_str_eq(raw, WF_STR("null"))) {
        api_add(t, *betas);
    } else {
        wf_json j;
        wf_json_init(&j, raw);
        if (wf_json_next(&j) != WF_JSON_ARRAY) return false;
        wf_json_token token;
        while ((token = wf_json_next(&j)) == WF_JSON_STRING && !j.escaped) {
            if (t->len > from) api_add(t, WF_STR(","));
            api_add(t, j.raw);
        }
        if (token != WF_JSON_ARRAY_END) return false;
    }
    bool batches = call->op >= WF_BATCHES_CREATE, count = call->op == WF_MESSAGES_COUNT_TOKENS;
    if (earlier && (batches || count) && (call->beta || t->len > from)) {
        if (t->len > from) api_add(t, WF_STR(","));
        api_add(t, batches ? WF_STR("message-batches-2024-09-24") : WF_STR("token-counting-2024-11-01"));
    }
    *betas = api_since(t, from);
    return true;
}

/* ---- the path ---- */

/* `also`: characters that may stand as they are, besides letters, digits and -._~ */
static void api_percent(api_text *t, wf_str s, wf_str also) {
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.ptr[i];
        uint8_t letter = c | 0x20;
        bool plain =
            (c >= '0' && c <= '9') || (letter >= 'a' && letter <= 'z') || c == '-' || c == '.' || c == '_' || c == '~';
        char hex[3] = {'%', digits[c >> 4], digits[c & 15]};
        if (plain || wfi_str_find(also, (char)c) < also.len)
            api_add(t, wf_str_of(s.ptr + i, 1));
        else
            api_add(t, wf_str_of(hex, 3));
    }
}

static void api_query(api_text *t, wf_str name, wf_str value, char *mark) {
    if (value.len == 0) return;
    api_add(t, wf_str_of(mark, 1));
    *mark = '&';
    api_add(t, name);
    api_percent(t, value, WF_STR(""));
}

typedef struct api_route {
    const char *method, *path, *after; /* the id, if the operation has one, stands between the last two */
    bool id, list, body;
} api_route;

/* In the order of wf_messages_op. */
static const api_route api_routes[] = {
    {"POST", "/v1/messages", "", false, false, true},
    {"POST", "/v1/messages/count_tokens", "", false, false, true},
    {"GET", "/v1/models", "", false, true, false},
    {"GET", "/v1/models/", "", true, false, false},
    {"POST", "/v1/messages/batches", "", false, false, true},
    {"GET", "/v1/messages/batches", "", false, true, false},
    {"GET", "/v1/messages/batches/", "", true, false, false},
    {"POST", "/v1/messages/batches/", "/cancel", true, false, false},
    {"DELETE", "/v1/messages/batches/", "", true, false, false},
    {"GET", "", "", false, false, false},
};

static bool api_path(const wf_messages_call *call, const api_route *route, bool mark_beta, api_text *t, wf_str *out) {
    size_t from = t->len;
    char mark = '?', digits[20];
    api_add(t, wfi_str_z(route->path));
    if (route->id) {
        if (call->id.len == 0 || wfi_str_eq(call->id, WF_STR(".")) || wfi_str_eq(call->id, WF_STR(".."))) return false;
        api_percent(t, call->id, WF_STR("!$&'()*+,;=:@"));
        api_add(t, wfi_str_z(route->after));
    }
    if (mark_beta) api_query(t, WF_STR("beta="), WF_STR("true"), &mark);
    if (route->list) {
        wf_str limit = wf_str_of(digits, call->limit > 0 ? wfi_u64_str(call->limit, digits) : 0);
        api_query(t, WF_STR("limit="), limit, &mark);
        api_query(t, WF_STR("after_id="), call->after_id, &mark);
        api_query(t, WF_STR("before_id="), call->before_id, &mark);
    }
    *out = api_since(t, from);
    return true;
}

/* ---- results of a batch: an address that the server names ---- */

static bool api_same_origin(const wfi_url *a, const wfi_url *b) {
    return a->tls == b->tls && a->port == b->port && wfi_same_name(a->host, b->host);
}

/* Splits results_url of the batch into url and path; *own: it lies with the host that the key is for. */
static wf_status api_results(wf_str batch, wf_messages_request *out, bool *own, wf_error *error) {
    wf_str address = WF_STR(""), value;
    const char *why;
    if (!wf_json_member(batch, WF_STR("results_url"), &value) || wfi_str_eq(value, WF_STR("null")))
        return api_fail(
            error, WF_E_NOT_FOUND,
            "the batch has no results_url: it has not ended; fetch it again until processing_status is ended");
    bool text = wf_json_member_str(batch, WF_STR("results_url"), &address) && wfi_parse_value_ok(address);
    size_t host = 0, slash;
    while (text && host + 3 <= address.len && wfi_compare(address.ptr + host, "://", 3) != 0)
        host++;
    host += 3;
    slash = host + wfi_str_find(wfi_str_cut(address, host, address.len), '/');
    wfi_url base, results;
    if (!text || slash >= address.len || wfi_str_find(address, '\\') < address.len ||
        wfi_str_find(address, ' ') < address.len ||
        wfi_url_parse(wfi_str_cut(address, 0, slash), &results, &why) != WF_OK || results.userinfo.len > 0)
        return api_fail(error, WF_E_CONFIG, "the batch's results_url is no http address");
    if (wfi_url_parse(out->url, &base, &why) != WF_OK) return api_fail(error, WF_E_CONFIG, why);
    *own = api_same_origin(&base, &results);
    out->url = wfi_str_cut(address, 0, slash);
    out->path = wfi_str_cut(address, slash, address.len);
    return WF_OK;
}

/* ---- the whole ---- */

static wf_status api_too_long(const wf_messages_call *call, wf_error *error) {
    bool stream = false;
    uint64_t tokens = 0;
    if (call->op != WF_MESSAGES_CREATE || call->patient) return WF_OK;
    wf_json_member_bool(call->body, WF_STR("stream"), &stream);
    wf_json_member_u64(call->body, WF_STR("max_tokens"), &tokens);
    if (stream || tokens <= ANTHROPIC_AT_ONCE) return WF_OK;
    return api_fail(error, WF_E_LIMIT,
                    "max_tokens over 21333 may take longer than ten minutes: ask for it with \"stream\":true");
}

/* Body and those headers that come out of it. */
static wf_status api_content(const wf_messages_call *call, wf_messages_settings *s, bool earlier, api_text *t,
                             wf_messages_request *out, wf_error *error) {
    api_extras extras = {0};
    if (out->has_body && call->body.len > 0) {
        wf_status status = api_body(call->body, &extras, t, &out->body, error);
        if (status != WF_OK) return status;
    }
    if (!api_take(extras.user_profile_id, &s->user_profile_id) || !api_take(extras.workspace_id, &s->workspace_id))
        return api_fail(error, WF_E_CONFIG, "user_profile_id and workspace_id must be plain texts");
    if (!api_betas(call, extras.betas, earlier, t, &s->betas))
        return api_fail(error, WF_E_CONFIG, "betas must be a list of plain texts");
    return WF_OK;
}

wf_status wf_messages_render(const wf_messages_settings *settings, wf_str url, const wf_messages_call *call, char *buf,
                             size_t cap, wf_messages_request *out, wf_error *error) {
    if ((size_t)call->op >= WFI_COUNT(api_routes)) return api_fail(error, WF_E_CONFIG, "there is no such operation");
    const api_route *route = &api_routes[call->op];
    api_text t = {buf, cap, 0, false};
    wf_messages_settings s = *settings;
    bool results = call->op == WF_BATCHES_RESULTS, own = true,
         earlier = wfi_str_eq(s.version, WF_STR(ANTHROPIC_EARLIER));
    wfi_zero(out, sizeof *out);
    out->method = wfi_str_z(route->method);
    out->url = wf_messages_base(url);
    out->has_body = wfi_str_eq(out->method, WF_STR("POST"));
    if (route->body && call->body.len == 0) return api_fail(error, WF_E_SYNTAX, "the call has no body");
    wf_status status = api_too_long(call, error);
    if (status == WF_OK && route->body) status = api_content(call, &s, earlier, &t, out, error);
    if (status == WF_OK && !route->body && !api_betas(call, WF_STR(""), earlier, &t, &s.betas)) status = WF_E_INTERNAL;
    if (status == WF_OK && results) status = api_results(call->body, out, &own, error);
    if (status != WF_OK) return status;
    if (!own) s = (wf_messages_settings){.version = s.version};
    bool beta = earlier && (call->beta || s.betas.len > 0);
    if (!results && !api_path(call, route, beta, &t, &out->path))
        return api_fail(error, WF_E_CONFIG, "the call needs the id of a model or a batch");
    api_headers h = {out->headers, 0, false};
    api_put_headers(&h, &s, results ? WF_STR("application/binary") : WF_STR("application/json"), out->body.len > 0, &t);
    out->header_count = h.count;
    if (h.bad) return api_fail(error, WF_E_CONFIG, "a key, id, beta or version has bytes that no header may have");
    return t.full ? api_fail(error, WF_E_MEMORY, "the buffer for the request is too small") : WF_OK;
}
