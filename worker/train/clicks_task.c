/* Clicks: sparse batches, the rows of their keys, and what is measured of a model of odds.
 *
 * Two batches are held, each with a set of rows: the present one and the one that a prefetch is
 * for. Taking the batch that was prefetched swaps them; any other batch is sliced anew. A batch's
 * pull is under way while the batch before it is computed.
 *
 * AUC is counted over the pairs of examples within each worker's share of the test set: exact with
 * one worker, and with more the mean over shares, weighted by their pairs. An AUC over all pairs
 * would need everybody's scores in one place, or bins that all agree on. A test set that is
 * streamed is counted in bins, since its scores need not fit into memory. */
#include "worker/train/clicks_task.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/data/sparse_source.h"
#include "worker/model/auc.h"
#include "worker/train/row_exchange.h"
#include "worker/train/update.h"

#include <inttypes.h>
#include <string.h>

#define VALIDATE_EXAMPLES 8192u     /* sliced at once, */
#define VALIDATE_ENTRIES (1u << 20) /* unless they have more entries */
enum { SUM_CORRECT = RUB_SUM_OWN, SUM_ORDERED, SUM_PAIRS };

typedef struct slice {
    rub_sparse_batch_t *batch;
    uint64_t first; /* of the order; the batch's count says how many, 0: none */
} slice_t;

typedef struct clicks {
    rub_task_t task;
    rub_update_t update;
    rub_sparse_options_t options;
    rub_sparse_source_t train, test; /* test without examples: none given */
    rub_sparse_model_t *model;
    /* with a session */
    rub_row_exchange_t *rows;
    slice_t slices[RUB_ROW_SETS];
    unsigned current; /* of slices, and of the exchange's sets */
} clicks_t;

/* ---- opening ---- */

bool rub_clicks_task_wanted(const rub_config_t *config)
{
    return rub_sparse_kind_named(rub_config_word(config, RUB_OPT_model_kind)) != NULL;
}

static int open_source(const rub_config_t *config, clicks_t *self, const char *path,
                       rub_sparse_source_t *source, rub_error_t *err)
{
    rub_sparse_options_defaults(&self->options);
    self->options.format = rub_config_word(config, RUB_OPT_data_format);
    self->options.path = path;
    self->options.hash_bits = (uint32_t)config->hash_bits;
    self->options.csv_label = config->csv_label;
    self->options.csv_words = config->csv_words;
    self->options.csv_header = config->csv_header;
    return rub_sparse_source_open(source, &self->options, config->data_memory_bytes,
                                  (size_t)config->batch, err);
}

static int open_all_data(const rub_config_t *config, clicks_t *self, rub_error_t *err)
{
    const char *const kind = rub_config_word(config, RUB_OPT_model_kind);
    const char *const format = rub_config_word(config, RUB_OPT_data_format);
    if (!rub_sparse_format_known(format)) {
        return rub_fail(err, RUB_ECONFIG,
                        "model_kind %s learns from sparse examples: data_format is %s, expected "
                        "libsvm, criteo, csv or tsv",
                        kind, format);
    }
    if (config->train_file[0] == '\0') {
        return rub_fail(err, RUB_ECONFIG, "train_file is not set: there is nothing to train on");
    }
    const int rc = open_source(config, self, config->train_file, &self->train, err);
    return rc || config->test_file[0] == '\0'
               ? rc
               : open_source(config, self, config->test_file, &self->test, err);
}

static void clicks_close(rub_task_t *task)
{
    clicks_t *self = (clicks_t *)task;
    rub_sparse_model_destroy(&self->model);
    rub_sparse_source_close(&self->train);
    rub_sparse_source_close(&self->test);
    rub_free(self);
}

/* ---- batches ---- */

static int clicks_begin(rub_task_t *task, rub_session_t *session, uint64_t batch_examples,
                        rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    const bool larger = self->test.n_examples > 0 && batch_examples < VALIDATE_EXAMPLES;
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
    rub_info_t info;
    rub_session_info(session, &info);
    self->update.hyper =
        rub_update_hyper(&self->update, info.n_workers, self->train.n_examples, batch_examples);
    return rub_row_exchange_open(session, self->model, &self->update, &self->rows, err);
}

static void clicks_end(rub_task_t *task)
{
    clicks_t *self = (clicks_t *)task;
    rub_row_exchange_close(&self->rows);
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
}

