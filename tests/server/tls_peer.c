/* tls_peer: the other end of the TLS connections of tests/port/test_tls.c. Not an HTTP server: it echoes.
 *
 *     tls_peer DIR     makes certificates, writes the authority's into DIR/ca.pem and one that signs for itself into
 *                      DIR/self.pem, good and rsa with their keys into DIR/good.pem and DIR/rsa.pem, good with 20 KB of
 *                      others into DIR/large.pem, prints "ready PORT" and serves 127.0.0.1:PORT until its standard input ends
 *
 * A connection begins with a line in clear text, "VERSION CERTIFICATE\n": 12, 13, any, or hrr, which is 1.3 with a
 * group that a client offers no key for at first; a name of the list below, or "text",
 * to be answered in plain HTTP, "garbage", or alertN, for a refusal by that alert. Then TLS. What comes is sent back, but for these messages:
 *     ?sni  ?alpn   answered with what the client asked for, "-" if nothing
 *     ?bye          closing notice, then the end
 *     ?drop         the end without notice
 *     ?flood        100000 bytes
 *     ?update       a key update of TLS 1.3
 *     ?alertN       this alert, then the end */
#include "certs.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <psa/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEER_CONNS = 1100, PEER_KINDS = 22, PEER_VERSIONS = 4, PEER_CHAIN = 21 };

typedef struct peer_conn {
    int fd; /* -1: free */
    bool secured, shaken;
    bool mute; /* what comes is thrown away */
    mbedtls_ssl_context ssl;
    char sni[64];
} peer_conn;

static const char *const peer_kind[PEER_KINDS] = {
    "good",     "rsa",       "expired",    "future",  "other",    "unknown",     "self",     "chain",
    "client",   "stale-ca",  "in-bounds",  "out",     "excluded", "address-out", "critical", "root-in",
    "root-out", "no-server", "no-signing", "cn-only", "long",     "too-long"};
static cert peer_bounds, peer_shut, peer_near, peer_critical, peer_root;
static cert peer_up[PEER_CHAIN]; /* each signed by the one before */
static cert peer_ca, peer_rogue, peer_middle, peer_old, peer_certs[PEER_KINDS];
static mbedtls_ssl_config peer_confs[PEER_VERSIONS][PEER_KINDS];
static mbedtls_ssl_ticket_context peer_tickets;
static peer_conn peer_conns[PEER_CONNS];
static const uint16_t peer_groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, 0};
static const char *peer_protocols[] = {"h2", "http/1.1", NULL};

static void peer_check(bool good, const char *what) {
    if (good) return;
    fprintf(stderr, "tls_peer: %s failed\n", what);
    exit(2);
}

/* ---- certificates ---- */

/* For a server that is not this one. */
static void peer_save_with_key(const char *dir, int kind) {
    char path[512], pem[8192];
    snprintf(path, sizeof path, "%s/%s.pem", dir, peer_kind[kind]);
    peer_check(cert_save(&peer_certs[kind], path) && cert_key_pem(&peer_certs[kind], pem, sizeof pem), path);
    FILE *f = fopen(path, "a");
    peer_check(f != NULL && fputs(pem, f) >= 0 && fclose(f) == 0, path);
}

/* Authorities, one above the other: mbedTLS goes up 20. */
static void peer_make_chain(void) {
    char name[24];
    for (int i = 0; i < PEER_CHAIN; i++) {
        snprintf(name, sizeof name, "Authority %d", i);
        cert_spec spec = {.name = name, .ca = true, .issuer = i > 0 ? &peer_up[i - 1] : &peer_ca};
        peer_check(cert_make(&peer_up[i], &spec), name);
    }
}

static void peer_add_chain(cert *to, int last) {
    for (int i = last; i >= 0; i--)
        peer_check(cert_add(to, &peer_up[i]), "long chain");
}

