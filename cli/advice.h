/* advice: how to continue a run that did not end well, as a command, chosen by the cause. */
#ifndef CLI_ADVICE_H
#define CLI_ADVICE_H

#include "world.h"

/* Prints on stderr a line for each way to continue; none for a run that is done and in which no agent
 * failed. result: of the script. */
void cli_advice_put(cli_world *w, const wf_run_spec *spec, const wf_run_status *status, const wf_script_result *result);

#endif
