/* Work that is over leaves nothing in the script's heap and in the run's: each kind is done some times, counted, done 1,000
 * times more, and counted again. Blocks and bytes must be the same.
 *
 * What may grow is known, and is none of it in these heaps: the log, and the tables of agents and calls, which have their rows
 * from the start. Lua's own tables and stacks keep what room they once took; the warm-up has them take it. */
#include "cases.h"

#include "tests/fake/counts.h"

#define WARM  200u
#define TIMES 1000u

typedef struct work {
    const char *name;
    const char *before; /* once, at the top of the script; may be NULL */
    const char *body;   /* of work(i); i has four digits, so that texts that name it are all as long */
} work;

typedef struct meter {
    stage *stage;
    counts at[2];
    uint32_t taken;
} meter;

static meter now;

/* A collection lets go of stacks and of the table of texts by halves: it is asked for until nothing more goes. */
static wf_heap_use collected(wf_script *script) {
    wf_heap_use use = {.used = SIZE_MAX}, last;
    do {
        last = use;
        wf_script_collect(script);
        wf_script_memory(script, &use);
    } while (use.used < last.used);
    return use;
}

/* The script says "count" where nothing of its work is under way. */
static void count_here(void *ctx, const wf_trace *event) {
    stage *s = ((fake *)ctx)->user;
    if (event->type != WF_TRACE_NOTE || event->text.len != 5 || memcmp(event->text.ptr, "count", 5) != 0) return;
    assert_true(now.taken < 2 && s == now.stage);
    counts *c = &now.at[now.taken++];
    wf_memory memory;
    wf_memory_stats(s->wf, &memory);
    counts_begin(c);
    counts_add(c, "script", collected(s->script));
    counts_add(c, "messages", memory.heap);
}

static stage *stage_for(const stage_file *files, uint64_t seed) {
    stage *s = stage_new(seed, NULL, 0);
    s->script_size = 128u << 20; /* a stack that overflows takes most of it */
    s->files = files;
    s->f->platform.trace = count_here;
    s->config.max_agents = s->config.max_calls = 20000;
    s->config.heap = (size_t)192 << 10;
    s->config.schema_tries = 2;
    s->block_size = wf_memory_needed(&s->config);
    return s;
}

static bool leaves_nothing(const work *w, const stage_file *files, uint64_t seed) {
    size_t cap = strlen(w->body) + (w->before ? strlen(w->before) : 0) + 400;
    char *source = malloc(cap);
    stage *s = stage_for(files, seed);
    assert_non_null(source);
    snprintf(source, cap,
             META "%s\nlocal function work(i) %s end\n"
                  "local function times(from, n) for i = from, from + n - 1 do work(i) end end\n"
                  "do local t = {} for k = 1, 3000 do t[k] = 'text ' .. k end end\n" /* room in Lua's table of texts */
                  "times(2000, %u) log('count') times(4000, %u) log('count')",
             w->before ? w->before : "", w->body, WARM, TIMES);
    now = (meter){.stage = s};
    stage_run(s, source);
    bool fine = !s->result.failed && now.taken == 2;
    if (!fine) print_error("%s: %.*s\n", w->name, (int)s->result.value.len, s->result.value.ptr);
    fine = fine && counts_same(w->name, TIMES, &now.at[0], &now.at[1]);
    stage_free(s);
    free(source);
    return fine;
}

static void all_leave_nothing(const work *works, size_t count, const stage_file *files) {
    bool fine = true;
    for (size_t i = 0; i < count; i++)
        fine &= leaves_nothing(&works[i], files, i);
    assert_true(fine);
}

/* ---- the language ---- */

