/* reserve: a block of memory for a run, as large as suits the machine. Public functions, declared in posix.h.
 *
 * The block is only reserved: its pages are taken when they are first used, so its size is a promise of how much a run
 * may come to use, and costs nothing by itself. */
#include "../../api/posix.h"
#include "sys.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RESERVE_MIB   ((uint64_t)1 << 20)
#define RESERVE_MOST  (4096 * RESERVE_MIB)
#define RESERVE_ROOMY (64 * RESERVE_MIB) /* more than a quarter of a small machine is taken to reach this, */
#define RESERVE_LEAST (16 * RESERVE_MIB) /* ... and all of it to reach this */
#define RESERVE_PATH  512

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* The first bytes of a file, terminated; "" if it cannot be read. */
static const char *reserve_read(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, size - 1) : 0;
    wfi_sys_close(&fd);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void reserve_lower(uint64_t *bytes, uint64_t limit) {
    if (limit < *bytes) *bytes = limit;
}

/* Lowers *bytes to a cgroup's limit and those of its parents: the file `name` in mount/path, mount/path/.., to mount. */
static void reserve_cgroup(uint64_t *bytes, const char *mount, const char *own, size_t own_len, const char *name) {
    char path[RESERVE_PATH], text[32];
    size_t top = strlen(mount), len = top + own_len;
    if (len + strlen(name) + 1 > sizeof path) return;
    memcpy(path, mount, top);
    memcpy(path + top, own, own_len);
    for (;;) {
        memcpy(path + len, name, strlen(name) + 1);
        reserve_read(path, text, sizeof text);
        if (text[0] >= '0' && text[0] <= '9') reserve_lower(bytes, strtoull(text, NULL, 10)); /* else "max", or none */
        if (len == top) return;
        do
            len--;
        while (len > top && path[len] != '/');
    }
}

/* The lines of /proc/self/cgroup: number:controllers:path. No controllers: version 2. */
static void reserve_cgroups(uint64_t *bytes) {
    char text[4096];
    reserve_read("/proc/self/cgroup", text, sizeof text);
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        const char *controllers = memchr(line, ':', len);
        const char *path = controllers ? memchr(controllers + 1, ':', len - (size_t)(controllers + 1 - line)) : NULL;
        if (path) {
            size_t n = (size_t)(path - controllers) - 1, own = len - (size_t)(path + 1 - line);
            if (n == 0) reserve_cgroup(bytes, "/sys/fs/cgroup", path + 1, own, "/memory.max");
            if (n == 6 && memcmp(controllers + 1, "memory", 6) == 0)
                reserve_cgroup(bytes, "/sys/fs/cgroup/memory", path + 1, own, "/memory.limit_in_bytes");
        }
        line += len + (line[len] == '\n');
    }
}

/* Half of the address space that RLIMIT_AS leaves: the other half is for whatever else is mapped later. */
static void reserve_address_space(uint64_t *bytes) {
    char text[32];
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
    reserve_read("/proc/self/statm", text, sizeof text);
    uint64_t used = strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
    reserve_lower(bytes, used < limit.rlim_cur ? (limit.rlim_cur - used) / 2 : 0);
}

static uint64_t reserve_standard(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t all = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 4 * RESERVE_ROOMY, bytes;
    reserve_cgroups(&all);
    bytes = all / 4;
    if (bytes < RESERVE_ROOMY) bytes = all / 2 < RESERVE_ROOMY ? all / 2 : RESERVE_ROOMY;
    reserve_lower(&bytes, RESERVE_MOST);
    reserve_lower(&bytes, SIZE_MAX / 4);
    reserve_address_space(&bytes);
    return bytes > RESERVE_LEAST ? bytes / RESERVE_MIB * RESERVE_MIB : RESERVE_LEAST;
}

void *wf_posix_reserve(size_t *size) {
    bool given = *size > 0;
    size_t n = given ? *size : (size_t)reserve_standard();
    void *block = MAP_FAILED;
    for (; n >= (given ? *size : RESERVE_MIB); n /= 2) {
        block = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (block != MAP_FAILED) break;
    }
    if (block == MAP_FAILED) return NULL;
    *size = n;
    return block;
}

void wf_posix_release(void *block, size_t size) {
    if (block) munmap(block, size);
}
