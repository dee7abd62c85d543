/* One worker, one queue, one mutex held for a few instructions. Work is gathered while the thread
 * is busy and done in one go: that is what makes a sync a group commit.
 *
 * Staged chunks wait until their checkpoint is complete, then go into one transaction; when
 * WHOLE_BYTES of them are there it is a long one, and goes on by BATCH_BYTES: a kernel may not let
 * others run while it writes what a commit has to have on the platter. They are freed only after
 * the commit, so a full disk is waited out without asking the shard again.
 *
 * The journal is synced before a commit that depends on it. One that moves the store in one step to
 * an image with nothing younger than its redo point does not: no record before that point will be
 * read again, so only the journal's chain of segments is synced, a page of each. What a busy shard
 * with small tables journals then never reaches the platter, and need not.
 *
 * Reference: design, section 5 (LMDB holds chunks and state). */
#include "ps/storage_thread.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/mutant.h"
#include "common/base/priority.h"
#include "ps/open_store.h"
#include "ps/shard.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define WHOLE_BYTES (UINT64_C(24) << 20) /* an exact checkpoint is shorter */
#define BATCH_BYTES (UINT64_C(4) << 20)
#define LEFT_FREE_LEAST (UINT64_C(16) << 20)
#define LEFT_FREE_MOST (UINT64_C(1) << 30)
enum { RETRY_MS = 1000, NICE_STEPS = 5 };

/* A chunk, or (is_state) the end of a checkpoint. */
typedef struct item {
    bool is_state;
    uint32_t table, chunk;
    uint64_t lsn;      /* the journal must be on the platter up to here first */
    uint64_t redo_lsn; /* of a state */
    void *bytes;
    size_t n_bytes;
} item_t;

typedef struct item_list {
    item_t *items;
    size_t n, capacity;
    uint64_t bytes;
} item_list_t;

struct rub_storage {
    rub_journal_t *journal;
    rub_store_t *lmdb;
    const rub_log_t *log;
    pthread_t thread;
    int event_fd;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    /* ---- under the mutex ---- */
    bool stopping, wants_prepare;
    uint64_t sync_wanted;
    uint64_t pin_wanted; /* number; 0: none */
    bool unpin_wanted;
    uint64_t hold_wanted; /* the pin's reader needs the journal up to here; 0: not known yet */
    item_list_t inbox;
    uint64_t inbox_wanted;  /* bytes: fewer, without a state, are no work yet */
    uint64_t backlog_bytes; /* of inbox and batch */
    rub_storage_news_t news;
    /* ---- the thread's ---- */
    item_list_t batch; /* of the next transaction */
    uint64_t synced_lsn;
    uint64_t committed_redo;   /* by this thread; 0: nothing yet, so nothing was recycled either */
    uint64_t held_redo;        /* the journal from here on is held; UINT64_MAX: it is not */
    bool gives_way;            /* nobody waits for what it does */
    uint64_t checkpoint_bytes; /* committed of the one under way */
    bool begun;                /* a part of the checkpoint under way is committed */
    uint64_t boot;             /* of the host */
    bool no_space;             /* said in the log */
};

static void list_clear(item_list_t *list)
{
    for (size_t i = 0; i < list->n; i++) {
        rub_free(list->items[i].bytes);
    }
    list->n = 0;
    list->bytes = 0;
}

static int list_push(item_list_t *list, const item_t *item)
{
    if (rub_grow(&list->items, &list->capacity, list->n + 1, sizeof(item_t)) != 0) {
        rub_free(item->bytes);
        return RUB_ENOMEM;
    }
    list->items[list->n++] = *item;
    list->bytes += item->n_bytes;
    return 0;
}

/* Nothing is staged behind a checkpoint's end before it is committed. */
static bool is_whole(const item_list_t *list)
{
    return list->n > 0 && list->items[list->n - 1].is_state;
}

/* ---- the thread ---- */

static void announce(rub_storage_t *self)
{
    const uint64_t one = 1;
    const ssize_t n = write(self->event_fd, &one, sizeof(one));
    (void)n; /* EAGAIN: the counter is full, so it is readable */
}

