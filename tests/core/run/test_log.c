/* The log's bytes, and what recovery makes of a file that a crash, a disk or a stranger has changed. */
#include "tests/fake/rig.h"

#include "src/core/run/log.h"

#define BUFFER WFI_LOG_BUFFER_MIN

/* ---- a file in memory, smaller and quicker than the fake's disk ---- */

typedef struct file {
    uint8_t data[8192];
    size_t size;
} file;

static wf_status file_size(void *ctx, uint64_t *out) {
    *out = ((file *)ctx)->size;
    return WF_OK;
}

static wf_status file_read(void *ctx, uint64_t at, void *buf, size_t n, size_t *got) {
    file *f = ctx;
    if (at >= f->size) return WF_END;
    *got = n < f->size - at ? n : (size_t)(f->size - at);
    memcpy(buf, f->data + at, *got);
    return WF_OK;
}

static wf_status file_write(void *ctx, uint64_t at, const void *buf, size_t n, size_t *put) {
    file *f = ctx;
    assert_int_equal(at, f->size);
    assert_true(f->size + n <= sizeof f->data);
    memcpy(f->data + f->size, buf, n);
    f->size += n;
    *put = n;
    return WF_OK;
}

static wf_status file_sync(void *ctx) {
    (void)ctx;
    return WF_OK;
}

static wf_status file_cut(void *ctx, uint64_t size) {
    ((file *)ctx)->size = (size_t)size;
    return WF_OK;
}

static const wf_log_ops file_ops = {file_size, file_read, file_write, file_sync, file_cut};

static uint8_t buffer[BUFFER], kept[256]; /* blocks of 64 bytes: records lie across them */

static void open_log(wfi_log *l, file *f) {
    wfi_log_init(l, &file_ops, f, buffer, sizeof buffer, WF_SYNC_BATCH);
    wfi_log_keep(l, kept, sizeof kept);
}

static void record_meta(uint32_t i, char *out, size_t cap) {
    out[0] = 0;
    if (i % 4 != 0) snprintf(out, cap, "{\"wall\":%u}", i);
}

/* Record number i: its type, metadata and payload follow from i alone. */
static void put_record(wfi_log *l, uint32_t i, uint64_t *end) {
    char meta[64], payload[400];
    size_t n = (i * 37) % 91;
    record_meta(i, meta, sizeof meta);
    memset(payload, (int)('a' + i % 26), sizeof payload);
    wf_str parts[2] = {wf_str_of(payload, n / 2), wf_str_of(payload, n - n / 2)};
    assert_int_equal(wfi_log_append(l, WFI_REC_DELIVER, i, rig_str(meta), parts, 2, NULL, end), WF_OK);
}

static bool is_record(wfi_log *l, const wfi_log_rec *rec, uint32_t i) {
    char meta[64], payload[400];
    size_t n = (i * 37) % 91;
    record_meta(i, meta, sizeof meta);
    if (rec->type != WFI_REC_DELIVER || rec->call != i || rec->payload_len != n || rec->meta.len != strlen(meta) ||
        (rec->meta.len && memcmp(rec->meta.ptr, meta, rec->meta.len) != 0) ||
        wfi_log_read(l, rec->payload, payload, n) != WF_OK)
        return false;
    for (size_t k = 0; k < n; k++)
        if (payload[k] != (char)('a' + i % 26)) return false;
    return true;
}

/* Reads all: the number of records 0, 1, 2 ... that are there, in this order; fails on anything else. */
static wf_status recover(wfi_log *l, uint32_t *count, uint64_t *end) {
    wfi_log_rec rec;
    *count = 0;
    *end = WFI_LOG_FIRST;
    wf_status s = wfi_log_load(l);
    while (s == WF_OK && (s = wfi_log_scan(l, *end, &rec)) == WF_OK) {
        if (!is_record(l, &rec, *count)) fail_msg("record %u is not what was written", *count);
        ++*count;
        *end = rec.next;
    }
    return s;
}

/* Records 0..n-1, a sync after every third. */
static void write_log(file *f, uint32_t n, uint64_t *ends) {
    wfi_log l;
    memset(f, 0, sizeof *f);
    open_log(&l, f);
    assert_int_equal(wfi_log_create(&l, 0x01020304), WF_OK);
    for (uint32_t i = 0; i < n; i++) {
        put_record(&l, i, &ends[i]);
        if (i % 3 == 2) wfi_log_want(&l);
        assert_int_equal(wfi_log_pump(&l), WF_OK);
        assert_int_equal(wfi_log_flush(&l), WF_OK);
    }
}

