/* Coming back: the state of the redo point, chunks that may be younger than it, and the journal
 * from there, stepped through the same code as when it was written. Tables pass over what their
 * chunks already hold; everything else is as of the redo point and takes every record.
 *
 * Nothing is sent and nothing journaled until open: what a replayed record would answer was
 * answered, or is asked again after HELLO. */
#include "common/base/check.h"
#include "common/base/error.h"
#include "ps/shard_internal.h"

#define EARLY_HEAD_BYTES 16u /* {u64 bytes, u64 0}: what follows stays 16-byte aligned */

static int load_chunk(rub_shard_t *self, rub_ptable_t *table, const void *bytes, size_t n_bytes,
                      rub_error_t *err)
{
    const size_t before = rub_ptable_memory_bytes(table);
    const int rc = rub_ptable_load(table, bytes, n_bytes, err);
    self->tables_bytes += rub_ptable_memory_bytes(table) - before;
    return rc;
}

/* A process that died between the transactions of a checkpoint left chunks younger than its state,
 * also of tables that the state does not know yet: the VIEW that brings them is in the journal. */
static int keep_early_chunk(rub_shard_t *self, const void *bytes, size_t n_bytes, rub_error_t *err)
{
    static const uint8_t zeros[16];
    rub_buf_t *early = &self->early_chunks;
    rub_buf_u64(early, n_bytes);
    rub_buf_u64(early, 0);
    rub_buf_append(early, bytes, n_bytes);
    rub_buf_append(early, zeros, (16 - n_bytes % 16) % 16);
    return early->failed ? rub_fail(err, RUB_ENOMEM, "shard %u: no memory for a chunk of %zu bytes",
                                    self->config.shard, n_bytes)
                         : 0;
}

/* Loads what a replayed VIEW has made known, before any record touches it. */
static int load_early_chunks(rub_shard_t *self, rub_error_t *err)
{
    rub_buf_t early = self->early_chunks;
    int rc = 0;
    rub_buf_init(&self->early_chunks);
    for (size_t at = 0; at < early.bytes && rc == 0;) {
        const size_t n_bytes = (size_t)rub_get_u64(early.data + at);
        rc = rub_shard_load_chunk(self, early.data + at + EARLY_HEAD_BYTES, n_bytes, err);
        at += EARLY_HEAD_BYTES + (n_bytes + 15) / 16 * 16;
    }
    rub_buf_fini(&early);
    return rc;
}

int rub_shard_load_chunk(rub_shard_t *self, const void *bytes, size_t n_bytes, rub_error_t *err)
{
    uint32_t id = 0;
    const int rc = rub_chunk_table_id(bytes, n_bytes, &id, err);
    if (rc != 0) {
        return rc;
    }
    rub_ptable_t *table = rub_shard_table(self, id);
    return table ? load_chunk(self, table, bytes, n_bytes, err)
                 : keep_early_chunk(self, bytes, n_bytes, err);
}

static const char *type_name(rub_record_type_t type)
{
    static const char *const names[] = {"?",      "PUSH",  "CLOCK",   "IDLE", "RESUME",
                                        "BYE",    "CLOSE", "REFUSED", "LOST", "VIEW",
                                        "DELETE", "SYNC",  "REVISION"};
    return (size_t)type < RUB_COUNT_OF(names) ? names[type] : names[0];
}

/* What admission asked, asked again: a checksum says that the bytes are what was written, not that
 * a shard wrote them. */
