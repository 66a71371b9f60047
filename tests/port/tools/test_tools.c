/* test_tools: read, grep, glob, files through the public platform, and the confinement under them. */
#include "tests/port/toolbox.h"
#include "src/port/tools/confine.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- read ---- */

static void test_read(void **state) {
    (void)state;
    good(ask("read", "{\"path\":\"README.md\"}"), "    1\thello\n    2\tworld\n");
    good(ask("read", "{\"path\":\"./src/../README.md\",\"from\":2}"), "    2\tworld\n");
    good(ask("read", "{\"path\":\"README.md\",\"from\":1,\"to\":1}"),
         "    1\thello\n... 1 more lines; read again with from=2");
    char input[300];
    snprintf(input, sizeof input, "{\"path\":\"%s/README.md\",\"from\":null,\"to\":2}", root);
    good(ask("read", input), "    1\thello\n    2\tworld\n");
    put("tail", "a\nb");
    good(ask("read", "{\"path\":\"tail\"}"), "    1\ta\n    2\tb\n");
    put("crlf", "a\r\nb\r\n");
    good(ask("read", "{\"path\":\"crlf\"}"), "    1\ta\n    2\tb\n(lines end with CRLF)\n");
    put("empty", "");
    good(ask("read", "{\"path\":\"empty\"}"), "(the file is empty)");
    put("blank", "\n");
    good(ask("read", "{\"path\":\"blank\"}"), "    1\t\n");
}

static void test_read_refusals(void **state) {
    (void)state;
    bad(ask("read", "{}"), "read: \"path\" is missing");
    bad(ask("read", "{\"path\":7}"), "read: \"path\" must be a string");
    bad(ask("read", "[]"), "\"path\" is missing");
    bad(ask("read", "{\"path\":\"README.md\",\"from\":0}"), "\"from\" must be a whole number from 1");
    bad(ask("read", "{\"path\":\"README.md\",\"from\":\"x\"}"), "\"from\" must be a whole number from 1");
    bad(ask("read", "{\"path\":\"README.md\",\"from\":3,\"to\":2}"), "\"to\" comes before \"from\"");
    bad(ask("read", "{\"path\":\"README.md\",\"from\":3}"), "beyond the end: the file has 2 lines");
    bad(ask("read", "{\"path\":\"readme.mod\"}"), "no such file or directory: readme.mod; there is README.md");
    bad(ask("read", "{\"path\":\"src/mein.c\"}"), "; there is src/main.c");
    bad(ask("read", "{\"path\":\"src\"}"), "list it with glob");
    bad(ask("read", "{\"path\":\"README.md/x\"}"), "not a directory");
    bad(ask("read", "{\"path\":\"a\\u0000b\"}"), "zero byte");
    put_bytes("binary", "ab\0cd", 5);
    bad(ask("read", "{\"path\":\"binary\"}"), "binary file, not text: binary");
    assert_int_equal(mkfifo(at("fifo"), 0644), 0);
    bad(ask("read", "{\"path\":\"fifo\"}"), "neither a regular file nor a directory");
    bad(ask("grep", "{\"pattern\":\"x\",\"path\":\"fifo\"}"), "neither a regular file nor a directory");
    char input[6000] = "{\"path\":\"", *end = input + strlen(input);
    memset(end, 'p', 5000);
    strcpy(end + 5000, "\"}");
    bad(ask("read", input), "path is too long");
    bad(ask("nothing", "{}"), "no such tool");
    bad(ask("files", "{\"globs\":[\"*\"]}"), "no such tool");
    bad(effect("grep", "{\"pattern\":\"x\"}"), "no such effect");
}

/* Why a tool is not among those of the run: never by doing it. */
static void refused(uint32_t rights, const char *tool, const char *why) {
    close_posix();
    allow = rights;
    open_posix(0, 0, 0);
    wf_str text = pl.tool_ops->refusal(pl.tool_ctx, wf_str_of(tool, strlen(tool)));
    assert_int_equal(text.len, strlen(why));
    assert_memory_equal(text.ptr, why, text.len);
    close_posix();
    allow = 0;
    open_posix(0, 0, 0);
}

static void test_refusals_name_the_mend(void **state) {
    static char name[5000];
    (void)state;
    memset(name, 'n', sizeof name - 1);
    refused(0, "write", "it is not allowed in this run; --allow write gives that right");
    refused(WF_ALLOW_READ | WF_ALLOW_EXEC, "edit", "it is not allowed in this run; --allow write gives that right");
    refused(WF_ALLOW_WRITE, "grep", "it is not allowed in this run; --allow read gives that right");
    refused(0, "read", "it is not offered in this run");
    refused(0, name, "there is no such tool; this run has read, grep, glob");
    refused(WF_ALLOW_WRITE, "", "there is no such tool; this run has write, edit");
    refused(WF_ALLOW_EXEC, "files", "there is no such tool, and this run has none");
}

