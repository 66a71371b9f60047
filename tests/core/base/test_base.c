/* Tests of base: known vectors, every boundary, and independent second implementations where the input space is small
 * enough to walk. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "src/core/base/base.h"

#include <cmocka.h>

static void names_and_texts(void **state) {
    (void)state;
    assert_string_equal(wf_status_name(WF_OK), "WF_OK");
    assert_string_equal(wf_status_name(WF_E_INTERNAL), "WF_E_INTERNAL");
    assert_string_equal(wf_status_text(WF_AGAIN), "not yet: call again later");
    for (int v = -14; v <= 2; v++) {
        assert_int_equal(strncmp(wf_status_name((wf_status)v), "WF_", 3), 0);
        assert_true(strlen(wf_status_text((wf_status)v)) > 1);
    }
    assert_string_equal(wf_status_name((wf_status)3), "?");
    assert_string_equal(wf_status_name((wf_status)-15), "?");
    assert_string_equal(wf_status_text((wf_status)3), "?");
    assert_string_equal(wf_kind_name(WF_KIND_NONE), "none");
    assert_string_equal(wf_kind_name(WF_KIND_TOOL), "tool");
    assert_string_equal(wf_kind_name(WF_KIND_MEMORY), "memory");
    for (int v = 0; v < WF_KIND_COUNT; v++)
        assert_true(strlen(wf_kind_name((wf_kind)v)) > 1);
    assert_string_equal(wf_kind_name(WF_KIND_COUNT), "?");
    assert_string_equal(wf_kind_name((wf_kind)(WF_KIND_COUNT + 1)), "?");
}

static void memory_functions(void **state) {
    (void)state;
    uint8_t a[96], b[96], want[96];
    for (size_t n = 0; n <= 33; n++)
        for (size_t from = 0; from <= 9; from++)
            for (size_t to = 0; to <= 40; to++) {
                for (size_t i = 0; i < sizeof a; i++)
                    a[i] = b[i] = want[i] = (uint8_t)(i * 7 + 1);
                memmove(want + to, want + from, n);
                wfi_move(a + to, a + from, n);
                assert_memory_equal(a, want, sizeof a);
                wfi_move(b + from, b + to, n); /* the other way round */
                for (size_t i = 0; i < n; i++)
                    assert_int_equal(b[from + i], (uint8_t)((to + i) * 7 + 1));
            }
    for (size_t n = 0; n <= 64; n++) {
        memset(a, 0xAA, sizeof a);
        memset(want, 0xAA, sizeof want);
        for (size_t i = 0; i < sizeof b; i++)
            b[i] = (uint8_t)(i + 1);
        memcpy(want + 3, b + 1, n);
        wfi_copy(a + 3, b + 1, n);
        assert_memory_equal(a, want, sizeof a);
        memset(want + 3, 0, n);
        wfi_zero(a + 3, n);
        assert_memory_equal(a, want, sizeof a);
    }
    wfi_copy(NULL, NULL, 0);
    wfi_move(NULL, NULL, 0);
    wfi_zero(NULL, 0);
    assert_int_equal(wfi_compare(NULL, NULL, 0), 0);
    assert_int_equal(wfi_compare("abc", "abd", 2), 0);
    assert_true(wfi_compare("abc", "abd", 3) < 0);
    assert_true(wfi_compare("\xFF", "\x01", 1) > 0);
}

static void slices(void **state) {
    (void)state;
    wf_str s = WF_STR("hello"), none = {NULL, 0};
    assert_true(wfi_str_eq(s, wf_str_of("hello!", 5)));
    assert_false(wfi_str_eq(s, WF_STR("hellO")));
    assert_false(wfi_str_eq(s, WF_STR("hell")));
    assert_true(wfi_str_eq(none, WF_STR("")));
    assert_true(wfi_str_eq(WF_STR("a\0b"), wf_str_of("a\0b", 3)));
    assert_false(wfi_str_eq(WF_STR("a\0b"), WF_STR("a\0c")));

    assert_true(wfi_str_eq(wfi_str_z("hello"), s));
    assert_int_equal(wfi_str_z("").len, 0);
    assert_int_equal(wfi_str_z(NULL).len, 0);
    assert_null(wfi_str_z(NULL).ptr);

    assert_true(wfi_str_eq(wfi_str_cut(s, 1, 3), WF_STR("ell")));
    assert_true(wfi_str_eq(wfi_str_cut(s, 3, SIZE_MAX), WF_STR("lo")));
    assert_true(wfi_str_eq(wfi_str_cut(s, 0, 5), s));
    assert_ptr_equal(wfi_str_cut(s, 9, 1).ptr, s.ptr + 5);
    assert_int_equal(wfi_str_cut(s, 9, 1).len, 0);
    assert_int_equal(wfi_str_cut(s, SIZE_MAX, SIZE_MAX).len, 0);
    assert_int_equal(wfi_str_cut(none, 1, 1).len, 0);

    assert_int_equal(wfi_str_find(s, 'h'), 0);
    assert_int_equal(wfi_str_find(s, 'l'), 2);
    assert_int_equal(wfi_str_find(s, 'x'), 5);
    assert_int_equal(wfi_str_find(none, 'x'), 0);
}

