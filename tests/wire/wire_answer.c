/* answer: see answer.h. */
#include "wire_answer.h"

#include <stdlib.h>
#include <strings.h>

#include "src/core/http/parse.h"

static bool answer_body(const tree *response, text *out) {
    const tree *body = tree_get(response, "body"), *plain = tree_get(response, "body_text"),
               *base64 = tree_get(response, "body_base64");
    if (!tree_null(base64)) return text_base64(tree_str(base64), out);
    if (!tree_null(plain))
        text_add(out, tree_str(plain));
    else if (!tree_null(body))
        text_add(out, body->raw);
    return true;
}

/* Bodies that come in pieces, or as a stream, have chunks; the others a length. */
static void answer_chunks(const text *body, const size_t *sizes, size_t count, bool end, text *out) {
    for (size_t at = 0, i = 0; at < body->len; i++) {
        size_t n = count > 0 ? sizes[i % count] : body->len;
        if (n == 0) continue;
        if (n > body->len - at) n = body->len - at;
        text_say(out, "%zx\r\n", n);
        text_add(out, wf_str_of(body->ptr + at, n));
        text_add(out, WF_STR("\r\n"));
        at += n;
    }
    if (end) text_add(out, WF_STR("0\r\n\r\n"));
}

static bool answer_sizes(const tree *sizes, answer *a) {
    size_t n = tree_count(sizes), sum = 0;
    a->pieces = n > 0 ? calloc(n, sizeof *a->pieces) : NULL;
    a->link.piece_count = 0;
    for (const tree *s = sizes ? sizes->first : NULL; s; s = s->next) {
        int64_t size = tree_int(s, -1);
        if (size < 0) return false;
        sum += a->pieces[a->link.piece_count++] = (size_t)size;
    }
    return n == 0 || sum > 0;
}

bool answer_make(const tree *response, answer *a) {
    *a = (answer){0};
    wf_str action = tree_str(tree_get(response, "action"));
    if (wfi_str_eq(action, WF_STR("reset")) || wfi_str_eq(action, WF_STR("hang"))) {
        a->link.action = action.ptr[0] == 'r' ? LINK_RESET : LINK_HANG;
        return true;
    }
    bool cut = wfi_str_eq(action, WF_STR("reset_after_body"));
    if (action.len > 0 && !cut) return false;
    if (!answer_body(response, &a->body) || !answer_sizes(tree_get(response, "chunk_sizes"), a)) return false;
    text_say(&a->bytes, "HTTP/1.1 %lld X\r\n", (long long)tree_int(tree_get(response, "status"), 0));
    bool stream = false;
    const tree *headers = tree_get(response, "headers");
    for (const tree *h = headers ? headers->first : NULL; h; h = h->next) {
        text_say(&a->bytes, "%s: %s\r\n", h->name.ptr, tree_str(h).ptr);
        stream = stream || (strcasecmp(h->name.ptr, "content-type") == 0 &&
                            strncasecmp(tree_str(h).ptr, "text/event-stream", 17) == 0);
    }
    if (stream || cut || a->pieces) {
        text_say(&a->bytes, "transfer-encoding: chunked\r\n\r\n");
        answer_chunks(&a->body, a->pieces, a->link.piece_count, !cut, &a->bytes);
    } else {
        text_say(&a->bytes, "content-length: %zu\r\n\r\n", a->body.len);
        text_add(&a->bytes, text_str(&a->body));
    }
    a->link.action = cut ? LINK_RESET_AFTER : LINK_ANSWER;
    a->link.bytes = text_str(&a->bytes);
    a->link.pieces = a->pieces;
    return true;
}

void answer_free(answer *a) {
    text_free(&a->bytes);
    text_free(&a->body);
    free(a->pieces);
}

bool answer_header(const answer *a, const char *name, text *value) {
    wfi_parser r;
    size_t at = 0, used;
    wfi_parse_event e;
    wfi_parse_begin(&r, false);
    do {
        e = wfi_parse_read(&r, a->bytes.ptr + at, a->bytes.len - at, &used);
        at += used;
        if (e != WFI_PARSE_HEADER || !wfi_str_eq(r.name, wfi_str_z(name))) continue;
        text_add(value, r.value);
        return true;
    } while (e == WFI_PARSE_STATUS || e == WFI_PARSE_HEADER);
    return false;
}

static bool answer_same(const link_result *a, const link_result *b) {
    const wf_response *x = &a->response, *y = &b->response;
    return a->status == b->status && a->answered == b->answered && x->status == y->status &&
           x->retry_after_ms == y->retry_after_ms && x->should_retry == y->should_retry &&
           wfi_str_eq(x->request_id, y->request_id) && wfi_str_eq(x->content_type, y->content_type) &&
           wfi_str_eq(text_str(&a->body), text_str(&b->body));
}

void answer_splits(const answer *a, const wf_messages_request *request, uint64_t now, text *where) {
    link_result whole, other;
    link_answer cut = a->link;
    cut.pieces = NULL;
    link_exchange(request, request->headers, request->header_count, now, &cut, &whole);
    size_t most = a->bytes.len < ANSWER_SPLITS ? a->bytes.len : ANSWER_SPLITS;
    for (size_t first = 1; first <= most && where->len == 0; first++) {
        size_t two[2] = {first, a->bytes.len}, one[1] = {1};
        bool bytes = first == most;
        cut.pieces = bytes ? one : two;
        cut.piece_count = bytes ? 1 : 2;
        link_exchange(request, request->headers, request->header_count, now, &cut, &other);
        if (!answer_same(&whole, &other)) {
            if (bytes)
                text_say(where, "read byte by byte, the response is another");
            else
                text_say(where, "cut at byte %zu, the response is another", first);
        }
        link_result_free(&other);
    }
    link_result_free(&whole);
}
