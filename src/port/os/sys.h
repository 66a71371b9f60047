/* sys: the few system calls that every part of the POSIX port shares, with their portable substitutes.
 * WFI_PLAIN_POSIX switches the Linux forms off, so that the substitutes can be tested on Linux. */
#ifndef WFI_SYS_H
#define WFI_SYS_H

#include "../../api/core.h"
#include <sys/resource.h>

#ifndef WFI
#define WFI extern
#endif

#if defined(__linux__) && !defined(WFI_PLAIN_POSIX)
#define WFI_LINUX 1
#else
#define WFI_LINUX 0
#endif

/* Descriptors are moved to 3 or above: a closed stdout must not make the log descriptor 1. -1 with errno. */
WFI int wfi_sys_high(int fd);
WFI bool wfi_sys_pipe(int fds[2]); /* both close-on-exec, 3 or above; the reading end does not block */
WFI void wfi_sys_close(int *fd);   /* if it is not -1; it becomes -1 */
/* fork as a bare system call, into new namespaces (CLONE_NEW..., Linux): runs no handler and takes no lock, so it is safe in a
 * child of a process with threads; but malloc and stdio are not, from then on. */
WFI long wfi_sys_fork(uint32_t spaces);
/* Lowers a resource's limits to a value. A macro, because systems disagree on the type of a resource's number. */
WFI struct rlimit wfi_sys_lower(struct rlimit r, uint64_t value);
#define WFI_SYS_LIMIT(resource, value)                                                                                 \
    do {                                                                                                               \
        struct rlimit limit;                                                                                           \
        if (getrlimit((resource), &limit) == 0) {                                                                      \
            limit = wfi_sys_lower(limit, (value));                                                                     \
            setrlimit((resource), &limit);                                                                             \
        }                                                                                                              \
    } while (0)
/* Whether the system tells the children of a process (Linux: /proc, mounted, with CONFIG_PROC_CHILDREN). */
WFI bool wfi_sys_knows_children(void);
WFI bool wfi_sys_random(void *buf, size_t n);
/* What snprintf would do, where nothing of stdio may be called: in a child of a process with threads. */
#define WFI_SYS_DECIMAL 21                                               /* bytes of a number, with its terminator */
WFI const char *wfi_sys_decimal(uint64_t n, char room[WFI_SYS_DECIMAL]); /* somewhere in room */
WFI uint64_t wfi_sys_number(const char *text);                           /* the digits at its start */
WFI void wfi_sys_hex(uint64_t n, char *out, size_t digits); /* the last ones, and a terminator behind them */
/* dir and "/" and name, or name alone if it is absolute; false: that is not less than `size` bytes. dir may be out. */
WFI bool wfi_sys_join(const char *dir, const char *name, char *out, size_t size);
/* Whether a path lies in that folder, by its text; nothing lies in "". */
WFI bool wfi_sys_is_below(const char *path, const char *folder);
/* Reads up to `size` bytes; less: the file has no more, or cannot be read further. */
WFI size_t wfi_sys_read(int fd, char *to, size_t size);
WFI uint64_t wfi_sys_now_ms(void);
WFI uint32_t wfi_sys_processors(void); /* that we may use; at least 1 */
/* Pages straight from the system, zeroed; NULL if there are none. */
WFI void *wfi_sys_pages(size_t n);
WFI void wfi_sys_pages_end(void *p, size_t n);

#endif
