/* descendants: see descendants.h. The children of a process are those of its threads, which
 * /proc/PID/task/TID/children names. */
#include "descendants.h"
#if WFI_LINUX
#include "../os/dir.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Parents before their children. Each gets the signal, if it is one, as soon as it is read: numbers
 * are given out in turn, so one that was a descendant's a moment ago is nobody else's yet. */
typedef struct descendants_search {
    uint32_t *pid; /* WFI_DESCENDANTS_MAX of them */
    uint32_t count;
    int dir; /* /proc/PID/task */
    int signal;
} descendants_search;

static void descendants_proc(char out[64], uint32_t pid, const char *rest) {
    char room[WFI_SYS_DECIMAL];
    strcpy(out, "/proc/");
    strcat(out, wfi_sys_decimal(pid, room));
    strcat(out, rest);
}

/* "N N N ", of which the last may be cut short; answers how much of it was taken. */
static size_t descendants_add(descendants_search *s, const char *text) {
    const char *at = text, *space;
    while ((space = strchr(at, ' ')) != NULL && s->count < WFI_DESCENDANTS_MAX) {
        s->pid[s->count] = (uint32_t)wfi_sys_number(at);
        if (s->signal != 0) kill((pid_t)s->pid[s->count], s->signal);
        s->count++;
        at = space + 1;
    }
    return (size_t)(at - text);
}

/* The children that one thread made. */
static bool descendants_of_thread(void *ctx, const char *name, wfi_entry_type type) {
    descendants_search *s = ctx;
    char path[64], text[4096];
    size_t kept = 0;
    ssize_t n;
    (void)type;
    if (strlen(name) > 20) return true;
    strcpy(path, name);
    strcat(path, "/children");
    int fd = openat(s->dir, path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && s->count < WFI_DESCENDANTS_MAX && (n = read(fd, text + kept, sizeof text - 1 - kept)) > 0) {
        text[kept + (size_t)n] = '\0';
        size_t taken = descendants_add(s, text);
        kept += (size_t)n - taken;
        memmove(text, text + taken, kept);
    }
    wfi_sys_close(&fd);
    return true;
}

static void descendants_of(descendants_search *s, uint32_t pid) {
    uint64_t room[256];
    char path[64];
    descendants_proc(path, pid, "/task");
    s->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir >= 0) wfi_entries(s->dir, room, sizeof room, descendants_of_thread, s);
    wfi_sys_close(&s->dir);
}

/* All that descend from us, up to `most` and some more; answers how many. /proc may know us by
 * another number than we do. */
static uint32_t descendants_find(uint32_t *pids, uint32_t most, int number) {
    char self[16] = "";
    descendants_search s = {.pid = pids, .signal = number};
    if (readlink("/proc/self", self, sizeof self - 1) > 0) descendants_of(&s, (uint32_t)wfi_sys_number(self));
    for (uint32_t i = 0; i < s.count && s.count <= most; i++)
        descendants_of(&s, s.pid[i]);
    return s.count;
}

/* Children before their parents: those of one that goes at once would be ours only after we have
 * looked. */
static uint32_t descendants_ask(uint32_t *pids, int number) {
    uint32_t count = descendants_find(pids, WFI_DESCENDANTS_MAX, 0);
    for (uint32_t n = count; n > 0; n--)
        kill((pid_t)pids[n - 1], number);
    return count;
}

uint32_t wfi_descendants_count(uint32_t pids[WFI_DESCENDANTS_MAX], uint32_t most) {
    return descendants_find(pids, most, 0);
}

uint32_t wfi_descendants_signal(uint32_t pids[WFI_DESCENDANTS_MAX], int number) {
    return number == SIGKILL ? descendants_find(pids, WFI_DESCENDANTS_MAX, number) : descendants_ask(pids, number);
}

#else

uint32_t wfi_descendants_count(uint32_t pids[WFI_DESCENDANTS_MAX], uint32_t most) {
    (void)pids;
    (void)most;
    return 0;
}

uint32_t wfi_descendants_signal(uint32_t pids[WFI_DESCENDANTS_MAX], int number) {
    (void)pids;
    (void)number;
    return 0;
}

#endif
