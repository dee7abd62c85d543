/* A reader's cached tables, on a clock that the test turns: what travels, what does not, how old it
 * may be, and what makes a session forget. */
#include "tests/unit/worker/client/fake_world.h"
#include "worker/client/row_cache.h"

enum { TABLE = 2, AGE_MS = 100, CACHE_BYTES = 1 << 16 };
#define RING ((size_t)1 << 20)

static void ready(world_t *world, uint32_t n_shards)
{
    world_ready(world, n_shards, RUB_READER, RING);
    for (uint32_t i = 0; i < n_shards; i++) {
        world_welcome_back(world, i, 0, 0, 0, 1, 0, 0);
    }
    assert_int_equal(rub_client_table_cache(world->client, TABLE, CACHE_BYTES, AGE_MS, NULL), 0);
    world_forget(world);
}

static rub_handle_t pull(world_t *world, const uint64_t *keys, size_t n, float *values,
                         uint8_t *exists)
{
    const rub_client_pull_t call = {
        .table = TABLE, .keys = keys, .n = n, .values = values, .exists = exists};
    rub_handle_t handle = 0;
    rub_client_time(world->client, world->now_ms);
    assert_int_equal(rub_client_pull(world->client, &call, &handle, NULL), 0);
    return handle;
}

/* Every row of the answer is {10 * key + change, change}; odd keys were never pushed. */
static void answer_from(world_t *world, uint32_t shard, uint64_t change)
{
    rub_packet_t *asked = world_find(world, shard, RUB_MSG_PULL, 0);
    if (!asked) {
        return;
    }
    const rub_header_t *header = rub_packet_header(asked);
    const uint8_t *keys = rub_packet_keys(asked);
    uint8_t values[4096] = {0};
    const size_t bits = (header->n_keys + 7) / 8;
    for (uint32_t i = 0; i < header->n_keys; i++) {
        const uint64_t key = rub_get_u64(keys + (size_t)8 * i);
        const float row[2] = {(float)(10 * key + change), (float)change};
        memcpy(values + bits + i * sizeof(row), row, sizeof(row));
        values[i / 8] |= (uint8_t)((key % 2 == 0) << i % 8);
    }
    const rub_header_t rows = {.type = RUB_MSG_ROWS,
                               .seq = header->seq,
                               .lsn = (UINT64_C(1) << 40) + change,
                               .value_bytes =
                                   (uint32_t)(bits + header->n_keys * 2 * sizeof(float))};
    world_hear(world, shard, &rows, values);
}

/* Pulls one row of a session with one shard, which answers change when it is asked. Returns which
 * change the row showed; *asked_p: whether it travelled. */
static uint64_t read_one(world_t *world, uint64_t key, uint64_t change, bool *asked_p)
{
    float row[2] = {-1, -1};
    uint8_t exists = 9;
    const rub_handle_t handle = pull(world, &key, 1, row, &exists);
    *asked_p = world_count(world, 0, RUB_MSG_PULL) > 0;
    if (*asked_p) {
        assert_int_equal(world_poll(world, handle), RUB_CLIENT_WAIT);
        answer_from(world, 0, change);
    }
    assert_int_equal(world_poll(world, handle), 0);
    assert_true(row[0] == (float)(10 * key) + row[1]);
    assert_int_equal(exists, key % 2 == 0);
    world_forget(world);
    return (uint64_t)row[1];
}

