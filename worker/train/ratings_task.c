/* A factorization of ratings over a session. Two batches take turns: while one is trained the next
 * is cut and its rows are on their way (delta_rows.h).
 *
 * Why the worker steps itself, and does not push gradients for the shards to step with: ratings of
 * one user, or of a popular item, come many times in a batch, and each should see what the one
 * before it has changed; as gradients of a batch they would all be taken at the same point. And a
 * period moves each row twice, however often it is stepped. AdaGrad's accumulators travel beside
 * the rows and are sums, so several workers' add up as the shards' own would. */
#include "worker/train/ratings_task.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "worker/data/names_file.h"
#include "worker/data/triple_reader.h"
#include "worker/train/batch_turns.h"
#include "worker/train/kept_names.h"
#include "worker/train/rating_figures.h"
#include "worker/train/vectors_out.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Of a validation; of training they stay 0. */
enum { SUM_ABSOLUTES = RUB_SUM_OWN, SUM_PRECISION = RUB_SUM_OWN, SUM_RECALL, SUM_NDCG, SUM_AUC };
enum { SUM_VALIDATED = RUB_TASK_SUMS - 1 };
_Static_assert(SUM_AUC < (int)SUM_VALIDATED, "sums of a task");

typedef struct ratings {
    rub_ratings_task_t open; /* what is known before there is a session */
    const rub_config_t *config;
    rub_session_t *session;
    rub_rating_model_t *model;
    float mean;
    rub_delta_rows_t *rows;
    rub_order_t *order;
    rub_rating_batch_t *batches[2];
    rub_batch_turns_t turns;
} ratings_t;

/* ---- opening ---- */

bool rub_ratings_task_wanted(const rub_config_t *config)
{
    return rub_rating_kind_named(rub_config_word(config, RUB_OPT_model_kind)) != NULL;
}

bool rub_ratings_task_ranks(const rub_config_t *config)
{
    return rub_rating_kind_named(rub_config_word(config, RUB_OPT_model_kind))->draws;
}

static int check_of_kind(const rub_config_t *config, const char *kind, rub_error_t *err)
{
    if (rub_rating_kind_named(kind)->draws) {
        return config->negatives + config->chunk_negatives > 0
                   ? 0
                   : rub_fail(err, RUB_ECONFIG,
                              "negatives and chunk_negatives are 0, %s needs some of either", kind);
    }
    return config->confidence == 0 && config->least_rating == 0
               ? 0
               : rub_fail(err, RUB_ECONFIG, "%s: of mf_bpr and mf_logistic, %s learns all ratings",
                          config->confidence > 0 ? "confidence" : "least_rating", kind);
}

static int check_config(const rub_config_t *config, rub_error_t *err)
{
    const char *kind = rub_config_word(config, RUB_OPT_model_kind);
    const char *format = rub_config_word(config, RUB_OPT_data_format);
    if (strcmp(format, "ratings") != 0) {
        return rub_fail(err, RUB_ECONFIG, "data_format: %s, %s trains on ratings", format, kind);
    }
    if (config->train_file[0] == '\0') {
        return rub_fail(err, RUB_ECONFIG, "train_file is not set: nothing to train on");
    }
    if (config->held_out > 0 && config->valid_file[0] != '\0') {
        return rub_fail(err, RUB_ECONFIG,
                        "held_out and valid_file: both say what is validated on, expected one of "
                        "them");
    }
    if (config->optimizer != RUB_ADD) {
        return rub_fail(err, RUB_ECONFIG,
                        "optimizer: %s, %s steps on the worker (AdaGrad) and pushes sums: "
                        "expected add",
                        rub_config_word(config, RUB_OPT_optimizer), kind);
    }
    if (config->schedule != RUB_SCHEDULE_CONSTANT) {
        return rub_fail(err, RUB_ECONFIG,
                        "schedule: %s, AdaGrad's rate falls by itself: expected constant",
                        rub_config_word(config, RUB_OPT_schedule));
    }
    const int rc = check_of_kind(config, kind, err);
    return rc ? rc : rub_vectors_out_check(config->vectors, err);
}

