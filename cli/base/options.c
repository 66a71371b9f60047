/* options: see options.h. The table says everything about an option: its name, its form, its bounds, which commands take
 * it, whether it belongs to a run's recorded settings, its default and its line of help. */
#include "options.h"
#include <stdlib.h>
#include <string.h>

typedef enum option_form {
    FORM_FLAG,
    FORM_TEXT,
    FORM_COUNT,
    FORM_SIZE,
    FORM_TIME,
    FORM_MONEY,
    FORM_CHOICE, /* number: its place in `arg` */
    FORM_ALLOW,
    FORM_KINDS, /* number: bits 1 << wf_kind; all, where no value is given */
    FORM_LATER, /* a later issue's: refused, never passed over in silence; `arg` if it takes one */
} option_form;

#define ON(command) (1u << (command))
#define ON_RUNS     (ON(CLI_RUN) | ON(CLI_RESUME))
#define ON_DRY      (ON_RUNS | ON(CLI_CHECK))
#define ON_AGENTS   (ON_RUNS | ON(CLI_AGENT))
#define ON_MODELS   (ON_DRY | ON(CLI_AGENT))
#define OPTION_DAY  UINT64_C(86400000)
#define OPTION_NANO UINT64_C(1000000000)
#define OPTION_TEXT 4000 /* bytes of a value */

#define OPTION_INDENT  26 /* columns before the text of an option in help, */
#define OPTION_COLUMNS 80 /* and at its end */

typedef struct option_entry {
    const char *name;
    const char *arg; /* placeholder, or the choices; NULL: a flag */
    const char *standard;
    const char *help;
    option_form form;
    unsigned commands;
    bool recorded;
    uint64_t least, most;
} option_entry;

