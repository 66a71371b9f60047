/* schema_example: makes a value that a schema accepts, as dull as can be. It knows the usual shapes, and is believed only
 * when the checker agrees. */
#include "schema.h"

#define SCHEMA_MADE_DEEP   24u /* nesting of a made value, $ref cycles included */
#define SCHEMA_PICKS       4u  /* branches of anyOf and oneOf that the maker tries */
#define SCHEMA_SPARE_DEPTH 6u  /* nesting up to which a made array has an item that it does not need */

typedef struct schema_maker {
    wfi_schema_run run;
    wf_json_out out;
    uint32_t pick; /* which branch of anyOf and oneOf to take */
} schema_maker;

/* The n-th schema that a value of `node` must match as well: its $ref, its allOf, and one of its anyOf and oneOf. */
static bool schema_part(schema_maker *m, wf_str node, uint32_t n, wf_str *part) {
    static const char *const choices[] = {"\"anyOf\"", "\"oneOf\""};
    wfi_schema_run *r = &m->run;
    wf_str arg, rest;
    if (wfi_schema_member(r, node, WF_STR("\"$ref\""), &arg) && n-- == 0) return wfi_schema_resolve(r, arg, part);
    if (wfi_schema_member(r, node, WF_STR("\"allOf\""), &arg)) {
        rest = wfi_schema_open(arg, '[');
        while (wfi_schema_next(r, &rest, NULL, part))
            if (n-- == 0) return true;
    }
    for (size_t i = 0; i < WFI_COUNT(choices); i++) {
        if (!wfi_schema_member(r, node, wfi_str_z(choices[i]), &arg) || n-- != 0) continue;
        rest = wfi_schema_open(arg, '[');
        bool found = false;
        for (uint32_t k = 0; k <= m->pick && wfi_schema_next(r, &rest, NULL, part); k++)
            found = true;
        return found;
    }
    return false;
}

/* The argument of a keyword in the node or its parts; with `inner`, that member of the argument. */
static bool schema_find(schema_maker *m, wf_str node, const char *word, const wf_str *inner, wf_str *out) {
    wf_str arg, part;
    if (wfi_schema_member(&m->run, node, wfi_str_z(word), &arg)) {
        *out = arg;
        if (!inner || wfi_schema_member(&m->run, arg, *inner, out)) return true;
    }
    if (!wfi_schema_enter(&m->run)) return false;
    bool found = false;
    for (uint32_t n = 0; !found && schema_part(m, node, n, &part); n++)
        found = schema_find(m, part, word, inner, out);
    m->run.depth--;
    return found;
}

static bool schema_make(schema_maker *m, wf_str node);

/* n bytes at the end of the buffer that the writer will not reach when it writes them as a string; NULL: no room. */
static char *schema_scratch(schema_maker *m, size_t n) {
    size_t cap = m->out.cap, used = m->out.len;
    if (n > cap / 2 || used > cap - 2 * n || cap - 2 * n - used < 4) return NULL;
    return m->out.buf + cap - n;
}

static bool schema_make_count(schema_maker *m, wf_str node, const char *word, uint64_t *n) {
    wf_str arg;
    *n = 0;
    return !schema_find(m, node, word, NULL, &arg) || wfi_str_u64(arg, n);
}

static bool schema_make_string(schema_maker *m, wf_str node) {
    uint64_t n;
    if (!schema_make_count(m, node, "\"minLength\"", &n) || n > m->out.cap) return false;
    char *text = schema_scratch(m, (size_t)n);
    for (size_t i = 0; text && i < n; i++)
        text[i] = 'x';
    if (text) wf_json_str(&m->out, wf_str_of(text, (size_t)n));
    return text != NULL;
}

/* Writes the number if the node accepts it. */
static bool schema_make_if(schema_maker *m, wf_str node, wf_str number) {
    uint32_t score;
    if (!wfi_schema_try(&m->run, node, number, &score)) return false;
    wf_json_raw(&m->out, number);
    return true;
}

