/* The task of click models. With a fleet in this process it learns to the bit what the same model
 * and optimizer learn on arrays, whatever was prefetched; shares of a validation add up; and what a
 * run file must say. (Stopping a fleet takes half a second, so there is one.) */
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/conf/config.h"
#include "common/num/initializer.h"
#include "common/num/optimizer.h"
#include "tests/unit/worker/train/one_session.h"
#include "worker/data/sparse_batch.h"
#include "worker/model/sparse_model.h"
#include "worker/train/clicks_local.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    EXAMPLES = 60,
    BATCH = 8,
    TESTED = 21,
    SEED = 1 /* of the fleet */,
    CORRECT = RUB_SUM_OWN,
    ORDERED,
    PAIRS
};

typedef struct files {
    char folder[64], train[96], test[96];
} files_t;

/* Clicks are the examples with feature 1, which half of them have; others come and go. */
static void write_examples(const char *path, unsigned n, unsigned shift)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    for (unsigned i = 0; i < n; i++) {
        const unsigned click = (i * 7 + shift) % 2;
        (void)fprintf(out, "%u%s %u:0.5 %u:2 %u:-1\n", click, click ? " 1:1" : "", 10 + i % 5,
                      20 + i * i % 11, 100 + i + shift);
    }
    (void)fclose(out);
}

static int set_up(void **state)
{
    static files_t files;
    strcpy(files.folder, "/tmp/rubato-clicks-XXXXXX");
    assert_non_null(mkdtemp(files.folder));
    (void)snprintf(files.train, sizeof(files.train), "%s/train", files.folder);
    (void)snprintf(files.test, sizeof(files.test), "%s/test", files.folder);
    write_examples(files.train, EXAMPLES, 0);
    write_examples(files.test, TESTED, 3);
    *state = &files;
    return 0;
}

static int tear_down(void **state)
{
    const files_t *files = *state;
    (void)unlink(files->train);
    (void)unlink(files->test);
    return rmdir(files->folder);
}

static void configure(rub_config_t *config, const files_t *files, const char *kind)
{
    static const struct {
        rub_option_id_t option;
        const char *text;
    } rows[] = {{RUB_OPT_data_format, "libsvm"}, {RUB_OPT_factors, "3"}, {RUB_OPT_batch, "8"}};
    rub_config_init(config);
    assert_int_equal(rub_config_load(config, RUB_FOR_WORKER, 0, NULL, NULL, NULL), 0);
    for (size_t i = 0; i < RUB_COUNT_OF(rows); i++) {
        assert_int_equal(
            rub_config_set(config, rows[i].option, rows[i].text, RUB_FROM_FLAG, "", NULL), 0);
    }
    assert_int_equal(rub_config_set(config, RUB_OPT_model_kind, kind, RUB_FROM_FLAG, "", NULL), 0);
    config->train_file = files->train;
    config->test_file = files->test;
}

static const rub_update_t update = {.optimizer = RUB_ADAGRAD,
                                    .hyper = {.lr = 0.1, .epsilon = 1e-8, .ftrl_beta = 1}};

static rub_task_t *open_task(const files_t *files)
{
    rub_config_t config;
    rub_task_t *task = NULL;
    rub_error_t err = {0};
    configure(&config, files, "fm");
    assert_true(rub_clicks_task_wanted(&config));
    if (rub_clicks_task_open(&config, &update, &task, &err) != 0) {
        fail_msg("%s", err.message);
    }
    rub_config_fini(&config);
    return task;
}

/* ---- the same on arrays ---- */

enum { KEYS = 256, FACTORS = 3 }; /* line KEYS - 1 is the intercept's */

typedef struct arrays {
    rub_sparse_set_t *train;
    rub_sparse_model_t *model;
    rub_order_t *order;
    float values[2][KEYS * FACTORS], slots[2][KEYS * FACTORS];
} arrays_t;

