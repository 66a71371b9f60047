/* Scripts that mean harm, or merely went wrong: each ends, within its time and memory, as a failed run with a message
 * that says what is the matter; or does no harm and says so by its result. */
#include "stage.h"

#define META     "meta = { name = 't', description = 'd' } "
#define COUNT(a) (sizeof(a) / sizeof *(a))
#define FEW_MS   50u

typedef struct hostile_case {
    const char *source;
    const char *want; /* "!TEXT": fails and the error holds TEXT; "$": memory ran out; else the result */
} hostile_case;

static bool holds(wf_str text, const char *part) {
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= text.len; i++)
        if (memcmp(text.ptr + i, part, n) == 0) return true;
    return n == 0;
}

static bool run_bytes(stage *s, const char *name, wf_str source, const char *want) {
    stage_run_text(s, source);
    bool failure = want[0] == '!';
    const wf_script_result *r = &s->result;
    bool starved = want[0] == '$';
    bool fine =
        r->failed == failure && s->starved == starved &&
        (starved || (failure ? holds(r->value, want + 1) : r->value.len == strlen(want) && holds(r->value, want)));
    if (!fine)
        print_error("%s\n  wanted: %s\n  got:    %s%.*s\n", name, want, r->failed ? "!" : "", (int)r->value.len,
                    r->value.ptr);
    wf_run_status status;
    wf_run_status_get(s->wf, &status);
    assert_true(status.outcome == (failure   ? WF_RUN_FAILED
                                   : starved ? WF_RUN_PAUSED
                                             : WF_RUN_DONE) ||
                status.outcome == WF_RUN_BUDGET);
    stage_free(s);
    return fine;
}

static bool run_hostile(stage *s, const char *body, const char *want) {
    char *source = malloc(strlen(body) + sizeof META);
    assert_non_null(source);
    sprintf(source, META "%s", body);
    if (s->max_ms == 0) s->max_ms = FEW_MS;
    bool fine = run_bytes(s, body, wf_str_of(source, strlen(source)), want);
    free(source);
    return fine;
}

static void run_all(const hostile_case *cases, size_t count, uint64_t max_ms) {
    bool fine = true;
    for (size_t i = 0; i < count; i++) {
        stage *s = stage_new(1, NULL, 0);
        s->max_ms = max_ms;
        fine &= run_hostile(s, cases[i].source, cases[i].want);
    }
    assert_true(fine);
}

#define ENDLESS "!ran too long"
#define MEMORY  "$" /* paused for want of memory */
#define NO_META "!the script has no meta"

