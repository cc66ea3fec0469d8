/* Faults below a program: its calls on files under one folder fail, or stop it, at the nth.
 *
 * Preloaded into a process (LD_PRELOAD), armed by its environment, see below.py:
 *   BELOW_FOLDER   only files whose path begins so
 *   BELOW_CALLS    which calls: any of open write sync rename remove, with spaces between
 *   BELOW_NTH      the number of the call, from 1, that it strikes at
 *   BELOW_ERROR    the error number that the call fails with, or
 *   BELOW_SIGNAL   the signal that the process gets before the call
 *   BELOW_LASTING  1: all calls after it fail too
 *   BELOW_COUNT    a file of 8 bytes, the number of calls so far, shared by all processes
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, SYNC = 4, RENAME = 8, REMOVE = 16 };

static char folder[4096];
static size_t folder_length;
static unsigned calls;
static long nth;
static int error_number, signal_number, lasting;
static _Atomic long own_count;
static _Atomic long *count = &own_count;

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

/* Called when the library is loaded, and by a process that was forked for a run of its own. */
__attribute__((constructor)) void below_arm(void) {
    const char *where = getenv("BELOW_FOLDER"), *which = getenv("BELOW_CALLS");
    const char *shared = getenv("BELOW_COUNT");
    folder_length = 0;
    if (!where || !which) return;
    calls = 0;
    if (strstr(which, "open")) calls |= OPEN;
    if (strstr(which, "write")) calls |= WRITE;
    if (strstr(which, "sync")) calls |= SYNC;
    if (strstr(which, "rename")) calls |= RENAME;
    if (strstr(which, "remove")) calls |= REMOVE;
    nth = number("BELOW_NTH");
    error_number = number("BELOW_ERROR");
    signal_number = number("BELOW_SIGNAL");
    lasting = number("BELOW_LASTING");
    if (shared) {
        int handle = open(shared, O_RDWR);
        void *page = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
        if (page != MAP_FAILED) count = page;
        close(handle);
    }
    snprintf(folder, sizeof folder, "%s", where);
    folder_length = strlen(folder);
}

static int strikes(unsigned call, const char *path) {
    if (!folder_length || !(calls & call) || strncmp(path, folder, folder_length)) return 0;
    long seen = atomic_fetch_add(count, 1) + 1;
    if (seen < nth || (seen > nth && !lasting)) return 0;
    if (signal_number) {
        if (seen == nth) kill(getpid(), signal_number);
        return 0;
    }
    errno = error_number;
    return 1;
}

static int strikes_at(unsigned call, int place, const char *path) {
    char whole[8192], link[64];
    if (!folder_length || !(calls & call)) return 0;
    if (path[0] == '/' || place == AT_FDCWD) return strikes(call, path);
    snprintf(link, sizeof link, "/proc/self/fd/%d", place);
    ssize_t length = readlink(link, whole, sizeof whole - 1);
    if (length < 0) return 0;
    snprintf(whole + length, sizeof whole - length, "/%s", path);
    return strikes(call, whole);
}

static int strikes_file(unsigned call, int handle) {
    char whole[4096], link[64];
    if (!folder_length || !(calls & call)) return 0;
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, whole, sizeof whole - 1);
    errno = before;
    if (length < 0) return 0;
    whole[length] = 0;
    return strikes(call, whole);
}

#define NEXT(name) static __typeof__(&name) next; if (!next) next = dlsym(RTLD_NEXT, #name)
#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); \
    }
#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT))

int open(const char *path, int flags, ...) {
    MODE(flags)
    NEXT(open);
    return WRITES(flags) && strikes_at(OPEN, AT_FDCWD, path) ? -1 : next(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags)
    NEXT(open64);
    return WRITES(flags) && strikes_at(OPEN, AT_FDCWD, path) ? -1 : next(path, flags, mode);
}
int openat(int place, const char *path, int flags, ...) {
    MODE(flags)
    NEXT(openat);
    return WRITES(flags) && strikes_at(OPEN, place, path) ? -1 : next(place, path, flags, mode);
}
int openat64(int place, const char *path, int flags, ...) {
    MODE(flags)
    NEXT(openat64);
    return WRITES(flags) && strikes_at(OPEN, place, path) ? -1 : next(place, path, flags, mode);
}
int mkdir(const char *path, mode_t mode) {
    NEXT(mkdir);
    return strikes_at(OPEN, AT_FDCWD, path) ? -1 : next(path, mode);
}
ssize_t write(int handle, const void *data, size_t size) {
    NEXT(write);
    return strikes_file(WRITE, handle) ? -1 : next(handle, data, size);
}
ssize_t pwrite(int handle, const void *data, size_t size, off_t at) {
    NEXT(pwrite);
    return strikes_file(WRITE, handle) ? -1 : next(handle, data, size, at);
}
ssize_t pwrite64(int handle, const void *data, size_t size, off64_t at) {
    NEXT(pwrite64);
    return strikes_file(WRITE, handle) ? -1 : next(handle, data, size, at);
}
ssize_t writev(int handle, const struct iovec *parts, int number) {
    NEXT(writev);
    return strikes_file(WRITE, handle) ? -1 : next(handle, parts, number);
}
int ftruncate(int handle, off_t size) {
    NEXT(ftruncate);
    return strikes_file(WRITE, handle) ? -1 : next(handle, size);
}
int ftruncate64(int handle, off64_t size) {
    NEXT(ftruncate64);
    return strikes_file(WRITE, handle) ? -1 : next(handle, size);
}
int fsync(int handle) {
    NEXT(fsync);
    return strikes_file(SYNC, handle) ? -1 : next(handle);
}
int fdatasync(int handle) {
    NEXT(fdatasync);
    return strikes_file(SYNC, handle) ? -1 : next(handle);
}
int rename(const char *from, const char *to) {
    NEXT(rename);
    return strikes_at(RENAME, AT_FDCWD, to) ? -1 : next(from, to);
}
int renameat(int from_place, const char *from, int place, const char *to) {
    NEXT(renameat);
    return strikes_at(RENAME, place, to) ? -1 : next(from_place, from, place, to);
}
int unlink(const char *path) {
    NEXT(unlink);
    return strikes_at(REMOVE, AT_FDCWD, path) ? -1 : next(path);
}
int unlinkat(int place, const char *path, int flags) {
    NEXT(unlinkat);
    return strikes_at(REMOVE, place, path) ? -1 : next(place, path, flags);
}
