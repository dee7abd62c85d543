/* Coming back: from the journal alone, from an exact checkpoint, from a sweep in the middle of
 * traffic. */
#include "tests/unit/ps/shard_fixture.h"

/* Some traffic of two ranks from period `from` to `to`, seqs in step with periods: 3 records per
 * period. */
static void work(fx_t *fx, uint64_t from, uint64_t to)
{
    for (uint64_t period = from; period < to; period++) {
        for (uint32_t rank = 0; rank < 2; rank++) {
            const uint64_t seq = 3 * period + 1;
            fx_push_block(fx, 100 + rank, seq, period, period % 2,
                          0.01F * (float)(rank + period + 1));
            fx_push(fx, 100 + rank, seq + 1, period, 1000 * period + rank, 1.0F);
            fx_say(fx, 100 + rank, RUB_MSG_CLOCK, seq + 2, period + 1);
        }
    }
}

static void greet(fx_t *fx)
{
    fx_hello(fx, 100, 0, 1);
    fx_hello(fx, 101, 1, 1);
}

static void compare_after_crash(fx_t *fx)
{
    const uint64_t digest = rub_shard_digest(fx->shard);
    const uint64_t done[2] = {rub_shard_done(fx->shard, 0), rub_shard_done(fx->shard, 1)};
    fx_crash(fx);
    assert_true(rub_shard_digest(fx->shard) == digest);
    assert_int_equal(rub_shard_done(fx->shard, 0), done[0]);
    assert_int_equal(rub_shard_done(fx->shard, 1), done[1]);
}

static void shard_rebuilds_itself_from_its_journal(void **state)
{
    RUB_UNUSED(state);
    for (uint64_t staleness = 0; staleness < 5; staleness += 4) {
        fx_t fx;
        fx_open(&fx, 2, staleness);
        work(&fx, 0, 5);
        fx_push(&fx, 100, 16, 5, 77, 1.0F);
        fx_push(&fx, 101, 16, 9, 77, 1.0F); /* a verdict */
        compare_after_crash(&fx);
        greet(&fx);
        assert_int_equal(rub_packet_header(fx_last(&fx, 100, RUB_MSG_WELCOME))->seq, 16);
        assert_int_equal(rub_packet_header(fx_last(&fx, 101, RUB_MSG_WELCOME))->seq, 16);
        fx_close(&fx);
    }
}

static void new_lsns_follow_the_incarnation(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    work(&fx, 0, 1);
    assert_int_equal(rub_shard_lsn(fx.shard) >> 40, 1);
    fx_crash(&fx);
    greet(&fx);
    work(&fx, 1, 2);
    assert_int_equal(rub_shard_lsn(fx.shard) >> 40, 2);
    fx_close(&fx);
}

static void exact_checkpoint_and_what_came_after_make_the_same_shard(void **state)
{
    RUB_UNUSED(state);
    for (uint64_t staleness = 0; staleness < 5; staleness += 4) {
        fx_t fx;
        fx_open(&fx, 2, staleness);
        work(&fx, 0, 4);
        fx_tick(&fx, 1000);
        assert_true(fx.state_staged);
        fx_commit(&fx);
        assert_true(rub_shard_clean(fx.shard));
        work(&fx, 4, 7);
        assert_false(rub_shard_clean(fx.shard));
        fx_push(&fx, 101, 22, 7, 5, 2.0F);
        compare_after_crash(&fx);
        greet(&fx);
        fx_push(&fx, 101, 23, 7, 5, 2.0F);
        fx_tick(&fx, 1000);
        compare_after_crash(&fx); /* a checkpoint was staged and never committed */
        fx_close(&fx);
    }
}

static void bsp_checkpoint_waits_for_the_moment_after_close(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    work(&fx, 0, 1);
    fx_push(&fx, 100, 4, 1, 9, 1.0F);
    fx_tick(&fx, 1000);
    assert_false(fx.state_staged);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 5, 2);
    assert_false(fx.state_staged);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 4, 2);
    assert_true(fx.state_staged);
    fx_commit(&fx);
    compare_after_crash(&fx);
    fx_close(&fx);
}

