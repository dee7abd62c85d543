/* What messages a push becomes: cut, routed, summed, checked. */
#include "tests/unit/worker/client/fake_world.h"

#include "common/base/rng.h"
#include "common/wire/placement.h"

#include <math.h>

enum { RING = 64 << 20 };

static void nan_is_refused_without_trace(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 2, RUB_TRAINER, RING);
    static float values[60 * RUB_BLOCK];
    values[59 * RUB_BLOCK + 7] = NAN; /* in the last message of many */
    const rub_client_push_t push = {.table = 1, .n = 60 * RUB_BLOCK, .values = values};
    rub_error_t err;
    assert_int_equal(rub_client_push(world.client, &push, NULL, &err), RUB_ENAN);
    const uint64_t keys[] = {1, 2, 1};
    const float overflow[] = {3e38f, 0, 1, 1, 3e38f, 0};
    const rub_client_push_t rows = {.table = 2, .keys = keys, .n = 3, .values = overflow};
    assert_int_equal(rub_client_push(world.client, &rows, NULL, &err), RUB_ENAN);
    const uint64_t ascending[] = {1, 2, 3};
    const float nan[] = {1, 1, 1, 1, 1, NAN};
    const rub_client_push_t sorted = {.table = 2, .keys = ascending, .n = 3, .values = nan};
    assert_int_equal(rub_client_push(world.client, &sorted, NULL, &err), RUB_ENAN);
    assert_int_equal(world.n_sent, 0);
    rub_stats_t stats;
    rub_client_stats(world.client, &stats);
    assert_int_equal(stats.pushes, 0);
    assert_int_equal(stats.push_bytes, 0);
    assert_int_equal(world_push_block(&world, NULL), 0);
    assert_int_equal(world.n_sent, 1);
    assert_int_equal(rub_packet_header(world.sent[0].packet)->seq, 1);
    world_close(&world);
}

static void ranges_are_cut_at_block_borders(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 3, RUB_TRAINER, RING);
    static float values[100 * RUB_BLOCK + 10];
    const rub_client_push_t push = {.table = 1, .n = 100 * RUB_BLOCK + 10, .values = values};
    assert_int_equal(rub_client_push(world.client, &push, NULL, NULL), 0);
    uint64_t covered = 0;
    for (size_t i = 0; i < world.n_sent; i++) {
        const rub_frame_t frame = rub_packet_frame(world.sent[i].packet);
        const uint64_t first = rub_get_u64(frame.keys), n = rub_get_u64(frame.keys + 8);
        assert_int_equal(first % RUB_BLOCK, 0);
        assert_true((first + n) % RUB_BLOCK == 0 || first + n == push.n);
        assert_true(frame.values_bytes <= RUB_MESSAGE_VALUES);
        assert_int_equal(frame.values_bytes, n * sizeof(float));
        covered += n;
    }
    assert_int_equal(covered, push.n);
    for (uint32_t s = 0; s < 3; s++) {
        assert_true(world_count(&world, s, RUB_MSG_PUSH) >= 3); /* 546 KB in 256 KiB */
    }
    world_close(&world);
}

/* One shard, no duplicates: whether keys ascend or not, the messages hold the same rows in the
 * caller's order and are cut at the same places. */
static void ascending_keys_are_cut_like_any_others(void **state)
{
    RUB_UNUSED(state);
    enum { N = 50000, WIDTH = 2 };
    static uint64_t keys[2][N];
    static float values[N * WIDTH];
    size_t cut[2][8] = {{0}};
    for (size_t i = 0; i < N; i++) {
        keys[0][i] = 3 * i;
        keys[1][i] = 3 * (N - i);
        values[i * WIDTH] = (float)i;
        values[i * WIDTH + 1] = -(float)i;
    }
    for (int turn = 0; turn < 2; turn++) {
        static world_t world;
        world_ready(&world, 1, RUB_TRAINER, RING);
        const rub_client_push_t push = {.table = 2, .keys = keys[turn], .n = N, .values = values};
        assert_int_equal(rub_client_push(world.client, &push, NULL, NULL), 0);
        size_t at = 0;
        for (size_t i = 0; i < world.n_sent; i++) {
            const rub_frame_t frame = rub_packet_frame(world.sent[i].packet);
            const size_t n = frame.header.n_keys;
            assert_true(i < RUB_COUNT_OF(cut[turn]));
            assert_memory_equal(frame.keys, keys[turn] + at, n * sizeof(uint64_t));
            assert_memory_equal(frame.values, values + at * WIDTH, n * WIDTH * sizeof(float));
            assert_true(frame.values_bytes <= RUB_MESSAGE_VALUES);
            cut[turn][i] = n;
            at += n;
        }
        assert_int_equal(at, N);
        world_close(&world);
    }
    assert_memory_equal(cut[0], cut[1], sizeof(cut[0]));
}

