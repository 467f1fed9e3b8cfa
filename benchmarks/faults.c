/* Lets the n-th system call of a kind below a folder fail, wait, or be the last: see faults.py.
   Loaded before libc (LD_PRELOAD), so that calls of every library go through it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN, WRITE, FSYNC, RENAME, LINK, UNLINK, KINDS };
enum { COUNT, FAIL, KILL, DELAY };

static char root[PATH_MAX];
static int armed_kind = -1, armed_what = COUNT, armed_number = 0;
static atomic_int counts[KINDS];

void faults_arm(const char *folder, int kind, int what, int number) {
    strncpy(root, folder, PATH_MAX - 1);
    for (int i = 0; i < KINDS; i++) counts[i] = 0;
    armed_kind = kind, armed_what = what, armed_number = number;
}
void faults_disarm(void) { root[0] = 0; }
int faults_count(int kind) { return counts[kind]; }

static int inside(const char *path) {
    char whole[PATH_MAX * 2];
    if (!root[0] || !path) return 0;
    if (path[0] != '/') {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(whole, sizeof whole, "%s/%s", here, path);
        path = whole;
    }
    return !strncmp(path, root, strlen(root));
}
static int inside_fd(int fd) {
    char link[64], path[PATH_MAX];
    if (!root[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return inside(path);
}
/* 1 where the call is to fail; errno is set */
static int hit(int kind, int error) {
    int number = ++counts[kind];
    if (kind != armed_kind || number != armed_number) return 0;
    if (armed_what == KILL) kill(getpid(), SIGKILL);
    if (armed_what == DELAY) usleep(300000);
    if (armed_what != FAIL) return 0;
    errno = error;
    return 1;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define OPENED(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); } \
        if (inside(path) && hit(OPEN, flags & O_CREAT ? ENOSPC : EIO)) return -1; \
        return real(path, flags, mode); \
    }
#define OPENED_AT(name) \
    int name(int at, const char *path, int flags, ...) { \
        REAL(name); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); } \
        if (inside(path) && hit(OPEN, flags & O_CREAT ? ENOSPC : EIO)) return -1; \
        return real(at, path, flags, mode); \
    }
#define STREAM(name) \
    FILE *name(const char *path, const char *mode) { \
        REAL(name); \
        if (inside(path) && hit(OPEN, EIO)) return NULL; \
        return real(path, mode); \
    }
OPENED(open)
OPENED(open64)
OPENED_AT(openat)
OPENED_AT(openat64)
STREAM(fopen)
STREAM(fopen64)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    if (inside_fd(fd) && hit(WRITE, ENOSPC)) return -1;
    return real(fd, data, size);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    if (inside_fd(fd) && hit(WRITE, ENOSPC)) return -1;
    return real(fd, data, size, at);
}
ssize_t copy_file_range(int in, off64_t *at_in, int out, off64_t *at_out, size_t size, unsigned flags) {
    REAL(copy_file_range);
    if (inside_fd(out) && hit(WRITE, ENOSPC)) return -1;
    return real(in, at_in, out, at_out, size, flags);
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t size) {
    static ssize_t (*real)(int, int, off64_t *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "sendfile64");
    if (inside_fd(out) && hit(WRITE, ENOSPC)) return -1;
    return real(out, in, at, size);
}
int fsync(int fd) {
    REAL(fsync);
    if (inside_fd(fd) && hit(FSYNC, EIO)) return -1;
    return real(fd);
}
int rename(const char *from, const char *to) {
    REAL(rename);
    if (inside(to) && hit(RENAME, EACCES)) return -1;
    return real(from, to);
}
int renameat(int at, const char *from, int into, const char *to) {
    REAL(renameat);
    if (inside(to) && hit(RENAME, EACCES)) return -1;
    return real(at, from, into, to);
}
int link(const char *from, const char *to) {
    REAL(link);
    if (inside(to) && hit(LINK, EPERM)) return -1;
    return real(from, to);
}
int symlink(const char *from, const char *to) {
    REAL(symlink);
    if (inside(to) && hit(LINK, EPERM)) return -1;
    return real(from, to);
}
int unlink(const char *path) {
    REAL(unlink);
    if (inside(path) && hit(UNLINK, EACCES)) return -1;
    return real(path);
}
int unlinkat(int at, const char *path, int flags) {
    REAL(unlinkat);
    if ((path[0] == '/' ? inside(path) : inside_fd(at)) && hit(UNLINK, EACCES)) return -1;
    return real(at, path, flags);
}
int rmdir(const char *path) {
    REAL(rmdir);
    if (inside(path) && hit(UNLINK, EACCES)) return -1;
    return real(path);
}
