/* Two batches that take turns: while one is trained the next is made ready. Knows which stretch of
 * the data each of the two holds, not what a batch is. All zeros: neither holds anything. Pure; one
 * thread. */
#ifndef RUB_BATCH_TURNS_H
#define RUB_BATCH_TURNS_H

#include <stdbool.h>
#include <stdint.h>

/* Places [first, first + count) of a data epoch. */
typedef struct rub_stretch {
    uint64_t epoch, first, count; /* count 0: none */
} rub_stretch_t;

typedef struct rub_batch_turns {
    rub_stretch_t holds[2];
    unsigned current; /* 0 or 1 */
    uint64_t epoch;   /* that both calls below speak of; the caller sets it */
} rub_batch_turns_t;

/* Makes that stretch the current one. True: it was made ready before; false: the caller fills batch
 * `current` with it now. count: at least 1. */
bool rub_batch_turns_take(rub_batch_turns_t *self, uint64_t first, uint64_t count);
/* The number of the batch that the caller fills with that stretch now, to be taken next. */
unsigned rub_batch_turns_ahead(rub_batch_turns_t *self, uint64_t first, uint64_t count);

#endif
