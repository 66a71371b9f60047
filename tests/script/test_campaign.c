/* Random workflows in a random world, judged by what the world has seen: the model's own count of requests and tokens, the
 * commands that ran, and what the script says it was told.
 *
 * One case is a workflow (campaign.h) and the lives of its run: killed at any turn of the pump, stopped for each reason, with
 * limits that are raised, another model, other lanes, faults of every kind, and a user who edits the script between two lives.
 * Whatever happens:
 *   1. nothing finished is asked again, nor a failure that the script has seen, but for --retry-failed; after an edit, of
 *      finished answers none whose prompt is as it was;
 *   2. no command runs twice;
 *   3. the model bills no more than the budget in force;
 *   4. after a stop no request and no tool begins;
 *   5. every line of the log that the script said is there: once, or after an edit at least once;
 *   6. the last life ends as a run that nothing disturbed (calm workflows), and a replay of its log sends nothing and gives the
 *      same result (all).
 *
 * WF_SEED=N repeats one case, and prints its workflow and lives. */
#include "campaign.h"
#include "stage.h"

#include <time.h>

#define ASKS      4096u /* prompts and turns of a case; a power of two */
#define EFFECTS   1024u
#define RETRIES   3u
#define STALL_MS  2000u
#define TOKENS    100u /* of a reply, at most */
#define MOST_SAID 1024u
#define PLENTY    1000000u /* tokens */
#define AGENTS    400u
#define CALLS     1000u
#define MEMORY    (1u << 20)

/* ---- the world ---- */

/* A turn that the model was asked for. */
typedef struct ask {
    uint64_t key; /* of prompt and turn; 0: free */
    uint64_t prompt;
    uint32_t turn;
    char name[40];
    bool fails;             /* however often it is asked, its agent fails */
    bool taken;             /* a good reply was heard to its end, in this life */
    uint64_t at;            /* when */
    bool sealed;            /* ... and must not be asked for again */
    bool told;              /* the script has seen what became of the agent */
    bool again;             /* --retry-failed asked for it anew, which a later life goes on with */
    uint32_t sent, refused; /* in all lives; of these answered with a 401 */
    uint32_t edits;         /* made when the script was told */
    uint32_t life;          /* in which it was */
} ask;

typedef struct effect {
    char name[64];
    bool told;
    bool again; /* --retry-failed asked for it anew, and what was asked then may be done in a later life */
    uint32_t starts;
} effect;

typedef struct counts_of { /* what the campaign did */
    uint64_t cases, requests, kills, stops, edits, commands;
} counts_of;

static struct world {
    uint64_t seed;
    ask asks[ASKS];
    uint32_t ask_count;
    effect effects[EFFECTS];
    uint32_t effect_count;
    uint64_t billed, shown; /* tokens: as the run has to count them; those of lost replies in full */
    bool faulty, unbudgeted;
    /* of this life */
    uint32_t life; /* its number */
    bool retry_failed;
    uint32_t edits;
    uint32_t quota_at, auth_at; /* the request from which on they come; 0: never */
    uint32_t requests;
    bool verbose;
} W;

static counts_of total;

__attribute__((format(printf, 1, 2))) static void wrong(const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fail_msg("seed %llu (WF_SEED repeats it): %s", (unsigned long long)W.seed, text);
}

static ask *world_ask(uint64_t prompt, uint32_t turn) {
    uint64_t key = fake_mix(prompt + turn * 77) | 1;
    uint32_t i = (uint32_t)key & (ASKS - 1);
    while (W.asks[i].key != 0 && W.asks[i].key != key)
        i = (i + 1) & (ASKS - 1);
    if (W.asks[i].key == 0) {
        if (++W.ask_count > ASKS / 2) wrong("the case is too large");
        W.asks[i] = (ask){.key = key, .prompt = prompt, .turn = turn};
    }
    return &W.asks[i];
}

static uint64_t prompt_hash(const char *text, size_t len) {
    return fake_hash(9, text, len);
}

static effect *world_effect(const char *name) {
    for (uint32_t i = 0; i < W.effect_count; i++)
        if (strcmp(W.effects[i].name, name) == 0) return &W.effects[i];
    if (W.effect_count == EFFECTS) wrong("the case has too many commands");
    effect *e = &W.effects[W.effect_count++];
    *e = (effect){.starts = 0};
    snprintf(e->name, sizeof e->name, "%s", name);
    return e;
}

