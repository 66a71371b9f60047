/* url: addresses of servers and proxies (RFC 3986, as much of it as they need), and two questions about hosts: whether one is this
 * machine, and whether a list like NO_PROXY covers it.
 *
 * Contract: url.h. Slices of the result point into the text. Hosts are compared without regard to the case of ASCII letters;
 * nothing is decoded or looked up. */
#include "url.h"

#define URL_HOST_MAX 253u /* of a name in DNS */

static bool url_alnum(char c) {
    char l = wfi_lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9');
}

static bool url_hex(char c) {
    return url_alnum(c) && wfi_lower(c) <= 'f';
}

WFI bool wfi_same_name(wf_str a, wf_str b) {
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++)
        if (wfi_lower(a.ptr[i]) != wfi_lower(b.ptr[i])) return false;
    return true;
}

static wf_str url_from(wf_str s, size_t at) {
    return wfi_str_cut(s, at, s.len);
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
    out->bracketed = text.len > 0 && text.ptr[0] == '[';
    if (out->bracketed) {
        end = wfi_str_find(text, ']');
        if (end == text.len) return "the address has a [ without its ]";
        out->host = wfi_str_cut(text, 1, end - 1);
        end++;
    } else {
        out->host = wfi_str_cut(text, 0, end);
    }
    if (!url_host_ok(out->host, out->bracketed)) return "the address has no host name that can be used";
    if (end < text.len) {
        if (text.ptr[end] != ':' || text.len - end > 6 || !wfi_str_u64(url_from(text, end + 1), &port) || port == 0 ||
            port > 65535)
            return "the port of the address is no number from 1 to 65535";
    }
    out->port = (uint32_t)port;
    return NULL;
}

static const char *url_parse(wf_str text, wfi_url *out) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~') return "the address has a blank or a byte that is not ASCII";
        if (text.ptr[i] == '?' || text.ptr[i] == '#') return "the address has a query or a fragment: leave it out";
    }
    const char *why = url_scheme(&text, out);
    if (why) return why;
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

WFI wf_status wfi_url_parse(wf_str text, wfi_url *out, const char **why) {
    wfi_zero(out, sizeof *out);
    *why = url_parse(text, out);
    return *why ? WF_E_CONFIG : WF_OK;
}

/* ---- hosts ---- */

static bool url_ends_with(wf_str s, wf_str end) {
    return s.len >= end.len && wfi_same_name(url_from(s, s.len - end.len), end);
}

/* 127.0.0.0/8, written as four numbers. */
static bool url_is_127(wf_str host) {
    uint64_t part;
    for (uint32_t i = 0; i < 4; i++) {
        size_t dot = wfi_str_find(host, '.');
        if (!wfi_str_u64(wfi_str_cut(host, 0, dot), &part) || part > 255 || (i == 0 && part != 127)) return false;
        if ((dot == host.len) != (i == 3)) return false;
        host = url_from(host, dot + 1);
    }
    return true;
}

/* ::1, however many zeros are written out. */
static bool url_is_ipv6_one(wf_str host) {
    if (host.len < 3 || host.ptr[host.len - 1] != '1') return false;
    for (size_t i = 0; i + 1 < host.len; i++)
        if (host.ptr[i] != ':' && host.ptr[i] != '0') return false;
    return wfi_str_find(host, ':') < host.len;
}

WFI bool wfi_host_is_loopback(wf_str host) {
    return wfi_same_name(host, WF_STR("localhost")) || url_ends_with(host, WF_STR(".localhost")) || url_is_127(host) ||
           url_is_ipv6_one(host);
}

/* Cuts ":port" off an entry; false: it is for another port. An address with several colons has none, unless bracketed. */
static bool url_entry_port(wf_str *entry, uint32_t port) {
    size_t colon = wfi_str_find(*entry, ':'), end = entry->len;
    uint64_t wanted;
    if (entry->len > 0 && entry->ptr[0] == '[') {
        end = wfi_str_find(*entry, ']');
        colon = end + 1;
    } else if (wfi_str_find(url_from(*entry, colon + 1), ':') < url_from(*entry, colon + 1).len) {
        colon = entry->len;
    }
    wf_str number = url_from(*entry, colon + 1);
    bool said = colon < entry->len;
    *entry = end < entry->len ? wfi_str_cut(*entry, 1, end - 1) : wfi_str_cut(*entry, 0, colon);
    return !said || (wfi_str_u64(number, &wanted) && wanted == port);
}

/* A name covers itself and what ends with a dot and it, as most programs read NO_PROXY. */
static bool url_entry_covers(wf_str entry, wf_str host, uint32_t port) {
    if (wfi_str_eq(entry, WF_STR("*"))) return true;
    if (!url_entry_port(&entry, port)) return false;
    if (entry.len > 1 && entry.ptr[0] == '*' && entry.ptr[1] == '.') entry = url_from(entry, 1);
    if (entry.len > 0 && entry.ptr[0] == '.') entry = url_from(entry, 1);
    if (entry.len == 0 || !url_ends_with(host, entry)) return false;
    return host.len == entry.len || host.ptr[host.len - entry.len - 1] == '.';
}

WFI bool wfi_host_is_listed(wf_str list, wf_str host, uint32_t port) {
    while (list.len > 0) {
        size_t n = 0;
        while (n < list.len && list.ptr[n] != ',' && list.ptr[n] != ' ' && list.ptr[n] != '\t')
            n++;
        if (url_entry_covers(wfi_str_cut(list, 0, n), host, port)) return true;
        list = url_from(list, n + 1);
    }
    return false;
}
