/* Replay, as a property of random workflows: whatever the timing, a run that is cut off anywhere and resumed asks for the same
 * calls again, with the same prompts, sends none that had finished, and a complete log gives the same result and sends nothing.
 *
 * Branches are pre-empted far more often than in the product: the script has a clock of its own, by
 * which its work takes long. No time passes by that for others. */
#include "stage.h"

#define SLICE_MS 10u /* of work, before the script pre-empts a branch */

static uint64_t slice; /* looks at the script's clock in which a slice passes; 0: none ever does */
static uint64_t looks, worked_ms;

static uint64_t script_clock(void *ctx) {
    (void)ctx;
    if (slice > 0 && ++looks % slice == 0) worked_ms += SLICE_MS;
    return worked_ms;
}

/* The script takes its clock from the platform when it is opened. */
static wf_status open_sliced(stage *s, wf_str source) {
    wf_platform *platform = &s->f->platform, own = *platform;
    looks = 0;
    platform->now_ms = script_clock;
    wf_status status = stage_open_script(s, source);
    *platform = own;
    return status;
}

#define SOURCE_MAX 32768u
#define PATHS_MAX  2048u

/* ---- random workflows ---- */

typedef struct writer {
    uint64_t rng;
    char text[SOURCE_MAX];
    size_t len;
    uint32_t calls; /* left to write */
    uint32_t names; /* of variables */
    bool faulty;    /* with failures that a resumed run asks again */
} writer;

static uint32_t pick(writer *w, uint32_t n) {
    return (uint32_t)fake_below(&w->rng, n);
}

__attribute__((format(printf, 2, 3))) static void put(writer *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    w->len += (size_t)vsnprintf(w->text + w->len, SOURCE_MAX - w->len, format, args);
    va_end(args);
    if (w->len >= SOURCE_MAX) fail_msg("the workflow is too long");
}

static void put_block(writer *w, uint32_t depth, uint32_t statements);

/* What prompts are made of: fixed words, shared state, what came before. Identical ones on purpose. */
static void put_prompt(writer *w) {
    switch (pick(w, 8)) {
    case 0:
        put(w, "'same'");
        break;
    case 1:
        put(w, "'same ' .. n %% 3");
        break;
    case 2:
        put(w, "'seen ' .. n .. ' ' .. last");
        break;
    case 3:
        put(w, "'at ' .. now() .. ' ' .. random(1000)");
        break;
    case 4:
        put(w, "'spent ' .. budget.spent('tokens') .. ' ' .. v");
        break;
    case 5:
        put(w, "'refuse'");
        break;
    default:
        put(w, "'p%u ' .. v", pick(w, 1000));
        break;
    }
}

static void put_agent(writer *w) {
    put(w, "agent(");
    if (w->faulty && pick(w, 10) == 0) put(w, "'status=400 ' .. ");
    if (pick(w, 12) == 0) put(w, "'status=500 times=1 ' .. ");
    put_prompt(w);
    switch (pick(w, 10)) {
    case 0:
        put(w, ", { label = 'l' .. n }");
        break;
    case 1:
        put(w, ", { check = function(x) n = n + 1 return n %% 3 > 0, 'no ' .. n end }");
        break;
    case 2:
        put(w, ", { effort = 'low', system = 's' .. n %% 2 }");
        break;
    default:
        break;
    }
    put(w, ")");
}

/* A command, a question, a workflow of this writer's or of the stage's. */
static void put_effect(writer *w) {
    switch (pick(w, 4)) {
    case 0:
        put(w, "v = text(exec('c' .. n %% 3, { timeout = 5 }))");
        break;
    case 1:
        put(w, "v = ask('q' .. n %% 2, { choices = { 'x' .. n, 'y' } })");
        break;
    case 2:
        put(w, "v = text(select(2, pcall(workflow, 'flows/' .. 'w.lua', { n = n, v = text(v) })))");
        break;
    default:
        put(w, "v = text(workflow('flows/w.lua', { n = 1 }))");
        break;
    }
}

static void put_call(writer *w) {
    if (w->calls > 0) w->calls--;
    switch (pick(w, 8)) {
    case 0:
        put(w, "v = tostring(read('f' .. n %% 4))");
        break;
    case 1:
        put(w, "v = tostring(read('missing'))");
        break;
    case 2:
        put(w, "v = #files('g' .. n, 'x')");
        break;
    case 3:
        put_effect(w);
        break;
    default:
        put(w, "v = text(");
        put_agent(w);
        put(w, ")");
        break;
    }
    put(w, " n = n + 1 last = v ");
}

