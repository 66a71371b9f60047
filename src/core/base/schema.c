/* schema: does a JSON value match a JSON Schema, and if not, where and why, in words that a model can act on.
 *
 * Owns no memory: both texts are parsed once by the strict reader and then walked in place, again and again, by a
 * cursor that may trust their grammar. Numbers are compared as decimals, digit by digit, without floating point.
 *
 * Invariants:
 *   1. Every byte passed over is paid for from `work`; when it is spent, `fail` is WF_E_LIMIT and all loops end.
 *   2. `fail` is sticky. While it is WF_OK, false means "does not match" (or, in the walk and the maker, never).
 *   3. depth <= WF_JSON_DEPTH, $ref cycles included, and nothing large lives on the stack of a recursive function.
 *   4. While quiet is 0, the first mismatch is final: it has written `error`, and nothing is checked after it. */
#include "schema.h"

#define SCHEMA_WORK     (UINT32_C(1) << 25) /* bytes of text read: a large reply against a rich schema takes 1/10 */
#define SCHEMA_STEP     16u                 /* what a step costs besides its bytes */
#define SCHEMA_BATCH    8u                  /* members looked for in one pass */
#define SCHEMA_REF_MAX  256u                /* bytes of a $ref */
#define SCHEMA_NAME_MAX 64u                 /* characters of a property's name */
#define SCHEMA_SHOWN    60u                 /* bytes of a value quoted in a reason */

struct schema_word;

/* One keyword at work. */
typedef struct schema_at {
    wf_str node, arg, value;
    const struct schema_word *word;
} schema_at;

/* What a keyword's argument must be. */
enum {
    SCHEMA_ANY,
    SCHEMA_NODE,
    SCHEMA_NODES,
    SCHEMA_MAP,
    SCHEMA_ITEMS,
    SCHEMA_COUNT,
    SCHEMA_NUMBER,
    SCHEMA_TYPE,
    SCHEMA_NAMES,
    SCHEMA_VALUES,
    SCHEMA_REF
};

static const char *const schema_form_text[] = {
    "",
    "must be a schema: an object or a boolean",
    "must be an array of schemas, not empty",
    "must be an object of schemas",
    "must be a schema or an array of schemas",
    "must be an integer, not negative",
    "must be a number",
    "must be a type's name or an array of them",
    "must be an array of strings",
    "must be an array, not empty",
    "must be a string",
};

typedef struct schema_word {
    const char *name;
    bool (*check)(wfi_schema_run *r, const schema_at *at); /* NULL: says nothing about values */
    uint8_t form;
    char on;          /* of limits: how the values they concern begin; '0' for all numbers */
    int8_t sign;      /* of limits: 1 is a lower bound, -1 an upper bound */
    bool strict;      /* of limits: the bound itself is outside */
    const char *text; /* of limits: the reason */
} schema_word;

static bool schema_check_node(wfi_schema_run *r, wf_str node, wf_str value);

/* ---- the cursor: walks text that the strict reader has passed ---- */

/* Pays for reading n bytes; false: the bound is reached. */
static bool schema_spend(wfi_schema_run *r, size_t n) {
    if (r->fail == WF_OK && n < r->work) {
        r->work -= (uint32_t)n;
        return true;
    }
    if (r->fail == WF_OK) {
        r->fail = WF_E_LIMIT;
        r->work = 0;
    }
    return false;
}

/* Length of the string, quotes included, that begins s. */
static size_t schema_string_len(wf_str s) {
    size_t i = 1;
    while (i < s.len && s.ptr[i] != '"')
        i += s.ptr[i] == '\\' ? 2 : 1;
    return i < s.len ? i + 1 : s.len;
}

/* Length of the value that begins s; 0: none does. */
static size_t schema_value_len(wf_str s) {
    size_t i, depth = 0;
    if (s.len && s.ptr[0] == '"') return schema_string_len(s);
    for (i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '"') {
            i += schema_string_len(wf_str_of(s.ptr + i, s.len - i)) - 1;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth <= 1) return i + depth;
            depth--;
        } else if (depth == 0 && (c == ',' || (uint8_t)c <= ' ')) {
            return i;
        }
    }
    return i;
}

/* What is inside a container that opens with `open`; nothing, if the value is something else. */
WFI wf_str wfi_schema_open(wf_str value, char open) {
    return value.len && value.ptr[0] == open ? wfi_str_cut(value, 1, value.len) : wf_str_of("", 0);
}

static wf_str schema_skip_gap(wf_str s) {
    size_t i = 0;
    while (i < s.len && ((uint8_t)s.ptr[i] <= ' ' || s.ptr[i] == ',' || s.ptr[i] == ':'))
        i++;
    return wfi_str_cut(s, i, s.len);
}

static wf_str schema_take(wf_str *rest, size_t len) {
    wf_str s = wfi_str_cut(*rest, 0, len);
    *rest = wfi_str_cut(*rest, len, rest->len);
    return s;
}

/* Next element (key NULL) or member of what wfi_schema_open gave. Keys come with their quotes. On false nothing changes
 * but *rest. */
