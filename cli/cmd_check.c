/* cmd_check: see cmd_check.h. The stub is a model that answers at once: with a value that fits the schema where the agent is to hand in
 * a result, else with a few words. It serves every provider's name. One lane, so that each answer's tokens belong to the
 * agent that ends next. Commands and questions of the script are answered in intercept.c. */
#include "cmd_check.h"
#include "commands.h"
#include "run/drive.h"
#include "run/model.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_PHASES  64
#define CHECK_TITLE   160
#define CHECK_EXAMPLE 65536
#define CHECK_TOKEN   4 /* bytes of a token, roughly */

typedef struct check_phase {
    char title[CHECK_TITLE];
    size_t title_len;
    uint32_t agents, failed;
    uint64_t in, most;  /* tokens of prompts; of answers at most */
    uint64_t low, high; /* nano-USD: of the prompts alone; of the longest answers, with prompts kept in the cache */
    uint32_t unpriced;  /* requests whose price is not known */
} check_phase;

/* The trace hook is handed the port's context, so what it counts cannot come with it. */
static struct check {
    char *body; /* of the request under way */
    size_t len, cap;
    char reply[CHECK_EXAMPLE + 1024];
    char example[CHECK_EXAMPLE];
    size_t reply_len, reply_at;
    check_phase agent; /* what the agent under way adds to its phase */
    wf_str prices;
    bool silent;
    check_phase phases[CHECK_PHASES];
    size_t count;
} check;

/* ---- the stub ---- */

static wf_status check_begin(void *ctx, uint32_t lane, const wf_request *request) {
    (void)ctx, (void)lane;
    check.len = check.reply_len = check.reply_at = 0;
    if (request->body_len <= check.cap) return WF_OK;
    if (request->body_len > SIZE_MAX / 2) return WF_E_IO;
    free(check.body);
    check.cap = (size_t)request->body_len * 2;
    check.body = cli_take(check.cap);
    return WF_OK;
}

static wf_status check_send(void *ctx, uint32_t lane, const void *buf, size_t n, size_t *sent) {
    (void)ctx, (void)lane;
    *sent = n < check.cap - check.len ? n : check.cap - check.len;
    memcpy(check.body + check.len, buf, *sent);
    check.len += *sent;
    return *sent > 0 ? WF_OK : WF_E_IO;
}

/* The schema of the result tool, if it is offered. */
static bool check_result_schema(wf_str body, wf_str *schema) {
    wf_str tools, tool = wf_str_of("", 0), name;
    wf_json j;
    wf_json_token t;
    if (!wf_json_member(body, WF_STR("tools"), &tools)) return false;
    wf_json_init(&j, tools);
    if (wf_json_next(&j) != WF_JSON_ARRAY) return false;
    while ((t = wf_json_next(&j)) == WF_JSON_OBJECT) {
        if (wf_json_skip(&j, t, &tool) != WF_OK) return false;
        if (wf_json_member_str(tool, WF_STR("name"), &name) && wf_json_equals(name, WF_STR("result")))
            return wf_json_member(tool, WF_STR("input_schema"), schema);
    }
    return false;
}

static void check_answer(wf_json_out *o, wf_str body) {
    wf_str schema;
    size_t n = check_result_schema(body, &schema) ? wf_schema_example(schema, check.example, sizeof check.example) : 0;
    wf_json_begin(o, true);
    cli_json_text(o, "type", n > 0 ? WF_STR("tool_use") : WF_STR("text"));
    if (n > 0) {
        cli_json_text(o, "id", WF_STR("toolu_check"));
        cli_json_text(o, "name", WF_STR("result"));
        wf_json_key(o, WF_STR("input"));
        wf_json_raw(o, wf_str_of(check.example, n));
    } else {
        cli_json_text(o, "text", WF_STR("(an answer of the dry run)"));
    }
    wf_json_finish(o);
    wf_json_finish(o);
    cli_json_text(o, "stop_reason", n > 0 ? WF_STR("tool_use") : WF_STR("end_turn"));
}

/* What the request and its longest answer come to. */
static void check_count(wf_str body) {
    check_phase *a = &check.agent;
    uint64_t in = check.len / CHECK_TOKEN, most = 0, low = 0, high = 0;
    wf_str model = {"", 0};
    (void)wf_json_member_u64(body, WF_STR("max_tokens"), &most);
    (void)wf_json_member_str(body, WF_STR("model"), &model);
    const wf_usage least = {.input = in, .output = 1}, greatest = {.cache_write = in, .output = most};
    bool known = wf_prices_cost(check.prices, model, &least, &low);
    (void)wf_prices_cost(check.prices, model, &greatest, &high);
    a->in += in;
    a->most += most;
    a->low += low;
    a->high += high;
    a->unpriced += !known;
}