static void a_cache_is_refused_with_the_reason(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    rub_error_t err = {0};
    world_ready(&world, 1, RUB_READER, RING);
    assert_int_equal(rub_client_table_cache(world.client, 9, 1 << 20, 1, &err), RUB_ENOTABLE);
    assert_int_equal(rub_client_table_cache(world.client, 1, 1 << 20, 1, &err), RUB_ESHAPE);
    assert_int_equal(rub_client_table_cache(world.client, TABLE, 1 << 20, 0, &err), RUB_EINVAL);
    assert_int_equal(rub_client_table_cache(world.client, TABLE, 10, 1, &err), RUB_EINVAL);
    char wanted[100];
    snprintf(wanted, sizeof(wanted), "cache of 'rows': 10 bytes, a single row needs %zu",
             rub_row_cache_least_bytes(2));
    assert_string_equal(err.message, wanted);
    world_close(&world);
    world_ready(&world, 1, RUB_TRAINER, RING);
    assert_int_equal(rub_client_table_cache(world.client, TABLE, 1 << 20, 1, &err), RUB_EINVAL);
    assert_string_equal(err.message,
                        "cache of 'rows': only a reader may have one, this session is a trainer");
    world_close(&world);
}

static void without_a_cache_every_pull_travels(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    bool asked = false;
    world_ready(&world, 1, RUB_READER, RING);
    for (int i = 0; i < 3; i++) {
        (void)read_one(&world, 4, 1, &asked);
        assert_true(asked);
    }
    world_close(&world);
    ready(&world, 1);
    (void)read_one(&world, 4, 1, &asked);
    assert_int_equal(rub_client_table_cache(world.client, TABLE, 0, 0, NULL), 0); /* off again */
    (void)read_one(&world, 4, 1, &asked);
    assert_true(asked);
    world_close(&world);
}

static void a_row_is_used_until_it_is_as_old_as_allowed_and_no_longer(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    bool asked = false;
    ready(&world, 1);
    assert_int_equal(read_one(&world, 4, 1, &asked), 1);
    assert_true(asked);
    world.now_ms += AGE_MS - 1;
    assert_int_equal(read_one(&world, 4, 2, &asked), 1);
    assert_false(asked);
    world.now_ms += 1;
    assert_int_equal(read_one(&world, 4, 2, &asked), 2);
    assert_true(asked);
    world_close(&world);
}

/* The shard's changes are as many as milliseconds have passed: each row says when it was read
 * there. */
static void no_row_is_ever_older_than_the_bound_nor_older_than_one_read_before(void **state)
{
    RUB_UNUSED(state);
    enum { KEYS = 50 };
    static world_t world;
    uint64_t seen[KEYS] = {0}, hits = 0;
    ready(&world, 1);
    const uint64_t began_ms = world.now_ms;
    for (uint64_t step = 0; step < 5000; step++) {
        bool asked = false;
        const uint64_t draw = step * UINT64_C(0x9e3779b97f4a7c15) >> 33, key = draw % KEYS;
        world.now_ms += draw / KEYS % 4;
        const uint64_t now = world.now_ms - began_ms, read = read_one(&world, key, now, &asked);
        assert_true(now - read < AGE_MS);
        assert_true(read >= seen[key]);
        seen[key] = read;
        hits += !asked;
    }
    assert_true(hits > 1000);
    assert_true(hits < 4500);
    world_close(&world);
}

/* A pull of row 4; so much passes, and a new scheduler's view comes, before it is answered with 1.
 */
static void read_slowly(world_t *world, uint64_t ms, bool new_view)
{
    float row[2];
    const uint64_t key = 4;
    const rub_handle_t handle = pull(world, &key, 1, row, NULL);
    world->now_ms += ms;
    if (new_view) {
        world->view.generation++;
        world_show_view(world);
    }
    answer_from(world, 0, 1);
    assert_int_equal(world_poll(world, handle), 0);
    assert_true(row[1] == 1);
    world_forget(world);
}

static void age_is_counted_from_the_asking_not_from_the_answer(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    bool asked = false;
    ready(&world, 1);
    read_slowly(&world, AGE_MS - 1, false);
    (void)read_one(&world, 4, 1, &asked);
    assert_false(asked);
    world.now_ms += 1;
    (void)read_one(&world, 4, 1, &asked);
    assert_true(asked);
    world_close(&world);
}

