/* encoding: UTF-8, character by character; the mark at a file's begin (BOM), which tells how its text is written, and UTF-16. Tools show and take UTF-8 without
 * the mark; what they write has it again. */
#ifndef WFI_ENCODING_H
#define WFI_ENCODING_H

#include "../os/sys.h"

#define WFI_ENCODING_BAD 0x110000u /* plus the byte: one that is not UTF-8 */

/* The character at p[0..n), n > 0, that begins with a byte of 0x80 or more; its length. */
WFI size_t wfi_encoding_take_long(const char *p, size_t n, uint32_t *c);
/* The character at p[0..n), n > 0: its code point, or WFI_ENCODING_BAD and the byte; its length. */
static inline size_t wfi_encoding_take(const char *p, size_t n, uint32_t *c) {
    *c = (uint8_t)p[0];
    return *c < 0x80 ? 1 : wfi_encoding_take_long(p, n, c);
}
/* Puts a code point, U+FFFD for what is none; its length, 1 to 4. */
WFI size_t wfi_encoding_put_char(uint32_t c, char *out);

typedef enum wfi_encoding {
    WFI_ENCODING_PLAIN, /* no mark: bytes as they are */
    WFI_ENCODING_UTF8,  /* UTF-8 behind a mark */
    WFI_ENCODING_LITTLE,
    WFI_ENCODING_BIG /* UTF-16 behind one */
} wfi_encoding;

#define WFI_ENCODING_MARK 3u /* bytes of the longest mark */

/* The encoding of a text that begins so; *mark: how many of the bytes are its mark. */
WFI wfi_encoding wfi_encoding_of(const char *p, size_t n, size_t *mark);
static inline bool wfi_encoding_is_16(wfi_encoding e) {
    return e >= WFI_ENCODING_LITTLE;
}

/* UTF-16 that comes in pieces. */
typedef struct wfi_utf16 {
    bool big;
    bool bad; /* half a pair, or half a unit */
    bool half;
    uint8_t byte;  /* the first of a unit, if half */
    uint32_t high; /* the first unit of a pair, or 0 */
} wfi_utf16;

#define WFI_UTF16_ROOM(n) (((n) / 2 + 2) * 3) /* bytes of UTF-8 that n bytes make at most */

/* Decodes a piece behind the mark; the bytes that it has made. What is bad becomes U+FFFD. */
WFI size_t wfi_utf16_decode(wfi_utf16 *d, const char *in, size_t n, char *out);
/* What is missing at the end. */
WFI size_t wfi_utf16_end(wfi_utf16 *d, char *out);

/* The mark and the text, which is UTF-8; the bytes that it has made, at most 2 * text.len + WFI_ENCODING_MARK. */
WFI size_t wfi_encoding_put(wfi_encoding e, wf_str text, char *out);

#endif
