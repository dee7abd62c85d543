/* A shard's part of one table: its rows (hashed) or its run of blocks (dense), weights and slots,
 * in chunks.
 *
 * Rules it keeps: what is asked is checked before anything is touched (check and apply are
 * separate, the shard journals between them); a push message is one optimizer step per row or
 * block; a row is stored when it is first pushed, and starts as the pure function of (seed, table,
 * key) that a pull of a missing row returns; rows never move between chunks; redo touches a row iff
 * the record's lsn is above the lsn its chunk had in the store, and rows the store does not know
 * never go into a chunk that it does know. Results do not depend on how rows are spread.
 *
 * Pure: no time, no I/O. Owned by its shard's thread. */
#ifndef RUB_TABLE_H
#define RUB_TABLE_H

#include "common/base/arena.h"
#include "common/num/codec.h"
#include "common/num/initializer.h"
#include "common/wire/placement.h"

typedef struct rub_ptable rub_ptable_t;

/* Where the rows of a list of keys lie, for a list that comes again and again: rows do not move,
 * and after deletes they are looked for anew. A hashed table fills it in and uses it; it is of one
 * table. Begins as zeros. */
typedef struct rub_found_rows {
    uint32_t *rows; /* as many as the list has keys; the owner's */
    uint32_t table; /* its number; 0: of none yet */
    uint32_t tries;
    uint64_t n_deletes; /* of the table, when they were looked for */
    bool whole;         /* rows are right, unless some were deleted since */
} rub_found_rows_t;

/* Which rows a message means: keys, or a range of elements of a dense table. Borrowed. */
typedef struct rub_rows {
    const uint8_t *keys; /* n_keys x u64, little-endian, any alignment; unused for a range */
    size_t n_keys;
    bool is_range;
    uint64_t first, count;   /* elements of the range */
    rub_found_rows_t *found; /* NULL: nobody remembers */
} rub_rows_t;

/* One PUSH message, its values decoded. Borrowed; values: float32, 4-byte aligned. */
typedef struct rub_push_view {
    rub_rows_t rows;
    const float *values; /* n_keys x width, or count */
    const float *since;  /* the same of sums, for an optimizer that revises; NULL: zeros */
    size_t n_values;
    uint64_t clock; /* of the sender's period: whose rate is taken */
    uint16_t delay; /* rub_record_t */
} rub_push_view_t;

/* Reads the keys of a PUSH or PULL frame. RUB_ESHAPE: the lengths disagree. */
int rub_rows_read(const rub_frame_t *frame, rub_rows_t *rows, rub_error_t *err);
/* Reads a PUSH frame for its table and decodes its values, if they are not plain float32, into
 * memory of the arena; push borrows from the frame and the arena, and is punctual. Looks only at
 * lengths: whether the table takes the push is for rub_ptable_push_check. RUB_ESHAPE: keys' lengths
 * disagree, or values are not what the codec writes for so many; RUB_ECODEC: no such codec;
 * RUB_ELIMIT: decoded they would be above RUB_MESSAGE_LIMIT; RUB_ENOMEM. */
int rub_push_view_read(const rub_frame_t *frame, const rub_ptable_t *table, rub_arena_t *decoded,
                       rub_push_view_t *push, rub_error_t *err);

/* What a schema must be: known kind, optimizer and initializer, hyper-parameters in bounds,
 * width 1..RUB_WIDTH_LIMIT (hashed), elements 1..RUB_DENSE_LIMIT (dense), a name of 1..63 bytes.
 * RUB_EINVAL.
 */
int rub_ptable_schema_check(const rub_table_view_t *schema, rub_error_t *err);

/* The empty part of the table that `shard` of `n_shards` holds. schema is copied. RUB_EINVAL:
 * rub_ptable_schema_check, or shard >= n_shards; RUB_ENOMEM. */
int rub_ptable_new(const rub_table_view_t *schema, uint64_t seed, uint32_t shard, uint32_t n_shards,
                   rub_ptable_t **self_p, rub_error_t *err);
void rub_ptable_destroy(rub_ptable_t **self_p);

const rub_table_view_t *rub_ptable_schema(const rub_ptable_t *self);
/* Takes new hyper-parameters from a later view of the same table. RUB_EINVAL:
 * rub_optimizer_check. */
int rub_ptable_set_hyper(rub_ptable_t *self, const rub_table_view_t *schema, rub_error_t *err);

/* ---- pulls ---- */

/* RUB_ESHAPE: keys for a dense table, a range for a hashed one, nothing at all, a range beyond the
 * table or on another shard, a key of another shard. RUB_ELIMIT: the answer would be above
 * RUB_MESSAGE_LIMIT. */
