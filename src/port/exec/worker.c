/* worker: see worker.h. A child reports what became of its program: a worker_report, then what stdout and stderr brought. */
#include "worker.h"
#include "../jail/program.h"
#include "spec.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WORKER_REQUEST ((size_t)64 << 20) /* bytes of a request, */
#define WORKER_OUT     ((size_t)1 << 20)  /* ... of an answer */
#define WORKER_ERR     ((size_t)2048)     /* ... kept of stderr: its head and its tail */
#define WORKER_TEXT    4096u              /* ... of an error's message */
#define WORKER_LATE_MS 12000u             /* for a child to end its program after the deadline */
#define WORKER_TRY     75                 /* EX_TEMPFAIL: the exit code that asks for another try */

/* As HTTP would have it: the core knows what to make of these. */
#define WORKER_OK        200u
#define WORKER_BAD       400u
#define WORKER_AUTH      401u
#define WORKER_LARGE     413u
#define WORKER_QUOTA     429u
#define WORKER_TEMPORARY 503u

#define WORKER_NO_MEMORY "the system has no memory to spare for this model; use fewer --lanes"
#define WORKER_NO_RIGHT                                                                                                \
    "this model is a program, and not the one that --model names: --allow exec gives scripts the right to run such"

typedef enum worker_state {
    WORKER_FREE = 0,
    WORKER_FILLING,
    WORKER_WAITING,
    WORKER_RUNNING,
    WORKER_ANSWERED
} worker_state;

struct wfi_worker_lane {
    worker_state state;
    bool jailed;
    uint32_t place; /* of its child */
    uint64_t arrival, deadline;
    wf_str cwd;
    char *body, *command; /* one piece of pages; command is terminated */
    size_t body_size, body_len, got;
    char *out; /* WORKER_ROOM bytes of pages, for the child's report */
    char *reply;
    size_t reply_size, reply_len, sent;
    uint32_t status;
};

typedef struct worker_report {
    wfi_program_end end;
    uint64_t printed; /* bytes on stdout */
    uint64_t missing; /* ... on stderr, between head and tail */
    size_t out, head, tail;
} worker_report;

#define WORKER_ROOM (sizeof(worker_report) + WORKER_OUT + WORKER_ERR)

/* ---- in the child ---- */

typedef struct worker_job {
    const wfi_workers *w;
    const wfi_worker_lane *l;
    wfi_confine cwd;
} worker_job;

static void worker_write(const void *from, size_t n) {
    const char *p = from;
    while (n > 0) {
        ssize_t put = write(1, p, n);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) _exit(1);
        p += put;
        n -= (size_t)put;
    }
}

/* The spec, in pages; empty: there are none. */
static wf_str worker_spec(const worker_job *job) {
    const wfi_worker_lane *l = job->l;
    uint64_t now = wfi_sys_now_ms();
    wfi_spec_place place = {job->cwd.root, UINT64_MAX, WORKER_OUT};
    wf_str request = wf_str_of(l->body, l->body_len);
    wf_json_out o;
    if (l->deadline != UINT64_MAX) place.deadline_ms = l->deadline > now ? l->deadline - now : 0;
    wf_json_out_init(&o, NULL, 0);
    wfi_spec_put(&o, request, &place);
    size_t size = o.len;
    char *text = wfi_sys_pages(size);
    wf_json_out_init(&o, text, text != NULL ? size : 0);
    if (text != NULL) wfi_spec_put(&o, request, &place);
    return wf_str_of(text, text != NULL ? o.len : 0);
}

