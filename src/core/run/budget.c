/* budget: see budget.h. */
#include "budget.h"

#define BUDGET_LEAST           1024u /* tokens that a lowered reply has at least */
#define BUDGET_BYTES_PER_TOKEN 3u    /* fewer than any text in use has, but single rare characters */
#define BUDGET_AHEAD           64u   /* the ceiling is raised ahead of need by this part of the budget at most */

/* ---- the ceiling ---- */

static bool budget_covers(wfi_cost ceiling, wfi_cost all) {
    return all.tokens <= ceiling.tokens && all.nano_usd <= ceiling.nano_usd;
}

/* end: where the record ends, or NULL. */
static wf_status budget_set_ceiling(wfi_runtime *rt, wfi_cost to, uint64_t *end) {
    wfi_meta_reserve meta = {.ceiling = to, .more = rt->more};
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

/* What the next request may use up at worst: a token is at least a byte, and no cache helps. */
static wfi_cost budget_worst(const wfi_task *t, uint64_t body_len) {
    uint64_t output = wfi_task_max_tokens(t);
    wfi_cost worst = {wfi_add_sat(body_len, output), wfi_price_worst(&t->tariff, body_len, output)};
    return worst;
}

/* Fills in tokens that are not told. begun: the reply broke off, so what it said of its output is not its last word. */
static void budget_estimate(const wfi_task *t, uint64_t bytes, bool begun, wf_usage *u) {
    uint64_t output = (bytes + BUDGET_BYTES_PER_TOKEN - 1) / BUDGET_BYTES_PER_TOKEN, most = wfi_task_max_tokens(t);
    if (output > most) output = most;
    if (u->input == 0 && u->cache_read == 0 && u->cache_write == 0) {
        u->input = (t->body_len + BUDGET_BYTES_PER_TOKEN - 1) / BUDGET_BYTES_PER_TOKEN;
        u->estimated = u->input;
    }
    if (u->output > 0 && (!begun || u->output >= output)) return;
    u->output = output;
    u->estimated += output;
}

static void budget_price(const wfi_task *t, uint64_t write_1h, wf_usage *u) {
    if (!t->provider->priced) return;
    if (t->tariff.count > 0)
        u->nano_usd = wfi_price_of(&t->tariff, u, write_1h);
    else
        u->unpriced = wfi_cost_of(u).tokens;
}

void wfi_budget_complete(const wfi_task *t, uint64_t bytes, uint64_t write_1h, wf_usage *usage) {
    uint64_t came = t->turn.came;
    if (t->provider->priced) budget_estimate(t, came > 0 ? came : bytes, came > 0, usage);
    budget_price(t, write_1h, usage);
}

static uint64_t budget_less(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

/* The model has the request, and its reply will not come whole. */
static void budget_lose(wfi_runtime *rt, const wfi_task *t, wfi_fate fate) {
    wfi_cost worst = t->reserved.tokens > 0 ? t->reserved : budget_worst(t, t->body_len), held = worst;
    if (fate == WFI_FATE_BEGUN) {
        wf_usage usage = t->reader.usage;
        budget_estimate(t, wfi_reader_bytes(&t->reader), true, &usage);
        budget_price(t, t->reader.write_1h, &usage);
        held = wfi_cost_of(&usage);
    }
    wfi_cost_add(&rt->lost, held);
    wfi_cost more = {budget_less(worst.tokens, held.tokens), budget_less(worst.nano_usd, held.nano_usd)};
    wfi_cost_add(&rt->more, more);
    if (more.tokens > 0) (void)budget_set_ceiling(rt, rt->ceiling, NULL); /* a broken log says so by itself */
}

void wfi_budget_settle(wfi_runtime *rt, wfi_task *t) {
    wfi_fate fate = t->fate;
    t->fate = WFI_FATE_FREE;
    if (fate != WFI_FATE_FREE) budget_lose(rt, t, fate);
    if (t->reserved.tokens == 0) return;
    rt->reserved.tokens -= t->reserved.tokens;
    rt->reserved.nano_usd -= t->reserved.nano_usd;
    rt->settles++;
    wfi_zero(&t->reserved, sizeof t->reserved);
}

/* Whether the request as it stands is within the budgets; while others are under way, what they give back may make it so. */
static bool budget_fits(const wfi_runtime *rt, const wfi_task *t, uint64_t body_len, bool *run) {
    const wfi_limits *l = &t->slot->limits;
    wfi_cost own_limit = {l->budget_tokens, l->budget_nano_usd}, own = wfi_cost_of(&t->usage);
    wfi_cost limit = {rt->config.budget_tokens, rt->config.budget_nano_usd}, all = wfi_cost_of(&rt->spent);
    wfi_cost need = budget_worst(t, body_len);
    wfi_cost_add(&own, need);
    wfi_cost_add(&all, rt->lost);
    wfi_cost_add(&all, need);
    *run = rt->reserved.tokens <= t->reserved.tokens && !wfi_cost_within(all, limit);
    return !*run && wfi_cost_within(own, own_limit);
}

bool wfi_budget_fit(const wfi_runtime *rt, wfi_task *t, uint64_t body_len) {
    bool run;
    uint32_t high = wfi_task_max_tokens(t), low = BUDGET_LEAST;
    if (t->raised && low <= t->slot->limits.max_tokens)
        low = t->slot->limits.max_tokens + 1; /* so much was too little */
    if (low >= high || budget_fits(rt, t, body_len, &t->fitted_to_run)) return false;
    t->fitted = low;
    if (!budget_fits(rt, t, body_len, &run)) {
        t->fitted = 0;
        return false;
    }
    while (high - low > 1) { /* low fits, high does not */
        t->fitted = low + (high - low) / 2;
        if (budget_fits(rt, t, body_len, &run))
            low = t->fitted;
        else
            high = t->fitted;
    }
    t->fitted = low;
    return true;
}

const char *wfi_budget_forbids(const wfi_runtime *rt, const wfi_task *t, uint64_t body_len) {
    const wfi_limits *l = &t->slot->limits;
    bool in_usd = rt->config.budget_nano_usd > 0 || l->budget_nano_usd > 0;
    wfi_cost limit = {l->budget_tokens, l->budget_nano_usd}, all = wfi_cost_of(&t->usage);
    if (in_usd && t->provider->priced && t->tariff.count == 0)
        return "the model's price is not known, so a budget in USD cannot hold; add the price with --prices FILE, or "
               "give a budget in tokens";
    bool reached = limit.nano_usd > 0 && all.nano_usd >= limit.nano_usd;
    wfi_cost_add(&all, budget_worst(t, body_len));
    if (reached || !wfi_cost_within(all, limit))
        return "the next request could overshoot the agent's own budget; raise it";
    return NULL;
}

/* "0.0123 USD", rounded up, or "1234 tokens". */
static size_t budget_put(char *to, uint64_t n, bool usd) {
    static const char unit[2][8] = {" tokens", " USD"};
    uint64_t parts = n / 100000 + (n % 100000 > 0); /* 1/10,000 USD */
    size_t at = wfi_u64_str(usd ? parts / 10000 : n, to);
    if (usd) {
        to[at++] = '.';
        for (uint64_t digit = 1000; digit > 0; digit /= 10)
            to[at++] = (char)('0' + parts / digit % 10);
    }
    wf_str end = wfi_str_z(unit[usd]);
    wfi_copy(to + at, end.ptr, end.len);
    return at + end.len;
}

static size_t budget_say(char *to, const char *text) {
    wf_str s = wfi_str_z(text);
    wfi_copy(to, s.ptr, s.len);
    return s.len;
}

/* The run stops for what the next request would set aside at least. */
static wfi_pace budget_spent(wfi_runtime *rt, wfi_task *t, uint64_t body_len, wfi_cost limit) {
    wfi_cost all = wfi_cost_of(&rt->spent);
    uint32_t most = wfi_task_max_tokens(t);
    char *to = (char *)rt->scratch;
    wfi_cost_add(&all, rt->lost);
    t->fitted = most < BUDGET_LEAST ? most : BUDGET_LEAST;
    wfi_cost need = budget_worst(t, body_len), both = all;
    wfi_cost_add(&both, need);
    bool usd = limit.nano_usd > 0 && (limit.tokens == 0 || both.nano_usd > limit.nano_usd);
    uint64_t left = usd ? budget_less(limit.nano_usd, all.nano_usd) : budget_less(limit.tokens, all.tokens);
    size_t n = budget_say(to, "the next request could overshoot the budget: it sets aside ");
    n += budget_put(to + n, usd ? need.nano_usd : need.tokens, usd);
    n += budget_say(to + n, ", and ");
    n += budget_put(to + n, left, usd);
    n += budget_say(to + n, " are left");
    if (rt->lost.tokens > 0) n += budget_say(to + n, " beside lost replies that may have been billed");
    n += budget_say(to + n, "; " WFI_BUDGET_MEND);
    wfi_runtime_stop(rt, WF_RUN_BUDGET, wf_str_of(to, n));
    return WFI_PACE_STOPPED;
}

wfi_pace wfi_budget_reserve(wfi_runtime *rt, wfi_task *t, uint64_t body_len) {
    wfi_cost limit = {rt->config.budget_tokens, rt->config.budget_nano_usd}, all = wfi_cost_of(&rt->spent);
    wfi_cost need = budget_worst(t, body_len);
    if (limit.tokens == 0 && limit.nano_usd == 0) return WFI_PACE_MORE;
    if (t->reserved.tokens >= need.tokens) return WFI_PACE_MORE; /* a retry keeps what it has */
    wfi_budget_settle(rt, t);
    wfi_cost_add(&all, rt->lost);
    if (limit.nano_usd > 0 && all.nano_usd >= limit.nano_usd) return budget_spent(rt, t, body_len, limit);
    wfi_cost_add(&all, rt->reserved);
    wfi_cost_add(&all, need);
    if (!wfi_cost_within(all, limit))
        return rt->reserved.tokens > 0 ? WFI_PACE_BUDGET : budget_spent(rt, t, body_len, limit);
    if (budget_raise(rt, all, need, limit) != WF_OK) return WFI_PACE_BROKEN;
    wfi_cost_add(&rt->reserved, need);
    t->reserved = need;
    t->durable = rt->ceiling_end;
    return wfi_log_durable(&rt->log, t->durable) ? WFI_PACE_MORE : WFI_PACE_DURABLE;
}
