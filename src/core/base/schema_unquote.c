/* schema_unquote: values whose parts are JSON inside of strings, as models write them now and then
 * (wfi_schema_unquote in schema.h).
 *
 * The checker names the first place that does not fit. If a string stands there whose text is JSON, the text takes
 * its place, and the check begins anew. That is kept if what is wrong then lies elsewhere, or nothing is. So a string
 * stays one wherever one may stand. The number of rounds is bounded, and the smaller the larger the value is. */
#include "schema.h"

#define SCHEMA_UNQUOTE_ROUNDS 256u
#define SCHEMA_UNQUOTE_WORK   (UINT32_C(1) << 24) /* bytes of value looked at, all rounds together */

/* Writes `value` with the JSON that `string`, a part of it, holds in its place. 0: it holds none, or another string. */
static size_t unquote_write(wf_str value, wf_str string, char *out) {
    size_t at = (size_t)(string.ptr - value.ptr), end = at + string.len;
    wf_json j;
    wf_str json;
    wfi_copy(out, value.ptr, at);
    wf_json_init(&j, wf_str_of(out + at, wf_json_unescape(wfi_schema_inside(string), out + at)));
    wf_json_token t = wf_json_next(&j);
    if (t == WF_JSON_STRING || wf_json_skip(&j, t, &json) != WF_OK || wf_json_next(&j) != WF_JSON_END) return 0;
    wfi_move(out + at, json.ptr, json.len);
    wfi_copy(out + at + json.len, value.ptr + end, value.len - end);
    return at + json.len + value.len - end;
}

WFI bool wfi_schema_place(wf_str value, const wf_schema_error *error, wf_str *out) {
    char path[sizeof error->path];
    wf_schema_error unused;
    wfi_schema_run r;
    wf_str pointer = wfi_str_z(error->path);
    if (pointer.len == sizeof path - 1) return false;
    wfi_copy(path, pointer.ptr, pointer.len);
    wfi_schema_init(&r, &unused);
    return wfi_schema_point(&r, value, path, pointer.len, out);
}

WFI wf_status wfi_schema_unquote(wfi_heap *heap, wf_str schema, wf_str *value, char **buf, wf_schema_error *error) {
    wf_status s = wf_schema_check(schema, *value, error);
    wf_str string;
    *buf = NULL;
    for (uint32_t i = 0;
         s == WF_E_SCHEMA && i < SCHEMA_UNQUOTE_ROUNDS && i * (uint64_t)value->len < SCHEMA_UNQUOTE_WORK; i++) {
        wf_schema_error after;
        if (!wfi_schema_place(*value, error, &string) || string.ptr[0] != '"') break;
        char *to = wfi_heap_alloc(heap, value->len);
        if (!to) return WF_E_MEMORY;
        wf_str next = wf_str_of(to, unquote_write(*value, string, to));
        wf_status then = next.len > 0 ? wf_schema_check(schema, next, &after) : WF_E_SYNTAX;
        bool better =
            then == WF_OK || (then == WF_E_SCHEMA && !wfi_str_eq(wfi_str_z(after.path), wfi_str_z(error->path)));
        wfi_heap_free(heap, better ? *buf : to);
        if (!better) break;
        *buf = to;
        *value = next;
        *error = after;
        s = then;
    }
    return s;
}
