/* A sparse set whose keys are numbers from 0 on: the keys that it has, in ascending order, counted.
 * For who keeps a row for each of them in an array, and wants to look nothing up. */
#ifndef RUB_NUMBERED_SET_H
#define RUB_NUMBERED_SET_H

#include "worker/data/sparse_set.h"

/* Read by anybody. */
typedef struct rub_numbered_set {
    /* The same examples with other keys: of a column with keys of its own, and of all others, they
     * are numbered from 0, below the number of the column that they are said with. Offsets, values
     * and labels are the first set's. */
    rub_sparse_set_t set;
    /* The keys that were numbered: those of column i of the n_own are names[parts[i]] to
     * names[parts[i + 1]], without the column's number, all others stand behind parts[n_own]. */
    uint32_t *names;
    size_t *parts; /* n_own + 2 */
} rub_numbered_set_t;

/* Numbers the keys of a set, which must outlive self. Takes as many bytes as the keys do, and while
 * it works a bit and a half for each key that the set might have, up to its greatest. The caller's
 * (rub_numbered_set_close), on failure too. RUB_ENOMEM. Does not block. */
int rub_numbered_set_open(const rub_sparse_set_t *set, rub_numbered_set_t *self, rub_error_t *err);
void rub_numbered_set_close(rub_numbered_set_t *self); /* zeros are fine */

#endif
