/* What a factorization says of users and items, and how good that is: the same for a job's workers
 * (rows over a session), for local loops, and for weights at rest. Who is not known has no vector
 * and no bias: then the mean and the other side speak alone. */
#ifndef RUB_RATING_FIGURES_H
#define RUB_RATING_FIGURES_H

#include "worker/model/item_ranking.h"
#include "worker/train/ratings_task.h"

/* Sums over test examples. */
typedef struct rub_rating_figures {
    double ratings, squares, absolutes; /* of mf: of the differences */
    rub_item_ranks_t ranks;             /* of kinds that draw */
} rub_rating_figures_t;

/* Adds examples [first, last) of the part (part->n of them). Reads all items' rows, and those of
 * the users some thousand at a time. RUB_ENOMEM, and what the source says. */
int rub_rating_figures_add(const rub_ratings_task_t *task, const rub_rating_part_t *part,
                           const rub_rating_source_t *source, uint64_t first, uint64_t last,
                           rub_rating_figures_t *figures, rub_error_t *err);

/* The measures that they make; how many. */
size_t rub_rating_figures_measures(const rub_ratings_task_t *task,
                                   const rub_rating_figures_t *figures,
                                   rub_measure_t measures[RUB_TASK_MEASURES_LIMIT]);

/* All rows of a side, by number. */
typedef struct rub_rating_rows {
    float *vectors, *bias; /* bias: zeros where the kind has none */
    size_t n;
} rub_rating_rows_t;

/* Reads rows [first, first + n) of users or items. The caller closes it, also on failure. */
int rub_rating_rows_open(const rub_ratings_task_t *task, const rub_rating_source_t *source,
                         bool users, uint64_t first, size_t n, rub_rating_rows_t *self,
                         rub_error_t *err);
void rub_rating_rows_close(rub_rating_rows_t *self);

/* The score of a user and an item, by their places in the rows; RUB_NO_WORD: not known. */
float rub_rating_score(const rub_ratings_task_t *task, double mean, const rub_rating_rows_t *users,
                       uint32_t user, const rub_rating_rows_t *items, uint32_t item);

#endif