static void sweep_between_traffic_and_what_came_after_make_the_same_shard(void **state)
{
    RUB_UNUSED(state);
    enum { FRAMES = 320, ROWS = 512, STAGE_BYTES = 16 << 10 };
    for (uint64_t staleness = 0; staleness < 5; staleness += 4) {
        fx_t fx;
        fx_open(&fx, 2, staleness);
        greet(&fx);
        uint64_t seq = 0;
        for (uint64_t key = 0; key < FRAMES; key++) { /* above the limit of an exact checkpoint */
            static uint8_t keys[8 * ROWS];
            static float values[2 * ROWS];
            for (uint64_t i = 0; i < ROWS; i++) {
                rub_put_u64(keys + 8 * i, key * ROWS + i);
                values[2 * i] = 1.0F;
                values[2 * i + 1] = (float)key;
            }
            fx_frame(
                &fx, 100,
                (rub_header_t){.type = RUB_MSG_PUSH, .table = LEDGER, .seq = ++seq, .n_keys = ROWS},
                keys, sizeof(keys), values, sizeof(values));
        }
        if (staleness == 0) { /* applied, but for one that is open */
            fx_say(&fx, 100, RUB_MSG_CLOCK, ++seq, 1);
            fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
            fx_push(&fx, 100, ++seq, 1, 1, 5.0F);
        }
        fx.config.redo_limit_bytes = 1; /* from its next life on: all this is too much */
        fx.config.stage_bytes = STAGE_BYTES;
        fx_crash(&fx);
        greet(&fx);
        fx_synced(&fx); /* of what was replayed */
        fx_tick(&fx, 1000);
        assert_false(fx.state_staged);                         /* too much for one tick */
        assert_int_equal(rub_shard_next_tick_ms(fx.shard), 1); /* others come in between */
        assert_true(fx.n_staged > 0);
        int ticks = 0;
        while (!fx.state_staged) {
            const uint64_t clock = staleness == 0 ? 1 : 0;
            fx_push(&fx, 100, ++seq, clock, (uint64_t)ticks, 1.0F); /* staged already, perhaps */
            fx_push(&fx, 100, ++seq, clock, 1u << 30 | (unsigned)ticks, 1.0F); /* new */
            fx_push(&fx, 100, ++seq, clock, FRAMES * ROWS - 1000 + (uint64_t)ticks,
                    1.0F); /* not staged yet, perhaps */
            if (staleness == 0 && ticks == 2) {
                fx_say(&fx, 100, RUB_MSG_CLOCK, ++seq, 2);
                fx_say(&fx, 101, RUB_MSG_CLOCK, 2, 2);
                fx_push(&fx, 101, 3, 2, 8, 1.0F);
                fx_crash(&fx); /* in the middle of a sweep: nothing was stored yet */
                greet(&fx);
                fx_tick(&fx, 1000);
                fx_say(&fx, 100, RUB_MSG_CLOCK, ++seq, 3);
                break;
            }
            fx_tick(&fx, 1);
            assert_true(++ticks < 1000);
        }
        while (!fx.state_staged) {
            fx_tick(&fx, 1);
            fx_say(&fx, 101, RUB_MSG_CLOCK, 4, 3); /* CLOSE while chunks are being copied */
        }
        if (fx.sync_lsn != 0) {
            fx_synced(&fx); /* the interval's: a sweep was under way */
        }
        fx_commit(&fx);
        fx_push(&fx, 100, ++seq, rub_shard_done(fx.shard, 0), 3, 1.0F);
        compare_after_crash(&fx);
        fx_close(&fx);
    }
}

