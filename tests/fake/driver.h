/* driver: a random but deterministic workflow in C, in the place of a script. What it asks for next is a function of its seed and
 * of what was delivered to it, and of nothing else: exactly the promise that a replay rests on. */
#ifndef WF_DRIVER_H
#define WF_DRIVER_H

#include "fake.h"

#define DRIVER_CALLS 256

typedef struct driver_call {
    wf_call call;
    uint64_t name; /* hash of the path */
    char path[64];
    bool waiting;
} driver_call;

typedef struct driver {
    uint64_t seed;
    bool tree;       /* what is asked depends on the one delivered call only, so the result does not depend on timing */
    uint32_t limit;  /* calls that it makes at most */
    bool only_sound; /* no call that a resumed run asks again although it finished */
    bool changes;    /* some effects change the world: what a crash interrupts is told so, and the value is another */
    wf *w;
    uint64_t state; /* of all deliveries so far */
    uint64_t sum;   /* likewise, whatever their order */
    driver_call calls[DRIVER_CALLS];
    uint32_t count, delivered, cancelled;
    uint32_t ids[DRIVER_CALLS]; /* of the deliveries, in order */
    uint32_t cached;
    bool stopped; /* a delivery or a start said that the run stops */
} driver;

void driver_init(driver *d, uint64_t seed, uint32_t limit, bool tree, wf *w);
/* What a script does first, and then at each delivery. Not WF_OK: a call could not be made. */
wf_status driver_begin(driver *d);
wf_status driver_on(driver *d, const wf_delivery *delivery);
/* The result as text of 16 hex digits. */
void driver_value(const driver *d, char out[17]);
/* From driver_begin to the last delivery, or until `deliveries` of them were made. WF_END: all done. */
wf_status driver_run(driver *d, fake *f, uint32_t deliveries);

#endif
