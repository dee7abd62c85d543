/* A shard deletes the rows that its tables' policies name: as records, at the clock at which they
 * are named, and so that whoever comes after finds the same rows. */
#include "ps/record.h"
#include "tests/unit/ps/fold_fixture.h"

static char folder[64];

static int setup(void **state)
{
    RUB_UNUSED(state);
    snprintf(folder, sizeof(folder), "/tmp/rub-evict-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    RUB_UNUSED(state);
    return rub_fs_remove_tree(folder, NULL);
}

static const rub_eviction_t idle_2 = {.idle_clocks = 2, .sweep_clocks = 1};

/* A period of a rank: +1 to a row of its own that nobody else will touch, and to one that all touch
 * in all periods. Seqs in step with periods. */
static void period(fx_t *fx, uint32_t rank, uint64_t clock)
{
    const uint64_t seq = 3 * clock + 1;
    fx_push(fx, 100 + rank, seq, clock, 1000 * (rank + 1) + clock, 1.0F);
    fx_push(fx, 100 + rank, seq + 1, clock, 7, 1.0F);
    fx_say(fx, 100 + rank, RUB_MSG_CLOCK, seq + 2, clock + 1);
}

static void periods(fx_t *fx, uint64_t from, uint64_t to)
{
    for (uint64_t clock = from; clock < to; clock++) {
        period(fx, 0, clock);
        period(fx, 1, clock);
    }
}

static size_t records_of(const fx_t *fx, rub_record_type_t type)
{
    size_t n = 0;
    for (size_t i = 0; i < fx->n_journal; i++) {
        n += fx->journal[i].type == type;
    }
    return n;
}

static void crash_and_compare(fx_t *fx)
{
    const uint64_t digest = rub_shard_digest(fx->shard);
    const uint64_t rows = rub_shard_rows(fx->shard);
    fx_crash(fx);
    assert_int_equal(rub_shard_rows(fx->shard), rows);
    assert_true(rub_shard_digest(fx->shard) == digest);
    fx_hello(fx, 100, 0, 1);
    fx_hello(fx, 101, 1, 1);
    fx_tick(fx, 600); /* looks again at what it may have missed */
    assert_true(rub_shard_digest(fx->shard) == digest);
}

/* Of clocks 0 to n - 1, those of the last idle_2 + 1 stay: two rows each, and the one of all. */
static void rows_are_deleted_by_records_and_stay_deleted(void **state)
{
    RUB_UNUSED(state);
    for (uint64_t staleness = 0; staleness < 5; staleness += 4) {
        fx_t fx;
        fx_open_evicting(&fx, 2, staleness, idle_2);
        periods(&fx, 0, 2);
        assert_int_equal(records_of(&fx, RUB_RECORD_DELETE), 0);
        periods(&fx, 2, 3);
        assert_int_equal(records_of(&fx, RUB_RECORD_DELETE), 1);
        assert_int_equal(rub_shard_rows(fx.shard), 5);
        crash_and_compare(&fx);
        periods(&fx, 3, 8);
        assert_int_equal(rub_shard_rows(fx.shard), 5);
        assert_int_equal(fx.deleted_rows, 2); /* as it was when it last reported */
        fx_tick(&fx, 600);
        assert_int_equal(fx.deleted_rows, 12);
        fx_tick(&fx, 1000);
        if (fx.state_staged) {
            fx_commit(&fx);
        }
        periods(&fx, 8, 10);
        crash_and_compare(&fx);
        assert_int_equal(rub_shard_rows(fx.shard), 5);
        fx_tick(&fx, 600);
        assert_int_equal(fx.deleted_rows, 16);
        fx_close(&fx);
    }
}

static void a_bsp_read_sees_the_rows_of_its_clock(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open_evicting(&fx, 2, 0, idle_2);
    periods(&fx, 0, 2);
    fx_pull(&fx, 100, 1, 2, 6, 1000);
    assert_true(fx_value(&fx, 100) == 0.5F); /* the mean of two */
    period(&fx, 0, 2);
    fx_forget_sent(&fx);
    fx_pull(&fx, 100, 2, 3, 9, 1000);
    assert_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    period(&fx, 1, 2);
    assert_true(fx_value(&fx, 100) == 0.0F);
    fx_close(&fx);
}

/* Pulls of a clock and the period's CLOSE wait until the rows of that clock are gone. */
static void without_room_in_the_journal_nothing_is_deleted_and_bsp_waits(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open_evicting(&fx, 2, 0, idle_2);
    periods(&fx, 0, 2);
    period(&fx, 0, 2);
    fx_push(&fx, 101, 7, 2, 7, 1.0F);
    fx_pull(&fx, 100, 1, 3, 9, 1000);
    fx.room = 12000; /* a clock and a CLOSE go in, a DELETE would not */
    fx_say(&fx, 101, RUB_MSG_CLOCK, 8, 3);
    assert_int_equal(rub_shard_done(fx.shard, 1), 3);
    assert_int_equal(records_of(&fx, RUB_RECORD_DELETE), 0);
    assert_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    assert_true(rub_shard_next_tick_ms(fx.shard) <= 50);
    fx_crash(&fx); /* a new process knows that it has to */
    fx_hello(&fx, 100, 0, 1);
    fx_hello(&fx, 101, 1, 1);
    fx_pull(&fx, 100, 1, 3, 9, 1000);
    assert_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    fx.room = 64u << 20;
    fx_tick(&fx, 50);
    assert_int_equal(records_of(&fx, RUB_RECORD_DELETE), 1);
    assert_true(fx_value(&fx, 100) == 0.0F);
    fx_close(&fx);
}

/* n rows of a rank, all at once. */
static void push_many(fx_t *fx, uint32_t rank, uint64_t seq, uint64_t clock, uint32_t n)
{
    uint8_t *keys = malloc(8 * (size_t)n);
    float *values = malloc(2 * sizeof(float) * n);
    for (uint32_t i = 0; i < n; i++) {
        rub_put_u64(keys + 8 * (size_t)i, 1000 + i);
        values[2 * i] = values[2 * i + 1] = 1;
    }
    fx_frame(fx, 100 + rank,
             (rub_header_t){
                 .type = RUB_MSG_PUSH, .table = LEDGER, .seq = seq, .clock = clock, .n_keys = n},
             keys, 8 * (size_t)n, values, 2 * sizeof(float) * n);
    free(keys);
    free(values);
}

/* However many rows are due, and whatever waits for it; and others are heard in between. */
static void a_turn_deletes_a_bounded_number_of_rows(void **state)
{
    RUB_UNUSED(state);
    enum { ROWS = 40000, OF_PARTITION = 256 };
    for (uint64_t staleness = 0; staleness < 5; staleness += 4) {
        fx_t fx;
        fx_open_evicting(&fx, 2, staleness, idle_2);
        push_many(&fx, 0, 1, 0, ROWS);
        fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
        fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
        for (uint64_t clock = 1; clock < 3; clock++) {
            fx_say(&fx, 100, RUB_MSG_CLOCK, clock + 2, clock + 1);
            if (clock < 2) {
                fx_say(&fx, 101, RUB_MSG_CLOCK, clock + 1, clock + 1);
            }
        }
        assert_int_equal(rub_shard_rows(fx.shard), ROWS);
        if (staleness == 0) {
            fx_pull(&fx, 100, 1, 3, 4, 1000);
        }
        size_t turns = 0;
        fx_say(&fx, 101, RUB_MSG_CLOCK, 3, 3);
        for (uint64_t rows = ROWS; rub_shard_rows(fx.shard) > 0; turns++) {
            assert_true(rub_shard_rows(fx.shard) < rows);
            assert_true(rub_shard_rows(fx.shard) + 16384 + OF_PARTITION >= rows);
            rows = rub_shard_rows(fx.shard);
            assert_null(fx_last(&fx, 100, RUB_MSG_ROWS)); /* bsp: not before all are gone */
            assert_true(rub_shard_next_tick_ms(fx.shard) <= (staleness > 0)); /* it goes on soon */
            fx_tick(&fx, staleness > 0);
        }
        assert_int_equal(turns, ROWS / 16384);
        fx_tick(&fx, 1);
        if (staleness == 0) {
            assert_true(fx_value(&fx, 100) == 0.0F);
        }
        fx_close(&fx);
    }
}

static void finish(fx_t *fx)
{
    const rub_control_t finish = {.type = RUB_MSG_FINISH, .finish = {.job = JOB, .generation = 1}};
    fx_begin(fx);
    assert_int_equal(rub_shard_control(fx->shard, &finish), 0);
    fx_end(fx);
}

static void a_shard_that_is_to_finish_keeps_what_it_has(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open_evicting(&fx, 2, 4, idle_2);
    periods(&fx, 0, 2);
    period(&fx, 0, 2);
    finish(&fx);
    fx_tick(&fx, 600);
    assert_int_equal(records_of(&fx, RUB_RECORD_DELETE), 0);
    fx_close(&fx);
}

static void settle(fx_t *fx)
{
    for (int i = 0; i < 3; i++) {
        fx_tick(fx, 600);
        if (fx->state_staged) {
            fx_commit(fx);
        }
    }
}

/* The last period waits for the deletes of its clock: so does the end, or its pushes would be lost.
 */
static void a_bsp_shard_finishes_when_all_is_deleted_and_closed(void **state)
{
    RUB_UNUSED(state);
    uint64_t digests[2];
    for (int full = 0; full < 2; full++) {
        fx_t fx;
        fx_open_evicting(&fx, 2, 0, idle_2);
        periods(&fx, 0, 2);
        fx.room = full ? 12000 : fx.room;
        periods(&fx, 2, 3);
        for (uint32_t rank = 0; rank < 2; rank++) {
            fx_push(&fx, 100 + rank, 10, 3, 7, 1.0F);
            fx_say(&fx, 100 + rank, RUB_MSG_BYE, 11, 4);
        }
        assert_int_equal(records_of(&fx, RUB_RECORD_CLOSE), full ? 3 : 4);
        finish(&fx);
        settle(&fx);
        assert_int_equal(fx.controls[RUB_MSG_FINISHED] > 0, !full);
        assert_true(rub_shard_next_tick_ms(fx.shard) > 0);
        fx.room = 64u << 20;
        settle(&fx);
        assert_int_equal(records_of(&fx, RUB_RECORD_CLOSE), 4);
        assert_true(fx.controls[RUB_MSG_FINISHED] > 0);
        assert_true(fx.finished_digest == rub_shard_digest(fx.shard));
        digests[full] = fx.finished_digest;
        fx_close(&fx);
    }
    assert_true(digests[0] == digests[1]);
}

/* ---- what a replay refuses ---- */

static int replay(fx_t *fx, uint64_t tick, uint32_t table, uint64_t key, size_t n_bytes,
                  rub_error_t *err)
{
    uint8_t payload[24];
    const rub_delete_record_t record = {.tick = tick, .table = table, .n_keys = 1};
    rub_delete_write_head(&record, payload);
    rub_put_u64(payload + 16, key);
    return fx_replay_and(fx, RUB_RECORD_DELETE, payload, n_bytes, err);
}

static void expect_refusal(fx_t *fx, uint64_t tick, uint32_t table, uint64_t key, size_t n_bytes,
                           const char *sentence)
{
    rub_error_t err = {0};
    assert_int_equal(replay(fx, tick, table, key, n_bytes, &err), RUB_ECORRUPT);
    if (!strstr(err.message, sentence)) {
        fail_msg("%s", err.message);
    }
}

static void a_replay_refuses_deletes_that_the_policy_does_not_explain(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open_evicting(&fx, 2, 4, idle_2);
    periods(&fx, 0, 2);
    rub_error_t err = {0};
    expect_refusal(&fx, 3, LEDGER, 1000, 15, "DELETE: 15 bytes do not fit 0 keys");
    expect_refusal(&fx, 3, LEDGER, 1000, 16, "DELETE: 16 bytes do not fit 1 keys");
    expect_refusal(&fx, 3, 9, 1000, 24, "DELETE for table 9, which nobody knows");
    expect_refusal(&fx, 3, DENSE, 1000, 24, "delete of 1 rows of 'dense', which deletes none");
    expect_refusal(&fx, 3, LEDGER, 5, 24, "delete of key 5 of 'ledger' at tick 3: there is no");
    expect_refusal(&fx, 2, LEDGER, 1000, 24, "delete of key 1000 of 'ledger' at tick 2: neither");
    assert_int_equal(replay(&fx, 3, LEDGER, 1000, 24, &err), 0);
    fx_close(&fx);
}

/* ---- snapshots ---- */

static uint64_t digest_at(uint64_t staleness, uint64_t clock)
{
    fx_t fx;
    fx_open_evicting(&fx, 2, staleness, idle_2);
    periods(&fx, 0, clock);
    const uint64_t digest = rub_shard_digest(fx.shard);
    fx_close(&fx);
    return digest;
}

static void a_fold_has_the_deletes_up_to_its_cut_and_no_others(void **state)
{
    RUB_UNUSED(state);
    for (uint64_t staleness = 0; staleness < 5; staleness += 4) {
        for (uint64_t cut_at = 3; cut_at < 8; cut_at++) {
            fx_t fx;
            fx_open_evicting(&fx, 2, staleness, idle_2);
            periods(&fx, 0, 2);
            const rub_fold_rank_t ranks[] = {{0, 1, cut_at}, {1, 1, cut_at}};
            const rub_fold_cut_t cut = {
                .pin_lsn = rub_shard_lsn(fx.shard), .ranks = ranks, .n_ranks = 2};
            periods(&fx, 2, 8);
            rub_fold_result_t result;
            rub_error_t err = {0};
            if (ff_fold(&fx, folder, &cut, &result, &err) != 0) {
                fail_msg("%s", err.message);
            }
            assert_true(result.digest == digest_at(staleness, cut_at));
            fx_close(&fx);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_deleted_by_records_and_stay_deleted),
        cmocka_unit_test(a_bsp_read_sees_the_rows_of_its_clock),
        cmocka_unit_test(without_room_in_the_journal_nothing_is_deleted_and_bsp_waits),
        cmocka_unit_test(a_turn_deletes_a_bounded_number_of_rows),
        cmocka_unit_test(a_shard_that_is_to_finish_keeps_what_it_has),
        cmocka_unit_test(a_bsp_shard_finishes_when_all_is_deleted_and_closed),
        cmocka_unit_test(a_replay_refuses_deletes_that_the_policy_does_not_explain),
        cmocka_unit_test_setup_teardown(a_fold_has_the_deletes_up_to_its_cut_and_no_others, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
