/* A growing table of entries. */
#include "shop.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry *store_new(void) {
    struct entry *e = malloc(sizeof *e);
    e->value = 0;
    return e;
}

struct entry *store_new_checked(void) {
    struct entry *e = malloc(sizeof *e);
    if (e == NULL) return NULL;
    e->value = 0;
    return e;
}

struct entry *store_new_sure(void) {
    struct entry *e = calloc(1, sizeof *e);
    require(e);
    e->value = 1;
    return e;
}

char *store_name(const struct entry *e, int twice) {
    char *name = strdup(e->name);
    if (twice) {
        name[0] = '2';
    } else if (name == NULL) {
        return NULL;
    }
    return name;
}

int store_grow(struct store *s, size_t more) {
    s->entries = realloc(s->entries, s->size + more);
    if (s->entries == NULL) return -1;
    s->size += more;
    return 0;
}

void store_grow_or_die(struct store *s, size_t size) {
    s->entries = realloc(s->entries, size);
    if (s->entries == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    s->size = size;
}

int store_grow_kept(struct store *s, size_t size) {
    struct entry *old = s->entries;
    s->entries = realloc(s->entries, size);
    if (s->entries == NULL) {
        s->entries = old;
        return -1;
    }
    s->size = size;
    return 0;
}

struct entry *store_table(size_t rows, size_t columns) {
    struct entry *table = malloc(rows * columns * sizeof *table);
    if (table != NULL) table->value = 0;
    return table;
}

struct entry *store_table_checked(size_t rows, size_t columns) {
    if (rows > 1000 || columns > 1000) return NULL;
    return malloc(rows * columns * sizeof(struct entry));
}

struct entry *store_small(uint8_t rows, uint16_t columns) {
    return malloc(rows * columns * sizeof(struct entry));
}

struct entry *store_row(int row_given) {
    size_t n = 16;
    if (row_given) n = 32;
    return malloc(n * sizeof(struct entry));
}

void store_clear(struct entry *entries, size_t n) {
    memset(entries, 0, sizeof(entries));
    for (size_t i = 1; i < n; i++)
        entries[i] = entries[0];
}

void store_clear_name(struct entry *e) {
    memset(e->name, 0, sizeof e->name);
    memset(&e->value, 0, sizeof e->value);
}

void store_point(struct entry **to, struct entry *e) {
    memcpy(to, &e, sizeof(e));
}
