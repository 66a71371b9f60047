/* fuzz_log: a log of whole records with right checksums, whose types, numbers, metadata and payloads are the fuzzer's: somebody
 * made it who knows the format. It is looked at as `wf show` and `wf log` do, then a run goes on with it, then it is looked at
 * again.
 *
 * Judges: a log is refused with a reason, and not as an internal error; a run that goes on ends, and leaves nothing open and no
 * block in its heap; what was read before and was then gone on with can be read again. */
#include "input.h"

#include "src/core/run/replay.h"
#include "src/core/run/runtime.h"
#include "tests/fake/rig.h"

#define LOG_RECORDS 40u
#define LOG_PLACES  64u

static const wf_run_spec log_spec = {{"test", 4}, {"script", 6}, {"null", 4}, {"{}", 2}};
static const char *const log_paths[] = {"/a", "/b", "#1", "#2"};
static const char *const log_prompts[] = {"tools=1;x", "y", "tools=1;tool=change;z", "result={\"value\":1};tools=1;"};

static const char *const log_payloads[] = {
    "",
    "[]",
    "[{\"type\":\"text\",\"text\":\"hi\"}]",
    "{\"type\":\"text\",\"text\":\"p\"}",
    "[{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"look\",\"input\":{}}]",
    ("[{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"look\",\"input\":{}},"
     "{\"type\":\"tool_use\",\"id\":\"j\",\"name\":\"change\",\"input\":{}}]"),
    "[{\"type\":\"tool_use\",\"id\":\"k\",\"name\":\"result\",\"input\":{\"value\":1}}]",
    "{\"type\":\"tool_result\",\"tool_use_id\":\"i\",\"content\":\"x\"}",
    "[{\"name\":\"look\"},{\"name\":\"result\"}]",
    "{\"type\":\"object\"}",
    "scriptnull{}",
    "garbage"};

/* ---- writing it ---- */

typedef struct writing {
    input in;
    fake *disk;
    wfi_log log;
    uint8_t buffer[WFI_LOG_BUFFER_MIN];
    uint64_t places[LOG_PLACES]; /* of the records so far */
    uint32_t count;
    char hash[64];
} writing;

/* Where a record is, or something that is no place of any. */
static uint64_t log_place(writing *w) {
    uint32_t i = input_below(&w->in, w->count + 3);
    if (i < w->count) return w->places[i];
    return i == w->count ? 0 : i == w->count + 1 ? wfi_log_end(&w->log) : input_below(&w->in, 60000);
}

/* A small number, that of a call perhaps, or now and then a huge one. */
static uint32_t log_number(writing *w) {
    uint32_t dice = input_byte(&w->in);
    return dice < 240 ? dice % 9 : (dice & 15) << 28 | input_byte(&w->in) << 12;
}

static wf_str log_pick(writing *w, const char *const *texts, uint32_t count) {
    return wfi_str_z(texts[input_below(&w->in, count)]);
}

/* Here and below each byte is taken by a statement of its own: compilers differ in the order inside of one. */
static void log_call(writing *w, wfi_meta_call *call) {
    static const char *const effects[] = {"", "", "probe"};
    uint8_t hash[32];
    wf_str prompt = log_pick(w, log_prompts, 4);
    wfi_replay_identity(&prompt, 1, hash);
    wfi_hex(hash, sizeof hash, w->hash);
    call->hash = wf_str_of(w->hash, sizeof w->hash);
    call->model = WF_STR("fake:m");
    call->max_turns = 5;
    call->path = log_pick(w, log_paths, 4);
    call->effect = log_pick(w, effects, 3);
    call->prompt = log_place(w);
    call->system = log_place(w);
    call->tools = log_place(w);
    call->schema = log_place(w);
    call->replaces = log_number(w);
    call->changes = input_below(&w->in, 2);
}

static void log_turn(writing *w, wfi_meta_turn *turn) {
    turn->prev = log_place(w);
    turn->stop = input_below(&w->in, 9);
    if (turn->stop >= WFI_STOP_CUT) turn->aside = log_place(w);
    turn->usage.input = input_below(&w->in, 600);
    turn->usage.nano_usd = input_below(&w->in, 999);
    if (input_below(&w->in, 4) == 0) turn->sent = log_place(w);
}

