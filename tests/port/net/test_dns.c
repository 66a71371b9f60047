/* test_dns: names asked of a name server of the test's own, over UDP and TCP, that answers, fails, lies and is late as told; and
 * what the child of a look-up makes of two families, with getaddrinfo played by this file. */
#include "src/port/net/dns.h"
#include "src/api/posix.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONG 60000u

/* ---- the server ---- */

typedef struct server {
    pthread_t thread;
    int udp, tcp, stop[2];
    const char *mood; /* what it does with questions over UDP */
    struct sockaddr_storage at;
} server;

/* The answer to a question: an alias, then `count` addresses 10.0.0.1 or fd00::1 and following. */
static size_t answer(const uint8_t *q, size_t n, uint32_t count, uint8_t *out) {
    static const uint8_t alias[] = {0xC0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xC0, 12};
    bool six = q[n - 3] == 28;
    memcpy(out, q, n);
    out[2] |= 0x80;
    out[7] = (uint8_t)(count > 0 ? count + 1 : 0);
    for (uint32_t i = 0; i <= count && count > 0; i++) {
        uint8_t record[28] = {0xC0, 12, 0, six ? 28 : 1, 0, 1, 0, 0, 0, 60, 0, six ? 16 : 4, six ? 0xfd : 10};
        size_t size = i == 0 ? sizeof alias : six ? 28 : 16;
        record[size - 1] = (uint8_t)i;
        memcpy(out + n, i == 0 ? alias : record, size);
        n += size;
    }
    return n;
}

static void serve_udp(server *s) {
    uint8_t q[512], a[2048];
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    ssize_t n = recvfrom(s->udp, q, sizeof q, 0, (struct sockaddr *)&from, &size);
    if (n <= 0 || strcmp(s->mood, "mute") == 0) return;
    size_t length = answer(q, (size_t)n, strcmp(s->mood, "none") == 0 ? 0 : 2, a);
    if (strcmp(s->mood, "truncates") == 0) {
        a[2] |= 2;
        a[7] = 0;
        length = (size_t)n;
    }
    if (strcmp(s->mood, "fails") == 0 || strcmp(s->mood, "knows not") == 0) {
        a[3] = (uint8_t)(a[3] | (s->mood[0] == 'f' ? 2 : 3));
        a[7] = 0;
    }
    if (strcmp(s->mood, "lies") == 0) { /* other numbers and questions first; then the truth, in capitals */
        for (int i = 0; i < 3; i++) {
            uint8_t at = (uint8_t)(i == 0 ? 0 : i == 1 ? 14 : n - 3);
            a[at] ^= 1;
            sendto(s->udp, a, length, 0, (struct sockaddr *)&from, size);
            a[at] ^= 1;
        }
        sendto(s->udp, a, 11, 0, (struct sockaddr *)&from, size);
        sendto(s->udp, q, (size_t)n, 0, (struct sockaddr *)&from, size);
        a[13] = (uint8_t)(a[13] - 32);
    }
    if (strcmp(s->mood, "cut") == 0) length -= 3;
    sendto(s->udp, a, length, 0, (struct sockaddr *)&from, size);
}

static void serve_tcp(server *s) {
    uint8_t q[514], a[2048];
    int fd = accept(s->tcp, NULL, NULL);
    if (recv(fd, q, 2, MSG_WAITALL) == 2 && recv(fd, q + 2, q[1], MSG_WAITALL) == q[1]) {
        size_t n = answer(q + 2, q[1], 20, a + 2);
        a[0] = (uint8_t)(n >> 8);
        a[1] = (uint8_t)n;
        for (size_t at = 0, some = 1; at < n + 2; at += some, some = n + 2 - at) /* in pieces */
            (void)!send(fd, a + at, some, MSG_NOSIGNAL);
    }
    close(fd);
}

static void *server_run(void *arg) {
    server *s = arg;
    struct pollfd fds[3] = {{s->stop[0], POLLIN, 0}, {s->udp, POLLIN, 0}, {s->tcp, POLLIN, 0}};
    while (poll(fds, 3, -1) > 0 && fds[0].revents == 0) {
        if (fds[1].revents != 0) serve_udp(s);
        if (fds[2].revents != 0) serve_tcp(s);
    }
    return NULL;
}

static void server_start(server *s, const char *mood) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    memset(s, 0, sizeof *s);
    s->mood = mood;
    for (int tries = 0; tries < 20; tries++) { /* a port that is free for both */
        s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        a.sin_port = 0;
        assert_int_equal(bind(s->udp, (struct sockaddr *)&a, sizeof a), 0);
        assert_int_equal(getsockname(s->udp, (struct sockaddr *)&a, &size), 0);
        if (bind(s->tcp, (struct sockaddr *)&a, sizeof a) == 0) break;
        close(s->udp);
        close(s->tcp);
    }
    assert_int_equal(listen(s->tcp, 4), 0);
    memcpy(&s->at, &a, sizeof a);
    assert_int_equal(pipe(s->stop), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, server_run, s), 0);
}

static void server_end(server *s) {
    close(s->stop[1]);
    pthread_join(s->thread, NULL);
    close(s->stop[0]);
    close(s->udp);
    close(s->tcp);
}

/* ---- questions ---- */

static uint32_t ask(server *s, uint32_t count, bool six, uint32_t ms, wfi_lookup_answer *out) {
    wfi_dns d = {.count = count};
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < count; i++)
        d.server[i] = s[i].at;
    bool found = wfi_dns_ask(&d, "api.example.test.", six, wfi_sys_now_ms() + ms, out);
    assert_int_equal(found, out->count > 0);
    return out->count;
}

