/* test_net: TCP connections of the POSIX port, over loopback: connecting, all addresses of a name, look-up, waiting, ends and
 * failures. Whoever got AGAIN does nothing more until the connection is named: a lost wake-up is a test that runs out of time. */
#include "src/port/net/sockets.h"
#include "src/api/posix.h"
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNS 1000u
#define LONG  60000u /* ms: longer than anything here takes */

/* ---- the client's side ---- */

typedef struct rig {
    void *block;
    wf_posix *p;
    const wf_net_ops *net;
    void *ctx;
    wfi_sockets *inside;
    uint32_t named[CONNS]; /* times */
} rig;

static rig *rig_open_config(const wf_posix_config *c) {
    rig *r = calloc(1, sizeof *r);
    size_t size = wf_posix_size(c);
    r->block = malloc(size);
    assert_int_equal(wf_posix_open(&r->p, r->block, size, c, NULL), WF_OK);
    r->net = wf_posix_net(r->p, &r->ctx);
    r->inside = r->ctx;
    return r;
}

static rig *rig_open(uint32_t conns) {
    wf_posix_config c = {.conns = conns};
    return rig_open_config(&c);
}

static void rig_close(rig *r) {
    wf_posix_close(r->p);
    free(r->block);
    free(r);
}

static int open_fds(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

/* One turn: sleeps until there is news, at most `ms`, and notes what was named. */
static uint32_t turn(rig *r, uint32_t ms) {
    uint32_t conns[64], all = 0, got;
    uint64_t now = wfi_sys_now_ms(), due = r->net->due(r->ctx);
    if (due < now + ms) ms = due > now ? (uint32_t)(due - now) : 0;
    wf_posix_wait(r->p, ms);
    do {
        got = r->net->ready(r->ctx, conns, 64);
        for (uint32_t i = 0; i < got; i++)
            r->named[conns[i]]++;
        all += got;
    } while (got == 64);
    return all;
}

static void until_named(rig *r, uint32_t conn) {
    uint64_t end = wfi_sys_now_ms() + LONG;
    while (r->named[conn] == 0 && wfi_sys_now_ms() < end)
        turn(r, 5000);
    assert_true(r->named[conn] > 0);
    r->named[conn] = 0;
}

static wf_status start(rig *r, uint32_t conn, const char *host, uint32_t port) {
    r->named[conn] = 0;
    return r->net->open(r->ctx, conn, wf_str_of(host, strlen(host)), port);
}

/* Reads, waiting as long as need be. */
static wf_status take(rig *r, uint32_t conn, void *buf, size_t n, size_t *got) {
    wf_status s;
    while ((s = r->net->read(r->ctx, conn, buf, n, got)) == WF_AGAIN)
        until_named(r, conn);
    return s;
}

static wf_status put(rig *r, uint32_t conn, const char *text) {
    wf_status s;
    size_t n, len = strlen(text), done = 0;
    while (done < len) {
        while ((s = r->net->write(r->ctx, conn, text + done, len - done, &n)) == WF_AGAIN)
            until_named(r, conn);
        if (s != WF_OK) return s;
        done += n;
    }
    return WF_OK;
}

static void expect(rig *r, uint32_t conn, const char *text) {
    char buf[256];
    size_t n, len = strlen(text), done = 0;
    while (done < len) {
        assert_int_equal(take(r, conn, buf + done, sizeof buf - done, &n), WF_OK);
        done += n;
    }
    assert_int_equal(done, len);
    assert_memory_equal(buf, text, len);
}

/* Waits for the error that connecting ends with. */
static const char *failure(rig *r, uint32_t conn) {
    char c;
    size_t n;
    assert_int_equal(take(r, conn, &c, 1, &n), WF_E_IO);
    assert_int_equal(r->net->write(r->ctx, conn, "x", 1, &n), WF_E_IO);
    wf_str e = r->net->error(r->ctx, conn);
    return e.ptr;
}

static void assert_says(const char *sentence, const char *part) {
    if (strstr(sentence, part) == NULL) fail_msg("\"%s\" does not say \"%s\"", sentence, part);
}

/* ---- the servers' side ---- */

/* A listening socket; port 0: any, and *port becomes it. -1: no such address here. */
static int listen_at(const char *address, uint16_t *port, int backlog) {
    struct sockaddr_storage a;
    socklen_t size = sizeof a;
    int yes = 1;
    memset(&a, 0, sizeof a);
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&a;
    struct sockaddr_in *four = (struct sockaddr_in *)&a;
    bool is_six = strchr(address, ':') != NULL;
    a.ss_family = is_six ? AF_INET6 : AF_INET;
    assert_int_equal(inet_pton(a.ss_family, address, is_six ? (void *)&six->sin6_addr : (void *)&four->sin_addr), 1);
    if (is_six)
        six->sin6_port = htons(*port);
    else
        four->sin_port = htons(*port);
    int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&a, is_six ? sizeof *six : sizeof *four) != 0 || listen(fd, backlog) != 0) {
        close(fd);
        return -1;
    }
    getsockname(fd, (struct sockaddr *)&a, &size);
    *port = ntohs(is_six ? six->sin6_port : four->sin_port);
    return fd;
}

/* An echo server in a thread, for any number of connections. It allocates nothing: look-ups fork beside it. */
#define ECHO_MAX 1100
typedef struct echo {
    pthread_t thread;
    uint16_t port;
    int stop[2];
    bool split; /* answers in two pieces */
    nfds_t count, most;
    struct pollfd fds[ECHO_MAX];
    char buf[65536];
} echo;

