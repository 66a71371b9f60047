/* The script API: what each function means, in success, failure, drop, race, stop; what hostile scripts come to; that
 * pre-emption changes nothing. Every run drives the real core over a fake platform. */
#include <time.h>

#include "cases.h"

/* ---- agent ---- */

static void agent_answers_with_text_or_table(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"return agent('say hello')", "hello"},
        {"return agent('hello')", "re: hello"},
        {"return { agent('say a'), agent('say b') }", "[\"a\",\"b\"]"},
        {"return agent('json {\"n\": 3}', { schema = { type = 'object', properties = { n = { type = 'integer' } } } "
         "}).n",
         "3"},
        {"local t = agent('json {\"list\": []}', { schema = { type = 'object' } }) return t", "{\"list\":[]}"},
        {"return select('#', agent('say x'))", "1"},
        {"return agent('say x', { label = 'l', phase = 'p', model = 'fake:other', effort = 'low', system = 's', "
         "max_turns = 3,"
         " max_tokens = 100, deadline = '5m', stall = 2.5, retries = 0, cache = true, tools = {} })",
         "x"},
    };
    run_cases(cases, COUNT(cases));
}

static void agent_fails_with_an_error_table(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"local v, e = agent('status=400 say x') return { v == nil, e.kind, e.attempts, e.agent, tostring(e) }",
         "~[true,\"provider\",1,1,\"provider: "},
        {"local v, e = agent('status=500 say x') return { e.kind, e.attempts }", "[\"provider\",2]"},
        {"return agent('status=500 times=1 say x')", "x"},
        {"local v, e = agent('refuse') return e.kind", "refused"},
        {"local v, e = agent('json {\"n\":\"x\"}', { schema = { type = 'object', properties = { n = { type = 'integer' "
         "} } } })"
         " return { e.kind, type(e.message) }",
         "[\"schema\",\"string\"]"},
        {"local v, e = agent('wait=9000 say x', { deadline = 1 }) return e.kind", "deadline"},
        {"local v, e = agent('wait=9000 say x', { stall = '1s', retries = 0 }) return e.kind", "stall"},
        {"return agent('refuse')", "!refused: "},
    };
    run_cases(cases, COUNT(cases));
}

static void agent_refuses_wrong_arguments(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"agent()", "!t.lua:1: agent: the prompt takes a text, got nil"},
        {"agent({})", "!t.lua:1: agent: the prompt takes a text, got table"},
        {"agent('')", "!t.lua:1: agent: the prompt is empty"},
        {"agent('x', 3)", "!agent: options take a table, got number"},
        {"agent('x', { modle = 'm' })", "!agent: there is no option 'modle' (did you mean 'model'?)"},
        {"agent('x', { [1] = 'm' })", "!agent: there is no option '1'"},
        {"agent('x', { [{}] = 'm' })", "!agent: there is no option 'table'"},
        {"agent('x', { budget = { token = 1 } })", "!agent: budget knows tokens and usd, not 'token'"},
        {"agent('x', { effort = 'hihg' })", "!agent: effort takes \"low\", \"medium\""},
        {"agent('x', { effort = 3 })", "!agent: effort takes"},
        {"agent('x', { budget = { tokens = 0 } })", "!agent: budget.tokens takes a number from 1 to a billion"},
        {"agent('x', { budget = { tokens = 0.5 } })", "!agent: budget.tokens takes a number from 1"},
        {"agent('x', { budget = { usd = 1e-10 } })", "!agent: budget.usd takes a number from 1e-09 to a billion"},
        {"local v, e = agent('say x', { budget = { tokens = 1000 } }) return { e.kind, agent('say x') }",
         "[\"budget\",\"x\"]"},
        {"return agent('say x', { budget = { tokens = 20000, usd = 0.5 } })", "x"},
        {"agent('x', { cwd = 7 })", "!agent: cwd takes a text, got number"},
        {"return agent('say x', { cwd = 'src' })", "x"},
        {"agent('x', { isolation = 'worktree' })", "!agent: the option 'isolation' is not in this build yet"},
        {"agent('x', { label = 3 })", "!agent: label takes a text, got number"},
        {"agent('x', { schema = 'x' })", "!agent: schema takes a table"},
        {"agent('x', { schema = { type = 'nonsense' } })", "!schema"},
        {"agent('x', { schema = { type = 'object', f = print } })", "!schema"},
        {"agent('x', { max_turns = 0 })", "!agent: max_turns takes a whole number from 1 up"},
        {"agent('x', { max_turns = 1.5 })", "!agent: max_turns takes a whole number from 1 up"},
        {"agent('x', { max_turns = '3' })", "!agent: max_turns takes a whole number from 1 up"},
        {"agent('x', { max_turns = math.huge })", "!agent: max_turns takes a whole number"},
        {"agent('x', { retries = -1 })", "!agent: retries takes a whole number from 0 up"},
        {"agent('x', { deadline = 'soon' })", "!agent: deadline takes seconds"},
        {"agent('x', { deadline = 0 })", "!agent: deadline takes seconds"},
        {"agent('x', { deadline = -1 })", "!agent: deadline takes seconds"},
        {"agent('x', { deadline = 0/0 })", "!agent: deadline takes seconds"},
        {"agent('x', { deadline = 0.0001 })", "!agent: deadline takes seconds"},
        {"agent('x', { deadline = '99999999999999999999h' })", "!agent: deadline takes seconds"},
        {"agent('x', { deadline = '9999999h' })", "!agent: deadline takes seconds"},
        {"agent('x', { cache = 1 })", "!agent: cache takes true or false"},
        {"agent('x', { check = 1 })", "!agent: check takes a function"},
        {"agent('x', { tools = 1 })", "!agent: tools takes a list of names"},
        {"agent('x', { tools = { print } })", "!agent: tools takes a list of names"},
        {"agent('x', { tools = { 'raed' } })", "!tools: this run has no 'raed'; fix its name"},
        {"agent('x', { tools = { read = true } })", "!agent: tools takes a list of names"},
        {"agent('x', { tools = { '' } })", "!agent: tools takes a list of names"},
        {"agent('x', { tools = '' })", "!agent: tools takes a list of names"},
        {"\n\nlocal function ask() return agent('x', { modle = 1 }) end\nreturn ask()",
         "!t.lua:3: agent: there is no option"},
        {"\n\nlocal function ask()\n return agent('x', { modle = 1 }) end\nreturn ask()",
         "!\n4 |  return agent('x', { modle = 1 }) end"},
        {"agent('x', { model = 'nobody:m' })", ""},
        {"local v, e = agent('x', { model = 'nobody:m' }) return e.kind", "provider"},
    };
    run_cases(cases, COUNT(cases));
}

