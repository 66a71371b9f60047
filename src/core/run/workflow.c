/* workflow: the public functions of a wf, over replay, sched and log. It holds what belongs to the whole run: the header, the
 * notes, the delivery in the caller's hands, the end. */
#include "budget.h"
#include "replay.h"
#include "request.h"
#include "toolcalls.h"

#define WORKFLOW_CAP       "the run's agent cap is reached; resume with a higher --agents or fan out less"
#define WORKFLOW_PATH_MAX  512u
#define WORKFLOW_LABEL_MAX 160u

typedef enum workflow_stage {
    STAGE_NEW,    /* initialised */
    STAGE_LOADED, /* the log was read */
    STAGE_HEADER, /* its header, or the recovered prefix, becomes durable */
    STAGE_RUNNING,
    STAGE_ENDING, /* the end becomes durable */
    STAGE_ENDED
} workflow_stage;

struct wf {
    wfi_env env;
    wfi_sched sched;
    wfi_run run;
    workflow_stage stage;
    wf_memory memory;
    wf_error error;
    uint32_t notes;       /* made by this process's run of the script, but for errors */
    uint32_t pathless;    /* calls without a path of their own */
    uint32_t rejected;    /* see wf_run_finish */
    uint32_t turned_away; /* agents asked for when the run was stopping or at its cap: they have no row */
    bool capped;          /* some of them by the cap: the run went on without them, and is not well */
    bool replacing;       /* the run goes on with another script or args */
    wf_usage delivered;   /* usage of delivered results */
    struct {              /* the tools text made last: agents of a fan-out mostly share it */
        char names[64];
        size_t names_len;
        uint64_t schema, at;
        bool known;
    } tools;
    char *header;     /* heap: payload of the header record */
    char *old_header; /* heap: of the one that another script replaced */
    wfi_meta_run header_meta;
    char header_json[WFI_LOG_META_MAX];
    char *value; /* heap: of the delivery in the caller's hands, the run's value, or what wf_call_get showed */
    char *info;  /* heap */
    wf_schema_error unfit; /* why a schema is none */
    char no_tool[160];     /* which tool there is not */
};

static wf_status workflow_fail(wf *w, wf_status code, const char *text) {
    w->error = (wf_error){code, text, WF_NO_OFFSET};
    return code;
}

/* A status of a part below: if it is the log's, so are its words. */
static wf_status workflow_below(wf *w, wf_status code) {
    if (code >= 0) return code;
    if (w->env.log.error.code == code)
        w->error = w->env.log.error;
    else
        workflow_fail(w, code, wf_status_text(code));
    return code;
}

/* ---- configuration and memory ---- */

static uint32_t workflow_default(uint32_t value, uint32_t standard) {
    return value == 0 ? standard : value;
}

static void workflow_defaults(wf_config *c) {
    c->lanes = workflow_default(c->lanes, 16);
    c->max_agents = workflow_default(c->max_agents, 1000);
    c->max_calls = workflow_default(c->max_calls, c->max_agents < 1u << 24 ? c->max_agents * 16 : UINT32_MAX);
    c->effects = workflow_default(c->effects, 8);
    c->extra_tools = c->extra_tools == WF_NONE ? WF_NONE : workflow_default(c->extra_tools, c->lanes);
    c->max_turns = workflow_default(c->max_turns, 50);
    c->max_tokens = workflow_default(c->max_tokens, 16000);
    c->retries = workflow_default(c->retries, 5);
    c->agent_ms = workflow_default(c->agent_ms, 30 * 60 * 1000);
    c->stall_ms = workflow_default(c->stall_ms, 180000);
    c->tool_output_max = workflow_default(c->tool_output_max, 32768);
    c->schema_tries = workflow_default(c->schema_tries, 5);
    c->reply_max = workflow_default(c->reply_max, 4u << 20);
    c->log_buffer = workflow_default(c->log_buffer, 64u << 10);
}

#define WORKFLOW_HEAP_MIN 4096u

static const char *workflow_check(const wf_config *c) {
    const wf_platform *p = c->platform;
    if (!p || p->version != WF_PLATFORM_VERSION) return "config.platform: missing, or of another version";
    if (!p->now_ms || !p->wall_ms || !p->random || !p->log) return "config.platform: a hook is missing";
    if (c->lanes > 1000) return "config.lanes: 1 to 1000";
    if (c->effects > 1000) return "config.effects: 1 to 1000";
    if (c->extra_tools > 1000 && c->extra_tools != WF_NONE) return "config.extra_tools: 1 to 1000, or WF_NONE";
    if (c->max_calls > 1u << 26 || c->max_calls < c->max_agents) return "config.max_calls: max_agents to 2^26";
    if (c->tool_count > 32) return "config.tools: at most 32";
    if (c->log_buffer < WFI_LOG_BUFFER_MIN) return "config.log_buffer: at least 4096";
    if (c->heap > 0 && c->heap < wfi_heap_needed(WORKFLOW_HEAP_MIN)) return "config.heap: room for at least 4096 bytes";
    if (c->max_tokens > 1u << 30) return "config.max_tokens: at most 2^30";
    if (c->model.len > WF_MODEL_MAX) return "config.model: too long";
    return NULL;
}

