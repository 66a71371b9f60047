/* net: to be written. */
#include "net.h"