static void endless_loops_end(void **state) {
    (void)state;
    static const hostile_case cases[] = {
        {"while true do end", ENDLESS},
        {"while true do pcall(function() while true do end end) end", ENDLESS},
        {"local function f() pcall(f) f() end f()", ENDLESS},
        {"while true do pcall(error) end", ENDLESS},
        {"while true do pcall(pcall, pcall, pcall, error) end", ENDLESS},
        {"while true do xpcall(function() while true do end end, function() while true do end end) end", ENDLESS},
        {"xpcall(error, function() while true do end end)", ENDLESS},
        {"local t = {} for i = 1, 100 do t[i] = i end table.sort(t, function() while true do end end)", ENDLESS},
        {"table.sort({ 3, 1, 2 }, function() pcall(function() while true do end end) end)", ENDLESS},
        {"('a'):gsub('a', function() while true do end end)", ENDLESS},
        {"local t = setmetatable({}, { __index = function() while true do end end }) return t.x", ENDLESS},
        {"local t = setmetatable({}, { __newindex = function() while true do end end }) t.x = 1", ENDLESS},
        {"local t = setmetatable({}, { __lt = function() while true do end end }) return t < t", ENDLESS},
        {"local t = setmetatable({}, { __le = function() while true do end end }) return t <= t", ENDLESS},
        {"local t = setmetatable({}, { __eq = function() while true do end end }) return t == setmetatable({}, "
         "getmetatable(t))",
         ENDLESS},
        {"local t = setmetatable({}, { __concat = function() while true do end end }) return t .. t", ENDLESS},
        {"local t = setmetatable({}, { __len = function() while true do end end }) return #t", ENDLESS},
        {"local t = setmetatable({}, { __len = function() while true do end end }) parallel(t)", ENDLESS},
        {"local t = setmetatable({}, { __unm = function() while true do end end }) return -t", ENDLESS},
        {"local t = setmetatable({}, { __call = function() while true do end end }) t()", ENDLESS},
        {"local t = setmetatable({}, { __tostring = function() while true do end end }) return tostring(t)", ENDLESS},
        {"local t = setmetatable({}, { __tostring = function() while true do end end }) print(t)", ENDLESS},
        {"local t = setmetatable({}, { __tostring = function() while true do end end }) log(t)", ENDLESS},
        {"local t = setmetatable({}, { __tostring = function() while true do end end }) return ('%s'):format(t)",
         ENDLESS},
        {"local t = setmetatable({}, { __pairs = function() while true do end end }) for _ in pairs(t) do end",
         ENDLESS},
        {"local t = setmetatable({}, { __close = function() while true do end end }) local _ <close> = t", ENDLESS},
        {"local t = setmetatable({}, { __close = function() while true do end end }) pcall(function() local _ <close> "
         "= t error() end)",
         ENDLESS},
        {"local t = setmetatable({}, { __close = function() while true do end end })"
         " race({ function() local _ <close> = t agent('wait=100 say a') return 1 end, function() return 2 end }) "
         "return 'unharmed'",
         "unharmed"},
        {"for _ in function() return 1 end do end", ENDLESS},
        {"::top:: goto top", ENDLESS},
        {"return ('x'):rep(100000):find(('.-'):rep(30) .. 'b')", ENDLESS},
        {"return ('a'):rep(300000):find('.-.-.-b')", ENDLESS},
        {"while true do pcall(string.find, ('a'):rep(300000), '.-.-.-b') end", ENDLESS},
        {"return (('a'):rep(300000):gsub('.-.-.-b', ''))", ENDLESS},
        {"for _ in (('a'):rep(300000)):gmatch('.-.-.-b') do end", ENDLESS},
        {"parallel({ function() while true do end end })", ENDLESS},
        {"parallel({ function() while true do phase('x') end end, function() return agent('say x') end })", ENDLESS},
        {"while true do parallel({ function() end }) end", ENDLESS},
        {"while true do parallel({}) end", ENDLESS},
        {"while true do race({ function() return 1 end, function() return 2 end }) end", ENDLESS},
        {"while true do now() random() budget.spent('usd') end", ENDLESS},
        {"while true do json.decode('[1,2,3]') end", ENDLESS},
        {"agent('x', { check = function() while true do end end })", ENDLESS},
        {"exec(setmetatable({}, { __len = function() return 1 << 60 end, __index = function() return 'x' end }))",
         ENDLESS},
        {"exec('x', { env = setmetatable({}, { __pairs = function() return function() return 'A', 'x' end end }) })",
         ENDLESS},
        {"ask('q', { choices = setmetatable({}, { __len = function() return 1 << 60 end, __index = function(_, i) "
         "return 'x' .. "
         "i end }) })",
         ENDLESS},
        {"ask('q', setmetatable({}, { __pairs = function() while true do end end }))", ENDLESS},
        {"while true do pcall(exec) pcall(ask) pcall(workflow) end", ENDLESS},
    };
    run_all(cases, COUNT(cases), FEW_MS);
}

#define FLOW "meta = { name = 'w', description = 'w' } "

static void workflows_inside_do_no_harm(void **state) {
    (void)state;
    static char large[50000];
    memset(large, ' ', sizeof large - 1);
    memcpy(large, FLOW, strlen(FLOW));
    const stage_file files[] = {{"endless.lua", FLOW "while true do end"},
                                {"greedy.lua", FLOW "local s = 'x' while true do s = s .. s end"},
                                {"empty.lua", FLOW},
                                {"large.lua", large},
                                {"bytes.lua", "\033Lua"},
                                {"raise.lua", "error(setmetatable({}, { __tostring = function() error('x') end }))"},
                                {"evil.lua",
                                 FLOW "meta = setmetatable({}, { __index = function() while true do end end }) "
                                      "return agent('x')"},
                                {".wf/agents/spaces.md", "---\ntools: a                                  b\n---\nx"},
                                {".wf/agents/list.md", "---\n- a\n- b\n:\n---\nx"},
                                {NULL, NULL}};
    static const hostile_case cases[] = {
        {"workflow('endless.lua')", ENDLESS},
        {"while true do pcall(workflow, 'endless.lua') end", ENDLESS},
        {"workflow('greedy.lua')", MEMORY},
        {"while true do workflow('empty.lua') end", ENDLESS},
        {"while true do workflow('large.lua') end", ENDLESS},
        {"while true do pcall(workflow, 'nobody') end", ENDLESS},
        {"parallel({ function() while true do workflow('empty.lua') end end, function() return agent('say x') end })",
         ENDLESS},
        {"local function f() return workflow('empty.lua', f) end f()", "!which has no JSON form"},
        {"return workflow('bytes.lua')", "!bytes.lua"},
        {"return workflow('raise.lua')", "!neither a text nor an error"},
        {"workflow('evil.lua')", ENDLESS},
        {"local t = setmetatable({}, { __tostring = function() return workflow('empty.lua') end }) "
         "return pcall(string.format, '%s', t)",
         "false"},
        {"return agent('say x', { agent_type = 'spaces' })", "x"},
        {"return agent('say x', { agent_type = 'list' })", "x"},
    };
    bool fine = true;
    for (size_t i = 0; i < COUNT(cases); i++) {
        stage *s = stage_new(1, NULL, 0);
        s->files = files;
        s->max_ms = 500;
        fine &= run_hostile(s, cases[i].source, cases[i].want);
    }
    assert_true(fine);
}

