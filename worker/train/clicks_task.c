/* Clicks, numbers and classes: sparse batches, the rows of their keys, and what is measured of a
 * model of them.
 *
 * Two batches are held, each with a set of rows: the present one and the one that a prefetch is
 * for. Taking the batch that was prefetched swaps them; any other batch is sliced anew. A batch's
 * pull is under way while the batch before it is computed.
 *
 * AUC is counted over the pairs of examples within each worker's share of the validation data:
 * exact with one worker, and with more the mean over shares, weighted by their pairs. An AUC over
 * all pairs needs all scores in one place (21 bytes for each example): at the training's end one
 * rank measures everything by itself. Examples that are streamed are counted in bins, since their
 * scores need not fit into memory. */
#include "worker/train/clicks_task.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/model/auc.h"
#include "worker/train/clicks_gradient.h"
#include "worker/train/parameters.h"
#include "worker/train/row_exchange.h"
#include "worker/train/update.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define VALIDATE_EXAMPLES 8192u                         /* sliced at once, */
#define VALIDATE_ENTRIES (1u << 20)                     /* unless they have more entries */
enum { SUM_OWN = RUB_SUM_OWN, SUM_ORDERED, SUM_PAIRS }; /* own: rub_sparse_figures_t's */

typedef struct slice {
    rub_sparse_batch_t *batch;
    uint64_t first; /* of the order; the batch's count says how many, 0: none */
} slice_t;

typedef struct clicks {
    rub_clicks_task_t open;  /* what is known before there is a session */
    rub_parameters_t *dense; /* of the deep part */
    rub_row_exchange_t *rows;
    slice_t slices[RUB_ROW_SETS];
    unsigned current; /* of slices, and of the exchange's sets */
} clicks_t;

/* ---- opening ---- */

bool rub_clicks_task_wanted(const rub_config_t *config)
{
    const rub_sparse_kind_t *kind =
        rub_sparse_kind_named(rub_config_word(config, RUB_OPT_model_kind));
    return kind && (kind->loss != RUB_LOSS_SOFTMAX ||
                    rub_sparse_format_known(rub_config_word(config, RUB_OPT_data_format)));
}

int rub_clicks_deep_open(const rub_config_t *config, const rub_column_tables_t *columns,
                         rub_deep_score_t **deep_p, rub_field_layout_t *layout, rub_error_t *err)
{
    const uint32_t n_fields = rub_clicks_fields(config);
    uint32_t hidden[RUB_LIST_LIMIT];
    *deep_p = NULL;
    *layout = (rub_field_layout_t){0};
    if (n_fields == 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "fields: 0, %s wants to know how many features every example has",
                        rub_config_word(config, RUB_OPT_model_kind));
    }
    for (uint32_t i = 0; i < config->hidden.n_items; i++) {
        hidden[i] = (uint32_t)config->hidden.items[i];
    }
    rub_deep_spec_t spec = {.n_fields = n_fields,
                            .factors = (uint32_t)config->factors,
                            .hidden = hidden,
                            .n_hidden = config->hidden.n_items,
                            .activation = rub_config_word(config, RUB_OPT_activation),
                            .max_rows = (uint32_t)config->batch};
    const int rc = rub_field_layout_open(columns, n_fields, layout, &spec.n_inputs, err);
    return rc ? rc : rub_deep_score_new(&spec, deep_p, err);
}

int rub_clicks_deep_check(rub_field_layout_t *layout, const rub_sparse_batch_t *batch,
                          uint64_t first, const char *where, rub_error_t *err)
{
    for (size_t i = 0; i < batch->count; i++) { /* as the options of its reader had it */
        RUB_ASSERT(batch->starts[i + 1] - batch->starts[i] == layout->n_fields);
    }
    return layout->columns->n_own == 0 ? 0
                                       : rub_field_layout_check(layout, batch, first, where, err);
}

int rub_clicks_model_new(const rub_config_t *config, const rub_column_tables_t *columns,
                         rub_sparse_model_t **model_p, rub_error_t *err)
{
    return rub_sparse_model_new(rub_config_word(config, RUB_OPT_model_kind),
                                rub_column_tables_widest(columns), model_p, err);
}

static int open_deep(const rub_config_t *config, clicks_t *self, rub_error_t *err)
{
    self->open.more = rub_calloc((size_t)config->batch, sizeof(*self->open.more));
    self->open.slopes = rub_calloc((size_t)config->batch, sizeof(*self->open.slopes));
    return self->open.more && self->open.slopes
               ? rub_clicks_deep_open(config, &self->open.data.columns, &self->open.deep,
                                      &self->open.layout, err)
               : rub_fail(err, RUB_ENOMEM, "no memory for batches of %" PRIu64 " examples",
                          config->batch);
}

