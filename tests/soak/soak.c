/* soak: one long run against the tests' server, by a program with everything in it, which says after every round what it holds.
 *
 *     soak ROOT URL CA-FILE SCRIPT SECONDS LANES
 *
 * The script notes "round" where nothing is under way. Then all idle connections are let go of and all children waited for, so that
 * every round ends in the same state, and a line of JSON tells the agents, the blocks and bytes of each heap, descriptors and
 * resident memory. soak.py makes the server, the script and the judgement. */
#include "src/api/lua.h"
#include "src/api/posix.h"
#include "src/api/tls.h"
#include "tests/fake/children.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SETTLE_MS   20
#define SETTLES     3000 /* waits before a round counts as never at rest */
#define PER_SECOND  1200 /* rows for agents and effects: more than are needed */
#define ROWS        30000
#define SCRIPT_SIZE ((size_t)64 << 20)
#define HEAP_SIZE   ((size_t)256 << 20)

static struct {
    uint32_t lanes, rounds, rows;
    int files;    /* descriptors before the first round */
    int children; /* of the platform, for as long as it is open */
    wf_posix *posix;
    wf_platform platform;
    wf_tls *tls;
    wf_http *http;
    wf_provider providers[2]; /* over the network, programs */
    wf *run;
    wf_script *script;
} soak;

static void give_up(const char *what, wf_status status) {
    fprintf(stderr, "soak: %s: %s\n", what, wf_status_name(status));
    exit(2);
}

static void check(const char *what, wf_status status) {
    if (status < 0) give_up(what, status);
}

static void *take(size_t n) {
    void *p = malloc(n);
    if (p == NULL) give_up("malloc", WF_E_MEMORY);
    return p;
}

/* ---- what is held ---- */

static int files(void) {
    int n = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder != NULL && readdir(folder) != NULL)
        n++;
    if (folder != NULL) closedir(folder);
    return n;
}

static bool childless(void) {
    return children_count() <= soak.children;
}

