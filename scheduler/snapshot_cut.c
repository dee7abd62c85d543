/* The arithmetic of a cut, apart from everything that happens around it.
 *
 * K need not be the least possible one to be right: whatever is at or above every image's reach
 * is, as long as all shards use the same. So raising a rank to the greatest is always safe, and
 * costs only the wait until it comes there. Idle means idle at every shard that listed it: an IDLE
 * that is still on its way to one shard makes it busy, which again is the safe side. */
#include "scheduler/snapshot_cut.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/mutant.h"
#include "scheduler/scheduler_internal.h"

void rub_snapshot_cut_reset(rub_snapshot_cut_t *self)
{
    self->n_ranks = 0;
    self->n_entries = 0;
    self->least = 0;
    self->greatest = 0;
}

void rub_snapshot_cut_fini(rub_snapshot_cut_t *self)
{
    rub_free(self->ranks);
    rub_free(self->entries);
    *self = (rub_snapshot_cut_t){.ranks = NULL};
}

static int add_one(rub_snapshot_cut_t *self, uint32_t shard, const rub_pinned_rank_t *pinned,
                   rub_error_t *err)
{
    if (pinned->rank >= RUB_RANKS_LIMIT) {
        return rub_fail(err, RUB_EPROTO, "shard %u lists rank %u, limit %u", shard, pinned->rank,
                        RUB_RANKS_LIMIT - 1u);
    }
    if (rub_grow(&self->entries, &self->entries_capacity, (size_t)pinned->rank + 1,
                 sizeof *self->entries) < 0) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a snapshot's cut");
    }
    while (self->n_entries <= pinned->rank) {
        self->entries[self->n_entries++] = (struct rub_cut_entry){.listed = false};
    }
    struct rub_cut_entry *entry = &self->entries[pinned->rank];
    if (entry->listed && entry->epoch != pinned->epoch) {
        return rub_fail(err, RUB_EBUSY, "epochs %u and %u of rank %u stand at different shards",
                        entry->epoch, pinned->epoch, pinned->rank);
    }
    const bool open = (pinned->marks & RUB_PINNED_PUSHED) != 0 && !RUB_MUTANT(CUT_WITHOUT_OPEN);
    const uint64_t reach = pinned->done + (open ? 1u : 0u);
    entry->listed = true;
    entry->epoch = pinned->epoch;
    entry->busy = entry->busy || (pinned->marks & RUB_PINNED_IDLE) == 0;
    entry->unsure = entry->unsure || entry->busy || (pinned->marks & RUB_PINNED_WHOLE) == 0;
    entry->cut = reach > entry->cut ? reach : entry->cut;
    return 0;
}

int rub_snapshot_cut_add(rub_snapshot_cut_t *self, const rub_pinned_t *pinned, rub_error_t *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < pinned->n_ranks && rc == 0; i++) {
        rc = add_one(self, pinned->shard, &pinned->ranks[i], err);
    }
    return rc;
}

bool rub_snapshot_cut_is_unsure(const rub_snapshot_cut_t *self, uint32_t rank)
{
    return rank < self->n_entries && self->entries[rank].listed && self->entries[rank].unsure;
}

void rub_snapshot_cut_raise(rub_snapshot_cut_t *self, uint32_t rank, uint64_t clock)
{
    if (rank < self->n_entries && self->entries[rank].listed && self->entries[rank].cut < clock) {
        self->entries[rank].cut = clock;
        self->entries[rank].busy = true;
    }
}

/* What the ranks that take the greatest take: 0 when each keeps its own. */
static uint64_t common_cut(const rub_snapshot_cut_t *self, uint64_t staleness)
{
    uint64_t greatest = 0;
    for (size_t i = 0; i < self->n_entries && staleness != RUB_ASYNC; i++) {
        const struct rub_cut_entry *entry = &self->entries[i];
        if (entry->listed && (entry->busy || staleness == 0) && entry->cut > greatest) {
            greatest = entry->cut;
        }
    }
    return greatest;
}

int rub_snapshot_cut_fix(rub_snapshot_cut_t *self, uint64_t staleness, rub_error_t *err)
{
    const uint64_t common = common_cut(self, staleness);
    self->n_ranks = 0;
    if (rub_grow(&self->ranks, &self->ranks_capacity, self->n_entries + 1, sizeof *self->ranks) <
        0) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a snapshot's cut");
    }
    for (size_t i = 0; i < self->n_entries; i++) {
        const struct rub_cut_entry *entry = &self->entries[i];
        if (!entry->listed) {
            continue;
        }
        const bool raised = (entry->busy || staleness == 0) && common > entry->cut;
        const uint64_t cut = raised ? common : entry->cut;
        self->least = self->n_ranks == 0 || cut < self->least ? cut : self->least;
        self->greatest = cut > self->greatest ? cut : self->greatest;
        self->ranks[self->n_ranks++] =
            (rub_cut_rank_t){.rank = (uint32_t)i, .epoch = entry->epoch, .cut = cut};
    }
    return 0;
}