static bool echo_send(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t r = send(fd, p, n, MSG_NOSIGNAL);
        if (r <= 0) return false;
        p += r;
        n -= (size_t)r;
    }
    return true;
}

static bool echo_serve(echo *e, int fd) {
    ssize_t r = recv(fd, e->buf, sizeof e->buf, 0);
    if (r <= 0) return false;
    size_t n = (size_t)r, half = e->split ? n / 2 : 0;
    return echo_send(fd, e->buf, half) && echo_send(fd, e->buf + half, n - half);
}

static void *echo_run(void *arg) {
    echo *e = arg;
    while (poll(e->fds, e->count, -1) > 0 && e->fds[0].revents == 0) {
        for (nfds_t i = e->count; i-- > 2;) {
            if (e->fds[i].revents == 0 || echo_serve(e, e->fds[i].fd)) continue;
            close(e->fds[i].fd);
            e->fds[i] = e->fds[--e->count];
        }
        if (e->fds[1].revents == 0 || e->count == ECHO_MAX) continue;
        int fd = accept(e->fds[1].fd, NULL, NULL), yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (fd >= 0) e->fds[e->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        if (e->count > e->most) e->most = e->count;
    }
    for (nfds_t i = 1; i < e->count; i++)
        close(e->fds[i].fd);
    return NULL;
}

static echo *echo_start(const char *address) {
    echo *e = calloc(1, sizeof *e);
    int fd = listen_at(address, &e->port, 1024);
    if (fd < 0) {
        free(e);
        return NULL;
    }
    assert_int_equal(pipe(e->stop), 0);
    e->fds[0] = (struct pollfd){.fd = e->stop[0], .events = POLLIN};
    e->fds[1] = (struct pollfd){.fd = fd, .events = POLLIN};
    e->count = 2;
    assert_int_equal(pthread_create(&e->thread, NULL, echo_run, e), 0);
    return e;
}

static void echo_end(echo *e) {
    close(e->stop[1]);
    pthread_join(e->thread, NULL);
    close(e->stop[0]);
    free(e);
}

/* A listening socket whose queue is full: who connects hears nothing. */
static int black_hole(const char *address, uint16_t *port, int fillers[4]) {
    int fd = listen_at(address, port, 0);
    assert_true(fd >= 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(*port)};
    inet_pton(AF_INET, address, &a.sin_addr);
    for (int i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fillers[i], (struct sockaddr *)&a, sizeof a);
    }
    usleep(50000);
    return fd;
}

static void close_all(const int *fds, int n) {
    for (int i = 0; i < n; i++)
        close(fds[i]);
}

/* Gives a name addresses as if they had been looked up. */
static void inject(rig *r, const char *name, const char *const *addresses) {
    wfi_host *h = &r->inside->lookup.host[0];
    memset(h, 0, sizeof *h);
    strcpy(h->name, name);
    h->state = WFI_HOST_FOUND;
    h->until = UINT64_MAX;
    for (; *addresses != NULL; addresses++) {
        wfi_address *a = &h->answer.at[h->answer.count++];
        a->six = strchr(*addresses, ':') != NULL;
        assert_int_equal(inet_pton(a->six ? AF_INET6 : AF_INET, *addresses, a->bytes), 1);
    }
}

/* ---- tests ---- */

static void test_config(void **state) {
    (void)state;
    wf_posix_config c = {.conns = 4097};
    void *ctx = &c;
    assert_int_equal(wf_posix_size(&c), 0);
    c.conns = 4096;
    assert_true(wf_posix_size(&c) > 4096 * sizeof(wfi_conn));
    c.conns = 0;
    rig *r = rig_open_config(&c);
    assert_null(wf_posix_net(r->p, &ctx));
    assert_null(ctx);
    rig_close(r);
    r = rig_open(1);
    assert_non_null(r->net);
    assert_null(r->net->secure);
    assert_int_equal(r->net->due(r->ctx), UINT64_MAX);
    r->net->close(r->ctx, 0); /* not open: left alone */
    assert_int_equal(r->net->error(r->ctx, 0).len, 0);
    assert_int_equal(turn(r, 0), 0);
    rig_close(r);
}

static void echo_once(rig *r, const char *host, uint32_t port) {
    size_t n;
    char c;
    assert_int_equal(start(r, 0, host, port), WF_OK);
    assert_int_equal(put(r, 0, "hello"), WF_OK);
    expect(r, 0, "hello");
    assert_int_equal(r->net->read(r->ctx, 0, &c, 1, &n), WF_AGAIN);
    assert_int_equal(n, 0);
    int fd = r->inside->conn[0].attempt[0].fd;
    int nodelay = 0, alive = 0;
    socklen_t size = sizeof nodelay;
    getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &size);
    getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &alive, &size);
    assert_true(nodelay != 0 && alive != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    r->net->close(r->ctx, 0);
    assert_int_equal(r->net->read(r->ctx, 0, &c, 1, &n), WF_E_IO);
}

static void test_echo(void **state) {
    (void)state;
    int before = open_fds();
    rig *r = rig_open(2);
    echo *e = echo_start("127.0.0.1");
    echo_once(r, "127.0.0.1", e->port);
    echo_once(r, "localhost", e->port);
    echo_once(r, "LocalHost.", e->port);
    echo_once(r, "api.localhost", e->port);
    assert_int_equal(wfi_lookup_due(&r->inside->lookup, 0), UINT64_MAX); /* none of these needed a child */
    echo_once(r, "127.1", e->port);                                      /* only getaddrinfo reads this one */
    echo_end(e);
    rig_close(r);
    assert_int_equal(open_fds(), before);
}

