/* Tests of replies that come as events: recorded ones (tests/wire/streams.tsv) and odd ones, each whole, byte by byte and cut in
 * two at every place, with each piece at the very end of its memory; every allocation failing, every limit, 20,000 mutations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/core/model/anthropic.h"

#define HEAP_SIZE (16u << 20)
#define MAX       (4u << 20)

/* A stream is written as its events. */
#define EVENT(name, rest) "event: " name "\ndata: {\"type\":\"" name "\"" rest "}\n\n"
#define BEGIN             EVENT("message_start", ",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}")
#define BLOCK(i, block)   EVENT("content_block_start", ",\"index\":" #i ",\"content_block\":" block)
#define DELTA(i, delta)   EVENT("content_block_delta", ",\"index\":" #i ",\"delta\":" delta)
#define STOP(i)           EVENT("content_block_stop", ",\"index\":" #i)
#define REASON(reason)                                                                                                 \
    EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"" reason "\"},\"usage\":{\"output_tokens\":9}")
#define END              EVENT("message_stop", "")
#define TEXT(i, text)    DELTA(i, "{\"type\":\"text_delta\",\"text\":\"" text "\"}")
#define INPUT(i, json)   DELTA(i, "{\"type\":\"input_json_delta\",\"partial_json\":\"" json "\"}")
#define THINK(i, text)   DELTA(i, "{\"type\":\"thinking_delta\",\"thinking\":\"" text "\"}")
#define SIGN(i, text)    DELTA(i, "{\"type\":\"signature_delta\",\"signature\":\"" text "\"}")
#define CITE(i, json)    DELTA(i, "{\"type\":\"citations_delta\",\"citation\":" json "}")
#define COMPACT(i, rest) DELTA(i, "{\"type\":\"compaction_delta\"" rest "}")
#define TEXT_BLOCK(i)    BLOCK(i, "{\"type\":\"text\",\"text\":\"\"}")
#define TOOL_BLOCK(i)    BLOCK(i, "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":{}}")
#define TOOL(input)      "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":" input "}"
#define NEST4(x)         "[[[[" x "]]]]"
#define NEST16(x)        NEST4(NEST4(NEST4(NEST4(x))))
#define NEST64(x)        NEST16(NEST16(NEST16(NEST16(x))))
#define DEEP(x)          NEST64(NEST16(NEST16(NEST16(NEST4(NEST4(NEST4(x)))))))
#define CUT_SHORT        "the stream ended before the message was complete"

static const wfi_codec *codec;
static char *heap_memory, *guarded; /* `guarded`: where memory ends */
static wfi_heap heap;

static struct {
    wf_status status;
    wfi_reply reply; /* its slices are copies below */
    const char *why;
    char events[65536], error[4096], reason[256], details[256];
    char *content;
    size_t content_len;
} got;

static void keep(char *to, size_t cap, wf_str s) {
    assert_true(s.len < cap);
    if (s.len > 0) memcpy(to, s.ptr, s.len);
    to[s.len] = 0;
}

static wf_status feed(wfi_reader *r, const char *p, size_t n) {
    char *at = guarded - n;
    memcpy(at, p, n);
    while (n > 0) {
        size_t used = 0;
        wf_status s = codec->reader_feed(r, at, n, &used);
        assert_true(used <= n);
        if (r->event.len > 0) {
            size_t len = strlen(got.events);
            assert_true(len + r->event.len + 2 < sizeof got.events);
            sprintf(got.events + len, "%s%.*s", len ? "," : "", (int)r->event.len, r->event.ptr);
        }
        if (s == WF_E_IO) keep(got.error, sizeof got.error, r->error);
        if (s != WF_OK) return s;
        assert_true(used > 0);
        at += used;
        n -= used;
    }
    return WF_OK;
}

static bool clean = true; /* how the streams end */

/* The first `cut` bytes in one piece, the others in pieces of `step`. */
static wf_status run(wf_str in, size_t max, size_t cut, size_t step) {
    wfi_reader r;
    wf_status s = WF_OK;
    free(got.content);
    memset(&got, 0, sizeof got);
    codec->reader_begin(&r, &heap, max, true);
    for (size_t at = 0; at < in.len && s == WF_OK;) {
        size_t n = at < cut ? cut - at : step;
        if (n > in.len - at) n = in.len - at;
        s = feed(&r, in.ptr + at, n);
        at += n;
    }
    if (s == WF_OK) s = codec->reader_end(&r, clean, &got.reply);
    got.status = s;
    got.why = r.why;
    if (s == WF_OK) {
        got.content_len = got.reply.content.len;
        got.content = malloc(got.content_len + 1);
        memcpy(got.content, got.reply.content.ptr, got.content_len);
        got.content[got.content_len] = 0;
        keep(got.reason, sizeof got.reason, got.reply.reason);
        keep(got.details, sizeof got.details, got.reply.details);
    } else if (s == WF_E_SYNTAX) {
        assert_true(strlen(r.why) > 10);
    }
    codec->reader_free(&r);
    codec->reader_free(&r);
    assert_int_equal(heap.used, 0);
    return s;
}

