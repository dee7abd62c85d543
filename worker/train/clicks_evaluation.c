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
#include "worker/train/clicks_gradient.h"

#include <string.h>

#define AT_ONCE 8192u    /* examples */
enum { EMBEDDINGS = 1 }; /* the table of them, in deep models */

typedef struct resting {
    rub_sparse_model_t *model;
    const rub_sparse_table_t *tables;
    size_t n_tables;
    rub_column_tables_t columns;
    const rub_weight_table_t **weights; /* as columns.items */
    float *rows[RUB_SPARSE_TABLES_MOST];
    size_t room[RUB_SPARSE_TABLES_MOST];
    rub_deep_score_t *deep; /* of deep models, else NULL */
    const float **params;   /* its tables, borrowed from the weights */
    rub_field_layout_t layout;
    const char *data;
    rub_sparse_options_t options;
    rub_sparse_pass_t *pass;
    rub_sparse_batch_t *batch;
    uint64_t n_scored; /* before the batch */
    size_t outputs;    /* scores of an example */
    float *scores;     /* AT_ONCE x outputs */
    float more[AT_ONCE];
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
    rub_field_layout_close(&self->layout);
    rub_column_tables_close(&self->columns);
    rub_free(self->weights);
    rub_free(self->params);
    rub_free(self->scores);
    rub_free(self);
}

static int find_tables(const rub_evaluation_t *of, resting_t *self, rub_error_t *err)
{
    self->tables = rub_sparse_model_tables(self->model, &self->n_tables);
    const size_t n = self->n_tables * (self->columns.n_own + 1u);
    self->weights = rub_calloc(n, sizeof(*self->weights));
    int rc = self->weights ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for %zu tables", n);
    for (size_t i = 0; i < n && rc == 0; i++) {
        const rub_row_table_t *const table = &self->columns.items[i];
        rc = rub_weights_expect(of->weights, table->name, 0, table->width, &self->weights[i], err);
    }
    return rc;
}

static int open_deep(const rub_evaluation_t *of, resting_t *self, rub_error_t *err)
{
    size_t n_tables = 0;
    int rc = rub_clicks_deep_open(of->config, &self->columns, &self->deep, &self->layout, err);
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
    int rc = rub_column_tables_find(config, of->weights, &self->columns, err);
    self->options.own = self->columns.own;
    self->options.n_own = self->columns.n_own;
    rc = rc ? rc : rub_clicks_model_new(config, &self->columns, &self->model, err);
    rc = rc ? rc : find_tables(of, self, err);
    rc = rc || !rub_sparse_kind_named(kind)->is_deep ? rc : open_deep(of, self, err);
    rc = rc ? rc : rub_sparse_pass_open(&self->options, &self->pass, err);
    if (rc) {
        return rc;
    }
    self->outputs = rub_sparse_model_outputs(self->model);
    self->scores = rub_calloc(AT_ONCE, self->outputs * sizeof(*self->scores));
    self->batch = rub_sparse_batch_new(AT_ONCE);
    return self->batch && self->scores
               ? 0
               : rub_fail(err, RUB_ENOMEM, "no memory for %u examples", AT_ONCE);
}

/* Of each table of the model the rows of one column's table behind the other's. */
static int fetch_rows(resting_t *self, rub_error_t *err)
{
    const rub_sparse_batch_t *const batch = self->batch;
    const size_t n_of = self->columns.n_own + 1u;
    for (size_t t = 0; t < self->n_tables; t++) {
        const size_t n = rub_sparse_lines(&self->tables[t], batch->n_keys);
        const size_t want = (n + 1) * self->tables[t].width;
        if (rub_grow(&self->rows[t], &self->room[t], want, sizeof(float)) != 0) {
            return rub_fail(err, RUB_ENOMEM, "no memory for %zu rows", n);
        }
        float *rows = self->rows[t];
        for (size_t c = 0; c < n_of; c++) {
            const size_t end = batch->parts[c + 1] < n ? batch->parts[c + 1] : n;
            const rub_weight_table_t *const weights = self->weights[t * n_of + c];
            rub_weight_table_rows(weights, batch->keys + batch->parts[c], end - batch->parts[c],
                                  rows);
            rows += (end - batch->parts[c]) * weights->width;
        }
    }
    return 0;
}

