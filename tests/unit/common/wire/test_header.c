/* The data plane's header: its bytes are pinned, its lengths are believed only when they agree. */
#include "common/base/check.h"
#include "common/base/rng.h"
#include "common/wire/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const rub_header_t SAMPLE = {
    .type = RUB_MSG_PUSH,
    .table = 0x0201,
    .flags = 0,
    .seq = UINT64_C(0x0807060504030201),
    .clock = 3,
    .mark = 4,
    .lsn = 5,
    .n_keys = 2,
    .value_bytes = 8,
};

static void header_bytes_are_pinned(void **state)
{
    (void)state;
    uint8_t out[RUB_HEADER_BYTES];
    rub_header_write(&SAMPLE, out);
    const uint8_t want[RUB_HEADER_BYTES] = {1, 2, 1, 2, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8,
                                            3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0,
                                            5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 8, 0, 0, 0};
    assert_memory_equal(out, want, sizeof(want));
}

/* Not by memory: what stands between the members is anything. */
static void expect_header(const rub_header_t *header, const rub_header_t *expected)
{
    uint8_t bytes[RUB_HEADER_BYTES], expected_bytes[RUB_HEADER_BYTES];
    rub_header_write(header, bytes);
    rub_header_write(expected, expected_bytes);
    assert_memory_equal(bytes, expected_bytes, sizeof(bytes));
}

static void one_frame_and_three_frames_say_the_same(void **state)
{
    (void)state;
    uint8_t bytes[RUB_HEADER_BYTES + 24];
    rub_header_write(&SAMPLE, bytes);
    memset(bytes + RUB_HEADER_BYTES, 7, 24);
    rub_frame_t one;
    rub_frame_t three;
    const rub_span_t whole = {bytes, sizeof(bytes)};
    const rub_span_t cut[3] = {{bytes, 48}, {bytes + 48, 16}, {bytes + 64, 8}};
    assert_int_equal(rub_frame_read(&whole, 1, &one, NULL), 0);
    assert_int_equal(rub_frame_read(cut, 3, &three, NULL), 0);
    expect_header(&one.header, &SAMPLE);
    expect_header(&three.header, &SAMPLE);
    assert_ptr_equal(one.keys, three.keys);
    assert_int_equal(one.keys_bytes, 16);
    assert_int_equal(three.keys_bytes, 16);
    assert_ptr_equal(one.values, three.values);
    assert_int_equal(one.values_bytes, three.values_bytes);
    assert_null(one.grant);
    assert_null(three.grant);
    assert_ptr_equal(one.values, bytes + 64);
}

static void expect_refusal(const rub_span_t *parts, size_t n, const char *words)
{
    rub_frame_t frame;
    rub_error_t err = {0};
    assert_int_equal(rub_frame_read(parts, n, &frame, &err), RUB_EPROTO);
    assert_non_null(strstr(err.message, words));
    assert_null(frame.values);
}