/* ---- format ---- */

static void test_golden(void **state) {
    /* written down from the text at the head of log.c by another program */
    static const char golden[] =
        "77662e6c6f670d0a010000002000000004030201000000000000000098303a6a"
        "130000000c000e0007000000c375edcb00000000000000007b227068617365223a747275657d68656c6c6f00000000000000"
        "000003000000000000006e51d3635000000000000000";
    file f = {.size = 0};
    wfi_log l;
    wf_str hello = WF_STR("hello");
    uint64_t at, end;
    char hex[2 * 104 + 1];
    (void)state;
    open_log(&l, &f);
    assert_int_equal(wfi_log_create(&l, 0x01020304), WF_OK);
    assert_int_equal(wfi_log_append(&l, WFI_REC_NOTE, 7, WF_STR("{\"phase\":true}"), &hello, 1, &at, &end), WF_OK);
    assert_int_equal(at, 32);
    assert_int_equal(end, 80);
    assert_false(wfi_log_durable(&l, end));
    wfi_log_want(&l);
    assert_int_equal(wfi_log_pump(&l), WF_OK);
    assert_true(wfi_log_durable(&l, end));
    assert_int_equal(wfi_log_append(&l, WFI_REC_TEXT, 0, wf_str_of(NULL, 0), NULL, 0, NULL, NULL), WF_OK);
    assert_int_equal(wfi_log_flush(&l), WF_OK);
    assert_int_equal(f.size, 104);
    for (size_t i = 0; i < 104; i++)
        sprintf(hex + 2 * i, "%02x", f.data[i]);
    assert_string_equal(hex, golden);
}

static void test_strangers(void **state) {
    static const struct {
        const char *bytes;
        size_t size;
        wf_status status;
    } cases[] = {{"", 0, WF_END},
                 {"#!/bin/sh\necho this is no log of ours at all\n", 45, WF_E_FOREIGN},
                 {"w", 1, WF_END},
                 {"x", 1, WF_E_FOREIGN},
                 {"wf.log\n\n________________________________", 40, WF_E_FOREIGN}, /* line ends were changed */
                 {"wf.log\r\n________________________________", 40, WF_E_CORRUPT}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        file f = {.size = cases[i].size};
        wfi_log l;
        memcpy(f.data, cases[i].bytes, cases[i].size);
        open_log(&l, &f);
        assert_int_equal(wfi_log_load(&l), cases[i].status);
    }
}

static void test_future(void **state) {
    file f;
    wfi_log l;
    wfi_log_rec rec;
    uint64_t ends[3];
    (void)state;
    write_log(&f, 3, ends);
    wfi_put32(f.data + 8, 2);
    wfi_put32(f.data + 28, wfi_crc32c(0, f.data, 28));
    open_log(&l, &f);
    assert_int_equal(wfi_log_load(&l), WF_E_FUTURE);
    write_log(&f, 0, ends);
    open_log(&l, &f);
    assert_int_equal(wfi_log_create(&l, 9), WF_OK);
    f.size = 0;
    assert_int_equal(wfi_log_append(&l, (wfi_rec)WFI_REC_COUNT, 0, rig_str(""), NULL, 0, NULL, NULL), WF_OK);
    assert_int_equal(wfi_log_flush(&l), WF_OK);
    open_log(&l, &f);
    assert_int_equal(wfi_log_load(&l), WF_OK);
    assert_int_equal(wfi_log_scan(&l, WFI_LOG_FIRST, &rec), WF_E_FUTURE);
    assert_int_equal(l.error.offset, WFI_LOG_FIRST);
}

/* ---- damage ---- */

static void test_truncated_everywhere(void **state) {
    file whole, f;
    uint64_t ends[12], end;
    uint32_t count;
    (void)state;
    write_log(&whole, 12, ends);
    for (size_t size = 0; size <= whole.size; size++) {
        wfi_log l;
        f = whole;
        f.size = size;
        open_log(&l, &f);
        wf_status s = recover(&l, &count, &end);
        assert_int_equal(s, WF_END);
        uint32_t want = 0;
        while (size > 0 && want < 12 && ends[want] <= size)
            want++;
        assert_int_equal(count, want);
    }
}

