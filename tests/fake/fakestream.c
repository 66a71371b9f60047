/* stream: a reply's JSON body as the stream of events that would have brought it. */
#include "fakestream.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct stream_out {
    char *text;
    size_t len, cap;
} stream_out;

static void stream_put(stream_out *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void stream_put(stream_out *o, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (o->len + (size_t)n + 1 > o->cap) {
        o->cap = (o->len + (size_t)n + 1) * 2;
        o->text = realloc(o->text, o->cap);
        if (!o->text) abort();
    }
    va_start(args, format);
    vsnprintf(o->text + o->len, (size_t)n + 1, format, args);
    va_end(args);
    o->len += (size_t)n;
}

/* Pieces of an escaped string that do not cut an escape. */
static size_t stream_piece(wf_str rest, size_t at_most) {
    size_t n = 0;
    while (n < rest.len && n < at_most)
        n += rest.ptr[n] != '\\' ? 1 : rest.ptr[n + 1] == 'u' ? 6 : 2;
    return n < rest.len ? n : rest.len;
}

static void stream_deltas(stream_out *o, uint32_t index, const char *type, const char *key, wf_str escaped) {
    for (size_t n = 0; escaped.len > 0; escaped = wf_str_of(escaped.ptr + n, escaped.len - n)) {
        n = stream_piece(escaped, 1 + o->len % 37);
        stream_put(o,
                   "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":%u,"
                   "\"delta\":{\"type\":\"%s\",\"%s\":\"%.*s\"}}\n\n",
                   index, type, key, (int)n, escaped.ptr);
    }
}

/* The input of a tool call, escaped as a string is. */
static void stream_input(stream_out *o, uint32_t index, wf_str input) {
    char *escaped = malloc(input.len * 6 + 2);
    wf_json_out out;
    if (!escaped) abort();
    wf_json_out_init(&out, escaped, input.len * 6 + 2);
    wf_json_str(&out, input);
    stream_deltas(o, index, "input_json_delta", "partial_json", wf_str_of(escaped + 1, out.len - 2));
    free(escaped);
}

static void stream_block(stream_out *o, uint32_t index, wf_str block) {
    wf_str type, text, id, name, input;
    if (!wf_json_member_str(block, WF_STR("type"), &type)) return;
    stream_put(o, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":%u,\"content_block\":",
               index);
    if (wf_json_equals(type, WF_STR("text")) && wf_json_member_str(block, WF_STR("text"), &text)) {
        stream_put(o, "{\"type\":\"text\",\"text\":\"\"}}\n\n");
        stream_deltas(o, index, "text_delta", "text", text);
    } else if (wf_json_equals(type, WF_STR("tool_use")) && wf_json_member_str(block, WF_STR("id"), &id) &&
               wf_json_member_str(block, WF_STR("name"), &name) && wf_json_member(block, WF_STR("input"), &input)) {
        stream_put(o, "{\"type\":\"tool_use\",\"id\":\"%.*s\",\"name\":\"%.*s\",\"input\":{}}}\n\n", (int)id.len,
                   id.ptr, (int)name.len, name.ptr);
        stream_input(o, index, input);
    } else {
        stream_put(o, "%.*s}\n\n", (int)block.len, block.ptr);
    }
    stream_put(o, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":%u}\n\n", index);
}

char *fake_stream(wf_str body, size_t *len) {
    wf_str content, reason, usage = WF_STR("{}");
    stream_out o = {0};
    if (!wf_json_member(body, WF_STR("content"), &content) || !wf_json_member(body, WF_STR("stop_reason"), &reason))
        return NULL;
    (void)wf_json_member(body, WF_STR("usage"), &usage);
    stream_put(
        &o,
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\","
        "\"role\":\"assistant\",\"content\":[],\"stop_reason\":null,\"usage\":%.*s}}\n\n",
        (int)usage.len, usage.ptr);
    wf_json j;
    wf_json_init(&j, content);
    wf_json_token t = wf_json_next(&j);
    for (uint32_t i = 0; (t = wf_json_next(&j)) == WF_JSON_OBJECT; i++) {
        wf_str block;
        if (wf_json_skip(&j, t, &block) != WF_OK) break;
        stream_block(&o, i, block);
    }
    stream_put(
        &o,
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":%.*s},\"usage\":%.*s}"
        "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        (int)reason.len, reason.ptr, (int)usage.len, usage.ptr);
    *len = o.len;
    return o.text;
}