/* Tries the integer that is `step` beside the whole part of a bound. */
static bool schema_make_beside(schema_maker *m, wf_str node, wf_str bound, int64_t step) {
    char text[24];
    wf_json_out o;
    uint64_t whole;
    bool negative = bound.ptr[0] == '-';
    bound = wfi_str_cut(bound, negative ? 1 : 0, bound.len);
    if (!wfi_str_u64(wfi_str_cut(bound, 0, wfi_str_find(bound, '.')), &whole) || whole > INT64_MAX / 2) return false;
    wf_json_out_init(&o, text, sizeof text);
    wf_json_i64(&o, (negative ? -(int64_t)whole : (int64_t)whole) + step);
    return schema_make_if(m, node, wf_str_of(text, o.len));
}

static bool schema_make_number(schema_maker *m, wf_str node) {
    static const char *const bounds[] = {"\"minimum\"", "\"exclusiveMinimum\"", "\"maximum\"", "\"exclusiveMaximum\""};
    if (schema_make_if(m, node, WF_STR("0"))) return true;
    for (size_t i = 0; i < WFI_COUNT(bounds); i++) {
        wf_str bound;
        int64_t step = i < 2 ? 1 : -1;
        if (!schema_find(m, node, bounds[i], NULL, &bound)) continue;
        if (schema_make_if(m, node, bound) || schema_make_beside(m, node, bound, 0) ||
            schema_make_beside(m, node, bound, step))
            return true;
    }
    return schema_make_if(m, node, WF_STR("0.5"));
}

/* One item though none is needed, so that a dry run has something to go on with; not deep inside, where schemas that
 * contain themselves would never end. False, and nothing written: [] it is. */
static bool schema_make_spare_item(schema_maker *m, wf_str node, wf_str items) {
    wf_json_out before = m->out;
    uint64_t most;
    wf_str max;
    if (items.ptr[0] != '{' || before.depth > SCHEMA_SPARE_DEPTH) return false;
    if (schema_find(m, node, "\"maxItems\"", NULL, &max) && wfi_str_u64(max, &most) && most == 0) return false;
    if (schema_make(m, items)) return true;
    m->out = before;
    return false;
}

static bool schema_make_array(schema_maker *m, wf_str node) {
    uint64_t n;
    wf_str items = {"true", 4}, prefix = {"", 0}, item;
    if (!schema_make_count(m, node, "\"minItems\"", &n)) return false;
    schema_find(m, node, "\"items\"", NULL, &items);
    schema_find(m, node, "\"prefixItems\"", NULL, &prefix);
    if (items.ptr[0] == '[') {
        prefix = items;
        items = WF_STR("true");
    }
    wf_str rest = wfi_schema_open(prefix, '[');
    wf_json_begin(&m->out, false);
    for (uint64_t i = 0; i < n; i++)
        if (!schema_make(m, wfi_schema_next(&m->run, &rest, NULL, &item) ? item : items)) return false;
    if (n == 0 && prefix.len == 0) (void)schema_make_spare_item(m, node, items);
    wf_json_finish(&m->out);
    return true;
}

/* Writes the members that a part of `node` requires and that the object, begun at `start`, does not have yet. */
static bool schema_make_members(schema_maker *m, wf_str node, wf_str part, size_t start) {
    wfi_schema_run *r = &m->run;
    wf_str arg, key, value, rest = {"", 0};
    if (wfi_schema_member(r, part, WF_STR("\"required\""), &arg)) rest = wfi_schema_open(arg, '[');
    while (wfi_schema_next(r, &rest, NULL, &key)) {
        if (wfi_schema_member(r, wf_str_of(m->out.buf + start, m->out.len - start), key, &value)) continue;
        char *plain = schema_scratch(m, key.len);
        if (!plain) return false;
        wf_json_key(&m->out, wf_str_of(plain, wf_json_unescape(wfi_schema_inside(key), plain)));
        if (!schema_find(m, node, "\"properties\"", &key, &value) &&
            !schema_find(m, node, "\"additionalProperties\"", NULL, &value))
            value = WF_STR("true");
        if (!schema_make(m, value)) return false;
    }
    if (!wfi_schema_enter(r)) return false;
    bool ok = true;
    for (uint32_t n = 0; ok && schema_part(m, part, n, &value); n++)
        ok = schema_make_members(m, node, value, start);
    r->depth--;
    return ok;
}

