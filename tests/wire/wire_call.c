/* call: plays a case, through the request writer, the HTTP client, the retry policy and the codec of the product.
 *
 * What is to be done is derived from the case alone. Where a case says it only by what it shows, that is taken from there:
 *   - The operation, its id and its query come from the call if it names them, else from the method and path of the exchange.
 *   - After an operation that went well, while exchanges are left: a batch whose next exchange is for its results has these fetched; a
 *     paused turn is sent back; tools that were called are answered; else the next exchange's own operation is next.
 *   - Whether a batch is only looked at, or its results are wanted, shows in the paths, or in that a local error is expected.
 *   - The tools of a tool loop are no part of its call: they, and what else the first request adds, are taken from that request, and
 *     what they answer from the one after it. What is answered to a call of a tool that is not there is our own. */
#include "wire_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/core/base/date.h"
#include "src/core/http/headers.h"
#include "src/core/model/retry.h"

#define CALL_CLOCK   "2026-11-20T12:34:56Z" /* where neither case nor file says another time */
#define CALL_THREADS "message-threads-2026-08-12"

/* ---- the client ---- */

/* Milliseconds since 1970 of the time that s begins with; 0: none. */
static uint64_t call_time(wf_str s) {
    uint64_t ms;
    wf_str whole = wfi_str_cut(s, 0, sizeof CALL_CLOCK - 1);
    return wfi_rfc3339(s, &ms) || wfi_rfc3339(whole, &ms) ? ms : 0;
}

static uint64_t call_clock(const tree *c, wf_str about) {
    uint64_t ms = call_time(tree_str(tree_get(c, "clock")));
    for (size_t i = 0; ms == 0 && i < about.len; i++)
        if (about.ptr[i] >= '0' && about.ptr[i] <= '9') ms = call_time(wfi_str_cut(about, i, about.len));
    return ms > 0 ? ms : call_time(WF_STR(CALL_CLOCK));
}

/* The random number of the case: as a number, or in the words of its title; else 0. */
static uint32_t call_random(const tree *c) {
    const tree *number = tree_get(c, "random");
    if (number && number->type == WF_JSON_NUMBER) return (uint32_t)(strtod(number->raw.ptr, NULL) * 4294967295.0);
    return strstr(tree_get(c, "title") ? tree_str(tree_get(c, "title")).ptr : "", "just below 1") ? UINT32_MAX : 0;
}

static void call_client(call_run *run, wf_str about) {
    const tree *c = run->c, *client = tree_get(c, "client"), *options = tree_get(c, "options");
    bool earlier = tree_str(tree_get(c, "sdk_generation")).len >= 7 &&
                   strncmp(tree_str(tree_get(c, "sdk_generation")).ptr, "earlier", 7) == 0;
    run->settings = (wf_messages_settings){.key = tree_str(tree_any(client, "api_key", "apiKey")),
                                           .token = tree_str(tree_any(client, "auth_token", "authToken")),
                                           .version = earlier ? WF_STR("2023-06-01") : WF_STR(""),
                                           .x_api_key = earlier};
    run->url = tree_str(tree_any(client, "base_url", "baseURL"));
    run->extra[0] = tree_any(client, "defaultHeaders", "default_headers");
    run->extra[1] = tree_get(options, "headers");
    const tree *retries = tree_any(options, "maxRetries", "max_retries"), *timeout = tree_get(options, "timeout");
    if (!retries) retries = tree_any(client, "maxRetries", "max_retries");
    if (tree_null(timeout)) timeout = tree_get(client, "timeout");
    run->retries = (uint32_t)tree_int(retries, 2);
    run->timeout = (uint64_t)tree_int(timeout, 600000);
    run->patient = !tree_null(timeout);
    run->random = call_random(c);
    run->now = call_clock(c, about);
    run->exchange = tree_get(c, "exchanges") ? tree_get(c, "exchanges")->first : NULL;
}

