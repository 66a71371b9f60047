/* text: how the command speaks: errors, amounts, other people's text; and how it reads files. */
#include "cli.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_LINES 16384 /* bytes shown of an error of a script */
#define TEXT_FAIL  16384 /* and of one of ours, which may quote a value of 4,000 bytes several times */

cli_exit cli_exit_of(wf_outcome outcome, uint32_t failed) {
    switch (outcome) {
    case WF_RUN_OPEN:
    case WF_RUN_DONE:
        return failed > 0 ? CLI_SOME_FAILED : CLI_OK;
    case WF_RUN_FAILED:
        return CLI_SCRIPT;
    case WF_RUN_BUDGET:
        return CLI_BUDGET;
    case WF_RUN_DEADLINE:
        return CLI_DEADLINE;
    case WF_RUN_PAUSED:
        return CLI_PAUSED;
    case WF_RUN_REFUSED:
        return CLI_REFUSED;
    case WF_RUN_CANCELLED:
        return CLI_CANCELLED;
    }
    return CLI_INTERNAL;
}

uint32_t cli_unwell(const wf_census *census) {
    return census->failed + census->not_run + census->script_errors;
}

/* Length of the longest prefix of at most max bytes that ends between two characters. */
static size_t text_clip(wf_str text, size_t max) {
    size_t n = max;
    if (text.len <= max) return text.len;
    while (n > 0 && ((unsigned char)text.ptr[n] & 0xc0) == 0x80)
        n--;
    return n;
}

/* Bytes of a control beyond ASCII, or 0. A C1 control (C2 80..9F) can drive a terminal just like ESC; U+202A..202E and U+2066..2069
 * turn around what follows them, so that a question reads as another one. */
static size_t text_control(wf_str text, size_t i) {
    unsigned char c[3] = {0, 0, 0};
    for (size_t k = 0; k < 3 && i + k < text.len; k++)
        c[k] = (unsigned char)text.ptr[i + k];
    if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) return 2;
    bool turns = (c[1] == 0x80 && c[2] >= 0xaa && c[2] <= 0xae) || (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9);
    return c[0] == 0xe2 && turns ? 3 : 0;
}

/* One character of other people's text; answers how many bytes it took. */
static size_t text_put_char(FILE *to, wf_str text, size_t i, bool lines) {
    unsigned char c = (unsigned char)text.ptr[i];
    size_t control = text_control(text, i);
    if (control > 0) {
        fputc('?', to);
        return control;
    }
    if (c == '\n' || c == '\t')
        fputc(lines ? c : ' ', to);
    else
        fputc(c < 0x20 || c == 0x7f ? '?' : c, to);
    return 1;
}

static void text_put_all(FILE *to, wf_str text, bool lines) {
    for (size_t i = 0; i < text.len;)
        i += text_put_char(to, text, i, lines);
}

void cli_put(FILE *to, wf_str text, size_t max) {
    size_t n = text_clip(text, max);
    text_put_all(to, wf_str_of(text.ptr, n), false);
    if (n < text.len) fputs("...", to);
}

void cli_put_text(FILE *to, wf_str text) {
    text_put_all(to, text, true);
}

void cli_put_lines(FILE *to, wf_str text) {
    size_t n = text_clip(text, TEXT_LINES);
    text_put_all(to, wf_str_of(text.ptr, n), true);
    fputs(n < text.len ? "... (wf log prints it all)\n" : "\n", to);
}

static bool text_is_plain(wf_str text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (c == '\0' || (!letter && !strchr("_-./:,=+@%", c))) return false;
    }
    return text.len > 0;
}

const char *cli_word(wf_str text) {
    const bool plain = text_is_plain(text);
    char *word = cli_take(4 * text.len + 3), *at = word;
    if (!plain) *at++ = '\'';
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'')
            at = stpcpy(at, "'\\''");
        else
            *at++ = text.ptr[i];
    }
    if (!plain) *at = '\'';
    return word;
}

/* What it quotes may be other people's text: a log's settings, names of files. */
cli_exit cli_fail(cli_exit code, const char *format, ...) {
    char text[TEXT_FAIL] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fputs("wf: ", stderr);
    text_put_all(stderr, cli_str(text), true);
    fputc('\n', stderr);
    return code;
}

