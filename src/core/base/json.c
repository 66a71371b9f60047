/* json: a pull reader over a text in memory and a bounded writer (RFC 8259, RFC 3629).
 *
 * Owns the grammar and nothing else: no memory, no numbers as values, no tree. The reader hands out slices of the
 * caller's text; a token costs time linear in its bytes, and nothing recurses. The writer fills the caller's buffer.
 *
 * Invariants of the reader:
 *   1. pos <= text.len, and all before pos is well-formed so far.
 *   2. depth <= WF_JSON_DEPTH; bit i of the stack says whether container i is an object.
 *   3. END and ERROR are final: they are answered again and again.
 *   4. `raw` of a string or key is valid UTF-8 and all its escapes are whole.
 * Invariants of the writer:
 *   1. No byte at or past cap is written; `len` is what a large enough buffer would hold.
 *   2. Unless `bad`, the output is a prefix of a well-formed text. Once `bad`, nothing more is written. */
#include "base.h"

/* Where the reader stands. The comments name what may come next. */
enum {
    JSON_AT_VALUE,       /* a value */
    JSON_AT_FIRST_VALUE, /* a value or ']' */
    JSON_AT_FIRST_KEY,   /* a key or '}' */
    JSON_AT_COMMA,       /* ',' or the container's end */
    JSON_AT_END,         /* nothing but white space */
    JSON_AT_ERROR
};

#define JSON_REPLACEMENT 0xFFFDu

/* ---- characters ---- */

/* Whether eight bytes are all plain: ASCII, no control, no quote, no backslash. A borrow between the bytes can only
 * come from a byte that is not plain itself, so it never hides one. */
static bool json_plain8(const uint8_t *p) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t x = wfi_get64(p);
    uint64_t odd = x | (x - ones * 0x20) | ((x ^ ones * '"') - ones) | ((x ^ ones * '\\') - ones);
    return (odd & ones * 0x80) == 0;
}

/* How many bytes from p stand for themselves inside a string: up to a quote, backslash, control or bad UTF-8. */
static size_t json_run(const char *text, size_t n) {
    const uint8_t *p = (const uint8_t *)text;
    size_t i = 0;
    while (i < n) {
        while (n - i >= 8 && json_plain8(p + i))
            i += 8;
        if (i == n || p[i] < 0x20 || p[i] == '"' || p[i] == '\\') break;
        size_t len = p[i] < 0x80 ? 1 : wfi_utf8_len(p + i, n - i);
        if (len == 0) break;
        i += len;
    }
    return i;
}

/* The value of four hexadecimal digits at pos, or UINT32_MAX. */
static uint32_t json_hex4(wf_str s, size_t pos) {
    uint32_t v = 0;
    if (pos > s.len || s.len - pos < 4) return UINT32_MAX;
    for (size_t i = pos; i < pos + 4; i++) {
        char c = s.ptr[i];
        uint32_t lower = (uint32_t)(uint8_t)c | 0x20;
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            v = v << 4 | (lower - 'a' + 10);
        else
            return UINT32_MAX;
    }
    return v;
}

/* The character that a one-letter escape stands for, 0: no such escape. */
static uint32_t json_short_escape(char letter) {
    switch (letter) {
    case '"':
    case '\\':
    case '/':
        return (uint32_t)letter;
    case 'b':
        return 8;
    case 'f':
        return 12;
    case 'n':
        return 10;
    case 'r':
        return 13;
    case 't':
        return 9;
    default:
        return 0;
    }
}

/* Bytes of the escape at pos, where a backslash stands; 0: broken. Surrogate halves count one by one. */
static size_t json_escape_len(wf_str s, size_t pos) {
    if (s.len - pos < 2) return 0;
    if (s.ptr[pos + 1] == 'u') return json_hex4(s, pos + 2) == UINT32_MAX ? 0 : 6;
    return json_short_escape(s.ptr[pos + 1]) ? 2 : 0;
}

