/* anthropic_stream: a reply of the Messages API that comes as events (https://docs.anthropic.com/en/docs/build-with-claude/streaming).
 *
 * The content grows as the exact JSON that goes back on the wire. A block's members are copied as they come in
 * content_block_start, whatever they are; only those that deltas fill are put last, where they can grow: the main one at the end
 * of the block's text, a second one in its side until it stops. Pieces of strings are appended as they are, still escaped, so an
 * escape for half a character finds its other half in the next piece. A tool call's input, JSON in pieces of a string, is decoded
 * and judged when its block stops.
 *
 * Servers and gateways differ from the vendor's API, and a reply that is whole in substance is taken (docs/COMPAT.md):
 * - An event without a name has the one that its data's "type" says. Whatever comes first begins the message.
 * - An index is the name of an open block, no place: blocks stand in the order of their start, and any number may be open.
 *   One that begins with the name of an open block ends that one; a stop of a block that is not open is passed over.
 * - A stream is complete with message_stop; or when it ends after a message_delta with a stop reason, however it ends; or
 *   after one without, if it ends cleanly. What is still open then is closed.
 *
 * Unknown events, blocks, deltas and members are no error: the API may get new ones at any time. A delta for a block that is not
 * open is one, since then something was lost.
 *
 * Invariants:
 *   1. body is empty, or "[" and complete blocks with commas between them: all that came before r->blocks.
 *   2. r->blocks begins with an open block, or is empty.
 *   3. A block's text is one byte for what goes before it in body, then the block: if its kind has a main member and it is open,
 *      without its closing brace and with that member's value, complete in itself, at text[main..]; else complete.
 *   4. side is empty or, but for a tool call's input, the complete value of the kind's second member. */
#include "anthropic.h"

#define ANTHROPIC_BLOCKS_MAX 256u /* that wait for an open one */

/* What a kind of block gets from deltas. */
typedef struct stream_kind {
    const char *type;
    wf_str main, side;   /* members; empty: none */
    const char *missing; /* value of main if the start has none */
} stream_kind;

enum { STREAM_TEXT, STREAM_THINKING, STREAM_COMPACTION, STREAM_TOOL, STREAM_OTHER };

static const stream_kind stream_kinds[] = {
    [STREAM_TEXT] = {"text", {"text", 4}, {"citations", 9}, "\"\""},
    [STREAM_THINKING] = {"thinking", {"thinking", 8}, {"signature", 9}, "\"\""},
    [STREAM_COMPACTION] = {"compaction", {"content", 7}, {"encrypted_content", 17}, "null"},
    [STREAM_TOOL] = {"tool_use", {"input", 5}, {"", 0}, "{}"},
    [STREAM_OTHER] = {"", {"", 0}, {"", 0}, ""},
};

/* The members of events that matter: those of the event itself, one of them also of its message, then those of its delta. */
typedef enum stream_member {
    STREAM_INDEX,
    STREAM_MESSAGE,
    STREAM_CONTENT_BLOCK,
    STREAM_USAGE,
    STREAM_D_TYPE,
    STREAM_D_TEXT,
    STREAM_D_THINKING,
    STREAM_D_SIGNATURE,
    STREAM_D_PARTIAL_JSON,
    STREAM_D_CITATION,
    STREAM_D_CONTENT,
    STREAM_D_ENCRYPTED,
    STREAM_D_STOP_REASON,
    STREAM_D_STOP_DETAILS,
    STREAM_MEMBERS
} stream_member;

static const wf_str stream_names[STREAM_MEMBERS] = {{"index", 5},        {"message", 7},      {"content_block", 13},
                                                    {"usage", 5},        {"type", 4},         {"text", 4},
                                                    {"thinking", 8},     {"signature", 9},    {"partial_json", 12},
                                                    {"citation", 8},     {"content", 7},      {"encrypted_content", 17},
                                                    {"stop_reason", 11}, {"stop_details", 12}};

/* Raw JSON values; empty: not there. */
typedef struct stream_event {
    wf_str member[STREAM_MEMBERS];
} stream_event;

static wf_status stream_wrong(wfi_reader *r, const char *why) {
    r->why = why;
    return WF_E_SYNTAX;
}

/* Where in an event: which of the members above may stand there, [from, to). */
typedef struct stream_level {
    wf_str name;
    size_t from, to;
} stream_level;

