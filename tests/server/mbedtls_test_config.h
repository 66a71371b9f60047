/* mbedTLS for the test server and for making certificates: the product's, and a server, keys and certificates to write, and
 * random numbers of its own. */
#ifndef WFI_TEST_MBEDTLS_CONFIG_H
#define WFI_TEST_MBEDTLS_CONFIG_H

#define MBEDTLS_SSL_OUT_CONTENT_LEN 16384
#include "src/port/tls/mbedtls_config.h"

#undef MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG
#undef MBEDTLS_X509_REMOVE_INFO
#define MBEDTLS_ENTROPY_C
#define MBEDTLS_CTR_DRBG_C
#define MBEDTLS_ERROR_C
#define MBEDTLS_NET_C
#define MBEDTLS_FS_IO

#define MBEDTLS_SSL_SRV_C
#define MBEDTLS_SSL_CACHE_C
#define MBEDTLS_SSL_TICKET_C
#define MBEDTLS_SSL_CONTEXT_SERIALIZATION
#define MBEDTLS_SSL_RENEGOTIATION

#define MBEDTLS_GENPRIME
#define MBEDTLS_PK_WRITE_C
#define MBEDTLS_PEM_WRITE_C
#define MBEDTLS_X509_CREATE_C
#define MBEDTLS_X509_CRT_WRITE_C
#define MBEDTLS_X509_CSR_WRITE_C
#define MBEDTLS_X509_CSR_PARSE_C

#endif
