/* json: reading and writing JSON in memory, and checking it against a schema. */
#ifndef WF_JSON_H
#define WF_JSON_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- JSON (RFC 8259) ---------------------------------------------------------------------------------------------------- */

/* What wf_json_next found. A container's members follow its start token; values are then at `raw`. */
typedef enum wf_json_token {
    WF_JSON_END, /* the text is over and was well-formed */
    WF_JSON_ERROR,
    WF_JSON_OBJECT,
    WF_JSON_OBJECT_END,
    WF_JSON_ARRAY,
    WF_JSON_ARRAY_END,
    WF_JSON_KEY, /* followed by the member's value */
    WF_JSON_STRING,
    WF_JSON_NUMBER, /* kept as text: raw */
    WF_JSON_TRUE,
    WF_JSON_FALSE,
    WF_JSON_NULL
} wf_json_token;

#define WF_JSON_DEPTH 128 /* containers inside containers */

/* Pull reader over a text in memory. Strict: one value, no trailing text, valid UTF-8, no lone surrogate escapes
 * (they read as U+FFFD), no duplicate check. Fields are read-only for the user. */
typedef struct wf_json {
    wf_str text;
    size_t pos;
    wf_str raw;   /* the token: a string or key without its quotes, still escaped; a number; a literal */
    bool escaped; /* raw holds escapes: use wf_json_unescape */
    wf_error error;
    uint32_t depth;
    uint32_t state;
    uint8_t stack[WF_JSON_DEPTH / 8]; /* bit set: object */
} wf_json;

void wf_json_init(wf_json *j, wf_str text);
wf_json_token wf_json_next(wf_json *j);
/* Passes over the value whose first token was just read; *raw (may be NULL) becomes its exact text. */
wf_status wf_json_skip(wf_json *j, wf_json_token first, wf_str *raw);
/* Writes the decoded form of an escaped string or key; out needs room for raw.len bytes, and may lie before raw or at its start.
 * Answers the length. */
size_t wf_json_unescape(wf_str raw, char *out);
/* Whether an escaped string or key decodes to exactly `plain`. */
bool wf_json_equals(wf_str raw, wf_str plain);
/* Exact text of a member's value in the object `object` (last of equal keys); false: none, or not an object. */
bool wf_json_member(wf_str object, wf_str key, wf_str *value);
/* Like wf_json_member for values of one type. A string comes without quotes, still escaped. */
bool wf_json_member_str(wf_str object, wf_str key, wf_str *escaped);
bool wf_json_member_u64(wf_str object, wf_str key, uint64_t *out); /* a non-negative integer that fits */
bool wf_json_member_bool(wf_str object, wf_str key, bool *out);

/* Bounded writer. Never writes past cap; `len` counts on, so that len > cap tells how much was wanted. Commas and
 * colons are its own business. Misuse (a value without a key in an object, ...) sets `bad`. */
typedef struct wf_json_out {
    char *buf;
    size_t cap, len;
    bool bad;
    uint32_t depth;
    bool comma, key;
    uint8_t stack[WF_JSON_DEPTH / 8];
} wf_json_out;

void wf_json_out_init(wf_json_out *o, char *buf, size_t cap);
void wf_json_begin(wf_json_out *o, bool object);
void wf_json_finish(wf_json_out *o); /* ends the innermost container */
void wf_json_key(wf_json_out *o, wf_str key);
void wf_json_str(wf_json_out *o, wf_str s); /* quotes and escapes; bad UTF-8 becomes U+FFFD */
void wf_json_u64(wf_json_out *o, uint64_t v);
void wf_json_i64(wf_json_out *o, int64_t v);
void wf_json_bool(wf_json_out *o, bool v);
void wf_json_null(wf_json_out *o);
void wf_json_raw(wf_json_out *o, wf_str json); /* one value, taken as it is */
/* Whether everything fitted and all containers are closed. */
bool wf_json_ok(const wf_json_out *o);

/* ---- JSON Schema ---------------------------------------------------------------------------------------------------------- */

/* Where and why a value misses its schema: a sentence for the model or the user, cut to fit. */
typedef struct wf_schema_error {
    char path[256]; /* JSON Pointer of the place in the value; "" is the whole */
    char reason[256];
} wf_schema_error;

/* Checks a value against a schema: type, properties, required, additionalProperties, items, enum, const,
 * anyOf/oneOf/allOf, local $ref, minimum/maximum/exclusive*, minLength/maxLength, minItems/maxItems.
 * Work is bounded. WF_OK; WF_E_SCHEMA (error says where and why); WF_E_SYNTAX: the schema or the value is no JSON or
 * the schema contradicts its own form; WF_E_LIMIT: more work than the bound. */
wf_status wf_schema_check(wf_str schema, wf_str value, wf_schema_error *error);

/* Names keywords of the schema that wf_schema_check passes over, comma-separated, into out (cut to cap, always
 * terminated). Answers how many there are. */
uint32_t wf_schema_ignored(wf_str schema, char *out, size_t cap);

/* A self-made value that the schema accepts, as dull as can be (but an array has an item, where it may): for dry runs. Answers its length, 0: cannot. */
size_t wf_schema_example(wf_str schema, char *out, size_t cap);

#ifdef __cplusplus
}
#endif

#endif
