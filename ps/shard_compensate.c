/* Delay compensation: a late gradient becomes what it would be at the weights of now, as far as a
 * first-order guess from the weights that its rank was given goes (common/num/compensation.h).
 *
 * Invariant: the record holds the gradient that is applied. What a rank was given is of this
 * process alone and forgotten in a crash: from then on, until the rank pulls again, its gradients
 * are applied as they came, and so is one that no copy is known for, or whose compensation would
 * not be finite. Replays, snapshots and recoveries read records and know nothing of this file. */
#include "common/base/check.h"
#include "common/num/compensation.h"
#include "common/num/kernels.h"
#include "ps/shard_internal.h"

static bool is_compensated(const rub_shard_t *self, const rub_ptable_t *table)
{
    const rub_table_view_t *schema = table ? rub_ptable_schema(table) : NULL;
    return schema && schema->kind == RUB_DENSE && !rub_shard_is_bsp(self) &&
           (schema->delay == RUB_DELAY_COMPENSATES || schema->delay == RUB_DELAY_ADAPTS);
}

static void tell_no_room(rub_shard_t *self, const rub_ptable_t *table, uint64_t n_elements)
{
    if (rub_seen_tell(&self->seen, rub_ptable_schema(table)->id)) {
        RUB_SHARD_NOTICE(self,
                         "table '%s': late gradients are applied as they come: %llu bytes to keep "
                         "what a rank was given, %zu are left",
                         rub_ptable_schema(table)->name,
                         (unsigned long long)n_elements * sizeof(float),
                         rub_shard_memory_left(self));
    }
}

void rub_shard_note_given(rub_shard_t *self, uint32_t rank, const rub_ptable_t *table,
                          const rub_rows_t *rows, uint64_t clock)
{
    const rub_member_t *member = rub_members_find(&self->members, rank);
    if (!member || !is_compensated(self, table)) {
        return;
    }
    uint64_t first, n;
    rub_ptable_run(table, &first, &n);
    const rub_seen_key_t key = {.table = rub_ptable_schema(table)->id,
                                .rank = rank,
                                .epoch = member->epoch,
                                .clock = clock};
    bool full;
    rub_seen_copy_t *copy =
        rub_seen_open(&self->seen, &key, member->done, n, rub_shard_memory_left(self), &full);
    if (copy) {
        rub_ptable_pull(table, rows, rub_seen_fill(copy, n, rows->first - first, rows->count),
                        NULL);
    } else if (full) {
        tell_no_room(self, table, n);
    }
}

size_t rub_shard_recorded_bytes(const rub_shard_t *self, const rub_frame_t *frame)
{
    const rub_ptable_t *table = rub_shard_table(self, frame->header.table);
    const bool revises = rub_shard_revises(self, table);
    rub_rows_t rows;
    if ((!revises && !is_compensated(self, table)) || rub_rows_read(frame, &rows, NULL) != 0) {
        return frame->values_bytes;
    }
    const uint64_t width = rub_ptable_schema(table)->width;
    const uint64_t n = rows.is_range ? rows.count : rows.n_keys * width;
    if (n > RUB_MESSAGE_LIMIT / sizeof(float)) {
        return frame->values_bytes; /* it will be refused */
    }
    const size_t plain = (size_t)n * sizeof(float);
    if (revises) {
        return 2 * plain > frame->values_bytes ? 2 * plain : frame->values_bytes;
    }
    return rub_codec_of_flags(frame->header.flags) != RUB_CODEC_F32 ? plain : frame->values_bytes;
}

/* The push's values as of now in out; false: nothing is known of what its rank saw. now: a block's
 * room. */
static bool compensate(rub_shard_t *self, const rub_ptable_t *table, const rub_push_view_t *push,
                       const rub_seen_key_t *key, float *now, float *out)
{
    const rub_table_view_t *schema = rub_ptable_schema(table);
    const float lambda = (float)schema->delay_lambda;
    uint64_t first, n_elements;
    bool any = false;
    rub_ptable_run(table, &first, &n_elements);
    float *squares = schema->delay == RUB_DELAY_ADAPTS
                         ? rub_seen_squares(&self->seen, key->table, rub_shard_memory_left(self))
                         : NULL;
    const float *gradient = push->values;
    const uint64_t end = push->rows.first + push->rows.count;
    for (uint64_t at = push->rows.first; at < end; at += RUB_BLOCK) {
        const size_t n = end - at < RUB_BLOCK ? (size_t)(end - at) : RUB_BLOCK;
        const float *seen = rub_seen_block(&self->seen, key, (at - first) / RUB_BLOCK);
        const rub_rows_t block = {.is_range = true, .first = at, .count = n};
        rub_ptable_pull(table, &block, now, NULL);
        if (squares) {
            rub_compensate_adaptive(out, gradient, now, seen, squares + (at - first), n, lambda);
        } else if (seen && schema->delay == RUB_DELAY_COMPENSATES) {
            rub_compensate(out, gradient, now, seen, n, lambda);
        } else {
            memcpy(out, gradient, n * sizeof(*out));
        }
        any = any || seen;
        gradient += n;
        out += n;
    }
    return any;
}

void rub_shard_compensate(rub_shard_t *self, rub_record_t *record)
{
    const rub_ptable_t *table = rub_shard_table(self, record->table);
    if (!is_compensated(self, table)) {
        return;
    }
    const rub_frame_t frame = rub_record_frame(record);
    const rub_seen_key_t key = {.table = record->table,
                                .rank = record->rank,
                                .epoch = record->epoch,
                                .clock = record->clock};
    rub_push_view_t push;
    const int rc = rub_shard_read_push(self, &frame, table, &push, NULL);
    RUB_ASSERT(rc == 0); /* it was judged */
    float *now = rub_arena_alloc(&self->scratch, RUB_BLOCK * sizeof(*now));
    float *out = rub_arena_alloc(&self->turn, push.n_values * sizeof(*out));
    if (!now || !out) {
        rub_shard_fail(self, RUB_ENOMEM);
    } else if (compensate(self, table, &push, &key, now, out) &&
               rub_all_finite(out, push.n_values)) {
        record->flags &= ~(uint32_t)RUB_FLAG_CODEC;
        record->values = (const uint8_t *)out;
        record->values_bytes = push.n_values * sizeof(*out);
    }
    rub_arena_reset(&self->scratch);
}

static bool lives(const void *context, uint32_t rank, uint32_t epoch)
{
    const rub_shard_t *self = context;
    const rub_member_t *member = rub_members_find(&self->members, rank);
    return member && member->epoch == epoch && member->state == RUB_RANK_LIVE && !member->bye;
}

void rub_shard_forget_gone(rub_shard_t *self)
{
    rub_seen_forget_gone(&self->seen, lives, self);
    rub_sums_forget_gone(&self->seen_sums, lives, self);
}
