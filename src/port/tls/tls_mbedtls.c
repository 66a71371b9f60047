/* tls_mbedtls: the contract of tls.h on mbedTLS 3.6.
 *
 * A connection is closed, plain (passed through), shaking hands, open, or failed. The handshake has no call of its own: read and
 * write drive it, and answer AGAIN until it is done. They alone see mbedTLS's answers, and tls_translate turns each into one of
 * the four of wf_net_ops; whatever is not foreseen there is an error, and an error is final,
 * but for a network that no longer takes bytes: what came before that can still be read.
 *
 * Invariants:
 *   1. Data goes through only on a connection whose peer was verified: in this handshake (`verified` is set by the callback that
 *      mbedTLS calls for each certificate), or in an earlier one whose session both sides have proved to know (`offered`).
 *   2. Bytes that mbedTLS has encrypted count as written, though the network may not have taken them yet. They go first, before
 *      anything else is written; reading, too, gives them another chance, but goes on without it.
 *   3. AGAIN is answered only when the network below has just answered AGAIN, so that `ready`, passed through, names the
 *      connection; or while it is TLS_WAITING, and then `ready` adds it.
 *      mbedTLS wants to be called again for other reasons too, which is done here; a peer that keeps it so without end is cut off.
 *
 * mbedTLS has its allocator and its cryptography per process. tls_now, which leads the allocator to its heap, is the only
 * mutable static data of the library. */
#include "constraints.h"
#include "trust.h"
#include <arpa/inet.h>
#include <mbedtls/build_info.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/platform.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if MBEDTLS_VERSION_MAJOR != 3 || MBEDTLS_VERSION_MINOR < 6
#error "workflow.h needs mbedTLS 3.6"
#endif
#if !defined(MBEDTLS_PLATFORM_MEMORY) || !defined(MBEDTLS_X509_TRUSTED_CERTIFICATE_CALLBACK)
#error                                                                                                                 \
    "workflow.h needs an mbedTLS that is built with MBEDTLS_PLATFORM_MEMORY and MBEDTLS_X509_TRUSTED_CERTIFICATE_CALLBACK"
#endif
#if !defined(MBEDTLS_SSL_PROTO_TLS1_2) || !defined(MBEDTLS_SSL_PROTO_TLS1_3) ||                                        \
    !defined(MBEDTLS_SSL_SESSION_TICKETS) || !defined(MBEDTLS_SSL_SERVER_NAME_INDICATION) ||                           \
    !defined(MBEDTLS_SSL_ALPN) || !defined(MBEDTLS_HAVE_TIME_DATE)
#error "workflow.h needs an mbedTLS with TLS 1.2 and 1.3, session tickets, SNI, ALPN and MBEDTLS_HAVE_TIME_DATE"
#endif

#define TLS_CONNS       16u         /* by default */
#define TLS_CONN_SIZE   (48u << 10) /* of heap, for each connection in the midst of its handshake */
#define TLS_BASE_SIZE   (512u << 10)
#define TLS_PATIENCE_MS 500
#define TLS_SESSIONS    16 /* kept for resumption, of all hosts */
#define TLS_IDLE_MAX    64 /* messages that may come in a row without data: tickets, warnings */
#define TLS_HOST_MAX    256
#define TLS_CHAIN       (MBEDTLS_X509_MAX_INTERMEDIATE_CA + 2) /* certificates; mbedTLS goes up no further */
#define TLS_KEY_UPDATE  24                                     /* a message of TLS 1.3 that mbedTLS has no name for */
#define TLS_AHEAD       2048 /* bytes read ahead of what mbedTLS asks for: it wants a record's head and body one by one */

typedef enum tls_state {
    TLS_CLOSED = 0,
    TLS_PLAIN,
    TLS_WAITING, /* for another one with the same host to bring a session */
    TLS_HANDSHAKE,
    TLS_OPEN,
    TLS_FAILED
} tls_state;

typedef struct tls_conn {
    tls_state state;
    uint32_t number, port;
    mbedtls_ssl_context *ssl;
    wf_status below; /* what ended the network's reading or writing: WF_END, WF_E_IO, WF_E_STALE; WF_OK: nothing */
    bool blocked;    /* the network has answered AGAIN since this was last cleared */
    bool reading;    /* mbedTLS is asked for data, and must not be held up by what it would send first */
    bool ended;      /* the peer has sent its closing notice */
    bool unsent;     /* the network takes no more of the handshake: only what has come is still looked at */
    bool verified, offered;
    bool starved;   /* the heap refused something during its handshake, which mbedTLS may notice only later */
    bool leads;     /* others wait for the session that it may bring */
    bool woken;     /* it need wait no longer, and `ready` has yet to say so */
    uint32_t blame; /* MBEDTLS_X509_BADCERT_...: of all certificates of the chain */
    bool self_signed, unreadable;             /* the peer's own certificate is */
    bool nameless;                            /* ... and names no host, but perhaps in its common name */
    bool out_of_bounds;                       /* an authority may not sign for its names */
    const mbedtls_x509_crt *chain[TLS_CHAIN]; /* the authorities, while the chain is judged */
    uint32_t above;                           /* how many they are */
    mbedtls_x509_time passed;                 /* the date that the clock is on the wrong side of */
    uint8_t *aside;                           /* encrypted bytes that mbedTLS takes for sent; NULL: none */
    size_t aside_at, aside_size;              /* which of them are next; how many there are */
    size_t address_size;                      /* the host is an address: 4, 16; else 0 */
    uint8_t address[16];
    char host[TLS_HOST_MAX];
    uint16_t ahead_at, ahead_len; /* of `ahead`: taken, and there at all */
    char error[2 * TLS_HOST_MAX + 256];
    unsigned char ahead[TLS_AHEAD];
} tls_conn;

