/* client: to be written. */
#include "client.h"
