#include "check.h"

int main(void) {
    CHECK(text_trim("", 0) == 0);
    CHECK(text_trim("one", 3) == 3);
    CHECK(text_trim("one  ", 5) == 3);
    CHECK(text_trim("   ", 3) == 0);
    return 0;
}
