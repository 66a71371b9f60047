/* request: see request.h. The pieces of a body, by number:
 *
 *   0 head   1 2 3 before_system system end   4 5 6 before_tools tools end   7 before_items   8+2i 9+2i glue item   8+2n glue
 *
 * The end of a text is its own in the log, or another one, without the mark for the provider's cache. */
#include "request.h"

#define REQUEST_FIRST_ITEM 8u

static const char request_wrap_head[] = "{\"type\":\"object\",\"properties\":{\"value\":";
static const char request_wrap_tail[] = "},\"required\":[\"value\"],\"additionalProperties\":false}";

bool wfi_schema_is_object(wf_str schema) {
    static const char *const more[] = {"anyOf", "oneOf", "allOf", "not", "if", "$ref", "enum", "const"};
    wf_str type, value;
    for (size_t i = 0; i < WFI_COUNT(more); i++) /* providers take these anywhere but at the top of a tool's input */
        if (wf_json_member(schema, wfi_str_z(more[i]), &value)) return false;
    return wf_json_member_str(schema, WF_STR("type"), &type) && wfi_str_eq(type, WF_STR("object"));
}

wf_status wfi_request_text(wfi_runtime *rt, void (*render)(wf_json_out *, wf_str), wf_str text, uint64_t *at) {
    wf_json_out o;
    wf_json_out_init(&o, NULL, 0);
    render(&o, text);
    size_t cap = o.len;
    char *buf = wfi_heap_alloc(&rt->heap, cap);
    if (!buf) return WF_E_MEMORY;
    wf_json_out_init(&o, buf, cap);
    render(&o, text);
    wf_status s = wf_json_ok(&o) ? wfi_runtime_text(rt, wf_str_of(buf, o.len), at) : WF_E_INTERNAL;
    wfi_heap_free(&rt->heap, buf);
    return s;
}

/* ---- tools ---- */

static bool request_lists(wf_str names, wf_str name) {
    while (names.len > 0) {
        size_t n = wfi_str_find(names, ',');
        if (wfi_str_eq(wfi_str_cut(names, 0, n), name)) return true;
        names = wfi_str_cut(names, n + 1, names.len);
    }
    return false;
}

static const wf_tool *request_tool(const wf_config *config, wf_str name) {
    for (uint32_t i = 0; i < config->tool_count; i++)
        if (wfi_str_eq(config->tools[i].name, name)) return &config->tools[i];
    return NULL;
}

static bool request_is_server_tool(const wfi_codec *codec, wf_str type) {
    wf_json_out o;
    wf_json_out_init(&o, NULL, 0);
    return codec->server_tool(&o, type, false);
}

static wf_status request_check_names(const wf_config *config, const wfi_codec *codec, wf_str names, wf_str *unknown) {
    if (wfi_str_eq(names, WF_STR("none"))) return WF_OK;
    while (names.len > 0) {
        size_t n = wfi_str_find(names, ',');
        *unknown = wfi_str_cut(names, 0, n);
        if (!request_tool(config, *unknown) && !request_is_server_tool(codec, *unknown)) return WF_E_NOT_FOUND;
        names = wfi_str_cut(names, n + 1, names.len);
    }
    return WF_OK;
}

/* Tools of the config in its order, then the provider's own in the order they were named, then the result tool. */
static void request_put_tools(const wf_config *config, const wfi_codec *codec, wf_json_out *o, wf_str names,
                              wf_str result_schema) {
    uint32_t left = result_schema.len > 0; /* how many are to come: the last one has the mark */
    for (uint32_t i = 0; i < config->tool_count; i++)
        left += names.len == 0 || request_lists(names, config->tools[i].name);
    for (wf_str rest = names; rest.len > 0; rest = wfi_str_cut(rest, wfi_str_find(rest, ',') + 1, rest.len))
        left += request_is_server_tool(codec, wfi_str_cut(rest, 0, wfi_str_find(rest, ',')));
    wf_json_begin(o, false);
    for (uint32_t i = 0; i < config->tool_count; i++)
        if (names.len == 0 || request_lists(names, config->tools[i].name))
            codec->tool(o, &config->tools[i], --left == 0);
    for (wf_str rest = names; rest.len > 0; rest = wfi_str_cut(rest, wfi_str_find(rest, ',') + 1, rest.len))
        left -= codec->server_tool(o, wfi_str_cut(rest, 0, wfi_str_find(rest, ',')), left == 1);
    if (result_schema.len > 0) {
        wf_tool result = {.name = WF_STR("result"),
                          .description = WF_STR("Hand in the final answer. Call it once, when the work is done."),
                          .input_schema = result_schema};
        codec->tool(o, &result, true);
    }
    wf_json_finish(o);
}

static size_t request_copy(char *out, size_t n, wf_str s) {
    if (out) wfi_copy(out + n, s.ptr, s.len);
    return n + s.len;
}

