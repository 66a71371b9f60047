/* network: the way to models that are reached over it: connections of the port, TLS over them where it is needed, the HTTP
 * client, and the provider "anthropic" with what the environment says of key and server. */
#ifndef CLI_NETWORK_H
#define CLI_NETWORK_H

#include "../../src/api/tls.h"
#include "../base/options.h"

#define CLI_NETWORK_WHY 1024

#define CLI_NETWORK_CUSTOM 16u /* headers of the user's own */

typedef struct cli_network {
    const cli_options *options;
    const wf_platform *platform; /* lives as long as this does */
    wf_posix *posix;
    void *memory;
    size_t size, used;
    wf_tls *tls; /* NULL: not open */
    wf_http *http;
    wf_provider served; /* as the HTTP client serves it */
    wf_header headers[WF_MESSAGES_HEADERS + CLI_NETWORK_CUSTOM];
    uint32_t header_count, custom; /* all of them; of them, the user's own, which are the last */
    char *values;                  /* of headers, with the key */
    bool failed;
    char why[CLI_NETWORK_WHY];
} cli_network;

/* Opens nothing yet. The pointers must outlive it. */
void cli_network_init(cli_network *n, const cli_options *options, wf_posix *posix, const wf_platform *platform);
/* Bytes that an open one takes if all its connections shake hands at once; with *least it opens, and gets along if a good part
 * of them does not. */
size_t cli_network_size(const cli_network *n, size_t *least);
/* Opens all of it now. CLI_USAGE: a line on stderr said what of the settings cannot be used. */
cli_exit cli_network_open(cli_network *n, void *memory, size_t size, wf_provider *out);
/* Opens it when the first agent asks for one of its models; what cannot be used stops the run then. memory NULL: there is not
 * enough, which does the same. */
void cli_network_open_later(cli_network *n, void *memory, size_t size, wf_provider *out);
/* After the wf. One that was never opened is left alone. */
void cli_network_close(cli_network *n);

/* What --stats tells of it; nothing if it was not used. */
void cli_network_put_stats(const cli_network *n, FILE *to);

#endif
