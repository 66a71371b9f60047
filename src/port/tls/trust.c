/* trust: see trust.h.
 *
 * The bundle is read as lines: base64 between a BEGIN and an END line is a certificate, everything else is a comment. Only as
 * much of the DER (X.690) is looked at as leads to the subject (RFC 5280, 4.1):
 *
 *     Certificate ::= SEQUENCE { tbs SEQUENCE { [0] version OPTIONAL, INTEGER serial, SEQUENCE algorithm, SEQUENCE issuer,
 *                                               SEQUENCE validity, SEQUENCE subject, ... } ... }
 *
 * Names are compared byte for byte, as RFC 5280 asks of those who issue (the issuer is to be encoded as the subject was).
 * A hash only leads to candidates: the names themselves are compared, and mbedTLS checks the signatures. */
#include "trust.h"
#include "constraints.h"
#include <errno.h>
#include <fcntl.h>
#include <mbedtls/platform.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRUST_FILE_MAX (64 << 20) /* a bundle; real ones have 200 KB */
#define TRUST_LINE_MAX 80         /* longer lines are no PEM (RFC 7468 has 64) */
#define TRUST_HEAD     384        /* DER that mostly reaches to the end of the subject */
#define TRUST_HEAD_MAX 4096       /* DER that has to reach to the end of a subject */
#define TRUST_DER_MAX  (16 << 10) /* a whole certificate */
#define TRUST_NONE     UINT32_MAX

/* ---- lines of the file ---- */

typedef struct trust_lines {
    int fd;
    off_t next;      /* where the window ends in the file */
    size_t at, have; /* in the window */
    char window[8192];
    char line[TRUST_LINE_MAX + 1];
    size_t len; /* of line; TRUST_LINE_MAX + 1: it was longer */
} trust_lines;

static void trust_lines_from(trust_lines *l, int fd, off_t at) {
    l->fd = fd;
    l->next = at;
    l->at = l->have = 0;
}

static bool trust_fill(trust_lines *l) {
    ssize_t got;
    do {
        got = pread(l->fd, l->window, sizeof l->window, l->next);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) return false;
    l->next += got;
    l->have = (size_t)got;
    l->at = 0;
    return true;
}

/* Where the next line begins in the file. */
static off_t trust_lines_at(const trust_lines *l) {
    return l->next - (off_t)(l->have - l->at);
}

/* The next line, without its end and blanks before it. False: there is none. */
static bool trust_line(trust_lines *l) {
    bool any = false;
    for (l->len = 0; l->at < l->have || trust_fill(l); any = true) {
        const char *from = l->window + l->at, *end = memchr(from, '\n', l->have - l->at);
        size_t n = end != NULL ? (size_t)(end - from) : l->have - l->at;
        size_t room = TRUST_LINE_MAX + 1 - l->len;
        memcpy(l->line + l->len, from, n < room ? n : room);
        l->len += n < room ? n : room;
        l->at += n + (end != NULL);
        if (end == NULL) continue;
        any = true;
        break;
    }
    while (l->len > 0 && l->len <= TRUST_LINE_MAX && strchr("\r\t ", l->line[l->len - 1]) != NULL)
        l->len--;
    return any;
}

static bool trust_line_is(const trust_lines *l, const char *text) {
    return l->len == strlen(text) && memcmp(l->line, text, l->len) == 0;
}

/* Goes behind the next BEGIN line. */
static bool trust_begin(trust_lines *l) {
    while (trust_line(l))
        if (trust_line_is(l, "-----BEGIN CERTIFICATE-----")) return true;
    return false;
}

/* ---- base64 ---- */

