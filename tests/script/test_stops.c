/* Stops are values: whatever stops a run, in the middle of whatever form, the script goes on and returns what it has, and the
 * resumed run, its limits raised, ends as one that never stopped: the same result, nothing finished asked again, no command
 * begun twice. Each form is stopped at each turn of the pump. */
#include "cases.h"

#define TURNS 60u /* of the pump, at which a run is stopped */

static const char helpers[] =
    "local function ask(q, o) local t, e = agent(q, o) return t or e.kind end "
    "local function all(...) local fns = {} for i, q in ipairs({ ... }) do fns[i] = function() "
    "return agent(q) end end local r = parallel(fns) return r end "
    "local function run(c) local r, e = exec(c) return r ~= nil or e.message:find('interrupted') ~= nil end ";

static const char *const forms[] = {
    "return { ask('say a'), ask('say b'), ask('say c'), ask('say d') }",
    "return all('say a', 'say b', 'wait=40 say c', 'say d', 'say e', 'wait=90 say f', 'say g')",
    "return (pipeline({ 'a', 'b', 'wait=30 c', 'd', 'e', 'f' }, function(x) return agent('say ' .. x) end, function(x) "
    "return "
    "agent('say ' .. x .. x) end))",
    "local v, f = race({ function() return agent('refuse') end, function() return agent('wait=60 say b') end }) return "
    "v or "
    "f.kind",
    "local r = parallel({ function() return all('say a', 'say b', 'say c') end, function() return ask('wait=20 say d') "
    "end, "
    "function() return all('say e', 'say f') end }) return r",
    "return { run('make'), ask('say a'), run('check') }",
    "local t = {} for i = 1, 5 do t[i] = ask('say ' .. random(1, 1000)) log('line %d', i) end log('end') return t",
    "local t = ask('say a') return { read('x'), t, read('y'), ask('say b'), files('*.c') }",
    "local n = 0 local function ask(q) n = n + 1 return agent(q .. n) end parallel({ function() agent('status=400 say "
    "x') n = n "
    "+ 1 end, function() for _, q in ipairs({ 'say a', 'say b', 'wait=9 say c' }) do ask(q) end end }) return { n, "
    "ask('say z') or 'none' }",
    "return { ask('json {\"n\":1}', { schema = { type = 'object' } }), ask('status=529 times=1 say b'), ask('say c') }",
};

typedef enum stop_kind { BY_SIGNAL, BY_DEADLINE, BY_QUOTA, BY_AUTH, BY_TOKENS, BY_AGENTS, KINDS } stop_kind;

static const char *const kind_names[] = {"signal", "deadline", "quota", "auth", "tokens", "agents"};

typedef struct stopped_run {
    stage *s;
    wf_outcome outcome;
} stopped_run;

/* Runs until `turn`, stops, and goes on to the script's own end. */
static stopped_run run_stopped(const char *source, stop_kind kind, uint64_t turn) {
    static const wf_outcome outcomes[] = {WF_RUN_CANCELLED, WF_RUN_DEADLINE, WF_RUN_PAUSED, WF_RUN_REFUSED};
    stage *s = stage_new(1 + turn, NULL, 0);
    wf_str text = wf_str_of(source, strlen(source));
    wf_run_status status;
    if (kind == BY_TOKENS) s->config.budget_tokens = 16100 * turn;
    if (kind == BY_AGENTS) s->config.max_agents = (uint32_t)turn;
    stage_open_run(s, text);
    assert_int_equal(stage_open_script(s, text), WF_OK);
    while (stage_turn(s))
        if (kind < BY_TOKENS && s->turns == turn) wf_run_stop(s->wf, outcomes[kind], WF_STR("stopped by the test"));
    stage_finish(s);
    wf_run_status_get(s->wf, &status);
    return (stopped_run){s, status.outcome};
}

/* Whether something that had finished was started again. */
static bool paid_twice(const stage *first, const stage *second) {
    wf_call_info call;
    for (uint32_t row = 0; wf_call_get(first->wf, row, &call) == WF_OK; row++)
        if (!call.effect && call.finished && call.kind == WF_KIND_NONE && second->started[call.id] > 0) return true;
    return false;
}

static void check(const char *form, stop_kind kind, uint64_t turn, const char *want, uint32_t execs, uint32_t *stops) {
    char *source = malloc(sizeof META + sizeof helpers + strlen(form));
    assert_non_null(source);
    sprintf(source, META "%s%s", helpers, form);
    stopped_run first = run_stopped(source, kind, turn);
    *stops += first.outcome > WF_RUN_FAILED;
    if (first.s->result.failed)
        fail_msg("%s, %s at %llu: the script failed: %s", form, kind_names[kind], (unsigned long long)turn,
                 result_text(first.s));
    stage *second = stage_new(77, first.s->f->disk.data, first.s->f->disk.size);
    stage_run(second, source);
    char *got = result_text(second);
    if (second->result.failed || strcmp(got, want) != 0)
        fail_msg("%s, %s at %llu:\n  resumed %s\n  wanted  %s", form, kind_names[kind], (unsigned long long)turn, got,
                 want);
    if (paid_twice(first.s, second))
        fail_msg("%s, %s at %llu: what had finished was asked again", form, kind_names[kind], (unsigned long long)turn);
    if (first.s->execs + second->execs > execs) fail_msg("%s: a command was begun twice", form);
    if (strstr(form, "log('end')") && !strstr(second->notes, "-end|") && second->f->requests > 0)
        fail_msg("%s, %s at %llu: a line is missing after the resume: %s", form, kind_names[kind],
                 (unsigned long long)turn, second->notes);
    free(got);
    stage_free(second);
    stage_free(first.s);
    free(source);
}

