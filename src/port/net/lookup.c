/* lookup: see lookup.h for its contract and invariants. */
#include "lookup.h"
#include "dns.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOKUP_MS       20000u
#define LOOKUP_KEEP_MS  60000u
#define LOOKUP_RETRY_MS 1000u
#define LOOKUP_CPU_S    10u
#define LOOKUP_ASK_MS   19000u /* less than LOOKUP_MS */
#define LOOKUP_GRACE_MS 500u   /* for the second family, when the first is there */
#if defined(__linux__) && !defined(__GLIBC__)
#define LOOKUP_IS_SHORT true /* musl: see dns.h */
#else
#define LOOKUP_IS_SHORT false
#endif

/* ---- in the child ---- */

static void lookup_add(wfi_lookup_answer *out, const struct addrinfo *info) {
    wfi_address a;
    memset(&a, 0, sizeof a);
    if (info->ai_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, info->ai_addr, sizeof six);
        memcpy(a.bytes, &six.sin6_addr, sizeof a.bytes);
        a.scope = six.sin6_scope_id;
        a.six = 1;
    } else {
        struct sockaddr_in four;
        memcpy(&four, info->ai_addr, sizeof four);
        memcpy(a.bytes, &four.sin_addr, sizeof four.sin_addr);
    }
    for (uint32_t i = 0; i < out->count; i++)
        if (memcmp(&out->at[i], &a, sizeof a) == 0) return;
    if (out->count < WFI_LOOKUP_ADDRESSES) out->at[out->count++] = a;
}

static void lookup_ask(const char *name, bool six, uint64_t deadline, wfi_lookup_answer *out) {
    struct addrinfo hints, *list = NULL;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = six ? AF_INET6 : AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    out->code = getaddrinfo(name, NULL, &hints, &list);
    out->error = errno;
    for (const struct addrinfo *a = list; out->code == 0 && a != NULL; a = a->ai_next)
        lookup_add(out, a);
    bool unsure = out->code == EAI_AGAIN || out->code == EAI_FAIL || out->code == EAI_NONAME;
    if (!LOOKUP_IS_SHORT || !unsure) return;
    wfi_dns dns;
    wfi_dns_read(&dns, "/etc/resolv.conf");
    if (wfi_dns_ask(&dns, name, six, deadline, out)) out->code = 0;
}

typedef struct lookup_second {
    long pid; /* 0: there is none */
    int fd;
} lookup_second;

/* The addresses of IPv6 come from a process of their own. */
static lookup_second lookup_fork(const char *name, uint64_t deadline) {
    lookup_second second = {0, -1};
    int fds[2];
    wfi_lookup_answer answer;
    if (!wfi_sys_pipe(fds)) return second;
    second.pid = (long)fork();
    if (second.pid == 0) {
        memset(&answer, 0, sizeof answer);
        lookup_ask(name, true, deadline, &answer);
        ssize_t ignored = write(fds[1], &answer, sizeof answer);
        (void)ignored;
        _exit(0);
    }
    close(fds[1]);
    second.fd = fds[0];
    return second;
}

/* Waits for it until `deadline`, and no longer. False: it has no answer. */
static bool lookup_join(lookup_second second, uint64_t deadline, wfi_lookup_answer *out) {
    struct pollfd p = {.fd = second.fd, .events = POLLIN};
    uint64_t now = wfi_sys_now_ms();
    if (second.pid <= 0) return false;
    bool said = poll(&p, 1, now < deadline ? (int)(deadline - now) : 0) == 1 &&
                read(second.fd, out, sizeof *out) == (ssize_t)sizeof *out;
    kill((pid_t)second.pid, SIGKILL);
    waitpid((pid_t)second.pid, NULL, 0);
    return said;
}

/* The system's order within each family, and the families in turn: one that leads nowhere must not hold the other up. */
static void lookup_merge(const wfi_lookup_answer *six, const wfi_lookup_answer *four, wfi_lookup_answer *out) {
    for (uint32_t i = 0; i < 2 * WFI_LOOKUP_ADDRESSES && out->count < WFI_LOOKUP_ADDRESSES; i++) {
        const wfi_lookup_answer *from = i % 2 == 0 ? six : four;
        if (i / 2 < from->count) out->at[out->count++] = from->at[i / 2];
    }
    if (out->count > 0) return;
    const wfi_lookup_answer *cause = four->code == EAI_NONAME && six->code != 0 ? six : four;
    out->code = cause->code;
    out->error = cause->error;
}

