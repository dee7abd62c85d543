/* Writing word vectors. Text has nine significant digits, which say a float32 exactly. Written
 * beside the file and renamed: who reads the name finds a whole file, the old one or the new one.
 */
#include "worker/data/vectors_file.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/whole_file.h"

#include <inttypes.h>
#include <string.h>

struct rub_vectors_file {
    rub_whole_file_t *file;
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
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "vectors '%s': no memory", path);
    }
    self->binary = binary;
    self->width = width;
    self->left = n_words;
    const int rc = rub_whole_file_open(path, &self->file, err);
    if (rc) {
        rub_vectors_file_abandon(&self);
        return rub_wrap(err, rc, "vectors");
    }
    fprintf(rub_whole_file_stream(self->file), "%" PRIu64 " %" PRIu32 "\n", n_words, width);
    *file_p = self;
    return 0;
}

void rub_vectors_file_add(rub_vectors_file_t *self, const char *word, const float *values)
{
    FILE *stream = rub_whole_file_stream(self->file);
    RUB_ASSERT(self->left > 0);
    self->left--;
    fputs(word, stream);
    if (self->binary) {
        fputc(' ', stream);
        fwrite(values, sizeof *values, self->width, stream);
    }
    for (uint32_t i = 0; i < self->width && !self->binary; i++) {
        fprintf(stream, " %.9g", (double)values[i]);
    }
    fputc('\n', stream);
}

int rub_vectors_file_finish(rub_vectors_file_t **file_p, rub_error_t *err)
{
    rub_vectors_file_t *self = *file_p;
    RUB_ASSERT(self->left == 0);
    const int rc = rub_whole_file_finish(&self->file, err);
    rub_vectors_file_abandon(file_p);
    return rc ? rub_wrap(err, rc, "vectors") : 0;
}

void rub_vectors_file_abandon(rub_vectors_file_t **file_p)
{
    rub_vectors_file_t *self = *file_p;
    if (self == NULL) {
        return;
    }
    rub_whole_file_abandon(&self->file);
    rub_free(self);
    *file_p = NULL;
}
