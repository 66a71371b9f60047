/* records: see records.h. */
#include "records.h"

typedef enum meta_type { META_STR, META_U32, META_U64, META_BOOL } meta_type;

typedef struct meta_field {
    wf_str name;
    uint16_t offset;
    uint8_t type;
} meta_field;

#define META_FIELD(record, field, name, type)                                                                          \
    { {name, sizeof(name) - 1}, (uint16_t)offsetof(record, field), type }
#define META_USAGE(record)                                                                                             \
    META_FIELD(record, usage.input, "in", META_U64), META_FIELD(record, usage.output, "out", META_U64),                \
        META_FIELD(record, usage.cache_read, "cache_read", META_U64),                                                  \
        META_FIELD(record, usage.cache_write, "cache_write", META_U64),                                                \
        META_FIELD(record, usage.nano_usd, "nano_usd", META_U64),                                                      \
        META_FIELD(record, usage.unpriced, "unpriced", META_U64),                                                      \
        META_FIELD(record, usage.estimated, "estimated", META_U64)

static const meta_field meta_run[] = {
    META_FIELD(wfi_meta_run, name, "name", META_STR),         META_FIELD(wfi_meta_run, wall, "wall", META_U64),
    META_FIELD(wfi_meta_run, script, "script", META_U64),     META_FIELD(wfi_meta_run, args, "args", META_U64),
    META_FIELD(wfi_meta_run, settings, "settings", META_U64), META_FIELD(wfi_meta_run, sha256, "sha256", META_STR),
    META_FIELD(wfi_meta_run, rules, "rules", META_U32)};
static const meta_field meta_call[] = {META_FIELD(wfi_meta_call, path, "path", META_STR),
                                       META_FIELD(wfi_meta_call, hash, "hash", META_STR),
                                       META_FIELD(wfi_meta_call, effect, "effect", META_STR),
                                       META_FIELD(wfi_meta_call, label, "label", META_STR),
                                       META_FIELD(wfi_meta_call, phase, "phase", META_STR),
                                       META_FIELD(wfi_meta_call, model, "model", META_STR),
                                       META_FIELD(wfi_meta_call, effort, "effort", META_STR),
                                       META_FIELD(wfi_meta_call, cwd, "cwd", META_STR),
                                       META_FIELD(wfi_meta_call, prompt, "prompt", META_U64),
                                       META_FIELD(wfi_meta_call, system, "system", META_U64),
                                       META_FIELD(wfi_meta_call, tools, "tools", META_U64),
                                       META_FIELD(wfi_meta_call, schema, "schema", META_U64),
                                       META_FIELD(wfi_meta_call, max_turns, "max_turns", META_U32),
                                       META_FIELD(wfi_meta_call, max_tokens, "max_tokens", META_U32),
                                       META_FIELD(wfi_meta_call, retries, "retries", META_U32),
                                       META_FIELD(wfi_meta_call, agent_ms, "agent_ms", META_U32),
                                       META_FIELD(wfi_meta_call, stall_ms, "stall_ms", META_U32),
                                       META_FIELD(wfi_meta_call, changes, "changes", META_BOOL),
                                       META_FIELD(wfi_meta_call, replaces, "replaces", META_U32),
                                       META_FIELD(wfi_meta_call, miss, "miss", META_STR)};
static const meta_field meta_turn[] = {META_FIELD(wfi_meta_turn, prev, "prev", META_U64),
                                       META_FIELD(wfi_meta_turn, aside, "aside", META_U64),
                                       META_FIELD(wfi_meta_turn, fitted, "fitted", META_BOOL),
                                       META_FIELD(wfi_meta_turn, sent, "sent", META_U64),
                                       META_FIELD(wfi_meta_turn, stop, "stop", META_U32),
                                       META_FIELD(wfi_meta_turn, reason, "reason", META_STR),
                                       META_USAGE(wfi_meta_turn)};
static const meta_field meta_block[] = {
    META_FIELD(wfi_meta_block, prev, "prev", META_U64), META_FIELD(wfi_meta_block, why, "why", META_STR),
    META_FIELD(wfi_meta_block, id, "id", META_STR), META_FIELD(wfi_meta_block, error, "error", META_BOOL)};