static void arrays_init(arrays_t *self, const files_t *files)
{
    rub_sparse_options_t options;
    rub_sparse_options_defaults(&options);
    options.format = "libsvm";
    options.path = files->train;
    assert_int_equal(rub_sparse_set_open(&options, &self->train, NULL), 0);
    assert_int_equal(rub_sparse_model_new("fm", FACTORS, &self->model, NULL), 0);
    self->order = rub_order_new(EXAMPLES);
    size_t n_tables = 0;
    const rub_sparse_table_t *tables = rub_sparse_model_tables(self->model, &n_tables);
    assert_int_equal(n_tables, 2);
    for (size_t t = 0; t < n_tables; t++) {
        const rub_initializer_t initializer = {
            .kind = tables[t].init,
            .scale = tables[t].init_scale,
            .seed = SEED,
            .table = rub_hash_bytes(tables[t].name, strlen(tables[t].name))};
        for (uint64_t key = 0; key < KEYS; key++) {
            rub_initializer_fill_row(&initializer, key, tables[t].width,
                                     self->values[t] + key * tables[t].width);
        }
    }
}

static void arrays_fini(arrays_t *self)
{
    rub_sparse_set_close(&self->train);
    rub_sparse_model_destroy(&self->model);
    rub_order_destroy(&self->order);
}

/* Where the row of a key stands. */
static size_t line_of(uint64_t key, uint32_t width)
{
    return (key == RUB_SPARSE_BIAS ? KEYS - 1 : (size_t)key) * width;
}

/* The loss of the batch before its step. */
static double arrays_step(arrays_t *self, const rub_sparse_batch_t *batch)
{
    size_t n_tables = 0;
    const rub_sparse_table_t *tables = rub_sparse_model_tables(self->model, &n_tables);
    float rows[2][KEYS * FACTORS], gradients[2][KEYS * FACTORS];
    for (size_t t = 0; t < n_tables; t++) {
        for (size_t k = 0; k < rub_sparse_lines(&tables[t], batch->n_keys); k++) {
            memcpy(rows[t] + k * tables[t].width,
                   self->values[t] + line_of(batch->keys[k], tables[t].width),
                   tables[t].width * sizeof(float));
        }
    }
    const rub_sparse_rows_t examples = {.n = batch->count,
                                        .starts = batch->starts,
                                        .places = batch->places,
                                        .values = batch->values,
                                        .labels = batch->labels,
                                        .n_places = batch->n_keys};
    rub_sparse_figures_t figures;
    rub_sparse_model_gradient(self->model, (const float *const[]){rows[0], rows[1]}, &examples,
                              (float *const[]){gradients[0], gradients[1]}, &figures);
    for (size_t t = 0; t < n_tables; t++) {
        for (size_t k = 0; k < rub_sparse_lines(&tables[t], batch->n_keys); k++) {
            const size_t line = line_of(batch->keys[k], tables[t].width);
            rub_optimizer_apply(rub_optimizer_find(RUB_ADAGRAD), self->values[t] + line,
                                self->slots[t] + line, tables[t].width, 1, &update.hyper,
                                gradients[t] + k * tables[t].width);
        }
    }
    return figures.loss;
}

static size_t arrays_train(arrays_t *self, uint64_t epochs, double *losses)
{
    size_t n = 0;
    rub_sparse_batch_t *batch = rub_sparse_batch_new(BATCH);
    for (uint64_t epoch = 0; epoch < epochs; epoch++) {
        rub_order_shuffle(self->order, SEED, epoch);
        for (size_t first = 0; first < EXAMPLES; first += BATCH) {
            const size_t count = EXAMPLES - first < BATCH ? EXAMPLES - first : BATCH;
            assert_int_equal(
                rub_sparse_batch_fill(batch, self->train, self->order, first, count, NULL), 0);
            losses[n++] = arrays_step(self, batch);
        }
    }
    rub_sparse_batch_destroy(&batch);
    return n;
}

