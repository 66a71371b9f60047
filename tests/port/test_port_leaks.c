/* test_port_leaks: work with the real tools, commands and models leaves no block in any heap, no
 * descriptor and no child. A script over a run over the posix platform, with a model of rules: each
 * kind of work is done some times, counted, done again many times, and counted again. Tools take no
 * memory from a heap; they hold descriptors and children. */
#include "src/api/lua.h"
#include "toolbox.h"

#include "tests/fake/counts.h"
#include "tests/fake/fake.h"

#define LANES  4u
#define WARM   10u
#define TIMES  1000u
#define FORKED 20u /* of what starts processes, each a copy of this one with its sanitizers; WF_CAMPAIGN=full: 1,000 */

/* A prompt is a word and JSON: the tool to ask for and its input, but for some words. */
static const char model[] =
    "do local t = {} for k = 1, 3000 do t[k] = 'text ' .. k end end\n" /* room in Lua's table of texts */
    "return function(request)\n"
    "    local said = request.messages[1].content\n"
    "    local word, rest = (type(said) == 'string' and said or said[1].text):match('^(%l+) (.*)$')\n"
    "    if word == 'fail' then return { error = { status = math.tointeger(rest), message = 'as asked' } } end\n"
    "    if word == 'raise' then error('as asked: ' .. rest) end\n"
    "    if word == 'say' then return { text = rest } end\n"
    "    if word == 'wrong' then return { texts = rest } end\n"
    "    for i = 1, 100 do local t = {} end\n"
    "    if #request.messages > 1 and word ~= 'result' then return { text = 'done' } end\n"
    "    return { tool = { name = word, input = json.decode(rest) } }\n"
    "end\n";

typedef struct work {
    const char *name;
    const char *body; /* of work(i); i has four digits */
    uint32_t times;
} work;

static struct {
    wf *run;
    wf_script *script;
    wf_rules *rules;
    counts at[2];
    uint32_t taken;
    int children; /* of the platform, for as long as it is open */
} here;

/* A collection lets go of stacks and of the table of texts by halves: it is asked for until nothing more goes. */
static wf_heap_use collected(bool rules) {
    wf_heap_use use = {.used = SIZE_MAX}, last;
    do {
        last = use;
        if (rules) {
            wf_rules_collect(here.rules);
            wf_rules_memory(here.rules, &use);
        } else {
            wf_script_collect(here.script);
            wf_script_memory(here.script, &use);
        }
    } while (use.used < last.used);
    return use;
}

/* Children that were killed are reaped a little later. */
static void wait_for_children(void) {
    uint32_t lanes[LANES], tickets[LANES];
    void *ctx;
    const wf_model_ops *workers = wf_posix_workers(posix, &ctx);
    for (int i = 0; i < 3000 && children_count() > here.children; i++) {
        wf_posix_wait(posix, 20);
        (void)workers->ready(ctx, lanes, LANES);
        (void)pl.tool_ops->ready(pl.tool_ctx, tickets, LANES);
    }
}

/* The script says "count" where nothing of its work is under way. */
static void count_here(void *ctx, const wf_trace *event) {
    (void)ctx;
    if (event->type != WF_TRACE_NOTE || event->text.len != 5 || memcmp(event->text.ptr, "count", 5) != 0) return;
    assert_true(here.taken < 2);
    counts *c = &here.at[here.taken++];
    wf_memory memory;
    wait_for_children();
    wf_memory_stats(here.run, &memory);
    counts_begin(c);
    c->children = here.children;
    counts_add(c, "script", collected(false));
    counts_add(c, "messages", memory.heap);
    counts_add(c, "rules", collected(true));
}

static uint32_t times_of(const work *w) {
    return fake_full() ? TIMES : w->times;
}

static void *take(size_t n) {
    void *p = malloc(n);
    assert_non_null(p);
    return p;
}

static void drive(void) {
    wf_status s;
    uint32_t wait;
    while ((s = wf_script_step(here.script)) != WF_END) {
        assert_true(s >= 0);
        assert_true(wf_step(here.run, 64, &wait) >= 0);
        if (s == WF_AGAIN && wait > 0) wf_posix_wait(posix, wait);
    }
}

