/* test_worker: models that are programs: what they read, what becomes of what they print, and that none outlives its exchange. */
#include "tests/port/toolbox.h"
#include "src/port/exec/spec.h"
#include <signal.h>

#define LANES 70u

static const char text_request[] =
    "{\"model\":\"m\",\"system\":[{\"type\":\"text\",\"text\":\"Be \\\"brief\\\".\"}],"
    "\"tools\":[{\"name\":\"read\",\"description\":\"d\",\"input_schema\":{}}],"
    "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}]}";
#define SCHEMA         "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}}}"
#define RESULT(schema) "{\"tools\":[{\"name\":\"result\",\"input_schema\":" schema "}],\"messages\":["
#define PROMPT         "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}"
#define WRAP(s)                                                                                                        \
    "{\"type\":\"object\",\"properties\":{\"value\":" s "},\"required\":[\"value\"],\"additionalProperties\":false}"
static const char schema_request[] = RESULT(SCHEMA) PROMPT "]}";
static const char list_request[] = RESULT(WRAP("{\"type\":\"array\"}")) PROMPT "]}";
static const char again_request[] = RESULT(SCHEMA) PROMPT
    ",{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"exec\",\"name\":\"result\","
    "\"input\":7}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"exec\","
    "\"content\":\"must be object\",\"is_error\":true}]}]}";

static const wf_model_ops *ops;
static void *ops_ctx;

static void open_workers(const char *own, uint32_t rights) {
    wf_posix_config c = {.root = root, .allow = rights, .workers = LANES, .worker = own};
    close_posix();
    block = malloc(wf_posix_size(&c));
    assert_int_equal(wf_posix_open(&posix, block, wf_posix_size(&c), &c, NULL), WF_OK);
    wf_posix_platform(posix, &pl);
    ops = wf_posix_workers(posix, &ops_ctx);
    assert_non_null(ops);
}

static void begin(uint32_t lane, const char *command, const char *request, uint64_t deadline, const char *cwd) {
    wf_request r = {.model = wf_str_of(command, strlen(command)), .body_len = strlen(request), .deadline = deadline};
    size_t sent = 0;
    r.cwd = wf_str_of(cwd, strlen(cwd));
    assert_int_equal(ops->begin(ops_ctx, lane, &r), WF_OK);
    for (const char *p = request; *p != '\0'; p += sent) { /* in pieces of 7 */
        wf_status s = ops->send(ops_ctx, lane, p, strlen(p) < 7 ? strlen(p) : 7, &sent);
        if (s == WF_END) return;
        assert_int_equal(s, WF_OK);
    }
}

/* Waits for the answer, keeps it, and answers the status. */
static uint32_t end(uint32_t lane) {
    wf_response head;
    wf_status s;
    uint32_t lanes[LANES];
    size_t n = 0, got;
    while ((s = ops->head(ops_ctx, lane, &head)) == WF_AGAIN) {
        wf_posix_wait(posix, 5000);
        ops->ready(ops_ctx, lanes, LANES);
    }
    assert_int_equal(s, WF_OK);
    assert_true(head.should_retry == (head.status == 503));
    while (ops->recv(ops_ctx, lane, answer + n, sizeof answer - n < 1000 ? sizeof answer - n : 1000, &got) == WF_OK)
        n += got;
    assert_true(n < sizeof answer);
    answer[n] = '\0';
    ops->end(ops_ctx, lane);
    return head.status;
}

/* Runs the user's own command. */
static uint32_t own(const char *command, const char *request) {
    open_workers(command, 0);
    begin(0, command, request, UINT64_MAX, "");
    return end(0);
}

static void says(const char *part) {
    if (strstr(answer, part) == NULL) print_error("wanted \"%s\" in: %.2000s\n", part, answer);
    assert_non_null(strstr(answer, part));
}

static uint64_t now(void) {
    return pl.now_ms(pl.ctx);
}

