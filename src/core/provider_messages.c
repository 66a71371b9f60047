/* provider_messages: the Anthropic Messages API as a codec (https://docs.anthropic.com/en/api/messages).
 *
 * A conversation is stored as items: our content blocks (user) and the model's content arrays (assistant), each the exact
 * JSON of the wire. Neighbouring blocks of ours share one user message; glue puts the messages' frames around them. */
#include "provider.h"

static void messages_head(wf_json_out *o, const wfi_ask *ask) {
    wf_json_begin(o, true);
    wf_json_key(o, WF_STR("model"));
    wf_json_str(o, ask->model);
    wf_json_key(o, WF_STR("max_tokens"));
    wf_json_u64(o, ask->max_tokens);
    if (ask->effort.len > 0) {
        wf_json_key(o, WF_STR("output_config"));
        wf_json_begin(o, true);
        wf_json_key(o, WF_STR("effort"));
        wf_json_str(o, ask->effort);
        wf_json_finish(o);
    }
}

static wf_str messages_glue(wfi_joint from, wfi_joint to) {
    static const char *const glue[3][3] = {
        /* to:       edge      user                                assistant */
        /* edge */ {"]}", "{\"role\":\"user\",\"content\":[", "{\"role\":\"assistant\",\"content\":"},
        /* user */ {"]}]}", ",", "]},{\"role\":\"assistant\",\"content\":"},
        /* assistant */ {"}]}", "},{\"role\":\"user\",\"content\":[", "},{\"role\":\"assistant\",\"content\":"}};
    return wfi_str_z(glue[from][to]);
}

static void messages_system(wf_json_out *o, wf_str text) {
    wf_json_str(o, text);
}

static void messages_tool(wf_json_out *o, const wf_tool *tool, bool last) {
    (void)last;
    wf_json_begin(o, true);
    wf_json_key(o, WF_STR("name"));
    wf_json_str(o, tool->name);
    wf_json_key(o, WF_STR("description"));
    wf_json_str(o, tool->description);
    wf_json_key(o, WF_STR("input_schema"));
    wf_json_raw(o, tool->input_schema);
    wf_json_finish(o);
}

static void messages_text_block(wf_json_out *o, wf_str text) {
    wf_json_begin(o, true);
    wf_json_key(o, WF_STR("type"));
    wf_json_str(o, WF_STR("text"));
    wf_json_key(o, WF_STR("text"));
    wf_json_str(o, text);
    wf_json_finish(o);
}

/* The id goes back exactly as it came, so it is not decoded. */
static void messages_result_block(wf_json_out *o, wf_str escaped_id, wf_str text, bool is_error) {
    wf_json_begin(o, true);
    wf_json_key(o, WF_STR("type"));
    wf_json_str(o, WF_STR("tool_result"));
    wf_json_key(o, WF_STR("tool_use_id"));
    wf_json_raw(o, wf_str_of(escaped_id.ptr - 1, escaped_id.len + 2)); /* with the quotes around it */
    wf_json_key(o, WF_STR("content"));
    wf_json_str(o, text);
    if (is_error) {
        wf_json_key(o, WF_STR("is_error"));
        wf_json_bool(o, true);
    }
    wf_json_finish(o);
}

static wfi_stop messages_stop(wf_str reason) {
    static const struct {
        const char *name;
        wfi_stop stop;
    } stops[] = {{"end_turn", WFI_STOP_END},
                 {"stop_sequence", WFI_STOP_END},
                 {"tool_use", WFI_STOP_TOOL},
                 {"max_tokens", WFI_STOP_CUT},
                 {"pause_turn", WFI_STOP_PAUSE},
                 {"refusal", WFI_STOP_REFUSED},
                 {"model_context_window_exceeded", WFI_STOP_CONTEXT}};
    for (size_t i = 0; i < WFI_COUNT(stops); i++)
        if (wf_json_equals(reason, wfi_str_z(stops[i].name))) return stops[i].stop;
    return WFI_STOP_OTHER;
}

