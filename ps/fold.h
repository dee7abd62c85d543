/* A shard's part of a snapshot: a pinned image and the journal behind it, stepped through a core of
 * their own up to the cut, and written as one file (ps/snapshot_part.h).
 *
 * The cut says, for each rank, the clock K: what the rank pushed in periods below K is in, and
 * nothing else. A record is stamped with the period in which its rank stood, so everything of a
 * rank that stands at K or above is passed over, and under bsp every CLOSE of a period that is not
 * below the greatest K. Up to the pin everything is in: K must be above all that any shard had
 * applied when it was pinned, and a rank may count as idle (K = done) only if every shard called it
 * idle. Nothing of the live shard is touched: the fold has its own memory (about that of the
 * shard's tables, and no more than it is given) and reads files. */
#ifndef RUB_FOLD_H
#define RUB_FOLD_H

#include "common/store/lmdb_store.h"
#include "ps/shard.h"

#include <stdatomic.h>

/* The cut of one rank, in one epoch: periods below cut are in. */
typedef struct rub_fold_rank {
    uint32_t rank, epoch;
    uint64_t cut;
} rub_fold_rank_t;

typedef struct rub_fold_cut {
    /* The shard's last record when it was pinned: up to here nothing is passed over. */
    uint64_t pin_lsn;
    const rub_fold_rank_t *ranks; /* any order; who is not listed came later: passed over */
    size_t n_ranks;
} rub_fold_cut_t;

/* ---- the filter, pure; the simulator uses it too ---- */

/* Where the record's rank (and epoch) stands in the folding core before this record. */
typedef struct rub_fold_place {
    uint64_t done, applied; /* periods; seq */
} rub_fold_place_t;

/* Whether the journal record is beyond the cut. place: ignored for records of no rank. Payloads
 * that can not be read are not beyond: the replay refuses them. */
bool rub_fold_is_beyond(const rub_fold_cut_t *cut, uint64_t lsn, rub_record_type_t type,
                        const void *payload, size_t n_bytes, const rub_fold_place_t *place);

/* Steps a core that is being recovered (loaded, not opened) by one journal record, unless it is
 * beyond the cut. Errors as of rub_shard_replay. */
int rub_fold_step(rub_shard_t *core, const rub_fold_cut_t *cut, uint64_t lsn,
                  rub_record_type_t type, const void *payload, size_t n_bytes, rub_error_t *err);
/* After the last record: bsp periods below the cut that all have ended, and whose CLOSE lies behind
 * the last record, are closed. RUB_ECORRUPT: a listed rank has not come to its cut. */
int rub_fold_finish(rub_shard_t *core, const rub_fold_cut_t *cut, rub_error_t *err);

/* ---- the fold, in a helper thread; blocks for as long as reading and writing it all takes ---- */

/* The pinned image: a read transaction that was begun before the shard answered its done(u). */
typedef struct rub_fold_image {
    void *context;
    /* The core's state (RUB_STATE_CORE). *data_p: the caller's (rub_free); NULL and 0: none. */
    int (*state)(void *context, void **data_p, size_t *n_bytes_p, rub_error_t *err);
    int (*each_chunk)(void *context, rub_store_visit_t visit, void *visit_context,
                      rub_error_t *err);
} rub_fold_image_t;

typedef struct rub_fold_request {
    uint32_t shard, n_shards;
    rub_fold_image_t image;
    /* The folder of the segments. From the image's redo point on none may be recycled before the
     * fold returns. Read only, while another thread appends. */
    const char *journal_dir;
    uint64_t to_lsn; /* the last record to look at; written (not only queued) before the call */
    rub_fold_cut_t cut;
    /* Most that its tables and open periods may take together; 0: no limit. */
    size_t limit_bytes;
    const char *path;          /* of the part; made under another name, synced, then renamed */
    const atomic_bool *cancel; /* looked at often; NULL: never. RUB_ECANCELLED */
} rub_fold_request_t;

typedef struct rub_fold_result {
    uint64_t n_bytes; /* of the file */
    uint64_t hash;    /* of the file, for the manifest */
    uint64_t rows;    /* stored rows and blocks */
    uint64_t digest;  /* rub_shard_digest of what is in */
} rub_fold_result_t;

/* RUB_ELIMIT (the memory it is given does not do), RUB_ECORRUPT (image or journal, or a record that
 * the cut does not explain), RUB_ESTORE, RUB_ENOSPC, RUB_ENOMEM, RUB_ECANCELLED. On failure no file
 * is left. */
int rub_fold_write(const rub_fold_request_t *request, rub_fold_result_t *result, rub_error_t *err);

#endif
