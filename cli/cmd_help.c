/* cmd_help: the texts. No line of them is wider than a terminal of 80 columns. */
#include "commands.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Texts are arrays of lines, which no compiler finds too long. */
static void help_put(const char *const *lines) {
    for (; *lines; lines++)
        puts(*lines);
}

/* clang-format off */
static const char *const help_general[] = {
    "wf runs workflows of model agents, written as Lua scripts, from one log that",
    "survives a crash.",
    "",
    "  wf run SCRIPT [-- k=v ...]    run a script",
    "  wf check SCRIPT               dry-run it on stub answers: phases, agents, USD",
    "  wf resume [LOG]               go on with the newest run that has not ended",
    "  wf agent                      the worker: an agent's spec on stdin, its answer",
    "                                on stdout",
    "  wf runs                       list the runs of this folder",
    "  wf show [LOG]                 one run: status, phases, agents, failures, spend",
    "  wf log [LOG] [--json]         its raw records, one a line",
    "  wf version",
    "  wf help [COMMAND]             a command's options and exit codes",
    "  wf help script                the script API",
    "  wf help models                models, keys, prices, models written in Lua",
    "  wf help sandbox               what keeps commands in, here",
    "",
    "First steps, offline: a script, and a model written in Lua.",
    "",
    "  hello.lua   meta = { name = \"hello\", description = \"Say it\" }",
    "              return agent(\"Say hello to \" .. (args.who or \"the world\"))",
    "  model.lua   return function(request) return { text = \"hello\" } end",
    "",
    "  wf run hello.lua --model rules:model.lua --yes -- who=you",
    "",
    "With a real model: ANTHROPIC_API_KEY=... wf run hello.lua --yes, or --model",
    "claude-haiku-5-5 for another one.",
    NULL};

static const char *const help_run[] = {
    "wf run SCRIPT [options] [-- key=value ...]",
    "",
    "Runs a Lua script (`-` reads it from standard input). Its result goes to stdout,",
    "text as it is and tables as JSON, and into the log; everything else goes to",
    "stderr. Only a terminal gets the result with its control characters replaced; a",
    "pipe and -o FILE get its bytes. `wf help script` is what scripts can do, and",
    "`wf help models` has the models, their keys and prices, and how to write one.",
    "",
    "Questions",
    "  A script that you did not run before is shown and asked about first, unless",
    "  --yes; so is a large run of a known one (more than 100 agents in a dry run),",
    "  and a log that --log names and that you did not make on this machine. What you",
    "  agreed to is kept in $XDG_STATE_HOME/wf/agreed or ~/.local/state/wf/agreed,",
    "  outside of the workspace; where neither can be, all is new each time.",
    "  Without a terminal nobody is asked: these three are refused, unless --yes, and",
    "  another run of a known script begins at once. Where nobody is asked, for --yes",
    "  or without a terminal, a run of a model of known price has a budget of 10 USD,",
    "  unless another one is given. CI set (but for false and 0) and TERM=dumb count",
    "  as no terminal, for a script's ask() as well.",
    "",
    "Args",
    "  After -- stand the script's args as key=value. true, false and null are",
    "  themselves, and so is a number that reads back as the same text; all else is a",
    "  string: 1.10, 1e10, 007. Together with --args they go into its object.",
    "",
    "What it says while it goes",
    "  The first line has the script's name, the model, the lanes and the log. On a",
    "  terminal the last line tells how far the run is: agents done, working and",
    "  waiting, the one that has worked longest, and what was spent. Elsewhere such a",
    "  line comes after 10 seconds, later 30, in which there was no other. --quiet:",
    "  neither.",
    "  With --json all events go to stdout, one JSON object a line. A reader that",
    "  goes away (head) ends the events and not the run, whose exit code stays its",
    "  own; a full disk is 74.",
    "",
    "At the end there is a census: agents done, failed (whether or not the script",
    "went on without them), cached, dropped, cancelled, not run; and branches that an",
    "error of the script ended.",
    "",
    "Ctrl-C, SIGTERM and SIGHUP (the terminal was closed) stop the run: the stop is",
    "in the log, wf resume goes on. A second one ends it at once. Time in which wf",
    "itself is stopped (Ctrl-Z) or frozen counts for no deadline and no --stall.",
    NULL};

