/* AdaRevision's second half (McMahan & Streeter, NIPS 2014): its step wants, beside a gradient, the
 * sum of those that were applied since the gradient's rank was given the weights. In the paper a
 * worker sends back the sum that it read; here the shard notes it at each pull, so that workers are
 * those of any optimizer.
 *
 * Invariant: a step depends on its record and the rows alone. What ranks were given is of this
 * process and forgotten in a crash; so what it comes to stands in the record, beside the gradient
 * (REVISION, twice as many values). It is 0 where nothing was applied meanwhile, where nobody knows
 * what the rank was given, and where a sum has overflown; a push with nothing else is a PUSH like
 * any other and counts as punctual. Replays, snapshots and recoveries read records and know nothing
 * of this file.
 *
 * Its own pushes count: a rank that pushes a row twice in a period has taken both gradients at the
 * same weights. */
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/mutant.h"
#include "common/num/compensation.h"
#include "common/num/kernels.h"
#include "common/num/optimizer.h"
#include "ps/shard_internal.h"

static bool has_sums(const rub_ptable_t *table)
{
    return table && rub_optimizer_find(rub_ptable_schema(table)->optimizer)->revises;
}

bool rub_shard_revises(const rub_shard_t *self, const rub_ptable_t *table)
{
    return has_sums(table) && !rub_shard_is_bsp(self);
}

static size_t row_floats(const rub_ptable_t *table)
{
    const rub_table_view_t *schema = rub_ptable_schema(table);
    return schema->kind == RUB_DENSE ? RUB_BLOCK : schema->width;
}

static void tell_no_room(rub_shard_t *self, const rub_ptable_t *table)
{
    bool *const told = &self->sums_told[rub_ptable_schema(table)->id];
    if (!*told) {
        *told = true;
        RUB_SHARD_NOTICE(self,
                         "table '%s': late gradients count as punctual: no memory to keep what a "
                         "rank was given, which may take half of the %zu bytes that are left",
                         rub_ptable_schema(table)->name, rub_shard_memory_left(self));
    }
}

/* Half of what is left: or each row that is new would have to take it back. */
static size_t room_of(const rub_shard_t *self)
{
    return rub_shard_memory_left(self) / 2;
}

/* Of blocks that are given whole: a part of one says nothing about the rest of it. One that has its
 * place is renewed even where there is no room for another. */
static bool note_blocks(rub_shard_t *self, const rub_ptable_t *table, const rub_rows_t *rows,
                        rub_sums_copy_t *copy)
{
    const uint64_t elements = rub_ptable_schema(table)->elements;
    const uint64_t end = rows->first + rows->count;
    bool noted = true;
    for (uint64_t block = (rows->first + RUB_BLOCK - 1) / RUB_BLOCK; block * RUB_BLOCK < end;
         block++) {
        const uint64_t first = block * RUB_BLOCK;
        const uint64_t left = elements - first;
        const rub_rows_t whole = {
            .is_range = true, .first = first, .count = left < RUB_BLOCK ? left : RUB_BLOCK};
        if (first + whole.count > end) {
            break;
        }
        float *sums = rub_sums_note(&self->seen_sums, copy, block, room_of(self));
        noted = noted && sums;
        if (sums) {
            rub_ptable_sums(table, &whole, sums);
        }
    }
    return noted;
}

static bool note_rows(rub_shard_t *self, const rub_ptable_t *table, const rub_rows_t *rows,
                      rub_sums_copy_t *copy)
{
    const size_t width = copy->width;
    float *now = rub_arena_alloc(&self->scratch, rows->n_keys * width * sizeof(*now));
    bool noted = true;
    if (!now) {
        rub_shard_fail(self, RUB_ENOMEM);
        return true;
    }
    rub_ptable_sums(table, rows, now);
    for (size_t i = 0; i < rows->n_keys; i++) {
        const uint64_t key = rub_get_u64(rows->keys + 8 * i);
        float *sums = rub_sums_note(&self->seen_sums, copy, key, room_of(self));
        noted = noted && sums;
        if (sums) {
            memcpy(sums, now + i * width, width * sizeof(*sums));
        }
    }
    rub_arena_reset(&self->scratch);
    return noted;
}

void rub_shard_note_sums(rub_shard_t *self, uint32_t rank, const rub_ptable_t *table,
                         const rub_rows_t *rows, uint64_t clock)
{
    const rub_member_t *member = rub_members_find(&self->members, rank);
    if (!member || !rub_shard_revises(self, table)) {
        return;
    }
    const rub_sums_key_t key = {.table = rub_ptable_schema(table)->id,
                                .rank = rank,
                                .epoch = member->epoch,
                                .clock = clock};
    bool full;
    rub_sums_copy_t *copy =
        rub_sums_open(&self->seen_sums, &key, member->done, row_floats(table), &full);
    if (copy) {
        full = rows->is_range ? !note_blocks(self, table, rows, copy)
                              : !note_rows(self, table, rows, copy);
    }
    if (full) {
        tell_no_room(self, table);
    }
}

