/* The local loop of click models: keys are numbered before it begins, so that a batch's rows are
 * gathered from arrays and stepped where they stand. What a fleet adds to that is what `rubato
 * bench train` shows.
 *
 * Of each of the job's tables there is one array, a row and its slots one behind the other, as
 * shards have them, in huge pages where there are; rows are fetched ahead of their turn. */
#include "worker/train/clicks_local.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/base/timing.h"
#include "common/num/initializer.h"
#include "common/num/schedule.h"
#include "worker/data/numbered_set.h"
#include "worker/train/clicks_gradient.h"
#include "worker/train/local_network.h"
#include "worker/train/update.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { AHEAD = 16 }; /* rows */

/* A table of the job. */
typedef struct local_rows {
    const rub_row_table_t *own;
    const rub_optimizer_t *optimizer;
    rub_hyper_t hyper;
    size_t n;
    size_t floats;   /* of a row and its slots */
    size_t bytes;    /* of all rows */
    float *rows;     /* n x floats */
    uint64_t *steps; /* n; NULL: the optimizer does not count them */
} local_rows_t;

typedef struct local {
    rub_clicks_task_t *task;
    const rub_sparse_table_t *tables; /* of the model */
    size_t n_tables;
    uint32_t n_own;
    rub_numbered_set_t numbered;
    rub_order_t *order;
    rub_sparse_batch_t *batch;
    local_rows_t *parts; /* as the columns' items */
    rub_local_network_t *network;
    rub_hyper_t network_hyper;
    uint64_t clock;
    float *values[RUB_SPARSE_TABLES_MOST], *gradients[RUB_SPARSE_TABLES_MOST];
    float **places; /* where the rows of one table stand */
    size_t room;    /* keys */
} local_t;

/* ---- tables ---- */

/* names: of the rows, and behind them, where has_bias, the intercept. */
static int make_rows(local_rows_t *self, const rub_sparse_table_t *table, const uint32_t *names,
                     size_t n_names, bool has_bias, uint64_t seed, rub_error_t *err)
{
    const char *const name = self->own->name;
    const rub_initializer_t initializer = {.kind = table->init,
                                           .scale = table->init_scale,
                                           .seed = seed,
                                           .table = rub_hash_bytes(name, strlen(name))};
    self->n = n_names + has_bias;
    self->optimizer = rub_optimizer_find((uint32_t)self->own->update->optimizer);
    self->floats = rub_optimizer_floats(self->optimizer, self->own->width);
    self->bytes = (self->n + 1) * self->floats * sizeof(float);
    self->rows = rub_region_alloc(self->bytes);
    self->steps =
        self->optimizer->needs_step ? rub_calloc(self->n + 1, sizeof(*self->steps)) : NULL;
    if (!self->rows || (self->optimizer->needs_step && !self->steps)) {
        return rub_fail(err, RUB_ENOMEM, "local loop: no memory for %zu rows of '%s'", self->n,
                        name);
    }
    for (size_t i = 0; i < self->n; i++) {
        rub_initializer_fill_row(&initializer, i < n_names ? names[i] : RUB_SPARSE_BIAS,
                                 self->own->width, self->rows + i * self->floats);
    }
    return 0;
}

static int make_tables(local_t *self, uint64_t batch_examples, uint64_t seed, rub_error_t *err)
{
    const rub_clicks_task_t *task = self->task;
    const size_t *parts = self->numbered.parts;
    int rc = 0;
    self->parts = rub_calloc(self->n_tables * (self->n_own + 1u), sizeof(*self->parts));
    if (!self->parts) {
        return rub_fail(err, RUB_ENOMEM, "local loop: no memory for its tables");
    }
    rub_update_t update = task->update;
    update.hyper.schedule_clocks =
        rub_update_length(&update, 1, self->numbered.set.n_examples, batch_examples);
    self->network_hyper = update.hyper;
    for (size_t t = 0; t < self->n_tables; t++) {
        for (uint32_t c = 0; c <= self->n_own && rc == 0; c++) {
            local_rows_t *rows = &self->parts[t * (self->n_own + 1u) + c];
            rows->own = rub_column_table(&task->data.columns, t, c);
            rows->hyper = rows->own->update->hyper;
            rows->hyper.schedule_clocks = update.hyper.schedule_clocks;
            rc = make_rows(rows, &self->tables[t], self->numbered.names + parts[c],
                           parts[c + 1] - parts[c], c == self->n_own && self->tables[t].has_bias,
                           seed, err);
        }
    }
    return rc || !task->deep ? rc
                             : rub_local_network_new(rub_deep_score_network(task->deep),
                                                     rub_optimizer_find((uint32_t)update.optimizer),
                                                     seed, &self->network, err);
}

