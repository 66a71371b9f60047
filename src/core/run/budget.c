/* budget: see budget.h. */
#include "budget.h"

#define BUDGET_AHEAD 64u /* the ceiling is raised ahead of need by this part of the budget at most */

/* ---- the ceiling ---- */

static bool budget_covers(wfi_cost ceiling, wfi_cost all) {
    return all.tokens <= ceiling.tokens && all.nano_usd <= ceiling.nano_usd;
}

/* end: where the record ends, or NULL. */
static wf_status budget_set_ceiling(wfi_env *e, wfi_cost to, uint64_t *end) {
    wfi_meta_reserve meta = {.ceiling = to};
    wf_status s = wfi_env_record(e, WFI_REC_RESERVE, 0, &meta, wf_str_of("", 0), NULL, end);
    if (s == WF_OK) e->ceiling = to;
    return s;
}

/* All that is used up, or may be before long. */
static wfi_cost budget_used(const wfi_env *e) {
    wfi_cost used = wfi_cost_of(&e->spent);
    wfi_cost_add(&used, e->lost);
    wfi_cost_add(&used, e->reserved);
    return used;
}

wf_status wfi_budget_close(wfi_env *e) {
    wfi_cost used = budget_used(e);
    return budget_covers(used, e->ceiling) ? WF_OK : budget_set_ceiling(e, used, NULL);
}

wf_status wfi_budget_rest(wfi_env *e) {
    wfi_cost used = budget_used(e), most = used;
    wfi_cost_add(&most, e->ahead);
    return budget_covers(most, e->ceiling) ? WF_OK : budget_set_ceiling(e, used, NULL);
}

static uint64_t budget_ahead(uint64_t need, uint64_t all, uint64_t limit) {
    if (limit == 0) return need;
    uint64_t part = limit / BUDGET_AHEAD, room = limit > all ? limit - all : 0;
    if (part > need) part = need;
    return part < room ? part : room;
}

/* Sees to a ceiling above `all`, by no more than what one more request could want, nor than the limit (0: none) allows. */
static wf_status budget_raise(wfi_env *e, wfi_cost all, wfi_cost need, wfi_cost limit) {
    if (budget_covers(e->ceiling, all)) return WF_OK;
    wfi_cost to = all;
    e->ahead.tokens = budget_ahead(need.tokens, all.tokens, limit.tokens);
    e->ahead.nano_usd = budget_ahead(need.nano_usd, all.nano_usd, limit.nano_usd);
    wfi_cost_add(&to, e->ahead);
    wf_status s = budget_set_ceiling(e, to, &e->ceiling_end);
    if (s == WF_OK) wfi_log_want(&e->log);
    return s;
}

/* ---- reservations ---- */

void wfi_budget_settle(wfi_env *e, wfi_task *t) {
    if (t->reserved.tokens == 0) return;
    e->reserved.tokens -= t->reserved.tokens;
    e->reserved.nano_usd -= t->reserved.nano_usd;
    if (t->state == WFI_TASK_HEAD || t->state == WFI_TASK_BODY) wfi_cost_add(&e->lost, t->reserved);
    e->settles++;
    wfi_zero(&t->reserved, sizeof t->reserved);
}

/* What the next request may use up at worst: a token is at least a byte, and no cache helps. */
static wfi_cost budget_worst(const wfi_task *t, uint64_t body_len) {
    uint64_t output = wfi_task_max_tokens(t);
    wfi_cost worst = {wfi_add_sat(body_len, output), wfi_price_worst(&t->tariff, body_len, output)};
    return worst;
}

const char *wfi_budget_forbids(const wfi_env *e, const wfi_task *t, uint64_t body_len) {
    const wfi_limits *l = &t->row->limits;
    bool in_usd = e->config.budget_nano_usd > 0 || l->budget_nano_usd > 0;
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

static wfi_pace budget_spent(wfi_env *e) {
    wf_str plain = WF_STR("the next request could overshoot the budget; " BUDGET_MEND);
    wf_str lost =
        WF_STR("the next request could overshoot what the budget leaves beside requests that were cut off and may "
               "have been billed; " BUDGET_MEND);
    wfi_env_stop(e, WF_RUN_BUDGET, e->lost.tokens > 0 || e->lost.nano_usd > 0 ? lost : plain);
    return WFI_PACE_STOPPED;
}

wfi_pace wfi_budget_reserve(wfi_env *e, wfi_task *t, uint64_t body_len) {
    wfi_cost limit = {e->config.budget_tokens, e->config.budget_nano_usd}, all = wfi_cost_of(&e->spent);
    wfi_cost need = budget_worst(t, body_len);
    if (limit.tokens == 0 && limit.nano_usd == 0) return WFI_PACE_MORE;
    if (t->reserved.tokens >= need.tokens) return WFI_PACE_MORE; /* a retry keeps what it has */
    wfi_budget_settle(e, t);
    wfi_cost_add(&all, e->lost);
    if (limit.nano_usd > 0 && all.nano_usd >= limit.nano_usd) return budget_spent(e);
    wfi_cost_add(&all, e->reserved);
    wfi_cost_add(&all, need);
    if (!wfi_cost_within(all, limit)) return e->reserved.tokens > 0 ? WFI_PACE_BUDGET : budget_spent(e);
    if (budget_raise(e, all, need, limit) != WF_OK) return WFI_PACE_BROKEN;
    wfi_cost_add(&e->reserved, need);
    t->reserved = need;
    t->durable = e->ceiling_end;
    return wfi_log_durable(&e->log, t->durable) ? WFI_PACE_MORE : WFI_PACE_DURABLE;
}
