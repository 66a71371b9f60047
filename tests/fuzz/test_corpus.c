/* Every fuzz target on its corpus (tests/fuzz/corpus/NAME) and on mutations of it, without a fuzzer. Mutations follow from the
 * seed: WF_SEED for others, WF_CAMPAIGN=full for many more. `make fuzz T=NAME` searches for new ones.
 *
 * Each target runs in a child, since a promise that is broken ends the program. What the child was fed is left in
 * build/fuzz/NAME.broken. */
#include "input.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fake/fake.h"

#define CORPUS_FILES   64u
#define CORPUS_INPUT   65536u /* bytes of a file, and of a mutation */
#define CORPUS_SECONDS 60u    /* that one input may take on a busy machine; it takes milliseconds */

typedef struct target {
    const char *name;
    int (*run)(const uint8_t *data, size_t size);
    uint32_t mutations;
} target;

static const target corpus_targets[] = {
#define CORPUS_TARGET(name, mutations) {#name, fuzz_##name, mutations},
    FUZZ_TARGETS(CORPUS_TARGET)
#undef CORPUS_TARGET
};

/* ---- the corpus ---- */

typedef struct text {
    uint8_t *data;
    size_t size;
} text;

typedef struct corpus {
    text file[CORPUS_FILES];
    uint32_t count;
} corpus;

static bool corpus_read(const char *path, text *out) {
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    out->data = input_alloc(CORPUS_INPUT);
    out->size = fread(out->data, 1, CORPUS_INPUT, file);
    fclose(file);
    return true;
}

static int corpus_visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* In the order of the names, so that mutations are the same everywhere. */
static bool corpus_load(const char *name, corpus *c) {
    char folder[PATH_MAX], path[2 * PATH_MAX];
    struct dirent **entries;
    snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", name);
    int n = scandir(folder, &entries, corpus_visible, alphasort);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (c->count < CORPUS_FILES && corpus_read(path, &c->file[c->count])) c->count++;
        free(entries[i]);
    }
    if (n >= 0) free(entries);
    return c->count > 0 && (uint32_t)n == c->count;
}

static void corpus_free(corpus *c) {
    for (uint32_t i = 0; i < c->count; i++)
        free(c->file[i].data);
}

/* ---- what a child tells its parent of the input that it is at ---- */

typedef struct progress {
    uint32_t inputs;
    size_t size;
    uint8_t data[CORPUS_INPUT];
} progress;

/* ---- mutations ---- */

/* Makes room for n bytes at `at`; answers how many there are. */
static size_t corpus_open_gap(progress *p, size_t at, size_t n) {
    if (n > CORPUS_INPUT - p->size) n = CORPUS_INPUT - p->size;
    memmove(p->data + at + n, p->data + at, p->size - at);
    p->size += n;
    return n;
}

static void corpus_insert(progress *p, uint64_t *chance, const text *other) {
    size_t at = (size_t)fake_below(chance, p->size + 1), from = (size_t)fake_below(chance, other->size + 1);
    size_t n = corpus_open_gap(p, at, (size_t)fake_below(chance, other->size - from + 1));
    memcpy(p->data + at, other->data + from, n);
}

static void corpus_drop(progress *p, uint64_t *chance) {
    size_t at = (size_t)fake_below(chance, p->size), n = 1 + (size_t)fake_below(chance, 1 + (p->size - at) / 4);
    if (n > p->size - at) n = p->size - at;
    memmove(p->data + at, p->data + at + n, p->size - at - n);
    p->size -= n;
}

static void corpus_repeat(progress *p, uint64_t *chance) {
    size_t at = (size_t)fake_below(chance, p->size), n = 1 + (size_t)fake_below(chance, 32);
    if (n > p->size - at) n = p->size - at;
    n = corpus_open_gap(p, at, n);
    memcpy(p->data + at, p->data + at + n, n);
}