/* The headers of the request, those that the caller adds put in or, by null, taken out. Answers how many. */
static uint32_t call_headers(const call_run *run, const wf_messages_request *r, wf_header *out, uint32_t most) {
    uint32_t n = r->header_count;
    memcpy(out, r->headers, n * sizeof *out);
    for (size_t i = 0; i < 2; i++)
        for (const tree *h = run->extra[i] ? run->extra[i]->first : NULL; h; h = h->next) {
            uint32_t at = 0;
            while (at < n && !wfi_str_eq(out[at].name, h->name))
                at++;
            if (at == most) abort();
            if (tree_null(h)) {
                if (at < n) out[at] = out[--n];
                continue;
            }
            out[at] = (wf_header){h->name, tree_str(h)};
            if (at == n) n++;
        }
    return n;
}

/* ---- what is to be done ---- */

static bool call_is(wf_str a, const char *b) {
    return wfi_str_eq(a, wfi_str_z(b));
}

static text *call_scrap(call_run *run) {
    if (run->scrap_count == CALL_SCRAPS) abort();
    text *t = &run->scraps[run->scrap_count++];
    text_add(t, WF_STR(""));
    return t;
}

static wf_str call_percent(call_run *run, wf_str s) {
    text *out = call_scrap(run);
    for (size_t i = 0; i < s.len; i++) {
        unsigned byte;
        if (s.ptr[i] == '%' && i + 2 < s.len && sscanf(s.ptr + i + 1, "%2x", &byte) == 1) {
            char c = (char)byte;
            text_add(out, wf_str_of(&c, 1));
            i += 2;
        } else {
            text_add(out, wf_str_of(s.ptr + i, 1));
        }
    }
    return text_str(out);
}

static wf_str call_query(call_run *run, wf_str query, const char *name) {
    size_t n = strlen(name);
    while (query.len > 0) {
        wf_str part = wfi_str_cut(query, 0, wfi_str_find(query, '&'));
        query = wfi_str_cut(query, part.len + 1, query.len);
        if (part.len > n && memcmp(part.ptr, name, n) == 0 && part.ptr[n] == '=')
            return call_percent(run, wfi_str_cut(part, n + 1, part.len));
    }
    return WF_STR("");
}

/* The operation of a path below /v1/; its id, if it has one. */
static bool call_operation(call_run *run, wf_str method, wf_str path, wf_messages_call *out) {
    bool post = call_is(method, "POST"), get = call_is(method, "GET"), del = call_is(method, "DELETE");
    static const char models[] = "models/", batches[] = "messages/batches/";
    if (post && call_is(path, "messages"))
        out->op = WF_MESSAGES_CREATE;
    else if (post && call_is(path, "messages/count_tokens"))
        out->op = WF_MESSAGES_COUNT_TOKENS;
    else if (post && call_is(path, "messages/batches"))
        out->op = WF_BATCHES_CREATE;
    else if (get && call_is(path, "messages/batches"))
        out->op = WF_BATCHES_LIST;
    else if (get && call_is(path, "models"))
        out->op = WF_MODELS_LIST;
    else if (get && path.len > sizeof models - 1 && memcmp(path.ptr, models, sizeof models - 1) == 0) {
        out->op = WF_MODELS_GET;
        out->id = call_percent(run, wfi_str_cut(path, sizeof models - 1, path.len));
    } else if (path.len > sizeof batches - 1 && memcmp(path.ptr, batches, sizeof batches - 1) == 0) {
        wf_str id = wfi_str_cut(path, sizeof batches - 1, path.len);
        wf_str rest = wfi_str_cut(id, wfi_str_find(id, '/'), id.len);
        out->id = call_percent(run, wfi_str_cut(id, 0, id.len - rest.len));
        if (get && rest.len == 0)
            out->op = WF_BATCHES_GET;
        else if (del && rest.len == 0)
            out->op = WF_BATCHES_DELETE;
        else if (post && call_is(rest, "/cancel"))
            out->op = WF_BATCHES_CANCEL;
        else if (get && call_is(rest, "/results"))
            out->op = WF_BATCHES_RESULTS;
        else
            return false;
    } else {
        return false;
    }
    return true;
}

