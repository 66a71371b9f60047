/* exchange: see exchange.h. */
#include "../model/retry.h"
#include "exchange.h"
#include "request.h"

#define EXCHANGE_KEY_MIN 8u /* of a key that is worth hiding; shorter ones would riddle messages with stars */
#define EXCHANGE_SILENCE                                                                                               \
    "no byte from the model for longer than the stall limit; raise --stall if the server is only slow"
#define EXCHANGE_ERROR_MAX 65536u /* of an unsuccessful response's body that are kept */

void wfi_exchange_end(wfi_runtime *rt, wfi_task *t) {
    if (!t->exchange) return;
    t->provider->ops->end(t->provider->ctx, t->lane);
    t->exchange = false;
    if (t->pending) wfi_limiter_lose(t->limiter, t->round);
    t->pending = false;
    rt->exchanges--;
}

void wfi_exchange_forget(wfi_runtime *rt, wfi_task *t) {
    if (t->codec) t->codec->reader_free(&t->reader);
    wfi_buf_free(&rt->heap, &t->reply);
}

/* ---- failures ---- */

static wfi_progress exchange_fail(wfi_failure *f, wf_kind kind, wf_str why, bool again) {
    wfi_failure failure = {.kind = kind, .why = why, .again = again, .wait_ms = -1, .hint_ms = -1};
    *f = failure;
    return WFI_PROGRESS_FAILED;
}

/* Bytes of the text that stand for the character, in any case, as it is or escaped; 0: they stand for another. An escape that
 * a cut goes through may be of any character. */
static size_t exchange_char_len(char c, const char *text, size_t n) {
    size_t escape = text[0] == '\\' && c != '\\' && n > 1;
    uint32_t code = 0;
    if (!escape || text[1] != 'u') return wfi_lower(text[escape]) == wfi_lower(c) ? escape + 1 : 0;
    if (n < 6) return n;
    for (size_t i = 2; i < 6; i++)
        code = code << 4 | (((uint32_t)text[i] + (text[i] > '9' ? 9u : 0u)) & 15);
    return code < 128 && wfi_lower((char)code) == wfi_lower(c) ? 6 : 0;
}

/* How many bytes of the text are the key, in any case and with any of its characters escaped; 0: it does not begin with it.
 * A beginning of it counts at the text's end, where a cut may have been. */
static size_t exchange_key_len(wf_str key, const char *text, size_t n) {
    size_t i = 0, k = 0, len;
    for (; k < key.len && i < n; i += len, k++)
        if ((len = exchange_char_len(key.ptr[k], text + i, n - i)) == 0) return 0;
    return k == key.len || k >= EXCHANGE_KEY_MIN ? i : 0;
}

void wfi_exchange_mask(const wfi_task *t, char *text, size_t n) {
    for (size_t which = 0; which < WF_KEYS_MAX; which++) {
        wf_str key = t->response.keys[which];
        if (key.len < EXCHANGE_KEY_MIN) continue;
        for (size_t at = 0; at + EXCHANGE_KEY_MIN <= n; at++)
            for (size_t len = exchange_key_len(key, text + at, n - at); len > 0; len--, at++)
                text[at] = '*';
    }
}

wf_str wfi_exchange_message(wfi_runtime *rt, const wfi_task *t, const char *text, wf_str detail, bool escaped,
                            wf_str id) {
    wf_str message = wfi_runtime_message(rt, text, detail, escaped, id);
    wfi_exchange_mask(t, (char *)rt->scratch, message.len);
    return message;
}

wf_str wfi_exchange_add(wfi_runtime *rt, wf_str message, wf_str text) {
    wf_str more = wfi_utf8_clip(text, WFI_SCRATCH - message.len);
    wfi_copy((char *)rt->scratch + message.len, more.ptr, more.len);
    return wf_str_of((const char *)rt->scratch, message.len + more.len);
}

static wf_str exchange_error(const wfi_task *t) {
    return t->provider->ops->error ? t->provider->ops->error(t->provider->ctx, t->lane) : wf_str_of("", 0);
}

