/* Bsp: one optimizer step per touched row and period, with the sum of what all ranks pushed.
 *
 * Float addition does not associate, so the order is fixed: the caller's (rank, then seq). The fold
 * follows, for each row, the chain of its values through all pushes in that order; the sum of a row
 * therefore has the same bits whatever other rows are on this shard, and however pushes were cut
 * into messages. Rows are then stepped in batches through the same door as any push, so that redo,
 * first touch and prefetch are the same too. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/num/kernels.h"
#include "ps/table_state.h"

enum { BATCH_ROWS = 64, BATCH_FLOATS = 16384 };
#define NONE UINT32_MAX

/* Values of a row in one push. */
typedef struct term {
    const float *values;
    uint32_t next; /* the row's term in a later push, or NONE */
} term_t;

typedef struct folded_row {
    uint64_t id; /* key, or block number */
    uint32_t first, last;
} folded_row_t;

typedef struct fold {
    term_t *terms;
    folded_row_t *rows; /* in order of first appearance */
    uint32_t *places;   /* open addressing: row + 1, 0: empty */
    uint32_t mask;
    uint32_t n_terms, n_rows;
} fold_t;

static uint64_t push_terms(const rub_push_view_t *push)
{
    return push->rows.is_range ? rub_placement_blocks(push->rows.count) : push->rows.n_keys;
}

static int fold_open(fold_t *self, const rub_push_view_t *pushes, size_t n_pushes, rub_error_t *err)
{
    uint64_t n = 0;
    for (size_t i = 0; i < n_pushes; i++) {
        n += push_terms(&pushes[i]);
    }
    if (n > UINT32_MAX / 4) {
        return rub_fail(err, RUB_ELIMIT, "a period of %llu rows, at most %u", (unsigned long long)n,
                        UINT32_MAX / 4);
    }
    uint32_t n_places = 16;
    while (n_places < 2 * n) {
        n_places *= 2;
    }
    self->mask = n_places - 1;
    self->terms = rub_calloc(n, sizeof *self->terms);
    self->rows = rub_calloc(n, sizeof *self->rows);
    self->places = rub_calloc(n_places, sizeof *self->places);
    if (self->terms == NULL || self->rows == NULL || self->places == NULL) {
        return rub_fail(err, RUB_ENOMEM, "no memory to fold a period of %llu rows",
                        (unsigned long long)n);
    }
    return 0;
}

static void fold_close(fold_t *self)
{
    rub_free(self->terms);
    rub_free(self->rows);
    rub_free(self->places);
}

static void fold_add(fold_t *self, uint64_t id, const float *values)
{
    const uint32_t term = self->n_terms++;
    self->terms[term] = (term_t){.values = values, .next = NONE};
    uint32_t at = (uint32_t)rub_mix64(id + 1) & self->mask;
    while (self->places[at] != 0 && self->rows[self->places[at] - 1].id != id) {
        at = (at + 1) & self->mask;
    }
    if (self->places[at] == 0) {
        self->rows[self->n_rows] = (folded_row_t){.id = id, .first = term, .last = term};
        self->places[at] = ++self->n_rows;
        return;
    }
    folded_row_t *row = &self->rows[self->places[at] - 1];
    self->terms[row->last].next = term;
    row->last = term;
}

static void fold_push(fold_t *self, const rub_push_view_t *push, uint32_t width)
{
    const rub_rows_t *rows = &push->rows;
    const uint64_t n = push_terms(push);
    for (uint64_t i = 0; i < n; i++) {
        if (rows->is_range) {
            fold_add(self, rows->first / RUB_BLOCK + i, push->values + i * RUB_BLOCK);
        } else {
            fold_add(self, rub_get_u64(rows->keys + 8 * i), push->values + i * width);
        }
    }
}

static void fold_sum(const fold_t *self, const folded_row_t *row, size_t n, float scale, float *sum)
{
    memcpy(sum, self->terms[row->first].values, n * sizeof *sum);
    for (uint32_t t = self->terms[row->first].next; t != NONE; t = self->terms[t].next) {
        rub_add_into(sum, self->terms[t].values, n);
    }
    rub_scale(sum, n, scale);
}

static int step_blocks(rub_ptable_t *table, const fold_t *fold, float scale, uint64_t lsn,
                       float *sums, rub_error_t *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < fold->n_rows && rc == 0; i++) {
        const uint64_t first = fold->rows[i].id * RUB_BLOCK;
        const uint64_t left = table->schema.elements - first;
        const size_t n = left < RUB_BLOCK ? (size_t)left : RUB_BLOCK;
        const rub_push_view_t step = {
            .rows = {.is_range = true, .first = first, .count = n},
            .values = sums,
            .n_values = n,
        };
        fold_sum(fold, &fold->rows[i], n, scale, sums);
        rc = table->ops->push(table, &step, lsn, err);
    }
    return rc;
}

static int step_keys(rub_ptable_t *table, const fold_t *fold, float scale, uint64_t lsn,
                     float *sums, size_t batch_rows, rub_error_t *err)
{
    const size_t width = table->schema.width;
    uint64_t keys[BATCH_ROWS];
    int rc = 0;
    for (uint32_t first = 0; first < fold->n_rows && rc == 0;) {
        const size_t left = fold->n_rows - first;
        const size_t n = left < batch_rows ? left : batch_rows;
        for (size_t i = 0; i < n; i++) {
            const folded_row_t *row = &fold->rows[first + i];
            rub_put_u64(&keys[i], row->id);
            fold_sum(fold, row, width, scale, sums + i * width);
        }
        const rub_push_view_t step = {
            .rows = {.keys = (const uint8_t *)keys, .n_keys = n},
            .values = sums,
            .n_values = n * width,
        };
        rc = table->ops->push(table, &step, lsn, err);
        first += (uint32_t)n;
    }
    return rc;
}

int rub_ptable_push_folded(rub_ptable_t *self, const rub_push_view_t *pushes, size_t n_pushes,
                           float scale, uint64_t lsn, rub_error_t *err)
{
    const bool dense = self->schema.kind == RUB_DENSE;
    const size_t width = dense ? RUB_BLOCK : self->schema.width;
    size_t batch_rows = dense ? 1 : BATCH_FLOATS / width;
    batch_rows = batch_rows < 1 ? 1 : batch_rows > BATCH_ROWS ? BATCH_ROWS : batch_rows;
    fold_t fold = {0};
    RUB_ASSERT(lsn > 0);
    if (n_pushes > 0) {
        rub_ptable_take_clock(self, pushes[0].clock, 0);
    }
    float *sums = rub_alloc(batch_rows * width * sizeof *sums);
    int rc = fold_open(&fold, pushes, n_pushes, err);
    if (rc == 0 && sums == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "no memory to fold %zu values", batch_rows * width);
    }
    if (rc != 0) {
        goto out;
    }
    for (size_t i = 0; i < n_pushes; i++) {
        fold_push(&fold, &pushes[i], self->schema.width);
    }
    rc = dense ? step_blocks(self, &fold, scale, lsn, sums, err)
               : step_keys(self, &fold, scale, lsn, sums, batch_rows, err);
out:
    fold_close(&fold);
    rub_free(sums);
    return rc;
}