/* The body of the first request: the call, and what a tool loop adds to it. */
static wf_str call_body(call_run *run, const tree *call, const tree *sent) {
    if (!call || !sent || tree_get(call, "tools") || !tree_get(sent, "tools")) return call ? call->raw : WF_STR("{}");
    text *t = call_scrap(run);
    text_add(t, wf_str_of(call->raw.ptr, call->raw.len - 1));
    for (const tree *m = sent->first; m; m = m->next)
        if (!tree_get(call, m->name.ptr)) text_say(t, ",\"%s\":%.*s", m->name.ptr, (int)m->raw.len, m->raw.ptr);
    if (tree_get(sent, "thread")) text_say(t, ",\"betas\":[\"" CALL_THREADS "\"]");
    text_say(t, "}");
    return text_str(t);
}

/* The operation that the next exchange shows, or, if the case has none, the call itself. */
static bool call_next(call_run *run, wf_messages_call *out) {
    const tree *call = tree_get(run->c, "call"), *request = tree_get(run->exchange, "request");
    wf_str path = tree_str(tree_get(request, "path")), query = WF_STR("");
    *out = (wf_messages_call){.patient = run->patient};
    if (request) {
        const char *at = strstr(path.len > 0 ? path.ptr : "", "/v1/");
        if (!at) return false;
        path = wfi_str_cut(path, (size_t)(at - path.ptr) + 4, path.len);
        query = wfi_str_cut(path, wfi_str_find(path, '?') + 1, path.len);
        path = wfi_str_cut(path, 0, wfi_str_find(path, '?'));
        if (!call_operation(run, tree_str(tree_get(request, "method")), path, out)) return false;
    } else if (tree_get(call, "requests")) {
        out->op = WF_BATCHES_CREATE;
    } else if (!tree_get(call, "messages")) {
        return false;
    }
    if (out->id.len > 0 && tree_get(call, "id")) out->id = tree_str(tree_get(call, "id"));
    wf_str limit = call_query(run, query, "limit"), after = tree_str(tree_get(call, "after_id")),
           before = tree_str(tree_get(call, "before_id"));
    uint64_t number = 0;
    wfi_str_u64(limit, &number);
    out->limit = (uint32_t)tree_int(tree_get(call, "limit"), (int64_t)number);
    out->after_id = after.len > 0 ? after : call_query(run, query, "after_id");
    out->before_id = before.len > 0 ? before : call_query(run, query, "before_id");
    out->beta = call_is(call_query(run, query, "beta"), "true");
    if (out->op == WF_MESSAGES_CREATE || out->op == WF_MESSAGES_COUNT_TOKENS || out->op == WF_BATCHES_CREATE)
        out->body = call_body(run, call, tree_get(request, "body"));
    return true;
}

/* ---- one operation, tried as often as the policy says ---- */

static void call_fail(call_run *run, const char *kind) {
    run->error.kind = kind;
}

/* What the body of an error says; one that is not of the API's form says itself. */
static void call_fault(call_run *run, wf_str body, wf_str request_id) {
    wfi_fault fault;
    call_error *e = &run->error;
    wfi_anthropic_codec()->fault(body, &fault);
    wf_str from[] = {fault.type, fault.message, fault.code, request_id.len > 0 ? request_id : fault.request_id};
    text *const to[] = {&e->type, &e->message, &e->code, &e->request_id};
    for (size_t i = 0; i < 4; i++) {
        char *plain = malloc(from[i].len + 1);
        if (!plain) abort();
        text_clear(to[i]);
        text_add(to[i], wf_str_of(plain, from[i].len > 0 ? wf_json_unescape(from[i], plain) : 0));
        free(plain);
    }
    if (e->message.len == 0) text_add(&e->message, body);
}

/* Bytes that were cut in every way already: many cases share a response. */
static bool call_seen(wf_str bytes, bool stream) {
    static uint8_t seen[1024][32];
    static size_t count;
    uint8_t digest[32];
    wfi_sha256 s;
    wfi_sha256_init(&s);
    wfi_sha256_add(&s, &stream, sizeof stream);
    wfi_sha256_add(&s, bytes.ptr, bytes.len);
    wfi_sha256_end(&s, digest);
    for (size_t i = 0; i < count; i++)
        if (memcmp(seen[i], digest, 32) == 0) return true;
    if (count < 1024) memcpy(seen[count++], digest, 32);
    return false;
}

