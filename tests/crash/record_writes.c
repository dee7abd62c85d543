/* The system calls by which a store reaches its disk, caught in the program itself: a definition in
 * the executable comes before libc's, also for liblmdb, so neither knows. Each call does its work
 * and is then noted, under one lock, so that the log has one order; a sync notes how long the log
 * was when it began, because only what was written before that is sure to be on the platter.
 *
 * What is stored into a mapping makes no call. So each shared mapping has a copy beside it, and
 * before every sync (and whatever else could tell) the two are compared, line by line of the
 * processor's caches: what differs was stored since. A store that falls into the comparison is seen
 * in part now and in part the next time, as a disk would see it.
 *
 * Whoever holds the recording reads a disk as it was between two calls: the others wait with
 * theirs.
 *
 * LMDB's lock file is mapped, not written, and means nothing after a reboot: it is left out. */
#include "tests/crash/disk_log.h"

#include "common/base/alloc.h"
#include "common/base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define RUB_CAUGHT __attribute__((visibility("default")))

enum { FDS_LIMIT = 1024, FILES_LIMIT = 4096, NAME_LIMIT = 96, MAPPINGS_LIMIT = 64 };

typedef struct descriptor {
    bool used, through, folder;
    uint32_t file;
    char name[NAME_LIMIT];
} descriptor_t;

typedef struct mapping {
    const uint8_t *at; /* NULL: not used */
    uint8_t *seen;     /* what was there when we looked last */
    size_t bytes;      /* that can be looked at: within the file */
    uint64_t offset;
    uint32_t file;
} mapping_t;

/* The kernel's side of the process is one, so this is. */
static struct {
    pthread_mutex_t mutex;
    rub_disk_log_t *log; /* NULL: not recording */
    char root[256], boot_id[64];
    char names[FILES_LIMIT][NAME_LIMIT]; /* by file */
    descriptor_t fds[FDS_LIMIT];
    mapping_t mappings[MAPPINGS_LIMIT];
} recorder = {.mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP};

static rub_disk_op_t *note(rub_disk_kind_t kind, uint32_t file)
{
    rub_disk_log_t *log = recorder.log;
    RUB_ASSERT(rub_grow(&log->ops, &log->capacity, log->n + 1, sizeof(*log->ops)) == 0);
    rub_disk_op_t *op = &log->ops[log->n++];
    *op = (rub_disk_op_t){.kind = kind, .file = file};
    return op;
}

/* ---- mappings ---- */

/* Bytes of the two that differ from `at` on, in whole lines; 0: none there. *at moves to them. A
 * race by intent: somebody may be storing. */
static size_t next_change(const mapping_t *map, size_t *at)
{
    size_t begin = *at;
    while (begin < map->bytes) { /* most of it has not changed */
        const size_t left = map->bytes - begin;
        const size_t piece = left < 4096 ? left : 4096;
        if (memcmp(map->at + begin, map->seen + begin, piece) != 0) {
            break;
        }
        begin += piece;
    }
    size_t end = begin;
    bool found = false;
    for (; end < map->bytes; end += RUB_DISK_LINE) {
        const size_t left = map->bytes - end;
        const size_t line = left < RUB_DISK_LINE ? left : RUB_DISK_LINE;
        const bool differs = memcmp(map->at + end, map->seen + end, line) != 0;
        if (found && !differs) {
            break;
        }
        begin = found || differs ? begin : end + line;
        found = found || differs;
    }
    *at = begin;
    end = end < map->bytes ? end : map->bytes;
    return found ? end - begin : 0;
}

static void look_at(mapping_t *map)
{
    size_t at = 0;
    for (size_t bytes = next_change(map, &at); bytes > 0; bytes = next_change(map, &at)) {
        rub_disk_op_t *op = note(RUB_DISK_STORE, map->file);
        op->offset = map->offset + at;
        op->bytes = bytes;
        op->data = rub_alloc(bytes);
        RUB_ASSERT(op->data);
        memcpy(op->data, map->at + at, bytes);
        memcpy(map->seen + at, op->data, bytes);
        at += bytes;
    }
}

/* Notes what was stored into mappings since we looked last. */
static void look(void)
{
    for (size_t i = 0; recorder.log && i < MAPPINGS_LIMIT; i++) {
        if (recorder.mappings[i].at) {
            look_at(&recorder.mappings[i]);
        }
    }
}

static void forget(mapping_t *map)
{
    rub_free(map->seen);
    *map = (mapping_t){0};
}

