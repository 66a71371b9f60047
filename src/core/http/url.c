/* url: addresses of servers and proxies (RFC 3986, as much of it as they need), and two questions about hosts: whether one is this
 * machine, and whether a list like NO_PROXY covers it.
 *
 * Contract: url.h. Slices of the result point into the text. Hosts are compared without regard to the case of ASCII letters;
 * nothing is decoded or looked up. */
#include "url.h"

#define URL_HOST_MAX 253u /* of a name in DNS */
#define URL_NO_GAP   17u

static bool url_alnum(char c) {
    char l = wfi_lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9');
}

static bool url_hex(char c) {
    return url_alnum(c) && wfi_lower(c) <= 'f';
}

static wf_str url_from(wf_str s, size_t at) {
    return wfi_str_cut(s, at, s.len);
}

/* ---- addresses in digits, as 16 bytes: those of IPv4 as ::ffff:1.2.3.4 ---- */

static bool url_four(wf_str s, uint8_t out[16]) {
    wfi_zero(out, 16);
    out[10] = out[11] = 0xff;
    for (uint32_t i = 0; i < 4; i++) {
        size_t dot = wfi_str_find(s, '.');
        uint64_t part;
        if (dot > 3 || !wfi_str_u64(wfi_str_cut(s, 0, dot), &part) || part > 255) return false;
        if ((dot == s.len) != (i == 3)) return false;
        out[12 + i] = (uint8_t)part;
        s = url_from(s, dot + 1);
    }
    return true;
}

static bool url_is_four(const uint8_t address[16]) {
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return wfi_compare(address, prefix, sizeof prefix) == 0;
}

static bool url_group(wf_str s, uint8_t out[2]) {
    uint32_t value = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = wfi_lower(s.ptr[i]);
        if (!url_hex(c)) return false;
        value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return s.len > 0 && s.len <= 4;
}

/* RFC 4291, 2.2, without its third form, which has IPv4's digits at the end. */
static bool url_six(wf_str s, uint8_t out[16]) {
    size_t n = 0, gap = URL_NO_GAP; /* bytes read; of these before "::" */
    wfi_zero(out, 16);
    if (wfi_str_eq(wfi_str_cut(s, 0, 2), WF_STR("::")))
        s = url_from(s, 1);
    else if (s.len == 0 || s.ptr[0] == ':')
        return false;
    while (s.len > 0) {
        size_t end = wfi_str_find(s, ':');
        if (end == 0 && gap == URL_NO_GAP)
            gap = n;
        else if (n == 16 || end + 1 == s.len || !url_group(wfi_str_cut(s, 0, end), out + n))
            return false;
        else
            n += 2;
        s = url_from(s, end + 1);
    }
    if ((n == 16) != (gap == URL_NO_GAP)) return false;
    if (n == 16) return true;
    wfi_move(out + 16 - (n - gap), out + gap, n - gap);
    wfi_zero(out + gap, 16 - n);
    return true;
}

static bool url_address(wf_str s, uint8_t out[16]) {
    return url_four(s, out) || url_six(s, out);
}

/* ---- parsing ---- */

static const char *url_scheme(wf_str *text, wfi_url *out) {
    static const char *const why = "an address begins with https:// or http://";
    if (wfi_same_name(wfi_str_cut(*text, 0, 8), WF_STR("https://")))
        out->tls = true;
    else if (!wfi_same_name(wfi_str_cut(*text, 0, 7), WF_STR("http://")))
        return why;
    *text = url_from(*text, out->tls ? 8 : 7);
    return NULL;
}

static bool url_host_ok(wf_str host, bool bracketed) {
    uint32_t colons = 0;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        colons += c == ':';
        if (bracketed ? !url_hex(c) && c != '.' && c != ':' : !url_alnum(c) && c != '.' && c != '-' && c != '_')
            return false;
    }
    return host.len > 0 && host.len <= URL_HOST_MAX && (bracketed ? colons >= 2 : colons == 0);
}

