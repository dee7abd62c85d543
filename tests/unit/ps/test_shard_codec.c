/* Encoded values at a shard: refused by name when it can not read them, decoded the same way when
 * they come, when a period closes, and when the journal is replayed. */
#include "tests/unit/ps/shard_fixture.h"

#include "common/num/codec.h"
#include "ps/record.h"

enum { ROWS = 3, WIDTH = 2, BYTES = 64 };

static const float GRADIENT[ROWS * WIDTH] = {1.0F, -0.5F, 0.25F, 3.0F, -2.0F, 0.125F};

/* Pushes rows 10, 11, 12 of the ledger in that codec; few: so many bytes are left off. */
static void push_rows(fx_t *fx, uint64_t seq, uint64_t clock, uint32_t codec, size_t few)
{
    const rub_codec_t *with = rub_codec_find(codec);
    uint8_t keys[8 * ROWS], values[BYTES] = {0};
    size_t n = 0;
    for (uint64_t i = 0; i < ROWS; i++) {
        rub_put_u64(keys + 8 * i, 10 + i);
        if (with) {
            with->encode(GRADIENT + WIDTH * i, WIDTH, 5, i, values + n);
            n += with->row_bytes(WIDTH);
        }
    }
    fx_frame(fx, 100,
             (rub_header_t){.type = RUB_MSG_PUSH,
                            .table = LEDGER,
                            .flags = rub_codec_flags(codec),
                            .seq = seq,
                            .clock = clock,
                            .n_keys = ROWS},
             keys, sizeof(keys), values, (with ? n : 12) - few);
}

static int refusal(const fx_t *fx)
{
    rub_packet_t *ack = fx_last(fx, 100, RUB_MSG_ACK);
    assert_non_null(ack);
    return (int32_t)rub_get_u32(rub_packet_values(ack) + 24);
}

static void what_the_shard_can_not_read_is_a_verdict_that_names_it(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    push_rows(&fx, 1, 0, 7, 0);
    assert_int_equal(refusal(&fx), RUB_ECODEC);
    push_rows(&fx, 2, 0, 255, 0);
    assert_int_equal(refusal(&fx), RUB_ECODEC);
    for (uint32_t codec = 1; rub_codec_find(codec); codec++) {
        push_rows(&fx, 2 + codec, 0, codec, 1);
        assert_int_equal(refusal(&fx), RUB_ESHAPE);
    }
    assert_int_equal(fx_ack(&fx, 100)->seq, 8); /* each consumed its seq */
    fx_pull(&fx, 100, 1, 0, 8, 10);
    assert_true(fx_value(&fx, 100) == 0.0F);
    fx_crash(&fx); /* verdicts are records */
    fx_hello(&fx, 100, 0, 1);
    assert_int_equal(rub_packet_header(fx_last(&fx, 100, RUB_MSG_WELCOME))->seq, 8);
    fx_close(&fx);
}

static void places_that_topk_does_not_write_are_refused(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    uint8_t keys[8], values[6] = {9, 0, 0, 0, 0x80, 0x3f}; /* place 9 of a row of 2 */
    rub_put_u64(keys, 1);
    fx_frame(&fx, 100,
             (rub_header_t){.type = RUB_MSG_PUSH,
                            .table = LEDGER,
                            .flags = rub_codec_flags(RUB_CODEC_TOPK),
                            .seq = 1,
                            .n_keys = 1},
             keys, sizeof(keys), values, sizeof(values));
    assert_int_equal(refusal(&fx), RUB_ESHAPE);
    fx_close(&fx);
}

/* A megabyte of one-bit values would be 32 of float32. */
static void a_message_that_grows_beyond_the_limit_is_refused(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    uint8_t keys[16], values[16] = {0};
    rub_put_u64(keys, 0);
    rub_put_u64(keys + 8, UINT64_MAX);
    fx_frame(&fx, 100,
             (rub_header_t){.type = RUB_MSG_PUSH,
                            .table = DENSE,
                            .flags = RUB_FLAG_RANGE | rub_codec_flags(RUB_CODEC_1BIT),
                            .seq = 1,
                            .n_keys = 1},
             keys, sizeof(keys), values, sizeof(values));
    assert_int_equal(refusal(&fx), RUB_ELIMIT);
    fx_close(&fx);
}

