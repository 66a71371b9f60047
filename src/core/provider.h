/* provider: the seam between an agent and a wire format. A codec renders what an agent says into the bytes of a request and
 * reads the bytes of a reply. It does no I/O and keeps no state.
 *
 * A request's body is never built whole. It is a sequence of pieces, each a constant, a short text in memory, or a range of the
 * log: head, system, tools, then the conversation's items with glue between them. So a codec stores each text in the log as
 * the exact JSON that goes on the wire, and the next request streams it from there. */
#ifndef WFI_PROVIDER_H
#define WFI_PROVIDER_H

#include "base.h"

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
    wf_str reason;  /* the stop reason's own word */
    wfi_stop stop;
    wf_usage usage;
} wfi_reply;

/* What the body of an unsuccessful response says. */
typedef struct wfi_fault {
    wf_str message; /* still escaped; empty: it says nothing */
    bool spent;     /* a limit is used up that waiting does not cure */
} wfi_fault;

/* One block of a reply's content. Strings are still escaped. */
typedef enum wfi_block_type { WFI_BLOCK_TEXT, WFI_BLOCK_TOOL, WFI_BLOCK_OTHER } wfi_block_type;
typedef struct wfi_block_view {
    wfi_block_type type;
    wf_str text;            /* of a text block */
    wf_str id, name, input; /* of a tool call; input is exact JSON */
} wfi_block_view;

/* What stands at the ends of a conversation item, for the glue between two. */
typedef enum wfi_joint { WFI_JOINT_EDGE, WFI_JOINT_USER, WFI_JOINT_ASSISTANT } wfi_joint;

typedef struct wfi_codec {
    /* Opens the body, up to where "system" may follow. */
    void (*head)(wf_json_out *o, wf_str model, uint32_t max_tokens, wf_str effort);
    /* Constants that go before the system text, the tools and the conversation. */
    wf_str before_system, before_tools, before_items;
    wf_str (*glue)(wfi_joint from, wfi_joint to);
    void (*system)(wf_json_out *o, wf_str text);
    void (*tool)(wf_json_out *o, const wf_tool *tool);
    void (*text_block)(wf_json_out *o, wf_str text);
    void (*result_block)(wf_json_out *o, wf_str escaped_id, wf_str text, bool is_error);
    wf_status (*parse)(wf_str body, wfi_reply *out);
    void (*fault)(wf_str body, wfi_fault *out);
    /* Walks a content: j was begun with wf_json_init(content). WF_END after the last block. */
    wf_status (*block)(wf_json *j, wfi_block_view *out);
} wfi_codec;

/* Anthropic Messages API, without streaming. */
WFI const wfi_codec *wfi_messages_codec(void);

#endif
