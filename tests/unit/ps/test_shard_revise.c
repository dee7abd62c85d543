/* AdaRevision on a shard: what was applied since a rank's pull stands in the record of its push,
 * and in nothing else that outlives the process. Expected weights are stepped beside the shard, one
 * weight with its slots, by hand-counted sums. */
#include "common/num/optimizer.h"
#include "ps/record.h"
#include "ps/shard_internal.h"
#include "tests/unit/ps/shard_fixture.h"

enum { KEY = 5 };

/* One weight, as it should be. */
typedef struct weight {
    float w, slots[3];
} weight_t;

static void step(weight_t *self, float gradient, float since)
{
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    hyper.lr = 0.1;
    rub_optimizer_apply_late(rub_optimizer_find(RUB_ADAREVISION), &self->w, self->slots, 1, 1,
                             &hyper, &gradient, since != 0 ? &since : NULL);
}

static void open_with(fx_t *fx, uint64_t staleness, rub_eviction_t evict)
{
    *fx = fx_job(2, staleness);
    fx->optimizer = RUB_ADAREVISION;
    fx->evict = evict;
    fx_begin_job(fx);
}

static void open_job(fx_t *fx)
{
    open_with(fx, 8, (rub_eviction_t){.norm = 0});
}

static void expect_weights(fx_t *fx, uint64_t of, const weight_t *want)
{
    uint8_t key[8];
    float values[2];
    rub_put_u64(key, of);
    const rub_rows_t rows = {.keys = key, .n_keys = 1};
    rub_ptable_pull(rub_shard_table(fx->shard, LEDGER), &rows, values, NULL);
    if (values[0] != want->w || values[1] != want->w) {
        fail_msg("%.9g and %.9g, expected %.9g", (double)values[0], (double)values[1],
                 (double)want->w);
    }
}

static void expect_row(fx_t *fx, const weight_t *want)
{
    expect_weights(fx, KEY, want);
}

static void expect_block(fx_t *fx, uint64_t block, const weight_t *want)
{
    const rub_rows_t rows = {.is_range = true, .first = block * RUB_BLOCK, .count = 1};
    float value;
    rub_ptable_pull(rub_shard_table(fx->shard, DENSE), &rows, &value, NULL);
    if (value != want->w) {
        fail_msg("block %llu: %.9g, expected %.9g", (unsigned long long)block, (double)value,
                 (double)want->w);
    }
}

/* The last record is of that type, and what it holds of the first value. */
static void expect_record(const fx_t *fx, rub_record_type_t type, float gradient, float since)
{
    const fx_record_t *last = &fx->journal[fx->n_journal - 1];
    rub_record_t record;
    float value;
    assert_int_equal(last->type, type);
    assert_int_equal(rub_record_read(last->type, last->bytes, last->n_bytes, &record, NULL), 0);
    memcpy(&value, record.values, sizeof(value));
    assert_true(value == gradient);
    assert_int_equal(record.since != NULL, type == RUB_RECORD_REVISION);
    if (record.since) {
        memcpy(&value, record.since, sizeof(value));
        assert_true(value == since);
        assert_ptr_equal(record.since, record.values + record.values_bytes);
    }
}

