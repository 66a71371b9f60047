/* Commands, questions, and what scripts name that others have written: agent types and workflows. */
#include "cases.h"

/* ---- exec ---- */

static void exec_answers_with_a_table(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"local r = exec('make') return { r.code, r.out, r.err, r.truncated }", "[0,\"ran\",\"\",false]"},
        {"local r, e = exec('fail') return { r == nil, e.kind, e.message }", "[true,\"tool\",\"cannot run it\"]"},
        {"return exec({ 'ls', '-l', '' }, { timeout = '5m', cwd = 'src', input = 'x', env = { LANG = 'C', E = '' } "
         "}).code",
         "0"},
        {"exec()", "!t.lua:1: exec takes a command"},
        {"exec('')", "!t.lua:1: exec takes a command"},
        {"exec({})", "!t.lua:1: exec takes a command"},
        {"exec({ a = 1 })", "!t.lua:1: exec takes a command"},
        {"exec(7)", "!t.lua:1: exec takes a command"},
        {"exec({ 'a', 2 })", "!t.lua:1: exec: item 2 of the command takes a text, got number"},
        {"exec({ '', 'a' })", "!t.lua:1: exec: item 1 of the command is empty"},
        {"exec('a\\0b')", "!t.lua:1: exec: the command holds a zero byte"},
        {"exec({ 'a', '\\0' })", "!t.lua:1: exec: item 2 of the command holds a zero byte"},
        {"exec('a', 7)", "!t.lua:1: exec: options take a table, got number"},
        {"exec('a', { timout = 1 })", "!exec: there is no option 'timout' (did you mean 'timeout'?)"},
        {"exec('a', { timeout = 'soon' })", "!exec: timeout takes seconds"},
        {"exec('a', { timeout = 0 })", "!exec: timeout takes seconds"},
        {"exec('a', { timeout = '25h' })", "!exec: timeout takes at most a day, \"24h\""},
        {"exec('a', { cwd = 1 })", "!exec: cwd takes a text, got number"},
        {"exec('a', { input = 1 })", "!exec: input takes a text, got number"},
        {"exec('a', { env = 'A=1' })", "!exec: env takes a table"},
        {"exec('a', { env = { 'A=1' } })", "!exec: env has '1', which is no name of a variable"},
        {"exec('a', { env = { ['A=B'] = 'x' } })", "!exec: env has 'A=B', which is no name of a variable"},
        {"exec('a', { env = { [''] = 'x' } })", "!exec: env has '', which is no name of a variable"},
        {"exec('a', { env = { A = 1 } })", "!exec: env.A takes a text, got number"},
        {"exec('a', { env = { A = 'x\\0' } })", "!exec: env.A holds a zero byte"},
    };
    run_cases(cases, COUNT(cases));
}

static void exec_hands_its_options_on(void **state) {
    (void)state;
    stage *w = stage_new(1, NULL, 0);
    char *source = with_meta("exec({ 'ls', '-l' }, { timeout = 2.5, cwd = 'src', input = 'in', env = { B = '2', A = "
                             "'1' } }) exec('x; y', {})");
    stage_open_run(w, wf_str_of(source, strlen(source)));
    assert_int_equal(stage_open_script(w, wf_str_of(source, strlen(source))), WF_OK);
    while (w->execs < 1)
        assert_true(stage_turn(w));
    assert_string_equal(w->input,
                        "{\"cmd\":[\"ls\",\"-l\"],\"cwd\":\"src\",\"env\":{\"A\":\"1\",\"B\":\"2\"},\"input\":\"in\","
                        "\"timeout\":2500}");
    while (stage_turn(w)) {
    }
    stage_finish(w);
    assert_string_equal(w->input, "{\"cmd\":\"x; y\",\"timeout\":600000}");
    assert_int_equal(w->execs, 2);
    stage_free(w);
    free(source);
}

