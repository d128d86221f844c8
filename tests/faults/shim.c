/* Faults by call: preloaded into a worker, counts the C library's file-system calls on paths
 * under one folder, and at one of them kills the process or has the call fail.
 *
 * A call on a descriptor belongs to the path that it was opened with. What glibc does inside a
 * call of ours (the open in opendir, getdents in readdir) is part of that call.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define DESCRIPTORS 512
#define PATH_BYTES 1024
#define LOG_BYTES (1 << 22)

enum mode { COUNT, KILL_BEFORE, KILL_AFTER, FAIL, LOSE_REPLY, FULL_DISK };
enum { READS = 1, NEEDS_SPACE = 2, HAS_REPLY = 4 }; /* what a call is, for the log */
enum verdict { PASS, REFUSE, DIE_AFTER, LOSE, SHORTEN };

static char root[PATH_BYTES];
static size_t root_length;
static long number, count;
static int mode, planned_error, threads_of_others, main_thread;
static volatile int armed;
static char paths[DESCRIPTORS][PATH_BYTES];
static char listed[DESCRIPTORS];
static char fired[PATH_BYTES + 64], outside[PATH_BYTES + 64];
static char calls[LOG_BYTES];
static size_t calls_length;

EXPORT void faults_arm(const char *folder, long at, int what, int error, int others) {
    snprintf(root, sizeof root, "%s", folder);
    root_length = strlen(root);
    number = at, mode = what, planned_error = error, threads_of_others = others;
    main_thread = gettid();
    count = 0, calls_length = 0;
    calls[0] = fired[0] = outside[0] = 0;
    memset(paths, 0, sizeof paths);
    armed = 1;
}

EXPORT void faults_disarm(void) { armed = 0; }
EXPORT long faults_count(void) { return count; }
EXPORT const char *faults_fired(void) { return fired; }     /* the call that was hit */
EXPORT const char *faults_outside(void) { return outside; } /* a change elsewhere */
EXPORT const char *faults_calls(void) { return calls; }     /* lines: name, kind, path */

static int under_root(const char *path) {
    return armed && path && strncmp(path, root, root_length) == 0 &&
           (path[root_length] == '/' || path[root_length] == 0);
}

static int tracked(int fd) { return armed && fd >= 0 && fd < DESCRIPTORS && paths[fd][0]; }

static void track(int fd, const char *path) {
    if (fd >= 0 && fd < DESCRIPTORS)
        snprintf(paths[fd], PATH_BYTES, "%s", path ? path : "");
}

/* An absolute path for one that is relative to a descriptor of ours. */
static const char *full(int folder, const char *path, char *buffer) {
    if (path && path[0] != '/' && tracked(folder)) {
        snprintf(buffer, PATH_BYTES, "%s%s%s", paths[folder], path[0] ? "/" : "", path);
        return buffer;
    }
    return path;
}

static void changed(const char *name, const char *path) {
    if (armed && path && !under_root(path) && !outside[0] && strncmp(path, "/dev/", 5) != 0)
        snprintf(outside, sizeof outside, "%s %s", name, path);
    /* /dev/shm is a file system as any other */
    if (armed && path && !under_root(path) && !outside[0] && strncmp(path, "/dev/shm/", 9) == 0)
        snprintf(outside, sizeof outside, "%s %s", name, path);
}

static _Noreturn void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

static enum verdict begin(const char *name, int kind, const char *path) {
    if (!armed || (gettid() == main_thread) == threads_of_others)
        return PASS;
    long now = __sync_add_and_fetch(&count, 1);
    size_t left = LOG_BYTES - calls_length;
    int length = snprintf(calls + calls_length, left, "%s\t%d\t%s\n", name, kind, path);
    if (length > 0 && (size_t)length < left)
        calls_length += length;
    if (mode == FULL_DISK && now > number && (kind & NEEDS_SPACE))
        return REFUSE;
    if (now != number)
        return PASS;
    if (mode == COUNT)
        return PASS;
    snprintf(fired, sizeof fired, "%s %s", name, path);
    switch (mode) {
    case KILL_BEFORE:
        die();
    case KILL_AFTER:
        return DIE_AFTER;
    case FAIL:
        return REFUSE;
    case LOSE_REPLY:
        return kind & HAS_REPLY ? LOSE : PASS;
    case FULL_DISK:
        return strcmp(name, "write") == 0 ? SHORTEN : kind & NEEDS_SPACE ? REFUSE : PASS;
    }
    return PASS;
}

#define REAL(name)                                                                                 \
    static __typeof__(&name) real;                                                                 \
    if (!real)                                                                                     \
    real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* Make a call under its verdict; a lost reply is that of a request which a server had done, and
 * was asked for again. */