/* Hands in a placeholder that fits the schema, until the prompt says why that will not do. */
static void lazy_model(fake *f, const fake_request *request, fake_answer *out) {
    bool told = strstr(request->prompt, "An earlier answer was rejected: cite a line: TODO is none") != NULL;
    (void)f;
    if (told) assert_non_null(strstr(request->prompt, "That answer was: {\\\"where\\\":\\\"TODO\\\"}"));
    fake_reply(out, "tool_use",
               "[{\"type\":\"tool_use\",\"id\":\"u\",\"name\":\"result\",\"input\":{\"where\":\"%s\"}}]",
               told ? "a.c:7" : "TODO");
}

static void check_rejects_a_placeholder_that_fits_the_schema(void **state) {
    (void)state;
    stage *w = stage_new(1, NULL, 0);
    w->f->model = lazy_model;
    static const char body[] =
        "local S = { type = 'object', required = { 'where' }, properties = { where = { type = 'string' } } }"
        " local r = agent('Find it', { schema = S, check = function(r) return r.where:find(':%d+$') ~= nil, "
        "'cite a line: ' .. r.where .. ' is none' end }) return r.where";
    char *source = with_meta(body);
    stage_run(w, source);
    assert_true(result_is(w, body, "a.c:7"));
    assert_int_equal(w->f->requests, 2);
    /* both answers are in the log */
    stage *v = stage_new(2, w->f->disk.data, w->f->disk.size);
    stage_run(v, source);
    assert_true(result_is(v, body, "a.c:7"));
    assert_int_equal(v->f->requests, 0);
    stage_free(v);
    stage_free(w);
    free(source);
}

static void check_rejects_with_a_reason(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"return agent('say x', { check = function(v) return v == 'x' end })", "x"},
        {"local n = 0 local v = agent('say x', { check = function(v) n = n + 1 return n == 3, 'no ' .. n end }) return "
         "{ n, v }",
         "~[3,"},
        {"local v, e = agent('say x', { label = 'l', check = function() return false, 'too short' end })"
         " return { e.kind, e.message }",
         "[\"schema\",\"rejected by check: too short\"]"},
        {"local v, e = agent('say x', { check = function() return false end }) return { e.agent, e.attempts }",
         "[3,1]"},
        {"local v, e = agent('say x', { check = function() return nil end }) return e.message",
         "rejected by check: the answer was rejected"},
        {"return agent('say x', { check = function() error('oops') end })", "!t.lua:1: oops"},
        {"return agent('say x', { check = function(v) return agent('say ' .. v .. '?') end })", "x"},
        {"local seen = {} agent('say x', { check = function(v) seen[#seen + 1] = v return #seen == 2, 'why' end }) "
         "return seen[2]",
         "x\n\nAn earlier answer was rejected: why\nThat answer was: x"},
    };
    run_cases(cases, COUNT(cases));
}

/* An agent whose last answer was rejected has failed, whatever it thinks itself, and whatever the script makes of it. */
static void what_is_rejected_for_good_counts_as_failed(void **state) {
    (void)state;
    static const char body[] =
        "agent('say x') agent('say y', { label = 'l', check = function() return false, 'no' end }) "
        "agent('say z', { check = function(v) return v == 'z' end }) return 'well'";
    char *source = with_meta(body);
    wf_run_status status;
    stage *w = stage_new(1, NULL, 0), *v;
    for (int round = 0; round < 2; round++) {
        stage_run(w, source);
        assert_true(result_is(w, body, "well"));
        if (round == 0) assert_non_null(strstr(w->notes, "-l: rejected by check: no|"));
        wf_run_status_get(w->wf, &status);
        assert_int_equal(status.census.done, 4);
        assert_int_equal(status.census.failed, 1);
        v = stage_new(2, w->f->disk.data, w->f->disk.size);
        stage_free(w);
        w = v;
    }
    stage_free(w);
    free(source);
}

/* ---- parallel ---- */

