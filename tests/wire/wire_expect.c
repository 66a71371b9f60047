/* expect: what a case expects, against what was seen. Every field of `expect` is looked at; one that is not known here is a
 * difference too, so that nothing passes by being overlooked. What is the vendor's library's own is not compared: the words of
 * local errors (ours must have some), the names of its classes, and of a streamed message those members that no agent needs and our
 * reader does not keep (its id, model and role; why it stopped, its content and its usage are compared). */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "wire_call.h"

static bool expect_is(wf_str a, const char *b) {
    return wfi_str_eq(a, wfi_str_z(b));
}

static void expect_text(call_run *run, const char *what, wf_str got, wf_str want) {
    if (wfi_str_eq(got, want)) return;
    text_say(run->differs, "%s: %.*s, not %.*s\n", what, (int)got.len, got.ptr ? got.ptr : "", (int)want.len,
             want.ptr ? want.ptr : "");
}

static void expect_int(call_run *run, const char *what, int64_t got, int64_t want) {
    if (got != want) text_say(run->differs, "%s: %lld, not %lld\n", what, (long long)got, (long long)want);
}

/* got: JSON text. */
static void expect_json(call_run *run, const char *what, wf_str got, const tree *want, bool exact) {
    tree *t = tree_read(got);
    text where = {0};
    if (!t)
        text_say(run->differs, "%s: no JSON: %.*s\n", what, (int)(got.len < 200 ? got.len : 200),
                 got.ptr ? got.ptr : "");
    else if (!tree_same(t, want, exact, &where))
        text_say(run->differs, "%s%s\n", what, where.ptr);
    text_free(&where);
    tree_free(t);
}

/* ---- requests ---- */

