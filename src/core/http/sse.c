/* sse: see sse.h. One pass over the input, a state for each part of a line:
 *
 *   field name  ->  (colon)  ->  one blank  ->  value of data, value of event, or a value that nobody wants
 *
 * Only what counts is kept, wherever the input is cut: data in the heap, the event's name in the struct, and as much of a field's
 * name as tells whether it is one of ours. A line is over at CR or LF alike; an LF that follows a CR belongs to it. So an event is
 * complete at the CR of its blank line, and nobody waits for a byte that may not come.
 *
 * Invariants:
 *   1. gathered.len <= max, and name_len <= WFI_SSE_NAME_MAX.
 *   2. In SSE_FIELD with field_len 0 the line is empty so far, but for a byte order mark. */
#include "sse.h"

/* Where in a line. */
enum { SSE_FIELD, SSE_BLANK, SSE_VALUE };

/* Of the event under way, or of the line. */
enum {
    SSE_NAMED = 1,    /* event: has a name */
    SSE_DATA = 2,     /* event: has a data line */
    SSE_READY = 4,    /* event: was handed out; the next call begins a new one */
    SSE_CR = 8,       /* the last byte was a CR */
    SSE_MARKED = 16,  /* line: its byte order mark is dropped */
    SSE_TO_DATA = 32, /* line: its value is data */
    SSE_TO_NAME = 64  /* line: its value is the event's name */
};

#define SSE_LINE (SSE_MARKED | SSE_TO_DATA | SSE_TO_NAME)
#define SSE_KEEP 16384u /* bytes of memory that stay from one event to the next */

void wfi_sse_begin(wfi_sse *s, wfi_heap *heap, size_t max) {
    wfi_zero(s, sizeof *s);
    s->heap = heap;
    s->max = max;
}

void wfi_sse_free(wfi_sse *s) {
    wfi_buf_free(s->heap, &s->gathered);
}

/* How many bytes stand before the next CR or LF. A borrow between the bytes may stop the fast loop too early, never too late. */
static size_t sse_run(const char *text, size_t n) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint64_t x = wfi_get64(text + i), lf = x ^ ones * '\n', cr = x ^ ones * '\r';
        if (((((lf - ones) & ~lf) | ((cr - ones) & ~cr)) & ones * 0x80) != 0) break;
    }
    while (i < n && text[i] != '\n' && text[i] != '\r')
        i++;
    return i;
}

/* ---- UTF-8 ---- */

/* Length of what one U+FFFD stands for at p, where no valid sequence is: a beginning of one that breaks off, or one byte. */
static size_t sse_broken(const uint8_t *p, size_t n) {
    uint8_t lead = p[0];
    size_t want = lead < 0xC2 || lead > 0xF4 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    size_t i = 1;
    for (; i < want && i < n && p[i] >= low && p[i] <= high; i++) {
        low = 0x80;
        high = 0xBF;
    }
    return i;
}

/* Writes the text with U+FFFD for what is no UTF-8, as much of it as `cap` takes, and answers the whole length. */
static size_t sse_mend(wf_str text, char *to, size_t cap) {
    const uint8_t *p = (const uint8_t *)text.ptr;
    size_t len = 0;
    for (size_t i = 0; i < text.len;) {
        size_t valid = wfi_utf8_len(p + i, text.len - i), n = valid > 0 ? valid : 3;
        const char *from = valid > 0 ? text.ptr + i : "\xEF\xBF\xBD";
        i += valid > 0 ? valid : sse_broken(p + i, text.len - i);
        for (size_t k = 0; k < n; k++, len++)
            if (len < cap) to[len] = from[k];
    }
    return len;
}

static wf_status sse_mend_data(wfi_sse *s) {
    wf_str text = wf_str_of(s->gathered.ptr, s->gathered.len);
    wfi_buf mended = {0};
    if (wfi_utf8_valid(text)) return WF_OK;
    size_t len = sse_mend(text, NULL, 0);
    wf_status status = wfi_buf_reserve(s->heap, &mended, len, s->max);
    if (status != WF_OK) return status;
    mended.len = sse_mend(text, mended.ptr, len);
    wfi_buf_free(s->heap, &s->gathered);
    s->gathered = mended;
    return WF_OK;
}

static void sse_mend_name(wfi_sse *s) {
    char mended[WFI_SSE_NAME_MAX];
    wf_str name = wfi_utf8_clip(wf_str_of(s->name, s->name_len), WFI_SSE_NAME_MAX);
    if (!wfi_utf8_valid(name)) {
        size_t len = sse_mend(name, mended, sizeof mended);
        name = wfi_utf8_clip(wf_str_of(mended, len < sizeof mended ? len : sizeof mended), sizeof mended);
        wfi_copy(s->name, mended, name.len);
    }
    s->name_len = (uint32_t)name.len;
}