/* What the flags of a prompt ask for. */
typedef struct wish {
    char name[40];
    uint32_t look, change, status, wait, big;
    bool both, refuse, empty, cut, json, misfit, calm;
} wish;

static wish wish_of(const char *prompt) {
    wish w = {.status = 200};
    size_t n = strcspn(prompt, " ");
    snprintf(w.name, sizeof w.name, "%.*s", (int)n, prompt);
    for (const char *p = prompt + n; *p && *p != '|'; p++) {
        char *end;
        uint32_t number = (uint32_t)strtoul(p + 1, &end, 10);
        if (*p == 't') w.look = number;
        if (*p == 't' && p[1] == 'c') w.both = true;
        if (*p == 'c' && !w.both) w.change = number;
        if (*p == 'e') w.status = number;
        if (*p == 'w') w.wait = number;
        if (*p == 'b') w.big = number * 10;
        w.refuse |= *p == 'r';
        w.empty |= *p == 'x';
        w.cut |= *p == 'q';
        w.json |= *p == 'j';
        w.misfit |= *p == 'm';
        w.calm |= *p == 'z' || *p == 'w';
        if (end > p + 1) p = end - 1;
    }
    return w;
}

static bool wish_fails(const wish *w) {
    return w->status != 200 || w->refuse || w->empty || w->cut || w->misfit;
}

/* Whether a failure may be asked anew: for --retry-failed, after a refused key, at the place that an edit gives it. */
static bool may_ask_anew(const ask *a) {
    if (a->refused > 0) return true;
    if ((W.retry_failed || a->again) && (a->fails || !a->told)) return true;
    return a->fails && W.edits > (a->told ? a->edits : 0);
}

/* The judge of rule 1. */
static void judge_request(ask *a, const char *prompt, uint32_t turn) {
    if (a->taken) wrong("turn %u of \"%.60s\" was asked for twice in one life", turn, prompt);
    if ((a->sealed || a->told) && !may_ask_anew(a))
        wrong("turn %u of \"%.60s\" had finished, and was asked for again (%s)", turn, prompt,
              a->told ? "the script has seen its end" : "its reply was there");
    for (uint32_t i = 0; i < ASKS && (a->sealed || a->told);
         i++) { /* its conversation begins anew here, in later lives too */
        ask *b = &W.asks[i];
        if (b->key != 0 && b != a && b->prompt == a->prompt && b->turn > turn) b->sealed = b->told = false;
    }
    a->again = W.retry_failed;
    a->sealed = a->told = false;
}

/* A fault that the next tries do not meet; false: none. */
static bool world_fault(fake *f, const ask *a, uint32_t tries, fake_answer *out) {
    static const uint32_t statuses[] = {408, 409, 429, 500, 503, 529};
    static const fake_drop drops[] = {FAKE_DROP_SEND, FAKE_DROP_HEAD, FAKE_DROP_BODY, FAKE_HANG, FAKE_STALE};
    uint64_t dice = fake_mix(a->key ^ W.seed ^ a->sent * 7919);
    (void)f;
    if (!W.faulty || tries >= RETRIES - 1 || dice % 8 > 0) return false;
    dice = dice / 8 % 12;
    if (dice < 6) {
        out->retry_after_ms = dice == 2 ? 40 : -1;
        fake_error(out, statuses[dice], "a passing fault");
        return true;
    }
    if (dice < 11) out->drop = drops[dice - 6];
    if (dice == 11) fake_body(out, "<html>not what was asked for");
    return dice == 11;
}