/* host[:port], all of it. */
static const char *url_host(wf_str text, wfi_url *out) {
    size_t end = wfi_str_find(text, ':');
    uint64_t port = out->tls ? 443 : 80;
    uint8_t any[16];
    out->bracketed = text.len > 0 && text.ptr[0] == '[';
    if (out->bracketed) {
        end = wfi_str_find(text, ']');
        if (end == text.len) return "the address has a [ without its ]";
        out->host = wfi_str_cut(text, 1, end - 1);
        end++;
    } else {
        out->host = wfi_str_cut(text, 0, end);
    }
    if (!out->bracketed && url_six(text, any)) return "an IPv6 address needs brackets";
    if (!url_host_ok(out->host, out->bracketed)) return "the address has no host name that can be used";
    if (end < text.len) {
        if (text.ptr[end] != ':' || text.len - end > 6 || !wfi_str_u64(url_from(text, end + 1), &port) || port == 0 ||
            port > 65535)
            return "the port of the address is no number from 1 to 65535";
    }
    out->port = (uint32_t)port;
    return NULL;
}

/* What follows the scheme. */
static const char *url_parse_rest(wf_str text, wfi_url *out) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~') return "the address has a blank or a byte that is not ASCII";
        if (text.ptr[i] == '?' || text.ptr[i] == '#') return "the address has a query or a fragment: leave it out";
    }
    size_t slash = wfi_str_find(text, '/');
    wf_str authority = wfi_str_cut(text, 0, slash);
    for (size_t i = authority.len; i > 0; i--) {
        if (authority.ptr[i - 1] != '@') continue;
        out->userinfo = wfi_str_cut(authority, 0, i - 1);
        authority = url_from(authority, i);
        break;
    }
    out->path = url_from(text, slash);
    while (out->path.len > 0 && out->path.ptr[out->path.len - 1] == '/')
        out->path.len--;
    return url_host(authority, out);
}

static const char *url_parse(wf_str text, wfi_url *out) {
    const char *why = url_scheme(&text, out);
    return why ? why : url_parse_rest(text, out);
}

WFI wf_status wfi_url_parse(wf_str text, wfi_url *out, const char **why) {
    wfi_zero(out, sizeof *out);
    *why = url_parse(text, out);
    return *why ? WF_E_CONFIG : WF_OK;
}

/* Whether a #, / or ? stands before an @. */
static bool url_has_raw(wf_str text) {
    bool raw = false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '#' || text.ptr[i] == '/' || text.ptr[i] == '?') raw = true;
        if (text.ptr[i] == '@' && raw) return true;
    }
    return false;
}

static const char *url_parse_proxy(wf_str text, wfi_url *out) {
    static const char *const why = "the proxy's address is not of the form http://[user:password@]host[:port]";
    size_t colon = wfi_str_find(text, ':');
    bool schemed = wfi_str_eq(wfi_str_cut(text, colon, 3), WF_STR("://"));
    if (schemed && url_scheme(&text, out)) return why;
    if (out->tls) return "a proxy is spoken to by http://; what goes through it is https:// all the same";
    if (url_has_raw(text)) return "the proxy's user or password has a raw #, / or ?: percent-encode it";
    if (url_parse_rest(text, out)) return why;
    return out->path.len > 0 ? "the proxy's address has a path: leave it out" : NULL;
}

WFI wf_status wfi_url_parse_proxy(wf_str text, wfi_url *out, const char **why) {
    wfi_zero(out, sizeof *out);
    *why = url_parse_proxy(text, out);
    return *why ? WF_E_CONFIG : WF_OK;
}

/* ---- hosts ---- */

static bool url_ends_with(wf_str s, wf_str end) {
    return s.len >= end.len && wfi_same_name(url_from(s, s.len - end.len), end);
}

/* "localhost." is the same name: the dot is the root of all names. */
static wf_str url_undotted(wf_str host) {
    return host.len > 1 && host.ptr[host.len - 1] == '.' ? wfi_str_cut(host, 0, host.len - 1) : host;
}

WFI bool wfi_host_is_loopback(wf_str host) {
    static const uint8_t one[16] = {[15] = 1};
    uint8_t address[16];
    host = url_undotted(host);
    if (url_address(host, address))
        return url_is_four(address) ? address[12] == 127 : wfi_compare(address, one, sizeof one) == 0;
    return wfi_same_name(host, WF_STR("localhost")) || url_ends_with(host, WF_STR(".localhost"));
}

