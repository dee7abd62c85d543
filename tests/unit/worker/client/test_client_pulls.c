/* Pulls: routing, the window of replies, asking again, and what is refused or comes too late. */
#include "tests/unit/worker/client/fake_world.h"

enum { RING = 64 << 20 };

static void rows_come_back_in_the_callers_order_from_any_shards(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 3, RUB_TRAINER, RING);
    enum { N = 50 };
    uint64_t keys[N];
    float values[N * 2];
    uint8_t exists[N];
    memset(exists, 9, sizeof(exists));
    for (uint64_t i = 0; i < N; i++) {
        keys[i] = i * 31 % 40; /* duplicates too */
    }
    const rub_client_pull_t pull = {
        .table = 2, .keys = keys, .n = N, .values = values, .exists = exists};
    rub_handle_t handle;
    assert_int_equal(rub_client_pull(world.client, &pull, &handle, NULL), 0);
    assert_int_equal(world.n_sent, 3);
    for (size_t i = 3; i-- > 0;) { /* the last asked is answered first */
        assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
        const rub_frame_t asked = rub_packet_frame(world.sent[i].packet);
        float rows[N * 2];
        for (uint32_t k = 0; k < asked.header.n_keys; k++) {
            rows[2 * k] = (float)rub_get_u64(asked.keys + 8 * k);
            rows[2 * k + 1] = -rows[2 * k];
        }
        world_rows(&world, world.sent[i].shard, world.sent[i].packet, asked.header.n_keys, 2, rows,
                   0);
    }
    assert_int_equal(world_poll(&world, handle), 0);
    for (size_t i = 0; i < N; i++) {
        assert_true(values[2 * i] == (float)keys[i]);
        assert_true(values[2 * i + 1] == -(float)keys[i]);
        assert_int_equal(exists[i], 1);
    }
    world_close(&world);
}

static void a_pull_carries_the_clock_of_use_and_the_last_seq(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    assert_int_equal(world_push_block(&world, NULL), 0);
    assert_int_equal(rub_client_clock(world.client, NULL, 0, NULL), 0);
    float value;
    const rub_client_pull_t pull = {.table = 1, .first = 3, .n = 1, .ahead = 1, .values = &value};
    rub_handle_t handle;
    assert_int_equal(rub_client_pull(world.client, &pull, &handle, NULL), 0);
    const rub_header_t *asked = rub_packet_header(world_find(&world, 0, RUB_MSG_PULL, 0));
    assert_int_equal(asked->clock, 2);
    assert_int_equal(asked->mark, 2);
    world_rows(&world, 0, world_find(&world, 0, RUB_MSG_PULL, 0), 1, 1, &(float){5}, 1);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_true(value == 5.0f);
    rub_stats_t stats;
    rub_client_stats(world.client, &stats);
    assert_int_equal(stats.max_gap, 1);
    assert_int_equal(stats.p50_gap, 1);
    world_close(&world);
}

static void open_pulls_are_asked_again_under_the_same_id(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    float values[2][4];
    rub_handle_t handles[2];
    for (size_t i = 0; i < 2; i++) {
        const rub_client_pull_t pull = {.table = 1, .first = i * 4, .n = 4, .values = values[i]};
        assert_int_equal(rub_client_pull(world.client, &pull, &handles[i], NULL), 0);
    }
    const uint64_t id = rub_packet_header(world.sent[1].packet)->seq;
    world_rows(&world, 0, world.sent[0].packet, 4, 1, (float[]){1, 2, 3, 4}, 0);
    world_forget(&world);
    const rub_header_t rehello = {.type = RUB_MSG_REHELLO};
    world_hear(&world, 0, &rehello, NULL);
    world_welcome(&world, 0, 0, 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PULL), 1);
    const rub_packet_t *again = world_find(&world, 0, RUB_MSG_PULL, 0);
    assert_int_equal(rub_packet_header(again)->seq, id);
    world_rows(&world, 0, again, 4, 1, (float[]){5, 6, 7, 8}, 0);
    /* The first answer comes after all: ignored. */
    world_rows(&world, 0, again, 4, 1, (float[]){0, 0, 0, 0}, 0);
    assert_true(values[1][3] == 8.0f);
    assert_int_equal(world_poll(&world, handles[0]), 0);
    assert_int_equal(world_poll(&world, handles[1]), 0);
    world_close(&world);
}

static float big[100 * RUB_BLOCK], bigger[100 * RUB_BLOCK];

