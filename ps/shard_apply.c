/* What a record does to the shard. Called right after the record was given to the journal, and
 * again, in the same order, when the journal is replayed: nothing here looks at time, peers, or
 * what is not in the record or the state.
 *
 * Bsp: pushes of a period wait in ps/period until every counted rank has ended it; then one CLOSE
 * record and one optimizer step per row from all of them in (rank, seq) order. A replay folds when
 * it meets the CLOSE record, never by itself. An evicted rank's pushes of the period it had not
 * ended are dropped by the VIEW record; of periods that it had ended they stay, and it takes part
 * in their mean. */
#include "common/base/check.h"
#include "common/base/mutant.h"
#include "ps/shard_internal.h"

int rub_shard_read_push(rub_shard_t *self, const rub_frame_t *frame, const rub_ptable_t *table,
                        rub_push_view_t *push, rub_error_t *err)
{
    if (self->decoded.of && self->decoded.of == frame->values) {
        *push = self->decoded.push;
        return 0;
    }
    rub_shard_forget_push(self);
    const int rc = rub_push_view_read(frame, table, &self->decoded.arena, push, err);
    if (rc == 0 && !push->rows.is_range) {
        push->rows.found = rub_shard_found_rows(self, frame->keys, frame->header.table);
    }
    if (rc == 0 && push->values != (const void *)frame->values) {
        self->decoded.of = frame->values;
        self->decoded.push = *push;
    }
    return rc;
}

void rub_shard_forget_push(rub_shard_t *self)
{
    self->decoded.of = NULL;
    rub_arena_reset(&self->decoded.arena);
}

/* How much a kept push may let its table grow, from above; dense tables grow by their blocks once,
 * which the tables' own check covers. And what its values take once decoded, unless they lie in the
 * copy as they are. */
static size_t growth_of(const rub_ptable_t *table, const rub_record_t *record,
                        const rub_push_view_t *push)
{
    const size_t decoded =
        rub_codec_of_flags(record->flags) != RUB_CODEC_F32 ? push->n_values * sizeof(float) : 0;
    if (rub_ptable_schema(table)->kind == RUB_DENSE) {
        return decoded;
    }
    return decoded + (size_t)record->n_keys * ((size_t)rub_ptable_schema(table)->width * 16 + 64);
}

static void step_table(rub_shard_t *self, rub_ptable_t *table, const rub_push_view_t *pushes,
                       size_t n_pushes, float scale, bool folded)
{
    rub_error_t err = {0};
    const size_t before = rub_ptable_memory_bytes(table);
    int rc = 0;
    if (folded) {
        rc = rub_ptable_push_folded(table, pushes, n_pushes, scale, self->lsn, &err);
    }
    for (size_t i = 0; !folded && rc == 0 && i < n_pushes; i++) {
        rc = rub_ptable_push(table, &pushes[i], self->lsn, &err);
    }
    self->tables_bytes += rub_ptable_memory_bytes(table) - before;
    if (rc < 0) {
        RUB_SHARD_NOTICE(self, "table '%s': %s", rub_ptable_schema(table)->name, err.message);
        rub_shard_fail(self, rc);
    }
}

static void apply_push(rub_shard_t *self, const rub_record_t *record)
{
    rub_ptable_t *table = rub_shard_table(self, record->table);
    const rub_frame_t frame = rub_record_frame(record);
    rub_push_view_t push;
    if (!table || rub_shard_read_push(self, &frame, table, &push, NULL) != 0) {
        rub_shard_fail(self, RUB_ECORRUPT); /* was checked before it was journaled */
        return;
    }
    push.delay = record->delay;
    push.since = (const float *)(const void *)record->since;
    self->pushes++;
    if (!rub_shard_is_bsp(self)) {
        step_table(self, table, &push, 1, 1.0F, false);
    } else if (rub_periods_keep(self->periods, record, growth_of(table, record, &push)) != 0) {
        rub_shard_fail(self, RUB_ENOMEM);
    }
}