static const stream_level stream_levels[] = {{{"", 0}, 0, STREAM_D_TYPE},
                                             {{"delta", 5}, STREAM_D_TYPE, STREAM_MEMBERS},
                                             {{"message", 7}, STREAM_USAGE, STREAM_USAGE + 1}};

static void stream_note(stream_event *ev, const stream_level *level, wf_str key, wf_str value) {
    for (size_t i = level->from; i < level->to; i++)
        if (wfi_str_eq(key, stream_names[i])) ev->member[i] = value;
}

/* One pass over the data; false: it is no JSON object. Of a message there is only how it begins. */
static bool stream_scan(wf_str data, stream_event *ev) {
    wf_json j;
    wf_str value;
    const stream_level *level = stream_levels;
    wfi_zero(ev, sizeof *ev);
    wf_json_init(&j, data);
    if (wf_json_next(&j) != WF_JSON_OBJECT) return false;
    while (j.depth > 0) {
        wf_json_token t = wf_json_next(&j);
        if (t == WF_JSON_OBJECT_END) {
            level = stream_levels;
            continue;
        }
        if (t != WF_JSON_KEY) return false;
        wf_str key = j.raw;
        t = wf_json_next(&j);
        value = j.raw;
        const stream_level *inner = level;
        for (size_t i = 1; i < WFI_COUNT(stream_levels) && j.depth == 2 && t == WF_JSON_OBJECT; i++)
            if (wfi_str_eq(key, stream_levels[i].name)) inner = &stream_levels[i];
        if (inner == level && wf_json_skip(&j, t, &value) != WF_OK) return false;
        stream_note(ev, level, key, value);
        level = inner;
    }
    return wf_json_next(&j) == WF_JSON_END;
}

/* A member that is a string, still escaped. */
static bool stream_string(const stream_event *ev, stream_member m, wf_str *out) {
    wf_str raw = ev->member[m];
    if (raw.len == 0 || raw.ptr[0] != '"') return false;
    *out = wf_str_of(raw.ptr + 1, raw.len - 2);
    return true;
}

/* ---- text that grows ---- */

static wf_status stream_put(wfi_reader *r, wfi_buf *b, wf_str text) {
    return wfi_buf_add(r->heap, b, text.ptr, text.len, r->max);
}

static wf_status stream_put_all(wfi_reader *r, wfi_buf *b, const wf_str *texts, size_t n) {
    wf_status s = WF_OK;
    for (size_t i = 0; i < n && s == WF_OK; i++)
        s = stream_put(r, b, texts[i]);
    return s;
}

static bool stream_ends_with(const wfi_buf *b, size_t from, const char *end) {
    wf_str e = wfi_str_z(end);
    return b->len - from >= e.len && wfi_compare(b->ptr + b->len - e.len, e.ptr, e.len) == 0;
}

/* The value b[from..) is a string, null or nothing: appends a piece to it. */
static wf_status stream_append(wfi_reader *r, wfi_buf *b, size_t from, wf_str piece) {
    bool string = b->len > from && b->ptr[from] == '"';
    if (string)
        b->len--;
    else if (b->len > from && !stream_ends_with(b, from, "null"))
        return stream_wrong(r, "a delta of a string came for a member that is none");
    else
        b->len = from;
    const wf_str texts[] = {wf_str_of("\"", string ? 0 : 1), piece, WF_STR("\"")};
    return stream_put_all(r, b, texts, WFI_COUNT(texts));
}

/* The value in b is an array, null or nothing: appends an item to it. */
static wf_status stream_append_item(wfi_reader *r, wfi_buf *b, wf_str item) {
    bool array = b->len > 0 && b->ptr[0] == '[';
    if (!array && b->len > 0 && !stream_ends_with(b, 0, "null"))
        return stream_wrong(r, "a citation came for a member that is no array");
    if (array)
        b->len--;
    else
        b->len = 0;
    while (b->len > 0 && (uint8_t)b->ptr[b->len - 1] <= ' ')
        b->len--;
    const wf_str texts[] = {b->len > 1 ? WF_STR(",") : wf_str_of("[", b->len == 0), item, WF_STR("]")};
    return stream_put_all(r, b, texts, WFI_COUNT(texts));
}

/* ---- blocks ---- */

