/* Tests of the reader of server-sent events: each input whole, byte by byte and cut in two at every place, with each piece at the
 * very end of its memory; limits, memory, and random input against a second reader that is slow and simple. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/core/http/sse.h"

#define HEAP_SIZE (8u << 20)
#define BOM       "\xEF\xBB\xBF"
#define FFFD      "\xEF\xBF\xBD"

static char *heap_memory, *guarded; /* `guarded`: where memory ends */
static wfi_heap heap;

/* What came out: "name=data;" for each event, "-" for a name that was not there. */
static char out[1 << 20];
static size_t out_len;

static void out_add(wf_str s) {
    assert_true(out_len + s.len < sizeof out);
    if (s.len > 0) memcpy(out + out_len, s.ptr, s.len);
    out_len += s.len;
    out[out_len] = 0;
}

static wf_status feed(wfi_sse *s, const char *p, size_t n) {
    char *at = guarded - n;
    memcpy(at, p, n);
    for (;;) {
        size_t used = SIZE_MAX;
        wf_status status = wfi_sse_read(s, at, n, &used);
        assert_true(used <= n);
        if (status == WF_AGAIN) assert_int_equal(used, n);
        if (status != WF_OK) return status;
        assert_true(used > 0 && s->event.len <= WFI_SSE_NAME_MAX);
        assert_true(s->named || s->event.len == 0);
        assert_true(wfi_utf8_valid(s->event) && wfi_utf8_valid(s->data));
        out_add(s->named ? s->event : wf_str_of("-", 1));
        out_add(wf_str_of("=", 1));
        out_add(s->data);
        out_add(wf_str_of(";", 1));
        at += used;
        n -= used;
    }
}

static wf_status run(wf_str in, size_t max, size_t cut, size_t step) {
    wfi_sse s;
    wf_status status = WF_AGAIN;
    out_len = 0;
    out[0] = 0;
    wfi_sse_begin(&s, &heap, max);
    for (size_t at = 0; at < in.len && status == WF_AGAIN;) {
        size_t n = at < cut ? cut - at : step;
        if (n > in.len - at) n = in.len - at;
        status = feed(&s, in.ptr + at, n);
        at += n;
    }
    wfi_sse_free(&s);
    wfi_sse_free(&s);
    assert_int_equal(heap.used, 0);
    return status;
}

/* However the input is cut, this comes out. */
static void expect(wf_str in, wf_str want) {
    for (size_t cut = 0; cut <= in.len + 1; cut++) { /* 0: whole; at the end: byte by byte */
        bool bytes = cut == in.len + 1;
        assert_int_equal(run(in, 1 << 20, bytes ? 0 : cut, bytes ? 1 : in.len), WF_AGAIN);
        if (out_len != want.len || memcmp(out, want.ptr, want.len) != 0)
            fail_msg("cut at %zu of \"%.*s\": got \"%.*s\"", cut, (int)in.len, in.ptr, (int)out_len, out);
    }
}

#define CASE(in, want)                                                                                                 \
    {                                                                                                                  \
        {in, sizeof(in) - 1}, {                                                                                        \
            want, sizeof(want) - 1                                                                                     \
        }                                                                                                              \
    }

