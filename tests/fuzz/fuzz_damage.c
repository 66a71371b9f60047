/* fuzz_damage: the log of a real run, cut, with some of its bytes zeroed or garbled as disks do it. The input is the length that
 * is cut off and then damages, each a kind, a place before the end, and a length.
 *
 * Judges: exactly the whole records before the first damaged one are read; damage to bytes that a later record knew durable is
 * refused, by its offset; and a run that goes on ends with the value that it would have had. */
#include "input.h"

#include "src/core/run/log.h"
#include "tests/fake/driver.h"
#include "tests/fake/rig.h"

#define DAMAGE_SEED    11u
#define DAMAGE_RECORDS 512u

/* The run that nothing happened to; made once. */
static struct {
    uint8_t *log;
    size_t size;
    struct {
        uint64_t at, end, synced; /* end: of what its checksum covers */
    } record[DAMAGE_RECORDS];
    uint32_t records;
    char value[17];
} damage_good;

static void damage_rig(rig *r, const uint8_t *log, size_t size) {
    rig_init(r, 5, log, size);
    r->config.lanes = 3;
    r->config.log_buffer = WFI_LOG_BUFFER_MIN;
    r->config.max_agents = r->config.max_calls = DRIVER_CALLS;
    r->config.retry_kinds = UINT32_MAX;
    r->f->sync_ms = 4;
    r->f->tool_delay = 2;
    r->f->delay_max = 9;
}

static void damage_run(rig *r, char value[17]) {
    driver d;
    driver_init(&d, DAMAGE_SEED, DRIVER_CALLS, true, r->w);
    FUZZ_MUST(driver_run(&d, r->f, UINT32_MAX) == WF_END);
    driver_value(&d, value);
    FUZZ_MUST(fake_finish(r->f, r->w, WF_RUN_DONE, value) == WF_OK);
}

static void damage_note_record(const wf_record *record) {
    FUZZ_MUST(damage_good.records < DAMAGE_RECORDS);
    uint64_t end = record->offset + WFI_LOG_HEAD + record->json.len + record->payload.len;
    damage_good.record[damage_good.records].at = record->offset;
    damage_good.record[damage_good.records].end = end;
    damage_good.record[damage_good.records++].synced = record->synced;
}

static void damage_make(void) {
    rig r;
    wf_record record;
    uint64_t at = 0;
    damage_rig(&r, NULL, 0);
    rig_start(&r);
    damage_run(&r, damage_good.value);
    damage_good.log = fake_crash(r.f, FAKE_ALL, 0, &damage_good.size);
    rig_end(&r);
    damage_rig(&r, damage_good.log, damage_good.size);
    rig_block(&r);
    FUZZ_MUST(wf_run_load(r.w) == WF_OK);
    while (wf_record_next(r.w, &at, &record) == WF_OK)
        damage_note_record(&record);
    rig_end(&r);
}

/* Garbles by chance, with a seed of one byte: no input can make a checksum right. */
static void damage_do(input *in, uint8_t *log, size_t size) {
    uint64_t chance = input_byte(in);
    size_t at = size - input_below(in, 65536) % (size + 1);
    size_t n = 1 + input_below(in, 600);
    if (n > size - at) n = size - at;
    for (size_t i = 0; i < n; i++)
        log[at + i] = chance % 4 == 0 ? 0 : log[at + i] ^ (uint8_t)fake_below(&chance, 256);
}

/* Whether a record of the good log is there as it was. */
static bool damage_is_whole(const uint8_t *log, size_t size, uint32_t i) {
    uint64_t at = damage_good.record[i].at, end = damage_good.record[i].end, next = (end + 7) & ~(uint64_t)7;
    return next <= size && memcmp(log + at, damage_good.log + at, (size_t)(end - at)) == 0;
}

/* Whether a record behind the first bad one knew that one durable. */
static bool damage_is_known(const uint8_t *log, size_t size, uint32_t bad) {
    for (uint32_t i = bad + 1; i < damage_good.records; i++)
        if (damage_good.record[i].synced > damage_good.record[bad].at && damage_is_whole(log, size, i)) return true;
    return false;
}

static void damage_judge_records(wf *w, uint32_t whole) {
    wf_record record;
    uint64_t at = 0;
    for (uint32_t i = 0; i < whole; i++) {
        FUZZ_MUST(wf_record_next(w, &at, &record) == WF_OK && record.offset == damage_good.record[i].at);
        const char *was = (const char *)damage_good.log + record.offset + WFI_LOG_HEAD;
        FUZZ_MUST(input_same(record.json, wf_str_of(was, record.json.len)));
        FUZZ_MUST(input_same(record.payload, wf_str_of(was + record.json.len, record.payload.len)));
    }
    FUZZ_MUST(wf_record_next(w, &at, &record) == WF_END);
}

/* Whether the log is taken. */
static bool damage_look(const uint8_t *log, size_t size) {
    rig r;
    wf_error error;
    uint32_t whole = 0;
    bool headed = size >= WFI_LOG_FIRST && memcmp(log, damage_good.log, WFI_LOG_FIRST) == 0;
    while (headed && whole < damage_good.records && damage_is_whole(log, size, whole))
        whole++;
    damage_rig(&r, log, size);
    rig_block(&r);
    wf_status status = wf_run_load(r.w);
    wf_last_error(r.w, &error);
    if (headed && whole < damage_good.records && damage_is_known(log, size, whole)) {
        FUZZ_MUST(status == WF_E_CORRUPT && error.offset == damage_good.record[whole].at);
    } else if (status == WF_OK) {
        FUZZ_MUST(headed && whole > 0);
        damage_judge_records(r.w, whole);
    } else if (status < 0) {
        FUZZ_MUST(error.text && error.text[0]);
        FUZZ_MUST(!headed || whole == 0 || strstr(error.text, "made to look so")); /* see log_look_for_damage */
    }
    rig_end(&r);
    return status >= 0;
}

static void damage_go_on(const uint8_t *log, size_t size) {
    rig r;
    char value[17];
    damage_rig(&r, log, size);
    rig_start(&r);
    damage_run(&r, value);
    FUZZ_MUST(strcmp(value, damage_good.value) == 0);
    rig_end(&r);
}

int fuzz_damage(const uint8_t *data, size_t size) {
    if (!damage_good.log) damage_make();
    input in = {data, size};
    uint32_t cut = input_below(&in, 65536) % (uint32_t)(damage_good.size + 1);
    size_t left = damage_good.size - cut;
    uint8_t *log = input_alloc(left);
    if (left > 0) memcpy(log, damage_good.log, left);
    for (uint32_t i = 0; i < 8 && in.left > 0; i++)
        damage_do(&in, log, left);
    if (damage_look(log, left)) damage_go_on(log, left);
    free(log);
    return 0;
}
