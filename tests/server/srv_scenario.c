/* scenario: parses and matches what scenario.h specifies. */
#include "srv_scenario.h"

#include <stdlib.h>
#include <string.h>

typedef enum kind { FLAG, NUMBER, STRING } kind;

typedef struct field {
    const char *name;
    kind kind;
    size_t at;
} field;

#define ACTION(name, kind, member)                                                                                     \
    { name, kind, offsetof(answer, member) }
#define CONDITION(name, kind)                                                                                          \
    { #name, kind, offsetof(rule, name) }

static const field actions[] = {
    ACTION("text", STRING, text),
    ACTION("thinking", STRING, thinking),
    ACTION("tool", STRING, tool),
    ACTION("input", STRING, input),
    ACTION("content", STRING, content),
    ACTION("stop", STRING, stop),
    ACTION("details", STRING, details),
    ACTION("error", STRING, error),
    ACTION("message", STRING, message),
    ACTION("code", STRING, code),
    ACTION("raw", STRING, raw),
    ACTION("key", STRING, key),
    ACTION("framing", STRING, framing),
    ACTION("type", STRING, type),
    ACTION("request-id", STRING, request_id),
    ACTION("size", NUMBER, size),
    ACTION("deltas", NUMBER, deltas),
    ACTION("in", NUMBER, in),
    ACTION("out", NUMBER, out),
    ACTION("cache-read", NUMBER, cache_read),
    ACTION("cache-write", NUMBER, cache_write),
    ACTION("sse-error", NUMBER, sse_error),
    ACTION("status", NUMBER, status),
    ACTION("latency", NUMBER, latency),
    ACTION("gap", NUMBER, gap),
    ACTION("piece", NUMBER, piece),
    ACTION("piece-gap", NUMBER, piece_gap),
    ACTION("reset-at", NUMBER, reset_at),
    ACTION("close-at", NUMBER, close_at),
    ACTION("hang-at", NUMBER, hang_at),
    ACTION("big-header", NUMBER, big_header),
    ACTION("many-headers", NUMBER, many_headers),
    ACTION("interim", NUMBER, interim),
    ACTION("idle-close", NUMBER, idle_close),
    ACTION("reset-after", NUMBER, reset_after),
    ACTION("deaf", NUMBER, deaf),
    ACTION("no-stop", FLAG, no_stop),
    ACTION("bad-utf8", FLAG, bad_utf8),
    ACTION("bad-json", FLAG, bad_json),
    ACTION("html", FLAG, html),
    ACTION("gzip", FLAG, gzip),
    ACTION("check", FLAG, check),
    ACTION("hang", FLAG, hang),
    ACTION("early", FLAG, early),
    ACTION("bad-chunk", FLAG, bad_chunk),
    ACTION("extensions", FLAG, extensions),
    ACTION("trailers", FLAG, trailers),
    ACTION("close", FLAG, close),
    ACTION("reset", FLAG, reset),
    ACTION("garbage", FLAG, garbage),
    ACTION("tls11", FLAG, tls11),
    ACTION("tunnel", FLAG, tunnel),
    {NULL, FLAG, 0},
};

static const field conditions[] = {
    CONDITION(body, STRING),    CONDITION(head, STRING),  CONDITION(path, STRING),
    CONDITION(method, STRING),  CONDITION(port, STRING),  CONDITION(turn, NUMBER),
    CONDITION(request, NUMBER), CONDITION(nth, NUMBER),   CONDITION(first, NUMBER),
    CONDITION(after, NUMBER),   CONDITION(every, NUMBER), CONDITION(until, NUMBER),
    CONDITION(rate, NUMBER),    CONDITION(burst, NUMBER), {NULL, FLAG, 0},
};

static bool fail(text *why, size_t line, const char *what, slice where) {
    text_format(why, "scenario line %zu: %s: %.*s", line, what, (int)(where.n > 80 ? 80 : where.n), where.p);
    return false;
}

/* Undoes JSON's escapes in place. \u is for bytes: tests write what is above 00ff in UTF-8. */
static slice unescape(char *p, const char *end) {
    char *to = p, *start = p;
    while (p < end) {
        char c = *p++;
        if (c == '\\' && p < end) {
            c = *p++;
            const char *plain = "n\nt\tr\rb\bf\f";
            for (const char *s = plain; *s; s += 2)
                if (*s == c) {
                    c = s[1];
                    break;
                }
            if (c == 'u' && end - p >= 4) {
                char hex[5] = {p[0], p[1], p[2], p[3], 0};
                c = (char)strtoul(hex, NULL, 16);
                p += 4;
            }
        }
        *to++ = c;
    }
    return (slice){start, (size_t)(to - start)};
}

/* The value at *at. False: its quote does not close. */
static bool value(char **at, const char *end, slice *out) {
    char *p = *at, *stop = p;
    char quote = p < end && (*p == '"' || *p == '\'') ? *p : 0;
    if (quote) {
        for (stop = ++p; stop < end && *stop != quote; stop++)
            if (quote == '"' && *stop == '\\') stop++;
        if (stop >= end) return false;
        *out = quote == '"' ? unescape(p, stop) : (slice){p, (size_t)(stop - p)};
        *at = stop + 1;
        return true;
    }
    while (stop < end && *stop != ' ' && *stop != '\t')
        stop++;
    *out = (slice){p, (size_t)(stop - p)};
    *at = stop;
    return true;
}

static bool store(const field *f, void *into, slice given) {
    char *place = (char *)into + f->at;
    uint64_t number;
    switch (f->kind) {
    case FLAG:
        if (given.p) return false;
        memcpy(place, &(bool){true}, sizeof(bool));
        return true;
    case NUMBER:
        if (!given.p || !slice_number(given, &number)) return false;
        memcpy(place, &(int64_t){(int64_t)number}, sizeof(int64_t));
        return true;
    default:
        if (!given.p) return false;
        memcpy(place, &given, sizeof given);
        return true;
    }
}

/* NAME or NAME=VALUE at *at into what the fields describe. */
static bool word(char **at, const char *end, const field *fields, void *into, answer *does, size_t line, text *why) {
    char *p = *at, *start = p;
    while (p < end && *p != '=' && *p != ' ' && *p != '\t')
        p++;
    slice name = {start, (size_t)(p - start)}, given = {NULL, 0};
    if (p < end && *p == '=') {
        p++;
        if (!value(&p, end, &given)) return fail(why, line, "the quote does not close", name);
    }
    *at = p;
    if (does && slice_is(name, "header")) {
        if (!given.p || does->headers == HEADERS_MAX) return fail(why, line, "too many, or without a value", name);
        does->header[does->headers++] = given;
        return true;
    }
    while (fields->name && !slice_is(name, fields->name))
        fields++;
    if (!fields->name) return fail(why, line, "unknown word", name);
    return store(fields, into, given) || fail(why, line, "wrong value", name);
}

static char *blanks(char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

static bool words(char *p, const char *end, rule *r, bool conditional, size_t line, text *why) {
    for (p = blanks(p, end); p < end; p = blanks(p, end)) {
        if (conditional && *p == ':') {
            conditional = false;
            p++;
        } else if (conditional ? !word(&p, end, conditions, r, NULL, line, why)
                               : !word(&p, end, actions, &r->does, &r->does, line, why)) {
            return false;
        }
    }
    return !conditional || fail(why, line, "no colon between conditions and actions", SLICE(""));
}

static bool statement(scenario *s, char *p, const char *end, size_t line, text *why) {
    char *start = p = blanks(p, end);
    if (p == end || *p == '#') return true;
    while (p < end && *p != ' ' && *p != '\t')
        p++;
    slice verb = {start, (size_t)(p - start)};
    rule r = {.accept = slice_is(verb, "accept"), .turn = -1, .request = -1, .nth = -1, .first = -1, .after = -1};
    r.every = r.until = r.rate = -1;
    r.burst = 1;
    r.does = s->rest;
    if (slice_is(verb, "set")) {
        if (!words(p, end, &r, false, line, why)) return false;
        s->rest = r.does;
        return true;
    }
    if (!r.accept && !slice_is(verb, "on")) return fail(why, line, "not set, on or accept", verb);
    if (!words(p, end, &r, true, line, why)) return false;
    r.counts = r.nth >= 0 || r.first >= 0 || r.after >= 0 || r.every >= 0 || r.until >= 0 || r.rate >= 0;
    s->rules = must_alloc(s->rules, (s->count + 1) * sizeof *s->rules);
    s->rules[s->count++] = r;
    return true;
}

static answer plain_answer(void) {
    answer a = {.text = SLICE("did: $prompt"), .size = -1, .deltas = 4, .in = 100, .out = 20, .sse_error = -1};
    a.status = a.reset_at = a.close_at = a.hang_at = a.idle_close = a.reset_after = a.deaf = -1;
    return a;
}

bool scenario_parse(scenario *s, slice source, text *why) {
    scenario new = {.source = must_alloc(NULL, source.n + 1), .rest = plain_answer()};
    if (source.n) memcpy(new.source, source.p, source.n);
    char *p = new.source, *end = p + source.n;
    bool good = true;
    for (size_t line = 1; good && p < end; line++) {
        char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        good = statement(&new, p, stop, line, why);
        p = stop + 1;
    }
    scenario_free(good ? s : &new);
    if (good) *s = new;
    return good;
}

void scenario_free(scenario *s) {
    free(s->source);
    free(s->rules);
    *s = (scenario){0};
}

int64_t scenario_turn(slice body) {
    slice mark = SLICE("\"role\":\"assistant\""); /* inside a string its quotes would be escaped */
    const char *p = body.p, *end = body.p + body.n;
    int64_t n = 0;
    while (p < end && (p = memmem(p, (size_t)(end - p), mark.p, mark.n))) {
        n++;
        p += mark.n;
    }
    return n;
}

static bool begins(slice s, slice with) {
    return s.n >= with.n && (with.n == 0 || memcmp(s.p, with.p, with.n) == 0);
}

static bool equal_or_any(slice wanted, slice s) {
    return !wanted.p || (wanted.n == s.n && memcmp(wanted.p, s.p, s.n) == 0);
}

/* Takes a token; false: there is none. */
static bool take_token(rule *r, uint64_t now) {
    const uint64_t one = 60000, full = (uint64_t)r->burst * one;
    r->tokens = r->met == 1 ? full : r->tokens + (now - r->filled) * (uint64_t)r->rate;
    r->filled = now;
    if (r->tokens > full) r->tokens = full;
    if (r->tokens < one) return false;
    r->tokens -= one;
    return true;
}

static bool matches(rule *r, const event *e, int64_t *turn) {
    if (r->accept != e->accept || (!e->accept && r->does.early != e->early)) return false;
    if (!equal_or_any(r->port, e->port)) return false;
    if (!e->accept) {
        if (!equal_or_any(r->method, e->method) || !begins(e->path, r->path)) return false;
        if (r->request >= 0 && r->request != e->request) return false;
        if (r->turn >= 0 && *turn < 0) *turn = scenario_turn(e->body);
        if (r->turn >= 0 && r->turn != *turn) return false;
        if (!slice_has(e->head, r->head) || !slice_has(e->body, r->body)) return false;
    }
    if (r->met++ == 0) r->since = e->now;
    int64_t met = (int64_t)r->met;
    if (r->rate >= 0 && take_token(r, e->now)) return false;
    return (r->nth < 0 || met == r->nth) && (r->first < 0 || met <= r->first) && (r->after < 0 || met > r->after) &&
           (r->every <= 0 || met % r->every == 0) && (r->until < 0 || e->now - r->since < (uint64_t)r->until);
}

const answer *scenario_match(scenario *s, const event *e) {
    const answer *found = e->accept || e->early ? NULL : &s->rest;
    bool decided = false;
    int64_t turn = -1;
    for (size_t i = 0; i < s->count; i++) {
        rule *r = &s->rules[i];
        if ((decided && !r->counts) || !matches(r, e, &turn) || decided) continue;
        found = &r->does;
        decided = true;
    }
    return found;
}