static void parallel_keeps_the_order_of_its_input(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"return parallel({})", "[]"},
        {"local r, f = parallel({}) return { results = r, failures = f }", "{\"failures\":[],\"results\":[]}"},
        {"return parallel({ function() return agent('wait=90 say a') end, function() return agent('say b') end,"
         " function() return 3 end })",
         "[\"a\",\"b\",3]"},
        {"local order = {} parallel({ function() agent('wait=90 say a') order[#order + 1] = 1 end,"
         " function() agent('wait=10 say b') order[#order + 1] = 2 end,"
         " function() order[#order + 1] = 3 end }) return order",
         "[3,2,1]"},
        {"return parallel({ function() return false end, function() return {} end, function() return null end })",
         "[false,{},null]"},
        {"local r = parallel({ function() return parallel({ function() return 1 end, function() return 2 end }) end,"
         " function() return pipeline({ 5 }, function(x) return x + 1 end) end }) return r",
         "[[1,2],[6]]"},
        {"return select('#', parallel({}))", "2"},
        {"parallel({ function() return 1 end, 3 })", "!t.lua:1: parallel: item 2 is no function but a number"},
        {"parallel()", "!t.lua:1: parallel takes a list, got nil"},
        {"parallel('x')", "!t.lua:1: parallel takes a list, got string"},
        {"return parallel({ a = 1 })", "[]"},
    };
    run_cases(cases, COUNT(cases));
}

static void parallel_tells_failed_from_dropped(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"local r, f = parallel({ function() return nil end, function() return nil, 'bad' end, function() "
         "error('oops') end,"
         " function() return false end, function() return agent('refuse') end })"
         " return { r = r, n = #f, i = { f[1].index, f[2].index, f[3].index }, k = { f[1].error.kind, f[2].error.kind, "
         "f[3].error.kind },"
         " m = { f[1].error.message, f[2].error.message },"
         " d = { f.dropped[1] or false, f.dropped[2] or false, f.dropped[4] or false },"
         " at = { f.at[1] or 0, f.at[2] == f[1].error, f.at[3] == f[2].error, f.at[4] or 0 } }",
         "{\"at\":[0,true,true,0],\"d\":[true,false,false],\"i\":[2,3,5],\"k\":[\"script\",\"script\",\"refused\"],"
         "\"m\":[\"bad\",\"t.lua:1: oops\"],\"n\":3,\"r\":[false,false,false,false,false]}"},
        {"local _, f = parallel({ function() error({ kind = 'mine', message = 'm' }) end }) return f",
         "[{\"error\":{\"kind\":\"mine\",\"message\":\"m\"},\"index\":1}]"},
        {"local _, f = parallel({ function() error({ 1, 2 }) end }) return { f[1].error.kind, tostring(f[1].error) }",
         "[\"script\",\"script: table\"]"},
        {"local _, f = parallel({ function() error() end }) return tostring(f[1].error)", "script: nil"},
        {"local _, f = parallel({ function() end }) return { f, json.encode(f) }", "[[],\"[]\"]"},
        {"local _, f = parallel({ function() end }) return #f == 0 and next(f) == nil and f.dropped[1]", "true"},
        {"local _, f = parallel({ function() return nil, false end }) return { #f, f[1].error.message }",
         "[1,\"false\"]"},
        {"local _, f = parallel({ function() agent('x')() end }) return tostring(f[1].error)",
         "script: t.lua:1: attempt to call a string value"},
    };
    run_cases(cases, COUNT(cases));
    stage *w = stage_new(1, NULL, 0);
    char *source = with_meta("parallel({ function() end, function() return nil, 1 end, function() end })"
                             " pipeline({ 1, 2 }, function(x) if x == 1 then return nil end return x end)"
                             " race({ function() end })");
    stage_run(w, source);
    assert_int_equal(w->result.dropped, 4);
    wf_run_status status;
    wf_run_status_get(w->wf, &status);
    assert_int_equal(status.census.dropped, 4);
    stage_free(w);
    free(source);
}

/* ---- pipeline ---- */

static void pipeline_has_no_barrier(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"return pipeline({})", "[]"},
        {"return pipeline({ 1, 2 })", "[1,2]"},
        {"return pipeline({ 'a', 'b' }, function(prev, item, i) return { prev, item, i } end,"
         " function(prev, item, i) return { prev[1], item, i, #prev } end)",
         "[[\"a\",\"a\",1,3],[\"b\",\"b\",2,3]]"},
        /* the slow first stage of one item does not hold up the second stage of another */
        {"local order = {} pipeline({ 90, 10, 50 }, function(ms) agent('wait=' .. ms .. ' say x') order[#order + 1] = "
         "-ms return ms end,"
         " function(ms) agent('wait=20 say y') order[#order + 1] = ms return ms end) return order",
         "[-10,10,-50,50,-90,90]"},
        {"local ran = {} local r, f = pipeline({ 1, 2, 3 }, function(x) if x == 1 then return nil end if x == 2 then "
         "return nil, 'e' end"
         " return x end, function(x) ran[#ran + 1] = x return x * 10 end)"
         " return { r, ran, #f, f[1].index, f.dropped[1], f.at[2].message }",
         "[[false,false,30],[3],1,2,true,\"e\"]"},
        {"return pipeline({ 1, 2 }, function() return false end, function(prev) return { prev } end)",
         "[[false],[false]]"},
        {"local _, f = pipeline({ 1 }, function() error('oops') end) return f[1].error.message", "t.lua:1: oops"},
        {"local _, f = pipeline({ 1 }, function() return agent('refuse') end, error) return f[1].error.kind",
         "refused"},
        {"return pipeline({ 1 }, 'x')", "!t.lua:1: pipeline: stage 1 is no function but a string"},
        {"return pipeline(nil, print)", "!t.lua:1: pipeline takes a list, got nil"},
        {"return pipeline('x', print)", "!t.lua:1: pipeline takes a list, got string"},
        {"return pipeline({ false, null }, function(x) return { x } end)", "[[false],[null]]"},
        {"return pipeline(files('*.c'), function(f) return read(f) end)", "[\"text of *.c\"]"},
    };
    run_cases(cases, COUNT(cases));
}

/* ---- race ---- */

