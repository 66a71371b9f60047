/* TLS against a real server: build/test/tls_peer, in a process of its own, as its mbedTLS is another build and its memory
 * none of ours. Between the two lies a network of the test's own that can be slow, cut and damaged at any byte.
 * WF_CAMPAIGN=full: every byte, every allocation. */
#include "tests/fake/counts.h"
#include "src/core/base/heap.h"
#include "src/api/tls.h"
#include "src/port/tls/trust.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <mbedtls/build_info.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    CONNS = 1000,
    MEMORY = 64 << 20,
    PATIENCE = 20000 /* ms without news before a test gives up */
};

static char dir[] = "/tmp/wf-tls-XXXXXX";
static char ca[64], self_pem[64];

typedef struct program {
    pid_t pid;
    int in, port;
} program;

static program peer;

static bool full_campaign(void) {
    const char *campaign = getenv("WF_CAMPAIGN");
    return campaign != NULL && strcmp(campaign, "full") == 0;
}

/* ---- the network ---- */

typedef struct net {
    int fd[CONNS];
    short wants[CONNS];   /* what AGAIN was answered to */
    const char *greeting; /* "VERSION CERTIFICATE" */
    bool hold;            /* nothing comes in */
    bool trickle;         /* a byte at a time, and AGAIN in between */
    bool broken;          /* writing fails */
    short paused[CONNS];
    size_t cut, flip;           /* of what comes: the end before this byte; one bit of it changed; SIZE_MAX: no */
    size_t read, sent;          /* bytes, all connections */
    size_t choke;               /* the connections take no more than this in all */
    uint32_t opened;            /* connections */
    uint8_t hello[CONNS][1024]; /* the first bytes that went out */
    size_t hello_size[CONNS];
} net;

static net wire;

static wf_status net_open(void *ctx, uint32_t conn, wf_str host, uint32_t port) {
    net *w = ctx;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void)host, (void)port;
    at.sin_port = htons((uint16_t)peer.port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char line[64];
    int n = snprintf(line, sizeof line, "%s\n", w->greeting);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(write(fd, line, (size_t)n), n);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* else the hello waits for an ACK of the line */
    w->fd[conn] = fd;
    w->wants[conn] = 0;
    w->hello_size[conn] = 0;
    w->opened++;
    return WF_OK;
}

static wf_status net_secure(void *ctx, uint32_t conn, wf_str host, uint32_t port) {
    (void)ctx, (void)conn, (void)host, (void)port;
    return WF_E_IO;
}

static bool net_pauses(net *w, uint32_t conn, short what) {
    w->paused[conn] ^= w->trickle ? what : w->paused[conn] & what;
    w->wants[conn] |= w->paused[conn] & what;
    return (w->paused[conn] & what) != 0;
}

static wf_status net_write(void *ctx, uint32_t conn, const void *buf, size_t n, size_t *put) {
    net *w = ctx;
    *put = 0;
    if (w->broken) return WF_E_IO;
    if (net_pauses(w, conn, POLLOUT)) return WF_AGAIN;
    if (w->trickle) n = 1;
    if (n > w->choke - w->sent) n = w->choke - w->sent;
    ssize_t done = n > 0 ? send(w->fd[conn], buf, n, MSG_NOSIGNAL) : -1;
    if (done < 0 && n > 0 && errno != EAGAIN) return WF_E_IO;
    if (done < 0) w->wants[conn] |= POLLOUT;
    if (done < 0) return WF_AGAIN;
    size_t room = sizeof w->hello[conn] - w->hello_size[conn], keep = (size_t)done < room ? (size_t)done : room;
    memcpy(w->hello[conn] + w->hello_size[conn], buf, keep);
    w->hello_size[conn] += keep;
    w->sent += (size_t)done;
    *put = (size_t)done;
    return WF_OK;
}

static wf_status net_read(void *ctx, uint32_t conn, void *buf, size_t n, size_t *got) {
    net *w = ctx;
    *got = 0;
    if (w->read == w->cut) return WF_END;
    if (w->hold) w->wants[conn] |= POLLIN;
    if (w->hold) return WF_AGAIN;
    if (net_pauses(w, conn, POLLIN)) return WF_AGAIN;
    if (w->trickle) n = 1;
    if (n > w->cut - w->read) n = w->cut - w->read;
    ssize_t done = recv(w->fd[conn], buf, n, 0);
    if (done < 0 && errno != EAGAIN) return WF_E_IO;
    if (done < 0) w->wants[conn] |= POLLIN;
    if (done <= 0) return done < 0 ? WF_AGAIN : WF_END;
    if (w->flip >= w->read && w->flip < w->read + (size_t)done) ((uint8_t *)buf)[w->flip - w->read] ^= 0x10;
    w->read += (size_t)done;
    *got = (size_t)done;
    return WF_OK;
}

static void net_close(void *ctx, uint32_t conn) {
    net *w = ctx;
    if (w->fd[conn] >= 0) close(w->fd[conn]);
    w->fd[conn] = -1;
}

/* Waits, too. */
static uint32_t net_ready(void *ctx, uint32_t *conns, uint32_t max) {
    static struct pollfd polls[CONNS];
    static uint32_t whose[CONNS];
    net *w = ctx;
    nfds_t n = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < CONNS; i++) {
        if (w->fd[i] < 0 || w->wants[i] == 0) continue;
        whose[n] = i;
        polls[n++] = (struct pollfd){w->fd[i], w->wants[i], 0};
    }
    if (n == 0 || poll(polls, n, PATIENCE) <= 0) return 0;
    for (nfds_t i = 0; i < n && count < max; i++) {
        if (polls[i].revents == 0) continue;
        w->wants[whose[i]] = 0;
        conns[count++] = whose[i];
    }
    return count;
}

static bool net_wait(net *w, uint32_t conn) {
    struct pollfd pf = {w->fd[conn], w->wants[conn], 0};
    w->wants[conn] = 0;
    return poll(&pf, 1, PATIENCE) == 1;
}

static uint64_t net_due(void *ctx) {
    (void)ctx;
    return UINT64_MAX;
}

