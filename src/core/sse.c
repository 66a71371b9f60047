/* sse: to be written. */
#include "sse.h"