static void test_moods(void **state) {
    static const struct {
        const char *mood;
        uint32_t count, ms;
    } cases[] = {{"answers", 2, LONG},   {"truncates", 16, LONG}, {"lies", 2, LONG}, {"none", 0, LONG},
                 {"knows not", 0, LONG}, {"fails", 0, 100},       {"mute", 0, 100},  {"cut", 1, LONG}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (uint32_t six = 0; six < 2; six++) {
            server s;
            wfi_lookup_answer a;
            server_start(&s, cases[i].mood);
            uint64_t before = wfi_sys_now_ms();
            if (ask(&s, 1, six, cases[i].ms, &a) != cases[i].count) fail_msg("%s: %u", cases[i].mood, a.count);
            assert_true(wfi_sys_now_ms() - before < LONG / 2);
            for (uint32_t k = 0; k < a.count; k++) {
                assert_int_equal(a.at[k].six, six);
                assert_int_equal(a.at[k].bytes[0], six ? 0xfd : 10);
                assert_int_equal(a.at[k].bytes[six ? 15 : 3], k + 1);
            }
            server_end(&s);
        }
}

/* All servers are asked; one that fails or is not there leaves it to the others. */
static void test_other_servers(void **state) {
    server s[3];
    wfi_lookup_answer a;
    (void)state;
    server_start(&s[0], "fails");
    server_start(&s[1], "mute");
    server_start(&s[2], "answers");
    assert_int_equal(ask(s, 3, false, LONG, &a), 2);
    for (int i = 0; i < 3; i++)
        server_end(&s[i]);
    uint64_t before = wfi_sys_now_ms();
    assert_int_equal(ask(s, 1, false, 200, &a), 0); /* nobody is there */
    assert_true(wfi_sys_now_ms() - before < LONG);
}

static void test_bad_names(void **state) {
    static const char *const bad[] = {"a..b", ".a", "0123456789012345678901234567890123456789012345678901234567890123"};
    wfi_dns d = {.count = 0};
    wfi_lookup_answer a;
    (void)state;
    memset(&a, 0, sizeof a);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(wfi_dns_ask(&d, bad[i], false, UINT64_MAX, &a));
}

static void test_files(void **state) {
    char path[] = "/tmp/wf-dns-XXXXXX";
    static const char text[] =
        "# a comment\nsearch a b\nnameserver 10.1.2.3\n\nnameserver\tfd00::53 # x\nnameserver no\n"
        "options timeout:1\nnameserver 1.1.1.1\nnameserver 2.2.2.2";
    wfi_dns d;
    (void)state;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    wfi_dns_read(&d, path);
    assert_int_equal(d.count, 3);
    assert_int_equal(((struct sockaddr_in *)&d.server[0])->sin_addr.s_addr, inet_addr("10.1.2.3"));
    assert_int_equal(d.server[1].ss_family, AF_INET6);
    assert_int_equal(((struct sockaddr_in *)&d.server[2])->sin_port, htons(53));
    unlink(path);
    wfi_dns_read(&d, path);
    assert_int_equal(d.count, 1);
    assert_int_equal(((struct sockaddr_in *)&d.server[0])->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
}

/* ---- both families, in the child: the name says what getaddrinfo answers to each ---- */

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **list) {
    static struct addrinfo info;
    static struct sockaddr_storage at;
    bool six = hints->ai_family == AF_INET6;
    char what = name[six];
    (void)service;
    if (what == 's') sleep(600);
    if (what == 'f') return EAI_AGAIN;
    if (what != 'a') return EAI_NONAME;
    memset(&info, 0, sizeof info);
    at.ss_family = (sa_family_t)hints->ai_family;
    if (six)
        ((struct sockaddr_in6 *)&at)->sin6_addr.s6_addr[0] = 0xfd;
    else
        ((struct sockaddr_in *)&at)->sin_addr.s_addr = inet_addr("10.0.0.1");
    info.ai_family = hints->ai_family;
    info.ai_addr = (struct sockaddr *)&at;
    *list = &info;
    return 0;
}

static void test_families(void **state) {
    static const struct {
        const char *name; /* what of IPv4, what of IPv6: address, slow, fails, none */
        uint32_t count;
        const char *reason;
    } cases[] = {{"aa.test", 2, NULL},        {"as.test", 1, NULL},      {"af.test", 1, NULL},
                 {"an.test", 1, NULL},        {"na.test", 1, NULL},      {"fa.test", 1, NULL},
                 {"nn.test", 0, "not known"}, {"fn.test", 0, "failure"}, {"nf.test", 0, "failure"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wfi_host table[1];
        wfi_lookup l;
        uint32_t host;
        uint64_t end = wfi_sys_now_ms() + LONG;
        wfi_lookup_init(&l, table, 1);
        assert_int_equal(wfi_lookup_get(&l, wf_str_of(cases[i].name, 7), wfi_sys_now_ms(), &host), WF_OK);
        while (!wfi_lookup_pump(&l, wfi_sys_now_ms()) && wfi_sys_now_ms() < end)
            usleep(5000);
        assert_int_equal(table[0].state, cases[i].count > 0 ? WFI_HOST_FOUND : WFI_HOST_FAILED);
        if (cases[i].reason && !strstr(table[0].reason, cases[i].reason)) fail_msg("%s", table[0].reason);
        if (cases[i].count > 0) assert_int_equal(table[0].answer.count, cases[i].count);
        wfi_lookup_release(&l, host);
        wfi_lookup_close(&l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moods), cmocka_unit_test(test_other_servers), cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_files), cmocka_unit_test(test_families),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
