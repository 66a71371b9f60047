/* budget: see budget.h. */
#include "budget.h"

#define BUDGET_AHEAD 64u /* the ceiling is raised ahead of need by this part of the budget at most */

/* ---- the ceiling ---- */

static bool budget_covers(wfi_cost ceiling, wfi_cost all) {
    return all.tokens <= ceiling.tokens && all.nano_usd <= ceiling.nano_usd;
}

/* end: where the record ends, or NULL. */
static wf_status budget_set_ceiling(wfi_runtime *rt, wfi_cost to, uint64_t *end) {
    wfi_meta_reserve meta = {.ceiling = to};
    wf_status s = wfi_runtime_record(rt, WFI_REC_RESERVE, 0, &meta, wf_str_of("", 0), NULL, end);
    if (s == WF_OK) rt->ceiling = to;
    return s;
}

/* All that is used up, or may be before long. */
static wfi_cost budget_used(const wfi_runtime *rt) {
    wfi_cost used = wfi_cost_of(&rt->spent);
    wfi_cost_add(&used, rt->lost);
    wfi_cost_add(&used, rt->reserved);
    return used;
}

wf_status wfi_budget_close(wfi_runtime *rt) {
    wfi_cost used = budget_used(rt);
    return budget_covers(used, rt->ceiling) ? WF_OK : budget_set_ceiling(rt, used, NULL);
}

wf_status wfi_budget_rest(wfi_runtime *rt) {
    wfi_cost used = budget_used(rt), most = used;
    wfi_cost_add(&most, rt->ahead);
    return budget_covers(most, rt->ceiling) ? WF_OK : budget_set_ceiling(rt, used, NULL);
}

static uint64_t budget_ahead(uint64_t need, uint64_t all, uint64_t limit) {
    if (limit == 0) return need;
    uint64_t part = limit / BUDGET_AHEAD, room = limit > all ? limit - all : 0;
    if (part > need) part = need;
    return part < room ? part : room;
}

/* Sees to a ceiling above `all`, by no more than what one more request could want, nor than the limit (0: none) allows. */
static wf_status budget_raise(wfi_runtime *rt, wfi_cost all, wfi_cost need, wfi_cost limit) {
    if (budget_covers(rt->ceiling, all)) return WF_OK;
    wfi_cost to = all;
    rt->ahead.tokens = budget_ahead(need.tokens, all.tokens, limit.tokens);
    rt->ahead.nano_usd = budget_ahead(need.nano_usd, all.nano_usd, limit.nano_usd);
    wfi_cost_add(&to, rt->ahead);
    wf_status s = budget_set_ceiling(rt, to, &rt->ceiling_end);
    if (s == WF_OK) wfi_log_want(&rt->log);
    return s;
}

/* ---- reservations ---- */

void wfi_budget_settle(wfi_runtime *rt, wfi_task *t) {
    wfi_fate fate = t->fate;
    t->fate = WFI_FATE_FREE;
    if (t->reserved.tokens == 0) return;
    rt->reserved.tokens -= t->reserved.tokens;
    rt->reserved.nano_usd -= t->reserved.nano_usd;
    if (fate != WFI_FATE_FREE) wfi_cost_add(&rt->lost, t->reserved);
    rt->settles++;
    wfi_zero(&t->reserved, sizeof t->reserved);
}

/* What the next request may use up at worst: a token is at least a byte, and no cache helps. */
static wfi_cost budget_worst(const wfi_task *t, uint64_t body_len) {
    uint64_t output = wfi_task_max_tokens(t);
    wfi_cost worst = {wfi_add_sat(body_len, output), wfi_price_worst(&t->tariff, body_len, output)};
    return worst;
}

const char *wfi_budget_forbids(const wfi_runtime *rt, const wfi_task *t, uint64_t body_len) {
    const wfi_limits *l = &t->slot->limits;
    bool in_usd = rt->config.budget_nano_usd > 0 || l->budget_nano_usd > 0;
    wfi_cost limit = {l->budget_tokens, l->budget_nano_usd}, all = wfi_cost_of(&t->usage);
    if (in_usd && t->provider->priced && t->tariff.count == 0)
        return "the model's price is not known, so a budget in USD cannot hold; add the price with --prices FILE, or "
               "give "
               "a budget in tokens";
    bool reached = limit.nano_usd > 0 && all.nano_usd >= limit.nano_usd;
    wfi_cost_add(&all, budget_worst(t, body_len));
    if (reached || !wfi_cost_within(all, limit))
        return "the next request could overshoot the agent's own budget; raise it";
    return NULL;
}

#define BUDGET_MEND "resume with a higher --budget-usd or --budget-tokens"

static wfi_pace budget_spent(wfi_runtime *rt) {
    wf_str plain = WF_STR("the next request could overshoot the budget; " BUDGET_MEND);
    wf_str lost =
        WF_STR("the next request could overshoot what the budget leaves beside requests that were cut off and may "
               "have been billed; " BUDGET_MEND);
    wfi_runtime_stop(rt, WF_RUN_BUDGET, rt->lost.tokens > 0 || rt->lost.nano_usd > 0 ? lost : plain);
    return WFI_PACE_STOPPED;
}

wfi_pace wfi_budget_reserve(wfi_runtime *rt, wfi_task *t, uint64_t body_len) {
    wfi_cost limit = {rt->config.budget_tokens, rt->config.budget_nano_usd}, all = wfi_cost_of(&rt->spent);
    wfi_cost need = budget_worst(t, body_len);
    if (limit.tokens == 0 && limit.nano_usd == 0) return WFI_PACE_MORE;
    if (t->reserved.tokens >= need.tokens) return WFI_PACE_MORE; /* a retry keeps what it has */
    wfi_budget_settle(rt, t);
    wfi_cost_add(&all, rt->lost);
    if (limit.nano_usd > 0 && all.nano_usd >= limit.nano_usd) return budget_spent(rt);
    wfi_cost_add(&all, rt->reserved);
    wfi_cost_add(&all, need);
    if (!wfi_cost_within(all, limit)) return rt->reserved.tokens > 0 ? WFI_PACE_BUDGET : budget_spent(rt);
    if (budget_raise(rt, all, need, limit) != WF_OK) return WFI_PACE_BROKEN;
    wfi_cost_add(&rt->reserved, need);
    t->reserved = need;
    t->durable = rt->ceiling_end;
    return wfi_log_durable(&rt->log, t->durable) ? WFI_PACE_MORE : WFI_PACE_DURABLE;
}
