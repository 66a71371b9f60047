/* logs: see logs.h. */
#include "logs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOGS_SUFFIX   ".wflog"
#define LOGS_NAME_MAX 60
#define LOGS_TRIES    1000
#define LOGS_MOST     100000
#define LOGS_WAITS    500 /* 10 ms apart, for runs that name their logs now */

/* The folder, open and locked while a name is chosen and not yet given; a process that dies lets go of it. */
static int logs_naming = -1;

bool cli_logs_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

static cli_exit logs_cannot(const char *what, const char *path) {
    return cli_fail(CLI_IO, "cannot %s %s: %s; fix that, or name another place with --log FILE", what, path,
                    strerror(errno));
}

static cli_exit logs_make_dir(const char *path, mode_t mode) {
    return mkdir(path, mode) == 0 || errno == EEXIST ? CLI_OK : logs_cannot("create", path);
}

static cli_exit logs_make_ignore(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return errno == EEXIST ? CLI_OK : logs_cannot("create", path);
    bool ok = write(fd, "*\n", 2) == 2;
    if (close(fd) != 0 || !ok) return logs_cannot("write", path);
    return CLI_OK;
}

static cli_exit logs_path(char path[CLI_PATH], const char *root, const char *rest) {
    int n = snprintf(path, CLI_PATH, "%s/%s", root, rest);
    if (n > 0 && n < CLI_PATH - 256) return CLI_OK;
    return cli_fail(CLI_USAGE, "--root %.40s...: the path is too long", root);
}

static cli_exit logs_make_folder(const char *root, char path[CLI_PATH]) {
    static const char *const dirs[] = {".wf", ".wf/runs"};
    static const mode_t modes[] = {0777, 0700}; /* logs hold prompts and what was read; the rest of .wf is no secret */
    cli_exit code = CLI_OK;
    for (int i = 0; i < 2 && code == CLI_OK; i++) {
        code = logs_path(path, root, dirs[i]);
        if (code == CLI_OK) code = logs_make_dir(path, modes[i]);
    }
    if (code == CLI_OK) code = logs_path(path, root, ".wf/.gitignore");
    if (code == CLI_OK) code = logs_make_ignore(path);
    return code == CLI_OK ? logs_path(path, root, ".wf/runs") : code;
}

/* A run's name as part of a file name, without the ending .lua. */
static void logs_plain(wf_str name, char out[LOGS_NAME_MAX + 1]) {
    size_t n = 0;
    if (name.len > 4 && memcmp(name.ptr + name.len - 4, ".lua", 4) == 0) name.len -= 4;
    for (size_t i = 0; i < name.len && n < LOGS_NAME_MAX; i++) {
        char c = name.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        out[n++] = plain ? c : '-';
    }
    out[n] = '\0';
}

