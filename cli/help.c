/* help: the texts. */
#include "commands.h"
#include <string.h>

/* Texts are arrays of lines, which no compiler finds too long. */
static void help_put(const char *const *lines) {
    for (; *lines; lines++)
        puts(*lines);
}

static const char *const help_general[] = {
    "wf runs workflows of model agents, written as Lua scripts, from one log that survives a crash.",
    "",
    "  wf run SCRIPT [--args JSON|@FILE] [-- k=v ...]   run a script",
    "  wf check SCRIPT                                  dry-run it on stub answers: phases, agents, tokens",
    "  wf resume [LOG]                                  go on with an interrupted run (the last one)",
    "  wf runs                                          list the runs of this folder",
    "  wf show LOG                                      one run: status, phases, agents, failures, spend",
    "  wf log LOG [--json]                              its raw records, one a line",
    "  wf version",
    "  wf help [COMMAND|script]                         a command's options; the script API",
    "",
    "First steps, offline: a script, and a model written in Lua.",
    "",
    "  hello.lua   meta = { name = \"hello\", description = \"Say it\" }",
    "              return agent(\"Say hello to \" .. (args and args.who or \"the world\"))",
    "  model.lua   return function(request) return { text = \"hello\" } end",
    "",
    "  wf run hello.lua --model rules:model.lua --yes -- who=you",
    NULL};

static const char *const help_run[] = {
    "wf run SCRIPT [options] [-- key=value ...]",
    "",
    "Runs a Lua script (`-` reads it from standard input). Its result goes to stdout, text as it is and tables as",
    "JSON, and into the log; everything else goes to stderr. A script that was not run here before is shown and asked",
    "about first, unless --yes. `wf help script` is what scripts can do.",
    "",
    "After -- stand the script's args as key=value. Numbers, true, false and null are themselves, all else is a",
    "string. Together with --args they go into its object.",
    "",
    "An agent's model can be written in Lua: --model rules:FILE.lua, a file that returns function(request). It gets "
    "the",
    "request as the Messages API shapes it (model, system, messages, tools) and answers one of {text=...},",
    "{tool={name=..., input={...}}}, {tools={...}} or {error={status=529, message=..., retry_after=...}}, each with",
    "optional delay (seconds) and usage. It must be a pure function of the request.",
    NULL};

static const char *const help_check[] = {
    "wf check SCRIPT [options] [-- key=value ...]", "",
    "Loads the script and runs it dry: every agent is answered at once by a stub, with a dull value that fits its "
    "schema",
    "or a few words. Prints phases, agents and an estimate of tokens. Nothing is sent, nothing is kept.", NULL};

static const char *const help_resume[] = {
    "wf resume [LOG] [options]",
    "",
    "Goes on with a run: what had finished is answered from the log and never asked of a model again. Without LOG it "
    "takes",
    "the last run of this folder. Script, args and settings come from the log; options given here override settings.",
    "A completed run prints its result again, with its exit code. To go on with an edited script: wf run SCRIPT --log "
    "LOG.",
    NULL};

static const char *const help_runs[] = {
    "wf runs [options]", "",
    "Lists the runs in DIR/.wf/runs, the last touched first: when started, status, size, name, agents.", NULL};

static const char *const help_show[] = {
    "wf show LOG", "",
    "Prints a run: status, phases, agents with turns and tokens, failures with their causes, spend, result.", NULL};

static const char *const help_log[] = {"wf log LOG [--json]", "",
                                       "Prints the log's records, one a line: offset, type, number of the call, "
                                       "metadata, payload. With --json whole, as one",
                                       "object a line; without it the payload is cut.", NULL};

static const char *const help_version[] = {"wf version", "", "Prints the version.", NULL};
static const char *const help_help[] = {"wf help [COMMAND|script]", "", "Explains a command, or what scripts can do.",
                                        NULL};

static const char *const help_exits[] = {"",
                                         "Exit codes: 0 completed, every agent well; 2 usage, nothing was run; 3 "
                                         "completed, some agents failed; 4 the script",
                                         "failed; 5 budget spent; 6 cancelled; 7 deadline; 70 internal error; 74 log "
                                         "or result could not be written or read;",
                                         "75 paused, resume later; 78 key, permission or model name refused.", NULL};

