/* anthropic: the Anthropic Messages API as a codec (https://docs.anthropic.com/en/api/messages).
 *
 * A conversation is stored as items: our content blocks (user) and the model's content arrays (assistant), each the exact
 * JSON of the wire. Neighbouring blocks of ours share one user message; glue puts the messages' frames around them. */
#include "anthropic.h"
#include "known.h"

#define ANTHROPIC_BUDGET_LEAST 1024u /* the wire takes no smaller budget for thinking */

/* ---- requests ---- */

static void anthropic_pair(wf_json_out *o, wf_str key, wf_str value) {
    wf_json_key(o, key);
    wf_json_str(o, value);
}

/* The mark up to which the provider keeps what it has read. It is the last member of what it stands in. */
#define ANTHROPIC_MARK ",\"cache_control\":{\"type\":\"ephemeral\"}"
static void anthropic_mark(wf_json_out *o) {
    wf_json_key(o, WF_STR("cache_control"));
    wf_json_begin(o, true);
    anthropic_pair(o, WF_STR("type"), WF_STR("ephemeral"));
    wf_json_finish(o);
}

/* Tokens for the thinking of a model that wants a number, 0: it shall not think. Half of the reply stays for the answer. */
static uint32_t anthropic_budget(wf_str effort, uint32_t max_tokens) {
    static const struct {
        const char *effort;
        uint32_t tokens;
    } budgets[] = {{"medium", 4096}, {"high", 8192}, {"xhigh", 16384}, {"max", 32768}};
    uint32_t tokens = 0;
    for (size_t i = 0; i < WFI_COUNT(budgets); i++)
        if (wfi_str_eq(effort, wfi_str_z(budgets[i].effort))) tokens = budgets[i].tokens;
    if (tokens > max_tokens / 2) tokens = max_tokens / 2;
    return tokens < ANTHROPIC_BUDGET_LEAST ? 0 : tokens;
}

/* How hard the model shall think, in the words it understands. Answers which extras that took. */
static uint32_t anthropic_thinking(wf_json_out *o, wfi_thinking kind, wf_str effort, uint32_t max_tokens,
                                   uint32_t without) {
    uint32_t budget = kind == WFI_THINKING_MANUAL ? anthropic_budget(effort, max_tokens) : 0, extras = 0;
    bool adaptive = kind == WFI_THINKING_ADAPTIVE || kind == WFI_THINKING_ALWAYS;
    if (effort.len == 0) return 0;
    if ((adaptive || budget > 0) && !(without & WFI_EXTRA_THINKING)) {
        extras |= WFI_EXTRA_THINKING;
        wf_json_key(o, WF_STR("thinking"));
        wf_json_begin(o, true);
        anthropic_pair(o, WF_STR("type"), adaptive ? WF_STR("adaptive") : WF_STR("enabled"));
        if (budget > 0) wf_json_key(o, WF_STR("budget_tokens"));
        if (budget > 0) wf_json_u64(o, budget);
        wf_json_finish(o);
    }
    if (kind != WFI_THINKING_MANUAL && !(without & WFI_EXTRA_EFFORT)) {
        extras |= WFI_EXTRA_EFFORT;
        wf_json_key(o, WF_STR("output_config"));
        wf_json_begin(o, true);
        anthropic_pair(o, WF_STR("effort"), effort);
        wf_json_finish(o);
    }
    return extras;
}