static void what_does_not_agree_is_refused_with_a_sentence(void **state)
{
    (void)state;
    static uint8_t bytes[RUB_MESSAGE_LIMIT + 1];
    rub_header_t header = SAMPLE;
    rub_header_write(&header, bytes);
    expect_refusal(&(rub_span_t){bytes, 71}, 1, "its 1 frames differ");
    expect_refusal(&(rub_span_t){bytes, 73}, 1, "its 1 frames differ");
    expect_refusal(&(rub_span_t){bytes, 47}, 1, "its header alone has 48");
    expect_refusal(&(rub_span_t){NULL, 0}, 1, "its header alone has 48");
    expect_refusal(&(rub_span_t){bytes, sizeof(bytes)}, 1, "limit 1048576");
    expect_refusal((rub_span_t[2]){{bytes, 48}, {bytes, 24}}, 2, "expected 1 or 3");
    expect_refusal(NULL, 0, "expected 1 or 3");
    expect_refusal((rub_span_t[3]){{bytes, 48}, {bytes, 8}, {bytes, 16}}, 3, "its 3 frames differ");
    bytes[0] = 9;
    expect_refusal(&(rub_span_t){bytes, 72}, 1, "version 9, expected 1");
    bytes[0] = RUB_PROTOCOL;
    bytes[1] = 200;
    expect_refusal(&(rub_span_t){bytes, 72}, 1, "unknown type 200");
    header.flags = RUB_FLAG_RANGE << 1;
    rub_header_write(&header, bytes);
    expect_refusal(&(rub_span_t){bytes, 72}, 1, "flags 2, of which ff39 are known");
    header.type = RUB_MSG_CLOCK; /* has no values that a codec could mean */
    header.flags = rub_codec_flags(2);
    rub_header_write(&header, bytes);
    expect_refusal(&(rub_span_t){bytes, 72}, 1, "flags 200, of which 1 are known");
    header = SAMPLE;
    header.flags = 0;
    header.n_keys = UINT32_MAX;
    header.value_bytes = UINT32_MAX;
    rub_header_write(&header, bytes);
    expect_refusal(&(rub_span_t){bytes, 72}, 1, "differ");
    header.flags = RUB_FLAG_RANGE;
    rub_header_write(&header, bytes);
    expect_refusal(&(rub_span_t){bytes, 72}, 1, "expected 1");
}

/* How many bytes of keys there are is still the header's word alone. */
static void packed_keys_are_fewer_bytes_than_plain_ones_or_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        uint32_t flags, n_keys;
        uint64_t mark;
        const char *words;
    } bad[] = {
        {RUB_MSG_PULL, RUB_FLAG_PACKED, 3, 8, "flags 8, of which ff31 are known"},
        {RUB_MSG_PUSH, RUB_FLAG_PACKED | RUB_FLAG_RANGE, 1, 0, "with a range says that its keys"},
        {RUB_MSG_PUSH, RUB_FLAG_PACKED, 3, 4, "3 keys in 4 bytes"},
        {RUB_MSG_PUSH, RUB_FLAG_PACKED, 3, 24, "3 keys in 24 bytes"},
        {RUB_MSG_PUSH, RUB_FLAG_PACKED, 0, 0, "0 keys in 0 bytes"},
        {RUB_MSG_PUSH, RUB_FLAG_PACKED, 9, 8, "9 keys in 8 bytes"},
        {RUB_MSG_PUSH, RUB_FLAG_PACKED, 131072, 8, "131072 keys in 8 bytes"},
        {RUB_MSG_PUSH, RUB_FLAG_PACKED, 131073, 8, "at most 131072 keys"},
        {RUB_MSG_PUSH, RUB_FLAG_PACKED, UINT32_MAX, UINT64_MAX - 7, "4294967295 keys in"},
    };
    uint8_t bytes[RUB_HEADER_BYTES + 8] = {0};
    rub_frame_t frame;
    for (size_t i = 0; i < RUB_COUNT_OF(bad); i++) {
        rub_header_write(&(rub_header_t){.type = bad[i].type,
                                         .flags = bad[i].flags,
                                         .n_keys = bad[i].n_keys,
                                         .mark = bad[i].mark},
                         bytes);
        expect_refusal(&(rub_span_t){bytes, sizeof(bytes)}, 1, bad[i].words);
    }
    rub_header_write(
        &(rub_header_t){.type = RUB_MSG_PUSH, .flags = RUB_FLAG_PACKED, .n_keys = 8, .mark = 8},
        bytes);
    assert_int_equal(rub_frame_read(&(rub_span_t){bytes, sizeof(bytes)}, 1, &frame, NULL), 0);
    assert_int_equal(frame.keys_bytes, 8);
    expect_refusal(&(rub_span_t){bytes, sizeof(bytes) - 1}, 1, "announces 8 bytes of keys");
}