/* ---- lists like NO_PROXY ---- */

typedef struct url_entry {
    bool all;      /* "*" */
    wf_str name;   /* covers itself and what ends with a dot and it, as most programs read NO_PROXY */
    uint64_t port; /* 0: any */
    uint32_t bits; /* of the address that count; 0: it is a name */
    uint8_t address[16];
} url_entry;

/* name[:port]. An address with several colons has none, unless bracketed. */
static bool url_entry_split(wf_str text, url_entry *out) {
    wf_str rest = text;
    bool bracketed = text.ptr[0] == '[';
    size_t end = wfi_str_find(text, bracketed ? ']' : ':');
    if (bracketed && end == text.len) return false;
    out->name = wfi_str_cut(text, bracketed, end - bracketed);
    rest = url_from(text, end + bracketed);
    if (rest.len == 0) return true;
    if (wfi_str_u64(url_from(rest, 1), &out->port)) return rest.ptr[0] == ':' && out->port - 1 < 65535;
    out->name = text; /* a name with such a thing in it is none, and an address may be one */
    return !bracketed;
}

/* An address, or a block of them: address/bits. */
static bool url_entry_block(url_entry *out) {
    size_t slash = wfi_str_find(out->name, '/');
    if (!url_address(wfi_str_cut(out->name, 0, slash), out->address)) return false;
    uint64_t first = url_is_four(out->address) ? 96 : 0, bits = 128 - first;
    if (slash < out->name.len && (!wfi_str_u64(url_from(out->name, slash + 1), &bits) || bits > 128 - first))
        return false;
    out->bits = (uint32_t)(first + bits);
    out->all = out->bits == 0; /* ::/0 */
    return true;
}

/* False: it is not understood. */
static bool url_entry_read(wf_str text, url_entry *out) {
    wfi_zero(out, sizeof *out);
    out->all = wfi_str_eq(text, WF_STR("*"));
    if (out->all) return true;
    if (!url_entry_split(text, out)) return false;
    if (url_entry_block(out)) return true;
    if (out->name.len > 1 && out->name.ptr[0] == '*' && out->name.ptr[1] == '.') out->name = url_from(out->name, 1);
    if (out->name.len > 0 && out->name.ptr[0] == '.') out->name = url_from(out->name, 1);
    out->name = url_undotted(out->name);
    return url_host_ok(out->name, false);
}

static bool url_same_bits(const uint8_t *a, const uint8_t *b, uint32_t bits) {
    uint32_t whole = bits / 8, rest = bits % 8;
    if (wfi_compare(a, b, whole) != 0) return false;
    return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

static bool url_entry_covers(const url_entry *e, wf_str host, uint32_t port) {
    uint8_t address[16];
    if (e->port != 0 && e->port != port) return false;
    if (e->all) return true;
    if (e->bits > 0) return url_address(host, address) && url_same_bits(e->address, address, e->bits);
    if (!url_ends_with(host, e->name)) return false;
    return host.len == e->name.len || host.ptr[host.len - e->name.len - 1] == '.';
}

/* Takes the first entry off the list; empty: there is none. */
static wf_str url_next_entry(wf_str *list) {
    wf_str entry = wf_str_of(NULL, 0);
    while (entry.len == 0 && list->len > 0) {
        size_t n = 0;
        while (n < list->len && list->ptr[n] != ',' && list->ptr[n] != ' ' && list->ptr[n] != '\t')
            n++;
        entry = wfi_str_cut(*list, 0, n);
        *list = url_from(*list, n + 1);
    }
    return entry;
}

WFI bool wfi_host_is_listed(wf_str list, wf_str host, uint32_t port) {
    url_entry e;
    for (wf_str entry; (entry = url_next_entry(&list)).len > 0;) {
        if (wfi_same_name(entry, host)) return true;
        if (url_entry_read(entry, &e) && url_entry_covers(&e, url_undotted(host), port)) return true;
    }
    return false;
}

WFI wf_str wfi_host_list_fault(wf_str list) {
    url_entry e;
    wf_str entry;
    do
        entry = url_next_entry(&list);
    while (entry.len > 0 && url_entry_read(entry, &e));
    return entry;
}