static void test_read_windows(void **state) {
    (void)state;
    FILE *f = fopen(at("big"), "w");
    for (int i = 1; i <= 200000; i++)
        fprintf(f, "line %d of many\n", i); /* more than a child's threshold */
    fclose(f);
    ask("read", "{\"path\":\"big\"}");
    has(answer, "    1\tline 1 of many\n");
    has(answer, "  400\tline 400 of many\n... 199600 more lines; read again with from=401");
    assert_null(strstr(answer, "line 401"));
    ask("read", "{\"path\":\"big\",\"from\":150000,\"to\":150001}");
    good(answer, "150000\tline 150000 of many\n150001\tline 150001 of many\n"
                 "... 49999 more lines; read again with from=150002");
    start(0, "read", false, "{\"path\":\"big\"}", 1000);
    finish(0);
    assert_true(strlen(answer) <= 1000);
    unsigned long shown = 0, next = 0;
    for (char *p = answer; (p = strchr(p, '\t')) != NULL; p++)
        shown++;
    assert_int_equal(sscanf(strstr(answer, "from="), "from=%lu", &next), 1);
    assert_int_equal(next, shown + 1);
    char *line = malloc(300001);
    memset(line, 'x', 300000);
    line[300000] = '\0';
    memcpy(line + 299990, "\nend\n", 6);
    put("long", line);
    free(line);
    ask("read", "{\"path\":\"long\"}");
    has(answer, " ... (long line, cut)\n    2\tend\n");
    assert_true(strlen(answer) < 3000);
}

/* ---- confinement ---- */

static void test_escapes(void **state) {
    (void)state;
    char input[300];
    const char *out = "path leads outside the workspace: ";
    bad(ask("read", "{\"path\":\"../secret\"}"), out);
    bad(ask("read", "{\"path\":\"src/../../secret\"}"), out);
    bad(ask("read", "{\"path\":\"/etc/passwd\"}"), out);
    bad(ask("read", "{\"path\":\"/\"}"), out);
    snprintf(input, sizeof input, "{\"path\":\"%s/../secret\"}", root);
    bad(ask("read", input), out);
    snprintf(input, sizeof input, "{\"path\":\"%sx/secret\"}", root); /* shares only the beginning of its name */
    bad(ask("read", input), out);
    assert_int_equal(symlink("/etc/passwd", at("abs")), 0);
    assert_int_equal(symlink("../secret", at("rel")), 0);
    assert_int_equal(symlink("..", at("up")), 0);
    assert_int_equal(symlink("up", at("up2")), 0);
    assert_int_equal(symlink("src/main.c", at("inside")), 0);
    assert_int_equal(symlink(root, at("absroot")), 0);
    assert_int_equal(symlink("loop", at("loop")), 0);
    assert_int_equal(symlink("/proc/self/root", at("proc")), 0);
    assert_int_equal(symlink("../../tree/src", at("src/round")), 0); /* leaves and comes back: refused */
    bad(ask("read", "{\"path\":\"abs\"}"), out);
    bad(ask("read", "{\"path\":\"rel\"}"), out);
    bad(ask("read", "{\"path\":\"up/secret\"}"), out);
    bad(ask("read", "{\"path\":\"up2/secret\"}"), out);
    bad(ask("read", "{\"path\":\"proc/etc/passwd\"}"), out);
    bad(ask("read", "{\"path\":\"src/round/main.c\"}"), out);
    bad(ask("read", "{\"path\":\"loop\"}"), "too many symbolic links");
    has(ask("read", "{\"path\":\"inside\"}"), "int main");
    has(ask("read", "{\"path\":\"absroot/src/main.c\"}"), "int main");
    has(ask("read", "{\"path\":\"absroot/absroot/src/deep/../main.c\"}"), "int main");
    bad(ask("grep", "{\"pattern\":\"x\",\"path\":\"..\"}"), out);
    bad(ask("grep", "{\"pattern\":\"x\",\"path\":\"up\"}"), out);
    bad(ask("glob", "{\"pattern\":\"*\",\"path\":\"/etc\"}"), out);
    bad(ask("glob", "{\"pattern\":\"../*\"}"), "outside the workspace");
    bad(ask("glob", "{\"pattern\":\"/etc/*\"}"), "outside the workspace");
    bad(effect("files", "{\"globs\":[\"src/../../*\"]}"), "outside the workspace");
    bad(effect("read", "{\"path\":\"rel\"}"), out);
    assert_null(strstr(ask("glob", "{\"pattern\":\"**\"}"), "passwd"));
    assert_null(strstr(ask("grep", "{\"pattern\":\"outside|root:\"}"), "secret"));
}

/* While a directory is swapped for a link that leads out, and back, no open may ever show the file outside. */
static volatile bool swapping;
static void *swap_loop(void *arg) {
    (void)arg;
    while (swapping) {
        if (rename(at("sub"), at("sub.real")) != 0 || symlink("..", at("sub")) != 0) break;
        if (unlink(at("sub")) != 0 || rename(at("sub.real"), at("sub")) != 0) break;
    }
    return NULL;
}

/* A call's cwd is its whole workspace: paths begin there and lead nowhere else. */
static void test_cwd(void **state) {
    (void)state;
    int fds = open("/dev/null", O_RDONLY);
    close(fds);
    good(ask_in("src", "glob", "{\"pattern\":\"**\"}"), "deep/util.c\nmain.c\nutil.h\n");
    good(ask_in("src", "read", "{\"path\":\"util.h\"}"), "    1\t#define STRCPY\n");
    good(ask_in("src/", "grep", "{\"pattern\":\"STRCPY\"}"), "util.h:1:#define STRCPY\n");
    static const char *const outside[] = {"../README.md", "src/util.h", "../../secret"};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        char input[100];
        snprintf(input, sizeof input, "{\"path\":\"%s\"}", outside[i]);
        ask_in("src", "read", input);
        assert_true(answer_is_error);
    }
    static const char *const bad[] = {"..", "nowhere", "README.md", "/", "src/../.."};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char want[100];
        snprintf(want, sizeof want, "the agent's cwd is no folder of the workspace: %s", bad[i]);
        assert_string_equal(ask_in(bad[i], "glob", "{\"pattern\":\"**\"}"), want);
        assert_true(answer_is_fatal);
    }
    int after = open("/dev/null", O_RDONLY);
    close(after);
    assert_int_equal(after, fds); /* nothing was left open */
}