/* However the input is cut, it gives the same. */
static void run_all(wf_str in, void (*check)(const void *ctx), const void *ctx) {
    run(in, MAX, 0, in.len);
    check(ctx);
    run(in, MAX, 0, 1);
    check(ctx);
    for (size_t cut = 1; cut < in.len; cut++) {
        run(in, MAX, cut, in.len);
        check(ctx);
    }
}

/* The same JSON without blanks and needless escapes. */
static wf_str normal(wf_str json, char *buf, size_t cap) {
    wf_json j;
    wf_json_out o;
    wf_json_token t;
    static char text[65536];
    wf_json_init(&j, json);
    wf_json_out_init(&o, buf, cap);
    while ((t = wf_json_next(&j)) != WF_JSON_END) {
        if (t == WF_JSON_ERROR) fail_msg("%s: %.*s", j.error.text, (int)json.len, json.ptr);
        if (t == WF_JSON_OBJECT_END || t == WF_JSON_ARRAY_END)
            wf_json_finish(&o);
        else if (t == WF_JSON_OBJECT || t == WF_JSON_ARRAY)
            wf_json_begin(&o, t == WF_JSON_OBJECT);
        else if (t == WF_JSON_KEY)
            wf_json_key(&o, wf_str_of(text, wf_json_unescape(j.raw, text)));
        else if (t == WF_JSON_STRING)
            wf_json_str(&o, wf_str_of(text, wf_json_unescape(j.raw, text)));
        else
            wf_json_raw(&o, j.raw);
    }
    assert_true(wf_json_ok(&o));
    return wf_str_of(buf, o.len);
}

/* ---- recorded streams ---- */

#define COLUMNS 10
#define STREAMS 16

static struct {
    char line[32768];
    const char *column[COLUMNS];
    size_t len; /* of the last column, which is decoded */
} recorded[STREAMS];
static size_t recorded_count;

static void decode_last(size_t i) {
    char *from = (char *)(uintptr_t)recorded[i].column[COLUMNS - 1], *to = from;
    for (; *from; from++) {
        char c = *from;
        if (c == '\\') c = *++from == 'n' ? '\n' : *from == 'r' ? '\r' : *from == 't' ? '\t' : *from;
        *to++ = c;
    }
    recorded[i].len = (size_t)(to - recorded[i].column[COLUMNS - 1]);
}

static void load(void) {
    FILE *file = fopen("tests/wire/streams.tsv", "r");
    if (!file) fail_msg("run the tests from the project's top folder");
    while (recorded_count < STREAMS && fgets(recorded[recorded_count].line, sizeof recorded[0].line, file)) {
        size_t i = recorded_count;
        char *at = recorded[i].line;
        if (*at == '#') continue;
        at[strcspn(at, "\n")] = 0;
        for (size_t k = 0; k < COLUMNS; k++) {
            recorded[i].column[k] = at;
            at += strcspn(at, "\t");
            if (*at) *at++ = 0;
        }
        decode_last(i);
        recorded_count++;
    }
    fclose(file);
}

static wf_str recorded_stream(size_t i) {
    return wf_str_of(recorded[i].column[COLUMNS - 1], recorded[i].len);
}

static void check_recorded(const void *ctx) {
    const char *const *column = ctx;
    char a[16384], b[16384];
    assert_string_equal(got.events, column[2]);
    if (strcmp(column[1], "stream_event") == 0) {
        wfi_fault fault;
        assert_int_equal(got.status, WF_E_IO);
        codec->fault(wf_str_of(got.error, strlen(got.error)), &fault);
        assert_true(fault.status == 529 && fault.message.len == strlen(column[8]));
        assert_memory_equal(fault.message.ptr, column[8], fault.message.len);
        assert_true(fault.request_id.len > 0);
    } else if (strcmp(column[1], "stream_truncated") == 0) {
        assert_int_equal(got.status, WF_E_SYNTAX);
        assert_string_equal(got.why, CUT_SHORT);
    } else {
        assert_int_equal(got.status, WF_OK);
        assert_string_equal(got.reason, column[3]);
        assert_int_equal(got.reply.usage.input, strtoull(column[4], NULL, 10));
        assert_int_equal(got.reply.usage.output, strtoull(column[5], NULL, 10));
        assert_int_equal(got.reply.usage.cache_read, strtoull(column[6], NULL, 10));
        assert_int_equal(got.reply.usage.cache_write, strtoull(column[7], NULL, 10));
        wf_str want = normal(wf_str_of(column[8], strlen(column[8])), a, sizeof a);
        wf_str have = normal(wf_str_of(got.content, got.content_len), b, sizeof b);
        if (want.len != have.len || memcmp(want.ptr, have.ptr, want.len) != 0)
            fail_msg("%s: %s", column[0], got.content);
    }
}

