/* campaign: random workflows as Lua text, and how their user edits them between two lives of a run.
 *
 * A workflow is a list of statements; what statement i says follows from seed and i alone, so an edit of one changes no other.
 * Every call has a name of its own, at the head of its prompt: "a3_7.2 FLAGS| ..." is call 7 of statement 3, in the branch of
 * item 2. FLAGS tell the model what to do with it (test_campaign.c). Where a workflow is calm no prompt and no result depends on
 * the order of deliveries; else prompts hold what all branches share.
 *
 * The script says in notes what it has seen, "got NAME" or "got NAME KIND", and returns { value, notes }. */
#ifndef TEST_CAMPAIGN_H
#define TEST_CAMPAIGN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fake/chance.h"

#define CAMPAIGN_TEXT  32768u
#define CAMPAIGN_STEPS 8u
#define CAMPAIGN_EDITS 6u

typedef enum campaign_change {
    EDIT_NOTE,  /* a line of the log before the statement */
    EDIT_AGENT, /* an agent before it */
    EDIT_DROP,  /* it goes */
    EDIT_MARK,  /* its prompts and commands are others */
    EDIT_ALL,   /* its races wait for all */
    EDIT_SWAP,  /* it comes after the next one */
    EDIT_INNER, /* it stands in a fan-out of its own, so all its places are others */
    EDIT_KINDS
} campaign_change;

typedef struct campaign_edit {
    campaign_change change;
    uint32_t at;
} campaign_edit;

typedef struct campaign {
    uint64_t seed;
    bool calm;
    uint32_t steps;
    campaign_edit edits[CAMPAIGN_EDITS];
    uint32_t edit_count;
    /* while it is written */
    uint64_t rng;
    uint32_t step, calls;
    const char *mark;
    bool all;
    char text[CAMPAIGN_TEXT];
    size_t len;
} campaign;

static const char campaign_head[] =
    "meta = { name = 'c', description = 'random' }\n"
    "local n, last, said, v, sfx = 0, '', {}, 'start', ''\n"
    "local function text(x) local s = type(x) == 'table' and json.encode(x) or tostring(x) "
    "return (s:sub(1, 80):gsub('[^%w.]', '_')) end\n"
    "local function say(s) said[#said + 1] = s log('%s', s) end\n"
    "local function title(s) said[#said + 1] = '#' .. s phase(s) end\n"
    "local function got(id, x, e) n = n + 1 if x == nil and e.stop then return e.kind end\n"
    "  if x == nil then say('got ' .. id .. ' ' .. e.kind) last = e.kind else say('got ' .. id) last = text(x) end\n"
    "  return last end\n"
    "local function ran(id, x, e) n = n + 1 if x == nil and e.stop then return e.kind end\n"
    "  if x == nil and e.message:find('interrupted') then log('interrupted %s', id) x = 'ran' end\n"
    "  say('got ' .. id) return 'ran' end\n";

static uint32_t campaign_pick(campaign *c, uint32_t n) {
    return (uint32_t)fake_below(&c->rng, n);
}

__attribute__((format(printf, 2, 3))) static void campaign_put(campaign *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    c->len += (size_t)vsnprintf(c->text + c->len, CAMPAIGN_TEXT - c->len, format, args);
    va_end(args);
    if (c->len >= CAMPAIGN_TEXT) abort();
}

static void campaign_block(campaign *c, uint32_t depth, uint32_t count);

/* A name as an expression of Lua; kind: a(gent), x (command), q(uestion), f(ile), w(orkflow). */
static void campaign_name(campaign *c, char kind, char out[48]) {
    snprintf(out, 48, "'%c%u_%u%s' .. sfx", kind, c->step, ++c->calls, c->mark);
}

static const char *campaign_flags(campaign *c) {
    static const char *const rare[] = {"r", "e400", "e413", "e503", "x", "q", "jm", "jt1"};
    static const char *const often[] = {"t1", "t2", "c1", "c2", "tc", "j", "b9", "t1j"};
    if (campaign_pick(c, 6) == 0) return rare[campaign_pick(c, 8)];
    return campaign_pick(c, 2) ? "" : often[campaign_pick(c, 8)];
}