static wf_str net_error(void *ctx, uint32_t conn) {
    (void)ctx, (void)conn;
    return WF_STR("the network is down");
}

static const wf_net_ops net_ops = {net_open, net_secure, net_write, net_read, net_close, net_ready, net_due, net_error};

/* ---- a client ---- */

static uint8_t *memory;
static wf_tls *tls;
static const wf_net_ops *ops;
static char refusal[512]; /* what was said of an open that failed */

static void net_reset(const char *greeting) {
    for (uint32_t i = 0; i < CONNS; i++)
        assert_int_equal(wire.fd[i], -1);
    wire.greeting = greeting;
    wire.trickle = wire.hold = wire.broken = false;
    wire.cut = wire.flip = wire.choke = SIZE_MAX;
    wire.read = wire.sent = 0;
}

static uint64_t clock_ms; /* 0: the client has no clock */

static uint64_t client_now(void *ctx) {
    return *(uint64_t *)ctx;
}

static wf_status client_try(size_t size, uint32_t conns, const char *ca_file) {
    wf_error error;
    wf_tls_config config = {.net = &net_ops,
                            .net_ctx = &wire,
                            .conns = conns,
                            .now_ms = clock_ms > 0 ? client_now : NULL,
                            .now_ctx = &clock_ms,
                            .ca_file = ca_file};
    wf_status status = wf_tls_open(&tls, memory, size, &config, &error);
    assert_int_equal(error.code, status);
    if (status != WF_OK) snprintf(refusal, sizeof refusal, "%s", wf_tls_error(tls));
    if (status != WF_OK) tls = NULL;
    ops = wf_tls_ops();
    return status;
}

static void client_open(const char *greeting) {
    net_reset(greeting);
    assert_int_equal(client_try(MEMORY, 0, ca), WF_OK);
}

static void client_close(void) {
    wf_tls_close(tls);
    tls = NULL;
}

static int tidy(void **state) { /* after a test that has failed */
    (void)state;
    if (tls != NULL) client_close();
    return 0;
}

static wfi_heap *client_heap(void) {
    return (wfi_heap *)(((uintptr_t)memory + WFI_ALIGN - 1) & ~(uintptr_t)(WFI_ALIGN - 1));
}

static wf_str str(const char *z) {
    return (wf_str){z, strlen(z)};
}

static bool wait_for(uint32_t conn) {
    uint32_t ready;
    return ops->ready(tls, &ready, 1) == 1 && ready == conn;
}

static uint32_t port = 443; /* of the peer */

static wf_status begin(uint32_t conn, const char *host) {
    wf_status status = ops->open(tls, conn, str(host), 3128); /* a proxy's, which is no part of the peer's name */
    return status == WF_OK ? ops->secure(tls, conn, str(host), port) : status;
}

static wf_status put_all(uint32_t conn, const void *buf, size_t n) {
    const char *p = buf;
    while (n > 0) {
        size_t put;
        wf_status status = ops->write(tls, conn, p, n, &put);
        if (status == WF_AGAIN) {
            assert_true(wait_for(conn));
            continue;
        }
        if (status != WF_OK) return status;
        assert_in_range(put, 1, n);
        p += put;
        n -= put;
    }
    return WF_OK;
}

static wf_status get_some(uint32_t conn, void *buf, size_t n, size_t *got) {
    for (;;) {
        wf_status status = ops->read(tls, conn, buf, n, got);
        if (status != WF_AGAIN) return status;
        assert_true(wait_for(conn));
    }
}

static wf_status get_all(uint32_t conn, void *buf, size_t n) {
    size_t got;
    for (char *p = buf; n > 0; p += got, n -= got) {
        wf_status status = get_some(conn, p, n, &got);
        if (status != WF_OK) return status;
        assert_in_range(got, 1, n);
    }
    return WF_OK;
}

static wf_status outcome; /* what the exchange before ended with, if not well */

/* Sends a message on an open connection: "" or the answer of `n` bytes is not as expected; else the error. */
static const char *exchange(uint32_t conn, const char *message, const char *expected) {
    static char text[512];
    char answer[64];
    size_t n = strlen(expected);
    wf_status status = put_all(conn, message, strlen(message));
    if (status == WF_OK) status = get_all(conn, answer, n);
    if (status == WF_OK) return memcmp(answer, expected, n) == 0 ? "well" : "";
    if (status == WF_E_IO) status = get_all(conn, answer, n); /* what the peer said before it hung up */
    wf_str error = ops->error(tls, conn);
    assert_true(error.len > 0);
    outcome = status;
    /* Another try helps, but not with a certificate that is not to be trusted. */
    if (memcmp(error.ptr, "the certificate of ", 19) == 0) assert_int_equal(status, WF_E_CONFIG);
    snprintf(text, sizeof text, "%.*s", (int)error.len, error.ptr);
    return text;
}

/* A whole connection: "well" or the error. */
static const char *visit_on(uint32_t conn, const char *host, const char *message, const char *expected) {
    const char *result = begin(conn, host) == WF_OK ? exchange(conn, message, expected) : NULL;
    if (result == NULL) {
        wf_str error = ops->error(tls, conn);
        static char text[512];
        snprintf(text, sizeof text, "%.*s", (int)error.len, error.ptr);
        result = text;
    }
    ops->close(tls, conn);
    return result;
}

static const char *visit(const char *host) {
    return visit_on(0, host, "hello there", "hello there");
}

static wf_tls_stats stats(void) {
    wf_tls_stats s;
    wf_tls_stats_get(tls, &s);
    return s;
}

/* ---- handshakes ---- */

static void test_good_handshakes(void **state) {
    const char *const greetings[] = {"12 good",  "13 good",  "12 rsa",   "13 rsa",   "any good",
                                     "12 chain", "13 chain", "hrr good", "hrr chain"};
    (void)state;
    for (size_t i = 0; i < sizeof greetings / sizeof greetings[0]; i++) {
        client_open(greetings[i]);
        assert_string_equal(visit("localhost"), "well");
        assert_string_equal(visit("a.example.test"), "well");
        assert_int_equal(stats().handshakes, 2);
        assert_int_equal(stats().resumed, 0);
        client_close();
    }
}

