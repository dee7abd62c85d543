/* The table of what can be evaluated. Everything else takes labelled examples of a fixed width. */
#include "worker/train/evaluation.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/data/csv_fields.h"
#include "worker/data/format_guess.h"
#include "worker/model/model.h"
#include "worker/train/clicks_evaluation.h"
#include "worker/train/clicks_task.h"
#include "worker/train/dense_evaluation.h"
#include "worker/train/graph_evaluation.h"
#include "worker/train/graph_task.h"
#include "worker/train/ratings_evaluation.h"
#include "worker/train/ratings_task.h"
#include "worker/train/remote_data.h"
#include "worker/train/words_evaluation.h"
#include "worker/train/words_task.h"

#include <math.h>
#include <string.h>

static bool any_other(const rub_config_t *config)
{
    (void)config;
    return true;
}

static const rub_evaluation_kind_t kinds[] = {
    {rub_clicks_task_wanted, rub_clicks_measure, rub_clicks_predict, rub_clicks_likely},
    {rub_words_task_wanted, rub_words_measure, NULL, NULL}, /* of pairs against negatives */
    {rub_graph_task_wanted, rub_graph_measure, NULL, NULL},
    {rub_ratings_task_wanted, rub_ratings_measure, rub_ratings_predict, NULL},
    {any_other, rub_dense_measure, rub_dense_predict, any_other},
};

static const rub_evaluation_kind_t *kind_of(const rub_config_t *config)
{
    size_t i = 0;
    while (!kinds[i].wanted(config)) {
        i++;
    }
    return &kinds[i];
}

/* Behind a loss that is minus the mean log-likelihood: e to it. */
static void add_perplexity(rub_measure_t measures[RUB_TASK_MEASURES_LIMIT], size_t *n_p)
{
    for (size_t i = 0; i < *n_p && *n_p < RUB_TASK_MEASURES_LIMIT; i++) {
        if (strcmp(measures[i].name, "loss") == 0) {
            measures[(*n_p)++] = (rub_measure_t){"perplexity", exp(measures[i].value)};
            return;
        }
    }
}

static int check_data(const rub_evaluation_t *self, rub_error_t *err)
{
    rub_model_threads((unsigned)self->config->blas_threads);
    return self->data[0] ? 0
                         : rub_fail(err, RUB_ECONFIG,
                                    "no data: the run has no test data, and --data names none");
}

/* Of examples of a fixed width. */
static bool is_array(const char *format)
{
    return strcmp(format, "idx") == 0 || strcmp(format, "npy") == 0;
}

/* The same evaluation of files that are here; words: the caller's, on failure too. */
static int fetch(const rub_evaluation_t *self, rub_evaluation_t *here, char *words[2],
                 rub_error_t *err)
{
    *here = *self;
    int rc = rub_remote_data_fetch(self->config, self->data, &words[0], err);
    rc = rc ? rc : rub_remote_data_fetch(self->config, self->labels, &words[1], err);
    here->data = words[0];
    here->labels = words[1];
    return rc;
}

/* Images and text are not taken for each other: what a byte of one is to the other helps nobody. */
static int check_format(const rub_evaluation_t *self, rub_error_t *err)
{
    const char *const wanted = rub_config_word(self->config, RUB_OPT_data_format);
    const char *format = NULL;
    if (strcmp(self->data, "-") == 0) {
        return 0;
    }
    const int rc = rub_format_guess(self->data, &format, err);
    return rc || is_array(format) == is_array(wanted)
               ? rc
               : rub_fail(err, RUB_EDATA, "data '%s' are %s, model_kind %s of this run reads %s",
                          self->data, format, rub_config_word(self->config, RUB_OPT_model_kind),
                          wanted);
}

/* Columns are the run's own, by the names in what it was trained on, should that be there still;
 * label: of those whose label nobody needs. */
static int check_columns(const rub_evaluation_t *self, const char *label, rub_error_t *err)
{
    const rub_config_t *config = self->config;
    return config->csv_header ? rub_csv_same_columns(rub_config_word(config, RUB_OPT_data_format),
                                                     self->data, config->train_file, label, err)
                              : 0;
}

int rub_evaluate(const rub_evaluation_t *self, rub_measure_t measures[RUB_TASK_MEASURES_LIMIT],
                 size_t *n_measures_p, uint64_t *n_examples_p, rub_error_t *err)
{
    const rub_evaluation_kind_t *kind = kind_of(self->config);
    char *words[2] = {NULL, NULL};
    rub_evaluation_t here;
    int rc = check_data(self, err);
    rc = rc ? rc : fetch(self, &here, words, err);
    rc = rc ? rc : check_format(&here, err);
    rc = rc ? rc : check_columns(&here, NULL, err);
    rc = rc ? rc : kind->measure(&here, measures, n_measures_p, n_examples_p, err);
    if (rc == 0 && kind->likelihood && kind->likelihood(self->config)) {
        add_perplexity(measures, n_measures_p);
    }
    rub_free(words[0]);
    rub_free(words[1]);
    return rc;
}

const char *rub_evaluation_counts(const rub_config_t *config)
{
    return rub_ratings_task_wanted(config) && rub_ratings_task_ranks(config) ? "users" : "examples";
}

int rub_predict(const rub_evaluation_t *self, FILE *out, uint64_t *n_examples_p, rub_error_t *err)
{
    const rub_evaluation_kind_t *kind = kind_of(self->config);
    char *words[2] = {NULL, NULL};
    rub_evaluation_t here;
    int rc = check_data(self, err);
    if (rc == 0 && !kind->predict) {
        return rub_fail(err, RUB_ECONFIG, "model_kind %s predicts nothing for examples",
                        rub_config_word(self->config, RUB_OPT_model_kind));
    }
    rc = rc ? rc : fetch(self, &here, words, err);
    rc = rc ? rc : check_format(&here, err);
    rc = rc ? rc : check_columns(&here, self->config->csv_label, err);
    rc = rc ? rc : kind->predict(&here, out, n_examples_p, err);
    rub_free(words[0]);
    rub_free(words[1]);
    return rc;
}
