/* How often keys without a row were pushed, in a fixed amount of memory: a count-min sketch
 * (Cormode and Muthukrishnan 2005) with conservative update (Estan and Varghese 2002), of counters
 * of 4 bits, as the counting filters of DynamicEmbedding and DeepRec have them. A key has four
 * counters in one cache line; they never fall. So a count may be too high, where others share all
 * four, and is never too low.
 *
 * Each partition has counters of its own, so what is counted does not depend on the number of
 * shards. Pure; owned by its table. */
#ifndef RUB_PUSH_COUNTS_H
#define RUB_PUSH_COUNTS_H

#include "include/rubato.h"

#define RUB_PUSH_COUNTS_LINE_BYTES 64u

typedef struct rub_push_counts {
    uint32_t most; /* at which a counter stays, 2..RUB_ADMIT_COUNT_LIMIT; 0: nothing is counted */
    uint32_t first_part, n_parts;
    uint32_t n_lines; /* of a partition */
    uint8_t *cells;   /* n_parts x n_lines x RUB_PUSH_COUNTS_LINE_BYTES */
} rub_push_counts_t;

/* For the partitions [first_part, first_part + n_parts). n_counters: of all partitions of the
 * table, rounded down to whole lines, at least one for each. RUB_ENOMEM: nothing is held. */
int rub_push_counts_init(rub_push_counts_t *self, uint32_t most, uint64_t n_counters,
                         uint32_t first_part, uint32_t n_parts);
void rub_push_counts_fini(rub_push_counts_t *self);

/* One push more of the key with that hash (rub_placement_hash), of these partitions. Returns
 * whether its count is `most` now, or was before. */
bool rub_push_counts_add(rub_push_counts_t *self, uint64_t hash);
/* The key counts as pushed `most` times. */
void rub_push_counts_fill(rub_push_counts_t *self, uint64_t hash);

/* How many counters there are, and how many of them some key has raised. Reads all of them. */
uint64_t rub_push_counts_size(const rub_push_counts_t *self);
uint64_t rub_push_counts_used(const rub_push_counts_t *self);

size_t rub_push_counts_bytes(const rub_push_counts_t *self);
/* Takes the counters of [first_part, first_part + n_parts), bytes: as they stand in cells, that are
 * of its own partitions. RUB_ESHAPE: other lengths; RUB_ECORRUPT: a counter above `most`. */
int rub_push_counts_take(rub_push_counts_t *self, uint32_t first_part, uint32_t n_parts,
                         const uint8_t *bytes, size_t n_bytes, rub_error_t *err);

#endif