static void test_alpn_and_sni(void **state) {
    const char *const greetings[] = {"12 good", "13 good"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        client_open(greetings[i]);
        assert_string_equal(visit_on(0, "localhost", "?alpn", "http/1.1"), "well");
        assert_string_equal(visit_on(0, "localhost", "?sni", "localhost"), "well");
        /* An address is checked, but never sent as SNI. */
        assert_string_equal(visit_on(0, "127.0.0.1", "?sni", "-"), "well");
        assert_string_equal(visit_on(0, "::1", "?sni", "-"), "well");
        assert_string_equal(visit("0:0:0:0:0:0:0:1"), "well");
        assert_string_equal(visit("127.0.0.2"),
                            "the certificate of 127.0.0.2 is made out to other names, not 127.0.0.2");
        assert_string_equal(visit("::2"), "the certificate of ::2 is made out to other names, not ::2");
        client_close();
    }
}

#define OUT_OF_BOUNDS "the certificate of localhost has names that its authority may not sign for (name constraints)"

/* Name constraints let through what is in them; a dot at the end of a name is no part of it. */
static void test_good_names(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"in-bounds", "a.corp.test"}, {"in-bounds", "corp.test"},
                                           {"in-bounds", "10.1.2.3"},    {"root-in", "a.corp.test"},
                                           {"good", "localhost."},       {"chain", "x.example.test."}};
    char greeting[32];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int version = 12; version <= 13; version++) {
            snprintf(greeting, sizeof greeting, "%d %s", version, cases[i][0]);
            client_open(greeting);
            assert_string_equal(visit(cases[i][1]), "well");
            client_close();
        }
}

static void test_certificate_faults(void **state) {
    static const struct {
        const char *kind, *host, *error;
    } cases[] = {
        {"expired", "localhost", "the certificate of localhost is expired (ended 2020-01-01)"},
        {"stale-ca", "localhost", "the certificate of localhost is expired (ended 2020-01-01)"},
        {"future", "localhost",
         "the certificate of localhost is not valid before 2090-01-01; is this machine's clock right?"},
        {"other", "localhost", "the certificate of localhost is made out to other names, not localhost"},
        {"good", "b.a.example.test",
         "the certificate of b.a.example.test is made out to other names, not b.a.example.test"},
        /* An address is no name: neither in the common name nor among the DNS names. */
        {"client", "127.0.0.1", "the certificate of 127.0.0.1 is made out to other names, not 127.0.0.1"},
        {"unknown", "localhost",
         "the certificate of localhost is signed by an unknown authority; give that one's certificate with --ca FILE"},
        {"self", "localhost",
         "the certificate of localhost is signed by itself; if you trust it, give it with --ca FILE"},
        {"out", "localhost", OUT_OF_BOUNDS},
        {"excluded", "localhost", OUT_OF_BOUNDS},
        {"address-out", "localhost", OUT_OF_BOUNDS},
        {"root-out", "localhost", OUT_OF_BOUNDS},
        {"critical", "localhost",
         "the certificate of localhost, or of an authority that it sends, has a critical extension that is not known "
         "here; "
         "name constraints are, where they are not critical or stand in the root that --ca FILE gives"},
        {"cn-only", "localhost",
         "the certificate of localhost names no host: it has no subjectAltName; it needs one for localhost"},
        {"in-bounds", "localhost", "the certificate of localhost is made out to other names, not localhost"},
    };
    char greeting[32];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int version = 12; version <= 13; version++) {
            snprintf(greeting, sizeof greeting, "%d %s", version, cases[i].kind);
            client_open(greeting);
            assert_string_equal(visit(cases[i].host), cases[i].error);
            assert_int_equal(stats().handshakes, 0);
            wire.greeting = "any good"; /* and the next one is served */
            assert_string_equal(visit("localhost"), "well");
            client_close();
        }
}

static void test_self_signed_but_trusted(void **state) {
    (void)state;
    net_reset("any self");
    assert_int_equal(client_try(MEMORY, 0, self_pem), WF_OK);
    assert_string_equal(visit("localhost"), "well");
    assert_string_equal(visit("wrong.test"),
                        "the certificate of wrong.test is made out to other names, not wrong.test");
    wire.greeting = "any good";
    assert_string_equal(
        visit("127.0.0.1"),
        "the certificate of 127.0.0.1 is signed by an unknown authority; give that one's certificate with --ca FILE");
    client_close();
}

static void test_what_is_not_tls(void **state) {
    (void)state;
    client_open("any text");
    assert_string_equal(visit("localhost"), "localhost answered with something that is not TLS; is the port right?");
    assert_int_equal(outcome, WF_E_CONFIG);
    wire.greeting = "any ssl3";
    assert_string_equal(visit("localhost"), "localhost speaks no TLS 1.2 or 1.3");
    assert_int_equal(outcome, WF_E_CONFIG);
    wire.greeting = "any garbage"; /* of TLS's form: it may have been damaged on the way */
    const char *error = visit("localhost");
    assert_non_null(strstr(error, "localhost"));
    assert_string_not_equal(error, "well");
    assert_int_equal(outcome, WF_E_IO);
    client_close();
}

/* What the server will say again to the next try is final at once; and it is heard though the network takes nothing more. */
static void test_refusals(void **state) {
    static const struct {
        int alert;
        bool final;
        const char *says;
    } cases[] = {
        {10, false, "unexpected message"},
        {20, false, "bad record MAC"},
        {40, true, "not Ed25519"},
        {42, true, "wants clients to have a certificate"},
        {43, true, "certificate"},
        {48, true, "certificate"},
        {49, true, "access denied"},
        {51, false, "decrypt error"},
        {70, true, "no TLS 1.2 or 1.3"},
        {71, true, "insufficient security"},
        {80, false, "internal error"},
        {109, true, "(alert 109)"},
        {112, true, "serves no such host"},
        {116, true, "certificate required"},
        {120, true, "HTTP/1.1"},
        {200, false, "an alert without a name (alert 200)"},
    };
    char text[16];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int how = 0; how < 4; how++) { /* in the handshake, with a deaf network, behind it in both versions */
            snprintf(text, sizeof text, how < 2 ? "any alert%d" : "?alert%d", cases[i].alert);
            client_open(how < 2 ? text : how == 2 ? "12 good" : "13 good");
            assert_int_equal(begin(0, "localhost"), WF_OK);
            wire.broken = how == 1;
            wire.wants[0] = POLLIN; /* it has been said by then */
            if (wire.broken) assert_true(net_wait(&wire, 0));
            const char *error = exchange(0, how < 2 ? "hello" : text, "hello");
            bool anew = cases[i].alert == 40 && how >= 2;
            if (!strstr(error, anew ? "negotiate TLS anew" : cases[i].says))
                fail_msg("%d %d: %s", cases[i].alert, how, error);
            assert_int_equal(outcome, cases[i].final ? WF_E_CONFIG : WF_E_IO);
            ops->close(tls, 0);
            client_close();
        }
}

