/* advice: how to continue a run that did not end well, as a command, chosen by the cause. */
#ifndef CLI_ADVICE_H
#define CLI_ADVICE_H

#include "drive.h"

/* Prints on stderr a line for each way to continue; none for a run that is done and in which nothing failed. */
void cli_advice_put(cli_world *w, const wf_run_spec *spec, const cli_drive_end *end);

#endif