static wf_status check_head(void *ctx, uint32_t lane, wf_response *out) {
    (void)ctx, (void)lane;
    wf_str body = wf_str_of(check.body, check.len);
    wf_json_out o;
    wf_json_out_init(&o, check.reply, sizeof check.reply);
    wf_json_begin(&o, true);
    cli_json_text(&o, "id", WF_STR("msg_check"));
    cli_json_text(&o, "type", WF_STR("message"));
    cli_json_text(&o, "role", WF_STR("assistant"));
    cli_json_text(&o, "model", WF_STR("stub"));
    wf_json_key(&o, WF_STR("content"));
    wf_json_begin(&o, false);
    check_answer(&o, body);
    wf_json_key(&o, WF_STR("usage"));
    wf_json_begin(&o, true);
    cli_json_member(&o, "input_tokens", check.len / CHECK_TOKEN);
    cli_json_member(&o, "output_tokens", 1);
    wf_json_finish(&o);
    wf_json_finish(&o);
    check.reply_len = o.len;
    check_count(body);
    *out = (wf_response){.status = 200, .retry_after_ms = -1, .should_retry = -1};
    return wf_json_ok(&o) ? WF_OK : WF_E_IO;
}

static wf_status check_recv(void *ctx, uint32_t lane, void *buf, size_t n, size_t *got) {
    (void)ctx, (void)lane;
    size_t left = check.reply_len - check.reply_at;
    *got = n < left ? n : left;
    memcpy(buf, check.reply + check.reply_at, *got);
    check.reply_at += *got;
    return *got > 0 ? WF_OK : WF_END;
}

static void check_end(void *ctx, uint32_t lane) {
    (void)ctx, (void)lane;
}

static uint32_t check_ready(void *ctx, uint32_t *lanes, uint32_t max) {
    (void)ctx, (void)lanes, (void)max;
    return 0;
}

static uint64_t check_due(void *ctx) {
    (void)ctx;
    return UINT64_MAX;
}

/* ---- counting ---- */

/* The row of a phase; what does not fit any more is counted in the last one. */
static check_phase *check_phase_of(wf_str title) {
    size_t i = 0;
    if (title.len > CHECK_TITLE) title.len = CHECK_TITLE;
    while (i < check.count && !cli_same(title, wf_str_of(check.phases[i].title, check.phases[i].title_len)))
        i++;
    if (i == CHECK_PHASES) i--;
    check_phase *p = &check.phases[i];
    if (i == check.count) {
        if (title.len > 0) memcpy(p->title, title.ptr, title.len);
        p->title_len = title.len;
        check.count++;
    }
    return p;
}

static void check_add(check_phase *to, const check_phase *from) {
    to->agents += from->agents;
    to->failed += from->failed;
    to->in += from->in;
    to->most += from->most;
    to->low += from->low;
    to->high += from->high;
    to->unpriced += from->unpriced;
}

static void check_trace(void *ctx, const wf_trace *e) {
    (void)ctx;
    if (e->type == WF_TRACE_ERROR && !check.silent) {
        fputs("wf: on stub answers a branch of the script fails: ", stderr);
        cli_put_lines(stderr, e->text);
    }
    if (e->type == WF_TRACE_STOP && !check.silent) {
        fputs("wf: stopping: ", stderr);
        cli_put_lines(stderr, e->text);
    }
    if (e->effect || e->type != WF_TRACE_DONE) return;
    check_phase *p = check_phase_of(e->phase);
    check.agent.agents = 1;
    check.agent.failed = e->kind != WF_KIND_NONE;
    check_add(p, &check.agent);
    memset(&check.agent, 0, sizeof check.agent);
}

/* ---- the preview ---- */

static void check_put_meta(FILE *to, const wf_run_spec *spec, wf_script *script) {
    wf_str meta, name, about;
    bool has = wf_script_meta(script, &meta);
    if (!has || !wf_json_member_str(meta, WF_STR("name"), &name)) name = spec->name;
    cli_put(to, name, CHECK_TITLE);
    if (has && wf_json_member_str(meta, WF_STR("description"), &about)) {
        fputs(": ", to);
        cli_put(to, about, 400);
    }
    fputc('\n', to);
}

static void check_put_row(FILE *to, wf_str title, const check_phase *p) {
    cli_amount agents, in, most;
    fprintf(to, "  %8s %14s %14s  ", cli_count(&agents, p->agents), cli_count(&in, p->in), cli_count(&most, p->most));
    cli_put(to, title, CHECK_TITLE);
    if (p->failed > 0) fprintf(to, " (%" PRIu32 " failed on the stub answers)", p->failed);
    fputc('\n', to);
}