static uint32_t anthropic_head(wf_json_out *o, const wfi_ask *ask) {
    wfi_model model = wfi_model_find(ask->model);
    uint32_t max_tokens = ask->max_tokens;
    if (model.max_output > 0 && max_tokens > model.max_output) max_tokens = model.max_output;
    wf_json_begin(o, true);
    anthropic_pair(o, WF_STR("model"), ask->model);
    wf_json_key(o, WF_STR("max_tokens"));
    wf_json_u64(o, max_tokens);
    if (ask->stream) {
        wf_json_key(o, WF_STR("stream"));
        wf_json_bool(o, true);
    }
    uint32_t extras = anthropic_thinking(o, model.thinking, ask->effort, max_tokens, ask->without);
    /* models that think refuse to be told which tool to call; unknown ones may, and then it is left out */
    bool thinks = model.thinking == WFI_THINKING_ALWAYS || (extras & WFI_EXTRA_THINKING);
    if (ask->force.len > 0 && !thinks && !(ask->without & WFI_EXTRA_FORCE)) {
        extras |= WFI_EXTRA_FORCE;
        wf_json_key(o, WF_STR("tool_choice"));
        wf_json_begin(o, true);
        anthropic_pair(o, WF_STR("type"), WF_STR("tool"));
        anthropic_pair(o, WF_STR("name"), ask->force);
        wf_json_finish(o);
    }
    if (ask->without & WFI_EXTRA_CACHE) return extras;
    anthropic_mark(o);
    return extras | WFI_EXTRA_CACHE;
}

/* The members of a request that servers may refuse, by the names that errors give them: the wire's own first. */
static const struct {
    const char *name;
    uint32_t extra;
} anthropic_extras[] = {{"cache_control", WFI_EXTRA_CACHE},
                        {"tool_choice", WFI_EXTRA_FORCE},
                        {"output_config", WFI_EXTRA_EFFORT},
                        {"effort", WFI_EXTRA_EFFORT},
                        {"thinking", WFI_EXTRA_THINKING}};

static const char *anthropic_extra(uint32_t extra) {
    size_t i = 0;
    while (anthropic_extras[i].extra != extra)
        i++;
    return anthropic_extras[i].name;
}

static wf_str anthropic_glue(wfi_joint from, wfi_joint to) {
    static const char *const glue[3][3] = {
        /* to:       edge      user                                assistant */
        /* edge */ {"]}", "{\"role\":\"user\",\"content\":[", "{\"role\":\"assistant\",\"content\":"},
        /* user */ {"]}]}", ",", "]},{\"role\":\"assistant\",\"content\":"},
        /* assistant */ {"}]}", "},{\"role\":\"user\",\"content\":[", "},{\"role\":\"assistant\",\"content\":"}};
    return wfi_str_z(glue[from][to]);
}

static void anthropic_system(wf_json_out *o, wf_str text) {
    wf_json_begin(o, false);
    wf_json_begin(o, true);
    anthropic_pair(o, WF_STR("type"), WF_STR("text"));
    anthropic_pair(o, WF_STR("text"), text);
    anthropic_mark(o);
    wf_json_finish(o);
    wf_json_finish(o);
}

static void anthropic_tool(wf_json_out *o, const wf_tool *tool, bool last) {
    wf_json_begin(o, true);
    anthropic_pair(o, WF_STR("name"), tool->name);
    anthropic_pair(o, WF_STR("description"), tool->description);
    wf_json_key(o, WF_STR("input_schema"));
    wf_json_raw(o, tool->input_schema);
    if (last) anthropic_mark(o);
    wf_json_finish(o);
}

/* The type is a family's name and a date; the tool's own name is the family's. */
static bool anthropic_server_tool(wf_json_out *o, wf_str type, bool last) {
    static const char *const families[] = {"web_search", "web_fetch", "code_execution", "tool_search_tool_regex",
                                           "tool_search_tool_bm25"};
    const size_t date = 8;
    uint64_t digits;
    if (type.len < date + 2 || !wfi_str_u64(wfi_str_cut(type, type.len - date, date), &digits)) return false;
    if (type.ptr[type.len - date - 1] != '_') return false;
    wf_str family = wfi_str_cut(type, 0, type.len - date - 1);
    for (size_t i = 0; i < WFI_COUNT(families); i++) {
        if (!wfi_str_eq(family, wfi_str_z(families[i]))) continue;
        wf_json_begin(o, true);
        anthropic_pair(o, WF_STR("type"), type);
        anthropic_pair(o, WF_STR("name"), family);
        if (last) anthropic_mark(o);
        wf_json_finish(o);
        return true;
    }
    return false;
}