/* The log is on a disk, which others use too. */
static void lines_are_bounded(void **state) {
    (void)state;
    static const hostile_case cases[] = {
        {"local s = ('x'):rep(1 << 20) for i = 1, 60 do log(s) end return 'fine'", "fine"},
        {"local s = ('x'):rep(1 << 20) for i = 1, 70 do log(s) end", "!t.lua:1: log and phase: more than 64 MiB"},
        {"local s = ('x'):rep(1 << 20) for i = 1, 70 do phase(s) end", "!log and phase: more than 64 MiB"},
        {"while true do pcall(log, ('x'):rep(1 << 20)) end", ENDLESS},
    };
    bool fine = true;
    for (size_t i = 0; i < COUNT(cases); i++) {
        stage *s = stage_new(1, NULL, 0);
        s->max_ms = 500;
        fine &= run_hostile(s, cases[i].source, cases[i].want);
    }
    assert_true(fine);
}

static void memory_is_bounded(void **state) {
    (void)state;
    static const hostile_case cases[] = {
        {"return ('x'):rep(1 << 30)", "!"},
        {"return ('x'):rep(1 << 62)", "!"},
        {"local ok, e = pcall(string.rep, 'x', 1 << 30) return { ok, e }",
         "[false,\"t.lua:1: string.rep: a text of more than 12582912 bytes; build it in parts\"]"},
        {"while true do pcall(string.rep, 'x', 1 << 30) end", ENDLESS},
        {"while true do pcall(string.rep, 'x', 1 << 20) end", ENDLESS},
        {"local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k + 1] end return t[1]",
         "!overflow"},
        {"local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x", "!loop"},
        {"local t = {} for i = 1, 300 do t = setmetatable({}, { __index = t }) end return t.x == nil", "true"},
        {"local s = ('('):rep(300) .. (')'):rep(300) return ('x'):find(s)", "!"},
        {"table.concat(setmetatable({}, { __len = function() return 1 << 40 end }))", "!"},
        {"table.concat({}, 'x', 1, 1 << 40)", "!"},
        {"table.concat(setmetatable({}, { __index = function() return 'xxxxxxxxxxxxxxxx' end }), ' ', 1, 1 << 40)",
         "!"},
        {"table.move({}, 1, 1 << 40, 2)", ENDLESS},
        {"table.move({}, 1, math.maxinteger, 2)", "!"},
        {"return table.unpack({}, 1, 1 << 40)", "!too many results to unpack"},
        {"return table.unpack({}, 1, 1e7)", "!too many results to unpack"},
        {"table.insert(setmetatable({}, { __len = function() return 1 << 60 end }), 1, 'x')", ENDLESS},
        {"return #('x'):rep(1e6, ('y'):rep(1e6))", "!"},
        {"return ('%1000000s'):format('x')", "!"},
        {"local s = ('x'):rep(1e6) while true do local u = s:upper() end", ENDLESS},
        {"local s = ('x'):rep(2e6) while true do local u = s .. 'y' end", ENDLESS},
        {"local t = {} for i = 1, 20000 do t[i] = 'xxxxxxxx' end while true do local u = table.concat(t) end", ENDLESS},
        {"local t = {} for i = 1, 20000 do t[i] = i end while true do local u = json.encode(t) end", ENDLESS},
        {"return json.decode(('['):rep(1e6))", "!bad JSON"},
        {"local t = {} for i = 1, 200 do t = { t } end return t", "!nested deeper than 128"},
    };
    static const hostile_case greedy[] = {
        {"return ('%99d'):format(1):rep(1e5)", MEMORY},
        {"return select('#', ('x'):rep(1e6):byte(1, -1))", MEMORY}, /* with more: "string slice too long" */
        {"while true do pcall(string.rep, 'x', 7 << 20) end", MEMORY},
        {"local s = 'x' while true do s = s .. s end", MEMORY},
        {"return { ('\\0'):rep(1 << 20) }", MEMORY},
        {"local t = {} while true do t[#t + 1] = {} end", MEMORY},
        {"local t = {} pcall(function() while true do t[#t + 1] = {} end end) while true do pcall(function() t[#t + 1] "
         "= {} end) end",
         MEMORY},
        {"local t = {} pcall(function() while true do t[#t + 1] = {} end end) return parallel({ function() end })",
         MEMORY},
        {"local t = {} pcall(function() while true do t[#t + 1] = {} end end) local n = #t t = nil return n > 1000",
         MEMORY},
        {"local function f() return 1 + f() end f()", MEMORY},
        {"local function f() f() f() end f()", MEMORY},
        {"local function f(...) f(1, ...) end f()", MEMORY},
    };
    run_all(cases, COUNT(cases), 8 * FEW_MS);
    run_all(greedy, COUNT(greedy), 400 * FEW_MS);
}

