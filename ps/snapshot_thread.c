/* One fold at a time, in a thread that reads a pinned image and files, and shares nothing with the
 * shard but a flag that says give up and one that says done.
 *
 * A fold that is let go is not waited for: it ends by itself at the next chunk or record, removes
 * what it wrote, and is joined when another one begins or the shard leaves. The part is removed by
 * its name alone, so that also a part of an earlier life can be. The thread gives way to those that
 * train. */
#include "ps/snapshot_thread.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/priority.h"
#include "common/store/snapshot_manifest.h"
#include "ps/open_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { NICE_STEPS = 10, FOLD_LIMIT_SHARE = 8 };
/* Chunks that a loaded image leaves half full, one for each of a few hundred tables. */
#define FOLD_LIMIT_SLACK ((size_t)32 << 20)

/* A fold: made by the shard's thread, then its thread's until done. */
typedef struct fold_job {
    uint64_t number;
    rub_store_pin_t *pin;
    rub_storage_t *storage;
    char *folder, *path, *journal;
    rub_fold_rank_t *ranks;
    rub_fold_request_t request;
    rub_fold_result_t result;
    rub_error_t err;
    int rc;
    atomic_bool cancel, done;
    bool started;
    pthread_t thread;
} fold_job_t;

struct rub_snapshot_thread {
    char *snapshots_dir, *shard_dir;
    uint32_t shard, n_shards;
    size_t fold_bytes; /* that a fold may take; 0: no limit */
    rub_storage_t *storage;
    uint64_t awaited;     /* number of the pin that is asked for; 0: none */
    rub_store_pin_t *pin; /* held, and not yet a fold's */
    fold_job_t *job;      /* ordered, running or done; NULL: none */
    fold_job_t *stray;    /* let go, perhaps still ending */
    uint64_t no_memory;   /* number of a fold that could not be ordered; 0: none */
};

/* ---- the fold's thread ---- */

static int image_state(void *context, void **data_p, size_t *n_bytes_p, rub_error_t *err)
{
    fold_job_t *job = context;
    return rub_store_pin_get_state(job->pin, RUB_STATE_CORE, data_p, n_bytes_p, err);
}

static int image_chunks(void *context, rub_store_visit_t visit, void *visit_context,
                        rub_error_t *err)
{
    fold_job_t *job = context;
    const int rc = rub_store_pin_each_chunk(job->pin, visit, visit_context, err);
    /* All of it is in memory. While a pin stands, LMDB can not use a page again: each checkpoint
     * would make its file longer. */
    rub_store_unpin(&job->pin);
    return rc;
}

static void *fold_main(void *context)
{
    fold_job_t *job = context;
    rub_priority_background("fold", NICE_STEPS);
    job->rc = rub_fs_mkdirs(job->folder, &job->err);
    job->rc = job->rc ? job->rc : rub_fold_write(&job->request, &job->result, &job->err);
    if (job->rc == 0 && atomic_load(&job->cancel)) {
        (void)unlink(job->path);
        (void)rmdir(job->folder); /* the last one to go takes the folder with it */
    }
    rub_store_unpin(&job->pin);
    atomic_store(&job->done, true);
    rub_storage_wake(job->storage);
    return NULL;
}

/* ---- the shard's ---- */

static void job_free(fold_job_t **job_p)
{
    fold_job_t *job = *job_p;
    *job_p = NULL;
    if (!job) {
        return;
    }
    if (job->started) {
        atomic_store(&job->cancel, true);
        (void)pthread_join(job->thread, NULL);
    }
    rub_store_unpin(&job->pin);
    rub_free(job->folder);
    rub_free(job->path);
    rub_free(job->journal);
    rub_free(job->ranks);
    rub_free(job);
}

int rub_snapshot_thread_new(const rub_snapshot_place_t *place, rub_snapshot_thread_t **self_p,
                            rub_error_t *err)
{
    rub_snapshot_thread_t *self = rub_calloc(1, sizeof(*self));
    *self_p = self;
    if (self) {
        self->shard = place->shard;
        self->n_shards = place->n_shards;
        self->storage = place->storage;
        self->fold_bytes =
            place->limit_bytes
                ? place->limit_bytes + place->limit_bytes / FOLD_LIMIT_SHARE + FOLD_LIMIT_SLACK
                : 0;
        self->snapshots_dir = rub_strdup(place->snapshots_dir);
        self->shard_dir = rub_strdup(place->shard_dir);
    }
    if (!self || !self->snapshots_dir || !self->shard_dir) {
        rub_snapshot_thread_destroy(self_p);
        return rub_fail(err, RUB_ENOMEM, "no memory for the snapshots of shard %u", place->shard);
    }
    return 0;
}

void rub_snapshot_thread_destroy(rub_snapshot_thread_t **self_p)
{
    rub_snapshot_thread_t *self = *self_p;
    *self_p = NULL;
    if (self) {
        job_free(&self->job);
        job_free(&self->stray);
        rub_store_unpin(&self->pin);
        rub_free(self->snapshots_dir);
        rub_free(self->shard_dir);
        rub_free(self);
    }
}

static char *folder_of(const rub_snapshot_thread_t *self, uint64_t number)
{
    return rub_sprintf("%s/" RUB_MANIFEST_FOLDER_NAME, self->snapshots_dir,
                       (unsigned long long)number);
}

