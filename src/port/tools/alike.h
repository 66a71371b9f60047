/* alike: where a text that was not found nearly is, and what differs: characters that look like others (typographic quotes, dashes,
 * blanks of all kinds, full width, with accents or without), and the line that is most like the one that was looked for. It only
 * tells: nothing is ever replaced because of it. */
#ifndef WFI_ALIKE_H
#define WFI_ALIKE_H

#include "../os/sys.h"

/* One character, and what follows it, to be named; len 0: the text, or its line, ends there. */
typedef struct wfi_alike_char {
    wf_str text;
    uint32_t c, mark; /* mark: a combining one behind it, or 0 */
} wfi_alike_char;

typedef struct wfi_alike {
    size_t from, to; /* of the text: the place that is like it, or its first line */
    size_t at;       /* where the first character stands that differs */
    bool blanks;     /* nothing differs but spaces, tabs and line ends */
    wfi_alike_char is, wanted;
} wfi_alike;

/* The place in text that differs from `what` in blanks and in characters that look alike only. room: memory for copies of both, in
 * which one character may need three bytes for one; where that is not enough, nothing is found. */
WFI bool wfi_alike_find(wf_str text, wf_str what, char *room, size_t size, wfi_alike *out);
/* The line of text that is most like the one line `what`, if half of it is there. */
WFI bool wfi_alike_line(wf_str text, wf_str what, wfi_alike *out);
/* What differs first between the lines of text from `from` on and those of `what`; false: nothing but blanks at their ends. */
WFI bool wfi_alike_lines(wf_str text, size_t from, wf_str what, wfi_alike *out);

#endif