static void lua_leaves_nothing(void **state) {
    (void)state;
    static const work works[] = {
        {"empty tables", NULL, "for _ = 1, 100 do local t = {} end"},
        {"tables that grow and shrink", NULL,
         "local t = {} for k = 1, 300 do t[k], t['k' .. k] = k, { k } end for k in pairs(t) do t[k] = nil end "
         "t[1] = table.pack(table.unpack({ 1, 2, 3 })) table.sort({ 3, 1, 2 })"},
        {"texts", NULL,
         "local s = string.rep('a,b;', 200) .. i local n = 0 for w in s:gmatch('[^,;]+') do n = n + #w end "
         "s = s:gsub('a', { a = 'xyz' }):gsub('b', function(c) return c:upper() end) "
         "assert(s:find('xyz', 1, true) and s:format(i) and s:sub(3, 9):byte(1, -1) and ('%5d %q'):format(i, s))"},
        {"closures and metatables", NULL,
         "local t = setmetatable({}, { __index = function(_, k) return k .. i end, __gc = nil }) "
         "local f = function() return t.a .. t.b end assert(f() == 'a' .. i .. 'b' .. i)"},
        {"JSON", NULL,
         "local v = json.decode(json.encode({ a = { 1, 2.5, 'x' .. i, {} }, b = json.array({}), c = null, d = true })) "
         "assert(v.a[3] == 'x' .. i and not pcall(json.decode, '{\"a\":[1,2') and not pcall(json.encode, print))"},
        {"errors caught", NULL,
         "local function deep(n) if n == 0 then error({ at = i }) end return deep(n - 1) + 1 end "
         "assert(not pcall(error, 'text ' .. i)) assert(not pcall(deep, 50)) "
         "assert(not pcall(function() local x = nil; return x.y end)) "
         "assert(not pcall(function() return i .. {} end)) assert(not pcall(error)) "
         "xpcall(deep, function(e) return tostring(e) end, 20)"},
        {"stacks that overflow", NULL,
         "if i % 50 == 0 then assert(not pcall(function() local function f() return f() .. '' end return f() end)) "
         "end"},
        {"notes and phases", NULL, "phase('part ' .. i) log('note %d', i) print('said', i)"},
        {"wrong calls caught", NULL,
         "assert(not pcall(agent)) assert(not pcall(agent, 'x', { lable = 'x' })) assert(not pcall(read)) "
         "assert(not pcall(parallel, { 1 })) assert(not pcall(agent, 'x', { schema = 7 }))"},
    };
    all_leave_nothing(works, COUNT(works), NULL);
}

/* ---- agents, however they end ---- */

#define SCHEMA             "local S = { type = 'object', properties = { n = { type = 'integer' } }, required = { 'n' } }"
#define FAILS(call, kind_) "local v, e = " call " assert(v == nil and e.kind == '" kind_ "', tostring(e))"

static void agents_leave_nothing(void **state) {
    (void)state;
    static const work works[] = {
        {"agents", NULL, "assert(agent('say ' .. i, { label = 'l' .. i }) == tostring(i))"},
        {"agents that share their prompt", NULL, "assert(agent('say again') == 'again')"},
        {"agents with a schema", SCHEMA, "assert(agent('json {\"n\":' .. i .. '}', { schema = S }).n == i)"},
        {"agents with a schema each", NULL,
         "local S = { type = 'object', description = string.rep('d', 1500) .. i, properties = { n = { type = 'integer' "
         "} } } "
         "assert(agent('json {\"n\":1}', { schema = S }).n == 1)"},
        {"schemas with unknown keywords", NULL,
         "local S = { type = 'object', ['x-' .. i] = 1 } assert(agent('json {}', { schema = S }))"},
        {"schema retries", SCHEMA, FAILS("agent('json {\"n\":\"x' .. i .. '\"}', { schema = S })", "schema")},
        {"answers rejected by check", NULL,
         FAILS("agent('say ' .. i, { check = function(a) return false, 'not ' .. a end })", "schema")},
        {"refusals", NULL, FAILS("agent('refuse')", "refused")},
        {"errors of the provider", NULL, FAILS("agent('status=500 x' .. i)", "provider")},
        {"errors that a retry cures", NULL, "assert(agent('status=529 times=1 say ' .. i) == tostring(i))"},
        {"bad requests", NULL, FAILS("agent('status=400 x' .. i)", "provider")},
        {"contexts outgrown", NULL, FAILS("agent('status=413 x' .. i)", "context")},
        {"deadlines", NULL, FAILS("agent('wait=9000 x' .. i, { deadline = 0.5 })", "deadline")},
        {"stalls", NULL, FAILS("agent('wait=9000 x' .. i, { stall = 0.5 })", "stall")},
        {"turns used up", SCHEMA, FAILS("agent('json {\"n\":\"x\"}', { schema = S, max_turns = 1 })", "turns")},
        {"budgets of an agent", SCHEMA,
         FAILS("agent('usage=900 json {\"n\":\"x\"}', { schema = S, budget = { tokens = 800 } })", "budget")},
    };
    all_leave_nothing(works, COUNT(works), NULL);
}