static void a_late_push_is_stepped_with_what_was_applied_since_its_pull(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    weight_t want = {0};
    open_job(&fx);
    fx_pull(&fx, 100, 1, 0, 0, KEY); /* there is no row yet */
    fx_pull(&fx, 101, 1, 0, 0, KEY);
    fx_push(&fx, 100, 1, 0, KEY, 2);
    step(&want, 2, 0);
    expect_record(&fx, RUB_RECORD_PUSH, 2, 0);
    fx_push(&fx, 101, 1, 0, KEY, 3);
    step(&want, 3, 2);
    expect_record(&fx, RUB_RECORD_REVISION, 3, 2);
    expect_row(&fx, &want);
    fx_push(&fx, 100, 2, 0, KEY, -1); /* its own first push counts, too */
    step(&want, -1, 5);
    expect_record(&fx, RUB_RECORD_REVISION, -1, 5);
    fx_pull(&fx, 100, 2, 0, 2, KEY); /* again: what it has now counts */
    fx_push(&fx, 100, 3, 0, KEY, 4);
    step(&want, 4, 0);
    expect_record(&fx, RUB_RECORD_PUSH, 4, 0);
    expect_row(&fx, &want);
    fx_crash_alike(&fx);
    expect_row(&fx, &want);
    fx_push(&fx, 101, 2, 0, KEY, 1); /* its pull is forgotten */
    step(&want, 1, 0);
    expect_record(&fx, RUB_RECORD_PUSH, 1, 0);
    expect_row(&fx, &want);
    fx_pull(&fx, 101, 3, 0, 2, KEY);
    fx_push(&fx, 100, 4, 0, KEY, 1);
    step(&want, 1, 0);
    fx_push(&fx, 101, 3, 0, KEY, 1); /* sums went on where they were */
    step(&want, 1, 1);
    expect_record(&fx, RUB_RECORD_REVISION, 1, 1);
    expect_row(&fx, &want);
    fx_crash_alike(&fx);
    expect_row(&fx, &want);
    fx_close(&fx);
}

static void blocks_are_revised_one_by_one(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    weight_t want[2] = {{0}};
    open_job(&fx);
    fx_pull_range(&fx, 100, 1, 0, 0, RUB_BLOCK + 7); /* the second one not whole */
    fx_push_block(&fx, 101, 1, 0, 0, 14);
    step(&want[0], 2, 0);
    fx_push_block(&fx, 101, 2, 0, 1, 14);
    step(&want[1], 2, 0);
    fx_push_block(&fx, 100, 1, 0, 0, -7);
    step(&want[0], -1, 2);
    expect_record(&fx, RUB_RECORD_REVISION, -1, 2);
    fx_push_block(&fx, 100, 2, 0, 1, -7);
    step(&want[1], -1, 0);
    expect_record(&fx, RUB_RECORD_PUSH, -1, 0);
    expect_block(&fx, 0, &want[0]);
    expect_block(&fx, 1, &want[1]);
    fx_crash_alike(&fx);
    expect_block(&fx, 0, &want[0]);
    expect_block(&fx, 1, &want[1]);
    fx_close(&fx);
}

static void a_prefetch_does_not_replace_what_the_open_period_was_given(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    weight_t want = {0};
    open_job(&fx);
    fx_pull(&fx, 100, 1, 0, 0, KEY);
    fx_push(&fx, 101, 1, 0, KEY, 2);
    step(&want, 2, 0);
    fx_pull(&fx, 100, 2, 1, 0, KEY); /* for the next period: 2 */
    fx_push(&fx, 100, 1, 0, KEY, 3);
    step(&want, 3, 2);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    fx_push(&fx, 100, 3, 1, KEY, 1);
    step(&want, 1, 3);
    expect_record(&fx, RUB_RECORD_REVISION, 1, 3);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 4, 2);
    fx_push(&fx, 100, 5, 2, KEY, 1); /* nothing was pulled for it */
    step(&want, 1, 0);
    expect_record(&fx, RUB_RECORD_PUSH, 1, 0);
    expect_row(&fx, &want);
    fx_close(&fx);
}