/* Metadata of a type, as the product itself would write it. */
static wfi_meta log_meta(writing *w, wfi_rec type) {
    static const char *const reasons[] = {"tool", "schema", "nudge", "hurry", ""};
    static const char *const names[] = {"change", "look", ""};
    wfi_meta meta;
    memset(&meta, 0, sizeof meta);
    switch (type) {
    case WFI_REC_RUN:
    case WFI_REC_RESUME:
        meta.run.wall = 5;
        meta.run.script = input_below(&w->in, 14);
        meta.run.args = input_below(&w->in, 14);
        meta.run.settings = input_below(&w->in, 14);
        break;
    case WFI_REC_CALL:
        log_call(w, &meta.call);
        break;
    case WFI_REC_TURN:
        log_turn(w, &meta.turn);
        break;
    case WFI_REC_BLOCK:
        meta.block.prev = log_place(w);
        meta.block.why = log_pick(w, reasons, 5);
        meta.block.id = WF_STR("i");
        break;
    case WFI_REC_INTENT:
        meta.intent = (wfi_meta_intent){WF_STR("i"), log_pick(w, names, 3)};
        break;
    case WFI_REC_RESERVE:
        meta.reserve.ceiling.tokens = input_below(&w->in, 9999);
        meta.reserve.ceiling.nano_usd = input_below(&w->in, 9999);
        break;
    case WFI_REC_DONE:
        meta.done = (wfi_meta_done){.kind = input_below(&w->in, WF_KIND_COUNT + 2), .json = true, .turns = 3};
        break;
    case WFI_REC_MOVED:
        meta.moved.from = log_number(w);
        break;
    case WFI_REC_END:
        meta.end = (wfi_meta_end){.outcome = input_below(&w->in, 12), .done = 4};
        break;
    case WFI_REC_STOP:
        meta.stop.outcome = input_below(&w->in, 12);
        break;
    default:
        break;
    }
    return meta;
}

static void log_record(writing *w) {
    char buf[WFI_LOG_META_MAX];
    wf_str json = WF_STR(""), payload;
    wfi_rec type = (wfi_rec)input_below(&w->in, WFI_REC_COUNT + 1);
    uint32_t call = log_number(w), how = input_byte(&w->in);
    if (how % 8 == 7) {
        json = input_line(&w->in); /* metadata as nobody writes it */
        if (json.len > WFI_LOG_META_MAX) json.len = WFI_LOG_META_MAX;
    } else if (type != WFI_REC_TEXT && type < WFI_REC_COUNT) {
        wfi_meta meta = log_meta(w, type);
        FUZZ_MUST(wfi_meta_put(type, &meta, buf, &json) == WF_OK);
    }
    payload = how >= 240 ? input_line(&w->in) : log_pick(w, log_payloads, sizeof log_payloads / sizeof *log_payloads);
    uint64_t at = wfi_log_end(&w->log);
    w->log.synced = at - input_below(&w->in, 256); /* what it says of itself: see synced in log.c */
    FUZZ_MUST(wfi_log_append(&w->log, type, call, json, &payload, 1, NULL, NULL) == WF_OK);
    if (w->count < LOG_PLACES) w->places[w->count++] = at;
}

/* The run's own record is a good one, else nothing of the others would be read. */
static void log_write(writing *w) {
    char buf[WFI_LOG_META_MAX];
    wfi_meta_run run = {.name = WF_STR("n"), .wall = 5, .script = 6, .args = 4, .settings = 2};
    wf_str json, payload = WF_STR("scriptnull{}");
    wfi_log_init(&w->log, w->disk->platform.log, w->disk, w->buffer, sizeof w->buffer, WF_SYNC_ALWAYS);
    FUZZ_MUST(wfi_log_create(&w->log, 77) == WF_OK);
    FUZZ_MUST(wfi_meta_put(WFI_REC_RUN, &run, buf, &json) == WF_OK);
    FUZZ_MUST(wfi_log_append(&w->log, WFI_REC_RUN, 0, json, &payload, 1, NULL, NULL) == WF_OK);
    for (uint32_t i = 0; i < LOG_RECORDS && w->in.left > 0; i++)
        log_record(w);
    FUZZ_MUST(wfi_log_flush(&w->log) == WF_OK);
}

/* ---- reading it ---- */

