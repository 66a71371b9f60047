/* http: to be written. */
#include "http.h"
