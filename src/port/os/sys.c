/* sys: see sys.h. Nothing here keeps state or calls malloc. */
#include "sys.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(MAP_NORESERVE)
#define SYS_MAP_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
#else
#define SYS_MAP_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS)
#endif

int wfi_sys_high(int fd) {
    if (fd < 0 || fd > 2) return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int saved = errno;
    close(fd);
    errno = saved;
    return high;
}

void wfi_sys_close(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

bool wfi_sys_pipe(int fds[2]) {
    int raw[2];
    fds[0] = fds[1] = -1;
    if (pipe(raw) != 0) return false;
    for (int i = 0; i < 2; i++) {
        fcntl(raw[i], F_SETFD, FD_CLOEXEC);
        fds[i] = wfi_sys_high(raw[i]);
    }
    if (fds[0] >= 0 && fds[1] >= 0 && fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0) return true;
    wfi_sys_close(&fds[0]);
    wfi_sys_close(&fds[1]);
    return false;
}

long wfi_sys_fork(uint32_t spaces) {
#if WFI_LINUX && defined(__s390__) /* takes its arguments in another order */
    return syscall(SYS_clone, NULL, (unsigned long)spaces | SIGCHLD, NULL, NULL, NULL);
#elif WFI_LINUX
    return syscall(SYS_clone, (unsigned long)spaces | SIGCHLD, NULL, NULL, NULL, NULL);
#else
    (void)spaces;
    return fork();
#endif
}

struct rlimit wfi_sys_lower(struct rlimit r, uint64_t value) {
    if (r.rlim_max == RLIM_INFINITY || r.rlim_max > value) r.rlim_max = (rlim_t)value;
    if (r.rlim_cur == RLIM_INFINITY || r.rlim_cur > r.rlim_max) r.rlim_cur = r.rlim_max;
    return r;
}

bool wfi_sys_knows_children(void) {
    return WFI_LINUX && access("/proc/thread-self/children", R_OK) == 0;
}

const char *wfi_sys_decimal(uint64_t n, char room[WFI_SYS_DECIMAL]) {
    size_t at = WFI_SYS_DECIMAL - 1;
    room[at] = '\0';
    do {
        room[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return room + at;
}

uint64_t wfi_sys_number(const char *text) {
    uint64_t n = 0;
    while (*text >= '0' && *text <= '9')
        n = n * 10 + (uint64_t)(*text++ - '0');
    return n;
}

void wfi_sys_hex(uint64_t n, char *out, size_t digits) {
    out[digits] = '\0';
    for (; digits > 0; n >>= 4)
        out[--digits] = "0123456789abcdef"[n & 15];
}

bool wfi_sys_join(const char *dir, const char *name, char *out, size_t size) {
    size_t n = name[0] == '/' ? 0 : strlen(dir), m = strlen(name);
    if (n + m + 2 > size) return false;
    memmove(out, dir, n);
    if (n > 0) out[n++] = '/';
    memcpy(out + n, name, m + 1);
    return true;
}

bool wfi_sys_is_below(const char *path, const char *folder) {
    size_t n = strlen(folder);
    return n > 0 && strncmp(path, folder, n) == 0 && path[n] == '/';
}

size_t wfi_sys_read(int fd, char *to, size_t size) {
    size_t n = 0;
    while (n < size) {
        ssize_t got = read(fd, to + n, size - n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        n += (size_t)got;
    }
    return n;
}

static bool sys_urandom(char *buf, size_t n) {
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    while (n > 0) {
        ssize_t got = read(fd, buf, n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        buf += got;
        n -= (size_t)got;
    }
    close(fd);
    return n == 0;
}

bool wfi_sys_random(void *buf, size_t n) {
    char *to = buf;
#if WFI_LINUX && defined(SYS_getrandom)
    while (n > 0) {
        long got = syscall(SYS_getrandom, to, n, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        to += got;
        n -= (size_t)got;
    }
#endif
    return n == 0 || sys_urandom(to, n);
}

uint64_t wfi_sys_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

#if WFI_LINUX && defined(SYS_sched_getaffinity)
uint32_t wfi_sys_processors(void) {
    uint64_t mask[1024 / 64] = {0};
    uint32_t count = 0;
    if (syscall(SYS_sched_getaffinity, 0, sizeof mask, mask) <= 0) return 1;
    for (size_t i = 0; i < sizeof mask / sizeof *mask; i++)
        for (uint64_t bits = mask[i]; bits != 0; bits &= bits - 1)
            count++;
    return count > 0 ? count : 1;
}
#else
uint32_t wfi_sys_processors(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (uint32_t)n : 1;
}
#endif

void *wfi_sys_pages(size_t n) {
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, SYS_MAP_FLAGS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void wfi_sys_pages_end(void *p, size_t n) {
    if (p != NULL) munmap(p, n);
}