static int check_record(rub_shard_t *self, const rub_member_t *member, rub_record_type_t type,
                        const rub_record_t *record, rub_error_t *err)
{
    const rub_frame_t frame = rub_record_frame(record);
    const rub_ptable_t *table = NULL;
    rub_push_view_t push;
    int rc = 0;
    switch (type) {
    case RUB_RECORD_PUSH:
    case RUB_RECORD_REVISION:
        table = rub_shard_table(self, record->table);
        rc = rub_member_check_push(member, record->clock);
        rc = rc == 0 && !table ? RUB_ENOTABLE : rc;
        rc = rc ? rc : rub_shard_check_revision(self, record, table, err);
        rc = rc ? rc : rub_shard_read_push(self, &frame, table, &push, err);
        rc = rc ? rc : rub_ptable_push_check(table, &push, SIZE_MAX, err);
        break;
    case RUB_RECORD_CLOCK:
        rc = rub_member_check_clock(member, record->clock, record->values_bytes);
        break;
    case RUB_RECORD_RESUME:
        rc = rub_member_check_resume(member, record->clock);
        break;
    case RUB_RECORD_IDLE:
    case RUB_RECORD_BYE:
        rc = rub_member_check_pause(member, record->clock, record->values_bytes);
        break;
    case RUB_RECORD_LOST:
        rc = record->clock > RUB_CLOCK_LIMIT ? RUB_ECLOCK : 0;
        break;
    default:
        break; /* REFUSED takes any numbers */
    }
    if (rc == 0 || rc == RUB_ENOMEM) {
        return rc;
    }
    if (err && err->code != 0) {
        return rub_wrap(err, RUB_ECORRUPT, "%s of rank %u seq %llu would not be admitted",
                        type_name(type), record->rank, (unsigned long long)record->seq);
    }
    return rub_fail(err, RUB_ECORRUPT, "%s of rank %u seq %llu would not be admitted (%s)",
                    type_name(type), record->rank, (unsigned long long)record->seq,
                    rub_error_name(rc));
}

static int replay_stream(rub_shard_t *self, rub_record_type_t type, const void *payload,
                         size_t n_bytes, rub_error_t *err)
{
    rub_record_t record;
    const int rc = rub_record_read(type, payload, n_bytes, &record, err);
    if (rc != 0) {
        return rc;
    }
    const rub_member_t *member = rub_members_find(&self->members, record.rank);
    if (!member || member->epoch != record.epoch || record.seq != member->applied + 1) {
        return rub_fail(err, RUB_ECORRUPT,
                        "%s of rank %u epoch %u seq %llu does not follow what this shard has "
                        "(epoch %u, seq %llu)",
                        type_name(type), record.rank, record.epoch, (unsigned long long)record.seq,
                        member ? member->epoch : 0,
                        member ? (unsigned long long)member->applied : 0ULL);
    }
    const int unfit = check_record(self, member, type, &record, err);
    if (unfit != 0) {
        return unfit;
    }
    rub_shard_apply(self, type, &record);
    rub_shard_forget_push(self);
    return self->failure == RUB_ECORRUPT
               ? rub_fail(err, RUB_ECORRUPT, "%s of rank %u seq %llu can not be: the minimum falls",
                          type_name(type), record.rank, (unsigned long long)record.seq)
               : self->failure;
}

static int replay_close(rub_shard_t *self, const void *payload, size_t n_bytes, rub_error_t *err)
{
    rub_close_record_t close;
    const int rc = rub_close_read(payload, n_bytes, &close, err);
    if (rc != 0) {
        return rc;
    }
    rub_kept_push_t *const *kept;
    uint32_t participants = 0;
    const size_t n = rub_periods_pushes(self->periods, close.period, &kept, &participants);
    if (n != close.n_pushes || participants != close.participants) {
        return rub_fail(err, RUB_ECORRUPT,
                        "CLOSE of period %llu: %zu pushes of %u ranks are here, %u of %u expected",
                        (unsigned long long)close.period, n, participants, close.n_pushes,
                        close.participants);
    }
    rub_shard_apply_close(self, close.period, close.participants);
    return self->failure;
}

static int replay_delete(rub_shard_t *self, const void *payload, size_t n_bytes, rub_error_t *err)
{
    rub_delete_record_t record;
    const int rc = rub_delete_read(payload, n_bytes, &record, err);
    if (rc != 0) {
        return rc;
    }
    rub_shard_apply_delete(self, &record, err);
    return self->failure;
}

static int replay_view(rub_shard_t *self, const void *payload, size_t n_bytes, rub_error_t *err)
{
    rub_arena_reset(&self->turn);
    rub_control_t message;
    const int rc = rub_control_decode(payload, n_bytes, &self->turn, &message, err);
    if (rc != 0 || message.type != RUB_MSG_VIEW) {
        return rub_fail(err, RUB_ECORRUPT, "VIEW of %zu bytes can not be read", n_bytes);
    }
    if (rub_shard_check_view(&message.view, err) != 0) {
        return RUB_ECORRUPT;
    }
    rub_shard_apply_view(self, &message.view, payload, n_bytes);
    return self->failure ? self->failure : load_early_chunks(self, err);
}