/* The answer is shorter than what a pipe takes in one piece. */
static void lookup_run(void *arg) {
    const wfi_host *h = arg;
    wfi_lookup_answer six, four, answer;
    uint64_t deadline = wfi_sys_now_ms() + LOOKUP_ASK_MS;
    memset(&six, 0, sizeof six);
    memset(&four, 0, sizeof four);
    memset(&answer, 0, sizeof answer);
    lookup_second second = lookup_fork(h->name, deadline);
    lookup_ask(h->name, false, deadline, &four);
    uint64_t grace = wfi_sys_now_ms() + LOOKUP_GRACE_MS;
    if (second.pid <= 0)
        lookup_ask(h->name, true, deadline, &six);
    else if (!lookup_join(second, four.count > 0 && grace < deadline ? grace : deadline, &six))
        memset(&six, 0, sizeof six);
    lookup_merge(&six, &four, &answer);
    ssize_t ignored = write(1, &answer, sizeof answer); /* a short one counts as none */
    (void)ignored;
}

/* ---- what needs no child ---- */

static bool lookup_digits(wfi_host *h) {
    wfi_address *a = &h->answer.at[0];
    a->six = inet_pton(AF_INET6, h->name, a->bytes) == 1;
    if (a->six == 0 && inet_pton(AF_INET, h->name, a->bytes) != 1) return false;
    h->answer.count = 1;
    return true;
}

static bool lookup_localhost(wfi_host *h) {
    static const char local[] = "localhost";
    const size_t length = sizeof local - 1;
    size_t n = strlen(h->name);
    if (n > 0 && h->name[n - 1] == '.') n--;
    if (n < length || strncasecmp(h->name + n - length, local, length) != 0) return false;
    if (n > length && h->name[n - length - 1] != '.') return false;
    h->answer.at[0].six = 1;
    h->answer.at[0].bytes[15] = 1;
    h->answer.at[1].bytes[0] = 127;
    h->answer.at[1].bytes[3] = 1;
    h->answer.count = 2;
    return true;
}

/* ---- the table ---- */

size_t wfi_lookup_size(uint32_t hosts) {
    return hosts * sizeof(wfi_host);
}

void wfi_lookup_init(wfi_lookup *l, void *table, uint32_t hosts) {
    memset(l, 0, sizeof *l);
    memset(table, 0, wfi_lookup_size(hosts));
    l->host = table;
    l->hosts = hosts;
    l->limit_ms = LOOKUP_MS;
    l->keep_ms = LOOKUP_KEEP_MS;
    l->run = lookup_run;
    wfi_children_init(&l->children, WFI_LOOKUP_CHILDREN);
}

static bool lookup_open(const wfi_host *h) {
    return h->state == WFI_HOST_WAITING || h->state == WFI_HOST_RUNNING;
}

static bool lookup_named(const wfi_host *h, wf_str name) {
    return h->state != WFI_HOST_FREE && strlen(h->name) == name.len && strncasecmp(h->name, name.ptr, name.len) == 0;
}

/* Of the hosts that nobody uses a free one, or the oldest. `old`, the same name's, is best if nobody uses it. */
static wfi_host *lookup_place(wfi_lookup *l, wfi_host *old) {
    wfi_host *best = NULL;
    if (old != NULL && old->users == 0) return old;
    for (uint32_t i = 0; i < l->hosts; i++) {
        wfi_host *h = &l->host[i];
        if (h->users > 0) continue;
        if (best == NULL || h->until < best->until) best = h;
    }
    return best;
}

static void lookup_end(wfi_lookup *l, wfi_host *h, wfi_host_state state, uint64_t until) {
    if (lookup_open(h)) l->open--;
    h->state = state;
    h->until = until;
}

static void lookup_fail(wfi_lookup *l, wfi_host *h, uint64_t now, const char *reason) {
    snprintf(h->reason, sizeof h->reason, "%s", reason);
    lookup_end(l, h, WFI_HOST_FAILED, now + LOOKUP_RETRY_MS);
}

