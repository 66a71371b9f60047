/* timers: connections in a heap by the time when they are due. */
#include "srv.h"

static void timer_put(size_t at, conn *c) {
    srv.timers[at] = c;
    c->timer = at;
}

static void timer_up(size_t at, conn *c) {
    for (; at > 0 && srv.timers[(at - 1) / 2]->due > c->due; at = (at - 1) / 2)
        timer_put(at, srv.timers[(at - 1) / 2]);
    timer_put(at, c);
}

static void timer_down(size_t at, conn *c) {
    for (size_t kid; (kid = at * 2 + 1) < srv.timer_count; at = kid) {
        if (kid + 1 < srv.timer_count && srv.timers[kid + 1]->due < srv.timers[kid]->due) kid++;
        if (srv.timers[kid]->due >= c->due) break;
        timer_put(at, srv.timers[kid]);
    }
    timer_put(at, c);
}

static void timer_remove(conn *c) {
    size_t at = c->timer;
    conn *last = srv.timers[--srv.timer_count];
    if (last == c) return;
    if (at > 0 && srv.timers[(at - 1) / 2]->due > last->due)
        timer_up(at, last);
    else
        timer_down(at, last);
}

void conn_due(conn *c, uint64_t at) {
    if (c->due) timer_remove(c);
    c->due = at;
    if (!at) return;
    if (srv.timer_count == srv.timer_cap)
        srv.timers = must_alloc(srv.timers, (srv.timer_cap = srv.timer_cap * 2 + 64) * sizeof *srv.timers);
    timer_up(srv.timer_count++, c);
}