static void test_echo_six(void **state) {
    (void)state;
    echo *e = echo_start("::1");
    if (e == NULL) {
        print_message("# no ::1 here\n");
        skip();
    }
    rig *r = rig_open(1);
    echo_once(r, "::1", e->port);
    echo_once(r, "localhost", e->port);
    echo_once(r, "0:0:0:0:0:0:0:1", e->port);
    echo_end(e);
    rig_close(r);
}

static void test_refused(void **state) {
    (void)state;
    uint16_t port = 0;
    char want[96];
    rig *r = rig_open(1);
    int fd = listen_at("127.0.0.1", &port, 1);
    close(fd);
    (void)start(r, 0, "127.0.0.1", port); /* may fail at once or later */
    snprintf(want, sizeof want, "cannot connect to 127.0.0.1:%u: %s; is the server running?", port,
             strerror(ECONNREFUSED));
    assert_string_equal(failure(r, 0), want);
    (void)start(r, 0, "localhost", port);
    snprintf(want, sizeof want, "cannot connect to localhost:%u: ", port);
    assert_says(failure(r, 0), want);
    (void)start(r, 0, "::1", port);
    snprintf(want, sizeof want, "cannot connect to [::1]:%u: ", port);
    assert_says(failure(r, 0), want);
    r->net->close(r->ctx, 0);
    assert_says(r->net->error(r->ctx, 0).ptr, want); /* lives until the next open */
    rig_close(r);
}

static void test_bad_names(void **state) {
    (void)state;
    char name[300], c;
    size_t n;
    rig *r = rig_open(1);
    memset(name, 'n', sizeof name);
    assert_int_equal(r->net->open(r->ctx, 0, wf_str_of(name, 254), 1), WF_E_CONFIG);
    assert_says(r->net->error(r->ctx, 0).ptr, "nnn...:1: this is no name of a host");
    assert_int_equal(r->net->open(r->ctx, 0, wf_str_of(NULL, 0), 1), WF_E_CONFIG);
    assert_int_equal(r->net->open(r->ctx, 0, wf_str_of("a\0b", 3), 1), WF_E_CONFIG);
    assert_int_equal(r->net->open(r->ctx, 0, WF_STR("a b"), 1), WF_E_CONFIG);
    assert_int_equal(r->net->open(r->ctx, 0, WF_STR("127.0.0.1"), 0), WF_E_CONFIG);
    assert_int_equal(r->net->open(r->ctx, 0, WF_STR("127.0.0.1"), 65536), WF_E_CONFIG);
    assert_says(r->net->error(r->ctx, 0).ptr, "from 1 to 65535");
    assert_int_equal(r->net->read(r->ctx, 0, &c, 1, &n), WF_E_IO);
    r->net->close(r->ctx, 0);
    rig_close(r);
}

static void slow_run(void *arg) {
    (void)arg;
    sleep(600);
}

static void dead_run(void *arg) {
    (void)arg;
    _exit(1);
}

static void silly_run(void *arg) {
    wfi_lookup_answer a;
    (void)arg;
    memset(&a, 0, sizeof a);
    ssize_t ignored = write(1, &a, sizeof a);
    (void)ignored;
}

static void test_no_such_name(void **state) {
    (void)state;
    uint64_t before = wfi_sys_now_ms(), longest = 0;
    rig *r = rig_open(3);
    r->inside->lookup.limit_ms = 10000;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(start(r, i, i == 1 ? "NoSuch.invalid" : "nosuch.invalid", 443), WF_OK);
    assert_int_equal(r->inside->lookup.open, 1); /* for all three */
    while (r->inside->conn[0].state == WFI_CONN_CONNECTING) {
        uint64_t at = wfi_sys_now_ms();
        turn(r, 100);
        if (wfi_sys_now_ms() - at > longest) longest = wfi_sys_now_ms() - at;
        assert_true(wfi_sys_now_ms() - before < 25000);
    }
    assert_true(longest < 3000); /* nothing stood still meanwhile */
    for (uint32_t i = 0; i < 3; i++)
        assert_says(failure(r, i), i == 1 ? "cannot look up NoSuch.invalid: " : "cannot look up nosuch.invalid: ");
    assert_says(failure(r, 0), "is the name right");
    wf_status again = start(r, 0, "nosuch.invalid", 443); /* the failure is still known */
    assert_true(again == WF_E_IO || wfi_sys_now_ms() - before > 1000);
    rig_close(r);
}

static void test_look_up_fails(void **state) {
    (void)state;
    rig *r = rig_open(1);
    r->inside->lookup.limit_ms = 100;
    r->inside->lookup.run = slow_run;
    assert_int_equal(start(r, 0, "slow.test", 1), WF_OK);
    assert_says(failure(r, 0), "cannot look up slow.test: no name server has answered in time");
    r->inside->lookup.limit_ms = LONG; /* a busy machine may take its time from here on */
    r->inside->lookup.run = dead_run;
    assert_int_equal(start(r, 0, "dead.test", 1), WF_OK);
    assert_says(failure(r, 0), "its process ended without an answer");
    r->inside->lookup.run = silly_run;
    assert_int_equal(start(r, 0, "silly.test", 1), WF_OK);
    assert_says(failure(r, 0), "it has no address");
    r->inside->connect_ms = 200; /* shorter than the look-up's own limit */
    r->inside->lookup.run = slow_run;
    assert_int_equal(start(r, 0, "late.test", 1), WF_OK);
    assert_says(failure(r, 0), "no answer within 0 s");
    rig_close(r);
}

