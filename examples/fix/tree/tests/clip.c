#include "check.h"

int main(void) {
    char out[] = "........";
    text_clip(out, 4, "ab");
    CHECK(strcmp(out, "ab") == 0);
    text_clip(out, 4, "abcdef");
    CHECK(strcmp(out, "abc") == 0 && out[4] == '.');
    return 0;
}
