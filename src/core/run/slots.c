/* slots: see slots.h. An array of slots with a chained hash index by place. */
#include "slots.h"

void wfi_slots_carve(wfi_slots *t, wfi_arena *a, uint32_t cap) {
    uint32_t buckets = 16;
    while (buckets < cap && buckets < 1u << 30)
        buckets *= 2;
    t->slots = wfi_arena_take_raw(a, cap, sizeof *t->slots); /* wfi_slots_add zeroes them */
    t->buckets = wfi_arena_take(a, buckets, sizeof *t->buckets);
    t->contents = wfi_arena_take(a, buckets, sizeof *t->contents);
    t->bucket_mask = buckets - 1;
    t->cap = cap;
    t->count = 0;
    if (t->buckets && t->contents)
        for (uint32_t i = 0; i < buckets; i++)
            t->buckets[i] = t->contents[i] = WFI_NO_SLOT;
}

uint32_t wfi_slots_add(wfi_slots *t, uint64_t place, const uint8_t content[16], bool effect) {
    if (t->count == t->cap) return WFI_NO_SLOT;
    uint32_t i = t->count++, *bucket = &t->buckets[place & t->bucket_mask];
    wfi_slot *slot = &t->slots[i];
    wfi_zero(slot, sizeof *slot);
    slot->place = place;
    wfi_copy(slot->content, content, sizeof slot->content);
    slot->effect = effect;
    slot->generation = 1;
    slot->next_place = *bucket;
    *bucket = i;
    bucket = &t->contents[wfi_get32(content) & t->bucket_mask];
    slot->next_content = *bucket;
    *bucket = i;
    return i;
}

static uint32_t slots_same_content(const wfi_slots *t, uint32_t i, const uint8_t content[16]) {
    while (i != WFI_NO_SLOT && wfi_compare(t->slots[i].content, content, sizeof t->slots[i].content) != 0)
        i = t->slots[i].next_content;
    return i;
}

uint32_t wfi_slots_first_like(const wfi_slots *t, const wfi_slot *slot) {
    return slots_same_content(t, t->contents[wfi_get32(slot->content) & t->bucket_mask], slot->content);
}

uint32_t wfi_slots_next_like(const wfi_slots *t, uint32_t slot) {
    return slots_same_content(t, t->slots[slot].next_content, t->slots[slot].content);
}

static uint32_t slots_same_place(const wfi_slots *t, uint32_t i, uint64_t place) {
    while (i != WFI_NO_SLOT && t->slots[i].place != place)
        i = t->slots[i].next_place;
    return i;
}

uint32_t wfi_slots_first(const wfi_slots *t, uint64_t place) {
    return slots_same_place(t, t->buckets[place & t->bucket_mask], place);
}

uint32_t wfi_slots_next(const wfi_slots *t, uint32_t slot) {
    return slots_same_place(t, t->slots[slot].next_place, t->slots[slot].place);
}

bool wfi_slot_unasked(const wfi_slot *slot) {
    return slot->state == WFI_CALL_LOGGED && slot->finished && !slot->moved && !slot->replaced;
}

bool wfi_slot_goes_on(const wfi_slot *slot) {
    if (!slot->finished) return true;
    switch ((wf_kind)slot->kind) {
    case WF_KIND_DEADLINE:
    case WF_KIND_STALL:
    case WF_KIND_PROVIDER:
    case WF_KIND_QUOTA:
    case WF_KIND_AUTH:
    case WF_KIND_BUDGET:
    case WF_KIND_MEMORY:
    case WF_KIND_CANCELLED:
        return true;
    default:
        return false;
    }
}

void wfi_slots_move(wfi_slot *from, wfi_slot *to) {
    from->moved = true;
    to->finished = !wfi_slot_goes_on(from);
    to->delivered = false;
    to->kind = from->kind;
    to->blind = from->blind;
    to->done_at = from->done_at;
    to->last_item = from->last_item;
    to->intent_at = from->intent_at;
    to->aside = from->aside;
    to->turns = from->turns;
    to->started = from->started;
}

wf_call wfi_slots_handle(const wfi_slots *t, uint32_t slot) {
    wf_call call = {(uint64_t)t->slots[slot].generation << 32 | (slot + 1)};
    return call;
}

uint32_t wfi_slots_find(const wfi_slots *t, wf_call call) {
    uint32_t slot = (uint32_t)call.bits - 1; /* 0 becomes WFI_NO_SLOT, which is never below count */
    if (slot >= t->count || t->slots[slot].generation != call.bits >> 32) return WFI_NO_SLOT;
    return slot;
}