static void a_digest_is_sixteen_bytes_whatever_it_stands_for(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        uint32_t flags, n_keys;
        const char *words;
    } bad[] = {
        {RUB_MSG_ROWS, RUB_FLAG_DIGEST, 3, "flags 10, of which ff01 are known"},
        {RUB_MSG_CLOCK, RUB_FLAG_REMEMBER, 3, "flags 20, of which 1 are known"},
        {RUB_MSG_PULL, RUB_FLAG_DIGEST | RUB_FLAG_RANGE, 1, "two things that exclude each other"},
        {RUB_MSG_PULL, RUB_FLAG_DIGEST | RUB_FLAG_REMEMBER, 3, "two things that exclude"},
        {RUB_MSG_PULL, RUB_FLAG_DIGEST, 131073, "a list of 131073 keys, at most 131072"},
        {RUB_MSG_PUSH, RUB_FLAG_DIGEST, 3, "announces 16 bytes of keys"}, /* 17 there */
        {RUB_MSG_PUSH, RUB_FLAG_REMEMBER, 3, "announces 24 bytes of keys"},
    };
    uint8_t bytes[RUB_HEADER_BYTES + 17] = {0};
    rub_frame_t frame;
    for (size_t i = 0; i < RUB_COUNT_OF(bad); i++) {
        rub_header_write(
            &(rub_header_t){.type = bad[i].type, .flags = bad[i].flags, .n_keys = bad[i].n_keys},
            bytes);
        expect_refusal(&(rub_span_t){bytes, sizeof(bytes)}, 1, bad[i].words);
    }
    rub_header_write(
        &(rub_header_t){.type = RUB_MSG_PULL, .flags = RUB_FLAG_DIGEST, .n_keys = 131072}, bytes);
    assert_int_equal(rub_frame_read(&(rub_span_t){bytes, sizeof(bytes) - 1}, 1, &frame, NULL), 0);
    assert_int_equal(frame.keys_bytes, 16);
}

static void a_range_has_sixteen_bytes_of_keys(void **state)
{
    (void)state;
    uint8_t bytes[RUB_HEADER_BYTES + 16] = {0};
    rub_frame_t frame;
    rub_header_write(&(rub_header_t){.type = RUB_MSG_PULL, .flags = RUB_FLAG_RANGE, .n_keys = 1},
                     bytes);
    assert_int_equal(rub_frame_read(&(rub_span_t){bytes, sizeof(bytes)}, 1, &frame, NULL), 0);
    assert_int_equal(frame.keys_bytes, 16);
    assert_int_equal(frame.values_bytes, 0);
}

static void random_bytes_never_reach_outside(void **state)
{
    (void)state;
    rub_rng_t rng;
    rub_rng_init(&rng, 11, 0);
    for (int i = 0; i < 200000; i++) {
        uint8_t bytes[RUB_HEADER_BYTES + 32];
        rub_header_t header = SAMPLE;
        header.n_keys = (uint32_t)rub_rng_below(&rng, 5);
        header.value_bytes = (uint32_t)rub_rng_below(&rng, 33);
        header.flags = rub_rng_u32(&rng) & (RUB_FLAG_RANGE | RUB_FLAG_CODEC | RUB_FLAG_PACKED);
        header.mark = rub_rng_below(&rng, 5) * 8;
        rub_header_write(&header, bytes);
        bytes[rub_rng_below(&rng, RUB_HEADER_BYTES)] = (uint8_t)rub_rng_u32(&rng);
        const rub_span_t part = {bytes, (size_t)rub_rng_below(&rng, sizeof(bytes) + 1)};
        rub_frame_t frame;
        if (rub_frame_read(&part, 1, &frame, NULL) == 0) {
            assert_ptr_equal(frame.values + frame.values_bytes, bytes + part.bytes);
            assert_ptr_equal(frame.keys + frame.keys_bytes, frame.values);
        }
    }
}

