/* Word vectors at rest: a row of the table in worker/train/evaluation.c. */
#ifndef RUB_WORDS_EVALUATION_H
#define RUB_WORDS_EVALUATION_H

#include "worker/train/evaluation.h"

/* The loss of a text: what one worker reports of it as test_file. */
int rub_words_measure(const rub_evaluation_t *self, rub_measure_t measures[RUB_TASK_MEASURES_LIMIT],
                      size_t *n_measures_p, uint64_t *n_examples_p, rub_error_t *err);

#endif
