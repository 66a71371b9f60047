/* messages_calls: to be written. */
#include "messages_calls.h"
