/* Out of script memory is a pause, and never a loss: whichever allocation fails, the script either comes to its result as if
 * nothing had happened, or ends there and then. In that case a resume with enough memory comes to the result of an
 * uninterrupted run, asks no call again that had finished, and makes no call that the uninterrupted run does not make: what a
 * starved script still did is not in the log. */
#include "cases.h"

#include "src/core/base/heap.h"

#define PATHS_MAX 1000u /* bytes of the paths of a run's calls */
#define POINTS    16u   /* failing allocations tried of each script, about */

/* What a run came to. */
typedef struct outcome {
    char *result;
    bool starved, failed;
    uint32_t starts, finished; /* calls that were given a lane; that are in the log with their answers */
    uint64_t allocs;           /* of the script's heap, once it was open */
    char paths[PATHS_MAX];     /* of all calls, in order */
    uint8_t *log;
    size_t size;
} outcome;

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The calls' paths in order, each once. */
static void list_calls(const stage *s, outcome *o) {
    char *paths[64];
    size_t n = 0;
    wf_call_info call;
    for (uint32_t row = 0; wf_call_get(s->wf, row, &call) == WF_OK; row++) {
        o->finished += call.finished && !call.cancelled && !call.superseded;
        assert_true(n < COUNT(paths));
        paths[n] = calloc(1, call.path.len + 1);
        assert_non_null(paths[n]);
        memcpy(paths[n++], call.path.ptr, call.path.len);
    }
    qsort(paths, n, sizeof *paths, by_text);
    for (size_t i = 0; i < n; i++) {
        size_t at = strlen(o->paths);
        if (i == 0 || strcmp(paths[i], paths[i - 1]) != 0)
            snprintf(o->paths + at, sizeof o->paths - at, "%s ", paths[i]);
    }
    for (size_t i = 0; i < n; i++)
        free(paths[i]);
}

/* nth: the allocation that fails, counted from when the script is open; 0: none. on: and all that follow it. */
static outcome run_with(const char *body, const outcome *before, uint64_t nth, bool on) {
    char *source = with_meta(body);
    wf_str text = wf_str_of(source, strlen(source));
    stage *s = stage_new(1, before ? before->log : NULL, before ? before->size : 0);
    outcome o = {0};
    s->config.max_agents = s->config.max_calls = 64;
    s->script_size = 16u << 20;
    s->files = (const stage_file[]){
        {"w.lua",
         META "local r = parallel({ function() return agent('say in') end, function() return #read('a') end }) "
              "return r[1] .. r[2]"},
        {"a", "abc"},
        {NULL, NULL}};
    stage_open_run(s, text);
    assert_int_equal(stage_open_script(s, text), WF_OK);
    wfi_heap *heap = &((struct wf_heap *)s->memory)->heap;
    uint64_t opened = heap->allocs;
    heap->fail_at = nth > 0 ? opened + nth : 0;
    heap->fail_on = on;
    while (stage_turn(s)) {
    }
    o.allocs = heap->allocs - opened;
    stage_finish(s);
    assert_true(wfi_heap_check(heap));
    o.result = result_text(s);
    o.failed = s->result.failed;
    o.starved = s->starved;
    list_calls(s, &o);
    for (size_t i = 0; i < STAGE_CALLS; i++)
        o.starts += s->started[i];
    o.log = fake_crash(s->f, FAKE_ALL, 1, &o.size);
    stage_free(s);
    free(source);
    return o;
}

static void outcome_free(outcome *o) {
    free(o->result);
    free(o->log);
}

/* most: starts. There may be fewer: a race's loser does not begin where the winner's answer is known. */
static bool same(const outcome *o, const outcome *want, uint32_t most) {
    return !o->starved && o->failed == want->failed && strcmp(o->result, want->result) == 0 && o->starts <= most &&
           strcmp(o->paths, want->paths) == 0;
}

/* Whether a run whose nth allocation fails ends as it should. */
static bool survives(const char *body, const outcome *want, uint64_t nth, bool on) {
    outcome cut = run_with(body, NULL, nth, on), last = {0};
    const outcome *o = &cut;
    bool fine;
    if (cut.starved) {
        last = run_with(body, &cut, 0, false);
        o = &last;
        fine = same(&last, want, want->starts - cut.finished);
    } else {
        fine = same(&cut, want, want->starts);
    }
    if (!fine)
        print_error(
            "%s\n  allocation %llu%s fails%s, %u finished\n  wanted: %s, %u starts, %s\n  got: %s, %u starts, %s\n",
            body, (unsigned long long)nth, on ? " and later" : "", cut.starved ? ", a pause" : "", cut.finished,
            want->result, want->starts, want->paths, o->result, o->starts, o->paths);
    outcome_free(&cut);
    if (cut.starved) outcome_free(&last);
    return fine;
}

static void all_survive(const char *const *bodies, size_t count) {
    bool fine = true;
    for (size_t i = 0; i < count; i++) {
        outcome want = run_with(bodies[i], NULL, 0, false);
        if (want.failed || want.starved) fail_msg("%s: %s", bodies[i], want.result);
        uint64_t step = want.allocs / POINTS + 1;
        for (uint64_t nth = 1; nth <= want.allocs; nth += step) {
            fine &= survives(bodies[i], &want, nth, true);
            fine &= survives(bodies[i], &want, nth, false);
        }
        outcome_free(&want);
    }
    assert_true(fine);
}