WFI bool wfi_schema_next(wfi_schema_run *r, wf_str *rest, wf_str *key, wf_str *value) {
    size_t before = rest->len;
    wf_str name = {"", 0}, found;
    *rest = schema_skip_gap(*rest);
    if (key) {
        name = schema_take(rest, schema_value_len(*rest));
        *rest = schema_skip_gap(*rest);
    }
    found = schema_take(rest, schema_value_len(*rest));
    if (found.len == 0 || !schema_spend(r, before - rest->len + SCHEMA_STEP)) return false;
    if (key) *key = name;
    *value = found;
    return true;
}

static uint32_t schema_count(wfi_schema_run *r, wf_str container) {
    wf_str value, key, rest = wfi_schema_open(container, '{');
    uint32_t n = 0;
    while (wfi_schema_next(r, &rest, &key, &value))
        n++;
    rest = wfi_schema_open(container, '[');
    while (wfi_schema_next(r, &rest, NULL, &value))
        n++;
    return n;
}

/* A string's content, still escaped. */
WFI wf_str wfi_schema_inside(wf_str string) {
    return wfi_str_cut(string, 1, string.len - 2);
}

/* Whether two quoted strings decode to the same. */
static bool schema_same_string(wf_str a, wf_str b) {
    size_t i = 1, j = 1;
    if (a.len == 0 || b.len == 0 || a.ptr[0] != '"' || b.ptr[0] != '"') return false;
    while (i < a.len - 1 && j < b.len - 1)
        if (wfi_json_char(a, &i) != wfi_json_char(b, &j)) return false;
    return i >= a.len - 1 && j >= b.len - 1;
}

/* The value of the last member whose key is `key`, which has its quotes. */
WFI bool wfi_schema_member(wfi_schema_run *r, wf_str object, wf_str key, wf_str *out) {
    wf_str name, value, rest = wfi_schema_open(object, '{');
    bool found = false;
    while (wfi_schema_next(r, &rest, &name, &value)) {
        if (!schema_same_string(name, key)) continue;
        *out = value;
        found = true;
    }
    return found;
}

/* ---- decimals: a number is 0.DIGITS * 10^exp; digits neither begin nor end with 0 and are empty for zero ---- */

#define SCHEMA_EXP_MAX (INT64_C(1) << 40) /* larger exponents count as this one */

typedef struct schema_decimal {
    wf_str digits; /* may hold the point */
    int64_t exp;
    bool negative;
} schema_decimal;

static int64_t schema_exponent(wf_str s) {
    int64_t v = 0;
    bool negative = s.len > 0 && s.ptr[0] == '-';
    for (size_t i = 0; i < s.len && v < SCHEMA_EXP_MAX; i++)
        if (s.ptr[i] >= '0' && s.ptr[i] <= '9') v = v * 10 + (s.ptr[i] - '0');
    v = v < SCHEMA_EXP_MAX ? v : SCHEMA_EXP_MAX;
    return negative ? -v : v;
}

static schema_decimal schema_decimal_of(wf_str s) {
    schema_decimal d = {{"", 0}, 0, false};
    bool negative = s.ptr[0] == '-';
    s = wfi_str_cut(s, negative ? 1 : 0, s.len);
    size_t e = wfi_str_find(s, 'e'), upper = wfi_str_find(s, 'E');
    e = e < upper ? e : upper;
    wf_str mantissa = wfi_str_cut(s, 0, e);
    size_t point = wfi_str_find(mantissa, '.'), first = 0, end = e;
    while (first < end && (mantissa.ptr[first] == '0' || mantissa.ptr[first] == '.'))
        first++;
    if (first == end) return d;
    while (mantissa.ptr[end - 1] == '0' || mantissa.ptr[end - 1] == '.')
        end--;
    d.digits = wfi_str_cut(mantissa, first, end - first);
    d.exp = first < point ? (int64_t)(point - first) : -(int64_t)(first - point - 1);
    d.exp += schema_exponent(wfi_str_cut(s, e + 1, s.len));
    d.negative = negative;
    return d;
}

/* -1, 0, 1: the number a is less than, equal to, greater than b. */
static int schema_compare(wf_str a, wf_str b) {
    schema_decimal x = schema_decimal_of(a), y = schema_decimal_of(b);
    int above = x.negative ? -1 : 1; /* the answer if |a| > |b| */
    if (x.negative != y.negative) return above;
    if (x.digits.len == 0 || y.digits.len == 0) return x.digits.len ? above : y.digits.len ? (y.negative ? 1 : -1) : 0;
    if (x.exp != y.exp) return x.exp > y.exp ? above : -above;
    for (size_t i = 0, j = 0;; i++, j++) {
        i += i < x.digits.len && x.digits.ptr[i] == '.';
        j += j < y.digits.len && y.digits.ptr[j] == '.';
        if (i == x.digits.len || j == y.digits.len) return i < x.digits.len ? above : j < y.digits.len ? -above : 0;
        if (x.digits.ptr[i] != y.digits.ptr[j]) return x.digits.ptr[i] > y.digits.ptr[j] ? above : -above;
    }
}

static bool schema_is_number(wf_str value) {
    return value.ptr[0] == '-' || (value.ptr[0] >= '0' && value.ptr[0] <= '9');
}

static bool schema_is_integer(wf_str value) {
    if (!schema_is_number(value)) return false;
    schema_decimal d = schema_decimal_of(value);
    size_t point = wfi_str_find(d.digits, '.');
    return (int64_t)(d.digits.len - (point < d.digits.len)) <= d.exp || d.digits.len == 0;
}

