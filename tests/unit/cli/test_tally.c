/* The job's numbers stay right over restarts, and percentiles are what they say. */
#include "cli/tally.h"
#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

static void update(rub_tally_t *tally, rub_rank_status_t *ranks, uint32_t n_ranks,
                   rub_shard_status_t *shards, uint32_t n_shards)
{
    const rub_status_t status = {.state = RUB_JOB_RUNNING,
                                 .ranks = ranks,
                                 .n_ranks = n_ranks,
                                 .shards = shards,
                                 .n_shards = n_shards};
    assert_int_equal(rub_tally_update(tally, &status, NULL), 0);
}

static void examples_of_a_restarted_worker_are_added_up(void **state)
{
    RUB_UNUSED(state);
    rub_tally_t tally;
    rub_tally_init(&tally);
    rub_rank_status_t ranks[2] = {{.rank = 0, .epoch = 1, .examples = 100},
                                  {.rank = 1, .epoch = 1, .examples = 50}};
    update(&tally, ranks, 2, NULL, 0);
    assert_int_equal(tally.examples, 150);
    ranks[1] = (rub_rank_status_t){.rank = 1, .epoch = 2, .examples = 0};
    update(&tally, ranks, 2, NULL, 0);
    assert_int_equal(tally.examples, 150);
    ranks[1].examples = 7;
    update(&tally, ranks, 2, NULL, 0);
    assert_int_equal(tally.examples, 157);
    rub_tally_fini(&tally);
}

static void waits_are_kept_per_rank_over_restarts(void **state)
{
    RUB_UNUSED(state);
    rub_tally_t tally;
    rub_tally_init(&tally);
    rub_rank_status_t ranks[2] = {
        {.rank = 0, .epoch = 1, .pull_wait_us = 700, .push_wait_us = 20, .meet_wait_us = 5},
        {.rank = 1, .epoch = 1, .pull_wait_us = 40}};
    update(&tally, ranks, 2, NULL, 0);
    ranks[0] = (rub_rank_status_t){.rank = 0, .epoch = 2, .pull_wait_us = 100};
    update(&tally, ranks, 2, NULL, 0);
    assert_int_equal(rub_counter_total(&tally.ranks[0].pull_wait_us), 800);
    assert_int_equal(rub_counter_total(&tally.ranks[0].push_wait_us), 20);
    assert_int_equal(rub_counter_total(&tally.ranks[0].meet_wait_us), 5);
    assert_int_equal(rub_counter_total(&tally.ranks[1].pull_wait_us), 40);
    rub_tally_fini(&tally);
}

static void pushes_of_a_restarted_shard_are_added_up(void **state)
{
    RUB_UNUSED(state);
    rub_tally_t tally;
    rub_tally_init(&tally);
    rub_shard_status_t shards[2] = {{.shard = 0, .incarnation = 1, .pushes = 10, .pulls = 3},
                                    {.shard = 1, .incarnation = 1, .pushes = 20, .pulls = 4}};
    update(&tally, NULL, 0, shards, 2);
    shards[0] = (rub_shard_status_t){.shard = 0, .incarnation = 2, .pushes = 5, .pulls = 1};
    update(&tally, NULL, 0, shards, 2);
    assert_int_equal(tally.pushes, 35);
    assert_int_equal(tally.pulls, 8);
    rub_tally_fini(&tally);
}

static void restarted_scheduler_that_knows_nothing_yet_counts_nothing_twice(void **state)
{
    RUB_UNUSED(state);
    rub_tally_t tally;
    rub_tally_init(&tally);
    rub_rank_status_t rank = {.rank = 0, .epoch = 1, .examples = 1000};
    rub_shard_status_t shard = {.shard = 0, .incarnation = 1, .pushes = 50, .pulls = 60};
    update(&tally, &rank, 1, &shard, 1);
    rank.examples = 0;
    shard.pushes = shard.pulls = 0;
    update(&tally, &rank, 1, &shard, 1);
    assert_int_equal(tally.examples, 1000);
    assert_int_equal(tally.pushes, 50);
    rank.examples = 1200;
    shard.pushes = 70;
    update(&tally, &rank, 1, &shard, 1);
    assert_int_equal(tally.examples, 1200);
    assert_int_equal(tally.pushes, 70);
    assert_int_equal(tally.pulls, 60);
    rub_tally_fini(&tally);
}

