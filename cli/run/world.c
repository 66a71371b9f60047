/* world: see world.h. */
#include "world.h"
#include "../base/logs.h"
#include "model.h"
#include "progress.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define WORLD_LARGEST(pool)  ((pool) / 4 * 3) /* of one user of the pool: the others are left a quarter */
#define WORLD_MIB            ((size_t)1 << 20)
#define WORLD_ROOMY          (64 * WORLD_MIB) /* a default of less is told */
#define WORLD_POOL_LEAST     (2 * WORLD_MIB)
#define WORLD_DRY_MS         60000u
#define WORLD_COMMANDS_LEAST 8u
#define WORLD_READER         ((size_t)1 << 20)
#define WORLD_CALL_LEAST     128u /* no record of a call is shorter */
#define WORLD_CALLS_MOST     (1u << 24)

/* ---- the block ---- */

/* The next n bytes of the block, 64-aligned; NULL: there are not so many. */
static void *world_carve(cli_world *w, size_t n) {
    size_t at = (w->used + 63) & ~(size_t)63;
    if (at > w->size || n > w->size - at) return NULL;
    w->used = at + n;
    return (char *)w->block + at;
}

/* size 0: what suits the machine. */
static bool world_allocate(cli_world *w, size_t size) {
    w->size = size;
    w->block = wf_posix_reserve(&w->size);
    if (!w->block && size > 0)
        cli_fail(CLI_INTERNAL, "the system does not give %zu bytes (see ulimit -v); use a smaller --memory", size);
    if (!w->block && size == 0)
        cli_fail(CLI_INTERNAL, "the system gives no memory (see ulimit -v); allow this process more");
    snprintf(w->memory, sizeof w->memory, "%zuM", w->size / WORLD_MIB);
    return w->block != NULL;
}

static void world_tell_memory(const cli_world *w) {
    const cli_options *o = w->options;
    if (o->number[OPT_MEMORY] > 0 || w->size >= WORLD_ROOMY || o->number[OPT_QUIET] || o->number[OPT_JSON]) return;
    fprintf(stderr, "memory: %s, for this machine, container or ulimit -v allows little; --memory SIZE overrides it\n",
            w->memory);
}

/* ---- what is wrong with a log ---- */

static cli_exit world_fail_io(const char *log, const char *why) {
    if (!cli_logs_exists(log)) return cli_fail(CLI_IO, "%s; nothing was run", why);
    return cli_fail(CLI_IO, "%s; fix that, then: wf resume %s", why, cli_word(cli_str(log)));
}

/* text: the port's sentence with the system's reason, or the wf's. */
static cli_exit world_fail(const char *log, const wf_error *e, const char *text) {
    switch (e->code) {
    case WF_E_IO:
        return world_fail_io(log, text);
    case WF_END:
        return cli_fail(CLI_IO, "%s: the file is empty, so it holds no run; start one: wf run SCRIPT", log);
    case WF_E_FOREIGN:
        return cli_fail(CLI_IO, "%s: not a workflow log; name a file that wf run has written", log);
    case WF_E_CORRUPT:
        return cli_fail(CLI_IO,
                        "%s: damaged at byte %" PRIu64
                        " (%s); it was left as it is: restore a copy, or start anew with "
                        "another --log",
                        log, e->offset, e->text);
    case WF_E_FUTURE:
        return cli_fail(CLI_IO, "%s: %s, at byte %" PRIu64 "; use a newer wf", log, e->text, e->offset);
    case WF_E_BUSY:
        return cli_fail(CLI_IO, "%s", text);
    case WF_E_NOT_FOUND:
        return cli_fail(CLI_USAGE, "%s; wf runs lists the logs of a folder", text);
    case WF_E_LIMIT:
    case WF_E_CONFIG:
        return cli_fail(CLI_USAGE, "%s: %s", log, text);
    default:
        return cli_fail(CLI_INTERNAL, "%s: %s", log, e->text);
    }
}