static void fan_outs_cannot_explode(void **state) {
    (void)state;
    static const hostile_case cases[] = {
        {"local depth, why = 0 local function f() depth = depth + 1 local _, e = parallel({ f }) if #e > 0 then why = "
         "e[1].error.message end end"
         " f() return { depth < 200, why:match('nested too deep') }",
         "[true,\"nested too deep\"]"},
        {"local function f() parallel({ f, f }) end f()", "!"},
        {"local function f() parallel({ f, f }) end while true do pcall(f) end", "!"},
        {"local function f() pipeline({ 1, 2, 3 }, f) end f()", "!"},
        {"local function f() return (race({ f, f })) end f()", "!"},
        {"local function f() parallel({ f }) end parallel({ f, f, f })  return 'caught by the fan-out'",
         "caught by the fan-out"},
        {"local fns = {} for i = 1, 100000 do fns[i] = function() return agent('say x') end end local _, f = "
         "parallel(fns) "
         "return #f",
         "99900"},
        {"local items = {} for i = 1, 1e6 do items[i] = i end pipeline(items, agent)", "!1000000 items"},
    };
    bool fine = true;
    for (size_t i = 0; i < COUNT(cases); i++) {
        stage *s = stage_new(1, NULL, 0);
        s->script_size = 32u << 20;
        s->config.max_agents = 100;
        s->max_ms = 400000;
        fine &= run_hostile(s, cases[i].source, cases[i].want);
    }
    assert_true(fine);
}

static void errors_of_any_kind_are_shown(void **state) {
    (void)state;
    static const hostile_case cases[] = {
        {"error({})", "!neither a text nor an error"},
        {"local t = {} t.t = t error(t)", "!neither a text nor an error"},
        {"error(setmetatable({}, { __tostring = function() while true do end end }))", "!neither a text nor an error"},
        {"error(setmetatable({}, { __index = function() while true do end end }))", "!neither a text nor an error"},
        {"local t = { kind = 'x' } t.message = t error(t)", "!neither a text nor an error"},
        {"error({ kind = 'k', message = ('m'):rep(1e5) })", "!k: mmmm"},
        {"error(print)", "!neither a text nor an error"},
        {"error(null)", "!neither a text nor an error"},
        {"error('a\\0b')", "!a"},
        {"error(('x'):rep(1e6))", "!xxx"},
        {"local _, f = parallel({ function() error(setmetatable({}, { __tostring = function() error('again') end })) "
         "end }) return #f",
         "1"},
        {"local _, f = parallel({ function() error(setmetatable({}, { __tostring = function() while true do end end "
         "})) end }) return #f",
         ENDLESS},
        {"local _, f = parallel({ function() error(setmetatable({}, { __index = function() error('again') end })) end "
         "}) return #f",
         "1"},
        {"local _, f = parallel({ function() error(setmetatable({ kind = 'k' }, { __index = function() error('again') "
         "end })) end })"
         " return f[1].error.kind",
         "k"},
        {"local ok, e = pcall(error, setmetatable({}, { __eq = function() return true end })) return type(e)", "table"},
        {"return nil, setmetatable({}, { __tostring = function() while true do end end })",
         "!neither a text nor an error"},
        {"local function f() local ok = pcall(f) error(ok) end f()", "!"},
    };
    run_all(cases, COUNT(cases), FEW_MS);
}

