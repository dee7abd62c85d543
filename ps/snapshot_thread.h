/* What a shard's snapshot needs of the world: the pin (by the storage thread), and a thread of its
 * own for the fold, so that training goes on beside it. All functions are called by the shard's
 * thread; none waits, but for the end of a fold that was given up just before. */
#ifndef RUB_SNAPSHOT_THREAD_H
#define RUB_SNAPSHOT_THREAD_H

#include "ps/fold.h"
#include "ps/storage_thread.h"

typedef struct rub_snapshot_thread rub_snapshot_thread_t;

typedef struct rub_snapshot_place {
    const char *snapshots_dir; /* copied; the folder that holds all snapshots of the run */
    const char *shard_dir;     /* copied; of the shard's store */
    uint32_t shard, n_shards;
    size_t limit_bytes;     /* of the shard; a fold is given as much, and an eighth; 0: no limit */
    rub_storage_t *storage; /* kept until close */
} rub_snapshot_place_t;

/* RUB_ENOMEM. */
int rub_snapshot_thread_new(const rub_snapshot_place_t *place, rub_snapshot_thread_t **self_p,
                            rub_error_t *err);
/* Gives up what is under way and waits for it. Before rub_storage_stop. NULL is fine. */
void rub_snapshot_thread_destroy(rub_snapshot_thread_t **self_p);

/* ---- the core's effects ---- */
void rub_snapshot_thread_pin(rub_snapshot_thread_t *self, uint64_t number);
void rub_snapshot_thread_fold(rub_snapshot_thread_t *self, const rub_shard_fold_t *order);
void rub_snapshot_thread_unpin(rub_snapshot_thread_t *self, uint64_t number, bool keep);

/* ---- the reactor's turn ---- */
/* Takes the pin that the storage thread's news bring, and tells the core of it and of a fold that
 * has ended. news may be NULL. Answers as the core does. */
int rub_snapshot_thread_news(rub_snapshot_thread_t *self, rub_shard_t *core,
                             rub_storage_news_t *news);
/* After the turn's journal write: what was ordered in it begins. */
void rub_snapshot_thread_go(rub_snapshot_thread_t *self);

#endif
