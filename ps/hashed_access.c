/* What messages do to the rows of a hashed table: a pull copies them in the order of its keys, a
 * push steps each once.
 *
 * Both walk: keys whose rows follow each other in a chunk are taken along the rows, all others are
 * looked up ahead of their use (ps/row_lookup.h). Invariants: a pull stores nothing; what an
 * earlier key of a push did (the same key, a partition that moved) is seen by the later ones; a row
 * whose chunk was loaded with the record's lsn or more is passed over, its gradient too. Rows are
 * stepped up to RUB_ROWS_TOGETHER at a time, in the order of their keys.
 *
 * A table may admit new rows by a draw (McMahan et al., "Ad click prediction: a view from the
 * trenches", KDD 2013, 4.1: Poisson inclusion): it costs no memory for the keys that are kept out,
 * where counting them would. The draw depends on nothing but the job, the key and the clock in the
 * record, so a replay admits what was admitted, without a record of it: to a row that is not there
 * a push does in a replay what it did then, and of a row that a loaded chunk has already every
 * older push is passed over.
 *
 * Or it counts pushes (ps/push_counts.h) and admits a key at its Nth. Counts are stored as of the
 * redo point, and rows may be younger: a push to a row that the store has was perhaps one to a key
 * without a row. So a replay counts every push; why that is right whatever the row was, is said
 * there. */
#include "common/base/bytes.h"
#include "common/base/mutant.h"
#include "ps/hashed_rows.h"
#include "ps/row_lookup.h"

/* Bits [from, from + n). */
static void set_bits(uint8_t *bits, size_t from, size_t n)
{
    for (; n > 0 && from % 8 != 0; from++, n--) {
        bits[from / 8] = (uint8_t)(bits[from / 8] | 1u << (from % 8));
    }
    memset(bits + from / 8, 0xff, n / 8);
    if (n % 8 != 0) {
        bits[from / 8 + n / 8] = (uint8_t)((1u << (n % 8)) - 1);
    }
}

/* Where pulled rows go. */
typedef struct target {
    float *values;
    const uint32_t *positions; /* NULL: one behind the other */
    uint32_t width;
} target_t;

static float *target_of(const target_t *target, size_t i)
{
    return target->values + (target->positions ? target->positions[i] : i) * target->width;
}

/* Keys from i on until all are answered, or their rows follow each other. Returns the next key. */
static size_t pull_probed(const rub_ptable_t *self, const rub_rows_t *rows, size_t i,
                          rub_follow_t *follow, const target_t *target, uint8_t *exists)
{
    const uint32_t width = self->schema.width;
    const uint8_t *keys = rows->keys + 8 * i;
    const size_t n = rows->n_keys - i;
    const size_t used_bytes = self->hashed.weights_at + width * sizeof(float);
    rub_lookahead_t lookahead;
    bool followed = false;
    size_t k = 0;
    rub_lookahead_open(&lookahead, self, keys, n, used_bytes);
    for (; k < n && !followed; k++) {
        const rub_probe_t *probe = rub_lookahead_take(&lookahead, self, keys, n, used_bytes, k);
        float *out = target_of(target, i + k);
        uint8_t *bytes;
        const uint32_t row = rub_probe_settle(self, probe, &bytes);
        if (row == RUB_INDEX_NONE) {
            rub_initializer_fill_row(&self->initializer, probe->key, width, out);
            *follow = (rub_follow_t){0};
            continue;
        }
        rub_row_copy(out, rub_row_weights(self, bytes), width);
        if (exists != NULL) {
            set_bits(exists, i + k, 1);
        }
        followed = rub_followed(follow, row);
    }
    return i + k;
}

static void pull_found(const rub_ptable_t *self, const rub_rows_t *rows, size_t used_bytes,
                       const target_t *target, uint8_t *exists)
{
    for (size_t i = 0; i < rows->n_keys; i++) {
        uint8_t *row = rub_row_at(self, rub_found_take(self, rows, i, used_bytes));
        rub_row_copy(target_of(target, i), rub_row_weights(self, row), target->width);
    }
    if (exists != NULL) {
        set_bits(exists, 0, rows->n_keys);
    }
}