typedef struct tls_session {
    bool used;
    uint64_t age; /* the larger, the younger */
    uint32_t port;
    char host[TLS_HOST_MAX];
    mbedtls_ssl_session session;
} tls_session;

struct wf_tls {
    wf_heap *heap;
    wf_tls_config config;
    wfi_trust trust;
    mbedtls_ssl_config conf;
    const char *protocols[2]; /* for ALPN; the second ends the list */
    tls_conn *conns;
    tls_session *sessions;
    uint64_t age, handshakes, resumed;
    uint32_t waiting, woken; /* connections */
    uint64_t patience;       /* until when they wait, on the clock of the config */
    bool impatient;          /* waiting was in vain once: it is not done again */
    bool starved;            /* the heap has refused mbedTLS something since this was last cleared */
    char error[512];
};

static wf_tls *tls_now;

/* ---- memory ---- */

static void *tls_calloc(size_t count, size_t size) {
    size_t n = size == 0 || count <= SIZE_MAX / size ? count * size : SIZE_MAX;
    void *p = n != SIZE_MAX ? wf_heap_resize(tls_now->heap, NULL, n != 0 ? n : 1) : NULL;
    if (p != NULL)
        memset(p, 0, n);
    else
        tls_now->starved = true;
    return p;
}

static void tls_free(void *p) {
    if (p != NULL) wf_heap_resize(tls_now->heap, p, 0);
}

/* ---- what went wrong, in words ---- */

static const char *tls_alert_name(int alert) {
    switch (alert) {
    case MBEDTLS_SSL_ALERT_MSG_UNEXPECTED_MESSAGE:
        return "unexpected message";
    case MBEDTLS_SSL_ALERT_MSG_BAD_RECORD_MAC:
        return "bad record MAC";
    case MBEDTLS_SSL_ALERT_MSG_RECORD_OVERFLOW:
        return "record overflow";
    case MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE:
        return "handshake failure: it accepts nothing of TLS 1.2 and 1.3 with AES-GCM or ChaCha20-Poly1305 and "
               "certificates of RSA or ECDSA (not Ed25519)";
    case MBEDTLS_SSL_ALERT_MSG_BAD_CERT:
    case MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT:
    case MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED:
    case MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED:
    case MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN:
    case MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA:
        return "it wants clients to have a certificate";
    case MBEDTLS_SSL_ALERT_MSG_ILLEGAL_PARAMETER:
        return "illegal parameter";
    case MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED:
        return "access denied";
    case MBEDTLS_SSL_ALERT_MSG_DECODE_ERROR:
        return "decode error";
    case MBEDTLS_SSL_ALERT_MSG_DECRYPT_ERROR:
        return "decrypt error";
    case MBEDTLS_SSL_ALERT_MSG_INSUFFICIENT_SECURITY:
        return "insufficient security";
    case MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR:
        return "internal error";
    case MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME:
        return "unrecognized name: it serves no such host";
    case MBEDTLS_SSL_ALERT_MSG_CERT_REQUIRED:
        return "certificate required: it wants clients to have one";
    case MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL:
        return "no application protocol: it does not speak HTTP/1.1";
    default:
        return "an alert without a name";
    }
}

/* Whether a server that has sent this will send it again, whatever we do. */
static bool tls_alert_is_final(int alert) {
    static const uint8_t final[] = {
        MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE,
        MBEDTLS_SSL_ALERT_MSG_BAD_CERT,
        MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT,
        MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED,
        MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED,
        MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN,
        MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA,
        MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED,
        MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION,
        MBEDTLS_SSL_ALERT_MSG_INSUFFICIENT_SECURITY,
        MBEDTLS_SSL_ALERT_MSG_MISSING_EXTENSION,
        MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_EXT,
        MBEDTLS_SSL_ALERT_MSG_UNRECOGNIZED_NAME,
        MBEDTLS_SSL_ALERT_MSG_CERT_REQUIRED,
        MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL,
    };
    return alert != 0 && memchr(final, alert, sizeof final) != NULL;
}

/* The verdict on a certificate: what is worst for the user to overlook comes first. */
static void tls_say_blame(tls_conn *c) {
    const mbedtls_x509_time *d = &c->passed;
    char text[TLS_HOST_MAX + 128];
    if (c->unreadable)
        snprintf(text, sizeof text, "has a key or a signature of a kind that is not known here");
    else if (c->blame & MBEDTLS_X509_BADCERT_NOT_TRUSTED && c->self_signed)
        snprintf(text, sizeof text, "is signed by itself; if you trust it, give it with --ca FILE");
    else if (c->blame & MBEDTLS_X509_BADCERT_NOT_TRUSTED)
        snprintf(text, sizeof text, "is signed by an unknown authority; give that one's certificate with --ca FILE");
    else if (c->out_of_bounds)
        snprintf(text, sizeof text, "has names that its authority may not sign for (name constraints)");
    else if (c->blame & MBEDTLS_X509_BADCERT_CN_MISMATCH && c->nameless)
        snprintf(text, sizeof text, "names no host: it has no subjectAltName; it needs one for %s", c->host);
    else if (c->blame & MBEDTLS_X509_BADCERT_CN_MISMATCH)
        snprintf(text, sizeof text, "is made out to other names, not %s", c->host);
    else if (c->blame & MBEDTLS_X509_BADCERT_EXPIRED)
        snprintf(text, sizeof text, "is expired (ended %04d-%02d-%02d)", d->year, d->mon, d->day);
    else if (c->blame & MBEDTLS_X509_BADCERT_FUTURE)
        snprintf(text, sizeof text, "is not valid before %04d-%02d-%02d; is this machine's clock right?", d->year,
                 d->mon, d->day);
    else if (c->blame & (MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK | MBEDTLS_X509_BADCERT_BAD_KEY))
        snprintf(text, sizeof text, "is too weak: its key is short, or its signature of an outdated kind");
    else
        snprintf(text, sizeof text, "may not be used for a server");
    snprintf(c->error, sizeof c->error, "the certificate of %s %s", c->host, text);
}