static void test_every_bit_flipped(void **state) {
    file whole, f;
    uint64_t ends[12], end;
    uint32_t count, refused = 0, cut = 0;
    (void)state;
    write_log(&whole, 12, ends);
    for (size_t bit = 0; bit < whole.size * 8; bit++) {
        wfi_log l;
        f = whole;
        f.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        open_log(&l, &f);
        wf_status s = recover(&l, &count, &end);
        if (bit / 8 < WFI_LOG_FIRST) {
            assert_true(s == WF_E_FOREIGN || s == WF_E_CORRUPT);
            continue;
        }
        uint32_t hit = 0;
        while (ends[hit] <= bit / 8)
            hit++;
        if (s == WF_END && count == 12) { /* a zero byte after a payload: it means nothing */
            assert_true(bit / 8 >= ends[hit] - 7);
            continue;
        }
        assert_int_equal(count, hit); /* all before it, nothing of it */
        assert_int_equal(end, hit ? ends[hit - 1] : WFI_LOG_FIRST);
        /* the record after the next sync knows that it was durable */
        bool known = hit / 3 * 3 + 3 < 12;
        assert_int_equal(s, known ? WF_E_CORRUPT : WF_END);
        if (known) assert_int_equal(l.error.offset, end);
        refused += known;
        cut += !known;
    }
    assert_true(refused > 0 && cut > 0);
}

/* Bytes of a log inside a log prove nothing, since the salt differs. */
static void test_log_in_a_log(void **state) {
    file inner, f = {.size = 0};
    wfi_log l;
    uint64_t ends[12], end;
    uint32_t count;
    (void)state;
    write_log(&inner, 12, ends);
    wf_str payload = wf_str_of((const char *)inner.data, inner.size);
    open_log(&l, &f);
    assert_int_equal(wfi_log_create(&l, 0x55), WF_OK);
    put_record(&l, 0, &end);
    assert_int_equal(wfi_log_append(&l, WFI_REC_TEXT, 0, rig_str(""), &payload, 1, NULL, NULL), WF_OK);
    assert_int_equal(wfi_log_flush(&l), WF_OK);
    f.data[end] ^= 1; /* its head is torn */
    open_log(&l, &f);
    assert_int_equal(recover(&l, &count, &end), WF_END);
    assert_int_equal(count, 1);
}

/* ---- power cuts ---- */

/* Goes on with what a cut has left: recovers, appends two records, recovers again. */
static uint32_t go_on(file *f, uint32_t *count) {
    wfi_log l;
    uint64_t end, again;
    uint32_t same;
    open_log(&l, f);
    assert_int_equal(recover(&l, count, &end), WF_END);
    open_log(&l, f);
    assert_int_equal(recover(&l, &same, &again), WF_END); /* recovery only reads */
    assert_true(same == *count && again == end);
    assert_int_equal(wfi_log_resume(&l, end), WF_OK);
    assert_int_equal(wfi_log_pump(&l), WF_OK);
    assert_int_equal(f->size, end);
    put_record(&l, *count, NULL);
    put_record(&l, *count + 1, NULL);
    wfi_log_want(&l);
    assert_int_equal(wfi_log_pump(&l), WF_OK);
    return *count + 2;
}

static void test_cut_twice_at_every_byte(void **state) {
    file whole, once, twice;
    uint64_t ends[12];
    uint32_t n = fake_full() ? 12 : 7, before, after;
    (void)state;
    write_log(&whole, n, ends);
    for (size_t cut = WFI_LOG_FIRST; cut <= whole.size; cut++) {
        once = whole;
        once.size = cut;
        uint32_t have = go_on(&once, &before);
        for (size_t second = cut; second <= once.size; second++) {
            twice = once;
            twice.size = second;
            go_on(&twice, &after);
            assert_in_range(after, before, have);
        }
    }
}

