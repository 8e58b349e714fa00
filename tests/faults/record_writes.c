/* Records what a process does to the files of one directory, in the order in which it does it: LD_PRELOAD.
 *
 * RECORD_DIRECTORY is the directory, RECORD_FILE what is appended to. A record is a line, and for a write its bytes:
 *   open FD PATH | truncate PATH LENGTH | write PATH OFFSET LENGTH\nBYTES\n | sync PATH | unlink PATH |
 *   rename PATH PATH | mark TEXT
 * A write to descriptor 1 is a mark: what the process says of itself stands between what it did.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char paths[1024][PATH_MAX]; /* by descriptor; empty: not ours */
static int record = -1;

static int is_ours(const char *path) {
    const char *directory = getenv("RECORD_DIRECTORY");
    size_t length = directory ? strlen(directory) : 0;
    return length && strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static void append(const char *head, const void *content, size_t length) {
    struct iovec parts[3] = {{(void *)head, strlen(head)}, {(void *)content, length}, {(void *)"\n", 1}};
    if (record < 0)
        record = syscall(SYS_openat, AT_FDCWD, getenv("RECORD_FILE"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    syscall(SYS_writev, record, parts, content ? 3 : 1);
}

static const char *path_of(int fd) { return fd >= 0 && fd < 1024 && paths[fd][0] ? paths[fd] : NULL; }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define HEAD(...) char head[3 * PATH_MAX]; snprintf(head, sizeof head, __VA_ARGS__)

static int note_open(int fd, const char *path, int flags) {
    if (fd < 0 || fd >= 1024) return fd;
    pthread_mutex_lock(&lock);
    paths[fd][0] = 0;
    if (is_ours(path)) {
        strncpy(paths[fd], path, PATH_MAX - 1);
        if (flags & (O_CREAT | O_TRUNC)) { HEAD("open %s %d\n", path, !!(flags & O_TRUNC)); append(head, NULL, 0); }
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN(name, call)                                                                                              \
    int name(const char *path, int flags, ...) {                                                                      \
        va_list rest; va_start(rest, flags);                                                                          \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;                                                     \
        va_end(rest);                                                                                                 \
        return note_open(REAL(name)(path, flags, mode), path, flags);                                                 \
    }
OPEN(open, open)
OPEN(open64, open64)

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (fd >= 0 && fd < 1024) paths[fd][0] = 0;
    pthread_mutex_unlock(&lock);
    return REAL(close)(fd);
}

static void note_write(int fd, const void *content, size_t length, off_t offset) {
    if (fd != 1 && !path_of(fd)) return;
    pthread_mutex_lock(&lock);
    if (fd == 1) { HEAD("mark %zu\n", length); append(head, content, length); }
    else { HEAD("write %s %lld %zu\n", path_of(fd), (long long)offset, length); append(head, content, length); }
    pthread_mutex_unlock(&lock);
}

ssize_t pwrite(int fd, const void *content, size_t length, off_t offset) {
    ssize_t done = REAL(pwrite)(fd, content, length, offset);
    if (done > 0) note_write(fd, content, done, offset);
    return done;
}

ssize_t pwrite64(int fd, const void *content, size_t length, off_t offset) {
    ssize_t done = REAL(pwrite64)(fd, content, length, offset);
    if (done > 0) note_write(fd, content, done, offset);
    return done;
}

ssize_t write(int fd, const void *content, size_t length) {
    off_t offset = path_of(fd) ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t done = REAL(write)(fd, content, length);
    if (done > 0) note_write(fd, content, done, offset);
    return done;
}

static void note(const char *what, const char *path) {
    pthread_mutex_lock(&lock);
    { HEAD("%s %s\n", what, path); append(head, NULL, 0); }
    pthread_mutex_unlock(&lock);
}

int fsync(int fd) {
    int failed = REAL(fsync)(fd);
    if (!failed && path_of(fd)) note("sync", path_of(fd));
    return failed;
}

int fdatasync(int fd) {
    int failed = REAL(fdatasync)(fd);
    if (!failed && path_of(fd)) note("sync", path_of(fd));
    return failed;
}

static int note_truncate(int failed, int fd, off_t length) {
    if (!failed && path_of(fd)) { HEAD("%s %lld", path_of(fd), (long long)length); note("truncate", head); }
    return failed;
}

int ftruncate(int fd, off_t length) { return note_truncate(REAL(ftruncate)(fd, length), fd, length); }
int ftruncate64(int fd, off_t length) { return note_truncate(REAL(ftruncate64)(fd, length), fd, length); }

int unlink(const char *path) {
    int failed = REAL(unlink)(path);
    if (!failed && is_ours(path)) note("unlink", path);
    return failed;
}

int rename(const char *from, const char *to) {
    int failed = REAL(rename)(from, to);
    if (!failed && is_ours(from)) { HEAD("%s %s", from, to); note("rename", head); }
    return failed;
}
