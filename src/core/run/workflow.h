/* workflow: the struct wf, all that a run owns, and what the files of its public functions share: workflow.c (memory,
 * life, the pump), run.c (the run as a whole), calls.c (agents and effects, deliveries), inspect.c (looking at a run). */
#ifndef WFI_WORKFLOW_H
#define WFI_WORKFLOW_H

#include "replay.h"

#define WFI_WORKFLOW_CAP "the run's agent cap is reached; resume with a higher --agents or fan out less"
#define WFI_LABEL_MAX    160u /* bytes kept of a label, a phase, a name */

typedef enum wfi_stage {
    WFI_STAGE_NEW,    /* initialised */
    WFI_STAGE_LOADED, /* the log was read */
    WFI_STAGE_HEADER, /* its header, or the recovered prefix, becomes durable */
    WFI_STAGE_RUNNING,
    WFI_STAGE_ENDING, /* the end becomes durable */
    WFI_STAGE_ENDED
} wfi_stage;

struct wf {
    wfi_runtime rt;
    wfi_sched sched;
    wfi_run run;
    wfi_stage stage;
    wf_memory memory;
    wf_error error;
    uint32_t notes;       /* made by this process's run of the script, but for errors */
    uint64_t *recorded;   /* heap: hashes of the log's notes that an edited script has not said again; 0: said */
    uint32_t pathless;    /* calls without a path of their own */
    uint32_t rejected;    /* see wf_run_finish */
    uint32_t turned_away; /* agents asked for when the run was stopping or at its cap: they have no slot */
    const char *capped; /* why agents are turned away though the run goes on: a number is used up; NULL: they are not */
    bool told;          /* of a stop: the log says from where on the script's doings are not replayed */
    bool replacing;     /* the run goes on with another script or args */
    wf_usage delivered; /* usage of delivered results */
    struct {            /* the tools text made last: agents of a fan-out mostly share it */
        char names[64];
        size_t names_len;
        uint64_t schema, at;
        bool known;
    } tools;
    char *header;     /* heap: payload of the header record */
    char *old_header; /* heap: of the one that another script replaced */
    wfi_meta_run header_meta;
    char header_json[WFI_LOG_META_MAX];
    char *value; /* heap: of the delivery in the caller's hands, the run's value, or what wf_call_get showed */
    char *info;  /* heap */
    wf_schema_error unfit; /* why a schema is none */
    char no_tool[160];     /* which tool there is not */
};

/* Notes the error for wf_last_error; returns its code. text lives as long as the wf. */
WFI wf_status wfi_workflow_fail(wf *w, wf_status code, const char *text);
/* The same for a status of a part below: if it is the log's, so are its words. */
WFI wf_status wfi_workflow_below(wf *w, wf_status code);

static inline uint32_t wfi_workflow_default(uint32_t value, uint32_t standard) {
    return value == 0 ? standard : value;
}

#endif