/* The transport failed. WF_E_MEMORY: it lies in this process. WF_E_CONFIG: it will not get better, for
 * instance since the peer cannot be trusted. */
static wfi_progress exchange_lost(wfi_runtime *rt, const wfi_task *t, wf_status s, wfi_failure *f) {
    if (s == WF_E_STALE) return WFI_PROGRESS_STALE;
    if (s == WF_E_MEMORY) return WFI_PROGRESS_MEMORY;
    bool final = s == WF_E_CONFIG;
    const char *what = final ? "the provider cannot be reached" : "the request got no whole answer";
    wf_str why = wfi_exchange_message(rt, t, what, exchange_error(t), false, t->response.request_id);
    (void)exchange_fail(f, final ? WF_KIND_AUTH : WF_KIND_PROVIDER, why, !final);
    f->cut = true;
    f->foreign = final; /* after a success, a proxy's whim */
    return WFI_PROGRESS_FAILED;
}

/* What an unsuccessful response means, or an error in a stream that stands for one. */
static wf_kind exchange_kind(uint32_t status, const wfi_fault *fault) {
    if (fault->spent || status == 402 || status == 429) return WF_KIND_QUOTA;
    if (status == 401 || status == 403 || status == 404) return WF_KIND_AUTH;
    return status == 413 || fault->context ? WF_KIND_CONTEXT : WF_KIND_PROVIDER;
}

/* Whether another try may help, and when. text: all that the provider said, wait_ms: what its head
 * asks for. A program's own answer has no limit behind it that others share. */
static void exchange_judge(const wfi_task *t, uint32_t status, const wfi_fault *fault, wf_str text, wfi_failure *f) {
    bool limit = status == 429 || status == 529;
    f->wait_ms = t->response.retry_after_ms;
    f->hint_ms = limit && f->wait_ms <= 0 ? wfi_retry_hint(text) : -1;
    bool told = f->wait_ms > 0 || f->hint_ms > 0, spent = limit && !told && wfi_retry_is_spent(text);
    f->again = wfi_retry_wanted(status, t->response.should_retry) && !fault->spent && !spent;
    f->limited = limit && f->again && t->pending && !t->provider->silent && !t->provider->local;
    f->kind = spent ? WF_KIND_QUOTA : exchange_kind(status, fault);
}

#define EXCHANGE_HEAD 512u /* of the text below */

/* "the provider answered 429 and asks to wait 3600 s": who is told to come back an hour later wants to know.
 * "... 404 to POST https://host/path": an address that is not there is most likely a wrong one. */
static void exchange_status_text(const wfi_task *t, char out[EXCHANGE_HEAD]) {
    static const char said[] = "the provider answered ", wait[] = " and asks to wait ", to[] = " to ";
    const wf_response *r = &t->response;
    wf_str asked = r->status == 404 ? exchange_error(t) : wf_str_of("", 0);
    size_t n = sizeof said - 1;
    wfi_copy(out, said, n);
    n += wfi_u64_str(r->status, out + n);
    if (asked.len > 0) {
        asked = wfi_utf8_clip(asked, EXCHANGE_HEAD / 2);
        wfi_copy(out + n, to, sizeof to - 1);
        wfi_copy(out + n + sizeof to - 1, asked.ptr, asked.len);
        n += sizeof to - 1 + asked.len;
    }
    if (r->retry_after_ms >= 1000) {
        wfi_copy(out + n, wait, sizeof wait - 1);
        n += sizeof wait - 1;
        n += wfi_u64_str((uint64_t)r->retry_after_ms / 1000, out + n);
        wfi_copy(out + n, " s", 2);
        n += 2;
    }
    out[n] = 0;
}

/* Which extras an error refuses: one that says that the request is not valid, however its server says so. */
static uint32_t exchange_extras(uint32_t status, const wfi_fault *fault) {
    return status == 400 || status == 422 ? fault->extras : 0;
}

