/* parse: HTTP/1.1 responses (RFC 9112), read as their bytes come.
 *
 * Contract: parse.h. The peer is never trusted: every line, count and size has its bound, and what RFC 9112 calls a sign of request
 * smuggling (two framings, two lengths, folded or oddly spaced headers) ends the response. Bytes are used up as they are seen;
 * nothing is kept of them but the name and the value of the present header.
 *
 * Invariants:
 *   1. head_bytes and lines count the heads of all 1xx responses, the head and the trailers; they only grow.
 *   2. In a body state, `left` is what is still to come of the body or the chunk; a chunk of data has at least 1.
 *   3. PARSE_DONE and PARSE_BAD are final. */
#include "parse.h"
#include "url.h"

#define PARSE_CHUNK_LINE_MAX 1024u /* bytes of a chunk's size and extensions */
#define PARSE_DIGITS_MAX     16u   /* of a chunk's size: what 64 bits hold */

enum parse_state {
    /* lines of a head or of trailers */
    PARSE_STATUS_LINE,
    PARSE_LINE_START,
    PARSE_NAME,
    PARSE_VALUE,
    /* lines of the chunked coding */
    PARSE_CHUNK_SIZE,
    PARSE_CHUNK_EXTENSION,
    PARSE_CHUNK_END, /* after its data */
    /* body */
    PARSE_CHUNK_DATA,
    PARSE_LENGTH,
    PARSE_UNTIL_CLOSE,
    PARSE_DONE,
    PARSE_BAD
};

static wfi_parse_event parse_bad(wfi_parser *r, const char *why) {
    r->state = PARSE_BAD;
    r->why = why;
    return WFI_PARSE_BAD;
}

/* ---- characters ---- */

static bool parse_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool parse_blank(char c) {
    return c == ' ' || c == '\t';
}

/* What a value, a reason or an extension may hold: everything but control characters. */
static bool parse_text_char(char c) {
    return (unsigned char)c >= ' ' ? c != 0x7F : c == '\t';
}

static bool parse_token_char(char c) {
    static const char others[] = "!#$%&'*+-.^_`|~";
    if (parse_digit(c) || (wfi_lower(c) >= 'a' && wfi_lower(c) <= 'z')) return true;
    return wfi_str_find(wf_str_of(others, sizeof others - 1), c) < sizeof others - 1;
}

WFI bool wfi_parse_value_ok(wf_str value) {
    for (size_t i = 0; i < value.len; i++)
        if (!parse_text_char(value.ptr[i])) return false;
    return true;
}

WFI bool wfi_parse_name_ok(wf_str name) {
    for (size_t i = 0; i < name.len; i++)
        if (!parse_token_char(name.ptr[i])) return false;
    return name.len > 0;
}

static wf_str parse_trim(wf_str s) {
    while (s.len > 0 && parse_blank(s.ptr[s.len - 1]))
        s.len--;
    while (s.len > 0 && parse_blank(s.ptr[0]))
        s = wfi_str_cut(s, 1, s.len);
    return s;
}

/* The next item of a comma-separated list, trimmed; false: there is none. */
static bool parse_item(wf_str *list, wf_str *item) {
    if (list->len == 0) return false;
    size_t comma = wfi_str_find(*list, ',');
    *item = parse_trim(wfi_str_cut(*list, 0, comma));
    *list = wfi_str_cut(*list, comma + 1, list->len);
    return true;
}

/* ---- the status line ---- */

static const char parse_version[] = "HTTP/1.";

static wfi_parse_event parse_status_byte(wfi_parser *r, char c) {
    if (r->value_len < sizeof parse_version - 1 && c != parse_version[r->value_len])
        return parse_bad(r, "the answer is not HTTP/1.1");
    if (!parse_text_char(c)) return parse_bad(r, "the answer's status line has a control character");
    if (r->value_len < WFI_PARSE_VALUE_MAX) r->value_buf[r->value_len++] = c; /* the rest of a long reason is dropped */
    return WFI_PARSE_MORE;
}

