/* rig: a fake platform and a wf over it, as most tests want them. */
#ifndef WF_RIG_H
#define WF_RIG_H

#include "fake.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct rig {
    fake *f;
    wf_config config; /* to be changed before rig_start */
    wf *w;
    void *block;
    size_t size; /* of the block; default 768 KiB */
} rig;

/* A fake with these bytes as its log (none: empty), and a small config. */
void rig_init(rig *r, uint64_t seed, const void *log, size_t size);
/* wf_init and wf_run_open, which must succeed. */
void rig_start(rig *r);
/* wf_init only. */
void rig_block(rig *r);
/* Closes, checks that nothing is left open on the platform and that the heap is whole, frees. */
void rig_end(rig *r);
/* Kills it, and starts another on what the disk has. Config and hooks are kept. */
void rig_crash(rig *r, fake_survival how);
/* Asks for an agent with this prompt; must succeed. */
wf_call rig_ask(rig *r, const char *prompt);
/* The next delivery, which must come. */
wf_delivery rig_take(rig *r);
/* Asks and takes. */
wf_delivery rig_do(rig *r, const char *prompt);
/* Whether a text holds another. */
bool rig_has(wf_str text, const char *what);
wf_str rig_str(const char *z);

#define assert_text(str, z)                                                                                            \
    do {                                                                                                               \
        wf_str rig_s = (str);                                                                                          \
        char rig_buf[1024];                                                                                            \
        snprintf(rig_buf, sizeof rig_buf, "%.*s", (int)rig_s.len, rig_s.ptr ? rig_s.ptr : "");                         \
        assert_string_equal(rig_buf, z);                                                                               \
    } while (0)

#endif