static void the_sandbox_holds(void **state) {
    (void)state;
    static const hostile_case cases[] = {
        {"setmetatable(_ENV, { __index = function() return 1 end })", "!cannot change a protected metatable"},
        {"return getmetatable(_ENV)", "false"},
        {"getmetatable('').__index = nil return 1", "!"},
        {"rawset(_ENV, 'agent', nil) return pcall(function() return agent end)", "true"},
        {"string.format = nil table.concat = nil pairs = nil type = nil error = nil tostring = nil"
         " return parallel({ function() return agent('say x') end })[1]",
         "x"},
        {"json.encode = nil math.type = nil local v = verify('x') return v", "not run"},
        {"_ENV = nil", ""},
        {"local _ENV = {} x = 1 return x", "1"},
        {"local _ENV = setmetatable({}, { __index = _ENV }) return agent('say x')", "x"},
        {"return load('return 1')", "!there is no 'load' in workflow scripts"},
        {"return string.dump(print)", "!"},
        {"return coroutine.wrap(print)", "!there is no 'coroutine' in workflow scripts"},
        {"return io.open('/etc/passwd')", "!there is no 'io' in workflow scripts"},
        {"return tostring(print):find('0x') == nil and tostring({}):find('0x') == nil", "true"},
        {"setmetatable({}, { __gc = print })", "!__gc is not allowed here"},
        {"setmetatable({}, { __mode = 'k' })", "!__mode is not allowed here"},
        {"local e = select(2, agent('refuse')) getmetatable(e).__tostring = error return (select(2, "
         "agent('refuse'))).kind",
         "refused"},
        {"host = 1 return host", "1"},
        {"local f = select(2, parallel({})) f.at[1] = 2 f.dropped = 3 f[1] = 4 return #f", "1"},
        {"meta = setmetatable({}, { __index = function() while true do end end }) agent('x')", ENDLESS},
        {"args = nil return agent('say x')", "x"},
        {"args = print return agent('say x')", "x"},
        {"args = print meta.args = { type = 'object' } return agent('say x')", "!"},
        {"return agent('say x', setmetatable({}, { __pairs = function() while true do end end }))", ENDLESS},
        {"return agent('say x', setmetatable({}, { __pairs = function() return function(_, k) if not k then return "
         "'label', 'l' end end end }))",
         "x"},
    };
    run_all(cases, COUNT(cases), FEW_MS);
}

static void strange_texts_are_taken_or_refused(void **state) {
    (void)state;
    static const hostile_case cases[] = {
        {"return agent('say \\xff\\xfe')", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"return agent('say a\\0b') == 'a\\0b'", "true"},
        {"phase('\\xff\\0') log('\\xff\\0') return agent('say x', { label = '\\xff\\0', phase = ('p'):rep(1e5) })",
         "x"},
        {"return agent('say x', { model = ('m'):rep(1e5) })",
         "!the model's or effort's name is too long; a model's has at most 400 bytes"},
        {"return agent('say x', { effort = ('m'):rep(1e5) })", "!agent: effort takes"},
        {"return agent('say x', { schema = { pattern = ('('):rep(1e5) } })", "!schema"},
        {"local s = { type = 'object' } for i = 1, 100 do s = { anyOf = { s, s } } end return agent('say x', { schema "
         "= s })",
         "!"},
        {"local s = {} s.s = s return agent('say x', { schema = s })", "!nested deeper than 128"},
        {"return files(('*'):rep(1e5))", "~"},
        {"return '\\xff'", "\xff"},
        {"return { '\\xff' }", "[\"\xef\xbf\xbd\"]"},
        {"local r = agent(('p'):rep(1e6)) return #r", "1000004"},
    };
    bool fine = true;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (cases[i].want[0] != '~') fine &= run_hostile(stage_new(1, NULL, 0), cases[i].source, cases[i].want);
    assert_true(fine);
}