static wf *workflow_carve(wfi_arena *a, const wf_config *c) {
    uint32_t texts = 16;
    while (texts < c->max_agents && texts < 4096)
        texts *= 2;
    wf *w = wfi_arena_take(a, 1, sizeof *w);
    wf scratch; /* for counting: a wf that is not there cannot be filled in */
    wf *to = w ? w : &scratch;
    if (!w) wfi_zero(&scratch, sizeof scratch);
    wfi_sched_carve(&to->sched, a, c);
    wfi_spares_carve(&to->env.spares, a, c);
    to->env.scratch = wfi_arena_take_raw(a, 1, WFI_SCRATCH);
    to->env.texts = wfi_arena_take(a, texts, sizeof *to->env.texts);
    to->env.text_mask = texts - 1;
    uint8_t *log = wfi_arena_take_raw(a, 1, c->log_buffer);
    uint8_t *kept = wfi_arena_take_raw(a, 1, c->log_buffer / 4);
    if (!w || a->full) return w;
    wfi_log_init(&w->env.log, c->platform->log, c->platform->log_ctx, log, c->log_buffer, c->sync);
    wfi_log_keep(&w->env.log, kept, c->log_buffer / 4);
    return w;
}

size_t wf_memory_needed(const wf_config *config) {
    wf_config c = *config;
    wfi_arena a;
    workflow_defaults(&c);
    if (workflow_check(&c)) return 0;
    wfi_arena_init(&a, NULL, 0);
    workflow_carve(&a, &c);
    if (!c.shared) (void)wfi_arena_take_raw(&a, 1, c.heap ? c.heap : wfi_heap_needed(WORKFLOW_HEAP_MIN));
    return a.full ? 0 : a.used;
}

wf_status wf_init(wf **out, void *memory, size_t size, const wf_config *config, wf_error *error) {
    wf_config c = *config;
    wfi_arena a;
    uint64_t seed = 0;
    workflow_defaults(&c);
    const char *why = workflow_check(&c);
    wf_status s = why ? WF_E_CONFIG : WF_OK;
    *out = NULL;
    if (s == WF_OK && (!memory || size < wf_memory_needed(&c))) {
        why = "the block is too small: wf_memory_needed says how much this config takes";
        s = WF_E_MEMORY;
    }
    if (s == WF_OK && c.platform->random(c.platform->ctx, &seed, sizeof seed) != WF_OK) {
        why = "the platform has no random bytes";
        s = WF_E_IO;
    }
    if (s != WF_OK) {
        if (error) *error = (wf_error){s, why, WF_NO_OFFSET};
        return s;
    }
    wfi_arena_init(&a, memory, size);
    wf *w = workflow_carve(&a, &c);
    w->memory.block = size;
    w->memory.fixed = a.used;
    size_t heap = c.heap ? c.heap : wfi_arena_left(&a);
    WFI_ASSERT(!a.full);
    if (c.shared)
        wfi_heap_share(&w->env.heap, &c.shared->heap, c.heap ? c.heap : SIZE_MAX);
    else
        (void)wfi_heap_init(&w->env.heap, wfi_arena_take_raw(&a, 1, heap), heap);
    w->env.config = c;
    w->env.os = c.platform;
    w->env.rng = seed | 1;
    *out = w;
    return WF_OK;
}

const wf_config *wf_settings(const wf *w) {
    return &w->env.config;
}

void wf_close(wf *w) {
    wfi_sched_drop_all(&w->env, &w->sched);
    if (w->stage == STAGE_RUNNING) (void)wfi_log_flush(&w->env.log); /* if it cannot be: a sync would have said so */
    wfi_heap_free(&w->env.heap, w->old_header);
    wfi_heap_free(&w->env.heap, w->header);
    wfi_heap_free(&w->env.heap, w->value);
    wfi_heap_free(&w->env.heap, w->info);
    w->old_header = w->header = w->value = w->info = NULL;
    w->stage = STAGE_ENDED;
}

void wf_last_error(const wf *w, wf_error *out) {
    *out = w->error;
}

void wf_memory_stats(const wf *w, wf_memory *out) {
    *out = w->memory;
    out->heap = wfi_heap_use(&w->env.heap);
}

/* ---- the run ---- */

wf_status wf_run_load(wf *w) {
    if (w->stage != STAGE_NEW) return workflow_fail(w, WF_E_CONFIG, "the log was loaded already");
    wf_status s = wfi_replay_load(&w->env, &w->sched, &w->run);
    if (s != WF_OK) return workflow_below(w, s);
    w->stage = STAGE_LOADED;
    return WF_OK;
}

/* Loads the header in force once, for as long as the wf lives. */
static wf_status workflow_header(wf *w) {
    wfi_log_rec rec;
    if (w->header) return WF_OK;
    wf_status s = wfi_env_meta(&w->env, w->run.header, &rec, w->header_json, &w->header_meta);
    if (s != WF_OK) return s;
    const wfi_meta_run *m = &w->header_meta;
    if (m->script > rec.payload_len || m->args > rec.payload_len - m->script ||
        m->settings > rec.payload_len - m->script - m->args)
        return WF_E_CORRUPT;
    return wfi_env_payload(&w->env, &rec, 1, &w->header);
}

wf_status wf_run_header(wf *w, wf_run_spec *out, uint64_t *started_wall_ms) {
    if (w->run.header == 0) return workflow_fail(w, WF_E_NOT_FOUND, "there is no run yet");
    wf_status s = workflow_header(w);
    if (s != WF_OK) return workflow_below(w, s);
    const wfi_meta_run *m = &w->header_meta;
    out->name = m->name;
    out->script = wf_str_of(w->header, (size_t)m->script);
    out->args = wf_str_of(w->header + m->script, (size_t)m->args);
    out->settings = wf_str_of(w->header + m->script + m->args, (size_t)m->settings);
    if (started_wall_ms) *started_wall_ms = w->run.started;
    return WF_OK;
}

