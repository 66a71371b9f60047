/* dns: asks name servers itself, where the system's library gives up too early: musl's waits 5 s in all, and before 1.2.4 takes
 * what a truncated answer holds, which may be nothing. One question, about one family, to all servers at once, again every
 * DNS_AGAIN_MS; over TCP if an answer is truncated (RFC 1035, RFC 7766). An answer is taken from the address and port that was
 * asked, with the number and the question that were sent.
 *
 * Blocks until the deadline: for the child of lookup.h alone. Allocates nothing. */
#ifndef WFI_DNS_H
#define WFI_DNS_H

#include "lookup.h"
#include <sys/socket.h>

#define WFI_DNS_SERVERS 3 /* as other resolvers: what is more is not asked */

typedef struct wfi_dns {
    uint32_t count;
    struct sockaddr_storage server[WFI_DNS_SERVERS];
} wfi_dns;

/* The servers that a file like /etc/resolv.conf names; this machine where there is none. */
WFI void wfi_dns_read(wfi_dns *d, const char *file);
/* Adds the addresses of a name: of IPv6 if `six`. False: none was learned. Search lists are not gone through. */
WFI bool wfi_dns_ask(const wfi_dns *d, const char *name, bool six, uint64_t deadline, wfi_lookup_answer *out);

#endif