static void prompts_of_ten_megabytes(void **state) {
    (void)state;
    stage *s = stage_new(1, NULL, 0);
    s->block_size = s->script_size = 128u << 20;
    s->config.reply_max = 32u << 20;
    s->max_ms = 100000;
    assert_true(run_hostile(s, "return #agent(('p'):rep(1e7))", "10000004"));
    s = stage_new(1, NULL, 0);
    s->script_size = 64u << 20;
    s->max_ms = 100000;
    assert_true(run_hostile(s, "local ok, e = pcall(agent, ('p'):rep(1e7)) return e", MEMORY));
    s = stage_new(1, NULL, 0);
    assert_true(run_hostile(s, "return #agent(('p'):rep(1e7))", MEMORY));
}

static void source_of_any_kind(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        const char *want;
    } cases[] = {
        {"", 0, NO_META},
        {"\0", 1, "!t.lua:1: "},
        {"return 1 \0 return 2", 19, "!t.lua:1: "},
        {"return '\0' == '\\0'", 18, NO_META},
        {"\x1bLua\x54\x00\x19\x93\r\n\x1a\n", 12, "!attempt to load a binary chunk"},
        {"\xef\xbb\xbfreturn 1", 11, NO_META},
        {"\xef\xbb\xbf\nreturn (", 12, "!t.lua:2: unexpected symbol near <eof>\n2 | return ("},
        {"#!/usr/bin/wf\nreturn 1", 22, NO_META},
        {"#", 1, NO_META},
        {"#\r\n\nreturn (", 12, "!t.lua:3: unexpected symbol near <eof>\n3 | return ("},
        {"return", 6, NO_META},
        {"return (", 8, "!t.lua:1: unexpected symbol near <eof>\n1 | return ("},
        {"x = 'unfinished", 15, "!t.lua:1: unfinished string"},
        {"\n\n--[[", 6, "!unfinished long comment"},
        {"\xff\xfe", 2, "!t.lua:1: "},
        {"goto nowhere", 12, "!no visible label 'nowhere'"},
    };
    bool fine = true;
    for (size_t i = 0; i < COUNT(cases); i++)
        fine &= run_bytes(stage_new(1, NULL, 0), cases[i].text, wf_str_of(cases[i].text, cases[i].len), cases[i].want);
    assert_true(fine);
}

static void open_starves(stage *s, wf_str source) {
    stage_open_run(s, source);
    assert_int_equal(stage_open_script(s, source), WF_E_MEMORY);
    stage_free(s);
}

static void source_of_ten_megabytes(void **state) {
    (void)state;
    const size_t size = 10u << 20;
    char *text = malloc(size + 1);
    assert_non_null(text);
    size_t n = 0;
    while (n + 64 < size)
        n += (size_t)sprintf(text + n, "x = { 'a', %zu }\n", n);
    stage *s = stage_new(1, NULL, 0);
    s->block_size = 64u << 20;
    open_starves(s, wf_str_of(text, n)); /* it has 8 MB */
    memset(text, '(', size);
    s = stage_new(1, NULL, 0);
    s->block_size = 64u << 20;
    assert_true(run_bytes(s, "10 MB of (", wf_str_of(text, size), "!t.lua:1: nested too deeply"));
    memset(text, '-', size);
    s = stage_new(1, NULL, 0);
    s->block_size = 64u << 20;
    assert_true(run_bytes(s, "10 MB of -", wf_str_of(text, size), NO_META));
    memset(text, 'a', size);
    s = stage_new(1, NULL, 0);
    s->block_size = 64u << 20;
    open_starves(s, wf_str_of(text, size));
    free(text);
}

static void args_of_any_kind(void **state) {
    (void)state;
    char *deep = malloc(200001);
    assert_non_null(deep);
    memset(deep, '[', 200000);
    deep[200000] = 0;
    const char *const bad[] = {"{",   "{\"a\":}", "nul",       "[1,]",  "01",  "\"\\ud800", "\xff",
                               "1 2", "",         "[1e99999]", "{1:2}", "'x'", "\"a\nb\"",  deep};
    for (size_t i = 0; i < COUNT(bad); i++) {
        stage *s = stage_new(1, NULL, 0);
        s->args = bad[i];
        assert_true(run_hostile(s, "return 1", *bad[i] ? "!bad JSON" : "1"));
    }
    free(deep);
    stage *s = stage_new(1, NULL, 0);
    s->args = "{\"__index\": 1, \"\": 2, \"a\\u0000b\": 3, \"a\": 4, \"a\": 5}";
    assert_true(run_hostile(s, "return args['a\\0b'] + args[''] + args.__index + args.a", "11"));
}