static void each_stop_in_each_form(void **state) {
    (void)state;
    for (size_t f = 0; f < COUNT(forms); f++) {
        char *source = malloc(sizeof META + sizeof helpers + strlen(forms[f]));
        assert_non_null(source);
        sprintf(source, META "%s%s", helpers, forms[f]);
        stage *whole = stage_new(1, NULL, 0);
        stage_run(whole, source);
        char *want = result_text(whole);
        if (whole->result.failed) fail_msg("%s: %s", forms[f], want);
        uint32_t stops = 0;
        for (int kind = 0; kind < KINDS; kind++)
            for (uint64_t turn = 1; turn <= TURNS && turn <= whole->turns + 2; turn += 1 + turn / 8)
                check(forms[f], (stop_kind)kind, turn, want, whole->execs, &stops);
        if (stops < KINDS) fail_msg("%s: only %u of its runs were stopped", forms[f], stops);
        free(want);
        stage_free(whole);
        free(source);
    }
}

/* The script is told once, in the shape of each call; what only reads is still answered. */
static void calls_after_a_stop(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"local n, e = 0 repeat local t t, e = agent('say x') if t then n = n + 1 end until e return { n, e.kind, "
         "e.stop, "
         "e.attempts == nil }",
         "[3,\"agents\",true,true]"},
        {"for i = 1, 9 do assert(agent('say x')) end", "!agents: the run's agent cap is reached"},
        {"local fns = {} for i = 1, 5 do fns[i] = function() return agent('say ' .. i) end end local r, f = "
         "parallel(fns) "
         "return { r, #f, f[1].error.kind, f[2].index, f[2].error.stop }",
         "[[\"1\",\"2\",\"3\",false,false],2,\"agents\",5,true]"},
        {"for i = 1, 4 do agent('say x') end local ran = 0 local r, f = pipeline({ 1, 2 }, function() ran = ran + 1 "
         "end) "
         "return { ran, r, #f, f[2].error.kind }",
         "[0,[false,false],2,\"agents\"]"},
        {"for i = 1, 4 do agent('say x') end local v, f = race({ function() return 'x' end }) return { v == nil, #f, "
         "f.kind }",
         "[true,1,\"agents\"]"},
        {"for i = 1, 4 do agent('say x') end local r, e = exec('x') local a, b = ask('q') local w, z = workflow('w') "
         "return { "
         "r == nil, e.kind, e.stop, a == nil, b.kind, w == nil, z.stop }",
         "[true,\"agents\",true,true,\"agents\",true,true]"},
        {"for i = 1, 4 do agent('say x') end return { read('f'), #files('*') }", "[\"text of f\",1]"},
        {"for i = 1, 4 do agent('say x') end local k, rest = verify({ 'c' }) return { #k, rest[1].verdict, (vote('q')) "
         "}",
         "[0,\"not run\",\"not run\"]"},
        {"local _, f = parallel({ function() for i = 1, 4 do local t = agent('say x') t = t .. 'x' end end }) return "
         "#f",
         "1"},
        {"while true do agent('say x') end", "!10,000 calls were refused"},
        {"while true do parallel({ function() end }) if not agent('say x') then parallel({ print }) end end",
         "!10,000 calls were refused"},
        {"while true do pcall(function() assert(agent('say x')) end) end", "!10,000 calls were refused"},
    };
    bool fine = true;
    for (size_t i = 0; i < COUNT(cases); i++) {
        stage *s = stage_new(1, NULL, 0);
        s->config.max_agents = 3;
        char *source = with_meta(cases[i].source);
        stage_run(s, source);
        fine &= result_is(s, cases[i].source, cases[i].want);
        wf_run_status status;
        wf_run_status_get(s->wf, &status);
        fine &= status.outcome == WF_RUN_BUDGET && status.census.script_errors == 0;
        stage_free(s);
        free(source);
    }
    assert_true(fine);
}

/* A failure that the script has seen is delivered again, in its place; --retry-failed asks it anew, of some kinds if wanted. */
static void failures_are_answers(void **state) {
    (void)state;
    static const char body[] =
        "local a, e = agent('status=400 say x') local b = agent('say b') local c = agent('wait=500 say c') "
        "return { e and e.kind or a, b, c }";
    static const struct {
        uint32_t retry, asked;
    } cases[] = {{0, 1}, {1u << WF_KIND_SCHEMA, 1}, {1u << WF_KIND_PROVIDER, 2}, {UINT32_MAX, 2}};
    char *source = with_meta(body);
    wf_str text = wf_str_of(source, strlen(source));
    for (size_t i = 0; i < COUNT(cases); i++) {
        stage *s = stage_new(1, NULL, 0);
        stage_open_run(s, text);
        assert_int_equal(stage_open_script(s, text), WF_OK);
        while (s->started[3] == 0 && stage_turn(s)) { /* and killed there */
        }
        stage *again = stage_new(2, s->f->disk.data, s->f->disk.size);
        again->config.retry_kinds = cases[i].retry;
        stage_run(again, source);
        assert_true(result_is(again, body, "[\"provider\",\"b\",\"c\"]"));
        assert_int_equal(again->started[2], 0);
        if (again->f->requests != cases[i].asked)
            fail_msg("retry %x: %u requests, not %u", cases[i].retry, (unsigned)again->f->requests, cases[i].asked);
        stage_free(again);
        stage_free(s);
    }
    free(source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_after_a_stop),
        cmocka_unit_test(failures_are_answers),
        cmocka_unit_test(each_stop_in_each_form),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
