/* The journal on disk: numbered segments, pre-written and recycled (appending to fresh pages costs
 * several times more), holding framed records in lsn order.
 *
 * A record: {u32 payload bytes, u32 CRC32C of the rest seeded with segment number and lsn, u64 lsn,
 * u8 type, 7 zero bytes, payload padded to 8}. Reading stops at the first bad record: with a valid
 * record behind it in the same boot of the host, or a SYNC record that vouches for what is missing,
 * that is corruption and refused with segment and offset; otherwise a torn tail: counted and cut,
 * and a new segment begins.
 *
 * Threads: append, write, room and replay belong to one thread; prepare, sync and release may be
 * called from one other thread at the same time. */
#ifndef RUB_JOURNAL_FILE_H
#define RUB_JOURNAL_FILE_H

#include "common/base/bytes.h"
#include "include/rubato.h"

typedef struct rub_journal rub_journal_t;

#define RUB_JOURNAL_SEGMENT_MIN (64u * 1024u)
#define RUB_JOURNAL_SEGMENT_MAX (1024u * 1024u * 1024u)
#define RUB_JOURNAL_FIRST_SEGMENT                                                                  \
    (16u * 1024u * 1024u) /* small jobs stay small; then they double */
#define RUB_JOURNAL_RECORD_LIMIT                                                                   \
    (4u * 1024u * 1024u) /* of a framed record; half a segment if that is less */
/* The record type whose payload begins with an lsn (u64) that was on the platter when it was
 * written. */
#define RUB_JOURNAL_SYNC_TYPE 11u
/* What a record of so many payload bytes takes of rub_journal_room. */
#define RUB_JOURNAL_FRAME(payload_bytes) (24u + ((payload_bytes) + 7u) / 8u * 8u)

/* Opens or makes the journal in folder (made if missing); the caller holds a lock that keeps other
 * processes out. segment_bytes: RUB_JOURNAL_SEGMENT_MIN .. MAX, the greatest size of new segments;
 * RUB_EINVAL otherwise. RUB_ECORRUPT names a segment that is not ours; RUB_ESTORE, RUB_ENOSPC. */
int rub_journal_open(const char *folder, size_t segment_bytes, rub_journal_t **self_p,
                     rub_error_t *err);
/* Nothing was in the folder when it was opened, not even a spare segment: nobody ever opened a
 * journal there, or somebody has removed it. */
bool rub_journal_is_new(const rub_journal_t *self);
/* The host's boot, hashed; 0 when the system does not tell. */
uint64_t rub_journal_boot(void);
/* Before replay: the boot in which the redo point was committed (rub_journal_boot, then). Without
 * it, or in the same boot, a journal that ends before that is damaged. */
void rub_journal_redo_of_boot(rub_journal_t *self, uint64_t boot);
/* What was appended but not written is dropped. No other thread may be inside. NULL is fine. */
void rub_journal_close(rub_journal_t **self_p);

/* Calls visit for every record with lsn >= from_lsn, in order; payload is 8-byte aligned and
 * borrowed. A journal that ends before from_lsn - 1 is damaged, unless rub_journal_redo_of_boot
 * says otherwise: what lies before from_lsn need not have reached the platter
 * (rub_journal_sync_chain). A negative return of visit ends it and is returned. visit may be NULL.
 * Once, before the first append to a journal that was not empty. *torn_bytes_p (may be NULL): about
 * how much was cut from the tail. RUB_ECORRUPT names segment and offset. */
typedef int (*rub_journal_visit_t)(void *context, uint64_t lsn, uint8_t type, const void *payload,
                                   size_t bytes, rub_error_t *err);
int rub_journal_replay(rub_journal_t *self, uint64_t from_lsn, rub_journal_visit_t visit,
                       void *context, uint64_t *torn_bytes_p, rub_error_t *err);

/* Queues a record for the next write; parts are borrowed until rub_journal_write. lsn rises, type
 * is not 0. A record that does not fit into the segment first writes what is queued and begins the
 * next one. RUB_ELIMIT: greater than RUB_JOURNAL_RECORD_LIMIT; RUB_ENOMEM; else as
 * rub_journal_write. */
