/* fuzz_script: compiles and runs any text as a script, on a platform whose clock moves a little at each look, so that its time is
 * soon over, and in little memory. A meta is put before it, unless its first line is "--- alone".
 *
 * Judges: it ends, as a result or as an error with a text, within its memory; a text that compiles here compiles there; and a run
 * that went well gives the same from its log, without asking any model again. */
#include "input.h"

#include "tests/script/stage.h"

#define SCRIPT_META   "meta = { name = 't', description = 'd' } "
#define SCRIPT_ALONE  "--- alone\n"
#define SCRIPT_MS     40u
#define SCRIPT_MEMORY (1u << 20)

static const stage_file script_files[] = {
    {"a.txt", "text of a"}, {"sub/b.txt", "line 1\nline 2\n"}, {"saved one", SCRIPT_META "return 'one'"}, {NULL, NULL}};

static stage *script_stage(const void *log, size_t size) {
    stage *s = stage_new(1, log, size);
    s->files = script_files;
    s->max_ms = SCRIPT_MS;
    s->script_size = SCRIPT_MEMORY;
    s->block_size = 2 * SCRIPT_MEMORY;
    s->config.max_agents = 40;
    s->config.max_calls = 80;
    s->config.log_buffer = 4096;
    return s;
}

static bool script_compiles(wf_str source) {
    char why[512];
    void *memory = input_alloc(SCRIPT_MEMORY);
    wf_status status = wf_script_compile(source, WF_STR("t.lua"), memory, SCRIPT_MEMORY, why, sizeof why);
    FUZZ_MUST(status == WF_OK || status == WF_E_SYNTAX || status == WF_E_MEMORY);
    FUZZ_MUST(status != WF_E_SYNTAX || why[0]);
    free(memory);
    return status != WF_E_SYNTAX;
}

static void script_judge(const stage *s, bool compiles) {
    wf_heap_use use;
    wf_script_memory(s->script, &use);
    FUZZ_MUST(use.used <= use.limit && use.high <= use.limit && use.limit <= SCRIPT_MEMORY);
    if (!compiles) FUZZ_MUST(s->result.failed && s->execs + s->asks + s->reads == 0);
    if (s->result.failed) FUZZ_MUST(s->result.value.len > 0);
    if (s->result.json) {
        wf_json j;
        wf_json_init(&j, s->result.value);
        FUZZ_MUST(wf_json_skip(&j, wf_json_next(&j), NULL) == WF_OK && wf_json_next(&j) == WF_JSON_END);
    }
}

/* Whether the run did all that it wanted, so that its log answers everything. */
static bool script_went_well(const stage *s) {
    wf_run_status status;
    wf_run_status_get(s->wf, &status);
    return !s->starved && !s->result.failed && status.outcome == WF_RUN_DONE && status.census.failed == 0 &&
           status.census.not_run == 0;
}

static void script_again(const stage *first, wf_str source) {
    size_t size;
    uint8_t *log = fake_crash(first->f, FAKE_ALL, 0, &size);
    stage *s = script_stage(log, size);
    stage_run_text(s, source);
    FUZZ_MUST(s->f->requests == 0);
    FUZZ_MUST(s->result.failed == first->result.failed && s->result.json == first->result.json);
    FUZZ_MUST(input_same(s->result.value, first->result.value));
    stage_free(s);
    free(log);
}

static void script_run(wf_str source) {
    bool compiles = script_compiles(source);
    stage *s = script_stage(NULL, 0);
    stage_run_text(s, source);
    script_judge(s, compiles);
    if (script_went_well(s)) script_again(s, source);
    stage_free(s);
}

int fuzz_script(const uint8_t *data, size_t size) {
    const size_t alone = sizeof SCRIPT_ALONE - 1, meta = sizeof SCRIPT_META - 1;
    if (size > 4000) return 0;
    char *source = input_alloc(meta + size);
    wf_str text;
    if (size >= alone && memcmp(data, SCRIPT_ALONE, alone) == 0) {
        memcpy(source, data + alone, size - alone);
        text = wf_str_of(source, size - alone);
    } else {
        memcpy(source, SCRIPT_META, meta);
        if (size > 0) memcpy(source + meta, data, size);
        text = wf_str_of(source, meta + size);
    }
    script_run(text);
    free(source);
    return 0;
}