static void test_cases(void **state) {
    static const struct {
        wf_str in, want;
    } cases[] = {
        /* what the vendor's library makes of it */
        CASE("event: a\ndata: {\"x\":1}\n\nevent: b\ndata: {}\n\n", "a={\"x\":1};b={};"),
        CASE("event: a\r\ndata: 1\r\n\r\n", "a=1;"),
        CASE("event: a\rdata: 1\r\r", "a=1;"),
        CASE("event: a\ndata: {\"x\":\ndata: 1}\n\n", "a={\"x\":\n1};"),
        CASE(": keep-alive\n\nevent: a\nid: 7\nretry: 3000\n: c\ndata: 1\n\n", "a=1;"),
        CASE("event:a\ndata:  two\ndata:none\n\n", "a= two\nnone;"),
        CASE("data: {\"x\":1}\n\ndata: [DONE]\n\n", "-={\"x\":1};-=[DONE];"),
        CASE("event: a\ndata: 1\n\nevent: b\ndata: 2\n", "a=1;"),
        CASE("event: ping\n\nevent: a\ndata: 1\n\n", "ping=;a=1;"),
        CASE(BOM "event: a\ndata: 1\n\n", "a=1;"),
        CASE("event: a\ndata\ndata: x\n\n", "a=\nx;"),
        CASE("\n\n\nevent: a\ndata: 1\n\n\n\nevent: b\ndata: 2\n\n", "a=1;b=2;"),
        CASE("event: a\ndata: \"\xe6\x97\xa5\xe6\x9c\xac\xf0\x9f\x99\x82\xc3\xa9\"\n\n",
             "a=\"\xe6\x97\xa5\xe6\x9c\xac\xf0\x9f\x99\x82\xc3\xa9\";"),
        CASE("event: a\ndata:\n\n", "a=;"),
        CASE("event: a\ndata: {\"u\":\"http://x:1\"}\n\n", "a={\"u\":\"http://x:1\"};"),
        /* lines */
        CASE("data: 1\n\r\ndata: 2\r\n\rdata: 3\r\r\n", "-=1;-=2;-=3;"),
        CASE("data: 1\r\ndata: 2\rdata: 3\ndata: 4\r\n\r\n\r\n", "-=1\n2\n3\n4;"),
        CASE("data: 12345678901234567890\rdata: 1234567890123456789012345\n\n",
             "-=12345678901234567890\n1234567890123456789012345;"),
        CASE("", ""),
        CASE("\r", ""),
        CASE("data: 1\n\r", "-=1;"),
        CASE("data: 1\r", ""),
        /* fields */
        CASE("event: a\nevent: b\ndata: 1\n\n", "b=1;"),
        CASE("event: a\nevent\ndata: 1\n\n", "=1;"),
        CASE("event:\n\n", "=;"),
        CASE("data\n\n", "-=;"),
        CASE("data:\ndata:\ndata:\n\n", "-=\n\n;"),
        CASE("Data: 1\nDATA: 2\ndat: 3\ndatas: 4\n data: 5\ndata : 6\nevent8: x\nevent\0: y\n\n", ""),
        CASE("averyverylongfieldname: 1\n:\n::\n: data: 1\nid\n\n", ""),
        CASE("data:1:2\nevent:: x\n\n", ": x=1:2;"),
        CASE("data:\t1\ndata:   2\n\n", "-=\t1\n  2;"),
        CASE("data: a\0b\n\n", "-=a\0b;"),
        /* marks: one, at the beginning of a line */
        CASE("data: 1\n" BOM "data: 2\n" BOM "\n", "-=1\n2;"),
        CASE(BOM BOM "data: 1\n\n" BOM ": 1\ndata: " BOM "\n\n", "-=" BOM ";"),
        CASE("\xEF\xBB"
             "data: 1\n\n",
             ""),
        /* what is no UTF-8 */
        CASE("data: a\xff"
             "b\n\n",
             "-=a" FFFD "b;"),
        CASE("data: \xe6\x97\ndata: \xa5\n\n", "-=" FFFD "\n" FFFD ";"),
        CASE("data: \xf0\x9f\x99x\xc0\xaf\xed\xa0\x80\xf4\x90\x80\xe0\x9f\xc3\n\n",
             "-=" FFFD "x" FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD ";"),
        CASE("event: \xff"
             "e\ndata: 1\n\n",
             FFFD "e=1;"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect(cases[i].in, cases[i].want);
}

static void test_long_names(void **state) {
    char in[400], want[100];
    (void)state;
    memset(want, 'n', 64);
    strcpy(want + 64, "=1;");
    sprintf(in, "event: %s\ndata: 1\n\n",
            "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
    expect(wf_str_of(in, strlen(in)), wf_str_of(want, strlen(want)));
    for (size_t lead = 60; lead <= 64; lead++) { /* a character that is cut is left out */
        int n = sprintf(in, "event: %.*s\xf0\x9f\x99\x82\n\n", (int)lead, want);
        size_t len = (size_t)sprintf(want + 64, "%s", "");
        char cut[100];
        len = (size_t)sprintf(cut, "%.*s%s=;", (int)lead, want, lead == 60 ? "\xf0\x9f\x99\x82" : "");
        expect(wf_str_of(in, (size_t)n), wf_str_of(cut, len));
    }
    for (size_t bad = 1; bad <= 70; bad++) { /* replaced, it is longer: cut again */
        size_t n = (size_t)sprintf(in, "event: ");
        memset(in + n, 0xff, bad);
        n += bad;
        n += (size_t)sprintf(in + n, "\n\n");
        char full[400];
        size_t len = 0;
        for (size_t i = 0; i < (bad < 21 ? bad : 21); i++)
            len += (size_t)sprintf(full + len, FFFD);
        len += (size_t)sprintf(full + len, "=;");
        expect(wf_str_of(in, n), wf_str_of(full, len));
    }
}

static void test_limit(void **state) {
    wf_str in = WF_STR("data: 12345\ndata: 678\n\n"); /* nine bytes with the LF between */
    (void)state;
    for (size_t step = 1; step <= in.len; step++) {
        assert_int_equal(run(in, 9, 0, step), WF_AGAIN);
        assert_string_equal(out, "-=12345\n678;");
        for (size_t max = 0; max < 9; max++)
            assert_int_equal(run(in, max, 0, step), WF_E_LIMIT);
        assert_int_equal(run(WF_STR("data: \xff\xff\n\n"), 6, 0, step), WF_AGAIN);
        assert_int_equal(run(WF_STR("data: \xff\xff\n\n"), 5, 0, step), WF_E_LIMIT);
        assert_int_equal(run(WF_STR("id: 1234567890\nevent: 1234567890\n:1234567890\n\n"), 0, 0, step), WF_AGAIN);
    }
}

/* A large event's memory does not stay. */
static void test_memory(void **state) {
    static char big[1 << 20];
    wfi_sse s;
    size_t used;
    (void)state;
    memset(big, 'x', sizeof big);
    memcpy(big, "data: ", 6);
    memcpy(big + sizeof big - 2, "\n\n", 2);
    wfi_sse_begin(&s, &heap, sizeof big);
    assert_int_equal(wfi_sse_read(&s, big, sizeof big, &used), WF_OK);
    assert_int_equal(s.data.len, sizeof big - 8);
    assert_true(heap.used >= s.data.len);
    assert_int_equal(wfi_sse_read(&s, "data: 1\n\n", 9, &used), WF_OK);
    assert_true(heap.used <= 16384);
    wfi_sse_free(&s);
    assert_int_equal(heap.used, 0);
}

static void test_no_memory(void **state) {
    wf_str in = WF_STR("data: 1\n\ndata: \xff\n\nevent: a\ndata: 12345678901234567890\n\n");
    char long_in[2000];
    (void)state;
    memset(long_in, 'x', sizeof long_in);
    memcpy(long_in, "data: ", 6);
    memcpy(long_in + sizeof long_in - 2, "\n\n", 2);
    for (int which = 0; which < 2; which++) {
        wf_str text = which ? wf_str_of(long_in, sizeof long_in) : in;
        uint64_t n = 1;
        for (;; n++) {
            heap.fail_at = heap.allocs + n;
            wf_status status = run(text, 1 << 20, 0, 100);
            heap.fail_at = 0;
            assert_true(wfi_heap_check(&heap));
            if (status == WF_AGAIN) break;
            assert_int_equal(status, WF_E_MEMORY);
        }
        assert_true(n > 2);
    }
}

/* ---- a second reader: the whole input in memory, line by line ---- */

static void slow_flush(const char *name, size_t name_len, bool named, const char *data, size_t len) {
    out_add(named ? wf_str_of(name, name_len) : wf_str_of("-", 1));
    out_add(wf_str_of("=", 1));
    out_add(wf_str_of(data, len));
    out_add(wf_str_of(";", 1));
}

static void slow(wf_str in) {
    char name[64], data[4096];
    size_t name_len = 0, len = 0, at = 0;
    bool named = false, has_data = false;
    out_len = 0;
    while (at < in.len) {
        size_t end = at;
        while (end < in.len && in.ptr[end] != '\n' && in.ptr[end] != '\r')
            end++;
        if (end == in.len) break;
        const char *line = in.ptr + at;
        size_t n = end - at;
        at = end + (in.ptr[end] == '\r' && end + 1 < in.len && in.ptr[end + 1] == '\n' ? 2 : 1);
        if (n == 0) {
            if (named || has_data) slow_flush(name, name_len, named, data, len);
            named = has_data = false;
            name_len = len = 0;
            continue;
        }
        const char *colon = memchr(line, ':', n);
        size_t field = colon ? (size_t)(colon - line) : n;
        const char *value = line + (colon ? field + 1 : n);
        if (colon && value < line + n && *value == ' ') value++;
        size_t value_len = (size_t)(line + n - value);
        if (field == 5 && memcmp(line, "event", 5) == 0) {
            named = true;
            memcpy(name, value, value_len);
            name_len = value_len;
        } else if (field == 4 && memcmp(line, "data", 4) == 0) {
            if (has_data) data[len++] = '\n';
            memcpy(data + len, value, value_len);
            len += value_len;
            has_data = true;
        }
    }
}

static void test_random(void **state) {
    static const char *const parts[] = {"data", "event", ":", " ",       "\n",         "\r",
                                        "\n\n", "\r\n",  "x", "data: 1", "\nevent: e", "id"};
    uint64_t rng = 7;
    static char want[1 << 16];
    (void)state;
    for (int round = 0; round < 20000; round++) {
        char in[200];
        size_t n = 0;
        while (n < 60) {
            rng = rng * 6364136223846793005u + 1442695040888963407u;
            const char *part = parts[(rng >> 33) % (sizeof parts / sizeof parts[0])];
            memcpy(in + n, part, strlen(part));
            n += strlen(part);
        }
        slow(wf_str_of(in, n));
        size_t want_len = out_len;
        memcpy(want, out, want_len);
        assert_int_equal(run(wf_str_of(in, n), 4096, (rng >> 20) % n, 1 + (rng >> 40) % 9), WF_AGAIN);
        if (out_len != want_len || memcmp(out, want, want_len) != 0) fail_msg("%.*s", (int)n, in);
    }
}

static int set_up(void **state) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (2u << 20) / page * page;
    char *base = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)state;
    if (base == MAP_FAILED || mprotect(base + size, page, PROT_NONE) != 0) return -1;
    guarded = base + size;
    heap_memory = malloc(HEAP_SIZE);
    return wfi_heap_init(&heap, heap_memory, HEAP_SIZE) == WF_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    free(heap_memory);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases),     cmocka_unit_test(test_long_names),
                                       cmocka_unit_test(test_limit),     cmocka_unit_test(test_memory),
                                       cmocka_unit_test(test_no_memory), cmocka_unit_test(test_random)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
