/* trust: the roots, a bundle of certificates in PEM of which hardly one is ever parsed.
 *
 * At the first question the file is read once, and of each certificate a hash of its subject and its place are noted. After that
 * only those whose subject is the wanted issuer are read again and given to mbedTLS. What is damaged, or is no certificate, is
 * passed over; a file that shrinks under our hands, too. The file stays open, so that one put in its place changes nothing. */
#ifndef WFI_TRUST_H
#define WFI_TRUST_H

#include "../../api/tls.h"
#include <mbedtls/x509_crt.h>

#ifndef WFI
#define WFI extern
#endif

typedef struct wfi_trust_root {
    uint32_t hash; /* of the subject as it is encoded */
    uint32_t at;   /* the first line of its base64 in the file */
} wfi_trust_root;

typedef struct wfi_trust {
    const char *path;
    int fd; /* -1: closed */
    bool indexed;
    uint32_t count, room;
    wfi_trust_root *roots; /* mbedTLS's allocator */
} wfi_trust;

/* Opens the bundle `path`, or with NULL the first of the usual places that holds a certificate. WF_E_NOT_FOUND: `why` says more. */
WFI wf_status wfi_trust_open(wfi_trust *t, const char *path, char *why, size_t why_size);
WFI void wfi_trust_close(wfi_trust *t);

/* mbedtls_x509_crt_ca_cb_t; ctx is the wfi_trust. All roots whose subject is the child's issuer, for the caller to free. */
WFI int wfi_trust_find(void *ctx, mbedtls_x509_crt const *child, mbedtls_x509_crt **found);
/* Whether this very certificate is in the bundle. */
WFI bool wfi_trust_holds(wfi_trust *t, const mbedtls_x509_crt *crt);

#endif
