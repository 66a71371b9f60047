/* messages_calls: the other operations of the Anthropic API, as HTTP calls. To be written. */
#ifndef WFI_MESSAGES_CALLS_H
#define WFI_MESSAGES_CALLS_H

#include "base.h"

#endif
