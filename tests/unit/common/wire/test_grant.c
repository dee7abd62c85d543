/* Grants: whose the array is, before, while and after it is written, and which bytes are none. */
#include "common/base/check.h"
#include "common/wire/grant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { ROWS = 64, WIDTH = 4, RACES = 300 };

static rub_grant_t *open_grant(float *values, const uint32_t *positions)
{
    rub_grant_t *grant = rub_grant_new();
    assert_non_null(grant);
    rub_grant_open(grant,
                   &(rub_grant_place_t){
                       .values = values, .positions = positions, .n_rows = ROWS, .width = WIDTH});
    return grant;
}

static void a_grant_is_taken_once_and_done_when_it_is_finished(void **state)
{
    RUB_UNUSED(state);
    float values[ROWS * WIDTH];
    rub_grant_place_t place;
    rub_grant_t *grant = open_grant(values, NULL);
    assert_false(rub_grant_is_done(grant));
    assert_true(rub_grant_take(grant, ROWS, WIDTH, false, &place));
    assert_ptr_equal(place.values, values);
    assert_null(place.positions);
    assert_false(rub_grant_is_done(grant));
    assert_false(rub_grant_take(grant, ROWS, WIDTH, false, &place));
    rub_grant_finish(grant);
    assert_true(rub_grant_is_done(grant));
    assert_false(rub_grant_take(grant, ROWS, WIDTH, false, &place)); /* its message came twice */
    assert_true(rub_grant_revoke(grant)); /* afterwards: it was written */
    assert_true(rub_grant_is_done(grant));
    rub_grant_unref(&grant);
    assert_null(grant);
    rub_grant_unref(&grant);
}

static void what_is_not_open_or_revoked_before_is_never_written(void **state)
{
    RUB_UNUSED(state);
    float values[ROWS * WIDTH];
    rub_grant_place_t place;
    rub_grant_t *grant = rub_grant_new();
    assert_false(rub_grant_take(grant, 0, 0, false, &place));
    assert_false(rub_grant_revoke(grant));
    rub_grant_unref(&grant);
    grant = open_grant(values, NULL);
    assert_false(rub_grant_revoke(grant));
    assert_false(rub_grant_take(grant, ROWS, WIDTH, false, &place));
    assert_false(rub_grant_revoke(grant));
    assert_false(rub_grant_is_done(grant));
    rub_grant_unref(&grant);
}

static void rows_of_another_shape_are_not_written(void **state)
{
    RUB_UNUSED(state);
    float values[ROWS * WIDTH];
    const uint32_t positions[ROWS] = {0};
    rub_grant_place_t place;
    rub_grant_t *grant = open_grant(values, positions);
    assert_false(rub_grant_take(grant, ROWS + 1, WIDTH, false, &place));
    assert_false(rub_grant_take(grant, ROWS - 1, WIDTH, false, &place));
    assert_false(rub_grant_take(grant, ROWS, WIDTH + 1, false, &place));
    assert_false(rub_grant_take(grant, ROWS, WIDTH, true, &place)); /* a range has no positions */
    assert_true(rub_grant_take(grant, ROWS, WIDTH, false, &place)); /* it is open still */
    assert_ptr_equal(place.positions, positions);
    rub_grant_finish(grant);
    rub_grant_unref(&grant);
}

typedef struct gather {
    rub_grant_t *grant;
    bool took;
    atomic_bool has_tried, has_written;
} gather_t;

static void *gather_slowly(void *context)
{
    gather_t *self = context;
    rub_grant_place_t place;
    self->took = rub_grant_take(self->grant, ROWS, WIDTH, false, &place);
    atomic_store(&self->has_tried, true);
    if (!self->took) {
        return NULL;
    }
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    memset(place.values, 1, ROWS * WIDTH * sizeof(float));
    atomic_store(&self->has_written, true);
    rub_grant_finish(self->grant);
    return NULL;
}

static void who_revokes_while_it_is_written_waits_for_the_end(void **state)
{
    RUB_UNUSED(state);
    float values[ROWS * WIDTH] = {0};
    gather_t gather = {.grant = open_grant(values, NULL)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, gather_slowly, &gather), 0);
    while (!atomic_load(&gather.has_tried)) {
        (void)sched_yield();
    }
    assert_true(gather.took);
    assert_true(rub_grant_revoke(gather.grant));
    assert_true(atomic_load(&gather.has_written));
    assert_int_equal(pthread_join(thread, NULL), 0);
    rub_grant_unref(&gather.grant);
}