static void a_message_in_a_slot_says_where_it_lies(void **state)
{
    (void)state;
    uint8_t bytes[RUB_SLOT_MESSAGE_BYTES];
    rub_header_t header = SAMPLE;
    rub_slot_write(&header, (rub_slot_t){.lane = 7, .slot = 500}, bytes);
    const rub_span_t part = {bytes, sizeof(bytes)};
    rub_slot_t slot = {0};
    rub_frame_t frame;
    assert_true(rub_slot_is_meant(&part, 1));
    assert_int_equal(rub_slot_read(&part, &slot, &frame, NULL), 0);
    assert_int_equal(slot.lane, 7);
    assert_int_equal(slot.slot, 500);
    assert_int_equal(frame.header.flags, header.flags); /* nobody behind the lane sees it */
    assert_int_equal(frame.header.seq, header.seq);
    assert_int_equal(frame.values_bytes, header.value_bytes);
    assert_int_equal(frame.keys_bytes, rub_header_keys_bytes(&header));
    assert_null(frame.values);
}

static void a_message_in_a_slot_is_refused_where_there_is_no_lane(void **state)
{
    (void)state;
    uint8_t bytes[RUB_SLOT_MESSAGE_BYTES + 1] = {0};
    rub_header_t header = SAMPLE;
    rub_error_t err = {0};
    rub_slot_t slot;
    rub_frame_t frame;
    rub_slot_write(&header, (rub_slot_t){.lane = 1}, bytes);
    expect_refusal(&(rub_span_t){bytes, RUB_SLOT_MESSAGE_BYTES}, 1, "flags");
    const rub_span_t longer = {bytes, sizeof(bytes)}, empty = {bytes, 0};
    assert_false(rub_slot_is_meant(&longer, 1));
    assert_false(rub_slot_is_meant(&empty, 1));
    assert_int_equal(rub_slot_read(&longer, &slot, &frame, &err), RUB_EPROTO);
    assert_int_equal(rub_slot_read(&empty, &slot, &frame, &err), RUB_EPROTO);
    header.flags = 0;
    header.n_keys = UINT32_MAX;
    rub_slot_write(&header, (rub_slot_t){.lane = 1}, bytes);
    const rub_span_t part = {bytes, RUB_SLOT_MESSAGE_BYTES};
    assert_int_equal(rub_slot_read(&part, &slot, &frame, &err), RUB_EPROTO);
    assert_non_null(strstr(err.message, "limit"));
    header.n_keys = 1;
    header.value_bytes = RUB_MESSAGE_LIMIT + 4;
    rub_slot_write(&header, (rub_slot_t){.lane = 1}, bytes);
    assert_int_equal(rub_slot_read(&part, &slot, &frame, &err), RUB_EPROTO);
    bytes[5] = 0x40; /* a flag that nobody knows */
    assert_int_equal(rub_slot_read(&part, &slot, &frame, &err), RUB_EPROTO);
}

static void names_cover_both_planes(void **state)
{
    (void)state;
    assert_string_equal(rub_message_name(RUB_MSG_PUSH), "PUSH");
    assert_string_equal(rub_message_name(64), "JOIN");
    assert_string_equal(rub_message_name(0), "?");
    assert_string_equal(rub_message_name(UINT32_MAX), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_bytes_are_pinned),
        cmocka_unit_test(one_frame_and_three_frames_say_the_same),
        cmocka_unit_test(what_does_not_agree_is_refused_with_a_sentence),
        cmocka_unit_test(packed_keys_are_fewer_bytes_than_plain_ones_or_refused),
        cmocka_unit_test(a_digest_is_sixteen_bytes_whatever_it_stands_for),
        cmocka_unit_test(a_range_has_sixteen_bytes_of_keys),
        cmocka_unit_test(random_bytes_never_reach_outside),
        cmocka_unit_test(a_message_in_a_slot_says_where_it_lies),
        cmocka_unit_test(a_message_in_a_slot_is_refused_where_there_is_no_lane),
        cmocka_unit_test(names_cover_both_planes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
