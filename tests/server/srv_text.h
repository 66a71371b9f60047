/* text: slices, growing buffers and the little JSON that the test server needs. Out of memory ends the process. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct slice {
    const char *p;
    size_t n;
} slice;

#define SLICE(s) ((slice){(s), sizeof(s) - 1}) /* of a literal */

slice slice_of(const char *s);
bool slice_is(slice a, const char *b);
bool slice_is_word(slice a, const char *b); /* letters of either case */
bool slice_has(slice hay, slice needle);
slice slice_trim(slice s);
slice header_value(slice head, const char *name); /* of the head's first line of that name; empty: none */
bool slice_number(slice s, uint64_t *out);        /* decimal digits alone */

typedef struct text {
    char *p;
    size_t n, cap;
} text;

void *must_alloc(void *old, size_t size);
char *text_room(text *t, size_t more); /* where to write; t->n is the caller's to raise */
void text_add(text *t, const void *bytes, size_t n);
void text_str(text *t, const char *s);
void text_slice(text *t, slice s);
void text_number(text *t, uint64_t value);
void text_format(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_drop(text *t, size_t n); /* the first n bytes */
void text_free(text *t);
slice text_view(const text *t);

/* The bytes as the inside of a JSON string; bytes that are no UTF-8 are taken for Latin-1. */
void text_escape(text *t, slice s);
void text_quote(text *t, slice s); /* the same with its quotes */

/* JSON, over text that may be anything. A value: where it ends, or NULL when it is not one. */
const char *json_end(const char *p, const char *end);
bool json_valid(slice s);
/* The value of a member as it stands (with quotes); empty when the object has none. */
slice json_member(slice object, const char *name);
/* The elements of an array one after the other; *at begins at 0. False: no more. */
bool json_element(slice array, size_t *at, slice *out);
slice json_inside(slice string); /* without the quotes, escapes as they are */

#endif
