/* certs: see certs.h. */
#include "certs.h"
#include <arpa/inet.h>
#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/rsa.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <string.h>

#define CERTS_NAMES 16

typedef struct certs_names {
    char text[1024];
    unsigned char address[CERTS_NAMES][16];
    mbedtls_x509_san_list list[CERTS_NAMES];
} certs_names;

static void certs_name(mbedtls_x509_san_list *to, char *text, unsigned char *address) {
    size_t n = inet_pton(AF_INET, text, address) == 1 ? 4 : inet_pton(AF_INET6, text, address) == 1 ? 16 : 0;
    to->node.type = n != 0 ? MBEDTLS_X509_SAN_IP_ADDRESS : MBEDTLS_X509_SAN_DNS_NAME;
    to->node.san.unstructured_name.p = n != 0 ? address : (unsigned char *)text;
    to->node.san.unstructured_name.len = n != 0 ? n : strlen(text);
}

static bool certs_set_names(mbedtls_x509write_cert *w, certs_names *names, const char *san) {
    if (san == NULL) return true;
    snprintf(names->text, sizeof names->text, "%s", san);
    int n = 0;
    for (char *rest = NULL, *t = strtok_r(names->text, ",", &rest); t && n < CERTS_NAMES;
         t = strtok_r(NULL, ",", &rest), n++) {
        certs_name(&names->list[n], t, names->address[n]);
        names->list[n].next = NULL;
        if (n > 0) names->list[n - 1].next = &names->list[n];
    }
    return mbedtls_x509write_crt_set_subject_alternative_name(w, names->list) == 0;
}

static bool certs_key(mbedtls_pk_context *key, bool rsa) {
    mbedtls_pk_type_t type = rsa ? MBEDTLS_PK_RSA : MBEDTLS_PK_ECKEY;
    if (mbedtls_pk_setup(key, mbedtls_pk_info_from_type(type)) != 0) return false;
    if (rsa)
        return mbedtls_rsa_gen_key(mbedtls_pk_rsa(*key), mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE, 2048,
                                   65537) == 0;
    return mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), mbedtls_psa_get_random,
                               MBEDTLS_PSA_RANDOM_STATE) == 0;
}

/* An element of less than 128 bytes, put before what is there. */
typedef struct certs_der {
    unsigned char bytes[256];
    size_t at;
} certs_der;

static void certs_wrap(certs_der *d, size_t end, int tag) {
    size_t n = end - d->at;
    d->bytes[--d->at] = (unsigned char)n;
    d->bytes[--d->at] = (unsigned char)tag;
}

static void certs_subtree(certs_der *d, char *text) {
    size_t end = d->at;
    unsigned char address[8];
    char *mask = strchr(text, '/');
    if (mask != NULL) *mask++ = '\0';
    bool is_address =
        mask != NULL && inet_pton(AF_INET, text, address) == 1 && inet_pton(AF_INET, mask, address + 4) == 1;
    size_t n = is_address ? sizeof address : strlen(text);
    d->at -= n;
    memcpy(d->bytes + d->at, is_address ? (const void *)address : (const void *)text, n);
    certs_wrap(d, end, 0x80 | (is_address ? MBEDTLS_X509_SAN_IP_ADDRESS : MBEDTLS_X509_SAN_DNS_NAME));
    certs_wrap(d, end, 0x30);
}

static void certs_subtrees(certs_der *d, const char *list, int tag) {
    char text[128];
    size_t end = d->at;
    if (list == NULL) return;
    snprintf(text, sizeof text, "%s", list);
    for (char *rest = NULL, *t = strtok_r(text, ",", &rest); t; t = strtok_r(NULL, ",", &rest))
        certs_subtree(d, t);
    certs_wrap(d, end, tag);
}

static bool certs_set_constraints(mbedtls_x509write_cert *w, const cert_spec *spec) {
    certs_der d = {.at = sizeof d.bytes};
    if (spec->permitted == NULL && spec->excluded == NULL) return true;
    certs_subtrees(&d, spec->excluded, 0xA1);
    certs_subtrees(&d, spec->permitted, 0xA0);
    certs_wrap(&d, sizeof d.bytes, 0x30);
    return mbedtls_x509write_crt_set_extension(w, MBEDTLS_OID_NAME_CONSTRAINTS,
                                               MBEDTLS_OID_SIZE(MBEDTLS_OID_NAME_CONSTRAINTS), spec->critical,
                                               d.bytes + d.at, sizeof d.bytes - d.at) == 0;
}