/* Without the right it fails, and takes its place all the same: with the right the calls behind it are found again. */
static void exec_needs_the_right(void **state) {
    (void)state;
    static const char body[] =
        "local ok, r = pcall(exec, 'make') local a = agent('say a') return { ok, tostring(r), a }";
    stage *w = stage_new(1, NULL, 0);
    w->no_exec = true;
    char *source = with_meta(body);
    stage_run(w, source);
    assert_true(result_is(w, body, "~may not run commands: start it, or resume it, with --allow read,exec\",\"a\"]"));
    assert_int_equal(w->execs, 0);
    stage *v = stage_new(2, w->f->disk.data, w->f->disk.size);
    stage_run(v, source);
    assert_true(result_is(v, body, "[true,\"table\",\"a\"]"));
    assert_int_equal(v->execs, 1);
    assert_int_equal(v->f->requests, 0);
    stage_free(v);
    stage_free(w);
    free(source);
}

/* A run of the script, killed after so many turns of the pump, its command perhaps under way. */
static stage *killed_at(const char *source, uint64_t turn) {
    stage *s = stage_new(1, NULL, 0);
    wf_str text = wf_str_of(source, strlen(source));
    s->f->sync_ms = 3;
    s->f->tool_delay = 30;
    stage_open_run(s, text);
    assert_int_equal(stage_open_script(s, text), WF_OK);
    while (s->turns < turn && stage_turn(s)) {
    }
    return s;
}

/* Resumes it with a script that runs `more` commands besides: the command is begun once at most, and the script is told when
 * nobody knows; another resume says the same. Whether the script saw it done. */
static bool command_is_done(stage *killed, const char *source, uint32_t more) {
    stage *s = stage_new(2, killed->f->disk.data, killed->f->disk.size);
    stage_run(s, source);
    assert_in_range(killed->execs + s->execs, more, more + 1);
    bool done = s->result.value.len == 3;
    if (!done) assert_true(result_is(s, source, "~interrupted: state unknown: "));
    stage *again = stage_new(3, s->f->disk.data, s->f->disk.size);
    stage_run(again, source);
    assert_int_equal(again->execs, 0);
    assert_int_equal(again->result.value.len, s->result.value.len);
    stage_free(again);
    stage_free(s);
    stage_free(killed);
    return done;
}

static const char make_it[] = "local r, e = exec('make') return r and 'ran' or e.kind .. ': ' .. e.message";

static void exec_is_never_begun_twice(void **state) {
    (void)state;
    char *source = with_meta(make_it);
    uint32_t done = 0;
    for (uint64_t turn = 1; turn < 40; turn++)
        done += command_is_done(killed_at(source, turn), source, 0);
    assert_in_range(done, 1, 38);
    free(source);
}

/* Asking the failed again does not mean it, unless its kind is named. */
static void interrupted_is_done_again_by_name_only(void **state) {
    (void)state;
    char *source = with_meta(make_it);
    uint64_t turn = 1;
    stage *cut;
    for (;; turn++) {
        cut = killed_at(source, turn);
        if (cut->execs == 1) break;
        stage_free(cut);
    }
    static const uint32_t kinds[] = {UINT32_MAX & ~(1u << WF_KIND_INTERRUPTED), 1u << WF_KIND_INTERRUPTED};
    const fake_disk *disk = &cut->f->disk;
    stage *s[2];
    for (uint32_t i = 0; i < 2; i++) {
        s[i] = stage_new(2 + i, disk->data, disk->size);
        s[i]->config.retry_kinds = kinds[i];
        stage_run(s[i], source);
        stage *told = stage_new(4 + i, s[i]->f->disk.data, s[i]->f->disk.size);
        told->config.retry_kinds = kinds[i];
        stage_run(told, source);
        assert_int_equal(s[i]->execs + told->execs, i);
        if (i == 1) assert_true(result_is(told, source, "ran"));
        stage_free(told);
    }
    stage_free(s[0]);
    stage_free(s[1]);
    stage_free(cut);
    free(source);
}

