/* consent: see consent.h. */
#include "consent.h"
#include "../base/environ.h"
#include "../base/logs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONSENT_FILE "agreed"
#define CONSENT_LINE (WF_SHA256_TEXT + 8)     /* "script HASH\n" */
#define CONSENT_LOOK ((off_t)4 * 1024 * 1024) /* of the file's end: some 50,000 lines */

/* ---- the place ---- */

/* Whether the path is the folder or lies below it; both are absolute and without links. */
static bool consent_is_below(const char *path, const char *folder) {
    size_t n = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Whether what is there of the path lies in the workspace. What is not there yet is no link into it. */
static bool consent_is_in(const char *root, const char *path) {
    char part[CLI_PATH], *real = NULL, *top = realpath(root, NULL);
    snprintf(part, sizeof part, "%s", path);
    while (!(real = realpath(part, NULL)) && errno != ELOOP) {
        char *slash = strrchr(part, '/');
        if (!slash || slash == part) break;
        *slash = '\0';
    }
    bool in = !top || (real && consent_is_below(real, top));
    free(real);
    free(top);
    return in;
}

static bool consent_place(const char *root, char path[CLI_PATH]) {
    return cli_env_state(CONSENT_FILE, path, CLI_PATH) && !consent_is_in(root, path);
}

/* ---- the lines ---- */

static void consent_line(const char *kind, const wf_str *parts, size_t count, char line[CONSENT_LINE]) {
    char hash[WF_SHA256_TEXT];
    wf_sha256(parts, count, hash);
    snprintf(line, CONSENT_LINE, "%s %s\n", kind, hash);
}

static void consent_script_line(wf_str script, char line[CONSENT_LINE]) {
    consent_line("script", &script, 1, line);
}

static void consent_log_line(const char *which, const wf_run_spec *spec, char line[CONSENT_LINE]) {
    char lengths[80];
    snprintf(lengths, sizeof lengths, "\n%zu %zu %zu\n", spec->script.len, spec->args.len, spec->settings.len);
    const wf_str parts[] = {cli_str(which), cli_str(lengths), spec->script, spec->args, spec->settings};
    consent_line("log", parts, sizeof parts / sizeof *parts, line);
}

static void consent_started_line(const wf_run_spec *spec, uint64_t started, char line[CONSENT_LINE]) {
    char which[24];
    snprintf(which, sizeof which, "%llu", (unsigned long long)started);
    consent_log_line(which, spec, line);
}

/* False: the log's folder cannot be named. */
static bool consent_place_line(const char *log, const wf_run_spec *spec, char line[CONSENT_LINE]) {
    char folder[CLI_PATH], which[2 * CLI_PATH];
    const char *slash = strrchr(log, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - log) + 1 : 1, slash ? log : ".");
    char *real = realpath(folder, NULL);
    if (!real) return false;
    snprintf(which, sizeof which, "%s/%s", real, slash ? slash + 1 : log);
    free(real);
    consent_log_line(which, spec, line);
    return true;
}

/* Reads the end of the file, malloced and terminated; NULL: there is none. */
static char *consent_read(const char *path) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = NULL;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        off_t from = st.st_size > CONSENT_LOOK ? st.st_size - CONSENT_LOOK : 0;
        size_t size = (size_t)(st.st_size - from);
        text = malloc(size + 1);
        ssize_t n = text ? pread(fd, text, size, from) : -1;
        if (text) text[n > 0 ? n : 0] = '\0';
    }
    if (fd >= 0) close(fd);
    return text;
}

static bool consent_has(const char *root, const char *line) {
    char path[CLI_PATH];
    if (!consent_place(root, path)) return false;
    char *text = consent_read(path);
    const char *found = text ? strstr(text, line) : NULL;
    while (found && found > text && found[-1] != '\n')
        found = strstr(found + 1, line);
    free(text);
    return found != NULL;
}

/* Makes the folders that are missing on the way to the file, for the user alone. */
static void consent_make_folders(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
}

/* Opens the file to add to it, and makes it if it is not there; -1 and errno. */
static int consent_open(char *path) {
    consent_make_folders(path);
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
}

static void consent_add(const char *root, const char *line) {
    char path[CLI_PATH];
    if (consent_has(root, line) || !consent_place(root, path)) return;
    int fd = consent_open(path);
    if (fd < 0) return;
    ssize_t n = write(fd, line, strlen(line)); /* one write: lines of two processes do not mix */
    (void)n;
    close(fd);
}

void cli_consent_put_trouble(FILE *to, const char *root) {
    char path[CLI_PATH];
    if (!cli_env_state(CONSENT_FILE, path, sizeof path)) {
        fputs(" (wf does not remember what you agree to: set HOME or XDG_STATE_HOME)", to);
        return;
    }
    if (consent_is_in(root, path)) {
        fputs(
            " (wf does not remember what you agree to in the workspace: set XDG_STATE_HOME to a folder outside of it)",
            to);
        return;
    }
    int fd = consent_open(path), why = errno;
    if (fd >= 0) {
        close(fd);
        return;
    }
    fputs(" (wf cannot remember what you agree to in ", to);
    cli_put(to, cli_str(path), CLI_PATH);
    fprintf(to, ": %s; set XDG_STATE_HOME to a folder that you may write to)", strerror(why));
}

/* ---- what is asked ---- */

bool cli_consent_script(const char *root, wf_str script) {
    char line[CONSENT_LINE];
    consent_script_line(script, line);
    return consent_has(root, line);
}

void cli_consent_add_script(const char *root, wf_str script) {
    char line[CONSENT_LINE];
    consent_script_line(script, line);
    consent_add(root, line);
}

bool cli_consent_log(const char *root, const char *log, const wf_run_spec *spec, uint64_t started) {
    char line[CONSENT_LINE];
    consent_started_line(spec, started, line);
    if (consent_has(root, line)) return true;
    return consent_place_line(log, spec, line) && consent_has(root, line);
}

void cli_consent_add_place(const char *root, const char *log, const wf_run_spec *spec) {
    char line[CONSENT_LINE];
    if (consent_place_line(log, spec, line)) consent_add(root, line);
}

void cli_consent_add_log(const char *root, const wf_run_spec *spec, uint64_t started) {
    char line[CONSENT_LINE];
    consent_started_line(spec, started, line);
    consent_add(root, line);
}
