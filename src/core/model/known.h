/* known: what is known of models by their names, where the wire wants different things of them. Unknown models get the rules of
 * the newest ones, leaving out what might be refused. */
#ifndef WFI_KNOWN_H
#define WFI_KNOWN_H

#include "../base/base.h"

typedef enum wfi_thinking {
    WFI_THINKING_UNKNOWN,  /* say nothing of it */
    WFI_THINKING_MANUAL,   /* {"type":"enabled","budget_tokens":N}; knows no effort */
    WFI_THINKING_ADAPTIVE, /* {"type":"adaptive"} and effort */
    WFI_THINKING_ALWAYS    /* the same, never off; tool_choice may not force a tool */
} wfi_thinking;

typedef struct wfi_model {
    wfi_thinking thinking;
    uint32_t max_output; /* tokens of one reply; 0: not known */
} wfi_model;

/* By its name, a date at the end or a vendor's prefix (as in "anthropic.claude-...") left aside. */
WFI wfi_model wfi_model_find(wf_str name);

#endif