static void open_world(wf_provider *providers, wf_tool *tools, wf_config *config) {
    wf_posix_config pc = {.root = root, .allow = 15, .workers = LANES, .no_sync = true};
    close_posix();
    block = take(wf_posix_size(&pc));
    assert_int_equal(wf_posix_open(&posix, block, wf_posix_size(&pc), &pc, NULL), WF_OK);
    wf_posix_platform(posix, &pl);
    pl.trace = count_here;
    here.children = children_count();
    providers[1] = (wf_provider){.name = WF_STR("exec"), .silent = true};
    providers[1].ops = wf_posix_workers(posix, &providers[1].ctx);
    *config = (wf_config){.platform = &pl,
                          .providers = providers,
                          .provider_count = 2,
                          .tools = tools,
                          .tool_count = wf_posix_tools(15, tools),
                          .lanes = LANES,
                          .retries = WF_NONE,
                          .schema_tries = 2,
                          .max_agents = 6000,
                          .max_calls = 6000,
                          .heap = (size_t)1 << 20,
                          .sync = WF_SYNC_OFF};
}

static void open_rules(wf_provider *provider, void *memory, size_t size) {
    wf_str why;
    wf_rules_config rc = {.now_ms = pl.now_ms, .ctx = pl.ctx, .lanes = LANES, .memory = memory, .memory_size = size};
    put("model.lua", model);
    assert_int_equal(wf_rules_open(&here.rules, &rc), WF_OK);
    char *path = at("model.lua");
    assert_int_equal(wf_rules_load(here.rules, wf_str_of(path, strlen(path)), &why), WF_OK);
    *provider = (wf_provider){.name = WF_STR("rules"), .ops = wf_rules_ops(), .ctx = here.rules};
}

static bool leaves_nothing(const work *w) {
    static char source[4096], name[128];
    static wf_tool tools[WF_POSIX_TOOLS];
    wf_provider providers[2];
    wf_config config;
    wf_script_result result;
    const size_t size = (size_t)4 << 20;
    memset(&here, 0, sizeof here);
    open_world(providers, tools, &config);
    void *rules = take(size), *script = take(size);
    open_rules(&providers[0], rules, size);
    snprintf(name, sizeof name, "rules:%s", at("model.lua"));
    config.model = wf_str_of(name, strlen(name));
    void *memory = take(wf_memory_needed(&config));
    assert_int_equal(wf_init(&here.run, memory, wf_memory_needed(&config), &config, NULL), WF_OK);
    snprintf(source, sizeof source,
             "meta = { name = 't', description = 'd' }\nlocal function work(i) %s end\n"
             "local function times(from, n) for i = from, from + n - 1 do work(i) end end\n"
             "do local t = {} for k = 1, 3000 do t[k] = 'text ' .. k end end\n" /* room in Lua's table of texts */
             "times(2000, %u) log('count') times(4000, %u) log('count')",
             w->body, WARM, times_of(w));
    wf_run_spec spec = {.name = WF_STR("leaks"), .script = wf_str_of(source, strlen(source))};
    wf_status s;
    while ((s = wf_run_open(here.run, &spec)) == WF_AGAIN)
        wf_posix_wait(posix, 1000);
    assert_int_equal(s, WF_OK);
    wf_script_config sc = {.run = here.run,
                           .source = spec.script,
                           .name = WF_STR("t.lua"),
                           .memory = script,
                           .memory_size = size,
                           .exec = true};
    assert_int_equal(wf_script_open(&here.script, &sc), WF_OK);
    drive();
    wf_script_result_get(here.script, &result);
    bool fine = !result.failed && here.taken == 2;
    if (!fine) print_error("%s: %.*s\n", w->name, (int)result.value.len, result.value.ptr);
    fine = fine && counts_same(w->name, times_of(w), &here.at[0], &here.at[1]);
    wf_close(here.run);
    wf_rules_close(here.rules);
    free(memory);
    free(script);
    free(rules);
    return fine;
}

static void all_leave_nothing(const work *works, size_t count) {
    int files = counts_files();
    bool fine = true;
    close_posix();
    for (size_t i = 0; i < count; i++) {
        fine &= leaves_nothing(&works[i]);
        close_posix();
    }
    assert_true(fine);
    open_posix(0, 0, 0);
    assert_int_equal(counts_files(), files);
}

#define COUNT(array)       (sizeof(array) / sizeof *(array))
#define DONE(prompt)       "local v, e = agent('" prompt "') assert(v == 'done', tostring(e))"
#define FAILS(call, kind_) "local v, e = " call " assert(v == nil and e.kind == '" kind_ "', tostring(e))"