/* A refusal may be that of the session which was offered: then it is tried without. */
static void test_refused_session(void **state) {
    (void)state;
    client_open("12 good");
    assert_string_equal(visit("localhost"), "well");
    wire.greeting = "12 alert40";
    assert_non_null(strstr(visit("localhost"), "handshake failure"));
    assert_int_equal(outcome, WF_E_IO);
    assert_non_null(strstr(visit("localhost"), "handshake failure"));
    assert_int_equal(outcome, WF_E_CONFIG);
    client_close();
}

/* mbedTLS knows no key update; the request may go out again. */
static void test_key_update(void **state) {
    (void)state;
    client_open("13 good");
    assert_string_equal(visit_on(0, "localhost", "?update", "x"),
                        "localhost asked for a key update (TLS 1.3), which is not supported here");
    assert_int_equal(outcome, WF_E_STALE);
    client_close();
}

static void test_long_chains(void **state) {
    (void)state;
    for (int version = 12; version <= 13; version++) {
        client_open(version == 12 ? "12 long" : "13 long");
        assert_string_equal(visit("localhost"), "well");
        wire.greeting = version == 12 ? "12 too-long" : "13 too-long";
        assert_string_equal(visit("127.0.0.1"),
                            "the certificate chain of 127.0.0.1 is longer than 21 certificates, the limit here");
        assert_int_equal(outcome, WF_E_CONFIG);
        client_close();
    }
}

static void test_resumption(void **state) {
    const char *const greetings[] = {"12 good", "13 good", "12 rsa"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        client_open(greetings[i]);
        for (int k = 0; k < 5; k++)
            assert_string_equal(visit("localhost"), "well");
        assert_int_equal(stats().handshakes, 5);
        assert_int_equal(stats().resumed, 4);
        /* Another name is another peer. */
        assert_string_equal(visit("127.0.0.1"), "well");
        assert_int_equal(stats().resumed, 4);
        assert_string_equal(visit("127.0.0.1"), "well");
        assert_int_equal(stats().resumed, 5);
        /* Another port as well, whichever way it is reached. */
        port = 8443;
        assert_string_equal(visit("localhost"), "well");
        assert_int_equal(stats().resumed, 5);
        port = 443;
        assert_string_equal(visit("localhost"), "well");
        assert_int_equal(stats().resumed, 6);
        /* Many peers: the eldest gives way. */
        char host[32];
        for (int k = 0; k < 20; k++) {
            snprintf(host, sizeof host, "h%d.example.test", k);
            assert_string_equal(visit(host), "well");
        }
        assert_int_equal(stats().resumed, 6);
        assert_string_equal(visit("h19.example.test"), "well");
        assert_int_equal(stats().resumed, 7);
        assert_string_equal(visit("localhost"), "well");
        assert_int_equal(stats().resumed, 7);
        client_close();
    }
}

static void test_no_resumption_after_failure(void **state) {
    (void)state;
    client_open("12 expired");
    assert_string_not_equal(visit("localhost"), "well");
    assert_string_not_equal(visit("localhost"), "well");
    assert_int_equal(stats().handshakes, 0);
    client_close();
}

/* ---- the first connection to a host leads ---- */

static bool would_wait(uint32_t conn) {
    size_t put;
    return ops->write(tls, conn, "x", 1, &put) == WF_AGAIN && wire.sent == 0;
}

/* All that `ready` names, as bits. */
static uint32_t named(void) {
    uint32_t conns[8], bits = 0;
    for (uint32_t n = ops->ready(tls, conns, 8); n > 0; n--)
        bits |= 1u << conns[n - 1];
    return bits;
}

static void lead_open(const char *greeting) {
    clock_ms = 1000;
    client_open(greeting);
    clock_ms = 1000;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(begin(i, "localhost"), WF_OK);
    assert_true(would_wait(1) && would_wait(2));
    assert_int_equal(ops->due(tls), 1500);
}

static void lead_close(void) {
    for (uint32_t i = 0; i < 3; i++)
        ops->close(tls, i);
    client_close();
    clock_ms = 0;
}

static void test_the_first_leads(void **state) {
    const char *const greetings[] = {"12 good", "13 good"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        lead_open(greetings[i]);
        assert_string_equal(exchange(0, "one", "one"), "well");
        assert_int_equal(ops->due(tls), 0);
        assert_int_equal(named() & 6, 6);
        assert_int_equal(named() & 6, 0);
        assert_string_equal(exchange(1, "two", "two"), "well");
        assert_string_equal(exchange(2, "three", "three"), "well");
        assert_int_equal(stats().handshakes, 3);
        assert_int_equal(stats().resumed, 2);
        lead_close();
    }
}

static void test_others_do_not_wait_for_ever(void **state) {
    (void)state;
    lead_open("13 good");
    clock_ms = 1499;
    assert_int_equal(named(), 0);
    clock_ms = 1500;
    assert_int_equal(named(), 6);
    assert_string_equal(exchange(2, "two", "two"), "well");
    assert_int_equal(stats().resumed, 0);
    ops->close(tls, 1);
    assert_int_equal(ops->due(tls), UINT64_MAX);
    assert_int_equal(begin(1, "localhost"), WF_OK); /* there is a session now */
    assert_string_equal(exchange(1, "three", "three"), "well");
    assert_int_equal(stats().resumed, 1);
    lead_close();
}

