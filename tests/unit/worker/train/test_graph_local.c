/* The local loop of graphs learns a planted rule, and its loss follows from the seed; what a run
 * file may not ask for is refused by the task. */
#include "common/base/fs.h"
#include "worker/train/graph_local.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ENTITIES = 120, RELATIONS = 3 };

typedef struct fixture {
    char folder[64];
    char triples[96];
    rub_config_t config;
} fixture_t;

static void set(fixture_t *f, rub_option_id_t option, const char *value)
{
    rub_error_t err = {0};
    if (rub_config_set(&f->config, option, value, RUB_FROM_PROGRAM, "test", &err) != 0) {
        fail_msg("%s", err.message);
    }
}

/* Entities on a ring: relation r leads 7 r + 1 places on. */
static void set_up(fixture_t *f)
{
    rub_error_t err = {0};
    char *text = malloc(ENTITIES * RELATIONS * 32);
    size_t used = 0;
    strcpy(f->folder, "/tmp/rubato-graph-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->triples, sizeof f->triples, "%s/triples", f->folder);
    for (unsigned r = 0; r < RELATIONS; r++) {
        for (unsigned e = 0; e < ENTITIES; e++) {
            used +=
                (size_t)sprintf(text + used, "e%u\tr%u\te%u\n", e, r, (e + 7 * r + 1) % ENTITIES);
        }
    }
    assert_int_equal(rub_fs_write(f->triples, text, used, &err), 0);
    free(text);
    rub_config_init(&f->config);
    assert_int_equal(rub_config_load(&f->config, RUB_FOR_WORKER, 0, NULL, NULL, &err), 0);
    set(f, RUB_OPT_model_kind, "rotate");
    set(f, RUB_OPT_data_format, "triples");
    set(f, RUB_OPT_train_file, f->triples);
    set(f, RUB_OPT_optimizer, "add");
    set(f, RUB_OPT_dim, "16");
    set(f, RUB_OPT_negatives, "16");
    set(f, RUB_OPT_chunk, "32");
    set(f, RUB_OPT_batch, "128");
    set(f, RUB_OPT_gamma, "4");
    set(f, RUB_OPT_lr, "0.1");
}

static void tear_down(fixture_t *f)
{
    rub_config_fini(&f->config);
    unlink(f->triples);
    rmdir(f->folder);
}

static void assert_refused(fixture_t *f, int code, const char *words)
{
    const rub_update_t update = {0};
    rub_error_t err = {0};
    rub_task_t *task = (rub_task_t *)&err;
    assert_int_equal(rub_graph_task_open(&f->config, &update, &task, &err), code);
    assert_null(task);
    if (strstr(err.message, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.message, words);
    }
}

static void refuse(fixture_t *f, rub_option_id_t option, const char *value, const char *good,
                   int code, const char *words)
{
    set(f, option, value);
    assert_refused(f, code, words);
    set(f, option, good);
}

static void what_a_task_can_not_do_is_refused(void **state)
{
    (void)state;
    fixture_t f;
    set_up(&f);
    refuse(&f, RUB_OPT_batch, "361", "128", RUB_ECONFIG, "batch: 361, the graph has 360 training");
    refuse(&f, RUB_OPT_optimizer, "sgd", "add", RUB_ECONFIG, "optimizer: sgd, rotate steps on the");
    refuse(&f, RUB_OPT_schedule, "cosine", "constant", RUB_ECONFIG, "schedule: cosine, AdaGrad's");
    refuse(&f, RUB_OPT_negatives, "0", "16", RUB_ECONFIG, "negatives and chunk_negatives are 0");
    refuse(&f, RUB_OPT_dim, "15", "16", RUB_EINVAL, "rotate with a width of 15, expected an even");
    refuse(&f, RUB_OPT_entities_file, "x", "", RUB_ECONFIG, "one is set, expected both or none");
    refuse(&f, RUB_OPT_vectors, "/nonexistent/v", "", RUB_ECONFIG, "/nonexistent/v can not be");
    refuse(&f, RUB_OPT_valid_file, "/nonexistent/t", "", RUB_EDATA, "/nonexistent/t");
    refuse(&f, RUB_OPT_data_format, "text", "triples", RUB_ECONFIG,
           "data_format: text, rotate trains on triples");
    refuse(&f, RUB_OPT_train_file, "", f.triples, RUB_ECONFIG, "train_file is not set");
    tear_down(&f);
}

static double loss_after(fixture_t *f, const char *kind, const char *epochs, uint64_t seed)
{
    const rub_update_t update = {0};
    rub_error_t err = {0};
    rub_task_t *task = NULL;
    double triples_per_s = 0, loss = 0;
    set(f, RUB_OPT_model_kind, kind);
    set(f, RUB_OPT_epochs, epochs);
    assert_int_equal(rub_graph_task_open(&f->config, &update, &task, &err), 0);
    const rub_graph_task_t *graph = rub_graph_task_of(task);
    assert_non_null(graph);
    assert_int_equal(task->n_examples, ENTITIES * RELATIONS);
    if (rub_graph_local_run(graph, f->config.batch, seed, &triples_per_s, &loss, &err) != 0) {
        fail_msg("%s", err.message);
    }
    assert_true(triples_per_s > 0);
    rub_task_close(&task);
    return loss;
}

static void the_loss_falls_and_follows_from_the_seed_for_every_model(void **state)
{
    (void)state;
    static const char *const kinds[] = {"transe_l1", "transe_l2", "distmult", "complex", "rotate"};
    fixture_t f;
    set_up(&f);
    set(&f, RUB_OPT_chunk_negatives, "8");
    for (size_t k = 0; k < 5; k++) {
        const double one = loss_after(&f, kinds[k], "1", 1);
        const double many = loss_after(&f, kinds[k], "30", 1);
        if (!(many < 0.7 * one)) {
            fail_msg("%s: a loss of %g after one epoch, %g after 30", kinds[k], one, many);
        }
        assert_true(loss_after(&f, kinds[k], "1", 1) == one);
        assert_true(loss_after(&f, kinds[k], "1", 2) != one);
    }
    tear_down(&f);
}

static void triples_are_drawn_or_kept_in_order_where_that_is_asked_for(void **state)
{
    (void)state;
    static const char *const ways[] = {"shuffled", "in_order", "replacement"};
    double losses[3];
    fixture_t f;
    set_up(&f);
    for (size_t i = 0; i < 3; i++) {
        set(&f, RUB_OPT_sampling, ways[i]);
        losses[i] = loss_after(&f, "rotate", "2", 1);
        assert_true(loss_after(&f, "rotate", "2", 1) == losses[i]);
    }
    assert_true(losses[0] != losses[1] && losses[0] != losses[2] && losses[1] != losses[2]);
    set(&f, RUB_OPT_sampling, "replacement");
    const double one = loss_after(&f, "rotate", "1", 1), many = loss_after(&f, "rotate", "30", 1);
    if (!(many < 0.7 * one)) {
        fail_msg("drawn: a loss of %g after one epoch, %g after 30", one, many);
    }
    tear_down(&f);
}

static void a_rate_that_is_far_too_large_is_told_as_divergence(void **state)
{
    (void)state;
    fixture_t f;
    const rub_update_t update = {0};
    rub_error_t err = {0};
    rub_task_t *task = NULL;
    double triples_per_s = 0, loss = 0;
    set_up(&f);
    set(&f, RUB_OPT_lr, "1e6"); /* phases are told apart up to 1e6 */
    assert_int_equal(rub_graph_task_open(&f.config, &update, &task, &err), 0);
    assert_int_equal(
        rub_graph_local_run(rub_graph_task_of(task), 128, 1, &triples_per_s, &loss, &err),
        RUB_EDIVERGED);
    assert_non_null(strstr(err.message, "try a smaller lr"));
    rub_task_close(&task);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_task_can_not_do_is_refused),
        cmocka_unit_test(the_loss_falls_and_follows_from_the_seed_for_every_model),
        cmocka_unit_test(triples_are_drawn_or_kept_in_order_where_that_is_asked_for),
        cmocka_unit_test(a_rate_that_is_far_too_large_is_told_as_divergence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