cli_exit cli_world_fail(const cli_world *w, wf_status status) {
    wf_error e = {status, wf_status_text(status), WF_NO_OFFSET};
    if (w->quiet) return CLI_IO;
    if (w->run) wf_last_error(w->run, &e);
    if (e.code != status) e = (wf_error){status, wf_status_text(status), WF_NO_OFFSET};
    const char *why = w->posix && (!w->run || status == WF_E_IO) ? wf_posix_error(w->posix) : "";
    return world_fail(w->log ? w->log : "the temporary log", &e, why[0] ? why : e.text);
}

static cli_exit world_give_up(cli_world *w, cli_exit code) {
    cli_world_close(w);
    return code;
}

/* ---- opening for a run ---- */

/* Each connection is a descriptor, three while addresses race; shells usually allow 1,024 but let programs ask for more. */
static void world_raise_files(uint32_t conns) {
    struct rlimit limit;
    rlim_t wanted = (rlim_t)conns * 3 + 256;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* if it cannot be: a connection that finds none will say so */
}

/* A script's commands mostly wait, as lanes do. Beside them one read and one question find room. */
static uint32_t world_effects(const cli_world *w) {
    uint64_t commands = w->options->number[OPT_LANES];
    if (commands < WORLD_COMMANDS_LEAST) commands = WORLD_COMMANDS_LEAST;
    return commands + 2 < CLI_INTERCEPTED ? (uint32_t)commands + 2 : CLI_INTERCEPTED;
}

static cli_exit world_fail_offline(const cli_world *w) {
    return cli_fail(CLI_USAGE, "--net off: %s; run it in a container without a network, or with --net on",
                    wf_posix_error(w->posix));
}

/* working: agents are to be asked, so tools and ways to models are wanted. */
static cli_exit world_open_posix(cli_world *w, wf_posix_mode mode, const char *root, bool working) {
    wf_posix_config config = {.root = root, .log = w->log, .mode = mode, .no_sync = true};
    if (working) {
        config.no_sync = w->options->number[OPT_SYNC] == WF_SYNC_OFF;
        config.workers = (uint32_t)w->options->number[OPT_LANES];
        if (cli_model_is_exec(w->options)) config.worker = cli_model_name(w->options);
        config.allow = (uint32_t)w->options->number[OPT_ALLOW];
        config.offline = w->options->number[OPT_NET] == 1;
        config.tickets =
            2 * (uint32_t)w->options->number[OPT_LANES] + world_effects(w); /* lanes, extra_tools, effects */
        if (cli_model_key_name()) config.conns = (uint32_t)w->options->number[OPT_LANES];
    }
    world_raise_files(config.conns);
    size_t size = wf_posix_size(&config);
    void *memory = world_carve(w, size);
    if (size == 0 || !memory)
        return cli_fail(CLI_USAGE, "--memory is too small for so many --lanes; give more, or fewer");
    wf_status status = wf_posix_open(&w->posix, memory, size, &config, NULL);
    if (status == WF_OK) {
        wf_posix_platform(w->posix, &w->platform);
        return CLI_OK;
    }
    cli_exit code = status == WF_E_CONFIG && config.offline ? world_fail_offline(w) : cli_world_fail(w, status);
    w->posix = NULL; /* it closed itself */
    return code;
}

static void world_print(void *ctx, wf_str line) {
    const cli_world *w = ctx;
    if (!w->options->number[OPT_QUIET]) cli_progress_print(line);
}

