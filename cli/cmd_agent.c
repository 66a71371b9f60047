/* cmd_agent: `wf agent`, the worker: one agent's spec as JSON on stdin, one line of JSON on stdout. There is no script, and the log is
 * one without a name: whoever asked keeps what came out. `wf help agent` has both shapes. */
#include "base/terminal.h"
#include "commands.h"
#include "run/drive.h"
#include "run/model.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGENT_SPEC     ((size_t)16 << 20)
#define AGENT_VERSION  1
#define AGENT_NAMES    512
#define AGENT_FEEDBACK "\n\nYour last answer was not accepted:"

/* ---- the spec ---- */

static cli_exit agent_bad(const char *what) {
    return cli_fail(CLI_USAGE, "the spec on standard input: %s; `wf help agent` shows one", what);
}

/* A string member, decoded, for the life of the process; "" if there is none. */
static wf_str agent_text(wf_str spec, const char *key) {
    wf_str escaped;
    if (!wf_json_member_str(spec, cli_str(key), &escaped)) return WF_STR("");
    char *text = cli_take(escaped.len + 1);
    return wf_str_of(text, wf_json_unescape(escaped, text));
}

static cli_exit agent_check_object(wf_str text) {
    char what[200];
    wf_json j;
    wf_json_init(&j, text);
    wf_json_token first = wf_json_next(&j), t = first;
    while (t != WF_JSON_END && t != WF_JSON_ERROR)
        t = wf_json_next(&j);
    if (t == WF_JSON_END && first == WF_JSON_OBJECT) return CLI_OK;
    if (t == WF_JSON_END) return agent_bad("this is no JSON object");
    snprintf(what, sizeof what, "this is no JSON object: at byte %zu: %s", j.pos, j.error.text);
    return agent_bad(what);
}

/* The next string of a list. */
static bool agent_next(wf_json *j, wf_str *escaped) {
    bool string = wf_json_next(j) == WF_JSON_STRING;
    *escaped = j->raw;
    return string;
}

static bool agent_list(wf_str spec, const char *key, wf_json *j) {
    wf_str list;
    if (!wf_json_member(spec, cli_str(key), &list)) return false;
    wf_json_init(j, list);
    return wf_json_next(j) == WF_JSON_ARRAY;
}

/* The prompt, and behind it what was wrong with the answer that somebody gave to it before. */
static wf_str agent_prompt(wf_str spec) {
    wf_json j;
    wf_str prompt = agent_text(spec, "prompt"), why;
    if (prompt.len == 0 || !agent_list(spec, "feedback", &j)) return prompt;
    char *text = cli_take(prompt.len + sizeof AGENT_FEEDBACK + 3 * spec.len);
    memcpy(text, prompt.ptr, prompt.len);
    size_t n = prompt.len, whole = n;
    memcpy(text + n, AGENT_FEEDBACK, sizeof AGENT_FEEDBACK - 1);
    n += sizeof AGENT_FEEDBACK - 1;
    while (agent_next(&j, &why)) {
        memcpy(text + n, "\n- ", 3);
        n += 3 + wf_json_unescape(why, text + n + 3);
        whole = n;
    }
    return wf_str_of(text, whole);
}

/* The spec's deadline; the command line's goes before it if it is shorter. */
static uint32_t agent_deadline(const cli_options *o, wf_str spec) {
    wf_str limits;
    uint64_t ms = WF_NONE, own = o->number[OPT_AGENT_DEADLINE];
    if (!wf_json_member(spec, WF_STR("limits"), &limits) || !wf_json_member_u64(limits, WF_STR("deadline_ms"), &ms))
        return 0;
    if (o->given[OPT_AGENT_DEADLINE] && own < ms) ms = own;
    return ms == 0 ? 1 : ms < WF_NONE ? (uint32_t)ms : WF_NONE - 1;
}

