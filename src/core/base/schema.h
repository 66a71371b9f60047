/* schema: what the checker of JSON Schemas (schema.c) and the maker of examples (schema_example.c) share: a check under
 * way, and the cursor over text that the strict reader has passed. The public face is in src/api/json.h. */
#ifndef WFI_SCHEMA_H
#define WFI_SCHEMA_H

#include "heap.h"

typedef struct wfi_schema_run {
    wf_str root; /* the schema, where $ref begins */
    wf_schema_error *error;
    size_t path_len, reason_len; /* of the texts in error */
    wf_status fail;
    uint32_t work, depth;
    uint32_t quiet;  /* > 0: inside a branch whose mismatch is no error yet */
    uint32_t passed; /* assertions that held: tells which branch came nearest */
    bool walking;    /* path is a place in the schema */
    bool names;      /* properties must have names that providers take */
    char *ignored;   /* names of keywords passed over */
    size_t ignored_cap, ignored_len;
    uint32_t ignored_count;
} wfi_schema_run;

/* What is inside a container that opens with `open`; nothing, if the value is something else. */
WFI wf_str wfi_schema_open(wf_str value, char open);
/* Next element (key NULL) or member of what wfi_schema_open gave. Keys come with their quotes. On false nothing changes
 * but *rest. */
WFI bool wfi_schema_next(wfi_schema_run *r, wf_str *rest, wf_str *key, wf_str *value);
/* A string's content, still escaped. */
WFI wf_str wfi_schema_inside(wf_str string);
/* The value of the last member whose key is `key`, which has its quotes. */
WFI bool wfi_schema_member(wfi_schema_run *r, wf_str object, wf_str key, wf_str *out);
/* What a JSON Pointer names in a value; it is spoilt. False: nothing. */
WFI bool wfi_schema_point(wfi_schema_run *r, wf_str from, char *path, size_t len, wf_str *out);
/* What a $ref, given with its quotes, names. */
WFI bool wfi_schema_resolve(wfi_schema_run *r, wf_str ref, wf_str *out);
/* Tries one branch without a word; *score tells how many assertions held. */
WFI bool wfi_schema_try(wfi_schema_run *r, wf_str node, wf_str value, uint32_t *score);
WFI bool wfi_schema_enter(wfi_schema_run *r);
WFI void wfi_schema_init(wfi_schema_run *r, wf_schema_error *error);
/* Parses a schema and checks its form; *schema loses the white space around it. */
WFI bool wfi_schema_load(wfi_schema_run *r, wf_str *schema);

/* Whether the names of all properties are such as providers take: ^[a-zA-Z0-9_.-]{1,64}$. False: *error says which
 * is not. */
WFI bool wfi_schema_names(wf_str schema, wf_schema_error *error);
/* The part of a value that an error is about. False: it cannot be told, as the path was cut. */
WFI bool wfi_schema_place(wf_str value, const wf_schema_error *error, wf_str *out);
/* As wf_schema_check, but takes the JSON out of strings where only that fits: models write {"list":"[1]"} for
 * {"list":[1]}. *value then is another text, in the heap: *buf, else NULL, is the caller's to free. On WF_E_SCHEMA
 * *value is what *error speaks of. WF_E_MEMORY. */
WFI wf_status wfi_schema_unquote(wfi_heap *heap, wf_str schema, wf_str *value, char **buf, wf_schema_error *error);

#endif