void rub_hashed_pull(const rub_ptable_t *self, const rub_rows_t *rows, const uint32_t *positions,
                     float *values, uint8_t *exists)
{
    const uint32_t width = self->schema.width;
    const target_t target = {.values = values, .positions = positions, .width = width};
    const size_t used_bytes = self->hashed.weights_at + width * sizeof(float);
    if (rub_found_begin(self, rows, used_bytes)) {
        pull_found(self, rows, used_bytes, &target, exists);
        return;
    }
    rub_found_seek(self, rows);
    if (exists != NULL) {
        memset(exists, 0, (rows->n_keys + 7) / 8);
    }
    for (size_t i = 0; i < rows->n_keys;) {
        rub_follow_t follow = {0};
        i = pull_probed(self, rows, i, &follow, &target, exists);
        size_t n;
        while ((n = rub_rows_follow(self, follow.next, rows, i, used_bytes)) > 0) {
            uint8_t *bytes = rub_row_at(self, follow.next);
            for (size_t k = 0; k < n; k++, bytes += self->hashed.row_bytes) {
                rub_row_copy(target_of(&target, i + k), rub_row_weights(self, bytes), width);
            }
            if (exists != NULL) {
                set_bits(exists, i, n);
            }
            follow.next += (uint32_t)n;
            i += n;
        }
    }
}

/* Beside a pull that has just found most of these rows: they are in the caches. */
void rub_hashed_sums(const rub_ptable_t *self, const rub_rows_t *rows, float *sums)
{
    const uint32_t width = self->schema.width;
    const size_t used_bytes = self->hashed.weights_at + 2 * width * sizeof(float);
    rub_lookahead_t lookahead;
    rub_lookahead_open(&lookahead, self, rows->keys, rows->n_keys, used_bytes);
    for (size_t i = 0; i < rows->n_keys; i++, sums += width) {
        const rub_probe_t *probe =
            rub_lookahead_take(&lookahead, self, rows->keys, rows->n_keys, used_bytes, i);
        uint8_t *bytes;
        if (rub_probe_settle(self, probe, &bytes) == RUB_INDEX_NONE) {
            memset(sums, 0, width * sizeof *sums);
        } else {
            rub_row_copy(sums, rub_row_weights(self, bytes) + width, width);
        }
    }
}

/* Rows that a push has found and not yet stepped: an optimizer takes them together. */
typedef struct batch {
    float *rows[RUB_ROWS_TOGETHER]; /* their weights */
    size_t n;
    const float *gradient; /* of the first; the others' stand behind it */
    const float *since;    /* likewise; NULL: zeros */
} batch_t;

static void batch_skip(batch_t *batch, size_t n_floats)
{
    batch->gradient += n_floats;
    batch->since = batch->since ? batch->since + n_floats : NULL;
}

static uint32_t next_step(const rub_ptable_t *self, const float *weights)
{
    uint8_t *place = (uint8_t *)(uintptr_t)weights - self->hashed.weights_at + sizeof(uint64_t);
    uint32_t step;
    memcpy(&step, place, sizeof step);
    step += step < UINT32_MAX;
    memcpy(place, &step, sizeof step);
    return step;
}

static void batch_step(const rub_ptable_t *self, batch_t *batch)
{
    const rub_optimizer_t *optimizer = self->optimizer;
    const uint32_t width = self->schema.width;
    if (!optimizer->needs_step) {
        rub_optimizer_apply_rows(optimizer, batch->rows, batch->n, width, &self->timed,
                                 batch->gradient, batch->since);
    }
    for (size_t i = 0; optimizer->needs_step && i < batch->n; i++) {
        float *weights = batch->rows[i];
        rub_optimizer_apply(optimizer, weights, weights + width, width, next_step(self, weights),
                            &self->timed, batch->gradient + i * width);
    }
    batch_skip(batch, batch->n * width);
    batch->n = 0;
}

/* Pushes of n keys whose rows stand side by side. */
static void count_again(rub_ptable_t *self, uint32_t row, size_t n)
{
    const uint8_t *bytes = rub_row_at(self, row);
    for (size_t i = 0; i < n; i++, bytes += self->hashed.row_bytes) {
        const uint64_t hash = rub_placement_hash(&self->placement, rub_row_key_at(bytes));
        (void)rub_push_counts_add(&self->hashed.counts, hash);
    }
}

/* The next n <= RUB_ROWS_TOGETHER keys are of n rows that stand side by side in a chunk. */
static void batch_add(rub_ptable_t *self, batch_t *batch, uint32_t row, size_t n, uint64_t lsn)
{
    const size_t index = row >> self->hashed.rows_shift;
    if (self->recovering && self->hashed.counts.most > 0 && !RUB_MUTANT(COUNTS_SKIPPED)) {
        count_again(self, row, n);
    }
    if (batch->n + n > RUB_ROWS_TOGETHER) {
        batch_step(self, batch);
    }
    if (!rub_chunks_lacks(&self->chunks, index, lsn) && !RUB_MUTANT(REDO_BLIND)) {
        batch_step(self, batch);
        batch_skip(batch, n * self->schema.width);
        return;
    }
    rub_chunks_touch(&self->chunks, index, lsn);
    uint8_t *bytes = rub_row_at(self, row);
    for (size_t i = 0; i < n; i++, bytes += self->hashed.row_bytes) {
        batch->rows[batch->n++] = rub_row_weights(self, bytes);
        if (self->hashed.stamp_at > 0) {
            rub_row_set_stamp(self, bytes, false);
        }
    }
}