static int replay_one(rub_shard_t *self, rub_record_type_t type, const void *payload,
                      size_t n_bytes, rub_error_t *err)
{
    switch (type) {
    case RUB_RECORD_PUSH:
    case RUB_RECORD_REVISION:
    case RUB_RECORD_CLOCK:
    case RUB_RECORD_IDLE:
    case RUB_RECORD_RESUME:
    case RUB_RECORD_BYE:
    case RUB_RECORD_REFUSED:
    case RUB_RECORD_LOST:
        return replay_stream(self, type, payload, n_bytes, err);
    case RUB_RECORD_CLOSE:
        return replay_close(self, payload, n_bytes, err);
    case RUB_RECORD_VIEW:
        return replay_view(self, payload, n_bytes, err);
    case RUB_RECORD_SYNC:
        return 0;
    case RUB_RECORD_DELETE:
        return replay_delete(self, payload, n_bytes, err);
    default:
        return rub_fail(err, RUB_ECORRUPT,
                        "record type %d: this program does not know it, a later one wrote it",
                        (int)type);
    }
}

int rub_shard_replay(rub_shard_t *self, uint64_t lsn, rub_record_type_t type, const void *payload,
                     size_t n_bytes, rub_error_t *err)
{
    RUB_ASSERT(!self->opened);
    if (lsn <= self->redo_lsn) {
        return 0; /* in the state already */
    }
    if (!rub_record_follows(lsn, self->lsn)) {
        return rub_fail(err, RUB_ECORRUPT, "journal record %llu comes after %llu: %s",
                        (unsigned long long)lsn, (unsigned long long)self->lsn,
                        lsn <= self->lsn ? "it was there before" : "records are missing between");
    }
    self->lsn = lsn;
    if (type != RUB_RECORD_SYNC) {
        self->change_lsn = lsn;
    }
    self->journal_bytes += n_bytes + RUB_RECORD_OVERHEAD;
    if (err) {
        *err = (rub_error_t){0};
    }
    const int rc = replay_one(self, type, payload, n_bytes, err);
    if (rc != 0 && (!err || err->code == 0)) {
        return rub_fail(err, rc, "journal record %llu (%s) can not be applied",
                        (unsigned long long)lsn, type_name(type));
    }
    return rc == 0 ? 0 : rub_wrap(err, rc, "journal record %llu", (unsigned long long)lsn);
}

int rub_shard_open(rub_shard_t *self, uint64_t incarnation, uint64_t now_ms, rub_error_t *err)
{
    RUB_ASSERT(!self->opened);
    const bool stored = rub_shard_is_durable(self); /* else it is a time, and may be greater */
    if (incarnation <= self->incarnation || (stored && incarnation >= (UINT64_C(1) << 24))) {
        return rub_fail(err, RUB_EINVAL,
                        "incarnation %llu of shard %u: expected more than %llu, below 2^24",
                        (unsigned long long)incarnation, self->config.shard,
                        (unsigned long long)self->incarnation);
    }
    if (self->early_chunks.bytes > 0) {
        return rub_fail(
            err, RUB_ECORRUPT,
            "shard %u: chunks of tables that neither the stored view nor the journal knows",
            self->config.shard);
    }
    for (uint32_t id = 0; id < self->n_tables; id++) {
        if (self->tables[id]) {
            rub_ptable_set_recovering(self->tables[id], false);
        }
    }
    self->incarnation = incarnation;
    self->recovered_lsn = self->change_lsn;
    self->opened = true;
    self->now_ms = now_ms;
    self->scheduler_heard_ms = now_ms;
    self->report_at = now_ms;
    self->register_at = now_ms;
    self->housekeeping_at = now_ms;
    /* What was redone is redone again if we are killed soon: stored now, it can not pile up. */
    self->checkpoint_at =
        now_ms + (self->change_lsn > self->redo_lsn ? 0 : self->config.checkpoint_interval_ms);
    rub_shard_want_sync(self, false); /* what was replayed may be in the page cache only */
    return self->failure;
}