static void watch(const uint8_t *at, size_t bytes, uint32_t file, uint64_t offset)
{
    size_t i = 0;
    while (i < MAPPINGS_LIMIT && recorder.mappings[i].at) {
        i++;
    }
    RUB_ASSERT(i < MAPPINGS_LIMIT);
    recorder.mappings[i] = (mapping_t){
        .at = at, .seen = rub_alloc(bytes), .bytes = bytes, .offset = offset, .file = file};
    RUB_ASSERT(recorder.mappings[i].seen);
    memcpy(recorder.mappings[i].seen, at, bytes);
}

/* What a call wrote shows in the file's mappings, and is noted already. */
static void write_seen(const rub_disk_op_t *op)
{
    for (size_t i = 0; i < MAPPINGS_LIMIT; i++) {
        const mapping_t *map = &recorder.mappings[i];
        const uint64_t end = op->offset + op->bytes;
        if (map->at && map->file == op->file && op->offset < map->offset + map->bytes &&
            end > map->offset) {
            const uint64_t from = op->offset > map->offset ? op->offset : map->offset;
            const uint64_t to = end < map->offset + map->bytes ? end : map->offset + map->bytes;
            memcpy(map->seen + (from - map->offset), op->data + (from - op->offset), to - from);
        }
    }
}

/* Behind the file's new end there is nothing to look at, but a signal. */
static void cut_mappings(uint32_t file, uint64_t size)
{
    for (size_t i = 0; i < MAPPINGS_LIMIT; i++) {
        mapping_t *map = &recorder.mappings[i];
        if (map->at && map->file == file && map->offset + map->bytes > size) {
            map->bytes = size > map->offset ? size - map->offset : 0;
        }
    }
}

/* The part of path below the root; NULL: not ours. */
static const char *below_root(const char *path)
{
    const size_t n = strlen(recorder.root);
    const size_t all = strlen(path);
    if (!recorder.log || strncmp(path, recorder.root, n) != 0 || path[n] != '/' ||
        (all > 5 && strcmp(path + all - 5, "-lock") == 0)) {
        return NULL;
    }
    return path + n + 1;
}

static void set_name(uint32_t file, const char *name)
{
    (void)snprintf(recorder.names[file], NAME_LIMIT, "%s", name);
}

static uint32_t file_of(const char *name, bool *made_p)
{
    for (uint32_t i = 0; i < recorder.log->n_files; i++) {
        if (strcmp(recorder.names[i], name) == 0) {
            return i;
        }
    }
    RUB_ASSERT(recorder.log->n_files < FILES_LIMIT);
    set_name(recorder.log->n_files, name);
    *made_p = true;
    return recorder.log->n_files++;
}

void rub_record_begin(rub_disk_log_t *log, const char *root, const char *boot_id)
{
    pthread_mutex_lock(&recorder.mutex);
    RUB_ASSERT(!recorder.log);
    (void)snprintf(recorder.root, sizeof(recorder.root), "%s", root);
    (void)snprintf(recorder.boot_id, sizeof(recorder.boot_id), "%s\n", boot_id);
    memset(recorder.fds, 0, sizeof(recorder.fds));
    for (size_t i = 0; i < MAPPINGS_LIMIT; i++) {
        RUB_ASSERT(!recorder.mappings[i].at);
    }
    *log = (rub_disk_log_t){0};
    recorder.log = log;
    pthread_mutex_unlock(&recorder.mutex);
}

uint32_t rub_record_known(const char *name)
{
    bool made = false;
    return file_of(name, &made);
}

void rub_record_mark(uint32_t rank, uint64_t seq)
{
    pthread_mutex_lock(&recorder.mutex);
    if (recorder.log) {
        note(RUB_DISK_MARK, rank)->offset = seq;
    }
    pthread_mutex_unlock(&recorder.mutex);
}

void rub_record_end(void)
{
    pthread_mutex_lock(&recorder.mutex);
    recorder.log = NULL;
    pthread_mutex_unlock(&recorder.mutex);
}

void rub_record_hold(void)
{
    pthread_mutex_lock(&recorder.mutex);
}

void rub_record_let_go(void)
{
    pthread_mutex_unlock(&recorder.mutex);
}

void rub_disk_log_fini(rub_disk_log_t *log)
{
    for (size_t i = 0; i < log->n; i++) {
        rub_free(log->ops[i].data);
    }
    rub_free(log->ops);
    *log = (rub_disk_log_t){0};
}

/* ---- the calls ---- */

static descriptor_t *descriptor(int fd)
{
    return recorder.log && fd >= 0 && fd < FDS_LIMIT && recorder.fds[fd].used ? &recorder.fds[fd]
                                                                              : NULL;
}

