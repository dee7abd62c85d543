/* What the scheduler hears of this shard: REGISTER until a view comes and again after silence (a
 * scheduler that restarted knows nobody), REPORT as evidence of who was heard and who is waited
 * for, FINISHED when all is stored.
 *
 * Nothing here changes the job's state, so nothing is journaled. */
#include "common/base/check.h"
#include "common/wire/gap_list.h"
#include "ps/shard_internal.h"

/* Cuts what does not fit. */
static void copy_text(char *out, size_t out_bytes, const char *text)
{
    const size_t length = strnlen(text, out_bytes - 1);
    memcpy(out, text, length);
    out[length] = '\0';
}

static void control(rub_shard_t *self, const rub_control_t *message)
{
    self->effects.control(self->effects.context, message);
}

void rub_shard_send_register(rub_shard_t *self)
{
    self->register_owed = !rub_shard_is_bound(self);
    if (self->register_owed) {
        rub_shard_want_sync(self, false);
        return;
    }
    rub_control_t message = {
        .type = RUB_MSG_REGISTER,
        .register_shard = {.job = self->job,
                           .shard = self->config.shard,
                           .n_shards = self->config.n_shards,
                           .incarnation = self->incarnation,
                           .generation = self->generation,
                           .durability = self->config.durability},
    };
    copy_text(message.register_shard.address, sizeof(message.register_shard.address),
              self->config.address);
    copy_text(message.register_shard.who, sizeof(message.register_shard.who), self->config.who);
    control(self, &message);
}

static uint64_t not_admitted(const rub_shard_t *self)
{
    uint64_t n = 0;
    for (uint32_t id = 0; id < self->n_tables; id++) {
        n += self->tables[id] ? rub_ptable_not_admitted(self->tables[id]) : 0;
    }
    return n;
}

static rub_shard_status_t status_of(const rub_shard_t *self)
{
    rub_shard_status_t status = {
        .shard = self->config.shard,
        .incarnation = self->incarnation,
        .pushes = self->pushes,
        .pulls = self->pulls,
        .parked = rub_staleness_parked(self->gate) + self->n_behind,
        .rows = rub_shard_rows(self),
        .memory_bytes = self->tables_bytes,
        .journal_bytes = self->journal_bytes - self->journal_bytes_at_redo,
        .lsn = self->lsn,
        .synced_lsn = self->synced_lsn,
        .lost = self->lost,
        .deleted_rows = self->deleted_rows,
        .not_admitted = not_admitted(self),
        .cut_off = self->cut_off,
        .lanes = self->effects.lanes ? self->effects.lanes(self->effects.context) : 0,
        .no_space_ms = self->full_ms ? self->now_ms - self->full_ms + 1 : 0,
    };
    copy_text(status.address, sizeof(status.address), self->config.address);
    copy_text(status.who, sizeof(status.who), self->config.who);
    return status;
}

/* needed: the greatest minimum that a parked pull waits for. */
static rub_rank_report_t report_of(const rub_shard_t *self, const rub_member_t *member,
                                   uint64_t needed)
{
    rub_rank_report_t report = {
        .rank = member->rank,
        .epoch = member->epoch,
        .done = member->done,
        .heard_ms = member->heard_ms == UINT64_MAX ? UINT64_MAX : self->now_ms - member->heard_ms,
        .waited_for = rub_member_counts(member) && member->done < needed,
        .cursor_bytes = member->cursor_bytes,
    };
    memcpy(report.cursor, member->cursor, member->cursor_bytes);
    return report;
}

/* One message of a report. Only the last one bears the view's version: before it comes, the
 * scheduler must not take what it has for this shard's word on that view. */
static void send_part(rub_shard_t *self, rub_shard_status_t *status, rub_rank_report_t *ranks,
                      uint32_t n_ranks, rub_gap_count_t *gaps, uint32_t n_gaps, bool last)
{
    const rub_control_t message = {
        .type = RUB_MSG_REPORT,
        .report = {.job = self->job,
                   .generation = self->generation,
                   .version = last ? self->version : 0,
                   .status = status,
                   .n_status = 1,
                   .ranks = ranks,
                   .n_ranks = n_ranks,
                   .gaps = gaps,
                   .n_gaps = n_gaps},
    };
    control(self, &message);
}

