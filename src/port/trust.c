/* trust: to be written. */
#include "trust.h"
