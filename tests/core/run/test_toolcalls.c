/* Turns with several tool calls: which run together, which wait, and in which order they are answered. A prompt is what the model
 * asks for in its first turn, one word a call: l30, a look that takes 30 ms; c, a change; x, a tool that is not there; r, the
 * result; m, a result that does not fit the schema. l0 takes for ever. */
#include "tests/fake/rig.h"

#include "src/core/run/runtime.h"

#define OBJECT "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},\"required\":[\"n\"]}"

typedef struct begun {
    char text[40]; /* as the tool answers: "look 30" */
    uint64_t from, to;
    uint32_t agent;
} begun;

static begun calls[128];
static size_t call_count;
static uint64_t first_at, last_at; /* when the first and the last request came */
static uint64_t end_delay;         /* of the answer to the last request */
static char answers[4096];         /* of the last request: "0=look 30|1=..." */

/* The tool results that a request holds. */
static void keep_answers(const char *body) {
    static const char id_mark[] = "\"tool_use_id\":\"", text_mark[] = "\"content\":\"";
    size_t n = 0;
    answers[0] = 0;
    for (const char *at = body; (at = strstr(at, id_mark));) {
        const char *id = at + sizeof id_mark - 1, *text = strstr(id, text_mark) + sizeof text_mark - 1;
        n += (size_t)snprintf(answers + n, sizeof answers - n, "%s%.*s=%.*s", n ? "|" : "", (int)strcspn(id, "\""), id,
                              (int)strcspn(text, "\""), text);
        at = text;
    }
}

static void say(fake *f, const fake_request *r, fake_answer *out) {
    char content[16384] = "[";
    size_t n = 1, i = 0;
    last_at = f->now;
    if (r->turns == 0) first_at = f->now;
    keep_answers(r->body);
    if (r->turns > 0) {
        fake_reply(out, "end_turn", "[{\"type\":\"text\",\"text\":\"end\"}]");
        out->delay_ms = end_delay;
        return;
    }
    for (const char *p = r->prompt; *p; p += strcspn(p, " "), p += *p == ' ', i++)
        n += (size_t)snprintf(content + n, sizeof content - n,
                              "%s{\"type\":\"tool_use\",\"id\":\"%zu\",\"name\":\"%s\",\"input\":{\"%s\":%lu}}",
                              i ? "," : "", i,
                              *p == 'l'   ? "look"
                              : *p == 'c' ? "change"
                              : *p == 'x' ? "nothing"
                                          : "result",
                              *p == 'r' ? "n" : "ms", strtoul(p + 1, NULL, 10));
    fake_reply(out, "tool_use", "%s]", content);
}

static void work(fake *f, const wf_tool_call *call, fake_ticket *out) {
    char input[64];
    snprintf(input, sizeof input, "%.*s", (int)call->input.len, call->input.ptr);
    uint64_t ms = strtoull(strchr(input, ':') + 1, NULL, 10);
    begun *b = &calls[call_count++];
    assert_true(call_count < 128);
    snprintf(b->text, sizeof b->text, "%.*s %llu", (int)call->name.len, call->name.ptr, (unsigned long long)ms);
    strcpy(out->text, b->text);
    b->agent = call->agent;
    b->from = f->now;
    b->to = out->due = ms ? f->now + ms : UINT64_MAX;
}

static void begin(rig *r) {
    rig_init(r, 1, NULL, 0);
    r->f->model = say;
    r->f->tool = work;
    call_count = 0;
    end_delay = 0;
    answers[0] = 0;
}

/* Steps until so many tools are under way. */
static void step_until_open(rig *r, uint32_t tickets) {
    uint32_t wait;
    for (uint32_t i = 0; r->f->open_tickets < tickets; i++) {
        assert_true(i < 1000);
        assert_int_equal(wf_step(r->w, 1, &wait), WF_OK);
        if (wait && r->f->open_tickets < tickets) fake_sleep(r->f, wait);
    }
}

static void test_reads_run_together(void **state) {
    rig r;
    (void)state;
    begin(&r);
    r.f->mute = true; /* nobody but `ready` says that a tool is done */
    rig_start(&r);
    assert_text(rig_do(&r, "l30 l10 l20").value, "end");
    assert_string_equal(answers, "0=look 30|1=look 10|2=look 20");
    assert_int_equal(r.f->open_tickets_high, 3);
    assert_int_equal(last_at - first_at, 30);
    /* the first is done first: the others are waited for on tickets that no lane has */
    assert_text(rig_do(&r, "l10 l20 l30").value, "end");
    assert_string_equal(answers, "0=look 10|1=look 20|2=look 30");
    assert_int_equal(last_at - first_at, 30);
    rig_end(&r);
}

