/* Why a part beside the file and not in /tmp: a rename must stay within a file system. Why stdio:
 * formats are written in small pieces, and one check at the end is as good as many, since nothing
 * is renamed before it. */
#include "common/base/whole_file.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"

#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rub_whole_file {
    FILE *stream;
    char *path;
    char *part; /* NULL: written in place */
};

static int code_of(int error)
{
    return error == ENOSPC || error == EDQUOT ? RUB_ENOSPC : RUB_ESTORE;
}

static bool is_replaceable(const char *path)
{
    struct stat info;
    return stat(path, &info) != 0 || S_ISREG(info.st_mode);
}

int rub_whole_file_open(const char *path, rub_whole_file_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    const bool standard = strcmp(path, "-") == 0;
    const bool beside = !standard && is_replaceable(path);
    rub_whole_file_t *self = rub_calloc(1, sizeof(*self));
    if (self) {
        self->path = rub_strdup(path);
        self->part = beside ? rub_sprintf("%s.part", path) : NULL;
    }
    if (!self || !self->path || (beside && !self->part)) {
        rub_whole_file_abandon(&self);
        return rub_fail(err, RUB_ENOMEM, "no memory to write '%s'", path);
    }
    self->stream = standard ? stdout : fopen(beside ? self->part : path, "we");
    if (!self->stream) {
        const int rc = rub_fail_errno(err, code_of(errno), errno, "cannot write '%s'", path);
        rub_free(self->part);
        self->part = NULL; /* there is nothing to remove */
        rub_whole_file_abandon(&self);
        return rc;
    }
    *self_p = self;
    return 0;
}

FILE *rub_whole_file_stream(rub_whole_file_t *self)
{
    return self->stream;
}

/* 0 or an errno. */
static int write_out(rub_whole_file_t *self)
{
    errno = 0;
    const bool written = fflush(self->stream) == 0 && !ferror(self->stream) &&
                         (!self->part || fsync(fileno(self->stream)) == 0);
    int error = written ? 0 : errno ? errno : EIO;
    if (self->stream != stdout && fclose(self->stream) != 0 && error == 0) {
        error = errno;
    }
    self->stream = NULL;
    if (error == 0 && self->part && rename(self->part, self->path) != 0) {
        error = errno;
    }
    return error;
}

int rub_whole_file_finish(rub_whole_file_t **self_p, rub_error_t *err)
{
    rub_whole_file_t *self = *self_p;
    const int error = write_out(self);
    int rc = 0;
    if (error != 0) {
        rc = rub_fail_errno(err, code_of(error), error, "cannot write '%s'", self->path);
    } else if (self->part) {
        rub_free(self->part);
        self->part = NULL;
        rc = rub_fs_sync_folder(dirname(self->path), err);
    }
    rub_whole_file_abandon(self_p);
    return rc;
}

void rub_whole_file_abandon(rub_whole_file_t **self_p)
{
    rub_whole_file_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    if (self->stream && self->stream != stdout) {
        (void)fclose(self->stream);
    }
    if (self->part) {
        (void)unlink(self->part);
    }
    rub_free(self->part);
    rub_free(self->path);
    rub_free(self);
}