static int prepare(local_t *self, uint64_t batch_examples, uint64_t seed, rub_error_t *err)
{
    const rub_clicks_task_t *task = self->task;
    if (!task->data.train.set) {
        return rub_fail(err, RUB_ECONFIG,
                        "data_memory: examples are streamed, the local loop has them in memory, "
                        "expected 0");
    }
    int rc = rub_numbered_set_open(task->data.train.set, &self->numbered, err);
    if (rc) {
        return rc;
    }
    self->tables = rub_sparse_model_tables(task->model, &self->n_tables);
    self->n_own = self->numbered.set.n_own;
    self->batch = rub_sparse_batch_new((size_t)batch_examples);
    self->order = rub_order_new(self->numbered.set.n_examples);
    return self->batch && self->order
               ? make_tables(self, batch_examples, seed, err)
               : rub_fail(err, RUB_ENOMEM,
                          "local loop: no memory for batches of %" PRIu64 " examples",
                          batch_examples);
}

static void finish(local_t *self)
{
    for (size_t i = 0; self->parts && i < self->n_tables * (self->n_own + 1u); i++) {
        rub_region_free(self->parts[i].rows, self->parts[i].bytes);
        rub_free(self->parts[i].steps);
    }
    for (size_t t = 0; t < RUB_SPARSE_TABLES_MOST; t++) {
        rub_free(self->values[t]);
        rub_free(self->gradients[t]);
    }
    rub_free(self->parts);
    rub_free(self->places);
    rub_local_network_destroy(&self->network);
    rub_order_destroy(&self->order);
    rub_sparse_batch_destroy(&self->batch);
    rub_numbered_set_close(&self->numbered);
}

/* ---- a step ---- */

/* Arrays for the keys of the batch. */
static int make_room(local_t *self, rub_error_t *err)
{
    const size_t n = self->batch->n_keys;
    if (n <= self->room) {
        return 0;
    }
    const size_t room = n + n / 2;
    self->room = 0;
    rub_free(self->places);
    self->places = rub_calloc(room, sizeof(*self->places));
    bool whole = self->places != NULL;
    for (size_t t = 0; t < self->n_tables && whole; t++) {
        const size_t bytes = room * self->tables[t].width * sizeof(float);
        rub_free(self->values[t]);
        rub_free(self->gradients[t]);
        self->values[t] = rub_alloc_aligned(64, bytes);
        self->gradients[t] = rub_alloc_aligned(64, bytes);
        whole = self->values[t] && self->gradients[t];
    }
    self->room = whole ? room : 0;
    return whole ? 0 : rub_fail(err, RUB_ENOMEM, "local loop: no memory for %zu keys", room);
}

/* The batch's rows of one table; the last of all others is the intercept's, where it has one. */
static size_t find(local_t *self, size_t t, uint32_t c)
{
    const rub_sparse_batch_t *batch = self->batch;
    const local_rows_t *rows = &self->parts[t * (self->n_own + 1u) + c];
    const uint64_t *const keys = batch->keys + batch->parts[c];
    const size_t n = batch->parts[c + 1] - batch->parts[c];
    if (c < self->n_own) {
        for (size_t i = 0; i < n; i++) {
            self->places[i] = rows->rows + keys[i] * rows->floats;
        }
        return n;
    }
    for (size_t i = 0; i + 1 < n; i++) {
        self->places[i] = rows->rows + keys[i] * rows->floats;
    }
    if (self->tables[t].has_bias) {
        self->places[n - 1] = rows->rows + (rows->n - 1) * rows->floats;
    }
    return n - !self->tables[t].has_bias;
}

static void fetch_ahead(float *const *places, size_t i, size_t n, size_t floats)
{
    enum { LINE = 64 / sizeof(float) };
    if (i + AHEAD < n) {
        for (size_t k = 0; k < floats; k += LINE) {
            __builtin_prefetch(places[i + AHEAD] + k);
        }
    }
}