static const meta_field meta_intent[] = {META_FIELD(wfi_meta_intent, id, "id", META_STR),
                                         META_FIELD(wfi_meta_intent, name, "name", META_STR)};
static const meta_field meta_reserve[] = {META_FIELD(wfi_meta_reserve, ceiling.tokens, "tokens", META_U64),
                                          META_FIELD(wfi_meta_reserve, ceiling.nano_usd, "nano_usd", META_U64),
                                          META_FIELD(wfi_meta_reserve, more.tokens, "more_tokens", META_U64),
                                          META_FIELD(wfi_meta_reserve, more.nano_usd, "more_nano_usd", META_U64)};
static const meta_field meta_done[] = {META_FIELD(wfi_meta_done, kind, "kind", META_U32),
                                       META_FIELD(wfi_meta_done, json, "json", META_BOOL),
                                       META_FIELD(wfi_meta_done, blind, "tool_errors_only", META_BOOL),
                                       META_FIELD(wfi_meta_done, attempts, "attempts", META_U32),
                                       META_FIELD(wfi_meta_done, turns, "turns", META_U32),
                                       META_FIELD(wfi_meta_done, ms, "ms", META_U64),
                                       META_USAGE(wfi_meta_done)};
static const meta_field meta_moved[] = {META_FIELD(wfi_meta_moved, from, "from", META_U32)};
static const meta_field meta_deliver[] = {META_FIELD(wfi_meta_deliver, wall, "wall", META_U64)};
static const meta_field meta_note[] = {META_FIELD(wfi_meta_note, phase, "phase", META_BOOL),
                                       META_FIELD(wfi_meta_note, error, "error", META_BOOL)};
static const meta_field meta_end[] = {META_FIELD(wfi_meta_end, outcome, "outcome", META_U32),
                                      META_FIELD(wfi_meta_end, json, "json", META_BOOL),
                                      META_FIELD(wfi_meta_end, done, "done", META_U32),
                                      META_FIELD(wfi_meta_end, failed, "failed", META_U32),
                                      META_FIELD(wfi_meta_end, cached, "cached", META_U32),
                                      META_FIELD(wfi_meta_end, dropped, "dropped", META_U32),
                                      META_FIELD(wfi_meta_end, cancelled, "cancelled", META_U32),
                                      META_FIELD(wfi_meta_end, not_run, "not_run", META_U32),
                                      META_FIELD(wfi_meta_end, script_errors, "script_errors", META_U32),
                                      META_FIELD(wfi_meta_end, blind, "tool_errors_only", META_U32),
                                      META_USAGE(wfi_meta_end),
                                      META_FIELD(wfi_meta_end, wall, "wall", META_U64)};

static const meta_field meta_stop[] = {META_FIELD(wfi_meta_stop, outcome, "outcome", META_U32)};

typedef struct meta_list {
    const meta_field *fields;
    size_t count, size;
} meta_list;

static meta_list meta_fields_of(wfi_rec type) {
#define META_CASE(rec, name, record)                                                                                   \
    case rec:                                                                                                          \
        return (meta_list) {                                                                                           \
            name, WFI_COUNT(name), sizeof(record)                                                                      \
        }
    switch (type) {
    case WFI_REC_RUN:
        META_CASE(WFI_REC_RESUME, meta_run, wfi_meta_run);
        META_CASE(WFI_REC_CALL, meta_call, wfi_meta_call);
        META_CASE(WFI_REC_TURN, meta_turn, wfi_meta_turn);
        META_CASE(WFI_REC_BLOCK, meta_block, wfi_meta_block);
        META_CASE(WFI_REC_INTENT, meta_intent, wfi_meta_intent);
        META_CASE(WFI_REC_RESERVE, meta_reserve, wfi_meta_reserve);
        META_CASE(WFI_REC_DONE, meta_done, wfi_meta_done);
        META_CASE(WFI_REC_MOVED, meta_moved, wfi_meta_moved);
        META_CASE(WFI_REC_DELIVER, meta_deliver, wfi_meta_deliver);
        META_CASE(WFI_REC_NOTE, meta_note, wfi_meta_note);
        META_CASE(WFI_REC_END, meta_end, wfi_meta_end);
        META_CASE(WFI_REC_STOP, meta_stop, wfi_meta_stop);
    case WFI_REC_TEXT:
    case WFI_REC_COUNT:
        break;
    }
    return (meta_list){NULL, 0, 0};
#undef META_CASE
}