static const char *const help_check[] = {
    "wf check SCRIPT [options] [-- key=value ...]",
    "",
    "Loads the script and runs it dry: every agent is answered at once by a stub,",
    "with a dull value that fits its schema or a few words. Prints phases, agents,",
    "tokens and what they would cost. Nothing is sent, nothing is kept.",
    "",
    "An error that the script raises, in a branch too, is printed with its line, and",
    "the exit code is 4.",
    NULL};

static const char *const help_resume[] = {
    "wf resume [LOG] [options]",
    "",
    "Goes on with a run: what had finished is answered from the log and never asked",
    "of a model again. Without LOG it takes the newest run of this folder that was",
    "killed or stopped (with --retry-failed, or in which agents failed). If all runs",
    "have ended it says so, and prints the last one's result again, with its exit",
    "code. Script, args and settings come from the log; options given here override",
    "settings.",
    "",
    "A log that you did not make on this machine, one that came with a repository",
    "say, brings script, --allow and --model along: these are shown and asked about",
    "first; without a terminal it is refused, unless --yes.",
    "",
    "To go on with an edited script: wf run SCRIPT --log LOG.",
    NULL};

static const char *const help_agent[] = {
    "wf agent [options] <SPEC >ANSWER",
    "",
    "Runs one agent, without a script and without a log: its spec is JSON on stdin,",
    "its answer one line of JSON on stdout, and nothing else goes there. So agents of",
    "a run can work elsewhere:",
    "",
    "  wf run SCRIPT --model 'exec:ssh host wf agent --root /srv/tree'",
    "  also: docker run -i IMAGE wf agent, srun wf agent",
    "",
    "and any other program that reads the one and prints the other can stand in its",
    "place.",
    "",
    "The spec; all but prompt may be missing, and members not named here are passed",
    "over:",
    "  {\"version\": 1,",
    "   \"prompt\": \"...\", \"system\": \"...\",",
    "   \"schema\": {...}           a JSON Schema: `result` is to fit it; without it",
    "                             the answer is a text",
    "   \"tools\": [\"read\", ...]    what the agent may use; wf agent gives those of",
    "                             them that its --allow gives",
    "   \"feedback\": [\"...\"]       the same was asked before: what was wrong with the",
    "                             answer",
    "   \"root\": \"/...\"            the workspace, or the agent's cwd in it; where it",
    "                             is elsewhere: wf agent --root DIR",
    "   \"limits\": {\"deadline_ms\": N, \"output_bytes\": N}}",
    "",
    "The answer, one of",
    "  {\"result\": ANY}   {\"text\": \"...\"}",
    "  {\"error\": {\"kind\": \"...\", \"message\": \"...\"}}",
    "with, if known, \"usage\": {\"input_tokens\": N, \"output_tokens\": N, \"usd\": X} and",
    "\"turns\": N, which wf agent always says (usd where it knows). Kinds are those of",
    "`wf help script`: refused, quota, auth and context mean the same to the run that",
    "asked; others fail the agent with the message. A program may print a plain text",
    "instead; with a schema it is read as JSON. What does not fit the schema goes",
    "back as feedback, in a new process, up to four times.",
    "",
    "A program that ends with another exit code than 0, or prints nothing, fails the",
    "agent; the message has the code and the beginning and end of its stderr. Of one",
    "that does well, the log keeps these. Code 75 asks for another try. An answer has",
    "at most 1 MiB. Silence is no stall: the agent's deadline ends the program, with",
    "all that it has started. Up to 64 programs run at a time.",
    "",
    "The program of --model is the user's own: it runs by `sh -c`, outside of any",
    "sandbox, and starts in the workspace, whatever folder the agent has. One that a",
    "script names needs --allow exec, is kept in as exec() is, and starts in the",
    "agent's folder. Neither gets a key, token or password of the environment: it",
    "reads its own where it runs, as in exec:'. ~/.worker-keys; wf agent'.",
    "--budget-usd does not reach into it: give it one of its own.",
    "",
    "Exit codes: 0 there is an answer, or an error of the agent's own; 2 usage, or no",
    "such spec: nothing was run, nothing printed; 5, 6, 7, 75, 78 as of wf run, with",
    "the error on stdout too; 70, 74 as of wf run. SIGTERM ends it at once, with 6.",
    NULL};