static void call_differ(call_run *run, const text *where) {
    if (where->len > 0) text_say(run->differs, "%.*s\n", (int)where->len, where->ptr);
}

/* Reads a good answer's body; false: it is not what was asked for. */
static bool call_read(call_run *run, call_step *step, const link_result *seen) {
    bool whole = seen->status == WF_END;
    text where = {0};
    if (step->call.op != WF_MESSAGES_CREATE) {
        if (!whole) call_fail(run, "connection");
        for (wf_str rest = text_str(&step->body), line; whole && rest.len > 0;
             rest = wfi_str_cut(rest, line.len + 1, rest.len)) {
            line = step->call.op == WF_BATCHES_RESULTS ? wfi_str_cut(rest, 0, wfi_str_find(rest, '\n')) : rest;
            tree *t = line.len > 0 ? tree_read(line) : NULL;
            if (!t && line.len > 0) call_fail(run, "bad_json");
            tree_free(t);
        }
        return !run->error.kind;
    }
    reply *r = &step->reply;
    reply_read(step->stream, text_str(&step->body), REPLY_WHOLE, r);
    step->has_reply = true;
    if (!call_seen(text_str(&step->body), step->stream)) reply_splits(step->stream, text_str(&step->body), &where);
    call_differ(run, &where);
    text_free(&where);
    if (step->stream) {
        text_clear(&run->events);
        text_add(&run->events, text_str(&r->events));
    }
    if (r->status == WF_OK) return true;
    if (r->status == WF_E_IO) {
        call_fail(run, "stream_event");
        call_fault(run, text_str(&r->error), seen->response.request_id);
    } else if (!whole) {
        call_fail(run, step->stream ? "stream_broken" : "connection");
    } else {
        call_fail(run, step->stream && r->cut ? "stream_truncated" : "bad_json");
    }
    return false;
}

/* One attempt. True: an answer that is no error; its body is in step. Else run->error says what, and whether to try again. */
static bool call_attempt(call_run *run, const wf_messages_request *request, call_step *step, wf_response *said) {
    wf_header headers[WF_MESSAGES_HEADERS + 16];
    uint32_t count = call_headers(run, request, headers, WF_MESSAGES_HEADERS + 16);
    const tree *response = tree_get(run->exchange, "response"), *expected = tree_get(run->exchange, "request");
    answer a;
    link_result seen;
    text where = {0};
    *said = (wf_response){.retry_after_ms = -1, .should_retry = -1};
    if (!answer_make(response, &a)) {
        text_say(run->differs, "its response is of an unknown form\n");
        call_fail(run, "unknown");
        run->error.retryable = false;
        return false;
    }
    run->exchange = run->exchange->next;
    link_exchange(request, headers, count, run->now, &a.link, &seen);
    run->attempts += seen.requests;
    expect_request(run, expected, &seen);
    if (a.link.action == LINK_ANSWER && !call_seen(text_str(&a.bytes), false))
        answer_splits(&a, request, run->now, &where);
    call_differ(run, &where);
    text_free(&where);
    text_clear(&run->request_id);
    text_add(&run->request_id, seen.response.request_id);
    text_clear(&run->workspace_id);
    answer_header(&a, "anthropic-workspace-id", &run->workspace_id);
    answer_free(&a);
    uint32_t status = seen.response.status;
    bool good = seen.answered && status >= 200 && status < 300;
    text_clear(&step->body);
    text_add(&step->body, text_str(&seen.body));
    text_clear(&step->path);
    text_add(&step->path, text_str(&seen.path));
    run->error.kind = NULL;
    run->error.retryable = false;
    if (good) {
        good = call_read(run, step, &seen);
    } else if (seen.answered) {
        *said = seen.response;
        said->request_id = said->content_type = WF_STR("");
        call_fail(run, "http");
        call_fault(run, text_str(&seen.body), seen.response.request_id);
        run->error.status = (int64_t)status;
        run->error.retryable = wfi_retry_wanted(status, said->should_retry);
    } else {
        if (seen.status == WF_AGAIN) run->now += run->timeout;
        call_fail(run, seen.status == WF_AGAIN ? "timeout" : "connection");
        run->error.retryable = true;
    }
    link_result_free(&seen);
    return good;
}