/* ---- with a fleet ---- */

typedef struct world {
    rub_inproc_t *fleet;
    rub_session_t *session;
    rub_task_t *task;
} world_t;

static void world_init(world_t *self, const files_t *files)
{
    rub_inproc_options_t fleet;
    rub_inproc_options_defaults(&fleet);
    fleet.staleness = 0;
    fleet.shards = 2;
    one_session_open(&fleet, &self->fleet, &self->session);
    self->task = open_task(files);
    assert_int_equal(self->task->n_examples, EXAMPLES);
    assert_int_equal(self->task->n_test, TESTED);
    assert_int_equal(self->task->kind->begin(self->task, self->session, BATCH, NULL), 0);
}

static void world_fini(world_t *self)
{
    self->task->kind->end(self->task);
    rub_task_close(&self->task);
    one_session_close(&self->fleet, &self->session);
}

typedef enum { NEXT, NONE, WRONG, N_PREFETCHES } prefetch_t;

static void prefetch(const world_t *self, prefetch_t which, uint64_t next)
{
    const uint64_t first = which == NEXT ? next : 0;
    const uint64_t count = EXAMPLES - first < BATCH ? EXAMPLES - first : BATCH;
    if (which != NONE && next < EXAMPLES) {
        assert_int_equal(self->task->kind->prefetch(self->task, first, count, NULL), 0);
    }
}

/* One epoch for each way to prefetch. */
static size_t world_train(const world_t *self, double *losses)
{
    const rub_task_kind_t *kind = self->task->kind;
    size_t n = 0;
    for (uint64_t epoch = 0; epoch < N_PREFETCHES; epoch++) {
        assert_int_equal(kind->order(self->task, SEED, epoch, NULL), 0);
        for (uint64_t first = 0; first < EXAMPLES; first += BATCH) {
            double sums[RUB_TASK_SUMS] = {0};
            const uint64_t count = EXAMPLES - first < BATCH ? EXAMPLES - first : BATCH;
            assert_int_equal(kind->take(self->task, first, count, NULL), 0);
            assert_int_equal(kind->pull(self->task, NULL), 0);
            prefetch(self, (prefetch_t)epoch, first + count);
            assert_int_equal(kind->compute(self->task, sums, NULL), 0);
            assert_int_equal(kind->push(self->task, NULL), 0);
            assert_int_equal(rub_clock(self->session, NULL, 0, NULL), 0);
            assert_true(sums[RUB_SUM_EXAMPLES] == (double)count);
            losses[n++] = sums[RUB_SUM_LOSS];
        }
        kind->forget(self->task);
        assert_int_equal(rub_barrier(self->session, NULL, 0, NULL), 0);
    }
    return n;
}

static void check_validation(const world_t *self)
{
    const rub_task_kind_t *kind = self->task->kind;
    double whole[RUB_TASK_SUMS] = {0}, shares[RUB_TASK_SUMS] = {0}, batch[RUB_TASK_SUMS] = {0};
    assert_int_equal(kind->validate(self->task, 0, TESTED, whole, NULL), 0);
    assert_int_equal(kind->validate(self->task, 0, 9, shares, NULL), 0);
    assert_int_equal(kind->validate(self->task, 9, 9, shares, NULL), 0);
    assert_int_equal(kind->validate(self->task, 9, TESTED, shares, NULL), 0);
    assert_true(fabs(whole[RUB_SUM_LOSS] - shares[RUB_SUM_LOSS]) < 1e-9);
    assert_true(whole[RUB_SUM_EXAMPLES] == TESTED && shares[RUB_SUM_EXAMPLES] == TESTED);
    assert_true(whole[CORRECT] == shares[CORRECT]);
    assert_true(whole[PAIRS] == 10 * 11 && whole[ORDERED] <= whole[PAIRS]);
    assert_true(shares[PAIRS] == 4 * 5 + 6 * 6); /* within each share */
    rub_measure_t measures[RUB_TASK_MEASURES_LIMIT];
    assert_int_equal(kind->measure(self->task, whole, measures), 3);
    assert_string_equal(measures[0].name, "loss");
    assert_true(measures[0].value == whole[RUB_SUM_LOSS] / TESTED);
    assert_string_equal(measures[2].name, "auc");
    assert_true(measures[2].value == whole[ORDERED] / (10 * 11));
    assert_true(measures[2].value > 0.95); /* feature 1 says it all */
    whole[PAIRS] = 0;                      /* of one class */
    assert_int_equal(kind->measure(self->task, whole, measures), 2);
    /* The places of a validation's last slice are not taken for a batch of them. */
    assert_int_equal(kind->take(self->task, 0, 5, NULL), 0);
    assert_int_equal(kind->pull(self->task, NULL), 0);
    assert_int_equal(kind->compute(self->task, batch, NULL), 0);
    assert_true(batch[RUB_SUM_EXAMPLES] == 5);
}

