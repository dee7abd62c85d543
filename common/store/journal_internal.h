/* The journal's inside, shared by its two halves: journal_file.c (the appending thread) and
 * journal_space.c (lists of segments, and what the storage thread does). Private to common/store.
 */
#ifndef RUB_JOURNAL_INTERNAL_H
#define RUB_JOURNAL_INTERNAL_H

#include "common/store/journal_file.h"
#include "common/store/journal_segment.h"
#include "common/store/journal_tail.h"

#include <pthread.h>

#define RUB_JOURNAL_WANTED_READY 2u     /* segments: one to go on with, one in the making */
#define RUB_JOURNAL_GROWS_EVERY 128u    /* segments: so many used pay for one more */
#define RUB_JOURNAL_GROWS_EVERY_BUSY 8u /* the same, of a journal that is this busy: */
#define RUB_JOURNAL_BUSY_BYTES (UINT64_C(512) << 20)     /* filled in a second */
#define RUB_JOURNAL_WORTH_AT_FIRST (UINT64_C(128) << 20) /* bytes of all segments */
/* Spare segments; more are given back to the file system, unless more were used of late. */
#define RUB_JOURNAL_KEPT_MAX 16u

/* A stretch of the queue: borrowed, or (data NULL) at an offset of the staging buffer. */
typedef struct rub_stretch {
    const void *data;
    size_t offset;
    size_t bytes;
} rub_stretch_t;

typedef struct rub_segment_list {
    rub_segment_t **items;
    size_t n, capacity;
} rub_segment_list_t;

struct rub_journal {
    char *folder;
    uint64_t boot;
    uint64_t redo_boot; /* when the store's redo point was committed; 0: unknown */
    uint64_t record_limit;
    uint64_t segment_bytes, first_bytes;
    char *keep_folder; /* NULL: released segments are used again */
    bool is_new;       /* the folder was empty */
    bool replayed;     /* the end is known: appending may begin */
    bool failed;
    bool syncs_often; /* segments are not mapped */

    /* ---- the appending thread's ---- */
    rub_segment_t *active; /* NULL until the first append after opening */
    uint64_t end;          /* of active, the queue included */
    uint64_t queued_at;    /* where in active the queue begins */
    uint64_t last_lsn;
    uint64_t next_number;
    uint64_t eighth_ms; /* when it was a multiple of RUB_JOURNAL_GROWS_EVERY_BUSY last */
    rub_buf_t staging;
    rub_stretch_t *pieces;
    size_t n_pieces, capacity_pieces;

    rub_tail_t tail; /* the syncing thread's */

    /* ---- shared ---- */
    pthread_mutex_t mutex;
    rub_segment_list_t live, ready; /* under the mutex; live: oldest first */
    rub_segment_list_t held;        /* the storage thread's: released, but still read */
    size_t kept_most;               /* the storage thread's: spares, as of the last release */
    size_t most_used;               /* its, too: segments at once, of late */
    bool holding;                   /* its, too: records in hold_from .. hold_to are read */
    uint64_t hold_from, hold_to;
    bool folder_dirty; /* under the mutex: names changed since the last sync of the folder */
    atomic_uint_least64_t next_bytes;  /* size of the next new segment */
    atomic_uint_least64_t left_free;   /* bytes of the file system that new segments leave */
    atomic_uint_least64_t worth_bytes; /* of all segments: then it need not grow */
    atomic_uint_least64_t next_file;   /* for names of free files */
    atomic_uint_least64_t written_lsn;
    atomic_uint_least64_t ready_room;
    atomic_uint_least64_t n_ready, n_wanted; /* ready segments: how many there are, how many are
                                                worth having */
    atomic_uint_least64_t active_end;        /* written, for rub_journal_bytes_since */
};

int rub_segment_list_push(rub_segment_list_t *list, rub_segment_t *segment, rub_error_t *err);
rub_segment_t *rub_segment_list_take(rub_segment_list_t *list, size_t i);
void rub_segment_list_fini(rub_segment_list_t *list); /* closes its segments */

/* "<folder>/<number>.<ending>", the caller's; NULL when memory is short. */
char *rub_journal_path(const rub_journal_t *self, uint64_t number, const char *ending);
/* The same with a number that no free file has had. */
char *rub_journal_free_path(rub_journal_t *self, const char *ending);
/* Brings the counters that are read without the mutex up to date. Under the mutex. */
void rub_journal_count_ready(rub_journal_t *self);
/* Has one more segment ready from now on, up to a bound. Under the mutex. */
void rub_journal_grow(rub_journal_t *self);
/* Notes that the last ready segment was taken. Under the mutex. */
void rub_journal_ran_dry(rub_journal_t *self);
/* Takes the segment into the ready list; on failure it stays the caller's. */
int rub_journal_push_ready(rub_journal_t *self, rub_segment_t *segment, rub_error_t *err);
/* Pre-writes a segment; it is the caller's. RUB_ENOSPC, RUB_ESTORE. Blocks. */
int rub_journal_make_segment(rub_journal_t *self, rub_segment_t **segment_p, rub_error_t *err);

#endif