/* False: run->error says why. */
static bool call_do(call_run *run, const wf_messages_call *call) {
    call_step *step = &run->steps[run->step_count];
    size_t cap = 2 * call->body.len + 4096;
    char *buf = malloc(cap);
    wf_messages_request request;
    wf_error error;
    bool good = false;
    if (!buf) abort();
    step->call = *call;
    wf_json_member_bool(call->body, WF_STR("stream"), &step->stream);
    if (call->op != WF_MESSAGES_CREATE) step->stream = false;
    if (wf_messages_render(&run->settings, run->url, call, buf, cap, &request, &error) != WF_OK) {
        call_fail(run, "local");
        text_clear(&run->error.message);
        text_say(&run->error.message, "%s", error.text);
        free(buf);
        return false;
    }
    for (uint32_t n = 0;; n++) {
        wf_response said;
        if (!run->exchange) {
            text_say(run->differs, "it asks for more than the case has exchanges\n");
            call_fail(run, "unknown");
            break;
        }
        good = call_attempt(run, &request, step, &said);
        if (good || !run->error.retryable || n == run->retries) break;
        uint64_t wait = wfi_retry_wait(n, said.retry_after_ms, run->random);
        text_say(&run->sleeps, "%s%llu", run->sleeps.len > 0 ? "," : "[", (unsigned long long)wait);
        run->now += wait;
    }
    free(buf);
    if (good) run->step_count++;
    return good;
}

/* ---- what follows from an answer ---- */

/* The result that the case's tool gave to the call of this id, in the request that is to come. */
static const tree *call_given(const call_run *run, wf_str id) {
    const tree *messages = tree_get(tree_get(tree_get(run->exchange, "request"), "body"), "messages");
    for (const tree *m = messages ? messages->first : NULL; m; m = m->next)
        for (const tree *b = tree_get(m, "content") ? tree_get(m, "content")->first : NULL; b; b = b->next)
            if (wfi_str_eq(tree_str(tree_get(b, "tool_use_id")), id)) return b;
    return NULL;
}

static bool call_has_tool(const tree *body, wf_str name) {
    for (const tree *t = tree_get(body, "tools") ? tree_get(body, "tools")->first : NULL; t; t = t->next)
        if (wfi_str_eq(tree_str(tree_get(t, "name")), name)) return true;
    return false;
}

/* One message with the result of each tool that was called. */
static void call_results(const call_run *run, const tree *first, const tree *content, text *out) {
    const char *before = "";
    text_say(out, "{\"role\":\"user\",\"content\":[");
    for (const tree *b = content->first; b; b = b->next) {
        if (!call_is(tree_str(tree_get(b, "type")), "tool_use")) continue;
        wf_str id = tree_get(b, "id")->raw, name = tree_str(tree_get(b, "name"));
        const tree *given = call_given(run, tree_str(tree_get(b, "id")));
        text_say(out, "%s", before);
        before = ",";
        if (call_has_tool(first, name) && given) {
            text_add(out, given->raw);
            continue;
        }
        char words[256], block[1024];
        wf_json_out o;
        int n = snprintf(words, sizeof words, "Error: Tool '%.*s' not found", (int)name.len, name.ptr);
        wf_json_out_init(&o, block, sizeof block);
        wfi_anthropic_codec()->result_block(&o, wf_str_of(id.ptr + 1, id.len - 2), wf_str_of(words, (size_t)n), true);
        if (!wf_json_ok(&o)) abort();
        text_add(out, wf_str_of(block, o.len));
    }
    text_say(out, "]}");
}

