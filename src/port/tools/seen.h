/* seen: what agents know of the files that they have read and written, so that none replaces what it never saw. For each agent and
 * file it holds a hash of the content that the agent saw last; for each file, what an agent wrote there last, and which.
 *
 * Invariants:
 *   1. Content decides, not time: a file that was only touched is the same.
 *   2. It is bounded, and lives as long as the process: what was seen longest ago is forgotten first. `forgot` says that something
 *      was, or, in a run that was resumed, may have been. */
#ifndef WFI_SEEN_H
#define WFI_SEEN_H

#include "../os/sys.h"

#define WFI_SEEN_WAYS 8u /* entries of a set */
#define WFI_SEEN_WHOLE                                                                                                 \
    ((uint64_t)16 << 20) /* bytes of a file up to which its content is looked at; of larger ones, their dates */

typedef struct wfi_seen_entry {
    uint64_t file, content; /* hashes; file 0: the entry is free */
    uint32_t agent;         /* who knows it; 0: what was written last */
    uint32_t writer;        /* ... and by whom */
} wfi_seen_entry;

typedef struct wfi_seen {
    wfi_seen_entry *entry;
    uint32_t sets; /* of WFI_SEEN_WAYS each, the youngest entry first */
    bool forgot;
} wfi_seen;

/* A file, by the hash of its path, and what is in it. file 0: nothing is known. */
typedef struct wfi_seen_mark {
    uint64_t file, content;
} wfi_seen_mark;

typedef enum wfi_seen_state {
    WFI_SEEN_FREE,    /* replacing it loses nothing that the agent should have looked at */
    WFI_SEEN_CHANGED, /* it is not as the agent saw it last */
    WFI_SEEN_OTHERS,  /* another agent wrote it, and this one never saw it */
    WFI_SEEN_FORGOT   /* nobody knows what the agent has seen */
} wfi_seen_state;

WFI size_t wfi_seen_size(uint32_t sets); /* 8-aligned */
/* The table is zeroed. */
WFI void wfi_seen_init(wfi_seen *s, void *table, uint32_t sets, bool forgot);

WFI uint64_t wfi_seen_path(const char *root, const char *path);
WFI uint64_t wfi_seen_text(wf_str text);
/* What is in an open file, by offsets: where it is read from does not change. False: it cannot be read. */
WFI bool wfi_seen_content(int fd, uint64_t *content);

/* The agent has seen this. */
WFI void wfi_seen_read(wfi_seen *s, uint32_t agent, wfi_seen_mark mark);
/* The agent has made this of what was `before`; whole: it knows all of the new content, and not only a place that it changed. */
WFI void wfi_seen_wrote(wfi_seen *s, uint32_t agent, uint64_t before, wfi_seen_mark mark, bool whole);
/* What it would mean if the agent replaced this. */
WFI wfi_seen_state wfi_seen_judge(wfi_seen *s, uint32_t agent, wfi_seen_mark mark);

#endif
