/* Defects that need more than the shape of one function. */
#include "shop.h"

#include <stdlib.h>
#include <string.h>

static void *allocate(size_t size) {
    return malloc(size);
}

struct entry *hard_wrapped(void) {
    struct entry *e = allocate(sizeof *e);
    e->value = 1;
    return e;
}

struct node *hard_alias(void) {
    struct node *node = malloc(sizeof *node);
    struct node *same = node;
    same->left = same->right = NULL;
    return node;
}

size_t hard_loop(char out[16], const char *text) {
    size_t n = 0;
    while (text[n] != '\0') {
        out[n] = text[n];
        n++;
    }
    return n;
}

int hard_check_too_late(const char *text, size_t n) {
    char room[32];
    memcpy(room, text, n);
    if (n > sizeof room) return -1;
    return room[0];
}

int hard_other_check(const char *text, size_t n, size_t m) {
    char room[32];
    if (m > sizeof room) return -1;
    memcpy(room, text, n);
    return room[0];
}