static void report_failure(rub_storage_t *self, const rub_error_t *failure)
{
    pthread_mutex_lock(&self->mutex);
    if (!self->news.failure.code) {
        self->news.failure = *failure;
    }
    pthread_mutex_unlock(&self->mutex);
    announce(self);
}

static int sync_journal(rub_storage_t *self, rub_error_t *err)
{
    const int rc = rub_journal_sync(self->journal, &self->synced_lsn, err);
    if (!rc) {
        pthread_mutex_lock(&self->mutex);
        self->news.synced_lsn = self->synced_lsn;
        pthread_mutex_unlock(&self->mutex);
        announce(self);
    }
    return rc;
}

static int put_batch(rub_storage_t *self, rub_error_t *err)
{
    int rc = rub_store_begin(self->lmdb, err);
    if (rc) {
        return rc;
    }
    uint8_t boot[8];
    rub_put_u64(boot, self->boot);
    for (size_t i = 0; i < self->batch.n; i++) {
        const item_t *item = &self->batch.items[i];
        if (item->is_state) {
            rub_store_put_state(self->lmdb, RUB_STATE_CORE, item->bytes, item->n_bytes);
            rub_store_put_state(self->lmdb, RUB_STATE_BOOT, boot, sizeof(boot));
        } else if (item->n_bytes == 0) {
            rub_store_delete_chunk(self->lmdb, item->table, item->chunk);
        } else {
            rub_store_put_chunk(self->lmdb, item->table, item->chunk, item->bytes, item->n_bytes);
        }
    }
    return rub_store_commit(self->lmdb, err);
}

static void take_pin(rub_storage_t *self, uint64_t number)
{
    rub_error_t err = {0};
    rub_store_pin_t *pin = NULL;
    (void)rub_store_pin(self->lmdb, &pin, &err);
    self->held_redo = self->committed_redo;
    rub_journal_hold(self->journal, self->held_redo, UINT64_MAX);
    pthread_mutex_lock(&self->mutex);
    rub_store_pin_t *uncollected = self->news.pin;
    self->news.pin_number = number;
    self->news.pin = pin;
    self->news.pin_error = err;
    pthread_mutex_unlock(&self->mutex);
    rub_store_unpin(&uncollected);
    announce(self);
}

static int let_journal_go(rub_storage_t *self, rub_error_t *err)
{
    self->held_redo = UINT64_MAX;
    return rub_journal_let_go(self->journal, err);
}

/* What the size of a checkpoint says to the journal. LMDB copies what it writes: as much again as
 * the last one took, twice, must be there for the next one, or a journal on a small disk could
 * never be shortened. And the next one comes when so much of the journal is filled: more of it
 * would be made for nothing. */
static void learn_of_size(rub_storage_t *self)
{
    const uint64_t wanted = 2 * self->checkpoint_bytes;
    const uint64_t filled = RUB_JOURNAL_PER_DIRTY * self->checkpoint_bytes;
    /* One stretch is filled while the one before it is released. */
    rub_journal_worth(self->journal,
                      2 * (filled > RUB_JOURNAL_GROWTH_BYTES ? filled : RUB_JOURNAL_GROWTH_BYTES));
    self->checkpoint_bytes = 0;
    rub_journal_leave_free(self->journal, wanted < LEFT_FREE_LEAST  ? LEFT_FREE_LEAST
                                          : wanted > LEFT_FREE_MOST ? LEFT_FREE_MOST
                                                                    : wanted);
}

/* Puts on the platter what the batch needs of the journal: all up to its youngest chunk, or the
 * chain alone when the batch is a whole checkpoint without anything younger than its redo point. */
