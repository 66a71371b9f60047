/* advice: see advice.h. */
#include "advice.h"
#include "../base/terminal.h"
#include "model.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ADVICE_AGENTS 1000000u /* at most, as of --agents */
#define ADVICE_MORE   4        /* times the memory that was too little */

/* What the table of calls holds. */
typedef struct advice_calls {
    uint32_t agents, failed;
    bool kept; /* a failure among them was seen by the script, and is delivered again */
} advice_calls;

static advice_calls advice_count(wf *run) {
    advice_calls found = {0, 0, false};
    wf_call_info call;
    for (uint32_t row = 0; wf_call_get(run, row, &call) == WF_OK; row++) {
        if (call.effect || call.superseded) continue;
        found.agents++;
        if (!call.finished || call.cancelled || call.kind == WF_KIND_NONE) continue;
        found.failed++;
        found.kept |= call.delivered;
    }
    return found;
}

static void advice_put_resume(const cli_world *w, const char *lead, bool retry) {
    fprintf(stderr, "%swf resume %s%s", lead, cli_word(cli_str(w->log)), retry ? " --retry-failed" : "");
}

/* A resumed run has its script from the log, and so only its file's name. */
static void advice_put_run(const cli_world *w, const char *lead, const wf_run_spec *spec, bool retry) {
    const cli_options *o = w->options;
    bool terminal = cli_terminal_has_person();
    wf_str name = o->command == CLI_RUN ? cli_str(o->operand) : spec->name;
    fprintf(stderr, "%swf run %s --log ", lead, cli_word(name));
    fputs(cli_word(cli_str(w->log)), stderr);
    if (spec->args.len > 0) fprintf(stderr, " --args %s", cli_word(spec->args));
    fprintf(stderr, "%s%s\n", retry ? " --retry-failed" : "", o->number[OPT_YES] || !terminal ? " --yes" : "");
}

/* The limit that the run reached, doubled. */
static void advice_put_budget(cli_world *w, const wf_run_spec *spec) {
    const wf_config *c = wf_settings(w->run);
    const cli_options *o = w->options;
    bool capped = advice_count(w->run).agents >= c->max_agents;
    bool tokens = c->budget_tokens > 0, usd = c->budget_nano_usd > 0;
    bool own = (!tokens || c->budget_tokens == o->number[OPT_BUDGET_TOKENS]) &&
               (!usd || c->budget_nano_usd == o->number[OPT_BUDGET_USD]);
    if (!capped && !own) {
        advice_put_run(w, "raise meta.budget in the script, then go on: ", spec, false);
        return;
    }
    advice_put_resume(w, "go on: ", false);
    if (capped)
        fprintf(stderr, " --agents %" PRIu32, c->max_agents < ADVICE_AGENTS / 2 ? c->max_agents * 2 : ADVICE_AGENTS);
    else if (tokens)
        fprintf(stderr, " --budget-tokens %" PRIu64, c->budget_tokens * 2);
    if (!capped && usd) fprintf(stderr, " --budget-usd %.9g", (double)c->budget_nano_usd / 5e8);
    fputc('\n', stderr);
}

static void advice_put_stop(cli_world *w, const wf_run_spec *spec, const wf_run_status *s) {
    const char *key = cli_model_key_name(), *lead = "go on: ";
    if (s->outcome == WF_RUN_BUDGET) {
        advice_put_budget(w, spec);
        return;
    }
    if (s->outcome == WF_RUN_PAUSED)
        lead = "wait until the provider's limit is free again, or have it raised, then go on: ";
    if (s->outcome == WF_RUN_REFUSED) lead = "fix that, then go on: ";
    advice_put_resume(w, lead, false);
    if (s->outcome == WF_RUN_REFUSED && key) fprintf(stderr, " (the key is from %s)", key);
    fputc('\n', stderr);
}

/* What was interrupted is done again only where that is asked for by name. */
static void advice_put_interrupted(const cli_world *w) {
    advice_put_resume(w, "look at what it left; to do it again: ", true);
    fprintf(stderr, "=%s\n", wf_kind_name(WF_KIND_INTERRUPTED));
}

static void advice_put_failed(cli_world *w, const wf_run_spec *spec, const wf_script_result *result) {
    wf_call_info call;
    bool effect = result->call > 0 && wf_call_get(w->run, result->call - 1, &call) == WF_OK && call.effect;
    const wf_kind kind = effect ? call.kind : result->kind;
    if (kind == WF_KIND_BUDGET) { /* not the run's, which would have stopped */
        advice_put_run(w, "raise the agent's budget in the script, then go on: ", spec, true);
        return;
    }
    if (kind == WF_KIND_INTERRUPTED) {
        advice_put_interrupted(w);
    } else if (kind != WF_KIND_NONE) {
        advice_put_resume(w, effect ? "fix its cause, then go on: " : "go on: ", call.delivered);
        fputc('\n', stderr);
    }
    if (kind == WF_KIND_NONE || effect)
        advice_put_run(w, effect ? "or change the script: " : "fix the script, then go on: ", spec, false);
    if (kind != WF_KIND_NONE) return;
    const advice_calls calls = advice_count(w->run);
    if (calls.failed == 0) return;
    advice_put_resume(w, "if the failed agents are the cause: ", calls.kept);
    fputc('\n', stderr);
}

static void advice_put_memory(const cli_world *w) {
    advice_put_resume(w, "nothing was lost; go on: ", false);
    fprintf(stderr, " --memory %zuM\n", (w->size >> 20) * ADVICE_MORE);
}

/* Of a run that is done. */
static void advice_put_done(cli_world *w, const wf_run_spec *spec, const wf_census *census) {
    if (census->script_errors > 0) advice_put_run(w, "fix the script, then go on: ", spec, false);
    if (census->failed == 0 || advice_count(w->run).failed == 0) return;
    advice_put_resume(w, "ask the failed agents again: ", true);
    fputc('\n', stderr);
}

void cli_advice_put(cli_world *w, const wf_run_spec *spec, const cli_drive_end *end) {
    const wf_run_status *status = &end->status;
    if (status->outcome == WF_RUN_PAUSED && end->starved)
        advice_put_memory(w);
    else if (status->outcome > WF_RUN_FAILED)
        advice_put_stop(w, spec, status);
    else if (status->outcome == WF_RUN_FAILED)
        advice_put_failed(w, spec, &end->result);
    else if (status->outcome == WF_RUN_DONE)
        advice_put_done(w, spec, &status->census);
}
