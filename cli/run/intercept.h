/* intercept: what the command itself answers of all that a script asks its platform for: questions to a person (ask), the user's
 * saved workflows (saved), and in a dry run commands, which are not run (exec). All else goes on to the platform. */
#ifndef CLI_INTERCEPT_H
#define CLI_INTERCEPT_H

#include "ask.h"

#define CLI_INTERCEPTED 64 /* under way at a time, at most */

typedef struct cli_intercept {
    const wf_platform *platform;
    const wf_tool_ops *below; /* the platform's own */
    void *below_ctx;
    bool dry;
    const char *root;
    cli_ask ask;
    uint32_t asked, ran; /* questions and commands begun */
    struct {
        bool taken;
        uint32_t ticket;
        cli_reply reply;
    } slot[CLI_INTERCEPTED];
} cli_intercept;

/* Puts itself in front of the platform's tools. Not CLI_OK: --answers cannot be used, and a line on stderr said why. */
cli_exit cli_intercept_open(cli_intercept *e, wf_platform *platform, const cli_options *o, bool dry);

#endif
