/* Pushes that are sent from the caller's array: which are, what is sent again, and when the array
 * is the caller's again. A packet that the world keeps is one that libzmq has not let go of. */
#include "tests/unit/worker/client/fake_world.h"

enum { RING = 64 << 20, BLOCKS = 70, N_KEYS = 5000, WIDTH = 2 };

static float block_values[BLOCKS * RUB_BLOCK];

static int lend_blocks(world_t *world, size_t n, rub_handle_t *handle_p)
{
    for (size_t i = 0; i < n * RUB_BLOCK; i++) {
        block_values[i] = (float)i;
    }
    const rub_client_push_t push = {
        .table = 1, .n = n * RUB_BLOCK, .values = block_values, .lend = true};
    return rub_client_push(world->client, &push, handle_p, NULL);
}

/* The values of the index-th push to that shard. */
static const void *values_of(const world_t *world, uint32_t shard, size_t index)
{
    const rub_packet_t *packet = world_find(world, shard, RUB_MSG_PUSH, index);
    return packet ? rub_packet_frame(packet).values : NULL;
}

static bool is_lent(const world_t *world, uint32_t shard, size_t index)
{
    return rub_packet_is_lent(world_find(world, shard, RUB_MSG_PUSH, index));
}

static void a_lent_range_is_sent_from_where_it_stands(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_handle_t handle = 0;
    assert_int_equal(lend_blocks(&world, 20, &handle), 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 2); /* 16 blocks and 4 */
    world_forget(&world);
    world_ack_as(&world, 0, 2, 0, 2, 0, 4 << 20); /* room for long messages */
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(lend_blocks(&world, BLOCKS, &handle), 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 2); /* 60 blocks and 10 */
    assert_ptr_equal(values_of(&world, 0, 0), block_values);
    assert_ptr_equal(values_of(&world, 0, 1), block_values + (size_t)60 * RUB_BLOCK);
    world_forget(&world);
    world_ack(&world, 0, 4, 0);
    assert_int_equal(world_poll(&world, handle), 0);
    rub_stats_t stats;
    rub_client_stats(world.client, &stats);
    assert_int_equal(stats.push_bytes, (20 + BLOCKS) * RUB_BLOCK * sizeof(float));
    world_close(&world);
}

static void a_range_of_several_shards_is_lent_to_each(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 2, RUB_TRAINER, RING);
    rub_handle_t handle = 0;
    const rub_client_push_t push = {.table = 1,
                                    .first = (uint64_t)RUB_BLOCK * 20,
                                    .n = (size_t)BLOCKS * RUB_BLOCK,
                                    .values = block_values,
                                    .lend = true};
    assert_int_equal(rub_client_push(world.client, &push, &handle, NULL), 0);
    for (uint32_t shard = 0; shard < 2; shard++) {
        assert_true(world_count(&world, shard, RUB_MSG_PUSH) > 0);
        for (size_t i = 0; i < world_count(&world, shard, RUB_MSG_PUSH); i++) {
            const rub_frame_t frame = rub_packet_frame(world_find(&world, shard, RUB_MSG_PUSH, i));
            const uint64_t first = rub_get_u64(frame.keys) - push.first;
            assert_ptr_equal(frame.values, block_values + first);
        }
    }
    world_close(&world);
}

/* Sent twice because the shard was silent, it is acknowledged when the first has arrived. */
static void a_wait_ends_when_nobody_reads_the_array_any_more(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_handle_t handle = 0, flush = 0;
    char whom[200];
    assert_int_equal(lend_blocks(&world, 1, &handle), 0);
    assert_int_equal(rub_client_flush(world.client, &flush, NULL), 0);
    assert_false(rub_client_awaits_loan(world.client, handle));
    world_ack(&world, 0, 1, 0);
    assert_true(rub_client_awaits_loan(world.client, handle));
    assert_true(rub_client_awaits_loan(world.client, flush));
    assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
    assert_int_equal(world_poll(&world, flush), RUB_CLIENT_WAIT);
    rub_client_waits_for(world.client, handle, world.now_ms, whom, sizeof(whom));
    assert_string_equal(whom, "a connection to let go of the array that was lent to it");
    world_forget(&world);
    assert_false(rub_client_awaits_loan(world.client, handle));
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(world_poll(&world, flush), 0);
    world_close(&world);
}