static void epoch_is_the_slowest_ranks_and_loss_the_mean(void **state)
{
    RUB_UNUSED(state);
    rub_tally_t tally;
    rub_tally_init(&tally);
    rub_rank_status_t ranks[3] = {
        {.rank = 0, .epoch = 1, .examples = 9, .data_epoch = 3, .loss = 1},
        {.rank = 1, .epoch = 1, .examples = 9, .data_epoch = 2, .loss = 2},
        {.rank = 2,
         .epoch = 1,
         .examples = 9,
         .data_epoch = 1,
         .loss = NAN,
         .state = RUB_RANK_GONE}};
    update(&tally, ranks, 3, NULL, 0);
    assert_int_equal(tally.data_epoch, 2);
    assert_true(tally.loss == 1.5);
    rub_tally_fini(&tally);
}

static void ranks_beyond_the_limit_are_ignored(void **state)
{
    RUB_UNUSED(state);
    rub_tally_t tally;
    rub_tally_init(&tally);
    rub_rank_status_t rank = {.rank = UINT32_MAX, .epoch = 1, .examples = 9};
    rub_shard_status_t shard = {.shard = UINT32_MAX, .incarnation = 1, .pushes = 9};
    update(&tally, &rank, 1, &shard, 1);
    assert_int_equal(tally.examples, 0);
    assert_int_equal(tally.pushes, 0);
    rub_tally_fini(&tally);
}

static void percentiles_do_not_need_sorted_bins(void **state)
{
    RUB_UNUSED(state);
    const rub_gap_count_t gaps[] = {{.gap = 4, .count = 1},
                                    {.gap = 0, .count = 90},
                                    {.gap = 2, .count = 9},
                                    {.gap = 9, .count = 0}};
    assert_int_equal(rub_gap_percentile(gaps, 4, 0.5), 0);
    assert_int_equal(rub_gap_percentile(gaps, 4, 0.99), 2);
    assert_int_equal(rub_gap_percentile(gaps, 4, 1.0), 4);
    assert_int_equal(rub_gap_percentile(NULL, 0, 0.5), 0);
}

static void metrics_are_found_by_name(void **state)
{
    RUB_UNUSED(state);
    rub_tally_t tally;
    rub_tally_init(&tally);
    rub_metric_value_t metrics[2] = {{.name = "accuracy", .value = 0.5},
                                     {.name = "loss", .value = 2}};
    const rub_status_t status = {.metrics = metrics, .n_metrics = 2};
    assert_int_equal(rub_tally_update(&tally, &status, NULL), 0);
    assert_true(rub_tally_metric(&tally, "loss")->value == 2);
    assert_null(rub_tally_metric(&tally, "f1"));
    rub_tally_fini(&tally);
}

static void done_means_all_examples_unless_a_rank_of_bsp_died(void **state)
{
    RUB_UNUSED(state);
    const struct {
        uint64_t staleness;
        uint32_t evictions;
        uint64_t examples;
    } cases[] = {{4, 0, 100}, {4, 1, 100}, {0, 0, 100}, {0, 1, 90}};
    for (size_t i = 0; i < RUB_COUNT_OF(cases); i++) {
        rub_tally_t tally;
        rub_tally_init(&tally);
        rub_rank_status_t rank = {.epoch = 1, .examples = 90, .total_examples = 100};
        const rub_status_t status = {.state = RUB_JOB_DONE,
                                     .staleness = cases[i].staleness,
                                     .evictions = cases[i].evictions,
                                     .ranks = &rank,
                                     .n_ranks = 1};
        assert_int_equal(rub_tally_update(&tally, &status, NULL), 0);
        assert_int_equal(tally.examples, cases[i].examples);
        rub_tally_fini(&tally);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_a_restarted_worker_are_added_up),
        cmocka_unit_test(waits_are_kept_per_rank_over_restarts),
        cmocka_unit_test(pushes_of_a_restarted_shard_are_added_up),
        cmocka_unit_test(restarted_scheduler_that_knows_nothing_yet_counts_nothing_twice),
        cmocka_unit_test(epoch_is_the_slowest_ranks_and_loss_the_mean),
        cmocka_unit_test(ranks_beyond_the_limit_are_ignored),
        cmocka_unit_test(percentiles_do_not_need_sorted_bins),
        cmocka_unit_test(metrics_are_found_by_name),
        cmocka_unit_test(done_means_all_examples_unless_a_rank_of_bsp_died),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