static int clicks_order(rub_task_t *task, uint64_t seed, uint64_t epoch, rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    for (unsigned set = 0; set < RUB_ROW_SETS; set++) {
        self->slices[set].batch->count = 0; /* the same places are other examples now */
    }
    return rub_sparse_source_shuffle(&self->train, seed, epoch, err);
}

static int cut(clicks_t *self, unsigned set, rub_sparse_source_t *from, uint64_t first,
               uint64_t count, rub_error_t *err)
{
    rub_row_exchange_forget(self->rows, set);
    self->slices[set].first = first;
    return rub_sparse_source_fill(from, self->slices[set].batch, first, (size_t)count, err);
}

static int clicks_take(rub_task_t *task, uint64_t first, uint64_t count, rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    const unsigned next = 1 - self->current;
    if (self->slices[next].first == first && self->slices[next].batch->count == count) {
        self->current = next;
        return 0;
    }
    return cut(self, self->current, &self->train, first, count, err);
}

static int ask(clicks_t *self, unsigned set, uint32_t ahead, rub_error_t *err)
{
    const rub_sparse_batch_t *batch = self->slices[set].batch;
    return rub_row_exchange_ask(self->rows, set, batch->keys, batch->n_keys, ahead, err);
}

static int clicks_pull(rub_task_t *task, rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    int rc = 0;
    if (!rub_row_exchange_asked(self->rows, self->current)) {
        rc = ask(self, self->current, 0, err);
    }
    return rc ? rc : rub_row_exchange_await(self->rows, self->current, err);
}

static int clicks_prefetch(rub_task_t *task, uint64_t first, uint64_t count, rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    const unsigned next = 1 - self->current;
    const int rc = cut(self, next, &self->train, first, count, err);
    return rc ? rc : ask(self, next, 1, err);
}

static rub_sparse_rows_t rows_of(const rub_sparse_batch_t *batch)
{
    return (rub_sparse_rows_t){.n = batch->count,
                               .starts = batch->starts,
                               .places = batch->places,
                               .values = batch->values,
                               .labels = batch->labels,
                               .n_places = batch->n_keys};
}

static int clicks_compute(rub_task_t *task, double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    RUB_UNUSED(err);
    const rub_sparse_rows_t rows = rows_of(self->slices[self->current].batch);
    double loss = 0;
    size_t correct = 0;
    rub_sparse_model_gradient(self->model, rub_row_exchange_rows(self->rows, self->current), &rows,
                              rub_row_exchange_gradients(self->rows), &loss, &correct);
    sums[RUB_SUM_LOSS] += loss;
    sums[RUB_SUM_EXAMPLES] += (double)rows.n;
    sums[SUM_CORRECT] += (double)correct;
    return 0;
}

static int clicks_push(rub_task_t *task, rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    const rub_sparse_batch_t *batch = self->slices[self->current].batch;
    rub_row_exchange_clip(self->rows, &self->update.clip, batch->n_keys);
    return rub_row_exchange_push(self->rows, batch->keys, batch->n_keys, err);
}

/* ---- validation ---- */

/* What has been scored: kept, for an AUC that is exact; or counted in bins, where the test set is
 * not in memory either. */
typedef struct scored {
    float *scores; /* n; room for one slice where there are bins */
    uint8_t *labels;
    uint64_t *items;
    rub_auc_bins_t *bins;
    size_t n;
} scored_t;

static int scored_open(const clicks_t *self, size_t n, scored_t *scored, rub_error_t *err)
{
    const bool bins = self->test.window > 0;
    const size_t room = bins ? VALIDATE_EXAMPLES : n;
    *scored = (scored_t){.scores = rub_calloc(room, sizeof(*scored->scores)),
                         .labels = rub_calloc(room, sizeof(*scored->labels)),
                         .items = bins ? NULL : rub_calloc(n, 2 * sizeof(*scored->items)),
                         .bins = bins ? rub_auc_bins_new() : NULL};
    const bool whole =
        scored->scores && scored->labels && (bins ? scored->bins != NULL : scored->items != NULL);
    return whole ? 0 : rub_fail(err, RUB_ENOMEM, "validation: no memory for %zu scores", room);
}

static void scored_close(scored_t *scored)
{
    rub_free(scored->scores);
    rub_free(scored->labels);
    rub_free(scored->items);
    rub_auc_bins_destroy(&scored->bins);
}

