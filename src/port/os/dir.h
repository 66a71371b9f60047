/* dir: the entries of one directory. No malloc where the system lets us read directories without it (Linux), so it may run in a
 * forked child. */
#ifndef WFI_DIR_H
#define WFI_DIR_H

#include "sys.h"

typedef enum wfi_entry_type { WFI_ENTRY_OTHER, WFI_ENTRY_FILE, WFI_ENTRY_DIR } wfi_entry_type;

/* Calls back for each entry but . and ..; false from it ends the matter. room: at least 4 KiB, 8-aligned. 0 or an
 * errno. */
typedef bool (*wfi_entry_fn)(void *ctx, const char *name, wfi_entry_type type);
WFI int wfi_entries(int fd, void *room, size_t size, wfi_entry_fn each, void *ctx);

#endif
