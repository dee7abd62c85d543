/* The local loop of click models: what it learns, what it refuses, and that a fleet of one worker
 * in lock step comes to the same bits where everything differs that can: a network, columns with
 * tables, widths and optimizers of their own, steps that are counted, a schedule, and clipping.
 * (Stopping a fleet takes half a second, so there is one.) */
#include "common/base/check.h"
#include "common/base/error.h"
#include "tests/unit/worker/train/one_session.h"
#include "worker/train/local_loop.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { EXAMPLES = 90, SEED = 1 /* of the fleet */ };

typedef struct fixture {
    char path[64];
    rub_config_t config;
} fixture_t;

static void set(fixture_t *f, rub_option_id_t option, const char *text)
{
    rub_error_t err = {0};
    if (rub_config_set(&f->config, option, text, RUB_FROM_FLAG, "", &err) != 0) {
        fail_msg("%s", err.message);
    }
}

/* The label follows from the city. */
static void set_up(fixture_t *f, const char *kind)
{
    strcpy(f->path, "/tmp/rubato-local-XXXXXX");
    const int fd = mkstemp(f->path);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    assert_non_null(out);
    (void)fprintf(out, "label,city,size,user,day\n");
    for (unsigned i = 0; i < EXAMPLES; i++) {
        (void)fprintf(out, "%u,c%u,s%u,u%u,d%u\n", i * i % 7 % 2, i % 7, i % 3, i * i % 31, i % 11);
    }
    assert_int_equal(fclose(out), 0);
    rub_config_init(&f->config);
    assert_int_equal(rub_config_load(&f->config, RUB_FOR_WORKER, 0, NULL, NULL, NULL), 0);
    set(f, RUB_OPT_data_format, "csv");
    set(f, RUB_OPT_csv_words, "all");
    set(f, RUB_OPT_train_file, f->path);
    set(f, RUB_OPT_model_kind, kind);
    set(f, RUB_OPT_batch, "16");
    set(f, RUB_OPT_epochs, "3");
    set(f, RUB_OPT_optimizer, "adagrad");
    set(f, RUB_OPT_lr, "0.3");
}

static void tear_down(fixture_t *f)
{
    (void)unlink(f->path);
    rub_config_fini(&f->config);
}

static void open_workload(fixture_t *f, rub_workload_t *workload)
{
    rub_error_t err = {0};
    if (rub_workload_open(&f->config, workload, &err) != 0) {
        fail_msg("%s", err.message);
    }
}

/* The last epoch's mean loss. */
static double train(fixture_t *f, uint64_t seed, uint64_t epochs)
{
    rub_error_t err = {0};
    rub_workload_t workload;
    double examples_per_s = 0, loss = 0;
    open_workload(f, &workload);
    if (rub_local_loop_run(&workload, seed, epochs, &examples_per_s, &loss, &err) != 0) {
        fail_msg("%s", err.message);
    }
    assert_true(examples_per_s > 0);
    rub_workload_close(&workload);
    return loss;
}

static void every_kind_learns_what_was_planted(void **state)
{
    RUB_UNUSED(state);
    static const char *const kinds[] = {"logistic", "fm",        "linear",
                                        "softmax",  "wide_deep", "deepfm"};
    for (size_t k = 0; k < RUB_COUNT_OF(kinds); k++) {
        fixture_t f;
        set_up(&f, kinds[k]);
        set(&f, RUB_OPT_fields, "4");
        set(&f, RUB_OPT_factors, "4");
        if (strcmp(kinds[k], "softmax") == 0) {
            set(&f, RUB_OPT_classes, "2");
        }
        const double first = train(&f, SEED, 1);
        const double last = train(&f, SEED, 20);
        if (!(last < first / 2)) {
            fail_msg("%s: a loss of %g after an epoch, %g after 20", kinds[k], first, last);
        }
        tear_down(&f);
    }
}

static void the_loss_follows_from_the_seed(void **state)
{
    RUB_UNUSED(state);
    fixture_t f;
    set_up(&f, "fm");
    assert_true(train(&f, 1, 2) == train(&f, 1, 2));
    assert_true(train(&f, 1, 2) != train(&f, 2, 2));
    tear_down(&f);
}

static void clipping_and_schedules_count(void **state)
{
    RUB_UNUSED(state);
    fixture_t f;
    set_up(&f, "logistic");
    set(&f, RUB_OPT_optimizer, "sgd");
    const double plain = train(&f, SEED, 3);
    set(&f, RUB_OPT_schedule, "cosine");
    const double falling = train(&f, SEED, 3);
    set(&f, RUB_OPT_clip_norm, "0.01");
    assert_true(falling > plain);
    assert_true(train(&f, SEED, 3) > falling);
    tear_down(&f);
}