/* RUB_ENOMEM. */
static int fill_job(rub_snapshot_thread_t *self, fold_job_t *job, const rub_shard_fold_t *order)
{
    job->number = order->number;
    job->storage = self->storage;
    job->folder = folder_of(self, order->number);
    job->path =
        job->folder ? rub_sprintf("%s/" RUB_MANIFEST_PART_NAME, job->folder, self->shard) : NULL;
    job->journal = rub_sprintf("%s/journal", self->shard_dir);
    job->ranks = rub_calloc(order->n_ranks + 1, sizeof(*job->ranks));
    if (!job->path || !job->journal || !job->ranks) {
        return RUB_ENOMEM;
    }
    for (size_t i = 0; i < order->n_ranks; i++) {
        job->ranks[i] = (rub_fold_rank_t){.rank = order->ranks[i].rank,
                                          .epoch = order->ranks[i].epoch,
                                          .cut = order->ranks[i].cut};
    }
    job->request = (rub_fold_request_t){
        .shard = self->shard,
        .n_shards = self->n_shards,
        .image = {.context = job, .state = image_state, .each_chunk = image_chunks},
        .journal_dir = job->journal,
        .to_lsn = order->to_lsn,
        .cut = {.pin_lsn = order->pin_lsn, .ranks = job->ranks, .n_ranks = order->n_ranks},
        .limit_bytes = self->fold_bytes,
        .path = job->path,
        .cancel = &job->cancel,
    };
    return 0;
}

/* ---- effects ---- */

void rub_snapshot_thread_pin(rub_snapshot_thread_t *self, uint64_t number)
{
    self->awaited = number;
    rub_storage_pin(self->storage, number);
}

void rub_snapshot_thread_fold(rub_snapshot_thread_t *self, const rub_shard_fold_t *order)
{
    job_free(&self->stray);
    job_free(&self->job);
    self->job = rub_calloc(1, sizeof(*self->job));
    fold_job_t *job = self->job;
    if (!job) {
        self->no_memory = order->number;
        rub_storage_wake(self->storage);
        return;
    }
    atomic_init(&job->cancel, false);
    atomic_init(&job->done, false);
    job->pin = self->pin;
    self->pin = NULL;
    job->rc = fill_job(self, job, order);
    rub_storage_hold_until(self->storage, order->to_lsn);
    if (job->rc == 0 && !job->pin) {
        job->rc = rub_fail(&job->err, RUB_EINTERNAL, "shard %u: a fold without a pin", self->shard);
    } else if (job->rc != 0) {
        (void)rub_fail(&job->err, job->rc, "shard %u: no memory for a fold", self->shard);
    }
    if (job->rc != 0) {
        atomic_store(&job->done, true);
        rub_storage_wake(self->storage);
    }
}

static void remove_part(const rub_snapshot_thread_t *self, uint64_t number)
{
    char *folder = folder_of(self, number);
    char *path = folder ? rub_sprintf("%s/" RUB_MANIFEST_PART_NAME, folder, self->shard) : NULL;
    if (path) {
        (void)unlink(path);
        (void)rmdir(folder); /* when it is empty */
    }
    rub_free(path);
    rub_free(folder);
}

void rub_snapshot_thread_unpin(rub_snapshot_thread_t *self, uint64_t number, bool keep)
{
    self->awaited = 0;
    rub_storage_unpin(self->storage);
    rub_store_unpin(&self->pin);
    if (self->job && !keep && self->job->number == number) {
        atomic_store(&self->job->cancel, true);
    }
    if (self->job) {
        job_free(&self->stray);
        self->stray = self->job;
        self->job = NULL;
    }
    if (!keep) {
        remove_part(self, number);
    }
}

/* ---- the turn ---- */

int rub_snapshot_thread_news(rub_snapshot_thread_t *self, rub_shard_t *core,
                             rub_storage_news_t *news)
{
    int rc = 0;
    if (news && news->pin_number > 0) {
        if (news->pin_number == self->awaited) {
            self->awaited = 0;
            rub_store_unpin(&self->pin);
            self->pin = news->pin;
            rc = rub_shard_pinned(core, news->pin_number, news->pin ? NULL : &news->pin_error);
        } else {
            rub_store_unpin(&news->pin); /* let go before it came */
        }
        news->pin = NULL;
    }
    if (self->no_memory > 0 && rc == 0) {
        rub_error_t err = {0};
        (void)rub_fail(&err, RUB_ENOMEM, "shard %u: no memory for a fold", self->shard);
        const uint64_t number = self->no_memory;
        self->no_memory = 0;
        rc = rub_shard_folded(core, number, NULL, &err);
    }
    if (self->job && atomic_load(&self->job->done) && rc == 0) {
        fold_job_t *job = self->job;
        const rub_fold_result_t result = job->result;
        const rub_error_t err = job->err;
        rc = rub_shard_folded(core, job->number, job->rc ? NULL : &result, job->rc ? &err : NULL);
    }
    return rc;
}

void rub_snapshot_thread_go(rub_snapshot_thread_t *self)
{
    fold_job_t *job = self->job;
    if (!job || job->started || atomic_load(&job->done)) {
        return;
    }
    if (pthread_create(&job->thread, NULL, fold_main, job) == 0) {
        job->started = true;
        return;
    }
    job->rc = rub_fail(&job->err, RUB_EIO, "shard %u: cannot start a thread to fold", self->shard);
    atomic_store(&job->done, true);
    rub_storage_wake(self->storage);
}
