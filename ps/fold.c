/* Chandy and Lamport (1985) cut a running system by markers in its channels. Here each rank's
 * stream is in the journal of each shard, and the clock in it is the marker: what a rank did below
 * its clock K is one side of the cut, whatever order the streams came in. So nothing has to be held
 * back; the image of a moment before the cut and the journal behind it hold all there is.
 *
 * Invariant: of the records of one rank and epoch, a prefix of the stream is taken; seqs stay
 * without gaps and a fold is a replay like any other. Order between ranks is the journal's, so the
 * rows have the bits that the shard itself would have had with those records alone.
 *
 * Deletes of rows are made at ticks, which are clocks: those up to the greatest K are in. A row
 * that one names has no push of its tick or later, so where all are cut at K the fold's row is what
 * the shard's was. Of a rank that is cut below, pushes may have been passed over; a row that the
 * policy does not name without them stays. */
#include "ps/fold.h"

#include "common/base/error.h"
#include "common/base/mutant.h"
#include "ps/shard_internal.h"

static const rub_fold_rank_t *find(const rub_fold_cut_t *cut, uint32_t rank, uint32_t epoch)
{
    for (size_t i = 0; i < cut->n_ranks; i++) {
        if (cut->ranks[i].rank == rank && cut->ranks[i].epoch == epoch) {
            return &cut->ranks[i];
        }
    }
    return NULL;
}

static uint64_t greatest(const rub_fold_cut_t *cut)
{
    uint64_t most = 0;
    for (size_t i = 0; i < cut->n_ranks; i++) {
        most = cut->ranks[i].cut > most ? cut->ranks[i].cut : most;
    }
    return most;
}

/* A record of a listed session behind the pin. A stream is taken up to its first record that is
 * beyond, and no further: seq says whether one was passed over before. IDLE and BYE right at the
 * cut are taken, since nobody waits for who has said so. */
static bool is_stream_beyond(rub_record_type_t type, const rub_record_t *record, uint64_t cut,
                             const rub_fold_place_t *place)
{
    if (record->seq != place->applied + 1 || place->done > cut) {
        return true;
    }
    if (RUB_MUTANT(FOLD_BEYOND)) {
        return false;
    }
    const bool rests = type == RUB_RECORD_IDLE || type == RUB_RECORD_BYE;
    return place->done == cut && (!rests || record->clock > cut);
}

bool rub_fold_is_beyond(const rub_fold_cut_t *cut, uint64_t lsn, rub_record_type_t type,
                        const void *payload, size_t n_bytes, const rub_fold_place_t *place)
{
    rub_record_t record;
    rub_close_record_t close;
    rub_delete_record_t deletes;
    if (lsn <= cut->pin_lsn) {
        return false;
    }
    switch (type) {
    case RUB_RECORD_CLOSE:
        return rub_close_read(payload, n_bytes, &close, NULL) == 0 && close.period >= greatest(cut);
    case RUB_RECORD_DELETE:
        return rub_delete_read(payload, n_bytes, &deletes, NULL) == 0 &&
               deletes.tick > greatest(cut) && !RUB_MUTANT(DELETE_BEYOND);
    case RUB_RECORD_VIEW:
    case RUB_RECORD_SYNC:
        return false;
    default:
        break;
    }
    if (rub_record_read(type, payload, n_bytes, &record, NULL) != 0) {
        return false;
    }
    const rub_fold_rank_t *rank = find(cut, record.rank, record.epoch);
    return !rank || is_stream_beyond(type, &record, rank->cut, place);
}

/* Whether the clock of a refused record is the rank's: only of a push that had passed the check of
 * its clock. Of the codes that come before that check, or from records of other types, the clock is
 * the client's word and perhaps the very thing that was refused. */
static bool has_own_clock(const rub_record_t *refused)
{
    const int code = refused->values_bytes >= 4 ? (int32_t)rub_get_u32(refused->values) : 0;
    return RUB_MUTANT(REFUSED_IS_PLACE) || code == RUB_ENAN || code == RUB_ENOTABLE ||
           code == RUB_ELIMIT;
}

/* Where a rank that may jump stood at least, by its record. IDLE and BYE bear the end of the open
 * period: one that is empty and ends here is not jumped over, the rank takes part in it. */
static uint64_t stood_at(rub_record_type_t type, const rub_record_t *record)
{
    switch (type) {
    case RUB_RECORD_PUSH:
    case RUB_RECORD_REVISION:
        return record->clock;
    case RUB_RECORD_REFUSED:
        return has_own_clock(record) ? record->clock : 0;
    case RUB_RECORD_IDLE:
    case RUB_RECORD_BYE:
        return record->clock > 0 ? record->clock - 1 : 0;
    default:
        return 0;
    }
}

