/* Deletes of rows: when a shard looks for them, and how they become records (which ones they are:
 * ps/row_eviction.c).
 *
 * A delete is a fact, not a consequence: what was named is written down key by key, and only then
 * done, so a replay deletes what was deleted, whatever it is that names rows in a later program.
 *
 * A turn looks at a bounded number of rows, of all tables together, and the next one goes on: a
 * large table that has its share due holds nobody up who has other business with the shard. What is
 * deleted a little later was idle a little longer. Bsp: all of a tick's rows are deleted before a
 * pull of that clock is answered and before its period is closed, however many turns that takes; so
 * a read sees exactly the rows of its clock, on any number of shards and after any kill. Tables
 * take turns: one that is always behind does not keep the others from their own. Without room in
 * the journal nothing is deleted. A shard that is to finish deletes nothing more; under bsp it
 * finishes when all is deleted, since the last periods may wait for that. What it has said of its
 * rows stands. */
#include "common/base/mutant.h"
#include "ps/shard_internal.h"

#define KEYS_OF_RECORD 4096u

static bool is_pending(const rub_shard_t *self)
{
    return rub_shard_swept(self) < rub_shard_sweep_due(self);
}

uint64_t rub_shard_swept(const rub_shard_t *self)
{
    uint64_t swept = UINT64_MAX;
    for (uint32_t id = 0; self->evicts && id < self->n_tables; id++) {
        const uint64_t of_table = self->tables[id] ? rub_ptable_swept(self->tables[id]) : swept;
        swept = of_table < swept ? of_table : swept;
    }
    return swept;
}

uint64_t rub_shard_sweep_due(const rub_shard_t *self)
{
    const uint64_t minimum = rub_staleness_minimum(self->gate);
    const uint64_t over = minimum == UINT64_MAX ? self->members.floor : minimum;
    if (!rub_shard_is_bsp(self)) {
        return over;
    }
    const uint64_t unclosed = rub_periods_first_pushed(self->periods);
    return unclosed < over ? unclosed : over;
}

static bool may_sweep(const rub_shard_t *self)
{
    return self->evicts && !self->draining && (!self->finishing || rub_shard_is_bsp(self));
}

uint64_t rub_shard_sweep_at(const rub_shard_t *self)
{
    if (!self->opened || !may_sweep(self) || !is_pending(self)) {
        return UINT64_MAX;
    }
    return self->now_ms + (self->sweep_blocked      ? RUB_POSTPONED_MS
                           : rub_shard_is_bsp(self) ? 0 /* somebody waits for it */
                                                    : RUB_SWEEP_EVERY_MS);
}

void rub_shard_apply_delete(rub_shard_t *self, const rub_delete_record_t *record, rub_error_t *err)
{
    rub_ptable_t *table = rub_shard_table(self, record->table);
    if (!table) {
        (void)rub_fail(err, RUB_ECORRUPT, "DELETE for table %u, which nobody knows", record->table);
        rub_shard_fail(self, RUB_ECORRUPT);
        return;
    }
    const size_t before = rub_ptable_memory_bytes(table);
    const int rc = rub_ptable_delete(table, record->keys, record->n_keys, record->tick, self->lsn,
                                     self->members.unpinned, err);
    self->tables_bytes += rub_ptable_memory_bytes(table) - before;
    self->deleted_rows += record->n_keys;
    rub_shard_forget_sums(self, record);
    if (rc < 0) {
        rub_shard_fail(self, rc);
    }
}

static void delete_rows(rub_shard_t *self, uint32_t id, uint64_t tick, const uint64_t *keys,
                        size_t n)
{
    uint8_t *payload = rub_arena_alloc(&self->turn, RUB_RECORD_DELETE_HEAD_BYTES + 8 * n);
    rub_span_t *part = rub_arena_alloc(&self->turn, sizeof(*part));
    if (!payload || !part) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    const rub_delete_record_t record = {.tick = tick,
                                        .table = id,
                                        .n_keys = (uint32_t)n,
                                        .keys = payload + RUB_RECORD_DELETE_HEAD_BYTES};
    rub_delete_write_head(&record, payload);
    for (size_t i = 0; i < n; i++) {
        rub_put_u64(payload + RUB_RECORD_DELETE_HEAD_BYTES + 8 * i, keys[i]);
    }
    *part = (rub_span_t){payload, RUB_RECORD_DELETE_HEAD_BYTES + 8 * n};
    if (!RUB_MUTANT(DELETE_UNWRITTEN)) {
        rub_shard_append(self, RUB_RECORD_DELETE, part, 1);
    }
    rub_error_t err = {0};
    if (self->failure == 0) {
        rub_shard_apply_delete(self, &record, &err);
    }
    if (err.code != 0) {
        RUB_SHARD_NOTICE(self, "%s", err.message);
    }
}

static void sweep_table(rub_shard_t *self, uint32_t id, uint64_t due)
{
    uint64_t keys[KEYS_OF_RECORD];
    uint64_t tick = 0;
    size_t n = 1;
    while (n > 0 && self->failure == 0) {
        self->sweep_blocked =
            !rub_shard_has_room(self, RUB_RECORD_DELETE_HEAD_BYTES + 8 * KEYS_OF_RECORD);
        if (self->sweep_blocked) {
            return;
        }
        n = rub_ptable_sweep(self->tables[id], due, keys, KEYS_OF_RECORD, &tick,
                             &self->sweep_rows_left);
        if (n > 0) {
            delete_rows(self, id, tick, keys, n);
        }
    }
}

void rub_shard_sweep(rub_shard_t *self)
{
    if (!may_sweep(self)) {
        return;
    }
    const uint64_t due = rub_shard_sweep_due(self);
    const uint32_t first = self->sweep_first;
    for (uint32_t i = 0; i < self->n_tables && self->failure == 0; i++) {
        const uint32_t id = (first + i) % self->n_tables;
        if (self->tables[id] && rub_ptable_swept(self->tables[id]) < due) {
            self->sweep_first = id + 1;
            sweep_table(self, id, due);
        }
        if (self->sweep_rows_left == 0) {
            return;
        }
    }
}