static const char *const help_script[] = {
    "Scripts are Lua 5.4. A script sets meta, calls agents, and returns its result: text, or a table that becomes "
    "JSON.",
    "",
    "  meta = { name = \"audit\", description = \"Find defects, then refute them\",       -- both needed",
    "           phases = { {title=\"Find\"}, {title=\"Verify\"} } }                       -- optional, as is args (a "
    "schema)",
    "",
    "  local found = pipeline(files(\"src/**/*.c\"),",
    "    function(path) return agent(\"Audit \" .. path, { label = path, phase = \"Find\", schema = FINDINGS }) end,",
    "    function(r, path) return { path = path, kept = verify(r.findings, { lenses = {\"correctness\"} }) } end)",
    "  return found",
    "",
    "Calls",
    "  agent(prompt, opts)       text, or the checked table when opts.schema is given; or nil, err",
    "  parallel(fns, opts)       all at once -> results, failures, in input order. A branch that raises or returns "
    "nil, err",
    "                            failed; a bare nil dropped out on purpose; both leave false. failures is a list of",
    "                            {index, error}; failures.at[i] and failures.dropped[i] tell which",
    "  pipeline(items, stage...) each item moves on as soon as it can; a stage gets (prev, item, index)",
    "  race(fns)                 the first value that neither failed nor dropped, its index; the rest are cancelled.",
    "                            None: nil, failures",
    "  phase(title)              groups what follows",
    "  log(fmt, ...)             a line for people",
    "  files(glob, ...)          paths in the workspace, sorted",
    "  read(path, from, to)      a file of the workspace, or its lines from..to",
    "  budget.total(u), budget.spent(u), budget.remaining(u)    u: \"usd\", \"tokens\", \"seconds\"",
    "  now(), random(m, n)       recorded: the same again on a replay",
    "  json.encode, json.decode, null, args                    args arrives parsed",
    "  verify, vote              ready patterns over agents; each answers \"yes\", \"no\" or \"not run\", never a bare "
    "false",
    "",
    "Options of agent: label phase schema model effort tools system max_turns max_tokens deadline stall retries",
    "  cache (false: never answered from the log) check (a function that may reject a result, with a reason)",
    "",
    "Errors are tables: kind, message, agent, attempts. Kinds: schema deadline stall refused provider quota auth "
    "context",
    "  budget tool turns cancelled skipped memory. Run-level stops (budget, agent cap, cancel) raise; pcall them to "
    "return",
    "  what there is.",
    "",
    "Deterministic by construction: results arrive in the log's order, live and in a replay; pairs and json.encode go "
    "in",
    "  key order; table.sort is stable. There is no io, os, require, debug, coroutine, collectgarbage. An undefined "
    "global",
    "  is an error that names the near one. Endless code, wild patterns and greedy memory are stopped, pcall or not.",
    "",
    "Not in this build yet: exec, ask, apply, workflow, and the patterns judge, until_dry, tournament, critic,",
    "  repair_loop, sweep.",
    NULL};

static const char *const *const help_texts[CLI_COMMANDS] = {
    [CLI_RUN] = help_run,   [CLI_CHECK] = help_check, [CLI_RESUME] = help_resume,   [CLI_RUNS] = help_runs,
    [CLI_SHOW] = help_show, [CLI_LOG] = help_log,     [CLI_VERSION] = help_version, [CLI_HELP] = help_help,
};

cli_exit cli_help(const char *topic) {
    if (!topic) {
        help_put(help_general);
        return CLI_OK;
    }
    if (strcmp(topic, "script") == 0) {
        help_put(help_script);
        return CLI_OK;
    }
    cli_command command = cli_command_find(topic);
    if (command == CLI_COMMANDS) return cli_command_unknown(topic);
    help_put(help_texts[command]);
    if (command <= CLI_RUNS || command == CLI_LOG) {
        puts("");
        cli_options_list(command, stdout);
    }
    if (command == CLI_RUN || command == CLI_RESUME) help_put(help_exits);
    return CLI_OK;
}

cli_exit cli_version(void) {
    puts("wf " WF_VERSION);
    return CLI_OK;
}
