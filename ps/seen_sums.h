/* The sums of gradients as they stood when ranks were given rows of tables whose optimizer revises
 * (AdaRevision): a copy per rank and open period, of the rows that were given. What a row's sum has
 * grown by since is what a late gradient could not know. A row is one of a hashed table, by its
 * key, or a block of a dense one, by its number.
 *
 * Memory: 4 bytes for each value that was given, and 16 for each row, times the ranks that pull,
 * twice with a prefetch, and up to twice that: a copy grows by doubling. Lives as long as the
 * process: nothing here is stored, or read in a replay. Copies give way to rows of tables: whoever
 * has no room for those forgets them all. Pure. */
#ifndef RUB_SEEN_SUMS_H
#define RUB_SEEN_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUB_SUMS_COPIES 2u /* of a rank and table: pulls are made one period ahead */

typedef struct rub_sums_key {
    uint32_t table, rank, epoch;
    uint64_t clock; /* of the period that the rows are for */
} rub_sums_key_t;

typedef struct rub_sums_copy {
    rub_sums_key_t key;
    size_t width;     /* floats of a row, always the same of a table */
    uint64_t *ids;    /* of n rows */
    float *sums;      /* n x width */
    uint32_t *places; /* open addressing: row + 1, 0: empty; twice as many as there may be rows */
    size_t n, capacity;
} rub_sums_copy_t;

typedef struct rub_seen_sums {
    rub_sums_copy_t *copies;
    size_t n, capacity;
    size_t bytes;
} rub_seen_sums_t;

void rub_sums_fini(rub_seen_sums_t *self); /* begins as zeros, and is zeros again */

/* The copy of that rank for that period, where what is given is to be noted: the one that is there,
 * or one of a period that is over (its clock below done, or of another epoch), emptied, or a new
 * one. NULL: no memory, or the rank has RUB_SUMS_COPIES periods open already (*full_p: the former).
 * Borrowed until the next call. */
rub_sums_copy_t *rub_sums_open(rub_seen_sums_t *self, const rub_sums_key_t *key, uint64_t done,
                               size_t width, bool *full_p);
/* Where the sums of that row go: the place that it has, or a new one if the copy grows by no more
 * than room_bytes. NULL: no room. Borrowed until the next call. */
float *rub_sums_note(rub_seen_sums_t *self, rub_sums_copy_t *copy, uint64_t id, size_t room_bytes);

/* What the rank was given for that period; NULL: nobody knows. Borrowed until the next call that
 * changes anything. */
const rub_sums_copy_t *rub_sums_of(const rub_seen_sums_t *self, const rub_sums_key_t *key);
/* The row's sums in it; NULL: it was not given. Borrowed likewise. */
const float *rub_sums_find(const rub_sums_copy_t *copy, uint64_t id);

/* These rows (n_ids little-endian u64) are no more: if one is made anew its sums begin at 0, which
 * is what all ranks that were given it have from now on. */
void rub_sums_restart(rub_seen_sums_t *self, uint32_t table, const uint8_t *ids, size_t n_ids);

/* Frees the copies of epochs for which lives says false. */
typedef bool (*rub_sums_lives_t)(const void *context, uint32_t rank, uint32_t epoch);
void rub_sums_forget_gone(rub_seen_sums_t *self, rub_sums_lives_t lives, const void *context);

#endif