/* The host's boot, as the recording has it. */
static int open_boot_id(void)
{
    const int fd = memfd_create("boot_id", MFD_CLOEXEC);
    if (fd >= 0) {
        (void)syscall(SYS_pwrite64, fd, recorder.boot_id, strlen(recorder.boot_id), 0);
    }
    return fd;
}

static void note_open(int fd, const char *name, int flags)
{
    struct stat stat;
    bool made = false;
    RUB_ASSERT(fd < FDS_LIMIT);
    if (fstat(fd, &stat) != 0) {
        return;
    }
    descriptor_t *d = &recorder.fds[fd];
    *d = (descriptor_t){.used = true, .through = (flags & O_DSYNC) != 0};
    (void)snprintf(d->name, sizeof(d->name), "%s", name);
    d->folder = S_ISDIR(stat.st_mode);
    if (d->folder) {
        return;
    }
    d->file = file_of(name, &made);
    if (made) {
        (void)snprintf(note(RUB_DISK_NAME, d->file)->name, NAME_LIMIT, "%s", name);
    }
    if (flags & O_TRUNC) {
        note(RUB_DISK_SIZE, d->file)->offset = 0;
    }
}

RUB_CAUGHT int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list list;
        va_start(list, flags);
        mode = va_arg(list, mode_t);
        va_end(list);
    }
    pthread_mutex_lock(&recorder.mutex);
    int fd;
    if (recorder.boot_id[0] && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) {
        fd = open_boot_id();
    } else {
        fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
        const char *name = below_root(path);
        if (fd >= 0 && name) {
            note_open(fd, name, flags);
        }
    }
    pthread_mutex_unlock(&recorder.mutex);
    return fd;
}

RUB_CAUGHT int close(int fd)
{
    pthread_mutex_lock(&recorder.mutex);
    if (fd >= 0 && fd < FDS_LIMIT) {
        recorder.fds[fd].used = false;
    }
    const int rc = (int)syscall(SYS_close, fd);
    pthread_mutex_unlock(&recorder.mutex);
    return rc;
}

static void note_write(int fd, const struct iovec *vector, int n, off_t at, int flags,
                       ssize_t written)
{
    const descriptor_t *d = descriptor(fd);
    if (!d || written <= 0) {
        return;
    }
    const bool through = d->through || (flags & RWF_DSYNC);
    rub_disk_op_t *op = note(through ? RUB_DISK_WRITE_THROUGH : RUB_DISK_WRITE, d->file);
    op->offset = (uint64_t)at;
    op->bytes = (uint64_t)written;
    op->data = rub_alloc(op->bytes);
    size_t left = (size_t)written;
    uint8_t *out = op->data;
    for (int i = 0; i < n && left > 0; i++) {
        const size_t bytes = vector[i].iov_len < left ? vector[i].iov_len : left;
        memcpy(out, vector[i].iov_base, bytes);
        out += bytes;
        left -= bytes;
    }
    write_seen(op);
}

/* Before a call that others could take for a promise. */
static void look_before_write(int fd, int flags)
{
    const descriptor_t *d = descriptor(fd);
    if (d && (d->through || (flags & RWF_DSYNC))) {
        look();
    }
}

RUB_CAUGHT ssize_t pwritev2(int fd, const struct iovec *vector, int n, off_t at, int flags)
{
    pthread_mutex_lock(&recorder.mutex);
    look_before_write(fd, flags);
    const ssize_t written = syscall(SYS_pwritev2, fd, vector, n, at, 0, flags);
    const int why = errno;
    note_write(fd, vector, n, at, flags, written);
    pthread_mutex_unlock(&recorder.mutex);
    errno = why;
    return written;
}

RUB_CAUGHT ssize_t pwritev(int fd, const struct iovec *vector, int n, off_t at)
{
    return pwritev2(fd, vector, n, at, 0);
}

RUB_CAUGHT ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    const struct iovec one = {(void *)(uintptr_t)data, bytes};
    return pwritev(fd, &one, 1, at);
}

RUB_CAUGHT ssize_t writev(int fd, const struct iovec *vector, int n)
{
    pthread_mutex_lock(&recorder.mutex);
    const off_t at = descriptor(fd) ? lseek(fd, 0, SEEK_CUR) : 0;
    const ssize_t written = syscall(SYS_writev, fd, vector, n);
    const int why = errno;
    note_write(fd, vector, n, at, 0, written);
    pthread_mutex_unlock(&recorder.mutex);
    errno = why;
    return written;
}

