/* Writes a text file of its own and opens it as a sparse data set, for tests of worker/data. */
#ifndef TEST_SPARSE_FILES_H
#define TEST_SPARSE_FILES_H

#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/data/sparse_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

typedef struct sparse_file {
    char path[64];
    rub_sparse_options_t options;
    rub_sparse_set_t *set;
    rub_error_t err;
} sparse_file_t;

/* Writes the bytes and tries to open them; returns what opening returned. */
static inline int sparse_file_open(sparse_file_t *self, const char *format, const void *data,
                                   size_t bytes, const char *mode)
{
    *self = (sparse_file_t){.path = "/tmp/rubato-sparse-XXXXXX"};
    const int fd = mkstemp(self->path);
    assert_true(fd >= 0);
    close(fd);
    gzFile file = gzopen(self->path, mode);
    assert_non_null(file);
    assert_int_equal(gzwrite(file, data, (unsigned)bytes), bytes);
    assert_int_equal(gzclose(file), Z_OK);
    rub_sparse_options_defaults(&self->options);
    self->options.format = format;
    self->options.path = self->path;
    self->set = (rub_sparse_set_t *)&self->err; /* must be set */
    return rub_sparse_set_open(&self->options, &self->set, &self->err);
}

static inline void sparse_file_fini(sparse_file_t *self)
{
    rub_sparse_set_close(&self->set);
    assert_null(self->set);
    unlink(self->path);
}

/* A text that is refused, and what the sentence says of it. */
typedef struct bad_file {
    const char *text;
    const char *place, *words;
} bad_file_t;

/* rc: of opening the file. It must name file, place and fact, leave no set, and mean exit code 4.
 */
static inline void sparse_file_assert_refused(sparse_file_t *self, int rc, const bad_file_t *bad)
{
    if (rc != RUB_EDATA || strstr(self->err.message, bad->place) == NULL ||
        strstr(self->err.message, bad->words) == NULL ||
        strstr(self->err.message, self->path) == NULL) {
        fail_msg("'%.40s': %s '%s', expected '%s' and '%s'", bad->text, rub_error_name(rc),
                 self->err.message, bad->place, bad->words);
    }
    assert_null(self->set);
    assert_int_equal(rub_error_exit_code(rc), 4);
    unlink(self->path);
}

/* The set of this text, which must be good. */
static inline void sparse_file_init(sparse_file_t *self, const char *format, const char *text)
{
    if (sparse_file_open(self, format, text, strlen(text), "wbT") != 0) {
        fail_msg("%s", self->err.message);
    }
}

#endif