static void test_swapped_links(void **state) {
    (void)state;
    wfi_confine c;
    pthread_t thread;
    char buf[8];
    int opened = 0, refused = 0;
    mkdir(at("sub"), 0755);
    put("sub/secret", "inside\n");
    assert_int_equal(wfi_confine_init(&c, root), 0);
    swapping = true;
    assert_int_equal(pthread_create(&thread, NULL, swap_loop, NULL), 0);
    for (int i = 0; i < 20000; i++) {
        int fd = wfi_confine_open(&c, c.fd, "sub/secret");
        refused += fd < 0;
        if (fd < 0) continue;
        opened++;
        assert_int_equal(read(fd, buf, 6), 6);
        assert_memory_equal(buf, "inside", 6);
        close(fd);
    }
    swapping = false;
    pthread_join(thread, NULL);
    wfi_confine_close(&c);
    assert_true(opened > 0 && refused > 0);
}

/* ---- grep ---- */

static void test_grep(void **state) {
    (void)state;
    good(ask("grep", "{\"pattern\":\"strcpy\"}"), "src/deep/util.c:1:// strcpy in a comment\n"
                                                  "src/deep/util.c:2:strcpy(x, y);\n"
                                                  "src/main.c:2:    return strcpy(a, b);\n");
    good(ask("grep", "{\"pattern\":\"^strcpy\\\\(\"}"), "src/deep/util.c:2:strcpy(x, y);\n");
    good(ask("grep", "{\"pattern\":\"strcpy\",\"glob\":\"*.h\",\"ignore_case\":true}"),
         "src/util.h:1:#define STRCPY\n");
    good(ask("grep", "{\"pattern\":\"strcpy\",\"glob\":\"src/*.c\"}"), "src/main.c:2:    return strcpy(a, b);\n");
    good(ask("grep", "{\"pattern\":\"strcpy\",\"path\":\"src\",\"glob\":\"deep/*\",\"max\":1}"),
         "src/deep/util.c:1:// strcpy in a comment\n... cut at 1 matches; narrow pattern, path or glob, or raise max");
    good(ask("grep", "{\"pattern\":\"return\",\"path\":\"src/main.c\",\"context\":1}"),
         "src/main.c-1-int main(void) {\nsrc/main.c:2:    return strcpy(a, b);\nsrc/main.c-3-}\n");
    good(ask("grep", "{\"pattern\":\"nowhere to be found\"}"), "no match\n");
    bad(ask("grep", "{\"pattern\":\"a(b\"}"), "pattern, at character 2: a ( is never closed");
    bad(ask("grep", "{\"pattern\":\"x\",\"path\":\"missing\"}"), "no such file or directory: missing");
    bad(ask("grep", "{}"), "grep: \"pattern\" is missing");
    bad(ask("grep", "{\"pattern\":\"x\",\"max\":1001}"), "\"max\" must be a whole number from 1 to 1000");
    bad(ask("grep", "{\"pattern\":\"x\",\"ignore_case\":1}"), "\"ignore_case\" must be true or false");
}

static void test_grep_context(void **state) {
    (void)state;
    put("ctx", "1\n2\nhit\n4\n5\n6\n7\nhit\nhit\n10\n11\n");
    good(ask("grep", "{\"pattern\":\"hit\",\"path\":\"ctx\",\"context\":2}"),
         "ctx-1-1\nctx-2-2\nctx:3:hit\nctx-4-4\nctx-5-5\nctx-6-6\nctx-7-7\nctx:8:hit\nctx:9:hit\nctx-10-10\nctx-11-"
         "11\n");
    good(ask("grep", "{\"pattern\":\"hit\",\"path\":\"ctx\",\"context\":1}"),
         "ctx-2-2\nctx:3:hit\nctx-4-4\n--\nctx-7-7\nctx:8:hit\nctx:9:hit\nctx-10-10\n");
    FILE *f = fopen(at("full"), "w");
    for (int i = 0; i < 300; i++)
        fprintf(f, "%s\n", i % 4 == 0 ? "hit" : "context");
    fclose(f);
    for (uint32_t max = 512; max < 560; max++) { /* whichever line is the first that does not fit */
        unsigned long hits = 0, said = 0;
        start(0, "grep", false, "{\"pattern\":\"hit\",\"path\":\"full\",\"context\":1,\"max\":1000}", max);
        finish(0);
        for (char *p = answer; (p = strstr(p, ":hit")) != NULL; p++)
            hits++;
        assert_int_equal(sscanf(strstr(answer, "cut at"), "cut at %lu", &said), 1);
        assert_int_equal(said, hits);
        assert_true(strlen(answer) <= max);
    }
}