/* A chain that the server side of mbedTLS would not send. */
static void peer_save_large(const char *dir) {
    char path[512], pem[8192];
    snprintf(path, sizeof path, "%s/large.pem", dir);
    peer_check(cert_save(&peer_certs[0], path) && cert_pem(&peer_middle, pem, sizeof pem), path);
    FILE *f = fopen(path, "a");
    for (int i = 0; f != NULL && i < 60; i++)
        peer_check(fputs(pem, f) >= 0, path);
    peer_check(f != NULL && cert_key_pem(&peer_certs[0], pem, sizeof pem), path);
    peer_check(fputs(pem, f) >= 0 && fclose(f) == 0, path);
}

static void peer_make_certs(const char *dir) {
    const char *names = "localhost,*.example.test,127.0.0.1,::1";
    const cert_spec of_kind[PEER_KINDS] = {
        {.name = "good", .san = names, .issuer = &peer_ca},
        {.name = "rsa", .san = names, .issuer = &peer_ca, .rsa = true},
        {.name = "expired", .san = names, .issuer = &peer_ca, .from = CERT_LONG_AGO, .until = CERT_PAST},
        {.name = "future", .san = names, .issuer = &peer_ca, .from = CERT_FUTURE},
        {.name = "localhost", .san = "elsewhere.test,10.0.0.1", .issuer = &peer_ca},
        {.name = "unknown", .san = names, .issuer = &peer_rogue},
        {.name = "self", .san = names},
        {.name = "chain", .san = names, .issuer = &peer_middle},
        {.name = "127.0.0.1", .san = "127.0.0.1.test", .issuer = &peer_ca},
        {.name = "stale-ca", .san = names, .issuer = &peer_old},
        {.name = "in-bounds", .san = "a.corp.test,corp.test,10.1.2.3", .issuer = &peer_bounds},
        {.name = "out", .san = names, .issuer = &peer_bounds},
        {.name = "excluded", .san = names, .issuer = &peer_shut},
        {.name = "address-out", .san = "localhost,192.168.0.1", .issuer = &peer_near},
        {.name = "critical", .san = names, .issuer = &peer_critical},
        {.name = "root-in", .san = "a.corp.test", .issuer = &peer_root},
        {.name = "root-out", .san = names, .issuer = &peer_root},
        {.name = "no-server", .san = names, .issuer = &peer_ca, .for_client = true},
        {.name = "no-signing", .san = names, .issuer = &peer_ca, .for_signing = true},
        {.name = "localhost", .issuer = &peer_ca},
        {.name = "long", .san = names, .issuer = &peer_up[PEER_CHAIN - 2]},
        {.name = "too-long", .san = names, .issuer = &peer_up[PEER_CHAIN - 1]},
    };
    const struct {
        cert *to;
        cert_spec spec;
        int leaf; /* that has it in its chain; -1: it is a root */
    } bounded[] = {
        {&peer_bounds,
         {.name = "Corp", .ca = true, .issuer = &peer_ca, .permitted = "corp.test,10.0.0.0/255.0.0.0"},
         10},
        {&peer_shut, {.name = "Not localhost", .ca = true, .issuer = &peer_ca, .excluded = "LocalHost"}, 12},
        {&peer_near, {.name = "Near", .ca = true, .issuer = &peer_ca, .permitted = "10.0.0.0/255.0.0.0"}, 13},
        {&peer_critical,
         {.name = "Critical", .ca = true, .issuer = &peer_ca, .permitted = "localhost", .critical = true},
         14},
        {&peer_root, {.name = "Corp root", .ca = true, .permitted = ".corp.test", .critical = true}, -1},
    };
    char path[512];
    peer_check(cert_make(&peer_ca, &(cert_spec){.name = "Test authority", .ca = true}), "authority");
    peer_check(cert_make(&peer_rogue, &(cert_spec){.name = "Rogue authority", .ca = true}), "rogue authority");
    peer_check(cert_make(&peer_middle, &(cert_spec){.name = "Between", .ca = true, .issuer = &peer_ca}),
               "intermediate");
    peer_check(cert_make(&peer_old, &(cert_spec){.name = "Expired authority",
                                                 .ca = true,
                                                 .issuer = &peer_ca,
                                                 .from = CERT_LONG_AGO,
                                                 .until = CERT_PAST}),
               "expired intermediate");
    for (size_t i = 0; i < sizeof bounded / sizeof *bounded; i++)
        peer_check(cert_make(bounded[i].to, &bounded[i].spec), bounded[i].spec.name);
    peer_make_chain();
    for (int i = 0; i < PEER_KINDS; i++)
        peer_check(cert_make(&peer_certs[i], &of_kind[i]), peer_kind[i]);
    peer_check(cert_add(&peer_certs[7], &peer_middle) && cert_add(&peer_certs[9], &peer_old), "chain");
    for (size_t i = 0; i < sizeof bounded / sizeof *bounded; i++)
        if (bounded[i].leaf >= 0) peer_check(cert_add(&peer_certs[bounded[i].leaf], bounded[i].to), "bounded chain");
    peer_check(cert_add(&peer_certs[11], &peer_bounds), "bounded chain");
    peer_add_chain(&peer_certs[20], PEER_CHAIN - 2);
    peer_add_chain(&peer_certs[21], PEER_CHAIN - 1);
    peer_save_large(dir);
    snprintf(path, sizeof path, "%s/ca.pem", dir);
    peer_check(cert_save(&peer_ca, path), path);
    char pem[8192];
    FILE *more = cert_pem(&peer_root, pem, sizeof pem) ? fopen(path, "a") : NULL;
    peer_check(more != NULL && fputs(pem, more) >= 0 && fclose(more) == 0, path);
    snprintf(path, sizeof path, "%s/self.pem", dir);
    peer_check(cert_save(&peer_certs[6], path), path);
    peer_save_with_key(dir, 0);
    peer_save_with_key(dir, 1);
    peer_save_with_key(dir, 17); /* which this one, of mbedTLS, refuses to use */
    peer_save_with_key(dir, 18);
}