static void world_content(const wish *w, const fake_request *r, uint64_t hash, fake_answer *out) {
    char content[1024];
    uint32_t output = 5 + w->big;
    const char *stop = "end_turn";
    static const char call[] = "{\"type\":\"tool_use\",\"id\":\"u%u_%u\",\"name\":\"%s\",\"input\":{\"turn\":%u,\"by\":"
                               "\"%016llx\"}}";
    unsigned long long by = hash;
    size_t n = (size_t)sprintf(content, "[");
    bool both = w->both && r->turns == 0;
    if (both || r->turns < w->look) n += (size_t)snprintf(content + n, 400, call, r->turns, 1, "look", r->turns, by);
    if (both) content[n++] = ',';
    if (both || (r->turns >= w->look && r->turns < w->look + w->change))
        n += (size_t)snprintf(content + n, 400, call, r->turns, 2, "change", r->turns, by);
    if (n > 1) {
        stop = "tool_use";
    } else if (w->json) {
        n += (size_t)sprintf(content + n,
                             "{\"type\":\"tool_use\",\"id\":\"r\",\"name\":\"result\",\"input\":{\"n\":%s}}",
                             w->misfit ? "\"one\"" : "1");
        stop = "tool_use";
    } else {
        n += (size_t)sprintf(content + n, "{\"type\":\"text\",\"text\":\"");
        if (!w->empty) n += (size_t)sprintf(content + n, "%s_%08x", w->name, (unsigned)hash);
        n += (size_t)sprintf(content + n, "\"}");
        if (w->cut) stop = "max_tokens";
        if (w->refuse) stop = "refusal";
    }
    sprintf(content + n, "]");
    fake_body(out,
              "{\"id\":\"msg\",\"type\":\"message\",\"role\":\"assistant\",\"stop_reason\":\"%s\",\"usage\":"
              "{\"input_tokens\":%zu,\"output_tokens\":%u},\"content\":%s}",
              stop, r->len / 4, output, content);
}

static void world_model(fake *f, const fake_request *r, fake_answer *out) {
    wish w = wish_of(r->prompt);
    uint64_t prompt = prompt_hash(r->prompt, strlen(r->prompt));
    uint32_t turn = r->turns + (strstr(r->body, "Your reply was empty") != NULL); /* which is not sent back */
    ask *a = world_ask(prompt, turn);
    judge_request(a, r->prompt, turn);
    if (W.verbose) fprintf(stderr, "  %llu asked %s turn %u\n", (unsigned long long)f->now, r->prompt, turn);
    memcpy(a->name, w.name, sizeof a->name);
    a->fails = wish_fails(&w);
    a->sent++;
    W.requests++;
    total.requests++;
    out->of = a;
    out->delay_ms = w.wait > 0 ? w.wait : f->delay_max ? fake_mix(a->key ^ f->seed) % (f->delay_max + 1) : 0;
    if (W.quota_at > 0 && W.requests >= W.quota_at) {
        fake_error(out, 402, "credit is used up");
    } else if (W.auth_at > 0 && W.requests >= W.auth_at) {
        a->refused++;
        fake_error(out, 401, "the key is refused");
    } else if (w.calm || !world_fault(f, a, r->tries, out)) {
        if (w.status != 200)
            fake_error(out, w.status, "as the prompt wished");
        else
            world_content(&w, r, prompt, out);
    }
}

/* The model has answered, and the exchange ends: what is billed, and whether the run has the reply. */
static void world_settle(fake *f, const fake_exchange *x) {
    ask *a = x->answer.of;
    uint64_t input, output;
    if (x->answer.status != 200 || !a || x->answer.len == 0) return;
    const char *at = strstr(x->answer.body, "\"input_tokens\":");
    if (!at) return;
    input = strtoull(at + 15, NULL, 10);
    for (const char *next = at; (next = strstr(next + 1, "\"output_tokens\":"));) /* a stream's last one is right */
        at = next;
    output = strtoull(strchr(at, ':') + 1, NULL, 10);
    bool lost = !x->heard && x->sent > 0;
    W.shown += input + output;
    W.billed += input + (lost ? 0 : output);
    bool good = strstr(x->answer.body, "\"max_tokens\"") == NULL;
    if (!x->heard || !good) return;
    a->taken = true;
    a->at = f->now;
}

/* ---- effects ---- */

static void begin_effect(const char *name, bool changes, bool script) {
    effect *e = world_effect(name);
    if (W.verbose) fprintf(stderr, "  runs %s\n", name);
    total.commands++;
    if (e->told && !e->again) wrong("\"%s\" was answered, and is done again", name);
    if (changes && e->starts > 0 && (script || !e->again)) wrong("\"%s\" was begun twice", name);
    e->again = W.retry_failed;
    e->starts++;
}

