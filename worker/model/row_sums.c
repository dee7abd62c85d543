/* Slots for the rows of a step. Invariant: slot_of is NO_SLOT for every row that has none, so that
 * beginning anew costs as much as was touched, and nothing is proportional to the table. */
#include "worker/model/row_sums.h"

#include "common/base/alloc.h"

#include <string.h>

#define NO_SLOT UINT32_MAX
enum { CACHE_LINE = 64 };

bool rub_row_sums_init(rub_row_sums_t *self, size_t n_rows, size_t most, size_t width)
{
    *self = (rub_row_sums_t){.width = width};
    self->slot_of = rub_alloc(n_rows * sizeof *self->slot_of + 1);
    self->rows = rub_calloc(most + 1, sizeof *self->rows);
    self->sums = rub_alloc_aligned(CACHE_LINE, (most * width + 1) * sizeof *self->sums);
    if (self->slot_of != NULL) {
        memset(self->slot_of, 0xff, n_rows * sizeof *self->slot_of);
    }
    return self->slot_of && self->rows && self->sums;
}

void rub_row_sums_fini(rub_row_sums_t *self)
{
    rub_free(self->slot_of);
    rub_free(self->rows);
    rub_free(self->sums);
}

void rub_row_sums_begin(rub_row_sums_t *self)
{
    for (size_t i = 0; i < self->n; i++) {
        self->slot_of[self->rows[i]] = NO_SLOT;
    }
    self->n = 0;
}

float *rub_row_sums_of(rub_row_sums_t *self, uint32_t row)
{
    uint32_t slot = self->slot_of[row];
    if (slot == NO_SLOT) {
        slot = (uint32_t)self->n++;
        self->slot_of[row] = slot;
        self->rows[slot] = row;
        memset(self->sums + slot * self->width, 0, self->width * sizeof *self->sums);
    }
    return self->sums + slot * self->width;
}
