/* Pulls whose session grants its array: the rows are gathered there, if it still wants them. */
#include "common/num/codec.h"
#include "common/wire/grant.h"
#include "common/wire/key_digest.h"
#include "tests/unit/ps/shard_fixture.h"

#include <math.h>

enum { N = 5, WIDTH = 2 };

typedef struct asked {
    rub_grant_t *grant;
    float values[N * WIDTH]; /* NAN where nothing was written */
} asked_t;

static void spoil(asked_t *asked)
{
    for (size_t i = 0; i < N * WIDTH; i++) {
        asked->values[i] = NAN;
    }
}

static bool is_untouched(const asked_t *asked)
{
    bool is = true;
    for (size_t i = 0; i < N * WIDTH; i++) {
        is = is && isnan(asked->values[i]);
    }
    return is;
}

/* A frame as the reactor hands it on: borrowed until the turn is over. */
static void pull(fx_t *fx, asked_t *asked, rub_peer_t peer, rub_header_t header,
                 const uint8_t *keys, size_t keys_bytes)
{
    rub_span_t parts[3];
    rub_frame_t frame;
    header.type = RUB_MSG_PULL;
    header.flags |= RUB_FLAG_GRANT;
    header.value_bytes = RUB_GRANT_BYTES;
    rub_packet_t *packet = rub_grant_packet(asked->grant, &header, keys_bytes);
    assert_non_null(packet);
    memcpy(rub_packet_keys(packet), keys, keys_bytes);
    assert_int_equal(rub_packet_parts(packet, parts), 3);
    assert_int_equal(rub_frame_read_in_process(parts, 3, &frame, NULL), 0);
    fx_begin(fx);
    assert_int_equal(rub_shard_receive(fx->shard, peer, &frame), 0);
    fx_end(fx);
    rub_packet_unref(&packet);
}

static void open_place(asked_t *asked, const uint32_t *positions, size_t n_rows, uint32_t width)
{
    asked->grant = rub_grant_new();
    assert_non_null(asked->grant);
    spoil(asked);
    rub_grant_open(asked->grant, &(rub_grant_place_t){.values = asked->values,
                                                      .positions = positions,
                                                      .n_rows = n_rows,
                                                      .width = width});
}

/* Keys 1 to N of the ledger, of which the odd ones are there. */
static void pull_rows(fx_t *fx, asked_t *asked, uint64_t id, uint64_t clock, uint32_t flags)
{
    uint8_t keys[8 * N];
    for (uint64_t i = 0; i < N; i++) {
        rub_put_u64(keys + 8 * i, i + 1);
    }
    pull(fx, asked, 100,
         (rub_header_t){.table = LEDGER, .flags = flags, .seq = id, .clock = clock, .n_keys = N},
         keys, sizeof(keys));
}

static void begin(fx_t *fx, uint64_t staleness)
{
    fx_open(fx, 2, staleness);
    for (uint64_t key = 1; key <= N; key += 2) {
        fx_push(fx, 100, key / 2 + 1, 0, key, (float)key);
    }
    fx_forget_sent(fx);
}

/* What a turn gives counts until the next one begins, whoever asked. */
static void only_what_a_turn_has_put_there_counts(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    asked_t asked;
    begin(&fx, UINT64_MAX);
    for (uint64_t id = 1; id <= 2; id++) {
        open_place(&asked, NULL, N, WIDTH);
        pull_rows(&fx, &asked, id, 0, 0);
        assert_int_equal(rub_shard_granted_bytes(fx.shard), N * WIDTH * sizeof(float));
        pull_rows(&fx, &asked, id, 0, 0); /* its message came twice: the rows are in the answer */
        assert_int_equal(rub_shard_granted_bytes(fx.shard), 0);
        rub_grant_unref(&asked.grant);
    }
    fx_close(&fx);
}

static const rub_header_t *answer(const fx_t *fx)
{
    const rub_packet_t *rows = fx_last(fx, 100, RUB_MSG_ROWS);
    assert_non_null(rows);
    return rub_packet_header(rows);
}