/* Tools that the API runs have types of their own, tool_use at the end: server_tool_use, mcp_tool_use. */
static uint32_t stream_kind_of(wf_str block) {
    const size_t tool = 8;
    wf_str type;
    if (!wf_json_member_str(block, WF_STR("type"), &type)) return STREAM_OTHER;
    for (uint32_t i = 0; i < STREAM_OTHER; i++)
        if (wfi_str_eq(type, wfi_str_z(stream_kinds[i].type))) return i;
    if (type.len > tool && wfi_str_eq(wfi_str_cut(type, type.len - tool, tool), WF_STR("tool_use"))) return STREAM_TOOL;
    return STREAM_OTHER;
}

/* Copies a block that deltas may fill, up to and with the value of its main member. */
static wf_status stream_copy(wfi_reader *r, wfi_reader_block *b, wf_str block) {
    const stream_kind *kind = &stream_kinds[b->kind];
    wf_str value = wf_str_of("", 0), main = wfi_str_z(kind->missing), side = value, comma = value;
    wf_json j;
    wf_json_init(&j, block);
    (void)wf_json_next(&j);
    wf_status s = stream_put(r, &b->text, WF_STR("{"));
    while (s == WF_OK && wf_json_next(&j) == WF_JSON_KEY) {
        wf_str key = j.raw;
        if ((s = wf_json_skip(&j, wf_json_next(&j), &value)) != WF_OK) break;
        if (wfi_str_eq(key, kind->main)) {
            main = value;
        } else if (kind->side.len > 0 && wfi_str_eq(key, kind->side)) {
            side = value;
        } else {
            const char *from = key.ptr - 1; /* with its quote */
            const wf_str texts[] = {comma, wf_str_of(from, (size_t)(value.ptr + value.len - from))};
            s = stream_put_all(r, &b->text, texts, WFI_COUNT(texts));
            comma = WF_STR(",");
        }
    }
    const wf_str texts[] = {comma, WF_STR("\""), kind->main, WF_STR("\":")};
    if (s == WF_OK) s = stream_put_all(r, &b->text, texts, WFI_COUNT(texts));
    b->main = b->text.len;
    if (s == WF_OK) s = stream_put(r, &b->text, main);
    if (s == WF_OK) s = stream_put(r, &b->side, side);
    return s;
}

/* The open block that an event is for; NULL: there is none. An event that names none is for the youngest. */
static wfi_reader_block *stream_find(const wfi_reader *r, const stream_event *ev) {
    uint64_t index = 0;
    bool named = wfi_str_u64(ev->member[STREAM_INDEX], &index);
    wfi_reader_block *found = NULL;
    for (wfi_reader_block *b = r->blocks; b; b = b->next)
        if (b->open && (!named || b->index == index)) found = b;
    return found;
}

/* Puts the pieces of a tool call's input, if any came, in the place of what the block began with. */
static wf_status stream_close_input(wfi_reader *r, wfi_reader_block *b) {
    wf_json j;
    wf_json_token t;
    if (b->side.len == 0) return WF_OK;
    b->text.len = b->main;
    wf_status s = wfi_buf_reserve(r->heap, &b->text, b->side.len, r->max);
    if (s != WF_OK) return s;
    char *input = b->text.ptr + b->main;
    size_t len = wf_json_unescape(wf_str_of(b->side.ptr, b->side.len), input);
    wf_json_init(&j, wf_str_of(input, len));
    t = wf_json_next(&j);
    bool good = t == WF_JSON_OBJECT;
    while (good && t != WF_JSON_END) { /* also where it will stand: in a block of the content of a body */
        t = wf_json_next(&j);
        good = t != WF_JSON_ERROR && j.depth <= WF_JSON_DEPTH - 3;
    }
    if (good) b->text.len += len;
    r->broken |= !good;
    return good ? WF_OK : stream_put(r, &b->text, WF_STR("{}"));
}

static wf_status stream_close(wfi_reader *r, wfi_reader_block *b) {
    const stream_kind *kind = &stream_kinds[b->kind];
    wf_status s = WF_OK;
    if (b->kind == STREAM_TOOL) {
        s = stream_close_input(r, b);
    } else if (b->side.len > 0) {
        const wf_str texts[] = {WF_STR(",\""), kind->side, WF_STR("\":"), wf_str_of(b->side.ptr, b->side.len)};
        s = stream_put_all(r, &b->text, texts, WFI_COUNT(texts));
    }
    wfi_buf_free(r->heap, &b->side);
    b->open = false;
    return s == WF_OK && b->kind != STREAM_OTHER ? stream_put(r, &b->text, WF_STR("}")) : s;
}

