/* Who asks and does not read: charged to that peer, cut off above its limit, heard again once it
 * has read; nobody else notices. */
#include "tests/unit/ps/shard_fixture.h"

enum { LIMIT = 128 << 20 }; /* twice the window of a shard of 1 GiB */

static void session_that_does_not_read_is_cut_off_and_counted(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 1);
    fx.deaf = 100;
    fx.unread = LIMIT;
    fx_pull(&fx, 100, 1, 0, 0, 9);
    assert_int_equal(fx_count(&fx, 100, RUB_MSG_ROWS), 1);
    fx.unread = LIMIT + 1;
    const size_t n_sent = fx.n_sent;
    fx_pull(&fx, 100, 2, 0, 0, 9);
    fx_push(&fx, 100, 1, 0, 9, 1.0F);
    fx_hello(&fx, 100, 0, 1);
    fx_begin(&fx);
    rub_shard_unreadable(fx.shard, 100);
    fx_end(&fx);
    assert_int_equal(fx.n_sent, n_sent); /* not a byte more */
    fx_tick(&fx, 1000);
    assert_int_equal(fx.cut_off, 1); /* once, however much it says */
    fx_close(&fx);
}

static void others_are_served_meanwhile(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 1);
    fx.deaf = 100;
    fx.unread = LIMIT + 1;
    fx_pull(&fx, 100, 1, 0, 0, 9);
    fx_push(&fx, 101, 1, 0, 9, 2.0F);
    fx_pull(&fx, 101, 1, 0, 1, 9);
    assert_true(fx_value(&fx, 101) == 2.0F);
    fx_close(&fx);
}

static void who_has_read_is_told_to_say_hello_and_goes_on_where_it_was(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 1);
    fx_push(&fx, 100, 1, 0, 9, 1.0F);
    fx.deaf = 100;
    fx.unread = LIMIT + 1;
    fx_push(&fx, 100, 2, 0, 9, 1.0F); /* not taken, not acknowledged */
    fx.unread = 0;
    fx_push(&fx, 100, 2, 0, 9, 1.0F);
    assert_int_equal(fx_count(&fx, 100, RUB_MSG_REHELLO), 1);
    fx_hello(&fx, 100, 0, 1);
    const rub_header_t *welcome = rub_packet_header(fx_last(&fx, 100, RUB_MSG_WELCOME));
    assert_int_equal(welcome->seq, 1);
    fx_push(&fx, 100, 2, 0, 9, 1.0F);
    fx_pull(&fx, 100, 1, 0, 2, 9);
    assert_true(fx_value(&fx, 100) == 2.0F);
    fx_close(&fx);
}

static void parked_pulls_of_a_session_that_does_not_read_are_forgotten(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx_pull(&fx, 100, 1, 1, 1, 9);
    assert_int_equal(fx_count(&fx, 100, RUB_MSG_ROWS), 0);
    fx.deaf = 100;
    fx.unread = LIMIT + 1;
    fx_forget_sent(&fx);
    fx_tick(&fx, 5000); /* and nobody tells it every second for whom it waits */
    assert_int_equal(fx_count(&fx, 100, RUB_MSG_WAITING), 0);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
    assert_int_equal(fx_count(&fx, 100, RUB_MSG_ROWS), 0);
    fx_close(&fx);
}

static void answers_of_one_turn_count_before_they_have_left(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 1);
    fx_push_block(&fx, 100, 1, 0, 0, 1.0F);
    fx_forget_sent(&fx);
    const size_t answer = 2 * RUB_BLOCK * sizeof(float);
    uint8_t keys[16];
    rub_put_u64(keys, 0);
    rub_put_u64(keys + 8, 2 * RUB_BLOCK);
    const rub_header_t header = {
        .type = RUB_MSG_PULL, .table = DENSE, .flags = RUB_FLAG_RANGE, .mark = 1, .n_keys = 1};
    rub_packet_t *packet = rub_packet_new(&header, sizeof(keys), 0);
    memcpy(rub_packet_keys(packet), keys, sizeof(keys));
    const rub_frame_t frame = rub_packet_frame(packet);
    fx_begin(&fx);
    for (size_t i = 0; i < 2 * LIMIT / answer; i++) {
        assert_int_equal(rub_shard_receive(fx.shard, 100, &frame), 0);
    }
    fx_end(&fx);
    const size_t n = fx_count(&fx, 100, RUB_MSG_ROWS);
    assert_true(n * answer <= LIMIT + answer);
    assert_true(n * answer >= LIMIT / 2);
    rub_packet_unref(&packet);
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_that_does_not_read_is_cut_off_and_counted),
        cmocka_unit_test(others_are_served_meanwhile),
        cmocka_unit_test(who_has_read_is_told_to_say_hello_and_goes_on_where_it_was),
        cmocka_unit_test(parked_pulls_of_a_session_that_does_not_read_are_forgotten),
        cmocka_unit_test(answers_of_one_turn_count_before_they_have_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
