/* dns: see dns.h for its contract. */
#include "dns.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>
#include <unistd.h>

#define DNS_AGAIN_MS 4000u
#define DNS_HEAD     12u
#define DNS_QUERY    (DNS_HEAD + 256u + 4u)
#define DNS_ANSWER   4096u /* of a name's addresses; what is more is not read */
#define DNS_FLAG_QR  0x80u
#define DNS_FLAG_TC  0x02u
#define DNS_FLAG_RD  0x01u
#define DNS_A        1u
#define DNS_AAAA     28u
#define DNS_NXDOMAIN 3u

/* ---- servers ---- */

static void dns_add_server(wfi_dns *d, const char *text) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(53)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
    if (d->count == WFI_DNS_SERVERS) return;
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        memcpy(&d->server[d->count++], &four, sizeof four);
    else if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1)
        memcpy(&d->server[d->count++], &six, sizeof six);
}

void wfi_dns_read(wfi_dns *d, const char *file) {
    static const char key[] = "nameserver";
    char text[4096];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0) close(fd);
    text[n > 0 ? n : 0] = '\0';
    memset(d, 0, sizeof *d);
    for (char *line = text, *next; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL) *next++ = '\0';
        if (strncmp(line, key, sizeof key - 1) != 0) continue;
        char *value = line + sizeof key - 1;
        value += strspn(value, " \t");
        value[strcspn(value, " \t\r")] = '\0';
        dns_add_server(d, value);
    }
    if (d->count == 0) dns_add_server(d, "127.0.0.1");
}

/* ---- messages ---- */

/* The question's bytes; 0: this is no name of DNS. */
static size_t dns_question(const char *name, bool six, uint8_t out[DNS_QUERY]) {
    size_t n = DNS_HEAD;
    memset(out, 0, DNS_QUERY);
    if (!wfi_sys_random(out, 2)) return 0;
    out[2] = DNS_FLAG_RD;
    out[5] = 1; /* question */
    while (*name != '\0') {
        size_t label = strcspn(name, ".");
        if (label == 0 || label > 63 || n + label + 1 >= DNS_HEAD + 255) return 0;
        out[n++] = (uint8_t)label;
        memcpy(out + n, name, label);
        n += label;
        name += label + (name[label] == '.');
    }
    out[n++] = 0;
    out[n + 1] = six ? DNS_AAAA : DNS_A;
    out[n + 3] = 1; /* IN */
    return n + 4;
}

/* Behind a name that may end in a pointer; SIZE_MAX: it does not end. */
static size_t dns_skip_name(const uint8_t *p, size_t n, size_t at) {
    while (at < n && p[at] != 0 && p[at] < 0xC0)
        at += p[at] + 1u;
    if (at >= n) return SIZE_MAX;
    return at + (p[at] != 0 ? 2 : 1);
}

static bool dns_answers(const uint8_t *p, size_t n, const uint8_t *query, size_t length) {
    return n >= length && memcmp(p, query, 2) == 0 && (p[2] & DNS_FLAG_QR) != 0 && memcmp(p + 4, query + 4, 2) == 0 &&
           strncasecmp((const char *)p + DNS_HEAD, (const char *)query + DNS_HEAD, length - DNS_HEAD) == 0 &&
           memcmp(p + length - 4, query + length - 4, 4) == 0;
}

static void dns_add(wfi_lookup_answer *out, const uint8_t *bytes, bool six) {
    wfi_address a;
    memset(&a, 0, sizeof a);
    memcpy(a.bytes, bytes, six ? 16 : 4);
    a.six = six;
    if (out->count < WFI_LOOKUP_ADDRESSES) out->at[out->count++] = a;
}

/* What it says of the family; an alias stands before the addresses of what it leads to. */
static void dns_take(const uint8_t *p, size_t n, size_t at, bool six, wfi_lookup_answer *out) {
    const unsigned size = six ? 16 : 4, type = six ? DNS_AAAA : DNS_A;
    for (unsigned left = p[6] * 256u + p[7]; left > 0; left--) {
        at = dns_skip_name(p, n, at);
        if (at == SIZE_MAX || at + 10 > n) return;
        const uint8_t *record = p + at;
        size_t data = record[8] * 256u + record[9];
        at += 10 + data;
        if (at > n) return;
        if (record[0] == 0 && record[1] == type && record[3] == 1 && data == size) dns_add(out, record + 10, six);
    }
}

