/* Waiting for who fetches.
 *
 * Why a deadline on progress and not on the whole wait: a large file may take hours, while a
 * process that was stopped, or hangs in a mount, holds its lock for ever. Invariant: who has the
 * lock removes its file before letting go, so a lock counts only while its file is the one that has
 * the name; who got a removed one tries again with what is there now. */
#include "worker/data/fetch_lock.h"

#include "common/base/error.h"
#include "common/base/timing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { POLL_MS = 50, HOLDER_BYTES = 96 };

typedef struct waiting {
    const char *path, *part;
    const rub_http_options_t *options;
    bool said;
    uint64_t said_us, came_us; /* when somebody heard of it, when the part was seen to change */
    struct stat seen;          /* the part then; zeros: not there */
} waiting_t;

/* "host:pid", as who has the lock wrote it. */
static void read_holder(int fd, char out[HOLDER_BYTES])
{
    const ssize_t n = pread(fd, out, HOLDER_BYTES - 1, 0);
    out[n > 0 ? n : 0] = '\0';
    if (n <= 0) { /* it has not come to write it */
        (void)snprintf(out, HOLDER_BYTES, "another process");
    }
}

static void write_holder(int fd)
{
    char host[64] = "this host", text[HOLDER_BYTES];
    (void)gethostname(host, sizeof(host) - 1);
    const int n = snprintf(text, sizeof(text), "%s:%ld", host, (long)getpid());
    if (ftruncate(fd, 0) == 0) {
        const ssize_t written = pwrite(fd, text, (size_t)n, 0); /* for people; the lock is taken */
        (void)written;
    }
}

static bool has_changed(waiting_t *self)
{
    struct stat now = {0};
    (void)stat(self->part, &now);
    const bool changed =
        now.st_size != self->seen.st_size || now.st_mtim.tv_sec != self->seen.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != self->seen.st_mtim.tv_nsec || now.st_ino != self->seen.st_ino;
    self->seen = now;
    return changed;
}

static void say(waiting_t *self, int fd, uint64_t now_us)
{
    char holder[HOLDER_BYTES], sentence[512];
    if (self->options->say == NULL ||
        (self->said && now_us - self->said_us < self->options->quiet_ms * UINT64_C(1000))) {
        return;
    }
    read_holder(fd, holder);
    (void)snprintf(sentence, sizeof(sentence),
                   "'%s' is held by %s, which fetches the file and is waited for: %.1f MB are here",
                   self->path, holder, (double)self->seen.st_size / 1e6);
    self->said = true;
    self->said_us = now_us;
    self->options->say(self->options->context, sentence);
}

/* The lock of the open file, whatever name that has by now. */
static int take_open(waiting_t *self, int fd, rub_error_t *err)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    while (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
            return rub_fail_errno(err, RUB_ESTORE, errno, "'%s' cannot be locked", self->path);
        }
        if (rub_http_interrupted(self->options)) {
            char holder[HOLDER_BYTES];
            read_holder(fd, holder);
            return rub_fail(err, RUB_EINTR, "'%s' is held by %s: interrupted while waiting for it",
                            self->path, holder);
        }
        const uint64_t now_us = rub_now_us();
        if (has_changed(self) || self->came_us == 0) {
            self->came_us = now_us;
        }
        if (now_us - self->came_us >= self->options->wait_ms * UINT64_C(1000)) {
            char holder[HOLDER_BYTES];
            read_holder(fd, holder);
            return rub_fail(err, RUB_EDATA,
                            "'%s' is held by %s, which fetches the file, but nothing of it has "
                            "come for %.1f s, after %" PRIu64 " bytes",
                            self->path, holder, (double)(now_us - self->came_us) / 1e6,
                            (uint64_t)self->seen.st_size);
        }
        say(self, fd, now_us);
        rub_sleep_ms(POLL_MS);
    }
    return 0;
}

static bool is_named(int fd, const char *path)
{
    struct stat open_one, named;
    return fstat(fd, &open_one) == 0 && stat(path, &named) == 0 &&
           open_one.st_dev == named.st_dev && open_one.st_ino == named.st_ino;
}

int rub_fetch_lock_take(const char *path, const char *part, const rub_http_options_t *options,
                        int *fd_p, rub_error_t *err)
{
    waiting_t self = {.path = path, .part = part, .options = options};
    *fd_p = -1;
    while (true) {
        const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) {
            return rub_fail_errno(err, RUB_ESTORE, errno, "'%s' cannot be locked", path);
        }
        const int rc = take_open(&self, fd, err);
        if (rc == 0 && is_named(fd, path)) {
            write_holder(fd);
            *fd_p = fd;
            return 0;
        }
        (void)close(fd);
        if (rc != 0) {
            return rc;
        }
    }
}

void rub_fetch_lock_release(const char *path, int fd)
{
    if (fd >= 0) {
        (void)unlink(path);
        (void)close(fd);
    }
}
