/* A pass over the data, a slice of examples at a time: the rows of the slice's keys come out of the
 * weights as they would come out of a pull, and the model scores them, with its network beside the
 * rows where it is deep. Of all that is read only scores and labels stay, and those only to be
 * measured: the AUC is over all pairs. */
#include "worker/train/clicks_evaluation.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/num/exponential.h"
#include "worker/data/sparse_pass.h"
#include "worker/model/auc.h"
#include "worker/model/sparse_model.h"
#include "worker/train/clicks_data.h"
#include "worker/train/clicks_task.h"

#include <string.h>

#define AT_ONCE 8192u    /* examples */
enum { EMBEDDINGS = 1 }; /* the table of them, in deep models */

typedef struct resting {
    rub_sparse_model_t *model;
    const rub_sparse_table_t *tables;
    size_t n_tables;
    const rub_weight_table_t *weights[RUB_SPARSE_TABLES_MOST];
    float *rows[RUB_SPARSE_TABLES_MOST];
    size_t room[RUB_SPARSE_TABLES_MOST];
    rub_deep_score_t *deep; /* of deep models, else NULL */
    const float **params;   /* its tables, borrowed from the weights */
    uint32_t n_fields;
    const char *data;
    rub_sparse_options_t options;
    rub_sparse_pass_t *pass;
    rub_sparse_batch_t *batch;
    uint64_t n_scored; /* before the batch */
    float scores[AT_ONCE], more[AT_ONCE];
} resting_t;

static void resting_close(resting_t **self_p)
{
    resting_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    for (size_t t = 0; t < RUB_SPARSE_TABLES_MOST; t++) {
        rub_free(self->rows[t]);
    }
    rub_sparse_batch_destroy(&self->batch);
    rub_sparse_pass_close(&self->pass);
    rub_sparse_model_destroy(&self->model);
    rub_deep_score_destroy(&self->deep);
    rub_free(self->params);
    rub_free(self);
}

static int find_tables(const rub_evaluation_t *of, resting_t *self, rub_error_t *err)
{
    int rc = 0;
    self->tables = rub_sparse_model_tables(self->model, &self->n_tables);
    for (size_t t = 0; t < self->n_tables && rc == 0; t++) {
        rc = rub_weights_expect(of->weights, self->tables[t].name, 0, self->tables[t].width,
                                &self->weights[t], err);
    }
    return rc;
}

static int open_deep(const rub_evaluation_t *of, resting_t *self, rub_error_t *err)
{
    size_t n_tables = 0;
    int rc = rub_clicks_deep_open(of->config, &self->deep, &self->n_fields, err);
    if (rc) {
        return rc;
    }
    const rub_model_table_t *tables =
        rub_model_tables(rub_deep_score_network(self->deep), &n_tables);
    self->params = rub_calloc(n_tables + 1, sizeof(*self->params));
    if (!self->params) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a model of %zu tables", n_tables);
    }
    for (size_t t = 0; t < n_tables && rc == 0; t++) {
        const rub_weight_table_t *table = NULL;
        rc = rub_weights_expect(of->weights, tables[t].name, tables[t].elements, 0, &table, err);
        self->params[t] = table ? table->values : NULL;
    }
    return rc;
}

static int resting_open(const rub_evaluation_t *of, resting_t **self_p, rub_error_t *err)
{
    const rub_config_t *config = of->config;
    const char *kind = rub_config_word(config, RUB_OPT_model_kind);
    resting_t *self = rub_calloc(1, sizeof(*self));
    *self_p = self;
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a model");
    }
    self->data = of->data;
    rub_clicks_options(config, of->data, &self->options);
    self->options.held_out = of->held_out ? config->held_out : 0;
    self->options.take_held_out = of->held_out;
    self->options.held_out_seed = config->seed;
    int rc = rub_sparse_model_new(kind, (uint32_t)config->factors, &self->model, err);
    rc = rc ? rc : find_tables(of, self, err);
    rc = rc || !rub_sparse_kind_named(kind)->is_deep ? rc : open_deep(of, self, err);
    rc = rc ? rc : rub_sparse_pass_open(&self->options, &self->pass, err);
    self->batch = rc ? NULL : rub_sparse_batch_new(AT_ONCE);
    return rc || self->batch ? rc : rub_fail(err, RUB_ENOMEM, "no memory for %u examples", AT_ONCE);
}

static int fetch_rows(resting_t *self, rub_error_t *err)
{
    for (size_t t = 0; t < self->n_tables; t++) {
        const size_t n = rub_sparse_lines(&self->tables[t], self->batch->n_keys);
        const size_t want = (n + 1) * self->tables[t].width;
        if (rub_grow(&self->rows[t], &self->room[t], want, sizeof(float)) != 0) {
            return rub_fail(err, RUB_ENOMEM, "no memory for %zu rows", n);
        }
        rub_weight_table_rows(self->weights[t], self->batch->keys, n, self->rows[t]);
    }
    return 0;
}

/* A network's inputs have their places. */
static int check_fields(resting_t *self, rub_error_t *err)
{
    const rub_sparse_batch_t *batch = self->batch;
    int rc = 0;
    for (size_t i = 0; i < batch->count && rc == 0; i++) {
        rc = rub_clicks_check_fields(self->n_fields, self->n_scored + i,
                                     batch->starts[i + 1] - batch->starts[i], self->data, err);
    }
    return rc;
}

