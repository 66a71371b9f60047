/* message: what the scripted model says, as the Messages API does: one JSON object, or a stream of events. Both come
 * out of one array of content blocks. */
#include "srv_reply.h"

#include <string.h>

typedef struct speaker {
    body *out;
    const answer *a;
    uint64_t serial;
    int64_t events;
    bool spoilt; /* the fault in a delta has been placed */
    bool over;   /* nothing follows an error event */
} speaker;

/* The first text of the conversation, escaped as it came. */
static slice prompt(slice asked) {
    const char *end = asked.p + asked.n;
    const char *p = asked.n ? memmem(asked.p, asked.n, "\"messages\":", 11) : NULL;
    while (p && p < end) {
        p = memchr(p, '"', (size_t)(end - p));
        if (!p) break;
        size_t left = (size_t)(end - p);
        size_t skip = left > 8 && !memcmp(p, "\"text\":\"", 8)        ? 7
                      : left > 11 && !memcmp(p, "\"content\":\"", 11) ? 10
                                                                      : 0;
        if (skip) {
            const char *stop = json_end(p + skip, end);
            return stop ? json_inside((slice){p + skip, (size_t)(stop - p) - skip}) : SLICE("");
        }
        p++;
    }
    return SLICE("");
}

static void reply_text(text *out, const answer *a, const request *q) {
    static const char filler[] = "Every word of this reply is filler of a known length. ";
    for (int64_t left = a->size; left > 0; left -= (int64_t)(sizeof filler - 1))
        text_add(out, filler, left < (int64_t)sizeof filler ? (size_t)left : sizeof filler - 1);
    if (a->size >= 0) return;
    slice mark = SLICE("$prompt"), s = a->text;
    const char *hit = s.n ? memmem(s.p, s.n, mark.p, mark.n) : NULL;
    if (!hit) {
        text_slice(out, s);
        return;
    }
    text_add(out, s.p, (size_t)(hit - s.p));
    text_slice(out, prompt(q->body));
    text_add(out, hit + mark.n, s.n - (size_t)(hit - s.p) - mark.n);
}

static void content_make(text *out, const answer *a, const request *q) {
    if (a->content.p) {
        text_slice(out, a->content);
        return;
    }
    text_str(out, "[");
    if (a->thinking.p) {
        text_format(out, "{\"type\":\"thinking\",\"thinking\":\"%.*s\",\"signature\":\"c2lnbmVk\"},",
                    (int)a->thinking.n, a->thinking.p);
    }
    if (a->tool.p) {
        text_format(out, "{\"type\":\"tool_use\",\"id\":\"toolu_%06llu\",\"name\":\"%.*s\",\"input\":",
                    (unsigned long long)q->serial, (int)a->tool.n, a->tool.p);
        text_slice(out, a->input.p ? a->input : SLICE("{}"));
        text_str(out, "}]");
        return;
    }
    text_str(out, "{\"type\":\"text\",\"text\":\"");
    reply_text(out, a, q);
    text_str(out, "\"}]");
}

static const char *stop_reason(const answer *a, slice content, char buf[64]) {
    if (a->stop.p && a->stop.n < 64) {
        memcpy(buf, a->stop.p, a->stop.n);
        buf[a->stop.n] = 0;
        return buf;
    }
    return slice_has(content, SLICE("\"type\":\"tool_use\"")) ? "tool_use" : "end_turn";
}

static void usage_make(text *out, const answer *a, int64_t output) {
    text_format(out,
                "{\"input_tokens\":%lld,\"cache_creation_input_tokens\":%lld,\"cache_read_input_tokens\":%lld,"
                "\"output_tokens\":%lld}",
                (long long)a->in, (long long)a->cache_write, (long long)a->cache_read, (long long)output);
}

static void message_head(text *out, const request *q) {
    slice model = json_member(q->body, "model");
    text_format(out, "{\"id\":\"msg_%06llu\",\"type\":\"message\",\"role\":\"assistant\",\"model\":",
                (unsigned long long)q->serial);
    text_slice(out, model.n ? model : SLICE("null"));
}

static void stop_make(text *out, const answer *a, slice content) {
    char buf[64];
    text_format(out, "\"stop_reason\":\"%s\",\"stop_sequence\":null,\"stop_details\":", stop_reason(a, content, buf));
    text_slice(out, a->details.p ? a->details : SLICE("null"));
}

/* ---- events ---- */

void body_part(body *b) {
    if (b->count == b->cap) b->ends = must_alloc(b->ends, (b->cap = b->cap * 2 + 16) * sizeof *b->ends);
    b->ends[b->count++] = b->bytes.n;
}

/* Begins an event; its data follows, up to event_end. False: it is not to be said. */
static bool event_begin(speaker *s, const char *name) {
    text *out = &s->out->bytes;
    if (s->over) return false;
    if (s->events++ == s->a->sse_error) {
        s->over = true;
        text_str(out, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":");
        text_quote(out, s->a->error.p ? s->a->error : SLICE("overloaded_error"));
        text_str(out, ",\"message\":");
        text_quote(out, s->a->message.p ? s->a->message : SLICE("Overloaded"));
        text_format(out, "},\"request_id\":\"req_%06llu\"}\n\n", (unsigned long long)s->serial);
        body_part(s->out);
        return false;
    }
    text_str(out, "event: ");
    text_str(out, name);
    text_str(out, "\ndata: {\"type\":\"");
    text_str(out, name);
    text_str(out, "\"");
    return true;
}

