/* certs: see certs.h. */
#include "certs.h"
#include <arpa/inet.h>
#include <mbedtls/ecp.h>
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
    unsigned usage = spec->ca ? MBEDTLS_X509_KU_KEY_CERT_SIGN : MBEDTLS_X509_KU_DIGITAL_SIGNATURE;
    return mbedtls_x509write_crt_set_subject_name(w, subject) == 0 &&
           mbedtls_x509write_crt_set_issuer_name(w, issuer) == 0 &&
           mbedtls_x509write_crt_set_serial_raw(w, serial, sizeof serial) == 0 &&
           mbedtls_x509write_crt_set_validity(w, spec->from ? spec->from : "20200101000000",
                                              spec->until ? spec->until : "20991231235959") == 0 &&
           mbedtls_x509write_crt_set_basic_constraints(w, spec->ca, -1) == 0 &&
           mbedtls_x509write_crt_set_key_usage(w, usage) == 0 && certs_set_names(w, names, spec->san);
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
    good = n > 0 && mbedtls_x509_crt_parse_der(&out->crt, der + sizeof der - n, (size_t)n) == 0;
    mbedtls_x509write_crt_free(&w);
    if (!good) cert_free(out);
    return good;
}

void cert_free(cert *c) {
    mbedtls_pk_free(&c->key);
    mbedtls_x509_crt_free(&c->crt);
}

bool cert_add(cert *c, const cert *more) {
    return mbedtls_x509_crt_parse_der(&c->crt, more->crt.raw.p, more->crt.raw.len) == 0;
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