/* In as many messages as the ranks need; each replaces what the scheduler knows of its ranks. */
static void send_report(rub_shard_t *self)
{
    rub_shard_status_t status = status_of(self);
    rub_rank_report_t *ranks =
        rub_arena_calloc(&self->scratch, RUB_REPORT_RANKS_LIMIT, sizeof(*ranks));
    rub_gap_count_t *gaps = rub_arena_calloc(&self->scratch, RUB_HISTOGRAM_BINS, sizeof(*gaps));
    if (!ranks || !gaps) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    const uint32_t n_gaps = rub_gap_list_write(&self->gaps, gaps);
    const uint64_t needed = rub_staleness_greatest_need(self->gate);
    uint32_t n_ranks = 0;
    for (size_t i = 0; i < self->members.n; i++) {
        if (!self->members.items[i].known) {
            continue;
        }
        if (n_ranks == RUB_REPORT_RANKS_LIMIT) {
            send_part(self, &status, ranks, n_ranks, gaps, n_gaps, false);
            n_ranks = 0;
        }
        ranks[n_ranks++] = report_of(self, &self->members.items[i], needed);
    }
    send_part(self, &status, ranks, n_ranks, gaps, n_gaps, true);
    rub_arena_reset(&self->scratch);
}

static void send_finished(rub_shard_t *self)
{
    rub_shard_status_t status = status_of(self);
    rub_gap_count_t *gaps = rub_arena_calloc(&self->scratch, RUB_HISTOGRAM_BINS, sizeof(*gaps));
    if (!gaps) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    const rub_control_t message = {
        .type = RUB_MSG_FINISHED,
        .finished = {.shard = self->config.shard,
                     .digest = rub_shard_digest(self),
                     .rows = status.rows,
                     .status = &status,
                     .n_status = 1,
                     .gaps = gaps,
                     .n_gaps = rub_gap_list_write(&self->gaps, gaps)},
    };
    control(self, &message);
    rub_arena_reset(&self->scratch);
}

void rub_shard_on_refused(rub_shard_t *self, const rub_refused_t *refused)
{
    RUB_SHARD_NOTICE(self, "the scheduler refuses this shard: %s", refused->sentence);
    if (refused->final != 0) {
        copy_text(self->reason, sizeof(self->reason), refused->sentence);
        self->phase = RUB_SHARD_REFUSED;
    }
}

void rub_shard_say_counters(rub_shard_t *self)
{
    for (uint32_t id = 0; id < self->n_tables && !self->counters_said; id++) {
        uint64_t used = 0;
        const rub_ptable_t *table = self->tables[id];
        const uint64_t n = table ? rub_ptable_counters(table, &used) : 0;
        if (used > n / 2) {
            self->counters_said = true;
            RUB_SHARD_NOTICE(
                self,
                "table '%s': %llu of the %llu counters of pushes here are in use, so that keys "
                "share them and rows are made early; more 'admit_counters' would be exact",
                rub_ptable_schema(table)->name, (unsigned long long)used, (unsigned long long)n);
        }
    }
}

void rub_shard_on_finish(rub_shard_t *self, const rub_finish_t *finish)
{
    if (self->job != 0 && finish->job != self->job) {
        return;
    }
    if (finish->generation < self->generation || self->finishing) {
        return;
    }
    self->finishing = true; /* no record is admitted from here, so the digest stands */
    rub_shard_say_counters(self);
    self->finished_at = self->now_ms;
    self->checkpoint_at = self->now_ms;
}

/* A scheduler that restarted knows nobody until they register; one that is well answers with its
 * view. */
static bool must_register(const rub_shard_t *self)
{
    if (self->now_ms < self->register_at) {
        return false;
    }
    return !self->view_seen || self->now_ms - self->scheduler_heard_ms >= RUB_SILENCE_MS;
}

void rub_shard_report_tick(rub_shard_t *self)
{
    if (must_register(self)) {
        rub_shard_send_register(self);
    }
    if (self->now_ms >= self->register_at) {
        self->register_at = self->now_ms + RUB_REGISTER_MS;
    }
    if (self->now_ms >= self->report_at) {
        self->report_at = self->now_ms + RUB_REPORT_MS;
        if (self->has_view) {
            send_report(self);
        }
    }
    if (self->finishing && self->now_ms >= self->finished_at && rub_shard_clean(self) &&
        rub_shard_is_settled(self)) {
        self->finished_at = self->now_ms + RUB_FINISHED_MS;
        send_finished(self);
    }
}