static void race_takes_the_first_value(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"return { race({ function() return agent('wait=50 say slow') end, function() return agent('wait=10 say fast') "
         "end }) }",
         "[\"fast\",2]"},
        {"local v, i = race({ function() return nil end, function() return nil, 'e' end, function() error('x') end,"
         " function() return agent('wait=10 say v') end }) return { v, i }",
         "[\"v\",4]"},
        {"local v, f = race({ function() end, function() return nil, 'e' end }) return { v == nil, #f, f[1].index, "
         "f.dropped[1], f.at[2].message }",
         "[true,1,2,true,\"e\"]"},
        {"local v, f = race({}) return { v == nil, f }", "[true,[]]"},
        {"return { race({ function() return false end, function() return 1 end }) }", "[false,1]"},
        {"local seen = {} race({ function() agent('wait=20 say x') seen[#seen + 1] = 'loser' return 1 end, function() "
         "return 2 end })"
         " agent('wait=90 say y') return #seen",
         "0"},
        /* the losers go with all that is below them */
        {"local seen = {} race({ function() parallel({ function() agent('wait=50 say a') seen[1] = 1 end, function()"
         " pipeline({ 1, 2 }, function() agent('wait=60 say b') seen[2] = 1 end) end }) return 1 end,"
         " function() return agent('wait=10 say w') end }) agent('wait=200 say z') return next(seen) == nil",
         "true"},
        /* a branch that was to run next is killed by the one before it */
        {"local seen = {} local v, i = race({ function() return 1 end, function() seen[1] = 1 return 2 end }) return { "
         "v, i, #seen }",
         "[1,1,0]"},
        {"race({ 1 })", "!t.lua:1: race: item 1 is no function but a number"},
        {"race()", "!t.lua:1: race takes a list, got nil"},
        /* failures come in the order of their indexes */
        {"local _, f = race({ function() agent('wait=50 say a') return nil, 'late' end, function() return nil, 'soon' "
         "end })"
         " return { f[1].index, f[2].index }",
         "[1,2]"},
    };
    run_cases(cases, COUNT(cases));
    stage *w = stage_new(1, NULL, 0);
    char *source =
        with_meta("race({ function() return agent('wait=500 say a') end, function() return parallel({ function()"
                  " return agent('wait=500 say b') end }) end, function() return agent('wait=10 say c') end })"
                  " agent('wait=600 say d')");
    stage_run(w, source);
    wf_run_status status;
    wf_run_status_get(w->wf, &status);
    assert_int_equal(status.census.done, 2);
    assert_int_equal(status.census.cancelled, 2);
    assert_int_equal(status.census.failed, 0);
    stage_free(w);
    free(source);
}

/* ---- the rest of the API ---- */

static void effects_phases_and_notes(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"return files('a.c', 'b.c')", "[\"a.c\",\"b.c\"]"},
        {"local t, e = files('a.c') return { #t, e == nil }", "[1,true]"},
        {"local t, e = files('unreadable') return { t[1], e.kind, e.message }",
         "[\"there\",\"tool\",\"files: 2 files or directories could not be read and are not in the list, first: d/\"]"},
        {"return #files('unreadable')", "1"},
        {"return read('a.c')", "text of a.c"},
        {"local v, e = read('missing') return { v == nil, e.kind, e.message }",
         "[true,\"tool\",\"missing: no such file\"]"},
        {"files()", "!t.lua:1: files takes at least one glob"},
        {"files('a', 3)", "!t.lua:1: files: argument 2 is no text but a number"},
        {"read()", "!t.lua:1: read: the path takes a text, got nil"},
        {"phase()", "!t.lua:1: phase: the title takes a text, got nil"},
        {"log('%d', 'x')", "!t.lua:1: bad argument #2 to 'format'"},
        {"return now() > 1e9 and math.type(now())", "float"},
    };
    run_cases(cases, COUNT(cases));
    stage *w = stage_new(1, NULL, 0);
    char *source = with_meta("phase('One') log('%d of %s', 1, 'two') log('100%') log(3) print('a', 1, nil) log({})");
    stage_run(w, source);
    assert_string_equal(w->notes, "#One|-1 of two|-100%|-3|-a\t1\tnil|-table|");
    stage_free(w);
    free(source);
}

static void unchecked_keywords_are_named_once(void **state) {
    (void)state;
    stage *w = stage_new(1, NULL, 0);
    char *source =
        with_meta("local S = { type = 'object', properties = { n = { type = 'string', pattern = '^x' } } } "
                  "agent('1', { schema = S }) agent('2', { schema = S }) agent('3', { schema = { type = 'object' } }) "
                  "agent('4', { schema = { type = 'string', pattern = '^y' } })");
    stage_run(w, source);
    assert_string_equal(w->notes, "-schema: not checked: pattern|");
    stage_free(w);
    free(source);
}

/* However many schemas a script makes up, what is kept of them has a bound. */
static void unchecked_keywords_are_named_up_to_a_bound(void **state) {
    (void)state;
    stage *w = stage_new(1, NULL, 0);
    char *source = with_meta("for i = 1, 150 do agent('json 1', { schema = { ['x-' .. i] = 1 } }) end");
    uint32_t notes = 0;
    stage_run(w, source);
    for (const char *p = w->notes; (p = strchr(p, '|')) != NULL; p++)
        notes++;
    assert_int_equal(notes, 100);
    stage_free(w);
    free(source);
}