typedef struct race {
    rub_grant_t *grants[RACES];
    atomic_int round;
} race_t;

static void *gather_at_once(void *context)
{
    race_t *race = context;
    for (int i = 0; i < RACES; i++) {
        rub_grant_place_t place;
        while (atomic_load(&race->round) < i) {
            (void)sched_yield();
        }
        if (rub_grant_take(race->grants[i], ROWS, WIDTH, false, &place)) {
            for (size_t k = 0; k < ROWS * WIDTH; k++) {
                place.values[k] = (float)(i + 1);
            }
            rub_grant_finish(race->grants[i]);
        }
        rub_grant_unref(&race->grants[i]); /* the message's */
    }
    return NULL;
}

static void a_revoked_array_holds_all_of_the_rows_or_none_for_good(void **state)
{
    RUB_UNUSED(state);
    static race_t race;
    float values[ROWS * WIDTH];
    rub_grant_t *ours[RACES];
    pthread_t thread;
    for (int i = 0; i < RACES; i++) {
        race.grants[i] = open_grant(values, NULL);
        ours[i] = rub_grant_ref(race.grants[i]);
    }
    atomic_init(&race.round, -1);
    assert_int_equal(pthread_create(&thread, NULL, gather_at_once, &race), 0);
    for (int i = 0; i < RACES; i++) {
        memset(values, 0, sizeof(values));
        atomic_store(&race.round, i);
        for (volatile int spin = 0; spin < i % 50 * 20; spin++) {
        }
        const float wanted = rub_grant_revoke(ours[i]) ? (float)(i + 1) : 0;
        for (size_t k = 0; k < ROWS * WIDTH; k++) {
            assert_true(values[k] == wanted);
            values[k] = -1; /* it is ours: a late write would race with this */
        }
        rub_grant_unref(&ours[i]);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static const rub_header_t PULL = {.type = RUB_MSG_PULL,
                                  .flags = RUB_FLAG_RANGE | RUB_FLAG_GRANT,
                                  .seq = 3,
                                  .n_keys = 1,
                                  .value_bytes = RUB_GRANT_BYTES};

static void a_message_of_this_process_bears_it_and_keeps_it_alive(void **state)
{
    RUB_UNUSED(state);
    float values[ROWS * WIDTH];
    rub_frame_t frame;
    rub_span_t parts[3];
    rub_grant_t *grant = open_grant(values, NULL);
    const rub_grant_t *same = grant;
    rub_packet_t *packet = rub_grant_packet(grant, &PULL, 16);
    assert_non_null(packet);
    memset(rub_packet_keys(packet), 0, 16);
    rub_grant_unref(&grant);
    assert_int_equal(rub_packet_parts(packet, parts), 3);
    assert_int_equal(rub_frame_read_in_process(parts, 3, &frame, NULL), 0);
    assert_ptr_equal(frame.grant, same);
    assert_int_equal(frame.header.flags, RUB_FLAG_RANGE); /* nobody else need know */
    assert_int_equal(frame.header.value_bytes, 0);
    assert_int_equal(frame.values_bytes, 0);
    assert_int_equal(frame.keys_bytes, 16);
    assert_false(rub_grant_revoke(frame.grant));
    rub_packet_unref(&packet); /* the last reference */
}

static void expect_refusal(const rub_span_t *parts, size_t n, bool in_process, const char *words)
{
    rub_frame_t frame;
    rub_error_t err = {0};
    assert_int_equal(in_process ? rub_frame_read_in_process(parts, n, &frame, &err)
                                : rub_frame_read(parts, n, &frame, &err),
                     RUB_EPROTO);
    assert_null(frame.grant);
    if (!strstr(err.message, words)) {
        fail_msg("'%s' does not say '%s'", err.message, words);
    }
}

/* The bytes themselves, where they are a grant, would do; from a wire they are refused unread. */
static void a_grant_that_came_through_a_wire_is_refused(void **state)
{
    RUB_UNUSED(state);
    float values[ROWS * WIDTH];
    rub_span_t parts[3];
    rub_slot_t slot;
    rub_frame_t frame;
    rub_grant_t *grant = open_grant(values, NULL);
    rub_packet_t *packet = rub_grant_packet(grant, &PULL, 16);
    assert_non_null(packet);
    (void)rub_packet_parts(packet, parts);
    expect_refusal(parts, 3, false, "PULL has flags 41, of which");
    uint8_t in_lane[RUB_SLOT_MESSAGE_BYTES]; /* nor in shared memory */
    rub_slot_write(&PULL, (rub_slot_t){1, 1}, in_lane);
    assert_int_equal(rub_slot_read(&(rub_span_t){in_lane, sizeof(in_lane)}, &slot, &frame, NULL),
                     RUB_EPROTO);
    uint8_t rows[RUB_HEADER_BYTES];
    rub_header_write(&(rub_header_t){.type = RUB_MSG_ROWS, .flags = RUB_FLAG_GRANT}, rows);
    const rub_span_t answer = {rows, sizeof(rows)};
    expect_refusal(&answer, 1, false, "ROWS has flags 40, of which");
    assert_int_equal(rub_frame_read_in_process(&answer, 1, &frame, NULL), 0);
    assert_int_equal(frame.header.flags, RUB_FLAG_GRANT);
    assert_null(frame.grant);
    rub_packet_unref(&packet);
    rub_grant_unref(&grant);
}

static void bytes_that_only_look_like_a_grant_are_none(void **state)
{
    RUB_UNUSED(state);
    static const char words[] = "are a grant, and they are none";
    float values[ROWS * WIDTH];
    _Alignas(16) uint8_t copy[RUB_GRANT_BYTES + 1];
    rub_span_t parts[3];
    rub_grant_t *grant = open_grant(values, NULL);
    rub_packet_t *packet = rub_grant_packet(grant, &PULL, 16);
    assert_non_null(packet);
    (void)rub_packet_parts(packet, parts);
    const rub_span_t head = parts[2];
    assert_ptr_equal(rub_grant_find(head.data, head.bytes), grant);
    assert_null(rub_grant_find(head.data, head.bytes - 1));
    assert_null(rub_grant_find((const uint8_t *)head.data + 1, head.bytes));
    memcpy(copy, head.data, head.bytes); /* as a wire would */
    parts[2].data = copy;
    expect_refusal(parts, 3, true, words);
    rub_put_u64(copy, (uint64_t)(uintptr_t)copy); /* at its place, of another build */
    rub_put_u32(copy + 8, RUB_GRANT_LAYOUT + 1);
    expect_refusal(parts, 3, true, words);
    memset(copy, 0, sizeof(copy));
    expect_refusal(parts, 3, true, words);
    uint8_t header[RUB_HEADER_BYTES];
    rub_header_t none = PULL;
    none.value_bytes = 0;
    rub_header_write(&none, header);
    parts[0].data = header;
    parts[2] = (rub_span_t){copy, 0};
    expect_refusal(parts, 3, true, "its 0 bytes of values");
    none.type = RUB_MSG_PUSH; /* nothing else has any */
    rub_header_write(&none, header);
    expect_refusal(parts, 3, true, "PUSH has flags 41");
    rub_packet_unref(&packet);
    rub_grant_unref(&grant);
}

static void only_inproc_addresses_are_of_this_process(void **state)
{
    RUB_UNUSED(state);
    assert_true(rub_address_is_in_process("inproc://rubato-shard-0"));
    assert_false(rub_address_is_in_process("tcp://127.0.0.1:1"));
    assert_false(rub_address_is_in_process("ipc://@inproc://"));
    assert_false(rub_address_is_in_process("inproc:/"));
    assert_false(rub_address_is_in_process(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grant_is_taken_once_and_done_when_it_is_finished),
        cmocka_unit_test(what_is_not_open_or_revoked_before_is_never_written),
        cmocka_unit_test(rows_of_another_shape_are_not_written),
        cmocka_unit_test(who_revokes_while_it_is_written_waits_for_the_end),
        cmocka_unit_test(a_revoked_array_holds_all_of_the_rows_or_none_for_good),
        cmocka_unit_test(a_message_of_this_process_bears_it_and_keeps_it_alive),
        cmocka_unit_test(a_grant_that_came_through_a_wire_is_refused),
        cmocka_unit_test(bytes_that_only_look_like_a_grant_are_none),
        cmocka_unit_test(only_inproc_addresses_are_of_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