#define GUARDED(name, kind, path, failure, lost, invoke)                                           \
    ({                                                                                             \
        enum verdict verdict = begin(name, kind, path);                                            \
        __typeof__(invoke) result = failure;                                                       \
        if (verdict == REFUSE)                                                                     \
            errno = planned_error;                                                                 \
        else {                                                                                     \
            result = invoke;                                                                       \
            if (verdict == DIE_AFTER)                                                              \
                die();                                                                             \
            if (verdict == LOSE && result != failure) {                                            \
                result = failure;                                                                  \
                errno = lost;                                                                      \
            }                                                                                      \
        }                                                                                          \
        result;                                                                                    \
    })

/* Open, read, write, close */

static int guarded_open(const char *path, int flags, int fd_or_error, enum verdict verdict) {
    if (verdict == DIE_AFTER)
        die();
    if (verdict == LOSE && fd_or_error >= 0) {
        syscall(SYS_close, fd_or_error);
        errno = flags & O_EXCL ? EEXIST : EIO;
        return -1;
    }
    track(fd_or_error, path);
    return fd_or_error;
}

#define OPEN(path, flags, invoke)                                                                  \
    do {                                                                                           \
        int creates = (flags) & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR);                           \
        if (creates)                                                                               \
            changed("open", path);                                                                 \
        if (!under_root(path)) {                                                                   \
            int other = invoke;                                                                    \
            if (armed)                                                                             \
                track(other, NULL);                                                                \
            return other;                                                                          \
        }                                                                                          \
        enum verdict verdict =                                                                     \
            begin(creates ? "create" : "open", creates ? NEEDS_SPACE | HAS_REPLY : READS, path);   \
        if (verdict == REFUSE) {                                                                   \
            errno = planned_error;                                                                 \
            return -1;                                                                             \
        }                                                                                          \
        return guarded_open(path, flags, invoke, verdict);                                         \
    } while (0)

#define MODE_OF(last)                                                                              \
    int permissions = 0;                                                                           \
    if (flags & (O_CREAT | __O_TMPFILE)) {                                                         \
        va_list arguments;                                                                         \
        va_start(arguments, last);                                                                 \
        permissions = va_arg(arguments, int);                                                      \
        va_end(arguments);                                                                         \
    }

EXPORT int open(const char *path, int flags, ...) {
    REAL(open);
    MODE_OF(flags);
    OPEN(path, flags, real(path, flags, permissions));
}

EXPORT int open64(const char *path, int flags, ...) {
    REAL(open64);
    MODE_OF(flags);
    OPEN(path, flags, real(path, flags, permissions));
}

EXPORT int openat(int folder, const char *name, int flags, ...) {
    REAL(openat);
    MODE_OF(flags);
    char buffer[PATH_BYTES];
    const char *path = full(folder, name, buffer);
    OPEN(path, flags, real(folder, name, flags, permissions));
}

EXPORT int openat64(int folder, const char *name, int flags, ...) {
    REAL(openat64);
    MODE_OF(flags);
    char buffer[PATH_BYTES];
    const char *path = full(folder, name, buffer);
    OPEN(path, flags, real(folder, name, flags, permissions));
}

EXPORT ssize_t read(int fd, void *buffer, size_t size) {
    REAL(read);
    if (!tracked(fd))
        return real(fd, buffer, size);
    return GUARDED("read", READS, paths[fd], -1, EIO, real(fd, buffer, size));
}

/* On a disk that runs full, part of the data still finds room. */
static ssize_t guarded_write(ssize_t (*real)(int, const void *, size_t), int fd, const void *data,
                             size_t size) {
    enum verdict verdict = begin("write", NEEDS_SPACE, paths[fd]);
    if (verdict == REFUSE) {
        errno = planned_error;
        return -1;
    }
    ssize_t written = real(fd, data, verdict == SHORTEN ? (size + 1) / 2 : size);
    if (verdict == DIE_AFTER)
        die();
    return written;
}

EXPORT ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    return tracked(fd) ? guarded_write(real, fd, data, size) : real(fd, data, size);
}

