/* The journal on disk: numbered segments of fixed size, pre-written and recycled (appending to
 * fresh pages costs several times more), holding framed records in lsn order.
 *
 * A record: {u32 payload bytes, u32 CRC32C of the rest seeded with segment number and lsn, u64 lsn,
 * u8 type, 7 zero bytes, payload padded to 8}. Reading stops at the first bad record: with a valid
 * record behind it (or a SYNC mark) that is corruption and refused with segment and offset;
 * otherwise a torn tail: counted and cut, and a new segment begins.
 *
 * append belongs to one thread; sync, prepare and release may be called from one other thread at
 * the same time. */
#ifndef RUB_JOURNAL_FILE_H
#define RUB_JOURNAL_FILE_H

#include "common/base/bytes.h"
#include "include/rubato.h"

typedef struct rub_journal rub_journal_t;

/* Opens or makes the journal in folder. segment_bytes: 1 MiB .. 1 GiB, for new segments. */
int rub_journal_open(const char *folder, size_t segment_bytes, rub_journal_t **self_p,
                     rub_error_t *err);
void rub_journal_close(rub_journal_t **self_p);

/* Calls visit for every record with lsn >= from_lsn, in order. A negative return of visit ends it.
 * Before the first append. *torn_bytes_p: cut from the tail. RUB_ECORRUPT names segment and offset.
 */
typedef int (*rub_journal_visit_t)(void *context, uint64_t lsn, uint8_t type, const void *payload,
                                   size_t bytes, rub_error_t *err);
int rub_journal_replay(rub_journal_t *self, uint64_t from_lsn, rub_journal_visit_t visit,
                       void *context, uint64_t *torn_bytes_p, rub_error_t *err);

/* Queues a record for the next write; parts are borrowed until rub_journal_write. */
int rub_journal_append(rub_journal_t *self, uint64_t lsn, uint8_t type, const rub_span_t *parts,
                       size_t n_parts, rub_error_t *err);
/* One pwritev of what is queued (more when a segment ends). RUB_ENOSPC, RUB_ESTORE. */
int rub_journal_write(rub_journal_t *self, rub_error_t *err);
/* Bytes that may still be appended with their space already on disk. */
size_t rub_journal_room(const rub_journal_t *self);

/* ---- other thread ---- */
/* Pre-writes the next segment if none is ready. May block for long. RUB_ENOSPC leaves the journal
 * as it was. */
int rub_journal_prepare(rub_journal_t *self, rub_error_t *err);
/* fdatasync of all that was written before the call. *lsn_p: the last lsn that is on the platter
 * now. */
int rub_journal_sync(rub_journal_t *self, uint64_t *lsn_p, rub_error_t *err);
/* Segments whose records are all below lsn may be recycled. */
int rub_journal_release(rub_journal_t *self, uint64_t lsn, rub_error_t *err);
uint64_t rub_journal_bytes_since(const rub_journal_t *self, uint64_t lsn); /* about */

#endif
