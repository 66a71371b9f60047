/* table: see table.h. An array of rows with a chained hash index by place. */
#include "slots.h"

void wfi_table_carve(wfi_table *t, wfi_arena *a, uint32_t cap) {
    uint32_t buckets = 16;
    while (buckets < cap && buckets < 1u << 30)
        buckets *= 2;
    t->rows = wfi_arena_take_raw(a, cap, sizeof *t->rows); /* wfi_table_add zeroes them */
    t->buckets = wfi_arena_take(a, buckets, sizeof *t->buckets);
    t->bucket_mask = buckets - 1;
    t->cap = cap;
    t->count = 0;
    if (t->buckets)
        for (uint32_t i = 0; i < buckets; i++)
            t->buckets[i] = WFI_NO_ROW;
}

uint32_t wfi_table_add(wfi_table *t, uint64_t place, const uint8_t content[16], bool effect) {
    if (t->count == t->cap) return WFI_NO_ROW;
    uint32_t i = t->count++, *bucket = &t->buckets[place & t->bucket_mask];
    wfi_row *row = &t->rows[i];
    wfi_zero(row, sizeof *row);
    row->place = place;
    wfi_copy(row->content, content, sizeof row->content);
    row->effect = effect;
    row->generation = 1;
    row->next_place = *bucket;
    *bucket = i;
    return i;
}

static uint32_t table_same_place(const wfi_table *t, uint32_t i, uint64_t place) {
    while (i != WFI_NO_ROW && t->rows[i].place != place)
        i = t->rows[i].next_place;
    return i;
}

uint32_t wfi_table_first(const wfi_table *t, uint64_t place) {
    return table_same_place(t, t->buckets[place & t->bucket_mask], place);
}

uint32_t wfi_table_next(const wfi_table *t, uint32_t row) {
    return table_same_place(t, t->rows[row].next_place, t->rows[row].place);
}

bool wfi_row_unasked(const wfi_row *row) {
    return row->state == WFI_CALL_LOGGED && row->finished && !row->moved && !row->replaced;
}

wf_call wfi_table_handle(const wfi_table *t, uint32_t row) {
    wf_call call = {(uint64_t)t->rows[row].generation << 32 | (row + 1)};
    return call;
}

uint32_t wfi_table_find(const wfi_table *t, wf_call call) {
    uint32_t row = (uint32_t)call.bits - 1; /* 0 becomes WFI_NO_ROW, which is never below count */
    if (row >= t->count || t->rows[row].generation != call.bits >> 32) return WFI_NO_ROW;
    return row;
}