/* -1: none. In the order of how many there are of each. */
static int trust_digit(char c) {
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes the certificate that begins at the next line, up to its END line or `max` bytes. 0: it is damaged. */
static size_t trust_decode(trust_lines *l, uint8_t *der, size_t max) {
    uint32_t bits = 0, held = 0;
    size_t n = 0;
    while (trust_line(l)) {
        if (trust_line_is(l, "-----END CERTIFICATE-----")) return n;
        if (l->len > TRUST_LINE_MAX) return 0;
        for (size_t i = 0; i < l->len && l->line[i] != '='; i++) {
            int digit = trust_digit(l->line[i]);
            if (digit < 0) return 0;
            bits = bits << 6 | (uint32_t)digit;
            held += 6;
            if (held < 8) continue;
            held -= 8;
            der[n++] = (uint8_t)(bits >> held);
            if (n == max) return n;
        }
    }
    return 0;
}

/* ---- DER ---- */

/* What is left to read: [p, end). */
typedef struct trust_der {
    const uint8_t *p, *end;
} trust_der;

/* Takes the next element, which must have this tag: `in` becomes its content. With `cut` the content may reach beyond the end. */
static bool trust_take(trust_der *d, uint8_t tag, trust_der *in, bool cut) {
    size_t left = (size_t)(d->end - d->p), head = 2, len;
    if (left < 2 || d->p[0] != tag) return false;
    len = d->p[1];
    if (len >= 0x80) {
        size_t bytes = len & 0x7F;
        if (bytes < 1 || bytes > 3 || left < 2 + bytes) return false;
        for (len = 0; head < 2 + bytes; head++)
            len = len << 8 | d->p[head];
    }
    if (len > left - head) {
        if (!cut) return false;
        len = left - head;
    }
    *in = (trust_der){d->p + head, d->p + head + len};
    d->p = in->end;
    return true;
}

/* The subject of a certificate of which [der, der+n) is the beginning: its whole element. */
static bool trust_subject(const uint8_t *der, size_t n, trust_der *subject) {
    trust_der all = {der, der + n}, crt, tbs, skip;
    if (!trust_take(&all, 0x30, &crt, true) || !trust_take(&crt, 0x30, &tbs, true)) return false;
    if (tbs.p < tbs.end && *tbs.p == 0xA0 && !trust_take(&tbs, 0xA0, &skip, false)) return false;
    if (!trust_take(&tbs, 0x02, &skip, false)) return false;
    for (int i = 0; i < 3; i++)
        if (!trust_take(&tbs, 0x30, &skip, false)) return false;
    subject->p = tbs.p;
    if (!trust_take(&tbs, 0x30, &skip, false)) return false;
    subject->end = tbs.p;
    return true;
}

static uint32_t trust_hash(const uint8_t *p, size_t n) { /* FNV-1a */
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 16777619u;
    return h;
}

/* ---- the index ---- */

static bool trust_note(wfi_trust *t, uint32_t hash, uint32_t at) {
    if (t->count == t->room) {
        uint32_t room = t->room != 0 ? 2 * t->room : 256;
        wfi_trust_root *more = mbedtls_calloc(room, sizeof *more);
        if (more == NULL) return false;
        if (t->count > 0) memcpy(more, t->roots, t->count * sizeof *more);
        mbedtls_free(t->roots);
        t->roots = more;
        t->room = room;
    }
    t->roots[t->count++] = (wfi_trust_root){hash, at};
    return true;
}

/* Reads the certificate at the next line as far as its subject, and hashes that. */
static bool trust_read(trust_lines *l, uint32_t *hash) {
    trust_der subject;
    uint8_t head[TRUST_HEAD_MAX];
    off_t at = trust_lines_at(l);
    if (!trust_subject(head, trust_decode(l, head, TRUST_HEAD), &subject)) {
        trust_lines_from(l, l->fd, at);
        if (!trust_subject(head, trust_decode(l, head, sizeof head), &subject)) return false;
    }
    *hash = trust_hash(subject.p, (size_t)(subject.end - subject.p));
    return true;
}

static bool trust_index(wfi_trust *t) {
    trust_lines l;
    if (t->indexed) return true;
    t->count = 0;
    trust_lines_from(&l, t->fd, 0);
    while (trust_begin(&l)) {
        uint32_t hash;
        off_t at = trust_lines_at(&l);
        if (at > TRUST_FILE_MAX) break; /* it has grown since */
        if (trust_read(&l, &hash) && !trust_note(t, hash, (uint32_t)at)) return false;
    }
    t->indexed = true;
    return true;
}

/* The first root from *i on whose subject hashes so: its DER in `der`, and *i behind it. 0: there is none. */
static size_t trust_next(wfi_trust *t, uint32_t hash, uint32_t *i, uint8_t *der) {
    while (*i < t->count) {
        trust_lines l;
        const wfi_trust_root *root = &t->roots[(*i)++];
        if (root->hash != hash) continue;
        trust_lines_from(&l, t->fd, root->at);
        size_t n = trust_decode(&l, der, TRUST_DER_MAX);
        if (n > 0) return n;
    }
    return 0;
}

/* ---- the questions ---- */

static bool trust_is_out_of_memory(int error) {
    return error == MBEDTLS_ERR_X509_ALLOC_FAILED || error == MBEDTLS_ERR_PK_ALLOC_FAILED;
}

/* Appends the certificate to the list *found. Nonzero: there is no memory; one that cannot be parsed is passed over. */
static int trust_add(mbedtls_x509_crt **found, const uint8_t *der, size_t n) {
    mbedtls_x509_crt *crt = mbedtls_calloc(1, sizeof *crt);
    if (crt == NULL) return MBEDTLS_ERR_X509_ALLOC_FAILED;
    mbedtls_x509_crt_init(crt);
    int error = mbedtls_x509_crt_parse_der_with_ext_cb(crt, der, n, 1, wfi_constraints_accept, NULL);
    if (error != 0) {
        mbedtls_x509_crt_free(crt);
        mbedtls_free(crt);
        return trust_is_out_of_memory(error) ? error : 0;
    }
    crt->next = *found;
    *found = crt;
    return 0;
}

static void trust_free(mbedtls_x509_crt **found) {
    mbedtls_x509_crt_free(*found);
    mbedtls_free(*found);
    *found = NULL;
}

int wfi_trust_find(void *ctx, mbedtls_x509_crt const *child, mbedtls_x509_crt **found) {
    wfi_trust *t = ctx;
    const mbedtls_x509_buf *issuer = &child->issuer_raw;
    uint32_t i = 0, hash = trust_hash(issuer->p, issuer->len);
    size_t n;
    *found = NULL;
    if (!trust_index(t)) return MBEDTLS_ERR_X509_ALLOC_FAILED;
    uint8_t *der = mbedtls_calloc(1, TRUST_DER_MAX);
    int error = der != NULL ? 0 : MBEDTLS_ERR_X509_ALLOC_FAILED;
    while (error == 0 && (n = trust_next(t, hash, &i, der)) > 0) {
        trust_der subject;
        if (!trust_subject(der, n, &subject) || (size_t)(subject.end - subject.p) != issuer->len) continue;
        if (memcmp(subject.p, issuer->p, issuer->len) == 0) error = trust_add(found, der, n);
    }
    mbedtls_free(der);
    if (error != 0) trust_free(found);
    return error;
}

bool wfi_trust_holds(wfi_trust *t, const mbedtls_x509_crt *crt) {
    uint32_t i = 0, hash = trust_hash(crt->subject_raw.p, crt->subject_raw.len);
    size_t n;
    bool holds = false;
    uint8_t *der = trust_index(t) ? mbedtls_calloc(1, TRUST_DER_MAX) : NULL;
    while (der != NULL && !holds && (n = trust_next(t, hash, &i, der)) > 0)
        holds = n == crt->raw.len && memcmp(der, crt->raw.p, n) == 0;
    mbedtls_free(der);
    return holds;
}

/* ---- opening ---- */

static const char *const trust_places[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Arch, Gentoo */
    "/etc/pki/tls/certs/ca-bundle.crt",                  /* Fedora and its kin */
    "/etc/ssl/ca-bundle.pem",                            /* openSUSE */
    "/etc/ssl/cert.pem",                                 /* Alpine, the BSDs, macOS */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora and its kin, minimal */
    "/usr/local/share/certs/ca-root-nss.crt",            /* FreeBSD */
};

/* NULL: open. Else why not. */
static const char *trust_open_file(wfi_trust *t, const char *path) {
    struct stat st;
    trust_lines l;
    const char *why = NULL;
    t->path = path;
    t->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO must not hold us up */
    if (t->fd < 0 || fstat(t->fd, &st) != 0)
        why = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        why = "it is not a regular file";
    else if (st.st_size > TRUST_FILE_MAX)
        why = "it is larger than 64 MB";
    trust_lines_from(&l, t->fd, 0);
    if (why == NULL && !trust_begin(&l))
        why = "there is no certificate in it (-----BEGIN CERTIFICATE----- at the head of a line)";
    if (why != NULL) wfi_trust_close(t);
    return why;
}

wf_status wfi_trust_open(wfi_trust *t, const char *path, char *why, size_t why_size) {
    *t = (wfi_trust){.fd = -1};
    if (path != NULL) {
        const char *cause = trust_open_file(t, path);
        if (cause == NULL) return WF_OK;
        snprintf(why, why_size, "cannot use %s as bundle of certificates: %s", path, cause);
        return WF_E_NOT_FOUND;
    }
    for (size_t i = 0; i < sizeof trust_places / sizeof trust_places[0]; i++)
        if (trust_open_file(t, trust_places[i]) == NULL) return WF_OK;
    snprintf(why, why_size,
             "found no certificates of authorities on this system (looked for %s and others): install the package "
             "ca-certificates, or give a bundle with --ca FILE",
             trust_places[0]);
    return WF_E_NOT_FOUND;
}

void wfi_trust_close(wfi_trust *t) {
    mbedtls_free(t->roots);
    if (t->fd >= 0) close(t->fd);
    *t = (wfi_trust){.fd = -1};
}
