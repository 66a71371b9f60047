/* consent: what the user has agreed to: scripts, and logs that their own wf made. It is kept in $XDG_STATE_HOME/wf/agreed, or
 * ~/.local/state/wf/agreed, as one line of hashes for each.
 *
 * Invariants:
 *   1. Nothing of it lies in the workspace, where a cloned repository or an agent would agree in the user's name; what does is
 *      not read.
 *   2. Where there is no place for it nothing is agreed to: all is asked about each time.
 *   3. Whether it can be written stops no run. */
#ifndef CLI_CONSENT_H
#define CLI_CONSENT_H

#include "../base/options.h"

/* The script, by its text alone. */
bool cli_consent_script(const char *root, wf_str script);
void cli_consent_add_script(const char *root, wf_str script);

/* A log, by what it would do, its script, args and settings, and by when it began or where it lies. */
bool cli_consent_log(const char *root, const char *log, const wf_run_spec *spec, uint64_t started);
/* Before the log is there: a process that is killed as soon as it has its name must have left word. */
void cli_consent_add_place(const char *root, const char *log, const wf_run_spec *spec);
void cli_consent_add_log(const char *root, const wf_run_spec *spec, uint64_t started);

/* Adds " (why nothing can be kept, and the way out)" to a message, if there is a reason. */
void cli_consent_put_trouble(FILE *to, const char *root);

#endif
