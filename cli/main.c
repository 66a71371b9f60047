/* main: finds the command, lets its room do the work, and sees to it that what was printed has arrived.
 *
 *   cmd_*          one file for each command: run and resume, check, agent, runs, show and log, help
 *   args           a script and its args from the command line
 *   base/environ   the environment, read once; secrets are taken out of it
 *   base/title     the name that a script gives itself
 *   base/options   the table of options: parse, check, record in a log, restore from it
 *   base/text      how the command speaks: errors, amounts, other people's text
 *   base/terminal  who reads it, and how much fits on a line
 *   base/logs      where logs lie
 *   run/model      the model, its price and the budget; run/network is the way to it
 *   run/world      memory, port, models and the wf, opened for a run or for a look at a log
 *   run/intercept  the effects that the command itself answers; run/ask puts questions to a person
 *   run/drive      a script over an open world, to its durable end; run/progress shows what goes on, run/status how far it is
 *   run/advice     how to go on after a run that did not end well */
#include "commands.h"
#include "base/environ.h"
#include "base/terminal.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static cli_exit main_dispatch(cli_options *o) {
    switch (o->command) {
    case CLI_RUN:
        return cli_run(o);
    case CLI_CHECK:
        return cli_check(o);
    case CLI_RESUME:
        return cli_resume(o);
    case CLI_AGENT:
        return cli_agent(o);
    case CLI_RUNS:
        return cli_runs(o);
    case CLI_SHOW:
        return cli_show(o);
    case CLI_LOG:
        return cli_log(o);
    case CLI_VERSION:
        return cli_version();
    case CLI_HELP:
        return cli_help(o->operand);
    case CLI_COMMANDS:
        break;
    }
    return CLI_INTERNAL;
}

/* For who does not know what to ask for. */
static cli_exit main_begin(void) {
    return cli_fail(CLI_USAGE, "try an example, offline: the two files at the end of `wf help`\n"
                               "    run a script:            wf run SCRIPT\n"
                               "    all commands:            wf help; wf help script; wf help models");
}

static cli_exit main_run(int argc, char **argv, cli_options *options) {
    const char *name = argc > 1 ? argv[1] : "";
    if (argc < 2) return main_begin();
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return cli_help(NULL);
    if (strcmp(name, "--version") == 0) return cli_version();
    options->command = cli_command_find(name);
    if (options->command == CLI_COMMANDS) return cli_command_unknown(name);
    cli_exit code = cli_options_parse(options, argc - 2, argv + 2);
    if (code != CLI_OK) return code;
    return options->help ? cli_help(name) : main_dispatch(options);
}

/* A file of ours must not become a closed stdout or stderr. What stands in for these cannot be written, so that a lost
 * result is still an error. */
static void main_hold_descriptors(void) {
    int fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDONLY);
    if (fd >= 0) close(fd);
}

int main(int argc, char **argv) {
    static cli_options options;
    cli_env_take();
    main_hold_descriptors();
    /* a closed pipe and a full file are errors to report, not deaths */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    /* unbuffered, as it comes, it would take a system call for every character put to it */
    setvbuf(stderr, NULL, _IOLBF, BUFSIZ);
    cli_exit code = main_run(argc, argv, &options);
    errno = 0;
    bool lost_some = fflush(stdout) != 0 || ferror(stdout);
    bool enough = lost_some && options.command != CLI_AGENT && cli_terminal_reader_gone(); /* as head has */
    if (lost_some && !enough && code != CLI_IO) {                                          /* else it has been said */
        cli_exit lost = cli_fail(CLI_IO, "cannot write to standard output: %s", strerror(errno ? errno : EIO));
        if (code == CLI_OK) code = lost;
    }
    cli_env_wipe();
    return (int)code;
}
