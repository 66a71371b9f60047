/* args: a script and its args, as a command line names them. */
#include "commands.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ARGS_MOST   ((size_t)8 << 20)
#define ARGS_NUMBER 40 /* bytes of a number, at most */

/* A run's name: the file's, without its folders. */
static wf_str args_name(const char *path) {
    const char *slash = strrchr(path, '/');
    if (strcmp(path, "-") == 0) return WF_STR("stdin");
    return cli_str(slash ? slash + 1 : path);
}

static bool args_is_finite(wf_str number) {
    char *text = cli_take(number.len + 1);
    memcpy(text, number.ptr, number.len);
    bool finite = isfinite(strtod(text, NULL));
    free(text);
    return finite;
}

static cli_exit args_check_json(wf_str text) {
    wf_json j;
    wf_json_token t;
    wf_json_init(&j, text);
    do {
        t = wf_json_next(&j);
        if (t == WF_JSON_NUMBER && !args_is_finite(j.raw))
            return cli_fail(CLI_USAGE, "--args: the number %.*s is out of range; write it in quotes, as a text",
                            (int)(j.raw.len < 60 ? j.raw.len : 60), j.raw.ptr);
    } while (t != WF_JSON_END && t != WF_JSON_ERROR);
    if (t == WF_JSON_END) return CLI_OK;
    return cli_fail(CLI_USAGE,
                    "--args: not JSON: %s, at byte %llu; quote it for the shell: --args '{\"key\": \"value\"}'",
                    j.error.text, (unsigned long long)j.error.offset);
}

/* Whether the text is what a number that was read from it prints as: 1.10, 1e10, 007 and 12345678901234567890 are not. */
static bool args_is_number(const char *text) {
    char again[ARGS_NUMBER];
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end || strlen(text) >= sizeof again) return false;
    errno = 0;
    long long whole = strtoll(text, &end, 10);
    if (*end == '\0') return errno == 0 && snprintf(again, sizeof again, "%lld", whole) > 0 && strcmp(text, again) == 0;
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(again, sizeof again, "%.*g", digits, number);
        if (strtod(again, NULL) == number) break;
    }
    return strcmp(text, again) == 0 && strspn(text, "-.0123456789") == strlen(text);
}

/* true, false, null and numbers that lose nothing are themselves, all else is a string. */
static void args_put_value(wf_json_out *out, const char *value) {
    bool word = strcmp(value, "true") == 0 || strcmp(value, "false") == 0 || strcmp(value, "null") == 0;
    if (word || args_is_number(value))
        wf_json_raw(out, cli_str(value));
    else
        wf_json_str(out, cli_str(value));
}

/* Whether a later pair names the same key; for members of --args, any pair. */
static bool args_is_named(const cli_options *o, int from, wf_str key, bool escaped) {
    for (int i = from; i < o->pair_count; i++) {
        wf_str name = wf_str_of(o->pairs[i], strcspn(o->pairs[i], "="));
        if (escaped ? wf_json_equals(key, name) : cli_same(key, name)) return true;
    }
    return false;
}

static void args_put_merged(const cli_options *o, wf_str object, wf_json_out *out) {
    wf_json j;
    wf_str value = wf_str_of("", 0);
    wf_json_begin(out, true);
    wf_json_init(&j, object);
    if (object.len > 0) (void)wf_json_next(&j);
    while (object.len > 0 && wf_json_next(&j) == WF_JSON_KEY) {
        wf_str key = j.raw;
        if (wf_json_skip(&j, wf_json_next(&j), &value) != WF_OK) break;
        if (args_is_named(o, 0, key, true)) continue;
        char *plain = cli_take(key.len);
        wf_json_key(out, wf_str_of(plain, wf_json_unescape(key, plain)));
        free(plain);
        wf_json_raw(out, value);
    }
    for (int i = 0; i < o->pair_count; i++) {
        wf_str key = wf_str_of(o->pairs[i], strcspn(o->pairs[i], "="));
        if (args_is_named(o, i + 1, key, false)) continue;
        wf_json_key(out, key);
        args_put_value(out, o->pairs[i] + key.len + 1);
    }
    wf_json_finish(out);
}

static cli_exit args_merge(const cli_options *o, wf_str *args) {
    wf_json j;
    wf_json_out out;
    for (int i = 0; i < o->pair_count; i++)
        if (!strchr(o->pairs[i], '=') || o->pairs[i][0] == '=')
            return cli_fail(CLI_USAGE, "%s: after -- stand key=value pairs for the script", o->pairs[i]);
    wf_json_init(&j, *args);
    if (args->len > 0 && wf_json_next(&j) != WF_JSON_OBJECT)
        return cli_fail(CLI_USAGE, "--args: must be a JSON object to go together with -- key=value");
    wf_json_out_init(&out, NULL, 0);
    args_put_merged(o, *args, &out);
    size_t size = out.len;
    char *text = cli_take(size);
    wf_json_out_init(&out, text, size);
    args_put_merged(o, *args, &out);
    if (!wf_json_ok(&out)) return cli_fail(CLI_USAGE, "--args: together with -- key=value it is not JSON");
    *args = wf_str_of(text, size);
    return CLI_OK;
}

static cli_exit args_args(const cli_options *o, wf_str *args) {
    const char *text = o->text[OPT_ARGS];
    *args = wf_str_of("", 0);
    if (text && text[0] == '@') {
        if (!cli_read_file(text + 1, ARGS_MOST, args)) return CLI_USAGE;
    } else if (text) {
        *args = cli_str(text);
    }
    cli_exit code = text ? args_check_json(*args) : CLI_OK;
    return code == CLI_OK && o->pair_count > 0 ? args_merge(o, args) : code;
}

cli_exit cli_script_read(const cli_options *o, wf_run_spec *out) {
    memset(out, 0, sizeof *out);
    out->name = args_name(o->operand);
    if (!cli_read_file(o->operand, ARGS_MOST, &out->script)) return CLI_USAGE;
    return args_args(o, &out->args);
}
