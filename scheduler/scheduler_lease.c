/* Who is silent, and whose evidence that is (design, section 4).
 *
 * The scheduler's own ears are not enough: a network that parts it from a worker need not part the
 * worker from the shards. So a rank is evicted only when it is silent for a lease here *and* at
 * every reporting shard, or silent at a shard that waits for it while that shard hears others and
 * the rank is cut off from it: it says so in its lease (stuck_at), or says nothing here either. For
 * a worker that computes for longer than a lease, or waits for another shard that is dead, is
 * silent at a shard and well (found by the simulator; the design had no such condition). And
 * it must have been waited for as long, at that shard, and while that shard heard others: who is
 * let go after a long wait of its own has been silent all that time, and a connection lost just
 * then is no evidence; nor is it that others are back first at a shard from which all were parted.
 * A silence is measured up to the shard's last report, never up to now, so that a late report makes
 * nobody silent. It counts from the latest of: last heard, joined, our start or pause, the shard's
 * coming. With no shard reporting, nobody is evicted and every lease starts afresh. */
#include "common/base/mutant.h"
#include "scheduler/scheduler_internal.h"

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

bool rub_scheduler_reporting(const rub_scheduler_t *self, const rub_shard_entry_t *shard)
{
    return shard->has_report && !shard->dead && !shard->finished &&
           rub_scheduler_since(self, shard->report_ms) < self->config.lease_ms;
}

const rub_rank_report_t *rub_scheduler_report_of(const rub_shard_entry_t *shard, uint32_t rank,
                                                 uint32_t epoch)
{
    return rank < shard->n_reports && shard->reports[rank].epoch == epoch ? &shard->reports[rank]
                                                                          : NULL;
}

static uint64_t silence_at(const rub_scheduler_t *self, const rub_shard_entry_t *shard,
                           const rub_rank_entry_t *rank, const rub_rank_report_t *report)
{
    uint64_t heard_ms = 0;
    if (report && report->heard_ms < shard->report_ms) {
        heard_ms = shard->report_ms - report->heard_ms;
    }
    uint64_t from_ms =
        later(later(heard_ms, rank->joined_ms), later(self->floor_ms, shard->floor_ms));
    return shard->report_ms > from_ms ? shard->report_ms - from_ms : 0;
}

static bool hears_others(const rub_scheduler_t *self, const rub_shard_entry_t *shard, uint32_t rank)
{
    for (uint32_t i = 0; i < shard->n_reports; i++) {
        if (shard->reports[i].rank != rank && shard->reports[i].heard_ms < self->config.lease_ms) {
            return true;
        }
    }
    return false;
}

/* For how long, up to its last report, this shard has waited for the rank and heard others. */
static uint64_t waited_at(const rub_scheduler_t *self, rub_shard_entry_t *shard,
                          const rub_rank_entry_t *rank, const rub_rank_report_t *report)
{
    if (!report) {
        return 0;
    }
    uint64_t *from_ms = &shard->waited_from_ms[report->rank];
    if (!report->waited_for || !hears_others(self, shard, report->rank)) {
        *from_ms = 0;
    } else if (*from_ms == 0) {
        *from_ms = shard->report_ms;
    }
    const uint64_t since_ms =
        later(later(*from_ms, rank->joined_ms), later(self->floor_ms, shard->floor_ms));
    return *from_ms != 0 && shard->report_ms > since_ms ? shard->report_ms - since_ms : 0;
}

static void judge(rub_scheduler_t *self, uint32_t index)
{
    const uint64_t lease_ms = self->config.lease_ms;
    const rub_rank_entry_t *rank = &self->ranks[index];
    uint64_t here_ms =
        rub_scheduler_since(self, later(later(rank->heard_ms, rank->joined_ms), self->floor_ms));
    bool silent_everywhere = here_ms >= lease_ms;
    bool cut_off_there = false;
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        rub_shard_entry_t *shard = &self->shards[i];
        if (!rub_scheduler_reporting(self, shard)) {
            continue;
        }
        const rub_rank_report_t *report = rub_scheduler_report_of(shard, index, rank->epoch);
        bool silent = silence_at(self, shard, rank, report) >= lease_ms;
        silent_everywhere = silent_everywhere && (silent || RUB_MUTANT(EVICT_ALONE));
        bool cut_off = here_ms >= lease_ms || rank->progress.stuck_at == i + 1;
        bool waited = waited_at(self, shard, rank, report) >= lease_ms;
        cut_off_there = cut_off_there || (silent && cut_off && waited);
    }
    if (silent_everywhere) {
        rub_scheduler_evict(self, index, "silent for a lease, here and at every shard");
    } else if (cut_off_there) {
        rub_scheduler_evict(
            self, index, "silent for a lease at a shard where others have waited for it as long");
    }
}

void rub_scheduler_watch(rub_scheduler_t *self)
{
    bool any = false;
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        any = any || rub_scheduler_reporting(self, &self->shards[i]);
    }
    if (!any && !RUB_MUTANT(LEASE_KEPT)) {
        self->floor_ms = self->now_ms;
    }
    for (uint32_t i = 0; i < self->n_ranks && !rub_scheduler_over(self); i++) {
        rub_rank_entry_t *rank = &self->ranks[i];
        if (rank->state != RUB_RANK_LIVE || !rank->held) {
            continue;
        }
        if (rank->told) {
            if (any) {
                judge(self, i);
            }
        } else if (rub_scheduler_since(self, rank->heard_ms) >= self->config.lease_ms) {
            rank->held = false; /* it was never given the place, so no epoch is used up */
        }
    }
}