static void test_close_while_looking_up(void **state) {
    (void)state;
    int before = open_fds();
    uint64_t end = wfi_sys_now_ms() + LONG;
    rig *r = rig_open(3);
    r->inside->lookup.run = slow_run;
    assert_int_equal(start(r, 0, "slow.test", 1), WF_OK);
    assert_int_equal(start(r, 1, "slow.test", 1), WF_OK);
    turn(r, 10);
    r->net->close(r->ctx, 0);
    assert_int_equal(r->inside->lookup.open, 1); /* one waits still */
    r->net->close(r->ctx, 1);
    assert_int_equal(r->inside->lookup.open, 0);
    while (wfi_lookup_due(&r->inside->lookup, 0) != UINT64_MAX && wfi_sys_now_ms() < end)
        turn(r, 100);
    assert_int_equal(wfi_lookup_due(&r->inside->lookup, 0), UINT64_MAX); /* its child is reaped */
    assert_int_equal(start(r, 2, "slow.test", 1), WF_OK);
    rig_close(r); /* and nobody waits ten minutes here */
    assert_true(wfi_sys_now_ms() < end);
    assert_int_equal(open_fds(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* More names at once than children, and than places in the table. */
static void test_many_names(void **state) {
    (void)state;
    char name[32];
    rig *r = rig_open(70);
    r->inside->lookup.run = slow_run;
    for (uint32_t i = 0; i < 64; i++) {
        snprintf(name, sizeof name, "h%u.test", i);
        assert_int_equal(start(r, i, name, 1), WF_OK);
    }
    assert_int_equal(start(r, 64, "h64.test", 1), WF_E_IO);
    assert_says(r->net->error(r->ctx, 64).ptr, "too many other hosts");
    assert_int_equal(start(r, 65, "h63.test", 1), WF_OK); /* one that is there */
    r->inside->lookup.run = silly_run;
    for (uint32_t i = 0; i < 8; i++)
        r->net->close(r->ctx, i); /* makes room for those that wait */
    for (uint32_t i = 8; i < 64; i++)
        assert_says(failure(r, i), "it has no address");
    assert_says(failure(r, 65), "it has no address");
    rig_close(r);
}

static void test_cache(void **state) {
    (void)state;
    echo *e = echo_start("127.0.0.1");
    rig *r = rig_open(2);
    echo_once(r, "127.1", e->port);
    r->inside->lookup.run = dead_run; /* no child would do now */
    echo_once(r, "127.1", e->port);
    for (uint32_t i = 0; i < r->inside->lookup.hosts; i++)
        r->inside->lookup.host[i].until = 0;
    assert_int_equal(start(r, 0, "127.1", e->port), WF_OK);
    assert_says(failure(r, 0), "cannot look up 127.1");
    rig_close(r);
    echo_end(e);
}

/* A host that is in use stays as it is when its answer grows old; who comes then asks anew. */
static void test_cache_in_use(void **state) {
    (void)state;
    int fillers[4];
    uint16_t port = 0;
    rig *r = rig_open(3);
    int hole = black_hole("127.0.0.3", &port, fillers);
    inject(r, "old.test", (const char *const[]){"127.0.0.3", NULL});
    assert_int_equal(start(r, 0, "old.test", port), WF_OK);
    r->inside->lookup.host[0].until = 0;
    r->inside->lookup.run = silly_run;
    assert_int_equal(start(r, 1, "old.test", port), WF_OK);
    assert_says(failure(r, 1), "it has no address");
    assert_int_equal(r->inside->conn[0].state, WFI_CONN_CONNECTING);
    assert_int_equal(r->inside->lookup.host[0].answer.count, 1);
    assert_int_not_equal(r->inside->conn[0].host, r->inside->conn[1].host);
    rig_close(r);
    close_all(fillers, 4);
    close(hole);
}

static void test_second_address(void **state) {
    (void)state;
    echo *e = echo_start("127.0.0.2");
    rig *r = rig_open(1);
    inject(r, "two.test", (const char *const[]){"127.0.0.3", "::1", "127.0.0.2", NULL});
    echo_once(r, "two.test", e->port);
    assert_int_equal(r->inside->conn[0].tried, 7);
    echo_once(r, "two.test", e->port);
    assert_int_equal(r->inside->conn[0].tried, 4); /* the one that worked goes first */
    inject(r, "none.test", (const char *const[]){"127.0.0.3", "127.0.0.4", NULL});
    (void)start(r, 0, "none.test", e->port);
    assert_says(failure(r, 0), "cannot connect to none.test:");
    assert_int_equal(r->inside->conn[0].tried, 3);
    rig_close(r);
    echo_end(e);
}

static void test_black_hole_race(void **state) {
    (void)state;
    int fillers[4], before = open_fds();
    echo *e = echo_start("127.0.0.2");
    rig *r = rig_open(1);
    int hole = black_hole("127.0.0.3", &e->port, fillers);
    inject(r, "race.test", (const char *const[]){"127.0.0.3", "127.0.0.2", NULL});
    uint64_t began = wfi_sys_now_ms();
    assert_int_equal(start(r, 0, "race.test", e->port), WF_OK);
    assert_int_equal(r->inside->conn[0].attempts, 1);
    assert_int_equal(put(r, 0, "hello"), WF_OK);
    assert_true(wfi_sys_now_ms() - began >= 249);
    expect(r, 0, "hello");
    assert_int_equal(r->inside->conn[0].attempts, 1); /* the loser is closed */
    rig_close(r);
    close_all(fillers, 4);
    close(hole);
    echo_end(e);
    assert_int_equal(open_fds(), before);
}

/* The first attempt is kept open while others go on, and may win after all. */
static void test_first_is_kept(void **state) {
    (void)state;
    int fillers[4], others[4], fd;
    uint16_t port = 0;
    rig *r = rig_open(1);
    int hole = black_hole("127.0.0.3", &port, fillers), other = black_hole("127.0.0.2", &port, others);
    inject(r, "kept.test", (const char *const[]){"127.0.0.3", "127.0.0.2", NULL});
    assert_int_equal(start(r, 0, "kept.test", port), WF_OK);
    while (r->inside->conn[0].attempts < 2)
        turn(r, 1000);
    close_all(fillers, 4); /* or they would take the place that is made here */
    fcntl(hole, F_SETFL, O_NONBLOCK);
    while ((fd = accept(hole, NULL, NULL)) >= 0)
        close(fd);
    assert_int_equal(put(r, 0, "hello"), WF_OK);
    assert_memory_equal(&r->inside->lookup.host[0].worked, &r->inside->lookup.host[0].answer.at[0],
                        sizeof(wfi_address));
    rig_close(r);
    close_all(others, 4);
    close(hole);
    close(other);
}

static void test_nobody_answers(void **state) {
    (void)state;
    static const char *const addresses[] = {"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", NULL};
    int fillers[5][4], holes[5], before = open_fds();
    uint16_t port = 0;
    rig *r = rig_open(1);
    for (int i = 0; i < 5; i++)
        holes[i] = black_hole(addresses[i], &port, fillers[i]);
    inject(r, "void.test", addresses);
    r->inside->attempt_ms = 20;
    r->inside->patience_ms = 50;
    r->inside->connect_ms = 2000;
    assert_int_equal(start(r, 0, "void.test", port), WF_OK);
    while (r->inside->conn[0].state == WFI_CONN_CONNECTING) {
        assert_in_range(r->inside->conn[0].attempts, 1, WFI_SOCKETS_ATTEMPTS);
        turn(r, 1000);
    }
    assert_int_equal(r->inside->conn[0].tried, 31);
    assert_says(failure(r, 0), "no answer within 2 s");
    assert_int_equal(r->inside->conn[0].attempts, 0);
    rig_close(r);
    for (int i = 0; i < 5; i++) {
        close_all(fillers[i], 4);
        close(holes[i]);
    }
    assert_int_equal(open_fds(), before);
}

/* A connection to a socket of this test, and the other end of it. */
static int pair(rig *r, uint32_t conn) {
    uint16_t port = 0;
    int fd = listen_at("127.0.0.1", &port, 4);
    assert_int_equal(start(r, conn, "127.0.0.1", port), WF_OK);
    int peer = accept(fd, NULL, NULL);
    assert_true(peer >= 0);
    close(fd);
    until_named(r, conn); /* it is open now */
    return peer;
}

static void test_ends(void **state) {
    (void)state;
    char buf[16];
    size_t n;
    rig *r = rig_open(1);
    int peer = pair(r, 0); /* closes */
    assert_int_equal(r->net->read(r->ctx, 0, buf, sizeof buf, &n), WF_AGAIN);
    close(peer);
    assert_int_equal(take(r, 0, buf, sizeof buf, &n), WF_END);
    assert_int_equal(r->net->read(r->ctx, 0, buf, sizeof buf, &n), WF_END);

    peer = pair(r, 0); /* says something and closes */
    assert_int_equal(send(peer, "last words", 10, 0), 10);
    close(peer);
    expect(r, 0, "last words");
    assert_int_equal(take(r, 0, buf, sizeof buf, &n), WF_END);

    peer = pair(r, 0); /* closes its side only */
    assert_int_equal(r->net->read(r->ctx, 0, buf, sizeof buf, &n), WF_AGAIN);
    assert_int_equal(send(peer, "half", 4, 0), 4);
    shutdown(peer, SHUT_WR);
    expect(r, 0, "half");
    assert_int_equal(take(r, 0, buf, sizeof buf, &n), WF_END);
    assert_int_equal(put(r, 0, "still here"), WF_OK);
    assert_int_equal(recv(peer, buf, sizeof buf, 0), 10);
    close(peer);
    rig_close(r);
}

static void cut_off(int peer) {
    struct linger l = {1, 0};
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    close(peer);
}

static void test_breaks(void **state) {
    (void)state;
    char buf[16], want[96];
    size_t n;
    wf_status s;
    rig *r = rig_open(1);
    int peer = pair(r, 0);
    assert_int_equal(r->net->read(r->ctx, 0, buf, sizeof buf, &n), WF_AGAIN);
    cut_off(peer);
    assert_int_equal(take(r, 0, buf, sizeof buf, &n), WF_E_IO);
    snprintf(want, sizeof want, "the connection to 127.0.0.1:%u broke: %s", r->inside->conn[0].port,
             strerror(ECONNRESET));
    assert_string_equal(r->net->error(r->ctx, 0).ptr, want);
    assert_int_equal(r->net->read(r->ctx, 0, buf, sizeof buf, &n), WF_E_IO);
    assert_int_equal(r->net->write(r->ctx, 0, "x", 1, &n), WF_E_IO); /* and no SIGPIPE */

    peer =
        pair(r, 0); /* one that had its say, and did not hear us out: what it said can be read after a failed write */
    assert_int_equal(put(r, 0, "a request"), WF_OK);
    assert_int_equal(send(peer, "413", 3, 0), 3);
    close(peer); /* with bytes unread: a reset */
    do {
        usleep(1000);
        s = r->net->write(r->ctx, 0, "more", 4, &n);
    } while (s == WF_OK);
    assert_int_equal(s, WF_E_IO);
    assert_int_equal(r->net->read(r->ctx, 0, buf, sizeof buf, &n), WF_OK); /* at once, though it was not announced */
    assert_memory_equal(buf, "413", 3);
    s = take(r, 0, buf, sizeof buf, &n);
    assert_true(s == WF_E_IO || s == WF_END);

    peer = pair(r, 0); /* ours goes with bytes unread, and at once */
    assert_int_equal(send(peer, "unread", 6, 0), 6);
    r->net->close(r->ctx, 0);
    assert_true(recv(peer, buf, sizeof buf, 0) <= 0);
    close(peer);
    rig_close(r);
}

/* From now on whatever comes for this socket is dropped before it is acknowledged, as by a NAT that has forgotten it. */
static void deafen(int peer) {
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog all = {1, &drop};
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof all), 0);
}

static int option_of(const rig *r, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    assert_int_equal(getsockopt(r->inside->conn[0].attempt[0].fd, IPPROTO_TCP, name, &value, &size), 0);
    return value;
}

/* Bytes that nobody acknowledges: noticed in five looks, and stale as long as nothing was heard. */
static void test_vanished(void **state) {
    (void)state;
    if (!WFI_LINUX) skip(); /* who has no TCP_INFO learns it from the stall limit */
    char buf[16];
    size_t n;
    rig *r = rig_open(1);
    int peer = pair(r, 0);
    int after_s = option_of(r, TCP_KEEPIDLE) + option_of(r, TCP_KEEPCNT) * option_of(r, TCP_KEEPINTVL);
    assert_in_range(after_s, 15, 20); /* while nothing is under way */
    assert_in_range(r->inside->look_ms * 5, 15000, 20000);
    r->inside->look_ms = 50;
    assert_int_equal(r->net->due(r->ctx), UINT64_MAX);
    assert_int_equal(put(r, 0, "one"), WF_OK);
    assert_int_equal(recv(peer, buf, sizeof buf, 0), 3);
    usleep(60000);
    turn(r, 0);
    assert_int_equal(r->net->due(r->ctx), UINT64_MAX); /* it has arrived */

    deafen(peer);
    assert_int_equal(put(r, 0, "two"), WF_OK);
    uint64_t before = wfi_sys_now_ms();
    assert_int_equal(take(r, 0, buf, sizeof buf, &n), WF_E_STALE);
    assert_in_range(wfi_sys_now_ms() - before, 150, LONG);
    assert_says(r->net->error(r->ctx, 0).ptr, "no acknowledgement for 20 s");
    assert_int_equal(r->net->write(r->ctx, 0, "x", 1, &n), WF_E_STALE);
    close(peer);

    peer = pair(r, 0); /* the system may notice first */
    unsigned ms = 100;
    setsockopt(r->inside->conn[0].attempt[0].fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    r->inside->look_ms = LONG;
    deafen(peer);
    assert_int_equal(put(r, 0, "three"), WF_OK);
    assert_int_equal(take(r, 0, buf, sizeof buf, &n), WF_E_STALE);
    close(peer);

    peer = pair(r, 0); /* it has answered in part */
    r->inside->look_ms = 50;
    setsockopt(r->inside->conn[0].attempt[0].fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    assert_int_equal(send(peer, "answer", 6, 0), 6);
    deafen(peer);
    assert_int_equal(put(r, 0, "four"), WF_OK);
    expect(r, 0, "answer");
    assert_int_equal(take(r, 0, buf, sizeof buf, &n), WF_E_IO);
    close(peer);
    rig_close(r);
}

/* A peer that leaves a long request unread is there all the same. */
static void test_slow_peer(void **state) {
    (void)state;
    if (!WFI_LINUX) skip(); /* who has no TCP_INFO learns it from the stall limit */
    static char big[65536];
    size_t n, sent = 0, received = 0;
    wf_status s;
    rig *r = rig_open(1);
    int peer = pair(r, 0);
    r->inside->look_ms = 20;
    for (uint64_t end = wfi_sys_now_ms() + 700; wfi_sys_now_ms() < end; turn(r, 20)) {
        while ((s = r->net->write(r->ctx, 0, big, sizeof big, &n)) == WF_OK)
            sent += n;
        assert_int_equal(s, WF_AGAIN);
        assert_int_not_equal(r->net->due(r->ctx), UINT64_MAX);
    }
    while (received < sent) {
        ssize_t got = recv(peer, big, sizeof big, 0);
        assert_true(got > 0);
        received += (size_t)got;
        turn(r, 0);
    }
    assert_int_equal(r->inside->conn[0].state, WFI_CONN_OPEN);
    close(peer);
    rig_close(r);
}

/* While somebody waits to write, then to read: the peer's news reach him. */
static void test_wakes_from_both_sides(void **state) {
    (void)state;
    static char big[65536];
    size_t n;
    wf_status s;
    rig *r = rig_open(1);
    int peer = pair(r, 0);
    uint64_t sent = 0, received = 0;
    for (int round = 0; round < 5; round++) {
        while ((s = r->net->write(r->ctx, 0, big, sizeof big, &n)) == WF_OK)
            sent += n;
        assert_int_equal(s, WF_AGAIN);
        assert_int_equal(r->net->read(r->ctx, 0, big, sizeof big, &n), WF_AGAIN);
        while (received < sent) {
            ssize_t got = recv(peer, big, sizeof big, 0);
            assert_true(got > 0);
            received += (uint64_t)got;
        }
        until_named(r, 0);
        assert_int_equal(r->net->read(r->ctx, 0, big, sizeof big, &n), WF_AGAIN);
        assert_int_equal(send(peer, "ok", 2, 0), 2);
        expect(r, 0, "ok");
    }
    close(peer);
    rig_close(r);
}

/* 8 MiB each way at the same time, over an echo. */
static void test_large(void **state) {
    (void)state;
    const size_t total = 8u << 20;
    static char out[50000], in[50000];
    size_t sent = 0, received = 0, n;
    echo *e = echo_start("127.0.0.1");
    rig *r = rig_open(1);
    assert_int_equal(start(r, 0, "127.0.0.1", e->port), WF_OK);
    while (received < total) {
        bool moved = false;
        size_t want = total - sent < sizeof out ? total - sent : sizeof out;
        for (size_t i = 0; i < want; i++)
            out[i] = (char)((sent + i) * 31u >> 3);
        if (want > 0 && r->net->write(r->ctx, 0, out, want, &n) == WF_OK) {
            sent += n;
            moved = true;
        }
        wf_status s = r->net->read(r->ctx, 0, in, sizeof in, &n);
        if (s == WF_OK) {
            for (size_t i = 0; i < n; i++)
                if (in[i] != (char)((received + i) * 31u >> 3)) fail_msg("byte %zu is wrong", received + i);
            received += n;
            moved = true;
        } else {
            assert_int_equal(s, WF_AGAIN);
        }
        if (!moved) until_named(r, 0);
    }
    assert_int_equal(received, total);
    rig_close(r);
    echo_end(e);
}

static bool raise_limit(rlim_t fds) {
    struct rlimit l;
    getrlimit(RLIMIT_NOFILE, &l);
    if (l.rlim_cur >= fds) return true;
    if (l.rlim_max != RLIM_INFINITY && l.rlim_max < fds) return false;
    l.rlim_cur = fds;
    return setrlimit(RLIMIT_NOFILE, &l) == 0;
}

static void test_thousand(void **state) {
    (void)state;
    char c;
    size_t n;
    uint32_t done = 0;
    static uint8_t step[CONNS]; /* to write, to read, done */
    if (!raise_limit(4000)) {
        print_message("# not enough descriptors\n");
        skip();
    }
    int before = open_fds();
    echo *e = echo_start("127.0.0.1");
    rig *r = rig_open(CONNS);
    uint64_t began = wfi_sys_now_ms();
    memset(step, 0, sizeof step);
    for (uint32_t i = 0; i < CONNS; i++) {
        assert_int_equal(start(r, i, "127.1", e->port), WF_OK);
        assert_int_equal(r->net->write(r->ctx, i, "x", 1, &n), WF_AGAIN);
    }
    assert_int_equal(r->inside->lookup.open, 1); /* one look-up for all */
    while (done < CONNS) {
        assert_true(wfi_sys_now_ms() - began < LONG);
        turn(r, 5000);
        for (uint32_t i = 0; i < CONNS; i++) {
            if (r->named[i] == 0) continue;
            r->named[i] = 0;
            if (step[i] == 0 && r->net->write(r->ctx, i, "x", 1, &n) == WF_OK) step[i] = 1;
            if (step[i] == 1 && r->net->read(r->ctx, i, &c, 1, &n) == WF_OK) {
                step[i] = 2;
                done++;
            }
        }
    }
    assert_int_equal(e->most, CONNS + 2);
    assert_true(open_fds() >= before + (int)CONNS);
    rig_close(r); /* with everything open */
    echo_end(e);
    assert_int_equal(open_fds(), before);
}

/* Many small exchanges: each connection acts only when it was named, so one lost wake-up stops it for good. */
#define STRESS_CONNS     64u
#define STRESS_EXCHANGES 20000u

typedef struct exchange {
    size_t length, sent, received;
    bool active;
} exchange;

static uint32_t stress_next(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Goes on until AGAIN; true: the exchange is over. */
static bool stress_step(rig *r, uint32_t conn, exchange *x) {
    static char out[4096], in[4096];
    size_t n;
    wf_status s;
    while (x->sent < x->length) {
        s = r->net->write(r->ctx, conn, out, x->length - x->sent, &n);
        if (s == WF_AGAIN) return false;
        assert_int_equal(s, WF_OK);
        x->sent += n;
    }
    while (x->received < x->length) { /* asks for just what is left, or for more: both ways of a short read */
        size_t want = (conn & 1u) != 0 ? sizeof in : x->length - x->received;
        s = r->net->read(r->ctx, conn, in, want, &n);
        if (s == WF_AGAIN) return false;
        assert_int_equal(s, WF_OK);
        x->received += n;
    }
    assert_int_equal(x->received, x->length);
    return true;
}

static void test_stress(void **state) {
    (void)state;
    static exchange x[STRESS_CONNS];
    uint32_t done = 0, begun = 0, seed = 7;
    echo *e = echo_start("127.0.0.1");
    rig *r = rig_open(STRESS_CONNS);
    e->split = true;
    memset(x, 0, sizeof x);
    for (uint32_t i = 0; i < STRESS_CONNS; i++)
        assert_int_equal(start(r, i, "localhost", e->port), WF_OK);
    uint64_t began = wfi_sys_now_ms();
    while (done < STRESS_EXCHANGES) {
        if (wfi_sys_now_ms() - began > LONG) fail_msg("%u of %u", done, STRESS_EXCHANGES);
        for (uint32_t i = 0; i < STRESS_CONNS; i++) {
            bool go = r->named[i] > 0;
            if (!x[i].active && begun < STRESS_EXCHANGES) {
                x[i] = (exchange){.length = 1 + stress_next(&seed) % 3000, .active = true};
                begun++;
                go = true;
            }
            r->named[i] = 0;
            if (!go || !x[i].active || !stress_step(r, i, &x[i])) continue;
            x[i].active = false;
            done++;
        }
        turn(r, begun < STRESS_EXCHANGES ? 0 : 1000);
    }
    rig_close(r);
    echo_end(e);
}

/* A wait without a limit ends when bytes come, and names no more than there is. */
static void test_wait(void **state) {
    (void)state;
    char c;
    size_t n;
    uint32_t conns[4];
    rig *r = rig_open(2);
    int peer = pair(r, 0), quiet = pair(r, 1);
    assert_int_equal(r->net->read(r->ctx, 0, &c, 1, &n), WF_AGAIN);
    assert_int_equal(r->net->read(r->ctx, 1, &c, 1, &n), WF_AGAIN);
    assert_int_equal(turn(r, 0), 0);
    uint64_t before = wfi_sys_now_ms();
    wf_posix_wait(r->p, 50);
    assert_true(wfi_sys_now_ms() - before >= 49);
    assert_int_equal(send(peer, "x", 1, 0), 1);
    wf_posix_wait(r->p, UINT32_MAX);
    assert_int_equal(r->net->ready(r->ctx, conns, 4), 1);
    assert_int_equal(conns[0], 0);
    assert_int_equal(r->net->read(r->ctx, 0, &c, 1, &n), WF_OK);
    assert_int_equal(r->net->ready(r->ctx, conns, 4), 0);
    assert_int_equal(r->net->due(r->ctx), UINT64_MAX);

    assert_int_equal(r->net->read(r->ctx, 0, &c, 1, &n), WF_AGAIN); /* both at once, one place */
    assert_int_equal(send(peer, "x", 1, 0), 1);
    assert_int_equal(send(quiet, "x", 1, 0), 1);
    wf_posix_wait(r->p, UINT32_MAX);
    assert_int_equal(r->net->ready(r->ctx, conns, 1), 1);
    uint32_t first = conns[0];
    wf_posix_wait(r->p, UINT32_MAX); /* does not sleep over what was not yet named */
    assert_int_equal(r->net->ready(r->ctx, conns, 1), 1);
    assert_int_equal(conns[0] + first, 1);
    close(peer);
    close(quiet);
    rig_close(r);
}

/* Look-ups fork while the log is synced in its thread. */
static void test_look_up_beside_sync(void **state) {
    (void)state;
    char dir[] = "/tmp/wf-net-XXXXXX", path[64], command[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/run.wflog", dir);
    wf_posix_config c = {.log = path, .mode = WF_POSIX_CREATE, .conns = 1};
    wf_platform platform;
    echo *e = echo_start("127.0.0.1");
    rig *r = rig_open_config(&c);
    wf_posix_platform(r->p, &platform);
    r->inside->lookup.keep_ms = 0;
    for (uint64_t i = 0; i < 40; i++) {
        size_t n;
        assert_int_equal(platform.log->write(platform.log_ctx, i, "x", 1, &n), WF_OK);
        wf_status s = platform.log->sync(platform.log_ctx);
        assert_true(s == WF_OK || s == WF_AGAIN);
        echo_once(r, "127.1", e->port);
    }
    rig_close(r);
    echo_end(e);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

/* A program without standard descriptors must not get a socket for its stdout. */
static void test_descriptors_are_high(void **state) {
    (void)state;
    echo *e = echo_start("127.0.0.1");
    uint16_t port = e->port;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close_all((const int[]){0, 1, 2}, 3);
        rig *r = rig_open(2);
        echo_once(r, "127.1", port);
        if (start(r, 1, "127.0.0.1", port) != WF_OK || r->inside->conn[1].attempt[0].fd < 3) _exit(1);
        rig_close(r);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    echo_end(e);
}

static void test_no_descriptors(void **state) {
    (void)state;
    struct rlimit old, none;
    echo *e = echo_start("127.0.0.1");
    rig *r = rig_open(1);
    getrlimit(RLIMIT_NOFILE, &old);
    none = old;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    wf_status first = start(r, 0, "127.0.0.1", e->port);
    char text[256];
    snprintf(text, sizeof text, "%s", r->net->error(r->ctx, 0).ptr);
    wf_status second = start(r, 0, "nosuch.invalid", e->port);
    setrlimit(RLIMIT_NOFILE, &old);
    assert_int_equal(first, WF_E_IO);
    assert_says(text, strerror(EMFILE));
    assert_says(text, "ulimit -n");
    assert_int_equal(second, WF_E_IO);
    assert_says(r->net->error(r->ctx, 0).ptr, strerror(EMFILE));
    echo_once(r, "127.0.0.1", e->port);
    rig_close(r);
    echo_end(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_echo_six),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_no_such_name),
        cmocka_unit_test(test_look_up_fails),
        cmocka_unit_test(test_close_while_looking_up),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_cache_in_use),
        cmocka_unit_test(test_second_address),
        cmocka_unit_test(test_black_hole_race),
        cmocka_unit_test(test_first_is_kept),
        cmocka_unit_test(test_nobody_answers),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_breaks),
        cmocka_unit_test(test_vanished),
        cmocka_unit_test(test_slow_peer),
        cmocka_unit_test(test_wakes_from_both_sides),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_thousand),
        cmocka_unit_test(test_stress),
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_look_up_beside_sync),
        cmocka_unit_test(test_descriptors_are_high),
        cmocka_unit_test(test_no_descriptors),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
