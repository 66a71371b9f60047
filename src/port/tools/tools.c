/* tools: see tools.h. Which tools there are, who works for them (this process or a child), and their answers' way back.
 *
 * A child's output is the answer, the mark of the file that was read, and one last byte, TOOLS_GOOD or TOOLS_BAD; an answer
 * without it is not whole. The exit status is not relied on: an embedder that ignores SIGCHLD makes it disappear. */
#include "tools.h"
#include "tool.h"
#include "../jail/program.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TOOLS_GOOD '+'
#define TOOLS_BAD  '-'

#define TOOLS_NO_MEMORY "the system has no memory to spare; try again later"
#define TOOLS_NO_FILES  "the system has no descriptor to spare; try again later"
#define TOOLS_TAIL      (sizeof(wfi_seen_mark) + 1) /* behind a child's answer */
#define TOOLS_SEEN      4u                          /* sets of files that agents have seen, for each ticket */
#define TOOLS_LATE_MS   12000u                      /* for a child to end its programs after their deadline */

#define TOOLS_STR(text)                                                                                                \
    { (text), sizeof(text) - 1 }
#define TOOLS_STRING "{\"type\":\"string\"}"
#define TOOLS_NUMBER "{\"type\":\"integer\",\"minimum\":1}"
#define TOOLS_OBJECT(members, needed)                                                                                  \
    "{\"type\":\"object\",\"properties\":{" members "},\"required\":[\"" needed "\"],\"additionalProperties\":false}"

/* What models may use, what scripts may, the right that it takes, and what does the work. The texts go into every request:
 * each word costs. */