static long resident_kb(void) {
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f != NULL && fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
    if (f != NULL) fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Idle connections go when they have been so for long enough, killed children when somebody looks. */
static bool settle(void) {
    uint32_t ready[64];
    for (int i = 0; i < SETTLES; i++) {
        if (files() <= soak.files && childless()) return true;
        wf_posix_wait(soak.posix, SETTLE_MS);
        for (int k = 0; k < 2; k++)
            (void)soak.providers[k].ops->ready(soak.providers[k].ctx, ready, 64);
        (void)soak.platform.tool_ops->ready(soak.platform.tool_ctx, ready, 64);
    }
    return false;
}

static wf_heap_use script_use(void) {
    wf_heap_use use = {.used = SIZE_MAX}, last;
    do { /* a collection lets go of stacks and of the table of texts by halves */
        last = use;
        wf_script_collect(soak.script);
        wf_script_memory(soak.script, &use);
    } while (use.used < last.used);
    return use;
}

static void tell_heap(const char *name, wf_heap_use use) {
    printf("\"%s\":[%zu,%zu],", name, use.blocks, use.used);
}

static void on_trace(void *ctx, const wf_trace *event) {
    wf_memory memory;
    wf_run_status run;
    wf_http_stats http;
    wf_tls_stats tls = {0};
    (void)ctx;
    if (event->type != WF_TRACE_NOTE || event->text.len != 5 || memcmp(event->text.ptr, "round", 5) != 0) return;
    bool still = settle();
    wf_memory_stats(soak.run, &memory);
    wf_run_status_get(soak.run, &run);
    wf_http_stats_get(soak.http, &http);
    if (soak.tls != NULL) wf_tls_stats_get(soak.tls, &tls);
    printf("{\"round\":%u,", ++soak.rounds);
    tell_heap("script", script_use());
    tell_heap("messages", memory.heap);
    tell_heap("TLS", tls.heap);
    printf("\"requests\":%" PRIu64 ",\"connections\":%" PRIu64 ",\"handshakes\":%" PRIu64 ",", http.requests,
           http.connections, tls.handshakes);
    printf("\"agents\":%u,\"done\":%u,\"failed\":%u,\"cancelled\":%u,\"not_run\":%u,\"running\":%u,\"queued\":%u,",
           run.agents, run.census.done, run.census.failed, run.census.cancelled, run.census.not_run, run.running,
           run.queued);
    printf("\"files\":%d,\"still\":%s,\"resident_kb\":%ld}\n", files(), still ? "true" : "false", resident_kb());
    fflush(stdout);
}

/* ---- the world ---- */

static void open_platform(const char *root) {
    wf_posix_config config = {.root = root,
                              .allow = 15,
                              .tickets = 2 * soak.lanes + 8,
                              .conns = soak.lanes,
                              .workers = soak.lanes,
                              .no_sync = true};
    size_t size = wf_posix_size(&config);
    check("wf_posix_open", wf_posix_open(&soak.posix, take(size), size, &config, NULL));
    wf_posix_platform(soak.posix, &soak.platform);
    soak.platform.trace = on_trace;
    soak.children = children_count();
    soak.providers[1] = (wf_provider){.name = WF_STR("exec"), .silent = true};
    soak.providers[1].ops = wf_posix_workers(soak.posix, &soak.providers[1].ctx);
}

static void open_network(const char *url, const char *ca) {
    static wf_header headers[WF_MESSAGES_HEADERS];
    static char values[256];
    wf_http_config config = {.platform = &soak.platform, .lanes = soak.lanes, .idle_ms = 500};
    config.net = wf_posix_net(soak.posix, &config.net_ctx);
    wf_tls_config tls = {.net = config.net,
                         .net_ctx = config.net_ctx,
                         .conns = soak.lanes,
                         .now_ms = soak.platform.now_ms,
                         .now_ctx = soak.platform.ctx,
                         .ca_file = ca};
    size_t size = wf_tls_size(soak.lanes);
    check("wf_tls_open", wf_tls_open(&soak.tls, take(size), size, &tls, NULL));
    config.net = wf_tls_ops();
    config.net_ctx = soak.tls;
    size = wf_http_size(&config);
    check("wf_http_open", wf_http_open(&soak.http, take(size), size, &config, NULL));
    wf_messages_settings settings = {.key = WF_STR("sk-ant-TEST-THROWAWAY-0000")};
    wf_endpoint endpoint = {.url = wf_str_of(url, strlen(url)), .path = WF_STR(WF_MESSAGES_PATH), .headers = headers};
    endpoint.header_count = wf_messages_headers(&settings, values, sizeof values, headers);
    soak.providers[0] = (wf_provider){.name = WF_STR("anthropic"), .stream = true, .priced = true};
    check("wf_http_add", wf_http_add(soak.http, &endpoint, &soak.providers[0], NULL));
}

/* The tables, which lie before the heap, are made resident at once: rows that are taken must not look like growth. */
static void open_run(const wf_run_spec *spec) {
    static wf_tool tools[WF_POSIX_TOOLS];
    wf_status status;
    wf_config config = {.platform = &soak.platform,
                        .providers = soak.providers,
                        .provider_count = 2,
                        .tools = tools,
                        .tool_count = wf_posix_tools(15, tools),
                        .model = WF_STR("anthropic:claude-haiku-4-5"),
                        .lanes = soak.lanes,
                        .max_agents = soak.rows,
                        .max_calls = soak.rows,
                        .stall_ms = 60000,
                        .heap = HEAP_SIZE,
                        .sync = WF_SYNC_OFF};
    size_t size = wf_memory_needed(&config);
    void *memory = take(size);
    memset(memory, 0, size - HEAP_SIZE);
    check("wf_init", wf_init(&soak.run, memory, size, &config, NULL));
    while ((status = wf_run_open(soak.run, spec)) == WF_AGAIN)
        wf_posix_wait(soak.posix, 1000);
    check("wf_run_open", status);
    wf_script_config script = {.run = soak.run,
                               .source = spec->script,
                               .name = WF_STR("soak.lua"),
                               .args = spec->args,
                               .memory = take(SCRIPT_SIZE),
                               .memory_size = SCRIPT_SIZE,
                               .exec = true};
    check("wf_script_open", wf_script_open(&soak.script, &script));
}

static void drive(void) {
    wf_status status;
    while ((status = wf_script_step(soak.script)) != WF_END) {
        uint32_t wait = 0;
        check("wf_script_step", status);
        check("wf_step", wf_step(soak.run, 64, &wait));
        if (status == WF_AGAIN && wait > 0) wf_posix_wait(soak.posix, wait);
    }
}

static wf_str read_file(const char *path) {
    char *text = take((size_t)1 << 20);
    FILE *f = fopen(path, "r");
    if (f == NULL) give_up(path, WF_E_IO);
    size_t n = fread(text, 1, (size_t)1 << 20, f);
    fclose(f);
    return wf_str_of(text, n);
}

int main(int argc, char **argv) {
    char args[96];
    wf_script_result result;
    struct rlimit limit;
    if (argc != 7) give_up("usage: soak ROOT URL CA-FILE SCRIPT SECONDS LANES", WF_E_CONFIG);
    unsigned long seconds = strtoul(argv[5], NULL, 10);
    soak.lanes = (uint32_t)strtoul(argv[6], NULL, 10);
    soak.rows = ROWS + PER_SECOND * (uint32_t)seconds;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    open_platform(argv[1]);
    open_network(argv[2], argv[3]);
    snprintf(args, sizeof args, "{\"seconds\":%lu,\"lanes\":%u,\"rows\":%u}", seconds, soak.lanes, soak.rows);
    wf_run_spec spec = {.name = WF_STR("soak"), .script = read_file(argv[4]), .args = wf_str_of(args, strlen(args))};
    open_run(&spec);
    soak.files = files();
    drive();
    wf_script_result_get(soak.script, &result);
    printf("{\"failed_script\":%s}\n", result.failed ? "true" : "false");
    if (result.failed) fprintf(stderr, "soak: %.*s\n", (int)result.value.len, result.value.ptr);
    wf_close(soak.run);
    wf_http_close(soak.http);
    wf_tls_close(soak.tls);
    wf_posix_close(soak.posix);
    return result.failed;
}
