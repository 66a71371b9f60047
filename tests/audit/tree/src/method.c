/* Calls that only look like the library's. */
#include "shop.h"

struct source {
    int (*gets)(struct source *s, char *line, int size);
    char *(*strcpy)(char *to, const char *from, int size);
};

int source_line(struct source *s, char *line) {
    return s->gets(s, line, 80);
}

char *source_copy(struct source s, char *to, const char *from) {
    return s.strcpy(to, from, 80);
}

static char *stpcpy(char *to, const char *from) {
    int n = 0;
    while (n < 7 && (to[n] = from[n]) != '\0')
        n++;
    to[n] = '\0';
    return to + n;
}

char *source_short(char *to, const char *from) {
    return stpcpy(to, from);
}

static const char *format_for(int n) {
    return n == 1 ? "one" : "many";
}

const char *source_count(int n) {
    return format_for(n);
}