static void decimal(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0", 0},
                {"7", 7},
                {"10", 10},
                {"007", 7},
                {"4294967296", UINT64_C(4294967296)},
                {"18446744073709551609", UINT64_MAX - 6},
                {"18446744073709551615", UINT64_MAX},
                {"00000000000000000000018446744073709551615", UINT64_MAX}};
    static const char *const bad[] = {"",    "-1",   "+1",  " 1",
                                      "1 ",  "1a",   "0x1", "18446744073709551616",
                                      "1.0", "1e3",  "/",   "18446744073709551620",
                                      ":",   "\xB2", "a",   "99999999999999999999999"};
    for (size_t i = 0; i < WFI_COUNT(good); i++) {
        uint64_t v = 42;
        assert_true(wfi_str_u64(wfi_str_z(good[i].text), &v));
        assert_true(v == good[i].value);
    }
    for (size_t i = 0; i < WFI_COUNT(bad); i++) {
        uint64_t v = 42;
        assert_false(wfi_str_u64(wfi_str_z(bad[i]), &v));
        assert_true(v == 42);
    }
    uint64_t powers = 1;
    for (int i = 0; i < 20; i++, powers *= 10)
        for (int d = -1; d <= 1; d++) {
            uint64_t v = powers + (uint64_t)(int64_t)d, back = 1;
            char text[20];
            size_t n = wfi_u64_str(v, text);
            assert_true(wfi_str_u64(wf_str_of(text, n), &back));
            assert_true(back == v);
            assert_true(n == 1 || text[0] != '0');
        }
    char text[20];
    assert_int_equal(wfi_u64_str(UINT64_MAX, text), 20);
    assert_memory_equal(text, "18446744073709551615", 20);
}

static void checked_arithmetic(void **state) {
    (void)state;
    size_t s = 9;
    assert_true(wfi_add_size(SIZE_MAX - 1, 1, &s) && s == SIZE_MAX);
    assert_true(wfi_add_size(0, 0, &s) && s == 0);
    s = 9;
    assert_false(wfi_add_size(SIZE_MAX, 1, &s));
    assert_false(wfi_add_size(1, SIZE_MAX, &s));
    assert_false(wfi_mul_size(SIZE_MAX / 2 + 1, 2, &s));
    assert_false(wfi_mul_size(2, SIZE_MAX / 2 + 1, &s));
    assert_false(wfi_mul_size(SIZE_MAX, SIZE_MAX, &s));
    assert_int_equal(s, 9);
    assert_true(wfi_mul_size(SIZE_MAX, 1, &s) && s == SIZE_MAX);
    assert_true(wfi_mul_size(SIZE_MAX / 2, 2, &s) && s == SIZE_MAX - 1);
    assert_true(wfi_mul_size(0, SIZE_MAX, &s) && s == 0);
    assert_true(wfi_mul_size(SIZE_MAX, 0, &s) && s == 0);
    uint64_t u = 9;
    assert_false(wfi_add_u64(UINT64_MAX, 1, &u));
    assert_true(u == 9);
    assert_true(wfi_add_u64(UINT64_MAX, 0, &u) && u == UINT64_MAX);
    assert_true(wfi_add_sat(UINT64_MAX, 1) == UINT64_MAX);
    assert_true(wfi_add_sat(UINT64_MAX - 1, 1) == UINT64_MAX);
    assert_true(wfi_add_sat(UINT64_MAX - 2, 1) == UINT64_MAX - 1);
    assert_int_equal(wfi_align_up(0, 8), 0);
    assert_int_equal(wfi_align_up(1, 8), 8);
    assert_int_equal(wfi_align_up(8, 8), 8);
    assert_int_equal(wfi_align_up(9, 8), 16);
    assert_int_equal(wfi_align_up(5, 1), 5);
}

