/* environ: see environ.h. What is a secret is the port's to say, for commands get none of them either. Which ones wf itself has a use for
 * makes no difference. */
#include "environ.h"
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

typedef struct env_entry {
    const char *name, *other; /* the first that is set counts */
} env_entry;

static const env_entry env_table[ENV_COUNT] = {
    [ENV_API_KEY] = {"ANTHROPIC_API_KEY", NULL},
    [ENV_AUTH_TOKEN] = {"ANTHROPIC_AUTH_TOKEN", NULL},
    [ENV_BASE_URL] = {"ANTHROPIC_BASE_URL", NULL},
    [ENV_BETAS] = {"ANTHROPIC_BETAS", NULL},
    [ENV_WORKSPACE_ID] = {"ANTHROPIC_WORKSPACE_ID", NULL},
    [ENV_CUSTOM_HEADERS] = {"ANTHROPIC_CUSTOM_HEADERS", NULL},
    [ENV_VERSION] = {"WF_ANTHROPIC_VERSION", NULL},
    [ENV_KEY_HEADER] = {"WF_ANTHROPIC_KEY_HEADER", NULL},
    [ENV_ALLOW_HTTP] = {"WF_ALLOW_HTTP", NULL},
    [ENV_PROXY] = {"HTTPS_PROXY", "https_proxy"},
    [ENV_NO_PROXY] = {"NO_PROXY", "no_proxy"},
    [ENV_CERT_FILE] = {"SSL_CERT_FILE", NULL},
    [ENV_CONFIG_HOME] = {"XDG_CONFIG_HOME", NULL},
    [ENV_STATE_HOME] = {"XDG_STATE_HOME", NULL},
    [ENV_HOME] = {"HOME", NULL},
};

static char *env_values[ENV_COUNT]; /* copies, terminated */

const char *cli_env(cli_variable variable) {
    return env_values[variable];
}

const char *cli_env_name(cli_variable variable) {
    return env_table[variable].name;
}

bool cli_env_config(const char *file, char *path, size_t cap) {
    const char *folder = cli_env(ENV_CONFIG_HOME), *home = cli_env(ENV_HOME);
    int n = -1;
    if (folder)
        n = snprintf(path, cap, "%s/wf/%s", folder, file);
    else if (home)
        n = snprintf(path, cap, "%s/.config/wf/%s", home, file);
    return n > 0 && (size_t)n < cap;
}

/* A HOME that is not there says that the user has none: it is not made. */
static bool env_is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool cli_env_state(const char *file, char *path, size_t cap) {
    const char *folder = cli_env(ENV_STATE_HOME), *home = cli_env(ENV_HOME);
    int n = -1;
    if (folder && folder[0] == '/') /* as the standard of these variables has it, others are passed over */
        n = snprintf(path, cap, "%s/wf/%s", folder, file);
    else if (home && home[0] == '/' && env_is_folder(home))
        n = snprintf(path, cap, "%s/.local/state/wf/%s", home, file);
    return n > 0 && (size_t)n < cap;
}

void cli_wipe(void *memory, size_t n) {
    volatile unsigned char *p = memory;
    while (n-- > 0)
        *p++ = 0;
}

/* ---- reading ---- */

/* lines: the value has several, which count from its beginning: nothing is cut off there. */
static char *env_copy(const char *value, bool lines) {
    const char *space = lines ? "" : " \t\r\n\v\f";
    value += strspn(value, space);
    size_t n = strlen(value);
    while (n > 0 && strchr(space, value[n - 1]))
        n--;
    if (n == 0) return NULL;
    char *copy = cli_take(n + 1);
    memcpy(copy, value, n);
    return copy;
}

static const char *env_value(const char *name) {
    size_t len = name ? strlen(name) : 0;
    for (char **p = environ; name && p && *p; p++)
        if (strncmp(*p, name, len) == 0 && (*p)[len] == '=') return *p + len + 1;
    return NULL;
}

/* A core file would hold the key. */
static void env_no_core(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) != 0) return;
    limit.rlim_cur = 0;
    (void)setrlimit(RLIMIT_CORE, &limit);
}

void cli_env_take(void) {
    env_no_core();
#if defined(__linux__)
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
    for (int i = 0; i < ENV_COUNT; i++) {
        const char *value = env_value(env_table[i].name);
        if (!value || !*value) value = env_value(env_table[i].other);
        if (value) env_values[i] = env_copy(value, i == ENV_CUSTOM_HEADERS);
    }
    if (!environ) return;
    char **to = environ;
    for (char **p = environ; *p; p++) {
        size_t len = strcspn(*p, "=");
        char *value = *p + len + ((*p)[len] == '=');
        if (wf_posix_is_secret(*p, len, value))
            cli_wipe(value, strlen(value));
        else
            *to++ = *p;
    }
    *to = NULL;
}

void cli_env_wipe(void) {
    for (int i = 0; i < ENV_COUNT; i++)
        if (env_values[i]) cli_wipe(env_values[i], strlen(env_values[i]));
}
