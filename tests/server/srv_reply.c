/* reply: puts a response together and places its faults. See reply.h. */
#include "srv_reply.h"

#include <stdlib.h>
#include <string.h>

static void pause_add(reply *r, size_t at, int64_t ms) {
    if (ms <= 0) return;
    if (r->count == r->cap) r->pauses = must_alloc(r->pauses, (r->cap = r->cap * 2 + 8) * sizeof *r->pauses);
    r->pauses[r->count++] = (rest){at, (uint64_t)ms};
}

static const char *error_type(uint32_t status) {
    switch (status) {
    case 401:
        return "authentication_error";
    case 402:
        return "billing_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 409:
        return "conflict_error";
    case 413:
        return "request_too_large";
    case 429:
        return "rate_limit_error";
    case 504:
        return "timeout_error";
    case 529:
        return "overloaded_error";
    default:
        return status >= 500 ? "api_error" : "invalid_request_error";
    }
}

static void request_id(text *out, const answer *a, const request *q) {
    if (a->request_id.p)
        text_slice(out, a->request_id);
    else
        text_format(out, "req_%06llu", (unsigned long long)q->serial);
}

static void error_make(text *out, const answer *a, const request *q, uint32_t status) {
    text_str(out, "{\"type\":\"error\",\"error\":{\"type\":");
    text_quote(out, a->error.p ? a->error : slice_of(error_type(status)));
    text_str(out, ",\"message\":");
    text_quote(out, a->message.p ? a->message : SLICE("as the scenario says"));
    if (a->code.p) {
        text_str(out, ",\"details\":{\"error_code\":");
        text_quote(out, a->code);
        text_str(out, "}");
    }
    text_str(out, "},\"request_id\":\"");
    request_id(out, a, q);
    text_str(out, "\"}");
}

/* ---- what is said ---- */

static bool has_key(const answer *a, const request *q) {
    slice key = header_value(q->head, "x-api-key"), bearer = header_value(q->head, "authorization");
    if (bearer.n > 7 && !memcmp(bearer.p, "Bearer ", 7) && !key.n) key = (slice){bearer.p + 7, bearer.n - 7};
    return key.n == a->key.n && memcmp(key.p, a->key.p, key.n) == 0;
}

static bool streams(slice asked) {
    return slice_has(asked, SLICE("\"stream\":true")) || slice_has(asked, SLICE("\"stream\": true"));
}

/* The body; answers its content-type. */
static const char *say(body *b, const answer *a, const request *q, uint32_t *status) {
    static const char page[] =
        "<html><head><title>502 Bad Gateway</title></head>\n<body><h1>Bad Gateway</h1></body></html>\n";
    static const char zipped[] =
        "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x2a\xa9\x2c\x48\x55\xb2\x52\xca\x4d\x2d"
        "\x2e\x4e\x4c\x4f\x55\xaa\x05\x00\xc9\x49\x3e\xfe\x12\x00\x00\x00";
    bool mine = slice_is(q->method, "POST") && q->target.n >= 12 && !memcmp(q->target.p, "/v1/messages", 12);
    *status = a->status > 0 ? (uint32_t)a->status : !mine ? 404 : 200;
    if (a->status < 0 && mine && a->key.p && !has_key(a, q)) *status = 401;
    if (a->status < 0 && mine && a->check && !json_valid(q->body)) *status = 400;
    const char *type = "application/json";
    if (a->raw.p) {
        text_slice(&b->bytes, a->raw);
    } else if (a->html) {
        text_str(&b->bytes, page);
        type = "text/html; charset=utf-8";
    } else if (a->gzip) {
        text_add(&b->bytes, zipped, sizeof zipped - 1);
    } else if (*status != 200) {
        error_make(&b->bytes, a, q, *status);
    } else {
        bool stream = streams(q->body);
        message_make(b, a, q, stream);
        return stream ? "text/event-stream; charset=utf-8" : type;
    }
    body_part(b);
    return type;
}

/* ---- how ---- */

typedef enum framing { CHUNKED, LENGTH, UNTIL_CLOSE } framing;

static framing framing_of(const answer *a, const char *type) {
    if (slice_is(a->framing, "close")) return UNTIL_CLOSE;
    if (slice_is(a->framing, "length")) return LENGTH;
    bool wanted = a->framing.p || a->bad_chunk || a->extensions || a->trailers;
    return wanted || !strncmp(type, "text/event-stream", 17) ? CHUNKED : LENGTH;
}

