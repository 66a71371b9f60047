/* fake: a whole platform in memory, for tests of the real core. Its clock moves only when the core sleeps; its disk remembers
 * what was synced, so that a power cut can be played; its model and tools are functions. Everything that happens follows from
 * the seed and the options, and trace_hash sums it up. */
#ifndef WF_FAKE_H
#define WF_FAKE_H

#include "chance.h"
#include "src/api/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_LANES   1000
#define FAKE_TICKETS 2016

typedef struct fake fake;

/* ---- the disk ---- */
typedef struct fake_write {
    uint64_t at;
    size_t len;
} fake_write;

typedef struct fake_disk {
    uint8_t *data; /* as programs see it */
    size_t size, cap;
    size_t synced;        /* bytes that survive a power cut */
    size_t sync_target;   /* of the sync under way */
    uint64_t sync_due;    /* when it will be done, 0: none is under way */
    fake_write *unsynced; /* writes that no finished sync covers */
    size_t unsynced_count, unsynced_cap;
    uint64_t writes, syncs;
} fake_disk;

typedef enum fake_survival {
    FAKE_ALL,     /* the process was killed, the system lives */
    FAKE_SYNCED,  /* nothing that was not synced */
    FAKE_TORN,    /* a prefix of it */
    FAKE_DROPPED, /* some writes are missing, later ones are there */
    FAKE_GARBLED, /* as FAKE_DROPPED, and bytes are wrong */
    FAKE_SURVIVALS
} fake_survival;
/* The bytes that a crash now leaves, malloced. */
uint8_t *fake_crash(const fake *f, fake_survival how, uint64_t seed, size_t *size);

/* ---- the model ---- */
typedef enum fake_drop {
    FAKE_WHOLE,
    FAKE_DROP_BEGIN,
    FAKE_DROP_SEND,
    FAKE_DROP_HEAD,
    FAKE_DROP_BODY,
    FAKE_HANG,
    FAKE_STALE,  /* nobody has seen it */
    FAKE_FINAL,  /* no try will ever help */
    FAKE_LINGER, /* the body is there, but its end never comes */
    FAKE_DRIP    /* ... and line feeds come instead, one a millisecond */
} fake_drop;

typedef struct fake_answer {
    uint32_t status; /* default 200 */
    int64_t retry_after_ms;
    int32_t should_retry;
    uint64_t delay_ms; /* until the head */
    fake_drop drop;
    char *body; /* malloced */
    size_t len;
    const char *type; /* of the content; NULL: not said, or the fake's, which streams if the provider does */
    void *of;         /* the model's own */
} fake_answer;

/* A request as the model sees it. */
typedef struct fake_request {
    const char *body;
    size_t len;
    char *prompt;   /* first text of the first message, still escaped, terminated */
    uint32_t turns; /* assistant messages in it */
    uint32_t tries; /* requests for this prompt and turn before this one, in this fake */
} fake_request;

typedef void (*fake_model)(fake *f, const fake_request *request, fake_answer *out);

