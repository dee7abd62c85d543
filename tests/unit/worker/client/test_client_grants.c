/* Pulls that grant the caller's array to shards of the same process: to which, what they bring, and
 * that no shard writes there once the pull has ended, however it does. */
#include "common/wire/grant.h"
#include "tests/unit/worker/client/fake_world.h"

enum { RING = 64 << 20, N_KEYS = 300, WIDTH = 2, BLOCKS = 100 };

static float values[BLOCKS * RUB_BLOCK];

/* Of a shard that knows grants of that layout. */
static void welcome(world_t *world, uint32_t shard, uint64_t lists, uint32_t layout)
{
    uint8_t bytes[56] = {0};
    rub_put_u64(bytes, 8 << 20);
    rub_put_u64(bytes + 36, 1);
    rub_put_u64(bytes + 44, lists);
    rub_put_u32(bytes + 52, layout);
    const rub_header_t header = {
        .type = RUB_MSG_WELCOME, .lsn = (UINT64_C(1) << 40) + 1, .value_bytes = sizeof(bytes)};
    world_hear(world, shard, &header, bytes);
}

static void begin_at(world_t *world, uint32_t n_shards, rub_role_t role, const char *scheme,
                     uint64_t lists, uint32_t layout)
{
    world_open(world, n_shards, role, RING);
    for (uint32_t i = 0; i < n_shards; i++) {
        snprintf(world->shards[i].address, 128, "%s://shard-%u:1", scheme, i);
    }
    const rub_handle_t handle = world_join(world);
    for (uint32_t i = 0; i < n_shards; i++) {
        welcome(world, i, lists, layout);
    }
    assert_int_equal(world_poll(world, handle), 0);
    world_forget(world);
    for (size_t i = 0; i < RUB_COUNT_OF(values); i++) {
        values[i] = -1;
    }
}

static void begin(world_t *world, uint32_t n_shards)
{
    begin_at(world, n_shards, RUB_TRAINER, "inproc", 0, RUB_GRANT_LAYOUT);
}

/* As the shard reads it. */
static rub_frame_t frame_of(const rub_packet_t *packet)
{
    rub_span_t parts[3];
    rub_frame_t frame;
    const size_t n_parts = rub_packet_parts(packet, parts);
    assert_int_equal(rub_frame_read_in_process(parts, n_parts, &frame, NULL), 0);
    return frame;
}

static rub_handle_t pull_range(world_t *world, size_t n)
{
    rub_handle_t handle = 0;
    const rub_client_pull_t pull = {.table = 1, .n = n, .values = values};
    assert_int_equal(rub_client_pull(world->client, &pull, &handle, NULL), 0);
    return handle;
}

static rub_handle_t pull_rows(world_t *world, const uint64_t *keys, uint8_t *exists)
{
    rub_handle_t handle = 0;
    const rub_client_pull_t pull = {
        .table = 2, .keys = keys, .n = N_KEYS, .values = values, .exists = exists};
    assert_int_equal(rub_client_pull(world->client, &pull, &handle, NULL), 0);
    return handle;
}

static uint32_t rows_of(const rub_frame_t *asked)
{
    const bool is_range = (asked->header.flags & RUB_FLAG_RANGE) != 0;
    return is_range ? (uint32_t)rub_get_u64(asked->keys + 8) : asked->header.n_keys;
}

/* The shard's part: each element is its number, each row its key. False: nothing may be written. */
static bool gather(const rub_frame_t *asked)
{
    const bool is_range = (asked->header.flags & RUB_FLAG_RANGE) != 0;
    rub_grant_place_t place;
    if (!asked->grant ||
        !rub_grant_take(asked->grant, rows_of(asked), is_range ? 1 : WIDTH, is_range, &place)) {
        return false;
    }
    for (uint32_t i = 0; i < place.n_rows; i++) {
        float *row = place.values + (place.positions ? place.positions[i] : i) * place.width;
        const uint64_t number =
            is_range ? rub_get_u64(asked->keys) + i : rub_get_u64(asked->keys + 8 * (size_t)i);
        row[0] = row[place.width - 1] = (float)number;
    }
    rub_grant_finish(asked->grant);
    return true;
}

static void say_there(world_t *world, uint32_t shard, const rub_frame_t *asked)
{
    const uint8_t bits[(N_KEYS + 7) / 8] = {0x55};
    const bool is_range = (asked->header.flags & RUB_FLAG_RANGE) != 0;
    const rub_header_t rows = {.type = RUB_MSG_ROWS,
                               .flags = RUB_FLAG_GRANT,
                               .seq = asked->header.seq,
                               .value_bytes = is_range ? 0 : (rows_of(asked) + 7) / 8};
    world_hear(world, shard, &rows, bits);
}