/* A weight below 0 would push what was chosen away. */
static int check_weights(const rub_rating_set_t *set, double confidence, rub_error_t *err)
{
    for (size_t i = 0; i < set->train.n && confidence > 0; i++) {
        if (set->train.items[i].value < 0) {
            return rub_fail(err, RUB_EDATA,
                            "rating %zu to train on is %g, with confidence expected at least 0",
                            i + 1, (double)set->train.items[i].value);
        }
    }
    return 0;
}

/* Where the ratings of each user with a number begin. */
static int find_users(const rub_ratings_task_t *self, rub_rating_part_t *part, rub_error_t *err)
{
    const rub_rating_list_t *list = &part->ratings;
    part->starts = rub_calloc(list->n + 1, sizeof(*part->starts));
    if (!part->starts) {
        return rub_fail(err, RUB_ENOMEM, "ratings: no memory for the users of %zu", list->n);
    }
    size_t i = 0;
    for (; i < list->n && list->items[i].user != RUB_NO_WORD; i++) {
        if (i == 0 || list->items[i].user != list->items[i - 1].user) {
            part->starts[part->n_users++] = i;
        }
    }
    part->starts[part->n_users] = i;
    part->n = self->kind->draws ? part->n_users : list->n;
    return part->n > 0 ? 0
                       : rub_fail(err, RUB_EDATA,
                                  "none of the users of %zu ratings to validate on is among those "
                                  "of training",
                                  list->n);
}

int rub_rating_part_open(const rub_ratings_task_t *self, const rub_config_t *config,
                         const char *path, bool held_out, rub_rating_part_t *part, rub_error_t *err)
{
    const rub_rating_options_t file = {.path = path,
                                       .interactions = self->kind->draws,
                                       .least = config->least_rating,
                                       .held_out = held_out ? config->held_out : 0,
                                       .take_held_out = held_out,
                                       .held_out_seed = config->seed};
    *part = (rub_rating_part_t){0};
    const int rc = rub_rating_set_read(self->set, &file, &part->ratings, err);
    return rc ? rc : find_users(self, part, err);
}

void rub_rating_part_close(rub_rating_part_t *part)
{
    rub_rating_list_fini(&part->ratings);
    rub_free(part->starts);
    *part = (rub_rating_part_t){0};
}

static int open_parts(const rub_config_t *config, rub_ratings_task_t *self, rub_error_t *err)
{
    const bool held_out = config->held_out > 0;
    const char *const valid = held_out ? config->train_file : config->valid_file;
    int rc = 0;
    if (valid[0]) {
        rc = rub_rating_part_open(self, config, valid, held_out, &self->valid, err);
    }
    if (rc == 0 && config->test_file[0]) {
        rc = rub_rating_part_open(self, config, config->test_file, false, &self->test, err);
    }
    return rc;
}

static int open_set(const rub_config_t *config, rub_ratings_task_t *self, rub_error_t *err)
{
    const rub_rating_set_options_t options = {.train = config->train_file,
                                              .interactions = self->kind->draws,
                                              .least = config->least_rating,
                                              .held_out = config->held_out,
                                              .seed = config->seed};
    int rc = rub_rating_set_open(&options, &self->set, err);
    if (rc == 0 && config->batch > self->set->train.n) {
        rc = rub_fail(err, RUB_ECONFIG, "batch: %" PRIu64 ", there are %zu ratings to train on",
                      config->batch, self->set->train.n);
    }
    rc = rc ? rc : check_weights(self->set, config->confidence, err);
    return rc ? rc : open_parts(config, self, err);
}

static void ratings_close(rub_task_t *task)
{
    ratings_t *self = (ratings_t *)task;
    rub_rating_set_close(&self->open.set);
    rub_rating_part_close(&self->open.valid);
    rub_rating_part_close(&self->open.test);
    rub_free(self);
}

