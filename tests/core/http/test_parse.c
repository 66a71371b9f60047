/* HTTP/1.1 as text: addresses, lists of hosts, and responses. Every response is read whole, byte by byte and cut in two at each
 * place, its bytes flush against a page that must not be read; what comes out must be the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/core/base/date.h"
#include "src/core/http/parse.h"
#include "src/core/http/url.h"
#include "src/core/http/headers.h"
#include "tests/fake/chance.h"

#include <cmocka.h>

#define OUT (1 << 18)

static char *guard; /* the first byte that must not be read */
static size_t room; /* before it */

static int guard_up(void **state) {
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    room = page * 32;
    char *p = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return -1;
    guard = p + room;
    return mprotect(guard, page, PROT_NONE);
}

/* ---- responses ---- */

/* What came out, in one notation however it was cut: "200 name=value; ... | body | end keep +left" or "... bad: why". */
typedef struct script {
    char text[OUT];
    size_t len;
    size_t used; /* of the input */
    bool over;
} script;

static void say(script *t, const char *p, size_t n) {
    assert_true(t->len + n < sizeof t->text);
    memcpy(t->text + t->len, p, n);
    t->text[t->len += n] = 0;
}

static void say_z(script *t, const char *z) {
    say(t, z, strlen(z));
}

static void note(script *t, const wfi_parser *r, wfi_parse_event e) {
    char number[16];
    switch (e) {
    case WFI_PARSE_MORE:
        break;
    case WFI_PARSE_STATUS:
        snprintf(number, sizeof number, "%u", r->status);
        say_z(t, number);
        break;
    case WFI_PARSE_HEADER:
        say_z(t, " ");
        say(t, r->name.ptr, r->name.len);
        say_z(t, "=");
        say(t, r->value.ptr, r->value.len);
        say_z(t, r->cut ? "...;" : ";");
        break;
    case WFI_PARSE_HEAD:
        say_z(t, " | ");
        break;
    case WFI_PARSE_BODY:
        assert_true(r->body.len > 0);
        say(t, r->body.ptr, r->body.len);
        break;
    case WFI_PARSE_END:
        say_z(t, r->keep ? " | end, keep" : " | end, close");
        t->over = true;
        break;
    case WFI_PARSE_BAD:
        say_z(t, " bad: ");
        say_z(t, r->why);
        t->over = true;
        break;
    }
}

/* Feeds one piece, placed against the guard. */
static void feed(script *t, wfi_parser *r, const char *p, size_t n) {
    const char *at = guard - n;
    assert_true(n <= room);
    if (n > 0) memcpy(guard - n, p, n);
    while (!t->over) {
        size_t used = n + 1;
        wfi_parse_event e = wfi_parse_read(r, at, n, &used);
        assert_true(used <= n);
        if (e == WFI_PARSE_BODY) assert_true(r->body.ptr >= at && r->body.ptr + r->body.len <= guard);
        t->used += used;
        at += used;
        n -= used;
        note(t, r, e);
        if (e == WFI_PARSE_MORE) {
            assert_int_equal(n, 0);
            return;
        }
    }
}

static void finish(script *t, wfi_parser *r, bool eof, size_t total) {
    char left[32];
    size_t used;
    if (!t->over && eof) note(t, r, wfi_parse_eof(r));
    if (!t->over) say_z(t, " more");
    if (t->over) {
        wfi_parse_event e = wfi_parse_read(r, NULL, 0, &used);
        assert_true(e == WFI_PARSE_END || e == WFI_PARSE_BAD);
        assert_int_equal(wfi_parse_eof(r), e);
        snprintf(left, sizeof left, " +%zu", total - t->used);
        if (e == WFI_PARSE_END && total > t->used) say_z(t, left);
    }
}

typedef enum how { PLAIN, EOF_AFTER, TUNNEL } how;

/* In two pieces, or byte by byte (cut SIZE_MAX). */
static void play(script *t, const char *p, size_t n, size_t cut, how h) {
    wfi_parser r;
    memset(&r, 0xA5, sizeof r);
    t->len = t->used = 0;
    t->text[0] = 0;
    t->over = false;
    wfi_parse_begin(&r, h == TUNNEL);
    if (cut == SIZE_MAX) {
        for (size_t i = 0; i < n; i++)
            feed(t, &r, p + i, 1);
    } else {
        feed(t, &r, p, cut);
        feed(t, &r, p + cut, n - cut);
    }
    finish(t, &r, h == EOF_AFTER, n);
}

static void check(const char *p, size_t n, how h, const char *expected) {
    static script t;
    for (size_t cut = 0; cut <= n; cut++) {
        play(&t, p, n, cut, h);
        if (strcmp(t.text, expected) != 0) fail_msg("cut at %zu of %s\n got  %s\n want %s", cut, p, t.text, expected);
    }
    play(&t, p, n, SIZE_MAX, h);
    if (strcmp(t.text, expected) != 0) fail_msg("byte by byte: %s\n got  %s\n want %s", p, t.text, expected);
}

#define H1 "HTTP/1.1 200 OK\r\n"
#define L1 "HTTP/1.1 200 \r\ncontent-length: "