static void a_shard_that_comes_back_gets_the_array_again(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_handle_t handles[3];
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(lend_blocks(&world, 1, &handles[i]), 0);
    }
    world_ack(&world, 0, 1, 0);
    rub_packet_t *first = rub_packet_ref(world_find(&world, 0, RUB_MSG_PUSH, 1));
    world_forget(&world);
    const rub_header_t rehello = {.type = RUB_MSG_REHELLO};
    world_hear(&world, 0, &rehello, NULL); /* a new incarnation, which knows nobody */
    world_welcome_back(&world, 0, 1, 0, 0, 2, (UINT64_C(2) << 40) + 1, 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 2);
    assert_ptr_equal(values_of(&world, 0, 0), block_values);
    assert_int_equal(rub_packet_header(world_find(&world, 0, RUB_MSG_PUSH, 0))->seq, 2);
    assert_int_equal(world_poll(&world, handles[0]), 0);
    world_ack(&world, 0, 3, 0);
    world_forget(&world); /* what went the second time; the first is still in an old pipe */
    assert_int_equal(world_poll(&world, handles[1]), RUB_CLIENT_WAIT);
    assert_int_equal(world_poll(&world, handles[2]), 0);
    rub_packet_unref(&first);
    assert_int_equal(world_poll(&world, handles[1]), 0);
    assert_int_equal(world_poll(&world, handles[1]), RUB_EINVAL); /* once */
    assert_false(rub_loan_is_out(rub_client_loans(world.client)));
    world_close(&world);
}

/* keys: N_KEYS of them. */
static int lend_rows(world_t *world, const uint64_t *keys, const float *values,
                     rub_handle_t *handle_p)
{
    const rub_client_push_t push = {
        .table = 2, .keys = keys, .n = N_KEYS, .values = values, .lend = true};
    return rub_client_push(world->client, &push, handle_p, NULL);
}

static void count_up(uint64_t *keys, float *values)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        keys[i] = 7 * i;
        values[WIDTH * i] = values[WIDTH * i + 1] = (float)i;
    }
}

static void lent_rows_go_in_place_where_they_stand_as_the_shard_wants_them(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    static uint64_t keys[N_KEYS];
    static float values[N_KEYS * WIDTH];
    count_up(keys, values);
    world_ready(&world, 1, RUB_TRAINER, RING);
    assert_int_equal(lend_rows(&world, keys, values, NULL), 0);
    assert_ptr_equal(values_of(&world, 0, 0), values);
    assert_memory_equal(rub_packet_frame(world_find(&world, 0, RUB_MSG_PUSH, 0)).keys, keys, 800);
    world_forget(&world);
    keys[N_KEYS - 1] = keys[0]; /* a repeat is summed, in memory of our own */
    assert_int_equal(lend_rows(&world, keys, values, NULL), 0);
    assert_false(is_lent(&world, 0, 0));
    world_close(&world);
    count_up(keys, values);
    world_ready(&world, 2, RUB_TRAINER, RING); /* dealt to two shards, they are gathered */
    assert_int_equal(lend_rows(&world, keys, values, NULL), 0);
    assert_false(is_lent(&world, 0, 0));
    assert_false(is_lent(&world, 1, 0));
    world_close(&world);
}

static void what_is_copied_is_the_callers_at_once(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    const uint64_t key = 4;
    const float row[WIDTH] = {1, 2};
    rub_handle_t handle = 0;
    world_ready(&world, 1, RUB_TRAINER, RING);
    const rub_client_push_t small = {.table = 2, .keys = &key, .n = 1, .values = row, .lend = true};
    assert_int_equal(rub_client_push(world.client, &small, &handle, NULL), 0);
    assert_false(is_lent(&world, 0, 0));
    world_ack(&world, 0, 1, 0);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(rub_client_table_codec(world.client, 1, RUB_CODEC_BF16, RUB_CODEC_F32, NULL),
                     0);
    assert_int_equal(lend_blocks(&world, 1, NULL), 0);
    assert_false(is_lent(&world, 0, 1));
    assert_false(rub_loan_is_out(rub_client_loans(world.client)));
    world_close(&world);
    world_open_as(&world, 1, RUB_TRAINER, RING, RUB_RETAIN_SYNCED);
    handle = world_join(&world);
    world_welcome(&world, 0, 0, 0);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(lend_blocks(&world, 1, NULL), 0);
    assert_false(is_lent(&world, 0, 0)); /* its ring keeps it behind the acknowledgement */
    world_close(&world);
}

