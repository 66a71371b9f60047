#include "check.h"

int main(void) {
    CHECK(text_words("") == 0);
    CHECK(text_words("one") == 1);
    CHECK(text_words(" one  two three ") == 3);
    return 0;
}