static void phases_are_each_branchs_own(void **state) {
    (void)state;
    stage *w = stage_new(1, NULL, 0);
    char *source =
        with_meta("phase('A') agent('1') parallel({ function() agent('2') phase('B') agent('wait=9 3') agent('4') end,"
                  " function() agent('wait=5 5') end, function() agent('6', { phase = 'C' }) end }) agent('7')");
    static const char *const want[] = {"A", "A", "A", "C", "B", "B", "A"};
    wf_call_info info;
    stage_run(w, source);
    for (uint32_t i = 0; i < COUNT(want); i++) {
        assert_int_equal(wf_call_get(w->wf, i, &info), WF_OK);
        assert_int_equal(info.phase.len, 1);
        if (info.phase.ptr[0] != want[i][0])
            fail_msg("call %u, %.*s, has phase %c", i + 1, (int)info.prompt.len, info.prompt.ptr, info.phase.ptr[0]);
    }
    stage_free(w);
    free(source);
}

static void args_arrive_parsed(void **state) {
    (void)state;
    static const struct {
        const char *args, *source, *want;
    } cases[] = {
        {NULL, "return { type(args), next(args) == nil }", "[\"table\",true]"},
        {"{\"a\": [1, {\"b\": null}]}", "return args", "{\"a\":[1,{\"b\":null}]}"},
        {"[1,2]", "return #args", "2"},
        {"[]", "return args", "[]"},
        {"{}", "return args", "{}"},
        {"null", "return args == null", "true"},
        {"\"text\"", "return args", "text"},
        {"7", "return args + 1", "8"},
        {"{\"dir\": 3}",
         "meta.args = { type = 'object', properties = { dir = { type = 'string' } } } return agent('x')",
         "!args do not match meta.args: /dir: "},
        {"{\"dir\": \"a\"}",
         "meta.args = { type = 'object', properties = { dir = { type = 'string' } } } return agent('say x')", "x"},
        {"{", "return 1", "!bad JSON"},
        {"[1e999]", "return 1", "!bad JSON"},
    };
    bool fine = true;
    for (size_t i = 0; i < COUNT(cases); i++) {
        stage *w = stage_new(1, NULL, 0);
        w->args = cases[i].args;
        fine &= run_in(w, cases[i].source, cases[i].want);
    }
    assert_true(fine);
}

static bool run_plain(const char *source, const char *want) {
    stage *w = stage_new(1, NULL, 0);
    stage_run(w, source);
    bool fine = result_is(w, source, want);
    stage_free(w);
    return fine;
}

static void meta_is_required(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"return 1", "!the script has no meta"},
        {"", "!the script has no meta"},
        {"agent('x')", "!t.lua:1: the script has no meta"},
        {"files('x')", "!t.lua:1: the script has no meta"},
        {"meta = 3 agent('x')", "!the script has no meta"},
        {"meta = { name = 'x' } agent('x')", "!the script has no meta"},
        {"meta = { name = 'x', description = 3 } agent('x')", "!the script has no meta"},
        {"meta = { name = 'x', description = 'd', budget = 7 } agent('x')", "!meta.budget takes a table"},
        {"meta = { name = 'x', description = 'd', budget = { eur = 7 } } agent('x')",
         "!meta.budget knows tokens and usd"},
        {"meta = { name = 'x', description = 'd', budget = { tokens = 100 } } local r, e = agent('x') "
         "return { r == nil, e.kind, budget.total('tokens') }",
         "[true,\"budget\",100]"},
        {"meta = { name = 'x', description = 'd', budget = { tokens = 20000, usd = 1.5 } } agent('x') "
         "return { budget.total('tokens'), budget.total('usd') }",
         "[20000,1.5]"},
        {"meta = { name = 'x', description = 'd', args = 3 } agent('x')", "!meta.args"},
        {"meta = { name = 'x', description = 'd', args = { f = print } } agent('x')",
         "!.f is a function, which has no JSON form"},
        {"meta = { name = 'x', description = 'd' } return agent('say x')", "x"},
        {"meta = { name = 'x', description = 'd', phases = { { title = 'A' } } } return 1", "1"},
    };
    bool fine = true;
    for (size_t i = 0; i < COUNT(cases); i++)
        fine &= run_plain(cases[i].source, cases[i].want);
    assert_true(fine);
}

static void meta_can_be_read_as_json(void **state) {
    (void)state;
    stage *w = stage_new(1, NULL, 0);
    const char *source =
        "meta = { name = 'n', description = 'd', phases = { { title = 'A' } } } agent('wait=10 say x')";
    wf_str json = {"", 0};
    stage_open_run(w, wf_str_of(source, strlen(source)));
    assert_int_equal(stage_open_script(w, wf_str_of(source, strlen(source))), WF_OK);
    assert_false(wf_script_meta(w->script, &json));
    while (stage_turn(w))
        assert_true(wf_script_meta(w->script, &json));
    stage_finish(w);
    assert_int_equal(json.len, strlen("{\"description\":\"d\",\"name\":\"n\",\"phases\":[{\"title\":\"A\"}]}"));
    assert_memory_equal(json.ptr, "{\"description\":\"d\",\"name\":\"n\",\"phases\":[{\"title\":\"A\"}]}", json.len);
    stage_free(w);
}

static void budget_counts_what_was_delivered(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"local a = budget.spent('tokens') agent('usage=40 say x') return { a, budget.spent('tokens'), "
         "budget.spent('usd') }",
         "[0,41,0]"},
        {"return { budget.total('tokens') == nil, budget.remaining('tokens') == math.huge, budget.remaining('usd') == "
         "math.huge }",
         "[true,true,true]"},
        {"local a = budget.spent('seconds') agent('wait=2500 say x') return { a, budget.spent('seconds'), "
         "budget.total('seconds') == nil }",
         "[0,2.5,true]"},
        {"budget.spent('euros')", "!t.lua:1: budget.spent takes \"usd\", \"tokens\" or \"seconds\""},
        {"budget.total()", "!t.lua:1: budget.total takes"},
        {"budget.remaining({})", "!t.lua:1: budget.remaining takes"},
    };
    run_cases(cases, COUNT(cases));
    stage *w = stage_new(1, NULL, 0);
    w->config.budget_tokens = 1000000;
    w->config.budget_nano_usd = UINT64_C(2500000000);
    w->config.run_ms = 60000;
    assert_true(run_in(w,
                       "agent('usage=40 say x') return { budget.total('tokens'), budget.remaining('tokens'),"
                       " budget.total('usd'), budget.remaining('usd'), budget.total('seconds') }",
                       "[1000000,999959,2.5,2.5,60]"));
}

