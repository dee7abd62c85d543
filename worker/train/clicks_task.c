/* Clicks: sparse batches, the rows of their keys, and what is measured of a model of odds.
 *
 * Two batches are held, each with a set of rows: the present one and the one that a prefetch is
 * for. Taking the batch that was prefetched swaps them; any other batch is sliced anew. A batch's
 * pull is under way while the batch before it is computed.
 *
 * AUC is counted over the pairs of examples within each worker's share of the test set: exact with
 * one worker, and with more the mean over shares, weighted by their pairs. An AUC over all pairs
 * would need everybody's scores in one place, or bins that all agree on. */
#include "worker/train/clicks_task.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/data/sparse_batch.h"
#include "worker/model/auc.h"
#include "worker/train/row_exchange.h"
#include "worker/train/update.h"

#include <inttypes.h>

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
    rub_sparse_set_t *train, *test; /* test NULL: none given */
    rub_sparse_model_t *model;
    /* with a session */
    rub_row_exchange_t *rows;
    rub_order_t *order;
    slice_t slices[RUB_ROW_SETS];
    unsigned current; /* of slices, and of the exchange's sets */
} clicks_t;

/* ---- opening ---- */

bool rub_clicks_task_wanted(const rub_config_t *config)
{
    return rub_sparse_kind_named(rub_config_word(config, RUB_OPT_model_kind)) != NULL;
}

static int open_set(const rub_config_t *config, const char *path, rub_sparse_set_t **set_p,
                    rub_error_t *err)
{
    rub_sparse_options_t options;
    rub_sparse_options_defaults(&options);
    options.format = rub_config_word(config, RUB_OPT_data_format);
    options.path = path;
    options.hash_bits = (uint32_t)config->hash_bits;
    return rub_sparse_set_open(&options, set_p, err);
}

static int open_all_data(const rub_config_t *config, clicks_t *self, rub_error_t *err)
{
    const char *const kind = rub_config_word(config, RUB_OPT_model_kind);
    const char *const format = rub_config_word(config, RUB_OPT_data_format);
    if (!rub_sparse_format_known(format)) {
        return rub_fail(err, RUB_ECONFIG,
                        "model_kind %s learns from sparse examples: data_format is %s, expected "
                        "libsvm or criteo",
                        kind, format);
    }
    if (config->train_file[0] == '\0') {
        return rub_fail(err, RUB_ECONFIG, "train_file is not set: there is nothing to train on");
    }
    const int rc = open_set(config, config->train_file, &self->train, err);
    return rc || config->test_file[0] == '\0'
               ? rc
               : open_set(config, config->test_file, &self->test, err);
}

static void clicks_close(rub_task_t *task)
{
    clicks_t *self = (clicks_t *)task;
    rub_sparse_model_destroy(&self->model);
    rub_sparse_set_close(&self->train);
    rub_sparse_set_close(&self->test);
    rub_free(self);
}

/* ---- batches ---- */

static int clicks_begin(rub_task_t *task, rub_session_t *session, uint64_t batch_examples,
                        rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    const bool larger = self->test && batch_examples < VALIDATE_EXAMPLES;
    const size_t capacity = larger ? VALIDATE_EXAMPLES : (size_t)batch_examples;
    self->order = rub_order_new(self->train->n_examples);
    bool whole = self->order != NULL;
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
        rub_update_hyper(&self->update, info.n_workers, self->train->n_examples, batch_examples);
    return rub_row_exchange_open(session, self->model, &self->update, &self->rows, err);
}

static void clicks_end(rub_task_t *task)
{
    clicks_t *self = (clicks_t *)task;
    rub_row_exchange_close(&self->rows);
    rub_order_destroy(&self->order);
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
    RUB_UNUSED(err);
    rub_order_shuffle(self->order, seed, epoch);
    for (unsigned set = 0; set < RUB_ROW_SETS; set++) {
        self->slices[set].batch->count = 0; /* the same places are other examples now */
    }
    return 0;
}

static int cut(clicks_t *self, unsigned set, const rub_sparse_set_t *from, const rub_order_t *order,
               uint64_t first, uint64_t count, rub_error_t *err)
{
    rub_row_exchange_forget(self->rows, set);
    self->slices[set].first = first;
    return rub_sparse_batch_fill(self->slices[set].batch, from, order, first, (size_t)count, err);
}