/* A certificate of the chain could not even be read for what it insists on. */
static bool tls_is_critical(int error) {
    return error == MBEDTLS_ERR_X509_INVALID_EXTENSIONS + MBEDTLS_ERR_ASN1_UNEXPECTED_TAG ||
           error == MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE;
}

/* mbedTLS's verdicts on certificates; a second try would bring no other. */
static bool tls_is_verdict(int error) {
    return error == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED || error == MBEDTLS_ERR_SSL_BAD_CERTIFICATE ||
           tls_is_critical(error);
}

/* Not a record of TLS, where the first one of the peer was expected. */
static bool tls_is_gibberish(const tls_conn *c, int error) {
    int state = c->ssl->MBEDTLS_PRIVATE(state);
    return c->state == TLS_HANDSHAKE &&
           (error == MBEDTLS_ERR_SSL_INVALID_RECORD || error == MBEDTLS_ERR_SSL_UNEXPECTED_RECORD) &&
           (state == MBEDTLS_SSL_SERVER_HELLO || state == MBEDTLS_SSL_CLIENT_HELLO);
}

/* ... but text: the server speaks another protocol, and nothing was damaged on the way. */
static bool tls_is_text(const tls_conn *c, int error) {
    const unsigned char *p = c->ssl->MBEDTLS_PRIVATE(in_hdr);
    bool text = tls_is_gibberish(c, error);
    for (int i = 0; text && i < 5; i++)
        text = (p[i] >= ' ' && p[i] <= '~') || (p[i] >= '\t' && p[i] <= '\r');
    return text;
}

/* More bytes of certificates than mbedTLS takes in one message. */
static bool tls_is_large(const tls_conn *c) {
    int state = c->ssl->MBEDTLS_PRIVATE(state); /* 1.3 looks for a request of the client's certificate first */
    bool certificates = state == MBEDTLS_SSL_SERVER_CERTIFICATE || state == MBEDTLS_SSL_CERTIFICATE_REQUEST;
    return c->state == TLS_HANDSHAKE && certificates && c->ssl->MBEDTLS_PRIVATE(in_hslen) > MBEDTLS_SSL_IN_CONTENT_LEN;
}

/* More certificates than mbedTLS goes up. */
static bool tls_is_long(const tls_conn *c, int error) {
    return c->state == TLS_HANDSHAKE && error == MBEDTLS_ERR_X509_FATAL_ERROR;
}

static bool tls_is_key_update(const tls_conn *c, int error) {
    const mbedtls_ssl_context *ssl = c->ssl;
    return c->state == TLS_OPEN && error == MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE &&
           ssl->MBEDTLS_PRIVATE(in_msgtype) == MBEDTLS_SSL_MSG_HANDSHAKE &&
           ssl->MBEDTLS_PRIVATE(in_msg)[0] == TLS_KEY_UPDATE;
}

/* The alert that the peer has sent; 0: none. */
static int tls_alert(const tls_conn *c, int error) {
    return error == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE ? c->ssl->MBEDTLS_PRIVATE(in_msg)[1] : 0;
}

/* The peer's refusals, and what is not supported. */
static bool tls_say_refusal(tls_conn *c, int error) {
    int alert = tls_alert(c, error);
    char *to = c->error;
    size_t size = sizeof c->error;
    if (error == MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION || alert == MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION)
        snprintf(to, size, "%s speaks no TLS 1.2 or 1.3", c->host);
    else if (alert == MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE && c->state == TLS_OPEN)
        snprintf(to, size, "%s wants to negotiate TLS anew (alert %d), which is not supported here", c->host, alert);
    else if (alert != 0)
        snprintf(to, size, "%s broke TLS off: %s (alert %d)", c->host, tls_alert_name(alert), alert);
    else if (tls_is_key_update(c, error))
        snprintf(to, size, "%s asked for a key update (TLS 1.3), which is not supported here", c->host);
    else if (tls_is_long(c, error))
        snprintf(to, size, "the certificate chain of %s is longer than %d certificates, the limit here", c->host,
                 TLS_CHAIN - 1);
    else if (tls_is_large(c))
        snprintf(to, size, "the certificate chain of %s is larger than %d KB, the limit here", c->host,
                 MBEDTLS_SSL_IN_CONTENT_LEN / 1024);
    else if (tls_is_gibberish(c, error))
        snprintf(to, size, "%s answered with something that is not TLS; is the port right?", c->host);
    else
        return false;
    return true;
}

static bool tls_network_failed(const tls_conn *c) {
    return c->below == WF_E_IO || c->below == WF_E_STALE;
}

