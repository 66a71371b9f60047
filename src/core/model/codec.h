/* codec: the seam between an agent and a wire format. A codec renders what an agent says into the bytes of a request and
 * reads the bytes of a reply. It does no I/O and keeps no state.
 *
 * A request's body is never built whole. It is a sequence of pieces, each a constant, a short text in memory, or a range of the
 * log: head, system, tools, then the conversation's items with glue between them. So a codec stores each text in the log as
 * the exact JSON that goes on the wire, and the next request streams it from there. */
#ifndef WFI_CODEC_H
#define WFI_CODEC_H

#include "../http/sse.h"

/* Why a reply ended. */
typedef enum wfi_stop {
    WFI_STOP_END,     /* the model has said what it wanted */
    WFI_STOP_TOOL,    /* it waits for tools */
    WFI_STOP_CUT,     /* max_tokens: the text is partial, the last tool call may be */
    WFI_STOP_PAUSE,   /* a server's own tools paused: send the reply back as it is */
    WFI_STOP_REFUSED, /* declined; the content is to be dropped */
    WFI_STOP_CONTEXT, /* the context window is full */
    WFI_STOP_OTHER    /* unknown to us */
} wfi_stop;

/* Whether such a reply, unless it is empty, belongs to the conversation. */
static inline bool wfi_stop_continues(wfi_stop stop) {
    return stop == WFI_STOP_END || stop == WFI_STOP_TOOL || stop == WFI_STOP_PAUSE;
}

typedef struct wfi_reply {
    wf_str content; /* exact JSON of the content, as it goes back on the wire */
    wf_str reason;  /* the stop reason's own word, escaped */
    wf_str details; /* why it was refused: a sentence, escaped; may be empty */
    wfi_stop stop;
    wf_usage usage;    /* nano_usd: as the reply itself says, else 0 */
    uint64_t write_1h; /* of usage.cache_write: kept for an hour */
    uint64_t came;     /* of a rescued reply: bytes that came, which its usage may not count; else 0 */
} wfi_reply;

/* What a request asks for and can do without, as bits: a server that knows less of the API may refuse it by name.
 * The first is given up first, where an error names several. */
enum {
    WFI_EXTRA_CACHE = 1,   /* marks for the provider's cache */
    WFI_EXTRA_FORCE = 2,   /* which tool must be called */
    WFI_EXTRA_EFFORT = 4,  /* how hard to think */
    WFI_EXTRA_THINKING = 8 /* whether to think */
};

/* What the body of an unsuccessful response, or an error in a stream, says. Strings are still escaped; any may be empty. */
typedef struct wfi_fault {
    wf_str type, message, code, request_id;
    uint32_t status;  /* what an error of its type is answered with; 0: a type that is not known here */
    bool spent;       /* a limit is used up that waiting does not cure */
    bool context;     /* the request is too large for the model */
    uint32_t extras;  /* what it names of WFI_EXTRA_... */
    const char *hint; /* what helps, where that is known: goes behind the message; else "" */
} wfi_fault;

/* A content block of a stream that is not yet in the reader's body: it, or one that came before it, is still open. */
typedef struct wfi_reader_block {
    struct wfi_reader_block *next; /* in the order of arrival */
    uint64_t index;                /* by which the stream names it while it is open */
    uint32_t kind;
    bool open;
    wfi_buf text; /* what stands before a block in the content, and the block, as far as it has come */
    wfi_buf side; /* what it gathers besides what is at the end of text */
    size_t main;  /* where in text the value begins that its deltas fill */
} wfi_reader_block;

/* A reply as it comes: one JSON body, or a stream of events, which is put together into what the one body would have held.
 * Memory is the heap's, at most `max` for each of its buffers. */
typedef struct wfi_reader {
    bool complete;   /* of a stream: the message has ended, and what may follow does not matter */
    const char *why; /* constant: what was wrong, for WF_E_SYNTAX */
    wf_str event;    /* of a stream: the event just read, as "TYPE" or "TYPE:DELTA TYPE"; lives until the next call */
    wf_str error;    /* data of an error event; lives until reader_free */
    wf_usage usage;  /* of a stream: what the reply has said so far */
    uint64_t write_1h;
    /* private */
    wfi_heap *heap;
    size_t max;
    bool stream;
    bool started;   /* of a stream: message_start has come */
    bool told;      /* ... message_delta has */
    bool broken;    /* ... a tool call's input is no JSON object */
    wfi_buf body;   /* the JSON body; of a stream: the content array so far */
    wfi_buf finish; /* of a stream: reason_len bytes of the stop reason, then why it was refused */
    size_t reason_len;
    wfi_reader_block *blocks; /* those that are not in body yet */
    uint32_t block_count;
    uint64_t dropped; /* bytes of blocks that a rescue left out */
    wfi_sse sse;
    char event_buf[96];
} wfi_reader;

