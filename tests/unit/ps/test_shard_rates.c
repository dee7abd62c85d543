/* Learning rates follow the records: the clock that stands in one, and how late it was. What a
 * crash leaves comes to the same bits. The dense table of the fixture has lr 0.1; here it has
 * schedules. */
#include "ps/shard_internal.h"
#include "tests/unit/ps/shard_fixture.h"

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

static void crash(fx_t *fx)
{
    const uint64_t digest = rub_shard_digest(fx->shard);
    fx_crash(fx);
    assert_true(rub_shard_digest(fx->shard) == digest);
    fx_hello(fx, 100, 0, 1);
    fx_hello(fx, 101, 1, 1);
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
    crash(&fx);
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
                crash(&fx);
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
    crash(&fx);
    expect_weight(&fx, 0, 2.25F);
    fx_push_block(&fx, 100, 3, 0, 0, -7); /* whose pull is forgotten */
    expect_weight(&fx, 0, 3.25F);
    crash(&fx);
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
        cmocka_unit_test(nothing_is_late_under_bsp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