static void a_scale_that_is_no_number_is_refused(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    uint8_t keys[8], values[6] = {0, 0, 0xc0, 0x7f, 1, 1};
    rub_put_u64(keys, 1);
    fx_frame(&fx, 100,
             (rub_header_t){.type = RUB_MSG_PUSH,
                            .table = LEDGER,
                            .flags = rub_codec_flags(RUB_CODEC_INT8),
                            .seq = 1,
                            .n_keys = 1},
             keys, sizeof(keys), values, sizeof(values));
    assert_int_equal(refusal(&fx), RUB_ENAN);
    fx_close(&fx);
}

/* Before anything is decoded: a range has no rows of that width, keys no runs. */
static void keys_of_a_dense_table_and_a_range_of_a_hashed_one_are_refused(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    uint64_t seq = 0;
    for (uint32_t codec = 1; rub_codec_find(codec); codec++) {
        uint8_t keys[16] = {0}, values[BYTES] = {0};
        for (uint32_t range = 0; range < 2; range++) {
            rub_put_u64(keys + 8, 2);
            fx_frame(&fx, 100,
                     (rub_header_t){.type = RUB_MSG_PUSH,
                                    .table = range ? LEDGER : DENSE,
                                    .flags = range * RUB_FLAG_RANGE | rub_codec_flags(codec),
                                    .seq = ++seq,
                                    .n_keys = 1},
                     keys, range ? 16 : 8, values, rub_codec_find(codec)->row_bytes(range ? 2 : 1));
            assert_int_equal(refusal(&fx), RUB_ESHAPE);
        }
    }
    assert_int_equal(fx_ack(&fx, 100)->seq, seq);
    fx_close(&fx);
}

/* A store that a later version wrote: what is in it is no damage, but can not be read. */
static void a_journal_in_an_unknown_codec_is_refused_by_name(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    rub_error_t err = {0};
    fx_open(&fx, 1, 4);
    push_rows(&fx, 1, 0, RUB_CODEC_BF16, 0);
    fx_record_t *last = &fx.journal[fx.n_journal - 1];
    rub_put_u32((uint8_t *)last->bytes + 32, rub_codec_flags(9));
    rub_shard_destroy(&fx.shard);
    fx_new_shard(&fx);
    int rc = 0;
    for (size_t i = 0; i < fx.n_journal && rc == 0; i++) {
        const fx_record_t *record = &fx.journal[i];
        rc = rub_shard_replay(fx.shard, record->lsn, record->type, record->bytes, record->n_bytes,
                              &err);
    }
    assert_int_equal(rc, RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "would not be admitted"));
    assert_non_null(strstr(err.message, "codec 9 is unknown here"));
    fx_close(&fx);
}

static void push_packed(fx_t *fx, uint64_t seq, uint32_t n, const uint8_t *packed, size_t n_bytes)
{
    uint8_t values[BYTES];
    memset(values, 0, sizeof(values));
    for (size_t i = 0; i < (size_t)n * WIDTH; i++) {
        memcpy(values + 4 * i, &(float){(float)(i / WIDTH + 1)}, 4);
    }
    fx_frame(fx, 100,
             (rub_header_t){.type = RUB_MSG_PUSH,
                            .table = LEDGER,
                            .flags = RUB_FLAG_PACKED,
                            .seq = seq,
                            .mark = n_bytes,
                            .n_keys = n},
             packed, n_bytes, values, (size_t)n * 4 * WIDTH);
}

