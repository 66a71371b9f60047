/* constraints: see constraints.h. */
#include "constraints.h"
#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <string.h>

#define CONSTRAINTS_SEQUENCE  (MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE)
#define CONSTRAINTS_PERMITTED (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED | 0)
#define CONSTRAINTS_EXCLUDED  (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED | 1)
#define CONSTRAINTS_DNS       (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_DNS_NAME)
#define CONSTRAINTS_ADDRESS   (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_IP_ADDRESS)

/* What is left to read of an encoding. */
typedef struct constraints_der {
    unsigned char *p;
    const unsigned char *end;
} constraints_der;

/* Takes the next element, whose content is *in; false: it is none with that tag. */
static bool constraints_take(constraints_der *from, int tag, constraints_der *in) {
    size_t n;
    if (mbedtls_asn1_get_tag(&from->p, from->end, &n, tag) != 0) return false;
    *in = (constraints_der){from->p, from->p + n};
    from->p += n;
    return true;
}

static bool constraints_is_oid(const unsigned char *p, size_t n) {
    return n == MBEDTLS_OID_SIZE(MBEDTLS_OID_NAME_CONSTRAINTS) && memcmp(p, MBEDTLS_OID_NAME_CONSTRAINTS, n) == 0;
}

int wfi_constraints_accept(void *ctx, const mbedtls_x509_crt *crt, const mbedtls_x509_buf *oid, int critical,
                           const unsigned char *p, const unsigned char *end) {
    (void)ctx, (void)crt, (void)p, (void)end;
    return !critical || constraints_is_oid(oid->p, oid->len) ? 0 : -1;
}

/* The extension's content; there: whether the certificate has one. False: it cannot be read. */
static bool constraints_find(const mbedtls_x509_crt *crt, constraints_der *out, bool *there) {
    constraints_der ext = {crt->v3_ext.p, crt->v3_ext.p + crt->v3_ext.len}, list, one, oid, skipped;
    *there = false;
    if (crt->v3_ext.len == 0) return true;
    if (!constraints_take(&ext, CONSTRAINTS_SEQUENCE, &list)) return false;
    while (list.p < list.end) {
        if (!constraints_take(&list, CONSTRAINTS_SEQUENCE, &one) || !constraints_take(&one, MBEDTLS_ASN1_OID, &oid))
            return false;
        if (!constraints_is_oid(oid.p, (size_t)(oid.end - oid.p))) continue;
        if (one.p < one.end && *one.p == MBEDTLS_ASN1_BOOLEAN &&
            !constraints_take(&one, MBEDTLS_ASN1_BOOLEAN, &skipped))
            return false;
        *there = true;
        return constraints_take(&one, MBEDTLS_ASN1_OCTET_STRING, &ext) &&
               constraints_take(&ext, CONSTRAINTS_SEQUENCE, out);
    }
    return true;
}

/* ---- names ---- */

static bool constraints_same_letters(const unsigned char *a, const unsigned char *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char x = a[i], y = b[i];
        if (x >= 'A' && x <= 'Z') x |= 0x20;
        if (y >= 'A' && y <= 'Z') y |= 0x20;
        if (x != y) return false;
    }
    return true;
}

/* Whether the name is the base or lies below it; a base with a dot before it means only what lies below. */
static bool constraints_is_below(const unsigned char *name, size_t n, const unsigned char *base, size_t m) {
    if (m == 0) return true;
    if (n < m || !constraints_same_letters(name + n - m, base, m)) return false;
    return base[0] == '.' ? n > m : n == m || name[n - m - 1] == '.';
}

/* strict: whether any host that the name stands for may be meant, as an exclusion wants it of "*.". */
static bool constraints_has_dns(const mbedtls_x509_buf *name, const constraints_der *base, bool strict) {
    size_t m = (size_t)(base->end - base->p);
    if (constraints_is_below(name->p, name->len, base->p, m)) return true;
    if (!strict || name->len < 2 || name->p[0] != '*') return false;
    return constraints_is_below(base->p, m, name->p + 2, name->len - 2);
}

/* An address and a mask. */
static bool constraints_has_address(const mbedtls_x509_buf *name, const constraints_der *base) {
    if ((size_t)(base->end - base->p) != 2 * name->len) return false;
    for (size_t i = 0; i < name->len; i++)
        if (((name->p[i] ^ base->p[i]) & base->p[name->len + i]) != 0) return false;
    return true;
}

/* Looks for the name in a list of subtrees; some: whether there are any of its kind. False: the list cannot be read, or is too
 * long. */
static bool constraints_look(constraints_der list, const mbedtls_x509_buf *name, bool excluded, uint32_t *work,
                             bool *some, bool *in) {
    constraints_der one, base;
    *some = *in = false;
    while (list.p < list.end) {
        if (++*work > WFI_CONSTRAINTS_WORK || !constraints_take(&list, CONSTRAINTS_SEQUENCE, &one) || one.p >= one.end)
            return false;
        int kind = *one.p;
        if (kind != name->tag) continue;
        if (!constraints_take(&one, kind, &base)) return false;
        *some = true;
        *in |=
            kind == CONSTRAINTS_DNS ? constraints_has_dns(name, &base, excluded) : constraints_has_address(name, &base);
    }
    return true;
}

static bool constraints_allow_name(constraints_der value, const mbedtls_x509_buf *name, uint32_t *work) {
    constraints_der list;
    bool some, in;
    if (value.p < value.end && *value.p == CONSTRAINTS_PERMITTED) {
        if (!constraints_take(&value, CONSTRAINTS_PERMITTED, &list)) return false;
        if (!constraints_look(list, name, false, work, &some, &in) || (some && !in)) return false;
    }
    if (value.p == value.end) return true;
    if (!constraints_take(&value, CONSTRAINTS_EXCLUDED, &list)) return false;
    return constraints_look(list, name, true, work, &some, &in) && !in;
}

bool wfi_constraints_allow(const mbedtls_x509_crt *authority, const mbedtls_x509_crt *crt) {
    constraints_der value;
    uint32_t work = 0;
    bool there;
    if (!constraints_find(authority, &value, &there)) return false;
    for (const mbedtls_x509_sequence *name = &crt->subject_alt_names; there && name != NULL; name = name->next)
        if ((name->buf.tag == CONSTRAINTS_DNS || name->buf.tag == CONSTRAINTS_ADDRESS) &&
            !constraints_allow_name(value, &name->buf, &work))
            return false;
    return true;
}