static cli_exit world_open_rules(cli_world *w) {
    const cli_options *o = w->options;
    wf_str why = {"", 0};
    wf_rules_config config = {.now_ms = w->platform.now_ms,
                              .ctx = w->platform.ctx,
                              .lanes = (uint32_t)o->number[OPT_LANES],
                              .heap = wf_heap_share(w->pool, WORLD_LARGEST(w->pool_size)),
                              .read = wf_posix_read,
                              .read_ctx = w->posix,
                              .print = world_print,
                              .print_ctx = w};
    wf_status status = config.heap ? wf_rules_open(&w->rules, &config) : WF_E_MEMORY;
    if (status != WF_OK) {
        w->rules = NULL;
        return cli_fail(CLI_USAGE, "--memory %s: too small for a model of rules; give more", w->memory);
    }
    const char *file = cli_model_name(o);
    if (wf_rules_load(w->rules, cli_str(file), &why) != WF_OK)
        return cli_fail(CLI_USAGE, "--model rules:%s: %.*s", file, (int)why.len, why.ptr);
    w->providers[w->provider_count++] =
        (wf_provider){.name = WF_STR("rules"), .ops = wf_rules_ops(), .ctx = w->rules, .local = true};
    return CLI_OK;
}

/* It has no claim to more than half of the block. later: when an agent asks for it. */
static cli_exit world_open_network(cli_world *w, bool later) {
    const cli_options *o = w->options;
    wf_provider *provider = &w->providers[w->provider_count++];
    cli_network_init(&w->network, o, w->posix, &w->platform);
    size_t least, size = cli_network_size(&w->network, &least), most = (later ? w->size - w->used : w->size) / 2;
    if (size > most) size = most;
    void *memory = size >= least ? world_carve(w, size) : NULL;
    if (later) {
        cli_network_open_later(&w->network, memory, size, provider);
        return CLI_OK;
    }
    if (memory) return cli_network_open(&w->network, memory, size, provider);
    return cli_fail(CLI_USAGE, "--memory %s: too small for so many --lanes over the network; give more, or fewer",
                    w->memory);
}

/* Any agent may name one: whether it is allowed is the port's to say, in words. */
static void world_open_workers(cli_world *w) {
    wf_provider *provider = &w->providers[w->provider_count++];
    *provider = (wf_provider){.name = WF_STR("exec"), .silent = true};
    provider->ops = wf_posix_workers(w->posix, &provider->ctx);
}

/* The ways to the models that can be served: the default one's, and those that agents may name besides. */
static cli_exit world_open_ways(cli_world *w) {
    world_open_workers(w);
    if (!cli_model_is_rules(w->options) && !cli_model_is_exec(w->options)) return world_open_network(w, false);
    return cli_model_key_name() ? world_open_network(w, true) : CLI_OK;
}

/* What an agent without a system text of its own is told. It goes into every request, so each word costs; it names no tool, for an
 * agent may have any; and its bytes stay the same, so that a provider's cache keeps it. */
static const char world_system[] =
    "You are one sub-agent of a larger workflow, working alone. Nobody reads along and nobody can answer a question: "
    "decide for yourself, and go on until the task is done or cannot be done.\n"
    "\n"
    "Your last message is your answer, and a program reads it: the answer itself, in the form that the task asks for, "
    "with no preamble and no account of how you got there. If you have a tool named result, its input is the answer "
    "instead.\n"
    "\n"
    "Say plainly, in the answer, what could not be done and what you did not check. Never pass a guess off as a "
    "finding.\n"
    "\n"
    "Where you have tools:\n"
    "- Paths are relative to the root of the workspace; nothing outside of it can be reached.\n"
    "- Look instead of guessing what a file holds or what it is called. Read a file before you change it, and change "
    "only what the task asks for.\n"
    "- Calls that only read and do not depend on one another go into one turn: they run at the same time.\n"
    "- Commands have no terminal and no input; what they leave in HOME is seen by this run alone, and goes with it; "
    "what they leave running is ended.\n"
    "- When a call fails, its error says why: mend the call or take another way, and do not repeat it as it was.";

static uint32_t world_ms(uint64_t ms) {
    return ms < WF_NONE ? (uint32_t)ms : WF_NONE;
}

