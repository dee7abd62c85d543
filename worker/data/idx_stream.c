/* Reading features once, in bounded memory. What a data set in memory refuses (idx_reader.c) is
 * refused here, too, though later: when it is come to. */
#include "worker/data/idx_stream.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/dataset.h"
#include "worker/data/idx_header.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct rub_idx_stream {
    const char *path;
    rub_packed_file_t *file;
    rub_idx_header_t header;
    uint64_t at; /* examples read */
    uint8_t *raw;
    size_t raw_bytes;
};

int rub_idx_stream_open(const char *path, rub_idx_stream_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_idx_stream_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", path);
    }
    self->path = path;
    int rc = rub_packed_file_open(path, &self->file, err);
    rc = rc ? rc : rub_idx_header_read(self->file, path, &self->header, err);
    if (rc == 0 && self->header.type != RUB_IDX_UBYTE && self->header.type != RUB_IDX_FLOAT32) {
        rc = rub_fail(err, RUB_EDATA,
                      "features file '%s' has IDX type 0x%02x, expected 0x08 (ubyte) or 0x0d "
                      "(float32)",
                      path, self->header.type);
    }
    if (rc) {
        rub_idx_stream_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_idx_stream_close(rub_idx_stream_t **self_p)
{
    rub_idx_stream_t *self = *self_p;
    if (self != NULL) {
        rub_packed_file_close(&self->file);
        rub_free(self->raw);
        rub_free(self);
        *self_p = NULL;
    }
}

size_t rub_idx_stream_width(const rub_idx_stream_t *self)
{
    return (size_t)self->header.width;
}

void rub_idx_stream_image(const rub_idx_stream_t *self, uint32_t image[3])
{
    const bool flat = self->header.image[0] == 0;
    for (size_t i = 0; i < 3; i++) {
        image[i] = flat ? 1 : self->header.image[i];
    }
    image[2] = flat ? (uint32_t)self->header.width : image[2];
}

static int convert(const rub_idx_stream_t *self, size_t n, float *x, rub_error_t *err)
{
    const size_t width = (size_t)self->header.width;
    for (size_t i = 0; i < n * width; i++) {
        if (self->header.type == RUB_IDX_UBYTE) {
            x[i] = (float)self->raw[i] / 255.0f;
            continue;
        }
        const uint32_t word = rub_idx_u32(self->raw + 4 * i);
        memcpy(&x[i], &word, sizeof word);
        if (!isfinite(x[i])) {
            return rub_fail(err, RUB_EDATA,
                            "features file '%s': feature %zu of example %" PRIu64 " is not finite",
                            self->path, i % width, self->at + i / width);
        }
    }
    return 0;
}

int rub_idx_stream_next(rub_idx_stream_t *self, size_t most, float *x, size_t *n_p,
                        rub_error_t *err)
{
    const uint64_t left = self->header.n_examples - self->at;
    const size_t n = left < most ? (size_t)left : most;
    const size_t item_bytes = self->header.type == RUB_IDX_UBYTE ? 1 : sizeof(float);
    const size_t bytes = n * (size_t)self->header.width * item_bytes;
    *n_p = n;
    if (n == 0) {
        return rub_packed_file_expect_end(self->file, err);
    }
    if (rub_grow(&self->raw, &self->raw_bytes, bytes, 1) != 0) {
        return rub_fail(err, RUB_ENOMEM, "data file '%s': no memory for %zu examples", self->path,
                        n);
    }
    int rc = rub_packed_file_read(self->file, self->raw, bytes, err);
    rc = rc ? rc : convert(self, n, x, err);
    self->at += n;
    return rc;
}
