/* The states of a small command loop. */
#include "shop.h"

#include <stdio.h>
#include <stdlib.h>

int command_cost(int command) {
    int cost = 0;
    switch (command) {
    case 'a':
        cost = 1;
    case 'b':
        cost += 2;
        break;
    case 'c':
        cost = 4;
        /* fall through */
    case 'd':
        cost += 8;
        break;
    case 'e':
    case 'f':
        return 5;
    default:
        break;
    }
    return cost;
}

int command_rank(int command, int loud) {
    switch (command) {
    case 1:
        if (loud) {
            return 1;
        } else {
            return 2;
        }
    case 2:
        if (loud) {
            return 3;
        }
    case 3: {
        return 4;
    }
    case 4:
        for (;;) {
            if (loud-- < 0) return 6;
        }
    case 5:
        stop("no such command");
    case 6:
        __attribute__((fallthrough));
    default:
        return 0;
    }
}

int command_next(int state) {
    if (state = 3) return 4;
    return state + 1;
}

int command_read(FILE *in) {
    int ch, n = 0;
    while ((ch = fgetc(in)) != EOF)
        n += ch == '\n';
    return n;
}

int command_find(struct entry *list, int value) {
    struct entry *e;
    if ((e = list)) return e->value == value;
    return 0;
}

int command_wait(int *flag, int limit) {
    int tries = 0;
    while (*flag = limit) {
        if (++tries > 10) break;
    }
    return tries;
}