static int open_model(const rub_config_t *config, clicks_t *self, rub_error_t *err)
{
    const char *const kind = rub_config_word(config, RUB_OPT_model_kind);
    int rc = rub_clicks_model_new(config, &self->open.data.columns, &self->open.model, err);
    return rc || !rub_sparse_kind_named(kind)->is_deep ? rc : open_deep(config, self, err);
}

static void clicks_close(rub_task_t *task)
{
    clicks_t *self = (clicks_t *)task;
    rub_sparse_model_destroy(&self->open.model);
    rub_deep_score_destroy(&self->open.deep);
    rub_field_layout_close(&self->open.layout);
    rub_free(self->open.more);
    rub_free(self->open.slopes);
    rub_clicks_data_close(&self->open.data);
    rub_free(self);
}

/* ---- batches ---- */

static int clicks_begin(rub_task_t *task, rub_session_t *session, uint64_t batch_examples,
                        rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    const bool larger = rub_clicks_data_validated(&self->open.data)->n_examples > 0 &&
                        batch_examples < VALIDATE_EXAMPLES;
    const size_t capacity = larger ? VALIDATE_EXAMPLES : (size_t)batch_examples;
    bool whole = true;
    for (unsigned set = 0; set < RUB_ROW_SETS; set++) {
        self->slices[set].batch = rub_sparse_batch_new(capacity);
        whole = whole && self->slices[set].batch;
    }
    if (!whole) {
        return rub_fail(err, RUB_ENOMEM, "training: no memory for batches of %zu examples",
                        capacity);
    }
    self->open.update.hyper = rub_update_hyper(&self->open.update, session,
                                               self->open.data.train.n_examples, batch_examples);
    const rub_update_t *update = &self->open.update;
    const int rc = rub_row_exchange_open(session, self->open.model, &self->open.data.columns,
                                         update->hyper.schedule_clocks, &self->rows, err);
    return rc || !self->open.deep
               ? rc
               : rub_parameters_open(session, rub_deep_score_network(self->open.deep),
                                     update->optimizer, &update->hyper, update->push_codec,
                                     update->pull_codec, &self->dense, err);
}

static void clicks_end(rub_task_t *task)
{
    clicks_t *self = (clicks_t *)task;
    rub_row_exchange_close(&self->rows);
    rub_parameters_close(&self->dense);
    for (unsigned set = 0; set < RUB_ROW_SETS; set++) {
        rub_sparse_batch_destroy(&self->slices[set].batch);
    }
}

static void clicks_forget(rub_task_t *task)
{
    clicks_t *self = (clicks_t *)task;
    for (unsigned set = 0; set < RUB_ROW_SETS; set++) {
        rub_row_exchange_forget(self->rows, set);
    }
    if (self->dense) {
        rub_parameters_forget(self->dense);
    }
}

static int clicks_order(rub_task_t *task, uint64_t seed, uint64_t epoch, rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    for (unsigned set = 0; set < RUB_ROW_SETS; set++) {
        self->slices[set].batch->count = 0; /* the same places are other examples now */
    }
    return rub_sparse_source_arrange(&self->open.data.train, self->open.sampling, seed, epoch, err);
}

static int cut(clicks_t *self, unsigned set, rub_sparse_source_t *from, uint64_t first,
               uint64_t count, rub_error_t *err)
{
    rub_sparse_batch_t *batch = self->slices[set].batch;
    rub_row_exchange_forget(self->rows, set);
    self->slices[set].first = first;
    const int rc = rub_sparse_source_fill(from, batch, first, (size_t)count, err);
    return rc || !self->open.deep ? rc
                                  : rub_clicks_deep_check(&self->open.layout, batch, first,
                                                          "the order of this epoch", err);
}

static int clicks_take(rub_task_t *task, uint64_t first, uint64_t count, rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    const unsigned next = 1 - self->current;
    if (self->slices[next].first == first && self->slices[next].batch->count == count) {
        self->current = next;
        return 0;
    }
    return cut(self, self->current, &self->open.data.train, first, count, err);
}

static int ask(clicks_t *self, unsigned set, uint32_t ahead, rub_error_t *err)
{
    return rub_row_exchange_ask(self->rows, set, self->slices[set].batch, ahead, err);
}