static void responses_are_read(void **state) {
    static const struct {
        const char *in;
        how h;
        const char *out;
    } cases[] = {
        /* lengths */
        {H1 "Content-Length: 5\r\n\r\nhello", PLAIN, "200 content-length=5; | hello | end, keep"},
        {H1 "Content-Length: 5\r\n\r\nhelloHTTP/1.1", PLAIN, "200 content-length=5; | hello | end, keep +8"},
        {L1 "0\r\n\r\n", PLAIN, "200 content-length=0; |  | end, keep"},
        {L1 "5, 5\r\nContent-length:5\r\n\r\nhello", PLAIN,
         "200 content-length=5, 5; content-length=5; | hello | end, keep"},
        {L1 "5\r\n\r\nhel", PLAIN, "200 content-length=5; | hel more"},
        {L1 "5\r\n\r\nhel", EOF_AFTER,
         "200 content-length=5; | hel bad: the connection was closed before the answer was complete"},
        {L1 "18446744073709551615\r\n\r\nhel", PLAIN, "200 content-length=18446744073709551615; | hel more"},
        /* until the end */
        {H1 "\r\nhello", EOF_AFTER, "200 | hello | end, close"},
        {H1 "\r\n", EOF_AFTER, "200 |  | end, close"},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello", EOF_AFTER,
         "200 connection=keep-alive; | hello | end, close"},
        /* keeping */
        {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", PLAIN, "200 content-length=1; | x | end, close"},
        {"HTTP/1.0 200 OK\r\nConnection: foo , Keep-Alive\r\nContent-Length: 1\r\n\r\nx", PLAIN,
         "200 connection=foo , Keep-Alive; content-length=1; | x | end, keep"},
        {H1 "Connection: Close\r\nContent-Length: 1\r\n\r\nx", PLAIN,
         "200 connection=Close; content-length=1; | x | end, close"},
        {H1 "Connection: keep-alive,close\r\nContent-Length: 1\r\n\r\nx", PLAIN,
         "200 connection=keep-alive,close; content-length=1; | x | end, close"},
        /* chunks */
        {H1 "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", PLAIN,
         "200 transfer-encoding=Chunked; | hello | end, keep"},
        {H1
         "Transfer-Encoding: chunked\r\n\r\n5;a=\"b c\";d\r\nhello\r\n00B \t\r\n, my world.\r\n000;x\r\nX: y\r\n\r\n!",
         PLAIN, "200 transfer-encoding=chunked; | hello, my world. | end, keep +1"},
        {H1 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", PLAIN, "200 transfer-encoding=chunked; |  | end, keep"},
        {H1 "Transfer-Encoding: chunked\n\n5\nhello\n0\nX: y\n\n", PLAIN,
         "200 transfer-encoding=chunked; | hello | end, keep"},
        {H1 "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", EOF_AFTER,
         "200 transfer-encoding=chunked; | hello bad: the connection was closed before the answer was complete"},
        {H1 "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", EOF_AFTER,
         "200 transfer-encoding=chunked; | hello bad: the connection was closed before the answer was complete"},
        {H1 "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nhello", PLAIN,
         "200 transfer-encoding=chunked; | hello more"},
        /* no body */
        {"HTTP/1.1 204 No Content\r\n\r\nx", PLAIN, "204 |  | end, keep +1"},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", PLAIN, "304 content-length=10; |  | end, keep"},
        {"HTTP/1.1 200 Connection established\r\n\r\n\x16\x03", TUNNEL, "200 |  | end, keep +2"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n", TUNNEL,
         "200 content-length=9; transfer-encoding=chunked; |  | end, keep"},
        {"HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\nx", TUNNEL, "407 content-length=1; | x | end, keep"},
        /* 1xx */
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 77\r\n\r\n" L1
         "1\r\n\r\nx",
         PLAIN, "200 content-length=1; | x | end, keep"},
        {"HTTP/1.1 101 Switching Protocols\r\n\r\n", PLAIN, " bad: the server switched to another protocol, unasked"},
        /* lines */
        {"HTTP/1.1 200\r\nA:b\r\nC : d\r\n\r\n", PLAIN,
         "200 a=b; bad: the answer has a header with a blank in its name or before its colon"},
        {"HTTP/1.1 200\nA:b\n \tc\n\n", PLAIN, "200 a=b; bad: the answer has a header that is folded over two lines"},
        {"HTTP/1.1 200\n A:b\n\n", PLAIN, "200 bad: the answer has a header that is folded over two lines"},
        {"HTTP/1.1 200 \xc3\xa4\nA: \t b\tc \t \nE:\nF:  \ncontent-length:0\n\n", PLAIN,
         "200 a=b\tc; e=; f=; content-length=0; |  | end, keep"},
        {"HTTP/1.1 200 OK\rA:b\r\n\r\n", PLAIN, " bad: the answer has a carriage return without a line feed"},
        {H1 "A: b\rc\r\n\r\n", PLAIN, "200 bad: the answer has a carriage return without a line feed"},
        {H1 "A: b\r\n\rHTTP", PLAIN, "200 a=b; bad: the answer has a carriage return without a line feed"},
        {H1 "A: b\x01\r\n\r\n", PLAIN, "200 bad: the answer has a header with a control character"},
        {H1 "A: b\x7f\r\n\r\n", PLAIN, "200 bad: the answer has a header with a control character"},
        {H1 "A\r\n\r\n", PLAIN, "200 bad: the answer has a header without a colon"},
        {H1 ": b\r\n\r\n", PLAIN, "200 bad: the answer has a header whose name is none"},
        {H1 "A(: b\r\n\r\n", PLAIN, "200 bad: the answer has a header whose name is none"},
        {H1 "\xc3\xa4: b\r\n\r\n", PLAIN, "200 bad: the answer has a header whose name is none"},
        {"HTTP/1.1 200 O\x02K\r\n", PLAIN, " bad: the answer's status line has a control character"},
        {"HTTP/1.1 200 O", EOF_AFTER, " bad: the connection was closed before the answer was complete"},
        {"", EOF_AFTER, " bad: the connection was closed before the answer was complete"},
        {H1 "A: b\r\n", EOF_AFTER, "200 a=b; bad: the connection was closed before the answer was complete"},
        /* no HTTP */
        {"HTTP/2 200\r\n", PLAIN, " bad: the answer is not HTTP/1.1"},
        {"HTTP/1.x 200 OK\r\n", PLAIN, " bad: the answer is not HTTP/1.1"},
        {"HTTP/1.1 20 OK\r\n", PLAIN, " bad: the answer is not HTTP/1.1"},
        {"HTTP/1.1 099 OK\r\n", PLAIN, " bad: the answer is not HTTP/1.1"},
        {"HTTP/1.1 2000 OK\r\n", PLAIN, " bad: the answer is not HTTP/1.1"},
        {"HTTP/1.1 20", PLAIN, " more"},
        {"\r\nHTTP/1.1 200 OK\r\n", PLAIN, " bad: the answer is not HTTP/1.1"},
        {"\x15\x03\x01\x00\x02\x02\x46", PLAIN, " bad: the answer is not HTTP/1.1"},
        {"SSH-2.0-OpenSSH\r\n", PLAIN, " bad: the answer is not HTTP/1.1"},
        /* two framings, bad framings */
        {L1 "5\r\nTransfer-Encoding: chunked\r\n\r\n", PLAIN,
         "200 content-length=5; transfer-encoding=chunked; bad: the answer has a transfer-encoding where it may not "
         "have one"},
        {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", PLAIN,
         "200 transfer-encoding=chunked; bad: the answer has a transfer-encoding where it may not have one"},
        {H1 "Transfer-Encoding: gzip, chunked\r\n\r\n", PLAIN,
         "200 bad: the answer has a transfer-encoding other than chunked"},
        {H1 "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", PLAIN,
         "200 transfer-encoding=chunked; bad: the answer has a transfer-encoding other than chunked"},
        {H1 "Transfer-Encoding:\r\n\r\n", PLAIN, "200 bad: the answer has a transfer-encoding other than chunked"},
        {L1 "5\r\nContent-Length: 6\r\n\r\n", PLAIN,
         "200 content-length=5; bad: the answer has two different content-lengths"},
        {L1 "5, 6\r\n\r\n", PLAIN, "200 bad: the answer has two different content-lengths"},
        {L1 "\r\n\r\n", PLAIN, "200 bad: the answer has a content-length that is no number"},
        {L1 "-1\r\n\r\n", PLAIN, "200 bad: the answer has a content-length that is no number"},
        {L1 "+1\r\n\r\n", PLAIN, "200 bad: the answer has a content-length that is no number"},
        {L1 "0x1\r\n\r\n", PLAIN, "200 bad: the answer has a content-length that is no number"},
        {L1 "5 5\r\n\r\n", PLAIN, "200 bad: the answer has a content-length that is no number"},
        {L1 "18446744073709551616\r\n\r\n", PLAIN, "200 bad: the answer has a content-length that is no number"},
#define C1 H1 "Transfer-Encoding: chunked\r\n\r\n"
#define C2 "200 transfer-encoding=chunked; | "
        {C1 "\r\n", PLAIN, C2 " bad: the answer has a chunk whose size is no number"},
        {C1 " 5\r\n", PLAIN, C2 " bad: the answer has a chunk whose size is no number"},
        {C1 "g\r\n", PLAIN, C2 " bad: the answer has a chunk whose size is no number"},
        {C1 "0x5\r\n", PLAIN, C2 " bad: the answer has a chunk whose size is no number"},
        {C1 "-5\r\n", PLAIN, C2 " bad: the answer has a chunk whose size is no number"},
        {C1 ";a\r\n", PLAIN, C2 " bad: the answer has a chunk whose size is no number"},
        {C1 "00000000000000005\r\n", PLAIN, C2 " bad: the answer has a chunk whose size is too large"},
        {C1 "5\rhello", PLAIN, C2 " bad: the answer has a carriage return without a line feed"},
        {C1 "5;\x01\r\n", PLAIN, C2 " bad: the answer has a chunk extension with a control character"},
        {C1 "5\r\nhello!\r\n", PLAIN, C2 "hello bad: the answer has a chunk that is longer than it says"},
        {C1 "5\r\nhello5\r\n", PLAIN, C2 "hello bad: the answer has a chunk that is longer than it says"},
        {C1 "0\r\n x\r\n\r\n", PLAIN, C2 " bad: the answer has a header that is folded over two lines"},
        {C1 "0\r\nx\r\n\r\n", PLAIN, C2 " bad: the answer has a header without a colon"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(cases[i].in, strlen(cases[i].in), cases[i].h, cases[i].out);
}

/* Zero bytes are bytes: refused in a head, taken in a body. */
static void zeros_are_bytes(void **state) {
    static const char head[] = H1 "A: b\0c\r\n\r\n", status[] = "HTTP/1.1 200 \0\r\n\r\n", name[] = H1 "A\0: b\r\n\r\n";
    static const char body[] = L1 "3\r\n\r\n\0\0\0", size[] = C1 "5\0\r\n";
    (void)state;
    check(head, sizeof head - 1, PLAIN, "200 bad: the answer has a header with a control character");
    check(status, sizeof status - 1, PLAIN, " bad: the answer's status line has a control character");
    check(name, sizeof name - 1, PLAIN, "200 bad: the answer has a header whose name is none");
    check(size, sizeof size - 1, PLAIN, C2 " bad: the answer has a chunk whose size is no number");
    static script t;
    static const char want[] = "200 content-length=3; | \0\0\0 | end, keep";
    play(&t, body, sizeof body - 1, sizeof body - 3, PLAIN);
    assert_int_equal(t.len, sizeof want - 1);
    assert_memory_equal(t.text, want, sizeof want);
}

/* ---- limits ---- */

static char *fill(char *to, const char *prefix, size_t n, const char *suffix) {
    size_t at = strlen(prefix);
    memcpy(to, prefix, at);
    memset(to + at, 'x', n);
    strcpy(to + at + n, suffix);
    return to;
}

static void names_and_values_have_limits(void **state) {
    static char in[4096], want[4096];
    (void)state;
    fill(in, H1, WFI_PARSE_NAME_MAX, ": 1\r\ncontent-length: 0\r\n\r\n");
    fill(want, "200 ", WFI_PARSE_NAME_MAX, "=1; content-length=0; |  | end, keep");
    check(in, strlen(in), PLAIN, want);
    fill(in, H1, WFI_PARSE_NAME_MAX + 1, ": 1\r\ncontent-length: 0\r\n\r\n");
    check(in, strlen(in), PLAIN, "200 content-length=0; |  | end, keep");
    fill(in, H1 "a: ", WFI_PARSE_VALUE_MAX, " \r\ncontent-length: 0\r\n\r\n");
    fill(want, "200 a=", WFI_PARSE_VALUE_MAX, "; content-length=0; |  | end, keep");
    check(in, strlen(in), PLAIN, want);
    fill(in, H1 "a: ", WFI_PARSE_VALUE_MAX + 1, "\r\ncontent-length: 0\r\n\r\n");
    fill(want, "200 a=", WFI_PARSE_VALUE_MAX, "...; content-length=0; |  | end, keep");
    check(in, strlen(in), PLAIN, want);
    fill(in, "HTTP/1.1 200 ", 600, "\r\ncontent-length: 0\r\n\r\n"); /* a long reason is no harm */
    check(in, strlen(in), PLAIN, "200 content-length=0; |  | end, keep");
    fill(in, H1 "connection: ", 600, ", close\r\ncontent-length: 0\r\n\r\n"); /* who knows what was cut off */
    fill(want, "200 connection=", WFI_PARSE_VALUE_MAX, "...; content-length=0; |  | end, close");
    check(in, strlen(in), PLAIN, want);
    fill(in, C1 "5;", 1024 - 4, "\r\nhello\r\n0\r\n\r\n");
    check(in, strlen(in), PLAIN, C2 "hello | end, keep");
    fill(in, C1 "5;", 1024 - 3, "\r\nhello\r\n0\r\n\r\n");
    check(in, strlen(in), PLAIN, C2 " bad: the answer has a chunk with too long an extension");
}

/* The last line of what comes out for an input that is built from parts. */
static const char *ends(const char *p, size_t n) {
    static script t;
    play(&t, p, n, n / 2, PLAIN);
    size_t from = t.len > 60 ? t.len - 60 : 0;
    return t.text + from;
}

static void heads_have_limits(void **state) {
    static char in[1 << 17];
    (void)state;
    for (uint32_t extra = 0; extra < 2; extra++) { /* status line + 197 headers + content-length + empty line */
        size_t n = (size_t)sprintf(in, H1);
        for (uint32_t i = 0; i < 197 + extra; i++)
            n += (size_t)sprintf(in + n, "a: b\r\n");
        n += (size_t)sprintf(in + n, "content-length: 0\r\n\r\n");
        const char *want = extra ? "bad: the answer's head has more than 200 lines" : "end, keep";
        assert_non_null(strstr(ends(in, n), want));
    }
    for (size_t extra = 0; extra < 2; extra++) {
        size_t rest = strlen(H1 "a: \r\ncontent-length: 0\r\n\r\n");
        fill(in, H1 "a: ", WFI_PARSE_HEAD_MAX - rest + extra, "\r\ncontent-length: 0\r\n\r\n");
        const char *want = extra ? "bad: the answer's head is longer than 64 KiB" : "end, keep";
        assert_non_null(strstr(ends(in, strlen(in)), want));
    }
    size_t n = 0; /* 1xx without end */
    for (uint32_t i = 0; i < 2000; i++)
        n += (size_t)sprintf(in + n, "HTTP/1.1 100 Go\r\n\r\n");
    assert_non_null(strstr(ends(in, n), "bad: the answer's head has more than 200 lines"));
    n = (size_t)sprintf(in, C1 "1\r\nx\r\n0\r\n"); /* trailers without end */
    for (uint32_t i = 0; i < 2000; i++)
        n += (size_t)sprintf(in + n, "a: b\r\n");
    assert_non_null(strstr(ends(in, n), "bad: the answer's head has more than 200 lines"));
    memset(in, ' ', 70000); /* a name that never ends is refused at its first blank; a reason, in the end */
    memcpy(in, "HTTP/1.1 200 ", 13);
    assert_non_null(strstr(ends(in, 70000), "bad: the answer's head is longer than 64 KiB"));
}

/* Responses with bytes changed, taken out and doubled: whatever they say, they say it however they are cut. */
static void mutants_are_cut_alike(void **state) {
    static const char *const seeds[] = {
        H1 "Content-Type: text/plain\r\nContent-Length: 11\r\nrequest-id: req_1\r\n\r\nhello world",
        C1 "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: 1\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nuntil the end",
        "HTTP/1.1 429 Too Many\r\nretry-after: 4\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"};
    static const char spice[] = "\r\n\r\n :;,0123456789abcdefABCDEF\t\x01\x7f\xff-chunked";
    static script whole, cut;
    uint64_t seed = 20261122;
    (void)state;
    for (uint32_t round = 0; round < 20000; round++) {
        char in[512];
        const char *from = seeds[round % 4];
        size_t n = strlen(from);
        memcpy(in, from, n);
        for (uint64_t edits = 1 + fake_below(&seed, 3); edits > 0; edits--) {
            size_t at = (size_t)fake_below(&seed, n), len = (size_t)fake_below(&seed, 8);
            if (len > n - at) len = n - at;
            uint64_t edit = fake_below(&seed, 4);
            if (edit == 0 || n + len > sizeof in) {
                memmove(in + at, in + at + len, n - at - len);
                n -= len;
                if (n == 0) in[n++] = 'H';
            } else if (edit == 1) {
                memmove(in + at + len, in + at, n - at);
                n += len;
            } else {
                in[at] = edit == 2 ? spice[fake_below(&seed, sizeof spice)] : (char)fake_below(&seed, 256);
            }
        }
        how h = (how)fake_below(&seed, 3);
        play(&whole, in, n, 0, h);
        play(&cut, in, n, (size_t)fake_below(&seed, n + 1), h);
        assert_int_equal(whole.len, cut.len);
        assert_memory_equal(whole.text, cut.text, whole.len);
        play(&cut, in, n, SIZE_MAX, h);
        assert_int_equal(whole.len, cut.len);
        assert_memory_equal(whole.text, cut.text, whole.len);
    }
}

/* ---- addresses ---- */

static void addresses_are_parsed(void **state) {
    static const struct {
        const char *text;
        bool tls;
        const char *host;
        uint32_t port;
        const char *path, *user;
    } good[] = {
        {"https://api.anthropic.com", true, "api.anthropic.com", 443, "", NULL},
        {"https://api.anthropic.com/", true, "api.anthropic.com", 443, "", NULL},
        {"HTTP://LocalHost:65535/a/b///", false, "LocalHost", 65535, "/a/b", NULL},
        {"http://127.0.0.1:1/a%20b@c:d", false, "127.0.0.1", 1, "/a%20b@c:d", NULL},
        {"https://[2001:db8::1]", true, "2001:db8::1", 443, "", NULL},
        {"http://[::ffff:127.0.0.1]:80/x", false, "::ffff:127.0.0.1", 80, "/x", NULL},
        {"http://user:p%40ss@proxy_1.example:3128", false, "proxy_1.example", 3128, "", "user:p%40ss"},
        {"http://a@b:c@proxy", false, "proxy", 80, "", "a@b:c"},
        {"http://@h", false, "h", 80, "", ""},
    };
    static const char *const bad[] = {"",
                                      "api.anthropic.com",
                                      "ftp://x",
                                      "https:/x",
                                      "https://",
                                      "https:///x",
                                      "https://:443",
                                      "https://h:",
                                      "https://h:0",
                                      "https://h:65536",
                                      "https://h:+1",
                                      "https://h:443443",
                                      "https://h:44x",
                                      "https://h ost",
                                      "https://h\n",
                                      "https://h\x7f",
                                      "https://h\xc3\xa4",
                                      "https://h?x",
                                      "https://h/#x",
                                      "https://[::1",
                                      "https://[]",
                                      "https://[6:1]",
                                      "https://[g::1]",
                                      "https://[::1]x",
                                      "https://[example.com]",
                                      "https://[fe80::1%25eth0]",
                                      "https://::1",
                                      "https://a:b:c",
                                      "https://a,b",
                                      "https://user@"};
    wfi_url u;
    const char *why;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (wfi_url_parse(wfi_str_z(good[i].text), &u, &why) != WF_OK) fail_msg("%s: %s", good[i].text, why);
        assert_null(why);
        assert_int_equal(u.tls, good[i].tls);
        assert_true(wfi_str_eq(u.host, wfi_str_z(good[i].host)));
        assert_int_equal(u.bracketed, strchr(good[i].host, ':') != NULL);
        assert_int_equal(u.port, good[i].port);
        assert_true(wfi_str_eq(u.path, wfi_str_z(good[i].path)));
        assert_true(wfi_str_eq(u.userinfo, wfi_str_z(good[i].user)));
        assert_int_equal(u.userinfo.ptr != NULL, good[i].user != NULL);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (wfi_url_parse(wfi_str_z(bad[i]), &u, &why) != WF_E_CONFIG) fail_msg("%s is taken", bad[i]);
        assert_non_null(why);
    }
    char longest[300] = "https://";
    memset(longest + 8, 'a', 253);
    assert_int_equal(wfi_url_parse(wfi_str_z(longest), &u, &why), WF_OK);
    longest[8 + 253] = 'a';
    assert_int_equal(wfi_url_parse(wfi_str_z(longest), &u, &why), WF_E_CONFIG);
}

static void loopback_is_known(void **state) {
    static const char *const yes[] = {"localhost", "LOCALHOST",       "a.localhost", "127.0.0.1",  "127.255.0.9",
                                      "::1",       "0:0:0:0:0:0:0:1", "::0001",      "localhost.", "a.localhost."};
    static const char *const no[] = {"",
                                     "localhost.example.com",
                                     "alocalhost",
                                     "127.0.0",
                                     "127.0.0.1.2",
                                     "127.0.0.x",
                                     "127.0.0.256",
                                     "128.0.0.1",
                                     "127.0.0.1.example.com",
                                     "::2",
                                     "::",
                                     "::11",
                                     "1::1",
                                     "0001",
                                     "::1:1",
                                     "127..0.1",
                                     "127.0.0.",
                                     "10.0.0.127"};
    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (!wfi_host_is_loopback(wfi_str_z(yes[i]))) fail_msg("%s is not loopback", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (wfi_host_is_loopback(wfi_str_z(no[i]))) fail_msg("%s is loopback", no[i]);
}

static void lists_of_hosts(void **state) {
    static const struct {
        const char *list, *host;
        uint32_t port;
        bool covered;
    } cases[] = {
        {"", "a.com", 443, false},
        {" , ,", "a.com", 443, false},
        {"*", "a.com", 443, true},
        {"b.com, *", "a.com", 443, true},
        {"a.com", "A.com", 443, true},
        {"A.COM", "api.a.com", 443, true},
        {"a.com", "ba.com", 443, false},
        {"a.com", "a.com.evil", 443, false},
        {".a.com", "api.a.com", 443, true},
        {".a.com", "a.com", 443, true},
        {"*.a.com", "api.a.com", 443, true},
        {".", "a.com", 443, false},
        {"a.com:443", "a.com", 443, true},
        {"a.com:443", "x.a.com", 443, true},
        {"a.com:80", "a.com", 443, false},
        {"a.com:", "a.com", 443, false},
        {"a.com:x", "a.com", 443, false},
        {"x,a.com:8443 ,y", "a.com", 8443, true},
        {"10.0.0.1", "10.0.0.1", 443, true},
        {"10.0.0.1", "10.0.0.11", 443, false},
        {"::1", "::1", 443, true},
        {"[::1]", "::1", 443, true},
        {"[::1]:443", "::1", 443, true},
        {"[::1]:80", "::1", 443, false},
        {"[::1", "::1", 443, false},
        {"[", "a", 443, false},
        {"2001:db8::1\t2001:DB8::2", "2001:db8::2", 443, true},
        {"a.com.", "a.com", 443, true}, /* the root's dot, on either side */
        {"a.com.", "x.a.com.", 443, true},
        {".a.com.:443", "x.a.com", 443, true},
        {"a.com", "x.a.com.", 443, true},
        {"10.0.0.0/8", "10.255.0.1", 443, true}, /* blocks */
        {"10.0.0.0/8", "11.0.0.1", 443, false},
        {"10.0.0.0/8", "10.com", 443, false},
        {"192.168.16.0/20", "192.168.31.255", 443, true},
        {"192.168.16.0/20", "192.168.32.0", 443, false},
        {"192.168.16.0/20:8443", "192.168.16.1", 443, false},
        {"192.168.16.0/20:443", "192.168.16.1", 443, true},
        {"10.1.2.3/32", "10.1.2.3", 443, true},
        {"10.1.2.3/32", "10.1.2.2", 443, false},
        {"0.0.0.0/0", "10.1.2.3", 443, true},
        {"0.0.0.0/0", "fd00::1", 443, false},
        {"0.0.0.0/0", "a.com", 443, false},
        {"::/0", "fd00::1", 443, true},
        {"fd00::/8", "fdff:1::2", 443, true},
        {"fd00::/8", "fc00::1", 443, false},
        {"fd00::/8", "10.0.0.1", 443, false},
        {"[fd00::/9]:443", "fd7f::1", 443, true},
        {"[fd00::/9]:443", "fd80::1", 443, false},
        {"2001:DB8::0:1", "2001:db8:0:0::1", 443, true}, /* one address, written twice */
        {"1.2.3", "9.1.2.3", 443, true},                 /* no address: a name as any */
        {"0.0.1", "10.0.0.1", 443, true},
        {"10.0.0.1", "9.10.0.0.1", 443, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (wfi_host_is_listed(wfi_str_z(cases[i].list), wfi_str_z(cases[i].host), cases[i].port) != cases[i].covered)
            fail_msg("\"%s\" and %s:%u", cases[i].list, cases[i].host, cases[i].port);
}

static void odd_entries_are_found(void **state) {
    static const char *const good[] = {"",
                                       " ,,",
                                       "*",
                                       "a.com,.b.com *.c.com,d.com.:1,10.0.0.0/8,::1,[::1]:2",
                                       "fd00::/8",
                                       "::/0",
                                       "[::/0]:80",
                                       "_x.y-z.q",
                                       "1:2:3:4:5:6:7:8",
                                       "::",
                                       "1::",
                                       "1:2::7:8",
                                       "0.0.0.0/0"};
    static const char *const odd[] = {"10.0.0.0/33",
                                      "10.0.0.0/",
                                      "10.0.0.0/x",
                                      "10.0.0/8",
                                      "a.com/8",
                                      "fd00::/129",
                                      "a.com:",
                                      "a.com:0",
                                      "a.com:65536",
                                      "a.com:x",
                                      "<local>",
                                      "192.*",
                                      "a*.com",
                                      "[::1",
                                      "[::1]x",
                                      "[::1]/8",
                                      "http://a",
                                      "\xc3\xa4.de",
                                      ".",
                                      "*.",
                                      ":1:2",
                                      "1::2::3",
                                      "1:2:3:4:5:6:7",
                                      "1:2:3:4:5:6:7:8:9",
                                      "1:2:3:4:5:6:7:8::",
                                      "12345::",
                                      "1:",
                                      "1::g",
                                      "::1:",
                                      ":::"};
    char list[128];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (wfi_host_list_fault(wfi_str_z(good[i])).len > 0) fail_msg("%s is odd", good[i]);
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        snprintf(list, sizeof list, "fine, %s ,*,??", odd[i]);
        if (!wfi_str_eq(wfi_host_list_fault(wfi_str_z(list)), wfi_str_z(odd[i]))) fail_msg("%s is not odd", odd[i]);
    }
}

static void proxies_are_read(void **state) {
    static const struct {
        const char *text, *host, *user, *why;
        uint32_t port;
    } cases[] = {
        {"http://proxy", "proxy", NULL, NULL, 80},
        {"proxy:3128", "proxy", NULL, NULL, 3128},
        {"proxy", "proxy", NULL, NULL, 80},
        {"10.0.0.1:8080/", "10.0.0.1", NULL, NULL, 8080},
        {"[fd00::1]:3128", "fd00::1", NULL, NULL, 3128},
        {"u:p@proxy:3128", "proxy", "u:p", NULL, 3128},
        {"HTTP://u:p@x@proxy:3128", "proxy", "u:p@x", NULL, 3128},
        {"http://u:p#x@proxy:3128", NULL, NULL, "percent-encode it", 0},
        {"http://u:p/x@proxy:3128", NULL, NULL, "percent-encode it", 0},
        {"u:p?x@proxy:3128", NULL, NULL, "percent-encode it", 0},
        {"http://proxy:3128#x", NULL, NULL, "not of the form", 0},
        {"https://proxy", NULL, NULL, "spoken to by http://", 0},
        {"socks5://proxy", NULL, NULL, "not of the form", 0},
        {"http://proxy/path", NULL, NULL, "has a path", 0},
        {"fd00::1", NULL, NULL, "not of the form", 0},
        {"proxy:x", NULL, NULL, "not of the form", 0},
        {"http://", NULL, NULL, "not of the form", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wfi_url u;
        const char *why;
        wf_status s = wfi_url_parse_proxy(wfi_str_z(cases[i].text), &u, &why);
        if ((s == WF_OK) != (cases[i].why == NULL)) fail_msg("%s: %s", cases[i].text, why);
        if (why) assert_non_null(strstr(why, cases[i].why));
        if (why) continue;
        assert_true(wfi_str_eq(u.host, wfi_str_z(cases[i].host)) && wfi_str_eq(u.userinfo, wfi_str_z(cases[i].user)));
        assert_true(u.port == cases[i].port && !u.tls);
    }
}

static void names_and_values_are_judged(void **state) {
    (void)state;
    assert_true(wfi_parse_name_ok(WF_STR("X-Api_Key.1!#$%&'*+-^`|~")));
    static const char *const bad[] = {"", "a b", "a:", "a\r", "(", "\xc3\xa4", "a\x7f", "a@b", "[", "a/"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(wfi_parse_name_ok(wfi_str_z(bad[i])));
    assert_false(wfi_parse_name_ok(wf_str_of("a\0", 2)));
    assert_true(wfi_parse_value_ok(WF_STR("")));
    assert_true(wfi_parse_value_ok(WF_STR("a\tb \xc3\xa4~")));
    assert_false(wfi_parse_value_ok(WF_STR("a\r\nb")));
    assert_false(wfi_parse_value_ok(WF_STR("a\nb")));
    assert_false(wfi_parse_value_ok(WF_STR("\x7f")));
    assert_false(wfi_parse_value_ok(wf_str_of("\0", 1)));
}

/* ---- what a head says ---- */

static void dates_are_read(void **state) {
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-22T10:20:30Z", 1795342830000},
        {"2024-02-29T23:59:59.5z", 1709251199500},
        {"2026-11-22t10:20:30.123456789Z", 1795342830123},
        {"2026-11-22 12:20:30+02:00", 1795342830000},
        {"2026-11-22T04:50:30-05:30", 1795342830000},
        {"2000-03-01T00:00:00Z", 951868800000},
        {"9999-12-31T23:59:60Z", 253402300800000},
    };
    static const char *const bad[] = {"",
                                      "2026-11-22",
                                      "2026-11-22T10:20:30",
                                      "2026-11-22T10:20Z",
                                      "2026-13-22T10:20:30Z",
                                      "2026-00-22T10:20:30Z",
                                      "2026-11-32T10:20:30Z",
                                      "2026-11-22T24:20:30Z",
                                      "2026-11-22T10:60:30Z",
                                      "2026-11-22T10:20:61Z",
                                      "2026-11-22T10:20:30.Z",
                                      "2026-11-22T10:20:30Zx",
                                      "2026-11-22T10:20:30+0200",
                                      "1969-12-31T23:59:59Z",
                                      "1970-01-01T00:00:00+00:01",
                                      "+026-11-22T10:20:30Z",
                                      "60",
                                      "Sun, 22 Nov 2026"};
    uint64_t ms;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!wfi_rfc3339(wfi_str_z(good[i].text), &ms)) fail_msg("%s", good[i].text);
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (wfi_rfc3339(wfi_str_z(bad[i]), &ms)) fail_msg("%s is taken", bad[i]);
}

static void head_of(wfi_headers *r, wf_rates *rates, const char *lines) {
    wfi_headers_begin(r);
    while (*lines) {
        const char *eq = strchr(lines, '='), *end = strchr(lines, '\n');
        wfi_headers_header(r, wf_str_of(lines, (size_t)(eq - lines)), wf_str_of(eq + 1, (size_t)(end - eq - 1)),
                           end[-1] == '~', rates);
        lines = end + 1;
    }
}

static bool is(wf_str s, const char *z) {
    return wfi_str_eq(s, wfi_str_z(z));
}

static void heads_say_what_counts(void **state) {
    wfi_headers r;
    wf_response out;
    wf_rates rates = {0};
    (void)state;
    head_of(&r, &rates,
            "content-type=Text/Event-Stream ; charset=UTF-8\nx-amzn-requestid=c\nx-request-id=b\nrequest-id=a\n"
            "x-request-id=d\nx-should-retry=true\nretry-after=4\nanthropic-ratelimit-requests-limit=50\n"
            "anthropic-ratelimit-requests-remaining=49\nanthropic-ratelimit-requests-reset=2026-11-22T10:20:30Z\n"
            "anthropic-ratelimit-input-tokens-limit=40000\nanthropic-ratelimit-output-tokens-remaining=7\n"
            "anthropic-ratelimit-tokens-limit=x\nanthropic-ratelimit-tokens-foo=1\nanthropic-ratelimit-=1\n");
    wfi_headers_get(&r, 200, 1795342830000, &out);
    assert_int_equal(out.status, 200);
    assert_true(is(out.content_type, "text/event-stream"));
    assert_true(is(out.request_id, "a"));
    assert_int_equal(out.should_retry, 1);
    assert_int_equal(out.retry_after_ms, 4000);
    assert_true(rates.requests.known && rates.requests.limit == 50 && rates.requests.remaining == 49);
    assert_true(rates.requests.reset_ms == 1795342830000);
    assert_true(rates.input_tokens.known && rates.input_tokens.limit == 40000 && rates.input_tokens.reset_ms == 0);
    assert_true(rates.output_tokens.known && rates.output_tokens.remaining == 7);
    assert_false(rates.tokens.known);
    assert_false(r.packed);

    head_of(&r, NULL,
            "retry-after-ms=1500\nretry-after=Sun, 22 Nov 2026 10:20:40 GMT\nx-should-retry=false\n"
            "anthropic-ratelimit-tokens-limit=1\nx-request-id=\ncontent-encoding=Identity\n");
    wfi_headers_get(&r, 429, 1795342830000, &out);
    assert_int_equal(out.retry_after_ms, 1500);
    assert_int_equal(out.should_retry, 0);
    assert_true(out.request_id.len == 0 && out.content_type.len == 0);
    assert_false(r.packed);

    head_of(&r, NULL,
            "retry-after=Sun, 22 Nov 2026 10:20:40 GMT\nx-should-retry=maybe\ncontent-encoding=gzip\n"
            "content-type=application/x~\nx-request-id=123456789012345678901234567890123456789012345678901234567890"
            "123456789012345678901234567890123456789012345678901234567890123456789\n");
    wfi_headers_get(&r, 429, 1795342830000, &out);
    assert_int_equal(out.retry_after_ms, 10000);
    wf_str own = WF_STR("Sun, 22 Nov 2026 10:20:10 GMT"); /* of the server; this machine's clock is off by a day */
    wfi_headers_header(&r, WF_STR("date"), own, false, NULL);
    wfi_headers_get(&r, 429, 1795342830000 - 86400000, &out);
    assert_int_equal(out.retry_after_ms, 30000);
    assert_int_equal(out.should_retry, -1);
    assert_int_equal(out.request_id.len, 128);
    assert_int_equal(out.content_type.len, 0); /* it was cut */
    assert_true(r.packed);

    head_of(&r, NULL, "");
    wfi_headers_get(&r, 500, 0, &out);
    assert_true(out.retry_after_ms == -1 && out.should_retry == -1 && out.request_id.len == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(responses_are_read),
        cmocka_unit_test(zeros_are_bytes),
        cmocka_unit_test(names_and_values_have_limits),
        cmocka_unit_test(heads_have_limits),
        cmocka_unit_test(mutants_are_cut_alike),
        cmocka_unit_test(addresses_are_parsed),
        cmocka_unit_test(loopback_is_known),
        cmocka_unit_test(lists_of_hosts),
        cmocka_unit_test(odd_entries_are_found),
        cmocka_unit_test(proxies_are_read),
        cmocka_unit_test(names_and_values_are_judged),
        cmocka_unit_test(dates_are_read),
        cmocka_unit_test(heads_say_what_counts),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, guard_up, NULL);
}