/* Writes the run or resume record. */
static wf_status workflow_put_header(wf *w, wfi_rec type, const wf_run_spec *spec, bool whole) {
    char hex[64], buf[WFI_LOG_META_MAX];
    uint8_t hash[32];
    uint64_t at;
    wf_str meta_text;
    const wf_str none = {"", 0};
    wf_str parts[3] = {whole ? spec->script : none, whole ? spec->args : none, spec ? spec->settings : none};
    wfi_sha256 sha;
    wfi_sha256_init(&sha);
    wfi_sha256_add(&sha, parts[0].ptr, parts[0].len);
    wfi_sha256_end(&sha, hash);
    wfi_hex(hash, sizeof hash, hex);
    wfi_meta_run meta = {.wall = w->env.os->wall_ms(w->env.os->ctx),
                         .script = parts[0].len,
                         .args = parts[1].len,
                         .settings = parts[2].len};
    if (whole) {
        meta.name = wfi_utf8_clip(spec->name, WORKFLOW_LABEL_MAX);
        meta.sha256 = wf_str_of(hex, sizeof hex);
    }
    wf_status s = wfi_meta_put(type, &meta, buf, &meta_text);
    if (s == WF_OK) s = wfi_log_append(&w->env.log, type, 0, meta_text, parts, 3, &at, NULL);
    if (s != WF_OK) return s;
    if (whole) {
        w->run.header = at;
        w->old_header = w->header; /* the caller may still look at it, and have taken the args from it */
        w->header = NULL;
    }
    if (type == WFI_REC_RUN) w->run.started = meta.wall;
    return WF_OK;
}

static wf_status workflow_differs(wf *w, const wf_run_spec *spec, bool *out) {
    wf_run_spec old;
    *out = false;
    if (!spec) return WF_OK;
    wf_status s = wf_run_header(w, &old, NULL);
    if (s == WF_OK) *out = !wfi_str_eq(old.script, spec->script) || !wfi_str_eq(old.args, spec->args);
    return s;
}

static wf_status workflow_open_new(wf *w, const wf_run_spec *spec) {
    uint32_t salt;
    if (!spec) return workflow_fail(w, WF_E_NOT_FOUND, "the log is empty: there is no run to go on with");
    if (w->env.os->random(w->env.os->ctx, &salt, sizeof salt) != WF_OK)
        return workflow_fail(w, WF_E_IO, "the platform has no random bytes");
    wf_status s = wfi_log_create(&w->env.log, salt);
    if (s == WF_OK) s = workflow_put_header(w, WFI_REC_RUN, spec, true);
    return workflow_below(w, s);
}

static wf_status workflow_open_again(wf *w, const wf_run_spec *spec) {
    wf_status s = workflow_differs(w, spec, &w->replacing);
    if (s == WF_OK) s = wfi_log_resume(&w->env.log, w->run.valid);
    /* a run whose script was replaced once may have answers left over that no place of the new one has taken yet */
    w->sched.by_content = w->replacing || w->run.header != WFI_LOG_FIRST;
    w->run.outcome = WF_RUN_OPEN;
    return workflow_below(w, s);
}

static wf_status workflow_open(wf *w, const wf_run_spec *spec) {
    wf_status s = WF_OK;
    if (w->stage > STAGE_LOADED) return workflow_fail(w, WF_E_CONFIG, "the run is open already");
    if (w->stage == STAGE_NEW) s = wf_run_load(w);
    if (s < 0) return s;
    s = s == WF_END ? workflow_open_new(w, spec) : workflow_open_again(w, spec);
    if (s != WF_OK) return s;
    wfi_log_want(&w->env.log);
    w->stage = STAGE_HEADER;
    w->sched.started = w->env.os->now_ms(w->env.os->ctx);
    w->sched.clock = w->run.started;
    return WF_OK;
}

wf_status wf_run_open(wf *w, const wf_run_spec *spec) {
    wf_status s = WF_OK;
    if (w->stage != STAGE_HEADER && (s = workflow_open(w, spec)) != WF_OK) return s;
    s = wfi_log_pump(&w->env.log);
    /* only now is the recovered prefix known durable, and may records say so */
    if (s == WF_OK && w->run.valid > 0) s = workflow_put_header(w, WFI_REC_RESUME, spec, w->replacing);
    if (s != WF_OK) return workflow_below(w, s);
    w->stage = STAGE_RUNNING;
    return WF_OK;
}

const char *wf_outcome_name(wf_outcome outcome) {
    static const char *const names[] = {"open",     "done",   "failed",  "budget",
                                        "deadline", "paused", "refused", "cancelled"};
    return (size_t)outcome < WFI_COUNT(names) ? names[outcome] : "?";
}

/* Of a log that is only looked at, what it holds; of a run, what the script has asked for. */
static void workflow_census(const wf *w, wf_run_status *out) {
    const wfi_table *t = &w->sched.table;
    bool looking = w->stage <= STAGE_LOADED;
    for (uint32_t i = 0; i < t->count; i++) {
        const wfi_row *r = &t->rows[i];
        if (r->effect || (looking ? r->replaced || r->moved : r->state == WFI_CALL_LOGGED)) continue;
        out->agents++;
        out->running += r->state == WFI_CALL_RUNNING;
        out->queued += r->state == WFI_CALL_QUEUED;
        if (!r->finished) {
            out->census.cancelled += r->state == WFI_CALL_GONE && r->started;
            out->census.not_run += r->state == WFI_CALL_GONE && !r->started;
        } else if (r->kind == WF_KIND_CANCELLED) {
            out->census.cancelled++;
        } else {
            out->census.done += r->kind == WF_KIND_NONE;
            out->census.failed += r->kind != WF_KIND_NONE;
            out->census.cached += r->hit;
        }
    }
    for (uint32_t i = 0; i < w->sched.task_count; i++)
        out->effects += w->sched.tasks[i].state != WFI_TASK_FREE && w->sched.tasks[i].call.changes;
}