/* ---- many at once ---- */

static void fan_outs_leave_nothing(void **state) {
    (void)state;
    static const work works[] = {
        {"parallel", NULL,
         "local r, f = parallel({ function() return agent('say a') end, function() return agent('refuse') end, "
         "function() error('raised ' .. i) end, function() return nil end }) "
         "assert(r[1] == 'a' and f.at[2].kind == 'refused' and f.at[3].kind == 'script' and f.dropped[4])"},
        {"pipelines", NULL,
         "local r = pipeline({ 1, 2, 3 }, function(x) return agent('say ' .. x) end, "
         "function(x) if x == '2' then return nil, 'no' end return agent('say ' .. x) end) assert(r[3] == '3')"},
        {"fan-outs within fan-outs", NULL,
         "local function f() return parallel({ function() return i end, function() return agent('say b') end }) end "
         "local r = parallel({ f, f, function() return parallel({ f }) end }) assert(r[1][1] == i)"},
        {"races and their losers", NULL,
         "local r = race({ function() return agent('wait=5000 say slow') end, function() return agent('say fast') end, "
         "function() return parallel({ function() return agent('wait=7000 x') end }) end }) assert(r == 'fast')"},
        {"races without a winner", NULL,
         "local r, f = race({ function() return agent('refuse') end, function() error('x') end }) assert(r == nil)"},
        {"wide fan-outs", NULL,
         "if i % 50 > 0 then return end local t = {} for k = 1, 100 do t[k] = function() return agent('say ' .. k) end "
         "end "
         "assert(parallel(t)[100] == '100')"},
        {"verify", NULL, "assert(verify('claim ' .. i) == 'not run') verify({ 'a', 'b' }, { lenses = { 'one' } })"},
        {"vote", NULL, "assert(vote('json question ' .. i, { voters = 2 }) == 'not run')"},
    };
    all_leave_nothing(works, COUNT(works), NULL);
}

/* ---- what scripts do themselves ---- */

static void effects_leave_nothing(void **state) {
    (void)state;
    static const work works[] = {
        {"files and read", NULL, "assert(#files('a.c', 'b.c') == 2 and read('a' .. i) == 'text of a' .. i)"},
        {"files that are missing", NULL, FAILS("read('missing')", "tool")},
        {"exec", NULL, "assert(exec('make ' .. i).out == 'ran' and exec({ 'ls', '-l' }, { input = 'x' }).code == 0)"},
        {"commands that fail", NULL, FAILS("exec('fail')", "tool")},
        {"questions", NULL, "assert(ask('Go on?', { choices = { 'yes', 'no' } }) == 'yes' and ask('How?') == 'well')"},
    };
    all_leave_nothing(works, COUNT(works), NULL);
}

/* Each is read once, and kept: that is before the first count. */
static void workflows_leave_nothing(void **state) {
    (void)state;
    static const stage_file files[] = {
        {".wf/workflows/inner.lua",
         META "local a = agent('say ' .. args.i) local r = parallel({ function() return a end }) return r"},
        {".wf/workflows/fails.lua", META "error('inside ' .. args.i)"},
        {".wf/agents/critic.md", "---\ntools: none\n---\nBe strict."},
        {NULL, NULL}};
    static const work works[] = {
        {"workflows", NULL, "assert(workflow('inner', { i = i })[1] == tostring(i))"},
        {"workflows that fail", NULL, "assert(not pcall(workflow, 'fails', { i = i }))"},
        {"workflows that are missing", NULL, "assert(not pcall(workflow, 'absent'))"},
        {"agent types", NULL, "assert(agent('say ' .. i, { agent_type = 'critic' }) == tostring(i))"},
    };
    all_leave_nothing(works, COUNT(works), files);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lua_leaves_nothing),      cmocka_unit_test(agents_leave_nothing),
        cmocka_unit_test(fan_outs_leave_nothing),  cmocka_unit_test(effects_leave_nothing),
        cmocka_unit_test(workflows_leave_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
