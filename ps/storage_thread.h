/* The thread behind a shard that does what blocks: fdatasync of the journal, pre-writing and
 * recycling of segments, commits of checkpoints. The shard's thread hands it work and collects
 * news; neither ever waits for the other.
 *
 * Order it keeps: before chunks are committed, the journal is on the platter up to the greatest lsn
 * among them; the state goes into the last transaction of its checkpoint. No space is waited out
 * (one retry a second, said once in the log); any other failure is final, and the process must end.
 */
#ifndef RUB_STORAGE_THREAD_H
#define RUB_STORAGE_THREAD_H

#include "common/base/log.h"
#include "common/store/journal_file.h"
#include "common/store/lmdb_store.h"

typedef struct rub_storage rub_storage_t;

/* Starts the thread. Keeps journal, lmdb and log until rub_storage_stop; in between only this
 * thread uses lmdb. acks_wait: acknowledgements wait for its syncs (durability sync), so it runs at
 * its maker's priority; else it gives way to those that serve and train. */
int rub_storage_start(rub_journal_t *journal, rub_store_t *lmdb, bool acks_wait,
                      const rub_log_t *log, rub_storage_t **self_p, rub_error_t *err);
/* Drops what is not yet done, waits for what is being done, frees. NULL is fine. */
void rub_storage_stop(rub_storage_t **self_p);

/* ---- from the shard's thread, after the turn's journal write; none waits ---- */
/* Takes bytes (rub_alloc), on failure too. n_bytes 0: the chunk is gone. RUB_ENOMEM. */
int rub_storage_chunk(rub_storage_t *self, uint32_t table, uint32_t chunk, uint64_t lsn,
                      void *bytes, size_t n_bytes);
/* Takes state. Completes the checkpoint. */
int rub_storage_state(rub_storage_t *self, uint64_t redo_lsn, uint64_t lsn_needed, void *state,
                      size_t n_bytes);
void rub_storage_sync(rub_storage_t *self, uint64_t lsn);
/* Takes hold of what was committed last, between two commits, and of the journal from its redo
 * point on: the news bring the pin. One at a time: rub_storage_unpin first. */
void rub_storage_pin(rub_storage_t *self, uint64_t number);
/* The pin's reader needs the journal up to here, and no further. */
void rub_storage_hold_until(rub_storage_t *self, uint64_t to_lsn);
/* Lets the journal go again. The pin that the news brought is its holder's to let go. */
void rub_storage_unpin(rub_storage_t *self);
/* Makes the event readable: there is news of somebody else. Any thread. */
void rub_storage_wake(rub_storage_t *self);
/* Bytes staged and not yet committed. */
uint64_t rub_storage_backlog(rub_storage_t *self);
/* Has the thread look whether the journal wants a segment. */
void rub_storage_prepare(rub_storage_t *self);

typedef struct rub_storage_news {
    uint64_t synced_lsn;  /* on the platter; 0: no sync since the last news */
    uint64_t redo_lsn;    /* of a checkpoint that has been committed; 0: none */
    uint64_t pin_number;  /* of a pin that was tried; 0: none */
    rub_store_pin_t *pin; /* the caller's now; NULL: pin_error says why not */
    rub_error_t pin_error;
    rub_error_t failure; /* code 0: fine; else final */
} rub_storage_news_t;

/* Readable when there is news (or a segment more). */
int rub_storage_event_fd(const rub_storage_t *self);
void rub_storage_collect(rub_storage_t *self, rub_storage_news_t *news);

#endif
