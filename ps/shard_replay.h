/* A shard's rows once more, from its journal alone, and whether they are what is stored. Files are
 * read, nothing is changed; the store must not be in use (the caller holds its lock). All of it
 * blocks. */
#ifndef RUB_SHARD_REPLAY_H
#define RUB_SHARD_REPLAY_H

#include "common/base/bytes.h"
#include "ps/fold.h"

/* What is stored in folder (<store>/shard-<k>): state, chunks, and the journal from the redo point.
 * *core_p, in recovery, is the caller's. n_shards: of the job. RUB_ECORRUPT, RUB_ESTORE,
 * RUB_ENOMEM. */
int rub_replay_stored(const char *folder, uint32_t shard, uint32_t n_shards, rub_shard_t **core_p,
                      rub_error_t *err);

/* What the state in folder says of the job that it is of, without opening the rest: shard's number
 * and how many there are. RUB_ECORRUPT: no state; RUB_ESTORE. */
int rub_replay_whose(const char *folder, uint32_t *shard_p, uint32_t *n_shards_p, rub_error_t *err);

/* Steps core (new, or as it was restored from a snapshot) through the whole journal in folder, the
 * kept segments included; cut: NULL, or only what is below it, up to to_lsn. *n_records_p: steps.
 * RUB_ECORRUPT: among others, that the journal does not reach back to its beginning. */
int rub_replay_journal(const char *folder, rub_shard_t *core, const rub_fold_cut_t *cut,
                       uint64_t to_lsn, uint64_t *n_records_p, rub_error_t *err);

/* Compares all rows and blocks with their slots and step counters, bit for bit. False: equal; true:
 * sentence names the first difference (table, then key or block). RUB_ENOMEM. */
int rub_replay_compare(const rub_shard_t *replayed, const rub_shard_t *stored, bool *differs_p,
                       rub_buf_t *sentence, rub_error_t *err);

#endif