static void worker_child(void *arg) {
    const worker_job *job = arg;
    const char *const argv[] = {"/bin/sh", "-c", job->l->command, NULL};
    char *room = wfi_sys_pages(WORKER_OUT + WORKER_ERR);
    /* The user's own command starts in the root, whatever folder the agent has: what a script or an agent has put into some folder
     * must not be what runs, outside of the jail, for the command's name. */
    const char *start = job->l->jailed ? job->cwd.root : job->w->tools->root.root;
    wfi_program p = {.argv = argv, .tree = job->cwd.root, .tree_fd = WFI_CHILD_KEEP, .dir = start};
    worker_report r;
    wf_str out, head, tail;
    memset(&r, 0, sizeof r);
    p.first = job->cwd.below ? NULL : job->cwd.guard;
    p.input = worker_spec(job);
    if (room == NULL || p.input.len == 0) return;
    p.jail = job->l->jailed ? &job->w->tools->jail : NULL;
    p.out = (wfi_gather){room, WORKER_OUT, 0};
    p.err = (wfi_gather){room + WORKER_OUT, WORKER_ERR, 0};
    p.deadline = job->l->deadline;
    wfi_program_run(&p, &r.end);
    r.printed = p.out.total;
    out = wf_str_of(room, p.out.total <= WORKER_OUT ? (size_t)p.out.total : 0);
    r.missing = wfi_gather_parts(&p.err, &head, &tail);
    r.out = out.len;
    r.head = head.len;
    r.tail = tail.len;
    worker_write(&r, sizeof r);
    worker_write(out.ptr, out.len);
    worker_write(head.ptr, head.len);
    worker_write(tail.ptr, tail.len);
}

/* ---- answers ---- */

/* The reply, rendered twice: to measure and to write. message: of an error; NULL: the answer is the reply. */
static void worker_put(wf_json_out *o, const wfi_worker_lane *l, const wfi_spoken *answer, const char *message) {
    if (message == NULL) {
        wfi_spec_reply(o, wf_str_of(l->body, l->body_len), answer);
        return;
    }
    wf_json_begin(o, true);
    wf_json_key(o, WF_STR("error"));
    wf_json_begin(o, true);
    wf_json_key(o, WF_STR("message"));
    wf_json_str(o, wf_str_of(message, strlen(message)));
    wf_json_finish(o);
    wf_json_finish(o);
}

/* Without memory for it the message is lost, not the status. */
static void worker_answered(wfi_worker_lane *l, uint32_t status, const wfi_spoken *answer, const char *message) {
    wf_json_out o;
    wf_json_out_init(&o, NULL, 0);
    worker_put(&o, l, answer, message);
    l->reply_size = o.len;
    l->reply = wfi_sys_pages(o.len);
    wf_json_out_init(&o, l->reply, l->reply != NULL ? l->reply_size : 0);
    if (l->reply != NULL) worker_put(&o, l, answer, message);
    l->reply_len = l->reply != NULL ? o.len : 0;
    l->status = l->reply == NULL && status == WORKER_OK ? WORKER_TEMPORARY : status;
    l->state = WORKER_ANSWERED;
}

static void worker_fail(wfi_worker_lane *l, uint32_t status, const char *message) {
    worker_answered(l, status, NULL, message);
}

/* ---- what became of the program ---- */

typedef struct worker_end {
    worker_report r;
    wf_str out, head, tail; /* slices of the lane's `out` */
} worker_end;

static bool worker_read_report(const wfi_child *c, worker_end *e) {
    size_t at = sizeof e->r;
    if (c->overflow || c->len < at) return false;
    memcpy(&e->r, c->out, sizeof e->r);
    if (e->r.out > WORKER_OUT || e->r.head > WORKER_ERR || e->r.tail > WORKER_ERR) return false;
    if (c->len != at + e->r.out + e->r.head + e->r.tail) return false;
    e->out = wf_str_of(c->out + at, e->r.out);
    e->head = wf_str_of(e->out.ptr + e->out.len, e->r.head);
    e->tail = wf_str_of(e->head.ptr + e->head.len, e->r.tail);
    return true;
}

/* What is kept of stderr, in text. */
static wf_str worker_stderr(const worker_end *e, char text[WORKER_TEXT]) {
    wf_str last = e->tail.len > 0 ? e->tail : e->head;
    while (last.len > 0 && last.ptr[last.len - 1] == '\n')
        last.len--;
    int n = e->tail.len == 0 ? snprintf(text, WORKER_TEXT, "%.*s", (int)last.len, last.ptr)
                             : snprintf(text, WORKER_TEXT, "%.*s\n... %llu bytes left out ...\n%.*s", (int)e->head.len,
                                        e->head.ptr, (unsigned long long)e->r.missing, (int)last.len, last.ptr);
    return wf_str_of(text, n > 0 ? strlen(text) : 0);
}

/* "the program WHAT; its stderr: ..." */
static void worker_fail_end(wfi_worker_lane *l, const worker_end *e, uint32_t status, const char *what) {
    char kept[WORKER_TEXT], text[WORKER_TEXT + 512];
    wf_str said = worker_stderr(e, kept);
    if (said.len == 0)
        snprintf(text, sizeof text, "the program %s; its stderr is empty", what);
    else
        snprintf(text, sizeof text, "the program %s; its stderr: %s", what, kept);
    worker_fail(l, status, text);
}