static void test_grep_caps(void **state) {
    (void)state;
    FILE *f = fopen(at("many"), "w");
    for (int i = 0; i < 5000; i++)
        fprintf(f, "needle %d\n", i);
    fclose(f);
    put_bytes("bin", "needle\0needle", 13);
    ask("grep", "{\"pattern\":\"needle\"}");
    has(answer, "many:100:needle 99\n(1 binary file was not searched: bin)\n... cut at 100 matches");
    assert_null(strstr(answer, "bin:"));
    start(0, "grep", false, "{\"pattern\":\"needle\",\"max\":1000}", 700);
    finish(0);
    has(answer, "the answer is full");
    assert_true(strlen(answer) <= 700);
    unsigned long lines = 0, said = 0;
    for (char *p = answer; (p = strstr(p, "many:")) != NULL; p++)
        lines++;
    assert_int_equal(sscanf(strstr(answer, "cut at"), "cut at %lu", &said), 1);
    assert_int_equal(said, lines);
    char *line = malloc(200001);
    memset(line, 'x', 200000);
    memcpy(line + 100, "needle", 6);
    memcpy(line + 199990, "\nneedle\n", 9);
    put("long", line);
    free(line);
    ask("grep", "{\"pattern\":\"needle\",\"path\":\"long\"}");
    has(answer, "...\nlong:2:needle\n");
    assert_true(strlen(answer) < 400);
    bad(ask("grep", "{\"pattern\":\"needle\",\"path\":\"bin\"}"), "it is a binary file, not text: bin");
}

/* What models know from other products' tools. */
static void test_other_words(void **state) {
    (void)state;
    put("n", "1\n2\nhit\n4\n5\nHIT\n7\n");
    good(ask("read", "{\"path\":\"n\",\"offset\":3,\"limit\":2}"),
         "    3\thit\n    4\t4\n... 3 more lines; read again with from=5");
    good(ask("read", "{\"path\":\"n\",\"offset\":6}"), "    6\tHIT\n    7\t7\n");
    good(ask("read", "{\"path\":\"n\",\"offset\":0,\"limit\":1}"),
         "    1\t1\n... 6 more lines; read again with from=2");
    good(ask("read", "{\"path\":\"n\",\"from\":6,\"limit\":1}"),
         "    6\tHIT\n... 1 more lines; read again with from=7");
    bad(ask("read", "{\"path\":\"n\",\"limit\":0}"), "\"limit\" must be a whole number from 1");
    good(ask("grep", "{\"pattern\":\"hit\",\"path\":\"n\",\"-i\":true,\"-n\":true}"), "n:3:hit\nn:6:HIT\n");
    good(ask("grep", "{\"pattern\":\"hit\",\"path\":\"n\",\"-A\":1}"), "n:3:hit\nn-4-4\n");
    good(ask("grep", "{\"pattern\":\"hit\",\"path\":\"n\",\"-B\":1}"), "n-2-2\nn:3:hit\n");
    good(ask("grep", "{\"pattern\":\"hit\",\"path\":\"n\",\"-C\":1,\"-A\":0}"), "n-2-2\nn:3:hit\n");
    good(ask("grep", "{\"pattern\":\"hit\",\"path\":\"n\",\"-i\":true,\"-B\":1}"),
         "n-2-2\nn:3:hit\n--\nn-5-5\nn:6:HIT\n");
    good(ask("grep", "{\"pattern\":\"strcpy\",\"output_mode\":\"files_with_matches\"}"),
         "src/deep/util.c\nsrc/main.c\n");
    good(ask("grep", "{\"pattern\":\"strcpy\",\"output_mode\":\"count\"}"), "src/deep/util.c:2\nsrc/main.c:1\n");
    good(ask("grep", "{\"pattern\":\"strcpy\",\"output_mode\":\"count\",\"path\":\"src/main.c\"}"), "src/main.c:1\n");
    good(ask("grep", "{\"pattern\":\"nowhere\",\"output_mode\":\"count\"}"), "no match\n");
    good(ask("grep", "{\"pattern\":\"strcpy\",\"output_mode\":\"content\",\"head_limit\":1}"),
         "src/deep/util.c:1:// strcpy in a comment\n... cut at 1 matches; narrow pattern, path or glob, or raise max");
    good(ask("grep", "{\"pattern\":\"strcpy\",\"output_mode\":\"files_with_matches\",\"max\":1}"),
         "src/deep/util.c\n... cut at 1 files; narrow pattern, path or glob, or raise max");
    bad(ask("grep", "{\"pattern\":\"x\",\"output_mode\":\"json\"}"), "must be content, files_with_matches or count");
    bad(ask("grep", "{\"pattern\":\"x\",\"-A\":11}"), "\"-A\" must be a whole number from 0 to 10");
}

