/* run: plays cases of the wire from a folder of JSON files against the product.
 *
 *   run          the cases of tests/wire, as TAP
 *   run FOLDER   any folder of the same form: a line for each case that differs, then "N passed, N failed"; exit 1 if any did
 *
 * A file is a list of calls (its `cases` have `exchanges`), of event streams (they have `input_base64`), or a price list (`models`,
 * `worked_examples`). Files of providers and codings that this build has not are passed over, saying so. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/core/model/price.h"
#include "wire_call.h"

static struct {
    bool tap;
    uint32_t passed, failed, files;
} run;

/* One verdict. differs: a line for each difference. */
static void run_verdict(const char *file, wf_str id, text *differs) {
    bool ok = differs->len == 0;
    ok ? run.passed++ : run.failed++;
    if (run.tap) printf("%s %u - %s %.*s\n", ok ? "ok" : "not ok", run.passed + run.failed, file, (int)id.len, id.ptr);
    for (wf_str rest = text_str(differs), line; rest.len > 0; rest = wfi_str_cut(rest, line.len + 1, rest.len)) {
        line = wfi_str_cut(rest, 0, wfi_str_find(rest, '\n'));
        printf("%s%s %.*s: %.*s\n", run.tap ? "#   " : "differs: ", file, (int)id.len, id.ptr, (int)line.len, line.ptr);
        if (!run.tap) break; /* the first difference says enough; the others often follow from it */
    }
    text_free(differs);
}

/* ---- event streams ---- */

static void run_events(const tree *c, text *differs) {
    text input = {0}, want = {0}, got = {0};
    if (!text_base64(tree_str(tree_get(c, "input_base64")), &input)) text_say(differs, "its input is no base64\n");
    const tree *events = tree_get(c, "expect_events");
    text_say(&want, "%s", "");
    for (const tree *e = events ? events->first : NULL; e; e = e->next) {
        const tree *name = tree_get(e, "event");
        text_add(&want, tree_null(name) ? WF_STR("-") : tree_str(name));
        text_add(&want, WF_STR("\n"));
        text_add(&want, tree_str(tree_get(e, "data")));
        text_add(&want, WF_STR("\n\n"));
    }
    for (size_t first = 0; first <= input.len && differs->len == 0; first++) { /* whole, each split, byte by byte */
        size_t cut = first == input.len ? REPLY_BY_BYTES : first;
        text_clear(&got);
        reply_events(text_str(&input), cut, &got);
        if (!wfi_str_eq(text_str(&got), text_str(&want)))
            text_say(differs, "cut at %zu of %zu bytes, other events come out\n", first, input.len);
    }
    text_free(&input);
    text_free(&want);
    text_free(&got);
}

/* ---- prices ---- */

static void run_price(text *differs, const tree *from, const char *name, uint64_t got) {
    const tree *want = tree_get(from, name);
    uint64_t pico = 0;
    if (!want || want->type != WF_JSON_NUMBER || wfi_decimal(want->raw, 6, &pico) != want->raw.len || pico != got)
        text_say(differs, "%s is %llu pico-USD a token\n", name, (unsigned long long)got);
}

/* One row, or one of its tiers. below: the size at which the tier begins. */
static void run_tier(text *differs, const tree *row, const wfi_tariff *t, uint32_t at, uint64_t below) {
    if (tree_null(tree_get(row, "input"))) {
        if (t->count > 0) text_say(differs, "it has a price, but none is known\n");
        return;
    }
    if (at >= t->count) {
        text_say(differs, "it has no price\n");
        return;
    }
    const wfi_price *p = &t->tier[at];
    if (p->above != below) text_say(differs, "a tier begins above %llu\n", (unsigned long long)p->above);
    run_price(differs, row, "input", p->input);
    run_price(differs, row, "output", p->output);
    run_price(differs, row, "cache_write_5m", p->write_5m);
    run_price(differs, row, "cache_write_1h", p->write_1h);
    run_price(differs, row, "cache_read", p->read);
}

static void run_model(const tree *row, wf_str id, text *differs) {
    const tree *tiers = tree_get(row, "tiers");
    wfi_tariff t;
    wfi_price_find(WF_STR(""), id, &t);
    uint64_t below = 0;
    uint32_t at = 0;
    if (!tiers) run_tier(differs, row, &t, 0, 0);
    for (const tree *tier = tiers ? tiers->first : NULL; tier; tier = tier->next) {
        run_tier(differs, tier, &t, at++, below);
        below = (uint64_t)tree_int(tree_get(tier, "max_prompt_tokens"), 0);
    }
    if (t.count > (tiers ? at : 1)) text_say(differs, "it has more tiers\n");
}