void wf_run_status_get(const wf *w, wf_run_status *out) {
    wfi_zero(out, sizeof *out);
    out->outcome = w->env.stop != WF_RUN_OPEN ? w->env.stop : w->run.outcome;
    workflow_census(w, out);
    out->census.not_run += w->turned_away;
    out->census.dropped = w->run.census.dropped;
    out->census.script_errors = w->run.census.script_errors;
    uint32_t rejected = w->rejected < out->census.done ? w->rejected : out->census.done;
    out->census.done -= rejected;
    out->census.failed += rejected;
    if (w->run.end != 0 && w->stage <= STAGE_LOADED) {
        const wfi_meta_end *m = &w->run.census;
        out->census =
            (wf_census){m->done, m->failed, m->cached, m->dropped, m->cancelled, m->not_run, m->script_errors};
    }
    out->usage = w->env.spent;
    out->delivered = w->delivered;
    out->now_ms = w->sched.clock;
    out->started_ms = w->run.started;
    out->log_bytes = wfi_log_end(&w->env.log);
    out->synced_bytes = w->env.log.synced;
    out->syncs = w->env.log.syncs;
    out->text = wfi_str_z(w->env.stop == WF_RUN_OPEN && w->capped ? WORKFLOW_CAP : w->env.stop_text);
}

wf_outcome wf_run_stopping(const wf *w) {
    return w->env.stop;
}

void wf_run_stop(wf *w, wf_outcome reason, wf_str text) {
    if (w->stage <= STAGE_RUNNING) wfi_env_stop(&w->env, reason, text);
}

static void workflow_lower(uint64_t *budget, uint64_t cap) {
    if (cap > 0 && (*budget == 0 || cap < *budget)) *budget = cap;
}

void wf_run_cap(wf *w, uint64_t tokens, uint64_t nano_usd) {
    workflow_lower(&w->env.config.budget_tokens, tokens);
    workflow_lower(&w->env.config.budget_nano_usd, nano_usd);
}

wf_status wf_run_finish(wf *w, wf_outcome outcome, wf_str value, bool json, uint32_t dropped, uint32_t rejected,
                        uint32_t script_errors) {
    wf_run_status status;
    uint64_t at;
    if (w->stage != STAGE_RUNNING) return workflow_fail(w, WF_E_CONFIG, "the run is not open");
    wfi_sched_drop_all(&w->env, &w->sched);
    for (uint32_t i = 0; i < w->sched.table.count; i++) /* what nobody will be told of any more */
        if (w->sched.table.rows[i].state == WFI_CALL_QUEUED) w->sched.table.rows[i].state = WFI_CALL_GONE;
    w->run.census.dropped = dropped;
    w->run.census.script_errors = script_errors;
    w->rejected = rejected;
    if (w->capped && outcome < WF_RUN_BUDGET) outcome = WF_RUN_BUDGET;
    w->run.outcome = w->env.stop > outcome ? w->env.stop : outcome;
    wf_run_status_get(w, &status);
    const wf_census *c = &status.census;
    wfi_meta_end meta = {.outcome = w->run.outcome,
                         .json = json,
                         .done = c->done,
                         .failed = c->failed,
                         .cached = c->cached,
                         .dropped = dropped,
                         .cancelled = c->cancelled,
                         .not_run = c->not_run,
                         .script_errors = script_errors,
                         .usage = status.usage,
                         .wall = w->env.os->wall_ms(w->env.os->ctx)};
    wf_status s = wfi_budget_close(&w->env);
    if (s == WF_OK) s = wfi_env_record(&w->env, WFI_REC_END, 0, &meta, value, &at, NULL);
    if (s != WF_OK) return workflow_below(w, s);
    w->run.end = at;
    wfi_log_want(&w->env.log);
    w->stage = STAGE_ENDING;
    return WF_OK;
}

wf_status wf_run_value(wf *w, wf_str *value, bool *json) {
    char buf[WFI_LOG_META_MAX];
    wfi_log_rec rec;
    wfi_meta meta;
    if (w->run.end == 0) return workflow_fail(w, WF_E_NOT_FOUND, "the run has not finished");
    wfi_heap_free(&w->env.heap, w->value);
    w->value = NULL;
    wf_status s = wfi_env_meta(&w->env, w->run.end, &rec, buf, &meta);
    if (s == WF_OK) s = wfi_env_payload(&w->env, &rec, 1, &w->value);
    if (s != WF_OK) return workflow_below(w, s);
    *value = wf_str_of(w->value, rec.payload_len);
    *json = meta.end.json;
    return WF_OK;
}

/* ---- calls ---- */

/* A call's place and identity, as match and record need them. */
typedef struct workflow_id {
    char path[WORKFLOW_PATH_MAX];
    wf_str path_text;
    uint64_t place;
    uint8_t hash[32];
    char hex[64];
} workflow_id;

static wf_status workflow_identify(wf *w, workflow_id *id, wf_str path, const wf_str *parts, size_t count) {
    if (path.len > sizeof id->path) return workflow_fail(w, WF_E_CONFIG, "the call's path is longer than 512 bytes");
    if (path.len == 0) {
        id->path[0] = '#';
        path = wf_str_of(id->path, 1 + wfi_u64_str(++w->pathless, id->path + 1));
    }
    id->path_text = path;
    id->place = wfi_replay_place(path);
    wfi_replay_identity(parts, count, id->hash);
    wfi_hex(id->hash, sizeof id->hash, id->hex);
    return WF_OK;
}

static void workflow_trace_miss(const wf *w, const wfi_meta_call *meta, bool effect) {
    wf_trace event = {
        .type = WF_TRACE_MISS, .effect = effect, .label = meta->label, .phase = meta->phase, .text = meta->miss};
    wfi_env_trace(&w->env, &event);
}

