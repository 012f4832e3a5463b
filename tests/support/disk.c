// Calls that fail on a program's data, as on a disk that breaks: preloaded into the program.
//
// $DISK_FAULTS names a file of two bytes, which whoever tests may change at any time: which calls
// fail (0 none, 1 syncs, 2 writes, 4 reads of places of the log where the word UNREADABLE stands), and
// with which error; or that syncs do not come to their end (8) while it says so. Only files below a
// directory called "data" are meant.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SYNC = 1, WRITE = 2, READ = 4, HELD = 8 };

static const char BAD[] = "UNREADABLE";

static const volatile unsigned char *faults;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DISK_FAULTS");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, 2, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        fprintf(stderr, "the file of disk faults cannot be mapped\n");
        _exit(99);
    }
    faults = mapped;
    close(fd);
}

static int is_meant(int fd, int call, const char *directory) {
    if (!faults || !(faults[0] & call)) return 0;
    char link[40], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0) return 0;
    name[length] = 0;
    return strstr(name, directory) != NULL;
}

static int fails_below(int fd, int call, const char *directory) {
    if (!is_meant(fd, call, directory)) return 0;
    errno = faults[1];
    return 1;
}

static int fails(int fd, int call) { return fails_below(fd, call, "/data/"); }

static int sync_fails(int fd) {
    while (is_meant(fd, HELD, "/data/")) usleep(1000);
    return fails(fd, SYNC);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd) { return sync_fails(fd) ? -1 : REAL(fsync)(fd); }

int fdatasync(int fd) { return sync_fails(fd) ? -1 : REAL(fdatasync)(fd); }

ssize_t write(int fd, const void *bytes, size_t count) {
    return fails(fd, WRITE) ? -1 : REAL(write)(fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    return fails(fd, WRITE) ? -1 : REAL(writev)(fd, pieces, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return fails(fd, WRITE) ? -1 : REAL(pwrite)(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    return fails(fd, WRITE) ? -1 : REAL(pwrite64)(fd, bytes, count, offset);
}

static ssize_t read_or_fail(int fd, void *bytes, ssize_t count) {
    if (count < (ssize_t)sizeof BAD - 1 || !memmem(bytes, count, BAD, sizeof BAD - 1)) return count;
    return fails_below(fd, READ, "/data/log/") ? -1 : count;
}

ssize_t pread(int fd, void *bytes, size_t count, off_t offset) {
    return read_or_fail(fd, bytes, REAL(pread)(fd, bytes, count, offset));
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t offset) {
    return read_or_fail(fd, bytes, REAL(pread64)(fd, bytes, count, offset));
}
