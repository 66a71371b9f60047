/* base: the definitions behind base.h and the names of the status and kind lists of core.h.
 *
 * Contract: base.h. Nothing here keeps state, allocates or calls out; every loop is bounded by a length that the
 * caller gave (or by a terminator, in wfi_str_z alone).
 *
 * memcpy, memmove, memset and memcmp are what a freestanding compiler may always ask for, whatever a program says; so the memory
 * functions ask for them as well, without a header. */
#include "base.h"

#if !defined(NDEBUG)
WFI void wfi_panic(const char *file, int line) {
    (void)file; /* for the debugger that looks at the frame: there is nowhere to print */
    (void)line;
    for (;;)
        __builtin_trap();
}
#endif

/* ---- names ---- */

const char *wf_status_name(wf_status status) {
    switch (status) {
#define BASE_STATUS_NAME(name, value, text)                                                                            \
    case name:                                                                                                         \
        return #name;
        WF_STATUS_LIST(BASE_STATUS_NAME)
#undef BASE_STATUS_NAME
    }
    return "?";
}

const char *wf_status_text(wf_status status) {
    switch (status) {
#define BASE_STATUS_TEXT(name, value, text)                                                                            \
    case name:                                                                                                         \
        return text;
        WF_STATUS_LIST(BASE_STATUS_TEXT)
#undef BASE_STATUS_TEXT
    }
    return "?";
}

const char *wf_kind_name(wf_kind kind) {
    switch (kind) {
#define BASE_KIND_NAME(name, text)                                                                                     \
    case name:                                                                                                         \
        return text;
        WF_KIND_LIST(BASE_KIND_NAME)
#undef BASE_KIND_NAME
    case WF_KIND_COUNT:
        break;
    }
    return "?";
}

/* ---- memory ---- */

WFI void wfi_copy(void *to, const void *from, size_t n) {
    if (n > 0) __builtin_memcpy(to, from, n);
}

WFI void wfi_move(void *to, const void *from, size_t n) {
    if (n > 0) __builtin_memmove(to, from, n);
}

WFI void wfi_zero(void *to, size_t n) {
    if (n > 0) __builtin_memset(to, 0, n);
}

WFI int wfi_compare(const void *a, const void *b, size_t n) {
    return n > 0 ? __builtin_memcmp(a, b, n) : 0;
}

/* ---- slices ---- */

WFI bool wfi_str_eq(wf_str a, wf_str b) {
    return a.len == b.len && wfi_compare(a.ptr, b.ptr, a.len) == 0;
}

WFI bool wfi_same_name(wf_str a, wf_str b) {
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++)
        if (wfi_lower(a.ptr[i]) != wfi_lower(b.ptr[i])) return false;
    return true;
}

WFI size_t wfi_find_name(wf_str s, wf_str name) {
    for (size_t at = 0; at + name.len <= s.len; at++)
        if (wfi_same_name(wfi_str_cut(s, at, name.len), name)) return at;
    return s.len;
}

WFI wf_str wfi_str_z(const char *z) {
    const volatile char *end =
        z; /* volatile: a plain loop would become a call of strlen, which is not ours to ask for */
    if (end != NULL)
        while (*end != '\0')
            end++;
    return wf_str_of(z, (size_t)((uintptr_t)end - (uintptr_t)z));
}

WFI wf_str wfi_str_cut(wf_str s, size_t from, size_t len) {
    if (from > s.len) from = s.len;
    if (len > s.len - from) len = s.len - from;
    return wf_str_of(from > 0 ? s.ptr + from : s.ptr, len);
}

WFI size_t wfi_str_find(wf_str s, char c) {
    size_t i = 0;
    while (i < s.len && s.ptr[i] != c)
        i++;
    return i;
}

