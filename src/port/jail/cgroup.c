/* cgroup: see cgroup.h. No malloc, no stdio: it runs in forked children. */
#include "cgroup.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool cgroup_write(const wfi_cgroup *g, const char *name, const char *text) {
    char path[WFI_CGROUP_PATH + 20];
    strcpy(path, g->path);
    strcat(path, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : -1;
    wfi_sys_close(&fd);
    return n == (ssize_t)strlen(text);
}

static bool cgroup_try(wfi_cgroup *g, const char *mount, wf_str ours, const char *name, const char *most) {
    size_t n = strlen(mount);
    if (n + ours.len + strlen(name) + 1 > sizeof g->path) return false;
    memcpy(g->path, mount, n);
    memcpy(g->path + n, ours.ptr, ours.len);
    strcpy(g->path + n + ours.len, name);
    if (mkdir(g->path, 0755) == 0) {
        if (cgroup_write(g, "/pids.max", most)) return true;
        rmdir(g->path);
    }
    g->path[0] = '\0';
    return false;
}

/* A line of /proc/self/cgroup: number:controllers:path. */
static bool cgroup_line(wfi_cgroup *g, const char *line, size_t len, const char *name, const char *most) {
    const char *controllers = memchr(line, ':', len);
    const char *path =
        controllers != NULL ? memchr(controllers + 1, ':', len - (size_t)(controllers + 1 - line)) : NULL;
    if (path == NULL) return false;
    size_t n = (size_t)(path - controllers) - 1;
    wf_str ours = wf_str_of(path + 1, len - (size_t)(path + 1 - line));
    if (ours.len == 1) ours.len = 0; /* "/" */
    if (n == 0) return cgroup_try(g, "/sys/fs/cgroup", ours, name, most);
    return n == 4 && memcmp(controllers + 1, "pids", 4) == 0 && cgroup_try(g, "/sys/fs/cgroup/pids", ours, name, most);
}

bool wfi_cgroup_make(wfi_cgroup *g, const char *name, uint32_t most) {
    char text[4096], room[WFI_SYS_DECIMAL];
    const char *digits = wfi_sys_decimal(most, room);
    g->path[0] = '\0';
    int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    wfi_sys_close(&fd);
    text[n > 0 ? n : 0] = '\0';
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        if (cgroup_line(g, line, len, name, digits)) return true;
        line += len + (line[len] == '\n');
    }
    return false;
}

bool wfi_cgroup_join(const wfi_cgroup *g) {
    return cgroup_write(g, "/cgroup.procs", "0");
}

/* "max N": how often that happened. */
bool wfi_cgroup_was_full(const wfi_cgroup *g) {
    char path[WFI_CGROUP_PATH + 20], text[256];
    if (g->path[0] == '\0') return false;
    strcpy(path, g->path);
    strcat(path, "/pids.events");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    wfi_sys_close(&fd);
    text[n > 0 ? n : 0] = '\0';
    const char *max = strstr(text, "max ");
    return max != NULL && wfi_sys_number(max + 4) > 0;
}

void wfi_cgroup_freeze(const wfi_cgroup *g) {
    if (g->path[0] != '\0') cgroup_write(g, "/pids.max", "0");
}

void wfi_cgroup_remove(wfi_cgroup *g) {
    if (g->path[0] != '\0') rmdir(g->path);
    g->path[0] = '\0';
}