/* Where the record's rank stands. Who enters or comes back is pinned at the shard's minimum, which
 * the folding core does not have: others were cut below where they stood. Each record bears it as
 * it was before, so who comes back is pinned as it was; who enters, by a VIEW, at least at what it
 * was shortly before, and its next stamp says the rest. */
static rub_fold_place_t place_of(rub_shard_t *core, rub_record_type_t type, const void *payload,
                                 size_t n_bytes)
{
    rub_record_t record;
    rub_fold_place_t place = {0};
    if (type == RUB_RECORD_CLOSE || type == RUB_RECORD_VIEW || type == RUB_RECORD_SYNC ||
        type == RUB_RECORD_DELETE || rub_record_read(type, payload, n_bytes, &record, NULL) != 0) {
        return place;
    }
    rub_members_raise_floor(&core->members, record.minimum);
    rub_member_t *member = rub_members_find(&core->members, record.rank);
    if (!member || member->epoch != record.epoch) {
        return place;
    }
    const uint64_t stood = stood_at(type, &record);
    if (member->may_jump && stood > member->done && stood <= RUB_CLOCK_LIMIT &&
        record.seq == member->applied + 1) {
        member->done = stood;
        rub_shard_recount(core, member);
    }
    place.done = member->done;
    place.applied = member->applied;
    return place;
}

int rub_fold_step(rub_shard_t *core, const rub_fold_cut_t *cut, uint64_t lsn,
                  rub_record_type_t type, const void *payload, size_t n_bytes, rub_error_t *err)
{
    const bool behind = lsn > cut->pin_lsn;
    core->members.unpinned = behind;
    const rub_fold_place_t place =
        behind ? place_of(core, type, payload, n_bytes) : (rub_fold_place_t){0};
    if (rub_fold_is_beyond(cut, lsn, type, payload, n_bytes, &place) && lsn > core->redo_lsn &&
        rub_record_follows(lsn, core->lsn)) {
        core->lsn = lsn; /* it was there, which is all that the next one must know */
        return 0;
    }
    return rub_shard_replay(core, lsn, type, payload, n_bytes, err);
}

static int check_rank(const rub_shard_t *core, const rub_fold_rank_t *rank, rub_error_t *err)
{
    const rub_member_t *member = rub_members_find(&core->members, rank->rank);
    /* A later epoch means that the listed one is over; its BYE or its clock came before. Who has
     * just come in or back, and said nothing since, may be pinned higher at the shard. */
    if (member && (member->epoch > rank->epoch || member->bye || member->may_jump ||
                   member->done >= rank->cut)) {
        return 0;
    }
    return rub_fail(err, RUB_ECORRUPT,
                    "shard %u, fold up to lsn %llu: rank %u epoch %u stands at clock %llu, the cut "
                    "is at %llu",
                    core->config.shard, (unsigned long long)core->lsn, rank->rank, rank->epoch,
                    member ? (unsigned long long)member->done : 0ULL,
                    (unsigned long long)rank->cut);
}

int rub_fold_finish(rub_shard_t *core, const rub_fold_cut_t *cut, rub_error_t *err)
{
    for (size_t i = 0; i < cut->n_ranks; i++) {
        const int rc = check_rank(core, &cut->ranks[i], err);
        if (rc != 0) {
            return rc;
        }
    }
    if (!rub_shard_is_bsp(core)) {
        return 0;
    }
    const uint64_t end = greatest(cut);
    for (size_t i = 0; i < core->members.n; i++) {
        const rub_member_t *member = &core->members.items[i];
        if (core->members.unpinned && member->may_jump && member->done < end) {
            rub_staleness_uncount(core->gate, member->rank); /* its pin was at the cut or above */
        }
    }
    for (uint64_t period = rub_periods_first(core->periods); period < end && core->failure == 0;
         period = rub_periods_first(core->periods)) {
        rub_kept_push_t *const *kept;
        uint32_t participants = 0;
        if (rub_staleness_minimum(core->gate) <= period) {
            return rub_fail(err, RUB_ECORRUPT,
                            "shard %u, fold: period %llu is below the cut, and somebody who counts "
                            "has not ended it",
                            core->config.shard, (unsigned long long)period);
        }
        (void)rub_periods_pushes(core->periods, period, &kept, &participants);
        core->lsn++; /* where its CLOSE would stand: behind every chunk */
        rub_shard_apply_close(core, period, participants);
    }
    return core->failure ? rub_fail(err, core->failure, "shard %u: the fold can not close a period",
                                    core->config.shard)
                         : 0;
}
