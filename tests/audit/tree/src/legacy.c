/* Old code, parts of it switched off. */
#include "shop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if 0
int legacy_ask(char *line) {
    return gets(line) != NULL;
}
#else
int legacy_ask(char *line) {
    return fgets(line, 80, stdin) != NULL;
}
#endif

int legacy_open(char *name) {
#ifdef LEGACY_UNIX
    if (name[0] != '/') {
#else
    if (name[1] != ':') {
#endif
        strcat(name, ".dat");
    }
    return tmpnam(name) != NULL;
}

#if 1
char *legacy_first(const char *text) {
    char *word = malloc(32);
    if (sscanf(text, "%s", word) != 1) return NULL;
    return word;
}
#else
char *legacy_first(const char *text) {
    char *word = malloc(32);
    word[0] = text[0];
    return word;
}
#endif

static int legacy_unused(const char *text) {
    char room[8];
    strcpy(room, text);
    return room[0];
}

int legacy_never(char *out, const char *text) {
    if (0) {
        strcpy(out, text);
    }
    return out[0];
}

/*
int legacy_commented(char *line) {
    return gets(line) != NULL;
}
*/

const char *legacy_text(void) {
    return "/* not a comment, and no call either: gets(line) ";
}

int legacy_last(void) {
    int table[8], sum = 0;
    for (int i = 0; i <= 8; i++) {
        table[i] = i;
    }
    for (int i = 0; i < 8; i++)
        sum += table[i];
    for (int i = 0; i <= 8; i++) {
        if (i == 8) break;
        sum += table[i];
    }
    return sum;
}