static void too_little_memory_is_told_at_once(void **state) {
    (void)state;
    stage *s = stage_new(1, NULL, 0);
    bool opened = false;
    stage_open_run(s, WF_STR("return 1"));
    for (size_t size = 64; size <= 1u << 20 && !opened; size += size < 4096 ? 64 : 4096) {
        s->script_size = size;
        wf_status status = stage_open_script(s, WF_STR("return 1"));
        if (status != WF_OK) {
            assert_int_equal(status, WF_E_MEMORY);
            free(s->memory);
            s->memory = NULL;
            continue;
        }
        opened = true;
        assert_in_range(size, 65536, 262144); /* the header promises that 256 KiB are enough */
        while (stage_turn(s)) {
        }
    }
    assert_true(opened);
    stage_free(s);
}

/* Memory that runs out anywhere: the run ends, with its result or with a message. */
static void memory_runs_out_anywhere(void **state) {
    (void)state;
    static const char source[] =
        META "local function job(i) local r, f = parallel({ function() return agent('say a' .. i) end, function() "
             "error('x') end,"
             " function() return pipeline({ 1, 2 }, function(x) return agent('json {\"n\":[1,2,3]}', { schema = { type "
             "= 'object' } }).n end) end })"
             " return { r, #f, exec('x').code, workflow('w.lua', { i = i }), ask('q', { choices = { 'y' } }) } end"
             " local kept, jobs = {}, {} for i = 1, 600 do kept[i] = ('k'):rep(100) .. i end"
             " for i = 1, 4 do jobs[i] = function() return job(i) end end return { parallel(jobs) }";
    static const stage_file files[] = {
        {"w.lua", FLOW "return { agent('say w', { agent_type = 'a' }), read('w.lua'):sub(1, 4), args.i }"},
        {".wf/agents/a.md", "---\ntools: [read]\n---\nBe."},
        {NULL, NULL}};
    uint32_t done = 0, failed = 0;
    size_t step = fake_full() ? 64 : 1024;
    for (size_t size = 150000; size < 400000; size += step) {
        stage *s = stage_new(1, NULL, 0);
        s->block_size = 2u << 20;
        s->script_size = size;
        s->config.max_agents = 64;
        s->files = files;
        stage_open_run(s, wf_str_of(source, sizeof source - 1));
        wf_status status = stage_open_script(s, wf_str_of(source, sizeof source - 1));
        if (status != WF_OK) {
            assert_int_equal(status, WF_E_MEMORY);
        } else {
            while (stage_turn(s)) {
            }
            stage_finish(s);
            if (s->result.failed) fail_msg("%.*s", (int)s->result.value.len, s->result.value.ptr);
            if (s->starved) {
                failed++;
            } else {
                done++;
            }
        }
        stage_free(s);
    }
    if (done == 0 || failed == 0) fail_msg("%u done, %u failed", done, failed);
}

static void a_long_loop_leaves_the_pump_its_turns(void **state) {
    (void)state;
    stage *s = stage_new(1, NULL, 0);
    s->max_ms = fake_full() ? 0 : 10000; /* 0: the default */
    stage_open_run(s, WF_STR("while true do end"));
    assert_int_equal(stage_open_script(s, WF_STR("while true do end")), WF_OK);
    while (stage_turn(s)) {
    }
    stage_finish(s);
    assert_true(s->result.failed && holds(s->result.value, "ran too long"));
    assert_true(s->turns >= 900);
    stage_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endless_loops_end),
        cmocka_unit_test(workflows_inside_do_no_harm),
        cmocka_unit_test(lines_are_bounded),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(fan_outs_cannot_explode),
        cmocka_unit_test(errors_of_any_kind_are_shown),
        cmocka_unit_test(the_sandbox_holds),
        cmocka_unit_test(strange_texts_are_taken_or_refused),
        cmocka_unit_test(prompts_of_ten_megabytes),
        cmocka_unit_test(source_of_any_kind),
        cmocka_unit_test(source_of_ten_megabytes),
        cmocka_unit_test(args_of_any_kind),
        cmocka_unit_test(too_little_memory_is_told_at_once),
        cmocka_unit_test(memory_runs_out_anywhere),
        cmocka_unit_test(a_long_loop_leaves_the_pump_its_turns),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
