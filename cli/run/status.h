/* status: how far a run is, in one line: on a terminal it stands at the end of what is printed and is drawn anew in its place;
 * elsewhere it is printed after ten seconds, later half a minute, in which nothing else was.
 *
 * Invariants:
 *   1. Whoever prints on stderr while a run goes calls cli_status_clear first.
 *   2. The cursor rests at the line's beginning, so that erasing from there on removes it whatever became of its end when the
 *      terminal was resized. Nothing has to be put back when the process is killed. */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include "../base/options.h"

/* There is one run in a process, so there is one line. --quiet: none. */
void cli_status_begin(const cli_options *options);
void cli_status_end(void);

/* Follows the run by its trace. */
void cli_status_trace(const wf_trace *event);
/* Draws the line, or prints it, if it is time to. Answers in how many ms it wants to be asked again. */
uint32_t cli_status_tick(wf *run);
/* Removes the line, for something else is about to be printed. */
void cli_status_clear(void);
/* A person is being asked: nothing is drawn below the question. */
void cli_status_hold(bool held);
/* The same as clear, from a signal handler that ends the process. */
void cli_status_wipe(void);

#endif