RUB_CAUGHT ssize_t write(int fd, const void *data, size_t bytes)
{
    const struct iovec one = {(void *)(uintptr_t)data, bytes};
    return writev(fd, &one, 1);
}

RUB_CAUGHT void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if (fd < 0 || !(flags & MAP_SHARED) || !(protection & PROT_WRITE)) {
        return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
    }
    pthread_mutex_lock(&recorder.mutex);
    void *map = (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
    const descriptor_t *d = descriptor(fd);
    if (map != MAP_FAILED && d) {
        watch(map, bytes, d->file, (uint64_t)offset);
    }
    pthread_mutex_unlock(&recorder.mutex);
    return map;
}

RUB_CAUGHT int munmap(void *at, size_t bytes)
{
    pthread_mutex_lock(&recorder.mutex);
    for (size_t i = 0; i < MAPPINGS_LIMIT; i++) {
        mapping_t *map = &recorder.mappings[i];
        if (map->at && map->at == at) {
            if (recorder.log) {
                look_at(map);
            }
            forget(map);
        }
    }
    const int rc = (int)syscall(SYS_munmap, at, bytes);
    pthread_mutex_unlock(&recorder.mutex);
    return rc;
}

static void note_size(int fd, uint64_t size)
{
    const descriptor_t *d = descriptor(fd);
    if (d) {
        note(RUB_DISK_SIZE, d->file)->offset = size;
    }
}

RUB_CAUGHT int ftruncate(int fd, off_t size)
{
    pthread_mutex_lock(&recorder.mutex);
    const descriptor_t *d = descriptor(fd);
    if (d) {
        look();
        cut_mappings(d->file, (uint64_t)size);
    }
    const int rc = (int)syscall(SYS_ftruncate, fd, size);
    if (rc == 0) {
        note_size(fd, (uint64_t)size);
    }
    pthread_mutex_unlock(&recorder.mutex);
    return rc;
}

RUB_CAUGHT int posix_fallocate(int fd, off_t at, off_t bytes)
{
    struct stat stat;
    pthread_mutex_lock(&recorder.mutex);
    const int rc = syscall(SYS_fallocate, fd, 0, at, bytes) == 0 ? 0 : errno;
    if (rc == 0 && fstat(fd, &stat) == 0) {
        note_size(fd, (uint64_t)stat.st_size);
    }
    pthread_mutex_unlock(&recorder.mutex);
    return rc;
}

/* The files lie in memory: what a disk takes is slept, so that the threads run as beside one. */
static int sync_of(int fd)
{
    pthread_mutex_lock(&recorder.mutex);
    const descriptor_t *d = descriptor(fd);
    const descriptor_t seen = d ? *d : (descriptor_t){0};
    if (d) {
        look();
    }
    const size_t begun = d ? recorder.log->n : 0;
    pthread_mutex_unlock(&recorder.mutex);
    if (!d) {
        return (int)syscall(SYS_fdatasync, fd);
    }
    (void)usleep((useconds_t)(begun * 37 % 200));
    pthread_mutex_lock(&recorder.mutex);
    rub_disk_op_t *op = note(seen.folder ? RUB_DISK_SYNC_NAMES : RUB_DISK_SYNC, seen.file);
    op->offset = begun;
    (void)snprintf(op->name, NAME_LIMIT, "%s", seen.name);
    pthread_mutex_unlock(&recorder.mutex);
    return 0;
}

RUB_CAUGHT int fsync(int fd)
{
    return sync_of(fd);
}

RUB_CAUGHT int fdatasync(int fd)
{
    return sync_of(fd);
}

RUB_CAUGHT int rename(const char *from, const char *to)
{
    bool made = false;
    pthread_mutex_lock(&recorder.mutex);
    const int rc = (int)syscall(SYS_rename, from, to);
    const char *old = below_root(from);
    const char *now = below_root(to);
    if (rc == 0 && old && now) {
        const uint32_t file = file_of(old, &made);
        (void)snprintf(note(RUB_DISK_NAME, file)->name, NAME_LIMIT, "%s", now);
        set_name(file, now);
    }
    pthread_mutex_unlock(&recorder.mutex);
    return rc;
}

RUB_CAUGHT int unlink(const char *path)
{
    bool made = false;
    pthread_mutex_lock(&recorder.mutex);
    const int rc = (int)syscall(SYS_unlink, path);
    const char *name = below_root(path);
    if (rc == 0 && name) {
        const uint32_t file = file_of(name, &made);
        note(RUB_DISK_NAME, file)->name[0] = '\0';
        set_name(file, "");
    }
    pthread_mutex_unlock(&recorder.mutex);
    return rc;
}