static void refuse(fixture_t *f, int code, const char *words)
{
    rub_error_t err = {0};
    rub_workload_t workload;
    double examples_per_s = 0, loss = 0;
    open_workload(f, &workload);
    assert_int_equal(rub_local_loop_run(&workload, SEED, 2, &examples_per_s, &loss, &err), code);
    if (!strstr(err.message, words)) {
        fail_msg("'%s' does not say '%s'", err.message, words);
    }
    rub_workload_close(&workload);
}

static void what_it_can_not_train_is_refused(void **state)
{
    RUB_UNUSED(state);
    fixture_t f;
    set_up(&f, "linear");
    set(&f, RUB_OPT_optimizer, "sgd");
    set(&f, RUB_OPT_lr, "1e6");
    refuse(&f, RUB_EDIVERGED, "is not finite; try a smaller lr");
    set(&f, RUB_OPT_data_memory_bytes, "64M");
    refuse(&f, RUB_ECONFIG,
           "data_memory: examples are streamed, the local loop has them in memory");
    tear_down(&f);
}

/* ---- beside a fleet ---- */

typedef struct world {
    rub_inproc_t *fleet;
    rub_session_t *session;
} world_t;

static void world_init(world_t *self)
{
    rub_inproc_options_t fleet;
    rub_inproc_options_defaults(&fleet);
    fleet.staleness = 0;
    one_session_open(&fleet, &self->fleet, &self->session);
}

static void world_fini(world_t *self)
{
    one_session_close(&self->fleet, &self->session);
}

/* The last epoch's mean loss. */
static double world_train(const world_t *self, rub_task_t *task, const rub_training_plan_t *plan)
{
    double sums[RUB_TASK_SUMS] = {0};
    assert_int_equal(task->kind->begin(task, self->session, plan->batch_examples, NULL), 0);
    for (uint64_t epoch = 0; epoch < plan->epochs; epoch++) {
        memset(sums, 0, sizeof(sums));
        assert_int_equal(task->kind->order(task, SEED, epoch, NULL), 0);
        for (uint64_t first = 0; first < EXAMPLES; first += plan->batch_examples) {
            const uint64_t left = EXAMPLES - first;
            const uint64_t count = left < plan->batch_examples ? left : plan->batch_examples;
            assert_int_equal(task->kind->take(task, first, count, NULL), 0);
            assert_int_equal(task->kind->pull(task, NULL), 0);
            assert_int_equal(task->kind->compute(task, sums, NULL), 0);
            assert_int_equal(task->kind->push(task, NULL), 0);
            assert_int_equal(rub_clock(self->session, NULL, 0, NULL), 0);
        }
    }
    task->kind->end(task);
    assert_true(sums[RUB_SUM_EXAMPLES] == EXAMPLES);
    return sums[RUB_SUM_LOSS] / EXAMPLES;
}

static void a_fleet_of_one_worker_in_lock_step_comes_to_the_same_bits(void **state)
{
    RUB_UNUSED(state);
    fixture_t f;
    world_t world;
    rub_workload_t workload;
    set_up(&f, "wide_deep");
    set(&f, RUB_OPT_fields, "4");
    set(&f, RUB_OPT_factors, "5");
    set(&f, RUB_OPT_hidden, "[6, 3]");
    set(&f, RUB_OPT_optimizer, "adam");
    set(&f, RUB_OPT_lr, "0.02");
    set(&f, RUB_OPT_schedule, "linear");
    set(&f, RUB_OPT_clip_norm, "0.5");
    set(&f, RUB_OPT_column_tables,
        "[city: {factors: 3, optimizer: adagrad, lr: 0.1}, user: {factors: 2, lr: 0.05}]");
    const double expected = train(&f, SEED, f.config.epochs);
    open_workload(&f, &workload);
    world_init(&world);
    const double loss = world_train(&world, workload.task, &workload.plan);
    world_fini(&world);
    if (loss != expected) {
        fail_msg("a loss of %.17g by a fleet, of %.17g on arrays", loss, expected);
    }
    rub_workload_close(&workload);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_learns_what_was_planted),
        cmocka_unit_test(the_loss_follows_from_the_seed),
        cmocka_unit_test(clipping_and_schedules_count),
        cmocka_unit_test(what_it_can_not_train_is_refused),
        cmocka_unit_test(a_fleet_of_one_worker_in_lock_step_comes_to_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