/* The code point of the escape at *pos; takes in the second half of a surrogate pair. */
static uint32_t json_escape(wf_str s, size_t *pos) {
    size_t at = *pos, len = json_escape_len(s, at);
    if (len < 6) {
        *pos = at + (len ? len : 1);
        return len ? json_short_escape(s.ptr[at + 1]) : '\\';
    }
    uint32_t high = json_hex4(s, at + 2);
    *pos = at + 6;
    if (high < 0xD800 || high > 0xDFFF) return high;
    if (high > 0xDBFF || s.len - *pos < 6 || s.ptr[*pos] != '\\' || s.ptr[*pos + 1] != 'u') return JSON_REPLACEMENT;
    uint32_t low = json_hex4(s, *pos + 2);
    if (low < 0xDC00 || low > 0xDFFF) return JSON_REPLACEMENT;
    *pos += 6;
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

WFI uint32_t wfi_json_char(wf_str raw, size_t *pos) {
    const uint8_t *p = (const uint8_t *)raw.ptr + *pos;
    if (*p == '\\') return json_escape(raw, pos);
    size_t len = wfi_utf8_len(p, raw.len - *pos);
    if (len <= 1) {
        *pos += 1;
        return len ? *p : JSON_REPLACEMENT;
    }
    uint32_t c = *p & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++)
        c = c << 6 | (p[i] & 0x3Fu);
    *pos += len;
    return c;
}

WFI bool wfi_json_blank(wf_str raw) {
    static const uint16_t blanks[] = {0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};
    for (size_t pos = 0; pos < raw.len;) {
        uint32_t c = wfi_json_char(raw, &pos);
        bool blank = c <= ' ' || (c >= 0x7F && c < 0xA0) || (c >= 0x2000 && c <= 0x200A);
        for (size_t i = 0; i < WFI_COUNT(blanks) && !blank; i++)
            blank = c == blanks[i];
        if (!blank) return false;
    }
    return true;
}

WFI bool wfi_json_is_one_of(wf_str raw, const char *const *words) {
    for (; *words; words++)
        if (wf_json_equals(raw, wfi_str_z(*words))) return true;
    return false;
}

size_t wf_json_unescape(wf_str raw, char *out) {
    size_t n = 0;
    for (size_t pos = 0; pos < raw.len;) {
        size_t start = pos;
        while (pos < raw.len && raw.ptr[pos] != '\\')
            pos++;
        if (pos > start) wfi_move(out + n, raw.ptr + start, pos - start);
        n += pos - start;
        if (pos < raw.len) n += wfi_utf8_put(json_escape(raw, &pos), out + n);
    }
    return n;
}

bool wf_json_equals(wf_str raw, wf_str plain) {
    size_t n = 0;
    for (size_t pos = 0; pos < raw.len;) {
        char c[4] = {raw.ptr[pos], 0, 0, 0};
        size_t len = 1;
        if (c[0] == '\\')
            len = wfi_utf8_put(json_escape(raw, &pos), c);
        else
            pos++;
        if (plain.len - n < len || wfi_compare(c, plain.ptr + n, len) != 0) return false;
        n += len;
    }
    return n == plain.len;
}

/* ---- the stack of both sides: one bit a container ---- */

static bool json_is_object(const uint8_t *stack, uint32_t depth) {
    return depth > 0 && (stack[(depth - 1) / 8] >> ((depth - 1) % 8) & 1) != 0;
}

/* The caller has checked that depth < WF_JSON_DEPTH. */
static void json_push(uint8_t *stack, uint32_t *depth, bool object) {
    uint8_t bit = (uint8_t)(1u << (*depth % 8));
    uint8_t *byte = &stack[*depth / 8];
    *byte = (uint8_t)(object ? *byte | bit : *byte & ~bit);
    *depth += 1;
}

/* ---- reader ---- */

void wf_json_init(wf_json *j, wf_str text) {
    wfi_zero(j, sizeof *j);
    j->text = text.len ? text : wf_str_of("", 0);
    j->raw = wf_str_of(j->text.ptr, 0);
    j->error.text = "";
    j->error.offset = WF_NO_OFFSET;
}

static wf_json_token json_fail(wf_json *j, size_t at, wf_status code, const char *text) {
    j->state = JSON_AT_ERROR;
    j->error.code = code;
    j->error.text = text;
    j->error.offset = at;
    return WF_JSON_ERROR;
}

/* Fails with `text`, or with the plainer truth that the text is cut off. */
static wf_json_token json_expected(wf_json *j, const char *text) {
    return json_fail(j, j->pos, WF_E_SYNTAX, j->pos == j->text.len ? "the text ends too early" : text);
}

