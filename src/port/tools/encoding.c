/* encoding: see encoding.h. */
#include "encoding.h"
#include <string.h>

/* ---- UTF-8 ---- */

size_t wfi_encoding_take_long(const char *text, size_t n, uint32_t *c) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *p = (const uint8_t *)text;
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    uint32_t v = p[0] & (0x7fu >> len);
    bool good = p[0] >= 0xc2 && p[0] <= 0xf4 && len <= n;
    for (size_t i = 1; good && i < len; i++) {
        good = (p[i] & 0xc0) == 0x80;
        v = v << 6 | (p[i] & 0x3fu);
    }
    good = good && v >= least[len] && v < WFI_ENCODING_BAD && (v < 0xd800 || v > 0xdfff);
    *c = good ? v : WFI_ENCODING_BAD + p[0];
    return good ? len : 1;
}

size_t wfi_encoding_put_char(uint32_t c, char *out) {
    if (c >= WFI_ENCODING_BAD || (c >= 0xd800 && c <= 0xdfff)) c = 0xfffd;
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(len == 1 ? c : (0xf00u >> len & 0xff) | c);
    return len;
}

/* ---- marks ---- */

wfi_encoding wfi_encoding_of(const char *p, size_t n, size_t *mark) {
    *mark = n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    if (*mark > 0) return WFI_ENCODING_UTF8;
    bool little = n >= 2 && memcmp(p, "\xff\xfe", 2) == 0, big = n >= 2 && memcmp(p, "\xfe\xff", 2) == 0;
    *mark = little || big ? 2 : 0;
    return little ? WFI_ENCODING_LITTLE : big ? WFI_ENCODING_BIG : WFI_ENCODING_PLAIN;
}

/* ---- UTF-16 ---- */

static size_t utf16_unit(wfi_utf16 *d, uint32_t unit, char *out) {
    size_t n = 0;
    bool low = unit >= 0xdc00 && unit < 0xe000;
    if (low && d->high != 0) {
        n = wfi_encoding_put_char(0x10000 + ((d->high - 0xd800) << 10) + (unit - 0xdc00), out);
        d->high = 0;
        return n;
    }
    n = wfi_utf16_end(d, out);
    d->high = unit >= 0xd800 && unit < 0xdc00 ? unit : 0;
    d->bad = d->bad || low;
    return d->high != 0 ? n : n + wfi_encoding_put_char(unit, out + n); /* U+FFFD for a lone half */
}

size_t wfi_utf16_decode(wfi_utf16 *d, const char *in, size_t n, char *out) {
    size_t made = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)in[i];
        d->half = !d->half;
        if (!d->half)
            made += utf16_unit(d, d->big ? (uint32_t)d->byte << 8 | byte : (uint32_t)byte << 8 | d->byte, out + made);
        d->byte = byte;
    }
    return made;
}

size_t wfi_utf16_end(wfi_utf16 *d, char *out) {
    bool missing = d->high != 0 || d->half;
    d->bad = d->bad || missing;
    d->high = 0;
    d->half = false;
    return missing ? wfi_encoding_put_char(0xfffd, out) : 0;
}

static size_t encoding_unit(wfi_encoding e, uint32_t unit, char *out) {
    out[e == WFI_ENCODING_BIG] = (char)(unit & 0xff);
    out[e != WFI_ENCODING_BIG] = (char)(unit >> 8);
    return 2;
}

static size_t encoding_put_16(wfi_encoding e, wf_str text, char *out) {
    size_t n = encoding_unit(e, 0xfeff, out);
    for (size_t i = 0; i < text.len;) {
        uint32_t c;
        i += wfi_encoding_take(text.ptr + i, text.len - i, &c);
        if (c >= WFI_ENCODING_BAD) c = 0xfffd;
        if (c >= 0x10000) n += encoding_unit(e, 0xd800 + ((c - 0x10000) >> 10), out + n);
        n += encoding_unit(e, c >= 0x10000 ? 0xdc00 + ((c - 0x10000) & 0x3ff) : c, out + n);
    }
    return n;
}

size_t wfi_encoding_put(wfi_encoding e, wf_str text, char *out) {
    if (wfi_encoding_is_16(e)) return encoding_put_16(e, text, out);
    size_t n = e == WFI_ENCODING_UTF8 ? WFI_ENCODING_MARK : 0;
    memcpy(out, "\xef\xbb\xbf", n);
    if (text.len > 0) memcpy(out + n, text.ptr, text.len);
    return n + text.len;
}
