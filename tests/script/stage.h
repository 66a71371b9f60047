/* stage: a script on the fake platform, from an empty or an older log to its end. Adds to the fake a model that does what its
 * prompt says, the script's effects, and a record of what the run told.
 *
 * A prompt is words, then a text:  [wait=MS] [status=N [times=N]] [usage=TOKENS] COMMAND
 *   say TEXT     answers TEXT            json VALUE   answers VALUE through the result tool
 *   refuse       declines                anything else is answered with "re: " and itself
 * status=N: the first `times` tries (default: all) answer HTTP status N. */
#ifndef TEST_STAGE_H
#define TEST_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/api/lua.h"
#include "tests/fake/fake.h"

#define STAGE_CALLS 4096u /* numbers of calls whose starts are counted */
#define STAGE_TURNS 20000000u

typedef struct stage_file {
    const char *path, *text; /* "saved NAME": a workflow of the user's */
} stage_file;

typedef struct stage {
    /* what a test may set before the run */
    const stage_file *files; /* ended by NULL: what `read` and `saved` find; NULL: `read` makes something up */
    wf_config config;
    size_t block_size, script_size;
    bool no_exec;
    uint64_t max_ms;
    bool starved; /* it ended for want of memory */
    const char *args;

    fake *f;
    wf *wf;
    wf_script *script;
    void *block, *memory;
    bool lent; /* both are the test's own */
    wf_script_result result;
    uint64_t turns;               /* of the pump */
    uint32_t work;                /* in one turn; 0: 64 */
    uint32_t execs, asks, reads;  /* effects started */
    char input[1024];             /* of the last exec or ask */
    uint8_t started[STAGE_CALLS]; /* by number of the call */
    uint32_t misses;
    char miss[160]; /* the last one's reason */
    char notes[4096];
} stage;

/* ---- model, effects, trace ---- */

/* Takes "NAME=NUMBER " off the front of a prompt. */
static bool stage_word(const char **text, const char *name, uint32_t *out) {
    size_t n = strlen(name);
    char *end;
    if (strncmp(*text, name, n) != 0) return false;
    *out = (uint32_t)strtoul(*text + n, &end, 10);
    *text = *end == ' ' ? end + 1 : end;
    return true;
}

static void stage_model(fake *f, const fake_request *request, fake_answer *out) {
    const char *text = request->prompt; /* JSON-escaped, and so it goes back */
    uint32_t wait = 0, status = 200, times = UINT32_MAX, usage = 10;
    uint64_t hash = fake_hash(request->turns + 1, text, strlen(text));
    out->delay_ms = f->delay_max ? fake_mix(hash ^ f->seed) % (f->delay_max + 1) : 0;
    if (stage_word(&text, "wait=", &wait)) out->delay_ms = wait;
    if (stage_word(&text, "status=", &status)) stage_word(&text, "times=", &times);
    stage_word(&text, "usage=", &usage);
    if (status != 200 && request->tries < times) {
        out->status = status;
        fake_error(out, status, "as the prompt wished");
        return;
    }
    char *content = malloc(strlen(text) + 128);
    assert_non_null(content);
    const char *stop = "end_turn";
    if (strncmp(text, "json ", 5) == 0) {
        char *value = content + sprintf(content, "{\"type\":\"tool_use\",\"id\":\"u\",\"name\":\"result\",\"input\":");
        value += wf_json_unescape(wf_str_of(text + 5, strlen(text + 5)), value);
        strcpy(value, "}");
        stop = "tool_use";
    } else {
        bool say = strncmp(text, "say ", 4) == 0;
        sprintf(content, "{\"type\":\"text\",\"text\":\"%s%s\"}", say ? "" : "re: ", say ? text + 4 : text);
        if (strcmp(text, "refuse") == 0) stop = "refusal";
    }
    fake_body(out, "{\"content\":[%s],\"stop_reason\":\"%s\",\"usage\":{\"input_tokens\":%u,\"output_tokens\":1}}",
              content, stop, usage);
    free(content);
}

/* What a file of the stage holds, as JSON; false: there is none. */
static bool stage_read_file(const stage *s, const char *path, fake_ticket *out) {
    wf_json_out o;
    for (const stage_file *file = s->files; file->path; file++) {
        if (strcmp(file->path, path) != 0) continue;
        wf_json_out_init(&o, out->text, 65535);
        wf_json_str(&o, wf_str_of(file->text, strlen(file->text)));
        out->text[o.len] = 0;
        return true;
    }
    return false;
}