static void a_large_pull_is_asked_piece_by_piece(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_open(&world, 1, RUB_TRAINER, RING);
    world.tables[0].elements = UINT64_C(4096) * RUB_BLOCK; /* 64 MiB */
    const rub_handle_t join = world_join(&world);
    world_welcome_as(&world, 0, 0, 0, 0, 64 << 20, RUB_DURABILITY_JOURNAL);
    assert_int_equal(world_poll(&world, join), 0);
    world_forget(&world);
    float *values = test_malloc((size_t)4096 * RUB_BLOCK * sizeof(float));
    const rub_client_pull_t pull = {
        .table = 1, .n = (size_t)4096 * RUB_BLOCK, .ahead = 1, .values = values};
    rub_handle_t handle, now;
    assert_int_equal(rub_client_pull(world.client, &pull, &handle, NULL), 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PULL), 95); /* of 24 MiB, 256 KiB each */
    /* A prefetch that fills its window does not keep back a pull of this period. */
    const rub_client_pull_t small = {.table = 1, .n = 4, .values = big};
    assert_int_equal(rub_client_pull(world.client, &small, &now, NULL), 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PULL), 96);
    size_t answered = 0;
    while (world_poll(&world, handle) == RUB_CLIENT_WAIT) {
        assert_true(answered < 600);
        const rub_packet_t *asked = world_find(&world, 0, RUB_MSG_PULL, answered++);
        assert_non_null(asked);
        const uint32_t n = (uint32_t)rub_get_u64(rub_packet_frame(asked).keys + 8);
        world_rows(&world, 0, asked, n, 1, bigger, 0);
    }
    assert_int_equal(answered, 257);
    assert_int_equal(world_poll(&world, now), 0);
    test_free(values);
    world_close(&world);
}

static void a_pull_that_finds_no_room_to_park_is_asked_again(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    float value;
    const rub_client_pull_t pull = {.table = 1, .n = 1, .values = &value};
    rub_handle_t handle;
    assert_int_equal(rub_client_pull(world.client, &pull, &handle, NULL), 0);
    uint8_t code[4];
    rub_put_u32(code, (uint32_t)RUB_ELIMIT);
    const rub_header_t header = {.type = RUB_MSG_PULL_REFUSED,
                                 .seq = rub_packet_header(world.sent[0].packet)->seq,
                                 .value_bytes = 4};
    world_hear(&world, 0, &header, code);
    assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
    world_tick(&world, 50);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PULL), 2);
    world_rows(&world, 0, world.sent[0].packet, 1, 1, &(float){5}, 0);
    assert_int_equal(world_poll(&world, handle), 0);
    world_close(&world);
}

static void a_cancelled_pull_leaves_the_arrays_alone(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    float value = 3;
    const rub_client_pull_t pull = {.table = 1, .n = 1, .values = &value};
    rub_handle_t handle;
    assert_int_equal(rub_client_pull(world.client, &pull, &handle, NULL), 0);
    assert_int_equal(rub_client_cancel(world.client, handle, NULL), 0);
    assert_int_equal(world_count(&world, 0, RUB_MSG_CANCEL), 1);
    world_rows(&world, 0, world_find(&world, 0, RUB_MSG_PULL, 0), 1, 1, &(float){5}, 0);
    assert_true(value == 3.0f);
    assert_int_equal(world_poll(&world, handle), RUB_EINVAL);
    world_close(&world);
}

static void a_refused_pull_fails_alone_and_is_named(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    float value;
    const rub_client_pull_t pull = {.table = 1, .n = 1, .values = &value};
    rub_handle_t handle;
    assert_int_equal(rub_client_pull(world.client, &pull, &handle, NULL), 0);
    uint8_t code[4];
    rub_put_u32(code, (uint32_t)RUB_ESHAPE);
    const rub_header_t header = {.type = RUB_MSG_PULL_REFUSED,
                                 .seq = rub_packet_header(world.sent[0].packet)->seq,
                                 .value_bytes = 4};
    world_hear(&world, 0, &header, code);
    rub_error_t err;
    assert_int_equal(rub_client_poll(world.client, handle, &err), RUB_ESHAPE);
    assert_non_null(strstr(err.message, "'dense'"));
    assert_int_equal(rub_client_failure(world.client, NULL), 0);
    world_close(&world);
}

static void a_reply_of_the_wrong_length_is_refused(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    float values[4] = {0};
    const rub_client_pull_t pull = {.table = 1, .n = 4, .values = values};
    rub_handle_t handle;
    assert_int_equal(rub_client_pull(world.client, &pull, &handle, NULL), 0);
    world_rows(&world, 0, world.sent[0].packet, 2, 1, (float[]){1, 1}, 0);
    assert_int_equal(world_poll(&world, handle), RUB_EPROTO);
    world_close(&world);
}