/* The next byte, or a byte that is no JSON anywhere outside of strings. */
static char json_peek(const wf_json *j) {
    return j->pos < j->text.len ? j->text.ptr[j->pos] : '\0';
}

static void json_skip_ws(wf_json *j) {
    while (j->pos < j->text.len) {
        char c = j->text.ptr[j->pos];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') break;
        j->pos++;
    }
}

/* A value is over: its bytes are text[start, pos). */
static wf_json_token json_done(wf_json *j, wf_json_token token, size_t start) {
    j->raw = wf_str_of(j->text.ptr + start, j->pos - start);
    j->state = j->depth ? JSON_AT_COMMA : JSON_AT_END;
    return token;
}

/* Reads a string whose opening quote is at pos, into raw and escaped. */
static bool json_string(wf_json *j) {
    size_t start = ++j->pos;
    j->escaped = false;
    for (;;) {
        j->pos += json_run(j->text.ptr + j->pos, j->text.len - j->pos);
        if (j->pos == j->text.len) {
            json_fail(j, j->pos, WF_E_SYNTAX, "the text ends inside a string");
            return false;
        }
        char c = j->text.ptr[j->pos];
        if (c == '"') break;
        if (c != '\\') {
            bool control = (uint8_t)c < 0x20;
            json_fail(j, j->pos, WF_E_SYNTAX, control ? "control character in a string" : "invalid UTF-8 in a string");
            return false;
        }
        size_t len = json_escape_len(j->text, j->pos);
        if (len == 0) {
            json_fail(j, j->pos, WF_E_SYNTAX, "invalid escape in a string");
            return false;
        }
        j->escaped = true;
        j->pos += len;
    }
    j->raw = wf_str_of(j->text.ptr + start, j->pos - start);
    j->pos++;
    return true;
}

/* Passes over decimal digits; false if there is none. */
static bool json_digits(wf_json *j) {
    size_t start = j->pos;
    while (json_peek(j) >= '0' && json_peek(j) <= '9')
        j->pos++;
    return j->pos > start;
}

static wf_json_token json_number(wf_json *j) {
    size_t start = j->pos;
    if (json_peek(j) == '-') j->pos++;
    if (json_peek(j) == '0')
        j->pos++;
    else if (!json_digits(j))
        return json_expected(j, "expected a digit");
    if (json_peek(j) == '.') {
        j->pos++;
        if (!json_digits(j)) return json_expected(j, "expected a digit after the point");
    }
    if (json_peek(j) == 'e' || json_peek(j) == 'E') {
        j->pos++;
        if (json_peek(j) == '+' || json_peek(j) == '-') j->pos++;
        if (!json_digits(j)) return json_expected(j, "expected a digit in the exponent");
    }
    return json_done(j, WF_JSON_NUMBER, start);
}

static wf_json_token json_literal(wf_json *j, wf_str word, wf_json_token token) {
    size_t start = j->pos;
    for (size_t i = 0; i < word.len; i++) {
        if (json_peek(j) != word.ptr[i]) return json_expected(j, "expected true, false or null");
        j->pos++;
    }
    return json_done(j, token, start);
}

static wf_json_token json_open(wf_json *j, bool object) {
    if (j->depth == WF_JSON_DEPTH) return json_fail(j, j->pos, WF_E_LIMIT, "containers are nested too deeply");
    json_push(j->stack, &j->depth, object);
    j->raw = wf_str_of(j->text.ptr + j->pos, 1);
    j->pos++;
    j->state = object ? JSON_AT_FIRST_KEY : JSON_AT_FIRST_VALUE;
    return object ? WF_JSON_OBJECT : WF_JSON_ARRAY;
}

static wf_json_token json_close(wf_json *j) {
    bool object = json_is_object(j->stack, j->depth);
    j->depth--;
    j->pos++;
    return json_done(j, object ? WF_JSON_OBJECT_END : WF_JSON_ARRAY_END, j->pos - 1);
}

