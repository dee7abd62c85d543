/* Who is silent, and whose evidence that is (design, section 4).
 *
 * The scheduler's own ears are not enough: a network that parts it from a worker need not part the
 * worker from the shards. So a rank is evicted only when it is silent for a lease here *and* at
 * every reporting shard, or silent at a shard while it is waited for and that shard hears others,
 * and the rank is cut off from it: it says so in its leases (stuck_at), or says nothing here
 * either. For a worker that computes for longer than a lease, or waits for another shard that is
 * dead, is silent at a shard and well (found by the simulator; the design had no such condition).
 * It is waited for by pulls that are parked at any shard, in a barrier, or for its piece of the
 * data; who waits says to every shard that it is there, once a second
 * (worker/client/client_link.c).
 *
 * Each of these must have held for a lease: who is let go after a long wait of its own, or has
 * computed for long, has been silent all that time, and a connection lost just then is no
 * evidence; nor is it that others are back first at a shard from which all were parted.
 * This silence is measured up to the moment at which the shard heard another one last: a shard that
 * stood still hears nobody, and its long pause is nobody's silence. The one everywhere is measured
 * up to a shard's last report, never up to now, so that a late report makes nobody silent. Both
 * count from the latest of: last heard, joined, our start or pause, the shard's coming. With no
 * shard reporting, nobody is evicted and every lease starts afresh. */
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

/* Of the rank at that shard, up to until_ms, which is no later than its last report. */
static uint64_t silence_at(const rub_scheduler_t *self, const rub_shard_entry_t *shard,
                           const rub_rank_entry_t *rank, const rub_rank_report_t *report,
                           uint64_t until_ms)
{
    uint64_t heard_ms = 0;
    if (report && report->heard_ms < shard->report_ms) {
        heard_ms = shard->report_ms - report->heard_ms;
    }
    uint64_t from_ms =
        later(later(heard_ms, rank->joined_ms), later(self->floor_ms, shard->floor_ms));
    return until_ms > from_ms ? until_ms - from_ms : 0;
}

static void note_hearing(rub_shard_entry_t *shard)
{
    shard->hears_ms[0] = shard->hears_ms[1] = 0;
    for (uint32_t i = 0; i < shard->n_reports; i++) {
        const rub_rank_report_t *report = &shard->reports[i];
        const uint64_t ms =
            report->heard_ms < shard->report_ms ? shard->report_ms - report->heard_ms : 0;
        if (ms > shard->hears_ms[0]) {
            shard->hears_ms[1] = shard->hears_ms[0];
            shard->hears_ms[0] = ms;
            shard->hears_rank = report->rank;
        } else if (ms > shard->hears_ms[1]) {
            shard->hears_ms[1] = ms;
        }
    }
}

/* When the shard heard any other rank last. */
static uint64_t heard_others_ms(const rub_shard_entry_t *shard, uint32_t rank)
{
    return shard->hears_ms[shard->hears_rank == rank ? 1 : 0];
}

/* For how long, up to when this shard heard others last, the rank was waited for while it did. */
static uint64_t waited_at(const rub_scheduler_t *self, rub_shard_entry_t *shard,
                          const rub_rank_entry_t *rank, const rub_rank_report_t *report)
{
    if (!report) {
        return 0;
    }
    const uint64_t others_ms = heard_others_ms(shard, report->rank);
    uint64_t *from_ms = &shard->waited_from_ms[report->rank];
    if (!rank->missed || shard->report_ms - others_ms >= self->config.lease_ms) {
        *from_ms = 0;
    } else if (*from_ms == 0) {
        *from_ms = shard->report_ms;
    }
    const uint64_t since_ms =
        later(later(*from_ms, rank->joined_ms), later(self->floor_ms, shard->floor_ms));
    return *from_ms != 0 && others_ms > since_ms ? others_ms - since_ms : 0;
}

/* Who is waited for, wherever that is: it may be cut off from a shard at which nobody pulls. */
static void note_missed(rub_scheduler_t *self)
{
    rub_scheduler_barrier_note_missed(self);
    rub_scheduler_pieces_note_missed(self);
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        const rub_shard_entry_t *shard = &self->shards[i];
        for (uint32_t r = 0; r < self->n_ranks && rub_scheduler_reporting(self, shard); r++) {
            const rub_rank_report_t *report =
                rub_scheduler_report_of(shard, r, self->ranks[r].epoch);
            self->ranks[r].missed = self->ranks[r].missed || (report && report->waited_for);
        }
    }
}

static void judge(rub_scheduler_t *self, uint32_t index)
{
    const uint64_t lease_ms = self->config.lease_ms;
    const rub_rank_entry_t *rank = &self->ranks[index];
    uint64_t here_ms =
        rub_scheduler_since(self, later(later(rank->heard_ms, rank->joined_ms), self->floor_ms));
    const uint64_t stuck_ms = rub_scheduler_since(self, later(rank->stuck_ms, self->floor_ms));
    bool silent_everywhere = here_ms >= lease_ms;
    bool cut_off_there = false;
    for (uint32_t i = 0; i < self->config.n_shards; i++) {
        rub_shard_entry_t *shard = &self->shards[i];
        if (!rub_scheduler_reporting(self, shard)) {
            continue;
        }
        const rub_rank_report_t *report = rub_scheduler_report_of(shard, index, rank->epoch);
        const bool silent = silence_at(self, shard, rank, report, shard->report_ms) >= lease_ms;
        silent_everywhere = silent_everywhere && (silent || RUB_MUTANT(EVICT_ALONE));
        const bool stuck = rank->progress.stuck_at == i + 1;
        const bool cut_off = here_ms >= lease_ms || (stuck && stuck_ms >= lease_ms);
        const bool waited =
            waited_at(self, shard, rank, report) >= lease_ms &&
            silence_at(self, shard, rank, report, heard_others_ms(shard, index)) >= lease_ms;
        cut_off_there = cut_off_there || (waited && cut_off);
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
        note_hearing(&self->shards[i]);
    }
    note_missed(self);
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
