/* spec: what a model that is a program reads and says, as texts: a request of the Messages API in, the spec out; what the program
 * printed in, a reply of that API out. No I/O, no state, no memory of its own.
 *
 *   spec    {"version":1, "prompt":"...", "system":"...", "schema":{...}, "tools":["read", ...], "feedback":["...", ...],
 *            "root":"/...", "limits":{"deadline_ms":N, "output_bytes":N}}
 *           system, schema, tools and deadline_ms only if there are such; feedback in further turns: what was wrong with the
 *           answer before.
 *   answer  {"result":ANY} or {"text":"..."} or {"error":{"kind":"...", "message":"..."}}, with "usage" and "turns" or
 *           not; whatever else is printed, other JSON too, is the answer itself. */
#ifndef WFI_SPEC_H
#define WFI_SPEC_H

#include "../../api/json.h"

#ifndef WFI
#define WFI extern
#endif

typedef struct wfi_spec_place {
    const char *root;
    uint64_t deadline_ms; /* from now; UINT64_MAX: none */
    uint64_t output_bytes;
} wfi_spec_place;

WFI void wfi_spec_put(wf_json_out *o, wf_str request, const wfi_spec_place *place);

typedef enum wfi_said {
    WFI_SAID_NOTHING, /* white space alone */
    WFI_SAID_PLAIN,   /* value: as it was printed, without the white space around it */
    WFI_SAID_RESULT,  /* value: JSON */
    WFI_SAID_TEXT,    /* value: a JSON string */
    WFI_SAID_ERROR    /* value: a JSON object */
} wfi_said;

/* Slices of what was printed. */
typedef struct wfi_spoken {
    wfi_said said;
    wf_str value;
    wf_str usage;  /* JSON; empty: it does not say */
    wf_str beside; /* what it told on its stderr; set by whoever has it */
} wfi_spoken;

WFI wfi_spoken wfi_spec_answer(wf_str printed);

/* The reply to the request: a text, or a call of the tool `result` if it asks for one. An answer that should be JSON and is
 * not goes there as a string, so that the schema's check says what is wrong. An error: the model declines. What was told beside is a
 * block of type "stderr", which the log keeps and nobody reads but who looks there. */
WFI void wfi_spec_reply(wf_json_out *o, wf_str request, const wfi_spoken *answer);

#endif
