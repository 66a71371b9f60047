/* children: how many this thread's process has, those included that have ended and were not waited for. Nothing is reaped. */
#ifndef TEST_CHILDREN_H
#define TEST_CHILDREN_H

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

/* Where the system does not tell them: 0 or 1. */
static inline int children_count(void) {
    siginfo_t info;
    int n = 0, pid;
    FILE *f = fopen("/proc/thread-self/children", "r");
    if (f == NULL) return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
    while (fscanf(f, "%d", &pid) == 1)
        n++;
    fclose(f);
    return n;
}

#endif