/* The record has plain keys, so that whoever reads journals knows one form of them. */
static void packed_keys_are_plain_from_admission_on(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    static const uint8_t packed[8] = {0xac, 2, 0, 9}; /* 300, 301, 311 */
    static const uint64_t keys[] = {300, 301, 311};
    push_packed(&fx, 1, 3, packed, sizeof(packed));
    const fx_record_t *last = &fx.journal[fx.n_journal - 1];
    assert_int_equal(last->type, RUB_RECORD_PUSH);
    rub_record_t record;
    assert_int_equal(rub_record_read(last->type, last->bytes, last->n_bytes, &record, NULL), 0);
    assert_int_equal(record.flags, 0);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(rub_get_u64(record.keys + 8 * i), keys[i]);
        fx_pull(&fx, 100, i + 1, 0, 1, keys[i]);
        assert_true(fx_value(&fx, 100) == (float)(i + 1));
    }
    fx_close(&fx);
}

static void keys_that_can_not_be_unpacked_are_a_verdict(void **state)
{
    RUB_UNUSED(state);
    static const uint8_t bad[][8] = {
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {5, 0, 0, 1}, {0x80}};
    fx_t fx;
    fx_open(&fx, 1, 4);
    for (uint64_t i = 0; i < RUB_COUNT_OF(bad); i++) {
        push_packed(&fx, i + 1, 3, bad[i], 8);
        assert_int_equal(refusal(&fx), RUB_ESHAPE);
        assert_int_equal(fx_ack(&fx, 100)->seq, i + 1);
    }
    fx_crash(&fx);
    fx_hello(&fx, 100, 0, 1);
    assert_int_equal(rub_packet_header(fx_last(&fx, 100, RUB_MSG_WELCOME))->seq, 3);
    fx_close(&fx);
}

/* The ledger's optimizer is add: what stands there is what was decoded. */
static void rows_get_what_the_codec_decodes(void **state)
{
    RUB_UNUSED(state);
    for (uint32_t number = 0; rub_codec_find(number); number++) {
        const rub_codec_t *codec = rub_codec_find(number);
        for (uint64_t staleness = 0; staleness < 5; staleness += 4) {
            fx_t fx;
            fx_open(&fx, 1, staleness);
            push_rows(&fx, 1, 0, number, 0);
            fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
            for (uint64_t i = 0; i < ROWS; i++) {
                uint8_t bytes[BYTES];
                float want[WIDTH];
                codec->encode(GRADIENT + WIDTH * i, WIDTH, 5, i, bytes);
                assert_int_equal(codec->decode(bytes, WIDTH, want), 0);
                fx_pull(&fx, 100, i + 1, 1, 2, 10 + i);
                assert_true(fx_value(&fx, 100) == want[0]);
            }
            fx_close(&fx);
        }
    }
}

/* In bsp with the period still open: what waits in the state, and in the journal, is encoded. */
static void a_replay_decodes_the_same_bits(void **state)
{
    RUB_UNUSED(state);
    for (uint64_t staleness = 0; staleness < 5; staleness += 4) {
        fx_t fx, whole;
        fx_open(&fx, 2, staleness);
        fx_open(&whole, 2, staleness);
        uint64_t seq = 0;
        for (uint64_t period = 0; period < 4; period++) {
            for (uint32_t number = 0; rub_codec_find(number); number++) {
                seq++;
                push_rows(&fx, seq, period, number, 0);
                push_rows(&whole, seq, period, number, 0);
                if (number == 3) {
                    fx_crash(&fx);
                    fx_hello(&fx, 100, 0, 1);
                    fx_hello(&fx, 101, 1, 1);
                }
            }
            seq++;
            fx_say(&fx, 100, RUB_MSG_CLOCK, seq, period + 1);
            fx_say(&whole, 100, RUB_MSG_CLOCK, seq, period + 1);
            fx_say(&fx, 101, RUB_MSG_CLOCK, period + 1, period + 1);
            fx_say(&whole, 101, RUB_MSG_CLOCK, period + 1, period + 1);
            if (period == 1) {
                fx_tick(&fx, 1000);
                fx_commit(&fx); /* what follows is replayed upon a stored state */
            }
        }
        assert_true(rub_shard_digest(fx.shard) == rub_shard_digest(whole.shard));
        fx_crash(&fx);
        assert_true(rub_shard_digest(fx.shard) == rub_shard_digest(whole.shard));
        fx_close(&fx);
        fx_close(&whole);
    }
}

