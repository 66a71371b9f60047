/* http: HTTP/1.1 responses (RFC 9112), read as their bytes come.
 *
 * Contract: http.h. The peer is never trusted: every line, count and size has its bound, and what RFC 9112 calls a sign of request
 * smuggling (two framings, two lengths, folded or oddly spaced headers) ends the response. Bytes are used up as they are seen;
 * nothing is kept of them but the name and the value of the present header.
 *
 * Invariants:
 *   1. head_bytes and lines count the heads of all 1xx responses, the head and the trailers; they only grow.
 *   2. In a body state, `left` is what is still to come of the body or the chunk; a chunk of data has at least 1.
 *   3. HTTP_DONE and HTTP_BAD are final. */
#include "parse.h"

#define HTTP_CHUNK_LINE_MAX 1024u /* bytes of a chunk's size and extensions */
#define HTTP_DIGITS_MAX     16u   /* of a chunk's size: what 64 bits hold */

enum http_state {
    /* lines of a head or of trailers */
    HTTP_STATUS_LINE,
    HTTP_LINE_START,
    HTTP_NAME,
    HTTP_VALUE,
    /* lines of the chunked coding */
    HTTP_CHUNK_SIZE,
    HTTP_CHUNK_EXTENSION,
    HTTP_CHUNK_END, /* after its data */
    /* body */
    HTTP_CHUNK_DATA,
    HTTP_LENGTH,
    HTTP_UNTIL_CLOSE,
    HTTP_DONE,
    HTTP_BAD
};

static wfi_http_event http_bad(wfi_http_reader *r, const char *why) {
    r->state = HTTP_BAD;
    r->why = why;
    return WFI_HTTP_BAD;
}

/* ---- characters ---- */

static char http_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool http_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool http_blank(char c) {
    return c == ' ' || c == '\t';
}

/* What a value, a reason or an extension may hold: everything but control characters. */
static bool http_text_char(char c) {
    return (unsigned char)c >= ' ' ? c != 0x7F : c == '\t';
}

static bool http_token_char(char c) {
    static const char others[] = "!#$%&'*+-.^_`|~";
    if (http_digit(c) || (http_lower(c) >= 'a' && http_lower(c) <= 'z')) return true;
    return wfi_str_find(wf_str_of(others, sizeof others - 1), c) < sizeof others - 1;
}

WFI bool wfi_http_value_ok(wf_str value) {
    for (size_t i = 0; i < value.len; i++)
        if (!http_text_char(value.ptr[i])) return false;
    return true;
}

WFI bool wfi_http_name_ok(wf_str name) {
    for (size_t i = 0; i < name.len; i++)
        if (!http_token_char(name.ptr[i])) return false;
    return name.len > 0;
}

static wf_str http_trim(wf_str s) {
    while (s.len > 0 && http_blank(s.ptr[s.len - 1]))
        s.len--;
    while (s.len > 0 && http_blank(s.ptr[0]))
        s = wfi_str_cut(s, 1, s.len);
    return s;
}

/* The next item of a comma-separated list, trimmed; false: there is none. */
static bool http_item(wf_str *list, wf_str *item) {
    if (list->len == 0) return false;
    size_t comma = wfi_str_find(*list, ',');
    *item = http_trim(wfi_str_cut(*list, 0, comma));
    *list = wfi_str_cut(*list, comma + 1, list->len);
    return true;
}

/* ---- the status line ---- */

static const char http_version[] = "HTTP/1.";

static wfi_http_event http_status_byte(wfi_http_reader *r, char c) {
    if (r->value_len < sizeof http_version - 1 && c != http_version[r->value_len])
        return http_bad(r, "the answer is not HTTP/1.1");
    if (!http_text_char(c)) return http_bad(r, "the answer's status line has a control character");
    if (r->value_len < WFI_HTTP_VALUE_MAX) r->value_buf[r->value_len++] = c; /* the rest of a long reason is dropped */
    return WFI_HTTP_MORE;
}

static wfi_http_event http_status_line(wfi_http_reader *r) {
    const char *p = r->value_buf; /* HTTP/1.1 200 OK */
    if (r->value_len < 12 || !http_digit(p[7]) || p[8] != ' ' || p[9] < '1' || !http_digit(p[9]) ||
        !http_digit(p[10]) || !http_digit(p[11]) || (r->value_len > 12 && p[12] != ' '))
        return http_bad(r, "the answer is not HTTP/1.1");
    r->http10 = p[7] == '0';
    r->status = (uint32_t)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
    r->state = HTTP_LINE_START;
    if (r->status == 101) return http_bad(r, "the server switched to another protocol, unasked");
    return r->status < 200 ? WFI_HTTP_MORE : WFI_HTTP_STATUS;
}

/* ---- headers ---- */

static wfi_http_event http_name_byte(wfi_http_reader *r, char c) {
    if (c == ':' && r->name_len > 0) {
        r->state = HTTP_VALUE;
        return WFI_HTTP_MORE;
    }
    if (http_blank(c)) return http_bad(r, "the answer has a header with a blank in its name or before its colon");
    if (!http_token_char(c)) return http_bad(r, "the answer has a header whose name is none");
    if (r->name_len < WFI_HTTP_NAME_MAX) r->name_buf[r->name_len] = http_lower(c);
    if (r->name_len <= WFI_HTTP_NAME_MAX) r->name_len++; /* one more than the limit: too long */
    return WFI_HTTP_MORE;
}