static void a_push_that_is_refused_lends_nothing(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    const rub_client_push_t push = {
        .table = 1, .first = 1, .n = RUB_BLOCK, .values = block_values, .lend = true};
    rub_handle_t handle = 0;
    assert_int_equal(rub_client_push(world.client, &push, &handle, NULL), RUB_ESHAPE);
    assert_int_equal(handle, 0);
    assert_false(rub_loan_is_out(rub_client_loans(world.client)));
    world_close(&world);
}

/* Keys that were said by their digest go again in full, with the values where they stand. */
static void a_digest_that_is_not_known_is_said_again_from_the_same_array(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    static uint64_t keys[N_KEYS];
    static float values[N_KEYS * WIDTH];
    count_up(keys, values);
    world_open(&world, 1, RUB_TRAINER, RING);
    rub_handle_t handle = world_join(&world);
    uint8_t welcome[52] = {0};
    rub_put_u64(welcome, 1 << 20);
    rub_put_u32(welcome + 16, RUB_DURABILITY_JOURNAL);
    rub_put_u64(welcome + 36, 1);
    rub_put_u64(welcome + 44, 1 << 20);
    const rub_header_t header = {
        .type = RUB_MSG_WELCOME, .lsn = UINT64_C(1) << 40, .value_bytes = sizeof(welcome)};
    world_hear(&world, 0, &header, welcome);
    assert_int_equal(world_poll(&world, handle), 0);
    for (int i = 0; i < 2; i++) { /* said, told */
        assert_int_equal(lend_rows(&world, keys, values, NULL), 0);
    }
    world_ack(&world, 0, 2, 0);
    world_forget(&world);
    assert_int_equal(lend_rows(&world, keys, values, &handle), 0);
    assert_true(rub_packet_is_short(world_find(&world, 0, RUB_MSG_PUSH, 0)));
    assert_ptr_equal(values_of(&world, 0, 0), values);
    const rub_header_t unknown = {.type = RUB_MSG_KEYS_UNKNOWN, .seq = 3, .mark = RUB_MSG_PUSH};
    world_hear(&world, 0, &unknown, NULL);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 2);
    assert_false(rub_packet_is_short(world_find(&world, 0, RUB_MSG_PUSH, 1)));
    assert_ptr_equal(values_of(&world, 0, 1), values);
    world_forget(&world);
    assert_true(rub_loan_is_out(rub_client_loans(world.client)));
    world_ack(&world, 0, 3, 0);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_false(rub_loan_is_out(rub_client_loans(world.client)));
    world_close(&world);
}

static void no_error_gives_the_array_back_before_the_end_of_the_session(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_handle_t handle = 0;
    assert_int_equal(lend_blocks(&world, 1, &handle), 0);
    rub_packet_t *under_way = rub_packet_ref(world_find(&world, 0, RUB_MSG_PUSH, 0));
    world_forget(&world);
    world_ack(&world, 0, 99, 0); /* it has never been sent that much */
    assert_int_equal(world_poll(&world, handle), RUB_EPROTO);
    rub_loan_t *loans = rub_loan_ref(rub_client_loans(world.client));
    assert_true(rub_loan_is_out(loans));
    world_close(&world);
    assert_true(rub_loan_is_out(loans)); /* its sockets go behind its core */
    rub_packet_unref(&under_way);
    assert_false(rub_loan_is_out(loans));
    rub_loan_unref(&loans);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lent_range_is_sent_from_where_it_stands),
        cmocka_unit_test(a_range_of_several_shards_is_lent_to_each),
        cmocka_unit_test(a_wait_ends_when_nobody_reads_the_array_any_more),
        cmocka_unit_test(a_shard_that_comes_back_gets_the_array_again),
        cmocka_unit_test(lent_rows_go_in_place_where_they_stand_as_the_shard_wants_them),
        cmocka_unit_test(what_is_copied_is_the_callers_at_once),
        cmocka_unit_test(a_push_that_is_refused_lends_nothing),
        cmocka_unit_test(a_digest_that_is_not_known_is_said_again_from_the_same_array),
        cmocka_unit_test(no_error_gives_the_array_back_before_the_end_of_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