static int sync_for_batch(rub_storage_t *self, uint64_t needed, uint64_t redo, rub_error_t *err)
{
    if (needed <= self->synced_lsn || RUB_MUTANT(COMMIT_UNSYNCED)) {
        return 0;
    }
    /* Only who knows the host's boot can tell a loss of power from damage afterwards. */
    const bool exact =
        needed <= redo && !self->begun && self->boot != 0 && !rub_journal_keeps_all(self->journal);
    uint64_t reached = 0;
    const int rc = exact ? rub_journal_sync_chain(self->journal, redo + 1, &reached, err)
                         : sync_journal(self, err);
    reached = exact ? reached : self->synced_lsn;
    return rc || needed <= reached
               ? rc
               : rub_fail(err, RUB_EINTERNAL, "a checkpoint needs lsn %llu, the journal has %llu",
                          (unsigned long long)needed, (unsigned long long)reached);
}

/* Journal first, then the chunks that depend on it; then, behind a state, what the journal need not
 * keep. */
static int commit_batch(rub_storage_t *self, rub_error_t *err)
{
    uint64_t needed = 0, redo = 0;
    for (size_t i = 0; i < self->batch.n; i++) {
        const item_t *item = &self->batch.items[i];
        needed = item->lsn > needed ? item->lsn : needed;
        redo = item->is_state ? item->redo_lsn : redo;
    }
    const bool has_state = is_whole(&self->batch);
    int rc = sync_for_batch(self, needed, redo, err);
    rc = rc ? rc : put_batch(self, err);
    if (rc) {
        return rc;
    }
    self->begun = !has_state;
    pthread_mutex_lock(&self->mutex);
    self->backlog_bytes -= self->batch.bytes;
    pthread_mutex_unlock(&self->mutex);
    self->checkpoint_bytes += self->batch.bytes;
    list_clear(&self->batch);
    announce(self); /* the shard may stage more */
    if (has_state) {
        learn_of_size(self);
        self->committed_redo = redo;
        rc = rub_journal_release(self->journal, redo, err);
        pthread_mutex_lock(&self->mutex);
        self->news.redo_lsn = redo;
        pthread_mutex_unlock(&self->mutex);
        announce(self);
    }
    return rc;
}

static uint64_t batch_limit(const rub_storage_t *self)
{
    return self->begun ? BATCH_BYTES : WHOLE_BYTES;
}

/* Moves staged items into the batch, at most up to the end of one checkpoint or its limit. Under
 * the mutex. */
static int fill_batch(rub_storage_t *self)
{
    size_t taken = 0;
    int rc = 0;
    while (taken < self->inbox.n && !rc && self->batch.bytes < batch_limit(self) &&
           !is_whole(&self->batch)) {
        rc = list_push(&self->batch, &self->inbox.items[taken]);
        self->inbox.bytes -= self->inbox.items[taken].n_bytes;
        taken++;
    }
    if (taken > 0) {
        memmove(self->inbox.items, self->inbox.items + taken,
                (self->inbox.n - taken) * sizeof(item_t));
        self->inbox.n -= taken;
    }
    return rc;
}

static bool batch_due(const rub_storage_t *self)
{
    return self->batch.bytes >= batch_limit(self) || is_whole(&self->batch);
}

/* Whether what is staged fills a batch. Waking a thread costs more than staging a chunk: who stages
 * a sweep's thousands does it once a batch. Under the mutex. */
static bool inbox_due(const rub_storage_t *self)
{
    return is_whole(&self->inbox) || (self->inbox.n > 0 && self->inbox.bytes >= self->inbox_wanted);
}

/* 0; RUB_ENOSPC (to be tried again: said once); any other failure is final. */
static int note_space(rub_storage_t *self, int rc, rub_error_t *err)
{
    if (rc == RUB_ENOSPC && !self->no_space) {
        self->no_space = true;
        rub_log(self->log, RUB_LOG_ERROR, "%s; trying again every second", err->message);
    }
    if (rc == 0 && self->no_space) {
        self->no_space = false;
        rub_log(self->log, RUB_LOG_INFO, "there is space again");
    }
    return rc;
}

static int prepare(rub_storage_t *self, rub_error_t *err)
{
    if (!rub_journal_wants_segment(self->journal)) {
        return 0;
    }
    const int rc = rub_journal_prepare(self->journal, err);
    if (!rc) {
        announce(self); /* there is room: the shard may take postponed messages again */
    }
    return rc;
}

