/* gather: see gather.h. The head stands still in the first half of the buffer, the tail is a ring
 * behind it. */
#include "gather.h"
#include <string.h>

void wfi_gather_add(wfi_gather *g, const char *from, size_t n) {
    size_t head = g->cap / 2, ring = g->cap - head;
    for (size_t done = 0; done < n;) {
        size_t at = g->total < head ? (size_t)g->total : head + (size_t)((g->total - head) % ring);
        size_t room = (g->total < head ? head : g->cap) - at;
        size_t take = n - done < room ? n - done : room;
        memcpy(g->buf + at, from + done, take);
        g->total += take;
        done += take;
    }
}

static void gather_reverse(char *from, char *to) {
    while (from < --to) {
        char c = *from;
        *from++ = *to;
        *to = c;
    }
}

uint64_t wfi_gather_parts(wfi_gather *g, wf_str *head, wf_str *tail) {
    size_t half = g->cap / 2, ring = g->cap - half;
    *tail = wf_str_of(NULL, 0);
    *head = wf_str_of(g->buf, (size_t)(g->total < g->cap ? g->total : g->cap));
    if (g->total <= g->cap) return 0;
    size_t start = (size_t)((g->total - half) % ring);
    char *at = g->buf + half, *end = g->buf + g->cap;
    gather_reverse(at, at + start); /* turns the ring so that its oldest byte comes first */
    gather_reverse(at + start, end);
    gather_reverse(at, end);
    head->len = half;
    for (int i = 0; i < 3 && at < end && ((uint8_t)*at & 0xc0) == 0x80; i++)
        at++;
    /* the head must not end within a character either: back to its first byte, if what is there is
     * not whole */
    for (size_t back = 1; back <= 4 && back <= half; back++) {
        uint8_t c = (uint8_t)g->buf[half - back];
        if ((c & 0xc0) == 0x80) continue;
        size_t whole = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (whole > back) head->len = half - back;
        break;
    }
    *tail = wf_str_of(at, (size_t)(end - at));
    return g->total - head->len - tail->len;
}
