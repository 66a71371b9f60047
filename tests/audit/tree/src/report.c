/* Prints to people. */
#include "shop.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BANNER   "shop: "
#define N_(text) text
static const char total_line[] = "total %d\n";

void report_name(const char *name) {
    printf(name);
}

void report_error(FILE *to, const struct entry *e) {
    fprintf(to, BANNER);
    fprintf(to, e->name);
}

void report_total(int total, int plain) {
    const char *format = plain ? "%d\n" : "total: %d\n";
    printf(format, total);
    printf(total_line, total);
    printf(total == 1 ? "%d thing\n" : "%d things\n", total);
}

int report_line(char *out, size_t size, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(out, size, format, ap);
    va_end(ap);
    return n;
}

static void say(const char *message) {
    printf(message);
}

void report_begin(void) {
    say("begin\n");
}

void report_end(void) {
    say("end\n");
}

static void tell(const char *message) {
    fprintf(stderr, message);
}

void report_state(const struct entry *e) {
    tell("state of ");
    tell(e->name);
}

int report_number(int n) {
    char digits[16];
    return sprintf(digits, "%d", n);
}

int report_path(const char *dir, const char *name, char *out) {
    return sprintf(out, "%s/%s", dir, name);
}
