/* test_ignore: what .gitignore says to grep, glob and files: case by case, and against git itself on generated rules. */
#include "tests/port/toolbox.h"
#include "src/port/tools/ignore.h"
#include <fcntl.h>

/* ---- one pattern against one path ---- */

/* "-": not ignored, "i": ignored. */
static bool ignored(const char *rules, const char *path, bool dir) {
    static char room[1 << 16] __attribute__((aligned(8)));
    size_t used = 0;
    put("rules", rules);
    int fd = open(at("rules"), O_RDONLY);
    const wfi_ignore *level = wfi_ignore_load(NULL, fd, 0, room, sizeof room, &used);
    close(fd);
    return wfi_ignored(level, wf_str_of(path, strlen(path)), dir);
}

static void test_rules(void **state) {
    (void)state;
    static const struct {
        const char *rules, *path;
        bool dir, wanted;
    } cases[] = {
        {"", "a", false, false},
        {"a", "a", false, true},
        {"a", "x/y/a", false, true},
        {"a", "ab", false, false},
        {"/a", "a", false, true},
        {"/a", "x/a", false, false},
        {"x/a", "x/a", false, true},
        {"x/a", "y/x/a", false, false},
        {"a/", "a", false, false},
        {"a/", "a", true, true},
        {"a/", "x/a", true, true},
        {"# a\n#a\n\\#a", "#a", false, true},
        {"#a", "#a", false, false},
        {"*\n!a", "a", false, false},
        {"!a\n*", "a", false, true},
        {"\\!a", "!a", false, true},
        {"a  ", "a", false, true},
        {"a\\ ", "a ", false, true},
        {"a\\  ", "a ", false, true},
        {"a\t", "a", false, false},
        {"a\r\nb", "a", false, true},
        {"   ", " ", false, false},
        {"\xef\xbb\xbf"
         "a",
         "a", false, true},
        {"*.o", "x/y.o", false, true},
        {"*.o", "x/.o", false, true},
        {"*.o", "x/y.oo", false, false},
        {"a*b*c", "axxbyyc", false, true},
        {"a*b*c", "abcb", false, false},
        {"x/*", "x/a", false, true},
        {"x/*", "x/a/b", false, false},
        {"x?a", "x/a", false, false},
        {"x[/]a", "x/a", false, false},
        {"?", "\xc3\xa9", false, false},
        {"??", "\xc3\xa9", false, true},
        {"**/a", "a", false, true},
        {"**/a", "x/y/a", false, true},
        {"**/x/a", "q/x/a", false, true},
        {"x/**", "x/y/a", false, true},
        {"x/**", "x", true, false},
        {"x/**/a", "x/a", false, true},
        {"x/**/a", "x/1/2/a", false, true},
        {"x/**/a", "xx/a", false, false},
        {"x/**/a", "x/ba", false, false},
        {"x/**//", "x/b", true, false},
        {"x/b**/a", "x/bcd/a", false, true},
        {"x/b**/a", "x/b/c/a", false, false},
        {"/**/**/a", "x/a", false, true},
        {"[ab]", "b", false, true},
        {"[!ab]", "b", false, false},
        {"[^ab]", "c", false, true},
        {"[a-c]", "b", false, true},
        {"[]-]", "]", false, true},
        {"[]-]", "-", false, true},
        {"[a-]", "-", false, true},
        {"[[:digit:][:upper:]]", "7", false, true},
        {"[[:digit:][:upper:]]", "a", false, false},
        {"[[:nonsense:]a]", "a", false, false},
        {"[\\]]", "]", false, true},
        {"[a", "[a", false, false},
        {"a\\", "a\\", false, false},
        {"\\a\\*", "a*", false, true},
        {"\\a\\*", "ab", false, false},
        {"/", "a", true, false},
        {"//", "a", true, false},
        {"!", "a", false, false},
        {"a\\/b", "a/b", false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (ignored(cases[i].rules, cases[i].path, cases[i].dir) != cases[i].wanted)
            fail_msg("rules \"%s\", path %s", cases[i].rules, cases[i].path);
}

/* A pattern made to go astray takes its length times the path's, and one too long is no rule. */
static void test_hostile_rules(void **state) {
    (void)state;
    char rules[4000] = "", path[4000];
    for (int i = 0; i < 250; i++)
        strcat(rules, "**/");
    for (int i = 0; i < 100; i++)
        strcat(rules, "*a");
    strcat(rules, "b");
    for (int i = 0; i < 1900; i++)
        memcpy(path + 2 * i, "a/", 2);
    path[3799] = '\0';
    for (int i = 0; i < 10; i++)
        assert_false(ignored(rules, path, false));
    memset(rules, 'a', 1100);
    strcpy(rules + 1100, "\nx");
    assert_false(ignored(rules, "a", false));
    assert_true(ignored(rules, "x", false));
}

/* ---- the tools ---- */

static void test_tools_pass_over(void **state) {
    (void)state;
    put(".gitignore", "*.o\n/build/\n!keep.o\nsrc/deep/*.h\n");
    put("src/.gitignore", "!x.o\nlocal\n");
    mkdir(at("build"), 0755);
    put("build/out.c", "strcpy\n");
    put("build/keep.o", "strcpy\n");
    put("a.o", "strcpy\n");
    put("keep.o", "strcpy\n");
    put("src/x.o", "strcpy\n");
    put("src/y.o", "strcpy\n");
    put("src/local", "strcpy\n");
    put("src/deep/z.h", "strcpy\n");
    put("local", "strcpy\n");
    good(ask("glob", "{\"pattern\":\"**\"}"), ".gitignore\nREADME.md\nkeep.o\nlocal\nsrc/.gitignore\nsrc/deep/util.c\n"
                                              "src/main.c\nsrc/util.h\nsrc/x.o\n");
    good(effect("files", "{\"globs\":[\"**/*.o\"]}"), "[\"keep.o\",\"src/x.o\"]");
    good(ask("grep", "{\"pattern\":\"strcpy\",\"glob\":\"*.o\"}"), "keep.o:1:strcpy\nsrc/x.o:1:strcpy\n");
    /* rules from above hold below, wherever one begins */
    good(ask("glob", "{\"pattern\":\"**\",\"path\":\"src\"}"),
         "src/.gitignore\nsrc/deep/util.c\nsrc/main.c\nsrc/util.h\n"
         "src/x.o\n");
    good(ask("glob", "{\"pattern\":\"*\",\"path\":\"src/../src/deep/\"}"), "src/deep/util.c\n");
    symlink("src/deep", at("link"));
    good(ask("glob", "{\"pattern\":\"*\",\"path\":\"link\"}"), "src/deep/util.c\n");
    good(ask("glob", "{\"pattern\":\"nothing\"}"),
         "no file matches (not looked at: what .gitignore names; give its path to do so)\n");
    good(ask("grep", "{\"pattern\":\"nothing\",\"path\":\"src/main.c\"}"), "no match\n");
    /* what is named is there */
    good(ask("read", "{\"path\":\"build/out.c\"}"), "    1\tstrcpy\n");
    good(ask("grep", "{\"pattern\":\"strcpy\",\"path\":\"a.o\"}"), "a.o:1:strcpy\n");
    good(ask("grep", "{\"pattern\":\"strcpy\",\"path\":\"build\"}"), "build/keep.o:1:strcpy\nbuild/out.c:1:strcpy\n");
    put(".git/HEAD", "ref: refs/heads/main\n");
    good(ask_in("src", "glob", "{\"pattern\":\"*\"}"),
         ".gitignore\nmain.c\nutil.h\nx.o\n"); /* rules from above a cwd hold too */
    good(ask_in("src/deep", "glob", "{\"pattern\":\"*\"}"), "util.c\n");
}

static void test_odd_rule_files(void **state) {
    (void)state;
    mkdir(at(".git/info"), 0755);
    put(".git/info/exclude", "*.h\n");
    good(ask("glob", "{\"pattern\":\"src/*\"}"), "src/main.c\n");
    put(".gitignore", "!*.h\n"); /* goes before it */
    good(ask("glob", "{\"pattern\":\"src/*\"}"), "src/main.c\nsrc/util.h\n");
    unlink(at(".gitignore"));
    symlink("../secret", at(".gitignore"));
    put("../secret", "*.c\n");
    good(ask("glob", "{\"pattern\":\"src/*\"}"), "src/main.c\n"); /* rules behind a link are none */
    unlink(at(".gitignore"));
    mkdir(at(".gitignore"), 0755);
    mkfifo(at("src/.gitignore"), 0644);
    good(ask("glob", "{\"pattern\":\"src/*\"}"), "src/main.c\n");
    rmdir(at(".gitignore"));
    char *rules = malloc(2 << 20);
    memset(rules, '\n', 2 << 20);
    memcpy(rules, "*.c\n", 4);
    put_bytes(".gitignore", rules, 2 << 20);
    free(rules);
    good(ask("glob", "{\"pattern\":\"**\"}"), ".gitignore\nREADME.md\n");
}

/* ---- against git ---- */

static uint64_t seed = 88172645463325252u;
static uint32_t pick(uint32_t n) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % n;
}

static const char *const names[] = {"a",  "b",  "ab",  "abc", "a.c", "b.o", "x y", ".h", "\xc3\xa9",
                                    "#x", "!x", "a-b", "1",   "[x]", "b\\", "A",   "a ", "x*"};
#define NAMES (sizeof names / sizeof names[0])

/* git takes x** for any number of directories if nothing before it is a wildcard, though its manual does not say so: here
 * we do as the manual says. */
static bool is_disputed(const char *line) {
    const char *wild = strpbrk(line, "*?[\\");
    return wild != NULL && wild > line && wild[0] == '*' && wild[1] == '*' && wild[-1] != '/' && wild[-1] != '!';
}

static void some_rules(char *out) {
    static const char *const pieces[] = {
        "*",      "?",    "**",       "[ab]", "[!a]", "[a-c]", "[[:alpha:]]", "[^[:digit:]x]",
        "\\",     "/",    "/**/",     "**/",  "/**",  "*.",    ".",           "[",
        "]",      "[]a]", "a",        "b",    "c",    "x",     " ",           "\\ ",
        "[\\]x]", "[a-",  "[[:x:]a]", "-",    "***",  "\\*",   "[a-\\c]",     "[/a]",
        "\xc3"};
    out[0] = '\0';
    for (uint32_t lines = 1 + pick(6); lines > 0; lines--) {
        char *line = out + strlen(out);
        if (pick(4) == 0) strcat(out, "!");
        if (pick(20) == 0) strcat(out, "#");
        if (pick(20) == 0) strcat(out, "\\");
        if (pick(5) == 0) strcat(out, "/");
        for (uint32_t n = 1 + pick(4); n > 0; n--) {
            bool name = pick(3) == 0;
            strcat(out, name ? names[pick(NAMES)] : pieces[pick(sizeof pieces / sizeof pieces[0])]);
            if (pick(5) == 0) strcat(out, "/");
        }
        if (pick(10) == 0) strcat(out, "  ");
        strcat(out, pick(20) == 0 ? "\r\n" : "\n");
        if (is_disputed(line)) *line = '\0';
    }
}

static char files[600][64]; /* all files of the tree, below the root */
static int file_count;

static void make_tree(const char *dir, int depth) {
    for (size_t i = 0; i < NAMES; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s%s", dir, names[i]);
        bool below = pick(depth == 0 ? 3 : 6) == 0 || (depth == 0 && names[i][0] == 'a' && i < 3); /* a, ab */
        if (depth < 2 && below) {
            mkdir(at("%s", path), 0755);
            strcat(path, "/");
            make_tree(path, depth + 1);
        } else if (depth == 0 || pick(2) == 0) {
            put(path, "");
            strcpy(files[file_count++], path);
        }
    }
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(a, b);
}

/* What git does not ignore, a name a line, in order. */
static void ask_git(char *out) {
    static char answer_of_git[600 * 64];
    char command[400];
    FILE *f = fopen(at("../list"), "w");
    for (int i = 0; i < file_count; i++)
        fwrite(files[i], 1, strlen(files[i]) + 1, f);
    fclose(f);
    snprintf(command, sizeof command, "git -C %s check-ignore --no-index -z --stdin <%s/list", root, base);
    FILE *p = popen(command, "r");
    size_t n = fread(answer_of_git, 1, sizeof answer_of_git, p);
    pclose(p);
    out[0] = '\0';
    for (int i = 0; i < file_count; i++) {
        const char *name = answer_of_git;
        while (name < answer_of_git + n && strcmp(name, files[i]) != 0)
            name += strlen(name) + 1;
        if (name == answer_of_git + n) strcat(strcat(out, files[i]), "\n");
    }
}

/* Names the first path on which we differ. */
static void complain(const char *wanted, char rules[5][4096]) {
    const char *ours = answer;
    while (*ours == *wanted)
        ours++, wanted++;
    while (ours > answer && ours[-1] != '\n')
        ours--, wanted--;
    fail_msg("rules:\n%s--\n%s--\n%s--\n%s--\n%s\ngit has: %.40s\nwe have: %.40s", rules[0], rules[1], rules[2],
             rules[3], rules[4], wanted, ours);
}

/* git is to see no configuration but what a test makes. */
static bool own_git(void) {
    char command[500];
    setenv("HOME", base, 1);
    setenv("XDG_CONFIG_HOME", base, 1);
    setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
    mkdir(at("../git"), 0755);
    snprintf(command, sizeof command, "rm -rf %s/* %s/.git && git init -q %s 2>%s/said", root, root, root, base);
    return system(command) == 0;
}

/* What git has in the folder, as a walk that begins in it lists it. */
static void part_of(const char *list, const char *folder, char *out) {
    size_t n = strlen(folder);
    out[0] = '\0';
    for (const char *line = list; *line != '\0'; line = strchr(line, '\n') + 1)
        if (strncmp(line, folder, n) == 0) strncat(out, line + n, (size_t)(strchr(line, '\n') + 1 - line) - n);
}

static void test_as_git(void **state) {
    (void)state;
    static const char *const places[] = {".gitignore", "a/.gitignore", "ab/.gitignore", ".git/info/exclude",
                                         "../git/ignore"};
    static char wanted[600 * 64], part[600 * 64], rules[5][4096];
    if (!own_git()) skip();
    make_tree("", 0);
    uint32_t hidden = 0, below = 0, rounds = 400;
    int all = file_count;
    for (uint32_t round = 0; round < rounds; round++) {
        file_count = all;
        if (round == rounds / 2) put("../.gitconfig", "[core]\n\texcludesFile = ~/git/mine\n");
        for (int i = 0; i < 5; i++) {
            const char *place = i == 4 && round >= rounds / 2 ? "../git/mine" : places[i];
            unlink(at("%s", place));
            rules[i][0] = '\0';
            if (i > 0 && pick(3) > 0) continue;
            some_rules(rules[i]);
            put(place, rules[i]);
            if (i < 3) strcpy(files[file_count++], places[i]);
        }
        qsort(files, (size_t)file_count, sizeof files[0], by_bytes);
        ask_git(wanted);
        has(ask("glob", "{\"pattern\":\"**\"}"), "");
        if (strncmp(answer, "no file", 7) == 0) answer[0] = '\0';
        hidden += strlen(wanted) < 200;
        if (strcmp(answer, wanted) != 0) complain(wanted, rules);
        part_of(wanted, "a/",
                part); /* the folder as a root of its own; one that is ignored itself has no rules from above */
        if (part[0] != '\0' && ++below % 4 == 0) {
            ask_in("a", "glob", "{\"pattern\":\"**\"}");
            if (strcmp(answer, part) != 0) complain(part, rules);
        }
        int kept = 0; /* without the files of rules again */
        for (int i = 0; i < file_count; i++)
            if (strstr(files[i], ".gitignore") == NULL) memmove(files[kept++], files[i], sizeof files[0]);
    }
    print_message("# %u sets of rules on %d files, as git has them; %u of them hide nearly all\n", rounds, all, hidden);
}

static bool git_hides(const char *name) {
    char command[300];
    snprintf(command, sizeof command, "git -C %s check-ignore -q %s 2>/dev/null", root, name);
    return system(command) == 0;
}

/* Configurations, and whether they hide x.hid, as git says; ~/mine and ~/sub/mine do. */
static void test_configurations(void **state) {
    (void)state;
    static const struct {
        const char *own, *repository, *name, *value; /* ~/.gitconfig, .git/config; a variable of the environment */
        bool hides;
    } rows[] = {
        {"[core]\nexcludesFile = ~/mine\n", "", NULL, NULL, true},
        {"[core]\nexcludesFile = ~/none\n", "", NULL, NULL, false},
        {"[CORE]\n\tEXCLUDESFILE=~/mine", "", NULL, NULL, true},
        {"[core] excludesFile = ~/mine # and a comment\n", "", NULL, NULL, true},
        {"[core]\nexcludesFile = \"~/mine\" ; x\n", "", NULL, NULL, true},
        {"[core]\nexcludesFile = ~/mi\"ne\"\n", "", NULL, NULL, true},
        {"[core]\nexcludesFile = ~/\\\nmine\n", "", NULL, NULL, true},
        {"# [core]\n; excludesFile = ~/mine\n", "", NULL, NULL, false},
        {"[core]\n# excludesFile = ~/mine\n", "", NULL, NULL, false},
        {"[core \"x\"]\nexcludesFile = ~/mine\n", "", NULL, NULL, false},
        {"[corey]\nexcludesFile = ~/mine\n", "", NULL, NULL, false},
        {"[core]\nexcludesFiles = ~/mine\n", "", NULL, NULL, false},
        {"[alias]\nl = \"log ; # [core]\"\n[core]\neditor = vi\nexcludesFile = ~/mine\n", "", NULL, NULL, true},
        {"[core]\nexcludesFile = ~/mine\nexcludesFile = ~/none\n", "", NULL, NULL, false},
        {"[core]\nexcludesFile = ~/none\n", "[core]\nexcludesFile = ~/mine\n", NULL, NULL, true},
        {"[core]\nexcludesFile = ~/mine\n", "[core]\nexcludesFile = \"\"\n", NULL, NULL, false},
        {"", "[core]\nexcludesFile = ../mine\n", NULL, NULL, true}, /* from the top */
        {"[include]\npath = sub/more\n", "", NULL, NULL, true},
        {"[include]\npath = ~/sub/more\n[core]\nexcludesFile = ~/none\n", "", NULL, NULL, false},
        {"", "[include]\npath = ../../sub/more\n", NULL, NULL, true},
        {"[include]\npath = none\n", "", NULL, NULL, false},
        {"\xef\xbb\xbf[core]\nexcludesFile = ~/mine\n", "", NULL, NULL, true},
        {"[core]\r\n\texcludesFile = ~/mine\r\n", "", NULL, NULL, true},
        {"[core]\nexcludesFile = ~/mine\n", "", "GIT_CONFIG_GLOBAL", "/dev/null", false},
        {"", "", "GIT_CONFIG_COUNT", "1", true},
    };
    if (!own_git()) skip();
    mkdir(at("../sub"), 0755);
    put("../mine", "*.hid\n");
    put("../sub/mine", "*.hid\n");
    put("../sub/more", "[core]\nexcludesFile = ~/sub/mine\n[include]\npath = more\n");
    put("x.hid", "");
    setenv("GIT_CONFIG_KEY_0", "core.excludesFile", 1);
    setenv("GIT_CONFIG_VALUE_0", "~/mine", 1);
    const char *basic = "[core]\n\trepositoryformatversion = 0\n";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[500];
        put("../.gitconfig", rows[i].own);
        snprintf(text, sizeof text, "%s%s", basic, rows[i].repository);
        put(".git/config", text);
        if (rows[i].name != NULL) setenv(rows[i].name, rows[i].value, 1);
        bool loops =
            strstr(rows[i].own, "more") != NULL || strstr(rows[i].repository, "more") != NULL; /* git refuses that */
        if (!loops && git_hides("x.hid") != rows[i].hides) fail_msg("git, row %zu: %s", i, rows[i].own);
        ask("glob", "{\"pattern\":\"x.*\"}");
        if ((strncmp(answer, "no file", 7) == 0) != rows[i].hides) fail_msg("row %zu: %s", i, rows[i].own);
        if (rows[i].name != NULL) unsetenv(rows[i].name);
    }
}