/* The same with an edited script, whose new lines move the command to another place: it is looked for by what it is. */
static void an_edit_begins_no_command_twice(void **state) {
    (void)state;
    char *source = with_meta(make_it), edited[512];
    for (uint32_t lines = 1; lines <= 3; lines++) {
        uint32_t done = 0;
        snprintf(edited, sizeof edited, META "for i = 1, %u do exec('new ' .. i) end %s", lines, make_it);
        for (uint64_t turn = 1; turn < 40; turn++)
            done += command_is_done(killed_at(source, turn), edited, lines);
        assert_in_range(done, 1, 38);
    }
    free(source);
}

/* ---- ask ---- */

static void ask_answers_with_a_text(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"return ask('How is it?')", "well"},
        {"return ask('Go on?', { choices = { 'yes', 'no' } })", "yes"},
        {"return ask('Go on?', { choices = { 'yes', 'no' }, default = 'no', label = 'go' })", "no"},
        {"return ask('Name?', { default = '' })", ""},
        {"ask()", "!t.lua:1: ask takes a question, got nil"},
        {"ask('')", "!t.lua:1: ask takes a question, got an empty text"},
        {"ask('q', { choice = {} })", "!ask: there is no option 'choice' (did you mean 'choices'?)"},
        {"ask('q', { choices = {} })", "!ask: choices takes a list of texts, such as"},
        {"ask('q', { choices = 'yes' })", "!ask: choices takes a list of texts, such as"},
        {"ask('q', { choices = { 'a', 2 } })", "!ask: choices takes a list of texts, all different; item 2 is not one"},
        {"ask('q', { choices = { 'a', 'a' } })", "!item 2 is not one"},
        {"ask('q', { choices = { '' } })", "!item 1 is not one"},
        {"ask('q', { choices = { 'a' }, default = 'b' })", "!ask: default is none of the choices: b"},
        {"ask('q', { default = 1 })", "!ask: default takes a text, got number"},
        {"ask('q', { label = 1 })", "!ask: label takes a text, got number"},
    };
    run_cases(cases, COUNT(cases));
}

static void answers_come_from_the_log_again(void **state) {
    (void)state;
    char *source = with_meta("return { ask('a', { choices = { 'x', 'y' } }), ask('a'), exec('b').out }");
    stage *w = stage_new(1, NULL, 0);
    stage_run(w, source);
    assert_int_equal(w->asks, 2);
    assert_true(result_is(w, source, "[\"x\",\"well\",\"ran\"]"));
    stage *v = stage_new(2, w->f->disk.data, w->f->disk.size);
    stage_run(v, source);
    assert_int_equal(v->asks + v->execs, 0);
    assert_true(result_is(v, source, "[\"x\",\"well\",\"ran\"]"));
    stage_free(v);
    stage_free(w);
    free(source);
}

/* ---- agent types ---- */

/* Says what it was given: the request's system text and the names of its tools. */
static void tell(fake *f, const fake_request *request, fake_answer *out) {
    wf_str body = wf_str_of(request->body, request->len), value, model;
    char text[4096] = "";
    (void)f;
    assert_true(wf_json_member_str(body, WF_STR("model"), &model));
    snprintf(text, sizeof text, "%.*s", (int)model.len, model.ptr);
    const char *tools[] = {"read", "look", "edit", "bash"};
    for (size_t i = 0; i < COUNT(tools); i++) {
        char name[40];
        snprintf(name, sizeof name, "{\"name\":\"%s\"", tools[i]);
        if (strstr(request->body, name)) snprintf(text + strlen(text), sizeof text - strlen(text), " %s", tools[i]);
    }
    if (wf_json_member(body, WF_STR("system"), &value)) {
        const char *begin = strstr(value.ptr, "\"text\":\"") + 8, *end = strstr(begin, "\",\"cache_control");
        snprintf(text + strlen(text), sizeof text - strlen(text), "|%.*s", (int)(end - begin), begin);
    }
    fake_reply(out, "end_turn", "[{\"type\":\"text\",\"text\":\"%s\"}]", text);
}