/* What a prompt holds beside its name. */
static const char *campaign_rest(campaign *c) {
    static const char *const wild[] = {"n", "last .. n % 3", "now() .. random(1000)", "budget.spent('tokens')",
                                       "v .. n"};
    if (!c->calm && campaign_pick(c, 2)) return wild[campaign_pick(c, 5)];
    return campaign_pick(c, 4) == 0 ? "random(1000)" : "v";
}

static void campaign_agent(campaign *c, const char *to, const char *flags) {
    char name[48];
    campaign_name(c, 'a', name);
    campaign_put(
        c, "do local id = %s %s = got(id, agent(id .. ' %s| ' .. %s%s)) end\n", name, to, flags, campaign_rest(c),
        strchr(flags, 'j') ? ", { schema = { type = 'object', properties = { n = { type = 'integer' } }, required "
                             "= { 'n' } } }"
                           : "");
}

static void campaign_call(campaign *c) {
    char name[48];
    switch (campaign_pick(c, 9)) {
    case 0:
    case 1:
        campaign_name(c, 'x', name);
        campaign_put(c, "do local id = %s v = ran(id, exec('%s' .. id, { timeout = 5 })) .. v end\n", name,
                     campaign_pick(c, 8) ? "" : "no ");
        break;
    case 2:
        campaign_name(c, 'q', name);
        campaign_put(c, "do local id = %s v = got(id, ask(id, { default = 'yes' })) end\n", name);
        break;
    case 3:
        campaign_put(c, "v = text(read('f%u')) .. #files('*')\n", campaign_pick(c, 3));
        break;
    case 4:
        campaign_name(c, 'w', name);
        campaign_put(c, "v = text(workflow('flows/w.lua', { id = %s, v = v }))\n", name);
        break;
    default:
        campaign_agent(c, "v", campaign_flags(c));
        break;
    }
}

static void campaign_branch(campaign *c, uint32_t depth) {
    campaign_put(c, "function() local v = v ");
    campaign_block(c, depth + 1, 1 + campaign_pick(c, 2));
    switch (c->calm ? 9 : campaign_pick(c, 8)) {
    case 0:
        campaign_put(c, "if n %% 3 == 0 then return nil end ");
        break;
    case 1:
        campaign_put(c, "if n %% 4 == 0 then error('odd ' .. n) end ");
        break;
    default:
        break;
    }
    campaign_put(c, "return v end,\n");
}

/* In a calm one the first branch wins, whatever comes: no fault meets it, and the others fail before long. */
static void campaign_race(campaign *c, uint32_t depth) {
    const char *how = c->all ? "v = text(parallel({\n" : "v = text(race({\n";
    campaign_put(c, "%s", how);
    if (c->calm) {
        char name[48];
        campaign_put(c, "function() local v = v ");
        campaign_agent(c, "v", "z");
        campaign_put(c, "return v end,\n");
        for (uint32_t losers = 1 + campaign_pick(c, 3); losers > 0; losers--) {
            campaign_name(c, 'a', name);
            campaign_put(c, "function() return agent(%s .. ' w900e400| ' .. v) end,\n", name);
        }
    } else {
        for (uint32_t i = 0, count = 2 + campaign_pick(c, 2); i < count; i++)
            campaign_branch(c, depth);
    }
    campaign_put(c, "}))\n");
}

static void campaign_fan_out(campaign *c, uint32_t depth) {
    uint32_t count = 2 + campaign_pick(c, 3);
    switch (campaign_pick(c, 4)) {
    case 0:
        campaign_race(c, depth);
        break;
    case 1:
        campaign_put(c, "v = text(pipeline({ 'a', 'b', 'c' }, function(item, _, i) local v, sfx = v, sfx .. '.' .. i ");
        campaign_block(c, depth + 1, 1);
        campaign_put(c, "return v end, function(v, _, i) local sfx = sfx .. '.' .. i ");
        campaign_block(c, depth + 1, 1);
        campaign_put(c, "return v end))\n");
        break;
    default:
        campaign_put(c, "v = text(parallel({\n");
        for (uint32_t i = 0; i < count; i++)
            campaign_branch(c, depth);
        campaign_put(c, "}))\n");
        break;
    }
}

