/* What each rank was last given of the dense tables whose late gradients are compensated: a copy
 * of the weights per rank and period, and for adaptive compensation a mean of squared gradients.
 *
 * Memory: 4 bytes for each element that this shard holds, times the ranks that pull, twice with a
 * prefetch (the period that is trained and the next), and once more for the squares. Lives as long
 * as the process: nothing here is stored, or read in a replay. Copies give way to rows: whoever has
 * none left forgets them all. Pure. */
#ifndef RUB_SEEN_WEIGHTS_H
#define RUB_SEEN_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUB_SEEN_COPIES 2u /* of a rank and table: pulls are made one period ahead */

typedef struct rub_seen_key {
    uint32_t table, rank, epoch;
    uint64_t clock; /* of the period that the weights are for */
} rub_seen_key_t;

typedef struct rub_seen_copy {
    uint32_t rank, epoch;
    uint64_t clock;
    float *weights; /* of the shard's part of the table */
    bool *known;    /* by block: all of it was given */
} rub_seen_copy_t;

typedef struct rub_seen_table {
    rub_seen_copy_t *copies;
    size_t n, capacity;
    uint64_t n_elements;
    float *squares; /* NULL: none yet */
    bool told;      /* that there is no room */
} rub_seen_table_t;

typedef struct rub_seen_weights {
    rub_seen_table_t *tables; /* index = id */
    size_t n, capacity;
    size_t bytes;
} rub_seen_weights_t;

void rub_seen_fini(rub_seen_weights_t *self); /* begins as zeros, and is zeros again */

/* The copy of that rank for that period, where what is given is to be filled in: the one that is
 * there, or one of a period that is over (its clock below done, or of another epoch), or a new one
 * if it takes no more than room_bytes. n_elements: of the shard's part of the table, always the
 * same. NULL: no room, or the rank has RUB_SEEN_COPIES periods open already (*full_p: the former).
 * Borrowed until the next call. */
rub_seen_copy_t *rub_seen_open(rub_seen_weights_t *self, const rub_seen_key_t *key, uint64_t done,
                               uint64_t n_elements, size_t room_bytes, bool *full_p);
/* Where n elements from first on go, which the rank is given now. */
float *rub_seen_fill(rub_seen_copy_t *copy, uint64_t n_elements, uint64_t first, uint64_t n);

/* What the rank was given of the shard's block for that period; NULL: nobody knows. Borrowed. */
const float *rub_seen_block(const rub_seen_weights_t *self, const rub_seen_key_t *key,
                            uint64_t block);
/* The means of squared gradients of a table that has copies, zeros at first; NULL: no room.
 * Borrowed. */
float *rub_seen_squares(rub_seen_weights_t *self, uint32_t table, size_t room_bytes);
/* True the first time that it is asked for a table with a number below those seen. */
bool rub_seen_tell(rub_seen_weights_t *self, uint32_t table);

/* Frees the copies of epochs for which lives says false. */
typedef bool (*rub_seen_lives_t)(const void *context, uint32_t rank, uint32_t epoch);
void rub_seen_forget_gone(rub_seen_weights_t *self, rub_seen_lives_t lives, const void *context);

#endif
