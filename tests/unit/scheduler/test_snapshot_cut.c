/* Where a snapshot cuts: from what shards say of each session to one K for each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "scheduler/snapshot_cut.h"

enum { PUSHED = RUB_PINNED_PUSHED, IDLE = RUB_PINNED_IDLE, WHOLE = RUB_PINNED_WHOLE };

static int add(rub_snapshot_cut_t *cut, uint32_t shard, rub_pinned_rank_t *ranks, uint32_t n,
               rub_error_t *err)
{
    const rub_pinned_t pinned = {.shard = shard, .ranks = ranks, .n_ranks = n};
    return rub_snapshot_cut_add(cut, &pinned, err);
}

static uint64_t cut_of(const rub_snapshot_cut_t *cut, uint32_t rank)
{
    for (uint32_t i = 0; i < cut->n_ranks; i++) {
        if (cut->ranks[i].rank == rank) {
            return cut->ranks[i].cut;
        }
    }
    fail_msg("rank %u is not in the cut", rank);
    return 0;
}

static void a_rank_beyond_the_limit_and_two_epochs_of_one_rank_are_refused(void **state)
{
    RUB_UNUSED(state);
    rub_snapshot_cut_t cut = {0};
    rub_error_t err = {0};
    rub_pinned_rank_t beyond = {.rank = 4096, .epoch = 1};
    assert_int_equal(add(&cut, 0, &beyond, 1, &err), RUB_EPROTO);
    rub_pinned_rank_t old = {.rank = 2, .epoch = 1, .done = 5};
    rub_pinned_rank_t young = {.rank = 2, .epoch = 2, .done = 5};
    assert_int_equal(add(&cut, 0, &old, 1, &err), 0);
    assert_int_equal(add(&cut, 1, &young, 1, &err), RUB_EBUSY);
    assert_non_null(strstr(err.message, "epochs 1 and 2 of rank 2"));
    rub_snapshot_cut_fini(&cut);
}

static void the_cut_is_the_greatest_reach_over_the_shards(void **state)
{
    RUB_UNUSED(state);
    rub_snapshot_cut_t cut = {0};
    rub_pinned_rank_t here[] = {{.rank = 0, .epoch = 1, .done = 5, .marks = PUSHED},
                                {.rank = 1, .epoch = 1, .done = 7}};
    rub_pinned_rank_t there[] = {{.rank = 0, .epoch = 1, .done = 5},
                                 {.rank = 1, .epoch = 1, .done = 6, .marks = PUSHED}};
    assert_int_equal(add(&cut, 0, here, 2, NULL), 0);
    assert_int_equal(add(&cut, 1, there, 2, NULL), 0);
    assert_int_equal(rub_snapshot_cut_fix(&cut, RUB_ASYNC, NULL), 0);
    assert_int_equal(cut_of(&cut, 0), 6);
    assert_int_equal(cut_of(&cut, 1), 7); /* between two periods it need not run another */
    assert_int_equal(cut.least, 6);
    assert_int_equal(cut.greatest, 7);
    rub_snapshot_cut_fini(&cut);
}

static void with_a_bound_busy_ranks_take_the_greatest_and_idle_ones_keep_theirs(void **state)
{
    RUB_UNUSED(state);
    rub_snapshot_cut_t cut = {0};
    rub_pinned_rank_t ranks[] = {{.rank = 0, .epoch = 1, .done = 3, .marks = PUSHED},
                                 {.rank = 1, .epoch = 1, .done = 7, .marks = PUSHED},
                                 {.rank = 2, .epoch = 1, .done = 9, .marks = IDLE}};
    assert_int_equal(add(&cut, 0, ranks, 3, NULL), 0);
    assert_int_equal(rub_snapshot_cut_fix(&cut, 4, NULL), 0);
    assert_int_equal(cut_of(&cut, 0), 8);
    assert_int_equal(cut_of(&cut, 1), 8);
    assert_int_equal(cut_of(&cut, 2), 9);
    rub_snapshot_cut_fini(&cut);
}

static void who_is_idle_at_one_shard_only_is_busy(void **state)
{
    RUB_UNUSED(state);
    rub_snapshot_cut_t cut = {0};
    rub_pinned_rank_t here[] = {{.rank = 0, .epoch = 1, .done = 3, .marks = IDLE},
                                {.rank = 1, .epoch = 1, .done = 6}};
    rub_pinned_rank_t there[] = {{.rank = 0, .epoch = 1, .done = 2, .marks = PUSHED},
                                 {.rank = 1, .epoch = 1, .done = 6}};
    assert_int_equal(add(&cut, 0, here, 2, NULL), 0);
    assert_int_equal(add(&cut, 1, there, 2, NULL), 0);
    assert_int_equal(rub_snapshot_cut_fix(&cut, 4, NULL), 0);
    assert_int_equal(cut_of(&cut, 0), 6);
    rub_snapshot_cut_fini(&cut);
}

static void in_bsp_all_take_the_greatest_idle_or_not(void **state)
{
    RUB_UNUSED(state);
    rub_snapshot_cut_t cut = {0};
    rub_pinned_rank_t ranks[] = {{.rank = 0, .epoch = 1, .done = 3, .marks = IDLE},
                                 {.rank = 1, .epoch = 2, .done = 3, .marks = PUSHED}};
    assert_int_equal(add(&cut, 0, ranks, 2, NULL), 0);
    assert_int_equal(rub_snapshot_cut_fix(&cut, 0, NULL), 0);
    assert_int_equal(cut_of(&cut, 0), 4);
    assert_int_equal(cut_of(&cut, 1), 4);
    assert_int_equal(cut.ranks[1].epoch, 2);
    rub_snapshot_cut_fini(&cut);
}

static void a_rank_that_one_shard_does_not_know_yet_is_in_and_a_reset_forgets_all(void **state)
{
    RUB_UNUSED(state);
    rub_snapshot_cut_t cut = {0};
    rub_pinned_rank_t joiner = {.rank = 3, .epoch = 1, .done = 4};
    assert_int_equal(add(&cut, 0, NULL, 0, NULL), 0);
    assert_int_equal(add(&cut, 1, &joiner, 1, NULL), 0);
    assert_int_equal(rub_snapshot_cut_fix(&cut, 2, NULL), 0);
    assert_int_equal(cut.n_ranks, 1);
    assert_int_equal(cut_of(&cut, 3), 4);
    rub_snapshot_cut_reset(&cut);
    assert_int_equal(rub_snapshot_cut_fix(&cut, 2, NULL), 0);
    assert_int_equal(cut.n_ranks, 0);
    assert_int_equal(cut.greatest, 0);
    rub_snapshot_cut_fini(&cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_beyond_the_limit_and_two_epochs_of_one_rank_are_refused),
        cmocka_unit_test(the_cut_is_the_greatest_reach_over_the_shards),
        cmocka_unit_test(with_a_bound_busy_ranks_take_the_greatest_and_idle_ones_keep_theirs),
        cmocka_unit_test(who_is_idle_at_one_shard_only_is_busy),
        cmocka_unit_test(in_bsp_all_take_the_greatest_idle_or_not),
        cmocka_unit_test(a_rank_that_one_shard_does_not_know_yet_is_in_and_a_reset_forgets_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