static void campaign_block(campaign *c, uint32_t depth, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t dice = campaign_pick(c, 8);
        if (dice == 0)
            campaign_put(c, "say('at %u_%u' .. sfx)\n", c->step, ++c->calls);
        else if (dice == 1)
            campaign_put(c, "title('P%u_%u' .. sfx)\n", c->step, ++c->calls);
        else if (dice < 4 && depth < 2 && c->calls < 12)
            campaign_fan_out(c, depth);
        else
            campaign_call(c);
    }
}

static void campaign_statement(campaign *c, uint32_t i) {
    static const char *const marks[] = {"", "m", "mm", "mmm", "mmmm", "mmmmm", "mmmmmm"};
    uint32_t mark = 0;
    bool drop = false, inner = false;
    c->rng = fake_mix(c->seed ^ fake_mix(i + 1));
    c->step = i;
    c->calls = 0;
    c->all = false;
    for (uint32_t e = 0; e < c->edit_count; e++) {
        if (c->edits[e].at != i) continue;
        drop |= c->edits[e].change == EDIT_DROP;
        inner |= c->edits[e].change == EDIT_INNER;
        c->all |= c->edits[e].change == EDIT_ALL;
        mark += c->edits[e].change == EDIT_MARK;
        if (c->edits[e].change == EDIT_NOTE) campaign_put(c, "say('edit %u')\n", e);
        if (c->edits[e].change == EDIT_AGENT) campaign_put(c, "got('b%u', agent('b%u | ' .. random(1000)))\n", e, e);
    }
    if (drop) return;
    c->mark = marks[mark];
    campaign_put(c, inner ? "parallel({ function()\n" : "do\n");
    if (campaign_pick(c, 2)) campaign_put(c, "v = 'anew'\n");
    campaign_fan_out(c, 0);
    campaign_block(c, 0, campaign_pick(c, 3));
    campaign_put(c, inner ? "end })\n" : "end\n");
}

/* Writes the text as the edits have it. */
static void campaign_write(campaign *c) {
    uint32_t order[CAMPAIGN_STEPS];
    c->len = 0;
    for (uint32_t i = 0; i < c->steps; i++)
        order[i] = i;
    for (uint32_t e = 0; e < c->edit_count; e++) {
        uint32_t at = c->edits[e].at;
        if (c->edits[e].change != EDIT_SWAP || at + 1 >= c->steps) continue;
        uint32_t moved = order[at];
        order[at] = order[at + 1];
        order[at + 1] = moved;
    }
    campaign_put(c, "%s", campaign_head);
    for (uint32_t i = 0; i < c->steps; i++)
        campaign_statement(c, order[i]);
    if (c->calm) campaign_put(c, "table.sort(said)\n");
    campaign_put(c, "return { v, said }\n");
}

static void campaign_edit_once(campaign *c, uint64_t *rng) {
    if (c->edit_count == CAMPAIGN_EDITS) return;
    c->edits[c->edit_count++] =
        (campaign_edit){(campaign_change)fake_below(rng, EDIT_KINDS), (uint32_t)fake_below(rng, c->steps)};
    campaign_write(c);
}

static void campaign_init(campaign *c, uint64_t seed) {
    memset(c, 0, sizeof *c);
    c->seed = fake_mix(seed);
    c->calm = seed % 2 == 0;
    c->steps = 1 + (uint32_t)(c->seed % 3);
    campaign_write(c);
}

/* What scripts run by name. Its calls are named by their caller. */
#define CAMPAIGN_WORKFLOW                                                                                              \
    "meta = { name = 'w', description = 'inner' }\n"                                                                   \
    "local id = args.id\n"                                                                                             \
    "local function text(t, e) return t or e.kind end\n"                                                               \
    "local r = parallel({ function() return text(agent(id .. '.a t1| ' .. args.v)) end,\n"                             \
    "  function() exec(id .. '.x') return 'ran' end, function() return ask(id .. '.q', { default = 'd' }) end })\n"    \
    "return { r[1], text(agent(id .. '.b | ' .. tostring(r[1]))) }"

#endif
