/* Writing word vectors. Text has nine significant digits, which say a float32 exactly. Written
 * beside the file and renamed: who reads the name finds a whole file, the old one or the new one.
 */
#include "worker/data/vectors_file.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct rub_vectors_file {
    FILE *stream;
    char *path, *part;
    bool binary;
    uint32_t width;
    uint64_t left; /* words */
};

static bool ends_with(const char *path, const char *end)
{
    const size_t n = strlen(path);
    const size_t m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0;
}

bool rub_vectors_file_is_binary(const char *path)
{
    return ends_with(path, ".bin") || ends_with(path, ".bin.gz");
}

int rub_vectors_file_create(const char *path, bool binary, uint64_t n_words, uint32_t width,
                            rub_vectors_file_t **file_p, rub_error_t *err)
{
    *file_p = NULL;
    rub_vectors_file_t *self = rub_calloc(1, sizeof *self);
    if (self != NULL) {
        self->path = rub_strdup(path);
        self->part = rub_sprintf("%s.part", path);
    }
    if (self == NULL || self->path == NULL || self->part == NULL) {
        rub_vectors_file_abandon(&self);
        return rub_fail(err, RUB_ENOMEM, "vectors '%s': no memory", path);
    }
    self->binary = binary;
    self->width = width;
    self->left = n_words;
    self->stream = fopen(self->part, "w");
    if (self->stream == NULL) {
        const int rc = rub_fail_errno(err, RUB_EIO, errno, "vectors '%s' cannot be written", path);
        rub_vectors_file_abandon(&self);
        return rc;
    }
    fprintf(self->stream, "%" PRIu64 " %" PRIu32 "\n", n_words, width);
    *file_p = self;
    return 0;
}

void rub_vectors_file_add(rub_vectors_file_t *self, const char *word, const float *values)
{
    RUB_ASSERT(self->left > 0);
    self->left--;
    fputs(word, self->stream);
    if (self->binary) {
        fputc(' ', self->stream);
        fwrite(values, sizeof *values, self->width, self->stream);
    }
    for (uint32_t i = 0; i < self->width && !self->binary; i++) {
        fprintf(self->stream, " %.9g", (double)values[i]);
    }
    fputc('\n', self->stream);
}

static int write_out(rub_vectors_file_t *self)
{
    errno = 0;
    const bool written =
        fflush(self->stream) == 0 && !ferror(self->stream) && fsync(fileno(self->stream)) == 0;
    int error = written ? 0 : errno != 0 ? errno : EIO;
    if (fclose(self->stream) != 0 && error == 0) {
        error = errno;
    }
    self->stream = NULL;
    if (error == 0 && rename(self->part, self->path) != 0) {
        error = errno;
    }
    return error;
}

int rub_vectors_file_finish(rub_vectors_file_t **file_p, rub_error_t *err)
{
    rub_vectors_file_t *self = *file_p;
    RUB_ASSERT(self->left == 0);
    const int error = write_out(self);
    int rc = 0;
    if (error != 0) {
        rc = rub_fail_errno(err, error == ENOSPC || error == EDQUOT ? RUB_ENOSPC : RUB_EIO, error,
                            "vectors '%s' cannot be written", self->path);
    } else {
        rc = rub_fs_sync_folder(dirname(self->path), err);
        rub_free(self->part); /* nothing to remove */
        self->part = NULL;
    }
    rub_vectors_file_abandon(file_p);
    return rc;
}

void rub_vectors_file_abandon(rub_vectors_file_t **file_p)
{
    rub_vectors_file_t *self = *file_p;
    if (self == NULL) {
        return;
    }
    if (self->stream != NULL) {
        fclose(self->stream);
    }
    if (self->part != NULL) {
        unlink(self->part);
    }
    rub_free(self->path);
    rub_free(self->part);
    rub_free(self);
    *file_p = NULL;
}