static void little_endian(void **state) {
    (void)state;
    static const uint8_t bytes[9] = {0, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88};
    uint8_t out[9] = {0}; /* odd addresses on purpose */
    assert_true(wfi_get32(bytes + 1) == 0x84838281u);
    assert_true(wfi_get64(bytes + 1) == UINT64_C(0x8887868584838281));
    wfi_put64(out + 1, UINT64_C(0x8887868584838281));
    assert_memory_equal(out, bytes, 9);
    memset(out, 0, sizeof out);
    wfi_put32(out + 1, 0x84838281u);
    assert_memory_equal(out, bytes, 5);
    assert_int_equal(out[5], 0);
    memset(out, 0, sizeof out);
    wfi_put16(out + 1, 0x8281);
    assert_memory_equal(out, bytes, 3);
    assert_int_equal(out[3], 0);
}

/* A second, naive reading: decode by the bit patterns, then judge the number. */
static size_t naive_utf8_len(const uint8_t *p, size_t n) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80 ? 1 : (p[0] >> 5) == 6 ? 2 : (p[0] >> 4) == 14 ? 3 : (p[0] >> 3) == 30 ? 4 : 0;
    if (len == 0 || len > n) return 0;
    uint32_t c = len == 1 ? p[0] : p[0] & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] >> 6) != 2) return 0;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    return c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF) ? 0 : len;
}

static void utf8_every_sequence(void **state) {
    (void)state;
    static const uint8_t tail[] = {0x00, 0x7F, 0x80, 0x81, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    size_t wrong = 0;
    for (unsigned v = 0; v < 1u << 24; v++) { /* every three bytes, at lengths 1, 2 and 3 */
        uint8_t p[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8 & 0xFF), (uint8_t)(v & 0xFF)};
        wrong += wfi_utf8_len(p, 3) != naive_utf8_len(p, 3);
        if (p[2] == 0) wrong += wfi_utf8_len(p, 2) != naive_utf8_len(p, 2);
        if (p[2] == 0 && p[1] == 0) wrong += wfi_utf8_len(p, 1) != naive_utf8_len(p, 1);
    }
    for (unsigned v = 0; v < 1u << 16; v++) /* every first two bytes of four */
        for (size_t i = 0; i < sizeof tail * sizeof tail; i++) {
            uint8_t p[4] = {(uint8_t)(v >> 8), (uint8_t)(v & 0xFF), tail[i / sizeof tail], tail[i % sizeof tail]};
            wrong += wfi_utf8_len(p, 4) != naive_utf8_len(p, 4);
        }
    assert_int_equal(wrong, 0);
    assert_int_equal(wfi_utf8_len((const uint8_t *)"a", 0), 0);
    assert_int_equal(wfi_utf8_len(NULL, 0), 0);
}

static void utf8_put_every_code_point(void **state) {
    (void)state;
    size_t wrong = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        char out[4] = {0};
        size_t len = wfi_utf8_put(c, out), want = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        const uint8_t *p = (const uint8_t *)out;
        if (c >= 0xD800 && c <= 0xDFFF) {
            wrong += len != 3 || memcmp(out, "\xEF\xBF\xBD", 3) != 0;
            continue;
        }
        uint32_t back = len == 1 ? p[0] : p[0] & (0x7Fu >> len);
        for (size_t i = 1; i < len; i++)
            back = back << 6 | (p[i] & 0x3Fu);
        wrong += len != want || back != c || wfi_utf8_len(p, len) != len;
    }
    assert_int_equal(wrong, 0);
    char out[4];
    assert_int_equal(wfi_utf8_put(0x110000, out), 3);
    assert_memory_equal(out, "\xEF\xBF\xBD", 3);
    assert_int_equal(wfi_utf8_put(UINT32_MAX, out), 3);
}