static bool exchange_is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\xef' || c == '\xbb' ||
           c == '\xbf'; /* a BOM, too */
}

static wf_str exchange_trim(wf_str s) {
    while (s.len > 0 && exchange_is_blank(s.ptr[0]))
        s = wfi_str_cut(s, 1, s.len);
    while (s.len > 0 && exchange_is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* What stands between <name ...> and </name, in any case, without blanks around it; empty: there is none. */
static wf_str exchange_element(wf_str page, wf_str name) {
    size_t from = 0;
    for (size_t i = 0; i + name.len + 1 < page.len; i++) {
        if (page.ptr[i] != '<') continue;
        bool close = page.ptr[i + 1] == '/';
        if (from > 0 && close) return exchange_trim(wfi_str_cut(page, from, i - from));
        if (from > 0 || !wfi_same_name(wfi_str_cut(page, i + 1, name.len), name)) continue;
        while (i < page.len && page.ptr[i] != '>')
            i++;
        from = i + 1;
    }
    return wf_str_of("", 0);
}

/* Of a page of HTML, as proxies send it, its title or heading says enough. */
static wf_str exchange_text(wf_str body) {
    body = exchange_trim(body);
    if (body.len == 0 || body.ptr[0] != '<') return wfi_utf8_clip(body, 200);
    wf_str title = exchange_element(body, WF_STR("title"));
    if (title.len == 0) title = exchange_element(body, WF_STR("h1"));
    return wfi_utf8_clip(title.len > 0 ? title : body, 200);
}

static wfi_progress exchange_refused(wfi_runtime *rt, const wfi_task *t, wfi_failure *f) {
    const wf_response *r = &t->response;
    wf_str body = wf_str_of(t->reply.ptr, t->reply.len);
    wfi_fault fault;
    wfi_exchange_mask(t, t->reply.ptr, t->reply.len); /* before a cut can leave half of it */
    t->codec->fault(body, &fault);
    bool escaped = fault.message.len > 0, moved = r->status >= 300 && r->status < 400;
    wf_str message = escaped ? fault.message : moved ? exchange_error(t) : exchange_text(body);
    wf_str id = r->request_id.len > 0 ? r->request_id : fault.request_id;
    char head[EXCHANGE_HEAD] = "";
    if (!t->provider->silent || message.len == 0) exchange_status_text(t, head); /* a program tells its own story */
    wfi_zero(f, sizeof *f);
    exchange_judge(t, r->status, &fault, body, f);
    f->why = wfi_exchange_add(rt, wfi_exchange_message(rt, t, head, message, escaped, id), wfi_str_z(fault.hint));
    f->extras = exchange_extras(r->status, &fault);
    f->refused = r->status == 401 || r->status == 403;
    f->foreign = fault.type.len == 0;
    return WFI_PROGRESS_FAILED;
}

/* The provider gave up in the middle of its reply, or answered with an error where a reply should be. */
static wfi_progress exchange_error_event(wfi_runtime *rt, wfi_task *t, wfi_failure *f) {
    wfi_fault fault;
    wfi_exchange_mask(t, (char *)(uintptr_t)t->reader.error.ptr, t->reader.error.len);
    t->codec->fault(t->reader.error, &fault);
    wf_str id = t->response.request_id.len > 0 ? t->response.request_id : fault.request_id;
    bool escaped = fault.message.len > 0;
    wf_str message = escaped ? fault.message : wfi_utf8_clip(t->reader.error, 200);
    const char *what = t->reader.stream ? "the provider broke its reply off" : "the provider answered with an error";
    wf_str why = wfi_exchange_add(rt, wfi_exchange_message(rt, t, what, message, escaped, id), wfi_str_z(fault.hint));
    uint32_t status = fault.status > 0 ? fault.status : 500; /* of an unknown error nobody knows that it stays */
    (void)exchange_fail(f, WF_KIND_PROVIDER, why, true);
    exchange_judge(t, status, &fault, t->reader.error, f);
    f->limited = false; /* its status tells of no limit: the agent's own retries decide */
    if (f->wait_ms <= 0) f->wait_ms = f->hint_ms;
    if (!t->reader.stream) { /* as where the status says so */
        f->extras = exchange_extras(status, &fault);
        t->fate = WFI_FATE_FREE;
        f->refused = status == 401 || status == 403;
        f->foreign = fault.type.len == 0;
    }
    return WFI_PROGRESS_FAILED;
}

/* A reply has begun that is no error: the provider's limit has let the request through. */
static void exchange_accept(const wfi_runtime *rt, wfi_task *t) {
    if (t->pending) wfi_limiter_accept(t->limiter, rt->now, t->round);
    t->pending = false;
}

/* The provider gave up after the agent had handed in its result: that is the answer, whatever was to come. */
static bool exchange_rescue(wfi_runtime *rt, wfi_task *t) {
    if (t->schema.len == 0 || !t->codec->reader_rescue(&t->reader, WF_STR("result"), &t->turn)) return false;
    wfi_exchange_mask(t, t->reader.body.ptr, t->reader.body.len);
    exchange_accept(rt, t);
    return true;
}

/* What a reader's negative status means. */
static wfi_progress exchange_unreadable(wfi_runtime *rt, wfi_task *t, wf_status s, wfi_failure *f) {
    wf_str id = t->response.request_id;
    switch (s) {
    case WF_E_MEMORY:
        return WFI_PROGRESS_MEMORY;
    case WF_E_IO:
        return exchange_rescue(rt, t) ? WFI_PROGRESS_REPLY : exchange_error_event(rt, t, f);
    case WF_E_LIMIT:
        return exchange_fail(f, WF_KIND_PROVIDER,
                             wfi_exchange_message(rt, t, "the reply is longer than the limit for one reply",
                                                  wf_str_of("", 0), false, id),
                             false);
    default:
        return exchange_fail(
            f, WF_KIND_PROVIDER,
            wfi_exchange_message(rt, t, "the reply cannot be used", wfi_str_z(t->reader.why), false, id), true);
    }
}

/* ---- the states ---- */

wfi_progress wfi_exchange_begin(wfi_runtime *rt, wfi_task *t, uint64_t body_len, wfi_failure *f) {
    wf_request request = {.model = t->model,
                          .body_len = body_len,
                          .attempt = t->attempt + t->refused,
                          .deadline = t->deadline,
                          .cwd = t->call.cwd};
    t->progress = rt->now;
    wfi_exchange_forget(rt, t);
    wfi_zero(&t->reader, sizeof t->reader);
    wfi_zero(&t->response, sizeof t->response);
    t->exchange = true;
    t->round = wfi_limiter_begin(t->limiter, rt->now);
    t->pending = true;
    rt->exchanges++;
    t->body_len = t->unsent = body_len;
    t->fate = WFI_FATE_FREE;
    t->asked = rt->now;
    t->received = 0;
    t->state = WFI_TASK_SEND;
    wf_status s = t->provider->ops->begin(t->provider->ctx, t->lane, &request);
    return s == WF_OK ? WFI_PROGRESS_MORE : exchange_lost(rt, t, s, f);
}

static wfi_progress exchange_send(wfi_runtime *rt, wfi_task *t, wfi_failure *f) {
    wf_str bytes;
    size_t sent = 0;
    if (wfi_request_next(rt, t, &bytes) != WF_OK) return WFI_PROGRESS_BROKEN;
    if (bytes.len == 0) {
        t->state = WFI_TASK_HEAD;
        return WFI_PROGRESS_MORE;
    }
    wf_status s = t->provider->ops->send(t->provider->ctx, t->lane, bytes.ptr, bytes.len, &sent);
    if (s == WF_AGAIN) return WFI_PROGRESS_WAIT;
    if (s == WF_END) { /* answered before all was sent */
        t->state = WFI_TASK_HEAD;
        return WFI_PROGRESS_MORE;
    }
    if (s != WF_OK || sent == 0 || sent > bytes.len) return exchange_lost(rt, t, s, f);
    t->progress = rt->now;
    wfi_request_sent(t, sent);
    t->unsent -= sent;
    if (t->unsent == 0) t->fate = WFI_FATE_UNHEARD; /* now: a cancel or a stop may come before the next step */
    return WFI_PROGRESS_MORE;
}

static bool exchange_succeeded(const wfi_task *t) {
    return t->response.status >= 200 && t->response.status < 300;
}

/* The request's id outlives the exchange, for messages about the reply. */
static void exchange_keep_id(wfi_runtime *rt, wfi_task *t) {
    wf_str id = wfi_utf8_clip(t->response.request_id, WFI_SCRATCH);
    wfi_copy(rt->scratch, id.ptr, id.len);
    wfi_exchange_mask(t, (char *)rt->scratch, id.len); /* before a cut can leave half of a key */
    id = wfi_utf8_clip(wf_str_of((const char *)rt->scratch, id.len), sizeof t->request_id);
    wfi_copy(t->request_id, id.ptr, id.len);
    t->response.request_id = wf_str_of(t->request_id, id.len);
}

static wfi_progress exchange_head(wfi_runtime *rt, wfi_task *t, wfi_failure *f) {
    wf_status s = t->provider->ops->head(t->provider->ctx, t->lane, &t->response);
    if (s == WF_AGAIN) return WFI_PROGRESS_WAIT;
    if (s != WF_OK) return exchange_lost(rt, t, s, f);
    exchange_keep_id(rt, t);
    t->progress = rt->now;
    t->state = WFI_TASK_BODY;
    t->fate = exchange_succeeded(t) ? WFI_FATE_BEGUN : WFI_FATE_FREE;
    return WFI_PROGRESS_MORE;
}

/* Begins the reader with the first bytes of a reply, without blanks and a byte order mark before them. They tell what it is, whatever its type says: gateways call events plain
 * text, and JSON events. */
static wfi_progress exchange_first(wfi_runtime *rt, wfi_task *t, wf_str *bytes, wfi_failure *f) {
    wf_str type = t->response.content_type;
    while (bytes->len > 0 && exchange_is_blank(bytes->ptr[0]))
        *bytes = wfi_str_cut(*bytes, 1, bytes->len);
    if (bytes->len == 0) return WFI_PROGRESS_MORE;
    char c = bytes->ptr[0]; /* of data, event, id, retry, or a comment */
    bool events = wfi_str_eq(type, WF_STR("text/event-stream"));
    bool stream = c == 'd' || c == 'e' || c == 'i' || c == 'r' || c == ':' || (events && c != '{');
    if (c != '{' && !stream && type.len > 0 && !wfi_str_eq(type, WF_STR("application/json")))
        return exchange_fail(f, WF_KIND_PROVIDER,
                             wfi_exchange_message(rt, t, "the answer is no message of this API, but", type, false,
                                                  t->response.request_id),
                             false);
    t->codec->reader_begin(&t->reader, &rt->heap, rt->config.reply_max, stream);
    return WFI_PROGRESS_MORE;
}

/* clean: the end was where the server meant it to be. */
static wf_status exchange_read_end(wfi_runtime *rt, wfi_task *t, bool clean) {
    if (!t->reader.heap) t->codec->reader_begin(&t->reader, &rt->heap, rt->config.reply_max, false);
    return t->codec->reader_end(&t->reader, clean, &t->turn);
}

static wfi_progress exchange_end_of_reply(wfi_runtime *rt, wfi_task *t, wfi_failure *f) {
    if (!exchange_succeeded(t)) return exchange_refused(rt, t, f);
    wf_status s = exchange_read_end(rt, t, !t->response.open_ended);
    wfi_exchange_mask(t, t->reader.body.ptr, t->reader.body.len);
    wfi_exchange_mask(t, t->reader.finish.ptr, t->reader.finish.len);
    if (s == WF_OK) {
        exchange_accept(rt, t);
        return WFI_PROGRESS_REPLY;
    }
    wfi_progress progress = exchange_unreadable(rt, t, s, f);
    f->cut = s == WF_E_SYNTAX && t->reader.stream && !t->reader.told;
    return progress;
}

/* What a response that is no success says of itself; its beginning is enough. */
static wfi_progress exchange_take_error(wfi_runtime *rt, wfi_task *t, wf_str bytes, wfi_failure *f) {
    wf_status s = wfi_buf_add(&rt->heap, &t->reply, bytes.ptr, bytes.len, EXCHANGE_ERROR_MAX);
    if (s == WF_E_LIMIT) return exchange_refused(rt, t, f);
    return s == WF_OK ? WFI_PROGRESS_MORE : WFI_PROGRESS_MEMORY;
}

/* The connection broke. What has come may be whole all the same. */
static wfi_progress exchange_broken(wfi_runtime *rt, wfi_task *t, wf_status s, wfi_failure *f) {
    bool whole = !exchange_succeeded(t) || exchange_read_end(rt, t, false) == WF_OK;
    return whole ? exchange_end_of_reply(rt, t, f) : exchange_lost(rt, t, s, f);
}

static wfi_progress exchange_read(wfi_runtime *rt, wfi_task *t, wf_str bytes, wfi_failure *f) {
    wfi_progress progress = t->reader.heap ? WFI_PROGRESS_MORE : exchange_first(rt, t, &bytes, f);
    while (progress == WFI_PROGRESS_MORE && t->reader.heap && bytes.len > 0) {
        size_t n = 0;
        wf_status s = t->codec->reader_feed(&t->reader, bytes.ptr, bytes.len, &n);
        if (s != WF_OK) return exchange_unreadable(rt, t, s, f);
        if (t->reader.event.len > 0) exchange_accept(rt, t);
        bytes = wfi_str_cut(bytes, n, bytes.len);
    }
    return progress;
}

static wfi_progress exchange_body(wfi_runtime *rt, wfi_task *t, wfi_failure *f) {
    size_t got = 0;
    wf_status s = t->provider->ops->recv(t->provider->ctx, t->lane, rt->scratch, WFI_SCRATCH, &got);
    bool known = t->reader.complete || !exchange_succeeded(t); /* whatever may still come, or not */
    if (s == WF_END || rt->now >= wfi_exchange_enough(t)) return exchange_end_of_reply(rt, t, f);
    if (s == WF_AGAIN) return WFI_PROGRESS_WAIT;
    if (s != WF_OK || got == 0 || got > WFI_SCRATCH) return exchange_broken(rt, t, s, f);
    wf_str bytes = wf_str_of((const char *)rt->scratch, got);
    t->received += got;
    if (!exchange_succeeded(t)) return exchange_take_error(rt, t, bytes, f);
    if (!known) t->progress = rt->now;
    return exchange_read(rt, t, bytes, f);
}

wfi_progress wfi_exchange_stall(wfi_runtime *rt, wfi_task *t, wfi_failure *f) {
    wf_str none = wf_str_of("", 0);
    if (t->state == WFI_TASK_BODY && !exchange_succeeded(t)) return exchange_refused(rt, t, f);
    if (t->state == WFI_TASK_BODY && exchange_read_end(rt, t, false) == WF_OK) return exchange_end_of_reply(rt, t, f);
    return exchange_fail(f, WF_KIND_STALL,
                         wfi_exchange_message(rt, t, EXCHANGE_SILENCE, none, false, t->response.request_id), true);
}

wfi_progress wfi_exchange_step(wfi_runtime *rt, wfi_task *t, wfi_failure *failure) {
    switch (t->state) {
    case WFI_TASK_SEND:
        return exchange_send(rt, t, failure);
    case WFI_TASK_HEAD:
        return exchange_head(rt, t, failure);
    default:
        return exchange_body(rt, t, failure);
    }
}
