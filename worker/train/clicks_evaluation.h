/* Models of clicks at rest: rows of the table in worker/train/evaluation.c. */
#ifndef RUB_CLICKS_EVALUATION_H
#define RUB_CLICKS_EVALUATION_H

#include "worker/train/evaluation.h"

int rub_clicks_measure(const rub_evaluation_t *self,
                       rub_measure_t measures[RUB_TASK_MEASURES_LIMIT], size_t *n_measures_p,
                       uint64_t *n_examples_p, rub_error_t *err);
/* Is the loss one of probabilities? */
bool rub_clicks_likely(const rub_config_t *config);
int rub_clicks_predict(const rub_evaluation_t *self, FILE *out, uint64_t *n_examples_p,
                       rub_error_t *err);

#endif