/* ---- types and equality ---- */

/* The type of a value by its first character; numbers are "number" here. */
static const char *schema_type_of(wf_str value) {
    switch (value.ptr[0]) {
    case '{':
        return "object";
    case '[':
        return "array";
    case '"':
        return "string";
    case 't':
    case 'f':
        return "boolean";
    case 'n':
        return "null";
    default:
        return "number";
    }
}

static bool schema_has_type(wf_str value, wf_str name) {
    if (wf_json_equals(wfi_schema_inside(name), WF_STR("integer"))) return schema_is_integer(value);
    return wf_json_equals(wfi_schema_inside(name), wfi_str_z(schema_type_of(value)));
}

static bool schema_equal(wfi_schema_run *r, wf_str a, wf_str b);

static bool schema_equal_objects(wfi_schema_run *r, wf_str a, wf_str b) {
    wf_str key, value, other, rest = wfi_schema_open(a, '{');
    if (schema_count(r, a) != schema_count(r, b)) return false;
    while (wfi_schema_next(r, &rest, &key, &value))
        if (!wfi_schema_member(r, b, key, &other) || !schema_equal(r, value, other)) return false;
    return r->fail == WF_OK;
}

static bool schema_equal_arrays(wfi_schema_run *r, wf_str a, wf_str b) {
    wf_str x, y, rest = wfi_schema_open(a, '['), others = wfi_schema_open(b, '[');
    bool more = wfi_schema_next(r, &rest, NULL, &x), more_too = wfi_schema_next(r, &others, NULL, &y);
    while (more && more_too) {
        if (!schema_equal(r, x, y)) return false;
        more = wfi_schema_next(r, &rest, NULL, &x);
        more_too = wfi_schema_next(r, &others, NULL, &y);
    }
    return more == more_too && r->fail == WF_OK;
}

/* Recurses no deeper than the reader let the text be. */
static bool schema_equal(wfi_schema_run *r, wf_str a, wf_str b) {
    if (!schema_spend(r, SCHEMA_STEP) || schema_type_of(a) != schema_type_of(b)) return false;
    switch (a.ptr[0]) {
    case '{':
        return schema_equal_objects(r, a, b);
    case '[':
        return schema_equal_arrays(r, a, b);
    case '"':
        return schema_same_string(a, b);
    default:
        return schema_is_number(a) ? schema_spend(r, b.len) && schema_compare(a, b) == 0 : wfi_str_eq(a, b);
    }
}

/* ---- the path and the reason ---- */

/* Appends to a text of cap bytes as much as fits, keeping one for the end. */
static void schema_fill(char *buf, size_t cap, size_t *len, wf_str s) {
    wf_str fits = wfi_str_cut(s, 0, cap - 1 - *len);
    if (fits.len) wfi_copy(buf + *len, fits.ptr, fits.len);
    *len += fits.len;
}

static void schema_end(char *buf, size_t len) {
    buf[wfi_utf8_clip(wf_str_of(buf, len), len).len] = '\0';
}

static void schema_path(wfi_schema_run *r, wf_str s) {
    schema_fill(r->error->path, sizeof r->error->path, &r->path_len, s);
}

/* Both go one level down and answer the path_len to go back to. */
static size_t schema_path_key(wfi_schema_run *r, wf_str key) {
    size_t back = r->path_len;
    schema_path(r, WF_STR("/"));
    for (size_t i = 1; i < key.len - 1;) {
        char c[4];
        uint32_t code = wfi_json_char(key, &i);
        if (code == '~' || code == '/')
            schema_path(r, code == '~' ? WF_STR("~0") : WF_STR("~1"));
        else
            schema_path(r, wf_str_of(c, wfi_utf8_put(code ? code : UINT32_MAX, c)));
    }
    return back;
}

static size_t schema_path_index(wfi_schema_run *r, uint32_t index) {
    size_t back = r->path_len;
    char digits[20];
    schema_path(r, WF_STR("/"));
    schema_path(r, wf_str_of(digits, wfi_u64_str(index, digits)));
    return back;
}

static void schema_say(wfi_schema_run *r, wf_str s) {
    schema_fill(r->error->reason, sizeof r->error->reason, &r->reason_len, s);
}

/* A value's own text, shortened, on one line. */
static void schema_say_value(wfi_schema_run *r, wf_str value) {
    wf_str shown = wfi_utf8_clip(value, SCHEMA_SHOWN);
    for (size_t i = 0; i < shown.len; i++)
        schema_say(r, (uint8_t)shown.ptr[i] < ' ' ? WF_STR(" ") : wf_str_of(shown.ptr + i, 1));
    if (shown.len < value.len) schema_say(r, WF_STR("..."));
}

/* The keys of an object, or the elements of an array. */
static void schema_say_list(wfi_schema_run *r, wf_str container) {
    bool object = container.len && container.ptr[0] == '{';
    wf_str key, value, rest = wfi_schema_open(container, object ? '{' : '[');
    size_t before = r->reason_len;
    while (wfi_schema_next(r, &rest, object ? &key : NULL, &value)) {
        if (r->reason_len > before) schema_say(r, WF_STR(", "));
        schema_say_value(r, object ? wfi_schema_inside(key) : value);
    }
    if (r->reason_len == before) schema_say(r, WF_STR("none"));
}