/* Pushes so many frames of so many rows, of keys that follow each other. */
static void push_frames(fx_t *fx, uint64_t *seq, uint64_t clock, uint64_t n)
{
    enum { ROWS = 512 };
    static uint8_t keys[8 * ROWS];
    static float values[2 * ROWS];
    for (uint64_t frame = 0; frame < n; frame++) {
        for (uint64_t i = 0; i < ROWS; i++) {
            rub_put_u64(keys + 8 * i, frame * ROWS + i);
        }
        fx_frame(fx, 100,
                 (rub_header_t){.type = RUB_MSG_PUSH,
                                .table = LEDGER,
                                .seq = ++*seq,
                                .clock = clock,
                                .n_keys = ROWS},
                 keys, sizeof(keys), values, sizeof(values));
    }
}

/* With a push that is open no checkpoint is made but for a journal that is too long: one that is
 * longer than what the tables take, where the limit grows with them. */
static void a_limit_that_grows_waits_for_as_much_journal_as_the_tables_take(void **state)
{
    RUB_UNUSED(state);
    for (int grows = 0; grows < 2; grows++) {
        fx_t fx;
        uint64_t seq = 0, frames = 0;
        fx_open(&fx, 2, 0);
        greet(&fx);
        push_frames(&fx, &seq, 0, 64);
        fx_say(&fx, 100, RUB_MSG_CLOCK, ++seq, 1);
        fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
        push_frames(&fx, &seq, 1, 1);
        fx.config.redo_limit_bytes = 1;
        fx.config.redo_limit_grows = grows;
        fx_crash(&fx);
        greet(&fx);
        if (fx.sync_lsn != 0) {
            fx_synced(&fx); /* of what was replayed */
        }
        fx_tick(&fx, 1000);
        for (; !fx.state_staged; frames++) {
            assert_true(frames < 4000);
            push_frames(&fx, &seq, 1, 1);
        }
        assert_true(grows ? frames > 0 : frames == 0);
        fx_close(&fx);
    }
}

/* Pushes 8192 rows at a time until a checkpoint begins. Bytes of journal until then, about. */
static size_t pushed_until_checkpoint(size_t room)
{
    enum { ROWS = 8192 };
    static uint8_t keys[8 * ROWS];
    static float values[2 * ROWS];
    fx_t fx;
    fx_open(&fx, 2, 4);
    fx.room = room;
    greet(&fx);
    for (uint64_t i = 0; i < ROWS; i++) {
        rub_put_u64(keys + 8 * i, i);
    }
    size_t bytes = 0;
    for (uint64_t seq = 1; !fx.state_staged && bytes < (size_t)80 << 20; seq++) {
        fx_frame(&fx, 100,
                 (rub_header_t){.type = RUB_MSG_PUSH, .table = LEDGER, .seq = seq, .n_keys = ROWS},
                 keys, sizeof(keys), values, sizeof(values));
        bytes += sizeof(keys) + sizeof(values);
    }
    assert_true(fx.state_staged);
    fx_commit(&fx);
    compare_after_crash(&fx);
    fx_close(&fx);
    return bytes;
}

/* Beyond 64 MiB of journal, and 32 times what it would write, a checkpoint does not wait for its
 * interval. */
static void checkpoint_begins_early_when_the_journal_has_grown(void **state)
{
    RUB_UNUSED(state);
    const size_t bytes = pushed_until_checkpoint((size_t)1 << 30);
    assert_in_range(bytes, ((size_t)64 << 20) - (256 << 10), ((size_t)64 << 20) + (256 << 10));
}

static void checkpoint_begins_earlier_when_the_files_are_half_full(void **state)
{
    RUB_UNUSED(state);
    const size_t half = pushed_until_checkpoint((size_t)24 << 20);
    assert_in_range(half, ((size_t)24 << 20) - (256 << 10), ((size_t)24 << 20) + (256 << 10));
    const size_t least = pushed_until_checkpoint((size_t)1 << 20);
    assert_in_range(least, ((size_t)16 << 20) - (256 << 10), ((size_t)16 << 20) + (256 << 10));
}