/* What kind of value a member has; END: there is none, or it is null. */
static wf_json_token agent_kind(wf_str object, const char *key, wf_str *value) {
    wf_json j;
    if (!wf_json_member(object, cli_str(key), value)) return WF_JSON_END;
    wf_json_init(&j, *value);
    wf_json_token t = wf_json_next(&j);
    return t == WF_JSON_NULL ? WF_JSON_END : t;
}

static bool agent_all_strings(wf_str list) {
    wf_json j;
    wf_json_token t;
    wf_json_init(&j, list);
    (void)wf_json_next(&j);
    while ((t = wf_json_next(&j)) == WF_JSON_STRING)
        continue;
    return t == WF_JSON_ARRAY_END;
}

/* Members that are there have the types that they should: a list of tools that is none must not stand for all of them. */
static cli_exit agent_check(wf_str spec) {
    static const struct {
        const char *key, *wrong;
        wf_json_token kind;
    } members[] = {{"version", "\"version\" is no number", WF_JSON_NUMBER},
                   {"prompt", "\"prompt\" is no text", WF_JSON_STRING},
                   {"system", "\"system\" is no text", WF_JSON_STRING},
                   {"schema", "\"schema\" is no object", WF_JSON_OBJECT},
                   {"tools", "\"tools\" is no list of texts", WF_JSON_ARRAY},
                   {"feedback", "\"feedback\" is no list of texts", WF_JSON_ARRAY},
                   {"root", "\"root\" is no text", WF_JSON_STRING},
                   {"limits", "\"limits\" is no object", WF_JSON_OBJECT}};
    static const char *const limits[] = {"deadline_ms", "output_bytes"};
    wf_str value, limit;
    uint64_t number;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        wf_json_token t = agent_kind(spec, members[i].key, &value);
        if (t == WF_JSON_END) continue;
        if (t != members[i].kind || (t == WF_JSON_ARRAY && !agent_all_strings(value)))
            return agent_bad(members[i].wrong);
    }
    if (agent_kind(spec, "limits", &value) == WF_JSON_END) return CLI_OK;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (agent_kind(value, limits[i], &limit) != WF_JSON_END &&
            !wf_json_member_u64(value, cli_str(limits[i]), &number))
            return agent_bad("a limit is no whole number from 0 on");
    return CLI_OK;
}

/* Its folder. One that is not here could only be guessed at. */
static cli_exit agent_settle_root(cli_options *o, wf_str spec) {
    struct stat st;
    wf_str root = agent_text(spec, "root"); /* terminated: the memory was zeroed */
    if (o->given[OPT_ROOT] || root.len == 0) return CLI_OK;
    if (strlen(root.ptr) != root.len || root.ptr[0] != '/') return agent_bad("\"root\" is no absolute path");
    if (stat(root.ptr, &st) != 0 || !S_ISDIR(st.st_mode))
        return cli_fail(CLI_USAGE, "the spec's root %s is no folder here; say which one is meant: wf agent --root DIR",
                        root.ptr);
    o->text[OPT_ROOT] = root.ptr;
    return CLI_OK;
}

static cli_exit agent_read(cli_options *o, wf_str *spec, wf_agent_spec *agent) {
    uint64_t version = AGENT_VERSION;
    wf_str value;
    if (isatty(STDIN_FILENO)) return agent_bad("it is JSON, and this is a terminal");
    if (!cli_read_file("-", AGENT_SPEC, spec)) return CLI_USAGE;
    if (agent_check_object(*spec) != CLI_OK || agent_check(*spec) != CLI_OK) return CLI_USAGE;
    bool other = agent_kind(*spec, "version", &value) != WF_JSON_END;
    if (other && (!wf_json_member_u64(*spec, WF_STR("version"), &version) || version != AGENT_VERSION))
        return agent_bad("it is of another version than 1; use the same wf on both sides");
    agent->prompt = agent_prompt(*spec);
    if (agent->prompt.len == 0) return agent_bad("\"prompt\" is missing: a text");
    agent->system = agent_text(*spec, "system");
    if (agent_kind(*spec, "schema", &value) != WF_JSON_END) agent->schema = value;
    agent->agent_ms = agent_deadline(o, *spec);
    return agent_settle_root(o, *spec);
}