/* What the messages of a push must be, found the slow way: each shard gets the keys that are its
 * own in the caller's order, without those that came before, whose rows are added to the first. */
static void check_rows(const world_t *world, const rub_client_push_t *push, uint32_t width)
{
    rub_placement_t placement;
    assert_int_equal(rub_placement_init(&placement, &world->tables[1], world->n_shards, NULL), 0);
    size_t message[WORLD_SHARDS] = {0}, row[WORLD_SHARDS] = {0}, n_rows = 0;
    for (size_t i = 0; i < push->n; i++) {
        const uint64_t key = push->keys[i];
        float sum[64];
        bool before = false;
        for (size_t k = 0; k < i && !before; k++) {
            before = push->keys[k] == key;
        }
        memcpy(sum, push->values + i * width, width * sizeof(float));
        for (size_t k = i + 1; k < push->n && !before; k++) {
            for (size_t x = 0; push->keys[k] == key && x < width; x++) {
                sum[x] += push->values[k * width + x];
            }
        }
        if (before) {
            continue;
        }
        const uint32_t s = rub_placement_shard_of_key(&placement, key);
        rub_frame_t frame = rub_packet_frame(world_find(world, s, RUB_MSG_PUSH, message[s]));
        if (row[s] == frame.header.n_keys) {
            frame = rub_packet_frame(world_find(world, s, RUB_MSG_PUSH, ++message[s]));
            row[s] = 0;
        }
        assert_true(frame.values_bytes <= RUB_MESSAGE_VALUES);
        assert_int_equal(rub_get_u64(frame.keys + 8 * row[s]), key);
        assert_memory_equal(frame.values + row[s] * width * sizeof(float), sum,
                            width * sizeof(float));
        row[s]++;
        n_rows++;
    }
    for (size_t i = 0; i < world->n_sent; i++) {
        n_rows -= rub_packet_header(world->sent[i].packet)->n_keys;
    }
    assert_int_equal(n_rows, 0);
}

static void keys_in_any_order_arrive_once_with_the_sum_of_their_rows(void **state)
{
    RUB_UNUSED(state);
    enum { N = 2500, WIDTH = 64 };
    static world_t world;
    static uint64_t keys[N];
    static float values[N * WIDTH];
    static const uint64_t ranges[] = {2, 700, 100000, UINT64_MAX};
    rub_rng_t rng;
    rub_rng_init(&rng, 5, 6);
    for (size_t i = 0; i < N * WIDTH; i++) {
        values[i] = (float)rub_rng_below(&rng, 2000) / 999.0f - 1.0f;
    }
    for (uint32_t turn = 0; turn < 16; turn++) {
        const size_t n = turn / 4 % 3 ? N : rub_rng_below(&rng, 300);
        for (size_t i = 0; i < n; i++) {
            keys[i] = rub_rng_below(&rng, ranges[turn / 4]);
        }
        world_open(&world, turn % 4 + 1, RUB_TRAINER, RING);
        world.tables[1].width = WIDTH;
        world_join(&world);
        for (uint32_t i = 0; i < world.n_shards; i++) {
            world_welcome(&world, i, 0, 0);
        }
        world_forget(&world);
        const rub_client_push_t push = {.table = 2, .keys = keys, .n = n, .values = values};
        assert_int_equal(rub_client_push(world.client, &push, NULL, NULL), 0);
        check_rows(&world, &push, WIDTH);
        world_close(&world);
    }
}