static void put_end(writer *w) {
    switch (pick(w, 8)) {
    case 0:
        put(w, "return nil ");
        break;
    case 1:
        put(w, "return nil, 'gave up ' .. n ");
        break;
    case 2:
        put(w, "if n %% 2 == 0 then error('odd ' .. n) end return v ");
        break;
    case 3:
        put(w, "if n %% 3 == 0 then return nil end return n ");
        break;
    default:
        put(w, "return { v, n } ");
        break;
    }
}

static void put_functions(writer *w, uint32_t depth) {
    uint32_t n = 1 + pick(w, 4);
    put(w, "{ ");
    for (uint32_t i = 0; i < n; i++) {
        put(w, "function() local v = v ");
        put_block(w, depth + 1, 1 + pick(w, 3));
        put_end(w);
        put(w, "end, ");
    }
    put(w, "}");
}

static void put_fan_out(writer *w, uint32_t depth) {
    uint32_t id = ++w->names;
    switch (pick(w, 4)) {
    case 0:
        put(w, "local r%u, i%u = race(", id, id);
        put_functions(w, depth);
        put(w, ") v = text(r%u) last = text(i%u) ", id, id);
        break;
    case 1:
        put(w, "local r%u, f%u = pipeline({ 'a', 'b', n, 'd' }, function(v, item, i) ", id, id);
        put_block(w, depth + 1, 1 + pick(w, 2));
        put_end(w);
        put(w, "end, function(v, item, i) v = text(v) ");
        put_block(w, depth + 1, 1);
        put_end(w);
        put(w, "end) v = text(r%u) .. #f%u ", id, id);
        break;
    default:
        put(w, "local r%u, f%u = parallel(", id, id);
        put_functions(w, depth);
        put(w, ") v = text(r%u) .. #f%u ", id, id);
        break;
    }
}

static void put_block(writer *w, uint32_t depth, uint32_t statements) {
    for (uint32_t i = 0; i < statements; i++) {
        switch (pick(w, 9)) {
        case 0:
            put(w, "for i = 1, %u do n = n + i %% 2 end ", 1 + pick(w, 2000));
            break;
        case 1:
            put(w, "log('at %%d', n) phase('P' .. n %% 4) ");
            break;
        case 2:
            put(w, "table.sort(shared) shared[#shared + 1] = text(v) ");
            break;
        case 3:
        case 4:
            if (depth < 3 && w->calls > 0) {
                put_fan_out(w, depth);
                break;
            }
            /* fall through */
        default:
            put_call(w);
            break;
        }
    }
}

static void write_workflow(writer *w, uint64_t seed) {
    memset(w, 0, sizeof *w);
    w->rng = fake_mix(seed);
    w->calls = 12 + pick(w, 20);
    w->faulty = seed % 4 == 0;
    put(w, "meta = { name = 'r', description = 'random' }\n"
           "local n, last, shared, v = 0, '', {}, 'start'\n"
           "local function text(x) local s = type(x) == 'table' and json.encode(x) or tostring(x) return s:sub(1, 60) "
           "end\n");
    put_block(w, 0, 2 + pick(w, 3));
    put_fan_out(w, 0);
    put_block(w, 0, 1 + pick(w, 2));
    put(w, "return { v, n, last, shared, now(), budget.spent('tokens') }\n");
}

/* ---- logs as lists of facts ---- */

typedef struct call_fact {
    char path[512];
    char hash[65];
    bool finished; /* so that the log answers it */
} call_fact;

typedef struct facts {
    call_fact calls[PATHS_MAX];
    uint32_t count; /* call i has number i + 1 */
    uint64_t offsets[PATHS_MAX * 8];
    uint32_t records;
    uint64_t end_at; /* of the end record, or 0 */
    uint32_t agents; /* calls that are no effects */
    uint32_t delivered[PATHS_MAX], deliveries;
    uint8_t intents[PATHS_MAX];
    uint32_t intended; /* all of them */
} facts;

static void fact_text(wf_str json, const char *key, char *out, size_t cap) {
    wf_str value;
    out[0] = 0;
    if (wf_json_member_str(json, wf_str_of(key, strlen(key)), &value))
        snprintf(out, cap, "%.*s", (int)value.len, value.ptr);
}

