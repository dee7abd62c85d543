/* Vectors leave a fleet some thousand at a time: a table may be larger than what a worker has room
 * for. The file takes its place in one step, so that who reads it never sees half of one. */
#include "worker/train/vectors_out.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/vectors_file.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define AT_ONCE 4096u /* rows */
#define NAME_BYTES 1025

int rub_vectors_out_check(const char *path, rub_error_t *err)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof(folder), "%s", path);
    return path[0] == '\0' || access(dirname(folder), W_OK) == 0
               ? 0
               : rub_fail_errno(err, RUB_ECONFIG, errno, "vectors: %s can not be written", path);
}

int rub_vectors_out_write(const char *path, const rub_vectors_source_t *source, rub_error_t *err)
{
    const size_t n = source->n, width = source->width;
    rub_vectors_file_t *file = NULL;
    char room[NAME_BYTES];
    if (path[0] == '\0') {
        return 0;
    }
    float *values = rub_alloc(AT_ONCE * width * sizeof(*values));
    int rc = values ? 0 : rub_fail(err, RUB_ENOMEM, "vectors: no memory for a width of %zu", width);
    rc = rc ? rc
            : rub_vectors_file_create(path, rub_vectors_file_is_binary(path), n, source->width,
                                      &file, err);
    for (size_t first = 0; first < n && rc == 0; first += AT_ONCE) {
        const size_t count = n - first < AT_ONCE ? n - first : AT_ONCE;
        rc = source->read(source->context, first, count, values, err);
        for (size_t i = 0; i < count && rc == 0; i++) {
            rub_vectors_file_add(file, source->name(source->context, (uint32_t)(first + i), room),
                                 values + i * width);
        }
    }
    if (rc == 0) {
        rc = rub_vectors_file_finish(&file, err);
    }
    rub_vectors_file_abandon(&file);
    rub_free(values);
    return rc;
}