static wfi_http_event http_value_byte(wfi_http_reader *r, char c) {
    if (!http_text_char(c)) return http_bad(r, "the answer has a header with a control character");
    if (http_blank(c) && r->value_len == 0) return WFI_HTTP_MORE;
    if (r->value_len < WFI_HTTP_VALUE_MAX)
        r->value_buf[r->value_len++] = c;
    else if (!http_blank(c))
        r->cut = true;
    return WFI_HTTP_MORE;
}

static wfi_http_event http_line_byte(wfi_http_reader *r, char c) {
    switch (r->state) {
    case HTTP_STATUS_LINE:
        return http_status_byte(r, c);
    case HTTP_LINE_START:
        if (http_blank(c)) return http_bad(r, "the answer has a header that is folded over two lines");
        r->name_len = r->value_len = 0;
        r->cut = false;
        r->state = HTTP_NAME;
        return http_name_byte(r, c);
    case HTTP_NAME:
        return http_name_byte(r, c);
    default:
        return http_value_byte(r, c);
    }
}

/* Several lengths are one if they are equal (RFC 9112, 6.3). */
static const char *http_content_length(wfi_http_reader *r) {
    wf_str list = r->value, item;
    uint64_t n;
    if (r->cut || list.len == 0) return "the answer has a content-length that is no number";
    while (http_item(&list, &item)) {
        if (!wfi_str_u64(item, &n)) return "the answer has a content-length that is no number";
        if (r->has_length && n != r->left) return "the answer has two different content-lengths";
        r->has_length = true;
        r->left = n;
    }
    return NULL;
}

static const char *http_transfer_encoding(wfi_http_reader *r) {
    if (r->cut || r->chunked || !wfi_same_name(r->value, WF_STR("chunked")))
        return "the answer has a transfer-encoding other than chunked";
    r->chunked = true;
    return NULL;
}

static const char *http_connection(wfi_http_reader *r) {
    wf_str list = r->value, item;
    r->closing |= r->cut;
    while (http_item(&list, &item)) {
        r->closing |= wfi_same_name(item, WF_STR("close"));
        r->keep_alive |= wfi_same_name(item, WF_STR("keep-alive"));
    }
    return NULL;
}

/* What headers of this connection, not of the message, do to its framing. */
static const char *http_framing(wfi_http_reader *r) {
    if (wfi_str_eq(r->name, WF_STR("content-length"))) return http_content_length(r);
    if (wfi_str_eq(r->name, WF_STR("transfer-encoding"))) return http_transfer_encoding(r);
    if (wfi_str_eq(r->name, WF_STR("connection"))) return http_connection(r);
    return NULL;
}

static wfi_http_event http_header(wfi_http_reader *r) {
    r->state = HTTP_LINE_START;
    if (r->trailer || r->status < 200 || r->name_len > WFI_HTTP_NAME_MAX) return WFI_HTTP_MORE;
    r->name = wf_str_of(r->name_buf, r->name_len);
    r->value = http_trim(wf_str_of(r->value_buf, r->value_len));
    const char *why = http_framing(r);
    return why ? http_bad(r, why) : WFI_HTTP_HEADER;
}

/* The empty line: after a 1xx another head follows, after the head the body, after the trailers nothing. */
static wfi_http_event http_head_end(wfi_http_reader *r) {
    bool opened = r->tunnel && r->status < 300;
    if (r->trailer) {
        r->state = HTTP_DONE;
        return WFI_HTTP_END;
    }
    if (r->status < 200) {
        r->state = HTTP_STATUS_LINE;
        r->value_len = 0;
        return WFI_HTTP_MORE;
    }
    if (r->chunked && !opened && (r->has_length || r->http10))
        return http_bad(r, "the answer has a transfer-encoding where it may not have one");
    r->keep = !r->closing && (r->keep_alive || !r->http10);
    if (opened || r->status == 204 || r->status == 304) {
        r->state = HTTP_DONE;
    } else if (r->chunked) {
        r->state = HTTP_CHUNK_SIZE;
        r->left = 0;
    } else if (r->has_length) {
        r->state = HTTP_LENGTH;
    } else {
        r->state = HTTP_UNTIL_CLOSE;
        r->keep = false;
    }
    return WFI_HTTP_HEAD;
}

static wfi_http_event http_line_end(wfi_http_reader *r) {
    if (++r->lines > WFI_HTTP_LINES_MAX) return http_bad(r, "the answer's head has more than 200 lines");
    switch (r->state) {
    case HTTP_STATUS_LINE:
        return http_status_line(r);
    case HTTP_LINE_START:
        return http_head_end(r);
    case HTTP_NAME:
        return http_bad(r, "the answer has a header without a colon");
    default:
        return http_header(r);
    }
}

/* ---- the chunked coding ---- */