static void a_parked_pull_names_whom_it_waits_for(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    float value;
    const rub_client_pull_t pull = {.table = 1, .n = 1, .ahead = 20, .values = &value};
    rub_handle_t handle;
    assert_int_equal(rub_client_pull(world.client, &pull, &handle, NULL), 0);
    uint8_t rank[4];
    rub_put_u32(rank, 1);
    const rub_header_t header = {.type = RUB_MSG_WAITING,
                                 .seq = rub_packet_header(world.sent[0].packet)->seq,
                                 .mark = 17,
                                 .value_bytes = 4};
    world_hear(&world, 0, &header, rank);
    char text[200];
    rub_client_waits_for(world.client, handle, world.now_ms, text, sizeof(text));
    assert_string_equal(text, "rank 1 on shard 0 (minimum 17, needed 18)");
    for (int i = 0; i < 4; i++) {
        world_tick(&world, 1100); /* a shard says it about every second */
        world_hear(&world, 0, &header, rank);
    }
    assert_int_equal(world_count(&world, 0, RUB_MSG_HELLO), 0); /* WAITING counts as heard */
    assert_int_equal(world.n_notices, 1);
    assert_non_null(strstr(world.notices[0], "pull of 'dense'"));
    assert_non_null(strstr(world.notices[0], "rank 1 on shard 0"));
    world_tick(&world, 2600); /* silence, even for a pull */
    assert_int_equal(world_count(&world, 0, RUB_MSG_HELLO), 1);
    world_close(&world);
}

/* Or a shard that one of those who wait is parted from would hear nobody. */
static void who_waits_tells_every_shard_that_it_is_there(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 2, RUB_TRAINER, RING);
    world_tick(&world, 900);
    assert_int_equal(world.n_sent, 0);
    world_tick(&world, 2200);
    for (uint32_t s = 0; s < 2; s++) {
        const rub_packet_t *sign = world_find(&world, s, RUB_MSG_CANCEL, 0);
        assert_non_null(sign);
        assert_int_equal(rub_packet_header(sign)->seq, RUB_NO_REQUEST);
        assert_int_equal(world_count(&world, s, RUB_MSG_CANCEL), 3);
    }
    assert_int_equal(world.n_sent, 6);
    world_close(&world);
}

static void a_reader_tells_no_shard_that_it_is_there(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_READER, RING);
    world_tick(&world, 5000);
    assert_int_equal(world.n_sent, 0);
    world_close(&world);
}

static void an_open_that_a_shard_does_not_answer_is_stuck_there(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_open(&world, 2, RUB_TRAINER, RING);
    const rub_handle_t handle = world_join(&world);
    world_welcome(&world, 0, 0, 0);
    world_tick(&world, 900);
    assert_int_equal(rub_client_stuck_at(world.client, world.now_ms), 0);
    world_tick(&world, 200);
    assert_int_equal(rub_client_stuck_at(world.client, world.now_ms), 2);
    world_welcome(&world, 1, 0, 0);
    assert_int_equal(rub_client_stuck_at(world.client, world.now_ms), 0);
    assert_int_equal(world_poll(&world, handle), 0);
    world_close(&world);
}

static void a_number_tells_what_its_table_is(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_error_t err = {0};
    rub_schema_t schema;
    assert_int_equal(rub_client_table_schema(world.client, 3, &schema, &err), RUB_ENOTABLE);
    assert_string_equal(err.message, "the job has no table of number 3");
    assert_int_equal(rub_client_table_schema(world.client, 2, &schema, NULL), 0);
    assert_string_equal(schema.name, "rows");
    assert_int_equal(schema.kind, RUB_HASHED);
    assert_int_equal(schema.width, 2);
    assert_int_equal(schema.elements, 0);
    assert_int_equal(rub_client_table_schema(world.client, 1, &schema, NULL), 0);
    assert_int_equal(schema.elements, 100 * RUB_BLOCK + 10);
    assert_int_equal(schema.width, 0);
    world_close(&world);
}

static void wrong_shapes_are_refused(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    float value;
    const uint64_t key = 1;
    const struct {
        rub_client_pull_t pull;
        int code;
    } cases[] = {
        {{.table = 3, .n = 1, .values = &value}, RUB_ENOTABLE},
        {{.table = 1, .keys = &key, .n = 1, .values = &value}, RUB_ESHAPE},
        {{.table = 2, .n = 1, .values = &value}, RUB_ESHAPE},
        {{.table = 1, .first = UINT64_MAX, .n = 2, .values = &value}, RUB_ESHAPE},
        {{.table = 1, .first = 100 * RUB_BLOCK, .n = 11, .values = &value}, RUB_ESHAPE},
    };
    rub_handle_t handle;
    for (size_t i = 0; i < RUB_COUNT_OF(cases); i++) {
        assert_int_equal(rub_client_pull(world.client, &cases[i].pull, &handle, NULL),
                         cases[i].code);
    }
    const rub_client_pull_t none = {.table = 1, .n = 0, .values = NULL};
    assert_int_equal(rub_client_pull(world.client, &none, &handle, NULL), 0);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_int_equal(world.n_sent, 0);
    world_close(&world);
}

