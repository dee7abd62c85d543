/* Journal payloads: what was written is read, and what does not fit is refused. */
#include "common/base/check.h"
#include "ps/record.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void head_keeps_every_field_at_its_pinned_place(void **state)
{
    RUB_UNUSED(state);
    const rub_record_t record = {.rank = 1,
                                 .epoch = 2,
                                 .seq = 3,
                                 .clock = 4,
                                 .minimum = 5,
                                 .flags = 0,
                                 .table = 6,
                                 .delay = 7,
                                 .n_keys = 1,
                                 .keys_bytes = 8,
                                 .values_bytes = 4};
    uint8_t payload[RUB_RECORD_HEAD_BYTES + 12] = {0};
    rub_record_write_head(&record, payload);
    const uint8_t places[] = {0, 4, 8, 16, 24, 36, 38, 40, 44};
    const uint8_t expected[] = {1, 2, 3, 4, 5, 6, 7, 1, 4};
    for (size_t i = 0; i < sizeof(places); i++) {
        assert_int_equal(payload[places[i]], expected[i]);
    }
    rub_record_t read;
    assert_int_equal(rub_record_read(RUB_RECORD_PUSH, payload, sizeof(payload), &read, NULL), 0);
    assert_int_equal(read.seq, 3);
    assert_int_equal(read.table, 6);
    assert_int_equal(read.delay, 7);
    assert_ptr_equal(read.keys, payload + RUB_RECORD_HEAD_BYTES);
    assert_ptr_equal(read.values, payload + RUB_RECORD_HEAD_BYTES + 8);
    const rub_frame_t frame = rub_record_frame(&read);
    assert_int_equal(frame.header.type, RUB_MSG_PUSH);
    assert_int_equal(frame.keys_bytes, 8);
    assert_int_equal(frame.values_bytes, 4);
}

static void lengths_that_do_not_fit_are_refused(void **state)
{
    RUB_UNUSED(state);
    uint8_t payload[RUB_RECORD_HEAD_BYTES + 12] = {0};
    rub_record_t record = {.n_keys = 1, .values_bytes = 4};
    rub_record_t read;
    rub_error_t err;
    rub_record_write_head(&record, payload);
    for (size_t n = 0; n < sizeof(payload); n++) {
        assert_int_equal(rub_record_read(RUB_RECORD_PUSH, payload, n, &read, &err), RUB_ECORRUPT);
    }
    record.n_keys = UINT32_MAX;
    rub_record_write_head(&record, payload);
    assert_int_equal(rub_record_read(RUB_RECORD_PUSH, payload, sizeof(payload), &read, &err),
                     RUB_ECORRUPT);
}

static void close_comes_back_and_other_lengths_are_refused(void **state)
{
    RUB_UNUSED(state);
    const rub_close_record_t close = {.period = 1ULL << 40, .participants = 3, .n_pushes = 9};
    uint8_t payload[RUB_RECORD_CLOSE_BYTES];
    rub_close_write(&close, payload);
    rub_close_record_t read;
    assert_int_equal(rub_close_read(payload, sizeof(payload), &read, NULL), 0);
    assert_true(read.period == close.period);
    assert_int_equal(read.participants, 3);
    assert_int_equal(read.n_pushes, 9);
    assert_int_equal(rub_close_read(payload, sizeof(payload) - 1, &read, NULL), RUB_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_keeps_every_field_at_its_pinned_place),
        cmocka_unit_test(lengths_that_do_not_fit_are_refused),
        cmocka_unit_test(close_comes_back_and_other_lengths_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
