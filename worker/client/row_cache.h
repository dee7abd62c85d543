/* Rows that a reader has pulled, kept for its next pulls: so much memory, found by key, replaced by
 * CLOCK (F. J. Corbató, "A paging experiment with the Multics system", 1968).
 *
 * Each row knows as of when it is: the shard held these values at that moment or later. Who asks
 * says how old a row may be; an older one counts as missing. Each row knows its version, too (the
 * lsn of the shard's last change); an older version never takes a newer one's place.
 *
 * Not thread-safe; owned by the client core. No time, no I/O. */
#ifndef RUB_ROW_CACHE_H
#define RUB_ROW_CACHE_H

#include <stddef.h>
#include <stdint.h>

typedef struct rub_row_cache rub_row_cache_t;

/* What it takes to keep a single row. width: float32 of a row, 1.. */
size_t rub_row_cache_least_bytes(uint32_t width);

/* limit_bytes: of all its memory but for a small head, at least rub_row_cache_least_bytes. NULL
 * when memory is short. */
rub_row_cache_t *rub_row_cache_new(uint32_t width, size_t limit_bytes);
void rub_row_cache_destroy(rub_row_cache_t **self_p); /* NULL is fine */

void rub_row_cache_clear(rub_row_cache_t *self); /* no row is in it any more */

/* Looks up n keys. Of each row that is here and as of oldest_ms or later, values (n x width, rows
 * in the order of keys) gets the weights, and exists (n flags, may be NULL) whether it was ever
 * pushed; the others' places are left as they are. Returns how many are missing; missing (room for
 * n) gets their positions, ascending. */
size_t rub_row_cache_take(rub_row_cache_t *self, const uint64_t *keys, size_t n, uint64_t oldest_ms,
                          float *values, uint8_t *exists, uint32_t *missing);

/* What a shard said of a row. */
typedef struct rub_cached_row {
    uint64_t key;
    uint64_t version;    /* the shard's last change when it answered */
    uint64_t as_of_ms;   /* it was asked then: what it said is no older */
    const float *values; /* width */
    uint8_t exists;
} rub_cached_row_t;

/* Keeps it, perhaps in another row's place: one that is older than oldest_ms, or has not been asked
 * for since the hand came by. A version older than the one that is here is ignored. */
void rub_row_cache_put(rub_row_cache_t *self, const rub_cached_row_t *row, uint64_t oldest_ms);
/* That key is put RUB_ROW_CACHE_AHEAD calls from now: asks for the memory that will be needed. */
#define RUB_ROW_CACHE_AHEAD 8u
void rub_row_cache_expect(const rub_row_cache_t *self, uint64_t key);

size_t rub_row_cache_rows(const rub_row_cache_t *self);
size_t rub_row_cache_limit_rows(const rub_row_cache_t *self);
/* Of the memory taken by new, what its rows and their index use by now. */
size_t rub_row_cache_bytes(const rub_row_cache_t *self);

#endif