/* ---- amounts ---- */

const char *cli_count(cli_amount *a, uint64_t n) {
    char digits[24];
    size_t len = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, n), at = 0;
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) a->text[at++] = ',';
        a->text[at++] = digits[i];
    }
    a->text[at] = '\0';
    return a->text;
}

const char *cli_bytes(cli_amount *a, uint64_t n) {
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double v = (double)n;
    size_t unit = 0;
    while (v >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        v /= 1024;
        unit++;
    }
    snprintf(a->text, sizeof a->text, unit == 0 ? "%.0f %s" : "%.1f %s", v, units[unit]);
    return a->text;
}

const char *cli_time(cli_amount *a, uint64_t ms) {
    uint64_t s = ms / 1000;
    if (ms < 1000)
        snprintf(a->text, sizeof a->text, "%" PRIu64 " ms", ms);
    else if (s < 120)
        snprintf(a->text, sizeof a->text, "%.1f s", (double)ms / 1000);
    else if (s < 7200)
        snprintf(a->text, sizeof a->text, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
    else
        snprintf(a->text, sizeof a->text, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
    return a->text;
}

/* Less than a cent with more places. */
const char *cli_money(cli_amount *a, uint64_t nano_usd) {
    int places = nano_usd > 0 && nano_usd < 10000000 ? 6 : 4;
    snprintf(a->text, sizeof a->text, "%" PRIu64 ".%0*" PRIu64 " USD", nano_usd / 1000000000u, places,
             nano_usd % 1000000000u / (places == 6 ? 1000u : 100000u));
    return a->text;
}

const char *cli_date(cli_amount *a, uint64_t wall_ms) {
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm;
    if (!localtime_r(&t, &tm) || strftime(a->text, sizeof a->text, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        memcpy(a->text, "?", 2);
    return a->text;
}

uint64_t cli_tokens(const wf_usage *usage) {
    return usage->input + usage->output + usage->cache_read + usage->cache_write;
}

void cli_put_census(FILE *to, const wf_census *c) {
    fprintf(to,
            "%" PRIu32 " done, %" PRIu32 " failed, %" PRIu32 " cached, %" PRIu32 " dropped, %" PRIu32
            " cancelled, %" PRIu32 " not run",
            c->done, c->failed, c->cached, c->dropped, c->cancelled, c->not_run);
    if (c->script_errors > 0)
        fprintf(to, "; %" PRIu32 " %s failed: script errors", c->script_errors,
                c->script_errors == 1 ? "branch" : "branches");
    if (c->blind > 0) fprintf(to, "; %" PRIu32 " of those done answered after tool errors only", c->blind);
}

/* What nobody can know: it may be billed, or not. */
static void text_put_lost(FILE *to, const wf_run_status *s) {
    cli_amount usd, tokens;
    bool money = s->lost_nano_usd > 0;
    if (s->lost_tokens == 0) return;
    fprintf(to, "; lost replies count %s",
            money ? cli_money(&usd, s->lost_nano_usd) : cli_count(&tokens, s->lost_tokens));
    if (!money) fputs(" tokens", to);
    fputs(" on top", to);
    if (s->more_nano_usd > 0)
        fprintf(to, ", up to %s more may have been billed", cli_money(&usd, s->more_nano_usd));
    else if (s->more_tokens > 0)
        fprintf(to, ", up to %s tokens more may have been billed", cli_count(&tokens, s->more_tokens));
}

void cli_put_spend(FILE *to, const wf_run_status *s) {
    const wf_usage *u = &s->usage;
    cli_amount in, cached, out, usd, unpriced;
    uint64_t kept = u->cache_read + u->cache_write;
    fprintf(to, "%s tokens in", cli_count(&in, u->input + kept));
    if (kept > 0) fprintf(to, " (%s of them cached)", cli_count(&cached, kept));
    fprintf(to, ", %s out, ", cli_count(&out, u->output));
    if (u->unpriced == 0)
        fprintf(to, "%s%s", cli_money(&usd, u->nano_usd), u->nano_usd > 0 ? " at list price" : "");
    else if (u->nano_usd == 0)
        fputs("USD unknown", to);
    else
        fprintf(to, "at least %s at list price, and %s tokens of unknown price", cli_money(&usd, u->nano_usd),
                cli_count(&unpriced, u->unpriced));
    if (u->estimated > 0)
        fprintf(to, "; %s of the tokens are estimated, for replies that did not tell them",
                cli_count(&unpriced, u->estimated));
    text_put_lost(to, s);
}

/* ---- JSON ---- */

void cli_json_member(wf_json_out *out, const char *key, uint64_t n) {
    wf_json_key(out, cli_str(key));
    wf_json_u64(out, n);
}

void cli_json_text(wf_json_out *out, const char *key, wf_str text) {
    wf_json_key(out, cli_str(key));
    wf_json_str(out, text);
}

void cli_json_census(wf_json_out *out, const wf_census *c) {
    wf_json_key(out, WF_STR("census"));
    wf_json_begin(out, true);
    cli_json_member(out, "done", c->done);
    cli_json_member(out, "failed", c->failed);
    cli_json_member(out, "cached", c->cached);
    cli_json_member(out, "dropped", c->dropped);
    cli_json_member(out, "cancelled", c->cancelled);
    cli_json_member(out, "not_run", c->not_run);
    cli_json_member(out, "script_errors", c->script_errors);
    cli_json_member(out, "tool_errors_only", c->blind);
    wf_json_finish(out);
}

void cli_json_usage(wf_json_out *out, const wf_usage *usage) {
    wf_json_key(out, WF_STR("usage"));
    wf_json_begin(out, true);
    cli_json_member(out, "input", usage->input);
    cli_json_member(out, "output", usage->output);
    cli_json_member(out, "cache_read", usage->cache_read);
    cli_json_member(out, "cache_write", usage->cache_write);
    cli_json_member(out, "nano_usd", usage->nano_usd);
    cli_json_member(out, "unpriced", usage->unpriced);
    cli_json_member(out, "estimated", usage->estimated);
    wf_json_finish(out);
}

void cli_json_lost(wf_json_out *out, const wf_run_status *s) {
    wf_json_key(out, WF_STR("lost"));
    wf_json_begin(out, true);
    cli_json_member(out, "tokens", s->lost_tokens);
    cli_json_member(out, "nano_usd", s->lost_nano_usd);
    cli_json_member(out, "more_tokens", s->more_tokens);
    cli_json_member(out, "more_nano_usd", s->more_nano_usd);
    wf_json_finish(out);
}

/* ---- slices, memory, files ---- */

wf_str cli_str(const char *text) {
    return wf_str_of(text, text ? strlen(text) : 0);
}

bool cli_same(wf_str a, wf_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

void *cli_take(size_t n) {
    void *p = calloc(1, n ? n : 1);
    if (!p) exit((int)cli_fail(CLI_INTERNAL, "the system has no %zu bytes of memory left", n));
    return p;
}

static bool text_read_all(FILE *f, const char *path, size_t max, wf_str *out) {
    size_t cap = 65536, len = 0;
    char *text = malloc(cap);
    while (text) {
        len += fread(text + len, 1, cap - len, f);
        if (len < cap || len > max) break;
        char *more = realloc(text, cap *= 2);
        if (!more) free(text);
        text = more;
    }
    if (!text) return cli_fail(CLI_USAGE, "cannot read %s: no memory", path), false;
    if (ferror(f))
        return cli_fail(CLI_USAGE, "cannot read %s: %s; check the path", path, strerror(errno)), free(text), false;
    if (len > max)
        return cli_fail(CLI_USAGE, "%s: larger than %zu bytes; make it smaller", path, max), free(text), false;
    *out = wf_str_of(text, len);
    return true;
}

bool cli_read_file(const char *path, size_t max, wf_str *out) {
    bool standard = strcmp(path, "-") == 0;
    FILE *f = standard ? stdin : fopen(path, "rb");
    if (!f) return cli_fail(CLI_USAGE, "cannot read %s: %s; check the path", path, strerror(errno)), false;
    bool ok = text_read_all(f, standard ? "standard input" : path, max, out);
    if (!standard) fclose(f);
    return ok;
}