/* Takes the first block off the list. */
static void stream_drop(wfi_reader *r) {
    wfi_reader_block *b = r->blocks;
    r->blocks = b->next;
    r->block_count--;
    wfi_buf_free(r->heap, &b->text);
    wfi_buf_free(r->heap, &b->side);
    wfi_heap_free(r->heap, b);
}

/* Moves the blocks into the body before which none is open. */
static wf_status stream_settle(wfi_reader *r) {
    wf_status s = WF_OK;
    while (s == WF_OK && r->blocks && !r->blocks->open) {
        wfi_buf *text = &r->blocks->text;
        if (r->body.len == 0) {
            wfi_buf_free(r->heap, &r->body);
            r->body = *text; /* begins with "[" */
            *text = (wfi_buf){0};
        } else {
            text->ptr[0] = ',';
            s = stream_put(r, &r->body, wf_str_of(text->ptr, text->len));
        }
        stream_drop(r);
    }
    return s;
}

static wfi_reader_block *stream_add(wfi_reader *r, uint64_t index, uint32_t kind) {
    wfi_reader_block **end = &r->blocks, *b = wfi_heap_alloc(r->heap, sizeof *b);
    if (!b) return NULL;
    while (*end)
        end = &(*end)->next;
    *b = (wfi_reader_block){.index = index, .kind = kind, .open = true};
    *end = b;
    r->block_count++;
    return b;
}

static wf_status stream_block_start(wfi_reader *r, const stream_event *ev) {
    uint64_t index = 0;
    bool named = wfi_str_u64(ev->member[STREAM_INDEX], &index);
    wfi_reader_block *old = named ? stream_find(r, ev) : NULL;
    wf_str block = ev->member[STREAM_CONTENT_BLOCK];
    wf_status s = old ? stream_close(r, old) : WF_OK;
    if (s == WF_OK) s = stream_settle(r);
    if (s != WF_OK) return s;
    if (block.len == 0) block = WF_STR("{\"type\":\"text\"}");
    if (block.ptr[0] != '{') return stream_wrong(r, "a content block is no object");
    if (r->block_count == ANTHROPIC_BLOCKS_MAX) return stream_wrong(r, "too many content blocks wait for an open one");
    wfi_reader_block *b = stream_add(r, index, stream_kind_of(block));
    s = b ? stream_put(r, &b->text, WF_STR("[")) : WF_E_MEMORY;
    if (s != WF_OK) return s;
    return b->kind == STREAM_OTHER ? stream_put(r, &b->text, block) : stream_copy(r, b, block);
}

/* What each type of delta does, by the member it brings. */
static wf_status stream_apply(wfi_reader *r, wfi_reader_block *b, stream_member m, wf_str text, wf_str raw) {
    switch (m) {
    case STREAM_D_TEXT:
    case STREAM_D_THINKING:
    case STREAM_D_CONTENT:
        return stream_append(r, &b->text, b->main, text);
    case STREAM_D_SIGNATURE: /* comes whole */
        b->side.len = 0;
        return stream_put(r, &b->side, raw);
    case STREAM_D_PARTIAL_JSON: /* joined while still escaped */
        return stream_put(r, &b->side, text);
    case STREAM_D_CITATION:
        return stream_append_item(r, &b->side, raw);
    default:
        return stream_append(r, &b->side, 0, text);
    }
}

