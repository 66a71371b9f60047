/* ask: a script's questions to a person. An answer comes from --answers FILE, else from the terminal, else it is the question's
 * default; where there is none of them, an error says so at once. Nothing here ever waits: the terminal is looked at.
 *
 * Invariants:
 *   1. One question at a time stands on the terminal; the others wait behind it, in the order in which they came.
 *   2. What was typed before a question stood there is no answer to it. */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "../base/options.h"

#define CLI_ASK_LOOK_MS 100u /* between two looks at the terminal */
#define CLI_ASK_LINE    4096 /* bytes of a line */

/* What the command itself answers to an effect. */
typedef struct cli_reply {
    wf_str input; /* of the effect: JSON; lives as long as the reply */
    bool done, is_error;
    char *text; /* malloced: JSON, or the error */
    size_t len;
    struct cli_reply *next; /* whose question comes after this one */
} cli_reply;

typedef struct cli_ask {
    wf_str answers; /* of the file; empty: none */
    bool list;      /* they are one, used in order */
    uint32_t taken; /* of the list */
    bool dry;       /* nobody is asked */
    bool quiet;
    cli_reply *first;
    char line[CLI_ASK_LINE];
    size_t len;
    bool too_long;
} cli_ask;

/* Reads and checks --answers. */
cli_exit cli_ask_open(cli_ask *a, const cli_options *o, bool dry);
/* Goes on in a list behind the answers that the run's log has already. */
void cli_ask_resume(cli_ask *a, wf *run);
/* Answers at once, or puts the question where the terminal's turn will come. */
void cli_ask_begin(cli_ask *a, cli_reply *r);
/* Takes what was typed. */
void cli_ask_look(cli_ask *a);
/* Nobody wants the answer any more. */
void cli_ask_drop(cli_ask *a, cli_reply *r);

/* Ends a reply: with a text, which becomes JSON; with an error. */
void cli_reply_text(cli_reply *r, wf_str text);
void cli_reply_error(cli_reply *r, const char *format, ...) CLI_PRINTF(2, 3);

#endif
