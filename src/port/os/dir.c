/* dir: see dir.h. */
#include "dir.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static wfi_entry_type dir_stat_type(int fd, const char *name) {
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return WFI_ENTRY_OTHER;
    return S_ISREG(st.st_mode) ? WFI_ENTRY_FILE : S_ISDIR(st.st_mode) ? WFI_ENTRY_DIR : WFI_ENTRY_OTHER;
}

static bool dir_is_dots(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

#if WFI_LINUX
/* A record of getdents64: inode 8, offset 8, length 2, type 1, name. */
static bool dir_record(int fd, const char *record, wfi_entry_fn each, void *ctx) {
    const char *name = record + 19;
    unsigned char type = (unsigned char)record[18];
    if (dir_is_dots(name)) return true;
    wfi_entry_type t = type == DT_REG ? WFI_ENTRY_FILE : type == DT_DIR ? WFI_ENTRY_DIR : WFI_ENTRY_OTHER;
    return each(ctx, name, type == DT_UNKNOWN ? dir_stat_type(fd, name) : t);
}

int wfi_entries(int fd, void *room, size_t size, wfi_entry_fn each, void *ctx) {
    const char *records = room;
    for (;;) {
        long n = syscall(SYS_getdents64, fd, room, size);
        if (n <= 0) return n == 0 ? 0 : errno;
        for (long at = 0; at < n;) {
            uint16_t length;
            if (!dir_record(fd, records + at, each, ctx)) return 0;
            memcpy(&length, records + at + 16, sizeof length);
            at += length;
        }
    }
}
#else
int wfi_entries(int fd, void *room, size_t size, wfi_entry_fn each, void *ctx) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *e;
    (void)room;
    (void)size;
    if (d == NULL) {
        wfi_sys_close(&copy);
        return errno;
    }
    while ((e = readdir(d)) != NULL)
        if (!dir_is_dots(e->d_name) && !each(ctx, e->d_name, dir_stat_type(fd, e->d_name))) break;
    closedir(d);
    return 0;
}
#endif