static void rows_are_gathered_where_they_are_wanted(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    asked_t asked;
    const uint32_t positions[N] = {4, 2, 0, 1, 3};
    begin(&fx, UINT64_MAX);
    for (int scattered = 0; scattered < 2; scattered++) {
        open_place(&asked, scattered ? positions : NULL, N, WIDTH);
        pull_rows(&fx, &asked, 1 + (uint64_t)scattered, 0, 0);
        assert_true(rub_grant_is_done(asked.grant));
        assert_int_equal(answer(&fx)->flags, RUB_FLAG_GRANT);
        assert_int_equal(answer(&fx)->value_bytes, 8); /* which exist, and no rows */
        assert_int_equal(rub_packet_values(fx_last(&fx, 100, RUB_MSG_ROWS))[0], 0x15);
        for (uint32_t i = 0; i < N; i++) {
            const float *row = asked.values + WIDTH * (scattered ? positions[i] : i);
            assert_true(row[0] == (i % 2 ? 0 : (float)(i + 1)));
            assert_true(row[1] == row[0]);
        }
        rub_grant_unref(&asked.grant);
    }
    fx_close(&fx);
}

static void a_range_is_gathered_where_it_is_wanted(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    asked_t asked;
    uint8_t keys[16];
    begin(&fx, UINT64_MAX);
    fx_push_block(&fx, 100, 4, 0, 0, 7);
    rub_put_u64(keys, RUB_BLOCK - 3); /* into the second block, which is not there yet */
    rub_put_u64(keys + 8, N);
    open_place(&asked, NULL, N, 1);
    pull(&fx, &asked, 100,
         (rub_header_t){.table = DENSE, .flags = RUB_FLAG_RANGE, .seq = 1, .n_keys = 1}, keys, 16);
    assert_true(rub_grant_is_done(asked.grant));
    assert_int_equal(answer(&fx)->value_bytes, 0);
    fx_pull_range(&fx, 100, 2, 0, RUB_BLOCK - 3, N); /* the same without a grant */
    assert_int_equal(answer(&fx)->value_bytes, N * sizeof(float));
    assert_true(asked.values[2] != 0 && asked.values[3] == 0);
    assert_memory_equal(asked.values, rub_packet_values(fx_last(&fx, 100, RUB_MSG_ROWS)),
                        N * sizeof(float));
    assert_true(isnan(asked.values[N])); /* and nothing behind it */
    rub_grant_unref(&asked.grant);
    fx_close(&fx);
}

static void expect_ordinary_answer(const fx_t *fx)
{
    assert_int_equal(answer(fx)->flags & RUB_FLAG_GRANT, 0);
    assert_int_equal(answer(fx)->value_bytes, 8 + N * WIDTH * sizeof(float));
}

static void what_was_revoked_before_is_answered_without_being_written(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    asked_t asked;
    begin(&fx, UINT64_MAX);
    open_place(&asked, NULL, N, WIDTH);
    assert_false(rub_grant_revoke(asked.grant));
    pull_rows(&fx, &asked, 1, 0, 0);
    expect_ordinary_answer(&fx);
    assert_true(is_untouched(&asked));
    rub_grant_unref(&asked.grant);
    fx_close(&fx);
}

static void a_parked_pull_is_written_when_it_is_served(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    asked_t asked;
    begin(&fx, 0);
    open_place(&asked, NULL, N, WIDTH);
    pull_rows(&fx, &asked, 1, 1, 0);
    assert_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    assert_true(is_untouched(&asked));
    fx_say(&fx, 100, RUB_MSG_CLOCK, 4, 1);
    assert_true(is_untouched(&asked));
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
    assert_true(rub_grant_is_done(asked.grant));
    assert_int_equal(answer(&fx)->flags, RUB_FLAG_GRANT);
    assert_true(asked.values[0] != 0);
    rub_grant_unref(&asked.grant);
    fx_close(&fx);
}

/* The message is gone, and so are the session's references: what is parked keeps the grant. */
static void a_pull_that_was_given_up_while_it_was_parked_is_not_written(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    asked_t asked;
    begin(&fx, 0);
    open_place(&asked, NULL, N, WIDTH);
    pull_rows(&fx, &asked, 1, 1, 0);
    assert_false(rub_grant_revoke(asked.grant));
    rub_grant_unref(&asked.grant);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 4, 1);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1); /* before its CANCEL came */
    expect_ordinary_answer(&fx);
    assert_true(is_untouched(&asked));
    fx_close(&fx);
}

static void what_is_dropped_with_its_pull_or_its_shard_lets_go_of_the_grant(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    asked_t asked[3];
    begin(&fx, 0);
    for (uint64_t i = 0; i < 3; i++) {
        open_place(&asked[i], NULL, N, WIDTH);
        pull_rows(&fx, &asked[i], 1 + i / 2, 1, 0); /* the second in the place of the first */
    }
    fx_say(&fx, 100, RUB_MSG_CANCEL, 1, 0);
    fx_close(&fx); /* what is leaked is the sanitizer's to find */
    for (size_t i = 0; i < 3; i++) {
        assert_true(is_untouched(&asked[i]));
        assert_false(rub_grant_revoke(asked[i].grant));
        rub_grant_unref(&asked[i].grant);
    }
}