static void an_interval_ends_beside_a_commit(fx_t *fx)
{
    fx_open(fx, 2, 4);
    work(fx, 0, 1);
    fx_synced(fx);
    fx_tick(fx, 1000);
    assert_true(fx->state_staged); /* and not committed */
    work(fx, 1, 2);
    fx_tick(fx, 1000);
    assert_int_equal(fx->sync_lsn, 0);
}

static void interval_waits_for_an_exact_checkpoint_and_begins_the_next(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    an_interval_ends_beside_a_commit(&fx);
    fx_commit(&fx);
    fx_tick(&fx, 0);
    assert_true(fx.state_staged);
    fx_commit(&fx);
    fx_tick(&fx, 0);
    assert_false(fx.state_staged); /* nothing is left to write */
    fx_close(&fx);
}

static void interval_syncs_while_a_checkpoint_is_still_being_committed(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    an_interval_ends_beside_a_commit(&fx);
    fx_tick(&fx, 1000);
    assert_true(fx.sync_lsn == rub_shard_lsn(fx.shard));
    fx_close(&fx);
}

enum { BUSY_ROWS = 10000 };

/* A rank that pushes the same rows again and again: little is dirty, much is journaled. */
static void open_busy(fx_t *fx, uint32_t n_rows, uint64_t n_pushes)
{
    static uint8_t keys[8 * BUSY_ROWS];
    static float values[2 * BUSY_ROWS];
    fx_open(fx, 2, 4);
    fx->config.stage_bytes = 4096;
    fx_crash(fx);
    greet(fx);
    fx_all_synced(fx);
    for (uint64_t i = 0; i < n_rows; i++) {
        rub_put_u64(keys + 8 * i, i);
    }
    for (uint64_t seq = 1; seq <= n_pushes; seq++) {
        const rub_header_t header = {
            .type = RUB_MSG_PUSH, .table = LEDGER, .seq = seq, .n_keys = n_rows};
        fx_frame(fx, 100, header, keys, 8 * n_rows, values, 2 * n_rows * sizeof(*values));
    }
    assert_int_equal(fx_ack(fx, 100)->seq, n_pushes);
}

static void sync_that_is_asked_for_is_an_exact_checkpoint_when_much_is_journaled(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    open_busy(&fx, 100, 200);
    fx_say(&fx, 100, RUB_MSG_SYNC, 0, 0);
    assert_int_equal(fx.sync_lsn, 0);
    assert_true(fx.state_staged);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 201, 1); /* behind it */
    assert_int_equal(fx_ack(&fx, 100)->mark, 0);
    fx_commit(&fx);
    assert_int_equal(fx_ack(&fx, 100)->mark, 200);
    assert_int_equal(fx_ack(&fx, 100)->seq, 201);
    compare_after_crash(&fx);
    fx_close(&fx);
    open_busy(&fx, 100, 2); /* little is journaled */
    fx_say(&fx, 100, RUB_MSG_SYNC, 0, 0);
    assert_true(fx.sync_lsn > 0);
    assert_false(fx.state_staged);
    fx_close(&fx);
}

static void busy_shard_copies_twice_as_much_at_once(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    open_busy(&fx, BUSY_ROWS, 2);
    fx_tick(&fx, 1000);
    assert_true(fx.n_staged > 0);
    assert_false(fx.state_staged);
    fx_close(&fx);
    open_busy(&fx, BUSY_ROWS, 40);
    fx_tick(&fx, 1000);
    assert_true(fx.state_staged);
    fx_commit(&fx);
    compare_after_crash(&fx);
    fx_close(&fx);
}

static void sync_does_not_wait_long_for_a_checkpoint(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    open_busy(&fx, 100, 200);
    fx_say(&fx, 100, RUB_MSG_SYNC, 0, 0);
    assert_true(fx.state_staged);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 201, 1);
    fx_say(&fx, 100, RUB_MSG_SYNC, 0, 0);
    fx_tick(&fx, 99);
    assert_int_equal(fx.sync_lsn, 0);
    assert_true(rub_shard_next_tick_ms(fx.shard) <= 1);
    fx_tick(&fx, 1); /* the disk is full, perhaps */
    assert_true(fx.sync_lsn == rub_shard_lsn(fx.shard));
    fx_synced(&fx);
    assert_int_equal(fx_ack(&fx, 100)->mark, 201);
    fx_close(&fx);
}

