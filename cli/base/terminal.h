/* terminal: who reads what is printed, and how much of it fits on a line. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include "cli.h"

/* Whether somebody sees what is asked on stderr and can answer on stdin. Nobody does in CI (CI is set, and neither "false" nor
 * "0"), which may well have a pseudo-terminal, nor where TERM is "dumb". */
bool cli_terminal_has_person(void);

/* Whether stderr takes colours and movements of the cursor: a terminal that TERM names, and that is not "dumb". */
bool cli_terminal_takes_codes(void);

/* Whether a line on stderr may be drawn anew: as above, not in CI, and this process has the terminal now. */
bool cli_terminal_is_live(void);

/* Columns of stderr's terminal; 80 where it does not tell. */
unsigned cli_terminal_columns(void);

/* Whether stdout is a pipe whose reader has gone: it has seen enough. */
bool cli_terminal_reader_gone(void);

/* Bytes on stdout: as they are, but harmless if it is a terminal. */
void cli_terminal_put(wf_str bytes);

/* Copies as much of a text as fits in so many columns, harmless and on one line; answers the bytes, at most `cap`, and takes the
 * columns used off *columns. A character of East Asia or an emoji takes two, what combines with the one before it none. */
size_t cli_terminal_clip(wf_str text, unsigned *columns, char *out, size_t cap);

#endif
