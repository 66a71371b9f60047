/* wf-server: the tests' own HTTP server: a scripted model behind the Messages API, with faults on demand.
 *
 *     wf-server [-s SCENARIO] [-r RECORD] [-c CA-FILE] [-p USER:PASSWORD] [-6] [PORT...]
 *
 * PORT is a name: http; proxy (CONNECT); closed (taken, but connections are refused); or a kind of TLS: https, expired,
 * early (not yet valid), otherhost, selfsigned, unknown (its authority is), tls12, tls13, noalpn. Without any: http
 * and https. All listen on 127.0.0.1 (-6: on ::1), where the system has a port free. When ready, one line of JSON on
 * stdout names them, and `control`, and the file with the certificate to trust:
 *
 *     {"control":40001,"http":40002,"https":40003,"ca":"/tmp/wf-ca-x1y2z3.pem"}
 *
 * GET / at the control port answers the counters, POST /scenario replaces the scenario and counts anew for its rules.
 * What is answered: scenario.h. -r: every request as a line of JSON, with its head and body as received. -p: what the
 * proxy asks for.
 *
 * It ends on SIGTERM, or when its stdin closes, and prints its counters. */
#include "srv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { PORTS_MAX = 32, BACKLOG = 1024, EVENTS = 256 };

server srv;

uint64_t clock_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void die(const char *what, const char *which) {
    fprintf(stderr, "wf-server: %s: %s%s%s\n", which, what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(2);
}

void watch(int fd, source *s, uint32_t events) {
    epoll_ctl(srv.epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = events, .data.ptr = s});
}

void rewatch(int fd, source *s, uint32_t events) {
    epoll_ctl(srv.epoll, EPOLL_CTL_MOD, fd, &(struct epoll_event){.events = events, .data.ptr = s});
}

/* ---- ports ---- */

static void port_ready(source *s, uint32_t events) {
    port *p = (port *)s;
    (void)events;
    for (int i = 0; i < 64 && p->fd >= 0; i++) {
        int fd = accept4(p->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        conn_accept(p, fd);
    }
}

/* Listens on the number that p has, or, when that is 0, on a free one. */
static bool port_listen(port *p) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at = {.v4 = {0}};
    socklen_t size = p->family == AF_INET ? sizeof at.v4 : sizeof at.v6;
    if (p->family == AF_INET) {
        at.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        at.v4.sin_port = htons(p->number);
    } else {
        at.v6.sin6_addr = in6addr_loopback;
        at.v6.sin6_port = htons(p->number);
    }
    at.any.sa_family = (sa_family_t)p->family;
    p->fd = socket(p->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0) return false;
    setsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(p->fd, &at.any, size) != 0 || getsockname(p->fd, &at.any, &size) != 0) return false;
    p->number = ntohs(p->family == AF_INET ? at.v4.sin_port : at.v6.sin6_port);
    if (!strcmp(p->name, "closed")) return true;
    watch(p->fd, &p->source, EPOLLIN);
    return listen(p->fd, BACKLOG) == 0;
}

static void port_open(const char *name, int family) {
    if (srv.port_count == PORTS_MAX) die("too many ports", name);
    port *p = &srv.ports[srv.port_count++];
    *p = (port){.source.ready = port_ready, .name = name, .family = family};
    bool plain = !strcmp(name, "control") || !strcmp(name, "http") || !strcmp(name, "proxy") || !strcmp(name, "closed");
    if (!plain && !(p->tls = tls_port_open(name))) {
        errno = 0;
        die("no such kind of port", name);
    }
    if (!port_listen(p)) die("cannot listen", name);
}

void port_pause(port *p, uint64_t ms) {
    close(p->fd);
    p->fd = -1;
    p->deaf_until = srv.now + ms * 1000;
}

uint16_t port_number(const char *name) {
    for (uint32_t i = 0; i < srv.port_count; i++)
        if (!strcmp(srv.ports[i].name, name)) return srv.ports[i].number;
    return 0;
}

/* Ports whose pause is over listen again. Answers when the next one is due; 0: none. */
static uint64_t ports_wake(void) {
    uint64_t next = 0;
    for (uint32_t i = 0; i < srv.port_count; i++) {
        port *p = &srv.ports[i];
        if (!p->deaf_until) continue;
        if (p->deaf_until <= srv.now) {
            p->deaf_until = 0;
            if (!port_listen(p)) die("cannot listen again", p->name);
        } else if (!next || p->deaf_until < next) {
            next = p->deaf_until;
        }
    }
    return next;
}

/* ---- what is said about it ---- */

void stats_json(text *out) {
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {
        {"requests", srv.requests},
        {"connections", srv.connections},
        {"handshakes", tls_count.handshakes},
        {"resumptions", tls_count.resumptions},
        {"handshakes_failed", tls_count.failures},
        {"bytes_in", srv.in},
        {"bytes_out", srv.out},
        {"open", srv.open},
        {"active", srv.active},
        {"max_connections", srv.open_max},
        {"max_requests", srv.active_max},
        {"refused", srv.refused},
        {"bad", srv.bad},
        {"aborted", srv.aborted},
        {"tunnels", srv.tunnels},
    };
    text_str(out, "{");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        text_format(out, "\"%s\":%llu,", counts[i].name, (unsigned long long)counts[i].value);
    text_str(out, "\"statuses\":{");
    const char *comma = "";
    for (uint32_t i = 0; i < 1000; i++) {
        if (!srv.by_status[i]) continue;
        text_format(out, "%s\"%u\":%llu", comma, i, (unsigned long long)srv.by_status[i]);
        comma = ",";
    }
    text_str(out, "}}");
}

