/* spec: see spec.h. */
#include "spec.h"
#include <string.h>

#define SPEC_STR(text) wf_str_of((text), strlen(text))

/* How the core wraps a schema that is no object's, for the tool `result` takes an object. */
#define SPEC_WRAP_HEAD "{\"type\":\"object\",\"properties\":{\"value\":"
#define SPEC_WRAP_TAIL "},\"required\":[\"value\"],\"additionalProperties\":false}"

/* ---- reading a request ---- */

static void spec_list(wf_json *j, wf_str array) {
    wf_json_init(j, array);
    wf_json_next(j);
}

/* The next item of a list. */
static bool spec_item(wf_json *j, wf_str *item) {
    return wf_json_skip(j, wf_json_next(j), item) == WF_OK;
}

static bool spec_is(wf_str object, const char *key, const char *value) {
    wf_str escaped;
    return wf_json_member_str(object, SPEC_STR(key), &escaped) && wf_json_equals(escaped, SPEC_STR(value));
}

static bool spec_unwrap(wf_str *schema) {
    const size_t head = strlen(SPEC_WRAP_HEAD), tail = strlen(SPEC_WRAP_TAIL);
    wf_str properties, value;
    if (!wf_json_member(*schema, WF_STR("properties"), &properties)) return false;
    if (!wf_json_member(properties, WF_STR("value"), &value) || schema->len != head + value.len + tail) return false;
    if (memcmp(schema->ptr, SPEC_WRAP_HEAD, head) != 0 || value.ptr != schema->ptr + head) return false;
    if (memcmp(value.ptr + value.len, SPEC_WRAP_TAIL, tail) != 0) return false;
    *schema = value;
    return true;
}

/* The schema of the answer, as its author wrote it; false: a text is asked for. */
static bool spec_schema(wf_str request, wf_str *schema, bool *wrapped) {
    wf_json j;
    wf_str tools, tool = wf_str_of("", 0);
    if (!wf_json_member(request, WF_STR("tools"), &tools)) return false;
    spec_list(&j, tools);
    while (spec_item(&j, &tool)) {
        if (!spec_is(tool, "name", "result") || !wf_json_member(tool, WF_STR("input_schema"), schema)) continue;
        *wrapped = spec_unwrap(schema);
        return true;
    }
    return false;
}

/* The text of one of our blocks, as a JSON string. */
static bool spec_block_text(wf_str block, wf_str *text) {
    wf_str escaped;
    bool result = spec_is(block, "type", "tool_result");
    if (!wf_json_member_str(block, result ? WF_STR("content") : WF_STR("text"), &escaped)) return false;
    *text = wf_str_of(escaped.ptr - 1, escaped.len + 2);
    return true;
}

/* ---- writing the spec ---- */

static void spec_put_number(wf_json_out *o, const char *key, uint64_t n) {
    wf_json_key(o, SPEC_STR(key));
    wf_json_u64(o, n);
}

/* The text of the first block in a list, as a member. */
static void spec_put_first(wf_json_out *o, const char *key, wf_str blocks) {
    wf_json j;
    wf_str block = wf_str_of("", 0), text;
    spec_list(&j, blocks);
    if (!spec_item(&j, &block) || !spec_block_text(block, &text)) return;
    wf_json_key(o, SPEC_STR(key));
    wf_json_raw(o, text);
}

static void spec_put_feedback(wf_json_out *o, wf_str blocks) {
    wf_json j;
    wf_str block = wf_str_of("", 0), text;
    wf_json_key(o, WF_STR("feedback"));
    wf_json_begin(o, false);
    spec_list(&j, blocks);
    while (spec_item(&j, &block))
        if (spec_block_text(block, &text)) wf_json_raw(o, text);
    wf_json_finish(o);
}

/* The first message is the prompt; of a conversation that went on, the last one says why. */
static void spec_put_messages(wf_json_out *o, wf_str request) {
    wf_json j;
    wf_str messages, message = wf_str_of("", 0), content = wf_str_of("", 0);
    uint32_t count = 0;
    if (!wf_json_member(request, WF_STR("messages"), &messages)) return;
    spec_list(&j, messages);
    while (spec_item(&j, &message)) {
        if (!wf_json_member(message, WF_STR("content"), &content)) return;
        if (count++ == 0) spec_put_first(o, "prompt", content);
    }
    if (count > 1 && spec_is(message, "role", "user")) spec_put_feedback(o, content);
}

/* What the agent may use, by name; `result` is no tool of a program. */
static void spec_put_tools(wf_json_out *o, wf_str request) {
    wf_json j;
    wf_str tools, tool = wf_str_of("", 0), name;
    wf_json_key(o, WF_STR("tools"));
    wf_json_begin(o, false);
    if (wf_json_member(request, WF_STR("tools"), &tools)) {
        spec_list(&j, tools);
        while (spec_item(&j, &tool))
            if (!spec_is(tool, "name", "result") && wf_json_member(tool, WF_STR("name"), &name)) wf_json_raw(o, name);
    }
    wf_json_finish(o);
}

WFI void wfi_spec_put(wf_json_out *o, wf_str request, const wfi_spec_place *place) {
    wf_str system, schema;
    bool wrapped;
    wf_json_begin(o, true);
    spec_put_number(o, "version", 1);
    spec_put_messages(o, request);
    if (wf_json_member(request, WF_STR("system"), &system)) spec_put_first(o, "system", system);
    if (spec_schema(request, &schema, &wrapped)) {
        wf_json_key(o, WF_STR("schema"));
        wf_json_raw(o, schema);
    }
    spec_put_tools(o, request);
    wf_json_key(o, WF_STR("root"));
    wf_json_str(o, SPEC_STR(place->root));
    wf_json_key(o, WF_STR("limits"));
    wf_json_begin(o, true);
    if (place->deadline_ms != UINT64_MAX) spec_put_number(o, "deadline_ms", place->deadline_ms);
    spec_put_number(o, "output_bytes", place->output_bytes);
    wf_json_finish(o);
    wf_json_finish(o);
}