static void workflow_trace_hit(const wf *w, uint32_t row, const wfi_meta_call *meta) {
    const wfi_row *r = &w->sched.table.rows[row];
    wf_trace event = {.type = WF_TRACE_HIT,
                      .id = row + 1,
                      .effect = r->effect,
                      .kind = (wf_kind)r->kind,
                      .label = meta->label,
                      .phase = meta->phase};
    wfi_env_trace(&w->env, &event);
}

/* A new row, with its record. replaced: the row that it is a fresh try of, or WFI_NO_ROW. */
static wf_status workflow_add_row(wf *w, const workflow_id *id, wfi_meta_call *meta, wf_str input, uint32_t replaced,
                                  uint32_t *row) {
    wfi_sched *s = &w->sched;
    bool effect = meta->effect.len > 0;
    uint64_t at;
    meta->path = id->path_text;
    meta->hash = wf_str_of(id->hex, sizeof id->hex);
    meta->replaces = replaced == WFI_NO_ROW ? 0 : replaced + 1;
    if (w->run.valid == 0) meta->miss = wf_str_of("", 0); /* in a first run everything is new */
    wf_status status = wfi_env_record(&w->env, WFI_REC_CALL, s->table.count + 1, meta, input, &at, NULL);
    if (status == WF_E_LIMIT)
        return workflow_fail(w, WF_E_CONFIG, "the call's path, label, phase and model are too long taken together");
    if (status != WF_OK) return workflow_below(w, status);
    *row = wfi_table_add(&s->table, id->place, id->hash, effect);
    s->table.rows[*row].call_at = at;
    if (replaced != WFI_NO_ROW) {
        s->unasked -= wfi_row_unasked(&s->table.rows[replaced]);
        s->table.rows[replaced].replaced = true;
    }
    if (meta->miss.len > 0) workflow_trace_miss(w, meta, effect);
    return WF_OK;
}

/* Says which tool the run does not have. */
static wf_status workflow_no_tool(wf *w, wf_str name) {
    static const char before[] = "tools: this run has no '",
                      after[] = "'; fix its name, or allow it: --allow read,write,bash";
    char *out = w->no_tool;
    name = wfi_utf8_clip(name, sizeof w->no_tool - sizeof before - sizeof after);
    wfi_copy(out, before, sizeof before - 1);
    out += sizeof before - 1;
    wfi_copy(out, name.ptr, name.len);
    wfi_copy(out + name.len, after, sizeof after);
    return workflow_fail(w, WF_E_CONFIG, w->no_tool);
}

/* The tools of an agent, made anew only if they are not those of the agent before. */
static wf_status workflow_tools(wf *w, wf_str names, wf_str schema, wfi_meta_call *meta) {
    wf_str unknown;
    if (w->tools.known && w->tools.schema == meta->schema &&
        wfi_str_eq(names, wf_str_of(w->tools.names, w->tools.names_len))) {
        meta->tools = w->tools.at;
        return WF_OK;
    }
    wf_status s = wfi_request_tools(&w->env, wfi_messages_codec(), names, schema, &meta->tools, &unknown);
    if (s == WF_E_NOT_FOUND) return workflow_no_tool(w, unknown);
    w->tools.known = s == WF_OK && names.len <= sizeof w->tools.names;
    if (!w->tools.known) return workflow_below(w, s);
    wfi_copy(w->tools.names, names.ptr, names.len);
    w->tools.names_len = names.len;
    w->tools.schema = meta->schema;
    w->tools.at = meta->tools;
    return WF_OK;
}

/* The texts of an agent, into the log; the call record refers to them. */
static wf_status workflow_texts(wf *w, const wf_agent_spec *spec, wf_str system, wfi_meta_call *meta) {
    const wfi_codec *codec = wfi_messages_codec();
    wfi_env *e = &w->env;
    wf_status s = wfi_request_text(e, codec->text_block, spec->prompt, &meta->prompt);
    if (s == WF_OK && system.len > 0) s = wfi_request_text(e, codec->system, system, &meta->system);
    if (s == WF_OK && spec->schema.len > 0) s = wfi_env_text(e, spec->schema, &meta->schema);
    return s == WF_OK ? workflow_tools(w, spec->tools, spec->schema, meta) : workflow_below(w, s);
}

static wf_status workflow_check_spec(wf *w, const wf_agent_spec *spec, wf_str model) {
    wf_schema_error *unfit = &w->unfit;
    wf_status s;
    if (spec->prompt.len == 0) return workflow_fail(w, WF_E_CONFIG, "the prompt is empty");
    if (model.len == 0) return workflow_fail(w, WF_E_CONFIG, "no model: name one for the run or the agent");
    if (model.len > WF_MODEL_MAX || spec->effort.len > 32)
        return workflow_fail(w, WF_E_CONFIG,
                             "the model's or effort's name is too long; a model's has at most 400 bytes");
    if (spec->cwd.len > WORKFLOW_PATH_MAX)
        return workflow_fail(w, WF_E_CONFIG, "cwd: the path is longer than 512 bytes");
    if (spec->max_tokens > 1u << 30) return workflow_fail(w, WF_E_CONFIG, "max_tokens: at most 2^30");
    if (spec->schema.len > 0 && (s = wf_schema_check(spec->schema, WF_STR("null"), unfit)) != WF_OK && s != WF_E_SCHEMA)
        return workflow_fail(w, WF_E_CONFIG,
                             unfit->reason[0] ? unfit->reason : "the schema is not a valid JSON Schema");
    return WF_OK;
}

