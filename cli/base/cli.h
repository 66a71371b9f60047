/* cli: what the rooms of the command wf share: exit codes, the way to speak, small helpers. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "../../src/api/json.h"
#include "../../src/api/lua.h"
#include "../../src/api/posix.h"
#include <stdio.h>

/* Exit codes. Of several that apply the first of 74, 70, 6, 78, 75, 7, 5, 4, 3, 0 is taken. */
typedef enum cli_exit {
    CLI_OK = 0,
    CLI_USAGE = 2,       /* nothing was run */
    CLI_SOME_FAILED = 3, /* completed, but agents or branches of the script failed */
    CLI_SCRIPT = 4,
    CLI_BUDGET = 5,
    CLI_CANCELLED = 6,
    CLI_DEADLINE = 7,
    CLI_INTERNAL = 70,
    CLI_IO = 74, /* the log, or the result, could not be written or read */
    CLI_PAUSED = 75,
    CLI_REFUSED = 78
} cli_exit;

/* A run's code, from how it ended and how many agents failed. */
cli_exit cli_exit_of(wf_outcome outcome, uint32_t unwell);
/* What a completed run lacks: agents that gave no answer, not run included, and branches that script errors ended. */
uint32_t cli_unwell(const wf_census *census);

#if defined(__GNUC__)
#define CLI_PRINTF(at, first) __attribute__((format(printf, at, first)))
#else
#define CLI_PRINTF(at, first)
#endif

/* "wf: ..." and a newline on stderr; answers the code, so that one can `return cli_fail(...)`. */
cli_exit cli_fail(cli_exit code, const char *format, ...) CLI_PRINTF(2, 3);

/* Prints text that others wrote, on one line and harmless to a terminal, at most `max` bytes of it. */
void cli_put(FILE *to, wf_str text, size_t max);
/* The same of a text of many lines, whole, with a newline at its end. */
void cli_put_lines(FILE *to, wf_str text);
/* All of it, and nothing but it. */
void cli_put_text(FILE *to, wf_str text);
/* A word of a command line, quoted for the shell if need be; lives as long as the process. */
const char *cli_word(wf_str text);

/* Amounts for people; each answers its buffer. */
typedef struct cli_amount {
    char text[40];
} cli_amount;
const char *cli_count(cli_amount *a, uint64_t n);        /* 12,345 */
const char *cli_bytes(cli_amount *a, uint64_t n);        /* 1.2 MB */
const char *cli_time(cli_amount *a, uint64_t ms);        /* 1.2 s, 3 min 20 s */
const char *cli_money(cli_amount *a, uint64_t nano_usd); /* 0.0123 USD */
const char *cli_date(cli_amount *a, uint64_t wall_ms);   /* 2026-11-22 20:15:30 */
uint64_t cli_tokens(const wf_usage *usage);              /* all kinds together */
void cli_put_census(FILE *to, const wf_census *census);  /* without a newline, as the next */
void cli_put_spend(FILE *to, const wf_run_status *s);    /* tokens and USD, as far as known, and what may come on top */
void cli_json_member(wf_json_out *out, const char *key, uint64_t n);
void cli_json_text(wf_json_out *out, const char *key, wf_str text);
void cli_json_census(wf_json_out *out, const wf_census *census); /* as member "census" */
void cli_json_usage(wf_json_out *out, const wf_usage *usage);    /* as member "usage" */
void cli_json_lost(wf_json_out *out, const wf_run_status *s);    /* as member "lost" */

/* A terminated text as a slice. */
wf_str cli_str(const char *text);
bool cli_same(wf_str a, wf_str b);

/* Reads a whole file of at most `max` bytes, "-" being standard input, into memory for the life of the process.
 * False: a line on stderr said why. */
bool cli_read_file(const char *path, size_t max, wf_str *out);

/* Memory for the life of the process, zeroed; never NULL: says so and exits with 70 instead. */
void *cli_take(size_t n);

#endif