/* Unsynced writes kept, torn, dropped, garbled: a prefix comes back, never less than was synced. */
static void test_crashed_disk(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed < (fake_full() ? 20000u : 600u); seed++) {
        fake *f = fake_new(seed, NULL, 0);
        uint64_t rng = seed * 7919, ends[40], end;
        uint32_t n = 0, count, durable = 0;
        wfi_log l;
        f->small = fake_below(&rng, 2);
        f->sync_ms = fake_below(&rng, 3);
        wfi_log_init(&l, f->platform.log, f, buffer, sizeof buffer, WF_SYNC_BATCH);
        assert_int_equal(wfi_log_create(&l, (uint32_t)seed), WF_OK);
        wfi_log_want(&l);
        while (wfi_log_pump(&l) == WF_AGAIN)
            f->now++;
        for (uint64_t steps = fake_below(&rng, 60); steps > 0; steps--) {
            uint64_t dice = fake_below(&rng, 10);
            if (dice < 6 && n < 40) put_record(&l, n, &ends[n]), n++;
            if (dice == 6) wfi_log_want(&l);
            if (dice > 6) assert_true(wfi_log_pump(&l) >= 0);
            f->now += dice == 9;
        }
        while (durable < n && wfi_log_durable(&l, ends[durable]))
            durable++;
        size_t size;
        uint8_t *left = fake_crash(f, (fake_survival)fake_below(&rng, FAKE_SURVIVALS), seed, &size);
        fake *g = fake_new(seed, left, size);
        wfi_log_init(&l, g->platform.log, g, buffer, sizeof buffer, WF_SYNC_BATCH);
        wf_status s = recover(&l, &count, &end);
        if (s != WF_END || count < durable || count > n)
            fail_msg("seed %llu: %s, %u of %u records, %u durable", (unsigned long long)seed, wf_status_name(s), count,
                     n, durable);
        free(left);
        fake_free(f);
        fake_free(g);
    }
}

/* A log that is never synced may lose anything, so none of its records may claim otherwise. */
static void test_sync_off(void **state) {
    file f = {.size = 0};
    wfi_log l;
    uint64_t ends[9], end;
    uint32_t count;
    (void)state;
    wfi_log_init(&l, &file_ops, &f, buffer, sizeof buffer, WF_SYNC_OFF);
    assert_int_equal(wfi_log_create(&l, 1), WF_OK);
    for (uint32_t i = 0; i < 9; i++) {
        put_record(&l, i, &ends[i]);
        wfi_log_want(&l);
        assert_int_equal(wfi_log_pump(&l), WF_OK);
        assert_true(wfi_log_durable(&l, ends[i]));
    }
    memset(f.data + ends[2], 0, (size_t)(ends[4] - ends[2])); /* two records never reached the disk */
    open_log(&l, &f);
    assert_int_equal(recover(&l, &count, &end), WF_END);
    assert_int_equal(count, 3);
}

/* A process was killed, the system lives: what it wrote is there, but nobody knows that it is on the disk. */
static void test_recovered_bytes_are_synced_first(void **state) {
    fake *f = fake_new(1, NULL, 0);
    wfi_log l;
    uint32_t count;
    uint64_t end;
    (void)state;
    f->sync_ms = 5;
    wfi_log_init(&l, f->platform.log, f, buffer, sizeof buffer, WF_SYNC_BATCH);
    assert_int_equal(wfi_log_create(&l, 1), WF_OK);
    put_record(&l, 0, NULL);
    assert_int_equal(wfi_log_flush(&l), WF_OK);
    assert_int_equal(f->disk.synced, 0);
    wfi_log_init(&l, f->platform.log, f, buffer, sizeof buffer, WF_SYNC_BATCH);
    assert_int_equal(recover(&l, &count, &end), WF_END);
    assert_int_equal(count, 1);
    assert_int_equal(wfi_log_resume(&l, end), WF_OK);
    assert_false(wfi_log_durable(&l, end));
    assert_int_equal(wfi_log_pump(&l), WF_AGAIN);
    f->now += 5;
    assert_int_equal(wfi_log_pump(&l), WF_OK);
    assert_true(wfi_log_durable(&l, end));
    assert_int_equal(f->disk.synced, end);
    fake_free(f);
}

/* ---- limits and references ---- */