static void test_the_spec_is_what_the_program_reads(void **state) {
    (void)state;
    char wanted[300];
    assert_int_equal(own("cat >spec; pwd >where; echo ok", text_request), 200);
    says("[{\"type\":\"text\",\"text\":\"ok\"}],\"stop_reason\":\"end_turn\"");
    snprintf(
        wanted, sizeof wanted,
        "1\t{\"version\":1,\"prompt\":\"hi\",\"system\":\"Be \\\"brief\\\".\",\"tools\":[\"read\"],\"root\":\"%s\","
        "\"limits\":{\"output_bytes\":1048576}}",
        root);
    has(ask("read", "{\"path\":\"spec\"}"), wanted);
    has(ask("read", "{\"path\":\"where\"}"), root);
    own("cat >spec; echo '{}'", schema_request);
    has(ask("read", "{\"path\":\"spec\"}"), "\"prompt\":\"hi\",\"schema\":" SCHEMA ",\"tools\":[],");
    own("cat >spec; echo '{}'", list_request);
    has(ask("read", "{\"path\":\"spec\"}"), "\"schema\":{\"type\":\"array\"},");
    own("cat >spec; echo '{}'", again_request);
    has(ask("read", "{\"path\":\"spec\"}"), "\"prompt\":\"hi\",\"feedback\":[\"must be object\"],");
}

static void test_its_deadline_and_folder_are_told(void **state) {
    (void)state;
    open_workers("cat", 0);
    begin(0, "cat", text_request, now() + 59999, "src"); /* what is left of it: 5.... */
    assert_int_equal(end(0), 200);
    says("/tree/src\\\"");
    says("\\\"deadline_ms\\\":5");
    open_workers("pwd | sed s:.*/::",
                 WF_ALLOW_READ | WF_ALLOW_EXEC); /* the user's own: in the root, wherever the agent is */
    begin(0, "pwd | sed s:.*/::", text_request, UINT64_MAX, "src");
    assert_int_equal(end(0), 200);
    says("\"tree\"");
    begin(0, "pwd | sed s:.*/:in-:", text_request, UINT64_MAX, "src"); /* a script's */
    assert_int_equal(end(0), 200);
    says("\"in-src\"");
    begin(0, "pwd", text_request, UINT64_MAX, ".git");
    assert_int_equal(end(0), 400);
    says("no folder of the workspace");
    begin(0, "cat", text_request, UINT64_MAX, "..");
    assert_int_equal(end(0), 400);
    says("no folder of the workspace");
}

static void test_answers(void **state) {
    (void)state;
    own("printf '\\n  two\\nlines \\n\\n'", text_request);
    says("\"text\":\"two\\nlines\"}");
    own("echo '{\"text\":\"a\\u0041\",\"usage\":{\"input_tokens\":3},\"turns\":2}'", text_request);
    says("\"text\":\"a\\u0041\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":3}}");
    own("echo '{\"result\":[1, 2]}'", text_request);
    says("\"text\":\"[1, 2]\"}");
    own("echo '{\"result\":\"s\"}'", text_request);
    says("\"text\":\"s\"}");
    own("echo '{\"text\":\"a\",\"other\":1}'", text_request); /* no answer's form: a text like any other */
    says("\"text\":\"{\\\"text\\\":\\\"a\\\",\\\"other\\\":1}\"}");
    own("echo '{\"result\":{\"n\":1}}'", schema_request);
    says("\"id\":\"exec\",\"name\":\"result\",\"input\":{\"n\":1}}],\"stop_reason\":\"tool_use\"}");
    own("echo '{\"n\":2}'", schema_request);
    says("\"input\":{\"n\":2}}");
    own("echo no JSON", schema_request);
    says("\"input\":\"no JSON\"}");
    own("echo '[3]'", list_request);
    says("\"input\":{\"value\":[3]}}");
    own("printf '\\377\\000\\001x'", text_request);
    says("\"text\":\"\xef\xbf\xbd\\u0000\\u0001x\"}");
}

static void test_what_is_no_answer(void **state) {
    (void)state;
    assert_int_equal(own("echo first >&2; seq 1 3000 >&2; echo last >&2; exit 3", text_request), 400);
    says("exit code 3; its stderr: first\\n1\\n2\\n");
    says("bytes left out ...\\n");
    says("3000\\nlast\"}}");
    assert_int_equal(own("echo later >&2; exit 75", text_request), 503);
    says("exit code 75; its stderr: later\"");
    assert_int_equal(own("kill -9 $$", text_request), 400);
    says("killed by signal 9; its stderr is empty");
    assert_int_equal(own("echo ' '", text_request), 400);
    says("printed no answer on stdout");
    assert_int_equal(own("head -c 3000000 /dev/zero", text_request), 400);
    says("printed 3000000 bytes; an answer has at most 1048576");
    assert_int_equal(own("no-such-program", text_request), 400);
    says("exit code 127");
    assert_int_equal(own("", text_request), 400);
    says("has no command");
}

