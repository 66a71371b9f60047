/* reply: see reply.h. */
#include "wire_reply.h"

#include <stdio.h>
#include <stdlib.h>

#define REPLY_HEAP (4u << 20)
#define REPLY_MAX  (1u << 20)

/* One heap for all: what a reader leaves behind in it would show in the next. */
static wfi_heap *reply_heap(void) {
    static wfi_heap heap;
    static void *memory;
    if (!memory) {
        memory = malloc(REPLY_HEAP);
        if (!memory || wfi_heap_init(&heap, memory, REPLY_HEAP) != WF_OK) abort();
    }
    if (heap.used != 0) abort();
    return &heap;
}

/* The next piece of n bytes, of which `at` are gone. */
static size_t reply_piece(size_t at, size_t n, size_t first) {
    if (first == REPLY_BY_BYTES) return 1;
    return at < first && first < n ? first - at : n - at;
}

static wf_status reply_feed(const wfi_codec *codec, wfi_reader *r, wf_str body, size_t first, reply *out) {
    for (size_t at = 0; at < body.len;) {
        size_t n = reply_piece(at, body.len, first), used = 0;
        wf_status s = codec->reader_feed(r, body.ptr + at, n, &used);
        if (r->event.len > 0) text_say(&out->events, "%.*s\n", (int)r->event.len, r->event.ptr);
        if (s != WF_OK) return s;
        if (used == 0 || used > n) abort();
        at += used;
    }
    return WF_OK;
}

void reply_read(bool stream, wf_str body, size_t first, reply *out) {
    const wfi_codec *codec = wfi_anthropic_codec();
    wfi_reader r;
    *out = (reply){0};
    text_add(&out->events, WF_STR(""));
    codec->reader_begin(&r, reply_heap(), REPLY_MAX, stream);
    wf_status s = reply_feed(codec, &r, body, first, out);
    if (s == WF_E_IO) text_add(&out->error, r.error);
    if (s == WF_OK) {
        s = codec->reader_end(&r, true, &out->value);
        out->cut = s == WF_E_SYNTAX;
    }
    if (s == WF_OK) {
        text_add(&out->content, out->value.content);
        text_add(&out->reason, out->value.reason);
        text_add(&out->details, out->value.details);
        out->value.content = text_str(&out->content);
        out->value.reason = text_str(&out->reason);
        out->value.details = text_str(&out->details);
    }
    out->why = s == WF_E_SYNTAX ? r.why : "";
    out->status = s;
    codec->reader_free(&r);
}

void reply_free(reply *r) {
    text *const all[] = {&r->content, &r->reason, &r->details, &r->events, &r->error};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        text_free(all[i]);
}

static bool reply_same(const reply *a, const reply *b) {
    const wf_usage *u = &a->value.usage, *v = &b->value.usage;
    return a->status == b->status && a->value.stop == b->value.stop && a->value.write_1h == b->value.write_1h &&
           u->input == v->input && u->output == v->output && u->cache_read == v->cache_read &&
           u->cache_write == v->cache_write && wfi_str_eq(text_str(&a->content), text_str(&b->content)) &&
           wfi_str_eq(text_str(&a->reason), text_str(&b->reason)) &&
           wfi_str_eq(text_str(&a->details), text_str(&b->details)) &&
           wfi_str_eq(text_str(&a->events), text_str(&b->events)) &&
           wfi_str_eq(text_str(&a->error), text_str(&b->error));
}

void reply_splits(bool stream, wf_str body, text *where) {
    reply whole, other;
    reply_read(stream, body, REPLY_WHOLE, &whole);
    for (size_t first = 1; first <= body.len && where->len == 0; first++) {
        bool bytes = first == body.len;
        reply_read(stream, body, bytes ? REPLY_BY_BYTES : first, &other);
        if (!reply_same(&whole, &other)) {
            if (bytes)
                text_say(where, "read byte by byte, the reply is another");
            else
                text_say(where, "cut at %zu, the reply is another", first);
        }
        reply_free(&other);
    }
    reply_free(&whole);
}

void reply_events(wf_str input, size_t first, text *out) {
    wfi_sse s;
    wfi_sse_begin(&s, reply_heap(), REPLY_MAX);
    for (size_t at = 0; at < input.len;) {
        size_t n = reply_piece(at, input.len, first), used = 0;
        wf_status status = wfi_sse_read(&s, input.ptr + at, n, &used);
        if (status < 0 || used > n || (used == 0 && status == WF_AGAIN)) abort();
        at += used;
        if (status != WF_OK) continue;
        text_add(out, s.named ? s.event : WF_STR("-"));
        text_add(out, WF_STR("\n"));
        text_add(out, s.data);
        text_add(out, WF_STR("\n\n"));
    }
    wfi_sse_free(&s);
}