static void test_large_records(void **state) {
    fake *f = fake_new(1, NULL, 0);
    wfi_log l;
    wfi_log_rec rec;
    static char meta[WFI_LOG_META_MAX + 1], back[WFI_LOG_META_MAX];
    const size_t n = (size_t)3 << 20;
    uint64_t at, small;
    char *big = malloc(n), *again = malloc(n);
    (void)state;
    for (size_t i = 0; i < n; i++)
        big[i] = (char)fake_mix(i);
    memset(meta, 'm', sizeof meta);
    wf_str payload = wf_str_of(big, n);
    wfi_log_init(&l, f->platform.log, f, buffer, sizeof buffer, WF_SYNC_BATCH);
    assert_int_equal(wfi_log_create(&l, 1), WF_OK);
    assert_int_equal(wfi_log_append(&l, WFI_REC_TEXT, 0, wf_str_of(meta, sizeof meta), NULL, 0, NULL, NULL),
                     WF_E_LIMIT);
    put_record(&l, 0, NULL);
    assert_int_equal(wfi_log_append(&l, WFI_REC_TEXT, 3, wf_str_of(meta, WFI_LOG_META_MAX), &payload, 1, &at, NULL),
                     WF_OK);
    assert_int_equal(wfi_log_append(&l, WFI_REC_TEXT, 4, rig_str(""), NULL, 0, &small, NULL), WF_OK);
    uint32_t meta_len;
    assert_int_equal(wfi_log_peek(&l, at, &rec, &meta_len), WF_OK); /* partly in the file, partly not yet */
    assert_int_equal(meta_len, WFI_LOG_META_MAX);
    assert_int_equal(wfi_log_read(&l, rec.payload, again, n), WF_OK);
    assert_memory_equal(big, again, n);
    assert_int_equal(wfi_log_read(&l, at + WFI_LOG_HEAD, back, sizeof back), WF_OK);
    assert_memory_equal(meta, back, sizeof back);
    assert_int_equal(wfi_log_flush(&l), WF_OK);
    wfi_log_init(&l, f->platform.log, f, buffer, sizeof buffer, WF_SYNC_BATCH);
    assert_int_equal(wfi_log_load(&l), WF_OK);
    assert_int_equal(wfi_log_scan(&l, at, &rec), WF_OK);
    assert_int_equal(rec.payload_len, n);
    assert_int_equal(rec.meta.len, WFI_LOG_META_MAX);
    assert_memory_equal(rec.meta.ptr, meta, WFI_LOG_META_MAX);
    assert_int_equal(rec.next, small);
    assert_int_equal(wfi_log_scan(&l, small, &rec), WF_OK);
    assert_int_equal(wfi_log_scan(&l, rec.next, &rec), WF_END);
    assert_int_equal(wfi_log_read(&l, UINT64_MAX - 3, back, 8), WF_E_CORRUPT); /* no wrap-around */
    free(big);
    free(again);
    fake_free(f);
}

static void test_failures_stick(void **state) {
    (void)state;
    for (uint64_t n = 1; n < 12; n++) {
        fake *f = fake_new(1, NULL, 0);
        wfi_log l;
        wf_status s;
        f->fail_call = n;
        wfi_log_init(&l, f->platform.log, f, buffer, sizeof buffer, WF_SYNC_BATCH);
        s = wfi_log_create(&l, 1);
        for (uint32_t i = 0; i < 8 && s == WF_OK; i++) {
            wf_str payload = wf_str_of((char *)buffer, 0);
            s = wfi_log_append(&l, WFI_REC_TEXT, i, rig_str(""), &payload, 1, NULL, NULL);
            wfi_log_want(&l);
            if (s == WF_OK) s = wfi_log_pump(&l);
        }
        assert_int_equal(s, WF_E_IO);
        uint64_t calls = f->calls;
        assert_int_equal(wfi_log_append(&l, WFI_REC_TEXT, 0, rig_str(""), NULL, 0, NULL, NULL), WF_E_IO);
        assert_int_equal(wfi_log_pump(&l), WF_E_IO);
        assert_int_equal(f->calls, calls); /* neither the write nor the sync is tried again */
        fake_free(f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_future),
        cmocka_unit_test(test_truncated_everywhere),
        cmocka_unit_test(test_every_bit_flipped),
        cmocka_unit_test(test_log_in_a_log),
        cmocka_unit_test(test_cut_twice_at_every_byte),
        cmocka_unit_test(test_crashed_disk),
        cmocka_unit_test(test_sync_off),
        cmocka_unit_test(test_recovered_bytes_are_synced_first),
        cmocka_unit_test(test_large_records),
        cmocka_unit_test(test_failures_stick),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