#define PWRITE(name, offset_type)                                                                  \
    EXPORT ssize_t name(int fd, const void *data, size_t size, offset_type offset) {               \
        REAL(name);                                                                                \
        if (!tracked(fd))                                                                          \
            return real(fd, data, size, offset);                                                   \
        return GUARDED(#name, NEEDS_SPACE, paths[fd], -1, EIO, real(fd, data, size, offset));      \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

EXPORT int close(int fd) {
    REAL(close);
    if (!tracked(fd))
        return real(fd);
    enum verdict verdict = begin("close", 0, paths[fd]);
    paths[fd][0] = 0;
    int result = real(fd); /* on Linux the descriptor is gone even where close fails */
    if (verdict == DIE_AFTER)
        die();
    if (verdict == REFUSE) {
        errno = planned_error;
        return -1;
    }
    return result;
}

/* Calls on a descriptor */

#define BY_DESCRIPTOR(name, kind, parameters, ...)                                                 \
    EXPORT int name parameters {                                                                   \
        REAL(name);                                                                                \
        if (!tracked(fd))                                                                          \
            return real(__VA_ARGS__);                                                              \
        return GUARDED(#name, kind, paths[fd], -1, EIO, real(__VA_ARGS__));                        \
    }
BY_DESCRIPTOR(fsync, NEEDS_SPACE, (int fd), fd)
BY_DESCRIPTOR(fdatasync, NEEDS_SPACE, (int fd), fd)
BY_DESCRIPTOR(ftruncate, NEEDS_SPACE, (int fd, off_t size), fd, size)
BY_DESCRIPTOR(ftruncate64, NEEDS_SPACE, (int fd, off64_t size), fd, size)
BY_DESCRIPTOR(fchmod, 0, (int fd, mode_t permissions), fd, permissions)
BY_DESCRIPTOR(futimens, 0, (int fd, const struct timespec times[2]), fd, times)
BY_DESCRIPTOR(futimes, 0, (int fd, const struct timeval times[2]), fd, times)
BY_DESCRIPTOR(flock, 0, (int fd, int operation), fd, operation)
BY_DESCRIPTOR(fstat, READS, (int fd, struct stat *status), fd, status)
BY_DESCRIPTOR(fstat64, READS, (int fd, struct stat64 *status), fd, status)
BY_DESCRIPTOR(fstatvfs, READS, (int fd, struct statvfs *status), fd, status)
BY_DESCRIPTOR(fstatvfs64, READS, (int fd, struct statvfs64 *status), fd, status)

/* Calls on a path */

#define BY_PATH(name, kind, change, parameters, ...)                                               \
    EXPORT int name parameters {                                                                   \
        REAL(name);                                                                                \
        if (change)                                                                                \
            changed(#name, path);                                                                  \
        if (!under_root(path))                                                                     \
            return real(__VA_ARGS__);                                                              \
        return GUARDED(#name, kind, path, -1, EIO, real(__VA_ARGS__));                             \
    }
BY_PATH(stat, READS, 0, (const char *path, struct stat *status), path, status)
BY_PATH(stat64, READS, 0, (const char *path, struct stat64 *status), path, status)
BY_PATH(lstat, READS, 0, (const char *path, struct stat *status), path, status)
BY_PATH(lstat64, READS, 0, (const char *path, struct stat64 *status), path, status)
BY_PATH(access, READS, 0, (const char *path, int permissions), path, permissions)
BY_PATH(statvfs, READS, 0, (const char *path, struct statvfs *status), path, status)
BY_PATH(statvfs64, READS, 0, (const char *path, struct statvfs64 *status), path, status)
BY_PATH(chmod, 0, 1, (const char *path, mode_t permissions), path, permissions)
BY_PATH(truncate, NEEDS_SPACE, 1, (const char *path, off_t size), path, size)
BY_PATH(rmdir, 0, 1, (const char *path), path)
BY_PATH(utimes, 0, 1, (const char *path, const struct timeval times[2]), path, times)

EXPORT ssize_t readlink(const char *path, char *target, size_t size) {
    REAL(readlink);
    if (!under_root(path))
        return real(path, target, size);
    return GUARDED("readlink", READS, path, -1, EIO, real(path, target, size));
}

#define AT(name, kind, change, parameters, ...)                                                    \
    EXPORT int name parameters {                                                                   \
        REAL(name);                                                                                \
        char buffer[PATH_BYTES];                                                                     \
        const char *path = full(folder, given, buffer);                                            \
        if (change)                                                                                \
            changed(#name, path);                                                                  \
        if (!under_root(path))                                                                     \
            return real(__VA_ARGS__);                                                              \
        return GUARDED(#name, kind, path, -1, EIO, real(__VA_ARGS__));                             \
    }
AT(fstatat, READS, 0, (int folder, const char *given, struct stat *status, int flags), folder,
   given, status, flags)
AT(fstatat64, READS, 0, (int folder, const char *given, struct stat64 *status, int flags), folder,
   given, status, flags)
AT(faccessat, READS, 0, (int folder, const char *given, int permissions, int flags), folder, given,
   permissions, flags)
AT(utimensat, 0, 1, (int folder, const char *given, const struct timespec times[2], int flags),
   folder, given, times, flags)

/* Calls that change names; these have replies to lose */

EXPORT int mkdir(const char *path, mode_t permissions) {
    REAL(mkdir);
    changed("mkdir", path);
    if (!under_root(path))
        return real(path, permissions);
    return GUARDED("mkdir", NEEDS_SPACE | HAS_REPLY, path, -1, EEXIST, real(path, permissions));
}

EXPORT int mkdirat(int folder, const char *given, mode_t permissions) {
    REAL(mkdirat);
    char buffer[PATH_BYTES];
    const char *path = full(folder, given, buffer);
    changed("mkdir", path);
    if (!under_root(path))
        return real(folder, given, permissions);
    return GUARDED("mkdir", NEEDS_SPACE | HAS_REPLY, path, -1, EEXIST,
                   real(folder, given, permissions));
}

EXPORT int unlink(const char *path) {
    REAL(unlink);
    changed("unlink", path);
    if (!under_root(path))
        return real(path);
    return GUARDED("unlink", HAS_REPLY, path, -1, ENOENT, real(path));
}

EXPORT int unlinkat(int folder, const char *given, int flags) {
    REAL(unlinkat);
    char buffer[PATH_BYTES];
    const char *path = full(folder, given, buffer);
    changed("unlink", path);
    if (!under_root(path))
        return real(folder, given, flags);
    return GUARDED("unlink", HAS_REPLY, path, -1, ENOENT, real(folder, given, flags));
}

EXPORT int link(const char *from, const char *to) {
    REAL(link);
    changed("link", to);
    if (!under_root(to))
        return real(from, to);
    return GUARDED("link", NEEDS_SPACE | HAS_REPLY, to, -1, EEXIST, real(from, to));
}

EXPORT int linkat(int from_folder, const char *from, int folder, const char *given, int flags) {
    REAL(linkat);
    char buffer[PATH_BYTES];
    const char *path = full(folder, given, buffer);
    changed("link", path);
    if (!under_root(path))
        return real(from_folder, from, folder, given, flags);
    return GUARDED("link", NEEDS_SPACE | HAS_REPLY, path, -1, EEXIST,
                   real(from_folder, from, folder, given, flags));
}

EXPORT int rename(const char *from, const char *to) {
    REAL(rename);
    changed("rename", from);
    changed("rename", to);
    if (!under_root(from))
        return real(from, to);
    return GUARDED("rename", HAS_REPLY, from, -1, ENOENT, real(from, to));
}

EXPORT int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL(renameat);
    char buffer[PATH_BYTES], other[PATH_BYTES];
    const char *path = full(from_folder, from, buffer);
    changed("rename", path);
    changed("rename", full(to_folder, to, other));
    if (!under_root(path))
        return real(from_folder, from, to_folder, to);
    return GUARDED("rename", HAS_REPLY, path, -1, ENOENT, real(from_folder, from, to_folder, to));
}

/* filelock exchanges names by syscall(SYS_renameat2). */
EXPORT long syscall(long what, ...) {
    static long (*real)(long, ...);
    if (!real)
        real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    va_list arguments;
    va_start(arguments, what);
    long a = va_arg(arguments, long), b = va_arg(arguments, long), c = va_arg(arguments, long);
    long d = va_arg(arguments, long), e = va_arg(arguments, long), f = va_arg(arguments, long);
    va_end(arguments);
    if (what == SYS_renameat2 && under_root((const char *)b))
        return GUARDED("exchange", 0, (const char *)b, -1L, EIO, real(what, a, b, c, d, e, f));
    return real(what, a, b, c, d, e, f);
}

/* Folders */

EXPORT DIR *opendir(const char *path) {
    REAL(opendir);
    if (!under_root(path))
        return real(path);
    DIR *folder = GUARDED("opendir", READS, path, (DIR *)NULL, EIO, real(path));
    if (folder) {
        track(dirfd(folder), path);
        listed[dirfd(folder)] = 0;
    }
    return folder;
}

/* The first call fetches what a small folder holds; those after it read memory. */
#define READDIR(name, type)                                                                        \
    EXPORT struct type *name(DIR *folder) {                                                        \
        REAL(name);                                                                                \
        int fd = dirfd(folder);                                                                    \
        if (!tracked(fd) || listed[fd])                                                            \
            return real(folder);                                                                   \
        listed[fd] = 1;                                                                            \
        return GUARDED("readdir", READS, paths[fd], (struct type *)NULL, EIO, real(folder));       \
    }
READDIR(readdir, dirent)
READDIR(readdir64, dirent64)

EXPORT int closedir(DIR *folder) {
    REAL(closedir);
    int fd = dirfd(folder);
    if (!tracked(fd))
        return real(folder);
    enum verdict verdict = begin("closedir", 0, paths[fd]);
    paths[fd][0] = 0;
    int result = real(folder);
    if (verdict == DIE_AFTER)
        die();
    if (verdict == REFUSE) {
        errno = planned_error;
        return -1;
    }
    return result;
}
