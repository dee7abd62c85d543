/* Factorizations of ratings at rest: rows of the table in worker/train/evaluation.c. */
#ifndef RUB_RATINGS_EVALUATION_H
#define RUB_RATINGS_EVALUATION_H

#include "worker/train/evaluation.h"

/* Of the run's own test ratings, or of another file's. */
int rub_ratings_measure(const rub_evaluation_t *self,
                        rub_measure_t measures[RUB_TASK_MEASURES_LIMIT], size_t *n_measures_p,
                        uint64_t *n_examples_p, rub_error_t *err);
/* data: lines `user item`, whatever stands behind these. A line each: of mf the rating, of
 * mf_logistic the probability, of mf_bpr the score. */
int rub_ratings_predict(const rub_evaluation_t *self, FILE *out, uint64_t *n_examples_p,
                        rub_error_t *err);

#endif
