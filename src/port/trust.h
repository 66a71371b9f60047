/* trust: the roots. To be written. */
#ifndef WFI_TRUST_H
#define WFI_TRUST_H

#include "tls.h"

#endif
