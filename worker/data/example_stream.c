/* Reading features once, in bounded memory, of any format. What a data set in memory refuses is
 * refused here, too, though later: when it is come to. */
#include "worker/data/example_stream.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/idx_stream.h"
#include "worker/data/npy_array.h"

#include <math.h>
#include <string.h>

struct rub_example_stream {
    rub_idx_stream_t *idx;  /* or */
    rub_csv_table_t *table; /* or, when both are NULL, the array */
    rub_npy_array_t array;
    rub_npy_examples_t examples;
    size_t at; /* examples read of the array */
    uint8_t *raw;
    size_t raw_bytes;
};

int rub_example_stream_open(const char *format, const char *path, const rub_csv_options_t *table,
                            rub_example_stream_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_example_stream_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", path);
    }
    int rc = 0;
    if (strcmp(format, "idx") == 0) {
        rc = rub_idx_stream_open(path, &self->idx, err);
    } else if (strcmp(format, "npy") == 0) {
        rc = rub_npy_array_open(&self->array, path, err);
        rc = rc ? rc : rub_npy_array_examples(&self->array, &self->examples, err);
    } else if (table != NULL) {
        rc = rub_csv_table_open(table, path, false, &self->table, err);
    } else {
        rc = rub_fail(err, RUB_EDATA, "data '%s' are %s, examples of a fixed width are idx or npy",
                      path, format);
    }
    if (rc) {
        rub_example_stream_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_example_stream_close(rub_example_stream_t **self_p)
{
    rub_example_stream_t *self = *self_p;
    if (self != NULL) {
        rub_idx_stream_close(&self->idx);
        rub_csv_table_close(&self->table);
        rub_npy_array_close(&self->array);
        rub_free(self->raw);
        rub_free(self);
        *self_p = NULL;
    }
}

size_t rub_example_stream_width(const rub_example_stream_t *self)
{
    return self->idx != NULL     ? rub_idx_stream_width(self->idx)
           : self->table != NULL ? rub_csv_table_width(self->table)
                                 : self->examples.width;
}

void rub_example_stream_image(const rub_example_stream_t *self, uint32_t image[3])
{
    const uint32_t *const shape = self->examples.image;
    if (self->idx != NULL) {
        rub_idx_stream_image(self->idx, image);
        return;
    }
    const bool flat = shape[0] == 0;
    image[0] = flat ? 1 : shape[0];
    image[1] = flat ? 1 : shape[1];
    image[2] = flat ? (uint32_t)rub_example_stream_width(self) : shape[2];
}

static int convert(const rub_example_stream_t *self, size_t n, float *x, rub_error_t *err)
{
    const rub_npy_header_t *const header = &self->array.header;
    const size_t width = self->examples.width;
    const float scale = header->kind == 'u' && header->item_bytes == 1 ? 255.0f : 1.0f;
    for (size_t i = 0; i < n * width; i++) {
        x[i] = (float)rub_npy_array_number(&self->array, self->raw, i) / scale;
        if (!isfinite(x[i])) {
            return rub_fail(err, RUB_EDATA,
                            "data file '%s': feature %zu of example %zu is not finite",
                            self->array.path, i % width, self->at + i / width);
        }
    }
    return 0;
}

static int next_of_array(rub_example_stream_t *self, size_t most, float *x, size_t *n_p,
                         rub_error_t *err)
{
    const size_t left = self->examples.n - self->at;
    const size_t n = left < most ? left : most;
    const size_t bytes = n * self->examples.width * self->array.header.item_bytes;
    *n_p = n;
    if (n == 0) {
        return rub_npy_array_expect_end(&self->array, err);
    }
    if (rub_grow(&self->raw, &self->raw_bytes, bytes, 1) != 0) {
        return rub_fail(err, RUB_ENOMEM, "data file '%s': no memory for %zu examples",
                        self->array.path, n);
    }
    int rc = rub_npy_array_read(&self->array, self->raw, n * self->examples.width, err);
    rc = rc ? rc : convert(self, n, x, err);
    self->at += n;
    return rc;
}

static int next_of_table(rub_example_stream_t *self, size_t most, float *x, size_t *n_p,
                         rub_error_t *err)
{
    const size_t width = rub_csv_table_width(self->table);
    int rc = 0;
    bool any = true;
    for (*n_p = 0; rc == 0 && any && *n_p < most; *n_p += rc == 0 && any) {
        rc = rub_csv_table_next(self->table, 0, x + *n_p * width, NULL, &any, err);
    }
    return rc;
}

int rub_example_stream_next(rub_example_stream_t *self, size_t most, float *x, size_t *n_p,
                            rub_error_t *err)
{
    return self->idx != NULL     ? rub_idx_stream_next(self->idx, most, x, n_p, err)
           : self->table != NULL ? next_of_table(self, most, x, n_p, err)
                                 : next_of_array(self, most, x, n_p, err);
}