static void test_recorded(void **state) {
    (void)state;
    assert_true(recorded_count >= 9);
    for (size_t i = 0; i < recorded_count; i++)
        run_all(recorded_stream(i), check_recorded, recorded[i].column);
}

/* Cut at every byte: a reply is whole once its message_delta, which has a reason here, was read to the blank line after it.
 * Then it is the same as that of the whole stream. However the connection ended makes no difference. */
static void test_truncated(void **state) {
    (void)state;
    size_t whole = 0, part = 0;
    for (size_t i = 0; i < recorded_count; i++) {
        wf_str in = recorded_stream(i);
        if (strcmp(recorded[i].column[1], "ok") != 0) continue;
        assert_int_equal(run(in, MAX, 0, 512), WF_OK);
        char *content = strdup(got.content), *reason = strdup(got.reason);
        for (size_t n = 0; n < in.len; n++) {
            clean = n % 2 == 0;
            wf_status s = run(wf_str_of(in.ptr, n), MAX, 0, 512);
            bool told = strstr(got.events, "message_delta") != NULL;
            assert_int_equal(s, told ? WF_OK : WF_E_SYNTAX);
            if (told) assert_string_equal(got.content, content);
            if (told) assert_string_equal(got.reason, reason);
            if (!told) assert_string_equal(got.why, CUT_SHORT);
            whole += told;
            part += !told;
        }
        clean = true;
        free(content);
        free(reason);
    }
    assert_true(whole > 100 && part > 1000);
}