static void world_config(const cli_world *w, wf_config *c) {
    static const wf_str efforts[] = {{"low", 3}, {"medium", 6}, {"high", 4}, {"xhigh", 5}, {"max", 3}};
    const cli_options *o = w->options;
    c->model = cli_str(o->text[OPT_MODEL]);
    if (o->text[OPT_EFFORT]) c->effort = efforts[o->number[OPT_EFFORT]];
    c->lanes = (uint32_t)o->number[OPT_LANES];
    c->effects = world_effects(w);
    c->agent_ms = world_ms(o->number[OPT_AGENT_DEADLINE]);
    c->stall_ms = world_ms(o->number[OPT_STALL]);
    c->run_ms = o->number[OPT_DEADLINE] == WF_NONE ? 0 : o->number[OPT_DEADLINE];
    c->budget_tokens = o->number[OPT_BUDGET_TOKENS];
    c->budget_nano_usd = o->number[OPT_BUDGET_USD];
    c->sync = (wf_sync)o->number[OPT_SYNC];
    c->retry_kinds = (uint32_t)o->number[OPT_RETRY_FAILED];
    c->prices = o->prices;
}

/* Nothing is sent and nothing kept: one lane, and no more time than somebody would wait for a preview. */
static void world_config_dry(const cli_world *w, wf_config *c) {
    c->model = cli_str(w->options->text[OPT_MODEL]);
    c->lanes = 1;
    c->run_ms = WORLD_DRY_MS;
    c->sync = WF_SYNC_OFF;
}

static cli_exit world_too_small(const cli_world *w, size_t more) {
    cli_amount amount;
    return cli_fail(CLI_USAGE, "--memory %s: too small for these --lanes; give %s more", w->memory,
                    cli_bytes(&amount, more));
}

/* What is left of the block. The tables of the wf lie elsewhere: few of their rows are ever used. */
static cli_exit world_open_pool(cli_world *w) {
    size_t left = w->size - w->used;
    if (left < WORLD_POOL_LEAST) return world_too_small(w, WORLD_POOL_LEAST - left);
    w->pool_size = left - 64;
    w->pool = wf_heap_open(world_carve(w, w->pool_size), w->pool_size);
    w->script = w->pool ? wf_heap_share(w->pool, WORLD_LARGEST(w->pool_size)) : NULL;
    return w->script ? CLI_OK : world_too_small(w, WORLD_POOL_LEAST);
}

static cli_exit world_open_wf(cli_world *w, wf_config *c) {
    wf_error error;
    c->shared = w->pool;
    w->tables_size = wf_memory_needed(c);
    w->tables = wf_posix_reserve(&w->tables_size);
    if (!w->tables) return cli_fail(CLI_INTERNAL, "the system gives no memory for so many --agents; use fewer");
    wf_status status = wf_init(&w->run, w->tables, w->tables_size, c, &error);
    if (status == WF_OK) return CLI_OK;
    w->run = NULL;
    return cli_fail(CLI_INTERNAL, "%s", error.text);
}

/* The stub answers for everybody. */
static void world_open_stub(cli_world *w, const wf_provider *stub) {
    static const char *const names[CLI_PROVIDERS] = {"rules",   "anthropic", "bedrock", "vertex",
                                                     "foundry", "openai",    "exec"};
    for (; w->provider_count < CLI_PROVIDERS; w->provider_count++) {
        w->providers[w->provider_count] = *stub;
        w->providers[w->provider_count].name = cli_str(names[w->provider_count]);
    }
}

/* The wf and what shares the pool with it. */
static cli_exit world_open_run(cli_world *w, bool dry) {
    wf_config config = {.platform = &w->platform,
                        .providers = w->providers,
                        .system = WF_STR(world_system),
                        .max_agents = (uint32_t)w->options->number[OPT_AGENTS],
                        .tools = w->tools};
    config.tool_count = wf_posix_tools((uint32_t)w->options->number[OPT_ALLOW], w->tools);
    if (dry)
        world_config_dry(w, &config);
    else
        world_config(w, &config);
    cli_exit code = world_open_pool(w);
    if (code == CLI_OK && !dry && cli_model_is_rules(w->options)) code = world_open_rules(w);
    config.provider_count = w->provider_count;
    return code == CLI_OK ? world_open_wf(w, &config) : code;
}