/* Writes path and reason. %s: a C string; %v: a value; %l: a list of a container's members. */
static void schema_reason(wfi_schema_run *r, const char *format, va_list args) {
    r->reason_len = 0;
    for (const char *p = format; *p; p++) {
        if (*p != '%')
            schema_say(r, wf_str_of(p, 1));
        else if (*++p == 's')
            schema_say(r, wfi_str_z(va_arg(args, const char *)));
        else if (*p == 'v')
            schema_say_value(r, va_arg(args, wf_str));
        else
            schema_say_list(r, va_arg(args, wf_str));
    }
    if (r->walking && r->path_len) {
        schema_say(r, WF_STR(" (in the schema at #"));
        schema_say(r, wf_str_of(r->error->path, r->path_len));
        schema_say(r, WF_STR(")"));
    }
    schema_end(r->error->path, r->walking ? 0 : r->path_len);
    schema_end(r->error->reason, r->reason_len);
}

/* The value does not match. Answers false. */
static bool schema_miss(wfi_schema_run *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (r->quiet == 0 && r->fail == WF_OK) schema_reason(r, format, args);
    va_end(args);
    return false;
}

/* There is no saying whether the value matches. Answers false. */
static bool schema_stop(wfi_schema_run *r, wf_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (r->fail == WF_OK) {
        schema_reason(r, format, args);
        r->fail = status;
    }
    va_end(args);
    return false;
}

/* ---- references ---- */

static uint32_t schema_hex(char c) {
    uint32_t lower = (uint32_t)(uint8_t)c | 0x20;
    return c >= '0' && c <= '9' ? (uint32_t)(c - '0') : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
}

/* Undoes in place the escapes of a URI (escape '%': two digits) or of a JSON Pointer (escape '~'). */
static size_t schema_unescape(char *s, size_t len, char escape) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        s[n] = s[i];
        if (s[i] == escape && escape == '~' && i + 1 < len && (s[i + 1] == '0' || s[i + 1] == '1')) {
            s[n] = s[++i] == '0' ? '~' : '/';
        } else if (s[i] == escape && escape == '%' && i + 2 < len &&
                   (schema_hex(s[i + 1]) | schema_hex(s[i + 2])) < 16) {
            s[n] = (char)(schema_hex(s[i + 1]) << 4 | schema_hex(s[i + 2]));
            i += 2;
        }
        n++;
    }
    return n;
}

/* The child of a container that one decoded token of a JSON Pointer names. */
static bool schema_child(wfi_schema_run *r, wf_str container, wf_str token, wf_str *out) {
    wf_str key, value, rest = wfi_schema_open(container, '{');
    uint64_t index = 0;
    while (wfi_schema_next(r, &rest, &key, &value)) {
        *out = value;
        if (wf_json_equals(wfi_schema_inside(key), token)) return true;
    }
    if (!wfi_str_u64(token, &index)) return false;
    rest = wfi_schema_open(container, '[');
    while (wfi_schema_next(r, &rest, NULL, &value)) {
        *out = value;
        if (index-- == 0) return true;
    }
    return false;
}

WFI bool wfi_schema_point(wfi_schema_run *r, wf_str from, char *path, size_t len, wf_str *out) {
    *out = from;
    for (size_t at = 0; at < len;) {
        size_t end = at + 1;
        while (end < len && path[end] != '/')
            end++;
        wf_str token = wf_str_of(path + at + 1, schema_unescape(path + at + 1, end - at - 1, '~'));
        if (!schema_child(r, *out, token, out)) return false;
        at = end;
    }
    return true;
}

/* What a $ref, given with its quotes, names. */
WFI bool wfi_schema_resolve(wfi_schema_run *r, wf_str ref, wf_str *out) {
    char plain[SCHEMA_REF_MAX];
    if (ref.len > SCHEMA_REF_MAX) return schema_stop(r, WF_E_SYNTAX, "$ref %v is longer than 256 bytes", ref);
    size_t len = wf_json_unescape(wfi_schema_inside(ref), plain);
    if (len == 0 || plain[0] != '#' || (len > 1 && plain[1] != '/'))
        return schema_stop(r, WF_E_SYNTAX, "$ref %v is not local: only \"#\" and \"#/...\" can be followed", ref);
    len = schema_unescape(plain, len, '%');
    if (!wfi_schema_point(r, r->root, plain + 1, len - 1, out))
        return schema_stop(r, WF_E_SYNTAX, "$ref %v names nothing in the schema", ref);
    return r->fail == WF_OK;
}

/* ---- keywords ---- */

static bool schema_check_type(wfi_schema_run *r, const schema_at *at) {
    wf_str name, rest = wfi_schema_open(at->arg, '[');
    if (schema_is_number(at->value) && !schema_spend(r, at->value.len)) return false;
    if (at->arg.ptr[0] == '"') {
        if (schema_has_type(at->value, at->arg)) return true;
        if (schema_is_number(at->value))
            return schema_miss(r, "expected %v, got the number %v", wfi_schema_inside(at->arg), at->value);
        return schema_miss(r, "expected %v, got %s", wfi_schema_inside(at->arg), schema_type_of(at->value));
    }
    while (wfi_schema_next(r, &rest, NULL, &name))
        if (schema_has_type(at->value, name)) return true;
    return schema_miss(r, "expected one of %l, got %s", at->arg, schema_type_of(at->value));
}