void fake_body(fake_answer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A whole reply with this stop reason and content array; usage is 10 in, 5 out. */
void fake_reply(fake_answer *out, const char *stop, const char *format, ...) __attribute__((format(printf, 3, 4)));
void fake_error(fake_answer *out, uint32_t status, const char *message);

/* The default model reads directives in the prompt, "key=value;" anywhere in it:
 *   tools=N tool=NAME   asks for tool NAME (default look) in its first N turns
 *   calls=LETTERS       ... and for these, all in one turn, instead: l look, c change, x one that is not there
 *   result=JSON         then calls the result tool with it (until ';')
 *   stop=REASON         then ends for this reason instead of end_turn
 *   status=N            answers this HTTP status always
 *   big=N               pads its text to N bytes
 *   delay=MS            takes so long; else up to f->delay_max, by prompt, turn and seed
 * Its text is "re:" and a hash of the whole body's conversation. */
void fake_directed(fake *f, const fake_request *request, fake_answer *out);

typedef struct fake_tally { /* by prompt and turn */
    uint64_t key;
    uint32_t count;
} fake_tally;

typedef struct fake_exchange {
    bool open, armed;
    uint64_t due; /* when the lane can go on */
    char *body;
    size_t body_len, body_cap;
    uint64_t body_want;
    bool answered, clogged;
    bool heard; /* to its end */
    fake_answer answer;
    size_t sent; /* of the answer's body */
    uint64_t calls;
    char *id; /* of the response; freed with the exchange, so that a late look at it is seen */
} fake_exchange;

typedef struct fake_ticket {
    bool open, armed, script;
    uint64_t due;
    char *text;
    bool error, fatal;
} fake_ticket;

/* What a tool answers; the default is a function of name and input. */
typedef void (*fake_tool)(fake *f, const wf_tool_call *call, fake_ticket *out);

/* ---- all together ---- */
struct fake {
    uint64_t seed, rng;
    uint64_t now, wall;
    uint64_t tick; /* ms that pass at each look at the clock, as where code works between two */
    uint64_t trace_hash, traces;

    /* options, to be set before a run */
    uint64_t sync_ms;      /* 0: a sync is done at once */
    uint64_t delay_max;    /* of the default model */
    uint64_t tool_delay;   /* at most */
    uint32_t fault_chance; /* percent of requests that meet a fault, at most two in a row for each */
    bool again;            /* every second call for a lane answers AGAIN */
    bool small;            /* reads, writes, sends and receives take a few bytes at a time */
    bool mute;             /* `due` tells nothing: the lane is named when it is time */
    fake_model model;
    fake_tool tool;
    const char *key;  /* that requests have, as the provider knows it */
    const char *clog; /* the next request that holds this text is never taken whole */
    void (*on_request)(fake *f, const fake_request *request);
    void (*on_end)(fake *f, const fake_exchange *x); /* of an exchange that the model has answered */
    void *user;

    /* the n-th call that may fail does (1 is the next); fail_on: and all after it */
    uint64_t calls, fail_call;
    bool fail_on;

    fake_disk disk;
    fake_exchange lanes[FAKE_LANES];
    fake_ticket tickets[FAKE_TICKETS];
    uint32_t open_lanes, open_lanes_high, open_tickets, open_tickets_high;
    uint64_t requests, replies;      /* begun; received whole */
    uint64_t tool_starts, tool_left; /* agents that have left */
    char interrupted[200];           /* the last call that the core said was: name and input */
    char refusal[512];
    uint64_t tokens; /* as billed: of all replies that the model made */
    fake_tally *tallies;
    size_t tally_count, tally_cap;

    wf_platform platform;
    wf_provider provider;
    wf_tool tools[2]; /* look; change, an effect */
};

/* A fake with an empty disk, or one that holds `size` bytes of `data` (copied), all synced. */
fake *fake_new(uint64_t seed, const void *data, size_t size);
void fake_free(fake *f);
/* A config for this platform: model "fake:m", everything else default. */
wf_config fake_config(fake *f);
uint32_t fake_count(const fake *f, const char *prompt, uint32_t turn); /* requests made for it */

/* Lets the time pass that wf_step allowed, or less if something becomes ready before. False: nothing ever will. */
bool fake_sleep(fake *f, uint32_t wait_ms);
/* wf_run_open until it is not AGAIN. */
wf_status fake_open(fake *f, wf *w, const wf_run_spec *spec);
/* One delivery, or as many steps and sleeps as it takes to get one. WF_END: none will come; WF_E_LIMIT: the core hangs. */
wf_status fake_deliver(fake *f, wf *w, wf_delivery *out);
/* wf_run_finish and steps until it is durable. */
wf_status fake_finish(fake *f, wf *w, wf_outcome outcome, const char *value);

/* Campaigns: WF_CAMPAIGN=full asks for the long form. */
bool fake_full(void);

#endif
