/* exchange: finds requests in what has come in and answers them as the scenario says. Strict: a client that is
 * sloppy is told. */
#include "srv.h"

#include <string.h>

enum { HEAD_MAX = 65536 };

typedef struct head {
    request q; /* without serial and body */
    size_t size;
    uint64_t body;
    bool good;
} head;

/* The lines of the head; what a client owes: a host, one length for what it sends, no line of another form. */
static void head_lines(head *h, slice lines) {
    uint32_t hosts = 0, lengths = 0;
    const char *p = lines.p, *end = lines.p + lines.n;
    while (p < end) {
        const char *stop = memmem(p, (size_t)(end - p), "\r\n", 2), *colon = memchr(p, ':', (size_t)(stop - p));
        if (!colon || colon == p || colon[-1] == ' ') {
            h->good = false;
            return;
        }
        slice name = {p, (size_t)(colon - p)}, value = slice_trim((slice){colon + 1, (size_t)(stop - colon - 1)});
        if (slice_is_word(name, "host")) hosts++;
        if (slice_is_word(name, "transfer-encoding")) h->good = false; /* lengths are known beforehand */
        if (slice_is_word(name, "content-length")) {
            lengths++;
            if (!slice_number(value, &h->body)) h->good = false;
        }
        p = stop + 2;
    }
    if (hosts != 1 || lengths > 1 || (lengths == 0 && slice_is(h->q.method, "POST"))) h->good = false;
}

/* False: it has not all come. */
static bool head_parse(conn *c, head *h) {
    size_t from = c->scanned > 3 ? c->scanned - 3 : 0;
    const char *stop = c->in.n > from ? memmem(c->in.p + from, c->in.n - from, "\r\n\r\n", 4) : NULL;
    if (!stop) {
        c->scanned = c->in.n;
        return false;
    }
    const char *p = c->in.p, *line = memmem(p, (size_t)(stop + 2 - p), "\r\n", 2);
    *h = (head){.size = (size_t)(stop - p) + 4, .good = true};
    h->q.head = (slice){p, (size_t)(stop - p) + 2};
    const char *blank = memchr(p, ' ', (size_t)(line - p)), *last = memrchr(p, ' ', (size_t)(line - p));
    if (!blank || blank == last || !slice_is((slice){last + 1, (size_t)(line - last - 1)}, "HTTP/1.1")) {
        h->good = false;
        return true;
    }
    h->q.method = (slice){p, (size_t)(blank - p)};
    h->q.target = (slice){blank + 1, (size_t)(last - blank - 1)};
    head_lines(h, (slice){line + 2, (size_t)(stop - line)});
    return true;
}

/* ---- the record ---- */

static void record(const conn *c, const request *q) {
    text line = {0};
    if (!srv.record) return;
    text_format(&line, "{\"n\":%llu,\"connection\":%llu,\"port\":\"%s\",\"us\":%llu,\"ms\":%llu,\"method\":",
                (unsigned long long)q->serial, (unsigned long long)c->number, c->port->name,
                (unsigned long long)srv.now, (unsigned long long)srv.now / 1000);
    text_quote(&line, q->method);
    text_str(&line, ",\"target\":");
    text_quote(&line, q->target);
    text_str(&line, ",\"head\":");
    text_quote(&line, q->head);
    text_str(&line, ",\"body\":");
    text_quote(&line, q->body);
    text_str(&line, "}\n");
    fwrite(line.p, 1, line.n, srv.record);
    fflush(srv.record);
    text_free(&line);
}

/* ---- answers ---- */

static void reply_start(conn *c) {
    if (c->reply.status < 1000) srv.by_status[c->reply.status]++;
    c->state = REPLY;
    c->sent = c->pause = 0;
    conn_due(c, 0);
    conn_flush(c);
}

static void control(conn *c, const request *q) {
    text out = {0};
    uint32_t status = 200;
    if (slice_is(q->target, "/scenario") && slice_is(q->method, "POST")) {
        text why = {0};
        if (!scenario_parse(&srv.scenario, q->body, &why)) status = 400;
        text_str(&out, "{\"error\":");
        text_quote(&out, text_view(&why));
        text_str(&out, "}");
        text_free(&why);
    } else {
        stats_json(&out);
    }
    reply_plain(&c->reply, status, text_view(&out));
    text_free(&out);
    c->state = REPLY;
    c->sent = c->pause = 0;
    conn_flush(c);
}

static event event_of(const conn *c, const request *q) {
    return (event){.body = q->body,
                   .head = q->head,
                   .path = q->target,
                   .method = q->method,
                   .port = slice_of(c->port->name),
                   .request = (int64_t)c->requests,
                   .now = srv.now / 1000};
}

static void answer_bad(conn *c, request *q) {
    answer a = {.status = 400, .message = SLICE("not HTTP/1.1 as this server has it"), .close = true};
    a.reset_at = a.close_at = a.hang_at = a.idle_close = a.sse_error = -1;
    srv.bad++;
    record(c, q);
    reply_make(&c->reply, &a, q);
}

static void begin_request(conn *c, request *q) {
    q->serial = ++srv.serial;
    if (slice_is(q->method, "CONNECT")) return; /* counted are those of the model */
    srv.requests++;
    c->requests++;
    c->active = true;
    if (++srv.active > srv.active_max) srv.active_max = srv.active;
}

/* True: the head was enough to answer. */
static bool answer_early(conn *c, head *h) {
    if (c->judged) return false;
    c->judged = true;
    event e = event_of(c, &h->q);
    e.early = true;
    e.request++;
    const answer *a = h->good ? scenario_match(&srv.scenario, &e) : NULL;
    if (!a && h->good) return false;
    begin_request(c, &h->q);
    if (a)
        reply_make(&c->reply, a, &h->q);
    else
        answer_bad(c, &h->q);
    record(c, &h->q);
    c->in.n = 0;
    reply_start(c);
    return true;
}

static void answer_request(conn *c, request *q) {
    begin_request(c, q);
    record(c, q);
    event e = event_of(c, q);
    const answer *a = scenario_match(&srv.scenario, &e);
    if (slice_is(q->method, "CONNECT") && a->status < 0 && !a->hang && a->reset_at < 0 && a->close_at < 0) {
        proxy_connect(c, q);
        return;
    }
    reply_make(&c->reply, a, q);
    reply_start(c);
}

void exchange_ready(conn *c) {
    head h;
    while (!c->dead && c->state == READ && c->in.n > 0) {
        if (!head_parse(c, &h)) {
            if (c->in.n > HEAD_MAX) conn_fail(c);
            return;
        }
        bool counts = c->number > 0;
        if (counts && answer_early(c, &h)) return;
        if (!h.good) {
            conn_fail(c);
            return;
        }
        if (c->in.n - h.size < h.body) return;
        conn_due(c, 0);
        h.q.body = (slice){c->in.p + h.size, (size_t)h.body};
        if (counts)
            answer_request(c, &h.q);
        else
            control(c, &h.q);
        if (c->dead || c->state == LINGER || c->state == CONNECT || c->state == TUNNEL) return;
        text_drop(&c->in, h.size + (size_t)h.body);
        c->scanned = 0;
    }
}
