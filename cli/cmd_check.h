/* cmd_check: a dry run of a script on stub answers, and what it shows beforehand: phases, agents, tokens. */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "base/options.h"

typedef struct cli_preview {
    uint32_t agents;
} cli_preview;

/* Compiles the script; a mistake is said on stderr. CLI_OK or CLI_SCRIPT. */
cli_exit cli_check_compile(const wf_run_spec *spec);
/* Runs it dry and prints the preview; NULL: nothing is printed. Nothing is sent and nothing kept. Not CLI_OK: it failed on the stub answers, and the
 * error is on stderr. */
cli_exit cli_check_preview(const cli_options *options, const wf_run_spec *spec, FILE *to, cli_preview *out);

#endif