static void random_and_now_come_from_the_log(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"local x = random() return x >= 0 and x < 1 and math.type(x)", "float"},
        {"for i = 1, 1000 do local x = random(6) assert(x >= 1 and x <= 6) end return random(3, 3)", "3"},
        {"for i = 1, 100 do local x = random(-5, 5) assert(x >= -5 and x <= 5) end return 1", "1"},
        {"return math.type(random(math.mininteger, math.maxinteger))", "integer"},
        {"random(0)", "!t.lua:1: random takes whole numbers m and n with m <= n"},
        {"random(1.5)", "!t.lua:1: random takes whole numbers"},
        {"random('x')", "!t.lua:1: random takes whole numbers"},
        {"random(2, 1)", "!t.lua:1: random takes whole numbers"},
        {"return math.random == random", "true"},
    };
    run_cases(cases, COUNT(cases));
    /* a resumed run sees the same numbers and times again, though its clock stands elsewhere */
    char *source =
        with_meta("local t = {} for i = 1, 3 do t[i] = random(1000000) agent('wait=70 say x') t[i + 3] = now() end"
                  " parallel({ function() t[7] = random(1000000) end, function() t[8] = random(1000000) end })"
                  " t[9] = now() return t");
    stage *w = stage_new(1, NULL, 0);
    stage_run(w, source);
    char *first = result_text(w);
    stage *v = stage_new(2, w->f->disk.data, w->f->disk.size);
    v->f->now += 123456;
    stage_run(v, source);
    char *again = result_text(v);
    assert_string_equal(first, again);
    assert_int_equal(v->f->requests, 0);
    stage_free(v);
    free(first);
    free(again);
    free(source);
    stage_free(w);
}

static void calls_from_where_nothing_can_wait_say_so(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"local t = setmetatable({}, { __index = function(_, k) return agent('say ' .. k) end }) return t.x", "x"},
        {"local t = setmetatable({}, { __tostring = function() return agent('say x') end }) return tostring(t)", "x"},
        {"local t = { 3, 1, 2 } table.sort(t, function(a, b) agent('say x') return a < b end) return t", "[1,2,3]"},
        {"return (('a'):gsub('a', function() return agent('say b') end))", "b"},
        {"local _ <close> = setmetatable({}, { __close = function() agent('say x') end }) return 1", "1"},
        {"return pcall(agent, 'say x')", "true"},
        {"local ok, v = pcall(agent, 'say x') return v", "x"},
        {"for v in function() return agent('say x') end do return v end", "x"},
    };
    run_cases(cases, COUNT(cases));
}

static void results_keep_their_shape(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"", ""},
        {"return nil", ""},
        {"return ''", ""},
        {"return 'text'", "text"},
        {"return true", "true"},
        {"return 1.5", "1.5"},
        {"return {}", "{}"},
        {"return json.array({})", "[]"},
        {"return { a = {}, b = json.array({}) }", "{\"a\":{},\"b\":[]}"},
        {"return null", "null"},
        {"return 1, 2", "1"},
        {"return nil, 'went wrong'", "!went wrong"},
        {"return nil, { kind = 'tool', message = 'm' }", "!tool: m"},
        {"return nil, {}", "!the script raised a value that is neither a text nor an error"},
        {"return print", "!the script's result"},
        {"local t = {} t.t = t return t", "!the script's result"},
        {"return 0/0", "!the script's result"},
        {"return { [1] = 1, x = 2 }", "!the script's result"},
        {"error('oops')", "!t.lua:1: oops\n1 | meta"},
        {"error({ kind = 'mine', message = 'why' })", "!mine: why"},
        {"error({})", "!neither a text nor an error"},
        {"error()", "!neither a text nor an error"},
        {"error(setmetatable({}, { __tostring = function() error('x') end }))", "!neither a text nor an error"},
        {"\nlocal function f() error('deep') end\nlocal function g() f() end\n g()",
         "!t.lua:2: deep\n2 | local function f() error('deep') end\n  at t.lua:2 in f\n  at t.lua:3 in g\n  at "
         "t.lua:4"},
        {"parallel({ function() local x = nil; x.y = 1 end }) return unknwon", "!undefined global 'unknwon'"},
        {"return prallel", "!undefined global 'prallel' (did you mean 'parallel'?)"},
    };
    run_cases(cases, COUNT(cases));
}

/* ---- fan-outs of any size ---- */