static void utf8_valid_and_clip(void **state) {
    (void)state;
    assert_true(wfi_utf8_valid(wf_str_of(NULL, 0)));
    assert_true(wfi_utf8_valid(WF_STR("a\0\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80")));
    assert_false(wfi_utf8_valid(WF_STR("ab\xC3")));
    assert_false(wfi_utf8_valid(WF_STR("\x80")));
    assert_false(wfi_utf8_valid(WF_STR("ok \xED\xA0\x80 lone")));

    wf_str s = WF_STR("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z"); /* ends at 1 3 6 10 11 */
    static const size_t want[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
    for (size_t max = 0; max < WFI_COUNT(want); max++) {
        wf_str cut = wfi_utf8_clip(s, max);
        assert_ptr_equal(cut.ptr, s.ptr);
        assert_int_equal(cut.len, want[max]);
        assert_true(wfi_utf8_valid(cut));
        /* The same when the end was lost before. */
        assert_int_equal(wfi_utf8_clip(wfi_str_cut(s, 0, max), SIZE_MAX).len, want[max]);
    }
    assert_int_equal(wfi_utf8_clip(WF_STR("\x80\x80\x80\x80\x80"), 4).len, 4); /* rubbish stays rubbish, bounded */
    assert_int_equal(wfi_utf8_clip(WF_STR("\xC3\x41"), 2).len, 2);
    assert_int_equal(wfi_utf8_clip(wf_str_of(NULL, 0), 5).len, 0);
}

static uint32_t naive_crc32c(uint32_t crc, const uint8_t *p, size_t n) {
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

static void crc32c(void **state) {
    (void)state;
    uint8_t zeros[32], ones[32], up[32], down[32], data[300];
    static const uint8_t scsi_read[48] = {0x01, 0xC0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0,    0, 0, 0, 0,
                                          0x14, 0,    0, 0, 0, 0, 4, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
                                          0x28, 0,    0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0,    0, 0, 0, 0};
    for (size_t i = 0; i < 32; i++) {
        zeros[i] = 0;
        ones[i] = 0xFF;
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    assert_true(wfi_crc32c(0, zeros, 32) == 0x8A9136AAu); /* RFC 3720 B.4 */
    assert_true(wfi_crc32c(0, ones, 32) == 0x62A8AB43u);
    assert_true(wfi_crc32c(0, up, 32) == 0x46DD794Eu);
    assert_true(wfi_crc32c(0, down, 32) == 0x113FDB5Cu);
    assert_true(wfi_crc32c(0, scsi_read, 48) == 0xD9963A56u);
    assert_true(wfi_crc32c(0, "123456789", 9) == 0xE3069283u);
    assert_true(wfi_crc32c(0, NULL, 0) == 0);
    assert_true(wfi_crc32c(0x1234, NULL, 0) == 0x1234);

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * i + 3 * i);
    for (size_t n = 0; n <= 260; n++) {
        uint32_t whole = naive_crc32c(0xDEADBEEF, data + 1, n);
        assert_true(wfi_crc32c(0xDEADBEEF, data + 1, n) == whole);
        size_t cut = n / 3;
        assert_true(wfi_crc32c(wfi_crc32c(0xDEADBEEF, data + 1, cut), data + 1 + cut, n - cut) == whole);
    }
}

static void assert_sha256(wf_str message, size_t step, const char *want) {
    wfi_sha256 s;
    uint8_t digest[32];
    char hex[65] = {0};
    wfi_sha256_init(&s);
    for (size_t at = 0; at < message.len; at += step) {
        wf_str part = wfi_str_cut(message, at, step);
        wfi_sha256_add(&s, part.ptr, part.len);
    }
    wfi_sha256_end(&s, digest);
    wfi_hex(digest, sizeof digest, hex);
    assert_string_equal(hex, want);
}

static void sha256_vectors(void **state) {
    (void)state;
    assert_sha256(WF_STR(""), 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t step = 1; step <= 113; step++) {
        assert_sha256(WF_STR("abc"), step, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_sha256(WF_STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), step,
                      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        assert_sha256(WF_STR("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopq"
                             "klmnopqrlmnopqrsmnopqrstnopqrstu"),
                      step, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    }
    char *million = malloc(1000000);
    assert_non_null(million);
    memset(million, 'a', 1000000);
    static const size_t steps[] = {1, 63, 64, 65, 1000, 1000000};
    for (size_t i = 0; i < WFI_COUNT(steps); i++)
        assert_sha256(wf_str_of(million, 1000000), steps[i],
                      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

/* Every length around the padding's edges, at every two-way split: the same digest as in one go; and all differ. */
static void sha256_splits(void **state) {
    (void)state;
    uint8_t data[200], whole[32], split[32], last[32] = {0};
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 11);
    for (size_t n = 0; n <= sizeof data; n++) {
        wfi_sha256 s;
        wfi_sha256_init(&s);
        wfi_sha256_add(&s, data, n);
        wfi_sha256_end(&s, whole);
        assert_memory_not_equal(whole, last, 32);
        memcpy(last, whole, 32);
        for (size_t cut = 0; cut <= n; cut++) {
            wfi_sha256_init(&s);
            wfi_sha256_add(&s, data, cut);
            wfi_sha256_add(&s, NULL, 0);
            wfi_sha256_add(&s, data + cut, n - cut);
            wfi_sha256_end(&s, split);
            assert_memory_equal(split, whole, 32);
        }
    }
    /* 55, 56 and 64 bytes of 'a': where the padding takes one block more. */
    static const char as[64] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    assert_sha256(wf_str_of(as, 55), 64, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
    assert_sha256(wf_str_of(as, 56), 64, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
    assert_sha256(wf_str_of(as, 64), 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
}

static void hex(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0x00, 0x09, 0x0A, 0x9F, 0xFF};
    char out[11] = "..........";
    wfi_hex(bytes, 5, out);
    assert_string_equal(out, "00090a9fff");
}

static void decimals(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int32_t shift;
        size_t len;
        uint64_t value;
    } cases[] = {
        {"0", 0, 1, 0},
        {"7", 3, 1, 7000},
        {"1.5", 3, 3, 1500},
        {"0.125", 6, 5, 125000},
        {".5", 1, 2, 5},
        {"5.", 1, 2, 50},
        {"4 seconds", 0, 1, 4},
        {"1e3", 0, 3, 1000},
        {"1E+2x", 0, 4, 100},
        {"25e-1", 1, 5, 25},
        {"1e", 0, 1, 1},
        {"1e+", 0, 1, 1},
        {"1.2.3", 1, 3, 12},
        {"0.0001", 3, 6, 1}, /* rounded up */
        {"0.0010", 3, 6, 1},
        {"1.00001", 3, 7, 1001},
        {"12.5", -1, 4, 2},
        {"99", -5, 2, 1},
        {"0", -5, 1, 0},
        {"18446744073709551615", 0, 20, UINT64_MAX},
        {"18446744073709551614.5", 0, 22, UINT64_MAX},
        {"18446744073709551616", 0, 20, UINT64_MAX},
        {"1e19", 0, 4, 10000000000000000000u},
        {"1e20", 0, 4, UINT64_MAX},
        {"1e999999999999999999999", 0, 23, UINT64_MAX},
        {"1e-99999999999999999999", 0, 23, 1},
        {"0e999999999", 0, 11, 0},
        {"", 0, 0, 0},
        {".", 0, 0, 0},
        {".e1", 0, 0, 0},
        {"-1", 0, 0, 0},
        {" 1", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t v = 0;
        assert_int_equal(wfi_decimal(wfi_str_z(cases[i].text), cases[i].shift, &v), cases[i].len);
        if (v != cases[i].value) fail_msg("%s: %llu", cases[i].text, (unsigned long long)v);
    }
}

static void test_hash_text(void **state) {
    (void)state;
    char hex[WF_HASH_TEXT];
    const wf_str parts[] = {WF_STR("a"), WF_STR(""), WF_STR("bc")}; /* FIPS 180-4's "abc" */
    wf_hash(parts, 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    wf_hash(NULL, 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_text),
        cmocka_unit_test(names_and_texts),
        cmocka_unit_test(decimals),
        cmocka_unit_test(memory_functions),
        cmocka_unit_test(slices),
        cmocka_unit_test(decimal),
        cmocka_unit_test(checked_arithmetic),
        cmocka_unit_test(little_endian),
        cmocka_unit_test(utf8_every_sequence),
        cmocka_unit_test(utf8_put_every_code_point),
        cmocka_unit_test(utf8_valid_and_clip),
        cmocka_unit_test(crc32c),
        cmocka_unit_test(sha256_vectors),
        cmocka_unit_test(sha256_splits),
        cmocka_unit_test(hex),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
