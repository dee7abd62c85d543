/* Files: the few operations that must be done right once.
 *
 * A file that is replaced is never seen half-written: the new content is written and synced under
 * another name in the same folder, renamed over the old one, and the folder is synced, because a
 * rename is durable only when its folder is. Locks are open-file-description locks: unlike POSIX
 * record locks they are not dropped when some other descriptor of the same file is closed in this
 * process, and they conflict between two sessions of one process too. The kernel releases them when
 * the holder dies, however it dies. */
#include "common/base/fs.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int code_of_errno(int errno_value)
{
    return errno_value == ENOSPC || errno_value == EDQUOT ? RUB_ENOSPC : RUB_EIO;
}

/* Makes one folder; one that is there already is fine. */
static int make_folder(const char *path, rub_error_t *err)
{
    struct stat status;
    if (mkdir(path, 0777) == 0) {
        return RUB_OK;
    }
    const int why = errno;
    if (why == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        return RUB_OK;
    }
    return rub_fail_errno(err, RUB_EIO, why == EEXIST ? ENOTDIR : why, "cannot make folder '%s'",
                          path);
}

int rub_fs_mkdirs(const char *path, rub_error_t *err)
{
    int rc = RUB_OK;
    if (path[0] == '\0') {
        return rub_fail(err, RUB_EIO, "cannot make a folder without a name");
    }
    char *part = rub_strdup(path);
    if (part == NULL) {
        return rub_fail(err, RUB_ENOMEM, "out of memory for the path '%.200s'", path);
    }
    for (char *slash = strchr(part + 1, '/'); slash != NULL && rc == 0;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        rc = make_folder(part, err);
        *slash = '/';
    }
    if (rc == 0) {
        rc = make_folder(part, err);
    }
    rub_free(part);
    return rc;
}

bool rub_fs_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

int rub_fs_expect(const char *path, rub_error_t *err)
{
    return rub_fs_exists(path) ? 0 : rub_fail(err, RUB_EDATA, "there is no '%s'", path);
}

/* Reads fd to its end into *data_p, growing, at most limit_bytes. Works for pipes and /proc too,
 * whose size is 0. */
static int read_all(int fd, const char *path, size_t limit_bytes, char **data_p, size_t *bytes_p,
                    rub_error_t *err)
{
    size_t bytes = *bytes_p;
    size_t capacity = 0;
    for (;;) {
        if (rub_grow(data_p, &capacity, bytes + 4096, 1) != 0) {
            return rub_fail(err, RUB_ENOMEM, "out of memory while reading '%s'", path);
        }
        const ssize_t got = read(fd, *data_p + bytes, capacity - bytes - 1);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return rub_fail_errno(err, RUB_EIO, errno, "cannot read '%s'", path);
        }
        if (got == 0) {
            break;
        }
        bytes += (size_t)got;
        if (bytes > limit_bytes) {
            return rub_fail(err, RUB_ELIMIT, "file '%s' is longer than the limit of %zu bytes",
                            path, limit_bytes);
        }
    }
    (*data_p)[bytes] = '\0';
    *bytes_p = bytes;
    return RUB_OK;
}

int rub_fs_read(const char *path, size_t limit_bytes, char **data_p, size_t *bytes_p,
                rub_error_t *err)
{
    char *data = NULL;
    size_t bytes = 0;
    *data_p = NULL;
    *bytes_p = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return rub_fail_errno(err, RUB_EIO, errno, "cannot open '%s'", path);
    }
    const int rc = read_all(fd, path, limit_bytes, &data, &bytes, err);
    (void)close(fd);
    if (rc != 0) {
        rub_free(data);
        return rc;
    }
    *data_p = data;
    *bytes_p = bytes;
    return RUB_OK;
}

/* The folder that holds path, as a new string: "." for a bare name. */
static char *folder_of(const char *path)
{
    char *folder = rub_strdup(path);
    if (folder == NULL) {
        return NULL;
    }
    char *slash = strrchr(folder, '/');
    if (slash == NULL) {
        rub_free(folder);
        return rub_strdup(".");
    }
    slash[slash == folder ? 1 : 0] = '\0';
    return folder;
}

static int write_synced(const char *path, const void *data, size_t bytes, rub_error_t *err)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return rub_fail_errno(err, code_of_errno(errno), errno, "cannot create '%s'", path);
    }
    int rc = rub_fs_pwrite(fd, data, bytes, 0, err);
    if (rc != 0) {
        rc = rub_wrap(err, rc, "'%s'", path);
    } else if (fsync(fd) != 0) {
        rc = rub_fail_errno(err, code_of_errno(errno), errno, "cannot sync '%s'", path);
    }
    if (close(fd) != 0 && rc == 0) {
        rc = rub_fail_errno(err, code_of_errno(errno), errno, "cannot close '%s'", path);
    }
    return rc;
}

int rub_fs_write(const char *path, const void *data, size_t bytes, rub_error_t *err)
{
    int rc;
    char *folder = folder_of(path);
    char *fresh = rub_sprintf("%s.%ld.new", path, (long)getpid());
    if (folder == NULL || fresh == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "out of memory for the path '%.200s'", path);
        goto out;
    }
    rc = write_synced(fresh, data, bytes, err);
    if (rc == 0 && rename(fresh, path) != 0) {
        rc = rub_fail_errno(err, code_of_errno(errno), errno, "cannot replace '%s'", path);
    }
    if (rc != 0) {
        (void)unlink(fresh);
        goto out;
    }
    rc = rub_fs_sync_folder(folder, err);