static void fan_outs_are_windowed_and_bounded(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"local n, most, live = 0, 0, 0 local fns = {} for i = 1, 3000 do fns[i] = function() live = live + 1"
         " if live > most then most = live end n = n + 1 if i % 500 == 0 then agent('say x') end live = live - 1 "
         "return i end end"
         " local r = parallel(fns) return { n, r[3000], #r, most <= 1280 }",
         "[3000,3000,3000,true]"},
        {"local items = {} for i = 1, 100000 do items[i] = i end local r = pipeline(items, function(x) return x * 2 "
         "end)"
         " return { #r, r[100000] }",
         "[100000,200000]"},
        {"local items = {} for i = 1, 100001 do items[i] = i end pipeline(items, function(x) return x end)",
         "!pipeline: 100001 items, more than the limit of 100000 for one fan-out"},
        {"local f, items = function() end, {} for i = 1, 1000000 do items[i] = f end parallel(items)",
         "!parallel: 1000000 items, more than the limit of 100000"},
        {"local live, most = 0, 0 local items = {} for i = 1, 2500 do items[i] = i end"
         " pipeline(items, function(x) live = live + 1 most = math.max(most, live) read('x') live = live - 1 return x "
         "end) return most",
         "1280"},
        {"local t = setmetatable({}, { __len = function() return 1 << 60 end }) parallel(t)", "!more than the limit"},
        {"local t = setmetatable({}, { __len = function() return 'x' end }) parallel(t)", "!parallel"},
        {"local t = setmetatable({}, { __len = function() return -5 end }) return parallel(t)", "[]"},
        {"local t = setmetatable({}, { __len = function() return 2.5 end }) return parallel(t)", "!parallel"},
    };
    bool fine = true;
    for (size_t i = 0; i < COUNT(cases); i++) {
        stage *w = stage_new(1, NULL, 0);
        w->script_size = 48u << 20;
        fine &= run_in(w, cases[i].source, cases[i].want);
    }
    assert_true(fine);
}

/* ---- stops ---- */

static void partial_results_come_out(void **state) {
    (void)state;
    bool fine = true;
    static const run_case spent[] = {
        {"local r, f = parallel({ function() return agent('usage=900 say a') end, function() return agent('wait=50 say "
         "b') end })"
         " local c, e = agent('say c') return { c == nil, e.kind, e.stop }",
         "[true,\"budget\",true]"},
        {"while true do assert(agent('usage=900 say x')) end", "!budget: "},
        {"agent('usage=900 say a') while agent('usage=900 say x') do end while true do end", "!ran too long"},
    };
    for (size_t i = 0; i < COUNT(spent); i++) {
        stage *w = stage_new(1, NULL, 0);
        w->config.budget_tokens = 1900;
        w->max_ms = 500;
        fine &= run_in(w, spent[i].source, spent[i].want);
    }
    assert_true(fine);
}

/* Stops the run from outside after so many turns of the pump. */
static void run_cancelled(const char *body, uint64_t turns, const char *want) {
    stage *w = stage_new(1, NULL, 0);
    char *source = with_meta(body);
    stage_open_run(w, wf_str_of(source, strlen(source)));
    w->max_ms = 500;
    assert_int_equal(stage_open_script(w, wf_str_of(source, strlen(source))), WF_OK);
    while (stage_turn(w))
        if (w->turns == turns) wf_run_stop(w->wf, WF_RUN_CANCELLED, WF_STR("cancelled by the test"));
    stage_finish(w);
    bool fine = result_is(w, body, want);
    wf_run_status status;
    wf_run_status_get(w->wf, &status);
    assert_int_equal(status.outcome, WF_RUN_CANCELLED);
    stage_free(w);
    free(source);
    assert_true(fine);
}

static void a_cancelled_run_wakes_all_that_wait(void **state) {
    (void)state;
    run_cancelled("assert(agent('wait=900000 say x'))", 3, "!cancelled: cancelled by the test");
    run_cancelled("local r, e = agent('wait=900000 say x') return e.kind", 3, "cancelled");
    run_cancelled("local fns = {} for i = 1, 50 do fns[i] = function() return agent('wait=900000 say x') end end"
                  " local r, f = parallel(fns) return { #f, f[50].error.kind }",
                  3, "[50,\"cancelled\"]");
    run_cancelled("local r = race({ function() return agent('wait=900000 say x') end }) return { r == nil }", 3,
                  "[true]");
    run_cancelled("agent('wait=900000 say x') while true do end", 3, "!ran too long");
}

/* ---- verify and vote ---- */

static void verify_and_vote_never_answer_a_bare_false(void **state) {
    (void)state;
    /* the agents of this model do not read; what they answer is planned here by the claim's first words */
    static const run_case cases[] = {
        {"return verify({})", "[]"},
        {"local kept, rest = verify({}) return { kept, rest }", "[[],[]]"},
        {"local v, d = verify('no model answers this with a verdict') return { v, d.heard, d.asked, #d.failures }",
         "[\"not run\",0,2,2]"},
        {"local kept, rest = verify({ 'a', 'b' }) return { #kept, #rest, rest[1].verdict, rest[2].claim }",
         "[0,2,\"not run\",\"b\"]"},
        {"local v, d = vote('q', { voters = 5 }) return { v, d.asked }", "[\"not run\",5]"},
        {"verify()", "!verify takes a claim or a list of claims, got nil"},
        {"verify('x', { lens = {} })", "!verify: there is no option 'lens' (did you mean 'lenses'?)"},
        {"verify('x', { lenses = {} })", "!verify: lenses takes a list of at least one text"},
        {"verify('x', { lenses = { 1, {} } })", "!verify: lenses takes a list of at least one text"},
        {"verify('x', 3)", "!verify: options take a table, got number"},
        {"vote()", "!vote takes a question, got nil"},
        {"vote('q', { voters = 0 })", "!vote: voters takes a whole number from 1 to 100"},
        {"vote('q', { voters = 'x' })", "!vote: voters takes a whole number from 1 to 100"},
    };
    run_cases(cases, COUNT(cases));
}

