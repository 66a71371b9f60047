/* tree: a JSON text as a tree, read with the core's own reader, for tests that look at many members and compare whole values. */
#ifndef WIRE_TREE_H
#define WIRE_TREE_H

#include "wire_text.h"

typedef struct tree tree;
struct tree {
    wf_json_token type; /* WF_JSON_OBJECT, _ARRAY, _STRING, _NUMBER, _TRUE, _FALSE, _NULL */
    wf_str raw;         /* its exact text; lives as long as the text that was read */
    wf_str name;        /* of an object's member: its name, decoded */
    wf_str string;      /* of a string: decoded */
    tree *first, *next; /* members or items; the next one beside it */
};

tree *tree_read(wf_str json); /* NULL: it is not JSON */
void tree_free(tree *t);

/* A member; NULL: there is none, or t is no object, or it is NULL. */
const tree *tree_get(const tree *t, const char *name);
/* The first of several names that is there and not null. */
const tree *tree_any(const tree *t, const char *name, const char *other);
wf_str tree_str(const tree *t);                     /* empty, if it is no string */
int64_t tree_int(const tree *t, int64_t otherwise); /* of a whole number */
bool tree_null(const tree *t);                      /* null, or not there */
size_t tree_count(const tree *t);                   /* members or items */

/* Whether two values are the same: order of members free. exact: numbers as they are written; else by value, since a language that
 * knows only binary fractions may have rewritten them. If not, *where says at which place. Both may be NULL. */
bool tree_same(const tree *a, const tree *b, bool exact, text *where);

#endif