static void another_shape_and_another_codec_go_into_the_answer(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    asked_t asked;
    begin(&fx, UINT64_MAX);
    open_place(&asked, NULL, N - 1, WIDTH);
    pull_rows(&fx, &asked, 1, 0, 0);
    expect_ordinary_answer(&fx);
    rub_grant_unref(&asked.grant);
    open_place(&asked, NULL, N, WIDTH);
    pull_rows(&fx, &asked, 2, 0, rub_codec_flags(RUB_CODEC_BF16));
    assert_int_equal(answer(&fx)->flags, rub_codec_flags(RUB_CODEC_BF16));
    assert_true(is_untouched(&asked));
    assert_false(rub_grant_is_done(asked.grant));
    rub_grant_unref(&asked.grant);
    fx_close(&fx);
}

static void the_same_message_twice_is_written_once(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    asked_t asked;
    begin(&fx, UINT64_MAX);
    open_place(&asked, NULL, N, WIDTH);
    pull_rows(&fx, &asked, 1, 0, 0);
    assert_true(rub_grant_is_done(asked.grant));
    spoil(&asked);
    pull_rows(&fx, &asked, 1, 0, 0);
    expect_ordinary_answer(&fx);
    assert_true(is_untouched(&asked));
    rub_grant_unref(&asked.grant);
    fx_close(&fx);
}

static void keys_that_are_said_by_their_digest_keep_the_grant(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    asked_t asked;
    uint8_t keys[8 * N], digest[RUB_KEY_DIGEST_BYTES];
    begin(&fx, UINT64_MAX);
    open_place(&asked, NULL, N, WIDTH);
    pull_rows(&fx, &asked, 1, 0, RUB_FLAG_REMEMBER);
    assert_true(rub_grant_is_done(asked.grant));
    rub_grant_unref(&asked.grant);
    for (uint64_t i = 0; i < N; i++) {
        rub_put_u64(keys + 8 * i, i + 1);
    }
    const rub_key_digest_t of_keys = rub_key_digest_of(keys, N);
    rub_key_digest_write(&of_keys, digest);
    open_place(&asked, NULL, N, WIDTH);
    pull(&fx, &asked, 100,
         (rub_header_t){.table = LEDGER, .flags = RUB_FLAG_DIGEST, .seq = 2, .n_keys = N}, digest,
         sizeof(digest));
    assert_true(rub_grant_is_done(asked.grant));
    assert_true(asked.values[4] == 3);
    rub_grant_unref(&asked.grant);
    fx_close(&fx);
}

/* Bytes 52 to 55: which layout of grants it takes. */
static uint32_t welcomes_grants(bool is_in_process)
{
    fx_t fx = fx_job(1, 0);
    fx.config.is_in_process = is_in_process;
    fx_begin_job(&fx);
    const rub_packet_t *welcome = fx_last(&fx, 100, RUB_MSG_WELCOME);
    const rub_frame_t frame = rub_packet_frame(welcome);
    assert_int_equal(frame.values_bytes, 56);
    const uint32_t layout = rub_get_u32(frame.values + 52);
    fx_close(&fx);
    return layout;
}

static void only_a_shard_of_the_process_says_that_it_takes_grants(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(welcomes_grants(false), 0);
    assert_int_equal(welcomes_grants(true), RUB_GRANT_LAYOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_gathered_where_they_are_wanted),
        cmocka_unit_test(only_what_a_turn_has_put_there_counts),
        cmocka_unit_test(a_range_is_gathered_where_it_is_wanted),
        cmocka_unit_test(what_was_revoked_before_is_answered_without_being_written),
        cmocka_unit_test(a_parked_pull_is_written_when_it_is_served),
        cmocka_unit_test(a_pull_that_was_given_up_while_it_was_parked_is_not_written),
        cmocka_unit_test(what_is_dropped_with_its_pull_or_its_shard_lets_go_of_the_grant),
        cmocka_unit_test(another_shape_and_another_codec_go_into_the_answer),
        cmocka_unit_test(the_same_message_twice_is_written_once),
        cmocka_unit_test(keys_that_are_said_by_their_digest_keep_the_grant),
        cmocka_unit_test(only_a_shard_of_the_process_says_that_it_takes_grants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