WFI bool wfi_str_u64(wf_str s, uint64_t *out) {
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') return false;
        uint64_t digit = (uint64_t)(s.ptr[i] - '0');
        if (v > (UINT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    if (s.len == 0) return false;
    *out = v;
    return true;
}

WFI size_t wfi_u64_str(uint64_t v, char out[20]) {
    char reversed[20];
    size_t n = 0;
    do {
        reversed[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    for (size_t i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    return n;
}

/* Length of the digits at s[from..). */
static size_t base_digits(wf_str s, size_t from) {
    size_t n = 0;
    while (from + n < s.len && s.ptr[from + n] >= '0' && s.ptr[from + n] <= '9')
        n++;
    return n;
}

/* The exponent at s[at..), if there is one: how many bytes it takes. No more than 9999 matters to a 64-bit number. */
static size_t base_exponent(wf_str s, size_t at, int64_t *out) {
    size_t sign = at + 1;
    if (at >= s.len || (s.ptr[at] != 'e' && s.ptr[at] != 'E')) return 0;
    bool minus = sign < s.len && s.ptr[sign] == '-';
    size_t from = sign + (sign < s.len && (minus || s.ptr[sign] == '+') ? 1 : 0), n = base_digits(s, from);
    int64_t v = 0;
    for (size_t i = from; i < from + n && v < 1000; i++)
        v = v * 10 + (s.ptr[i] - '0');
    *out = minus ? -v : v;
    return n > 0 ? from + n - at : 0;
}

WFI size_t wfi_decimal(wf_str s, int32_t shift, uint64_t *out) {
    size_t whole = base_digits(s, 0);
    bool point = whole < s.len && s.ptr[whole] == '.';
    size_t fraction = point ? base_digits(s, whole + 1) : 0;
    if (whole + fraction == 0) return 0;
    size_t len = whole + (point ? 1 : 0) + fraction;
    int64_t exponent = 0;
    size_t end = len + base_exponent(s, len, &exponent);
    int64_t left = (int64_t)whole + exponent + shift; /* digits that count, from the first one; zeros beyond the last */
    uint64_t v = 0;
    bool over = false, rest = false;
    for (size_t i = 0; i < len; i++) {
        if (i == whole) continue; /* the point */
        uint64_t digit = (uint64_t)(s.ptr[i] - '0');
        if (left-- <= 0) {
            rest = rest || digit > 0;
            continue;
        }
        over = over || v > (UINT64_MAX - digit) / 10;
        v = v * 10 + digit;
    }
    for (; left > 0 && v > 0 && !over; left--) {
        over = v > UINT64_MAX / 10;
        v *= 10;
    }
    *out = over ? UINT64_MAX : wfi_add_sat(v, rest ? 1 : 0);
    return end;
}

/* ---- checked arithmetic ---- */

WFI bool wfi_add_size(size_t a, size_t b, size_t *out) {
    if (a > SIZE_MAX - b) return false;
    *out = a + b;
    return true;
}

WFI bool wfi_mul_size(size_t a, size_t b, size_t *out) {
    if (b != 0 && a > SIZE_MAX / b) return false;
    *out = a * b;
    return true;
}

WFI bool wfi_add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    if (a > UINT64_MAX - b) return false;
    *out = a + b;
    return true;
}

WFI uint64_t wfi_add_sat(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

WFI size_t wfi_align_up(size_t n, size_t align) {
    WFI_ASSERT(align != 0 && (align & (align - 1)) == 0 && n <= SIZE_MAX - align);
    return (n + align - 1) & ~(align - 1);
}

/* ---- what requests use up ---- */

void wfi_cost_add(wfi_cost *to, wfi_cost cost) {
    to->tokens = wfi_add_sat(to->tokens, cost.tokens);
    to->nano_usd = wfi_add_sat(to->nano_usd, cost.nano_usd);
}

bool wfi_cost_within(wfi_cost cost, wfi_cost limit) {
    return (limit.tokens == 0 || cost.tokens <= limit.tokens) &&
           (limit.nano_usd == 0 || cost.nano_usd <= limit.nano_usd);
}

wfi_cost wfi_cost_of(const wf_usage *u) {
    uint64_t prompt = wfi_add_sat(u->input, wfi_add_sat(u->cache_read, u->cache_write));
    wfi_cost cost = {wfi_add_sat(prompt, u->output), u->nano_usd};
    return cost;
}

/* ---- little-endian bytes ---- */

WFI uint32_t wfi_get32(const void *p) {
    const uint8_t *b = p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

WFI uint64_t wfi_get64(const void *p) {
    const uint8_t *b = p;
    return (uint64_t)wfi_get32(b) | (uint64_t)wfi_get32(b + 4) << 32;
}

WFI void wfi_put16(void *p, uint16_t v) {
    uint8_t *b = p;
    b[0] = (uint8_t)(v & 0xFF);
    b[1] = (uint8_t)(v >> 8);
}

WFI void wfi_put32(void *p, uint32_t v) {
    uint8_t *b = p;
    wfi_put16(b, (uint16_t)(v & 0xFFFF));
    wfi_put16(b + 2, (uint16_t)(v >> 16));
}

WFI void wfi_put64(void *p, uint64_t v) {
    uint8_t *b = p;
    wfi_put32(b, (uint32_t)(v & UINT32_MAX));
    wfi_put32(b + 4, (uint32_t)(v >> 32));
}

/* ---- UTF-8 ---- */

/* How long a sequence is that begins with this byte, 0 if none does (C0, C1 and F5 up could only begin overlong or
 * too large ones). */
static size_t base_utf8_want(uint8_t lead) {
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

WFI size_t wfi_utf8_len(const uint8_t *p, size_t n) {
    size_t want = n > 0 ? base_utf8_want(p[0]) : 0;
    if (want > n) return 0;
    for (size_t i = 1; i < want; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if (want < 3) return want;
    bool overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xED && p[1] > 0x9F;
    bool too_large = p[0] == 0xF4 && p[1] > 0x8F;
    return overlong || surrogate || too_large ? 0 : want;
}

WFI bool wfi_utf8_valid(wf_str s) {
    const uint8_t *p = (const uint8_t *)s.ptr;
    for (size_t at = 0; at < s.len;) {
        if (s.len - at >= 8 && (wfi_get64(p + at) & UINT64_C(0x8080808080808080)) == 0) {
            at += 8;
            continue;
        }
        size_t len = wfi_utf8_len(p + at, s.len - at);
        if (len == 0) return false;
        at += len;
    }
    return true;
}

WFI size_t wfi_utf8_put(uint32_t code_point, char out[4]) {
    uint32_t c = code_point;
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) c = 0xFFFD;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    static const uint8_t mark[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(mark[len] | c);
    return len;
}

/* Judges by the prefix alone, so that a text whose end was lost already is clipped as well. */
WFI wf_str wfi_utf8_clip(wf_str s, size_t max) {
    wf_str cut = wfi_str_cut(s, 0, max);
    for (size_t back = 1; back <= 3 && back <= cut.len; back++) {
        uint8_t byte = (uint8_t)cut.ptr[cut.len - back];
        if (base_utf8_want(byte) > back) return wfi_str_cut(cut, 0, cut.len - back);
        if ((byte & 0xC0) != 0x80) break;
    }
    return cut;
}

/* ---- CRC32C ---- */

#if defined(__SSE4_2__) && defined(__x86_64__)

WFI uint32_t wfi_crc32c(uint32_t crc, const void *p, size_t n) {
    const uint8_t *b = p;
    uint64_t c = ~crc;
    for (; n >= 8; n -= 8, b += 8)
        c = __builtin_ia32_crc32di(c, wfi_get64(b));
    uint32_t r = (uint32_t)c;
    for (; n > 0; n--, b++)
        r = __builtin_ia32_crc32qi(r, *b);
    return ~r;
}

#else

/* The remainder of byte i is the exclusive or of the remainders of its bits (the code is linear), so eight constants
 * spell the whole table; the last is the reversed polynomial, and each is the next one divided once more. */
#define BASE_CRC_BIT(i, bit, r) (((i) & (bit)) != 0 ? (r) : 0u)
#define BASE_CRC_1(i)                                                                                                  \
    (BASE_CRC_BIT(i, 1, 0xF26B8303u) ^ BASE_CRC_BIT(i, 2, 0xE13B70F7u) ^ BASE_CRC_BIT(i, 4, 0xC79A971Fu) ^             \
     BASE_CRC_BIT(i, 8, 0x8AD958CFu) ^ BASE_CRC_BIT(i, 16, 0x105EC76Fu) ^ BASE_CRC_BIT(i, 32, 0x20BD8EDEu) ^           \
     BASE_CRC_BIT(i, 64, 0x417B1DBCu) ^ BASE_CRC_BIT(i, 128, 0x82F63B78u))
#define BASE_CRC_4(i)  BASE_CRC_1(i), BASE_CRC_1((i) + 1), BASE_CRC_1((i) + 2), BASE_CRC_1((i) + 3)
#define BASE_CRC_16(i) BASE_CRC_4(i), BASE_CRC_4((i) + 4), BASE_CRC_4((i) + 8), BASE_CRC_4((i) + 12)
#define BASE_CRC_64(i) BASE_CRC_16(i), BASE_CRC_16((i) + 16), BASE_CRC_16((i) + 32), BASE_CRC_16((i) + 48)

static const uint32_t base_crc_table[256] = {BASE_CRC_64(0), BASE_CRC_64(64), BASE_CRC_64(128), BASE_CRC_64(192)};

WFI uint32_t wfi_crc32c(uint32_t crc, const void *p, size_t n) {
    const uint8_t *b = p;
    crc = ~crc;
    for (size_t i = 0; i < n; i++)
        crc = crc >> 8 ^ base_crc_table[(crc ^ b[i]) & 0xFF];
    return ~crc;
}

#endif

/* ---- SHA-256 ---- */

static const uint32_t base_sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t base_ror(uint32_t v, unsigned n) {
    return v >> n | v << (32 - n);
}

static uint32_t base_get32_be(const uint8_t *b) {
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | (uint32_t)b[3];
}

/* The word of round i, i >= 16. The schedule keeps only its last 16 words: stacks are small on a board. */
static uint32_t base_sha_word(const uint32_t w[16], unsigned i) {
    uint32_t a = w[(i + 1) & 15], b = w[(i + 14) & 15];
    uint32_t s0 = base_ror(a, 7) ^ base_ror(a, 18) ^ a >> 3;
    uint32_t s1 = base_ror(b, 17) ^ base_ror(b, 19) ^ b >> 10;
    return w[i & 15] + s0 + w[(i + 9) & 15] + s1;
}

/* a..h, t1 and t2 are named as in the standard. */
static void base_sha_block(uint32_t state[8], const uint8_t block[64]) {
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    uint32_t w[16];
    for (unsigned i = 0; i < 64; i++) {
        w[i & 15] = i < 16 ? base_get32_be(block + i * 4) : base_sha_word(w, i);
        uint32_t t1 = h + (base_ror(e, 6) ^ base_ror(e, 11) ^ base_ror(e, 25)) + ((e & f) ^ (~e & g));
        uint32_t t2 = (base_ror(a, 2) ^ base_ror(a, 13) ^ base_ror(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        t1 += base_sha_k[i] + w[i & 15];
        h = g, g = f, f = e, e = d + t1;
        d = c, c = b, b = a, a = t1 + t2;
    }
    const uint32_t add[8] = {a, b, c, d, e, f, g, h};
    for (unsigned i = 0; i < 8; i++)
        state[i] += add[i];
}

WFI void wfi_sha256_init(wfi_sha256 *s) {
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    wfi_copy(s->h, start, sizeof start);
    s->total = 0;
}

WFI void wfi_sha256_add(wfi_sha256 *s, const void *p, size_t n) {
    const uint8_t *b = p;
    size_t held = (size_t)(s->total % 64);
    s->total += n;
    while (n > 0) {
        if (held == 0 && n >= 64) {
            base_sha_block(s->h, b);
            b += 64;
            n -= 64;
            continue;
        }
        size_t part = n < 64 - held ? n : 64 - held;
        wfi_copy(s->block + held, b, part);
        held += part;
        b += part;
        n -= part;
        if (held == 64) {
            base_sha_block(s->h, s->block);
            held = 0;
        }
    }
}

WFI void wfi_sha256_end(wfi_sha256 *s, uint8_t out[32]) {
    static const uint8_t pad[64] = {0x80};
    uint8_t bits[8];
    for (unsigned i = 0; i < 8; i++)
        bits[i] = (uint8_t)(s->total * 8 >> (56 - 8 * i) & 0xFF);
    size_t held = (size_t)(s->total % 64);
    wfi_sha256_add(s, pad, held < 56 ? 56 - held : 120 - held);
    wfi_sha256_add(s, bits, sizeof bits);
    for (unsigned i = 0; i < 32; i++)
        out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)) & 0xFF);
}

WFI void wfi_hex(const uint8_t *p, size_t n, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
}

void wf_sha256(const wf_str *parts, size_t count, char out[WF_SHA256_TEXT]) {
    uint8_t hash[32];
    wfi_sha256 sha;
    wfi_sha256_init(&sha);
    for (size_t i = 0; i < count; i++)
        wfi_sha256_add(&sha, parts[i].ptr, parts[i].len);
    wfi_sha256_end(&sha, hash);
    wfi_hex(hash, sizeof hash, out);
    out[WF_SHA256_TEXT - 1] = '\0';
}
