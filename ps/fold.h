/* A shard's part of a snapshot: a pinned image and the journal behind it, stepped through a core of
 * their own up to the cut, and written as one file (common/store/snapshot_file.h).
 *
 * The cut says, for each rank, the clock K: what the rank pushed in periods below K is in, and
 * nothing else. A record is stamped with the period in which its rank stood, so everything of a
 * rank that stands at K or above is passed over, and under bsp every CLOSE of a period that is not
 * below the greatest K. Nothing of the live shard is touched: the fold has its own memory (about
 * that of the shard's tables) and reads files. */
#ifndef RUB_FOLD_H
#define RUB_FOLD_H

#include "common/store/lmdb_store.h"
#include "ps/shard.h"

#include <stdatomic.h>

/* The cut of one rank, in one epoch: periods below cut are in. A rank (or epoch) that is not listed
 * came after the cut was fixed: all its records are passed over. */
typedef struct rub_fold_rank {
    uint32_t rank, epoch;
    uint64_t cut;
} rub_fold_rank_t;

/* ---- the filter, pure; the simulator uses it too ---- */

/* Whether the journal record is beyond the cut. done: the clock of its rank as the fold has it
 * before this record (rub_shard_done of the folding core); ignored for records that are of no rank.
 * ranks: n_ranks, any order. Records that can not be read are not beyond: the replay refuses them.
 */
bool rub_fold_is_beyond(const rub_fold_rank_t *ranks, size_t n_ranks, rub_record_type_t type,
                        const void *payload, size_t n_bytes, uint64_t done);
/* Whether (rank, epoch) stands at its cut here: its CLOCK K was applied, or it stands idle at K.
 * done, idle: of the member as the shard has it. What a shard waits for before it folds. */
bool rub_fold_has_reached(const rub_fold_rank_t *rank, uint64_t done);

/* Steps a core that is being recovered (loaded, not opened) by one journal record, unless it is
 * beyond the cut. Errors as of rub_shard_replay. */
int rub_fold_step(rub_shard_t *core, const rub_fold_rank_t *ranks, size_t n_ranks, uint64_t lsn,
                  rub_record_type_t type, const void *payload, size_t n_bytes, rub_error_t *err);

/* ---- the fold, in a helper thread; blocks for as long as it takes to read and write it all ----
 */

/* The pinned image: a read transaction that was begun when the shard answered its done(u). */
typedef struct rub_fold_image {
    void *context;
    /* The core's state (RUB_STATE_CORE). *data_p: the caller's (rub_free); NULL and 0: there is
     * none. */
    int (*state)(void *context, void **data_p, size_t *n_bytes_p, rub_error_t *err);
    int (*each_chunk)(void *context, rub_store_visit_t visit, void *visit_context,
                      rub_error_t *err);
} rub_fold_image_t;

typedef struct rub_fold_request {
    uint32_t shard, n_shards;
    uint32_t durability; /* RUB_DURABILITY_* of the job; none has no journal and is refused */
    rub_fold_image_t image;
    /* The folder of the segments. From the image's redo point on none may be recycled before the
     * fold returns. Read only, while another thread appends. */
    const char *journal_dir;
    uint64_t to_lsn; /* the last record to look at; written (not only queued) before the call */
    const rub_fold_rank_t *ranks;
    size_t n_ranks;
    const char *path;          /* of the part; made under path.new, synced, then renamed */
    const atomic_bool *cancel; /* looked at often; NULL: never. RUB_ECANCELLED */
} rub_fold_request_t;

typedef struct rub_fold_result {
    uint64_t n_bytes;      /* of the file */
    uint64_t hash;         /* of the file, for the manifest */
    uint64_t rows, digest; /* stored rows and blocks; rub_shard_digest of what is in */
} rub_fold_result_t;

/* RUB_ECORRUPT (image or journal, or a record that the cut does not explain), RUB_ESTORE,
 * RUB_ENOSPC, RUB_ENOMEM, RUB_EINVAL (durability none). On failure no file is left. */
int rub_fold_write(const rub_fold_request_t *request, rub_fold_result_t *result, rub_error_t *err);

#endif