static void tls_say(tls_conn *c, int error) {
    const char *host = c->host;
    char *to = c->error;
    size_t size = sizeof c->error;
    bool shaking = c->state == TLS_HANDSHAKE;
    if (tls_now->starved || c->starved)
        snprintf(to, size, "TLS memory is exhausted; give more --memory or fewer --lanes");
    else if (tls_network_failed(c))
        to[0] = '\0'; /* the network's own words */
    else if (tls_is_critical(error))
        snprintf(to, size,
                 "the certificate of %s, or of an authority that it sends, has a critical extension that is not known "
                 "here; name constraints are, where they are not critical or stand in the root that --ca FILE gives",
                 host);
    else if (tls_is_verdict(error))
        tls_say_blame(c);
    else if (tls_say_refusal(c, error))
        return;
    else if (c->below == WF_END && shaking)
        snprintf(to, size, "%s closed the connection during the TLS handshake", host);
    else if (c->below == WF_END)
        snprintf(to, size, "the connection to %s was cut off: it ended without TLS's closing notice", host);
    else if (error == MBEDTLS_ERR_SSL_INVALID_MAC)
        snprintf(to, size, "the TLS connection to %s was damaged or tampered with", host);
    else
        snprintf(to, size, "the TLS %s with %s failed (mbedTLS error -0x%04X)", shaking ? "handshake" : "connection",
                 host, (unsigned)-error);
}

static void tls_step_back(tls_conn *c);

static void tls_session_forget(const tls_conn *c);

/* Whether another try can end no better. A session that was offered may be to blame for a refusal: the next try has none. */
static bool tls_is_final(const tls_conn *c, int error) {
    if (tls_is_verdict(error) || tls_is_text(c, error) || tls_is_long(c, error) || tls_is_large(c)) return true;
    bool refused = error == MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION || tls_alert_is_final(tls_alert(c, error));
    if (refused && c->offered) tls_session_forget(c);
    return refused && !c->offered;
}

static wf_status tls_fail(tls_conn *c, int error) {
    wf_status status = c->below == WF_E_STALE ? WF_E_STALE : WF_E_IO;
    if (!tls_now->starved && !c->starved && !tls_network_failed(c)) {
        if (tls_is_key_update(c, error)) status = WF_E_STALE;
        if (tls_is_final(c, error)) status = WF_E_CONFIG;
    }
    tls_say(c, error);
    c->state = TLS_FAILED;
    tls_step_back(c);
    return status;
}

/* ---- verification ---- */

static bool tls_same_address(const tls_conn *c, const mbedtls_x509_crt *crt) {
    for (const mbedtls_x509_sequence *name = &crt->subject_alt_names; name != NULL; name = name->next)
        if (name->buf.tag == (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_IP_ADDRESS) &&
            name->buf.len == c->address_size && memcmp(name->buf.p, c->address, c->address_size) == 0)
            return true;
    return false;
}

/* The names of the peer's own certificate: what mbedTLS does not look at. A common name is no host's (RFC 9525, 6.3), and an
 * address is not told to mbedTLS: it would be sent as SNI, which RFC 6066 forbids. */
static uint32_t tls_judge_names(tls_conn *c, const mbedtls_x509_crt *crt) {
    c->nameless = !mbedtls_x509_crt_has_ext_type(crt, MBEDTLS_X509_EXT_SUBJECT_ALT_NAME);
    for (uint32_t i = 0; i < c->above && i < TLS_CHAIN; i++)
        c->out_of_bounds |= !wfi_constraints_allow(c->chain[i], crt);
    c->out_of_bounds |= c->above > TLS_CHAIN;
    bool named = c->address_size > 0 ? tls_same_address(c, crt) : !c->nameless;
    return (named ? 0 : MBEDTLS_X509_BADCERT_CN_MISMATCH) | (c->out_of_bounds ? MBEDTLS_X509_BADCERT_OTHER : 0);
}

/* For each certificate of the chain, the root first. mbedTLS has judged it, but for its names, for whether a peer's own
 * certificate is given as trusted, and for what to tell the user. */
static int tls_judge(void *ctx, mbedtls_x509_crt *crt, int depth, uint32_t *flags) {
    tls_conn *c = ctx;
    if (depth == 0) {
        c->unreadable = crt->raw.len == 0; /* of an algorithm that mbedTLS does not know: it passed it over */
        c->self_signed = !c->unreadable && crt->issuer_raw.len == crt->subject_raw.len &&
                         memcmp(crt->issuer_raw.p, crt->subject_raw.p, crt->issuer_raw.len) == 0;
        if (*flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED && wfi_trust_holds(&tls_now->trust, crt))
            *flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_NOT_TRUSTED;
        if (!c->unreadable) *flags |= tls_judge_names(c, crt);
        c->above = 0; /* they are gone when this is over */
    } else if (c->above++ < TLS_CHAIN) {
        c->chain[c->above - 1] = crt;
    }
    if (*flags & MBEDTLS_X509_BADCERT_EXPIRED) c->passed = crt->valid_to;
    if (*flags & MBEDTLS_X509_BADCERT_FUTURE) c->passed = crt->valid_from;
    c->blame |= *flags;
    c->verified = true;
    return 0;
}

/* ---- sessions: the youngest one of each host. A ticket of TLS 1.3 serves several connections: that observers could link them
 * (RFC 8446, C.4) tells nobody anything, for they go from one process to one host within minutes. ---- */

static bool tls_session_is_for(const tls_session *s, const tls_conn *c) {
    return s->used && s->port == c->port && strcmp(s->host, c->host) == 0;
}

static void tls_session_drop(tls_session *s) {
    mbedtls_ssl_session_free(&s->session);
    s->used = false;
}