int rub_ratings_task_model(const rub_ratings_task_t *self, double mean,
                           rub_rating_model_t **model_p, rub_error_t *err)
{
    rub_rating_spec_t spec = self->spec;
    spec.mean = mean;
    spec.user_rows = self->set ? rub_vocabulary_size(self->set->users) : 1;
    spec.item_rows = self->set ? rub_vocabulary_size(self->set->items) : 1;
    return rub_rating_model_new(&spec, model_p, err);
}

/* ---- batches ---- */

static int make_room(ratings_t *self, size_t batch_ratings, rub_error_t *err)
{
    const rub_rating_set_t *set = self->open.set;
    self->order = rub_order_new(set->train.n);
    for (int i = 0; i < 2; i++) {
        self->batches[i] = rub_rating_batch_new(&self->open.plan, set, batch_ratings);
    }
    return self->order && self->batches[0] && self->batches[1]
               ? 0
               : rub_fail(err, RUB_ENOMEM, "training: no memory for batches of %zu ratings",
                          batch_ratings);
}

/* The ones that the run directory has, of a job that goes on, are these; rank 0 leaves them there.
 */
static int keep_names(const ratings_t *self, const rub_info_t *info, const rub_vocabulary_t *names,
                      const char *what, const char *name, rub_error_t *err)
{
    char path[PATH_MAX];
    const char *folder = self->config->run_dir[0] ? self->config->run_dir : ".";
    size_t n = 0;
    int rc = 0;
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path)) {
        return rub_fail(err, RUB_ECONFIG, "run_dir: the path is too long");
    }
    if (rub_kept_names_count(info) && rub_fs_exists(path)) {
        rub_vocabulary_t *kept = rub_vocabulary_new();
        rc = kept ? rub_triple_reader_dictionary(path, kept, &n, err)
                  : rub_fail(err, RUB_ENOMEM, "no memory for names");
        rc = rc ? rc
                : rub_kept_names_compare(kept, names, what, self->config->train_file, path, err);
        rub_vocabulary_destroy(&kept);
    }
    return rc || info->rank != 0 ? rc : rub_names_save(names, path, err);
}

/* The mean that the job has, which is that of the data unless it began from weights. */
static int open_mean(ratings_t *self, rub_error_t *err)
{
    rub_schema_t schema;
    rub_table_t table;
    if (self->open.kind->draws) {
        return 0;
    }
    rub_rating_mean_schema(self->open.set->mean, &schema);
    const int rc = rub_table_open(self->session, &schema, &table, err);
    return rc ? rc : rub_pull_range(self->session, table, 0, 1, &self->mean, err);
}

static int ratings_begin(rub_task_t *task, rub_session_t *session, uint64_t batch_examples,
                         rub_error_t *err)
{
    ratings_t *self = (ratings_t *)task;
    const rub_rating_set_t *set = self->open.set;
    rub_delta_table_t tables[RUB_RATING_TABLES];
    rub_info_t info;
    rub_session_info(session, &info);
    self->session = session;
    self->open.plan.seed = info.seed;
    const size_t n_tables =
        rub_rating_tables(self->open.kind, self->open.spec.width, rub_vocabulary_size(set->users),
                          rub_vocabulary_size(set->items), &self->open.update, tables);
    int rc = make_room(self, (size_t)batch_examples, err);
    rc = rc ? rc : keep_names(self, &info, set->users, "user", RUB_RATING_USERS_FILE, err);
    rc = rc ? rc : keep_names(self, &info, set->items, "item", RUB_RATING_ITEMS_FILE, err);
    rc = rc ? rc : rub_delta_rows_open(session, tables, n_tables, &self->rows, err);
    rc = rc ? rc : open_mean(self, err);
    return rc ? rc : rub_ratings_task_model(&self->open, (double)self->mean, &self->model, err);
}

static void ratings_end(rub_task_t *task)
{
    ratings_t *self = (ratings_t *)task;
    rub_delta_rows_close(&self->rows);
    rub_rating_model_destroy(&self->model);
    rub_rating_batch_destroy(&self->batches[0]);
    rub_rating_batch_destroy(&self->batches[1]);
    rub_order_destroy(&self->order);
}

