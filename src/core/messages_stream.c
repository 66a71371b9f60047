/* messages_stream: to be written. */
#include "provider.h"