/* Adds what the network makes of the rows. */
static void add_deep(resting_t *self, const rub_sparse_rows_t *rows)
{
    rub_deep_score_rows(self->deep, self->params, self->rows[EMBEDDINGS], rows, self->more);
    for (size_t i = 0; i < rows->n; i++) {
        self->scores[i] += self->more[i];
    }
}

/* Scores the next examples; the batch's count is 0 behind the last ones. */
static int score_next(resting_t *self, rub_error_t *err)
{
    const rub_sparse_batch_t *batch = self->batch;
    int rc = rub_sparse_pass_next(self->pass, self->batch, err);
    if (rc || batch->count == 0) {
        return rc;
    }
    rc = self->deep ? check_fields(self, err) : 0;
    rc = rc ? rc : fetch_rows(self, err);
    if (rc == 0) {
        const rub_sparse_rows_t rows = {.n = batch->count,
                                        .starts = batch->starts,
                                        .places = batch->places,
                                        .values = batch->values,
                                        .labels = batch->labels,
                                        .n_places = batch->n_keys};
        rub_sparse_model_scores(self->model, (const float *const *)self->rows, &rows, self->scores);
        if (self->deep) {
            add_deep(self, &rows);
        }
        self->n_scored += batch->count;
    }
    return rc;
}

/* ---- measuring ---- */

typedef struct scored {
    float *scores;
    uint8_t *labels;
    size_t n, scores_room, labels_room;
} scored_t;

static int keep(const resting_t *self, scored_t *scored, rub_error_t *err)
{
    const size_t n = self->batch->count, want = scored->n + n;
    if (rub_grow(&scored->scores, &scored->scores_room, want, sizeof(*scored->scores)) != 0 ||
        rub_grow(&scored->labels, &scored->labels_room, want, sizeof(*scored->labels)) != 0) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %zu scores", want);
    }
    memcpy(scored->scores + scored->n, self->scores, n * sizeof(*scored->scores));
    memcpy(scored->labels + scored->n, self->batch->labels, n * sizeof(*scored->labels));
    scored->n = want;
    return 0;
}

static int count_pairs(const scored_t *scored, double *ordered_p, double *pairs_p, rub_error_t *err)
{
    uint64_t *items = rub_calloc(scored->n, 2 * sizeof(*items));
    if (!items) {
        return rub_fail(err, RUB_ENOMEM, "no memory to sort %zu scores", scored->n);
    }
    rub_auc_pairs(scored->scores, scored->labels, scored->n, items, items + scored->n, ordered_p,
                  pairs_p);
    rub_free(items);
    return 0;
}

int rub_clicks_measure(const rub_evaluation_t *self,
                       rub_measure_t measures[RUB_TASK_MEASURES_LIMIT], size_t *n_measures_p,
                       uint64_t *n_examples_p, rub_error_t *err)
{
    resting_t *resting = NULL;
    scored_t scored = {0};
    double ordered = 0, pairs = 0, loss = 0;
    size_t correct = 0;
    int rc = resting_open(self, &resting, err);
    while (rc == 0) {
        rc = score_next(resting, err);
        if (rc || resting->batch->count == 0) {
            break;
        }
        rc = keep(resting, &scored, err);
    }
    if (rc == 0 && scored.n == 0) {
        rc = rub_fail(err, RUB_EDATA, "data '%s' hold 0 examples, expected at least 1", self->data);
    }
    rc = rc ? rc : count_pairs(&scored, &ordered, &pairs, err);
    if (rc == 0) {
        rub_sparse_loss(scored.scores, scored.labels, scored.n, &loss, &correct);
        measures[0] = (rub_measure_t){"loss", loss / (double)scored.n};
        measures[1] = (rub_measure_t){"accuracy", (double)correct / (double)scored.n};
        measures[2] = (rub_measure_t){"auc", pairs > 0 ? ordered / pairs : 0};
        *n_measures_p = pairs > 0 ? 3 : 2; /* of one class there is none */
        *n_examples_p = scored.n;
    }
    rub_free(scored.scores);
    rub_free(scored.labels);
    resting_close(&resting);
    return rc;
}

/* ---- predicting ---- */

int rub_clicks_predict(const rub_evaluation_t *self, FILE *out, uint64_t *n_examples_p,
                       rub_error_t *err)
{
    resting_t *resting = NULL;
    const bool classes = strcmp(rub_config_word(self->config, RUB_OPT_predictions), "class") == 0;
    *n_examples_p = 0;
    int rc = resting_open(self, &resting, err);
    while (rc == 0 && !ferror(out)) {
        rc = score_next(resting, err);
        if (rc || resting->batch->count == 0) {
            break;
        }
        for (size_t i = 0; i < resting->batch->count; i++) {
            const float score = resting->scores[i];
            if (classes) {
                fputs(score > 0 ? "1\n" : "0\n", out);
            } else {
                fprintf(out, "%.9g\n", (double)rub_logistic(score));
            }
        }
        *n_examples_p += resting->batch->count;
    }
    resting_close(&resting);
    return rc;
}