static wf_status stream_delta(wfi_reader *r, const stream_event *ev) {
    static const struct {
        wf_str type;
        uint32_t kind;
        stream_member member;
    } deltas[] = {{{"text_delta", 10}, STREAM_TEXT, STREAM_D_TEXT},
                  {{"input_json_delta", 16}, STREAM_TOOL, STREAM_D_PARTIAL_JSON},
                  {{"thinking_delta", 14}, STREAM_THINKING, STREAM_D_THINKING},
                  {{"signature_delta", 15}, STREAM_THINKING, STREAM_D_SIGNATURE},
                  {{"citations_delta", 15}, STREAM_TEXT, STREAM_D_CITATION},
                  {{"compaction_delta", 16}, STREAM_COMPACTION, STREAM_D_CONTENT},
                  {{"compaction_delta", 16}, STREAM_COMPACTION, STREAM_D_ENCRYPTED}};
    wf_str type, text = wf_str_of("", 0);
    wf_status s = WF_OK;
    wfi_reader_block *b = stream_find(r, ev);
    if (!b) return stream_wrong(r, "a delta came for a block that is not under way");
    bool typed = stream_string(ev, STREAM_D_TYPE, &type); /* else its member tells */
    for (size_t i = 0; i < WFI_COUNT(deltas) && s == WF_OK && b->kind != STREAM_OTHER; i++) {
        wf_str raw = ev->member[deltas[i].member];
        if (typed && !wfi_str_eq(type, deltas[i].type)) continue;
        if (typed && deltas[i].kind != b->kind) return stream_wrong(r, "a delta does not fit the type of its block");
        if (deltas[i].kind != b->kind || raw.len == 0 || wfi_str_eq(raw, WF_STR("null"))) continue;
        if (!stream_string(ev, deltas[i].member, &text) && deltas[i].member != STREAM_D_CITATION)
            return stream_wrong(r, "a delta brings no string");
        s = stream_apply(r, b, deltas[i].member, text, raw);
    }
    return s;
}

static wf_status stream_block_stop(wfi_reader *r, const stream_event *ev) {
    wfi_reader_block *b = stream_find(r, ev);
    wf_status s = b ? stream_close(r, b) : WF_OK;
    return s == WF_OK ? stream_settle(r) : s;
}

/* ---- the message ---- */

static wf_status stream_start(wfi_reader *r, const stream_event *ev) {
    if (r->started) return stream_wrong(r, "a second message began in the stream");
    r->started = true;
    wfi_anthropic_usage(ev->member[STREAM_USAGE], &r->usage, &r->write_1h);
    return WF_OK;
}

/* Numbers are running totals of the whole message. The last reason that is said counts. */
static wf_status stream_message_delta(wfi_reader *r, const stream_event *ev) {
    wf_str reason;
    r->told = true;
    wfi_anthropic_usage(ev->member[STREAM_USAGE], &r->usage, &r->write_1h);
    if (!stream_string(ev, STREAM_D_STOP_REASON, &reason)) return WF_OK;
    const wf_str texts[] = {reason, wfi_anthropic_details(ev->member[STREAM_D_STOP_DETAILS])};
    r->finish.len = 0;
    r->reason_len = reason.len;
    return stream_put_all(r, &r->finish, texts, WFI_COUNT(texts));
}

static wf_str stream_reason(const wfi_reader *r) {
    return r->reason_len > 0 ? wf_str_of(r->finish.ptr, r->reason_len) : wf_str_of("", 0);
}

/* The message is over: closes what is open. */
static wf_status stream_complete(wfi_reader *r) {
    wfi_stop stop = wfi_anthropic_stop(stream_reason(r));
    wf_status s = WF_OK;
    for (wfi_reader_block *b = r->blocks; b && s == WF_OK; b = b->next)
        if (b->open) s = stream_close(r, b);
    if (s == WF_OK) s = stream_settle(r);
    if (s == WF_OK && r->body.len == 0) s = stream_put(r, &r->body, WF_STR("["));
    if (s == WF_OK) s = stream_put(r, &r->body, WF_STR("]"));
    if (s != WF_OK) return s;
    if (r->broken && stop != WFI_STOP_CUT && stop != WFI_STOP_CONTEXT && stop != WFI_STOP_REFUSED)
        return stream_wrong(r, "a tool call's input is no JSON object, or nested too deeply");
    r->complete = true;
    return WF_OK;
}

static wf_status stream_stop(wfi_reader *r, const stream_event *ev) {
    (void)ev;
    if (!r->started && !r->told && !r->blocks && r->body.len == 0) return stream_wrong(r, "the stream has no message");
    return stream_complete(r);
}

/* ---- events ---- */