static bool schema_check_enum(wfi_schema_run *r, const schema_at *at) {
    wf_str value, rest = wfi_schema_open(at->arg, '[');
    while (wfi_schema_next(r, &rest, NULL, &value))
        if (schema_equal(r, value, at->value)) return true;
    return schema_miss(r, "%v is not one of: %l", at->value, at->arg);
}

static bool schema_check_const(wfi_schema_run *r, const schema_at *at) {
    return schema_equal(r, at->arg, at->value) || schema_miss(r, "expected %v, got %v", at->arg, at->value);
}

/* The values that an object has for the next few keys of *keys, found in one pass over it, which may be long: out[i].len is 0 where
 * it has none. Answers how many keys that were; *keys goes on behind them. map: the keys are those of an object, else elements. */
static uint32_t schema_members(wfi_schema_run *r, wf_str object, bool map, wf_str *keys, wf_str out[SCHEMA_BATCH]) {
    wf_str names[SCHEMA_BATCH], name, value, rest = wfi_schema_open(object, '{');
    uint32_t n = 0;
    while (n < SCHEMA_BATCH && wfi_schema_next(r, keys, map ? &names[n] : NULL, &value)) {
        if (!map) names[n] = value;
        out[n++].len = 0;
    }
    while (n > 0 && wfi_schema_next(r, &rest, &name, &value))
        for (uint32_t i = 0; i < n; i++)
            if (schema_same_string(name, names[i])) out[i] = value;
    return n;
}

static bool schema_check_properties(wfi_schema_run *r, const schema_at *at) {
    wf_str key, node, values[SCHEMA_BATCH], next = wfi_schema_open(at->arg, '{'), rest = next;
    uint32_t n;
    if (at->value.ptr[0] != '{') return true;
    while ((n = schema_members(r, at->value, true, &next, values)) > 0)
        for (uint32_t i = 0; i < n && wfi_schema_next(r, &rest, &key, &node); i++) {
            if (values[i].len == 0) continue;
            size_t back = schema_path_key(r, key);
            bool fits = schema_check_node(r, node, values[i]);
            r->path_len = back;
            if (!fits) return false;
        }
    return true;
}

static bool schema_check_required(wfi_schema_run *r, const schema_at *at) {
    wf_str key, values[SCHEMA_BATCH], next = wfi_schema_open(at->arg, '['), rest = next;
    uint32_t n;
    if (at->value.ptr[0] != '{') return true;
    while ((n = schema_members(r, at->value, false, &next, values)) > 0)
        for (uint32_t i = 0; i < n && wfi_schema_next(r, &rest, NULL, &key); i++)
            if (values[i].len == 0) return schema_miss(r, "missing required property %v", key);
    return true;
}

/* Passed over beside patternProperties: nobody here can tell which properties those cover. */
static bool schema_check_additional(wfi_schema_run *r, const schema_at *at) {
    wf_str key, value, other, known = {"", 0}, rest = wfi_schema_open(at->value, '{');
    if (wfi_schema_member(r, at->node, WF_STR("\"patternProperties\""), &other)) return true;
    wfi_schema_member(r, at->node, WF_STR("\"properties\""), &known);
    while (wfi_schema_next(r, &rest, &key, &value)) {
        if (wfi_schema_member(r, known, key, &other)) continue;
        if (at->arg.ptr[0] == 'f') return schema_miss(r, "property %v is not allowed; allowed: %l", key, known);
        size_t back = schema_path_key(r, key);
        bool ok = schema_check_node(r, at->arg, value);
        r->path_len = back;
        if (!ok) return false;
    }
    return true;
}

/* items and prefixItems. A schema concerns all elements behind the prefixItems, an array of schemas one each. */
static bool schema_check_items(wfi_schema_run *r, const schema_at *at) {
    bool each = at->arg.ptr[0] != '[';
    wf_str value, prefix = {"", 0}, node = at->arg, nodes = wfi_schema_open(at->arg, '['),
                  rest = wfi_schema_open(at->value, '[');
    if (each) wfi_schema_member(r, at->node, WF_STR("\"prefixItems\""), &prefix);
    uint32_t skip = schema_count(r, prefix);
    for (uint32_t i = 0; wfi_schema_next(r, &rest, NULL, &value); i++) {
        if (i < skip) continue;
        if (!each && !wfi_schema_next(r, &nodes, NULL, &node)) return true;
        size_t back = schema_path_index(r, i);
        bool ok = schema_check_node(r, node, value);
        r->path_len = back;
        if (!ok) return false;
    }
    return true;
}

/* All bounds: of numbers, of the code points of a string, of the elements of an array. */
static bool schema_check_limit(wfi_schema_run *r, const schema_at *at) {
    const schema_word *word = at->word;
    wf_str measure = at->value;
    char digits[20];
    uint64_t n = 0;
    if ((word->on == '0' ? !schema_is_number(at->value) : at->value.ptr[0] != word->on) ||
        !schema_spend(r, at->value.len))
        return true;
    if (word->on == '"')
        for (size_t i = 1; i < at->value.len - 1; n++)
            wfi_json_char(at->value, &i);
    if (word->on == '[') n = schema_count(r, at->value);
    if (word->on != '0') measure = wf_str_of(digits, wfi_u64_str(n, digits));
    int order = schema_compare(measure, at->arg) * word->sign;
    if (order > 0 || (order == 0 && !word->strict)) return true;
    return schema_miss(r, word->text, measure, at->arg);
}