static void corpus_mutate(progress *p, uint64_t *chance, const corpus *c) {
    static const uint8_t odd[] = {0,   '\n', '"', '\\', '{', '}',  '[',  ']', ',',
                                  ':', ' ',  '0', '9',  '%', 0x7f, 0x80, 0xff};
    for (uint64_t n = 1 + fake_below(chance, 4); n > 0 && p->size > 0; n--) {
        size_t at = (size_t)fake_below(chance, p->size);
        switch (fake_below(chance, 6)) {
        case 0:
            p->data[at] ^= (uint8_t)(1u << fake_below(chance, 8));
            break;
        case 1:
            p->data[at] = odd[fake_below(chance, sizeof odd)];
            break;
        case 2:
            p->data[at] = (uint8_t)fake_below(chance, 256);
            break;
        case 3:
            corpus_drop(p, chance);
            break;
        case 4:
            corpus_repeat(p, chance);
            break;
        default:
            corpus_insert(p, chance, &c->file[fake_below(chance, c->count)]);
        }
    }
}

/* ---- running ---- */

static void corpus_feed(const target *t, progress *p) {
    char *copy = input_copy(wf_str_of((const char *)p->data, p->size));
    p->inputs++;
    alarm(CORPUS_SECONDS);
    t->run((const uint8_t *)copy, p->size);
    alarm(0);
    free(copy);
}

static void corpus_take(progress *p, const text *file) {
    p->size = file->size;
    memcpy(p->data, file->data, file->size);
}

static void corpus_run(const target *t, const corpus *c, progress *p) {
    const char *said = getenv("WF_SEED");
    uint64_t chance = fake_mix(said ? strtoull(said, NULL, 10) : 1);
    for (uint32_t i = 0; i < c->count; i++) {
        corpus_take(p, &c->file[i]);
        corpus_feed(t, p);
    }
    for (uint32_t i = 0; i < t->mutations * (fake_full() ? 50 : 1); i++) {
        corpus_take(p, &c->file[fake_below(&chance, c->count)]);
        corpus_mutate(p, &chance, c);
        corpus_feed(t, p);
    }
}

static void corpus_save(const target *t, const progress *p, int status) {
    char path[PATH_MAX];
    mkdir("build", 0777);
    mkdir("build/fuzz", 0777);
    snprintf(path, sizeof path, "build/fuzz/%s.broken", t->name);
    FILE *file = fopen(path, "wb");
    if (file) fwrite(p->data, 1, p->size, file);
    if (file) fclose(file);
    printf("# input %u, of %zu bytes: %s; it is in %s: make fuzz T=%s INPUT=%s\n", p->inputs, p->size,
           WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "no end" : "a broken promise, see above", path, t->name,
           path);
}

static bool corpus_passes(const target *t, progress *p) {
    corpus c = {.count = 0};
    int status = -1;
    memset(p, 0, sizeof *p);
    if (!corpus_load(t->name, &c)) {
        corpus_free(&c);
        printf("# tests/fuzz/corpus/%s cannot be read, is empty, or has more than %u files\n", t->name, CORPUS_FILES);
        return false;
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        corpus_run(t, &c, p);
        corpus_free(&c);
        exit(0);
    }
    if (child > 0) waitpid(child, &status, 0);
    if (status != 0) corpus_save(t, p, status);
    corpus_free(&c);
    return status == 0;
}

/* test_corpus [NAME]: that target alone. */
int main(int argc, char **argv) {
    const uint32_t count = sizeof corpus_targets / sizeof *corpus_targets;
    uint32_t failed = 0, ran = 0;
    progress *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return 1;
    for (uint32_t i = 0; i < count; i++) {
        const target *t = &corpus_targets[i];
        if (argc > 1 && strcmp(argv[1], t->name) != 0) continue;
        bool passes = corpus_passes(t, p);
        printf("%sok %u - %s: %u inputs\n", passes ? "" : "not ", ++ran, t->name, p->inputs);
        failed += !passes;
    }
    printf("1..%u\n", ran);
    return failed > 0 || ran == 0;
}
