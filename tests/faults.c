/* Loaded before the C library (LD_PRELOAD): system calls fail as FAULT says, on descriptors of files whose name has
   FAULT_IN in it, or on all where that is empty; from the FAULT_AFTER-th of them on.

   FAULT=short   write takes half        FAULT=full    write: no space left
   FAULT=fsync   fsync: I/O error        FAULT=lock    flock: the error of number FAULT_ERRNO */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_due(const char *fault, int descriptor) {
    static int n_calls;
    const char *wanted = getenv("FAULT"), *part = getenv("FAULT_IN"), *after = getenv("FAULT_AFTER");
    char link[64], name[4096];
    if (!wanted || strcmp(wanted, fault)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, name, sizeof name - 1);
    name[length > 0 ? length : 0] = 0;
    if (part && !strstr(name, part)) return 0;
    return ++n_calls > (after ? atoi(after) : 0);
}

ssize_t write(int descriptor, const void *data, size_t size) {
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    if (is_due("short", descriptor) && size > 1) size /= 2;
    if (is_due("full", descriptor)) { errno = ENOSPC; return -1; }
    return real(descriptor, data, size);
}

int fsync(int descriptor) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    if (is_due("fsync", descriptor)) { errno = EIO; return -1; }
    return real(descriptor);
}

int flock(int descriptor, int operation) {
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    if (is_due("lock", descriptor)) { errno = atoi(getenv("FAULT_ERRNO")); return -1; }
    return real(descriptor, operation);
}
