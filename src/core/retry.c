/* retry: to be written. */
#include "retry.h"