/* A refused call leaves no trace, wherever the value stands that is no number: in a row that is
 * copied, or in one that is added to it. */
static void nan_among_repeats_is_refused_without_trace(void **state)
{
    RUB_UNUSED(state);
    for (uint32_t n_shards = 1; n_shards <= 2; n_shards++) {
        for (size_t bad = 0; bad < 10; bad++) {
            static world_t world;
            world_ready(&world, n_shards, RUB_TRAINER, RING);
            const uint64_t keys[] = {9, 2, 9, 4, 2};
            float values[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
            const rub_client_push_t push = {.table = 2, .keys = keys, .n = 5, .values = values};
            values[bad] = NAN;
            assert_int_equal(rub_client_push(world.client, &push, NULL, NULL), RUB_ENAN);
            assert_int_equal(world.n_sent, 0);
            values[bad] = 1;
            assert_int_equal(rub_client_push(world.client, &push, NULL, NULL), 0);
            check_rows(&world, &push, 2);
            world_close(&world);
        }
    }
}

static void wrong_shapes_are_refused(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 1, RUB_TRAINER, RING);
    static float values[2 * RUB_BLOCK];
    const uint64_t key = 5;
    const struct {
        rub_client_push_t push;
        int code;
    } cases[] = {
        {{.table = 9, .n = 1, .values = values}, RUB_ENOTABLE},
        {{.table = 1, .first = 1, .n = RUB_BLOCK, .values = values}, RUB_ESHAPE},
        {{.table = 1, .n = RUB_BLOCK + 1, .values = values}, RUB_ESHAPE},
        {{.table = 1, .first = 100 * RUB_BLOCK, .n = RUB_BLOCK, .values = values}, RUB_ESHAPE},
        {{.table = 1, .keys = &key, .n = 1, .values = values}, RUB_ESHAPE},
        {{.table = 2, .n = RUB_BLOCK, .values = values}, RUB_ESHAPE},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(cases); i++) {
        rub_error_t err = {0};
        assert_int_equal(rub_client_push(world.client, &cases[i].push, NULL, &err), cases[i].code);
        assert_true(strlen(err.message) > 10);
    }
    assert_int_equal(world.n_sent, 0);
    world_close(&world);
}

static void duplicates_are_summed_in_the_callers_order(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 2, RUB_TRAINER, RING);
    const uint64_t keys[] = {7, 8, 7, 9, 7};
    const float values[] = {1e8f, 1, 2, 2, 1, 1, 3, 3, -1e8f, 1};
    const rub_client_push_t push = {.table = 2, .keys = keys, .n = 5, .values = values};
    assert_int_equal(rub_client_push(world.client, &push, NULL, NULL), 0);
    size_t rows = 0;
    for (size_t i = 0; i < world.n_sent; i++) {
        const rub_frame_t frame = rub_packet_frame(world.sent[i].packet);
        for (uint32_t k = 0; k < frame.header.n_keys; k++, rows++) {
            float row[2];
            memcpy(row, frame.values + k * sizeof(row), sizeof(row));
            if (rub_get_u64(frame.keys + 8 * k) == 7) {
                volatile float sum = 1e8f; /* (1e8 + 1) - 1e8 is 0 in float32, in this order only */
                sum = sum + 1.0f;
                sum = sum + -1e8f;
                assert_true(row[0] == sum);
                assert_true(row[1] == 3.0f);
            }
        }
    }
    assert_int_equal(rows, 3);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nan_is_refused_without_trace),
        cmocka_unit_test(ranges_are_cut_at_block_borders),
        cmocka_unit_test(ascending_keys_are_cut_like_any_others),
        cmocka_unit_test(keys_in_any_order_arrive_once_with_the_sum_of_their_rows),
        cmocka_unit_test(nan_among_repeats_is_refused_without_trace),
        cmocka_unit_test(wrong_shapes_are_refused),
        cmocka_unit_test(duplicates_are_summed_in_the_callers_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