static int clicks_pull(rub_task_t *task, rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    int rc = 0;
    if (!rub_row_exchange_asked(self->rows, self->current)) {
        rc = ask(self, self->current, 0, err);
    }
    rc = rc ? rc : rub_row_exchange_await(self->rows, self->current, err);
    return rc || !self->dense ? rc : rub_parameters_pull(self->dense, err);
}

static int clicks_prefetch(rub_task_t *task, uint64_t first, uint64_t count, rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    const unsigned next = 1 - self->current;
    int rc = cut(self, next, &self->open.data.train, first, count, err);
    rc = rc ? rc : ask(self, next, 1, err);
    return rc || !self->dense ? rc : rub_parameters_prefetch(self->dense, err);
}

static void add_figures(const rub_sparse_figures_t *figures, size_t n, double sums[RUB_TASK_SUMS])
{
    sums[RUB_SUM_LOSS] += figures->loss;
    sums[RUB_SUM_EXAMPLES] += (double)n;
    sums[SUM_OWN] += figures->own;
}

static rub_clicks_arrays_t arrays_of(const clicks_t *self, unsigned set)
{
    return (rub_clicks_arrays_t){
        .rows = rub_row_exchange_rows(self->rows, set),
        .row_gradients = rub_row_exchange_gradients(self->rows),
        .network = self->dense ? rub_parameters_current(self->dense) : NULL,
        .network_gradients = self->dense ? rub_parameters_gradients(self->dense) : NULL};
}

static bool has_auc(const clicks_t *self)
{
    return rub_sparse_model_loss(self->open.model) == RUB_LOSS_LOGISTIC;
}

static int clicks_compute(rub_task_t *task, double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    RUB_UNUSED(err);
    const rub_sparse_batch_t *batch = self->slices[self->current].batch;
    const rub_clicks_arrays_t arrays = arrays_of(self, self->current);
    rub_sparse_figures_t figures;
    rub_clicks_gradient(&self->open, batch, &arrays, &figures);
    add_figures(&figures, batch->count, sums);
    return 0;
}

static int clicks_push(rub_task_t *task, rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    const rub_sparse_batch_t *batch = self->slices[self->current].batch;
    const rub_clicks_arrays_t arrays = arrays_of(self, self->current);
    rub_clicks_clip(&self->open, &arrays, batch->n_keys);
    const int rc = self->dense ? rub_parameters_push(self->dense, err) : 0;
    return rc ? rc : rub_row_exchange_push(self->rows, batch, err);
}

/* ---- validation ---- */

/* What has been scored: kept, for an AUC that is exact; or counted in bins, where the test set is
 * not in memory either. Other figures than AUC are sums. */
typedef struct scored {
    float *scores; /* n; room for one slice where they are not kept */
    float *more;   /* of a slice: the deep part's */
    float *labels;
    uint64_t *items;      /* NULL: scores are not kept */
    rub_auc_bins_t *bins; /* or NULL */
    size_t n;
} scored_t;

static int scored_open(const clicks_t *self, const rub_sparse_source_t *from, size_t n,
                       scored_t *scored, rub_error_t *err)
{
    const bool bins = has_auc(self) && from->window > 0;
    const bool kept = has_auc(self) && !bins;
    const size_t room = kept ? n : VALIDATE_EXAMPLES;
    const size_t outputs = rub_sparse_model_outputs(self->open.model);
    *scored = (scored_t){.scores = rub_calloc(room, outputs * sizeof(*scored->scores)),
                         .more = rub_calloc(VALIDATE_EXAMPLES, sizeof(*scored->more)),
                         .labels = rub_calloc(room, sizeof(*scored->labels)),
                         .items = kept ? rub_calloc(n, 2 * sizeof(*scored->items)) : NULL,
                         .bins = bins ? rub_auc_bins_new() : NULL};
    const bool whole = scored->scores && scored->more && scored->labels &&
                       (!bins || scored->bins) && (!kept || scored->items);
    return whole ? 0 : rub_fail(err, RUB_ENOMEM, "validation: no memory for %zu scores", room);
}

static void scored_close(scored_t *scored)
{
    rub_free(scored->scores);
    rub_free(scored->more);
    rub_free(scored->labels);
    rub_free(scored->items);
    rub_auc_bins_destroy(&scored->bins);
}