static void large_redo_is_checkpointed_before_it_can_grow(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    work(&fx, 0, 4);
    fx_crash(&fx);
    fx_tick(&fx, 0);
    assert_true(fx.state_staged);
    fx_commit(&fx);
    fx_crash(&fx); /* nothing to redo: no haste */
    fx_tick(&fx, 0);
    assert_false(fx.state_staged);
    fx_close(&fx);
}

static void torn_close_is_made_again(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    work(&fx, 0, 1);
    const uint64_t digest = rub_shard_digest(fx.shard);
    assert_int_equal(fx.journal[fx.n_journal - 1].type, RUB_RECORD_CLOSE);
    rub_free(fx.journal[--fx.n_journal].bytes);
    fx_crash(&fx);
    fx_tick(&fx, 0);
    assert_true(rub_shard_digest(fx.shard) == digest);
    fx_close(&fx);
}

/* The scheduler holds a store to a job that it has named: so it does not name one that a power loss
 * may still take from it, whoever journaled the view. */
static void a_replayed_job_is_named_once_it_is_on_the_platter(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 0);
    fx_crash(&fx);
    fx_tick(&fx, 1);
    assert_int_equal(fx.controls[RUB_MSG_REGISTER], 0);
    fx_tick(&fx, 2000);
    assert_int_equal(fx.controls[RUB_MSG_REGISTER], 0);
    fx_synced(&fx);
    assert_int_equal(fx.controls[RUB_MSG_REGISTER], 1);
    fx_close(&fx);
}

static void damaged_journal_and_state_are_refused_with_a_sentence(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    work(&fx, 0, 2);
    fx_tick(&fx, 1000);
    fx_commit(&fx);
    rub_shard_destroy(&fx.shard);
    fx_new_shard(&fx);
    rub_error_t err = {0};
    uint64_t redo;
    assert_int_equal(rub_shard_load_state(fx.shard, fx.state, fx.n_state - 1, &redo, &err),
                     RUB_ECORRUPT);
    rub_shard_destroy(&fx.shard);
    fx_new_shard(&fx);
    const fx_record_t *record = &fx.journal[fx.n_journal - 1];
    assert_int_equal(
        rub_shard_replay(fx.shard, record->lsn, record->type, record->bytes, record->n_bytes, &err),
        RUB_ECORRUPT);
    assert_true(strlen(err.message) > 0);
    rub_shard_destroy(&fx.shard);
    fx.config.n_shards = 2; /* the store of another fleet */
    fx_new_shard(&fx);
    assert_int_equal(rub_shard_load_state(fx.shard, fx.state, fx.n_state, &redo, &err),
                     RUB_ECORRUPT);
    fx_close(&fx);
}

static void a_record_of_a_later_program_is_refused_as_that(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    rub_error_t err = {0};
    fx_open(&fx, 2, 4);
    const uint64_t lsn = fx.journal[0].lsn;
    rub_shard_destroy(&fx.shard);
    fx_new_shard(&fx);
    assert_int_equal(rub_shard_replay(fx.shard, lsn, RUB_RECORD_REVISION + 1, "", 0, &err),
                     RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "record type 13: this program does not know it, a later "
                                        "one wrote it"));
    fx_close(&fx);
}

