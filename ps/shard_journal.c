/* The order of everything: lsns, what is appended, and how far it is on the platter.
 *
 * An lsn is incarnation << 40 | n, so that a number is never used for two records, not even when a
 * power loss takes the end of the journal away (design, section 1). SYNC records are marks for
 * recovery, not changes: they do not make an idle shard dirty, or it would sync and mark for ever.
 */
#include "common/base/check.h"
#include "common/base/mutant.h"
#include "ps/shard_internal.h"

enum { INCARNATION_SHIFT = 40 };

bool rub_shard_is_durable(const rub_shard_t *self)
{
    return self->config.durability != RUB_DURABILITY_NONE;
}

bool rub_shard_has_room(const rub_shard_t *self, size_t payload_bytes)
{
    if (!rub_shard_is_durable(self)) {
        return true;
    }
    return self->effects.journal_room(self->effects.context) >=
           payload_bytes + RUB_RECORD_OVERHEAD + RUB_JOURNAL_RESERVE;
}

static uint64_t next_lsn(const rub_shard_t *self)
{
    const uint64_t first = (self->incarnation << INCARNATION_SHIFT) + 1;
    return self->lsn < first && !RUB_MUTANT(LSN_REUSED) ? first : self->lsn + 1;
}

void rub_shard_append(rub_shard_t *self, rub_record_type_t type, const rub_span_t *parts,
                      size_t n_parts)
{
    RUB_ASSERT(self->opened);
    const uint64_t lsn = next_lsn(self);
    if (rub_shard_is_durable(self)) {
        size_t n_bytes = RUB_RECORD_OVERHEAD;
        for (size_t i = 0; i < n_parts; i++) {
            n_bytes += parts[i].bytes;
        }
        const int rc = self->effects.journal(self->effects.context, lsn, type, parts, n_parts);
        if (rc != 0) {
            rub_shard_fail(self, rc < 0 ? rc : RUB_ESTORE);
            return;
        }
        self->journal_bytes += n_bytes;
    }
    self->lsn = lsn;
    if (type != RUB_RECORD_SYNC) {
        self->change_lsn = lsn;
    }
}

void rub_shard_append_stream(rub_shard_t *self, rub_record_type_t type, const rub_record_t *record)
{
    uint8_t *head = rub_arena_alloc(&self->turn, RUB_RECORD_HEAD_BYTES);
    rub_span_t *parts = rub_arena_alloc(&self->turn, 4 * sizeof(*parts));
    if (!head || !parts) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    rub_record_write_head(record, head);
    size_t n = 0;
    parts[n++] = (rub_span_t){head, RUB_RECORD_HEAD_BYTES};
    if (record->keys_bytes > 0) {
        parts[n++] = (rub_span_t){record->keys, record->keys_bytes};
    }
    if (record->values_bytes > 0) {
        parts[n++] = (rub_span_t){record->values, record->values_bytes};
    }
    if (record->since) {
        parts[n++] = (rub_span_t){record->since, record->values_bytes};
    }
    if (RUB_MUTANT(PUSH_UNWRITTEN) && rub_record_is_push(type)) {
        self->lsn = next_lsn(self);
        return;
    }
    rub_shard_append(self, type, parts, n);
}

/* ---- the platter ---- */

void rub_shard_want_sync(rub_shard_t *self, bool note)
{
    if (rub_shard_is_durable(self)) {
        self->sync_wanted = true;
        self->sync_noted = self->sync_noted || note;
    }
}

void rub_shard_note_asked(rub_shard_t *self)
{
    for (size_t i = 0; i < self->members.n; i++) {
        rub_member_t *member = &self->members.items[i];
        member->asked_lsn = self->lsn;
        member->asked_seq = member->applied;
    }
}

/* One in flight; each asks for all there is by then. */
void rub_shard_sync_turn(rub_shard_t *self)
{
    const bool each_turn = self->config.durability == RUB_DURABILITY_SYNC;
    if (!rub_shard_is_durable(self) || !(self->sync_wanted || each_turn)) {
        return;
    }
    if (self->syncing_lsn != 0 || (!each_turn && rub_shard_checkpoint_will_do(self))) {
        return; /* looked at again when it is done */
    }
    self->sync_wanted = false;
    if (self->change_lsn <= self->synced_lsn) {
        self->sync_noted = false;
        return;
    }
    rub_shard_note_asked(self);
    self->syncing_lsn = self->lsn;
    self->effects.sync(self->effects.context, self->lsn);
}

static void append_sync_mark(rub_shard_t *self, uint64_t lsn)
{
    uint8_t *payload = rub_arena_alloc(&self->turn, RUB_RECORD_SYNC_BYTES);
    rub_span_t *part = rub_arena_alloc(&self->turn, sizeof(*part));
    if (!payload || !part) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    rub_put_u64(payload, lsn);
    *part = (rub_span_t){payload, RUB_RECORD_SYNC_BYTES};
    if (rub_shard_has_room(self,
                           RUB_RECORD_SYNC_BYTES)) { /* a mark is a courtesy: no room, no mark */
        rub_shard_append(self, RUB_RECORD_SYNC, part, 1);
    }
}

void rub_shard_safe(rub_shard_t *self, uint64_t lsn)
{
    if (lsn > self->synced_lsn) {
        self->synced_lsn = lsn;
        for (size_t i = 0; i < self->members.n; i++) {
            rub_member_t *member = &self->members.items[i];
            uint64_t synced = member->synced;
            if (member->asked_seq > synced && lsn >= member->asked_lsn) {
                synced = member->asked_seq;
            }
            if (lsn >= member->last_lsn || RUB_MUTANT(ACK_UNSYNCED)) {
                synced = member->applied;
            }
            if (synced != member->synced) {
                member->synced = synced;
                rub_shard_owe_ack(self, member);
            }
        }
    }
    rub_shard_view_synced(self);
}

int rub_shard_synced(rub_shard_t *self, uint64_t lsn)
{
    if (lsn >= self->syncing_lsn) {
        self->syncing_lsn = 0;
    }
    rub_shard_safe(self, lsn);
    if (self->syncing_lsn == 0 && self->sync_noted) {
        self->sync_noted = false;
        append_sync_mark(self, RUB_MUTANT(MARK_AHEAD) ? self->synced_lsn
                                                      : lsn); /* not synced_lsn: a checkpoint may
                     have come further, and leave records before it unsynced */
    }
    return self->failure;
}