static wf_json_token json_value(wf_json *j) {
    char c = json_peek(j);
    switch (c) {
    case '{':
    case '[':
        return json_open(j, c == '{');
    case '"':
        if (!json_string(j)) return WF_JSON_ERROR;
        j->state = j->depth ? JSON_AT_COMMA : JSON_AT_END;
        return WF_JSON_STRING;
    case 't':
        return json_literal(j, WF_STR("true"), WF_JSON_TRUE);
    case 'f':
        return json_literal(j, WF_STR("false"), WF_JSON_FALSE);
    case 'n':
        return json_literal(j, WF_STR("null"), WF_JSON_NULL);
    default:
        if (c == '-' || (c >= '0' && c <= '9')) return json_number(j);
        return json_expected(j, "expected a value");
    }
}

static wf_json_token json_key(wf_json *j) {
    if (json_peek(j) != '"') return json_expected(j, "expected a key in quotes");
    if (!json_string(j)) return WF_JSON_ERROR;
    json_skip_ws(j);
    if (json_peek(j) != ':') return json_expected(j, "expected ':'");
    j->pos++;
    j->state = JSON_AT_VALUE;
    return WF_JSON_KEY;
}

/* Inside a container, behind one of its members. */
static wf_json_token json_after(wf_json *j) {
    bool object = json_is_object(j->stack, j->depth);
    char c = json_peek(j);
    if (c == (object ? '}' : ']')) return json_close(j);
    if (c != ',') return json_expected(j, object ? "expected ',' or '}'" : "expected ',' or ']'");
    j->pos++;
    json_skip_ws(j);
    return object ? json_key(j) : json_value(j);
}

wf_json_token wf_json_next(wf_json *j) {
    if (j->state == JSON_AT_ERROR) return WF_JSON_ERROR;
    json_skip_ws(j);
    j->escaped = false;
    switch (j->state) {
    case JSON_AT_FIRST_VALUE:
        return json_peek(j) == ']' ? json_close(j) : json_value(j);
    case JSON_AT_FIRST_KEY:
        return json_peek(j) == '}' ? json_close(j) : json_key(j);
    case JSON_AT_COMMA:
        return json_after(j);
    case JSON_AT_END:
        if (j->pos < j->text.len) return json_fail(j, j->pos, WF_E_SYNTAX, "text after the value");
        j->raw = wf_str_of(j->text.ptr + j->pos, 0);
        return WF_JSON_END;
    default:
        return json_value(j);
    }
}

wf_status wf_json_skip(wf_json *j, wf_json_token first, wf_str *raw) {
    if (first == WF_JSON_ERROR) return j->error.code;
    if (first == WF_JSON_END || first == WF_JSON_KEY || first == WF_JSON_OBJECT_END || first == WF_JSON_ARRAY_END)
        return WF_E_CONFIG;
    wf_str all = j->raw;
    if (first == WF_JSON_STRING) all = wf_str_of(all.ptr - 1, all.len + 2);
    if (first == WF_JSON_OBJECT || first == WF_JSON_ARRAY) {
        uint32_t outside = j->depth - 1;
        while (j->depth > outside)
            if (wf_json_next(j) == WF_JSON_ERROR) return j->error.code;
        all.len = (size_t)(j->text.ptr + j->pos - all.ptr);
    }
    if (raw) *raw = all;
    return WF_OK;
}

/* ---- members ---- */

bool wf_json_member(wf_str object, wf_str key, wf_str *value) {
    wf_json j;
    wf_json_token token;
    wf_str found = {NULL, 0};
    wf_json_init(&j, object);
    if (wf_json_next(&j) != WF_JSON_OBJECT) return false;
    while ((token = wf_json_next(&j)) == WF_JSON_KEY) {
        bool same = wf_json_equals(j.raw, key);
        if (wf_json_skip(&j, wf_json_next(&j), same ? &found : NULL) != WF_OK) return false;
    }
    if (token != WF_JSON_OBJECT_END || wf_json_next(&j) != WF_JSON_END || !found.ptr) return false;
    *value = found;
    return true;
}

bool wf_json_member_str(wf_str object, wf_str key, wf_str *escaped) {
    wf_str v;
    if (!wf_json_member(object, key, &v) || v.ptr[0] != '"') return false;
    *escaped = wf_str_of(v.ptr + 1, v.len - 2);
    return true;
}

bool wf_json_member_u64(wf_str object, wf_str key, uint64_t *out) {
    wf_str v;
    return wf_json_member(object, key, &v) && wfi_str_u64(v, out);
}

