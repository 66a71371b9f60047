/* drive: drives a script over an open world to its durable end. */
#ifndef CLI_DRIVE_H
#define CLI_DRIVE_H

#include "world.h"

typedef struct cli_drive_end {
    wf_script *script;
    wf_script_result result; /* lives as long as the world */
    wf_run_status status;    /* after the end */
    bool starved;            /* memory for the script ran out: the run is paused, and has no result */
} cli_drive_end;

/* CLI_OK: the run has ended, as out->status says. Else the log or the memory gave out, and a line on stderr said so.
 * SIGINT, SIGTERM and SIGHUP stop the run cleanly; a second one ends the process at once, but for SIGHUP. */
cli_exit cli_drive(cli_world *w, const wf_run_spec *spec, cli_drive_end *out);
/* Whether the run was stopped for its terminal is gone, with whatever was to be written there. */
bool cli_drive_hung_up(void);

/* The same of one agent, without a script: *out lives as long as the world. CLI_USAGE: the spec cannot be used. */
cli_exit cli_drive_agent(cli_world *w, const wf_agent_spec *spec, wf_delivery *out);

#endif