/* A member that no tool would look at: nothing is done, and the model is told what there is. */
static void test_members_too_many(void **state) {
    static const struct {
        const char *tool, *input, *said;
    } cases[] = {
        {"write", "{\"path\":\"keep\",\"content\":\"new\",\"append\":true}",
         "write: there is no \"append\", and nothing was done; it takes path, content. Make a file, or replace all of "
         "it"},
        {"edit", "{\"path\":\"keep\",\"old_string\":\"a\",\"new_string\":\"b\"}",
         "edit: there is no \"old_string\", and nothing was done; it takes path, old, new, all. Replace"},
        {"read", "{\"path\":\"keep\",\"encoding\":\"latin1\"}", "it takes path, from, to. Read a text file"},
        {"grep", "{\"pattern\":\"a\",\"multiline\":true}",
         "it takes pattern, path, glob, ignore_case, context, max. Search"},
        {"glob", "{\"pattern\":\"*\",\"\\u0069gnore\":\"x\"}", "there is no \"\\u0069gnore\""},
    };
    (void)state;
    close_posix();
    allow = WF_ALLOW_READ | WF_ALLOW_WRITE;
    open_posix(0, 0, 0);
    put("keep", "old\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        bad(ask(cases[i].tool, cases[i].input), cases[i].said);
    good(ask("read", "{\"path\":\"keep\",\"encoding\":null}"), "    1\told\n");
    allow = 0;
}

static void test_grep_is_linear(void **state) {
    (void)state;
    char *line = malloc(1000002);
    memset(line, 'a', 1000000);
    for (int i = 60000; i < 1000000; i += 60001)
        line[i] = '\n';
    memcpy(line + 1000000, "\n", 2);
    put("aaa", line);
    free(line);
    good(ask("grep", "{\"pattern\":\"(a*)*b\",\"path\":\"aaa\"}"), "no match\n");
    good(ask("grep", "{\"pattern\":\"(a|a|aa)*(a+)+[^ab]$\",\"path\":\"aaa\"}"), "no match\n");
}

/* ---- glob, files ---- */

static void test_glob(void **state) {
    (void)state;
    good(ask("glob", "{\"pattern\":\"**\"}"), "README.md\nsrc/deep/util.c\nsrc/main.c\nsrc/util.h\n");
    good(ask("glob", "{\"pattern\":\"**/*.c\"}"), "src/deep/util.c\nsrc/main.c\n");
    good(ask("glob", "{\"pattern\":\"*.{c,h}\",\"path\":\"src/\"}"), "src/main.c\nsrc/util.h\n");
    good(ask("glob", "{\"pattern\":\"./src/[mu]*.?\"}"), "src/main.c\nsrc/util.h\n");
    good(ask("glob", "{\"pattern\":\"*.py\"}"), "no file matches\n");
    bad(ask("glob", "{\"pattern\":\"a{b\"}"), "glob \"a{b\": a { is never closed");
    bad(ask("glob", "{\"pattern\":\"\"}"), "it is empty");
    bad(ask("glob", "{\"pattern\":\"*\",\"path\":\"README.md\"}"), "not a directory");
    bad(ask("glob", "{\"pattern\":\"*\",\"path\":\"nope\"}"), "no such file or directory: nope");
    for (int i = 0; i < 300; i++)
        put(at("f%03d", i) + strlen(root) + 1, "");
    start(0, "glob", false, "{\"pattern\":\"f*\"}", 600);
    finish(0);
    assert_true(strlen(answer) <= 600);
    unsigned long more = 0, lines = 0;
    for (char *p = answer; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(sscanf(strstr(answer, "... "), "... %lu more", &more), 1);
    assert_int_equal(lines + more, 300);
}

static void test_files_effect(void **state) {
    (void)state;
    put("quo\"te\xff", "x");
    good(effect("files", "{\"globs\":[\"src/**/*.c\",\"**/*.c\",\"src/util.h\"]}"),
         "[\"src/deep/util.c\",\"src/main.c\",\"src/util.h\"]");
    good(effect("files", "{\"globs\":[\"quo*\"]}"),
         "[\"quo\\\"te\\\\xff\"]"); /* names that are not UTF-8: see test_names.c */
    good(effect("files", "{\"globs\":[\"none\"]}"), "[]");
    bad(effect("files", "{\"globs\":[]}"), "at least one string");
    bad(effect("files", "{\"globs\":[7]}"), "at least one string");
    bad(effect("files", "{}"), "at least one string");
    bad(effect("files", "{\"globs\":[\"[z\"]}"), "glob \"[z\": a [ is never closed");
}

/* Paths come in the order of their bytes, where '.' < '/' < '0', whatever the directory says. */
static void test_order(void **state) {
    (void)state;
    mkdir(at("o"), 0755);
    mkdir(at("o/a"), 0755);
    put("o/a/x", "");
    put("o/a.c", "");
    put("o/a0", "");
    put("o/B", "");
    good(ask("glob", "{\"pattern\":\"o/**\"}"), "o/B\no/a.c\no/a/x\no/a0\n");
}

static void test_read_effect(void **state) {
    (void)state;
    good(effect("read", "{\"path\":\"README.md\"}"), "\"hello\\nworld\\n\"");
    good(effect("read", "{\"path\":\"README.md\",\"from\":2,\"to\":2}"), "\"world\\n\"");
    good(effect("read", "{\"path\":\"README.md\",\"from\":9}"), "\"\"");
    put_bytes("odd", "a\xff\r\nb\0\"\\", 8);
    good(effect("read", "{\"path\":\"odd\"}"), "\"a\xef\xbf\xbd\\r\\nb\\u0000\\\"\\\\\"");
    put("empty", "");
    good(effect("read", "{\"path\":\"empty\"}"), "\"\"");
    bad(effect("read", "{\"path\":\"nothing.md\"}"), "no such file or directory: nothing.md");
    bad(effect("read", "{\"path\":\"src\"}"), "list it with files()");
    char *text = malloc(200001); /* characters across the window's edge stay whole */
    for (int i = 0; i < 100000; i++)
        memcpy(text + 2 * i, "\xc3\xa9", 2);
    memmove(text + 1, text, 199998);
    text[0] = 'x';
    text[199999] = '\0';
    put("wide", text);
    effect("read", "{\"path\":\"wide\"}");
    assert_false(answer_is_error);
    assert_int_equal(strlen(answer), 200001);
    assert_memory_equal(answer + 1, text, 199999);
    free(text);
    int fd = open(at("huge"), O_CREAT | O_RDWR, 0644);
    assert_int_equal(ftruncate(fd, (4 << 20) + 1), 0);
    close(fd);
    bad(effect("read", "{\"path\":\"huge\"}"), "more than 4 MiB");
}

/* ---- trees ---- */

static void test_deep_tree(void **state) {
    (void)state;
    char path[4500] = "";
    for (int i = 0; i < 200; i++) {
        strcat(path, i == 0 ? "d" : "/d");
        assert_int_equal(mkdir(at("%s", path), 0755), 0);
    }
    strcat(path, "/leaf");
    put(path, "needle\n");
    ask("grep", "{\"pattern\":\"needle\"}");
    has(answer, "(1 files or directories could not be read, first: d/d/");
    char input[4600];
    snprintf(input, sizeof input, "{\"pattern\":\"needle\",\"path\":\"%s\"}", path);
    has(ask("grep", input), "leaf:1:needle");
    ask("glob", "{\"pattern\":\"**/**/**/**/**/**/leaf\"}"); /* backtracking would never end */
}

static void test_unreadable(void **state) {
    (void)state;
    mkdir(at("closed"), 0);
    put("mute", "strcpy\n");
    chmod(at("mute"), 0);
    chmod(base, 0755);
    bool nobody = as_nobody(true);
    ask("grep", "{\"pattern\":\"world\"}");
    const char *found = strstr(answer, "README.md:2:world\n(2 files or directories could not be read, first: closed/)");
    ask("glob", "{\"pattern\":\"**/*.md\"}");
    const char *listed = strstr(answer, "README.md\n(1 files or directories could not be read, first: closed/)");
    effect("files", "{\"globs\":[\"**/*.md\"]}");
    const char *list = strstr(answer, "{\"paths\":[\"README.md\"],\"unreadable\":1,\"first\":\"closed/\"}");
    effect("files", "{\"globs\":[\"README.md\"],\"path\":\"closed\"}");
    const char *shut = strstr(answer, "closed");
    ask("read", "{\"path\":\"mute\"}");
    const char *refused = strstr(answer, "no permission to read: mute");
    assert_true(as_nobody(false));
    if (!nobody) skip();
    assert_true(found && refused && listed && list && shut);
}

/* ---- tickets ---- */

static void test_many_tickets(void **state) {
    (void)state;
    int fds = open_fds();
    close_posix();
    open_posix(50, 4, 0);
    assert_int_equal(open_fds(), fds);
    for (uint32_t i = 0; i < 50; i++)
        start(i, "grep", false, "{\"pattern\":\"int main\"}", 0);
    wf_tool_call call = {.name = WF_STR("read"), .input = WF_STR("{}")};
    assert_int_equal(pl.tool_ops->start(pl.tool_ctx, 3, &call), WF_E_CONFIG);  /* taken */
    assert_int_equal(pl.tool_ops->start(pl.tool_ctx, 50, &call), WF_E_CONFIG); /* none such */
    for (uint32_t i = 0; i < 10; i++)
        pl.tool_ops->end(pl.tool_ctx, i * 5); /* running and waiting ones */
    for (uint32_t i = 0; i < 10; i++)
        start(i * 5, "glob", false, "{\"pattern\":\"*.md\"}", 0);
    bool named[50] = {false};
    for (int left = 50; left > 0;) {
        uint32_t ready[7];
        uint32_t n = pl.tool_ops->ready(pl.tool_ctx, ready, 7);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t k = ready[i];
            assert_false(named[k]);
            named[k] = true;
            good(finish(k), k % 5 == 0 ? "README.md\n" : "src/main.c:1:int main(void) {\n");
            left--;
        }
        if (n == 0) wf_posix_wait(posix, 10000);
    }
    wf_tool_result r;
    assert_int_equal(pl.tool_ops->result(pl.tool_ctx, 1, &r), WF_E_STALE);
    assert_int_equal(pl.tool_ops->due(pl.tool_ctx), UINT64_MAX);
    assert_int_equal(open_fds(), fds);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie, no runaway */
    assert_int_equal(errno, ECHILD);
}

/* A ticket that nobody asked `ready` about, ended since, must not keep the wait from sleeping. */
/* Calls that wait for their turn hold no descriptor of their cwd: with 1,000 lanes there are not so many. */
static void test_waiting_in_cwd(void **state) {
    (void)state;
    struct rlimit old, few;
    wf_tool_call call = {.name = WF_STR("grep"),
                         .input = WF_STR("{\"pattern\":\"int main\"}"),
                         .cwd = WF_STR("src"),
                         .deadline = UINT64_MAX};
    int fds = open_fds();
    close_posix();
    open_posix(50, 2, 0);
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(pl.tool_ops->start(pl.tool_ctx, i, &call), WF_OK);
    assert_true(open_fds() <= fds + 2);
    for (uint32_t i = 0; i < 50; i++)
        good(finish(i), "main.c:1:int main(void) {\n");
    assert_int_equal(open_fds(), fds);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = old;
    int next = dup(0);
    close(next);
    few.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(pl.tool_ops->start(pl.tool_ctx, 0, &call), WF_OK);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    bad(finish(0), "no descriptor to spare"); /* and no word of the cwd, which is as good as ever */
}

static void test_wait_sleeps(void **state) {
    (void)state;
    wf_tool_result r;
    start(0, "read", false, "{\"path\":\"README.md\"}", 0);
    wf_posix_wait(posix, UINT32_MAX); /* news: it is done */
    assert_int_equal(pl.tool_ops->result(pl.tool_ctx, 0, &r), WF_OK);
    pl.tool_ops->end(pl.tool_ctx, 0);
    uint64_t before = pl.now_ms(pl.ctx);
    wf_posix_wait(posix, 50);
    assert_true(pl.now_ms(pl.ctx) - before >= 49);
}

static void test_close_kills(void **state) {
    (void)state;
    int fds = open_fds();
    for (uint32_t i = 0; i < 20; i++)
        start(i, "grep", false, "{\"pattern\":\"x\"}", 0);
    close_posix();
    assert_int_equal(open_fds(), fds - 5); /* log and its directory, the root, the wake pipe */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* An embedder that ignores SIGCHLD makes exit statuses disappear: answers arrive all the same. */
static void test_sigchld_ignored(void **state) {
    (void)state;
    signal(SIGCHLD, SIG_IGN);
    good(ask("glob", "{\"pattern\":\"*.md\"}"), "README.md\n");
    signal(SIGCHLD, SIG_DFL);
}

/* A search answers with what it has when its time is nearly over; one that cannot is stopped. */
static void test_deadline(void **state) {
    (void)state;
    FILE *f = fopen(at("slow"), "w");
    for (int i = 0; i < 2000000; i++)
        fputs("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", f);
    fclose(f);
    put("zz", "z\n"); /* it comes behind the slow one */
    close_posix();
    open_posix(4, 1, 2000);
    ask("grep", "{\"pattern\":\"(a|b|c|d|e)*((a*)*(a|aa|aaa)*){50}z\"}");
    has(answer, "zz:1:z\n(1 file takes too long and was searched in part: slow)\n");
    close_posix();
    open_posix(4, 1, 0);
    wf_tool_call call = {.name = WF_STR("grep"), .deadline = pl.now_ms(pl.ctx)};
    call.input = WF_STR("{\"pattern\":\"(a|b|c|d|e)*((a*)*(a|aa|aaa)*){50}z\"}");
    assert_int_equal(pl.tool_ops->start(pl.tool_ctx, 0, &call), WF_OK);
    bad(finish(0), "it took too long");
}

static void open_programs(void) {
    close_posix();
    allow = WF_ALLOW_READ | WF_ALLOW_BASH | WF_ALLOW_EXEC;
    open_posix(0, 0, 0);
    allow = 0;
}

static void test_bash(void **state) {
    (void)state;
    bad(ask("bash", "{\"command\":\"true\"}"), "not allowed in this run");
    open_programs();
    good(ask("bash", "{\"command\":\"echo out; echo err >&2; cat\"}"), "out\nerr\n");
    good(ask("bash", "{\"command\":\"true\"}"), "(no output)");
    good(ask("bash", "{\"command\":\"printf x; exit 3\"}"), "x\n(exit code 3)");
    has(ask("bash", "{\"command\":\"kill -9 $$\"}"), "(killed by signal 9)");
    has(ask("bash", "{\"command\":\"sleep 9\",\"timeout\":1}"),
        "(stopped after 1 s; do less, or give `timeout` in seconds, up to 600)");
#if !defined(WFI_PLAIN_POSIX) /* there the group is ended without a look */
    has(ask("bash", "{\"command\":\"sleep 100 & echo x\"}"), "x\n(what it left running was ended)");
#endif
    has(ask("bash", "{\"command\":\"seq 1 100000\"}"),
        " bytes left out, all of it is in $TMPDIR/out-1 (grep or sed it) ...\n");
    assert_true(strlen(answer) <= 32768 && strstr(answer, "\n100000\n") != NULL && strncmp(answer, "1\n2\n", 4) == 0);
    bad(ask("bash", "{}"), "bash: \"command\" is missing");
    bad(ask("bash", "{\"command\":\"true\",\"timeout\":601}"), "\"timeout\" must be a whole number from 1 to 600");
    bad(ask("bash", "{\"command\":\"a\\u0000b\"}"), "holds a zero byte");
    good(ask_in("src", "bash", "{\"command\":\"ls\"}"), "deep\nmain.c\nutil.h\n");
    bad(ask_in(".git", "bash", "{\"command\":\"touch hooks\"}"), "no command runs in .git, in .wf");
    bad(ask_in(".wf", "bash", "{\"command\":\"true\"}"), "no command runs in .git, in .wf");
    const char *text;
    uint32_t holds = wf_posix_holds(posix, &text);
    printf("# %s\n", text);
    if ((holds & WF_HOLDS_FILES) != 0)
        has(ask_in("src", "bash", "{\"command\":\"echo x >../new; ls ..\"}"), "README.md\nsrc\n");
    bad(ask("bash", "{\"command\":\"touch ran\",\"cwd\":\"src\"}"),
        "bash: there is no \"cwd\", and nothing was done; it takes command, timeout. Run a");
    bad(ask("bash", "{\"command\":\"touch ran\",\"run_in_background\":true}"), "there is no \"run_in_background\"");
    assert_int_not_equal(access(at("ran"), F_OK), 0);
    good(ask("bash", "{\"command\":\"echo x\",\"description\":\"says x\"}"), "x\n");
}

static void test_exec(void **state) {
    (void)state;
    bad(effect("exec", "{\"cmd\":\"true\"}"), "not allowed in this run");
    open_programs();
    good(effect("exec", "{\"cmd\":\"echo out; echo err >&2; exit 3\"}"),
         "{\"code\":3,\"out\":\"out\\n\",\"err\":\"err\\n\",\"truncated\":false}");
    good(effect("exec", "{\"cmd\":[\"printf\",\"%s\",\"$HOME;\"]}"),
         "{\"code\":0,\"out\":\"$HOME;\",\"err\":\"\",\"truncated\":false}");
    good(effect(
             "exec",
             "{\"cmd\":\"cat; echo $A; pwd | sed s:.*/::\",\"input\":\"in \",\"env\":{\"A\":\"b c\"},\"cwd\":\"src\"}"),
         "{\"code\":0,\"out\":\"in b c\\nsrc\\n\",\"err\":\"\",\"truncated\":false}");
    good(effect("exec", "{\"cmd\":\"kill -9 $$\"}"),
         "{\"code\":137,\"out\":\"\",\"err\":\"\",\"truncated\":false,\"signal\":9}");
    has(effect("exec", "{\"cmd\":\"sleep 9\",\"timeout\":100}"), "\"timed_out\":true");
    bad(effect("exec", "{\"cmd\":[\"no-such-program\"]}"),
        "cannot run \"no-such-program\": there is no such program; install it");
    bad(effect("exec", "{\"cmd\":[\"./README.md\"]}"), "is not executable; chmod +x it");
    static char large[200100];
    snprintf(large, sizeof large, "{\"cmd\":[\"true\",\"%0200000d\"]}", 0);
    bad(effect("exec", large), "cannot run \"true\": the command and its variables are too long for this system");
    bad(effect("exec", "{\"cmd\":\"true\",\"cwd\":\"..\"}"), "path leads outside the workspace: ..");
    static const char *const wrong[] = {"{}", "{\"cmd\":[]}", "{\"cmd\":[\"\"]}", "{\"cmd\":7}", "{\"cmd\":[7]}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        bad(effect("exec", wrong[i]), "exec: \"cmd\" must be a string or a list of strings");
    static const char *const odd[] = {"7", "{\"a\":7}", "{\"a=b\":\"\"}", "{\"\":\"\"}", "{\"a\\u0000\":\"\"}"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char input[100];
        snprintf(input, sizeof input, "{\"cmd\":\"true\",\"env\":%s}", odd[i]);
        bad(effect("exec", input), "exec: \"env\" must be a table of strings");
    }
}

static void test_no_root(void **state) {
    (void)state;
    wf_posix_config c = {.root = "/no/such/place"};
    static char memory[131072];
    wf_posix *p;
    wf_platform q;
    assert_int_equal(wf_posix_open(&p, memory, sizeof memory, &c, NULL), WF_E_NOT_FOUND);
    assert_non_null(strstr(wf_posix_error(p), "/no/such/place"));
    c.root = NULL;
    assert_int_equal(wf_posix_open(&p, memory, sizeof memory, &c, NULL), WF_OK);
    wf_posix_platform(p, &q);
    assert_null(q.tool_ops);
    wf_posix_close(p);
}

/* Every schema is JSON and every description short: they are in each request. */
static void test_tool_list(void **state) {
    (void)state;
    size_t bytes = 0;
    wf_tool tools[WF_POSIX_TOOLS];
    uint32_t count = wf_posix_tools(WF_ALLOW_READ, tools);
    assert_int_equal(count, 3);
    assert_int_equal(wf_posix_tools(0, tools), 3);
    for (uint32_t i = 0; i < count; i++) {
        wf_json j;
        wf_json_token t;
        wf_json_init(&j, tools[i].input_schema);
        do
            t = wf_json_next(&j);
        while (t != WF_JSON_END && t != WF_JSON_ERROR);
        assert_int_equal(t, WF_JSON_END);
        assert_false(tools[i].effect);
        bytes += tools[i].name.len + tools[i].description.len + tools[i].input_schema.len;
    }
    assert_true(bytes < 1100);
}

/* Searches may begin in the deepest folder that can be named: what lies in it has a path that is too long, and is told of. */
static void test_longest_path(void **state) {
    (void)state;
    static char deep[WFI_CONFINE_PATH], input[WFI_CONFINE_PATH + 100];
    char name[256];
    memset(name, 'a', 255);
    name[255] = '\0';
    int at_fd = open(root, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(mkdirat(at_fd, name, 0755), 0);
        int below = openat(at_fd, name, O_RDONLY | O_DIRECTORY);
        close(at_fd);
        at_fd = below;
        strcat(strcat(deep, i > 0 ? "/" : ""), name);
    }
    assert_int_equal(strlen(deep), WFI_CONFINE_PATH - 1);
    close(openat(at_fd, "f.c", O_WRONLY | O_CREAT, 0644));
    close(at_fd);
    static const char *const searches[][2] = {{"glob", "\"pattern\":\"*\""},
                                              {"grep", "\"pattern\":\"x\",\"glob\":\"*.c\""}};
    for (size_t i = 0; i < sizeof searches / sizeof searches[0]; i++) {
        snprintf(input, sizeof input, "{%s,\"path\":\"%s\"}", searches[i][1], deep);
        has(ask(searches[i][0], input), "(1 files or directories could not be read, first: aaaa");
    }
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_read),
        CASE(test_read_refusals),
        CASE(test_refusals_name_the_mend),
        CASE(test_read_windows),
        CASE(test_longest_path),
        CASE(test_escapes),
        CASE(test_cwd),
        CASE(test_waiting_in_cwd),
        CASE(test_swapped_links),
        CASE(test_grep),
        CASE(test_grep_context),
        CASE(test_grep_caps),
        CASE(test_grep_is_linear),
        CASE(test_other_words),
        CASE(test_members_too_many),
        CASE(test_glob),
        CASE(test_files_effect),
        CASE(test_order),
        CASE(test_read_effect),
        CASE(test_deep_tree),
        CASE(test_unreadable),
        CASE(test_many_tickets),
        CASE(test_wait_sleeps),
        CASE(test_close_kills),
        CASE(test_sigchld_ignored),
        CASE(test_deadline),
        CASE(test_no_root),
        CASE(test_tool_list),
        CASE(test_bash),
        CASE(test_exec),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
#if defined(__linux__)
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* the leak checker looks into us */
#endif
    return failed;
}
