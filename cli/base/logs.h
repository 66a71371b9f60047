/* logs: where the logs of a workspace lie (DIR/.wf/runs/TIME-NAME.wflog), and which there are. */
#ifndef CLI_LOGS_H
#define CLI_LOGS_H

#include "cli.h"

#define CLI_PATH 4096

typedef struct cli_log_entry {
    char *path;
    uint64_t size;
    uint64_t touched; /* when it was last written, ns since 1970 */
} cli_log_entry;

typedef struct cli_log_list {
    cli_log_entry *entries; /* the last touched first */
    size_t count;
} cli_log_list;

/* Makes the folder, with a .gitignore so that logs stay out of a repository, and a free name in it. The name is ours
 * until cli_logs_named says that the log has it: other runs that start now wait for their turn. */
cli_exit cli_logs_new_path(const char *root, wf_str name, char path[CLI_PATH]);
void cli_logs_named(void);
/* All logs there; none is not an error. Memory is the process's. */
cli_exit cli_logs_list(const char *root, cli_log_list *out);
bool cli_logs_exists(const char *path);
/* The last touched one, for a command that was given none. CLI_USAGE: there is none, which has been said. */
cli_exit cli_logs_last(const char *root, const char *command, const char **path);
/* Tells each script error that ended a branch in the last run of the script that the log holds. */
void cli_logs_errors(wf *run, void (*tell)(wf_str text));

#endif