/* ---- reading an answer ---- */

static bool spec_is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool spec_is_json(wf_str text) {
    wf_json j;
    wf_json_token t;
    wf_json_init(&j, text);
    do
        t = wf_json_next(&j);
    while (t != WF_JSON_END && t != WF_JSON_ERROR);
    return t == WF_JSON_END;
}

/* What a member of an answer makes of it; NOTHING: it is no member of an answer. */
static wfi_said spec_said(wf_str key, wf_json_token t) {
    if (wf_json_equals(key, WF_STR("result"))) return WFI_SAID_RESULT;
    if (wf_json_equals(key, WF_STR("text")) && t == WF_JSON_STRING) return WFI_SAID_TEXT;
    if (wf_json_equals(key, WF_STR("error")) && t == WF_JSON_OBJECT) return WFI_SAID_ERROR;
    return WFI_SAID_NOTHING;
}

/* An object of the members named, and no others, with exactly one of the three that matter. */
static bool spec_read_object(wf_str text, wfi_spoken *a) {
    wf_json j;
    wf_json_token t;
    uint32_t count = 0;
    wf_json_init(&j, text);
    if (wf_json_next(&j) != WF_JSON_OBJECT) return false;
    while ((t = wf_json_next(&j)) == WF_JSON_KEY) {
        wf_str key = j.raw, value = wf_str_of("", 0);
        t = wf_json_next(&j);
        if (wf_json_skip(&j, t, &value) != WF_OK) return false;
        wfi_said said = spec_said(key, t);
        if (wf_json_equals(key, WF_STR("usage"))) {
            a->usage = value;
        } else if (said != WFI_SAID_NOTHING) {
            a->said = said;
            a->value = value;
            count++;
        } else if (!wf_json_equals(key, WF_STR("turns"))) {
            return false;
        }
    }
    return t == WF_JSON_OBJECT_END && wf_json_next(&j) == WF_JSON_END && count == 1;
}

WFI wfi_spoken wfi_spec_answer(wf_str printed) {
    wfi_spoken none = {.said = WFI_SAID_NOTHING}, a = none;
    while (printed.len > 0 && spec_is_space(printed.ptr[printed.len - 1]))
        printed.len--;
    while (printed.len > 0 && spec_is_space(printed.ptr[0]))
        printed = wf_str_of(printed.ptr + 1, printed.len - 1);
    if (printed.len == 0 || spec_read_object(printed, &a)) return a;
    a = none;
    a.said = WFI_SAID_PLAIN;
    a.value = printed;
    return a;
}

/* ---- writing the reply ---- */

static void spec_put_pair(wf_json_out *o, const char *key, const char *value) {
    wf_json_key(o, SPEC_STR(key));
    wf_json_str(o, SPEC_STR(value));
}

static void spec_put_text(wf_json_out *o, const wfi_spoken *a) {
    bool string = a->value.len > 0 && a->value.ptr[0] == '"' && a->said != WFI_SAID_PLAIN;
    spec_put_pair(o, "type", "text");
    wf_json_key(o, WF_STR("text"));
    if (string)
        wf_json_raw(o, a->value);
    else
        wf_json_str(o, a->value);
}

static void spec_put_result(wf_json_out *o, const wfi_spoken *a, bool wrapped) {
    spec_put_pair(o, "type", "tool_use");
    spec_put_pair(o, "id", "exec");
    spec_put_pair(o, "name", "result");
    wf_json_key(o, WF_STR("input"));
    if (wrapped) wf_json_begin(o, true);
    if (wrapped) wf_json_key(o, WF_STR("value"));
    if (a->said != WFI_SAID_PLAIN || spec_is_json(a->value))
        wf_json_raw(o, a->value);
    else
        wf_json_str(o, a->value);
    if (wrapped) wf_json_finish(o);
}

static void spec_put_refusal(wf_json_out *o, wf_str error) {
    wf_str message;
    spec_put_pair(o, "stop_reason", "refusal");
    if (!wf_json_member_str(error, WF_STR("message"), &message)) return;
    wf_json_key(o, WF_STR("stop_details"));
    wf_json_begin(o, true);
    wf_json_key(o, WF_STR("explanation"));
    wf_json_raw(o, wf_str_of(message.ptr - 1, message.len + 2));
    wf_json_finish(o);
}

WFI void wfi_spec_reply(wf_json_out *o, wf_str request, const wfi_spoken *a) {
    wf_str schema;
    bool wrapped = false, result = spec_schema(request, &schema, &wrapped), error = a->said == WFI_SAID_ERROR;
    wf_json_begin(o, true);
    spec_put_pair(o, "role", "assistant");
    wf_json_key(o, WF_STR("content"));
    wf_json_begin(o, false);
    if (!error) {
        wf_json_begin(o, true);
        if (result)
            spec_put_result(o, a, wrapped);
        else
            spec_put_text(o, a);
        wf_json_finish(o);
    }
    if (a->beside.len > 0) {
        wf_json_begin(o, true);
        spec_put_pair(o, "type", "stderr");
        wf_json_key(o, WF_STR("text"));
        wf_json_str(o, a->beside);
        wf_json_finish(o);
    }
    wf_json_finish(o);
    if (error)
        spec_put_refusal(o, a->value);
    else
        spec_put_pair(o, "stop_reason", result ? "tool_use" : "end_turn");
    if (a->usage.len > 0) {
        wf_json_key(o, WF_STR("usage"));
        wf_json_raw(o, a->usage);
    }
    wf_json_finish(o);
}