cli_exit cli_world_open(cli_world *w, const cli_options *options, wf_posix_mode mode, const char *log,
                        const wf_provider *stub, void (*trace)(void *, const wf_trace *)) {
    memset(w, 0, sizeof *w);
    w->options = options;
    w->log = log;
    if (!world_allocate(w, (size_t)options->number[OPT_MEMORY])) return CLI_INTERNAL;
    if (!stub) world_tell_memory(w);
    cli_exit code = world_open_posix(w, mode, options->text[OPT_ROOT], stub == NULL);
    if (code == CLI_OK) code = cli_intercept_open(&w->effects, &w->platform, options, stub != NULL);
    w->platform.trace = trace;
    if (stub)
        world_open_stub(w, stub);
    else if (code == CLI_OK)
        code = world_open_ways(w);
    if (code == CLI_OK) code = world_open_run(w, stub != NULL);
    return code == CLI_OK ? code : world_give_up(w, code);
}

/* ---- opening for a look ---- */

/* Room for whatever the log can hold: as many calls as records fit in it, and its largest record. */
static cli_exit world_open_reader(cli_world *w, uint64_t log_size) {
    wf_config config = {.platform = &w->platform, .lanes = 1, .effects = 1, .max_agents = 1, .log_buffer = 1u << 20};
    uint64_t calls = log_size / WORLD_CALL_LEAST + 16;
    config.max_calls = calls < WORLD_CALLS_MOST ? (uint32_t)calls : WORLD_CALLS_MOST;
    size_t size =
        wf_memory_needed(&config) + (log_size < SIZE_MAX / 4 ? (size_t)log_size * 2 : SIZE_MAX / 4) + (1u << 20);
    void *memory = malloc(size);
    if (!memory) return cli_fail(CLI_INTERNAL, "%s: the system does not give the %zu bytes to read it", w->log, size);
    w->run_block = memory;
    wf_status status = wf_init(&w->run, memory, size, &config, NULL);
    if (status == WF_OK) status = wf_run_load(w->run);
    return status == WF_OK ? CLI_OK : cli_world_fail(w, status);
}

cli_exit cli_world_read(cli_world *w, const char *log, bool quiet) {
    uint64_t log_size = 0;
    memset(w, 0, sizeof *w);
    w->log = log;
    w->quiet = quiet;
    if (!world_allocate(w, WORLD_READER)) return CLI_INTERNAL;
    cli_exit code = world_open_posix(w, WF_POSIX_READ, NULL, false);
    if (code != CLI_OK) return world_give_up(w, code);
    if (w->platform.log->size(w->platform.log_ctx, &log_size) != WF_OK)
        code = cli_world_fail(w, WF_E_IO);
    else
        code = world_open_reader(w, log_size);
    return code == CLI_OK ? code : world_give_up(w, code);
}

void cli_world_close(cli_world *w) {
    if (w->run) wf_close(w->run);
    if (w->rules) wf_rules_close(w->rules);
    cli_network_close(&w->network);
    if (w->posix) wf_posix_close(w->posix);
    free(w->run_block);
    wf_posix_release(w->tables, w->tables_size);
    wf_posix_release(w->block, w->size);
    memset(w, 0, sizeof *w);
}

bool cli_world_is_busy(const char *log) {
    wf_posix_config config = {.log = log, .mode = WF_POSIX_OPEN, .no_sync = true};
    size_t size = wf_posix_size(&config);
    void *memory = cli_take(size);
    wf_posix *posix;
    wf_status status = wf_posix_open(&posix, memory, size, &config, NULL);
    if (status == WF_OK) wf_posix_close(posix);
    free(memory);
    return status == WF_E_BUSY;
}
