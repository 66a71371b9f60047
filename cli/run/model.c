/* model: see model.h. */
#include "model.h"
#include "../base/terminal.h"
#include "../base/environ.h"
#include "../base/logs.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define MODEL_PRICES_MOST ((size_t)1 << 18)
#define MODEL_SERVED      "anthropic:MODEL, rules:FILE.lua and exec:COMMAND"
#define MODEL_BUDGET      "10" /* USD, with --yes and no other budget */

const char *cli_model_key_name(void) {
    if (cli_env(ENV_API_KEY)) return cli_env_name(ENV_API_KEY);
    return cli_env(ENV_AUTH_TOKEN) ? cli_env_name(ENV_AUTH_TOKEN) : NULL;
}

bool cli_model_is_rules(const cli_options *o) {
    return strncmp(o->text[OPT_MODEL], "rules:", 6) == 0;
}

bool cli_model_is_exec(const cli_options *o) {
    return strncmp(o->text[OPT_MODEL], "exec:", 5) == 0;
}

/* It is reached without a network and without a key. */
static bool model_is_local(const cli_options *o) {
    return cli_model_is_rules(o) || cli_model_is_exec(o);
}

const char *cli_model_name(const cli_options *o) {
    return strchr(o->text[OPT_MODEL], ':') + 1;
}

/* ---- the name ---- */

static cli_exit model_none(void) {
    return cli_fail(CLI_USAGE,
                    "no model: set ANTHROPIC_API_KEY (then it is " CLI_MODEL_DEFAULT
                    "); or ANTHROPIC_BASE_URL to a server that speaks the Messages API, with its ANTHROPIC_AUTH_TOKEN; "
                    "or give --model rules:FILE.lua, a model written in Lua, offline");
}

static bool model_ends_in_lua(const char *name) {
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".lua") == 0;
}

/* A bare name is one of Anthropic's. */
static cli_exit model_prefix(cli_options *o) {
    const char *bare = o->text[OPT_MODEL];
    const size_t prefix = strlen("anthropic:");
    if (model_ends_in_lua(bare))
        return cli_fail(CLI_USAGE, "--model %s: a model written in Lua is named --model rules:%s", bare, bare);
    char *name = cli_take(prefix + strlen(bare) + 1);
    memcpy(name, "anthropic:", prefix);
    strcpy(name + prefix, bare);
    o->text[OPT_MODEL] = name;
    return CLI_OK;
}

static cli_exit model_check_provider(const char *model) {
    static const char *const served[] = {"anthropic", "rules", "exec"};
    static const char *const later[] = {"bedrock", "vertex", "foundry", "openai"};
    wf_str provider = wf_str_of(model, strcspn(model, ":"));
    for (size_t i = 0; i < sizeof served / sizeof *served; i++) {
        if (!cli_same(provider, cli_str(served[i]))) continue;
        if (model[provider.len + 1]) return CLI_OK;
        return cli_fail(CLI_USAGE, "--model %s: a name is missing after the colon; write " MODEL_SERVED, model);
    }
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (cli_same(provider, cli_str(later[i])))
            return cli_fail(CLI_USAGE, "--model %s: %s models come later; this build serves " MODEL_SERVED, model,
                            later[i]);
    return cli_fail(CLI_USAGE, "--model %s: there is no provider %.*s; this build serves " MODEL_SERVED, model,
                    (int)provider.len, provider.ptr);
}

static cli_exit model_settle_name(cli_options *o) {
    if (!strchr(o->text[OPT_MODEL], ':')) {
        cli_exit code = model_prefix(o);
        if (code != CLI_OK) return code;
    }
    if (strlen(o->text[OPT_MODEL]) > WF_MODEL_MAX)
        return cli_fail(CLI_USAGE,
                        "--model: the name is longer than %u bytes; put a long command into a file, as exec:./FILE",
                        WF_MODEL_MAX);
    return model_check_provider(o->text[OPT_MODEL]);
}

static cli_exit model_settle_served(cli_options *o) {
    bool key = cli_model_key_name() != NULL;
    if (!o->text[OPT_MODEL] && key) o->text[OPT_MODEL] = CLI_MODEL_DEFAULT;
    if (!o->text[OPT_MODEL]) return model_none();
    cli_exit code = model_settle_name(o);
    if (code != CLI_OK || model_is_local(o) || key) return code;
    return cli_fail(
        CLI_USAGE,
        "--model %s: there is no key for it: set ANTHROPIC_API_KEY, or ANTHROPIC_AUTH_TOKEN (for a server that "
        "ANTHROPIC_BASE_URL names and that wants none, to any text)",
        o->text[OPT_MODEL]);
}