static const option_entry option_table[OPT_COUNT] = {
    [OPT_MODEL] = {"model", "M", NULL,
                   "the default worker: [anthropic:]NAME, rules:FILE.lua, exec:COMMAND; see wf help models", FORM_TEXT,
                   ON_MODELS, true, 0, 0},
    [OPT_EFFORT] = {"effort", "low|medium|high|xhigh|max", NULL, "how hard the model thinks (its own)", FORM_CHOICE,
                    ON_AGENTS, true, 0, 0},
    [OPT_LANES] = {"lanes", "N", "16", "agents working at a time", FORM_COUNT, ON_RUNS, true, 1, 1000},
    [OPT_AGENTS] = {"agents", "N", "1000", "agents in the whole run, at most", FORM_COUNT, ON_DRY, true, 1, 1000000},
    [OPT_BUDGET_USD] = {"budget-usd", "X", NULL, "stop before more is spent (with --yes and no other budget: 10)",
                        FORM_MONEY, ON_AGENTS, true, 1, 1000000 * OPTION_NANO},
    [OPT_BUDGET_TOKENS] = {"budget-tokens", "N", NULL, "the same in tokens, input and output", FORM_COUNT, ON_AGENTS,
                           true, 1, UINT64_C(1000000000000000)},
    [OPT_PRICES] = {"prices", "FILE", NULL, "a price list that goes before the built-in one", FORM_TEXT, ON_MODELS,
                    true, 0, 0},
    [OPT_DEADLINE] = {"deadline", "DUR", "none", "for the whole run: 90s, 5m, 2h, 500ms", FORM_TIME, ON_RUNS, true, 1,
                      30 * OPTION_DAY},
    [OPT_AGENT_DEADLINE] = {"agent-deadline", "DUR", "30m", "for each agent, or none", FORM_TIME, ON_AGENTS, true, 1,
                            30 * OPTION_DAY},
    [OPT_STALL] = {"stall", "DUR", "180s", "silence before a request is sent again, or none", FORM_TIME, ON_AGENTS,
                   true, 1, 30 * OPTION_DAY},
    [OPT_ALLOW] = {"allow", "read,write,bash,exec", "read", "what agents may do: read, write, bash; and scripts: exec",
                   FORM_ALLOW, ON_MODELS, true, 0, 0},
    [OPT_NET] = {"net", "on|off", "on", "the network of commands; off: a loopback of their own at most", FORM_CHOICE,
                 ON_MODELS, true, 0, 0},
    [OPT_CA] = {"ca", "FILE", NULL, "root certificates in PEM to trust, in place of the system's", FORM_TEXT, ON_AGENTS,
                true, 0, 0},
    [OPT_ROOT] = {"root", "DIR", ".", "the workspace; nothing outside of it is seen", FORM_TEXT,
                  ON_MODELS | ON(CLI_RUNS) | ON(CLI_SHOW) | ON(CLI_LOG), true, 0, 0},
    [OPT_MEMORY] = {"memory", "SIZE", NULL, "all that a run may use (a quarter of what there is, at most 4G)",
                    FORM_SIZE, ON_MODELS, true, 8u << 20, UINT64_C(1) << 36},
    [OPT_SYNC] = {"sync", "batch|always|off", "batch", "how results are made durable", FORM_CHOICE, ON_RUNS, true, 0,
                  0},
    [OPT_ARGS] = {"args", "JSON|@FILE", NULL, "the script's args; -- k=v ... adds to them", FORM_TEXT,
                  ON(CLI_RUN) | ON(CLI_CHECK), false, 0, 0},
    [OPT_LOG] = {"log", "FILE", NULL, "the log (.wf/runs/TIME-NAME.wflog); if it exists, its run goes on", FORM_TEXT,
                 ON(CLI_RUN), false, 0, 0},
    [OPT_ANSWERS] = {"answers", "FILE", NULL,
                     "answers to ask(): a JSON object by question or label, or a list in order", FORM_TEXT, ON_DRY,
                     true, 0, 0},
    [OPT_OUT] = {"o", "FILE", NULL, "the result goes there", FORM_TEXT, ON_RUNS, false, 0, 0},
    [OPT_YES] = {"yes", NULL, NULL,
                 "run a new script or a large run, or go on with a log from elsewhere, without asking", FORM_FLAG,
                 ON_RUNS, false, 0, 0},
    [OPT_RETRY_FAILED] = {"retry-failed", NULL, NULL,
                          "ask failed agents again that the script has seen fail; =KIND,...: of these kinds",
                          FORM_KINDS, ON(CLI_RESUME) | ON(CLI_RUN), false, 0, 0},
    [OPT_JSON] = {"json", NULL, NULL, "one JSON object a line on stdout: a run's events, a log's records", FORM_FLAG,
                  ON_RUNS | ON(CLI_LOG), false, 0, 0},
    [OPT_QUIET] = {"quiet", NULL, NULL, "no progress, and no word if all is well", FORM_FLAG, ON_RUNS, false, 0, 0},
    [OPT_NO_COLOR] = {"no-color", NULL, NULL, "no colour (as with NO_COLOR set)", FORM_FLAG, ON_RUNS, false, 0, 0},
    [OPT_STATS] = {"stats", NULL, NULL, "memory, syncs, connections, log size and time at the end", FORM_FLAG, ON_RUNS,
                   false, 0, 0},
    [OPT_PLAN_MODEL] = {"plan-model", "M", NULL, NULL, FORM_LATER, ON_RUNS, false, 0, 0},
    [OPT_DELIVER] = {"deliver", "branch|patch|tree", NULL, NULL, FORM_LATER, ON_RUNS, false, 0, 0},
    [OPT_SAMPLE] = {"sample", "N", NULL, NULL, FORM_LATER, ON_RUNS, false, 0, 0},
    [OPT_WAIT] = {"wait", NULL, NULL, NULL, FORM_LATER, ON_RUNS, false, 0, 0},
    [OPT_NO_WORKFLOW] = {"no-workflow", NULL, NULL, NULL, FORM_LATER, ON_RUNS, false, 0, 0},
};

typedef struct option_command {
    const char *name, *operand;
    bool needed; /* the operand */
} option_command;