static void a_range_comes_in_parts_that_are_there_when_they_are_said(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    begin(&world, 2);
    const rub_handle_t handle = pull_range(&world, BLOCKS * RUB_BLOCK);
    assert_true(world.n_sent >= 2);
    for (size_t i = 0; i < world.n_sent; i++) { /* more are asked for as these are answered */
        const rub_frame_t asked = frame_of(world.sent[i].packet);
        assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
        assert_true(gather(&asked));
        assert_int_equal(world_poll(&world, handle), RUB_CLIENT_WAIT);
        say_there(&world, world.sent[i].shard, &asked);
    }
    assert_int_equal(world_poll(&world, handle), 0);
    for (size_t i = 0; i < (size_t)BLOCKS * RUB_BLOCK; i++) {
        assert_true(values[i] == (float)i);
    }
    world_close(&world);
}

static void rows_of_several_shards_stand_in_the_callers_order(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    uint64_t keys[N_KEYS];
    uint8_t exists[N_KEYS];
    begin(&world, 3);
    for (uint64_t i = 0; i < N_KEYS; i++) {
        keys[i] = i * 31 % 200; /* duplicates too */
        exists[i] = 9;
    }
    const rub_handle_t handle = pull_rows(&world, keys, exists);
    assert_int_equal(world.n_sent, 3);
    for (size_t i = 3; i-- > 0;) {
        const rub_frame_t asked = frame_of(world.sent[i].packet);
        assert_true(gather(&asked));
        say_there(&world, world.sent[i].shard, &asked);
    }
    assert_int_equal(world_poll(&world, handle), 0);
    size_t n_exist = 0;
    for (size_t i = 0; i < N_KEYS; i++) {
        assert_true(values[2 * i] == (float)keys[i]);
        assert_true(values[2 * i + 1] == (float)keys[i]);
        assert_true(exists[i] <= 1);
        n_exist += exists[i];
    }
    assert_int_equal(n_exist, 3 * 4);
    world_close(&world);
}

static bool is_granted(world_t *world, size_t n)
{
    const rub_handle_t handle = pull_range(world, n);
    const bool is = frame_of(world_find(world, 0, RUB_MSG_PULL, 0)).grant != NULL;
    assert_int_equal(rub_client_cancel(world->client, handle, NULL), 0);
    world_forget(world);
    return is;
}

static void only_shards_of_this_process_that_know_grants_get_them(void **state)
{
    RUB_UNUSED(state);
    static const struct {
        const char *scheme;
        uint32_t layout;
        bool is_granted;
    } cases[] = {{"inproc", RUB_GRANT_LAYOUT, true},
                 {"inproc", 0, false},
                 {"inproc", RUB_GRANT_LAYOUT + 1, false},
                 {"tcp", RUB_GRANT_LAYOUT, false}, /* whatever it says */
                 {"ipc", RUB_GRANT_LAYOUT, false}};
    static world_t world;
    for (size_t i = 0; i < RUB_COUNT_OF(cases); i++) {
        begin_at(&world, 1, RUB_TRAINER, cases[i].scheme, 0, cases[i].layout);
        assert_int_equal(is_granted(&world, 100), cases[i].is_granted);
        world_close(&world);
    }
    begin(&world, 1);
    assert_false(is_granted(&world, WORLD_GRANT_LEAST / sizeof(float) - 1));
    assert_true(is_granted(&world, WORLD_GRANT_LEAST / sizeof(float)));
    assert_int_equal(rub_client_table_codec(world.client, 1, RUB_CODEC_F32, RUB_CODEC_BF16, NULL),
                     0);
    assert_false(is_granted(&world, 100));
    world_close(&world);
    world_ready(&world, 1, RUB_TRAINER, RING); /* a WELCOME of an older version */
    assert_false(is_granted(&world, 100));
    world_close(&world);
}

/* The messages are where the pull's end finds them: parked at the shard, or on their way. */
static void nothing_is_written_once_the_pull_is_cancelled(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    begin(&world, 2);
    const rub_handle_t handle = pull_range(&world, BLOCKS * RUB_BLOCK);
    const size_t n_asked = world.n_sent;
    const rub_frame_t first = frame_of(world.sent[0].packet);
    assert_true(gather(&first)); /* and its ROWS is on the way */
    assert_int_equal(rub_client_cancel(world.client, handle, NULL), 0);
    memset(values, 0xff, sizeof(values)); /* the caller's again */
    say_there(&world, world.sent[0].shard, &first);
    for (size_t i = 0; i < n_asked; i++) {
        const rub_frame_t asked = frame_of(world.sent[i].packet);
        assert_false(gather(&asked));
    }
    const uint8_t *bytes = (const uint8_t *)values;
    for (size_t i = 0; i < sizeof(values); i++) {
        assert_int_equal(bytes[i], 0xff);
    }
    world_close(&world);
}