/* Scores what the set of rows is for. */
static void score_slice(clicks_t *self, unsigned set, scored_t *scored, double sums[RUB_TASK_SUMS])
{
    const rub_sparse_batch_t *batch = self->slices[set].batch;
    const rub_sparse_rows_t rows = rub_clicks_rows(batch);
    const rub_clicks_arrays_t arrays = arrays_of(self, set);
    float *const scores = scored->scores + scored->n;
    rub_sparse_figures_t figures;
    rub_sparse_model_scores(self->open.model, arrays.rows, &rows, scores);
    if (self->open.deep) {
        rub_clicks_deep_scores(&self->open, batch, &arrays, scored->more);
        for (size_t i = 0; i < rows.n; i++) {
            scores[i] += scored->more[i];
        }
    }
    rub_sparse_model_figures(self->open.model, scores, rows.labels, rows.n, &figures);
    add_figures(&figures, rows.n, sums);
    if (scored->bins) {
        rub_auc_bins_add(scored->bins, scores, rows.labels, rows.n);
    } else if (scored->items) {
        memcpy(scored->labels + scored->n, rows.labels, rows.n * sizeof(*rows.labels));
        scored->n += rows.n;
    }
}

static void count_pairs(const scored_t *scored, double sums[RUB_TASK_SUMS])
{
    double ordered = 0;
    double pairs = 0;
    if (scored->bins) {
        rub_auc_bins_pairs(scored->bins, &ordered, &pairs);
    } else if (scored->items) {
        rub_auc_pairs(scored->scores, scored->labels, scored->n, scored->items,
                      scored->items + scored->n, &ordered, &pairs);
    }
    sums[SUM_ORDERED] += ordered;
    sums[SUM_PAIRS] += pairs;
}

/* The slice of these examples that begins at first is cut and asked for, into one set. */
static int ask_test(clicks_t *self, unsigned set, rub_sparse_source_t *from, uint64_t first,
                    uint64_t last, rub_error_t *err)
{
    const uint64_t left = last - first;
    uint64_t count = left < VALIDATE_EXAMPLES ? left : VALIDATE_EXAMPLES;
    int rc = rub_sparse_source_at_once(from, first, VALIDATE_ENTRIES, &count, err);
    rc = rc ? rc : cut(self, set, from, first, count, err);
    return rc ? rc : ask(self, set, 0, err);
}

/* While one slice is scored, the next one's rows are on their way. */
static int score(clicks_t *self, rub_sparse_source_t *from, uint64_t first, uint64_t last,
                 scored_t *scored, double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    unsigned set = 0;
    int rc = ask_test(self, set, from, first, last, err);
    while (rc == 0 && first < last) {
        first += self->slices[set].batch->count;
        if (first < last) {
            rc = ask_test(self, 1 - set, from, first, last, err);
        }
        rc = rc ? rc : rub_row_exchange_await(self->rows, set, err);
        if (rc == 0) {
            score_slice(self, set, scored, sums);
        }
        set = 1 - set;
    }
    for (set = 0; set < RUB_ROW_SETS; set++) {
        self->slices[set].batch->count = 0; /* of the test set, not of the order */
    }
    return rc;
}

static int measure(clicks_t *self, rub_sparse_source_t *from, uint64_t first, uint64_t last,
                   double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    if (first == last) {
        return 0;
    }
    scored_t scored;
    rub_sparse_source_release(&self->open.data.train); /* one window is held at a time */
    int rc = scored_open(self, from, (size_t)(last - first), &scored, err);
    if (rc == 0 && self->dense) {
        rc = rub_parameters_pull(self->dense, err);
    }
    rc = rc ? rc : score(self, from, first, last, &scored, sums, err);
    if (rc == 0) {
        count_pairs(&scored, sums);
    }
    scored_close(&scored);
    rub_sparse_source_release(from);
    return rc;
}

static int clicks_validate(rub_task_t *task, uint64_t first, uint64_t last,
                           double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    return measure(self, rub_clicks_data_validated(&self->open.data), first, last, sums, err);
}

/* The test set, where it was not what epochs were validated on; else that again, if its AUC is of
 * several shares: in one place it is over all pairs. */
static int clicks_conclude(rub_task_t *task, uint32_t n_workers, double sums[RUB_TASK_SUMS],
                           const char **prefix_p, rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    const bool apart = self->open.data.valid.n_examples > 0 && self->open.data.test.n_examples > 0;
    rub_sparse_source_t *const from =
        apart ? &self->open.data.test : rub_clicks_data_validated(&self->open.data);
    const bool is_known = n_workers == 1 || from->window > 0 || !has_auc(self);
    if (from->n_examples == 0 || (!apart && is_known)) {
        return 0;
    }
    *prefix_p = apart ? "test_" : "";
    return measure(self, from, 0, from->n_examples, sums, err);
}