static void anthropic_text_block(wf_json_out *o, wf_str text) {
    wf_json_begin(o, true);
    anthropic_pair(o, WF_STR("type"), WF_STR("text"));
    anthropic_pair(o, WF_STR("text"), text);
    wf_json_finish(o);
}

/* The id goes back exactly as it came, so it is not decoded. */
static void anthropic_result_block(wf_json_out *o, wf_str escaped_id, wf_str text, bool is_error) {
    wf_json_begin(o, true);
    anthropic_pair(o, WF_STR("type"), WF_STR("tool_result"));
    wf_json_key(o, WF_STR("tool_use_id"));
    wf_json_raw(o, wf_str_of(escaped_id.ptr - 1, escaped_id.len + 2)); /* with the quotes around it */
    anthropic_pair(o, WF_STR("content"), text);
    if (is_error) {
        wf_json_key(o, WF_STR("is_error"));
        wf_json_bool(o, true);
    }
    wf_json_finish(o);
}

/* ---- replies ---- */

/* Beside the API's own reasons, the words of others for two of them. Where nothing is said, or a word that is not known here, the
 * blocks decide: a call wants its answer, and a text is one. */
WFI wfi_stop wfi_anthropic_stop(wf_str escaped_reason) {
    static const struct {
        const char *name;
        wfi_stop stop;
    } stops[] = {{"end_turn", WFI_STOP_END},
                 {"stop_sequence", WFI_STOP_END},
                 {"tool_use", WFI_STOP_TOOL},
                 {"max_tokens", WFI_STOP_CUT},
                 {"length", WFI_STOP_CUT},
                 {"pause_turn", WFI_STOP_PAUSE},
                 {"refusal", WFI_STOP_REFUSED},
                 {"content_filter", WFI_STOP_REFUSED},
                 {"model_context_window_exceeded", WFI_STOP_CONTEXT}};
    for (size_t i = 0; i < WFI_COUNT(stops); i++)
        if (wf_json_equals(escaped_reason, wfi_str_z(stops[i].name))) return stops[i].stop;
    return WFI_STOP_END;
}