static void say_ready(const char *ca) {
    printf("{");
    for (uint32_t i = 0; i < srv.port_count; i++)
        printf("\"%s\":%u,", srv.ports[i].name, srv.ports[i].number);
    printf("\"ca\":\"%s\"}\n", ca);
    fflush(stdout);
}

static void base64(text *out, const char *s) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)(unsigned char)s[i] << 16;
        if (i + 1 < n) v |= (uint32_t)(unsigned char)s[i + 1] << 8;
        if (i + 2 < n) v |= (unsigned char)s[i + 2];
        char group[4] = {digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=',
                         i + 2 < n ? digits[v & 63] : '='};
        text_add(out, group, 4);
    }
}

/* ---- start, loop, end ---- */

static void ended_ready(source *s, uint32_t events) {
    char buf[512];
    (void)s;
    (void)events;
    srv.ended = read(STDIN_FILENO, buf, sizeof buf) <= 0;
}

static void signal_ready(source *s, uint32_t events) {
    (void)s;
    (void)events;
    srv.ended = true;
}

static void read_scenario(const char *path) {
    text lines = {0}, why = {0};
    FILE *f = path ? fopen(path, "rb") : NULL;
    if (path && !f) die("cannot open", path);
    for (size_t n = 1; f && n > 0; lines.n += n)
        n = fread(text_room(&lines, 65536), 1, 65536, f);
    if (f) fclose(f);
    errno = 0;
    if (!scenario_parse(&srv.scenario, text_view(&lines), &why)) die(text_room(&why, 1), path);
    text_free(&lines);
}

static void write_roots(const char *path) {
    FILE *f = fopen(path, "wb");
    if (!f || fputs(tls_roots(), f) < 0 || fclose(f) != 0) die("cannot write", path);
}

static void watch_ends(void) {
    static source input = {ended_ready}, signals = {signal_ready};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    watch(signalfd(-1, &set, SFD_CLOEXEC), &signals, EPOLLIN);
    watch(STDIN_FILENO, &input, EPOLLIN);
}

static void timer_ready(source *s, uint32_t events) {
    uint64_t times;
    (void)s;
    (void)events;
    if (read(srv.timer, &times, sizeof times) < 0) return; /* the loop looks who is due */
}

/* epoll's own waits are whole milliseconds, which latencies would show. */
static void timer_set(uint64_t at) {
    if (at == srv.timer_at) return;
    srv.timer_at = at;
    struct itimerspec when = {.it_value = {(time_t)(at / 1000000), (long)(at % 1000000 * 1000)}};
    timerfd_settime(srv.timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void loop(void) {
    static source timer = {timer_ready};
    struct epoll_event events[EVENTS];
    srv.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    watch(srv.timer, &timer, EPOLLIN);
    while (!srv.ended) {
        srv.now = clock_us();
        uint64_t next = ports_wake();
        while (srv.timer_count > 0 && srv.timers[0]->due <= srv.now)
            conn_timeout(srv.timers[0]);
        if (srv.timer_count > 0 && (!next || srv.timers[0]->due < next)) next = srv.timers[0]->due;
        timer_set(next);
        conn_free_dead();
        int n = epoll_wait(srv.epoll, events, EVENTS, -1);
        srv.now = clock_us();
        for (int i = 0; i < n; i++) {
            source *s = events[i].data.ptr;
            s->ready(s, events[i].events);
        }
        conn_free_dead();
    }
}

int main(int argc, char **argv) {
    static port ports[PORTS_MAX];
    const char *scenario_path = NULL, *record = NULL, *ca = NULL;
    char made[] = "/tmp/wf-ca-XXXXXX.pem";
    text user = {0};
    int family = AF_INET, option;
    while ((option = getopt(argc, argv, "s:r:c:p:6")) != -1) {
        if (option == 's')
            scenario_path = optarg;
        else if (option == 'r')
            record = optarg;
        else if (option == 'c')
            ca = optarg;
        else if (option == 'p') {
            text_str(&user, "Basic ");
            base64(&user, optarg);
        } else if (option == '6')
            family = AF_INET6;
        else
            return 2;
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    srv.epoll = epoll_create1(EPOLL_CLOEXEC);
    srv.ports = ports;
    srv.proxy_user = text_view(&user);
    read_scenario(scenario_path);
    if (record && !(srv.record = fopen(record, "wb"))) die("cannot open", record);
    port_open("control", AF_INET);
    for (int i = optind; i < argc; i++)
        port_open(argv[i], family);
    if (optind == argc) {
        port_open("http", family);
        port_open("https", family);
    }
    bool mine = !ca;
    if (mine) close(mkstemps(made, 4));
    write_roots(mine ? made : ca);
    watch_ends();
    say_ready(mine ? made : ca);
    loop();
    text out = {0};
    stats_json(&out);
    printf("%.*s\n", (int)out.n, out.p);
    text_free(&out);
    if (mine) unlink(made);
    return 0;
}