static void event_end(speaker *s) {
    text_str(&s->out->bytes, "}\n\n");
    body_part(s->out);
}

static void text_index(text *out, uint32_t index) {
    text_str(out, ",\"index\":");
    text_number(out, index);
}

static void delta(speaker *s, uint32_t index, const char *type, const char *member, slice piece) {
    if (!event_begin(s, "content_block_delta")) return;
    text *out = &s->out->bytes;
    text_index(out, index);
    text_str(out, ",\"delta\":{\"type\":\"");
    text_str(out, type);
    text_str(out, "\",\"");
    text_str(out, member);
    text_str(out, "\":\"");
    text_slice(out, piece);
    if (!s->spoilt && s->a->bad_utf8) text_str(out, "bad: \xff\xfe\xc3(");
    if (s->spoilt || !s->a->bad_json) text_str(out, "\"}");
    s->spoilt = true;
    event_end(s);
}

/* The end of a piece from `at` that is `want` long or a bit more: escapes and characters stay whole. */
static size_t cut(slice raw, size_t at, size_t want, bool blanks) {
    size_t end = at + want;
    while (end < raw.n && (blanks ? raw.p[end] != ' ' : (raw.p[end] & 0x80) != 0))
        end++;
    return end < raw.n ? end : raw.n;
}

static void deltas(speaker *s, uint32_t index, const char *type, const char *member, slice raw, bool escape) {
    size_t count = s->a->deltas > 0 ? (size_t)s->a->deltas : 1, each = raw.n / count + 1;
    text piece = {0};
    for (size_t at = 0; at < raw.n;) {
        size_t end = count == 1 ? raw.n : cut(raw, at, each, !escape);
        slice part = {raw.p + at, end - at};
        if (escape) {
            piece.n = 0;
            text_escape(&piece, part);
            part = text_view(&piece);
        }
        delta(s, index, type, member, part);
        at = end;
    }
    text_free(&piece);
}

static void block_start(speaker *s, uint32_t index, slice block) {
    if (!event_begin(s, "content_block_start")) return;
    text_index(&s->out->bytes, index);
    text_str(&s->out->bytes, ",\"content_block\":");
    text_slice(&s->out->bytes, block);
    event_end(s);
}

static void tool_start(speaker *s, uint32_t index, slice block, slice type) {
    text start = {0};
    slice id = json_member(block, "id"), name = json_member(block, "name");
    text_format(&start, "{\"type\":%.*s,\"id\":", (int)type.n, type.p);
    if (id.n)
        text_slice(&start, id);
    else
        text_format(&start, "\"toolu_%06llu_%u\"", (unsigned long long)s->serial, index);
    text_format(&start, ",\"name\":%.*s,\"input\":{}}", (int)name.n, name.p);
    block_start(s, index, text_view(&start));
    text_free(&start);
}

static void block_make(speaker *s, uint32_t index, slice block) {
    slice type = json_member(block, "type");
    if (slice_is(type, "\"text\"")) {
        block_start(s, index, SLICE("{\"type\":\"text\",\"text\":\"\"}"));
        deltas(s, index, "text_delta", "text", json_inside(json_member(block, "text")), false);
    } else if (slice_is(type, "\"thinking\"")) {
        block_start(s, index, SLICE("{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"));
        deltas(s, index, "thinking_delta", "thinking", json_inside(json_member(block, "thinking")), false);
        delta(s, index, "signature_delta", "signature", json_inside(json_member(block, "signature")));
    } else if (slice_is(type, "\"tool_use\"") || slice_is(type, "\"server_tool_use\"")) {
        tool_start(s, index, block, type);
        delta(s, index, "input_json_delta", "partial_json", SLICE(""));
        deltas(s, index, "input_json_delta", "partial_json", json_member(block, "input"), true);
    } else {
        block_start(s, index, block);
    }
    if (!event_begin(s, "content_block_stop")) return;
    text_index(&s->out->bytes, index);
    event_end(s);
}

static void stream_make(speaker *s, const request *q, slice content) {
    text *out = &s->out->bytes;
    if (event_begin(s, "message_start")) {
        text_str(out, ",\"message\":");
        message_head(out, q);
        text_str(out, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
        usage_make(out, s->a, 1);
        text_str(out, "}");
        event_end(s);
    }
    if (event_begin(s, "ping")) event_end(s);
    slice block;
    uint32_t index = 0;
    for (size_t at = 0; json_element(content, &at, &block); index++)
        block_make(s, index, block);
    if (event_begin(s, "message_delta")) {
        text_str(out, ",\"delta\":{");
        stop_make(out, s->a, content);
        text_str(out, "},\"usage\":");
        usage_make(out, s->a, s->a->out);
        event_end(s);
    }
    if (!s->a->no_stop && event_begin(s, "message_stop")) event_end(s);
}

void message_make(body *b, const answer *a, const request *q, bool stream) {
    text content = {0};
    content_make(&content, a, q);
    if (stream) {
        speaker s = {.out = b, .a = a, .serial = q->serial};
        stream_make(&s, q, text_view(&content));
    } else {
        message_head(&b->bytes, q);
        text_str(&b->bytes, ",\"content\":");
        text_slice(&b->bytes, text_view(&content));
        text_str(&b->bytes, ",");
        stop_make(&b->bytes, a, text_view(&content));
        text_str(&b->bytes, ",\"usage\":");
        usage_make(&b->bytes, a, a->out);
        text_str(&b->bytes, "}");
        body_part(b);
    }
    text_free(&content);
}