/* "#" or "#/..." */
static bool request_is_local(wf_str ref) {
    wf_str next = wfi_str_cut(ref, 1, 1);
    return ref.len > 0 && ref.ptr[0] == '#' && (next.len == 0 || next.ptr[0] == '/' || next.ptr[0] == '\\');
}

/* A schema as it stands inside of the wrapper: its local $refs, which count from the top, lead through it. What is
 * a keyword and what a name, what a schema and what a value, depends on where it stands. out NULL: counts. */
static size_t request_move_refs(wf_str schema, char *out) {
    static const char *const of_schemas[] = {"properties", "$defs", "definitions", "patternProperties", NULL};
    static const char *const of_values[] = {"enum", "examples", "const", "default", NULL};
    bool names[WF_JSON_DEPTH + 1] = {false}; /* by depth: the keys there are names */
    wf_json j;
    wf_json_token t;
    size_t n = 0, from = 0;
    wf_json_init(&j, schema);
    while ((t = wf_json_next(&j)) != WF_JSON_END && t != WF_JSON_ERROR) {
        if (t == WF_JSON_OBJECT) names[j.depth] = false;
        if (t != WF_JSON_KEY || names[j.depth]) continue;
        wf_str key = j.raw;
        t = wf_json_next(&j);
        if (t == WF_JSON_OBJECT) names[j.depth] = wfi_json_is_one_of(key, of_schemas);
        if (wfi_json_is_one_of(key, of_values)) (void)wf_json_skip(&j, t, NULL);
        if (t != WF_JSON_STRING || !wf_json_equals(key, WF_STR("$ref")) || !request_is_local(j.raw)) continue;
        size_t end = (size_t)(j.raw.ptr - schema.ptr) + 1;
        n = request_copy(out, n, wfi_str_cut(schema, from, end - from));
        n = request_copy(out, n, WF_STR("/properties/value"));
        from = end;
    }
    return request_copy(out, n, wfi_str_cut(schema, from, schema.len));
}

/* The result tool takes the answer as its input, which the wire wants to be an object. */
static wf_status request_result_schema(wfi_runtime *rt, wf_str schema, char **buf, wf_str *out) {
    *buf = NULL;
    *out = schema;
    if (schema.len == 0 || wfi_schema_is_object(schema)) return WF_OK;
    size_t head = sizeof request_wrap_head - 1, tail = sizeof request_wrap_tail - 1;
    size_t len = request_move_refs(schema, NULL);
    if (!(*buf = wfi_heap_alloc(&rt->heap, head + len + tail))) return WF_E_MEMORY;
    wfi_copy(*buf, request_wrap_head, head);
    (void)request_move_refs(schema, *buf + head);
    wfi_copy(*buf + head + len, request_wrap_tail, tail);
    *out = wf_str_of(*buf, head + len + tail);
    return WF_OK;
}

wf_status wfi_request_tools(wfi_runtime *rt, const wfi_codec *codec, wf_str names, wf_str schema, uint64_t *at,
                            wf_str *unknown) {
    wf_json_out o;
    wf_str result;
    char *wrapper, *buf;
    *at = 0;
    wf_status s = request_check_names(&rt->config, codec, names, unknown);
    if (s != WF_OK) return s;
    if ((s = request_result_schema(rt, schema, &wrapper, &result)) != WF_OK) return s;
    wf_json_out_init(&o, NULL, 0);
    request_put_tools(&rt->config, codec, &o, names, result);
    size_t cap = o.len;
    if (cap > 2) { /* more than [] */
        buf = wfi_heap_alloc(&rt->heap, cap);
        wf_json_out_init(&o, buf, buf ? cap : 0);
        request_put_tools(&rt->config, codec, &o, names, result);
        s = buf ? wfi_runtime_text(rt, wf_str_of(buf, cap), at) : WF_E_MEMORY;
        wfi_heap_free(&rt->heap, buf);
    }
    wfi_heap_free(&rt->heap, wrapper);
    return s;
}

wf_status wfi_request_offers(wfi_runtime *rt, const wfi_log_rec *tools, wf_str name, bool *out) {
    char *text;
    wf_json j;
    *out = false;
    if (tools->offset == 0) return WF_OK;
    wf_status s = wfi_runtime_payload(rt, tools, 0, &text);
    if (s != WF_OK) return s;
    wf_json_init(&j, wf_str_of(text, tools->payload_len));
    wf_json_token t = wf_json_next(&j);
    while ((t = wf_json_next(&j)) == WF_JSON_OBJECT) {
        wf_str tool = wf_str_of("", 0), offered;
        if (wf_json_skip(&j, t, &tool) != WF_OK) break;
        if (wf_json_member_str(tool, WF_STR("name"), &offered) && wf_json_equals(offered, name)) *out = true;
    }
    wfi_heap_free(&rt->heap, text);
    return WF_OK;
}

/* ---- the body ---- */

typedef struct request_piece {
    wf_str text; /* in memory, or */
    uint64_t at; /* in the log, if not 0 */
    uint64_t len;
} request_piece;