static wfi_parse_event parse_status_line(wfi_parser *r) {
    const char *p = r->value_buf; /* HTTP/1.1 200 OK */
    if (r->value_len < 12 || !parse_digit(p[7]) || p[8] != ' ' || p[9] < '1' || !parse_digit(p[9]) ||
        !parse_digit(p[10]) || !parse_digit(p[11]) || (r->value_len > 12 && p[12] != ' '))
        return parse_bad(r, "the answer is not HTTP/1.1");
    r->http10 = p[7] == '0';
    r->status = (uint32_t)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
    r->state = PARSE_LINE_START;
    if (r->status == 101) return parse_bad(r, "the server switched to another protocol, unasked");
    return r->status < 200 ? WFI_PARSE_MORE : WFI_PARSE_STATUS;
}

/* ---- headers ---- */

static wfi_parse_event parse_name_byte(wfi_parser *r, char c) {
    if (c == ':' && r->name_len > 0) {
        r->state = PARSE_VALUE;
        return WFI_PARSE_MORE;
    }
    if (parse_blank(c)) return parse_bad(r, "the answer has a header with a blank in its name or before its colon");
    if (!parse_token_char(c)) return parse_bad(r, "the answer has a header whose name is none");
    if (r->name_len < WFI_PARSE_NAME_MAX) r->name_buf[r->name_len] = wfi_lower(c);
    if (r->name_len <= WFI_PARSE_NAME_MAX) r->name_len++; /* one more than the limit: too long */
    return WFI_PARSE_MORE;
}

static wfi_parse_event parse_value_byte(wfi_parser *r, char c) {
    if (!parse_text_char(c)) return parse_bad(r, "the answer has a header with a control character");
    if (parse_blank(c) && r->value_len == 0) return WFI_PARSE_MORE;
    if (r->value_len < WFI_PARSE_VALUE_MAX)
        r->value_buf[r->value_len++] = c;
    else if (!parse_blank(c))
        r->cut = true;
    return WFI_PARSE_MORE;
}

static wfi_parse_event parse_line_byte(wfi_parser *r, char c) {
    switch (r->state) {
    case PARSE_STATUS_LINE:
        return parse_status_byte(r, c);
    case PARSE_LINE_START:
        if (parse_blank(c)) return parse_bad(r, "the answer has a header that is folded over two lines");
        r->name_len = r->value_len = 0;
        r->cut = false;
        r->state = PARSE_NAME;
        return parse_name_byte(r, c);
    case PARSE_NAME:
        return parse_name_byte(r, c);
    default:
        return parse_value_byte(r, c);
    }
}

/* Several lengths are one if they are equal (RFC 9112, 6.3). */
static const char *parse_content_length(wfi_parser *r) {
    wf_str list = r->value, item;
    uint64_t n;
    if (r->cut || list.len == 0) return "the answer has a content-length that is no number";
    while (parse_item(&list, &item)) {
        if (!wfi_str_u64(item, &n)) return "the answer has a content-length that is no number";
        if (r->has_length && n != r->left) return "the answer has two different content-lengths";
        r->has_length = true;
        r->left = n;
    }
    return NULL;
}

static const char *parse_transfer_encoding(wfi_parser *r) {
    if (r->cut || r->chunked || !wfi_same_name(r->value, WF_STR("chunked")))
        return "the answer has a transfer-encoding other than chunked";
    r->chunked = true;
    return NULL;
}

static const char *parse_connection(wfi_parser *r) {
    wf_str list = r->value, item;
    r->closing |= r->cut;
    while (parse_item(&list, &item)) {
        r->closing |= wfi_same_name(item, WF_STR("close"));
        r->keep_alive |= wfi_same_name(item, WF_STR("keep-alive"));
    }
    return NULL;
}