static void test_changes_run_alone(void **state) {
    static const char *const order[] = {"look 30", "look 10", "change 20", "change 5", "look 7", "look 8"};
    rig r;
    (void)state;
    begin(&r);
    r.f->sync_ms = 3;
    rig_start(&r);
    assert_text(rig_do(&r, "l30 l10 c20 c5 l7 x l8").value, "end");
    assert_string_equal(answers,
                        "0=look 30|1=look 10|2=change 20|3=change 5|4=look 7|5=the fake has no nothing|6=look 8");
    assert_int_equal(call_count, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(calls[i].text, order[i]);
        for (size_t j = 0; j < i; j++)
            if (calls[i].text[0] == 'c' || calls[j].text[0] == 'c') assert_true(calls[i].from >= calls[j].to);
    }
    assert_int_equal(calls[0].from, calls[1].from);
    assert_int_equal(r.f->open_tickets_high, 2);
    rig_end(&r);
}

/* All calls of an agent have one number, those of another agent another one. */
static void test_who_asks(void **state) {
    rig r;
    (void)state;
    begin(&r);
    r.config.lanes = 1;
    rig_start(&r);
    assert_text(rig_do(&r, "l1 l2 c3 l4").value, "end");
    assert_text(rig_do(&r, "c5 l6").value, "end");
    assert_int_equal(call_count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(calls[i].agent, calls[i < 4 ? 0 : 4].agent);
    assert_true(calls[0].agent != 0 && calls[4].agent != 0 && calls[0].agent != calls[4].agent);
    rig_end(&r);
}

static void test_no_spare_tickets(void **state) {
    rig r;
    (void)state;
    begin(&r);
    r.config.extra_tools = WF_NONE;
    rig_start(&r);
    assert_text(rig_do(&r, "l30 l10 l20").value, "end");
    assert_string_equal(answers, "0=look 30|1=look 10|2=look 20");
    assert_int_equal(r.f->open_tickets_high, 1);
    assert_int_equal(last_at - first_at, 60);
    rig_end(&r);
}

static void test_spare_tickets_are_shared(void **state) {
    rig r;
    (void)state;
    begin(&r);
    r.config.lanes = 2;
    r.config.extra_tools = 1;
    rig_start(&r);
    for (uint32_t round = 0; round < 3; round++) {
        rig_ask(&r, "l10 l10 l10");
        rig_ask(&r, "l20 l20 l20");
        assert_text(rig_take(&r).value, "end");
        assert_text(rig_take(&r).value, "end");
    }
    assert_int_equal(r.f->open_tickets_high, 3);
    assert_int_equal(call_count, 18);
    rig_end(&r);
}

static void test_so_many_at_a_time(void **state) {
    rig r;
    (void)state;
    begin(&r);
    r.config.extra_tools = 64;
    rig_start(&r);
    assert_text(rig_do(&r, "l9 l9 l9 l9 l9 l9 l9 l9 l9 l9 l9").value, "end");
    assert_int_equal(r.f->open_tickets_high, 8);
    assert_int_equal(last_at - first_at, 18);
    rig_end(&r);
}

static void test_the_result_waits_for_those_before(void **state) {
    wf_agent_spec spec = {.prompt = WF_STR("l30 l10 m l5 r4 l7"), .schema = WF_STR(OBJECT)};
    wf_call call;
    rig r;
    (void)state;
    begin(&r);
    rig_start(&r);
    assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
    wf_delivery d = rig_take(&r);
    assert_text(d.value, "{\"n\":4}");
    assert_int_equal(call_count, 3); /* what comes after the answer is not begun */
    assert_int_equal(calls[2].from - first_at, 30);
    rig_end(&r);
}

/* Those that hang are ended at the same time, however many; the one among them that did not is heard. */
static void test_stalled_together(void **state) {
    static const char stalled[] = "the tool made no progress for longer than the stall limit and was ended";
    char want[400];
    rig r;
    (void)state;
    begin(&r);
    r.config.stall_ms = 5000;
    rig_start(&r);
    assert_text(rig_do(&r, "l0 l40 l0 c6").value, "end");
    snprintf(want, sizeof want, "0=%s|1=look 40|2=%s|3=change 6", stalled, stalled);
    assert_string_equal(answers, want);
    assert_int_equal(calls[3].from - first_at, 5000);
    assert_text(rig_do(&r, "l0 l0 l0").value, "end");
    assert_int_equal(last_at - first_at, 5000);
    rig_end(&r);
}

static void test_ended_in_the_middle(void **state) {
    rig r;
    (void)state;
    begin(&r);
    rig_start(&r);
    wf_call call = rig_ask(&r, "l90 l10 l90");
    step_until_open(&r, 3);
    assert_int_equal(wf_call_cancel(r.w, call), WF_OK);
    assert_int_equal(r.f->open_tickets, 0);

    wf_agent_spec spec = {.prompt = WF_STR("l90 l10 l0 l0"), .agent_ms = 50};
    assert_int_equal(wf_agent_start(r.w, &spec, &call), WF_OK);
    assert_int_equal(rig_take(&r).kind, WF_KIND_DEADLINE);
    assert_int_equal(r.f->open_tickets, 0);

    /* all the tickets are there again */
    r.f->open_tickets_high = 0;
    assert_text(rig_do(&r, "l9 l9 l9 l9 l9").value, "end");
    assert_int_equal(r.f->open_tickets_high, 5);

    rig_ask(&r, "l90 l10 l90");
    step_until_open(&r, 3);
    rig_end(&r); /* which looks for tickets that are left open */
}

static void test_the_run_stops_in_the_middle(void **state) {
    rig r;
    wf_delivery d;
    (void)state;
    begin(&r);
    r.config.run_ms = 50;
    rig_start(&r);
    rig_ask(&r, "l90 l10 l90");
    d = rig_take(&r);
    assert_true(d.stopped);
    assert_int_equal(r.f->open_tickets, 0);
    rig_end(&r);
}

/* How many tool results a crash now leaves in the log. */
static size_t blocks_after(const rig *r, fake_survival how) {
    size_t size, n = 0;
    uint8_t *log = fake_crash(r->f, how, r->f->seed, &size);
    rig look;
    wf_record rec;
    uint64_t at = 0;
    rig_init(&look, 9, log, size);
    rig_block(&look);
    if (wf_run_load(look.w) == WF_OK)
        while (wf_record_next(look.w, &at, &rec) == WF_OK)
            n += strcmp(rec.type, "block") == 0;
    rig_end(&look);
    free(log);
    return n;
}

/* Whoever keeps something between the calls of an agent hears once that there will be no more: however it ends. */
static void test_agents_leave(void **state) {
    rig r;
    (void)state;
    begin(&r);
    rig_start(&r);
    assert_text(rig_do(&r, "c5 l1 c5").value, "end");
    assert_int_equal(r.f->tool_left, 1);
    assert_text(rig_do(&r, "x").value, "end");
    assert_int_equal(r.f->tool_left, 2);
    wf_call call = rig_ask(&r, "c0");
    step_until_open(&r, 1);
    assert_int_equal(r.f->tool_left, 2);
    assert_int_equal(wf_call_cancel(r.w, call), WF_OK);
    assert_int_equal(r.f->tool_left, 3);
    rig_end(&r);
}

/* Crash after n steps, for every n and every way the disk may look afterwards: no change is begun twice, no recorded result is
 * asked for again, and the model sees all results in order. */
static void test_crashes(void **state) {
    static const char *const texts[] = {"look 9", "look 3", "change 5", "look 4", "look 2", "change 7"};
    uint32_t interrupted = 0, kept = 0, again = 0;
    (void)state;
    for (int how = FAKE_ALL; how < FAKE_SURVIVALS; how++)
        for (uint32_t n = 0; n < 70; n++) {
            rig r;
            uint32_t wait;
            begin(&r);
            r.f->sync_ms = n % 3;
            rig_start(&r);
            rig_ask(&r, "l9 l3 c5 l4 l2 c7");
            for (uint32_t i = 0; i < n; i++) {
                assert_int_equal(wf_step(r.w, 1, &wait), WF_OK);
                if (wait && !fake_sleep(r.f, wait)) break;
            }
            size_t recorded = blocks_after(&r, (fake_survival)how), first_life = call_count;
            rig_crash(&r, (fake_survival)how);
            wf_delivery d = rig_do(&r, "l9 l3 c5 l4 l2 c7");
            assert_text(d.value, "end");
            for (size_t i = first_life; i < call_count; i++)
                for (size_t j = 0; j < recorded; j++)
                    assert_string_not_equal(calls[i].text, texts[j]);
            for (size_t i = 0; i < call_count; i++)
                for (size_t j = 0; j < i; j++)
                    if (calls[i].text[0] == 'c') assert_string_not_equal(calls[i].text, calls[j].text);
            const char *at = answers;
            for (size_t i = 0; i < 6 && !d.cached; i++) {
                char mark[8];
                snprintf(mark, sizeof mark, "%zu=", i);
                assert_non_null(at = strstr(at, mark));
                bool unknown = strncmp(at + 2, "interrupted, state unknown", 26) == 0;
                assert_true(unknown ? texts[i][0] == 'c' : strncmp(at + 2, texts[i], strlen(texts[i])) == 0);
                interrupted += unknown;
            }
            kept += recorded > 0 && recorded < 6;
            again += call_count > 6;
            rig_end(&r);
        }
    assert_true(interrupted > 0 && kept > 0 && again > 0);
}

/* The power fails while the next turn is under way: the change is known to be done. */
static void test_a_finished_change_is_durable(void **state) {
    rig r;
    uint32_t wait;
    (void)state;
    begin(&r);
    r.f->sync_ms = 3;
    end_delay = 1000;
    rig_start(&r);
    rig_ask(&r, "c5");
    for (uint64_t until = r.f->now + 500; r.f->now < until;) {
        assert_int_equal(wf_step(r.w, 64, &wait), WF_OK);
        if (wait) fake_sleep(r.f, wait);
    }
    assert_string_equal(answers, "0=change 5");
    rig_crash(&r, FAKE_SYNCED);
    assert_text(rig_do(&r, "c5").value, "end");
    assert_string_equal(answers, "0=change 5");
    assert_int_equal(call_count, 1);
    rig_end(&r);
}

/* Memory that runs out at any allocation ends the agent or not, but never leaves a ticket. */
static void test_memory_runs_out(void **state) {
    uint32_t failed = 0;
    (void)state;
    for (uint64_t n = 1;; n++) {
        rig r;
        begin(&r);
        rig_start(&r);
        wfi_runtime *env = (wfi_runtime *)(void *)r.w; /* a wf begins with it */
        rig_ask(&r, "l9 l3 c5 l4 l2 x");
        env->heap.allocs = 0;
        env->heap.fail_at = n;
        wf_delivery d;
        wf_status status = fake_deliver(r.f, r.w, &d);
        if (status == WF_E_MEMORY) status = fake_deliver(r.f, r.w, &d); /* the answer is still next */
        assert_int_equal(status, WF_OK);
        bool over = env->heap.allocs < n;
        if (d.kind == WF_KIND_NONE)
            assert_string_equal(answers, "0=look 9|1=look 3|2=change 5|3=look 4|4=look 2|5=the fake has no nothing");
        else
            assert_int_equal(d.kind, WF_KIND_MEMORY);
        failed += d.kind != WF_KIND_NONE;
        assert_int_equal(r.f->open_tickets, 0);
        rig_end(&r);
        if (over) break;
    }
    assert_true(failed > 5);
}

/* A tool that cannot be begun is an error for the model; those beside it are not lost. */
static void test_a_start_fails(void **state) {
    uint32_t said = 0;
    (void)state;
    for (uint64_t n = 1; n < 200; n++) {
        rig r;
        begin(&r);
        r.config.retries = 8;
        rig_start(&r);
        r.f->calls = 0;
        r.f->fail_call = n;
        rig_ask(&r, "l9 l3 l5");
        wf_delivery d;
        if (fake_deliver(r.f, r.w, &d) == WF_OK && d.kind == WF_KIND_NONE) {
            assert_non_null(strstr(answers, "0="));
            assert_non_null(strstr(answers, "|2="));
            said += strstr(answers, "could not be started") != NULL || strstr(answers, "gave no result") != NULL;
        }
        bool over = r.f->calls < n;
        rig_end(&r);
        if (over) break;
    }
    assert_true(said > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_run_together),
        cmocka_unit_test(test_changes_run_alone),
        cmocka_unit_test(test_who_asks),
        cmocka_unit_test(test_no_spare_tickets),
        cmocka_unit_test(test_spare_tickets_are_shared),
        cmocka_unit_test(test_so_many_at_a_time),
        cmocka_unit_test(test_the_result_waits_for_those_before),
        cmocka_unit_test(test_stalled_together),
        cmocka_unit_test(test_ended_in_the_middle),
        cmocka_unit_test(test_the_run_stops_in_the_middle),
        cmocka_unit_test(test_agents_leave),
        cmocka_unit_test(test_crashes),
        cmocka_unit_test(test_a_finished_change_is_durable),
        cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_a_start_fails),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