static void test_a_leader_that_fails(void **state) {
    (void)state;
    lead_open("13 good");
    ops->close(tls, 1); /* one may give up waiting */
    ops->close(tls, 0);
    assert_int_equal(named(), 4);
    assert_string_equal(exchange(2, "two", "two"), "well");
    lead_close();
    lead_open("13 expired");
    assert_string_not_equal(exchange(0, "one", "one"), "well");
    assert_int_equal(named() & 6, 6);
    assert_string_not_equal(exchange(1, "one", "one"), "well");
    lead_close();
}

static void test_other_hosts_do_not_wait(void **state) {
    (void)state;
    lead_open("13 good");
    assert_int_equal(begin(3, "127.0.0.1"), WF_OK);
    assert_string_equal(exchange(3, "other", "other"), "well");
    assert_true(named() == 0);
    ops->close(tls, 3);
    lead_close();
}

/* ---- data ---- */

static void test_the_end(void **state) {
    char byte;
    size_t got;
    const char *const greetings[] = {"12 good", "13 good"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        client_open(greetings[i]);
        assert_int_equal(begin(0, "localhost"), WF_OK);
        assert_int_equal(put_all(0, "?bye", 4), WF_OK);
        assert_int_equal(get_some(0, &byte, 1, &got), WF_END);
        assert_int_equal(get_some(0, &byte, 1, &got), WF_END);
        ops->close(tls, 0);
        assert_int_equal(begin(1, "localhost"), WF_OK);
        assert_int_equal(put_all(1, "?drop", 5), WF_OK);
        assert_int_equal(get_some(1, &byte, 1, &got), WF_E_IO);
        wf_str error = ops->error(tls, 1);
        assert_memory_equal(error.ptr, "the connection to localhost was cut off", 39);
        assert_int_equal(ops->write(tls, 1, "x", 1, &got), WF_E_IO); /* an error is final */
        ops->close(tls, 1);
        client_close();
    }
}

static void test_much_data(void **state) {
    static char sent[30000], got[100000];
    const char *const greetings[] = {"12 good", "13 good"};
    (void)state;
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)(i * 7 + i / 251);
    for (size_t i = 0; i < 2; i++) {
        client_open(greetings[i]);
        assert_int_equal(begin(0, "localhost"), WF_OK);
        assert_int_equal(put_all(0, sent, sizeof sent), WF_OK);
        assert_int_equal(get_all(0, got, sizeof sent), WF_OK);
        assert_memory_equal(sent, got, sizeof sent);
        assert_int_equal(put_all(0, "?flood", 6), WF_OK);
        assert_int_equal(get_all(0, got, sizeof got), WF_OK);
        ops->close(tls, 0);
        client_close();
    }
}

/* What the network does not take at once is out of the caller's hands all the same, and goes first later. */
static void test_choked(void **state) {
    static char sent[5000], got[5000];
    (void)state;
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)(i % 253);
    client_open("any good");
    assert_int_equal(begin(0, "localhost"), WF_OK);
    assert_string_equal(exchange(0, "first", "first"), "well");
    for (size_t more = 0; more < 60; more++) {
        size_t put = 0, n = more * 83 + 1;
        wire.choke = wire.sent + more; /* the record is longer */
        assert_int_equal(ops->write(tls, 0, sent, n, &put), WF_OK);
        assert_int_equal(put, n < 4096 ? n : put);
        char late[] = "these bytes are not looked at before the others are gone";
        size_t none;
        assert_int_equal(ops->write(tls, 0, late, sizeof late, &none), WF_AGAIN);
        assert_int_equal(none, 0);
        assert_int_equal(ops->read(tls, 0, got, sizeof got, &none), WF_AGAIN);
        wire.choke = SIZE_MAX;
        assert_int_equal(get_all(0, got, put), WF_OK); /* reading sends, too */
        assert_memory_equal(got, sent, put);
    }
    ops->close(tls, 0);
    client_close();
}

/* A server that answers early takes no more, or hangs up: its answer is read all the same. */
static void test_reading_goes_on_without_writing(void **state) {
    static char got[100000], sent[1000];
    (void)state;
    for (int broken = 0; broken < 2; broken++) {
        size_t put, none;
        client_open("any good");
        assert_int_equal(begin(0, "localhost"), WF_OK);
        assert_int_equal(put_all(0, "?flood", 6), WF_OK);
        wire.choke = wire.sent + 5;
        assert_int_equal(ops->write(tls, 0, sent, sizeof sent, &put), WF_OK);
        wire.broken = broken != 0;
        assert_int_equal(ops->write(tls, 0, sent, sizeof sent, &none), wire.broken ? WF_E_IO : WF_AGAIN);
        assert_int_equal(get_all(0, got, sizeof got), WF_OK);
        assert_int_equal(ops->write(tls, 0, sent, sizeof sent, &none), wire.broken ? WF_E_IO : WF_AGAIN);
        assert_string_equal(wire.broken ? ops->error(tls, 0).ptr : "", wire.broken ? "the network is down" : "");
        ops->close(tls, 0);
        client_close();
    }
}

static void test_a_byte_at_a_time(void **state) {
    const char *const greetings[] = {"12 good", "13 good", "13 chain"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        client_open(greetings[i]);
        wire.trickle = true;
        assert_string_equal(visit("localhost"), "well");
        assert_string_equal(visit("localhost"), "well");
        assert_int_equal(stats().resumed, 1);
        client_close();
    }
}

static void test_plain_passes_through(void **state) {
    char answer[12];
    (void)state;
    client_open("any text");
    assert_int_equal(ops->open(tls, 0, str("localhost"), 80), WF_OK);
    assert_int_equal(put_all(0, "GET", 3), WF_OK);
    assert_int_equal(get_all(0, answer, sizeof answer), WF_OK);
    assert_memory_equal(answer, "HTTP/1.1 400", 12);
    ops->close(tls, 0);
    ops->close(tls, 0);
    assert_int_equal(ops->due(tls), UINT64_MAX);
    client_close();
}

/* ---- a network that fails ---- */