/* With an exact checkpoint in between: slots come from the store, and what is behind is redone. */
static void a_recovery_takes_the_steps_that_were_taken(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    open_job(&fx);
    uint64_t seq[2] = {0}, id = 0;
    size_t n_revisions = 0;
    for (uint64_t clock = 0; clock < 12; clock++) {
        for (uint32_t rank = 0; rank < 2; rank++) {
            fx_pull(&fx, 100 + rank, ++id, clock, seq[rank], KEY + clock % 3);
            fx_pull_range(&fx, 100 + rank, ++id, clock, 0, RUB_BLOCK);
        }
        for (uint32_t rank = 0; rank < 2; rank++) {
            const float g = 0.37F * (float)(clock % 5) - 0.6F;
            fx_push(&fx, 100 + rank, ++seq[rank], clock, KEY + clock % 3, g);
            fx_push_block(&fx, 100 + rank, ++seq[rank], clock, 0, g + (float)rank);
            fx_say(&fx, 100 + rank, RUB_MSG_CLOCK, ++seq[rank], clock + 1);
        }
        if (clock == 5) {
            fx_tick(&fx, 1000);
            fx_commit(&fx);
        }
        if (clock % 4 == 3) {
            fx_crash_alike(&fx);
        }
    }
    for (size_t i = 0; i < fx.n_journal; i++) {
        n_revisions += fx.journal[i].type == RUB_RECORD_REVISION;
    }
    assert_int_equal(n_revisions, 24); /* each second push of the two ranks to the same */
    fx_close(&fx);
}

static void what_is_encoded_stands_as_float32_where_it_is_late(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    weight_t want = {0};
    open_job(&fx);
    const rub_codec_t *codec = rub_codec_find(RUB_CODEC_F16);
    const float values[2] = {1.5F, 1.5F};
    uint8_t encoded[4], key[8];
    codec->encode(values, 2, 0, 0, encoded);
    rub_put_u64(key, KEY);
    rub_header_t push = {.type = RUB_MSG_PUSH,
                         .table = LEDGER,
                         .flags = rub_codec_flags(RUB_CODEC_F16),
                         .seq = 1,
                         .n_keys = 1};
    fx_pull(&fx, 100, 1, 0, 0, KEY);
    fx_frame(&fx, 101, push, key, sizeof(key), encoded, sizeof(encoded));
    step(&want, 1.5F, 0);
    assert_int_equal(fx.journal[fx.n_journal - 1].type, RUB_RECORD_PUSH);
    assert_int_equal(fx.journal[fx.n_journal - 1].n_bytes, RUB_RECORD_HEAD_BYTES + 8 + 4);
    fx_frame(&fx, 100, push, key, sizeof(key), encoded, sizeof(encoded));
    step(&want, 1.5F, 1.5F);
    expect_record(&fx, RUB_RECORD_REVISION, 1.5F, 1.5F);
    expect_row(&fx, &want);
    fx_crash_alike(&fx);
    expect_row(&fx, &want);
    fx_close(&fx);
}

static void room_for_both_halves_is_asked_for(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    open_job(&fx);
    fx.room = 4096 + RUB_RECORD_HEAD_BYTES + RUB_RECORD_OVERHEAD + 16 + 7 * RUB_BLOCK;
    fx_push_block(&fx, 100, 1, 0, 0, 7);
    assert_non_null(fx_last(&fx, 100, RUB_MSG_POSTPONED));
    fx.room += RUB_BLOCK;
    fx_push_block(&fx, 100, 1, 0, 0, 7);
    assert_int_equal(fx_ack(&fx, 100)->seq, 1);
    fx_close(&fx);
}

static void a_row_that_comes_back_begins_with_nothing_applied(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    weight_t want = {0};
    open_with(&fx, 8, (rub_eviction_t){.idle_clocks = 1, .sweep_clocks = 1});
    fx_push(&fx, 101, 1, 0, KEY, 2);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 2);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 2, 1);
    fx_pull(&fx, 100, 1, 2, 2, KEY);
    assert_int_equal(rub_shard_rows(fx.shard), 1);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 3, 2);
    fx_tick(&fx, 10);
    assert_int_equal(rub_shard_rows(fx.shard), 0);
    fx_push(&fx, 101, 4, 2, KEY, 5);
    step(&want, 5, 0);
    fx_push(&fx, 100, 3, 2, KEY, 1);
    step(&want, 1, 5); /* not 5 - 2 */
    expect_record(&fx, RUB_RECORD_REVISION, 1, 5);
    expect_row(&fx, &want);
    fx_crash_alike(&fx);
    expect_row(&fx, &want);
    fx_close(&fx);
}