/* 0..15; 16: not a hexadecimal digit. */
static uint32_t http_hex(char c) {
    char l = http_lower(c);
    if (http_digit(c)) return (uint32_t)(c - '0');
    return l >= 'a' && l <= 'f' ? (uint32_t)(l - 'a') + 10 : 16;
}

static wfi_http_event http_chunk_byte(wfi_http_reader *r, char c) {
    uint32_t digit = http_hex(c);
    if (r->state == HTTP_CHUNK_END) return http_bad(r, "the answer has a chunk that is longer than it says");
    if (r->state == HTTP_CHUNK_SIZE && digit < 16) {
        if (r->digits++ == HTTP_DIGITS_MAX) return http_bad(r, "the answer has a chunk whose size is too large");
        r->left = r->left << 4 | digit;
        return WFI_HTTP_MORE;
    }
    if (r->state == HTTP_CHUNK_SIZE && (r->digits == 0 || (c != ';' && !http_blank(c))))
        return http_bad(r, "the answer has a chunk whose size is no number");
    if (!http_text_char(c)) return http_bad(r, "the answer has a chunk extension with a control character");
    r->state = HTTP_CHUNK_EXTENSION;
    return WFI_HTTP_MORE;
}

static wfi_http_event http_chunk_line_end(wfi_http_reader *r) {
    bool data_before = r->state == HTTP_CHUNK_END;
    if (!data_before && r->digits == 0) return http_bad(r, "the answer has a chunk whose size is no number");
    r->digits = r->chunk_bytes = 0;
    if (data_before) {
        r->state = HTTP_CHUNK_SIZE;
    } else if (r->left > 0) {
        r->state = HTTP_CHUNK_DATA;
    } else {
        r->state = HTTP_LINE_START;
        r->trailer = true;
    }
    return WFI_HTTP_MORE;
}

/* ---- reading ---- */

static wfi_http_event http_count(wfi_http_reader *r) {
    if (r->state < HTTP_CHUNK_SIZE && ++r->head_bytes > WFI_HTTP_HEAD_MAX)
        return http_bad(r, "the answer's head is longer than 64 KiB");
    if (r->state >= HTTP_CHUNK_SIZE && ++r->chunk_bytes > HTTP_CHUNK_LINE_MAX)
        return http_bad(r, "the answer has a chunk with too long an extension");
    return WFI_HTTP_MORE;
}

/* One byte of a line. Lines end with CR LF, or with LF alone (RFC 9112, 2.2); a CR anywhere else is refused. */
static wfi_http_event http_byte(wfi_http_reader *r, char c) {
    bool chunk = r->state >= HTTP_CHUNK_SIZE;
    wfi_http_event e = http_count(r);
    if (e != WFI_HTTP_MORE) return e;
    if (r->cr && c != '\n') return http_bad(r, "the answer has a carriage return without a line feed");
    r->cr = c == '\r';
    if (r->cr) return WFI_HTTP_MORE;
    if (c == '\n') return chunk ? http_chunk_line_end(r) : http_line_end(r);
    return chunk ? http_chunk_byte(r, c) : http_line_byte(r, c);
}

static wfi_http_event http_body(wfi_http_reader *r, const char *p, size_t n, size_t *used) {
    size_t take = n - *used;
    if (r->state == HTTP_LENGTH && r->left == 0) {
        r->state = HTTP_DONE;
        return WFI_HTTP_END;
    }
    if (take == 0) return WFI_HTTP_MORE;
    if (r->state != HTTP_UNTIL_CLOSE) {
        if (take > r->left) take = (size_t)r->left;
        r->left -= take;
        if (r->left == 0 && r->state == HTTP_CHUNK_DATA) r->state = HTTP_CHUNK_END;
    }
    r->body = wf_str_of(p + *used, take);
    *used += take;
    return WFI_HTTP_BODY;
}

WFI void wfi_http_begin(wfi_http_reader *r, bool tunnel) {
    wfi_zero(r, offsetof(wfi_http_reader, name_buf)); /* what the buffers hold is said by their lengths */
    r->tunnel = tunnel;
    r->state = HTTP_STATUS_LINE;
}

WFI wfi_http_event wfi_http_read(wfi_http_reader *r, const char *p, size_t n, size_t *used) {
    *used = 0;
    for (;;) {
        if (r->state == HTTP_DONE) return WFI_HTTP_END;
        if (r->state == HTTP_BAD) return WFI_HTTP_BAD;
        if (r->state >= HTTP_CHUNK_DATA) return http_body(r, p, n, used);
        if (*used == n) return WFI_HTTP_MORE;
        wfi_http_event e = http_byte(r, p[(*used)++]);
        if (e != WFI_HTTP_MORE) return e;
    }
}

WFI wfi_http_event wfi_http_eof(wfi_http_reader *r) {
    if (r->state == HTTP_UNTIL_CLOSE) r->state = HTTP_DONE;
    if (r->state == HTTP_DONE) return WFI_HTTP_END;
    if (r->state == HTTP_BAD) return WFI_HTTP_BAD;
    return http_bad(r, "the connection was closed before the answer was complete");
}