static void long_answer(fake *f, const fake_request *request, fake_answer *out) {
    const size_t n = 1u << 20;
    char *text = malloc(n + 1);
    (void)f;
    (void)request;
    assert_non_null(text);
    memset(text, 'x', n);
    text[n] = 0;
    fake_reply(out, "end_turn", "[{\"type\":\"text\",\"text\":\"%s\"}]", text);
    free(text);
}

/* An answer that the script cannot hold or read fails its call, not the run. */
static void answers_that_cannot_be_had(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"local v, e = agent('json {\"n\":1e999}', { schema = { type = 'object' } }) return { v == nil, e.kind, "
         "e.message }",
         "[true,\"schema\",\"bad JSON at line 1, column 6: the number is out of range\"]"},
        {"local r, f = parallel({ function() return agent('json {\"n\":1e999}', { schema = { type = 'object' } }) end,"
         " function() return agent('say fine') end }) return { r, f[1].error.kind }",
         "[[false,\"fine\"],\"schema\"]"},
    };
    run_cases(cases, COUNT(cases));
    stage *w = stage_new(1, NULL, 0);
    w->script_size = 512u << 10;
    w->f->model = long_answer;
    assert_true(run_in(w, "local ok, e = pcall(agent, 'x') return { ok, e }", "out of memory"));
}

/* An error of Lua's own memory, which no handler sees, is told as others are. */
static void a_text_that_is_too_long_fails_its_branch(void **state) {
    (void)state;
    stage *w = stage_new(1, NULL, 0);
    w->script_size = (size_t)128 << 20;
    assert_true(run_in(w,
                       "local a = ('x'):rep(6 << 20) local r, f = parallel({ function() return (table.concat({ a, a "
                       "})) end }) return { r[1], f[1].error.kind, (f[1].error.message:gsub(' than.*', '')) }",
                       "[false,\"script\",\"a text of more\"]"));
}

/* What a script makes of its globals is its own business: the functions that it has kept go on. */
static void globals_are_the_scripts_own(void **state) {
    (void)state;
#define TAKE_ALL                                                                                                       \
    "local type, pairs, _ENV2 = type, pairs, _ENV "                                                                    \
    "for name, v in pairs(_ENV2) do if name ~= 'meta' and name ~= 'args' then "                                        \
    "if type(v) == 'table' then for member in pairs(v) do v[member] = 'mine' end end _ENV2[name] = 'mine' end end "
    static const run_case cases[] = {
        {"local verify, select = verify, select " TAKE_ALL "return (select('#', verify({})))", "2"},
        {"local vote = vote " TAKE_ALL "return (vote('q', { voters = 1 }))", "not run"},
        {"local random = random " TAKE_ALL "return random(1, 6) <= 6", "true"},
        {"local parallel, agent = parallel, agent " TAKE_ALL "return (parallel({ function() return agent('say x') "
         "end }))",
         "[\"x\"]"},
        {"local pipeline, race = pipeline, race " TAKE_ALL
         "return { (pipeline({ 1 }, function(x) return x + 1 end)), (race({ function() return 3 end })) }",
         "[[2],3]"},
        {"local files, read, exec, ask = files, read, exec, ask " TAKE_ALL
         "return { #files('*') > 0, read('f') ~= nil, exec('x').code, ask('q', { choices = { 'a', 'b' } }) }",
         "[true,true,0,\"a\"]"},
        {"local log, phase, now, budget = log, phase, now, budget.spent " TAKE_ALL
         "log('%s', 1) phase('p') return { now() >= 0, budget('usd') }",
         "[true,0]"},
        {"local sort, concat, gsub, encode = table.sort, table.concat, string.gsub, json.encode " TAKE_ALL
         "local t = { 3, 1, 2 } sort(t) return { concat(t), (gsub('aaa', 'a', 'b')), encode(t) }",
         "[\"123\",\"bbb\",\"[1,2,3]\"]"},
    };
    run_cases(cases, COUNT(cases));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agent_answers_with_text_or_table),
        cmocka_unit_test(agent_fails_with_an_error_table),
        cmocka_unit_test(agent_refuses_wrong_arguments),
        cmocka_unit_test(check_rejects_with_a_reason),
        cmocka_unit_test(check_rejects_a_placeholder_that_fits_the_schema),
        cmocka_unit_test(what_is_rejected_for_good_counts_as_failed),
        cmocka_unit_test(parallel_keeps_the_order_of_its_input),
        cmocka_unit_test(parallel_tells_failed_from_dropped),
        cmocka_unit_test(pipeline_has_no_barrier),
        cmocka_unit_test(race_takes_the_first_value),
        cmocka_unit_test(effects_phases_and_notes),
        cmocka_unit_test(unchecked_keywords_are_named_once),
        cmocka_unit_test(unchecked_keywords_are_named_up_to_a_bound),
        cmocka_unit_test(phases_are_each_branchs_own),
        cmocka_unit_test(args_arrive_parsed),
        cmocka_unit_test(meta_is_required),
        cmocka_unit_test(meta_can_be_read_as_json),
        cmocka_unit_test(budget_counts_what_was_delivered),
        cmocka_unit_test(random_and_now_come_from_the_log),
        cmocka_unit_test(calls_from_where_nothing_can_wait_say_so),
        cmocka_unit_test(results_keep_their_shape),
        cmocka_unit_test(globals_are_the_scripts_own),
        cmocka_unit_test(a_text_that_is_too_long_fails_its_branch),
        cmocka_unit_test(fan_outs_are_windowed_and_bounded),
        cmocka_unit_test(partial_results_come_out),
        cmocka_unit_test(a_cancelled_run_wakes_all_that_wait),
        cmocka_unit_test(answers_that_cannot_be_had),
        cmocka_unit_test(verify_and_vote_never_answer_a_bare_false),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