static void what_ranks_were_given_gives_way_to_rows(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    open_job(&fx);
    const size_t before = rub_shard_memory_left(fx.shard);
    fx_pull_range(&fx, 100, 1, 0, 0, RUB_BLOCK);
    const size_t copy = before - rub_shard_memory_left(fx.shard);
    assert_true(copy >= RUB_BLOCK * sizeof(float));
    assert_int_equal(fx.shard->seen_sums.bytes, copy);
    fx_push_block(&fx, 101, 1, 0, 0, 7);
    fx.shard->config.limit_bytes = fx.shard->tables_bytes + copy;
    fx.n_notices = 0;
    fx_pull_range(&fx, 101, 1, 0, 0, RUB_BLOCK);
    fx_pull_range(&fx, 101, 2, 0, 0, RUB_BLOCK);
    assert_int_equal(fx.n_notices, 1);
    assert_non_null(strstr(fx.notice, "table 'dense': late gradients count as punctual"));
    fx_pull(&fx, 101, 3, 0, 0, KEY);
    fx_pull(&fx, 101, 4, 0, 0, KEY);
    assert_int_equal(fx.n_notices, 2); /* each table once */
    assert_null(strstr(fx.notice, "'dense'"));
    assert_non_null(strstr(fx.notice, "late gradients count as punctual"));
    fx.shard->config.limit_bytes = fx.shard->tables_bytes + (size_t)5 * RUB_BLOCK * sizeof(float);
    fx_push_block(&fx, 101, 2, 0, 1, 7); /* a block more */
    assert_int_equal(fx.shard->seen_sums.bytes, 0);
    fx_push_block(&fx, 100, 1, 0, 0, 7);
    expect_record(&fx, RUB_RECORD_PUSH, 1, 0);
    fx_close(&fx);
}

enum { MANY = 4096 };

/* A pull of the keys from first on, or a push of ones to them. */
static void say_many(fx_t *fx, rub_peer_t peer, rub_header_t header, uint64_t first)
{
    static uint8_t keys[8 * MANY];
    static float values[2 * MANY];
    for (uint64_t i = 0; i < MANY; i++) {
        rub_put_u64(keys + 8 * i, first + i);
        values[2 * i] = values[2 * i + 1] = 1;
    }
    header.table = LEDGER;
    header.n_keys = MANY;
    fx_frame(fx, peer, header, keys, sizeof(keys), values,
             header.type == RUB_MSG_PULL ? 0 : sizeof(values));
}

/* Who takes all that is left takes the room of the next rows, too, and is forgotten for each of
 * them. */
static void rows_that_come_seldom_send_away_what_ranks_were_given(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    unsigned n_gone = 0;
    open_job(&fx);
    fx.shard->config.limit_bytes = fx.shard->tables_bytes + ((size_t)5 << 20);
    for (uint64_t round = 0; round < 20; round++) {
        for (uint64_t i = 0; i < 48; i++) {
            const rub_header_t pull = {.type = RUB_MSG_PULL, .seq = 1 + i, .clock = i % 2};
            say_many(&fx, 100 + i / 2 % 2, pull, (1 + round * 48 + i) << 32);
            fx_forget_sent(&fx);
        }
        const size_t before = fx.shard->seen_sums.bytes;
        const rub_header_t push = {.type = RUB_MSG_PUSH, .seq = 1 + round};
        say_many(&fx, 101, push, round * MANY);
        n_gone += fx.shard->seen_sums.bytes < before;
    }
    assert_int_equal(fx_ack(&fx, 101)->seq, 20);
    assert_in_range(n_gone, 1, 6);
    fx_close(&fx);
}

static void where_there_is_no_room_what_has_its_place_is_renewed(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    open_job(&fx);
    fx_pull_range(&fx, 100, 1, 0, RUB_BLOCK, RUB_BLOCK);
    fx_push_block(&fx, 101, 1, 0, 1, 14);
    fx.shard->config.limit_bytes = fx.shard->tables_bytes + fx.shard->seen_sums.bytes + 1;
    fx_pull_range(&fx, 100, 2, 0, 0, 2 * RUB_BLOCK); /* the first block has no room */
    fx_push_block(&fx, 100, 1, 0, 1, 7);
    expect_record(&fx, RUB_RECORD_PUSH, 1, 0);
    fx_close(&fx);
}