/* How many bytes come in during a whole visit. */
static size_t incoming(const char *greeting) {
    client_open(greeting);
    assert_string_equal(visit("localhost"), "well");
    client_close();
    return wire.read;
}

static void test_cut_at_every_byte(void **state) {
    const char *const greetings[] = {"12 good", "13 good"};
    size_t step = full_campaign() ? 1 : 23;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        size_t all = incoming(greetings[i]);
        for (size_t cut = 0; cut + 40 < all; cut += step) {
            client_open(greetings[i]);
            wire.cut = cut;
            const char *error = visit("localhost");
            if (strcmp(error, "localhost closed the connection during the TLS handshake") != 0)
                assert_string_equal(error,
                                    "the connection to localhost was cut off: it ended without TLS's closing notice");
            client_close();
        }
    }
}

/* Whatever bit is changed: nothing but an error comes of it, or the connection is right. */
static void test_damage_at_every_byte(void **state) {
    const char *const greetings[] = {"12 good", "13 good"};
    size_t step = full_campaign() ? 1 : 29, wells = 0;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        size_t all = incoming(greetings[i]);
        for (size_t flip = 0; flip + 40 < all; flip += step) {
            client_open(greetings[i]);
            wire.flip = flip;
            ops = wf_tls_ops();
            assert_int_equal(begin(0, "localhost"), WF_OK);
            /* A length that has grown makes us wait for what never comes. */
            struct timespec pause = {0, 1000000};
            wf_status status = WF_AGAIN;
            for (int tries = 0; status == WF_AGAIN && tries < 60; tries++) {
                size_t put;
                status = ops->write(tls, 0, "hello", 5, &put);
                if (status == WF_AGAIN) nanosleep(&pause, NULL);
            }
            wells += status == WF_OK;
            if (status == WF_E_IO) assert_true(ops->error(tls, 0).len > 20);
            ops->close(tls, 0);
            client_close();
        }
    }
    assert_in_range(wells, 0, full_campaign() ? 700 : 30); /* tickets after the handshake of 1.3, mostly */
}

static void test_the_network_breaks(void **state) {
    (void)state;
    client_open("any good");
    assert_int_equal(begin(0, "localhost"), WF_OK);
    shutdown(wire.fd[0], SHUT_RDWR);
    size_t put;
    wf_status status;
    while ((status = ops->write(tls, 0, "x", 1, &put)) == WF_AGAIN)
        assert_true(wait_for(0));
    assert_int_equal(status, WF_E_IO);
    assert_string_equal(ops->error(tls, 0).ptr, "the network is down");
    ops->close(tls, 0);
    client_close();
}

/* ---- memory ---- */

static void starve(const char *greeting, uint64_t nth, bool on, bool *reached) {
    client_open(greeting);
    wfi_heap *heap = client_heap();
    size_t before = heap->used;
    heap->fail_at = heap->allocs + nth;
    heap->fail_on = on;
    uint64_t last = heap->fail_at;
    const char *result = visit("localhost");
    *reached = heap->allocs >= last;
    if (strcmp(result, "well") != 0)
        assert_string_equal(result, "TLS memory is exhausted; give more --memory or fewer --lanes");
    else
        assert_true(!on || !*reached || stats().handshakes == 1);
    heap->fail_at = 0;
    assert_string_equal(visit("localhost"), "well");
    assert_true(wfi_heap_check(heap));
    client_close();
    assert_true(heap->used <= before); /* nothing is left behind */
}

static void test_every_allocation_fails(void **state) {
    const char *const greetings[] = {"12 good", "13 chain"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        bool reached = true;
        uint64_t step = 1;
        for (uint64_t n = 1; reached; n += step) {
            starve(greetings[i], n, n % 2 == 0, &reached);
            if (n > 60 && !full_campaign()) step = n / 5;
        }
    }
}

static void test_exhaustion_is_of_one_connection(void **state) {
    uint32_t n = 0;
    (void)state;
    net_reset("any good");
    assert_int_equal(client_try(400 << 10, 64, ca), WF_OK);
    while (n < 64 && begin(n, "localhost") == WF_OK && strcmp(exchange(n, "hello", "hello"), "well") == 0)
        n++;
    assert_in_range(n, 4, 20);
    wf_str error = ops->error(tls, n);
    assert_string_equal(error.ptr, "TLS memory is exhausted; give more --memory or fewer --lanes");
    for (uint32_t i = 0; i < n; i++)
        assert_string_equal(exchange(i, "still there", "still there"), "well");
    ops->close(tls, n);
    ops->close(tls, 0);
    assert_string_equal(visit_on(n, "localhost", "again", "again"), "well");
    client_close();
}

static void test_a_thousand_connections(void **state) {
    struct rlimit files;
    (void)state;
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < CONNS + 64) skip();
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    const char *const greetings[] = {"12 chain", "13 good"};
    for (size_t g = 0; g < 2; g++) {
        uint32_t conns = g == 1 ? CONNS : 100;
        net_reset(greetings[g]);
        assert_true(wf_tls_size(conns) < MEMORY);
        assert_int_equal(client_try(wf_tls_size(conns), conns, ca), WF_OK);
        size_t before = stats().heap.used, idle;
        for (uint32_t i = 0; i < conns; i++)
            assert_int_equal(begin(i, "localhost"), WF_OK);
        wire.hold = true;
        for (uint32_t i = 0; i < conns; i++) { /* all have said hello before the first goes on */
            size_t put;
            assert_int_equal(ops->write(tls, i, "hello", 5, &put), WF_AGAIN);
        }
        wire.hold = false;
        size_t waiting = stats().heap.used;
        for (uint32_t i = 0; i < conns; i++) {
            char answer[5];
            size_t put;
            wf_status status;
            while ((status = ops->write(tls, i, "hello", 5, &put)) == WF_AGAIN) {
                assert_true(net_wait(&wire, i));
            }
            assert_int_equal(status, WF_OK);
            for (size_t have = 0, got; have < 5; have += got) {
                while ((status = ops->read(tls, i, answer + have, 5 - have, &got)) == WF_AGAIN) {
                    assert_true(net_wait(&wire, i));
                }
                assert_int_equal(status, WF_OK);
            }
            assert_memory_equal(answer, "hello", 5);
        }
        idle = stats().heap.used;
        assert_int_equal(stats().handshakes, conns);
        print_message("# %s: heap before %zu, per connection: after hello %zu, open %zu; at most %zu KB in all\n",
                      greetings[g], before, (waiting - before) / conns, (idle - before) / conns,
                      stats().heap.high >> 10);
        assert_true(stats().heap.high < 40u << 20);
        for (uint32_t i = 0; i < conns; i++)
            ops->close(tls, i);
        client_close();
    }
}

