/* A factorization at rest: numbers of users and items are those that the run gave them, so its own
 * files are read again; they also say which items a user has already. Whom they do not name is not
 * known, and is spoken of by the mean and the other side. */
#include "worker/train/ratings_evaluation.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/num/exponential.h"
#include "worker/train/rating_figures.h"
#include "worker/train/workload.h"

#include <string.h>

typedef struct resting {
    rub_workload_t workload;
    const rub_ratings_task_t *task; /* the workload's */
    const rub_weight_table_t *tables[RUB_RATING_TABLES];
    rub_rating_source_t source;
} resting_t;

/* A row that was never pushed is what a pull would make it. */
static int read_rows(void *context, rub_rating_table_t table, uint64_t first, size_t n,
                     float *values, rub_error_t *err)
{
    const resting_t *self = context;
    uint64_t *keys = rub_calloc(n, sizeof(*keys));
    if (!keys) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %zu rows of '%s'", n,
                        self->tables[table]->name);
    }
    for (size_t i = 0; i < n; i++) {
        keys[i] = first + i;
    }
    rub_weight_table_rows(self->tables[table], keys, n, values);
    rub_free(keys);
    return 0;
}

static int find_tables(const rub_evaluation_t *of, resting_t *self, rub_error_t *err)
{
    rub_delta_table_t tables[RUB_RATING_TABLES];
    const rub_ratings_task_t *task = self->task;
    const rub_weight_table_t *mean = NULL;
    const size_t n =
        rub_rating_tables(task->kind, task->spec.width, rub_vocabulary_size(task->set->users),
                          rub_vocabulary_size(task->set->items), &task->update, tables);
    int rc = 0;
    for (size_t t = 0; t < n && rc == 0; t++) {
        rc = rub_weights_expect(of->weights, tables[t].name, 0, tables[t].width, &self->tables[t],
                                err);
    }
    if (rc == 0 && !task->kind->draws) {
        rc = rub_weights_expect(of->weights, RUB_RATING_MEAN_NAME, 1, 0, &mean, err);
    }
    self->source = (rub_rating_source_t){read_rows, self, mean ? (double)mean->values[0] : 0};
    return rc;
}

static int resting_open(const rub_evaluation_t *of, resting_t *self, rub_error_t *err)
{
    *self = (resting_t){0};
    int rc = rub_workload_open(of->config, &self->workload, err);
    if (rc == 0) {
        self->task = rub_ratings_task_of(self->workload.task);
        rc = find_tables(of, self, err);
    }
    return rc;
}

int rub_ratings_measure(const rub_evaluation_t *self,
                        rub_measure_t measures[RUB_TASK_MEASURES_LIMIT], size_t *n_measures_p,
                        uint64_t *n_examples_p, rub_error_t *err)
{
    resting_t resting;
    rub_rating_figures_t figures = {0};
    int rc = resting_open(self, &resting, err);
    if (rc == 0 && !self->held_out && strcmp(self->data, self->config->test_file) != 0) {
        rc = rub_ratings_task_test(resting.workload.task, self->data, err);
    }
    if (rc == 0) {
        *n_examples_p = resting.task->task.n_test;
        rc = rub_rating_figures_add(resting.task, &resting.source, 0, *n_examples_p, &figures, err);
    }
    if (rc == 0) {
        *n_measures_p = rub_rating_figures_measures(resting.task, &figures, measures);
    }
    rub_workload_close(&resting.workload);
    return rc;
}

/* ---- predicting ---- */

typedef struct predicting {
    const resting_t *resting;
    rub_rating_rows_t users, items;
    bool as_odds; /* scores are log-odds, and probabilities are said */
    FILE *out;
    uint64_t n;
} predicting_t;

static int predict(void *context, const rub_rating_t *rating, rub_error_t *err)
{
    predicting_t *self = context;
    const resting_t *resting = self->resting;
    (void)err; /* a stream's errors are told when the file is finished */
    const float score = rub_rating_score(resting->task, resting->source.mean, &self->users,
                                         rating->user, &self->items, rating->item);
    fprintf(self->out, "%.9g\n", (double)(self->as_odds ? rub_logistic(score) : score));
    self->n++;
    return 0;
}

int rub_ratings_predict(const rub_evaluation_t *self, FILE *out, uint64_t *n_examples_p,
                        rub_error_t *err)
{
    resting_t resting;
    int rc = resting_open(self, &resting, err);
    predicting_t predicting = {.resting = &resting, .out = out};
    if (rc == 0 && strcmp(rub_config_word(self->config, RUB_OPT_predictions), "class") == 0) {
        rc = rub_fail(err, RUB_ECONFIG, "predictions: class, model_kind %s has none",
                      resting.task->kind->name);
    }
    if (rc == 0) {
        const rub_rating_set_t *set = resting.task->set;
        const rub_rating_options_t file = {
            .path = self->data, .interactions = true, .closed = true};
        predicting.as_odds = resting.task->kind->draws && resting.task->kind->user_bias;
        rc = rub_rating_rows_open(resting.task, &resting.source, true, 0,
                                  rub_vocabulary_size(set->users), &predicting.users, err);
        rc = rc ? rc
                : rub_rating_rows_open(resting.task, &resting.source, false, 0,
                                       rub_vocabulary_size(set->items), &predicting.items, err);
        rc = rc ? rc
                : rub_rating_reader_scan(&file, set->users, set->items, predict, &predicting, err);
    }
    *n_examples_p = predicting.n;
    rub_rating_rows_close(&predicting.users);
    rub_rating_rows_close(&predicting.items);
    rub_workload_close(&resting.workload);
    return rc;
}
