#include "../src/text.h"
#include <stdio.h>
#include <string.h>

#define CHECK(good)                                                                                                    \
    do {                                                                                                               \
        if (!(good)) {                                                                                                 \
            printf("%s:%d: does not hold: %s\n", __FILE__, __LINE__, #good);                                           \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)