/* What headers of this connection, not of the message, do to its framing. */
static const char *parse_framing(wfi_parser *r) {
    if (wfi_str_eq(r->name, WF_STR("content-length"))) return parse_content_length(r);
    if (wfi_str_eq(r->name, WF_STR("transfer-encoding"))) return parse_transfer_encoding(r);
    if (wfi_str_eq(r->name, WF_STR("connection"))) return parse_connection(r);
    return NULL;
}

static wfi_parse_event parse_header(wfi_parser *r) {
    r->state = PARSE_LINE_START;
    if (r->trailer || r->status < 200 || r->name_len > WFI_PARSE_NAME_MAX) return WFI_PARSE_MORE;
    r->name = wf_str_of(r->name_buf, r->name_len);
    r->value = parse_trim(wf_str_of(r->value_buf, r->value_len));
    const char *why = parse_framing(r);
    return why ? parse_bad(r, why) : WFI_PARSE_HEADER;
}

/* The empty line: after a 1xx another head follows, after the head the body, after the trailers nothing. */
static wfi_parse_event parse_head_end(wfi_parser *r) {
    bool opened = (r->tunnel && r->status < 300) || r->bodiless;
    if (r->trailer) {
        r->state = PARSE_DONE;
        return WFI_PARSE_END;
    }
    if (r->status < 200) {
        r->state = PARSE_STATUS_LINE;
        r->value_len = 0;
        return WFI_PARSE_MORE;
    }
    if (r->chunked && !opened && (r->has_length || r->http10))
        return parse_bad(r, "the answer has a transfer-encoding where it may not have one");
    r->keep = !r->closing && (r->keep_alive || !r->http10);
    if (opened || r->status == 204 || r->status == 304) {
        r->state = PARSE_DONE;
    } else if (r->chunked) {
        r->state = PARSE_CHUNK_SIZE;
        r->left = 0;
    } else if (r->has_length) {
        r->state = PARSE_LENGTH;
    } else {
        r->state = PARSE_UNTIL_CLOSE;
        r->keep = false;
    }
    return WFI_PARSE_HEAD;
}

static wfi_parse_event parse_line_end(wfi_parser *r) {
    if (++r->lines > WFI_PARSE_LINES_MAX) return parse_bad(r, "the answer's head has more than 200 lines");
    switch (r->state) {
    case PARSE_STATUS_LINE:
        return parse_status_line(r);
    case PARSE_LINE_START:
        return parse_head_end(r);
    case PARSE_NAME:
        return parse_bad(r, "the answer has a header without a colon");
    default:
        return parse_header(r);
    }
}

/* ---- the chunked coding ---- */

/* 0..15; 16: not a hexadecimal digit. */
static uint32_t parse_hex(char c) {
    char l = wfi_lower(c);
    if (parse_digit(c)) return (uint32_t)(c - '0');
    return l >= 'a' && l <= 'f' ? (uint32_t)(l - 'a') + 10 : 16;
}

static wfi_parse_event parse_chunk_byte(wfi_parser *r, char c) {
    uint32_t digit = parse_hex(c);
    if (r->state == PARSE_CHUNK_END) return parse_bad(r, "the answer has a chunk that is longer than it says");
    if (r->state == PARSE_CHUNK_SIZE && digit < 16) {
        if (r->digits++ == PARSE_DIGITS_MAX) return parse_bad(r, "the answer has a chunk whose size is too large");
        r->left = r->left << 4 | digit;
        return WFI_PARSE_MORE;
    }
    if (r->state == PARSE_CHUNK_SIZE && (r->digits == 0 || (c != ';' && !parse_blank(c))))
        return parse_bad(r, "the answer has a chunk whose size is no number");
    if (!parse_text_char(c)) return parse_bad(r, "the answer has a chunk extension with a control character");
    r->state = PARSE_CHUNK_EXTENSION;
    return WFI_PARSE_MORE;
}

