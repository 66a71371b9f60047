/* environ: what the environment tells wf. It is read once, before anything else happens, and all that looks like a secret is taken
 * out of it there and then, in place: no child inherits it, and /proc/self/environ does not show it; nor may others of the same user look into this process (Linux). */
#ifndef CLI_ENVIRON_H
#define CLI_ENVIRON_H

#include "cli.h"

typedef enum cli_variable {
    ENV_API_KEY,
    ENV_AUTH_TOKEN,
    ENV_BASE_URL,
    ENV_BETAS,
    ENV_WORKSPACE_ID,
    ENV_CUSTOM_HEADERS,
    ENV_VERSION,
    ENV_KEY_HEADER,
    ENV_ALLOW_HTTP,
    ENV_PROXY,
    ENV_NO_PROXY,
    ENV_CERT_FILE,
    ENV_CONFIG_HOME,
    ENV_STATE_HOME,
    ENV_HOME,
    ENV_COUNT
} cli_variable;

/* Call it first thing in main, and the other one last. */
void cli_env_take(void);
void cli_env_wipe(void);

/* The value, without white space around it unless its lines count (custom headers); NULL: not set, or empty. */
const char *cli_env(cli_variable variable);
const char *cli_env_name(cli_variable variable); /* "ANTHROPIC_API_KEY" */

/* The path of a file in the user's configuration, $XDG_CONFIG_HOME/wf or ~/.config/wf; false: there is no such place. */
bool cli_env_config(const char *file, char *path, size_t cap);

/* The same of what wf keeps between runs, $XDG_STATE_HOME/wf or ~/.local/state/wf; the path is absolute. */
bool cli_env_state(const char *file, char *path, size_t cap);

/* Overwrites memory that held a secret; not left out by compilers. */
void cli_wipe(void *memory, size_t n);

#endif
