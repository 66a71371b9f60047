/* constraints: which names an authority may sign for (RFC 5280, 4.2.1.10), which mbedTLS does not look at.
 *
 * Held against all names that the peer's certificate gives as DNS names and addresses, which are those that connections go by;
 * constraints on other kinds of names are passed over. What cannot be read is not allowed, nor what takes too much work. */
#ifndef WFI_CONSTRAINTS_H
#define WFI_CONSTRAINTS_H

#include "../../api/tls.h"
#include <mbedtls/x509_crt.h>

#ifndef WFI
#define WFI extern
#endif

#define WFI_CONSTRAINTS_WORK 100000u /* comparisons of names, for one authority */

/* Whether the authority may sign for the names of the certificate. */
WFI bool wfi_constraints_allow(const mbedtls_x509_crt *authority, const mbedtls_x509_crt *crt);
/* mbedtls_x509_crt_ext_cb_t: accepts the extension where it is critical, for whoever will ask the question above. */
WFI int wfi_constraints_accept(void *ctx, const mbedtls_x509_crt *crt, const mbedtls_x509_buf *oid, int critical,
                               const unsigned char *p, const unsigned char *end);

#endif
