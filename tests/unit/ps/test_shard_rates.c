/* Learning rates follow the records: the clock that stands in one, and how late it was. What a
 * crash leaves comes to the same bits. The dense table of the fixture has lr 0.1; here it has
 * schedules. */
#include "ps/shard_internal.h"
#include "tests/unit/ps/shard_fixture.h"

#include <math.h>

static const rub_hyper_t falling = {
    .lr = 1, .schedule = RUB_SCHEDULE_LINEAR, .schedule_clocks = 8, .lr_end = 0};
static const rub_hyper_t divided = {.lr = 1, .delay = RUB_DELAY_DIVIDES};

/* How far the first weight of a block is from zero, in gradients of fx_push_block's first value. */
static float weight_of(fx_t *fx, uint64_t block)
{
    const rub_rows_t rows = {.is_range = true, .first = block * RUB_BLOCK, .count = 1};
    float value;
    rub_ptable_pull(rub_shard_table(fx->shard, DENSE), &rows, &value, NULL);
    return value;
}

static void expect_weight(fx_t *fx, uint64_t block, float want)
{
    const float got = weight_of(fx, block);
    if (got != want) {
        fail_msg("block %llu: %.9g, expected %.9g", (unsigned long long)block, (double)got,
                 (double)want);
    }
}

static void a_push_takes_the_rate_of_its_clock(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open_with(&fx, 2, 8, &falling);
    fx_push_block(&fx, 100, 1, 0, 0, -7); /* rate 1 */
    expect_weight(&fx, 0, 1);
    for (uint64_t clock = 1; clock <= 4; clock++) {
        fx_say(&fx, 100, RUB_MSG_CLOCK, 1 + clock, clock);
    }
    fx_push_block(&fx, 100, 6, 4, 0, -7); /* halfway */
    expect_weight(&fx, 0, 1.5F);
    fx_push_block(&fx, 101, 1, 0, 0, -7); /* another rank, at its own clock */
    expect_weight(&fx, 0, 2.5F);
    fx_close(&fx);
}

static void a_period_takes_the_rate_of_its_number(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open_with(&fx, 2, 0, &falling);
    for (uint64_t clock = 0; clock < 3; clock++) {
        fx_push_block(&fx, 100, 2 * clock + 1, clock, 0, -7);
        fx_push_block(&fx, 101, 2 * clock + 1, clock, 0, -7);
        fx_say(&fx, 100, RUB_MSG_CLOCK, 2 * clock + 2, clock + 1);
        fx_say(&fx, 101, RUB_MSG_CLOCK, 2 * clock + 2, clock + 1);
    }
    expect_weight(&fx, 0, 1 + 0.875F + 0.75F); /* the mean of two equal ones, three times */
    fx_crash_alike(&fx);
    expect_weight(&fx, 0, 1 + 0.875F + 0.75F);
    fx_close(&fx);
}

/* With an exact checkpoint in between, so that a part comes from the store and a part is redone. */
static void a_recovery_takes_the_rates_that_were_taken(void **state)
{
    RUB_UNUSED(state);
    for (uint64_t staleness = 0; staleness < 5; staleness += 4) {
        fx_t fx;
        const rub_hyper_t cosine = {.lr = 0.3,
                                    .schedule = RUB_SCHEDULE_COSINE,
                                    .warmup_clocks = 3,
                                    .schedule_clocks = 20,
                                    .lr_end = 0.01,
                                    .delay = RUB_DELAY_DIVIDES};
        fx_open_with(&fx, 2, staleness, &cosine);
        uint64_t seq[2] = {0};
        for (uint64_t clock = 0; clock < 12; clock++) {
            for (uint32_t rank = 0; rank < 2; rank++) {
                fx_pull(&fx, 100 + rank, 1 + clock, clock, seq[rank], 5);
            }
            for (uint32_t rank = 0; rank < 2; rank++) {
                fx_push_block(&fx, 100 + rank, ++seq[rank], clock, rank, 0.37F);
                fx_push_block(&fx, 100 + rank, ++seq[rank], clock, 0, -0.11F);
                fx_say(&fx, 100 + rank, RUB_MSG_CLOCK, ++seq[rank], clock + 1);
            }
            if (clock == 5) {
                fx_tick(&fx, 1000);
                fx_commit(&fx);
            }
            if (clock % 4 == 3) {
                fx_crash_alike(&fx);
            }
        }
        fx_close(&fx);
    }
}