static uint64_t lost_last(const rub_record_t *record)
{
    return record->values_bytes >= 8 ? rub_get_u64(record->values) : record->seq;
}

static int refused_code(const rub_record_t *record)
{
    return record->values_bytes >= 4 ? (int32_t)rub_get_u32(record->values) : RUB_EINTERNAL;
}

/* The record's effect on its rank; true when the rank took part in the period that it stood in. */
static bool step_member(rub_shard_t *self, rub_member_t *member, rub_record_type_t type,
                        const rub_record_t *record)
{
    switch (type) {
    case RUB_RECORD_PUSH:
    case RUB_RECORD_REVISION:
        rub_member_push(member);
        return false;
    case RUB_RECORD_CLOCK:
        return rub_member_clock(member, record);
    case RUB_RECORD_IDLE:
        return rub_member_idle(member, record);
    case RUB_RECORD_BYE:
        return rub_member_bye(member, record);
    case RUB_RECORD_RESUME:
        return rub_member_resume(member, record, rub_members_pin(&self->members));
    case RUB_RECORD_REFUSED:
        rub_member_refuse(member, record, refused_code(record));
        return false;
    default:
        RUB_ASSERT(type == RUB_RECORD_LOST);
        return rub_member_lost(member, record, lost_last(record), rub_members_pin(&self->members));
    }
}

/* A period that all have ended and nobody has pushed in is closed without a CLOSE, right where the
 * record stands by which it ended, so that a replay closes it there too. As behind a CLOSE nobody
 * enters it any more, not even when all who counted are idle or gone: it would be theirs alone,
 * after others were told that it is over. */
static void close_empty(rub_shard_t *self)
{
    if (!rub_shard_is_bsp(self)) {
        return;
    }
    const uint64_t ended = rub_staleness_minimum(self->gate);
    for (uint64_t period = rub_periods_first(self->periods);
         period < ended && period < rub_periods_first_pushed(self->periods);
         period = rub_periods_first(self->periods)) {
        rub_periods_forget(self->periods, period);
        rub_members_raise_floor(&self->members, period + 1);
    }
}

void rub_shard_apply(rub_shard_t *self, rub_record_type_t type, const rub_record_t *record)
{
    if (self->failure != 0) {
        return;
    }
    rub_member_t *member = rub_members_find(&self->members, record->rank);
    RUB_ASSERT(member);
    if (rub_record_is_push(type)) {
        apply_push(self, record);
    } else if (type == RUB_RECORD_LOST) {
        self->lost += lost_last(record) - record->seq + 1;
    }
    const uint64_t period = member->done;
    const bool ended = step_member(self, member, type, record);
    member->last_lsn = self->lsn;
    self->n_ended += ended;
    member->n_ended += ended;
    if (ended && rub_shard_is_bsp(self) && rub_periods_end(self->periods, period) != 0) {
        rub_shard_fail(self, RUB_ENOMEM);
    }
    if (!rub_record_is_push(type) && type != RUB_RECORD_REFUSED) {
        rub_shard_recount(self, member);
        rub_shard_changed_counts(self);
    }
}

void rub_shard_changed_counts(rub_shard_t *self)
{
    rub_shard_check_floor(self);
    close_empty(self);
}

/* ---- bsp ---- */

static float fold_scale(uint32_t reduce, uint32_t participants)
{
    return reduce == RUB_REDUCE_MEAN && participants > 1 ? 1.0F / (float)participants : 1.0F;
}