static const option_command option_commands[CLI_COMMANDS] = {
    [CLI_RUN] = {"run", "SCRIPT", true},     [CLI_CHECK] = {"check", "SCRIPT", true},
    [CLI_RESUME] = {"resume", "LOG", false}, [CLI_AGENT] = {"agent", NULL, false},
    [CLI_RUNS] = {"runs", NULL, false},      [CLI_SHOW] = {"show", "LOG", false},
    [CLI_LOG] = {"log", "LOG", false},       [CLI_VERSION] = {"version", NULL, false},
    [CLI_HELP] = {"help", "COMMAND", false},
};

/* Commands of later releases, so that they are not taken for misspelt ones. */
static const char *const option_later[] = {"do", "plan", "watch", "report", "list", "save", "config", "clean"};

const char *cli_command_name(cli_command command) {
    return option_commands[command].name;
}

cli_command cli_command_find(const char *name) {
    for (int i = 0; i < CLI_COMMANDS; i++)
        if (strcmp(option_commands[i].name, name) == 0) return (cli_command)i;
    return CLI_COMMANDS;
}

/* ---- near names ---- */

#define OPTION_NAME_MAX 24

/* Levenshtein distance of two short names; 99 if one is long. */
static unsigned option_distance(const char *a, const char *b) {
    unsigned row[OPTION_NAME_MAX + 1];
    size_t n = strlen(a), m = strlen(b);
    if (n > OPTION_NAME_MAX || m > OPTION_NAME_MAX) return 99;
    for (unsigned j = 0; j <= m; j++)
        row[j] = j;
    for (unsigned i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= m; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j - 1] + 1 < change) change = row[j - 1] + 1;
            if (row[j] + 1 < change) change = row[j] + 1;
            row[j] = change;
        }
    }
    return row[m];
}

/* Keeps in *best the nearest name so far; a name at *distance or further is none. */
static void option_nearer(const char *name, const char *candidate, const char **best, unsigned *distance) {
    unsigned d = option_distance(name, candidate);
    if (d >= *distance || d >= strlen(candidate)) return;
    *distance = d;
    *best = candidate;
}

cli_exit cli_command_unknown(const char *name) {
    const char *near = NULL;
    unsigned distance = 3;
    for (size_t i = 0; i < sizeof option_later / sizeof *option_later; i++)
        if (strcmp(name, option_later[i]) == 0)
            return cli_fail(CLI_USAGE, "%s: not in this build yet; `wf help` lists what is", name);
    for (int i = 0; i < CLI_COMMANDS; i++)
        option_nearer(name, option_commands[i].name, &near, &distance);
    if (near) return cli_fail(CLI_USAGE, "%s: no such command; did you mean `wf %s`?", name, near);
    return cli_fail(CLI_USAGE, "%s: no such command; `wf help` lists them", name);
}

static cli_exit option_unknown(const cli_options *o, const char *given, const char *name, size_t len) {
    const char *near = NULL;
    unsigned distance = 3;
    char word[OPTION_NAME_MAX + 2] = "";
    const char *command = cli_command_name(o->command);
    if (len < sizeof word) memcpy(word, name, len);
    for (int i = 0; i < OPT_COUNT; i++)
        if (option_table[i].commands & ON(o->command)) option_nearer(word, option_table[i].name, &near, &distance);
    if (len <= OPTION_NAME_MAX && near)
        return cli_fail(CLI_USAGE, "%s: %s has no such option; did you mean --%s?", given, command, near);
    return cli_fail(CLI_USAGE, "%s: %s has no such option; `wf help %s` lists them", given, command, command);
}

/* ---- values ---- */

/* Digits, with up to nine more after a point if `places` allows; *out in units of 10^-places. Answers the rest. */
static const char *option_number(const char *text, int places, uint64_t *out) {
    uint64_t n = 0;
    const char *p = text;
    bool point = false;
    int left = places;
    for (; (*p >= '0' && *p <= '9') || (*p == '.' && places > 0 && !point); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        if (point && left-- == 0) return NULL;
        if (n > (UINT64_MAX - 9) / 10) return NULL;
        n = n * 10 + (uint64_t)(*p - '0');
    }
    if (p == text || (point && p == text + 1)) return NULL;
    for (; left > 0; left--) {
        if (n > UINT64_MAX / 10) return NULL;
        n *= 10;
    }
    *out = n;
    return p;
}

