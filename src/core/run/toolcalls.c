/* toolcalls: see toolcalls.h. */
#include "toolcalls.h"

void wfi_spares_carve(wfi_spares *s, wfi_arena *a, const wf_config *config) {
    s->first = config->lanes + config->effects;
    s->count = s->free_count = config->extra_tools == WF_NONE ? 0 : config->extra_tools;
    s->free = wfi_arena_take(a, s->count, sizeof *s->free);
    s->owner = wfi_arena_take(a, s->count, sizeof *s->owner);
    if (a->full || !a->base) return;
    for (uint32_t i = 0; i < s->count; i++) /* the lowest number is on top */
        s->free[i] = s->first + s->count - 1 - i;
}

bool wfi_toolcalls_room(const wfi_runtime *rt, const wfi_task *t) {
    if (t->begun == 0) return true;
    return t->ended == 0 && t->begun < WFI_TOOLS_TOGETHER && rt->spares.free_count > 0;
}

wf_status wfi_toolcalls_begin(wfi_runtime *rt, wfi_task *t, const wf_tool_call *call) {
    wfi_spares *s = &rt->spares;
    WFI_ASSERT(wfi_toolcalls_room(rt, t));
    uint32_t ticket = t->begun == 0 ? t->lane : s->free[s->free_count - 1];
    wf_status status = rt->os->tool_ops->start(rt->os->tool_ctx, ticket, call);
    if (status != WF_OK) return status;
    if (t->begun > 0) {
        s->free_count--;
        s->owner[ticket - s->first] = t->lane;
    }
    t->tickets[t->begun++] = ticket;
    t->progress = rt->now;
    return WF_OK;
}

wf_status wfi_toolcalls_result(const wfi_runtime *rt, const wfi_task *t, wf_tool_result *out) {
    WFI_ASSERT(wfi_toolcalls_runs(t));
    return rt->os->tool_ops->result(rt->os->tool_ctx, t->tickets[t->ended], out);
}

void wfi_toolcalls_end(wfi_runtime *rt, wfi_task *t) {
    uint32_t ticket = t->tickets[t->ended];
    WFI_ASSERT(wfi_toolcalls_runs(t));
    rt->os->tool_ops->end(rt->os->tool_ctx, ticket);
    if (t->ended > 0) rt->spares.free[rt->spares.free_count++] = ticket;
    if (++t->ended == t->begun) t->begun = t->ended = 0;
}

void wfi_toolcalls_leave(const wfi_runtime *rt, const wfi_task *t) {
    const wf_tool_ops *ops = rt->os->tool_ops;
    if (ops && ops->left) ops->left(rt->os->tool_ctx, t->lane);
}

uint32_t wfi_toolcalls_task(const wfi_runtime *rt, uint32_t ticket) {
    const wfi_spares *s = &rt->spares;
    return ticket < s->first || ticket - s->first >= s->count ? ticket : s->owner[ticket - s->first];
}