static bool type_gives(const char *model, const char *file, const char *want) {
    static const wf_str schema = {"{\"type\":\"object\",\"properties\":{}}", 33};
    static wf_tool tools[4];
    const char *names[] = {"read", "look", "edit", "bash"};
    for (size_t i = 0; i < COUNT(tools); i++)
        tools[i] = (wf_tool){wf_str_of(names[i], strlen(names[i])), WF_STR("."), schema, false, false};
    const stage_file files[] = {{".claude/agents/a.md", file}, {NULL, NULL}};
    stage *w = stage_new(1, NULL, 0);
    wf_provider anthropic = w->f->provider, both[2];
    anthropic.name = WF_STR("anthropic");
    both[0] = w->f->provider;
    both[1] = anthropic;
    w->config.providers = both;
    w->config.provider_count = 2;
    w->config.tools = tools;
    w->config.tool_count = 4;
    w->config.model = wf_str_of(model, strlen(model));
    w->files = files;
    w->f->model = tell;
    return run_in(w, "return agent('x', { agent_type = 'a' })", want);
}

static void agent_types_are_read_with_tolerance(void **state) {
    (void)state;
    static const struct {
        const char *file, *want;
    } cases[] = {
        {"---\nname: a\ndescription: d\ntools: Read, Bash\n---\nYou are.\n", "m read bash|You are."},
        {"---\ntools: no bash, Read\n---\n", "m read"}, /* a comma parts names: what has a blank is none */
        {"---\ntools: Read Bash\n---\n", "m read bash"},
        {"You are.\n\n---\n\nStill.\n", "m read look edit bash|You are.\n\n---\n\nStill."},
        {"---\nname: a\n---\n", "m read look edit bash"},
        {"", "m read look edit bash"},
        {"---\nname: a\nno end of it\ntools: Read\n",
         "!the agent type 'a' begins with --- and has no second line of ---"},
        {"\xEF\xBB\xBF---\r\ntools: Read\r\ncolor: red\r\n---\r\n\r\nTwo\r\nlines\r\n", "m read|Two\nlines"},
        {"---\ntools: [Read, 'Edit', \"Bash\"]\nmodel: inherit\n---\nx", "m read edit bash|x"},
        {"---\ntools:\n  - Read\n  - \"Bash\"  # a shell\n  - WebFetch\nmodel: 'fake:other'\n---\nx",
         "other read bash|x"},
        {"---\ntools:\n- read\n- look\ndescription: >-\n  Use this: often,\n  and well.\n\n  tools: Bash\nmodel: "
         "inherit\n---\nx",
         "m read look|x"},
        {"---\ndescription: |\n  model: fake:no\n  tools: Bash\ntools: >\n  Read,\n  Edit\n---\nx", "m read edit|x"},
        {"---\ntools: MultiEdit, Edit, Bash(git diff:*), mcp__x__read # and no more\n---\nx", "m edit|x"},
        {"---\ntools: WebFetch, Task\n---\nx", "m|x"},
        {"---\ntools: '*'\nmodel: \"fake:q\\\"uote\"\n---\nx", "q\"uote read look edit bash|x"},
        {"---\ntools: Read,\n  Bash\nhooks:\n  Stop:\n    - tools: Edit\n---\nx", "m read bash|x"},
        {"---\nmodel: 'fake:it''s' # a comment\ntools:\n---\nx", "it's read look edit bash|x"},
        {"---\ntools:\nmodel:\n---\nx", "m read look edit bash|x"},
        {"---  \nmodel: sonnet\n...\nx", "m read look edit bash|x"},
        {"---\n: odd\n  - list\n\n# tools: Read\n'model': fake:no\n---\nx", "no read look edit bash|x"},
    };
    bool fine = true;
    for (size_t i = 0; i < COUNT(cases); i++)
        fine &= type_gives("fake:m", cases[i].file, cases[i].want);
    fine &= type_gives("anthropic:m", "---\nmodel: Opus\ntools:\n---\n", "claude-opus-5-5 read look edit bash");
    fine &= type_gives("m", "---\nmodel: sonnet\ntools: x\n---\n", "claude-sonnet-5-5");
    fine &= type_gives("m", "---\nmodel: haiku\ntools: x\n---\n", "claude-haiku-5-5");
    fine &= type_gives("m", "---\nmodel: claude-opus-4-8\ntools: x\n---\n", "claude-opus-4-8");
    fine &= type_gives("m", "---\nmodel: inherit\ntools: x\n---\n", "m");
    assert_true(fine);
}

