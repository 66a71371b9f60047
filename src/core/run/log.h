/* log: the append-only checkpoint file. Its bytes and invariants are specified at the head of log.c. */
#ifndef WFI_LOG_H
#define WFI_LOG_H

#include "../base/base.h"

#define WFI_LOG_FIRST      32u   /* offset of the first record */
#define WFI_LOG_HEAD       24u   /* bytes before a record's metadata */
#define WFI_LOG_META_MAX   3072u /* of a record's metadata, so that it always fits the smallest buffer */
#define WFI_LOG_BUFFER_MIN 4096u

typedef enum wfi_rec {
    WFI_REC_RUN = 1, /* a new run: script, args, settings */
    WFI_REC_RESUME,  /* a process goes on with the log; script and args if they differ */
    WFI_REC_TEXT,    /* a text that others refer to by offset: prompt, system, tools, schema */
    WFI_REC_CALL,    /* a call was asked for */
    WFI_REC_TURN,    /* a model's reply: content as it goes back on the wire */
    WFI_REC_BLOCK,   /* a content block of ours: a tool's result, a nudge */
    WFI_REC_INTENT,  /* an effect is about to start; or, nameless, will not after all */
    WFI_REC_RESERVE, /* budget is set aside for a request about to be sent */
    WFI_REC_DONE,    /* a call finished */
    WFI_REC_MOVED,   /* a finished call now answers for another place of an edited script */
    WFI_REC_DELIVER, /* a result was handed to the script */
    WFI_REC_NOTE,    /* a phase or a line of the script */
    WFI_REC_END,     /* the run ended */
    WFI_REC_STOP,    /* the script was told that the run stops: a resume discards what it did after */
    WFI_REC_COUNT
} wfi_rec;

#define WFI_LOG_BLOCKS 4u /* kept of the file: what agents read of it is small, near other such, and read again */

typedef struct wfi_log_block {
    uint64_t at;
    size_t len; /* 0: nothing is kept here */
} wfi_log_block;

typedef struct wfi_log {
    const wf_log_ops *ops;
    void *ctx;
    wf_sync mode;
    uint8_t
        *buf; /* the log's last bytes, written out or not, from offset `base`; while scanning, a window of the file */
    size_t cap, fill, window_len;
    uint64_t base;
    uint8_t *kept;     /* WFI_LOG_BLOCKS of block_size bytes, a power of two; */
    size_t block_size; /* ... 0: nothing is kept */
    wfi_log_block blocks[WFI_LOG_BLOCKS];
    uint64_t window;    /* offset of the window */
    uint64_t flushed;   /* bytes handed to the platform */
    uint64_t synced;    /* bytes known durable */
    uint64_t wanted;    /* somebody waits until this many are */
    uint64_t target;    /* what the sync under way will have made durable */
    uint64_t file_size; /* found by load */
    uint64_t syncs;
    uint32_t salt;
    bool syncing;
    wf_error error; /* sticky: the log has failed and takes no more */
} wfi_log;

/* A record found by a scan. */
typedef struct wfi_log_rec {
    wfi_rec type;
    uint32_t call;
    uint64_t offset, next; /* of this record and of the one after it */
    uint64_t synced;
    wf_str meta;      /* in the window, until the next call on the log */
    uint64_t payload; /* offset of the payload */
    uint32_t payload_len;
} wfi_log_rec;

WFI const char *wfi_rec_name(wfi_rec type);

WFI void wfi_log_init(wfi_log *l, const wf_log_ops *ops, void *ctx, void *buf, size_t cap, wf_sync mode);
/* Gives it room to keep parts of the file that were read. */
WFI void wfi_log_keep(wfi_log *l, void *room, size_t size);

/* Begins a new log, in place of what wfi_log_load took for an empty one. */
WFI wf_status wfi_log_create(wfi_log *l, uint32_t salt);
/* Reads the file's head. WF_END: the file is empty, or ends inside the head. */
WFI wf_status wfi_log_load(wfi_log *l);
/* The record at `at` (first: WFI_LOG_FIRST). WF_END: the valid log ends at `at`; what follows is a torn tail.
 * WF_E_CORRUPT: what follows is damage to bytes that were durable; error.offset says where. */
WFI wf_status wfi_log_scan(wfi_log *l, uint64_t at, wfi_log_rec *out);
/* While scanning: whether the file ends before a record that begins at `at` does. */
WFI bool wfi_log_is_cut_off(wfi_log *l, uint64_t at);
/* Ends scanning: the log goes on at `end`; cuts what follows and makes the rest durable (see wfi_log_pump). */
WFI wf_status wfi_log_resume(wfi_log *l, uint64_t end);

/* Appends a record of metadata (a JSON object or empty) and a payload of up to `parts` pieces. *offset (may be NULL):
 * where it begins. Durable when wfi_log_durable says so of *end (may be NULL). */
WFI wf_status wfi_log_append(wfi_log *l, wfi_rec type, uint32_t call, wf_str meta, const wf_str *parts, size_t count,
                             uint64_t *offset, uint64_t *end);
/* Asks for everything appended so far to become durable. */
WFI void wfi_log_want(wfi_log *l);
/* Writes and syncs as far as asked for. WF_OK: all that was wanted is durable; WF_AGAIN: under way. */
WFI wf_status wfi_log_pump(wfi_log *l);
/* Hands all that was appended to the platform: a process that is killed afterwards loses nothing of it. */
WFI wf_status wfi_log_flush(wfi_log *l);
WFI bool wfi_log_durable(const wfi_log *l, uint64_t end);
WFI uint64_t wfi_log_end(const wfi_log *l);

/* Reads exactly n bytes at `at`, written out already or not. */
WFI wf_status wfi_log_read(wfi_log *l, uint64_t at, void *to, size_t n);
/* Head of the record at an offset that a valid record has given; meta is left empty (use meta_len). */
WFI wf_status wfi_log_peek(wfi_log *l, uint64_t at, wfi_log_rec *out, uint32_t *meta_len);

#endif
