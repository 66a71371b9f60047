/* fuzz_reader: feeds a reply of the provider to the codec, whole and then in small pieces. The first byte says whether it is a
 * stream of events (bit 0) or one body, the second how it is cut.
 *
 * Judges: both ways end in the same status and the same reply; a reply's content is a JSON array of blocks whose texts are
 * UTF-8; a reply that is refused has a reason; the reader gives back all that it took of its heap. */
#include "input.h"

#include "src/core/base/heap.h"
#include "src/core/model/anthropic.h"

#define READER_HEAP (1u << 20)
#define READER_MAX  60000u

/* A reply, its slices copied. */
typedef struct reading {
    wf_status status;
    wfi_stop stop;
    wf_usage usage;
    uint64_t write_1h;
    wf_str content, reason, details;
} reading;

static void reader_free_reading(reading *r) {
    free((void *)(uintptr_t)r->content.ptr);
    free((void *)(uintptr_t)r->reason.ptr);
    free((void *)(uintptr_t)r->details.ptr);
}

static wf_str reader_keep(wf_str text) {
    return wf_str_of(input_copy(text), text.len);
}

static void reader_judge_blocks(wf_str content) {
    wf_json j;
    wfi_block_view block;
    wf_json_init(&j, content);
    while (wfi_anthropic_codec()->block(&j, &block) == WF_OK) {
        if (block.type != WFI_BLOCK_TEXT) continue;
        char *plain = input_alloc(block.text.len);
        size_t n = wf_json_unescape(block.text, plain);
        FUZZ_MUST(n <= block.text.len && wfi_utf8_valid(wf_str_of(plain, n)));
        free(plain);
    }
}

static void reader_judge_content(wf_str content) {
    wf_json j;
    wf_json_init(&j, content);
    wf_json_token first = wf_json_next(&j);
    wf_status status = wf_json_skip(&j, first, NULL);
    if (status == WF_E_LIMIT) return; /* nested too deep for this reader: it is only passed on */
    FUZZ_MUST(status == WF_OK && first == WF_JSON_ARRAY && wf_json_next(&j) == WF_JSON_END);
    reader_judge_blocks(content);
}

static wf_status reader_feed(wfi_reader *r, wf_str text, uint64_t chance) {
    wf_status status = WF_OK;
    for (size_t at = 0, n; at < text.len && status == WF_OK; at += n) {
        n = input_piece(&chance, text.len - at);
        char *piece = input_copy(wf_str_of(text.ptr + at, n));
        for (size_t done = 0, used = 0; done < n && status == WF_OK; done += used) {
            status = wfi_anthropic_codec()->reader_feed(r, piece + done, n - done, &used);
            FUZZ_MUST(used <= n - done && (used > 0 || status != WF_OK));
        }
        free(piece);
    }
    return status;
}

static void reader_read(wf_str text, bool stream, bool clean, uint64_t chance, reading *out) {
    static char memory[READER_HEAP];
    wfi_heap heap;
    wfi_reader r;
    wfi_reply reply;
    memset(out, 0, sizeof *out);
    FUZZ_MUST(wfi_heap_init(&heap, memory, sizeof memory) == WF_OK);
    wfi_anthropic_codec()->reader_begin(&r, &heap, READER_MAX, stream);
    out->status = reader_feed(&r, text, chance);
    if (out->status == WF_OK) out->status = wfi_anthropic_codec()->reader_end(&r, clean, &reply);
    if (out->status == WF_OK) {
        reader_judge_content(reply.content);
        out->stop = reply.stop;
        out->usage = reply.usage;
        out->write_1h = reply.write_1h;
        out->content = reader_keep(reply.content);
        out->reason = reader_keep(reply.reason);
        out->details = reader_keep(reply.details);
    }
    FUZZ_MUST(out->status != WF_E_SYNTAX || (r.why && r.why[0]));
    if (out->status == WF_E_IO) {
        wfi_fault fault;
        wfi_anthropic_codec()->fault(r.error, &fault);
    }
    wfi_anthropic_codec()->reader_free(&r);
    FUZZ_MUST(wfi_heap_check(&heap) && heap.used == 0 && heap.blocks == 0);
}

int fuzz_reader(const uint8_t *data, size_t size) {
    if (size > 50000) return 0;
    input in = {data, size};
    uint32_t flags = input_byte(&in);
    bool stream = (flags & 1) != 0, clean = (flags & 2) != 0;
    uint64_t chance = 1 + input_byte(&in);
    wf_str text = input_take(&in, in.left);
    reading whole, cut;
    wfi_fault fault;
    reader_read(text, stream, clean, 0, &whole);
    reader_read(text, stream, clean, chance, &cut);
    FUZZ_MUST(whole.status == cut.status);
    FUZZ_MUST(input_same(whole.content, cut.content) && input_same(whole.reason, cut.reason));
    FUZZ_MUST(input_same(whole.details, cut.details) && whole.stop == cut.stop && whole.write_1h == cut.write_1h);
    FUZZ_MUST(memcmp(&whole.usage, &cut.usage, sizeof whole.usage) == 0);
    reader_free_reading(&whole);
    reader_free_reading(&cut);
    wfi_anthropic_codec()->fault(text, &fault);
    return 0;
}
