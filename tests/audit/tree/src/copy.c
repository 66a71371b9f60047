/* Copies between buffers, with and without care. */
#include "shop.h"

#include <stdlib.h>
#include <string.h>

enum { LABEL_MAX = 40 };

int label_set(struct label *label, const char *text) {
    strcpy(label->text, text);
    return 0;
}

int label_set_checked(struct label *label, const char *text) {
    if (strlen(text) >= sizeof label->text) return -1;
    strcpy(label->text, text);
    return 0;
}

size_t label_default(char *out, size_t size) {
    char text[16];
    strcpy(text, "unnamed");
    strncpy(out, text, size - 1);
    out[size - 1] = '\0';
    return strlen(out);
}

char *label_double(const char *text) {
    char *copy = malloc(strlen(text) + 1);
    if (!copy) return NULL;
    strcpy(copy, text);
    return copy;
}

unsigned packet_sum(const unsigned char *from, size_t n) {
    unsigned char block[64];
    unsigned sum = 0;
    if (n == 0) return 0;
    memcpy(block, from, n);
    for (size_t i = 0; i < n; i++)
        sum += block[i];
    return sum;
}

unsigned packet_sum_checked(const unsigned char *from, size_t n) {
    unsigned char block[64];
    unsigned sum = 0;
    if (n > sizeof block) return 0;
    memcpy(block, from, n);
    for (size_t i = 0; i < n; i++)
        sum += block[i];
    return sum;
}

unsigned packet_sum_cut(const unsigned char *from, size_t n) {
    unsigned char block[64];
    unsigned sum = 0;
    size_t len = n > sizeof block ? sizeof block : n;
    memcpy(block, from, len);
    for (size_t i = 0; i < len; i++)
        sum += block[i];
    return sum;
}

unsigned packet_sum_wrong_way(const unsigned char *from, size_t n) {
    unsigned char block[64];
    unsigned sum = 0;
    if (n < 4) return 0;
    memmove(block, from, n);
    for (size_t i = 0; i < 4; i++)
        sum += block[i];
    return sum;
}

int label_compare(const char *a, const char *b) {
    char first[LABEL_MAX];
    size_t n = strlen(a);
    strncpy(first, a, n);
    return strncmp(first, b, LABEL_MAX);
}
