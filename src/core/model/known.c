/* known: see known.h. A table of names; what is not in it is not known. */
#include "known.h"

#define KNOWN_128K 128000u
#define KNOWN_64K  64000u

/* A name is what stands between a vendor's prefix ("us.anthropic.", "anthropic/") and a version ("@20251001", "-20251001",
 * "-v1:0"). */
static wf_str known_plain(wf_str name) {
    static const char family[] = "claude-";
    const size_t n = sizeof family - 1, date = 8;
    uint64_t digits;
    for (size_t i = 1; i + n <= name.len; i++) {
        char before = name.ptr[i - 1];
        if ((before == '.' || before == '/') && wfi_compare(name.ptr + i, family, n) == 0) {
            name = wfi_str_cut(name, i, name.len);
            break;
        }
    }
    name = wfi_str_cut(name, 0, wfi_str_find(name, '@'));
    name = wfi_str_cut(name, 0, wfi_str_find(name, ':'));
    if (name.len > 3 && wfi_compare(name.ptr + name.len - 3, "-v", 2) == 0) name.len -= 3;
    if (name.len > date + 1 && name.ptr[name.len - date - 1] == '-' &&
        wfi_str_u64(wfi_str_cut(name, name.len - date, date), &digits))
        name.len -= date + 1;
    return name;
}

wfi_model wfi_model_find(wf_str name) {
    static const struct {
        const char *name;
        wfi_model model;
    } known[] = {{"claude-fable-5-2", {WFI_THINKING_ALWAYS, KNOWN_128K}},
                 {"claude-fable-5-1", {WFI_THINKING_ALWAYS, KNOWN_128K}},
                 {"claude-opus-5-5", {WFI_THINKING_ALWAYS, KNOWN_128K}},
                 {"claude-sonnet-5-5", {WFI_THINKING_ADAPTIVE, KNOWN_128K}},
                 {"claude-haiku-5-5", {WFI_THINKING_ADAPTIVE, KNOWN_128K}},
                 {"claude-opus-5", {WFI_THINKING_ADAPTIVE, KNOWN_128K}},
                 {"claude-sonnet-5", {WFI_THINKING_ADAPTIVE, KNOWN_128K}},
                 {"claude-opus-4-8", {WFI_THINKING_ADAPTIVE, 0}},
                 {"claude-opus-4-7", {WFI_THINKING_ADAPTIVE, 0}},
                 {"claude-opus-4-6", {WFI_THINKING_ADAPTIVE, 0}},
                 {"claude-sonnet-4-6", {WFI_THINKING_ADAPTIVE, 0}},
                 {"claude-haiku-4-5", {WFI_THINKING_MANUAL, KNOWN_64K}},
                 {"claude-opus-4-5", {WFI_THINKING_MANUAL, KNOWN_64K}},
                 {"claude-sonnet-4-5", {WFI_THINKING_MANUAL, KNOWN_64K}}};
    const wfi_model unknown = {WFI_THINKING_UNKNOWN, 0};
    wf_str plain = known_plain(name);
    for (size_t i = 0; i < WFI_COUNT(known); i++)
        if (wfi_str_eq(plain, wfi_str_z(known[i].name))) return known[i].model;
    return unknown;
}
