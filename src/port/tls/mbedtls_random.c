/* The random numbers of the pinned mbedTLS: the system's own, with no generator in between. Belongs to that library (see
 * mbedtls_config.h), not to workflow.h. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <psa/crypto.h>
#include <sys/types.h>
#if defined(__linux__)
#include <sys/random.h>
#else
#include <stdlib.h>
#endif

psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context, uint8_t *output,
                                             size_t size, size_t *length) {
    size_t done = 0;
    (void)context;
#if defined(__linux__)
    while (done < size) {
        ssize_t got = getrandom(output + done, size - done, 0);
        if (got < 0 && errno != EINTR) return PSA_ERROR_INSUFFICIENT_ENTROPY;
        if (got > 0) done += (size_t)got;
    }
#else
    arc4random_buf(output, size);
    done = size;
#endif
    *length = done;
    return PSA_SUCCESS;
}