size_t rub_clicks_figures(rub_sparse_loss_t loss, const rub_sparse_figures_t *sums, double n,
                          rub_measure_t measures[RUB_TASK_MEASURES_LIMIT])
{
    measures[0] = (rub_measure_t){"loss", sums->loss / n};
    if (loss == RUB_LOSS_SQUARED) {
        measures[1] = (rub_measure_t){"rmse", sqrt(2 * sums->loss / n)};
        measures[2] = (rub_measure_t){"mae", sums->own / n};
        return 3;
    }
    measures[1] = (rub_measure_t){"accuracy", sums->own / n};
    return 2;
}

static size_t clicks_measure(const rub_task_t *task, const double sums[RUB_TASK_SUMS],
                             rub_measure_t measures[RUB_TASK_MEASURES_LIMIT])
{
    const clicks_t *self = (const clicks_t *)task;
    const rub_sparse_figures_t figures = {sums[RUB_SUM_LOSS], sums[SUM_OWN]};
    size_t n =
        rub_clicks_figures(rub_sparse_model_loss(self->open.model), &figures,
                           sums[RUB_SUM_EXAMPLES] > 0 ? sums[RUB_SUM_EXAMPLES] : 1, measures);
    if (has_auc(self) &&
        sums[SUM_PAIRS] > 0) { /* not of training, nor of a test set of one class */
        measures[n++] = (rub_measure_t){"auc", sums[SUM_ORDERED] / sums[SUM_PAIRS]};
    }
    return n;
}

static size_t clicks_tables(const rub_task_t *task, uint32_t n_workers, uint64_t batch_examples,
                            rub_schema_t schemas[RUB_TASK_TABLES_LIMIT])
{
    const clicks_t *self = (const clicks_t *)task;
    rub_update_t update = self->open.update;
    update.hyper.schedule_clocks =
        rub_update_length(&update, n_workers, task->n_examples, batch_examples);
    const rub_column_tables_t *const columns = &self->open.data.columns;
    size_t n_rows = 0, n_deep = 0, n = 0;
    const rub_sparse_table_t *tables = rub_sparse_model_tables(self->open.model, &n_rows);
    for (size_t t = 0; t < n_rows; t++) {
        for (uint32_t c = 0; c <= columns->n_own; c++, n++) {
            rub_row_exchange_schema(&tables[t], rub_column_table(columns, t, c),
                                    update.hyper.schedule_clocks, &schemas[n]);
        }
    }
    const rub_model_table_t *deep =
        self->open.deep ? rub_model_tables(rub_deep_score_network(self->open.deep), &n_deep) : NULL;
    for (size_t t = 0; t < n_deep && n < RUB_TASK_TABLES_LIMIT; t++, n++) {
        rub_parameters_schema(&deep[t], update.optimizer, &update.hyper, &schemas[n]);
    }
    return n;
}

static const rub_task_kind_t clicks_kind = {
    .begin = clicks_begin,
    .end = clicks_end,
    .close = clicks_close,
    .order = clicks_order,
    .take = clicks_take,
    .pull = clicks_pull,
    .prefetch = clicks_prefetch,
    .forget = clicks_forget,
    .compute = clicks_compute,
    .push = clicks_push,
    .validate = clicks_validate,
    .conclude = clicks_conclude,
    .tables = clicks_tables,
    .measure = clicks_measure,
};

int rub_clicks_task_open(const rub_config_t *config, const rub_update_t *update,
                         rub_task_t **task_p, rub_error_t *err)
{
    *task_p = NULL;
    clicks_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a task");
    }
    self->open.update = *update;
    self->open.sampling = (rub_sampling_t)config->sampling;
    int rc = rub_clicks_data_open(config, &self->open.update, &self->open.data, err);
    if (rc == 0 && config->batch > self->open.data.train.n_examples) {
        rc = rub_fail(err, RUB_ECONFIG,
                      "batch: %" PRIu64 ", the training data has %" PRIu64 " examples",
                      config->batch, self->open.data.train.n_examples);
    }
    rc = rc ? rc : open_model(config, self, err);
    if (rc) {
        clicks_close(&self->open.task);
        return rc;
    }
    self->open.task =
        (rub_task_t){.kind = &clicks_kind,
                     .n_examples = self->open.data.train.n_examples,
                     .n_test = rub_clicks_data_validated(&self->open.data)->n_examples,
                     .is_apart = self->open.data.valid.n_examples > 0,
                     .piece_examples = self->open.data.train.window};
    *task_p = &self->open.task;
    return 0;
}

rub_clicks_task_t *rub_clicks_task_of(rub_task_t *task)
{
    return task->kind == &clicks_kind ? (rub_clicks_task_t *)task : NULL;
}