/* ---- what is over leaves nothing ---- */

typedef struct visit_case {
    const char *name, *greeting, *host, *message, *part; /* of the result */
    uint32_t times;                                      /* fewer of what is a whole handshake each time */
    size_t cut, flip;                                    /* of what comes in each; 0: no */
} visit_case;

/* A message "?..." has the peer end the connection: no answer comes. */
static const char *visit_ended(uint32_t conn, const visit_case *v) {
    char byte;
    size_t got;
    assert_int_equal(begin(conn, v->host), WF_OK);
    assert_int_equal(put_all(conn, v->message, strlen(v->message)), WF_OK);
    wf_status status = get_some(conn, &byte, 1, &got);
    ops->close(tls, conn);
    return status == WF_END ? "ended" : status == WF_E_IO ? "broken" : "";
}

static void visit_times(const visit_case *v, uint32_t times) {
    for (uint32_t i = 0; i < times; i++) {
        wire.read = 0;
        wire.cut = v->cut > 0 ? v->cut : SIZE_MAX;
        wire.flip = v->flip > 0 ? v->flip : SIZE_MAX;
        const char *result =
            v->message[0] == '?' ? visit_ended(i % 16, v) : visit_on(i % 16, v->host, v->message, v->message);
        if (strstr(result, v->part) == NULL) fail_msg("%s: wanted %s, got %s", v->name, v->part, result);
    }
}

static bool visits_leave_nothing(const visit_case *v) {
    counts before, after;
    client_open(v->greeting);
    visit_times(v, 20);
    counts_begin(&before);
    counts_add(&before, "TLS", stats().heap);
    before.own_child = true;
    visit_times(v, v->times);
    counts_begin(&after);
    counts_add(&after, "TLS", stats().heap);
    bool same = counts_same(v->name, v->times, &before, &after) && wfi_heap_check(client_heap());
    client_close();
    return same;
}

static void test_connections_leave_nothing(void **state) {
    static const visit_case cases[] = {
        {"TLS 1.2, sessions resumed", "12 good", "localhost", "hello", "well", 1000, 0, 0},
        {"TLS 1.3, sessions resumed", "13 good", "localhost", "hello", "well", 1000, 0, 0},
        {"closed by the peer", "any good", "localhost", "?bye", "ended", 1000, 0, 0},
        {"dropped by the peer", "any good", "localhost", "?drop", "broken", 1000, 0, 0},
        {"not TLS", "any text", "localhost", "hello", "not TLS", 1000, 0, 0},
        {"no version in common", "any ssl3", "localhost", "hello", "no TLS", 1000, 0, 0},
        {"garbage", "any garbage", "localhost", "hello", "localhost", 1000, 0, 0},
        {"cut in the first record", "12 good", "localhost", "hello", "localhost", 1000, 50, 0},
        {"cut in the certificate", "13 chain", "localhost", "hello", "localhost", 200, 700, 0},
        {"a bit flipped", "13 good", "localhost", "hello", "localhost", 200, 0, 400},
        {"expired certificates", "12 expired", "localhost", "hello", "expired", 100, 0, 0},
        {"unknown authorities", "13 unknown", "localhost", "hello", "unknown authority", 100, 0, 0},
        {"signed by themselves", "13 self", "localhost", "hello", "signed by itself", 100, 0, 0},
        {"other names", "any other", "localhost", "hello", "other names", 100, 0, 0},
    };
    bool fine = true;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        fine &= visits_leave_nothing(&cases[i]);
    assert_true(fine);
}

/* Again and again in the same block: mbedTLS's own state, which is the process's, included. */
static void test_clients_leave_nothing(void **state) {
    enum { TIMES = 1000 };
    counts before, after;
    (void)state;
    for (uint32_t i = 0; i <= TIMES; i++) {
        client_open(i % 2 == 0 ? "12 good" : "any text");
        if (i % 100 == 0) assert_string_equal(visit("localhost"), "well");
        counts *c = i == 0 ? &before : &after;
        counts_begin(c);
        counts_add(c, "TLS", stats().heap);
        client_close();
    }
    before.own_child = true;
    assert_true(counts_same("TLS clients opened and closed", TIMES, &before, &after));
}

static void test_opening(void **state) {
    wf_tls *second;
    wf_error error;
    wf_tls_config config = {.net = &net_ops, .net_ctx = &wire, .ca_file = ca};
    (void)state;
    net_reset("any good");
    assert_int_equal(wf_tls_open(&second, memory, MEMORY, NULL, NULL), WF_E_CONFIG);
    assert_int_equal(client_try(MEMORY, 0, "/nowhere/ca.pem"), WF_E_NOT_FOUND);
    assert_non_null(strstr(refusal, "/nowhere/ca.pem"));
    assert_int_equal(client_try(MEMORY, 0, "/tmp"), WF_E_NOT_FOUND);
    assert_int_equal(client_try(MEMORY, 0, "/dev/null"), WF_E_NOT_FOUND);
    assert_int_equal(client_try(MEMORY, 0, "/proc/self/exe"), WF_E_NOT_FOUND);
    for (size_t size = 0; size < 40000; size += 777) {
        wf_status status = client_try(size, 0, ca);
        if (status == WF_OK) client_close();
        if (status != WF_OK) assert_int_equal(status, WF_E_MEMORY);
    }
    client_open("any good");
    assert_int_equal(wf_tls_open(&second, memory + MEMORY / 2, MEMORY / 2, &config, &error), WF_E_BUSY);
    assert_null(second);
    assert_string_equal(visit("localhost"), "well");
    char longest[400];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(ops->open(tls, 0, str("localhost"), 443), WF_OK);
    assert_int_equal(ops->secure(tls, 0, str(longest), 443), WF_E_IO);
    assert_true(ops->error(tls, 0).len > 0);
    ops->close(tls, 0);
    size_t n;
    assert_int_equal(ops->read(tls, 99, longest, 1, &n), WF_E_IO);
    assert_int_equal(ops->read(tls, 0, longest, 1, &n), WF_E_IO); /* not open */
    assert_int_equal(begin(3, "localhost"), WF_OK);               /* left open: closing closes it */
    client_close();
}

