/* Codecs at the client: who may be asked for what, what goes out, what error feedback keeps, and
 * what comes back. When it goes out after all: test_client_kept.c. */
#include "common/wire/key_pack.h"
#include "tests/unit/worker/client/codec_world.h"

#include <float.h>
#include <math.h>

static void what_is_no_codec_or_not_for_this_is_refused(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    rub_error_t err;
    world_ready(&world, 1, RUB_TRAINER, RING);
    assert_int_equal(choose(&world, 9, RUB_CODEC_BF16, RUB_CODEC_F32, &err), RUB_ENOTABLE);
    assert_int_equal(choose(&world, DENSE, 7, RUB_CODEC_F32, &err), RUB_ECODEC);
    assert_non_null(strstr(err.message, "number 7 is unknown"));
    assert_int_equal(choose(&world, DENSE, -1, RUB_CODEC_F32, &err), RUB_ECODEC);
    assert_int_equal(choose(&world, DENSE, RUB_CODEC_F32, 99, &err), RUB_ECODEC);
    assert_int_equal(choose(&world, DENSE, RUB_CODEC_INT8, RUB_CODEC_INT8, &err), RUB_ECODEC);
    assert_non_null(strstr(err.message, "int8 is for pushes, not for pulls"));
    world_close(&world);
}

/* The i-th key of a PUSH, packed or not. */
static uint64_t key_at(const rub_frame_t *frame, size_t i)
{
    static uint8_t keys[8 * 4096];
    if ((frame->header.flags & RUB_FLAG_PACKED) == 0) {
        return rub_get_u64(frame->keys + 8 * i);
    }
    assert_true(frame->header.n_keys <= 4096);
    assert_int_equal(rub_keys_unpack(frame->keys, frame->keys_bytes, frame->header.n_keys, keys),
                     0);
    return rub_get_u64(keys + 8 * i);
}

static void pushes_go_out_in_the_codec_of_their_table(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    static float x[RUB_BLOCK], got[RUB_BLOCK];
    fill(x, RUB_BLOCK);
    world_ready(&world, 1, RUB_TRAINER, RING);
    assert_int_equal(choose(&world, DENSE, RUB_CODEC_BF16, RUB_CODEC_F32, NULL), 0);
    assert_int_equal(push_dense(&world, x, RUB_BLOCK, NULL), 0);
    assert_int_equal(push_rows(&world, (uint64_t[]){4}, 1, x, NULL),
                     0); /* the other table: plain */
    const rub_packet_t *dense = world_find(&world, 0, RUB_MSG_PUSH, 0);
    assert_int_equal(rub_packet_header(dense)->value_bytes, 2 * RUB_BLOCK);
    assert_int_equal(decode(&world, 0, 0, 0, got), RUB_BLOCK);
    for (size_t i = 0; i < RUB_BLOCK; i++) {
        assert_true(fabsf(got[i] - x[i]) <= fabsf(x[i]) / 256);
    }
    assert_int_equal(rub_packet_header(world_find(&world, 0, RUB_MSG_PUSH, 1))->flags, 0);
    rub_stats_t stats;
    rub_client_stats(world.client, &stats);
    assert_int_equal(stats.push_bytes, 2 * RUB_BLOCK + 8);
    world_close(&world);
}

static void a_value_that_is_no_number_is_refused_in_any_codec(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    static float x[RUB_BLOCK];
    for (uint32_t codec = 0; rub_codec_find(codec); codec++) {
        rub_error_t err;
        world_ready(&world, 1, RUB_TRAINER, RING);
        assert_int_equal(choose(&world, DENSE, (int)codec, RUB_CODEC_F32, NULL), 0);
        fill(x, RUB_BLOCK);
        x[17] = NAN;
        assert_int_equal(push_dense(&world, x, RUB_BLOCK, &err), RUB_ENAN);
        assert_int_equal(world.n_sent, 0);
        world_close(&world);
    }
}