static void only_missing_keys_travel_and_all_rows_come_in_the_callers_order(void **state)
{
    RUB_UNUSED(state);
    for (uint32_t n_shards = 1; n_shards <= 3; n_shards += 2) {
        enum { N = 40 };
        static world_t world;
        uint64_t keys[N];
        float values[N][2];
        uint8_t exists[N];
        ready(&world, n_shards);
        for (uint64_t i = 0; i < N; i++) {
            keys[i] = i * 7 % N;
        }
        for (uint64_t change = 1; change <= 2; change++) {
            const size_t first = change == 1 ? N / 4 : 0, n = change == 1 ? N / 2 : N;
            const rub_handle_t handle =
                pull(&world, keys + first, n, values[first], exists + first);
            size_t travelled = 0;
            for (uint32_t s = 0; s < n_shards; s++) {
                const rub_packet_t *asked = world_find(&world, s, RUB_MSG_PULL, 0);
                travelled += asked ? rub_packet_header(asked)->n_keys : 0;
            }
            assert_int_equal(travelled, N / 2);
            for (uint32_t s = 0; s < n_shards; s++) {
                answer_from(&world, s, change);
            }
            assert_int_equal(world_poll(&world, handle), 0);
            world_forget(&world);
        }
        for (size_t i = 0; i < N; i++) {
            const uint64_t change = i >= N / 4 && i < N / 4 + N / 2 ? 1 : 2;
            assert_true(values[i][0] == (float)(10 * keys[i] + change));
            assert_true(values[i][1] == (float)change);
            assert_int_equal(exists[i], keys[i] % 2 == 0);
        }
        rub_stats_t stats;
        rub_client_stats(world.client, &stats);
        assert_int_equal(stats.cache_hits, N / 2);
        assert_int_equal(stats.cache_misses, N);
        assert_int_equal(stats.pull_bytes, N * 2 * sizeof(float)); /* what has travelled */
        assert_true(stats.cache_bytes > 0 && stats.cache_bytes <= CACHE_BYTES);
        world_close(&world);
    }
}

/* Whether a row that was read is asked for again behind the view as it is now. */
static bool forgets(world_t *world, uint64_t change)
{
    bool asked = false;
    world_show_view(world);
    world_forget(world);
    (void)read_one(world, 4, change, &asked);
    return asked;
}

static void a_view_that_moves_what_is_behind_the_rows_makes_it_forget(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    bool asked = false;
    ready(&world, 1);
    (void)read_one(&world, 4, 1, &asked);
    world.view.generation++;
    assert_true(forgets(&world, 2));
    world.shards[0].incarnation = 0; /* as of one that is not there */
    assert_true(forgets(&world, 3));
    world.shards[0].incarnation = 1;
    assert_true(forgets(&world, 4));
    snprintf(world.shards[0].address, 128, "tcp://elsewhere:2");
    world_show_view(&world);
    world_welcome_back(&world, 0, 0, 0, 0, 1, 0, 0);
    world_forget(&world);
    assert_int_equal(read_one(&world, 4, 5, &asked), 5);
    assert_true(asked);
    world_close(&world);
}

/* A snapshot begins, is cut and ends; ranks come and go. */
static void a_view_that_is_about_others_leaves_it_its_rows(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    bool asked = false;
    ready(&world, 1);
    (void)read_one(&world, 4, 1, &asked);
    world.view.snapshot = 3;
    assert_false(forgets(&world, 2));
    world.view.snapshot_cut = 9;
    assert_false(forgets(&world, 2));
    world.view.snapshot = world.view.snapshot_cut = 0;
    assert_false(forgets(&world, 2));
    world.ranks[1].epoch = 2;
    world.ranks[0].state = RUB_RANK_DONE;
    assert_false(forgets(&world, 2));
    world.now_ms += AGE_MS; /* the bound holds across all of them */
    assert_true(forgets(&world, 2));
    world_close(&world);
}