/* Scores what the set of rows is for. */
static void score_slice(clicks_t *self, unsigned set, scored_t *scored, double sums[RUB_TASK_SUMS])
{
    const rub_sparse_rows_t rows = rows_of(self->slices[set].batch);
    float *const scores = scored->scores + scored->n;
    double loss = 0;
    size_t correct = 0;
    rub_sparse_model_scores(self->model, rub_row_exchange_rows(self->rows, set), &rows, scores);
    rub_sparse_loss(scores, rows.labels, rows.n, &loss, &correct);
    sums[RUB_SUM_LOSS] += loss;
    sums[RUB_SUM_EXAMPLES] += (double)rows.n;
    sums[SUM_CORRECT] += (double)correct;
    if (scored->bins) {
        rub_auc_bins_add(scored->bins, scores, rows.labels, rows.n);
    } else {
        memcpy(scored->labels + scored->n, rows.labels, rows.n);
        scored->n += rows.n;
    }
}

static void count_pairs(const scored_t *scored, double sums[RUB_TASK_SUMS])
{
    double ordered = 0;
    double pairs = 0;
    if (scored->bins) {
        rub_auc_bins_pairs(scored->bins, &ordered, &pairs);
    } else {
        rub_auc_pairs(scored->scores, scored->labels, scored->n, scored->items,
                      scored->items + scored->n, &ordered, &pairs);
    }
    sums[SUM_ORDERED] += ordered;
    sums[SUM_PAIRS] += pairs;
}

/* The slice of the test set that begins at first is cut and asked for, into one set. */
static int ask_test(clicks_t *self, unsigned set, uint64_t first, uint64_t last, rub_error_t *err)
{
    const uint64_t left = last - first;
    uint64_t count = left < VALIDATE_EXAMPLES ? left : VALIDATE_EXAMPLES;
    int rc = rub_sparse_source_at_once(&self->test, first, VALIDATE_ENTRIES, &count, err);
    rc = rc ? rc : cut(self, set, &self->test, first, count, err);
    return rc ? rc : ask(self, set, 0, err);
}

/* While one slice is scored, the next one's rows are on their way. */
static int score(clicks_t *self, uint64_t first, uint64_t last, scored_t *scored,
                 double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    unsigned set = 0;
    int rc = ask_test(self, set, first, last, err);
    while (rc == 0 && first < last) {
        first += self->slices[set].batch->count;
        if (first < last) {
            rc = ask_test(self, 1 - set, first, last, err);
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

static int clicks_validate(rub_task_t *task, uint64_t first, uint64_t last,
                           double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    if (first == last) {
        return 0;
    }
    scored_t scored;
    rub_sparse_source_release(&self->train); /* one window is held at a time */
    int rc = scored_open(self, (size_t)(last - first), &scored, err);
    rc = rc ? rc : score(self, first, last, &scored, sums, err);
    if (rc == 0) {
        count_pairs(&scored, sums);
    }
    scored_close(&scored);
    rub_sparse_source_release(&self->test);
    return rc;
}

static size_t clicks_measure(const rub_task_t *task, const double sums[RUB_TASK_SUMS],
                             rub_measure_t measures[RUB_TASK_MEASURES_LIMIT])
{
    RUB_UNUSED(task);
    const double examples = sums[RUB_SUM_EXAMPLES] > 0 ? sums[RUB_SUM_EXAMPLES] : 1;
    measures[0] = (rub_measure_t){"loss", sums[RUB_SUM_LOSS] / examples};
    measures[1] = (rub_measure_t){"accuracy", sums[SUM_CORRECT] / examples};
    if (sums[SUM_PAIRS] == 0) { /* of training, or of a test set of one class */
        return 2;
    }
    measures[2] = (rub_measure_t){"auc", sums[SUM_ORDERED] / sums[SUM_PAIRS]};
    return 3;
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
    self->update = *update;
    int rc = open_all_data(config, self, err);
    if (rc == 0 && config->batch > self->train.n_examples) {
        rc = rub_fail(err, RUB_ECONFIG,
                      "batch: %" PRIu64 ", the training data has %" PRIu64 " examples",
                      config->batch, self->train.n_examples);
    }
    rc = rc ? rc
            : rub_sparse_model_new(rub_config_word(config, RUB_OPT_model_kind),
                                   (uint32_t)config->factors, &self->model, err);
    if (rc) {
        clicks_close(&self->task);
        return rc;
    }
    self->task = (rub_task_t){.kind = &clicks_kind,
                              .n_examples = self->train.n_examples,
                              .n_test = self->test.n_examples,
                              .piece_examples = self->train.window};
    *task_p = &self->task;
    return 0;
}