/* ---- lines ---- */

/* The event that was handed out makes room for the next one. */
static void sse_renew(wfi_sse *s) {
    s->flags &= SSE_CR;
    s->name_len = 0;
    s->gathered.len = 0;
    if (s->gathered.cap > SSE_KEEP) wfi_buf_free(s->heap, &s->gathered);
    s->event = s->data = wf_str_of("", 0);
    s->named = false;
}

static wf_status sse_hand_out(wfi_sse *s) {
    wf_status status = sse_mend_data(s);
    if (status != WF_OK) return status;
    sse_mend_name(s);
    s->named = (s->flags & SSE_NAMED) != 0;
    s->event = wf_str_of(s->name, s->name_len);
    s->data = s->gathered.len > 0 ? wf_str_of(s->gathered.ptr, s->gathered.len) : wf_str_of("", 0);
    s->flags |= SSE_READY;
    return WF_OK;
}

/* A field's name is known: what becomes of its value. */
static wf_status sse_name_field(wfi_sse *s) {
    wf_str field = wf_str_of(s->field, s->field_len);
    if (wfi_str_eq(field, WF_STR("event"))) {
        s->flags |= SSE_NAMED | SSE_TO_NAME;
        s->name_len = 0;
    } else if (wfi_str_eq(field, WF_STR("data"))) {
        bool more = (s->flags & SSE_DATA) != 0;
        s->flags |= SSE_DATA | SSE_TO_DATA;
        if (more) return wfi_buf_add(s->heap, &s->gathered, "\n", 1, s->max);
    }
    return WF_OK;
}

/* WF_OK: the line ends an event. */
static wf_status sse_end_line(wfi_sse *s) {
    bool blank = s->place == SSE_FIELD && s->field_len == 0;
    wf_status status = s->place == SSE_FIELD ? sse_name_field(s) : WF_OK;
    s->place = SSE_FIELD;
    s->field_len = 0;
    s->flags &= ~(uint32_t)SSE_LINE;
    if (status != WF_OK) return status;
    if (!blank || (s->flags & (SSE_NAMED | SSE_DATA)) == 0) return WF_AGAIN;
    return sse_hand_out(s);
}

static wf_status sse_field(wfi_sse *s, char c) {
    if (c == ':') {
        s->place = SSE_BLANK;
        return sse_name_field(s);
    }
    if (s->field_len < sizeof s->field) s->field[s->field_len++] = c;
    if (s->field_len == 3 && (s->flags & SSE_MARKED) == 0 && wfi_compare(s->field, "\xEF\xBB\xBF", 3) == 0) {
        s->flags |= SSE_MARKED;
        s->field_len = 0;
    }
    return WF_OK;
}

/* Takes in a piece of a value. */
static wf_status sse_value(wfi_sse *s, const char *p, size_t n) {
    if ((s->flags & SSE_TO_DATA) != 0) return wfi_buf_add(s->heap, &s->gathered, p, n, s->max);
    if ((s->flags & SSE_TO_NAME) != 0) {
        size_t room = WFI_SSE_NAME_MAX - s->name_len;
        if (n > room) n = room;
        wfi_copy(s->name + s->name_len, p, n);
        s->name_len += (uint32_t)n;
    }
    return WF_OK;
}

wf_status wfi_sse_read(wfi_sse *s, const char *p, size_t n, size_t *used) {
    wf_status status = WF_AGAIN;
    size_t i = 0;
    if ((s->flags & SSE_READY) != 0) sse_renew(s);
    while (i < n && status == WF_AGAIN) {
        bool after_cr = (s->flags & SSE_CR) != 0;
        s->flags &= ~(uint32_t)SSE_CR;
        if (p[i] == '\n' && after_cr) {
            i++;
        } else if (p[i] == '\n' || p[i] == '\r') {
            if (p[i++] == '\r') s->flags |= SSE_CR;
            status = sse_end_line(s);
        } else if (s->place == SSE_FIELD) {
            status = sse_field(s, p[i++]);
            if (status == WF_OK) status = WF_AGAIN;
        } else if (s->place == SSE_BLANK) {
            s->place = SSE_VALUE;
            if (p[i] == ' ') i++;
        } else {
            size_t run = sse_run(p + i, n - i);
            status = sse_value(s, p + i, run);
            i += run;
            if (status == WF_OK) status = WF_AGAIN;
        }
    }
    *used = i;
    return status;
}