static void a_late_push_is_divided_by_what_it_could_not_know(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open_with(&fx, 2, 8, &divided);
    fx_pull(&fx, 100, 1, 0, 0, 5);
    fx_push_block(&fx, 100, 1, 0, 0, -7); /* nothing has ended meanwhile */
    expect_weight(&fx, 0, 1);
    for (uint64_t clock = 1; clock <= 4; clock++) {
        fx_say(&fx, 101, RUB_MSG_CLOCK, clock, clock);
    }
    fx_push_block(&fx, 100, 2, 0, 0, -7); /* four periods of the other */
    expect_weight(&fx, 0, 1.25F);
    fx_push_block(&fx, 101, 5, 4, 0, -7); /* which has never pulled */
    expect_weight(&fx, 0, 2.25F);
    fx_crash_alike(&fx);
    expect_weight(&fx, 0, 2.25F);
    fx_push_block(&fx, 100, 3, 0, 0, -7); /* whose pull is forgotten */
    expect_weight(&fx, 0, 3.25F);
    fx_crash_alike(&fx);
    expect_weight(&fx, 0, 3.25F);
    fx_close(&fx);
}

static void a_pull_ahead_counts_from_its_own_answer(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open_with(&fx, 2, 8, &divided);
    fx_pull(&fx, 100, 1, 0, 0, 5);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 2, 2);
    fx_pull(&fx, 100, 2, 1, 0, 5); /* for the next period */
    fx_pull(&fx, 100, 3, 1, 0, 6); /* and again: the first counts */
    fx_push_block(&fx, 100, 1, 0, 0, -7);
    expect_weight(&fx, 0, 0.5F);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 3, 3);
    fx_push_block(&fx, 100, 3, 1, 0, -7); /* one, and its own does not count */
    expect_weight(&fx, 0, 1.5F);
    fx_close(&fx);
}

static const rub_hyper_t compensated = {
    .lr = 1, .delay = RUB_DELAY_COMPENSATES, .delay_lambda = 0.5};

static void a_gradient_is_compensated_for_what_its_rank_could_not_see(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open_with(&fx, 2, 8, &compensated);
    fx_pull_range(&fx, 100, 1, 0, 0, RUB_BLOCK);
    fx_push_block(&fx, 100, 1, 0, 0, -7); /* nothing has changed */
    expect_weight(&fx, 0, 1);
    fx_push_block(&fx, 101, 1, 0, 0, -14); /* from one that has never pulled */
    expect_weight(&fx, 0, 3);
    fx_push_block(&fx, 100, 2, 0, 0, -7); /* -1 + 0.5 1 (3 - 0) = 0.5 */
    expect_weight(&fx, 0, 2.5F);
    fx_pull_range(&fx, 100, 2, 0, 0, RUB_BLOCK); /* again: what it has now counts */
    fx_push_block(&fx, 101, 2, 0, 0, -14);
    expect_weight(&fx, 0, 4.5F);
    fx_push_block(&fx, 100, 3, 0, 0, -7); /* -1 + 0.5 1 (4.5 - 2.5) = 0 */
    expect_weight(&fx, 0, 4.5F);
    fx_crash_alike(&fx);
    expect_weight(&fx, 0, 4.5F);
    fx_push_block(&fx, 100, 4, 0, 0, -7); /* its pull is forgotten */
    expect_weight(&fx, 0, 5.5F);
    fx_crash_alike(&fx);
    expect_weight(&fx, 0, 5.5F);
    fx_close(&fx);
}

static void a_prefetch_does_not_replace_what_the_open_period_saw(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open_with(&fx, 2, 8, &compensated);
    fx_pull_range(&fx, 100, 1, 0, 0, RUB_BLOCK);
    fx_push_block(&fx, 101, 1, 0, 0, -14);
    fx_pull_range(&fx, 100, 2, 1, 0, RUB_BLOCK); /* for the next period: 2 */
    fx_push_block(&fx, 101, 2, 0, 0, -14);
    expect_weight(&fx, 0, 4);
    fx_push_block(&fx, 100, 1, 0, 0, -7); /* -1 + 0.5 (4 - 0) */
    expect_weight(&fx, 0, 3);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    fx_push_block(&fx, 100, 3, 1, 0, -7); /* -1 + 0.5 (3 - 2) */
    expect_weight(&fx, 0, 3.5F);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 4, 2);
    fx_push_block(&fx, 100, 5, 2, 0, -7); /* nothing was pulled for it */
    expect_weight(&fx, 0, 4.5F);
    fx_push_block(&fx, 100, 6, 2, 1, -7); /* nor was this block, ever */
    expect_weight(&fx, 1, 1);
    fx_crash_alike(&fx);
    fx_close(&fx);
}