void rub_shard_apply_close(rub_shard_t *self, uint64_t period, uint32_t participants)
{
    rub_kept_push_t *const *kept;
    uint32_t counted;
    const size_t n = rub_periods_pushes(self->periods, period, &kept, &counted);
    rub_push_view_t *views = rub_arena_alloc(&self->scratch, (n + 1) * sizeof(*views));
    bool *taken = rub_arena_calloc(&self->scratch, n + 1, sizeof(*taken));
    if (!views || !taken) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    for (size_t i = 0; i < n && self->failure == 0; i++) {
        if (taken[i]) {
            continue;
        }
        const uint16_t id = kept[i]->record.table;
        rub_ptable_t *table = rub_shard_table(self, id);
        size_t n_views = 0;
        for (size_t j = i; j < n; j++) {
            if (!taken[j] && kept[j]->record.table == id) {
                const rub_frame_t frame = rub_record_frame(&kept[j]->record);
                taken[j] = true;
                const int rc = table ? rub_push_view_read(&frame, table, &self->scratch,
                                                          &views[n_views++], NULL)
                                     : RUB_ECORRUPT;
                if (rc != 0) {
                    rub_shard_fail(self, rc == RUB_ENOMEM ? rc : RUB_ECORRUPT);
                }
            }
        }
        if (self->failure == 0) {
            step_table(self, table, views, n_views, fold_scale(self->reduce, participants),
                       self->reduce != RUB_REDUCE_EACH);
        }
    }
    rub_arena_reset(&self->scratch);
    rub_periods_forget(self->periods, period);
    /* Nobody enters a closed period, not even when all who counted had died or stood idle. */
    rub_members_raise_floor(&self->members, period + 1);
    close_empty(self);
}

static void append_close(rub_shard_t *self, const rub_close_record_t *close)
{
    uint8_t *payload = rub_arena_alloc(&self->turn, RUB_RECORD_CLOSE_BYTES);
    rub_span_t *part = rub_arena_alloc(&self->turn, sizeof(*part));
    if (!payload || !part) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    rub_close_write(close, payload);
    *part = (rub_span_t){payload, RUB_RECORD_CLOSE_BYTES};
    rub_shard_append(self, RUB_RECORD_CLOSE, part, 1);
}

/* CLOSE draws on the reserve that admission leaves. */
static bool has_close_room(const rub_shard_t *self)
{
    return !rub_shard_is_durable(self) || self->effects.journal_room(self->effects.context) >=
                                              RUB_RECORD_CLOSE_BYTES + RUB_RECORD_OVERHEAD;
}

static bool close_one(rub_shard_t *self)
{
    if (!rub_shard_is_bsp(self)) {
        return false;
    }
    const uint64_t period = rub_periods_first_pushed(self->periods);
    const uint64_t early = RUB_MUTANT(CLOSE_EARLY) ? 1 : 0;
    if (period == UINT64_MAX || period >= rub_staleness_minimum(self->gate) + early) {
        return false;
    }
    rub_kept_push_t *const *kept;
    rub_close_record_t close = {.period = period};
    close.n_pushes =
        (uint32_t)rub_periods_pushes(self->periods, period, &kept, &close.participants);
    if (!has_close_room(self) || (self->evicts && rub_shard_swept(self) < period)) {
        return false; /* the gate stays below the period until there is room for all it needs */
    }
    if (!RUB_MUTANT(CLOSE_UNWRITTEN)) {
        append_close(self, &close);
    }
    if (self->failure == 0) {
        rub_shard_apply_close(self, period, close.participants);
    }
    return true;
}

/* Under bsp the rows that a clock may not see any more go before its pulls are answered, and these
 * are answered before its period is closed. */
void rub_shard_settle(rub_shard_t *self)
{
    const bool sweeps_first = self->evicts && rub_shard_is_bsp(self);
    bool closed = true;
    if (sweeps_first) {
        rub_shard_sweep(self);
        rub_shard_serve_ready(self);
    }
    while (closed && self->failure == 0) {
        closed = close_one(self);
        if (sweeps_first) {
            rub_shard_sweep(self);
        }
        rub_shard_serve_ready(self); /* between two CLOSEs: a bsp read sees exactly its period */
    }
    if (!sweeps_first) {
        rub_shard_sweep(self);
    }
}