/* The bytes of a codec row depend on the row, not on how many shards there are. */
static void the_same_rows_have_the_same_bytes_on_any_number_of_shards(void **state)
{
    RUB_UNUSED(state);
    enum { N = 40, SETS = 2 };
    static world_t world;
    static float x[N * 2], got[SETS][N][2];
    uint64_t keys[N];
    fill(x, N * 2);
    for (uint64_t i = 0; i < N; i++) {
        keys[i] = 100 + i;
    }
    for (uint32_t codec = 1; rub_codec_find(codec); codec++) {
        for (uint32_t set = 0; set < SETS; set++) {
            const uint32_t n_shards = set == 0 ? 1 : 3;
            world_ready(&world, n_shards, RUB_TRAINER, RING);
            assert_int_equal(choose(&world, ROWS, (int)codec, RUB_CODEC_F32, NULL), 0);
            assert_int_equal(push_rows(&world, keys, N, x, NULL), 0);
            for (uint32_t s = 0; s < n_shards; s++) {
                float rows[N * 2];
                const size_t n = decode(&world, s, 0, 2, rows);
                const rub_frame_t frame = rub_packet_frame(world_find(&world, s, RUB_MSG_PUSH, 0));
                for (size_t i = 0; i < n / 2; i++) {
                    memcpy(got[set][key_at(&frame, i) - 100], rows + 2 * i, 8);
                }
            }
            world_close(&world);
        }
        assert_memory_equal(got[0], got[1], sizeof(got[0]));
    }
}

static void repeats_are_summed_before_they_are_encoded(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    const uint64_t keys[] = {9, 2, 9, 4, 2, 9};
    const float values[] = {1, -1, 2, -2, 4, -4, 8, -8, 16, -16, 32, -32};
    for (uint32_t n_shards = 1; n_shards <= 3; n_shards++) {
        size_t n_rows = 0;
        float sum = 0;
        world_ready(&world, n_shards, RUB_TRAINER, RING);
        assert_int_equal(choose(&world, ROWS, RUB_CODEC_BF16, RUB_CODEC_F32, NULL), 0);
        assert_int_equal(push_rows(&world, keys, 6, values, NULL), 0);
        for (size_t i = 0; i < world.n_sent; i++) {
            float got[6];
            const size_t n = decode(&world, world.sent[i].shard, 0, 2, got);
            const rub_frame_t frame = rub_packet_frame(world.sent[i].packet);
            for (size_t k = 0; k < n; k += 2, n_rows++) {
                const uint64_t key = key_at(&frame, k / 2);
                assert_true(got[k] == (key == 9 ? 37 : key == 2 ? 18 : 8));
                assert_true(got[k + 1] == -got[k]);
                sum += got[k];
            }
        }
        assert_int_equal(n_rows, 3);
        assert_true(sum == 63);
        world_close(&world);
    }
}

static void each_push_of_a_clock_draws_anew_and_a_repetition_the_same(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    static float x[RUB_BLOCK], got[2][3][RUB_BLOCK];
    fill(x, RUB_BLOCK);
    for (int run = 0; run < 2; run++) {
        world_ready(&world, 1, RUB_TRAINER, RING);
        assert_int_equal(choose(&world, DENSE, RUB_CODEC_INT8, RUB_CODEC_F32, NULL), 0);
        for (size_t push = 0; push < 3; push++) {
            assert_int_equal(push_dense(&world, x, RUB_BLOCK, NULL), 0);
            decode(&world, 0, push, 0, got[run][push]);
            if (push == 0) { /* which push of the clock it is does not depend on the codec */
                assert_int_equal(choose(&world, DENSE, RUB_CODEC_F16, RUB_CODEC_F32, NULL), 0);
                assert_int_equal(choose(&world, DENSE, RUB_CODEC_INT8, RUB_CODEC_F32, NULL), 0);
            }
            if (push == 1) {
                assert_int_equal(rub_client_clock(world.client, NULL, 0, NULL), 0);
            }
        }
        world_close(&world);
    }
    assert_memory_equal(got[0], got[1], sizeof(got[0]));
    assert_memory_not_equal(got[0][0], got[0][1], sizeof(got[0][0]));
    assert_memory_not_equal(got[0][0], got[0][2], sizeof(got[0][0]));
    assert_memory_not_equal(got[0][1], got[0][2], sizeof(got[0][0]));
}