typedef struct option_unit {
    const char *name;
    uint64_t factor;
} option_unit;

static const option_unit option_times[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};
static const option_unit option_sizes[] = {{"", 1}, {"K", 1u << 10}, {"M", 1u << 20}, {"G", 1u << 30}, {NULL, 0}};

static bool option_scaled(const char *text, const option_unit *units, uint64_t *out) {
    uint64_t n;
    const char *rest = option_number(text, 0, &n);
    for (; rest && units->name; units++) {
        if (strcmp(rest, units->name) != 0) continue;
        *out = n * units->factor;
        return n <= UINT64_MAX / units->factor;
    }
    return false;
}

/* Place of `text` among the choices "a|b|c". */
static bool option_choice(const char *choices, const char *text, size_t len, uint64_t *out) {
    *out = 0;
    for (const char *p = choices; len > 0; p++, (*out)++) {
        size_t n = strcspn(p, "|");
        if (n == len && memcmp(p, text, n) == 0) return true;
        p += n;
        if (*p == '\0') break;
    }
    return false;
}

static cli_exit option_allow(const char *text, uint64_t *out) {
    static const uint32_t rights[] = {WF_ALLOW_READ, WF_ALLOW_WRITE, WF_ALLOW_BASH, WF_ALLOW_EXEC};
    uint64_t which;
    *out = 0;
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, ",");
        if (!option_choice("read|write|bash|exec", p, n, &which))
            return cli_fail(CLI_USAGE, "--allow %s: of read, write, bash and exec, comma-separated", text);
        *out |= rights[which];
        p += n;
        if (*p == '\0') break;
    }
    return CLI_OK;
}

static cli_exit option_kinds(const char *text, uint64_t *out) {
    *out = UINT32_MAX & ~(UINT32_C(1) << WF_KIND_INTERRUPTED); /* done again only when it is named */
    if (strcmp(text, "yes") == 0) return CLI_OK;
    *out = 0;
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, ",");
        int kind = WF_KIND_NONE + 1;
        while (kind < WF_KIND_COUNT && !cli_same(wf_str_of(p, n), cli_str(wf_kind_name((wf_kind)kind))))
            kind++;
        if (kind == WF_KIND_COUNT)
            return cli_fail(CLI_USAGE,
                            "--retry-failed=%s: not a list of kinds of failures, such as provider,deadline,schema",
                            text);
        *out |= UINT64_C(1) << kind;
        p += n;
        if (*p == '\0') return CLI_OK;
    }
}

static cli_exit option_bad(const option_entry *e, const char *text, const char *wanted) {
    const char *dashes = e->name[1] ? "--" : "-";
    return cli_fail(CLI_USAGE, "%s%s %s: %s", dashes, e->name, text, wanted);
}

static cli_exit option_out_of_range(const option_entry *e, const char *text) {
    cli_amount least, most;
    switch (e->form) {
    case FORM_SIZE:
        return cli_fail(CLI_USAGE, "--%s %s: from %s to %s", e->name, text, cli_bytes(&least, e->least),
                        cli_bytes(&most, e->most));
    case FORM_TIME:
        return cli_fail(CLI_USAGE, "--%s %s: from 1ms to 720h", e->name, text);
    case FORM_MONEY:
        return cli_fail(CLI_USAGE, "--%s %s: more than 0, at most 1,000,000 (dollars)", e->name, text);
    default:
        return cli_fail(CLI_USAGE, "--%s %s: from %s to %s", e->name, text, cli_count(&least, e->least),
                        cli_count(&most, e->most));
    }
}

