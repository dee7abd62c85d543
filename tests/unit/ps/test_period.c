/* Open periods: order, drops, and bytes that are counted. */
#include "common/base/check.h"
#include "ps/period.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void keep(rub_periods_t *periods, uint32_t rank, uint64_t seq, uint64_t period)
{
    const uint8_t keys[8] = {(uint8_t)rank};
    const uint8_t values[4] = {(uint8_t)seq};
    const rub_record_t record = {.rank = rank,
                                 .epoch = 1,
                                 .seq = seq,
                                 .clock = period,
                                 .table = 1,
                                 .n_keys = 1,
                                 .keys = keys,
                                 .keys_bytes = 8,
                                 .values = values,
                                 .values_bytes = 4};
    assert_int_equal(rub_periods_keep(periods, &record, 10), 0);
}

static void pushes_come_out_by_rank_and_seq_whatever_order_they_came_in(void **state)
{
    RUB_UNUSED(state);
    rub_periods_t *periods = rub_periods_new();
    keep(periods, 2, 1, 4);
    keep(periods, 0, 2, 4);
    keep(periods, 1, 7, 5);
    keep(periods, 2, 3, 4);
    keep(periods, 0, 1, 4);
    assert_int_equal(rub_periods_end(periods, 4), 0);
    assert_int_equal(rub_periods_end(periods, 4), 0);
    rub_kept_push_t *const *pushes;
    uint32_t participants;
    assert_int_equal(rub_periods_pushes(periods, 4, &pushes, &participants), 4);
    assert_int_equal(participants, 2);
    const uint32_t ranks[] = {0, 0, 2, 2};
    const uint64_t seqs[] = {1, 2, 1, 3};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pushes[i]->record.rank, ranks[i]);
        assert_int_equal(pushes[i]->record.seq, seqs[i]);
        assert_int_equal(pushes[i]->record.values[0], seqs[i]);
        assert_int_equal(pushes[i]->record.keys[0], ranks[i]);
    }
    rub_periods_destroy(&periods);
    assert_null(periods);
}

static void first_is_the_least_whatever_order_periods_were_opened_in(void **state)
{
    RUB_UNUSED(state);
    rub_periods_t *periods = rub_periods_new();
    assert_true(rub_periods_first(periods) == UINT64_MAX);
    keep(periods, 0, 1, 9);
    assert_int_equal(rub_periods_end(periods, 3), 0);
    keep(periods, 0, 1, 6);
    assert_int_equal(rub_periods_first(periods), 3);
    assert_int_equal(rub_periods_first_pushed(periods), 6);
    rub_periods_forget(periods, 6);
    assert_int_equal(rub_periods_first(periods), 9);
    assert_int_equal(rub_periods_open(periods), 1);
    rub_periods_destroy(&periods);
}

static void bytes_are_counted_and_given_back(void **state)
{
    RUB_UNUSED(state);
    rub_periods_t *periods = rub_periods_new();
    keep(periods, 0, 1, 1);
    keep(periods, 1, 1, 1);
    const size_t both = rub_periods_bytes(periods);
    assert_int_equal(rub_periods_growth(periods), 20);
    rub_periods_drop(periods, 0, 1, 1);
    rub_periods_drop(periods, 0, 1, 77);
    rub_periods_drop(periods, 1, 2, 1); /* the epoch behind */
    assert_int_equal(rub_periods_bytes(periods), both / 2);
    assert_int_equal(rub_periods_growth(periods), 10);
    rub_periods_forget(periods, 1);
    assert_int_equal(rub_periods_bytes(periods), 0);
    assert_int_equal(rub_periods_growth(periods), 0);
    rub_periods_destroy(&periods);
}

static void state_comes_back_and_any_cut_is_refused(void **state)
{
    RUB_UNUSED(state);
    rub_periods_t *periods = rub_periods_new();
    keep(periods, 0, 1, 1);
    keep(periods, 1, 1, 2);
    assert_int_equal(rub_periods_end(periods, 1), 0);
    rub_buf_t out;
    rub_buf_init(&out);
    rub_periods_encode(periods, &out);
    for (size_t cut = 0; cut <= out.bytes; cut++) {
        rub_periods_t *again = rub_periods_new();
        rub_reader_t in;
        rub_reader_init(&in, out.data, cut);
        const int rc = rub_periods_decode(again, &in, NULL);
        assert_int_equal(rc, cut == out.bytes ? 0 : RUB_ECORRUPT);
        if (rc == 0) {
            rub_kept_push_t *const *pushes;
            uint32_t participants;
            assert_int_equal(rub_periods_pushes(again, 1, &pushes, &participants), 1);
            assert_int_equal(participants, 1);
            assert_int_equal(rub_periods_bytes(again), rub_periods_bytes(periods));
        }
        rub_periods_destroy(&again);
    }
    rub_buf_fini(&out);
    rub_periods_destroy(&periods);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pushes_come_out_by_rank_and_seq_whatever_order_they_came_in),
        cmocka_unit_test(first_is_the_least_whatever_order_periods_were_opened_in),
        cmocka_unit_test(bytes_are_counted_and_given_back),
        cmocka_unit_test(state_comes_back_and_any_cut_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