/* Adds what the network makes of the rows. */
static void add_deep(resting_t *self, const rub_sparse_rows_t *rows)
{
    const rub_field_lines_t *const fields =
        self->columns.n_own > 0 ? rub_field_layout_lines(&self->layout, self->batch) : NULL;
    rub_deep_score_rows(self->deep, self->params, self->rows[EMBEDDINGS], fields, rows, self->more);
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
    rc = self->deep ? rub_clicks_deep_check(&self->layout, batch, self->n_scored, self->data, err)
                    : 0;
    rc = rc ? rc : fetch_rows(self, err);
    if (rc == 0) {
        const rub_sparse_rows_t rows = rub_clicks_rows(batch);
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
    float *scores, *labels;
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

/* Of one class there is no AUC. */
static int add_auc(const scored_t *scored, rub_measure_t *measures, size_t *n_measures_p,
                   rub_error_t *err)
{
    double ordered = 0, pairs = 0;
    uint64_t *items = rub_calloc(scored->n, 2 * sizeof(*items));
    if (!items) {
        return rub_fail(err, RUB_ENOMEM, "no memory to sort %zu scores", scored->n);
    }
    rub_auc_pairs(scored->scores, scored->labels, scored->n, items, items + scored->n, &ordered,
                  &pairs);
    rub_free(items);
    if (pairs > 0) {
        measures[(*n_measures_p)++] = (rub_measure_t){"auc", ordered / pairs};
    }
    return 0;
}

int rub_clicks_measure(const rub_evaluation_t *self,
                       rub_measure_t measures[RUB_TASK_MEASURES_LIMIT], size_t *n_measures_p,
                       uint64_t *n_examples_p, rub_error_t *err)
{
    resting_t *resting = NULL;
    scored_t scored = {0};
    rub_sparse_figures_t sums = {0};
    int rc = resting_open(self, &resting, err);
    const rub_sparse_loss_t loss = rc ? RUB_LOSS_LOGISTIC : rub_sparse_model_loss(resting->model);
    while (rc == 0) {
        rc = score_next(resting, err);
        if (rc || resting->batch->count == 0) {
            break;
        }
        rub_sparse_figures_t figures;
        rub_sparse_model_figures(resting->model, resting->scores, resting->batch->labels,
                                 resting->batch->count, &figures);
        sums.loss += figures.loss;
        sums.own += figures.own;
        rc = loss == RUB_LOSS_LOGISTIC ? keep(resting, &scored, err) : 0;
    }
    *n_examples_p = resting ? resting->n_scored : 0;
    if (rc == 0 && *n_examples_p == 0) {
        rc = rub_fail(err, RUB_EDATA, "data '%s' hold 0 examples, expected at least 1", self->data);
    }
    if (rc == 0) {
        *n_measures_p = rub_clicks_figures(loss, &sums, (double)*n_examples_p, measures);
        rc = loss == RUB_LOSS_LOGISTIC ? add_auc(&scored, measures, n_measures_p, err) : 0;
    }
    rub_free(scored.scores);
    rub_free(scored.labels);
    resting_close(&resting);
    return rc;
}

bool rub_clicks_likely(const rub_config_t *config)
{
    return rub_sparse_kind_named(rub_config_word(config, RUB_OPT_model_kind))->loss !=
           RUB_LOSS_SQUARED;
}

/* ---- predicting ---- */

/* Softmax of n scores, which become probabilities; returns the greatest one's place. */
static size_t odds_of(float *scores, size_t n)
{
    size_t greatest = 0;
    float sum = 0;
    for (size_t k = 1; k < n; k++) {
        greatest = scores[k] > scores[greatest] ? k : greatest;
    }
    const float most = scores[greatest];
    for (size_t k = 0; k < n; k++) {
        scores[k] = rub_exp(scores[k] - most);
        sum += scores[k];
    }
    for (size_t k = 0; k < n; k++) {
        scores[k] /= sum;
    }
    return greatest;
}

static void tell(float *scores, size_t n, rub_sparse_loss_t loss, bool classes, FILE *out)
{
    if (loss == RUB_LOSS_SQUARED) {
        fprintf(out, "%.9g\n", (double)scores[0]);
    } else if (loss == RUB_LOSS_LOGISTIC && classes) {
        fputs(scores[0] > 0 ? "1\n" : "0\n", out);
    } else if (loss == RUB_LOSS_LOGISTIC) {
        fprintf(out, "%.9g\n", (double)rub_logistic(scores[0]));
    } else {
        const size_t greatest = odds_of(scores, n);
        if (classes) {
            fprintf(out, "%zu\n", greatest);
            return;
        }
        for (size_t k = 0; k < n; k++) {
            fprintf(out, "%.9g%c", (double)scores[k], k + 1 < n ? '\t' : '\n');
        }
    }
}

/* Clicks are probabilities unless it is said, classes are classes. */
int rub_clicks_predict(const rub_evaluation_t *self, FILE *out, uint64_t *n_examples_p,
                       rub_error_t *err)
{
    resting_t *resting = NULL;
    const char *const wish = rub_config_word(self->config, RUB_OPT_predictions);
    *n_examples_p = 0;
    int rc = !rub_clicks_likely(self->config) && strcmp(wish, "auto") != 0
                 ? rub_fail(err, RUB_ECONFIG,
                            "predictions: %s, but what is predicted are numbers of no class", wish)
                 : resting_open(self, &resting, err);
    const rub_sparse_loss_t loss = rc ? RUB_LOSS_LOGISTIC : rub_sparse_model_loss(resting->model);
    const bool classes = strcmp(wish, "class") == 0 ||
                         (loss == RUB_LOSS_SOFTMAX && strcmp(wish, "probability") != 0);
    while (rc == 0 && !ferror(out)) {
        rc = score_next(resting, err);
        if (rc || resting->batch->count == 0) {
            break;
        }
        for (size_t i = 0; i < resting->batch->count; i++) {
            tell(resting->scores + i * resting->outputs, resting->outputs, loss, classes, out);
        }
        *n_examples_p += resting->batch->count;
    }
    resting_close(&resting);
    return rc;
}