static const char *const help_runs[] = {
    "wf runs [options]",
    "",
    "Lists the runs in DIR/.wf/runs, the last touched first: how long ago it began,",
    "status, the script's name, its agents, what it cost, and where its log is.",
    NULL};

static const char *const help_show[] = {
    "wf show [LOG] [options]",
    "",
    "Prints a run, without LOG the last one of this folder: status, phases, agents",
    "with turns and tokens, failures with their causes, spend, result.",
    NULL};

static const char *const help_log[] = {
    "wf log [LOG] [--json] [options]",
    "",
    "Prints the log's records, without LOG those of the last run of this folder, one",
    "a line: offset, type, number of the call, metadata, payload. With --json whole,",
    "as one object a line; without it the payload is cut.",
    NULL};

static const char *const help_version[] = {
    "wf version",
    "",
    "Prints the version.",
    NULL};

static const char *const help_help[] = {
    "wf help [COMMAND|script|models|sandbox]",
    "",
    "Explains a command, what scripts can do, models (names, keys, the way to them,",
    "prices, and how to write one in Lua), or what keeps commands in.",
    NULL};

static const char *const help_exits[] = {
    "",
    "Exit codes: 0 completed, every agent well; 2 usage, nothing was run; 3",
    "completed, but agents failed, or script errors ended branches; 4 the script",
    "failed; 5 budget spent; 6 cancelled; 7 deadline; 70 internal error; 74 log or",
    "result could not be written or read; 75 paused (the provider's limit, or out of",
    "script memory: wf resume LOG --memory SIZE), resume later; 78 key, permission or",
    "model name refused.",
    NULL};

