/* tree: see tree.h. */
#include "wire_tree.h"

#include <stdlib.h>
#include <string.h>

static wf_str tree_decoded(const wf_json *j) {
    char *p = malloc(j->raw.len + 1);
    if (!p) abort();
    size_t n = j->raw.len;
    if (j->escaped)
        n = wf_json_unescape(j->raw, p);
    else if (n > 0)
        memcpy(p, j->raw.ptr, n);
    p[n] = 0;
    return wf_str_of(p, n);
}

static tree *tree_value(wf_json *j, wf_json_token token);

/* Members or items, up to the end of their container. */
static bool tree_children(wf_json *j, tree *t, bool object) {
    tree **last = &t->first;
    wf_json_token token;
    while ((token = wf_json_next(j)) != (object ? WF_JSON_OBJECT_END : WF_JSON_ARRAY_END)) {
        wf_str name = {NULL, 0};
        if (object && token == WF_JSON_KEY) {
            name = tree_decoded(j);
            token = wf_json_next(j);
        }
        tree *child = tree_value(j, token);
        if (!child) {
            free((char *)(uintptr_t)name.ptr);
            return false;
        }
        child->name = name;
        *last = child;
        last = &child->next;
    }
    return true;
}

static tree *tree_value(wf_json *j, wf_json_token token) {
    if (token <= WF_JSON_ERROR || token == WF_JSON_OBJECT_END || token == WF_JSON_ARRAY_END || token == WF_JSON_KEY)
        return NULL;
    tree *t = calloc(1, sizeof *t);
    if (!t) abort();
    t->type = token;
    t->raw = j->raw;
    const char *from = j->text.ptr + j->pos - 1;
    bool object = token == WF_JSON_OBJECT;
    if (token == WF_JSON_STRING) {
        t->string = tree_decoded(j);
        t->raw = wf_str_of(j->raw.ptr - 1, j->raw.len + 2);
    } else if (object || token == WF_JSON_ARRAY) {
        if (!tree_children(j, t, object)) {
            tree_free(t);
            return NULL;
        }
        t->raw = wf_str_of(from, (size_t)(j->text.ptr + j->pos - from));
    }
    return t;
}

tree *tree_read(wf_str json) {
    wf_json j;
    wf_json_init(&j, json);
    tree *t = tree_value(&j, wf_json_next(&j));
    if (t && wf_json_next(&j) == WF_JSON_END) return t;
    tree_free(t);
    return NULL;
}

void tree_free(tree *t) {
    while (t) {
        tree *next = t->next;
        tree_free(t->first);
        free((char *)(uintptr_t)t->name.ptr);
        free((char *)(uintptr_t)t->string.ptr);
        free(t);
        t = next;
    }
}

const tree *tree_get(const tree *t, const char *name) {
    if (!t || t->type != WF_JSON_OBJECT) return NULL;
    const tree *found = NULL;
    for (const tree *m = t->first; m; m = m->next)
        if (wfi_str_eq(m->name, wfi_str_z(name))) found = m;
    return found;
}

const tree *tree_any(const tree *t, const char *name, const char *other) {
    const tree *found = tree_get(t, name);
    return tree_null(found) ? tree_get(t, other) : found;
}

wf_str tree_str(const tree *t) {
    return t && t->type == WF_JSON_STRING ? t->string : WF_STR("");
}

int64_t tree_int(const tree *t, int64_t otherwise) {
    if (!t || t->type != WF_JSON_NUMBER) return otherwise;
    return strtoll(t->raw.ptr, NULL, 10); /* what follows a number in JSON ends it */
}

bool tree_null(const tree *t) {
    return !t || t->type == WF_JSON_NULL;
}

size_t tree_count(const tree *t) {
    size_t n = 0;
    for (const tree *m = t ? t->first : NULL; m; m = m->next)
        n++;
    return n;
}

static bool tree_differ(text *where, const tree *a, const tree *b) {
    wf_str x = a ? a->raw : WF_STR("nothing"), y = b ? b->raw : WF_STR("nothing");
    text_say(where, ": %.*s, not %.*s", (int)(x.len < 200 ? x.len : 200), x.ptr, (int)(y.len < 200 ? y.len : 200),
             y.ptr);
    return false;
}

static bool tree_same_items(const tree *a, const tree *b, bool exact, text *where) {
    const tree *x = a->first, *y = b->first;
    for (size_t i = 0; x && y; i++, x = x->next, y = y->next) {
        size_t len = where->len;
        text_say(where, "[%zu]", i);
        if (!tree_same(x, y, exact, where)) return false;
        where->len = len;
    }
    return x || y ? tree_differ(where, x, y) : true;
}

static bool tree_same_members(const tree *a, const tree *b, bool exact, text *where) {
    size_t len = where->len;
    for (const tree *x = a->first; x; x = x->next) {
        text_say(where, ".%s", x->name.ptr);
        if (!tree_same(x, tree_get(b, x->name.ptr), exact, where)) return false;
        where->len = len;
    }
    for (const tree *y = b->first; y; y = y->next) {
        if (tree_get(a, y->name.ptr)) continue;
        text_say(where, ".%s", y->name.ptr);
        return tree_differ(where, NULL, y);
    }
    return true;
}

bool tree_same(const tree *a, const tree *b, bool exact, text *where) {
    if (!a && !b) return true;
    if (!a || !b || a->type != b->type) return tree_differ(where, a, b);
    switch (a->type) {
    case WF_JSON_OBJECT:
        return tree_same_members(a, b, exact, where);
    case WF_JSON_ARRAY:
        return tree_same_items(a, b, exact, where);
    case WF_JSON_STRING:
        return wfi_str_eq(a->string, b->string) ? true : tree_differ(where, a, b);
    case WF_JSON_NUMBER:
        if (wfi_str_eq(a->raw, b->raw)) return true;
        return !exact && strtod(a->raw.ptr, NULL) == strtod(b->raw.ptr, NULL) ? true : tree_differ(where, a, b);
    default:
        return true;
    }
}
