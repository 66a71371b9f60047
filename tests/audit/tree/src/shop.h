/* What the planted sources share. */
#ifndef SHOP_H
#define SHOP_H

#include <stddef.h>

struct entry {
    char name[32];
    int value;
};

struct store {
    struct entry *entries;
    size_t size;
};

struct label {
    char text[40];
};

struct node {
    int value;
    struct node *left, *right;
};

/* Ends the program when the pointer is NULL. */
void require(const void *pointer);

_Noreturn void stop(const char *why);

#endif