bool wf_json_member_bool(wf_str object, wf_str key, bool *out) {
    wf_str v;
    if (!wf_json_member(object, key, &v) || (v.ptr[0] != 't' && v.ptr[0] != 'f')) return false;
    *out = v.ptr[0] == 't';
    return true;
}

/* ---- writer ---- */

void wf_json_out_init(wf_json_out *o, char *buf, size_t cap) {
    wfi_zero(o, sizeof *o);
    o->buf = buf;
    o->cap = cap;
}

static void json_put(wf_json_out *o, const char *p, size_t n) {
    size_t room = o->len < o->cap ? o->cap - o->len : 0;
    size_t fits = n < room ? n : room;
    if (fits) wfi_copy(o->buf + o->len, p, fits);
    if (!wfi_add_size(o->len, n, &o->len)) o->bad = true;
}

static void json_put_char(wf_json_out *o, char c) {
    json_put(o, &c, 1);
}

/* Takes the place of the next value; false: none may stand here. At the top, `comma` tells that the value is there. */
static bool json_out_value(wf_json_out *o) {
    if (json_is_object(o->stack, o->depth) ? !o->key : o->depth == 0 && o->comma) o->bad = true;
    if (o->bad) return false;
    if (o->comma && !o->key) json_put_char(o, ',');
    o->comma = true;
    o->key = false;
    return true;
}

static void json_put_escape(wf_json_out *o, uint8_t c) {
    static const char digits[] = "0123456789abcdef";
    static const char letters[] = "btn?fr"; /* for 8 to 13 */
    char e[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
    if (c == '"' || c == '\\')
        e[1] = (char)c;
    else if (c >= 8 && c <= 13 && c != 11)
        e[1] = letters[c - 8];
    json_put(o, e, e[1] == 'u' ? 6 : 2);
}

static void json_put_string(wf_json_out *o, wf_str s) {
    json_put_char(o, '"');
    for (size_t i = 0; i < s.len; i++) {
        size_t run = json_run(s.ptr + i, s.len - i);
        json_put(o, s.ptr + i, run);
        i += run;
        if (i == s.len) break;
        if ((uint8_t)s.ptr[i] < 0x80)
            json_put_escape(o, (uint8_t)s.ptr[i]);
        else
            json_put(o, "\xEF\xBF\xBD", 3);
    }
    json_put_char(o, '"');
}

void wf_json_begin(wf_json_out *o, bool object) {
    if (!json_out_value(o)) return;
    if (o->depth == WF_JSON_DEPTH) {
        o->bad = true;
        return;
    }
    json_put_char(o, object ? '{' : '[');
    json_push(o->stack, &o->depth, object);
    o->comma = false;
}

void wf_json_finish(wf_json_out *o) {
    if (o->depth == 0 || o->key) o->bad = true;
    if (o->bad) return;
    json_put_char(o, json_is_object(o->stack, o->depth) ? '}' : ']');
    o->depth--;
    o->comma = true;
}

void wf_json_key(wf_json_out *o, wf_str key) {
    if (!json_is_object(o->stack, o->depth) || o->key) o->bad = true;
    if (o->bad) return;
    if (o->comma) json_put_char(o, ',');
    json_put_string(o, key);
    json_put_char(o, ':');
    o->key = true;
}

void wf_json_str(wf_json_out *o, wf_str s) {
    if (json_out_value(o)) json_put_string(o, s);
}

void wf_json_u64(wf_json_out *o, uint64_t v) {
    char digits[20];
    if (json_out_value(o)) json_put(o, digits, wfi_u64_str(v, digits));
}

void wf_json_i64(wf_json_out *o, int64_t v) {
    char digits[20];
    if (!json_out_value(o)) return;
    if (v < 0) json_put_char(o, '-');
    json_put(o, digits, wfi_u64_str(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, digits));
}

void wf_json_bool(wf_json_out *o, bool v) {
    if (json_out_value(o)) json_put(o, v ? "true" : "false", v ? 4 : 5);
}

void wf_json_null(wf_json_out *o) {
    if (json_out_value(o)) json_put(o, "null", 4);
}

void wf_json_raw(wf_json_out *o, wf_str json) {
    if (json.len == 0) o->bad = true;
    if (json_out_value(o)) json_put(o, json.ptr, json.len);
}

bool wf_json_ok(const wf_json_out *o) {
    return !o->bad && o->depth == 0 && o->comma && o->len <= o->cap;
}