/* A folder that cannot be locked is used all the same: at worst a name is taken by then, and that is said. */
static void logs_begin_naming(const char *folder) {
    const struct timespec pause = {0, 10 * 1000 * 1000};
    logs_naming = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < LOGS_WAITS && logs_naming >= 0; i++) {
        if (flock(logs_naming, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
        nanosleep(&pause, NULL);
    }
}

void cli_logs_named(void) {
    if (logs_naming >= 0) close(logs_naming);
    logs_naming = -1;
}

cli_exit cli_logs_new_path(const char *root, wf_str name, char path[CLI_PATH]) {
    char folder[CLI_PATH], plain[LOGS_NAME_MAX + 1], stamp[32];
    time_t now = time(NULL);
    struct tm tm;
    struct stat st;
    int error = stat(root, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    if (error != 0) return cli_fail(CLI_USAGE, "--root %s: %s", root, strerror(error));
    cli_exit code = logs_make_folder(root, folder);
    if (code != CLI_OK) return code;
    logs_begin_naming(folder);
    logs_plain(name, plain);
    if (!localtime_r(&now, &tm) || strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm) == 0) strcpy(stamp, "0");
    const char *dir = strncmp(folder, "./", 2) == 0 ? folder + 2 : folder;
    for (int i = 1; i < LOGS_TRIES; i++) {
        char again[16] = "";
        if (i > 1) snprintf(again, sizeof again, "-%d", i);
        snprintf(path, CLI_PATH, "%.3900s/%s-%s%s" LOGS_SUFFIX, dir, stamp, plain, again);
        if (!cli_logs_exists(path)) return CLI_OK;
    }
    return cli_fail(CLI_IO, "%s: no free name for a log; name one with --log FILE", folder);
}

/* ---- listing ---- */

static int logs_newer(const void *a, const void *b) {
    const cli_log_entry *x = a, *y = b;
    if (x->touched != y->touched) return x->touched < y->touched ? 1 : -1;
    return strcmp(y->path, x->path);
}

static bool logs_is_log(const char *name) {
    size_t n = strlen(name), suffix = sizeof LOGS_SUFFIX - 1;
    return n > suffix && strcmp(name + n - suffix, LOGS_SUFFIX) == 0;
}

static void logs_add(cli_log_list *list, size_t *room, const char *folder, const char *name) {
    struct stat st;
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = cli_take(size);
    snprintf(path, size, "%s/%s", folder, name);
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        free(path);
        return;
    }
    if (list->count == *room) {
        cli_log_entry *more = cli_take((*room * 2 + 16) * sizeof *more);
        if (list->count > 0) memcpy(more, list->entries, list->count * sizeof *more);
        free(list->entries);
        list->entries = more;
        *room = *room * 2 + 16;
    }
    uint64_t touched = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
    list->entries[list->count++] = (cli_log_entry){path, (uint64_t)st.st_size, touched};
}

cli_exit cli_logs_list(const char *root, cli_log_list *out) {
    char folder[CLI_PATH];
    size_t room = 0;
    memset(out, 0, sizeof *out);
    cli_exit code = logs_path(folder, root, ".wf/runs");
    if (code != CLI_OK) return code;
    DIR *dir = opendir(folder);
    if (!dir && errno == ENOENT) return CLI_OK;
    if (!dir) return cli_fail(CLI_IO, "cannot read %s: %s", folder, strerror(errno));
    const char *shown = strncmp(folder, "./", 2) == 0 ? folder + 2 : folder;
    const struct dirent *e;
    while ((e = readdir(dir)) && out->count < LOGS_MOST)
        if (logs_is_log(e->d_name)) logs_add(out, &room, shown, e->d_name);
    closedir(dir);
    if (out->count > 0) qsort(out->entries, out->count, sizeof *out->entries, logs_newer);
    return CLI_OK;
}

cli_exit cli_logs_last(const char *root, const char *command, const char **path) {
    cli_log_list list;
    cli_exit code = cli_logs_list(root, &list);
    if (code != CLI_OK) return code;
    if (list.count == 0)
        return cli_fail(CLI_USAGE, "%s: there is no log in %s/.wf/runs; start a run: wf run SCRIPT, or name a log",
                        command, root);
    *path = list.entries[0].path;
    return CLI_OK;
}

/* ---- script errors ---- */

/* Every resumed run meets its errors again, so older ones may be those of another script. */
static uint64_t logs_last_begin(wf *run) {
    uint64_t at = 0, begin = 0, before = 0;
    wf_record r;
    for (; wf_record_next(run, &at, &r) == WF_OK; before = at)
        if (strcmp(r.type, "run") == 0 || strcmp(r.type, "resume") == 0) begin = before;
    return begin;
}

void cli_logs_errors(wf *run, void (*tell)(wf_str text)) {
    uint64_t at = logs_last_begin(run);
    wf_record r;
    wf_str is_error;
    while (wf_record_next(run, &at, &r) == WF_OK)
        if (strcmp(r.type, "note") == 0 && wf_json_member(r.json, WF_STR("error"), &is_error)) tell(r.payload);
}