static wf_status workflow_may_start(wf *w, bool effect) {
    if (w->stage != STAGE_RUNNING) return workflow_fail(w, WF_E_CONFIG, "the run is not open");
    if (w->env.stop != WF_RUN_OPEN) return workflow_fail(w, WF_E_STOPPED, w->env.stop_text);
    if (!effect && w->sched.agents >= w->env.config.max_agents) return workflow_fail(w, WF_E_LIMIT, WORKFLOW_CAP);
    return WF_OK;
}

/* Whether an agent that has not yet said a word is to ask another model now. */
static wf_status workflow_model_differs(wf *w, const wfi_row *r, const wfi_meta_call *meta, bool *out) {
    char buf[WFI_LOG_META_MAX];
    wfi_log_rec rec;
    wfi_meta old;
    *out = false;
    if (r->effect || r->turns > 0) return WF_OK;
    wf_status s = wfi_env_meta(&w->env, r->call_at, &rec, buf, &old);
    if (s == WF_OK) *out = !wfi_str_eq(old.call.model, meta->model) || !wfi_str_eq(old.call.effort, meta->effort);
    return workflow_below(w, s);
}

/* Answers a call from the log, or goes on with it there; WF_END: neither, a row is to be added. */
static wf_status workflow_match(wf *w, const workflow_id *id, bool no_cache, uint32_t *row, wfi_meta_call *meta,
                                uint32_t *replaced) {
    const char *why;
    bool differs = false;
    wfi_recall recall = wfi_replay_recall(&w->env, &w->sched, id->place, id->hash, row, &why);
    *replaced = WFI_NO_ROW;
    if (recall == WFI_RECALL_ANSWER && no_cache) {
        why = "the script says cache = false";
        recall = WFI_RECALL_NONE;
    }
    if (recall == WFI_RECALL_ANSWER) {
        wfi_sched_hit(&w->sched, *row);
        workflow_trace_hit(w, *row, meta);
        return WF_OK;
    }
    if (recall == WFI_RECALL_OPEN) {
        wf_status s = workflow_model_differs(w, &w->sched.table.rows[*row], meta, &differs);
        if (s != WF_OK) return s;
        if (!differs) {
            wfi_sched_queue(&w->sched, *row);
            return WF_OK;
        }
    }
    if (w->sched.table.count == w->sched.table.cap)
        return workflow_fail(w, WF_E_LIMIT, "the table of calls is full; give a higher --agents");
    *replaced = *row;
    /* with the script as it was, a place that the log does not have is simply one that it had not reached */
    if (!why[0] && w->replacing) why = "the log has no call at this place";
    meta->miss = wfi_str_z(why);
    return WF_END;
}

wf_status wf_agent_start(wf *w, const wf_agent_spec *spec, wf_call *out) {
    const wf_config *c = &w->env.config;
    workflow_id id;
    uint32_t row, replaced;
    wf_str model = spec->model.len ? spec->model : c->model, system = spec->system.len ? spec->system : c->system;
    wf_str fields[] = {spec->prompt, spec->schema, spec->system, spec->model, spec->effort, spec->tools, spec->cwd};
    bool own = spec->identity.len > 0;
    wf_status s = workflow_may_start(w, false);
    w->capped |= s == WF_E_LIMIT;
    if (s == WF_OK) s = workflow_check_spec(w, spec, model);
    if (s == WF_OK)
        s = workflow_identify(w, &id, spec->path, own ? &spec->identity : fields, own ? 1 : WFI_COUNT(fields));
    w->turned_away += s == WF_E_STOPPED || s == WF_E_LIMIT;
    if (s != WF_OK) return s;
    wfi_meta_call meta = {.label = wfi_utf8_clip(spec->label, WORKFLOW_LABEL_MAX),
                          .phase = wfi_utf8_clip(spec->phase, WORKFLOW_LABEL_MAX),
                          .model = model,
                          .effort = spec->effort.len ? spec->effort : c->effort,
                          .cwd = spec->cwd,
                          .max_turns = workflow_default(spec->max_turns, c->max_turns),
                          .max_tokens = workflow_default(spec->max_tokens, c->max_tokens),
                          .retries = workflow_default(spec->retries, c->retries),
                          .agent_ms = workflow_default(spec->agent_ms, c->agent_ms),
                          .stall_ms = workflow_default(spec->stall_ms, c->stall_ms)};
    s = workflow_match(w, &id, spec->no_cache, &row, &meta, &replaced);
    if (s == WF_END) {
        s = workflow_texts(w, spec, system, &meta);
        if (s == WF_OK) s = workflow_add_row(w, &id, &meta, wf_str_of("", 0), replaced, &row);
        if (s == WF_OK) wfi_sched_queue(&w->sched, row);
    }
    if (s != WF_OK) return s;
    w->sched.table.rows[row].limits =
        (wfi_limits){meta.max_turns, meta.max_tokens,     meta.retries,         meta.agent_ms,
                     meta.stall_ms,  spec->budget_tokens, spec->budget_nano_usd};
    *out = wfi_table_handle(&w->sched.table, row);
    return WF_OK;
}