/* The stage's files in a folder, as `files` answers them. */
static void stage_list(const stage *s, wf_str folder, fake_ticket *out) {
    wf_json_out o;
    wf_json_out_init(&o, out->text, 65535);
    wf_json_begin(&o, false);
    for (const stage_file *file = s->files; file && file->path; file++)
        if (strncmp(file->path, folder.ptr, folder.len) == 0)
            wf_json_str(&o, wf_str_of(file->path, strlen(file->path)));
    wf_json_finish(&o);
    out->text[o.len] = 0;
}

static bool stage_is(wf_str text, const char *word) {
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

/* `exec` says what its input was, but a command "fail" is an error; `ask` answers the default, the first choice or "well". */
static bool stage_act(stage *s, const wf_tool_call *call, fake_ticket *out) {
    wf_str value;
    wf_json j;
    bool exec = stage_is(call->name, "exec");
    if (!exec && !stage_is(call->name, "ask")) return false;
    s->execs += exec;
    s->asks += !exec;
    snprintf(s->input, sizeof s->input, "%.*s", (int)call->input.len, call->input.ptr);
    if (exec) {
        out->error = wf_json_member_str(call->input, WF_STR("cmd"), &value) && stage_is(value, "fail");
        strcpy(out->text,
               out->error ? "cannot run it" : "{\"code\":0,\"out\":\"ran\",\"err\":\"\",\"truncated\":false}");
        return true;
    }
    if (wf_json_member_str(call->input, WF_STR("default"), &value)) {
        snprintf(out->text, 4096, "\"%.*s\"", (int)value.len, value.ptr);
    } else if (wf_json_member(call->input, WF_STR("choices"), &value)) {
        wf_json_init(&j, value);
        (void)wf_json_next(&j);
        (void)wf_json_next(&j);
        snprintf(out->text, 4096, "\"%.*s\"", (int)j.raw.len, j.raw.ptr);
    } else {
        strcpy(out->text, "\"well\"");
    }
    return true;
}

/* `files` answers the globs as names, or what is in its folder; `read` a text that names the path; "missing" is an error. */
static void stage_effect(fake *f, const wf_tool_call *call, fake_ticket *out) {
    stage *s = f->user;
    wf_str value;
    char path[256];
    assert_true(call->script);
    if (stage_act(s, call, out)) return;
    bool saved = stage_is(call->name, "saved");
    s->reads++;
    if (stage_is(call->name, "files") && wf_json_member_str(call->input, WF_STR("path"), &value)) {
        stage_list(s, value, out);
    } else if (s->files && wf_json_member_str(call->input, saved ? WF_STR("name") : WF_STR("path"), &value)) {
        snprintf(path, sizeof path, "%s%.*s", saved ? "saved " : "", (int)value.len, value.ptr);
        out->error = !stage_read_file(s, path, out);
        if (out->error) snprintf(out->text, 4096, "no such file: %.*s", (int)value.len, value.ptr);
    } else if (wf_json_member_str(call->input, WF_STR("path"), &value)) {
        out->error = value.len == 7 && memcmp(value.ptr, "missing", 7) == 0;
        snprintf(out->text, 4096, out->error ? "%.*s: no such file" : "\"text of %.*s\"", (int)value.len, value.ptr);
    } else {
        assert_true(wf_json_member(call->input, WF_STR("globs"), &value));
        bool part = value.len == 14 && memcmp(value.ptr, "[\"unreadable\"]", 14) == 0; /* some could not be read */
        snprintf(out->text, 4096, "%.*s", (int)value.len, value.ptr);
        if (part) strcpy(out->text, "{\"paths\":[\"there\"],\"unreadable\":2,\"first\":\"d/\"}");
    }
}

static void stage_trace(void *ctx, const wf_trace *event) {
    stage *s = ((fake *)ctx)->user;
    size_t n = strlen(s->notes);
    switch (event->type) {
    case WF_TRACE_START:
    case WF_TRACE_RESUME:
        if (event->id < STAGE_CALLS) s->started[event->id]++;
        break;
    case WF_TRACE_MISS:
        s->misses++;
        snprintf(s->miss, sizeof s->miss, "%.*s", (int)event->text.len, event->text.ptr);
        break;
    case WF_TRACE_PHASE:
    case WF_TRACE_NOTE:
    case WF_TRACE_ERROR:
        snprintf(s->notes + n, sizeof s->notes - n, "%c%.*s|",
                 event->type == WF_TRACE_PHASE  ? '#'
                 : event->type == WF_TRACE_NOTE ? '-'
                                                : '!',
                 (int)event->text.len, event->text.ptr);
        break;
    default:
        break;
    }
}

/* ---- a run ---- */

/* On a log's bytes, or on none. */
static stage *stage_new(uint64_t seed, const void *log, size_t size) {
    stage *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->f = fake_new(seed, log, size);
    s->f->user = s;
    s->f->model = stage_model;
    s->f->tool = stage_effect;
    s->f->platform.trace = stage_trace;
    s->block_size = s->script_size = 8u << 20;
    s->config = fake_config(s->f);
    s->config.lanes = 4;
    s->config.retries = 1;
    s->config.tool_count = 0;
    return s;
}

static void stage_free(stage *s) {
    fake_free(s->f);
    if (!s->lent) free(s->block);
    if (!s->lent) free(s->memory);
    free(s);
}

static void stage_open_run(stage *s, wf_str source) {
    wf_error error;
    if (!s->lent) s->block = malloc(s->block_size);
    assert_non_null(s->block);
    if (wf_init(&s->wf, s->block, s->block_size, &s->config, &error) != WF_OK) fail_msg("wf_init: %s", error.text);
    wf_run_spec spec = {.name = WF_STR("test"), .script = source};
    if (s->args) spec.args = wf_str_of(s->args, strlen(s->args));
    wf_status status = fake_open(s->f, s->wf, &spec);
    wf_last_error(s->wf, &error);
    if (status != WF_OK)
        fail_msg("wf_run_open: %s: %s (offset %llu)", wf_status_name(status), error.text,
                 (unsigned long long)error.offset);
}

static wf_status stage_open_script(stage *s, wf_str source) {
    wf_script_config config = {.run = s->wf,
                               .source = source,
                               .name = WF_STR("t.lua"),
                               .memory_size = s->script_size,
                               .max_ms = s->max_ms,
                               .exec = !s->no_exec};
    if (s->args) config.args = wf_str_of(s->args, strlen(s->args));
    if (s->max_ms > 0) s->f->tick = 1;
    if (!s->lent) s->memory = malloc(s->script_size);
    assert_non_null(s->memory);
    config.memory = s->memory;
    return wf_script_open(&s->script, &config);
}

/* One turn of script and pump; false once the script has ended. */
static bool stage_turn(stage *s) {
    uint32_t wait;
    wf_status status = wf_script_step(s->script);
    s->starved = status == WF_E_MEMORY;
    if (s->starved) wf_run_stop(s->wf, WF_RUN_PAUSED, WF_STR("more memory"));
    if (status == WF_END || s->starved) return false;
    if (status < 0) fail_msg("wf_script_step: %s", wf_status_name(status));
    wf_status pumped = wf_step(s->wf, s->work ? s->work : 64, &wait);
    if (pumped < 0) fail_msg("wf_step: %s", wf_status_name(pumped));
    if (status == WF_AGAIN && wait > 0 && !fake_sleep(s->f, wait)) fail_msg("the run waits for nothing");
    if (++s->turns > STAGE_TURNS) fail_msg("the run does not end");
    return true;
}

static void stage_finish(stage *s) {
    uint32_t wait;
    wf_status status;
    wf_script_result_get(s->script, &s->result);
    const wf_script_result *r = &s->result;
    wf_outcome outcome = r->failed ? WF_RUN_FAILED : WF_RUN_DONE;
    assert_int_equal(wf_run_finish(s->wf, outcome, r->value, r->json, r->dropped, r->rejected, r->script_errors),
                     WF_OK);
    while ((status = wf_step(s->wf, 64, &wait)) == WF_OK)
        if (wait > 0) assert_true(fake_sleep(s->f, wait));
    assert_int_equal(status, WF_END);
}

/* Runs a script from start to end. The result lives as long as the stage. */
static void stage_run_text(stage *s, wf_str source) {
    stage_open_run(s, source);
    assert_int_equal(stage_open_script(s, source), WF_OK);
    while (stage_turn(s)) {
    }
    stage_finish(s);
}

static inline void stage_run(stage *s, const char *source) {
    stage_run_text(s, wf_str_of(source, strlen(source)));
}

#endif