/* ---- TLS ---- */

static int peer_on_sni(void *ctx, mbedtls_ssl_context *ssl, const unsigned char *name, size_t n) {
    peer_conn *c = mbedtls_ssl_get_user_data_p(ssl);
    (void)ctx;
    snprintf(c->sni, sizeof c->sni, "%.*s", (int)n, (const char *)name);
    return 0;
}

static void peer_configure(mbedtls_ssl_config *conf, int version, cert *own) {
    mbedtls_ssl_config_init(conf);
    peer_check(mbedtls_ssl_config_defaults(conf, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
                                           MBEDTLS_SSL_PRESET_DEFAULT) == 0,
               "defaults");
    mbedtls_ssl_conf_rng(conf, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    peer_check(mbedtls_ssl_conf_own_cert(conf, &own->crt, &own->key) == 0, "own certificate");
    peer_check(mbedtls_ssl_conf_alpn_protocols(conf, peer_protocols) == 0, "protocols");
    if (version == 0) mbedtls_ssl_conf_max_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
    if (version == 3) mbedtls_ssl_conf_groups(conf, peer_groups);
    if (version == 1 || version == 3) mbedtls_ssl_conf_min_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_session_tickets_cb(conf, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse, &peer_tickets);
    mbedtls_ssl_conf_new_session_tickets(conf, 2);
    mbedtls_ssl_conf_sni(conf, peer_on_sni, NULL);
}

static void peer_make_confs(void) {
    mbedtls_ssl_ticket_init(&peer_tickets);
    peer_check(mbedtls_ssl_ticket_setup(&peer_tickets, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE,
                                        MBEDTLS_CIPHER_AES_256_GCM, 86400) == 0,
               "tickets");
    for (int v = 0; v < PEER_VERSIONS; v++)
        for (int k = 0; k < PEER_KINDS; k++)
            peer_configure(&peer_confs[v][k], v, &peer_certs[k]);
}

static int peer_send(void *ctx, const unsigned char *buf, size_t n) {
    ssize_t put = send(*(int *)ctx, buf, n, MSG_NOSIGNAL);
    if (put >= 0) return (int)put;
    return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_SSL_CONN_EOF;
}

static int peer_recv(void *ctx, unsigned char *buf, size_t n) {
    ssize_t got = recv(*(int *)ctx, buf, n, 0);
    if (got >= 0) return (int)got;
    return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_CONN_EOF;
}

static void peer_end(peer_conn *c) {
    if (c->secured) mbedtls_ssl_free(&c->ssl);
    close(c->fd);
    c->fd = -1;
    c->secured = c->shaken = c->mute = false;
}

static bool peer_secure(peer_conn *c, int version, int kind) {
    mbedtls_ssl_init(&c->ssl);
    c->secured = true;
    c->sni[0] = '\0';
    mbedtls_ssl_set_user_data_p(&c->ssl, c);
    mbedtls_ssl_set_bio(&c->ssl, &c->fd, peer_send, peer_recv, NULL);
    return mbedtls_ssl_setup(&c->ssl, &peer_confs[version][kind]) == 0;
}

static int peer_version(const char *name) {
    return strcmp(name, "12") == 0 ? 0 : strcmp(name, "13") == 0 ? 1 : strcmp(name, "hrr") == 0 ? 3 : 2;
}

/* The line in clear text: one byte at a time, as nothing of the TLS behind it may be taken. */
static bool peer_begin(peer_conn *c) {
    static const char text[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    char line[64], version[8], kind[16];
    unsigned char alert[7] = {0x15, 3, 3, 0, 2, 2};
    size_t n = 0;
    while (n + 1 < sizeof line && read(c->fd, &line[n], 1) == 1 && line[n] != '\n')
        n++;
    line[n] = '\0';
    if (sscanf(line, "%7s %15s", version, kind) != 2) return false;
    c->mute = true;
    if (strcmp(kind, "text") == 0) return send(c->fd, text, sizeof text - 1, MSG_NOSIGNAL) > 0;
    if (strcmp(kind, "garbage") == 0)
        return send(c->fd, "\x16\x03\x03\x00\x08\x02\x00\x00\x04\x03\x03\xFF\xFF", 13, MSG_NOSIGNAL) > 0;
    if (sscanf(kind, "alert%hhu", &alert[6]) == 1) return send(c->fd, alert, sizeof alert, MSG_NOSIGNAL) > 0;
    if (strcmp(kind, "ssl3") == 0) return send(c->fd, "\x15\x03\x00\x00\x02\x02\x46", 7, MSG_NOSIGNAL) > 0;
    c->mute = false;
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    for (int k = 0; k < PEER_KINDS; k++)
        if (strcmp(kind, peer_kind[k]) == 0) return peer_secure(c, peer_version(version), k);
    return false;
}

static bool peer_put(peer_conn *c, const void *buf, size_t n) {
    const unsigned char *p = buf;
    while (n > 0) {
        int put = mbedtls_ssl_write(&c->ssl, p, n);
        if (put == MBEDTLS_ERR_SSL_WANT_WRITE) {
            struct pollfd pf = {c->fd, POLLOUT, 0};
            poll(&pf, 1, 1000);
        } else if (put <= 0) {
            return false;
        } else {
            p += put;
            n -= (size_t)put;
        }
    }
    return true;
}

/* It is not in mbedTLS's API: the library knows no key update. */
int mbedtls_ssl_write_record(mbedtls_ssl_context *ssl, int force_flush);

static bool peer_update_key(peer_conn *c) {
    static const unsigned char update[] = {24, 0, 0, 1, 0};
    c->ssl.MBEDTLS_PRIVATE(out_msgtype) = MBEDTLS_SSL_MSG_HANDSHAKE;
    c->ssl.MBEDTLS_PRIVATE(out_msglen) = sizeof update;
    memcpy(c->ssl.MBEDTLS_PRIVATE(out_msg), update, sizeof update);
    return mbedtls_ssl_write_record(&c->ssl, 1) == 0;
}

/* False: the connection is over. */
static bool peer_answer(peer_conn *c, const char *buf, size_t n) {
    static const char flood[100000];
    const char *alpn = mbedtls_ssl_get_alpn_protocol(&c->ssl);
    if (n == 4 && memcmp(buf, "?sni", 4) == 0)
        return peer_put(c, c->sni[0] ? c->sni : "-", c->sni[0] ? strlen(c->sni) : 1);
    if (n == 5 && memcmp(buf, "?alpn", 5) == 0) return peer_put(c, alpn ? alpn : "-", alpn ? strlen(alpn) : 1);
    if (n == 4 && memcmp(buf, "?bye", 4) == 0) mbedtls_ssl_close_notify(&c->ssl);
    if (n == 4 && memcmp(buf, "?bye", 4) == 0) return false;
    if (n == 5 && memcmp(buf, "?drop", 5) == 0) return false;
    if (n == 7 && memcmp(buf, "?update", 7) == 0) return peer_update_key(c);
    if (n > 6 && memcmp(buf, "?alert", 6) == 0) {
        mbedtls_ssl_send_alert_message(&c->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, (unsigned char)atoi(buf + 6));
        return false;
    }
    if (n == 6 && memcmp(buf, "?flood", 6) == 0) return peer_put(c, flood, sizeof flood);
    return peer_put(c, buf, n);
}

static bool peer_serve(peer_conn *c) {
    char buf[16385];
    if (c->mute) return read(c->fd, buf, sizeof buf) > 0;
    if (!c->secured) return peer_begin(c);
    int answer = c->shaken ? 0 : mbedtls_ssl_handshake(&c->ssl);
    c->shaken = c->shaken || answer == 0;
    while (answer == 0 || answer == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
        answer = mbedtls_ssl_read(&c->ssl, (unsigned char *)buf, sizeof buf - 1);
        if (answer <= 0) break;
        buf[answer] = '\0';
        if (!peer_answer(c, buf, (size_t)answer)) return false;
        answer = 0;
    }
    return answer == MBEDTLS_ERR_SSL_WANT_READ || answer == MBEDTLS_ERR_SSL_WANT_WRITE;
}

/* ---- the loop ---- */

static int peer_listen(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    peer_check(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1024) == 0, "listen");
    peer_check(getsockname(fd, (struct sockaddr *)&at, &size) == 0, "getsockname");
    printf("ready %d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

static void peer_accept(int listener) {
    int fd = accept(listener, NULL, NULL), one = 1;
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (int i = 0; i < PEER_CONNS; i++) {
        if (peer_conns[i].fd >= 0) continue;
        peer_conns[i].fd = fd;
        return;
    }
    close(fd);
}

int main(int argc, char **argv) {
    static struct pollfd polls[PEER_CONNS + 2];
    static int whose[PEER_CONNS];
    struct rlimit files;
    if (argc != 2) return 64;
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    peer_make_certs(argv[1]);
    peer_make_confs();
    for (int i = 0; i < PEER_CONNS; i++)
        peer_conns[i].fd = -1;
    int listener = peer_listen();
    for (;;) {
        nfds_t n = 2;
        polls[0] = (struct pollfd){0, POLLIN, 0};
        polls[1] = (struct pollfd){listener, POLLIN, 0};
        for (int i = 0; i < PEER_CONNS; i++) {
            if (peer_conns[i].fd < 0) continue;
            whose[n - 2] = i;
            polls[n++] = (struct pollfd){peer_conns[i].fd, POLLIN, 0};
        }
        if (poll(polls, n, -1) < 0) continue;
        if (polls[0].revents) return 0;
        for (nfds_t i = 2; i < n; i++) {
            peer_conn *c = &peer_conns[whose[i - 2]];
            if (polls[i].revents && !peer_serve(c)) peer_end(c);
        }
        if (polls[1].revents) peer_accept(listener);
    }
}