static bool schema_make_object(schema_maker *m, wf_str node) {
    size_t start = m->out.len + (m->out.comma && !m->out.key);
    wf_json_begin(&m->out, true);
    if (!schema_make_members(m, node, node, start)) return false;
    wf_json_finish(&m->out);
    return true;
}

/* The type of the value to make: a name in quotes. */
static wf_str schema_make_type(schema_maker *m, wf_str node) {
    static const char *const signs[][2] = {
        {"\"properties\"", "\"object\""},       {"\"required\"", "\"object\""},         {"\"items\"", "\"array\""},
        {"\"prefixItems\"", "\"array\""},       {"\"minItems\"", "\"array\""},          {"\"minLength\"", "\"string\""},
        {"\"maxLength\"", "\"string\""},        {"\"minimum\"", "\"number\""},          {"\"maximum\"", "\"number\""},
        {"\"exclusiveMinimum\"", "\"number\""}, {"\"exclusiveMaximum\"", "\"number\""},
    };
    wf_str type, name;
    if (schema_find(m, node, "\"type\"", NULL, &type)) {
        wf_str rest = wfi_schema_open(type, '[');
        name = type;
        while (wfi_schema_next(&m->run, &rest, NULL, &name))
            if (!wfi_str_eq(name, WF_STR("\"null\""))) return name;
        return name;
    }
    for (size_t i = 0; i < WFI_COUNT(signs); i++)
        if (schema_find(m, node, signs[i][0], NULL, &type)) return wfi_str_z(signs[i][1]);
    return WF_STR("\"null\"");
}

static bool schema_make_typed(schema_maker *m, wf_str node) {
    wf_str type = schema_make_type(m, node);
    switch (type.len > 1 ? type.ptr[1] : '\0') {
    case 'o':
        return schema_make_object(m, node);
    case 'a':
        return schema_make_array(m, node);
    case 's':
        return schema_make_string(m, node);
    case 'b':
        wf_json_bool(&m->out, false);
        return true;
    case 'n':
        if (!wfi_str_eq(type, WF_STR("\"number\""))) {
            wf_json_null(&m->out);
            return true;
        }
        return schema_make_number(m, node);
    default:
        return schema_make_number(m, node);
    }
}

static bool schema_make(schema_maker *m, wf_str node) {
    wf_str arg, rest;
    if (m->out.depth > SCHEMA_MADE_DEEP || m->out.len > m->out.cap || node.ptr[0] == 'f') return false;
    if (!wfi_schema_enter(&m->run)) return false;
    bool ok = true;
    if (schema_find(m, node, "\"const\"", NULL, &arg)) {
        wf_json_raw(&m->out, arg);
    } else if (schema_find(m, node, "\"enum\"", NULL, &arg)) {
        rest = wfi_schema_open(arg, '[');
        ok = wfi_schema_next(&m->run, &rest, NULL, &arg);
        if (ok) wf_json_raw(&m->out, arg);
    } else {
        ok = schema_make_typed(m, node);
    }
    m->run.depth--;
    return ok && m->run.fail == WF_OK;
}

size_t wf_schema_example(wf_str schema, char *out, size_t cap) {
    schema_maker m;
    wf_schema_error unused;
    for (m.pick = 0; m.pick < SCHEMA_PICKS; m.pick++) {
        wfi_schema_init(&m.run, &unused);
        wf_json_out_init(&m.out, out, cap);
        wf_str node = schema;
        if (wfi_schema_load(&m.run, &node) && schema_make(&m, node) && wf_json_ok(&m.out) &&
            wf_schema_check(schema, wf_str_of(out, m.out.len), &unused) == WF_OK)
            return m.out.len;
    }
    return 0;
}