static void read_facts(const uint8_t *log, size_t size, facts *out) {
    stage *s = stage_new(1, log, size);
    wf_record record;
    wf_status status;
    uint64_t at = 0, kind;
    wf_str effect;
    memset(out, 0, sizeof *out);
    s->block = malloc(s->block_size);
    assert_int_equal(wf_init(&s->wf, s->block, s->block_size, &s->config, NULL), WF_OK);
    status = wf_run_load(s->wf);
    assert_true(status == WF_OK || status == WF_END);
    while (status == WF_OK && (status = wf_record_next(s->wf, &at, &record)) == WF_OK) {
        assert_true(out->records < sizeof out->offsets / sizeof *out->offsets);
        out->offsets[out->records++] = record.offset;
        out->end_at = strcmp(record.type, "end") == 0 ? record.offset : 0;
        if (strcmp(record.type, "call") == 0) {
            assert_true(out->count < PATHS_MAX);
            call_fact *c = &out->calls[out->count++];
            fact_text(record.json, "path", c->path, sizeof c->path);
            fact_text(record.json, "hash", c->hash, sizeof c->hash);
            if (!c->hash[0] || !c->path[0]) fail_msg("a call without path or hash");
            out->agents += !wf_json_member_str(record.json, WF_STR("effect"), &effect);
        } else if (strcmp(record.type, "intent") == 0) {
            wf_str name;
            bool back = !wf_json_member_str(record.json, WF_STR("name"), &name); /* it was not begun after all */
            out->intents[record.call - 1] = (uint8_t)(out->intents[record.call - 1] + (back ? -1 : 1));
            out->intended += back ? UINT32_MAX : 1;
        } else if (strcmp(record.type, "deliver") == 0) {
            assert_true(out->deliveries < PATHS_MAX);
            out->delivered[out->deliveries++] = record.call;
        } else if (strcmp(record.type, "done") == 0) {
            if (!wf_json_member_u64(record.json, WF_STR("kind"), &kind)) kind = WF_KIND_NONE;
            out->calls[record.call - 1].finished = kind == WF_KIND_NONE || kind == WF_KIND_REFUSED ||
                                                   kind == WF_KIND_TOOL || kind == WF_KIND_CANCELLED ||
                                                   kind == WF_KIND_SCHEMA;
        }
    }
    assert_int_equal(status, WF_END);
    stage_free(s);
}

/* ---- runs ---- */

typedef struct outcome {
    uint8_t *log;
    size_t size;
    char *value;
    uint8_t started[STAGE_CALLS];
    uint64_t requests, effects;
    uint32_t agents, execs;
    char miss[160];
} outcome;

static void outcome_free(outcome *o) {
    free(o->log);
    free(o->value);
}

static const stage_file replay_files[] = {
    {"f0", "zero"},
    {"f1", "one"},
    {"f2", "two"},
    {"flows/w.lua",
     "meta = { name = 'w', description = 'inner' } phase('W') local n = args.n\n"
     "local r = parallel({ function() n = n + 1 return agent('w ' .. n) end, function() n = n * 2 return "
     "exec({ 'in', tostring(n) }) end, function() return ask('w?', { default = 'd' .. n }) end })\n"
     "return { n, r[1], r[3], type(r[2]) }"},
    {NULL, NULL}};

/* Runs the script on a log's bytes, with a timing of its own. stop_after: turns until the process dies; 0: it does not. */
static outcome perform_sliced(const char *source, uint64_t timing, const uint8_t *log, size_t size,
                              uint64_t stop_after) {
    stage *s = stage_new(timing, log, size);
    outcome o = {0};
    s->block_size = 2u << 20;
    s->script_size = 1u << 20;
    s->max_ms = UINT64_C(1) << 40; /* looks are frequent here */
    s->config.lanes = (uint32_t)(1 + timing % 7);
    s->config.max_agents = PATHS_MAX;
    s->config.max_calls = PATHS_MAX;
    s->f->delay_max = timing % 3 == 0 ? 0 : 40;
    s->f->tool_delay = timing % 5 == 0 ? 0 : 30;
    s->f->sync_ms = timing % 4 * 3;
    s->f->now += timing % 1000;
    s->files = replay_files;
    wf_str text = wf_str_of(source, strlen(source));
    stage_open_run(s, text);
    assert_int_equal(open_sliced(s, text), WF_OK);
    s->f->tick = 0;
    bool alive = true;
    while (alive && (stop_after == 0 || s->turns < stop_after))
        alive = stage_turn(s);
    if (!alive) {
        stage_finish(s);
        o.value = malloc(s->result.value.len + 2);
        assert_non_null(o.value);
        sprintf(o.value, "%c%.*s", s->result.failed ? '!' : '=', (int)s->result.value.len, s->result.value.ptr);
    }
    o.size = s->f->disk.size;
    o.log = malloc(o.size + 1);
    assert_non_null(o.log);
    memcpy(o.log, s->f->disk.data, o.size);
    memcpy(o.started, s->started, sizeof o.started);
    o.requests = s->f->requests;
    o.effects = s->f->tool_starts;
    o.execs = s->execs;
    wf_run_status status;
    wf_run_status_get(s->wf, &status);
    o.agents = status.agents;
    strcpy(o.miss, s->miss);
    stage_free(s);
    return o;
}

