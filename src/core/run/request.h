/* request: what goes out to a model. The texts that requests share (system, tools) are rendered into the log once; a body is a
 * sequence of pieces, each a constant, the head in memory, or a range of the log, and is never in memory as a whole. */
#ifndef WFI_REQUEST_H
#define WFI_REQUEST_H

#include "task.h"

/* Renders one text through a codec's function and stores it in the log (as wfi_runtime_text). */
WFI wf_status wfi_request_text(wfi_runtime *rt, void (*render)(wf_json_out *, wf_str), wf_str text, uint64_t *at);
/* The tools of an agent as the wire wants them, stored likewise; *at 0: none. names: comma-separated, empty for all of the
 * config; schema: of the answer, empty for text. WF_E_NOT_FOUND: *unknown is no tool of the config. */
WFI wf_status wfi_request_tools(wfi_runtime *rt, const wfi_codec *codec, wf_str names, wf_str schema, uint64_t *at,
                                wf_str *unknown);
/* Whether the tools text at `tools` (0: none) offers a tool of this name. */
WFI wf_status wfi_request_offers(wfi_runtime *rt, const wfi_log_rec *tools, wf_str name, bool *out);
/* Whether a schema's answers are objects, which a result tool can take as its input without a wrapper. */
WFI bool wfi_schema_is_object(wf_str schema);

/* Renders the head for the task's next request and answers the body's length; 0: the head does not fit. */
WFI uint64_t wfi_request_begin(const wfi_runtime *rt, wfi_task *t);
/* The next bytes of the body, in the scratch buffer; empty when all is sent. */
WFI wf_status wfi_request_next(wfi_runtime *rt, const wfi_task *t, wf_str *out);
/* Notes that n of them are sent. */
WFI void wfi_request_sent(wfi_task *t, size_t n);

#endif
