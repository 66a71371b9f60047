/* A second C file of a program: the plain header, twice, before and after the system's. */
#include "workflow.h"
#include <stdio.h>
#include <string.h>
#include "workflow.h"

int user_schema_example(char *out, size_t cap);

int user_schema_example(char *out, size_t cap) {
    const wf_str schema =
        WF_STR("{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},\"required\":[\"n\"]}");
    return (int)wf_schema_example(schema, out, cap);
}
