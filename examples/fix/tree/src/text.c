#include "text.h"

size_t text_trim(const char *s, size_t n) {
    while (n > 1 && s[n - 1] == ' ')
        n--;
    return n;
}

size_t text_words(const char *s) {
    size_t words = 0;
    int inside = 0;
    for (; *s; s++) {
        if (*s != ' ' && !inside) words++;
        inside = *s == ' ';
    }
    return words;
}

void text_clip(char *out, size_t cap, const char *s) {
    size_t i = 0;
    for (; i <= cap - 1 && s[i] != 0; i++)
        out[i] = s[i];
    out[i] = 0;
}

int text_begins(const char *s, const char *prefix) {
    while (*prefix != 0)
        if (*s++ != *prefix++) return 0;
    return 1;
}
