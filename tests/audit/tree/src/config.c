/* Reads "name = value" lines. strcpy(dst, src) in this comment is not a call. */
#include "shop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const HELP = "never use gets(line) or sprintf(buf, \"%s\", name) in a configuration";

const char *config_help(void) {
    return HELP;
}

int config_read_name(const char *line, char name[32]) {
    return sscanf(line, " %31[a-z]", name) == 1;
}

int config_read_value(const char *line) {
    char value[32];
    if (sscanf(line, "%*s = %s", value) != 1) return -1;
    return atoi(value);
}

const char *config_home(char *out, size_t size) {
    const char *home = getenv("HOME");
    size_t n = strlen(home);
    if (n >= size) return NULL;
    memcpy(out, home, n + 1);
    return out;
}

const char *config_editor(void) {
    const char *editor = getenv("EDITOR");
    return editor ? editor : "ed";
}

int config_load(const char *path, struct entry *entries, int max) {
    char line[256];
    int n = 0;
    FILE *in = fopen(path, "r");
    while (n < max && fgets(line, sizeof line, in)) {
        char *eq = strchr(line, '=');
        if (eq == NULL) continue;
        *eq = '\0';
        snprintf(entries[n].name, sizeof entries[n].name, "%s", line);
        entries[n++].value = atoi(eq + 1);
    }
    fclose(in);
    return n;
}

int config_split(char *pair, char **value) {
    if (strchr(pair, ':')) {
        char *colon = strchr(pair, ':');
        *colon = '\0';
        *value = colon + 1;
        return 1;
    }
    char *end = strchr(pair, '\0');
    *end = '\0';
    return 0;
}