static void meta_put_field(wf_json_out *o, const meta_field *f, const uint8_t *at) {
    switch ((meta_type)f->type) {
    case META_STR:
        if (((const wf_str *)(const void *)at)->len == 0) return;
        wf_json_key(o, f->name);
        wf_json_str(o, *(const wf_str *)(const void *)at);
        return;
    case META_U32:
        if (*(const uint32_t *)(const void *)at == 0) return;
        wf_json_key(o, f->name);
        wf_json_u64(o, *(const uint32_t *)(const void *)at);
        return;
    case META_U64:
        if (*(const uint64_t *)(const void *)at == 0) return;
        wf_json_key(o, f->name);
        wf_json_u64(o, *(const uint64_t *)(const void *)at);
        return;
    case META_BOOL:
        if (!*(const bool *)at) return;
        wf_json_key(o, f->name);
        wf_json_bool(o, true);
        return;
    }
}

wf_status wfi_meta_put(wfi_rec type, const void *meta, char buf[WFI_LOG_META_MAX], wf_str *out) {
    meta_list list = meta_fields_of(type);
    wf_json_out o;
    wf_json_out_init(&o, buf, WFI_LOG_META_MAX);
    wf_json_begin(&o, true);
    for (size_t i = 0; i < list.count; i++)
        meta_put_field(&o, &list.fields[i], (const uint8_t *)meta + list.fields[i].offset);
    wf_json_finish(&o);
    if (!wf_json_ok(&o)) return WF_E_LIMIT;
    *out = wf_str_of(buf, o.len);
    return WF_OK;
}

static void meta_get_field(const meta_field *f, wf_json_token token, wf_json *j, char *json, uint8_t *at) {
    uint64_t n = 0;
    if (f->type == META_STR && token == WF_JSON_STRING) {
        char *to = json + (j->raw.ptr - json); /* decoding never lengthens, so it can be done in place */
        size_t len = j->escaped ? wf_json_unescape(j->raw, to) : j->raw.len;
        *(wf_str *)(void *)at = wf_str_of(to, len);
    } else if (f->type == META_BOOL) {
        *(bool *)at = token == WF_JSON_TRUE;
    } else if (token == WF_JSON_NUMBER && wfi_str_u64(j->raw, &n)) {
        if (f->type == META_U64) *(uint64_t *)(void *)at = n;
        if (f->type == META_U32) *(uint32_t *)(void *)at = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    }
}

wf_status wfi_meta_get(wfi_rec type, char *json, size_t len, void *meta) {
    meta_list list = meta_fields_of(type);
    wf_json j;
    wf_json_token t;
    size_t next = 0;
    wfi_zero(meta, list.size);
    wf_json_init(&j, wf_str_of(json, len));
    if (wf_json_next(&j) != WF_JSON_OBJECT) return WF_E_SYNTAX;
    while ((t = wf_json_next(&j)) == WF_JSON_KEY) {
        const meta_field *field = NULL;
        /* fields come in the order in which they were written, so the search goes on where it left off */
        for (size_t tries = 0; tries < list.count && !field; tries++, next = (next + 1) % list.count)
            if (wfi_str_eq(list.fields[next].name, j.raw)) field = &list.fields[next];
        t = wf_json_next(&j);
        wf_json value = j;
        if (wf_json_skip(&j, t, NULL) != WF_OK) return WF_E_SYNTAX;
        if (field) meta_get_field(field, t, &value, json, (uint8_t *)meta + field->offset);
    }
    return t == WF_JSON_OBJECT_END ? WF_OK : WF_E_SYNTAX;
}
