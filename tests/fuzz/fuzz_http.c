/* fuzz_http: feeds the bytes of an HTTP response to the parser, whole and then in small pieces. The first byte says what was asked
 * (bit 0: CONNECT, bit 1: HEAD), the second how it is cut.
 *
 * Judges: both ways tell the same story: the same status, headers, body, end and reason; what is said of the headers together is
 * the same; the body is a slice of the input; the parser takes no more than it is given, and all of it before it wants more. */
#include "input.h"

#include "src/core/http/headers.h"
#include "src/core/http/parse.h"

typedef struct story {
    char text[1 << 18];
    size_t len;
    wfi_headers headers;
} story;

static story http_whole, http_cut;

static void http_tell(story *s, wf_str text) {
    FUZZ_MUST(s->len + text.len <= sizeof s->text); /* else make it larger: a head is 64 KiB at most */
    if (text.len > 0) memcpy(s->text + s->len, text.ptr, text.len);
    s->len += text.len;
}

static void http_tell_event(story *s, wfi_parse_event event, const wfi_parser *r, size_t at) {
    char line[160];
    bool over = event == WFI_PARSE_END || event == WFI_PARSE_BAD;
    snprintf(line, sizeof line, "<%d %u %zu %d %s>", (int)event, r->status, over ? at : 0, over && r->keep,
             event == WFI_PARSE_BAD ? r->why : "");
    FUZZ_MUST(event != WFI_PARSE_BAD || r->why[0]);
    http_tell(s, wfi_str_z(line));
    if (event != WFI_PARSE_HEADER) return;
    FUZZ_MUST(wfi_parse_name_ok(r->name) && wfi_parse_value_ok(r->value));
    http_tell(s, r->name);
    http_tell(s, WF_STR("="));
    http_tell(s, r->value);
    wfi_headers_header(&s->headers, r->name, r->value, r->cut, NULL);
}

/* Reads a piece that begins at byte `at` of the response; false: the response is over. */
static bool http_read(wfi_parser *r, wf_str piece, size_t at, story *s) {
    for (size_t done = 0, used;; done += used) {
        wfi_parse_event event = wfi_parse_read(r, piece.ptr + done, piece.len - done, &used);
        FUZZ_MUST(used <= piece.len - done);
        if (event == WFI_PARSE_MORE) {
            FUZZ_MUST(used == piece.len - done);
            return true;
        }
        if (event == WFI_PARSE_BODY) {
            FUZZ_MUST(r->body.len > 0 && r->body.ptr >= piece.ptr);
            FUZZ_MUST(r->body.ptr + r->body.len <= piece.ptr + done + used);
            http_tell(s, r->body);
        } else {
            http_tell_event(s, event, r, at + done + used);
        }
        if (event == WFI_PARSE_END || event == WFI_PARSE_BAD) return false;
    }
}

static void http_play(wf_str response, uint32_t asked, uint64_t chance, story *s) {
    wfi_parser r;
    bool more = true;
    wf_response said;
    s->len = 0;
    wfi_headers_begin(&s->headers);
    wfi_parse_begin(&r, asked & 1);
    r.bodiless = asked & 2;
    for (size_t at = 0, n; more && at < response.len; at += n) {
        n = input_piece(&chance, response.len - at);
        char *piece = input_copy(wf_str_of(response.ptr + at, n));
        more = http_read(&r, wf_str_of(piece, n), at, s);
        free(piece);
    }
    if (more) http_tell_event(s, wfi_parse_eof(&r), &r, response.len);
    wfi_headers_get(&s->headers, r.status, 1700000000000u, &said);
    FUZZ_MUST(said.retry_after_ms == -1 || said.retry_after_ms > 0);
    FUZZ_MUST(said.should_retry >= -1 && said.should_retry <= 1);
    http_tell(s, said.content_type);
    http_tell(s, said.request_id);
}

int fuzz_http(const uint8_t *data, size_t size) {
    if (size > 100000) return 0;
    input in = {data, size};
    uint32_t asked = input_byte(&in);
    uint64_t chance = 1 + input_byte(&in);
    wf_str response = input_take(&in, in.left);
    http_play(response, asked, 0, &http_whole);
    http_play(response, asked, chance, &http_cut);
    bool same = input_same(wf_str_of(http_whole.text, http_whole.len), wf_str_of(http_cut.text, http_cut.len));
    if (!same)
        fprintf(stderr, "whole: %.*s\ncut:   %.*s\n", (int)http_whole.len, http_whole.text, (int)http_cut.len,
                http_cut.text);
    FUZZ_MUST(same);
    return 0;
}