static void world_tool(fake *f, const wf_tool_call *call, fake_ticket *out) {
    stage *s = f->user;
    wf_str value;
    char name[64];
    if (!call->script) {
        snprintf(name, sizeof name, "%.*s", (int)call->input.len, call->input.ptr);
        if (stage_is(call->name, "change")) begin_effect(name, true, false);
        strcpy(out->text, "done");
        return;
    }
    bool exec = stage_is(call->name, "exec");
    if (!exec && !stage_is(call->name, "ask")) {
        stage_effect(f, call, out);
        return;
    }
    s->execs += exec;
    if (!wf_json_member_str(call->input, exec ? WF_STR("cmd") : WF_STR("question"), &value)) abort();
    snprintf(name, sizeof name, "%.*s", (int)value.len, value.ptr);
    out->error = exec && strncmp(name, "no ", 3) == 0;
    if (!out->error) begin_effect(name, exec, true);
    strcpy(out->text, out->error ? "cannot run it"
                      : exec     ? "{\"code\":0,\"out\":\"ran\",\"err\":\"\",\"truncated\":false}"
                                 : "\"yes\"");
}

/* ---- what the script says ---- */

/* "got NAME" or "got NAME KIND". */
static void world_told(const char *line) {
    char name[64] = "", kind[32] = "";
    if (sscanf(line, "got %63s %31s", name, kind) < 1) return;
    if (name[0] != 'a' && name[0] != 'b') {
        effect *e = world_effect(name);
        e->told = kind[0] == 0;
        return;
    }
    for (uint32_t i = 0; i < ASKS; i++) {
        ask *a = &W.asks[i];
        if (a->key == 0 || strcmp(a->name, name) != 0 || (!a->taken && !a->sealed && !a->fails)) continue;
        a->told = true;
        a->edits = W.edits;
        a->life = W.life;
    }
}

static void world_trace(void *ctx, const wf_trace *event) {
    const stage *s = ((fake *)ctx)->user;
    char line[128];
    wf_run_status status;
    stage_trace(ctx, event);
    if (event->type == WF_TRACE_STOP && W.verbose)
        fprintf(stderr, "  stops: %.*s\n", (int)event->text.len, event->text.ptr);
    if (event->type != WF_TRACE_NOTE) return;
    snprintf(line, sizeof line, "%.*s", (int)event->text.len, event->text.ptr);
    if (W.verbose) fprintf(stderr, "  says %s\n", line);
    wf_run_status_get(s->wf, &status);
    if (status.text.len == 0) world_told(line); /* what it sees once the run stops is forgotten */
}

/* ---- logs ---- */

typedef struct lines {
    char text[MOST_SAID][56];
    uint32_t count;
} lines;

static void add_line(lines *l, const char *text, size_t len) {
    if (l->count == MOST_SAID) wrong("the script says too much");
    snprintf(l->text[l->count++], sizeof l->text[0], "%.*s", (int)len, text);
}

static uint32_t count_line(const lines *l, const char *line) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->count; i++)
        n += strcmp(l->text[i], line) == 0;
    return n;
}

/* Memory that is there already: new pages for each life would cost more than the life. */
static void lend(stage *s) {
    static char block[MEMORY], memory[MEMORY];
    s->lent = true;
    s->block = block;
    s->memory = memory;
    s->block_size = s->script_size = MEMORY;
    s->config.max_agents = AGENTS;
    s->config.max_calls = CALLS;
}

static stage *look_at(const uint8_t *log, size_t size) {
    stage *s = stage_new(1, log, size);
    lend(s);
    assert_int_equal(wf_init(&s->wf, s->block, s->block_size, &s->config, NULL), WF_OK);
    return s;
}

/* A killed run: what its log has need not be asked for again. Where the system lives, all that was heard until `known` has to
 * be there. */
static void seal_by_log(const uint8_t *log, size_t size, uint64_t known) {
    stage *s = look_at(log, size);
    wf_call_info info;
    wf_status status = wf_run_load(s->wf);
    if (status != WF_OK && status != WF_END) wrong("the killed run's log: %s", wf_status_name(status));
    for (uint32_t i = 0; i < ASKS; i++) /* that a failure was seen may be lost with all that the script did then */
        W.asks[i].told &= !W.asks[i].fails || W.asks[i].life < W.life;
    for (uint32_t row = 0; status == WF_OK && wf_call_get(s->wf, row, &info) == WF_OK; row++) {
        uint64_t prompt = prompt_hash(info.prompt.ptr, info.prompt.len);
        if (info.superseded) continue;
        bool over = info.finished && !info.cancelled && info.kind != WF_KIND_QUOTA && info.kind != WF_KIND_AUTH;
        if (over && info.delivered) world_ask(prompt, info.turns)->told = true;
        for (uint32_t turn = 0; !info.effect && turn < info.turns + over; turn++)
            world_ask(prompt, turn)->sealed = turn < info.turns || world_ask(prompt, turn)->taken;
    }
    for (uint32_t i = 0; i < ASKS; i++) {
        const ask *a = &W.asks[i];
        if (a->taken && !a->sealed && a->at <= known)
            wrong("the kill lost a reply that was there since %llu, until %llu", (unsigned long long)a->at,
                  (unsigned long long)known);
        W.asks[i].taken = false;
    }
    stage_free(s);
}

