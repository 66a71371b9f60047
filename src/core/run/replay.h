/* replay: from the log back to the table. What the slots, the totals and the order of deliveries were when the log's writer was
 * last alive; and which of a resumed run's calls the log answers. */
#ifndef WFI_REPLAY_H
#define WFI_REPLAY_H

#include "sched.h"

/* A run as its log tells it. */
typedef struct wfi_run {
    uint64_t header;  /* offset of the record that holds the script in force: run, or a resume with another script */
    uint64_t started; /* wall time of the run record */
    uint32_t rules;   /* its WF_RULES */
    uint64_t valid;   /* where the valid log ends */
    uint32_t notes;   /* recorded, but for errors */
    uint64_t end;     /* offset of the end record if it is the last word, else 0 */
    bool told;        /* while it is read: the script was told of a stop, and there was no resume since */
    bool unlike;      /* what the script has seen is or was asked anew, so it may go another way than before */
    wf_outcome outcome;
    wfi_meta_end census; /* of that end */
} wfi_run;

/* Reads the whole log. WF_END: it is empty. */
WFI wf_status wfi_replay_load(wfi_runtime *rt, wfi_sched *s, wfi_run *run);

/* The identity of a call: SHA-256 over length-prefixed parts. */
WFI void wfi_replay_identity(const wf_str *parts, size_t count, uint8_t out[32]);
WFI uint64_t wfi_replay_place(wf_str path);

/* How the log stands to a call. */
typedef enum wfi_recall {
    WFI_RECALL_NONE,   /* it is new here; *why says what is different from the log */
    WFI_RECALL_ANSWER, /* it has the answer */
    WFI_RECALL_OPEN,   /* it has the call, unfinished or to be asked again: go on with its conversation */
} wfi_recall;
WFI wfi_recall wfi_replay_recall(const wfi_runtime *rt, const wfi_sched *s, uint64_t place, const uint8_t content[16],
                                 uint32_t *slot, const char **why);

#endif
