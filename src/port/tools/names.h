/* names: paths as tools write them, and the files that are meant by what a model or a script writes.
 *
 * A name is bytes. Where it is shown, what is not UTF-8 stands as \xHH, and so does, for models, what would not stay on its line. A
 * backslash in front of what looks like such an escape is one as well (\x5c), so that no two names are shown alike.
 *
 * What is shown opens: a name with an escape is looked for among the entries of its directory, by how each is shown. A name that is
 * not there may be there composed otherwise (an e with an accent as one character or as two, as some systems store it): if one entry
 * alone is the same text so, that one is meant. */
#ifndef WFI_NAMES_H
#define WFI_NAMES_H

#include "confine.h"

#define WFI_NAMES_SCANS 32u /* directories looked through for one path */

/* The path as it is shown; the bytes put to `out`, at most 4 * path.len. lines: control characters are escaped too. */
WFI size_t wfi_names_show(wf_str path, bool lines, char *out);

/* Whether two names are the same text, however their characters are composed. */
WFI bool wfi_names_same(wf_str a, wf_str b);

#define WFI_NAMES_SPLIT 8u /* characters that one is made of at most */
/* The characters that one is composed of, or itself; their number. */
WFI uint32_t wfi_names_split(uint32_t c, uint32_t out[WFI_NAMES_SPLIT]);

/* Makes a relative path, as somebody wrote it, the one that is there, if one is. */
WFI void wfi_names_find(const wfi_confine *root, int dirfd, char path[WFI_CONFINE_PATH]);

#endif