static wfi_parse_event parse_chunk_line_end(wfi_parser *r) {
    bool data_before = r->state == PARSE_CHUNK_END;
    if (!data_before && r->digits == 0) return parse_bad(r, "the answer has a chunk whose size is no number");
    r->digits = r->chunk_bytes = 0;
    if (data_before) {
        r->state = PARSE_CHUNK_SIZE;
    } else if (r->left > 0) {
        r->state = PARSE_CHUNK_DATA;
    } else {
        r->state = PARSE_LINE_START;
        r->trailer = true;
    }
    return WFI_PARSE_MORE;
}

/* ---- reading ---- */

static wfi_parse_event parse_count(wfi_parser *r) {
    if (r->state < PARSE_CHUNK_SIZE && ++r->head_bytes > WFI_PARSE_HEAD_MAX)
        return parse_bad(r, "the answer's head is longer than 64 KiB");
    if (r->state >= PARSE_CHUNK_SIZE && ++r->chunk_bytes > PARSE_CHUNK_LINE_MAX)
        return parse_bad(r, "the answer has a chunk with too long an extension");
    return WFI_PARSE_MORE;
}

/* One byte of a line. Lines end with CR LF, or with LF alone (RFC 9112, 2.2); a CR anywhere else is refused. */
static wfi_parse_event parse_byte(wfi_parser *r, char c) {
    bool chunk = r->state >= PARSE_CHUNK_SIZE;
    wfi_parse_event e = parse_count(r);
    if (e != WFI_PARSE_MORE) return e;
    if (r->cr && c != '\n') return parse_bad(r, "the answer has a carriage return without a line feed");
    r->cr = c == '\r';
    if (r->cr) return WFI_PARSE_MORE;
    if (c == '\n') return chunk ? parse_chunk_line_end(r) : parse_line_end(r);
    return chunk ? parse_chunk_byte(r, c) : parse_line_byte(r, c);
}

static wfi_parse_event parse_body(wfi_parser *r, const char *p, size_t n, size_t *used) {
    size_t take = n - *used;
    if (r->state == PARSE_LENGTH && r->left == 0) {
        r->state = PARSE_DONE;
        return WFI_PARSE_END;
    }
    if (take == 0) return WFI_PARSE_MORE;
    if (r->state != PARSE_UNTIL_CLOSE) {
        if (take > r->left) take = (size_t)r->left;
        r->left -= take;
        if (r->left == 0 && r->state == PARSE_CHUNK_DATA) r->state = PARSE_CHUNK_END;
    }
    r->body = wf_str_of(p + *used, take);
    *used += take;
    return WFI_PARSE_BODY;
}

WFI void wfi_parse_begin(wfi_parser *r, bool tunnel) {
    wfi_zero(r, offsetof(wfi_parser, name_buf)); /* what the buffers hold is said by their lengths */
    r->tunnel = tunnel;
    r->state = PARSE_STATUS_LINE;
}

WFI wfi_parse_event wfi_parse_read(wfi_parser *r, const char *p, size_t n, size_t *used) {
    *used = 0;
    for (;;) {
        if (r->state == PARSE_DONE) return WFI_PARSE_END;
        if (r->state == PARSE_BAD) return WFI_PARSE_BAD;
        if (r->state >= PARSE_CHUNK_DATA) return parse_body(r, p, n, used);
        if (*used == n) return WFI_PARSE_MORE;
        wfi_parse_event e = parse_byte(r, p[(*used)++]);
        if (e != WFI_PARSE_MORE) return e;
    }
}

WFI bool wfi_parse_open_ended(const wfi_parser *r) {
    return r->state == PARSE_UNTIL_CLOSE;
}

WFI wfi_parse_event wfi_parse_eof(wfi_parser *r) {
    if (r->state == PARSE_UNTIL_CLOSE) r->state = PARSE_DONE;
    if (r->state == PARSE_DONE) return WFI_PARSE_END;
    if (r->state == PARSE_BAD) return WFI_PARSE_BAD;
    return parse_bad(r, "the connection was closed before the answer was complete");
}