out:
    rub_free(fresh);
    rub_free(folder);
    return rc;
}

/* "held by <the file's content>" */
static int fail_held(int fd, const char *path, rub_error_t *err)
{
    char holder[128];
    const ssize_t got = pread(fd, holder, sizeof(holder) - 1, 0);
    holder[got > 0 ? got : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    return rub_fail(err, RUB_EHELD, "lock '%s' is held by %s", path,
                    holder[0] != '\0' ? holder : "another process");
}

int rub_fs_lock(const char *path, const char *owner, int *fd_p, rub_error_t *err)
{
    int rc;
    *fd_p = -1;
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        return rub_fail_errno(err, code_of_errno(errno), errno, "cannot open lock '%s'", path);
    }
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        rc = errno == EAGAIN || errno == EACCES
                 ? fail_held(fd, path, err)
                 : rub_fail_errno(err, RUB_EIO, errno, "cannot lock '%s'", path);
        goto out;
    }
    if (ftruncate(fd, 0) != 0) {
        rc = rub_fail_errno(err, code_of_errno(errno), errno, "cannot write lock '%s'", path);
        goto out;
    }
    rc = rub_fs_pwrite(fd, owner, strlen(owner), 0, err);
out:
    if (rc != 0) {
        (void)close(fd);
        return rc;
    }
    *fd_p = fd;
    return RUB_OK;
}

int rub_fs_lock_free(const char *path, rub_error_t *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return rub_fail_errno(err, RUB_EIO, errno, "cannot open lock '%s'", path);
    }
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc = RUB_OK;
    if (fcntl(fd, F_OFD_GETLK, &lock) != 0) {
        rc = rub_fail_errno(err, RUB_EIO, errno, "cannot ask for lock '%s'", path);
    } else if (lock.l_type != F_UNLCK) {
        rc = fail_held(fd, path, err);
    }
    (void)close(fd);
    return rc;
}

int rub_fs_lock_shared(const char *path, int *fd_p, rub_error_t *err)
{
    *fd_p = -1;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? RUB_OK
                               : rub_fail_errno(err, RUB_EIO, errno, "cannot open lock '%s'", path);
    }
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        const int rc = errno == EAGAIN || errno == EACCES
                           ? fail_held(fd, path, err)
                           : rub_fail_errno(err, RUB_EIO, errno, "cannot lock '%s'", path);
        (void)close(fd);
        return rc;
    }
    *fd_p = fd;
    return RUB_OK;
}

void rub_fs_unlock(int fd)
{
    if (fd >= 0) {
        (void)close(fd); /* the lock goes with the last descriptor of this open */
    }
}

int rub_fs_open_regular(const char *path, int *fd_p, uint64_t *bytes_p, rub_error_t *err)
{
    struct stat status;
    *fd_p = -1;
    *bytes_p = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return rub_fail_errno(err, RUB_EIO, errno, "it cannot be opened");
    }
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        (void)close(fd);
        return rub_fail(err, RUB_EIO, "it is not a regular file");
    }
    *fd_p = fd;
    *bytes_p = (uint64_t)status.st_size;
    return RUB_OK;
}

int rub_fs_pread(int fd, void *data, size_t bytes, uint64_t offset, rub_error_t *err)
{
    size_t got = 0;
    while (got < bytes) {
        const ssize_t n = pread(fd, (uint8_t *)data + got, bytes - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return rub_fail_errno(err, RUB_EIO, errno, "cannot read %zu bytes at offset %llu",
                                  bytes, (unsigned long long)offset);
        }
        if (n == 0) {
            return rub_fail(err, RUB_EDATA,
                            "cannot read %zu bytes at offset %llu: the file ends before", bytes,
                            (unsigned long long)offset);
        }
        got += (size_t)n;
    }
    return RUB_OK;
}

int rub_fs_pwrite(int fd, const void *data, size_t bytes, uint64_t offset, rub_error_t *err)
{
    const uint8_t *at = data;
    while (bytes > 0) {
        const ssize_t wrote = pwrite(fd, at, bytes, (off_t)offset);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote <= 0) {
            const int why = wrote < 0 ? errno : EIO;
            return rub_fail_errno(err, code_of_errno(why), why,
                                  "cannot write %zu bytes at offset %llu", bytes,
                                  (unsigned long long)offset);
        }
        at += wrote;
        bytes -= (size_t)wrote;
        offset += (uint64_t)wrote;
    }
    return RUB_OK;
}

int rub_fs_sync_folder(const char *path, rub_error_t *err)
{
    int rc = RUB_OK;
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return rub_fail_errno(err, RUB_EIO, errno, "cannot open folder '%s'", path);
    }
    /* EINVAL: this file system has nothing to sync for a folder. */
    if (fsync(fd) != 0 && errno != EINVAL) {
        rc = rub_fail_errno(err, code_of_errno(errno), errno, "cannot sync folder '%s'", path);
    }
    (void)close(fd);
    return rc;
}

int rub_fs_free_bytes(const char *path, uint64_t *bytes_p, rub_error_t *err)
{
    struct statvfs status;
    *bytes_p = 0;
    if (statvfs(path, &status) != 0) {
        return rub_fail_errno(err, RUB_EIO, errno, "cannot ask for the space left at '%s'", path);
    }
    *bytes_p = (uint64_t)status.f_bavail * (uint64_t)status.f_frsize;
    return RUB_OK;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

int rub_fs_remove_tree(const char *path, rub_error_t *err)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT) {
        return 0;
    }
    return rub_fail_errno(err, RUB_EIO, errno, "%s cannot be removed", path);
}