/* Beside few bytes of values, keys are what a message is made of. */
static void keys_that_ascend_are_packed_beside_encoded_values(void **state)
{
    RUB_UNUSED(state);
    enum { N = 1000 };
    static world_t world;
    static float x[2 * N];
    uint64_t keys[N];
    fill(x, 2 * N);
    for (uint64_t i = 0; i < N; i++) {
        keys[i] = 5 + 3 * i;
    }
    for (uint32_t n_shards = 1; n_shards <= 3; n_shards += 2) {
        world_ready(&world, n_shards, RUB_TRAINER, RING);
        assert_int_equal(choose(&world, ROWS, RUB_CODEC_BF16, RUB_CODEC_F32, NULL), 0);
        assert_int_equal(push_rows(&world, keys, N, x, NULL), 0);
        size_t n = 0;
        for (size_t i = 0; i < world.n_sent; i++) {
            const rub_frame_t frame = rub_packet_frame(world.sent[i].packet);
            assert_int_equal(frame.header.flags & RUB_FLAG_PACKED, RUB_FLAG_PACKED);
            assert_true(frame.keys_bytes < 2 * frame.header.n_keys);
            assert_int_equal(frame.keys_bytes, frame.header.mark);
            for (size_t k = 1; k < frame.header.n_keys; k++) {
                assert_true(key_at(&frame, k - 1) < key_at(&frame, k));
                assert_int_equal(key_at(&frame, k) % 3, 2);
            }
            n += frame.header.n_keys;
        }
        assert_int_equal(n, N);
        world_forget(&world);
        keys[0] = 500; /* not sorted any more */
        assert_int_equal(push_rows(&world, keys, N, x, NULL), 0);
        const rub_frame_t plain = rub_packet_frame(world.sent[0].packet);
        assert_int_equal(plain.header.flags & RUB_FLAG_PACKED, 0);
        assert_int_equal(plain.keys_bytes, 8 * plain.header.n_keys);
        keys[0] = 5;
        world_close(&world);
    }
}

/* ---- error feedback ---- */

/* Twenty pushes of changing rows, some of them refused in between: what was sent is what was given
 * but for what one push keeps. */
static void what_was_not_sent_comes_with_the_next_push(void **state)
{
    RUB_UNUSED(state);
    enum { N = RUB_BLOCK + 10, PUSHES = 20 };
    static world_t world;
    static float x[N], got[N], bad[N];
    static double given[N], sent[N];
    static const int codecs[] = {RUB_CODEC_2BIT, RUB_CODEC_1BIT, RUB_CODEC_TOPK};
    for (size_t c = 0; c < RUB_COUNT_OF(codecs); c++) {
        world_open(&world, 1, RUB_TRAINER, RING);
        world.tables[0].elements = N;
        const rub_handle_t join = world_join(&world);
        world_welcome(&world, 0, 0, 0);
        assert_int_equal(world_poll(&world, join), 0);
        assert_int_equal(choose(&world, DENSE, codecs[c], RUB_CODEC_F32, NULL), 0);
        memset(given, 0, sizeof(given));
        memset(sent, 0, sizeof(sent));
        double kept = 0, all = 0;
        size_t at = 0;
        for (int push = 0; push < PUSHES; push++) {
            fill(x, N);
            for (size_t i = 0; i < N; i++) {
                x[i] *= push % 3 == 0 ? 1.0F : 0.1F;
                given[i] += (double)x[i];
                bad[i] = i == N - 1 ? INFINITY : x[i];
            }
            world_forget(&world);
            assert_int_equal(push_dense(&world, bad, N, NULL), RUB_ENAN); /* leaves no trace */
            assert_int_equal(push_dense(&world, x, N, NULL), 0);
            at = 0;
            for (size_t m = 0; world_find(&world, 0, RUB_MSG_PUSH, m); m++) {
                const size_t n = decode(&world, 0, m, 0, got);
                for (size_t i = 0; i < n; i++) {
                    sent[at + i] += (double)got[i];
                }
                at += n;
            }
            assert_int_equal(at, N);
        }
        for (size_t i = 0; i < N; i++) {
            kept += fabs(given[i] - sent[i]);
            all += fabs(given[i]);
        }
        if (!(kept < (codecs[c] == RUB_CODEC_TOPK ? 0.6 : 0.45) * all) || !(kept > 0)) {
            fail_msg("%s keeps %.3f of %.3f", rub_codec_find((uint32_t)codecs[c])->name, kept, all);
        }
        world_close(&world);
    }
}

