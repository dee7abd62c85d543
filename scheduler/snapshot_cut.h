/* Where a snapshot cuts each session's stream: the least clock K that no shard's pinned image has
 * passed (design, section 4).
 *
 * A shard's image holds, of a session, pushes of periods below done + (1 if its open period has
 * pushes): K is the greatest of these over the shards. With a finite bound all ranks that are not
 * idle everywhere take the greatest K among them, so that nobody in the snapshot stands behind; in
 * bsp all take it, idle or not, since periods are closed for all at once. A session whose codecs
 * keep something back says from which clock on its stream has it all: K is no less. Whose IDLE
 * said, at every shard, that nothing is kept back has said it all: its K is where it stood. Pure.
 */
#ifndef RUB_SNAPSHOT_CUT_H
#define RUB_SNAPSHOT_CUT_H

#include "common/wire/control.h"

typedef struct rub_snapshot_cut {
    rub_cut_rank_t *ranks; /* rising by rank once fixed */
    uint32_t n_ranks;
    uint64_t least, greatest; /* of the K; 0 when nobody is listed */
    /* ---- until it is fixed ---- */
    struct rub_cut_entry {
        bool listed, busy; /* busy: some shard called it not idle */
        bool unsure;       /* some shard did not call it whole: it may keep something back */
        uint32_t epoch;
        uint64_t cut;
    } * entries; /* index = rank */
    size_t n_entries;
    size_t entries_capacity, ranks_capacity;
} rub_snapshot_cut_t;

/* Empty again; keeps its memory. A zeroed one is empty. */
void rub_snapshot_cut_reset(rub_snapshot_cut_t *self);
void rub_snapshot_cut_fini(rub_snapshot_cut_t *self);

/* Takes what one shard answered. RUB_EBUSY: another shard knows another epoch of a rank, so a view
 * is on its way; RUB_EPROTO: a rank of RUB_RANKS_LIMIT or more; RUB_ENOMEM. */
int rub_snapshot_cut_add(rub_snapshot_cut_t *self, const rub_pinned_t *pinned, rub_error_t *err);
/* A rank that is listed and may keep something back: where its stream may be cut is not known
 * before its session says so. */
bool rub_snapshot_cut_is_unsure(const rub_snapshot_cut_t *self, uint32_t rank);
/* A rank that is listed is cut at that clock or above, and counts as busy if that is more than its
 * own. */
void rub_snapshot_cut_raise(rub_snapshot_cut_t *self, uint32_t rank, uint64_t clock);
/* Once all shards are in. RUB_ENOMEM. */
int rub_snapshot_cut_fix(rub_snapshot_cut_t *self, uint64_t staleness, rub_error_t *err);

#endif