/* Waits for work; retry: for a sync only (acknowledgements wait for it), at most RETRY_MS. Returns
 * false when stopping. Under the mutex. */
static bool wait_for_work(rub_storage_t *self, bool retry)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += RETRY_MS / 1000;
    self->inbox_wanted =
        self->batch.bytes < batch_limit(self) ? batch_limit(self) - self->batch.bytes : 0;
    while (!self->stopping) {
        if (self->sync_wanted > 0 || self->pin_wanted > 0 || self->unpin_wanted ||
            self->hold_wanted > 0 ||
            (!retry && (inbox_due(self) || self->wants_prepare || batch_due(self)))) {
            return true;
        }
        if (retry) {
            if (pthread_cond_timedwait(&self->wake, &self->mutex, &until) != 0) {
                return true;
            }
        } else {
            pthread_cond_wait(&self->wake, &self->mutex);
        }
    }
    return false;
}

/* Whether a commit comes before the making of a segment: the end of a checkpoint frees old ones,
 * which is cheaper by far. */
static bool commit_first(const rub_storage_t *self)
{
    return is_whole(&self->batch);
}

/* One round of work. 0, RUB_ENOSPC (something is to be tried again), or a final failure. */
static int work(rub_storage_t *self, bool wants_sync, rub_error_t *err)
{
    int rc = wants_sync ? sync_journal(self, err) : 0;
    int committed = 0;
    if (!rc && commit_first(self)) {
        committed = commit_batch(self, err);
        rc = committed == RUB_ENOSPC ? 0 : committed;
    }
    const int prepared = rc ? rc : prepare(self, err);
    if (rc || (prepared && prepared != RUB_ENOSPC)) {
        return rc ? rc : prepared;
    }
    rc = batch_due(self) && !committed ? commit_batch(self, err) : committed;
    return rc ? rc : prepared;
}

static void *storage_main(void *context)
{
    rub_storage_t *self = context;
    int rc = 0;
    if (self->gives_way) {
        rub_priority_background("storage", NICE_STEPS);
    }
    for (;;) {
        rub_error_t err = {0};
        pthread_mutex_lock(&self->mutex);
        if (!wait_for_work(self, rc == RUB_ENOSPC)) {
            pthread_mutex_unlock(&self->mutex);
            return NULL;
        }
        self->wants_prepare = false;
        const bool wants_sync = self->sync_wanted > 0;
        const uint64_t pin_wanted = self->pin_wanted;
        const bool unpin_wanted = self->unpin_wanted;
        const uint64_t hold_wanted = self->hold_wanted;
        self->sync_wanted = 0;
        self->pin_wanted = 0;
        self->unpin_wanted = false;
        self->hold_wanted = 0;
        rc = fill_batch(self);
        pthread_mutex_unlock(&self->mutex);
        rc = rc ? rub_fail(&err, rc, "no memory for a checkpoint") : 0;
        if (unpin_wanted) {
            rc = rc ? rc : let_journal_go(self, &err);
        }
        if (pin_wanted > 0) {
            take_pin(self, pin_wanted);
        } else if (hold_wanted > 0 && self->held_redo != UINT64_MAX) {
            rub_journal_hold(self->journal, self->held_redo, hold_wanted);
        }
        rc = rc ? rc : work(self, wants_sync, &err);
        rc = note_space(self, rc, &err);
        if (rc == 0 && rub_journal_wants_segment(self->journal)) {
            rub_storage_prepare(self);
        }
        if (rc && rc != RUB_ENOSPC) {
            report_failure(self, &err);
            return NULL;
        }
    }
}

/* ---- the shard's side ---- */

static int start_thread(rub_storage_t *self)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&self->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&self->mutex, NULL);
    return pthread_create(&self->thread, NULL, storage_main, self);
}

