/* Keys said by their digest: only to a shard that grants it, only once it was told them on this
 * connection, and in full again whenever it might not know them. */
#include "common/wire/key_digest.h"
#include "tests/unit/worker/client/fake_world.h"

enum { RING = 64 << 20, N = 3 };

static const uint64_t keys[N] = {9, 4, 700};
static const float ones[2 * N] = {1, 2, 3, 4, 5, 6};

static void welcome(world_t *world, uint64_t applied, size_t values_bytes)
{
    uint8_t values[52] = {0};
    rub_put_u64(values, 1 << 20);
    rub_put_u32(values + 16, RUB_DURABILITY_JOURNAL);
    rub_put_u64(values + 36, 1);
    rub_put_u64(values + 44, 1 << 20);
    const rub_header_t header = {.type = RUB_MSG_WELCOME,
                                 .seq = applied,
                                 .mark = applied,
                                 .lsn = UINT64_C(1) << 40,
                                 .value_bytes = (uint32_t)values_bytes};
    world_hear(world, 0, &header, values);
}

/* One shard, which grants a MiB of lists if its WELCOME is long enough. */
static void ready(world_t *world, size_t values_bytes)
{
    world_open(world, 1, RUB_TRAINER, RING);
    const rub_handle_t handle = world_join(world);
    welcome(world, 0, values_bytes);
    assert_int_equal(world_poll(world, handle), 0);
    world_forget(world);
}

static void push(world_t *world)
{
    const rub_client_push_t call = {.table = 2, .keys = keys, .n = N, .values = ones};
    assert_int_equal(rub_client_push(world->client, &call, NULL, NULL), 0);
}

static rub_handle_t pull(world_t *world, float *values)
{
    const rub_client_pull_t call = {.table = 2, .keys = keys, .n = N, .values = values};
    rub_handle_t handle;
    assert_int_equal(rub_client_pull(world->client, &call, &handle, NULL), 0);
    return handle;
}

/* The last message that went out, of that form, with the keys and a push's values in it. */
static rub_frame_t sent(const world_t *world, uint8_t type, uint32_t form)
{
    const rub_frame_t frame = rub_packet_frame(world->sent[world->n_sent - 1].packet);
    assert_int_equal(frame.header.type, type);
    assert_int_equal(frame.header.n_keys, N);
    assert_int_equal(frame.header.flags & (RUB_FLAG_DIGEST | RUB_FLAG_REMEMBER), form);
    if (form == RUB_FLAG_DIGEST) {
        const rub_key_digest_t want = rub_key_digest_of((const uint8_t *)keys, N);
        const rub_key_digest_t is = rub_key_digest_read(frame.keys);
        assert_int_equal(frame.keys_bytes, RUB_KEY_DIGEST_BYTES);
        assert_true(rub_key_digest_equal(&want, &is));
    } else {
        assert_int_equal(frame.keys_bytes, sizeof(keys));
        assert_memory_equal(frame.keys, keys, sizeof(keys));
    }
    if (type == RUB_MSG_PUSH) {
        assert_int_equal(frame.values_bytes, sizeof(ones));
        assert_memory_equal(frame.values, ones, sizeof(ones));
    }
    return frame;
}

static void unknown_and_granted(world_t *world, uint8_t type, uint64_t seq, uint64_t lists_bytes)
{
    uint8_t values[8];
    rub_put_u64(values, lists_bytes);
    const rub_header_t header = {
        .type = RUB_MSG_KEYS_UNKNOWN, .seq = seq, .mark = type, .value_bytes = sizeof(values)};
    world_hear(world, 0, &header, values);
}

static void unknown(world_t *world, uint8_t type, uint64_t seq)
{
    unknown_and_granted(world, type, seq, 1 << 20);
}

/* Three pushes: the third is short. */
static void push_until_short(world_t *world)
{
    push(world);
    (void)sent(world, RUB_MSG_PUSH, 0);
    push(world);
    (void)sent(world, RUB_MSG_PUSH, RUB_FLAG_REMEMBER);
    push(world);
    (void)sent(world, RUB_MSG_PUSH, RUB_FLAG_DIGEST);
}

static void a_shard_that_grants_nothing_always_gets_keys(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    ready(&world, 44); /* as an older shard says it */
    for (int i = 0; i < 4; i++) {
        push(&world);
        (void)sent(&world, RUB_MSG_PUSH, 0);
    }
    world_close(&world);
}

static void a_list_that_was_told_in_pushes_is_short_in_pulls_too(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    float values[2 * N];
    ready(&world, 52);
    push_until_short(&world);
    const rub_handle_t handle = pull(&world, values);
    (void)sent(&world, RUB_MSG_PULL, RUB_FLAG_DIGEST);
    world_rows(&world, 0, world.sent[world.n_sent - 1].packet, N, 2, ones, 0);
    assert_int_equal(world_poll(&world, handle), 0);
    assert_memory_equal(values, ones, sizeof(ones));
    world_close(&world);
}

