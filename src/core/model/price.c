/* price: reads price lists and reckons with them.
 *
 * Contract: price.h, and the "prices" section of core.h. A list stays text and is read anew for each look-up: it has some twenty lines,
 * and a model is looked up once. Money is whole pico-USD per token (a price in USD per million tokens, times 10^6), so nothing is lost
 * by adding; sums saturate, and are rounded up to nano-USD once, at the end. An amount that is too large is thus never taken for a
 * small one. */
#include "price.h"

#include "gen_prices.h"

#define PRICE_MAX UINT64_C(1000000000000) /* pico-USD per token: a million USD per million tokens */

/* ---- one line ---- */

typedef struct price_line {
    wf_str model; /* still escaped */
    wfi_price price;
} price_line;

enum { PRICE_MODEL, PRICE_ABOVE, PRICE_SOURCE, PRICE_INPUT, PRICE_OUTPUT, PRICE_WRITE_5M, PRICE_WRITE_1H, PRICE_READ };
static const char *const price_fields[] = {"model",  "above",    "source",   "input",
                                           "output", "write_5m", "write_1h", "read"};

static size_t price_field(wf_str key) {
    size_t i = 0;
    while (i < WFI_COUNT(price_fields) && !wf_json_equals(key, wfi_str_z(price_fields[i])))
        i++;
    return i;
}

/* Takes one member's value; NULL, or what is wrong with it. */
static const char *price_take(size_t field, wf_json_token token, wf_str raw, price_line *out) {
    uint64_t *const prices[] = {&out->price.input, &out->price.output, &out->price.write_5m, &out->price.write_1h,
                                &out->price.read};
    switch (field) {
    case PRICE_MODEL:
        out->model = raw;
        return token == WF_JSON_STRING && raw.len > 0 ? NULL : "\"model\" must be a model's name";
    case PRICE_SOURCE:
        return token == WF_JSON_STRING ? NULL : "\"source\" must be a text";
    case PRICE_ABOVE:
        return token == WF_JSON_NUMBER && wfi_str_u64(raw, &out->price.above)
                   ? NULL
                   : "\"above\" must be a whole number of tokens";
    default:
        break;
    }
    uint64_t *price = prices[field - PRICE_INPUT];
    if (token != WF_JSON_NUMBER || wfi_decimal(raw, 6, price) != raw.len || *price > PRICE_MAX)
        return "a price must be a number of USD per million tokens, from 0 to a million";
    return NULL;
}

/* Reads a line that is no comment; NULL, or what is wrong with it. */
static const char *price_parse(wf_str line, price_line *out) {
    static const char *const missing[] = {"\"model\" is missing",
                                          "",
                                          "",
                                          "\"input\" is missing",
                                          "\"output\" is missing",
                                          "\"write_5m\" is missing",
                                          "\"write_1h\" is missing",
                                          "\"read\" is missing"};
    const uint32_t optional = 1u << PRICE_ABOVE | 1u << PRICE_SOURCE;
    uint32_t seen = 0;
    wf_json j;
    wfi_zero(out, sizeof *out);
    wf_json_init(&j, line);
    if (wf_json_next(&j) != WF_JSON_OBJECT) return "a line must be a JSON object";
    wf_json_token token;
    while ((token = wf_json_next(&j)) == WF_JSON_KEY) {
        size_t field = price_field(j.raw);
        if (field == WFI_COUNT(price_fields)) return "a member has a name that is not known here";
        token = wf_json_next(&j);
        const char *why = price_take(field, token, j.raw, out);
        if (why) return why;
        seen |= 1u << field;
    }
    if (token != WF_JSON_OBJECT_END || wf_json_next(&j) != WF_JSON_END) return "a line must be a JSON object";
    for (size_t i = 0; i < WFI_COUNT(missing); i++)
        if (!((seen | optional) & 1u << i)) return missing[i];
    return NULL;
}

/* ---- lists ---- */

/* Takes the next line that is no comment off the list; false: there is none. *number counts all lines. */
static bool price_next(wf_str *list, wf_str *line, uint64_t *number) {
    while (list->len > 0) {
        size_t n = wfi_str_find(*list, '\n');
        *line = wfi_str_cut(*list, 0, n);
        *list = wfi_str_cut(*list, n + 1, list->len);
        ++*number;
        size_t blank = 0;
        while (blank < line->len && (line->ptr[blank] == ' ' || line->ptr[blank] == '\t' || line->ptr[blank] == '\r'))
            blank++;
        if (blank < line->len && line->ptr[blank] != '#') return true;
    }
    return false;
}

/* Sets a tier in its place by `above`; false: there are too many. */
static bool price_insert(wfi_tariff *t, const wfi_price *price) {
    uint32_t at = 0;
    while (at < t->count && t->tier[at].above < price->above)
        at++;
    if (at == t->count || t->tier[at].above > price->above) {
        if (t->count == WFI_PRICE_TIERS) return false;
        wfi_move(&t->tier[at + 1], &t->tier[at], (t->count - at) * sizeof *t->tier);
        t->count++;
    }
    t->tier[at] = *price;
    return true;
}

/* Adds the line, if it is one of the model's. False: it is one too many. */
static bool price_add(wfi_tariff *t, wf_str line, wf_str model) {
    price_line read;
    if (price_parse(line, &read) || !wf_json_equals(read.model, model)) return true;
    return price_insert(t, &read.price);
}

