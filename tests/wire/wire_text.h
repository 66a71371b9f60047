/* text: strings that grow, files, base64. For the runner of the wire cases; what goes wrong here ends the program. */
#ifndef WIRE_TEXT_H
#define WIRE_TEXT_H

#include "src/core/base/base.h"

typedef struct text {
    char *ptr; /* terminated, once something was added */
    size_t len, cap;
} text;

void text_add(text *t, wf_str s);
void text_say(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_clear(text *t); /* empty, keeping its memory */
void text_free(text *t);
wf_str text_str(const text *t);

bool text_file(const char *path, text *out); /* false: it cannot be read */
bool text_base64(wf_str s, text *out);       /* adds what it stands for; false: it is none */

#endif