static outcome perform(const char *source, uint64_t timing, const uint8_t *log, size_t size, uint64_t stop_after) {
    static const uint64_t slices[] = {0, 1, 3, 7, 20};
    slice = slices[fake_mix(timing) % 5];
    return perform_sliced(source, timing, log, size, stop_after);
}

/* What must hold between a log and what a resumed run made of it. */
static void check_resumed(const facts *before, const facts *after, const outcome *run, bool faulty) {
    assert_true(after->count >= before->count);
    /* a command is begun behind an intent of its own, and no command has two */
    assert_true(run->execs <= after->intended - before->intended);
    for (uint32_t i = 0; i < after->count; i++)
        if (after->intents[i] > 1) fail_msg("call %u (%s) was begun twice", i + 1, after->calls[i].path);
    if (!faulty && strstr(run->miss, "differ")) fail_msg("a call was not found again: %s", run->miss);
    if (run->value && !faulty && run->agents != after->agents)
        fail_msg("the log holds %u agents, and %u were asked for", after->agents, run->agents);
    for (uint32_t i = 0; i < before->count; i++) {
        if (before->calls[i].finished && run->started[i + 1] > 0)
            fail_msg("call %u (%s) had finished, and was started again", i + 1, before->calls[i].path);
    }
    for (uint32_t i = before->count; i < after->count && !faulty; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(after->calls[i].path, after->calls[j].path) == 0)
                fail_msg("place %s was asked for twice: calls %u and %u, %s", after->calls[i].path, j + 1, i + 1,
                         strcmp(after->calls[i].hash, after->calls[j].hash) ? "with another prompt"
                                                                            : "the same prompt");
        }
    }
}

/* At a record or at any byte, but behind the header: without it there is no log. */
static uint64_t cut_at(uint64_t *rng, const facts *f, size_t size) {
    uint64_t least = f->records > 1 ? f->offsets[1] : size;
    if (f->records < 2 || fake_below(rng, 3) == 0) return least + fake_below(rng, size - least + 1);
    return f->offsets[1 + fake_below(rng, f->records - 1)];
}

static facts before, after; /* too large for the stack */

static void check_workflow(uint64_t seed) {
    static writer w;
    uint64_t rng = fake_mix(seed ^ 0x77);
    write_workflow(&w, seed);
    /* Of the lengths of slices, only these do not depend on how often the collector looks at the
     * clock; which depends on addresses, that two runs have not in common. */
    slice = seed % 2;
    outcome whole = perform_sliced(w.text, seed * 3 + 1, NULL, 0, 0);
    outcome same = perform_sliced(w.text, seed * 3 + 1, NULL, 0, 0);
    if (whole.size != same.size || memcmp(whole.log, same.log, whole.size) != 0) fail_msg("two runs alike differ");
    outcome_free(&same);
    read_facts(whole.log, whole.size, &before);

    /* the complete log, without its end: the same result, nothing is sent */
    for (uint64_t timing = 1; timing <= 2 && !w.faulty; timing++) {
        outcome again = perform(w.text, seed * 5 + timing, whole.log, (size_t)before.end_at, 0);
        if (again.requests + again.effects > 0)
            fail_msg("a complete log sent %d", (int)(again.requests + again.effects));
        if (strcmp(again.value, whole.value) != 0) fail_msg("a replay gave\n%s\nnot\n%s", again.value, whole.value);
        outcome_free(&again);
    }

    /* cut, resumed, cut again, ... and at last to the end, and that replayed */
    outcome last = whole;
    for (int round = 0; round < 4; round++) {
        read_facts(last.log, last.size, &before);
        size_t cut = (size_t)cut_at(&rng, &before, last.size);
        read_facts(last.log, cut, &before);
        outcome next = perform(w.text, fake_next(&rng) >> 8, last.log, cut, round < 3 ? 1 + fake_below(&rng, 200) : 0);
        read_facts(next.log, next.size, &after);
        check_resumed(&before, &after, &next, w.faulty);
        outcome_free(&last);
        last = next;
    }
    outcome again = perform(w.text, seed, last.log, (size_t)after.end_at, 0);
    if (w.faulty) {
        outcome_free(&again);
        outcome_free(&last);
        return;
    }
    if (again.requests + again.effects > 0) fail_msg("a resumed log, replayed, sent something");
    if (strcmp(again.value, last.value) != 0) fail_msg("a replay gave\n%s\nnot\n%s", again.value, last.value);
    outcome_free(&again);
    outcome_free(&last);
}

