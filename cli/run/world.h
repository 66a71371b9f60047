/* world: all that a run stands on, in one block of memory: the POSIX port, the models, the wf, the script's heap. */
#ifndef CLI_WORLD_H
#define CLI_WORLD_H

#include "intercept.h"
#include "network.h"

#define CLI_PROVIDERS 7

typedef struct cli_world {
    const cli_options *options; /* NULL: for a look */
    const char *log;            /* path; NULL: a temporary log */
    void *block;
    size_t size, used;
    wf_posix *posix;
    wf_platform platform;
    cli_intercept effects;
    wf_provider providers[CLI_PROVIDERS];
    wf_tool tools[WF_POSIX_TOOLS];
    uint32_t provider_count;
    wf_rules *rules;
    cli_network network;
    wf *run;
    void *run_block; /* of a look's wf, which is as large as the log wants */
    void *tables;    /* of the wf */
    size_t tables_size;
    size_t pool_size;
    wf_heap *pool;   /* what script, messages and models of rules share, by what each asks for */
    wf_heap *script; /* the script's part of it */
    char memory[24]; /* the size of the block, as --memory takes it */
    bool quiet;      /* says nothing about errors */
} cli_world;

/* Opens all that a run needs, up to an initialised wf; its model is settled. stub: answers in every provider's place, on a
 * temporary log, within the bounds of a dry run; NULL: real models, and what the default one needs is loaded or opened now, to
 * find mistakes. trace may be NULL.
 * Not CLI_OK: a line on stderr said why, and all is closed again. */
cli_exit cli_world_open(cli_world *w, const cli_options *options, wf_posix_mode mode, const char *log,
                        const wf_provider *stub, void (*trace)(void *, const wf_trace *));
/* Opens a log for a look: loads it and writes nothing. Errors as above; a quiet look answers with the code alone. */
cli_exit cli_world_read(cli_world *w, const char *log, bool quiet);
void cli_world_close(cli_world *w);
/* Whether some process writes this log now. */
bool cli_world_is_busy(const char *log);

/* Says what is wrong with the log, and the fix. */
cli_exit cli_world_fail(const cli_world *w, wf_status status);

#endif
