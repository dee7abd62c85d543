/* Reading the journal back: in order, to the end, and judging what the end is. Private to
 * common/store; the rules below are for whoever judges a store without opening it, too: rubato
 * fsck, and the simulator's disks. */
#ifndef RUB_JOURNAL_REPLAY_H
#define RUB_JOURNAL_REPLAY_H

#include "common/store/journal_file.h"
#include "common/store/journal_segment.h"

/* Where the journal ends. */
typedef struct rub_replay_end {
    size_t n_kept;       /* segments that hold the journal; those behind are to be removed */
    uint64_t last_lsn;   /* of the last record; 0: there is none and never was */
    uint64_t torn_bytes; /* of an unfinished tail, about */
    uint64_t n_records;  /* visited */
    uint64_t n_bytes;    /* of visited frames */
} rub_replay_end_t;

/* Visits all records with lsn >= from_lsn (visit may be NULL) of the segments, oldest first; sets
 * their end and last_lsn. boot: the host's present one; a tail torn in the same boot cannot have
 * lost pages in the middle. RUB_ECORRUPT names segment and offset; RUB_ESTORE; RUB_ENOMEM; or what
 * visit returned. */
int rub_replay_segments(rub_segment_t *const *segments, size_t n_segments, uint64_t boot,
                        uint64_t from_lsn, rub_journal_visit_t visit, void *context,
                        rub_replay_end_t *end, rub_error_t *err);

/* ---- the rules, without a file ---- */

/* What proves, behind the spot at which reading ended, that the journal was damaged there; NULL: it
 * may be torn. record: a good one behind it; its segment was taken into use in segment_boot, and
 * boot is the present one (0: unknown); last_lsn: where reading ended. */
const char *rub_replay_proof(const rub_framed_t *record, uint64_t segment_boot, uint64_t boot,
                             uint64_t last_lsn);
/* Whether a journal that ends with last_lsn is long enough for a store that needs it from from_lsn
 * on. The chain of segments was on the platter before the redo point was committed, and each of
 * their records in the page cache: so it may end before that only when the host was started again
 * since that commit. redo_boot: in which it was made; 0: unknown. */
bool rub_replay_reaches(uint64_t last_lsn, uint64_t from_lsn, uint64_t redo_boot, uint64_t boot);

#endif
