/* tls_mbedtls: to be written. */
#include "trust.h"