/* A place for a session of c: that of its host, a free one, or that of the eldest. */
static tls_session *tls_session_place(wf_tls *t, const tls_conn *c) {
    tls_session *place = &t->sessions[0];
    for (size_t i = 0; i < TLS_SESSIONS; i++) {
        tls_session *s = &t->sessions[i];
        if (tls_session_is_for(s, c)) return s;
        if (place->used && (!s->used || s->age < place->age)) place = s;
    }
    return place;
}

static tls_session *tls_session_find(const tls_conn *c) {
    for (size_t i = 0; i < TLS_SESSIONS; i++)
        if (tls_session_is_for(&tls_now->sessions[i], c)) return &tls_now->sessions[i];
    return NULL;
}

static void tls_session_forget(const tls_conn *c) {
    tls_session *s = tls_session_find(c);
    if (s != NULL) tls_session_drop(s);
}

/* Offers the session with the peer, if there is one. */
static void tls_session_offer(tls_conn *c) {
    tls_session *s = tls_session_find(c);
    if (s == NULL) return;
    c->offered = mbedtls_ssl_set_session(c->ssl, &s->session) == 0;
    if (!c->offered) tls_session_drop(s);
}

/* ---- who goes first. A full handshake is the dearest thing a run does on its own processor, and a run opens all its lanes at
 * once: so the first connection to a host leads, and the others wait until it has brought a session, has failed, or has had its
 * time. ---- */