static void a_shard_that_was_started_again_makes_it_forget(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    bool asked = false;
    ready(&world, 1);
    assert_int_equal(read_one(&world, 4, 7, &asked), 7);
    world_welcome_back(&world, 0, 0, 0, 0, 1, 0, 0); /* the same one said it again */
    assert_int_equal(read_one(&world, 4, 7, &asked), 7);
    assert_false(asked);
    world_welcome_back(&world, 0, 0, 0, 0, 2, (UINT64_C(1) << 40) + 3, 0);
    world_forget(&world);
    assert_int_equal(read_one(&world, 4, 3, &asked), 3); /* what it has now, not what it had */
    assert_true(asked);
    world_close(&world);
}

static void an_answer_that_was_asked_for_before_a_change_is_not_kept(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    bool asked = false;
    ready(&world, 1);
    read_slowly(&world, 0, true);
    (void)read_one(&world, 4, 2, &asked);
    assert_true(asked);
    world_close(&world);
}

static void another_codec_makes_it_forget(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    ready(&world, 1);
    bool asked = false;
    (void)read_one(&world, 4, 1, &asked);
    assert_int_equal(
        rub_client_table_codec(world.client, TABLE, RUB_CODEC_F32, RUB_CODEC_BF16, NULL), 0);
    float row[2];
    const uint64_t key = 4;
    const rub_handle_t handle = pull(&world, &key, 1, row, NULL);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PULL), 1);
    assert_int_equal(rub_client_cancel(world.client, handle, NULL), 0);
    world_close(&world);
}

static void a_cancelled_pull_leaves_nothing_behind(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    bool asked = false;
    float row[2];
    const uint64_t key = 4;
    ready(&world, 1);
    const rub_handle_t handle = pull(&world, &key, 1, row, NULL);
    assert_int_equal(rub_client_cancel(world.client, handle, NULL), 0);
    answer_from(&world, 0, 1); /* too late */
    world_forget(&world);
    (void)read_one(&world, 4, 2, &asked);
    assert_true(asked);
    world_close(&world);
}

static void a_duplicated_key_gets_its_row_twice(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    const uint64_t keys[] = {4, 4, 6, 4};
    float rows[4][2];
    ready(&world, 1);
    for (int round = 0; round < 2; round++) {
        const rub_handle_t handle = pull(&world, keys, 4, rows[0], NULL);
        if (round == 0) {
            answer_from(&world, 0, 1);
        }
        assert_int_equal(world_poll(&world, handle), 0);
        for (size_t i = 0; i < 4; i++) {
            assert_true(rows[i][0] == (float)(10 * keys[i] + 1));
        }
        memset(rows, 0, sizeof(rows));
    }
    assert_int_equal(world_count(&world, 0, RUB_MSG_PULL), 1);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cache_is_refused_with_the_reason),
        cmocka_unit_test(without_a_cache_every_pull_travels),
        cmocka_unit_test(a_row_is_used_until_it_is_as_old_as_allowed_and_no_longer),
        cmocka_unit_test(no_row_is_ever_older_than_the_bound_nor_older_than_one_read_before),
        cmocka_unit_test(age_is_counted_from_the_asking_not_from_the_answer),
        cmocka_unit_test(only_missing_keys_travel_and_all_rows_come_in_the_callers_order),
        cmocka_unit_test(a_view_that_moves_what_is_behind_the_rows_makes_it_forget),
        cmocka_unit_test(a_view_that_is_about_others_leaves_it_its_rows),
        cmocka_unit_test(a_shard_that_was_started_again_makes_it_forget),
        cmocka_unit_test(an_answer_that_was_asked_for_before_a_change_is_not_kept),
        cmocka_unit_test(another_codec_makes_it_forget),
        cmocka_unit_test(a_cancelled_pull_leaves_nothing_behind),
        cmocka_unit_test(a_duplicated_key_gets_its_row_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