static void head_faults(text *out, const answer *a) {
    if (a->big_header > 0) {
        text_str(out, "x-big: ");
        memset(text_room(out, (size_t)a->big_header), 'x', (size_t)a->big_header);
        out->n += (size_t)a->big_header;
        text_str(out, "\r\n");
    }
    for (int64_t i = 0; i < a->many_headers; i++)
        text_format(out, "x-many-%lld: %lld\r\n", (long long)i, (long long)i);
}

static void head_make(reply *r, const answer *a, const request *q, framing f, const char *type, size_t length) {
    text *out = &r->bytes;
    if (a->interim) text_format(out, "HTTP/1.1 %lld Wait\r\nx-interim: yes\r\n\r\n", (long long)a->interim);
    text_format(out, "HTTP/1.1 %u %s\r\ncontent-type: ", r->status, r->status < 300 ? "OK" : "Not OK");
    text_slice(out, a->type.p ? a->type : slice_of(type));
    if (!a->request_id.p || a->request_id.n) {
        text_str(out, "\r\nrequest-id: ");
        request_id(out, a, q);
    }
    text_str(out, "\r\n");
    for (uint32_t i = 0; i < a->headers; i++) {
        text_slice(out, a->header[i]);
        text_str(out, "\r\n");
    }
    head_faults(out, a);
    if (a->gzip) text_str(out, "content-encoding: gzip\r\n");
    if (f == LENGTH) text_format(out, "content-length: %zu\r\n", length);
    if (f == CHUNKED) text_str(out, "transfer-encoding: chunked\r\n");
    if (r->ending == END_CLOSE) text_str(out, "connection: close\r\n");
    text_str(out, "\r\n");
}

static void part_make(reply *r, const answer *a, framing f, slice part) {
    if (f == CHUNKED) text_format(&r->bytes, a->extensions ? "%zx;name=\"a value\";flag\r\n" : "%zx\r\n", part.n);
    text_slice(&r->bytes, part);
    if (f == CHUNKED) text_str(&r->bytes, "\r\n");
}

static void body_make(reply *r, const answer *a, framing f, const body *b) {
    size_t at = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (i > 0) pause_add(r, r->bytes.n, a->gap);
        if (i == 1 && a->bad_chunk) text_str(&r->bytes, "no size\r\n");
        if (b->ends[i] > at) part_make(r, a, f, (slice){b->bytes.p + at, b->ends[i] - at});
        at = b->ends[i];
    }
    if (f != CHUNKED) return;
    if (b->count == 1 && a->bad_chunk) text_str(&r->bytes, "no size\r\n");
    text_str(&r->bytes, a->trailers ? "0\r\nx-checksum: 42\r\nx-other: yes\r\n\r\n" : "0\r\n\r\n");
}

static void pieces(reply *r, const answer *a) {
    if (a->piece <= 0) return;
    r->count = 0;
    pause_add(r, 0, a->latency);
    for (size_t at = (size_t)a->piece; at < r->bytes.n; at += (size_t)a->piece)
        pause_add(r, at, a->piece_gap);
}

static void end_at(reply *r, int64_t at, ending how) {
    if (at < 0 || (size_t)at > r->bytes.n) return;
    r->bytes.n = (size_t)at;
    r->ending = how;
}

void reply_make(reply *r, const answer *a, const request *q) {
    static body b; /* kept for its memory */
    b.bytes.n = b.count = 0;
    r->bytes.n = r->count = 0;
    r->ending = END_KEEP;
    r->idle_close = a->idle_close;
    const char *type = say(&b, a, q, &r->status);
    framing f = framing_of(a, type);
    if (a->close || a->early || f == UNTIL_CLOSE) r->ending = END_CLOSE;
    head_make(r, a, q, f, type, b.bytes.n);
    pause_add(r, 0, a->latency);
    body_make(r, a, f, &b);
    pieces(r, a);
    end_at(r, a->reset_at, END_RESET);
    end_at(r, a->close_at, END_CUT);
    end_at(r, a->hang ? 0 : a->hang_at, END_HANG);
    if (r->bytes.n == 0) r->status = 0;
}

void reply_plain(reply *r, uint32_t status, slice json) {
    r->bytes.n = r->count = 0;
    r->ending = END_KEEP;
    r->idle_close = -1;
    r->status = status;
    text_format(&r->bytes, "HTTP/1.1 %u %s\r\n", status, status < 300 ? "OK" : "Not OK");
    if (json.p) text_format(&r->bytes, "content-type: application/json\r\ncontent-length: %zu\r\n", json.n);
    text_str(&r->bytes, "\r\n");
    text_slice(&r->bytes, json);
}

void reply_free(reply *r) {
    text_free(&r->bytes);
    free(r->pauses);
}
