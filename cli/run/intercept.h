/* effects: what the command itself answers of all that a script asks its platform for: questions to a person (ask), the user's
 * saved workflows (saved), and in a dry run commands, which are not run (exec). All else goes on to the platform. */
#ifndef CLI_EFFECTS_H
#define CLI_EFFECTS_H

#include "ask.h"

#define CLI_EFFECTS 64 /* under way at a time, at most */

typedef struct cli_effects {
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
    } slot[CLI_EFFECTS];
} cli_effects;

/* Puts itself in front of the platform's tools. Not CLI_OK: --answers cannot be used, and a line on stderr said why. */
cli_exit cli_effects_open(cli_effects *e, wf_platform *platform, const cli_options *o, bool dry);

#endif