/* Lists that narrow what an agent may do, however they are written. */
static void agent_types_give_no_more_than_they_list(void **state) {
    (void)state;
    static const struct {
        const char *file, *want;
    } cases[] = {
        {"---\ntools: []\n---\nx", "m|x"},
        {"---\ntools: ''\n---\nx", "m|x"},
        {"---\ntools: # never bash\n  - Read\n---\nx", "m read|x"},
        {"---\ntools:\n  # - Bash\n  - Read\n  # Edit\n---\nx", "m read|x"},
        {"---\ntools:\n# - Bash\n  - Read\n\n  - Edit\n---\nx", "m read edit|x"},
        {"---\ntools:\n\n  - Read\n---\nx", "m read|x"},
        {"---\ntools: [ # no Bash\n  \"Read\", # Bash\n  Edit ]\n---\nx", "m read|x"},
        {"---\ntools: Read, Bash(git:*\n---\nx", "m read|x"},
        {"---\ntools: Read, Bash (git:*), Edit\n---\nx", "m read edit|x"},
        {"---\ntools: Read Edit\n---\nx", "m read edit|x"},
        {"---\ntools: Read, mcp.bash, x/bash, y:bash, Bash:git, Bash{git}, Bash[git]\n---\nx", "m read|x"},
        {"---\ntools:\n- Bash:\n  - git\n- Read\n---\nx", "m read|x"},
        {"---\ntools : Read\n---\nx", "m read|x"},
        {"---\n\"tools\": Read\n---\nx", "m read|x"},
        {"---\nTools: Read\n---\nx", "m read|x"},
        {"---\n  name: a\n  tools: Read\n---\nx", "m read|x"},
        {"\n \n---\ntools: Read\n---\nx", "m read|x"},
        {"---\ndisallowedTools: Bash, MultiEdit\n---\nx", "m read look|x"},
        {"---\ntools: Read, Bash\ndisallowedTools: [Bash(rm:*), Write]\n---\nx", "m read|x"},
    };
    bool fine = true;
    for (size_t i = 0; i < COUNT(cases); i++)
        fine &= type_gives("fake:m", cases[i].file, cases[i].want);
    assert_true(fine);
}

static void agent_types_are_looked_for_in_two_places(void **state) {
    (void)state;
    static const stage_file files[] = {{".wf/agents/a.md", "ours"}, {".claude/agents/a.md", "theirs"}, {NULL, NULL}};
    static const run_case cases[] = {
        {"return agent('x', { agent_type = 'a' })", "m|ours"},
        {"return agent('x', { agent_type = 'b' })", "!t.lua:1: agent: there is no agent type 'b': looked at "
                                                    ".wf/agents/b.md and .claude/agents/b.md (no such file: "
                                                    ".claude/agents/b.md); write .wf/agents/b.md"},
        {"return agent('x', { agent_type = '../a' })", "!agent: agent_type takes a name, got '../a'"},
        {"string.match = nil string.gsub = nil return agent('x', { agent_type = 'a' })", "m|ours"},
    };
    bool fine = true;
    for (size_t i = 0; i < COUNT(cases); i++) {
        stage *w = stage_new(1, NULL, 0);
        w->files = files;
        w->f->model = tell;
        fine &= run_in(w, cases[i].source, cases[i].want);
    }
    assert_true(fine);
}

