/* mbedTLS's client of TLS 1.2, with a fault of release 3.6.6 mended: it offers signatures of RSA-PSS, and then refuses the server
 * that signs its key exchange with one, as OpenSSL's do (Mbed-TLS pull request 10674, for 3.6.7). Whether the signature was
 * offered is still checked after this, and the signature itself. Belongs to the pinned library, in place of ssl_tls12_client.c. */
#include <ssl_misc.h>

#if defined(MBEDTLS_SSL_PROTO_TLS1_2) && MBEDTLS_VERSION_NUMBER == 0x03060600

static inline int tls12_accepts(const mbedtls_ssl_context *ssl, uint16_t signature) {
    return signature == MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256 || signature == MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA384 ||
           signature == MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA512 || mbedtls_ssl_sig_alg_is_supported(ssl, signature);
}
#define mbedtls_ssl_sig_alg_is_supported tls12_accepts

#endif

#include <ssl_tls12_client.c>