static const struct {
    wf_tool tool; /* an effect of scripts has a name only */
    uint32_t right;
    bool model, script;
    wfi_tool_fn work;
    bool here;        /* always in this process: it changes files, which no child of ours may */
    const char *also; /* members of its input that are understood, or harmless, and that the schema need not tell */
} tools_kinds[] = {
    {{TOOLS_STR("read"),
      TOOLS_STR("Read a text file of the workspace as numbered lines: 400 from line `from` (1), or up to line `to`."),
      TOOLS_STR(TOOLS_OBJECT("\"path\":" TOOLS_STRING ",\"from\":" TOOLS_NUMBER ",\"to\":" TOOLS_NUMBER, "path")),
      false, false},
     WF_ALLOW_READ,
     true,
     true,
     wfi_tool_read,
     false,
     "offset,limit"},
    {{TOOLS_STR("grep"),
      TOOLS_STR(
          "Search files for a POSIX extended regex (also \\d \\w \\s \\b). Answers path:line:text. `path`: file or "
          "directory; `glob`: only such files, e.g. *.c; `max` lines: 100."),
      TOOLS_STR(TOOLS_OBJECT("\"pattern\":" TOOLS_STRING ",\"path\":" TOOLS_STRING ",\"glob\":" TOOLS_STRING
                             ",\"ignore_case\":{\"type\":\"boolean\"},\"context\":{\"type\":\"integer\",\"minimum\":0,"
                             "\"maximum\":10},\"max\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000}",
                             "pattern")),
      false, false},
     WF_ALLOW_READ,
     true,
     false,
     wfi_tool_grep,
     false,
     "-i,-n,-A,-B,-C,output_mode,head_limit"},
    {{TOOLS_STR("glob"), TOOLS_STR("List files whose path below `path` matches, e.g. src/**/*.{c,h}."),
      TOOLS_STR(TOOLS_OBJECT("\"pattern\":" TOOLS_STRING ",\"path\":" TOOLS_STRING, "pattern")), false, false},
     WF_ALLOW_READ,
     true,
     false,
     wfi_tool_glob,
     false,
     ""},
    {{TOOLS_STR("write"), TOOLS_STR("Make a file, or replace all of it; missing folders are made."),
      TOOLS_STR(TOOLS_OBJECT("\"path\":" TOOLS_STRING ",\"content\":" TOOLS_STRING, "path\",\"content")), true, false},
     WF_ALLOW_WRITE,
     true,
     false,
     wfi_tool_write,
     true,
     ""},
    {{TOOLS_STR("edit"),
      TOOLS_STR(
          "Replace `old`, which must be in the file exactly once, by `new`; with `all`, wherever it is. Give lines as "
          "read shows them, without numbers."),
      TOOLS_STR(TOOLS_OBJECT("\"path\":" TOOLS_STRING ",\"old\":" TOOLS_STRING ",\"new\":" TOOLS_STRING
                             ",\"all\":{\"type\":\"boolean\"}",
                             "path\",\"old\",\"new")),
      true, false},
     WF_ALLOW_WRITE,
     true,
     false,
     wfi_tool_edit,
     true,
     ""},
    {{TOOLS_STR("files"), {"", 0}, {"", 0}, false, false}, WF_ALLOW_READ, false, true, wfi_tool_files, false, ""},
    {{TOOLS_STR("bash"),
      TOOLS_STR(
          "Run a shell command in the workspace: no input, no terminal; `timeout`: seconds, 120, at most 600. Answers "
          "its output and exit code. What it leaves running is ended; files in $TMPDIR stay until you are done."),
      TOOLS_STR(TOOLS_OBJECT(
          "\"command\":" TOOLS_STRING ",\"timeout\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":600}", "command")),
      true, true},
     WF_ALLOW_BASH,
     true,
     false,
     wfi_tool_bash,
     false,
     "description"},
    {{TOOLS_STR("exec"), {"", 0}, {"", 0}, true, true}, WF_ALLOW_EXEC, false, true, wfi_tool_exec, false, ""},
};
#define TOOLS_KINDS ((uint32_t)(sizeof tools_kinds / sizeof tools_kinds[0]))

#define TOOLS_PROGRAMS (WF_ALLOW_BASH | WF_ALLOW_EXEC) /* the rights of what runs programs */

uint32_t wfi_tools_list(uint32_t allow, wf_tool *out) {
    uint32_t count = 0;
    if (allow == 0) allow = WF_ALLOW_READ;
    for (uint32_t i = 0; i < TOOLS_KINDS; i++)
        if (tools_kinds[i].model && (tools_kinds[i].right & allow) != 0) out[count++] = tools_kinds[i].tool;
    return count;
}

/* ---- rings ---- */

static void tools_push(const wfi_tools *t, wfi_ring *r, uint32_t ticket) {
    r->at[(r->head + r->count++) % t->tickets] = ticket;
}

static uint32_t tools_pop(const wfi_tools *t, wfi_ring *r) {
    uint32_t ticket = r->at[r->head];
    r->head = (r->head + 1) % t->tickets;
    r->count--;
    return ticket;
}

/* All entries that name the ticket. */
static void tools_drop(const wfi_tools *t, wfi_ring *r, uint32_t ticket) {
    for (uint32_t i = r->count; i > 0; i--) {
        uint32_t other = tools_pop(t, r);
        if (other != ticket) tools_push(t, r, other);
    }
}

/* ---- life ---- */

size_t wfi_tools_size(uint32_t tickets) {
    size_t one = sizeof(wfi_ticket) + 3 * sizeof(uint32_t);
    return ((tickets * one + 15) & ~(size_t)15) + wfi_seen_size(tickets * TOOLS_SEEN);
}

int wfi_tools_init(wfi_tools *t, void *tables, const wf_posix_config *config) {
    memset(t, 0, sizeof *t);
    memset(tables, 0, wfi_tools_size(config->tickets));
    t->tickets = config->tickets;
    t->tool_ms = config->tool_ms;
    t->allow = config->allow;
    t->ticket = tables;
    t->done.at = (uint32_t *)(void *)(t->ticket + t->tickets);
    t->searches.waiting.at = t->done.at + t->tickets;
    t->commands.waiting.at = t->searches.waiting.at + t->tickets;
    size_t seen = wfi_tools_size(t->tickets) - wfi_seen_size(t->tickets * TOOLS_SEEN);
    wfi_seen_init(&t->seen, (char *)tables + seen, t->tickets * TOOLS_SEEN, config->mode == WF_POSIX_OPEN);
    t->home.holder = t->home.dir.fd = -1;
    wfi_children_init(&t->searches.children, config->children);
    wfi_children_init(&t->commands.children, config->commands);
    wfi_keeper_init(&t->keeper);
    int error = wfi_confine_init(&t->root, config->root);
    if (error != 0) return error;
    if ((t->allow & TOOLS_PROGRAMS) != 0) wfi_guard_settle(t->root.fd);
    wfi_confine_guard(&t->root);
    if (config->log != NULL && wfi_guard_place(config->log, t->log)) t->root.log = t->log;
    if ((t->allow & TOOLS_PROGRAMS) == 0) return 0;
    wfi_jail_shut();
    wfi_jail_probe(&t->jail, t->root.root);
    t->jail.log = t->root.log;
    t->plugged = config->offline && !wfi_jail_cut(&t->jail, t->root.root);
    wfi_home_open(&t->home, &t->jail, t->root.root);
    t->jail.shown = &t->home;
    wfi_keeper_open(&t->keeper);
    return 0;
}

static void tools_end(void *ctx, uint32_t ticket);

void wfi_tools_close(wfi_tools *t) {
    for (uint32_t i = 0; i < t->tickets; i++)
        tools_end(t, i);
    wfi_children_close(&t->searches.children);
    wfi_children_close(&t->commands.children);
    wfi_keeper_close(&t->keeper);
    wfi_home_close(&t->home);
    wfi_confine_close(&t->root);
}

/* ---- answers ---- */

static void tools_done(wfi_tools *t, uint32_t ticket, wf_str text, bool is_error) {
    wfi_ticket *k = &t->ticket[ticket];
    k->state = WFI_TICKET_DONE;
    k->result = (wf_tool_result){.text = text, .is_error = is_error};
    if (!k->in_done) tools_push(t, &t->done, ticket);
    k->in_done = true;
}

static void tools_fail(wfi_tools *t, uint32_t ticket, const char *text) {
    tools_done(t, ticket, wf_str_of(text, strlen(text)), true);
}

/* The answer's place in a ticket's pages: what the work may fill, its last line, and what a child puts behind. */
static size_t tools_cap(const wf_tool_call *call) {
    if (call->script) return WFI_TOOL_SCRIPT_MAX;
    size_t max = call->output_max == 0 ? WFI_TOOL_OUT : call->output_max;
    return (max < WFI_TOOL_OUT_MIN ? WFI_TOOL_OUT_MIN : max) - WFI_TOOL_FOOT;
}

static size_t tools_answer_size(const wf_tool_call *call) {
    return (tools_cap(call) + WFI_TOOL_FOOT + TOOLS_TAIL + 7) & ~(size_t)7;
}

static wfi_tool tools_work(wfi_tools *t, const wfi_ticket *k) {
    wfi_tool w;
    memset(&w, 0, sizeof w);
    w.root = k->cwd != NULL ? k->cwd : &t->root;
    w.dirfd = w.root->fd;
    w.tool = k->call.name;
    w.input = k->call.input;
    w.script = k->call.script;
    w.jail = &t->jail;
    w.deadline = k->call.deadline;
    w.enough = UINT64_MAX;
    w.seen = &t->seen;
    w.agent = k->call.agent;
    w.out = k->pages;
    w.cap = tools_cap(&k->call);
    w.room = k->pages + tools_answer_size(&k->call);
    w.size = WFI_TOOL_ROOM;
    return w;
}

/* ---- the call's cwd ---- */

/* Whatever it calls will find no folder. */
static bool tools_no_cwd(wfi_tools *t, uint32_t ticket) {
    wfi_ticket *k = &t->ticket[ticket];
    wf_str cwd = wfi_tool_clip(k->call.cwd, 200);
    snprintf(k->pages, k->size, "the agent's cwd is no folder of the workspace: %.*s", (int)cwd.len, cwd.ptr);
    tools_fail(t, ticket, k->pages);
    k->result.is_fatal = true;
    return false;
}

/* Makes it the root; it lies at the end of the ticket's pages. 0: it is, or there is none; or an errno. */
static int tools_open_cwd(const wfi_tools *t, wfi_ticket *k) {
    char path[WFI_CONFINE_PATH];
    if (k->cwd != NULL || k->call.cwd.len == 0) return 0;
    wfi_confine *c = (void *)(k->pages + tools_answer_size(&k->call) + WFI_TOOL_ROOM);
    int error = wfi_confine_relative(&t->root, k->call.cwd, path);
    if (error == 0) error = wfi_confine_below(&t->root, path, c);
    if (error == 0) k->cwd = c;
    return error;
}

/* False: the call has failed. */
static bool tools_enter(wfi_tools *t, uint32_t ticket) {
    int error = tools_open_cwd(t, &t->ticket[ticket]);
    if (error == EMFILE || error == ENFILE) {
        tools_fail(t, ticket, TOOLS_NO_FILES);
        return false;
    }
    return error == 0 || tools_no_cwd(t, ticket);
}

/* Whoever waits opens it again when its turn comes. */
static void tools_leave(wfi_ticket *k) {
    if (k->cwd != NULL) wfi_confine_close(k->cwd);
    k->cwd = NULL;
}

/* ---- the private directory of an agent's commands, and the script's ---- */

static uint32_t *tools_own(wfi_tools *t, wfi_ticket *k) {
    return k->call.script ? &t->own : &k->own;
}

/* False: there is none, and the call has failed. */
static bool tools_get_own(wfi_tools *t, uint32_t ticket) {
    wfi_ticket *k = &t->ticket[ticket];
    uint32_t *own = tools_own(t, k);
    if (*own == 0) *own = wfi_keeper_new(&t->keeper);
    if (*own != 0) return true;
    snprintf(k->pages, k->size, "the command was not started, for we could not " WFI_PROGRAM_OWN ": %s",
             strerror(errno));
    tools_fail(t, ticket, k->pages);
    return false;
}

static void tools_left(void *ctx, uint32_t ticket) {
    wfi_tools *t = ctx;
    if (ticket >= t->tickets || t->ticket[ticket].own == 0) return;
    wfi_keeper_drop(&t->keeper, t->ticket[ticket].own);
    t->ticket[ticket].own = 0;
}

/* ---- in a child ---- */

typedef struct tools_job {
    wfi_tools *t;
    const wfi_ticket *k;
    uint32_t own; /* the private directory, for a command */
    uint64_t enough;
} tools_job;

static void tools_child(void *arg) {
    const tools_job *job = arg;
    char own[WFI_PRIVDIR_PATH];
    wfi_tool w = tools_work(job->t, job->k);
    wfi_keeper_name(&job->t->keeper, job->own, own);
    w.own = own;
    w.dirfd = WFI_CHILD_KEEP;
    w.enough = job->enough;
    w.size = WFI_TOOL_FIND_ROOM;
    w.room = wfi_sys_pages(w.size);
    if (w.room == NULL) return;
    tools_kinds[job->k->kind].work(&w);
    memcpy(w.out + w.len, &w.mark, sizeof w.mark);
    w.len += sizeof w.mark;
    w.out[w.len++] = w.is_error ? TOOLS_BAD : TOOLS_GOOD;
    while (w.len > 0) {
        ssize_t n = write(1, w.out, w.len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        w.out += n;
        w.len -= (size_t)n;
    }
}

static bool tools_is_command(const wfi_ticket *k) {
    return (tools_kinds[k->kind].right & TOOLS_PROGRAMS) != 0;
}

static wfi_crew *tools_crew(wfi_tools *t, const wfi_ticket *k) {
    return tools_is_command(k) ? &t->commands : &t->searches;
}

uint64_t wfi_tools_deadline(const wfi_tools *t, uint64_t deadline) {
    return deadline < UINT64_MAX - t->absent ? deadline + t->absent : UINT64_MAX;
}

/* Programs have deadlines of their own; the child's is for when it should have ended them. */
static void tools_limit(const wfi_tools *t, const wfi_ticket *k, wfi_child_job *c) {
    uint64_t limit = wfi_sys_now_ms() + t->tool_ms;
    c->programs = tools_is_command(k);
    c->deadline = k->call.deadline;
    if (c->programs) {
        c->spaces = t->jail.spaces;
        c->home = &t->home;
        if (c->deadline < UINT64_MAX - TOOLS_LATE_MS) c->deadline += TOOLS_LATE_MS;
        return;
    }
    c->reads_only = !tools_kinds[k->kind].tool.effect;
    c->cpu_s = t->tool_ms / 1000 + 2;
    if (limit < c->deadline) c->deadline = limit;
}

/* When a search is to come to its end, to have its answer heard before the deadline. */
static uint64_t tools_enough(uint64_t deadline) {
    uint64_t now = wfi_sys_now_ms();
    return deadline > now ? now + (deadline - now) / 4 * 3 : now;
}

static wf_status tools_spawn(wfi_tools *t, wfi_crew *crew, uint32_t ticket) {
    wfi_ticket *k = &t->ticket[ticket];
    tools_job job = {t, k, 0, UINT64_MAX};
    if (tools_is_command(k)) {
        if (!tools_get_own(t, ticket)) return WF_OK;
        job.own = *tools_own(t, k);
    }
    if (!tools_enter(t, ticket)) return WF_OK;
    wfi_child_job c = {
        .run = tools_child, .arg = &job, .keep = (k->cwd != NULL ? k->cwd : &t->root)->fd, .out = k->pages};
    c.cap = tools_answer_size(&k->call);
    tools_limit(t, k, &c);
    if (!c.programs) job.enough = tools_enough(c.deadline);
    wf_status status = wfi_child_start(&crew->children, &c, &k->place);
    tools_leave(k);
    if (status != WF_OK) return status;
    crew->owner[k->place] = ticket;
    k->state = WFI_TICKET_RUNNING;
    return WF_OK;
}

/* A child has ended: takes its answer, or says why there is none. */
static void tools_harvest(wfi_tools *t, wfi_crew *crew, uint32_t ticket) {
    wfi_ticket *k = &t->ticket[ticket];
    const wfi_child *c = &crew->children.at[k->place];
    char last = c->len >= TOOLS_TAIL && !c->overflow ? c->out[c->len - 1] : '\0';
    if (last == TOOLS_GOOD || last == TOOLS_BAD) {
        wfi_seen_mark mark;
        memcpy(&mark, c->out + c->len - TOOLS_TAIL, sizeof mark);
        wfi_seen_read(&t->seen, k->call.agent, mark);
        tools_done(t, ticket, wf_str_of(c->out, c->len - TOOLS_TAIL), last == TOOLS_BAD);
    } else if (c->timed_out) {
        tools_fail(t, ticket, "stopped: it took too long; narrow the pattern, the path or the glob");
    } else {
        tools_fail(t, ticket, "the process that did the work died; try once more, with less to look at");
    }
    wfi_child_release(&crew->children, k->place);
}

static void tools_start_waiting(wfi_tools *t, wfi_crew *crew) {
    while (crew->waiting.count > 0) {
        uint32_t ticket = crew->waiting.at[crew->waiting.head];
        wf_status status = tools_spawn(t, crew, ticket);
        if (status == WF_AGAIN) return;
        tools_pop(t, &crew->waiting);
        if (status != WF_OK) tools_fail(t, ticket, "the system has no process to spare; try again later");
    }
}

static void tools_pump_crew(wfi_tools *t, wfi_crew *crew) {
    wfi_children_pump(&crew->children, wfi_sys_now_ms());
    for (uint32_t i = 0; i < crew->children.count; i++)
        if (crew->children.at[i].state == WFI_CHILD_DONE) tools_harvest(t, crew, crew->owner[i]);
    tools_start_waiting(t, crew);
}

void wfi_tools_pump(wfi_tools *t) {
    tools_pump_crew(t, &t->searches);
    tools_pump_crew(t, &t->commands);
}

uint64_t wfi_tools_due(const wfi_tools *t, uint64_t now) {
    uint64_t searches = wfi_children_due(&t->searches.children, now);
    uint64_t commands = wfi_children_due(&t->commands.children, now);
    return searches < commands ? searches : commands;
}

uint32_t wfi_tools_fds(const wfi_tools *t, int *fds) {
    uint32_t n = wfi_children_fds(&t->searches.children, fds);
    return n + wfi_children_fds(&t->commands.children, fds + n);
}

/* Tickets that were ended before they were named are dropped here: they must not keep anybody awake. */
bool wfi_tools_have_news(wfi_tools *t) {
    while (t->done.count > 0) {
        uint32_t ticket = t->done.at[t->done.head];
        if (t->ticket[ticket].state == WFI_TICKET_DONE) return true;
        t->ticket[ticket].in_done = false;
        tools_pop(t, &t->done);
    }
    return false;
}

/* ---- the ops ---- */

static uint32_t tools_find(wf_str name, bool script) {
    for (uint32_t i = 0; i < TOOLS_KINDS; i++) {
        wf_str have = tools_kinds[i].tool.name;
        bool offered = script ? tools_kinds[i].script : tools_kinds[i].model;
        if (offered && have.len == name.len && memcmp(have.ptr, name.ptr, have.len) == 0) return i;
    }
    return TOOLS_KINDS;
}

/* One after the other: nothing changes a file between an edit's reading and its writing but other programs. */
static void tools_work_here(wfi_tools *t, uint32_t ticket) {
    wfi_ticket *k = &t->ticket[ticket];
    wfi_tool w = tools_work(t, k);
    w.size = WFI_TOOL_FIND_ROOM;
    w.room = wfi_sys_pages(w.size);
    if (w.room == NULL) {
        tools_fail(t, ticket, TOOLS_NO_MEMORY);
        return;
    }
    tools_kinds[k->kind].work(&w);
    wfi_sys_pages_end(w.room, w.size);
    tools_done(t, ticket, wf_str_of(w.out, w.len), w.is_error);
}

static void tools_dispatch(wfi_tools *t, uint32_t ticket) {
    wfi_ticket *k = &t->ticket[ticket];
    wfi_tool w = tools_work(t, k);
    if (tools_kinds[k->kind].here) {
        tools_work_here(t, ticket);
        return;
    }
    if (tools_kinds[k->kind].work == wfi_tool_read && wfi_tool_read_is_small(&w)) {
        wfi_tool_read(&w);
        wfi_seen_read(&t->seen, w.agent, w.mark);
        tools_done(t, ticket, wf_str_of(w.out, w.len), w.is_error);
        return;
    }
    k->state = WFI_TICKET_WAITING;
    tools_push(t, &tools_crew(t, k)->waiting, ticket);
    tools_start_waiting(t, tools_crew(t, k));
}

static const char *tools_refusal(uint32_t right) {
    switch (right) {
    case WF_ALLOW_WRITE:
        return "it is not allowed in this run; --allow write gives that right";
    case WF_ALLOW_BASH:
        return "it is not allowed in this run; --allow bash gives that right";
    case WF_ALLOW_EXEC:
        return "it is not allowed in this run; --allow exec gives that right";
    default:
        return "it is not allowed in this run; --allow read gives that right";
    }
}

/* A model's call with a member that nobody would look at is not done: what it asks for would not be what it gets. */
static bool tools_knows(wfi_tools *t, uint32_t ticket) {
    wfi_ticket *k = &t->ticket[ticket];
    wfi_tool w = tools_work(t, k);
    if (k->call.script || wfi_tool_knows(&w, &tools_kinds[k->kind].tool, tools_kinds[k->kind].also)) return true;
    tools_done(t, ticket, wf_str_of(w.out, w.len), true);
    return false;
}

static wf_status tools_start(void *ctx, uint32_t ticket, const wf_tool_call *call) {
    wfi_tools *t = ctx;
    if (ticket >= t->tickets || t->ticket[ticket].state != WFI_TICKET_FREE) return WF_E_CONFIG;
    wfi_ticket *k = &t->ticket[ticket];
    k->call = *call;
    k->call.deadline = wfi_tools_deadline(t, call->deadline);
    k->kind = tools_find(call->name, call->script);
    if (k->kind == TOOLS_KINDS) {
        tools_fail(t, ticket,
                   call->script ? "there is no such effect; there are read, files and exec"
                                : "there is no such tool; use one of those that are offered");
        return WF_OK;
    }
    if ((tools_kinds[k->kind].right & t->allow) == 0) {
        tools_fail(t, ticket, tools_refusal(tools_kinds[k->kind].right));
        return WF_OK;
    }
    k->size = tools_answer_size(call) + WFI_TOOL_ROOM + (call->cwd.len > 0 ? sizeof *k->cwd : 0);
    k->pages = wfi_sys_pages(k->size);
    if (k->pages == NULL)
        tools_fail(t, ticket, TOOLS_NO_MEMORY);
    else if (tools_knows(t, ticket) && tools_enter(t, ticket))
        tools_dispatch(t, ticket);
    tools_leave(k);
    return WF_OK;
}

static wf_status tools_result(void *ctx, uint32_t ticket, wf_tool_result *out) {
    wfi_tools *t = ctx;
    if (ticket >= t->tickets || t->ticket[ticket].state == WFI_TICKET_FREE) return WF_E_STALE;
    if (t->ticket[ticket].state != WFI_TICKET_DONE) wfi_tools_pump(t);
    if (t->ticket[ticket].state != WFI_TICKET_DONE) return WF_AGAIN;
    *out = t->ticket[ticket].result;
    return WF_OK;
}

static void tools_end(void *ctx, uint32_t ticket) {
    wfi_tools *t = ctx;
    if (ticket >= t->tickets) return;
    wfi_ticket *k = &t->ticket[ticket];
    if (k->state == WFI_TICKET_RUNNING) wfi_child_release(&tools_crew(t, k)->children, k->place);
    if (k->state == WFI_TICKET_WAITING) tools_drop(t, &tools_crew(t, k)->waiting, ticket);
    wfi_sys_pages_end(k->pages, k->size);
    k->pages = NULL;
    k->state = WFI_TICKET_FREE;
}

static uint32_t tools_ready(void *ctx, uint32_t *tickets, uint32_t max) {
    wfi_tools *t = ctx;
    uint32_t n = 0;
    wfi_tools_pump(t);
    while (n < max && wfi_tools_have_news(t)) {
        tickets[n] = tools_pop(t, &t->done);
        t->ticket[tickets[n++]].in_done = false;
    }
    return n;
}

static uint64_t tools_due(void *ctx) {
    wfi_tools *t = ctx;
    uint64_t now = wfi_sys_now_ms(), due = wfi_tools_have_news(t) ? now : wfi_tools_due(t, now);
    return due == UINT64_MAX ? due : due - t->absent;
}

/* "there is no such tool; this run has read, grep, glob" */
static const char *tools_unknown(wfi_tools *t) {
    const char *glue = "there is no such tool; this run has ";
    size_t n = 0;
    for (uint32_t i = 0; i < TOOLS_KINDS; i++) {
        const wf_str *name = &tools_kinds[i].tool.name;
        if (!tools_kinds[i].model || (tools_kinds[i].right & t->allow) == 0) continue;
        n += (size_t)snprintf(t->refusal + n, sizeof t->refusal - n, "%s%.*s", glue, (int)name->len, name->ptr);
        glue = ", ";
    }
    return n > 0 ? t->refusal : "there is no such tool, and this run has none";
}

static wf_str tools_refuse(void *ctx, wf_str name) {
    wfi_tools *t = ctx;
    uint32_t kind = tools_find(name, false);
    const char *why = kind == TOOLS_KINDS                         ? tools_unknown(t)
                      : (tools_kinds[kind].right & t->allow) == 0 ? tools_refusal(tools_kinds[kind].right)
                                                                  : "it is not offered in this run";
    return wf_str_of(why, strlen(why));
}

/* Of what runs in this process: commands and their children are gone with the process, and left nothing that is ours. */
static void tools_interrupted(void *ctx, const wf_tool_call *call) {
    wfi_tools *t = ctx;
    wfi_ticket k = {.call = *call, .kind = tools_find(call->name, false)};
    if (k.kind == TOOLS_KINDS || !tools_kinds[k.kind].here) return;
    k.size = tools_answer_size(call) + WFI_TOOL_ROOM + sizeof *k.cwd;
    k.pages = wfi_sys_pages(k.size);
    if (k.pages != NULL && tools_open_cwd(t, &k) == 0) {
        wfi_tool w = tools_work(t, &k);
        wfi_tool_write_clear(&w);
    }
    tools_leave(&k);
    wfi_sys_pages_end(k.pages, k.size);
}

const wf_tool_ops *wfi_tools_ops(void) {
    static const wf_tool_ops ops = {tools_start, tools_result, tools_end,         tools_ready,
                                    tools_due,   tools_refuse, tools_interrupted, tools_left};
    return &ops;
}