wf_status wf_effect_start(wf *w, const wf_effect_spec *spec, wf_call *out) {
    workflow_id id;
    uint32_t row, replaced;
    wf_str parts[] = {spec->name, spec->input};
    wfi_meta_call meta = {
        .effect = spec->name, .agent_ms = workflow_default(spec->ms, w->env.config.agent_ms), .changes = spec->changes};
    wf_status s = workflow_may_start(w, true);
    if (s == WF_OK && !w->env.os->tool_ops)
        s = workflow_fail(w, WF_E_CONFIG, "the platform does no effects: it has no tool_ops");
    if (s == WF_OK && (spec->name.len == 0 || spec->name.len > 64))
        s = workflow_fail(w, WF_E_CONFIG, "the effect's name is empty or too long");
    if (s == WF_OK) s = workflow_identify(w, &id, spec->path, parts, WFI_COUNT(parts));
    if (s != WF_OK) return s;
    s = workflow_match(w, &id, false, &row, &meta, &replaced);
    if (s == WF_END) {
        s = workflow_add_row(w, &id, &meta, spec->input, replaced, &row);
        if (s == WF_OK) wfi_sched_queue(&w->sched, row);
    }
    if (s != WF_OK) return s;
    w->sched.table.rows[row].limits = (wfi_limits){.agent_ms = meta.agent_ms, .stall_ms = WF_NONE};
    *out = wfi_table_handle(&w->sched.table, row);
    return WF_OK;
}

wf_status wf_call_cancel(wf *w, wf_call call) {
    uint32_t row = w->stage == STAGE_RUNNING ? wfi_table_find(&w->sched.table, call) : WFI_NO_ROW;
    if (row == WFI_NO_ROW) return WF_E_STALE;
    return workflow_below(w, wfi_sched_cancel(&w->env, &w->sched, row));
}

wf_status wf_note(wf *w, wf_note_kind kind, wf_str text) {
    static const wf_trace_type types[] = {WF_TRACE_NOTE, WF_TRACE_PHASE, WF_TRACE_ERROR};
    wfi_meta_note meta = {.phase = kind == WF_NOTE_PHASE, .error = kind == WF_NOTE_ERROR};
    if ((size_t)kind >= WFI_COUNT(types)) return workflow_fail(w, WF_E_CONFIG, "there is no such kind of note");
    if (w->stage != STAGE_RUNNING) return workflow_fail(w, WF_E_CONFIG, "the run is not open");
    if (kind != WF_NOTE_ERROR && ++w->notes <= w->run.notes) return WF_OK; /* a replay says it again */
    wf_trace event = {.type = types[kind], .text = text};
    wfi_env_trace(&w->env, &event);
    return workflow_below(w, wfi_env_record(&w->env, WFI_REC_NOTE, 0, &meta, text, NULL, NULL));
}

wf_status wf_step(wf *w, uint32_t max_work, uint32_t *wait_ms) {
    wf_status s;
    *wait_ms = 0;
    if (w->stage == STAGE_RUNNING) return workflow_below(w, wfi_sched_step(&w->env, &w->sched, max_work, wait_ms));
    if (w->stage == STAGE_ENDED) return WF_END;
    if (w->stage != STAGE_ENDING) return workflow_fail(w, WF_E_CONFIG, "the run is not open");
    s = wfi_log_pump(&w->env.log);
    if (s == WF_AGAIN) {
        *wait_ms = UINT32_MAX;
        return WF_OK;
    }
    if (s != WF_OK) return workflow_below(w, s);
    w->stage = STAGE_ENDED;
    return WF_END;
}

/* ---- deliveries ---- */

static void workflow_deliver_stopped(const wf *w, uint32_t row, wf_delivery *out) {
    static const wf_kind kinds[] = {WF_KIND_CANCELLED, WF_KIND_CANCELLED, WF_KIND_CANCELLED, WF_KIND_BUDGET,
                                    WF_KIND_DEADLINE,  WF_KIND_QUOTA,     WF_KIND_AUTH,      WF_KIND_CANCELLED};
    out->id = row + 1;
    out->kind = kinds[w->env.stop];
    out->value = wfi_str_z(w->env.stop_text);
    out->stopped = true;
}

/* Reads the answer that is next. Where there is no memory for it, it stays next. */
static wf_status workflow_read_answer(wf *w, uint32_t row) {
    char buf[WFI_LOG_META_MAX];
    wfi_log_rec rec;
    wfi_meta meta;
    wf_status s = wfi_env_meta(&w->env, w->sched.table.rows[row].done_at, &rec, buf, &meta);
    if (s == WF_OK) s = wfi_env_payload(&w->env, &rec, 1, &w->value);
    if (s != WF_E_MEMORY) return workflow_below(w, s);
    return workflow_fail(w, s, "an answer does not fit the memory for messages");
}

/* Hands out what was read; the record of the delivery needs no sync of its own: whatever the script does next stands after it. */
static wf_status workflow_deliver_row(wf *w, uint32_t row, wf_delivery *out) {
    char buf[WFI_LOG_META_MAX];
    wfi_row *r = &w->sched.table.rows[row];
    wfi_log_rec rec;
    wfi_meta meta;
    wf_status s = wfi_env_meta(&w->env, r->done_at, &rec, buf, &meta);
    if (s != WF_OK) return s;
    if (!r->delivered) {
        wfi_meta_deliver deliver = {.wall = w->env.os->wall_ms(w->env.os->ctx)};
        s = wfi_env_record(&w->env, WFI_REC_DELIVER, row + 1, &deliver, wf_str_of("", 0), NULL, NULL);
        if (s != WF_OK) return s;
        r->delivered = true;
        r->order = ++w->sched.deliveries;
        r->wall = deliver.wall;
    }
    if (r->wall > w->sched.clock) w->sched.clock = r->wall;
    out->id = row + 1;
    out->kind = (wf_kind)r->kind;
    out->json = meta.done.json;
    out->cached = r->hit;
    out->attempts = meta.done.attempts;
    out->turns = meta.done.turns;
    out->usage = meta.done.usage;
    wfi_usage_add(&w->delivered, &meta.done.usage);
    out->value = wf_str_of(w->value, rec.payload_len);
    return WF_OK;
}