/* Without a stop reason only a clean end tells that it is whole. */
static void test_ends(void **state) {
    static const struct {
        const char *in;
        bool clean, unclean; /* whether it is whole */
    } cases[] = {{BEGIN TEXT_BLOCK(0) TEXT(0, "a") STOP(0) REASON("end_turn") END, true, true},
                 {BEGIN TEXT_BLOCK(0) TEXT(0, "a") STOP(0) END, true, true},
                 {BEGIN TEXT_BLOCK(0) TEXT(0, "a") STOP(0) REASON("end_turn"), true, true},
                 {BEGIN TEXT_BLOCK(0) TEXT(0, "a") STOP(0) EVENT("message_delta", ",\"delta\":{\"stop_reason\":null}"),
                  true, false},
                 {BEGIN TEXT_BLOCK(0) TEXT(0, "a") STOP(0) EVENT("message_delta", ",\"usage\":{}"), true, false},
                 {BEGIN TEXT_BLOCK(0) TEXT(0, "a") REASON("end_turn"), true, true},
                 {BEGIN TEXT_BLOCK(0) TEXT(0, "a") STOP(0), false, false},
                 {BEGIN TEXT_BLOCK(0) TEXT(0, "a"), false, false},
                 {BEGIN TOOL_BLOCK(0) INPUT(0, "{}") REASON("tool_use"), true, true},
                 {BEGIN TOOL_BLOCK(0) INPUT(0, "{") REASON("tool_use"), false, false},
                 {BEGIN REASON("end_turn"), true, true},
                 {BEGIN, false, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int how = 0; how < 2; how++) {
            clean = how == 0;
            wf_status s = run(wf_str_of(cases[i].in, strlen(cases[i].in)), MAX, 0, 7);
            assert_int_equal(s, (clean ? cases[i].clean : cases[i].unclean) ? WF_OK : WF_E_SYNTAX);
        }
    clean = true;
}

/* ---- odd streams ---- */

typedef struct odd {
    const char *in, *content, *reason; /* content NULL: WF_E_SYNTAX, and reason is what `why` holds */
} odd;

static void check_odd(const void *ctx) {
    const odd *c = ctx;
    if (!c->content) {
        if (got.status != WF_E_SYNTAX || !strstr(got.why, c->reason))
            fail_msg("%s\n%d %s", c->in, (int)got.status, got.why);
    } else {
        if (got.status != WF_OK) fail_msg("%s\n%d %s", c->in, (int)got.status, got.why);
        assert_string_equal(got.content, c->content);
        assert_string_equal(got.reason, c->reason);
    }
}

static void check_table(const odd *cases, size_t n) {
    for (size_t i = 0; i < n; i++)
        run_all(wf_str_of(cases[i].in, strlen(cases[i].in)), check_odd, &cases[i]);
}

static void test_blocks(void **state) {
    static const odd cases[] = {
        {BEGIN REASON("end_turn") END, "[]", "end_turn"},
        {BEGIN END, "[]", ""},
        {BEGIN TEXT_BLOCK(0) STOP(0) REASON("end_turn") END, "[{\"type\":\"text\",\"text\":\"\"}]", "end_turn"},
        /* a pair of surrogates and a character, cut between two deltas */
        {BEGIN TEXT_BLOCK(0) TEXT(0, "a\\ud83d") TEXT(0, "\\ude42") TEXT(0, "") TEXT(0, "\xc3\xa9\\\"") STOP(0) END,
         "[{\"type\":\"text\",\"text\":\"a\\ud83d\\ude42\xc3\xa9\\\"\"}]", ""},
        /* what the start has stays, also what is unknown; blanks too */
        {BEGIN BLOCK(0, "{ \"x\" : [1, {\"text\":2}] , \"text\":\"a\",\"y\":null , \"type\":\"text\"}") TEXT(0, "b")
             STOP(0) END,
         "[{\"x\" : [1, {\"text\":2}],\"y\":null,\"type\":\"text\",\"text\":\"ab\"}]", ""},
        {BEGIN BLOCK(0, "{\"type\":\"text\"}") TEXT(0, "b") STOP(0) END, "[{\"type\":\"text\",\"text\":\"b\"}]", ""},
        {BEGIN BLOCK(0, "{\"type\":\"text\",\"text\":null}") TEXT(0, "b") STOP(0) END,
         "[{\"type\":\"text\",\"text\":\"b\"}]", ""},
        {BEGIN BLOCK(0, "{\"text\":\"\",\"type\":\"text\",\"citations\":[ ]}") CITE(0, "{\"a\":1}") TEXT(0, "b")
             CITE(0, "[2]") STOP(0) END,
         "[{\"type\":\"text\",\"text\":\"b\",\"citations\":[{\"a\":1},[2]]}]", ""},
        {BEGIN BLOCK(0, "{\"type\":\"text\",\"text\":\"\",\"citations\":[1 ]}") CITE(0, "2") STOP(0) END,
         "[{\"type\":\"text\",\"text\":\"\",\"citations\":[1,2]}]", ""},
        {BEGIN TEXT_BLOCK(0) CITE(0, "2") CITE(0, "null") STOP(0) END,
         "[{\"type\":\"text\",\"text\":\"\",\"citations\":[2]}]", ""},
        {BEGIN BLOCK(0, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"old\"}") THINK(0, "a") SIGN(0, "one")
             THINK(0, "b") SIGN(0, "two") STOP(0) END,
         "[{\"type\":\"thinking\",\"thinking\":\"ab\",\"signature\":\"two\"}]", ""},
        {BEGIN BLOCK(0, "{\"type\":\"thinking\",\"thinking\":\"\"}") STOP(0) END,
         "[{\"type\":\"thinking\",\"thinking\":\"\"}]", ""},
        {BEGIN BLOCK(0, "{\"type\":\"compaction\",\"content\":null}") STOP(0) END,
         "[{\"type\":\"compaction\",\"content\":null}]", ""},
        {BEGIN BLOCK(0, "{\"type\":\"compaction\",\"content\":null,\"encrypted_content\":null}")
             COMPACT(0, ",\"content\":\"a\",\"encrypted_content\":\"x\"")
                 COMPACT(0, ",\"content\":null,\"encrypted_content\":\"y\"") COMPACT(0, ",\"content\":\"b\"") STOP(0)
                     REASON("compaction") END,
         "[{\"type\":\"compaction\",\"content\":\"ab\",\"encrypted_content\":\"xy\"}]", "compaction"},
        /* unknown things */
        {BEGIN BLOCK(0, "{\"type\":\"new\",\"text\":\"\"}") TEXT(0, "b") DELTA(0, "{\"type\":\"new_delta\"}") STOP(0)
             END,
         "[{\"type\":\"new\",\"text\":\"\"}]", ""},
        {BEGIN BLOCK(0, "{}") STOP(0) BLOCK(1, "{\"type\":3}") STOP(1) END, "[{},{\"type\":3}]", ""},
        {BEGIN TEXT_BLOCK(0) DELTA(0, "{\"type\":\"new_delta\",\"text\":\"x\"}") STOP(0) REASON("new") END,
         "[{\"type\":\"text\",\"text\":\"\"}]", "new"},
        {"event: new\ndata: no JSON\n\ndata: {}\n\nevent: ping\n\nevent: message_start\n\n" BEGIN
         "event: ping\ndata: x\n\n" END,
         "[]", ""},
        /* the last reason counts; what follows the end does not */
        {BEGIN REASON("max_tokens") REASON("end_turn") EVENT("message_delta", ",\"delta\":{\"stop_reason\":null}") END
         "event: error\ndata: {}\n\n" BEGIN "rubbish",
         "[]", "end_turn"}};
    (void)state;
    check_table(cases, sizeof cases / sizeof cases[0]);
}

static void test_inputs(void **state) {
    static const odd cases[] = {
        {BEGIN TOOL_BLOCK(0) STOP(0) REASON("tool_use") END, "[" TOOL("{}") "]", "tool_use"},
        {BEGIN TOOL_BLOCK(0) INPUT(0, "") STOP(0) END, "[" TOOL("{}") "]", ""},
        {BEGIN BLOCK(0, "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":{\"a\": 1}}") STOP(0) END,
         "[" TOOL("{\"a\": 1}") "]", ""},
        {BEGIN BLOCK(0, "{\"type\":\"tool_use\",\"input\":{\"a\":1},\"id\":\"t\",\"name\":\"n\"}") INPUT(0, "{}")
             STOP(0) END,
         "[" TOOL("{}") "]", ""},
        /* cut inside an escape of the inner JSON, and between the halves of a character of the outer one */
        {BEGIN TOOL_BLOCK(0) INPUT(0, "{\\\"k\\\": \\\"\\\\u00") INPUT(0, "e7\\ud83d")
             INPUT(0, "\\ude42\\\", \\\"n\\\": 1") INPUT(0, "2}") STOP(0) END,
         "[" TOOL("{\"k\": \"\\u00e7\xf0\x9f\x99\x82\", \"n\": 12}") "]", ""},
        {BEGIN BLOCK(0, "{\"type\":\"server_tool_use\",\"input\":{}}") INPUT(0, "{\\\"q\\\":[]}") STOP(0)
             BLOCK(1, "{\"type\":\"mcp_tool_use\",\"input\":{}}") INPUT(1, "{\\n}") STOP(1) END,
         "[{\"type\":\"server_tool_use\",\"input\":{\"q\":[]}},{\"type\":\"mcp_tool_use\",\"input\":{\n}}]", ""},
        /* cut by a limit, it is known not to be whole */
        {BEGIN TOOL_BLOCK(0) INPUT(0, "{\\\"a\\\":") STOP(0) REASON("max_tokens") END, "[" TOOL("{}") "]",
         "max_tokens"},
        {BEGIN TOOL_BLOCK(0) INPUT(0, "{") STOP(0) REASON("model_context_window_exceeded") END, "[" TOOL("{}") "]",
         "model_context_window_exceeded"},
        {BEGIN TOOL_BLOCK(0) INPUT(0, "{") STOP(0) REASON("refusal") END, "[" TOOL("{}") "]", "refusal"},
        {BEGIN TOOL_BLOCK(0) INPUT(0, "{") STOP(0) REASON("tool_use") END, NULL, "input is no JSON object"},
        {BEGIN TOOL_BLOCK(0) INPUT(0, "[]") STOP(0) REASON("tool_use") END, NULL, "input is no JSON object"},
        {BEGIN TOOL_BLOCK(0) INPUT(0, "{}{}") STOP(0) REASON("tool_use") END, NULL, "input is no JSON object"},
        {BEGIN TOOL_BLOCK(0) INPUT(0, " ") STOP(0) END, NULL, "input is no JSON object"},
        /* it will stand inside of other containers: as deep as fits there, and one deeper */
        {BEGIN TOOL_BLOCK(0) INPUT(0, "{\\\"a\\\":" DEEP("") "}") STOP(0) END, "[" TOOL("{\"a\":" DEEP("") "}") "]",
         ""},
        {BEGIN TOOL_BLOCK(0) INPUT(0, "{\\\"a\\\":" DEEP("[]") "}") STOP(0) END, NULL, "nested too deeply"}};
    (void)state;
    check_table(cases, sizeof cases / sizeof cases[0]);
}

/* Streams of servers and gateways that differ from the API, and are whole in substance. */
#define UNNAMED(name, rest) "data: {\"type\":\"" name "\"" rest "}\n\n"
#define A_TEXT              "{\"type\":\"text\",\"text\":\"a\"}"
#define B_TEXT              "{\"type\":\"text\",\"text\":\"b\"}"

static void test_deviations(void **state) {
    static const odd cases[] = {
        /* events without names, or with ones that say nothing; a blank line after the name */
        {UNNAMED("message_start", ",\"message\":{}") UNNAMED("content_block_start",
                                                             ",\"index\":0,\"content_block\":{\"type\":\"text\"}")
             UNNAMED("ping", "") "data: [DONE]\n\n" UNNAMED(
                 "content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}")
                 UNNAMED("content_block_stop", ",\"index\":0")
                     UNNAMED("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\"}") UNNAMED("message_stop", ""),
         "[" A_TEXT "]", "end_turn"},
        {BEGIN "event: message\n" UNNAMED(
             "content_block_start",
             ",\"index\":0,\"content_block\":" A_TEXT) "event: content_block_stop\n\n" UNNAMED("content_block_stop",
                                                                                               ",\"index\":0") END,
         "[" A_TEXT "]", ""},
        /* no message_start; one that comes late, or is empty */
        {BLOCK(0, A_TEXT) STOP(0) REASON("end_turn") END, "[" A_TEXT "]", "end_turn"},
        {BLOCK(0, A_TEXT) BEGIN STOP(0) END, "[" A_TEXT "]", ""},
        {EVENT("message_start", "") BLOCK(0, A_TEXT) STOP(0) END, "[" A_TEXT "]", ""},
        {EVENT("message_start", ",\"message\":[]") END, "[]", ""},
        {REASON("end_turn"), "[]", "end_turn"},
        /* an index is a name: it begins anywhere, skips, comes again */
        {BEGIN BLOCK(7, A_TEXT) STOP(7) BLOCK(3, B_TEXT) STOP(3) BLOCK(7, A_TEXT) STOP(7) END,
         "[" A_TEXT "," B_TEXT "," A_TEXT "]", ""},
        {BEGIN TEXT_BLOCK(0) TEXT(0, "a") TEXT_BLOCK(0) TEXT(0, "b") STOP(0) STOP(0) END, "[" A_TEXT "," B_TEXT "]",
         ""},
        {BEGIN STOP(0) BLOCK(0, A_TEXT) STOP(1) STOP(0) STOP(18446744073709551615) END, "[" A_TEXT "]", ""},
        {BEGIN EVENT("content_block_start", ",\"content_block\":{\"type\":\"text\"}")
             EVENT("content_block_delta", ",\"delta\":{\"text\":\"a\"}") EVENT("content_block_stop", "") END,
         "[" A_TEXT "]", ""},
        /* several are open, and stop in any order, or not at all */
        {BEGIN TEXT_BLOCK(0) TOOL_BLOCK(1) TEXT(0, "a") INPUT(1, "{\\\"k\\\":") TEXT_BLOCK(2) INPUT(1, "1}")
             TEXT(2, "b") STOP(2) STOP(1) STOP(0) REASON("tool_use") END,
         "[" A_TEXT "," TOOL("{\"k\":1}") "," B_TEXT "]", "tool_use"},
        {BEGIN TEXT_BLOCK(0) BLOCK(1, "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\"}") INPUT(1, "{}") TEXT(0, "a")
             REASON("tool_use") END,
         "[" A_TEXT "," TOOL("{}") "]", "tool_use"},
        {BEGIN TEXT_BLOCK(0) TEXT(0, "a") EVENT("content_block_start", ",\"index\":1") TEXT(1, "b") END,
         "[" A_TEXT "," B_TEXT "]", ""}};
    (void)state;
    check_table(cases, sizeof cases / sizeof cases[0]);
}

static void test_contradictions(void **state) {
    static const odd cases[] = {
        {"", NULL, CUT_SHORT},
        {"{\"type\":\"message\",\"content\":[]}", NULL, CUT_SHORT},
        {"<html>\n\nsorry\n\n", NULL, CUT_SHORT},
        {BEGIN BEGIN, NULL, "a second message"},
        {END, NULL, "no message"},
        {BEGIN EVENT("content_block_start", ",\"index\":0,\"content_block\":1"), NULL, "no object"},
        {BEGIN TEXT(0, "a"), NULL, "not under way"},
        {BEGIN TEXT_BLOCK(0) TEXT(1, "a"), NULL, "not under way"},
        {BEGIN TEXT_BLOCK(0) STOP(0) TEXT(0, "a"), NULL, "not under way"},
        {BEGIN TEXT_BLOCK(0) INPUT(0, "{}"), NULL, "does not fit"},
        {BEGIN TOOL_BLOCK(0) TEXT(0, "a"), NULL, "does not fit"},
        {BEGIN TEXT_BLOCK(0) SIGN(0, "a"), NULL, "does not fit"},
        {BEGIN TEXT_BLOCK(0) DELTA(0, "{\"type\":\"text_delta\",\"text\":1}"), NULL, "brings no string"},
        {BEGIN TEXT_BLOCK(0) DELTA(0, "{\"text\":1}"), NULL, "brings no string"},
        {BEGIN BLOCK(0, "{\"type\":\"text\",\"text\":1}") TEXT(0, "a"), NULL, "a member that is none"},
        {BEGIN BLOCK(0, "{\"type\":\"text\",\"citations\":{}}") CITE(0, "1"), NULL, "no array"},
        {"event: message_start\ndata: {\n\n", NULL, "no JSON object"},
        {"event: message_start\ndata: []\n\n", NULL, "no JSON object"},
        {BEGIN "event: message_stop\ndata: {} x\n\n", NULL, "no JSON object"}};
    (void)state;
    check_table(cases, sizeof cases / sizeof cases[0]);
}

/* Blocks that wait for an open one are bounded. */
static void test_many_open(void **state) {
    static char in[200000];
    size_t n = (size_t)sprintf(in, BEGIN);
    (void)state;
    for (int i = 0; i < 257; i++) {
        n += (size_t)sprintf(in + n, EVENT("content_block_start", ",\"index\":%d,\"content_block\":" A_TEXT), i);
        wf_str whole = wf_str_of(in, n + (size_t)sprintf(in + n, END));
        if (i == 255) assert_int_equal(run(whole, MAX, 0, 512), WF_OK);
        if (i == 256) assert_int_equal(run(whole, MAX, 0, 512), WF_E_SYNTAX);
    }
}

/* Numbers are totals: the last one that is there counts. */
static void test_usage(void **state) {
    wf_str in = WF_STR(
        EVENT("message_start",
              ",\"message\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":2,\"cache_read_input_tokens\":3,"
              "\"cache_creation_input_tokens\":9,\"cache_creation\":{\"ephemeral_5m_input_tokens\":5,"
              "\"ephemeral_1h_input_tokens\":4}}}")
            EVENT("message_delta", ",\"usage\":{\"input_tokens\":null,\"output_tokens\":50}")
                EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"refusal\",\"stop_details\":{\"type\":\"refusal\","
                                       "\"category\":\"cyber\",\"explanation\":null}},\"usage\":{\"output_tokens\":60,"
                                       "\"cache_read_input_tokens\":null,\"cache_creation\":null,\"usd\":0.25}") END);
    (void)state;
    assert_int_equal(run(in, MAX, 0, in.len), WF_OK);
    assert_int_equal(got.reply.usage.input, 1);
    assert_int_equal(got.reply.usage.output, 60);
    assert_int_equal(got.reply.usage.cache_read, 3);
    assert_int_equal(got.reply.usage.cache_write, 9);
    assert_int_equal(got.reply.usage.nano_usd, 250000000);
    assert_int_equal(got.reply.write_1h, 4);
    assert_int_equal(got.reply.stop, WFI_STOP_REFUSED);
    assert_string_equal(got.details, "cyber");
}

static void test_error(void **state) {
    wf_str in = WF_STR(BEGIN TEXT_BLOCK(0) "event: error\ndata: not even\ndata: JSON\n\n" END);
    (void)state;
    assert_int_equal(run(in, MAX, 0, in.len), WF_E_IO);
    assert_string_equal(got.error, "not even\nJSON");
    assert_string_equal(got.events, "message_start,content_block_start");
    in = WF_STR("event: error\n\n");
    assert_int_equal(run(in, MAX, 0, 1), WF_E_IO);
    assert_string_equal(got.error, "");
    static const char *const unnamed[] = {"{\"type\":\"error\",\"error\":{}}", "{\"error\":{\"message\":\"x\"}}"};
    for (size_t i = 0; i < 2; i++) {
        char stream[200];
        snprintf(stream, sizeof stream, "data: %s\n\n", unnamed[i]);
        assert_int_equal(run(wf_str_of(stream, strlen(stream)), MAX, 0, 1), WF_E_IO);
        assert_string_equal(got.error, unnamed[i]);
    }
}

/* A reply goes back byte for byte, in a request that is JSON; so does the reply to that. */
static void test_goes_back(void **state) {
    char body[65536];
    size_t n = 0;
    wf_json_out o;
    wf_json j;
    wf_json_token t;
    wfi_ask ask = {.model = WF_STR("claude-opus-5-5"), .effort = WF_STR("high"), .max_tokens = 100, .stream = true};
    wfi_joint last = WFI_JOINT_EDGE;
    const char *at[STREAMS];
    (void)state;
    wf_json_out_init(&o, body, sizeof body);
    codec->head(&o, &ask);
    n = o.len;
    n += (size_t)sprintf(body + n, "%.*s", (int)codec->before_items.len, codec->before_items.ptr);
    for (size_t i = 0; i < recorded_count; i++) {
        wf_str glue = codec->glue(last, WFI_JOINT_USER);
        n += (size_t)sprintf(body + n, "%.*s", (int)glue.len, glue.ptr);
        wf_json_out_init(&o, body + n, sizeof body - n);
        codec->text_block(&o, WF_STR("go on"));
        n += o.len;
        last = WFI_JOINT_USER;
        at[i] = NULL;
        if (run(recorded_stream(i), MAX, 0, 100) != WF_OK) continue;
        glue = codec->glue(last, WFI_JOINT_ASSISTANT);
        n += (size_t)sprintf(body + n, "%.*s", (int)glue.len, glue.ptr);
        at[i] = body + n;
        n += (size_t)sprintf(body + n, "%s", got.content);
        last = WFI_JOINT_ASSISTANT;
    }
    wf_str glue = codec->glue(last, WFI_JOINT_EDGE);
    n += (size_t)sprintf(body + n, "%.*s", (int)glue.len, glue.ptr);
    wf_json_init(&j, wf_str_of(body, n));
    while ((t = wf_json_next(&j)) != WF_JSON_END)
        if (t == WF_JSON_ERROR) fail_msg("%s: %.*s", j.error.text, (int)n, body);
    for (size_t i = 0; i < recorded_count; i++) {
        if (!at[i]) continue;
        assert_int_equal(run(recorded_stream(i), MAX, i, 7), WF_OK);
        assert_memory_equal(at[i], got.content, got.content_len);
    }
}

/* ---- bounds ---- */

static void test_limit(void **state) {
    static char in[300000], want[300000];
    size_t n = 0, len = 0;
    (void)state;
    n += (size_t)sprintf(in + n, BEGIN TEXT_BLOCK(0));
    len += (size_t)sprintf(want, "[{\"type\":\"text\",\"text\":\"");
    for (int i = 0; i < 1000; i++) {
        n += (size_t)sprintf(in + n, TEXT(0, "piece %04d of many, "), i);
        len += (size_t)sprintf(want + len, "piece %04d of many, ", i);
    }
    n += (size_t)sprintf(in + n, STOP(0) END);
    len += (size_t)sprintf(want + len, "\"}]");
    heap.high = 0;
    assert_int_equal(run(wf_str_of(in, n), len, 0, 4096), WF_OK);
    assert_string_equal(got.content, want);
    assert_true(heap.high < 2 * len + 2048);
    for (size_t max = 0; max < len; max += 1 + max / 50)
        assert_int_equal(run(wf_str_of(in, n), max, 0, 4096), WF_E_LIMIT);
    assert_int_equal(run(wf_str_of(in, n), len - 1, 0, 4096), WF_E_LIMIT);
}

static void test_no_memory(void **state) {
    (void)state;
    for (size_t i = 0; i < recorded_count; i++) {
        uint64_t n = 1;
        for (;; n++) {
            heap.fail_at = heap.allocs + n;
            wf_status s = run(recorded_stream(i), MAX, 0, 1000);
            bool reached = heap.allocs >= heap.fail_at;
            heap.fail_at = 0;
            assert_true(wfi_heap_check(&heap));
            if (!reached) break;
            assert_int_equal(s, WF_E_MEMORY);
        }
        assert_true(n > 3);
    }
}

static uint64_t rng_state = 42;

static uint32_t rng(uint32_t below) {
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return (uint32_t)((rng_state >> 20) % below);
}

static size_t mutate(wf_str from, char *to) {
    static const char bytes[] = "{}[]\",:\\0123u\n\r \xff\xc3nt";
    memcpy(to, from.ptr, from.len);
    size_t n = from.len;
    for (uint32_t k = 1 + rng(3); k > 0; k--) {
        size_t at = rng((uint32_t)n), len = 1 + rng(rng(8) ? 4 : 300);
        if (len > n - at) len = n - at;
        switch (rng(4)) {
        case 0: /* another byte */
            to[at] = bytes[rng(sizeof bytes - 1)];
            break;
        case 1: /* some are lost */
            memmove(to + at, to + at + len, n - at - len);
            n -= len;
            break;
        case 2: /* some come twice */
            memmove(to + at + len, to + at, n - at);
            n += len;
            break;
        default: /* one more */
            memmove(to + at + 1, to + at, n - at);
            to[at] = bytes[rng(sizeof bytes - 1)];
            n++;
        }
    }
    return n;
}

/* Whatever comes, what is taken for a reply is one. */
static void test_mutations(void **state) {
    static char in[65536];
    uint32_t good = 0, bad = 0;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t n = mutate(recorded_stream(rng((uint32_t)recorded_count)), in);
        wf_status s = run(wf_str_of(in, n), MAX, rng((uint32_t)n), 1 + rng(600));
        good += s == WF_OK;
        bad += s == WF_E_SYNTAX;
        if (s != WF_OK) {
            assert_true(s == WF_E_SYNTAX || s == WF_E_IO);
            continue;
        }
        wf_json j;
        wfi_block_view block;
        wf_json_token t;
        wf_json_init(&j, wf_str_of(got.content, got.content_len));
        while ((t = wf_json_next(&j)) != WF_JSON_END)
            if (t == WF_JSON_ERROR) fail_msg("%s: %s\nfrom %.*s", j.error.text, got.content, (int)n, in);
        wf_json_init(&j, wf_str_of(got.content, got.content_len));
        while ((s = codec->block(&j, &block)) == WF_OK)
            continue;
        assert_true(s == WF_END || s == WF_E_SYNTAX); /* a tool call may have lost its name */
    }
    assert_true(good > 2000 && bad > 2000);
}

static int set_up(void **state) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (2u << 20) / page * page;
    char *base = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)state;
    if (base == MAP_FAILED || mprotect(base + size, page, PROT_NONE) != 0) return -1;
    guarded = base + size;
    heap_memory = malloc(HEAP_SIZE);
    codec = wfi_anthropic_codec();
    load();
    return wfi_heap_init(&heap, heap_memory, HEAP_SIZE) == WF_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    free(got.content);
    free(heap_memory);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded),   cmocka_unit_test(test_truncated),      cmocka_unit_test(test_ends),
        cmocka_unit_test(test_deviations), cmocka_unit_test(test_many_open),      cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_inputs),     cmocka_unit_test(test_contradictions), cmocka_unit_test(test_usage),
        cmocka_unit_test(test_error),      cmocka_unit_test(test_goes_back),      cmocka_unit_test(test_limit),
        cmocka_unit_test(test_no_memory),  cmocka_unit_test(test_mutations)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