static void lookup_start(wfi_lookup *l, wfi_host *h, uint64_t now) {
    wfi_child_job job = {.run = l->run, .arg = h, .keep = -1, .cpu_s = LOOKUP_CPU_S, .reads_only = true};
    job.out = (char *)&h->answer;
    job.cap = sizeof h->answer;
    job.deadline = now + l->limit_ms;
    wf_status status = wfi_child_start(&l->children, &job, &h->place);
    if (status == WF_OK) {
        h->state = WFI_HOST_RUNNING;
    } else if (status != WF_AGAIN) {
        char reason[sizeof h->reason];
        snprintf(reason, sizeof reason, "there is no process to be had for it: %s", strerror(errno));
        lookup_fail(l, h, now, reason);
    }
}

static void lookup_begin(wfi_lookup *l, wfi_host *h, wf_str name, uint64_t now) {
    memcpy(h->name, name.ptr, name.len);
    h->name[name.len] = '\0';
    memset(&h->answer, 0, sizeof h->answer);
    h->state = WFI_HOST_WAITING;
    l->open++;
    if (lookup_digits(h) || lookup_localhost(h))
        lookup_end(l, h, WFI_HOST_FOUND, now + l->keep_ms);
    else
        lookup_start(l, h, now);
}

/* No more than what keeps a name in one piece: what may be in a host's name is for the name service to say. */
static bool lookup_valid(wf_str name) {
    if (name.len == 0 || name.len >= WFI_LOOKUP_NAME) return false;
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] <= ' ' || name.ptr[i] == 127) return false;
    return true;
}

wf_status wfi_lookup_get(wfi_lookup *l, wf_str name, uint64_t now, uint32_t *host) {
    wfi_host *old = NULL;
    if (!lookup_valid(name)) return WF_E_CONFIG;
    for (uint32_t i = 0; i < l->hosts; i++) {
        wfi_host *h = &l->host[i];
        if (!lookup_named(h, name)) continue;
        if (lookup_open(h) || now < h->until) {
            h->users++;
            *host = i;
            return WF_OK;
        }
        old = h;
    }
    wfi_host *h = lookup_place(l, old);
    if (h == NULL) return WF_E_IO;
    h->has_worked = old != NULL && old->has_worked;
    if (h->has_worked && h != old) h->worked = old->worked;
    lookup_begin(l, h, name, now);
    h->users = 1;
    *host = (uint32_t)(h - l->host);
    return WF_OK;
}

void wfi_lookup_release(wfi_lookup *l, uint32_t host) {
    wfi_host *h = &l->host[host];
    h->users--;
    if (h->users > 0 || !lookup_open(h)) return;
    if (h->state == WFI_HOST_RUNNING) wfi_child_release(&l->children, h->place);
    lookup_end(l, h, WFI_HOST_FREE, 0);
}

/* ---- answers ---- */

static void lookup_take(wfi_lookup *l, wfi_host *h, uint64_t now) {
    wfi_child *c = &l->children.at[h->place];
    const wfi_lookup_answer *a = &h->answer;
    bool whole = c->len == sizeof *a, late = c->timed_out;
    wfi_child_release(&l->children, h->place);
    if (whole && a->code == 0 && a->count > 0)
        lookup_end(l, h, WFI_HOST_FOUND, now + l->keep_ms);
    else if (whole && a->code == 0)
        lookup_fail(l, h, now, "it has no address");
    else if (whole && a->code == EAI_SYSTEM)
        lookup_fail(l, h, now, strerror(a->error));
    else if (whole)
        lookup_fail(l, h, now, gai_strerror(a->code));
    else
        lookup_fail(l, h, now, late ? "no name server has answered in time" : "its process ended without an answer");
}

bool wfi_lookup_pump(wfi_lookup *l, uint64_t now) {
    uint32_t before = l->open;
    wfi_children_pump(&l->children, now);
    if (before == 0) return false;
    for (uint32_t i = 0; i < l->hosts; i++) {
        wfi_host *h = &l->host[i];
        if (h->state == WFI_HOST_RUNNING && l->children.at[h->place].state == WFI_CHILD_DONE) lookup_take(l, h, now);
    }
    for (uint32_t i = 0; i < l->hosts; i++) /* in the places that have become free */
        if (l->host[i].state == WFI_HOST_WAITING) lookup_start(l, &l->host[i], now);
    return l->open < before;
}

uint64_t wfi_lookup_due(const wfi_lookup *l, uint64_t now) {
    return wfi_children_due(&l->children, now);
}

uint32_t wfi_lookup_fds(const wfi_lookup *l, int *fds) {
    return wfi_children_fds(&l->children, fds);
}

void wfi_lookup_close(wfi_lookup *l) {
    wfi_children_close(&l->children);
}
