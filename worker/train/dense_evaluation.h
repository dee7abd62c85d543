/* Classifiers of examples of a fixed width, at rest: rows of the table in
 * worker/train/evaluation.c. */
#ifndef RUB_DENSE_EVALUATION_H
#define RUB_DENSE_EVALUATION_H

#include "worker/model/model.h"
#include "worker/train/evaluation.h"

int rub_dense_measure(const rub_evaluation_t *self, rub_measure_t measures[RUB_TASK_MEASURES_LIMIT],
                      size_t *n_measures_p, uint64_t *n_examples_p, rub_error_t *err);
int rub_dense_predict(const rub_evaluation_t *self, FILE *out, uint64_t *n_examples_p,
                      rub_error_t *err);

/* A network at rest. */
typedef struct rub_resting_network {
    rub_model_t *model;
    const float **params; /* its tables, borrowed from the weights */
    uint32_t n_classes;
} rub_resting_network_t;

/* The network that the configuration asks for, with these weights. data: of model_kind sequential,
 * a file of examples, whose head says what shape an image has (labels: beside it where the format
 * is not idx). RUB_ECONFIG: no network, or the weights are not of it; RUB_EDATA, RUB_ENOMEM. To be
 * closed, also on failure. Blocks on the file. */
int rub_resting_network_open(const rub_evaluation_t *of, rub_resting_network_t *self,
                             rub_error_t *err);
void rub_resting_network_close(rub_resting_network_t *self);

#endif