static int ratings_order(rub_task_t *task, uint64_t seed, uint64_t epoch, rub_error_t *err)
{
    ratings_t *self = (ratings_t *)task;
    RUB_UNUSED(err);
    rub_order_arrange(self->order, self->open.sampling, seed, epoch);
    self->turns.epoch = epoch;
    return 0;
}

static int fill(ratings_t *self, unsigned which, uint64_t first, uint64_t count, rub_error_t *err)
{
    return rub_rating_batch_fill(self->batches[which], self->open.set,
                                 rub_order_examples(self->order), self->turns.epoch, (size_t)first,
                                 (size_t)count, err);
}

static int ratings_take(rub_task_t *task, uint64_t first, uint64_t count, rub_error_t *err)
{
    ratings_t *self = (ratings_t *)task;
    return rub_batch_turns_take(&self->turns, first, count)
               ? 0
               : fill(self, self->turns.current, first, count, err);
}

static int ratings_pull(rub_task_t *task, rub_error_t *err)
{
    ratings_t *self = (ratings_t *)task;
    rub_key_list_t lists[RUB_RATING_TABLES];
    rub_rating_lists(self->batches[self->turns.current], lists);
    return rub_delta_rows_pull(self->rows, lists, err);
}

static int ratings_prefetch(rub_task_t *task, uint64_t first, uint64_t count, rub_error_t *err)
{
    ratings_t *self = (ratings_t *)task;
    rub_key_list_t lists[RUB_RATING_TABLES];
    const unsigned ahead = rub_batch_turns_ahead(&self->turns, first, count);
    const int rc = fill(self, ahead, first, count, err);
    rub_rating_lists(self->batches[ahead], lists);
    return rc ? rc : rub_delta_rows_prefetch(self->rows, lists, err);
}

void rub_ratings_train_batch(rub_rating_model_t *model, const rub_rating_batch_t *batch, float lr,
                             float epsilon, const rub_rating_tables_t *rows,
                             rub_rating_loss_sum_t *loss)
{
    const size_t n_negatives = batch->plan.uniform + batch->plan.from_chunk;
    for (size_t c = 0; c < batch->n_chunks; c++) {
        const size_t first = c * batch->plan.chunk;
        const size_t left = batch->n - first;
        const rub_rating_chunk_t chunk = {.n = left < batch->plan.chunk ? left : batch->plan.chunk,
                                          .users = batch->users + first,
                                          .items = batch->items + first,
                                          .values = batch->values + first,
                                          .negatives = batch->negatives + c * n_negatives,
                                          .n_negatives = n_negatives,
                                          .skip_starts = batch->skip_starts + first,
                                          .skips = batch->skips};
        rub_rating_model_train(model, &chunk, lr, epsilon, rows, loss);
    }
}

static int ratings_compute(rub_task_t *task, double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    ratings_t *self = (ratings_t *)task;
    RUB_UNUSED(err);
    const rub_rating_tables_t rows = {
        .users = rub_delta_rows_work(self->rows, RUB_RATING_USERS),
        .user_sums = rub_delta_rows_work(self->rows, RUB_RATING_USER_SUMS),
        .items = rub_delta_rows_work(self->rows, RUB_RATING_ITEMS),
        .item_sums = rub_delta_rows_work(self->rows, RUB_RATING_ITEM_SUMS),
        .item_bias = rub_delta_rows_work(self->rows, RUB_RATING_ITEM_BIAS),
        .user_bias = self->open.kind->user_bias
                         ? rub_delta_rows_work(self->rows, RUB_RATING_USER_BIAS)
                         : NULL};
    rub_rating_loss_sum_t loss = {0};
    rub_ratings_train_batch(self->model, self->batches[self->turns.current], (float)self->open.lr,
                            (float)self->open.epsilon, &rows, &loss);
    sums[RUB_SUM_LOSS] += loss.sum;
    sums[RUB_SUM_EXAMPLES] += (double)loss.ratings;
    return 0;
}

static int ratings_push(rub_task_t *task, rub_error_t *err)
{
    return rub_delta_rows_push(((ratings_t *)task)->rows, err);
}

/* ---- validation and the end ---- */

