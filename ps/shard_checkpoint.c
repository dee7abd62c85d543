/* Checkpoints (design, section 5): copies of dirty chunks and the state, committed by the storage
 * thread.
 *
 * A checkpoint begins at lsn B: the state is noted as of B, then chunks are copied, each with the
 * lsn of its copying, and the store makes B the redo point. A row is redone iff a record's lsn is
 * above its chunk's, so copies may be younger than B, but never than the journal's platter:
 * lsn_needed. A little is copied in a tick, the rest in the ticks that follow, a millisecond apart:
 * nobody waits long for a copy, and a large sweep leaves the processor to whoever carries requests
 * and answers. One checkpoint at a time.
 *
 * A little is copied in the very turn in which its checkpoint begins, so that nothing is younger
 * than B: such an exact checkpoint needs nothing of the journal, which then is not synced for it
 * (ps/storage_thread.c). For a busy shard with small tables that is most of what a journal costs.
 *
 * What is cheap to write is written each interval; with more, the journal is synced instead, until
 * it has grown too long. Bsp: a cheap checkpoint waits for a moment in which no push is open, which
 * is right after a CLOSE, since open pushes are part of the state; one that is forced stores them
 * too. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/mutant.h"
#include "ps/shard_internal.h"

size_t rub_shard_dirty_bytes(const rub_shard_t *self)
{
    size_t dirty = 0;
    for (uint32_t id = 0; id < self->n_tables; id++) {
        uint32_t first, n_parts;
        const uint8_t *counts;
        const rub_ptable_t *table = self->tables[id];
        dirty += table ? rub_ptable_dirty_bytes(table) : 0;
        dirty += table ? rub_ptable_counts(table, &first, &n_parts, &counts) : 0;
    }
    return dirty;
}

static void stage(rub_shard_t *self, uint32_t id, uint32_t chunk, size_t *budget)
{
    void *bytes = NULL;
    size_t n_bytes = 0;
    int rc = rub_ptable_stage(self->tables[id], chunk, self->lsn, &bytes, &n_bytes, NULL);
    if (rc == 0) {
        rc = self->effects.stage_chunk(self->effects.context, id, chunk, self->lsn, bytes, n_bytes);
    }
    if (rc != 0) {
        rub_shard_fail(self, rc < 0 ? rc : RUB_ESTORE);
        return;
    }
    self->checkpoint.lsn_needed = RUB_MUTANT(CHUNK_AHEAD) ? self->checkpoint.redo_lsn : self->lsn;
    *budget = n_bytes < *budget ? *budget - n_bytes : 0;
}

/* Goes on from where the last tick stopped, until the budget is used up or all is copied. */
static void stage_some(rub_shard_t *self, size_t budget)
{
    rub_checkpoint_t *checkpoint = &self->checkpoint;
    checkpoint->staged_ms = self->now_ms;
    checkpoint->journal_bytes_at_staging = self->journal_bytes;
    while (checkpoint->table < checkpoint->n_tables && budget > 0 && self->failure == 0) {
        rub_ptable_t *table = self->tables[checkpoint->table];
        if (table && rub_ptable_next_dirty(table, &checkpoint->chunk)) {
            stage(self, checkpoint->table, checkpoint->chunk, &budget);
            checkpoint->chunk++;
        } else {
            checkpoint->table++;
            checkpoint->chunk = 0;
        }
    }
    if (self->failure != 0 || checkpoint->table < checkpoint->n_tables) {
        return;
    }
    checkpoint->staging = false;
    if (RUB_MUTANT(STATE_OF_COMMIT)) {
        rub_buf_reset(&checkpoint->state);
        rub_shard_encode_state(self, &checkpoint->state);
    }
    const int rc = self->effects.stage_state(self->effects.context, checkpoint->redo_lsn,
                                             checkpoint->lsn_needed, checkpoint->state.data,
                                             checkpoint->state.bytes);
    if (rc != 0) {
        rub_shard_fail(self, rc < 0 ? rc : RUB_ESTORE);
    }
}

/* Copying holds up whoever waits for a turn's answers, so it is bounded: a little in any tick, and
 * more where much was pushed since the last one, or a busy shard's sweep would never end. */
static size_t budget_of_tick(const rub_shard_t *self)
{
    if (self->checkpoint.exact) {
        return SIZE_MAX;
    }
    const uint64_t pushed = self->journal_bytes - self->checkpoint.journal_bytes_at_staging;
    return self->config.stage_bytes + (size_t)(pushed / RUB_PUSHED_PER_STAGED);
}

/* The more was journaled, the more is saved by not syncing it, and the rarer is the turn in which
 * all is copied. */
static bool is_exact(const rub_shard_t *self, uint64_t dirty, uint64_t redo_bytes)
{
    const uint64_t stage_bytes = self->config.stage_bytes;
    const bool busy = redo_bytes >= RUB_JOURNAL_PER_DIRTY_LEAST * dirty;
    return dirty <= (busy ? RUB_EXACT_PER_STAGED_BUSY : RUB_EXACT_PER_STAGED) * stage_bytes;
}

static void begin(rub_shard_t *self)
{
    rub_checkpoint_t *checkpoint = &self->checkpoint;
    RUB_ASSERT(!checkpoint->active);
    checkpoint->active = true;
    checkpoint->staging = true;
    checkpoint->begun_ms = self->now_ms;
    checkpoint->exact = is_exact(self, rub_shard_dirty_bytes(self),
                                 self->journal_bytes - self->journal_bytes_at_redo);
    checkpoint->redo_lsn = self->lsn;
    checkpoint->lsn_needed = self->lsn;
    checkpoint->journal_bytes = checkpoint->journal_bytes_at_staging = self->journal_bytes;
    checkpoint->n_tables = self->n_tables;
    checkpoint->table = 0;
    checkpoint->chunk = 0;
    self->checkpoint_due = false;
    rub_shard_say_counters(self);
    if (checkpoint->exact && self->syncing_lsn == 0) {
        rub_shard_note_asked(self);
    }
    rub_buf_reset(&checkpoint->state);
    rub_shard_encode_state(self, &checkpoint->state);
    if (checkpoint->state.failed) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    stage_some(self, budget_of_tick(self));
}

