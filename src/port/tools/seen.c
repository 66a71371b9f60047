/* seen: see seen.h. */
#include "confine.h"
#include "seen.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEEN_BLOCK 16384u

/* ---- hashes ---- */

static uint64_t seen_mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

/* Not against somebody who looks for two texts with one hash: whoever can write the file has no need to. */
static uint64_t seen_block(uint64_t hash, const char *p, size_t n) {
    uint64_t word = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, p + i, 8);
        hash = seen_mix(hash, word);
    }
    word = 0;
    if (n > i) memcpy(&word, p + i, n - i);
    return seen_mix(seen_mix(hash, word), n);
}

uint64_t wfi_seen_text(wf_str text) {
    uint64_t hash = 1;
    for (size_t at = 0; at < text.len; at += SEEN_BLOCK)
        hash = seen_block(hash, text.ptr + at, text.len - at < SEEN_BLOCK ? text.len - at : SEEN_BLOCK);
    return hash;
}

uint64_t wfi_seen_path(const char *root, const char *path) {
    char whole[2 * WFI_CONFINE_PATH];
    size_t n = strlen(root) > 1 ? strlen(root) : 0, m = strlen(path);
    memcpy(whole, root, n);
    whole[n] = '/';
    memcpy(whole + n + 1, path, m);
    return seen_block(2, whole, n + 1 + m) | 1;
}

static uint64_t seen_dates(const struct stat *st) {
    const uint64_t words[4] = {(uint64_t)st->st_ino, (uint64_t)st->st_size,
                               (uint64_t)st->st_mtim.tv_sec << 30 ^ (uint64_t)st->st_mtim.tv_nsec,
                               (uint64_t)st->st_ctim.tv_sec << 30 ^ (uint64_t)st->st_ctim.tv_nsec};
    return seen_block(3, (const char *)words, sizeof words);
}

bool wfi_seen_content(int fd, uint64_t *content) {
    char block[SEEN_BLOCK];
    struct stat st;
    uint64_t hash = 1, at = 0;
    if (fstat(fd, &st) != 0) return false;
    if ((uint64_t)st.st_size > WFI_SEEN_WHOLE) {
        *content = seen_dates(&st);
        return true;
    }
    for (size_t n = SEEN_BLOCK; n == SEEN_BLOCK && at <= WFI_SEEN_WHOLE; at += n) {
        ssize_t got = 1;
        for (n = 0; n < SEEN_BLOCK && got != 0; n += got > 0 ? (size_t)got : 0) {
            got = pread(fd, block + n, SEEN_BLOCK - n, (off_t)(at + n));
            if (got < 0 && errno != EINTR) return false;
        }
        if (n > 0) hash = seen_block(hash, block, n);
    }
    *content = hash;
    return true;
}

/* ---- the table ---- */

size_t wfi_seen_size(uint32_t sets) {
    return (size_t)sets * WFI_SEEN_WAYS * sizeof(wfi_seen_entry);
}

void wfi_seen_init(wfi_seen *s, void *table, uint32_t sets, bool forgot) {
    *s = (wfi_seen){.entry = table, .sets = sets, .forgot = forgot};
}

static wfi_seen_entry *seen_set(const wfi_seen *s, uint32_t agent, uint64_t file) {
    return s->entry + seen_mix(file, agent) % s->sets * WFI_SEEN_WAYS;
}

static const wfi_seen_entry *seen_find(const wfi_seen *s, uint32_t agent, uint64_t file) {
    const wfi_seen_entry *set = seen_set(s, agent, file);
    for (uint32_t i = 0; i < WFI_SEEN_WAYS; i++)
        if (set[i].file == file && set[i].agent == agent) return &set[i];
    return NULL;
}

/* The youngest of its set; the oldest goes. */
static void seen_put(wfi_seen *s, wfi_seen_entry fresh) {
    wfi_seen_entry *set = seen_set(s, fresh.agent, fresh.file);
    uint32_t i = 0;
    while (i < WFI_SEEN_WAYS - 1 && set[i].file != 0 && (set[i].file != fresh.file || set[i].agent != fresh.agent))
        i++;
    bool its_own = set[i].file == fresh.file && set[i].agent == fresh.agent;
    s->forgot = s->forgot || (set[i].file != 0 && !its_own);
    memmove(set + 1, set, i * sizeof *set);
    set[0] = fresh;
}

void wfi_seen_read(wfi_seen *s, uint32_t agent, wfi_seen_mark mark) {
    if (agent == 0 || mark.file == 0) return;
    seen_put(s, (wfi_seen_entry){.file = mark.file, .content = mark.content, .agent = agent});
}

void wfi_seen_wrote(wfi_seen *s, uint32_t agent, uint64_t before, wfi_seen_mark mark, bool whole) {
    if (agent == 0 || mark.file == 0) return;
    const wfi_seen_entry *own = seen_find(s, agent, mark.file);
    if (whole || (own != NULL && own->content == before)) wfi_seen_read(s, agent, mark);
    seen_put(s, (wfi_seen_entry){.file = mark.file, .content = mark.content, .writer = agent});
}

wfi_seen_state wfi_seen_judge(wfi_seen *s, uint32_t agent, wfi_seen_mark mark) {
    if (agent == 0) return WFI_SEEN_FREE;
    const wfi_seen_entry *own = seen_find(s, agent, mark.file), *last = seen_find(s, 0, mark.file);
    if (own != NULL) return own->content == mark.content ? WFI_SEEN_FREE : WFI_SEEN_CHANGED;
    if (last != NULL && last->content == mark.content) return last->writer == agent ? WFI_SEEN_FREE : WFI_SEEN_OTHERS;
    return s->forgot ? WFI_SEEN_FORGOT : WFI_SEEN_FREE;
}