/* ---- sockets: each call on one takes a few seconds at most; the child's supervisor sees to the rest ---- */

static int dns_socket(const struct sockaddr_storage *to, int kind) {
    const struct timeval limit = {DNS_AGAIN_MS / 1000, 0};
    socklen_t size = to->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int fd = socket(to->ss_family, kind, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit); /* of connect, too */
    if (connect(fd, (const struct sockaddr *)to, size) == 0) return fd;
    close(fd);
    return -1;
}

static bool dns_take_all(int fd, uint8_t *p, size_t n) {
    return recv(fd, p, n, MSG_WAITALL) == (ssize_t)n;
}

/* Over TCP; answers the length, 0: it did not come. */
static size_t dns_over_tcp(const struct sockaddr_storage *server, const uint8_t *query, size_t length,
                           uint8_t answer[DNS_ANSWER]) {
    uint8_t frame[2 + DNS_QUERY] = {(uint8_t)(length >> 8), (uint8_t)length};
    int fd = dns_socket(server, SOCK_STREAM);
    size_t n = 0;
    if (fd < 0) return 0;
    memcpy(frame + 2, query, length);
    if (send(fd, frame, 2 + length, 0) == (ssize_t)(2 + length) && dns_take_all(fd, frame, 2)) {
        n = frame[0] * 256u + frame[1];
        if (n > DNS_ANSWER) n = DNS_ANSWER;
        if (!dns_take_all(fd, answer, n)) n = 0;
    }
    close(fd);
    return n;
}

/* ---- asking ---- */

typedef struct dns_talk {
    const wfi_dns *dns;
    struct pollfd fds[WFI_DNS_SERVERS];
    uint8_t query[DNS_QUERY];
    size_t length;
    bool six, over;
    wfi_lookup_answer *out;
} dns_talk;

/* Whether any of them could be sent to. */
static bool dns_send(dns_talk *t) {
    bool sent = false;
    for (uint32_t i = 0; i < t->dns->count; i++)
        if (t->fds[i].fd >= 0 && send(t->fds[i].fd, t->query, t->length, 0) >= 0) sent = true;
    return sent;
}

/* A server that fails says nothing about the name: others are waited for. */
static void dns_hear(dns_talk *t, uint32_t i) {
    uint8_t answer[DNS_ANSWER];
    ssize_t got = recv(t->fds[i].fd, answer, sizeof answer, 0);
    size_t n = got > 0 ? (size_t)got : 0;
    if (!dns_answers(answer, n, t->query, t->length)) return;
    if ((answer[2] & DNS_FLAG_TC) != 0) {
        n = dns_over_tcp(&t->dns->server[i], t->query, t->length, answer);
        if (!dns_answers(answer, n, t->query, t->length)) return;
    }
    unsigned code = answer[3] & 15u;
    if (code == 0) dns_take(answer, n, t->length, t->six, t->out);
    t->over = code == 0 || code == DNS_NXDOMAIN;
}

/* Until the question has an answer, or is to be asked again. */
static void dns_listen(dns_talk *t, uint64_t until) {
    for (uint64_t now; !t->over && (now = wfi_sys_now_ms()) < until;) {
        if (poll(t->fds, t->dns->count, (int)(until - now)) <= 0) continue;
        for (uint32_t i = 0; i < t->dns->count && !t->over; i++)
            if (t->fds[i].revents != 0) dns_hear(t, i);
    }
}

bool wfi_dns_ask(const wfi_dns *d, const char *name, bool six, uint64_t deadline, wfi_lookup_answer *out) {
    dns_talk t = {.dns = d, .six = six, .out = out};
    uint32_t before = out->count;
    t.length = dns_question(name, six, t.query);
    for (uint32_t i = 0; i < d->count; i++)
        t.fds[i] = (struct pollfd){.fd = dns_socket(&d->server[i], SOCK_DGRAM), .events = POLLIN};
    while (t.length > 0 && !t.over && wfi_sys_now_ms() < deadline && dns_send(&t)) {
        uint64_t again = wfi_sys_now_ms() + DNS_AGAIN_MS;
        dns_listen(&t, again < deadline ? again : deadline);
    }
    for (uint32_t i = 0; i < d->count; i++)
        if (t.fds[i].fd >= 0) close(t.fds[i].fd);
    return out->count > before;
}