/* Billionths of a decimal number's text: "1.5e-3" is 1500000. False: not a number that fits. Rounded up, since it is money. */
static bool messages_nano(wf_str text, uint64_t *out) {
    uint64_t digits = 0, exponent = 0;
    int64_t scale = 9;
    bool point = false, lost = false, negative;
    size_t i = 0;
    for (; i < text.len && text.ptr[i] != 'e' && text.ptr[i] != 'E'; i++) {
        char c = text.ptr[i];
        if (c == '.') {
            point = true;
            continue;
        }
        if (c < '0' || c > '9') return false;
        if (digits > UINT64_MAX / 100) {
            if (!point) return false;
            lost |= c != '0';
            continue;
        }
        digits = digits * 10 + (uint64_t)(c - '0');
        scale -= point;
    }
    if (i < text.len) {
        wf_str rest = wfi_str_cut(text, i + 1, text.len);
        negative = rest.len > 0 && rest.ptr[0] == '-';
        if (rest.len > 0 && (rest.ptr[0] == '-' || rest.ptr[0] == '+')) rest = wfi_str_cut(rest, 1, rest.len);
        if (!wfi_str_u64(rest, &exponent) || exponent > 1000) return false;
        scale += negative ? -(int64_t)exponent : (int64_t)exponent;
    }
    for (; scale > 0 && digits > 0; scale--) {
        if (digits > UINT64_MAX / 10) return false;
        digits *= 10;
    }
    for (; scale < 0 && digits > 0; scale++) {
        lost |= digits % 10 != 0;
        digits /= 10;
    }
    *out = digits + lost;
    return true;
}

static void messages_usage(wf_str usage, wf_usage *out) {
    wf_json j;
    wf_str key, raw;
    wfi_zero(out, sizeof *out);
    wf_json_init(&j, usage);
    if (wf_json_next(&j) != WF_JSON_OBJECT) return;
    while (wf_json_next(&j) == WF_JSON_KEY) {
        key = j.raw;
        wf_json_token t = wf_json_next(&j);
        if (wf_json_skip(&j, t, &raw) != WF_OK) return;
        if (t != WF_JSON_NUMBER) continue;
        if (wfi_str_eq(key, WF_STR("input_tokens"))) wfi_str_u64(raw, &out->input);
        if (wfi_str_eq(key, WF_STR("output_tokens"))) wfi_str_u64(raw, &out->output);
        if (wfi_str_eq(key, WF_STR("cache_read_input_tokens"))) wfi_str_u64(raw, &out->cache_read);
        if (wfi_str_eq(key, WF_STR("cache_creation_input_tokens"))) wfi_str_u64(raw, &out->cache_write);
        if (wfi_str_eq(key, WF_STR("usd"))) messages_nano(raw, &out->nano_usd);
    }
}

/* ---- the reader ---- */

static void messages_reader_begin(wfi_reader *r, wfi_heap *heap, size_t max, bool stream) {
    wfi_zero(r, sizeof *r);
    r->heap = heap;
    r->max = max;
    r->stream = stream;
    r->why = "";
}

static wf_status messages_reader_feed(wfi_reader *r, const char *p, size_t n, size_t *used) {
    wf_status s = wfi_buf_add(r->heap, &r->body, p, n, r->max);
    *used = s == WF_OK ? n : 0;
    return s;
}

static void messages_reader_free(wfi_reader *r) {
    wfi_buf_free(r->heap, &r->body);
}