static void finish_checkpoints_reports_and_leaves(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    work(&fx, 0, 2);
    const rub_control_t finish = {.type = RUB_MSG_FINISH, .finish = {.job = JOB, .generation = 1}};
    fx_begin(&fx);
    assert_int_equal(rub_shard_control(fx.shard, &finish), 0);
    fx_end(&fx);
    fx_tick(&fx, 1);
    assert_int_equal(fx.controls[RUB_MSG_FINISHED], 0);
    fx_commit(&fx);
    fx_tick(&fx, 1);
    fx_tick(&fx, 300);
    assert_int_equal(fx.controls[RUB_MSG_FINISHED], 2);
    assert_true(fx.finished_digest == rub_shard_digest(fx.shard));
    assert_int_equal(rub_shard_phase(fx.shard), RUB_SHARD_SERVING);
    const rub_control_t left = {.type = RUB_MSG_LEFT_SHARD};
    fx_begin(&fx);
    assert_int_equal(rub_shard_control(fx.shard, &left), 0);
    fx_end(&fx);
    assert_int_equal(rub_shard_phase(fx.shard), RUB_SHARD_FINISHED);
    fx_close(&fx);
}

static void drain_stores_everything_even_open_pushes(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    work(&fx, 0, 2);
    fx_push(&fx, 100, 7, 2, 9, 1.0F);
    rub_shard_drain(fx.shard);
    for (int i = 0; i < 10 && !fx.state_staged; i++) {
        fx_tick(&fx, 1);
    }
    fx_commit(&fx);
    assert_true(rub_shard_clean(fx.shard));
    compare_after_crash(&fx);
    greet(&fx);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 8, 3);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 7, 3);
    fx_pull(&fx, 100, 1, 3, 8, 9);
    assert_true(fx_value(&fx, 100) == 0.5F);
    fx_close(&fx);
}

static void without_durability_nothing_is_journaled_or_stored(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    for (size_t i = 0; i < fx.n_journal; i++) {
        rub_free(fx.journal[i].bytes);
    }
    fx.n_journal = 0;
    fx.config.durability = RUB_DURABILITY_NONE;
    fx_crash(&fx);
    fx.version = 0;
    fx_view(&fx);
    greet(&fx);
    work(&fx, 0, 3);
    fx_tick(&fx, 5000);
    assert_int_equal(fx.n_journal, 0);
    assert_false(fx.state_staged);
    assert_int_equal(fx.sync_lsn, 0);
    assert_true(rub_shard_clean(fx.shard));
    assert_int_equal(fx_ack(&fx, 100)->mark, 9);
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shard_rebuilds_itself_from_its_journal),
        cmocka_unit_test(new_lsns_follow_the_incarnation),
        cmocka_unit_test(exact_checkpoint_and_what_came_after_make_the_same_shard),
        cmocka_unit_test(bsp_checkpoint_waits_for_the_moment_after_close),
        cmocka_unit_test(sweep_between_traffic_and_what_came_after_make_the_same_shard),
        cmocka_unit_test(a_limit_that_grows_waits_for_as_much_journal_as_the_tables_take),
        cmocka_unit_test(checkpoint_begins_early_when_the_journal_has_grown),
        cmocka_unit_test(checkpoint_begins_earlier_when_the_files_are_half_full),
        cmocka_unit_test(interval_waits_for_an_exact_checkpoint_and_begins_the_next),
        cmocka_unit_test(interval_syncs_while_a_checkpoint_is_still_being_committed),
        cmocka_unit_test(sync_that_is_asked_for_is_an_exact_checkpoint_when_much_is_journaled),
        cmocka_unit_test(busy_shard_copies_twice_as_much_at_once),
        cmocka_unit_test(sync_does_not_wait_long_for_a_checkpoint),
        cmocka_unit_test(large_redo_is_checkpointed_before_it_can_grow),
        cmocka_unit_test(torn_close_is_made_again),
        cmocka_unit_test(a_replayed_job_is_named_once_it_is_on_the_platter),
        cmocka_unit_test(damaged_journal_and_state_are_refused_with_a_sentence),
        cmocka_unit_test(a_record_of_a_later_program_is_refused_as_that),
        cmocka_unit_test(finish_checkpoints_reports_and_leaves),
        cmocka_unit_test(drain_stores_everything_even_open_pushes),
        cmocka_unit_test(without_durability_nothing_is_journaled_or_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