int rub_storage_start(rub_journal_t *journal, rub_store_t *lmdb, bool acks_wait,
                      const rub_log_t *log, rub_storage_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_storage_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a storage thread");
    }
    self->journal = journal;
    self->lmdb = lmdb;
    self->log = log;
    self->wants_prepare = true;
    self->gives_way = !acks_wait;
    learn_of_size(self);
    self->boot = rub_journal_boot();
    self->held_redo = UINT64_MAX;
    self->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->event_fd < 0 || start_thread(self) != 0) {
        if (self->event_fd >= 0) {
            (void)close(self->event_fd);
        }
        rub_free(self);
        return rub_fail(err, RUB_EIO, "cannot start a storage thread");
    }
    *self_p = self;
    return 0;
}

void rub_storage_stop(rub_storage_t **self_p)
{
    rub_storage_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    pthread_mutex_lock(&self->mutex);
    self->stopping = true;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
    (void)pthread_join(self->thread, NULL);
    rub_store_unpin(&self->news.pin);
    list_clear(&self->inbox);
    list_clear(&self->batch);
    rub_free(self->inbox.items);
    rub_free(self->batch.items);
    (void)pthread_cond_destroy(&self->wake);
    (void)pthread_mutex_destroy(&self->mutex);
    (void)close(self->event_fd);
    rub_free(self);
}

static int stage(rub_storage_t *self, const item_t *item)
{
    pthread_mutex_lock(&self->mutex);
    const int rc = list_push(&self->inbox, item);
    self->backlog_bytes += rc ? 0 : item->n_bytes;
    if (inbox_due(self)) {
        pthread_cond_signal(&self->wake);
    }
    pthread_mutex_unlock(&self->mutex);
    return rc;
}

int rub_storage_chunk(rub_storage_t *self, uint32_t table, uint32_t chunk, uint64_t lsn,
                      void *bytes, size_t n_bytes)
{
    return stage(
        self,
        &(item_t){.table = table, .chunk = chunk, .lsn = lsn, .bytes = bytes, .n_bytes = n_bytes});
}

int rub_storage_state(rub_storage_t *self, uint64_t redo_lsn, uint64_t lsn_needed, void *state,
                      size_t n_bytes)
{
    return stage(self, &(item_t){.is_state = true,
                                 .lsn = lsn_needed,
                                 .redo_lsn = redo_lsn,
                                 .bytes = state,
                                 .n_bytes = n_bytes});
}

uint64_t rub_storage_backlog(rub_storage_t *self)
{
    pthread_mutex_lock(&self->mutex);
    const uint64_t bytes = self->backlog_bytes;
    pthread_mutex_unlock(&self->mutex);
    return bytes;
}

void rub_storage_sync(rub_storage_t *self, uint64_t lsn)
{
    pthread_mutex_lock(&self->mutex);
    self->sync_wanted = lsn > self->sync_wanted ? lsn : self->sync_wanted;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
}

void rub_storage_pin(rub_storage_t *self, uint64_t number)
{
    pthread_mutex_lock(&self->mutex);
    self->pin_wanted = number;
    self->hold_wanted = 0;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
}

void rub_storage_unpin(rub_storage_t *self)
{
    pthread_mutex_lock(&self->mutex);
    self->pin_wanted = 0;
    self->hold_wanted = 0;
    self->unpin_wanted = true;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
}

void rub_storage_hold_until(rub_storage_t *self, uint64_t to_lsn)
{
    pthread_mutex_lock(&self->mutex);
    self->hold_wanted = to_lsn;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
}

void rub_storage_wake(rub_storage_t *self)
{
    announce(self);
}

void rub_storage_prepare(rub_storage_t *self)
{
    pthread_mutex_lock(&self->mutex);
    self->wants_prepare = true;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
}

int rub_storage_event_fd(const rub_storage_t *self)
{
    return self->event_fd;
}

void rub_storage_collect(rub_storage_t *self, rub_storage_news_t *news)
{
    uint64_t count = 0;
    const ssize_t n = read(self->event_fd, &count, sizeof(count));
    (void)n; /* EAGAIN: no news, which the zeros below say */
    pthread_mutex_lock(&self->mutex);
    *news = self->news;
    self->news.synced_lsn = 0;
    self->news.redo_lsn = 0;
    self->news.pin_number = 0;
    self->news.pin = NULL;
    pthread_mutex_unlock(&self->mutex);
}