/* A row of the hashed table that alternates: feedback makes the mean right. */
static void each_key_keeps_its_own(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    world_ready(&world, 2, RUB_TRAINER, RING);
    assert_int_equal(choose(&world, ROWS, RUB_CODEC_1BIT, RUB_CODEC_F32, NULL), 0);
    double sums[2][2] = {{0}};
    enum { PUSHES = 200 };
    for (int push = 0; push < PUSHES; push++) {
        const float x[4] = {1.0F, 3.0F, -1.0F, -2.0F};
        world_forget(&world);
        assert_int_equal(push_rows(&world, (uint64_t[]){7, 8}, 2, x, NULL), 0);
        for (uint32_t s = 0; s < 2; s++) {
            for (size_t m = 0; world_find(&world, s, RUB_MSG_PUSH, m); m++) {
                float got[4];
                const size_t n = decode(&world, s, m, 2, got);
                const rub_frame_t frame = rub_packet_frame(world_find(&world, s, RUB_MSG_PUSH, m));
                for (size_t i = 0; i < n; i++) {
                    sums[key_at(&frame, i / 2) - 7][i % 2] += (double)got[i];
                }
            }
        }
        world_ack(&world, 0, 0, 0);
    }
    assert_true(fabs(sums[0][0] / PUSHES - 1) < 0.05 && fabs(sums[0][1] / PUSHES - 3) < 0.05);
    assert_true(fabs(sums[1][0] / PUSHES + 1) < 0.05 && fabs(sums[1][1] / PUSHES + 2) < 0.05);
    world_close(&world);
}

static void totals_that_overflow_are_refused(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    rub_error_t err;
    const float x[2] = {FLT_MAX, FLT_MAX / 2};
    world_ready(&world, 1, RUB_TRAINER, RING);
    assert_int_equal(choose(&world, ROWS, RUB_CODEC_1BIT, RUB_CODEC_F32, NULL), 0);
    assert_int_equal(push_rows(&world, (uint64_t[]){1}, 1, x, &err), 0);
    assert_int_equal(push_rows(&world, (uint64_t[]){1}, 1, x, &err), RUB_ENAN);
    assert_non_null(strstr(err.message, "with what 1bit kept of it"));
    world_close(&world);
}

static void kept_rows_have_a_limit_that_the_error_names(void **state)
{
    RUB_UNUSED(state);
    enum { N = 2000 };
    static world_t world;
    static float x[2 * N];
    static uint64_t keys[N];
    rub_error_t err;
    fill(x, 2 * N);
    world_ready(&world, 1, RUB_TRAINER, RING); /* residual_limit_bytes: 1 MiB */
    assert_int_equal(choose(&world, ROWS, RUB_CODEC_1BIT, RUB_CODEC_F32, NULL), 0);
    int rc = 0;
    uint64_t next = 0;
    while (rc == 0 && next < 100000) {
        for (size_t i = 0; i < N; i++) {
            keys[i] = next++;
        }
        world_forget(&world);
        rc = push_rows(&world, keys, N, x, &err);
    }
    assert_int_equal(rc, RUB_ELIMIT);
    assert_non_null(strstr(err.message, "residual_limit_bytes, 1048576"));
    assert_true(next > 20000);
    assert_int_equal(world_count(&world, 0, RUB_MSG_PUSH), 0);
    assert_int_equal(push_rows(&world, (uint64_t[]){0}, 1, x, &err), 0); /* known rows go on */
    world_close(&world);
}

static void a_codec_that_keeps_something_is_not_taken_away(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    const float x[2] = {1, 2};
    world_ready(&world, 1, RUB_TRAINER, RING);
    assert_int_equal(choose(&world, ROWS, RUB_CODEC_1BIT, RUB_CODEC_F32, NULL), 0);
    assert_int_equal(choose(&world, ROWS, RUB_CODEC_2BIT, RUB_CODEC_F32, NULL),
                     0); /* nothing yet */
    assert_int_equal(push_rows(&world, (uint64_t[]){1}, 1, x, NULL), 0);
    assert_int_equal(choose(&world, ROWS, RUB_CODEC_F32, RUB_CODEC_F32, NULL), RUB_EBUSY);
    assert_int_equal(choose(&world, ROWS, RUB_CODEC_2BIT, RUB_CODEC_BF16, NULL), 0); /* pulls may */
    world_close(&world);
}

/* ---- pulls ---- */

static void answer(world_t *world, uint32_t shard, const rub_packet_t *pull, uint32_t n,
                   uint32_t codec, const float *rows)
{
    uint8_t values[512];
    const rub_header_t *asked = rub_packet_header(pull);
    const size_t bits = (asked->flags & RUB_FLAG_RANGE) ? 0 : 8;
    memset(values, 0xff, bits);
    rub_codec_find(codec)->encode(rows, n, 0, 0, values + bits);
    const rub_header_t header = {.type = RUB_MSG_ROWS,
                                 .flags = rub_codec_flags(codec),
                                 .seq = asked->seq,
                                 .clock = asked->clock,
                                 .value_bytes =
                                     (uint32_t)(bits + rub_codec_find(codec)->row_bytes(n))};
    world_hear(world, shard, &header, values);
}