static void errors_that_scripts_catch(void **state) {
    (void)state;
    static const char *const bodies[] = {
        /* neither pcall nor xpcall takes it for an error of what it calls */
        "local t = {} for i = 1, 30 do t[i] = tostring(pcall(function() return ('x'):rep(200) .. i end)) end "
        "local a = agent('say a') return a .. table.concat(t, ',')",
        "local n = 0 for i = 1, 20 do local ok = xpcall(function() return { i, { i } } end, function() n = n + 100 "
        "end) "
        "if ok then n = n + 1 end end return agent('say ' .. n)",
        /* what a <close> variable does on the error's way is not done */
        "local function work(i) local c <close> = setmetatable({}, { __close = function() log('closed') "
        "agent('say closed ' .. i) read('a') parallel({ function() return agent('say in') end }) end }) "
        "local t = {} for k = 1, 30 do t[k] = { 'x' .. k .. i } end return #t end "
        "local n = 0 for i = 1, 3 do local ok, v = pcall(work, i) n = n + (ok and v or 1000) end return n .. ''",
        "local r = parallel({ function() local c <close> = setmetatable({}, { __close = function(_, e) agent('say ' .. "
        "(e and 'e' or 'c')) end }) return agent('say ' .. ('y'):rep(3000)) end, function() return agent('say b') end "
        "}) "
        "return #r[1] .. r[2]",
        "return select(2, pcall(error, setmetatable({}, { __tostring = function() return ('e'):rep(900) end }))) and "
        "agent('say x')",
    };
    all_survive(bodies, COUNT(bodies));
}

static void callbacks(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "local s = ('ab'):rep(200):gsub('a', function(c) local ok, v = pcall(string.rep, c, 3) return ok and v or "
        "'LOST' end) "
        "return agent('say ' .. s)",
        "local t = {} for i = 1, 60 do t[i] = { (i * 37) % 61 .. 'k' } end table.sort(t, function(a, b) return a[1] .. "
        "'x' < "
        "b[1] .. 'x' end) local o = {} for i, v in ipairs(t) do o[i] = v[1] end return agent('say ' .. "
        "table.concat(o))",
        "local m = { __tostring = function(v) return 'v' .. v[1] end, __index = function(_, k) return 'i' .. k end, "
        "__concat = function(a, b) return tostring(a) .. tostring(b) end } local o = {} for i = 1, 30 do local v = "
        "setmetatable({ i }, m) o[i] = tostring(v) .. v.x .. (v .. v) end return agent('say ' .. table.concat(o))",
        /* buffers of the auxiliary library: they ask once, and raise an error of their own */
        "local s = ('Ab'):rep(3000) local ok, a = pcall(string.upper, s) local _, b = pcall(string.reverse, s) local "
        "_, c = "
        "pcall(table.concat, { s, s, s }, s) local _, d = pcall(string.format, '%s|%s', s, s) local _, e = "
        "pcall(string.rep, "
        "s, 9) local _, f = pcall(string.pack, 's', s) return agent('say ' .. #a + #b + #c + #d + #e + #f)",
        "local v = json.decode(json.encode({ a = { ('\\n'):rep(3000), { x = 1, y = { 2, 3 } } }, b = null })) "
        "local ok, e = pcall(json.decode, '[1,2' .. (' '):rep(3000)) return agent('say ' .. #v.a[1] .. tostring(ok))",
    };
    all_survive(bodies, COUNT(bodies));
}

static void branches(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "local r, f = parallel({ function() return agent('say a') end, function() return agent('say ' .. "
        "('b'):rep(2000)) "
        "end, function() return agent('wait=30 say c') .. agent('say d') end }) return r[1] .. #r[2] .. r[3] .. #f",
        "local r, f = pipeline({ 1, 2, 3, 4 }, function(i) return agent('say ' .. ('p'):rep(500 * i)) end, function(p, "
        "i) "
        "return agent('say ' .. i .. #p) end) return table.concat(r, ',') .. #f",
        "local function two(p) return parallel({ function() return agent('say ' .. p) end, function() return agent("
        "'wait=20 say ' .. p .. p) end }) end local r, f = parallel({ function() return two('x') end, function() "
        "return "
        "two('y') end }) return json.encode(r) .. #f",
        "local w, i = race({ function() return agent('wait=90 say slow') end, function() return agent('say fast') end "
        "}) "
        "return w .. i",
        "local k, rest = verify({ 'one', 'two' }, { lenses = { 'l' } }) return #k .. #rest",
        "return workflow('w.lua') .. agent('say out', { label = 'l', phase = 'p', system = 's', check = function(a) "
        "return "
        "a == 'out' end })",
        "local S = { type = 'object', properties = { n = { type = 'integer' }, l = { type = 'array' } } } "
        "local a = agent([[json {\"n\":7,\"l\":[1,[2,[3,[4] ] ],\"e\"]}]], { schema = S }) return json.encode(a)",
        "local t = {} for i = 1, 5 do t[i] = function() phase('p' .. i) log('line %d', i) local e = exec('make ' .. i) "
        "return #e.out + #read('a') + #ask('q', { choices = { 'x', 'y' } }) + #files('b', 'c') end end local r, f = "
        "parallel(t) return json.encode(r) .. #f",
    };
    all_survive(bodies, COUNT(bodies));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_that_scripts_catch),
        cmocka_unit_test(callbacks),
        cmocka_unit_test(branches),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
