/* Packets whose keys are a digest, and the same messages in full. */
#include "common/base/check.h"
#include "common/wire/key_digest.h"
#include "common/wire/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N = 3 };

static const uint64_t keys[N] = {9, 4, 700};
static const float ones[N] = {1, 2, 3};

static void release(void *context, uint8_t *bytes, bool handed_over)
{
    RUB_UNUSED(bytes);
    assert_false(handed_over);
    ++*(int *)context;
}

/* A push of ones whose keys are a digest, in a place. */
static rub_packet_t *short_push(rub_packet_place_t place)
{
    const rub_header_t plain = {.type = RUB_MSG_PULL, .n_keys = N};
    const rub_header_t header = {.type = RUB_MSG_PUSH,
                                 .flags = RUB_FLAG_DIGEST,
                                 .seq = 5,
                                 .n_keys = N,
                                 .value_bytes = sizeof(ones)};
    rub_packet_t *list = rub_packet_new(&plain, sizeof(keys), 0);
    rub_packet_t *packet = rub_packet_new_at(&header, RUB_KEY_DIGEST_BYTES, sizeof(ones), &place);
    assert_non_null(list);
    assert_non_null(packet);
    memcpy(rub_packet_keys(list), keys, sizeof(keys));
    memcpy(rub_packet_values(packet), ones, sizeof(ones));
    rub_packet_stand_for(packet, list);
    rub_packet_unref(&list);
    return packet;
}

static void a_short_packet_in_full_is_the_same_message_with_its_keys(void **state)
{
    RUB_UNUSED(state);
    _Alignas(16) uint8_t bytes[256];
    int n_released = 0;
    rub_packet_t *packet = short_push(
        (rub_packet_place_t){.bytes = bytes, .release = release, .context = &n_released});
    rub_packet_t *full = rub_packet_in_full(packet);
    assert_non_null(full);
    const rub_frame_t frame = rub_packet_frame(full);
    assert_false(rub_packet_is_short(full));
    assert_int_equal(frame.header.seq, 5);
    assert_int_equal(frame.header.flags, 0);
    assert_int_equal(frame.keys_bytes, sizeof(keys));
    assert_memory_equal(frame.keys, keys, sizeof(keys));
    assert_int_equal(frame.values_bytes, sizeof(ones));
    assert_memory_equal(frame.values, ones, sizeof(ones));
    assert_int_equal(rub_packet_full_bytes(packet), rub_packet_bytes(full).bytes);
    rub_packet_unref(&packet);
    rub_packet_unref(&full);
    assert_int_equal(n_released, 1);
}

/* The shard may not have come to it yet: with another message in it, it would find a stranger. */
static void the_place_of_a_short_packet_is_kept_as_long_as_it_is_said_in_full(void **state)
{
    RUB_UNUSED(state);
    _Alignas(16) uint8_t bytes[256];
    int n_released = 0;
    rub_packet_t *packet = short_push(
        (rub_packet_place_t){.bytes = bytes, .release = release, .context = &n_released});
    rub_packet_t *full = rub_packet_in_full(packet);
    assert_non_null(full);
    rub_packet_unref(&packet);
    assert_int_equal(n_released, 0);
    rub_packet_unref(&full);
    assert_int_equal(n_released, 1);
}

static void give_back(void *context)
{
    ++*(int *)context;
}

static void lent_values_are_given_back_once_by_whoever_lets_go_last(void **state)
{
    RUB_UNUSED(state);
    int n_released = 0;
    const rub_packet_loan_t loan = {.values = ones, .release = give_back, .context = &n_released};
    const rub_header_t plain = {.type = RUB_MSG_PULL, .n_keys = N};
    const rub_header_t header = {
        .type = RUB_MSG_PUSH, .flags = RUB_FLAG_DIGEST, .n_keys = N, .value_bytes = sizeof(ones)};
    rub_packet_t *list = rub_packet_new(&plain, sizeof(keys), 0);
    rub_packet_t *packet = rub_packet_new_lent(&header, RUB_KEY_DIGEST_BYTES, sizeof(ones), &loan);
    memcpy(rub_packet_keys(list), keys, sizeof(keys));
    rub_packet_stand_for(packet, list);
    rub_packet_unref(&list);
    rub_packet_t *full = rub_packet_in_full(packet);
    rub_packet_unref(&packet);
    assert_int_equal(n_released, 0);
    rub_span_t parts[3];
    rub_frame_t frame;
    assert_int_equal(rub_packet_parts(full, parts), 3);
    assert_int_equal(rub_frame_read(parts, 3, &frame, NULL), 0);
    assert_ptr_equal(frame.values, ones);
    assert_memory_equal(frame.keys, keys, sizeof(keys));
    assert_int_equal(rub_packet_size(full), RUB_HEADER_BYTES + sizeof(keys) + sizeof(ones));
    rub_packet_unref(&full);
    assert_int_equal(n_released, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_packet_in_full_is_the_same_message_with_its_keys),
        cmocka_unit_test(the_place_of_a_short_packet_is_kept_as_long_as_it_is_said_in_full),
        cmocka_unit_test(lent_values_are_given_back_once_by_whoever_lets_go_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