/* The journal holds what was received: the record is as long as the message. */
static void the_journal_holds_the_encoded_bytes(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    push_rows(&fx, 1, 0, RUB_CODEC_BF16, 0);
    const fx_record_t *last = &fx.journal[fx.n_journal - 1];
    assert_int_equal(last->type, RUB_RECORD_PUSH);
    assert_int_equal(last->n_bytes, RUB_RECORD_HEAD_BYTES + 8 * ROWS + 2 * WIDTH * ROWS);
    rub_record_t record;
    assert_int_equal(rub_record_read(last->type, last->bytes, last->n_bytes, &record, NULL), 0);
    assert_int_equal(rub_codec_of_flags(record.flags), RUB_CODEC_BF16);
    fx_close(&fx);
}

static void pull_in(fx_t *fx, uint64_t id, uint32_t codec)
{
    uint8_t keys[8];
    rub_put_u64(keys, 10);
    fx_frame(fx, 100,
             (rub_header_t){.type = RUB_MSG_PULL,
                            .table = LEDGER,
                            .flags = rub_codec_flags(codec),
                            .seq = id,
                            .n_keys = 1},
             keys, sizeof(keys), NULL, 0);
}

static void answers_come_in_the_codec_that_was_asked_for(void **state)
{
    RUB_UNUSED(state);
    static const uint32_t halves[] = {RUB_CODEC_F16, RUB_CODEC_BF16};
    fx_t fx;
    fx_open(&fx, 1, 4);
    push_rows(&fx, 1, 0, RUB_CODEC_F32, 0);
    for (size_t i = 0; i < RUB_COUNT_OF(halves); i++) {
        pull_in(&fx, i + 1, halves[i]);
        rub_packet_t *rows = fx_last(&fx, 100, RUB_MSG_ROWS);
        const rub_header_t *header = rub_packet_header(rows);
        assert_int_equal(rub_codec_of_flags(header->flags), halves[i]);
        assert_int_equal(header->value_bytes, 8 + 2 * WIDTH);
        float got[WIDTH];
        rub_codec_find(halves[i])->decode(rub_packet_values(rows) + 8, WIDTH, got);
        assert_true(got[0] == GRADIENT[0] && got[1] == GRADIENT[1]);
    }
    fx_close(&fx);
}

static void a_codec_that_is_not_for_pulls_refuses_the_pull(void **state)
{
    RUB_UNUSED(state);
    static const uint32_t bad[] = {RUB_CODEC_INT8, RUB_CODEC_1BIT, RUB_CODEC_TOPK, 7, 200};
    fx_t fx;
    fx_open(&fx, 1, 4);
    for (size_t i = 0; i < RUB_COUNT_OF(bad); i++) {
        pull_in(&fx, i + 1, bad[i]);
        rub_packet_t *refused = fx_last(&fx, 100, RUB_MSG_PULL_REFUSED);
        assert_non_null(refused);
        assert_int_equal(rub_packet_header(refused)->seq, i + 1);
        assert_int_equal((int32_t)rub_get_u32(rub_packet_values(refused)), RUB_ECODEC);
    }
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_shard_can_not_read_is_a_verdict_that_names_it),
        cmocka_unit_test(places_that_topk_does_not_write_are_refused),
        cmocka_unit_test(a_message_that_grows_beyond_the_limit_is_refused),
        cmocka_unit_test(a_scale_that_is_no_number_is_refused),
        cmocka_unit_test(packed_keys_are_plain_from_admission_on),
        cmocka_unit_test(keys_that_can_not_be_unpacked_are_a_verdict),
        cmocka_unit_test(keys_of_a_dense_table_and_a_range_of_a_hashed_one_are_refused),
        cmocka_unit_test(a_journal_in_an_unknown_codec_is_refused_by_name),
        cmocka_unit_test(rows_get_what_the_codec_decodes),
        cmocka_unit_test(a_replay_decodes_the_same_bits),
        cmocka_unit_test(the_journal_holds_the_encoded_bytes),
        cmocka_unit_test(answers_come_in_the_codec_that_was_asked_for),
        cmocka_unit_test(a_codec_that_is_not_for_pulls_refuses_the_pull),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