static void what_a_dead_rank_was_given_is_freed(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    open_job(&fx);
    fx_pull(&fx, 100, 1, 0, 0, KEY);
    fx_pull(&fx, 101, 1, 0, 0, KEY);
    const size_t both = fx.shard->seen_sums.bytes;
    fx.ranks[1].state = RUB_RANK_GONE;
    fx_view(&fx);
    fx_tick(&fx, 1000);
    assert_int_equal(fx.shard->seen_sums.bytes, both / 2);
    fx_close(&fx);
}

/* One message for KEY and the one behind it. */
static void push_both(fx_t *fx, rub_peer_t peer, uint64_t seq, float x)
{
    const float values[4] = {x, x, x, x};
    uint8_t keys[16];
    rub_put_u64(keys, KEY);
    rub_put_u64(keys + 8, KEY + 1);
    fx_frame(fx, peer,
             (rub_header_t){.type = RUB_MSG_PUSH, .table = LEDGER, .seq = seq, .n_keys = 2}, keys,
             sizeof(keys), values, sizeof(values));
}

/* From then on the row's sum is infinite, and says nothing any more. */
static void sums_that_overflow_count_as_nothing_applied(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    weight_t want = {0};
    open_job(&fx);
    fx_pull(&fx, 100, 1, 0, 0, KEY);
    fx_push(&fx, 101, 1, 0, KEY, 3e38F);
    fx_push(&fx, 101, 2, 0, KEY, 3e38F);
    fx_push(&fx, 100, 1, 0, KEY, 1);
    expect_record(&fx, RUB_RECORD_PUSH, 1, 0);
    fx_pull(&fx, 100, 2, 0, 1, KEY);
    fx_push(&fx, 101, 3, 0, KEY, 1);
    fx_push(&fx, 100, 2, 0, KEY, 1);
    expect_record(&fx, RUB_RECORD_PUSH, 1, 0);
    fx_pull(&fx, 100, 3, 0, 2, KEY + 1); /* which is well */
    fx_push(&fx, 101, 4, 0, KEY + 1, 2);
    push_both(&fx, 100, 3, 1);
    expect_record(&fx, RUB_RECORD_REVISION, 1, 0);
    step(&want, 2, 0);
    step(&want, 1, 2);
    expect_weights(&fx, KEY + 1, &want);
    fx_crash_alike(&fx);
    fx_close(&fx);
}

static void nothing_is_late_under_bsp(void **state)
{
    RUB_UNUSED(state);
    for (int each = 0; each < 2; each++) {
        fx_t fx = fx_job(2, 0);
        weight_t want = {0};
        fx.optimizer = RUB_ADAREVISION;
        fx.reduce = each ? RUB_REDUCE_EACH : RUB_REDUCE_MEAN;
        fx_begin_job(&fx);
        fx_pull(&fx, 100, 1, 0, 0, KEY);
        fx_push(&fx, 101, 1, 0, KEY, 2);
        fx_push(&fx, 100, 1, 0, KEY, 4);
        expect_record(&fx, RUB_RECORD_PUSH, 4, 0);
        fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
        fx_say(&fx, 101, RUB_MSG_CLOCK, 2, 1);
        step(&want, each ? 4 : 3, 0);
        if (each) {
            step(&want, 2, 0);
        }
        expect_row(&fx, &want);
        assert_int_equal(fx.shard->seen_sums.bytes, 0);
        fx_crash_alike(&fx);
        expect_row(&fx, &want);
        fx_close(&fx);
    }
}

/* ---- what a replay refuses ---- */

