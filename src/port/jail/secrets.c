/* secrets: tells which variables of the environment look like keys, tokens or passwords
 * (wf_posix_is_secret, see posix.h): commands do not get them. */
#include "../../api/posix.h"
#include <string.h>
#include <strings.h>

/* Whether the text has the word in it, case aside. */
static bool secrets_has(const char *text, size_t len, const char *word) {
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= len; i++)
        if (strncasecmp(text + i, word, n) == 0) return true;
    return false;
}

/* Whether the name's last word, or all of it, is this one. */
static bool secrets_name_ends(const char *name, size_t len, const char *word) {
    size_t n = strlen(word);
    if (len < n || strncasecmp(name + len - n, word, n) != 0) return false;
    return len == n || name[len - n - 1] == '_';
}

/* scheme://user:password@host */
static bool secrets_has_login(const char *value) {
    const char *host = strstr(value, "://");
    return host != NULL && host[3 + strcspn(host + 3, "/?#@")] == '@';
}

/* What keys look like, and settings that have one in them. */
static bool secrets_is_value(const char *value) {
    static const char *const begins[] = {"sk-",   "ghp_",  "gho_", "ghs_", "github_pat_", "glpat-",
                                         "xoxb-", "xoxp-", "AKIA", "eyJ",  "-----BEGIN",  "Bearer "};
    static const char *const parts[] = {"password=",  "passwd=",     "pwd=",    "secret=",  "token=",
                                        "accesskey=", "accountkey=", "apikey=", "api_key=", "authorization:"};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strncmp(value, begins[i], strlen(begins[i])) == 0) return true;
    for (size_t i = 0, n = strlen(value); i < sizeof parts / sizeof *parts; i++)
        if (secrets_has(value, n, parts[i])) return true;
    return secrets_has_login(value);
}

bool wf_posix_is_secret(const char *name, size_t len, const char *value) {
    static const char *const parts[] = {"_KEY",   "APIKEY",     "PRIVATEKEY", "TOKEN",  "SECRET",       "PASSWORD",
                                        "PASSWD", "PASSPHRASE", "CREDENTIAL", "COOKIE", "AUTHORIZATION"};
    static const char *const ends[] = {"KEY", "PASS", "PGPASS", "SMTPPASS", "PAT",   "AUTH", "OAUTH",
                                       "JWT", "SAS",  "BEARER", "HEADERS",  "LOGIN", "NETRC"};
    if (strncmp(name, "GIT_CONFIG_KEY_", 15) == 0) return secrets_is_value(value); /* a setting's name */
    if (strncasecmp(name, "AWS_", 4) == 0 || strncasecmp(name, "GOOGLE_", 7) == 0) return true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (secrets_has(name, len, parts[i])) return true;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (secrets_name_ends(name, len, ends[i])) return true;
    if (len > 3 && secrets_name_ends(name, len, "PWD")) return true; /* PWD itself is a path */
    return secrets_is_value(value) || (secrets_has(name, len, "PROXY") && strchr(value, '@') != NULL);
}
