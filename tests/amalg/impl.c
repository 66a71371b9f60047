/* The whole product in one object: what the public tests are linked with besides the split tree. */
#define WORKFLOW_IMPLEMENTATION
#define WF_PORT_POSIX
#define WF_PORT_MBEDTLS
#define WF_PORT_LUA
#include "workflow.h"