/* losses: of the n batches of all epochs, of which the local loop says the last one's mean. */
static void check_local_loop(const world_t *self, const double *losses, size_t n)
{
    double examples_per_s = 0, loss = 0, sum = 0;
    for (size_t i = n - n / N_PREFETCHES; i < n; i++) {
        sum += losses[i];
    }
    assert_int_equal(rub_clicks_local_run(rub_clicks_task_of(self->task), BATCH, SEED, N_PREFETCHES,
                                          &examples_per_s, &loss, NULL),
                     0);
    assert_true(loss == sum / EXAMPLES);
    assert_true(examples_per_s > 0);
}

static void a_fleet_learns_what_arrays_learn_and_validates_by_shares(void **state)
{
    static arrays_t arrays;
    world_t world = {0};
    double expected[64], losses[64];
    arrays_init(&arrays, *state);
    const size_t n = arrays_train(&arrays, N_PREFETCHES, expected);
    world_init(&world, *state);
    assert_int_equal(world_train(&world, losses), n);
    assert_memory_equal(losses, expected, n * sizeof(*losses));
    assert_true(losses[n - 1] < losses[0] / 2); /* of 4 and of 8 examples */
    check_local_loop(&world, losses, n);
    check_validation(&world);
    world_fini(&world);
    arrays_fini(&arrays);
}

static void assert_refused(rub_config_t *config, int code, const char *words)
{
    rub_error_t err = {0};
    rub_task_t *task = (rub_task_t *)&err;
    assert_int_equal(rub_clicks_task_open(config, &update, &task, &err), code);
    assert_null(task);
    if (strstr(err.message, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.message, words);
    }
    rub_config_fini(config);
}

static void what_a_run_file_must_say_is_said(void **state)
{
    rub_config_t config;
    configure(&config, *state, "logistic");
    config.train_file = "";
    assert_refused(&config, RUB_ECONFIG, "train_file is not set");
    configure(&config, *state, "fm");
    assert_int_equal(rub_config_set(&config, RUB_OPT_data_format, "idx", RUB_FROM_FLAG, "", NULL),
                     0);
    assert_refused(&config, RUB_ECONFIG, "model_kind fm learns from sparse examples");
    configure(&config, *state, "logistic");
    config.batch = EXAMPLES + 1;
    assert_refused(&config, RUB_ECONFIG, "batch: 61, the training data has 60 examples");
    configure(&config, *state, "logistic");
    config.test_file = "/nowhere/at/all";
    assert_refused(&config, RUB_EDATA, "'/nowhere/at/all': it cannot be opened");
    configure(&config, *state, "mlp");
    assert_false(rub_clicks_task_wanted(&config));
    rub_config_fini(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fleet_learns_what_arrays_learn_and_validates_by_shares),
        cmocka_unit_test(what_a_run_file_must_say_is_said),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