int rub_ptable_pull_check(const rub_ptable_t *self, const rub_rows_t *rows, rub_error_t *err);
/* Float32 that the answer holds: n_keys x width, or count. rows: checked. */
size_t rub_ptable_pull_values(const rub_ptable_t *self, const rub_rows_t *rows);
/* Copies the rows into values in the order of keys; rows never pushed are computed, not stored.
 * exists (may be NULL): (n_keys + 7) / 8 bytes for keys, bit i % 8 of byte i / 8 set when row i is
 * stored, spare bits 0; for a range one byte, 1 when all of its blocks are stored. rows: checked.
 * values: 4-byte aligned. */
void rub_ptable_pull(const rub_ptable_t *self, const rub_rows_t *rows, float *values,
                     uint8_t *exists);
/* The same with row i at values + positions[i] * width; of keys only. */
void rub_ptable_pull_scattered(const rub_ptable_t *self, const rub_rows_t *rows,
                               const uint32_t *positions, float *values, uint8_t *exists);

/* Of a table whose optimizer revises: the sum of the gradients that were applied to each value,
 * laid out as rub_ptable_pull's; 0 of rows that were never pushed, or deleted since. */
void rub_ptable_sums(const rub_ptable_t *self, const rub_rows_t *rows, float *sums);

/* ---- pushes ---- */

/* Whether the push may be applied; touches nothing. memory_left_bytes: how much this table may
 * still grow (UINT64_MAX: no bound); growth is estimated. RUB_ESHAPE: as for pulls, or
 * n_values does not fit, or a range that does not begin and end at block borders (the table's end
 * is one). RUB_ENAN: a value is not finite. RUB_ELIMIT: memory, or 2^25 - 1 rows of a table in a
 * shard. */
int rub_ptable_push_check(const rub_ptable_t *self, const rub_push_view_t *push,
                          uint64_t memory_left_bytes, rub_error_t *err);

/* One optimizer step for each row or block of the push (checked before, perhaps in an earlier
 * life); a key twice in one message takes two steps. lsn: of the record, not 0; rows whose chunk
 * was loaded with lsn or more are passed over. RUB_ENOMEM (and, in a replay with fewer bounds,
 * RUB_ELIMIT) is fatal to the shard: a part was applied. */
int rub_ptable_push(rub_ptable_t *self, const rub_push_view_t *push, uint64_t lsn,
                    rub_error_t *err);

/* Bsp: folds the pushes of a period and takes exactly one optimizer step per touched row or block.
 * pushes: all of one clock, in rank order, each rank's in seq order; values of a row
 * are added in that order in float32, then multiplied by scale (mean: 1 / participants; sum: 1).
 * The bits do not depend on how rows are spread over shards or messages. lsn: of the CLOSE record.
 * For reduce = each call rub_ptable_push for one after the other with that lsn. Errors as for push.
 */
int rub_ptable_push_folded(rub_ptable_t *self, const rub_push_view_t *pushes, size_t n_pushes,
                           float scale, uint64_t lsn, rub_error_t *err);

/* ---- eviction: rows that the schema's policy names are found, journaled, and then deleted ---- */

/* Whether rows of the table are deleted at all. */
bool rub_ptable_evicts(const rub_ptable_t *self);

/* The last tick whose share of the rows was looked at; UINT64_MAX: nothing is ever looked at. A
 * tick t stands for the moment in which all periods below t are over, and looks at the partitions
 * that are (t mod sweep_clocks) of sweep_clocks parts. A row that it names has not changed since,
 * so looking again at an older tick finds what was missed, and nothing else: the place is not
 * stored, and who has fallen behind by more than sweep_clocks goes on that far back. */
uint64_t rub_ptable_swept(const rub_ptable_t *self);

/* Goes on looking for rows to be deleted, up to and with that tick. keys: at most n_most of them
 * are written, all named by *tick_p; what is written is to be deleted before the next call.
 * *rows_left_p: how many rows may still be looked at; while there are any a partition is looked at,
 * whole or until there is no more room for keys, and what was looked at is subtracted. So all calls
 * together look at no more rows than that and one partition's. Returns how many keys there are; 0:
 * all is done (rub_ptable_swept is that tick) or no rows are left to look at. */
size_t rub_ptable_sweep(rub_ptable_t *self, uint64_t tick, uint64_t *keys, size_t n_most,
                        uint64_t *tick_p, size_t *rows_left_p);

/* What a DELETE record does: rows and slots of these keys, named at that tick, are gone; rows whose
 * chunk was loaded with lsn or more are passed over. keys: n_keys x u64, little-endian.
 * RUB_ECORRUPT: where nothing loaded is as young as the record, each key must be there, and the
 * policy must name its row. passed_over: records were (a fold behind its pin): a row that is not
 * there, or that the policy does not name, stays as it is instead. */
int rub_ptable_delete(rub_ptable_t *self, const uint8_t *keys, size_t n_keys, uint64_t tick,
                      uint64_t lsn, bool passed_over, rub_error_t *err);

/* ---- counts of pushes, of a table that admits rows by them ---- */

/* The counters as they stand now, of the partitions [*first_part_p, + *n_parts_p); borrowed until
 * the next push. 0 bytes: the table counts nothing. */