static bool draws(const rub_ptable_t *self, uint64_t key)
{
    const uint64_t table = rub_mix64(self->initializer.seed ^ self->placement.salt);
    const uint64_t draw = rub_mix64(rub_mix64(table ^ rub_mix64(key)) + rub_mix64(self->clock + 1));
    return (double)(draw >> 11) * 0x1p-53 < self->schema.admit_probability;
}

/* Whether a push of the present clock may make a row for the key. A probability of 0 is the same
 * as 1. */
static bool admits(rub_ptable_t *self, uint64_t key, uint64_t hash)
{
    const bool in = self->hashed.counts.most > 0 ? rub_push_counts_add(&self->hashed.counts, hash)
                    : self->schema.admit_probability > 0 ? draws(self, key)
                                                         : true;
    self->n_not_admitted += !in;
    return in;
}

/* What an earlier key of the message did (the same key, a partition that moved) is seen: rows stay
 * where they are, and what was missing is looked up again. RUB_INDEX_NONE: there is no row, and
 * none is admitted. */
static int probe_push(rub_ptable_t *self, const rub_probe_t *probe, uint32_t *row_p,
                      rub_error_t *err)
{
    uint8_t *bytes;
    uint32_t at;
    *row_p = rub_probe_settle(self, probe, &bytes);
    if (*row_p == RUB_INDEX_NONE) {
        *row_p = rub_row_find(self, probe->key, probe->hash, &at);
    }
    if (*row_p != RUB_INDEX_NONE || !admits(self, probe->key, probe->hash)) {
        return 0;
    }
    return rub_row_create(self, probe->key, probe->hash, row_p, err);
}

/* Keys from *i_p on until all have their rows in the batch, or their rows follow each other. *i_p:
 * the next key. */
static int push_probed(rub_ptable_t *self, const rub_rows_t *rows, size_t *i_p,
                       rub_follow_t *follow, batch_t *batch, uint64_t lsn, rub_error_t *err)
{
    const uint8_t *keys = rows->keys + 8 * *i_p;
    const size_t n = rows->n_keys - *i_p;
    const size_t row_bytes = self->hashed.row_bytes;
    rub_lookahead_t lookahead;
    bool followed = false;
    size_t k = 0;
    rub_lookahead_open(&lookahead, self, keys, n, row_bytes);
    for (; k < n && !followed; k++) {
        const rub_probe_t *probe = rub_lookahead_take(&lookahead, self, keys, n, row_bytes, k);
        const uint64_t n_moves = self->hashed.index.n_moves;
        uint32_t row;
        const int rc = probe_push(self, probe, &row, err);
        if (rc != 0) {
            return rc;
        }
        if (row == RUB_INDEX_NONE) { /* not admitted */
            batch_step(self, batch);
            batch_skip(batch, self->schema.width);
            *follow = (rub_follow_t){0};
            continue;
        }
        batch_add(self, batch, row, 1, lsn);
        followed = rub_followed(follow, row);
        if (self->hashed.index.n_moves != n_moves) {
            rub_lookahead_renew(&lookahead, self, keys, n, k);
        }
    }
    *i_p += k;
    return 0;
}

int rub_hashed_push(rub_ptable_t *self, const rub_push_view_t *push, uint64_t lsn, rub_error_t *err)
{
    const size_t row_bytes = self->hashed.row_bytes;
    batch_t batch = {.gradient = push->values, .since = push->since};
    if (rub_found_begin(self, &push->rows, row_bytes)) {
        for (size_t i = 0; i < push->rows.n_keys; i++) {
            batch_add(self, &batch, rub_found_take(self, &push->rows, i, row_bytes), 1, lsn);
        }
        batch_step(self, &batch);
        return 0;
    }
    for (size_t i = 0; i < push->rows.n_keys;) {
        rub_follow_t follow = {0};
        const int rc = push_probed(self, &push->rows, &i, &follow, &batch, lsn, err);
        if (rc != 0) {
            return rc;
        }
        size_t n;
        while ((n = rub_rows_follow(self, follow.next, &push->rows, i, row_bytes)) > 0) {
            batch_add(self, &batch, follow.next, n, lsn);
            follow.next += (uint32_t)n;
            i += n;
        }
    }
    batch_step(self, &batch);
    rub_found_seek(self, &push->rows);
    return 0;
}