static void reader_learns_that_its_shard_went_back(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    rub_stats_t stats;
    const uint64_t first = UINT64_C(1) << 40;
    world_ready(&world, 1, RUB_READER, RING);
    world_welcome_back(&world, 0, 0, 0, 0, 1, 0, 0);
    float row[2];
    const uint64_t key = 7;
    const rub_client_pull_t pull = {.table = 2, .keys = &key, .n = 1, .values = row};
    rub_handle_t handle;
    assert_int_equal(rub_client_pull(world.client, &pull, &handle, NULL), 0);
    uint8_t values[9] = {1};
    const rub_header_t rows = {.type = RUB_MSG_ROWS,
                               .seq =
                                   rub_packet_header(world_find(&world, 0, RUB_MSG_PULL, 0))->seq,
                               .lsn = first + 9,
                               .value_bytes = sizeof(values)};
    world_hear(&world, 0, &rows, values);
    assert_int_equal(world_poll(&world, handle), 0);
    world_welcome_back(&world, 0, 0, 0, 0, 1, 0, 0); /* the same incarnation: nothing went back */
    world_welcome_back(&world, 0, 0, 0, 0, 2, first + 9, 0);
    rub_client_stats(world.client, &stats);
    assert_int_equal(stats.rollbacks, 0);
    world_welcome_back(&world, 0, 0, 0, 0, 3, first + 8, 0);
    rub_client_stats(world.client, &stats);
    assert_int_equal(stats.rollbacks, 1);
    world_close(&world);
}

static void a_wait_is_counted_by_what_it_was_for(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    float value;
    const rub_client_pull_t pull = {.table = 1, .first = 3, .n = 1, .values = &value};
    rub_handle_t pulled, pushed, met;
    assert_int_equal(rub_client_pull(world.client, &pull, &pulled, NULL), 0);
    assert_int_equal(world_push_block(&world, &pushed), 0);
    assert_int_equal(rub_client_barrier(world.client, NULL, 0, &met, NULL), 0);
    rub_client_waited(world.client, pulled, 1000);
    rub_client_waited(world.client, pulled, 200);
    rub_client_waited(world.client, pushed, 30);
    rub_client_waited(world.client, 0, 4);
    rub_client_waited(world.client, met, 500000);
    rub_stats_t stats;
    rub_client_stats(world.client, &stats);
    assert_int_equal(stats.pull_wait_us, 1200);
    assert_int_equal(stats.push_wait_us, 34);
    assert_int_equal(stats.meet_wait_us, 500000);
    world_close(&world);
}

static void a_wait_on_nothing_that_is_under_way_is_not_counted(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    rub_client_waited(world.client, 999, 1000);
    rub_stats_t stats;
    rub_client_stats(world.client, &stats);
    assert_int_equal(stats.pull_wait_us + stats.push_wait_us + stats.meet_wait_us, 0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_learns_that_its_shard_went_back),
        cmocka_unit_test(rows_come_back_in_the_callers_order_from_any_shards),
        cmocka_unit_test(a_pull_carries_the_clock_of_use_and_the_last_seq),
        cmocka_unit_test(open_pulls_are_asked_again_under_the_same_id),
        cmocka_unit_test(a_large_pull_is_asked_piece_by_piece),
        cmocka_unit_test(a_pull_that_finds_no_room_to_park_is_asked_again),
        cmocka_unit_test(a_cancelled_pull_leaves_the_arrays_alone),
        cmocka_unit_test(a_refused_pull_fails_alone_and_is_named),
        cmocka_unit_test(a_reply_of_the_wrong_length_is_refused),
        cmocka_unit_test(a_parked_pull_names_whom_it_waits_for),
        cmocka_unit_test(who_waits_tells_every_shard_that_it_is_there),
        cmocka_unit_test(a_reader_tells_no_shard_that_it_is_there),
        cmocka_unit_test(an_open_that_a_shard_does_not_answer_is_stuck_there),
        cmocka_unit_test(a_number_tells_what_its_table_is),
        cmocka_unit_test(wrong_shapes_are_refused),
        cmocka_unit_test(a_wait_is_counted_by_what_it_was_for),
        cmocka_unit_test(a_wait_on_nothing_that_is_under_way_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
