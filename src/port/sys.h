/* sys: the few system calls that every part of the POSIX port shares, with their portable substitutes.
 * WFI_PLAIN_POSIX switches the Linux forms off, so that the substitutes can be tested on Linux. */
#ifndef WFI_SYS_H
#define WFI_SYS_H

#include "../api.h"

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
WFI bool wfi_sys_random(void *buf, size_t n);
WFI uint64_t wfi_sys_now_ms(void);
/* Pages straight from the system, zeroed; NULL if there are none. */
WFI void *wfi_sys_pages(size_t n);
WFI void wfi_sys_pages_end(void *p, size_t n);

#endif