static void a_part_that_is_refused_takes_the_leave_of_all(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    begin(&world, 2);
    const rub_handle_t handle = pull_range(&world, BLOCKS * RUB_BLOCK);
    const size_t n_asked = world.n_sent;
    const rub_frame_t first = frame_of(world.sent[0].packet);
    uint8_t code[4];
    rub_put_u32(code, (uint32_t)RUB_ENOTABLE);
    const rub_header_t refused = {
        .type = RUB_MSG_PULL_REFUSED, .seq = first.header.seq, .value_bytes = sizeof(code)};
    world_hear(&world, world.sent[0].shard, &refused, code);
    for (size_t i = 0; i < n_asked; i++) {
        const rub_frame_t asked = frame_of(world.sent[i].packet);
        assert_false(gather(&asked));
    }
    assert_int_equal(world_poll(&world, handle), RUB_ENOTABLE);
    world_close(&world);
}

static void a_session_that_fails_or_ends_takes_its_leave_back(void **state)
{
    RUB_UNUSED(state);
    for (int fails = 0; fails < 2; fails++) {
        static world_t world;
        begin(&world, 1);
        const rub_handle_t handle = pull_range(&world, 100);
        rub_packet_t *packet = rub_packet_ref(world_find(&world, 0, RUB_MSG_PULL, 0));
        const rub_frame_t asked = frame_of(packet);
        if (fails) {
            const rub_header_t fenced = {.type = RUB_MSG_FENCED, .seq = rub_rank_epoch(0, 1)};
            world_hear(&world, 0, &fenced, NULL);
            assert_int_equal(world_poll(&world, handle), RUB_EFENCED);
            assert_false(gather(&asked));
        }
        world_close(&world);
        assert_false(gather(&asked));
        rub_packet_unref(&packet);
    }
}

static void what_is_asked_again_is_written_once_and_believed_either_way(void **state)
{
    RUB_UNUSED(state);
    for (int was_written = 0; was_written < 2; was_written++) {
        static world_t world;
        float rows[100];
        begin(&world, 1);
        const rub_handle_t handle = pull_range(&world, RUB_COUNT_OF(rows));
        const rub_frame_t first = frame_of(world.sent[0].packet);
        rub_packet_t *kept = rub_packet_ref(world.sent[0].packet);
        if (was_written) { /* and its ROWS goes with the connection */
            assert_true(gather(&first));
        }
        world_forget(&world);
        world_hear(&world, 0, &(rub_header_t){.type = RUB_MSG_REHELLO}, NULL);
        welcome(&world, 0, 0, RUB_GRANT_LAYOUT);
        rub_packet_t *again = world_find(&world, 0, RUB_MSG_PULL, 0);
        assert_non_null(again);
        const rub_frame_t second = frame_of(again);
        assert_int_equal(second.header.seq, first.header.seq);
        assert_int_equal(gather(&second), !was_written);
        if (was_written) { /* what was pushed since is in this one */
            for (size_t i = 0; i < RUB_COUNT_OF(rows); i++) {
                rows[i] = (float)i + 0.5f;
            }
            const rub_header_t header = {
                .type = RUB_MSG_ROWS, .seq = second.header.seq, .value_bytes = sizeof(rows)};
            world_hear(&world, 0, &header, rows);
        } else {
            say_there(&world, 0, &second);
        }
        assert_int_equal(world_poll(&world, handle), 0);
        for (size_t i = 0; i < RUB_COUNT_OF(rows); i++) {
            assert_true(values[i] == (float)i + (was_written ? 0.5f : 0));
        }
        assert_false(gather(&first)); /* the copy that went with the old connection */
        rub_packet_unref(&kept);
        world_close(&world);
    }
}

static void an_ordinary_answer_ends_the_leave(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    const float rows[100] = {3};
    begin(&world, 1);
    const rub_handle_t handle = pull_range(&world, RUB_COUNT_OF(rows));
    rub_packet_t *packet = world_find(&world, 0, RUB_MSG_PULL, 0);
    const rub_frame_t asked = frame_of(packet);
    const rub_header_t header = {
        .type = RUB_MSG_ROWS, .seq = asked.header.seq, .value_bytes = sizeof(rows)};
    world_hear(&world, 0, &header, rows);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_true(values[0] == 3);
    assert_false(gather(&asked));
    world_close(&world);
}