/* A worktree has its repository's excludes, and rules from above a root that lies in it; a repository within one has its own. */
static void test_worktree(void **state) {
    (void)state;
    char command[900];
    if (!own_git()) skip();
    snprintf(command, sizeof command,
             "cd %s && exec 2>%s/said && git -c user.name=a -c user.email=b commit -q --allow-empty -m x && git "
             "worktree add -q wt && "
             "mkdir -p wt/sub/deep inner/sub && git init -q inner && touch wt/sub/a.gen wt/sub/a.own wt/sub/deep/b.gen "
             "wt/sub/c "
             "inner/sub/a.gen inner/sub/a.own inner/sub/c && echo '*.gen' >.git/info/exclude && echo '*.own' "
             ">inner/.git/info/exclude "
             "&& git config extensions.worktreeConfig true && git config core.excludesFile none && "
             "git -C wt config --worktree core.excludesFile %s/theirs && echo '*.own' >%s/theirs",
             root, base, base, base);
    if (system(command) != 0) skip();
    good(ask_in("wt", "glob", "{\"pattern\":\"**\"}"), "sub/c\n");
    good(ask_in("wt/sub", "glob", "{\"pattern\":\"**\"}"), "c\n");
    good(ask_in("wt/sub/deep", "glob", "{\"pattern\":\"**\"}"),
         "no file matches (not looked at: what .gitignore names; give its path to do so)\n");
    good(ask_in("inner/sub", "glob", "{\"pattern\":\"**\"}"), "a.gen\nc\n");
    put("wt/.gitignore", "/sub/c\n!*.gen\n");
    good(ask_in("wt/sub", "glob", "{\"pattern\":\"**\"}"), "a.gen\ndeep/b.gen\n");
    good(ask_in("wt/sub", "grep", "{\"pattern\":\"x\"}"),
         "no match (not looked at: what .gitignore names; give its path to do so)\n");
    good(ask_in("wt/sub", "glob", "{\"pattern\":\"*\",\"path\":\"deep\"}"), "deep/b.gen\n");
    put("wt/.git", "gitdir: nowhere\n"); /* then it is none, and the one above holds it */
    good(ask_in("wt/sub", "glob", "{\"pattern\":\"a*\"}"), "a.gen\na.own\n");
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_rules),  CASE(test_hostile_rules),  CASE(test_tools_pass_over), CASE(test_odd_rule_files),
        CASE(test_as_git), CASE(test_configurations), CASE(test_worktree),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