static wf_status log_judge(const wf *w, wf_status status) {
    wf_error error;
    if (status >= 0) return status;
    wf_last_error(w, &error);
    FUZZ_MUST(error.text && error.text[0]);
    FUZZ_MUST(status != WF_E_INTERNAL);
    return status;
}

static void log_rig(rig *r, uint64_t seed, const fake_disk *disk) {
    rig_init(r, seed, disk->data, disk->size);
    r->config.max_agents = 32;
    r->config.max_calls = 64;
    r->config.lanes = 2;
    r->config.log_buffer = WFI_LOG_BUFFER_MIN;
    r->config.max_turns = 5;
    r->config.agent_ms = 50000;
    r->size = 400u << 10;
    if (seed & 4) r->config.retry_kinds = UINT32_MAX;
    if (seed & 8) r->config.budget_tokens = 100000;
}

/* All that `wf show` and `wf log` ask for. */
static wf_status log_look(const fake_disk *disk) {
    rig r;
    wf_run_spec header;
    wf_call_info info;
    wf_record record;
    wf_str value;
    bool json;
    uint64_t at = 0;
    log_rig(&r, 0, disk);
    rig_block(&r);
    wf_status status = log_judge(r.w, wf_run_load(r.w));
    if (status == WF_OK) {
        log_judge(r.w, wf_run_header(r.w, &header, NULL));
        for (uint32_t i = 0; log_judge(r.w, wf_call_get(r.w, i, &info)) != WF_END; i++) {
        }
        while (log_judge(r.w, wf_record_next(r.w, &at, &record)) == WF_OK) {
        }
        log_judge(r.w, wf_run_value(r.w, &value, &json));
    }
    rig_end(&r);
    return status;
}

static wf_status log_ask(wf *w) {
    wf_status status = WF_OK;
    wf_call call;
    for (uint32_t i = 0; i < 5 && status == WF_OK; i++) {
        wf_agent_spec spec = {.path = wfi_str_z(i < 4 ? log_paths[i] : ""), .prompt = wfi_str_z(log_prompts[i % 4])};
        spec.identity = spec.prompt;
        spec.no_cache = i == 4;
        status = wf_agent_start(w, &spec, &call);
    }
    wf_effect_spec effect = {.path = WF_STR("/e"), .name = WF_STR("probe"), .input = WF_STR("{}")};
    return status == WF_OK ? wf_effect_start(w, &effect, &call) : status;
}

/* Runs the same script again, or an edited one. What the disk then has goes into *after, to be freed. */
static wf_status log_go_on(const fake_disk *disk, uint32_t seed, fake_disk *after) {
    rig r;
    wf_delivery delivery;
    wf_run_spec spec = log_spec;
    if (seed & 1) spec.script = WF_STR("edited");
    log_rig(&r, seed, disk);
    rig_block(&r);
    wf_status status = log_judge(r.w, fake_open(r.f, r.w, &spec));
    FUZZ_MUST(status != WF_E_LIMIT);
    bool open = status == WF_OK;
    if (open) status = log_judge(r.w, log_ask(r.w));
    while (status == WF_OK)
        status = log_judge(r.w, fake_deliver(r.f, r.w, &delivery));
    FUZZ_MUST(status != WF_E_LIMIT); /* it hangs */
    if (status == WF_END) status = log_judge(r.w, fake_finish(r.f, r.w, WF_RUN_DONE, "x"));
    memset(after, 0, sizeof *after);
    after->data = fake_crash(r.f, FAKE_ALL, 0, &after->size);
    rig_end(&r);
    return open && status < 0 ? WF_AGAIN : status;
}

int fuzz_log(const uint8_t *data, size_t size) {
    if (size > 4000) return 0;
    writing *w = input_alloc(sizeof *w);
    fake_disk after;
    memset(w, 0, sizeof *w);
    w->in = (input){data, size};
    w->disk = fake_new(0, NULL, 0);
    uint32_t seed = input_byte(&w->in);
    log_write(w);
    wf_status status = log_look(&w->disk->disk);
    if (log_go_on(&w->disk->disk, seed, &after) >= 0) FUZZ_MUST(status == WF_OK && log_look(&after) == WF_OK);
    free(after.data);
    fake_free(w->disk);
    free(w);
    return 0;
}