/* ---- workflows ---- */

#define INNER "meta = { name = 'inner', description = 'd' } "

static const stage_file flows[] = {
    {"flows/echo.lua", INNER "return args"},
    {"flows/call.lua",
     INNER "return { agent('say in'), (parallel({ function() return agent('say ' .. args.n) end })) }"},
    {"flows/own.lua",
     INNER "local ok = pcall(function() return x end) x = 'in' string.rep = nil agent = 7 return { ok, x }"},
    {"flows/bad.lua", INNER "\nreturn agent('say x'"},
    {"flows/raise.lua", INNER "\nlocal function f()\n  error('oops')\nend\nf()"},
    {"flows/fails.lua", INNER "return nil, 'went wrong'"},
    {"flows/none.lua", INNER},
    {"flows/no-meta.lua", "return agent('say x')"},
    {"flows/args.lua", "meta = { name = 'i', description = 'd', args = { type = 'object', required = { 'dir' } } } "
                       "return agent('say x')"},
    {"flows/budget.lua", "meta = { name = 'i', description = 'd', budget = { tokens = 1 } } return agent('say x')"},
    {"flows/deep.lua", INNER "return workflow('flows/echo.lua')"},
    {"flows/deep2.lua", INNER "return parallel({ function() return workflow('flows/echo.lua') end })"},
    {"flows/slow.lua", INNER "return agent('wait=50 say slow')"},
    {".wf/workflows/saved.lua", INNER "return 'ours'"},
    {"saved saved", INNER "return 'the user\\'s'"},
    {"saved mine", INNER "return 'mine'"},
    {"saved broken", INNER "\nerror('x')"},
    {NULL, NULL},
};

static void workflows_run_inline(void **state) {
    (void)state;
    static const run_case cases[] = {
        {"return workflow('flows/echo.lua', { a = { 1 }, b = null })", "{\"a\":[1],\"b\":null}"},
        {"return workflow('flows/echo.lua')", "{}"},
        {"return workflow('flows/echo.lua', json.array({}))", "[]"},
        {"local t = {} return workflow('flows/echo.lua', t) == t", "false"},
        {"return { workflow('flows/call.lua', { n = 1 }), agent('say out') }", "[[\"in\",[\"1\"]],\"out\"]"},
        {"return workflow('saved')", "ours"},
        {"return workflow('mine')", "mine"},
        {"local name = 'mi' return workflow(name .. 'ne')", "mine"},
        {"x = 'outer' local v = workflow('flows/own.lua') return { v, x, ('a'):rep(2), agent('say a') }",
         "[[false,\"in\"],\"outer\",\"aa\",\"a\"]"},
        {"agent = nil json.encode = nil return workflow('flows/call.lua', { n = 1 })", "[\"in\",[\"1\"]]"},
        {"return { select('#', workflow('flows/none.lua')) }", "[0]"},
        {"local v, e = workflow('flows/fails.lua') return { v == nil, e }", "[true,\"went wrong\"]"},
        {"return workflow('flows/raise.lua')", "!flows/raise.lua:3: oops\n3 |   error('oops')"},
        {"local ok, e = pcall(workflow, 'flows/raise.lua') return e", "flows/raise.lua:3: oops"},
        {"return workflow('flows/bad.lua')", "!flows/bad.lua:2: ')' expected"},
        {"return workflow('broken')", "!broken.lua:2: x\n2 | error('x')"},
        {"return workflow('flows/no-meta.lua')", "!flows/no-meta.lua:1: the script has no meta"},
        {"return workflow('flows/args.lua', { x = 1 })", "!flows/args.lua:1: args do not match meta.args: "},
        {"return workflow('flows/args.lua', { dir = 1 })", "x"},
        {"return { workflow('flows/budget.lua'), budget.total('tokens') == nil }", "[\"x\",true]"},
        {"return workflow('flows/deep.lua')", "!flows/deep.lua:1: workflow: 'flows/echo.lua' is asked for by the "
                                              "workflow flows/deep.lua: they go one level deep"},
        {"local r, f = workflow('flows/deep2.lua') return workflow('flows/echo.lua', { r })", "[[false]]"},
        {"local r = parallel({ function() return workflow('flows/echo.lua', { 1 }) end, function() return "
         "workflow('flows/echo.lua', { 2 }) end }) return r",
         "[[1],[2]]"},
        {"return (race({ function() return workflow('flows/slow.lua') end, function() return agent('wait=5 say fast') "
         "end }))",
         "fast"},
        {"workflow()", "!t.lua:1: workflow takes a name, such as"},
        {"workflow('')", "!t.lua:1: workflow takes a name, such as"},
        {"workflow('a/b')",
         "!t.lua:1: workflow: 'a/b' is neither a saved workflow's name nor a path that ends in .lua"},
        {"workflow('flows/x.lua')",
         "!t.lua:1: workflow: there is no workflow 'flows/x.lua': looked at flows/x.lua (no such file"},
        {"workflow('nobody')", "!t.lua:1: workflow: there is no workflow 'nobody': looked at .wf/workflows/nobody.lua "
                               "and the user's workflows ("},
        {"workflow('saved', print)", "!which has no JSON form"},
    };
    bool fine = true;
    for (size_t i = 0; i < COUNT(cases); i++) {
        stage *w = stage_new(1, NULL, 0);
        w->files = flows;
        fine &= run_in(w, cases[i].source, cases[i].want);
    }
    assert_true(fine);
}

