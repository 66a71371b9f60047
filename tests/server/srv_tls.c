/* tls: see tls.h. Each port has one certificate, made at start, and tickets with which its sessions are resumed. */
#include "srv_tls.h"

#include "certs.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls_port {
    mbedtls_ssl_config conf;
    mbedtls_ssl_ticket_context tickets;
    cert leaf;
};

struct tls {
    mbedtls_ssl_context ssl;
    mbedtls_net_context net;
    bool resumed;
};

tls_counts tls_count;

static mbedtls_entropy_context tls_entropy;
static mbedtls_ctr_drbg_context tls_random;
static cert tls_ca, tls_other_ca; /* the other one is in no client's bundle */
static tls *tls_now;              /* whose handshake runs: a ticket's parser is not told */

static void tls_need(bool good, const char *what) {
    if (good) return;
    fprintf(stderr, "wf-server: cannot make %s\n", what);
    exit(1);
}

static void tls_start(void) {
    static bool started;
    if (started) return;
    started = true;
    mbedtls_entropy_init(&tls_entropy);
    mbedtls_ctr_drbg_init(&tls_random);
    tls_need(psa_crypto_init() == PSA_SUCCESS, "the cryptography");
    tls_need(mbedtls_ctr_drbg_seed(&tls_random, mbedtls_entropy_func, &tls_entropy, NULL, 0) == 0, "random numbers");
    tls_need(cert_make(&tls_ca, &(cert_spec){.name = "wf test authority", .ca = true}), "the authority");
    tls_need(cert_make(&tls_other_ca, &(cert_spec){.name = "unknown authority", .ca = true}), "the other authority");
}

const char *tls_roots(void) {
    static char pem[4096];
    tls_start();
    tls_need(cert_pem(&tls_ca, pem, sizeof pem), "the authority's PEM");
    return pem;
}

static bool tls_spec(const char *kind, cert_spec *out) {
    static const char *kinds[] = {"https",   "expired", "early", "otherhost", "selfsigned",
                                  "unknown", "tls12",   "tls13", "noalpn"};
    size_t n = sizeof kinds / sizeof *kinds, i = 0;
    while (i < n && strcmp(kind, kinds[i]) != 0)
        i++;
    if (i == n) return false;
    *out = (cert_spec){.name = "localhost", .san = "localhost,127.0.0.1,::1", .issuer = &tls_ca};
    if (!strcmp(kind, "expired")) {
        out->from = CERT_LONG_AGO;
        out->until = CERT_PAST;
    }
    if (!strcmp(kind, "early")) out->from = CERT_FUTURE;
    if (!strcmp(kind, "otherhost")) out->name = out->san = "other.example";
    if (!strcmp(kind, "selfsigned")) out->issuer = NULL;
    if (!strcmp(kind, "unknown")) out->issuer = &tls_other_ca;
    return true;
}

static int tls_ticket_read(void *ctx, mbedtls_ssl_session *session, unsigned char *buf, size_t n) {
    int result = mbedtls_ssl_ticket_parse(ctx, session, buf, n);
    if (result == 0 && tls_now) tls_now->resumed = true;
    return result;
}

static void tls_version(mbedtls_ssl_config *conf, const char *kind) {
    if (!strcmp(kind, "tls12")) mbedtls_ssl_conf_max_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
    if (!strcmp(kind, "tls13")) mbedtls_ssl_conf_min_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_3);
}

tls_port *tls_port_open(const char *kind) {
    static const char *protocols[] = {"http/1.1", NULL};
    cert_spec spec;
    tls_start();
    if (!tls_spec(kind, &spec)) return NULL;
    tls_port *p = calloc(1, sizeof *p);
    tls_need(p && cert_make(&p->leaf, &spec), kind);
    mbedtls_ssl_config_init(&p->conf);
    mbedtls_ssl_ticket_init(&p->tickets);
    int bad = mbedtls_ssl_config_defaults(&p->conf, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
                                          MBEDTLS_SSL_PRESET_DEFAULT);
    mbedtls_ssl_conf_rng(&p->conf, mbedtls_ctr_drbg_random, &tls_random);
    bad |= mbedtls_ssl_conf_own_cert(&p->conf, &p->leaf.crt, &p->leaf.key);
    bad |=
        mbedtls_ssl_ticket_setup(&p->tickets, mbedtls_ctr_drbg_random, &tls_random, MBEDTLS_CIPHER_AES_256_GCM, 86400);
    mbedtls_ssl_conf_session_tickets_cb(&p->conf, mbedtls_ssl_ticket_write, tls_ticket_read, &p->tickets);
    if (strcmp(kind, "noalpn") != 0) bad |= mbedtls_ssl_conf_alpn_protocols(&p->conf, protocols);
    tls_version(&p->conf, kind);
    tls_need(!bad, kind);
    return p;
}

tls *tls_open(tls_port *port, int fd) {
    tls *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    mbedtls_ssl_init(&t->ssl);
    t->net.fd = fd;
    if (mbedtls_ssl_setup(&t->ssl, &port->conf) != 0) {
        tls_close(t);
        return NULL;
    }
    mbedtls_ssl_set_bio(&t->ssl, &t->net, mbedtls_net_send, mbedtls_net_recv, NULL);
    return t;
}

void tls_close(tls *t) {
    if (!t) return;
    mbedtls_ssl_free(&t->ssl);
    free(t);
}

static ssize_t tls_result(int result) {
    switch (result) {
    case MBEDTLS_ERR_SSL_WANT_READ:
    case MBEDTLS_ERR_SSL_WANT_WRITE:
    case MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET:
        return TLS_AGAIN;
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
    case MBEDTLS_ERR_SSL_CONN_EOF:
        return TLS_CLOSED;
    default:
        return result > 0 ? result : result == 0 ? TLS_CLOSED : TLS_FAILED;
    }
}

int tls_handshake(tls *t) {
    tls_now = t;
    int result = mbedtls_ssl_handshake(&t->ssl);
    tls_now = NULL;
    if (result == 0) {
        tls_count.handshakes++;
        tls_count.resumptions += t->resumed;
        return 1;
    }
    int again = (int)tls_result(result);
    if (again != TLS_AGAIN) tls_count.failures++;
    return again;
}

ssize_t tls_read(tls *t, void *buf, size_t n) {
    return tls_result(mbedtls_ssl_read(&t->ssl, buf, n));
}

ssize_t tls_write(tls *t, const void *buf, size_t n) {
    return tls_result(mbedtls_ssl_write(&t->ssl, buf, n));
}

void tls_farewell(tls *t) {
    mbedtls_ssl_close_notify(&t->ssl);
}