static void rows_that_are_said_to_be_there_and_are_not_are_a_protocol_error(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    begin(&world, 1);
    rub_error_t err = {0};
    rub_handle_t handle = pull_range(&world, 100);
    rub_frame_t asked = frame_of(world_find(&world, 0, RUB_MSG_PULL, 0));
    say_there(&world, 0, &asked); /* granted, and not written */
    assert_int_equal(rub_client_poll(world.client, handle, &err), RUB_EPROTO);
    assert_string_equal(err.message,
                        "pull of 'dense': shard 0: it says that rows stand where it has put none");
    world_forget(&world);
    handle = pull_range(&world, 1); /* never granted */
    asked = rub_packet_frame(world_find(&world, 0, RUB_MSG_PULL, 0));
    say_there(&world, 0, &asked);
    assert_int_equal(world_poll(&world, handle), RUB_EPROTO);
    world_close(&world);
}

static void keys_that_the_shard_forgot_come_again_with_the_grant(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    uint64_t keys[N_KEYS];
    rub_frame_t asked = {.grant = NULL};
    begin_at(&world, 1, RUB_TRAINER, "inproc", 1 << 20, RUB_GRANT_LAYOUT);
    for (uint64_t i = 0; i < N_KEYS; i++) {
        keys[i] = 3 * i;
    }
    rub_handle_t handle = 0;
    for (int i = 0; i < 3; i++) { /* the third time by their digest */
        world_forget(&world);
        handle = pull_rows(&world, keys, NULL);
        asked = frame_of(world_find(&world, 0, RUB_MSG_PULL, 0));
        if (i < 2) {
            assert_true(gather(&asked));
            say_there(&world, 0, &asked);
            assert_int_equal(world_poll(&world, handle), 0);
        }
    }
    assert_true((asked.header.flags & RUB_FLAG_DIGEST) != 0);
    uint8_t share[8] = {0, 0, 1};
    const rub_header_t unknown = {.type = RUB_MSG_KEYS_UNKNOWN,
                                  .seq = asked.header.seq,
                                  .mark = RUB_MSG_PULL,
                                  .value_bytes = sizeof(share)};
    world_hear(&world, 0, &unknown, share);
    const rub_frame_t full = frame_of(world_find(&world, 0, RUB_MSG_PULL, 1));
    assert_int_equal(full.header.flags & RUB_FLAG_DIGEST, 0);
    assert_int_equal(full.keys_bytes, sizeof(keys));
    memset(values, 0, sizeof(values));
    assert_true(gather(&full));
    assert_false(gather(&asked));
    say_there(&world, 0, &full);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_true(values[WIDTH * (N_KEYS - 1)] == (float)keys[N_KEYS - 1]);
    world_close(&world);
}

static void a_reader_keeps_rows_that_were_put_where_it_wanted_them(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    uint64_t keys[N_KEYS];
    begin_at(&world, 2, RUB_READER, "inproc", 0, RUB_GRANT_LAYOUT);
    assert_int_equal(rub_client_table_cache(world.client, 2, 1 << 20, 60000, NULL), 0);
    for (int shift = 0; shift < 2; shift++) {
        for (uint64_t i = 0; i < N_KEYS; i++) { /* half of the second time's are kept */
            keys[i] = 5 * i + (shift ? i % 2 : 0);
        }
        memset(values, 0xff, sizeof(values));
        world_forget(&world);
        rub_client_time(world.client, world.now_ms);
        const rub_handle_t handle = pull_rows(&world, keys, NULL);
        size_t n_asked = 0;
        for (uint32_t i = 0; i < 2; i++) {
            const rub_frame_t asked = frame_of(world_find(&world, i, RUB_MSG_PULL, 0));
            n_asked += asked.header.n_keys;
            assert_true(gather(&asked));
            say_there(&world, i, &asked);
        }
        assert_int_equal(n_asked, shift ? N_KEYS / 2 : N_KEYS);
        assert_int_equal(world_poll(&world, handle), 0);
        for (size_t i = 0; i < N_KEYS; i++) {
            assert_true(values[2 * i] == (float)keys[i]);
        }
    }
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_comes_in_parts_that_are_there_when_they_are_said),
        cmocka_unit_test(rows_of_several_shards_stand_in_the_callers_order),
        cmocka_unit_test(only_shards_of_this_process_that_know_grants_get_them),
        cmocka_unit_test(nothing_is_written_once_the_pull_is_cancelled),
        cmocka_unit_test(a_part_that_is_refused_takes_the_leave_of_all),
        cmocka_unit_test(a_session_that_fails_or_ends_takes_its_leave_back),
        cmocka_unit_test(what_is_asked_again_is_written_once_and_believed_either_way),
        cmocka_unit_test(an_ordinary_answer_ends_the_leave),
        cmocka_unit_test(rows_that_are_said_to_be_there_and_are_not_are_a_protocol_error),
        cmocka_unit_test(keys_that_the_shard_forgot_come_again_with_the_grant),
        cmocka_unit_test(a_reader_keeps_rows_that_were_put_where_it_wanted_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