static void compensation_adapts_to_the_mean_of_squares(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    const rub_hyper_t adaptive = {.lr = 1, .delay = RUB_DELAY_ADAPTS, .delay_lambda = 0.5};
    fx_open_with(&fx, 2, 8, &adaptive);
    fx_pull_range(&fx, 100, 1, 0, 0, RUB_BLOCK);
    fx_push_block(&fx, 101, 1, 0, 0, -14);
    fx_push_block(&fx, 100, 1, 0, 0, -7);
    /* squares: 0.05 4 after the first, 0.95 0.2 + 0.05 1 = 0.24 */
    const double want = 2 - (-1 + 0.5 / sqrt(0.24) * (2 - 0));
    assert_true(fabs((double)weight_of(&fx, 0) - want) < 1e-5);
    fx_crash_alike(&fx);
    assert_true(fabs((double)weight_of(&fx, 0) - want) < 1e-5);
    fx_close(&fx);
}

static void what_ranks_were_given_gives_way_to_rows(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open_with(&fx, 2, 8, &compensated);
    const size_t before = rub_shard_memory_left(fx.shard);
    fx_pull_range(&fx, 100, 1, 0, 0, RUB_BLOCK);
    const size_t copy = before - rub_shard_memory_left(fx.shard);
    assert_true(copy >= 2 * RUB_BLOCK * sizeof(float)); /* the shard's part of the table */
    fx_pull_range(&fx, 101, 1, 0, 0, RUB_BLOCK);
    assert_int_equal(before - rub_shard_memory_left(fx.shard), 2 * copy);
    fx_push_block(&fx, 101, 1, 0, 0, -14);
    fx.shard->config.limit_bytes = fx.shard->tables_bytes + 2 * copy;
    fx_push_block(&fx, 101, 2, 0, 1, -7); /* a block more */
    expect_weight(&fx, 1, 1);
    assert_int_equal(fx.shard->seen.bytes, 0);
    fx_push_block(&fx, 100, 1, 0, 0, -7); /* as it came */
    expect_weight(&fx, 0, 3);
    fx.shard->config.limit_bytes = fx.shard->tables_bytes + copy - 1;
    fx.n_notices = 0;
    fx_pull_range(&fx, 100, 2, 0, 0, RUB_BLOCK);
    fx_pull_range(&fx, 100, 3, 0, 0, RUB_BLOCK);
    assert_int_equal(fx.n_notices, 1);
    assert_non_null(strstr(fx.notice, "table 'dense': late gradients are applied as they come"));
    fx_close(&fx);
}

static void what_a_dead_rank_was_given_is_freed(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open_with(&fx, 2, 8, &compensated);
    fx_pull_range(&fx, 100, 1, 0, 0, RUB_BLOCK);
    fx_pull_range(&fx, 101, 1, 0, 0, RUB_BLOCK);
    const size_t both = fx.shard->seen.bytes;
    fx.ranks[1].state = RUB_RANK_GONE;
    fx_view(&fx);
    fx_tick(&fx, 1000);
    assert_int_equal(fx.shard->seen.bytes, both / 2);
    fx_close(&fx);
}

static void nothing_is_late_under_bsp(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open_with(&fx, 2, 0, &divided);
    fx_pull(&fx, 100, 1, 0, 0, 5);
    fx_push_block(&fx, 101, 1, 0, 0, -7);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 2, 1);
    fx_push_block(&fx, 100, 1, 0, 0, -7);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    expect_weight(&fx, 0, 1);
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_push_takes_the_rate_of_its_clock),
        cmocka_unit_test(a_period_takes_the_rate_of_its_number),
        cmocka_unit_test(a_recovery_takes_the_rates_that_were_taken),
        cmocka_unit_test(a_late_push_is_divided_by_what_it_could_not_know),
        cmocka_unit_test(a_pull_ahead_counts_from_its_own_answer),
        cmocka_unit_test(a_gradient_is_compensated_for_what_its_rank_could_not_see),
        cmocka_unit_test(a_prefetch_does_not_replace_what_the_open_period_saw),
        cmocka_unit_test(compensation_adapts_to_the_mean_of_squares),
        cmocka_unit_test(what_ranks_were_given_gives_way_to_rows),
        cmocka_unit_test(what_a_dead_rank_was_given_is_freed),
        cmocka_unit_test(nothing_is_late_under_bsp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