static bool schema_check_ref(wfi_schema_run *r, const schema_at *at) {
    wf_str node;
    return wfi_schema_resolve(r, at->arg, &node) && schema_check_node(r, node, at->value);
}

static bool schema_check_all(wfi_schema_run *r, const schema_at *at) {
    wf_str node, rest = wfi_schema_open(at->arg, '[');
    while (wfi_schema_next(r, &rest, NULL, &node))
        if (!schema_check_node(r, node, at->value)) return false;
    return true;
}

/* Tries one branch without a word; *score tells how many assertions held. */
WFI bool wfi_schema_try(wfi_schema_run *r, wf_str node, wf_str value, uint32_t *score) {
    uint32_t before = r->passed;
    r->passed = 0;
    r->quiet++;
    bool ok = schema_check_node(r, node, value);
    r->quiet--;
    *score = r->passed;
    r->passed = before;
    return ok;
}

/* anyOf and oneOf (the strict one). When no branch matches, the one that came nearest says why. */
static bool schema_check_branches(wfi_schema_run *r, const schema_at *at) {
    wf_str node, nearest = {"true", 4}, rest = wfi_schema_open(at->arg, '[');
    uint32_t matches = 0, score, best = 0;
    while (wfi_schema_next(r, &rest, NULL, &node)) {
        if (wfi_schema_try(r, node, at->value, &score) && ++matches > 1)
            return schema_miss(r, "matches more than one branch of oneOf; exactly one must match");
        if (matches && !at->word->strict) return true;
        if (nearest.ptr[0] == 't' || score > best) {
            nearest = node;
            best = score;
        }
    }
    if (matches || r->fail) return r->fail == WF_OK;
    r->passed += best;
    if (r->quiet) return false;
    schema_check_node(r, nearest, at->value);
    if (r->fail == WF_OK && best == 0 && schema_count(r, at->arg) > 1) {
        schema_say(r, WF_STR(" (nor does any other branch match)"));
        schema_end(r->error->reason, r->reason_len);
    }
    return false;
}

#define SCHEMA_LIMIT(name, form, on, sign, strict, text)                                                               \
    { name, schema_check_limit, form, on, sign, strict, text }
#define SCHEMA_WORD(name, form, check)                                                                                 \
    { name, check, form, 0, 0, false, "" }

static const schema_word schema_words[] = {
    SCHEMA_WORD("type", SCHEMA_TYPE, schema_check_type),
    SCHEMA_WORD("properties", SCHEMA_MAP, schema_check_properties),
    SCHEMA_WORD("required", SCHEMA_NAMES, schema_check_required),
    SCHEMA_WORD("additionalProperties", SCHEMA_NODE, schema_check_additional),
    SCHEMA_WORD("items", SCHEMA_ITEMS, schema_check_items),
    SCHEMA_WORD("prefixItems", SCHEMA_NODES, schema_check_items),
    SCHEMA_WORD("enum", SCHEMA_VALUES, schema_check_enum),
    SCHEMA_WORD("const", SCHEMA_ANY, schema_check_const),
    SCHEMA_WORD("$ref", SCHEMA_REF, schema_check_ref),
    SCHEMA_WORD("allOf", SCHEMA_NODES, schema_check_all),
    SCHEMA_WORD("anyOf", SCHEMA_NODES, schema_check_branches),
    {"oneOf", schema_check_branches, SCHEMA_NODES, 0, 0, true, ""},
    SCHEMA_LIMIT("minimum", SCHEMA_NUMBER, '0', 1, false, "%v is less than the minimum %v"),
    SCHEMA_LIMIT("maximum", SCHEMA_NUMBER, '0', -1, false, "%v is greater than the maximum %v"),
    SCHEMA_LIMIT("exclusiveMinimum", SCHEMA_NUMBER, '0', 1, true, "%v is not greater than %v"),
    SCHEMA_LIMIT("exclusiveMaximum", SCHEMA_NUMBER, '0', -1, true, "%v is not less than %v"),
    SCHEMA_LIMIT("minLength", SCHEMA_COUNT, '"', 1, false, "the string has %v characters, fewer than the minimum %v"),
    SCHEMA_LIMIT("maxLength", SCHEMA_COUNT, '"', -1, false, "the string has %v characters, more than the maximum %v"),
    SCHEMA_LIMIT("minItems", SCHEMA_COUNT, '[', 1, false, "the array has %v items, fewer than the minimum %v"),
    SCHEMA_LIMIT("maxItems", SCHEMA_COUNT, '[', -1, false, "the array has %v items, more than the maximum %v"),
    SCHEMA_WORD("$defs", SCHEMA_MAP, NULL),
    SCHEMA_WORD("definitions", SCHEMA_MAP, NULL),
    SCHEMA_WORD("title", SCHEMA_ANY, NULL),
    SCHEMA_WORD("description", SCHEMA_ANY, NULL),
    SCHEMA_WORD("default", SCHEMA_ANY, NULL),
    SCHEMA_WORD("examples", SCHEMA_ANY, NULL),
    SCHEMA_WORD("$schema", SCHEMA_ANY, NULL),
    SCHEMA_WORD("$id", SCHEMA_ANY, NULL),
    SCHEMA_WORD("$comment", SCHEMA_ANY, NULL),
    SCHEMA_WORD("deprecated", SCHEMA_ANY, NULL),
    SCHEMA_WORD("readOnly", SCHEMA_ANY, NULL),
    SCHEMA_WORD("writeOnly", SCHEMA_ANY, NULL),
};