wf_status wf_deliver(wf *w, wf_delivery *out) {
    wfi_zero(out, sizeof *out);
    wfi_heap_free(&w->env.heap, w->value);
    w->value = NULL;
    if (w->stage != STAGE_RUNNING) return workflow_fail(w, WF_E_CONFIG, "the run is not open");
    uint32_t row = wfi_sched_next(&w->sched);
    bool stopped = row == WFI_NO_ROW;
    wf_status s = stopped ? WF_OK : workflow_read_answer(w, row);
    if (s != WF_OK) return s;
    row = stopped ? wfi_sched_take_stopped(&w->env, &w->sched) : wfi_sched_take(&w->sched);
    if (row == WFI_NO_ROW) {
        w->sched.settled = true;
        return w->sched.waiting > 0 ? WF_AGAIN : WF_END;
    }
    w->sched.settled = false;
    out->call = wfi_table_handle(&w->sched.table, row);
    out->call.bits -= UINT64_C(1) << 32; /* the generation under which the caller knows it */
    if (stopped) {
        workflow_deliver_stopped(w, row, out);
        return WF_OK;
    }
    return workflow_below(w, workflow_deliver_row(w, row, out));
}

/* ---- looking at a run ---- */

/* Shows a text that a wire block holds: {"type":"text","text":"..."} */
static wf_str workflow_prompt(wf *w, uint64_t at, char *buf, size_t cap) {
    wfi_log_rec rec;
    uint32_t meta_len;
    char *block;
    wf_str text = {"", 0};
    if (at == 0 || wfi_log_peek(&w->env.log, at, &rec, &meta_len) != WF_OK) return text;
    if (wfi_env_payload(&w->env, &rec, 1, &block) != WF_OK) return text;
    wf_str escaped;
    if (wf_json_member_str(wf_str_of(block, rec.payload_len), WF_STR("text"), &escaped)) {
        size_t n = wf_json_unescape(escaped, block); /* in place: never longer */
        text = wfi_utf8_clip(wf_str_of(block, n), cap);
        wfi_copy(buf, text.ptr, text.len);
        text.ptr = buf;
    }
    wfi_heap_free(&w->env.heap, block);
    return text;
}

#define WORKFLOW_SHOWN 4096u /* bytes of a prompt or message */

wf_status wf_call_get(wf *w, uint32_t number, wf_call_info *out) {
    char buf[WFI_LOG_META_MAX];
    wfi_log_rec rec;
    wfi_meta meta;
    wfi_zero(out, sizeof *out);
    if (number >= w->sched.table.count) return WF_END;
    const wfi_row *r = &w->sched.table.rows[number];
    wfi_heap_free(&w->env.heap, w->info);
    w->info = wfi_heap_alloc(&w->env.heap, WFI_LOG_META_MAX + 2 * WORKFLOW_SHOWN);
    if (!w->info) return workflow_fail(w, WF_E_MEMORY, "the message heap is exhausted");
    wf_status s = wfi_env_meta(&w->env, r->call_at, &rec, w->info, &meta);
    if (s != WF_OK) return workflow_below(w, s);
    char *prompt = w->info + WFI_LOG_META_MAX, *message = prompt + WORKFLOW_SHOWN;
    out->id = number + 1;
    out->effect = r->effect;
    out->turns = r->turns;
    out->path = meta.call.path;
    out->label = r->effect ? meta.call.effect : meta.call.label;
    out->phase = meta.call.phase;
    out->model = meta.call.model;
    out->prompt = workflow_prompt(w, meta.call.prompt, prompt, WORKFLOW_SHOWN);
    out->finished = r->finished;
    out->superseded = r->replaced || r->moved;
    out->kind = r->finished ? (wf_kind)r->kind : WF_KIND_NONE;
    out->cancelled = r->finished && r->kind == WF_KIND_CANCELLED;
    if (!r->finished) return WF_OK;
    s = wfi_env_meta(&w->env, r->done_at, &rec, buf, &meta);
    if (s != WF_OK) return workflow_below(w, s);
    out->attempts = meta.done.attempts;
    out->turns = meta.done.turns;
    out->ms = meta.done.ms;
    out->usage = meta.done.usage;
    if (r->kind != WF_KIND_NONE) {
        size_t n = rec.payload_len < WORKFLOW_SHOWN ? rec.payload_len : WORKFLOW_SHOWN;
        s = wfi_log_read(&w->env.log, rec.payload, message, n);
        out->message = wfi_utf8_clip(wf_str_of(message, n), n);
    }
    return workflow_below(w, s);
}

wf_status wf_record_next(wf *w, uint64_t *at, wf_record *out) {
    wfi_log_rec rec;
    if (w->stage != STAGE_LOADED)
        return workflow_fail(w, WF_E_CONFIG, "records are read from a log that is only loaded");
    if (*at == 0) *at = WFI_LOG_FIRST;
    wf_status s = wfi_log_scan(&w->env.log, *at, &rec);
    if (s != WF_OK) return workflow_below(w, s);
    wfi_heap_free(&w->env.heap, w->info);
    w->info = wfi_heap_alloc(&w->env.heap, rec.meta.len + rec.payload_len + 1);
    if (!w->info) return workflow_fail(w, WF_E_MEMORY, "a record is larger than the message heap; give more --memory");
    s = wfi_log_read(&w->env.log, rec.offset + WFI_LOG_HEAD, w->info, rec.meta.len + rec.payload_len);
    if (s != WF_OK) return workflow_below(w, s);
    *out = (wf_record){.offset = rec.offset,
                       .type = wfi_rec_name(rec.type),
                       .call = rec.call,
                       .synced = rec.synced,
                       .json = wf_str_of(w->info, rec.meta.len),
                       .payload = wf_str_of(w->info + rec.meta.len, rec.payload_len)};
    *at = rec.next;
    return WF_OK;
}