static int read_rows(void *context, rub_rating_table_t table, uint64_t first, size_t n,
                     float *values, rub_error_t *err)
{
    return rub_delta_rows_read(context, table, first, n, values, err);
}

static int measure_part(ratings_t *self, const rub_rating_part_t *part, uint64_t first,
                        uint64_t last, double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    const rub_rating_source_t source = {read_rows, self->rows, (double)self->mean};
    rub_rating_figures_t figures = {0};
    const int rc = rub_rating_figures_add(&self->open, part, &source, first, last, &figures, err);
    sums[RUB_SUM_EXAMPLES] += self->open.kind->draws ? figures.ranks.users : figures.ratings;
    sums[SUM_VALIDATED] += 1;
    if (self->open.kind->draws) {
        sums[SUM_PRECISION] += figures.ranks.precision;
        sums[SUM_RECALL] += figures.ranks.recall;
        sums[SUM_NDCG] += figures.ranks.ndcg;
        sums[SUM_AUC] += figures.ranks.auc;
    } else {
        sums[RUB_SUM_LOSS] += figures.squares;
        sums[SUM_ABSOLUTES] += figures.absolutes;
    }
    return rc;
}

static int ratings_validate(rub_task_t *task, uint64_t first, uint64_t last,
                            double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    ratings_t *self = (ratings_t *)task;
    return measure_part(self, rub_ratings_task_validated(&self->open), first, last, sums, err);
}

/* The test data, where they were not what epochs were validated on. */
static int ratings_conclude(rub_task_t *task, uint32_t n_workers, double sums[RUB_TASK_SUMS],
                            const char **prefix_p, rub_error_t *err)
{
    ratings_t *self = (ratings_t *)task;
    RUB_UNUSED(n_workers);
    if (self->open.valid.n == 0 || self->open.test.n == 0) {
        return 0;
    }
    *prefix_p = "test_";
    return measure_part(self, &self->open.test, 0, self->open.test.n, sums, err);
}

static size_t ratings_measure(const rub_task_t *task, const double sums[RUB_TASK_SUMS],
                              rub_measure_t measures[RUB_TASK_MEASURES_LIMIT])
{
    const rub_ratings_task_t *self = rub_ratings_task_of(task);
    const double n = sums[RUB_SUM_EXAMPLES] > 0 ? sums[RUB_SUM_EXAMPLES] : 1;
    if (sums[SUM_VALIDATED] == 0) {
        measures[0] = (rub_measure_t){"loss", sums[RUB_SUM_LOSS] / n};
        measures[1] = (rub_measure_t){"rmse", sqrt(sums[RUB_SUM_LOSS] / n)};
        return self->kind->draws ? 1 : 2;
    }
    rub_rating_figures_t figures = {.ratings = sums[RUB_SUM_EXAMPLES],
                                    .squares = sums[RUB_SUM_LOSS],
                                    .absolutes = sums[SUM_ABSOLUTES]};
    if (self->kind->draws) {
        figures.ranks = (rub_item_ranks_t){.users = sums[RUB_SUM_EXAMPLES],
                                           .precision = sums[SUM_PRECISION],
                                           .recall = sums[SUM_RECALL],
                                           .ndcg = sums[SUM_NDCG],
                                           .auc = sums[SUM_AUC]};
    }
    return rub_rating_figures_measures(self, &figures, measures);
}

static const char *name_of(void *context, uint32_t i, char *room)
{
    const ratings_t *self = context;
    return rub_name_as_word(rub_vocabulary_word(self->open.set->items, i), room);
}

static int read_items(void *context, size_t first, size_t count, float *values, rub_error_t *err)
{
    return rub_delta_rows_read(((ratings_t *)context)->rows, RUB_RATING_ITEMS, first, count, values,
                               err);
}

static int ratings_finish(rub_task_t *task, rub_error_t *err)
{
    ratings_t *self = (ratings_t *)task;
    const rub_vectors_source_t source = {.context = self,
                                         .n = rub_vocabulary_size(self->open.set->items),
                                         .width = self->open.spec.width,
                                         .name = name_of,
                                         .read = read_items};
    return rub_vectors_out_write(self->config->vectors, &source, err);
}

