/* net: TCP connections. To be written. */
#ifndef WFI_NET_H
#define WFI_NET_H

#include "child.h"

#endif
