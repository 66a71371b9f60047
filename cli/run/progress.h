/* progress: what a run tells while it goes: plain lines on stderr, or JSON objects on stdout, one a line. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "../base/options.h"

#define CLI_FAILURES 10 /* shown at the end */

/* The trace hook of a run. There is one run in a process, so the view is one as well. */
void cli_progress_begin(const cli_options *options);
void cli_progress_trace(void *ctx, const wf_trace *event);

/* Numbers of the first failed calls, for the end; answers how many there are. *recent: all of them
 * were printed in full, a few lines ago. */
uint32_t cli_progress_failures(uint32_t ids[CLI_FAILURES], bool *recent);

/* How many failed agents of the log were delivered again. */
uint32_t cli_progress_again(void);

/* Whether the reason why the run stops was printed in full. */
bool cli_progress_stop(void);

/* Writes one event on stdout. What could not be written is remembered for cli_progress_error. */
void cli_progress_line(const wf_json_out *out);
/* errno of the first event that could not be written, 0 if all could. A reader that has gone has seen enough: the run goes on
 * without events. */
int cli_progress_error(void);
/* What a model of rules prints. */
void cli_progress_print(wf_str line);
/* A script error that the log of a run that has ended holds. */
void cli_progress_script_error(wf_str text);

/* Whether stderr takes colour. */
bool cli_progress_color(const cli_options *options);

#endif