/* A batch costs half; agents send none, so the price list knows nothing of it and the half is taken here. */
static void run_example(const tree *e, text *differs) {
    const tree *u = tree_get(e, "usage"), *creation = tree_get(u, "cache_creation"), *batch = tree_get(e, "batch");
    int64_t w5 = tree_int(tree_get(u, "cache_creation_5m"), 0), w1 = tree_int(tree_get(u, "cache_creation_1h"), 0);
    if (!tree_null(creation)) {
        w5 = tree_int(tree_get(creation, "ephemeral_5m_input_tokens"), 0);
        w1 = tree_int(tree_get(creation, "ephemeral_1h_input_tokens"), 0);
    }
    int64_t writes = tree_int(tree_get(u, "cache_creation_input_tokens"), w5 + w1);
    wf_usage usage = {.input = (uint64_t)tree_int(tree_get(u, "input_tokens"), 0),
                      .output = (uint64_t)tree_int(tree_get(u, "output_tokens"), 0),
                      .cache_read = (uint64_t)tree_int(tree_get(u, "cache_read_input_tokens"), 0),
                      .cache_write = (uint64_t)writes};
    wfi_tariff t;
    wfi_price_find(WF_STR(""), tree_str(tree_get(e, "model")), &t);
    uint64_t nano = wfi_price_of(&t, &usage, (uint64_t)w1), want = 0;
    const tree *usd = tree_get(e, "usd");
    if (batch && batch->type == WF_JSON_TRUE) nano = nano / 2 + nano % 2;
    if (tree_null(usd) ? t.count > 0 : t.count == 0 || wfi_decimal(usd->raw, 9, &want) != usd->raw.len || nano != want)
        text_say(differs, "it costs %llu nano-USD\n", (unsigned long long)nano);
}

static void run_prices(const char *file, const tree *list) {
    const tree *models = tree_get(list, "models"), *examples = tree_any(list, "worked_examples", "examples");
    for (const tree *row = models ? models->first : NULL; row; row = row->next) {
        text differs = {0};
        run_model(row, tree_str(tree_get(row, "id")), &differs);
        const tree *also = tree_get(row, "also");
        for (const tree *id = also ? also->first : NULL; id; id = id->next)
            run_model(row, tree_str(id), &differs);
        run_verdict(file, tree_str(tree_get(row, "id")), &differs);
    }
    uint32_t n = 0;
    for (const tree *e = examples ? examples->first : NULL; e; e = e->next) {
        text differs = {0}, name = {0};
        text_say(&name, "example %u", ++n);
        run_example(e, &differs);
        run_verdict(file, text_str(&name), &differs);
        text_free(&name);
    }
}

/* ---- files and folders ---- */

static void run_case(const char *file, const tree *c, wf_str about) {
    text differs = {0};
    if (tree_get(c, "input_base64"))
        run_events(c, &differs);
    else if (tree_get(c, "exchanges"))
        call_check(c, about, &differs);
    else
        text_say(&differs, "of a form that is not known here\n");
    run_verdict(file, tree_str(tree_get(c, "id")), &differs);
}

static void run_file(const char *folder, const char *file) {
    text path = {0}, content = {0}, differs = {0};
    text_say(&path, "%s/%s", folder, file);
    tree *t = text_file(path.ptr, &content) ? tree_read(text_str(&content)) : NULL;
    const tree *cases = tree_get(t, "cases");
    run.files++;
    if (!t) {
        text_say(&differs, "it cannot be read, or is no JSON\n");
        run_verdict(file, WF_STR("-"), &differs);
    }
    for (const tree *c = cases ? cases->first : NULL; c; c = c->next)
        run_case(file, c, tree_str(tree_get(t, "about")));
    if (tree_get(t, "models")) run_prices(file, t);
    tree_free(t);
    text_free(&path);
    text_free(&content);
}

/* Whether this build speaks what the file is about. */
static bool run_speaks(const char *file) {
    static const char *const others[] = {"bedrock", "vertex",      "foundry",        "openai",
                                         "sigv4",   "eventstream", "tool-conversion"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strncmp(file, others[i], strlen(others[i])) == 0) return false;
    return true;
}

static int run_is_json(const struct dirent *entry) {
    size_t n = strlen(entry->d_name);
    return n > 5 && strcmp(entry->d_name + n - 5, ".json") == 0;
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "tests/wire";
    struct dirent **entries;
    run.tap = argc == 1;
    int n = scandir(folder, &entries, run_is_json, alphasort);
    for (int i = 0; i < n; i++) {
        if (run_speaks(entries[i]->d_name))
            run_file(folder, entries[i]->d_name);
        else
            printf("%sskipped: %s (not in this build)\n", run.tap ? "# " : "", entries[i]->d_name);
        free(entries[i]);
    }
    if (n >= 0) free(entries);
    if (run.files == 0) fprintf(stderr, "%s: no case of this build in it\n", folder);
    if (run.tap)
        printf("1..%u\n", run.passed + run.failed);
    else
        printf("%u passed, %u failed\n", run.passed, run.failed);
    return run.files == 0 || run.failed > 0;
}