/* The number behind an option's text. */
static cli_exit option_settle(const option_entry *e, const char *text, uint64_t *n) {
    const char *rest;
    bool ok = true;
    switch (e->form) {
    case FORM_FLAG:
        *n = 1;
        return CLI_OK;
    case FORM_TEXT:
        return text[0] ? CLI_OK : option_bad(e, "''", "is empty; give a value or leave the option out");
    case FORM_ALLOW:
        return option_allow(text, n);
    case FORM_KINDS:
        return option_kinds(text, n);
    case FORM_CHOICE:
        return option_choice(e->arg, text, strlen(text), n) ? CLI_OK : option_bad(e, text, e->arg);
    case FORM_COUNT:
        rest = option_number(text, 0, n);
        ok = rest && *rest == '\0';
        if (!ok) return option_bad(e, text, "not a whole number");
        break;
    case FORM_MONEY:
        rest = option_number(text, 9, n);
        ok = rest && *rest == '\0';
        if (!ok) return option_bad(e, text, "not an amount of dollars, such as 10 or 0.5");
        break;
    case FORM_SIZE:
        if (!option_scaled(text, option_sizes, n)) return option_bad(e, text, "not a size, such as 512K, 64M or 1G");
        ok = *n <= SIZE_MAX / 2;
        break;
    case FORM_TIME:
        *n = WF_NONE;
        if (strcmp(text, "none") == 0) return CLI_OK;
        if (!option_scaled(text, option_times, n))
            return option_bad(e, text, "not a duration, such as 90s, 5m, 2h, 500ms or none");
        break;
    case FORM_LATER:
        return CLI_INTERNAL;
    }
    return ok && *n >= e->least && *n <= e->most ? CLI_OK : option_out_of_range(e, text);
}

static cli_exit option_settle_all(cli_options *o) {
    for (int i = 0; i < OPT_COUNT; i++) {
        if (!(option_table[i].commands & ON(o->command)) || !o->text[i]) continue;
        cli_exit code = option_settle(&option_table[i], o->text[i], &o->number[i]);
        if (code != CLI_OK) return code;
    }
    return CLI_OK;
}

/* ---- the command line ---- */

static cli_option option_find(const cli_options *o, const char *name, size_t len) {
    for (int i = 0; i < OPT_COUNT; i++) {
        const option_entry *e = &option_table[i];
        if ((e->commands & ON(o->command)) && strlen(e->name) == len && memcmp(e->name, name, len) == 0)
            return (cli_option)i;
    }
    return OPT_COUNT;
}

/* One option at argv[*at]; *at moves on over its value if that stands apart. */
static cli_exit option_take(cli_options *o, int argc, char **argv, int *at) {
    const char *given = argv[*at], *name = given + (given[1] == '-' ? 2 : 1);
    size_t len = strcspn(name, "=");
    bool is_long = given[1] == '-';
    cli_option id = option_find(o, name, len);
    if (id == OPT_COUNT || is_long == (len == 1)) return option_unknown(o, given, name, len);
    const option_entry *e = &option_table[id];
    if (e->form == FORM_LATER) return cli_fail(CLI_USAGE, "--%s: not in this build yet; leave it out", e->name);
    if (o->given[id]) return cli_fail(CLI_USAGE, "%s: given twice; give it once", given);
    o->given[id] = true;
    o->text[id] = "yes";
    if (e->form == FORM_KINDS && name[len] == '=') {
        o->text[id] = name + len + 1;
        return CLI_OK;
    }
    if (!e->arg && name[len] == '=') return cli_fail(CLI_USAGE, "%s: takes no value; write --%s", given, e->name);
    if (!e->arg) return CLI_OK;
    if (name[len] == '=') {
        o->text[id] = name + len + 1;
    } else if (*at + 1 < argc) {
        o->text[id] = argv[++*at];
    } else {
        return cli_fail(CLI_USAGE, "%s: a value is missing; write %s %s", given, given, e->arg);
    }
    if (id != OPT_ARGS && strlen(o->text[id]) > OPTION_TEXT)
        return cli_fail(CLI_USAGE, "--%s: the value is longer than %d bytes", e->name, OPTION_TEXT);
    return CLI_OK;
}

static cli_exit option_operand(cli_options *o, const char *word) {
    const option_command *c = &option_commands[o->command];
    if (c->operand && !o->operand) {
        o->operand = word;
        return CLI_OK;
    }
    if (o->command == CLI_RUN || o->command == CLI_CHECK)
        return cli_fail(CLI_USAGE,
                        "%s: one argument too many; what the script gets stands after --, as in -- key=value", word);
    return cli_fail(CLI_USAGE, "%s: one argument too many; see `wf help %s`", word, c->name);
}

