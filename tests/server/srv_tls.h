/* tls: the server's side of TLS over mbedTLS, one port per kind of certificate. */
#ifndef SERVER_TLS_H
#define SERVER_TLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct tls_port tls_port; /* certificate, tickets */
typedef struct tls tls;           /* one connection */

enum { TLS_CLOSED = 0, TLS_AGAIN = -1, TLS_FAILED = -2 };

/* The kinds: https expired early otherhost selfsigned unknown tls12 tls13 noalpn. NULL: no such kind. Ends the process
 * when a certificate cannot be made. */
tls_port *tls_port_open(const char *kind);
const char *tls_roots(void); /* PEM of the authority that clients are to trust */

tls *tls_open(tls_port *port, int fd);
void tls_close(tls *t);
int tls_handshake(tls *t); /* 1: done */
ssize_t tls_read(tls *t, void *buf, size_t n);
ssize_t tls_write(tls *t, const void *buf, size_t n);
void tls_farewell(tls *t);

typedef struct tls_counts {
    uint64_t handshakes, resumptions, failures;
} tls_counts;
extern tls_counts tls_count;

#endif
