/* fuzz_schema: feeds a schema, which is the first line, and a value, the rest, to the schema check.
 *
 * Judges: a refusal has a reason, which is terminated UTF-8; a value that is no JSON never fits; an example made for a schema
 * fits it; the list of ignored keywords is cut to its room. */
#include "input.h"

#include "src/api/json.h"

static bool schema_is_json(wf_str text) {
    wf_json j;
    wf_json_init(&j, text);
    return wf_json_skip(&j, wf_json_next(&j), NULL) == WF_OK && wf_json_next(&j) == WF_JSON_END;
}

static void schema_check(wf_str schema, wf_str value) {
    wf_schema_error error;
    memset(&error, 'Z', sizeof error);
    wf_status status = wf_schema_check(schema, value, &error);
    FUZZ_MUST(memchr(error.path, 0, sizeof error.path) && memchr(error.reason, 0, sizeof error.reason));
    FUZZ_MUST(wfi_utf8_valid(wfi_str_z(error.path)) && wfi_utf8_valid(wfi_str_z(error.reason)));
    FUZZ_MUST(status == WF_OK || status == WF_E_SCHEMA || status == WF_E_SYNTAX || status == WF_E_LIMIT);
    FUZZ_MUST(status == WF_OK || error.reason[0]);
    FUZZ_MUST(status != WF_OK || (schema_is_json(schema) && schema_is_json(value)));
    FUZZ_MUST(wf_schema_check(schema, value, NULL) == status);
}

static void schema_ignored(wf_str schema) {
    char names[256];
    uint32_t count = wf_schema_ignored(schema, names, sizeof names);
    for (size_t room = 1; room < 40; room += 13) {
        char *less = input_alloc(room);
        FUZZ_MUST(wf_schema_ignored(schema, less, room) >= count); /* what did not fit counts each time */
        FUZZ_MUST(memchr(less, 0, room));
        free(less);
    }
}

static void schema_example(wf_str schema) {
    for (size_t room = 0; room < 600; room += 199) {
        char *value = input_alloc(room);
        size_t n = wf_schema_example(schema, value, room);
        FUZZ_MUST(n <= room);
        if (n > 0) FUZZ_MUST(wf_schema_check(schema, wf_str_of(value, n), NULL) == WF_OK);
        free(value);
    }
}

int fuzz_schema(const uint8_t *data, size_t size) {
    if (size > 3000) return 0;
    input in = {data, size};
    wf_str line = input_line(&in), rest = input_take(&in, in.left);
    char *schema = input_copy(line), *value = input_copy(rest);
    schema_check(wf_str_of(schema, line.len), wf_str_of(value, rest.len));
    schema_ignored(wf_str_of(schema, line.len));
    schema_example(wf_str_of(schema, line.len));
    free(schema);
    free(value);
    return 0;
}
