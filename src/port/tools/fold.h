/* fold: characters without their case, as Unicode's simple case folding has them (CaseFolding.txt, status C and S, Unicode 14.0):
 * one character for one, so that a text keeps its length in characters. The German sharp s is its own, and no s. */
#ifndef WFI_FOLD_H
#define WFI_FOLD_H

#include "../os/sys.h"

#define WFI_FOLD_MOST 4u /* characters that are one without case; Unicode has at most these */

/* What stands for all the characters that differ from c in case only. */
WFI uint32_t wfi_fold(uint32_t c);
/* All of those, c among them; their number. */
WFI uint32_t wfi_fold_all(uint32_t c, uint32_t out[WFI_FOLD_MOST]);

#endif