static void pulls_ask_for_their_codec_and_read_it(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    enum { N = 20 };
    uint64_t keys[N];
    float values[N * 2], range[5];
    rub_handle_t handle;
    world_ready(&world, 3, RUB_TRAINER, RING);
    assert_int_equal(choose(&world, ROWS, RUB_CODEC_F32, RUB_CODEC_F16, NULL), 0);
    assert_int_equal(choose(&world, DENSE, RUB_CODEC_F32, RUB_CODEC_BF16, NULL), 0);
    for (uint64_t i = 0; i < N; i++) {
        keys[i] = i;
    }
    const rub_client_pull_t pull = {.table = ROWS, .keys = keys, .n = N, .values = values};
    assert_int_equal(rub_client_pull(world.client, &pull, &handle, NULL), 0);
    for (size_t i = 0; i < 3; i++) {
        const rub_frame_t asked = rub_packet_frame(world.sent[i].packet);
        assert_int_equal(rub_codec_of_flags(asked.header.flags), RUB_CODEC_F16);
        float rows[N * 2];
        for (uint32_t k = 0; k < asked.header.n_keys; k++) {
            rows[2 * k] = (float)rub_get_u64(asked.keys + 8 * k);
            rows[2 * k + 1] = -rows[2 * k];
        }
        answer(&world, world.sent[i].shard, world.sent[i].packet, 2 * asked.header.n_keys,
               RUB_CODEC_F16, rows);
    }
    assert_int_equal(world_poll(&world, handle), 0);
    for (size_t i = 0; i < N; i++) {
        assert_true(values[2 * i] == (float)i && values[2 * i + 1] == -(float)i);
    }
    world_forget(&world);
    const rub_client_pull_t dense = {.table = DENSE, .n = 5, .values = range};
    assert_int_equal(rub_client_pull(world.client, &dense, &handle, NULL), 0);
    answer(&world, world.sent[0].shard, world.sent[0].packet, 5, RUB_CODEC_BF16,
           (float[]){1, 2, -3, 0.5F, 0});
    assert_int_equal(world_poll(&world, handle), 0);
    assert_true(range[0] == 1 && range[2] == -3 && range[3] == 0.5F);
    rub_stats_t stats;
    rub_client_stats(world.client, &stats);
    assert_int_equal(stats.pull_bytes, 2 * 2 * N + 2 * 5);
    world_close(&world);
}

static void an_answer_in_another_codec_fails_the_pull(void **state)
{
    RUB_UNUSED(state);
    static world_t world;
    float range[4];
    rub_error_t err;
    rub_handle_t handle;
    world_ready(&world, 1, RUB_TRAINER, RING);
    assert_int_equal(choose(&world, DENSE, RUB_CODEC_F32, RUB_CODEC_BF16, NULL), 0);
    const rub_client_pull_t pull = {.table = DENSE, .n = 4, .values = range};
    assert_int_equal(rub_client_pull(world.client, &pull, &handle, NULL), 0);
    answer(&world, 0, world.sent[0].packet, 4, RUB_CODEC_F16, (float[]){1, 2, 3, 4});
    assert_int_equal(rub_client_poll(world.client, handle, &err), RUB_EPROTO);
    assert_non_null(strstr(err.message, "another codec"));
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_codec_or_not_for_this_is_refused),
        cmocka_unit_test(pushes_go_out_in_the_codec_of_their_table),
        cmocka_unit_test(a_value_that_is_no_number_is_refused_in_any_codec),
        cmocka_unit_test(the_same_rows_have_the_same_bytes_on_any_number_of_shards),
        cmocka_unit_test(repeats_are_summed_before_they_are_encoded),
        cmocka_unit_test(each_push_of_a_clock_draws_anew_and_a_repetition_the_same),
        cmocka_unit_test(keys_that_ascend_are_packed_beside_encoded_values),
        cmocka_unit_test(what_was_not_sent_comes_with_the_next_push),
        cmocka_unit_test(each_key_keeps_its_own),
        cmocka_unit_test(totals_that_overflow_are_refused),
        cmocka_unit_test(kept_rows_have_a_limit_that_the_error_names),
        cmocka_unit_test(a_codec_that_keeps_something_is_not_taken_away),
        cmocka_unit_test(pulls_ask_for_their_codec_and_read_it),
        cmocka_unit_test(an_answer_in_another_codec_fails_the_pull),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
