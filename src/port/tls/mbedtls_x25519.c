/* mbedTLS's multiplication on curves, with X25519 done by the verified code of Project Everest that comes with mbedTLS and is
 * several times faster than the general one: every connection needs two of them. mbedTLS itself would use it for an interface that
 * TLS 1.3 does not go through. Belongs to the pinned library, in place of ecp.c; machines without 128-bit integers keep that. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* for the byte orders of <endian.h> */
#endif
#include <common.h>
#include <mbedtls/ecp.h>

#if defined(MBEDTLS_ECP_C) && defined(MBEDTLS_ECP_DP_CURVE25519_ENABLED) && defined(__SIZEOF_INT128__)

#include <mbedtls/platform_util.h>

/* The general ones, under other names. */
int ecp_general_mul(mbedtls_ecp_group *grp, mbedtls_ecp_point *R, const mbedtls_mpi *m, const mbedtls_ecp_point *P,
                    int (*f_rng)(void *, unsigned char *, size_t), void *p_rng);
int ecp_general_mul_restartable(mbedtls_ecp_group *grp, mbedtls_ecp_point *R, const mbedtls_mpi *m,
                                const mbedtls_ecp_point *P, int (*f_rng)(void *, unsigned char *, size_t), void *p_rng,
                                mbedtls_ecp_restart_ctx *rs_ctx);
#define mbedtls_ecp_mul             ecp_general_mul
#define mbedtls_ecp_mul_restartable ecp_general_mul_restartable
#include <ecp.c>
#undef mbedtls_ecp_mul
#undef mbedtls_ecp_mul_restartable

#include <Hacl_Curve25519.c>
#include <kremlib/FStar_UInt64_FStar_UInt32_FStar_UInt16_FStar_UInt8.c>

#define X25519_SIZE 32

/* RFC 7748, section 5, on checked numbers: a secret that is clamped already, a point that has no low order. */
static int x25519_mul(mbedtls_ecp_point *R, const mbedtls_mpi *m, const mbedtls_ecp_point *P) {
    uint8_t secret[X25519_SIZE], point[X25519_SIZE], product[X25519_SIZE];
    int ret = mbedtls_mpi_write_binary_le(m, secret, sizeof secret);
    if (ret == 0) ret = mbedtls_mpi_write_binary_le(&P->X, point, sizeof point);
    if (ret == 0) {
        Hacl_Curve25519_crypto_scalarmult(product, secret, point);
        ret = mbedtls_mpi_read_binary_le(&R->X, product, sizeof product);
    }
    if (ret == 0) ret = mbedtls_mpi_lset(&R->Z, 1);
    if (ret == 0) mbedtls_mpi_free(&R->Y);
    mbedtls_platform_zeroize(secret, sizeof secret);
    mbedtls_platform_zeroize(product, sizeof product);
    return ret;
}

int mbedtls_ecp_mul_restartable(mbedtls_ecp_group *grp, mbedtls_ecp_point *R, const mbedtls_mpi *m,
                                const mbedtls_ecp_point *P, int (*f_rng)(void *, unsigned char *, size_t), void *p_rng,
                                mbedtls_ecp_restart_ctx *rs_ctx) {
    if (grp->id != MBEDTLS_ECP_DP_CURVE25519) return ecp_general_mul_restartable(grp, R, m, P, f_rng, p_rng, rs_ctx);
    int ret = mbedtls_ecp_check_privkey(grp, m);
    if (ret == 0) ret = mbedtls_ecp_check_pubkey(grp, P);
    return ret == 0 ? x25519_mul(R, m, P) : ret;
}

int mbedtls_ecp_mul(mbedtls_ecp_group *grp, mbedtls_ecp_point *R, const mbedtls_mpi *m, const mbedtls_ecp_point *P,
                    int (*f_rng)(void *, unsigned char *, size_t), void *p_rng) {
    return mbedtls_ecp_mul_restartable(grp, R, m, P, f_rng, p_rng, NULL);
}

#else

#include <ecp.c>

#endif