int rub_journal_append(rub_journal_t *self, uint64_t lsn, uint8_t type, const rub_span_t *parts,
                       size_t n_parts, rub_error_t *err);
/* Writes what is queued: a copy into the page cache, or one pwritev. RUB_ENOSPC, RUB_ESTORE: the
 * journal takes nothing more; what the queue held may or may not be found at the next opening. */
int rub_journal_write(rub_journal_t *self, rub_error_t *err);
/* Bytes of frames (RUB_JOURNAL_FRAME) that may surely be appended with their space already on disk.
 */
size_t rub_journal_room(const rub_journal_t *self);
uint64_t rub_journal_last_lsn(const rub_journal_t *self); /* queued, or found by replay; 0: none */

/* From here on segments that recovery no longer needs are not recycled but moved, in one step each
 * and under their own names, into folder/kept (made if missing): together with those in use they
 * are the journal since its beginning (common/store/journal_read.h). Before any other thread is at
 * work. RUB_ESTORE. */
int rub_journal_keep_all(rub_journal_t *self, rub_error_t *err);
bool rub_journal_keeps_all(const rub_journal_t *self);

/* Each record will be synced as soon as it is written: segments are not mapped from here on, since
 * the first sync of a mapped one writes all of it. Before any other thread is at work. */
void rub_journal_syncs_often(rub_journal_t *self);

/* ---- other thread ---- */
/* Fewer segments are ready than are worth having: two, and more once the journal has run out of
 * them. Callable from any thread. */
bool rub_journal_wants_segment(const rub_journal_t *self);
/* Bytes of the file system that prepare leaves to others, at first 0: a journal that takes the last
 * of them starves the checkpoint that would make it shorter. */
void rub_journal_leave_free(rub_journal_t *self, uint64_t bytes);
/* A journal of so many bytes is long enough for whoever writes checkpoints: it grows no further on
 * its own. At first RUB_JOURNAL_WORTH_AT_FIRST. */
void rub_journal_worth(rub_journal_t *self, uint64_t bytes);
/* Pre-writes the next segment if wanted. May block for long. RUB_ENOSPC leaves the journal as it
 * was. */
int rub_journal_prepare(rub_journal_t *self, rub_error_t *err);
/* fdatasync of all that was written before the call. *lsn_p: the last lsn that is on the platter
 * now. After a failure (RUB_ESTORE) nobody knows what is: the process must end. */
int rub_journal_sync(rub_journal_t *self, uint64_t *lsn_p, rub_error_t *err);
/* Puts names and headers of the segments that may hold records from from_lsn on on the platter, not
 * their records: a recovery from there finds the segments that it reads, although what is in them
 * before from_lsn may be missing. *lsn_p: the last lsn that was written before the call.
 * RUB_ESTORE, as for rub_journal_sync. */
int rub_journal_sync_chain(rub_journal_t *self, uint64_t from_lsn, uint64_t *lsn_p,
                           rub_error_t *err);
/* Segments whose records are all below lsn are recycled, or kept elsewhere (rub_journal_keep_all).
 */
int rub_journal_release(rub_journal_t *self, uint64_t lsn, rub_error_t *err);
/* While somebody reads records from from_lsn up to to_lsn (UINT64_MAX: how far is not known yet),
 * released segments that have some of them are not recycled but put aside, under names that
 * rub_journal_read knows and no recovery looks at. Those behind to_lsn come round as ever, so what
 * a reader costs does not grow with its time. Again: with another to_lsn. */
void rub_journal_hold(rub_journal_t *self, uint64_t from_lsn, uint64_t to_lsn);
/* Recycles what was put aside. Whoever still reads finds damage. RUB_ESTORE. */
int rub_journal_let_go(rub_journal_t *self, rub_error_t *err);
/* Gives back all that the journal does not need while nobody writes, when everything up to lsn is
 * stored elsewhere and nothing behind it matters: what stays says that it ended there. Before
 * close, with no other thread at work. */
int rub_journal_trim(rub_journal_t *self, uint64_t lsn, rub_error_t *err);
/* About how much a recovery from lsn on would read. */
uint64_t rub_journal_bytes_since(const rub_journal_t *self, uint64_t lsn);

#endif