static bool certs_set_client(mbedtls_x509write_cert *w) {
    static const unsigned char client[] = {0x30, 10, 6, 8, 0x2B, 6, 1, 5, 5, 7, 3, 2};
    return mbedtls_x509write_crt_set_extension(w, MBEDTLS_OID_EXTENDED_KEY_USAGE,
                                               MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE), 0, client,
                                               sizeof client) == 0;
}

static int certs_accept(void *ctx, const mbedtls_x509_crt *crt, const mbedtls_x509_buf *oid, int critical,
                        const unsigned char *p, const unsigned char *end) {
    (void)ctx, (void)crt, (void)oid, (void)critical, (void)p, (void)end;
    return 0;
}

static bool certs_set(mbedtls_x509write_cert *w, cert *out, const cert_spec *spec, certs_names *names) {
    unsigned char serial[8];
    char subject[256], issuer[256];
    snprintf(subject, sizeof subject, "CN=%s", spec->name);
    snprintf(issuer, sizeof issuer, "%s", subject);
    if (spec->issuer && mbedtls_x509_dn_gets(issuer, sizeof issuer, &spec->issuer->crt.subject) < 0) return false;
    if (psa_generate_random(serial, sizeof serial) != PSA_SUCCESS) return false;
    serial[0] = (unsigned char)((serial[0] & 0x3F) | 0x40);
    mbedtls_x509write_crt_set_version(w, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(w, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(w, &out->key);
    mbedtls_x509write_crt_set_issuer_key(w, spec->issuer ? (mbedtls_pk_context *)&spec->issuer->key : &out->key);
    unsigned usage = spec->ca || spec->for_signing ? MBEDTLS_X509_KU_KEY_CERT_SIGN : MBEDTLS_X509_KU_DIGITAL_SIGNATURE;
    return mbedtls_x509write_crt_set_subject_name(w, subject) == 0 &&
           mbedtls_x509write_crt_set_issuer_name(w, issuer) == 0 &&
           mbedtls_x509write_crt_set_serial_raw(w, serial, sizeof serial) == 0 &&
           mbedtls_x509write_crt_set_validity(w, spec->from ? spec->from : "20200101000000",
                                              spec->until ? spec->until : "20991231235959") == 0 &&
           mbedtls_x509write_crt_set_basic_constraints(w, spec->ca, -1) == 0 &&
           mbedtls_x509write_crt_set_key_usage(w, usage) == 0 && certs_set_names(w, names, spec->san) &&
           certs_set_constraints(w, spec) && (!spec->for_client || certs_set_client(w));
}

bool cert_make(cert *out, const cert_spec *spec) {
    mbedtls_x509write_cert w;
    certs_names names = {0};
    unsigned char der[4096];
    mbedtls_pk_init(&out->key);
    mbedtls_x509_crt_init(&out->crt);
    mbedtls_x509write_crt_init(&w);
    bool good = psa_crypto_init() == PSA_SUCCESS && certs_key(&out->key, spec->rsa) && certs_set(&w, out, spec, &names);
    int n =
        good ? mbedtls_x509write_crt_der(&w, der, sizeof der, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE) : -1;
    /* It is written to the end of the buffer. */
    good = n > 0 && mbedtls_x509_crt_parse_der_with_ext_cb(&out->crt, der + sizeof der - n, (size_t)n, 1, certs_accept,
                                                           NULL) == 0;
    mbedtls_x509write_crt_free(&w);
    if (!good) cert_free(out);
    return good;
}

void cert_free(cert *c) {
    mbedtls_pk_free(&c->key);
    mbedtls_x509_crt_free(&c->crt);
}

bool cert_add(cert *c, const cert *more) {
    return mbedtls_x509_crt_parse_der_with_ext_cb(&c->crt, more->crt.raw.p, more->crt.raw.len, 1, certs_accept, NULL) ==
           0;
}

bool cert_pem(const cert *c, char *out, size_t cap) {
    size_t n;
    return mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", c->crt.raw.p,
                                    c->crt.raw.len, (unsigned char *)out, cap, &n) == 0;
}

bool cert_key_pem(const cert *c, char *out, size_t cap) {
    return mbedtls_pk_write_key_pem((mbedtls_pk_context *)&c->key, (unsigned char *)out, cap) == 0;
}

bool cert_save(const cert *c, const char *path) {
    char pem[8192];
    FILE *f = cert_pem(c, pem, sizeof pem) ? fopen(path, "w") : NULL;
    if (f == NULL) return false;
    bool good = fputs(pem, f) >= 0;
    return fclose(f) == 0 && good;
}
