/* A warm start of a factorization of ratings: which user and which item a row is of, names say,
 * since other ratings number them differently. */
#ifndef RUB_WARM_RATINGS_H
#define RUB_WARM_RATINGS_H

#include "common/num/weights.h"
#include "worker/train/ratings_task.h"

/* Moves the rows of users and items to the numbers that the task gives their names; who and what it
 * does not have are dropped. The old numbers are those of users.txt and items.txt in the run
 * directory that init is, or is a snapshot of, or beside the file that it is. RUB_ECONFIG: they are
 * not there; RUB_EDATA: they are malformed; RUB_ENOMEM. Blocks. */
int rub_warm_ratings(const rub_ratings_task_t *task, const char *init, rub_weights_t *weights,
                     rub_error_t *err);

/* The same of a file that says names itself, in which white space is '_': of vectors of items, or
 * of one table. RUB_ENOMEM. */
int rub_warm_names(const rub_ratings_task_t *task, const rub_vocabulary_t *names,
                   rub_weights_t *weights, rub_error_t *err);

#endif
