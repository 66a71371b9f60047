/* options: the commands and their options, from one table. A value is kept as the text that was given (or recorded in a
 * log, or is the default) and, once settled, as a number; so a run's settings go into its log and come back as texts. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "cli.h"

typedef enum cli_command {
    CLI_RUN,
    CLI_CHECK,
    CLI_RESUME,
    CLI_AGENT,
    CLI_RUNS,
    CLI_SHOW,
    CLI_LOG,
    CLI_VERSION,
    CLI_HELP,
    CLI_COMMANDS
} cli_command;

typedef enum cli_option {
    OPT_MODEL,
    OPT_EFFORT,
    OPT_LANES,
    OPT_AGENTS,
    OPT_BUDGET_USD, /* number: nano-USD */
    OPT_BUDGET_TOKENS,
    OPT_PRICES,
    OPT_DEADLINE, /* times in ms, WF_NONE for "none" */
    OPT_AGENT_DEADLINE,
    OPT_STALL,
    OPT_ALLOW, /* number: bits of WF_ALLOW_... */
    OPT_NET,   /* number: 1 is off */
    OPT_CA,
    OPT_ROOT,
    OPT_MEMORY,
    OPT_SYNC, /* number: a wf_sync */
    OPT_ARGS,
    OPT_LOG,
    OPT_ANSWERS,
    OPT_OUT,
    OPT_YES,
    OPT_RETRY_FAILED,
    OPT_JSON,
    OPT_QUIET,
    OPT_NO_COLOR,
    OPT_STATS,
    OPT_PLAN_MODEL,
    OPT_DELIVER,
    OPT_SAMPLE,
    OPT_WAIT,
    OPT_NO_WORKFLOW,
    OPT_COUNT
} cli_option;

typedef struct cli_options {
    cli_command command;
    bool help;                   /* --help: show the command's text instead */
    const char *text[OPT_COUNT]; /* NULL: none */
    bool given[OPT_COUNT];       /* on the command line */
    uint64_t number[OPT_COUNT];
    const char *operand; /* SCRIPT, LOG or topic; NULL: none */
    char **pairs;        /* what stands after -- */
    int pair_count;
    char recorded[16384]; /* texts that came from a log */
    wf_str prices;        /* the user's price list, as cli_model_settle found it */
    wf_str server;        /* host and port of a model on the network, for people; empty: it is none */
    bool own_budget;      /* the budget is not the user's: nobody is asked, for --yes, or for there is no terminal */
} cli_options;

/* Both answer CLI_OK, or CLI_USAGE after one line that names the thing and the fix. */
cli_exit cli_options_parse(cli_options *o, int argc, char **argv);
/* Takes what was not given from a log's settings; texts are checked again. */
cli_exit cli_options_restore(cli_options *o, wf_str settings);

#define CLI_SANDBOX "sandbox" /* the member that says what kept commands in */

/* Writes the options that belong in the log as a JSON object, and what no resume takes from there: the server, and what keeps
 * commands in ("": there are none). */
void cli_options_record(const cli_options *o, const char *sandbox, wf_json_out *out);

/* For the help texts: the options of a command. */
void cli_options_list(cli_command command, FILE *to);
const char *cli_command_name(cli_command command);
/* CLI_COMMANDS if there is none of this name. */
cli_command cli_command_find(const char *name);
/* Says that there is no such command, and which one may have been meant. */
cli_exit cli_command_unknown(const char *name);

#endif
