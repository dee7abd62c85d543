/* Rows that a worker changes itself: what it finds is what it left, each sum once, also when the
 * rows of a prefetch do not fit into a window; and a barrier that leaves the clock costs no pull.
 * With a fleet in this process: what goes wrong here does so between answers and pushes. */
#include "common/base/check.h"
#include "tests/unit/worker/train/one_session.h"
#include "worker/train/delta_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* 8 MiB of rows; a shard of 32 MiB grants a window of 8, half of it for a prefetch. */
enum { ROWS = 16384, WIDTH = 128, LIMIT_MIB = 32, PERIODS = 4 };

typedef struct world {
    rub_inproc_t *fleet;
    rub_session_t *session;
    rub_delta_rows_t *rows;
    uint64_t keys[2][ROWS]; /* the same, in two arrays that take turns, the second backwards */
} world_t;

static void world_init(world_t *self)
{
    const rub_delta_table_t table = {
        .name = "sums", .width = WIDTH, .init = RUB_INIT_ZEROS, .n_keys = ROWS};
    rub_error_t err = {0};
    rub_inproc_options_t fleet;
    rub_inproc_options_defaults(&fleet);
    fleet.memory_limit_bytes = (uint64_t)LIMIT_MIB << 20;
    one_session_open(&fleet, &self->fleet, &self->session);
    if (rub_delta_rows_open(self->session, &table, 1, &self->rows, &err) != 0) {
        fail_msg("%s", err.message);
    }
    for (size_t i = 0; i < ROWS; i++) {
        self->keys[0][i] = i;
        self->keys[1][i] = ROWS - 1 - i;
    }
}

static void world_fini(world_t *self)
{
    rub_delta_rows_close(&self->rows);
    one_session_close(&self->fleet, &self->session);
}

/* A period that adds its row's number to each row; before it they hold `found` times that. */
static void train(world_t *self, unsigned period, unsigned found, bool prefetches)
{
    const rub_key_list_t list = {self->keys[period % 2], ROWS};
    const rub_key_list_t next = {self->keys[(period + 1) % 2], ROWS};
    size_t wrong = 0;
    assert_int_equal(rub_delta_rows_pull(self->rows, &list, NULL), 0);
    if (prefetches) {
        assert_int_equal(rub_delta_rows_prefetch(self->rows, &next, NULL), 0);
    }
    float *work = rub_delta_rows_work(self->rows, 0);
    for (size_t i = 0; i < ROWS; i++) {
        const float number = (float)list.keys[i];
        for (size_t k = 0; k < WIDTH; k++) {
            wrong += work[i * WIDTH + k] != number * (float)found;
            work[i * WIDTH + k] += number;
        }
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(rub_delta_rows_push(self->rows, NULL), 0);
    assert_int_equal(rub_clock(self->session, NULL, 0, NULL), 0);
}

static uint64_t pulls(const world_t *self)
{
    rub_stats_t stats;
    rub_session_stats(self->session, &stats);
    return stats.pulls;
}

static void each_sum_is_there_once_whatever_fits_into_a_window(void **state)
{
    static world_t world;
    RUB_UNUSED(state);
    world_init(&world);
    for (unsigned period = 0; period < PERIODS; period++) {
        train(&world, period, period, true);
    }
    assert_int_equal(pulls(&world), PERIODS + 1); /* the first one, and a prefetch in each */
    /* Alone, the clock stays where it is over a barrier, and so do the rows. */
    assert_int_equal(rub_barrier(world.session, NULL, 0, NULL), 0);
    train(&world, PERIODS, PERIODS, false);
    assert_int_equal(pulls(&world), PERIODS + 1);
    /* Nothing was asked for, and what was there is of no use: pulled now. */
    train(&world, PERIODS + 1, PERIODS + 1, true);
    assert_int_equal(pulls(&world), PERIODS + 3);
    /* The clock has moved on: the rows are a period old, and are asked for again. */
    assert_int_equal(rub_clock(world.session, NULL, 0, NULL), 0);
    train(&world, PERIODS + 2, PERIODS + 2, false);
    assert_int_equal(pulls(&world), PERIODS + 4);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_sum_is_there_once_whatever_fits_into_a_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