static const char *const help_models[] = {
    "A model is named PROVIDER:MODEL, with --model for the run, or in a script for",
    "one agent.",
    "",
    "  anthropic:MODEL    Anthropic's Messages API, or any server that speaks it; a",
    "                     bare name means the same",
    "  rules:FILE.lua     a model written in Lua, offline; see below",
    "  exec:COMMAND       any program as an agent: the spec on its stdin, the answer",
    "                     on its stdout; see `wf help agent`",
    "",
    "Without --model it is anthropic:claude-sonnet-5-5, if there is a key.",
    "",
    "The environment",
    "  ANTHROPIC_API_KEY          the key; or",
    "  ANTHROPIC_AUTH_TOKEN       a token, which always goes into `authorization:",
    "                             Bearer`; with both the key counts",
    "  ANTHROPIC_BASE_URL         the server (https://api.anthropic.com); http:// is",
    "                             for this machine alone, unless",
    "  WF_ALLOW_HTTP=1            says that the way there is safe: key and texts go",
    "                             over it unencrypted",
    "  WF_ANTHROPIC_VERSION       of the API: 2026-10-21 (what it is without), or",
    "                             2023-06-01",
    "  WF_ANTHROPIC_KEY_HEADER    x-api-key or authorization; without it, x-api-key",
    "                             under 2023-06-01",
    "  ANTHROPIC_BETAS            comma-separated names for the header anthropic-beta",
    "  ANTHROPIC_WORKSPACE_ID     for the header anthropic-workspace-id",
    "  ANTHROPIC_CUSTOM_HEADERS   more headers, one a line, `Name: value`; the values",
    "                             are secrets",
    "  HTTPS_PROXY, NO_PROXY      http://[USER:PASSWORD@]HOST[:PORT], and the hosts",
    "                             that it is not for; in small letters too",
    "  SSL_CERT_FILE              root certificates in PEM, in place of the system's;",
    "                             --ca FILE goes before it",
    "",
    "Certificates are always checked. wf takes what is a secret by its name (*_KEY,",
    "*TOKEN, *SECRET, *PASSWORD, *_PASS, *_PWD, *PASSPHRASE, *CREDENTIALS, *COOKIE,",
    "*_AUTH, *_PAT, *_JWT, *_HEADERS, AWS_*, GOOGLE_* and the like) or its value (an",
    "address with a login, `password=`, sk-...) out of its environment when it",
    "starts: it reaches no script, tool, log or message.",
    "",
    "Prices are list prices of the API in USD, and come with wf. Others, or those of",
    "other models, stand in the file that --prices names, or in",
    "~/.config/wf/prices.jsonl ($XDG_CONFIG_HOME/wf/prices.jsonl), an object a line,",
    "USD per million tokens; broken here for want of room:",
    "",
    "  {\"model\":\"my-model\",\"input\":2,\"output\":10,",
    "   \"write_5m\":2.5,\"write_1h\":4,\"read\":0.2}",
    "  {\"model\":\"my-model\",\"above\":100000,\"input\":4,\"output\":20,",
    "   \"write_5m\":5,\"write_1h\":8,\"read\":0.4}",
    "",
    "`above`: for requests with more tokens than that. Lines that begin with # are",
    "comments. Where a price is not known, USD is unknown, and --budget-usd is",
    "refused: --budget-tokens goes for every model. With --yes and no budget a run",
    "gets 10 USD, if the model's price is known; so does one without a terminal.",
    "",
    "Models written in Lua: rules:FILE.lua, a file that returns function(request).",
    "It gets the request as the Messages API shapes it (model, system, messages,",
    "tools) and answers one of",
    "  { text = \"...\" }",
    "  { tool = { name = \"read\", input = { path = \"a.c\" } } }   or tools = { ... }",
    "  { error = { status = 529, message = \"...\", retry_after = 2 } }",
    "each with optional delay (seconds) and usage. It must be a pure function of the",
    "request. print(...) goes to stderr, print(json.encode(request)) say.",
    "",
    "An agent with a schema answers by a call of the tool `result`, whose input is",
    "the value: { tool = { name = \"result\", input = { ... } } }. verify() asks each",
    "agent for { refuted = true or false, reason = \"...\" } in that way, and vote()",
    "for { answer = \"yes\" or \"no\", reason = \"...\" }. This model reads the file that",
    "the prompt names, then answers with its size, or refutes nothing:",
    "",
    "  return function(request)",
    "    local last = request.messages[#request.messages].content[1]",
    "    if last.type == \"text\" and last.text:find(\"Try to refute\", 1, true) then",
    "      return { tool = { name = \"result\",",
    "                        input = { refuted = false, reason = \"seen\" } } }",
    "    elseif last.type == \"text\" then",
    "      local path = last.text:match(\"%S+%.%a+\")",
    "      return { tool = { name = \"read\", input = { path = path } } }",
    "    end -- else it is what the tool said",
    "    local answer = { bytes = #json.encode(last.content) }",
    "    for _, tool in ipairs(request.tools or {}) do",
    "      if tool.name == \"result\" then",
    "        return { tool = { name = \"result\", input = answer } }",
    "      end",
    "    end",
    "    return { text = json.encode(answer) }",
    "  end",
    NULL};

static const char *const help_sandbox[] = {
    "What keeps commands in (bash of agents, exec() of scripts), as far as the system",
    "has it. `wf run` says at its start what holds, `wf show LOG` says it later.",
    "",
    "  Writing    to the workspace, but .git and .wf at its top, and to TMPDIR, which",
    "             is also /tmp and /var/tmp. All else is read-only. (Landlock;",
    "             namespaces; without either, wherever you may.)",
    "  HOME       is yours, so toolchains work as in your shell: rustup and cargo,",
    "             go, nvm and npm, pip and pyenv, maven, gradle, ccache, git's",
    "             identity. What is written there goes to a layer of the run's: your",
    "             files stay as they are, the run's next command finds what this one",
    "             has cached, and at the end of the run it is removed. A workspace",
    "             in HOME is itself there; where HOME is the workspace, or lies in",
    "             it, it is the real one.",
    "             Where the system has no overlay for us HOME is read-only, and",
    "             CARGO_HOME, GOPATH, npm_config_cache, PYTHONUSERBASE,",
    "             XDG_CACHE_HOME, CCACHE_DIR, GRADLE_USER_HOME and MAVEN_OPTS lead to",
    "             a folder of the run's, with links to what you have. Where nothing",
    "             would keep commands from writing to HOME, theirs is empty.",
    "  Secrets    .ssh, .aws, .netrc, .npmrc and the like in HOME are hidden, and",
    "             sockets of daemons that run commands for others; without namespaces",
    "             they are not.",
    "  TMPDIR     is shared by the commands of one agent, and goes with it; exec()",
    "             has one for the run. /tmp is the same: sockets and files there are",
    "             not seen, but the workspace and folders of PATH are.",
    "  Network    is open, unless --net off.",
    "  Root       has no capability but CAP_DAC_OVERRIDE, and that where Landlock",
    "             confines all writing: it can read and write what others own in the",
    "             workspace, as the tools can, but cannot change owners or modes",
    "             there. So TAR_OPTIONS is --no-same-owner for root, unless it is",
    "             set: `tar x` would fail.",
    "",
    "docs/SUPPORT.md has kernels and containers, and what falls away where.",
    NULL};

