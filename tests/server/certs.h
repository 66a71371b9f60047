/* certs: keys and certificates for tests, made when they run. With mbedTLS as tests/server/mbedtls_config.h has it
 * (build/test/libmbedtls.a).
 *
 *     cert ca, leaf;
 *     cert_make(&ca, &(cert_spec){.name = "Test CA", .ca = true});
 *     cert_make(&leaf, &(cert_spec){.name = "localhost", .san = "localhost,127.0.0.1,::1", .issuer = &ca});
 *     cert_save(&ca, "ca.pem");
 *     mbedtls_ssl_conf_own_cert(&conf, &leaf.crt, &leaf.key); */
#ifndef TESTS_CERTS_H
#define TESTS_CERTS_H

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct cert {
    mbedtls_pk_context key;
    mbedtls_x509_crt crt; /* cert_add makes a chain of it */
} cert;

/* Zero means the default. */
typedef struct cert_spec {
    const char *name;         /* common name of the subject; no commas */
    const char *san;          /* subject alternative names and addresses, with commas between; NULL: none */
    const cert *issuer;       /* NULL: signed by itself */
    const char *from, *until; /* YYYYMMDDhhmmss, UTC; default 2020 to 2099 */
    bool ca;                  /* may sign others */
    const char *permitted; /* an authority's name constraints: names, addresses as A.B.C.D/MASK, with commas between */
    const char *excluded;
    bool critical;    /* the constraints are */
    bool for_client;  /* not for a server: by its extended key usage */
    bool for_signing; /* not for a server: by its key usage */
    bool rsa;         /* a key of RSA, 2048 bits, which takes a while to find; default ECDSA on P-256 */
} cert_spec;

#define CERT_LONG_AGO "20190101000000"
#define CERT_PAST     "20200101000000"
#define CERT_FUTURE   "20900101000000"

bool cert_make(cert *out, const cert_spec *spec); /* false: *out needs no cert_free */
void cert_free(cert *c);
bool cert_add(cert *c, const cert *more);                /* appends a copy of more's certificate to the chain of c */
bool cert_pem(const cert *c, char *out, size_t cap);     /* the certificate alone, terminated */
bool cert_key_pem(const cert *c, char *out, size_t cap); /* the private key */
bool cert_save(const cert *c, const char *path);         /* the certificate in a new file, or one overwritten */

#endif