/* Bytes that have come of the reply's content, or of the one body. */
static inline uint64_t wfi_reader_bytes(const wfi_reader *r) {
    uint64_t n = r->body.len + r->dropped;
    for (const wfi_reader_block *b = r->blocks; b; b = b->next)
        n += (uint64_t)b->text.len + b->side.len;
    return n;
}

/* One block of a reply's content. Strings are still escaped. */
typedef enum wfi_block_type { WFI_BLOCK_TEXT, WFI_BLOCK_TOOL, WFI_BLOCK_OTHER } wfi_block_type;
typedef struct wfi_block_view {
    wfi_block_type type;
    wf_str raw;             /* the whole block */
    wf_str text;            /* of a text block */
    wf_str id, name, input; /* of a tool call; input is exact JSON */
} wfi_block_view;

/* What stands at the ends of a conversation item, for the glue between two. */
typedef enum wfi_joint { WFI_JOINT_EDGE, WFI_JOINT_USER, WFI_JOINT_ASSISTANT } wfi_joint;

/* What a request asks for besides its conversation. */
typedef struct wfi_ask {
    wf_str model, effort; /* effort may be empty */
    uint32_t max_tokens;
    bool stream;
    wf_str force;     /* a tool that must be called, where the model allows to say so; empty: none */
    uint32_t without; /* WFI_EXTRA_...: these are left out */
} wfi_ask;

typedef struct wfi_codec {
    /* Opens the body, up to where "system" may follow. Answers which extras it, or what follows it, has. */
    uint32_t (*head)(wf_json_out *o, const wfi_ask *ask);
    const char *(*extra)(uint32_t extra); /* its name on the wire */
    /* Constants that go before the system text, the tools and the conversation. */
    wf_str before_system, before_tools, before_items;
    wf_str marked, unmarked; /* how a system text and a list of tools end, with the mark for the cache and without it */
    wf_str (*glue)(wfi_joint from, wfi_joint to);
    void (*system)(wf_json_out *o, wf_str text);
    /* last: the last one of the tools, which carries the mark for the provider's cache. */
    void (*tool)(wf_json_out *o, const wf_tool *tool, bool last);
    /* A tool that the provider itself runs, by the name of its type (web_search_20260318); false: there is no such. */
    bool (*server_tool)(wf_json_out *o, wf_str type, bool last);
    void (*text_block)(wf_json_out *o, wf_str text);
    void (*result_block)(wf_json_out *o, wf_str escaped_id, wf_str text, bool is_error);
    void (*reader_begin)(wfi_reader *r, wfi_heap *heap, size_t max, bool stream);
    /* Reads on in p[0..n), up to the end of one event; *used says how far. WF_OK; WF_E_MEMORY; WF_E_LIMIT: over `max`; WF_E_SYNTAX: not
     * this API (why); WF_E_IO: an error event (error). */
    wf_status (*reader_feed)(wfi_reader *r, const char *p, size_t n, size_t *used);
    /* The input is over. clean: it ended where its sender meant it to end, as far as can be told. WF_OK: *out, whose slices
     * live until reader_free; WF_E_SYNTAX: it was cut off, or is not this API (why); WF_E_IO: it is an error (error). */
    wf_status (*reader_end)(wfi_reader *r, bool clean, wfi_reply *out);
    /* After WF_E_IO: whether a call of this tool had come whole before the error. *out is then a reply of that call alone. */
    bool (*reader_rescue)(wfi_reader *r, wf_str tool, wfi_reply *out);
    void (*reader_free)(wfi_reader *r); /* may be called twice */
    void (*fault)(wf_str body, wfi_fault *out);
    /* Walks a content: j was begun with wf_json_init(content). WF_END after the last block. */
    wf_status (*block)(wf_json *j, wfi_block_view *out);
    /* A reply's content as the provider takes it back: without blocks that it would refuse, and without halves of characters.
     * Answers its length, never more than content's, and writes it to out unless that is NULL. *differs: from content. */
    size_t (*resend)(wf_str content, char *out, bool *differs);
} wfi_codec;

#endif
