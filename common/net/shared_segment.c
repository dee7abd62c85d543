/* One memfd, mapped.
 *
 * Why /proc and not a descriptor sent over a unix socket: one more socket would have to be named,
 * found, waited for and cleaned up, and the kernel checks the same thing: same user, a process that
 * may be looked at. The peer names a descriptor of a process, so it could name anything; therefore
 * what stands there is first looked at through O_PATH, which opens nothing, and is opened only when
 * it is a regular file of the kernel's shared memory (tmpfs). Pages of hugetlbfs are refused: they
 * may be missing at a fault, which is SIGBUS.
 *
 * The maker holds a lock on its open file description until it lets go, which a kill does, too:
 * asking for that lock tells whether anybody is at the other end, without pids that may be used
 * again. A child that the maker forked has the description as well, and keeps the lock when its
 * parent is killed: so who attaches looks at the maker's process, too, by a descriptor of it
 * (pidfd). The child has not got the mapping (MADV_DONTFORK), only the descriptor, and would keep
 * the memory as long as it lives: who was attached empties it when the maker has gone. */
#include "common/net/shared_segment.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct rub_segment {
    int fd;
    bool attached;
    int maker; /* of an attached one: a descriptor of its maker's process; -1: there is none */
    uint8_t *bytes;
    size_t size;
};

/* The whole file: what the maker holds. */
static struct flock whole(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
}

/* Takes fd on success. */
static int map(int fd, size_t size, rub_shared_segment_t **self_p, rub_error_t *err)
{
    rub_shared_segment_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a shared segment");
    }
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (bytes == MAP_FAILED) {
        const int failure = errno;
        rub_free(self);
        return rub_fail_errno(err, RUB_ENOMEM, failure, "cannot map a shared segment of %zu bytes",
                              size);
    }
    (void)madvise(bytes, size, MADV_DONTFORK);
    self->fd = fd;
    self->maker = -1;
    self->bytes = bytes;
    self->size = size;
    *self_p = self;
    return 0;
}

/* Growing a file beyond the limit of files is a signal, SIGXFSZ, which ends a process that does not
 * expect it: our host. Memory counts as a file here. */
static int check_file_limit(size_t bytes, rub_error_t *err)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur >= bytes) {
        return 0;
    }
    return rub_fail(err, RUB_EIO, "a shared segment of %zu bytes, files are limited to %llu", bytes,
                    (unsigned long long)limit.rlim_cur);
}

int rub_shared_segment_create(size_t bytes, rub_shared_segment_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    int rc = check_file_limit(bytes, err);
    if (rc) {
        return rc;
    }
    struct flock lock = whole(F_WRLCK);
    const int fd = memfd_create("rubato-lane", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0 || fcntl(fd, F_ADD_SEALS, SEALS) != 0 ||
        fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        rc =
            rub_fail_errno(err, RUB_EIO, errno, "cannot make a shared segment of %zu bytes", bytes);
    }
    rc = rc ? rc : map(fd, bytes, self_p, err);
    if (rc && fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

/* Whether it is a file of the kernel's shared memory, of that size. For any descriptor, also one of
 * O_PATH. */
static bool is_shared_memory(int fd, size_t bytes)
{
    struct stat info;
    struct statfs place;
    return fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size == (off_t)bytes &&
           fstatfs(fd, &place) == 0 && (unsigned long)place.f_type == TMPFS_MAGIC;
}

static int open_sealed(const char *path, size_t bytes, int *fd_p, rub_error_t *err)
{
    *fd_p = -1;
    char link[64];
    const int seen = open(path, O_PATH | O_CLOEXEC);
    if (seen < 0) {
        return rub_fail_errno(err, RUB_EREFUSED, errno, "%s", path);
    }
    int rc = 0;
    if (!is_shared_memory(seen, bytes)) {
        rc = rub_fail(err, RUB_EREFUSED, "%s is no shared memory of %zu bytes", path, bytes);
    }
    if (!rc) {
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", seen);
        *fd_p = open(link, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (*fd_p < 0) {
            rc = rub_fail_errno(err, RUB_EREFUSED, errno, "cannot open %s", path);
        }
    }
    (void)close(seen);
    const int seals = rc ? 0 : fcntl(*fd_p, F_GET_SEALS);
    if (!rc && (seals < 0 || (seals & SEALS) != SEALS)) {
        rc = rub_fail(err, RUB_EREFUSED, "%s may change its size: seals %x, expected %x", path,
                      (unsigned)(seals < 0 ? 0 : seals), (unsigned)SEALS);
    }
    if (!rc && !is_shared_memory(*fd_p, bytes)) { /* sealed now: this is how large it stays */
        rc = rub_fail(err, RUB_EREFUSED, "%s is no shared memory of %zu bytes", path, bytes);
    }
    return rc;
}

int rub_shared_segment_attach(uint64_t pid, uint32_t fd, size_t bytes,
                              rub_shared_segment_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    char path[64];
    int own = -1;
    /* Before the segment is looked for: what is found then was made by this very process. */
    const int maker = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    (void)snprintf(path, sizeof(path), "/proc/%" PRIu64 "/fd/%" PRIu32, pid, fd);
    int rc = open_sealed(path, bytes, &own, err);
    rc = rc ? rc : map(own, bytes, self_p, err);
    if (!rc) {
        (*self_p)->attached = true;
        (*self_p)->maker = maker;
        return 0;
    }
    if (own >= 0) {
        (void)close(own);
    }
    if (maker >= 0) {
        (void)close(maker);
    }
    return rc;
}

void rub_shared_segment_close(rub_shared_segment_t **self_p)
{
    rub_shared_segment_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    struct flock free = whole(F_UNLCK);
    if (!self->attached) {
        (void)fcntl(self->fd, F_OFD_SETLK, &free); /* closing does not, while a child has it, too */
    } else if (rub_shared_segment_is_orphaned(self)) {
        (void)fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)self->size);
    }
    (void)munmap(self->bytes, self->size);
    (void)close(self->fd);
    if (self->maker >= 0) {
        (void)close(self->maker);
    }
    rub_free(self);
}

uint8_t *rub_shared_segment_bytes(rub_shared_segment_t *self)
{
    return self->bytes;
}

uint32_t rub_shared_segment_descriptor(const rub_shared_segment_t *self)
{
    return (uint32_t)self->fd;
}

int rub_shared_segment_protect(rub_shared_segment_t *self, size_t offset, size_t bytes)
{
    return mprotect(self->bytes + offset, bytes, PROT_READ) == 0 ? 0 : RUB_EIO;
}

bool rub_shared_segment_is_orphaned(const rub_shared_segment_t *self)
{
    struct flock lock = whole(F_WRLCK);
    struct pollfd maker = {.fd = self->maker, .events = POLLIN}; /* -1 is never ready */
    return (fcntl(self->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK) ||
           poll(&maker, 1, 0) == 1;
}
