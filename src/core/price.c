/* price: to be written. */
#include "price.h"
