#include "check.h"

int main(void) {
    CHECK(text_begins("wflog", "wf"));
    CHECK(text_begins("wf", ""));
    CHECK(!text_begins("w", "wf"));
    return 0;
}