static void gather(local_t *self)
{
    for (size_t t = 0; t < self->n_tables; t++) {
        float *values = self->values[t];
        for (uint32_t c = 0; c <= self->n_own; c++) {
            const local_rows_t *rows = &self->parts[t * (self->n_own + 1u) + c];
            const size_t n = find(self, t, c);
            const size_t width = rows->own->width;
            for (size_t i = 0; i < n; i++) {
                fetch_ahead(self->places, i, n, rows->floats);
                memcpy(values, self->places[i], width * sizeof(*values));
                values += width;
            }
        }
    }
}

static void step_rows(local_t *self, local_rows_t *rows, size_t n, const float *gradients)
{
    rub_hyper_t hyper = rows->hyper;
    const size_t width = rows->own->width;
    hyper.lr = rub_schedule_rate(&rows->hyper, self->clock);
    if (!rows->steps) {
        rub_optimizer_apply_rows(rows->optimizer, self->places, n, width, &hyper, gradients, NULL);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        float *const row = self->places[i];
        uint64_t *const step = &rows->steps[(size_t)(row - rows->rows) / rows->floats];
        rub_optimizer_apply(rows->optimizer, row, row + width, width, ++*step, &hyper,
                            gradients + i * width);
    }
}

static void step(local_t *self)
{
    for (size_t t = 0; t < self->n_tables; t++) {
        const float *gradients = self->gradients[t];
        for (uint32_t c = 0; c <= self->n_own; c++) {
            local_rows_t *rows = &self->parts[t * (self->n_own + 1u) + c];
            const size_t n = find(self, t, c);
            step_rows(self, rows, n, gradients);
            gradients += n * rows->own->width;
        }
    }
    if (self->network) {
        rub_hyper_t hyper = self->network_hyper;
        hyper.lr = rub_schedule_rate(&self->network_hyper, self->clock);
        rub_local_network_step(self->network, &hyper);
    }
    self->clock++;
}

static int train(local_t *self, uint64_t first, size_t count, double *loss, rub_error_t *err)
{
    rub_clicks_task_t *task = self->task;
    int rc =
        rub_sparse_batch_fill(self->batch, &self->numbered.set, self->order, first, count, err);
    if (rc == 0 && task->deep) {
        rc = rub_clicks_deep_check(&task->layout, self->batch, first, "the order of this epoch",
                                   err);
    }
    rc = rc ? rc : make_room(self, err);
    if (rc) {
        return rc;
    }
    const rub_clicks_arrays_t arrays = {
        .rows = (const float *const *)self->values,
        .row_gradients = self->gradients,
        .network = self->network ? rub_local_network_weights(self->network) : NULL,
        .network_gradients = self->network ? rub_local_network_gradients(self->network) : NULL};
    rub_sparse_figures_t figures;
    gather(self);
    rub_clicks_gradient(task, self->batch, &arrays, &figures);
    rub_clicks_clip(task, &arrays, self->batch->n_keys);
    step(self);
    *loss += figures.loss;
    return 0;
}

static int train_epoch(local_t *self, uint64_t epoch, uint64_t seed, double *loss_p,
                       rub_error_t *err)
{
    const uint64_t n = self->numbered.set.n_examples;
    int rc = 0;
    *loss_p = 0;
    rub_order_arrange(self->order, self->task->sampling, seed, epoch);
    for (uint64_t first = 0; first < n && rc == 0; first += self->batch->capacity) {
        const uint64_t left = n - first;
        rc = train(self, first, left < self->batch->capacity ? (size_t)left : self->batch->capacity,
                   loss_p, err);
    }
    *loss_p /= (double)n;
    return rc || isfinite(*loss_p)
               ? rc
               : rub_fail(err, RUB_EDIVERGED,
                          "the loss of epoch %" PRIu64 " is not finite; try a smaller lr", epoch);
}

int rub_clicks_local_run(rub_clicks_task_t *task, uint64_t batch_examples, uint64_t seed,
                         uint64_t epochs, double *examples_per_s_p, double *loss_p,
                         rub_error_t *err)
{
    local_t self = {.task = task};
    int rc = prepare(&self, batch_examples, seed, err);
    const uint64_t began_us = rub_now_us();
    for (uint64_t epoch = 0; epoch < epochs && rc == 0; epoch++) {
        rc = train_epoch(&self, epoch, seed, loss_p, err);
    }
    const double seconds = (double)(rub_now_us() - began_us) / 1e6;
    *examples_per_s_p =
        (double)(epochs * task->data.train.n_examples) / (seconds > 0 ? seconds : 1);
    finish(&self);
    return rc;
}
