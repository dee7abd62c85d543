/* What a trained model says of data, without a job: weights at rest, and the forward code that
 * training validates with. Kinds of models are rows of a table. Blocks on files; one thread. */
#ifndef RUB_EVALUATION_H
#define RUB_EVALUATION_H

#include "common/conf/config.h"
#include "common/num/weights.h"
#include "worker/data/vocabulary.h"
#include "worker/train/task.h"

#include <stdio.h>

typedef struct rub_evaluation {
    const rub_config_t *config; /* of the run: what model it is, and how its data are read */
    const rub_weights_t *weights;
    const rub_vocabulary_t *words; /* of word vectors; else NULL */
    const char *data;              /* a file; of images, or as the run's test_file; or an address */
    const char *labels;            /* of images; "": none */
    bool held_out; /* the data are what the run trained on: the part that it held out alone */
} rub_evaluation_t;

typedef struct rub_evaluation_kind {
    bool (*wanted)(const rub_config_t *config);
    int (*measure)(const rub_evaluation_t *self, rub_measure_t measures[RUB_TASK_MEASURES_LIMIT],
                   size_t *n_measures_p, uint64_t *n_examples_p, rub_error_t *err);
    /* NULL: there is nothing to predict. */
    int (*predict)(const rub_evaluation_t *self, FILE *out, uint64_t *n_examples_p,
                   rub_error_t *err);
    /* Is its loss minus the mean log of what it gave the true class? NULL: no. */
    bool (*likelihood)(const rub_config_t *config);
} rub_evaluation_kind_t;

/* The figures that training reports of a test set, over all the examples of the data, and of models
 * of classes their perplexity, exp(loss). *n_examples_p says how many examples those are.
 * RUB_ECONFIG: the weights are not of the model that the configuration says, or there is no data;
 * RUB_EDATA, RUB_ENOMEM. */
int rub_evaluate(const rub_evaluation_t *self, rub_measure_t measures[RUB_TASK_MEASURES_LIMIT],
                 size_t *n_measures_p, uint64_t *n_examples_p, rub_error_t *err);

/* What rub_evaluate counts: "examples", or "users", of models that rank items for each. Static. */
const char *rub_evaluation_counts(const rub_config_t *config);

/* Writes a line for each example, in the order of the data, which is read once and in bounded
 * memory: its class, or probabilities (config->predictions). Labels in the data are passed over.
 * RUB_ECONFIG: also a model that predicts nothing. */
int rub_predict(const rub_evaluation_t *self, FILE *out, uint64_t *n_examples_p, rub_error_t *err);

#endif