static const char *seed_of_one(void) {
    return getenv("WF_SEED");
}

static void random_workflows_replay(void **state) {
    (void)state;
    uint64_t cases = fake_full() ? 5000 : 60, first = 1;
    if (seed_of_one()) {
        first = strtoull(seed_of_one(), NULL, 10);
        cases = 1;
        static writer w;
        write_workflow(&w, first);
        fprintf(stderr, "%s", w.text);
    }
    for (uint64_t seed = first; seed < first + cases; seed++) {
        print_message("# seed %llu\n", (unsigned long long)seed);
        check_workflow(seed);
    }
}

/* Pre-emption changes nothing in a replay: with slices of any length the same calls come in the same order. */
static void slices_do_not_show_in_a_replay(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= (fake_full() ? 500 : 20); seed++) {
        static const uint64_t slices[] = {1, 3, 7, 20};
        static writer w;
        write_workflow(&w, seed);
        if (w.faulty) continue;
        slice = 0;
        outcome plain = perform_sliced(w.text, seed, NULL, 0, 0);
        read_facts(plain.log, plain.size, &before);
        for (size_t i = 0; i < sizeof slices / sizeof *slices; i++) {
            slice = slices[i];
            outcome sliced = perform_sliced(w.text, seed, plain.log, (size_t)before.end_at, 0);
            assert_string_equal(sliced.value, plain.value);
            assert_int_equal(sliced.requests + sliced.effects, 0);
            outcome_free(&sliced);
        }
        outcome_free(&plain);
    }
}

/* Nor in a first run, as long as nothing else is different. */
static void slices_do_not_show_in_a_first_run(void **state) {
    (void)state;
    static const char source[] =
        "meta = { name = 'b', description = 'busy' }\n"
        "local n, trail = 0, {}\n"
        "local function busy(k) for i = 1, k do n = n + i % 3 end end\n"
        "local function step(name, wait)\n"
        "  busy(wait * 7) trail[#trail + 1] = name .. n\n"
        "  local v = agent('wait=' .. wait .. ' say ' .. name .. n)\n"
        "  busy(wait * 5) trail[#trail + 1] = v\n"
        "  return v\n"
        "end\n"
        "parallel({\n"
        "  function() step('a', 31) parallel({ function() step('b', 11) end, function() step('c', 7) end }) end,\n"
        "  function() busy(3000) step('d', 29) table.sort(trail, function(x, y) busy(5) return x < y end) step('e', 3) "
        "end,\n"
        "  function() pipeline({ 17, 5, 23 }, function(w) step('f', w) return w end, function(w) step('g', w + 1) end) "
        "end,\n"
        "  function() trail[#trail + 1] = ('xyz'):gsub('.', function(c) busy(50) return c .. n end) end,\n"
        "})\n"
        "return trail\n";
    slice = 0;
    outcome plain = perform_sliced(source, 20, NULL, 0, 0); /* 20: syncs take no time, all have a lane */
    for (slice = 1; slice < 20; slice++) {
        outcome sliced = perform_sliced(source, 20, NULL, 0, 0);
        assert_string_equal(sliced.value, plain.value);
        read_facts(plain.log, plain.size, &before);
        read_facts(sliced.log, sliced.size, &after);
        assert_int_equal(after.count, before.count);
        for (uint32_t c = 0; c < before.count; c++) {
            assert_string_equal(after.calls[c].path, before.calls[c].path);
            assert_string_equal(after.calls[c].hash, before.calls[c].hash);
        }
        assert_int_equal(after.deliveries, before.deliveries);
        assert_memory_equal(after.delivered, before.delivered, before.deliveries * sizeof *before.delivered);
        outcome_free(&sliced);
    }
    outcome_free(&plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_workflows_replay),
        cmocka_unit_test(slices_do_not_show_in_a_replay),
        cmocka_unit_test(slices_do_not_show_in_a_first_run),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