/* The calls of a workflow have their places below its caller's, so a run is found again whatever ran before. */
static void workflows_have_places_of_their_own(void **state) {
    (void)state;
    static const char *const want[] = {"files[1]/1", "1[1]/1", "1[1]/2[1]/1", "2"};
    stage *w = stage_new(1, NULL, 0);
    wf_call_info info;
    w->files = flows;
    char *source = with_meta("local r = workflow('flows/call.lua', { n = 1 }) agent('say out') return r");
    stage_run(w, source);
    for (uint32_t i = 0; i < COUNT(want); i++) {
        assert_int_equal(wf_call_get(w->wf, i, &info), WF_OK);
        assert_int_equal(info.path.len, strlen(want[i]));
        assert_memory_equal(info.path.ptr, want[i], info.path.len);
    }
    assert_int_equal(wf_call_get(w->wf, COUNT(want), &info), WF_END);
    stage_free(w);
    free(source);
}

/* ---- read once, before the first agent ---- */

static const stage_file changed[] = {{".wf/agents/a.md", "changed"},
                                     {".wf/agents/b.md", "changed"},
                                     {"flows/a.lua", INNER "return 'changed'"},
                                     {NULL, NULL}};

static uint32_t reads_at_first_request; /* of the stage whose model is asked */

static void note_reads(fake *f, const fake_request *request) {
    stage *s = f->user;
    (void)request;
    if (reads_at_first_request == UINT32_MAX) reads_at_first_request = s->reads;
    s->files = changed; /* what an agent may do to files */
}

