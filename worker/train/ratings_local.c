/* The local loop of ratings: whole tables as arrays, of which a batch's rows are gathered and put
 * back, as a fleet's worker has them from a pull and for a push; so that it does what a worker
 * does, and nothing on any wire. */
#include "worker/train/ratings_local.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/timing.h"
#include "worker/train/local_table.h"

#include <string.h>

typedef struct local {
    const rub_ratings_task_t *task;
    rub_rating_model_t *model;
    rub_rating_batch_t *batch;
    rub_order_t *order;
    size_t n_tables;
    rub_delta_table_t tables[RUB_RATING_TABLES];
    float *rows[RUB_RATING_TABLES], *work[RUB_RATING_TABLES];
} local_t;

static int prepare(local_t *self, size_t batch_ratings, uint64_t seed, rub_error_t *err)
{
    const rub_ratings_task_t *task = self->task;
    const rub_rating_set_t *set = task->set;
    rub_rating_plan_t plan = task->plan;
    plan.seed = seed;
    self->batch = rub_rating_batch_new(&plan, set, batch_ratings);
    self->order = rub_order_new(set->train.n);
    if (!self->batch || !self->order) {
        return rub_fail(err, RUB_ENOMEM, "local loop: no memory for %zu ratings", batch_ratings);
    }
    self->n_tables =
        rub_rating_tables(task->kind, task->spec.width, rub_vocabulary_size(set->users),
                          rub_vocabulary_size(set->items), &task->update, self->tables);
    for (size_t t = 0; t < self->n_tables; t++) {
        self->rows[t] = rub_local_table_new(&self->tables[t], seed, err);
        if (!self->rows[t]) {
            return RUB_ENOMEM;
        }
        self->work[t] =
            rub_calloc((size_t)self->tables[t].n_keys * self->tables[t].width, sizeof(float));
        if (!self->work[t]) {
            return rub_fail(err, RUB_ENOMEM, "local loop: no memory for a batch's rows");
        }
    }
    return rub_ratings_task_model(task, set->mean, &self->model, err);
}

/* The batch's rows into work, or out of it. */
static void move(local_t *self, bool in)
{
    rub_key_list_t lists[RUB_RATING_TABLES];
    rub_rating_lists(self->batch, lists);
    for (size_t t = 0; t < self->n_tables; t++) {
        const size_t width = self->tables[t].width;
        for (size_t i = 0; i < lists[t].n; i++) {
            float *row = self->rows[t] + lists[t].keys[i] * width;
            float *work = self->work[t] + i * width;
            memcpy(in ? work : row, in ? row : work, width * sizeof(*row));
        }
    }
}

static int train_epoch(local_t *self, uint64_t epoch, uint64_t seed, rub_rating_loss_sum_t *loss,
                       rub_error_t *err)
{
    const rub_ratings_task_t *task = self->task;
    const size_t n = task->set->train.n;
    float *const *work = self->work;
    const rub_rating_tables_t rows = {.users = work[RUB_RATING_USERS],
                                      .user_sums = work[RUB_RATING_USER_SUMS],
                                      .items = work[RUB_RATING_ITEMS],
                                      .item_sums = work[RUB_RATING_ITEM_SUMS],
                                      .item_bias = work[RUB_RATING_ITEM_BIAS],
                                      .user_bias = work[RUB_RATING_USER_BIAS]};
    int rc = 0;
    rub_order_arrange(self->order, task->sampling, seed, epoch);
    for (size_t first = 0; first < n && rc == 0; first += self->batch->capacity) {
        const size_t left = n - first;
        rc = rub_rating_batch_fill(
            self->batch, task->set, rub_order_examples(self->order), epoch, first,
            left < self->batch->capacity ? left : self->batch->capacity, err);
        if (rc == 0) {
            move(self, true);
            rub_ratings_train_batch(self->model, self->batch, (float)task->lr, (float)task->epsilon,
                                    &rows, loss);
            move(self, false);
        }
    }
    return rc;
}

static int read_rows(void *context, rub_rating_table_t table, uint64_t first, size_t n,
                     float *values, rub_error_t *err)
{
    const local_t *self = context;
    const size_t width = self->tables[table].width;
    (void)err;
    memcpy(values, self->rows[table] + first * width, n * width * sizeof(*values));
    return 0;
}

int rub_ratings_local_run(const rub_ratings_task_t *task, uint64_t batch_ratings, uint64_t seed,
                          double *ratings_per_s_p, double *loss_p, rub_rating_figures_t *figures,
                          rub_error_t *err)
{
    local_t self = {.task = task};
    rub_rating_loss_sum_t loss = {0};
    int rc = prepare(&self, (size_t)batch_ratings, seed, err);
    const uint64_t began_us = rub_now_us();
    for (uint64_t epoch = 0; epoch < task->epochs && rc == 0; epoch++) {
        loss = (rub_rating_loss_sum_t){0};
        rc = train_epoch(&self, epoch, seed, &loss, err);
    }
    const double seconds = (double)(rub_now_us() - began_us) / 1e6;
    *ratings_per_s_p =
        (double)task->epochs * (double)task->set->train.n / (seconds > 0 ? seconds : 1);
    *loss_p = loss.ratings > 0 ? loss.sum / (double)loss.ratings : 0;
    const rub_rating_source_t source = {read_rows, &self, task->set->mean};
    if (rc == 0 && figures) {
        rc = rub_rating_figures_add(task, rub_ratings_task_validated(task), &source, 0,
                                    task->task.n_test, figures, err);
    }
    for (size_t t = 0; t < RUB_RATING_TABLES; t++) {
        rub_free(self.rows[t]);
        rub_free(self.work[t]);
    }
    rub_order_destroy(&self.order);
    rub_rating_batch_destroy(&self.batch);
    rub_rating_model_destroy(&self.model);
    return rc;
}