/* A tariff with too many tiers, or without one for small requests, is none: rather unknown than wrong. */
static bool price_complete(wfi_tariff *t, bool fits) {
    if (!fits || (t->count > 0 && t->tier[0].above > 0)) t->count = 0;
    return t->count > 0;
}

static bool price_in_list(wf_str list, wf_str model, wfi_tariff *out) {
    bool fits = true;
    wf_str line;
    uint64_t number = 0;
    out->count = 0;
    while (fits && price_next(&list, &line, &number))
        fits = price_add(out, line, model);
    return price_complete(out, fits);
}

static bool price_built_in(wf_str model, wfi_tariff *out) {
    bool fits = true;
    out->count = 0;
    for (const char *const *line = wfi_prices; fits && *line; line++)
        fits = **line == '#' || price_add(out, wfi_str_z(*line), model);
    return price_complete(out, fits);
}

/* MODEL of MODEL-YYYYMMDD; other names as they are. */
static wf_str price_undated(wf_str model) {
    uint64_t date;
    if (model.len < 10 || model.ptr[model.len - 9] != '-') return model;
    if (!wfi_str_u64(wfi_str_cut(model, model.len - 8, 8), &date)) return model;
    return wfi_str_cut(model, 0, model.len - 9);
}

WFI void wfi_price_find(wf_str list, wf_str model, wfi_tariff *out) {
    wf_str undated = price_undated(model);
    if (price_in_list(list, model, out) || price_in_list(list, undated, out) || price_built_in(model, out)) return;
    price_built_in(undated, out);
}

bool wf_prices_known(wf_str list, wf_str model) {
    wfi_tariff t;
    wfi_price_find(list, model, &t);
    return t.count > 0;
}

/* What is wrong with a line, its neighbours taken into account; NULL: nothing. */
static const char *price_fault(wf_str list, wf_str line) {
    price_line read;
    const char *why = price_parse(line, &read);
    if (why || read.price.above == 0) return why; /* by itself it is a whole tariff; few lines are no such */
    wfi_tariff t = {0};
    bool fits = true, base = false;
    uint64_t number = 0;
    while (fits && price_next(&list, &line, &number)) {
        price_line other;
        if (price_parse(line, &other) || !wfi_str_eq(other.model, read.model)) continue;
        fits = price_insert(&t, &other.price);
        base = base || other.price.above == 0;
    }
    if (!fits) return "the model has more than four sizes of request";
    return base ? NULL : "the model has no line without \"above\"";
}

wf_status wf_prices_check(wf_str list, wf_error *error) {
    wf_str rest = list, line;
    uint64_t number = 0;
    while (price_next(&rest, &line, &number)) {
        const char *why = price_fault(list, line);
        if (!why) continue;
        if (error) *error = (wf_error){WF_E_SYNTAX, why, number};
        return WF_E_SYNTAX;
    }
    return WF_OK;
}

/* ---- sums ---- */

static uint64_t price_times(uint64_t tokens, uint64_t price) {
    return price > 0 && tokens > UINT64_MAX / price ? UINT64_MAX : tokens * price;
}

static uint64_t price_nano(uint64_t pico) {
    return pico / 1000 + (pico % 1000 > 0 ? 1 : 0);
}

/* How many tiers a prompt of so many tokens can reach; the last of them is its own. */
static uint32_t price_reached(const wfi_tariff *t, uint64_t prompt) {
    uint32_t n = t->count > 0 ? 1 : 0;
    while (n < t->count && prompt > t->tier[n].above)
        n++;
    return n;
}

WFI uint64_t wfi_price_of(const wfi_tariff *t, const wf_usage *usage, uint64_t write_1h) {
    uint64_t prompt = wfi_add_sat(usage->input, wfi_add_sat(usage->cache_read, usage->cache_write));
    uint32_t reached = price_reached(t, prompt);
    if (reached == 0) return 0;
    const wfi_price *p = &t->tier[reached - 1];
    if (write_1h > usage->cache_write) write_1h = usage->cache_write;
    uint64_t pico = price_times(usage->input, p->input);
    pico = wfi_add_sat(pico, price_times(usage->output, p->output));
    pico = wfi_add_sat(pico, price_times(usage->cache_read, p->read));
    pico = wfi_add_sat(pico, price_times(usage->cache_write - write_1h, p->write_5m));
    return price_nano(wfi_add_sat(pico, price_times(write_1h, p->write_1h)));
}

bool wf_prices_cost(wf_str list, wf_str model, const wf_usage *usage, uint64_t *nano_usd) {
    wfi_tariff t;
    wfi_price_find(list, model, &t);
    *nano_usd = wfi_price_of(&t, usage, 0);
    return t.count > 0;
}

WFI uint64_t wfi_price_worst(const wfi_tariff *t, uint64_t input, uint64_t output) {
    uint64_t worst = 0;
    uint32_t reached = price_reached(t, input);
    for (uint32_t i = 0; i < reached; i++) {
        const wfi_price *p = &t->tier[i];
        uint64_t most = i + 1 < reached ? p[1].above : input;
        uint64_t dearest = p->input;
        if (p->write_5m > dearest) dearest = p->write_5m;
        if (p->write_1h > dearest) dearest = p->write_1h;
        if (p->read > dearest) dearest = p->read;
        uint64_t pico = wfi_add_sat(price_times(most, dearest), price_times(output, p->output));
        if (pico > worst) worst = pico;
    }
    return price_nano(worst);
}
