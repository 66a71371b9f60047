/* ignore: the rules of .gitignore files, which say what grep, glob and files pass over. As git has them: comments, `!`, a
 * slash at the end for directories only, a slash elsewhere to anchor, `*` `?` `[...]` within a name, a name `**` for any
 * number of directories, backslashes, blanks at the end. Bytes match bytes, with case.
 *
 * Levels of rules hang together, the innermost first: one for each directory on the way that has a file of rules. The last
 * rule that matches, of the innermost level where one does, decides. That what lies below an ignored directory cannot come
 * back is its walker's to keep, who does not enter.
 *
 * A match takes the pattern's length times the path's, whatever the pattern; nothing is allocated. */
#ifndef WFI_IGNORE_H
#define WFI_IGNORE_H

#include "../os/sys.h"

#define WFI_IGNORE_FILE    ((size_t)1 << 20) /* bytes of a file of rules; what is behind them is not seen */
#define WFI_IGNORE_PATTERN 1024u             /* bytes of a pattern; longer ones are passed over */

typedef struct wfi_ignore_rule {
    wf_str pattern; /* without its marks */
    uint32_t flags;
} wfi_ignore_rule;

typedef struct wfi_ignore {
    const struct wfi_ignore *up; /* the level whose rules these can overrule, or NULL */
    size_t base;                 /* bytes of a path before what these rules are about */
    const wfi_ignore_rule *rule;
    uint32_t count;
} wfi_ignore;

/* Adds the rules of the open file to `up`, as a level that lies in room (8-aligned, *used bytes of it taken). `up` itself,
 * if there are none or they do not fit. */
WFI const wfi_ignore *wfi_ignore_load(const wfi_ignore *up, int fd, size_t base, char *room, size_t size, size_t *used);
/* Whether the file or directory is ignored. path: from where the outermost level begins, without a slash at its end. */
WFI bool wfi_ignored(const wfi_ignore *level, wf_str path, bool dir);

#endif