static size_t ratings_tables(const rub_task_t *task, uint32_t n_workers, uint64_t batch_examples,
                             rub_schema_t schemas[RUB_TASK_TABLES_LIMIT])
{
    const rub_ratings_task_t *self = rub_ratings_task_of(task);
    rub_delta_table_t tables[RUB_RATING_TABLES];
    RUB_UNUSED(n_workers);
    RUB_UNUSED(batch_examples);
    size_t n =
        rub_rating_tables(self->kind, self->spec.width, rub_vocabulary_size(self->set->users),
                          rub_vocabulary_size(self->set->items), &self->update, tables);
    for (size_t t = 0; t < n; t++) {
        rub_delta_rows_schema(&tables[t], &schemas[t]);
    }
    if (!self->kind->draws) {
        rub_rating_mean_schema(self->set->mean, &schemas[n++]);
    }
    return n;
}

static const rub_task_kind_t ratings_kind = {
    .begin = ratings_begin,
    .end = ratings_end,
    .close = ratings_close,
    .order = ratings_order,
    .take = ratings_take,
    .pull = ratings_pull,
    .prefetch = ratings_prefetch,
    .compute = ratings_compute,
    .push = ratings_push,
    .validate = ratings_validate,
    .conclude = ratings_conclude,
    .finish = ratings_finish,
    .tables = ratings_tables,
    .measure = ratings_measure,
};

static void read_config(const rub_config_t *config, rub_ratings_task_t *self)
{
    const size_t chunk = (size_t)(config->chunk < config->batch ? config->chunk : config->batch);
    self->kind = rub_rating_kind_named(rub_config_word(config, RUB_OPT_model_kind));
    self->plan = (rub_rating_plan_t){.chunk = chunk};
    if (self->kind->draws) {
        self->plan.uniform = (size_t)config->negatives;
        self->plan.from_chunk = (size_t)config->chunk_negatives;
    }
    self->spec = (rub_rating_spec_t){.kind = self->kind->name,
                                     .width = (uint32_t)config->dim,
                                     .l2 = config->regularization,
                                     .confidence = config->confidence,
                                     .chunk = chunk,
                                     .negatives = self->plan.uniform + self->plan.from_chunk};
    self->sampling = (rub_sampling_t)config->sampling;
    self->top = (size_t)config->top;
    self->lr = config->lr;
    self->epsilon = config->epsilon;
    self->epochs = config->epochs;
}

/* The model is made with the session; what it refuses is refused now. */
static int try_model(const rub_ratings_task_t *self, rub_error_t *err)
{
    rub_rating_model_t *model = NULL;
    const int rc = rub_ratings_task_model(self, 0, &model, err);
    rub_rating_model_destroy(&model);
    return rc;
}

int rub_ratings_task_open(const rub_config_t *config, const rub_update_t *update,
                          rub_task_t **task_p, rub_error_t *err)
{
    *task_p = NULL;
    int rc = check_config(config, err);
    if (rc) {
        return rc;
    }
    ratings_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a task");
    }
    rub_ratings_task_t *open = &self->open;
    self->config = config;
    open->update = *update;
    open->task.kind = &ratings_kind;
    read_config(config, open);
    rc = try_model(open, err);
    rc = rc ? rc : open_set(config, open, err);
    if (rc) {
        ratings_close(&open->task);
        return rc;
    }
    const uint64_t n_users = rub_vocabulary_size(open->set->users);
    const uint64_t n_items = rub_vocabulary_size(open->set->items);
    open->task.n_examples = open->set->train.n;
    open->task.n_test = rub_ratings_task_validated(open)->n;
    open->task.is_apart = open->valid.n > 0;
    open->task.n_parameters =
        (open->spec.width + 1) * n_items + (open->spec.width + open->kind->user_bias) * n_users;
    *task_p = &open->task;
    return 0;
}

const rub_ratings_task_t *rub_ratings_task_of(const rub_task_t *task)
{
    return task->kind == &ratings_kind ? (const rub_ratings_task_t *)task : NULL;
}