/* ---- the processes at the other end ---- */

/* Starts a program that prints "ready PORT" and ends with its input. False: it did not come to that. */
static bool program_start(program *p, char *const argv[]) {
    int in[2], out[2];
    char line[64] = "";
    if (pipe(in) != 0 || pipe(out) != 0) return false;
    p->pid = fork();
    if (p->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    p->in = in[1];
    FILE *f = fdopen(out[0], "r");
    bool good = f != NULL && fgets(line, sizeof line, f) != NULL && sscanf(line, "ready %d", &p->port) == 1;
    if (f != NULL) fclose(f);
    return good;
}

static int program_stop(program *p) {
    int status = 0;
    close(p->in);
    waitpid(p->pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int set_up(void **state) {
    char *const argv[] = {"build/test/tls_peer", dir, NULL};
    (void)state;
    memory = malloc(MEMORY);
    for (uint32_t i = 0; i < CONNS; i++)
        wire.fd[i] = -1;
    if (memory == NULL || mkdtemp(dir) == NULL) return -1;
    snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    snprintf(self_pem, sizeof self_pem, "%s/self.pem", dir);
    return program_start(&peer, argv) ? 0 : -1;
}

static int tear_down(void **state) {
    const char *const files[] = {"ca.pem",        "self.pem",       "good.pem", "rsa.pem",
                                 "no-server.pem", "no-signing.pem", "large.pem"};
    char path[64];
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
    free(memory);
    return program_stop(&peer);
}

/* The other end is OpenSSL, as Python has it. */
static void test_another_library(void **state) {
    const char *const greetings[] = {"12 good", "13 good", "any good", "12 rsa", "13 rsa", "any rsa"};
    char *const argv[] = {"python3", "tests/server/openssl_peer.py", dir, NULL};
    program openssl, own = peer;
    (void)state;
    bool started = program_start(&openssl, argv);
    for (size_t i = 0; started && i < sizeof greetings / sizeof greetings[0]; i++) {
        peer = openssl;
        client_open(greetings[i]);
        assert_string_equal(visit("localhost"), "well");
        assert_string_equal(visit("127.0.0.1"), "well");
        assert_string_equal(visit_on(0, "localhost", "?alpn", "http/1.1"), "well");
        assert_string_equal(visit("elsewhere.test"),
                            "the certificate of elsewhere.test is made out to other names, not elsewhere.test");
        assert_int_equal(stats().resumed, 1);
        client_close();
    }
    static const char *const misused[] = {"12 no-server", "13 no-server", "13 no-signing"};
    for (size_t i = 0; started && i < sizeof misused / sizeof misused[0]; i++) {
        client_open(misused[i]);
        assert_string_equal(visit("localhost"), "the certificate of localhost may not be used for a server");
        client_close();
    }
    for (int version = 12; started && version <= 13; version++) {
        client_open(version == 12 ? "12 large" : "13 large");
        assert_string_equal(visit("localhost"),
                            "the certificate chain of localhost is larger than 16 KB, the limit here");
        assert_int_equal(outcome, WF_E_CONFIG);
        client_close();
    }
    peer = own;
    program_stop(&openssl);
    if (!started) skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_opening, tidy),
        cmocka_unit_test_teardown(test_good_handshakes, tidy),
        cmocka_unit_test_teardown(test_another_library, tidy),
        cmocka_unit_test_teardown(test_alpn_and_sni, tidy),
        cmocka_unit_test_teardown(test_certificate_faults, tidy),
        cmocka_unit_test_teardown(test_good_names, tidy),
        cmocka_unit_test_teardown(test_self_signed_but_trusted, tidy),
        cmocka_unit_test_teardown(test_what_is_not_tls, tidy),
        cmocka_unit_test_teardown(test_refusals, tidy),
        cmocka_unit_test_teardown(test_refused_session, tidy),
        cmocka_unit_test_teardown(test_key_update, tidy),
        cmocka_unit_test_teardown(test_long_chains, tidy),
        cmocka_unit_test_teardown(test_resumption, tidy),
        cmocka_unit_test_teardown(test_no_resumption_after_failure, tidy),
        cmocka_unit_test_teardown(test_the_first_leads, tidy),
        cmocka_unit_test_teardown(test_others_do_not_wait_for_ever, tidy),
        cmocka_unit_test_teardown(test_a_leader_that_fails, tidy),
        cmocka_unit_test_teardown(test_other_hosts_do_not_wait, tidy),
        cmocka_unit_test_teardown(test_the_end, tidy),
        cmocka_unit_test_teardown(test_much_data, tidy),
        cmocka_unit_test_teardown(test_choked, tidy),
        cmocka_unit_test_teardown(test_reading_goes_on_without_writing, tidy),
        cmocka_unit_test_teardown(test_a_byte_at_a_time, tidy),
        cmocka_unit_test_teardown(test_plain_passes_through, tidy),
        cmocka_unit_test_teardown(test_cut_at_every_byte, tidy),
        cmocka_unit_test_teardown(test_damage_at_every_byte, tidy),
        cmocka_unit_test_teardown(test_the_network_breaks, tidy),
        cmocka_unit_test_teardown(test_every_allocation_fails, tidy),
        cmocka_unit_test_teardown(test_exhaustion_is_of_one_connection, tidy),
        cmocka_unit_test_teardown(test_a_thousand_connections, tidy),
        cmocka_unit_test_teardown(test_connections_leave_nothing, tidy),
        cmocka_unit_test_teardown(test_clients_leave_nothing, tidy),
    };
    signal(SIGPIPE, SIG_IGN);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
