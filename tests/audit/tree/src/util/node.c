/* A tree of nodes; nothing is wrong in most of it. */
#include "../shop.h"

#include <stdlib.h>
#include <string.h>

struct node *node_new(int value) {
    struct node *node = malloc(sizeof(node));
    if (!node) return NULL;
    node->value = value;
    node->left = node->right = NULL;
    return node;
}

struct node *node_pair(int a, int b) {
    struct node *left = node_new(a), *right = node_new(b);
    struct node *top;
    if (!left || !right || (top = malloc(sizeof *top)) == NULL) {
        free(left);
        free(right);
        return NULL;
    }
    top->value = a + b;
    top->left = left;
    top->right = right;
    return top;
}

int *node_values(const struct node *list, int count) {
    int *values = malloc((size_t)count * sizeof *values);
    if (!values) return NULL;
    for (int i = 0; i < count; i++)
        values[i] = list[i].value;
    return values;
}

int node_depth(const struct node *node) {
    if (!node) return 0;
    int left = node_depth(node->left), right = node_depth(node->right);
    return 1 + (left > right ? left : right);
}

char *node_text(const struct node *node) {
    char *text = malloc(2);
    strcpy(text, "n");
    if (node->value < 10) text[0] = (char)('0' + node->value);
    return text;
}