static bool tls_same_host(const tls_conn *a, const tls_conn *b) {
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static bool tls_must_wait(const wf_tls *t, const tls_conn *c) {
    if (t->config.now_ms == NULL || t->impatient || tls_session_find(c) != NULL) return false;
    for (uint32_t i = 0; i < t->config.conns; i++)
        if (t->conns[i].leads && tls_same_host(&t->conns[i], c)) return true;
    return false;
}

/* Lets those go on that wait for a session with the host of `leader`; NULL: all. */
static void tls_release(wf_tls *t, const tls_conn *leader) {
    for (uint32_t i = 0; t->waiting > 0 && i < t->config.conns; i++) {
        tls_conn *c = &t->conns[i];
        if (c->state != TLS_WAITING || (leader != NULL && !tls_same_host(leader, c))) continue;
        c->state = TLS_HANDSHAKE;
        c->woken = true;
        t->waiting--;
        t->woken++;
        tls_session_offer(c);
    }
}

/* The connection leads no longer. */
static void tls_step_back(tls_conn *c) {
    if (!c->leads) return;
    c->leads = false;
    tls_release(tls_now, c);
}

/* Their time is over: such a host is not waited for again. */
static void tls_lose_patience(wf_tls *t) {
    if (t->waiting == 0 || t->config.now_ms(t->config.now_ctx) < t->patience) return;
    t->impatient = true;
    tls_release(t, NULL);
}

static void tls_begin_handshake(wf_tls *t, tls_conn *c) {
    if (tls_must_wait(t, c)) {
        if (t->waiting++ == 0) t->patience = t->config.now_ms(t->config.now_ctx) + TLS_PATIENCE_MS;
        c->state = TLS_WAITING;
        return;
    }
    tls_session_offer(c);
    c->leads = !c->offered;
    c->state = TLS_HANDSHAKE;
}

/* Keeps the session of c, if it can; a connection does not fail over it. */
static void tls_session_keep(tls_conn *c) {
    wf_tls *t = tls_now;
    tls_session *s = tls_session_place(t, c);
    if (s->used) tls_session_drop(s);
    mbedtls_ssl_session_init(&s->session);
    if (mbedtls_ssl_get_session(c->ssl, &s->session) != 0) {
        mbedtls_ssl_session_free(&s->session);
        return;
    }
    s->used = true;
    s->age = ++t->age;
    s->port = c->port;
    memcpy(s->host, c->host, sizeof s->host);
    tls_step_back(c);
}

/* ---- between mbedTLS and the network ---- */

/* Sends what was set aside, which comes before all else. */
static wf_status tls_send_aside(tls_conn *c) {
    const wf_tls_config *config = &tls_now->config;
    size_t put = 0;
    for (; c->aside != NULL && c->aside_at < c->aside_size; c->aside_at += put) {
        wf_status status =
            config->net->write(config->net_ctx, c->number, c->aside + c->aside_at, c->aside_size - c->aside_at, &put);
        if (status != WF_OK) return status;
    }
    mbedtls_free(c->aside);
    c->aside = NULL;
    return WF_OK;
}

/* Relieves mbedTLS of what cannot be sent (`status` says why), so that it looks at what has come; false: it must wait. What a network
 * refuses for good is lost. */
static bool tls_set_aside(tls_conn *c, const unsigned char *buf, size_t n, wf_status status) {
    if (!c->reading || status != WF_AGAIN) return c->reading;
    if (c->aside != NULL || (c->aside = mbedtls_calloc(1, n)) == NULL) return false;
    memcpy(c->aside, buf, n);
    c->aside_at = 0;
    c->aside_size = n;
    return true;
}

static int tls_send(void *ctx, const unsigned char *buf, size_t n) {
    tls_conn *c = ctx;
    const wf_tls_config *config = &tls_now->config;
    size_t put = 0;
    wf_status status = tls_send_aside(c);
    if (status == WF_OK) status = config->net->write(config->net_ctx, c->number, buf, n, &put);
    if (status == WF_OK) return (int)put;
    c->blocked = status == WF_AGAIN;
    if (tls_set_aside(c, buf, n, status)) return (int)n;
    if (c->blocked) return MBEDTLS_ERR_SSL_WANT_WRITE;
    c->unsent = c->state == TLS_HANDSHAKE && status == WF_E_IO;
    if (c->unsent) return (int)n; /* what the peer said before it hung up is worth more */
    c->below = status == WF_E_STALE ? WF_E_STALE : WF_E_IO;
    return MBEDTLS_ERR_SSL_CONN_EOF;
}

/* From the network into buf. */
static int tls_fetch(tls_conn *c, unsigned char *buf, size_t n) {
    const wf_tls_config *config = &tls_now->config;
    size_t got = 0;
    wf_status status = config->net->read(config->net_ctx, c->number, buf, n, &got);
    if (status == WF_OK) return (int)got;
    c->blocked = status == WF_AGAIN && !c->unsent;
    if (c->blocked) return MBEDTLS_ERR_SSL_WANT_READ;
    c->below = status == WF_E_STALE || (status == WF_END && !c->unsent) ? status : WF_E_IO;
    return MBEDTLS_ERR_SSL_CONN_EOF;
}

static int tls_recv(void *ctx, unsigned char *buf, size_t n) {
    tls_conn *c = ctx;
    size_t there = (size_t)(c->ahead_len - c->ahead_at);
    if (there == 0) {
        if (n >= sizeof c->ahead) return tls_fetch(c, buf, n);
        int got = tls_fetch(c, c->ahead, sizeof c->ahead);
        if (got <= 0) return got;
        c->ahead_at = 0;
        c->ahead_len = (uint16_t)got;
        there = (size_t)got;
    }
    if (n > there) n = there;
    memcpy(buf, c->ahead + c->ahead_at, n);
    c->ahead_at = (uint16_t)(c->ahead_at + n);
    return (int)n;
}

/* An answer of mbedTLS, zero and more apart. */
static wf_status tls_translate(tls_conn *c, int answer) {
    if (c->blocked && (answer == MBEDTLS_ERR_SSL_WANT_READ || answer == MBEDTLS_ERR_SSL_WANT_WRITE)) return WF_AGAIN;
    c->ended = answer == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY && c->state == TLS_OPEN;
    if (c->ended) return WF_END;
    return tls_fail(c, answer);
}

/* ---- connections ---- */

static tls_conn *tls_conn_of(void *ctx, uint32_t conn) {
    wf_tls *t = ctx;
    tls_now->starved = false;
    return conn < t->config.conns ? &t->conns[conn] : NULL;
}

static void tls_drop(tls_conn *c) {
    tls_step_back(c);
    tls_now->waiting -= c->state == TLS_WAITING;
    tls_now->woken -= c->woken;
    if (c->ssl != NULL) mbedtls_ssl_free(c->ssl);
    mbedtls_free(c->ssl);
    mbedtls_free(c->aside);
    memset(c, 0, offsetof(tls_conn, error));
}

static void tls_close(void *ctx, uint32_t conn) {
    wf_tls *t = ctx;
    tls_conn *c = tls_conn_of(ctx, conn);
    if (c == NULL || c->state == TLS_CLOSED) return;
    if (c->state == TLS_OPEN) mbedtls_ssl_close_notify(c->ssl); /* if there is room for it right now */
    tls_drop(c);
    t->config.net->close(t->config.net_ctx, conn);
}

static wf_status tls_open(void *ctx, uint32_t conn, wf_str host, uint32_t port) {
    wf_tls *t = ctx;
    tls_conn *c = tls_conn_of(ctx, conn);
    if (c == NULL) return WF_E_IO;
    tls_drop(c);
    c->error[0] = '\0';
    c->number = conn;
    c->state = TLS_PLAIN;
    wf_status status = t->config.net->open(t->config.net_ctx, conn, host, port);
    if (status != WF_OK) c->state = TLS_CLOSED;
    return status;
}

static void tls_set_host(tls_conn *c, wf_str host) {
    if (host.len > 1 && host.ptr[host.len - 1] == '.') host.len--; /* the root of all names: no certificate has it */
    memcpy(c->host, host.ptr, host.len);
    c->host[host.len] = '\0';
    c->address_size = inet_pton(AF_INET, c->host, c->address) == 1    ? 4
                      : inet_pton(AF_INET6, c->host, c->address) == 1 ? 16
                                                                      : 0;
}

static wf_status tls_secure(void *ctx, uint32_t conn, wf_str host, uint32_t port) {
    wf_tls *t = ctx;
    tls_conn *c = tls_conn_of(ctx, conn);
    if (c == NULL || c->state != TLS_PLAIN) return WF_E_IO;
    c->state = TLS_FAILED;
    if (host.len == 0 || host.len >= TLS_HOST_MAX || memchr(host.ptr, '\0', host.len) != NULL) {
        snprintf(c->error, sizeof c->error, "a host's name has 1 to %d bytes", TLS_HOST_MAX - 1);
        return WF_E_IO;
    }
    tls_set_host(c, host);
    c->port = port;
    c->ssl = mbedtls_calloc(1, sizeof *c->ssl);
    if (c->ssl == NULL) return tls_fail(c, MBEDTLS_ERR_SSL_ALLOC_FAILED);
    mbedtls_ssl_init(c->ssl);
    int error = mbedtls_ssl_setup(c->ssl, &t->conf);
    if (error == 0) error = mbedtls_ssl_set_hostname(c->ssl, c->address_size > 0 ? NULL : c->host);
    if (error != 0) return tls_fail(c, error);
    mbedtls_ssl_set_verify(c->ssl, tls_judge, c);
    mbedtls_ssl_set_bio(c->ssl, c, tls_send, tls_recv, NULL);
    tls_begin_handshake(t, c);
    return WF_OK;
}

/* The peer's certificates have done their duty; they are kilobytes, in the connection and in each session kept of it. */
static void tls_forget_chain(tls_conn *c) {
    mbedtls_ssl_session *session = c->ssl->MBEDTLS_PRIVATE(session);
    mbedtls_x509_crt_free(session->MBEDTLS_PRIVATE(peer_cert));
    mbedtls_free(session->MBEDTLS_PRIVATE(peer_cert));
    session->MBEDTLS_PRIVATE(peer_cert) = NULL;
}

static wf_status tls_handshake(tls_conn *c) {
    int answer, idle = 0;
    do {
        c->blocked = false;
        answer = mbedtls_ssl_handshake(c->ssl);
    } while (answer == MBEDTLS_ERR_SSL_WANT_READ && !c->blocked && ++idle < TLS_IDLE_MAX);
    c->starved |= tls_now->starved;
    if (answer != 0) return tls_translate(c, answer);
    if (!c->verified && !c->offered) return tls_fail(c, MBEDTLS_ERR_X509_FATAL_ERROR); /* cannot be: invariant 1 */
    c->state = TLS_OPEN;
    tls_now->handshakes++;
    tls_now->resumed += !c->verified;
    tls_forget_chain(c);
    /* Of TLS 1.3 there is nothing to keep before a ticket comes. */
    if (mbedtls_ssl_get_version_number(c->ssl) == MBEDTLS_SSL_VERSION_TLS1_2) tls_session_keep(c);
    return WF_OK;
}

/* Goes on until the connection can carry data. */
static wf_status tls_advance(tls_conn *c) {
    if (c->state == TLS_WAITING) return WF_AGAIN;
    if (c->state == TLS_HANDSHAKE) return tls_handshake(c);
    return c->state == TLS_OPEN ? WF_OK : WF_E_IO;
}

/* mbedTLS could not send. A network that takes no more may still have bytes that came before, so reading goes on. */
static wf_status tls_unsent(tls_conn *c, int answer) {
    if (c->below != WF_E_IO) return tls_translate(c, answer);
    c->below = WF_OK;
    return WF_E_IO;
}

/* Sends what is encrypted already. */
static wf_status tls_flush(tls_conn *c) {
    wf_status status = tls_send_aside(c);
    size_t left = c->ssl->MBEDTLS_PRIVATE(out_left);
    if (status != WF_OK || left == 0) return status;
    /* With something left to send, mbedtls_ssl_write sends that and looks at no new bytes. */
    int answer = mbedtls_ssl_write(c->ssl, NULL, 0);
    return answer >= 0 ? WF_OK : tls_unsent(c, answer);
}

static wf_status tls_write(void *ctx, uint32_t conn, const void *buf, size_t n, size_t *put) {
    wf_tls *t = ctx;
    tls_conn *c = tls_conn_of(ctx, conn);
    *put = 0;
    if (c == NULL) return WF_E_IO;
    if (c->state == TLS_PLAIN) return t->config.net->write(t->config.net_ctx, conn, buf, n, put);
    wf_status status = tls_advance(c);
    if (status == WF_OK) status = tls_flush(c);
    if (status != WF_OK) return status;
    int most = mbedtls_ssl_get_max_out_record_payload(c->ssl);
    if (most <= 0) return tls_fail(c, most);
    if (n > (size_t)most) n = (size_t)most;
    int answer = mbedtls_ssl_write(c->ssl, buf, n);
    if (answer == MBEDTLS_ERR_SSL_WANT_WRITE) answer = (int)n; /* it is encrypted, and out of the caller's hands */
    if (answer <= 0) return tls_unsent(c, answer);
    *put = (size_t)answer;
    return WF_OK;
}

static wf_status tls_read(void *ctx, uint32_t conn, void *buf, size_t n, size_t *got) {
    wf_tls *t = ctx;
    tls_conn *c = tls_conn_of(ctx, conn);
    *got = 0;
    if (c == NULL) return WF_E_IO;
    if (c->state == TLS_PLAIN) return t->config.net->read(t->config.net_ctx, conn, buf, n, got);
    wf_status status = tls_advance(c);
    if (status != WF_OK) return status;
    if (c->ended) return WF_END;
    int answer = MBEDTLS_ERR_SSL_WANT_READ;
    c->reading = true; /* a peer that takes nothing may have something to say */
    (void)tls_flush(c);
    c->blocked = false;
    for (int idle = 0; answer <= 0 && idle < TLS_IDLE_MAX; idle++) {
        answer = mbedtls_ssl_read(c->ssl, buf, n);
        if (answer == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
            tls_session_keep(c);
        else if (answer != MBEDTLS_ERR_SSL_WANT_READ || c->blocked)
            break;
    }
    c->reading = false;
    if (answer <= 0) return tls_translate(c, answer);
    tls_step_back(c); /* its host gives no sessions, or they would have come before the data */
    *got = (size_t)answer;
    return WF_OK;
}

static uint32_t tls_ready(void *ctx, uint32_t *conns, uint32_t max) {
    wf_tls *t = ctx;
    uint32_t n = t->config.net->ready(t->config.net_ctx, conns, max);
    tls_lose_patience(t);
    for (uint32_t i = 0; t->woken > 0 && n < max && i < t->config.conns; i++) {
        tls_conn *c = &t->conns[i];
        if (!c->woken) continue;
        c->woken = false;
        t->woken--;
        conns[n++] = i;
    }
    return n;
}

static uint64_t tls_due(void *ctx) {
    wf_tls *t = ctx;
    uint64_t due = t->config.net->due(t->config.net_ctx);
    if (t->woken > 0) return 0;
    return t->waiting > 0 && t->patience < due ? t->patience : due;
}

static wf_str tls_error(void *ctx, uint32_t conn) {
    wf_tls *t = ctx;
    const tls_conn *c = conn < t->config.conns ? &t->conns[conn] : NULL;
    if (c != NULL && c->error[0] != '\0') return (wf_str){c->error, strlen(c->error)};
    return t->config.net->error(t->config.net_ctx, conn);
}

static const wf_net_ops tls_ops = {.open = tls_open,
                                   .secure = tls_secure,
                                   .write = tls_write,
                                   .read = tls_read,
                                   .close = tls_close,
                                   .ready = tls_ready,
                                   .due = tls_due,
                                   .error = tls_error};

const wf_net_ops *wf_tls_ops(void) {
    return &tls_ops;
}

/* ---- opening and closing ---- */

size_t wf_tls_size(uint32_t conns) {
    size_t n = conns != 0 ? conns : TLS_CONNS, each = TLS_CONN_SIZE + sizeof(tls_conn);
    return n < (SIZE_MAX - TLS_BASE_SIZE) / each ? TLS_BASE_SIZE + n * each : SIZE_MAX;
}

static wf_status tls_answer(wf_error *error, wf_status status, const char *text) {
    if (error != NULL) *error = (wf_error){status, text, WF_NO_OFFSET};
    return status;
}

/* In the order of preference: mbedTLS by itself computes on P-256 a quarter faster than on X25519. */
static const uint16_t tls_groups[] = {
#if defined(WFI_X25519_IS_FAST)
    MBEDTLS_SSL_IANA_TLS_GROUP_X25519, MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
#else
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
#endif
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};

static wf_status tls_configure(wf_tls *t) {
    mbedtls_ssl_config *conf = &t->conf;
    t->protocols[0] = "http/1.1";
    if (psa_crypto_init() != PSA_SUCCESS) return t->starved ? WF_E_MEMORY : WF_E_IO;
    if (mbedtls_ssl_config_defaults(conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0 ||
        mbedtls_ssl_conf_alpn_protocols(conf, t->protocols) != 0)
        return WF_E_MEMORY;
    mbedtls_ssl_conf_rng(conf, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    mbedtls_ssl_conf_groups(conf, tls_groups);
    mbedtls_ssl_conf_authmode(conf, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_min_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_ca_cb(conf, wfi_trust_find, &t->trust);
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(conf,
                                                             MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
    return WF_OK;
}

static wf_status tls_start(wf_tls *t) {
    t->conns = mbedtls_calloc(t->config.conns, sizeof *t->conns);
    t->sessions = mbedtls_calloc(TLS_SESSIONS, sizeof *t->sessions);
    wf_status status = t->conns != NULL && t->sessions != NULL ? tls_configure(t) : WF_E_MEMORY;
    if (status == WF_E_MEMORY)
        snprintf(t->error, sizeof t->error, "the block for TLS is smaller than wf_tls_size says");
    if (status == WF_E_IO) snprintf(t->error, sizeof t->error, "this system gives no random numbers");
    return status == WF_OK ? wfi_trust_open(&t->trust, t->config.ca_file, t->error, sizeof t->error) : status;
}

/* Gives mbedTLS back to the process. What was said stays readable in the block. */
static void tls_end(wf_tls *t) {
    for (uint32_t i = 0; t->conns != NULL && i < t->config.conns; i++)
        tls_drop(&t->conns[i]);
    for (size_t i = 0; t->sessions != NULL && i < TLS_SESSIONS; i++)
        if (t->sessions[i].used) tls_session_drop(&t->sessions[i]);
    wfi_trust_close(&t->trust);
    mbedtls_ssl_config_free(&t->conf);
    mbedtls_psa_crypto_free();
    mbedtls_platform_set_calloc_free(calloc, free);
    tls_now = NULL;
}

wf_status wf_tls_open(wf_tls **out, void *memory, size_t size, const wf_tls_config *config, wf_error *error) {
    *out = NULL;
    if (config == NULL || config->net == NULL)
        return tls_answer(error, WF_E_CONFIG, "tls: the config names no network");
    if (tls_now != NULL) return tls_answer(error, WF_E_BUSY, "tls: one is open in this process already");
    wf_heap *heap = wf_heap_open(memory, size);
    wf_tls *t = heap != NULL ? wf_heap_resize(heap, NULL, sizeof *t) : NULL;
    if (t == NULL) return tls_answer(error, WF_E_MEMORY, "tls: the block is smaller than wf_tls_size says");
    memset(t, 0, sizeof *t);
    t->heap = heap;
    t->config = *config;
    if (t->config.conns == 0) t->config.conns = TLS_CONNS;
    t->trust.fd = -1;
    mbedtls_ssl_config_init(&t->conf);
    tls_now = *out = t;
    mbedtls_platform_set_calloc_free(tls_calloc, tls_free);
    wf_status status = tls_start(t);
    if (status != WF_OK) tls_end(t);
    return tls_answer(error, status, status == WF_OK ? "" : t->error);
}

void wf_tls_close(wf_tls *t) {
    for (uint32_t i = 0; i < t->config.conns; i++)
        if (t->conns[i].state != TLS_CLOSED) t->config.net->close(t->config.net_ctx, i);
    tls_end(t);
}

void wf_tls_stats_get(const wf_tls *t, wf_tls_stats *out) {
    *out = (wf_tls_stats){.handshakes = t->handshakes, .resumed = t->resumed};
    wf_heap_stats(t->heap, &out->heap);
}

const char *wf_tls_error(const wf_tls *t) {
    return t != NULL ? t->error : "";
}