cli_exit cli_options_parse(cli_options *o, int argc, char **argv) {
    const option_command *c = &option_commands[o->command];
    for (int i = 0; i < OPT_COUNT; i++)
        o->text[i] = option_table[i].standard;
    for (int i = 0; i < argc; i++) {
        cli_exit code = CLI_OK;
        if (strcmp(argv[i], "--") == 0) {
            o->pairs = argv + i + 1;
            o->pair_count = argc - i - 1;
            break;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            o->help = true;
            return CLI_OK;
        }
        if (argv[i][0] == '-' && argv[i][1] != '\0')
            code = option_take(o, argc, argv, &i);
        else
            code = option_operand(o, argv[i]);
        if (code != CLI_OK) return code;
    }
    if (c->needed && !o->operand)
        return cli_fail(CLI_USAGE, "%s: %s is missing; write wf %s %s", c->name, c->operand, c->name, c->operand);
    if (o->pair_count > 0 && o->command != CLI_RUN && o->command != CLI_CHECK)
        return cli_fail(CLI_USAGE, "%s: one argument too many; see `wf help %s`", o->pairs[0], c->name);
    return option_settle_all(o);
}

/* ---- settings in a log ---- */

void cli_options_record(const cli_options *o, const char *sandbox, wf_json_out *out) {
    char *root = realpath(o->text[OPT_ROOT], NULL); /* a resume may be asked for from another folder */
    wf_json_begin(out, true);
    for (int i = 0; i < OPT_COUNT; i++) {
        const char *text = i == OPT_ROOT && root ? root : o->text[i];
        if (option_table[i].recorded && text) cli_json_text(out, option_table[i].name, cli_str(text));
    }
    free(root);
    if (o->server.len > 0) cli_json_text(out, "server", o->server);
    if (sandbox[0]) cli_json_text(out, CLI_SANDBOX, cli_str(sandbox));
    wf_json_finish(out);
}

cli_exit cli_options_restore(cli_options *o, wf_str settings) {
    size_t used = 0;
    for (int i = 0; i < OPT_COUNT; i++) {
        const option_entry *e = &option_table[i];
        wf_str value;
        if (!e->recorded || o->given[i] || !wf_json_member_str(settings, cli_str(e->name), &value)) continue;
        if (value.len >= sizeof o->recorded - used)
            return cli_fail(CLI_USAGE, "the log's setting %s is too long", e->name);
        char *text = o->recorded + used;
        used += wf_json_unescape(value, text);
        o->recorded[used++] = '\0';
        o->text[i] = text;
    }
    return option_settle_all(o);
}

/* ---- help ---- */

/* A text whose lines begin in column OPTION_INDENT, and end at the latest in OPTION_COLUMNS. */
static void option_put_text(FILE *to, const char *text) {
    size_t column = OPTION_INDENT;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (column > OPTION_INDENT && column + 1 + n > OPTION_COLUMNS) {
            fprintf(to, "\n%*s", OPTION_INDENT, "");
            column = OPTION_INDENT;
        }
        column += n + (column > OPTION_INDENT);
        fprintf(to, "%s%.*s", column > OPTION_INDENT + n ? " " : "", (int)n, text);
        text += n + (text[n] == ' ');
    }
    fputc('\n', to);
}

void cli_options_list(cli_command command, FILE *to) {
    for (int i = 0; i < OPT_COUNT; i++) {
        const option_entry *e = &option_table[i];
        if (!(e->commands & ON(command)) || e->form == FORM_LATER) continue;
        char left[64], text[256];
        int n = snprintf(left, sizeof left, "  %s%s %s", e->name[1] ? "--" : "-", e->name, e->arg ? e->arg : "");
        snprintf(text, sizeof text, e->standard ? "%s (%s)" : "%s", e->help, e->standard);
        if (n >= OPTION_INDENT)
            fprintf(to, "%s\n%*s", left, OPTION_INDENT, "");
        else
            fprintf(to, "%-*s", OPTION_INDENT, left);
        option_put_text(to, text);
    }
}