static void seal_all(void) {
    for (uint32_t i = 0; i < ASKS; i++) {
        W.asks[i].sealed |= W.asks[i].taken;
        W.asks[i].taken = false;
    }
}

/* The notes that stand, and where the log's end record begins. */
static uint64_t read_notes(const uint8_t *log, size_t size, lines *out) {
    stage *s = look_at(log, size);
    wf_record record;
    uint64_t at = 0, end = 0, phase;
    bool told = false;
    wf_str error;
    out->count = 0;
    assert_int_equal(wf_run_load(s->wf), WF_OK);
    while (wf_record_next(s->wf, &at, &record) == WF_OK) {
        char line[64];
        told = strcmp(record.type, "stop") == 0 || (told && strcmp(record.type, "resume") != 0);
        end = strcmp(record.type, "end") == 0 ? record.offset : 0;
        if (told || strcmp(record.type, "note") != 0 || wf_json_member(record.json, WF_STR("error"), &error)) continue;
        bool title = wf_json_member_u64(record.json, WF_STR("phase"), &phase) ||
                     wf_json_member(record.json, WF_STR("phase"), &error);
        int n = snprintf(line, sizeof line, "%s%.*s", title ? "#" : "", (int)record.payload.len, record.payload.ptr);
        add_line(out, line, (size_t)n);
    }
    stage_free(s);
    return end;
}

/* The second item of the result: a list of lines. */
static void read_said(wf_str value, lines *out) {
    wf_json j;
    wf_json_token kind;
    uint32_t depth = 0, items = 0;
    out->count = 0;
    wf_json_init(&j, value);
    while ((kind = wf_json_next(&j)) != WF_JSON_END && kind != WF_JSON_ERROR) {
        if (kind == WF_JSON_ARRAY || kind == WF_JSON_OBJECT) depth++;
        if (kind == WF_JSON_ARRAY_END || kind == WF_JSON_OBJECT_END) depth--;
        items += depth == 1;
        if (kind == WF_JSON_STRING && depth == 2) add_line(out, j.raw.ptr, j.raw.len);
    }
}

/* ---- lives ---- */

typedef enum stop_kind {
    NO_STOP,
    BY_SIGNAL,
    BY_DEADLINE,
    BY_TOKENS,
    BY_AGENTS,
    BY_QUOTA,
    BY_AUTH,
    STOP_KINDS
} stop_kind;

typedef struct life {
    uint64_t seed;
    stop_kind stop;
    uint64_t stop_at, kill_at; /* turns of the pump; 0: never */
    uint64_t budget;           /* tokens; 0: none */
    uint32_t agents, lanes, work;
    uint64_t sync_ms, delay_max, tool_delay;
    fake_survival survival;
    bool again, small, mute, other_model, faulty, retry_failed;
} life;

typedef struct ended {
    uint8_t *log;
    size_t size;
    char *value; /* NULL: it was killed */
    uint64_t turns;
    wf_outcome outcome;
    bool capped;
} ended;

static const stage_file files_of_all[] = {
    {"f0", "zero"}, {"f1", "one"}, {"flows/w.lua", CAMPAIGN_WORKFLOW}, {NULL, NULL}};

