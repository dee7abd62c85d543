/* The bare loops of bench_arrays.h. They look AHEAD rows ahead in the list of rows and fetch them
 * whole: enough to keep as many lines under way as a core can, not so many that they push each
 * other out. */
#include "cli/bench_arrays.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <string.h>
#include <sys/mman.h>

enum { AHEAD = 12, LINE_BYTES = 64 };

int rub_bench_array_open(rub_bench_array_t *self, rub_bench_level_t level, uint64_t n_rows,
                         size_t width, const rub_optimizer_t *optimizer, rub_error_t *err)
{
    *self = (rub_bench_array_t){
        .level = level,
        .n_rows = n_rows,
        .width = width,
        .row_floats = rub_optimizer_floats(optimizer, width),
        .optimizer = optimizer,
    };
    rub_hyper_defaults(&self->hyper);
    self->bytes = n_rows * self->row_floats * sizeof(float);
    void *memory = rub_region_alloc(self->bytes); /* advised for huge pages */
    if (memory == NULL) {
        return rub_fail(err, RUB_ENOMEM, "no memory for an array of %zu bytes", self->bytes);
    }
    if (level != RUB_BENCH_HUGE) {
        (void)madvise(memory, self->bytes, MADV_NOHUGEPAGE);
    }
    memset(memory, 0, self->bytes);
    self->rows = memory;
    return 0;
}

void rub_bench_array_close(rub_bench_array_t *self)
{
    rub_region_free(self->rows, self->bytes);
    *self = (rub_bench_array_t){0};
}

static inline float *row_at(const rub_bench_array_t *self, uint64_t row)
{
    return self->rows + row * self->row_floats;
}

static inline void fetch(const float *row, size_t bytes)
{
    for (size_t offset = 0; offset < bytes; offset += LINE_BYTES) {
        __builtin_prefetch((const char *)row + offset, 0, 2); /* as ps/row_lookup.h does */
    }
}

static inline void gather(const rub_bench_array_t *self, const uint64_t *keys, size_t n,
                          float *values, size_t width, bool prefetch)
{
    for (size_t i = 0; i < n; i++, values += width) {
        if (prefetch && i + AHEAD < n) {
            fetch(row_at(self, keys[i + AHEAD]), width * sizeof(float));
        }
        memcpy(values, row_at(self, keys[i]), width * sizeof(float));
    }
}

void rub_bench_array_gather(const rub_bench_array_t *self, const uint64_t *keys, size_t n,
                            float *values)
{
    const bool prefetch = self->level != RUB_BENCH_PLAIN;
    if (self->width == 64) { /* the compiler knows the copy's length */
        gather(self, keys, n, values, 64, prefetch);
    } else if (self->width == 16) {
        gather(self, keys, n, values, 16, prefetch);
    } else {
        gather(self, keys, n, values, self->width, prefetch);
    }
}

void rub_bench_array_apply(rub_bench_array_t *self, const uint64_t *keys, size_t n,
                           const float *gradients)
{
    const bool prefetch = self->level != RUB_BENCH_PLAIN;
    for (size_t i = 0; i < n; i++, gradients += self->width) {
        if (prefetch && i + AHEAD < n) {
            fetch(row_at(self, keys[i + AHEAD]), self->row_floats * sizeof(float));
        }
        float *row = row_at(self, keys[i]);
        rub_optimizer_apply(self->optimizer, row, row + self->width, self->width, 1, &self->hyper,
                            gradients);
    }
}
