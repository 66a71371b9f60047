/* terminal: see terminal.h. */
#include "terminal.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define TERMINAL_COLUMNS 80u

static bool terminal_is_ci(void) {
    const char *ci = getenv("CI");
    return ci && ci[0] && strcmp(ci, "false") != 0 && strcmp(ci, "0") != 0;
}

static bool terminal_is_dumb(void) {
    const char *term = getenv("TERM");
    return term && strcmp(term, "dumb") == 0;
}

bool cli_terminal_has_person(void) {
    return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1 && !terminal_is_ci() && !terminal_is_dumb();
}

bool cli_terminal_takes_codes(void) {
    const char *term = getenv("TERM");
    return term && term[0] && !terminal_is_dumb() && isatty(STDERR_FILENO) == 1;
}

bool cli_terminal_is_live(void) {
    if (!cli_terminal_takes_codes() || terminal_is_ci()) return false;
    pid_t front = tcgetpgrp(STDERR_FILENO);
    return front == -1 || front == getpgrp(); /* -1: a terminal that rules no jobs */
}

unsigned cli_terminal_columns(void) {
    struct winsize size;
    memset(&size, 0, sizeof size);
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : TERMINAL_COLUMNS;
}

bool cli_terminal_reader_gone(void) {
    struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&fd, 1, 0) == 1 && (fd.revents & POLLERR) != 0;
}

void cli_terminal_put(wf_str bytes) {
    if (isatty(STDOUT_FILENO) == 1)
        cli_put_text(stdout, bytes);
    else
        fwrite(bytes.ptr, 1, bytes.len, stdout);
}

/* ---- columns ---- */

typedef struct terminal_range {
    uint32_t first, last;
} terminal_range;

static bool terminal_is_in(const terminal_range *ranges, size_t count, uint32_t c) {
    size_t i = 0;
    while (i < count && c > ranges[i].last)
        i++;
    return i < count && c >= ranges[i].first;
}

/* The main blocks of what terminals draw over nothing or over two columns; of a rare character it may be wrong. */
static unsigned terminal_width(uint32_t c) {
    static const terminal_range none[] = {{0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},     {0x610, 0x61a},
                                          {0x64b, 0x65f},   {0x900, 0x902},   {0x93c, 0x93c},     {0x941, 0x948},
                                          {0x94d, 0x94d},   {0xe31, 0xe31},   {0xe34, 0xe3a},     {0xe47, 0xe4e},
                                          {0x200b, 0x200f}, {0x2060, 0x2064}, {0x20d0, 0x20f0},   {0xfe00, 0xfe0f},
                                          {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0x1f3fb, 0x1f3ff}, {0xe0000, 0xe01ef}};
    static const terminal_range two[] = {
        {0x1100, 0x115f},   {0x231a, 0x231b},   {0x23e9, 0x23ec},   {0x25fd, 0x25fe},   {0x2614, 0x2615},
        {0x2648, 0x2653},   {0x26a1, 0x26a1},   {0x26aa, 0x26ab},   {0x26bd, 0x26be},   {0x2705, 0x2705},
        {0x270a, 0x270b},   {0x2728, 0x2728},   {0x274c, 0x274c},   {0x2753, 0x2757},   {0x2795, 0x2797},
        {0x2b1b, 0x2b1c},   {0x2b50, 0x2b55},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xa960, 0xa97f},
        {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff01, 0xff60},   {0xffe0, 0xffe6},
        {0x17000, 0x18cff}, {0x1b000, 0x1b2ff}, {0x1f18e, 0x1f19a}, {0x1f200, 0x1f320}, {0x1f32d, 0x1f64f},
        {0x1f680, 0x1f6ff}, {0x1f7e0, 0x1f7eb}, {0x1f900, 0x1f9ff}, {0x1fa70, 0x1faff}, {0x20000, 0x3fffd}};
    if (terminal_is_in(none, sizeof none / sizeof *none, c)) return 0;
    return terminal_is_in(two, sizeof two / sizeof *two, c) ? 2 : 1;
}

/* The character at i, and how many bytes it has; 0: these bytes are none. */
static size_t terminal_char(wf_str text, size_t i, uint32_t *c) {
    unsigned char first = (unsigned char)text.ptr[i];
    size_t n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (n == 0 || n > text.len - i) return 0;
    *c = n == 1 ? first : first & (0x7fu >> n);
    for (size_t k = 1; k < n; k++) {
        unsigned char next = (unsigned char)text.ptr[i + k];
        if ((next & 0xc0) != 0x80) return 0;
        *c = *c << 6 | (next & 0x3f);
    }
    return n;
}

/* Controls, C1 ones among them, and marks that turn around what follows them. */
static bool terminal_is_control(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

size_t cli_terminal_clip(wf_str text, unsigned *columns, char *out, size_t cap) {
    size_t at = 0;
    for (size_t i = 0; i < text.len;) {
        uint32_t c = 0;
        size_t n = terminal_char(text, i, &c);
        bool plain = n > 0 && !terminal_is_control(c);
        unsigned width = plain ? terminal_width(c) : 1;
        size_t bytes = plain ? n : 1;
        if (width > *columns || bytes > cap - at) break;
        if (plain)
            memcpy(out + at, text.ptr + i, n);
        else
            out[at] = c == '\n' || c == '\t' ? ' ' : '?';
        at += bytes;
        *columns -= width;
        i += n > 0 ? n : 1;
    }
    return at;
}