static void agents_with_tools_leave_nothing(void **state) {
    (void)state;
    static const work works[] = {
        {"agents that read", DONE("read {\"path\":\"src/main.c\"}"), TIMES},
        {"agents that read what is missing", DONE("read {\"path\":\"absent\"}"), TIMES},
        {"agents that write", DONE("write {\"path\":\"out/made\",\"content\":\"' .. i .. '\"}"), TIMES},
        {"agents that edit",
         "local to = i % 2 == 0 and 'hello' or 'HELLO' local from = i % 2 == 0 and 'HELLO' or 'hello' "
         "local v, e = agent('edit ' .. json.encode({ path = 'README.md', old = from, new = to })) "
         "assert(v == 'done', tostring(e))",
         TIMES},
        {"agents that ask for no such tool", DONE("nothing {}"), TIMES},
        {"agents that grep", DONE("grep {\"pattern\":\"strcpy\"}"), FORKED},
        {"agents that glob", DONE("glob {\"pattern\":\"**/*.c\"}"), FORKED},
        {"agents that run commands", DONE("bash {\"command\":\"echo ' .. i .. '\"}"), FORKED},
        {"agents whose commands fail", DONE("bash {\"command\":\"exit 3\"}"), FORKED},
    };
    all_leave_nothing(works, COUNT(works));
}

static void models_leave_nothing(void **state) {
    (void)state;
    static const work works[] = {
        {"rules that answer", "assert(agent('say ' .. i) == tostring(i))", TIMES},
        {"rules that fail", FAILS("agent('fail 500')", "provider"), TIMES},
        {"rules that raise", FAILS("agent('raise ' .. i)", "provider"), TIMES},
        {"rules that answer wrongly", FAILS("agent('wrong ' .. i)", "provider"), TIMES},
        {"rules with a schema",
         "assert(agent('result {\"n\":' .. i .. '}', { schema = { type = 'object', required = { 'n' } } }).n == i)",
         TIMES},
        {"rules that miss the schema", FAILS("agent('result {}', { schema = { required = { 'n' } } })", "schema"),
         TIMES},
        {"races between rules",
         "local t = {} for k = 1, 3 do t[k] = function() return agent('say ' .. k) end end assert(race(t))", TIMES},
        {"programs as models", "assert(agent('hi', { model = 'exec:cat >/dev/null; echo ok' }) == 'ok')", FORKED},
        {"programs that fail", FAILS("agent('hi', { model = 'exec:exit 3' })", "provider"), FORKED},
        {"programs that are given up", FAILS("agent('hi', { model = 'exec:sleep 60', deadline = 0.02 })", "deadline"),
         FORKED},
    };
    all_leave_nothing(works, COUNT(works));
}

static void effects_leave_nothing(void **state) {
    (void)state;
    static const work works[] = {
        {"read", "assert(#read('src/main.c') > 0 and read('absent') == nil)", TIMES},
        {"files", "assert(#files('**/*.c') == 2)", FORKED},
        {"exec", "assert(exec({ 'echo', 'x' }).out == 'x\\n')", FORKED},
        {"exec with input", "assert(exec('cat; exit 2', { input = 'in' }).code == 2)", FORKED},
        {"commands with children", "exec('sleep 60 & echo x')", FORKED},
        {"commands that run out of time", "assert(exec('sleep 60', { timeout = 0.02 }))", FORKED},
        {"four commands at once",
         "local t = {} for k = 1, 4 do t[k] = function() return exec('echo x').out end end "
         "assert(parallel(t)[4] == 'x\\n')",
         FORKED / 4},
    };
    all_leave_nothing(works, COUNT(works));
}

/* Opened and closed in the same block. Each finds out what the system holds commands in with, which takes processes. */
static void platforms_leave_nothing(void **state) {
    (void)state;
    wf_posix_config pc = {.root = root, .allow = 15, .workers = LANES, .conns = LANES, .no_sync = true};
    close_posix();
    counts before, after;
    size_t size = wf_posix_size(&pc);
    block = take(size);
    uint32_t times = fake_full() ? TIMES : 50;
    for (uint32_t i = 0; i <= times; i++) {
        counts_begin(i == 0 ? &before : &after);
        assert_int_equal(wf_posix_open(&posix, block, size, &pc, NULL), WF_OK);
        wf_posix_platform(posix, &pl);
        if (i % 10 == 0) has(effect("exec", "{\"cmd\":\"echo x\",\"timeout\":60000}"), "x");
        wf_posix_close(posix);
    }
    free(block);
    block = NULL;
    assert_true(counts_same("platforms opened and closed", times, &before, &after));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(agents_with_tools_leave_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(models_leave_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(effects_leave_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(platforms_leave_nothing, setup, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
