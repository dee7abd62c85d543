/* Files: the few operations that must be done right once. All block; none is called by a core. */
#ifndef RUB_FS_H
#define RUB_FS_H

#include "include/rubato.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes the folder and its parents (mode 0777 & umask). RUB_EIO names the part that failed. */
int rub_fs_mkdirs(const char *path, rub_error_t *err);
bool rub_fs_exists(const char *path);
/* RUB_EDATA: nothing is at the path of what is to be read. */
int rub_fs_expect(const char *path, rub_error_t *err);
/* Reads the whole file, at most limit_bytes. The caller frees *data_p (terminated by a 0 not
 * counted). */
int rub_fs_read(const char *path, size_t limit_bytes, char **data_p, size_t *bytes_p,
                rub_error_t *err);
/* Replaces the file in one step: temporary file, fsync, rename, fsync of the folder. */
int rub_fs_write(const char *path, const void *data, size_t bytes, rub_error_t *err);
/* Takes an exclusive OFD lock on path (made if missing); held until rub_fs_unlock(fd). RUB_EHELD
 * names the holder (the file's content, which is set to `owner`). */
int rub_fs_lock(const char *path, const char *owner, int *fd_p, rub_error_t *err);
/* Makes sure that nobody holds the lock on path, and that nobody takes it until rub_fs_unlock(fd):
 * for who only reads. Writes nothing; a file that is not there is held by nobody, *fd_p is -1 then.
 * RUB_EHELD as rub_fs_lock. */
int rub_fs_lock_shared(const char *path, int *fd_p, rub_error_t *err);
void rub_fs_unlock(int fd);
/* Is the lock free right now? Takes nothing and writes nothing. 0: free; RUB_EHELD names the
 * holder; RUB_EIO: no such file, or no access. */
int rub_fs_lock_free(const char *path, rub_error_t *err);
/* Opens a regular file for reading; never waits, as a named pipe would have it. *bytes_p: its
 * length at this moment; who reads later holds each read against the file. RUB_EIO says what is
 * wrong, but not with which file. The caller closes *fd_p; -1 on failure. */
int rub_fs_open_regular(const char *path, int *fd_p, uint64_t *bytes_p, rub_error_t *err);
/* Reads exactly so many bytes at the offset, however many calls it takes. RUB_EDATA: the file ends
 * before; RUB_EIO. Neither names the file. */
int rub_fs_pread(int fd, void *data, size_t bytes, uint64_t offset, rub_error_t *err);
/* Writes all of the bytes at the offset, however many calls it takes. RUB_ENOSPC or RUB_EIO. */
int rub_fs_pwrite(int fd, const void *data, size_t bytes, uint64_t offset, rub_error_t *err);
/* Removes the folder and all that is in it; follows no symbolic link. A folder that is not there is
 * fine. */
int rub_fs_remove_tree(const char *path, rub_error_t *err);
int rub_fs_sync_folder(const char *path, rub_error_t *err);
/* Free bytes on the file system that holds path. */
int rub_fs_free_bytes(const char *path, uint64_t *bytes_p, rub_error_t *err);

#endif
