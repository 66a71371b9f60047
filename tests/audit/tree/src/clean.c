/* Careful code: no finding here may survive. */
#include "shop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int clean_fill(int fd, char *out, size_t size) {
    char block[512];
    ssize_t n = read(fd, block, sizeof block);
    if (n < 0 || (size_t)n > size) return -1;
    memcpy(out, block, (size_t)n);
    return (int)n;
}

int clean_echo(int fd) {
    char block[512], copy[512];
    ssize_t n = read(fd, block, sizeof block);
    if (n < 0) return -1;
    memcpy(copy, block, (size_t)n);
    return copy[0];
}

int clean_lines(const char *path) {
    FILE *in = fopen(path, "r");
    if (!in) return -1;
    int n = 0;
    for (int ch = fgetc(in); ch != EOF; ch = fgetc(in))
        n += ch == '\n';
    fclose(in);
    return n;
}

char *clean_join(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    char *text = malloc(n + m + 1);
    if (text == NULL) goto out;
    memcpy(text, a, n);
    memcpy(text + n, b, m + 1);
out:
    return text;
}

int clean_kind(int ch) {
    switch (ch) {
    case ' ':
    case '\t':
        return 1;
    case '0': {
        int zero = 2;
        return zero;
    }
    case 'x':
        exit(1);
    default:
        return ch == ':' ? 3 : 4;
    }
}

int clean_copy(char *to, size_t size, const char *from) {
    return snprintf(to, size, "%s", from) < (int)size ? 0 : -1;
}