static uint32_t worker_status(wf_str kind) {
    static const struct {
        const char *kind;
        uint32_t status;
    } known[] = {{"quota", WORKER_QUOTA}, {"auth", WORKER_AUTH}, {"context", WORKER_LARGE}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (wf_json_equals(kind, wf_str_of(known[i].kind, strlen(known[i].kind)))) return known[i].status;
    return WORKER_BAD;
}

/* A slice of the lane's own pages, decoded where it lies. */
static wf_str worker_decode(const wfi_worker_lane *l, wf_str escaped) {
    char *at = l->out + (escaped.ptr - l->out);
    return wf_str_of(at, wf_json_unescape(escaped, at));
}

/* The program says itself that it has no answer, and why. */
static void worker_fail_said(wfi_worker_lane *l, const wfi_spoken *a) {
    wf_str kind = {"", 0}, message = {"", 0};
    char text[WORKER_TEXT - 1024];
    (void)wf_json_member_str(a->value, WF_STR("kind"), &kind);
    if (wf_json_equals(kind, WF_STR("refused"))) {
        worker_answered(l, WORKER_OK, a, NULL);
        return;
    }
    (void)wf_json_member_str(a->value, WF_STR("message"), &message);
    uint32_t status = worker_status(kind);
    if (message.len > 0) message = worker_decode(l, message);
    if (kind.len + message.len == 0) {
        worker_fail(l, status, "the program says that it failed, and not why: its \"error\" has no \"message\"");
        return;
    }
    snprintf(text, sizeof text, "the program says: %.*s%s%.*s", (int)(kind.len < 64 ? kind.len : 64), kind.ptr,
             kind.len > 0 && message.len > 0 ? ": " : "", (int)message.len, message.ptr);
    worker_fail(l, status, text);
}

static void worker_conclude(wfi_worker_lane *l, const worker_end *e) {
    const wfi_program_end *end = &e->r.end;
    char text[256];
    wfi_spoken answer = wfi_spec_answer(e->out);
    if (end->failed != NULL) {
        snprintf(text, sizeof text, "the program was not started, for we could not %s: %s", end->failed,
                 strerror(end->error));
        worker_fail(l, WORKER_BAD, text);
    } else if (answer.said == WFI_SAID_ERROR) {
        worker_fail_said(l, &answer);
    } else if (end->timed_out) {
        worker_fail_end(l, e, WORKER_BAD, "was stopped at the agent's deadline");
    } else if (end->crowded) {
        worker_fail_end(l, e, WORKER_BAD, "was stopped: it had more than 512 processes at a time");
    } else if (end->signal != 0) {
        snprintf(text, sizeof text, "was killed by signal %d", end->signal);
        worker_fail_end(l, e, WORKER_BAD, text);
    } else if (end->code != 0) {
        snprintf(text, sizeof text, "ended with exit code %d", end->code);
        worker_fail_end(l, e, end->code == WORKER_TRY ? WORKER_TEMPORARY : WORKER_BAD, text);
    } else if (e->r.printed > WORKER_OUT) {
        snprintf(text, sizeof text, "printed %llu bytes; an answer has at most %zu", (unsigned long long)e->r.printed,
                 WORKER_OUT);
        worker_fail_end(l, e, WORKER_BAD, text);
    } else if (answer.said == WFI_SAID_NOTHING) {
        worker_fail_end(l, e, WORKER_BAD, "printed no answer on stdout");
    } else {
        char kept[WORKER_TEXT];
        answer.beside = worker_stderr(e, kept);
        worker_answered(l, WORKER_OK, &answer, NULL);
    }
}

static void worker_harvest(wfi_workers *w, uint32_t lane) {
    wfi_worker_lane *l = &w->lane[lane];
    worker_end e;
    if (worker_read_report(&w->children.at[l->place], &e))
        worker_conclude(l, &e);
    else
        worker_fail(l, WORKER_TEMPORARY, "the process that watched over the program died, or found no memory");
    wfi_child_release(&w->children, l->place);
}

/* ---- starting ---- */

/* The folder where it works: the root, or the agent's cwd. Not 0: an errno. */
static int worker_enter(const wfi_workers *w, const wfi_worker_lane *l, wfi_confine *dir) {
    char path[WFI_CONFINE_PATH];
    wf_str here = {".", 1};
    int error = wfi_confine_relative(&w->tools->root, l->cwd.len > 0 ? l->cwd : here, path);
    if (error == 0) error = wfi_confine_below(&w->tools->root, path, dir);
    if (error != 0 || (dir->root[0] != '\0' && !dir->guarded)) return error;
    wfi_confine_close(dir);
    return dir->guarded ? EACCES : ENOENT; /* .git and .wf are not theirs to write */
}

static wf_status worker_spawn(wfi_workers *w, uint32_t lane) {
    wfi_worker_lane *l = &w->lane[lane];
    worker_job job = {.w = w, .l = l};
    wfi_child_job c = {.run = worker_child, .arg = &job, .cap = WORKER_ROOM, .programs = true};
    int error = worker_enter(w, l, &job.cwd);
    if (error != 0) {
        worker_fail(l, WORKER_BAD, "the agent's cwd is no folder of the workspace, or that has no path any more");
        return WF_OK;
    }
    if (l->out == NULL) l->out = wfi_sys_pages(WORKER_ROOM);
    c.out = l->out;
    c.keep = job.cwd.fd;
    c.spaces = l->jailed ? w->tools->jail.spaces : 0;
    if (l->jailed) c.home = &w->tools->home;
    c.deadline = l->deadline < UINT64_MAX - WORKER_LATE_MS ? l->deadline + WORKER_LATE_MS : UINT64_MAX;
    wf_status status = l->out != NULL ? wfi_child_start(&w->children, &c, &l->place) : WF_E_MEMORY;
    wfi_confine_close(&job.cwd);
    if (status == WF_OK) {
        w->owner[l->place] = lane;
        l->state = WORKER_RUNNING;
    } else if (status != WF_AGAIN) {
        worker_fail(l, WORKER_TEMPORARY, "the system has no process or memory to spare; use fewer --lanes");
        return WF_E_IO; /* the system's memory is not the run's */
    }
    return status;
}

/* Those that wait start in the order in which they came. */
static void worker_start_waiting(wfi_workers *w) {
    for (;;) {
        uint32_t first = w->lanes;
        for (uint32_t i = 0; i < w->lanes; i++) {
            if (w->lane[i].state != WORKER_WAITING) continue;
            if (first == w->lanes || w->lane[i].arrival < w->lane[first].arrival) first = i;
        }
        if (first == w->lanes || worker_spawn(w, first) == WF_AGAIN) return;
    }
}

static void worker_pump(wfi_workers *w) {
    bool ended = false;
    wfi_children_pump(&w->children, wfi_sys_now_ms());
    for (uint32_t i = 0; i < w->children.count; i++) {
        if (w->children.at[i].state != WFI_CHILD_DONE) continue;
        worker_harvest(w, w->owner[i]);
        ended = true;
    }
    if (ended) worker_start_waiting(w);
}

/* ---- the transport ---- */

static bool worker_is_own(const wfi_workers *w, wf_str command) {
    return w->own != NULL && strlen(w->own) == command.len && memcmp(w->own, command.ptr, command.len) == 0;
}

static wf_status worker_begin(void *ctx, uint32_t lane, const wf_request *request) {
    wfi_workers *w = ctx;
    wfi_worker_lane *l = &w->lane[lane];
    size_t n = request->model.len;
    bool own = worker_is_own(w, request->model);
    memset(l, 0, sizeof *l);
    l->deadline = wfi_tools_deadline(w->tools, request->deadline);
    l->cwd = request->cwd;
    l->jailed = !own;
    if (n == 0 || memchr(request->model.ptr, '\0', n) != NULL) {
        worker_fail(l, WORKER_BAD, "the model's name has no command: write exec:COMMAND");
    } else if (!own && (w->tools->allow & WF_ALLOW_EXEC) == 0) {
        worker_fail(l, WORKER_BAD, WORKER_NO_RIGHT);
    } else if (request->body_len > WORKER_REQUEST) {
        worker_fail(l, WORKER_LARGE, "the request is larger than 64 MiB");
    } else {
        l->body_len = (size_t)request->body_len;
        l->body_size = l->body_len + n + 1;
        l->body = wfi_sys_pages(l->body_size);
        l->state = WORKER_FILLING;
        if (l->body == NULL) {
            worker_fail(l, WORKER_TEMPORARY, WORKER_NO_MEMORY);
            return WF_OK;
        }
        l->command = l->body + l->body_len;
        memcpy(l->command, request->model.ptr, n);
    }
    return WF_OK;
}

static wf_status worker_send(void *ctx, uint32_t lane, const void *buf, size_t n, size_t *sent) {
    wfi_workers *w = ctx;
    wfi_worker_lane *l = &w->lane[lane];
    if (l->state != WORKER_FILLING) return WF_END;
    if (n > l->body_len - l->got) return WF_E_IO;
    memcpy(l->body + l->got, buf, n);
    l->got += n;
    *sent = n;
    if (l->got < l->body_len) return WF_OK;
    l->arrival = ++w->arrivals;
    l->state = WORKER_WAITING;
    worker_start_waiting(w);
    return WF_OK;
}

static wf_status worker_head(void *ctx, uint32_t lane, wf_response *out) {
    wfi_workers *w = ctx;
    const wfi_worker_lane *l = &w->lane[lane];
    if (l->state == WORKER_RUNNING) worker_pump(w);
    if (l->state != WORKER_ANSWERED) return WF_AGAIN;
    *out = (wf_response){.status = l->status, .retry_after_ms = -1, .should_retry = l->status == WORKER_TEMPORARY};
    return WF_OK;
}

static wf_status worker_recv(void *ctx, uint32_t lane, void *buf, size_t n, size_t *got) {
    wfi_worker_lane *l = &((wfi_workers *)ctx)->lane[lane];
    size_t left = l->reply_len - l->sent;
    if (left == 0) return WF_END;
    *got = left < n ? left : n;
    memcpy(buf, l->reply + l->sent, *got);
    l->sent += *got;
    return WF_OK;
}

static void worker_end_lane(void *ctx, uint32_t lane) {
    wfi_workers *w = ctx;
    wfi_worker_lane *l = &w->lane[lane];
    if (l->state == WORKER_RUNNING) wfi_child_release(&w->children, l->place);
    wfi_sys_pages_end(l->body, l->body_size);
    wfi_sys_pages_end(l->out, WORKER_ROOM);
    wfi_sys_pages_end(l->reply, l->reply_size);
    memset(l, 0, sizeof *l);
}

static uint32_t worker_ready(void *ctx, uint32_t *lanes, uint32_t max) {
    wfi_workers *w = ctx;
    uint32_t n = 0;
    worker_pump(w);
    worker_start_waiting(w); /* a child that was given up may have left its place */
    for (uint32_t i = 0; i < w->lanes && n < max; i++)
        if (w->lane[i].state == WORKER_ANSWERED) lanes[n++] = i;
    return n;
}

static uint64_t worker_due(void *ctx) {
    wfi_workers *w = ctx;
    uint64_t now = wfi_sys_now_ms();
    for (uint32_t i = 0; i < w->lanes; i++)
        if (w->lane[i].state == WORKER_ANSWERED) return now;
    return wfi_children_due(&w->children, now);
}

const wf_model_ops *wfi_workers_ops(void) {
    static const wf_model_ops ops = {.begin = worker_begin,
                                     .send = worker_send,
                                     .head = worker_head,
                                     .recv = worker_recv,
                                     .end = worker_end_lane,
                                     .ready = worker_ready,
                                     .due = worker_due};
    return &ops;
}

/* ---- life ---- */

size_t wfi_workers_size(uint32_t lanes) {
    return (lanes * sizeof(wfi_worker_lane) + 15) & ~(size_t)15;
}

void wfi_workers_init(wfi_workers *w, void *table, const wfi_tools *tools, const wf_posix_config *config) {
    memset(w, 0, sizeof *w);
    memset(table, 0, wfi_workers_size(config->workers));
    w->tools = tools;
    w->own = config->worker;
    w->lanes = config->workers;
    w->lane = table;
    wfi_children_init(&w->children, w->lanes < WFI_CHILD_MAX ? w->lanes : WFI_CHILD_MAX);
}

void wfi_workers_close(wfi_workers *w) {
    for (uint32_t i = 0; i < w->lanes; i++)
        worker_end_lane(w, i);
    wfi_children_close(&w->children);
}
