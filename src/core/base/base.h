/* base: what every part of the core stands on. Slices, memory functions, checked arithmetic, byte order, UTF-8,
 * CRC32C, SHA-256. No state, no allocation, no libc: only the five freestanding headers that core.h includes.
 *
 * Naming: wf_ public, WF_ public macros, wfi_ internal, WFI_ internal macros. */
#ifndef WFI_BASE_H
#define WFI_BASE_H

#include "../../api/core.h"
#include "../../api/json.h"

/* Linkage of internal functions: external in the split tree, static in the one-header product. */
#ifndef WFI
#define WFI extern
#endif

/* For what cannot happen. A failed one stops the program at once: state is wrong and nothing may be written. */
#if defined(NDEBUG)
#define WFI_ASSERT(cond) ((void)0)
#else
#define WFI_ASSERT(cond) ((cond) ? (void)0 : wfi_panic(__FILE__, __LINE__))
WFI void wfi_panic(const char *file, int line);
#endif

#define WFI_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- memory ---- */
WFI void wfi_copy(void *to, const void *from, size_t n); /* must not overlap */
WFI void wfi_move(void *to, const void *from, size_t n);
WFI void wfi_zero(void *to, size_t n);
WFI int wfi_compare(const void *a, const void *b, size_t n); /* as unsigned bytes; <0, 0, >0 */

/* ---- slices ---- */
WFI bool wfi_str_eq(wf_str a, wf_str b);
WFI bool wfi_same_name(wf_str a, wf_str b);                /* but for the case of ASCII letters */
WFI size_t wfi_find_name(wf_str s, wf_str name);           /* likewise, within s; s.len if not there */
WFI wf_str wfi_str_z(const char *z);                       /* of a terminated string; NULL is empty */
WFI wf_str wfi_str_cut(wf_str s, size_t from, size_t len); /* clamped */
WFI size_t wfi_str_find(wf_str s, char c);                 /* s.len if not there */
WFI bool wfi_str_u64(wf_str s, uint64_t *out);             /* decimal digits only, whole slice, no overflow */
WFI size_t wfi_u64_str(uint64_t v, char out[20]);          /* decimal, unterminated */
/* The number that s begins with, digits[.digits][e[+-]digits] without a sign, times 10^shift: rounded up, UINT64_MAX if it is more
 * than that. Answers how many bytes it takes, 0: none. */
WFI size_t wfi_decimal(wf_str s, int32_t shift, uint64_t *out);

/* ---- checked arithmetic: false on overflow, *out then untouched ---- */
WFI bool wfi_add_size(size_t a, size_t b, size_t *out);
WFI bool wfi_mul_size(size_t a, size_t b, size_t *out);
WFI bool wfi_add_u64(uint64_t a, uint64_t b, uint64_t *out);
WFI uint64_t wfi_add_sat(uint64_t a, uint64_t b); /* saturating */
WFI size_t wfi_align_up(size_t n, size_t align);  /* align a power of two; n + align must not overflow */

/* ---- what requests use up ---- */
typedef struct wfi_cost {
    uint64_t tokens, nano_usd;
} wfi_cost;
WFI void wfi_cost_add(wfi_cost *to, wfi_cost cost);      /* saturating */
WFI bool wfi_cost_within(wfi_cost cost, wfi_cost limit); /* a limit of 0 is none */
WFI wfi_cost wfi_cost_of(const wf_usage *usage);

/* ---- little-endian bytes ---- */
WFI uint32_t wfi_get32(const void *p);
WFI uint64_t wfi_get64(const void *p);
WFI void wfi_put16(void *p, uint16_t v);
WFI void wfi_put32(void *p, uint32_t v);
WFI void wfi_put64(void *p, uint64_t v);

/* Of ASCII letters alone. */
static inline char wfi_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* ---- UTF-8 (RFC 3629) ---- */
/* Length 1..4 of the valid sequence at p[0..n), 0 if it is not one (overlong, surrogate, > U+10FFFF, cut). */
WFI size_t wfi_utf8_len(const uint8_t *p, size_t n);
WFI bool wfi_utf8_valid(wf_str s);
WFI size_t wfi_utf8_put(uint32_t code_point, char out[4]); /* U+FFFD for what is no scalar value */
/* The longest prefix of at most max bytes that does not end inside a sequence. */
WFI wf_str wfi_utf8_clip(wf_str s, size_t max);

/* ---- CRC32C (Castagnoli, RFC 3720 B.4): crc of (whatever gave `crc`) followed by p[0..n); start with a seed or 0 ---- */
WFI uint32_t wfi_crc32c(uint32_t crc, const void *p, size_t n);

/* ---- SHA-256 (FIPS 180-4) ---- */
typedef struct wfi_sha256 {
    uint32_t h[8];
    uint64_t total;
    uint8_t block[64];
} wfi_sha256;
WFI void wfi_sha256_init(wfi_sha256 *s);
WFI void wfi_sha256_add(wfi_sha256 *s, const void *p, size_t n);
WFI void wfi_sha256_end(wfi_sha256 *s, uint8_t out[32]);
WFI void wfi_hex(const uint8_t *p, size_t n, char *out); /* 2n lower-case digits, unterminated */

/* ---- JSON: what json.c offers besides its public face, src/api/json.h ---- */
/* The code point at raw.ptr[*pos], which must be inside the slice, of a still escaped string; moves *pos behind it.
 * A lone surrogate is U+FFFD. In text that no reader has passed, a broken escape yields its backslash. */
WFI uint32_t wfi_json_char(wf_str raw, size_t *pos);
/* Whether a still escaped string holds nothing but white space and control characters, by Unicode's White_Space. */
WFI bool wfi_json_blank(wf_str raw);
/* Whether a still escaped string is one of these words; NULL ends the list. */
WFI bool wfi_json_is_one_of(wf_str raw, const char *const *words);

#endif