static stage *begin_life(const life *l, const ended *before, wf_str source) {
    stage *s = stage_new(l->seed, before->log, before->size);
    fake *f = s->f;
    lend(s);
    s->files = files_of_all;
    s->work = l->work;
    s->config.lanes = l->lanes;
    s->config.max_agents = l->agents;
    s->config.retries = RETRIES;
    s->config.stall_ms = STALL_MS;
    s->config.max_tokens = TOKENS;
    s->config.budget_tokens = l->budget;
    s->config.retry_kinds = l->retry_failed ? UINT32_MAX & ~(1u << WF_KIND_CANCELLED | 1u << WF_KIND_INTERRUPTED) : 0;
    s->config.tool_count = 2;
    s->config.log_buffer = 8192;
    if (l->other_model) s->config.model = WF_STR("fake:another");
    f->model = world_model;
    f->tool = world_tool;
    f->on_end = world_settle;
    f->platform.trace = world_trace;
    f->sync_ms = l->sync_ms;
    f->delay_max = l->delay_max;
    f->tool_delay = l->tool_delay;
    f->again = l->again;
    f->small = l->small;
    f->mute = l->mute;
    W.faulty = l->faulty;
    W.retry_failed = l->retry_failed;
    for (uint32_t i = 0; i < W.effect_count; i++)
        W.effects[i].again |= W.retry_failed;
    for (uint32_t i = 0; i < ASKS; i++)
        W.asks[i].again |= W.retry_failed;
    W.life++;
    W.requests = 0;
    W.quota_at = l->stop == BY_QUOTA ? (uint32_t)l->stop_at : 0;
    W.auth_at = l->stop == BY_AUTH ? (uint32_t)l->stop_at : 0;
    stage_open_run(s, source);
    if (stage_open_script(s, source) != WF_OK) wrong("the script is not opened");
    return s;
}

/* One turn. What is under way when a run stops may end; nothing begins. */
static bool turn_of_life(stage *s, const life *l) {
    bool stops = wf_run_stopping(s->wf) != WF_RUN_OPEN;
    uint64_t requests = s->f->requests, commands = total.commands;
    bool alive = stage_turn(s);
    if (stops && s->f->requests > requests) wrong("a request began after the stop");
    if (stops && total.commands > commands) wrong("a command began after the stop");
    if (s->starved) wrong("out of memory");
    if (l->stop == BY_SIGNAL && s->turns == l->stop_at) wf_run_stop(s->wf, WF_RUN_CANCELLED, WF_STR("the signal"));
    if (l->stop == BY_DEADLINE && s->turns == l->stop_at) wf_run_stop(s->wf, WF_RUN_DEADLINE, WF_STR("the deadline"));
    return alive;
}

static void judge_money(const life *l, uint64_t more) {
    if (l->budget == 0 || W.unbudgeted) return;
    if (W.billed > l->budget)
        wrong("%llu tokens were billed, the budget is %llu", (unsigned long long)W.billed,
              (unsigned long long)l->budget);
    if (W.shown > l->budget + more)
        wrong("%llu tokens may be billed, the budget is %llu, and shown are %llu beyond it",
              (unsigned long long)W.shown, (unsigned long long)l->budget, (unsigned long long)more);
}

static ended run_life(const life *l, const ended *before, const char *source) {
    stage *s = begin_life(l, before, wf_str_of(source, strlen(source)));
    ended e = {.log = NULL};
    wf_run_status status;
    bool alive = true;
    while (alive && (l->kill_at == 0 || s->turns < l->kill_at))
        alive = turn_of_life(s, l);
    if (!alive) {
        stage_finish(s);
        e.value = malloc(s->result.value.len + 2);
        assert_non_null(e.value);
        sprintf(e.value, "%c%.*s", s->result.failed ? '!' : '=', (int)s->result.value.len, s->result.value.ptr);
    }
    for (uint32_t i = 0; i < FAKE_LANES; i++)
        if (s->f->lanes[i].open && s->f->lanes[i].answered) world_settle(s->f, &s->f->lanes[i]);
    wf_run_status_get(s->wf, &status);
    e.turns = s->turns;
    e.outcome = status.outcome;
    e.log = fake_crash(s->f, alive ? l->survival : FAKE_SYNCED, l->seed, &e.size);
    judge_money(l, status.more_tokens);
    if (W.verbose)
        fprintf(stderr, "  %s after %llu turns: %s\n", alive ? "killed" : "ended", (unsigned long long)e.turns,
                alive ? "" : e.value);
    uint64_t known = l->survival == FAKE_ALL && s->f->now > 2 ? s->f->now - 2 : 0;
    total.kills += alive;
    W.unbudgeted |= alive && l->budget == 0; /* what was lost then is in no log */
    total.stops += !alive && e.outcome > WF_RUN_FAILED;
    stage_free(s);
    if (alive)
        seal_by_log(e.log, e.size, known);
    else
        seal_all();
    return e;
}

