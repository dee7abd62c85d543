/* Writing a file that others read as soon as it has its name. A run that fails, or a disk that is
 * full, so leaves nothing behind that looks like data. */
#include "cli/new_file.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int rub_new_file_open(rub_new_file_t *self, const char *path, rub_error_t *err)
{
    *self = (rub_new_file_t){.path = path};
    if (strcmp(path, "-") == 0) {
        self->out = stdout;
        return 0;
    }
    self->part = rub_sprintf("%s.part", path);
    if (self->part == NULL) {
        return rub_fail(err, RUB_ENOMEM, "'%s': no memory", path);
    }
    self->out = fopen(self->part, "we");
    if (self->out != NULL) {
        return 0;
    }
    const int rc = rub_fail_errno(err, RUB_ESTORE, errno, "'%s' cannot be made", self->part);
    rub_free(self->part);
    self->part = NULL;
    return rc;
}

int rub_new_file_close(rub_new_file_t *self, bool whole, rub_error_t *err)
{
    int rc = 0;
    if (self->out == NULL) {
        return 0;
    }
    const bool failed = fflush(self->out) != 0 || ferror(self->out) != 0;
    int why = failed ? errno : 0;
    if (self->part != NULL && fclose(self->out) != 0 && why == 0) {
        why = errno;
    }
    if (whole && why == 0 && self->part != NULL && rename(self->part, self->path) != 0) {
        why = errno;
    }
    if (whole && why != 0) {
        rc = rub_fail_errno(err, why == ENOSPC ? RUB_ENOSPC : RUB_ESTORE, why,
                            "'%s' cannot be written", self->path);
    }
    if (self->part != NULL && (!whole || why != 0)) {
        (void)unlink(self->part);
    }
    rub_free(self->part);
    *self = (rub_new_file_t){0};
    return rc;
}
