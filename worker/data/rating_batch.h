/* A batch of ratings ready for training: the rows that it needs, each once, and, where negatives
 * are drawn, chunks that share them. Rows are numbered from 0 in the order of their first place. */
#ifndef RUB_RATING_BATCH_H
#define RUB_RATING_BATCH_H

#include "worker/data/rating_set.h"

/* How negatives are drawn: items that stand for all that a user has not chosen. */
typedef struct rub_rating_plan {
    uint64_t seed;
    size_t chunk;      /* ratings that share them */
    size_t uniform;    /* of a chunk: drawn from all items */
    size_t from_chunk; /* of a chunk: drawn from its own ratings, so by their frequency, and for no
                          row more */
} rub_rating_plan_t;

typedef struct rub_rating_batch {
    rub_rating_plan_t plan;
    size_t capacity;
    size_t n;                /* ratings */
    uint32_t *users, *items; /* rows, n each */
    float *values;           /* n */
    size_t n_chunks;         /* the last may be shorter */
    uint32_t *negatives;     /* rows of items: uniform + from_chunk of each chunk */
    size_t *skip_starts;     /* n + 1 */
    uint32_t *skips; /* skips[skip_starts[i] .. skip_starts[i + 1]): which of its chunk's negatives
                        the user of rating i has in training, in any order: they are none to it */
    size_t skips_room;
    uint64_t *user_keys, *item_keys;                     /* numbers, by row */
    size_t n_users, n_items;                             /* rows */
    uint32_t *row_of_user, *row_of_item, *places, *same; /* maps, clean between calls */
} rub_rating_batch_t;

/* Room for up to capacity ratings of that set. plan: chunk >= 1. The caller's; NULL when memory is
 * short. */
rub_rating_batch_t *rub_rating_batch_new(const rub_rating_plan_t *plan, const rub_rating_set_t *set,
                                         size_t capacity);
void rub_rating_batch_destroy(rub_rating_batch_t **self_p); /* NULL is fine */

/* Makes the training ratings at places [first, first + count) of the order the batch, count <=
 * capacity. What is drawn is a function of the plan's seed, data_epoch and first. RUB_ENOMEM. */
int rub_rating_batch_fill(rub_rating_batch_t *self, const rub_rating_set_t *set,
                          const uint32_t *order, uint64_t data_epoch, size_t first, size_t count,
                          rub_error_t *err);

#endif
