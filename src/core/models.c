/* models: to be written. */
#include "models.h"