/* Billionths of a decimal number's text: "1.5e-3" is 1500000. False: not a number that fits. Rounded up, since it is money. */
static bool anthropic_nano(wf_str text, uint64_t *out) {
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

/* Numbers only: the wire has null for what it does not know. */
WFI void wfi_anthropic_usage(wf_str json, wf_usage *out, uint64_t *write_1h) {
    wf_json j;
    wf_str key, raw = wf_str_of("", 0);
    wf_json_init(&j, json);
    if (wf_json_next(&j) != WF_JSON_OBJECT) return;
    while (wf_json_next(&j) == WF_JSON_KEY) {
        key = j.raw;
        wf_json_token t = wf_json_next(&j);
        if (wf_json_skip(&j, t, &raw) != WF_OK) return;
        if (t == WF_JSON_OBJECT && wfi_str_eq(key, WF_STR("cache_creation")))
            (void)wf_json_member_u64(raw, WF_STR("ephemeral_1h_input_tokens"), write_1h);
        if (t != WF_JSON_NUMBER) continue;
        if (wfi_str_eq(key, WF_STR("input_tokens"))) wfi_str_u64(raw, &out->input);
        if (wfi_str_eq(key, WF_STR("output_tokens"))) wfi_str_u64(raw, &out->output);
        if (wfi_str_eq(key, WF_STR("cache_read_input_tokens"))) wfi_str_u64(raw, &out->cache_read);
        if (wfi_str_eq(key, WF_STR("cache_creation_input_tokens"))) wfi_str_u64(raw, &out->cache_write);
        if (wfi_str_eq(key, WF_STR("usd"))) anthropic_nano(raw, &out->nano_usd);
    }
}

WFI wf_str wfi_anthropic_details(wf_str json) {
    wf_str text = wf_str_of("", 0);
    if (!wf_json_member_str(json, WF_STR("explanation"), &text))
        (void)wf_json_member_str(json, WF_STR("category"), &text);
    return text;
}

/* A whole body; *out is zeroed. */
static bool anthropic_parse(wf_str body, wfi_reply *out) {
    wf_json j;
    wf_json_token t;
    wf_json_init(&j, body);
    if (wf_json_next(&j) != WF_JSON_OBJECT) return false;
    while ((t = wf_json_next(&j)) == WF_JSON_KEY) {
        wf_str key = j.raw, raw = wf_str_of("", 0);
        t = wf_json_next(&j);
        wf_str string = j.raw;
        if (wf_json_skip(&j, t, &raw) != WF_OK) return false;
        if (wfi_str_eq(key, WF_STR("content")) && t == WF_JSON_ARRAY) {
            out->content = raw;
        } else if (wfi_str_eq(key, WF_STR("stop_reason")) && t == WF_JSON_STRING) {
            out->reason = string;
            out->stop = wfi_anthropic_stop(string);
        } else if (wfi_str_eq(key, WF_STR("stop_details"))) {
            out->details = wfi_anthropic_details(raw);
        } else if (wfi_str_eq(key, WF_STR("usage"))) {
            wfi_anthropic_usage(raw, &out->usage, &out->write_1h);
        }
    }
    return t == WF_JSON_OBJECT_END && wf_json_next(&j) == WF_JSON_END && out->content.len > 0;
}

static void anthropic_reader_begin(wfi_reader *r, wfi_heap *heap, size_t max, bool stream) {
    wfi_zero(r, sizeof *r);
    r->heap = heap;
    r->max = max;
    r->stream = stream;
    r->why = "";
    if (stream) wfi_sse_begin(&r->sse, heap, max);
}

static wf_status anthropic_reader_feed(wfi_reader *r, const char *p, size_t n, size_t *used) {
    if (r->stream) return wfi_anthropic_stream_feed(r, p, n, used);
    wf_status s = wfi_buf_add(r->heap, &r->body, p, n, r->max);
    *used = s == WF_OK ? n : 0;
    return s;
}

static wf_status anthropic_reader_end(wfi_reader *r, bool clean, wfi_reply *out) {
    wfi_zero(out, sizeof *out);
    out->stop = WFI_STOP_END;
    if (r->stream) return wfi_anthropic_stream_end(r, clean, out);
    wf_str body = wf_str_of(r->body.ptr, r->body.len), error;
    if (anthropic_parse(body, out)) return WF_OK;
    if (wf_json_member(body, WF_STR("error"), &error)) r->error = body;
    if (r->error.len > 0) return WF_E_IO;
    r->why = "the reply is no message of this API";
    return WF_E_SYNTAX;
}

static void anthropic_reader_free(wfi_reader *r) {
    wfi_buf_free(r->heap, &r->body);
    wfi_buf_free(r->heap, &r->finish);
    wfi_anthropic_stream_free(r);
}

/* ---- faults ---- */

static bool anthropic_is_letter(wf_str text, size_t at) {
    char c = at < text.len ? (char)wfi_lower(text.ptr[at]) : ' ';
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* Whether a text holds a word by itself, as no part of a longer name. */
static bool anthropic_has_word(wf_str text, const char *word_z) {
    wf_str word = wfi_str_z(word_z);
    for (size_t at = 0, n; (n = wfi_find_name(wfi_str_cut(text, at, text.len), word)) < text.len - at; at += n + 1) {
        bool longer = at + n > 0 && anthropic_is_letter(text, at + n - 1);
        if (!longer && !anthropic_is_letter(text, at + n + word.len)) return true;
    }
    return false;
}

static bool anthropic_holds(wf_str text, const char *const *phrases) {
    for (; *phrases; phrases++)
        if (wfi_find_name(text, wfi_str_z(*phrases)) < text.len) return true;
    return false;
}

static uint32_t anthropic_status(wf_str escaped_type) {
    static const struct {
        const char *type;
        uint32_t status;
    } known[] = {{"invalid_request_error", 400}, {"authentication_error", 401}, {"billing_error", 402},
                 {"permission_error", 403},      {"not_found_error", 404},      {"conflict_error", 409},
                 {"request_too_large", 413},     {"rate_limit_error", 429},     {"api_error", 500},
                 {"timeout_error", 504},         {"overloaded_error", 529}};
    for (size_t i = 0; i < WFI_COUNT(known); i++)
        if (wf_json_equals(escaped_type, wfi_str_z(known[i].type))) return known[i].status;
    return 0;
}

/* What a refusal is about: extras by their names, or what only the user can change. Errors about a part of the
 * conversation name its blocks, which may be called as an extra is. */
static void anthropic_fault_names(wf_str text, wfi_fault *out) {
    static const char *const version[] = {"anthropic-version", "anthropic_version", "valid version",
                                          WFI_ANTHROPIC_VERSION, NULL};
    for (size_t i = 0; i < WFI_COUNT(anthropic_extras); i++)
        if (anthropic_has_word(text, anthropic_extras[i].name)) out->extras |= anthropic_extras[i].extra;
    if (out->spent || out->context || wfi_find_name(text, WF_STR("messages.")) < text.len) out->extras = 0;
    if (anthropic_holds(text, version))
        out->hint = "; WF_ANTHROPIC_VERSION sets another version of the API (2023-06-01 is the one before)";
    else if (wfi_find_name(text, WF_STR("anthropic-beta")) < text.len)
        out->hint = "; ANTHROPIC_BETAS is where these come from";
}

static void anthropic_fault(wf_str body, wfi_fault *out) {
    static const char *const spent[] = {"enforced_spend_limit_reached", "contract_spend_limit_reached",
                                        "ramp_limit_exceeded", NULL};
    /* these two come as requests that are invalid, with no code of their own */
    static const char *const no_money[] = {"credit balance is too low", "specified api usage limits", NULL};
    static const char *const too_large[] = {"request_too_large", "request_body_too_large_after_decoding", NULL};
    static const char *const too_long[] = {"prompt is too long", "exceed context limit", "context window", NULL};
    wf_str error, details;
    wfi_zero(out, sizeof *out);
    out->hint = "";
    if (!wf_json_member(body, WF_STR("error"), &error)) {
        anthropic_fault_names(body, out);
        return;
    }
    (void)wf_json_member_str(body, WF_STR("request_id"), &out->request_id);
    (void)wf_json_member_str(error, WF_STR("type"), &out->type);
    (void)wf_json_member_str(error, WF_STR("message"), &out->message);
    if (wf_json_member(error, WF_STR("details"), &details))
        (void)wf_json_member_str(details, WF_STR("error_code"), &out->code);
    out->status = anthropic_status(out->type);
    bool invalid = out->status == 400;
    out->spent = wfi_json_is_one_of(out->code, spent) || (invalid && anthropic_holds(out->message, no_money));
    out->context = wfi_json_is_one_of(out->type, too_large) || wfi_json_is_one_of(out->code, too_large) ||
                   (invalid && anthropic_holds(out->message, too_long));
    anthropic_fault_names(error, out);
}

/* ---- a reply's blocks ---- */

static wf_status anthropic_block(wf_json *j, wfi_block_view *out) {
    wf_str raw = wf_str_of("", 0), type = wf_str_of("", 0);
    wf_json_token t = wf_json_next(j);
    if (t == WF_JSON_ARRAY && j->depth == 1) t = wf_json_next(j); /* the content's own bracket */
    if (t == WF_JSON_ARRAY_END) return WF_END;
    if (wf_json_skip(j, t, &raw) != WF_OK || t != WF_JSON_OBJECT) return WF_E_SYNTAX;
    wfi_zero(out, sizeof *out);
    out->raw = raw;
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

/* The call becomes the body's only block. */
static bool anthropic_reader_rescue(wfi_reader *r, wf_str tool, wfi_reply *out) {
    wf_json j;
    wfi_block_view block;
    wfi_zero(out, sizeof *out);
    if (!r->stream || r->broken) return false;
    out->came = wfi_reader_bytes(r);
    wfi_anthropic_stream_rescue(r);
    wf_json_init(&j, wf_str_of(r->body.ptr, r->body.len));
    do
        if (anthropic_block(&j, &block) != WF_OK) return false;
    while (block.type != WFI_BLOCK_TOOL || !wf_json_equals(block.name, tool));
    wfi_move(r->body.ptr + 1, block.raw.ptr, block.raw.len);
    r->body.len = 1 + block.raw.len;
    if (wfi_buf_add(r->heap, &r->body, "]", 1, r->max) != WF_OK) return false;
    out->content = wf_str_of(r->body.ptr, r->body.len);
    out->stop = WFI_STOP_TOOL;
    out->reason = WF_STR("an error after the result");
    out->usage = r->usage;
    out->write_1h = r->write_1h;
    return true;
}

/* Copies JSON with U+FFFD in place of each half of a surrogate pair that lacks the other one: as many bytes. */
static size_t anthropic_copy_whole(wf_str raw, char *out, bool *differs) {
    if (out) wfi_copy(out, raw.ptr, raw.len);
    for (size_t pos = 0, start = 0; pos < raw.len; start = pos) {
        bool escape = raw.ptr[pos] == '\\';
        uint32_t c = escape ? wfi_json_char(raw, &pos) : 0;
        if (!escape) pos++;
        if (c != 0xFFFD || (raw.ptr[start + 2] | 0x20) != 'd') continue; /* it may well have been said */
        *differs = true;
        if (out) wfi_copy(out + start, "\\ufffd", 6);
    }
    return raw.len;
}

static size_t anthropic_resend(wf_str content, char *out, bool *differs) {
    wf_json j;
    wfi_block_view block;
    wf_str signature;
    wf_status s;
    size_t n = 1;
    *differs = false;
    wf_json_init(&j, content);
    while ((s = anthropic_block(&j, &block)) == WF_OK) {
        if (block.type == WFI_BLOCK_TEXT && wfi_json_blank(block.text)) { /* "text content blocks must be non-empty" */
            *differs = true;
            continue;
        }
        if (n > 1 && out) out[n] = ',';
        n += n > 1;
        char *to = out ? out + n : NULL;
        if (!wf_json_member_str(block.raw, WF_STR("signature"), &signature)) {
            n += anthropic_copy_whole(block.raw, to, differs);
            continue;
        }
        if (to) wfi_copy(to, block.raw.ptr, block.raw.len); /* it is signed as it stands */
        n += block.raw.len;
    }
    if (s != WF_END) { /* no such content: it is sent nowhere */
        *differs = false;
        return content.len;
    }
    if (out) {
        out[0] = '[';
        out[n] = ']';
    }
    return n + 1;
}

const wfi_codec *wfi_anthropic_codec(void) {
    static const wfi_codec codec = {
        .head = anthropic_head,
        .extra = anthropic_extra,
        .marked = {ANTHROPIC_MARK "}]", sizeof ANTHROPIC_MARK + 1},
        .unmarked = {"}]", 2},
        .before_system = {",\"system\":", 10},
        .before_tools = {",\"tools\":", 9},
        .before_items = {",\"messages\":[", 13},
        .glue = anthropic_glue,
        .system = anthropic_system,
        .tool = anthropic_tool,
        .server_tool = anthropic_server_tool,
        .text_block = anthropic_text_block,
        .result_block = anthropic_result_block,
        .reader_begin = anthropic_reader_begin,
        .reader_feed = anthropic_reader_feed,
        .reader_end = anthropic_reader_end,
        .reader_rescue = anthropic_reader_rescue,
        .reader_free = anthropic_reader_free,
        .fault = anthropic_fault,
        .block = anthropic_block,
        .resend = anthropic_resend,
    };
    return &codec;
}
