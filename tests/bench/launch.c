/* launch: runs a program and tells what it took, from close by: the clock is read right before the program is executed, and the
 * peak of memory is the program's own (a large parent's would be counted in, since the kernel keeps it across an exec).
 *
 *     launch REPORT PROGRAM [ARGUMENT...]
 *
 * REPORT gets one line: start and end in ns of the monotonic clock, user and system time in us, peak of resident memory in KiB,
 * exit status (128 + the signal's number for a death by signal). The program dies with it. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t micros(struct timeval t) {
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_usec;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fputs("usage: launch REPORT PROGRAM [ARGUMENT...]\n", stderr);
        return 2;
    }
    uint64_t *start = mmap(NULL, sizeof *start, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return 2;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        *start = clock_ns();
        execvp(argv[2], argv + 2);
        fprintf(stderr, "launch: %s: %s\n", argv[2], strerror(errno));
        _exit(127);
    }
    struct rusage used;
    int status;
    if (child < 0 || wait4(child, &status, 0, &used) != child) return 2;
    uint64_t end = clock_ns();
    FILE *f = fopen(argv[1], "w");
    if (!f) return 2;
    fprintf(f, "%llu %llu %llu %llu %ld %d\n", (unsigned long long)*start, (unsigned long long)end,
            (unsigned long long)micros(used.ru_utime), (unsigned long long)micros(used.ru_stime), used.ru_maxrss,
            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return fclose(f) == 0 ? 0 : 2;
}