static int replay_with(fx_t *fx, const rub_record_t *record, size_t n_bytes, rub_error_t *err)
{
    uint8_t payload[RUB_RECORD_HEAD_BYTES + 64] = {0};
    rub_record_write_head(record, payload);
    rub_put_u64(payload + RUB_RECORD_HEAD_BYTES, KEY);
    memcpy(payload + RUB_RECORD_HEAD_BYTES + 8, record->values, record->values_bytes);
    if (record->since) {
        memcpy(payload + RUB_RECORD_HEAD_BYTES + 8 + record->values_bytes, record->since,
               record->values_bytes);
    }
    return fx_replay_and(fx, RUB_RECORD_REVISION, payload, RUB_RECORD_HEAD_BYTES + 8 + n_bytes,
                         err);
}

static void expect_refusal(fx_t *fx, const rub_record_t *record, size_t n_bytes,
                           const char *sentence)
{
    rub_error_t err = {0};
    assert_int_equal(replay_with(fx, record, n_bytes, &err), RUB_ECORRUPT);
    if (!strstr(err.message, sentence)) {
        fail_msg("%s", err.message);
    }
}

static void a_replay_refuses_revisions_that_no_shard_writes(void **state)
{
    RUB_UNUSED(state);
    for (uint64_t staleness = 0; staleness < 9; staleness += 8) {
        for (int revises = 0; revises < 2; revises++) {
            fx_t fx = fx_job(2, staleness);
            fx.optimizer = revises ? RUB_ADAREVISION : RUB_ADAGRAD;
            fx_begin_job(&fx);
            const float g[2] = {1, 2}, b[2] = {3, 4}, infinite[2] = {1, (float)(1e300 * 1e300)};
            rub_record_t record = {.rank = 0,
                                   .epoch = 1,
                                   .seq = 1,
                                   .table = LEDGER,
                                   .n_keys = 1,
                                   .values = (const uint8_t *)g,
                                   .values_bytes = sizeof(g),
                                   .since = (const uint8_t *)b};
            if (staleness == 0 || !revises) {
                expect_refusal(&fx, &record, 16,
                               staleness == 0 ? "takes no REVISION with flags 0 under bsp"
                                              : "of optimizer 3 takes no REVISION");
                fx_close(&fx);
                continue;
            }
            rub_error_t err;
            assert_int_equal(replay_with(&fx, &record, 16, &err), 0);
            expect_refusal(&fx, &record, 15, "do not fit 1 keys");
            record.since = (const uint8_t *)infinite;
            expect_refusal(&fx, &record, 16, "a sum of a REVISION is NaN or infinite");
            record.values_bytes = 4; /* of a row of two */
            expect_refusal(&fx, &record, 8, "REVISION of rank 0 seq 1 would not be admitted");
            record.since = NULL;
            expect_refusal(&fx, &record, 4, "4 bytes are not two halves of float32");
            record.values_bytes = 8;
            record.since = (const uint8_t *)b;
            record.flags = rub_codec_flags(RUB_CODEC_F16);
            expect_refusal(&fx, &record, 16, "takes no REVISION with flags");
            fx_close(&fx);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_push_is_stepped_with_what_was_applied_since_its_pull),
        cmocka_unit_test(blocks_are_revised_one_by_one),
        cmocka_unit_test(a_prefetch_does_not_replace_what_the_open_period_was_given),
        cmocka_unit_test(a_recovery_takes_the_steps_that_were_taken),
        cmocka_unit_test(what_is_encoded_stands_as_float32_where_it_is_late),
        cmocka_unit_test(room_for_both_halves_is_asked_for),
        cmocka_unit_test(a_row_that_comes_back_begins_with_nothing_applied),
        cmocka_unit_test(what_ranks_were_given_gives_way_to_rows),
        cmocka_unit_test(rows_that_come_seldom_send_away_what_ranks_were_given),
        cmocka_unit_test(where_there_is_no_room_what_has_its_place_is_renewed),
        cmocka_unit_test(what_a_dead_rank_was_given_is_freed),
        cmocka_unit_test(sums_that_overflow_count_as_nothing_applied),
        cmocka_unit_test(nothing_is_late_under_bsp),
        cmocka_unit_test(a_replay_refuses_revisions_that_no_shard_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
