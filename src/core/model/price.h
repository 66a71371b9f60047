/* price: what replies cost. A list of JSON lines (see wf_prices_check in core.h), the built-in one from prices.jsonl. */
#ifndef WFI_PRICE_H
#define WFI_PRICE_H

#include "../base/base.h"

/* Of one model for one size of request, in pico-USD (10^-12 USD) per token. */
typedef struct wfi_price {
    uint64_t above; /* this holds for requests with more prompt tokens; 0: any */
    uint64_t input, output, write_5m, write_1h, read;
} wfi_price;

#define WFI_PRICE_TIERS 4u

/* All that is known of a model's price: tiers by rising `above`, the first one for any request. None known: count is 0. */
typedef struct wfi_tariff {
    uint32_t count;
    wfi_price tier[WFI_PRICE_TIERS];
} wfi_tariff;

/* A list that has a line for the model is all that counts; a line for a dated id goes before one for its model. Lines that
 * wf_prices_check would refuse are passed over. */
WFI void wfi_price_find(wf_str list, wf_str model, wfi_tariff *out);
/* Nano-USD, rounded up. write_1h: of usage->cache_write, the tokens kept for an hour. 0: the price is not known. */
WFI uint64_t wfi_price_of(const wfi_tariff *t, const wf_usage *usage, uint64_t write_1h);
/* The most that a request can cost whose prompt has at most `input` tokens and whose reply `output`. */
WFI uint64_t wfi_price_worst(const wfi_tariff *t, uint64_t input, uint64_t output);

#endif