static life random_life(uint64_t *rng, const ended *whole, uint64_t requests) {
    static const uint64_t syncs[] = {0, 0, 3, 40};
    life l = {.seed = fake_next(rng),
              .stop = fake_below(rng, 2)   ? (stop_kind)fake_below(rng, STOP_KINDS)
                      : fake_below(rng, 3) ? NO_STOP
                                           : BY_TOKENS, /* a budget is passed by few chances only */
              .agents = AGENTS,
              .lanes = 1 + (uint32_t)fake_below(rng, 6),
              .work = fake_below(rng, 2) ? 64 : 1 + (uint32_t)fake_below(rng, 4),
              .sync_ms = syncs[fake_below(rng, 4)],
              .delay_max = fake_below(rng, 3) ? 40 : 0,
              .tool_delay = fake_below(rng, 2) ? 30 : 0,
              .survival = fake_below(rng, 2) ? FAKE_ALL : (fake_survival)fake_below(rng, FAKE_SURVIVALS),
              .again = fake_below(rng, 4) == 0,
              .small = fake_below(rng, 8) == 0,
              .mute = fake_below(rng, 2) == 0,
              .other_model = fake_below(rng, 4) == 0,
              .faulty = fake_below(rng, 2) == 0,
              .retry_failed = fake_below(rng, 8) == 0};
    uint64_t turns = whole->turns * (l.work < 64 ? 3 : 1) + 2;
    l.stop_at = 1 + fake_below(rng, l.stop == BY_QUOTA ? requests + 1 : turns);
    if (l.stop == BY_AUTH) l.stop_at = 1; /* after an answer it is a failure of one agent, and no stop */
    if (l.stop == NO_STOP || fake_below(rng, 3) == 0) l.kill_at = 1 + fake_below(rng, turns);
    return l;
}

/* The limits of this life: never lower than what was used up. */
static void raise_limits(life *l, uint64_t *rng, uint64_t *budget, uint32_t *agents, uint32_t requests) {
    if (l->stop == BY_AGENTS) *agents += (uint32_t)fake_below(rng, requests + 1);
    if (l->stop == BY_TOKENS && *budget < W.shown + 4000) *budget = W.shown + fake_below(rng, 4000) + 1;
    l->faulty |= l->stop == BY_TOKENS;
    if (*agents > 0 && l->stop == BY_AGENTS) l->agents = *agents;
    if (W.seed % 4 > 0) l->budget = PLENTY;
    if (l->stop == BY_TOKENS) l->budget = *budget;
}

/* A replay of the log without its end: nothing is sent, and the result is the same. */
static void judge_replay(const life *l, const ended *last, uint64_t end, const char *source) {
    life again = {.seed = fake_mix(l->seed), .agents = AGENTS, .lanes = 3, .work = 64};
    ended cut = {.log = last->log, .size = (size_t)end};
    uint64_t requests = total.requests, commands = total.commands;
    ended e = run_life(&again, &cut, source);
    if (total.requests > requests) wrong("a replay of the whole log asked %u times", W.requests);
    if (total.commands > commands) wrong("a replay of the whole log ran a command");
    if (strcmp(e.value, last->value) != 0) wrong("a replay gave\n%s\nnot\n%s", e.value, last->value);
    free(e.log);
    free(e.value);
}

static void judge_notes(const ended *last, uint64_t *end, bool edited) {
    static lines said, noted;
    *end = read_notes(last->log, last->size, &noted);
    read_said(wf_str_of(last->value + 1, strlen(last->value + 1)), &said);
    for (uint32_t i = 0; i < said.count; i++) {
        uint32_t want = count_line(&said, said.text[i]), is = count_line(&noted, said.text[i]);
        if (is < want || (is > want && !edited))
            wrong("\"%s\" was said %u times, and stands %u times in the log", said.text[i], want, is);
    }
}

static void world_init(uint64_t seed, bool verbose) {
    memset(&W, 0, sizeof W);
    W.seed = seed;
    W.verbose = verbose;
}

