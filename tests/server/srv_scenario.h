/* scenario: what the test server answers, as a small file says it.
 *
 * One statement a line; a line that begins with # is a comment.
 *
 *     set ACTIONS                      the defaults, for the lines below and for requests that no line matches
 *     on CONDITIONS : ACTIONS          a request
 *     accept CONDITIONS : ACTIONS      a connection, before its first byte
 *
 * Conditions and actions are NAME or NAME=VALUE, apart by blanks. A value is a bare word, a JSON string, or '...' as it
 * is. All conditions of a line must hold; of several lines that match the first one decides. A line without conditions
 * always matches.
 *
 * Conditions
 *     body=S        the request's body contains these bytes (as on the wire: inside JSON, so escaped as JSON is)
 *     head=S        its head does
 *     path=S        its target begins so
 *     method=S      POST
 *     port=NAME     it came in there: http, https, proxy, ...
 *     turn=N        it holds N messages of the assistant: N replies came before this one
 *     request=N     it is the N-th of its connection
 *   and, counting from 1 what the conditions above let through, also when an earlier line decides:
 *     nth=N         the N-th
 *     first=N       the first N
 *     after=N       all but the first N
 *     every=N       each N-th
 *     until=MS      for so long since the first
 *     rate=N        those beyond N a minute, as a token bucket measures it that holds burst=B tokens (1)
 *
 * What is said: a reply of the model, unless status is given
 *     text=S        its text ("did: $prompt"), JSON-escaped already; $prompt is the first text of the conversation
 *     size=N        so many bytes of filler as its text instead
 *     deltas=N      in so many pieces (4)
 *     thinking=S    a thinking block before it
 *     tool=NAME input=JSON     a call of a tool instead of a text
 *     content=JSON  the whole array of blocks
 *     stop=REASON   stop_reason (end_turn, or tool_use when there is a call); details=JSON: stop_details
 *     in=N out=N cache-read=N cache-write=N     tokens (100, 20, 0, 0)
 *     no-stop       a stream without its message_stop
 *     bad-utf8, bad-json       in the first delta
 *     sse-error=N   an error event instead of event N (from 0) and of what follows
 *     status=N      an error of the API: error=TYPE (by the status), message=S, code=S (details.error_code)
 *     raw=S         the body; html: a gateway's page; gzip: compressed, though nobody asked
 *     key=S         requests without this key get a 401
 *     check         requests whose body is no JSON get a 400
 *
 * How it is said
 *     latency=MS    from the end of the request to the first byte
 *     gap=MS        between the events of a stream
 *     piece=N piece-gap=MS     N bytes at a time
 *     reset-at=N, close-at=N, hang-at=N     after N bytes of the response: RST; FIN, in TLS without farewell; silence
 *     hang          silence from the start
 *     early         when the head has come, before the body; implies close
 *     framing=chunked|length|close
 *     bad-chunk, extensions, trailers       of chunked framing: a size that is none; both others are legal
 *     header=S      one line more, "name: value"; may be repeated
 *     big-header=N, many-headers=N          one of N bytes; N of them
 *     type=S        content-type
 *     request-id=S  instead of req_NNNNNN; empty: none
 *     interim=N     a response 1xx before it
 *     close         connection: close
 *     idle-close=MS the connection is closed so long after the response, with nothing said
 *     tunnel        what CONNECT is answered with (its default)
 *
 * Of accept
 *     reset, close, hang       at once
 *     reset-after=N            after N bytes of the peer, unread
 *     garbage                  bytes that are not TLS
 *     tls11                    the hello of a server that knows TLS 1.1 at most
 *     deaf=MS                  reset, and connections are refused for so long
 */
#ifndef SCENARIO_H
#define SCENARIO_H

#include "srv_text.h"

enum { HEADERS_MAX = 8 };

/* Strings live as long as the scenario. -1: not given. */
typedef struct answer {
    slice text, thinking, tool, input, content, stop, details, error, message, code, raw, key, framing, type,
        request_id;
    slice header[HEADERS_MAX];
    uint32_t headers;
    int64_t size, deltas, in, out, cache_read, cache_write, sse_error, status;
    int64_t latency, gap, piece, piece_gap, reset_at, close_at, hang_at, big_header, many_headers, interim, idle_close;
    int64_t reset_after, deaf;
    bool no_stop, bad_utf8, bad_json, html, gzip, check, hang, early, bad_chunk, extensions, trailers, close, reset;
    bool garbage, tls11, tunnel;
} answer;

typedef struct rule {
    bool accept, counts;
    slice body, head, path, method, port;
    int64_t turn, request, nth, first, after, every, until, rate, burst;
    answer does;
    uint64_t met, since;
    uint64_t tokens, filled; /* of `rate`: in 1/60,000; when */
} rule;

typedef struct scenario {
    char *source;
    rule *rules;
    size_t count;
    answer rest; /* what no rule matches */
} scenario;

/* What a rule is asked about. Of a connection only the port is given. */
typedef struct event {
    bool accept, early; /* early: the head alone is there */
    slice body, head, path, method, port;
    int64_t request;
    uint64_t now;
} event;

/* Replaces s, and frees what it was, when the text is well formed; otherwise says why. */
bool scenario_parse(scenario *s, slice source, text *why);
void scenario_free(scenario *s);
const answer *scenario_match(scenario *s, const event *e);
int64_t scenario_turn(slice body); /* replies of the model in a request */

#endif