static wf_status messages_parse(wf_str body, wfi_reply *out) {
    wf_json j;
    bool has_content = false;
    wfi_zero(out, sizeof *out);
    out->stop = WFI_STOP_OTHER;
    wf_json_init(&j, body);
    if (wf_json_next(&j) != WF_JSON_OBJECT) return WF_E_SYNTAX;
    wf_json_token t;
    while ((t = wf_json_next(&j)) == WF_JSON_KEY) {
        wf_str key = j.raw, raw;
        t = wf_json_next(&j);
        wf_str string = j.raw;
        if (wf_json_skip(&j, t, &raw) != WF_OK) return WF_E_SYNTAX;
        if (wfi_str_eq(key, WF_STR("content")) && t == WF_JSON_ARRAY) {
            out->content = raw;
            has_content = true;
        } else if (wfi_str_eq(key, WF_STR("stop_reason")) && t == WF_JSON_STRING) {
            out->reason = string;
            out->stop = messages_stop(string);
        } else if (wfi_str_eq(key, WF_STR("usage"))) {
            messages_usage(raw, &out->usage);
        }
    }
    if (t != WF_JSON_OBJECT_END || wf_json_next(&j) != WF_JSON_END || !has_content) return WF_E_SYNTAX;
    return WF_OK;
}

static wf_status messages_reader_end(wfi_reader *r, wfi_reply *out) {
    wf_status s = messages_parse(wf_str_of(r->body.ptr, r->body.len), out);
    if (s != WF_OK) r->why = "the reply is no message of this API";
    return s;
}

static void messages_fault(wf_str body, wfi_fault *out) {
    static const char *const spent[] = {"enforced_spend_limit_reached", "contract_spend_limit_reached",
                                        "ramp_limit_exceeded"};
    wf_str error, details, code;
    wfi_zero(out, sizeof *out);
    if (!wf_json_member(body, WF_STR("error"), &error)) return;
    (void)wf_json_member_str(error, WF_STR("message"), &out->message);
    if (!wf_json_member(error, WF_STR("details"), &details)) return;
    if (!wf_json_member_str(details, WF_STR("error_code"), &code)) return;
    for (size_t i = 0; i < WFI_COUNT(spent); i++)
        out->spent |= wf_json_equals(code, wfi_str_z(spent[i]));
}

static bool messages_server_tool(wf_json_out *o, wf_str type, bool last) {
    (void)o;
    (void)type;
    (void)last;
    return false;
}

static wf_status messages_block(wf_json *j, wfi_block_view *out) {
    wf_str raw, type = wf_str_of("", 0);
    wf_json_token t = wf_json_next(j);
    if (t == WF_JSON_ARRAY && j->depth == 1) t = wf_json_next(j); /* the content's own bracket */
    if (t == WF_JSON_ARRAY_END) return WF_END;
    if (wf_json_skip(j, t, &raw) != WF_OK || t != WF_JSON_OBJECT) return WF_E_SYNTAX;
    wfi_zero(out, sizeof *out);
    out->type = WFI_BLOCK_OTHER;
    (void)wf_json_member_str(raw, WF_STR("type"), &type);
    if (wfi_str_eq(type, WF_STR("text"))) {
        if (!wf_json_member_str(raw, WF_STR("text"), &out->text)) return WF_E_SYNTAX;
        out->type = WFI_BLOCK_TEXT;
    } else if (wfi_str_eq(type, WF_STR("tool_use"))) {
        if (!wf_json_member_str(raw, WF_STR("id"), &out->id) || !wf_json_member_str(raw, WF_STR("name"), &out->name) ||
            !wf_json_member(raw, WF_STR("input"), &out->input))
            return WF_E_SYNTAX;
        out->type = WFI_BLOCK_TOOL;
    }
    return WF_OK;
}

const wfi_codec *wfi_messages_codec(void) {
    static const wfi_codec codec = {
        .head = messages_head,
        .before_system = {",\"system\":", 10},
        .before_tools = {",\"tools\":", 9},
        .before_items = {",\"messages\":[", 13},
        .glue = messages_glue,
        .system = messages_system,
        .tool = messages_tool,
        .server_tool = messages_server_tool,
        .text_block = messages_text_block,
        .result_block = messages_result_block,
        .reader_begin = messages_reader_begin,
        .reader_feed = messages_reader_feed,
        .reader_end = messages_reader_end,
        .reader_free = messages_reader_free,
        .fault = messages_fault,
        .block = messages_block,
    };
    return &codec;
}