/* Of the tools that the spec names, those that are allowed here; without a list, all of these. */
static void agent_choose_tools(const cli_world *w, wf_str spec, char names[AGENT_NAMES], wf_agent_spec *agent) {
    wf_json j;
    wf_str name;
    size_t n = 0;
    if (!agent_list(spec, "tools", &j)) return;
    while (agent_next(&j, &name))
        for (uint32_t i = 0; i < WF_POSIX_TOOLS; i++) {
            wf_str tool = w->tools[i].name;
            if (tool.len == 0 || !wf_json_equals(name, tool) || n + tool.len + 2 > AGENT_NAMES) continue;
            if (n > 0) names[n++] = ',';
            memcpy(names + n, tool.ptr, tool.len);
            n += tool.len;
        }
    agent->tools = n > 0 ? wf_str_of(names, n) : WF_STR("none");
}

/* ---- the answer ---- */

static void agent_put_usage(wf_json_out *out, const wf_usage *u) {
    char usd[48];
    wf_json_key(out, WF_STR("usage"));
    wf_json_begin(out, true);
    cli_json_member(out, "input_tokens", u->input);
    cli_json_member(out, "output_tokens", u->output);
    if (u->cache_read > 0) cli_json_member(out, "cache_read_input_tokens", u->cache_read);
    if (u->cache_write > 0) cli_json_member(out, "cache_creation_input_tokens", u->cache_write);
    if (u->nano_usd > 0) {
        snprintf(usd, sizeof usd, "%" PRIu64 ".%09" PRIu64, u->nano_usd / 1000000000, u->nano_usd % 1000000000);
        wf_json_key(out, WF_STR("usd"));
        wf_json_raw(out, cli_str(usd));
    }
    wf_json_finish(out);
}

static void agent_put_line(wf_json_out *out, const wf_delivery *d) {
    wf_json_begin(out, true);
    if (d->kind != WF_KIND_NONE) {
        wf_json_key(out, WF_STR("error"));
        wf_json_begin(out, true);
        cli_json_text(out, "kind", cli_str(wf_kind_name(d->kind)));
        cli_json_text(out, "message", d->value);
        wf_json_finish(out);
    } else if (d->json) {
        wf_json_key(out, WF_STR("result"));
        wf_json_raw(out, d->value);
    } else {
        cli_json_text(out, "text", d->value);
    }
    agent_put_usage(out, &d->usage);
    cli_json_member(out, "turns", d->turns);
    wf_json_finish(out);
}

/* Whether it arrived is seen to in main. */
static void agent_put(const wf_delivery *d) {
    wf_json_out out;
    wf_json_out_init(&out, NULL, 0);
    agent_put_line(&out, d);
    size_t size = out.len;
    char *line = cli_take(size + 1);
    wf_json_out_init(&out, line, size);
    agent_put_line(&out, d);
    line[size] = '\n';
    fwrite(line, 1, size + 1, stdout);
    free(line);
}

/* ---- the command ---- */

cli_exit cli_agent(cli_options *o) {
    cli_world w;
    wf_str spec;
    wf_agent_spec agent = {.label = WF_STR("agent")};
    wf_delivery answer;
    char names[AGENT_NAMES];
    cli_exit code = agent_read(o, &spec, &agent);
    if (code == CLI_OK) code = cli_model_settle(o);
    if (code != CLI_OK) return code;
    o->number[OPT_LANES] = o->number[OPT_AGENTS] = 1;
    o->number[OPT_SYNC] = WF_SYNC_OFF;
    code = cli_world_open(&w, o, WF_POSIX_TEMPORARY, NULL, NULL, NULL);
    if (code != CLI_OK) return code;
    agent_choose_tools(&w, spec, names, &agent);
    code = cli_drive_agent(&w, &agent, &answer);
    if (code == CLI_OK) {
        agent_put(&answer);
        code = cli_exit_of(wf_run_stopping(w.run), 0);
    }
    cli_world_close(&w);
    return code;
}