/* Headers that matter to a server: any of these that is sent must be expected. */
static bool expect_matters(wf_str name) {
    static const char *const names[] = {"accept",    "content-type", "authorization",
                                        "x-api-key", "host",         "accept-encoding"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (name.len == strlen(names[i]) && strncasecmp(name.ptr, names[i], name.len) == 0) return true;
    return name.len > 10 && strncasecmp(name.ptr, "anthropic-", 10) == 0;
}

static void expect_headers(call_run *run, const tree *headers, const link_result *seen) {
    fakenet_request r = {.head = text_str(&seen->head)};
    for (const tree *h = headers ? headers->first : NULL; h; h = h->next)
        expect_text(run, h->name.ptr, fakenet_header(&r, h->name.ptr), tree_str(h));
    for (wf_str rest = r.head, line; rest.len > 0; rest = wfi_str_cut(rest, line.len + 1, rest.len)) {
        line = wfi_str_cut(rest, 0, wfi_str_find(rest, '\n'));
        wf_str name = wfi_str_cut(line, 0, wfi_str_find(line, ':'));
        if (!expect_matters(name)) continue;
        bool known = false;
        for (const tree *h = headers ? headers->first : NULL; h && !known; h = h->next)
            known = h->name.len == name.len && strncasecmp(h->name.ptr, name.ptr, name.len) == 0;
        if (!known) text_say(run->differs, "header that nobody expects: %.*s\n", (int)(line.len - 1), line.ptr);
    }
    for (size_t i = 0; i < 2; i++) /* what the caller adds goes out, wherever the case does not list it */
        for (const tree *h = run->extra[i] ? run->extra[i]->first : NULL; h; h = h->next)
            if (!tree_null(h) && !tree_get(headers, h->name.ptr))
                expect_text(run, h->name.ptr, fakenet_header(&r, h->name.ptr), tree_str(h));
}

/* A whole address, its port said. */
static void expect_address(wf_str url, text *out) {
    bool tls = url.len > 5 && memcmp(url.ptr, "https", 5) == 0;
    wf_str rest = wfi_str_cut(url, tls ? 8 : 7, url.len);
    wf_str host = wfi_str_cut(rest, 0, wfi_str_find(rest, '/'));
    text_say(out, "%s://%.*s", tls ? "https" : "http", (int)host.len, host.ptr);
    bool port = host.len > 0 && wfi_str_find(host, ':') < host.len && host.ptr[host.len - 1] != ']';
    if (!port) text_say(out, ":%d", tls ? 443 : 80);
    text_add(out, wfi_str_cut(rest, host.len, rest.len));
}

void expect_request(call_run *run, const tree *request, const link_result *seen) {
    text sent = {0}, want = {0};
    expect_int(run, "requests of one attempt", seen->requests, 1);
    if (seen->requests == 0) {
        text_say(run->differs, "it was not sent: %s\n", seen->error.ptr ? seen->error.ptr : "");
        return;
    }
    expect_text(run, "method", text_str(&seen->method), tree_str(tree_get(request, "method")));
    expect_text(run, "path", text_str(&seen->path), tree_str(tree_get(request, "path")));
    if (tree_get(request, "url")) {
        text_say(&sent, "%s%s", seen->url.ptr, seen->path.ptr);
        expect_address(tree_str(tree_get(request, "url")), &want);
        expect_text(run, "address", text_str(&sent), text_str(&want));
        text_free(&sent);
        text_free(&want);
    }
    expect_headers(run, tree_get(request, "headers"), seen);
    const tree *body = tree_get(request, "body"), *exact = tree_get(request, "body_text");
    if (!tree_null(body)) expect_json(run, "body", text_str(&seen->request_body), body, true);
    if (!tree_null(exact) || tree_null(body)) expect_text(run, "body", text_str(&seen->request_body), tree_str(exact));
}

/* ---- what came of the answers ---- */

static const call_step *expect_last(const call_run *run) {
    return run->step_count > 0 ? &run->steps[run->step_count - 1] : NULL;
}

/* "a\nb\n" as a JSON array; plain: without what follows a colon. */
static void expect_list(wf_str lines, bool plain, text *out) {
    text_say(out, "[");
    for (const char *before = ""; lines.len > 0; before = ",") {
        wf_str line = wfi_str_cut(lines, 0, wfi_str_find(lines, '\n'));
        wf_str name = plain ? wfi_str_cut(line, 0, wfi_str_find(line, ':')) : line;
        text_say(out, "%s\"%.*s\"", before, (int)name.len, name.ptr);
        lines = wfi_str_cut(lines, line.len + 1, lines.len);
    }
    text_say(out, "]");
}

static void expect_events(call_run *run, const tree *want, bool plain, const char *what) {
    text got = {0};
    expect_list(text_str(&run->events), plain, &got);
    expect_json(run, what, text_str(&got), want, true);
    text_free(&got);
}

/* Each number that is said must be ours; what is null or missing must be 0. */
static void expect_usage(call_run *run, const tree *want, const reply *r) {
    const wf_usage *u = &r->value.usage;
    const tree *creation = tree_get(want, "cache_creation");
    if (tree_null(want)) return;
    expect_int(run, "input_tokens", (int64_t)u->input, tree_int(tree_get(want, "input_tokens"), 0));
    expect_int(run, "output_tokens", (int64_t)u->output, tree_int(tree_get(want, "output_tokens"), 0));
    expect_int(run, "cache_read_input_tokens", (int64_t)u->cache_read,
               tree_int(tree_get(want, "cache_read_input_tokens"), 0));
    expect_int(run, "cache_creation_input_tokens", (int64_t)u->cache_write,
               tree_int(tree_get(want, "cache_creation_input_tokens"), 0));
    if (tree_null(creation)) return;
    expect_int(run, "ephemeral_1h_input_tokens", (int64_t)r->value.write_1h,
               tree_int(tree_get(creation, "ephemeral_1h_input_tokens"), 0));
}

static void expect_quote(text *out, wf_str escaped) {
    text_say(out, "\"%.*s\"", (int)escaped.len, escaped.len > 0 ? escaped.ptr : "");
}

/* Text and tool calls by the codec's own walk over the blocks. */
static void expect_blocks(const reply *r, text *words, text *tools) {
    wf_json j;
    wfi_block_view view;
    wf_json_init(&j, r->value.content);
    text_say(words, "\"");
    text_say(tools, "[");
    while (wfi_anthropic_codec()->block(&j, &view) == WF_OK) {
        if (view.type == WFI_BLOCK_TEXT) text_add(words, view.text);
        if (view.type != WFI_BLOCK_TOOL) continue;
        text_say(tools, "%s{\"id\":", tools->len > 1 ? "," : "");
        expect_quote(tools, view.id);
        text_say(tools, ",\"name\":");
        expect_quote(tools, view.name);
        text_say(tools, ",\"input\":%.*s}", (int)view.input.len, view.input.ptr);
    }
    text_say(words, "\"");
    text_say(tools, "]");
}

static void expect_thinking(const reply *r, text *out) {
    tree *content = tree_read(r->value.content);
    text_say(out, "[");
    for (const tree *b = content ? content->first : NULL; b; b = b->next) {
        if (!expect_is(tree_str(tree_get(b, "type")), "thinking")) continue;
        const tree *thinking = tree_get(b, "thinking"), *signature = tree_get(b, "signature");
        text_say(out, "%s{\"thinking\":%.*s,\"signature\":%.*s}", out->len > 1 ? "," : "",
                 thinking ? (int)thinking->raw.len : 4, thinking ? thinking->raw.ptr : "null",
                 signature ? (int)signature->raw.len : 4, signature ? signature->raw.ptr : "null");
    }
    text_say(out, "]");
    tree_free(content);
}

static void expect_summary(call_run *run, const tree *want) {
    const call_step *last = expect_last(run);
    if (!last || !last->has_reply) {
        text_say(run->differs, "summary: there is no message\n");
        return;
    }
    text words = {0}, tools = {0}, thinking = {0}, reason = {0};
    expect_blocks(&last->reply, &words, &tools);
    expect_thinking(&last->reply, &thinking);
    expect_quote(&reason, last->reply.value.reason);
    static tree nothing = {.type = WF_JSON_ARRAY};
    const tree *some = tree_get(want, "tool_calls"), *thoughts = tree_get(want, "thinking");
    expect_json(run, "summary.text", text_str(&words), tree_get(want, "text"), true);
    expect_json(run, "summary.tool_calls", text_str(&tools), some ? some : &nothing, false);
    expect_json(run, "summary.thinking", text_str(&thinking), thoughts ? thoughts : &nothing, true);
    expect_json(run, "summary.stop_reason", text_str(&reason), tree_get(want, "stop_reason"), true);
    expect_usage(run, tree_get(want, "usage"), &last->reply);
    for (const tree *m = want->first; m; m = m->next)
        if (!expect_is(m->name, "text") && !expect_is(m->name, "tool_calls") && !expect_is(m->name, "thinking") &&
            !expect_is(m->name, "stop_reason") && !expect_is(m->name, "usage"))
            text_say(run->differs, "summary.%s is not known here\n", m->name.ptr);
    text_free(&words);
    text_free(&tools);
    text_free(&thinking);
    text_free(&reason);
}

/* What of a message the reader keeps. */
static void expect_message(call_run *run, const tree *want) {
    const call_step *last = expect_last(run);
    if (!last || !last->has_reply) {
        text_say(run->differs, "final_message: there is none\n");
        return;
    }
    const reply *r = &last->reply;
    const tree *explanation = tree_get(tree_get(want, "stop_details"), "explanation");
    text words = {0};
    expect_json(run, "content", r->value.content, tree_get(want, "content"), false);
    if (!tree_null(tree_get(want, "stop_reason"))) {
        expect_quote(&words, r->value.reason);
        expect_json(run, "stop_reason", text_str(&words), tree_get(want, "stop_reason"), true);
    }
    expect_usage(run, tree_get(want, "usage"), r);
    text_clear(&words);
    expect_quote(&words, r->value.details);
    if (!tree_null(explanation)) expect_json(run, "stop_details", text_str(&words), explanation, true);
    text_free(&words);
}

/* ---- results: each member is worked out from the answers in its own way ---- */

static const call_step *expect_first_list(const call_run *run) {
    for (uint32_t i = 0; i < run->step_count; i++)
        if (run->steps[i].call.op == WF_MODELS_LIST || run->steps[i].call.op == WF_BATCHES_LIST) return &run->steps[i];
    return NULL;
}

static void expect_ids(const tree *page, text *out) {
    const tree *data = tree_get(page, "data");
    text_say(out, "[");
    for (const tree *d = data ? data->first : NULL; d; d = d->next) {
        wf_str id = tree_get(d, "id") ? tree_get(d, "id")->raw : WF_STR("null");
        text_say(out, "%s%.*s", out->len > 1 ? "," : "", (int)id.len, id.ptr);
    }
    text_say(out, "]");
}

/* How the page after this one is asked for. */
static void expect_next_query(const call_step *list, const tree *page, text *out) {
    const tree *last = tree_get(page, "last_id"), *more = tree_get(page, "has_more");
    if (!more || more->type != WF_JSON_TRUE || tree_null(last)) {
        text_say(out, "null");
        return;
    }
    text_say(out, "{");
    if (list->call.limit > 0) text_say(out, "\"limit\":%u,", list->call.limit);
    text_say(out, "\"after_id\":%.*s}", (int)last->raw.len, last->raw.ptr);
}

/* The bodies of all answers, or of those to one operation. */
static void expect_bodies(const call_run *run, bool all, wf_messages_op op, text *out) {
    text_say(out, "[");
    for (uint32_t i = 0; i < run->step_count; i++)
        if (all || run->steps[i].call.op == op)
            text_say(out, "%s%s", out->len > 1 ? "," : "", run->steps[i].body.ptr ? run->steps[i].body.ptr : "");
    text_say(out, "]");
}

static void expect_lines(const call_step *last, text *out) {
    text_say(out, "[");
    for (wf_str rest = text_str(&last->body), line; rest.len > 0; rest = wfi_str_cut(rest, line.len + 1, rest.len)) {
        line = wfi_str_cut(rest, 0, wfi_str_find(rest, '\n'));
        if (line.len > 0) text_say(out, "%s%.*s", out->len > 1 ? "," : "", (int)line.len, line.ptr);
    }
    text_say(out, "]");
}

/* False: such a member is not known. */
static bool expect_member(const call_run *run, wf_str name, text *out) {
    const call_step *list = expect_first_list(run), *last = expect_last(run);
    tree *page = list ? tree_read(text_str(&list->body)) : NULL;
    bool known = true;
    if (expect_is(name, "results")) {
        expect_lines(last, out);
    } else if (expect_is(name, "messages")) {
        expect_bodies(run, false, WF_MESSAGES_CREATE, out);
    } else if (expect_is(name, "final") || expect_is(name, "one")) {
        text_add(out, text_str(&last->body));
    } else if (expect_is(name, "deleted")) {
        expect_bodies(run, false, WF_BATCHES_DELETE, out);
        out->ptr[0] = ' '; /* the one in the brackets */
        out->ptr[--out->len] = 0;
    } else if (page && (expect_is(name, "ids") || expect_is(name, "first_page_ids"))) {
        expect_ids(page, out);
    } else if (page && expect_is(name, "has_more") && tree_get(page, "has_more")) {
        text_add(out, tree_get(page, "has_more")->raw);
    } else if (page && expect_is(name, "next_query")) {
        expect_next_query(list, page, out);
    } else {
        known = false;
    }
    tree_free(page);
    return known;
}

static void expect_result(call_run *run, const tree *want) {
    const call_step *last = expect_last(run);
    if (!last) {
        text_say(run->differs, "result: there is none\n");
        return;
    }
    if (want->type == WF_JSON_STRING) { /* "the body of the last response, unchanged" */
        const tree *exchange = tree_get(run->c, "exchanges")->first;
        while (exchange->next)
            exchange = exchange->next;
        const tree *body = tree_get(tree_get(exchange, "response"), "body");
        if (!expect_is(tree_str(want), "the body of the last response, unchanged") || !body) {
            text_say(run->differs, "result: of a form that is not known here: %.*s\n", (int)want->raw.len,
                     want->raw.ptr);
            return;
        }
        expect_json(run, "result", text_str(&last->body), body, true);
        if (last->has_reply) expect_message(run, body);
        return;
    }
    for (const tree *m = want->first; m; m = m->next) {
        text got = {0}, what = {0};
        text_say(&what, "result.%s", m->name.ptr);
        if (expect_is(m->name, "event_types"))
            expect_events(run, m, true, what.ptr);
        else if (expect_member(run, m->name, &got))
            expect_json(run, what.ptr, text_str(&got), m, false);
        else
            text_say(run->differs, "%s is not known here\n", what.ptr);
        text_free(&got);
        text_free(&what);
    }
}

/* ---- errors ---- */

static void expect_error(call_run *run, const tree *want) {
    const call_error *e = &run->error;
    bool local = expect_is(tree_str(tree_get(want, "kind")), "local");
    if (!e->kind) {
        text_say(run->differs, "no error, where %.*s is expected\n", (int)want->raw.len, want->raw.ptr);
        return;
    }
    if (e->message.len == 0 && local) text_say(run->differs, "an error without words\n");
    for (const tree *m = want->first; m; m = m->next) {
        if (expect_is(m->name, "kind"))
            expect_text(run, "error.kind", wfi_str_z(e->kind), tree_str(m));
        else if (expect_is(m->name, "status"))
            expect_int(run, "error.status", e->status, tree_int(m, -1));
        else if (expect_is(m->name, "retryable"))
            expect_int(run, "error.retryable", e->retryable, m->type == WF_JSON_TRUE);
        else if (expect_is(m->name, "type"))
            expect_text(run, "error.type", text_str(&e->type), tree_str(m));
        else if (expect_is(m->name, "code") || expect_is(m->name, "error_code"))
            expect_text(run, "error.code", text_str(&e->code), tree_str(m));
        else if (expect_is(m->name, "request_id"))
            expect_text(run, "error.request_id", text_str(&e->request_id), tree_str(m));
        else if (expect_is(m->name, "message") && !local)
            expect_text(run, "error.message", text_str(&e->message), tree_str(m));
        else if (!expect_is(m->name, "message") && !expect_is(m->name, "library_error_class"))
            text_say(run->differs, "error.%s is not known here\n", m->name.ptr);
    }
}

/* ---- the whole ---- */

static void expect_field(call_run *run, const tree *m) {
    if (expect_is(m->name, "outcome")) {
        expect_text(run, "outcome", run->error.kind ? WF_STR("error") : WF_STR("ok"), tree_str(m));
    } else if (expect_is(m->name, "attempts")) {
        expect_int(run, "attempts", run->attempts, tree_int(m, -1));
    } else if (expect_is(m->name, "sleeps_ms")) {
        text_say(&run->sleeps, "%s]", run->sleeps.len > 0 ? "" : "[");
        expect_json(run, "sleeps_ms", text_str(&run->sleeps), m, false);
    } else if (expect_is(m->name, "events")) {
        expect_events(run, m, false, "events");
    } else if (expect_is(m->name, "final_message")) {
        expect_message(run, m);
    } else if (expect_is(m->name, "result")) {
        expect_result(run, m);
    } else if (expect_is(m->name, "summary")) {
        expect_summary(run, m);
    } else if (expect_is(m->name, "error")) {
        expect_error(run, m);
    } else if (expect_is(m->name, "request_id")) {
        expect_text(run, "request_id", text_str(&run->request_id), tree_str(m));
    } else if (expect_is(m->name, "workspace_id")) {
        expect_text(run, "workspace_id", text_str(&run->workspace_id), tree_str(m));
    } else if (!expect_is(m->name, "note")) {
        text_say(run->differs, "expect.%s is not known here\n", m->name.ptr);
    }
}

void expect_outcome(call_run *run) {
    const tree *want = tree_get(run->c, "expect");
    for (const tree *m = want ? want->first : NULL; m; m = m->next)
        expect_field(run, m);
    if (run->error.kind && tree_null(tree_get(want, "error")))
        text_say(run->differs, "it fails: %s %s\n", run->error.kind,
                 run->error.message.ptr ? run->error.message.ptr : "");
    if (run->exchange) text_say(run->differs, "it asks for less than the case has exchanges\n");
}
