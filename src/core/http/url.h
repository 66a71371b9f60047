/* url: addresses, scheme://host[:port][/path], without user (but for proxies), query and fragment; hosts and
 * their names. Pure functions. */
#ifndef WFI_URL_H
#define WFI_URL_H

#include "../base/base.h"

typedef struct wfi_url {
    bool tls;
    wf_str host; /* without the brackets of an IPv6 address */
    bool bracketed;
    uint32_t port;
    wf_str path;     /* "" or begins with "/"; no "/" at its end */
    wf_str userinfo; /* user[:password]; only proxies may have it */
} wfi_url;
/* WF_E_CONFIG: *why (constant) says what is wrong with it. */
WFI wf_status wfi_url_parse(wf_str text, wfi_url *out, const char **why);
/* A proxy's: http://[user:password@]host[:port], also without http://, as curl takes it. */
WFI wf_status wfi_url_parse_proxy(wf_str text, wfi_url *out, const char **why);
/* Whether a host is this machine: localhost, *.localhost, 127/8, ::1. */
WFI bool wfi_host_is_loopback(wf_str host);
/* Whether a list like NO_PROXY covers the host: names, .suffixes, addresses, blocks of them (address/bits), each with :port or
 * not, or *; separated by commas or blanks. */
WFI bool wfi_host_is_listed(wf_str list, wf_str host, uint32_t port);
/* The first entry of the list that is not understood; empty: all are. */
WFI wf_str wfi_host_list_fault(wf_str list);

#endif
