/* link: see link.h. Each exchange has a client of its own, so that no kept connection changes how often a request is sent. */
#include "wire_link.h"

#include <stdio.h>
#include <stdlib.h>

#include "src/core/http/client.h"

typedef struct link_peer {
    const link_answer *answer;
    link_result *result;
} link_peer;

static void link_serve(fakenet *net, uint32_t conn, const fakenet_request *request) {
    link_peer *peer = net->user;
    link_result *r = peer->result;
    fakenet_conn *c = &net->conn[conn];
    r->requests++;
    text_clear(&r->url);
    text_say(&r->url, "%s://%s:%u", c->secured ? "https" : "http", c->host, c->port);
    text_clear(&r->method);
    text_add(&r->method, request->method);
    text_clear(&r->path);
    text_add(&r->path, request->target);
    text_clear(&r->head);
    text_add(&r->head, request->head);
    text_clear(&r->request_body);
    text_add(&r->request_body, request->body);
    if (peer->answer->action == LINK_HANG) return;
    if (peer->answer->action != LINK_RESET) {
        c->pieces = peer->answer->pieces;
        c->piece_count = peer->answer->piece_count;
        fakenet_reply(net, conn, peer->answer->bytes.ptr, peer->answer->bytes.len);
    }
    if (peer->answer->action == LINK_ANSWER)
        fakenet_end(net, conn);
    else
        fakenet_reset(net, conn);
}

/* The step was not done: whether it may be tried again, since there is news for the lane. */
static bool link_again(wf_http *http, wf_status status) {
    uint32_t lane;
    return status == WF_AGAIN && wf_http_ready(http, &lane, 1) > 0;
}

static wf_status link_send(wf_http *http, wf_str body) {
    wf_status s = WF_OK;
    for (size_t at = 0, sent; at < body.len; at += sent) {
        do {
            sent = 0;
            s = wf_http_send(http, 0, body.ptr + at, body.len - at, &sent);
        } while (link_again(http, s));
        if (s != WF_OK) return s;
    }
    return s;
}

static wf_status link_recv(wf_http *http, link_result *r) {
    wf_status s;
    char piece[4096];
    do {
        s = wf_http_head(http, 0, &r->response);
    } while (link_again(http, s));
    if (s != WF_OK) return s;
    r->answered = true;
    for (;;) {
        size_t got = 0;
        s = wf_http_recv(http, 0, piece, sizeof piece, &got);
        if (s == WF_OK)
            text_add(&r->body, wf_str_of(piece, got));
        else if (!link_again(http, s))
            return s;
    }
}

static wf_status link_run(wf_http *http, const wf_messages_request *request, const wf_header *headers, uint32_t count,
                          link_result *r) {
    wf_http_call call = {.method = request->method,
                         .url = request->url,
                         .path = request->path,
                         .headers = headers,
                         .header_count = count,
                         .has_body = request->has_body,
                         .body_len = request->body.len};
    wf_status s = wf_http_begin(http, 0, &call);
    if (s == WF_OK) s = link_send(http, request->body);
    if (s == WF_OK) s = link_recv(http, r);
    return s;
}

void link_exchange(const wf_messages_request *request, const wf_header *headers, uint32_t header_count, uint64_t now,
                   const link_answer *answer, link_result *out) {
    static fakenet *net; /* a large thing: one for all */
    *out = (link_result){0};
    if (!net) net = fakenet_new();
    link_peer peer = {answer, out};
    net->user = &peer;
    net->serve = link_serve;
    net->now = now;
    wf_http_config config = {.platform = &net->platform, .net = &net->ops, .net_ctx = net, .lanes = 1, .endpoints = 1};
    size_t size = wf_http_size(&config);
    void *memory = malloc(size);
    wf_http *http;
    if (!memory || wf_http_open(&http, memory, size, &config, NULL) != WF_OK) abort();
    out->status = link_run(http, request, headers, header_count, out);
    if (out->status != WF_END) text_add(&out->error, wf_http_error(http, 0));
    text_add(&out->request_id, out->response.request_id);
    text_add(&out->content_type, out->response.content_type);
    out->response.request_id = text_str(&out->request_id);
    out->response.content_type = text_str(&out->content_type);
    wf_http_end(http, 0);
    wf_http_close(http);
    free(memory);
}

void link_result_free(link_result *r) {
    text *const all[] = {&r->url,        &r->method,       &r->path, &r->head, &r->request_body,
                         &r->request_id, &r->content_type, &r->body, &r->error};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        text_free(all[i]);
}