static void an_unknown_pull_is_asked_again_with_its_keys_under_its_id(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    float values[2 * N];
    ready(&world, 52);
    push_until_short(&world);
    const rub_handle_t handle = pull(&world, values);
    const uint64_t id = sent(&world, RUB_MSG_PULL, RUB_FLAG_DIGEST).header.seq;
    unknown(&world, RUB_MSG_PULL, id + 1); /* of nobody */
    const size_t n_sent = world.n_sent;
    unknown(&world, RUB_MSG_PULL, id);
    assert_int_equal(world.n_sent, n_sent + 1);
    assert_int_equal(sent(&world, RUB_MSG_PULL, 0).header.seq, id);
    world_rows(&world, 0, world.sent[world.n_sent - 1].packet, N, 2, ones, 0);
    assert_int_equal(world_poll(&world, handle), 0);
    push(&world); /* and is told once more */
    (void)sent(&world, RUB_MSG_PUSH, RUB_FLAG_REMEMBER);
    world_close(&world);
}

static void an_unknown_push_comes_again_with_its_keys_and_all_that_follows(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    ready(&world, 52);
    push_until_short(&world);
    push(&world);
    assert_int_equal(sent(&world, RUB_MSG_PUSH, RUB_FLAG_DIGEST).header.seq, 4);
    unknown(&world, RUB_MSG_PUSH, 3);
    assert_int_equal(world.n_sent, 6);
    const rub_frame_t third = rub_packet_frame(world.sent[4].packet);
    assert_int_equal(third.header.seq, 3);
    assert_memory_equal(third.keys, keys, sizeof(keys));
    assert_memory_equal(third.values, ones, sizeof(ones));
    assert_int_equal(sent(&world, RUB_MSG_PUSH, 0).header.seq, 4);
    world_ack(&world, 0, 4, 0);
    unknown(&world, RUB_MSG_PUSH, 3); /* of a time long past */
    assert_int_equal(world.n_sent, 6);
    world_close(&world);
}

static void what_is_not_granted_any_more_is_not_told_again(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    ready(&world, 52);
    push_until_short(&world);
    unknown_and_granted(&world, RUB_MSG_PUSH, 3, rub_key_list_bytes(N)); /* we take 3/4 */
    for (int i = 0; i < 3; i++) {
        push(&world);
        (void)sent(&world, RUB_MSG_PUSH, 0);
    }
    world_close(&world);
}

static void after_a_new_welcome_everything_has_its_keys_again(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    float values[2 * N];
    ready(&world, 52);
    push_until_short(&world);
    const rub_handle_t handle = pull(&world, values);
    const rub_header_t rehello = {.type = RUB_MSG_REHELLO};
    world_hear(&world, 0, &rehello, NULL);
    unknown(&world, RUB_MSG_PUSH, 3); /* of the connection before: WELCOME says it all */
    world_forget(&world);
    welcome(&world, 2, 52);
    assert_int_equal(world.n_sent, 2);
    const rub_frame_t third = rub_packet_frame(world.sent[0].packet);
    assert_int_equal(third.header.seq, 3);
    assert_int_equal(third.header.flags & RUB_FLAG_DIGEST, 0);
    assert_memory_equal(third.keys, keys, sizeof(keys));
    (void)sent(&world, RUB_MSG_PULL, 0);
    world_rows(&world, 0, world.sent[1].packet, N, 2, ones, 0);
    assert_int_equal(world_poll(&world, handle), 0);
    push(&world);
    (void)sent(&world, RUB_MSG_PUSH, RUB_FLAG_REMEMBER);
    world_close(&world);
}

static void a_list_that_waits_in_the_ring_is_not_told_yet(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    float values[2 * N];
    ready(&world, 52);
    push(&world);
    const uint8_t code[4] = {0};
    const rub_header_t postponed = {
        .type = RUB_MSG_POSTPONED, .seq = 1, .value_bytes = sizeof(code)};
    world_hear(&world, 0, &postponed, code);
    push(&world); /* stays here */
    const rub_handle_t handle = pull(&world, values);
    (void)sent(&world, RUB_MSG_PULL, RUB_FLAG_REMEMBER);
    world_rows(&world, 0, world.sent[world.n_sent - 1].packet, N, 2, ones, 0);
    assert_int_equal(world_poll(&world, handle), 0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_that_grants_nothing_always_gets_keys),
        cmocka_unit_test(a_list_that_was_told_in_pushes_is_short_in_pulls_too),
        cmocka_unit_test(an_unknown_pull_is_asked_again_with_its_keys_under_its_id),
        cmocka_unit_test(an_unknown_push_comes_again_with_its_keys_and_all_that_follows),
        cmocka_unit_test(what_is_not_granted_any_more_is_not_told_again),
        cmocka_unit_test(after_a_new_welcome_everything_has_its_keys_again),
        cmocka_unit_test(a_list_that_waits_in_the_ring_is_not_told_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