static void what_is_named_is_read_before_the_first_agent(void **state) {
    (void)state;
    static const stage_file files[] = {
        {".wf/agents/a.md", "as it was"},
        {".wf/agents/b.md", "as it was"},
        {".wf/workflows/saved.lua", INNER "return 'kept'"},
        {"flows/a.lua", INNER "return agent('say x', { agent_type = 'b' }) and 'as it was'"},
        {NULL, NULL}};
    static const run_case cases[] = {
        {"agent('say 1') agent('say 2', { agent_type = 'a' }) return workflow('flows/a.lua')", "as it was"},
        /* a type whose name is computed: all of both folders were read; nobody can make a new one */
        {"agent('say 1') local types = { 'a', 'b' } local out = {} for i = 1, 2 do out[i] = agent('say ' .. i, { "
         "agent_type "
         "= types[i] }) end return out",
         "[\"1\",\"2\"]"},
        {"agent('say 1') local types = { 'new' } return agent('say 2', { agent_type = types[1] })",
         "!there is no agent type 'new': looked at .wf/agents/new.md and .claude/agents/new.md (it was not there, or "
         "not named, "
         "before the first agent began)"},
        {"agent('say 1') local w = 'saved' return workflow(w)", "kept"},
        {"agent('say 1') return workflow('flows/' .. 'a.lua')",
         "!there is no workflow 'flows/a.lua': looked at flows/a.lua (it was not there, or not named, before the first "
         "agent "
         "began)"},
        {"agent('say 1') if args.never then workflow('flows/' .. args.never) end return workflow('flows/a.lua')",
         "as it was"},
        {"local name = 'a' local one = workflow('flows/' .. name .. '.lua') agent('say 1') return { one, "
         "workflow('flows/' .. name .. '.lua') }",
         "[\"as it was\",\"as it was\"]"},
    };
    static const uint32_t reads[] = {3, 4, 4, 2, 2, 4, 4};
    for (size_t i = 0; i < COUNT(cases); i++) {
        stage *w = stage_new(1, NULL, 0);
        char *source = with_meta(cases[i].source);
        w->files = files;
        w->f->on_request = note_reads;
        reads_at_first_request = UINT32_MAX;
        stage_run(w, source);
        assert_true(result_is(w, source, cases[i].want));
        assert_int_equal(reads_at_first_request, reads[i]);
        /* and a resumed run reads nothing again */
        stage *v = stage_new(2, w->f->disk.data, w->f->disk.size);
        v->files = changed;
        stage_run(v, source);
        assert_true(result_is(v, source, cases[i].want));
        assert_int_equal(v->reads + v->f->requests, 0);
        stage_free(v);
        stage_free(w);
        free(source);
    }
}

/* A source may name no end of things: they are not all read. */
static void what_is_read_ahead_is_bounded(void **state) {
    (void)state;
    static const stage_file none[] = {{NULL, NULL}};
    const size_t n = 3000;
    char *source = malloc(n * 40 + 200);
    assert_non_null(source);
    strcpy(source, META "--[[");
    size_t at = strlen(source);
    for (size_t i = 0; i < n; i++)
        at += (size_t)sprintf(source + at, "workflow('w%zu') agent_type='t%zu' ", i % 200, i % 200);
    strcpy(source + at, "]] return agent('say x')");
    stage *w = stage_new(1, NULL, 0);
    w->files = none;
    stage_run(w, source);
    assert_true(result_is(w, "many names", "x"));
    assert_int_equal(w->reads, 64 * 4 + 3); /* and the folders */
    stage_free(w);
    free(source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exec_answers_with_a_table),
        cmocka_unit_test(exec_hands_its_options_on),
        cmocka_unit_test(exec_needs_the_right),
        cmocka_unit_test(exec_is_never_begun_twice),
        cmocka_unit_test(interrupted_is_done_again_by_name_only),
        cmocka_unit_test(an_edit_begins_no_command_twice),
        cmocka_unit_test(ask_answers_with_a_text),
        cmocka_unit_test(answers_come_from_the_log_again),
        cmocka_unit_test(agent_types_are_read_with_tolerance),
        cmocka_unit_test(agent_types_give_no_more_than_they_list),
        cmocka_unit_test(agent_types_are_looked_for_in_two_places),
        cmocka_unit_test(workflows_run_inline),
        cmocka_unit_test(workflows_have_places_of_their_own),
        cmocka_unit_test(what_is_named_is_read_before_the_first_agent),
        cmocka_unit_test(what_is_read_ahead_is_bounded),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