static const schema_word *schema_word_of(wf_str key) {
    for (size_t i = 0; i < WFI_COUNT(schema_words); i++)
        if (wf_json_equals(wfi_schema_inside(key), wfi_str_z(schema_words[i].name))) return &schema_words[i];
    return NULL;
}

/* ---- the form of a schema ---- */

static bool schema_is_type_name(wf_str value) {
    static const char *const names[] = {"object", "array", "string", "number", "integer", "boolean", "null"};
    for (size_t i = 0; value.ptr[0] == '"' && i < WFI_COUNT(names); i++)
        if (wf_json_equals(wfi_schema_inside(value), wfi_str_z(names[i]))) return true;
    return false;
}

/* Whether a value is a non-empty array, all of whose elements are type names or, if not asked for, strings. */
static bool schema_is_names(wfi_schema_run *r, wf_str value, bool types) {
    wf_str name, rest = wfi_schema_open(value, '[');
    if (value.ptr[0] != '[') return false;
    while (wfi_schema_next(r, &rest, NULL, &name))
        if (types ? !schema_is_type_name(name) : name.ptr[0] != '"') return false;
    return true;
}

static bool schema_is_node(wf_str value) {
    return value.ptr[0] == '{' || value.ptr[0] == 't' || value.ptr[0] == 'f';
}

/* Whether a keyword's argument is what it must be, as far as can be seen without going down. */
static bool schema_has_form(wfi_schema_run *r, uint32_t form, wf_str arg) {
    switch (form) {
    case SCHEMA_NODE:
        return schema_is_node(arg);
    case SCHEMA_NODES:
    case SCHEMA_VALUES:
        return arg.ptr[0] == '[' && schema_count(r, arg) > 0;
    case SCHEMA_MAP:
        return arg.ptr[0] == '{';
    case SCHEMA_ITEMS:
        return schema_is_node(arg) || arg.ptr[0] == '[';
    case SCHEMA_COUNT:
        return schema_is_integer(arg) && schema_compare(arg, WF_STR("0")) >= 0;
    case SCHEMA_NUMBER:
        return schema_is_number(arg);
    case SCHEMA_TYPE:
        return schema_is_type_name(arg) || (schema_count(r, arg) > 0 && schema_is_names(r, arg, true));
    case SCHEMA_NAMES:
        return schema_is_names(r, arg, false);
    case SCHEMA_REF:
        return arg.ptr[0] == '"';
    default:
        return true;
    }
}

static bool schema_form(wfi_schema_run *r, const schema_word *word, wf_str arg) {
    if (schema_has_form(r, word->form, arg)) return r->fail == WF_OK;
    return schema_stop(r, WF_E_SYNTAX, "schema keyword \"%s\" %s", word->name, schema_form_text[word->form]);
}

WFI bool wfi_schema_enter(wfi_schema_run *r) {
    if (r->depth == WF_JSON_DEPTH)
        return schema_stop(r, WF_E_LIMIT,
                           "the schema leads more than 128 levels deep: does a $ref lead back to itself?");
    r->depth++;
    return schema_spend(r, SCHEMA_STEP);
}

static bool schema_check_word(wfi_schema_run *r, const schema_at *at) {
    if (!schema_form(r, at->word, at->arg) || !at->word->check(r, at)) return false;
    r->passed++;
    return true;
}

static bool schema_check_node(wfi_schema_run *r, wf_str node, wf_str value) {
    schema_at at = {node, {"", 0}, value, NULL};
    wf_str key, rest = wfi_schema_open(node, '{');
    bool ok = true;
    if (node.ptr[0] == 'f') return schema_miss(r, "no value is allowed here");
    if (!schema_is_node(node))
        return schema_stop(r, WF_E_SYNTAX, "the schema for this place is %v; it must be an object or a boolean", node);
    if (!wfi_schema_enter(r)) return false;
    while (ok && wfi_schema_next(r, &rest, &key, &at.arg)) {
        at.word = schema_word_of(key);
        if (at.word && at.word->check) ok = schema_check_word(r, &at);
    }
    r->depth--;
    return ok && r->fail == WF_OK;
}

/* ---- the walk over a schema, without a value ---- */

static void schema_ignore(wfi_schema_run *r, wf_str name) {
    const wf_str separator = WF_STR(", ");
    wf_str rest = wf_str_of(r->ignored, r->ignored_len);
    while (rest.len) {
        wf_str known = schema_take(&rest, wfi_str_find(rest, ','));
        if (wfi_str_eq(known, name)) return;
        rest = wfi_str_cut(rest, separator.len, rest.len);
    }
    r->ignored_count++;
    size_t gap = r->ignored_len ? separator.len : 0;
    if (name.len + gap >= r->ignored_cap - r->ignored_len) return;
    wfi_copy(r->ignored + r->ignored_len, separator.ptr, gap);
    wfi_copy(r->ignored + r->ignored_len + gap, name.ptr, name.len);
    r->ignored_len += gap + name.len;
}

