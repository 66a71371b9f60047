/* input: what the fuzz targets share. A target takes bytes as the wire, a file or a person might bring them, feeds them to a part
 * of the product, and judges what comes of it; a broken promise ends the program, and so do the sanitizers.
 *
 * A target named NAME is the function fuzz_NAME of the file fuzz_NAME.c, and an entry in FUZZ_TARGETS. */
#ifndef TEST_INPUT_H
#define TEST_INPUT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/core/base/base.h"
#include "tests/fake/chance.h"

/* With how many mutations of its corpus `make test` feeds it: what is slow gets fewer. */
#define FUZZ_TARGETS(X)                                                                                                \
    X(json, 2000)                                                                                                      \
    X(schema, 1000)                                                                                                    \
    X(http, 1000)                                                                                                      \
    X(client, 2000)                                                                                                    \
    X(reader, 1000)                                                                                                    \
    X(log, 150)                                                                                                        \
    X(damage, 100)                                                                                                     \
    X(misc, 1000)                                                                                                      \
    X(patterns, 2000)                                                                                                  \
    X(script, 40)

/* Always answers 0, as libFuzzer wants it. */
#define FUZZ_DECLARE(name, mutations) int fuzz_##name(const uint8_t *data, size_t size);
FUZZ_TARGETS(FUZZ_DECLARE)
#undef FUZZ_DECLARE

/* A promise of the product. */
#define FUZZ_MUST(promise) ((promise) ? (void)0 : input_broken(__FILE__, __LINE__, #promise))

_Noreturn static inline void input_broken(const char *file, int line, const char *promise) {
    fprintf(stderr, "%s:%d: broken: %s\n", file, line, promise);
    abort();
}

/* A cursor over the bytes. Past their end there are zeros without end. */
typedef struct input {
    const uint8_t *at;
    size_t left;
} input;

static inline uint32_t input_byte(input *in) {
    if (in->left == 0) return 0;
    in->left--;
    return *in->at++;
}

/* 0 .. n-1. A small n takes one byte, a larger one two. */
static inline uint32_t input_below(input *in, uint32_t n) {
    uint32_t value = input_byte(in);
    if (n > 256) value = value << 8 | input_byte(in);
    return value % n;
}

/* The next n bytes, or as many as there are. */
static inline wf_str input_take(input *in, size_t n) {
    if (n > in->left) n = in->left;
    wf_str taken = wf_str_of((const char *)in->at, n);
    if (n > 0) in->at += n;
    in->left -= n;
    return taken;
}

/* The next line, without its line feed, which is passed over. */
static inline wf_str input_line(input *in) {
    const uint8_t *end = in->left > 0 ? memchr(in->at, '\n', in->left) : NULL;
    wf_str line = input_take(in, end ? (size_t)(end - in->at) : in->left);
    if (end) input_byte(in);
    return line;
}

static inline void *input_alloc(size_t n) {
    void *memory = malloc(n);
    if (!memory && n > 0) abort();
    return memory;
}

/* A copy that ends where its memory does, so that a sanitizer sees a read beyond it. To be freed. */
static inline char *input_copy(wf_str text) {
    char *copy = input_alloc(text.len);
    if (text.len > 0) memcpy(copy, text.ptr, text.len);
    return copy;
}

/* How much of what is left comes next: a few bytes by chance, or all of it (*chance 0). */
static inline size_t input_piece(uint64_t *chance, size_t left) {
    if (*chance == 0) return left;
    size_t few = 1 + (size_t)fake_below(chance, 7);
    return few < left ? few : left;
}

static inline bool input_same(wf_str a, wf_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool input_holds(wf_str text, wf_str part) {
    return text.len > 0 && memmem(text.ptr, text.len, part.ptr, part.len) != NULL;
}

#endif
