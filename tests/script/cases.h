/* cases: scripts of one line and what comes of them, each on a stage of its own. */
#ifndef TEST_CASES_H
#define TEST_CASES_H

#include "stage.h"

#define META         "meta = { name = 't', description = 'd' } "
#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef struct run_case {
    const char *source; /* META is put before it, on the same line */
    const char *
        want; /* the result; "!TEXT": the script fails and its error holds TEXT; "~TEXT": the result holds TEXT; "out of memory": it
                  * is paused for want of memory */
} run_case;

static inline char *with_meta(const char *source) {
    char *text = malloc(strlen(source) + sizeof META);
    assert_non_null(text);
    sprintf(text, META "%s", source);
    return text;
}

/* The result as a terminated text. */
static inline char *result_text(const stage *w) {
    char *text = malloc(w->result.value.len + 1);
    assert_non_null(text);
    if (w->result.value.len > 0) memcpy(text, w->result.value.ptr, w->result.value.len);
    text[w->result.value.len] = 0;
    return text;
}

static inline bool result_is(const stage *w, const char *source, const char *want) {
    char *got = result_text(w);
    bool failure = want[0] == '!', part = want[0] == '~';
    if (w->starved) got = strcpy(realloc(got, 16), "out of memory");
    bool fine =
        w->result.failed == failure && (failure || part ? strstr(got, want + 1) != NULL : strcmp(got, want) == 0);
    if (!fine) print_error("%s\n  wanted: %s\n  got:    %s%s\n", source, want, w->result.failed ? "!" : "", got);
    free(got);
    return fine;
}

/* Runs a case on a stage that the caller may have set up, and frees it. */
static inline bool run_in(stage *w, const char *body, const char *want) {
    char *source = with_meta(body);
    stage_run(w, source);
    bool fine = result_is(w, body, want);
    stage_free(w);
    free(source);
    return fine;
}

static inline void run_cases(const run_case *cases, size_t count) {
    bool fine = true;
    for (size_t i = 0; i < count; i++)
        fine &= run_in(stage_new(1, NULL, 0), cases[i].source, cases[i].want);
    assert_true(fine);
}

#endif