static const char *const help_script[] = {
    "Scripts are Lua 5.4. A script sets meta, calls agents, and returns its result: a",
    "text, or a table, which becomes JSON. nil and an error returned make the run",
    "fail, as an error raised does. The file may begin with a line #!...",
    "",
    "  -- name and description are needed; phases, and args, a JSON Schema, are not",
    "  meta = { name = \"audit\", description = \"Find defects, then refute them\",",
    "           phases = { {title=\"Find\"}, {title=\"Verify\"} } }",
    "",
    "  local found = pipeline(files(\"src/**/*.c\"),",
    "    function(path)",
    "      return agent(\"Audit \" .. path,",
    "                   { label = path, phase = \"Find\", schema = FINDINGS })",
    "    end,",
    "    function(r, path)",
    "      return { path = path, kept = verify(r.findings, { phase = \"Verify\" }) }",
    "    end)",
    "  return found",
    "",
    "Agents",
    "  agent(prompt, opts)    its text, or with opts.schema a table that fits it; or",
    "                         nil and an error. opts:",
    "    label, phase         for people",
    "    schema               a JSON Schema as a table; json.array{...} makes a list",
    "                         that may be empty",
    "    model, effort        instead of the run's",
    "    system               a system text instead of wf's own, which says how to",
    "                         work alone and how to answer",
    "    tools                a list of names, of read, grep, glob, write, edit,",
    "                         bash; {} for none",
    "    max_turns            turns of the agent (50)",
    "    max_tokens           tokens of one reply (16000)",
    "    agent_type           NAME: system text, tools and model from",
    "                         .wf/agents/NAME.md or .claude/agents/NAME.md",
    "                         (see below)",
    "    cwd                  a folder of the workspace: all that its tools see",
    "    budget               what this agent alone may use: { tokens = 50000 } or",
    "                         { usd = 0.5 }",
    "    deadline, stall      seconds, or \"90s\", \"5m\", \"2h\" (30m, 180s); waits for a",
    "                         rate limit do not count",
    "    retries              of a request that failed (5); 0 for none. A rate limit",
    "                         takes none",
    "    cache = false        never answered from the log",
    "    check                function(result): true, or false and a reason; then it",
    "                         is asked again, twice at most, and has failed, in the",
    "                         run's counts too",
    "",
    "Fan-outs: every branch is a function, all run at once, as far as --lanes allow",
    "  parallel(fns)          results in the order of fns, and failures. A branch",
    "                         that raises, or returns nil and an error, failed; one",
    "                         that returns a bare nil dropped out on purpose; both",
    "                         leave false",
    "  pipeline(items, stage...)",
    "                         the same for items that go through stages, each as soon",
    "                         as it can; a stage gets (result of the stage before,",
    "                         item, index)",
    "  race(fns)              the first result that neither failed nor dropped, and",
    "                         its index; the others are cancelled where they are,",
    "                         and <close> variables there do not run. None: nil",
    "                         and failures",
    "  failures               a list of {index=, error=}; failures.at[i],",
    "                         failures.dropped[i] tell of branch i; prints as",
    "                         3 of 8 failed: budget: ...; has the first one's kind",
    "  An error that a branch raises and the script does not catch with pcall is a",
    "  script error: it is printed with its file and line, counted (\"2 branches",
    "  failed: script errors\"), and sets exit code 3. An agent's error that is raised",
    "  on, as in assert(agent(...)), is counted as that agent's failure alone.",
    "",
    "Patterns",
    "  verify(claim, opts)    \"yes\", \"no\" or \"not run\", and details: an agent for",
    "                         each of opts.lenses (\"correctness\", \"reachability\")",
    "                         tries to refute the claim; most of those heard decide",
    "  verify(claims, opts)   the claims that stood, and a list of {claim=, verdict=,",
    "                         reasons=} of the rest",
    "  vote(question, opts)   \"yes\", \"no\" or \"not run\", and details: opts.voters (3)",
    "                         agents answer",
    "                         opts of both: context label phase model effort tools",
    "",
    "The workspace and the run",
    "  files(glob, ...)       paths, sorted: \"src/**/*.{c,h}\"; behind them an error",
    "                         if some could not be read. If the list cannot be had,",
    "                         an error is raised; to go on without it:",
    "                         local ok, paths = pcall(files, glob)",
    "                         What git ignores is left out. A name that is not UTF-8",
    "                         has \\xHH for its odd bytes",
    "  read(path, from, to)   a file's text, or its lines from..to; or nil and an",
    "                         error",
    "  exec(cmd, opts)        runs a command: { code, out, err, truncated }; or nil",
    "                         and an error. cmd: a list, { \"make\", \"test\" }, for no",
    "                         shell; or a text for `sh -c`. opts: timeout (seconds,",
    "                         or \"5m\"; 10m), cwd, input, env = { NAME = \"value\" }.",
    "                         One that was killed has signal as well, one stopped for",
    "                         its timeout timed_out = true. Needs --allow read,exec.",
    "                         A command that was under way when the run was killed is",
    "                         not run again: nil and an error of kind \"interrupted\"",
    "                         (but with --retry-failed=interrupted). Of each stream",
    "                         1 MiB is kept, head and tail, all of it in a file that",
    "                         is named between them; notes on limits and what it left",
    "                         running follow err. $TMPDIR lasts as long as the run,",
    "                         editors and prompts fail, --net off is no network.",
    "                         Bytes that are no UTF-8 become U+FFFD. Guarded, from",
    "                         tools as well: .git and .wf, and a folder that is a",
    "                         repository by its shape (HEAD, objects, refs).",
    "                         `git config --global safe.bareRepository explicit`",
    "                         shuts out those further down",
    "  ask(question, opts)    a person's answer, a text; or nil and an error. opts:",
    "                         choices = { \"yes\", \"no\" }, default, label. It comes",
    "                         from --answers FILE, else from the terminal, else it is",
    "                         the default; it never hangs (`wf help run`: Questions).",
    "                         FILE: a JSON object of questions (or labels) with",
    "                         answers, or a list in order",
    "  workflow(name, args)   runs another script inline: its result, or what it",
    "                         raises. name: a path that ends in .lua, or a saved one:",
    "                         .wf/workflows/NAME.lua, then",
    "                         ~/.config/wf/workflows/NAME.lua. It has its own",
    "                         globals, meta and args; budget, lanes, log and limits",
    "                         are the run's. One level deep",
    "  phase(title)           groups the agents that follow in this branch",
    "  log(fmt, ...)          a line for people, on stderr; print(...) likewise",
    "  budget.total(u), .spent(u), .remaining(u)",
    "                         u: \"usd\", \"tokens\", \"seconds\"",
    "  now()                  the run's clock: the same again on a replay",
    "  random(), random(n), random(m, n)",
    "                         likewise",
    "  args                   what --args and -- key=value gave, parsed",
    "  json.encode, json.decode, json.array, null",
    "                         lists and objects stay apart; null is JSON's",
    "  string table math utf8, assert error pcall select type tostring tonumber pairs",
    "  ipairs ... as in Lua",
    "",
    "Agent types are Markdown, with front matter between lines of --- : tools (a",
    "list, by our names or Claude Code's: Read, Grep, Glob, Write, Edit, MultiEdit,",
    "Bash; others, and those with conditions, are not given; [] for none),",
    "disallowedTools (those are not given either), model (inherit; sonnet, opus and",
    "haiku are the newest of their family, if the run's model is one of Anthropic's,",
    "else the run's own), and others, which are passed over. The text below is the",
    "system text. Agent types and workflows are read before the first agent begins,",
    "once in a run, resumed or not: those that the script names in so many words,",
    "agent_type = \"NAME\", workflow(\"NAME\"), and where it computes a name all of",
    ".wf/agents, .claude/agents, .wf/workflows (the first 256 of each).",
    "",
    "Errors of agents are tables: kind, message, agent, attempts. Kinds: schema",
    "deadline stall refused provider quota auth context budget agents tool turns",
    "cancelled skipped memory interrupted.",
    "",
    "Stops. When the run stops (budget, number of agents, deadline, Ctrl-C, quota,",
    "key), calls raise nothing: they return nil and an error with stop = true (of",
    "agents, deadline, ... kind); fan-outs begin nothing more and return what",
    "finished; read and files are still answered; commands are refused. Return what",
    "there is: the result is printed, marked as partial. wf resume forgets what the",
    "script did after the stop, asks for what was refused, and ends as if nothing had",
    "stopped.",
    "",
    "The same run each time: results arrive in the log's order, live and in a replay;",
    "pairs and json.encode go in the order of keys; table.sort is stable. There is no",
    "io, os, require, debug, coroutine, collectgarbage. An undefined global is an",
    "error that names the near one. What pcall does not catch: 30 s of work without",
    "waiting for anything fail the script; a script that needs more memory than it",
    "has pauses, nothing is lost: wf resume LOG --memory SIZE goes on. A text of more",
    "than 12 MiB is an error. Lua takes 200 locals in a function and some 200 levels",
    "or joined pieces in an expression: write more as a table.",
    "",
    "Not in this version: apply exists worktree write; judge tournament critic",
    "until_dry repair_loop sweep; stopped; helpers such as map, filter, keys, join,",
    "split, trim; and of agent's options isolation.",
    NULL};