/* The body that goes on with a conversation after a pause or with the results of tools: all of it again, or, where the server keeps
 * it as a thread, only what is new. */
static wf_str call_continued(call_run *run, const call_step *last) {
    tree *body = tree_read(last->call.body), *content = tree_read(text_str(&last->reply.content)),
         *message = last->stream ? NULL : tree_read(text_str(&last->body));
    bool thread = tree_get(body, "thread") != NULL, tools = last->reply.value.stop == WFI_STOP_TOOL;
    const tree *old = tree_get(body, "messages");
    text *t = call_scrap(run);
    if (!body || !content) abort();
    text_say(t, "{\"messages\":[");
    if (!thread && old && tree_count(old) > 0) {
        text_add(t, wf_str_of(old->raw.ptr + 1, old->raw.len - 2));
        text_say(t, ",");
    }
    if (!thread) text_say(t, "{\"role\":\"assistant\",\"content\":%s}%s", content->raw.ptr, tools ? "," : "");
    if (tools) call_results(run, body, content, t);
    text_say(t, "]");
    for (const tree *m = body->first; m; m = m->next) {
        bool kept =
            !thread || (!call_is(m->name, "tools") && !call_is(m->name, "system") && !call_is(m->name, "thread"));
        if (kept && !call_is(m->name, "messages"))
            text_say(t, ",\"%s\":%.*s", m->name.ptr, (int)m->raw.len, m->raw.ptr);
    }
    const tree *id = tree_get(message, "id");
    if (thread && id)
        text_say(t, ",\"thread\":{\"type\":\"continue\",\"previous_message_id\":%.*s}", (int)id->raw.len, id->raw.ptr);
    text_say(t, "}");
    tree_free(body);
    tree_free(content);
    tree_free(message);
    return text_str(t);
}

/* Whether the case is after the results of a batch, not just after the batch. */
static bool call_wants_results(call_run *run) {
    wf_messages_call next;
    if (run->exchange) return call_next(run, &next) && next.op == WF_BATCHES_RESULTS;
    return call_is(tree_str(tree_get(tree_get(tree_get(run->c, "expect"), "error"), "kind")), "local");
}

/* What to do after the last step; false: nothing. */
static bool call_follow(call_run *run, wf_messages_call *next) {
    const call_step *last = &run->steps[run->step_count - 1];
    if (last->call.op == WF_BATCHES_GET && call_wants_results(run)) {
        *next = (wf_messages_call){.op = WF_BATCHES_RESULTS, .body = text_str(&last->body), .beta = last->call.beta};
        return true;
    }
    if (!run->exchange) return false;
    if (!call_next(run, next)) {
        text_say(run->differs, "an exchange shows no operation that is known here\n");
        return false;
    }
    if (last->has_reply && next->op == WF_MESSAGES_CREATE &&
        (last->reply.value.stop == WFI_STOP_PAUSE || last->reply.value.stop == WFI_STOP_TOOL)) {
        next->body = call_continued(run, last);
    }
    return true;
}

void call_check(const tree *c, wf_str about, text *differs) {
    call_run *run = calloc(1, sizeof *run);
    wf_messages_call call;
    if (!run) abort();
    run->c = c;
    run->differs = differs;
    call_client(run, about);
    if (!call_next(run, &call)) {
        text_say(differs, "neither call nor exchange shows an operation that is known here\n");
    } else {
        while (run->step_count < CALL_STEPS && call_do(run, &call) && call_follow(run, &call))
            ;
        expect_outcome(run);
    }
    for (size_t i = 0; i < CALL_STEPS; i++) {
        text_free(&run->steps[i].path);
        text_free(&run->steps[i].body);
        reply_free(&run->steps[i].reply);
    }
    text *const all[] = {&run->sleeps,     &run->error.type,       &run->error.message, &run->error.code,
                         &run->request_id, &run->error.request_id, &run->workspace_id,  &run->events};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        text_free(all[i]);
    for (size_t i = 0; i < run->scrap_count; i++)
        text_free(&run->scraps[i]);
    free(run);
}