/* What comes of the script where nothing disturbs it. */
static ended undisturbed(const campaign *c, bool faulty, uint64_t *requests) {
    static const ended nothing = {.log = NULL};
    life calm = {.seed = 4, .agents = AGENTS, .lanes = 4, .delay_max = 20, .work = 64, .faulty = faulty};
    bool verbose = W.verbose;
    world_init(W.seed, false);
    ended e = run_life(&calm, &nothing, c->text);
    *requests = W.requests;
    world_init(W.seed, verbose);
    return e;
}

static void ended_free(ended *e) {
    free(e->log);
    free(e->value);
}

static void tell_life(const life *l, const campaign *c) {
    static const char *const stops[] = {"none", "signal", "deadline", "tokens", "agents", "quota", "auth"};
    if (!W.verbose) return;
    fprintf(stderr,
            "%s\nlife: stop %s at %llu, kill at %llu (%d), budget %llu, agents %u, lanes %u, work %u, edits %u%s%s%s\n",
            c->text, stops[l->stop], (unsigned long long)l->stop_at, (unsigned long long)l->kill_at, l->survival,
            (unsigned long long)l->budget, l->agents, l->lanes, l->work, c->edit_count, l->faulty ? ", faults" : "",
            l->retry_failed ? ", retries failed" : "", l->other_model ? ", another model" : "");
}

static void one_case(uint64_t seed, bool verbose) {
    static campaign c;
    uint64_t rng = fake_mix(seed ^ 0xca4e), requests, budget = 0, end;
    uint32_t agents = 0;
    world_init(seed, verbose);
    campaign_init(&c, seed);
    ended whole = undisturbed(&c, false, &requests), last = {.log = NULL};
    for (uint64_t lives = 1 + fake_below(&rng, 4); lives > 0; lives--) {
        life l = random_life(&rng, &whole, requests);
        raise_limits(&l, &rng, &budget, &agents, (uint32_t)requests);
        tell_life(&l, &c);
        ended next = run_life(&l, &last, c.text);
        ended_free(&last);
        last = next;
        if (fake_below(&rng, 4) == 0) {
            campaign_edit_once(&c, &rng);
            W.edits = c.edit_count;
            total.edits++;
        }
    }
    life l = random_life(&rng, &whole, requests);
    l.stop = NO_STOP;
    l.kill_at = 0;
    tell_life(&l, &c);
    ended final = run_life(&l, &last, c.text);
    if (final.value[0] == '!') wrong("the script failed: %s", final.value);
    judge_notes(&final, &end, W.edits > 0);
    judge_replay(&l, &final, end, c.text);
    judge_replay(&l, &final, end, c.text);
    if (c.calm) {
        ended fresh = undisturbed(&c, false, &requests);
        if (strcmp(fresh.value, final.value) != 0)
            wrong("the resumed run gave\n%s\nand an undisturbed one\n%s", final.value, fresh.value);
        ended_free(&fresh);
    }
    ended_free(&whole);
    ended_free(&last);
    ended_free(&final);
    total.cases++;
}

static uint64_t number_of(const char *variable, uint64_t standard) {
    const char *text = getenv(variable);
    return text ? strtoull(text, NULL, 10) : standard;
}

/* The long form ends by time; WF_FIRST=N lets it begin elsewhere. */
static void random_runs(void **state) {
    bool one = getenv("WF_SEED") != NULL;
    uint64_t first = one ? number_of("WF_SEED", 1) : number_of("WF_FIRST", 1);
    uint64_t cases = one ? 1 : fake_full() ? UINT64_MAX - first : 60;
    clock_t most = fake_full() ? (clock_t)number_of("WF_SECONDS", 240) * CLOCKS_PER_SEC : 0;
    (void)state;
    for (uint64_t seed = first; seed < first + cases && (most == 0 || clock() < most); seed++)
        one_case(seed, one);
    print_message("# %llu cases, %llu requests, %llu commands, %llu kills, %llu stops, %llu edits\n",
                  (unsigned long long)total.cases, (unsigned long long)total.requests,
                  (unsigned long long)total.commands, (unsigned long long)total.kills, (unsigned long long)total.stops,
                  (unsigned long long)total.edits);
}

/* Also of a case that ends by an assertion of the stage. */
static int say_seed(void **state) {
    (void)state;
    print_message("# last seed: %llu\n", (unsigned long long)W.seed);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(random_runs, say_seed)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