static void test_errors_that_it_tells(void **state) {
    (void)state;
    assert_int_equal(
        own("echo '{\"error\":{\"kind\":\"quota\",\"message\":\"no\\u0020more\"}}'; exit 75", text_request), 429);
    says("\"message\":\"the program says: quota: no more\"");
    assert_int_equal(own("echo '{\"error\":{\"kind\":\"auth\",\"message\":\"m\"}}'", text_request), 401);
    assert_int_equal(own("echo '{\"error\":{\"kind\":\"schema\",\"message\":\"m\"}}'", text_request), 400);
    assert_int_equal(own("echo '{\"error\":{}}'", text_request), 400);
    says("it failed, and not why");
    assert_int_equal(
        own("echo '{\"error\":{\"kind\":\"refused\",\"message\":\"won\\\"t\"},\"usage\":{}}'", text_request), 200);
    says("\"content\":[],\"stop_reason\":\"refusal\",\"stop_details\":{\"explanation\":\"won\\\"t\"},\"usage\":{}}");
}

static void test_no_secret_and_no_right(void **state) {
    (void)state;
    setenv("WORKER_API_KEY", "sesame", 1);
    own("env", text_request);
    assert_null(strstr(answer, "sesame"));
    says("HOME=");
    unsetenv("WORKER_API_KEY");
    open_workers("mine", WF_ALLOW_READ | WF_ALLOW_WRITE);
    begin(0, "echo hi", text_request, UINT64_MAX, "");
    assert_int_equal(end(0), 400);
    says("--allow exec");
    open_workers("mine", WF_ALLOW_READ | WF_ALLOW_EXEC);
    begin(0, "echo x >~/wf-test-outside; echo x >../outside; echo hi", text_request, UINT64_MAX, "");
    assert_int_equal(end(0), 200);
    if ((wf_posix_holds(posix, NULL) & WF_HOLDS_FILES) == 0) return;
    char path[4096];
    snprintf(path, sizeof path, "%s/../outside", root); /* what it has written is in a /tmp of its own, if at all */
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/wf-test-outside", getenv("HOME") ? getenv("HOME") : "/nowhere");
    assert_int_equal(access(path, F_OK), -1);
}

/* Whether the process is gone, or goes soon, whose number the file has. */
static bool gone(const char *file) {
    long pid = 0;
    FILE *f = fopen(at("%s", file), "r");
    if (f == NULL) return false;
    if (fscanf(f, "%ld", &pid) != 1) pid = 0;
    fclose(f);
    for (int i = 0; pid > 0 && i < 6000 && kill((pid_t)pid, 0) == 0; i++)
        usleep(10000);
    return pid > 0 && kill((pid_t)pid, 0) != 0;
}

#define HANG "trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo $$ >inner; sleep 100' &); echo $$ >outer; sleep 100"

static void test_nothing_outlives_its_exchange(void **state) {
    (void)state;
    uint32_t lanes[LANES];
    open_workers(HANG, 0);
    begin(0, HANG, text_request, UINT64_MAX, "");
    for (int i = 0; i < 6000 && (access(at("inner"), R_OK) != 0 || access(at("outer"), R_OK) != 0); i++) {
        wf_posix_wait(posix, 10);
        ops->ready(ops_ctx, lanes, LANES);
    }
    usleep(50000);
    ops->end(ops_ctx, 0);
    assert_true(gone("inner") && gone("outer"));
    unlink(at("inner"));
    unlink(at("outer"));
    begin(0, HANG, text_request, now() + 3000, ""); /* and if nobody ends it, its deadline does */
    assert_int_equal(end(0), 400);
    says("stopped at the agent's deadline");
    assert_true(gone("inner") && gone("outer"));
}

static void test_more_lanes_than_places(void **state) {
    (void)state;
    int fds;
    open_workers("echo ok", 0);
    fds = open_fds();
    for (uint32_t i = 0; i < LANES; i++)
        begin(i, "echo ok", text_request, UINT64_MAX, "");
    for (uint32_t i = LANES; i-- > 0;) {
        assert_int_equal(end(i), 200);
        says("\"ok\"");
    }
    assert_int_equal(open_fds(), fds);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_spec_is_what_the_program_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_its_deadline_and_folder_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_that_it_tells, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_secret_and_no_right, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_outlives_its_exchange, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_lanes_than_places, setup, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