static bool schema_walk(wfi_schema_run *r, wf_str node);

/* Whether a property's name, with its quotes, is one that providers take. */
static bool schema_is_plain_name(wf_str key) {
    uint32_t count = 0;
    for (size_t i = 1; i < key.len - 1; count++) {
        uint32_t c = wfi_json_char(key, &i), letter = c | 0x20;
        bool plain = (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
        if (!plain) return false;
    }
    return count >= 1 && count <= SCHEMA_NAME_MAX;
}

/* Walks the schemas that a keyword holds: its members, its elements, or itself. */
static bool schema_walk_word(wfi_schema_run *r, const schema_word *word, wf_str arg) {
    bool map = word->form == SCHEMA_MAP;
    wf_str key, node, rest = wfi_schema_open(arg, map ? '{' : '[');
    if (!schema_form(r, word, arg)) return false;
    if (word->form == SCHEMA_REF) return wfi_schema_resolve(r, arg, &node);
    if (word->form < SCHEMA_NODE || word->form > SCHEMA_ITEMS) return true;
    if (!map && arg.ptr[0] != '[') return schema_walk(r, arg);
    for (uint32_t i = 0; wfi_schema_next(r, &rest, map ? &key : NULL, &node); i++) {
        size_t back = map ? schema_path_key(r, key) : schema_path_index(r, i);
        if (r->names && map && word->check && !schema_is_plain_name(key))
            return schema_stop(r, WF_E_CONFIG,
                               "the API takes no property named %v: a name has 1 to 64 letters, digits, _ . and -",
                               key);
        if (!schema_walk(r, node)) return false;
        r->path_len = back;
    }
    return r->fail == WF_OK;
}

/* Checks the form of every schema inside and takes down the keywords that are passed over. */
static bool schema_walk(wfi_schema_run *r, wf_str node) {
    wf_str key, arg, rest = wfi_schema_open(node, '{');
    if (!schema_is_node(node))
        return schema_stop(r, WF_E_SYNTAX, "%v is no schema: it must be an object or a boolean", node);
    if (!wfi_schema_enter(r)) return false;
    while (wfi_schema_next(r, &rest, &key, &arg)) {
        const schema_word *word = schema_word_of(key);
        size_t back = schema_path_key(r, key);
        if (!word)
            schema_ignore(r, wfi_schema_inside(key));
        else if (!schema_walk_word(r, word, arg))
            return false;
        r->path_len = back;
    }
    r->depth--;
    return r->fail == WF_OK;
}

/* ---- entry ---- */

WFI void wfi_schema_init(wfi_schema_run *r, wf_schema_error *error) {
    wfi_zero(r, sizeof *r);
    wfi_zero(error, sizeof *error);
    r->error = error;
    r->work = SCHEMA_WORK;
}

/* Proves that a text is JSON and cuts the white space around it. */
static bool schema_parse(wfi_schema_run *r, wf_str *text, const char *what) {
    wf_json j;
    wf_json_init(&j, *text);
    if (wf_json_skip(&j, wf_json_next(&j), text) == WF_OK && wf_json_next(&j) == WF_JSON_END) return true;
    char digits[20];
    wf_str at = wf_str_of(digits, wfi_u64_str(j.error.offset, digits));
    return schema_stop(r, j.error.code, "the %s is not valid JSON: %s at byte %v", what, j.error.text, at);
}

/* Parses a schema and checks its form; *schema loses the white space around it. */
WFI bool wfi_schema_load(wfi_schema_run *r, wf_str *schema) {
    if (!schema_parse(r, schema, "schema")) return false;
    r->root = *schema;
    r->walking = true;
    bool ok = schema_walk(r, *schema);
    r->walking = false;
    r->path_len = 0;
    return ok;
}

wf_status wf_schema_check(wf_str schema, wf_str value, wf_schema_error *error) {
    wfi_schema_run r;
    wf_schema_error unused;
    wfi_schema_init(&r, error ? error : &unused);
    bool ok = wfi_schema_load(&r, &schema) && schema_parse(&r, &value, "value") && schema_check_node(&r, schema, value);
    if (ok) {
        schema_end(r.error->path, 0);
        return WF_OK;
    }
    if (r.fail == WF_E_LIMIT && r.work == 0) {
        r.fail = WF_OK;
        schema_stop(&r, WF_E_LIMIT, "checking the value takes more work than is allowed: make the schema simpler");
    }
    return r.fail ? r.fail : WF_E_SCHEMA;
}

WFI bool wfi_schema_names(wf_str schema, wf_schema_error *error) {
    wfi_schema_run r;
    wfi_schema_init(&r, error);
    r.names = true;
    return wfi_schema_load(&r, &schema);
}

uint32_t wf_schema_ignored(wf_str schema, char *out, size_t cap) {
    wfi_schema_run r;
    wf_schema_error unused;
    wfi_schema_init(&r, &unused);
    r.ignored = out;
    r.ignored_cap = cap;
    wfi_schema_load(&r, &schema);
    if (cap) out[r.ignored_len] = '\0';
    return r.ignored_count;
}
