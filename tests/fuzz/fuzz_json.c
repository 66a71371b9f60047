/* fuzz_json: feeds any text to the JSON reader and writer.
 *
 * Judges: what the reader accepts is written again as JSON that reads and writes as the same; skipping a value finds the same
 * end; decoded strings are UTF-8, no longer than they were, and equal to themselves; a writer that is short of room counts what
 * it wanted and writes no byte more than it has. */
#include "input.h"

#include "src/api/json.h"

/* Decodes a string or key and writes it again. */
static void json_write_text(const wf_json *j, bool key, wf_json_out *out) {
    char *plain = input_alloc(j->raw.len);
    wf_str text = wf_str_of(plain, wf_json_unescape(j->raw, plain));
    FUZZ_MUST(text.len <= j->raw.len);
    FUZZ_MUST(wfi_utf8_valid(text));
    FUZZ_MUST(wf_json_equals(j->raw, text));
    if (key)
        wf_json_key(out, text);
    else
        wf_json_str(out, text);
    free(plain);
}

static void json_write_token(const wf_json *j, wf_json_token token, wf_json_out *out) {
    switch (token) {
    case WF_JSON_OBJECT:
    case WF_JSON_ARRAY:
        wf_json_begin(out, token == WF_JSON_OBJECT);
        break;
    case WF_JSON_OBJECT_END:
    case WF_JSON_ARRAY_END:
        wf_json_finish(out);
        break;
    case WF_JSON_KEY:
    case WF_JSON_STRING:
        json_write_text(j, token == WF_JSON_KEY, out);
        break;
    default:
        wf_json_raw(out, j->raw);
    }
}

/* Whether the text is JSON; then it is in `out` too. */
static bool json_rewrite(wf_str text, wf_json_out *out) {
    wf_json j;
    wf_json_token token;
    wf_json_init(&j, text);
    while ((token = wf_json_next(&j)) != WF_JSON_END) {
        FUZZ_MUST(j.pos <= text.len);
        if (token == WF_JSON_ERROR) {
            FUZZ_MUST(j.error.code < 0 && j.error.text && j.error.offset <= text.len);
            return false;
        }
        json_write_token(&j, token, out);
    }
    FUZZ_MUST(wf_json_ok(out));
    return true;
}

/* Skipping the one value of a text accepts and refuses the same texts as reading it token by token. */
static void json_skip(wf_str text, bool valid) {
    wf_json j;
    wf_str raw;
    wf_json_init(&j, text);
    wf_json_token first = wf_json_next(&j);
    bool skipped = wf_json_skip(&j, first, &raw) == WF_OK && wf_json_next(&j) == WF_JSON_END;
    FUZZ_MUST(skipped == valid);
    if (skipped) FUZZ_MUST(raw.ptr >= text.ptr && raw.ptr + raw.len <= text.ptr + text.len && raw.len > 0);
}

static void json_members(wf_str text, bool valid) {
    static const char *const keys[] = {"", "a", "id"};
    for (size_t i = 0; i < 3; i++) {
        wf_str key = wfi_str_z(keys[i]), value, escaped;
        uint64_t number;
        bool flag, there = wf_json_member(text, key, &value);
        FUZZ_MUST(valid || !there);
        FUZZ_MUST(there || !wf_json_member_str(text, key, &escaped));
        FUZZ_MUST(there || !wf_json_member_u64(text, key, &number));
        FUZZ_MUST(there || !wf_json_member_bool(text, key, &flag));
    }
}

/* Any bytes as a string, with room for all of it, and with less. */
static void json_short_of_room(wf_str text) {
    wf_json_out whole, part;
    wf_json_out_init(&whole, NULL, 0);
    wf_json_str(&whole, text);
    for (size_t room = 0; room <= whole.len; room += 1 + whole.len / 16) {
        char *buf = input_alloc(room);
        wf_json_out_init(&part, buf, room);
        wf_json_str(&part, text);
        FUZZ_MUST(part.len == whole.len && wf_json_ok(&part) == (room == whole.len));
        free(buf);
    }
}

int fuzz_json(const uint8_t *data, size_t size) {
    if (size > 20000) return 0;
    char *copy = input_copy(wf_str_of((const char *)data, size));
    wf_str text = wf_str_of(copy, size);
    size_t room = 6 * size + 64; /* a byte becomes six at most */
    char *once = input_alloc(room), *twice = input_alloc(room);
    wf_json_out out, again;
    wf_json_out_init(&out, once, room);
    bool valid = json_rewrite(text, &out);
    if (valid) {
        wf_json_out_init(&again, twice, room);
        FUZZ_MUST(json_rewrite(wf_str_of(once, out.len), &again));
        FUZZ_MUST(input_same(wf_str_of(once, out.len), wf_str_of(twice, again.len)));
    }
    json_skip(text, valid);
    json_members(text, valid);
    json_short_of_room(text);
    free(copy);
    free(once);
    free(twice);
    return 0;
}
