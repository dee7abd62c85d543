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

typedef struct rub_recommended {
    const char *item;
    double score; /* as of predict */
} rub_recommended_t;

/* What was found for a user: best first. Borrowed until it returns. */
typedef void rub_recommend_fn(void *context, const char *user, const rub_recommended_t *best,
                              size_t n);

/* For each user in turn the config's `top` items with the highest score, but those that the user
 * has in training. RUB_ECONFIG: a user whom training does not have, or no model of ratings;
 * RUB_EDATA, RUB_ENOMEM. Blocks on files. */
int rub_ratings_recommend(const rub_evaluation_t *self, const char *const *users, size_t n_users,
                          rub_recommend_fn *fn, void *context, rub_error_t *err);

#endif
