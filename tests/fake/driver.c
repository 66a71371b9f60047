/* driver: see driver.h. */
#include "driver.h"

void driver_init(driver *d, uint64_t seed, uint32_t limit, bool tree, wf *w) {
    memset(d, 0, sizeof *d);
    d->seed = seed;
    d->limit = limit < DRIVER_CALLS ? limit : DRIVER_CALLS;
    d->tree = tree;
    d->w = w;
    d->state = fake_mix(seed);
    d->only_sound = true;
}

/* One call, whose kind the number `dice` decides. */
static wf_status driver_ask(driver *d, const char *path, uint64_t dice) {
    driver_call *c = &d->calls[d->count];
    char prompt[200];
    snprintf(c->path, sizeof c->path, "%s", path);
    c->name = fake_hash(7, c->path, strlen(c->path));
    wf_str at = wf_str_of(c->path, strlen(c->path));
    wf_status s;
    if (dice % 100 < 10) {
        snprintf(prompt, sizeof prompt, "{\"of\":\"%s\"}", path);
        wf_effect_spec spec = {.path = at, .name = WF_STR("probe"), .input = wf_str_of(prompt, strlen(prompt))};
        spec.changes = d->changes && dice % 100 < 5;
        if (spec.changes) spec.name = WF_STR("change");
        s = wf_effect_start(d->w, &spec, &c->call);
    } else {
        wf_agent_spec spec = {.path = at, .label = at};
        const char *how = "";
        dice = fake_mix(dice);
        if (dice % 100 < 8)
            how = "tools=2;";
        else if (dice % 100 < 15)
            how = "tools=2;calls=llclxllcc;";
        else if (dice % 100 < 25)
            how = "tools=1;tool=change;";
        else if (dice % 100 < 42)
            how = "stop=refusal;";
        else if (dice % 100 < 46)
            how = "big=9000;";
        else if (dice % 100 < 52 && !d->only_sound)
            how = "status=400;";
        if (dice % 100 >= 25 && dice % 100 < 35) {
            spec.schema =
                WF_STR("{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},\"required\":[\"n\"]}");
            how = "tools=1;result={\"n\":1};";
        }
        snprintf(prompt, sizeof prompt, "p=%s;%s", dice % 17 == 0 ? "same" : path, dice % 17 == 0 ? "" : how);
        spec.prompt = wf_str_of(prompt, strlen(prompt));
        s = wf_agent_start(d->w, &spec, &c->call);
    }
    if (s != WF_OK) return s;
    c->waiting = true;
    d->count++;
    return WF_OK;
}

/* Up to `most` new calls below `parent`. */
static wf_status driver_branch(driver *d, const char *parent, uint64_t rng, uint32_t most) {
    uint32_t n = (uint32_t)fake_below(&rng, most + 1);
    wf_status s = WF_OK;
    for (uint32_t i = 0; i < n && s == WF_OK && d->count < d->limit; i++) {
        char path[64];
        if (d->tree)
            snprintf(path, sizeof path, "%.40s/%u", parent, i);
        else
            snprintf(path, sizeof path, "c%u", d->count);
        if (d->tree && strlen(parent) > 20)
            break; /* in a tree depth is the bound, since a count would depend on timing */
        s = driver_ask(d, path, fake_next(&rng));
    }
    return s;
}

wf_status driver_begin(driver *d) {
    wf_status s = wf_note(d->w, WF_NOTE_PHASE, WF_STR("the driver begins"));
    for (uint32_t i = 0; i < 4 && s == WF_OK; i++) {
        char path[16];
        snprintf(path, sizeof path, "r%u", i);
        s = driver_ask(d, path, fake_mix(d->seed + i));
    }
    return s;
}

/* Cancels one of the calls that wait: the end of a race. */
static void driver_cancel(driver *d, uint64_t rng) {
    uint32_t i = (uint32_t)fake_below(&rng, d->count);
    if (!d->calls[i].waiting) return;
    if (wf_call_cancel(d->w, d->calls[i].call) != WF_OK) abort();
    d->calls[i].waiting = false;
    d->cancelled++;
}

wf_status driver_on(driver *d, const wf_delivery *delivery) {
    driver_call *c = NULL;
    for (uint32_t i = 0; i < d->count; i++)
        if (d->calls[i].waiting && d->calls[i].call.bits == delivery->call.bits) c = &d->calls[i];
    if (!c) {
        fprintf(stderr, "driver: a delivery that nobody waits for\n");
        abort();
    }
    c->waiting = false;
    if (delivery->stopped) {
        d->stopped = true;
        return WF_OK;
    }
    if (d->delivered < DRIVER_CALLS) d->ids[d->delivered] = delivery->id;
    d->delivered++;
    d->cached += delivery->cached;
    uint64_t what = fake_hash(c->name + (uint64_t)delivery->kind, delivery->value.ptr, delivery->value.len);
    d->state = fake_mix(d->state ^ what);
    d->sum += what;
    uint64_t rng = d->tree ? fake_mix(what ^ d->seed) : d->state;
    if (!d->tree && rng % 9 == 0) driver_cancel(d, fake_mix(rng));
    if (rng % 5 == 0) {
        wf_status s = wf_note(d->w, WF_NOTE_LINE, WF_STR("a line"));
        if (s != WF_OK) return s;
    }
    return driver_branch(d, c->path, rng, d->tree ? 2 : 3);
}

void driver_value(const driver *d, char out[17]) {
    snprintf(out, 17, "%016llx", (unsigned long long)(d->tree ? d->sum : d->state));
}

wf_status driver_run(driver *d, fake *f, uint32_t deliveries) {
    wf_delivery delivery;
    wf_status s = driver_begin(d);
    while (s == WF_OK && d->delivered < deliveries) {
        s = fake_deliver(f, d->w, &delivery);
        if (s == WF_OK) s = driver_on(d, &delivery);
    }
    return s;
}