/* clang-format on */

static const char *const *const help_texts[CLI_COMMANDS] = {
    [CLI_RUN] = help_run,     [CLI_CHECK] = help_check,     [CLI_RESUME] = help_resume,
    [CLI_AGENT] = help_agent, [CLI_RUNS] = help_runs,       [CLI_SHOW] = help_show,
    [CLI_LOG] = help_log,     [CLI_VERSION] = help_version, [CLI_HELP] = help_help,
};

/* What stands between semicolons, one a line. */
static void help_put_clauses(const char *title, const char *text) {
    printf("\n%s\n", title);
    for (size_t n; *text; text += n + strspn(text + n, "; ")) {
        n = strcspn(text, ";");
        printf("  %.*s\n", (int)n, text);
    }
}

/* What there is on this machine, tried out with an empty workspace. */
static void help_sandbox_here(void) {
    char dir[] = "/tmp/wf-help-XXXXXX", settled[sizeof dir + 4];
    const char *text = "";
    if (!mkdtemp(dir)) {
        printf("\nHere it cannot be tried, for /tmp cannot be written to: %s\n", strerror(errno));
        return;
    }
    const wf_posix_config config = {.root = dir, .allow = WF_ALLOW_BASH | WF_ALLOW_EXEC};
    size_t size = wf_posix_size(&config);
    void *memory = cli_take(size);
    wf_posix *posix = NULL;
    if (wf_posix_open(&posix, memory, size, &config, NULL) == WF_OK) {
        wf_posix_holds(posix, &text);
        help_put_clauses("Here", text);
        wf_posix_close(posix);
    } else {
        printf("\nHere it could not be tried: %s\n", posix ? wf_posix_error(posix) : "out of memory");
    }
    free(memory);
    snprintf(settled, sizeof settled, "%s/.wf", dir); /* as every run makes it */
    rmdir(settled);
    rmdir(dir);
}

cli_exit cli_help(const char *topic) {
    if (!topic) {
        help_put(help_general);
        return CLI_OK;
    }
    if (strcmp(topic, "sandbox") == 0) {
        help_put(help_sandbox);
        help_sandbox_here();
        return CLI_OK;
    }
    if (strcmp(topic, "script") == 0 || strcmp(topic, "models") == 0) {
        help_put(topic[0] == 's' ? help_script : help_models);
        return CLI_OK;
    }
    cli_command command = cli_command_find(topic);
    if (command == CLI_COMMANDS) return cli_command_unknown(topic);
    help_put(help_texts[command]);
    if (command < CLI_VERSION) {
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