size_t rub_ptable_counts(const rub_ptable_t *self, uint32_t *first_part_p, uint32_t *n_parts_p,
                         const uint8_t **bytes_p);
/* How many counters that are, and in *used_p how many of them are above 0. Reads all of them. */
uint64_t rub_ptable_counters(const rub_ptable_t *self, uint64_t *used_p);
/* Takes what rub_ptable_counts gave, of any shard of the table: what is of this shard's partitions.
 * RUB_ECORRUPT: not of this table. */
int rub_ptable_take_counts(rub_ptable_t *self, uint32_t first_part, uint32_t n_parts,
                           const uint8_t *bytes, size_t n_bytes, rub_error_t *err);

/* ---- write-back. A chunk is about 64 KiB of rows, or one dense block (its number: the block's in
 * the table) ---- */

bool rub_ptable_dirty(const rub_ptable_t *self);
size_t
rub_ptable_dirty_bytes(const rub_ptable_t *self); /* at most so many are to be staged; 0: clean */

/* Finds the first dirty chunk >= *chunk_p. A sweep starts at 0 and goes on at the staged chunk + 1.
 * False: none. */
bool rub_ptable_next_dirty(const rub_ptable_t *self, uint32_t *chunk_p);

/* The first chunk >= *chunk_p that holds rows, dirty or not. False: none. */
bool rub_ptable_next_chunk(const rub_ptable_t *self, uint32_t *chunk_p);

/* Copies the chunk for the store and makes it clean. lsn: the shard's now, of the last record
 * applied. *bytes_p is the caller's (rub_free). RUB_ENOMEM: still dirty. */
int rub_ptable_stage(rub_ptable_t *self, uint32_t chunk, uint64_t lsn, void **bytes_p,
                     size_t *n_bytes_p, rub_error_t *err);

/* ---- recovery: set_recovering(true), all chunks in any order, replay through push,
 * set_recovering(false) ---- */

/* The table id in a staged chunk's bytes. RUB_ECORRUPT: not a chunk. */
int rub_chunk_table_id(const void *bytes, size_t n_bytes, uint32_t *id_p, rub_error_t *err);

/* Loads what stage gave. A key found in two chunks belongs to the one with the greater lsn.
 * RUB_ECORRUPT: not this table's, other shape, loaded already, a key or block of another shard, a
 * key twice under one lsn; RUB_ENOMEM. */
int rub_ptable_load(rub_ptable_t *self, const void *bytes, size_t n_bytes, rub_error_t *err);
/* Takes over the rows of a chunk that another shard staged, perhaps of another number of shards:
 * those that belong here, with slots and steps, into chunks of our own, which are dirty then as of
 * lsn. RUB_ECORRUPT: not a chunk of this table, other shape, or a row that is here already;
 * RUB_ENOMEM, RUB_ELIMIT. After a failure a part was taken. */
int rub_ptable_adopt(rub_ptable_t *self, const void *bytes, size_t n_bytes, uint64_t lsn,
                     rub_error_t *err);
void rub_ptable_set_recovering(rub_ptable_t *self, bool recovering);

/* ---- everything that is stored ---- */

/* id: a key, or a block's number in the table. values: n weights, borrowed; n is the width, or how
 * many elements the block has. A return that is not 0 ends the walk. */
typedef int (*rub_row_visit_t)(void *context, uint64_t id, const float *values, size_t n,
                               rub_error_t *err);
/* Visits each stored row or block once, in no order that means anything. Returns what visit did. */
int rub_ptable_each_row(const rub_ptable_t *self, rub_row_visit_t visit, void *context,
                        rub_error_t *err);
/* What rows are that nobody has pushed. Borrowed. */
const rub_initializer_t *rub_ptable_initializer(const rub_ptable_t *self);

/* Stores a row or block that is not there yet, as it is before its first push: these n weights, and
 * slots and steps as of a new one. id: a key, or a block's number, of this shard. RUB_ESHAPE: n is
 * not what the row or block has, or another shard's; RUB_ECORRUPT: it is there; RUB_ELIMIT,
 * RUB_ENOMEM. */
int rub_ptable_put(rub_ptable_t *self, uint64_t id, const float *values, size_t n, uint64_t lsn,
                   rub_error_t *err);

/* The elements of a dense table that this shard holds. */
void rub_ptable_run(const rub_ptable_t *self, uint64_t *first_p, uint64_t *n_p);

/* ---- counters ---- */

/* Order-free sum over stored rows and blocks of hash(table name, key or block number, crc32c of the
 * weights). */
uint64_t rub_ptable_digest(const rub_ptable_t *self);
uint64_t rub_ptable_rows(const rub_ptable_t *self); /* stored rows, or blocks */
/* How often a push named a row that is not there and was not admitted, in this life. */
uint64_t rub_ptable_not_admitted(const rub_ptable_t *self);
/* Of chunks and index. */
size_t rub_ptable_memory_bytes(const rub_ptable_t *self);

#endif