/* "TYPE" or "TYPE:DELTA TYPE" */
static void stream_name(wfi_reader *r, wf_str type, wf_str delta) {
    size_t n = type.len; /* at most WFI_SSE_NAME_MAX */
    wfi_copy(r->event_buf, type.ptr, n);
    if (delta.len > 0) {
        r->event_buf[n++] = ':';
        delta = wfi_utf8_clip(delta, sizeof r->event_buf - n);
        wfi_copy(r->event_buf + n, delta.ptr, delta.len);
        n += delta.len;
    }
    r->event = wf_str_of(r->event_buf, n);
}

typedef struct stream_type {
    wf_str name;
    wf_status (*act)(wfi_reader *r, const stream_event *ev);
} stream_type;

static const stream_type stream_types[] = {
    {{"content_block_delta", 19}, stream_delta},     {{"content_block_start", 19}, stream_block_start},
    {{"content_block_stop", 18}, stream_block_stop}, {{"message_start", 13}, stream_start},
    {{"message_delta", 13}, stream_message_delta},   {{"message_stop", 12}, stream_stop}};

static const stream_type *stream_known(wf_str name) {
    for (size_t i = 0; i < WFI_COUNT(stream_types); i++)
        if (wfi_str_eq(name, stream_types[i].name)) return &stream_types[i];
    return NULL;
}

/* What an event is: its own name, if that is known here, else what its data says. */
static wf_str stream_type_of(wf_str event, wf_str data) {
    wf_str type;
    if (stream_known(event) || wfi_str_eq(event, WF_STR("error")) || wfi_str_eq(event, WF_STR("ping"))) return event;
    if (wf_json_member_str(data, WF_STR("type"), &type)) return wfi_utf8_clip(type, WFI_SSE_NAME_MAX);
    return event.len == 0 && wf_json_member(data, WF_STR("error"), &type) ? WF_STR("error") : event;
}

static wf_status stream_event_read(wfi_reader *r, wf_str name, wf_str data) {
    const stream_type *type = stream_known(name);
    stream_event ev;
    wf_str delta = wf_str_of("", 0);
    if (type && !stream_scan(data, &ev)) return stream_wrong(r, "an event of the stream is no JSON object");
    if (type) (void)stream_string(&ev, STREAM_D_TYPE, &delta);
    stream_name(r, name, delta);
    return type ? type->act(r, &ev) : WF_OK;
}

WFI wf_status wfi_anthropic_stream_feed(wfi_reader *r, const char *p, size_t n, size_t *used) {
    r->event = wf_str_of("", 0);
    *used = n;
    if (r->complete) return WF_OK;
    wf_status s = wfi_sse_read(&r->sse, p, n, used);
    if (s == WF_AGAIN) return WF_OK;
    if (s != WF_OK) return s;
    wf_str data = r->sse.data, type = stream_type_of(r->sse.event, data);
    if (wfi_str_eq(type, WF_STR("error"))) {
        r->error = data;
        return WF_E_IO;
    }
    if (type.len == 0 || data.len == 0 || wfi_str_eq(type, WF_STR("ping"))) return WF_OK;
    return stream_event_read(r, type, data);
}

WFI wf_status wfi_anthropic_stream_end(wfi_reader *r, bool clean, wfi_reply *out) {
    bool whole = r->complete || (r->told && (clean || r->reason_len > 0));
    if (!whole) return stream_wrong(r, "the stream ended before the message was complete");
    wf_status s = r->complete ? WF_OK : stream_complete(r);
    if (s != WF_OK) return s;
    out->content = wf_str_of(r->body.ptr, r->body.len);
    out->reason = stream_reason(r);
    out->details = wfi_str_cut(wf_str_of(r->finish.ptr, r->finish.len), r->reason_len, r->finish.len);
    out->stop = wfi_anthropic_stop(out->reason);
    out->usage = r->usage;
    out->write_1h = r->write_1h;
    return WF_OK;
}

WFI void wfi_anthropic_stream_rescue(wfi_reader *r) {
    wf_status s = WF_OK;
    while (s == WF_OK && r->blocks) {
        r->broken = false;
        if (r->blocks->open) s = stream_close(r, r->blocks);
        if (s == WF_OK && r->broken) {
            r->dropped += (uint64_t)r->blocks->text.len + r->blocks->side.len;
            stream_drop(r);
        } else if (s == WF_OK) {
            s = stream_settle(r);
        }
    }
}

WFI void wfi_anthropic_stream_free(wfi_reader *r) {
    while (r->blocks)
        stream_drop(r);
    wfi_sse_free(&r->sse);
}