/* ---- the prices ---- */

static cli_exit model_read_prices(cli_options *o) {
    char standard[CLI_PATH];
    wf_error error;
    const char *path = o->text[OPT_PRICES];
    if (!path && cli_env_config("prices.jsonl", standard, sizeof standard) && cli_logs_exists(standard))
        path = standard;
    if (!path) return CLI_OK;
    if (!cli_read_file(path, MODEL_PRICES_MOST, &o->prices)) return CLI_USAGE;
    if (wf_prices_check(o->prices, &error) == WF_OK) return CLI_OK;
    return cli_fail(CLI_USAGE, "%s:%" PRIu64 ": %s; `wf help models` shows a line of a price list", path, error.offset,
                    error.text);
}

/* ---- the certificates ---- */

/* A file that the command line names is looked at now, even where this run does not need it. */
static cli_exit model_check_ca(const cli_options *o) {
    char byte;
    if (!o->given[OPT_CA]) return CLI_OK;
    int fd = open(o->text[OPT_CA], O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && read(fd, &byte, 1) >= 0;
    int error = errno;
    if (fd >= 0) close(fd);
    if (ok) return CLI_OK;
    return cli_fail(CLI_USAGE, "--ca %s: cannot read it: %s; name a bundle of root certificates in PEM",
                    o->text[OPT_CA], strerror(error));
}

/* ---- the budget ---- */

static cli_exit model_no_price(const cli_options *o) {
    const char *name = cli_model_name(o);
    if (cli_model_is_exec(o))
        return cli_fail(
            CLI_USAGE,
            "--budget-usd %s: what a program spends is known only afterwards; give it a budget of its own, as "
            "exec:wf agent --budget-usd X, or give --budget-tokens N, which stops the run after an overshoot",
            o->text[OPT_BUDGET_USD]);
    return cli_fail(
        CLI_USAGE,
        "--budget-usd %s: the price of %s is not known; give --budget-tokens N instead, or --prices FILE with a "
        "line such as {\"model\":\"%s\",\"input\":2,\"output\":10,\"write_5m\":2.5,\"write_1h\":4,\"read\":0.2} "
        "(USD per million tokens)",
        o->text[OPT_BUDGET_USD], name, name);
}

/* Where money can be spent and nobody is asked, for --yes or for want of a terminal, there is a budget, unless one was named. Beside a model of rules a script may name
 * one of Anthropic's, if there is a key. */
static cli_exit model_settle_budget(cli_options *o) {
    bool rules = cli_model_is_rules(o);
    bool known = rules || (!cli_model_is_exec(o) && wf_prices_known(o->prices, cli_str(cli_model_name(o))));
    if (!known && !o->given[OPT_BUDGET_USD] &&
        o->given[OPT_BUDGET_TOKENS]) { /* a resumed run's USD give way to tokens */
        o->text[OPT_BUDGET_USD] = NULL;
        o->number[OPT_BUDGET_USD] = 0;
    }
    if (o->text[OPT_BUDGET_USD]) return known ? CLI_OK : model_no_price(o);
    bool asked = !o->number[OPT_YES] && cli_terminal_has_person();
    if (o->command != CLI_RUN || asked || o->text[OPT_BUDGET_TOKENS]) return CLI_OK;
    if (!known || (rules && !cli_model_key_name())) return CLI_OK;
    o->text[OPT_BUDGET_USD] = MODEL_BUDGET;
    o->number[OPT_BUDGET_USD] = UINT64_C(10000000000);
    o->own_budget = true;
    return CLI_OK;
}

static wf_str model_server(void) {
    const char *url = cli_env(ENV_BASE_URL) ? cli_env(ENV_BASE_URL) : WF_MESSAGES_URL;
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    return wf_str_of(host, strcspn(host, "/?#"));
}

cli_exit cli_model_settle(cli_options *o) {
    cli_exit code = model_settle_served(o);
    if (code == CLI_OK && !model_is_local(o)) o->server = model_server();
    if (code == CLI_OK && (cli_model_key_name() || o->given[OPT_PRICES])) code = model_read_prices(o);
    if (code == CLI_OK) code = model_settle_budget(o);
    return code == CLI_OK ? model_check_ca(o) : code;
}

cli_exit cli_model_settle_dry(cli_options *o) {
    if (!o->text[OPT_MODEL]) o->text[OPT_MODEL] = CLI_MODEL_DEFAULT;
    cli_exit code = model_settle_name(o);
    return code == CLI_OK ? model_read_prices(o) : code;
}