static bool is_cheap(const rub_shard_t *self)
{
    return rub_periods_first_pushed(self->periods) == UINT64_MAX &&
           rub_shard_dirty_bytes(self) <= RUB_CHEAP_LIMIT_BYTES;
}

/* A full sweep copies all of a table in which everything is dirty: where the limit does not grow
 * with the tables, a large one that is pushed to at random is written many times over. */
static bool redo_is_too_long(const rub_shard_t *self, uint64_t redo_bytes)
{
    if (redo_bytes <= self->config.redo_limit_bytes) {
        return false;
    }
    uint64_t taken = 0;
    for (uint32_t id = 0; id < self->n_tables && self->config.redo_limit_grows; id++) {
        taken += self->tables[id] ? rub_ptable_memory_bytes(self->tables[id]) : 0;
    }
    return redo_bytes > taken;
}

static bool has_changed(const rub_shard_t *self)
{
    return self->change_lsn > self->redo_lsn;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* A busy shard would journal gigabytes in an interval, and the disk would be asked for new files
 * all the time instead of writing over old ones. So the journal's growth calls for a checkpoint
 * too, when that costs little beside what was journaled since the last one; and it may cost more
 * while the files that there are would soon be full. */
static bool journal_has_grown(const rub_shard_t *self, uint64_t redo_bytes)
{
    if (redo_bytes < RUB_JOURNAL_GROWTH_LEAST) {
        return false;
    }
    const uint64_t dirty = rub_shard_dirty_bytes(self);
    const uint64_t room = self->effects.journal_room(self->effects.context);
    return redo_bytes >= greater(RUB_JOURNAL_GROWTH_BYTES, RUB_JOURNAL_PER_DIRTY * dirty) ||
           (room < redo_bytes && redo_bytes >= RUB_JOURNAL_PER_DIRTY_LEAST * dirty);
}

/* Whoever asks for the platter is as well served by an exact checkpoint: what it covers needs no
 * journal. */
static bool is_instead_of_sync(const rub_shard_t *self, uint64_t redo_bytes)
{
    const uint64_t dirty = rub_shard_dirty_bytes(self);
    return self->sync_wanted && self->config.durability != RUB_DURABILITY_SYNC &&
           self->syncing_lsn == 0 && is_exact(self, dirty, redo_bytes) &&
           redo_bytes >= RUB_SYNC_PER_DIRTY * dirty +
                             RUB_SYNC_STAGED_LEAST * (uint64_t)self->config.stage_bytes;
}

bool rub_shard_checkpoint_will_do(const rub_shard_t *self)
{
    return self->checkpoint.active && self->checkpoint.exact &&
           self->now_ms - self->checkpoint.begun_ms < RUB_SYNC_WAITS_MS;
}

void rub_shard_checkpoint_moment(rub_shard_t *self)
{
    if (self->checkpoint.active || self->failure != 0 || !rub_shard_is_durable(self) ||
        !has_changed(self)) {
        return;
    }
    const uint64_t redo_bytes = self->journal_bytes - self->journal_bytes_at_redo;
    const bool due = self->checkpoint_due || is_instead_of_sync(self, redo_bytes) ||
                     journal_has_grown(self, redo_bytes);
    if ((due && is_cheap(self)) || redo_is_too_long(self, redo_bytes)) {
        begin(self);
    }
}

static void interval_is_over(rub_shard_t *self)
{
    const bool leaving = self->finishing || self->draining;
    if (!has_changed(self)) {
        return;
    }
    if (self->checkpoint.active && self->checkpoint.exact && !self->checkpoint_due) {
        self->checkpoint_due = true; /* it will soon be over, and costs less than a sync */
    } else if (self->checkpoint.active) {
        rub_shard_want_sync(self,
                            true); /* a long commit shall not cost what came after its beginning */
    } else if (leaving || is_cheap(self) ||
               redo_is_too_long(self, self->journal_bytes - self->journal_bytes_at_redo)) {
        begin(self);
    } else {
        self->checkpoint_due = true;
        rub_shard_want_sync(self, true);
    }
}

void rub_shard_checkpoint_tick(rub_shard_t *self)
{
    if (!rub_shard_is_durable(self) || self->failure != 0) {
        self->checkpoint_at = UINT64_MAX;
        return;
    }
    if (self->checkpoint.staging) {
        stage_some(self, budget_of_tick(self));
    }
    const bool leaving = self->finishing || self->draining;
    if (self->now_ms >= self->checkpoint_at || leaving) {
        self->checkpoint_at = self->now_ms + self->config.checkpoint_interval_ms;
        interval_is_over(self);
    }
}

int rub_shard_checkpointed(rub_shard_t *self, uint64_t redo_lsn)
{
    RUB_ASSERT(self->checkpoint.active);
    RUB_ASSERT(!self->checkpoint.staging);
    RUB_ASSERT(self->checkpoint.redo_lsn == redo_lsn);
    self->checkpoint.active = false;
    self->redo_lsn = redo_lsn;
    self->journal_bytes_at_redo = self->checkpoint.journal_bytes;
    rub_buf_fini(&self->checkpoint.state); /* with open pushes it may be large */
    rub_buf_init(&self->checkpoint.state);
    rub_shard_safe(self, redo_lsn);
    return self->failure;
}
