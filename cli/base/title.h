/* title: the name that a script gives itself. */
#ifndef CLI_TITLE_H
#define CLI_TITLE_H

#include "cli.h"

/* meta.name, where the script begins as scripts do, meta = { name = "..." }; else `file`, the name of its file. The script is
 * not run. Lives as long as the process. */
wf_str cli_title(wf_str script, wf_str file);

#endif
