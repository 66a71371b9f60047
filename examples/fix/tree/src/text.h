/* text: the few things that a report does with words. */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>

/* The length of s[0..n) without the blanks at its end. */
size_t text_trim(const char *s, size_t n);
/* How many words there are, with blanks between them. */
size_t text_words(const char *s);
/* As much of s as `out` can hold with a zero at its end; cap is at least 1. */
void text_clip(char *out, size_t cap, const char *s);
/* Whether s begins with the prefix. */
int text_begins(const char *s, const char *prefix);

#endif