static int clicks_take(rub_task_t *task, uint64_t first, uint64_t count, rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    const unsigned next = 1 - self->current;
    if (self->slices[next].first == first && self->slices[next].batch->count == count) {
        self->current = next;
        return 0;
    }
    return cut(self, self->current, self->train, self->order, first, count, err);
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
    const int rc = cut(self, next, self->train, self->order, first, count, err);
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

/* The slice of the test set that begins at first is cut and asked for, into one set. */
static int ask_test(clicks_t *self, unsigned set, uint64_t first, uint64_t last, rub_error_t *err)
{
    const uint64_t *const offsets = self->test->offsets;
    const uint64_t left = last - first;
    uint64_t count = left < VALIDATE_EXAMPLES ? left : VALIDATE_EXAMPLES;
    while (count > 1 && offsets[first + count] - offsets[first] > VALIDATE_ENTRIES) {
        count /= 2;
    }
    const int rc = cut(self, set, self->test, NULL, first, count, err);
    return rc ? rc : ask(self, set, 0, err);
}

/* While one slice is scored, the next one's rows are on their way. */
static int score(clicks_t *self, uint64_t first, uint64_t last, float *scores, rub_error_t *err)
{
    unsigned set = 0;
    int rc = ask_test(self, set, first, last, err);
    while (rc == 0 && first < last) {
        const rub_sparse_rows_t rows = rows_of(self->slices[set].batch);
        if (first + rows.n < last) {
            rc = ask_test(self, 1 - set, first + rows.n, last, err);
        }
        rc = rc ? rc : rub_row_exchange_await(self->rows, set, err);
        if (rc == 0) {
            rub_sparse_model_scores(self->model, rub_row_exchange_rows(self->rows, set), &rows,
                                    scores);
        }
        scores += rows.n;
        first += rows.n;
        set = 1 - set;
    }
    for (set = 0; set < RUB_ROW_SETS; set++) {
        self->slices[set].batch->count = 0; /* of the test set, not of the order */
    }
    return rc;
}

static void add_up(const float *scores, const uint8_t *labels, size_t n, uint64_t *items,
                   double sums[RUB_TASK_SUMS])
{
    double loss = 0;
    double ordered = 0;
    double pairs = 0;
    size_t correct = 0;
    rub_sparse_loss(scores, labels, n, &loss, &correct);
    rub_auc_pairs(scores, labels, n, items, items + n, &ordered, &pairs);
    sums[RUB_SUM_LOSS] += loss;
    sums[RUB_SUM_EXAMPLES] += (double)n;
    sums[SUM_CORRECT] += (double)correct;
    sums[SUM_ORDERED] += ordered;
    sums[SUM_PAIRS] += pairs;
}

static int clicks_validate(rub_task_t *task, uint64_t first, uint64_t last,
                           double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    clicks_t *self = (clicks_t *)task;
    if (first == last) {
        return 0;
    }
    const size_t n = (size_t)(last - first);
    float *scores = rub_calloc(n, sizeof(*scores));
    uint64_t *items = rub_calloc(n, 2 * sizeof(*items));
    int rc =
        scores && items ? 0 : rub_fail(err, RUB_ENOMEM, "validation: no memory for %zu scores", n);
    rc = rc ? rc : score(self, first, last, scores, err);
    if (rc == 0) {
        add_up(scores, self->test->labels + first, n, items, sums);
    }
    rub_free(scores);
    rub_free(items);
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
    if (rc == 0 && config->batch > self->train->n_examples) {
        rc = rub_fail(err, RUB_ECONFIG, "batch: %" PRIu64 ", the training data has %zu examples",
                      config->batch, self->train->n_examples);
    }
    rc = rc ? rc
            : rub_sparse_model_new(rub_config_word(config, RUB_OPT_model_kind),
                                   (uint32_t)config->factors, &self->model, err);
    if (rc) {
        clicks_close(&self->task);
        return rc;
    }
    self->task = (rub_task_t){.kind = &clicks_kind,
                              .n_examples = self->train->n_examples,
                              .n_test = self->test ? self->test->n_examples : 0};
    *task_p = &self->task;
    return 0;
}