void rub_shard_forget_sums(rub_shard_t *self, const rub_delete_record_t *record)
{
    if (!RUB_MUTANT(SUMS_OUTLIVE_ROWS)) {
        rub_sums_restart(&self->seen_sums, record->table, record->keys, record->n_keys);
    }
}

/* Makes of the sums of now, row by row, what has come since the rank was given them. Whether that
 * is anything at all. */
static bool take_off(const rub_ptable_t *table, const rub_sums_copy_t *copy, const rub_rows_t *rows,
                     float *now)
{
    bool any = false;
    if (rows->is_range) {
        const uint64_t end = rows->first + rows->count;
        for (uint64_t at = rows->first; at < end; at += RUB_BLOCK) {
            const size_t n = end - at < RUB_BLOCK ? (size_t)(end - at) : RUB_BLOCK;
            any = rub_applied_since(now + (at - rows->first), rub_sums_find(copy, at / RUB_BLOCK),
                                    n) ||
                  any;
        }
        return any;
    }
    const size_t width = rub_ptable_schema(table)->width;
    for (size_t i = 0; i < rows->n_keys; i++) {
        const uint64_t key = rub_get_u64(rows->keys + 8 * i);
        any = rub_applied_since(now + i * width, rub_sums_find(copy, key), width) || any;
    }
    return any;
}

/* The record's values as float32, and behind them the sums. */
static bool lay_down(rub_shard_t *self, rub_record_t *record, const rub_push_view_t *push,
                     const float *since)
{
    const size_t n_bytes = push->n_values * sizeof(float);
    const bool plain = rub_codec_of_flags(record->flags) == RUB_CODEC_F32;
    float *sums = rub_arena_alloc(&self->turn, n_bytes);
    float *values = plain ? NULL : rub_arena_alloc(&self->turn, n_bytes);
    if (!sums || (!plain && !values)) {
        rub_shard_fail(self, RUB_ENOMEM);
        return false;
    }
    memcpy(sums, since, n_bytes);
    record->since = (const uint8_t *)sums;
    if (!plain) {
        memcpy(values, push->values, n_bytes);
        record->flags &= ~(uint32_t)RUB_FLAG_CODEC;
        record->values = (const uint8_t *)values;
        record->values_bytes = n_bytes;
    }
    return true;
}

bool rub_shard_revise(rub_shard_t *self, rub_record_t *record)
{
    const rub_ptable_t *table = rub_shard_table(self, record->table);
    const rub_sums_key_t key = {.table = record->table,
                                .rank = record->rank,
                                .epoch = record->epoch,
                                .clock = record->clock};
    const rub_sums_copy_t *copy =
        rub_shard_revises(self, table) ? rub_sums_of(&self->seen_sums, &key) : NULL;
    if (!copy) {
        return false;
    }
    const rub_frame_t frame = rub_record_frame(record);
    rub_push_view_t push;
    const int rc = rub_shard_read_push(self, &frame, table, &push, NULL);
    RUB_ASSERT(rc == 0); /* it was judged */
    bool revised = false;
    float *since = rub_arena_alloc(&self->scratch, push.n_values * sizeof(*since));
    if (!since) {
        rub_shard_fail(self, RUB_ENOMEM);
    } else {
        rub_ptable_sums(table, &push.rows, since);
        revised = take_off(table, copy, &push.rows, since) && lay_down(self, record, &push, since);
    }
    rub_arena_reset(&self->scratch);
    return revised;
}

int rub_shard_check_revision(const rub_shard_t *self, const rub_record_t *record,
                             const rub_ptable_t *table, rub_error_t *err)
{
    if (!record->since) {
        return 0;
    }
    if (!rub_shard_revises(self, table) || rub_codec_of_flags(record->flags) != RUB_CODEC_F32) {
        return rub_fail(err, RUB_ECORRUPT,
                        "table '%s' of optimizer %u takes no REVISION with flags %x%s",
                        rub_ptable_schema(table)->name, rub_ptable_schema(table)->optimizer,
                        record->flags, rub_shard_is_bsp(self) ? " under bsp" : "");
    }
    if (!rub_all_finite((const float *)(const void *)record->since,
                        record->values_bytes / sizeof(float))) {
        return rub_fail(err, RUB_ECORRUPT, "table '%s': a sum of a REVISION is NaN or infinite",
                        rub_ptable_schema(table)->name);
    }
    return 0;
}
