/* model: which model a run uses, by the command line, the log or the environment; what it costs; what that means for the
 * budget. */
#ifndef CLI_MODEL_H
#define CLI_MODEL_H

#include "../base/options.h"

#define CLI_MODEL_DEFAULT "anthropic:claude-sonnet-5-5"

/* Settles --model into "PROVIDER:MODEL", the price list and the budget, and checks that the run can be served: CLI_OK, or
 * CLI_USAGE after one line that says why not. */
cli_exit cli_model_settle(cli_options *options);
/* The same for a dry run: no key is needed, and no budget. */
cli_exit cli_model_settle_dry(cli_options *options);

/* Of a settled model. */
bool cli_model_is_rules(const cli_options *options);
bool cli_model_is_exec(const cli_options *options);
/* Its name without the provider. */
const char *cli_model_name(const cli_options *options);

/* The variable that the key for Anthropic's models comes from; NULL: there is none. */
const char *cli_model_key_name(void);

#endif