static void check_put_cost(FILE *to, const cli_options *o, const check_phase *sum) {
    cli_amount low, high;
    bool rules = cli_model_is_rules(o), known = wf_prices_known(o->prices, cli_str(cli_model_name(o)));
    if (sum->low > 0) {
        fputs("  Cost at list price, with ", to);
        cli_put(to, cli_str(o->text[OPT_MODEL]), CHECK_TITLE);
        fprintf(to, ": from %s for the questions alone to\n  %s with every answer as long as it may be%s.\n",
                cli_money(&low, sum->low), cli_money(&high, sum->high),
                sum->unpriced > 0 && !rules ? ", and more for models of unknown price" : "");
    } else if (rules) {
        fputs("  Cost: none, with a model of rules.\n", to);
    } else if (sum->unpriced == 0) {
        fputs("  Cost: none; no model was asked.\n", to);
    } else if (cli_model_is_exec(o)) {
        fputs("  Cost: unknown; it is the program's, which tells it afterwards.\n", to);
    } else {
        fputs("  Cost: unknown; --prices FILE can tell the price of ", to);
        cli_put(to, cli_str(known ? "the models that agents name" : cli_model_name(o)), CHECK_TITLE);
        fputs(".\n", to);
    }
}

/* What it does besides asking agents. */
static void check_put_effects(FILE *to, const cli_options *o, const cli_intercept *e) {
    bool may = (o->number[OPT_ALLOW] & WF_ALLOW_EXEC) != 0;
    if (e->ran > 0)
        fprintf(to, "  Commands that it runs: %" PRIu32 " (exec; none was run here%s)\n", e->ran,
                may ? "" : "; they need --allow read,exec");
    if (e->asked > 0)
        fprintf(to,
                "  Questions that it asks: %" PRIu32
                " (ask; here they had their answer from --answers, their default,\n"
                "  their first choice or a stub)\n",
                e->asked);
}

static void check_put_preview(FILE *to, const cli_world *w, const wf_run_spec *spec, const cli_drive_end *end,
                              check_phase *sum) {
    check_put_meta(to, spec, end->script);
    fprintf(to, "  %8s %14s %14s  phase\n", "agents", "tokens in", "out, at most");
    for (size_t i = 0; i < check.count; i++) {
        const check_phase *p = &check.phases[i];
        check_put_row(to, p->title_len ? wf_str_of(p->title, p->title_len) : WF_STR("(no phase)"), p);
        check_add(sum, p);
    }
    check_put_row(to, WF_STR("in all"), sum);
    fputs("  These are a dry run's: stub answers end an agent after one turn, and their\n"
          "  lists are short. A real agent takes more turns; a script that fans out over\n"
          "  answers starts more agents.\n",
          to);
    check_put_effects(to, w->options, &w->effects);
    check_put_cost(to, w->options, sum);
    fputs("  Nothing was sent.\n", to);
}

cli_exit cli_check_compile(const wf_run_spec *spec) {
    const size_t size = (size_t)8 << 20;
    char why[4096] = "";
    void *memory = cli_take(size);
    wf_status status = wf_script_compile(spec->script, spec->name, memory, size, why, sizeof why);
    free(memory);
    if (status == WF_OK) return CLI_OK;
    fputs("wf: ", stderr);
    cli_put_lines(stderr, cli_str(why[0] ? why : wf_status_text(status)));
    return CLI_SCRIPT;
}

cli_exit cli_check_preview(const cli_options *o, const wf_run_spec *spec, FILE *to, cli_preview *out) {
    static const wf_model_ops ops = {check_begin, check_send,  check_head, check_recv,
                                     check_end,   check_ready, check_due,  NULL};
    wf_provider stub = {.ops = &ops, .ctx = &check};
    cli_world world;
    cli_drive_end end;
    check_phase sum = {.title_len = 0};
    memset(&check, 0, sizeof check);
    check.prices = o->prices;
    check.silent = to == NULL;
    cli_exit code = cli_world_open(&world, o, WF_POSIX_TEMPORARY, NULL, &stub, check_trace);
    if (code != CLI_OK) return code;
    code = cli_drive(&world, spec, &end);
    if (code == CLI_OK) {
        if (to) check_put_preview(to, &world, spec, &end, &sum);
        for (size_t i = 0; !to && i < check.count; i++)
            sum.agents += check.phases[i].agents;
        out->agents = sum.agents;
        code = cli_exit_of(end.status.outcome, 0);
        if (code == CLI_OK && end.status.census.script_errors > 0) {
            code = CLI_SCRIPT; /* said when it happened */
        } else if (code != CLI_OK && to) {
            fputs(code == CLI_SCRIPT ? "wf: on stub answers the script fails: " : "wf: the dry run was stopped: ",
                  stderr);
            cli_put_lines(stderr, code == CLI_SCRIPT ? end.result.value : end.status.text);
        }
    }
    cli_world_close(&world);
    free(check.body);
    check.body = NULL;
    return code;
}

cli_exit cli_check(cli_options *o) {
    wf_run_spec spec;
    cli_preview preview;
    cli_exit code = cli_script_read(o, &spec);
    if (code == CLI_OK) code = cli_check_compile(&spec);
    if (code == CLI_OK) code = cli_model_settle_dry(o);
    return code == CLI_OK ? cli_check_preview(o, &spec, stdout, &preview) : code;
}
