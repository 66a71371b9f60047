/* commands: one function each. Their answer is the process's exit code. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "base/options.h"

cli_exit cli_run(cli_options *options);
cli_exit cli_resume(cli_options *options);
cli_exit cli_check(cli_options *options);
cli_exit cli_agent(cli_options *options);
cli_exit cli_runs(const cli_options *options);
cli_exit cli_show(const cli_options *options);
cli_exit cli_log(const cli_options *options);
cli_exit cli_version(void);
cli_exit cli_help(const char *topic); /* NULL: in general */

/* The script and its args, as the command line names them; texts live as long as the process. */
cli_exit cli_script_read(const cli_options *options, wf_run_spec *out);

#endif