static request_piece request_of_text(wf_str text) {
    request_piece p = {text, 0, text.len};
    return p;
}

static request_piece request_of_log(uint64_t at, uint64_t len) {
    request_piece p = {{NULL, 0}, at, len};
    return p;
}

/* A text of the log whose mark may have to be left out. */
static request_piece request_of_marked(const wfi_task *t, const wfi_log_rec *rec, bool end) {
    bool cut = (t->without & WFI_EXTRA_CACHE) && rec->payload_len >= t->codec->marked.len;
    if (end) return request_of_text(cut ? t->codec->unmarked : wf_str_of("", 0));
    return request_of_log(rec->payload, rec->payload_len - (cut ? t->codec->marked.len : 0));
}

static wfi_joint request_joint(const wfi_task *t, uint32_t item) {
    if (item >= t->item_count) return WFI_JOINT_EDGE;
    return t->items[item].turn ? WFI_JOINT_ASSISTANT : WFI_JOINT_USER;
}

/* What stands between an item, or the end, and the last one before it that is sent. */
static wf_str request_glue(const wfi_task *t, uint32_t item) {
    uint32_t before = item;
    if (item < t->item_count && t->items[item].len == 0) return wf_str_of("", 0);
    while (before > 0 && t->items[before - 1].len == 0)
        before--;
    return t->codec->glue(before == 0 ? WFI_JOINT_EDGE : request_joint(t, before - 1), request_joint(t, item));
}

/* Piece number n; false: there is none. */
static bool request_piece_get(const wfi_task *t, uint32_t n, request_piece *out) {
    const wf_str none = {"", 0};
    bool system = t->system.offset != 0, tools = t->tools.offset != 0;
    switch (n) {
    case 0:
        *out = request_of_text(wf_str_of(t->head, t->head_len));
        return true;
    case 1:
        *out = request_of_text(system ? t->codec->before_system : none);
        return true;
    case 2:
    case 3:
        *out = request_of_marked(t, &t->system, n == 3);
        return true;
    case 4:
        *out = request_of_text(tools ? t->codec->before_tools : none);
        return true;
    case 5:
    case 6:
        *out = request_of_marked(t, &t->tools, n == 6);
        return true;
    case 7:
        *out = request_of_text(t->codec->before_items);
        return true;
    default:
        break;
    }
    uint32_t item = (n - REQUEST_FIRST_ITEM) / 2;
    if ((n - REQUEST_FIRST_ITEM) % 2 == 0) {
        if (item > t->item_count) return false;
        *out = request_of_text(request_glue(t, item));
        return true;
    }
    if (item >= t->item_count) return false;
    *out = request_of_log(t->items[item].at, t->items[item].len);
    return true;
}

uint64_t wfi_request_begin(const wfi_runtime *rt, wfi_task *t) {
    wf_json_out o;
    request_piece p;
    uint64_t len = 0;
    t->without = wfi_runtime_without(rt, t->call.model) | t->given_up;
    wfi_ask ask = {.model = t->model,
                   .effort = t->call.effort,
                   .max_tokens = wfi_task_max_tokens(t),
                   .stream = t->provider->stream,
                   .force = t->nudges > 0 && t->schema.len > 0 ? WF_STR("result") : wf_str_of("", 0),
                   .without = t->without};
    wf_json_out_init(&o, t->head, sizeof t->head);
    t->extras = t->codec->head(&o, &ask);
    if (o.len > sizeof t->head) return 0;
    t->head_len = o.len;
    t->piece = 0;
    t->piece_pos = 0;
    for (uint32_t n = 0; request_piece_get(t, n, &p); n++)
        len += p.len;
    return len;
}

wf_status wfi_request_next(wfi_runtime *rt, const wfi_task *t, wf_str *out) {
    request_piece p;
    uint64_t skip = t->piece_pos;
    size_t fill = 0;
    wf_status s = WF_OK;
    for (uint32_t n = t->piece; s == WF_OK && fill < WFI_SCRATCH && request_piece_get(t, n, &p); n++, skip = 0) {
        uint64_t left = p.len - skip;
        size_t room = WFI_SCRATCH - fill, take = left < room ? (size_t)left : room;
        if (p.at != 0)
            s = wfi_log_read(&rt->log, p.at + skip, rt->scratch + fill, take);
        else if (take > 0)
            wfi_copy(rt->scratch + fill, p.text.ptr + skip, take);
        fill += take;
    }
    *out = wf_str_of((const char *)rt->scratch, fill);
    return s;
}

void wfi_request_sent(wfi_task *t, size_t n) {
    request_piece p;
    while (n > 0 && request_piece_get(t, t->piece, &p)) {
        uint64_t left = p.len - t->piece_pos;
        if (n < left) {
            t->piece_pos += n;
            return;
        }
        n -= (size_t)left;
        t->piece++;
        t->piece_pos = 0;
    }
}
